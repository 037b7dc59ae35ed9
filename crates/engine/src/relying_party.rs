//! Relying parties: what must hold of one before it is registered.

use tenure_domain::ids::TenantId;
use tenure_domain::issuer::IssuerKind;
use tenure_domain::refusal::Refusal;
use tenure_domain::relying_party::{ENFORCE_WITHIN_S, RelyingParty};
use tenure_store::{ReadTx, issuer};

use crate::revoke::Conflict;

/// A relying party that can be probed: its anchors are readable and its issuers are ours.
pub(crate) fn is_fit(
    tx: &ReadTx<'_>,
    tenant: TenantId,
    party: &RelyingParty,
) -> Result<(), Conflict> {
    let bad = |what: String| Err(Refusal::BadRequest { what }.into());
    let read = tenure_x509::pem_certificates(&party.anchors_pem);
    if !party.anchors_pem.is_empty() && !read.is_ok_and(|found| !found.is_empty()) {
        return bad("anchors_pem must be one or more certificates in PEM, or empty".to_owned());
    }
    if !ENFORCE_WITHIN_S.contains(&party.enforce_within_s) {
        let (least, most) = (ENFORCE_WITHIN_S.start(), ENFORCE_WITHIN_S.end());
        return bad(format!(
            "enforce_within_s must be between {least} and {most}"
        ));
    }
    let known = issuer::all(tx, tenant)?;
    for name in &party.issuers {
        let found = known.iter().find(|issuer| issuer.name == *name);
        if found.is_none_or(|issuer| issuer.kind != IssuerKind::Issuing) {
            return bad(format!("issuers: there is no issuing CA {name}"));
        }
    }
    Ok(())
}
