//! Another issuer for a founded house: one of identities for life, one for another trust domain, or
//! one that is to follow another. Its certificate is signed by the root, so this is done without a
//! server.

use std::sync::Arc;

use tenure_domain::Refusal;
use tenure_domain::device::DeviceSpec;
use tenure_domain::ids::{DeviceId, Slug};
use tenure_domain::issuer::{Issuer, IssuerKind, IssuerState};
use tenure_domain::operator::Actor;
use tenure_domain::profile::ProfileKind;
use tenure_domain::rollover::{Blocked, line_of, root_of};
use tenure_store::device;

use super::{IDEVID_PROFILE, IDEVID_SHARDS, ISSUING_PROFILE, Installed, ROOT};
use crate::Engine;
use crate::duty::system::responder_name_of;
use crate::fault::{FaultCause, Rejection};
use crate::signer::Key;

/// What another issuer is for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Purpose {
    /// Identities for life; it never ends.
    Lives,
    /// A trust domain of its own: it signs for the profiles that name it.
    Domain,
    /// To take over the work of this issuer.
    Follow(Slug),
}

/// The keys of another issuer.
pub struct NewIssuerKeys {
    /// Its own, named as it shall be called.
    pub issuer: Key,
    /// Its responder's, named `ocsp-` and its name. Identities for life have none.
    pub responder: Option<Key>,
}

/// How an issuer's certificate differs by what it is for.
struct Shape {
    kind: IssuerKind,
    profile: &'static str,
    what: &'static str,
    shards: u16,
    replaces: Option<Arc<Issuer>>,
}

impl Engine {
    /// Adds an issuer: a CA certificate signed by the root, whose key is `root`. A successor begins
    /// as prepared; any other is active at once. Cut off anywhere, the same call finishes it.
    ///
    /// # Errors
    /// A conflict if the name is taken, `root` is not this house's, or the issuer to be followed is
    /// not active or has a successor already.
    pub async fn add_issuer(
        &self,
        purpose: Purpose,
        keys: NewIssuerKeys,
        root: &Key,
    ) -> Result<Arc<Issuer>, Rejection> {
        let known = self.snapshot();
        let NewIssuerKeys {
            issuer: key,
            responder,
        } = keys;
        if let Some(found) = known.issuers.iter().find(|issuer| issuer.key == key.name()) {
            let what = format!("there is an issuer {} already", found.name);
            return Err(Refusal::Conflict { what }.into());
        }
        let shape = shape(&known.issuers, purpose)?;
        let above = match &shape.replaces {
            Some(former) => root_for(&known.issuers, former),
            None => with_key(&known.issuers, root),
        };
        let above = above
            .filter(|above| above.public_key().hash() == root.public().hash())
            .ok_or_else(|| {
                let needed = above.map_or(ROOT.to_owned(), |above| above.key.clone());
                FaultCause::NoKey(needed)
            })?;
        if !above.state.signs(ProfileKind::IssuingCa) {
            let what = format!("root {} is {} and signs no issuer", above.name, above.state);
            return Err(Refusal::Conflict { what }.into());
        }
        let mut subjects = vec![self.issuer_subject(key.name(), shape.what)?];
        if let Some(responder) = &responder {
            let what = format!("OCSP responder of {}", key.name());
            subjects.push(self.issuer_subject(responder.name(), &what)?);
        }
        let us = Actor::system("issuer ceremony");
        let (actor, tenant) = (us.clone(), self.tenant());
        let now = self.now_for_signing()?;
        self.record(move |tx| {
            for spec in &subjects {
                // An interrupted ceremony may have left it.
                match device::by_id(tx, tenant, &spec.id)? {
                    Some(_) => tx.excuse("our subject is registered"),
                    None => {
                        device::add(tx, spec, &actor, now)?;
                    }
                }
            }
            Ok(())
        })
        .await?;
        self.add_key(root.clone());
        self.add_key(key.clone());
        let by = Some(above.name.clone());
        let made = self
            .certify(key.name(), shape.profile, Vec::new(), by, "issuer ceremony")
            .await?;
        let mut chain = vec![above.certificate.clone()];
        chain.extend(above.chain.iter().cloned());
        let installed = Installed {
            kind: shape.kind,
            replaces: shape.replaces.as_ref().map(|former| former.no),
            shards: shape.shards,
            base_url: match &shape.replaces {
                Some(former) => former.base_url.clone(),
                None => above.base_url.clone(),
            },
        };
        self.install(&made, &key, &chain, installed, &us).await?;
        let known = self.snapshot();
        let made = known.issuers.iter().find(|issuer| issuer.key == key.name());
        let made = made.ok_or(FaultCause::Corrupt("new issuer"))?;
        if let Some(responder) = responder {
            self.add_key(responder);
            self.certify_responder(made).await?;
        }
        // Only its own lists: the root's are good for a year and stay.
        self.publish_issuer(made, &key).await?;
        Ok(Arc::clone(made))
    }

