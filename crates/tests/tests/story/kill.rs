//! `kill -9` again and again, in the middle of whatever is going on.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::Duration;

use tenure_field::est::Request;
use tenure_field::http::{Client, Settings, Trust, Url};
use tenure_tests::House;
use tenure_tests::http::request;
use tenure_wire::est::{Credentials, PKCS10, Wrapping, encode_body};
use tenure_x509::{KeyKind, KeyPair};

use super::TENURE;

const ROUNDS: usize = 4;
const DEVICES: usize = 24;

/// Sends one request and returns the certificate's serial if it was answered with one.
async fn try_to_enroll(house: &Place, request: &Request, id: &str, secret: &str) -> Option<String> {
    let settings = Settings::new(Some(Trust::from_pem(&house.anchors).unwrap()));
    let client = Client::new(settings).unwrap();
    let body = encode_body(request.der(), Wrapping::OneLine).into_bytes();
    let header = Credentials::new(id, secret).unwrap().header();
    let headers = [("content-type", PKCS10), ("authorization", header.as_str())];
    let sent = client
        .send("POST".parse().unwrap(), &house.url, &headers, body)
        .await
        .ok()?;
    if sent.status.as_u16() != 200 {
        return None;
    }
    let cert = tenure_field::est::parse_certs(&sent.body).ok()?.remove(0);
    Some(cert.serial().to_string())
}

struct Place {
    anchors: String,
    url: Url,
}

#[test]
fn nothing_acknowledged_is_lost_when_the_server_is_killed_again_and_again() {
    let mut house = House::serve(TENURE);
    let mut acknowledged: HashMap<String, String> = HashMap::new();
    let seen = house.directory().join("seen");
    for round in 0..ROUNDS {
        let devices: Vec<_> = (0..DEVICES)
            .map(|number| {
                let id = format!("pump-{round}-{number}");
                let secret = house.device(&id);
                let key = KeyPair::generate(KeyKind::P256).unwrap();
                (request(&key, &id), id, secret)
            })
            .collect();
        let place = Place {
            anchors: std::fs::read_to_string(house.root()).unwrap(),
            url: Url::parse(&house.est("simpleenroll")).unwrap(),
        };
        let answered = Mutex::new(HashMap::new());
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .unwrap();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let all = devices.iter().map(|(asked, id, secret)| async {
                    if let Some(serial) = try_to_enroll(&place, asked, id, secret).await {
                        answered.lock().unwrap().insert(id.clone(), serial);
                    }
                });
                runtime.block_on(async {
                    for one in all {
                        one.await;
                    }
                });
            });
            // A different moment in each round; which one it hits is not ours to choose.
            std::thread::sleep(Duration::from_millis(40 + 90 * round as u64));
            house.kill();
        });
        acknowledged.extend(answered.into_inner().unwrap());
        house.start();
        // Whoever asks again gets what was acknowledged, or now gets its first answer.
        runtime.block_on(async {
            for (asked, id, secret) in &devices {
                let serial = try_to_enroll(&place, asked, id, secret).await;
                let serial = serial.unwrap_or_else(|| panic!("{id} got nothing"));
                let before = acknowledged
                    .entry(id.clone())
                    .or_insert_with(|| serial.clone());
                assert_eq!(*before, serial, "{id}");
            }
        });
        house.tell(&["log", "verify", "--seen", seen.to_str().unwrap()]);
    }
    let listed = house.ask(&["cert", "list", "--limit", "0"]);
    let mut serials: Vec<_> = listed
        .as_array()
        .unwrap()
        .iter()
        .map(|cert| cert["serial"].to_string())
        .collect();
    let all = serials.len();
    serials.sort();
    serials.dedup();
    assert_eq!(serials.len(), all, "a serial appears twice");
    for (id, serial) in &acknowledged {
        let own = house.ask(&["cert", "list", "--device", id]);
        let issued: Vec<_> = own
            .as_array()
            .unwrap()
            .iter()
            .filter(|cert| cert["status"] == "issued")
            .collect();
        assert_eq!(issued.len(), 1, "{id}: {own:#}");
        assert_eq!(issued[0]["serial"], serial.as_str(), "{id}: {own:#}");
    }
}
