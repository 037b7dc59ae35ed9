//! Distinguished names, kept as the octets they were read from.

use core::fmt;
use std::sync::Arc;

use crate::der::{ObjectIdentifier, Reader, Rules, Tlv, Writer, tag};
use crate::{Error, oid};

/// The most octets of a name we read.
const OCTETS_MAX: usize = 16 * 1024;

/// An X.501 name. Two names are equal when their octets are; see [`Name::matches`] and
/// [`Name::is_same`] for less.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Name(Arc<[u8]>);

/// The attributes we write into names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum NameAttribute {
    /// CN.
    CommonName,
    /// The serialNumber attribute (not the certificate's serial number).
    SerialNumber,
    /// O.
    Organization,
    /// OU.
    OrganizationalUnit,
    /// C, two letters.
    Country,
    /// L.
    Locality,
    /// ST.
    State,
}

impl NameAttribute {
    const ALL: [Self; 7] = [
        Self::CommonName,
        Self::SerialNumber,
        Self::Organization,
        Self::OrganizationalUnit,
        Self::Country,
        Self::Locality,
        Self::State,
    ];

    /// Its object identifier.
    #[must_use]
    pub const fn oid(self) -> ObjectIdentifier {
        match self {
            Self::CommonName => oid::COMMON_NAME,
            Self::SerialNumber => oid::SERIAL_NUMBER,
            Self::Organization => oid::ORGANIZATION,
            Self::OrganizationalUnit => oid::ORGANIZATIONAL_UNIT,
            Self::Country => oid::COUNTRY,
            Self::Locality => oid::LOCALITY,
            Self::State => oid::STATE,
        }
    }

    /// Its name in text: RFC 4514 where that has one, `serialNumber` otherwise.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::CommonName => "CN",
            Self::SerialNumber => "serialNumber",
            Self::Organization => "O",
            Self::OrganizationalUnit => "OU",
            Self::Country => "C",
            Self::Locality => "L",
            Self::State => "ST",
        }
    }

    /// The upper bound in characters (RFC 5280 appendix A.1).
    const fn chars_max(self) -> usize {
        match self {
            Self::Country => 2,
            Self::Locality | Self::State => 128,
            _ => 64,
        }
    }
}

/// One attribute of a name as it stands there.
#[derive(Clone, Copy, Debug)]
pub struct Attribute<'a> {
    /// The contents octets of its type OID.
    pub oid: &'a [u8],
    /// The identifier octet of its value.
    pub tag: u8,
    /// The contents octets of its value.
    pub value: &'a [u8],
}

impl Name {
    /// The name without attributes.
    #[must_use]
    pub fn empty() -> Self {
        Self(Arc::from([tag::SEQUENCE, 0].as_slice()))
    }

    /// Builds a name, one attribute per RDN, in the order given.
    ///
    /// Values are UTF8String, as OpenSSL writes them; C is PrintableString, and serialNumber is
    /// while its characters allow it (RFC 5280 4.1.2.4).
    ///
    /// # Errors
    /// `Unsupported` if a value is empty, too long, or a country is not two letters.
    pub fn build(attributes: &[(NameAttribute, &str)]) -> Result<Self, Error> {
        for (attribute, value) in attributes {
            check_value(*attribute, value)?;
        }
        let mut writer = Writer::with_capacity(32 * attributes.len() + 2);
        writer.sequence(|name| {
            for (attribute, value) in attributes {
                name.nest(tag::SET, |rdn| {
                    rdn.sequence(|pair| {
                        pair.oid(&attribute.oid());
                        pair.tlv(string_tag(*attribute, value), value.as_bytes());
                    });
                });
            }
        });
        Ok(Self(writer.finish().into()))
    }

    /// Reads a name.
    ///
    /// # Errors
    /// `Malformed` if it is none, or unreasonably large.
    pub fn from_der(der: &[u8]) -> Result<Self, Error> {
        let mut reader = Reader::new(der, Rules::Der);
        let tlv = reader.expect(tag::SEQUENCE, "name")?;
        reader.finish("name")?;
        Self::from_tlv(tlv)
    }

    pub(crate) fn from_tlv(tlv: Tlv<'_>) -> Result<Self, Error> {
        const WHAT: &str = "name";
        if tlv.raw.len() > OCTETS_MAX {
            return Err(Error::unsupported("a name over 16 KiB"));
        }
        let mut rdns = tlv.reader();
        while !rdns.is_empty() {
            let mut rdn = rdns.nested(tag::SET, WHAT)?;
            while !rdn.is_empty() {
                let mut pair = rdn.sequence(WHAT)?;
                pair.expect(tag::OID, WHAT)?;
                pair.any(WHAT)?;
                pair.finish(WHAT)?;
            }
        }
        Ok(Self(tlv.raw.into()))
    }

