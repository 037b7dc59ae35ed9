//! `/probes` and `/enforcement`: what relying parties do with canaries, and how soon.

use std::collections::BTreeMap;

use axum::extract::State;
use serde::{Deserialize, Serialize};
use tenure_domain::canary::{Canary, ProbeScope, Reception, Trial};
use tenure_domain::ids::ProbeNo;
use tenure_domain::operator::Permission::{ReadFleet, Withdraw};
use tenure_engine::store::relying_party::Known;
use tenure_engine::store::{StoreError, probe};
use utoipa::{IntoParams, ToSchema};

use super::body::{Json, Path, Query, some_word};
use super::page::{Page, Paging};
use super::{Desk, Route, relying_party};
use crate::limits::PROBED_MAX;
use crate::problem::Problem;

/// Most measurements that a distribution is made of.
const TIMES_MAX: u32 = 10_000;
/// The upper ends of the histogram's buckets, in milliseconds.
const BUCKETS_MS: [i64; 12] = [
    100, 250, 500, 1_000, 2_500, 5_000, 10_000, 30_000, 60_000, 300_000, 900_000, 3_600_000,
];
const DAY_S: i64 = 86_400;
const DAYS_MAX: u16 = 3_660;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get("/probes", ReadFleet, "List probes, newest first", list)
            .asks::<Filter>()
            .asks::<Paging>()
            .lists::<ProbeItem>(),
        Route::post(
            "/probes",
            Withdraw,
            "Probe relying parties now; canaries are made, tried, revoked and tried again",
            start,
        )
        .takes::<Wanted>()
        .answers::<Started>(),
        Route::get("/probes/{no}", ReadFleet, "Show a probe", show).answers::<ProbeItem>(),
        Route::get(
            "/enforcement",
            ReadFleet,
            "What each relying party did with each canary the last time, by name",
            matrix,
        )
        .asks::<Paging>()
        .lists::<EnforcementRow>(),
        Route::get(
            "/enforcement/times",
            ReadFleet,
            "How long revocations took to be enforced",
            times,
        )
        .asks::<Since>()
        .answers::<Times>(),
    ]
}

/// What became of one canary.
#[derive(Serialize, ToSchema)]
struct TrialItem {
    /// valid, revoked, expired, not-yet-valid, wrong-usage, other-domain, look-alike,
    /// constraint-breaker, incoming, outgoing, superseded, other-issuer or live-session.
    canary: String,
    /// Whose.
    issuer: String,
    /// accepted, refused or unreachable.
    reception: String,
    /// What it must be.
    expected: String,
    /// How, in a few words.
    how: String,
}

impl From<Trial> for TrialItem {
    fn from(trial: Trial) -> TrialItem {
        TrialItem {
            expected: trial.canary.expected().to_string(),
            canary: trial.canary.to_string(),
            issuer: trial.issuer.to_string(),
            reception: trial.reception.to_string(),
            how: trial.how,
        }
    }
}

/// A probe of a relying party.
#[derive(Serialize, ToSchema)]
struct ProbeItem {
    /// Its number.
    no: i64,
    /// The relying party.
    relying_party: String,
    /// What was tried: matrix or revocation.
    scope: String,
    /// proven, failing or unverified.
    verdict: String,
    /// When it began (RFC 3339).
    began: String,
    /// When it ended (RFC 3339).
    ended: String,
    /// From the revocation on record to the first refusal, in milliseconds.
    enforced_ms: Option<i64>,
    /// Everything that was tried.
    trials: Vec<TrialItem>,
}

impl From<probe::Probe> for ProbeItem {
    fn from(probe: probe::Probe) -> ProbeItem {
        ProbeItem {
            no: probe.no.0,
            relying_party: probe.party.to_string(),
            scope: probe.round.scope.to_string(),
            verdict: probe.verdict.to_string(),
            began: probe.began.to_string(),
            ended: probe.ended.to_string(),
            enforced_ms: probe.round.enforced_ms,
            trials: probe
                .round
                .trials
                .into_iter()
                .map(TrialItem::from)
                .collect(),
        }
    }
}

