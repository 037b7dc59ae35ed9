//! Attention: what happens to a certificate next, when, and how often someone looks at it.

use tenure_x509::Time;

use crate::certificate::{CertificateRow, Status};
use crate::durability::Durability;
use crate::duration::DAY_S;
use crate::profile::Profile;
use crate::registry::Renewability;
use crate::words::words;

words! {
    /// What is to be done next about a certificate, or will happen to it.
    NextAction ("next action") {
        /// Its device replaces it.
        Renew = "renew" = 1,
        /// A person looks whether it is still right.
        Review = "review" = 2,
        /// It is over, and its device must enroll anew.
        Enroll = "enroll" = 3,
        /// A person lets it go on or revokes it.
        Decide = "decide" = 4,
        /// Nothing: its successor has taken over, and it ends.
        End = "end" = 5,
        /// Nothing: it is withdrawn, and leaves the revocation list when it ends.
        Unlist = "unlist" = 6,
    }
}

/// What a certificate's profile and class say about looking after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Care {
    /// After what part of its life it should be renewed, in hundredths.
    pub renew_percent: u8,
    /// How far it was dated back, in seconds.
    pub backdate_s: i64,
    /// Whether its device renews alone.
    pub renewability: Renewability,
}

impl Care {
    /// What a profile says. One that the policy no longer has is taken to have been like the
    /// default: renewal after two thirds.
    pub fn of(profile: Option<&Profile>, renewability: Renewability) -> Care {
        Care {
            renew_percent: profile.map_or(66, |profile| profile.renew_percent),
            backdate_s: profile.map_or(0, |profile| profile.backdate_s),
            renewability,
        }
    }
}

/// When a certificate wants attention. Nothing here is ever absent without meaning it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attention {
    /// Whether people watch over it.
    pub durability: Durability,
    /// When its renewal should begin; [`Time::NEVER`] for one that never ends.
    pub renew_from: Time,
    /// What is next.
    pub next: NextAction,
    /// When; in the past if it is overdue.
    pub next_at: Time,
    /// When someone is told that its renewal is overdue, from early to late; none for one that
    /// never ends or is not in force.
    pub alerts: Vec<Time>,
    /// When a person looks at it again; none if only its profile is looked at, or it is not in force.
    pub review_at: Option<Time>,
}

impl Attention {
    /// Judges one certificate.
    pub fn of(row: &CertificateRow, care: Care, now: Time) -> Attention {
        let durability = Durability::of(&row.validity, care.backdate_s, care.renewability);
        let end = row.validity.not_after;
        let life = end.unix().saturating_sub(row.issued.unix()).max(0);
        let never = end == Time::NEVER;
        let renew_from = match never {
            true => Time::NEVER,
            false => row.issued.plus(life / 100 * i64::from(care.renew_percent)),
        };
        let is_in_force = row.status == Status::Issued && now <= end;
        let review_at = match durability.review_days() {
            Some(days) if is_in_force => Some(after(row.issued, i64::from(days) * DAY_S, now)),
            _ => None,
        };
        let alerts = match is_in_force && !never {
            true => durability
                .alert_percents()
                .iter()
                .map(|percent| end.plus(-(life / 100 * i64::from(*percent))))
                .collect(),
            false => Vec::new(),
        };
        let (next, next_at) = match row.status {
            Status::Issued if !is_in_force => (NextAction::Enroll, end),
            Status::Issued => match review_at {
                Some(review) if review < renew_from => (NextAction::Review, review),
                _ => (NextAction::Renew, renew_from),
            },
            Status::Replaced => (NextAction::End, end),
            Status::Held => {
                let since = row.revocation.as_ref().map_or(row.issued, |how| how.at);
                (NextAction::Decide, since)
            }
            Status::Revoked | Status::Voided | Status::Reserved => (NextAction::Unlist, end),
        };
        Attention {
            durability,
            renew_from,
            next,
            next_at,
            alerts,
            review_at,
        }
    }
}

/// The first of the times `from`, one, two, … steps later that is not past.
fn after(from: Time, step_s: i64, now: Time) -> Time {
    let steps = (now.unix().saturating_sub(from.unix()).max(0) / step_s).saturating_add(1);
    from.plus(steps.saturating_mul(step_s))
}

#[cfg(test)]
mod tests;
