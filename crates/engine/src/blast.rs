//! Blast radius: from a name people know to whom it concerns, in the fleet and at relying parties.

use std::collections::BTreeSet;
use std::sync::Arc;

use tenure_domain::Refusal;
use tenure_domain::blast::{Affected, BlastKind, Radius};
use tenure_domain::canary::ProbeVerdict;
use tenure_domain::device::Criticality;
use tenure_domain::ids::{DeviceId, IssuerNo, OperatorNo, Slug, TenantId, Title};
use tenure_domain::issuer::{Issuer, IssuerKind};
use tenure_domain::text::{hex, hex32};
use tenure_store::blast::{self, AffectedFilter, Centre};
use tenure_store::view::{ListError, Page};
use tenure_store::{ReadTx, StoreError, device, probe, registry, relying_party, token};
use tenure_x509::{Cert, KeyHash, Time};

use crate::Engine;
use crate::fault::Rejection;
use crate::snapshot::Snapshot;

/// Most relying parties that are looked at; the first by name.
const PARTIES_MAX: u32 = 10_000;
/// How many tokens are looked through at a time.
const TOKENS: u32 = 1_000;

/// Whom it concerns that one thing is no longer to be trusted.
#[derive(Debug, Clone)]
pub struct Blast {
    /// What kind of thing.
    pub kind: BlastKind,
    /// Its name.
    pub name: String,
    /// As of when.
    pub at: Time,
    /// Devices and certificates.
    pub radius: Radius,
    /// Relying parties, by name.
    pub relying_parties: Vec<Reached>,
}

/// A relying party that a radius reaches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reached {
    /// Its short name.
    pub name: Slug,
    /// What its letting in the wrong device would mean.
    pub criticality: Criticality,
    /// Where it stands.
    pub site: Title,
    /// The issuers of certificates inside the radius that it lets in.
    pub trusts: Vec<Slug>,
    /// The services of the radius's devices that they reach through it.
    pub serves: Vec<Title>,
    /// Whether it would refuse what is revoked, as last proved; never probed is unverified.
    pub verdict: ProbeVerdict,
}

impl Engine {
    /// Whom it concerns that the thing of this kind and name is no longer to be trusted.
    pub async fn radius(&self, kind: BlastKind, name: &str) -> Result<Blast, Rejection> {
        let (tenant, now, snapshot) = (self.tenant(), self.clock().now(), self.snapshot());
        let name = name.to_owned();
        self.store()
            .survey(move |tx| {
                let centre = centre(tx, tenant, &snapshot, kind, &name)?;
                let radius = blast::radius(tx, tenant, &centre, now)?;
                Ok::<_, Rejection>(Blast {
                    relying_parties: reached(tx, tenant, &snapshot, &centre, &radius)?,
                    kind,
                    name,
                    at: now,
                    radius,
                })
            })
            .await
    }

    /// One page of the devices of a radius, in the order of registration. It may hold fewer than
    /// wanted and still have a next page.
    pub async fn affected_devices(
        &self,
        (kind, name): (BlastKind, &str),
        filter: AffectedFilter,
        cursor: Option<String>,
        limit: usize,
    ) -> Result<Page<Affected>, Rejection> {
        let (tenant, now, snapshot) = (self.tenant(), self.clock().now(), self.snapshot());
        let name = name.to_owned();
        self.store()
            .survey(move |tx| {
                let centre = centre(tx, tenant, &snapshot, kind, &name)?;
                let place = (cursor.as_deref(), limit);
                blast::devices(tx, tenant, &centre, filter, place, now).map_err(list_error)
            })
            .await
    }
}

fn list_error(error: ListError) -> Rejection {
    match error {
        ListError::BadCursor => Refusal::BadRequest {
            what: error.to_string(),
        }
        .into(),
        ListError::Unknown { noun, name } => missing(&format!("{noun} {name}")),
        ListError::Store(error) => error.into(),
    }
}

fn missing(what: &str) -> Rejection {
    Refusal::NotFound {
        what: what.to_owned(),
    }
    .into()
}

