//! Deltas: the certificates whose answer has changed since a full filter, as sorted prefixes of
//! their keys, the gaps between them in Rice's code.

use super::bits::{CodeReader, CodeWriter};
use super::sealed::{DELTA, Head, Seal, ToSeal, number, octets32};
use super::{DELTA_OCTETS_MAX, delta_key};
use crate::der::tag;
use crate::{Error, KeyHash, PublicKey, Serial, SignatureAlgorithm, Time};

const WHAT: &str = "delta of a revocation filter";

/// A set of keys by their first bits: as many as tell its members from all other keys covered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Prefixes {
    width: u32,
    sorted: Vec<u64>,
}

impl Prefixes {
    fn contains(&self, key: u64) -> bool {
        self.sorted.binary_search(&prefix(key, self.width)).is_ok()
    }
}

/// The first `width` bits of a key, 0 to 64.
fn prefix(key: u64, width: u32) -> u64 {
    key.checked_shr(64 - width).unwrap_or(0)
}

/// A delta to be made: which answers of a full filter have changed.
#[derive(Clone, Debug)]
pub struct DeltaSpec {
    /// Whose certificates it speaks for.
    pub issuer: KeyHash,
    /// What it is signed with.
    pub signature: SignatureAlgorithm,
    /// Its place among all filters and deltas of the issuer; never used again.
    pub sequence: u64,
    /// The version of the set that the full filter and this delta render together.
    pub epoch: u64,
    /// When the set was read.
    pub created: Time,
    /// Until when it may be used.
    pub next_update: Time,
    /// [`Full::id`](super::Full::id) of the full filter it is a delta to.
    pub base: [u8; 32],
    /// The keys ([`delta_key`]) of all covered certificates whose answer has changed.
    pub changed: Vec<u64>,
    /// How many of a key's first bits tell those from all other covered certificates, 1 to 64; see
    /// [`DeltaSpec::width`].
    pub width: u32,
}

impl DeltaSpec {
    /// The least width at which the `changed` keys differ from all `others`. Of the others it is
    /// enough to give the neighbours of each changed key in the order of keys.
    #[must_use]
    pub fn width(changed: &[u64], others: impl IntoIterator<Item = u64>) -> u32 {
        let mut sorted = changed.to_vec();
        sorted.sort_unstable();
        let needed = |a: u64, b: u64| ((a ^ b).leading_zeros() + 1).min(64);
        let width = others.into_iter().map(|other| {
            let at = sorted.partition_point(|key| *key < other);
            let below = at.checked_sub(1).and_then(|at| sorted.get(at));
            let neighbours = [below, sorted.get(at)];
            let neighbours = neighbours.into_iter().flatten();
            neighbours.map(|key| needed(*key, other)).max().unwrap_or(1)
        });
        width.max().unwrap_or(1)
    }

    /// What the issuer's key has to sign.
    ///
    /// # Errors
    /// `Unsupported` if the width is not 1 to 64 or the delta would be over 1 MiB.
    pub fn to_seal(&self) -> Result<ToSeal, Error> {
        if !(1..=64).contains(&self.width) {
            return Err(Error::unsupported("a delta of such a width"));
        }
        let mut sorted: Vec<u64> = self
            .changed
            .iter()
            .map(|key| prefix(*key, self.width))
            .collect();
        sorted.sort_unstable();
        sorted.dedup();
        let gaps = gaps(&sorted);
        let (rest, bits) = best_rest(&gaps, self.width);
        if bits / 8 > DELTA_OCTETS_MAX as u128 - 1024 {
            return Err(Error::unsupported("a delta over 1 MiB: make a full filter"));
        }
        let mut code = CodeWriter::default();
        for gap in &gaps {
            code.unary(gap.checked_shr(rest).unwrap_or(0));
            code.bits(*gap, rest);
        }
        let code = code.finish();
        let head = Head {
            issuer: self.issuer,
            sequence: self.sequence,
            epoch: self.epoch,
            created: self.created,
            next_update: self.next_update,
        };
        Ok(ToSeal::new(self.signature, |tbs| {
            head.write(DELTA, tbs);
            tbs.octet_string(&self.base);
            tbs.unsigned(u64::from(self.width));
            tbs.unsigned(u64::from(rest));
            tbs.unsigned(sorted.len() as u64);
            tbs.octet_string(&code);
        }))
    }
}

