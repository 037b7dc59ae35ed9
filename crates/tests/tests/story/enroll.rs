//! EST as devices and their attackers speak it.

use std::collections::BTreeMap;
use std::fs;

use tenure_field::http::Response;
use tenure_tests::http::{Caller, certificate, identity, request, request_for};
use tenure_tests::{House, PLACE, have, revoke, text, tool};
use tenure_wire::est::{CsrAttrs, WantedKey, decode_answer, encode_body, parse_generated_key};
use tenure_x509::{Cert, KeyKind, KeyPair, SanName};

use super::TENURE;

fn key() -> KeyPair {
    KeyPair::generate(KeyKind::P256).unwrap()
}

fn status(response: &Response) -> u16 {
    response.status.as_u16()
}

/// A device that has enrolled.
struct Enrolled {
    id: &'static str,
    secret: String,
    key: KeyPair,
    cert: Cert,
}

fn enrolled(house: &House, id: &'static str) -> Enrolled {
    let secret = house.device(id);
    let key = key();
    let caller = Caller::new(&house.root());
    let answer = caller.enroll(
        &house.est("simpleenroll"),
        &request(&key, id),
        Some((id, &secret)),
    );
    Enrolled {
        id,
        secret,
        cert: certificate(&answer),
        key,
    }
}

/// D1 over EST. Leaves out: the other protocols. Refusals of whoever proved nothing are counted by the
/// minute, so their events are looked at once the server has stopped.
#[test]
fn d1_enrollments_without_right_are_refused_and_recorded() {
    let mut house = House::serve(TENURE);
    let secret = house.device("pump-1");
    house.refuse_profile("pump", "device-server", "pumps serve nothing");
    let caller = Caller::new(&house.root());
    let asked = request(&key(), "pump-1");
    // What the record says of this device's refusals, oldest first.
    let recorded = |house: &House| {
        let events = house.ask(&["events", "--device", "pump-1", "--limit", "0"]);
        let events = events.as_array().unwrap().iter();
        let told = events.filter_map(|event| match event["what"].as_str().unwrap() {
            "secret-refused" => Some("secret-refused".to_owned()),
            "ask-refused" => Some(event["detail"]["reason"].as_str().unwrap().to_owned()),
            _ => None,
        });
        told.collect::<Vec<_>>()
    };
    let mut expected = Vec::new();
    let mut ask = |at: &str, by: Option<(&str, &str)>, code: u16, leaves: Option<&'static str>| {
        let answer = caller.enroll(&house.est(at), &asked, by);
        assert_eq!(status(&answer), code, "{at}: {}", text(&answer.body));
        expected.extend(leaves);
        assert_eq!(recorded(&house), expected, "{at}");
        answer
    };

    let nobody = ask("simpleenroll", None, 401, None);
    let challenge = nobody.header("www-authenticate").unwrap();
    assert!(challenge.starts_with("Basic realm="));
    let wrong = Some(("pump-1", "not-the-secret"));
    let told = ask("simpleenroll", wrong, 401, Some("secret-refused"));
    let unknown = ask("simpleenroll", Some(("pump-2", &secret)), 401, None);
    assert_eq!(told.body, unknown.body, "nobody learns which devices exist");
    // It is a guess at the secret wherever it is made.
    ask("simplereenroll", wrong, 401, Some("secret-refused"));
    // A label is judged for whoever proved who they are.
    ask("no-such/simpleenroll", None, 401, None);

    let right = Some(("pump-1", &*secret));
    ask("simplereenroll", right, 400, Some("bad-request"));
    ask("no-such/simpleenroll", right, 404, Some("unknown-label"));
    let ours = "tenure-issuing-ca/simpleenroll";
    ask(ours, right, 404, Some("unknown-label"));
    let other = "device-server/simpleenroll";
    let said = ask(other, right, 403, Some("not-allowed"));
    assert!(text(&said.body).contains("pumps serve nothing"));
    ask("serverkeygen", right, 403, Some("not-allowed"));

    certificate(&ask("simpleenroll", right, 200, None));
    let held = house.ask(&["cert", "list", "--device", "pump-1"]);
    assert_eq!(held.as_array().unwrap().len(), 1, "{held:#}");

    house.stop();
    house.start();
    let mut counted = BTreeMap::new();
    let events = house.ask(&["events", "--limit", "0"]);
    for event in events.as_array().unwrap() {
        if event["what"] == "strangers-refused" {
            let reason = event["detail"]["reason"].as_str().unwrap().to_owned();
            *counted.entry(reason).or_default() += event["detail"]["count"].as_u64().unwrap();
        }
    }
    let wanted = [("bad-credential", 1), ("not-authenticated", 2)];
    let wanted = wanted.map(|(reason, count)| (reason.to_owned(), count));
    assert_eq!(counted, BTreeMap::from(wanted));
}

