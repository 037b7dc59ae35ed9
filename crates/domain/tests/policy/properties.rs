use std::sync::{Arc, OnceLock};

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use tenure_domain::ask::Protocol;
use tenure_domain::certificate::{CertificateRow, Status};
use tenure_domain::device::Criticality;
use tenure_domain::facts::{Earlier, KeyUse, Ruling, Subject};
use tenure_domain::policy::{decide, document};
use tenure_domain::profile::{SanTemplate, Template};
use tenure_domain::registry::{Class, ServerKeygen};
use tenure_domain::{Ask, CertificateNo, Decision, Facts, Operation, Standing};
use tenure_x509::{Cert, Csr, KeyPair, Time};

use crate::fixture::*;

/// What costs time to make, made once.
struct World {
    house: House,
    holder: Subject,
    certificate: Cert,
    requests: Vec<Csr>,
}

fn world() -> &'static World {
    static WORLD: OnceLock<World> = OnceLock::new();
    WORLD.get_or_init(|| {
        let house = House::new();
        let (holder, certificate, own_key) = house.enrolled();
        let keys: Vec<KeyPair> = (0..3).map(|_| key()).collect();
        let requests = keys.iter().chain([&own_key]).map(csr).collect();
        World {
            house,
            holder,
            certificate,
            requests,
        }
    })
}

fn any_of<T: Clone + std::fmt::Debug + 'static>(values: &'static [T]) -> impl Strategy<Value = T> {
    proptest::sample::select(values)
}

const LABELS: &[Option<&str>] = &[
    None,
    None,
    Some("device"),
    Some("device-server"),
    Some("idevid"),
    Some("tenure-server"),
];

// Plausible values come more often, so that a good part of the asks gets past the first checks.
const STANDINGS: &[Standing] = &[
    Standing::Expected,
    Standing::Expected,
    Standing::Enrolled,
    Standing::Enrolled,
    Standing::Enrolled,
    Standing::Enrolled,
    Standing::Enrolled,
    Standing::Enrolled,
    Standing::Suspended,
    Standing::Quarantined,
    Standing::InTransfer,
    Standing::Retired,
    Standing::Destroyed,
];

const STATUSES: &[Status] = &[
    Status::Issued,
    Status::Issued,
    Status::Issued,
    Status::Issued,
    Status::Replaced,
    Status::Replaced,
    Status::Reserved,
    Status::Voided,
    Status::Held,
    Status::Revoked,
];

const OPERATIONS: &[Operation] = &[
    Operation::Enroll,
    Operation::Enroll,
    Operation::Renew,
    Operation::Renew,
    Operation::ServerKeygen,
];

const PROOFS: &[&str] = &[
    "fitting", "fitting", "fitting", "fitting", "fitting", "secret", "current", "none",
];

const RULINGS: &[Option<Ruling>] = &[
    None,
    Some(Ruling::Waiting),
    Some(Ruling::Approved),
    Some(Ruling::Refused),
];

prop_compose! {
    /// A head before or beside the presented certificate, in any state.
    fn head()(
        no in 1_i64..4,
        status in any_of(STATUSES),
        is_successor in any::<bool>(),
        is_used in any::<bool>(),
        ends_in_days in -2_i64..100,
    ) -> CertificateRow {
        let mut row = world().holder.head.clone().unwrap();
        row.no = CertificateNo(no);
        row.status = status;
        row.predecessor = is_successor.then_some(CertificateNo(1));
        row.first_used = is_used.then_some(NOW);
        row.validity.not_after = NOW.plus(ends_in_days * DAY);
        row
    }
}

prop_compose! {
    /// An ask and the facts about it, from plausible to absurd.
    fn asked()(
        operation in any_of(OPERATIONS),
        proof in any_of(PROOFS),
        label in any_of(LABELS),
        protocol in any_of(Protocol::ALL),
        request in 0_usize..4,
        standing in any_of(STANDINGS),
        criticality in any_of(Criticality::ALL),
        head in proptest::option::of(head()),
        presented in any_of(STATUSES),
        ruling in any_of(RULINGS),
        key_use in any_of(&[0_u8, 0, 0, 0, 0, 0, 0, 0, 1, 2]),
        is_asked_again in any::<bool>(),
        is_bound in proptest::bool::weighted(0.9),
        forgiven in 0_u8..4,
        serial in "[ -~]{0,70}",
        keygen in any_of(ServerKeygen::ALL),
    ) -> (Ask, Facts) {
        let world = world();
        let mut ask = ask(operation, world.requests[request].clone());
        ask.via.label = label.map(|label| label.parse().unwrap());
        ask.via.protocol = protocol;
        let mut subject = world.holder.clone();
        subject.device.standing = standing;
        subject.device.criticality = criticality;
        subject.device.serial = serial;
        if !is_bound {
            subject.device.services.clear();
        }
        subject.class = Arc::new(Class { server_keygen: keygen, ..(*subject.class).clone() });
        subject.forgiven = forgiven;
        let mut row = subject.head.take().unwrap();
        row.status = presented;
        subject.head = head.clone();
        let evidence = match proof {
            "secret" => secret(&ask),
            "fitting" if operation != Operation::Renew => secret(&ask),
            _ => current(&world.certificate, &row),
        };
        let mut facts = world.house.facts(subject, evidence);
        if proof == "none" {
            facts.evidence.clear();
        }
        facts.ruling = ruling;
        facts.key_use = match key_use {
            1 => Some(KeyUse::OtherDevice("other".parse().unwrap())),
            2 => Some(KeyUse::Blocked { why: "weak".to_owned() }),
            _ => None,
        };
        facts.earlier = head
            .filter(|_| is_asked_again)
            .map(|row| Earlier { certificate: row.no, row });
        (ask, facts)
    }
}

