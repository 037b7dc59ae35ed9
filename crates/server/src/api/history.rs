//! `/devices/{id}/history`: each value registered of a device, since when, until when, and who said
//! so. Folded from the device's own events, so each line leads to an entry of the record.

use std::collections::BTreeMap;

use axum::extract::State;
use serde::Serialize;
use serde_json::Value;
use tenure_domain::operator::Permission::ReadFleet;
use tenure_engine::store::event;
use utoipa::ToSchema;

use super::body::{Json, Path};
use super::event::EventItem;
use super::{Desk, Route, device};
use crate::problem::Problem;

/// Events of one device looked at, the newest.
const EVENTS_MAX: u32 = 100_000;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get(
            "/devices/{id}/history",
            ReadFleet,
            "What was registered and issued of a device, when, and by whom",
            show,
        )
        .answers::<History>(),
    ]
}

/// A device's values and certificates through time.
#[derive(Serialize, ToSchema)]
struct History {
    /// The device.
    id: String,
    /// owner, model, manufacturer, serial, class, site, services, criticality and standing: what each
    /// was, the newest last.
    values: BTreeMap<String, Vec<Span>>,
    /// What happened to its certificates, the newest last.
    certificates: Vec<Step>,
}

/// A value while it was so.
#[derive(Debug, PartialEq, Serialize, ToSchema)]
struct Span {
    /// The value.
    value: Value,
    /// Since when (RFC 3339).
    since: String,
    /// Until when (RFC 3339); null while it is so.
    until: Option<String>,
    /// Who said so.
    by: String,
    /// The event that says so.
    event: i64,
}

/// Something that happened to a certificate.
#[derive(Serialize, ToSchema)]
struct Step {
    /// The serial in lower-case hex.
    serial: String,
    /// The event, as a word.
    what: String,
    /// When (RFC 3339).
    at: String,
    /// Who did it.
    by: String,
    /// The event's number.
    event: i64,
    /// The particulars.
    detail: Value,
}

async fn show(State(desk): State<Desk>, Path(id): Path<String>) -> Result<Json<History>, Problem> {
    let device = device::known(&desk, &id)?;
    let no = device.no;
    let mut events = desk
        .read(move |tx| event::of_device(tx, no, None, EVENTS_MAX))
        .await?;
    events.reverse();
    let mut history = History {
        id: device.id.to_string(),
        values: BTreeMap::new(),
        certificates: Vec::new(),
    };
    for event in events.iter().map(EventItem::of) {
        match event.what.as_str() {
            "device-registered" => {
                history.say("standing", Value::from("expected"), &event);
                history.registered(&event);
            }
            "device-changed" => history.registered(&event),
            "device-standing-changed" => {
                let to = event.detail.get("to").cloned().unwrap_or_default();
                history.say("standing", to, &event);
            }
            what if what.starts_with("certificate-") => history.certified(event),
            _ => {}
        }
    }
    Ok(Json(history))
}

impl History {
    fn registered(&mut self, event: &EventItem) {
        let fields = event.detail.as_object().into_iter().flatten();
        for (name, value) in fields.filter(|(name, _)| *name != "id") {
            self.say(name, value.clone(), event);
        }
    }

    /// Ends the value before and begins this one, if it is another.
    fn say(&mut self, name: &str, value: Value, event: &EventItem) {
        let spans = self.values.entry(name.to_owned()).or_default();
        if let Some(last) = spans.last_mut() {
            if last.value == value {
                return;
            }
            last.until = Some(event.at.clone());
        }
        spans.push(Span {
            value,
            since: event.at.clone(),
            until: None,
            by: event.by.clone(),
            event: event.seq,
        });
    }

    fn certified(&mut self, event: EventItem) {
        let serial = event.detail.get("serial").and_then(Value::as_str);
        let Some(serial) = serial.map(str::to_owned) else {
            return;
        };
        self.certificates.push(Step {
            serial,
            what: event.what,
            at: event.at,
            by: event.by,
            event: event.seq,
            detail: event.detail,
        });
    }
}
