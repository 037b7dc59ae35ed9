//! Paths: each case is judged by us, by webpki and by OpenSSL, and where these differ it is said
//! why.

mod names;

use std::time::Duration;

use crate::support::{
    Ca, DAY, NOW, days, name, openssl_available, put, root, sign, sign_with, try_run,
};
use tenure_x509::path::{INTERMEDIATES_MAX, OFFERED_MAX, PathFault, Purpose, validate};
use tenure_x509::{
    CaConstraint, Cert, CertificateSpec, Criticality, KeyKind, KeyPair, KeyUsage, Name,
    NameAttribute, ObjectIdentifier, SanName, SignatureAlgorithm, Time, der::Writer, oid,
};

/// A question and its right answer.
struct Case {
    what: &'static str,
    leaf: Cert,
    intermediates: Vec<Cert>,
    anchors: Vec<Cert>,
    at: Time,
    purpose: Purpose,
    expected: Result<usize, (usize, PathFault)>,
    /// Oracles that answer otherwise, and why that is theirs.
    differ: &'static [(Oracle, &'static str)],
}

#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Oracle {
    Webpki,
    OpenSsl,
}

fn judge_by_webpki(case: &Case) -> bool {
    let der = |cert: &Cert| rustls_pki_types::CertificateDer::from(cert.der().to_vec());
    let anchors: Vec<_> = case.anchors.iter().map(der).collect();
    let anchors: Vec<_> = anchors
        .iter()
        .filter_map(|anchor| webpki::anchor_from_trusted_cert(anchor).ok())
        .collect();
    let intermediates: Vec<_> = case.intermediates.iter().map(der).collect();
    let leaf = der(&case.leaf);
    let Ok(leaf) = webpki::EndEntityCert::try_from(&leaf) else {
        return false;
    };
    let usage = match case.purpose {
        Purpose::ServerAuth => webpki::KeyUsage::server_auth(),
        _ => webpki::KeyUsage::client_auth(),
    };
    let at = Duration::from_secs(case.at.unix().unsigned_abs());
    leaf.verify_for_usage(
        webpki::ALL_VERIFICATION_ALGS,
        &anchors,
        &intermediates,
        rustls_pki_types::UnixTime::since_unix_epoch(at),
        usage,
        None,
        None,
    )
    .is_ok()
}

fn judge_by_openssl(case: &Case, dir: &std::path::Path) -> bool {
    let bundle = |certs: &[Cert]| certs.iter().map(Cert::pem).collect::<String>();
    put(dir, "anchors.pem", bundle(&case.anchors));
    // an empty file is an error; the leaf itself is no help to its own path
    let untrusted = bundle(&case.intermediates);
    put(
        dir,
        "untrusted.pem",
        if untrusted.is_empty() {
            case.leaf.pem()
        } else {
            untrusted
        },
    );
    put(dir, "leaf.pem", case.leaf.pem());
    let at = case.at.unix().to_string();
    let purpose = match case.purpose {
        Purpose::ServerAuth => "sslserver",
        _ => "sslclient",
    };
    let args = [
        "verify",
        "-x509_strict",
        "-partial_chain",
        "-purpose",
        purpose,
        "-attime",
        &at,
        "-CAfile",
        "anchors.pem",
        "-untrusted",
        "untrusted.pem",
        "leaf.pem",
    ];
    try_run(dir, "openssl", &args).0
}

