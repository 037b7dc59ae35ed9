//! What is required, by its number, as far as devices and operators can see it.

use std::fs;

use serde_json::{Value, json};
use tenure_field::http::Response;
use tenure_tests::api::Api;
use tenure_tests::http::{Caller, certificate, identity, request};
use tenure_tests::{House, PLACE, have, revoke, text, tool, try_tool, until};
use tenure_tlog::{Checkpoint, Hash, Note, leaf_hash, verify_inclusion};
use tenure_x509::{
    CaConstraint, Cert, CertificateSpec, Extensions, KeyKind, KeyPair, KeyUsage, Serial, oid,
};

use super::TENURE;

fn key() -> KeyPair {
    KeyPair::generate(KeyKind::P256).unwrap()
}

fn status(response: &Response) -> u16 {
    response.status.as_u16()
}

fn enrolled(house: &House, id: &str) -> (Cert, KeyPair, String) {
    let secret = house.device(id);
    let key = key();
    let caller = Caller::new(&house.root());
    let answer = caller.enroll(
        &house.est("simpleenroll"),
        &request(&key, id),
        Some((id, &secret)),
    );
    (certificate(&answer), key, secret)
}

fn renewal(house: &House, cert: &Cert, key: &KeyPair, id: &str) -> Response {
    let caller = Caller::with_identity(&house.root(), identity(cert, key));
    caller.enroll(
        &house.est("simplereenroll"),
        &request(&self::key(), id),
        None,
    )
}

/// A7, one key for two devices. Leaves out: alternative names that fit several, which no profile can
/// express (the document's own tests); one name for two, which `engine/tests/enroll.rs` tries; and keys
/// that devices share outside of what they ask us for.
#[test]
fn a7_no_certificate_is_for_a_group() {
    let house = House::serve(TENURE);
    let (_, shared, _) = enrolled(&house, "pump-1");
    let secret = house.device("pump-2");
    let caller = Caller::new(&house.root());
    let asked = request(&shared, "pump-2");
    let answer = caller.enroll(
        &house.est("simpleenroll"),
        &asked,
        Some(("pump-2", &secret)),
    );
    assert_eq!(status(&answer), 400, "{}", text(&answer.body));
    let open = house.ask(&["incident", "list"]);
    assert_eq!(open[0]["kind"], "shared-key", "{open:#}");
    assert!(
        house
            .ask(&["cert", "list", "--device", "pump-2"])
            .as_array()
            .unwrap()
            .is_empty()
    );
}

/// B4. Leaves out: imported certificates, which come with discovery; the owner, which the registry's type
/// cannot lack; and short-lived ones without a path, which `engine/tests/filter.rs` tries.
#[test]
fn b4_nothing_is_issued_without_a_binding_and_all_that_is_issued_has_its_paths() {
    let house = House::serve(TENURE);
    let (cert, ..) = enrolled(&house, "pump-1");
    assert!(!cert.crl_urls().is_empty() && !cert.ocsp_urls().is_empty());
    assert!(!cert.validity().not_after.is_never());
    let add = ["device", "add", "pump-2", "--class", "pump"];
    house.tell(&[&add[..], &PLACE].concat());
    let secret = house.tell(&["device", "secret", "pump-2"]);
    let caller = Caller::new(&house.root());
    let asked = request(&key(), "pump-2");
    let answer = caller.enroll(
        &house.est("simpleenroll"),
        &asked,
        Some(("pump-2", &secret)),
    );
    assert_eq!(status(&answer), 403);
    assert!(
        text(&answer.body).contains("service"),
        "{}",
        text(&answer.body)
    );
}

