//! `/doctor`: is everything as it should be, and what to do where it is not.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::State;
use serde::Serialize;
use tenure_domain::device::Criticality;
use tenure_domain::issuer::{Issuer, IssuerKind, IssuerState};
use tenure_domain::operator::Permission::ReadFleet;
use tenure_domain::policy::document;
use tenure_engine::duty::publish::{LAG_MAX_S, Lag, List};
use tenure_engine::store::{begun_anew_at, event, log_state, policy};
use tenure_x509::Time;
use utoipa::ToSchema;

use super::body::Json;
use super::{Desk, Route, fleet};
use crate::problem::Problem;

const DAY_S: i64 = 86_400;
/// When the end of a root's list begins to matter, in days.
const ROOT_LIST_WARNING_DAYS: i64 = 60;
/// When the end of an issuer's certificate begins to matter, in days.
const ISSUER_WARNING_DAYS: i64 = 180;
/// How old the bootstrap token's file may grow, in days.
const TOKEN_FILE_DAYS: u64 = 30;
/// How long a restored record is worth a thought, in days.
const RESTORED_WARNING_DAYS: i64 = 30;
/// How much room on the disk is worth a thought, and how little is too little, in MiB.
const ROOM_WARNING_MIB: u64 = 1024;
const ROOM_BAD_MIB: u64 = 128;
/// How many events may wait to be sealed before something must be wrong.
const LAG_EVENTS: u64 = 20_000;

const IDENTITY: &str = "server certificate";
const POLICY: &str = "policy";

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get(
            "/doctor",
            ReadFleet,
            "Whether everything is as it should be",
            doctor,
        )
        .answers::<Examined>(),
    ]
}

/// Everything that was looked at.
#[derive(Serialize, ToSchema)]
struct Examined {
    /// The worst verdict among the checks.
    verdict: Verdict,
    /// Each check.
    checks: Vec<Check>,
}

/// How a check came out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, ToSchema)]
#[serde(rename_all = "lowercase")]
enum Verdict {
    /// As it should be.
    Good,
    /// It works, and will not for ever.
    Warning,
    /// Something is wrong now.
    Bad,
}

/// One check.
#[derive(Serialize, ToSchema)]
struct Check {
    /// What was looked at.
    check: String,
    /// good, warning or bad.
    verdict: Verdict,
    /// What was found.
    found: String,
    /// What to do about it; empty if nothing.
    advice: String,
}

fn good(check: impl Into<String>, found: impl Into<String>) -> Check {
    Check {
        check: check.into(),
        verdict: Verdict::Good,
        found: found.into(),
        advice: String::new(),
    }
}

impl Check {
    fn but(mut self, verdict: Verdict, advice: &str) -> Check {
        self.verdict = verdict;
        self.advice = advice.to_owned();
        self
    }
}

async fn doctor(State(desk): State<Desk>) -> Json<Examined> {
    let mut checks = examined(&desk).await;
    match desk.engine().publication_lag() {
        Ok(lags) => checks.extend(lags.iter().map(rendering)),
        Err(rejection) => checks.push(unread("renderings", &rejection.into())),
    }
    match waiting(&desk).await {
        Ok(waiting) => checks.extend(waiting),
        Err(problem) => checks.push(unread("what waits", &problem)),
    }
    // Last, as the reads above may have met damage.
    checks.push(store(&desk));
    let worst = checks.iter().map(|check| check.verdict).max();
    Json(Examined {
        verdict: worst.unwrap_or(Verdict::Good),
        checks,
    })
}

/// What feeds the list of findings: the checks that are not good.
pub(crate) async fn watch(desk: &Desk) -> Result<(), Problem> {
    let wrong = examined(desk).await.into_iter().filter_map(|check| {
        let criticality = match check.verdict {
            Verdict::Good => return None,
            Verdict::Warning => Criticality::Medium,
            Verdict::Bad => Criticality::High,
        };
        let summary = format!("{}: {}. {}", check.check, check.found, check.advice);
        // Getting worse is news.
        let cause = match check.verdict {
            Verdict::Bad => format!("{} is bad", check.check),
            _ => check.check,
        };
        Some((cause, summary, criticality))
    });
    Ok(desk.engine().watch_house(wrong.collect()).await?)
}

