//! `tenure-agent feed …`: keep what a relying party trusts and refuses up to date.

use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use tenure_field::feed::{
    Called, Connection, Error, Follower, Holding, Hook, Observer, Step, Wake, broker,
};

use crate::args::{Follow, Kept, Told};
use crate::report::{Failure, Report};
use crate::run::{now, told_to_stop};
use crate::trust_store;

/// The least and the most time between two tries after a failure.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// How often to look though nobody said that there is news.
const LOOK: Duration = Duration::from_secs(60);

/// Follows a feed until it is told to stop (SIGTERM, SIGINT: exit code 0), or for one round. Stopping
/// anywhere is harmless: the next start begins where this one ended.
pub async fn follow(asked: &Follow, report: &Report) -> Result<ExitCode, Failure> {
    let connection = Connection::read(&asked.kept.connection)?;
    let holding = open(&asked.kept, &connection)?;
    let hook = asked.hook.as_deref().map(Hook::new);
    let mut wake = told(&asked.told, &connection)?;
    let wait = match (asked.rounds(), &wake) {
        (Rounds::Endless, Wake::Question) => Duration::from_secs(asked.wait),
        (Rounds::One, _) | (Rounds::Endless, Wake::Stream(_) | Wake::Topic(_)) => Duration::ZERO,
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
    let following = endlessly(&mut follower, &mut wake, &asked.kept.into, report);
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

/// Who tells of news.
fn told(asked: &Told, connection: &Connection) -> Result<Wake, Failure> {
    let (Some(address), Some(topic)) = (&asked.mqtt, &asked.mqtt_topic) else {
        return match asked.stream {
            true => Ok(Wake::stream(connection)?),
            false => Ok(Wake::Question),
        };
    };
    let identity = match (&asked.mqtt_cert, &asked.mqtt_key) {
        (Some(cert), Some(key)) => Some(crate::identity_from(cert, key)?),
        (Some(_), None) | (None, _) => None,
    };
    let credentials = match &asked.mqtt_secret_file {
        None => None,
        Some(file) => {
            let secret = crate::read(file)?;
            let (user, password) = secret.trim().split_once(':').ok_or_else(|| {
                Failure::usage(format!("{} must hold USER:PASSWORD", file.display()))
            })?;
            Some((user.to_owned(), password.to_owned()))
        }
    };
    // Two agents of one name would push each other out.
    let client = format!("tenure-agent-{}", connection.party);
    let broker = broker(
        address,
        &client,
        asked.mqtt_ca.as_deref(),
        identity,
        credentials,
    )?;
    Ok(Wake::topic(broker, topic.clone()))
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

async fn endlessly(
    follower: &mut Follower,
    wake: &mut Wake,
    into: &Path,
    report: &Report,
) -> Never {
    let mut pause = PAUSES.0;
    loop {
        match follower.round().await {
            Ok(step) => {
                pause = PAUSES.0;
                match step {
                    Step::Nothing => {
                        if let Called::Lost(why) = follower.called(wake, LOOK).await {
                            report.lost(&why);
                        }
                    }
                    // There may be more already.
                    Step::Applied(_) => {
                        report.step(&step, into);
                    }
                }
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
