//! Following a feed over the network: wait for news, take it, have it applied, say so.

use std::time::Duration;

use http::{Method, StatusCode};
use serde_json::json;
use tenure_domain::feed::{ITEM_BYTES_MAX, Item};

use super::line::Line;
use super::wake::{Called, Wake};
use super::{Applied, Connection, Error, Holding, Hook, Signed, Taken, open};
use crate::est::now;

/// One relying party on its feed.
pub struct Follower {
    line: Line,
    holding: Holding,
    hook: Option<Hook>,
    wait: Duration,
}

/// What a round came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// There was nothing newer.
    Nothing,
    /// Something newer is in use, and the server knows.
    Applied(Applied),
}

impl Follower {
    /// A follower with its directory open. `wait` is how long a server may hold a question until
    /// there is news.
    ///
    /// # Errors
    /// The address or the trust anchor cannot be used.
    pub fn new(
        connection: &Connection,
        holding: Holding,
        hook: Option<Hook>,
        wait: Duration,
    ) -> Result<Follower, Error> {
        let limit = usize::try_from(ITEM_BYTES_MAX).unwrap_or(usize::MAX);
        Ok(Follower {
            line: Line::new(connection, limit, wait)?,
            holding,
            hook,
            wait,
        })
    }

    /// Waits until it is time for the next round: as `wake` says, `every` at the most.
    pub async fn called(&mut self, wake: &mut Wake, every: Duration) -> Called {
        let held = self.holding.held().map_or(0, |held| held.sequence);
        wake.called(held, every).await
    }

    /// The directory.
    pub fn holding(&mut self) -> &mut Holding {
        &mut self.holding
    }

    /// One round. What was left undone comes first: a set whose hook failed, a word that did not
    /// reach the server. Then whatever is newer, as soon as it is there.
    ///
    /// # Errors
    /// Why it was not finished; the next round begins where this one ended.
    pub async fn round(&mut self) -> Result<Step, Error> {
        let finished = self.finish().await?;
        if let Some(applied) = finished {
            return Ok(Step::Applied(applied));
        }
        let after = self.holding.held().map_or(0, |held| held.sequence);
        let wait = self.wait.as_secs();
        let asked = format!("?after={after}&wait={wait}");
        let answer = self
            .line
            .call(Method::GET, &self.path(&asked), Vec::new())
            .await?;
        if answer.status == StatusCode::NO_CONTENT {
            return Ok(Step::Nothing);
        }
        let signed = open(&answer.body, self.holding.key())?;
        if self.holding.judge(&signed, now())? == Taken::Known {
            return Ok(Step::Nothing);
        }
        let items = self.fetch(&signed).await?;
        self.holding.take(&signed, &items, now())?;
        let applied = self.finish().await?;
        Ok(applied.map_or(Step::Nothing, Step::Applied))
    }

    /// Has what is held applied, and says so; `None` if that was done before.
    async fn finish(&mut self) -> Result<Option<Applied>, Error> {
        // The hook is waited for: nothing else is done meanwhile, and this program does nothing else.
        tokio::task::block_in_place(|| self.holding.apply(self.hook.as_ref(), now()))?;
        let Some(applied) = self.holding.unacknowledged() else {
            return Ok(None);
        };
        let body = json!({
            "sequence": applied.held.sequence,
            "sha256": applied.held.sha256,
            "applied_at": applied.at.to_string(),
        });
        let said = self
            .line
            .call(
                Method::POST,
                &self.path("/ack"),
                body.to_string().into_bytes(),
            )
            .await;
        match said {
            Ok(_) => {}
            // A server that was put back from a copy has forgotten what it offered. It offers anew,
            // and that is acknowledged then.
            Err(Error::Refused { status, .. }) if status == StatusCode::CONFLICT => {}
            Err(error) => return Err(error),
        }
        self.holding.acknowledged(applied.held.sequence)?;
        Ok(Some(applied))
    }

    fn path(&self, below: &str) -> String {
        format!("/api/v1/feed/{}{below}", self.holding.party())
    }

    /// The items of a manifest: those that are held already, and the others from the server.
    async fn fetch(&self, signed: &Signed) -> Result<Vec<Vec<u8>>, Error> {
        let mut items = Vec::new();
        for item in &signed.manifest().items {
            let octets = match self.holding.item(item) {
                Some(octets) => octets,
                None => self.fetch_item(item).await?,
            };
            items.push(octets);
        }
        Ok(items)
    }

    async fn fetch_item(&self, item: &Item) -> Result<Vec<u8>, Error> {
        let path = self.path(&format!("/items/{}", item.sha256));
        let octets = self.line.call(Method::GET, &path, Vec::new()).await?.body;
        match super::holding::is_as_said(item, &octets) {
            true => Ok(octets),
            false => Err(Error::Item { path: item.path() }),
        }
    }
}
