//! `tenure-agent run`: sleep until it is time, renew, repeat.

use std::process::ExitCode;
use std::time::{Duration, SystemTime};

use tenure_field::device::{Error, Keeper, Progress};
use tenure_field::renewal::{pause_after, renew_at};
use tenure_x509::{KeyKind, Time};
use tokio::signal::unix::{SignalKind, signal};

use crate::report::{Failure, Report};

/// Longest sleep in one piece, so that a suspended machine or a corrected clock is noticed.
const SLEEP_MAX: Duration = Duration::from_secs(600);

/// Renews in time until it is told to stop (SIGTERM, SIGINT: exit code 0). Stopping in the middle
/// of a renewal is harmless: the next start carries on with the same key.
pub async fn keep(
    keeper: &Keeper,
    told: Option<KeyKind>,
    report: &Report,
) -> Result<ExitCode, Failure> {
    tokio::select! {
        told = told_to_stop() => told,
        failure = renew_forever(keeper, told, report) => Err(failure),
    }
}

/// Ends with the signal to stop.
pub async fn told_to_stop() -> Result<ExitCode, Failure> {
    let deaf = |error| Failure::failed(format!("cannot listen for signals: {error}"));
    let mut term = signal(SignalKind::terminate()).map_err(deaf)?;
    let mut int = signal(SignalKind::interrupt()).map_err(deaf)?;
    tokio::select! {
        _ = term.recv() => Ok(ExitCode::SUCCESS),
        _ = int.recv() => Ok(ExitCode::SUCCESS),
    }
}

/// Ends only when there is nothing left to renew.
async fn renew_forever(keeper: &Keeper, told: Option<KeyKind>, report: &Report) -> Failure {
    let mut failures = 0;
    loop {
        let cert = match keeper.certificate().await {
            Ok(Some(cert)) => cert,
            Ok(None) => return Error::NotEnrolled.into(),
            Err(error) => return error.into(),
        };
        let Some(due) = renew_at(&cert) else {
            return Failure::failed("this certificate never ends: there is nothing to renew");
        };
        if failures == 0 && now() < due {
            report.waiting(&cert.serial().to_string(), &due.to_string());
        }
        sleep_until(due).await;
        let until = cert.validity().not_after;
        if until < now() {
            return Failure::failed(format!(
                "the certificate ended at {until}, so it can no longer be renewed. Enroll again, \
                 with a new secret or the manufacturer's certificate"
            ));
        }
        match renew(keeper, told).await {
            Ok(progress @ Progress::Issued(_)) => {
                failures = 0;
                report.progress(&progress, keeper.root());
            }
            Ok(Progress::Pending { retry_after_s }) => {
                failures = 0;
                report.pending(retry_after_s);
                tokio::time::sleep(Duration::from_secs(retry_after_s.max(1))).await;
            }
            Err(error) => {
                failures += 1;
                let pause = pause_after(failures, random()).max(error.retry_after());
                report.retrying(&error.into(), pause.as_secs());
                tokio::time::sleep(pause).await;
            }
        }
    }
}

async fn renew(keeper: &Keeper, told: Option<KeyKind>) -> Result<Progress, Error> {
    keeper.renew_once(crate::kind(keeper, told).await?).await
}

async fn sleep_until(at: Time) {
    loop {
        let left = at.unix().saturating_sub(now().unix());
        let Ok(left @ 1..) = u64::try_from(left) else {
            return;
        };
        tokio::time::sleep(Duration::from_secs(left).min(SLEEP_MAX)).await;
    }
}

pub fn now() -> Time {
    let since = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default();
    Time::from_unix(i64::try_from(since.as_secs()).unwrap_or(i64::MAX))
}

fn random() -> u32 {
    let mut octets = [0; 4];
    // Only to spread load: should the system have no randomness, the longest pause is used.
    match aws_lc_rs::rand::fill(&mut octets) {
        Ok(()) => u32::from_be_bytes(octets),
        Err(_) => u32::MAX,
    }
}
