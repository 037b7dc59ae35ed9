//! Trust stores: what relying parties report of theirs, what is pruned, and the standing review that
//! finds what became stale, expired or unknown while nobody looked.

mod audit;
mod drift;

use std::sync::Arc;

use tenure_domain::ids::{Slug, TenantId};
use tenure_domain::issuer::Issuer;
use tenure_domain::operator::Actor;
use tenure_domain::refusal::Refusal;
use tenure_domain::trust_store::{Comparison, Fingerprint, TrustStoreChange};
use tenure_store::relying_party::{self, Known};
use tenure_store::trust_store::{self as stored, Measure};
use tenure_store::{ReadTx, StoreError, Tx, registry};
use tenure_x509::{Cert, Time, pem_certificates};

pub use audit::{AUDIT, AuditText};

use crate::Engine;
use crate::fault::Rejection;
use crate::revoke::Conflict;

/// Most anchors that a report may hold.
const REPORTED_MAX: usize = 2_000;
/// The largest budget.
const BUDGET_MAX: u32 = 2_000;
/// The longest time for which the next report may be promised, in seconds: 31 days.
const AGAIN_WITHIN_S_MAX: u32 = 31 * 86_400;
/// How many relying parties are reviewed at a time.
const REVIEWED: u32 = 200;
/// Who reviews.
const DUTY: &str = "trust-stores";

/// What a relying party is meant to hold, as certificates.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum BundleKind {
    /// The whole rollover set of its lines.
    Intended,
    /// Of that only what was seen in use there not long ago, and what is to come.
    Minimal,
}

/// What a relying party is meant to hold and was observed to hold.
pub fn compare(
    tx: &ReadTx<'_>,
    tenant: TenantId,
    known: &Known,
    now: Time,
) -> Result<Comparison, StoreError> {
    stored::compare(tx, tenant, &Measure::take(tx, tenant, now)?, known)
}

/// The issuing CAs of a bundle, oldest first.
pub fn bundle(
    tx: &ReadTx<'_>,
    tenant: TenantId,
    known: &Known,
    kind: BundleKind,
    now: Time,
) -> Result<Vec<Arc<Issuer>>, StoreError> {
    let measure = Measure::take(tx, tenant, now)?;
    let comparison = stored::compare(tx, tenant, &measure, known)?;
    let wanted: Vec<_> = comparison
        .meant
        .iter()
        .filter(|meant| kind == BundleKind::Intended || meant.is_used_here(now))
        .map(|meant| meant.issuer.clone())
        .collect();
    Ok(measure
        .issuers()
        .iter()
        .filter(|issuer| wanted.contains(&issuer.name))
        .cloned()
        .collect())
}

/// Why an anchor may be taken out of what a relying party holds, or what needs it.
///
/// # Errors
/// What needs it.
pub fn why_not_needed(
    comparison: &Comparison,
    anchor: Fingerprint,
    now: Time,
) -> Result<String, String> {
    let of_it = |meant: &&tenure_domain::trust_store::Meant| {
        meant.fingerprint == anchor || meant.above.contains(&anchor)
    };
    let rests: Vec<_> = comparison.meant.iter().filter(of_it).collect();
    if let Some(needed) = rests.iter().find(|meant| meant.is_needed(now)) {
        return Err(format!("it is needed: {}", needed.proof()));
    }
    if rests.is_empty() {
        return Ok(
            "no certificate in force of an issuer that this relying party is for leads to it"
                .to_owned(),
        );
    }
    Ok(rests
        .iter()
        .map(|meant| meant.proof())
        .collect::<Vec<_>>()
        .join("; "))
}

