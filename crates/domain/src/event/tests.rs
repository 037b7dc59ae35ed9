use super::*;
use crate::hook::{HookKind, Wire};
use crate::relying_party::{PeerProtocol, RevocationCheck, SessionCheck};
use crate::trust_change::TrustChangeKind;

fn every_kind() -> Vec<Event> {
    let serial = Serial::from_der_value(&[0x4f, 0x01]);
    let key = KeyHash([7; 32]);
    let at = Time::from_unix(1_790_000_000);
    let device = DeviceFields {
        class: "pump".into(),
        criticality: Criticality::High,
        id: "pump-17".parse().unwrap(),
        manufacturer: "Acme".into(),
        model: "P1".into(),
        owner: "Hydraulics".into(),
        serial: "SN-17".into(),
        services: vec!["broker".into()],
        site: "Hall 3".into(),
    };
    let s = String::from;
    let party = RelyingPartyFields {
        address: s("broker-3.plant.example:8883"),
        anchors_hash: s("00"),
        checks: RevocationCheck::Crl,
        criticality: Criticality::Safety,
        enforce_within_s: 300,
        issuers: vec![s("issuing-1")],
        name: s("broker-3"),
        owner: s("Hydraulics"),
        protocol: PeerProtocol::Mqtt,
        server_name: s("broker-3.plant.example"),
        services: vec![s("broker")],
        session: SessionCheck::Handshake,
        site: s("Hall 3"),
    };
    let hook = HookFields {
        address: s("mqtts://broker-3.plant.example:8883"),
        again_after_s: 300,
        anchors_hash: s("00"),
        audience: s(""),
        changes: vec![TrustChangeKind::CertificateRevoked],
        criticality: Criticality::High,
        kind: HookKind::Mosquitto,
        name: s("broker-3"),
        owner: s("Hydraulics"),
        topic: s(""),
        wire: Wire::Encrypted,
    };
    vec![
        Event::OwnerAdded {
            contact_hash: s("00"),
            name: s("Hydraulics"),
        },
        Event::OwnerChanged {
            contact_hash: s("00"),
            name: s("Hydraulics"),
        },
        Event::SiteAdded {
            name: s("Hall 3"),
            parent: Some(s("Plant")),
        },
        Event::SiteChanged {
            name: s("Hall 3"),
            parent: None,
        },
        Event::ClassAdded {
            class: s("pump"),
            hash: s("00"),
        },
        Event::ClassChanged {
            class: s("pump"),
            hash: s("00"),
        },
        Event::ServiceAdded { name: s("broker") },
        Event::ServiceChanged { name: s("broker") },
        Event::ManufacturerAdded {
            name: s("acme"),
            roots: vec![s("00")],
        },
        Event::ManufacturerChanged {
            name: s("acme"),
            roots: vec![s("00")],
        },
        Event::DeviceRegistered(device.clone()),
        Event::DeviceChanged(device),
        Event::DeviceStandingChanged {
            from: Standing::Expected,
            to: Standing::Enrolled,
            why: s("first certificate \"x\"\n"),
        },
        Event::DeviceRecognised {
            anchor: s("acme/SN-17"),
        },
        Event::ImportStarted {
            import: s("i1"),
            rows: 3,
        },
        Event::ImportFinished {
            added: 1,
            changed: 1,
            import: s("i1"),
            unchanged: 1,
        },
        Event::SecretIssued {
            expires: s("2026-01-01T00:00:00Z"),
        },
        Event::SecretRefused { why: s("wrong") },
        Event::CertificateReserved {
            issuer: s("issuing-1"),
            key,
            serial: serial.clone(),
            tbs_hash: s("00"),
        },
        Event::CertificateIssued(Box::new(IssuedFields {
            certificate_hash: s("00"),
            evidence: s("secret"),
            facts_hash: s("00"),
            issuer: s("issuing-1"),
            key,
            not_after: at.plus(86400),
            not_before: at,
            policy: s("00"),
            predecessor: Some(serial.clone()),
            profile: s("device"),
            rule: s("first"),
            serial: serial.clone(),
            shard: 3,
            via: s("est"),
        })),
        Event::CertificateVoided {
            issuer: s("issuing-1"),
            serial: serial.clone(),
            why: s("x"),
        },
        Event::AskHeld {
            key,
            reason: s("approval"),
        },
        Event::AskApproved { key },
        Event::AskRefusedByOperator { key },
        Event::AskRefused {
            reason: s("standing"),
            rule: s("none"),
        },
        Event::StrangersRefused {
            count: 4,
            listener: s("device"),
            minute: s("2026-01-01T00:00:00Z"),
            reason: s("not-authenticated"),
            source_hash: s("00"),
        },
        Event::RepairApproved {
            why: s("a new board"),
        },
        Event::CertificateRevoked {
            invalidity: Some(at),
            issuer: s("issuing-1"),
            reason: Reason::KeyCompromise,
            serial: serial.clone(),
        },
        Event::CertificateHeld {
            issuer: s("issuing-1"),
            serial: serial.clone(),
            why: s("fork"),
        },
        Event::CertificateReleased {
            issuer: s("issuing-1"),
            serial: serial.clone(),
        },
        Event::CertificateFirstUsed {
            serial,
            service: s("broker"),
        },
        Event::StatusSigned {
            count: 9,
            day: s("2026-01-01"),
            issuer: s("issuing-1"),
        },
        Event::IncidentOpened {
            incident: 1,
            kind: s("fork"),
            serials: vec![s("4f01")],
        },
        Event::IncidentResolved {
            incident: 1,
            outcome: s("kept 4f01"),
        },
        Event::FindingOpened {
            cause: s("fork"),
            criticality: Criticality::High,
            evidence: vec![s("incident 1")],
            finding: 1,
            kind: s("incident"),
            owner: Some(s("Hydraulics")),
            subject: s("device pump-17"),
            times: 2,
        },
        Event::FindingAcknowledged {
            finding: 1,
            why: s("a person is on the way"),
        },
        Event::FindingCleared {
            finding: 1,
            why: s("the incident was decided"),
        },
        Event::RelyingPartyAdded(Box::new(party.clone())),
        Event::RelyingPartyChanged(Box::new(party)),
        Event::RelyingPartyRemoved {
            name: s("broker-3"),
        },
        Event::RelyingPartyProbed {
            enforced_ms: Some(412),
            name: s("broker-3"),
            probe: 7,
            scope: ProbeScope::Matrix,
            trials: vec![s("valid of issuing-1: accepted (MQTT CONNACK 0)")],
            verdict: ProbeVerdict::Proven,
        },
        Event::AccessDecided {
            access: s("deny"),
            facts_hash: s("00"),
            party: Some(s("broker-3")),
            reasons: vec![s("certificate-revoked"), s("not-attested")],
            service: Some(s("telemetry")),
            tier: s("quarantine"),
            verdict: s("untrusted"),
        },
        Event::AccessDenied {
            count: 17,
            minute: s("2026-11-22T08:00:00Z"),
            party: None,
            reason: s("unknown-certificate"),
            service: None,
        },
        Event::DeviceAttested {
            evidence_hash: s("00"),
            made: Time::from_unix(1_790_000_000),
            result: AttestationResult::Affirming,
            verifier: s("veraison"),
        },
        Event::ExceptionAdded {
            exception: 7,
            lifts: vec![s("certificate-expired")],
            reason: s("its maker is bankrupt"),
            scope: s("device pump-17"),
            until: Time::from_unix(1_790_000_000),
        },
        Event::ExceptionApproved { exception: 7 },
        Event::ExceptionEnded {
            exception: 7,
            why: s("the new pump is in"),
        },
        Event::ExceptionLapsed { exception: 7 },
        Event::RevocationsPermitted {
            operator: 3,
            permit: 1,
            revocations: 500,
            until: Time::from_unix(1_790_000_000),
            why: s("the old line is torn down"),
        },
        Event::FeedsOffered {
            digest: s("00"),
            feeds: 2,
        },
        Event::FeedApplied {
            manifest: s("00"),
            name: s("broker-3"),
            sequence: 1_790_000_000,
            way: Way::Pull,
        },
        Event::IssuerCreated {
            algorithm: s("ecdsa-p256"),
            certificate_hash: s("00"),
            issuer: s("issuing-1"),
            shards: 16,
        },
        Event::HookAdded(Box::new(hook.clone())),
        Event::HookChanged(Box::new(hook)),
        Event::HookRemoved {
            name: s("broker-3"),
        },
        Event::HookSetBack {
            after: 411,
            name: s("broker-3"),
        },
        Event::IssuerChanged {
            base_url: s("http://pki.example"),
            issuer: s("issuing-1"),
        },
        Event::RolloverBegun {
            issuer: s("issuing-2"),
            replaces: s("issuing-1"),
        },
        Event::RootCrossCertified {
            by: s("root"),
            issuer: s("root-2"),
            serial: Serial::from_der_value(&[0x4f, 0x02]),
        },
        Event::IssuerMoved {
            exceptions: vec![s("broker-9")],
            from: IssuerState::Distributed,
            issuer: s("issuing-2"),
            to: IssuerState::Active,
            why: s("broker-9 is replaced on Monday"),
        },
        Event::TrustStoreReported {
            added: vec![s("00")],
            anchors: 2,
            name: s("broker-3"),
            removed: vec![s("01")],
        },
        Event::TrustStoreBudgeted {
            anchors_max: 4,
            name: s("broker-3"),
        },
        Event::AnchorRegistered {
            fingerprint: s("00"),
            owner: s("Hydraulics"),
            relying_parties: vec![s("broker-3")],
            until: at,
            why: s("the old pumps"),
        },
        Event::AnchorPruned {
            fingerprint: s("00"),
            name: s("broker-3"),
            proof: s("0 certificates of it in force"),
            why: s("it is old"),
        },
        Event::AnchorRestored {
            fingerprint: s("00"),
            name: s("broker-3"),
            why: s("it was needed"),
        },
        Event::PolicyApplied {
            hash: s("00"),
            version: 2,
        },
        Event::TokenCreated {
            name: s("ops"),
            party: None,
            role: Role::Operator,
            token: 2,
        },
        Event::TokenRevoked {
            name: s("ops"),
            token: 2,
        },
        Event::KeyRewrapped {
            key: s("issuing-1"),
        },
        Event::ExportMade {
            hash: s("00"),
            what: s("devices"),
        },
        Event::BackupCreated { hash: s("00") },
        Event::BackupRestored {
            from: s("2026-01-01T00:00:00Z"),
        },
        Event::ServerStarted {
            version: s("0.1.0"),
        },
        Event::ServerStopped {},
        Event::LogOriginChanged {
            new: s("b"),
            old: s("a"),
        },
        Event::ClockSetBack { behind_s: 301 },
        Event::KeyCompromised {
            certificates: 2,
            devices: 1,
            how: ProofOfCompromise::Proved,
            invalidity: Some(at),
            key,
            why: s("it was in a public repository"),
        },
        Event::IssuerCompromised {
            certificates: 2000,
            devices: 1000,
            issuer: s("issuing-1"),
            why: s("its module was opened"),
        },
        Event::KeysListed {
            added: 3,
            hash: s("00"),
            list: s("debian-2008"),
        },
        Event::DrillBegan {
            drill: 4,
            kind: DrillKind::Revoke,
            subjects: vec![s("issuing-1")],
        },
        Event::DrillEnded {
            drill: 4,
            kind: DrillKind::Revoke,
            result_hash: s("00"),
            steps: vec![s("good broker-3: refused after 41 ms")],
            subjects: vec![s("issuing-1")],
            verdict: DrillVerdict::Passed,
        },
    ]
}