/// Leaves out: edge CAs and the scan that finds such certificates elsewhere.
#[test]
fn d2_a_certificate_signed_behind_our_back_is_noticed() {
    let house = House::serve(TENURE);
    let (cert, ..) = enrolled(&house, "pump-1");
    let issuer = Caller::plain().get(&house.public("/ca/issuing-1.cer"));
    let issuer = Cert::from_der(&issuer.body).unwrap();
    let pem = std::fs::read_to_string(house.data().join("keys/issuing-1.key")).unwrap();
    let stolen = KeyPair::from_encrypted_pem(&pem, tenure_tests::PASSPHRASE.as_bytes()).unwrap();
    let forged_key = key();
    let spec = CertificateSpec {
        serial: Serial::from_random([7; 20]),
        signature: stolen.signature_algorithm(),
        issuer: issuer.subject().clone(),
        validity: cert.validity(),
        subject: cert.subject().clone(),
        public_key: forged_key.public().clone(),
        extensions: Extensions {
            ca: CaConstraint::NotCa,
            key_usage: KeyUsage::DIGITAL_SIGNATURE,
            ext_key_usage: vec![oid::CLIENT_AUTH],
            san: cert.san().to_vec(),
            ..Extensions::default()
        },
    };
    let tbs = spec.tbs().unwrap();
    let forged = tbs.with_signature(&stolen.sign(tbs.as_der()).unwrap());
    let forged = Cert::from_der(&forged).unwrap();
    let answer = renewal(&house, &forged, &forged_key, "pump-1");
    assert_eq!(status(&answer), 401, "{}", text(&answer.body));
    let open = house.ask(&["incident", "list"]);
    assert_eq!(open[0]["kind"], "not-ours", "{open:#}");
    assert_eq!(
        open[0]["serials"][0],
        forged.serial().to_string().as_str(),
        "{open:#}"
    );
}

/// Leaves out: change of owner, which comes with transfers.
#[test]
fn g2_retirement_and_compromise_revoke_with_their_reasons() {
    let house = House::serve(TENURE);
    enrolled(&house, "pump-1");
    house.tell(&["device", "retire", "pump-1", "--yes"]);
    let (cert, ..) = enrolled(&house, "pump-2");
    let serial = cert.serial().to_string();
    house.tell(&revoke(&serial));
    for (id, reason) in [
        ("pump-1", "cessationOfOperation"),
        ("pump-2", "keyCompromise"),
    ] {
        let listed = house.ask(&["cert", "list", "--device", id]);
        assert_eq!(listed[0]["status"], "revoked", "{listed:#}");
        assert!(listed[0].to_string().contains(reason), "{listed:#}");
    }
}

/// G3: the inventory says that a device is gone, and nobody of us has to do anything. It may say so twice.
#[test]
fn g3_what_the_inventory_retires_is_revoked_and_both_names_are_on_record() {
    let house = House::serve(TENURE);
    enrolled(&house, "pump-1");
    let token = house.tell(&["token", "create", "--name", "cmdb", "--role", "operator"]);
    let inventory = Api::with(&house, &token);
    let gone = json!({"why": "CMDB retirement CHG-0004711"});
    let headers = [
        ("content-type", "application/json"),
        ("idempotency-key", "CHG-0004711"),
    ];
    let told = || {
        let body = gone.to_string();
        inventory.send("POST", "/devices/pump-1/retire", &headers, body.as_bytes())
    };
    let answer = told();
    assert_eq!(status(&answer), 200, "{}", text(&answer.body));
    let after = inventory.all("/events?device=pump-1");
    let again = told();
    assert_eq!(status(&again), 200, "{}", text(&again.body));
    assert_eq!(inventory.all("/events?device=pump-1").len(), after.len());

    let listed = house.ask(&["cert", "list", "--device", "pump-1"]);
    assert_eq!(listed[0]["status"], "revoked", "{listed:#}");
    assert_eq!(listed[0]["reason"], "cessationOfOperation", "{listed:#}");
    let of = |kind: &str| {
        let found = after.iter().find(|event| event["what"] == kind);
        found.unwrap_or_else(|| panic!("no {kind} in {after:#?}"))
    };
    let (stood, revoked) = (of("device-standing-changed"), of("certificate-revoked"));
    for event in [stood, revoked] {
        assert_eq!(event["device"], "pump-1", "{event:#}");
        assert!(event["by"].to_string().contains("cmdb"), "{event:#}");
    }
    assert!(stood.to_string().contains("CHG-0004711"), "{stood:#}");
}

