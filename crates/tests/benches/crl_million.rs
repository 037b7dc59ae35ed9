//! What one core writes, without store and network: a revocation list of a million entries,
//! certificates, and OCSP answers, each beside the cryptographic limit of the same run.
//!
//! `cargo bench -p tenure-tests --bench crl_million`. CPU time and peak memory come from
//! /proc, so the figures are for Linux. Nothing is asserted but that the results are right.

use std::fs::{self, File, OpenOptions};
use std::hint::black_box;
use std::time::Duration;

use tenure_x509::crl::{Crl, CrlSpec, CrlWriter, Entry, Holds, Scope, ToSign};
use tenure_x509::lint::{self, LintProfile};
use tenure_x509::ocsp::{Answer, CertStatus, HashKind, OcspRequest, Responder};
use tenure_x509::{
    CaConstraint, Cert, CertificateSpec, Csr, Error, Extensions, KeyKind, KeyPair, KeyUsage, Name,
    NameAttribute, Reason, SanName, Serial, Time, Validity, oid,
};

const ENTRIES: u64 = 1_000_000;
const NOW: Time = Time::from_unix(1_795_305_600);
const URL: &str = "http://pki.plant.example/crl/issuing/full.crl";

fn main() {
    // The list comes first: the peak of memory is the process's.
    let issuer = Issuer::new();
    list(&issuer);
    issue(&issuer);
    ocsp(&issuer);
}

struct Issuer {
    key: KeyPair,
    cert: Cert,
}

impl Issuer {
    fn new() -> Self {
        let key = KeyPair::generate(KeyKind::P256).expect("a key");
        let subject = name("Issuing");
        let spec = CertificateSpec {
            serial: serial(0),
            signature: key.signature_algorithm(),
            issuer: subject.clone(),
            validity: Validity {
                not_before: NOW.plus(-86_400),
                not_after: NOW.plus(3650 * 86_400),
            },
            subject,
            public_key: key.public().clone(),
            extensions: Extensions {
                ca: CaConstraint::Ca { path_len: Some(0) },
                key_usage: KeyUsage::KEY_CERT_SIGN | KeyUsage::CRL_SIGN,
                subject_key_id: Some(key.public().key_id().to_vec()),
                ..Extensions::default()
            },
        };
        let tbs = spec.tbs().expect("a certificate to be signed");
        let signature = key.sign(tbs.as_der()).expect("a signature");
        let cert = Cert::from_der(&tbs.with_signature(&signature)).expect("a certificate");
        Self { key, cert }
    }

    fn key_id(&self) -> Vec<u8> {
        self.cert
            .subject_key_id()
            .expect("an issuer has one")
            .to_vec()
    }
}

/// A list of a million entries of 20-octet serials, dates and reasons, into a file.
fn list(issuer: &Issuer) {
    let dir = tempfile::tempdir().expect("a temporary directory");
    let path = dir.path().join("full.crl");
    let spec = CrlSpec {
        issuer: issuer.cert.subject().clone(),
        issuer_key_id: issuer.key_id(),
        signature: issuer.key.signature_algorithm(),
        this_update: NOW,
        next_update: NOW.plus(86_400),
        number: NOW.unix().unsigned_abs(),
        scope: Scope {
            urls: vec![URL.into()],
            holds: Holds::UserCerts,
        },
    };
    let before = cpu();
    let mut entries_len = 0;
    for_each_entry(|entry| entries_len += entry.encoded_len());
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .create_new(true)
        .open(&path);
    let mut writer =
        CrlWriter::start::<Error>(&spec, entries_len, file.expect("a file")).expect("a start");
    for_each_entry(|entry| writer.entry(entry).expect("an entry"));
    let finished = writer.finish(|to_sign| match to_sign {
        ToSign::Digest(digest) => issuer.key.sign_digest(digest),
        ToSign::Message(message) => issuer.key.sign(message),
    });
    let file: File = finished.expect("a list");
    let spent = cpu() - before;
    let octets = file.metadata().expect("its size").len();
    println!(
        "crl     {ENTRIES} entries, {:.1} MB: {:.3} CPU s, peak memory {:.1} MB",
        octets as f64 / 1e6,
        spent.as_secs_f64(),
        peak_octets() as f64 / 1e6,
    );

    let crl = Crl::from_der(&fs::read(&path).expect("the list")).expect("a list");
    crl.verify(issuer.key.public()).expect("its signature");
    let last = serial(ENTRIES - 1);
    assert!(
        crl.find(&last).is_ok_and(|found| found.is_some()),
        "the last entry is there"
    );
    assert_eq!(crl.entries().count() as u64, ENTRIES);
}

