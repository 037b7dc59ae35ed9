//! The client over TLS: whom it believes, and how it shows who it is.

mod pki;
mod rude;

use std::sync::Arc;

use pki::{Ca, days};
use rude::{Said, Server};
use tenure_field::http::{Client, Error, Settings, Stage, Timeouts, Trust, Url};
use tenure_field::peer::Acceptor;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

fn anchors(ca: &Ca) -> Trust {
    Trust::from_pem(&ca.cert.pem()).unwrap()
}

fn client(trust: Trust) -> Client {
    Client::new(Settings::new(Some(trust))).unwrap()
}

#[tokio::test]
async fn a_server_is_believed_only_through_the_pinned_root() {
    let (root, other) = (Ca::root("root"), Ca::root("root"));
    let issuing = root.issuing("issuing");
    let server = Server::start(issuing.server(&root), &[], |_| Said::new(200, "hi")).await;

    let answer = client(anchors(&root)).get(&server.url).await.unwrap();
    assert_eq!(
        (answer.status.as_u16(), &*answer.body),
        (200, b"hi".as_slice())
    );
    assert_eq!(answer.peer_chain.len(), 3);
    assert_eq!(answer.peer_chain[2], root.cert.der());

    let error = client(anchors(&other)).get(&server.url).await.unwrap_err();
    assert!(
        matches!(error, Error::Tls { .. }) && error.distrust().is_some(),
        "{error:?}"
    );
    assert!(error.to_string().ends_with("is not trusted"));
    assert!(
        server.heard().len() == 1,
        "nothing is said to a server that is not believed"
    );
}

#[tokio::test]
async fn the_first_contact_compares_the_roots_fingerprint() {
    let (root, other) = (Ca::root("root"), Ca::root("root"));
    let issuing = root.issuing("issuing");
    let server = Server::start(issuing.server(&root), &[], |_| Said::new(200, "hi")).await;

    let chain = client(Trust::Fingerprint(root.cert.fingerprint()))
        .connect(&server.url)
        .await;
    assert_eq!(chain.unwrap().last().unwrap(), root.cert.der());

    for wrong in [other.cert.fingerprint(), [0; 32]] {
        let error = client(Trust::Fingerprint(wrong))
            .get(&server.url)
            .await
            .unwrap_err();
        assert!(error.distrust().is_some(), "{error:?}");
    }

    // A server that shows the right root beside a certificate of its own making.
    let mut stranger = other.issuing("issuing").server(&other);
    stranger.chain.push(root.cert.der().to_vec());
    let liar = Server::start(stranger, &[], |_| Said::new(200, "hi")).await;
    let error = client(Trust::Fingerprint(root.cert.fingerprint()))
        .get(&liar.url)
        .await
        .unwrap_err();
    assert!(error.distrust().is_some(), "{error:?}");

    // The fingerprint of the server's own certificate is not that of a root.
    let own = tenure_x509::Cert::from_der(&issuing.server(&root).chain[0]).unwrap();
    assert!(
        client(Trust::Fingerprint(own.fingerprint()))
            .get(&server.url)
            .await
            .is_err()
    );
}

#[tokio::test]
async fn the_name_of_the_server_counts() {
    let root = Ca::root("root");
    let key = pki::key();
    let san = vec![tenure_x509::SanName::Dns("elsewhere.example".into())];
    let extensions = pki::leaf(pki::SERVER_AUTH, san);
    let cert = root.sign(&pki::name("server"), key.public(), extensions, days(30));
    let server = Server::start(pki::identity(&key, &[&cert]), &[], |_| Said::new(200, "hi")).await;
    let error = client(anchors(&root)).get(&server.url).await.unwrap_err();
    assert!(error.distrust().is_some(), "{error:?}");
}

#[tokio::test]
async fn an_expired_server_is_not_believed() {
    let root = Ca::root("root");
    let key = pki::key();
    let san = vec![tenure_x509::SanName::Ip("127.0.0.1".parse().unwrap())];
    let past = tenure_x509::Validity {
        not_before: pki::now().plus(-10 * pki::DAY),
        not_after: pki::now().plus(-1),
    };
    let cert = root.sign(
        &pki::name("server"),
        key.public(),
        pki::leaf(pki::SERVER_AUTH, san),
        past,
    );
    let server = Server::start(pki::identity(&key, &[&cert]), &[], |_| Said::new(200, "hi")).await;
    let error = client(anchors(&root)).get(&server.url).await.unwrap_err();
    let reason = error.distrust().unwrap();
    assert!(format!("{reason:?}").starts_with("Expired"), "{reason:?}");
}

#[tokio::test]
async fn an_identity_is_presented() {
    let root = Ca::root("root");
    let issuing = root.issuing("issuing");
    let server = Server::start(issuing.server(&root), &[root.cert.der()], |_| {
        Said::new(200, "hi")
    })
    .await;
    let device = issuing.device("pump-7", days(30));
    let settings = Settings::new(Some(anchors(&root))).with_identity(device.clone());
    Client::new(settings)
        .unwrap()
        .get(&server.url)
        .await
        .unwrap();
    assert_eq!(server.heard()[0].client.as_ref(), Some(&device.chain[0]));

    client(anchors(&root)).get(&server.url).await.unwrap();
    assert_eq!(server.heard()[1].client, None);
}

