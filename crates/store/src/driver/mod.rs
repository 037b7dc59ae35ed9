//! The only place that knows which database this is.

pub(crate) mod sqlite;

use std::borrow::Cow;

/// Rewrites `$1` to `?1`.
///
/// Our SQL numbers its parameters as PostgreSQL does. To SQLite `$2` is a *name*, numbered by its
/// first appearance, so that `SET der = $2 WHERE serial = $1` would swap its arguments silently.
pub(crate) fn numbered(sql: &str) -> Cow<'_, str> {
    if !sql.contains('$') {
        return Cow::Borrowed(sql);
    }
    let mut out = String::with_capacity(sql.len());
    let mut quote = None;
    let mut chars = sql.chars().peekable();
    while let Some(c) = chars.next() {
        match quote {
            Some(q) => {
                if c == q {
                    quote = None;
                }
                out.push(c);
            }
            None if c == '\'' || c == '"' => {
                quote = Some(c);
                out.push(c);
            }
            None if c == '$' && chars.peek().is_some_and(char::is_ascii_digit) => out.push('?'),
            None => out.push(c),
        }
    }
    Cow::Owned(out)
}

#[cfg(test)]
mod tests;
