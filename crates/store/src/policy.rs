//! Policies: every document that was ever in force.

use tenure_domain::event::{Entry, Event};
use tenure_domain::policy::PolicyHash;
use tenure_domain::{Actor, TenantId};
use tenure_x509::Time;

use crate::error::StoreError;
use crate::tx::{ReadTx, Tx};

/// Puts a document in force in the default tenant and answers its version. The one already in force
/// keeps its version; then nothing is recorded.
pub fn apply(
    tx: &mut Tx<'_>,
    document: &str,
    hash: PolicyHash,
    actor: &Actor,
    now: Time,
) -> Result<i64, StoreError> {
    let tenant = TenantId::DEFAULT;
    let newest = tx.one(
        "SELECT version, hash, document FROM policy WHERE tenant = $1 ORDER BY version DESC LIMIT 1",
        &[&tenant.0],
        |row| {
            let same = row.blob(1)? == hash.0 && row.text(2)? == document;
            Ok((row.get::<i64>(0)?, same))
        },
    )?;
    if let Some((version, true)) = newest {
        tx.excuse("this policy is already in force");
        return Ok(version);
    }
    let version = newest.map_or(0, |(version, _)| version) + 1;
    let by = serde_json::to_string(actor).unwrap_or_default();
    tx.run(
        "INSERT INTO policy(tenant, version, hash, document, applied, actor)
         VALUES($1, $2, $3, $4, $5, $6)",
        &[
            &tenant.0,
            &version,
            &hash.0.as_slice(),
            &document,
            &now.unix(),
            &by,
        ],
    )?;
    let event = Event::PolicyApplied {
        hash: hash.to_string(),
        version,
    };
    tx.log(&Entry::new(actor.clone(), now, event))?;
    Ok(version)
}

/// The document in force, with its version.
pub fn current(tx: &ReadTx<'_>, tenant: TenantId) -> Result<Option<(i64, String)>, StoreError> {
    tx.one(
        "SELECT version, document FROM policy WHERE tenant = $1 ORDER BY version DESC LIMIT 1",
        &[&tenant.0],
        |row| Ok((row.get(0)?, row.get(1)?)),
    )
}

/// The version in force; 0 before the first.
pub fn version(tx: &ReadTx<'_>, tenant: TenantId) -> Result<i64, StoreError> {
    let sql = "SELECT max(version) FROM policy WHERE tenant = $1";
    Ok(tx.number_once(sql, tenant.0)?.unwrap_or(0))
}

/// An earlier document, by its version.
pub fn at_version(
    tx: &ReadTx<'_>,
    tenant: TenantId,
    version: i64,
) -> Result<Option<String>, StoreError> {
    tx.one(
        "SELECT document FROM policy WHERE tenant = $1 AND version = $2",
        &[&tenant.0, &version],
        |row| row.get(0),
    )
}