pub(crate) fn carry_out(
    tx: &mut Tx<'_>,
    tenant: TenantId,
    change: &TrustStoreChange,
    actor: &Actor,
    now: Time,
) -> Result<(), Conflict> {
    let bad = |what: String| -> Conflict { Refusal::BadRequest { what }.into() };
    match change {
        TrustStoreChange::Report {
            party,
            pem,
            again_within_s,
        } => {
            if again_within_s.is_some_and(|within| !(1..=AGAIN_WITHIN_S_MAX).contains(&within)) {
                return Err(bad(format!(
                    "again_within_s must be between 1 and {AGAIN_WITHIN_S_MAX}"
                )));
            }
            let known = named(tx, tenant, party)?;
            let certs = certificates(pem).map_err(bad)?;
            stored::report(tx, &known, &certs, *again_within_s, actor, now)?;
        }
        TrustStoreChange::Budget { party, anchors_max } => {
            if !(1..=BUDGET_MAX).contains(anchors_max) {
                return Err(bad(format!(
                    "anchors_max must be between 1 and {BUDGET_MAX}"
                )));
            }
            let known = named(tx, tenant, party)?;
            stored::set_budget(tx, &known, *anchors_max, actor, now)?;
        }
        TrustStoreChange::Legacy { pem, legacy } => {
            let certs = certificates(pem).map_err(bad)?;
            let [cert] = &certs[..] else {
                return Err(bad("pem must be one certificate".to_owned()));
            };
            if legacy.until <= now || legacy.relying_parties.is_empty() {
                let what = "a legacy anchor needs an end in the future and the relying parties it is \
                            for";
                return Err(bad(what.to_owned()));
            }
            if legacy.why.trim().is_empty() {
                return Err(bad("say why the anchor is needed".to_owned()));
            }
            if registry::owner::no(tx, tenant, legacy.owner.as_str())?.is_none() {
                return Err(bad(format!("owner: there is no owner {}", legacy.owner)));
            }
            for name in &legacy.relying_parties {
                named(tx, tenant, name)?;
            }
            stored::put_legacy(tx, cert, legacy, actor, now)?;
        }
        TrustStoreChange::Prune { party, anchor, why } => {
            if why.trim().is_empty() {
                return Err(bad("say why it is taken out (--why)".to_owned()));
            }
            let known = named(tx, tenant, party)?;
            let comparison = compare(tx, tenant, &known, now)?;
            let is_held = comparison
                .held
                .iter()
                .any(|held| held.fingerprint == *anchor);
            if !is_held {
                let what = format!("anchor {anchor} in the trust store of {party}");
                return Err(Refusal::NotFound { what }.into());
            }
            let proof = why_not_needed(&comparison, *anchor, now).map_err(|needed| {
                let what = format!("anchor {anchor} cannot be taken out of {party}: {needed}");
                Refusal::Conflict { what }
            })?;
            stored::prune(tx, &known, *anchor, (&proof, why), actor, now)?;
        }
        TrustStoreChange::Restore { party, anchor, why } => {
            if why.trim().is_empty() {
                return Err(bad("say why it is put back (--why)".to_owned()));
            }
            let known = named(tx, tenant, party)?;
            if !stored::unprune(tx, &known, *anchor, why, actor, now)? {
                let what = format!("anchor {anchor} among those taken out of {party}");
                return Err(Refusal::NotFound { what }.into());
            }
        }
    }
    Ok(())
}

fn named(tx: &ReadTx<'_>, tenant: TenantId, name: &Slug) -> Result<Known, Conflict> {
    let found = relying_party::by_name(tx, tenant, name.as_str())?;
    found.ok_or_else(|| {
        Refusal::NotFound {
            what: format!("relying party {name}"),
        }
        .into()
    })
}

/// The certificates of a trust store, which may be empty.
fn certificates(pem: &str) -> Result<Vec<Cert>, String> {
    if pem.trim().is_empty() {
        return Ok(Vec::new());
    }
    let certs = pem_certificates(pem)
        .map_err(|error| format!("pem must be certificates in PEM: {error}"))?;
    if certs.len() > REPORTED_MAX {
        return Err(format!(
            "a trust store of more than {REPORTED_MAX} anchors is not read"
        ));
    }
    Ok(certs)
}

impl Engine {
    /// Looks at every trust store that was reported: time alone makes anchors expire and go stale.
    pub async fn review_trust_stores(&self) -> Result<(), Rejection> {
        let tenant = self.tenant();
        let mut after = String::new();
        loop {
            let from = after.clone();
            let page = self
                .store()
                .read(move |tx| relying_party::list(tx, tenant, &from, REVIEWED))
                .await?;
            let Some(last) = page.last() else {
                return Ok(());
            };
            after = last.party.name.to_string();
            self.review(page).await?;
        }
    }

    /// Looks at those that a change was about.
    pub(crate) async fn review_after(&self, change: &TrustStoreChange) -> Result<(), Rejection> {
        let tenant = self.tenant();
        let names = change.parties().to_vec();
        let parties = self
            .store()
            .read(move |tx| {
                let known = names
                    .iter()
                    .map(|name| relying_party::by_name(tx, tenant, name.as_str()));
                Ok::<_, StoreError>(known.collect::<Result<Vec<_>, _>>()?.into_iter().flatten())
            })
            .await?;
        self.review(parties.collect()).await
    }

    /// Judged on a reading thread; only what is news goes to the writer.
    async fn review(&self, parties: Vec<Known>) -> Result<(), Rejection> {
        let (tenant, now) = (self.tenant(), self.clock().now());
        let verdicts = self
            .store()
            .read(move |tx| {
                let measure = Measure::take(tx, tenant, now)?;
                let judged = parties
                    .iter()
                    .map(|known| stored::judge(tx, tenant, &measure, known, now));
                judged.collect::<Result<Vec<_>, StoreError>>()
            })
            .await?;
        for verdict in verdicts.into_iter().filter(|verdict| !verdict.is_known()) {
            self.record(move |tx| Ok(stored::settle(tx, &verdict, &Actor::system(DUTY), now)?))
                .await?;
        }
        Ok(())
    }
}
