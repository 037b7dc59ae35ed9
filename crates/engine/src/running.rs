//! The start and the end of a server, for the record.

use tenure_domain::event::{Entry, Event};
use tenure_domain::facts::clock_went_back;
use tenure_domain::operator::Actor;
use tenure_store::StoreError;

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
        self.record_ours(said).await
    }

    /// Records that the server stops as it was asked to.
    pub(crate) async fn record_stopped(&self) -> Result<(), Rejection> {
        self.record_ours(vec![Event::ServerStopped {}]).await
    }

    async fn record_ours(&self, said: Vec<Event>) -> Result<(), Rejection> {
        let now = self.clock().now();
        let entries: Vec<_> = said
            .into_iter()
            .map(|event| Entry::new(Actor::system(SERVE), now, event))
            .collect();
        self.store()
            .record::<(), StoreError, _>(self.operation()?, move |tx| {
                for entry in &entries {
                    tx.log(entry)?;
                }
                Ok(())
            })
            .await?;
        Ok(())
    }
}
