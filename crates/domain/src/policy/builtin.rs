//! The profiles of our own certificates. They are always there and no document can change them.

use std::sync::Arc;

use tenure_x509::KeyKind;

use crate::duration::{DAY_S, HOUR_S, YEAR_S};
use crate::ids::Slug;
use crate::profile::{Life, Profile, ProfileKind, RevocationPath, SubjectAttribute, Usage};

/// Names that begin so are ours.
pub(super) const RESERVED_PREFIX: &str = "tenure-";

const KEYS: [KeyKind; 4] = [
    KeyKind::P256,
    KeyKind::P384,
    KeyKind::Ed25519,
    KeyKind::Rsa2048,
];

/// The built-in profiles, by name: `tenure-server`, `tenure-ocsp`, `tenure-issuing-ca`,
/// `tenure-idevid-ca`, `tenure-cross-ca`, `tenure-root-ca`, and those of the canaries.
pub(super) fn profiles() -> impl Iterator<Item = (Slug, Arc<Profile>)> {
    use RevocationPath::{Crl, Ocsp};
    [
        (
            "tenure-server",
            ProfileKind::Server,
            Life::Seconds(90 * DAY_S),
            vec![Crl, Ocsp],
        ),
        // RFC 6960 section 4.2.2.2.1: a responder's certificate carries nocheck instead, and lives
        // shortly.
        (
            "tenure-ocsp",
            ProfileKind::OcspSigner,
            Life::Seconds(30 * DAY_S),
            vec![],
        ),
        (
            "tenure-issuing-ca",
            ProfileKind::IssuingCa,
            Life::Seconds(10 * YEAR_S),
            vec![Crl],
        ),
        // An identity for life never ends, so neither does what stands above it (IEEE 802.1AR-2018
        // section 8.7, RFC 5280 section 4.1.2.5).
        (
            "tenure-idevid-ca",
            ProfileKind::IssuingCa,
            Life::Forever,
            vec![Crl],
        ),
        // Long enough to move a plant's relying parties to another root, and no longer: until its end
        // whoever trusts the one root trusts the other.
        (
            "tenure-cross-ca",
            ProfileKind::CrossCa,
            Life::Seconds(2 * YEAR_S),
            vec![Crl],
        ),
        // An anchor is withdrawn by taking it out of trust stores, never by its own list or end.
        ("tenure-root-ca", ProfileKind::RootCa, Life::Forever, vec![]),
    ]
    .into_iter()
    .filter_map(|(name, kind, life, revocation)| {
        let name: Slug = name.parse().ok()?;
        let profile = Profile {
            name: name.clone(),
            kind,
            issuer: None,
            life,
            backdate_s: HOUR_S,
            renew_percent: 66,
            keys: KEYS.to_vec(),
            usage: Vec::new(),
            // Our own subjects are registered with what they are as their model.
            subject: vec![
                (SubjectAttribute::CommonName, "{device.model}".parse().ok()?),
                (SubjectAttribute::Organization, "{owner}".parse().ok()?),
            ],
            san: Vec::new(),
            revocation,
        };
        Some((name, Arc::new(profile)))
    })
    .chain(canaries())
}

/// How long a canary lives, how far the expired one lies in the past, and the early one ahead. All
/// stay within an hour, by which the first issuer of a house is backdated.
const CANARY_LIFE_S: i64 = HOUR_S;

/// The profiles of canaries: as a device's, but for what makes each unfit. The expired one is dead
/// when it is born; the early one has ten minutes of life, and is revoked before they come.
fn canaries() -> impl Iterator<Item = (Slug, Arc<Profile>)> {
    use Usage::{Client, Server};
    const MINUTE_S: i64 = 60;
    [
        ("tenure-canary", 5 * MINUTE_S, CANARY_LIFE_S, Client),
        ("tenure-canary-usage", 5 * MINUTE_S, CANARY_LIFE_S, Server),
        (
            "tenure-canary-expired",
            50 * MINUTE_S,
            -30 * MINUTE_S,
            Client,
        ),
        (
            "tenure-canary-early",
            -HOUR_S,
            HOUR_S + 10 * MINUTE_S,
            Client,
        ),
    ]
    .into_iter()
    .filter_map(|(name, backdate_s, life_s, usage)| {
        let name: Slug = name.parse().ok()?;
        let profile = Profile {
            name: name.clone(),
            kind: ProfileKind::Canary,
            issuer: None,
            life: Life::Seconds(life_s),
            backdate_s,
            renew_percent: 66,
            keys: vec![KeyKind::P256],
            usage: vec![usage],
            subject: vec![
                (SubjectAttribute::CommonName, "{device.id}".parse().ok()?),
                (SubjectAttribute::Organization, "{owner}".parse().ok()?),
            ],
            san: Vec::new(),
            revocation: vec![RevocationPath::Crl, RevocationPath::Ocsp],
        };
        Some((name, Arc::new(profile)))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_built_in_profile_is_there_under_a_reserved_name() {
        let names: Vec<_> = profiles().map(|(name, _)| name.to_string()).collect();
        assert_eq!(
            names,
            [
                "tenure-server",
                "tenure-ocsp",
                "tenure-issuing-ca",
                "tenure-idevid-ca",
                "tenure-cross-ca",
                "tenure-root-ca",
                "tenure-canary",
                "tenure-canary-usage",
                "tenure-canary-expired",
                "tenure-canary-early"
            ]
        );
        assert!(names.iter().all(|name| name.starts_with(RESERVED_PREFIX)));
        assert!(profiles().all(|(_, profile)| !profile.kind.is_for_devices()));
    }
}
