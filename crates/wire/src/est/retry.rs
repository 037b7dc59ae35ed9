//! `Retry-After` (RFC 9110 section 10.2.3), which EST uses to say "ask again later".

use super::Error;
use crate::limits::RETRY_AFTER_S_MAX;

/// Reads a `Retry-After` value and returns the seconds to wait from `now` (Unix seconds).
///
/// Both forms are read: seconds, and an HTTP date in its preferred form. A date in the past is
/// zero; anything beyond [`RETRY_AFTER_S_MAX`] is that.
pub fn parse_retry_after(value: &str, now: i64) -> Result<u64, Error> {
    let value = value.trim();
    if !value.is_empty() && value.bytes().all(|b| b.is_ascii_digit()) {
        let seconds = value.parse().unwrap_or(RETRY_AFTER_S_MAX); // too many digits: very late
        return Ok(seconds.min(RETRY_AFTER_S_MAX));
    }
    let at = http_date(value).ok_or(Error::Malformed {
        what: "Retry-After",
    })?;
    let wait = u64::try_from(at.saturating_sub(now)).unwrap_or(0);
    Ok(wait.min(RETRY_AFTER_S_MAX))
}

/// `Sun, 06 Nov 1994 08:49:37 GMT` to Unix seconds.
fn http_date(text: &str) -> Option<i64> {
    const MONTHS: [&str; 12] = [
        "Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec",
    ];
    let (_, rest) = text.split_once(", ")?;
    let fields: Vec<&str> = rest.split(' ').collect();
    let [day, month, year, time, "GMT"] = fields.as_slice() else {
        return None;
    };
    let month = MONTHS.iter().position(|name| name == month)?;
    let clock: Vec<&str> = time.split(':').collect();
    let [hour, minute, second] = clock.as_slice() else {
        return None;
    };
    let (day, year) = (digits(day, 2)?, digits(year, 4)?);
    let (hour, minute, second) = (digits(hour, 2)?, digits(minute, 2)?, digits(second, 2)?);
    if !(1..=31).contains(&day) || hour > 23 || minute > 59 || second > 60 {
        return None;
    }
    let days = days_since_1970(year, i64::try_from(month).ok()? + 1, day);
    Some(days * 86_400 + hour * 3_600 + minute * 60 + second)
}

fn digits(text: &str, count: usize) -> Option<i64> {
    let plain = text.len() == count && text.bytes().all(|b| b.is_ascii_digit());
    plain.then(|| text.parse().ok()).flatten()
}

/// Days of the proleptic Gregorian calendar, with March as the first month of a year.
fn days_since_1970(year: i64, month: i64, day: i64) -> i64 {
    let (year, month) = if month > 2 {
        (year, month - 3)
    } else {
        (year - 1, month + 9)
    };
    let leap_days = year / 4 - year / 100 + year / 400;
    365 * year + leap_days + (153 * month + 2) / 5 + day - 1 - 719_468
}
