//! A relying party with the issuer's compact filter: what it asks, what it believes, and that it
//! never goes back.

mod pki;
mod rude;

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use pki::{Ca, days, now};
use rude::{Said, Server};
use tenure_field::http::Url;
use tenure_field::revocation::{Checked, Checker, Error, FilterSource, Freshness, Source, Verdict};
use tenure_x509::crl::{CrlSpec, Entry, Scope, ToSign};
use tenure_x509::filter::{Coverage, Delta, DeltaSpec, Fewer, Full, FullSpec, Listing, delta_key};
use tenure_x509::path::{self, Purpose, VerifiedChain};
use tenure_x509::{Cert, Presence, Reason};

const FULL: &str = "/filter/i/full.filter";

/// An issuer with three devices, and what its public listener has.
struct Plant {
    root: Ca,
    issuing: Ca,
    server: Server,
    shelf: Arc<Mutex<HashMap<String, Vec<u8>>>>,
    devices: Vec<Cert>,
}

impl Plant {
    async fn start() -> Plant {
        let root = Ca::root("root");
        let issuing = root.issuing("issuing");
        let shelf = Arc::new(Mutex::new(HashMap::<String, Vec<u8>>::new()));
        let on_shelf = shelf.clone();
        let server = Server::plain(move |heard| {
            let shelf = on_shelf.lock().unwrap();
            match shelf.get(&heard.path) {
                Some(file) => Said::new(200, file.clone()),
                None => Said::new(404, ""),
            }
        });
        let server = server.await;
        let crl = server.url.with_path("/7.crl").unwrap().to_string();
        let device = |n: usize| {
            let mut extensions = pki::leaf(pki::CLIENT_AUTH, Vec::new());
            extensions.crl_urls = vec![crl.clone()];
            let (name, key) = (pki::name(&format!("pump-{n}")), pki::key());
            issuing.sign(&name, key.public(), extensions, days(30))
        };
        let devices = (0..3).map(device).collect();
        Plant {
            root,
            issuing,
            server,
            shelf,
            devices,
        }
    }

    fn put(&self, path: &str, file: Option<Vec<u8>>) {
        let mut shelf = self.shelf.lock().unwrap();
        match file {
            Some(file) => shelf.insert(path.to_owned(), file),
            None => shelf.remove(path),
        };
    }

    fn asked(&self, path: &str) -> usize {
        let heard = self.server.heard();
        heard.iter().filter(|heard| heard.path == path).count()
    }

    fn chain(&self, n: usize) -> VerifiedChain {
        let (issuing, root) = (self.issuing.cert.clone(), self.root.cert.clone());
        let leaf = &self.devices[n];
        path::validate(leaf, &[issuing], &[root], now(), Purpose::ClientAuth).unwrap()
    }

    /// A full filter over the devices, or over none of them.
    fn full(&self, sequence: u64, revoked: &[usize], covers: Covers) -> Vec<u8> {
        let validity = self.devices[0].validity();
        let coverage = Coverage {
            from: validity.not_before.plus(-1000),
            to: validity.not_before.plus(match covers {
                Covers::All => 10,
                Covers::None => -1,
            }),
            at: now(),
        };
        let mut fewer = Fewer::new(coverage, Listing::Revoked);
        for n in revoked {
            fewer.push(self.devices[*n].serial(), self.devices[*n].validity());
        }
        let mut sieve = fewer.sieve(3);
        for device in &self.devices {
            sieve.push(device.serial(), device.validity());
        }
        let body = sieve.finish().unwrap();
        let key = &self.issuing.key;
        let spec = FullSpec {
            issuer: key.public().hash(),
            signature: key.signature_algorithm(),
            sequence,
            epoch: sequence,
            next_update: now().plus(600),
            body: &body,
        };
        let seal = spec.to_seal();
        seal.with_signature(&key.sign(seal.message()).unwrap())
            .unwrap()
    }

