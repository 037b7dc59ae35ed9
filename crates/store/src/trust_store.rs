//! Trust stores as relying parties were observed to have them, and what each is meant to hold.
//!
//! The way from an anchor to who trusts it goes through what was observed, never through what was
//! meant.

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use tenure_domain::event::Event;
use tenure_domain::finding::{FindingState, Matter, NewFinding, Subject, SubjectKind};
use tenure_domain::issuer::Issuer;
use tenure_domain::rollover::{cross_certificates, rollover_set};
use tenure_domain::trust_store::{
    ANCHORS_MAX_DEFAULT, Comparison, Fingerprint, HeldAnchor, KINDS, Legacy, Meant,
};
use tenure_domain::{Actor, IssuerNo, RelyingPartyNo, Slug, TenantId};
use tenure_x509::{Cert, Time};

use crate::error::StoreError;
use crate::finding;
use crate::issuer;
use crate::registry::slug;
use crate::relying_party::Known;
use crate::rollover::{last_traffic, leaves};
use crate::stamp::Stamp;
use crate::tx::{ReadTx, Row, Tx};

/// When a trust store was last reported, and how many anchors it may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Budget {
    /// When; none if it never was.
    pub reported: Option<Time>,
    /// How many anchors it may hold.
    pub anchors_max: u32,
    /// By when the next report was promised; none if nobody promised one.
    pub again: Option<Time>,
}

/// What is known of the trust store of a relying party.
pub fn budget(tx: &ReadTx<'_>, party: RelyingPartyNo) -> Result<Budget, StoreError> {
    let found = tx.one(
        "SELECT reported, anchors_max, again_within FROM trust_store WHERE party = $1",
        &[&party.0],
        |row| {
            let reported = row.some_time(0)?;
            let within: i64 = row.get(2)?;
            Ok(Budget {
                reported,
                anchors_max: row.get(1)?,
                again: reported
                    .filter(|_| within > 0)
                    .map(|reported| reported.plus(within)),
            })
        },
    )?;
    Ok(found.unwrap_or(Budget {
        reported: None,
        anchors_max: ANCHORS_MAX_DEFAULT,
        again: None,
    }))
}

/// Says how many anchors a relying party may hold.
pub fn set_budget(
    tx: &mut Tx<'_>,
    known: &Known,
    anchors_max: u32,
    actor: &Actor,
    now: Time,
) -> Result<(), StoreError> {
    let stamp = Stamp::new(actor, now);
    if budget(tx, known.no)?.anchors_max == anchors_max {
        tx.excuse("the budget is that already");
        return Ok(());
    }
    tx.run(
        "INSERT INTO trust_store(party, tenant, reported, anchors_max) VALUES($1, $2, 0, $3)
         ON CONFLICT(party) DO UPDATE SET anchors_max = excluded.anchors_max",
        &[&known.no.0, &stamp.tenant.0, &anchors_max],
    )?;
    tx.log(&stamp.entry(Event::TrustStoreBudgeted {
        anchors_max,
        name: known.party.name.to_string(),
    }))
    .map(drop)
}

/// The issuing CAs that were taken out of what a relying party is meant to hold.
pub fn pruned_issuers(
    tx: &ReadTx<'_>,
    issuers: &[Arc<Issuer>],
    party: RelyingPartyNo,
) -> Result<Vec<Slug>, StoreError> {
    let pruned = pruned(tx, party)?;
    Ok(issuers
        .iter()
        .filter(|issuer| pruned.contains(&Fingerprint(issuer.certificate.fingerprint())))
        .map(|issuer| issuer.name.clone())
        .collect())
}

