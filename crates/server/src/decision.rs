//! Decisions for whoever asks: who they are, what they may ask about, and what was shown to them. The
//! API and the adapters bring their own bytes; what is the same for all of them is here.

use std::net::IpAddr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use tenure_domain::decision::{Access, Ground, Question};
use tenure_domain::ids::{DeviceId, Slug, Title};
use tenure_domain::operator::{Actor, Permission, Role};
use tenure_domain::relying_party::RelyingParty;
use tenure_engine::store::relying_party;
use tenure_engine::{DecideAsk, Decided, Identity, Observation};
use tenure_x509::{Cert, Serial};

use crate::api::{Caller, Desk};
use crate::limits::CERTIFICATE_TEXT_BYTES_MAX;
use crate::problem::Problem;

/// What an asker says of one who knocks. Empty fields count as left out.
#[derive(Clone, Debug, Default)]
pub struct Knock {
    /// The device's name, if it was not the certificate that told it.
    pub device: Option<String>,
    /// The certificate: PEM, PEM with percent signs (as nginx and Envoy hand it on) or base64 DER.
    pub certificate: Option<String>,
    /// The certificate's serial, hex.
    pub serial: Option<String>,
    /// The issuer's short name, where two used the same serial.
    pub issuer: Option<String>,
    /// The SHA-256 of the certificate's DER, hex; alone, or with a serial.
    pub fingerprint: Option<String>,
    /// The service that it wants to reach.
    pub service: Option<String>,
    /// The site at which it must stand.
    pub site: Option<String>,
    /// The address that it comes from.
    pub source: Option<String>,
}

/// Decides for a caller. A relying party may ask about its own services only, and the service need
/// not be named if it has one. What it saw in use is noted.
///
/// # Errors
/// What was said cannot be read, the caller may not ask this, or the store failed.
pub fn decide(desk: &Desk, caller: &Caller, knock: &Knock) -> Result<Decided, Problem> {
    caller.role.may(Permission::Decide).map_err(Problem::from)?;
    let party = match caller.role {
        Role::RelyingParty => Some(party_of(desk, caller)?),
        Role::Admin | Role::Operator | Role::Auditor | Role::Reader | Role::Verifier => None,
    };
    let mut question = Question {
        device: word::<DeviceId>("device", knock.device.as_deref())?,
        party: party.as_ref().map(|party| party.name.clone()),
        service: word::<Title>("service", knock.service.as_deref())?,
        site: word::<Title>("site", knock.site.as_deref())?,
        source: word::<IpAddr>("source", knock.source.as_deref())?,
    };
    if let Some(party) = &party {
        question.service = Some(service_of(party, question.service)?);
    }
    let ask = DecideAsk {
        identity: identity(knock)?,
        question,
    };
    let decided = desk.engine().decide(&ask)?;
    if let (Some(party), Some(service)) = (party, ask.question.service) {
        note_use(desk, &party, service, &decided);
    }
    Ok(decided)
}

/// The relying party that a token speaks for.
fn party_of(desk: &Desk, caller: &Caller) -> Result<RelyingParty, Problem> {
    let tenant = desk.engine().tenant();
    let known = desk.peek(|tx| relying_party::by_name(tx, tenant, &caller.name))?;
    let known = known.ok_or_else(|| {
        Problem::forbidden(format!(
            "A token of role relying-party asks for the relying party of its own name, and there is \
             no relying party {}; add it, or hand out a token with the right name.",
            caller.name
        ))
    })?;
    Ok(known.party)
}

pub(crate) fn service_of(party: &RelyingParty, named: Option<Title>) -> Result<Title, Problem> {
    match (named, party.services.as_slice()) {
        (Some(service), own) if own.contains(&service) => Ok(service),
        (Some(service), _) => Err(Problem::forbidden(format!(
            "{} is registered for other services than {service}; edit the relying party if this is one \
             of its own.",
            party.name
        ))),
        (None, [only]) => Ok(only.clone()),
        (None, []) => Err(Problem::forbidden(format!(
            "{} is registered for no service, so there is nothing it could let anyone into.",
            party.name
        ))),
        (None, _) => Err(Problem::bad_request(format!(
            "service: say which one; {} has several",
            party.name
        ))),
    }
}

/// A relying party that lets a certificate in has seen it in use; and one that is shown a certificate
/// that its device had given up has seen a copy.
fn note_use(desk: &Desk, party: &RelyingParty, service: Title, decided: &Decided) {
    let verdict = &decided.verdict;
    let counts =
        verdict.access == Access::Allow || verdict.grounds.contains(&Ground::CertificateAbandoned);
    let Some((issuer, serial)) = decided.unseen.clone().filter(|_| counts) else {
        return;
    };
    let engine = desk.engine().clone();
    let seen = Observation::InUse {
        actor: Actor::system(&format!("decision for {}", party.name)),
        issuer: Some(issuer),
        serial,
        service,
        at: verdict.decided,
    };
    // The answer does not wait: what is lost is noted the next time.
    tokio::spawn(async move {
        if let Err(error) = engine.observe(seen).await {
            tracing::warn!(%error, "a certificate's first use could not be noted");
        }
    });
}

