//! `/blast-radius`: whom it concerns that something is no longer to be trusted.

use std::collections::BTreeMap;

use axum::extract::State;
use serde::{Deserialize, Serialize};
use tenure_domain::blast::{Affected, BlastKind, CertificateTally, Tally};
use tenure_domain::operator::Permission::ReadFleet;
use tenure_engine::store::blast::AffectedFilter;
use tenure_engine::{Blast, Reached};
use utoipa::{IntoParams, ToSchema};

use super::body::{Json, Query, some_word, word};
use super::page::{Page, Paging};
use super::{Desk, Route};
use crate::problem::Problem;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get(
            "/blast-radius",
            ReadFleet,
            "Whom it concerns that something is no longer to be trusted: before, and now",
            show,
        )
        .asks::<Centre>()
        .answers::<BlastItem>(),
        Route::get(
            "/blast-radius/devices",
            ReadFleet,
            "List the devices of a blast radius, in the order of registration",
            devices,
        )
        .asks::<Centre>()
        .asks::<Narrowed>()
        .asks::<Paging>()
        .lists::<AffectedItem>(),
    ]
}

/// Of what.
#[derive(Default, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub(crate) struct Centre {
    /// issuer, anchor, key, device, operator, manufacturer, owner, site or service.
    pub(crate) kind: String,
    /// Its name: for an anchor a root's name or the SHA-256 of its certificate, for a key the SHA-256
    /// of its SubjectPublicKeyInfo, for an operator the name or number of a token.
    pub(crate) name: String,
}

impl Centre {
    /// The kind.
    ///
    /// # Errors
    /// 400 if there is no such kind.
    pub(crate) fn kind(&self) -> Result<BlastKind, Problem> {
        word("kind", &self.kind)
    }
}

/// Which devices.
#[derive(Default, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
struct Narrowed {
    /// exposed, suspended, withdrawn or without; all if left out.
    exposure: Option<String>,
    /// low, medium, high or safety; all if left out.
    criticality: Option<String>,
}

/// Devices, counted: all of them is how it was before, the rest is how it is now.
#[derive(Clone, Copy, Serialize, ToSchema)]
pub(crate) struct TallyItem {
    /// All that belong to the radius.
    pub(crate) devices: u64,
    /// With a certificate inside it in force.
    pub(crate) exposed: u64,
    /// With one on hold and none in force.
    pub(crate) suspended: u64,
    /// With nothing inside it but what is revoked.
    pub(crate) withdrawn: u64,
    /// Without any certificate that has not expired.
    pub(crate) without: u64,
    /// Of all, those with another certificate in force, outside of the radius.
    pub(crate) going_on: u64,
    /// Of all, those without any certificate in force: they must enroll anew.
    pub(crate) cut_off: u64,
}

impl From<&Tally> for TallyItem {
    fn from(tally: &Tally) -> TallyItem {
        TallyItem {
            devices: tally.devices,
            exposed: tally.exposed,
            suspended: tally.suspended,
            withdrawn: tally.withdrawn,
            without: tally.without,
            going_on: tally.going_on,
            cut_off: tally.cut_off,
        }
    }
}

/// Certificates inside a radius that have not expired; of a key, the expired ones too.
#[derive(Clone, Copy, Serialize, ToSchema)]
pub(crate) struct CertificatesItem {
    /// All of them.
    pub(crate) all: u64,
    /// In force, without a successor.
    pub(crate) issued: u64,
    /// In force, with a successor.
    pub(crate) replaced: u64,
    /// On hold.
    pub(crate) held: u64,
    /// Revoked.
    pub(crate) revoked: u64,
}

impl From<&CertificateTally> for CertificatesItem {
    fn from(tally: &CertificateTally) -> CertificatesItem {
        CertificatesItem {
            all: tally.all(),
            issued: tally.issued,
            replaced: tally.replaced,
            held: tally.held,
            revoked: tally.revoked,
        }
    }
}

/// A relying party that a radius reaches.
#[derive(Serialize, ToSchema)]
pub(crate) struct ReachedItem {
    /// Its short name.
    pub(crate) name: String,
    /// low, medium, high or safety.
    pub(crate) criticality: String,
    /// Where it stands.
    pub(crate) site: String,
    /// The issuers inside the radius whose devices it lets in.
    pub(crate) trusts: Vec<String>,
    /// The services that devices of the radius reach through it.
    pub(crate) serves: Vec<String>,
    /// Whether it refuses what is revoked, as last proved: proven, failing or unverified.
    pub(crate) verdict: String,
}

impl From<Reached> for ReachedItem {
    fn from(reached: Reached) -> ReachedItem {
        let words = |names: Vec<tenure_domain::Title>| names.into_iter().map(String::from);
        ReachedItem {
            name: reached.name.to_string(),
            criticality: reached.criticality.to_string(),
            site: reached.site.to_string(),
            trusts: reached.trusts.into_iter().map(String::from).collect(),
            serves: words(reached.serves).collect(),
            verdict: reached.verdict.to_string(),
        }
    }
}

