//! Hooks, and how far each has come in the record.

use tenure_domain::event::{Event, HookFields};
use tenure_domain::finding::{Subject, SubjectKind};
use tenure_domain::hook::Hook;
use tenure_domain::text::hex;
use tenure_domain::{Actor, EventSeq, HookNo, TenantId};
use tenure_x509::{Time, sha256};

use crate::error::StoreError;
use crate::finding;
use crate::registry::{Put, RegistryError, owner};
use crate::stamp::Stamp;
use crate::store::Store;
use crate::tx::{ReadTx, Row, Tx};

/// What each hook keeps of what its receiver would not have: the newest.
pub const REFUSED_KEPT_MAX: u32 = 1_000;

/// A hook with its row.
#[derive(Clone, PartialEq, Eq)]
pub struct Known {
    /// Its row.
    pub no: HookNo,
    /// What is registered of it.
    pub hook: Hook,
    /// Its secret, sealed; empty for one without.
    pub sealed: Vec<u8>,
    /// After which event it was registered: what came before is not for it.
    pub since: EventSeq,
}

impl std::fmt::Debug for Known {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Known({} {})", self.no, self.hook.name)
    }
}

/// How far a hook has come.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Place {
    /// The last event it was told of, or that was not for it.
    pub told: i64,
    /// The last event whose sessions were ended once more.
    pub again: i64,
    /// Since when it has failed without a success between; none if the last one went well.
    pub failing: Option<Time>,
    /// How often in a row.
    pub failures: i64,
    /// When something was delivered the last time.
    pub delivered: Option<Time>,
    /// What went wrong the last time; empty if nothing did.
    pub error: String,
}

/// Something that a receiver would not have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refused {
    /// Which event.
    pub event: EventSeq,
    /// When it was given up.
    pub at: Time,
    /// What the receiver said.
    pub why: String,
}

/// What of a secret is put.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PutSecret<'a> {
    /// The one there is stays.
    Keep,
    /// This one, sealed; empty for none.
    New(&'a [u8]),
}

/// Registers a hook in the default tenant, or changes it. Its owner must be registered.
pub fn put(
    tx: &mut Tx<'_>,
    hook: &Hook,
    secret: PutSecret<'_>,
    actor: &Actor,
    now: Time,
) -> Result<Put, RegistryError> {
    let stamp = Stamp::new(actor, now);
    let tenant = stamp.tenant;
    if owner::no(tx, tenant, hook.owner.as_str())?.is_none() {
        return Err(RegistryError::Unknown {
            column: "owner",
            name: hook.owner.to_string(),
        });
    }
    let document = serde_json::to_string(hook).unwrap_or_default();
    let found = tx.one(
        "SELECT no, removed, document, secret FROM hook WHERE tenant = $1 AND name = $2",
        &[&tenant.0, &hook.name.as_str()],
        |row| {
            let is_same = row.get::<i64>(1)? == 0 && row.text(2)? == document;
            Ok((
                row.get::<i64>(0)?,
                row.get::<i64>(1)?,
                is_same,
                row.get::<Vec<u8>>(3)?,
            ))
        },
    )?;
    let since = crate::trust_change::head(tx)?;
    let put = match found {
        Some((_, _, true, _)) if secret == PutSecret::Keep => return Ok(Put::Unchanged),
        Some((no, removed, _, former)) => {
            let sealed = match secret {
                PutSecret::Keep => former.as_slice(),
                PutSecret::New(sealed) => sealed,
            };
            tx.run(
                "UPDATE hook SET removed = 0, document = $2, secret = $3 WHERE no = $1",
                &[&no, &document, &sealed],
            )?;
            if removed == 0 {
                Put::Changed
            } else {
                tx.run("UPDATE hook SET since = $2 WHERE no = $1", &[&no, &since.0])?;
                tx.run("DELETE FROM hook_place WHERE hook = $1", &[&no])?;
                Put::Added
            }
        }
        None => {
            let sealed = match secret {
                PutSecret::Keep => &[],
                PutSecret::New(sealed) => sealed,
            };
            tx.insert(
                "INSERT INTO hook(tenant, removed, since, name, document, secret)
                 VALUES($1, 0, $2, $3, $4, $5) RETURNING no",
                &[&tenant.0, &since.0, &hook.name.as_str(), &document, &sealed],
            )?;
            Put::Added
        }
    };
    let fields = Box::new(fields(hook));
    tx.log(&stamp.entry(match put {
        Put::Added => Event::HookAdded(fields),
        Put::Changed | Put::Unchanged => Event::HookChanged(fields),
    }))?;
    Ok(put)
}

