//! Feeds: what each relying party should hold, and what it said it applied.
//!
//! A relying party follows a feed as long as a token is bound to it. Its number only rises; the
//! newest manifests are kept, and the one that it applied.

use tenure_domain::event::Event;
use tenure_domain::feed::{Digest, Way};
use tenure_domain::finding::{FindingKind, Matter, Subject, SubjectKind};
use tenure_domain::{Actor, RelyingPartyNo, Slug, TenantId};
use tenure_x509::Time;

use crate::error::StoreError;
use crate::finding;
use crate::registry::slug;
use crate::relying_party::Known;
use crate::stamp::Stamp;
use crate::token::hash32;
use crate::tx::{ReadTx, Row, Tx};

/// So many of the newest offers are kept of each relying party.
const OFFERS_KEPT: i64 = 16;

/// Where a relying party's feed is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Feed {
    /// The relying party.
    pub party: Slug,
    /// The number of the newest offer.
    pub sequence: i64,
    /// What that offer holds, whatever its number.
    pub contents: Digest,
    /// When the first offer was made that it has not applied; `None` if it holds the newest.
    pub behind: Option<Time>,
    /// For one that is reached by packs: how long one may take to be confirmed, in seconds.
    pub within_s: Option<i64>,
    /// The number that it applied last; 0 if none.
    pub applied: i64,
    /// When it applied it, by its own clock.
    pub said: Option<Time>,
    /// When we heard of it.
    pub heard: Option<Time>,
}

impl Feed {
    /// How the relying party is reached.
    pub fn way(&self) -> Way {
        match self.within_s {
            Some(_) => Way::Pack,
            None => Way::Pull,
        }
    }
}

/// A manifest that was offered.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Offer {
    /// Its number.
    pub sequence: i64,
    /// When it was made.
    pub made: Time,
    /// The hash of its text.
    pub hash: Digest,
    /// How it was to reach the relying party.
    pub way: Way,
    /// The hashes of the trust anchors in its bundle.
    pub anchors: Vec<Digest>,
    /// The manifest with its signature.
    pub note: String,
}

/// A manifest to be offered.
#[derive(Debug, Clone)]
pub struct NewOffer {
    /// Whose.
    pub party: RelyingPartyNo,
    /// Its name.
    pub name: Slug,
    /// What it holds, whatever its number.
    pub contents: Digest,
    /// For one that is reached by packs: how long one may take to be confirmed, in seconds.
    pub within_s: Option<i64>,
    /// The offer.
    pub offer: Offer,
}

/// What a relying party says that it applied.
#[derive(Debug, Clone)]
pub struct Applied {
    /// The number.
    pub sequence: i64,
    /// The hash of the manifest.
    pub hash: Digest,
    /// When, by its own clock.
    pub at: Time,
    /// How we hear of it.
    pub way: Way,
}

/// What became of an acknowledgement.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Acknowledged {
    /// It is news.
    News,
    /// It is what we know.
    Known,
    /// That manifest was never offered to this relying party, or so long ago that we forgot it.
    NotOffered,
    /// It said before that it applied a newer one.
    GoesBack,
}

/// The relying parties that follow a feed: those that a working token is bound to.
pub fn followers(
    tx: &ReadTx<'_>,
    tenant: TenantId,
    now: Time,
) -> Result<Vec<RelyingPartyNo>, StoreError> {
    tx.all(
        "SELECT DISTINCT party FROM token WHERE party > 0 AND tenant = $1 AND revoked = 0
           AND (expires = 0 OR expires > $2) ORDER BY party",
        &[&tenant.0, &now.unix()],
        |row| Ok(RelyingPartyNo(row.get(0)?)),
    )
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT relying_party.name, feed.sequence, feed.contents, feed.behind, feed.within, \
             feed.applied, feed.said, feed.heard \
             FROM feed JOIN relying_party ON relying_party.no = feed.party ",
            $rest
        )
    };
}

fn read(row: &Row<'_>) -> Result<Feed, StoreError> {
    let within: i64 = row.get(4)?;
    Ok(Feed {
        party: slug(row, 0)?,
        sequence: row.get(1)?,
        contents: Digest(hash32(row, 2)?),
        behind: row.some_time(3)?,
        within_s: (within > 0).then_some(within),
        applied: row.get(5)?,
        said: row.some_time(6)?,
        heard: row.some_time(7)?,
    })
}

