//! The start and the end of a server, for the record.

use tenure_domain::event::Event;
use tenure_domain::facts::clock_went_back;
use tenure_domain::operator::Actor;

use crate::Engine;
use crate::fault::Rejection;

const SERVE: &str = "serve";

impl Engine {
    /// Records that a server of this version starts, and that its clock is behind the record if it is.
    pub async fn record_started(&self, version: &str) -> Result<(), Rejection> {
        let (now, last) = (self.clock().now(), self.store().last_recorded());
        let mut said = vec![Event::ServerStarted {
            version: version.to_owned(),
        }];
        if clock_went_back(now, last) {
            said.push(Event::ClockSetBack {
                behind_s: last.unix() - now.unix(),
            });
        }
        self.note(&Actor::system(SERVE), said).await
    }

    /// Records that the server stops as it was asked to.
    pub(crate) async fn record_stopped(&self) -> Result<(), Rejection> {
        self.note(&Actor::system(SERVE), vec![Event::ServerStopped {}])
            .await
    }
}
