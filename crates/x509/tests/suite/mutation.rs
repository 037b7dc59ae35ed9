//! Hostile certificates with good signatures: the signed octets are altered, then signed. Nothing
//! panics, and what we accept webpki accepts too.

use std::sync::LazyLock;
use std::time::Duration;

use proptest::prelude::*;

use crate::support::{Ca, NOW, name, root, sign};
use tenure_x509::der::Writer;
use tenure_x509::lint::{LintProfile, check};
use tenure_x509::path::{Purpose, validate};
use tenure_x509::{Cert, Criticality, Flaw, KeyKind, KeyPair, SanName, Tbs, oid};

struct Bench {
    root: Ca,
    issuing: Ca,
    leaf: Cert,
}

static BENCH: LazyLock<Bench> = LazyLock::new(|| {
    let root = root(KeyKind::P256);
    let issuing = root.sub_ca(KeyKind::P256, "Issuing", Some(0));
    let key = KeyPair::generate(KeyKind::P256).unwrap();
    let mut spec = issuing.ldevid(key.public(), 9);
    spec.subject = name("pump-7");
    spec.extensions
        .san
        .push(SanName::Ip("192.0.2.7".parse().unwrap()));
    let leaf = sign(&spec, &issuing.key);
    Bench {
        root,
        issuing,
        leaf,
    }
});

/// One change of some octets: where (as a share of the whole), how, and with what.
#[derive(Clone, Debug)]
enum Edit {
    Replace(u16, u8),
    Flip(u16, u8),
    Insert(u16, u8),
    Remove(u16),
    Copy(u16, u16, u8),
}

fn edits() -> impl Strategy<Value = Vec<Edit>> {
    let edit = prop_oneof![
        (any::<u16>(), any::<u8>()).prop_map(|(at, octet)| Edit::Replace(at, octet)),
        (any::<u16>(), 0..8u8).prop_map(|(at, bit)| Edit::Flip(at, 1 << bit)),
        (any::<u16>(), any::<u8>()).prop_map(|(at, octet)| Edit::Insert(at, octet)),
        any::<u16>().prop_map(Edit::Remove),
        (any::<u16>(), any::<u16>(), 1..24u8).prop_map(|(from, to, len)| Edit::Copy(from, to, len)),
    ];
    proptest::collection::vec(edit, 1..4)
}

fn apply(octets: &mut Vec<u8>, edits: &[Edit]) {
    for edit in edits {
        let place = |at: &u16| usize::from(*at) * octets.len() / 65_536;
        match edit {
            Edit::Replace(at, octet) => {
                let at = place(at);
                octets[at] = *octet;
            }
            Edit::Flip(at, mask) => {
                let at = place(at);
                octets[at] ^= mask;
            }
            Edit::Insert(at, octet) => {
                let at = place(at);
                octets.insert(at, *octet);
            }
            Edit::Remove(at) => {
                let at = place(at);
                octets.remove(at);
            }
            Edit::Copy(from, to, len) => {
                let (from, to) = (place(from), place(to));
                let end = (from + usize::from(*len)).min(octets.len());
                let copied = octets[from..end].to_vec();
                let end = (to + copied.len()).min(octets.len());
                let fits = end - to;
                octets[to..end].copy_from_slice(&copied[..fits]);
            }
        }
    }
}

/// The altered octets of a certificate, signed again.
fn altered(cert: &Cert, edits: &[Edit], key: &KeyPair) -> Option<Cert> {
    let mut tbs = cert.tbs().to_vec();
    apply(&mut tbs, edits);
    let signature = key.sign(&tbs).unwrap();
    let mut writer = Writer::new();
    writer.sequence(|cert| {
        cert.raw(&tbs);
        cert.raw(key.signature_algorithm().as_der().unwrap());
        cert.octet_bits(&signature);
    });
    Cert::from_der(&writer.finish()).ok()
}

fn judge_by_webpki(leaf: &Cert, intermediate: &Cert, anchor: &Cert) -> Result<(), webpki::Error> {
    let der = |cert: &Cert| rustls_pki_types::CertificateDer::from(cert.der().to_vec());
    let (leaf, intermediate, anchor) = (der(leaf), der(intermediate), der(anchor));
    let anchor = webpki::anchor_from_trusted_cert(&anchor).unwrap();
    let leaf = webpki::EndEntityCert::try_from(&leaf)?;
    leaf.verify_for_usage(
        webpki::ALL_VERIFICATION_ALGS,
        &[anchor],
        &[intermediate],
        rustls_pki_types::UnixTime::since_unix_epoch(Duration::from_secs(
            NOW.unix().unsigned_abs(),
        )),
        webpki::KeyUsage::client_auth(),
        None,
        None,
    )
    .map(|_| ())
}

/// Where webpki is narrower than RFC 5280 or than what the field needs: it reads DER alone, serials
/// of at most 20 octets and times from 1970 on, and knows few extensions that may be critical.
fn webpki_is_narrower(cert: &Cert) -> bool {
    let tolerated = |flaw: &Flaw| {
        matches!(
            flaw,
            Flaw::NotDer | Flaw::SerialNotPositive | Flaw::SerialTooLong
        ) || matches!(flaw, Flaw::TimeForm | Flaw::UniqueIds)
    };
    let known = [
        oid::BASIC_CONSTRAINTS,
        oid::KEY_USAGE,
        oid::EXT_KEY_USAGE,
        oid::SUBJECT_ALT_NAME,
        oid::NAME_CONSTRAINTS,
        oid::CRL_DISTRIBUTION_POINTS,
    ];
    let surprises = |extension: tenure_x509::Extension<'_>| {
        extension.critical == Criticality::Critical && !known.contains(&extension.oid)
    };
    cert.validity().not_before.unix() < 0
        || cert.flaws().iter().any(tolerated)
        || cert.extensions().any(surprises)
}

/// webpki chains names by their octets.
fn octets_chain(leaf: &Cert, issuing: &Cert, anchor: &Cert) -> bool {
    leaf.issuer() == issuing.subject() && issuing.issuer() == anchor.subject()
}

proptest! {
    #[test]
    fn an_altered_leaf(edits in edits()) {
        let bench = &*BENCH;
        if let Some(leaf) = altered(&bench.leaf, &edits, &bench.issuing.key) {
            judge(&leaf, &bench.issuing.cert);
        }
    }

    #[test]
    fn an_altered_issuer(edits in edits()) {
        let bench = &*BENCH;
        if let Some(issuing) = altered(&bench.issuing.cert, &edits, &bench.root.key) {
            judge(&bench.leaf, &issuing);
        }
    }
}

fn judge(leaf: &Cert, issuing: &Cert) {
    let anchor = &BENCH.root.cert;
    let _ = format!("{leaf:?} {:?} {:?}", leaf.flaws(), leaf.san());
    if let Ok(tbs) = Tbs::from_der(leaf.tbs()) {
        let _ = check(tbs, LintProfile::LDevId, Some(issuing));
    }
    let found = validate(
        leaf,
        std::slice::from_ref(issuing),
        std::slice::from_ref(anchor),
        NOW,
        Purpose::ClientAuth,
    );
    let narrower = webpki_is_narrower(leaf)
        || webpki_is_narrower(issuing)
        || !octets_chain(leaf, issuing, anchor);
    if found.is_ok() && !narrower {
        let webpki = judge_by_webpki(leaf, issuing, anchor);
        let shown = || leaf.pem() + &issuing.pem();
        assert_eq!(
            webpki,
            Ok(()),
            "we accept and webpki does not:\n{}",
            shown()
        );
    }
}
