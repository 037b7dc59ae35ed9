//! Exceptions and attestation on a whole house, and what is erased when its time is over.

mod house;

use house::House;
use tenure_domain::Refusal;
use tenure_domain::attestation::{Attestation, AttestationResult};
use tenure_domain::change::Change;
use tenure_domain::decision::{Access, Ground, Tier};
use tenure_domain::exception::{ExceptionState, NewException, Scope};
use tenure_domain::ids::{DeviceNo, ExceptionNo, OperatorNo};
use tenure_domain::operator::{Actor, Role};
use tenure_engine::store::{event, exception};
use tenure_engine::{
    Agreement, Changed, DecideAsk, Decided, Identity, Observation, Observed, Rejection,
};
use tenure_x509::Time;

async fn ready() -> House {
    let house = House::found().await;
    house.engine.publish().await.unwrap();
    house.enrolled("pump-1").await;
    house
}

fn decide(house: &House) -> Decided {
    let ask = DecideAsk {
        identity: Identity::Named,
        question: tenure_domain::decision::Question {
            device: Some("pump-1".parse().unwrap()),
            service: Some("broker".parse().unwrap()),
            ..Default::default()
        },
    };
    house.engine.decide(&ask).unwrap()
}

fn operator(name: &str, no: i64) -> Actor {
    Actor::Operator {
        name: name.to_owned(),
        no: OperatorNo(no),
        role: Role::Operator,
    }
}

async fn attest(
    house: &House,
    actor: Actor,
    result: AttestationResult,
) -> Result<Observed, Rejection> {
    let said = Attestation {
        verifier: "veraison".parse().unwrap(),
        result,
        made: house.clock.now(),
        evidence: "5f".repeat(32),
    };
    let device = "pump-1".parse().unwrap();
    let seen = Observation::Attested {
        actor,
        device,
        said,
    };
    house.engine.observe(seen).await
}

fn wanted(scope: Scope, until: Time) -> NewException {
    NewException {
        scope,
        lifts: vec![Ground::AttestationContraindicated].try_into().unwrap(),
        reason: "the press stands until Friday".to_owned(),
        until,
    }
}

async fn propose(house: &House, new: NewException) -> Result<ExceptionNo, Refusal> {
    let change = Change::AddException(new);
    match house.engine.change(&operator("ada", 11), change).await {
        Ok(Changed::Exception(no)) => Ok(no),
        Err(Rejection::Refusal(refusal)) => Err(refusal),
        other => panic!("{other:?}"),
    }
}

async fn approve(house: &House, no: ExceptionNo, actor: &Actor) -> Result<(), Refusal> {
    match house
        .engine
        .change(actor, Change::ApproveException(no))
        .await
    {
        Ok(_) => Ok(()),
        Err(Rejection::Refusal(refusal)) => Err(refusal),
        other => panic!("{other:?}"),
    }
}

fn events(house: &House) -> Vec<&'static str> {
    let kinds = house.engine.store().glance(|tx| {
        let device = tenure_engine::store::device::by_id(
            tx,
            house.engine.tenant(),
            &"pump-1".parse().unwrap(),
        )?;
        let no: DeviceNo = device.unwrap().no;
        event::of_device(tx, no, None, 100)
    });
    let kinds: Vec<_> = kinds.unwrap().into_iter().map(|row| row.kind).collect();
    kinds.into_iter().rev().collect()
}

/// Requirement K1: scope, end, reviewer and reason are needed; it lifts nothing before the review; and
/// when its time is over it lapses and enforcement resumes, whether or not anyone wrote that down.
#[tokio::test]
async fn k1_an_exception_is_reviewed_bounded_and_lapses_by_itself() {
    let house = ready().await;
    let verifier = Actor::Operator {
        name: "veraison".to_owned(),
        no: OperatorNo(9),
        role: Role::Verifier,
    };
    attest(&house, verifier, AttestationResult::Contraindicated)
        .await
        .unwrap();
    assert_eq!(
        decide(&house).verdict.grounds[0],
        Ground::AttestationContraindicated
    );

    let pump = Scope::Device("pump-1".parse().unwrap());
    let now = house.clock.now();
    let no = propose(&house, wanted(pump.clone(), now.plus(120)))
        .await
        .unwrap();
    assert_eq!(
        decide(&house).verdict.access,
        Access::Deny,
        "nobody looked at it yet"
    );
    for own in [
        operator("ada", 11),
        operator("ada", 12),
        Actor::system("prune"),
    ] {
        let refused = approve(&house, no, &own).await.unwrap_err();
        assert!(matches!(refused, Refusal::Conflict { .. }), "{refused}");
    }
    let reader = Actor::Operator {
        name: "rita".to_owned(),
        no: OperatorNo(13),
        role: Role::Reader,
    };
    let refused = approve(&house, no, &reader).await.unwrap_err();
    assert!(matches!(refused, Refusal::Forbidden { .. }), "{refused}");
    assert_eq!(decide(&house).verdict.access, Access::Deny);

    approve(&house, no, &operator("bob", 12)).await.unwrap();
    let decided = decide(&house);
    assert_eq!(
        (decided.verdict.access, decided.verdict.tier),
        (Access::Allow, Tier::Limited)
    );
    assert_eq!(decided.verdict.grounds[0], Ground::Excepted);
    house.pass(100);
    let last = decide(&house);
    assert_eq!(last.verdict.access, Access::Allow);
    assert_eq!(
        last.verdict.valid_until,
        now.plus(120),
        "no verdict outlives it"
    );
    house.pass(20);
    assert_eq!(decide(&house).verdict.access, Access::Deny, "it has lapsed");
    // Only now is it written down.
    assert_eq!(house.engine.lapse_exceptions().await.unwrap(), 1);
    assert_eq!(house.engine.lapse_exceptions().await.unwrap(), 0);
    let kept = house
        .engine
        .store()
        .glance(|tx| exception::by_no(tx, no))
        .unwrap()
        .unwrap();
    assert_eq!(kept.kept, ExceptionState::Lapsed);
    assert_eq!(kept.over.unwrap().at, now.plus(120));
    assert_eq!(decide(&house).verdict.access, Access::Deny);
    let told = events(&house);
    let of_it: Vec<_> = told
        .iter()
        .filter(|word| word.starts_with("exception-"))
        .collect();
    assert_eq!(
        of_it,
        [
            &"exception-added",
            &"exception-approved",
            &"exception-lapsed"
        ]
    );
    assert!(told.contains(&"device-attested"));

    // While it held and after, each verdict can be made again.
    house.engine.record_verdicts().await.unwrap();
    for then in [&decided, &last] {
        let again = house.engine.replay(&then.id).unwrap();
        assert_eq!(again.agreement, Agreement::Same, "{again:?}");
        assert_eq!(again.verdict.evidence, then.verdict.evidence);
    }
}