/// The feed of a relying party, if anything was ever offered to it.
pub fn of(tx: &ReadTx<'_>, party: RelyingPartyNo) -> Result<Option<Feed>, StoreError> {
    tx.one(select!("WHERE feed.party = $1"), &[&party.0], read)
}

/// At most `limit` feeds in the order of their relying parties' names, after the name `after`.
pub fn list(
    tx: &ReadTx<'_>,
    tenant: TenantId,
    after: &str,
    limit: u32,
) -> Result<Vec<Feed>, StoreError> {
    tx.all(
        select!(
            "WHERE relying_party.tenant = $1 AND relying_party.name > $2 \
             AND relying_party.removed = 0 ORDER BY relying_party.name LIMIT $3"
        ),
        &[&tenant.0, &after, &limit],
        read,
    )
}

macro_rules! select_offer {
    ($rest:literal) => {
        concat!(
            "SELECT sequence, made, hash, way, anchors, note FROM feed_offer ",
            $rest
        )
    };
}

fn read_offer(row: &Row<'_>) -> Result<Offer, StoreError> {
    let unreadable = |what| StoreError::Unreadable { what };
    Ok(Offer {
        sequence: row.get(0)?,
        made: row.time(1)?,
        hash: Digest(hash32(row, 2)?),
        way: Way::from_code(row.get(3)?).ok_or(unreadable("feed_offer.way"))?,
        anchors: serde_json::from_str(row.text(4)?)
            .map_err(|_| unreadable("feed_offer.anchors"))?,
        note: row.get(5)?,
    })
}

/// The newest offer to a relying party.
pub fn newest(tx: &ReadTx<'_>, party: RelyingPartyNo) -> Result<Option<Offer>, StoreError> {
    tx.one(
        select_offer!("WHERE party = $1 ORDER BY sequence DESC LIMIT 1"),
        &[&party.0],
        read_offer,
    )
}

/// One offer, if it is not forgotten.
pub fn offer(
    tx: &ReadTx<'_>,
    party: RelyingPartyNo,
    sequence: i64,
) -> Result<Option<Offer>, StoreError> {
    tx.one(
        select_offer!("WHERE party = $1 AND sequence = $2"),
        &[&party.0, &sequence],
        read_offer,
    )
}

/// Every offer that is kept of a relying party, newest first.
pub fn offers(tx: &ReadTx<'_>, party: RelyingPartyNo) -> Result<Vec<Offer>, StoreError> {
    tx.all(
        select_offer!("WHERE party = $1 ORDER BY sequence DESC"),
        &[&party.0],
        read_offer,
    )
}

/// What a relying party has said that it holds: the offer it applied last.
pub fn held(tx: &ReadTx<'_>, party: RelyingPartyNo) -> Result<Option<Offer>, StoreError> {
    tx.one(
        select_offer!(
            "WHERE party = $1 AND sequence = (SELECT applied FROM feed WHERE feed.party = $1)"
        ),
        &[&party.0],
        read_offer,
    )
}

/// The texts of every offer that is kept, of whomever.
pub fn every_note(tx: &ReadTx<'_>) -> Result<Vec<String>, StoreError> {
    tx.all("SELECT note FROM feed_offer", &[], |row| row.get(0))
}