    /// The root whose key signs an issuer that follows this one, or this root itself.
    ///
    /// # Errors
    /// There is no issuer of this name.
    pub fn root_above(&self, name: &Slug) -> Result<Arc<Issuer>, Rejection> {
        let known = self.snapshot();
        let found = known.issuers.iter().find(|issuer| issuer.name == *name);
        let found = found.ok_or_else(|| Refusal::NotFound {
            what: format!("issuer {name}"),
        })?;
        let root = root_for(&known.issuers, found);
        Ok(Arc::clone(
            root.ok_or(FaultCause::Corrupt("issuer's root"))?,
        ))
    }

    /// The system subject of an issuer or its responder; its owner is the root's. Each key has a
    /// name of its own (RFC 5280 section 4.1.2.6 allows the same, and path builders stumble on it).
    pub(super) fn issuer_subject(&self, name: &str, what: &str) -> Result<DeviceSpec, Rejection> {
        let tenant = self.tenant();
        let parsed = |text: &str| {
            text.parse::<DeviceId>()
                .map_err(|_| FaultCause::Corrupt("system subject's name"))
        };
        let root = parsed(ROOT)?;
        let root = self.store().glance(|tx| device::by_id(tx, tenant, &root))?;
        let root = root.ok_or(FaultCause::Corrupt("root's subject"))?;
        let what = match what.contains(name) {
            true => what.to_owned(),
            false => format!("{what} {name}"),
        };
        // A common name has 64 characters at most; what tells them apart must stay.
        let room = 63_usize.saturating_sub(what.chars().count());
        let owner: String = root.owner.as_str().chars().take(room).collect();
        Ok(DeviceSpec {
            id: parsed(name)?,
            model: format!("{} {what}", owner.trim_end())
                .chars()
                .take(64)
                .collect(),
            serial: name.to_owned(),
            ..device::spec(&root)
        })
    }
}

fn shape(issuers: &[Arc<Issuer>], purpose: Purpose) -> Result<Shape, Rejection> {
    let issuing = |shards, replaces| Shape {
        kind: IssuerKind::Issuing,
        profile: ISSUING_PROFILE,
        what: "Issuing CA",
        shards,
        replaces,
    };
    let lives = |replaces| Shape {
        kind: IssuerKind::IDevId,
        profile: IDEVID_PROFILE,
        what: "IDevID CA",
        shards: IDEVID_SHARDS,
        replaces,
    };
    match purpose {
        Purpose::Lives => Ok(lives(None)),
        Purpose::Domain => Ok(issuing(DOMAIN_SHARDS, None)),
        Purpose::Follow(name) => {
            let former = may_be_followed(issuers, &name)?;
            let replaces = Some(Arc::clone(former));
            match former.kind {
                IssuerKind::Issuing => Ok(issuing(former.shards, replaces)),
                IssuerKind::IDevId => Ok(lives(replaces)),
                IssuerKind::Root => {
                    let what = format!("{name} is a root, and a root follows it");
                    Err(Refusal::BadRequest { what }.into())
                }
            }
        }
    }
}

/// Into how many parts the revocation list of another issuing CA is cut: as many as the first one's.
const DOMAIN_SHARDS: u16 = 16;

pub(super) fn may_be_followed<'a>(
    issuers: &'a [Arc<Issuer>],
    name: &Slug,
) -> Result<&'a Arc<Issuer>, Rejection> {
    let found = issuers.iter().find(|issuer| issuer.name == *name);
    let former = found.ok_or_else(|| Refusal::NotFound {
        what: format!("issuer {name}"),
    })?;
    let follows = |known: &&Arc<Issuer>| {
        known.replaces == Some(former.no) && known.state != IssuerState::Removed
    };
    let why = if let Some(next) = issuers.iter().find(follows) {
        Blocked::SuccessorUnderWay {
            successor: next.name.clone(),
        }
        .to_string()
    } else if !matches!(former.state, IssuerState::Active | IssuerState::Tainted) {
        format!(
            "it is {}; only an active one is followed, or one that was stopped",
            former.state
        )
    } else {
        return Ok(former);
    };
    let what = format!("issuer {name} cannot be rolled over: {why}");
    Err(Refusal::Conflict { what }.into())
}

/// The newest root that signs issuers in the line of the root above this one.
fn root_for<'a>(issuers: &'a [Arc<Issuer>], issuer: &Issuer) -> Option<&'a Arc<Issuer>> {
    let line = line_of(issuers, root_of(issuers, issuer)?);
    issuers
        .iter()
        .filter(|known| known.kind == IssuerKind::Root && line_of(issuers, known) == line)
        .filter(|known| known.state.signs(ProfileKind::IssuingCa))
        .max_by_key(|known| known.no)
}

/// The root with this key.
pub(super) fn with_key<'a>(issuers: &'a [Arc<Issuer>], key: &Key) -> Option<&'a Arc<Issuer>> {
    issuers.iter().find(|issuer| {
        issuer.kind == IssuerKind::Root && issuer.public_key().hash() == key.public().hash()
    })
}

/// The name of the responder's key of an issuer that is to have this name.
pub fn responder_key_name(issuer: &str) -> String {
    responder_name_of(issuer)
}
