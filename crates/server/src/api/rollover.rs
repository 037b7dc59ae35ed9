//! `/issuers/{issuer}/rollover`: how one issuer takes over from another, step by step.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use tenure_domain::change::{Change, IssuerMove};
use tenure_domain::operator::Permission::{ChangePolicy, ReadFleet};
use tenure_domain::rollover::{PartyStanding, Readiness, Step, Succession};
use tenure_engine::rollover::{self, Progress, Stage};
use utoipa::ToSchema;

use super::body::{Json, Path};
use super::issuer::known;
use super::{Caller, Desk, Route};
use crate::problem::Problem;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get(
            "/issuers/{issuer}/rollover",
            ReadFleet,
            "Show how far the rollover of an issuer has come, and what stands in the way",
            show,
        )
        .answers::<RolloverItem>(),
        Route::post(
            "/issuers/{issuer}/rollover/{step}",
            ChangePolicy,
            "Take a step: distribute, activate, back, taint or remove",
            take,
        )
        .takes::<StepBody>()
        .answers::<RolloverItem>(),
    ]
}

/// How far the rollover of an issuer has come.
#[derive(Serialize, ToSchema)]
pub(crate) struct RolloverItem {
    /// The issuer and those made to follow it, oldest first.
    pub(crate) issuers: Vec<StageItem>,
}

/// One issuer of a rollover.
#[derive(Serialize, ToSchema)]
pub(crate) struct StageItem {
    /// Its short name.
    pub(crate) name: String,
    /// The issuer it was made to follow.
    pub(crate) replaces: Option<String>,
    /// prepared, distributed, active, tainted or removed.
    pub(crate) state: String,
    /// Since when (RFC 3339).
    pub(crate) since: String,
    /// How many relying parties were observed to accept it.
    pub(crate) accepted_by: CountItem,
    /// How many were observed to turn it away since it came into this state.
    pub(crate) refused_by: CountItem,
    /// How many of its certificates are in force, counted up to 10000.
    pub(crate) certificates: u64,
    /// Some of the devices that hold them.
    pub(crate) devices: Vec<String>,
    /// When a service last reported one in use, to the hour (RFC 3339).
    pub(crate) last_used: Option<String>,
    /// The steps that lead on from here.
    pub(crate) steps: Vec<StepItem>,
    /// Each relying party for it.
    pub(crate) relying_parties: Vec<PartyItem>,
}

/// How many relying parties are where they must be.
#[derive(Serialize, ToSchema)]
pub(crate) struct CountItem {
    /// How many are.
    pub(crate) ready: usize,
    /// Of how many.
    pub(crate) of: usize,
    /// Critical ones that are.
    pub(crate) critical_ready: usize,
    /// Of how many critical ones.
    pub(crate) critical: usize,
}

impl From<Readiness> for CountItem {
    fn from(readiness: Readiness) -> CountItem {
        let (of, ready) = readiness.total();
        CountItem {
            ready,
            of,
            critical_ready: readiness.critical.1,
            critical: readiness.critical.0,
        }
    }
}

/// A step that leads on.
#[derive(Serialize, ToSchema)]
pub(crate) struct StepItem {
    /// distribute, activate, back, taint or remove.
    pub(crate) step: String,
    /// What stands in its way; none if it can be taken.
    pub(crate) blocked: Option<String>,
}

/// Where a relying party stands towards an issuer.
#[derive(Serialize, ToSchema)]
pub(crate) struct PartyItem {
    /// The relying party.
    pub(crate) name: String,
    /// low, medium, high or safety.
    pub(crate) criticality: String,
    /// Whether all of its kind must be ready.
    pub(crate) critical: bool,
    /// Whether it was observed to accept the issuer.
    pub(crate) accepts: bool,
    /// What its last probe with a good certificate of the issuer came to: accepted, refused or
    /// unreachable.
    pub(crate) observed: Option<String>,
    /// How, in a few words.
    pub(crate) how: Option<String>,
    /// When (RFC 3339).
    pub(crate) at: Option<String>,
    /// In which probe.
    pub(crate) probe: Option<i64>,
    /// When it acknowledged a bundle that carries the issuer (RFC 3339).
    pub(crate) acknowledged: Option<String>,
}