/// Which probes.
#[derive(Default, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
struct Filter {
    /// Of this relying party only.
    relying_party: Option<String>,
    /// Only those after this number, oldest first, to wait for what was started.
    after: Option<i64>,
}

async fn list(
    State(desk): State<Desk>,
    Query(filter): Query<Filter>,
    Query(paging): Query<Paging>,
) -> Result<Json<Page<ProbeItem>>, Problem> {
    let (tenant, limit) = (desk.engine().tenant(), paging.limit());
    let items = match filter.after {
        Some(after) => {
            let after = ProbeNo(paging.number()?.unwrap_or(after));
            desk.read(move |tx| probe::after(tx, tenant, after, limit))
                .await?
        }
        None => {
            let party = match filter
                .relying_party
                .as_deref()
                .filter(|name| !name.is_empty())
            {
                Some(name) => Some(relying_party::known(&desk, name)?.no),
                None => None,
            };
            let before = paging.number()?.map(ProbeNo);
            desk.read(move |tx| probe::list(tx, tenant, party, before, limit))
                .await?
        }
    };
    let page = Page::up_to(limit, items, |probe| probe.no.0);
    Ok(Json(page.map(ProbeItem::from)))
}

async fn show(State(desk): State<Desk>, Path(no): Path<i64>) -> Result<Json<ProbeItem>, Problem> {
    let found = desk.glance(|tx| probe::by_no(tx, ProbeNo(no)))?;
    let found = found.ok_or_else(|| Problem::not_found(format!("Probe {no}")))?;
    Ok(Json(found.into()))
}

/// What to probe.
#[derive(Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
struct Wanted {
    /// The relying parties; all if left out.
    relying_parties: Vec<String>,
    /// matrix (every canary) or revocation (only how soon a revocation is enforced); matrix if left
    /// out.
    scope: Option<String>,
}

/// What was started.
#[derive(Serialize, ToSchema)]
struct Started {
    /// Probes with a greater number are those of this round; ask for them with `after`.
    after: i64,
    /// The relying parties that are being probed.
    relying_parties: Vec<String>,
    /// When the last of them must be through, in seconds from now.
    within_s: i64,
}

/// Room for making canaries and for visits that take as long as they may, in seconds.
const ROUND_MARGIN_S: i64 = 120;

async fn start(
    State(desk): State<Desk>,
    Json(wanted): Json<Wanted>,
) -> Result<Json<Started>, Problem> {
    let scope = some_word("scope", wanted.scope.as_deref())?.unwrap_or(ProbeScope::Matrix);
    let tenant = desk.engine().tenant();
    let parties: Vec<Known> = if wanted.relying_parties.is_empty() {
        desk.read(move |tx| tenure_engine::store::relying_party::list(tx, tenant, "", PROBED_MAX))
            .await?
    } else {
        let names = wanted.relying_parties.iter();
        names
            .map(|name| relying_party::known(&desk, name))
            .collect::<Result<_, _>>()?
    };
    let Some(slowest) = parties
        .iter()
        .map(|known| known.party.enforce_within_s)
        .max()
    else {
        return Err(Problem::bad_request(
            "no relying party is registered; add one with `tenure relying-party add`",
        ));
    };
    let after = desk.glance(probe::last_no)?;
    let started = Started {
        after: after.0,
        relying_parties: parties
            .iter()
            .map(|known| known.party.name.to_string())
            .collect(),
        within_s: slowest.saturating_add(ROUND_MARGIN_S),
    };
    let prober = desk.prober().clone();
    tokio::spawn(async move { prober.round_and_report(parties, scope).await });
    Ok(Json(started))
}

