//! Asking for the status of a certificate: what is believed, what is not, and what is kept.

mod pki;
mod rude;

use std::convert::Infallible;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use pki::{Ca, days, now};
use rude::{Heard, Said, Server};
use tenure_field::revocation::{Checker, Error, Freshness, Source, Verdict};
use tenure_x509::crl::{CrlSpec, Entry, Holds, Scope, ToSign};
use tenure_x509::ocsp::{Answer, CertStatus, Failure, OcspRequest, Responder};
use tenure_x509::path::{self, Purpose, VerifiedChain};
use tenure_x509::{Cert, Extensions, KeyPair, Reason, Time};

const HOUR: Duration = Duration::from_secs(3600);

/// What a responder and a CRL server answer with, and may be told to answer otherwise.
struct Answers {
    signer: KeyPair,
    issuer: Ca,
    revoked: Vec<Cert>,
    next_update: Time,
    this_update: Time,
    scope: Scope,
    number: u64,
    ocsp: Ocsp,
    delta: Option<Vec<u8>>,
}

#[derive(Clone, Copy, PartialEq)]
enum Ocsp {
    Honest,
    WithoutNonce,
    OldNonce,
    AnotherSerial,
    Refusing,
    Broken,
    NeverIssued,
}

struct Plant {
    root: Ca,
    issuing: Ca,
    server: Server,
    answers: Arc<Mutex<Answers>>,
}

impl Plant {
    async fn start() -> Plant {
        let root = Ca::root("root");
        let issuing = root.issuing("issuing");
        let answers = Arc::new(Mutex::new(Answers {
            signer: again(&issuing.key),
            issuer: Ca {
                key: again(&issuing.key),
                cert: issuing.cert.clone(),
            },
            revoked: Vec::new(),
            this_update: now(),
            next_update: now().plus(600),
            scope: Scope::everything(),
            number: 1,
            ocsp: Ocsp::Honest,
            delta: None,
        }));
        let server = {
            let answers = answers.clone();
            Server::plain(move |heard| {
                let answers = answers.lock().unwrap();
                match heard.path.as_str() {
                    "/ocsp" => answers.ocsp(heard),
                    "/7.crl" => answers.crl(),
                    "/7/delta.crl" => match &answers.delta {
                        Some(delta) => Said::new(200, delta.clone()),
                        None => Said::new(404, ""),
                    },
                    _ => Said::new(404, ""),
                }
            })
            .await
        };
        Plant {
            root,
            issuing,
            server,
            answers,
        }
    }

    fn tell(&self, change: impl FnOnce(&mut Answers)) {
        change(&mut self.answers.lock().unwrap());
    }

    fn device(&self, change: impl FnOnce(&mut Extensions)) -> Cert {
        let at = |path: &str| vec![self.server.url.with_path(path).unwrap().to_string()];
        let mut extensions = pki::leaf(pki::CLIENT_AUTH, Vec::new());
        (extensions.crl_urls, extensions.ocsp_urls) = (at("/7.crl"), at("/ocsp"));
        change(&mut extensions);
        self.issuing.sign(
            &pki::name("pump-7"),
            pki::key().public(),
            extensions,
            days(30),
        )
    }

    fn chain(&self, leaf: &Cert) -> VerifiedChain {
        let (issuing, root) = (self.issuing.cert.clone(), self.root.cert.clone());
        path::validate(leaf, &[issuing], &[root], now(), Purpose::ClientAuth).unwrap()
    }

    fn asked(&self, path: &str) -> usize {
        self.server
            .heard()
            .iter()
            .filter(|heard| heard.path == path)
            .count()
    }
}

fn again(key: &KeyPair) -> KeyPair {
    KeyPair::from_pkcs8(&key.to_pkcs8().unwrap()).unwrap()
}