/// From each to the next, less one; the first from −1.
fn gaps(sorted: &[u64]) -> Vec<u64> {
    let after = |before: Option<&u64>| before.map_or(0, |before| before + 1);
    let befores = std::iter::once(None).chain(sorted.iter().map(Some));
    befores
        .zip(sorted)
        .map(|(before, this)| this - after(before))
        .collect()
}

/// Into how many low bits of each gap, written as they are, and the code's length with them.
fn best_rest(gaps: &[u64], width: u32) -> (u32, u128) {
    let bits = |rest: u32| -> u128 {
        let unary = |gap: &u64| u128::from(gap.checked_shr(rest).unwrap_or(0));
        gaps.iter().map(unary).sum::<u128>() + gaps.len() as u128 * u128::from(rest + 1)
    };
    let all = (0..=width).map(|rest| (rest, bits(rest)));
    all.min_by_key(|(_, bits)| *bits).unwrap_or((0, 0))
}

/// A delta as found. Nothing is believed before [`Held::with_delta`](super::Held::with_delta).
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Delta {
    seal: Seal,
    pub(super) head: Head,
    pub(super) base: [u8; 32],
    pub(super) changed: Prefixes,
}

impl Delta {
    /// Reads a delta, strictly: there is one encoding of each.
    ///
    /// # Errors
    /// As [`Full::from_der`](super::Full::from_der).
    pub fn from_der(der: &[u8]) -> Result<Self, Error> {
        if der.len() > DELTA_OCTETS_MAX {
            return Err(Error::unsupported("a delta over 1 MiB"));
        }
        let (seal, (head, base, changed)) = Seal::open(der, WHAT, |fields| {
            let head = Head::read(DELTA, fields, WHAT)?;
            let base = octets32(fields, WHAT)?;
            let width = fields.small_unsigned(WHAT)?;
            let rest = fields.small_unsigned(WHAT)?;
            let count = number(fields, WHAT)?;
            let code = fields.expect(tag::OCTET_STRING, WHAT)?.value;
            let changed = read_prefixes(width, rest, count, code);
            Ok((head, base, changed.ok_or(Error::malformed(WHAT))?))
        })?;
        Ok(Self {
            seal,
            head,
            base,
            changed,
        })
    }

    pub(super) fn verify(&self, issuer: &PublicKey) -> Result<(), Error> {
        if self.head.issuer != issuer.hash() {
            return Err(Error::inconsistent("a delta of another issuer"));
        }
        self.seal.verify(issuer)
    }

    pub(super) fn id(&self) -> [u8; 32] {
        self.seal.id()
    }

    /// The full filter it is a delta to.
    #[must_use]
    pub fn base(&self) -> [u8; 32] {
        self.base
    }

    /// Its place among all filters and deltas of the issuer.
    #[must_use]
    pub fn sequence(&self) -> u64 {
        self.head.sequence
    }

    /// The version of the set that the full filter and this delta render together.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.head.epoch
    }

    /// When it was made.
    #[must_use]
    pub fn created(&self) -> Time {
        self.head.created
    }

    /// Until when it may be used.
    #[must_use]
    pub fn next_update(&self) -> Time {
        self.head.next_update
    }

    /// How many answers have changed.
    #[must_use]
    pub fn len(&self) -> usize {
        self.changed.sorted.len()
    }

    /// Whether none has.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.changed.sorted.is_empty()
    }

    /// Whether the answer for this serial has changed; only meaningful if it is covered.
    pub(super) fn flips(&self, serial: &Serial) -> bool {
        self.changed.contains(delta_key(serial))
    }
}

fn read_prefixes(width: u32, rest: u32, count: u64, code: &[u8]) -> Option<Prefixes> {
    if !(1..=64).contains(&width) || rest > width {
        return None;
    }
    // Each takes at least one bit, so that what is set aside is bounded by what was sent.
    let count = usize::try_from(count).ok()?;
    if count > code.len().checked_mul(8)? {
        return None;
    }
    let mut sorted = Vec::with_capacity(count);
    let mut code = CodeReader::new(code);
    let mut next = Some(0_u64);
    for _ in 0..count {
        let high = code.unary()?;
        let low = code.bits(rest)?;
        let gap = match rest {
            64 if high == 0 => low,
            64 => return None,
            rest => high.checked_mul(1 << rest)?.checked_add(low)?,
        };
        let this = next?.checked_add(gap)?;
        if width < 64 && this >> width != 0 {
            return None;
        }
        sorted.push(this);
        next = this.checked_add(1);
    }
    code.is_finished().then_some(Prefixes { width, sorted })
}
