//! Packs: what a relying party should hold, in one file for those that no network leads to, and the
//! receipts that come back.
//!
//! What is carried is used for longer than what is fetched, so its lists are signed anew with a life
//! as long as the pack's own. A list of an issuer whose key is not here is taken as it is published.

use std::fs;
use std::sync::Arc;

use tenure_domain::Slug;
use tenure_domain::feed::receipt::{Receipt, Sealed};
use tenure_domain::feed::{ItemKind, Ladder, Manifest, VERSION, Way, next_sequence, pack};
use tenure_domain::issuer::Issuer;
use tenure_domain::operator::{Actor, Permission};
use tenure_domain::refusal::Refusal;
use tenure_store::feed::{self, Applied};
use tenure_store::relying_party::{self, Known};
use tenure_store::token;
use tenure_x509::Time;
use tenure_x509::crl::Crl;

use super::{Bundle, FEED_KEY, Wanted, item_path};
use crate::Engine;
use crate::duty::integrate::log_directory;
use crate::duty::publish::{List, crl_path};
use crate::fault::{FaultCause, Rejection};
use crate::observe::Observed;
use crate::signer::Key;

/// What a pack is made for, in seconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PackTerms {
    /// From this age on somebody has to be told.
    pub warn_s: i64,
    /// From this age on nobody new is to be let in.
    pub restrict_s: i64,
    /// From this age on nobody is to be let in, or everybody told where stopping would be worse.
    pub close_s: i64,
    /// How long a receipt may take to come back.
    pub receipt_within_s: i64,
}

/// A pack that was made.
#[derive(Debug, Clone)]
pub struct MadePack {
    /// Its number.
    pub sequence: i64,
    /// The file.
    pub octets: Vec<u8>,
}

impl Engine {
    /// Makes a pack for a relying party, which from now on is one that is reached by packs. Its
    /// number is remembered, and a receipt is waited for.
    pub async fn export_pack(
        &self,
        actor: &Actor,
        party: &Slug,
        terms: PackTerms,
    ) -> Result<MadePack, Rejection> {
        actor.may(Permission::ChangeFleet)?;
        let now = self.now_for_signing()?;
        let key = self
            .key(FEED_KEY)
            .ok_or_else(|| FaultCause::NoKey(FEED_KEY.to_owned()))?;
        let Wanted { known, feed } = self.follower(party, now)?;
        let PackTerms {
            warn_s,
            restrict_s,
            close_s,
            receipt_within_s,
        } = terms;
        let ladder = Ladder::new(warn_s, restrict_s, close_s, known.party.criticality);
        if !ladder.is_sound() || receipt_within_s <= 0 {
            let what = "warn, restrict and close must climb and end within a year, and a receipt needs \
                        time";
            return Err(bad(what));
        }
        let _turn = self.feeds().offering.lock().await;
        let trust = self
            .store()
            .glance(|tx| super::bundle(tx, &self.snapshot(), &known.party))?;
        let mut manifest = Manifest {
            items: vec![self.shelve(ItemKind::Bundle, "trust", trust.pem().as_bytes())?],
            ladder,
            made: now,
            party: party.clone(),
            sequence: next_sequence(feed.map_or(0, |feed| feed.sequence), now),
            valid_until: now.plus(close_s),
            version: VERSION,
        };
        for issuer in self.snapshot().issuers.iter() {
            if trust.holds(&issuer.certificate) {
                let (list, epoch) = self.lasting_list(issuer, now, manifest.valid_until).await?;
                let mut item = self.shelve(ItemKind::Crl, issuer.name.as_str(), &list)?;
                item.epoch = epoch;
                manifest.items.push(item);
            }
        }
        // A log that is not sealed yet has none.
        if let Ok(checkpoint) = fs::read(log_directory(self.directory()).join("checkpoint")) {
            let item = self.shelve(ItemKind::Checkpoint, "log", &checkpoint)?;
            manifest.items.push(item);
        }
        self.pack(actor, &key, &known, &manifest, &trust, receipt_within_s)
            .await
    }

