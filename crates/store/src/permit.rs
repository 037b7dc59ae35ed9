//! What an operator has withdrawn alone, and what others allow beyond that.

use tenure_domain::event::Event;
use tenure_domain::permit::{ALONE_WINDOW_S, NewPermit, Permit};
use tenure_domain::{Actor, OperatorNo, TenantId};
use tenure_x509::Time;

use crate::error::StoreError;
use crate::stamp::Stamp;
use crate::tx::{ReadTx, Row, Tx};

/// Whether somebody may withdraw so many.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Spent {
    /// Yes, and it is counted.
    Within,
    /// No: only so many more.
    Short {
        /// How many.
        left: u32,
    },
}

/// Gives a permit to the operator with a token of this name.
pub fn grant(
    tx: &mut Tx<'_>,
    new: &NewPermit,
    name: &str,
    by: &str,
    actor: &Actor,
    now: Time,
) -> Result<i64, StoreError> {
    let stamp = Stamp::new(actor, now);
    let until = now.plus(new.life_s);
    let no = tx.insert(
        "INSERT INTO permit(tenant, operator, name, revocations, used, until, granted, granted_by, why)
         VALUES($1, $2, $3, $4, 0, $5, $6, $7, $8) RETURNING no",
        &[
            &stamp.tenant.0,
            &new.operator.0,
            &name,
            &new.revocations,
            &until.unix(),
            &now.unix(),
            &by,
            &new.why,
        ],
    )?;
    let event = Event::RevocationsPermitted {
        operator: new.operator.0,
        permit: no,
        revocations: new.revocations,
        until,
        why: new.why.clone(),
    };
    tx.log(&stamp.entry(event))?;
    Ok(no)
}

/// Counts `count` withdrawals of an operator who may do `alone_max` an hour alone, and permits beyond.
pub fn spend(
    tx: &mut Tx<'_>,
    operator: OperatorNo,
    count: u32,
    alone_max: u32,
    now: Time,
) -> Result<Spent, StoreError> {
    let counted = tx.one(
        "SELECT since, n FROM revoked_alone WHERE operator = $1",
        &[&operator.0],
        |row| Ok((row.time(0)?, row.get::<u32>(1)?)),
    )?;
    let (since, done) = counted
        .filter(|(since, _)| now < since.plus(ALONE_WINDOW_S))
        .unwrap_or((now, 0));
    let alone = count.min(alone_max.saturating_sub(done));
    let permits = good(tx, operator, now)?;
    let allowed = permits
        .iter()
        .fold(0_u32, |sum, (_, left)| sum.saturating_add(*left));
    let mut beyond = count - alone;
    if beyond > allowed {
        let left = alone.saturating_add(allowed);
        return Ok(Spent::Short { left });
    }
    tx.run(
        "INSERT INTO revoked_alone(operator, since, n) VALUES($1, $2, $3)
         ON CONFLICT(operator) DO UPDATE SET since = $2, n = $3",
        &[&operator.0, &since.unix(), &(done + alone)],
    )?;
    for (no, left) in permits {
        let taken = beyond.min(left);
        if taken == 0 {
            break;
        }
        tx.run(
            "UPDATE permit SET used = used + $2 WHERE no = $1",
            &[&no, &taken],
        )?;
        beyond -= taken;
    }
    Ok(Spent::Within)
}

/// The permits of an operator that still allow something, those that end first first: row, and how much.
fn good(tx: &ReadTx<'_>, operator: OperatorNo, now: Time) -> Result<Vec<(i64, u32)>, StoreError> {
    tx.all(
        "SELECT no, revocations - used FROM permit
         WHERE operator = $1 AND until > $2 AND used < revocations ORDER BY until",
        &[&operator.0, &now.unix()],
        |row| Ok((row.get(0)?, row.get(1)?)),
    )
}

fn read(row: &Row<'_>) -> Result<Permit, StoreError> {
    Ok(Permit {
        no: row.get(0)?,
        operator: OperatorNo(row.get(1)?),
        name: row.get(2)?,
        revocations: row.get(3)?,
        used: row.get(4)?,
        until: row.time(5)?,
        granted: row.time(6)?,
        granted_by: row.get(7)?,
        why: row.get(8)?,
    })
}

/// Permits, newest first, before row `before`; at most `limit`.
pub fn list(
    tx: &ReadTx<'_>,
    tenant: TenantId,
    before: Option<i64>,
    limit: u32,
) -> Result<Vec<Permit>, StoreError> {
    tx.all(
        "SELECT no, operator, name, revocations, used, until, granted, granted_by, why FROM permit
         WHERE tenant = $1 AND no < $2 ORDER BY no DESC LIMIT $3",
        &[&tenant.0, &before.unwrap_or(i64::MAX), &limit],
        read,
    )
}
