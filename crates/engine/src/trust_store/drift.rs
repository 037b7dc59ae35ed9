//! Drift: relying parties of one site that do different things with the same canary.

use std::collections::BTreeMap;

use tenure_domain::canary::{Canary, Reception};
use tenure_domain::device::Criticality;
use tenure_domain::finding::{FindingKind, Matter, NewFinding, Subject};
use tenure_domain::ids::{Slug, TenantId};
use tenure_store::{ReadTx, StoreError, finding, probe, relying_party};

use super::{DUTY, REVIEWED};
use crate::Engine;
use crate::fault::Rejection;

/// What one canary of one issuer met with at one site.
#[derive(Default)]
struct Met {
    accepted: Vec<String>,
    refused: Vec<String>,
    criticality: Option<Criticality>,
}

impl Engine {
    /// Opens a finding for each canary that some relying parties of a site let in and others turn
    /// away, and clears it when they agree.
    pub async fn watch_drift(&self) -> Result<(), Rejection> {
        let tenant = self.tenant();
        let names: Vec<_> = self
            .snapshot()
            .issuers
            .iter()
            .map(|issuer| issuer.name.clone())
            .collect();
        let (apart, known) = self
            .store()
            .read(move |tx| {
                let mut known = Vec::new();
                for name in &names {
                    let about = finding::about(tx, tenant, &Subject::issuer(name))?;
                    known.extend(about.into_iter().map(|finding| finding.matter));
                }
                Ok::<_, StoreError>((apart(tx, tenant)?, known))
            })
            .await?;
        for matter in known {
            let is_gone = apart.iter().all(|new| new.matter != matter);
            if matter.kind == FindingKind::TrustDrift && is_gone {
                let why = "the relying parties of the site agree";
                self.clear_finding(DUTY, matter, why).await?;
            }
        }
        for new in apart {
            self.raise_finding(DUTY, new).await?;
        }
        Ok(())
    }
}

fn apart(tx: &ReadTx<'_>, tenant: TenantId) -> Result<Vec<NewFinding>, StoreError> {
    let mut met: BTreeMap<(String, Slug, Canary), Met> = BTreeMap::new();
    let mut after = String::new();
    loop {
        let page = relying_party::list(tx, tenant, &after, REVIEWED)?;
        let Some(last) = page.last() else {
            break;
        };
        after = last.party.name.to_string();
        for known in &page {
            for cell in probe::cells(tx, known.no)? {
                let trial = cell.trial;
                if trial.canary.is_progress() {
                    continue;
                }
                let site = known.party.site.to_string();
                let met = met.entry((site, trial.issuer, trial.canary)).or_default();
                let name = known.party.name.to_string();
                match trial.reception {
                    Reception::Accepted => met.accepted.push(name),
                    Reception::Refused => met.refused.push(name),
                    Reception::Unreachable => continue,
                }
                met.criticality = met.criticality.max(Some(known.party.criticality));
            }
        }
    }
    let differ = met
        .into_iter()
        .filter(|(_, met)| !met.accepted.is_empty() && !met.refused.is_empty());
    Ok(differ
        .map(|((site, issuer, canary), met)| finding_of(&site, &issuer, canary, &met))
        .collect())
}

fn finding_of(site: &str, issuer: &Slug, canary: Canary, met: &Met) -> NewFinding {
    let some = |names: &[String]| {
        let more = if names.len() > 10 { ", …" } else { "" };
        let named: Vec<_> = names.iter().take(10).map(String::as_str).collect();
        format!("{}{more}", named.join(", "))
    };
    NewFinding {
        matter: Matter {
            kind: FindingKind::TrustDrift,
            subject: Subject::issuer(issuer),
            cause: format!("{canary} at {site}"),
        },
        summary: format!(
            "Relying parties of {site} do not treat the canary {canary} of {issuer} alike: {} let it \
             in, {} turn it away. It must be {}; see what the others have that these lack",
            some(&met.accepted),
            some(&met.refused),
            canary.expected()
        ),
        evidence: Vec::new(),
        owner: None,
        criticality: met.criticality.unwrap_or_default(),
    }
}