/// What a relying party did with the canaries.
#[derive(Serialize, ToSchema)]
pub(crate) struct EnforcementRow {
    /// The relying party.
    pub(crate) relying_party: String,
    /// Where it listens.
    pub(crate) address: String,
    /// low, medium, high or safety.
    pub(crate) criticality: String,
    /// What its last probe showed: proven, failing or unverified. Never probed is unverified.
    pub(crate) verdict: String,
    /// When that was (RFC 3339).
    pub(crate) at: Option<String>,
    /// By canary, what became of it; where several issuers differ, the one that is not as it must be.
    pub(crate) receptions: BTreeMap<String, String>,
    /// Each canary of each issuer.
    pub(crate) cells: Vec<CellItem>,
}

/// One canary of one issuer at one relying party.
#[derive(Serialize, ToSchema)]
pub(crate) struct CellItem {
    /// The canary.
    pub(crate) canary: String,
    /// Whose.
    pub(crate) issuer: String,
    /// accepted, refused or unreachable.
    pub(crate) reception: String,
    /// Whether it is as it must be: good, bad, unknown where it could not be asked, or pending where
    /// it only shows that a rollover is not through.
    pub(crate) judgement: String,
    /// How, in a few words.
    pub(crate) how: String,
    /// When (RFC 3339).
    pub(crate) at: String,
    /// In which probe.
    pub(crate) probe: i64,
}

/// Whether a reception is as it must be.
fn judgement(canary: Canary, reception: Reception) -> &'static str {
    match reception {
        Reception::Unreachable => "unknown",
        other if canary.is_progress() && other != canary.expected() => "pending",
        other if other == canary.expected() => "good",
        Reception::Accepted | Reception::Refused => "bad",
    }
}

async fn matrix(
    State(desk): State<Desk>,
    Query(paging): Query<Paging>,
) -> Result<Json<Page<EnforcementRow>>, Problem> {
    rows(&desk, &paging).await.map(Json)
}

/// One page of the matrix, by the names of the relying parties.
pub(crate) async fn rows(desk: &Desk, paging: &Paging) -> Result<Page<EnforcementRow>, Problem> {
    let page = relying_party::page(desk, paging).await?;
    let Page { items, next } = page;
    let items = desk
        .read(move |tx| {
            let rows = items.into_iter().map(|known| {
                let last = probe::last_verdict(tx, known.no)?;
                Ok(row(&known, last, probe::cells(tx, known.no)?))
            });
            rows.collect::<Result<Vec<_>, StoreError>>()
        })
        .await?;
    Ok(Page { items, next })
}

fn row(
    known: &Known,
    last: Option<(tenure_domain::canary::ProbeVerdict, tenure_x509::Time)>,
    cells: Vec<probe::Cell>,
) -> EnforcementRow {
    let mut receptions = BTreeMap::new();
    for cell in &cells {
        let Trial {
            canary, reception, ..
        } = cell.trial;
        let is_good = judgement(canary, reception) == "good";
        if !is_good || !receptions.contains_key(canary.word()) {
            receptions.insert(canary.to_string(), reception.to_string());
        }
    }
    let unverified = tenure_domain::canary::ProbeVerdict::Unverified;
    EnforcementRow {
        relying_party: known.party.name.to_string(),
        address: known.party.address.to_string(),
        criticality: known.party.criticality.to_string(),
        verdict: last.map_or(unverified, |(verdict, _)| verdict).to_string(),
        at: last.map(|(_, at)| at.to_string()),
        receptions,
        cells: cells.into_iter().map(CellItem::from).collect(),
    }
}

impl From<probe::Cell> for CellItem {
    fn from(cell: probe::Cell) -> CellItem {
        CellItem {
            judgement: judgement(cell.trial.canary, cell.trial.reception).to_owned(),
            canary: cell.trial.canary.to_string(),
            issuer: cell.trial.issuer.to_string(),
            reception: cell.trial.reception.to_string(),
            how: cell.trial.how,
            at: cell.at.to_string(),
            probe: cell.probe.0,
        }
    }
}

