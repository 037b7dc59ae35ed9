//! A draft: the exact bytes that will be signed, built from a grant, read back and linted.

use std::fmt;

use tenure_x509::lint::{self, LintProfile, Linted};
use tenure_x509::{
    CaConstraint, Cert, CertificateSpec, Csr, Extensions, KeyAlgorithm, KeyUsage, Presence, Serial,
    Tbs, oid,
};

use crate::policy::{Grant, GrantIssuer};
use crate::profile::{ProfileKind, RevocationPath, Usage};

/// How many random bytes a draft consumes: 20 for the serial, 4 for the shard.
pub const CHANCE_BYTES: usize = 24;

/// Bytes to be signed, and the grant that allows it. Its one constructor is [`Grant::draft`].
#[derive(Debug)]
pub struct Draft {
    grant: Grant,
    serial: Serial,
    shard: u16,
    linted: Linted,
}

/// Why a grant could not be turned into a draft. Ours, not the asker's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum DraftError {
    /// The request's key is not the granted one.
    OtherKey,
    /// The certificate cannot be encoded.
    Encoding(tenure_x509::Error),
    /// The certificate is not one we would issue.
    Lint(Vec<lint::LintError>),
}

impl fmt::Display for DraftError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            DraftError::OtherKey => f.write_str("the request's key is not the granted one"),
            DraftError::Encoding(_) => f.write_str("the certificate cannot be encoded"),
            DraftError::Lint(errors) => {
                f.write_str("the certificate breaks its profile:")?;
                errors.iter().try_for_each(|error| write!(f, " {error};"))
            }
        }
    }
}

impl std::error::Error for DraftError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            DraftError::Encoding(error) => Some(error),
            DraftError::OtherKey | DraftError::Lint(_) => None,
        }
    }
}

impl Grant {
    /// Builds the certificate the grant allows, reads it back and lints it. `chance` must be fresh
    /// from a cryptographic generator.
    pub fn draft(self, csr: &Csr, chance: [u8; CHANCE_BYTES]) -> Result<Draft, DraftError> {
        if csr.public_key().hash() != self.key() {
            return Err(DraftError::OtherKey);
        }
        let [serial @ .., a, b, c, d] = chance;
        let serial = Serial::from_random(serial);
        let (shard, issuer) = match self.issuer() {
            GrantIssuer::Ours(issuer) => {
                let shards = u32::from(issuer.shards.max(1));
                // A remainder by a u16 fits a u16.
                let shard = u16::try_from(u32::from_be_bytes([a, b, c, d]) % shards).unwrap_or(0);
                (shard, Some(issuer))
            }
            GrantIssuer::Itself { .. } => (0, None),
        };
        let tbs = self
            .specification(csr, serial.clone(), shard)
            .tbs()
            .map_err(DraftError::Encoding)?;
        let profile = self.profile().kind.lint();
        let issuer = issuer.map(|issuer| &issuer.certificate);
        let linted = lint::check(tbs, profile, issuer).map_err(DraftError::Lint)?;
        Ok(Draft {
            grant: self,
            serial,
            shard,
            linted,
        })
    }

    fn specification(&self, csr: &Csr, serial: Serial, shard: u16) -> CertificateSpec {
        let (signature, issuer) = match self.issuer() {
            GrantIssuer::Ours(issuer) => (issuer.algorithm, issuer.subject().clone()),
            GrantIssuer::Itself { algorithm, .. } => (*algorithm, self.subject().clone()),
        };
        CertificateSpec {
            serial,
            signature,
            issuer,
            validity: self.validity(),
            subject: self.subject().clone(),
            public_key: csr.public_key().clone(),
            extensions: self.extensions(csr, shard),
        }
    }