fn fields(hook: &Hook) -> HookFields {
    HookFields {
        address: hook.address.clone(),
        again_after_s: hook.again_after_s,
        anchors_hash: hex(&sha256(hook.anchors_pem.as_bytes())),
        audience: hook.audience.clone(),
        changes: hook.changes.clone(),
        criticality: hook.criticality,
        kind: hook.kind,
        name: hook.name.to_string(),
        owner: hook.owner.to_string(),
        topic: hook.topic.clone(),
        wire: hook.wire,
    }
}

/// Takes a hook away with its secret, and clears what was found about it; whether there was one.
pub fn remove(
    tx: &mut Tx<'_>,
    name: &str,
    actor: &Actor,
    now: Time,
) -> Result<Option<Known>, StoreError> {
    let stamp = Stamp::new(actor, now);
    let Some(known) = by_name(tx, stamp.tenant, name)? else {
        return Ok(None);
    };
    tx.run(
        "UPDATE hook SET removed = $2, secret = $3 WHERE no = $1",
        &[&known.no.0, &now.unix().max(1), &Vec::<u8>::new()],
    )?;
    for sql in [
        "DELETE FROM hook_place WHERE hook = $1",
        "DELETE FROM hook_refused WHERE hook = $1",
    ] {
        tx.run(sql, &[&known.no.0])?;
    }
    tx.log(&stamp.entry(Event::HookRemoved {
        name: name.to_owned(),
    }))?;
    for found in finding::about(tx, stamp.tenant, &Subject::new(SubjectKind::Hook, name))? {
        finding::clear(tx, &found.matter, "the hook was taken away", actor, now)?;
    }
    Ok(Some(known))
}

/// Sets a hook back, so that it is told again of everything after an event; whether there is one.
pub fn set_back(
    tx: &mut Tx<'_>,
    name: &str,
    after: EventSeq,
    actor: &Actor,
    now: Time,
) -> Result<Option<Known>, StoreError> {
    let stamp = Stamp::new(actor, now);
    let Some(known) = by_name(tx, stamp.tenant, name)? else {
        return Ok(None);
    };
    tx.run("DELETE FROM hook_place WHERE hook = $1", &[&known.no.0])?;
    tx.run(
        "UPDATE hook SET since = $2 WHERE no = $1",
        &[&known.no.0, &after.0],
    )?;
    tx.run("DELETE FROM hook_refused WHERE hook = $1", &[&known.no.0])?;
    tx.log(&stamp.entry(Event::HookSetBack {
        after: after.0,
        name: name.to_owned(),
    }))?;
    let subject = Subject::new(SubjectKind::Hook, name);
    for found in finding::about(tx, stamp.tenant, &subject)? {
        finding::clear(tx, &found.matter, "the hook is told again", actor, now)?;
    }
    Ok(Some(known))
}

macro_rules! select {
    ($rest:literal) => {
        concat!("SELECT no, document, secret, since FROM hook ", $rest)
    };
}

fn read(row: &Row<'_>) -> Result<Known, StoreError> {
    Ok(Known {
        no: HookNo(row.get(0)?),
        hook: serde_json::from_str(row.text(1)?).map_err(|_| StoreError::Unreadable {
            what: "hook.document",
        })?,
        sealed: row.get(2)?,
        since: EventSeq(row.get(3)?),
    })
}