/// G5: what one operator may withdraw for good alone is bounded, by whatever way; what can be undone is not,
/// and beyond that another one has to agree.
#[test]
fn g5_for_many_revocations_two_people_are_needed_and_a_hold_can_be_undone() {
    let mut house = House::found(TENURE);
    let file = house.data().join("tenure.toml");
    let told = fs::read_to_string(&file).unwrap();
    fs::write(
        &file,
        format!("{told}\n[limits]\nrevocations_alone_per_hour = 2\n"),
    )
    .unwrap();
    house.start();
    let serials: Vec<_> = (1..=5)
        .map(|no| {
            enrolled(&house, &format!("pump-{no}"))
                .0
                .serial()
                .to_string()
        })
        .collect();
    let operator = |name: &str| {
        let token = house.tell(&["token", "create", "--name", name, "--role", "operator"]);
        Api::with(&house, &token)
    };
    let (alice, bob) = (operator("alice"), operator("bob"));
    let why = json!({"reason": "superseded"});
    let revoke = |who: &Api, no: usize| {
        let path = format!("/certificates/{}/revoke", serials[no]);
        who.call("POST", &path, &why)
    };

    // Without agreement the command only says what it would touch.
    let shown = house.tenure(&["cert", "revoke", &serials[0], &serials[1]]);
    assert!(!shown.status.success());
    let shown = format!("{}{}", text(&shown.stdout), text(&shown.stderr));
    assert!(
        shown.contains("pump-1") && shown.contains("pump-2"),
        "{shown}"
    );

    assert_eq!(revoke(&alice, 0).0, 200);
    assert_eq!(revoke(&alice, 1).0, 200);
    let (refused, said) = revoke(&alice, 2);
    assert_eq!(refused, 409, "{said:#}");
    assert!(said.to_string().contains("tenure permit grant"), "{said:#}");
    let retire = json!({"why": "a slip of the hand"});
    assert_eq!(alice.call("POST", "/devices/pump-3/retire", &retire).0, 409);
    let status_of = |no: usize| {
        let shown = house.ask(&["cert", "show", &serials[no]]);
        shown["status"].as_str().unwrap().to_owned()
    };
    assert_eq!(status_of(2), "issued");
    // What was revoked stays so, and asking for it again costs nothing.
    assert_eq!(revoke(&alice, 0).0, 200);

    // Whoever is in doubt puts on hold, as many as it takes, and gives back.
    for act in ["hold", "release"] {
        for serial in &serials[2..] {
            let path = format!("/certificates/{serial}/{act}");
            let (done, said) = alice.call("POST", &path, &json!({}));
            assert_eq!(done, 200, "{act}: {said:#}");
        }
    }

    // A fresh token in the place of hers has withdrawn what hers had.
    let rotated = |who: &Api| {
        let (done, fresh) = who.call("POST", "/tokens/rotate", &json!({}));
        assert_eq!(done, 200, "{fresh:#}");
        Api::with(&house, fresh["token"].as_str().unwrap())
    };
    let alice = rotated(&alice);
    assert_eq!(revoke(&alice, 2).0, 409);

    let number = |name: &str| {
        let tokens = house.ask(&["token", "list"]);
        let mut tokens = tokens.as_array().unwrap().iter();
        let works = |token: &&Value| token["name"] == name && token["revoked"].is_null();
        tokens.find(works).unwrap()["no"].clone()
    };
    let permit =
        json!({"operator": number("alice"), "revocations": 1, "why": "line 3 is torn down"});
    assert_eq!(
        alice.call("POST", "/permits", &permit).0,
        409,
        "not one's own"
    );
    assert_eq!(bob.call("POST", "/permits", &permit).0, 200);
    let alice = rotated(&alice);
    assert_eq!(revoke(&alice, 2).0, 200);
    assert_eq!(revoke(&alice, 3).0, 409, "one more, and no more");
    assert_eq!(status_of(3), "issued");
    let listed = house.ask(&["permit", "list"]);
    assert_eq!(listed[0]["used"], 1, "{listed:#}");
    assert_eq!(listed[0]["granted_by"], "bob", "{listed:#}");

    // Of several devices, those before the refused one are retired, and it is said which.
    enrolled(&house, "pump-6");
    let retired = house.tenure(&["device", "retire", "pump-4", "pump-5", "pump-6", "--yes"]);
    assert_eq!(retired.status.code(), Some(1));
    let said = text(&retired.stdout);
    assert!(said.contains("pump-4 is retired") && said.contains("pump-5 is retired"));
    assert!(!said.contains("pump-6"), "{said}");
    assert!(text(&retired.stderr).contains("tenure permit grant"));
    house.tell(&["log", "verify"]);
}

