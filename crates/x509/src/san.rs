//! Alternative names of a subject (RFC 5280 4.2.1.6).

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use crate::der::{ObjectIdentifier, Reader, Rules, Tlv, Writer, tag};
use crate::{Error, oid};

/// The most names read from one list.
const NAMES_MAX: usize = 1024;

const TAG_OTHER_NAME: u8 = tag::context_constructed(0);
pub(crate) const TAG_EMAIL: u8 = tag::context(1);
pub(crate) const TAG_DNS: u8 = tag::context(2);
pub(crate) const TAG_DIRECTORY: u8 = tag::context_constructed(4);
pub(crate) const TAG_URI: u8 = tag::context(6);
pub(crate) const TAG_IP: u8 = tag::context(7);

/// One subject alternative name.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum SanName {
    /// dNSName.
    Dns(String),
    /// iPAddress.
    Ip(IpAddr),
    /// uniformResourceIdentifier.
    Uri(String),
    /// rfc822Name.
    Email(String),
    /// otherName hardwareModuleName (RFC 4108 5): the module's type and its serial, in binary.
    HardwareModule {
        /// Who numbers the modules, and what kind this is.
        hw_type: ObjectIdentifier,
        /// The number.
        serial: Vec<u8>,
    },
    /// Any other GeneralName, as its DER.
    Other(Vec<u8>),
}

impl SanName {
    /// Reads one GeneralName. What is of no kind above, or not well formed as one, is `Other`.
    pub(crate) fn from_tlv(tlv: Tlv<'_>) -> Self {
        recognise(tlv).unwrap_or_else(|| Self::Other(tlv.raw.to_vec()))
    }

    /// Reads GeneralNames, a SEQUENCE.
    pub(crate) fn list_from_der(der: &[u8], rules: Rules) -> Result<Vec<Self>, Error> {
        let mut reader = Reader::new(der, rules);
        let mut names = reader.sequence("subjectAltName")?;
        reader.finish("subjectAltName")?;
        let mut found = Vec::new();
        while !names.is_empty() {
            if found.len() == NAMES_MAX {
                return Err(Error::unsupported("more than 1024 alternative names"));
            }
            found.push(Self::from_tlv(names.any("subjectAltName")?));
        }
        Ok(found)
    }

    /// Whether it can be written: text must be ASCII, without control characters and not empty.
    pub(crate) fn check(&self) -> Result<(), Error> {
        match self {
            Self::Dns(text) | Self::Uri(text) | Self::Email(text) => check_ia5(text),
            Self::Other(der) => {
                let mut reader = Reader::new(der, Rules::Der);
                let tlv = reader.any("alternative name")?;
                let context = tlv.tag & 0xc0 == 0x80;
                if !context {
                    return Err(Error::malformed("alternative name"));
                }
                reader.finish("alternative name")
            }
            Self::Ip(_) | Self::HardwareModule { .. } => Ok(()),
        }
    }

    /// Appends the GeneralName.
    pub(crate) fn write(&self, writer: &mut Writer) {
        match self {
            Self::Dns(text) => writer.tlv(TAG_DNS, text.as_bytes()),
            Self::Uri(text) => writer.tlv(TAG_URI, text.as_bytes()),
            Self::Email(text) => writer.tlv(TAG_EMAIL, text.as_bytes()),
            Self::Ip(IpAddr::V4(address)) => writer.tlv(TAG_IP, &address.octets()),
            Self::Ip(IpAddr::V6(address)) => writer.tlv(TAG_IP, &address.octets()),
            Self::HardwareModule { hw_type, serial } => writer.nest(TAG_OTHER_NAME, |other| {
                other.oid(&oid::HARDWARE_MODULE_NAME);
                other.nest(tag::context_constructed(0), |value| {
                    value.sequence(|module| {
                        module.oid(hw_type);
                        module.octet_string(serial);
                    });
                });
            }),
            Self::Other(der) => writer.raw(der),
        }
    }
}

impl core::fmt::Display for SanName {
    /// `DNS:…`, `IP:…`, `URI:…`, `email:…`, `hardwareModule:OID/HEX`, or `other:HEX`.
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Dns(text) => write!(f, "DNS:{text}"),
            Self::Ip(address) => write!(f, "IP:{address}"),
            Self::Uri(text) => write!(f, "URI:{text}"),
            Self::Email(text) => write!(f, "email:{text}"),
            Self::HardwareModule { hw_type, serial } => {
                write!(f, "hardwareModule:{hw_type}/")?;
                crate::serial::write_hex(f, serial)
            }
            Self::Other(der) => {
                f.write_str("other:")?;
                crate::serial::write_hex(f, der)
            }
        }
    }
}

/// Whether text can stand in an IA5String here.
pub(crate) fn check_ia5(text: &str) -> Result<(), Error> {
    let fits = !text.is_empty() && text.bytes().all(|octet| (0x20..0x7f).contains(&octet));
    fits.then_some(()).ok_or(Error::unsupported(
        "a DNS name, URI or address that is empty or not ASCII",
    ))
}

fn recognise(tlv: Tlv<'_>) -> Option<SanName> {
    let text = || {
        let text = core::str::from_utf8(tlv.value).ok()?;
        text.is_ascii().then(|| text.to_owned())
    };
    match tlv.tag {
        TAG_DNS => text().map(SanName::Dns),
        TAG_URI => text().map(SanName::Uri),
        TAG_EMAIL => text().map(SanName::Email),
        TAG_IP => {
            if let Ok(octets) = <[u8; 4]>::try_from(tlv.value) {
                return Some(SanName::Ip(Ipv4Addr::from(octets).into()));
            }
            let octets = <[u8; 16]>::try_from(tlv.value).ok()?;
            Some(SanName::Ip(Ipv6Addr::from(octets).into()))
        }
        TAG_OTHER_NAME => {
            let mut other = tlv.reader();
            if other.oid("otherName").ok()? != oid::HARDWARE_MODULE_NAME {
                return None;
            }
            let mut value = other
                .nested(tag::context_constructed(0), "otherName")
                .ok()?;
            let mut module = value.sequence("otherName").ok()?;
            let hw_type = module.oid("hwType").ok()?;
            let serial = module.expect(tag::OCTET_STRING, "hwSerialNum").ok()?.value;
            let whole = module.is_empty() && value.is_empty() && other.is_empty();
            whole.then(|| SanName::HardwareModule {
                hw_type,
                serial: serial.to_vec(),
            })
        }
        _ => None,
    }
}
