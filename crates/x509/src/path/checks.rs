//! The checks of one certificate on a path, and of a whole path.

use super::constraints::{Budget, NameConstraints};
use super::{PathError, PathFault, Purpose, Role};
use crate::extension::Criticality;
use crate::{Cert, Error, Flaw, KeyUsage, ObjectIdentifier, Time, oid};

/// The extensions that we process or that change nothing for us. Policies without a requirement
/// for one are of the latter kind (RFC 5280 6.1.1: any policy will do).
const UNDERSTOOD: [ObjectIdentifier; 14] = [
    oid::BASIC_CONSTRAINTS,
    oid::KEY_USAGE,
    oid::EXT_KEY_USAGE,
    oid::SUBJECT_ALT_NAME,
    oid::NAME_CONSTRAINTS,
    oid::SUBJECT_KEY_ID,
    oid::AUTHORITY_KEY_ID,
    oid::CRL_DISTRIBUTION_POINTS,
    oid::AUTHORITY_INFO_ACCESS,
    oid::CERTIFICATE_POLICIES,
    oid::POLICY_MAPPINGS,
    oid::INHIBIT_ANY_POLICY,
    oid::NO_REV_AVAIL,
    oid::OCSP_NOCHECK,
];

/// Whether a certificate may stand at the beginning of a path.
pub(super) fn leaf(cert: &Cert, purpose: Purpose, at: Time) -> Result<(), PathFault> {
    meaning(cert)?;
    validity(cert, at)?;
    if let Some(extension) = cert.extension(&oid::NAME_CONSTRAINTS) {
        NameConstraints::read(extension.value)?; // applied to nothing here, but not overlooked
    }
    match purpose {
        Purpose::Issuing if !cert.is_ca() => return Err(PathFault::NotCa),
        Purpose::Issuing | Purpose::Any => {}
        _ if cert.is_ca() => return Err(PathFault::IsCa),
        _ => {}
    }
    if let Some(usage) = cert.key_usage() {
        let any_of = match purpose {
            Purpose::ClientAuth => KeyUsage::DIGITAL_SIGNATURE,
            Purpose::ServerAuth => {
                KeyUsage::DIGITAL_SIGNATURE | KeyUsage::KEY_ENCIPHERMENT | KeyUsage::KEY_AGREEMENT
            }
            Purpose::OcspSigning => KeyUsage::DIGITAL_SIGNATURE | KeyUsage::NON_REPUDIATION,
            Purpose::Issuing => KeyUsage::KEY_CERT_SIGN,
            Purpose::Any => usage,
        };
        if !usage.intersects(any_of) {
            return Err(PathFault::WrongKeyUsage);
        }
    }
    match (purpose, cert.ext_key_usage()) {
        // A delegated responder must be named as one (RFC 6960 4.2.2.2).
        (Purpose::OcspSigning, None) => Err(PathFault::WrongPurpose),
        (_, purposes) => serves(purposes, purpose),
    }
}

/// Whether a certificate may stand above another on a path.
pub(super) fn issuer(cert: &Cert, role: Role, purpose: Purpose, at: Time) -> Result<(), PathFault> {
    // Old roots are version 1 and cannot say that they are a CA's; trusting them says it.
    let old_root = role == Role::Anchor && cert.flaws().contains(&Flaw::NotVersion3);
    if !old_root {
        meaning(cert)?;
        if !cert.is_ca() {
            return Err(PathFault::NotCa);
        }
    }
    validity(cert, at)?;
    let may_sign = cert
        .key_usage()
        .is_none_or(|usage| usage.contains(KeyUsage::KEY_CERT_SIGN));
    if !may_sign {
        return Err(PathFault::WrongKeyUsage);
    }
    serves(cert.ext_key_usage(), purpose)
}

/// Whether `issuer`'s key made `subject`'s signature.
pub(super) fn signature(subject: &Cert, issuer: &Cert) -> Result<(), PathFault> {
    match subject.verify_signed_by(issuer.public_key()) {
        Ok(()) => Ok(()),
        Err(Error::Inconsistent { .. }) => Err(PathFault::BadSignature),
        Err(_) => Err(PathFault::WeakOrUnknownAlgorithm),
    }
}