/// H4, asked as a question of the registry. Leaves out: the alarm after an hour, which has nothing to wait
/// for, as retiring revokes in the same transaction; and a planned end of life that bounds a certificate,
/// which comes with the renewal plan.
#[test]
fn h4_no_retired_device_holds_a_certificate_in_force() {
    let house = House::serve(TENURE);
    for id in ["pump-1", "pump-2", "pump-3"] {
        let (cert, key_of, _) = enrolled(&house, id);
        certificate(&renewal(&house, &cert, &key_of, id));
    }
    house.tell(&["device", "retire", "pump-1", "pump-3", "--yes"]);
    let retired = house.ask(&["device", "list", "--standing", "retired"]);
    assert_eq!(retired.as_array().unwrap().len(), 2, "{retired:#}");
    for device in retired.as_array().unwrap() {
        let held = house.ask(&["cert", "list", "--device", device["id"].as_str().unwrap()]);
        let held = held.as_array().unwrap();
        assert_eq!(held.len(), 2);
        assert!(
            held.iter().all(|cert| cert["status"] == "revoked"),
            "{held:#?}"
        );
    }
    let kept = house.ask(&["cert", "list", "--device", "pump-2"]);
    assert_eq!(kept[0]["status"], "issued");
}

/// H5, as devices meet it. Leaves out: every other change of standing, which `engine/tests/status.rs`
/// walks.
#[test]
fn h5_each_standing_has_its_effect_on_trust() {
    let house = House::serve(TENURE);
    let (cert, key_of, _) = enrolled(&house, "pump-1");
    let now = || house.ask(&["cert", "list", "--device", "pump-1"])[0]["status"].clone();
    assert_eq!(now(), "issued");
    house.tell(&["device", "suspend", "pump-1", "--yes"]);
    assert_eq!(now(), "held");
    assert!(matches!(
        status(&renewal(&house, &cert, &key_of, "pump-1")),
        401 | 403
    ));
    house.tell(&["device", "resume", "pump-1", "--yes"]);
    assert_eq!(now(), "issued");
    certificate(&renewal(&house, &cert, &key_of, "pump-1"));
    house.tell(&["device", "retire", "pump-1", "--yes"]);
    assert_eq!(now(), "revoked");
    assert_eq!(status(&renewal(&house, &cert, &key_of, "pump-1")), 403);
}

/// The entry of an event and the way from it to the signed checkpoint, checked by nobody of ours but the
/// hashes themselves.
fn is_proved(proof: &Value, seq: u64) {
    let words = |name: &str| proof[name].as_str().unwrap();
    let index = proof["index"].as_u64().unwrap();
    assert_eq!(index, seq - 1, "{proof:#}");
    let leaf = leaf_hash(words("leaf").as_bytes());
    assert_eq!(words("leaf_hash"), leaf.to_string());
    let note = Note::parse(words("checkpoint").as_bytes()).unwrap();
    let checkpoint: Checkpoint = note.text().parse().unwrap();
    let path = proof["proof"].as_array().unwrap().iter();
    let path: Vec<_> = path
        .map(|hash| Hash::from_base64(hash.as_str().unwrap()).unwrap())
        .collect();
    let leads = |leaf: &Hash, index| {
        verify_inclusion(index, checkpoint.size(), leaf, &path, checkpoint.root()).is_ok()
    };
    assert!(leads(&leaf, index), "{proof:#}");
    // Of nothing else, and nowhere else.
    assert!(!leads(&leaf_hash(b"{}"), index) && !leads(&leaf, index ^ 1));
}

