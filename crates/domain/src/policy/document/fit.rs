//! Holds a document that is to be put in force against the house it is for.

use std::sync::Arc;

use crate::issuer::{Issuer, IssuerState};
use crate::policy::Policy;
use crate::policy::document::{Mistake, Written};
use crate::policy::shape::signers;
use crate::profile::Profile;
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
    let stands = |new: &Profile| {
        let mut old = in_force
            .into_iter()
            .flat_map(|policy| policy.profiles.values());
        old.any(|old| (&old.name, old.kind, &old.issuer) == (&new.name, new.kind, &new.issuer))
    };
    let mut mistakes = Vec::new();
    for found in &written.profiles {
        if stands(&found.value) {
            continue;
        }
        let misfits = [
            ("name", name_misfit(&found.value)),
            ("issuer", issuer_misfit(&found.value, issuers)),
        ];
        for (field, what) in misfits {
            mistakes.extend(what.map(|what| Mistake {
                line: found.line,
                table: format!("[[profile]] {}", found.value.name),
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

/// Why the issuer that a profile names can sign nothing of it, now or later. A name stands for its whole
/// line, so one that was removed still serves while another follows it.
fn issuer_misfit(profile: &Profile, issuers: &[Arc<Issuer>]) -> Option<String> {
    let name = profile.issuer.as_ref()?;
    let kinds = signers(profile.kind);
    let able: Vec<_> = issuers
        .iter()
        .filter(|issuer| kinds.contains(&issuer.kind) && issuer.state != IssuerState::Removed)
        .collect();
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
