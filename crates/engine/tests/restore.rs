//! Yesterday's database in today's place: what was published as revoked stays revoked.

mod house;

use std::fs;

use house::House;
use tenure_domain::Status;
use tenure_domain::certificate::StatusChange;
use tenure_engine::duty::publish::{FilterPart, List, crl_path, filter_path};
use tenure_engine::store::{Options, Store, backup, certificate};
use tenure_engine::{Engine, RevokeAsk, Settings, Target};
use tenure_x509::crl::Crl;
use tenure_x509::filter::{Answer, Delta, Full};
use tenure_x509::{Cert, Reason};

const ISSUER: &str = "issuing-1";

async fn change(house: &House, cert: &Cert, change: StatusChange) {
    let ask = RevokeAsk {
        actor: house.admin.clone(),
        target: Target::Certificate {
            issuer: None,
            serial: cert.serial().clone(),
        },
        change,
    };
    house.engine.revoke(ask).await.unwrap();
}

fn status(house: &House, cert: &Cert) -> Status {
    let found = house
        .engine
        .store()
        .glance(|tx| certificate::find_serial(tx, cert.serial()));
    found.unwrap()[0].status
}

fn listed(house: &House, cert: &Cert) -> Option<Reason> {
    let list = fs::read(crl_path(house.directory.path(), ISSUER, List::Full)).unwrap();
    let list = Crl::from_der(&list).unwrap();
    list.find(cert.serial()).unwrap().map(|entry| entry.reason)
}

fn filtered(house: &House, cert: &Cert) -> Answer {
    let read = |part| fs::read(filter_path(house.directory.path(), ISSUER, part));
    let full = Full::from_der(&read(FilterPart::Full).unwrap()).unwrap();
    let part = FilterPart::Delta(full.sequence());
    let snapshot = house.engine.snapshot();
    let issuer = snapshot.issuers.iter().find(|i| i.name.as_str() == ISSUER);
    let held = full.verify(issuer.unwrap().public_key()).unwrap();
    let held = match read(part) {
        Ok(delta) => held.with_delta(Delta::from_der(&delta).unwrap()).unwrap(),
        Err(_) => held,
    };
    held.current(house.clock.now(), None).unwrap().ask(cert)
}

/// The database of `copy` under the files that were published after it was made.
fn put_back(house: House, copy: &std::path::Path) -> House {
    let keys: Vec<_> = ["issuing-1", "ocsp-issuing-1", "log", "tenure-server"]
        .iter()
        .map(|name| house.engine.key(name).unwrap())
        .collect();
    let House {
        directory,
        engine,
        clock,
        root,
        admin,
    } = house;
    engine.store().close();
    drop(engine);
    backup::restore(copy, directory.path()).unwrap();
    let store = Store::open(directory.path(), Options::default()).unwrap();
    let settings = Settings::default();
    let engine = Engine::start(store, keys, directory.path(), clock.clone(), settings).unwrap();
    House {
        directory,
        engine,
        clock,
        root,
        admin,
    }
}

#[tokio::test]
async fn g2_yesterdays_database_un_revokes_nothing() {
    let house = House::found().await;
    let mut certs = Vec::new();
    for name in ["pump-1", "pump-2", "pump-3", "pump-4"] {
        certs.push(house.enrolled(name).await.cert.clone());
    }
    house.pass(2 * 86_400);
    // One was on hold before and was given back: the record says so.
    change(&house, &certs[2], StatusChange::Hold).await;
    house.engine.publish().await.unwrap();
    house.pass(5);
    change(&house, &certs[2], StatusChange::Release).await;
    let copy = house.directory.path().join("copy.db");
    house.engine.store().copy_to(&copy).await.unwrap();

    house.pass(3600);
    let revoke = StatusChange::Revoke {
        reason: Reason::KeyCompromise,
        invalidity: None,
    };
    change(&house, &certs[0], revoke).await;
    change(&house, &certs[1], StatusChange::Hold).await;
    house.engine.publish().await.unwrap();
    let number = |house: &House| {
        let list = fs::read(crl_path(house.directory.path(), ISSUER, List::Full)).unwrap();
        Crl::from_der(&list).unwrap().number().unwrap()
    };
    let before = number(&house);
    assert_eq!(filtered(&house, &certs[0]), Answer::Revoked);

    let house = put_back(house, &copy);
    assert_eq!(status(&house, &certs[0]), Status::Issued, "forgotten");
    house.engine.publish().await.unwrap();
    assert!(number(&house) > before);
    let wanted = [
        (
            Status::Revoked,
            Some(Reason::KeyCompromise),
            Answer::Revoked,
        ),
        (Status::Held, Some(Reason::CertificateHold), Answer::Revoked),
        (Status::Issued, None, Answer::Good),
        (Status::Issued, None, Answer::Good),
    ];
    for (cert, wanted) in certs.iter().zip(wanted) {
        let found = (
            status(&house, cert),
            listed(&house, cert),
            filtered(&house, cert),
        );
        assert_eq!(found, wanted);
    }
    // Once is enough: what is given back from now on stays given back.
    change(&house, &certs[1], StatusChange::Release).await;
    house.engine.publish().await.unwrap();
    assert_eq!(listed(&house, &certs[1]), None);
}

/// A hold whose end was recorded, and whose list was not made anew before the server stopped.
#[tokio::test]
async fn g2_what_was_given_back_is_not_taken_by_an_old_list() {
    let house = House::found().await;
    let cert = house.enrolled("pump-1").await.cert.clone();
    house.pass(60);
    change(&house, &cert, StatusChange::Hold).await;
    house.engine.publish().await.unwrap();
    house.pass(60);
    change(&house, &cert, StatusChange::Release).await;
    let copy = house.directory.path().join("copy.db");
    house.engine.store().copy_to(&copy).await.unwrap();
    assert_eq!(listed(&house, &cert), Some(Reason::CertificateHold));
    let house = put_back(house, &copy);
    house.engine.publish().await.unwrap();
    assert_eq!(
        (status(&house, &cert), listed(&house, &cert)),
        (Status::Issued, None)
    );
}