/// Keeps what a relying party was observed to hold, all of it: what was held before and is not among
/// it is gone. The next report is promised within so many seconds, or not at all.
pub fn report(
    tx: &mut Tx<'_>,
    known: &Known,
    certs: &[Cert],
    again_within_s: Option<u32>,
    actor: &Actor,
    now: Time,
) -> Result<(), StoreError> {
    let stamp = Stamp::new(actor, now);
    let before = holdings(tx, known.no)?;
    let mut present = BTreeSet::new();
    for cert in certs {
        let print = Fingerprint(cert.fingerprint());
        if !present.insert(print) {
            continue;
        }
        let no = keep(tx, stamp.tenant, cert, now)?;
        tx.run(
            "INSERT INTO held_anchor(party, anchor, first, last, gone) VALUES($1, $2, $3, $3, 0)
             ON CONFLICT(party, anchor) DO UPDATE SET last = excluded.last, gone = 0",
            &[&known.no.0, &no, &now.unix()],
        )?;
    }
    let gone: Vec<_> = before.difference(&present).collect();
    for print in &gone {
        tx.run(
            "UPDATE held_anchor SET gone = $3 WHERE party = $1 AND anchor =
               (SELECT no FROM anchor WHERE tenant = $4 AND fingerprint = $2)",
            &[
                &known.no.0,
                &print.0.as_slice(),
                &now.unix(),
                &stamp.tenant.0,
            ],
        )?;
    }
    tx.run(
        "INSERT INTO trust_store(party, tenant, reported, anchors_max, again_within)
         VALUES($1, $2, $3, $4, $5)
         ON CONFLICT(party) DO UPDATE SET reported = excluded.reported,
           again_within = excluded.again_within",
        &[
            &known.no.0,
            &stamp.tenant.0,
            &now.unix(),
            &ANCHORS_MAX_DEFAULT,
            &again_within_s.unwrap_or(0),
        ],
    )?;
    tx.log(
        &stamp.entry(Event::TrustStoreReported {
            added: present
                .difference(&before)
                .map(ToString::to_string)
                .collect(),
            anchors: u64::try_from(present.len()).unwrap_or(0),
            name: known.party.name.to_string(),
            removed: gone.iter().map(ToString::to_string).collect(),
        }),
    )
    .map(drop)
}

/// The fingerprints of what a relying party holds.
fn holdings(tx: &ReadTx<'_>, party: RelyingPartyNo) -> Result<BTreeSet<Fingerprint>, StoreError> {
    let found = tx.all(
        "SELECT anchor.fingerprint FROM held_anchor JOIN anchor ON anchor.no = held_anchor.anchor
         WHERE held_anchor.party = $1 AND held_anchor.gone = 0",
        &[&party.0],
        |row| Ok(Fingerprint(row.get(0)?)),
    )?;
    Ok(found.into_iter().collect())
}

/// The row of an anchor, made if there is none.
fn keep(tx: &mut Tx<'_>, tenant: TenantId, cert: &Cert, now: Time) -> Result<i64, StoreError> {
    let print = cert.fingerprint();
    let found = tx.one(
        "SELECT no FROM anchor WHERE tenant = $1 AND fingerprint = $2",
        &[&tenant.0, &print.as_slice()],
        |row| row.get::<i64>(0),
    )?;
    if let Some(no) = found {
        return Ok(no);
    }
    tx.insert(
        "INSERT INTO anchor(tenant, na, first, fingerprint, certificate, subject, legacy)
         VALUES($1, $2, $3, $4, $5, $6, '') RETURNING no",
        &[
            &tenant.0,
            &cert.validity().not_after.unix(),
            &now.unix(),
            &print.as_slice(),
            &cert.der(),
            &cert.subject().to_string(),
        ],
    )
}

/// Says that an anchor that is not ours may be held, by whom and until when.
pub fn put_legacy(
    tx: &mut Tx<'_>,
    cert: &Cert,
    legacy: &Legacy,
    actor: &Actor,
    now: Time,
) -> Result<(), StoreError> {
    let stamp = Stamp::new(actor, now);
    let no = keep(tx, stamp.tenant, cert, now)?;
    let document = serde_json::to_string(legacy).unwrap_or_default();
    tx.run(
        "UPDATE anchor SET legacy = $2 WHERE no = $1",
        &[&no, &document],
    )?;
    tx.log(
        &stamp.entry(Event::AnchorRegistered {
            fingerprint: Fingerprint(cert.fingerprint()).to_string(),
            owner: legacy.owner.to_string(),
            relying_parties: legacy
                .relying_parties
                .iter()
                .map(ToString::to_string)
                .collect(),
            until: legacy.until,
            why: legacy.why.clone(),
        }),
    )
    .map(drop)
}