impl Answers {
    fn ocsp(&self, heard: &Heard) -> Said {
        let request = OcspRequest::from_der(&heard.body).unwrap();
        let asked = &request.asked()[0];
        let revoked = self
            .revoked
            .iter()
            .any(|cert| *cert.serial() == asked.serial());
        let (at, reason) = (now().plus(-60), Reason::KeyCompromise);
        let status = match (self.ocsp, revoked) {
            (Ocsp::NeverIssued, _) => CertStatus::NeverIssued,
            (_, true) => CertStatus::Revoked { at, reason },
            (_, false) => CertStatus::Good,
        };
        let other = self.issuer.device("another", days(1));
        let other = Cert::from_der(&other.chain[0]).unwrap();
        let elsewhere = OcspRequest::build(
            other.issuer(),
            self.issuer.key.public(),
            other.serial(),
            tenure_x509::ocsp::HashKind::Sha256,
            None,
        )
        .unwrap();
        let elsewhere = OcspRequest::from_der(&elsewhere).unwrap();
        let (id, nonce) = match self.ocsp {
            Ocsp::Refusing => return Said::new(200, Failure::TryLater.to_der()),
            Ocsp::Broken => return Said::new(200, "not OCSP"),
            Ocsp::OldNonce => (asked, Some([1; 32].as_slice())),
            Ocsp::WithoutNonce => (asked, None),
            Ocsp::AnotherSerial => (&elsewhere.asked()[0], request.nonce()),
            Ocsp::Honest | Ocsp::NeverIssued => (asked, request.nonce()),
        };
        let (name, key) = (self.issuer.cert.subject(), self.issuer.key.public());
        let responder = Responder::issuer(name, key, self.signer.signature_algorithm()).unwrap();
        let answer = Answer {
            id,
            status,
            this_update: self.this_update,
            next_update: self.next_update,
        };
        let sign = |message: &[u8]| Ok::<_, Infallible>(self.signer.sign(message).unwrap());
        Said::new(
            200,
            responder.respond(&[answer], nonce, now(), sign).unwrap(),
        )
    }

    fn crl(&self) -> Said {
        let spec = CrlSpec {
            issuer: self.issuer.cert.subject().clone(),
            issuer_key_id: self.issuer.cert.subject_key_id().unwrap().to_vec(),
            signature: self.signer.signature_algorithm(),
            this_update: self.this_update,
            next_update: self.next_update,
            number: self.number,
            scope: self.scope.clone(),
        };
        let entries = self.revoked.iter().map(|cert| Entry {
            serial: cert.serial().as_bytes(),
            revoked_at: now().plus(-60),
            reason: Reason::KeyCompromise,
            invalid_since: None,
        });
        let sign = |what: ToSign<'_>| match what {
            ToSign::Digest(digest) => self.signer.sign_digest(digest),
            ToSign::Message(message) => self.signer.sign(message),
        };
        Said::new(200, spec.to_der(entries, sign).unwrap())
    }
}

fn checker(freshness: Freshness) -> Checker {
    Checker::new(freshness, HOUR).unwrap()
}

#[tokio::test]
async fn ocsp_says_good_and_then_revoked() {
    let plant = Plant::start().await;
    let device = plant.device(|_| {});
    let chain = plant.chain(&device);
    for freshness in [Freshness::Made, Freshness::Current] {
        let checked = checker(freshness).check(&chain).await.unwrap();
        assert_eq!(
            (checked.verdict(), checked.source()),
            (Verdict::Good, Source::Ocsp)
        );
    }
    plant.tell(|answers| answers.revoked.push(device.clone()));
    let verdict = checker(Freshness::Made)
        .check(&chain)
        .await
        .unwrap()
        .verdict();
    assert!(matches!(
        verdict,
        Verdict::Revoked {
            reason: Reason::KeyCompromise,
            ..
        }
    ));
    assert_eq!(plant.asked("/7.crl"), 0);
}

#[tokio::test]
async fn an_ocsp_answer_is_believed_only_if_it_is_the_answer() {
    let plant = Plant::start().await;
    let device = plant.device(|extensions| extensions.crl_urls.clear());
    let chain = plant.chain(&device);
    let check = || async { checker(Freshness::Made).check(&chain).await };

    plant.tell(|answers| answers.ocsp = Ocsp::WithoutNonce);
    assert_eq!(
        check().await.unwrap().verdict(),
        Verdict::Good,
        "made in advance: RFC 9919"
    );
    for bad in [
        Ocsp::OldNonce,
        Ocsp::AnotherSerial,
        Ocsp::Refusing,
        Ocsp::Broken,
    ] {
        plant.tell(|answers| answers.ocsp = bad);
        assert!(matches!(check().await, Err(Error::Answer(_))));
    }
    plant.tell(|answers| answers.ocsp = Ocsp::NeverIssued);
    assert_eq!(check().await.unwrap().verdict(), Verdict::Unknown);

    plant.tell(|answers| {
        answers.ocsp = Ocsp::WithoutNonce;
        answers.next_update = now().plus(-1);
    });
    assert!(matches!(check().await, Err(Error::Answer(_))), "run out");
    plant.tell(|answers| {
        answers.ocsp = Ocsp::Honest;
        answers.next_update = now().plus(600);
        answers.signer = pki::key();
    });
    assert!(matches!(check().await, Err(Error::Answer(_))), "forged");
}

