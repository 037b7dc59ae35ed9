//! What anyone can ask about a certificate, asked by strangers' programs.

use std::time::{Duration, Instant};

use tenure_field::http::Response;
use tenure_tests::http::{Caller, certificate, identity, raw, request};
use tenure_tests::pki::Maker;
use tenure_tests::{House, have, revoke, text, tool, until};
use tenure_x509::{Cert, KeyKind, KeyPair};

use super::TENURE;

fn issued(house: &House, id: &str) -> Cert {
    let secret = house.device(id);
    let key = KeyPair::generate(KeyKind::P256).unwrap();
    let caller = Caller::new(&house.root());
    certificate(&caller.enroll(
        &house.est("simpleenroll"),
        &request(&key, id),
        Some((id, &secret)),
    ))
}

fn get(house: &House, path: &str) -> Response {
    Caller::plain().get(&house.public(path))
}

/// Certificate, issuer and chain as files for openssl.
fn files(house: &House, cert: &Cert) {
    let directory = house.directory();
    std::fs::write(directory.join("cert.pem"), cert.pem()).unwrap();
    let issuer = Cert::from_der(&get(house, "/ca/issuing-1.cer").body).unwrap();
    std::fs::write(directory.join("issuer.pem"), issuer.pem()).unwrap();
    let root = std::fs::read_to_string(house.root()).unwrap();
    std::fs::write(directory.join("chain.pem"), root + &issuer.pem()).unwrap();
}

/// G8: the responder as openssl asks it, by POST, with both hashes, with and without a nonce. Leaves out:
/// relying parties that staple or go on without an answer. Nothing here asks a relying party how it is
/// configured; one that lets the revoked in is found by the prober.
#[test]
fn g8_openssl_gets_its_ocsp_answers() {
    if !have("openssl") {
        return;
    }
    let house = House::serve(TENURE);
    let cert = issued(&house, "pump-1");
    files(&house, &cert);
    let url = house.public("/ocsp");
    let ask = |more: &[&str]| {
        let mut arguments = vec!["ocsp"];
        arguments.extend(more);
        arguments.extend(["-issuer", "issuer.pem", "-cert", "cert.pem", "-url", &url]);
        arguments.extend(["-CAfile", "chain.pem"]);
        text(&tool(house.directory(), "openssl", &arguments, b""))
    };
    for more in [&["-sha256"][..], &["-sha1"], &["-sha256", "-no_nonce"]] {
        let said = ask(more);
        assert!(said.contains("cert.pem: good"), "{more:?}: {said}");
    }
    let serial = cert.serial().to_string();
    house.tell(&revoke(&serial));
    for more in [&["-sha256"][..], &["-sha256", "-no_nonce"]] {
        let said = ask(more);
        assert!(said.contains("cert.pem: revoked"), "{more:?}: {said}");
        assert!(said.contains("keyCompromise"), "{more:?}: {said}");
    }
    // A serial that was never issued is never good.
    let never = [
        "ocsp",
        "-sha256",
        "-issuer",
        "issuer.pem",
        "-serial",
        "0x1234",
        "-url",
        &url,
        "-CAfile",
        "chain.pem",
    ];
    let said = text(&tool(house.directory(), "openssl", &never, b""));
    assert!(!said.contains("good"), "{said}");
}

