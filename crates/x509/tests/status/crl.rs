//! Revocation lists.

use std::convert::Infallible;
use std::io::{Cursor, Seek};

use der::oid::ObjectIdentifier;
use der::{Decode as _, Encode as _};
use proptest::prelude::*;
use tenure_x509::crl::{Crl, CrlSpec, CrlWriter, Entry, Holds, Scope, ToSign, WriteError};
use tenure_x509::{Error, KeyKind, KeyPair, Reason, Serial, SignatureAlgorithm, Time};

use crate::assert_lint;
use crate::support::{
    Ca, DAY, NOW, name, openssl_available, put, root, run, serial, sign, try_run,
};

const URL: &str = "http://pki.example/crl/issuing/3.crl";

fn shard() -> Scope {
    Scope {
        urls: vec![URL.into(), "http://old.example/crl/issuing/3.crl".into()],
        holds: Holds::UserCerts,
    }
}

fn spec(ca: &Ca, scope: Scope) -> CrlSpec {
    CrlSpec {
        issuer: ca.cert.subject().clone(),
        issuer_key_id: ca.cert.subject_key_id().unwrap().to_vec(),
        signature: ca.key.signature_algorithm(),
        this_update: NOW,
        next_update: NOW.plus(7 * DAY),
        number: NOW.unix() as u64,
        scope,
    }
}

fn sign_with(key: &KeyPair) -> impl FnOnce(ToSign<'_>) -> Result<Vec<u8>, Error> {
    move |to_sign| match to_sign {
        ToSign::Digest(digest) => key.sign_digest(digest),
        ToSign::Message(message) => key.sign(message),
    }
}

fn write(ca: &Ca, scope: Scope, entries: &[Entry<'_>]) -> Vec<u8> {
    spec(ca, scope)
        .to_der(entries.iter().copied(), sign_with(&ca.key))
        .unwrap()
}

fn entry(serial: &Serial, reason: Reason) -> Entry<'_> {
    Entry {
        serial: serial.as_bytes(),
        revoked_at: NOW.plus(-3600),
        reason,
        invalid_since: None,
    }
}

fn issuing(kind: KeyKind) -> (Ca, Ca) {
    let root = root(kind);
    let issuing = root.sub_ca(kind, "Issuing", Some(0));
    (root, issuing)
}

fn typed(der: &[u8]) -> x509_cert::crl::CertificateList {
    let list = x509_cert::crl::CertificateList::from_der(der).unwrap();
    assert_eq!(
        list.to_der().unwrap(),
        der,
        "the typed encoder writes something else"
    );
    list
}

fn extension(der: &[u8], oid: &str) -> Option<(bool, Vec<u8>)> {
    let oid = ObjectIdentifier::new_unwrap(oid);
    let extensions = typed(der).tbs_cert_list.crl_extensions.unwrap();
    let found = extensions
        .iter()
        .find(|extension| extension.extn_id == oid)?;
    Some((found.critical, found.extn_value.as_bytes().to_vec()))
}

#[test]
fn the_typed_encoder_writes_the_same_octets() {
    for kind in [
        KeyKind::P256,
        KeyKind::P384,
        KeyKind::Ed25519,
        KeyKind::Rsa2048,
    ] {
        let (_, ca) = issuing(kind);
        let serials: Vec<Serial> = (0..10).map(serial).collect();
        let mut entries: Vec<Entry<'_>> = serials
            .iter()
            .zip(Reason::ALL)
            .map(|(serial, reason)| entry(serial, reason))
            .collect();
        entries[1].invalid_since = Some(NOW.plus(-DAY));
        entries[0].invalid_since = Some(NOW.plus(-DAY));
        entries[2].revoked_at = Time::parse_rfc3339("2050-01-01T00:00:00Z").unwrap();
        for scope in [Scope::everything(), shard()] {
            for count in 0..=entries.len() {
                let der = write(&ca, scope.clone(), &entries[..count]);
                let list = typed(&der);
                let revoked = list.tbs_cert_list.revoked_certificates.unwrap_or_default();
                assert_eq!(revoked.len(), count);
            }
        }
    }
}