#[tokio::test]
async fn a_crl_stands_in_for_ocsp_and_is_fetched_once() {
    let plant = Plant::start().await;
    let (good, bad) = (plant.device(|_| {}), plant.device(|_| {}));
    plant.tell(|answers| {
        answers.ocsp = Ocsp::Refusing;
        answers.revoked.push(bad.clone());
        answers.scope = Scope {
            urls: bad.crl_urls().to_vec(),
            holds: Holds::UserCerts,
        };
    });
    let checker = Arc::new(checker(Freshness::Made));
    let asked: Vec<_> = (0..20)
        .map(|n| {
            let chain = plant.chain(if n % 2 == 0 { &good } else { &bad });
            let checker = checker.clone();
            tokio::spawn(async move { (n, checker.check(&chain).await.unwrap()) })
        })
        .collect();
    for one in asked {
        let (n, checked) = one.await.unwrap();
        assert_eq!(checked.source(), Source::Crl);
        assert_eq!(checked.verdict() == Verdict::Good, n % 2 == 0);
    }
    assert_eq!(plant.asked("/7.crl"), 1);
}

#[tokio::test]
async fn a_crl_must_speak_for_the_certificate() {
    let plant = Plant::start().await;
    let device = plant.device(|extensions| extensions.ocsp_urls.clear());
    let chain = plant.chain(&device);
    let check = || async { checker(Freshness::Made).check(&chain).await };
    assert_eq!(check().await.unwrap().verdict(), Verdict::Good);

    let elsewhere = Scope {
        urls: vec!["http://elsewhere/7.crl".into()],
        holds: Holds::All,
    };
    let cas = Scope {
        urls: Vec::new(),
        holds: Holds::CaCerts,
    };
    for scope in [elsewhere, cas] {
        plant.tell(|answers| answers.scope = scope);
        assert!(matches!(check().await, Err(Error::NotCovered { .. })));
    }
    plant.tell(|answers| {
        answers.scope = Scope::everything();
        answers.next_update = now().plus(-1);
    });
    assert!(matches!(check().await, Err(Error::Outdated)));
    plant.tell(|answers| {
        answers.next_update = now().plus(600);
        answers.this_update = now().plus(3600);
    });
    assert!(
        matches!(check().await, Err(Error::Outdated)),
        "of the future"
    );
    plant.tell(|answers| {
        answers.this_update = now();
        answers.signer = pki::key();
    });
    assert!(matches!(check().await, Err(Error::Answer(_))), "forged");
    let root = Ca::root("issuing");
    plant.tell(|answers| {
        answers.signer = again(&root.key);
        answers.issuer = root;
    });
    assert!(
        matches!(check().await, Err(Error::Answer(_))),
        "by another of the same name"
    );
}

#[tokio::test]
async fn an_older_list_does_not_replace_a_newer_one() {
    let plant = Plant::start().await;
    let device = plant.device(|extensions| extensions.ocsp_urls.clear());
    let chain = plant.chain(&device);
    plant.tell(|answers| answers.revoked.push(device.clone()));
    let checker = Checker::new(Freshness::Made, Duration::ZERO).unwrap();
    assert!(matches!(
        checker.check(&chain).await.unwrap().verdict(),
        Verdict::Revoked { .. }
    ));
    plant.tell(|answers| {
        answers.revoked.clear();
        answers.this_update = now().plus(-300);
    });
    assert!(matches!(
        checker.check(&chain).await.unwrap().verdict(),
        Verdict::Revoked { .. }
    ));
    plant.tell(|answers| answers.this_update = now().plus(1));
    assert_eq!(
        checker.check(&chain).await.unwrap().verdict(),
        Verdict::Good
    );
    assert_eq!(plant.asked("/7.crl"), 3);
}

