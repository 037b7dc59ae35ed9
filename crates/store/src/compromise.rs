//! Compromises: a key or an issuer in other hands, one row each.

use tenure_domain::compromise::{Compromise, CompromiseKind, ProofOfCompromise};
use tenure_domain::event::Event;
use tenure_domain::{Actor, CompromiseNo, TenantId};
use tenure_x509::{KeyHash, Time};

use crate::blocked_key;
use crate::error::StoreError;
use crate::stamp::Stamp;
use crate::tx::{ReadTx, Row, Tx};

/// A compromise to be recorded.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NewCompromise {
    /// What is in other hands.
    pub what: Compromised,
    /// Since when it must be thought bad, if earlier.
    pub since: Option<Time>,
    /// Why we think so.
    pub why: String,
    /// How we know.
    pub how: ProofOfCompromise,
    /// How many devices it concerns.
    pub devices: u64,
    /// How many certificates.
    pub certificates: u64,
}

/// What is in other hands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Compromised {
    /// A key. It is blocked with this.
    Key(KeyHash),
    /// An issuer, by its short name.
    Issuer(String),
}

impl Compromised {
    /// What kind it is.
    pub fn kind(&self) -> CompromiseKind {
        match self {
            Compromised::Key(_) => CompromiseKind::Key,
            Compromised::Issuer(_) => CompromiseKind::Issuer,
        }
    }

    /// Its name.
    pub fn name(&self) -> String {
        match self {
            Compromised::Key(key) => key.to_string(),
            Compromised::Issuer(name) => name.clone(),
        }
    }
}

/// Whether a compromise is news.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Noted {
    /// It was recorded now.
    New(CompromiseNo),
    /// It was known; nothing was written.
    Known(CompromiseNo),
}

impl Noted {
    /// Its row.
    pub fn no(self) -> CompromiseNo {
        match self {
            Noted::New(no) | Noted::Known(no) => no,
        }
    }
}

/// Records a compromise, unless it is known. A key is blocked for ever.
pub fn add(
    tx: &mut Tx<'_>,
    new: &NewCompromise,
    actor: &Actor,
    now: Time,
) -> Result<Noted, StoreError> {
    let stamp = Stamp::new(actor, now);
    let (kind, name) = (new.what.kind(), new.what.name());
    if let Some(known) = by_name(tx, stamp.tenant, kind, &name)? {
        return Ok(Noted::Known(known.no));
    }
    if let Compromised::Key(key) = &new.what {
        blocked_key::block(tx, *key, &format!("it is compromised: {}", new.why), now)?;
    }
    let by = match actor {
        Actor::Operator { name, .. } => name.clone(),
        Actor::System { duty } => duty.clone(),
        Actor::Device { .. } | Actor::Anonymous => String::new(),
    };
    let count = |n: u64| i64::try_from(n).unwrap_or(i64::MAX);
    let no = tx.insert(
        "INSERT INTO compromise(tenant, kind, how, at, since, devices, certificates, name, why, actor)
         VALUES($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) RETURNING no",
        &[
            &stamp.tenant.0,
            &kind.code(),
            &new.how.code(),
            &now.unix(),
            &new.since.map_or(0, Time::unix),
            &count(new.devices),
            &count(new.certificates),
            &name,
            &new.why,
            &by,
        ],
    )?;
    tx.log(&stamp.entry(match &new.what {
        Compromised::Key(key) => Event::KeyCompromised {
            certificates: new.certificates,
            devices: new.devices,
            how: new.how,
            invalidity: new.since,
            key: *key,
            why: new.why.clone(),
        },
        Compromised::Issuer(issuer) => Event::IssuerCompromised {
            certificates: new.certificates,
            devices: new.devices,
            issuer: issuer.clone(),
            why: new.why.clone(),
        },
    }))?;
    Ok(Noted::New(CompromiseNo(no)))
}

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT no, kind, how, at, since, devices, certificates, name, why, actor \
             FROM compromise ",
            $rest
        )
    };
}

fn read(row: &Row<'_>) -> Result<Compromise, StoreError> {
    let unreadable = |what| StoreError::Unreadable { what };
    let count = |n: i64| u64::try_from(n).unwrap_or(0);
    Ok(Compromise {
        no: CompromiseNo(row.get(0)?),
        kind: CompromiseKind::from_code(row.get(1)?).ok_or(unreadable("compromise.kind"))?,
        how: ProofOfCompromise::from_code(row.get(2)?).ok_or(unreadable("compromise.how"))?,
        at: row.time(3)?,
        since: row.some_time(4)?,
        devices: count(row.get(5)?),
        certificates: count(row.get(6)?),
        name: row.get(7)?,
        why: row.get(8)?,
        by: row.get(9)?,
    })
}

/// One compromise.
pub fn by_no(tx: &ReadTx<'_>, no: CompromiseNo) -> Result<Option<Compromise>, StoreError> {
    tx.one(select!("WHERE no = $1"), &[&no.0], read)
}

/// The compromise of this thing.
pub fn by_name(
    tx: &ReadTx<'_>,
    tenant: TenantId,
    kind: CompromiseKind,
    name: &str,
) -> Result<Option<Compromise>, StoreError> {
    tx.one(
        select!("WHERE tenant = $1 AND kind = $2 AND name = $3"),
        &[&tenant.0, &kind.code(), &name],
        read,
    )
}

/// Compromises, newest first, before row `before`; at most `limit`.
pub fn list(
    tx: &ReadTx<'_>,
    tenant: TenantId,
    before: Option<CompromiseNo>,
    limit: u32,
) -> Result<Vec<Compromise>, StoreError> {
    let before = before.map_or(i64::MAX, |no| no.0);
    tx.all(
        select!("WHERE +tenant = $1 AND no < $2 ORDER BY no DESC LIMIT $3"),
        &[&tenant.0, &before, &limit],
        read,
    )
}
