//! Holds a document that is to be put in force against the house it is for.

use std::sync::Arc;

use crate::issuer::{Issuer, IssuerKind, IssuerState};
use crate::policy::Policy;
use crate::policy::document::{Mistake, Written};
use crate::policy::shape::signers;
use crate::profile::{Profile, ProfileKind, RevocationPath};
use crate::rollover::{line_of, line_of_name};

/// The operations of EST, which name a part of its paths.
const EST_OPERATIONS: [&str; 6] = [
    "cacerts",
    "simpleenroll",
    "simplereenroll",
    "fullcmc",
    "serverkeygen",
    "csrattrs",
];

/// Everything that does not fit. What the policy in force says of a profile already may be said again,
/// so that an old misfit keeps nobody from another change.
pub(super) fn check(
    written: &Written,
    issuers: &[Arc<Issuer>],
    in_force: Option<&Policy>,
) -> Vec<Mistake> {
    let mut mistakes = Vec::new();
    for found in &written.profiles {
        let new = &found.value;
        let known = in_force.and_then(|policy| policy.profiles.get(&new.name));
        let known = known.filter(|old| old.kind == new.kind);
        let stands = known.is_some();
        let same_issuer = known.is_some_and(|old| old.issuer == new.issuer);
        let same_path = known.is_some_and(|old| old.revocation == new.revocation);
        let misfits = [
            ("name", stands, name_misfit(new)),
            ("issuer", same_issuer, issuer_misfit(new, issuers)),
            (
                "revocation",
                same_issuer && same_path,
                revocation_misfit(new, issuers),
            ),
        ];
        for (field, stands, what) in misfits {
            mistakes.extend(what.filter(|_| !stands).map(|what| Mistake {
                line: found.line,
                table: format!("[[profile]] {}", new.name),
                field: Some(field.to_owned()),
                what,
            }));
        }
    }
    mistakes
}

/// A profile's name is the label of an EST path, which is not the name of an operation there (RFC 7030
/// section 3.2.2).
fn name_misfit(profile: &Profile) -> Option<String> {
    let name = profile.name.as_str();
    EST_OPERATIONS.contains(&name).then(|| {
        format!("{name} is an operation of EST, and no device could ask for it by that label; use another name")
    })
}

/// The issuers that can sign a profile, now or later, whichever it names.
fn able<'a>(profile: &Profile, issuers: &'a [Arc<Issuer>]) -> Vec<&'a Arc<Issuer>> {
    let kinds = signers(profile.kind);
    issuers
        .iter()
        .filter(|issuer| kinds.contains(&issuer.kind) && issuer.state != IssuerState::Removed)
        .collect()
}

/// An issuer of identities for life has no responder, and what it signs would name one without end.
fn revocation_misfit(profile: &Profile, issuers: &[Arc<Issuer>]) -> Option<String> {
    let asks_ocsp = profile.revocation.contains(&RevocationPath::Ocsp);
    if profile.kind != ProfileKind::IDevId || !asks_ocsp {
        return None;
    }
    let line = profile
        .issuer
        .as_ref()
        .map(|name| line_of_name(issuers, name));
    let signs = |issuer: &&Arc<Issuer>| {
        issuer.kind == IssuerKind::IDevId
            && line.is_none_or(|line| line == Some(line_of(issuers, issuer)))
    };
    let able = able(profile, issuers);
    let found = able.into_iter().find(signs)?;
    Some(format!(
        "issuer {} signs identities for life and has no OCSP responder; say [\"crl\"]",
        found.name
    ))
}

/// Why the issuer that a profile names can sign nothing of it, now or later. A name stands for its whole
/// line, so one that was removed still serves while another follows it.
fn issuer_misfit(profile: &Profile, issuers: &[Arc<Issuer>]) -> Option<String> {
    let name = profile.issuer.as_ref()?;
    let able = able(profile, issuers);
    let line = line_of_name(issuers, name);
    if able
        .iter()
        .any(|issuer| Some(line_of(issuers, issuer)) == line)
    {
        return None;
    }
    let why = match issuers.iter().find(|issuer| issuer.name == *name) {
        None => format!("there is no issuer {:?}", name.as_str()),
        Some(issuer) if issuer.state == IssuerState::Removed => {
            format!("issuer {name} is removed and none follows it")
        }
        Some(issuer) => format!(
            "issuer {name} is of kind {} and signs nothing of kind {}",
            issuer.kind, profile.kind
        ),
    };
    let names: Vec<_> = able.iter().map(|issuer| issuer.name.as_str()).collect();
    let mend = format!("use one of: {}; or leave it out", names.join(", "));
    Some(format!("{why}; {mend}"))
}