#[tokio::test]
async fn a_key_of_another_certificate_is_refused_early() {
    let root = Ca::root("root");
    let mut device = root.device("pump-7", days(30));
    device.key = pki::key().to_pkcs8().unwrap();
    let settings = Settings::new(Some(anchors(&root))).with_identity(device);
    assert!(matches!(
        Client::new(settings),
        Err(Error::Credentials { .. })
    ));
}

#[tokio::test]
async fn a_service_accepts_its_devices_and_says_no_to_others() {
    let (root, other) = (Ca::root("root"), Ca::root("other"));
    let issuing = root.issuing("issuing");
    let second = std::time::Duration::from_secs(10);
    let acceptor =
        Acceptor::new(issuing.server(&root), &[root.cert.der().to_vec()], second).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = Url::parse(&format!("https://{}/", listener.local_addr().unwrap())).unwrap();
    let (seen, mut accepted) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            let (acceptor, seen) = (acceptor.clone(), seen.clone());
            tokio::spawn(async move {
                let outcome = acceptor.accept(tcp).await;
                let Ok(mut peer) = outcome else { return };
                seen.send(peer.chain.clone()).unwrap();
                let mut request = [0; 4096];
                let _ = peer.stream.read(&mut request).await;
                let answer = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi";
                let _ = peer.stream.write_all(answer).await;
                let _ = peer.stream.shutdown().await;
            });
        }
    });
    let device = issuing.device("pump-7", days(30));
    let ask = |identity: Option<_>| {
        let settings = Settings {
            identity,
            ..Settings::new(Some(anchors(&root)))
        };
        let (client, url) = (Client::new(settings).unwrap(), url.clone());
        async move { client.get(&url).await }
    };
    assert_eq!(ask(Some(device.clone())).await.unwrap().body, b"hi");
    assert_eq!(accepted.recv().await.unwrap(), device.chain);

    let past = tenure_x509::Validity {
        not_before: pki::now().plus(-10 * pki::DAY),
        not_after: pki::now().plus(-1),
    };
    for stranger in [
        None,
        Some(other.device("pump-7", days(30))),
        Some(issuing.device("pump-7", past)),
    ] {
        let error = ask(stranger).await.unwrap_err();
        assert!(
            matches!(error, Error::Http { .. } | Error::Tls { .. }),
            "{error:?}"
        );
    }
    assert!(
        accepted.try_recv().is_err(),
        "no stranger got through the handshake"
    );
}

/// A resumed session would skip the verification of the client, so that whoever was let in once stays
/// welcome: also a client that would resume goes through a whole handshake each time.
#[tokio::test]
async fn a_service_resumes_no_session() {
    let root = Ca::root("root");
    let issuing = root.issuing("issuing");
    let anchors = [issuing.cert.der().to_vec()];
    let handshake = std::time::Duration::from_secs(5);
    let acceptor = Acceptor::new(issuing.server(&root), &anchors, handshake).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        while let Ok((tcp, _)) = listener.accept().await {
            let mut peer = acceptor.accept(tcp).await.unwrap();
            peer.stream.write_all(b"hi").await.unwrap();
            peer.stream.shutdown().await.unwrap();
        }
    });

    let mut roots = rustls::RootCertStore::empty();
    roots.add(root.cert.der().to_vec().into()).unwrap();
    let device = issuing.device("pump-1", days(30));
    let chain: Vec<_> = device.chain.iter().map(|der| der.clone().into()).collect();
    for version in [&rustls::version::TLS13, &rustls::version::TLS12] {
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let key = rustls_pki_types::PrivatePkcs8KeyDer::from(device.key.to_vec());
        let config = rustls::ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(&[version])
            .unwrap()
            .with_root_certificates(roots.clone())
            .with_client_auth_cert(chain.clone(), key.into())
            .unwrap();
        let connector = tokio_rustls::TlsConnector::from(Arc::new(config));
        for _ in 0..2 {
            let tcp = tokio::net::TcpStream::connect(address).await.unwrap();
            let name = address.ip().into();
            let mut stream = connector.connect(name, tcp).await.unwrap();
            let mut said = Vec::new();
            // To its end: tickets come after the handshake.
            stream.read_to_end(&mut said).await.unwrap();
            assert_eq!(said, b"hi");
            let kind = stream.get_ref().1.handshake_kind();
            assert_eq!(kind, Some(rustls::HandshakeKind::Full), "{version:?}");
        }
    }
}

#[tokio::test]
async fn a_handshake_that_never_comes_or_is_none_ends() {
    let trust = anchors(&Ca::root("root"));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = Url::parse(&format!("https://{}/", listener.local_addr().unwrap())).unwrap();
    let handshake = std::time::Duration::from_millis(200);
    let timeouts = Timeouts {
        handshake,
        ..Timeouts::default()
    };
    let settings = Settings {
        timeouts,
        ..Settings::new(Some(trust.clone()))
    };
    // Nobody accepts: the system completes the connection, and then nothing comes.
    let error = Client::new(settings).unwrap().get(&url).await.unwrap_err();
    assert!(
        matches!(
            error,
            Error::Timeout {
                stage: Stage::Handshake,
                ..
            }
        ),
        "{error:?}"
    );

    let plain = Server::plain(|_| Said::new(200, "hi")).await;
    let https = format!("https://{}:{}/", plain.url.host(), plain.url.port());
    let error = client(trust)
        .get(&Url::parse(&https).unwrap())
        .await
        .unwrap_err();
    assert!(
        matches!(error, Error::Tls { .. }) && error.distrust().is_none(),
        "{error:?}"
    );
}