/// One hook that was not taken away.
pub fn by_name(tx: &ReadTx<'_>, tenant: TenantId, name: &str) -> Result<Option<Known>, StoreError> {
    tx.one(
        select!("WHERE tenant = $1 AND name = $2 AND removed = 0"),
        &[&tenant.0, &name],
        read,
    )
}

/// At most `limit` hooks in the order of their names, after the name `after`.
pub fn list(
    tx: &ReadTx<'_>,
    tenant: TenantId,
    after: &str,
    limit: u32,
) -> Result<Vec<Known>, StoreError> {
    tx.all(
        select!("WHERE tenant = $1 AND name > $2 AND removed = 0 ORDER BY name LIMIT $3"),
        &[&tenant.0, &after, &limit],
        read,
    )
}

/// How far a hook has come.
pub fn place(tx: &ReadTx<'_>, hook: &Known) -> Result<Place, StoreError> {
    let found = tx.one(
        "SELECT told, again, failing, failures, delivered, error FROM hook_place WHERE hook = $1",
        &[&hook.no.0],
        |row| {
            let some = |time: Time| (time.unix() != 0).then_some(time);
            Ok(Place {
                told: row.get(0)?,
                again: row.get(1)?,
                failing: some(row.time(2)?),
                failures: row.get(3)?,
                delivered: some(row.time(4)?),
                error: row.get(5)?,
            })
        },
    )?;
    Ok(found.unwrap_or_else(|| Place {
        told: hook.since.0,
        again: hook.since.0,
        ..Place::default()
    }))
}

/// What a hook's receiver would not have, newest first; at most `limit`.
pub fn refused(tx: &ReadTx<'_>, hook: HookNo, limit: u32) -> Result<Vec<Refused>, StoreError> {
    tx.all(
        "SELECT event, at, why FROM hook_refused WHERE hook = $1 ORDER BY event DESC LIMIT $2",
        &[&hook.0, &limit],
        |row| {
            Ok(Refused {
                event: EventSeq(row.get(0)?),
                at: row.time(1)?,
                why: row.get(2)?,
            })
        },
    )
}

impl Store {
    /// Keeps how far a hook has come, and what its receiver would not have on the way. Durable when
    /// it answers; a hook that was taken away meanwhile keeps nothing.
    pub async fn keep_hook_place(
        &self,
        hook: HookNo,
        place: Place,
        refused: Option<Refused>,
    ) -> Result<(), StoreError> {
        self.unrecorded(move |tx| {
            let there = tx.number(
                "SELECT count(*) FROM hook WHERE no = $1 AND removed = 0",
                &[&hook.0],
            )?;
            if there == 0 {
                return Ok(());
            }
            let unix = |time: Option<Time>| time.map_or(0, Time::unix);
            tx.run(
                "INSERT INTO hook_place(hook, told, again, failing, failures, delivered, error)
                 VALUES($1, $2, $3, $4, $5, $6, $7)
                 ON CONFLICT(hook) DO UPDATE SET told = excluded.told, again = excluded.again,
                   failing = excluded.failing, failures = excluded.failures,
                   delivered = excluded.delivered, error = excluded.error",
                &[
                    &hook.0,
                    &place.told,
                    &place.again,
                    &unix(place.failing),
                    &place.failures,
                    &unix(place.delivered),
                    &place.error,
                ],
            )?;
            if let Some(refused) = &refused {
                tx.run(
                    "INSERT INTO hook_refused(hook, event, at, why) VALUES($1, $2, $3, $4)
                     ON CONFLICT(hook, event) DO UPDATE SET at = excluded.at, why = excluded.why",
                    &[&hook.0, &refused.event.0, &refused.at.unix(), &refused.why],
                )?;
                tx.run(
                    "DELETE FROM hook_refused WHERE hook = $1 AND event <
                       (SELECT min(event) FROM (SELECT event FROM hook_refused WHERE hook = $1
                        ORDER BY event DESC LIMIT $2))",
                    &[&hook.0, &REFUSED_KEPT_MAX],
                )?;
            }
            Ok(())
        })
        .await
    }
}
