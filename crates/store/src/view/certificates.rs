//! Lists of certificates: the newest, those that end, those that were withdrawn.

use std::ops::ControlFlow;

use tenure_domain::certificate::{CertificateRow, Status};
use tenure_domain::{CertificateNo, ClassNo, TenantId, Title};
use tenure_x509::Time;

use super::{LOOKED_AT, ListError, Page};
use crate::cache::Noun;
use crate::certificate::{self, columns, row_of};
use crate::error::StoreError;
use crate::issuer;
use crate::registry::{self, class, name};
use crate::tx::{ReadTx, Row};

/// Which certificates; an empty filter means all that were released.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct CertificateFilter {
    /// The stored status.
    pub status: Option<Status>,
    /// The issuer, by its short name.
    pub issuer: Option<String>,
    /// Whether they have expired at a time.
    pub ended: Option<(Ended, Time)>,
}

/// Whether a certificate's validity is over.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// It is.
    Yes,
    /// It is not.
    No,
}

fn collect(
    tx: &ReadTx<'_>,
    row: &Row<'_>,
    filter: &CertificateFilter,
    issuer: Option<i64>,
) -> Result<Option<CertificateRow>, StoreError> {
    // Looked at before the whole row is read: most rows of a long walk are not taken.
    let (status, end) = (row.get::<i64>(10)?, row.time(8)?);
    let of_issuer = row.get::<i64>(3)?;
    let is_over = |at: Time| if end < at { Ended::Yes } else { Ended::No };
    let taken = status != Status::Voided.code()
        && filter.status.is_none_or(|wanted| wanted.code() == status)
        && issuer.is_none_or(|issuer| issuer == of_issuer)
        && filter.ended.is_none_or(|(ended, at)| ended == is_over(at));
    if taken {
        row_of(tx, row).map(Some)
    } else {
        Ok(None)
    }
}

/// One page of certificates, newest first.
pub fn certificates(
    tx: &ReadTx<'_>,
    tenant: TenantId,
    filter: &CertificateFilter,
    cursor: Option<&str>,
    limit: usize,
) -> Result<Page<CertificateRow>, ListError> {
    let issuer = match &filter.issuer {
        None => None,
        Some(name) => Some(
            issuer::by_name(tx, tenant, name)?
                .ok_or(ListError::Unknown {
                    noun: "issuer",
                    name: name.clone(),
                })?
                .no
                .0,
        ),
    };
    let limit = limit.max(1);
    if matches!(filter.status, Some(Status::Held | Status::Revoked)) {
        // Few among many: found by the index of withdrawn ones, whatever their number.
        return withdrawn_rows(tx, tenant, filter, issuer, cursor, limit);
    }
    let before: i64 = match cursor {
        None => i64::MAX,
        Some(cursor) => cursor.parse().map_err(|_| ListError::BadCursor)?,
    };
    let (mut items, mut looked_at, mut last, mut more) = (Vec::new(), 0, before, false);
    let visit = |row: &Row<'_>| {
        looked_at += 1;
        last = row.get(0)?;
        items.extend(collect(tx, row, filter, issuer)?);
        if items.len() >= limit || looked_at >= LOOKED_AT {
            more = true;
            return Ok(ControlFlow::Break(()));
        }
        Ok(ControlFlow::Continue(()))
    };
    tx.walk(
        concat!(
            "SELECT ",
            columns!(),
            " FROM cert JOIN device ON device.no = cert.device
             WHERE cert.tenant = $1 AND cert.no < $2 ORDER BY cert.no DESC"
        ),
        &[&tenant.0, &before],
        visit,
    )?;
    Ok(Page {
        items,
        next: more.then(|| last.to_string()),
    })
}