/// What one relying party did with each canary the last time.
pub(crate) fn cells(desk: &Desk, known: &Known) -> Result<Vec<CellItem>, Problem> {
    let found = desk.glance(|tx| probe::cells(tx, known.no))?;
    Ok(found.into_iter().map(CellItem::from).collect())
}

/// Which measurements.
#[derive(Default, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
struct Since {
    /// Of the last so many days, 1 to 3660; 30 if left out.
    days: Option<u16>,
}

/// How long revocations took to be enforced.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Times {
    /// Of all relying parties together.
    pub(crate) all: Distribution,
    /// How many lie in each bucket.
    pub(crate) histogram: Vec<Bucket>,
    /// Of each relying party, by name.
    pub(crate) relying_parties: BTreeMap<String, Distribution>,
}

/// A distribution of milliseconds.
#[derive(Debug, Default, PartialEq, Eq, Serialize, ToSchema)]
pub(crate) struct Distribution {
    /// How many were measured.
    pub(crate) count: u64,
    /// Half took at most so long, in milliseconds.
    pub(crate) p50_ms: Option<i64>,
    /// Nineteen of twenty took at most so long, in milliseconds.
    pub(crate) p95_ms: Option<i64>,
    /// The longest, in milliseconds.
    pub(crate) max_ms: Option<i64>,
}

/// A bucket of a histogram.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct Bucket {
    /// Above the bucket before and up to so many milliseconds; none for all above.
    pub(crate) up_to_ms: Option<i64>,
    /// How many.
    pub(crate) count: u64,
}

/// The smallest value that `percent` of a hundred are not above (nearest rank).
fn percentile(sorted: &[i64], percent: usize) -> Option<i64> {
    let rank = (sorted.len() * percent).div_ceil(100).max(1);
    sorted.get(rank - 1).copied()
}

impl Distribution {
    pub(super) fn of(mut times: Vec<i64>) -> Distribution {
        times.sort_unstable();
        Distribution {
            count: times.len() as u64,
            p50_ms: percentile(&times, 50),
            p95_ms: percentile(&times, 95),
            max_ms: times.last().copied(),
        }
    }
}

/// The distribution of the last `days` days.
pub(crate) async fn distribution(desk: &Desk, days: u16) -> Result<Times, Problem> {
    let tenant = desk.engine().tenant();
    let since = desk.now().plus(-DAY_S * i64::from(days));
    let found = desk
        .read(move |tx| probe::times(tx, tenant, since, TIMES_MAX))
        .await?;
    let mut each: BTreeMap<String, Vec<i64>> = BTreeMap::new();
    let mut histogram: Vec<_> = BUCKETS_MS
        .into_iter()
        .map(Some)
        .chain([None])
        .map(|up_to_ms| Bucket { up_to_ms, count: 0 })
        .collect();
    for (party, ms) in &found {
        each.entry(party.to_string()).or_default().push(*ms);
        let fits = |bucket: &&mut Bucket| bucket.up_to_ms.is_none_or(|most| *ms <= most);
        if let Some(bucket) = histogram.iter_mut().find(fits) {
            bucket.count += 1;
        }
    }
    Ok(Times {
        all: Distribution::of(found.into_iter().map(|(_, ms)| ms).collect()),
        histogram,
        relying_parties: each
            .into_iter()
            .map(|(party, times)| (party, Distribution::of(times)))
            .collect(),
    })
}

async fn times(
    State(desk): State<Desk>,
    Query(since): Query<Since>,
) -> Result<Json<Times>, Problem> {
    let days = since.days.unwrap_or(30).clamp(1, DAYS_MAX);
    distribution(&desk, days).await.map(Json)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_of_the_nearest_rank() {
        let times = (1..=20).rev().collect();
        let expected = Distribution {
            count: 20,
            p50_ms: Some(10),
            p95_ms: Some(19),
            max_ms: Some(20),
        };
        assert_eq!(Distribution::of(times), expected);
        assert_eq!(Distribution::of(vec![7]).p50_ms, Some(7));
        assert_eq!(Distribution::of(Vec::new()), Distribution::default());
    }
}