    fn delta(&self, full: &[u8], sequence: u64, changed: &[usize]) -> Vec<u8> {
        let key = &self.issuing.key;
        let keys = changed.iter().map(|n| delta_key(self.devices[*n].serial()));
        let spec = DeltaSpec {
            issuer: key.public().hash(),
            signature: key.signature_algorithm(),
            sequence,
            epoch: sequence,
            created: now(),
            next_update: now().plus(600),
            base: Full::from_der(full).unwrap().id(),
            changed: keys.collect(),
            width: 64,
        };
        let seal = spec.to_seal().unwrap();
        let der = seal
            .with_signature(&key.sign(seal.message()).unwrap())
            .unwrap();
        Delta::from_der(&der).unwrap();
        der
    }

    fn crl(&self, revoked: &[usize]) -> Vec<u8> {
        let spec = CrlSpec {
            issuer: self.issuing.cert.subject().clone(),
            issuer_key_id: self.issuing.cert.subject_key_id().unwrap().to_vec(),
            signature: self.issuing.key.signature_algorithm(),
            this_update: now(),
            next_update: now().plus(600),
            number: 1,
            scope: Scope::everything(),
        };
        let entries = revoked.iter().map(|n| Entry {
            serial: self.devices[*n].serial().as_bytes(),
            revoked_at: now().plus(-60),
            reason: Reason::KeyCompromise,
            invalid_since: None,
        });
        let sign = |what: ToSign<'_>| match what {
            ToSign::Digest(digest) => self.issuing.key.sign_digest(digest),
            ToSign::Message(message) => self.issuing.key.sign(message),
        };
        spec.to_der(entries, sign).unwrap()
    }

    fn source(&self, memory: Option<&Path>) -> FilterSource {
        FilterSource {
            issuer: self.issuing.cert.clone(),
            url: self.server.url.with_path("/filter/i/").unwrap(),
            memory: memory.map(Path::to_owned),
        }
    }

    /// Fetches each time it is asked.
    fn checker(&self, memory: Option<&Path>) -> Checker {
        let checker = Checker::new(Freshness::Made, Duration::ZERO).unwrap();
        checker.with_filter(self.source(memory)).unwrap()
    }

    async fn check(&self, checker: &Checker, n: usize) -> Result<(bool, Source), Error> {
        let checked: Checked = checker.check(&self.chain(n)).await?;
        Ok((checked.verdict() == Verdict::Good, checked.source()))
    }
}

#[derive(Clone, Copy)]
enum Covers {
    All,
    None,
}

#[tokio::test]
async fn the_filter_answers_alone_and_once_fetched_without_the_network() {
    let plant = Plant::start().await;
    let full = plant.full(10, &[1], Covers::All);
    plant.put("/filter/i/10.delta", Some(plant.delta(&full, 11, &[2])));
    plant.put(FULL, Some(full));
    let checker = Checker::new(Freshness::Made, Duration::from_secs(3600)).unwrap();
    let checker = checker.with_filter(plant.source(None)).unwrap();
    for _ in 0..3 {
        for (n, is_good) in [(0, true), (1, false), (2, false)] {
            let checked = plant.check(&checker, n).await.unwrap();
            assert_eq!(checked, (is_good, Source::Filter));
        }
    }
    assert_eq!(plant.server.heard().len(), 2, "one filter, one delta");
}

#[tokio::test]
async fn a_newer_delta_and_a_newer_filter_are_followed() {
    let plant = Plant::start().await;
    let full = plant.full(10, &[1], Covers::All);
    plant.put(FULL, Some(full.clone()));
    let checker = plant.checker(None);
    assert!(plant.check(&checker, 0).await.unwrap().0);
    plant.put("/filter/i/10.delta", Some(plant.delta(&full, 11, &[0])));
    assert!(!plant.check(&checker, 0).await.unwrap().0, "withdrawn");
    plant.put("/filter/i/10.delta", Some(plant.delta(&full, 12, &[0, 1])));
    assert!(plant.check(&checker, 1).await.unwrap().0, "given back");
    plant.put("/filter/i/10.delta", None);
    plant.put(FULL, Some(plant.full(13, &[2], Covers::All)));
    assert!(!plant.check(&checker, 2).await.unwrap().0);
    assert!(plant.check(&checker, 0).await.unwrap().0);
}

