use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::routing::{get, post};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::Notify;
use tokio::task::JoinHandle;

use super::*;
use crate::metrics::Metrics;
use crate::peer::Whole;

struct Running {
    address: SocketAddr,
    metrics: Metrics,
    switch: StopSwitch,
    task: JoinHandle<()>,
}

async fn start(router: Router, limits: Limits) -> Running {
    let bound = Bound::bind(Listener::Public, "127.0.0.1:0".parse().unwrap())
        .await
        .unwrap();
    let address = bound.address();
    let metrics = Metrics::new();
    let edge = metrics.edge(Listener::Public);
    let (switch, stop) = Stop::new();
    let task = tokio::spawn(async move {
        bound
            .serve(Transport::Plain, router, &limits, edge, stop)
            .await;
    });
    Running {
        address,
        metrics,
        switch,
        task,
    }
}

/// Sends bytes and reads until the server closes.
async fn talk(address: SocketAddr, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream.write_all(bytes).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

fn hello() -> Router {
    Router::new()
        .route("/", get(async || "hello"))
        .route("/echo", post(async |body: Whole<8>| body.into_inner()))
}

#[tokio::test]
async fn a_client_is_answered_in_its_own_http_version() {
    let server = start(hello(), Limits::default()).await;
    let answer = talk(server.address, b"GET / HTTP/1.0\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.0 200 OK\r\n"), "{answer}");
    assert!(answer.ends_with("\r\n\r\nhello"), "{answer}");
    let answer = talk(
        server.address,
        b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
    )
    .await;
    assert!(answer.starts_with("HTTP/1.1 200 OK\r\n"), "{answer}");
}

