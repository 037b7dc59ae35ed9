//! Blast radius: whom it concerns if something that others rest on is no longer to be trusted, and
//! how much of that is mended.
//!
//! A certificate is *inside* a radius if it rests on the thing in question: the issuer signed it, the
//! key is in it, or its device belongs to the owner, the site or the maker. What happened since is
//! told by the same figures: a device is exposed as long as a certificate inside is in force.

use std::collections::BTreeMap;

use crate::certificate::Status;
use crate::device::{Criticality, Device};
use crate::ids::{Slug, Title};
use crate::words::words;

words! {
    /// What is no longer to be trusted.
    BlastKind ("kind of blast radius") {
        /// An issuer, with every issuer below it.
        Issuer = "issuer" = 1,
        /// A trust anchor: a root of ours, or of a manufacturer.
        Anchor = "anchor" = 2,
        /// A key, by the SHA-256 of its SubjectPublicKeyInfo.
        Key = "key" = 3,
        /// One device, and everything it holds.
        Device = "device" = 4,
        /// An operator's token: the devices it touched.
        Operator = "operator" = 5,
        /// A manufacturer: the devices registered as its own.
        Manufacturer = "manufacturer" = 6,
        /// An owner.
        Owner = "owner" = 7,
        /// A site, with those inside it.
        Site = "site" = 8,
        /// A service: the devices that talk to it.
        Service = "service" = 9,
    }
    /// How a device of a radius stands.
    Exposure ("exposure") {
        /// A certificate inside the radius is in force.
        Exposed = "exposed" = 1,
        /// None is in force; one is on hold and may come back.
        Suspended = "suspended" = 2,
        /// Every one is revoked.
        Withdrawn = "withdrawn" = 3,
        /// It belongs to the radius and holds no certificate that has not expired.
        Without = "without" = 4,
    }
}

/// Which side of the edge of a radius a certificate is on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    /// It rests on what is no longer to be trusted.
    Inside,
    /// It does not.
    Outside,
}

/// What was seen of one device: a byte, so that a million of them are a megabyte.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Seen(u8);

impl Seen {
    const MEMBER: u8 = 1;
    const LIVE: u8 = 2;
    const HELD: u8 = 4;
    const REVOKED: u8 = 8;
    const OTHER: u8 = 16;
    const LEFT: u8 = 32;

    /// The device belongs to the radius, whatever it holds.
    pub fn belongs(&mut self) {
        self.0 |= Seen::MEMBER;
    }

    /// The device is retired or destroyed: it is not meant to go on.
    pub fn left(&mut self) {
        self.0 |= Seen::LEFT;
    }

    /// A released certificate that has not expired.
    pub fn note(&mut self, side: Side, status: Status) {
        self.0 |= match (side, status) {
            (Side::Inside, Status::Issued | Status::Replaced) => Seen::MEMBER | Seen::LIVE,
            (Side::Inside, Status::Held) => Seen::MEMBER | Seen::HELD,
            (Side::Inside, Status::Revoked) => Seen::MEMBER | Seen::REVOKED,
            (Side::Outside, Status::Issued | Status::Replaced) => Seen::OTHER,
            (Side::Outside, Status::Held | Status::Revoked)
            | (_, Status::Reserved | Status::Voided) => 0,
        };
    }

    /// Whether the device belongs to the radius.
    pub fn is_member(self) -> bool {
        self.0 & Seen::MEMBER != 0
    }

    /// Whether a certificate outside the radius is in force: the device can go on without the others.
    pub fn goes_on(self) -> bool {
        self.0 & Seen::OTHER != 0
    }

    /// Whether the device can do nothing until it enrolls anew.
    pub fn is_cut_off(self) -> bool {
        self.0 & (Seen::LIVE | Seen::OTHER | Seen::LEFT) == 0
    }

    /// How the device stands.
    pub fn exposure(self) -> Exposure {
        if self.0 & Seen::LIVE != 0 {
            Exposure::Exposed
        } else if self.0 & Seen::HELD != 0 {
            Exposure::Suspended
        } else if self.0 & Seen::REVOKED != 0 {
            Exposure::Withdrawn
        } else {
            Exposure::Without
        }
    }
}

/// Devices of a radius, counted. `devices` is how it was before; the others are how it is now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// All that belong to it.
    pub devices: u64,
    /// Those with a certificate inside it in force.
    pub exposed: u64,
    /// Those with one on hold and none in force.
    pub suspended: u64,
    /// Those whose certificates inside it are all revoked.
    pub withdrawn: u64,
    /// Those without any that has not expired.
    pub without: u64,
    /// Those of all that have another certificate in force, outside of it.
    pub going_on: u64,
    /// Those without any certificate in force that are neither retired nor destroyed: they can do
    /// nothing until they enroll anew.
    pub cut_off: u64,
}