#[test]
fn ocsp_by_get_may_be_kept_and_with_a_nonce_may_not() {
    if !have("openssl") {
        return;
    }
    let house = House::serve(TENURE);
    let cert = issued(&house, "pump-1");
    files(&house, &cert);
    let request = |nonce: &str| {
        let arguments = [
            "ocsp",
            "-sha256",
            nonce,
            "-issuer",
            "issuer.pem",
            "-cert",
            "cert.pem",
            "-reqout",
            "request.der",
        ];
        tool(house.directory(), "openssl", &arguments, b"");
        std::fs::read(house.directory().join("request.der")).unwrap()
    };
    let plain = request("-no_nonce");
    let base64 = text(&tool(
        house.directory(),
        "openssl",
        &["base64", "-A"],
        &plain,
    ));
    let escaped = base64
        .replace('+', "%2B")
        .replace('/', "%2F")
        .replace('=', "%3D");
    let caller = Caller::plain();
    for path in [
        format!("/ocsp/{base64}"),
        format!("/ocsp/{escaped}"),
        format!("/ocsp//{base64}"),
    ] {
        let answer = caller.get(&house.public(&path));
        assert_eq!(answer.status.as_u16(), 200, "{path}");
        assert_eq!(
            answer.header("content-type"),
            Some("application/ocsp-response")
        );
        let control = answer.header("cache-control").unwrap();
        assert!(control.starts_with("max-age="), "{control}");
        for name in ["etag", "last-modified", "expires"] {
            assert!(answer.header(name).is_some(), "{name}");
        }
        let tag = answer.header("etag").unwrap();
        let again = caller.send("GET", &house.public(&path), &[("if-none-match", tag)], b"");
        assert_eq!(again.status.as_u16(), 304);
    }
    let fresh = caller.send("POST", &house.public("/ocsp"), &[], &request("-nonce"));
    assert_eq!(fresh.header("cache-control"), Some("no-store"));
    assert_eq!(fresh.header("etag"), None);
    for junk in [&b""[..], b"junk", &[0x30; 300]] {
        let answer = caller.send("POST", &house.public("/ocsp"), &[], junk);
        assert_eq!(
            answer.status.as_u16(),
            200,
            "RFC 6960: a malformed request has an answer"
        );
        assert_eq!(answer.body.get(..2), Some(&[0x30, 0x03][..]));
        assert_eq!(answer.header("cache-control"), Some("no-store"));
    }
    let large = caller.send("POST", &house.public("/ocsp"), &[], &[0x30; 8192]);
    assert_eq!(large.status.as_u16(), 413);
}

#[test]
fn openssl_checks_a_device_against_its_list() {
    if !have("openssl") {
        return;
    }
    let house = House::serve(TENURE);
    let cert = issued(&house, "pump-1");
    files(&house, &cert);
    let address = cert.crl_urls()[0].clone();
    assert!(
        address.starts_with(&house.public("/crl/issuing-1/")),
        "{address}"
    );
    let caller = Caller::plain();
    let verify = |list: &str| {
        let der = caller.get(list).body;
        let pem = tool(
            house.directory(),
            "openssl",
            &["crl", "-inform", "DER"],
            &der,
        );
        std::fs::write(house.directory().join("list.pem"), pem).unwrap();
        let arguments = [
            "verify",
            "-crl_check",
            "-extended_crl",
            "-CAfile",
            "chain.pem",
            "-CRLfile",
            "list.pem",
            "cert.pem",
        ];
        let output = tenure_tests::try_tool(house.directory(), "openssl", &arguments, b"");
        text(&output.stdout) + &text(&output.stderr)
    };
    assert!(verify(&address).contains("cert.pem: OK"));
    assert!(verify(&house.public("/crl/issuing-1/full.crl")).contains("cert.pem: OK"));
    let serial = cert.serial().to_string();
    house.tell(&revoke(&serial));
    until("the list says so", || {
        verify(&address).contains("certificate revoked")
    });
    until("the full list says so", || {
        verify(&house.public("/crl/issuing-1/full.crl")).contains("certificate revoked")
    });
}

