//! A small house: one issuing CA, the default policy, devices with keys.

use std::sync::Arc;

use tenure_domain::ask::{Presented, Protocol, Via};
use tenure_domain::certificate::{CertificateRow, Standstill, Status};
use tenure_domain::device::{Criticality, Device};
use tenure_domain::draft::CHANCE_BYTES;
use tenure_domain::evidence::{CurrentProof, SecretRow};
use tenure_domain::facts::Subject;
use tenure_domain::issuer::{Issuer, IssuerKind, IssuerState};
use tenure_domain::policy::document;
use tenure_domain::registry::Class;
use tenure_domain::{
    Ask, CertificateNo, Decision, DeviceNo, Evidence, Facts, IssuerNo, Operation, Policy, SecretNo,
    Standing, TenantId,
};
use tenure_x509::{
    CaConstraint, Cert, CertificateSpec, Csr, Extensions, KeyKind, KeyPair, KeyUsage, Name,
    NameAttribute, SanName, Serial, Time, Validity,
};

pub const NOW: Time = Time::from_unix(1_795_000_000);
pub const DAY: i64 = 86_400;

pub fn key() -> KeyPair {
    KeyPair::generate(KeyKind::P256).unwrap()
}

pub fn csr(key: &KeyPair) -> Csr {
    csr_naming(key, &Name::empty(), &[])
}

pub fn csr_naming(key: &KeyPair, subject: &Name, san: &[SanName]) -> Csr {
    Csr::from_der(&Csr::build(key, subject, san).unwrap()).unwrap()
}

pub struct House {
    pub policy: Policy,
    pub issuer: Arc<Issuer>,
    pub signer: KeyPair,
}

impl House {
    pub fn new() -> House {
        House::with(document::DEFAULT_DOCUMENT, NOW.plus(3650 * DAY))
    }

    /// A house with another policy, whose issuer ends at `ends`.
    pub fn with(document: &str, ends: Time) -> House {
        let signer = key();
        let policy = document::parse(document, 1).unwrap_or_else(|error| panic!("{error}"));
        let issuer = Arc::new(issuer("issuing-1", &signer, ends));
        House {
            policy,
            issuer,
            signer,
        }
    }

    /// The facts about a device that proved this.
    pub fn facts(&self, subject: Subject, evidence: Evidence) -> Facts {
        Facts {
            evidence: vec![evidence],
            subject: Some(subject),
            issuers: Arc::new(vec![Arc::clone(&self.issuer)]),
            ..Facts::default()
        }
    }

    /// Makes the certificate that a decision allows, through draft and lint.
    pub fn issue(&self, decision: Decision, csr: &Csr, no: i64) -> (Cert, CertificateRow) {
        let Decision::Allow(grant) = decision else {
            panic!("not allowed: {decision:?}")
        };
        let mut chance = [7; CHANCE_BYTES];
        chance[..8].copy_from_slice(&no.to_be_bytes());
        let predecessor = grant.predecessor().cloned();
        let device = Arc::clone(grant.device());
        let profile = grant.profile().name.clone();
        let draft = grant
            .draft(csr, chance)
            .unwrap_or_else(|error| panic!("{error}"));
        let signature = self.signer.sign(draft.tbs().as_der()).unwrap();
        let certificate = draft.with_signature(&signature).unwrap();
        certificate.verify_signed_by(self.signer.public()).unwrap();
        let row = CertificateRow {
            no: CertificateNo(no),
            tenant: TenantId::DEFAULT,
            serial: certificate.serial().clone(),
            issuer: self.issuer.no,
            issuer_name: self.issuer.name.clone(),
            device: device.no,
            device_id: device.id.clone(),
            profile,
            validity: certificate.validity(),
            key: csr.public_key().hash(),
            status: Status::Issued,
            revocation: None,
            predecessor: predecessor.as_ref().map(|row| row.no),
            predecessor_serial: predecessor.map(|row| row.serial),
            shard: draft.shard(),
            first_used: None,
            standstill: Standstill::None,
            issued: NOW,
        };
        (certificate, row)
    }

