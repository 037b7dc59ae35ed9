//! May this device be let in? Asked of the command line, of the API with a relying party's token, and
//! by real relying parties through their adapters. No adapter lets a byte through before a verdict.

use std::fs;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpListener};
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};
use tenure_field::http::{Identity, Response};
use tenure_tests::http::{Caller, certificate, identity, request};
use tenure_tests::relying::{Relying, ServerPki, Trust};
use tenure_tests::{House, have, revoke, text, until};
use tenure_x509::{Cert, KeyKind, KeyPair};

use super::TENURE;

/// A house with a gate: a relying party for telemetry, its token, and the listener where it asks.
pub(super) struct Plant {
    pub(super) house: House,
    access: u16,
    token: String,
    directory: PathBuf,
    pki: ServerPki,
}

pub(super) fn plant() -> Plant {
    let mut house = House::found(TENURE);
    let access = Relying::port();
    house.set("TENURE_LISTEN_ACCESS", &format!("127.0.0.1:{access}"));
    house.start();
    for (noun, name) in [
        ("owner", "Hydraulics"),
        ("site", "Hall 3"),
        ("site", "Hall 4"),
        ("service", "telemetry"),
        ("service", "historian"),
    ] {
        house.tell(&[noun, "add", name]);
    }
    gate(&house, "gate", "telemetry");
    let token = token(&house, "gate");
    let directory = house.directory().join("relying");
    fs::create_dir_all(&directory).unwrap();
    let pki = ServerPki::new(&directory);
    Plant {
        house,
        access,
        token,
        directory,
        pki,
    }
}

fn gate(house: &House, name: &str, services: &str) {
    house.tell(&[
        "relying-party",
        "add",
        name,
        "--address",
        "127.0.0.1:1",
        "--services",
        services,
        "--owner",
        "Hydraulics",
        "--site",
        "Hall 3",
        "--checks",
        "decision",
    ]);
}

fn token(house: &House, name: &str) -> String {
    let create = ["token", "create", "--name", name, "--role", "relying-party"];
    house.tell(&create)
}

impl Plant {
    pub(super) fn enroll(&self, id: &str) -> (Cert, KeyPair) {
        let secret = self.house.device(id);
        let key = KeyPair::generate(KeyKind::P256).unwrap();
        let caller = Caller::new(&self.house.root());
        let answer = caller.enroll(
            &self.house.est("simpleenroll"),
            &request(&key, id),
            Some((id, &secret)),
        );
        (certificate(&answer), key)
    }

    /// What a device shows: its certificate with the one that signed it.
    fn shown(&self, (cert, key): &(Cert, KeyPair)) -> Identity {
        identity(cert, key)
    }

    fn ask(&self, path: &str, headers: &[(&str, &str)], body: &[u8]) -> Response {
        let caller = Caller::new(&self.house.root());
        let bearer = format!("Bearer {}", self.token);
        let mut all = vec![("authorization", bearer.as_str())];
        all.extend(headers);
        let url = format!("https://127.0.0.1:{}{path}", self.access);
        caller.send("POST", &url, &all, body)
    }

    pub(super) fn decide(&self, body: &Value) -> (u16, Value) {
        let headers = [("content-type", "application/json")];
        let answer = self.ask("/api/v1/decide", &headers, body.to_string().as_bytes());
        let value = serde_json::from_slice(&answer.body).unwrap_or(Value::Null);
        (answer.status.as_u16(), value)
    }

    fn path(&self, name: &str) -> String {
        self.directory.join(name).display().to_string()
    }

    fn write(&self, name: &str, content: &str) -> String {
        fs::write(self.directory.join(name), content).unwrap();
        self.path(name)
    }
}

pub(super) fn first(verdict: &Value) -> &str {
    verdict["reasons"][0]["reason"].as_str().unwrap()
}

