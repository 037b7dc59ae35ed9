//! A plant with its CAs and an EST server that issues to whoever asks, unless told otherwise.

use std::sync::{Arc, Mutex};

use tenure_wire::est::{CERTS_ONLY, CsrAttrs, Wrapping, encode_body, parse_enroll};
use tenure_x509::{Cert, Csr, Validity, cms};

use super::{Heard, Said, Server};
use crate::pki::{self, Ca, days};

pub struct Plant {
    pub root: Arc<Ca>,
    pub issuing: Arc<Ca>,
    /// What the server says instead of issuing, first come first said.
    pub instead: Arc<Mutex<Vec<Said>>>,
    /// How long certificates issued from now on are good.
    pub life: Arc<Mutex<Validity>>,
    /// What the server would like to see in a request.
    pub wish: Arc<Mutex<CsrAttrs>>,
    pub server: Server,
}

impl Plant {
    pub async fn start() -> Plant {
        let root = Arc::new(Ca::root("root"));
        let issuing = Arc::new(root.issuing("issuing"));
        let instead = Arc::new(Mutex::new(Vec::new()));
        let life = Arc::new(Mutex::new(days(30)));
        let wish = Arc::new(Mutex::new(CsrAttrs::default()));
        let answer = {
            let (root, issuing) = (root.clone(), issuing.clone());
            let (instead, life, wish) = (instead.clone(), life.clone(), wish.clone());
            move |heard: &Heard| {
                if heard.path.ends_with("/cacerts") {
                    return certs(&[&issuing.cert, &root.cert]);
                }
                if heard.path.ends_with("/csrattrs") {
                    return match wish.lock().unwrap().to_der() {
                        None => Said::new(204, ""),
                        Some(der) => Said::new(200, encode_body(&der, Wrapping::OneLine)),
                    };
                }
                let mut instead = instead.lock().unwrap();
                match instead.is_empty() {
                    true => certs(&[&issue(&issuing, heard, *life.lock().unwrap())]),
                    false => instead.remove(0),
                }
            }
        };
        let identity = issuing.server(&root);
        let server = Server::start(identity, &[root.cert.der()], answer).await;
        Plant {
            root,
            issuing,
            instead,
            life,
            wish,
            server,
        }
    }

    /// Says this to the next request for a certificate that is not answered yet.
    pub fn say(&self, said: Said) {
        self.instead.lock().unwrap().push(said);
    }

    /// The requests for a certificate so far.
    pub fn asked(&self) -> Vec<Heard> {
        self.server
            .heard()
            .into_iter()
            .filter(|heard| heard.method == "POST")
            .collect()
    }
}

pub fn certs(certs: &[&Cert]) -> Said {
    let der: Vec<&[u8]> = certs.iter().map(|cert| cert.der()).collect();
    Said::new(200, encode_body(&cms::certs_only(&der), Wrapping::OneLine))
        .with("content-type", CERTS_ONLY)
}

/// A certificate for the key in what was asked, under the name the registry knows.
pub fn issue(issuing: &Ca, heard: &Heard, life: Validity) -> Cert {
    let csr = Csr::from_der(&parse_enroll(&heard.body, Some(&heard.media_type)).unwrap()).unwrap();
    let extensions = pki::leaf(pki::CLIENT_AUTH, Vec::new());
    issuing.sign(
        &pki::name("from the registry"),
        csr.public_key(),
        extensions,
        life,
    )
}