/// D6: names are computed from the registry, never copied from the request.
#[test]
fn d6_the_names_in_a_request_are_not_those_in_the_certificate() {
    let house = House::serve(TENURE);
    let secret = house.device("pump-1");
    let caller = Caller::new(&house.root());
    let wished = [
        SanName::Dns("root.example".into()),
        SanName::Uri("https://device.internal/pump-2".into()),
    ];
    let asked = request_for(&key(), "administrator", &wished);
    let cert = certificate(&caller.enroll(
        &house.est("simpleenroll"),
        &asked,
        Some(("pump-1", &secret)),
    ));
    assert_eq!(cert.subject().common_name().as_deref(), Some("pump-1"));
    assert_eq!(
        cert.san(),
        [SanName::Uri("https://device.internal/pump-1".into())]
    );
}

#[test]
fn the_identical_request_gets_the_same_certificate_and_another_key_does_not() {
    let house = House::serve(TENURE);
    let device = enrolled(&house, "pump-1");
    let caller = Caller::new(&house.root());
    let again = caller.enroll(
        &house.est("simpleenroll"),
        &request(&device.key, device.id),
        Some((device.id, &device.secret)),
    );
    assert_eq!(certificate(&again).der(), device.cert.der());
    let other = caller.enroll(
        &house.est("simpleenroll"),
        &request(&key(), device.id),
        Some((device.id, &device.secret)),
    );
    assert_eq!(status(&other), 401, "{}", text(&other.body));
}

/// F6. Leaves out: a chain that forks, which `a_clone_is_caught_when_it_renews` tells, and an export
/// that verifies offline: the links are read from the inventory.
#[test]
fn f6_a_renewal_names_its_predecessor_and_asking_twice_is_one_issuance() {
    let house = House::serve(TENURE);
    let device = enrolled(&house, "pump-1");
    let caller = Caller::with_identity(&house.root(), identity(&device.cert, &device.key));
    let fresh = key();
    let asked = request(&fresh, device.id);
    let renew = house.est("simplereenroll");
    let renewed = certificate(&caller.enroll(&renew, &asked, None));
    // On the same connection, and so still with the old certificate: the lost answer again.
    assert_eq!(
        certificate(&caller.enroll(&renew, &asked, None)).der(),
        renewed.der()
    );
    assert_eq!(renewed.subject(), device.cert.subject());
    assert_eq!(renewed.san(), device.cert.san());
    let listed = house.ask(&["cert", "list", "--device", device.id]);
    let all = listed.as_array().unwrap();
    assert_eq!(all.len(), 2, "{listed:#}");
    let of = |cert: &Cert| {
        let serial = cert.serial().to_string();
        all.iter()
            .find(|found| found["serial"] == serial.as_str())
            .unwrap()
    };
    assert_eq!(of(&device.cert)["predecessor"], serde_json::Value::Null);
    assert_eq!(of(&device.cert)["status"], "replaced");
    assert_eq!(
        of(&renewed)["predecessor"],
        device.cert.serial().to_string()
    );
    assert_eq!(of(&renewed)["status"], "issued");
}

