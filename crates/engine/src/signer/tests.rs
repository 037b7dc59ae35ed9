//! What the doors do with a signer that fails. What every signer must do is in `tests/signer`.

use std::sync::Arc;

use tenure_x509::{KeyKind, KeyPair};

use super::*;

/// A signer that does something else than sign.
struct Faulty {
    pair: KeyPair,
    other: KeyPair,
    check: Check,
    fault: Fault,
}

#[derive(Clone, Copy, Debug)]
enum Fault {
    Empty,
    Garbage,
    OtherMessage,
    OtherKey,
    BitFlipped,
    Truncated,
    /// Fails before it signs.
    Refuses,
    /// Signs, but the answer is lost.
    LosesTheAnswer,
}

impl Fault {
    const BAD_SIGNATURES: [Fault; 6] = [
        Fault::Empty,
        Fault::Garbage,
        Fault::OtherMessage,
        Fault::OtherKey,
        Fault::BitFlipped,
        Fault::Truncated,
    ];
}

impl Faulty {
    fn key(kind: KeyKind, check: Check, fault: Fault) -> Key {
        let [pair, other] = [kind, kind].map(|kind| KeyPair::generate(kind).unwrap());
        let all = "certificate+crl+ocsp+checkpoint+handshake".parse().unwrap();
        Key::new(
            "faulty",
            all,
            Arc::new(Faulty {
                pair,
                other,
                check,
                fault,
            }),
        )
    }
}

impl Signer for Faulty {
    fn public(&self) -> &PublicKey {
        self.pair.public()
    }

    fn algorithm(&self) -> SignatureAlgorithm {
        self.pair.signature_algorithm()
    }

    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, SignError> {
        let mut signature = self.pair.sign(message).unwrap();
        match self.fault {
            Fault::Empty => signature.clear(),
            Fault::Garbage => signature.fill(0x5a),
            Fault::OtherMessage => signature = self.pair.sign(b"another message").unwrap(),
            Fault::OtherKey => signature = self.other.sign(message).unwrap(),
            Fault::BitFlipped => *signature.last_mut().unwrap() ^= 1,
            Fault::Truncated => signature.truncate(signature.len() / 2),
            Fault::Refuses => {
                return Err(SignError::Device {
                    why: "it is off".to_owned(),
                });
            }
            Fault::LosesTheAnswer => {
                return Err(SignError::Device {
                    why: "no answer in time".to_owned(),
                });
            }
        }
        Ok(signature)
    }

    fn sign_digest(&self, digest: &[u8]) -> Result<Vec<u8>, SignError> {
        self.sign(digest)
    }

    fn check(&self) -> Check {
        self.check
    }

    fn blocks(&self) -> bool {
        false
    }
}

/// Signs through every door that takes a message.
fn through_each_door(key: &Key, message: &[u8]) -> [Result<Vec<u8>, SignError>; 4] {
    [
        key.sign_crl(message),
        key.sign_ocsp(message),
        key.sign_checkpoint(message),
        key.sign_handshake(message),
    ]
}

#[test]
fn a_bad_signature_never_leaves_a_signer_that_is_always_checked() {
    for kind in [KeyKind::P256, KeyKind::Ed25519] {
        for fault in Fault::BAD_SIGNATURES {
            let key = Faulty::key(kind, Check::Every, fault);
            let bad = SignError::BadSignature {
                key: "faulty".to_owned(),
            };
            for _ in 0..3 {
                for signed in through_each_door(&key, b"the message") {
                    assert_eq!(signed, Err(bad.clone()), "{kind} {fault:?}");
                }
            }
            let digest = tenure_x509::sha256(b"the message");
            assert_eq!(
                key.sign_crl_digest(&digest),
                Err(bad.clone()),
                "{kind} {fault:?}"
            );
            let subject = tenure_x509::Name::build(&[]).unwrap();
            assert_eq!(key.request(&subject), Err(bad), "{kind} {fault:?}");
        }
    }
}

#[test]
fn one_signature_in_64_of_a_sampled_signer_is_checked_and_so_is_the_first() {
    let key = Faulty::key(KeyKind::P256, Check::Sample, Fault::BitFlipped);
    let other_handle = key.clone();
    let found: Vec<usize> = (0..200)
        .filter(|n| {
            let key = if n % 2 == 0 { &key } else { &other_handle };
            key.sign_ocsp(b"answer").is_err()
        })
        .collect();
    assert_eq!(found, [0, 64, 128, 192]);
}

#[test]
fn a_failing_device_is_an_error_whether_or_not_it_signed() {
    for fault in [Fault::Refuses, Fault::LosesTheAnswer] {
        let key = Faulty::key(KeyKind::P256, Check::Every, fault);
        for signed in through_each_door(&key, b"the message") {
            assert!(
                matches!(signed, Err(SignError::Device { .. })),
                "{signed:?}"
            );
        }
    }
}

#[test]
fn the_words_of_doors_read_back() {
    for doors in [Doors::ISSUER, Doors::RESPONDER, Doors::LOG, Doors::TLS] {
        assert_eq!(doors.to_string().parse::<Doors>().unwrap(), doors);
    }
    for text in ["", "+", "crl+", "everything", "CRL"] {
        assert!(text.parse::<Doors>().is_err(), "{text:?}");
    }
}