/// What `log verify` says of a record that somebody changed.
fn verdict(house: &House, more: &[&str]) -> String {
    let output = house.tenure(&[&["log", "verify"], more].concat());
    assert_eq!(output.status.code(), Some(1), "{}", text(&output.stdout));
    text(&output.stderr)
}

/// L2 and L4, over the record alone: each event is proved, and a change of one is seen. Leaves out:
/// evidence that is no event of ours, and whoever holds the log's key as well, against whom only the
/// checkpoint seen last stands.
#[test]
fn l2_l4_every_event_is_proved_and_a_changed_one_is_seen() {
    let mut house = House::serve(TENURE);
    enrolled(&house, "pump-1");
    let seen = house.directory().join("seen");
    let seen = seen.to_str().unwrap();
    house.tell(&["log", "verify", "--seen", seen]);
    let events = house.ask(&["events", "--device", "pump-1"]);
    for event in events.as_array().unwrap() {
        let seq = event["seq"].to_string();
        // The newest of them may not be sealed yet.
        until("the event is proved", || {
            house.tenure(&["log", "prove", &seq]).status.success()
        });
        let proof = house.ask(&["log", "prove", &seq]);
        is_proved(&proof, event["seq"].as_u64().unwrap());
        let leaf: Value = serde_json::from_str(proof["leaf"].as_str().unwrap()).unwrap();
        let what = event["what"].as_str().unwrap();
        assert!(leaf["event"].get(what).is_some(), "{leaf:#}");
    }
    house.tell(&["owner", "add", "Somebody Else"]);
    house.tell(&["log", "verify", "--seen", seen]);
    // One letter of one entry.
    assert_eq!(house.stop().code(), Some(0));
    let database = rusqlite::Connection::open(house.data().join("tenure.db")).unwrap();
    let changed = database.execute(
        "UPDATE event SET leaf = CAST(replace(CAST(leaf AS TEXT), 'pump-1', 'pump-2') AS BLOB)
         WHERE seq = (SELECT max(seq) FROM event WHERE instr(leaf, CAST('pump-1' AS BLOB)))",
        [],
    );
    assert_eq!(changed.unwrap(), 1);
    drop(database);
    house.start();
    let said = verdict(&house, &["--forget"]);
    assert!(said.contains("does not follow from the events"), "{said}");
    let said = verdict(&house, &["--seen", seen]);
    assert!(said.contains("before the checkpoint seen last"), "{said}");
}

/// L4. Leaves out: the dossier of one device as a file of its own; its events are entries of the one
/// log.
#[test]
fn l4_an_event_taken_out_of_the_middle_is_missed() {
    let mut house = House::serve(TENURE);
    enrolled(&house, "pump-1");
    let seen = house.directory().join("seen");
    let seen = seen.to_str().unwrap();
    house.tell(&["log", "verify", "--seen", seen]);
    assert_eq!(house.stop().code(), Some(0));
    // The third goes, and those after it close the gap.
    let mut database = rusqlite::Connection::open(house.data().join("tenure.db")).unwrap();
    let change = database.transaction().unwrap();
    let last: i64 = change
        .query_row("SELECT max(seq) FROM event", [], |row| row.get(0))
        .unwrap();
    assert!(last > 4);
    for seq in 3..last {
        let next = "SELECT leaf, leaf_hash FROM event WHERE seq = ?1 + 1";
        let moved = format!("UPDATE event SET (leaf, leaf_hash) = ({next}) WHERE seq = ?1");
        assert_eq!(change.execute(&moved, [seq]).unwrap(), 1);
    }
    change.commit().unwrap();
    drop(database);
    house.start();
    let said = verdict(&house, &["--forget"]);
    assert!(said.contains("does not follow from the events"), "{said}");
    let said = verdict(&house, &["--seen", seen]);
    assert!(said.contains("before the checkpoint seen last"), "{said}");
}

