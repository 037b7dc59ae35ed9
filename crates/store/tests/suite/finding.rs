//! Findings: one row per matter, open once however often it is seen.

use tenure_domain::device::Criticality;
use tenure_domain::finding::{FindingKind, FindingState, Matter, NewFinding, Subject, SubjectKind};
use tenure_domain::incident::IncidentKind;
use tenure_domain::{FindingNo, TenantId};
use tenure_store::finding::{self, Raised};
use tenure_store::incident::{self, NewIncident};
use tenure_store::{StoreError, event};

use crate::fixture::{House, actor, at, op, runtime};

fn matter(cause: &str) -> Matter {
    Matter {
        kind: FindingKind::Incident,
        subject: Subject::new(SubjectKind::Issuer, "issuing-1"),
        cause: cause.to_owned(),
    }
}

async fn raise(house: &House, cause: &str, second: i64) -> Raised {
    let new = NewFinding {
        matter: matter(cause),
        summary: format!("seen at {second}"),
        evidence: vec![format!("event {second}")],
        owner: Some("Hydraulics".parse().unwrap()),
        criticality: Criticality::Safety,
    };
    let raised = house.store.record::<_, StoreError, _>(op(), move |tx| {
        let raised = finding::raise(tx, &new, &actor(), at(second))?;
        if matches!(raised, Raised::Known(_)) {
            tx.excuse("it is open");
        }
        Ok(raised)
    });
    raised.await.unwrap()
}

async fn clear(house: &House, cause: &str, second: i64) -> Option<FindingNo> {
    let matter = matter(cause);
    let cleared = house.store.record::<_, StoreError, _>(op(), move |tx| {
        let cleared = finding::clear(tx, &matter, "gone", &actor(), at(second))?;
        if cleared.is_none() {
            tx.excuse("nothing to clear");
        }
        Ok(cleared)
    });
    cleared.await.unwrap()
}

fn open(house: &House) -> Vec<finding::Raised> {
    let list = |tx: &tenure_store::ReadTx<'_>| {
        finding::list(tx, TenantId::DEFAULT, Some(FindingState::Open), None, 10)
    };
    let found = house.store.glance(list).unwrap();
    found.into_iter().map(|f| Raised::Known(f.no)).collect()
}

#[test]
fn a_finding_opens_once_is_acknowledged_clears_and_returns_as_the_same_one() {
    let directory = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let house = House::new(directory.path()).await;
        let first = raise(&house, "behind", 5).await;
        assert!(matches!(first, Raised::Opened(_)));
        let no = first.no();
        assert_eq!(raise(&house, "behind", 6).await, Raised::Known(no));
        let other = raise(&house, "ahead", 7).await.no();
        assert_ne!(other, no);
        assert_eq!(open(&house), [Raised::Known(other), Raised::Known(no)]);

        let said = || {
            house.store.record::<_, StoreError, _>(op(), move |tx| {
                finding::acknowledge(tx, no, "ops", "a person is on the way", &actor(), at(8))
            })
        };
        let known = said().await.unwrap().unwrap();
        assert_eq!(known.state, FindingState::Acknowledged);
        assert_eq!(said().await.unwrap().unwrap(), known);
        assert_eq!(raise(&house, "behind", 9).await, Raised::Known(no));
        assert_eq!(open(&house), [Raised::Known(other)]);

        assert_eq!(clear(&house, "behind", 10).await, Some(no));
        assert_eq!(clear(&house, "behind", 11).await, None);
        assert_eq!(raise(&house, "behind", 12).await, Raised::Opened(no));
        let found = house.store.glance(|tx| finding::by_no(tx, no)).unwrap();
        let found = found.unwrap();
        assert_eq!(found.state, FindingState::Open);
        assert_eq!((found.times, found.first, found.opened), (2, at(5), at(12)));
        assert_eq!((found.acknowledged, found.cleared), (None, None));
        assert_eq!(found.evidence, ["event 12"]);
        assert_eq!(found.criticality, Criticality::Safety);

        let words: Vec<_> = house
            .store
            .glance(|tx| {
                let from = event::last(tx)?.map_or(0, |(seq, _)| seq.0) - 4;
                (from..from + 5)
                    .map(|seq| kind(tx, seq))
                    .collect::<Result<Vec<_>, _>>()
            })
            .unwrap();
        let expected = [
            "finding-opened",
            "finding-opened",
            "finding-acknowledged",
            "finding-cleared",
            "finding-opened",
        ];
        assert_eq!(words, expected);
    });
}

fn kind(tx: &tenure_store::ReadTx<'_>, seq: i64) -> Result<String, StoreError> {
    let found = event::at(tx, tenure_domain::EventSeq(seq))?.unwrap();
    Ok(found.kind.to_owned())
}

#[test]
fn incidents_of_one_kind_about_one_device_are_one_finding_until_the_last_is_decided() {
    let directory = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let house = House::new(directory.path()).await;
        let device = house.device("pump-1").await;
        let mut opened = Vec::new();
        for serial in ["0a", "0b"] {
            let new = NewIncident {
                kind: IncidentKind::Fork,
                device: Some((device.no, device.id.clone())),
                serials: vec![serial.to_owned()],
                summary: "two holders".to_owned(),
            };
            let record = house
                .store
                .record(op(), move |tx| incident::open(tx, &new, &actor(), at(5)));
            opened.push(record.await.unwrap().no().unwrap());
        }
        let subject = Subject::device(&device.id);
        let about = || {
            let found = house
                .store
                .glance(|tx| finding::about(tx, TenantId::DEFAULT, &subject));
            let [found] = <[_; 1]>::try_from(found.unwrap()).unwrap();
            found
        };
        assert_eq!(about().state, FindingState::Open);
        assert_eq!(about().owner.as_ref(), Some(&device.owner));
        for (no, after) in [
            (opened[0], FindingState::Open),
            (opened[1], FindingState::Cleared),
        ] {
            let record = house.store.record(op(), move |tx| {
                incident::resolve(tx, no, "kept nothing", &actor(), at(6))
            });
            record.await.unwrap();
            assert_eq!(about().state, after);
        }
    });
}

#[test]
fn an_incident_about_thousands_of_certificates_is_opened_all_the_same() {
    let directory = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let house = House::new(directory.path()).await;
        let device = house.device("pump-1").await;
        let serials: Vec<String> = (0..3_000).map(|no| format!("{no:040x}")).collect();
        let new = NewIncident {
            kind: IncidentKind::Fork,
            device: Some((device.no, device.id)),
            serials: serials.clone(),
            summary: "two holders".to_owned(),
        };
        let record = house
            .store
            .record::<_, StoreError, _>(op(), move |tx| incident::open(tx, &new, &actor(), at(5)));
        let no = record.await.unwrap().no().unwrap();
        let found = house.store.glance(|tx| incident::by_no(tx, no)).unwrap();
        assert_eq!(found.unwrap().serials, serials);
        let events = house
            .store
            .glance(|tx| event::before(tx, None, 10))
            .unwrap();
        let opened = events.iter().find(|event| event.kind == "incident-opened");
        let leaf = String::from_utf8(opened.unwrap().leaf.clone()).unwrap();
        assert!(leaf.contains(&serials[0]) && !leaf.contains(&serials[2_999]));
        assert!(leaf.len() <= event::LEAF_BYTES_MAX, "{}", leaf.len());
    });
}
