use std::net::SocketAddr;

use axum::Router;
use axum::routing::get;
use tenure_field::http::{Client, Identity, Settings, Trust, Url};
use tenure_x509::{
    CaConstraint, CertificateSpec, Extensions, KeyKind, KeyPair, KeyUsage, Name, NameAttribute,
    SanName, Serial, Time, Validity, oid,
};

use tokio::io::AsyncReadExt;
use tokio::net::TcpStream;

use rustls_pki_types::{PrivateKeyDer, PrivatePkcs8KeyDer};

use super::*;
use crate::limits::Limits;
use crate::listen::{Bound, Listener, Stop, StopSwitch, Transport};
use crate::metrics::Metrics;
use crate::peer::Peer;

/// A self-signed certificate: an anchor, a server and a client in one.
struct Party {
    der: Vec<u8>,
    key: KeyPair,
}

fn party(kind: KeyKind, name: &str) -> Party {
    let key = KeyPair::generate(kind).unwrap();
    let subject = Name::build(&[(NameAttribute::CommonName, name)]).unwrap();
    let validity = Validity {
        not_before: Time::from_unix(0),
        not_after: Time::from_unix(4_000_000_000),
    };
    let spec = CertificateSpec {
        serial: Serial::from_random([7; 20]),
        signature: key.signature_algorithm(),
        issuer: subject.clone(),
        validity,
        subject,
        public_key: key.public().clone(),
        extensions: Extensions {
            ca: CaConstraint::NotCa,
            key_usage: KeyUsage::DIGITAL_SIGNATURE,
            ext_key_usage: vec![oid::SERVER_AUTH, oid::CLIENT_AUTH],
            san: vec![SanName::Ip("127.0.0.1".parse().unwrap())],
            ..Extensions::default()
        },
    };
    let tbs = spec.tbs().unwrap();
    let der = tbs.with_signature(&key.sign(tbs.as_der()).unwrap());
    Party { der, key }
}

impl Party {
    fn server(&self) -> ServerCertificate {
        ServerCertificate::new(std::slice::from_ref(&self.der), self.signing_key()).unwrap()
    }

    fn signing_key(&self) -> Arc<dyn SigningKey> {
        let pkcs8 = PrivatePkcs8KeyDer::from(self.key.to_pkcs8().unwrap().to_vec());
        provider()
            .key_provider
            .load_private_key(PrivateKeyDer::from(pkcs8))
            .unwrap()
    }

    fn identity(&self) -> Identity {
        Identity {
            chain: vec![self.der.clone()],
            key: self.key.to_pkcs8().unwrap(),
        }
    }

    fn trust(&self) -> Trust {
        Trust::Anchors(vec![self.der.clone()])
    }
}

/// A listener that answers with the length of the client's chain and the end of its leaf (its signature).
async fn start(listener: Listener, config: Arc<ServerConfig>) -> (SocketAddr, StopSwitch) {
    start_with(listener, config, Limits::default()).await
}

async fn start_with(
    listener: Listener,
    config: Arc<ServerConfig>,
    limits: Limits,
) -> (SocketAddr, StopSwitch) {
    let bound = Bound::bind(listener, "127.0.0.1:0".parse().unwrap())
        .await
        .unwrap();
    let address = bound.address();
    let (switch, stop) = Stop::new();
    let edge = Metrics::new().edge(listener);
    let router = Router::new().route("/", get(async |peer: Peer| shown(&peer.chain)));
    tokio::spawn(async move {
        bound
            .serve(Transport::Tls(config), router, &limits, edge, stop)
            .await;
    });
    (address, switch)
}

fn shown(chain: &[tenure_x509::Cert]) -> String {
    format!(
        "{} {:02x?}",
        chain.len(),
        chain.first().map(|leaf| leaf.der().last_chunk::<16>())
    )
}

async fn ask(address: SocketAddr, settings: Settings) -> Result<String, String> {
    let client = Client::new(settings).unwrap();
    let url = Url::parse(&format!("https://{address}/")).unwrap();
    let response = client
        .get(&url)
        .await
        .map_err(|error| format!("{error:?}"))?;
    Ok(String::from_utf8(response.body).unwrap())
}

#[tokio::test]
async fn a_client_certificate_is_optional_and_reaches_the_handler_unjudged() {
    let server = party(KeyKind::P256, "server");
    let config = device_config(server.server()).unwrap();
    let (address, _switch) = start(Listener::Device, config).await;
    let anonymous = ask(address, Settings::new(Some(server.trust())))
        .await
        .unwrap();
    assert_eq!(anonymous, "0 None");
    for kind in [
        KeyKind::P256,
        KeyKind::P384,
        KeyKind::Ed25519,
        KeyKind::Rsa2048,
    ] {
        let stranger = party(kind, "unknown maker");
        let settings = Settings::new(Some(server.trust())).with_identity(stranger.identity());
        assert_eq!(
            ask(address, settings).await.unwrap(),
            shown(&[tenure_x509::Cert::from_der(&stranger.der).unwrap()]),
            "{kind}"
        );
    }
}

