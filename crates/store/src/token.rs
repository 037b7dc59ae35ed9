//! Operator tokens, kept as hashes.

use tenure_domain::event::{Entry, Event};
use tenure_domain::operator::Token;
use tenure_domain::{Actor, OperatorNo, RelyingPartyNo, Role, TenantId};
use tenure_x509::Time;

use crate::error::StoreError;
use crate::registry::slug;
use crate::relying_party::{self, Known};
use crate::tx::{ReadTx, Row, Tx};

/// Registers a token by the SHA-256 of its text, in the default tenant.
pub fn create(
    tx: &mut Tx<'_>,
    name: &str,
    (role, party): (Role, Option<&Known>),
    hash: &[u8; 32],
    expires: Option<Time>,
    actor: &Actor,
    now: Time,
) -> Result<OperatorNo, StoreError> {
    let no = tx.insert(
        "INSERT INTO token(tenant, name, hash, role, created, expires, revoked, party)
         VALUES($1, $2, $3, $4, $5, $6, 0, $7) RETURNING no",
        &[
            &TenantId::DEFAULT.0,
            &name,
            &hash.as_slice(),
            &role.code(),
            &now.unix(),
            &expires.map_or(0, Time::unix),
            &party.map_or(0, |known| known.no.0),
        ],
    )?;
    let event = Event::TokenCreated {
        name: name.to_owned(),
        party: party.map(|known| known.party.name.to_string()),
        role,
        token: no,
    };
    tx.log(&Entry::new(actor.clone(), now, event))?;
    Ok(OperatorNo(no))
}

/// Puts a fresh token, by the SHA-256 of its text, in the place of one that works: the same name, role,
/// party and end, and what its holder has withdrawn and may withdraw. `None` if there is none such.
pub fn rotate(
    tx: &mut Tx<'_>,
    old: OperatorNo,
    hash: &[u8; 32],
    actor: &Actor,
    now: Time,
) -> Result<Option<OperatorNo>, StoreError> {
    let Some(token) = by_no(tx, old)?.filter(|token| token.works(now)) else {
        return Ok(None);
    };
    let party = match &token.party {
        Some(party) => relying_party::by_name(tx, TenantId::DEFAULT, party.as_str())?,
        None => None,
    };
    let bound = (token.role, party.as_ref());
    let fresh = create(tx, &token.name, bound, hash, token.expires, actor, now)?;
    for moved in [
        "UPDATE revoked_alone SET operator = $2 WHERE operator = $1",
        "UPDATE permit SET operator = $2 WHERE operator = $1",
    ] {
        tx.run(moved, &[&old.0, &fresh.0])?;
    }
    revoke(tx, old, actor, now)?;
    Ok(Some(fresh))
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
    let event = Event::TokenRevoked {
        name: token.name,
        token: no.0,
    };
    tx.log(&Entry::new(actor.clone(), now, event))?;
    by_no(tx, no)
}

/// Whether somebody may still act: an operator whose token was withdrawn since may not. Tokens are never
/// deleted.
pub fn may_act(tx: &ReadTx<'_>, actor: &Actor) -> Result<bool, StoreError> {
    let Actor::Operator { no, .. } = actor else {
        return Ok(true);
    };
    let revoked = tx.first("SELECT revoked FROM token WHERE no = $1", &[&no.0], |row| {
        row.get::<i64>(0)
    })?;
    Ok(revoked.is_none_or(|at| at == 0))
}

/// Whether this token works and no other one does that may administer.
pub fn is_last_admin(tx: &ReadTx<'_>, no: OperatorNo, now: Time) -> Result<bool, StoreError> {
    let working = tx.all(
        "SELECT no FROM token WHERE role = $1 AND revoked = 0 AND (expires = 0 OR expires > $2)
         ORDER BY no LIMIT 2",
        &[&Role::Admin.code(), &now.unix()],
        |row| row.get::<i64>(0),
    )?;
    Ok(working == [no.0])
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT token.no, token.name, token.role, token.created, token.expires, token.revoked, \
             relying_party.name FROM token LEFT JOIN relying_party ON relying_party.no = token.party ",
            $rest
        )
    };
}

fn read(row: &Row<'_>) -> Result<Token, StoreError> {
    Ok(Token {
        no: OperatorNo(row.get(0)?),
        name: row.get(1)?,
        role: Role::from_code(row.get(2)?).ok_or(StoreError::Unreadable { what: "token.role" })?,
        party: match row.get::<Option<String>>(6)? {
            Some(_) => Some(slug(row, 6)?),
            None => None,
        },
        created: row.time(3)?,
        expires: row.some_time(4)?,
        revoked: row.some_time(5)?,
    })
}

/// The token with this hash, even if it is withdrawn or over.
pub fn by_hash(tx: &ReadTx<'_>, hash: &[u8; 32]) -> Result<Option<Token>, StoreError> {
    tx.one(select!("WHERE token.hash = $1"), &[&hash.as_slice()], read)
}

/// The token in this row.
pub fn by_no(tx: &ReadTx<'_>, no: OperatorNo) -> Result<Option<Token>, StoreError> {
    tx.one(select!("WHERE token.no = $1"), &[&no.0], read)
}

/// Tokens in the order they were made, after row `after`; at most `limit`.
pub fn list(
    tx: &ReadTx<'_>,
    tenant: TenantId,
    after: OperatorNo,
    limit: u32,
) -> Result<Vec<Token>, StoreError> {
    tx.all(
        select!("WHERE token.tenant = $1 AND token.no > $2 ORDER BY token.no LIMIT $3"),
        &[&tenant.0, &after.0, &limit],
        read,
    )
}

/// The tokens bound to a relying party that are not withdrawn, with the hashes of their texts: what
/// is sealed with a token can be checked by its hash.
pub fn of_party(
    tx: &ReadTx<'_>,
    party: RelyingPartyNo,
    now: Time,
) -> Result<Vec<(OperatorNo, [u8; 32])>, StoreError> {
    tx.all(
        "SELECT no, hash FROM token WHERE party = $1 AND party > 0 AND revoked = 0
           AND (expires = 0 OR expires > $2) ORDER BY no",
        &[&party.0, &now.unix()],
        |row| Ok((OperatorNo(row.get(0)?), hash32(row, 1)?)),
    )
}

/// A hash of 32 octets.
pub(crate) fn hash32(row: &Row<'_>, column: usize) -> Result<[u8; 32], StoreError> {
    let octets: Vec<u8> = row.get(column)?;
    octets
        .try_into()
        .map_err(|_| StoreError::Unreadable { what: "a hash" })
}