#[test]
fn published_files_are_cached_by_their_tags_and_nothing_else_is_there() {
    let house = House::serve(TENURE);
    let caller = Caller::plain();
    for path in [
        "/crl/issuing-1/0.crl",
        "/crl/issuing-1/15.crl",
        "/crl/issuing-1/full.crl",
        "/crl/root/full.crl",
        "/ca/root.cer",
        "/ca/issuing-1.cer",
    ] {
        let url = house.public(path);
        let mut first = caller.get(&url);
        // Just after the start a list may be renewed between the two.
        until("it is as it was", || {
            first = caller.get(&url);
            assert_eq!(first.status.as_u16(), 200, "{path}");
            let tag = first.header("etag").unwrap();
            let again = caller.send("GET", &url, &[("if-none-match", tag)], b"");
            (again.status.as_u16(), again.body.len()) == (304, 0)
        });
        let head = raw(
            house.ports().public,
            format!("HEAD {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").as_bytes(),
        );
        let head = text(&head).to_lowercase();
        assert!(
            head.contains(&format!("content-length: {}", first.body.len())),
            "{path}: {head}"
        );
    }
    let checkpoint = get(&house, "/log/checkpoint");
    assert_eq!(checkpoint.status.as_u16(), 200);
    for path in [
        "/",
        "/crl/issuing-1/16.crl",
        "/crl/none/0.crl",
        "/crl/../tenure.db",
        "/crl/issuing-1/..%2f..%2ftenure.db",
        "/log/tile/entries/000",
        "/log/tile/entries/000.p/1",
        "/ca/none.cer",
        "/tenure.db",
        "/keys/root.key",
        "/healthz",
        "/metrics",
        "/api/v1/devices",
    ] {
        let answer = raw(
            house.ports().public,
            format!("GET {path} HTTP/1.1\r\nhost: a\r\nconnection: close\r\n\r\n").as_bytes(),
        );
        assert!(
            answer.starts_with(b"HTTP/1.1 404 "),
            "{path}: {}",
            text(&answer)
        );
    }
    let posted = caller.send("POST", &house.public("/crl/issuing-1/0.crl"), &[], b"");
    assert_eq!(posted.status.as_u16(), 405);
}

/// Waits until everything recorded is sealed, for less than the half minute after which the server looks
/// by itself.
fn all_is_sealed(house: &House) {
    let deadline = Instant::now() + Duration::from_secs(20);
    loop {
        let found = house.examined("record")["found"].to_string();
        if found.contains(", 0 waiting") {
            return;
        }
        assert!(Instant::now() < deadline, "{found}");
    }
}

#[test]
fn a_refused_and_a_held_ask_are_sealed_at_once_too() {
    let house = House::serve(TENURE);
    let caller = Caller::new(&house.root());
    let secret = house.device("pump-1");
    let asked = request(&KeyPair::generate(KeyKind::P256).unwrap(), "pump-1");
    let enroll = |caller: &Caller, secret| {
        let answer = caller.enroll(&house.est("simpleenroll"), &asked, secret);
        answer.status.as_u16()
    };
    house.tell(&["device", "suspend", "pump-1", "--yes"]);
    all_is_sealed(&house);
    assert_eq!(enroll(&caller, Some(("pump-1", &secret))), 403);
    all_is_sealed(&house);
    let (cert, key) = Maker::new("Acme Pumps").device("SN-000417");
    let stranger = Caller::with_identity(&house.root(), identity(&cert, &key));
    assert_eq!(enroll(&stranger, None), 202);
    all_is_sealed(&house);
}

#[test]
fn the_log_grows_within_seconds_and_its_hash_tiles_are_public() {
    let house = House::serve(TENURE);
    let size = || -> u64 {
        let note = text(&get(&house, "/log/checkpoint").body);
        note.lines().nth(1).unwrap().parse().unwrap()
    };
    let before = size();
    house.tell(&["owner", "add", "Hydraulics"]);
    until("the event is sealed", || size() > before);
    let now = size();
    let tile = match now {
        256.. => "/log/tile/0/000".to_owned(),
        _ => format!("/log/tile/0/000.p/{now}"),
    };
    let tile = get(&house, &tile);
    assert_eq!(tile.status.as_u16(), 200);
    assert_eq!(tile.body.len() as u64, now.min(256) * 32);
    assert!(tile.header("cache-control").unwrap().contains("immutable"));
}
