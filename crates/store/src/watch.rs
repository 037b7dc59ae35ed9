//! What the watch duty reads: certificates that should have been renewed, and uses that should not
//! have been.

use tenure_domain::device::{Criticality, Standing};
use tenure_domain::finding::FindingKind;
use tenure_domain::{TenantId, Title};
use tenure_x509::Time;

use crate::cache::Noun;
use crate::error::StoreError;
use crate::registry::{self, name};
use crate::tx::{ReadTx, Tx};

/// A certificate without a successor that should have been renewed, with its device's place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Late {
    /// When it ends.
    pub end: Time,
    /// Where its device is.
    pub site: Title,
    /// Whose it is.
    pub owner: Title,
    /// What its failing would mean.
    pub criticality: Criticality,
}

/// What was found to be late.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LateRows {
    /// The certificates, the first to end first.
    pub rows: Vec<Late>,
    /// Whether these are all.
    pub is_whole: bool,
}

/// The certificates of a class that end within `ends`, have no successor, and of whose life less than
/// `percent` hundredths are left at `now`. Devices that are not enrolled are left out. At most `limit`
/// are looked at.
pub fn late(
    tx: &ReadTx<'_>,
    tenant: TenantId,
    class: &Title,
    (from, until): (Time, Time),
    (now, percent): (Time, u8),
    limit: u32,
) -> Result<LateRows, StoreError> {
    let mut found = LateRows {
        rows: Vec::new(),
        is_whole: true,
    };
    let Some(class) = registry::class::no(tx, tenant, class.as_str())? else {
        return Ok(found);
    };
    let mut looked_at = 0;
    let mut places = Vec::new();
    tx.each::<StoreError>(
        "SELECT cert.issued, cert.na, device.site, device.owner, device.criticality, device.standing
         FROM cert CROSS JOIN device ON device.no = cert.device
         WHERE cert.status = 3 AND cert.class = $1 AND cert.na >= $2 AND cert.na <= $3
         ORDER BY cert.na LIMIT $4",
        &[&class.0, &from.unix(), &until.unix(), &limit],
        |row| {
            looked_at += 1;
            let (issued, end): (i64, i64) = (row.get(0)?, row.get(1)?);
            let alert = end - (end - issued) / 100 * i64::from(percent);
            if alert > now.unix() || row.get::<i64>(5)? != Standing::Enrolled.code() {
                return Ok(());
            }
            let criticality =
                Criticality::from_code(row.get(4)?).ok_or(StoreError::Unreadable {
                    what: "device.criticality",
                })?;
            let place: (i64, i64) = (row.get(2)?, row.get(3)?);
            places.push((row.time(1)?, place, criticality));
            Ok(())
        },
    )?;
    found.is_whole = looked_at < limit;
    for (end, (site, owner), criticality) in places {
        found.rows.push(Late {
            end,
            site: name(tx, Noun::Site, site)?,
            owner: name(tx, Noun::Owner, owner)?,
            criticality,
        });
    }
    Ok(found)
}

/// When a use of this kind was last noted at a service.
pub fn last_use(
    tx: &ReadTx<'_>,
    service: &str,
    kind: FindingKind,
) -> Result<Option<Time>, StoreError> {
    tx.one(
        "SELECT last FROM wrong_use WHERE service = $1 AND kind = $2",
        &[&service, &kind.code()],
        |row| row.time(0),
    )
}

/// Notes a use. Losing this clears its finding early, until the next report.
pub fn note_use(
    tx: &mut Tx<'_>,
    service: &str,
    kind: FindingKind,
    at: Time,
) -> Result<(), StoreError> {
    tx.run(
        "INSERT INTO wrong_use(service, kind, last) VALUES($1, $2, $3)
         ON CONFLICT(service, kind) DO UPDATE SET last = max(last, excluded.last)",
        &[&service, &kind.code(), &at.unix()],
    )?;
    Ok(())
}

/// The services at which something was noted since then, with what.
pub fn uses_since(tx: &ReadTx<'_>, since: Time) -> Result<Vec<(String, FindingKind)>, StoreError> {
    tx.all(
        "SELECT service, kind FROM wrong_use WHERE last >= $1 ORDER BY service, kind",
        &[&since.unix()],
        |row| {
            let kind = FindingKind::from_code(row.get(1)?).ok_or(StoreError::Unreadable {
                what: "wrong_use.kind",
            })?;
            Ok((row.get(0)?, kind))
        },
    )
}
