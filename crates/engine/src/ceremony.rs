//! The founding ceremony: a root, an issuing CA, their keys, our own system subjects, the log and
//! the first operator.

mod addition;
mod root;

use std::path::Path;
use std::sync::Arc;

use tenure_domain::Refusal;
use tenure_domain::device::{Criticality, DeviceSpec};
use tenure_domain::ids::{IssuerNo, Slug, Title};
use tenure_domain::issuer::{Issuer, IssuerKind};
use tenure_domain::operator::{Actor, Role};
use tenure_domain::policy::document;
use tenure_domain::registry::{Class, Owner, Renewability, Service, Site};
use tenure_domain::text::hex;
use tenure_store::{LogState, Store, Tx, certificate, device, issuer, registry};
use tenure_x509::{Cert, SanName};

pub use addition::{NewIssuerKeys, Purpose, responder_key_name};
pub use root::Cross;

use crate::change::Changed;
use crate::duty::publish::{List, ROOT_CRL_LIFE_S};
use crate::fault::{FaultCause, Rejection};
use crate::revoke::Conflict;
use crate::signer::Key;
use crate::{Clock, Engine, Settings};

/// The system subject and key of our servers.
pub const SERVER: &str = "tenure-server";
/// The root's short name, system subject and key.
pub const ROOT: &str = "root";
/// The first issuing CA's short name, system subject and key.
pub const ISSUING: &str = "issuing-1";
pub use tenure_domain::registry::HOUSE;

pub(crate) const SERVER_PROFILE: &str = "tenure-server";
pub(crate) const OCSP_PROFILE: &str = "tenure-ocsp";
const ISSUING_PROFILE: &str = "tenure-issuing-ca";
const IDEVID_PROFILE: &str = "tenure-idevid-ca";
const ROOT_PROFILE: &str = "tenure-root-ca";
const CROSS_PROFILE: &str = tenure_store::issuer::CROSS_PROFILE;

/// Into how many parts the revocation list of an issuer of identities for life is cut: they stay on it
/// for good, and few are ever withdrawn.
const IDEVID_SHARDS: u16 = 16;

/// What a new house is called and where it will be reached.
#[derive(Debug, Clone)]
pub struct Founding {
    /// The owner's name; also the organization in our own certificates.
    pub name: Title,
    /// Where relying parties will fetch status, `http://host[:port]`.
    pub public_url: String,
    /// The names and addresses of our servers.
    pub hosts: Vec<SanName>,
    /// The policy document to begin with.
    pub policy: String,
    /// How many shards the issuing CA's revocation list has.
    pub shards: u16,
}

/// The keys that a founding needs, each with its doors.
pub struct FoundingKeys {
    /// The root's; afterwards it can go elsewhere.
    pub root: Key,
    /// The issuing CA's.
    pub issuing: Key,
    /// The responder's, named `ocsp-issuing-1`.
    pub responder: Key,
    /// The log's, Ed25519, named `log`.
    pub log: Key,
    /// The servers', named `tenure-server`.
    pub server: Key,
}

/// What an issuer is besides its certificate.
struct Installed {
    kind: IssuerKind,
    replaces: Option<IssuerNo>,
    shards: u16,
    /// Where its lists are published.
    base_url: String,
}

/// What a founding made.
pub struct Founded {
    /// The running engine; drop it to close the store.
    pub engine: Engine,
    /// The trust anchor.
    pub root: Cert,
    /// The first operator's token, shown this once.
    pub admin_token: String,
}

/// Founds a house in an empty store. Meant for a fresh directory that is thrown away if it fails.
pub async fn found(
    store: Store,
    directory: &Path,
    clock: Clock,
    keys: FoundingKeys,
    founding: Founding,
) -> Result<Founded, Rejection> {
    let now = clock.now();
    let us = Actor::system("init");
    let FoundingKeys {
        root,
        issuing,
        responder,
        log,
        server,
    } = keys;
    let responder_name = responder.name().to_owned();
    furnish(&store, &founding, &responder_name, &us, now).await?;
    let settings = Settings {
        hosts: founding.hosts.clone(),
        ..Settings::default()
    };
    let all = [root.clone(), issuing.clone(), responder, log, server];
    let engine = Engine::start(store, all, directory, clock, settings)?;

    let anchor = engine
        .certify(ROOT, ROOT_PROFILE, Vec::new(), None, "root ceremony")
        .await?;
    let url = &founding.public_url;
    let installed = |kind, shards| Installed {
        kind,
        replaces: None,
        shards,
        base_url: url.clone(),
    };
    engine
        .install(&anchor, &root, &[], installed(IssuerKind::Root, 1), &us)
        .await?;
    let below = engine
        .certify(
            ISSUING,
            ISSUING_PROFILE,
            Vec::new(),
            None,
            "issuer ceremony",
        )
        .await?;
    let chain = [anchor.cert.clone()];
    let below_root = installed(IssuerKind::Issuing, founding.shards);
    engine
        .install(&below, &issuing, &chain, below_root, &us)
        .await?;
    engine.renew_system().await?;
    engine.sign_root_lists(&root).await?;
    engine.publish().await?;
    engine.record_signed(tenure_x509::Time::NEVER).await?;

    let name = "admin"
        .parse()
        .map_err(|_| FaultCause::Corrupt("token name"))?;
    let first = tenure_domain::change::Change::CreateToken {
        name,
        role: Role::Admin,
        party: None,
        expires: None,
    };
    let Changed::Token(admin) = engine.change(&us, first).await? else {
        return Err(FaultCause::Corrupt("answer to a token's making").into());
    };
    engine.integrate().await?;
    Ok(Founded {
        engine,
        root: anchor.cert.clone(),
        admin_token: admin.token,
    })
}

