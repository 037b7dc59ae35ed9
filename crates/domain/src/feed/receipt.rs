//! A receipt: the word of a relying party that no network leads to that it applied a pack, carried
//! back in a file.
//!
//! ```text
//! {"applied_at":…,"manifest":…,"party":…,"sequence":…,"version":1}\n    canonical JSON (RFC 8785)
//! MAC\n                                                                64 lower-case hex digits
//! ```
//!
//! The MAC is HMAC-SHA256 (RFC 2104) over the first line with its newline. Its key is the SHA-256 of
//! the token that opens the relying party's feed: the one form of the token that the server keeps.

use serde::{Deserialize, Serialize};
use tenure_x509::{Time, sha256};

use super::{BadManifest, Digest, VERSION};
use crate::ids::Slug;
use crate::text;

/// Longest receipt, in bytes.
pub const RECEIPT_BYTES_MAX: usize = 4096;

/// What a relying party says. Fields in the order of their names, as canonical JSON wants them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Receipt {
    /// When it applied the manifest, by its own clock.
    #[serde(with = "text::time")]
    pub applied_at: Time,
    /// The hash of the manifest's text.
    pub manifest: Digest,
    /// Who says so.
    pub party: Slug,
    /// The number of the manifest.
    pub sequence: i64,
    /// [`VERSION`].
    pub version: u8,
}

/// A receipt as it was read. What it says counts for nothing before [`Sealed::is_of`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Sealed {
    /// What it says.
    pub receipt: Receipt,
    mac: Digest,
}

impl Receipt {
    fn text(&self) -> String {
        // Strings and integers always serialise.
        let mut text = serde_json::to_string(self).unwrap_or_default();
        text.push('\n');
        text
    }

    /// The file: the receipt sealed with the hash of a token.
    pub fn seal(&self, token_hash: &[u8; 32]) -> String {
        let text = self.text();
        let mac = hmac_sha256(token_hash, text.as_bytes());
        format!("{text}{mac}\n")
    }
}

impl Sealed {
    /// Reads a file. There is one way to write a receipt; any other is refused.
    ///
    /// # Errors
    /// It is no receipt.
    pub fn parse(octets: &[u8]) -> Result<Sealed, BadManifest> {
        const NONE: BadManifest = BadManifest("it is not a receipt");
        if octets.len() > RECEIPT_BYTES_MAX {
            return Err(NONE);
        }
        let file = std::str::from_utf8(octets).map_err(|_| NONE)?;
        let (text, mac) = file.split_once('\n').ok_or(NONE)?;
        let mac = mac.strip_suffix('\n').ok_or(NONE)?.parse()?;
        let receipt: Receipt = serde_json::from_str(text).map_err(|_| NONE)?;
        let is_canonical = receipt.text().trim_end() == text;
        if !is_canonical || receipt.version != VERSION {
            return Err(NONE);
        }
        Ok(Sealed { receipt, mac })
    }

    /// Whether it was sealed with the token of this hash. Takes the same time whatever the answer.
    pub fn is_of(&self, token_hash: &[u8; 32]) -> bool {
        let due = hmac_sha256(token_hash, self.receipt.text().as_bytes());
        let pairs = due.0.iter().zip(self.mac.0);
        pairs.fold(0, |differ, (a, b)| differ | (a ^ b)) == 0
    }
}

/// HMAC-SHA256 (RFC 2104) under a key of 32 octets, which is shorter than the hash's block of 64.
fn hmac_sha256(key: &[u8; 32], message: &[u8]) -> Digest {
    let padded = |pad: u8| {
        let mut block = [pad; 64];
        for (octet, key) in block.iter_mut().zip(key) {
            *octet ^= key;
        }
        block
    };
    let inner = sha256(&[&padded(0x36)[..], message].concat());
    Digest(sha256(&[&padded(0x5c)[..], &inner[..]].concat()))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// RFC 4231 has no key of exactly 32 octets that is not repeated; zeros at the end of a shorter
    /// key change nothing, so case 2 (key "Jefe") fits.
    #[test]
    fn the_mac_is_that_of_rfc_4231() {
        let mut key = [0; 32];
        key[..4].copy_from_slice(b"Jefe");
        let mac = hmac_sha256(&key, b"what do ya want for nothing?");
        let due = "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843";
        assert_eq!(mac.to_string(), due);
    }

    #[test]
    fn o4_a_receipt_reads_back_and_every_octet_counts() {
        let receipt = Receipt {
            applied_at: Time::from_unix(1_790_000_000),
            manifest: Digest::of(b"x"),
            party: "broker-3".parse().unwrap(),
            sequence: 7,
            version: VERSION,
        };
        let (ours, other) = ([7; 32], [8; 32]);
        let file = receipt.seal(&ours);
        let sealed = Sealed::parse(file.as_bytes()).unwrap();
        assert_eq!(sealed.receipt, receipt);
        assert!(sealed.is_of(&ours) && !sealed.is_of(&other));
        for i in 0..file.len() {
            let mut changed = file.clone().into_bytes();
            changed[i] ^= 1;
            let taken = Sealed::parse(&changed).is_ok_and(|sealed| sealed.is_of(&ours));
            assert!(!taken, "octet {i} may be changed");
        }
    }
}