/// Every check but those of which the list of findings has news of its own, renderings that lag and
/// what waits for a decision, and but that of the store, of which it could keep no news.
async fn examined(desk: &Desk) -> Vec<Check> {
    let now = desk.now();
    let sealed = record(desk).await;
    let mut checks = vec![
        clock(desk, now),
        sealed.unwrap_or_else(|problem| unread("record", &problem)),
    ];
    let snapshot = desk.engine().snapshot();
    for issuer in snapshot.issuers.iter() {
        checks.push(issuer_end(issuer, now));
        // Nobody reads the list of a root that nobody trusts.
        if issuer.kind != IssuerKind::Root || issuer.state != IssuerState::Removed {
            checks.push(list(desk, issuer, now));
        }
        checks.push(base_url(issuer));
    }
    checks.push(policy(desk).unwrap_or_else(|problem| unread(POLICY, &problem)));
    checks.extend(restored(desk, now).unwrap_or_else(|problem| Some(unread("restore", &problem))));
    let identity = identity(desk, now);
    checks.push(identity.unwrap_or_else(|problem| unread(IDENTITY, &problem)));
    checks.push(root_key(desk));
    checks.push(own_keys(desk));
    checks.extend(token_file(desk));
    checks.push(room(desk.data()));
    checks
}

/// Something that cannot be looked at is not well.
fn unread(what: &str, problem: &Problem) -> Check {
    good(what, problem.to_string()).but(
        Verdict::Bad,
        "Look in the server's log for why it cannot be read.",
    )
}

fn store(desk: &Desk) -> Check {
    match desk.engine().store().ailment() {
        None => good("store", "reads and writes"),
        Some(ailment) => good("store", ailment.to_string()).but(
            Verdict::Bad,
            "Until it is mended, what it concerns is refused; the log says what that was.",
        ),
    }
}

fn room(data: &Path) -> Check {
    let what = "room on the disk";
    let found = match rustix::fs::statvfs(data) {
        Ok(found) => found,
        Err(error) => {
            return good(what, error.to_string()).but(Verdict::Bad, "Look at the disk.");
        }
    };
    let free = found.f_bavail.saturating_mul(found.f_frsize) >> 20;
    let check = good(what, format!("{free} MiB free"));
    match free {
        ..ROOM_BAD_MIB => check.but(
            Verdict::Bad,
            "Make room now: when it is full, nothing is issued or revoked.",
        ),
        ROOM_BAD_MIB..ROOM_WARNING_MIB => check.but(
            Verdict::Warning,
            "Make room: when it is full, nothing is issued or revoked.",
        ),
        _ => check,
    }
}

fn clock(desk: &Desk, now: Time) -> Check {
    let newest = desk.engine().store().last_recorded();
    let check = good("clock", format!("now {now}, newest event {newest}"));
    if tenure_domain::facts::clock_went_back(now, newest) {
        return check.but(Verdict::Bad, "Set the clock; until then nothing is signed.");
    }
    check
}

async fn record(desk: &Desk) -> Result<Check, Problem> {
    let recorded = desk.read(event::last).await?.map_or(0, |(seq, _)| seq.0);
    let recorded = u64::try_from(recorded).unwrap_or(0);
    Ok(match super::log::published(desk).await {
        Ok((_, checkpoint)) => {
            let lag = recorded.saturating_sub(checkpoint.size());
            let check = good(
                "record",
                format!("{} events sealed, {lag} waiting", checkpoint.size()),
            );
            match lag > LAG_EVENTS {
                true => check.but(
                    Verdict::Bad,
                    "Sealing does not keep up; look in the log for `integrate`.",
                ),
                false => check,
            }
        }
        Err(_) => good("record", "there is no checkpoint").but(
            Verdict::Bad,
            "Sealing fails; look in the log for `integrate`.",
        ),
    })
}