#[test]
fn a_renewal_keeps_names_or_says_nothing() {
    let house = House::serve(TENURE);
    let device = enrolled(&house, "pump-1");
    let caller = Caller::with_identity(&house.root(), identity(&device.cert, &device.key));
    let renew = house.est("simplereenroll");
    let other = caller.enroll(&renew, &request(&key(), "pump-2"), None);
    assert_eq!(status(&other), 400, "{}", text(&other.body));
    let wished = [SanName::Dns("root.example".into())];
    let other = caller.enroll(&renew, &request_for(&key(), device.id, &wished), None);
    assert_eq!(status(&other), 400, "{}", text(&other.body));
    let same_key = caller.enroll(&renew, &request(&device.key, device.id), None);
    assert_eq!(status(&same_key), 400, "{}", text(&same_key.body));
    let empty =
        tenure_field::est::Request::build(&key(), &tenure_x509::Name::empty(), &[]).unwrap();
    certificate(&caller.enroll(&renew, &empty, None));
}

#[test]
fn a_device_revoked_in_the_middle_of_a_connection_is_refused_on_it() {
    let house = House::serve(TENURE);
    let device = enrolled(&house, "pump-1");
    let caller = Caller::with_identity(&house.root(), identity(&device.cert, &device.key));
    assert_eq!(status(&caller.get(&house.est("cacerts"))), 200);
    let serial = device.cert.serial().to_string();
    house.tell(&revoke(&serial));
    let refused = caller.enroll(
        &house.est("simplereenroll"),
        &request(&key(), device.id),
        None,
    );
    assert_eq!(status(&refused), 401, "{}", text(&refused.body));
}

#[test]
fn what_is_no_request_is_refused_in_ests_words() {
    let house = House::serve(TENURE);
    let secret = house.device("pump-1");
    let caller = Caller::new(&house.root());
    let url = house.est("simpleenroll");
    let credentials = tenure_wire::est::Credentials::new("pump-1", &secret)
        .unwrap()
        .header()
        .to_string();
    let send = |media: Option<&str>, body: &[u8]| {
        let mut headers = vec![("authorization", credentials.as_str())];
        headers.extend(media.map(|media| ("content-type", media)));
        caller.send("POST", &url, &headers, body)
    };
    let good = request(&key(), "pump-1");
    let body = encode_body(good.der(), tenure_wire::est::Wrapping::OneLine);
    let pkcs10 = Some("application/pkcs10");
    assert_eq!(status(&send(None, body.as_bytes())), 415);
    assert_eq!(status(&send(Some("text/plain"), body.as_bytes())), 415);
    assert_eq!(status(&send(pkcs10, b"")), 400);
    assert_eq!(status(&send(pkcs10, b"!!!!")), 400);
    assert_eq!(status(&send(pkcs10, &vec![b'A'; 80 * 1024])), 413);
    // A request whose signature another key made.
    let mut forged = good.der().to_vec();
    *forged.last_mut().unwrap() ^= 1;
    let forged = encode_body(&forged, tenure_wire::est::Wrapping::OneLine);
    let answer = send(pkcs10, forged.as_bytes());
    assert_eq!(status(&answer), 400, "{}", text(&answer.body));
    assert!(
        answer
            .header("content-type")
            .unwrap()
            .starts_with("text/plain")
    );
    for cut in [1, 7, good.der().len() / 2, good.der().len() - 1] {
        let cut = encode_body(&good.der()[..cut], tenure_wire::est::Wrapping::OneLine);
        assert_eq!(status(&send(pkcs10, cut.as_bytes())), 400);
    }
    assert_eq!(status(&caller.get(&url)), 405);
    assert_eq!(caller.get(&url).header("allow"), Some("POST"));
    assert_eq!(
        status(&caller.send("POST", &house.est("cacerts"), &[], b"")),
        405
    );
    assert_eq!(status(&caller.get(&house.est("nothing"))), 404);
    assert_eq!(
        status(&caller.send("POST", &house.est("fullcmc"), &[], b"")),
        501
    );
    // The secret is none the worse for it.
    assert_eq!(status(&send(pkcs10, body.as_bytes())), 200);
}

