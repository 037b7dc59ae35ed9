//! Finding a certificate by nothing but the SHA-256 of its DER.
//!
//! Nothing is written for this when a certificate is issued: whoever asks by fingerprint alone pays for
//! it. The first such question has an index made, in memory, of 16 bytes for each certificate; until it
//! is there the answer is to come again. Each later question first reads what was issued since.

use std::collections::BTreeSet;

use parking_lot::RwLock;
use tenure_domain::ids::{CertificateNo, EventSeq};
use tenure_domain::refusal::Refusal;
use tenure_store::certificate::{self, Printed};
use tenure_store::{ReadTx, StoreError, trust_change};
use tokio::sync::Notify;

use crate::Engine;
use crate::fault::Rejection;

/// How many certificates are read at a time while the index is made.
const PAGE: u32 = 4_096;
/// How many events a question reads before it is answered; a duty reads the rest.
const EVENTS_MAX: u32 = 1_024;
/// How many entries come together before they are sorted in.
const YOUNG_MAX: usize = 65_536;
/// When to come again, in seconds.
const AGAIN_S: u32 = 2;

/// The beginning of a fingerprint, and a certificate that has it.
type Known = (u64, i64);

fn known((no, hash): &Printed) -> Known {
    let [a, b, c, d, e, f, g, h, ..] = *hash;
    (u64::from_be_bytes([a, b, c, d, e, f, g, h]), no.0)
}

#[derive(Default)]
struct Index {
    /// The last event that is covered; none while the index is not made.
    through: Option<EventSeq>,
    sorted: Vec<Known>,
    young: BTreeSet<Known>,
}

/// The index, and the bell for whoever makes it.
#[derive(Default)]
pub(crate) struct Fingerprints {
    index: RwLock<Index>,
    wanted: Notify,
}

impl Fingerprints {
    /// Rings when the index has to be made, or has much to catch up with.
    pub(crate) fn wanted(&self) -> &Notify {
        &self.wanted
    }

    fn through(&self) -> Option<EventSeq> {
        let index = self.index.read();
        index.through
    }

    /// Adds what was issued, of every event up to `through`.
    fn learn(&self, printed: &[Printed], through: EventSeq) {
        let mut index = self.index.write();
        index.young.extend(printed.iter().map(known));
        index.through = index.through.max(Some(through));
    }

    /// The certificates that may have this fingerprint, as this snapshot shows them.
    pub(crate) fn candidates(
        &self,
        tx: &ReadTx<'_>,
        fingerprint: &[u8; 32],
    ) -> Result<Vec<CertificateNo>, Rejection> {
        let again = || {
            self.wanted.notify_one();
            Refusal::TooSoon {
                retry_after_s: AGAIN_S,
            }
        };
        let through = self.through().ok_or_else(again)?;
        let head = trust_change::head(tx)?;
        if head > through {
            let (printed, read) = certificate::issued_after(tx, through, EVENTS_MAX)?;
            self.learn(&printed, read);
            if read < head {
                return Err(again().into());
            }
        }
        let (begin, _) = known(&(CertificateNo(0), *fingerprint));
        let index = self.index.read();
        if index.young.len() > YOUNG_MAX {
            self.wanted.notify_one();
        }
        let first = index.sorted.partition_point(|(value, _)| *value < begin);
        let sorted = index.sorted.iter().skip(first);
        let sorted = sorted.take_while(|(value, _)| *value == begin);
        let young = index.young.range((begin, i64::MIN)..=(begin, i64::MAX));
        Ok(sorted
            .chain(young)
            .map(|(_, no)| CertificateNo(*no))
            .collect())
    }
}

impl Engine {
    /// Makes the index of fingerprints, or catches up with what was issued since.
    pub async fn index_fingerprints(&self) -> Result<(), Rejection> {
        let all = self.fingerprints();
        if all.through().is_none() {
            // What is issued from here on is found by its event, whatever number it has.
            let head = self
                .store()
                .read::<_, StoreError, _>(trust_change::head)
                .await?;
            let (mut sorted, mut after) = (Vec::new(), CertificateNo(0));
            loop {
                let read = move |tx: &ReadTx<'_>| certificate::printed_after(tx, after, PAGE);
                let page = self.store().read::<_, StoreError, _>(read).await?;
                let Some((last, _)) = page.last() else { break };
                after = *last;
                sorted.extend(page.iter().map(known));
            }
            sorted.sort_unstable();
            let mut index = all.index.write();
            *index = Index {
                through: Some(head),
                sorted,
                young: BTreeSet::new(),
            };
        }
        while let Some(through) = all.through() {
            let read = move |tx: &ReadTx<'_>| certificate::issued_after(tx, through, PAGE);
            let (printed, read) = self.store().read::<_, StoreError, _>(read).await?;
            if read == through {
                break;
            }
            all.learn(&printed, read);
        }
        let mut index = all.index.write();
        if index.young.len() > YOUNG_MAX {
            let young = std::mem::take(&mut index.young);
            index.sorted.extend(young);
            index.sorted.sort_unstable();
        }
        Ok(())
    }
}