    /// The RDNSequence, octet for octet.
    #[must_use]
    pub fn as_der(&self) -> &[u8] {
        &self.0
    }

    /// Whether it has no attributes.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.attributes().next().is_none()
    }

    /// The attributes, in order, RDN boundaries dropped.
    pub fn attributes(&self) -> impl Iterator<Item = Attribute<'_>> {
        self.rdns().flatten()
    }

    /// The RDNs, in order, each as its attributes.
    pub(crate) fn rdns(&self) -> impl Iterator<Item = impl Iterator<Item = Attribute<'_>>> {
        // The constructors walked the whole name, so nothing below comes up short.
        let mut rdns = Reader::new(&self.0, Rules::Ber)
            .sequence("name")
            .unwrap_or(Reader::new(&[], Rules::Ber));
        core::iter::from_fn(move || rdns.nested(tag::SET, "name").ok()).map(|mut rdn| {
            core::iter::from_fn(move || {
                let mut pair = rdn.sequence("name").ok()?;
                let oid = pair.expect(tag::OID, "name").ok()?.value;
                let tlv = pair.any("name").ok()?;
                Some(Attribute {
                    oid,
                    tag: tlv.tag,
                    value: tlv.value,
                })
            })
        })
    }

    /// The first attribute of this type, as text.
    #[must_use]
    pub fn first(&self, attribute: NameAttribute) -> Option<String> {
        let oid = attribute.oid();
        self.attributes()
            .find(|found| found.oid == oid.as_bytes())
            .and_then(|found| found.text())
    }

    /// The first CN, as text.
    #[must_use]
    pub fn common_name(&self) -> Option<String> {
        self.first(NameAttribute::CommonName)
    }

    /// The first serialNumber attribute, as text.
    #[must_use]
    pub fn serial_number(&self) -> Option<String> {
        self.first(NameAttribute::SerialNumber)
    }

    /// Whether both names have the same attributes with the same text in the same order,
    /// whatever the string types; case and spaces count.
    ///
    /// A client that copies a name through its tools may change PrintableString to UTF8String
    /// and nothing else.
    #[must_use]
    pub fn matches(&self, other: &Self) -> bool {
        self == other
            || self
                .rdns()
                .map(|rdn| rdn.map(comparable).collect::<Vec<_>>())
                .eq(other
                    .rdns()
                    .map(|rdn| rdn.map(comparable).collect::<Vec<_>>()))
    }

    /// Whether both are the same name to RFC 5280 7.1: without regard to case, string type and
    /// the number of spaces. This is how certificates chain.
    #[must_use]
    pub fn is_same(&self, other: &Self) -> bool {
        self == other || self.folded().eq(other.folded())
    }

    /// Whether this name begins with all of `base`'s RDNs, compared as [`Name::is_same`] does.
    pub(crate) fn is_within(&self, base: &Self) -> bool {
        let mut own = self.folded();
        base.folded().all(|rdn| own.next().as_ref() == Some(&rdn))
    }

    fn folded(&self) -> impl Iterator<Item = Vec<Folded>> {
        self.rdns().map(|rdn| {
            let mut attributes: Vec<Folded> = rdn.map(|attribute| attribute.folded()).collect();
            attributes.sort(); // an RDN is a set
            attributes
        })
    }
}

/// An attribute's type, and its folded text or (of what is no text) its octets.
type Folded = (Vec<u8>, Result<String, Vec<u8>>);

impl Attribute<'_> {
    fn folded(&self) -> Folded {
        let value = match self.text() {
            Some(text) => {
                let words: Vec<String> = text.split_whitespace().map(str::to_lowercase).collect();
                Ok(words.join(" "))
            }
            None => Err(self.value.to_vec()),
        };
        (self.oid.to_vec(), value)
    }

    /// The value as text, if it is a character string.
    #[must_use]
    pub fn text(&self) -> Option<String> {
        match self.tag {
            tag::UTF8_STRING => String::from_utf8(self.value.to_vec()).ok(),
            tag::PRINTABLE_STRING | tag::IA5_STRING if self.value.is_ascii() => {
                String::from_utf8(self.value.to_vec()).ok()
            }
            // T.61 as everyone writes it: Latin-1
            tag::TELETEX_STRING | tag::PRINTABLE_STRING | tag::IA5_STRING => {
                Some(self.value.iter().copied().map(char::from).collect())
            }
            tag::BMP_STRING => {
                let (pairs, []) = self.value.as_chunks::<2>() else {
                    return None;
                };
                let units = pairs.iter().copied().map(u16::from_be_bytes);
                char::decode_utf16(units).collect::<Result<_, _>>().ok()
            }
            tag::UNIVERSAL_STRING => {
                let (quads, []) = self.value.as_chunks::<4>() else {
                    return None;
                };
                let units = quads.iter().copied().map(u32::from_be_bytes);
                units.map(char::from_u32).collect()
            }
            _ => None,
        }
    }
}

