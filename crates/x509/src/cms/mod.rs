//! Certificates in a CMS envelope without signers (RFC 5652, the "certs-only" form of RFC 5272 and
//! RFC 7030).
//!
//! **Absences.** No signing, no encryption, no content: signers that a message from elsewhere may
//! have are neither checked nor shown, since nothing is believed because of the envelope.

use crate::der::{ObjectIdentifier, Reader, Rules, Writer, tag};
use crate::{Cert, Error};

const DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.1");
const SIGNED_DATA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.7.2");

/// The most certificates read from one message.
const CERTIFICATES_MAX: usize = 256;

/// Wraps certificates, each as DER, in a SignedData without content and signers.
///
/// A SET OF is sorted in DER, so the order in which they come out is not the order given here:
/// who needs the end-entity certificate finds it by its key.
#[must_use]
pub fn certs_only(certificates: &[&[u8]]) -> Vec<u8> {
    let mut sorted = certificates.to_vec();
    sorted.sort_unstable();
    let octets = sorted.iter().map(|der| der.len()).sum::<usize>();
    let mut message = Writer::with_capacity(octets + 64);
    message.sequence(|content_info| {
        content_info.oid(&SIGNED_DATA);
        content_info.nest(tag::context_constructed(0), |content| {
            content.sequence(|signed_data| {
                signed_data.unsigned(1);
                signed_data.nest(tag::SET, |_no_digest_algorithms| {});
                signed_data.sequence(|encapsulated| encapsulated.oid(&DATA));
                signed_data.nest(tag::context_constructed(0), |set| {
                    sorted.iter().for_each(|der| set.raw(der));
                });
                signed_data.nest(tag::SET, |_no_signers| {});
            });
        });
    });
    message.finish()
}

/// Reads the certificates of a SignedData, in the order in which they stand there.
///
/// Tolerant: indefinite lengths (as BouncyCastle writes them), any content, lists and signers are
/// accepted, and certificates of other kinds than X.509 passed over.
///
/// # Errors
/// `Malformed` if it is no SignedData, `Unsupported` if it is another kind of message or has over
/// 256 certificates.
pub fn parse_certs_only(message: &[u8]) -> Result<Vec<Cert>, Error> {
    const WHAT: &str = "CMS SignedData";
    let mut whole = Reader::new(message, Rules::Ber);
    let mut content_info = whole.sequence(WHAT)?;
    whole.finish(WHAT)?;
    if content_info.oid(WHAT)? != SIGNED_DATA {
        return Err(Error::unsupported("a CMS message that is not SignedData"));
    }
    let mut content = content_info.nested(tag::context_constructed(0), WHAT)?;
    let mut signed_data = content.sequence(WHAT)?;
    signed_data.expect(tag::INTEGER, WHAT)?;
    signed_data.expect(tag::SET, WHAT)?;
    signed_data.expect(tag::SEQUENCE, WHAT)?;
    let mut found = Vec::new();
    if let Some(set) = signed_data.optional(tag::context_constructed(0), WHAT)? {
        let mut set = set.reader();
        while !set.is_empty() {
            let choice = set.any(WHAT)?;
            if choice.tag != tag::SEQUENCE {
                continue;
            }
            if found.len() == CERTIFICATES_MAX {
                return Err(Error::unsupported("over 256 certificates in one message"));
            }
            found.push(Cert::from_der(choice.raw)?);
        }
    }
    Ok(found)
}
