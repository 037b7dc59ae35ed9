//! The client against servers that misbehave, spoken to over plain TCP so that every octet of
//! theirs is ours to choose.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tenure_field::http::{Client, Error, Settings, Stage, Timeouts, Url};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

/// A server that reads one request and then sends these octets; what follows is up to `after`.
async fn server(octets: Vec<u8>, after: After) -> (Url, Arc<AtomicUsize>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = Url::parse(&format!("http://{}/", listener.local_addr().unwrap())).unwrap();
    let accepted = Arc::new(AtomicUsize::new(0));
    let count = accepted.clone();
    tokio::spawn(async move {
        while let Ok((mut tcp, _)) = listener.accept().await {
            count.fetch_add(1, Ordering::SeqCst);
            let octets = octets.clone();
            tokio::spawn(async move {
                while read_request(&mut tcp).await {
                    if tcp.write_all(&octets).await.is_err() {
                        return;
                    }
                    match after {
                        After::KeepOpen => {}
                        After::Close => return,
                        After::Hang => std::future::pending::<()>().await,
                        After::Flood => while tcp.write_all(&[b'x'; 65536]).await.is_ok() {},
                    }
                }
            });
        }
    });
    (url, accepted)
}

#[derive(Clone, Copy)]
enum After {
    KeepOpen,
    Close,
    Hang,
    Flood,
}

async fn read_request(tcp: &mut TcpStream) -> bool {
    let mut seen = Vec::new();
    let mut octet = [0; 1];
    while !seen.ends_with(b"\r\n\r\n") {
        match tcp.read(&mut octet).await {
            Ok(1) => seen.push(octet[0]),
            _ => return false,
        }
    }
    true
}

fn client(request: Duration) -> Client {
    let timeouts = Timeouts {
        request,
        ..Timeouts::default()
    };
    Client::new(Settings {
        timeouts,
        answer_bytes_max: 100_000,
        ..Settings::new(None)
    })
    .unwrap()
}

const LONG: Duration = Duration::from_secs(30);
const SHORT: Duration = Duration::from_millis(200);

#[tokio::test]
async fn connections_are_kept_and_replaced_when_closed() {
    let good = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nRetry-After: 5\r\n\r\nhi".to_vec();
    let (url, accepted) = server(good.clone(), After::KeepOpen).await;
    let client = client(LONG);
    for _ in 0..5 {
        let answer = client.get(&url).await.unwrap();
        assert_eq!(
            (answer.status.as_u16(), &*answer.body),
            (200, b"hi".as_slice())
        );
        assert_eq!(answer.header("retry-after"), Some("5"));
        assert!(answer.peer_chain.is_empty());
    }
    assert_eq!(accepted.load(Ordering::SeqCst), 1);

    let closing = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nhi".to_vec();
    let (url, accepted) = server(closing, After::Close).await;
    for _ in 0..5 {
        assert_eq!(client.get(&url).await.unwrap().body, b"hi");
    }
    assert_eq!(accepted.load(Ordering::SeqCst), 5);
}

#[tokio::test]
async fn many_requests_at_once_share_a_client() {
    let good = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi".to_vec();
    let (url, _) = server(good, After::KeepOpen).await;
    let client = client(LONG);
    let asked: Vec<_> = (0..50)
        .map(|_| {
            let (client, url) = (client.clone(), url.clone());
            tokio::spawn(async move { client.get(&url).await.map(|answer| answer.body) })
        })
        .collect();
    for one in asked {
        assert_eq!(one.await.unwrap().unwrap(), b"hi");
    }
}

#[tokio::test]
async fn nothing_is_read_without_a_limit() {
    let cases: [(&[u8], After); 4] = [
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 100001\r\n\r\n",
            After::Hang,
        ),
        (
            b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999\r\n\r\n",
            After::Flood,
        ),
        (b"HTTP/1.1 200 OK\r\n\r\n", After::Flood),
        (
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nFFFFFFF\r\n",
            After::Flood,
        ),
    ];
    for (octets, after) in cases {
        let (url, _) = server(octets.to_vec(), after).await;
        let error = client(LONG).get(&url).await.unwrap_err();
        assert!(
            matches!(error, Error::TooLarge { bytes_max: 100_000 }),
            "{error:?}"
        );
    }
    let (url, _) = server(b"HTTP/1.1 200 OK\r\nX: ".to_vec(), After::Flood).await;
    assert!(matches!(
        client(LONG).get(&url).await.unwrap_err(),
        Error::Http { .. }
    ));
    let many = format!("HTTP/1.1 200 OK\r\n{}\r\n", "a: b\r\n".repeat(200));
    let (url, _) = server(many.into_bytes(), After::Hang).await;
    assert!(matches!(
        client(LONG).get(&url).await.unwrap_err(),
        Error::Http { .. }
    ));
}