/// One page of the certificates of the devices that talk to a service: by device in the order of
/// registration, the newest of each first.
pub fn of_service(
    tx: &ReadTx<'_>,
    tenant: TenantId,
    service: &str,
    filter: &CertificateFilter,
    cursor: Option<&str>,
    limit: usize,
) -> Result<Page<CertificateRow>, ListError> {
    let unknown = |noun, name: &str| ListError::Unknown {
        noun,
        name: name.to_owned(),
    };
    let no = registry::service::no(tx, tenant, service)?
        .ok_or_else(|| unknown("service", service))?
        .0;
    let issuer = match &filter.issuer {
        None => None,
        Some(name) => Some(
            issuer::by_name(tx, tenant, name)?
                .ok_or_else(|| unknown("issuer", name))?
                .no
                .0,
        ),
    };
    let (from, before) = cursor.map_or(Ok((0, i64::MAX)), pair)?;
    let most = i64::try_from(limit.max(1)).unwrap_or(i64::MAX);
    let (mut items, mut looked_at, mut last) = (Vec::new(), 0, (from, before));
    loop {
        // Devices one page at a time; each one's certificates hang on its row as a chain.
        let devices = tx.all(
            "SELECT device.no, device.last_cert FROM device_service
             JOIN device ON device.no = device_service.device
             WHERE device_service.service = $1 AND device_service.device >= $2
             ORDER BY device_service.device LIMIT $3",
            &[&no, &last.0, &most.saturating_add(1)],
            |row| Ok((row.get::<i64>(0)?, row.get::<i64>(1)?)),
        )?;
        let is_end = i64::try_from(devices.len()).is_ok_and(|found| found <= most);
        for (device, newest) in devices {
            if device != last.0 {
                last = (device, i64::MAX);
            }
            let mut next = newest;
            while next != 0 {
                let (taken, prev) = tx
                    .first(
                        concat!(
                            "SELECT ",
                            columns!(),
                            ", cert.prev FROM cert JOIN device ON device.no = cert.device
                             WHERE cert.no = $1"
                        ),
                        &[&next],
                        |row| {
                            let taken = match row.get::<i64>(0)? < last.1 {
                                true => collect(tx, row, filter, issuer)?,
                                false => None,
                            };
                            Ok((taken, row.get::<i64>(20)?))
                        },
                    )?
                    .unwrap_or_default();
                // What an earlier page showed is passed over.
                if next < last.1 {
                    looked_at += 1;
                    last.1 = next;
                    items.extend(taken);
                }
                if items.len() >= limit.max(1) || looked_at >= LOOKED_AT {
                    return Ok(Page {
                        items,
                        next: Some(format!("{}.{}", last.0, last.1)),
                    });
                }
                next = prev;
            }
        }
        if is_end {
            return Ok(Page { items, next: None });
        }
        last = (last.0 + 1, i64::MAX);
    }
}

/// A cursor of two numbers.
fn pair(cursor: &str) -> Result<(i64, i64), ListError> {
    let (a, b) = cursor.split_once('.').ok_or(ListError::BadCursor)?;
    match (a.parse(), b.parse()) {
        (Ok(a), Ok(b)) => Ok((a, b)),
        _ => Err(ListError::BadCursor),
    }
}

/// One page of revoked and held certificates, the latest withdrawal first.
pub fn withdrawn(
    tx: &ReadTx<'_>,
    tenant: TenantId,
    cursor: Option<&str>,
    limit: usize,
) -> Result<Page<CertificateRow>, ListError> {
    withdrawn_rows(
        tx,
        tenant,
        &CertificateFilter::default(),
        None,
        cursor,
        limit.max(1),
    )
}