/// What trust stores are compared with, read once for many of them.
pub struct Measure {
    issuers: Vec<Arc<Issuer>>,
    /// Certificates in force and last use, of the issuers that bundles carry.
    left: HashMap<IssuerNo, (u64, Option<Time>)>,
}

impl Measure {
    /// The issuers, and what is left of the work of each that bundles carry.
    pub fn take(tx: &ReadTx<'_>, tenant: TenantId, now: Time) -> Result<Measure, StoreError> {
        let issuers: Vec<_> = issuer::all(tx, tenant)?.into_iter().map(Arc::new).collect();
        let mut left = HashMap::new();
        for issuer in rollover_set(&issuers, &[]) {
            let found = (leaves(tx, issuer.no, now)?, last_traffic(tx, issuer.no)?);
            left.insert(issuer.no, found);
        }
        Ok(Measure { issuers, left })
    }

    /// The issuers, oldest first.
    pub fn issuers(&self) -> &[Arc<Issuer>] {
        &self.issuers
    }
}

/// What a relying party is meant to hold and was observed to hold.
pub fn compare(
    tx: &ReadTx<'_>,
    tenant: TenantId,
    measure: &Measure,
    known: &Known,
) -> Result<Comparison, StoreError> {
    let pruned = pruned(tx, known.no)?;
    let mut meant = Vec::new();
    for issuer in rollover_set(&measure.issuers, &known.party.issuers) {
        let fingerprint = Fingerprint(issuer.certificate.fingerprint());
        if pruned.contains(&fingerprint) {
            continue;
        }
        let (leaves, seen) = measure.left.get(&issuer.no).copied().unwrap_or_default();
        meant.push(Meant {
            issuer: issuer.name.clone(),
            fingerprint,
            above: issuer
                .chain
                .iter()
                .chain(cross_certificates(&measure.issuers, issuer))
                .map(|above| Fingerprint(above.fingerprint()))
                .collect(),
            state: issuer.state,
            since: issuer.since,
            leaves,
            seen_here: seen_here(tx, issuer, known)?,
            seen,
        });
    }
    let budget = budget(tx, known.no)?;
    Ok(Comparison {
        meant,
        pruned,
        held: held(tx, tenant, &measure.issuers, known.no)?,
        anchors_max: budget.anchors_max,
        again: budget.again,
    })
}

/// When a service behind a relying party last reported a certificate of an issuer in use.
fn seen_here(tx: &ReadTx<'_>, issuer: &Issuer, known: &Known) -> Result<Option<Time>, StoreError> {
    let mut last = None;
    for service in &known.party.services {
        let at = tx.one(
            "SELECT last FROM issuer_traffic WHERE issuer = $1 AND service = $2",
            &[&issuer.no.0, &service.as_str()],
            |row| row.time(0),
        )?;
        last = last.max(at);
    }
    Ok(last)
}

fn pruned(tx: &ReadTx<'_>, party: RelyingPartyNo) -> Result<BTreeSet<Fingerprint>, StoreError> {
    let found = tx.all(
        "SELECT anchor.fingerprint FROM pruned_anchor
         JOIN anchor ON anchor.no = pruned_anchor.anchor
         WHERE pruned_anchor.party = $1 AND pruned_anchor.undone = 0",
        &[&party.0],
        |row| Ok(Fingerprint(row.get(0)?)),
    )?;
    Ok(found.into_iter().collect())
}

fn legacy(row: &Row<'_>, column: usize) -> Result<Option<Legacy>, StoreError> {
    let what = "anchor.legacy";
    match row.text(column)? {
        "" => Ok(None),
        text => serde_json::from_str(text)
            .map(Some)
            .map_err(|_| StoreError::Unreadable { what }),
    }
}

fn ours(issuers: &[Arc<Issuer>], print: Fingerprint) -> Option<Slug> {
    let mut all = issuers.iter();
    let found = all.find(|issuer| {
        let cross = issuer.cross.iter().map(|cross| &cross.certificate);
        std::iter::once(&issuer.certificate)
            .chain(cross)
            .any(|cert| cert.fingerprint() == print.0)
    });
    found.map(|issuer| issuer.name.clone())
}

