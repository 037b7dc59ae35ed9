//! A profile: the shape a certificate may have. Who may have which is policy.

use std::fmt;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use tenure_x509::{KeyAlgorithm, KeyKind, Name, NameAttribute, SanName};

use crate::device::Device;
use crate::duration;
use crate::ids::Slug;
use crate::words::words;

words! {
    /// What a certificate of a profile is for; decides its extensions and its lint.
    ProfileKind ("profile kind") {
        /// A manufacturer's identity for life (IEEE 802.1AR).
        IDevId = "idevid" = 1,
        /// A device's operational identity.
        LDevId = "ldevid" = 2,
        /// A TLS server of ours.
        Server = "server" = 3,
        /// A delegated OCSP responder (RFC 6960 section 4.2.2.2).
        OcspSigner = "ocsp-signer" = 4,
        /// An issuer below a root.
        IssuingCa = "issuing-ca" = 5,
        /// A trust anchor.
        RootCa = "root-ca" = 6,
        /// A canary: an identity made to be tried, authorised for nothing.
        Canary = "canary" = 7,
        /// The key of one root, certified by another (RFC 9810 section 4.4).
        CrossCa = "cross-ca" = 8,
    }
    /// What a device certificate may be used for.
    Usage ("usage") {
        /// To log in to services.
        Client = "client" = 1,
        /// To be a TLS server.
        Server = "server" = 2,
    }
    /// How relying parties learn that a certificate was withdrawn.
    RevocationPath ("revocation path") {
        /// A shard of the issuer's revocation list, named in the certificate.
        Crl = "crl" = 1,
        /// The issuer's OCSP responder, named in the certificate.
        Ocsp = "ocsp" = 2,
        /// None: the certificate lives too briefly to be withdrawn, and says so (RFC 9608).
        NoneShortLived = "none-short-lived" = 3,
    }
}

impl ProfileKind {
    /// Whether certificates of this kind are for devices; the others are our own.
    pub fn is_for_devices(self) -> bool {
        match self {
            ProfileKind::IDevId | ProfileKind::LDevId => true,
            ProfileKind::Server
            | ProfileKind::OcspSigner
            | ProfileKind::IssuingCa
            | ProfileKind::RootCa
            | ProfileKind::CrossCa
            | ProfileKind::Canary => false,
        }
    }
}

/// How long a certificate lives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Life {
    /// So many seconds.
    Seconds(i64),
    /// To the end of time, `99991231235959Z` (IEEE 802.1AR).
    Forever,
}

impl fmt::Display for Life {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Life::Seconds(seconds) => f.write_str(&duration::show(*seconds)),
            Life::Forever => f.write_str("never"),
        }
    }
}

impl std::str::FromStr for Life {
    type Err = duration::BadDuration;

    fn from_str(text: &str) -> Result<Life, duration::BadDuration> {
        match text {
            "never" => Ok(Life::Forever),
            _ => duration::parse(text).map(Life::Seconds),
        }
    }
}

/// The most a certificate may begin before it is made, in seconds, whatever a policy says. What is
/// published of an interval of beginnings relies on it.
pub const BACKDATE_S_MAX: i64 = crate::duration::DAY_S;

/// The longest life of a certificate that nobody can ask about, with what it is back-dated by, in
/// seconds. RFC 9608 leaves it to the issuer; within a week a list, whose life is a day, would have
/// been fetched a few times, and the CA/Browser Forum calls the same week short-lived.
pub const SHORT_LIFE_S_MAX: i64 = 7 * crate::duration::DAY_S;

/// One profile.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    /// Its name; also the EST label.
    pub name: Slug,
    /// What its certificates are for.
    pub kind: ProfileKind,
    /// Who signs them; the newest issuing CA if not said.
    pub issuer: Option<Slug>,
    /// How long they live.
    pub life: Life,
    /// How long before `now` they begin, for devices with slow clocks; seconds.
    pub backdate_s: i64,
    /// When renewal should start, in hundredths of the life.
    pub renew_percent: u8,
    /// Which subject keys are taken.
    pub keys: Vec<KeyKind>,
    /// What they may be used for.
    pub usage: Vec<Usage>,
    /// The subject's attributes, in order.
    pub subject: Vec<(SubjectAttribute, Template)>,
    /// The subject alternative names, in order.
    pub san: Vec<SanTemplate>,
    /// How their withdrawal is published; never empty for what we issue to devices.
    pub revocation: Vec<RevocationPath>,
}