/// Requirements P1, P4 and P5 as an operator meets them: verdict, reasons, evidence, an end, the same
/// again later; the address changes nothing, and neither does another site. Left out: the figures,
/// which `cargo bench --bench decide` prints, and A8's takeover by another owner.
#[test]
fn p1_p4_p5_a_verdict_follows_the_identity_and_can_be_made_again() {
    let plant = plant();
    let house = &plant.house;
    let pump = plant.enroll("pump-17");
    let serial = pump.0.serial().to_string();
    let show = ["trust", "show", "pump-17", "--service", "telemetry"];
    let verdict = house.ask(&show);
    assert_eq!(verdict["access"], "allow", "{verdict:#}");
    assert_eq!(verdict["verdict"], "trusted");
    assert_eq!(verdict["tier"], "limited", "nobody has seen it in use yet");
    assert!(verdict["valid_until"].as_str() > verdict["decided"].as_str());
    let evidence = verdict["evidence"].to_string();
    assert!(evidence.contains(&serial), "{evidence}");

    // A relying party that lets it in has seen it in use.
    let pem = pump.0.pem();
    let (status, seen) = plant.decide(&json!({ "certificate": pem, "source": "10.3.0.7" }));
    assert_eq!(
        (status, &seen["access"]),
        (200, &json!("allow")),
        "{seen:#}"
    );
    until("it was seen in use", || house.ask(&show)["tier"] == "full");
    let here = plant
        .decide(&json!({ "certificate": pem, "source": "10.3.0.7" }))
        .1;
    let there = plant
        .decide(&json!({ "certificate": pem, "source": "203.0.113.9" }))
        .1;
    assert_eq!(here["id"], there["id"], "the address is not even looked at");

    // Another site: the identity travels along.
    let before = house.ask(&show);
    house.tell(&["device", "edit", "pump-17", "--site", "Hall 4"]);
    let moved = house.ask(&show);
    assert_eq!(moved["verdict"], "trusted");
    assert_eq!(moved["evidence"][0], before["evidence"][0]);
    let hall = [&show[..], &["--site", "Hall 3"]].concat();
    let elsewhere = house.ask(&hall);
    assert_eq!(elsewhere["access"], "deny");
    assert_eq!(first(&elsewhere), "other-site");

    house.tell(&["device", "suspend", "pump-17", "--why", "a test", "--yes"]);
    let stopped = house.tenure(&[
        "decide",
        "ask",
        "--serial",
        &serial,
        "--service",
        "telemetry",
    ]);
    assert_eq!(stopped.status.code(), Some(1));
    let stopped = house.ask(&show);
    assert_eq!(first(&stopped), "certificate-held", "{stopped:#}");
    assert_eq!(stopped["verdict"], "untrusted");
    // What was said is still said, though the device has changed twice since.
    for then in [&verdict, &seen, &here, &elsewhere, &stopped] {
        let id = then["id"].as_str().unwrap();
        let again = house.ask(&["decide", "replay", id]);
        assert_eq!(again["agreement"], "same", "{again:#}");
        assert_eq!(again["verdict"]["reasons"], then["reasons"]);
        assert_eq!(again["verdict"]["valid_until"], then["valid_until"]);
    }
    let said = || house.ask(&["trust", "said", "pump-17"]);
    until("it is on record", || {
        said()[0]["access"] == "deny" && said()[0]["reasons"][0] == "certificate-held"
    });
}