impl Tally {
    /// Adds so many devices that were seen alike.
    pub fn add(&mut self, seen: Seen, count: u64) {
        self.devices += count;
        *match seen.exposure() {
            Exposure::Exposed => &mut self.exposed,
            Exposure::Suspended => &mut self.suspended,
            Exposure::Withdrawn => &mut self.withdrawn,
            Exposure::Without => &mut self.without,
        } += count;
        if seen.goes_on() {
            self.going_on += count;
        }
        if seen.is_cut_off() {
            self.cut_off += count;
        }
    }
}

/// The certificates inside a radius that have not expired, by where they are in their lives.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CertificateTally {
    /// In force, the newest of their devices.
    pub issued: u64,
    /// In force, with a successor.
    pub replaced: u64,
    /// On hold.
    pub held: u64,
    /// Revoked.
    pub revoked: u64,
}

impl CertificateTally {
    /// Adds one.
    pub fn add(&mut self, status: Status) {
        match status {
            Status::Issued => self.issued += 1,
            Status::Replaced => self.replaced += 1,
            Status::Held => self.held += 1,
            Status::Revoked => self.revoked += 1,
            Status::Reserved | Status::Voided => {}
        }
    }

    /// All of them.
    pub fn all(&self) -> u64 {
        self.issued + self.replaced + self.held + self.revoked
    }

    /// Those in force.
    pub fn live(&self) -> u64 {
        self.issued + self.replaced
    }
}

/// Whom it concerns, counted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Radius {
    /// All devices.
    pub devices: Tally,
    /// All certificates inside that have not expired.
    pub certificates: CertificateTally,
    /// Devices by class.
    pub by_class: BTreeMap<Title, Tally>,
    /// Devices by site.
    pub by_site: BTreeMap<Title, Tally>,
    /// Devices by owner.
    pub by_owner: BTreeMap<Title, Tally>,
    /// Devices by what their failing would mean.
    pub by_criticality: BTreeMap<Criticality, Tally>,
    /// Devices by the services they talk to; one that talks to two is in both.
    pub by_service: BTreeMap<Title, Tally>,
    /// Certificates inside by issuer.
    pub by_issuer: BTreeMap<Slug, CertificateTally>,
    /// For an operator: what was done, by the word of its event.
    pub acts: BTreeMap<&'static str, u64>,
}

/// One device of a radius.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Affected {
    /// The device.
    pub device: Device,
    /// What was seen of it.
    pub seen: Seen,
}

#[cfg(test)]
mod tests {
    use super::*;

    fn seen(notes: &[(Side, Status)]) -> Seen {
        let mut seen = Seen::default();
        for (side, status) in notes {
            seen.note(*side, *status);
        }
        seen
    }

    #[test]
    fn one_certificate_in_force_exposes_whatever_else_was_withdrawn() {
        use Side::*;
        use Status::*;
        type Case<'a> = (&'a [(Side, Status)], bool, Exposure, bool);
        let cases: [Case<'_>; 7] = [
            (&[], false, Exposure::Without, false),
            (&[(Inside, Issued)], true, Exposure::Exposed, false),
            (
                &[(Inside, Revoked), (Inside, Replaced)],
                true,
                Exposure::Exposed,
                false,
            ),
            (
                &[(Inside, Held), (Inside, Revoked)],
                true,
                Exposure::Suspended,
                false,
            ),
            (
                &[(Inside, Revoked), (Outside, Issued)],
                true,
                Exposure::Withdrawn,
                true,
            ),
            (&[(Outside, Issued)], false, Exposure::Without, true),
            (
                &[(Inside, Voided), (Outside, Revoked)],
                false,
                Exposure::Without,
                false,
            ),
        ];
        for (notes, member, exposure, goes_on) in cases {
            let seen = seen(notes);
            assert_eq!(seen.is_member(), member, "{notes:?}");
            assert_eq!(seen.exposure(), exposure, "{notes:?}");
            assert_eq!(seen.goes_on(), goes_on, "{notes:?}");
        }
    }

    #[test]
    fn a_tally_counts_each_device_once() {
        let mut tally = Tally::default();
        tally.add(seen(&[(Side::Inside, Status::Issued)]), 3);
        let moved = seen(&[
            (Side::Inside, Status::Revoked),
            (Side::Outside, Status::Issued),
        ]);
        tally.add(moved, 2);
        tally.add(seen(&[(Side::Inside, Status::Revoked)]), 1);
        let mut bare = Seen::default();
        bare.belongs();
        tally.add(bare, 4);
        bare.left();
        tally.add(bare, 5);
        let expected = Tally {
            devices: 15,
            exposed: 3,
            suspended: 0,
            withdrawn: 3,
            without: 9,
            going_on: 2,
            cut_off: 5,
        };
        assert_eq!(tally, expected);
    }
}
