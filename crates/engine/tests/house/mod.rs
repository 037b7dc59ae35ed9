//! A founded house in a temporary directory, with a clock that stands still until it is moved.
#![allow(dead_code, unused_imports)] // Each test binary uses its own part of it.

mod outside;

use std::sync::Arc;

use tenure_domain::ask::{Ask, Operation, Presented, PresentedSecret, Protocol, Via};
use tenure_domain::canary::{Canary, ProbeScope};
use tenure_domain::change::{Change, Edit};
use tenure_domain::device::{Criticality, DeviceSpec};
use tenure_domain::incident::{Incident, IncidentKind, IncidentState};
use tenure_domain::operator::{Actor, Role};
use tenure_domain::registry::{Class, Owner, Service, Site};
use tenure_domain::{IncidentNo, OperatorNo, TenantId};
use tenure_engine::ceremony::{self, Founding, FoundingKeys};
use tenure_engine::signer::{Doors, Key};
use tenure_engine::store::certificate::Certificate;
use tenure_engine::store::device;
use tenure_engine::store::incident::{self, NewIncident};
use tenure_engine::store::{Create, OperationId, Options, Store, StoreError, event};
use tenure_engine::{Answer, Changed, Clock, Engine, Rejection};
use tenure_x509::{Cert, Csr, KeyKind, KeyPair, Name, SanName, Time};

pub use outside::{outsider, published};

pub const START: Time = Time::from_unix(1_790_000_000);

pub struct House {
    pub directory: tempfile::TempDir,
    pub engine: Engine,
    pub clock: Clock,
    pub root: Cert,
    pub admin: Actor,
}

pub fn key(name: &str, doors: Doors, kind: KeyKind) -> Key {
    Key::in_memory(name, doors, KeyPair::generate(kind).unwrap())
}

fn keys(kind: KeyKind) -> FoundingKeys {
    FoundingKeys {
        root: key(ceremony::ROOT, Doors::ISSUER, kind),
        issuing: key(ceremony::ISSUING, Doors::ISSUER, kind),
        responder: key("ocsp-issuing-1", Doors::RESPONDER, KeyKind::P256),
        log: key("log", Doors::LOG, KeyKind::Ed25519),
        server: key(ceremony::SERVER, Doors::TLS, KeyKind::P256),
    }
}

/// The public half of one of the house's keys.
pub fn key_of(house: &House, name: &str) -> tenure_x509::PublicKey {
    house.engine.key(name).unwrap().public().clone()
}

impl House {
    pub async fn found() -> House {
        House::found_with(KeyKind::P256).await
    }

    pub async fn found_with(kind: KeyKind) -> House {
        House::found_on(keys(kind)).await
    }

    pub async fn found_on(keys: FoundingKeys) -> House {
        House::found_in(keys, Options::default()).await
    }

    /// With room for so many pages of 4 KiB.
    pub async fn found_small(pages: u32) -> House {
        let options = Options {
            page_limit: Some(pages),
            ..Options::default()
        };
        House::found_in(keys(KeyKind::P256), options).await
    }

    async fn found_in(keys: FoundingKeys, options: Options) -> House {
        let directory = tempfile::tempdir().unwrap();
        let clock = Clock::standing(START);
        let store = Store::open(
            directory.path(),
            Options {
                create: Create::IfMissing,
                ..options
            },
        )
        .unwrap();
        let founding = Founding {
            name: "Acme Plant".parse().unwrap(),
            public_url: "http://127.0.0.1:8080".to_owned(),
            hosts: vec![SanName::Dns("localhost".to_owned())],
            policy: tenure_domain::policy::document::DEFAULT_DOCUMENT.to_owned(),
            shards: 4,
        };
        let founded = ceremony::found(store, directory.path(), clock.clone(), keys, founding)
            .await
            .unwrap();
        let admin = Actor::Operator {
            name: "admin".to_owned(),
            no: OperatorNo(1),
            role: Role::Admin,
        };
        let house = House {
            directory,
            engine: founded.engine,
            clock,
            root: founded.root,
            admin,
        };
        house.furnish().await;
        house
    }

    async fn furnish(&self) {
        let owner = Owner {
            name: "Hydraulics".parse().unwrap(),
            contact: "h@acme.example".into(),
        };
        self.change(Change::PutOwner(Edit::new(owner)))
            .await
            .unwrap();
        let site = Site {
            name: "Hall 3".parse().unwrap(),
            parent: None,
        };
        self.change(Change::PutSite(Edit::new(site))).await.unwrap();
        let service = Service {
            name: "broker".parse().unwrap(),
            address: String::new(),
        };
        self.change(Change::PutService(Edit::new(service)))
            .await
            .unwrap();
        let class = Class::new("pump".parse().unwrap(), "device".parse().unwrap());
        self.change(Change::PutClass(Edit::new(class)))
            .await
            .unwrap();
    }

    pub async fn change(&self, change: Change) -> Result<Changed, Rejection> {
        self.engine.change(&self.admin, change).await
    }

    pub async fn device(&self, id: &str) {
        let spec = DeviceSpec {
            id: id.parse().unwrap(),
            manufacturer: "Acme".into(),
            model: "P1".into(),
            serial: format!("SN-{id}"),
            class: "pump".parse().unwrap(),
            site: "Hall 3".parse().unwrap(),
            owner: "Hydraulics".parse().unwrap(),
            services: vec!["broker".parse().unwrap()],
            criticality: Criticality::Medium,
        };
        self.change(Change::AddDevice(spec)).await.unwrap();
    }