    /// A device that enrolled with a secret, its certificate and its key.
    pub fn enrolled(&self) -> (Subject, Cert, KeyPair) {
        let key = key();
        let ask = ask(Operation::Enroll, csr(&key));
        let facts = self.facts(subject(device("pump-17")), secret(&ask));
        let decision = tenure_domain::policy::decide(&self.policy, &ask, &facts, NOW);
        let (certificate, row) = self.issue(decision, &ask.csr, 1);
        let mut holder = subject(device("pump-17"));
        holder.device.standing = Standing::Enrolled;
        holder.head = Some(row);
        (holder, certificate, key)
    }
}

/// A self-signed CA that may sign devices; enough for a decision and a draft.
pub fn issuer(name: &str, key: &KeyPair, ends: Time) -> Issuer {
    let subject = Name::build(&[(NameAttribute::CommonName, name)]).unwrap();
    let spec = CertificateSpec {
        serial: Serial::from_random([9; 20]),
        signature: key.signature_algorithm(),
        issuer: subject.clone(),
        validity: Validity {
            not_before: NOW.plus(-3650 * DAY),
            not_after: ends,
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
    let tbs = spec.tbs().unwrap();
    let signature = key.sign(tbs.as_der()).unwrap();
    Issuer {
        no: IssuerNo(1),
        tenant: TenantId::DEFAULT,
        name: name.parse().unwrap(),
        kind: IssuerKind::Issuing,
        state: IssuerState::Active,
        since: NOW.plus(-3650 * DAY),
        replaces: None,
        certificate: Cert::from_der(&tbs.with_signature(&signature)).unwrap(),
        chain: Vec::new(),
        cross: Vec::new(),
        key: name.to_owned(),
        algorithm: key.signature_algorithm(),
        shards: 4,
        base_url: "http://status.example".to_owned(),
        base_urls: vec!["http://status.example".to_owned()],
    }
}

pub fn device(id: &str) -> Device {
    Device {
        no: DeviceNo(17),
        tenant: TenantId::DEFAULT,
        id: id.parse().unwrap(),
        manufacturer: "Acme".to_owned(),
        model: "P1".to_owned(),
        serial: "SN-17".to_owned(),
        class: "pump".parse().unwrap(),
        site: "Hall 3".parse().unwrap(),
        owner: "Hydraulics".parse().unwrap(),
        services: vec!["broker".parse().unwrap()],
        criticality: Criticality::High,
        standing: Standing::Expected,
        version: 1,
        created: NOW,
        updated: NOW,
    }
}

pub fn subject(device: Device) -> Subject {
    let class = Class::new(device.class.clone(), "device".parse().unwrap());
    Subject {
        device,
        class: Arc::new(class),
        around: Vec::new(),
        head: None,
        forgiven: 0,
    }
}

pub fn ask(operation: Operation, csr: Csr) -> Ask {
    Ask {
        tenant: TenantId::DEFAULT,
        via: Via {
            protocol: Protocol::Est,
            label: None,
            source: None,
        },
        operation,
        csr,
        presented: Presented::default(),
    }
}

pub fn labelled(mut ask: Ask, label: &str) -> Ask {
    ask.via.label = Some(label.parse().unwrap());
    ask
}

/// The device's one-time secret, presented for the ask's key.
pub fn secret(ask: &Ask) -> Evidence {
    secret_spent(ask, None)
}

/// The same, perhaps spent before.
pub fn secret_spent(ask: &Ask, spent: Option<Time>) -> Evidence {
    let row = SecretRow {
        no: SecretNo(5),
        device: DeviceNo(17),
        hash: [1; 32],
        salt: [2; 16],
        expires: NOW.plus(DAY),
        bound_to: None,
        spent,
        failures: 0,
        locked_until: None,
    };
    Evidence::Secret(
        row.judge(&[1; 32], ask.csr.public_key().hash(), NOW)
            .unwrap(),
    )
}

/// The device's own certificate, presented.
pub fn current(certificate: &Cert, row: &CertificateRow) -> Evidence {
    let proof = CurrentProof::new(certificate, row.clone(), certificate.der());
    Evidence::Current(proof.unwrap())
}