fn hold(case: &Case) {
    let found = validate(
        &case.leaf,
        &case.intermediates,
        &case.anchors,
        case.at,
        case.purpose,
    );
    let found = match found {
        Ok(chain) => {
            assert_eq!(chain.leaf(), &case.leaf);
            assert!(case.anchors.contains(chain.anchor()));
            assert_eq!(chain.issuer(), &chain.chain()[1]);
            assert_eq!((chain.at(), chain.purpose()), (case.at, case.purpose));
            Ok(chain.chain().len())
        }
        Err(error) => {
            assert!(!error.to_string().is_empty());
            Err((error.depth, error.fault))
        }
    };
    assert_eq!(found, case.expected, "{}", case.what);
    if !matches!(case.purpose, Purpose::ClientAuth | Purpose::ServerAuth) {
        return;
    }
    let differs = |oracle| case.differ.iter().any(|(other, _)| *other == oracle);
    let right = case.expected.is_ok();
    let webpki = judge_by_webpki(case);
    assert_eq!(
        webpki == right,
        !differs(Oracle::Webpki),
        "{}: webpki says {webpki}",
        case.what
    );
    if openssl_available() {
        let dir = tempfile::tempdir().unwrap();
        let openssl = judge_by_openssl(case, dir.path());
        assert_eq!(
            openssl == right,
            !differs(Oracle::OpenSsl),
            "{}: OpenSSL says {openssl}",
            case.what
        );
    }
}

/// Root, issuing CA and leaf key, from which the cases start.
struct Bench {
    root: Ca,
    issuing: Ca,
    key: KeyPair,
}

impl Bench {
    fn new() -> Self {
        let root = root(KeyKind::P384);
        let issuing = root.sub_ca(KeyKind::P256, "Issuing", Some(0));
        let key = KeyPair::generate(KeyKind::P256).unwrap();
        Self { root, issuing, key }
    }

    fn spec(&self) -> CertificateSpec {
        self.issuing.ldevid(self.key.public(), 9)
    }

    fn leaf(&self) -> Cert {
        sign(&self.spec(), &self.issuing.key)
    }

    fn case(&self, what: &'static str, expected: Result<usize, (usize, PathFault)>) -> Case {
        Case {
            what,
            leaf: self.leaf(),
            intermediates: vec![self.issuing.cert.clone()],
            anchors: vec![self.root.cert.clone()],
            at: NOW,
            purpose: Purpose::ClientAuth,
            expected,
            differ: &[],
        }
    }

    /// As the issuing CA, but with another certificate, made from a changed specification.
    fn issuing_again(
        &self,
        change: impl FnOnce(&mut CertificateSpec),
        more: &[(ObjectIdentifier, Criticality, Vec<u8>)],
    ) -> Cert {
        let mut spec = self
            .root
            .spec(name("Issuing"), self.issuing.key.public(), 3);
        spec.validity = days(20, 1000);
        let authority_key_id = spec.extensions.authority_key_id.take();
        spec.extensions = crate::support::ca_extensions(self.issuing.key.public(), Some(0));
        spec.extensions.authority_key_id = authority_key_id;
        change(&mut spec);
        sign_with(&spec, more, &self.root.key)
    }
}

#[test]
fn right_paths_of_each_kind_of_key_are_found() {
    for kind in KeyKind::ALL {
        if kind == KeyKind::Rsa4096 || kind == KeyKind::Rsa3072 {
            continue; // slow to make, and nothing new
        }
        let root = root(kind);
        let issuing = root.sub_ca(kind, "Issuing", Some(0));
        let key = KeyPair::generate(kind).unwrap();
        let bench = Bench { root, issuing, key };
        hold(&bench.case("three levels", Ok(3)));
        let mut case = bench.case("the issuing CA as anchor, not self-signed", Ok(2));
        case.anchors = vec![bench.issuing.cert.clone()];
        case.intermediates.clear();
        hold(&case);
    }
}

#[test]
fn the_order_and_number_of_intermediates_do_not_matter() {
    let bench = Bench::new();
    let mut case = bench.case("with strangers and the root among the intermediates", Ok(3));
    let stranger = root(KeyKind::P256);
    case.intermediates.insert(0, stranger.cert.clone());
    case.intermediates.insert(0, bench.root.cert.clone());
    case.intermediates.push(bench.leaf());
    case.anchors.insert(0, stranger.cert);
    hold(&case);
}

