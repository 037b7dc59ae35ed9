//! What people look at: counts, charts and lists.
//!
//! Counts come from counters that are kept in the commit of what they count. A list page looks at a
//! bounded number of rows, so that it answers in time whatever is asked for: it may hold fewer rows
//! than wanted and still have a next page.

mod certificates;
mod devices;

pub use certificates::{
    CertificateFilter, Ended, certificates, ending, next_ends, of_service, withdrawn,
};
pub use devices::{DeviceFilter, devices};

use std::collections::BTreeMap;

use tenure_domain::certificate::Status;
use tenure_domain::device::Standing;
use tenure_domain::{TenantId, Title};
use tenure_x509::Time;

use crate::cache::Noun;
use crate::certificate::day;
use crate::counter::Property;
use crate::device;
use crate::error::StoreError;
use crate::registry::name;
use crate::tx::ReadTx;

/// Rows a page looks at before it stops.
const LOOKED_AT: usize = 10_000;

/// One page of a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page<T> {
    /// The rows.
    pub items: Vec<T>,
    /// Where the next page begins; none after the last.
    pub next: Option<String>,
}

/// A cursor that was not made by the list it is used with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListError {
    /// The cursor cannot be read.
    BadCursor,
    /// The filter names something the registry does not know.
    Unknown {
        /// What kind of thing.
        noun: &'static str,
        /// The name.
        name: String,
    },
    /// The database failed.
    Store(StoreError),
}

impl std::fmt::Display for ListError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            ListError::BadCursor => {
                f.write_str("the cursor is not one of this list; begin again without it")
            }
            ListError::Unknown { noun, name } => write!(f, "there is no {noun} {name:?}"),
            ListError::Store(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for ListError {}

impl From<StoreError> for ListError {
    fn from(error: StoreError) -> Self {
        ListError::Store(error)
    }
}

/// Devices counted.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeviceCounts {
    /// By standing, the ones that are zero left out.
    pub by_standing: BTreeMap<Standing, u64>,
    /// By site and standing.
    pub by_site: BTreeMap<Title, BTreeMap<Standing, u64>>,
    /// By class and standing.
    pub by_class: BTreeMap<Title, BTreeMap<Standing, u64>>,
    /// By owner and standing.
    pub by_owner: BTreeMap<Title, BTreeMap<Standing, u64>>,
}

fn count(n: i64) -> u64 {
    u64::try_from(n).unwrap_or(0)
}

/// The whole fleet counted.
pub fn device_counts(tx: &ReadTx<'_>, tenant: TenantId) -> Result<DeviceCounts, StoreError> {
    let rows = tx.all(
        "SELECT property, value, standing, n FROM device_count WHERE tenant = $1 AND n <> 0",
        &[&tenant.0],
        |row| {
            Ok((
                row.get::<i64>(0)?,
                row.get::<i64>(1)?,
                device::standing(row.get(2)?)?,
                count(row.get(3)?),
            ))
        },
    )?;
    let mut counts = DeviceCounts::default();
    for (property, value, standing, n) in rows {
        let (noun, map) = if property == Property::Site as i64 {
            *counts.by_standing.entry(standing).or_default() += n;
            (Noun::Site, &mut counts.by_site)
        } else if property == Property::Class as i64 {
            (Noun::Class, &mut counts.by_class)
        } else {
            (Noun::Owner, &mut counts.by_owner)
        };
        map.entry(name(tx, noun, value)?)
            .or_default()
            .insert(standing, n);
    }
    Ok(counts)
}

/// Certificates by stored status; expiry is not a status, see [`crate::asof::fleet`].
pub fn certificate_counts(
    tx: &ReadTx<'_>,
    tenant: TenantId,
) -> Result<BTreeMap<Status, u64>, StoreError> {
    let rows = tx.all(
        "SELECT status, sum(n) FROM cert_count WHERE tenant = $1 GROUP BY status",
        &[&tenant.0],
        |row| {
            let status = Status::from_code(row.get(0)?).ok_or(StoreError::Unreadable {
                what: "cert_count.status",
            })?;
            Ok((status, count(row.get(1)?)))
        },
    )?;
    Ok(rows.into_iter().filter(|(_, n)| *n > 0).collect())
}

/// One day of the chart of ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DayOfEnds {
    /// The beginning of the day, UTC.
    pub day: Time,
    /// Certificates in force that end on it and have no successor yet.
    pub current: u64,
    /// All that end on it, the replaced ones included.
    pub all: u64,
}

/// How many certificates end on each of `days` days from the one of `from` on; days without any are
/// there, with zeros.
pub fn ends_by_day(
    tx: &ReadTx<'_>,
    tenant: TenantId,
    from: Time,
    days: u16,
) -> Result<Vec<DayOfEnds>, StoreError> {
    let first = day(from.unix());
    let last = first + i64::from(days);
    let counted: BTreeMap<i64, (u64, u64)> = tx
        .all(
            "SELECT day, sum(current), sum(ending) FROM cert_day
             WHERE tenant = $1 AND day >= $2 AND day < $3 GROUP BY day",
            &[&tenant.0, &first, &last],
            |row| Ok((row.get(0)?, (count(row.get(1)?), count(row.get(2)?)))),
        )?
        .into_iter()
        .collect();
    Ok((first..last)
        .map(|day| {
            let (current, all) = counted.get(&day).copied().unwrap_or_default();
            DayOfEnds {
                day: Time::from_unix(day * 86_400),
                current,
                all,
            }
        })
        .collect())
}