#[test]
fn five_wrong_secrets_lock_the_right_one_out_for_a_while() {
    let house = House::serve(TENURE);
    let secret = house.device("pump-1");
    let caller = Caller::new(&house.root());
    let asked = request(&key(), "pump-1");
    let url = house.est("simpleenroll");
    for _ in 0..5 {
        assert_eq!(
            status(&caller.enroll(&url, &asked, Some(("pump-1", "wrong-wrong-wrong")))),
            401
        );
    }
    let locked = caller.enroll(&url, &asked, Some(("pump-1", &secret)));
    assert_eq!(status(&locked), 429, "{}", text(&locked.body));
    let wait: u64 = locked.header("retry-after").unwrap().parse().unwrap();
    assert!((1..=900).contains(&wait), "{wait}");
}

#[test]
fn answers_are_one_line_and_a_ca_chain_leads_to_the_root() {
    let house = House::serve(TENURE);
    let caller = Caller::new(&house.root());
    for url in [house.est("cacerts"), house.est("device/cacerts")] {
        let answer = caller.get(&url);
        assert_eq!(status(&answer), 200);
        assert_eq!(
            answer.header("content-type"),
            Some("application/pkcs7-mime; smime-type=certs-only")
        );
        assert_eq!(answer.header("content-transfer-encoding"), Some("base64"));
        assert_eq!(text(&answer.body).trim_end().lines().count(), 1);
        let certs = tenure_field::est::parse_certs(&answer.body).unwrap();
        assert_eq!(certs.len(), 2);
        assert!(certs.iter().all(Cert::is_ca));
    }
    assert_eq!(status(&caller.get(&house.est("no-such/cacerts"))), 404);
    assert_eq!(status(&caller.get(&house.est("csrattrs"))), 204);
    let attributes = caller.get(&house.est("device/csrattrs"));
    let attributes = CsrAttrs::from_der(&decode_answer(&attributes.body).unwrap()).unwrap();
    assert_eq!(attributes.wanted_key(), Some(WantedKey::P256));
}

#[test]
fn the_server_makes_a_key_only_where_the_class_allows_it() {
    let house = House::serve(TENURE);
    let secret = house.device("pump-1");
    let caller = Caller::new(&house.root());
    let asked = request(&key(), "pump-1");
    let refused = caller.enroll(
        &house.est("serverkeygen"),
        &asked,
        Some(("pump-1", &secret)),
    );
    assert_eq!(status(&refused), 403, "{}", text(&refused.body));
    house.tell(&[
        "class",
        "add",
        "lamp",
        "--profile",
        "device",
        "--server-keygen",
        "allowed",
    ]);
    house.tell(&["device", "edit", "pump-1", "--class", "lamp"]);
    let url = house.est("serverkeygen");
    let answer = caller.enroll(&url, &asked, Some(("pump-1", &secret)));
    assert_eq!(status(&answer), 200, "{}", text(&answer.body));
    assert_eq!(answer.header("cache-control"), Some("no-store"));
    let made = parse_generated_key(&answer.body, answer.header("content-type").unwrap()).unwrap();
    let pair = KeyPair::from_pkcs8(&made.key).unwrap();
    let cert = &tenure_x509::cms::parse_certs_only(&made.certs).unwrap()[0];
    assert_eq!(cert.public_key().hash(), pair.public().hash());
    let again = caller.enroll(&url, &asked, Some(("pump-1", &secret)));
    let again = parse_generated_key(&again.body, again.header("content-type").unwrap()).unwrap();
    assert_eq!(
        *again.key, *made.key,
        "the same request gets the same answer"
    );
}