/// Whom it concerns that something is no longer to be trusted.
#[derive(Serialize, ToSchema)]
pub(crate) struct BlastItem {
    /// What kind of thing.
    pub(crate) kind: String,
    /// Its name.
    pub(crate) name: String,
    /// As of when (RFC 3339).
    pub(crate) at: String,
    /// All devices.
    pub(crate) devices: TallyItem,
    /// The certificates inside.
    pub(crate) certificates: CertificatesItem,
    /// Certificates by issuer.
    pub(crate) by_issuer: BTreeMap<String, CertificatesItem>,
    /// Devices by criticality.
    pub(crate) by_criticality: BTreeMap<String, TallyItem>,
    /// Devices by class.
    pub(crate) by_class: BTreeMap<String, TallyItem>,
    /// Devices by site.
    pub(crate) by_site: BTreeMap<String, TallyItem>,
    /// Devices by owner.
    pub(crate) by_owner: BTreeMap<String, TallyItem>,
    /// Devices by service; one that talks to two is in both.
    pub(crate) by_service: BTreeMap<String, TallyItem>,
    /// The relying parties it reaches.
    pub(crate) relying_parties: Vec<ReachedItem>,
    /// Of an operator: what was done, by the kind of event.
    pub(crate) acts: BTreeMap<String, u64>,
}

fn named<K: ToString, V, T: for<'v> From<&'v V>>(map: &BTreeMap<K, V>) -> BTreeMap<String, T> {
    map.iter()
        .map(|(name, value)| (name.to_string(), value.into()))
        .collect()
}

impl From<Blast> for BlastItem {
    fn from(blast: Blast) -> BlastItem {
        let radius = blast.radius;
        BlastItem {
            kind: blast.kind.to_string(),
            name: blast.name,
            at: blast.at.to_string(),
            devices: (&radius.devices).into(),
            certificates: (&radius.certificates).into(),
            by_issuer: named(&radius.by_issuer),
            by_criticality: named(&radius.by_criticality),
            by_class: named(&radius.by_class),
            by_site: named(&radius.by_site),
            by_owner: named(&radius.by_owner),
            by_service: named(&radius.by_service),
            relying_parties: blast
                .relying_parties
                .into_iter()
                .map(ReachedItem::from)
                .collect(),
            acts: radius
                .acts
                .into_iter()
                .map(|(word, n)| (word.to_owned(), n))
                .collect(),
        }
    }
}

/// A device of a radius.
#[derive(Serialize, ToSchema)]
pub(crate) struct AffectedItem {
    /// Its registered name.
    pub(crate) id: String,
    /// exposed, suspended, withdrawn or without.
    pub(crate) exposure: String,
    /// Whether it has another certificate in force, outside of the radius.
    pub(crate) goes_on: bool,
    /// low, medium, high or safety.
    pub(crate) criticality: String,
    /// Its class.
    pub(crate) class: String,
    /// Where it is.
    pub(crate) site: String,
    /// Who answers for it.
    pub(crate) owner: String,
    /// The services it talks to.
    pub(crate) services: Vec<String>,
    /// Where it is in its life.
    pub(crate) standing: String,
}

impl From<Affected> for AffectedItem {
    fn from(affected: Affected) -> AffectedItem {
        let device = affected.device;
        AffectedItem {
            id: device.id.to_string(),
            exposure: affected.seen.exposure().to_string(),
            goes_on: affected.seen.goes_on(),
            criticality: device.criticality.to_string(),
            class: device.class.to_string(),
            site: device.site.to_string(),
            owner: device.owner.to_string(),
            services: device.services.iter().map(ToString::to_string).collect(),
            standing: device.standing.to_string(),
        }
    }
}

/// The radius of what is named.
pub(crate) async fn found(desk: &Desk, centre: &Centre) -> Result<BlastItem, Problem> {
    let kind = centre.kind()?;
    Ok(desk.engine().radius(kind, &centre.name).await?.into())
}

/// One page of its devices.
pub(crate) async fn affected(
    desk: &Desk,
    centre: &Centre,
    filter: AffectedFilter,
    paging: &Paging,
) -> Result<Page<AffectedItem>, Problem> {
    let whom = (centre.kind()?, centre.name.as_str());
    let page = desk
        .engine()
        .affected_devices(whom, filter, paging.cursor.clone(), paging.items())
        .await?;
    Ok(Page {
        items: page.items.into_iter().map(AffectedItem::from).collect(),
        next: page.next,
    })
}

async fn show(
    State(desk): State<Desk>,
    Query(centre): Query<Centre>,
) -> Result<Json<BlastItem>, Problem> {
    found(&desk, &centre).await.map(Json)
}

async fn devices(
    State(desk): State<Desk>,
    Query(centre): Query<Centre>,
    Query(narrowed): Query<Narrowed>,
    Query(paging): Query<Paging>,
) -> Result<Json<Page<AffectedItem>>, Problem> {
    let filter = AffectedFilter {
        exposure: some_word("exposure", narrowed.exposure.as_deref())?,
        criticality: some_word("criticality", narrowed.criticality.as_deref())?,
    };
    affected(&desk, &centre, filter, &paging).await.map(Json)
}