/// Requirements P2, P6 and P8 as a relying party meets them: its token opens one door, and whoever has
/// no identity is not let in.
#[test]
fn p2_p6_p8_a_relying_party_asks_about_its_own_services_and_nothing_else() {
    let plant = plant();
    let house = &plant.house;
    let pump = plant.enroll("pump-17");
    let serial = pump.0.serial().to_string();
    let (status, verdict) = plant.decide(&json!({ "serial": serial }));
    assert_eq!((status, &verdict["access"]), (200, &json!("allow")));
    let (status, other) = plant.decide(&json!({ "serial": serial, "service": "historian" }));
    assert_eq!(status, 403, "{other:#}");
    let (_, nobody) = plant.decide(&json!({}));
    assert_eq!(nobody["verdict"], "unknown");
    assert_eq!(
        (nobody["access"].as_str(), first(&nobody)),
        (Some("deny"), "no-identity")
    );
    let (_, stranger) = plant.decide(&json!({ "serial": "0badc0de" }));
    assert_eq!(stranger["verdict"], "unknown");
    let (status, _) = plant.decide(&json!({ "fingerprint": "00" }));
    assert_eq!(status, 400);
    // Whoever knows only the fingerprint waits for an index once, and is then answered all the same.
    let fingerprint = tenure_domain::text::hex(&pump.0.fingerprint());
    let (status, again) = plant.decide(&json!({ "fingerprint": fingerprint }));
    assert_eq!(status, 429, "{again:#}");
    until("the index is there", || {
        plant.decide(&json!({ "fingerprint": fingerprint })).1["access"] == "allow"
    });
    let (_, other) = plant.decide(&json!({ "fingerprint": "5f".repeat(32) }));
    assert_eq!(first(&other), "unknown-certificate");

    // The token is good for nothing else, here or elsewhere.
    let caller = Caller::new(&house.root());
    let bearer = format!("Bearer {}", plant.token);
    let headers = [("authorization", bearer.as_str())];
    for path in ["/devices", "/trust/pump-17", "/decisions", "/tokens"] {
        let url = format!("https://127.0.0.1:{}/api/v1{path}", house.ports().operator);
        assert_eq!(
            caller.send("GET", &url, &headers, &[]).status.as_u16(),
            403,
            "{path}"
        );
        let url = format!("https://127.0.0.1:{}/api/v1{path}", plant.access);
        assert_eq!(
            caller.send("GET", &url, &headers, &[]).status.as_u16(),
            404,
            "{path}"
        );
    }
    house.tell(&["relying-party", "remove", "gate"]);
    assert_eq!(plant.decide(&json!({ "serial": serial })).0, 403);
}

/// A test peer that speaks what EMQX 5 speaks to its HTTP authenticator and authorizer, with the
/// templates of docs/relying-parties/emqx.md. EMQX itself is not at hand.
#[test]
fn p8_a_broker_like_emqx_lets_in_who_is_within_its_boundary() {
    let plant = plant();
    let house = &plant.house;
    let pump = plant.enroll("pump-17");
    let other = plant.enroll("pump-18");
    house.tell(&["device", "edit", "pump-18", "--service", "historian"]);
    let connect = |cert: &str, path: &str| {
        let body = json!({
            "certificate": cert, "service": "telemetry", "peerhost": "10.3.0.7",
            "clientid": "c1", "action": "publish", "topic": "plant/pump-17",
        });
        let headers = [("content-type", "application/json")];
        let answer = plant.ask(path, &headers, body.to_string().as_bytes());
        assert_eq!(answer.status.as_u16(), 200);
        assert_eq!(answer.header("content-type"), Some("application/json"));
        serde_json::from_slice::<Value>(&answer.body).unwrap()
    };
    let allowed = connect(&pump.0.pem(), "/emqx/authn");
    assert_eq!(allowed["result"], "allow", "{allowed:#}");
    assert_eq!(allowed["is_superuser"], false);
    assert_eq!(allowed["client_attrs"]["device"], "pump-17");
    assert_eq!(connect(&pump.0.pem(), "/emqx/authz")["result"], "ignore");
    for path in ["/emqx/authn", "/emqx/authz"] {
        assert_eq!(
            connect(&other.0.pem(), path)["result"],
            "deny",
            "other service"
        );
        for stranger in ["", "undefined", "-----BEGIN CERTIFICATE-----"] {
            assert_eq!(connect(stranger, path)["result"], "deny", "{stranger}");
        }
    }
    let serial = pump.0.serial().to_string();
    house.tell(&revoke(&serial));
    for path in ["/emqx/authn", "/emqx/authz"] {
        assert_eq!(connect(&pump.0.pem(), path)["result"], "deny", "revoked");
    }
    // A broker whose token does not work lets nobody in.
    let caller = Caller::new(&house.root());
    let url = format!("https://127.0.0.1:{}/emqx/authn", plant.access);
    let answer = caller.send("POST", &url, &[("authorization", "Bearer x")], b"{}");
    assert_eq!(
        text(&answer.body),
        r#"{"result":"deny","is_superuser":false}"#
    );
}

