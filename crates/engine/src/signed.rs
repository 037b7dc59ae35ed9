//! What was signed of status: counted per issuer and UTC day, and recorded as one event each when the
//! day is over. What changed has an event of its own; that it is said again and again has not.

use std::collections::BTreeMap;

use parking_lot::Mutex;
use tenure_domain::duration::DAY_S;
use tenure_domain::event::Event;
use tenure_domain::ids::IssuerNo;
use tenure_domain::operator::Actor;
use tenure_x509::Time;

use crate::Engine;
use crate::fault::Rejection;

type Day = (i64, IssuerNo);

/// The counts of the days that are not recorded yet.
#[derive(Debug, Default)]
pub(crate) struct Signed(Mutex<BTreeMap<Day, u64>>);

impl Signed {
    pub(crate) fn count(&self, issuer: IssuerNo, more: usize, now: Time) {
        if more > 0 {
            let day = (now.unix().div_euclid(DAY_S), issuer);
            *self.0.lock().entry(day).or_default() += u64::try_from(more).unwrap_or(u64::MAX);
        }
    }

    fn before(&self, end: i64) -> Vec<(Day, u64)> {
        let counts = self.0.lock();
        let over = counts.iter().filter(|((day, _), _)| *day < end);
        over.map(|(day, count)| (*day, *count)).collect()
    }

    fn forget(&self, recorded: &[(Day, u64)]) {
        let mut counts = self.0.lock();
        for (day, _) in recorded {
            counts.remove(day);
        }
    }
}

/// A day since 1970 as `2026-01-31`.
fn date(day: i64) -> String {
    let midnight = Time::from_unix(day * DAY_S).to_string();
    midnight.chars().take(10).collect()
}

impl Engine {
    /// Records the days that are over; with `at` at the end of time, all of them.
    pub async fn record_signed(&self, at: Time) -> Result<(), Rejection> {
        let over = self.signed().before(at.unix().div_euclid(DAY_S));
        if over.is_empty() {
            return Ok(());
        }
        let known = self.snapshot();
        let said = |((day, no), count): &(Day, u64)| {
            let issuer = known.issuers.iter().find(|issuer| issuer.no == *no)?;
            Some(Event::StatusSigned {
                count: *count,
                day: date(*day),
                issuer: issuer.name.to_string(),
            })
        };
        let events = over.iter().filter_map(said).collect();
        self.note(&Actor::system("signed"), events).await?;
        self.signed().forget(&over);
        Ok(())
    }
}
