//! EST from the device's side, against servers of every temper.

mod pki;
mod rude;

use pki::{Ca, days};
use rude::{Heard, Said, Server};
use tenure_field::est::{Answer, Error, Est, Request};
use tenure_field::http::{Client, Settings, Trust};
use tenure_wire::est::{
    CERTS_ONLY, Credentials, CsrAttrs, GeneratedKey, KeyFormat, Label, WantedKey, Wrapping,
    build_generated_key, encode_body, parse_enroll,
};
use tenure_x509::{Cert, Csr, cms};

struct Plant {
    root: Ca,
    issuing: Ca,
}

impl Plant {
    fn new() -> Plant {
        let root = Ca::root("root");
        let issuing = root.issuing("issuing");
        Plant { root, issuing }
    }

    async fn serve(&self, answer: impl Fn(&Heard) -> Said + Send + Sync + 'static) -> Server {
        Server::start(
            self.issuing.server(&self.root),
            &[self.root.cert.der()],
            answer,
        )
        .await
    }

    fn est(&self, server: &Server, label: Option<&str>) -> Est {
        let trust = Trust::from_pem(&self.root.cert.pem()).unwrap();
        let http = Client::new(Settings::new(Some(trust))).unwrap();
        Est::new(
            http,
            server.url.clone(),
            label.map(|text| Label::new(text).unwrap()),
        )
    }
}

fn certs(certs: &[&Cert], wrapping: Wrapping) -> Said {
    let der: Vec<&[u8]> = certs.iter().map(|cert| cert.der()).collect();
    Said::new(200, encode_body(&cms::certs_only(&der), wrapping)).with("content-type", CERTS_ONLY)
}

fn issue(issuing: &Ca, heard: &Heard) -> Cert {
    let csr = Csr::from_der(&parse_enroll(&heard.body, Some(&heard.media_type)).unwrap()).unwrap();
    let extensions = pki::leaf(pki::CLIENT_AUTH, Vec::new());
    issuing.sign(
        &pki::name("from the registry"),
        csr.public_key(),
        extensions,
        days(30),
    )
}

fn request() -> Request {
    Request::build(&pki::key(), &pki::name("pump-7"), &[]).unwrap()
}

#[tokio::test]
async fn a_first_certificate_for_a_secret() {
    let plant = Plant::new();
    let ca = Ca {
        key: clone(&plant.issuing),
        cert: plant.issuing.cert.clone(),
    };
    let root = plant.root.cert.clone();
    for wrapping in [Wrapping::OneLine, Wrapping::Lines] {
        let (ca, root) = (
            Ca {
                key: clone(&ca),
                cert: ca.cert.clone(),
            },
            root.clone(),
        );
        let server = plant
            .serve(move |heard| {
                let own = issue(&ca, heard);
                certs(&[&root, &ca.cert, &own], wrapping) // in any order, with more than was asked
            })
            .await;
        let credentials = Credentials::new("pump-7", "one time").unwrap();
        let request = request();
        let answer = plant
            .est(&server, Some("sensor"))
            .enroll(&request, Some(&credentials))
            .await;
        let Answer::Issued {
            certificate,
            others,
        } = answer.unwrap()
        else {
            panic!("pending")
        };
        assert_eq!(certificate.issuer(), plant.issuing.cert.subject());
        assert_eq!(others.len(), 2);
        let heard = &server.heard()[0];
        assert_eq!(heard.method, "POST");
        assert_eq!(heard.path, "/.well-known/est/sensor/simpleenroll");
        assert_eq!(
            heard.authorization.as_deref(),
            Some(credentials.header().as_str())
        );
        assert_eq!(
            parse_enroll(&heard.body, Some(&heard.media_type)).unwrap(),
            request.der()
        );
    }
}

fn clone(ca: &Ca) -> tenure_x509::KeyPair {
    tenure_x509::KeyPair::from_pkcs8(&ca.key.to_pkcs8().unwrap()).unwrap()
}

#[tokio::test]
async fn a_certificate_for_another_key_is_no_answer() {
    let plant = Plant::new();
    let stranger = plant.issuing.device("stranger", days(30));
    let stranger = Cert::from_der(&stranger.chain[0]).unwrap();
    let server = plant
        .serve(move |_| certs(&[&stranger], Wrapping::OneLine))
        .await;
    let answer = plant.est(&server, None).enroll(&request(), None).await;
    assert!(matches!(answer, Err(Error::OtherKey)), "{answer:?}");
    let server = plant.serve(|_| certs(&[], Wrapping::OneLine)).await;
    let answer = plant.est(&server, None).enroll(&request(), None).await;
    assert!(matches!(answer, Err(Error::OtherKey)), "{answer:?}");
}

#[tokio::test]
async fn later_means_later() {
    let plant = Plant::new();
    for (header, expected) in [(Some("7"), 7), (None, 60), (Some("soon"), 60)] {
        let server = plant
            .serve(move |_| match header {
                Some(value) => Said::new(202, "").with("retry-after", value),
                None => Said::new(202, ""),
            })
            .await;
        let answer = plant
            .est(&server, None)
            .enroll(&request(), None)
            .await
            .unwrap();
        let Answer::Pending { retry_after_s } = answer else {
            panic!("issued")
        };
        assert_eq!(retry_after_s, expected);
        let none = plant
            .est(&server, None)
            .server_keygen(&request(), None)
            .await
            .unwrap();
        assert!(none.is_none());
    }
}