/// RFC 5280 section 5.1.2.6: if there are no revoked certificates, the list must be absent.
#[test]
fn a_list_without_entries_has_no_list_of_entries() {
    let (_, ca) = issuing(KeyKind::P256);
    let der = write(&ca, shard(), &[]);
    assert!(typed(&der).tbs_cert_list.revoked_certificates.is_none());
    assert_eq!(Crl::from_der(&der).unwrap().entries().count(), 0);
}

/// RFC 5280 section 5.2.1: the key that signs the list, not the one that signed its certificate.
#[test]
fn the_authority_key_identifier_is_the_issuers_own() {
    let (root, ca) = issuing(KeyKind::P256);
    let crl = Crl::from_der(&write(&ca, shard(), &[])).unwrap();
    assert_eq!(crl.authority_key_id(), ca.cert.subject_key_id());
    assert_ne!(crl.authority_key_id(), root.cert.subject_key_id());
}

/// RFC 5280 section 5.2.5, and the octets of it: 2.5.29.28, critical, every URL of the shard.
#[test]
fn the_issuing_distribution_point_is_critical_and_lists_every_url() {
    let (_, ca) = issuing(KeyKind::P256);
    let der = write(&ca, shard(), &[]);
    let (critical, value) = extension(&der, "2.5.29.28").unwrap();
    assert!(critical);
    let old = "http://old.example/crl/issuing/3.crl";
    let names = [
        &[0x86, URL.len() as u8],
        URL.as_bytes(),
        &[0x86, old.len() as u8],
        old.as_bytes(),
    ]
    .concat();
    let full_name = [&[0xa0, names.len() as u8], names.as_slice()].concat();
    let point = [&[0xa0, full_name.len() as u8], full_name.as_slice()].concat();
    let fields = [point.as_slice(), &[0x81, 1, 0xff]].concat();
    assert_eq!(
        value,
        [&[0x30, fields.len() as u8], fields.as_slice()].concat()
    );
    // Without a scope there is no such extension: nginx and mbedTLS want lists without it.
    assert_eq!(
        extension(&write(&ca, Scope::everything(), &[]), "2.5.29.28"),
        None
    );
    // Subject information access, which a well-known library writes in its place.
    assert_eq!(extension(&der, "1.3.6.1.5.5.7.1.11"), None);

    let cas = Scope {
        urls: vec![URL.into()],
        holds: Holds::CaCerts,
    };
    for scope in [
        shard(),
        cas,
        Scope {
            urls: Vec::new(),
            holds: Holds::UserCerts,
        },
    ] {
        let crl = Crl::from_der(&write(&ca, scope.clone(), &[])).unwrap();
        assert_eq!((crl.scope(), crl.unusual()), (&scope, None));
    }
}

#[test]
fn a_url_that_cannot_be_written_is_refused() {
    let (_, ca) = issuing(KeyKind::P256);
    for url in ["", "http://pki.exämple/crl"] {
        let scope = Scope {
            urls: vec![url.into()],
            holds: Holds::All,
        };
        let failed = spec(&ca, scope).to_der(std::iter::empty(), sign_with(&ca.key));
        assert!(matches!(failed, Err(WriteError::Crl(_))));
    }
}

#[test]
fn a_faulty_signer_and_a_faulty_count_are_reported() {
    let (_, ca) = issuing(KeyKind::P256);
    let failed = spec(&ca, shard()).to_der(std::iter::empty(), |_| Err("no token"));
    assert!(matches!(failed, Err(WriteError::Sign("no token"))));
    let serial = serial(1);
    for announced in [0, 38, 40] {
        let sink = Cursor::new(Vec::new());
        let mut writer =
            CrlWriter::start::<Infallible>(&spec(&ca, shard()), announced, sink).unwrap();
        writer.entry(&entry(&serial, Reason::Unspecified)).unwrap();
        let failed = writer.finish(|_| Ok::<_, Infallible>(vec![0; 70]));
        assert!(
            matches!(failed, Err(WriteError::Crl(Error::Inconsistent { .. }))),
            "{announced}"
        );
    }
}