/// What stands behind a relying party: it counts every byte that reaches it.
struct Backend {
    port: u16,
    bytes: Arc<AtomicUsize>,
}

impl Backend {
    fn start() -> Backend {
        let socket = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).unwrap();
        let port = socket.local_addr().unwrap().port();
        let bytes = Arc::new(AtomicUsize::new(0));
        let counted = Arc::clone(&bytes);
        std::thread::spawn(move || {
            for stream in socket.incoming() {
                let Ok(mut stream) = stream else { return };
                let counted = Arc::clone(&counted);
                std::thread::spawn(move || {
                    let mut buffer = [0; 4_096];
                    let mut request = Vec::new();
                    while let Ok(read @ 1..) = stream.read(&mut buffer) {
                        counted.fetch_add(read, Ordering::SeqCst);
                        request.extend_from_slice(&buffer[..read]);
                        if request.windows(4).any(|end| end == b"\r\n\r\n") {
                            let answer = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\nok";
                            let _ = stream.write_all(answer);
                            break;
                        }
                    }
                });
            }
        });
        Backend { port, bytes }
    }

    fn seen(&self) -> usize {
        self.bytes.load(Ordering::SeqCst)
    }
}

/// Everyone who must be let in or turned away, at a relying party that listens on `port`.
fn only_the_right_one_gets_in(plant: &Plant, port: u16, backend: &Backend, other: u16) {
    let house = &plant.house;
    let good = plant.enroll("pump-17");
    let bound_elsewhere = plant.enroll("pump-18");
    let moved = plant.enroll("pump-19");
    let held = plant.enroll("pump-20");
    house.tell(&["device", "edit", "pump-18", "--service", "historian"]);
    house.tell(&["device", "edit", "pump-19", "--site", "Hall 4"]);
    house.tell(&["device", "suspend", "pump-20", "--why", "a test", "--yes"]);
    let knock = |who: &(Cert, KeyPair), port: u16, headers: &[(&str, &str)]| {
        let caller = Caller::with_identity(&plant.pki.anchor, plant.shown(who));
        let url = format!("https://127.0.0.1:{port}/");
        caller.send("GET", &url, headers, &[]).status.as_u16()
    };
    assert_eq!(knock(&good, port, &[]), 200);
    let seen = backend.seen();
    assert!(seen > 0, "the right one gets through");

    assert_eq!(knock(&bound_elsewhere, port, &[]), 403, "other service");
    assert_eq!(knock(&moved, port, &[]), 403, "other site");
    assert_eq!(knock(&held, port, &[]), 403, "on hold");
    // What a client says of itself is nothing.
    let escaped = good.0.pem().replace('\n', "%0A");
    for name in [
        "x-tenure-certificate",
        "x-tenure-serial",
        "x-tenure-service",
    ] {
        let value = match name {
            "x-tenure-certificate" => escaped.as_str(),
            "x-tenure-serial" => "01",
            _ => "historian",
        };
        assert_eq!(
            knock(&bound_elsewhere, port, &[(name, value)]),
            403,
            "{name}"
        );
    }
    assert_eq!(
        backend.seen(),
        seen,
        "not a byte reaches the service before a verdict"
    );

    // The same relying party asks for a service that its token does not speak for.
    assert_eq!(knock(&good, other, &[]), 403);
    let seen = backend.seen();
    let serial = good.0.serial().to_string();
    house.tell(&revoke(&serial));
    assert_eq!(knock(&good, port, &[]), 403, "revoked, at once");
    // A stranger: its chain leads elsewhere, and TLS already turns it away, or the verdict does.
    let stranger = tenure_tests::pki::Maker::new("Elsewhere").device("SN-1");
    let caller = Caller::with_identity(&plant.pki.anchor, identity(&stranger.0, &stranger.1));
    let url = format!("https://127.0.0.1:{port}/");
    let met = caller.try_send("GET", &url, &[], &[]);
    assert!(met.is_err() || met.is_ok_and(|met| met.status.as_u16() >= 400));
    assert_eq!(
        backend.seen(),
        seen,
        "not a byte reaches the service before a verdict"
    );
}