/// Keeps new offers and records them as one event. One whose number another offer has reached
/// meanwhile is left out; the names of those that were kept.
pub fn offer_all(
    tx: &mut Tx<'_>,
    new: &[NewOffer],
    actor: &Actor,
    now: Time,
) -> Result<Vec<Slug>, StoreError> {
    let stamp = Stamp::new(actor, now);
    let (mut kept, mut lines) = (Vec::new(), String::new());
    for NewOffer {
        party,
        name,
        contents,
        within_s,
        offer,
    } in new
    {
        let known = of(tx, *party)?;
        if known
            .as_ref()
            .is_some_and(|feed| feed.sequence >= offer.sequence)
        {
            continue;
        }
        let behind = known.as_ref().and_then(|feed| feed.behind).unwrap_or(now);
        let within = within_s.unwrap_or(0);
        tx.run(
            "INSERT INTO feed(party, tenant, sequence, contents, behind, within, applied, said, heard)
             VALUES($1, $2, $3, $4, $5, $6, 0, 0, 0)
             ON CONFLICT(party) DO UPDATE SET sequence = excluded.sequence,
               contents = excluded.contents, behind = excluded.behind, within = excluded.within",
            &[
                &party.0,
                &stamp.tenant.0,
                &offer.sequence,
                &contents.0.as_slice(),
                &behind.unix(),
                &within,
            ],
        )?;
        tx.run(
            "INSERT INTO feed_offer(party, sequence, made, hash, way, anchors, note)
             VALUES($1, $2, $3, $4, $5, $6, $7)",
            &[
                &party.0,
                &offer.sequence,
                &offer.made.unix(),
                &offer.hash.0.as_slice(),
                &offer.way.code(),
                &serde_json::to_string(&offer.anchors).unwrap_or_default(),
                &offer.note,
            ],
        )?;
        tx.run(
            "DELETE FROM feed_offer WHERE party = $1
               AND sequence <> (SELECT applied FROM feed WHERE feed.party = $1)
               AND sequence NOT IN (SELECT sequence FROM feed_offer WHERE party = $1
                                    ORDER BY sequence DESC LIMIT $2)",
            &[&party.0, &OFFERS_KEPT],
        )?;
        lines.push_str(&format!("{name} {} {}\n", offer.sequence, offer.hash));
        kept.push(name.clone());
    }
    if kept.is_empty() {
        tx.excuse("newer manifests were offered meanwhile");
        return Ok(kept);
    }
    tx.log(&stamp.entry(Event::FeedsOffered {
        digest: Digest::of(lines.as_bytes()).to_string(),
        feeds: kept.len() as u64,
    }))?;
    Ok(kept)
}

/// The finding that a relying party has not said in time that it applied its feed.
pub fn not_acknowledged(party: &Slug) -> Matter {
    Matter {
        kind: FindingKind::FeedNotApplied,
        subject: Subject::new(SubjectKind::RelyingParty, party.as_str()),
        cause: "not acknowledged".to_owned(),
    }
}

/// The finding that what a relying party holds has grown too old.
pub fn too_old(party: &Slug) -> Matter {
    Matter {
        cause: "too old".to_owned(),
        ..not_acknowledged(party)
    }
}

/// Takes what a relying party says that it applied. It can only be what was offered to it, and it can
/// never go back.
pub fn acknowledge(
    tx: &mut Tx<'_>,
    known: &Known,
    applied: &Applied,
    actor: &Actor,
    now: Time,
) -> Result<Acknowledged, StoreError> {
    let stamp = Stamp::new(actor, now);
    let name = &known.party.name;
    let offered = offer(tx, known.no, applied.sequence)?;
    let (Some(feed), Some(_)) = (
        of(tx, known.no)?,
        offered.filter(|offered| offered.hash == applied.hash),
    ) else {
        tx.excuse("nothing was acknowledged");
        return Ok(Acknowledged::NotOffered);
    };
    if applied.sequence < feed.applied {
        tx.excuse("nothing was acknowledged");
        return Ok(Acknowledged::GoesBack);
    }
    if applied.sequence == feed.applied {
        tx.excuse("it was acknowledged before");
        return Ok(Acknowledged::Known);
    }
    let behind = tx.number(
        "SELECT coalesce(min(made), 0) FROM feed_offer WHERE party = $1 AND sequence > $2",
        &[&known.no.0, &applied.sequence],
    )?;
    let within = match applied.way {
        Way::Pull => 0,
        Way::Pack => feed.within_s.unwrap_or(0),
    };
    tx.run(
        "UPDATE feed SET applied = $2, said = $3, heard = $4, behind = $5, within = $6
         WHERE party = $1",
        &[
            &known.no.0,
            &applied.sequence,
            &applied.at.unix(),
            &now.unix(),
            &behind,
            &within,
        ],
    )?;
    tx.log(&stamp.entry(Event::FeedApplied {
        manifest: applied.hash.to_string(),
        name: name.to_string(),
        sequence: applied.sequence,
        way: applied.way,
    }))?;
    if behind == 0 {
        let why = format!("it applied number {}", applied.sequence);
        finding::clear(tx, &not_acknowledged(name), &why, actor, now)?;
        finding::clear(tx, &too_old(name), &why, actor, now)?;
    }
    Ok(Acknowledged::News)
}
