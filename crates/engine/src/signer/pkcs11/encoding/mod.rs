//! Between what tokens say and what X.509 wants.

use tenure_x509::der::{Reader, Rules, Writer, tag};
use tenure_x509::{KeyAlgorithm, KeyKind, ObjectIdentifier, PublicKey, SignatureAlgorithm, oid};

/// CKA_EC_PARAMS of the curves we make keys on, as object identifiers.
const P256: &[u8] = b"\x06\x08\x2a\x86\x48\xce\x3d\x03\x01\x07";
const P384: &[u8] = b"\x06\x05\x2b\x81\x04\x00\x22";
const ED25519: &[u8] = b"\x06\x03\x2b\x65\x70";
/// Ed25519 by its name in a PrintableString, as PKCS#11 3.0 has it too.
const ED25519_NAME: &[u8] = b"\x13\x0cedwards25519";

const SHA256: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.1");
const SHA384: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.2");
const SHA512: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.16.840.1.101.3.4.2.3");

/// The ways to name a curve to a token, the usual first; none for RSA.
pub(super) fn curve_names(kind: KeyKind) -> &'static [&'static [u8]] {
    match kind {
        KeyKind::P256 => &[P256],
        KeyKind::P384 => &[P384],
        KeyKind::Ed25519 => &[ED25519, ED25519_NAME],
        KeyKind::Rsa2048 | KeyKind::Rsa3072 | KeyKind::Rsa4096 => &[],
    }
}

/// Whether a token's public key is of the kind asked for.
pub(super) fn is_kind(found: KeyAlgorithm, wanted: KeyKind) -> bool {
    match wanted {
        KeyKind::P256 => found == KeyAlgorithm::P256,
        KeyKind::P384 => found == KeyAlgorithm::P384,
        KeyKind::Ed25519 => found == KeyAlgorithm::Ed25519,
        KeyKind::Rsa2048 => found == KeyAlgorithm::Rsa(2048),
        KeyKind::Rsa3072 => found == KeyAlgorithm::Rsa(3072),
        KeyKind::Rsa4096 => found == KeyAlgorithm::Rsa(4096),
    }
}

/// The public key of CKA_EC_PARAMS and CKA_EC_POINT. The standard has the point wrapped in an
/// OCTET STRING; some tokens give it bare, and both begin with 0x04.
pub(super) fn elliptic_public(params: &[u8], point: &[u8]) -> Option<PublicKey> {
    let is_edwards = params == ED25519 || params == ED25519_NAME;
    let point_len = match params {
        P256 => 65,
        P384 => 97,
        _ if is_edwards => 32,
        _ => return None,
    };
    let point = if point.len() == point_len {
        point
    } else {
        unwrapped(point)?
    };
    if point.len() != point_len {
        return None;
    }
    public_key(
        |algorithm| match is_edwards {
            true => algorithm.raw(ED25519),
            false => {
                algorithm.oid(&oid::EC_PUBLIC_KEY);
                algorithm.raw(params);
            }
        },
        point,
    )
}

fn unwrapped(point: &[u8]) -> Option<&[u8]> {
    let mut reader = Reader::new(point, Rules::Ber);
    let value = reader.expect(tag::OCTET_STRING, "EC point").ok()?.value;
    reader.finish("EC point").ok()?;
    Some(value)
}

/// The public key of CKA_MODULUS and CKA_PUBLIC_EXPONENT.
pub(super) fn rsa_public(modulus: &[u8], exponent: &[u8]) -> Option<PublicKey> {
    let mut key = Writer::new();
    key.sequence(|key| {
        key.unsigned_octets(modulus);
        key.unsigned_octets(exponent);
    });
    let algorithm = |algorithm: &mut Writer| {
        algorithm.oid(&oid::RSA_ENCRYPTION);
        algorithm.null();
    };
    public_key(algorithm, &key.finish())
}

fn public_key(algorithm: impl FnOnce(&mut Writer), bits: &[u8]) -> Option<PublicKey> {
    let mut spki = Writer::new();
    spki.sequence(|spki| {
        spki.sequence(algorithm);
        spki.octet_bits(bits);
    });
    let key = PublicKey::from_spki_der(&spki.finish()).ok()?;
    key.is_usable().then_some(key)
}

/// An ECDSA signature as X.509 has it (RFC 3279 2.2.3) of the two halves a token gives.
pub(super) fn ecdsa_signature(halves: &[u8]) -> Option<Vec<u8>> {
    if halves.is_empty() || !halves.len().is_multiple_of(2) {
        return None;
    }
    let (r, s) = halves.split_at(halves.len() / 2);
    let mut signature = Writer::new();
    signature.sequence(|signature| {
        signature.unsigned_octets(r);
        signature.unsigned_octets(s);
    });
    Some(signature.finish())
}

/// The DigestInfo that CKM_RSA_PKCS pads and signs (RFC 8017 9.2).
pub(super) fn digest_info(algorithm: SignatureAlgorithm, digest: &[u8]) -> Option<Vec<u8>> {
    let (hash, digest_len) = match algorithm {
        SignatureAlgorithm::RsaSha256 => (SHA256, 32),
        SignatureAlgorithm::RsaSha384 => (SHA384, 48),
        SignatureAlgorithm::RsaSha512 => (SHA512, 64),
        _ => return None,
    };
    if digest.len() != digest_len {
        return None;
    }
    let mut written = Writer::new();
    written.sequence(|written| {
        written.sequence(|algorithm| {
            algorithm.oid(&hash);
            algorithm.null();
        });
        written.octet_string(digest);
    });
    Some(written.finish())
}

#[cfg(test)]
mod tests;
