//! `/devices/{id}/attestation`: what verifiers say of devices.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use tenure_domain::attestation::Attestation;
use tenure_domain::ids::Slug;
use tenure_domain::operator::{Permission, Role};
use tenure_domain::text::{hex, hex32};
use tenure_engine::store::attestation::Attested;
use tenure_engine::{Observation, Observed};
use utoipa::ToSchema;

use super::body::{Json, Path, time, word};
use super::{Caller, Desk, Route, device};
use crate::problem::Problem;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::post(
            "/devices/{id}/attestation",
            Permission::Attest,
            "Report what a verifier says of a device",
            report,
        )
        .takes::<Report>()
        .answers::<Reported>(),
    ]
}

/// What a verifier says of a device.
#[derive(Serialize, ToSchema)]
pub(crate) struct AttestationItem {
    /// The verifier.
    pub(crate) verifier: String,
    /// affirming, warning, contraindicated or none (draft-ietf-rats-ar4si).
    pub(crate) result: String,
    /// When the device made the evidence (RFC 3339).
    pub(crate) made: String,
    /// The SHA-256 of the evidence, hex.
    pub(crate) evidence: String,
    /// When the result was reported (RFC 3339).
    pub(crate) reported: String,
}

impl From<Attested> for AttestationItem {
    fn from(attested: Attested) -> AttestationItem {
        AttestationItem {
            verifier: attested.said.verifier.to_string(),
            result: attested.said.result.to_string(),
            made: attested.said.made.to_string(),
            evidence: attested.said.evidence,
            reported: attested.reported.to_string(),
        }
    }
}

/// What a verifier says after it appraised a device's evidence.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Report {
    /// The verifier. A token of role verifier speaks in its own name, and need not say it.
    verifier: Option<String>,
    /// affirming, warning, contraindicated or none (draft-ietf-rats-ar4si).
    result: String,
    /// When the device made the evidence (RFC 3339).
    made: String,
    /// The SHA-256 of the evidence, hex. The evidence itself stays with the verifier.
    evidence: String,
}

/// What the report came to.
#[derive(Serialize, ToSchema)]
struct Reported {
    /// first (it counts now), older (on record; newer evidence, or a warning that silence cannot settle,
    /// goes on to count) or known (it was on record).
    seen: &'static str,
}

fn verifier(caller: &Caller, named: Option<&str>) -> Result<Slug, Problem> {
    match (named, caller.role) {
        (Some(name), _) => word("verifier", name),
        (None, Role::Verifier) => word("the token's name, which is the verifier", &caller.name),
        (None, _) => Err(Problem::bad_request("verifier: say who appraised it")),
    }
}

async fn report(
    State(desk): State<Desk>,
    caller: Caller,
    Path(id): Path<String>,
    Json(report): Json<Report>,
) -> Result<Json<Reported>, Problem> {
    let evidence = hex32(&report.evidence.to_ascii_lowercase()).ok_or_else(|| {
        Problem::bad_request("evidence: write the SHA-256 of the evidence as 64 hex digits")
    })?;
    let said = Attestation {
        verifier: verifier(&caller, report.verifier.as_deref())?,
        result: word("result", &report.result)?,
        made: time("made", &report.made)?,
        evidence: hex(&evidence),
    };
    let seen = Observation::Attested {
        actor: caller.actor(),
        device: device::known(&desk, &id)?.id,
        said,
    };
    Ok(Json(Reported {
        seen: match desk.engine().observe(seen).await? {
            Observed::First | Observed::Alarm => "first",
            Observed::Older => "older",
            Observed::Known => "known",
        },
    }))
}