#[tokio::test]
async fn what_is_not_covered_is_asked_of_the_list() {
    let plant = Plant::start().await;
    plant.put(FULL, Some(plant.full(10, &[], Covers::None)));
    plant.put("/7.crl", Some(plant.crl(&[1])));
    let checker = plant.checker(None);
    for (n, is_good) in [(0, true), (1, false)] {
        let checked = plant.check(&checker, n).await.unwrap();
        assert_eq!(checked, (is_good, Source::Crl));
    }
    // So is everything where there is no filter, or one that somebody else has signed.
    let other = Plant::start().await;
    for filter in [None, Some(other.full(11, &[], Covers::All))] {
        plant.put(FULL, filter);
        let checked = plant.check(&plant.checker(None), 1).await.unwrap();
        assert_eq!(checked, (false, Source::Crl));
    }
}

/// Neither an older filter nor a restart makes a revoked certificate good again.
#[tokio::test]
async fn nothing_older_is_used_even_after_a_restart() {
    let plant = Plant::start().await;
    let directory = tempfile::tempdir().unwrap();
    let memory = directory.path().join("issuing.accepted");
    let before = plant.full(10, &[], Covers::All);
    plant.put(FULL, Some(before.clone()));
    let checker = plant.checker(Some(&memory));
    assert!(plant.check(&checker, 1).await.unwrap().0);
    plant.put(FULL, Some(plant.full(20, &[1], Covers::All)));
    assert!(!plant.check(&checker, 1).await.unwrap().0);

    plant.put(FULL, Some(before));
    let still = plant.check(&checker, 1).await.unwrap();
    assert_eq!(still, (false, Source::Filter), "the newer one is kept");
    let restarted = plant.checker(Some(&memory));
    let nothing = plant.check(&restarted, 1).await;
    assert!(nothing.is_err(), "an old filter is no answer: {nothing:?}");
    plant.put("/7.crl", Some(plant.crl(&[1])));
    let listed = plant.check(&restarted, 1).await.unwrap();
    assert_eq!(listed, (false, Source::Crl));

    std::fs::write(&memory, "nonsense").unwrap();
    let checker = Checker::new(Freshness::Made, Duration::ZERO).unwrap();
    let opened = checker.with_filter(plant.source(Some(&memory)));
    assert!(matches!(opened, Err(Error::Memory)));
}

#[tokio::test]
async fn a_server_that_fails_is_not_asked_by_every_connection() {
    let plant = Plant::start().await;
    plant.put("/7.crl", Some(plant.crl(&[])));
    let checker = Checker::new(Freshness::Made, Duration::from_secs(3600)).unwrap();
    let checker = checker.with_filter(plant.source(None)).unwrap();
    for _ in 0..5 {
        plant.check(&checker, 0).await.unwrap();
    }
    assert_eq!(plant.asked(FULL), 1);
}

#[tokio::test]
async fn an_address_that_is_no_directory_is_refused() {
    let plant = Plant::start().await;
    let at = |url: &str| FilterSource {
        url: Url::parse(url).unwrap(),
        ..plant.source(None)
    };
    for bad in [
        "http://pki.example/filter/i",
        "https://pki.example/filter/i/",
    ] {
        let checker = Checker::new(Freshness::Made, Duration::ZERO).unwrap();
        assert!(checker.with_filter(at(bad)).is_err(), "{bad}");
    }
}

/// RFC 9608: nobody can be asked, and the filter still says what it knows.
#[tokio::test]
async fn a_short_lived_certificate_is_good_unless_the_filter_knows_better() {
    let mut plant = Plant::start().await;
    let sign = |life: i64| {
        let mut extensions = pki::leaf(pki::CLIENT_AUTH, Vec::new());
        extensions.no_rev_avail = Presence::Present;
        let (name, key) = (pki::name("pump-9"), pki::key());
        plant
            .issuing
            .sign(&name, key.public(), extensions, days(life))
    };
    plant.devices = vec![sign(6), sign(6), sign(30)];
    let plain = Checker::new(Freshness::Made, Duration::ZERO).unwrap();
    let checked = plant.check(&plain, 0).await.unwrap();
    assert_eq!(checked, (true, Source::ShortLife));
    let long = plant.check(&plain, 2).await;
    assert!(matches!(long, Err(Error::NoAddress)), "{long:?}");
    plant.put(FULL, Some(plant.full(10, &[1], Covers::All)));
    let checked = plant.check(&plant.checker(None), 1).await.unwrap();
    assert_eq!(checked, (false, Source::Filter));
}