/// What a name means.
pub(crate) fn centre(
    tx: &ReadTx<'_>,
    tenant: TenantId,
    snapshot: &Snapshot,
    kind: BlastKind,
    name: &str,
) -> Result<Centre, Rejection> {
    let known = |found: Option<Centre>| found.ok_or_else(|| missing(&format!("{kind} {name}")));
    match kind {
        BlastKind::Issuer => {
            let found = snapshot.issuers.iter().find(|it| it.name.as_str() == name);
            known(found.map(|issuer| Centre::Issuers(below(snapshot, &issuer.certificate))))
        }
        BlastKind::Anchor => known(anchor(snapshot, name)),
        BlastKind::Key => {
            let hash = hex32(&name.to_ascii_lowercase()).ok_or_else(|| Refusal::BadRequest {
                what: "a key is named by the SHA-256 of its SubjectPublicKeyInfo, 64 hex digits"
                    .to_owned(),
            })?;
            Ok(Centre::Key(KeyHash(hash)))
        }
        BlastKind::Device => {
            let id: DeviceId = name
                .parse()
                .map_err(|_| missing(&format!("device {name}")))?;
            let found = device::by_id(tx, tenant, &id)?;
            known(found.map(|device| Centre::Device(device.no)))
        }
        BlastKind::Operator => known(
            Some(tokens(tx, tenant, name)?)
                .filter(|tokens| !matches!(tokens, Centre::Operators(none) if none.is_empty())),
        ),
        BlastKind::Manufacturer => {
            let found = snapshot.makers.iter().find(|it| it.name.as_str() == name);
            known(found.map(|maker| Centre::Manufacturer(maker.name.to_string())))
        }
        BlastKind::Owner => known(registry::owner::no(tx, tenant, name)?.map(Centre::Owner)),
        BlastKind::Site => match registry::site::no(tx, tenant, name)? {
            Some(site) => Ok(Centre::Sites(registry::site::inside(tx, site)?)),
            None => known(None),
        },
        BlastKind::Service => known(registry::service::no(tx, tenant, name)?.map(Centre::Service)),
    }
}

/// The issuers that rest on this certificate: its own, and those with it above them.
fn below(snapshot: &Snapshot, top: &Cert) -> Vec<IssuerNo> {
    let rests = |issuer: &&Arc<Issuer>| {
        std::iter::once(&issuer.certificate)
            .chain(&issuer.chain)
            .any(|cert| cert.public_key().hash() == top.public_key().hash())
    };
    let resting = snapshot.issuers.iter().filter(rests);
    resting.map(|issuer| issuer.no).collect()
}

/// A root of ours by name or fingerprint, or a manufacturer's by fingerprint. Which of several roots
/// of one manufacturer a device leads to is not kept, so that all of its devices are meant.
fn anchor(snapshot: &Snapshot, name: &str) -> Option<Centre> {
    let is_named = |cert: &Cert| hex(&cert.fingerprint()) == name.to_ascii_lowercase();
    let mut roots = snapshot
        .issuers
        .iter()
        .filter(|issuer| issuer.kind == IssuerKind::Root);
    let ours = roots.find(|root| root.name.as_str() == name || is_named(&root.certificate));
    if let Some(root) = ours {
        return Some(Centre::Issuers(below(snapshot, &root.certificate)));
    }
    let mut makers = snapshot.makers.iter();
    let theirs = makers.find(|maker| maker.roots.iter().any(is_named));
    theirs.map(|maker| Centre::Manufacturer(maker.name.to_string()))
}

/// A token by its number, or every token of this name.
fn tokens(tx: &ReadTx<'_>, tenant: TenantId, name: &str) -> Result<Centre, StoreError> {
    if let Ok(no) = name.parse::<i64>() {
        let found = token::by_no(tx, OperatorNo(no))?;
        return Ok(Centre::Operators(
            found.map(|it| it.no).into_iter().collect(),
        ));
    }
    let (mut found, mut after) = (Vec::new(), OperatorNo(0));
    loop {
        let page = token::list(tx, tenant, after, TOKENS)?;
        let Some(last) = page.last() else {
            return Ok(Centre::Operators(found));
        };
        after = last.no;
        found.extend(page.iter().filter(|it| it.name == name).map(|it| it.no));
    }
}

/// The relying parties that let in what is inside, or through which its devices reach a service.
fn reached(
    tx: &ReadTx<'_>,
    tenant: TenantId,
    snapshot: &Snapshot,
    centre: &Centre,
    radius: &Radius,
) -> Result<Vec<Reached>, StoreError> {
    // Who trusts an issuer trusts whatever it may yet be made to sign.
    let mut inside: BTreeSet<&Slug> = radius.by_issuer.keys().collect();
    if let Centre::Issuers(issuers) = centre {
        let named = snapshot.issuers.iter();
        let named = named.filter(|issuer| issuers.contains(&issuer.no));
        inside.extend(named.map(|issuer| &issuer.name));
    }
    inside.retain(|name| {
        let issuer = snapshot.issuers.iter().find(|issuer| issuer.name == **name);
        issuer.is_some_and(|issuer| issuer.kind == IssuerKind::Issuing)
    });
    let mut found = Vec::new();
    for known in relying_party::list(tx, tenant, "", PARTIES_MAX)? {
        let party = known.party;
        let is_let_in = |name: &&Slug| party.issuers.is_empty() || party.issuers.contains(name);
        let trusts: Vec<_> = inside.iter().copied().filter(is_let_in).cloned().collect();
        let serves: Vec<_> = party
            .services
            .into_iter()
            .filter(|service| radius.by_service.contains_key(service))
            .collect();
        if trusts.is_empty() && serves.is_empty() {
            continue;
        }
        let last = probe::last_verdict(tx, known.no)?;
        found.push(Reached {
            name: party.name,
            criticality: party.criticality,
            site: party.site,
            trusts,
            serves,
            verdict: last.map_or(ProbeVerdict::Unverified, |(verdict, _)| verdict),
        });
    }
    Ok(found)
}
