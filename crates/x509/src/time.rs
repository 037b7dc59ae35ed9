//! Time as a value: seconds since 1970, and its DER and RFC 3339 forms.

use core::fmt;

use crate::Error;
use crate::der::{Rules, Tlv, Writer, tag};

const SECONDS_PER_DAY: i64 = 86_400;

/// A moment, in seconds since 1970-01-01T00:00:00Z, from year 0 to the end of year 9999.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Time(i64);

impl Time {
    /// `99991231235959Z`: the certificate has no stated end (RFC 5280 4.1.2.5).
    pub const NEVER: Self = Self(253_402_300_799);

    /// The first second of year 0, the earliest time that can be written.
    const EARLIEST: Self = Self(-62_167_219_200);

    /// From Unix seconds; values outside years 0 to 9999 become the nearest end.
    #[must_use]
    pub const fn from_unix(seconds: i64) -> Self {
        if seconds > Self::NEVER.0 {
            Self::NEVER
        } else if seconds < Self::EARLIEST.0 {
            Self::EARLIEST
        } else {
            Self(seconds)
        }
    }

    /// Unix seconds.
    #[must_use]
    pub const fn unix(self) -> i64 {
        self.0
    }

    /// Whether this is [`Time::NEVER`].
    #[must_use]
    pub const fn is_never(self) -> bool {
        self.0 == Self::NEVER.0
    }

    /// This time moved by `seconds`; it saturates, and never stays never.
    #[must_use]
    pub const fn plus(self, seconds: i64) -> Self {
        if self.is_never() {
            return self;
        }
        Self::from_unix(self.0.saturating_add(seconds))
    }

    /// Reads RFC 3339, such as `2026-11-22T01:02:03Z` or `2026-11-22T02:02:03.5+01:00`.
    ///
    /// Fractions of a second are cut off.
    ///
    /// # Errors
    /// `Malformed` if it is something else.
    pub fn parse_rfc3339(text: &str) -> Result<Self, Error> {
        parse_rfc3339(text.as_bytes()).ok_or(Error::malformed("RFC 3339 time"))
    }

    /// Reads a UTCTime or GeneralizedTime. Under [`Rules::Ber`] seconds may be missing, fractions
    /// and offsets may be there.
    pub(crate) fn from_tlv(tlv: Tlv<'_>, rules: Rules, what: &'static str) -> Result<Self, Error> {
        let fail = Error::malformed_at(what, tlv.value_offset());
        let time = match tlv.tag {
            tag::UTC_TIME => {
                let (short, rest) = digits(tlv.value, 2).ok_or(fail)?;
                let year = if short < 50 {
                    2000 + short
                } else {
                    1900 + short
                };
                parse_after_year(year, rest, rules)
            }
            tag::GENERALIZED_TIME => {
                let (year, rest) = digits(tlv.value, 4).ok_or(fail)?;
                parse_after_year(year, rest, rules)
            }
            _ => None,
        };
        time.ok_or(fail)
    }

    pub(crate) fn write(self, writer: &mut Writer) {
        let (year, ..) = self.civil();
        if (1950..2050).contains(&year) {
            // year 1950..2049 as YYYY; UTCTime drops the century
            let text = self.digits();
            writer.tlv(tag::UTC_TIME, &text[2..]);
        } else {
            self.write_generalized(writer);
        }
    }

    pub(crate) fn write_generalized(self, writer: &mut Writer) {
        writer.tlv(tag::GENERALIZED_TIME, &self.digits());
    }

    /// `YYYYMMDDHHMMSSZ`.
    fn digits(self) -> [u8; 15] {
        let (year, month, day, hour, minute, second) = self.civil();
        let mut text = *b"00000000000000Z";
        let mut put = |at: usize, value: i64| {
            // `at` is one of the fixed positions below, and each value has two digits
            text[at] = b'0' + (value / 10 % 10) as u8;
            text[at + 1] = b'0' + (value % 10) as u8;
        };
        put(0, year / 100);
        put(2, year % 100);
        put(4, month);
        put(6, day);
        put(8, hour);
        put(10, minute);
        put(12, second);
        text
    }

