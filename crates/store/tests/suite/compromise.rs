use tenure_domain::compromise::ProofOfCompromise;
use tenure_store::certificate::Completed;
use tenure_store::compromise::{self, Compromised, NewCompromise, Noted};
use tenure_store::{StoreError, blocked_key};
use tenure_x509::{KeyKind, KeyPair};

use crate::fixture::{House, actor, at, op, runtime};

/// Requirement R6: a key that is blocked between the decision and the release is not certified. Leaves
/// out: the decision itself, which the engine's and the product's tests show.
#[test]
fn r6_a_key_blocked_while_its_certificate_is_signed_is_not_certified() {
    let directory = tempfile::tempdir().unwrap();
    runtime().block_on(async {
        let house = House::new(directory.path()).await;
        let device = house.device("pump-1").await;
        let key = KeyPair::generate(KeyKind::P256).unwrap();
        let draft = house.draft(&device, &key, None, at(10));
        let signed = house.sign(house.reserve(draft, at(10)).await.unwrap());
        let hash = key.public().hash();
        let new = NewCompromise {
            what: Compromised::Key(hash),
            since: None,
            why: "a test".to_owned(),
            how: ProofOfCompromise::Said,
            devices: 0,
            certificates: 0,
        };
        let told = new.clone();
        let noted = house
            .store
            .record::<_, StoreError, _>(op(), move |tx| {
                compromise::add(tx, &told, &actor(), at(11))
            })
            .await
            .unwrap();
        assert!(matches!(noted, Noted::New(_)));
        let completed = house.complete(signed, at(12)).await.unwrap();
        let Completed::Voided { why } = completed else {
            panic!("it was released: {completed:?}");
        };
        assert!(why.contains("blocked"), "{why}");
        let why = house.store.glance(|tx| blocked_key::why(tx, hash)).unwrap();
        assert_eq!(why.as_deref(), Some("it is compromised: a test"));
        // Saying it again is no news.
        let again = house
            .store
            .record::<_, StoreError, _>(op(), move |tx| {
                let noted = compromise::add(tx, &new, &actor(), at(13))?;
                tx.excuse("it is known");
                Ok(noted)
            })
            .await
            .unwrap();
        assert_eq!(again, Noted::Known(noted.no()));
    });
}