#[test]
fn a_key_that_waits_for_a_decision_is_made_after_it_whatever_happens_to_the_server() {
    let mut house = House::serve(TENURE);
    let allowed = ["--profile", "device", "--server-keygen", "allowed"];
    house.device("pump-1");
    house.tell(&[&["class", "add", "lamp"][..], &allowed[..]].concat());
    // Where people may be hurt, a person looks first.
    let safety = ["--class", "lamp", "--criticality", "safety"];
    house.tell(&[&["device", "edit", "pump-1"][..], &safety[..]].concat());
    let secret = house.tell(&["device", "secret", "pump-1"]);
    let (asked, url) = (request(&key(), "pump-1"), house.est("serverkeygen"));
    let ask = |house: &House| {
        let caller = Caller::new(&house.root());
        caller.enroll(&url, &asked, Some(("pump-1", &secret)))
    };
    assert_eq!(status(&ask(&house)), 202);
    house.stop();
    house.start();
    assert_eq!(status(&ask(&house)), 202);
    let waiting = house.ask(&["ask", "list"]);
    assert_eq!(waiting.as_array().unwrap().len(), 1, "{waiting:#}");
    let no = waiting[0]["no"].to_string();
    house.tell(&["ask", "approve", &no]);
    let refused = house.tenure(&["ask", "refuse", &no]);
    assert_eq!(refused.status.code(), Some(1), "{}", text(&refused.stdout));
    house.kill();
    house.start();
    let answer = ask(&house);
    assert_eq!(status(&answer), 200, "{}", text(&answer.body));
    let made = parse_generated_key(&answer.body, answer.header("content-type").unwrap()).unwrap();
    let pair = KeyPair::from_pkcs8(&made.key).unwrap();
    let cert = &tenure_x509::cms::parse_certs_only(&made.certs).unwrap()[0];
    assert_eq!(cert.public_key().hash(), pair.public().hash());
    // Its key is gone with the process that made it: said plainly, and nothing else is issued.
    house.stop();
    house.start();
    assert_eq!(status(&ask(&house)), 409);
    let held = house.ask(&["cert", "list", "--device", "pump-1"]);
    assert_eq!(held.as_array().unwrap().len(), 1, "{held:#}");
}

/// D4: an unregistered device waits in quarantine; registering it is all that is needed.
#[test]
fn d4_a_strangers_device_waits_and_nothing_is_issued_to_it() {
    let house = House::serve(TENURE);
    house.device("pump-1"); // owner, site, class and service
    let stranger = tenure_tests::pki::Maker::new("Acme Pumps");
    let (cert, key_of_maker) = stranger.device("SN-000417");
    let caller = Caller::with_identity(&house.root(), identity(&cert, &key_of_maker));
    let fresh = key();
    let asked = request(&fresh, "");
    let url = house.est("simpleenroll");

    // Nobody knows the maker.
    let waits = caller.enroll(&url, &asked, None);
    assert_eq!(status(&waits), 202, "{}", text(&waits.body));
    assert!(waits.header("retry-after").is_some());
    let held = house.ask(&["ask", "list"]);
    assert_eq!(held.as_array().unwrap().len(), 1, "{held:#}");

    // An operator's no to another one stands, however often it asks.
    let (cert, key_of_unwanted) = stranger.device("SN-000666");
    let unwanted = Caller::with_identity(&house.root(), identity(&cert, &key_of_unwanted));
    let other = request(&key(), "");
    assert_eq!(status(&unwanted.enroll(&url, &other, None)), 202);
    let newest = house.ask(&["ask", "list"])[0]["no"].to_string();
    house.tell(&["ask", "refuse", &newest]);
    for _ in 0..2 {
        let refused = unwanted.enroll(&url, &other, None);
        assert_eq!(status(&refused), 403, "{}", text(&refused.body));
    }
    let waiting = house.ask(&["ask", "list", "--state", "quarantined"]);
    assert_eq!(waiting, held);

    // The maker is registered, the device is not.
    let roots = house.directory().join("maker.pem");
    std::fs::write(&roots, stranger.root_pem()).unwrap();
    house.tell(&[
        "manufacturer",
        "add",
        "acme-pumps",
        "--roots",
        roots.to_str().unwrap(),
    ]);
    assert_eq!(status(&caller.enroll(&url, &asked, None)), 202);

    // The device is registered: the very same request gets its certificate.
    let add = [
        "device",
        "add",
        "pump-417",
        "--class",
        "pump",
        "--serial",
        "SN-000417",
    ];
    let what = ["--service", "telemetry", "--manufacturer", "acme-pumps"];
    house.tell(&[&add[..], &PLACE, &what].concat());
    let cert = certificate(&caller.enroll(&url, &asked, None));
    assert_eq!(cert.subject().common_name().as_deref(), Some("pump-417"));

    // What waited in quarantine is answered: nobody has to decide it.
    let waiting = house.ask(&["ask", "list", "--state", "waiting"]);
    assert_eq!(waiting, serde_json::json!([]));
    let answered = house.ask(&["ask", "list", "--state", "answered"]);
    assert_eq!(answered[0]["no"], held[0]["no"], "{answered:#}");
}

