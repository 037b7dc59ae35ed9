//! What was true at a time.
//!
//! Two questions are kept apart. *As now known about T* reads the rows, which know everything that
//! was recorded since, back-dated compromises included. *As known at T* folds a device's events up
//! to T and knows nothing later.

use std::collections::HashSet;
use std::ops::ControlFlow;

use serde_json::Value;
use tenure_domain::certificate::{CertificateRow, Status};
use tenure_domain::{CertificateNo, DeviceNo, SiteNo, TenantId};
use tenure_x509::{Reason, Time};

use crate::certificate::{columns, day, row_of};
use crate::error::StoreError;
use crate::event;
use crate::registry;
use crate::tx::{ReadTx, Row};
use crate::view::ListError;

/// What a certificate was at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum StateAt {
    /// In force, replaced or not.
    Active,
    /// Over, and not revoked before.
    Expired,
    /// Suspended.
    Held,
    /// Withdrawn.
    Revoked,
}

impl StateAt {
    /// The word people see.
    pub fn word(self) -> &'static str {
        match self {
            StateAt::Active => "active",
            StateAt::Expired => "expired",
            StateAt::Held => "held",
            StateAt::Revoked => "revoked",
        }
    }
}

/// Certificates counted by what they were.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct CountsAt {
    /// In force.
    pub active: u64,
    /// Over, and not revoked before.
    pub expired: u64,
    /// Suspended.
    pub held: u64,
    /// Withdrawn while in force.
    pub revoked: u64,
}

impl CountsAt {
    fn add(&mut self, state: StateAt) {
        match state {
            StateAt::Active => self.active += 1,
            StateAt::Expired => self.expired += 1,
            StateAt::Held => self.held += 1,
            StateAt::Revoked => self.revoked += 1,
        }
    }
}

/// What all certificates of a tenant were at a time. Whole days come from counters; the rows of the
/// day itself are counted.
pub fn fleet(tx: &ReadTx<'_>, tenant: TenantId, at: Time) -> Result<CountsAt, StoreError> {
    let (unix, today) = (at.unix(), day(at.unix()));
    let midnight = today * 86_400;
    let (issued, ended, revoked) = tx
        .one(
            "SELECT sum(issued), sum(ending), sum(revoked) FROM cert_day
             WHERE tenant = $1 AND day < $2",
            &[&tenant.0, &today],
            |row| {
                let sum =
                    |column| Ok::<_, StoreError>(row.get::<Option<i64>>(column)?.unwrap_or(0));
                Ok((sum(0)?, sum(1)?, sum(2)?))
            },
        )?
        .unwrap_or_default();
    let issued = issued
        + tx.number(
            "SELECT count(*) FROM cert WHERE issued >= $1 AND issued <= $2",
            &[&midnight.max(1), &unix],
        )?;
    // Of what ended today so far, the rows revoked before their end do not count as expired.
    let ended = ended
        + tx.number(
            "SELECT count(*) FROM cert WHERE na >= $1 AND na < $2",
            &[&midnight, &unix],
        )?
        - tx.number(
            "SELECT count(*) FROM cert WHERE rev_at > 0 AND na >= $1 AND na < $2
             AND (status = 2 OR (status = 6 AND rev_at <= na))",
            &[&midnight, &unix],
        )?;
    let revoked = revoked
        + tx.number(
            "SELECT count(*) FROM cert WHERE rev_at >= $1 AND rev_at <= $2 AND rev_at > 0
             AND status = 6 AND rev_at <= na",
            &[&midnight, &unix],
        )?;
    let canaries = canaries(tx, tenant, midnight, unix)?;
    let held = tx.number(
        "SELECT count(*) FROM cert_hold
         WHERE tenant = $1 AND until > $2 AND since <= $2 AND na >= $2",
        &[&tenant.0, &unix],
    )?;
    let count = |n: i64| u64::try_from(n).unwrap_or(0);
    let (issued, ended, revoked) = (
        issued - canaries.issued,
        ended - canaries.ended,
        revoked - canaries.revoked,
    );
    Ok(CountsAt {
        active: count(issued - ended - revoked - held),
        expired: count(ended),
        held: count(held),
        revoked: count(revoked),
    })
}

