//! A feed: what one relying party should hold, in one numbered sequence.
//!
//! A [`Manifest`] names every item by its hash. Its text is one line of canonical JSON (RFC 8785),
//! signed as a note (C2SP signed-note) by the key that the relying party has pinned. Whoever holds
//! number N takes nothing below N, and nothing else under N.

use std::fmt;

use serde::{Deserialize, Serialize};
use tenure_x509::Time;

use crate::device::Criticality;
use crate::ids::Slug;
use crate::text::{self, hex, hex32};
use crate::words::words;

pub mod pack;
pub mod receipt;
pub mod rules;
pub mod site;
#[cfg(test)]
mod tests;

/// The name of the key that signs manifests, as it stands in signature lines. It is the same in every
/// house: which key it is, the key's hash beside it says.
pub const KEY_NAME: &str = "tenure-feed";

/// The version of the manifest's form.
pub const VERSION: u8 = 1;

/// Most items in one manifest.
pub const ITEMS_MAX: usize = 1_000;

/// Longest text of a manifest, in bytes.
pub const MANIFEST_BYTES_MAX: usize = 512 * 1024;

/// Largest item, in bytes: a list of some two and a half million entries.
pub const ITEM_BYTES_MAX: u64 = 128 * 1024 * 1024;

words! {
    /// What an item of a feed is.
    ItemKind ("item kind") {
        /// Trust anchors and the CAs below them whose devices are let in: certificates in PEM.
        Bundle = "bundle" = 1,
        /// Everything that an issuer has revoked, as one list without a distribution point: DER.
        Crl = "crl" = 2,
        /// The full compact filter of an issuer.
        Filter = "filter" = 3,
        /// The newest delta to that filter.
        FilterDelta = "filter-delta" = 4,
        /// The newest checkpoint of the record, a note signed by the log's own key.
        Checkpoint = "checkpoint" = 5,
        /// What the policy says of decisions here: TOML.
        Policy = "policy" = 6,
    }
    /// How a relying party is reached.
    Way ("way") {
        /// It asks us over the network.
        Pull = "pull" = 1,
        /// Somebody carries packs to it, and perhaps receipts back.
        Pack = "pack" = 2,
    }
    /// How old what a relying party holds may be called.
    Rung ("rung") {
        /// As it should be.
        Fresh = "fresh" = 1,
        /// It should be replaced: somebody has to be told.
        Warn = "warn" = 2,
        /// Let nobody new in; who is in may stay.
        Restrict = "restrict" = 3,
        /// Let nobody in.
        Closed = "closed" = 4,
        /// Too old, and going on because stopping would be worse: everybody has to be told.
        Alarm = "alarm" = 5,
    }
}

/// A SHA-256, in JSON as 64 lower-case hex digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Digest(pub [u8; 32]);

impl Digest {
    /// The hash of these octets.
    pub fn of(octets: &[u8]) -> Digest {
        Digest(tenure_x509::sha256(octets))
    }
}

impl fmt::Display for Digest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&hex(&self.0))
    }
}

impl std::str::FromStr for Digest {
    type Err = BadManifest;

    fn from_str(text: &str) -> Result<Digest, BadManifest> {
        let is_lower = !text.bytes().any(|b| b.is_ascii_uppercase());
        hex32(text)
            .filter(|_| is_lower)
            .map(Digest)
            .ok_or(BadManifest("a hash is not 64 lower-case hex digits"))
    }
}

impl TryFrom<String> for Digest {
    type Error = BadManifest;

    fn try_from(text: String) -> Result<Digest, BadManifest> {
        text.parse()
    }
}

impl From<Digest> for String {
    fn from(digest: Digest) -> String {
        digest.to_string()
    }
}

/// One thing that the relying party should hold. Fields in the order of their names, as canonical
/// JSON wants them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Item {
    /// The epoch of the revocation sets that it renders; 0 for what has none.
    pub epoch: i64,
    /// What it is.
    pub kind: ItemKind,
    /// How long it is, in bytes.
    pub length: u64,
    /// Whose: an issuer's short name; `trust` for the bundle, `log` for the
    /// checkpoint, `decisions` for the policy.
    pub name: Slug,
    /// The hash of its octets.
    pub sha256: Digest,
}

impl Item {
    /// The file it is kept in at the relying party, below a directory of the set. Its parts are
    /// checked names, so it never leads out of that directory.
    pub fn path(&self) -> String {
        match self.kind {
            ItemKind::Bundle => "bundle.pem".to_owned(),
            ItemKind::Crl => format!("crl/{}.crl", self.name),
            ItemKind::Filter => format!("filter/{}.filter", self.name),
            ItemKind::FilterDelta => format!("filter/{}.delta", self.name),
            ItemKind::Checkpoint => "checkpoint".to_owned(),
            ItemKind::Policy => "policy.toml".to_owned(),
        }
    }
}

