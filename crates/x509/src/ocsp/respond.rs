//! The responder's side.

use super::request::{CertId, HashKind, IssuerHash, OcspRequest, write_nonce};
use super::{BASIC, EXTENDED_REVOKE};
use crate::der::{Writer, tag};
use crate::{Cert, Error, Name, PublicKey, Reason, SignatureAlgorithm, Time};

/// The status of a certificate (RFC 6960 section 2.2).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum CertStatus {
    /// Issued by us and not revoked.
    Good,
    /// Revoked, or on hold.
    Revoked {
        /// Since when.
        at: Time,
        /// Why; left out if unspecified.
        reason: Reason,
    },
    /// Never issued, though its issuer is ours: answered as on hold since 1970-01-01, with the
    /// extended-revoke extension.
    NeverIssued,
    /// We cannot know: another issuer's.
    Unknown,
}

/// The answer about one certificate.
#[derive(Clone, Copy, Debug)]
pub struct Answer<'a> {
    /// The certificate, as the request named it.
    pub id: &'a CertId<'a>,
    /// Its status.
    pub status: CertStatus,
    /// When the status was known to be so.
    pub this_update: Time,
    /// Until when the answer may be used.
    pub next_update: Time,
}

/// The unsigned answers to requests that get no other (RFC 6960 section 4.2.1).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Failure {
    /// The request cannot be read.
    MalformedRequest = 1,
    /// Our fault.
    InternalError = 2,
    /// Ask again later.
    TryLater = 3,
    /// We answer signed requests only.
    SigRequired = 5,
    /// Not our issuer, or not for this client.
    Unauthorized = 6,
}

impl Failure {
    /// The whole OCSPResponse.
    #[must_use]
    pub const fn to_der(self) -> [u8; 5] {
        [tag::SEQUENCE, 3, tag::ENUMERATED, 1, self as u8]
    }
}

/// One issuer's responder: what is the same in all its answers, encoded once.
#[derive(Clone, Debug)]
pub struct Responder {
    issuer: [IssuerHash; 2],
    /// The responder's key: SHA-1 of its bits (byKey of RFC 6960 section 4.2.1).
    key_id: [u8; 20],
    /// `[0]` with the certificate of a delegated responder, or nothing.
    certificates: Vec<u8>,
    signature: &'static [u8],
}

impl Responder {
    /// A responder with a key and certificate of its own, which the issuer has signed. The
    /// certificate goes into every answer.
    ///
    /// # Errors
    /// `Unsupported` if the algorithm is unknown; `Inconsistent` if the certificate names another
    /// issuer or is not signed by this one's key.
    pub fn delegated(
        issuer_name: &Name,
        issuer_key: &PublicKey,
        certificate: &Cert,
        signature: SignatureAlgorithm,
    ) -> Result<Self, Error> {
        if certificate.issuer() != issuer_name {
            return Err(Error::inconsistent(
                "a responder certificate of another issuer",
            ));
        }
        certificate.verify_signed_by(issuer_key)?;
        let mut writer = Writer::with_capacity(certificate.der().len() + 16);
        writer.nest(tag::context_constructed(0), |tagged| {
            tagged.sequence(|list| list.raw(certificate.der()));
        });
        let key_id = certificate.public_key().key_id();
        Self::new(issuer_name, issuer_key, key_id, writer.finish(), signature)
    }

    /// A responder that signs with the issuer's own key.
    ///
    /// # Errors
    /// `Unsupported` if the algorithm is unknown.
    pub fn issuer(
        issuer_name: &Name,
        issuer_key: &PublicKey,
        signature: SignatureAlgorithm,
    ) -> Result<Self, Error> {
        Self::new(
            issuer_name,
            issuer_key,
            issuer_key.key_id(),
            Vec::new(),
            signature,
        )
    }

    fn new(
        issuer_name: &Name,
        issuer_key: &PublicKey,
        key_id: [u8; 20],
        certificates: Vec<u8>,
        signature: SignatureAlgorithm,
    ) -> Result<Self, Error> {
        let issuer =
            [HashKind::Sha256, HashKind::Sha1].map(|kind| kind.of_issuer(issuer_name, issuer_key));
        Ok(Self {
            issuer,
            key_id,
            certificates,
            signature: signature.as_der()?,
        })
    }

