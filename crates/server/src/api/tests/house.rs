//! A founded house behind its operator router, called without a network.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use http_body_util::BodyExt;
use hyper::service::Service;
use hyper::{Request, StatusCode};
use hyper_util::service::TowerToHyperService;
use serde_json::{Value, json};
use tenure_domain::TenantId;
use tenure_domain::ask::{Ask, Operation, Presented, PresentedSecret, Protocol, Via};
use tenure_domain::operator::Role;
use tenure_engine::ceremony::{self, Founding, FoundingKeys};
use tenure_engine::feed::FEED_KEY;
use tenure_engine::signer::{Doors, Key};
use tenure_engine::store::certificate::Certificate;
use tenure_engine::store::{Create, Options, Store};
use tenure_engine::{Answer, Clock, Engine, Rejection};
use tenure_x509::{Cert, Csr, KeyKind, KeyPair, Name, SanName, Time};

use crate::api::{Desk, router};
use crate::listen::Listener;
use crate::metrics::Metrics;
use crate::peer::{Peer, RequestId};

pub struct House {
    pub engine: Engine,
    pub clock: Clock,
    pub admin: String,
    router: TowerToHyperService<axum::Router>,
    _directory: tempfile::TempDir,
}

/// An answer: its status, its body as JSON (or as a JSON text), its headers.
pub struct Reply {
    pub status: StatusCode,
    pub body: Value,
    pub headers: hyper::HeaderMap,
}

impl Reply {
    pub fn ok(self) -> Value {
        assert!(self.status.is_success(), "{}: {}", self.status, self.body);
        self.body
    }

    pub fn word(&self) -> &str {
        let kind = self.body["type"].as_str().unwrap_or_default();
        kind.rsplit(':').next().unwrap_or_default()
    }
}

fn key(name: &str, doors: Doors, kind: KeyKind) -> Key {
    Key::in_memory(name, doors, KeyPair::generate(kind).unwrap())
}

impl House {
    pub async fn found() -> House {
        let directory = tempfile::tempdir().unwrap();
        let clock = Clock::standing(Time::from_unix(1_790_000_000));
        let options = Options {
            create: Create::IfMissing,
            ..Options::default()
        };
        let store = Store::open(directory.path(), options).unwrap();
        let keys = FoundingKeys {
            root: key(ceremony::ROOT, Doors::ISSUER, KeyKind::P256),
            issuing: key(ceremony::ISSUING, Doors::ISSUER, KeyKind::P256),
            responder: key("ocsp-issuing-1", Doors::RESPONDER, KeyKind::P256),
            log: key("log", Doors::LOG, KeyKind::Ed25519),
            server: key(ceremony::SERVER, Doors::TLS, KeyKind::P256),
        };
        let founding = Founding {
            name: "Acme Plant".parse().unwrap(),
            public_url: "http://127.0.0.1:8080".to_owned(),
            hosts: vec![SanName::Dns("localhost".to_owned())],
            policy: tenure_domain::policy::DEFAULT_DOCUMENT.to_owned(),
            shards: 2,
        };
        let founded = ceremony::found(store, directory.path(), clock.clone(), keys, founding);
        let founded = founded.await.unwrap();
        founded
            .engine
            .add_key(key(FEED_KEY, Doors::FEED, KeyKind::Ed25519));
        let desk = Desk::new(founded.engine.clone(), Metrics::new(), directory.path());
        House {
            engine: founded.engine,
            clock,
            admin: founded.admin_token,
            router: TowerToHyperService::new(router(desk)),
            _directory: directory,
        }
    }

    /// The same with an owner, a site, a service and a class for pumps.
    pub async fn furnished() -> House {
        let house = House::found().await;
        for (path, body) in [
            (
                "/owners",
                json!({ "name": "Hydraulics", "contact": "h@acme.example" }),
            ),
            ("/sites", json!({ "name": "Hall 3" })),
            ("/services", json!({ "name": "broker" })),
            ("/classes", json!({ "name": "pump", "profile": "device" })),
        ] {
            house.post(path, body).await.ok();
        }
        house
    }

    pub async fn send(&self, request: Request<Body>) -> Reply {
        let (mut parts, body) = request.into_parts();
        parts.extensions.insert(Peer {
            listener: Listener::Operator,
            request: RequestId::next(),
            address: "127.0.0.1:1".parse().unwrap(),
            chain: [].into(),
            body_time: Duration::from_secs(5),
        });
        let answer = self
            .router
            .call(Request::from_parts(parts, body))
            .await
            .unwrap();
        let (parts, body) = answer.into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        let text = || Value::String(String::from_utf8_lossy(&bytes).into_owned());
        Reply {
            status: parts.status,
            body: serde_json::from_slice(&bytes).unwrap_or_else(|_| text()),
            headers: parts.headers,
        }
    }

