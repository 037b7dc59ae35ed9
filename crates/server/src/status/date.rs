//! Times as HTTP writes them (RFC 9110 section 5.6.7).

use std::time::{Duration, SystemTime};

use hyper::header::HeaderValue;
use tenure_x509::Time;

/// A header value such as `Sun, 06 Nov 1994 08:49:37 GMT`.
pub(super) fn http_date(at: Time) -> HeaderValue {
    let seconds = u64::try_from(at.unix()).unwrap_or(0).min(LAST_S);
    let at = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
    // Such a date is plain ASCII.
    HeaderValue::from_str(&httpdate::fmt_http_date(at)).unwrap_or(HeaderValue::from_static(""))
}

/// The last second of 9999: four digits of a year is all there is.
const LAST_S: u64 = 253_402_300_799;

/// Reads such a header value, to the second.
pub(super) fn parse(value: &HeaderValue) -> Option<Time> {
    let at = httpdate::parse_http_date(value.to_str().ok()?).ok()?;
    let since = at.duration_since(SystemTime::UNIX_EPOCH).ok()?;
    i64::try_from(since.as_secs()).ok().map(Time::from_unix)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dates_are_written_and_read() {
        let at = Time::from_unix(784_111_777);
        assert_eq!(http_date(at), "Sun, 06 Nov 1994 08:49:37 GMT");
        assert_eq!(parse(&http_date(at)), Some(at));
        assert_eq!(http_date(Time::NEVER), "Fri, 31 Dec 9999 23:59:59 GMT");
        assert_eq!(
            http_date(Time::from_unix(-5)),
            "Thu, 01 Jan 1970 00:00:00 GMT"
        );
    }
}
