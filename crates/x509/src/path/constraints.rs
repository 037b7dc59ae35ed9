//! Name constraints (RFC 5280 4.2.1.10): which names may stand below a CA.

use std::net::IpAddr;

use super::PathFault;
use crate::der::{Reader, Rules, Tlv, tag};
use crate::san::{TAG_DIRECTORY, TAG_DNS, TAG_EMAIL, TAG_IP, TAG_URI};
use crate::{Cert, Name, SanName, oid};

/// The most comparisons of a name with a constraint for one path.
const COMPARISONS_MAX: usize = 250_000;

/// How many comparisons are left.
pub(super) struct Budget(usize);

impl Budget {
    pub(super) const fn new() -> Self {
        Self(COMPARISONS_MAX)
    }

    fn spend(&mut self) -> Result<(), PathFault> {
        self.0 = self.0.checked_sub(1).ok_or(PathFault::TooManyNames)?;
        Ok(())
    }
}

/// The constraints of one CA.
pub(super) struct NameConstraints<'a> {
    permitted: Vec<Subtree<'a>>,
    excluded: Vec<Subtree<'a>>,
}

/// One subtree of names.
enum Subtree<'a> {
    Dns(&'a str),
    Email(&'a str),
    Uri(&'a str),
    /// Address and mask, 4 or 16 octets each.
    Ip(&'a [u8], &'a [u8]),
    Directory(Name),
    /// A form of name that we cannot compare: its tag.
    Opaque(u8),
}

/// A name to be compared, in the form of its tag.
enum Presented<'a> {
    Dns(&'a str),
    Email(&'a str),
    Uri(&'a str),
    Ip(IpAddr),
    Directory(&'a Name),
    /// A form of name that we cannot compare, or one that is not well formed: its tag.
    Opaque(u8),
}

/// On which list a subtree stands. Where a name may or may not be in a subtree, as a wildcard
/// may, it counts as in an excluded one and as not in a permitted one.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Side {
    Permitted,
    Excluded,
}

impl<'a> NameConstraints<'a> {
    pub(super) fn read(value: &'a [u8]) -> Result<Self, PathFault> {
        read(value).ok_or(PathFault::BadNameConstraints)
    }

    /// Whether all names of a certificate are allowed.
    pub(super) fn check(&self, cert: &Cert, budget: &mut Budget) -> Result<(), PathFault> {
        if !cert.subject().is_empty() {
            self.check_name(&Presented::Directory(cert.subject()), budget)?;
        }
        for name in cert.san() {
            match name {
                SanName::Other(der) => match directory_name(der) {
                    Some(name) => self.check_name(&Presented::Directory(&name), budget)?,
                    None => self.check_name(&opaque(der), budget)?,
                },
                SanName::Dns(text) => self.check_name(&Presented::Dns(text), budget)?,
                SanName::Email(text) => self.check_name(&Presented::Email(text), budget)?,
                SanName::Uri(text) => self.check_name(&Presented::Uri(text), budget)?,
                SanName::Ip(address) => self.check_name(&Presented::Ip(*address), budget)?,
                SanName::HardwareModule { .. } => {
                    let other_name = tag::context_constructed(0);
                    self.check_name(&Presented::Opaque(other_name), budget)?;
                }
            }
        }
        self.check_legacy_email(cert, budget)
    }

    /// An address in the subject counts where there is none among the alternative names.
    fn check_legacy_email(&self, cert: &Cert, budget: &mut Budget) -> Result<(), PathFault> {
        if cert
            .san()
            .iter()
            .any(|name| matches!(name, SanName::Email(_)))
        {
            return Ok(());
        }
        for attribute in cert.subject().attributes() {
            if attribute.oid != oid::EMAIL_ADDRESS.as_bytes() {
                continue;
            }
            match attribute.text() {
                Some(text) => self.check_name(&Presented::Email(&text), budget)?,
                None => self.check_name(&Presented::Opaque(TAG_EMAIL), budget)?,
            }
        }
        Ok(())
    }

    fn check_name(&self, name: &Presented<'_>, budget: &mut Budget) -> Result<(), PathFault> {
        let mut constrained = false;
        let mut within = false;
        for subtree in self
            .permitted
            .iter()
            .filter(|subtree| same_form(subtree, name))
        {
            budget.spend()?;
            constrained = true;
            let is_in = is_in(subtree, name, Side::Permitted);
            within = within || is_in.ok_or(PathFault::NameNotPermitted)?;
        }
        if constrained && !within {
            return Err(PathFault::NameNotPermitted);
        }
        for subtree in self
            .excluded
            .iter()
            .filter(|subtree| same_form(subtree, name))
        {
            budget.spend()?;
            if is_in(subtree, name, Side::Excluded) != Some(false) {
                return Err(PathFault::NameNotPermitted);
            }
        }
        Ok(())
    }
}

fn read(value: &[u8]) -> Option<NameConstraints<'_>> {
    const WHAT: &str = "nameConstraints";
    let mut reader = Reader::new(value, Rules::Ber);
    let mut lists = reader.sequence(WHAT).ok()?;
    reader.finish(WHAT).ok()?;
    let permitted = lists.optional(tag::context_constructed(0), WHAT).ok()?;
    let excluded = lists.optional(tag::context_constructed(1), WHAT).ok()?;
    lists.finish(WHAT).ok()?;
    // An extension with neither list says nothing and is not allowed (RFC 5280 4.2.1.10).
    if permitted.is_none() && excluded.is_none() {
        return None;
    }
    Some(NameConstraints {
        permitted: permitted.map_or(Some(Vec::new()), read_subtrees)?,
        excluded: excluded.map_or(Some(Vec::new()), read_subtrees)?,
    })
}

fn read_subtrees<'a>(list: Tlv<'a>) -> Option<Vec<Subtree<'a>>> {
    const WHAT: &str = "nameConstraints";
    let mut reader = list.reader();
    let mut subtrees = Vec::new();
    while !reader.is_empty() {
        let mut subtree = reader.sequence(WHAT).ok()?;
        let base = subtree.any(WHAT).ok()?;
        // minimum must be 0 and maximum absent; DER leaves both out
        let minimum = subtree.optional(tag::context(0), WHAT).ok()?;
        if minimum.is_some_and(|minimum| minimum.value != [0]) {
            return None;
        }
        subtree.finish(WHAT).ok()?;
        subtrees.push(read_base(base)?);
    }
    Some(subtrees)
}

fn read_base(base: Tlv<'_>) -> Option<Subtree<'_>> {
    let text = || {
        let text = core::str::from_utf8(base.value).ok()?;
        text.is_ascii().then_some(text)
    };
    Some(match base.tag {
        TAG_DNS => Subtree::Dns(text()?),
        TAG_EMAIL => Subtree::Email(text()?),
        TAG_URI => Subtree::Uri(text()?),
        TAG_IP => {
            let half = base.value.len() / 2;
            let (address, mask) = base.value.split_at_checked(half)?;
            let right_size = matches!(base.value.len(), 8 | 32);
            if !right_size || !is_prefix_mask(mask) {
                return None;
            }
            Subtree::Ip(address, mask)
        }
        TAG_DIRECTORY => {
            let mut reader = base.reader();
            let name = Name::from_tlv(reader.any("name").ok()?).ok()?;
            reader.finish("name").ok()?;
            Subtree::Directory(name)
        }
        tag => Subtree::Opaque(tag),
    })
}

/// Ones, then zeros.
fn is_prefix_mask(mask: &[u8]) -> bool {
    let mut ended = false;
    mask.iter().all(|octet| {
        let right = if ended {
            *octet == 0
        } else {
            octet.leading_ones() + octet.trailing_zeros() >= 8
        };
        ended = ended || *octet != 0xff;
        right
    })
}

/// The directoryName in a GeneralName.
fn directory_name(general_name: &[u8]) -> Option<Name> {
    let mut reader = Reader::new(general_name, Rules::Ber);
    let mut explicit = reader.nested(TAG_DIRECTORY, "name").ok()?;
    Name::from_tlv(explicit.expect(tag::SEQUENCE, "name").ok()?).ok()
}

fn opaque(general_name: &[u8]) -> Presented<'static> {
    Presented::Opaque(general_name.first().copied().unwrap_or(0))
}

/// Whether a subtree speaks about names of this form.
fn same_form(subtree: &Subtree<'_>, name: &Presented<'_>) -> bool {
    let of_subtree = match subtree {
        Subtree::Dns(_) => TAG_DNS,
        Subtree::Email(_) => TAG_EMAIL,
        Subtree::Uri(_) => TAG_URI,
        Subtree::Ip(..) => TAG_IP,
        Subtree::Directory(_) => TAG_DIRECTORY,
        Subtree::Opaque(tag) => *tag,
    };
    let of_name = match name {
        Presented::Dns(_) => TAG_DNS,
        Presented::Email(_) => TAG_EMAIL,
        Presented::Uri(_) => TAG_URI,
        Presented::Ip(_) => TAG_IP,
        Presented::Directory(_) => TAG_DIRECTORY,
        Presented::Opaque(tag) => *tag,
    };
    of_subtree == of_name
}

/// Whether a name is in a subtree of its own form; `None` if that cannot be told, and then the
/// name is refused (RFC 5280 4.2.1.10).
fn is_in(subtree: &Subtree<'_>, name: &Presented<'_>, side: Side) -> Option<bool> {
    match (subtree, name) {
        (Subtree::Dns(base), Presented::Dns(name)) => dns_is_in(base, name, side),
        (Subtree::Email(base), Presented::Email(name)) => email_is_in(base, name),
        (Subtree::Uri(base), Presented::Uri(name)) => uri_is_in(base, name),
        (Subtree::Ip(address, mask), Presented::Ip(name)) => Some(ip_is_in(address, mask, *name)),
        (Subtree::Directory(base), Presented::Directory(name)) => Some(name.is_within(base)),
        _ => None,
    }
}

/// The base itself and everything to its left; an empty base is every name, and one that begins
/// with a dot is what lies below it.
fn dns_is_in(base: &str, name: &str, side: Side) -> Option<bool> {
    let name = name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase();
    if name.is_empty() || name.split('.').any(str::is_empty) {
        return None;
    }
    let base = base.strip_suffix('.').unwrap_or(base).to_ascii_lowercase();
    if host_is_in(&base, &name) {
        return Some(true);
    }
    // `*.example.com` may stand for `a.example.com`
    let covered = name.strip_prefix("*.").is_some_and(|parent| {
        base.split_once('.')
            .is_some_and(|(_, above)| above == parent)
    });
    Some(covered && side == Side::Excluded)
}

fn host_is_in(base: &str, host: &str) -> bool {
    if base.is_empty() || base.starts_with('.') {
        return host.ends_with(base);
    }
    host.strip_suffix(base)
        .is_some_and(|left| left.is_empty() || left.ends_with('.'))
}

/// One mailbox, all of one host, or (with a leading dot) all of the hosts in a domain.
fn email_is_in(base: &str, name: &str) -> Option<bool> {
    let (local, host) = name.rsplit_once('@')?;
    if local.is_empty() || host.is_empty() {
        return None;
    }
    if let Some((base_local, base_host)) = base.rsplit_once('@') {
        return Some(base_local == local && base_host.eq_ignore_ascii_case(host));
    }
    Some(exact_or_below(base, host))
}

/// One host, or (with a leading dot) all hosts in a domain. A URI without a host name cannot be
/// judged.
fn uri_is_in(base: &str, name: &str) -> Option<bool> {
    let (_, rest) = name.split_once("://")?;
    let authority = rest.split(['/', '?', '#']).next()?;
    let host = authority
        .rsplit_once('@')
        .map_or(authority, |(_, host)| host);
    let host = host.split_once(':').map_or(host, |(host, _)| host);
    let is_address = host.starts_with('[') || host.parse::<IpAddr>().is_ok();
    if host.is_empty() || is_address {
        return None;
    }
    let host = host.strip_suffix('.').unwrap_or(host);
    Some(exact_or_below(base, host))
}

fn exact_or_below(base: &str, host: &str) -> bool {
    let base = base.to_ascii_lowercase();
    let host = host.to_ascii_lowercase();
    if base.is_empty() || base.starts_with('.') {
        host.ends_with(&base)
    } else {
        host == base
    }
}

fn ip_is_in(address: &[u8], mask: &[u8], name: IpAddr) -> bool {
    let within = |octets: &[u8]| {
        octets.len() == address.len()
            && octets
                .iter()
                .zip(address)
                .zip(mask)
                .all(|((octet, base), mask)| octet & mask == base & mask)
    };
    match name {
        IpAddr::V4(name) => within(&name.octets()),
        IpAddr::V6(name) => within(&name.octets()),
    }
}
