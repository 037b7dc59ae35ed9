//! Durable and ephemeral credentials: how much attention one needs from people.

use tenure_x509::Validity;

use crate::duration::DAY_S;
use crate::registry::Renewability;
use crate::words::words;

words! {
    /// Whether a credential is meant to outlive the attention of a day.
    Durability ("durability") {
        /// Lives long, or cannot be renewed without a person: someone has to watch over it.
        Durable = "durable" = 1,
        /// Lives shortly and renews by itself: its duty to renew is what is watched.
        Ephemeral = "ephemeral" = 2,
    }
}

/// The longest life of an ephemeral credential, 7 days; the bound that short-lived certificates
/// without revocation have too (RFC 9608 leaves it open, and a week is what relying parties bear).
pub const EPHEMERAL_S_MAX: i64 = 7 * DAY_S;

impl Durability {
    /// Judges a credential by its life and by whether its device renews it alone. The seconds that
    /// it was dated back are no part of its life.
    pub fn of(validity: &Validity, backdate_s: i64, renewability: Renewability) -> Durability {
        let whole = validity
            .not_after
            .unix()
            .saturating_sub(validity.not_before.unix());
        Durability::of_life(whole.saturating_sub(backdate_s), renewability)
    }

    /// The same for a life in seconds.
    pub fn of_life(life_s: i64, renewability: Renewability) -> Durability {
        match renewability {
            Renewability::Autonomous if life_s <= EPHEMERAL_S_MAX => Durability::Ephemeral,
            Renewability::Autonomous
            | Renewability::Assisted
            | Renewability::Manual
            | Renewability::Never => Durability::Durable,
        }
    }

    /// At which parts of the life left, in hundredths, someone is told that renewal is overdue;
    /// from early to late.
    pub fn alert_percents(self) -> &'static [u8] {
        match self {
            Durability::Durable => &[33, 20, 10, 5],
            // A device that renews every few days is told about once, when it is really late.
            Durability::Ephemeral => &[10],
        }
    }

    /// After how many days someone looks at it again; none if only its profile is looked at.
    pub fn review_days(self) -> Option<u16> {
        match self {
            Durability::Durable => Some(180),
            Durability::Ephemeral => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tenure_x509::Time;

    /// Requirement B16: durable and ephemeral credentials are told apart by lifetime and renewal
    /// autonomy, and are watched differently.
    #[test]
    fn b16_a_credential_is_ephemeral_if_it_lives_shortly_and_renews_alone() {
        use Renewability::*;
        let expected = [
            (7 * DAY_S, Autonomous, Durability::Ephemeral),
            (7 * DAY_S + 1, Autonomous, Durability::Durable),
            (DAY_S, Assisted, Durability::Durable),
            (DAY_S, Manual, Durability::Durable),
            (DAY_S, Never, Durability::Durable),
            (90 * DAY_S, Autonomous, Durability::Durable),
        ];
        for (life, renewability, durability) in expected {
            assert_eq!(
                Durability::of_life(life, renewability),
                durability,
                "{life} {renewability}"
            );
        }
        let from = Time::from_unix(1_790_000_000);
        let backdated = Validity {
            not_before: from,
            not_after: from.plus(7 * DAY_S + 3600 - 1),
        };
        assert_eq!(
            Durability::of(&backdated, 3600, Autonomous),
            Durability::Ephemeral
        );
        let forever = Validity {
            not_before: from,
            not_after: Time::NEVER,
        };
        assert_eq!(Durability::of(&forever, 0, Autonomous), Durability::Durable);
        let (durable, ephemeral) = (Durability::Durable, Durability::Ephemeral);
        assert_ne!(durable.alert_percents(), ephemeral.alert_percents());
        assert_ne!(durable.review_days(), ephemeral.review_days());
    }
}