/// The configuration of docs/relying-parties/nginx.md, "Asking about each request".
#[test]
fn p8_p10_nginx_asks_before_a_byte_goes_through() {
    if !have("nginx") {
        return;
    }
    let mut plant = plant();
    drop(Trust::fetch(&plant.house, &plant.directory));
    let backend = Backend::start();
    let (port, other) = (Relying::port(), Relying::port());
    let server = |port: u16, service: &str| {
        format!(
            "server {{ listen 127.0.0.1:{port} ssl;
               ssl_certificate {cert}; ssl_certificate_key {key};
               ssl_session_cache off; ssl_session_tickets off;
               ssl_verify_client on; ssl_verify_depth 2; ssl_client_certificate {ca};
               location / {{
                 auth_request /_tenure;
                 proxy_pass http://127.0.0.1:{backend};
               }}
               location = /_tenure {{
                 internal;
                 proxy_pass https://127.0.0.1:{access}/auth-request;
                 proxy_ssl_verify on; proxy_ssl_trusted_certificate {root};
                 proxy_ssl_verify_depth 2; proxy_ssl_name localhost;
                 proxy_pass_request_headers off; proxy_pass_request_body off;
                 proxy_set_header Content-Length \"\";
                 proxy_set_header Authorization \"Bearer {token}\";
                 proxy_set_header X-Tenure-Certificate $ssl_client_escaped_cert;
                 proxy_set_header X-Tenure-Service \"{service}\";
                 proxy_set_header X-Tenure-Site \"Hall 3\";
                 proxy_set_header X-Tenure-Source $remote_addr;
               }} }}",
            cert = plant.pki.cert.display(),
            key = plant.pki.key.display(),
            ca = plant.path("ca.pem"),
            backend = backend.port,
            access = plant.access,
            root = plant.house.root().display(),
            token = plant.token,
        )
    };
    let file = plant.write(
        "nginx.conf",
        &format!(
            "daemon off; pid {pid}; error_log {log}; worker_processes 1; events {{}}
             http {{ access_log off;
               client_body_temp_path {t}; proxy_temp_path {t}; fastcgi_temp_path {t};
               uwsgi_temp_path {t}; scgi_temp_path {t};
               {own} {foreign} }}",
            pid = plant.path("nginx.pid"),
            log = plant.path("nginx.log"),
            t = plant.path("nginx.tmp"),
            own = server(port, "telemetry"),
            foreign = server(other, "historian"),
        ),
    );
    let mut command = Command::new("nginx");
    command.args(["-c", &file, "-e", &plant.path("nginx.log")]);
    let _running = Relying::start(port, &mut command);
    only_the_right_one_gets_in(&plant, port, &backend, other);

    // Nobody to ask: nobody gets in.
    let late = plant.enroll("pump-21");
    let seen = backend.seen();
    plant.house.kill();
    let caller = Caller::with_identity(&plant.pki.anchor, plant.shown(&late));
    let answer = caller.send("GET", &format!("https://127.0.0.1:{port}/"), &[], &[]);
    assert_eq!(answer.status.as_u16(), 500);
    assert_eq!(backend.seen(), seen);
}

