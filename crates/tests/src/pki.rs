//! A manufacturer, for stories in which devices bring an identity along.

use std::time::SystemTime;

use tenure_x509::{
    CaConstraint, Cert, CertificateSpec, Extensions, KeyKind, KeyPair, KeyUsage, Name,
    NameAttribute, PublicKey, Serial, Time, Validity,
};

/// A manufacturer with a root of its own.
pub struct Maker {
    key: KeyPair,
    root: Cert,
}

pub(crate) fn serial() -> Serial {
    // Serials need only differ, and these keys are random already.
    let key = KeyPair::generate(KeyKind::Ed25519).unwrap();
    let [bytes @ .., _, _, _, _, _, _, _, _, _, _, _, _] = key.public().hash().0;
    Serial::from_random(bytes)
}

/// This moment.
pub fn now() -> Time {
    let since = SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap();
    Time::from_unix(since.as_secs().try_into().unwrap())
}

impl Maker {
    /// A new manufacturer.
    pub fn new(name: &str) -> Maker {
        let key = KeyPair::generate(KeyKind::P256).unwrap();
        let subject = Name::build(&[(NameAttribute::CommonName, name)]).unwrap();
        let extensions = Extensions {
            ca: CaConstraint::Ca { path_len: None },
            key_usage: KeyUsage::KEY_CERT_SIGN,
            subject_key_id: Some(key.public().key_id().to_vec()),
            ..Extensions::default()
        };
        let root = sign(&key, &subject, &subject, key.public(), extensions);
        Maker { key, root }
    }

    /// Its root, PEM.
    pub fn root_pem(&self) -> String {
        self.root.pem()
    }

    /// A device with an identity for life: its certificate and its key.
    pub fn device(&self, serial_number: &str) -> (Cert, KeyPair) {
        let key = KeyPair::generate(KeyKind::P256).unwrap();
        let subject = Name::build(&[(NameAttribute::SerialNumber, serial_number)]).unwrap();
        let extensions = Extensions {
            key_usage: KeyUsage::DIGITAL_SIGNATURE,
            authority_key_id: Some(self.key.public().key_id().to_vec()),
            ..Extensions::default()
        };
        let cert = sign(
            &self.key,
            self.root.subject(),
            &subject,
            key.public(),
            extensions,
        );
        (cert, key)
    }
}

fn sign(
    issuer_key: &KeyPair,
    issuer: &Name,
    subject: &Name,
    public_key: &PublicKey,
    extensions: Extensions,
) -> Cert {
    let spec = CertificateSpec {
        serial: serial(),
        signature: issuer_key.signature_algorithm(),
        issuer: issuer.clone(),
        validity: Validity {
            not_before: now().plus(-3600),
            not_after: Time::NEVER,
        },
        subject: subject.clone(),
        public_key: public_key.clone(),
        extensions,
    };
    let tbs = spec.tbs().unwrap();
    let signature = issuer_key.sign(tbs.as_der()).unwrap();
    Cert::from_der(&tbs.with_signature(&signature)).unwrap()
}
