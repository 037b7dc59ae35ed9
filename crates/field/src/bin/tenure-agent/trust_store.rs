//! `tenure-agent trust-store …`: say whom a relying party really trusts.

use std::process::ExitCode;
use std::time::Duration;

use tenure_field::feed::{Connection, Observer, Seen};

use crate::args::Observe;
use crate::feed::Never;
use crate::report::{Failure, Report};
use crate::run::told_to_stop;

/// Reports a trust store once, or whenever it changes until it is told to stop (SIGTERM, SIGINT: exit
/// code 0).
pub async fn report(asked: &Observe, report: &Report) -> Result<ExitCode, Failure> {
    let connection = Connection::read(&asked.connection)?;
    let every = asked.every.map(Duration::from_secs);
    let mut observer = Observer::new(&connection, &asked.file, every)?;
    let Some(every) = every else {
        report.seen(&observer.look().await?);
        return Ok(ExitCode::SUCCESS);
    };
    tokio::select! {
        told = told_to_stop() => told,
        never = endlessly(&mut observer, every, report) => match never {},
    }
}

/// Looks again and again. What fails is tried again with the next look.
pub async fn endlessly(observer: &mut Observer, every: Duration, report: &Report) -> Never {
    loop {
        match observer.look().await {
            Ok(Seen::Unchanged) => {}
            Ok(seen) => report.seen(&seen),
            Err(error) => report.retrying(&error.into(), every.as_secs()),
        }
        tokio::time::sleep(every).await;
    }
}