    /// A call of the API with a token.
    pub async fn call(&self, token: Option<&str>, method: &str, path: &str, body: Value) -> Reply {
        let request = Request::builder()
            .method(method)
            .uri(format!("/api/v1{path}"));
        let request = match token {
            Some(token) => request.header("authorization", format!("Bearer {token}")),
            None => request,
        };
        let (media_type, body) = match body {
            Value::Null => ("application/json", String::new()),
            Value::String(text) => ("text/plain", text),
            body => ("application/json", body.to_string()),
        };
        let request = request
            .header("content-type", media_type)
            .body(Body::from(body));
        self.send(request.unwrap()).await
    }

    pub async fn get(&self, path: &str) -> Reply {
        self.call(Some(&self.admin), "GET", path, Value::Null).await
    }

    pub async fn post(&self, path: &str, body: Value) -> Reply {
        self.call(Some(&self.admin), "POST", path, body).await
    }

    pub async fn token(&self, role: Role) -> String {
        // A relying party's token is bound to it where it can be registered.
        let party = json!({
            "name": "broker-3", "address": "127.0.0.1:8883", "services": ["broker"],
            "owner": "Hydraulics", "site": "Hall 3",
        });
        let is_bound = role == Role::RelyingParty
            && self
                .post("/relying-parties", party)
                .await
                .status
                .is_success();
        let bound = is_bound.then_some("broker-3");
        let body = json!({
            "name": format!("a {role}"), "role": role.word(), "relying_party": bound,
        });
        let made = self.post("/tokens", body).await.ok();
        made["token"].as_str().unwrap().to_owned()
    }

    pub async fn device(&self, id: &str) -> Value {
        let body = json!({
            "id": id, "class": "pump", "site": "Hall 3", "owner": "Hydraulics",
            "services": ["broker"], "manufacturer": "Acme", "model": "P1",
            "serial": format!("SN-{id}"),
        });
        self.post("/devices", body).await.ok()
    }

    /// What a scraper reads.
    pub async fn metrics(&self) -> String {
        let request = hyper::Request::get("/metrics")
            .header("authorization", format!("Bearer {}", self.admin))
            .body(axum::body::Body::empty());
        let metrics = self.send(request.unwrap()).await.ok();
        metrics.as_str().unwrap().to_owned()
    }

    /// Enrolls a registered device with a fresh secret and a fresh key.
    pub async fn enrolled(&self, id: &str) -> Arc<Certificate> {
        self.device(id).await;
        let made = self
            .post(&format!("/devices/{id}/secret"), Value::Null)
            .await
            .ok();
        let presented = House::secret(id, &made);
        match self
            .engine
            .enroll(ask(Operation::Enroll, presented))
            .await
            .unwrap()
        {
            Answer::Issued(certificate) => certificate,
            Answer::Pending { .. } => panic!("{id} was held"),
        }
    }

    /// A device's one-time secret as it presents it, out of the answer that made it.
    pub fn secret(id: &str, made: &Value) -> Presented {
        let secret = PresentedSecret {
            device: id.parse().unwrap(),
            secret: made["secret"].as_str().unwrap().to_owned(),
        };
        Presented {
            secret: Some(secret),
            ..Presented::default()
        }
    }

    /// Renews from a certificate with a fresh key; what comes of it is the caller's to judge.
    pub async fn renew(&self, current: &Cert) -> Result<Answer, Rejection> {
        let presented = Presented {
            chain: vec![current.clone()],
            ..Presented::default()
        };
        self.engine.enroll(ask(Operation::Renew, presented)).await
    }
}

/// An ask for a fresh key that names nothing.
pub fn ask(operation: Operation, presented: Presented) -> Ask {
    let key = KeyPair::generate(KeyKind::P256).unwrap();
    let csr = Csr::build(&key, &Name::build(&[]).unwrap(), &[]).unwrap();
    Ask {
        tenant: TenantId::DEFAULT,
        via: Via {
            protocol: Protocol::Est,
            label: None,
            source: None,
        },
        operation,
        csr: Csr::from_der(&csr).unwrap(),
        presented,
    }
}
