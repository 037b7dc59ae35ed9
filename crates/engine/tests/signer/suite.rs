//! What every signer must do, whatever holds its key; run here on software keys of every kind.

use std::thread;

use aws_lc_rs::digest;
use tenure_x509::{Csr, KeyKind, KeyPair, Name, NameAttribute, PublicKey};

use tenure_engine::signer::{Door, Doors, Key, SignError};

const MESSAGE: &[u8] = b"what is signed";

/// What a signer must do, whatever holds its key. `make` makes keys that differ, by their doors.
pub fn check(make: &dyn Fn(&str, Doors) -> Key) {
    a_key_signs_only_through_its_doors(make);
    let key = make("suite-issuer", Doors::ISSUER);
    let other = make("suite-other", Doors::ISSUER);
    assert_ne!(key.public(), other.public());
    signatures_are_of_this_key_and_this_message(&key, &other);
    a_digest_is_signed_as_its_message_is(&key);
    threads_do_not_disturb_each_other(&key, &other);
    a_request_names_the_key(&key);
}

fn a_key_signs_only_through_its_doors(make: &dyn Fn(&str, Doors) -> Key) {
    let sets = [
        ("suite-a", Doors::ISSUER),
        ("suite-b", Doors::RESPONDER),
        ("suite-c", Doors::LOG),
        ("suite-d", Doors::TLS),
    ];
    for (name, doors) in sets {
        let key = make(name, doors);
        let tries = [
            (Door::Crl, key.sign_crl(MESSAGE)),
            (Door::Ocsp, key.sign_ocsp(MESSAGE)),
            (Door::Checkpoint, key.sign_checkpoint(MESSAGE)),
            (Door::Handshake, key.sign_handshake(MESSAGE)),
        ];
        for (door, signed) in tries {
            match doors.opens(door) {
                true => drop(signed.unwrap()),
                false => {
                    let wrong = SignError::WrongDoor {
                        key: name.to_owned(),
                        door,
                    };
                    assert_eq!(signed, Err(wrong));
                }
            }
        }
        if !doors.opens(Door::Crl) {
            let signed = key.sign_crl_digest(&[0; 32]);
            assert!(
                matches!(signed, Err(SignError::WrongDoor { .. })),
                "{signed:?}"
            );
        }
    }
}

fn signatures_are_of_this_key_and_this_message(key: &Key, other: &Key) {
    // what has read the public key elsewhere agrees
    let public = PublicKey::from_spki_der(key.public().spki_der()).unwrap();
    for message in [MESSAGE, b"", &[0x30; 100_000]] {
        let signature = key.sign_crl(message).unwrap();
        public.verify(key.algorithm(), message, &signature).unwrap();
        assert!(
            public
                .verify(key.algorithm(), b"another", &signature)
                .is_err()
        );
        assert!(
            other
                .public()
                .verify(other.algorithm(), message, &signature)
                .is_err()
        );
    }
}

fn a_digest_is_signed_as_its_message_is(key: &Key) {
    let Some(hash) = key.algorithm().digest() else {
        assert_eq!(key.sign_crl_digest(&[0; 64]), Err(SignError::NoDigest));
        return;
    };
    let digest = digest::digest(hash, MESSAGE);
    // often, since a half of an ECDSA signature is short once in 256 times
    for _ in 0..50 {
        let signature = key.sign_crl_digest(digest.as_ref()).unwrap();
        key.public()
            .verify(key.algorithm(), MESSAGE, &signature)
            .unwrap();
    }
    for wrong in [&digest.as_ref()[1..], &[], &[0; 65]] {
        let signed = key.sign_crl_digest(wrong);
        assert!(
            matches!(signed, Err(SignError::Device { .. })),
            "{signed:?}"
        );
    }
    key.sign_crl(MESSAGE).unwrap(); // a refused call leaves nothing half done
}

fn threads_do_not_disturb_each_other(key: &Key, other: &Key) {
    thread::scope(|scope| {
        for thread in 0..24_u8 {
            let key = if thread % 3 == 0 { other } else { key };
            scope.spawn(move || {
                for n in 0..10_u8 {
                    let message = [thread, n];
                    let signature = key.sign_crl(&message).unwrap();
                    key.public()
                        .verify(key.algorithm(), &message, &signature)
                        .unwrap();
                }
            });
        }
    });
}

fn a_request_names_the_key(key: &Key) {
    let subject = Name::build(&[(NameAttribute::CommonName, "A Root")]).unwrap();
    let request = Csr::from_der(&key.request(&subject).unwrap()).unwrap();
    assert_eq!(request.public_key(), key.public());
    assert_eq!(*request.subject(), subject);
}

#[test]
fn software_keys_of_every_kind_pass_the_suite() {
    for kind in [
        KeyKind::P256,
        KeyKind::P384,
        KeyKind::Ed25519,
        KeyKind::Rsa2048,
    ] {
        check(&|name, doors| Key::in_memory(name, doors, KeyPair::generate(kind).unwrap()));
    }
}