fn leaf(event: Event) -> Vec<u8> {
    let actor = Actor::Operator {
        name: "admin".into(),
        no: crate::ids::OperatorNo(1),
        role: Role::Admin,
    };
    let at = Time::from_unix(1_790_000_000);
    let id = "pump-17".parse().unwrap();
    Entry::new(actor, at, event)
        .about(DeviceNo(1), &id)
        .told()
        .leaf([1; 16], at.plus(1))
}

/// `serde_json` sorts the keys of a parsed object, so writing the parsed value back is the
/// canonical form of what RFC 8785 asks for with ASCII keys and integers.
#[test]
fn every_leaf_is_canonical_as_written() {
    for event in every_kind() {
        let word = event.word();
        let leaf = leaf(event);
        let value: serde_json::Value = serde_json::from_slice(&leaf).unwrap();
        let canonical = serde_json::to_vec(&value).unwrap();
        assert_eq!(
            String::from_utf8_lossy(&leaf),
            String::from_utf8_lossy(&canonical),
            "{word} has fields out of order"
        );
    }
}

#[test]
fn the_kinds_number_and_word_name_each_variant_once() {
    let mut codes = std::collections::BTreeSet::new();
    for event in every_kind() {
        assert!(
            codes.insert(event.code()),
            "{} shares a number",
            event.word()
        );
        assert_eq!(Event::word_of(event.code()), Some(event.word()));
        let value = serde_json::to_value(&event).unwrap();
        let named = value.as_object().unwrap().keys().next().unwrap().clone();
        assert_eq!(named, event.word(), "the leaf and the word differ");
    }
    assert_eq!(codes.len(), every_kind().len());
}

/// The golden file only ever gains lines: what an auditor kept from years ago still reads the same.
#[test]
fn every_leaf_is_as_it_always_was() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/vectors/leaves.jsonl");
    let written: String = every_kind()
        .into_iter()
        .map(|event| String::from_utf8(leaf(event)).unwrap() + "\n")
        .collect();
    if std::env::var_os("TENURE_BLESS").is_some() {
        std::fs::create_dir_all(concat!(env!("CARGO_MANIFEST_DIR"), "/vectors")).unwrap();
        std::fs::write(path, &written).unwrap();
    }
    let golden = std::fs::read_to_string(path).unwrap_or_default();
    for line in golden.lines() {
        assert!(
            written.lines().any(|now| now == line),
            "this leaf changed or vanished:\n{line}"
        );
    }
    assert_eq!(
        golden.lines().count(),
        written.lines().count(),
        "bless the new variants' leaves"
    );
}
