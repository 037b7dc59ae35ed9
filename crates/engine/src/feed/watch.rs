//! Acknowledgements, and the standing check that they come in time.

use tenure_domain::Slug;
use tenure_domain::feed::{Rung, Way};
use tenure_domain::finding::{Matter, NewFinding};
use tenure_domain::operator::{Actor, Permission};
use tenure_domain::refusal::Refusal;
use tenure_domain::relying_party::RelyingParty;
use tenure_store::StoreError;
use tenure_store::feed::{self, Acknowledged, Applied, Feed};
use tenure_store::relying_party::{self, Known};
use tenure_x509::Time;

use super::manifest_of;
use crate::Engine;
use crate::fault::Rejection;
use crate::observe::Observed;

/// Relying parties that one look takes in.
const WATCHED_MAX: u32 = 10_000;

/// One feed with everything that says whether it is as it should be.
struct Watched {
    known: Known,
    feed: Feed,
    follows: Follows,
    /// The rung of what it holds.
    rung: Option<Rung>,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Follows {
    Still,
    NoMore,
}

impl Engine {
    /// Takes what a relying party says that it applied.
    pub(crate) async fn feed_applied(
        &self,
        actor: Actor,
        party: Slug,
        applied: Applied,
    ) -> Result<Observed, Rejection> {
        actor.may(match applied.way {
            Way::Pull => Permission::Feed,
            Way::Pack => Permission::Report,
        })?;
        let now = self.clock().now();
        let tenant = self.tenant();
        let found = self
            .store()
            .glance(|tx| relying_party::by_name(tx, tenant, party.as_str()))?;
        let known = found.ok_or_else(|| Refusal::NotFound {
            what: format!("relying party {party}"),
        })?;
        let (no, sequence) = (known.no, applied.sequence);
        let done = self
            .store()
            .record::<_, StoreError, _>(self.operation()?, move |tx| {
                feed::acknowledge(tx, &known, &applied, &actor, now)
            })
            .await?;
        match done {
            Acknowledged::News => {
                self.feeds().pace.applied(no, sequence);
                Ok(Observed::First)
            }
            Acknowledged::Known => Ok(Observed::Known),
            Acknowledged::NotOffered => Err(Refusal::Conflict {
                what: format!(
                    "number {sequence} with this hash was not offered to {party}, or too long ago; \
                     fetch the newest manifest and apply that"
                ),
            }
            .into()),
            Acknowledged::GoesBack => Err(Refusal::Conflict {
                what: format!(
                    "{party} applied a number above {sequence} before; it cannot go back"
                ),
            }
            .into()),
        }
    }

    /// Opens a finding for each relying party that has not applied its feed in time, and clears it
    /// when it has. How soon the next one is due, in seconds.
    pub async fn watch_feeds(&self) -> Result<Option<u64>, Rejection> {
        let (tenant, now) = (self.tenant(), self.clock().now());
        let watched = self
            .store()
            .read(move |tx| {
                let followers = feed::followers(tx, tenant, now)?;
                let mut watched = Vec::new();
                for feed in feed::list(tx, tenant, "", WATCHED_MAX)? {
                    let Some(known) = relying_party::by_name(tx, tenant, feed.party.as_str())?
                    else {
                        continue;
                    };
                    let held = feed::held(tx, known.no)?;
                    watched.push(Watched {
                        rung: held
                            .and_then(|held| manifest_of(&held.note))
                            .map(|held| held.ladder.rung(held.made, now)),
                        follows: match followers.contains(&known.no) {
                            true => Follows::Still,
                            false => Follows::NoMore,
                        },
                        known,
                        feed,
                    });
                }
                Ok::<_, StoreError>(watched)
            })
            .await?;
        let mut next = None;
        for one in watched {
            if let Some(in_s) = self.watch_feed(&one, now).await? {
                next = Some(next.map_or(in_s, |next: u64| next.min(in_s)));
            }
        }
        Ok(next)
    }

    async fn watch_feed(&self, one: &Watched, now: Time) -> Result<Option<u64>, Rejection> {
        let (party, feed) = (&one.known.party, &one.feed);
        let late = feed::not_acknowledged(&party.name);
        let old = feed::too_old(&party.name);
        if one.follows == Follows::NoMore {
            let why = "it follows no feed any more";
            self.clear_finding("feed", late, why).await?;
            self.clear_finding("feed", old, why).await?;
            return Ok(None);
        }
        let within = feed.within_s.unwrap_or(party.enforce_within_s);
        let mut next = None;
        match feed.behind {
            None => {
                self.clear_finding("feed", late, "it applied the newest")
                    .await?;
            }
            Some(since) if now >= since.plus(within) => {
                let summary = summary(party, feed, since, within);
                self.raise_finding("feed", finding(late, party, summary))
                    .await?;
            }
            Some(since) => next = u64::try_from(since.plus(within).unix() - now.unix()).ok(),
        }
        match one.rung {
            None | Some(Rung::Fresh) => {
                self.clear_finding("feed", old, "what it holds is fresh")
                    .await?;
            }
            Some(rung) => {
                let summary = format!(
                    "What {} holds is old: number {} is on the rung `{rung}` of its ladder. {}",
                    party.name,
                    feed.applied,
                    what_to_do(party, feed),
                );
                self.raise_finding("feed", finding(old, party, summary))
                    .await?;
            }
        }
        Ok(next)
    }
}

fn summary(party: &RelyingParty, feed: &Feed, since: Time, within_s: i64) -> String {
    let applied = match feed.applied {
        0 => "it never said that it applied anything".to_owned(),
        applied => format!("the last number it applied is {applied}"),
    };
    format!(
        "{} was offered number {} and has had something to apply since {since}, {within_s} s or longer; \
         {applied}. It may let in what is revoked. {}",
        party.name,
        feed.sequence,
        what_to_do(party, feed),
    )
}

fn what_to_do(party: &RelyingParty, feed: &Feed) -> String {
    match feed.way() {
        Way::Pull => {
            "Look whether `tenure-agent feed follow` runs there and what it says.".to_owned()
        }
        Way::Pack => format!(
            "Carry a pack there (`tenure pack export --party {}`) and its receipt back.",
            party.name
        ),
    }
}

fn finding(matter: Matter, party: &RelyingParty, summary: String) -> NewFinding {
    NewFinding {
        matter,
        summary,
        evidence: Vec::new(),
        owner: Some(party.owner.clone()),
        criticality: party.criticality,
    }
}