/// What two attributes must share to be the same: type, and text or (if no text) value octets.
fn comparable(attribute: Attribute<'_>) -> (&[u8], Option<String>, u8, &[u8]) {
    match attribute.text() {
        Some(text) => (attribute.oid, Some(text), 0, &[]),
        None => (attribute.oid, None, attribute.tag, attribute.value),
    }
}

fn check_value(attribute: NameAttribute, value: &str) -> Result<(), Error> {
    let chars = value.chars().count();
    if chars == 0 {
        return Err(Error::unsupported("an empty value in a name"));
    }
    if chars > attribute.chars_max() {
        return Err(Error::unsupported(
            "a value in a name over its limit (64 characters; 128 for L and ST)",
        ));
    }
    let letters = value.bytes().all(|octet| octet.is_ascii_uppercase());
    if attribute == NameAttribute::Country && !(letters && chars == 2) {
        return Err(Error::unsupported(
            "a country that is not two capital letters",
        ));
    }
    Ok(())
}

/// PrintableString for the attributes that RFC 5280 wants so, if the characters allow it.
fn string_tag(attribute: NameAttribute, value: &str) -> u8 {
    let wants_printable = matches!(
        attribute,
        NameAttribute::Country | NameAttribute::SerialNumber
    );
    if wants_printable && value.bytes().all(is_printable) {
        tag::PRINTABLE_STRING
    } else {
        tag::UTF8_STRING
    }
}

/// The characters of PrintableString (X.680 41.4): no `_`, `@`, `*` or `&` among them.
pub(crate) const fn is_printable(octet: u8) -> bool {
    matches!(octet,
        b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9'
        | b' ' | b'\'' | b'(' | b')' | b'+' | b',' | b'-' | b'.' | b'/' | b':' | b'=' | b'?')
}

impl fmt::Display for Name {
    /// RFC 4514: last RDN first, `,` between RDNs, `+` within one.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let rdns: Vec<Vec<Attribute<'_>>> = self.rdns().map(Iterator::collect).collect();
        for (position, rdn) in rdns.iter().rev().enumerate() {
            if position > 0 {
                f.write_str(",")?;
            }
            for (position, attribute) in rdn.iter().enumerate() {
                if position > 0 {
                    f.write_str("+")?;
                }
                write_attribute(f, attribute)?;
            }
        }
        Ok(())
    }
}

impl fmt::Debug for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Name({self})")
    }
}

fn write_attribute(f: &mut fmt::Formatter<'_>, attribute: &Attribute<'_>) -> fmt::Result {
    let known = NameAttribute::ALL
        .into_iter()
        .find(|known| known.oid().as_bytes() == attribute.oid);
    match (known, ObjectIdentifier::from_bytes(attribute.oid)) {
        (Some(known), _) => f.write_str(known.name())?,
        (None, Ok(oid)) => write!(f, "{oid}")?,
        (None, Err(_)) => f.write_str("?")?,
    }
    f.write_str("=")?;
    match attribute.text() {
        Some(text) => write_escaped(f, &text),
        None => {
            let mut writer = Writer::new();
            writer.tlv(attribute.tag, attribute.value);
            f.write_str("#")?;
            crate::serial::write_hex(f, &writer.finish())
        }
    }
}

fn write_escaped(f: &mut fmt::Formatter<'_>, text: &str) -> fmt::Result {
    let last = text.chars().count().saturating_sub(1);
    for (position, c) in text.chars().enumerate() {
        let special = matches!(c, '"' | '+' | ',' | ';' | '<' | '>' | '\\' | '=')
            || (c == '#' && position == 0)
            || (c == ' ' && (position == 0 || position == last));
        if special {
            write!(f, "\\{c}")?;
        } else if c.is_control() {
            let mut utf8 = [0; 4];
            for octet in c.encode_utf8(&mut utf8).bytes() {
                write!(f, "\\{octet:02x}")?;
            }
        } else {
            write!(f, "{c}")?;
        }
    }
    Ok(())
}