#[tokio::test]
async fn the_operator_listener_asks_for_no_certificate() {
    let server = party(KeyKind::P256, "server");
    let config = operator_config(server.server()).unwrap();
    let (address, _switch) = start(Listener::Operator, config).await;
    let client = party(KeyKind::P256, "client");
    let settings = Settings::new(Some(server.trust())).with_identity(client.identity());
    assert_eq!(ask(address, settings).await.unwrap(), "0 None");
}

#[tokio::test]
async fn who_only_shakes_hands_is_turned_away_in_the_end() {
    let server = party(KeyKind::P256, "server");
    let config = device_config(server.server()).unwrap();
    // Four requests at once, and eight handshakes.
    let limits = Limits {
        device_requests_per_source_s: 1,
        handshake_s: 3_600,
        ..Limits::default()
    };
    let (address, _switch) = start_with(Listener::Device, config, limits).await;
    for _ in 0..4 {
        let settings = Settings::new(Some(server.trust()));
        assert_eq!(ask(address, settings).await.unwrap(), "0 None");
    }
    // Kept open and silent, for an hour if they may. As many as may, and some for the seconds that pass.
    let mut silent = Vec::new();
    for _ in 0..64 {
        silent.push(TcpStream::connect(address).await.unwrap());
    }
    let mut last = silent.pop().unwrap();
    assert!(last.read_u8().await.is_err(), "it is closed");
}

#[tokio::test]
async fn the_server_certificate_is_replaced_while_serving() {
    let (first, second) = (
        party(KeyKind::P256, "first"),
        party(KeyKind::P384, "second"),
    );
    let certificate = first.server();
    let config = device_config(certificate.clone()).unwrap();
    let (address, _switch) = start(Listener::Device, config).await;
    ask(address, Settings::new(Some(first.trust())))
        .await
        .unwrap();
    let key = second.signing_key();
    certificate
        .replace(std::slice::from_ref(&second.der), Arc::clone(&key))
        .unwrap();
    ask(address, Settings::new(Some(second.trust())))
        .await
        .unwrap();
    ask(address, Settings::new(Some(first.trust())))
        .await
        .unwrap_err();
    // A key that is not the certificate's changes nothing.
    certificate
        .replace(std::slice::from_ref(&first.der), key)
        .unwrap_err();
    ask(address, Settings::new(Some(second.trust())))
        .await
        .unwrap();
}

fn signed(scheme: SignatureScheme, signature: &[u8]) -> DigitallySignedStruct {
    use rustls::internal::msgs::codec::{Codec, Reader};
    let mut bytes = scheme.to_array().to_vec();
    bytes.extend(u16::try_from(signature.len()).unwrap().to_be_bytes());
    bytes.extend(signature);
    DigitallySignedStruct::read(&mut Reader::init(&bytes)).unwrap()
}

#[test]
fn possession_is_proved_by_a_signature_of_the_leafs_key_and_nothing_else() {
    let possession = Possession(provider().signature_verification_algorithms);
    let (holder, thief) = (
        party(KeyKind::P256, "holder"),
        party(KeyKind::P256, "thief"),
    );
    let leaf = CertificateDer::from(holder.der.clone());
    let scheme = SignatureScheme::ECDSA_NISTP256_SHA256;
    let good = signed(scheme, &holder.key.sign(b"handshake").unwrap());
    let stolen = signed(scheme, &thief.key.sign(b"handshake").unwrap());
    possession
        .verify_tls12_signature(b"handshake", &leaf, &good)
        .unwrap();
    possession
        .verify_tls13_signature(b"handshake", &leaf, &good)
        .unwrap();
    possession
        .verify_tls12_signature(b"another", &leaf, &good)
        .unwrap_err();
    possession
        .verify_tls13_signature(b"another", &leaf, &good)
        .unwrap_err();
    possession
        .verify_tls12_signature(b"handshake", &leaf, &stolen)
        .unwrap_err();
    possession
        .verify_tls13_signature(b"handshake", &leaf, &stolen)
        .unwrap_err();
    let garbage = CertificateDer::from(vec![0x30, 0x03, 1, 2, 3]);
    possession
        .verify_tls12_signature(b"handshake", &garbage, &good)
        .unwrap_err();
    possession
        .verify_tls13_signature(b"handshake", &garbage, &good)
        .unwrap_err();
}

#[test]
fn nothing_can_be_resumed() {
    let server = party(KeyKind::P256, "server");
    for config in [
        device_config(server.server()),
        operator_config(server.server()),
        access_config(server.server()),
    ] {
        let config = config.unwrap();
        assert_eq!(config.send_tls13_tickets, 0);
        assert!(!config.ticketer.enabled());
        assert!(!config.session_storage.can_cache());
    }
}
