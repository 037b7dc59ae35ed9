//! An issuer: a CA certificate, the key behind it by reference, and where its status is published.

use tenure_x509::{Cert, Name, PublicKey, SignatureAlgorithm, Time};

use crate::ids::{IssuerNo, Slug, TenantId};
use crate::words::words;

words! {
    /// What an issuer may sign.
    IssuerKind ("issuer kind") {
        /// A trust anchor; signs issuers only, and is never opened by the server.
        Root = "root" = 1,
        /// Signs devices, responders and servers.
        Issuing = "issuing" = 2,
        /// Signs identities for life and nothing else, and never ends.
        IDevId = "idevid" = 3,
    }
    /// Where an issuer is between its making and its end.
    IssuerState ("issuer state") {
        /// It is made and certified; only canaries show it.
        Prepared = "prepared" = 1,
        /// Trust bundles carry it, so that relying parties know it before it signs.
        Distributed = "distributed" = 2,
        /// It signs.
        Active = "active" = 3,
        /// It signs nothing new; what it signed is being replaced.
        Tainted = "tainted" = 4,
        /// No trust bundle carries it any more.
        Removed = "removed" = 5,
    }
}

/// The key of a root, certified by another root, so that whoever trusts only the other comes to trust what
/// is below this one (RFC 9810 section 4.4). Signed by the older it is NewWithOld, by the newer OldWithNew.
#[derive(Debug, Clone)]
pub struct CrossCertificate {
    /// The root that signed it.
    pub by: IssuerNo,
    /// The certificate.
    pub certificate: Cert,
}

/// One issuer.
#[derive(Debug, Clone)]
pub struct Issuer {
    /// Its row.
    pub no: IssuerNo,
    /// Whose it is.
    pub tenant: TenantId,
    /// Its short name, which never changes; used in URLs.
    pub name: Slug,
    /// What it may sign.
    pub kind: IssuerKind,
    /// Where it is between its making and its end.
    pub state: IssuerState,
    /// Since when it is there.
    pub since: Time,
    /// The issuer whose work it was made to take over.
    pub replaces: Option<IssuerNo>,
    /// Its own certificate.
    pub certificate: Cert,
    /// The certificates above it, nearest first, ending in the anchor; empty for a root.
    pub chain: Vec<Cert>,
    /// A root's key certified by other roots, those withdrawn left out; empty for any other issuer.
    pub cross: Vec<CrossCertificate>,
    /// The name of its key in the key directory.
    pub key: String,
    /// Which algorithm it signs with.
    pub algorithm: SignatureAlgorithm,
    /// How many revocation-list shards new certificates are spread over.
    pub shards: u16,
    /// Where relying parties fetch status; `http://host[:port]`, without a trailing slash.
    pub base_url: String,
    /// Every base URL it ever had, the current one last.
    pub base_urls: Vec<String>,
}

impl Issuer {
    /// The name that goes into the issuer field of what it signs.
    pub fn subject(&self) -> &Name {
        self.certificate.subject()
    }

    /// The key that verifies what it signs.
    pub fn public_key(&self) -> &PublicKey {
        self.certificate.public_key()
    }

    /// The address of one shard of its revocation list below `base_url`.
    pub fn crl_url(&self, base_url: &str, shard: u16) -> String {
        format!("{base_url}/crl/{}/{shard}.crl", self.name)
    }

    /// The address of its OCSP responder.
    pub fn ocsp_url(&self) -> String {
        format!("{}/ocsp", self.base_url)
    }

    /// The address of its own certificate.
    pub fn certificate_url(&self) -> String {
        format!("{}/ca/{}.cer", self.base_url, self.name)
    }
}
