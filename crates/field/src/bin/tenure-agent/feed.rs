//! `tenure-agent feed …`: keep what a relying party trusts and refuses up to date.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use tenure_field::feed::{Connection, Error, Follower, Holding, Hook, Observer, Step};

use crate::args::{Follow, Kept};
use crate::report::{Failure, Report};
use crate::run::{now, told_to_stop};
use crate::trust_store;

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
    let every = Duration::from_secs(asked.look_every);
    let promised = (asked.rounds() == Rounds::Endless).then_some(every);
    let mut observer = match asked.trust_store.is_empty() {
        true => None,
        false => Some(Observer::new(&connection, &asked.trust_store, promised)?),
    };
    if asked.rounds() == Rounds::One {
        let step = follower.round().await?;
        let code = report.step(&step, &asked.kept.into);
        if let Some(observer) = &mut observer {
            report.seen(&observer.look().await?);
        }
        return Ok(code);
    }
    let following = endlessly(&mut follower, &asked.kept.into, report);
    match observer {
        None => tokio::select! {
            told = told_to_stop() => told,
            never = following => match never {},
        },
        Some(mut observer) => tokio::select! {
            told = told_to_stop() => told,
            never = following => match never {},
            never = trust_store::endlessly(&mut observer, every, report) => match never {},
        },
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

/// What something that does not end comes to.
pub enum Never {}

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
