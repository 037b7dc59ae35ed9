//! Exceptions at work: which reasons do not count, by which exception, and until when.

use tenure_x509::Time;

use super::{DecisionFacts, Ground, Purpose};
use crate::exception::ActiveException;

/// The exceptions that are active at the time of a decision, and what they lifted so far.
pub(super) struct Lifting<'f> {
    active: Vec<&'f ActiveException>,
    lifted: Vec<(&'f ActiveException, Ground)>,
    /// Whether anything was lifted that speaks against the identity or leaves it unknown.
    is_grave: bool,
}

impl<'f> Lifting<'f> {
    /// Canaries are there to see what happens to everyone else: nothing is lifted for them.
    pub(super) fn of(facts: &'f DecisionFacts, now: Time) -> Lifting<'f> {
        let device = facts.device.as_ref();
        let works = device.is_some_and(|device| device.purpose == Purpose::Work);
        let active = facts.exceptions.iter();
        Lifting {
            active: active.filter(|it| works && now < it.until).collect(),
            lifted: Vec::new(),
            is_grave: false,
        }
    }

    /// Takes away what is lifted of reasons why an identity is not trusted.
    pub(super) fn lift_grave(&mut self, grounds: &mut Vec<Ground>) {
        let before = grounds.len();
        self.lift(grounds);
        self.is_grave |= grounds.len() < before;
    }

    /// Takes away what is lifted of other reasons.
    pub(super) fn lift(&mut self, grounds: &mut Vec<Ground>) {
        grounds.retain(|ground| {
            let lifts = |it: &&&ActiveException| it.lifts.grounds().contains(ground);
            let longest = self.active.iter().filter(lifts).max_by_key(|it| it.until);
            self.lifted.extend(longest.map(|it| (*it, *ground)));
            longest.is_none()
        });
    }

    /// Whether anything was lifted that speaks against the identity or leaves it unknown.
    pub(super) fn is_grave(&self) -> bool {
        self.is_grave
    }

    /// When the first of the exceptions lapses that lifted something.
    pub(super) fn until(&self) -> Option<Time> {
        self.lifted.iter().map(|(it, _)| it.until).min()
    }

    /// That something was lifted, and what.
    pub(super) fn said(&self) -> Vec<Ground> {
        let lifted = self.lifted.iter().map(|(_, ground)| *ground);
        match self.lifted.is_empty() {
            true => Vec::new(),
            false => std::iter::once(Ground::Excepted).chain(lifted).collect(),
        }
    }

    /// Which exception lifted what.
    pub(super) fn evidence(&self) -> impl Iterator<Item = String> {
        let lifted = self.lifted.iter();
        lifted.map(|(it, ground)| format!("exception {} lifts {ground}", it.no))
    }
}