fn title(text: &str) -> Result<Title, FaultCause> {
    text.parse()
        .map_err(|_| FaultCause::Corrupt("built-in name"))
}

async fn furnish(
    store: &Store,
    founding: &Founding,
    responder: &str,
    us: &Actor,
    now: tenure_x509::Time,
) -> Result<(), Rejection> {
    let policy = document::parse(&founding.policy, 1).map_err(|error| Refusal::BadRequest {
        what: error.to_string(),
    })?;
    let origin = format!("tenure.invalid/{}", hex(&crate::chance::bytes::<8>()?));
    let house = title(HOUSE)?;
    let profile: Slug = SERVER_PROFILE
        .parse()
        .map_err(|_| FaultCause::Corrupt("built-in profile's name"))?;
    let subjects = [
        (ROOT, "Root CA", Criticality::High),
        (ISSUING, "Issuing CA 1", Criticality::High),
        (
            responder,
            "OCSP responder of Issuing CA 1",
            Criticality::High,
        ),
        (SERVER, "Tenure server", Criticality::High),
    ];
    let mut devices = Vec::new();
    for (id, what, criticality) in subjects {
        devices.push(DeviceSpec {
            id: id
                .parse()
                .map_err(|_| FaultCause::Corrupt("system subject's name"))?,
            manufacturer: "Tenure".to_owned(),
            model: format!("{} {what}", founding.name)
                .chars()
                .take(64)
                .collect(),
            serial: id.to_owned(),
            class: house.clone(),
            site: house.clone(),
            owner: founding.name.clone(),
            services: vec![house.clone()],
            criticality,
        });
    }
    let class = Class {
        renewability: Renewability::Autonomous,
        ..Class::new(house.clone(), profile)
    };
    let owner = Owner {
        name: founding.name.clone(),
        contact: String::new(),
    };
    let site = Site {
        name: house.clone(),
        parent: None,
    };
    let service = Service {
        name: house,
        address: String::new(),
    };
    let (text, us) = (founding.policy.clone(), us.clone());
    let operation = crate::chance::operation()?;
    store
        .record::<(), Conflict, _>(operation, move |tx: &mut Tx<'_>| {
            registry::put_owner(tx, &owner, &us, now)?;
            registry::put_site(tx, &site, &us, now)?;
            registry::put_service(tx, &service, &us, now)?;
            registry::put_class(tx, &class, &us, now)?;
            tenure_store::policy::apply(tx, &text, policy.hash, &us, now)?;
            for device in &devices {
                device::add(tx, device, &us, now)?;
            }
            Ok(())
        })
        .await
        .map_err(Conflict::into_rejection)?;
    let root = tenure_tlog::Frontier::new().root().0;
    let empty = LogState {
        origin,
        size: 0,
        root,
        checkpoint: Vec::new(),
        at: now,
    };
    store
        .advance_log(None, empty)
        .await
        .map_err(|error| FaultCause::Seal(error).into())
}

impl Engine {
    /// Makes an issuer of a CA certificate that was just released.
    async fn install(
        &self,
        made: &Arc<certificate::Certificate>,
        key: &Key,
        chain: &[Cert],
        installed: Installed,
        us: &Actor,
    ) -> Result<(), Rejection> {
        let name: Slug = key
            .name()
            .parse()
            .map_err(|_| FaultCause::Corrupt("issuer's short name"))?;
        let new = issuer::NewIssuer {
            no: self.store().glance(issuer::next_no)?,
            name,
            kind: installed.kind,
            replaces: installed.replaces,
            certificate: made.cert.clone(),
            chain: chain.to_vec(),
            key: key.name().to_owned(),
            algorithm: key.algorithm(),
            shards: installed.shards,
            base_url: installed.base_url,
        };
        let (us, now) = (us.clone(), self.clock().now());
        self.record(move |tx| Ok(issuer::add(tx, &new, &us, now)?))
            .await?;
        self.reload().await
    }

    /// Signs the revocation lists of the root with this key over its issuing CAs, good for a year.
    /// Needs the root's key, which is not there otherwise. Answers whose lists they are.
    ///
    /// # Errors
    /// It is the key of no root of this house.
    pub async fn sign_root_lists(&self, root: &Key) -> Result<Arc<Issuer>, Rejection> {
        let now = self.clock().now();
        let known = self.snapshot();
        let issuer = addition::with_key(&known.issuers, root).ok_or_else(|| {
            let what = format!("key {} is that of no root of this house", root.name());
            Rejection::from(Refusal::BadRequest { what })
        })?;
        for list in [List::Shard(0), List::Full] {
            self.publish_list(issuer, root, list, 0, now, ROOT_CRL_LIFE_S)
                .await?;
        }
        self.record_signed(tenure_x509::Time::NEVER).await?;
        Ok(Arc::clone(issuer))
    }
}
