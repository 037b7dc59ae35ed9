//! What a server would like to see in a request: `CsrAttrs` of RFC 7030 section 4.5.2, as RFC 9908
//! clarified it.

use tenure_x509::der::{ObjectIdentifier, Reader, Rules, Writer, tag};

use super::Error;
use crate::limits::CSR_ATTRIBUTES_MAX;

/// `id-ExtensionReq` (RFC 2985): the extensions a request should ask for.
pub const EXTENSION_REQUEST: ObjectIdentifier =
    ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.14");
/// `id-aa-certificationRequestInfoTemplate` (RFC 9908).
pub const INFO_TEMPLATE: ObjectIdentifier =
    ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.16.2.61");
/// `id-aa-extensionReqTemplate` (RFC 9908).
pub const EXTENSION_TEMPLATE: ObjectIdentifier =
    ObjectIdentifier::new_unwrap("1.2.840.113549.1.9.16.2.62");

const EC_PUBLIC_KEY: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.2.1");
const P256: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.10045.3.1.7");
const P384: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.34");
const P521: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.132.0.35");
const ED25519: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.3.101.112");
const RSA: ObjectIdentifier = ObjectIdentifier::new_unwrap("1.2.840.113549.1.1.1");

/// One entry of the list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AttrOrOid {
    /// "Have this": an attribute, extension or algorithm by its identifier alone.
    Oid(ObjectIdentifier),
    /// "Have this with one of these values".
    Attribute {
        /// What kind of attribute.
        kind: ObjectIdentifier,
        /// The values, each a whole DER value.
        values: Vec<Vec<u8>>,
    },
}

/// The key a server asks for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WantedKey {
    /// ECDSA on P-256.
    P256,
    /// ECDSA on P-384.
    P384,
    /// ECDSA on P-521.
    P521,
    /// Ed25519.
    Ed25519,
    /// RSA with a modulus of this many bits.
    Rsa(u32),
}

/// The list. An empty one is answered with 204 and no body.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CsrAttrs {
    /// The entries, in the order they stand in.
    pub items: Vec<AttrOrOid>,
}

impl CsrAttrs {
    /// A list that asks for one kind of key.
    pub fn for_key(key: WantedKey) -> CsrAttrs {
        let curve = |oid| AttrOrOid::Attribute {
            kind: EC_PUBLIC_KEY,
            values: vec![oid_der(oid)],
        };
        let item = match key {
            WantedKey::P256 => curve(P256),
            WantedKey::P384 => curve(P384),
            WantedKey::P521 => curve(P521),
            WantedKey::Ed25519 => AttrOrOid::Oid(ED25519),
            WantedKey::Rsa(bits) => {
                let mut size = Writer::with_capacity(8);
                size.unsigned(bits.into());
                AttrOrOid::Attribute {
                    kind: RSA,
                    values: vec![size.finish()],
                }
            }
        };
        CsrAttrs { items: vec![item] }
    }

    /// The first kind of key the list asks for that we know.
    pub fn wanted_key(&self) -> Option<WantedKey> {
        self.items.iter().find_map(|item| match item {
            AttrOrOid::Oid(ED25519) => Some(WantedKey::Ed25519),
            AttrOrOid::Oid(_) => None,
            AttrOrOid::Attribute {
                kind: EC_PUBLIC_KEY,
                values,
            } => values.iter().find_map(|value| match oid_from_der(value)? {
                P256 => Some(WantedKey::P256),
                P384 => Some(WantedKey::P384),
                P521 => Some(WantedKey::P521),
                _ => None,
            }),
            AttrOrOid::Attribute { kind: RSA, values } => values
                .iter()
                .find_map(|value| small_from_der(value))
                .map(WantedKey::Rsa),
            AttrOrOid::Attribute { .. } => None,
        })
    }

    /// The values of the first attribute of this kind.
    pub fn attribute(&self, wanted: ObjectIdentifier) -> Option<&[Vec<u8>]> {
        self.items.iter().find_map(|item| match item {
            AttrOrOid::Attribute { kind, values } if *kind == wanted => Some(values.as_slice()),
            AttrOrOid::Attribute { .. } | AttrOrOid::Oid(_) => None,
        })
    }

    /// The list in DER. `None` when it is empty: answer 204.
    pub fn to_der(&self) -> Option<Vec<u8>> {
        if self.items.is_empty() {
            return None;
        }
        let mut der = Writer::with_capacity(256);
        der.sequence(|list| {
            for item in &self.items {
                match item {
                    AttrOrOid::Oid(oid) => list.oid(oid),
                    AttrOrOid::Attribute { kind, values } => list.sequence(|attribute| {
                        let mut sorted = values.clone();
                        sorted.sort(); // DER orders the members of a SET OF by their octets
                        attribute.oid(kind);
                        attribute.tlv(tag::SET, &sorted.concat());
                    }),
                }
            }
        });
        Some(der.finish())
    }

    /// Reads the DER of a list. Unknown entries are kept, and are for the caller to ignore
    /// (RFC 9908 section 3.1); a second extension request is an error there too.
    pub fn from_der(der: &[u8]) -> Result<CsrAttrs, Error> {
        let items = read_items(der).map_err(|_| Error::Malformed {
            what: "the CSR attributes are not proper DER",
        })?;
        if items.len() > CSR_ATTRIBUTES_MAX {
            return Err(Error::Unsupported {
                what: "so many CSR attributes",
            });
        }
        let extension_requests = items.iter().filter(|item| {
            matches!(
                item,
                AttrOrOid::Attribute {
                    kind: EXTENSION_REQUEST,
                    ..
                }
            )
        });
        if extension_requests.count() > 1 {
            return Err(Error::Malformed {
                what: "more than one extension request attribute",
            });
        }
        Ok(CsrAttrs { items })
    }
}

fn read_items(der: &[u8]) -> Result<Vec<AttrOrOid>, tenure_x509::Error> {
    const WHAT: &str = "CSR attributes";
    let mut whole = Reader::new(der, Rules::Der);
    let mut list = whole.sequence(WHAT)?;
    whole.finish(WHAT)?;
    let mut items = Vec::new();
    // One more than is accepted is enough to see that there are too many.
    while !list.is_empty() && items.len() <= CSR_ATTRIBUTES_MAX {
        if list.peek() == Some(tag::OID) {
            items.push(AttrOrOid::Oid(list.oid(WHAT)?));
            continue;
        }
        let mut attribute = list.sequence(WHAT)?;
        let kind = attribute.oid(WHAT)?;
        let mut set = attribute.nested(tag::SET, WHAT)?;
        attribute.finish(WHAT)?;
        let mut values = Vec::new();
        while !set.is_empty() {
            values.push(set.any(WHAT)?.raw.to_vec());
        }
        items.push(AttrOrOid::Attribute { kind, values });
    }
    Ok(items)
}

fn oid_der(oid: ObjectIdentifier) -> Vec<u8> {
    let mut der = Writer::with_capacity(16);
    der.oid(&oid);
    der.finish()
}

fn oid_from_der(der: &[u8]) -> Option<ObjectIdentifier> {
    Reader::new(der, Rules::Der).oid("curve").ok()
}

fn small_from_der(der: &[u8]) -> Option<u32> {
    Reader::new(der, Rules::Der).small_unsigned("key size").ok()
}