/// Where the length of the whole passes 128, 256, 65536 and 16777216 octets, headers grow by an
/// octet, and how long an ECDSA signature is is known only at the end.
#[test]
fn lists_around_every_length_boundary_are_well_formed() {
    let (_, ca) = issuing(KeyKind::P256);
    // The key identifier is the fine adjustment, entries of 39 octets are the coarse one.
    let boundary = |entries: usize, adjust: usize, signature: usize| {
        let spec = CrlSpec {
            issuer: tenure_x509::Name::empty(),
            issuer_key_id: vec![7; adjust],
            ..spec(&ca, Scope::everything())
        };
        let serial = serial(1);
        let list = std::iter::repeat_n(entry(&serial, Reason::Unspecified), entries);
        let before = b"what was there before";
        let mut sink = Cursor::new(before.to_vec());
        sink.seek(std::io::SeekFrom::End(0)).unwrap();
        let mut digest = Vec::new();
        let sink = spec
            .write(list, sink, |to_sign| {
                let ToSign::Digest(octets) = to_sign else {
                    return Err(());
                };
                digest = octets.to_vec();
                Ok(vec![0xab; signature])
            })
            .unwrap();
        assert_eq!(sink.position(), sink.get_ref().len() as u64);
        let der = sink.into_inner().split_off(before.len());
        let typed = typed(&der);
        assert_eq!(typed.signature.raw_bytes(), vec![0xab; signature]);
        assert_eq!(Crl::from_der(&der).unwrap().entries().count(), entries);
        // The digest is of what ended up in the list.
        let tbs = typed.tbs_cert_list.to_der().unwrap();
        use aws_lc_rs::digest::{SHA256, digest as hash};
        assert_eq!(hash(&SHA256, &tbs).as_ref(), digest);
        der.len()
    };
    let mut lengths = std::collections::BTreeSet::new();
    for signature in [1, 2, 64, 70, 71, 72, 139, 600] {
        for adjust in 1..30 {
            lengths.insert(boundary(0, adjust, signature));
            lengths.insert(boundary(1, 4 * adjust, signature));
        }
        for adjust in (1..120).step_by(3) {
            lengths.insert(boundary(1675, adjust, signature));
        }
    }
    for limit in [128 + 3, 256 + 4, 65_536 + 5] {
        let met = lengths.range(limit - 20..limit + 20).count();
        let below = lengths.range(limit - 20..limit).count();
        assert!(below > 0 && met > below, "{limit}: {lengths:?}");
    }
}

#[test]
fn every_list_verifies_with_its_issuer_and_no_other() {
    for kind in [
        KeyKind::P256,
        KeyKind::P384,
        KeyKind::Ed25519,
        KeyKind::Rsa2048,
    ] {
        let (root, ca) = issuing(kind);
        let serials: Vec<Serial> = (0..5).map(serial).collect();
        let entries: Vec<_> = serials
            .iter()
            .map(|s| entry(s, Reason::KeyCompromise))
            .collect();
        let der = write(&ca, shard(), &entries);
        let crl = Crl::from_der(&der).unwrap();
        crl.verify(ca.cert.public_key()).unwrap();
        assert!(crl.verify(root.cert.public_key()).is_err());
        let mut altered = der.clone();
        let at = altered
            .windows(8)
            .position(|octets| octets == &serials[3].as_bytes()[..8]);
        altered[at.unwrap() + 3] ^= 1;
        assert!(
            Crl::from_der(&altered)
                .unwrap()
                .verify(ca.cert.public_key())
                .is_err()
        );
    }
}