#[test]
fn signatures_are_checked() {
    let bench = Bench::new();
    let other = KeyPair::generate(KeyKind::P256).unwrap();
    let mut case = bench.case(
        "a leaf signed by someone else",
        Err((0, PathFault::BadSignature)),
    );
    case.leaf = sign(&bench.spec(), &other);
    hold(&case);

    let mut case = bench.case("no issuer at hand", Err((0, PathFault::UnknownIssuer)));
    case.intermediates.clear();
    hold(&case);

    let mut case = bench.case(
        "another root of the same name",
        Err((1, PathFault::BadSignature)),
    );
    case.anchors = vec![root(KeyKind::P384).cert];
    hold(&case);

    let mut case = bench.case(
        "a SHA-1 signature",
        Err((0, PathFault::WeakOrUnknownAlgorithm)),
    );
    let mut spec = bench.spec();
    spec.signature = SignatureAlgorithm::EcdsaSha1;
    case.leaf = sign(&spec, &bench.issuing.key);
    hold(&case);
}

#[test]
fn validity_is_checked_at_the_time_asked_for() {
    let bench = Bench::new();
    let leaf = bench.leaf();
    let validity = leaf.validity();
    for (what, at, expected) in [
        ("the first second", validity.not_before, Ok(3)),
        ("the last second", validity.not_after, Ok(3)),
        (
            "too early",
            validity.not_before.plus(-1),
            Err((0, PathFault::NotYetValid)),
        ),
        (
            "too late",
            validity.not_after.plus(1),
            Err((0, PathFault::Expired)),
        ),
    ] {
        let mut case = bench.case(what, expected);
        case.leaf = leaf.clone();
        case.at = at;
        if at == validity.not_after {
            case.differ = &[(Oracle::OpenSsl, "to it the last second is over")];
        }
        hold(&case);
    }
    // An identity from birth outlives its issuer: judged now it fails, at its beginning it holds.
    let short = bench.issuing_again(|spec| spec.validity = days(20, -1), &[]);
    let mut spec = bench.spec();
    spec.validity = days(10, 0);
    spec.validity.not_after = Time::NEVER;
    let leaf = sign(&spec, &bench.issuing.key);
    let mut case = bench.case("an expired issuer", Err((1, PathFault::Expired)));
    case.intermediates = vec![short];
    case.leaf = leaf.clone();
    hold(&case);
    case.what = "an expired issuer, at the leaf's beginning";
    case.at = leaf.validity().not_before;
    case.expected = Ok(3);
    hold(&case);

    let mut case = bench.case("an expired anchor", Err((2, PathFault::Expired)));
    let mut spec = bench.spec();
    spec.validity = days(1, 5000);
    case.leaf = sign(&spec, &bench.issuing.key);
    case.intermediates = vec![bench.issuing_again(|spec| spec.validity = days(20, 5000), &[])];
    case.at = NOW.plus(4000 * DAY);
    case.differ = &[(Oracle::Webpki, "it takes no validity from anchors")];
    hold(&case);
}

#[test]
fn only_cas_issue() {
    let bench = Bench::new();
    let mut case = bench.case("an issuer that is no CA", Err((1, PathFault::NotCa)));
    case.intermediates =
        vec![bench.issuing_again(|spec| spec.extensions.ca = CaConstraint::NotCa, &[])];
    hold(&case);

    let mut case = bench.case(
        "an issuer without basicConstraints",
        Err((1, PathFault::NotCa)),
    );
    case.intermediates =
        vec![bench.issuing_again(|spec| spec.extensions.ca = CaConstraint::Absent, &[])];
    hold(&case);

    let mut case = bench.case(
        "an issuer that may not sign certificates",
        Err((1, PathFault::WrongKeyUsage)),
    );
    case.intermediates =
        vec![bench.issuing_again(|spec| spec.extensions.key_usage = KeyUsage::CRL_SIGN, &[])];
    case.differ = &[(Oracle::Webpki, "it does not read keyUsage")];
    hold(&case);

    let mut case = bench.case("a CA as a client", Err((0, PathFault::IsCa)));
    case.leaf = bench.issuing.cert.clone();
    hold(&case);
    case.purpose = Purpose::Issuing;
    case.expected = Ok(2);
    hold(&case);
    let mut case = bench.case("a device as an issuer", Err((0, PathFault::NotCa)));
    case.purpose = Purpose::Issuing;
    hold(&case);
}

