//! `/as-of`: which certificates were active, expired, held or revoked at a time.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use tenure_domain::operator::Permission::ReadFleet;
use tenure_domain::{CertificateNo, CertificateRow};
use tenure_engine::store::asof::{self, CountsAt, StateAt};
use tenure_engine::store::registry;
use tenure_engine::store::view::ListError;
use utoipa::{IntoParams, ToSchema};

use super::body::{Json, Query, time};
use super::page::{Page, Paging, bad_cursor};
use super::{Desk, Route, device, log};
use crate::problem::Problem;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get(
            "/as-of",
            ReadFleet,
            "Certificates as they were at a time",
            as_of,
        )
        .asks::<Asked>()
        .asks::<Paging>()
        .answers::<Past>(),
    ]
}

/// Which time, and whose certificates.
#[derive(Default, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
struct Asked {
    /// The time (RFC 3339).
    #[param(required = true)]
    at: Option<String>,
    /// The certificates of this device.
    device: Option<String>,
    /// Those of the devices that were then at this site or at one that is in it now, page by page.
    site: Option<String>,
    /// For a device: `now` (if left out) tells what is known about that time now, so that a key
    /// thought bad since before it counts as revoked; `then` what was known at that time.
    known: Option<String>,
}

/// The fleet, a site or a device at a time.
#[derive(Serialize, ToSchema)]
struct Past {
    /// The time (RFC 3339).
    at: String,
    /// How many certificates were in which state; null on a page after the first.
    counts: Option<Counts>,
    /// They themselves, if a device or a site was named.
    items: Vec<CertificateAt>,
    /// The cursor of the next page of a site's; none after the last. A device's are listed whole.
    next: Option<String>,
    /// The log's newest signed checkpoint (C2SP tlog-checkpoint) when this was answered: with the
    /// entries up to it anyone can work the answer out again. Null before the first.
    checkpoint: Option<String>,
}

/// Certificates counted by state.
#[derive(Default, Serialize, ToSchema)]
struct Counts {
    active: u64,
    expired: u64,
    held: u64,
    revoked: u64,
}

impl From<CountsAt> for Counts {
    fn from(counts: CountsAt) -> Counts {
        Counts {
            active: counts.active,
            expired: counts.expired,
            held: counts.held,
            revoked: counts.revoked,
        }
    }
}

impl Counts {
    fn add(&mut self, state: StateAt) {
        let count = match state {
            StateAt::Active => &mut self.active,
            StateAt::Expired => &mut self.expired,
            StateAt::Held => &mut self.held,
            StateAt::Revoked => &mut self.revoked,
        };
        *count += 1;
    }
}

/// A certificate as it was at a time.
#[derive(Serialize, ToSchema)]
struct CertificateAt {
    /// The serial in lower-case hex.
    serial: String,
    /// active, expired, held or revoked.
    state: &'static str,
    /// The device that holds it.
    device: String,
    /// Its issuer's short name; null if only what was known then was asked for.
    issuer: Option<String>,
    /// From when it may be used (RFC 3339); null likewise.
    not_before: Option<String>,
    /// Until when it may be used (RFC 3339).
    not_after: String,
    /// The RFC 5280 reason, if it was revoked.
    reason: Option<String>,
}

fn was((row, state): (CertificateRow, StateAt)) -> CertificateAt {
    let revoked = row.revocation.filter(|_| state == StateAt::Revoked);
    CertificateAt {
        serial: row.serial.to_string(),
        state: state.word(),
        device: row.device_id.to_string(),
        issuer: Some(row.issuer_name.to_string()),
        not_before: Some(row.validity.not_before.to_string()),
        not_after: row.validity.not_after.to_string(),
        reason: revoked.map(|how| how.reason.to_string()),
    }
}

async fn as_of(
    State(desk): State<Desk>,
    Query(asked): Query<Asked>,
    Query(paging): Query<Paging>,
) -> Result<Json<Past>, Problem> {
    let text = asked.at.as_deref();
    let text =
        text.ok_or_else(|| Problem::bad_request("at: say which time, as 2026-11-22T08:00:00Z"))?;
    let at = time("at", text)?;
    let tenant = desk.engine().tenant();
    let checkpoint = log::published(&desk).await.ok().map(|(note, _)| note);
    let given = |text: &Option<String>| text.clone().filter(|text| !text.is_empty());
    let known = asked.known.as_deref().unwrap_or("now");
    if paging.cursor.is_some() && given(&asked.site).is_none() {
        return Err(bad_cursor());
    }
    let mut next = None;
    let (counts, items) = match (given(&asked.device), given(&asked.site), known) {
        (Some(id), None, "then") => {
            let device = device::known(&desk, &id)?;
            let told = desk.read(move |tx| asof::known(tx, device.no, at)).await?;
            let mut counts = Counts::default();
            told.iter().for_each(|told| counts.add(told.state));
            let shown = |told: asof::Told| CertificateAt {
                serial: told.serial,
                state: told.state.word(),
                device: id.clone(),
                issuer: None,
                not_before: None,
                not_after: told.not_after.to_string(),
                reason: told.reason.map(|reason| reason.to_string()),
            };
            (Some(counts), told.into_iter().map(shown).collect())
        }
        (Some(id), None, "now") => {
            let no = device::known(&desk, &id)?.no;
            let found = desk.read(move |tx| asof::device(tx, no, at)).await?;
            let mut counts = Counts::default();
            found.iter().for_each(|(_, state)| counts.add(*state));
            (Some(counts), found.into_iter().map(was).collect())
        }
        (None, Some(name), "now") => {
            let absent = Problem::not_found(format!("Site {name}"));
            let site = desk
                .glance(|tx| registry::site::no(tx, tenant, &name))?
                .ok_or(absent)?;
            let (last, limit) = (paging.number()?.map(CertificateNo), paging.items());
            let (counts, found) = desk
                .survey(move |tx| {
                    // All of them are counted once, not for each page again.
                    let counts = match last {
                        None => Some(asof::site(tx, site, at)?),
                        Some(_) => None,
                    };
                    let found = asof::site_list(tx, site, at, last, limit)?;
                    Ok::<_, ListError>((counts, found))
                })
                .await?;
            let page = Page::up_to(paging.limit(), found, |(row, _)| row.no.0).map(was);
            next = page.next;
            (counts.map(Counts::from), page.items)
        }
        (None, None, "now") => {
            let counts = desk.survey(move |tx| asof::fleet(tx, tenant, at)).await?;
            (Some(counts.into()), Vec::new())
        }
        (Some(_), Some(_), _) => {
            return Err(Problem::bad_request("device, site: name one of them"));
        }
        (None, _, "then") => {
            return Err(Problem::bad_request(
                "known: what was known then is told of one device",
            ));
        }
        _ => return Err(Problem::bad_request("known: use now or then")),
    };
    Ok(Json(Past {
        at: at.to_string(),
        counts,
        items,
        next,
        checkpoint,
    }))
}
