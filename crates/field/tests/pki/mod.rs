//! A small PKI for tests: roots, issuing CAs, and certificates below them.
#![allow(dead_code)] // each test program uses its own part

use std::time::SystemTime;

use tenure_field::http::Identity;
use tenure_x509::{
    CaConstraint, Cert, CertificateSpec, Extensions, KeyKind, KeyPair, KeyUsage, Name,
    NameAttribute, ObjectIdentifier, PublicKey, SanName, Serial, Time, Validity,
};

pub const SERVER_AUTH: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.1");
pub const CLIENT_AUTH: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.6.1.5.5.7.3.2");
pub const DAY: i64 = 86_400;

pub struct Ca {
    pub key: KeyPair,
    pub cert: Cert,
}

pub fn now() -> Time {
    let since = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap();
    Time::from_unix(since.as_secs().try_into().unwrap())
}

/// From an hour ago to some days from now.
pub fn days(days: i64) -> Validity {
    Validity {
        not_before: now().plus(-3600),
        not_after: now().plus(days * DAY),
    }
}

pub fn name(text: &str) -> Name {
    Name::build(&[(NameAttribute::CommonName, text)]).unwrap()
}

pub fn key() -> KeyPair {
    KeyPair::generate(KeyKind::P256).unwrap()
}

fn serial() -> Serial {
    let mut random = [0; 20];
    aws_lc_rs::rand::fill(&mut random).unwrap();
    Serial::from_random(random)
}

impl Ca {
    pub fn root(text: &str) -> Ca {
        let key = key();
        let cert = sign(
            &key,
            &name(text),
            None,
            &name(text),
            key.public(),
            ca_extensions(&key),
            days(3650),
        );
        Ca { key, cert }
    }

    pub fn issuing(&self, text: &str) -> Ca {
        let key = key();
        let cert = self.sign(&name(text), key.public(), ca_extensions(&key), days(1000));
        Ca { key, cert }
    }

    pub fn sign(
        &self,
        subject: &Name,
        public: &PublicKey,
        extensions: Extensions,
        validity: Validity,
    ) -> Cert {
        let key_id = self.cert.subject_key_id().map(<[u8]>::to_vec);
        sign(
            &self.key,
            self.cert.subject(),
            key_id,
            subject,
            public,
            extensions,
            validity,
        )
    }

    /// A server for localhost and both loopback addresses; presents the whole chain with the root.
    pub fn server(&self, root: &Ca) -> Identity {
        let key = key();
        let san = vec![
            SanName::Dns("localhost".into()),
            SanName::Ip("127.0.0.1".parse().unwrap()),
            SanName::Ip("::1".parse().unwrap()),
        ];
        let cert = self.sign(
            &name("server"),
            key.public(),
            leaf(SERVER_AUTH, san),
            days(30),
        );
        identity(&key, &[&cert, &self.cert, &root.cert])
    }

    /// A device's certificate with its issuer.
    pub fn device(&self, id: &str, validity: Validity) -> Identity {
        let key = key();
        let cert = self.sign(
            &name(id),
            key.public(),
            leaf(CLIENT_AUTH, Vec::new()),
            validity,
        );
        identity(&key, &[&cert, &self.cert])
    }
}

pub fn leaf(usage: ObjectIdentifier, san: Vec<SanName>) -> Extensions {
    Extensions {
        ca: CaConstraint::NotCa,
        key_usage: KeyUsage::DIGITAL_SIGNATURE,
        ext_key_usage: vec![usage],
        san,
        ..Extensions::default()
    }
}

fn ca_extensions(key: &KeyPair) -> Extensions {
    Extensions {
        ca: CaConstraint::Ca { path_len: None },
        key_usage: KeyUsage::KEY_CERT_SIGN | KeyUsage::CRL_SIGN,
        subject_key_id: Some(key.public().key_id().to_vec()),
        ..Extensions::default()
    }
}

pub fn identity(key: &KeyPair, chain: &[&Cert]) -> Identity {
    Identity {
        chain: chain.iter().map(|cert| cert.der().to_vec()).collect(),
        key: key.to_pkcs8().unwrap(),
    }
}

fn sign(
    signer: &KeyPair,
    issuer: &Name,
    authority_key_id: Option<Vec<u8>>,
    subject: &Name,
    public: &PublicKey,
    extensions: Extensions,
    validity: Validity,
) -> Cert {
    let spec = CertificateSpec {
        serial: serial(),
        signature: signer.signature_algorithm(),
        issuer: issuer.clone(),
        validity,
        subject: subject.clone(),
        public_key: public.clone(),
        extensions: Extensions {
            authority_key_id,
            ..extensions
        },
    };
    let tbs = spec.tbs().unwrap();
    let signature = signer.sign(tbs.as_der()).unwrap();
    Cert::from_der(&tbs.with_signature(&signature)).unwrap()
}