    async fn pack(
        &self,
        actor: &Actor,
        key: &Key,
        known: &Known,
        manifest: &Manifest,
        trust: &Bundle,
        within_s: i64,
    ) -> Result<MadePack, Rejection> {
        let new = self.new_offer(key, known, manifest, trust, Some(within_s))?;
        let note = new.offer.note.clone();
        if self.keep_offers(actor, vec![new], manifest.made).await? == 0 {
            let what = "another manifest was offered meanwhile; export again".to_owned();
            return Err(Refusal::Conflict { what }.into());
        }
        let items = manifest.items.iter().map(|item| {
            fs::read(item_path(self.directory(), item.sha256)).map_err(|error| FaultCause::File {
                doing: "reading an item of a feed",
                error,
            })
        });
        let items = items.collect::<Result<Vec<_>, _>>()?;
        Ok(MadePack {
            sequence: manifest.sequence,
            octets: pack::write(&note, &items),
        })
    }

    /// A relying party that a token is bound to.
    fn follower(&self, party: &Slug, now: Time) -> Result<Wanted, Rejection> {
        let tenant = self.tenant();
        let found = self.store().glance(|tx| {
            let Some(known) = relying_party::by_name(tx, tenant, party.as_str())? else {
                return Ok::<_, tenure_store::StoreError>(None);
            };
            let tokens = token::of_party(tx, known.no, now)?;
            let feed = feed::of(tx, known.no)?;
            Ok(Some((Wanted { known, feed }, tokens.is_empty())))
        })?;
        match found {
            Some((wanted, false)) => Ok(wanted),
            Some((_, true)) => Err(Refusal::Conflict {
                what: format!(
                    "no token is bound to {party}, and its receipts are sealed with one; make it with \
                     `tenure feed connect {party}`"
                ),
            }
            .into()),
            None => Err(Refusal::NotFound {
                what: format!("relying party {party}"),
            }
            .into()),
        }
    }

    /// An issuer's list that may be used until `until`, and the epoch that it renders.
    async fn lasting_list(
        &self,
        issuer: &Arc<Issuer>,
        now: Time,
        until: Time,
    ) -> Result<(Vec<u8>, i64), Rejection> {
        if let Some(key) = self.key(&issuer.key) {
            return self.sign_lasting_list(issuer, &key, now, until).await;
        }
        let path = crl_path(self.directory(), issuer.name.as_str(), List::Full);
        let list = fs::read(path).map_err(|error| FaultCause::File {
            doing: "reading a published list",
            error,
        })?;
        let ends = Crl::from_der(&list)
            .ok()
            .and_then(|list| list.next_update());
        if ends.is_none_or(|ends| ends < until) {
            let what = format!(
                "the published list of {} ends before {until}, and its key is not here: renew it with \
                 `tenure issuer crl-refresh`, or let the pack close sooner",
                issuer.name
            );
            return Err(Refusal::Conflict { what }.into());
        }
        Ok((list, 0))
    }

    /// Takes a receipt that somebody carried back: the word of the relying party whose token sealed it.
    pub async fn take_receipt(
        &self,
        actor: &Actor,
        octets: &[u8],
    ) -> Result<(Receipt, Observed), Rejection> {
        actor.may(Permission::Report)?;
        let sealed = Sealed::parse(octets).map_err(|why| bad(why.0))?;
        let (tenant, now) = (self.tenant(), self.clock().now());
        let party = sealed.receipt.party.clone();
        let tokens = self.store().glance(|tx| {
            match relying_party::by_name(tx, tenant, party.as_str())? {
                Some(known) => token::of_party(tx, known.no, now),
                None => Ok(Vec::new()),
            }
        })?;
        if !tokens.iter().any(|(_, hash)| sealed.is_of(hash)) {
            return Err(bad(
                "no token that works for that relying party has sealed this receipt",
            ));
        }
        let receipt = sealed.receipt;
        let applied = Applied {
            sequence: receipt.sequence,
            hash: receipt.manifest,
            at: receipt.applied_at,
            way: Way::Pack,
        };
        let observed = self.feed_applied(actor.clone(), party, applied).await?;
        Ok((receipt, observed))
    }
}

fn bad(what: &str) -> Rejection {
    Refusal::BadRequest {
        what: what.to_owned(),
    }
    .into()
}
