//! The issuer, the dates and the names of a certificate that a rule allows.

use tenure_x509::{Name, SanName, SignatureAlgorithm, Time, Validity};

use crate::facts::{Facts, Subject};
use crate::ids::IssuerNo;
use crate::issuer::{Issuer, IssuerKind};
use crate::policy::decide::{Proof, Question, no};
use crate::policy::{Decision, GrantIssuer};
use crate::profile::{Life, Profile, ProfileKind};
use crate::refusal::Refusal;
use crate::rollover::{line_of, line_of_name};

/// Who signs: an issuer of the right kind that may sign such a profile. A rollover stays within the
/// line of an issuer and those made to follow it: a profile that names one gets the newest of its
/// line, and one that names none the newest of the house's oldest line. Our own acts get the issuer
/// they name and no other.
pub(super) fn issuer(
    question: &Question<'_>,
    facts: &Facts,
    profile: &Profile,
) -> Result<GrantIssuer, Decision> {
    if profile.kind == ProfileKind::RootCa {
        return itself(question, facts);
    }
    let wanted = signers(profile.kind);
    let asked = match question.proof {
        Proof::System(ceremony) => ceremony.issuer(),
        Proof::Manufacturer | Proof::Current { .. } | Proof::Secret { .. } => None,
    };
    let issuers = &facts.issuers;
    let line = profile
        .issuer
        .as_ref()
        .map(|name| line_of_name(issuers, name));
    let is_wanted = |issuer: &Issuer| match (asked, line) {
        (Some(name), _) => issuer.name == *name,
        (None, Some(line)) => line == Some(line_of(issuers, issuer)),
        (None, None) => true,
    };
    // A certificate without an end needs an issuer without one.
    let lasts = |issuer: &Issuer| {
        profile.life != Life::Forever || issuer.certificate.validity().not_after == Time::NEVER
    };
    let of_kind = |kind: IssuerKind| {
        let found = issuers.iter();
        found.filter(move |issuer| issuer.kind == kind && is_wanted(issuer))
    };
    let newest = |kind: &IssuerKind| {
        let of_kind = || of_kind(*kind).filter(|issuer| lasts(issuer));
        // Never another line because the first one stands still: that would be another trust domain.
        let first = match (asked, line) {
            (None, None) => of_kind().map(|issuer| line_of(issuers, issuer)).min(),
            (Some(_), _) | (None, Some(_)) => None,
        };
        of_kind()
            .filter(|issuer| first.is_none_or(|first| line_of(issuers, issuer) == first))
            .filter(|issuer| issuer.state.signs(profile.kind))
            .max_by_key(|issuer| issuer.no)
    };
    let found = wanted.iter().find_map(newest);
    found.cloned().map(GrantIssuer::Ours).ok_or_else(|| {
        let what = match wanted.iter().find_map(|kind| of_kind(*kind).next()) {
            Some(issuer) if !lasts(issuer) => format!(
                "certificates of profile {} never end, but issuer {} ends on {}; make an issuer \
                 that never ends (`tenure issuer add --kind idevid`), or give the profile a life",
                profile.name,
                issuer.name,
                issuer.certificate.validity().not_after
            ),
            Some(issuer) => format!(
                "issuer {} is {} and signs nothing of profile {}; `tenure issuer rollover status \
                 {}` says what comes next",
                issuer.name, issuer.state, profile.name, issuer.name
            ),
            None => format!("profile {} has no issuer to sign it", profile.name),
        };
        no(Refusal::Incomplete { what })
    })
}

/// The kinds of issuer that may sign a kind of profile, the one to be preferred first. None for a root,
/// which signs itself.
pub(super) fn signers(kind: ProfileKind) -> &'static [IssuerKind] {
    match kind {
        ProfileKind::RootCa => &[],
        ProfileKind::IssuingCa | ProfileKind::CrossCa => &[IssuerKind::Root],
        ProfileKind::IDevId => &[IssuerKind::IDevId, IssuerKind::Issuing],
        ProfileKind::LDevId
        | ProfileKind::Server
        | ProfileKind::OcspSigner
        | ProfileKind::Canary => &[IssuerKind::Issuing],
    }
}

/// A root signs itself. It is only ever made in a ceremony, and its subject's name is its short
/// name.
fn itself(question: &Question<'_>, facts: &Facts) -> Result<GrantIssuer, Decision> {
    let algorithm = question
        .key
        .map_or(SignatureAlgorithm::Other, |key| key.default_signature());
    if algorithm == SignatureAlgorithm::Other {
        let what = "it cannot sign certificates".to_owned();
        return Err(no(Refusal::KeyRejected { what }));
    }
    let name = match question.proof {
        Proof::System(ceremony) => ceremony.device().as_str().parse().ok(),
        Proof::Manufacturer | Proof::Current { .. } | Proof::Secret { .. } => None,
    };
    let name = name.ok_or_else(|| {
        no(Refusal::Incomplete {
            what: "a root needs a short name".to_owned(),
        })
    })?;
    let last = facts.issuers.iter().map(|issuer| issuer.no.0).max();
    Ok(GrantIssuer::Itself {
        no: IssuerNo(last.unwrap_or(0) + 1),
        name,
        algorithm,
    })
}

/// The certificate's life, never longer than its issuer's.
pub(super) fn validity(
    profile: &Profile,
    issuer: &GrantIssuer,
    now: Time,
) -> Result<Validity, Decision> {
    let not_before = now.plus(-profile.backdate_s);
    let wanted = match profile.life {
        Life::Forever => Time::NEVER,
        // Validity is inclusive at both ends (RFC 5280 section 4.1.2.5).
        Life::Seconds(seconds) => now.plus(seconds.saturating_sub(1)),
    };
    let Some(ours) = (match issuer {
        GrantIssuer::Ours(issuer) => Some(issuer.certificate.validity()),
        GrantIssuer::Itself { .. } => None,
    }) else {
        return Ok(Validity {
            not_before,
            not_after: wanted,
        });
    };
    if !ours.contains(now) {
        return Err(no(Refusal::Incomplete {
            what: format!("issuer {} is not valid now; make a new one", issuer.name()),
        }));
    }
    Ok(Validity {
        not_before: not_before.max(ours.not_before),
        not_after: wanted.min(ours.not_after),
    })
}

/// The names, from the registry alone; those of a cross-certificate are the certified root's own, octet
/// for octet, or no path would lead through it.
pub(super) fn names(
    question: &Question<'_>,
    facts: &Facts,
    profile: &Profile,
    subject: &Subject,
) -> Result<(Name, Vec<SanName>), Decision> {
    if profile.kind == ProfileKind::CrossCa {
        return certified_root(question, facts);
    }
    profile.names(&subject.device).map_err(|error| {
        let what = format!(
            "the names for profile {} cannot be computed: {error}",
            profile.name
        );
        no(Refusal::Incomplete { what })
    })
}

fn certified_root(
    question: &Question<'_>,
    facts: &Facts,
) -> Result<(Name, Vec<SanName>), Decision> {
    let key = question.csr.map(|csr| csr.public_key().hash());
    let mut roots = facts.issuers.iter();
    let root = roots
        .find(|issuer| issuer.kind == IssuerKind::Root && Some(issuer.public_key().hash()) == key);
    let root = root.ok_or_else(|| {
        let what = "a cross-certificate is for a root of this house and nobody else".to_owned();
        no(Refusal::KeyRejected { what })
    })?;
    Ok((root.subject().clone(), Vec::new()))
}
