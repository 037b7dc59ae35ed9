//! Path building and validation (RFC 5280 6.1): from a leaf to a key that we trust already.
//!
//! Signatures, names, validity, basic constraints, path length, key usage, purposes and name
//! constraints are checked; unknown critical extensions end a path. Policies are not processed:
//! a path that requires an explicit policy is refused. Revocation is not looked at; that is the
//! caller's next question.

mod checks;
mod constraints;
mod fault;

pub use self::fault::{PathError, PathFault};
use crate::{Cert, ObjectIdentifier, Time, oid};

/// The most CA certificates between leaf and anchor.
pub const INTERMEDIATES_MAX: usize = 8;
/// The most certificates that one may offer as intermediates.
pub const OFFERED_MAX: usize = 32;
/// The most signatures checked for one answer.
const SIGNATURE_CHECKS_MAX: usize = 48;

/// What the leaf's key shall be used for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Purpose {
    /// Being a TLS client.
    ClientAuth,
    /// Being a TLS server.
    ServerAuth,
    /// Signing OCSP responses for its issuer.
    OcspSigning,
    /// Issuing certificates: the leaf is a CA's.
    Issuing,
    /// Nothing in particular.
    Any,
}

impl Purpose {
    const fn oid(self) -> Option<ObjectIdentifier> {
        match self {
            Self::ClientAuth => Some(oid::CLIENT_AUTH),
            Self::ServerAuth => Some(oid::SERVER_AUTH),
            Self::OcspSigning => Some(oid::OCSP_SIGNING),
            Self::Issuing | Self::Any => None,
        }
    }
}

/// A path that was found valid; only [`validate`] makes one.
#[derive(Clone, Debug)]
pub struct VerifiedChain {
    /// Leaf first, anchor last: at least two.
    chain: Vec<Cert>,
    purpose: Purpose,
    at: Time,
}

impl VerifiedChain {
    /// The certificate that was validated.
    #[must_use]
    pub fn leaf(&self) -> &Cert {
        &self.chain[0] // a chain has a leaf and an anchor
    }

    /// The trusted certificate it leads to.
    #[must_use]
    pub fn anchor(&self) -> &Cert {
        &self.chain[self.chain.len() - 1] // a chain has a leaf and an anchor
    }

    /// The whole path, leaf first and anchor last.
    #[must_use]
    pub fn chain(&self) -> &[Cert] {
        &self.chain
    }

    /// The certificate that issued the leaf.
    #[must_use]
    pub fn issuer(&self) -> &Cert {
        &self.chain[1] // a chain has a leaf and an anchor
    }

    /// For which purpose it was validated.
    #[must_use]
    pub fn purpose(&self) -> Purpose {
        self.purpose
    }

    /// At which time it was validated.
    #[must_use]
    pub fn at(&self) -> Time {
        self.at
    }
}

/// Finds a valid path from `leaf` over some of `intermediates` to one of `anchors`.
///
/// `at` is the moment for which validity is asked, of the anchor too: now, or for identities from
/// birth whose issuers may have expired since, the leaf's notBefore. An anchor is trusted for its
/// name and key; it need not be self-signed, and its own constraints are kept.
///
/// # Errors
/// The most telling reason why no path is valid.
pub fn validate(
    leaf: &Cert,
    intermediates: &[Cert],
    anchors: &[Cert],
    at: Time,
    purpose: Purpose,
) -> Result<VerifiedChain, PathError> {
    if intermediates.len() > OFFERED_MAX {
        return Err(PathFault::TooManyOffered.at(0));
    }
    checks::leaf(leaf, purpose, at).map_err(|fault| fault.at(0))?;
    let mut search = Search {
        intermediates,
        anchors,
        purpose,
        at,
        checks_left: SIGNATURE_CHECKS_MAX,
        worst: PathFault::UnknownIssuer.at(0),
    };
    let mut path = vec![leaf.clone()];
    if search.extend(&mut path) {
        return Ok(VerifiedChain {
            chain: path,
            purpose,
            at,
        });
    }
    Err(search.worst)
}

struct Search<'a> {
    intermediates: &'a [Cert],
    anchors: &'a [Cert],
    purpose: Purpose,
    at: Time,
    checks_left: usize,
    /// The reason to report if nothing is found: the one that got furthest.
    worst: PathError,
}

impl Search<'_> {
    /// Depth first: tries to complete a path whose last certificate is not an anchor. On success
    /// the path ends with an anchor; otherwise it is as it was.
    fn extend(&mut self, path: &mut Vec<Cert>) -> bool {
        let Some(last) = path.last().cloned() else {
            return false;
        };
        for anchor in by_likelihood(self.anchors, &last) {
            if self.step(&last, anchor, path.len(), Role::Anchor) {
                path.push(anchor.clone());
                match checks::whole(path) {
                    Ok(()) => return true,
                    Err(error) => self.note(error),
                }
                path.pop();
            }
        }
        if path.len() > INTERMEDIATES_MAX {
            self.note(PathFault::TooLong.at(path.len() - 1));
            return false;
        }
        for candidate in by_likelihood(self.intermediates, &last) {
            if on_path(path, candidate) {
                continue;
            }
            if self.step(&last, candidate, path.len(), Role::Intermediate) {
                path.push(candidate.clone());
                if self.extend(path) {
                    return true;
                }
                path.pop();
            }
        }
        false
    }

    /// Whether `issuer`, which would stand at `depth`, may have issued `subject` and did.
    fn step(&mut self, subject: &Cert, issuer: &Cert, depth: usize, role: Role) -> bool {
        if let Err(fault) = checks::issuer(issuer, role, self.purpose, self.at) {
            self.note(fault.at(depth));
            return false;
        }
        if self.checks_left == 0 {
            self.note(PathFault::TooManySignatures.at(depth));
            return false;
        }
        self.checks_left -= 1;
        match checks::signature(subject, issuer) {
            Ok(()) => true,
            Err(fault) => {
                self.note(fault.at(depth - 1));
                false
            }
        }
    }

    fn note(&mut self, error: PathError) {
        if error.rank() > self.worst.rank() {
            self.worst = error;
        }
    }
}

/// Where in a path a CA stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Role {
    Intermediate,
    Anchor,
}

/// Those of `pool` that carry the name of `subject`'s issuer; first those whose key identifier
/// fits too (a hint and no more: RFC 5280 4.2.1.1).
fn by_likelihood<'a>(pool: &'a [Cert], subject: &Cert) -> Vec<&'a Cert> {
    let mut named: Vec<&Cert> = pool
        .iter()
        .filter(|candidate| candidate.subject().is_same(subject.issuer()))
        .collect();
    let wanted = subject.authority_key_id();
    named.sort_by_key(|candidate| wanted.is_some() && candidate.subject_key_id() != wanted);
    named
}

/// Whether the same CA is on the path already: same name, same key.
fn on_path(path: &[Cert], candidate: &Cert) -> bool {
    path.iter().any(|cert| {
        cert.subject() == candidate.subject() && cert.public_key() == candidate.public_key()
    })
}