impl From<&PartyStanding> for PartyItem {
    fn from(party: &PartyStanding) -> PartyItem {
        let seen = party.observed.as_ref();
        PartyItem {
            name: party.name.to_string(),
            criticality: party.criticality.to_string(),
            critical: party.is_critical(),
            accepts: party.accepts(),
            observed: seen.map(|seen| seen.reception.to_string()),
            how: seen.map(|seen| seen.how.clone()),
            at: seen.map(|seen| seen.at.to_string()),
            probe: seen.map(|seen| seen.probe.0),
            acknowledged: party.acknowledged.map(|at| at.to_string()),
        }
    }
}

impl From<Progress> for RolloverItem {
    fn from(progress: Progress) -> RolloverItem {
        let name_of = |no| {
            let mut stages = progress.issuers.iter();
            let found = stages.find(|stage| Some(stage.issuer.no) == no);
            found.map(|stage| stage.issuer.name.to_string())
        };
        let stage = |stage: &Stage| StageItem {
            name: stage.issuer.name.to_string(),
            replaces: name_of(stage.issuer.replaces),
            state: stage.issuer.state.to_string(),
            since: stage.issuer.since.to_string(),
            accepted_by: stage.accepting().into(),
            refused_by: stage.refusing().into(),
            certificates: stage.remains.leaves,
            devices: stage
                .remains
                .devices
                .iter()
                .map(ToString::to_string)
                .collect(),
            last_used: stage.remains.last_traffic.map(|at| at.to_string()),
            steps: stage
                .steps
                .iter()
                .map(|(step, blocked)| StepItem {
                    step: step.to_string(),
                    blocked: blocked.as_ref().map(ToString::to_string),
                })
                .collect(),
            relying_parties: stage.parties.iter().map(PartyItem::from).collect(),
        };
        RolloverItem {
            issuers: progress.issuers.iter().map(stage).collect(),
        }
    }
}

/// How far the rollover of the line of an issuer has come.
pub(crate) async fn progress(desk: &Desk, name: &str) -> Result<RolloverItem, Problem> {
    let issuer = known(desk, name)?;
    let (tenant, now) = (desk.engine().tenant(), desk.now());
    let found = desk
        .survey(move |tx| rollover::progress(tx, tenant, &issuer, now))
        .await?;
    Ok(found.into())
}

async fn show(
    State(desk): State<Desk>,
    Path(name): Path<String>,
) -> Result<Json<RolloverItem>, Problem> {
    progress(&desk, &name).await.map(Json)
}

/// How a step is taken.
#[derive(Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
struct StepBody {
    /// Relying parties that need not be ready, by name.
    except: Vec<String>,
    /// Why, for the record. Needed with exceptions, where nothing could be observed, and for the
    /// steps back and taint.
    why: String,
    /// For the step taint: stop it though nobody signs in its place, because its key is not to be
    /// trusted.
    without_successor: bool,
}

async fn take(
    State(desk): State<Desk>,
    caller: Caller,
    Path((name, step)): Path<(String, String)>,
    Json(body): Json<StepBody>,
) -> Result<Json<RolloverItem>, Problem> {
    let issuer = known(&desk, &name)?.name.clone();
    let step: Step = step.parse().map_err(Problem::bad_request)?;
    let except = body.except.iter().map(|name| name.parse());
    let except = except.collect::<Result<_, _>>();
    let wanted = IssuerMove {
        issuer,
        step,
        except: except.map_err(|error| Problem::bad_request(format!("except: {error}")))?,
        why: body.why,
        succession: match body.without_successor {
            true => Succession::NotNeeded,
            false => Succession::Needed,
        },
    };
    let change = Change::MoveIssuer(Box::new(wanted));
    desk.engine().change(&caller.actor(), change).await?;
    progress(&desk, &name).await.map(Json)
}