fn held(
    tx: &ReadTx<'_>,
    tenant: TenantId,
    issuers: &[Arc<Issuer>],
    party: RelyingPartyNo,
) -> Result<Vec<HeldAnchor>, StoreError> {
    tx.all(
        "SELECT anchor.fingerprint, anchor.subject, anchor.na, held_anchor.first, held_anchor.last,
           anchor.legacy FROM held_anchor JOIN anchor ON anchor.no = held_anchor.anchor
         WHERE held_anchor.party = $1 AND held_anchor.gone = 0 AND anchor.tenant = $2
         ORDER BY anchor.no",
        &[&party.0, &tenant.0],
        |row| {
            let fingerprint = Fingerprint(row.get(0)?);
            Ok(HeldAnchor {
                fingerprint,
                subject: row.get(1)?,
                not_after: row.time(2)?,
                first: row.time(3)?,
                last: row.time(4)?,
                ours: ours(issuers, fingerprint),
                legacy: legacy(row, 5)?,
            })
        },
    )
}

/// What has to be raised and cleared about a trust store.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Verdict {
    /// What is not as it should be, and not open yet.
    pub raise: Vec<NewFinding>,
    /// What is open and is as it should be.
    pub clear: Vec<Matter>,
    /// What it rests on.
    pub evidence: String,
}

impl Verdict {
    /// Whether nothing has to be written.
    pub fn is_known(&self) -> bool {
        self.raise.is_empty() && self.clear.is_empty()
    }
}

/// Judges a trust store. One that was never reported is not judged: nothing is known of it.
pub fn judge(
    tx: &ReadTx<'_>,
    tenant: TenantId,
    measure: &Measure,
    known: &Known,
    now: Time,
) -> Result<Verdict, StoreError> {
    let Some(reported) = budget(tx, known.no)?.reported else {
        return Ok(Verdict::default());
    };
    let evidence = format!("trust store as reported at {reported}");
    let comparison = compare(tx, tenant, measure, known)?;
    let mut raise = comparison.findings(&known.party, &evidence, now);
    let subject = Subject::new(SubjectKind::RelyingParty, known.party.name.as_str());
    let mut clear = Vec::new();
    for old in finding::about(tx, tenant, &subject)? {
        if old.state == FindingState::Cleared || !KINDS.contains(&old.matter.kind) {
            continue;
        }
        let before = raise.len();
        raise.retain(|new| new.matter != old.matter);
        if raise.len() == before {
            clear.push(old.matter);
        }
    }
    Ok(Verdict {
        raise,
        clear,
        evidence,
    })
}

/// Writes a verdict down.
pub fn settle(
    tx: &mut Tx<'_>,
    verdict: &Verdict,
    actor: &Actor,
    now: Time,
) -> Result<(), StoreError> {
    for new in &verdict.raise {
        finding::raise(tx, new, actor, now)?;
    }
    let why = format!("the trust store is as it should be ({})", verdict.evidence);
    for matter in &verdict.clear {
        finding::clear(tx, matter, &why, actor, now)?;
    }
    tx.excuse("somebody else wrote it down meanwhile");
    Ok(())
}

/// Takes an anchor out of what a relying party is meant to hold; `proof` says why nothing needs it.
pub fn prune(
    tx: &mut Tx<'_>,
    known: &Known,
    anchor: Fingerprint,
    (proof, why): (&str, &str),
    actor: &Actor,
    now: Time,
) -> Result<(), StoreError> {
    let stamp = Stamp::new(actor, now);
    tx.run(
        "INSERT INTO pruned_anchor(party, anchor, at, undone, proof, why)
         SELECT $1, no, $3, 0, $4, $5 FROM anchor WHERE tenant = $6 AND fingerprint = $2
         ON CONFLICT(party, anchor) DO UPDATE SET at = excluded.at, undone = 0,
           proof = excluded.proof, why = excluded.why",
        &[
            &known.no.0,
            &anchor.0.as_slice(),
            &now.unix(),
            &proof,
            &why,
            &stamp.tenant.0,
        ],
    )?;
    tx.log(&stamp.entry(Event::AnchorPruned {
        fingerprint: anchor.to_string(),
        name: known.party.name.to_string(),
        proof: proof.to_owned(),
        why: why.to_owned(),
    }))
    .map(drop)
}

