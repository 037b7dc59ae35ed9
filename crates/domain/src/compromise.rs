//! A compromise: a key or an issuer that is in other hands, and the order in which devices get new
//! keys. The list of who must is never kept: it is what the blast radius says now.

use tenure_x509::{KeyHash, Time};

use crate::blast::{Radius, Tally};
use crate::device::Criticality;
use crate::ids::CompromiseNo;
use crate::words::words;

words! {
    /// What is in other hands.
    CompromiseKind ("kind of compromise") {
        /// A key; it is in certificates of devices.
        Key = "key" = 1,
        /// The key of an issuer.
        Issuer = "issuer" = 2,
    }
    /// How we know.
    ProofOfCompromise ("proof of compromise") {
        /// An operator said so.
        Said = "said" = 1,
        /// Whoever reported it signed with the key.
        Proved = "proved" = 2,
    }
    /// Where a wave of new keys is.
    WaveState ("state of a wave") {
        /// Its devices are as they should be.
        Done = "done" = 1,
        /// It is the first that is not done.
        Now = "now" = 2,
        /// One before it is not done.
        Later = "later" = 3,
    }
}

/// What whoever proves a compromise signs with the key itself (as RFC 8555 section 7.6 has it for
/// revocation: holding the key is reason enough).
pub fn statement(key: &KeyHash) -> Vec<u8> {
    format!("tenure: this key is compromised\n{key}\n").into_bytes()
}

/// A compromise that was recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Compromise {
    /// Its row.
    pub no: CompromiseNo,
    /// What kind of thing.
    pub kind: CompromiseKind,
    /// The key's hash, or the issuer's short name.
    pub name: String,
    /// When we were told.
    pub at: Time,
    /// Since when it must be thought bad, if earlier.
    pub since: Option<Time>,
    /// Why we think so.
    pub why: String,
    /// How we know.
    pub how: ProofOfCompromise,
    /// Who recorded it.
    pub by: String,
    /// How many devices it concerned then.
    pub devices: u64,
    /// How many certificates.
    pub certificates: u64,
}

/// The devices of one criticality, which get their new keys together.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Wave {
    /// From 1 in the order in which they are taken.
    pub no: u8,
    /// What their failing would mean.
    pub criticality: Criticality,
    /// How they are.
    pub devices: Tally,
    /// Whether it is its turn.
    pub state: WaveState,
}

/// The waves in which the devices of a radius get new keys: what matters most first.
pub fn waves(radius: &Radius) -> Vec<Wave> {
    let mut is_before = true;
    let by_weight = radius.by_criticality.iter().rev();
    (1..)
        .zip(by_weight)
        .map(|(no, (criticality, devices))| {
            let is_done = devices.exposed == 0 && devices.cut_off == 0;
            let state = match (is_done, is_before) {
                (true, _) => WaveState::Done,
                (false, true) => WaveState::Now,
                (false, false) => WaveState::Later,
            };
            is_before &= is_done;
            Wave {
                no,
                criticality: *criticality,
                devices: *devices,
                state,
            }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_matters_most_comes_first_and_a_wave_waits_for_those_before_it() {
        let tally = |exposed, cut_off, going_on| Tally {
            devices: 10,
            exposed,
            cut_off,
            going_on,
            ..Tally::default()
        };
        let radius = Radius {
            by_criticality: [
                (Criticality::Low, tally(10, 0, 0)),
                (Criticality::Safety, tally(0, 0, 10)),
                (Criticality::High, tally(0, 1, 9)),
                (Criticality::Medium, tally(0, 0, 10)),
            ]
            .into(),
            ..Radius::default()
        };
        let waves = waves(&radius);
        let said: Vec<_> = waves
            .iter()
            .map(|wave| (wave.no, wave.criticality, wave.state))
            .collect();
        assert_eq!(
            said,
            [
                (1, Criticality::Safety, WaveState::Done),
                (2, Criticality::High, WaveState::Now),
                (3, Criticality::Medium, WaveState::Done),
                (4, Criticality::Low, WaveState::Later),
            ]
        );
    }
}