fn for_each_entry(mut each: impl FnMut(&Entry<'_>)) {
    for number in 0..ENTRIES {
        let serial = octets(number);
        let reason = match number % 4 {
            0 => Reason::KeyCompromise,
            1 => Reason::Superseded,
            2 => Reason::CessationOfOperation,
            _ => Reason::Unspecified,
        };
        let revoked_at = NOW.plus(-i64::try_from(number).expect("a million fits"));
        each(&Entry {
            serial: &serial,
            revoked_at,
            reason,
            invalid_since: None,
        });
    }
}

/// Proof of possession, drafting, lint, signature; and what its two signatures alone cost.
fn issue(issuer: &Issuer) {
    let device = KeyPair::generate(KeyKind::P256).expect("a key");
    let csr = Csr::build(&device, &name("pump-7"), &[]).expect("a request");
    let message = [7; 600];
    let signature = device.sign(&message).expect("a signature");
    let algorithm = device.signature_algorithm();
    let public = Csr::from_der(&csr).expect("a request").public_key().clone();
    let sign = each(|_| {
        black_box(issuer.key.sign(black_box(&message)).expect("a signature"));
    });
    let verify = each(|_| {
        public
            .verify(algorithm, black_box(&message), &signature)
            .expect("its signature");
    });
    let write = each(|number| {
        black_box(draft(issuer, &public, number));
    });
    let whole = each(|number| {
        let csr = Csr::from_der(black_box(&csr)).expect("a request");
        let tbs = draft(issuer, csr.public_key(), number)
            .tbs()
            .expect("a draft");
        let linted = lint::check(tbs, LintProfile::LDevId, Some(&issuer.cert));
        let linted = linted.unwrap_or_else(|found| panic!("lint found {found:?}"));
        let signature = issuer.key.sign(linted.as_der()).expect("a signature");
        black_box(linted.with_signature(&signature));
    });
    let limit = sign + verify;
    println!(
        "issue   P-256: {} certificates/CPU s = {:.0} % of the limit of {} (one verification {}, \
         one signature {}); describing one takes {}",
        rate(whole),
        100.0 * limit.as_secs_f64() / whole.as_secs_f64(),
        rate(limit),
        micros(verify),
        micros(sign),
        micros(write),
    );
}

fn draft(issuer: &Issuer, key: &tenure_x509::PublicKey, number: u64) -> CertificateSpec {
    CertificateSpec {
        serial: serial(number + 1),
        signature: issuer.key.signature_algorithm(),
        issuer: issuer.cert.subject().clone(),
        validity: Validity {
            not_before: NOW,
            not_after: NOW.plus(90 * 86_400 - 1),
        },
        subject: name("pump-7"),
        public_key: key.clone(),
        extensions: Extensions {
            ca: CaConstraint::NotCa,
            key_usage: KeyUsage::DIGITAL_SIGNATURE,
            ext_key_usage: vec![oid::CLIENT_AUTH],
            subject_key_id: Some(key.key_id().to_vec()),
            authority_key_id: Some(issuer.key_id()),
            san: vec![SanName::Dns("pump-7.plant.example".into())],
            crl_urls: vec![URL.into()],
            ocsp_urls: vec!["http://pki.plant.example/ocsp/issuing".into()],
            ..Extensions::default()
        },
    }
}

type Sign<'a> = dyn Fn(&[u8]) -> Result<Vec<u8>, Error> + 'a;

/// Reading a request and writing the answer, without and with the signature.
fn ocsp(issuer: &Issuer) {
    let (name, key) = (issuer.cert.subject(), issuer.cert.public_key());
    let algorithm = issuer.key.signature_algorithm();
    let responder = Responder::issuer(name, key, algorithm).expect("a responder");
    let der = OcspRequest::build(name, key, &serial(7), HashKind::Sha256, Some(&[5; 32]));
    let der = der.expect("a request");
    let signature = issuer
        .key
        .sign(b"a signature of the usual length")
        .expect("a signature");
    let answer = |sign: &Sign<'_>| {
        let request = OcspRequest::from_der(black_box(&der)).expect("a request");
        assert!(responder.knows_all(&request), "it is about our issuer");
        let answer = Answer {
            id: &request.asked()[0],
            status: CertStatus::Good,
            this_update: NOW,
            next_update: NOW.plus(3600),
        };
        let response = responder.respond(&[answer], request.nonce(), NOW, sign);
        black_box(response.expect("a response"));
    };
    let unsigned = each(|_| answer(&|_| Ok(signature.clone())));
    let signed = each(|_| answer(&|data| issuer.key.sign(data)));
    println!(
        "ocsp    P-256: reading and answering takes {} unsigned, {} signed: {} answers/CPU s",
        micros(unsigned),
        micros(signed),
        rate(signed),
    );
}

/// The CPU time of one call, over about a second.
fn each(mut call: impl FnMut(u64)) -> Duration {
    let start = cpu();
    let mut calls = 0;
    loop {
        for _ in 0..200 {
            call(u64::from(calls));
            calls += 1;
        }
        let spent = cpu() - start;
        if spent > Duration::from_secs(1) {
            return spent / calls;
        }
    }
}

fn rate(each: Duration) -> String {
    format!("{:.0}", 1.0 / each.as_secs_f64())
}

fn micros(each: Duration) -> String {
    format!("{:.2} µs", each.as_secs_f64() * 1e6)
}

/// Time on a CPU so far. The bench has one thread, and the file covers just that.
fn cpu() -> Duration {
    let text = fs::read_to_string("/proc/self/schedstat").expect("a Linux with schedstat");
    let nanos = text.split(' ').next().and_then(|first| first.parse().ok());
    Duration::from_nanos(nanos.expect("nanoseconds"))
}

/// The most memory the process has had resident so far.
fn peak_octets() -> u64 {
    let text = fs::read_to_string("/proc/self/status").expect("a Linux");
    let line = text.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    let kib = line.and_then(|rest| rest.split_whitespace().next()?.parse::<u64>().ok());
    kib.expect("VmHWM in KiB") * 1024
}

fn name(common_name: &str) -> Name {
    let attributes = [
        (NameAttribute::Organization, "Acme Plant"),
        (NameAttribute::CommonName, common_name),
    ];
    Name::build(&attributes).expect("a name")
}

/// Twenty octets that look random and are positive.
fn octets(number: u64) -> [u8; 20] {
    let mut state = number;
    let mut word = || {
        // splitmix64
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)).to_be_bytes()
    };
    let mut serial = [0; 20];
    serial[..8].copy_from_slice(&word());
    serial[8..16].copy_from_slice(&word());
    serial[16..].copy_from_slice(&word()[..4]);
    serial[0] = serial[0] & 0x3f | 0x40;
    serial
}

fn serial(number: u64) -> Serial {
    Serial::from_random(octets(number))
}