words! {
    /// An attribute of a subject name that a profile may fill.
    SubjectAttribute ("subject attribute") {
        /// CN.
        CommonName = "common-name" = 1,
        /// serialNumber, the attribute (2.5.4.5).
        SerialNumber = "serial-number" = 2,
        /// O.
        Organization = "organization" = 3,
        /// OU.
        OrganizationalUnit = "organizational-unit" = 4,
    }
}

impl SubjectAttribute {
    /// The X.520 attribute.
    pub fn attribute(self) -> NameAttribute {
        match self {
            SubjectAttribute::CommonName => NameAttribute::CommonName,
            SubjectAttribute::SerialNumber => NameAttribute::SerialNumber,
            SubjectAttribute::Organization => NameAttribute::Organization,
            SubjectAttribute::OrganizationalUnit => NameAttribute::OrganizationalUnit,
        }
    }
}

/// A subject alternative name with places to fill in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum SanTemplate {
    /// A DNS name.
    Dns(Template),
    /// A URI.
    Uri(Template),
    /// An IP address.
    Ip(Template),
}

impl std::str::FromStr for SanTemplate {
    type Err = TemplateError;

    /// Reads `dns:…`, `uri:…` or `ip:…`.
    fn from_str(text: &str) -> Result<SanTemplate, TemplateError> {
        let unknown = || TemplateError::UnknownKind(text.chars().take(80).collect());
        let (kind, template) = text.split_once(':').ok_or_else(unknown)?;
        match kind {
            "dns" => template.parse().map(SanTemplate::Dns),
            "uri" => template.parse().map(SanTemplate::Uri),
            "ip" => template.parse().map(SanTemplate::Ip),
            _ => Err(unknown()),
        }
    }
}

impl fmt::Display for SanTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            SanTemplate::Dns(template) => write!(f, "dns:{template}"),
            SanTemplate::Uri(template) => write!(f, "uri:{template}"),
            SanTemplate::Ip(template) => write!(f, "ip:{template}"),
        }
    }
}

impl SanTemplate {
    /// The template behind the kind of name.
    pub fn template(&self) -> &Template {
        match self {
            SanTemplate::Dns(template) | SanTemplate::Uri(template) | SanTemplate::Ip(template) => {
                template
            }
        }
    }
}

/// Text with `{place}`s that are filled from the registry, never from a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    pieces: Vec<Piece>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Text(String),
    Place(Place),
}

words! {
    /// Something of the registry that a template may name.
    Place ("place in a template") {
        /// The device's id.
        DeviceId = "device.id" = 1,
        /// The maker's serial number.
        DeviceSerial = "device.serial" = 2,
        /// The maker's model.
        DeviceModel = "device.model" = 3,
        /// The maker.
        DeviceManufacturer = "device.manufacturer" = 4,
        /// The class.
        Class = "class" = 5,
        /// The site.
        Site = "site" = 6,
        /// The owner.
        Owner = "owner" = 7,
    }
}

/// Why a name could not be computed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TemplateError {
    /// A brace without its partner.
    Unbalanced,
    /// An unknown place.
    UnknownPlace(String),
    /// A name that does not begin with its kind.
    UnknownKind(String),
    /// The registry has nothing to put there.
    Empty(Place),
    /// The result is no valid name of its kind.
    NotValid {
        /// DNS name, URI or IP address.
        kind: &'static str,
        /// The result.
        value: String,
    },
}

impl fmt::Display for TemplateError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            TemplateError::Unbalanced => f.write_str("a { or } has no partner"),
            TemplateError::UnknownPlace(place) => {
                write!(f, "{{{place}}} is unknown; use one of:")?;
                Place::ALL
                    .iter()
                    .try_for_each(|place| write!(f, " {{{place}}}"))
            }
            TemplateError::UnknownKind(text) => {
                write!(f, "{text:?} does not begin with dns:, uri: or ip:")
            }
            TemplateError::Empty(place) => {
                write!(f, "the registry has no {place} for this device; fill it in")
            }
            TemplateError::NotValid { kind, value } => {
                write!(
                    f,
                    "{value:?}, computed from the registry, is not a valid {kind}"
                )
            }
        }
    }
}

impl std::error::Error for TemplateError {}

impl std::str::FromStr for Template {
    type Err = TemplateError;