/// Whether the policy in force fits the issuers that are there by now.
fn policy(desk: &Desk) -> Result<Check, Problem> {
    let tenant = desk.engine().tenant();
    let found = desk.glance(|tx| policy::current(tx, tenant))?;
    let (version, text) = found.ok_or_else(Problem::internal)?;
    let check = good(POLICY, format!("version {version}"));
    Ok(
        match document::parse_new(&text, &desk.engine().snapshot().issuers, None) {
            Ok(_) => check,
            Err(misfits) => Check {
                found: misfits.to_string(),
                ..check.but(
                    Verdict::Warning,
                    "What it concerns is refused or cannot work: mend the document, and `tenure policy apply` it.",
                )
            },
        },
    )
}

/// Whether the record was put back from a copy: what was withdrawn after the copy is not known here.
fn restored(desk: &Desk, now: Time) -> Result<Option<Check>, Problem> {
    let Some(state) = desk.glance(log_state)? else {
        return Ok(None);
    };
    let Some(begun) = begun_anew_at(&state.origin) else {
        return Ok(None);
    };
    let Some(event) = desk.glance(|tx| event::at(tx, begun))? else {
        return Ok(None);
    };
    let check = good(
        "restore",
        format!(
            "put back from a copy at {}, event {}; the log is {} since",
            event.at, begun.0, state.origin
        ),
    );
    let is_old = days_between(event.at, now) >= RESTORED_WARNING_DAYS;
    Ok(Some(match is_old {
        true => check,
        false => check.but(
            Verdict::Warning,
            "What was issued and revoked after the copy was made is not known here: compare with \
             what you know and revoke again. Tell whoever keeps checkpoints.",
        ),
    }))
}

fn days_between(now: Time, end: Time) -> i64 {
    end.unix().saturating_sub(now.unix()).div_euclid(DAY_S)
}

fn issuer_end(issuer: &Issuer, now: Time) -> Check {
    let end = issuer.certificate.validity().not_after;
    let check = good(
        format!("certificate of {}", issuer.name),
        format!("ends {end}"),
    );
    if end == Time::NEVER {
        return good(format!("certificate of {}", issuer.name), "does not end");
    }
    match days_between(now, end) {
        days if days < 0 => check.but(Verdict::Bad, "It is over: make a new issuer."),
        days if days < ISSUER_WARNING_DAYS => check.but(
            Verdict::Warning,
            "Plan its successor: certificates cannot outlive it.",
        ),
        _ => check,
    }
}

fn list(desk: &Desk, issuer: &Issuer, now: Time) -> Check {
    let what = format!("revocation list of {}", issuer.name);
    let is_root = issuer.kind == IssuerKind::Root;
    let renew = "Renew it where the root's key is: `tenure issuer crl-refresh`.";
    let look = "Look in the log for `publish`.";
    let advice = if is_root { renew } else { look };
    let Some(list) = desk.engine().published_list(&issuer.name, List::Full) else {
        return good(what, "there is none").but(Verdict::Bad, advice);
    };
    let check = good(
        what,
        format!(
            "number {}, signed {}, good until {}",
            list.number, list.this_update, list.next_update
        ),
    );
    let days = days_between(now, list.next_update);
    match (
        list.next_update < now,
        is_root && days < ROOT_LIST_WARNING_DAYS,
    ) {
        (true, _) => check.but(Verdict::Bad, advice),
        (false, true) => check.but(Verdict::Warning, advice),
        (false, false) => check,
    }
}

/// Lists, filter and OCSP must say the same; see `duty/publish/lag.rs`.
fn rendering(lag: &Lag) -> Check {
    let check = good(
        format!("{} of {}", lag.rendering, lag.issuer),
        match lag.seconds {
            0 => "as new as the record".to_owned(),
            behind => format!("behind the record for {behind} s"),
        },
    );
    match lag.seconds > LAG_MAX_S {
        true => check.but(
            Verdict::Bad,
            "Whoever relies on it may accept what is revoked; look in the log for `publish`.",
        ),
        false => check,
    }
}

