//! Feeds: each relying party that follows one is offered a manifest of what it should hold, whenever
//! that changes, under a number that only rises.
//!
//! The number is `max(last + 1, Unix time)`, and never more than one ahead of the clock: what comes
//! faster shares the next one. So not even a restored backup can reuse a number. The first round after
//! a start offers anew, because what was offered last may be what a restored backup forgot.

mod bundle;
mod items;
mod pace;
mod pack;
mod watch;

use std::collections::HashSet;

use parking_lot::Mutex;
use tenure_domain::feed::{Digest, Item, ItemKind, Ladder, Manifest, VERSION, Way, next_sequence};
use tenure_domain::operator::Actor;
use tenure_domain::{RelyingPartyNo, Slug};
use tenure_store::StoreError;
use tenure_store::feed::{self, Feed, NewOffer, Offer};
use tenure_store::relying_party::{self, Known};
use tenure_tlog::{Note, VerifierKey};
use tenure_x509::Time;
use tokio::sync::broadcast;

pub use bundle::{Bundle, bundle};
pub(crate) use items::Shelf;
pub use items::item_path;
pub(crate) use pace::Pace;
pub use pace::{BOUNDS_S, Times};
pub use pack::{MadePack, MadeSitePack, PackTerms};

use crate::Engine;
use crate::duty::integrate::verifier;
use crate::duty::publish::{CRL_LIFE_S, CRL_RENEW_S};
use crate::fault::{FaultCause, Rejection};
use crate::signer::Key;

/// The name of the key that signs manifests.
pub const FEED_KEY: &str = "feed";

/// Who asks itself is warned when a renewal of the lists is late, restricted at half of their life,
/// and closed when they end; in seconds.
const PULL_LADDER_S: (i64, i64, i64) = (CRL_RENEW_S + 3600, CRL_LIFE_S / 2, CRL_LIFE_S);

/// How many signals a slow listener may be behind before it is told only that it missed some.
const SIGNALS_KEPT: usize = 1_024;

const DIED: &str = "feed: the signing thread died";

/// That a relying party's feed has a new number.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeedSignal {
    /// The relying party.
    pub party: Slug,
    /// The number.
    pub sequence: i64,
}

/// What this process remembers of feeds; the store and the files say the same.
pub(crate) struct Feeds {
    signals: broadcast::Sender<FeedSignal>,
    /// Relying parties that were offered something since the start.
    begun: Mutex<HashSet<RelyingPartyNo>>,
    pub(crate) shelf: Shelf,
    pub(crate) pace: Pace,
    /// Held while offers are made, so that no item is cleared away under them.
    offering: tokio::sync::Mutex<()>,
}

impl Default for Feeds {
    fn default() -> Feeds {
        Feeds {
            signals: broadcast::Sender::new(SIGNALS_KEPT),
            begun: Mutex::default(),
            shelf: Shelf::default(),
            pace: Pace::default(),
            offering: tokio::sync::Mutex::default(),
        }
    }
}

impl Feeds {
    fn has_begun(&self, party: RelyingPartyNo) -> bool {
        let begun = self.begun.lock();
        begun.contains(&party)
    }

    fn begin(&self, party: RelyingPartyNo) {
        let mut begun = self.begun.lock();
        begun.insert(party);
    }
}

/// What a round of offers came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Round {
    /// So many new manifests were offered.
    pub offered: usize,
    /// How soon there is something to do again, if it is known, in seconds.
    pub again_s: Option<u64>,
}

/// What a relying party may be given.
struct Wanted {
    known: Known,
    feed: Option<Feed>,
}

impl Engine {
    /// Offers a new manifest to each relying party that follows its feed over the network and whose
    /// contents have changed.
    pub async fn offer_feeds(&self) -> Result<Round, Rejection> {
        let Some(key) = self.key(FEED_KEY) else {
            return Ok(Round::default());
        };
        // A pack that is being made may take long, and whoever offers also publishes lists: it does not
        // wait, and reads what there is only once it has its turn.
        let Ok(_turn) = self.feeds().offering.try_lock() else {
            return Ok(Round {
                offered: 0,
                again_s: Some(1),
            });
        };
        // Published withdrawals up to here are in the lists that are read from here on.
        self.feeds().pace.offering();
        let now = self.now_for_signing()?;
        let tenant = self.tenant();
        let wanted = self
            .store()
            .read(move |tx| {
                let mut wanted = Vec::new();
                for no in feed::followers(tx, tenant, now)? {
                    if let Some(known) = relying_party::by_no(tx, no)? {
                        let feed = feed::of(tx, no)?;
                        wanted.push(Wanted { known, feed });
                    }
                }
                Ok::<_, StoreError>(wanted)
            })
            .await?;
        let make = move |engine: &Engine| engine.make_offers(&key, wanted, now);
        let (new, mut round) = self.aside(DIED, make).await?;
        if !new.is_empty() {
            round.offered = self.keep_offers(&Actor::system("feed"), new, now).await?;
            self.clear_shelf().await?;
        }
        Ok(round)
    }

