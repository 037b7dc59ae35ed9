//! Packs: what a relying party should hold, in one file for those that no network leads to, and the
//! receipts that come back.
//!
//! What is carried is used for longer than what is fetched, so its lists and filters are signed anew
//! with a life as long as the pack's own. A list of an issuer whose key is not here is taken as it is published.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::sync::Arc;

use tenure_domain::feed::receipt::{Receipt, Sealed};
use tenure_domain::feed::site::{self, PARTS_MAX, items_of};
use tenure_domain::feed::{
    Item, ItemKind, Ladder, Manifest, VERSION, Way, next_sequence, pack, rules,
};
use tenure_domain::issuer::{Issuer, IssuerKind};
use tenure_domain::operator::{Actor, Permission};
use tenure_domain::refusal::Refusal;
use tenure_domain::relying_party::RelyingParty;
use tenure_domain::{Slug, Title};
use tenure_store::feed::{self, Applied, NewOffer};
use tenure_store::relying_party::{self, Known};
use tenure_store::{StoreError, registry, token};
use tenure_x509::Time;
use tenure_x509::crl::Crl;

use super::{Bundle, DIED, FEED_KEY, Wanted, item_path};
use crate::Engine;
use crate::duty::integrate::log_directory;
use crate::duty::publish::{List, crl_path};
use crate::fault::{FaultCause, Rejection};
use crate::observe::Observed;
use crate::signer::Key;

/// How many relying parties are looked at in one query.
const LISTED: u32 = 200;

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

/// A pack that was made for a site.
#[derive(Debug, Clone)]
pub struct MadeSitePack {
    /// For whom, and under which number.
    pub parts: Vec<(Slug, i64)>,
    /// The file.
    pub octets: Vec<u8>,
}

impl PackTerms {
    /// How a relying party's pack ages.
    fn ladder(&self, party: &RelyingParty) -> Result<Ladder, Rejection> {
        let (warn_s, restrict_s) = (self.warn_s, self.restrict_s);
        let ladder = Ladder::new(warn_s, restrict_s, self.close_s, party.criticality);
        if !ladder.is_sound() || self.receipt_within_s <= 0 {
            let what = "warn, restrict and close must climb and end within a year, and a receipt \
                        needs time";
            return Err(bad(what));
        }
        Ok(ladder)
    }
}

/// What a relying party should hold.
struct Contents {
    wanted: Wanted,
    ladder: Ladder,
    trust: Bundle,
    /// Lists and filters, on the shelf.
    status: Vec<Item>,
    rules: String,
}

