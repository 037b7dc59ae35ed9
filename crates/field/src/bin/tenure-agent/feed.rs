//! `tenure-agent feed …`: keep what a relying party trusts and refuses up to date.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use tenure_field::feed::{Connection, Error, Follower, Holding, Hook, Step};
use tokio::signal::unix::{SignalKind, signal};

use crate::args::{Follow, Kept};
use crate::report::{Failure, Report};
use crate::run::now;

/// The least and the most time between two tries after a failure.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// Follows a feed until it is told to stop (SIGTERM, SIGINT: exit code 0), or for one round. Stopping
/// anywhere is harmless: the next start begins where this one ended.
pub async fn follow(asked: &Follow, report: &Report) -> Result<ExitCode, Failure> {
    let connection = Connection::read(&asked.kept.connection)?;
    let holding = open(&asked.kept, &connection)?;
    let hook = asked.hook.as_deref().map(Hook::new);
    let wait = match asked.rounds() {
        Rounds::One => Duration::ZERO,
        Rounds::Endless => Duration::from_secs(asked.wait),
    };
    let mut follower = Follower::new(&connection, holding, hook, wait)?;
    if asked.rounds() == Rounds::One {
        let step = follower.round().await?;
        return Ok(report.step(&step, &asked.kept.into));
    }
    let deaf = |error| Failure::failed(format!("cannot listen for signals: {error}"));
    let mut term = signal(SignalKind::terminate()).map_err(deaf)?;
    let mut int = signal(SignalKind::interrupt()).map_err(deaf)?;
    tokio::select! {
        _ = term.recv() => Ok(ExitCode::SUCCESS),
        _ = int.recv() => Ok(ExitCode::SUCCESS),
        never = endlessly(&mut follower, &asked.kept.into, report) => match never {},
    }
}

/// How often to look.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Rounds {
    /// Once, without waiting.
    One,
    /// Until told to stop.
    Endless,
}

enum Never {}

async fn endlessly(follower: &mut Follower, into: &Path, report: &Report) -> Never {
    let mut pause = PAUSES.0;
    loop {
        match follower.round().await {
            Ok(Step::Nothing) => pause = PAUSES.0,
            Ok(step) => {
                pause = PAUSES.0;
                report.step(&step, into);
            }
            Err(error) => {
                report.retrying(&error.into(), pause.as_secs());
                tokio::time::sleep(pause).await;
                pause = (pause * 2).min(PAUSES.1);
            }
        }
    }
}

/// Opens the directory of a connection's feed.
pub fn open(kept: &Kept, connection: &Connection) -> Result<Holding, Error> {
    Holding::open(&kept.into, &connection.party, &connection.pinned()?)
}

/// Says how the relying party stands; the exit code is the rung's.
pub fn status(kept: &Kept, report: &Report) -> Result<ExitCode, Failure> {
    let connection = Connection::read(&kept.connection)?;
    let status = tenure_field::feed::look(&kept.into, &connection, now())?;
    Ok(report.rung(&status))
}