/// The asks that are tried come out in every way, so that the properties below speak of something.
#[test]
fn the_asks_that_are_tried_come_out_in_every_way() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut counts = [0; 4];
    for _ in 0..2000 {
        let (ask, facts) = asked().new_tree(&mut runner).unwrap().current();
        let kind = match decide(&world().house.policy, &ask, &facts, NOW) {
            Decision::Allow(_) => 0,
            Decision::Replay(_) => 1,
            Decision::Hold(_) => 2,
            Decision::Refuse(_) => 3,
        };
        counts[kind] += 1;
    }
    assert!(counts.iter().all(|count| *count >= 20), "{counts:?}");
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    /// The same question gets the same answer.
    #[test]
    fn a_decision_is_a_value_of_its_arguments((ask, facts) in asked()) {
        let policy = &world().house.policy;
        let first = format!("{:?}", decide(policy, &ask, &facts, NOW));
        prop_assert_eq!(first, format!("{:?}", decide(policy, &ask, &facts, NOW)));
    }

    /// No device gets anything in a standing that may not enroll, without evidence, without a
    /// binding, or with a key that is not its own; and whatever is granted fits the ask.
    #[test]
    fn nothing_is_given_to_whom_it_may_not_be_given((ask, facts) in asked()) {
        let decision = decide(&world().house.policy, &ask, &facts, NOW);
        let device = &facts.subject.as_ref().unwrap().device;
        let may = device.standing.may_enroll().is_ok();
        match decision {
            Decision::Allow(grant) => {
                prop_assert!(may && !facts.evidence.is_empty() && facts.key_use.is_none());
                prop_assert!(!device.services.is_empty());
                prop_assert_eq!(grant.key(), ask.csr.public_key().hash());
                prop_assert!(grant.profile().kind.is_for_devices());
                prop_assert!(!grant.profile().revocation.is_empty());
                let dates = grant.validity();
                let issuer = world().house.issuer.certificate.validity();
                prop_assert!(dates.contains(NOW) && dates.not_after <= issuer.not_after);
                prop_assert!(issuer.not_before <= dates.not_before && dates.not_after < Time::NEVER);
                let id = device.id.as_str();
                prop_assert!(grant.subject().to_string().contains(id));
                prop_assert!(grant.san().iter().all(|name| name.to_string().contains(id)));
                let head = facts.subject.as_ref().unwrap().head.as_ref();
                let follows_head = grant.predecessor().map(|row| row.no) == head.map(|row| row.no);
                prop_assert!(follows_head || grant.displaced() == head.map(|row| row.no));
                prop_assert!(ask.operation != Operation::Renew || facts.evidence[0].word() == "current-certificate");
                prop_assert!(grant.draft(&ask.csr, [5; 24]).is_ok());
            }
            Decision::Replay(no) => {
                let head = facts.subject.as_ref().unwrap().head.as_ref().unwrap();
                prop_assert!(may && !facts.evidence.is_empty());
                prop_assert!(head.no == no && head.is_live(NOW));
            }
            Decision::Hold(_) => prop_assert!(may && facts.ruling != Some(Ruling::Refused)),
            Decision::Refuse(_) => {}
        }
    }

    /// Whatever the registry holds, names are computed or refused, and nothing of one field can
    /// change the kind of name or become a wildcard.
    #[test]
    fn filling_a_template_never_panics(
        template in "(dns|uri|ip):[a-z.{}-]{0,10}(\\{device\\.(id|serial|model)\\}|\\{site\\}|\\{owner\\})[a-z.*/ -]{0,10}",
        id in "[A-Za-z0-9._-]{1,64}",
        serial in any::<String>(),
        model in any::<String>(),
    ) {
        let mut device = device(&id);
        device.serial = serial;
        device.model = model;
        if let Ok(san) = template.parse::<SanTemplate>() {
            prop_assert_eq!(san.to_string(), template);
            if let Ok(name) = san.fill(&device) {
                prop_assert!(!matches!(&name, tenure_x509::SanName::Dns(dns) if dns.contains('*')));
            }
        }
    }

    /// Any text is a template or says why not; one that is, is written again as it was read.
    #[test]
    fn any_text_is_read_as_a_template_or_refused(text in any::<String>()) {
        if let Ok(template) = text.parse::<Template>() {
            prop_assert_eq!(template.to_string(), text);
            let _ = template.fill(&device("pump-17"));
        }
    }

    /// Any text is a document or says why not.
    #[test]
    fn any_text_is_read_as_a_document_or_refused(
        text in "(\\[\\[(rule|profile|test)\\]\\]\n|(name|kind|life|keys|action|operations|subject|san) = (\"[a-z:{}.*]{0,12}\"|\\[\"[a-z:{}.*]{0,12}\"\\]|[0-9]{1,3}|\\{ a = 1 \\})\n|[ -~\n]{0,6}){0,12}"
    ) {
        if let Err(error) = document::parse(&text, 1) {
            let lines = text.lines().count().max(1) + 1;
            prop_assert!(!error.0.is_empty());
            prop_assert!(error.0.iter().all(|mistake| (1..=lines).contains(&mistake.line)));
        }
    }
}
