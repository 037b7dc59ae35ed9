//! `/decide`, `/trust` and `/decisions`: may this device be let in there, and why not.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tenure_domain::decision::{Ground, Verdict, VerdictId};
use tenure_domain::operator::Permission::{self, ReadFleet};
use tenure_engine::store::verdict;
use tenure_engine::{Agreement, Decided};
use utoipa::{IntoParams, ToSchema};

use super::body::{Json, Path, Query, word};
use super::page::{Page, Paging};
use super::{Caller, Desk, Route};
use crate::decision::{self, Knock};
use crate::problem::Problem;

pub(super) fn routes() -> Vec<Route> {
    let mut routes = vec![asking()];
    routes.extend([
        Route::get(
            "/trust/{device}",
            ReadFleet,
            "What is known of a device, and whether it may be let in somewhere",
            trust,
        )
        .asks::<Where>()
        .answers::<VerdictItem>(),
        Route::get(
            "/decisions",
            ReadFleet,
            "List what was said, newest first",
            said,
        )
        .asks::<Which>()
        .asks::<Paging>()
        .lists::<SaidItem>(),
        Route::get(
            "/decisions/{verdict}",
            ReadFleet,
            "Make a verdict again from what was kept of it",
            replay,
        )
        .answers::<ReplayedItem>(),
    ]);
    routes
}

/// The one route that relying parties need.
pub(crate) fn asking() -> Route {
    Route::post(
        "/decide",
        Permission::Decide,
        "Ask whether a device may be let in",
        decide,
    )
    .takes::<DecideAsked>()
    .answers::<VerdictItem>()
}

/// Who knocks, and where. What is left out is not known.
#[derive(Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
struct DecideAsked {
    /// The device's name.
    device: Option<String>,
    /// The certificate that was shown: PEM, PEM with percent signs, or base64 DER.
    certificate: Option<String>,
    /// The serial of the certificate that was shown, hex; instead of the certificate.
    serial: Option<String>,
    /// Its issuer's short name, where two issuers used the same serial.
    issuer: Option<String>,
    /// The SHA-256 of the certificate's DER, hex: to be compared if it comes with a serial, to find the
    /// certificate by if it comes alone. The first such question after a start is answered with 429 and
    /// a Retry-After while an index is made.
    fingerprint: Option<String>,
    /// The service that the device wants to reach. A relying party with one service need not say it.
    service: Option<String>,
    /// The site at which the device must stand.
    site: Option<String>,
    /// The address that it comes from; ignored unless the policy asks for it.
    source: Option<String>,
}

/// A reason.
#[derive(Serialize, ToSchema)]
pub(crate) struct GroundItem {
    /// Its word; the list is in docs/decisions.md.
    pub(crate) reason: String,
    /// What is the case, and what to do.
    pub(crate) text: &'static str,
}

/// A verdict.
#[derive(Serialize, ToSchema)]
pub(crate) struct VerdictItem {
    /// Its name, under which it can be made again.
    pub(crate) id: String,
    /// The device, if it is known.
    pub(crate) device: Option<String>,
    /// allow or deny: what a relying party is to do.
    pub(crate) access: String,
    /// trusted, untrusted or unknown.
    pub(crate) verdict: String,
    /// quarantine, limited or full.
    pub(crate) tier: String,
    /// raised if it is let in although it is not known to be trusted; quiet otherwise.
    pub(crate) alarm: String,
    /// Why, what decides first.
    pub(crate) reasons: Vec<GroundItem>,
    /// What it rests on.
    pub(crate) evidence: Vec<String>,
    /// When it was made (RFC 3339).
    pub(crate) decided: String,
    /// Until when it may be used (RFC 3339); it may be wrong for no longer than that.
    pub(crate) valid_until: String,
    /// Until when a relying party that cannot reach us may go on using it (RFC 3339); null if it must
    /// turn the device away.
    pub(crate) unreachable_until: Option<String>,
}

impl VerdictItem {
    pub(crate) fn new(id: &VerdictId, device: Option<String>, verdict: &Verdict) -> VerdictItem {
        VerdictItem {
            id: id.to_string(),
            device,
            access: verdict.access.to_string(),
            verdict: verdict.trust.to_string(),
            tier: verdict.tier.to_string(),
            alarm: verdict.alarm.to_string(),
            reasons: verdict
                .grounds
                .iter()
                .map(|ground| said_as(*ground))
                .collect(),
            evidence: verdict.evidence.clone(),
            decided: verdict.decided.to_string(),
            valid_until: verdict.valid_until.to_string(),
            unreachable_until: verdict.unreachable_until.map(|at| at.to_string()),
        }
    }
}

impl From<&Decided> for VerdictItem {
    fn from(decided: &Decided) -> VerdictItem {
        let device = decided.device.as_ref().map(ToString::to_string);
        VerdictItem::new(&decided.id, device, &decided.verdict)
    }
}

fn said_as(ground: Ground) -> GroundItem {
    GroundItem {
        reason: ground.to_string(),
        text: ground.sentence(),
    }
}