#[tokio::test]
async fn a_slow_server_is_given_up_at_every_point() {
    let cases: [&[u8]; 4] = [
        b"",
        b"HTTP/1.1 200 O",
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf",
    ];
    for octets in cases {
        let (url, _) = server(octets.to_vec(), After::Hang).await;
        let error = client(SHORT).get(&url).await.unwrap_err();
        assert!(
            matches!(
                error,
                Error::Timeout {
                    stage: Stage::Request,
                    ..
                }
            ),
            "{error:?}"
        );
    }
}

#[tokio::test]
async fn what_is_not_http_is_an_error() {
    let cases: [&[u8]; 6] = [
        b"",
        b"SSH-2.0-OpenSSH_9.2\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n",
        b"\x15\x03\x03\x00\x02\x02\x28",
    ];
    for octets in cases {
        let (url, _) = server(octets.to_vec(), After::Close).await;
        let error = client(LONG).get(&url).await.unwrap_err();
        assert!(matches!(error, Error::Http { .. }), "{error:?}");
    }
}

#[tokio::test]
async fn what_was_sent_is_not_sent_again() {
    let (url, accepted) = server(Vec::new(), After::Close).await;
    let error = client(LONG)
        .post(&url, "text/plain", b"once".to_vec())
        .await
        .unwrap_err();
    assert!(matches!(error, Error::Http { .. }), "{error:?}");
    assert_eq!(accepted.load(Ordering::SeqCst), 1);
}

#[tokio::test]
async fn a_server_that_is_not_there_is_tried_a_few_times() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = Url::parse(&format!("http://{}/", listener.local_addr().unwrap())).unwrap();
    drop(listener);
    let error = client(LONG).get(&url).await.unwrap_err();
    assert!(matches!(&error, Error::Connect { server, .. } if url.server().ends_with(server)));
    assert!(error.to_string().starts_with("cannot reach 127.0.0.1:"));
}

#[tokio::test]
async fn https_without_trust_and_identity_without_trust_are_refused() {
    let url = Url::parse("https://127.0.0.1:1/").unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = Url::parse(&format!(
        "https://{}{}",
        listener.local_addr().unwrap(),
        url.path()
    ))
    .unwrap();
    assert!(matches!(
        client(LONG).get(&url).await,
        Err(Error::Credentials { .. })
    ));
    let identity = tenure_field::http::Identity {
        chain: Vec::new(),
        key: Vec::new().into(),
    };
    assert!(Client::new(Settings::new(None).with_identity(identity)).is_err());
}

#[tokio::test]
async fn header_fields_cannot_be_smuggled() {
    let (url, _) = server(b"HTTP/1.1 200 OK\r\n\r\n".to_vec(), After::Close).await;
    let sent = client(LONG)
        .send(
            http::Method::GET,
            &url,
            &[("x-a", "b\r\nx-c: d")],
            Vec::new(),
        )
        .await;
    assert!(matches!(sent, Err(Error::Request { .. })));
}

#[tokio::test]
async fn ipv6_addresses_are_reached() {
    let Ok(listener) = TcpListener::bind("[::1]:0").await else {
        eprintln!("skipped: IPv6 loopback not found");
        return;
    };
    let url = Url::parse(&format!("http://{}/", listener.local_addr().unwrap())).unwrap();
    tokio::spawn(async move {
        let (mut tcp, _) = listener.accept().await.unwrap();
        let mut seen = vec![0; 4096];
        let read = tcp.read(&mut seen).await.unwrap();
        let host = format!("host: {}", listener.local_addr().unwrap());
        let heard = String::from_utf8_lossy(&seen[..read]).to_lowercase();
        let status = if heard.contains(&host) { 200 } else { 400 };
        let answer = format!("HTTP/1.1 {status} X\r\nContent-Length: 0\r\n\r\n");
        tcp.write_all(answer.as_bytes()).await.unwrap();
    });
    assert_eq!(client(LONG).get(&url).await.unwrap().status.as_u16(), 200);
}