#[tokio::test]
async fn a_refusal_comes_with_its_reason() {
    let plant = Plant::new();
    let server = plant
        .serve(|_| {
            let body = "no:\r\n  this \x1b[2Jdevice\u{202e} is retired  ";
            Said::new(403, body)
                .with("content-type", "text/plain")
                .with("retry-after", "30")
        })
        .await;
    let error = plant
        .est(&server, None)
        .enroll(&request(), None)
        .await
        .unwrap_err();
    let Error::Refused {
        status,
        reason,
        retry_after_s,
    } = &error
    else {
        panic!("{error:?}")
    };
    assert_eq!((status.as_u16(), *retry_after_s), (403, Some(30)));
    assert!(
        !reason.contains(['\u{1b}', '\u{202e}']) && !reason.contains('\n'),
        "{reason:?}"
    );
    assert!(reason.starts_with("no: this [2Jdevice") && reason.ends_with(" is retired"));
    assert!(
        error
            .to_string()
            .starts_with("the server refused (403): no:")
    );

    for status in [301, 400, 401, 404, 413, 429, 500, 503] {
        let server = plant
            .serve(move |_| Said::new(status, vec![0xff; 10_000]))
            .await;
        let error = plant
            .est(&server, None)
            .reenroll(&request())
            .await
            .unwrap_err();
        let Error::Refused {
            status: got,
            reason,
            ..
        } = error
        else {
            panic!()
        };
        assert_eq!(got.as_u16(), status);
        assert!(reason.chars().count() <= 500);
    }
}

#[tokio::test]
async fn nonsense_is_an_error() {
    let plant = Plant::new();
    let bodies: [&[u8]; 7] = [
        b"",
        b"hello",
        b"AAAA",
        b"MAA=",
        b"\x30\x00",
        b"\x30\x82\xff\xff\x00",
        b"\x30\x80\x00\x00",
    ];
    for body in bodies {
        let server = plant.serve(move |_| Said::new(200, body)).await;
        let est = plant.est(&server, None);
        let answer = est.enroll(&request(), None).await;
        assert!(
            matches!(
                answer,
                Err(Error::Answer(_) | Error::Certificates(_) | Error::OtherKey)
            ),
            "{body:?}: {answer:?}"
        );
        let cas = est.ca_certs().await;
        assert!(
            matches!(cas, Err(Error::Answer(_) | Error::Certificates(_))),
            "{body:?}: {cas:?}"
        );
    }
    let huge = vec![b'M'; 5 << 20];
    let server = plant.serve(move |_| Said::new(200, huge.clone())).await;
    assert!(matches!(
        plant.est(&server, None).ca_certs().await,
        Err(Error::Http(_))
    ));
}

#[tokio::test]
async fn ca_certificates_and_attributes() {
    let plant = Plant::new();
    let (root, issuing) = (plant.root.cert.clone(), plant.issuing.cert.clone());
    let server = plant
        .serve(move |heard| match heard.path.as_str() {
            "/.well-known/est/cacerts" => certs(&[&issuing, &root], Wrapping::OneLine),
            "/.well-known/est/csrattrs" => {
                let der = CsrAttrs::for_key(WantedKey::P384).to_der().unwrap();
                Said::new(200, encode_body(&der, Wrapping::OneLine))
            }
            "/.well-known/est/sensor/csrattrs" => Said::new(204, ""),
            _ => Said::new(404, ""),
        })
        .await;
    let est = plant.est(&server, None);
    assert_eq!(est.ca_certs().await.unwrap().len(), 2);
    assert_eq!(
        est.csr_attrs().await.unwrap().wanted_key(),
        Some(WantedKey::P384)
    );
    for label in ["sensor", "other"] {
        let attrs = plant.est(&server, Some(label)).csr_attrs().await.unwrap();
        assert_eq!(attrs, CsrAttrs::default());
    }
}

#[tokio::test]
async fn a_key_made_by_the_server() {
    let plant = Plant::new();
    let server = plant
        .serve(|_| {
            let sent = GeneratedKey {
                format: KeyFormat::Pkcs8,
                key: pki::key().to_pkcs8().unwrap(),
                certs: cms::certs_only(&[]),
            };
            let (media, body) = build_generated_key(&sent, "abc", Wrapping::OneLine).unwrap();
            Said::new(200, body.as_bytes()).with("content-type", &media)
        })
        .await;
    let got = plant
        .est(&server, None)
        .server_keygen(&request(), None)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(got.format, KeyFormat::Pkcs8);
    assert!(tenure_x509::KeyPair::from_pkcs8(&got.key).is_ok());
}

#[tokio::test]
async fn renewing_presents_the_current_certificate() {
    let plant = Plant::new();
    let ca = Ca {
        key: clone(&plant.issuing),
        cert: plant.issuing.cert.clone(),
    };
    let server = plant
        .serve(move |heard| certs(&[&issue(&ca, heard)], Wrapping::OneLine))
        .await;
    let device = plant.issuing.device("pump-7", days(30));
    let trust = Trust::from_pem(&plant.root.cert.pem()).unwrap();
    let settings = Settings::new(Some(trust)).with_identity(device.clone());
    let est = Est::new(Client::new(settings).unwrap(), server.url.clone(), None);
    assert!(matches!(
        est.reenroll(&request()).await.unwrap(),
        Answer::Issued { .. }
    ));
    let heard = &server.heard()[0];
    assert_eq!(heard.path, "/.well-known/est/simplereenroll");
    assert_eq!(
        (heard.client.as_ref(), &heard.authorization),
        (Some(&device.chain[0]), &None)
    );
}
