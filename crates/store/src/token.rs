//! Operator tokens, kept as hashes.

use tenure_domain::event::{Entry, Event};
use tenure_domain::operator::Token;
use tenure_domain::{Actor, OperatorNo, Role, TenantId};
use tenure_x509::Time;

use crate::error::StoreError;
use crate::tx::{ReadTx, Row, Tx};

/// Registers a token by the SHA-256 of its text, in the default tenant.
pub fn create(
    tx: &mut Tx<'_>,
    name: &str,
    role: Role,
    hash: &[u8; 32],
    expires: Option<Time>,
    actor: &Actor,
    now: Time,
) -> Result<OperatorNo, StoreError> {
    let no = tx.insert(
        "INSERT INTO token(tenant, name, hash, role, created, expires, revoked)
         VALUES($1, $2, $3, $4, $5, $6, 0) RETURNING no",
        &[
            &TenantId::DEFAULT.0,
            &name,
            &hash.as_slice(),
            &role.code(),
            &now.unix(),
            &expires.map_or(0, Time::unix),
        ],
    )?;
    let event = Event::TokenCreated {
        name: name.to_owned(),
        role,
        token: no,
    };
    tx.log(&Entry::new(actor.clone(), now, event))?;
    Ok(OperatorNo(no))
}

/// Withdraws a token; `None` if there is no such token. One that is withdrawn already is left alone,
/// with an excuse.
pub fn revoke(
    tx: &mut Tx<'_>,
    no: OperatorNo,
    actor: &Actor,
    now: Time,
) -> Result<Option<Token>, StoreError> {
    let Some(token) = by_no(tx, no)? else {
        return Ok(None);
    };
    if token.revoked.is_some() {
        tx.excuse("the token was withdrawn before");
        return Ok(Some(token));
    }
    tx.run(
        "UPDATE token SET revoked = $2 WHERE no = $1",
        &[&no.0, &now.unix()],
    )?;
    tx.run("DELETE FROM session WHERE token = $1", &[&no.0])?;
    let event = Event::TokenRevoked {
        name: token.name,
        token: no.0,
    };
    tx.log(&Entry::new(actor.clone(), now, event))?;
    by_no(tx, no)
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT no, name, role, created, expires, revoked FROM token ",
            $rest
        )
    };
}

fn read(row: &Row<'_>) -> Result<Token, StoreError> {
    Ok(Token {
        no: OperatorNo(row.get(0)?),
        name: row.get(1)?,
        role: Role::from_code(row.get(2)?).ok_or(StoreError::Unreadable { what: "token.role" })?,
        created: row.time(3)?,
        expires: row.some_time(4)?,
        revoked: row.some_time(5)?,
    })
}

/// The token with this hash, even if it is withdrawn or over.
pub fn by_hash(tx: &ReadTx<'_>, hash: &[u8; 32]) -> Result<Option<Token>, StoreError> {
    tx.one(select!("WHERE hash = $1"), &[&hash.as_slice()], read)
}

/// The token in this row.
pub fn by_no(tx: &ReadTx<'_>, no: OperatorNo) -> Result<Option<Token>, StoreError> {
    tx.one(select!("WHERE no = $1"), &[&no.0], read)
}

/// Tokens in the order they were made, after row `after`; at most `limit`.
pub fn list(
    tx: &ReadTx<'_>,
    tenant: TenantId,
    after: OperatorNo,
    limit: u32,
) -> Result<Vec<Token>, StoreError> {
    tx.all(
        select!("WHERE tenant = $1 AND no > $2 ORDER BY no LIMIT $3"),
        &[&tenant.0, &after.0, &limit],
        read,
    )
}