#[test]
fn path_lengths_are_kept() {
    let bench = Bench::new();
    let below = |above: &Ca, common_name: &str, path_len| {
        above.sub_ca(KeyKind::P256, common_name, path_len)
    };
    let too_deep = below(&bench.issuing, "Too deep", None);
    let mut case = bench.case(
        "a CA below a path length of zero",
        Err((2, PathFault::PathLengthExceeded)),
    );
    case.leaf = sign(&too_deep.ldevid(bench.key.public(), 9), &too_deep.key);
    case.intermediates = vec![too_deep.cert, bench.issuing.cert.clone()];
    hold(&case);

    // INTERMEDIATES_MAX is allowed, one more is not
    let mut cas = vec![below(&bench.root, "CA 0", None)];
    for number in 1..=INTERMEDIATES_MAX {
        let next = below(&cas[number - 1], &format!("CA {number}"), None);
        cas.push(next);
    }
    for (count, expected) in [
        (INTERMEDIATES_MAX, Ok(INTERMEDIATES_MAX + 2)),
        (
            INTERMEDIATES_MAX + 1,
            Err((INTERMEDIATES_MAX, PathFault::TooLong)),
        ),
    ] {
        let last = &cas[count - 1];
        let mut case = bench.case("a long path", expected);
        case.leaf = sign(&last.ldevid(bench.key.public(), 9), &last.key);
        case.intermediates = cas.iter().take(count).map(|ca| ca.cert.clone()).collect();
        case.differ = if expected.is_ok() {
            &[(Oracle::Webpki, "it follows six CAs and no more")]
        } else {
            &[(Oracle::OpenSsl, "it follows longer paths")]
        };
        hold(&case);
    }
}

#[test]
fn purposes_and_key_usage_are_kept() {
    let bench = Bench::new();
    let with = |what, change: fn(&mut CertificateSpec), expected| {
        let mut case = bench.case(what, expected);
        let mut spec = bench.spec();
        change(&mut spec);
        case.leaf = sign(&spec, &bench.issuing.key);
        case
    };
    let wrong = Err((0, PathFault::WrongPurpose));
    hold(&with(
        "a server as a client",
        |spec| spec.extensions.ext_key_usage = vec![oid::SERVER_AUTH],
        wrong,
    ));
    hold(&with(
        "no purposes at all, as in an IDevID",
        |spec| spec.extensions.ext_key_usage.clear(),
        Ok(3),
    ));
    let mut case = with(
        "any purpose",
        |spec| spec.extensions.ext_key_usage = vec![oid::ANY_EXT_KEY_USAGE],
        Ok(3),
    );
    case.differ = &[
        (Oracle::Webpki, "it does not know the wildcard"),
        (Oracle::OpenSsl, "it does not take the wildcard for TLS"),
    ];
    hold(&case);
    case.purpose = Purpose::OcspSigning;
    case.expected = wrong;
    hold(&case);
    case = with(
        "no purposes, as a responder",
        |spec| spec.extensions.ext_key_usage.clear(),
        wrong,
    );
    case.purpose = Purpose::OcspSigning;
    hold(&case);
    case = with(
        "a responder",
        |spec| spec.extensions.ext_key_usage = vec![oid::OCSP_SIGNING],
        Ok(3),
    );
    case.purpose = Purpose::OcspSigning;
    hold(&case);
    case = with(
        "a server",
        |spec| spec.extensions.ext_key_usage = vec![oid::SERVER_AUTH],
        Ok(3),
    );
    case.purpose = Purpose::ServerAuth;
    hold(&case);
    case.purpose = Purpose::Any;
    hold(&case);
    case = with(
        "a client that may only encipher",
        |spec| spec.extensions.key_usage = KeyUsage::DATA_ENCIPHERMENT,
        Err((0, PathFault::WrongKeyUsage)),
    );
    case.differ = &[(Oracle::Webpki, "it does not read keyUsage")];
    hold(&case);

    for (what, purpose, expected) in [
        (
            "a CA for servers, a client below",
            oid::SERVER_AUTH,
            Err((1, PathFault::WrongPurpose)),
        ),
        ("a CA for clients, a client below", oid::CLIENT_AUTH, Ok(3)),
    ] {
        let mut case = bench.case(what, expected);
        case.intermediates =
            vec![bench.issuing_again(|spec| spec.extensions.ext_key_usage = vec![purpose], &[])];
        hold(&case);
    }
}