/// Canaries of a part of a day, which stand in no count.
#[derive(Default)]
struct Canaries {
    issued: i64,
    ended: i64,
    revoked: i64,
}

/// The longest from a canary's release to its end, in seconds: two hours.
const CANARY_S: i64 = 7_200;

/// Counts the canaries among the rows of the day: back through those of each issuer until they are
/// too old to matter.
fn canaries(
    tx: &ReadTx<'_>,
    tenant: TenantId,
    midnight: i64,
    unix: i64,
) -> Result<Canaries, StoreError> {
    let newest = tx.all(
        "SELECT last_cert FROM device WHERE tenant = $1 AND class < 0",
        &[&tenant.0],
        |row| row.get::<i64>(0),
    )?;
    let mut found = Canaries::default();
    for mut next in newest {
        while next != 0 {
            let row = tx.one(
                "SELECT prev, issued, na, status, rev_at FROM cert WHERE no = $1",
                &[&next],
                |row| {
                    Ok::<(i64, i64, i64, i64, i64), _>((
                        row.get(0)?,
                        row.get(1)?,
                        row.get(2)?,
                        row.get(3)?,
                        row.get(4)?,
                    ))
                },
            )?;
            let Some((prev, issued, na, status, rev_at)) = row else {
                break;
            };
            if issued < midnight - CANARY_S {
                break;
            }
            let is_revoked = status == Status::Revoked.code() && rev_at <= na;
            let is_void = status == Status::Voided.code();
            found.issued += i64::from((midnight.max(1)..=unix).contains(&issued));
            let is_over = (midnight..unix).contains(&na);
            found.ended += i64::from(is_over && !is_revoked && !is_void);
            found.revoked += i64::from(is_revoked && (midnight..=unix).contains(&rev_at));
            next = prev;
        }
    }
    Ok(found)
}

/// What a device's certificates were at a time, as now known; the newest first. A certificate whose
/// key is now known to have been bad at that time counts as revoked then.
pub fn device(
    tx: &ReadTx<'_>,
    device: DeviceNo,
    at: Time,
) -> Result<Vec<(CertificateRow, StateAt)>, StoreError> {
    let mut found = Vec::new();
    chain(tx, device.0, at, |tx, row, state| {
        found.push((row_of(tx, row)?, state));
        Ok(ControlFlow::Continue(()))
    })?;
    Ok(found)
}

/// Walks a device's certificates and tells what each was, until it breaks.
fn chain(
    tx: &ReadTx<'_>,
    device: i64,
    at: Time,
    mut visit: impl FnMut(&ReadTx<'_>, &Row<'_>, StateAt) -> Result<ControlFlow<()>, StoreError>,
) -> Result<(), StoreError> {
    let mut next = tx.number("SELECT last_cert FROM device WHERE no = $1", &[&device])?;
    while next != 0 {
        let prev = tx.first(
            concat!(
                "SELECT ",
                columns!(),
                ", cert.prev, EXISTS(SELECT 1 FROM cert_hold WHERE cert_hold.cert = cert.no
                   AND cert_hold.since <= $2 AND cert_hold.until > $2)
                 FROM cert JOIN device ON device.no = cert.device WHERE cert.no = $1"
            ),
            &[&next, &at.unix()],
            |row| match state_of(row, at)? {
                Some(state) if visit(tx, row, state)?.is_break() => Ok(0),
                _ => row.get::<i64>(20),
            },
        )?;
        next = prev.unwrap_or(0);
    }
    Ok(())
}

/// The state of a row of [`chain`]; none before its release.
fn state_of(row: &Row<'_>, at: Time) -> Result<Option<StateAt>, StoreError> {
    let was = Was {
        status: row.get(10)?,
        end: row.time(8)?,
        released: row.time(19)?,
        withdrawn: row.time(12)?,
        bad_since: row.some_time(13)?,
        is_held: row.get(21)?,
    };
    Ok(was.state(at))
}

/// What a certificate's state at a time follows from.
struct Was {
    status: i64,
    end: Time,
    released: Time,
    withdrawn: Time,
    bad_since: Option<Time>,
    is_held: bool,
}