fn given(text: Option<&str>) -> Option<&str> {
    text.map(str::trim).filter(|text| !text.is_empty())
}

fn word<T: std::str::FromStr<Err: std::fmt::Display>>(
    field: &str,
    text: Option<&str>,
) -> Result<Option<T>, Problem> {
    let parse = |text: &str| {
        text.parse()
            .map_err(|error| Problem::bad_request(format!("{field}: {error}")))
    };
    given(text).map(parse).transpose()
}

fn identity(knock: &Knock) -> Result<Identity, Problem> {
    let serial = given(knock.serial.as_deref());
    let fingerprint = given(knock.fingerprint.as_deref());
    if let Some(text) = given(knock.certificate.as_deref()) {
        if serial.is_some() || fingerprint.is_some() {
            let what = "certificate: it says its serial and fingerprint itself; leave those out";
            return Err(Problem::bad_request(what));
        }
        return Ok(Identity::Certificate(certificate(text)?));
    }
    let fingerprint = fingerprint.map(read_fingerprint).transpose()?;
    let Some(serial) = serial else {
        return match fingerprint {
            None => Ok(Identity::Named),
            Some(fingerprint) => Ok(Identity::Fingerprint(fingerprint)),
        };
    };
    let serial = Serial::parse_number(serial)
        .map_err(|_| Problem::bad_request(format!("serial: {serial:?} is not hex")))?;
    Ok(Identity::Serial {
        issuer: word::<Slug>("issuer", knock.issuer.as_deref())?,
        serial,
        fingerprint,
    })
}

fn read_fingerprint(text: &str) -> Result<[u8; 32], Problem> {
    let plain: String = text.chars().filter(|c| *c != ':').collect();
    tenure_domain::text::hex32(&plain.to_ascii_lowercase()).ok_or_else(|| {
        Problem::bad_request("fingerprint: write the SHA-256 of the certificate as 64 hex digits")
    })
}

/// The first certificate in a text: PEM, perhaps with percent signs, or base64 DER.
///
/// # Errors
/// It is none of these.
pub fn certificate(text: &str) -> Result<Cert, Problem> {
    let bad = || {
        Problem::bad_request(
            "certificate: send it as PEM, as PEM with percent signs, or as base64 of its DER",
        )
    };
    if text.len() > CERTIFICATE_TEXT_BYTES_MAX {
        return Err(bad());
    }
    let text = unescaped(text).ok_or_else(bad)?;
    let cert = if text.contains("-----BEGIN") {
        let found = tenure_x509::pem_certificates(&text).map_err(|_| bad())?;
        found.into_iter().next()
    } else {
        let plain: String = text.split_ascii_whitespace().collect();
        let der = STANDARD.decode(plain).map_err(|_| bad())?;
        Cert::from_der(&der).ok()
    };
    cert.ok_or_else(bad)
}

/// Percent signs and what follows them as the bytes that they stand for (RFC 3986 section 2.1). A plus
/// is a plus, as base64 wants it.
fn unescaped(text: &str) -> Option<String> {
    if !text.contains('%') {
        return Some(text.to_owned());
    }
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((first, after)) = rest.split_first() {
        rest = after;
        if *first != b'%' {
            bytes.push(*first);
            continue;
        }
        let digits = std::str::from_utf8(after.get(..2)?).ok()?;
        if !digits.bytes().all(|b| b.is_ascii_hexdigit()) {
            return None;
        }
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        rest = after.get(2..)?;
    }
    String::from_utf8(bytes).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_certificate_is_read_as_everyone_sends_it() {
        let pem = include_str!("../../tests/fixtures/schema-1/root.pem");
        let cert = tenure_x509::pem_certificates(pem).unwrap().remove(0);
        let escaped: String = pem
            .bytes()
            .map(|b| match b.is_ascii_alphanumeric() {
                true => char::from(b).to_string(),
                false => format!("%{b:02X}"),
            })
            .collect();
        for text in [pem.to_owned(), escaped, STANDARD.encode(cert.der())] {
            assert_eq!(certificate(&text).unwrap().der(), cert.der());
        }
        for bad in ["", "%", "%2", "%zz", "%+1", "%ff", "x", "-----BEGIN"] {
            assert!(certificate(bad).is_err(), "{bad:?} was taken");
        }
    }
}