#[tokio::test]
async fn every_answer_names_its_request() {
    let server = start(hello(), Limits::default()).await;
    let id = |answer: &str| {
        let line = answer
            .lines()
            .find(|line| line.starts_with("x-request-id: "))
            .unwrap();
        line.to_string()
    };
    let first = id(&talk(server.address, b"GET / HTTP/1.0\r\n\r\n").await);
    let second = id(&talk(server.address, b"GET /none HTTP/1.0\r\n\r\n").await);
    assert_ne!(first, second);
    let text = server.metrics.text();
    assert!(
        text.contains(r#"tenure_http_requests_total{listener="public",status="404"} 1"#),
        "{text}"
    );
}

#[tokio::test]
async fn too_many_requests_are_told_when_to_come_back() {
    let limits = Limits {
        public_requests_per_source_s: 1,
        ..Limits::default()
    };
    let server = start(hello(), limits).await;
    for _ in 0..4 {
        assert!(
            talk(server.address, b"GET / HTTP/1.0\r\n\r\n")
                .await
                .contains(" 200 OK")
        );
    }
    let answer = talk(server.address, b"GET / HTTP/1.0\r\n\r\n").await;
    assert!(answer.starts_with("HTTP/1.0 429 "), "{answer}");
    assert!(answer.contains("retry-after: 1\r\n"), "{answer}");
    assert!(answer.contains("application/problem+json"), "{answer}");
}

#[tokio::test]
async fn a_body_is_read_up_to_its_limit_whether_announced_or_not() {
    let server = start(hello(), Limits::default()).await;
    let fits = b"POST /echo HTTP/1.0\r\nContent-Length: 8\r\n\r\n12345678";
    assert!(talk(server.address, fits).await.ends_with("12345678"));
    let announced =
        b"POST /echo HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 9\r\n\r\n";
    assert!(
        talk(server.address, announced)
            .await
            .starts_with("HTTP/1.1 413 ")
    );
    let chunked = b"POST /echo HTTP/1.1\r\nHost: x\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n\
        5\r\n12345\r\n5\r\n12345\r\n0\r\n\r\n";
    assert!(
        talk(server.address, chunked)
            .await
            .starts_with("HTTP/1.1 413 ")
    );
}

#[tokio::test]
async fn a_slow_head_is_cut_off_and_a_slow_body_is_told_so() {
    let limits = Limits {
        header_s: 1,
        body_s: 1,
        ..Limits::default()
    };
    let server = start(hello(), limits).await;
    let head = talk(server.address, b"GET / HTTP/1.1\r\nHost:");
    let body = talk(
        server.address,
        b"POST /echo HTTP/1.0\r\nContent-Length: 8\r\n\r\n1",
    );
    let (head, body) = tokio::join!(head, body);
    assert!(
        head.is_empty() || head.starts_with("HTTP/1.1 408 "),
        "{head}"
    );
    assert!(body.starts_with("HTTP/1.0 408 "), "{body}");
}

#[tokio::test]
async fn hostile_heads_get_an_error_and_the_server_goes_on() {
    let server = start(hello(), Limits::default()).await;
    let long = [
        b"GET /".as_slice(),
        &vec![b'a'; 2 * limits::HEADER_BYTES_MAX],
        b" HTTP/1.1\r\n\r\n",
    ];
    let many = [
        b"GET / HTTP/1.1\r\n".as_slice(),
        &b"a: b\r\n".repeat(limits::HEADERS_MAX + 1),
        b"\r\n",
    ];
    for bytes in [
        &b"\x16\x03\x01\x02\x00\x01\x00"[..],
        b"GET\r\n\r\n",
        &long.concat(),
        &many.concat(),
    ] {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        // The server may answer and close before it has read everything.
        let _ = stream.write_all(bytes).await;
        let _ = stream.shutdown().await;
        let mut answer = Vec::new();
        let _ = stream.read_to_end(&mut answer).await;
        let answer = String::from_utf8(answer).unwrap();
        assert!(
            answer.is_empty() || answer.starts_with("HTTP/1.1 4"),
            "{answer}"
        );
    }
    assert!(
        talk(server.address, b"GET / HTTP/1.0\r\n\r\n")
            .await
            .contains(" 200 OK")
    );
}

#[tokio::test]
async fn a_source_has_so_many_connections_and_no_more() {
    let limits = Limits {
        connections_per_source: 1,
        ..Limits::default()
    };
    let server = start(hello(), limits).await;
    let mut first = TcpStream::connect(server.address).await.unwrap();
    first
        .write_all(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        .await
        .unwrap();
    let mut byte = [0];
    first.read_exact(&mut byte).await.unwrap();
    let mut second = TcpStream::connect(server.address).await.unwrap();
    let read = second.read(&mut byte).await;
    assert!(matches!(read, Ok(0) | Err(_)));
    assert!(server.metrics.text().contains(r#"reason="connections"} 1"#));
    drop(first);
    let deadline = Instant::now() + Duration::from_secs(10);
    loop {
        let mut third = TcpStream::connect(server.address).await.unwrap();
        let asked = third.write_all(b"GET / HTTP/1.0\r\n\r\n").await;
        let mut answer = String::new();
        if asked.is_ok() && third.read_to_string(&mut answer).await.is_ok() && !answer.is_empty() {
            break;
        }
        assert!(Instant::now() < deadline, "the place was not given back");
        tokio::task::yield_now().await;
    }
}

#[tokio::test]
async fn a_stop_lets_the_request_under_way_finish_and_takes_no_other() {
    let (entered, leave) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
    let router = {
        let (entered, leave) = (entered.clone(), leave.clone());
        Router::new().route(
            "/",
            get(move || async move {
                entered.notify_one();
                leave.notified().await;
                "done"
            }),
        )
    };
    let server = start(router, Limits::default()).await;
    let idle = TcpStream::connect(server.address).await.unwrap();
    let under_way = tokio::spawn(talk(server.address, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n"));
    entered.notified().await;
    server.switch.stop();
    let deadline = Instant::now() + Duration::from_secs(10);
    while TcpStream::connect(server.address).await.is_ok() {
        assert!(Instant::now() < deadline, "still accepting");
        tokio::task::yield_now().await;
    }
    leave.notify_one();
    assert!(under_way.await.unwrap().ends_with("done"));
    server.task.await.unwrap();
    drop(idle);
}

#[tokio::test]
async fn a_taken_address_says_which_key_to_change() {
    let taken = Bound::bind(Listener::Device, "127.0.0.1:0".parse().unwrap())
        .await
        .unwrap();
    let error = Bound::bind(Listener::Device, taken.address())
        .await
        .unwrap_err();
    let said = error.to_string();
    assert!(said.starts_with(&format!(
        "cannot listen on {}: another program",
        taken.address()
    )));
    assert!(said.contains("`device` under [listen]") && said.contains("TENURE_LISTEN_DEVICE"));
}

#[tokio::test]
async fn listens_on_ipv6() {
    let Ok(bound) = Bound::bind(Listener::Public, "[::1]:0".parse().unwrap()).await else {
        println!("skipped: no IPv6 on this machine");
        return;
    };
    let address = bound.address();
    let (_switch, stop) = Stop::new();
    let edge = Metrics::new().edge(Listener::Public);
    tokio::spawn(async move {
        bound
            .serve(Transport::Plain, hello(), &Limits::default(), edge, stop)
            .await;
    });
    assert!(
        talk(address, b"GET / HTTP/1.0\r\n\r\n")
            .await
            .ends_with("hello")
    );
}

#[test]
fn a_logged_path_is_cut_at_a_character() {
    assert_eq!(logged_path("/short"), "/short");
    let long = "/é".repeat(limits::LOGGED_PATH_BYTES_MAX);
    let cut = logged_path(&long);
    assert!(cut.ends_with('…') && cut.len() <= limits::LOGGED_PATH_BYTES_MAX + 5);
}
