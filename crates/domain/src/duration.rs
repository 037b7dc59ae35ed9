//! Lengths of time as people write them: `90d`, `12h`, `5y`.

use std::fmt;

/// Seconds in an hour.
pub const HOUR_S: i64 = 3600;
/// Seconds in a day.
pub const DAY_S: i64 = 24 * HOUR_S;
/// Seconds in a year of 365 days, the one that policies mean.
pub const YEAR_S: i64 = 365 * DAY_S;

/// The units from long to short. Months are left out: people disagree how long one is.
const UNITS: [(&str, i64); 6] = [
    ("y", YEAR_S),
    ("w", 7 * DAY_S),
    ("d", DAY_S),
    ("h", HOUR_S),
    ("m", 60),
    ("s", 1),
];

/// The longest length that is understood, 1000 years.
const LONGEST_S: i64 = 1000 * YEAR_S;

/// Text that is no length of time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadDuration {
    /// What was given, shortened to 80 characters.
    pub given: String,
}

impl fmt::Display for BadDuration {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{:?} is not a length of time; write a number and one of y w d h m s, such as 90d or 12h",
            self.given
        )
    }
}

impl std::error::Error for BadDuration {}

/// Reads a length of time, in seconds: digits and one unit of `y w d h m s`.
///
/// # Errors
/// If it is anything else, or longer than 1000 years.
pub fn parse(text: &str) -> Result<i64, BadDuration> {
    let bad = || BadDuration {
        given: text.chars().take(80).collect(),
    };
    let (unit, seconds) = UNITS
        .iter()
        .find(|(unit, _)| text.ends_with(unit))
        .copied()
        .ok_or_else(bad)?;
    let digits = text.strip_suffix(unit).ok_or_else(bad)?;
    if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
        return Err(bad());
    }
    let count: i64 = digits.parse().map_err(|_| bad())?;
    count
        .checked_mul(seconds)
        .filter(|total| *total <= LONGEST_S)
        .ok_or_else(bad)
}

/// Writes a length of time in the longest unit that leaves no remainder; weeks are written as days.
pub fn show(seconds: i64) -> String {
    let exact = |unit: &&(&str, i64)| unit.0 != "w" && seconds % unit.1 == 0;
    match UNITS.iter().find(exact) {
        Some((unit, length)) if seconds != 0 => format!("{}{unit}", seconds / length),
        _ => format!("{seconds}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_length_of_time_is_a_number_and_a_unit() {
        assert_eq!(parse("90d"), Ok(90 * DAY_S));
        assert_eq!(parse("12h"), Ok(12 * HOUR_S));
        assert_eq!(parse("5y"), Ok(5 * YEAR_S));
        assert_eq!(parse("2w"), Ok(14 * DAY_S));
        assert_eq!(parse("0s"), Ok(0));
        for bad in [
            "", "d", "90", "-1d", "+1d", "1.5d", "90 d", "1d12h", "90D", "1mo", "9999999y",
        ] {
            assert!(parse(bad).is_err(), "{bad:?} was taken");
        }
        assert!(parse(&format!("{}y", i64::MAX)).is_err());
        assert!(parse("ä").is_err());
    }

    #[test]
    fn what_is_shown_is_read_back_the_same() {
        for seconds in [
            0,
            1,
            59,
            60,
            90,
            HOUR_S,
            DAY_S,
            7 * DAY_S,
            90 * DAY_S,
            5 * YEAR_S,
            31_536_001,
        ] {
            assert_eq!(parse(&show(seconds)), Ok(seconds), "{}", show(seconds));
        }
        assert_eq!(show(7 * DAY_S), "7d");
        assert_eq!(show(10 * YEAR_S), "10y");
    }
}