#[test]
fn extensions_are_understood_or_end_the_path() {
    const UNKNOWN: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.4.1.32473.9");
    let bench = Bench::new();
    let leaf_with = |more: &[(ObjectIdentifier, Criticality, Vec<u8>)]| {
        sign_with(&bench.spec(), more, &bench.issuing.key)
    };
    let mut case = bench.case(
        "an unknown critical extension",
        Err((0, PathFault::UnknownCriticalExtension(UNKNOWN))),
    );
    case.leaf = leaf_with(&[(UNKNOWN, Criticality::Critical, vec![5, 0])]);
    hold(&case);
    case = bench.case("an unknown extension", Ok(3));
    case.leaf = leaf_with(&[(UNKNOWN, Criticality::NonCritical, vec![5, 0])]);
    hold(&case);
    case = bench.case(
        "an unknown critical extension in the CA",
        Err((1, PathFault::UnknownCriticalExtension(UNKNOWN))),
    );
    case.intermediates =
        vec![bench.issuing_again(|_| (), &[(UNKNOWN, Criticality::Critical, vec![5, 0])])];
    hold(&case);

    let require_explicit = vec![0x30, 0x03, 0x80, 0x01, 0x00];
    case = bench.case("a policy required", Err((1, PathFault::PolicyRequired)));
    case.intermediates = vec![bench.issuing_again(
        |_| (),
        &[(
            oid::POLICY_CONSTRAINTS,
            Criticality::Critical,
            require_explicit,
        )],
    )];
    case.differ = &[(Oracle::OpenSsl, "it looks at policies only when told to")];
    hold(&case);

    let again = (oid::KEY_USAGE, Criticality::Critical, vec![3, 2, 7, 0x80]);
    let flaw = tenure_x509::Flaw::RepeatedExtension(oid::KEY_USAGE);
    case = bench.case("an extension twice", Err((0, PathFault::Flawed(flaw))));
    case.leaf = leaf_with(&[again]);
    case.differ = &[(Oracle::OpenSsl, "it rejects only some repeated extensions")];
    case.differ =
        if openssl_available() && judge_by_openssl(&case, tempfile::tempdir().unwrap().path()) {
            case.differ
        } else {
            &[]
        };
    hold(&case);
}

#[test]
fn an_old_root_without_extensions_may_be_an_anchor() {
    use tenure_x509::der::{Reader, Rules};
    let bench = Bench::new();
    // version 1: the same fields without version and extensions
    let mut spec = bench.root.spec(name("Root"), bench.root.key.public(), 1);
    spec.issuer = name("Root");
    spec.validity = days(100, 1000);
    spec.extensions = Default::default();
    let tbs = spec.tbs().unwrap();
    let mut reader = Reader::new(tbs.as_der(), Rules::Der);
    let mut fields = reader.sequence("tbs").unwrap();
    fields.any("version").unwrap();
    let mut writer = Writer::new();
    writer.sequence(|out| out.raw(fields.rest()));
    let tbs = writer.finish();
    let mut writer = Writer::new();
    writer.sequence(|cert| {
        cert.raw(&tbs);
        cert.raw(spec.signature.as_der().unwrap());
        cert.octet_bits(&bench.root.key.sign(&tbs).unwrap());
    });
    let old = Cert::from_der(&writer.finish()).unwrap();
    assert_eq!(old.flaws(), [tenure_x509::Flaw::NotVersion3]);
    let mut case = bench.case("a version 1 root", Ok(3));
    case.anchors = vec![old.clone()];
    case.differ = &[(
        Oracle::OpenSsl,
        "its strict mode wants extensions in a root too",
    )];
    hold(&case);

    let flaw = tenure_x509::Flaw::NotVersion3;
    let mut case = bench.case("a version 1 leaf", Err((0, PathFault::Flawed(flaw))));
    case.leaf = old;
    hold(&case);
}