/// Import and flag, never issue: a maker whose root is too weak is registered, and whoever did it
/// is told why none of its devices gets in; the devices are not.
#[test]
fn a_makers_weak_root_is_flagged_and_what_it_keeps_out_is_told() {
    if !have("openssl") {
        return;
    }
    let mut house = House::serve(TENURE);
    let place = house.directory().to_owned();
    let openssl = |arguments: &str| {
        let arguments: Vec<_> = arguments.split(' ').collect();
        tool(&place, "openssl", &arguments, b"");
    };
    openssl("req -x509 -newkey rsa:1024 -sha1 -nodes -keyout ca.key -out ca.pem -subj /CN=Old");
    openssl("genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out device.key");
    openssl("req -new -key device.key -subj /serialNumber=SN-1 -out device.csr");
    fs::write(place.join("v3"), "keyUsage = digitalSignature").unwrap();
    openssl("x509 -req -in device.csr -CA ca.pem -CAkey ca.key -sha1 -extfile v3 -out device.pem");
    openssl("pkcs8 -topk8 -nocrypt -in device.key -outform DER -out device.p8");
    let roots = place.join("ca.pem");
    let add = [
        "manufacturer",
        "add",
        "old",
        "--roots",
        roots.to_str().unwrap(),
    ];
    let added = house.tenure(&add);
    assert!(added.status.success());
    for flaw in ["RSA key is under 2048 bits", "signature algorithm is weak"] {
        let said = text(&added.stderr);
        assert!(said.contains("CN=Old") && said.contains(flaw), "{said}");
        let shown = house.ask(&["manufacturer", "show", "old"])["flaws"].to_string();
        assert!(shown.contains(flaw), "{shown}");
    }

    let cert = fs::read_to_string(place.join("device.pem")).unwrap();
    let cert = tenure_x509::pem_certificates(&cert).unwrap().remove(0);
    let pair = KeyPair::from_pkcs8(&fs::read(place.join("device.p8")).unwrap()).unwrap();
    let caller = Caller::with_identity(&house.root(), identity(&cert, &pair));
    let url = house.est("simpleenroll");
    for _ in 0..3 {
        let refused = caller.enroll(&url, &request(&key(), ""), None);
        assert_eq!(status(&refused), 401);
        assert!(
            !text(&refused.body).contains("Old"),
            "{}",
            text(&refused.body)
        );
    }
    let log = house.server().log();
    let told = log
        .lines()
        .filter(|line| line.contains("IDevID was not accepted"));
    let told: Vec<_> = told.collect();
    assert_eq!(told.len(), 1, "{log}");
    assert!(told[0].contains("WARN") && told[0].contains("old"), "{log}");
    // The minute is over at the latest with the server.
    house.stop();
    house.start();
    let events = house.ask(&["events", "--limit", "0"]).to_string();
    assert!(events.contains("bad-idevid"), "{events}");
}