    fn make_offers(
        &self,
        key: &Key,
        wanted: Vec<Wanted>,
        now: Time,
    ) -> Result<(Vec<NewOffer>, Round), Rejection> {
        let (mut new, mut round) = (Vec::new(), Round::default());
        for Wanted { known, feed } in wanted {
            let (last, is_carried) = match &feed {
                Some(feed) => (feed.sequence, feed.way() == Way::Pack),
                None => (0, false),
            };
            if is_carried {
                continue;
            }
            let (warn_s, restrict_s, close_s) = PULL_LADDER_S;
            let ladder = Ladder::new(warn_s, restrict_s, close_s, known.party.criticality);
            let trust = self
                .store()
                .glance(|tx| bundle(tx, &self.snapshot(), &known.party))?;
            let manifest = Manifest {
                items: self.items(&trust)?,
                ladder,
                made: now,
                party: known.party.name.clone(),
                sequence: next_sequence(last, now),
                valid_until: now.plus(ladder.close_s),
                version: VERSION,
            };
            let is_same = feed.is_some_and(|feed| feed.contents == manifest.contents());
            if is_same && self.feeds().has_begun(known.no) {
                continue;
            }
            if last > now.unix() {
                round.again_s = Some(1);
                continue;
            }
            new.push(self.new_offer(key, &known, &manifest, &trust, None)?);
        }
        Ok((new, round))
    }

    /// Signs a manifest and puts it into the form in which it is kept.
    fn new_offer(
        &self,
        key: &Key,
        known: &Known,
        manifest: &Manifest,
        trust: &Bundle,
        within_s: Option<i64>,
    ) -> Result<NewOffer, Rejection> {
        let corrupt = |_| FaultCause::Corrupt("feed's manifest");
        let mut note = Note::unsigned(&manifest.text()).map_err(corrupt)?;
        let verifier = verifier(tenure_domain::feed::KEY_NAME, key.public())?;
        note.sign(&verifier, |_| key.sign_manifest(manifest))?;
        Ok(NewOffer {
            party: known.no,
            name: known.party.name.clone(),
            contents: manifest.contents(),
            within_s,
            offer: Offer {
                sequence: manifest.sequence,
                made: manifest.made,
                hash: manifest.digest(),
                way: within_s.map_or(Way::Pull, |_| Way::Pack),
                anchors: trust.anchor_hashes(),
                note: note.to_string(),
            },
        })
    }

    /// Makes offers durable, and then known; how many.
    async fn keep_offers(
        &self,
        actor: &Actor,
        new: Vec<NewOffer>,
        now: Time,
    ) -> Result<usize, Rejection> {
        let (actor, of_record) = (actor.clone(), new.clone());
        let kept = self
            .store()
            .record::<_, StoreError, _>(self.operation()?, move |tx| {
                feed::offer_all(tx, &of_record, &actor, now)
            })
            .await?;
        for NewOffer {
            party, name, offer, ..
        } in &new
        {
            if kept.contains(name) {
                self.feeds().begin(*party);
                self.feeds().pace.offered(*party, offer.sequence);
                // What is carried by hand is fetched by nobody.
                if offer.way == Way::Pull {
                    self.newsboard().feed(name, offer.sequence, offer.made);
                }
                // Nobody may be listening, which is their affair.
                let _ = self.feeds().signals.send(FeedSignal {
                    party: name.clone(),
                    sequence: offer.sequence,
                });
            }
        }
        self.feeds().pace.all_offered();
        Ok(kept.len())
    }

    /// Tells of every new number of any feed from now on.
    pub fn feed_signals(&self) -> broadcast::Receiver<FeedSignal> {
        self.feeds().signals.subscribe()
    }

    /// The key that relying parties pin, in its text form; `None` if this house has none.
    pub fn feed_verifier(&self) -> Result<Option<VerifierKey>, Rejection> {
        match self.key(FEED_KEY) {
            Some(key) => Ok(Some(verifier(tenure_domain::feed::KEY_NAME, key.public())?)),
            None => Ok(None),
        }
    }

    /// How long revocations took to be applied by relying parties.
    pub fn feed_times(&self) -> Times {
        self.feeds().pace.times()
    }

    /// What belongs to a bundle: itself, and the status of its CAs. Each item is on the shelf.
    fn items(&self, trust: &Bundle) -> Result<Vec<Item>, Rejection> {
        let of_bundle = self.shelve(ItemKind::Bundle, "trust", trust.pem().as_bytes())?;
        let mut items = vec![of_bundle];
        for issuer in self.snapshot().issuers.iter() {
            if trust.holds(&issuer.certificate) {
                items.extend(self.status_items(issuer)?);
            }
        }
        Ok(items)
    }
}

/// The manifest in a signed note; not verified, for what we signed ourselves.
pub(crate) fn manifest_of(note: &str) -> Option<Manifest> {
    let note = Note::parse(note.as_bytes()).ok()?;
    Manifest::parse(note.text()).ok()
}

/// Whether a note holds an item of this hash.
pub fn names_item(note: &str, hash: Digest) -> bool {
    manifest_of(note).is_some_and(|manifest| {
        let mut items = manifest.items.iter();
        items.any(|item| item.sha256 == hash)
    })
}
