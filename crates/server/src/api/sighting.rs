//! `/sightings`: relying parties report certificates they saw in use.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use tenure_domain::Title;
use tenure_domain::operator::Permission::Report;
use tenure_engine::{Observation, Observed};
use tenure_x509::Serial;
use utoipa::ToSchema;

use super::body::{Json, some_word, time, word};
use super::{Caller, Desk, Route, relying_party};
use crate::decision;
use crate::problem::Problem;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::post(
            "/sightings",
            Report,
            "Report that a certificate was seen in use",
            report,
        )
        .takes::<Sighting>()
        .answers::<Reported>(),
    ]
}

/// A certificate seen in use.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Sighting {
    /// Its serial, hex.
    serial: String,
    /// Its issuer's short name, where two issuers used the same serial.
    issuer: Option<String>,
    /// The service that saw it.
    service: String,
    /// When (RFC 3339); now if left out.
    at: Option<String>,
}

/// What the report came to.
#[derive(Serialize, ToSchema)]
struct Reported {
    /// first (news, recorded), known (nothing new), or alarm (its device had given it up: an
    /// incident is open).
    seen: &'static str,
}

async fn report(
    State(desk): State<Desk>,
    caller: Caller,
    Json(sighting): Json<Sighting>,
) -> Result<Json<Reported>, Problem> {
    let serial = Serial::parse_number(&sighting.serial)
        .map_err(|_| Problem::bad_request(format!("serial: {:?} is not hex", sighting.serial)))?;
    let service: Title = word("service", &sighting.service)?;
    // Whose feed a token opens reports of its own door alone.
    if let Some(name) = &caller.party {
        let party = relying_party::known(&desk, name.as_str())?.party;
        decision::service_of(&party, Some(service.clone()))?;
    }
    let at = match &sighting.at {
        Some(text) => time("at", text)?,
        None => desk.now(),
    };
    let seen = Observation::InUse {
        actor: caller.actor(),
        issuer: some_word("issuer", sighting.issuer.as_deref())?,
        serial,
        service,
        at,
    };
    let observed = desk.engine().observe(seen).await?;
    Ok(Json(Reported {
        seen: match observed {
            Observed::First => "first",
            Observed::Older | Observed::Known => "known",
            Observed::Alarm => "alarm",
        },
    }))
}