    /// Year, month, day, hour, minute, second in UTC (proleptic Gregorian calendar).
    fn civil(self) -> (i64, i64, i64, i64, i64, i64) {
        let days = self.0.div_euclid(SECONDS_PER_DAY);
        let second_of_day = self.0.rem_euclid(SECONDS_PER_DAY);
        // Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms", civil_from_days
        let z = days + 719_468;
        let era = z.div_euclid(146_097);
        let day_of_era = z.rem_euclid(146_097);
        let year_of_era =
            (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
        let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
        let shifted_month = (5 * day_of_year + 2) / 153;
        let day = day_of_year - (153 * shifted_month + 2) / 5 + 1;
        let month = if shifted_month < 10 {
            shifted_month + 3
        } else {
            shifted_month - 9
        };
        let year = year_of_era + era * 400 + i64::from(month <= 2);
        (
            year,
            month,
            day,
            second_of_day / 3600,
            second_of_day / 60 % 60,
            second_of_day % 60,
        )
    }

    fn from_civil(
        year: i64,
        month: i64,
        day: i64,
        hour: i64,
        minute: i64,
        second: i64,
    ) -> Option<Self> {
        let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
        let days_in_month = match month {
            1 | 3 | 5 | 7 | 8 | 10 | 12 => 31,
            4 | 6 | 9 | 11 => 30,
            2 if leap => 29,
            2 => 28,
            _ => return None,
        };
        let in_range = (0..=9999).contains(&year)
            && (1..=days_in_month).contains(&day)
            && (0..24).contains(&hour)
            && (0..60).contains(&minute)
            && (0..60).contains(&second);
        if !in_range {
            return None;
        }
        // Hinnant, days_from_civil
        let y = if month <= 2 { year - 1 } else { year };
        let era = y.div_euclid(400);
        let year_of_era = y.rem_euclid(400);
        let day_of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
        let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
        let days = era * 146_097 + day_of_era - 719_468;
        Some(Self(
            days * SECONDS_PER_DAY + hour * 3600 + minute * 60 + second,
        ))
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let d = self.digits();
        let text = [
            d[0], d[1], d[2], d[3], b'-', d[4], d[5], b'-', d[6], d[7], b'T', d[8], d[9], b':',
            d[10], d[11], b':', d[12], d[13], b'Z',
        ];
        f.write_str(str::from_utf8(&text).map_err(|_| fmt::Error)?)
    }
}

/// From when to when, both ends included (RFC 5280 4.1.2.5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Validity {
    /// The first second.
    pub not_before: Time,
    /// The last second.
    pub not_after: Time,
}

impl Validity {
    /// Whether `at` lies within.
    #[must_use]
    pub fn contains(&self, at: Time) -> bool {
        self.not_before <= at && at <= self.not_after
    }
}

/// Takes `count` decimal digits.
fn digits(text: &[u8], count: usize) -> Option<(i64, &[u8])> {
    let (head, rest) = text.split_at_checked(count)?;
    let mut value = 0;
    for octet in head {
        if !octet.is_ascii_digit() {
            return None;
        }
        value = value * 10 + i64::from(octet - b'0');
    }
    Some((value, rest))
}

/// Takes decimal digits after a point, if there is one.
fn skip_fraction(text: &[u8]) -> Option<&[u8]> {
    let Some((b'.' | b',', rest)) = text.split_first() else {
        return Some(text);
    };
    let count = rest
        .iter()
        .take_while(|octet| octet.is_ascii_digit())
        .count();
    (count > 0).then(|| rest.get(count..)).flatten()
}

fn parse_after_year(year: i64, text: &[u8], rules: Rules) -> Option<Time> {
    let (month, text) = digits(text, 2)?;
    let (day, text) = digits(text, 2)?;
    let (hour, text) = digits(text, 2)?;
    let (minute, text) = digits(text, 2)?;
    let (second, text) = match (digits(text, 2), rules) {
        (Some(found), _) => found,
        (None, Rules::Ber) => (0, text),
        (None, Rules::Der) => return None,
    };
    let time = Time::from_civil(year, month, day, hour, minute, second)?;
    if text == b"Z" {
        return Some(time);
    }
    if rules == Rules::Der {
        return None;
    }
    let text = skip_fraction(text)?;
    let (sign, text) = match text.split_first()? {
        (b'Z', []) => return Some(time),
        (b'+', rest) => (1, rest),
        (b'-', rest) => (-1, rest),
        _ => return None,
    };
    let (hours, text) = digits(text, 2)?;
    let (minutes, text) = digits(text, 2)?;
    let fits = text.is_empty() && hours < 24 && minutes < 60;
    fits.then(|| time.plus(-sign * (hours * 3600 + minutes * 60)))
}

fn parse_rfc3339(text: &[u8]) -> Option<Time> {
    let (year, text) = digits(text, 4)?;
    let (month, text) = digits(text.strip_prefix(b"-")?, 2)?;
    let (day, text) = digits(text.strip_prefix(b"-")?, 2)?;
    let (b'T' | b't' | b' ', text) = text.split_first()? else {
        return None;
    };
    let (hour, text) = digits(text, 2)?;
    let (minute, text) = digits(text.strip_prefix(b":")?, 2)?;
    let (second, text) = digits(text.strip_prefix(b":")?, 2)?;
    let text = skip_fraction(text)?;
    let time = Time::from_civil(year, month, day, hour, minute, second)?;
    let (sign, text) = match text.split_first()? {
        (b'Z' | b'z', []) => return Some(time),
        (b'+', rest) => (1, rest),
        (b'-', rest) => (-1, rest),
        _ => return None,
    };
    let (hours, text) = digits(text, 2)?;
    let (minutes, text) = digits(text.strip_prefix(b":")?, 2)?;
    let fits = text.is_empty() && hours < 24 && minutes < 60;
    fits.then(|| Time::from_unix(time.0 - sign * (hours * 3600 + minutes * 60)))
}
