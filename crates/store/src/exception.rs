//! Exceptions: one row each, proposed by one operator, approved by another, ended by somebody or by
//! time. Each of these is on record.

use tenure_domain::decision::Ground;
use tenure_domain::event::{Entry, Event};
use tenure_domain::exception::{
    Exception, ExceptionState, NewException, Over, Scope, ScopeKind, Signature,
};
use tenure_domain::{Actor, ExceptionNo, OperatorNo, TenantId};
use tenure_x509::Time;

use crate::device;
use crate::error::StoreError;
use crate::stamp::Stamp;
use crate::tx::{ReadTx, Row, Tx};

/// Proposes one.
pub fn add(
    tx: &mut Tx<'_>,
    new: &NewException,
    by: &Signature,
    actor: &Actor,
) -> Result<ExceptionNo, StoreError> {
    let stamp = Stamp::new(actor, by.at);
    let no = tx.insert(
        "INSERT INTO exception(tenant, state, scope, name, lifts, reason, until, added, added_no,
           added_by, approved, approved_no, approved_by, over, over_by, over_why)
         VALUES($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 0, 0, '', 0, '', '') RETURNING no",
        &[
            &stamp.tenant.0,
            &ExceptionState::Proposed.code(),
            &new.scope.kind().code(),
            &new.scope.name(),
            &new.lifts.to_string(),
            &new.reason,
            &new.until.unix(),
            &by.at.unix(),
            &by.operator.0,
            &by.name,
        ],
    )?;
    let grounds = new.lifts.grounds().iter();
    let event = Event::ExceptionAdded {
        exception: no,
        lifts: grounds.map(ToString::to_string).collect(),
        reason: new.reason.clone(),
        scope: new.scope.to_string(),
        until: new.until,
    };
    log(tx, &stamp, &new.scope, event)?;
    Ok(ExceptionNo(no))
}

/// Makes a proposed one active.
pub fn approve(
    tx: &mut Tx<'_>,
    exception: &Exception,
    by: &Signature,
    actor: &Actor,
) -> Result<(), StoreError> {
    tx.run(
        "UPDATE exception SET state = $2, approved = $3, approved_no = $4, approved_by = $5
         WHERE no = $1",
        &[
            &exception.no.0,
            &ExceptionState::Active.code(),
            &by.at.unix(),
            &by.operator.0,
            &by.name,
        ],
    )?;
    let event = Event::ExceptionApproved {
        exception: exception.no.0,
    };
    log(tx, &Stamp::new(actor, by.at), &exception.scope, event)
}

/// Ends one before its time.
pub fn end(
    tx: &mut Tx<'_>,
    exception: &Exception,
    by: &str,
    why: &str,
    actor: &Actor,
    now: Time,
) -> Result<(), StoreError> {
    close(tx, exception.no, ExceptionState::Ended, now, (by, why))?;
    let event = Event::ExceptionEnded {
        exception: exception.no.0,
        why: why.to_owned(),
    };
    log(tx, &Stamp::new(actor, now), &exception.scope, event)
}

/// Writes down that the time of one is over.
pub fn lapse(
    tx: &mut Tx<'_>,
    exception: &Exception,
    actor: &Actor,
    now: Time,
) -> Result<(), StoreError> {
    let over = exception.until;
    close(tx, exception.no, ExceptionState::Lapsed, over, ("", ""))?;
    let event = Event::ExceptionLapsed {
        exception: exception.no.0,
    };
    log(tx, &Stamp::new(actor, now), &exception.scope, event)
}

fn close(
    tx: &mut Tx<'_>,
    no: ExceptionNo,
    state: ExceptionState,
    at: Time,
    (by, why): (&str, &str),
) -> Result<(), StoreError> {
    tx.run(
        "UPDATE exception SET state = $2, over = $3, over_by = $4, over_why = $5 WHERE no = $1",
        &[&no.0, &state.code(), &at.unix(), &by, &why],
    )?;
    Ok(())
}