    fn extensions(&self, csr: &Csr, shard: u16) -> Extensions {
        let kind = self.profile().kind;
        let mut extensions = Extensions {
            ca: CaConstraint::NotCa,
            key_usage: KeyUsage::DIGITAL_SIGNATURE,
            subject_key_id: Some(csr.public_key().key_id().to_vec()),
            san: self.san().to_vec(),
            ..Extensions::default()
        };
        let is_rsa = matches!(csr.public_key().algorithm(), KeyAlgorithm::Rsa(_));
        let encipherment = if is_rsa {
            KeyUsage::KEY_ENCIPHERMENT
        } else {
            KeyUsage::default()
        };
        match kind {
            ProfileKind::IDevId => {
                // IEEE 802.1AR-2018 section 8: no key identifier of its own, no extended usage.
                extensions.subject_key_id = None;
                extensions.key_usage = KeyUsage::DIGITAL_SIGNATURE | encipherment;
            }
            ProfileKind::LDevId | ProfileKind::Canary => {
                extensions.key_usage = KeyUsage::DIGITAL_SIGNATURE | encipherment;
                extensions.ext_key_usage = self.profile().usage.iter().map(|u| u.oid()).collect();
            }
            ProfileKind::Server => {
                extensions.key_usage = KeyUsage::DIGITAL_SIGNATURE | encipherment;
                // RFC 7030 section 3.6.1: EST clients look for the registration authority usage.
                extensions.ext_key_usage = vec![oid::SERVER_AUTH, oid::CMC_RA];
            }
            ProfileKind::OcspSigner => {
                extensions.ext_key_usage = vec![oid::OCSP_SIGNING];
                extensions.ocsp_nocheck = Presence::Present;
            }
            ProfileKind::IssuingCa => {
                extensions.ca = CaConstraint::Ca { path_len: Some(0) };
                extensions.key_usage = KeyUsage::KEY_CERT_SIGN | KeyUsage::CRL_SIGN;
            }
            ProfileKind::CrossCa => {
                // The other root's issuing CAs, and nothing below them.
                extensions.ca = CaConstraint::Ca { path_len: Some(1) };
                extensions.key_usage = KeyUsage::KEY_CERT_SIGN | KeyUsage::CRL_SIGN;
            }
            ProfileKind::RootCa => {
                extensions.ca = CaConstraint::Ca { path_len: None };
                extensions.key_usage = KeyUsage::KEY_CERT_SIGN | KeyUsage::CRL_SIGN;
            }
        }
        if let GrantIssuer::Ours(issuer) = self.issuer() {
            extensions.authority_key_id = issuer.certificate.subject_key_id().map(<[u8]>::to_vec);
            for path in &self.profile().revocation {
                match path {
                    RevocationPath::Crl => {
                        extensions.crl_urls = vec![issuer.crl_url(&issuer.base_url, shard)];
                    }
                    RevocationPath::Ocsp => extensions.ocsp_urls = vec![issuer.ocsp_url()],
                    RevocationPath::NoneShortLived => extensions.no_rev_avail = Presence::Present,
                }
            }
            if kind != ProfileKind::IDevId && kind != ProfileKind::OcspSigner {
                extensions.ca_issuer_urls = vec![issuer.certificate_url()];
            }
        }
        extensions
    }
}

impl ProfileKind {
    /// The lint that judges certificates of this kind.
    pub fn lint(self) -> LintProfile {
        match self {
            ProfileKind::IDevId => LintProfile::IDevId,
            ProfileKind::LDevId => LintProfile::LDevId,
            ProfileKind::Server => LintProfile::Server,
            ProfileKind::OcspSigner => LintProfile::OcspSigner,
            ProfileKind::IssuingCa => LintProfile::Ca,
            ProfileKind::RootCa => LintProfile::RootCa,
            ProfileKind::CrossCa => LintProfile::CrossCa,
            // Relying parties are to see what they see of devices.
            ProfileKind::Canary => LintProfile::LDevId,
        }
    }
}

impl Usage {
    fn oid(self) -> tenure_x509::ObjectIdentifier {
        match self {
            Usage::Client => oid::CLIENT_AUTH,
            Usage::Server => oid::SERVER_AUTH,
        }
    }
}

impl Draft {
    /// The grant it rests on.
    pub fn grant(&self) -> &Grant {
        &self.grant
    }

    /// The serial it will have.
    pub fn serial(&self) -> &Serial {
        &self.serial
    }

    /// The revocation-list shard it names.
    pub fn shard(&self) -> u16 {
        self.shard
    }

    /// The bytes to be signed.
    pub fn tbs(&self) -> &Tbs {
        self.linted.tbs()
    }

    /// The certificate with its signature; whoever signs must check it against the issuer's key.
    pub fn with_signature(&self, signature: &[u8]) -> Result<Cert, tenure_x509::Error> {
        Cert::from_der(&self.tbs().with_signature(signature))
    }
}