#[test]
fn loops_and_floods_come_to_an_end() {
    let bench = Bench::new();
    // two CAs that certified each other
    let a = Ca {
        key: KeyPair::generate(KeyKind::P256).unwrap(),
        cert: bench.root.cert.clone(),
    };
    let b = bench.root.sub_ca(KeyKind::P256, "B", None);
    let cross = |subject: &KeyPair, subject_name: &str, issuer: &KeyPair, issuer_name: &str| {
        let mut spec = bench.root.spec(name(subject_name), subject.public(), 4);
        spec.issuer = name(issuer_name);
        spec.signature = issuer.signature_algorithm();
        spec.validity = days(20, 1000);
        spec.extensions = crate::support::ca_extensions(subject.public(), None);
        spec.extensions.authority_key_id = Some(issuer.public().key_id().to_vec());
        sign(&spec, issuer)
    };
    let a_by_b = cross(&a.key, "A", &b.key, "B");
    let b_by_a = cross(&b.key, "B", &a.key, "A");
    let mut spec = b.ldevid(bench.key.public(), 9);
    spec.issuer = name("B");
    let mut case = bench.case("a loop and no anchor", Err((1, PathFault::UnknownIssuer)));
    case.leaf = sign(&spec, &b.key);
    case.intermediates = vec![a_by_b.clone(), b_by_a.clone()];
    let stranger = {
        let mut spec = bench.root.spec(name("Stranger"), bench.key.public(), 1);
        spec.issuer = name("Stranger");
        spec.extensions = crate::support::ca_extensions(bench.key.public(), None);
        spec.signature = bench.key.signature_algorithm();
        sign(&spec, &bench.key)
    };
    case.anchors = vec![stranger];
    case.expected = Err((0, PathFault::UnknownIssuer));
    hold(&case);
    case.what = "a loop and a way out";
    case.intermediates.push(b.cert.clone());
    case.anchors = vec![bench.root.cert.clone()];
    case.expected = Ok(3);
    hold(&case);

    // as many CAs of one name as one may offer, each certified by the next, in all directions
    let keys: Vec<KeyPair> = (0..OFFERED_MAX)
        .map(|_| KeyPair::generate(KeyKind::P256).unwrap())
        .collect();
    let flood: Vec<Cert> = keys
        .iter()
        .zip(keys.iter().cycle().skip(1))
        .map(|(subject, issuer)| cross(subject, "Flood", issuer, "Flood"))
        .collect();
    let mut spec = bench.spec();
    spec.issuer = name("Flood");
    spec.extensions.authority_key_id = None;
    let mut case = bench.case("a flood", Err((1, PathFault::TooManySignatures)));
    case.leaf = sign(&spec, &keys[0]);
    case.intermediates = flood.clone();
    let found = validate(&case.leaf, &flood, &case.anchors, NOW, Purpose::ClientAuth);
    assert!(matches!(
        found.unwrap_err().fault,
        PathFault::TooManySignatures | PathFault::TooLong
    ));
    let mut more = flood;
    more.push(bench.issuing.cert.clone());
    let found = validate(&case.leaf, &more, &case.anchors, NOW, Purpose::ClientAuth);
    assert_eq!(found.unwrap_err().fault, PathFault::TooManyOffered);
}
