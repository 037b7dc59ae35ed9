//! The counters of the dashboard: kept in memory for a group, then each added to its row once.

use crate::error::StoreError;
use crate::tx::Link;

/// One of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Counter {
    /// Devices by one of their properties and standing.
    Devices {
        tenant: i64,
        property: Property,
        value: i64,
        standing: i64,
    },
    /// Certificates of a day since 1970.
    Day {
        tenant: i64,
        class: i64,
        day: i64,
        column: DayColumn,
    },
    /// Certificates by tenant and stored status.
    Certificates {
        tenant: i64,
        issuer: i64,
        status: i64,
    },
}

/// By what devices are counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum Property {
    Site = 1,
    Class = 2,
    Owner = 3,
}

/// What a day counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(crate) enum DayColumn {
    /// Certificates released on that day.
    Issued,
    /// Certificates whose validity ends on that day, unless revoked before.
    Ending,
    /// Of the ending ones, those in force and not replaced.
    Current,
    /// Certificates revoked on that day while still valid.
    Revoked,
}

/// Adds what a group has counted to the rows of its counters.
pub(crate) fn write_counts(
    link: &Link,
    counts: &mut Vec<(Counter, i64)>,
) -> Result<(), StoreError> {
    if counts.is_empty() {
        return Ok(());
    }
    counts.sort_unstable_by_key(|(counter, _)| *counter);
    let mut counts = std::mem::take(counts).into_iter().peekable();
    while let Some((counter, mut by)) = counts.next() {
        while let Some((_, more)) = counts.next_if(|(next, _)| *next == counter) {
            by += more;
        }
        if by != 0 {
            counter.add(link, by).map_err(|error| link.said(error))?;
        }
    }
    Ok(())
}

macro_rules! day_text {
    ($column:literal, $values:literal) => {
        concat!(
            "INSERT INTO cert_day(tenant, day, class, issued, ending, current, revoked)
             VALUES($1, $2, $3, ",
            $values,
            ") ON CONFLICT(tenant, day, class) DO UPDATE SET ",
            $column,
            " = cert_day.",
            $column,
            " + excluded.",
            $column
        )
    };
}

impl Counter {
    fn add(self, link: &Link, by: i64) -> rusqlite::Result<usize> {
        match self {
            Counter::Devices {
                tenant,
                property,
                value,
                standing,
            } => link
                .prepare(
                    "INSERT INTO device_count(tenant, property, value, standing, n)
                     VALUES($1, $2, $3, $4, $5)
                     ON CONFLICT(tenant, property, value, standing)
                     DO UPDATE SET n = device_count.n + excluded.n",
                )?
                .execute([tenant, property as i64, value, standing, by]),
            Counter::Certificates {
                tenant,
                issuer,
                status,
            } => link
                .prepare(
                    "INSERT INTO cert_count(tenant, issuer, status, n) VALUES($1, $2, $3, $4)
                     ON CONFLICT(tenant, issuer, status)
                     DO UPDATE SET n = cert_count.n + excluded.n",
                )?
                .execute([tenant, issuer, status, by]),
            Counter::Day {
                tenant,
                class,
                day,
                column,
            } => link
                .prepare(match column {
                    DayColumn::Issued => day_text!("issued", "$4, 0, 0, 0"),
                    DayColumn::Ending => day_text!("ending", "0, $4, 0, 0"),
                    DayColumn::Current => day_text!("current", "0, 0, $4, 0"),
                    DayColumn::Revoked => day_text!("revoked", "0, 0, 0, $4"),
                })?
                .execute([tenant, day, class, by]),
        }
    }
}