    /// Whether this certificate is named as one of our issuer's.
    #[must_use]
    pub fn knows(&self, id: &CertId<'_>) -> bool {
        self.issuer.iter().any(|issuer| issuer.names(id))
    }

    /// Whether every certificate of the request is named as one of our issuer's. If not, the
    /// answer is [`Failure::Unauthorized`].
    #[must_use]
    pub fn knows_all(&self, request: &OcspRequest<'_>) -> bool {
        request.asked().iter().all(|id| self.knows(id))
    }

    /// Makes a signed response. `sign` gets the ResponseData and answers the signature.
    ///
    /// # Errors
    /// Those of `sign`.
    pub fn respond<E>(
        &self,
        answers: &[Answer<'_>],
        nonce: Option<&[u8]>,
        produced_at: Time,
        sign: impl FnOnce(&[u8]) -> Result<Vec<u8>, E>,
    ) -> Result<Vec<u8>, E> {
        let signed = self.response_data(answers, nonce, produced_at);
        let signature = sign(&signed)?;
        let room = signed.len() + signature.len() + self.certificates.len() + 128;
        let mut writer = Writer::with_capacity(room);
        writer.sequence(|response| {
            response.tlv(tag::ENUMERATED, &[0]);
            response.nest(tag::context_constructed(0), |tagged| {
                tagged.sequence(|octets| {
                    octets.oid(&BASIC);
                    octets.nest(tag::OCTET_STRING, |octets| {
                        octets.sequence(|basic| {
                            basic.raw(&signed);
                            basic.raw(self.signature);
                            basic.octet_bits(&signature);
                            basic.raw(&self.certificates);
                        });
                    });
                });
            });
        });
        Ok(writer.finish())
    }

    fn response_data(
        &self,
        answers: &[Answer<'_>],
        nonce: Option<&[u8]>,
        produced_at: Time,
    ) -> Vec<u8> {
        let never_issued = answers
            .iter()
            .any(|answer| answer.status == CertStatus::NeverIssued);
        let mut writer = Writer::with_capacity(256 + 160 * answers.len());
        writer.sequence(|data| {
            data.nest(tag::context_constructed(2), |by_key| {
                by_key.octet_string(&self.key_id)
            });
            data.generalized_time(produced_at);
            data.sequence(|responses| {
                for answer in answers {
                    responses.sequence(|single| write_answer(single, answer));
                }
            });
            if nonce.is_none() && !never_issued {
                return;
            }
            data.nest(tag::context_constructed(1), |tagged| {
                tagged.sequence(|extensions| {
                    if let Some(nonce) = nonce {
                        write_nonce(extensions, nonce);
                    }
                    if never_issued {
                        extensions.sequence(|extension| {
                            extension.oid(&EXTENDED_REVOKE);
                            extension.octet_string(&[tag::NULL, 0]);
                        });
                    }
                });
            });
        });
        writer.finish()
    }
}

fn write_answer(single: &mut Writer, answer: &Answer<'_>) {
    single.raw(answer.id.raw);
    match answer.status {
        CertStatus::Good => single.tlv(tag::context(0), &[]),
        CertStatus::Revoked { at, reason } => write_revoked(single, at, reason),
        // RFC 6960 section 2.2 fixes both date and reason.
        CertStatus::NeverIssued => {
            write_revoked(single, Time::from_unix(0), Reason::CertificateHold);
        }
        CertStatus::Unknown => single.tlv(tag::context(2), &[]),
    }
    single.generalized_time(answer.this_update);
    single.nest(tag::context_constructed(0), |tagged| {
        tagged.generalized_time(answer.next_update);
    });
}

fn write_revoked(single: &mut Writer, at: Time, reason: Reason) {
    single.nest(tag::context_constructed(1), |revoked| {
        revoked.generalized_time(at);
        if reason != Reason::Unspecified {
            revoked.nest(tag::context_constructed(0), |tagged| {
                tagged.tlv(tag::ENUMERATED, &[reason.code()]);
            });
        }
    });
}