impl Was {
    /// The state; none before its release.
    fn state(&self, at: Time) -> Option<StateAt> {
        if self.status == Status::Voided.code() || self.released > at {
            return None;
        }
        if self.status == Status::Revoked.code() {
            let told = self.withdrawn;
            let since = self.bad_since.map_or(told, |bad| bad.min(told));
            if since <= at && since <= self.end {
                return Some(StateAt::Revoked);
            }
        }
        Some(if self.end < at {
            StateAt::Expired
        } else if self.is_held {
            StateAt::Held
        } else {
            StateAt::Active
        })
    }
}

/// What the certificates of the devices that stood then at a site, or at one that is inside it now,
/// were.
pub fn site(tx: &ReadTx<'_>, site: SiteNo, at: Time) -> Result<CountsAt, StoreError> {
    let mut devices = Vec::new();
    devices_then(tx, site, at, None, |device| {
        devices.push(device);
        Ok(ControlFlow::Continue(()))
    })?;
    let newest = tx.number("SELECT max(no) FROM cert", &[])?;
    let mut counts = CountsAt::default();
    if i64::try_from(devices.len()).unwrap_or(i64::MAX) >= newest / SCANNED_FROM {
        scan(tx, &devices, at, &mut counts)?;
    } else {
        for device in devices {
            chain(tx, device, at, |_, _, state| {
                counts.add(state);
                Ok(ControlFlow::Continue(()))
            })?;
        }
    }
    Ok(counts)
}

/// If a site has one device or more for so many certificates, reading all of them in their order is
/// faster than following the devices' chains.
const SCANNED_FROM: i64 = 32;

/// The same one by one, for a list: certificates of devices that stood there then, by device, those
/// after `last` up to a limit.
///
/// # Errors
/// `last` is no certificate of such a list.
pub fn site_list(
    tx: &ReadTx<'_>,
    site: SiteNo,
    at: Time,
    last: Option<CertificateNo>,
    limit: usize,
) -> Result<Vec<(CertificateRow, StateAt)>, ListError> {
    let mut found = Vec::new();
    if limit == 0 {
        return Ok(found);
    }
    let from = last.map(|last| stood(tx, last, at)).transpose()?;
    let mut passing = last;
    let mut is_strange = false;
    let more = |found: &Vec<_>| match found.len() < limit {
        true => ControlFlow::Continue(()),
        false => ControlFlow::Break(()),
    };
    devices_then(tx, site, at, from, |device| {
        chain(tx, device, at, |tx, row, state| {
            match passing {
                Some(last) if row.get::<i64>(0)? == last.0 => passing = None,
                Some(_) => {}
                None => found.push((row_of(tx, row)?, state)),
            }
            Ok(more(&found))
        })?;
        if passing.is_some() {
            // What is after a certificate that is not in the list cannot be told.
            is_strange = true;
            return Ok(ControlFlow::Break(()));
        }
        Ok(more(&found))
    })?;
    match is_strange {
        true => Err(ListError::BadCursor),
        false => Ok(found),
    }
}

/// A place in [`devices_then`].
#[derive(Clone, Copy)]
struct Place {
    site: SiteNo,
    device: i64,
}

/// Where the device of a certificate stood then.
fn stood(tx: &ReadTx<'_>, certificate: CertificateNo, at: Time) -> Result<Place, ListError> {
    let found = tx.one(
        "SELECT device_assign.site, device_assign.device FROM cert
         JOIN device_assign ON device_assign.device = cert.device
         WHERE cert.no = $1 AND device_assign.until > $2 AND device_assign.since <= $2",
        &[&certificate.0, &at.unix()],
        |row| {
            Ok(Place {
                site: SiteNo(row.get(0)?),
                device: row.get(1)?,
            })
        },
    )?;
    found.ok_or(ListError::BadCursor)
}

