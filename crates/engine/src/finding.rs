//! Findings, from whoever watches: saying the same again costs one read and writes nothing.

use tenure_domain::finding::{FindingState, Matter, NewFinding};
use tenure_domain::ids::FindingNo;
use tenure_domain::operator::Actor;
use tenure_store::StoreError;
use tenure_store::finding::{self, Raised};

use crate::Engine;
use crate::fault::Rejection;

impl Engine {
    /// Opens a finding, unless the same matter is open already. `duty` says who found it.
    pub async fn raise_finding(&self, duty: &str, new: NewFinding) -> Result<Raised, Rejection> {
        if let Some(no) = self.open_finding(&new.matter)? {
            return Ok(Raised::Known(no));
        }
        let (actor, now) = (Actor::system(duty), self.clock().now());
        let raised = self
            .store()
            .record::<_, StoreError, _>(self.operation()?, move |tx| {
                let raised = finding::raise(tx, &new, &actor, now)?;
                if matches!(raised, Raised::Known(_)) {
                    tx.excuse("the finding is open");
                }
                Ok(raised)
            })
            .await?;
        self.forget_verdicts();
        Ok(raised)
    }

    /// Clears the finding of this matter, if there is one to be cleared; says which it was.
    pub async fn clear_finding(
        &self,
        duty: &str,
        matter: Matter,
        why: &str,
    ) -> Result<Option<FindingNo>, Rejection> {
        if self.open_finding(&matter)?.is_none() {
            return Ok(None);
        }
        let (actor, now, why) = (Actor::system(duty), self.clock().now(), why.to_owned());
        let cleared = self
            .store()
            .record::<_, StoreError, _>(self.operation()?, move |tx| {
                let cleared = finding::clear(tx, &matter, &why, &actor, now)?;
                if cleared.is_none() {
                    tx.excuse("the finding was cleared meanwhile");
                }
                Ok(cleared)
            })
            .await?;
        self.forget_verdicts();
        Ok(cleared)
    }

    /// The finding of this matter, if it is open or acknowledged.
    fn open_finding(&self, matter: &Matter) -> Result<Option<FindingNo>, Rejection> {
        let tenant = self.tenant();
        let found = self
            .store()
            .glance(|tx| finding::of_matter(tx, tenant, matter))?;
        Ok(found
            .filter(|found| found.state != FindingState::Cleared)
            .map(|found| found.no))
    }
}