async fn decide(
    State(desk): State<Desk>,
    caller: Caller,
    Json(asked): Json<DecideAsked>,
) -> Result<Json<VerdictItem>, Problem> {
    let knock = Knock {
        device: asked.device,
        certificate: asked.certificate,
        serial: asked.serial,
        issuer: asked.issuer,
        fingerprint: asked.fingerprint,
        service: asked.service,
        site: asked.site,
        source: asked.source,
    };
    Ok(Json((&decision::decide(&desk, &caller, &knock)?).into()))
}

/// Where it would be let in.
#[derive(Default, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
struct Where {
    /// The service; without it, only what is known of the device is said.
    service: Option<String>,
    /// The site at which the device must stand.
    site: Option<String>,
}

async fn trust(
    State(desk): State<Desk>,
    Path(id): Path<String>,
    Query(place): Query<Where>,
) -> Result<Json<VerdictItem>, Problem> {
    let decided = of_device(&desk, &id, place.service.as_deref(), place.site.as_deref())?;
    Ok(Json((&decided).into()))
}

/// What is said of a registered device, by its newest certificate.
pub(crate) fn of_device(
    desk: &Desk,
    id: &str,
    service: Option<&str>,
    site: Option<&str>,
) -> Result<Decided, Problem> {
    let known = super::device::known(desk, id)?;
    let question = tenure_domain::decision::Question {
        device: Some(known.id),
        service: super::body::some_word("service", service)?,
        site: super::body::some_word("site", site)?,
        ..Default::default()
    };
    let ask = tenure_engine::DecideAsk {
        identity: tenure_engine::Identity::Named,
        question,
    };
    Ok(desk.engine().decide(&ask)?)
}

/// About which device.
#[derive(Default, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
struct Which {
    /// Its name; all if left out.
    device: Option<String>,
}

/// What was said of a device at one time.
#[derive(Serialize, ToSchema)]
pub(crate) struct SaidItem {
    /// The verdict's name.
    pub(crate) id: String,
    /// The device.
    pub(crate) device: Option<String>,
    /// When it was said first on these facts (RFC 3339).
    pub(crate) at: String,
    /// The service that was asked about.
    pub(crate) service: Option<String>,
    /// The relying party that asked.
    pub(crate) relying_party: Option<String>,
    /// allow or deny.
    pub(crate) access: String,
    /// trusted, untrusted or unknown.
    pub(crate) verdict: String,
    /// quarantine, limited or full.
    pub(crate) tier: String,
    /// The words of the reasons, what decided first.
    pub(crate) reasons: Vec<String>,
}

async fn said(
    State(desk): State<Desk>,
    Query(which): Query<Which>,
    Query(paging): Query<Paging>,
) -> Result<Json<Page<SaidItem>>, Problem> {
    Ok(Json(said_of(&desk, which.device.as_deref(), &paging)?))
}

/// One page of what was said of a device, or of all, newest first.
pub(crate) fn said_of(
    desk: &Desk,
    id: Option<&str>,
    paging: &Paging,
) -> Result<Page<SaidItem>, Problem> {
    let id = id.filter(|id| !id.is_empty());
    let known = id.map(|id| super::device::known(desk, id)).transpose()?;
    let (before, limit) = (paging.number()?, paging.limit());
    let rows = desk.glance(|tx| match &known {
        Some(known) => verdict::of_device(tx, known.no, before, limit),
        None => verdict::list(tx, before, limit),
    })?;
    Ok(Page::up_to(limit, rows, |row| row.no).map(said_item))
}

fn said_item(row: verdict::Said) -> SaidItem {
    let body: Value = serde_json::from_slice(&row.body).unwrap_or_default();
    let text = |path: &str| {
        body.pointer(path)
            .and_then(Value::as_str)
            .map(str::to_owned)
    };
    let mut words = row.outcome.split(' ').map(str::to_owned);
    let mut next = || words.next().unwrap_or_default();
    let (access, verdict, tier, _alarm, reasons) = (next(), next(), next(), next(), next());
    let id = VerdictId {
        facts: row.id,
        at: row.at,
    };
    SaidItem {
        id: id.to_string(),
        at: row.at.to_string(),
        device: text("/1/device/id"),
        service: text("/0/service"),
        relying_party: text("/0/party"),
        access,
        verdict,
        tier,
        reasons: reasons.split(',').map(str::to_owned).collect(),
    }
}

/// A verdict made again.
#[derive(Serialize, ToSchema)]
struct ReplayedItem {
    /// same, or different: then what was kept, or this release, is not what it was.
    agreement: &'static str,
    /// What comes of it.
    verdict: VerdictItem,
    /// What was said then: access, verdict, tier, alarm and the words of the reasons.
    said: Vec<String>,
    /// What was asked.
    question: Value,
    /// What was known.
    facts: Value,
}

async fn replay(
    State(desk): State<Desk>,
    Path(id): Path<String>,
) -> Result<Json<ReplayedItem>, Problem> {
    let id: VerdictId = word("verdict", &id)?;
    let again = desk.engine().replay(&id)?;
    let device = again.facts.device.as_ref().map(|it| it.id.to_string());
    Ok(Json(ReplayedItem {
        agreement: match again.agreement {
            Agreement::Same => "same",
            Agreement::Different => "different",
        },
        verdict: VerdictItem::new(&id, device, &again.verdict),
        said: again.said,
        question: serde_json::to_value(&again.question).unwrap_or_default(),
        facts: serde_json::to_value(&again.facts).unwrap_or_default(),
    }))
}
