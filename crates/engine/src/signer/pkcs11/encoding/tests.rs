//! What tokens of different makers say, and that rubbish is refused.

use tenure_x509::KeyPair;

use super::*;

fn wrapped(point: &[u8]) -> Vec<u8> {
    let mut writer = Writer::new();
    writer.octet_string(point);
    writer.finish()
}

#[test]
fn a_point_is_read_wrapped_and_bare() {
    for (kind, params) in [
        (KeyKind::P256, P256),
        (KeyKind::P384, P384),
        (KeyKind::Ed25519, ED25519),
        (KeyKind::Ed25519, ED25519_NAME),
    ] {
        // Ed25519 keys that begin like an OCTET STRING are bare all the same
        for _ in 0..20 {
            let public = KeyPair::generate(kind).unwrap().public().clone();
            let point = public.key_bits();
            assert_eq!(
                elliptic_public(params, point).as_ref(),
                Some(&public),
                "{kind}"
            );
            assert_eq!(
                elliptic_public(params, &wrapped(point)),
                Some(public),
                "{kind}"
            );
        }
    }
}

#[test]
fn rubbish_is_no_point() {
    let public = KeyPair::generate(KeyKind::P256).unwrap().public().clone();
    let point = public.key_bits();
    let mut off_the_curve = point.to_vec();
    *off_the_curve.last_mut().unwrap() ^= 1;
    let mut trailing = wrapped(point);
    trailing.push(0);
    for wrong in [
        &[][..],
        &point[..64],
        &off_the_curve,
        &trailing,
        &wrapped(&wrapped(point)),
        &wrapped(&[]),
    ] {
        assert_eq!(elliptic_public(P256, wrong), None, "{wrong:x?}");
    }
    assert_eq!(elliptic_public(P384, point), None);
    assert_eq!(elliptic_public(b"", point), None);
    assert_eq!(
        elliptic_public(b"\x06\x05\x2b\x81\x04\x00\x0a", point),
        None
    ); // secp256k1
}

#[test]
fn an_rsa_key_is_read_with_and_without_leading_zeros() {
    let public = KeyPair::generate(KeyKind::Rsa2048)
        .unwrap()
        .public()
        .clone();
    let (modulus, exponent) = public.rsa_components().unwrap();
    assert_eq!(rsa_public(modulus, exponent).as_ref(), Some(&public));
    let padded = [&[0, 0], modulus].concat();
    assert_eq!(rsa_public(&padded, &[0, 1, 0, 1]), Some(public.clone()));
    assert_eq!(rsa_public(&[], exponent), None);
    assert_eq!(rsa_public(&modulus[..128], exponent), None);
}

#[test]
fn halves_become_minimal_integers() {
    let mut halves = [0; 64];
    halves[31] = 0x80; // r needs a zero before, and only that
    halves[32] = 0x01; // s is full
    let signature = ecdsa_signature(&halves).unwrap();
    assert_eq!(signature[..7], [0x30, 0x26, 0x02, 0x02, 0x00, 0x80, 0x02]);
    assert_eq!(signature[7], 32);
    assert_eq!(ecdsa_signature(&[]), None);
    assert_eq!(ecdsa_signature(&[1; 63]), None);
}

#[test]
fn a_digest_info_is_as_rfc_8017_9_2_has_it() {
    let info = digest_info(SignatureAlgorithm::RsaSha256, &[0xab; 32]).unwrap();
    let head = b"\x30\x31\x30\x0d\x06\x09\x60\x86\x48\x01\x65\x03\x04\x02\x01\x05\x00\x04\x20";
    assert_eq!(info, [&head[..], &[0xab; 32]].concat());
    assert_eq!(digest_info(SignatureAlgorithm::RsaSha256, &[0; 20]), None);
    assert_eq!(digest_info(SignatureAlgorithm::EcdsaSha256, &[0; 32]), None);
}
