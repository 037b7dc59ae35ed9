//! Making certificates for the tests, and running OpenSSL on them.

use std::path::Path;
use std::process::{Command, Stdio};

use tenure_x509::{
    CaConstraint, Cert, CertificateSpec, Criticality, Extensions, KeyKind, KeyPair, KeyUsage, Name,
    NameAttribute, PublicKey, Serial, Time, Validity, oid,
};

/// 2026-11-22T00:00:00Z.
pub const NOW: Time = Time::from_unix(1_795_305_600);
pub const DAY: i64 = 86_400;

/// A CA made for a test.
pub struct Ca {
    pub key: KeyPair,
    pub cert: Cert,
}

pub fn name(common_name: &str) -> Name {
    Name::build(&[
        (NameAttribute::Organization, "Acme Plant"),
        (NameAttribute::CommonName, common_name),
    ])
    .unwrap()
}

pub fn serial(tail: u8) -> Serial {
    let mut random = [0x5a; 20];
    random[19] = tail;
    Serial::from_random(random)
}

pub fn days(before: i64, after: i64) -> Validity {
    Validity {
        not_before: NOW.plus(-before * DAY),
        not_after: NOW.plus(after * DAY - 1),
    }
}

pub fn ca_extensions(public: &PublicKey, path_len: Option<u8>) -> Extensions {
    Extensions {
        ca: CaConstraint::Ca { path_len },
        key_usage: KeyUsage::KEY_CERT_SIGN | KeyUsage::CRL_SIGN,
        subject_key_id: Some(public.key_id().to_vec()),
        ..Extensions::default()
    }
}

pub fn root(kind: KeyKind) -> Ca {
    let key = KeyPair::generate(kind).unwrap();
    let spec = CertificateSpec {
        serial: serial(1),
        signature: key.signature_algorithm(),
        issuer: name("Root"),
        validity: days(30, 3650),
        subject: name("Root"),
        public_key: key.public().clone(),
        extensions: ca_extensions(key.public(), None),
    };
    let cert = sign(&spec, &key);
    Ca { key, cert }
}

impl Ca {
    /// What a certificate under this CA starts from.
    pub fn spec(&self, subject: Name, public_key: &PublicKey, tail: u8) -> CertificateSpec {
        CertificateSpec {
            serial: serial(tail),
            signature: self.key.signature_algorithm(),
            issuer: self.cert.subject().clone(),
            validity: days(1, 90),
            subject,
            public_key: public_key.clone(),
            extensions: Extensions {
                authority_key_id: self.cert.subject_key_id().map(<[u8]>::to_vec),
                ..Extensions::default()
            },
        }
    }

    /// A device certificate, as an LDevID is.
    pub fn ldevid(&self, public_key: &PublicKey, tail: u8) -> CertificateSpec {
        let mut spec = self.spec(name("pump-7"), public_key, tail);
        spec.extensions.ca = CaConstraint::NotCa;
        spec.extensions.key_usage = KeyUsage::DIGITAL_SIGNATURE;
        spec.extensions.ext_key_usage = vec![oid::CLIENT_AUTH];
        spec.extensions.subject_key_id = Some(public_key.key_id().to_vec());
        spec.extensions.san = vec![tenure_x509::SanName::Dns("pump-7.plant.example".into())];
        spec.extensions.crl_urls = vec!["http://pki.example/crl/issuing/3.crl".into()];
        spec.extensions.ocsp_urls = vec!["http://pki.example/ocsp".into()];
        spec.extensions.ca_issuer_urls = vec!["http://pki.example/ca/issuing.cer".into()];
        spec
    }

    pub fn sub_ca(&self, kind: KeyKind, common_name: &str, path_len: Option<u8>) -> Ca {
        let key = KeyPair::generate(kind).unwrap();
        let mut spec = self.spec(name(common_name), key.public(), 2);
        spec.validity = days(20, 1000);
        let authority_key_id = spec.extensions.authority_key_id.take();
        spec.extensions = ca_extensions(key.public(), path_len);
        spec.extensions.authority_key_id = authority_key_id;
        let cert = sign(&spec, &self.key);
        Ca { key, cert }
    }
}

/// Signs a specification, without lint: the tests make wrong ones on purpose.
pub fn sign(spec: &CertificateSpec, key: &KeyPair) -> Cert {
    let tbs = spec.tbs().unwrap();
    let signature = key.sign(tbs.as_der()).unwrap();
    Cert::from_der(&tbs.with_signature(&signature)).unwrap()
}

/// Whether an external program can be run; says so if not, and fails where it must be there.
pub fn available(program: &str, probe: &[&str]) -> bool {
    let found = Command::new(program)
        .args(probe)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok();
    if !found {
        let required = std::env::var("TENURE_REQUIRE_INTEROP").is_ok_and(|value| value == "1");
        assert!(
            !required,
            "{program} not found, and TENURE_REQUIRE_INTEROP=1"
        );
        eprintln!("skipped: {program} not found");
    }
    found
}

pub fn openssl_available() -> bool {
    available("openssl", &["version"])
}

/// Runs a program in `dir`; stdout and stderr together, or a panic that shows them.
pub fn run(dir: &Path, program: &str, args: &[&str]) -> String {
    let (success, text) = try_run(dir, program, args);
    assert!(success, "{program} {args:?} failed:\n{text}");
    text
}

pub fn try_run(dir: &Path, program: &str, args: &[&str]) -> (bool, String) {
    let output = Command::new(program)
        .args(args)
        .current_dir(dir)
        .stdin(Stdio::null())
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&output.stdout).into_owned()
        + &String::from_utf8_lossy(&output.stderr);
    (output.status.success(), text)
}

/// Writes a file into a test's directory.
pub fn put(dir: &Path, file: &str, contents: impl AsRef<[u8]>) {
    std::fs::write(dir.join(file), contents).unwrap();
}

/// Signs a specification with more extensions than it can say: type, whether critical, value.
pub fn sign_with(
    spec: &CertificateSpec,
    more: &[(tenure_x509::ObjectIdentifier, Criticality, Vec<u8>)],
    key: &KeyPair,
) -> Cert {
    use tenure_x509::der::{Reader, Rules, Writer, tag};
    let tbs = spec.tbs().unwrap();
    let mut reader = Reader::new(tbs.as_der(), Rules::Der);
    let mut fields = reader.sequence("tbs").unwrap();
    let mut writer = Writer::new();
    writer.sequence(|out| {
        while !fields.is_empty() {
            let field = fields.any("field").unwrap();
            if field.tag != tag::context_constructed(3) {
                out.raw(field.raw);
                continue;
            }
            let list = field.reader().sequence("list").unwrap();
            out.nest(field.tag, |explicit| {
                explicit.sequence(|extensions| {
                    extensions.raw(list.rest());
                    for (oid, critical, value) in more {
                        extensions.sequence(|extension| {
                            extension.oid(oid);
                            if *critical == Criticality::Critical {
                                extension.boolean_true();
                            }
                            extension.octet_string(value);
                        });
                    }
                });
            });
        }
    });
    let tbs = writer.finish();
    let signature = key.sign(&tbs).unwrap();
    let mut writer = Writer::new();
    writer.sequence(|cert| {
        cert.raw(&tbs);
        cert.raw(spec.signature.as_der().unwrap());
        cert.octet_bits(&signature);
    });
    Cert::from_der(&writer.finish()).unwrap()
}
