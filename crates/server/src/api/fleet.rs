//! `/fleet`: counts, and how many certificates end when.

use std::collections::BTreeMap;

use axum::extract::State;
use serde::{Deserialize, Serialize};
use tenure_domain::ask::AskState;
use tenure_domain::finding::FindingState;
use tenure_domain::incident::IncidentState;
use tenure_domain::operator::Permission::ReadFleet;
use tenure_domain::{Standing, Title};
use tenure_engine::ceremony::HOUSE;
use tenure_engine::store::{StoreError, finding, view};
use tenure_x509::Time;
use utoipa::{IntoParams, ToSchema};

use super::body::{Json, Query};
use super::page::Paging;
use super::{Desk, Route, ask, incident};
use crate::problem::Problem;

/// Longest time ahead that the histogram looks, in days.
const DAYS_MAX: u16 = 3_660;
/// Most open incidents and waiting asks counted one by one.
const COUNTED_MAX: u32 = 1_000;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get(
            "/fleet",
            ReadFleet,
            "Counts of devices and certificates",
            counts,
        )
        .answers::<Fleet>(),
        Route::get(
            "/fleet/expiry",
            ReadFleet,
            "How many certificates in force end on each day",
            expiry,
        )
        .asks::<Span>()
        .answers::<Histogram>(),
    ]
}

/// The fleet in numbers.
#[derive(Debug, Default, Serialize, ToSchema)]
pub(crate) struct Fleet {
    /// All devices, without the house's own subjects (class `tenure`).
    pub(crate) devices: u64,
    /// Devices by standing.
    pub(crate) by_standing: BTreeMap<String, u64>,
    /// Devices by site, each without those at the sites in it.
    pub(crate) by_site: BTreeMap<String, u64>,
    /// Devices by class.
    pub(crate) by_class: BTreeMap<String, u64>,
    /// Devices by owner.
    pub(crate) by_owner: BTreeMap<String, u64>,
    /// Certificates by status.
    pub(crate) certificates: BTreeMap<String, u64>,
    /// Requests that wait for a decision; counted up to 1000.
    pub(crate) asks_waiting: u64,
    /// Incidents that wait for a decision; counted up to 1000.
    pub(crate) incidents_open: u64,
    /// Findings that nobody has taken up; counted up to 1000.
    pub(crate) findings_open: u64,
}

fn words<T: ToString>(counted: BTreeMap<T, u64>) -> BTreeMap<String, u64> {
    counted
        .into_iter()
        .map(|(word, n)| (word.to_string(), n))
        .collect()
}

/// The counts without the house's own subjects, which no list shows unasked either. They are all at
/// the house's own site; of an owner that answers for them and for devices, both are counted.
fn without_house(mut counts: view::DeviceCounts) -> view::DeviceCounts {
    let is_house = |name: &Title| name.as_str() == HOUSE;
    let house = counts.by_class.iter().find(|(name, _)| is_house(name));
    for (standing, n) in house.into_iter().flat_map(|(_, standings)| standings) {
        if let Some(all) = counts.by_standing.get_mut(standing) {
            *all = all.saturating_sub(*n);
        }
    }
    counts.by_standing.retain(|_, n| *n > 0);
    counts.by_class.retain(|name, _| !is_house(name));
    counts.by_site.retain(|name, _| !is_house(name));
    counts
}

/// Counts the fleet.
pub(crate) async fn count(desk: &Desk) -> Result<Fleet, Problem> {
    let tenant = desk.engine().tenant();
    let (devices, certificates, findings) = desk
        .read(move |tx| {
            Ok::<_, StoreError>((
                view::device_counts(tx, tenant)?,
                view::certificate_counts(tx, tenant)?,
                finding::count(tx, tenant, FindingState::Open, COUNTED_MAX)?,
            ))
        })
        .await?;
    let devices = without_house(devices);
    let summed = |counted: BTreeMap<Title, BTreeMap<Standing, u64>>| {
        let each = counted.into_iter();
        each.map(|(name, standings)| (name.to_string(), standings.values().sum()))
            .collect()
    };
    let mut fleet = Fleet {
        devices: devices.by_standing.values().sum(),
        by_standing: words(devices.by_standing),
        by_site: summed(devices.by_site),
        by_class: summed(devices.by_class),
        by_owner: summed(devices.by_owner),
        certificates: words(certificates),
        asks_waiting: 0,
        incidents_open: 0,
        findings_open: findings,
    };
    let most = Paging {
        limit: Some(COUNTED_MAX),
        cursor: None,
    };
    fleet.asks_waiting = ask::page(desk, Some(AskState::Waiting), &most)
        .await?
        .items
        .len() as u64;
    fleet.incidents_open = incident::page(desk, Some(IncidentState::Open), &most)
        .await?
        .items
        .len() as u64;
    Ok(fleet)
}

async fn counts(State(desk): State<Desk>) -> Result<Json<Fleet>, Problem> {
    count(&desk).await.map(Json)
}

/// Which days.
#[derive(Default, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
struct Span {
    /// How many days from today, 1 to 3660; 90 if left out.
    days: Option<u16>,
}

/// How many certificates in force end on each day.
#[derive(Serialize, ToSchema)]
struct Histogram {
    /// Each day, in order.
    days: Vec<Day>,
}

/// One day.
#[derive(Serialize, ToSchema)]
struct Day {
    /// The day, as YYYY-MM-DD in UTC.
    day: String,
    /// How many end on it.
    certificates: u64,
}

/// `YYYY-MM-DD` of a time.
pub(crate) fn day_name(time: Time) -> String {
    time.to_string()
        .split('T')
        .next()
        .unwrap_or_default()
        .to_owned()
}

/// For each day from today, how many certificates in force end on it.
pub(crate) async fn ending(desk: &Desk, days: u16) -> Result<Vec<view::DayOfEnds>, Problem> {
    let (tenant, now) = (desk.engine().tenant(), desk.now());
    desk.read(move |tx| view::ends_by_day(tx, tenant, now, days))
        .await
}

async fn expiry(
    State(desk): State<Desk>,
    Query(span): Query<Span>,
) -> Result<Json<Histogram>, Problem> {
    let days = span.days.unwrap_or(90).clamp(1, DAYS_MAX);
    let found = ending(&desk, days).await?;
    let shown = |day: view::DayOfEnds| Day {
        day: day_name(day.day),
        certificates: day.current,
    };
    Ok(Json(Histogram {
        days: found.into_iter().map(shown).collect(),
    }))
}
