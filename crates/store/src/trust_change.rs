//! Trust changes, read from the record itself: there is no second list of them that could differ.

use serde_json::Value;
use tenure_domain::trust_change::{Changed, Named, TrustChange, is_of_trust};
use tenure_domain::{EventSeq, TenantId};
use tenure_x509::{Serial, Time};

use crate::error::StoreError;
use crate::tx::{ReadTx, Row};

/// What a page of the record held.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Page {
    /// The trust changes, oldest first.
    pub changes: Vec<TrustChange>,
    /// The last event that was looked at: where to go on after. At least what was asked for.
    pub through: EventSeq,
    /// Whether there may be more.
    pub more: More,
}

/// Whether there may be more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum More {
    /// There may be.
    Perhaps,
    /// This was all.
    No,
}

/// The condition on the kind is that of the index, word for word.
const AFTER: &str = "SELECT seq, tenant, at, leaf FROM event
     WHERE seq > $1 AND (kind = 13 OR kind = 40 OR kind = 41 OR kind = 42)
     ORDER BY seq LIMIT $2";

/// The trust changes of a tenant after an event, at most `limit`.
pub fn after(
    tx: &ReadTx<'_>,
    tenant: TenantId,
    seq: EventSeq,
    limit: u32,
) -> Result<Page, StoreError> {
    let mut page = Page {
        changes: Vec::new(),
        through: seq,
        more: More::No,
    };
    let mut rows = 0;
    tx.each::<StoreError>(AFTER, &[&seq.0, &limit], |row| {
        rows += 1;
        page.through = EventSeq(row.get(0)?);
        if row.get::<i64>(1)? == tenant.0 {
            page.changes.extend(read(row)?);
        }
        Ok(())
    })?;
    if rows == limit {
        page.more = More::Perhaps;
    }
    Ok(page)
}

/// The newest event of the record, whatever it tells of; 0 if there is none.
pub fn head(tx: &ReadTx<'_>) -> Result<EventSeq, StoreError> {
    Ok(crate::event::last(tx)?.map_or(EventSeq(0), |(seq, _)| seq))
}

/// A trust change from its leaf; none if the event changes no trust.
fn read(row: &Row<'_>) -> Result<Option<TrustChange>, StoreError> {
    let unreadable = || StoreError::Unreadable { what: "event.leaf" };
    let leaf: Value = serde_json::from_slice(row.blob(3)?).map_err(|_| unreadable())?;
    let text = |value: &Value, name: &str| value.get(name)?.as_str().map(str::to_owned);
    let event = leaf.get("event").and_then(Value::as_object);
    let (word, said) = event
        .and_then(|event| event.iter().next())
        .ok_or_else(unreadable)?;
    let named = || {
        Some(Named {
            issuer: text(said, "issuer")?.parse().ok()?,
            serial: Serial::parse_hex(&text(said, "serial")?).ok()?,
        })
    };
    let what = match word.as_str() {
        "certificate-revoked" => Changed::Revoked {
            certificate: named().ok_or_else(unreadable)?,
            reason: text(said, "reason")
                .and_then(|reason| reason.parse().ok())
                .ok_or_else(unreadable)?,
            invalidity: text(said, "invalidity").and_then(|time| Time::parse_rfc3339(&time).ok()),
        },
        "certificate-held" => Changed::Held {
            certificate: named().ok_or_else(unreadable)?,
        },
        "certificate-released" => Changed::Released {
            certificate: named().ok_or_else(unreadable)?,
        },
        "device-standing-changed" => {
            let standing = |name| text(said, name).and_then(|word| word.parse().ok());
            let from = standing("from").ok_or_else(unreadable)?;
            let to = standing("to").ok_or_else(unreadable)?;
            if !is_of_trust(from, to) {
                return Ok(None);
            }
            Changed::Standing { from, to }
        }
        _ => return Err(unreadable()),
    };
    let at = row.time(2)?;
    Ok(Some(TrustChange {
        seq: EventSeq(row.get(0)?),
        at,
        since: text(&leaf, "valid")
            .and_then(|time| Time::parse_rfc3339(&time).ok())
            .unwrap_or(at),
        device: text(&leaf, "device").and_then(|id| id.parse().ok()),
        what,
    }))
}

#[cfg(test)]
mod tests;