/// The configuration of docs/relying-parties/envoy.md, "Asking about each request".
#[test]
fn p8_p10_envoy_asks_before_a_byte_goes_through() {
    if !have("envoy") {
        return;
    }
    let mut plant = plant();
    drop(Trust::fetch(&plant.house, &plant.directory));
    let backend = Backend::start();
    let (port, other) = (Relying::port(), Relying::port());
    let tls = "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3";
    let http = "type.googleapis.com/envoy.extensions.filters";
    let listener = |port: u16, service: &str| {
        format!(
            "  - address: {{ socket_address: {{ address: 127.0.0.1, port_value: {port} }} }}
    filter_chains:
    - transport_socket:
        name: tls
        typed_config:
          \"@type\": {tls}.DownstreamTlsContext
          require_client_certificate: true
          disable_stateless_session_resumption: true
          disable_stateful_session_resumption: true
          common_tls_context:
            tls_certificates:
            - certificate_chain: {{ filename: {cert} }}
              private_key: {{ filename: {key} }}
            validation_context: {{ trusted_ca: {{ filename: {ca} }} }}
      filters:
      - name: http
        typed_config:
          \"@type\": {http}.network.http_connection_manager.v3.HttpConnectionManager
          stat_prefix: devices
          route_config:
            virtual_hosts:
            - name: all
              domains: [\"*\"]
              routes:
              - match: {{ prefix: / }}
                route: {{ cluster: backend }}
                typed_per_filter_config:
                  ask:
                    \"@type\": {http}.http.ext_authz.v3.ExtAuthzPerRoute
                    check_settings: {{ context_extensions: {{ service: {service}, site: Hall 3 }} }}
          http_filters:
          - name: ask
            typed_config:
              \"@type\": {http}.http.ext_authz.v3.ExtAuthz
              transport_api_version: V3
              include_peer_certificate: true
              failure_mode_allow: false
              grpc_service:
                envoy_grpc: {{ cluster_name: tenure }}
                timeout: 2s
                initial_metadata: [{{ key: authorization, value: Bearer {token} }}]
          - {{ name: router, typed_config: {{ \"@type\": {http}.http.router.v3.Router }} }}
",
            cert = plant.pki.cert.display(),
            key = plant.pki.key.display(),
            ca = plant.path("ca.pem"),
            token = plant.token,
        )
    };
    let file = plant.write(
        "envoy.yaml",
        &format!(
            "static_resources:
  listeners:
{own}{foreign}  clusters:
  - name: backend
    load_assignment:
      cluster_name: backend
      endpoints: [{{ lb_endpoints: [{{ endpoint: {{ address: {{ socket_address: {{ address: 127.0.0.1, port_value: {backend} }} }} }} }}] }}]
  - name: tenure
    typed_extension_protocol_options:
      envoy.extensions.upstreams.http.v3.HttpProtocolOptions:
        \"@type\": type.googleapis.com/envoy.extensions.upstreams.http.v3.HttpProtocolOptions
        explicit_http_config: {{ http2_protocol_options: {{}} }}
    transport_socket:
      name: tls
      typed_config:
        \"@type\": {tls}.UpstreamTlsContext
        sni: localhost
        common_tls_context:
          validation_context:
            trusted_ca: {{ filename: {root} }}
            match_typed_subject_alt_names: [{{ san_type: DNS, matcher: {{ exact: localhost }} }}]
    load_assignment:
      cluster_name: tenure
      endpoints: [{{ lb_endpoints: [{{ endpoint: {{ address: {{ socket_address: {{ address: 127.0.0.1, port_value: {access} }} }} }} }}] }}]
",
            own = listener(port, "telemetry"),
            foreign = listener(other, "historian"),
            backend = backend.port,
            root = plant.house.root().display(),
            access = plant.access,
        ),
    );
    let mut command = Command::new("envoy");
    command.args(["--disable-hot-restart", "--concurrency", "1", "-l", "error"]);
    command.args(["--service-node", "gate", "--service-cluster", "plant", "-c"]);
    let _running = Relying::start(port, command.arg(file));
    only_the_right_one_gets_in(&plant, port, &backend, other);

    // Nobody to ask: nobody gets in.
    let late = plant.enroll("pump-21");
    let seen = backend.seen();
    plant.house.kill();
    let caller = Caller::with_identity(&plant.pki.anchor, plant.shown(&late));
    let answer = caller.send("GET", &format!("https://127.0.0.1:{port}/"), &[], &[]);
    assert_eq!(answer.status.as_u16(), 403);
    assert_eq!(backend.seen(), seen);
}