#[tokio::test]
async fn no_address_and_no_server_are_not_good() {
    let plant = Plant::start().await;
    let silent = plant.device(|extensions| {
        extensions.crl_urls = vec!["ldap://x/".into(), "https://127.0.0.1:1/x.crl".into()];
        extensions.ocsp_urls.clear();
    });
    let checker = checker(Freshness::Made);
    assert!(matches!(
        checker.check(&plant.chain(&silent)).await,
        Err(Error::NoAddress)
    ));
    let gone = plant.device(|extensions| {
        extensions.crl_urls = vec!["http://127.0.0.1:1/x.crl".into()];
        extensions.ocsp_urls = vec!["http://127.0.0.1:1/ocsp".into()];
    });
    assert!(matches!(
        checker.check(&plant.chain(&gone)).await,
        Err(Error::Http(_))
    ));
    let missing = plant.device(|extensions| {
        extensions.ocsp_urls.clear();
        extensions.crl_urls = vec![plant.server.url.with_path("/8.crl").unwrap().to_string()];
    });
    assert!(matches!(
        checker.check(&plant.chain(&missing)).await,
        Err(Error::Refused { .. })
    ));
}

/// A gateway with a thin link: one complete list, and then deltas that add and take back.
#[tokio::test]
async fn a_delta_list_brings_a_complete_one_up_to_date() {
    let plant = Plant::start().await;
    let no_ocsp = |extensions: &mut Extensions| extensions.ocsp_urls.clear();
    let (held, stolen) = (plant.device(no_ocsp), plant.device(no_ocsp));
    plant.tell(|answers| answers.revoked.push(held.clone()));
    let checker = Checker::new(Freshness::Made, Duration::ZERO).unwrap();
    let checker = checker.with_delta_lists();
    let is_good = async |cert: &Cert| {
        let checked = checker.check(&plant.chain(cert)).await.unwrap();
        checked.verdict() == Verdict::Good
    };
    assert!(!is_good(&held).await && is_good(&stolen).await);

    let delta = |base: u64, number: u64, scope: Scope| {
        let answers = plant.answers.lock().unwrap();
        let spec = CrlSpec {
            issuer: answers.issuer.cert.subject().clone(),
            issuer_key_id: answers.issuer.cert.subject_key_id().unwrap().to_vec(),
            signature: answers.signer.signature_algorithm(),
            this_update: now(),
            next_update: now().plus(600),
            number,
            scope,
        };
        let entry = |cert, reason| Entry {
            serial: Cert::serial(cert).as_bytes(),
            revoked_at: now(),
            reason,
            invalid_since: None,
        };
        let entries = [
            entry(&held, Reason::RemoveFromCrl),
            entry(&stolen, Reason::KeyCompromise),
        ];
        let sign = |what: ToSign<'_>| match what {
            ToSign::Digest(digest) => answers.signer.sign_digest(digest),
            ToSign::Message(message) => answers.signer.sign(message),
        };
        spec.to_delta_der(base, entries.into_iter(), sign).unwrap()
    };
    let publish = |delta: Vec<u8>| plant.tell(|answers| answers.delta = Some(delta));
    let other = Scope {
        urls: vec!["http://other.example/7.crl".to_owned()],
        holds: Holds::All,
    };
    // To a list newer than ours, or of another scope: the complete list is fetched instead.
    for unfit in [delta(2, 3, Scope::everything()), delta(1, 2, other)] {
        publish(unfit);
        assert!(!is_good(&held).await && is_good(&stolen).await);
    }
    let complete = plant.asked("/7.crl");
    publish(delta(1, 2, Scope::everything()));
    assert!(is_good(&held).await && !is_good(&stolen).await);
    assert_eq!(plant.asked("/7.crl"), complete, "nothing but the delta");

    // Whoever did not ask for deltas never meets one.
    let plain = Checker::new(Freshness::Made, Duration::ZERO).unwrap();
    let checked = plain.check(&plant.chain(&held)).await.unwrap();
    assert_ne!(checked.verdict(), Verdict::Good);
}