/// Records an event; one about a device is part of the device's history.
fn log(tx: &mut Tx<'_>, stamp: &Stamp<'_>, scope: &Scope, event: Event) -> Result<(), StoreError> {
    let mut entry: Entry = stamp.entry(event);
    if let Scope::Device(id) = scope
        && let Some(device) = device::by_id(tx, stamp.tenant, id)?
    {
        entry = entry.about(device.no, &device.id);
    }
    tx.log(&entry)?;
    Ok(())
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT no, state, scope, name, lifts, reason, until, added, added_no, added_by,
               approved, approved_no, approved_by, over, over_by, over_why FROM exception ",
            $rest
        )
    };
}

fn read(row: &Row<'_>) -> Result<Exception, StoreError> {
    let unreadable = |what| StoreError::Unreadable { what };
    let kind = ScopeKind::from_code(row.get(2)?).ok_or(unreadable("exception.scope"))?;
    let grounds: Result<Vec<Ground>, _> = row.text(4)?.split(',').map(str::parse).collect();
    let signed = |at: usize| -> Result<Option<Signature>, StoreError> {
        let Some(time) = row.some_time(at)? else {
            return Ok(None);
        };
        Ok(Some(Signature {
            operator: OperatorNo(row.get(at + 1)?),
            name: row.get(at + 2)?,
            at: time,
        }))
    };
    let over = match row.some_time(13)? {
        None => None,
        Some(at) => Some(Over {
            at,
            by: Some(row.get::<String>(14)?).filter(|by| !by.is_empty()),
            why: row.get(15)?,
        }),
    };
    Ok(Exception {
        no: ExceptionNo(row.get(0)?),
        kept: ExceptionState::from_code(row.get(1)?).ok_or(unreadable("exception.state"))?,
        scope: Scope::read(kind, row.text(3)?).ok_or(unreadable("exception.name"))?,
        lifts: grounds
            .ok()
            .and_then(|grounds| grounds.try_into().ok())
            .ok_or(unreadable("exception.lifts"))?,
        reason: row.get(5)?,
        until: row.time(6)?,
        added: signed(7)?.ok_or(unreadable("exception.added"))?,
        approved: signed(10)?,
        over,
    })
}

/// One exception.
pub fn by_no(tx: &ReadTx<'_>, no: ExceptionNo) -> Result<Option<Exception>, StoreError> {
    tx.one(select!("WHERE no = $1"), &[&no.0], read)
}

/// Exceptions that were last written down in a state, or all, newest first, before row `before`; at
/// most `limit`.
pub fn list(
    tx: &ReadTx<'_>,
    tenant: TenantId,
    state: Option<ExceptionState>,
    before: Option<ExceptionNo>,
    limit: u32,
) -> Result<Vec<Exception>, StoreError> {
    let before = before.map_or(i64::MAX, |no| no.0);
    match state {
        Some(state) => tx.all(
            select!("WHERE tenant = $1 AND state = $2 AND no < $3 ORDER BY no DESC LIMIT $4"),
            &[&tenant.0, &state.code(), &before, &limit],
            read,
        ),
        None => tx.all(
            select!("WHERE +tenant = $1 AND no < $2 ORDER BY no DESC LIMIT $3"),
            &[&tenant.0, &before, &limit],
            read,
        ),
    }
}

/// All that are written down as proposed or active; few, see [`tenure_domain::exception::OPEN_MAX`].
pub fn open(tx: &ReadTx<'_>, tenant: TenantId) -> Result<Vec<Exception>, StoreError> {
    let mut open = Vec::new();
    for state in [ExceptionState::Proposed, ExceptionState::Active] {
        open.extend(tx.all(
            select!("WHERE tenant = $1 AND state = $2 ORDER BY no"),
            &[&tenant.0, &state.code()],
            read,
        )?);
    }
    Ok(open)
}