/// The devices that stood then at a site, or at one that is inside it now, site by site and in the
/// order of their numbers, from a place on, until `visit` breaks.
fn devices_then(
    tx: &ReadTx<'_>,
    site: SiteNo,
    at: Time,
    from: Option<Place>,
    mut visit: impl FnMut(i64) -> Result<ControlFlow<()>, StoreError>,
) -> Result<(), StoreError> {
    let inside = registry::site::inside(tx, site)?.into_iter();
    // The tree may have changed since the place was told.
    let before = |site: &SiteNo| from.is_some_and(|from| *site < from.site);
    for SiteNo(site) in inside.skip_while(before) {
        let first = from.filter(|from| from.site == SiteNo(site));
        let first = first.map_or(0, |from| from.device);
        let mut next = ControlFlow::Continue(());
        tx.walk(
            "SELECT device FROM device_assign
             WHERE site = $1 AND until > $2 AND since <= $2 AND device >= $3 ORDER BY device",
            &[&site, &at.unix(), &first],
            |row| {
                next = visit(row.get(0)?)?;
                Ok(next)
            },
        )?;
        if next.is_break() {
            break;
        }
    }
    Ok(())
}

/// Counts the certificates of these devices by reading those of all.
fn scan(
    tx: &ReadTx<'_>,
    devices: &[i64],
    at: Time,
    counts: &mut CountsAt,
) -> Result<(), StoreError> {
    let devices: HashSet<i64> = devices.iter().copied().collect();
    let held = tx.all(
        "SELECT cert FROM cert_hold WHERE until > $1 AND since <= $1",
        &[&at.unix()],
        |row| row.get::<i64>(0),
    )?;
    let held: HashSet<i64> = held.into_iter().collect();
    tx.walk(
        "SELECT no, device, status, na, issued, rev_at, invalidity FROM cert",
        &[],
        |row| {
            if devices.contains(&row.get(1)?) {
                let was = Was {
                    status: row.get(2)?,
                    end: row.time(3)?,
                    released: row.time(4)?,
                    withdrawn: row.time(5)?,
                    bad_since: row.some_time(6)?,
                    is_held: held.contains(&row.get(0)?),
                };
                was.state(at)
                    .into_iter()
                    .for_each(|state| counts.add(state));
            }
            Ok(ControlFlow::Continue(()))
        },
    )
}

/// A certificate as the record alone tells of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Told {
    /// Its serial in hex.
    pub serial: String,
    /// Until when it is valid.
    pub not_after: Time,
    /// What it was.
    pub state: StateAt,
    /// Why it was withdrawn.
    pub reason: Option<Reason>,
}

/// What was known at a time of a device's certificates: a fold of the events recorded until then, in
/// the order of release.
pub fn known(tx: &ReadTx<'_>, device: DeviceNo, at: Time) -> Result<Vec<Told>, StoreError> {
    let mut told: Vec<Told> = Vec::new();
    let mut events = event::of_device(tx, device, None, u32::MAX)?;
    events.retain(|event| event.at <= at);
    for event in events.into_iter().rev() {
        let leaf: Value = serde_json::from_slice(&event.leaf)
            .map_err(|_| StoreError::Unreadable { what: "event.leaf" })?;
        let fields = leaf
            .get("event")
            .and_then(|body| body.get(event.kind))
            .unwrap_or(&Value::Null);
        let text = |name: &str| fields.get(name).and_then(Value::as_str).unwrap_or_default();
        let serial = text("serial").to_owned();
        let state = match event.kind {
            "certificate-issued" => {
                let not_after = Time::parse_rfc3339(text("not_after"))
                    .map_err(|_| StoreError::Unreadable { what: "event.leaf" })?;
                let state = StateAt::Active;
                told.push(Told {
                    serial,
                    not_after,
                    state,
                    reason: None,
                });
                continue;
            }
            "certificate-revoked" => StateAt::Revoked,
            "certificate-held" => StateAt::Held,
            "certificate-released" => StateAt::Active,
            _ => continue,
        };
        // What was over before it was revoked is over.
        let in_time = |one: &&mut Told| state != StateAt::Revoked || event.at <= one.not_after;
        let one = told.iter_mut().find(|one| one.serial == serial);
        if let Some(one) = one.filter(in_time) {
            one.state = state;
            one.reason = text("reason").parse().ok();
        }
    }
    for one in &mut told {
        if one.not_after < at && one.state != StateAt::Revoked {
            one.state = StateAt::Expired;
        }
    }
    Ok(told)
}