fn reasons() -> impl Strategy<Value = Reason> {
    prop::sample::select(Reason::ALL.to_vec())
}

fn times() -> impl Strategy<Value = Time> {
    // 1940 to 2060: both sides of where the encoding changes.
    (-946_771_200i64..2_840_140_800).prop_map(Time::from_unix)
}

type Row = (Vec<u8>, Time, Reason, Option<Time>);

fn rows() -> impl Strategy<Value = Vec<Row>> {
    let serial = prop::collection::vec(any::<u8>(), 1..21);
    prop::collection::vec(
        (serial, times(), reasons(), prop::option::of(times())),
        0..40,
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    #[test]
    fn what_is_written_is_read(rows in rows()) {
        let key = KeyPair::generate(KeyKind::P256).unwrap();
        let spec = CrlSpec {
            issuer: name("Issuing"),
            issuer_key_id: vec![1; 20],
            signature: SignatureAlgorithm::EcdsaSha256,
            this_update: NOW,
            next_update: NOW.plus(DAY),
            number: u64::MAX,
            scope: shard(),
        };
        let entries = rows.iter().map(|(serial, revoked_at, reason, invalid_since)| Entry {
            serial,
            revoked_at: *revoked_at,
            reason: *reason,
            invalid_since: *invalid_since,
        });
        let crl = Crl::from_der(&spec.to_der(entries, sign_with(&key)).unwrap()).unwrap();
        crl.verify(key.public()).unwrap();
        prop_assert_eq!(crl.issuer(), &spec.issuer);
        prop_assert_eq!(crl.number(), Some(u64::MAX));
        prop_assert_eq!((crl.this_update(), crl.next_update()), (NOW, Some(NOW.plus(DAY))));
        let read: Vec<Row> = crl
            .entries()
            .map(Result::unwrap)
            .map(|e| (e.serial.as_bytes().to_vec(), e.revoked_at, e.reason, e.invalid_since))
            .collect();
        prop_assert_eq!(&read, &rows);
        for (octets, ..) in &rows {
            let serial = Serial::from_der_value(octets);
            prop_assert_eq!(crl.find(&serial).unwrap().unwrap().serial, serial);
        }
        let absent = Serial::from_der_value(&[3; 30]);
        prop_assert_eq!(crl.find(&absent), Ok(None));
    }
}

#[test]
fn broken_lists_are_refused_and_never_panic() {
    let (_, ca) = issuing(KeyKind::P256);
    let serial = serial(9);
    let mut entry = entry(&serial, Reason::KeyCompromise);
    entry.invalid_since = Some(NOW);
    let der = write(&ca, shard(), &[entry, entry]);
    for end in 0..der.len() {
        assert!(Crl::from_der(&der[..end]).is_err(), "{end}");
    }
    for at in 0..der.len() {
        for mask in [0x01, 0x80, 0xff] {
            let mut altered = der.clone();
            altered[at] ^= mask;
            if let Ok(crl) = Crl::from_der(&altered) {
                let _ = (crl.entries().count(), crl.find(&serial));
                assert!(crl.verify(ca.cert.public_key()).is_err(), "{at}");
            }
        }
    }
    assert!(Crl::from_der(&[der, vec![0]].concat()).is_err());
}

#[test]
fn openssl_verifies_lists_and_finds_revoked_certificates() {
    if !openssl_available() {
        return;
    }
    for kind in [
        KeyKind::P256,
        KeyKind::P384,
        KeyKind::Ed25519,
        KeyKind::Rsa2048,
    ] {
        let dir = tempfile::tempdir().unwrap();
        let dir = dir.path();
        let (root, ca) = issuing(kind);
        let good = sign(
            &ca.ldevid(KeyPair::generate(kind).unwrap().public(), 7),
            &ca.key,
        );
        let bad = sign(
            &ca.ldevid(KeyPair::generate(kind).unwrap().public(), 8),
            &ca.key,
        );
        put(dir, "root.pem", root.cert.pem());
        put(dir, "issuing.pem", ca.cert.pem());
        put(dir, "good.pem", good.pem());
        put(dir, "bad.pem", bad.pem());
        let entry = entry(bad.serial(), Reason::KeyCompromise);
        for scope in [Scope::everything(), shard()] {
            let der = write(&ca, scope, &[entry]);
            put(dir, "list.pem", tenure_x509::pem_encode("X509 CRL", &der));
            put(dir, "list.der", &der);
            let show = [
                "crl",
                "-in",
                "list.pem",
                "-noout",
                "-text",
                "-verify",
                "-CAfile",
                "issuing.pem",
            ];
            let shown = run(dir, "openssl", &show);
            assert!(shown.contains("verify OK"), "{shown}");
            assert!(shown.contains("Key Compromise"), "{shown}");
            let at = NOW.unix().to_string();
            let check = |leaf: &str| {
                let args = [
                    "verify",
                    "-x509_strict",
                    "-crl_check",
                    "-attime",
                    &at,
                    "-CAfile",
                    "root.pem",
                    "-untrusted",
                    "issuing.pem",
                    "-CRLfile",
                    "list.pem",
                    leaf,
                ];
                try_run(dir, "openssl", &args)
            };
            let (verified, text) = check("good.pem");
            assert!(verified, "{text}");
            let (verified, text) = check("bad.pem");
            assert!(!verified && text.contains("certificate revoked"), "{text}");
        }
        if kind != KeyKind::P256 {
            continue;
        }
        assert_lint(dir, "lint_crl", &["-t", "CRL", "-p", "PKIX", "list.der"]);
        let arl = Scope {
            urls: vec![URL.into()],
            holds: Holds::CaCerts,
        };
        put(dir, "arl.der", write(&root, arl, &[entry]));
        assert_lint(dir, "lint_crl", &["-t", "ARL", "-p", "PKIX", "arl.der"]);
    }
}

const CONFIG: &str = "
[ca]
default_ca = this
[this]
database = index.txt
crlnumber = crlnumber
default_md = sha256
[plain]
authorityKeyIdentifier = keyid
[point]
authorityKeyIdentifier = keyid
issuingDistributionPoint = critical, @idp
[idp]
fullname = URI:http://a.example/1.crl, URI:http://b.example/1.crl
onlyCA = TRUE
[indirect]
issuingDistributionPoint = critical, @idp2
[idp2]
fullname = URI:http://a.example/1.crl
indirectCRL = TRUE
[reasons]
issuingDistributionPoint = critical, @idp3
[idp3]
fullname = URI:http://a.example/1.crl
onlysomereasons = keyCompromise, CACompromise
[delta]
2.5.29.27 = critical, ASN1:INTEGER:3
[strange]
1.2.3.4 = critical, ASN1:NULL
";

#[test]
fn lists_of_openssl_are_read() {
    if !openssl_available() {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let dir = dir.path();
    let (_, ca) = issuing(KeyKind::P256);
    put(dir, "ca.pem", ca.cert.pem());
    put(dir, "ca.key", ca.key.to_pem().unwrap().as_bytes());
    put(dir, "openssl.cnf", CONFIG);
    put(dir, "crlnumber", "01FF\n");
    let index = "R\t300101000000Z\t260301120000Z,keyCompromise\t5A5A01\tunknown\t/CN=a\n\
        R\t300101000000Z\t260302120000Z\t5A5A02\tunknown\t/CN=b\n\
        R\t300101000000Z\t260303120000Z,keyTime,20260201000000Z\t5A5A03\tunknown\t/CN=c\n\
        V\t300101000000Z\t\t5A5A04\tunknown\t/CN=d\n";
    put(dir, "index.txt", index);
    let list = |extensions: &str| {
        let args = [
            "ca",
            "-gencrl",
            "-config",
            "openssl.cnf",
            "-keyfile",
            "ca.key",
            "-cert",
            "ca.pem",
            "-crldays",
            "30",
            "-crlexts",
            extensions,
            "-out",
            "list.pem",
        ];
        run(dir, "openssl", &args);
        run(
            dir,
            "openssl",
            &[
                "crl", "-in", "list.pem", "-outform", "DER", "-out", "list.der",
            ],
        );
        let crl = Crl::from_der(&std::fs::read(dir.join("list.der")).unwrap()).unwrap();
        crl.verify(ca.cert.public_key()).unwrap();
        crl
    };
    let plain = list("plain");
    assert_eq!(
        (plain.number(), plain.scope()),
        (Some(0x1ff), &Scope::everything())
    );
    assert_eq!(plain.authority_key_id(), ca.cert.subject_key_id());
    let found = |hex: &str| plain.find(&Serial::parse_hex(hex).unwrap()).unwrap();
    let a = found("5a5a01").unwrap();
    assert_eq!(
        (a.revoked_at.to_string().as_str(), a.reason),
        ("2026-03-01T12:00:00Z", Reason::KeyCompromise)
    );
    assert_eq!(found("5a5a02").unwrap().reason, Reason::Unspecified);
    let since = found("5a5a03").unwrap().invalid_since.unwrap();
    assert_eq!(since.to_string(), "2026-02-01T00:00:00Z");
    assert_eq!(found("5a5a04"), None);

    let point = list("point");
    let urls = vec![
        "http://a.example/1.crl".to_owned(),
        "http://b.example/1.crl".to_owned(),
    ];
    assert_eq!(
        point.scope(),
        &Scope {
            urls,
            holds: Holds::CaCerts
        }
    );
    assert_eq!(point.unusual(), None);
    for unusual in ["indirect", "reasons", "delta", "strange"] {
        assert!(list(unusual).unusual().is_some(), "{unusual}");
    }
}

/// RFC 5280 section 5.2.4, as OpenSSL reads it too.
#[test]
fn a_delta_list_says_to_which_list_it_is_one() {
    let (_, ca) = issuing(KeyKind::P256);
    let serials = [Serial::from_random([1; 20]), Serial::from_random([2; 20])];
    let entries = [
        entry(&serials[0], Reason::KeyCompromise),
        entry(&serials[1], Reason::RemoveFromCrl),
    ];
    let spec = spec(&ca, shard());
    let delta = |base| spec.to_delta_der(base, entries.iter().copied(), sign_with(&ca.key));
    assert!(delta(spec.number).is_err(), "a delta to itself");
    let der = delta(4711).unwrap();
    let crl = Crl::from_der(&der).unwrap();
    crl.verify(ca.key.public()).unwrap();
    assert_eq!(
        (crl.delta_to(), crl.number()),
        (Some(4711), Some(spec.number))
    );
    assert!(crl.unusual().is_some(), "it is no complete list");
    assert_eq!(crl.scope(), &shard());
    for (serial, wanted) in serials
        .iter()
        .zip([Reason::KeyCompromise, Reason::RemoveFromCrl])
    {
        assert_eq!(crl.find(serial).unwrap().unwrap().reason, wanted);
    }
    assert!(extension(&der, "2.5.29.27").unwrap().0, "critical");
    if !crate::support::available("openssl", &["version"]) {
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    std::fs::write(dir.path().join("delta.crl"), &der).unwrap();
    let args = [
        "crl",
        "-inform",
        "DER",
        "-in",
        "delta.crl",
        "-noout",
        "-text",
    ];
    let (success, text) = crate::support::try_run(dir.path(), "openssl", &args);
    assert!(
        success && text.contains("Delta CRL Indicator: critical"),
        "{text}"
    );
    assert!(text.contains("Remove From CRL"), "{text}");
}