fn withdrawn_rows(
    tx: &ReadTx<'_>,
    tenant: TenantId,
    filter: &CertificateFilter,
    issuer: Option<i64>,
    cursor: Option<&str>,
    limit: usize,
) -> Result<Page<CertificateRow>, ListError> {
    let (at, no) = cursor.map_or(Ok((i64::MAX, i64::MAX)), pair)?;
    let (mut items, mut looked_at, mut last, mut more) = (Vec::new(), 0, (at, no), false);
    let rows = match filter.status {
        // Few among the withdrawn: found by their suspensions, of which they are the open ones. A
        // suspension begins when its certificate counts as withdrawn.
        Some(Status::Held) => concat!(
            "SELECT ",
            columns!(),
            " FROM cert_hold CROSS JOIN cert ON cert.no = cert_hold.cert
             JOIN device ON device.no = cert.device
             WHERE cert_hold.tenant = $1 AND cert_hold.until = 9223372036854775807
             AND cert_hold.since <= $2 AND (cert_hold.since < $2 OR cert_hold.cert < $3)
             ORDER BY cert_hold.since DESC, cert_hold.cert DESC"
        ),
        _ => concat!(
            "SELECT ",
            columns!(),
            " FROM cert JOIN device ON device.no = cert.device
             WHERE cert.rev_at > 0 AND cert.rev_at <= $2
             AND (cert.rev_at < $2 OR cert.no < $3) AND cert.tenant = $1
             ORDER BY cert.rev_at DESC, cert.no DESC"
        ),
    };
    tx.walk(rows, &[&tenant.0, &at, &no], |row| {
        looked_at += 1;
        last = (row.get(12)?, row.get(0)?);
        items.extend(collect(tx, row, filter, issuer)?);
        if items.len() >= limit || looked_at >= LOOKED_AT {
            more = true;
            return Ok(ControlFlow::Break(()));
        }
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(Page {
        items,
        next: more.then(|| format!("{}.{}", last.0, last.1)),
    })
}

/// One page of certificates that are in force, have no successor, and end between `from` and
/// `until`; the first to end first.
pub fn ending(
    tx: &ReadTx<'_>,
    tenant: TenantId,
    from: Time,
    until: Time,
    cursor: Option<&str>,
    limit: usize,
) -> Result<Page<CertificateRow>, ListError> {
    let (na, no) = cursor.map_or(Ok((from.unix(), 0)), pair)?;
    let limit = limit.max(1);
    // The index is by class, so each class gives the numbers of its first rows, and only the first
    // of all are read.
    let most = i64::try_from(limit).unwrap_or(i64::MAX);
    let mut found: Vec<(i64, i64)> = Vec::new();
    for (ClassNo(class), _) in class::list(tx, tenant, ClassNo(0), u32::MAX)? {
        found.extend(tx.all(
            "SELECT na, no FROM cert
             WHERE status = 3 AND class = $1 AND na >= $2 AND na <= $3
             AND (na > $2 OR no > $4) ORDER BY na, no LIMIT $5",
            &[&class, &na, &until.unix(), &no, &most],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )?);
    }
    found.sort_unstable();
    found.truncate(limit);
    let last = found.last().map(|(na, no)| format!("{na}.{no}"));
    let is_full = found.len() == limit;
    let mut items = Vec::with_capacity(found.len());
    for (_, no) in found {
        items.extend(certificate::row(tx, CertificateNo(no))?);
    }
    Ok(Page {
        items,
        next: last.filter(|_| is_full),
    })
}

/// For each class, when the first of its certificates in force and without a successor ends.
pub fn next_ends(
    tx: &ReadTx<'_>,
    tenant: TenantId,
    now: Time,
) -> Result<Vec<(Title, Time)>, StoreError> {
    let mut ends = Vec::new();
    for (ClassNo(class), _) in class::list(tx, tenant, ClassNo(0), u32::MAX)? {
        let end = tx.one(
            "SELECT na FROM cert WHERE status = 3 AND class = $1 AND na >= $2
             ORDER BY na LIMIT 1",
            &[&class, &now.unix()],
            |row| row.time(0),
        )?;
        if let Some(end) = end {
            ends.push((name(tx, Noun::Class, class)?, end));
        }
    }
    Ok(ends)
}