fn base_url(issuer: &Issuer) -> Check {
    let check = good(format!("base URL of {}", issuer.name), &issuer.base_url);
    let host = issuer.base_url.trim_start_matches("http://");
    let is_loopback = ["127.", "localhost", "[::1]"]
        .iter()
        .any(|local| host.starts_with(local));
    match is_loopback {
        true => check.but(
            Verdict::Warning,
            "Only this machine can check status there: `tenure issuer edit NAME --public-url URL`.",
        ),
        false => check,
    }
}

fn identity(desk: &Desk, now: Time) -> Result<Check, Problem> {
    let what = IDENTITY;
    let Some(found) = desk.engine().server_identity()? else {
        return Ok(good(what, "there is none").but(Verdict::Bad, "Look in the log for `system`."));
    };
    let end = found
        .chain
        .first()
        .map_or(now, |leaf| leaf.validity().not_after);
    let check = good(
        what,
        format!("ends {end}, renews itself at two thirds of its life"),
    );
    Ok(match end < now {
        true => check.but(
            Verdict::Bad,
            "It could not be renewed; look in the log for `system`.",
        ),
        false => check,
    })
}

fn own_keys(desk: &Desk) -> Check {
    let missing = desk.engine().missing_keys();
    match missing.as_slice() {
        [] => good("keys", "all that the server needs are opened"),
        missing => good("keys", format!("not at hand: {}", missing.join(", "))).but(
            Verdict::Bad,
            "What needs them is refused. Put the key files back from a backup, and start the server again.",
        ),
    }
}

/// The keys of roots of which something lies in the data directory.
pub(super) fn root_keys_in(data: &Path, issuers: &[Arc<Issuer>]) -> Vec<String> {
    let keys = data.join("keys");
    let is_here = |key: &str| {
        let mut files = ["key", "toml"].iter();
        files.any(|end| keys.join(format!("{key}.{end}")).exists())
    };
    issuers
        .iter()
        .filter(|issuer| issuer.kind == IssuerKind::Root && is_here(&issuer.key))
        .map(|root| root.key.clone())
        .collect()
}

fn root_key(desk: &Desk) -> Check {
    let here = root_keys_in(desk.data(), &desk.engine().snapshot().issuers);
    match here.as_slice() {
        [] => good("root key", "not in the data directory"),
        here => good("root key", "in the data directory").but(
            Verdict::Warning,
            &format!(
                "The server never opens it: move {} to a medium that you lock away.",
                here.iter()
                    .map(|key| format!("{key}.key and {key}.toml"))
                    .collect::<Vec<_>>()
                    .join(", ")
            ),
        ),
    }
}

fn token_file(desk: &Desk) -> Option<Check> {
    let path = desk.data().join(crate::cli::session::TOKEN_FILE);
    let age = path
        .metadata()
        .ok()?
        .modified()
        .ok()?
        .elapsed()
        .unwrap_or_default();
    let days = age.as_secs() / Duration::from_secs(86_400).as_secs();
    let check = good("admin.token", format!("{days} days old"));
    Some(match days >= TOKEN_FILE_DAYS {
        true => check.but(
            Verdict::Warning,
            "It is meant for the first steps: `tenure token rotate`, or hand out named tokens and \
             remove the file.",
        ),
        false => check,
    })
}

async fn waiting(desk: &Desk) -> Result<[Check; 2], Problem> {
    let fleet = fleet::count(desk).await?;
    let incidents = good("incidents", format!("{} open", fleet.incidents_open));
    let asks = good("asks", format!("{} waiting", fleet.asks_waiting));
    Ok([
        match fleet.incidents_open {
            0 => incidents,
            _ => incidents.but(
                Verdict::Warning,
                "Decide them: `tenure incident list --state open`.",
            ),
        },
        match fleet.asks_waiting {
            0 => asks,
            _ => asks.but(
                Verdict::Warning,
                "Decide them: `tenure ask list --state waiting`.",
            ),
        },
    ])
}