    fn from_str(text: &str) -> Result<Template, TemplateError> {
        let mut pieces = Vec::new();
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('{') {
            let (place, after) = after.split_once('}').ok_or(TemplateError::Unbalanced)?;
            if before.contains('}') {
                return Err(TemplateError::Unbalanced);
            }
            if !before.is_empty() {
                pieces.push(Piece::Text(before.to_owned()));
            }
            let place = place
                .parse()
                .map_err(|_| TemplateError::UnknownPlace(place.to_owned()))?;
            pieces.push(Piece::Place(place));
            rest = after;
        }
        if rest.contains('}') {
            return Err(TemplateError::Unbalanced);
        }
        if !rest.is_empty() {
            pieces.push(Piece::Text(rest.to_owned()));
        }
        Ok(Template { pieces })
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.pieces.iter().try_for_each(|piece| match piece {
            Piece::Text(text) => f.write_str(text),
            Piece::Place(place) => write!(f, "{{{place}}}"),
        })
    }
}

fn registered(place: Place, device: &Device) -> &str {
    match place {
        Place::DeviceId => device.id.as_str(),
        Place::DeviceSerial => &device.serial,
        Place::DeviceModel => &device.model,
        Place::DeviceManufacturer => &device.manufacturer,
        Place::Class => device.class.as_str(),
        Place::Site => device.site.as_str(),
        Place::Owner => device.owner.as_str(),
    }
}

impl Profile {
    /// Whether two devices whose ids differ only in capital letters would bear the same DNS name
    /// (RFC 4343).
    pub fn folds_ids(&self) -> bool {
        self.san
            .iter()
            .any(|san| matches!(san, SanTemplate::Dns(template) if template.has(Place::DeviceId)))
    }

    /// Whether two devices with the same serial number, of two makers, would bear the same name. An
    /// identity for life is the only one of its serial number anyway.
    pub fn names_by_serial(&self) -> bool {
        let alone = |template: &Template| !template.has(Place::DeviceId);
        let subject = !self.subject.is_empty() && self.subject.iter().all(|(_, it)| alone(it));
        let san = self.san.iter().any(|san| alone(san.template()));
        self.kind != ProfileKind::IDevId && (subject || san)
    }
}

impl Template {
    fn has(&self, wanted: Place) -> bool {
        self.pieces
            .iter()
            .any(|piece| matches!(piece, Piece::Place(place) if *place == wanted))
    }

    /// Whether what it makes belongs to one device alone: it names the device's id or the maker's
    /// serial number.
    pub fn identifies(&self) -> bool {
        self.has(Place::DeviceId) || self.has(Place::DeviceSerial)
    }

    /// Whether its fixed text holds this character.
    pub fn has_char(&self, wanted: char) -> bool {
        self.pieces
            .iter()
            .any(|piece| matches!(piece, Piece::Text(text) if text.contains(wanted)))
    }

    /// Fills the places; an empty field of the registry is an error, never an empty name.
    pub fn fill(&self, device: &Device) -> Result<String, TemplateError> {
        self.fill_with(device, str::to_owned)
    }

    fn fill_with(
        &self,
        device: &Device,
        clean: impl Fn(&str) -> String,
    ) -> Result<String, TemplateError> {
        let mut filled = String::new();
        for piece in &self.pieces {
            match piece {
                Piece::Text(text) => filled.push_str(text),
                Piece::Place(place) => match registered(*place, device) {
                    "" => return Err(TemplateError::Empty(*place)),
                    value => filled.push_str(&clean(value)),
                },
            }
        }
        Ok(filled)
    }
}

fn percent_encode(text: &str) -> String {
    let mut out = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.' | b'_' | b'~') {
            out.push(char::from(byte));
        } else {
            out.push_str(&format!("%{byte:02X}"));
        }
    }
    out
}

/// The characters of PrintableString (X.680 section 41.4).
fn is_printable(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || b" '()+,-./:=?".contains(&byte)
}

/// Whether this is `HOST` or `HOST:PORT`: a DNS name or an address, and a port from 1 to 65535. An
/// IPv6 address stands in brackets.
pub fn is_authority(text: &str) -> bool {
    let (is_host, port) = match text.strip_prefix('[').and_then(|rest| rest.split_once(']')) {
        Some((ip, port)) => (ip.parse::<Ipv6Addr>().is_ok(), port),
        None => {
            let (host, port) = text.split_at(text.find(':').unwrap_or(text.len()));
            (host.parse::<Ipv4Addr>().is_ok() || is_host_name(host), port)
        }
    };
    let is_port = |port: &str| {
        port.bytes().all(|byte| byte.is_ascii_digit()) && port.parse::<u16>().is_ok_and(|no| no > 0)
    };
    is_host && (port.is_empty() || port.strip_prefix(':').is_some_and(is_port))
}

