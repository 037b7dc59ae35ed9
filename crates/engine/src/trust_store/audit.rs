//! The audit of all trust stores: one signed text with what each relying party is meant to hold and
//! what it was observed to hold.
//!
//! It is a signed note (C2SP signed-note) by the log's key, so that what reads checkpoints reads it.
//! Its first line is no log's name, so nobody can take the one for the other.

use serde_json::{Value, json};
use tenure_domain::Refusal;
use tenure_domain::ids::TenantId;
use tenure_domain::operator::Actor;
use tenure_store::relying_party::{self, Known};
use tenure_store::trust_store::{self as stored, Measure};
use tenure_store::{ReadTx, StoreError};
use tenure_tlog::{NOTE_BYTES_MAX, Note};
use tenure_x509::Time;

use crate::duty::integrate::{LOG_KEY, verifier};
use crate::fault::{FaultCause, Rejection};
use crate::signer::SignError;
use crate::{Engine, origin};

/// The first line of an audit.
pub const AUDIT: &str = "tenure trust-store audit";

/// How many relying parties are read at a time.
const PARTIES: u32 = 500;

/// The text of an audit. It cannot be a checkpoint: its first line says what it is.
pub struct AuditText(String);

impl AuditText {
    /// The text, one JSON object a line after the head.
    pub fn text(&self) -> &str {
        &self.0
    }

    fn new(origin: &str, made: Time, lines: &[Value]) -> AuditText {
        let mut text = format!("{AUDIT}\n{origin}\n{made}\n");
        for line in lines {
            text.push_str(&line.to_string());
            text.push('\n');
        }
        AuditText(text)
    }
}

impl Engine {
    /// Makes and signs the audit of all trust stores, and records that it was taken.
    ///
    /// # Errors
    /// The store cannot be read, or the log's key is not at hand.
    pub async fn audit_trust_stores(&self, actor: &Actor) -> Result<String, Rejection> {
        let key = self
            .key(LOG_KEY)
            .ok_or_else(|| FaultCause::NoKey(LOG_KEY.to_owned()))?;
        let state = origin::state(self.store())?;
        let (tenant, now) = (self.tenant(), self.clock().now());
        let lines = self.store().read(move |tx| lines(tx, tenant, now)).await?;
        let audit = AuditText::new(&state.origin, now, &lines);
        let verifier = verifier(&state.origin, key.public())?;
        let mut note =
            Note::unsigned(audit.text()).map_err(|_| FaultCause::Corrupt("audit's text"))?;
        note.sign(&verifier, |_| key.sign_audit(&audit))
            .map_err(|error: SignError| Rejection::from(error))?;
        let signed = note.to_string();
        if signed.len() > NOTE_BYTES_MAX {
            let what = "the audit is longer than a signed note may be (1 MiB); there are too many \
                        relying parties for one"
                .to_owned();
            return Err(Refusal::Conflict { what }.into());
        }
        let hash = tenure_x509::sha256(signed.as_bytes());
        self.record_export(actor, "trust-store audit", &hash)
            .await?;
        Ok(signed)
    }
}

/// A line for each relying party.
fn lines(tx: &ReadTx<'_>, tenant: TenantId, now: Time) -> Result<Vec<Value>, StoreError> {
    let measure = Measure::take(tx, tenant, now)?;
    let mut lines = Vec::new();
    let mut after = String::new();
    loop {
        let page = relying_party::list(tx, tenant, &after, PARTIES)?;
        let Some(last) = page.last() else {
            return Ok(lines);
        };
        after = last.party.name.to_string();
        for known in &page {
            lines.push(line(tx, tenant, &measure, known, now)?);
        }
    }
}

fn line(
    tx: &ReadTx<'_>,
    tenant: TenantId,
    measure: &Measure,
    known: &Known,
    now: Time,
) -> Result<Value, StoreError> {
    let compared = stored::compare(tx, tenant, measure, known)?;
    let reported = stored::budget(tx, known.no)?.reported;
    let name = &known.party.name;
    let intended = compared.meant.iter().map(|meant| {
        json!({
            "issuer": meant.issuer,
            "sha256": meant.fingerprint.to_string(),
            "state": meant.state,
        })
    });
    let actual = compared.held.iter().map(|held| {
        json!({
            "sha256": held.fingerprint.to_string(),
            "subject": held.subject,
            "not_after": held.not_after.to_string(),
            "standing": compared.standing(name, held, now),
        })
    });
    let missing = compared.missing().map(|meant| meant.issuer.clone());
    Ok(json!({
        "relying_party": name,
        "reported": reported.map(|at| at.to_string()),
        "anchors_max": compared.anchors_max,
        "intended": intended.collect::<Vec<_>>(),
        "actual": actual.collect::<Vec<_>>(),
        "missing": match reported {
            Some(_) => missing.collect::<Vec<_>>(),
            None => Vec::new(),
        },
    }))
}
