//! What a server would like to see in a request: `CsrAttrs` of RFC 7030 section 4.5.2, as RFC 9908
//! clarified it.

use der::asn1::{AnyRef, ObjectIdentifier, UintRef};
use der::{Decode, Encode, Reader, SliceReader, Tag, Tagged};

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
                let bits = bits.to_be_bytes();
                let size = UintRef::new(&bits)
                    .and_then(|size| size.to_der())
                    .unwrap_or_default();
                AttrOrOid::Attribute {
                    kind: RSA,
                    values: vec![size],
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
            } => values
                .iter()
                .find_map(|value| match ObjectIdentifier::from_der(value).ok()? {
                    P256 => Some(WantedKey::P256),
                    P384 => Some(WantedKey::P384),
                    P521 => Some(WantedKey::P521),
                    _ => None,
                }),
            AttrOrOid::Attribute { kind: RSA, values } => values
                .iter()
                .find_map(|value| u32::from_der(value).ok())
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
        let items = self.items.iter().flat_map(|item| match item {
            AttrOrOid::Oid(oid) => oid_der(*oid),
            AttrOrOid::Attribute { kind, values } => {
                let mut sorted = values.clone();
                sorted.sort(); // DER orders the members of a SET OF by their octets
                let mut attribute = oid_der(*kind);
                attribute.extend(tlv(0x31, &sorted.concat()));
                tlv(0x30, &attribute)
            }
        });
        Some(tlv(0x30, &items.collect::<Vec<u8>>()))
    }

    /// Reads the DER of a list. Unknown entries are kept, and are for the caller to ignore
    /// (RFC 9908 section 3.1); a second extension request is an error there too.
    pub fn from_der(der: &[u8]) -> Result<CsrAttrs, Error> {
        const BAD: Error = Error::Malformed {
            what: "the CSR attributes are not proper DER",
        };
        let items = members(der, Tag::Sequence).ok_or(BAD)?;
        if items.len() > CSR_ATTRIBUTES_MAX {
            let what = "the number of CSR attributes";
            return Err(Error::TooLarge {
                what,
                bytes_max: CSR_ATTRIBUTES_MAX,
            });
        }
        let items: Vec<AttrOrOid> = items
            .into_iter()
            .map(read_item)
            .collect::<Option<_>>()
            .ok_or(BAD)?;
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

fn read_item(item: AnyRef<'_>) -> Option<AttrOrOid> {
    match item.tag() {
        Tag::ObjectIdentifier => item.decode_as().ok().map(AttrOrOid::Oid),
        Tag::Sequence => {
            let mut reader = SliceReader::new(item.value()).ok()?;
            let kind = ObjectIdentifier::decode(&mut reader).ok()?;
            let set = AnyRef::decode(&mut reader).ok()?;
            reader.finish().ok()?;
            let values = members_of(set, Tag::Set)?
                .into_iter()
                .map(|value| value.to_der().ok())
                .collect::<Option<_>>()?;
            Some(AttrOrOid::Attribute { kind, values })
        }
        _ => None,
    }
}

/// The members of one DER value with this tag and nothing after it.
fn members(der: &[u8], tag: Tag) -> Option<Vec<AnyRef<'_>>> {
    members_of(AnyRef::from_der(der).ok()?, tag)
}

fn members_of(whole: AnyRef<'_>, tag: Tag) -> Option<Vec<AnyRef<'_>>> {
    if whole.tag() != tag {
        return None;
    }
    let mut reader = SliceReader::new(whole.value()).ok()?;
    let mut members = Vec::new();
    while !reader.is_finished() {
        members.push(AnyRef::decode(&mut reader).ok()?);
    }
    Some(members)
}

fn oid_der(oid: ObjectIdentifier) -> Vec<u8> {
    tlv(0x06, oid.as_bytes())
}

/// One DER value. The length takes at most five octets: nothing here is longer than 4 GiB.
fn tlv(tag: u8, value: &[u8]) -> Vec<u8> {
    let mut der = vec![tag];
    match u8::try_from(value.len()) {
        Ok(short) if short < 0x80 => der.push(short),
        _ => {
            let length = value.len().to_be_bytes();
            let significant: Vec<u8> = length.into_iter().skip_while(|b| *b == 0).collect();
            der.push(0x80 | u8::try_from(significant.len()).unwrap_or(8));
            der.extend(significant);
        }
    }
    der.extend_from_slice(value);
    der
}