/// From which age on what is held is no longer fresh, in seconds since the manifest was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Ladder {
    /// From here on the last rung.
    pub close_s: i64,
    /// The last rung: closed, or alarm where stopping would be worse.
    pub last: Rung,
    /// From here on nobody new is to be let in.
    pub restrict_s: i64,
    /// From here on somebody has to be told.
    pub warn_s: i64,
}

impl Ladder {
    /// A ladder whose last rung fits what the relying party guards.
    pub fn new(warn_s: i64, restrict_s: i64, close_s: i64, guards: Criticality) -> Ladder {
        Ladder {
            close_s,
            last: match guards {
                Criticality::Safety => Rung::Alarm,
                Criticality::Low | Criticality::Medium | Criticality::High => Rung::Closed,
            },
            restrict_s,
            warn_s,
        }
    }

    /// Whether it climbs, and ends on a last rung.
    pub fn is_sound(&self) -> bool {
        0 < self.warn_s
            && self.warn_s <= self.restrict_s
            && self.restrict_s <= self.close_s
            && self.close_s <= LADDER_S_MAX
            && matches!(self.last, Rung::Closed | Rung::Alarm)
    }

    /// The rung of what was made at `made`, at `now`. Where stopping would be worse nothing is
    /// restricted on the way either.
    pub fn rung(&self, made: Time, now: Time) -> Rung {
        let age = now.unix().saturating_sub(made.unix());
        match self.last {
            _ if age < self.warn_s => Rung::Fresh,
            _ if age < self.restrict_s => Rung::Warn,
            Rung::Alarm if age < self.close_s => Rung::Warn,
            _ if age < self.close_s => Rung::Restrict,
            last => last,
        }
    }
}

/// The longest that anything may be used, in seconds: a year.
pub const LADDER_S_MAX: i64 = 366 * 86_400;

/// What one relying party should hold. Fields in the order of their names, as canonical JSON wants
/// them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    /// Everything it should hold, and nothing else.
    pub items: Vec<Item>,
    /// What its growing old means.
    pub ladder: Ladder,
    /// When it was made.
    #[serde(with = "text::time")]
    pub made: Time,
    /// Whose it is.
    pub party: Slug,
    /// Its number: higher than any before it, also after a restored backup.
    pub sequence: i64,
    /// After this it is not to be taken up any more.
    #[serde(with = "text::time")]
    pub valid_until: Time,
    /// [`VERSION`].
    pub version: u8,
}

/// Why a manifest is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BadManifest(pub &'static str);

impl fmt::Display for BadManifest {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl std::error::Error for BadManifest {}

impl Manifest {
    /// The text that is signed: one line with its newline.
    pub fn text(&self) -> String {
        // Strings and integers always serialise.
        let mut text = serde_json::to_string(self).unwrap_or_default();
        text.push('\n');
        text
    }

    /// Reads a signed text. There is one way to write a manifest; any other is refused.
    pub fn parse(text: &str) -> Result<Manifest, BadManifest> {
        if text.len() > MANIFEST_BYTES_MAX {
            return Err(BadManifest("it is too long"));
        }
        let manifest: Manifest = serde_json::from_str(text)
            .map_err(|_| BadManifest("it is not the JSON of a manifest"))?;
        if manifest.version != VERSION {
            return Err(BadManifest("it is of another version"));
        }
        if manifest.text() != text {
            return Err(BadManifest("it is not in canonical form"));
        }
        if manifest.sequence <= 0 || !manifest.ladder.is_sound() {
            return Err(BadManifest("its number or its ladder is not sound"));
        }
        if manifest.valid_until < manifest.made {
            return Err(BadManifest("it ends before it begins"));
        }
        if manifest.items.len() > ITEMS_MAX {
            return Err(BadManifest("it has too many items"));
        }
        let mut paths: Vec<_> = manifest.items.iter().map(Item::path).collect();
        paths.sort();
        paths.dedup();
        if paths.len() != manifest.items.len() {
            return Err(BadManifest("two of its items are one"));
        }
        if manifest
            .items
            .iter()
            .any(|item| item.length > ITEM_BYTES_MAX)
        {
            return Err(BadManifest("one of its items is too large"));
        }
        Ok(manifest)
    }

    /// The hash by which a relying party says which manifest it applied.
    pub fn digest(&self) -> Digest {
        Digest::of(self.text().as_bytes())
    }

    /// What its contents are, whatever its number and time: a new number is due when this changes.
    pub fn contents(&self) -> Digest {
        let contents = (&self.items, &self.ladder);
        Digest::of(&serde_json::to_vec(&contents).unwrap_or_default())
    }
}

/// The number of the next manifest: above every number in use, and not before the clock, so that a
/// restored backup can reuse none.
pub fn next_sequence(last: i64, now: Time) -> i64 {
    now.unix().max(last.saturating_add(1))
}
