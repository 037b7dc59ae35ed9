//! A small HTTPS server for tests that answers as it is told, and remembers what it heard.
#![allow(dead_code)] // each test program uses its own part

pub mod plant;

use std::convert::Infallible;
use std::sync::{Arc, Mutex};

use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use rustls::server::{NoServerSessionStorage, WebPkiClientVerifier};
use rustls::{RootCertStore, ServerConfig};
use rustls_pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer};
use tenure_field::http::{Identity, Url};
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

/// What was asked.
#[derive(Debug, Clone)]
pub struct Heard {
    pub method: String,
    pub path: String,
    pub media_type: String,
    pub authorization: Option<String>,
    pub body: Vec<u8>,
    /// The client's certificate, if it presented one.
    pub client: Option<Vec<u8>>,
}

/// What is answered.
#[derive(Debug, Clone)]
pub struct Said {
    pub status: u16,
    pub headers: Vec<(&'static str, String)>,
    pub body: Vec<u8>,
}

impl Said {
    pub fn new(status: u16, body: impl Into<Vec<u8>>) -> Said {
        Said {
            status,
            headers: Vec::new(),
            body: body.into(),
        }
    }

    pub fn with(mut self, name: &'static str, value: &str) -> Said {
        self.headers.push((name, value.to_owned()));
        self
    }
}

pub struct Server {
    pub url: Url,
    pub heard: Arc<Mutex<Vec<Heard>>>,
}

impl Server {
    /// Serves on a loopback port of its own until the test ends. `clients` are the anchors (DER)
    /// against which client certificates are checked, where one is presented.
    pub async fn start(
        identity: Identity,
        clients: &[&[u8]],
        answer: impl Fn(&Heard) -> Said + Send + Sync + 'static,
    ) -> Server {
        let tls = TlsAcceptor::from(Arc::new(tls(identity, clients)));
        let (listener, server) = Server::bind("https").await;
        let voice = Voice {
            heard: server.heard.clone(),
            answer: Arc::new(answer),
        };
        tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                let (tls, voice) = (tls.clone(), voice.clone());
                tokio::spawn(async move {
                    let Ok(stream) = tls.accept(tcp).await else {
                        return;
                    };
                    let client = stream.get_ref().1.peer_certificates();
                    let client = client
                        .and_then(|chain| chain.first())
                        .map(|der| der.to_vec());
                    voice.speak(stream, client).await;
                });
            }
        });
        server
    }

    /// The same over plain HTTP.
    pub async fn plain(answer: impl Fn(&Heard) -> Said + Send + Sync + 'static) -> Server {
        let (listener, server) = Server::bind("http").await;
        let voice = Voice {
            heard: server.heard.clone(),
            answer: Arc::new(answer),
        };
        tokio::spawn(async move {
            while let Ok((tcp, _)) = listener.accept().await {
                let voice = voice.clone();
                tokio::spawn(async move { voice.speak(tcp, None).await });
            }
        });
        server
    }

    async fn bind(scheme: &str) -> (TcpListener, Server) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = Url::parse(&format!("{scheme}://{}/", listener.local_addr().unwrap())).unwrap();
        (
            listener,
            Server {
                url,
                heard: Arc::default(),
            },
        )
    }

    pub fn heard(&self) -> Vec<Heard> {
        self.heard.lock().unwrap().clone()
    }
}

/// What a connection needs to be answered.
#[derive(Clone)]
struct Voice {
    heard: Arc<Mutex<Vec<Heard>>>,
    answer: Arc<dyn Fn(&Heard) -> Said + Send + Sync>,
}

impl Voice {
    async fn speak<S>(self, stream: S, client: Option<Vec<u8>>)
    where
        S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
    {
        let serve = service_fn(move |request| {
            let (voice, client) = (self.clone(), client.clone());
            async move {
                let one = read(request, client).await;
                voice.heard.lock().unwrap().push(one.clone());
                Ok::<_, Infallible>(write((voice.answer)(&one)))
            }
        });
        let http = hyper::server::conn::http1::Builder::new();
        let _ = http.serve_connection(TokioIo::new(stream), serve).await;
    }
}

async fn read(request: Request<Incoming>, client: Option<Vec<u8>>) -> Heard {
    let (head, body) = request.into_parts();
    let field = |name: &str| {
        head.headers
            .get(name)
            .map(|value| value.to_str().unwrap_or_default().to_owned())
    };
    Heard {
        method: head.method.to_string(),
        path: head.uri.path().to_owned(),
        media_type: field("content-type").unwrap_or_default(),
        authorization: field("authorization"),
        body: body.collect().await.unwrap().to_bytes().to_vec(),
        client,
    }
}

fn write(said: Said) -> Response<Full<Bytes>> {
    let mut response = Response::builder().status(said.status);
    for (name, value) in said.headers {
        response = response.header(name, value);
    }
    response.body(Full::new(Bytes::from(said.body))).unwrap()
}

fn tls(identity: Identity, clients: &[&[u8]]) -> ServerConfig {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let mut roots = RootCertStore::empty();
    for anchor in clients {
        roots.add(CertificateDer::from(*anchor)).unwrap();
    }
    let verifier = match clients.is_empty() {
        true => WebPkiClientVerifier::no_client_auth(),
        false => WebPkiClientVerifier::builder_with_provider(roots.into(), provider.clone())
            .allow_unauthenticated()
            .build()
            .unwrap(),
    };
    let chain = identity
        .chain
        .into_iter()
        .map(CertificateDer::from)
        .collect();
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(identity.key.to_vec()));
    let mut config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_client_cert_verifier(verifier)
        .with_single_cert(chain, key)
        .unwrap();
    config.session_storage = Arc::new(NoServerSessionStorage {});
    config
}