/// Path lengths and name constraints of a complete path, leaf first and anchor last.
pub(super) fn whole(path: &[Cert]) -> Result<(), PathError> {
    let mut budget = Budget::new();
    for (depth, ca) in path.iter().enumerate().skip(1) {
        let below = path.get(..depth).unwrap_or(&[]);
        let counted = below
            .iter()
            .skip(1)
            .filter(|cert| !is_self_issued(cert))
            .count();
        let allowed = ca.path_len().and_then(|limit| usize::try_from(limit).ok());
        if allowed.is_some_and(|allowed| counted > allowed) {
            return Err(PathFault::PathLengthExceeded.at(depth));
        }
        let Some(extension) = ca.extension(&oid::NAME_CONSTRAINTS) else {
            continue;
        };
        let constraints =
            NameConstraints::read(extension.value).map_err(|fault| fault.at(depth))?;
        for (depth_below, cert) in below.iter().enumerate() {
            // Self-issued CAs are exempt, the leaf never is (RFC 5280 6.1.3 (b)).
            if depth_below > 0 && is_self_issued(cert) {
                continue;
            }
            constraints
                .check(cert, &mut budget)
                .map_err(|fault| fault.at(depth_below))?;
        }
    }
    Ok(())
}

/// Whether a CA certified itself under another key; such a certificate counts for nothing in a path.
fn is_self_issued(cert: &Cert) -> bool {
    cert.subject().is_same(cert.issuer())
}

/// Whether it is clear what a certificate says, and its own algorithms can be relied on.
fn meaning(cert: &Cert) -> Result<(), PathFault> {
    for flaw in cert.flaws() {
        match flaw {
            Flaw::WeakKey | Flaw::UnknownKey => return Err(PathFault::WeakOrUnknownAlgorithm),
            Flaw::NotVersion3
            | Flaw::TwoSignatureAlgorithms
            | Flaw::EmptyIssuer
            | Flaw::NoSubjectAtAll
            | Flaw::RepeatedExtension(_)
            | Flaw::UnreadableExtension(_)
            | Flaw::EmptyExtension(_) => return Err(PathFault::Flawed(*flaw)),
            // The algorithm is judged with the signature; an anchor's own is not looked at.
            Flaw::WeakSignature
            | Flaw::NotDer
            | Flaw::SerialNotPositive
            | Flaw::SerialTooLong
            | Flaw::EndsBeforeItBegins
            | Flaw::TimeForm
            | Flaw::UniqueIds
            | Flaw::NoAuthorityKeyId
            | Flaw::NoSubjectKeyId => {}
        }
    }
    for extension in cert.extensions() {
        if extension.oid == oid::POLICY_CONSTRAINTS {
            return Err(PathFault::PolicyRequired);
        }
        let understood = UNDERSTOOD.contains(&extension.oid);
        if extension.critical == Criticality::Critical && !understood {
            return Err(PathFault::UnknownCriticalExtension(extension.oid));
        }
    }
    Ok(())
}

fn validity(cert: &Cert, at: Time) -> Result<(), PathFault> {
    let validity = cert.validity();
    if at < validity.not_before {
        Err(PathFault::NotYetValid)
    } else if at > validity.not_after {
        Err(PathFault::Expired)
    } else {
        Ok(())
    }
}

/// Whether purposes include the one asked for. No extKeyUsage is no restriction; the wildcard
/// purpose serves all but OCSP signing, which must be meant.
fn serves(purposes: Option<&[ObjectIdentifier]>, purpose: Purpose) -> Result<(), PathFault> {
    let (Some(purposes), Some(wanted)) = (purposes, purpose.oid()) else {
        return Ok(());
    };
    let wildcard = purpose != Purpose::OcspSigning && purposes.contains(&oid::ANY_EXT_KEY_USAGE);
    if purposes.contains(&wanted) || wildcard {
        Ok(())
    } else {
        Err(PathFault::WrongPurpose)
    }
}