    pub fn spec(&self, id: &str) -> DeviceSpec {
        let (store, id) = (self.engine.store(), id.parse().unwrap());
        let found = store.glance(|tx| device::by_id(tx, TenantId::DEFAULT, &id));
        device::spec(&found.unwrap().unwrap())
    }

    /// Where people may be hurt, a person looks first.
    pub async fn make_safety(&self, id: &str) {
        let from = self.spec(id);
        let edit = Edit {
            to: DeviceSpec {
                criticality: Criticality::Safety,
                ..from.clone()
            },
            from: Some(from),
        };
        let change = Change::EditDevice(Box::new(edit));
        self.change(change).await.unwrap();
    }

    pub async fn secret(&self, id: &str) -> String {
        let change = Change::NewSecret {
            device: id.parse().unwrap(),
            life_s: 86_400,
        };
        match self.change(change).await.unwrap() {
            Changed::Secret(secret) => secret.secret,
            other => panic!("{other:?}"),
        }
    }

    pub fn pass(&self, seconds: i64) {
        self.clock.move_to(self.clock.now().plus(seconds));
    }

    pub async fn enroll(&self, id: &str, secret: &str, key: &KeyPair) -> Result<Answer, Rejection> {
        self.engine.enroll(first_ask(id, secret, key)).await
    }

    pub async fn renew(&self, current: &Cert, key: &KeyPair) -> Result<Answer, Rejection> {
        self.engine.enroll(renewal(current, key)).await
    }

    /// A certificate in the name of our issuer, which our issuer did not sign.
    pub async fn look_alike(&self) -> Cert {
        let issuer = "issuing-1".parse().unwrap();
        let made = self.engine.make_canaries(&issuer, ProbeScope::Matrix).await;
        let made = made.unwrap();
        let alike = made.iter().find(|made| made.canary == Canary::LookAlike);
        Cert::from_der(&alike.unwrap().chain[0]).unwrap()
    }

    /// Opens incidents about such certificates until there is room for no more.
    pub async fn fill_with_look_alikes(&self) {
        let now = self.clock.now();
        let filled =
            self.engine
                .store()
                .record::<_, StoreError, _>(OperationId([1; 16]), move |tx| {
                    for no in 0..incident::NOT_OURS_MAX {
                        let new = NewIncident::not_ours(&format!("{no:040x}"), "presented");
                        incident::open(tx, &new, &Actor::Anonymous, now)?;
                    }
                    Ok(())
                });
        filled.await.unwrap();
    }

    /// Decides an incident, which keeps nothing.
    pub async fn decide(&self, incident: IncidentNo) {
        let decided = Change::ResolveIncident {
            incident,
            keep: None,
            why: "a test".into(),
        };
        self.change(decided).await.unwrap();
    }

    /// The open incidents about such certificates.
    pub fn look_alikes(&self) -> Vec<Incident> {
        let (fleet, open) = (TenantId::DEFAULT, Some(IncidentState::Open));
        let open = self
            .engine
            .store()
            .glance(|tx| incident::list(tx, fleet, open, None, 2_000));
        let mut open = open.unwrap();
        open.retain(|incident| incident.kind == IncidentKind::NotOurs);
        open
    }

    /// The leaves of the events of this kind, newest first.
    pub fn leaves(&self, kind: &str) -> Vec<String> {
        let events = self
            .engine
            .store()
            .glance(|tx| event::before(tx, None, 10_000));
        let events = events
            .unwrap()
            .into_iter()
            .filter(|event| event.kind == kind);
        events
            .map(|event| String::from_utf8(event.leaf).unwrap())
            .collect()
    }

    /// A registered device with its first certificate.
    pub async fn enrolled(&self, id: &str) -> Arc<Certificate> {
        self.device(id).await;
        let secret = self.secret(id).await;
        issued(self.enroll(id, &secret, &pair()).await)
    }
}

pub fn pair() -> KeyPair {
    KeyPair::generate(KeyKind::P256).unwrap()
}

/// Asks for a first certificate with a one-time secret.
pub fn first_ask(id: &str, secret: &str, key: &KeyPair) -> Ask {
    let secret = PresentedSecret {
        device: id.parse().unwrap(),
        secret: secret.to_owned(),
    };
    let presented = Presented {
        secret: Some(secret),
        ..Presented::default()
    };
    ask(Operation::Enroll, key, presented)
}

/// Asks for a successor of `current`.
pub fn renewal(current: &Cert, key: &KeyPair) -> Ask {
    let presented = Presented {
        chain: vec![current.clone()],
        ..Presented::default()
    };
    ask(Operation::Renew, key, presented)
}

pub fn ask(operation: Operation, key: &KeyPair, presented: Presented) -> Ask {
    let der = Csr::build(key, &Name::build(&[]).unwrap(), &[]).unwrap();
    Ask {
        tenant: TenantId::DEFAULT,
        via: Via {
            protocol: Protocol::Est,
            label: None,
            source: None,
        },
        operation,
        csr: Csr::from_der(&der).unwrap(),
        presented,
    }
}

pub fn issued(answer: Result<Answer, Rejection>) -> Arc<Certificate> {
    match answer {
        Ok(Answer::Issued(certificate)) => certificate,
        other => panic!("expected a certificate, got {other:?}"),
    }
}

pub fn refusal(answer: Result<Answer, Rejection>) -> tenure_domain::Refusal {
    match answer {
        Err(Rejection::Refusal(refusal)) => refusal,
        other => panic!("expected a refusal, got {other:?}"),
    }
}
