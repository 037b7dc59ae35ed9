//! Keys that are never certified again: those that were compromised, and lists of keys that others
//! know. Nothing takes a key off.

use tenure_domain::event::Event;
use tenure_domain::{Actor, CertificateRow, Slug, TenantId};
use tenure_x509::{KeyHash, Time};

use crate::certificate;
use crate::error::StoreError;
use crate::stamp::Stamp;
use crate::tx::{ReadTx, Tx};

/// Why a key is blocked, if it is.
pub fn why(tx: &ReadTx<'_>, key: KeyHash) -> Result<Option<String>, StoreError> {
    tx.first(
        "SELECT why FROM blocked_key WHERE key = $1",
        &[&key.0.as_slice()],
        |row| row.get(0),
    )
}

/// Blocks a key; whether that is news. One that is blocked already keeps its reason.
pub(crate) fn block(tx: &Tx<'_>, key: KeyHash, why: &str, now: Time) -> Result<bool, StoreError> {
    let added = tx.run(
        "INSERT INTO blocked_key(key, why, at) VALUES($1, $2, $3) ON CONFLICT DO NOTHING",
        &[&key.0.as_slice(), &why, &now.unix()],
    )?;
    Ok(added > 0)
}

/// A list of keys that others know.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyList {
    /// Its name.
    pub name: Slug,
    /// How many of its keys were news.
    pub keys: u64,
    /// How many of them were in certificates of ours when they came.
    pub held: u64,
    /// When its first keys came.
    pub first: Time,
    /// When its last keys came.
    pub last: Time,
}

/// What adding keys of a list did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Listed {
    /// How many keys were not blocked before.
    pub added: u64,
    /// The released certificates of ours with keys that are news.
    pub held: Vec<CertificateRow>,
}

/// Adds keys of a list, which is made if it is not there. `hash` is that of what was read.
pub fn list_keys(
    tx: &mut Tx<'_>,
    list: &Slug,
    keys: &[KeyHash],
    hash: &str,
    actor: &Actor,
    now: Time,
) -> Result<Listed, StoreError> {
    let stamp = Stamp::new(actor, now);
    let why = format!("it is on the list {list}");
    let mut listed = Listed::default();
    for key in keys {
        if block(tx, *key, &why, now)? {
            listed.added += 1;
            listed.held.extend(certificate::of_key(tx, *key)?);
        }
    }
    if listed.added == 0 {
        tx.excuse("every key was blocked before");
        return Ok(listed);
    }
    let added = i64::try_from(listed.added).unwrap_or(i64::MAX);
    tx.run(
        "INSERT INTO key_list(tenant, keys, held, first, last, name) VALUES($1, $2, $3, $4, $4, $5)
         ON CONFLICT(tenant, name) DO UPDATE SET keys = key_list.keys + excluded.keys,
           held = key_list.held + excluded.held, last = excluded.last",
        &[
            &stamp.tenant.0,
            &added,
            &i64::try_from(listed.held.len()).unwrap_or(i64::MAX),
            &now.unix(),
            &list.as_str(),
        ],
    )?;
    tx.log(&stamp.entry(Event::KeysListed {
        added: listed.added,
        hash: hash.to_owned(),
        list: list.to_string(),
    }))?;
    Ok(listed)
}

/// Lists by name, after `after`; at most `limit`.
pub fn lists(
    tx: &ReadTx<'_>,
    tenant: TenantId,
    after: &str,
    limit: u32,
) -> Result<Vec<KeyList>, StoreError> {
    let count = |n: i64| u64::try_from(n).unwrap_or(0);
    tx.all(
        "SELECT name, keys, held, first, last FROM key_list WHERE tenant = $1 AND name > $2
         ORDER BY name LIMIT $3",
        &[&tenant.0, &after, &limit],
        |row| {
            Ok(KeyList {
                name: crate::registry::slug(row, 0)?,
                keys: count(row.get(1)?),
                held: count(row.get(2)?),
                first: row.time(3)?,
                last: row.time(4)?,
            })
        },
    )
}