/// Q1, with OpenSSL and rustls. Leaves out the other stacks.
#[test]
fn q1_the_same_certificate_is_verified_by_openssl_and_rustls() {
    let house = House::serve(TENURE);
    let (cert, ..) = enrolled(&house, "pump-1");
    let answer = Caller::new(&house.root()).get(&house.est("cacerts"));
    let authorities = tenure_field::est::parse_certs(&answer.body).unwrap();
    let (roots, between): (Vec<Cert>, Vec<Cert>) =
        authorities.into_iter().partition(Cert::is_self_issued);

    let root = rustls_pki_types::CertificateDer::from(roots[0].der());
    let anchor = webpki::anchor_from_trusted_cert(&root).unwrap();
    let between_der = [rustls_pki_types::CertificateDer::from(between[0].der())];
    let leaf = rustls_pki_types::CertificateDer::from(cert.der());
    let leaf = webpki::EndEntityCert::try_from(&leaf).unwrap();
    leaf.verify_for_usage(
        webpki::ALL_VERIFICATION_ALGS,
        &[anchor],
        &between_der,
        rustls_pki_types::UnixTime::now(),
        webpki::KeyUsage::client_auth(),
        None,
        None,
    )
    .unwrap();

    if !have("openssl") {
        return;
    }
    let here = house.directory();
    for (name, pem) in [
        ("root.pem", roots[0].pem()),
        ("between.pem", between[0].pem()),
        ("leaf.pem", cert.pem()),
    ] {
        std::fs::write(here.join(name), pem).unwrap();
    }
    let said = tool(
        here,
        "openssl",
        &[
            "verify",
            "-x509_strict",
            "-purpose",
            "sslclient",
            "-CAfile",
            "root.pem",
            "-untrusted",
            "between.pem",
            "leaf.pem",
        ],
        b"",
    );
    assert!(text(&said).contains("leaf.pem: OK"), "{}", text(&said));
}

#[test]
fn pkilint_finds_no_error_in_what_we_issue() {
    if !have("lint_pkix_cert") {
        return;
    }
    let house = House::serve(TENURE);
    let (cert, ..) = enrolled(&house, "pump-1");
    let answer = Caller::new(&house.root()).get(&house.est("cacerts"));
    let mut all = tenure_field::est::parse_certs(&answer.body).unwrap();
    all.push(cert);
    all.push(Cert::from_der(&answer.peer_chain[0]).unwrap());
    for cert in all {
        let name = cert.subject().to_string();
        std::fs::write(house.directory().join("lint.pem"), cert.pem()).unwrap();
        let output = try_tool(
            house.directory(),
            "lint_pkix_cert",
            &["lint", "-s", "ERROR", "lint.pem"],
            b"",
        );
        let said = text(&output.stdout) + &text(&output.stderr);
        // RFC 1034 section 3.5 allows a name of one label, and everyone reaches a server on their
        // own machine by this one; pkilint wants a dot.
        let excused =
            "pkix.invalid_domain_name_syntax (ERROR): Invalid domain name syntax: \"localhost\"";
        let errors: Vec<_> = said
            .lines()
            .filter(|line| line.contains("(ERROR)") || line.contains("(FATAL)"))
            .filter(|line| !line.contains(excused))
            .collect();
        let is_excused = said.contains(excused);
        assert!(
            errors.is_empty() && (output.status.success() || is_excused),
            "{name}: {said}"
        );
    }
    let list = Caller::plain().get(&house.public("/crl/issuing-1/0.crl"));
    std::fs::write(house.directory().join("lint.crl"), &list.body).unwrap();
    let output = try_tool(
        house.directory(),
        "lint_crl",
        &["lint", "-s", "ERROR", "-t", "CRL", "-p", "PKIX", "lint.crl"],
        b"",
    );
    assert!(
        output.status.success(),
        "{}{}",
        text(&output.stdout),
        text(&output.stderr)
    );
}
