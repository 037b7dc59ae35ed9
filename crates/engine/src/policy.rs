//! Puts a policy document in force.

use tenure_domain::policy::document;
use tenure_domain::{Actor, Refusal};
use tenure_x509::Time;

use crate::Engine;
use crate::change::Changed;
use crate::fault::Rejection;

impl Engine {
    /// Puts a document in force if it fits the house and its own tests hold.
    pub(crate) async fn apply_policy(
        &self,
        actor: &Actor,
        text: String,
        now: Time,
    ) -> Result<Changed, Rejection> {
        let known = self.snapshot();
        let parsed =
            document::parse_new(&text, &known.issuers, Some(&known.policy)).map_err(|error| {
                let what = error.to_string();
                Refusal::BadRequest { what }
            })?;
        let failed: Vec<_> = parsed
            .run_tests()
            .into_iter()
            .filter_map(|outcome| outcome.failure())
            .collect();
        if !failed.is_empty() {
            let what = format!("the document's own tests fail: {}", failed.join("; "));
            return Err(Refusal::BadRequest { what }.into());
        }
        let hash = parsed.hash;
        let by = actor.clone();
        let version = self
            .record_as(actor, move |tx| {
                Ok(tenure_store::policy::apply(tx, &text, hash, &by, now)?)
            })
            .await?;
        Ok(Changed::Policy(version))
    }
}