/// Operations 4.7: a clone is caught when it renews after its victim's new certificate was used.
#[test]
fn a_clone_is_caught_when_it_renews() {
    let house = House::serve(TENURE);
    let device = enrolled(&house, "pump-1");
    let caller = Caller::with_identity(&house.root(), identity(&device.cert, &device.key));
    let renew = house.est("simplereenroll");
    let victims = key();
    let renewed = certificate(&caller.enroll(&renew, &request(&victims, device.id), None));
    let serial = renewed.serial().to_string();
    house.report(&serial, "telemetry");
    let clones = caller.enroll(&renew, &request(&key(), device.id), None);
    assert_eq!(status(&clones), 403, "{}", text(&clones.body));
    let shown = house.ask(&["device", "show", device.id]);
    assert_eq!(shown["standing"], "quarantined", "{shown:#}");
    let open = house.ask(&["incident", "list"]);
    assert_eq!(open[0]["kind"], "fork", "{open:#}");
    let statuses: Vec<_> = shown["certificates"]
        .as_array()
        .unwrap()
        .iter()
        .map(|cert| cert["status"].as_str().unwrap().to_owned())
        .collect();
    assert_eq!(statuses, ["held", "held"], "{shown:#}");
    // To keep none revokes both: it is shown first, and nothing is done unasked.
    let no = open[0]["no"].to_string();
    let asked = house.tenure(&["incident", "resolve", &no]);
    let said = text(&asked.stderr);
    assert_eq!(asked.status.code(), Some(6), "{said}");
    for word in ["for good", "2 certificate(s)", &serial, device.id, "--yes"] {
        assert!(said.contains(word), "no {word}: {said}");
    }
    let status_of = |serial: &str| house.ask(&["cert", "show", serial])["status"].clone();
    assert_eq!(status_of(&serial), "held");
    house.tell(&["incident", "resolve", &no, "--yes", "--why", "stolen"]);
    assert_eq!(status_of(&serial), "revoked");
}

/// HTTP/1.0 is answered in its own version, for clients built on libest: on the public listener, and
/// where devices enroll.
#[test]
fn an_old_http_version_is_answered_in_that_version() {
    let house = House::serve(TENURE);
    let answer =
        tenure_tests::http::raw(house.ports().public, b"GET /ca/root.cer HTTP/1.0\r\n\r\n");
    assert!(
        answer.starts_with(b"HTTP/1.0 200 "),
        "{}",
        text(&answer[..40.min(answer.len())])
    );

    if !have("openssl") {
        return;
    }
    let secret = house.device("pump-1");
    let credentials = tenure_wire::est::Credentials::new("pump-1", &secret).unwrap();
    let body = encode_body(
        request(&key(), "pump-1").der(),
        tenure_wire::est::Wrapping::Lines,
    );
    let asked = format!(
        "POST /.well-known/est/simpleenroll HTTP/1.0\r\nAuthorization: {}\r\n\
         Content-Type: application/pkcs10\r\nContent-Length: {}\r\n\r\n{body}",
        credentials.header().as_str(),
        body.len()
    );
    let (root, port) = (house.root(), house.ports().device);
    let (anchor, address) = (root.to_str().unwrap(), format!("127.0.0.1:{port}"));
    let visit = ["s_client", "-quiet", "-verify_return_error", "-CAfile"];
    // Who speaks TLS of that age names no protocol; who does, may name this one.
    for more in [&[][..], &["-alpn", "http/1.0"]] {
        let arguments = [&visit[..], &[anchor, "-connect", &address], more].concat();
        let answer = tool(house.directory(), "openssl", &arguments, asked.as_bytes());
        let answer = text(&answer);
        assert!(answer.starts_with("HTTP/1.0 200 "), "{answer}");
        let (_, body) = answer.split_once("\r\n\r\n").unwrap();
        let certs = tenure_field::est::parse_certs(body.as_bytes()).unwrap();
        assert_eq!(certs.len(), 1);
    }
}