/// What a pack holds for one relying party.
struct Part {
    manifest: Manifest,
    note: String,
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
        let tenant = self.tenant();
        let found = self
            .store()
            .glance(|tx| relying_party::by_name(tx, tenant, party.as_str()))?;
        let known = found.ok_or_else(|| Refusal::NotFound {
            what: format!("relying party {party}"),
        })?;
        let turn = self.feeds().offering.lock().await;
        let now = self.now_for_signing()?;
        let parts = self.parts(actor, vec![known], terms, now).await?;
        let Part { manifest, note } = parts
            .into_iter()
            .next()
            .ok_or(FaultCause::Corrupt("a pack"))?;
        let sequence = manifest.sequence;
        let write = move |engine: &Engine| {
            let items = engine.shelved(manifest.items.iter())?;
            Ok::<_, FaultCause>(pack::write(&note, &items))
        };
        let octets = self.aside(DIED, write).await?;
        drop(turn);
        Ok(MadePack { sequence, octets })
    }

    /// Makes one pack for every relying party at a site and at the sites inside it, but these. Each
    /// has its own manifest and number, and a receipt of each is waited for.
    pub async fn export_site_pack(
        &self,
        actor: &Actor,
        site: &Title,
        except: &[Slug],
        terms: PackTerms,
    ) -> Result<MadeSitePack, Rejection> {
        actor.may(Permission::ChangeFleet)?;
        let mut parties = self.parties_at(site).await?;
        for name in except {
            let before = parties.len();
            parties.retain(|known| known.party.name != *name);
            if parties.len() == before {
                let what = format!("relying party {name} at {site}");
                return Err(Refusal::NotFound { what }.into());
            }
        }
        if parties.is_empty() {
            let what = format!("there is no relying party at {site} to make a pack for");
            return Err(Refusal::Conflict { what }.into());
        }
        if parties.len() > PARTS_MAX {
            let what = format!(
                "{site} has {} relying parties, and a pack holds {PARTS_MAX} at most: make one for \
                 each site inside it",
                parties.len()
            );
            return Err(Refusal::Conflict { what }.into());
        }
        let turn = self.feeds().offering.lock().await;
        let now = self.now_for_signing()?;
        let parts = self.parts(actor, parties, terms, now).await?;
        let named = parts.iter().map(|Part { manifest, .. }| manifest);
        let named = named
            .map(|manifest| (manifest.party.clone(), manifest.sequence))
            .collect();
        let write = move |engine: &Engine| {
            let notes: Vec<_> = parts.iter().map(|part| &part.note).collect();
            let items = items_of(parts.iter().map(|part| &part.manifest));
            let items = engine.shelved(items.into_iter())?;
            Ok::<_, FaultCause>(site::write(&notes, &items))
        };
        let octets = self.aside(DIED, write).await?;
        drop(turn);
        Ok(MadeSitePack {
            parts: named,
            octets,
        })
    }

    /// The relying parties at a site and at the sites inside it, by name.
    async fn parties_at(&self, site: &Title) -> Result<Vec<Known>, Rejection> {
        let (tenant, outer) = (self.tenant(), site.clone());
        let found = self.store().read(move |tx| {
            let sites = registry::sites(tx, tenant)?;
            if !sites.iter().any(|site| site.name == outer) {
                return Ok::<_, StoreError>(None);
            }
            let mut inside = HashSet::from([outer.clone()]);
            // A site inside may be listed before the one it is in.
            loop {
                let is_in =
                    |parent: &Option<Title>| parent.as_ref().is_some_and(|it| inside.contains(it));
                let more: Vec<_> = sites
                    .iter()
                    .filter(|site| !inside.contains(&site.name) && is_in(&site.parent))
                    .map(|site| site.name.clone())
                    .collect();
                if more.is_empty() {
                    break;
                }
                inside.extend(more);
            }
            let mut parties = Vec::new();
            let mut after = String::new();
            loop {
                let page = relying_party::list(tx, tenant, &after, LISTED)?;
                let Some(last) = page.last() else {
                    return Ok(Some(parties));
                };
                after = last.party.name.to_string();
                let here = page
                    .into_iter()
                    .filter(|known| inside.contains(&known.party.site));
                parties.extend(here);
            }
        });
        let found = found.await?;
        found.ok_or_else(|| {
            let what = format!("site {site}");
            Refusal::NotFound { what }.into()
        })
    }

    /// Makes and keeps what each of these should hold until the end of the pack. The items are on the
    /// shelf for as long as the turn to make offers is held.
    async fn parts(
        &self,
        actor: &Actor,
        parties: Vec<Known>,
        terms: PackTerms,
        now: Time,
    ) -> Result<Vec<Part>, Rejection> {
        let key = self
            .key(FEED_KEY)
            .ok_or_else(|| FaultCause::NoKey(FEED_KEY.to_owned()))?;
        let snapshot = self.snapshot();
        let until = now.plus(terms.close_s);
        let document = self.policy_document()?;
        let mut lasting: HashMap<Slug, Vec<Item>> = HashMap::new();
        let mut contents = Vec::new();
        for wanted in self.followers(parties, now)? {
            let party = &wanted.known.party;
            let ladder = terms.ladder(party)?;
            let trust = self
                .store()
                .glance(|tx| super::bundle(tx, &snapshot, party))?;
            let mut status = Vec::new();
            for issuer in snapshot.issuers.iter() {
                if !trust.holds(&issuer.certificate) {
                    continue;
                }
                // Signed once, however many hold it.
                if !lasting.contains_key(&issuer.name) {
                    let made = self.lasting_items(issuer, now, until).await?;
                    lasting.insert(issuer.name.clone(), made);
                }
                status.extend(lasting.get(&issuer.name).into_iter().flatten().cloned());
            }
            let rules = rules::rules(&snapshot.policy, &document, party)
                .ok_or(FaultCause::Corrupt("policy document"))?;
            contents.push(Contents {
                wanted,
                ladder,
                trust,
                status,
                rules,
            });
        }
        let make = move |engine: &Engine| {
            let made = contents.into_iter();
            let made = made.map(|contents| engine.make_part(&key, contents, terms, now));
            made.collect::<Result<Vec<_>, Rejection>>()
        };
        let made = self.aside(DIED, make).await?;
        let (parts, new): (Vec<_>, Vec<_>) = made.into_iter().unzip();
        if self.keep_offers(actor, new, now).await? != parts.len() {
            let what = "another manifest was offered meanwhile; export again".to_owned();
            return Err(Refusal::Conflict { what }.into());
        }
        Ok(parts)
    }

    /// Puts on the shelf what a relying party should hold, and signs that.
    fn make_part(
        &self,
        key: &Key,
        contents: Contents,
        terms: PackTerms,
        now: Time,
    ) -> Result<(Part, NewOffer), Rejection> {
        let Contents {
            wanted: Wanted { known, feed },
            ladder,
            trust,
            status,
            rules,
        } = contents;
        let mut items = vec![self.shelve(ItemKind::Bundle, "trust", trust.pem().as_bytes())?];
        items.extend(status);
        items.push(self.shelve(ItemKind::Policy, "decisions", rules.as_bytes())?);
        // A log that is not sealed yet has none.
        if let Ok(checkpoint) = fs::read(log_directory(self.directory()).join("checkpoint")) {
            items.push(self.shelve(ItemKind::Checkpoint, "log", &checkpoint)?);
        }
        let manifest = Manifest {
            items,
            ladder,
            made: now,
            party: known.party.name.clone(),
            sequence: next_sequence(feed.map_or(0, |feed| feed.sequence), now),
            valid_until: now.plus(terms.close_s),
            version: VERSION,
        };
        let within_s = Some(terms.receipt_within_s);
        let offer = self.new_offer(key, &known, &manifest, &trust, within_s)?;
        let note = offer.offer.note.clone();
        Ok((Part { manifest, note }, offer))
    }

    fn shelved<'i>(
        &self,
        items: impl Iterator<Item = &'i Item>,
    ) -> Result<Vec<Vec<u8>>, FaultCause> {
        let read = |item: &Item| fs::read(item_path(self.directory(), item.sha256));
        let read: Result<_, _> = items.map(read).collect();
        read.map_err(|error| FaultCause::File {
            doing: "reading an item of a feed",
            error,
        })
    }

    fn policy_document(&self) -> Result<String, Rejection> {
        let tenant = self.tenant();
        let found = self
            .store()
            .glance(|tx| tenure_store::policy::current(tx, tenant))?;
        let (_, document) = found.ok_or(FaultCause::Corrupt("policy: there is none"))?;
        Ok(document)
    }

    /// These with their feeds; a token must be bound to each.
    fn followers(&self, parties: Vec<Known>, now: Time) -> Result<Vec<Wanted>, Rejection> {
        let (wanted, without) = self.store().glance(|tx| {
            let (mut wanted, mut without) = (Vec::new(), Vec::new());
            for known in &parties {
                if token::of_party(tx, known.no, now)?.is_empty() {
                    without.push(known.party.name.to_string());
                }
                let feed = feed::of(tx, known.no)?;
                let known = known.clone();
                wanted.push(Wanted { known, feed });
            }
            Ok::<_, StoreError>((wanted, without))
        })?;
        match without.first() {
            None => Ok(wanted),
            Some(first) => Err(Refusal::Conflict {
                what: format!(
                    "no token is bound to {}, and receipts are sealed with one; make it with `tenure \
                     feed connect {first}`",
                    without.join(", ")
                ),
            }
            .into()),
        }
    }

    /// An issuer's list, and its filter if it has one, that may be used until `until`.
    async fn lasting_items(
        &self,
        issuer: &Arc<Issuer>,
        now: Time,
        until: Time,
    ) -> Result<Vec<Item>, Rejection> {
        let list = self.lasting_list(issuer, now, until).await?;
        let mut made = vec![(ItemKind::Crl, list)];
        let key = self.key(&issuer.key);
        if let (IssuerKind::Issuing, Some(key)) = (issuer.kind, key) {
            let filter = self.sign_lasting_filter(issuer, &key, now, until).await?;
            made.push((ItemKind::Filter, filter));
        }
        let name = issuer.name.clone();
        let shelve = move |engine: &Engine| {
            let shelve = |(kind, (octets, epoch)): (ItemKind, (Vec<u8>, i64))| {
                let item = engine.shelve(kind, name.as_str(), &octets)?;
                Ok::<_, Rejection>(Item { epoch, ..item })
            };
            made.into_iter().map(shelve).collect()
        };
        self.aside(DIED, shelve).await
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
        let read = |_: &Engine| {
            fs::read(path).map_err(|error| FaultCause::File {
                doing: "reading a published list",
                error,
            })
        };
        let list = self.aside(DIED, read).await?;
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