/// Takes back that an anchor was taken out; whether it was.
pub fn unprune(
    tx: &mut Tx<'_>,
    known: &Known,
    anchor: Fingerprint,
    why: &str,
    actor: &Actor,
    now: Time,
) -> Result<bool, StoreError> {
    let stamp = Stamp::new(actor, now);
    let changed = tx.run(
        "UPDATE pruned_anchor SET undone = $3 WHERE party = $1 AND undone = 0 AND anchor =
           (SELECT no FROM anchor WHERE tenant = $4 AND fingerprint = $2)",
        &[
            &known.no.0,
            &anchor.0.as_slice(),
            &now.unix(),
            &stamp.tenant.0,
        ],
    )?;
    if changed == 0 {
        return Ok(false);
    }
    tx.log(&stamp.entry(Event::AnchorRestored {
        fingerprint: anchor.to_string(),
        name: known.party.name.to_string(),
        why: why.to_owned(),
    }))?;
    Ok(true)
}

/// An anchor that is known.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Anchor {
    /// Its row.
    pub no: i64,
    /// Which.
    pub fingerprint: Fingerprint,
    /// Whom it names.
    pub subject: String,
    /// When it ends.
    pub not_after: Time,
    /// When it was first observed or registered.
    pub first: Time,
    /// Its DER.
    pub certificate: Vec<u8>,
    /// Why it may be held, if it is not ours.
    pub legacy: Option<Legacy>,
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT no, fingerprint, subject, na, first, certificate, legacy FROM anchor ",
            $rest
        )
    };
}

fn anchor(row: &Row<'_>) -> Result<Anchor, StoreError> {
    Ok(Anchor {
        no: row.get(0)?,
        fingerprint: Fingerprint(row.get(1)?),
        subject: row.get(2)?,
        not_after: row.time(3)?,
        first: row.time(4)?,
        certificate: row.get(5)?,
        legacy: legacy(row, 6)?,
    })
}

/// Known anchors after row `after`, oldest first; at most `limit`.
pub fn anchors(
    tx: &ReadTx<'_>,
    tenant: TenantId,
    after: i64,
    limit: u32,
) -> Result<Vec<Anchor>, StoreError> {
    tx.all(
        select!("WHERE no > $2 AND tenant = $1 ORDER BY no LIMIT $3"),
        &[&tenant.0, &after, &limit],
        anchor,
    )
}

/// One known anchor.
pub fn by_fingerprint(
    tx: &ReadTx<'_>,
    tenant: TenantId,
    print: Fingerprint,
) -> Result<Option<Anchor>, StoreError> {
    tx.one(
        select!("WHERE tenant = $1 AND fingerprint = $2"),
        &[&tenant.0, &print.0.as_slice()],
        anchor,
    )
}

/// A relying party that was observed to hold an anchor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Holder {
    /// Its short name.
    pub party: Slug,
    /// When it was first observed there.
    pub first: Time,
    /// When last.
    pub last: Time,
    /// Since when it was seen no more.
    pub gone: Option<Time>,
}

/// Who was observed to hold an anchor, by name; at most a thousand after the name `after`.
pub fn holders(tx: &ReadTx<'_>, anchor: i64, after: &str) -> Result<Vec<Holder>, StoreError> {
    tx.all(
        "SELECT relying_party.name, held_anchor.first, held_anchor.last, held_anchor.gone
         FROM held_anchor JOIN relying_party ON relying_party.no = held_anchor.party
         WHERE held_anchor.anchor = $1 AND relying_party.removed = 0 AND relying_party.name > $2
         ORDER BY relying_party.name LIMIT 1000",
        &[&anchor, &after],
        |row| {
            Ok(Holder {
                party: slug(row, 0)?,
                first: row.time(1)?,
                last: row.time(2)?,
                gone: row.some_time(3)?,
            })
        },
    )
}