/// A DNS name that is no address written wrongly: its last label has a letter in it.
fn is_host_name(text: &str) -> bool {
    let last = text.rsplit('.').next().unwrap_or_default();
    is_dns_name(text) && last.bytes().any(|byte| byte.is_ascii_alphabetic())
}

/// Whether text is a DNS name in preferred syntax (RFC 1034 section 3.5, as RFC 5280 section
/// 4.2.1.6 wants it in a certificate); no wildcard, since no certificate of ours serves a group.
pub fn is_dns_name(text: &str) -> bool {
    text.len() <= 253
        && text.split('.').all(|label| {
            (1..=63).contains(&label.len())
                && label
                    .bytes()
                    .all(|b| b.is_ascii_alphanumeric() || b == b'-')
                && !label.starts_with('-')
                && !label.ends_with('-')
        })
}

impl SanTemplate {
    /// Fills the places and checks the kind of name.
    pub fn fill(&self, device: &Device) -> Result<SanName, TemplateError> {
        match self {
            SanTemplate::Dns(template) => {
                let name = template.fill(device)?.to_ascii_lowercase();
                if is_dns_name(&name) {
                    Ok(SanName::Dns(name))
                } else {
                    Err(TemplateError::NotValid {
                        kind: "DNS name",
                        value: name,
                    })
                }
            }
            SanTemplate::Uri(template) => {
                let uri = template.fill_with(device, percent_encode)?;
                let scheme_ends = uri.find(':').unwrap_or(0);
                let is_scheme = uri.starts_with(|c: char| c.is_ascii_alphabetic());
                let is_graphic = uri.bytes().all(|octet| octet.is_ascii_graphic());
                if scheme_ends > 0 && is_scheme && is_graphic {
                    Ok(SanName::Uri(uri))
                } else {
                    Err(TemplateError::NotValid {
                        kind: "URI",
                        value: uri,
                    })
                }
            }
            SanTemplate::Ip(template) => {
                let text = template.fill(device)?;
                text.parse::<IpAddr>()
                    .map(SanName::Ip)
                    .map_err(|_| TemplateError::NotValid {
                        kind: "IP address",
                        value: text,
                    })
            }
        }
    }
}

impl Profile {
    /// The subject and alternative names for a device, from the registry alone.
    pub fn names(&self, device: &Device) -> Result<(Name, Vec<SanName>), TemplateError> {
        let mut filled = Vec::with_capacity(self.subject.len());
        for (attribute, template) in &self.subject {
            let text = template.fill(device)?;
            if self.kind == ProfileKind::IDevId
                && *attribute == SubjectAttribute::SerialNumber
                && !text.bytes().all(is_printable)
            {
                // IEEE 802.1AR section 8.6: relying parties compare it octet for octet.
                let kind = "serial number for a certificate (use A-Z a-z 0-9 space '()+,-./:=?)";
                return Err(TemplateError::NotValid { kind, value: text });
            }
            filled.push((attribute.attribute(), text));
        }
        let attributes: Vec<_> = filled.iter().map(|(a, text)| (*a, text.as_str())).collect();
        let subject = Name::build(&attributes).map_err(|error| TemplateError::NotValid {
            kind: "subject name",
            value: error.to_string(),
        })?;
        let san = self
            .san
            .iter()
            .map(|san| san.fill(device))
            .collect::<Result<_, _>>()?;
        Ok((subject, san))
    }

    /// Whether the profile takes a subject key of this algorithm and size.
    pub fn takes_key(&self, key: KeyAlgorithm) -> bool {
        self.keys.iter().any(|kind| match (kind, key) {
            (KeyKind::P256, KeyAlgorithm::P256)
            | (KeyKind::P384, KeyAlgorithm::P384)
            | (KeyKind::Ed25519, KeyAlgorithm::Ed25519) => true,
            (KeyKind::Rsa2048, KeyAlgorithm::Rsa(bits)) => (2048..=8192).contains(&bits),
            (KeyKind::Rsa3072, KeyAlgorithm::Rsa(bits)) => (3072..=8192).contains(&bits),
            (KeyKind::Rsa4096, KeyAlgorithm::Rsa(bits)) => (4096..=8192).contains(&bits),
            _ => false,
        })
    }
}