/// Requirement K1: what is not registered, has no end within reach or no reason gets none; for a class
/// and a site it holds all of them; whoever ends it ends it at once.
#[tokio::test]
async fn k1_an_exception_needs_a_scope_an_end_and_a_reason() {
    let house = ready().await;
    let (now, day) = (house.clock.now(), 86_400);
    let pump = || Scope::Device("pump-1".parse().unwrap());
    let refused = [
        wanted(Scope::Device("pump-99".parse().unwrap()), now.plus(day)),
        wanted(Scope::Class("unheard-of".parse().unwrap()), now.plus(day)),
        wanted(Scope::Site("Nowhere".parse().unwrap()), now.plus(day)),
        wanted(pump(), now),
        wanted(pump(), now.plus(30 * day + 1)),
        NewException {
            reason: " ".to_owned(),
            ..wanted(pump(), now.plus(day))
        },
    ];
    for new in refused {
        let scope = new.scope.to_string();
        let refused = propose(&house, new).await.unwrap_err();
        let is_known = matches!(
            refused,
            Refusal::NotFound { .. } | Refusal::BadRequest { .. }
        );
        assert!(is_known, "{scope}: {refused}");
    }
    assert!(
        propose(&house, wanted(pump(), now.plus(30 * day)))
            .await
            .is_ok()
    );

    let admin = house.admin.clone();
    attest(&house, admin, AttestationResult::Contraindicated)
        .await
        .unwrap();
    let device = house.engine.store().glance(|tx| {
        let id = "pump-1".parse().unwrap();
        tenure_engine::store::device::by_id(tx, house.engine.tenant(), &id)
    });
    let device = device.unwrap().unwrap();
    for scope in [Scope::Class(device.class), Scope::Site(device.site)] {
        assert_eq!(decide(&house).verdict.access, Access::Deny);
        let no = propose(&house, wanted(scope, now.plus(day))).await.unwrap();
        approve(&house, no, &operator("bob", 12)).await.unwrap();
        assert_eq!(decide(&house).verdict.access, Access::Allow);
        let end = Change::EndException {
            exception: no,
            why: "mended".to_owned(),
        };
        house
            .engine
            .change(&operator("ada", 11), end.clone())
            .await
            .unwrap();
        assert_eq!(
            decide(&house).verdict.access,
            Access::Deny,
            "it ends at once"
        );
        let twice = house.engine.change(&operator("ada", 11), end).await;
        assert!(matches!(
            twice,
            Err(Rejection::Refusal(Refusal::Conflict { .. }))
        ));
    }
}

/// What verdicts rested on is erased after 400 days; facts that still hold are recorded once more.
#[tokio::test]
async fn p1_what_a_verdict_rested_on_is_kept_for_its_time() {
    let house = ready().await;
    let first = decide(&house);
    assert_eq!(house.engine.record_verdicts().await.unwrap(), 1);
    house.pass(399 * 86_400);
    assert_eq!(house.engine.erase_old().await.unwrap(), 0);
    house.pass(2 * 86_400);
    house.engine.publish().await.unwrap();
    let second = decide(&house);
    assert_eq!(house.engine.record_verdicts().await.unwrap(), 1);
    assert_eq!(house.engine.erase_old().await.unwrap(), 1);
    let gone = house.engine.replay(&first.id).unwrap_err();
    assert!(gone.to_string().contains("erased"), "{gone}");
    assert_eq!(
        house.engine.replay(&second.id).unwrap().agreement,
        Agreement::Same
    );

    house.pass(401 * 86_400);
    house.engine.publish().await.unwrap();
    assert_eq!(house.engine.erase_old().await.unwrap(), 1);
    assert!(house.engine.replay(&second.id).is_err());
    let third = decide(&house);
    assert_eq!(third.id.facts, second.id.facts, "they rest on the same");
    assert_eq!(house.engine.record_verdicts().await.unwrap(), 1);
    for said in [&second, &third] {
        assert_eq!(
            house.engine.replay(&said.id).unwrap().agreement,
            Agreement::Same
        );
    }
    let decided = events(&house)
        .into_iter()
        .filter(|word| *word == "access-decided")
        .count();
    assert_eq!(decided, 3, "the record keeps what was said");
}
