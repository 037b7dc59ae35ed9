//! Drills: one row each, written when it begins and when it ends, both on record.

use tenure_domain::drill::{Drill, DrillKind, DrillResult, DrillVerdict};
use tenure_domain::event::Event;
use tenure_domain::text::hex;
use tenure_domain::{Actor, DrillNo, Slug, TenantId};
use tenure_x509::{Time, sha256};

use crate::error::StoreError;
use crate::stamp::Stamp;
use crate::tx::{ReadTx, Row, Tx};

/// Records that a drill begins.
pub fn begin(
    tx: &mut Tx<'_>,
    kind: DrillKind,
    issuers: &[Slug],
    actor: &Actor,
    now: Time,
) -> Result<DrillNo, StoreError> {
    let stamp = Stamp::new(actor, now);
    let by = match actor {
        Actor::Operator { name, .. } => name.clone(),
        Actor::System { duty } => duty.clone(),
        Actor::Device { .. } | Actor::Anonymous => String::new(),
    };
    let no = tx.insert(
        "INSERT INTO drill(tenant, kind, verdict, began, ended, issuers, actor, document)
         VALUES($1, $2, $3, $4, 0, $5, $6, '{}') RETURNING no",
        &[
            &stamp.tenant.0,
            &kind.code(),
            &DrillVerdict::Running.code(),
            &now.unix(),
            &serde_json::to_string(issuers).unwrap_or_default(),
            &by,
        ],
    )?;
    tx.log(&stamp.entry(Event::DrillBegan {
        drill: no,
        kind,
        subjects: issuers.iter().map(ToString::to_string).collect(),
    }))?;
    Ok(DrillNo(no))
}

/// Records what a drill came to. One that has ended is left alone, with an excuse.
pub fn end(
    tx: &mut Tx<'_>,
    no: DrillNo,
    result: &DrillResult,
    verdict: DrillVerdict,
    actor: &Actor,
    now: Time,
) -> Result<(), StoreError> {
    let stamp = Stamp::new(actor, now);
    let found = by_no(tx, no)?.filter(|drill| drill.verdict == DrillVerdict::Running);
    let Some(drill) = found else {
        tx.excuse("the drill has ended");
        return Ok(());
    };
    let document = serde_json::to_string(result).unwrap_or_default();
    tx.run(
        "UPDATE drill SET verdict = $2, ended = $3, document = $4 WHERE no = $1",
        &[&no.0, &verdict.code(), &now.unix(), &document],
    )?;
    for issuer in &drill.issuers {
        let of_it = match verdict {
            DrillVerdict::CutOff => verdict,
            _ => result.verdict(Some(issuer)),
        };
        tx.run(
            "INSERT INTO drill_issuer(issuer, kind, drill, verdict, ended)
             VALUES($1, $2, $3, $4, $5)",
            &[
                &issuer.as_str(),
                &drill.kind.code(),
                &no.0,
                &of_it.code(),
                &now.unix(),
            ],
        )?;
    }
    let steps = result.steps.iter().map(|step| {
        let issuer = step.issuer.as_ref().map(|it| format!(" of {it}"));
        let issuer = issuer.unwrap_or_default();
        format!("{} {}{issuer}: {}", step.verdict, step.what, step.found)
    });
    tx.log(&stamp.entry(Event::DrillEnded {
        drill: no.0,
        kind: drill.kind,
        result_hash: hex(&sha256(document.as_bytes())),
        steps: steps.take(STEPS_MAX).collect(),
        subjects: drill.issuers.iter().map(ToString::to_string).collect(),
        verdict,
    }))?;
    Ok(())
}

/// Most steps told in the record; its hash is of all of them.
const STEPS_MAX: usize = 200;

macro_rules! select {
    ($rest:literal) => {
        concat!(
            "SELECT no, kind, verdict, began, ended, issuers, actor, document FROM drill ",
            $rest
        )
    };
}

fn read(row: &Row<'_>) -> Result<Drill, StoreError> {
    let unreadable = |what| StoreError::Unreadable { what };
    Ok(Drill {
        no: DrillNo(row.get(0)?),
        kind: DrillKind::from_code(row.get(1)?).ok_or(unreadable("drill.kind"))?,
        verdict: DrillVerdict::from_code(row.get(2)?).ok_or(unreadable("drill.verdict"))?,
        began: row.time(3)?,
        ended: row.some_time(4)?,
        issuers: serde_json::from_str(row.text(5)?).map_err(|_| unreadable("drill.issuers"))?,
        by: row.get(6)?,
        result: match row.text(7)? {
            "{}" => DrillResult::default(),
            text => serde_json::from_str(text).map_err(|_| unreadable("drill.document"))?,
        },
    })
}

/// One drill.
pub fn by_no(tx: &ReadTx<'_>, no: DrillNo) -> Result<Option<Drill>, StoreError> {
    tx.one(select!("WHERE no = $1"), &[&no.0], read)
}

/// Drills, newest first, before row `before`; at most `limit`.
pub fn list(
    tx: &ReadTx<'_>,
    tenant: TenantId,
    before: Option<DrillNo>,
    limit: u32,
) -> Result<Vec<Drill>, StoreError> {
    let before = before.map_or(i64::MAX, |no| no.0);
    tx.all(
        select!("WHERE +tenant = $1 AND no < $2 ORDER BY no DESC LIMIT $3"),
        &[&tenant.0, &before, &limit],
        read,
    )
}

/// Drills that are under way, or were when the server ended.
pub fn running(tx: &ReadTx<'_>, tenant: TenantId) -> Result<Vec<Drill>, StoreError> {
    tx.all(
        select!("WHERE tenant = $1 AND verdict = $2 ORDER BY no"),
        &[&tenant.0, &DrillVerdict::Running.code()],
        read,
    )
}

/// When a kind of drill last ended with an issuer, whatever it came to, and when it was last passed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LastDrill {
    /// When the last one ended.
    pub ended: Option<Time>,
    /// When the last one that was passed ended.
    pub passed: Option<Time>,
}

/// The last drills of a kind with an issuer.
pub fn last(tx: &ReadTx<'_>, issuer: &Slug, kind: DrillKind) -> Result<LastDrill, StoreError> {
    let newest = |sql| {
        let args: [&dyn rusqlite::ToSql; 3] =
            [&issuer.as_str(), &kind.code(), &DrillVerdict::Passed.code()];
        tx.one(sql, &args, |row| row.some_time(0))
    };
    Ok(LastDrill {
        ended: newest(
            "SELECT ended FROM drill_issuer WHERE issuer = $1 AND kind = $2 AND $3 = $3
             ORDER BY drill DESC LIMIT 1",
        )?
        .flatten(),
        passed: newest(
            "SELECT ended FROM drill_issuer WHERE issuer = $1 AND kind = $2 AND verdict = $3
             ORDER BY drill DESC LIMIT 1",
        )?
        .flatten(),
    })
}
