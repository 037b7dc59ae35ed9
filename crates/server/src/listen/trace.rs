//! The trace that a request is part of, as its sender says.

use hyper::HeaderMap;

/// The trace id of a `traceparent` (W3C Trace Context, section 3.2): 32 lower-case hex digits, not all 0.
/// None if there is no such header, or one of another form.
pub(super) fn trace_id(headers: &HeaderMap) -> Option<String> {
    read(headers.get("traceparent")?.to_str().ok()?)
}

pub(crate) fn read(traceparent: &str) -> Option<String> {
    let mut fields = traceparent.split('-');
    let mut hex = |digits: usize| {
        let is_hex = |c: u8| matches!(c, b'0'..=b'9' | b'a'..=b'f');
        let field = fields.next()?;
        (field.len() == digits && field.bytes().all(is_hex)).then_some(field)
    };
    let (version, trace, _parent, _flags) = (hex(2)?, hex(32)?, hex(16)?, hex(2)?);
    let is_known = match version {
        "ff" => false,
        "00" => fields.next().is_none(),
        // A later version may say more behind what this one does.
        _ => true,
    };
    let is_set = trace.bytes().any(|digit| digit != b'0');
    (is_known && is_set).then(|| trace.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(said: &str) -> Option<String> {
        let mut headers = HeaderMap::new();
        headers.insert("traceparent", said.parse().ok()?);
        trace_id(&headers)
    }

    #[test]
    fn a_trace_is_taken_from_a_traceparent_and_from_nothing_else() {
        let (trace, parent) = ("4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7");
        let found = Some(trace.to_owned());
        assert_eq!(of(&format!("00-{trace}-{parent}-01")), found);
        assert_eq!(of(&format!("cc-{trace}-{parent}-01-more")), found);
        for wrong in [
            String::new(),
            "00".to_owned(),
            format!("00-{trace}-{parent}"),
            format!("00-{trace}-{parent}-01-more"),
            format!("ff-{trace}-{parent}-01"),
            format!("00-{}-{parent}-01", trace.to_uppercase()),
            format!("00-{}-{parent}-01", "0".repeat(32)),
            format!("00-{trace}0-{parent}-01"),
            format!("00-{trace}-{parent}-\u{e9}"),
        ] {
            assert_eq!(of(&wrong), None, "{wrong}");
        }
        assert_eq!(trace_id(&HeaderMap::new()), None);
    }
}
