//! HTTP for the stories: the device's own client, called from where nothing is asynchronous, and
//! bytes by hand for what no client would send.

use std::io::{Read, Write};
use std::net::{Ipv4Addr, TcpStream};
use std::path::Path;

use tenure_field::est::Request;
use tenure_field::http::{Client, Identity, Response, Settings, Trust, Url};
use tenure_wire::est::{Credentials, PKCS10, Wrapping, encode_body};
use tenure_x509::{Cert, KeyPair, Name, NameAttribute, SanName};

use crate::PATIENCE;

/// A client with its own small runtime.
pub struct Caller {
    runtime: tokio::runtime::Runtime,
    client: Client,
}

impl Caller {
    /// A client that believes servers under this root.
    pub fn new(root: &Path) -> Caller {
        Caller::of(settings(root))
    }

    /// The same, presenting a certificate.
    pub fn with_identity(root: &Path, identity: Identity) -> Caller {
        Caller::of(settings(root).with_identity(identity))
    }

    /// A client for plain HTTP.
    pub fn plain() -> Caller {
        Caller::of(Settings::new(None))
    }

    fn of(settings: Settings) -> Caller {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        Caller {
            runtime,
            client: Client::new(settings).unwrap(),
        }
    }

    /// Sends anything.
    pub fn send(&self, method: &str, url: &str, headers: &[(&str, &str)], body: &[u8]) -> Response {
        self.try_send(method, url, headers, body).unwrap()
    }

    /// The same, where there may be nobody any more.
    pub fn try_send(
        &self,
        method: &str,
        url: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Result<Response, tenure_field::http::Error> {
        let method = method.parse().unwrap();
        let url = Url::parse(url).unwrap();
        let sent = self.client.send(method, &url, headers, body.to_vec());
        self.runtime.block_on(sent)
    }

    /// GET.
    pub fn get(&self, url: &str) -> Response {
        self.send("GET", url, &[], &[])
    }

    /// POST of an EST request, as a device sends it.
    pub fn enroll(&self, url: &str, request: &Request, secret: Option<(&str, &str)>) -> Response {
        self.try_enroll(url, request, secret).unwrap()
    }

    /// The same, where there may be nobody any more.
    pub fn try_enroll(
        &self,
        url: &str,
        request: &Request,
        secret: Option<(&str, &str)>,
    ) -> Result<Response, tenure_field::http::Error> {
        let body = encode_body(request.der(), Wrapping::Lines);
        let header = secret.map(|(id, secret)| Credentials::new(id, secret).unwrap().header());
        let mut headers = vec![("content-type", PKCS10)];
        headers.extend(
            header
                .as_ref()
                .map(|value| ("authorization", value.as_str())),
        );
        self.try_send("POST", url, &headers, body.as_bytes())
    }
}

fn settings(root: &Path) -> Settings {
    let pem = std::fs::read_to_string(root).unwrap();
    Settings::new(Some(Trust::from_pem(&pem).unwrap()))
}

/// A request in a device's name, or in none.
pub fn request(key: &KeyPair, id: &str) -> Request {
    request_for(key, id, &[])
}

/// A request with names of its own.
pub fn request_for(key: &KeyPair, id: &str, san: &[SanName]) -> Request {
    let name = match id {
        "" => Name::empty(),
        id => Name::build(&[(NameAttribute::CommonName, id)]).unwrap(),
    };
    Request::build(key, &name, san).unwrap()
}

/// The one certificate in an answer, which must be 200.
pub fn certificate(response: &Response) -> Cert {
    assert_eq!(
        response.status.as_u16(),
        200,
        "{}",
        crate::text(&response.body)
    );
    let mut certs = tenure_field::est::parse_certs(&response.body).unwrap();
    assert_eq!(
        certs.len(),
        1,
        "RFC 7030 section 4.2.3: the certificate alone"
    );
    certs.remove(0)
}

/// What a device presents in TLS.
pub fn identity(cert: &Cert, key: &KeyPair) -> Identity {
    Identity {
        chain: vec![cert.der().to_vec()],
        key: key.to_pkcs8().unwrap(),
    }
}

/// Sends bytes as they are and reads until the other side closes.
pub fn raw(port: u16, request: &[u8]) -> Vec<u8> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port)).unwrap();
    stream.set_read_timeout(Some(PATIENCE)).unwrap();
    stream.write_all(request).unwrap();
    let mut answer = Vec::new();
    // A reset after the answer is an end as well.
    let _ = stream.read_to_end(&mut answer);
    answer
}
