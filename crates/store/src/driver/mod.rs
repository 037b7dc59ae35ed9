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

/// What SQLite makes of a statement: one column of what `EXPLAIN` or `EXPLAIN QUERY PLAN` answers.
#[cfg(test)]
pub(crate) fn explained(
    db: &rusqlite::Connection,
    how: &str,
    sql: &str,
    column: usize,
) -> Vec<String> {
    let mut statement = db.prepare(&format!("{how} {}", numbered(sql))).unwrap();
    let values = rusqlite::params_from_iter(vec![1_i64; statement.parameter_count()]);
    let rows = statement.query_map(values, |row| row.get(column)).unwrap();
    rows.map(Result::unwrap).collect()
}

#[cfg(test)]
mod tests;
