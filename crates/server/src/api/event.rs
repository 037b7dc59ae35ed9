//! `/events`: what happened, in the order of recording.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tenure_domain::ids::{DeviceNo, EventSeq};
use tenure_domain::operator::Permission::ReadFleet;
use tenure_engine::store::event::{self, StoredEvent};
use utoipa::{IntoParams, ToSchema};

use super::body::{Json, Query};
use super::page::{Page, Paging};
use super::{Desk, Route, device};
use crate::problem::Problem;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get(
            "/events",
            ReadFleet,
            "List events: all, oldest or newest first; or a device's, newest first",
            list,
        )
        .asks::<Filter>()
        .asks::<Paging>()
        .lists::<EventItem>(),
    ]
}

/// An event.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct EventItem {
    /// Its number: its place in the order of recording, from 1.
    pub(crate) seq: i64,
    /// When it was recorded (RFC 3339).
    pub(crate) at: String,
    /// Since when it is true, if that is another time (RFC 3339).
    pub(crate) since: Option<String>,
    /// What happened, as a word.
    pub(crate) what: String,
    /// The device it concerns.
    pub(crate) device: Option<String>,
    /// Who did it.
    pub(crate) by: String,
    /// The particulars.
    pub(crate) detail: Value,
}

impl EventItem {
    /// Reads a leaf. What the leaf does not say is left empty: a list must not fail for one event.
    pub(crate) fn of(event: &StoredEvent) -> EventItem {
        let leaf: Value = serde_json::from_slice(&event.leaf).unwrap_or_default();
        let text = |name: &str| leaf.get(name).and_then(Value::as_str);
        let detail = leaf.get("event").map(|event| match event {
            Value::Object(named) => named.values().next().cloned().unwrap_or_default(),
            _ => Value::Null,
        });
        let at = event.at.to_string();
        EventItem {
            seq: event.seq.0,
            since: text("valid")
                .filter(|valid| *valid != at)
                .map(str::to_owned),
            at,
            what: event.kind.to_owned(),
            device: text("device").map(str::to_owned),
            by: leaf.get("actor").map(who).unwrap_or_default(),
            detail: detail.unwrap_or_default(),
        }
    }
}

/// Who did it, out of an actor that was kept as JSON; none if none was kept.
pub(crate) fn kept_actor(kept: &str) -> Option<String> {
    match serde_json::from_str(kept) {
        Ok(actor) => Some(who(&actor)),
        Err(_) => (!kept.is_empty()).then(|| kept.to_owned()),
    }
}

fn who(actor: &Value) -> String {
    let text = |name: &str| actor.get(name).and_then(Value::as_str).unwrap_or_default();
    match text("by") {
        "operator" => format!("{} ({})", text("name"), text("role")),
        "device" => format!("device {}", text("device")),
        "system" => format!("tenure ({})", text("duty")),
        other => other.to_owned(),
    }
}

/// Which events.
#[derive(Default, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
struct Filter {
    /// Only those of this device, newest first.
    device: Option<String>,
    /// Only those after this number.
    after: Option<i64>,
    /// oldest or newest: which come first. A device's come newest first, all others oldest first if
    /// this is left out.
    order: Option<String>,
}

async fn list(
    State(desk): State<Desk>,
    Query(filter): Query<Filter>,
    Query(paging): Query<Paging>,
) -> Result<Json<Page<EventItem>>, Problem> {
    let after = filter.after.unwrap_or(0);
    let device = filter.device.as_deref().filter(|id| !id.is_empty());
    let order = filter.order.as_deref().filter(|order| !order.is_empty());
    let page = match (device, order) {
        (Some(id), None | Some("newest")) => {
            let page = of_device(&desk, device::known(&desk, id)?.no, &paging).await?;
            down_to(after, page)
        }
        (None, Some("newest")) => down_to(after, newest(&desk, &paging).await?),
        (None, None | Some("oldest")) => oldest(&desk, after, &paging).await?,
        (Some(_), Some("oldest")) => {
            let what = "order: a device's events are listed newest first; leave it out";
            return Err(Problem::bad_request(what));
        }
        _ => return Err(Problem::bad_request("order: use oldest or newest")),
    };
    Ok(Json(page))
}

/// What of a page, newest first, comes after this number.
fn down_to(after: i64, mut page: Page<EventItem>) -> Page<EventItem> {
    let whole = page.items.len();
    page.items.retain(|event| event.seq > after);
    if page.items.len() < whole {
        page.next = None;
    }
    page
}

async fn oldest(desk: &Desk, after: i64, paging: &Paging) -> Result<Page<EventItem>, Problem> {
    let after = paging.number()?.unwrap_or(0).max(after);
    let limit = paging.limit();
    let found = desk
        .read(move |tx| event::after(tx, EventSeq(after), limit))
        .await?;
    Ok(paged(&found, limit))
}

async fn newest(desk: &Desk, paging: &Paging) -> Result<Page<EventItem>, Problem> {
    let (before, limit) = (paging.number()?.map(EventSeq), paging.limit());
    let found = desk
        .read(move |tx| event::before(tx, before, limit))
        .await?;
    Ok(paged(&found, limit))
}

/// A device's events, newest first.
pub(crate) async fn of_device(
    desk: &Desk,
    device: DeviceNo,
    paging: &Paging,
) -> Result<Page<EventItem>, Problem> {
    let (before, limit) = (paging.number()?.map(EventSeq), paging.limit());
    let found = desk
        .read(move |tx| event::of_device(tx, device, before, limit))
        .await?;
    Ok(paged(&found, limit))
}

fn paged(found: &[StoredEvent], limit: u32) -> Page<EventItem> {
    let items = found.iter().map(EventItem::of).collect();
    Page::up_to(limit, items, |event: &EventItem| event.seq)
}
