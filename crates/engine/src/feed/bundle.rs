//! The trust bundle of a relying party: which CAs it is to let devices in of.

use tenure_domain::TenantId;
use tenure_domain::feed::Digest;
use tenure_domain::relying_party::RelyingParty;
use tenure_domain::rollover::{cross_certificates, rollover_set};
use tenure_store::{ReadTx, StoreError, relying_party, trust_store};
use tenure_x509::Cert;

use crate::snapshot::Snapshot;

/// What a relying party should trust, each certificate once.
#[derive(Debug, Clone, Default)]
pub struct Bundle {
    /// The trust anchors.
    pub anchors: Vec<Cert>,
    /// The CAs below them, nearest to the devices first.
    pub below: Vec<Cert>,
}

/// The bundle of one relying party: the rollover set of the issuers it is registered with (every issuing
/// CA's if none) without those that were pruned there, and what stands above them, with what other roots
/// certified of that while one root follows another. Everything that decides
/// what a relying party should trust goes in here.
pub fn bundle(
    tx: &ReadTx<'_>,
    snapshot: &Snapshot,
    party: &RelyingParty,
) -> Result<Bundle, StoreError> {
    let mut bundle = Bundle::default();
    let known = relying_party::by_name(tx, TenantId::DEFAULT, party.name.as_str())?;
    let pruned = match known {
        Some(known) => trust_store::pruned_issuers(tx, &snapshot.issuers, known.no)?,
        None => Vec::new(),
    };
    for issuer in rollover_set(&snapshot.issuers, &party.issuers) {
        if pruned.contains(&issuer.name) {
            continue;
        }
        bundle.add_below(&issuer.certificate);
        for cross in cross_certificates(&snapshot.issuers, issuer) {
            bundle.add_below(cross);
        }
        if let Some((anchor, between)) = issuer.chain.split_last() {
            for cert in between {
                bundle.add_below(cert);
            }
            bundle.add_anchor(anchor);
        }
    }
    Ok(bundle)
}

impl Bundle {
    /// Adds a trust anchor, if it is not there yet.
    pub fn add_anchor(&mut self, cert: &Cert) {
        add(&mut self.anchors, cert);
    }

    /// Adds a CA below the anchors, if it is not there yet.
    pub fn add_below(&mut self, cert: &Cert) {
        add(&mut self.below, cert);
    }

    /// Whether it holds this certificate, as anchor or below.
    pub fn holds(&self, cert: &Cert) -> bool {
        let mut all = self.below.iter().chain(&self.anchors);
        all.any(|held| held.der() == cert.der())
    }

    /// All certificates in PEM, the anchors last.
    pub fn pem(&self) -> String {
        self.below
            .iter()
            .chain(&self.anchors)
            .map(Cert::pem)
            .collect()
    }

    /// The SHA-256 of each anchor's DER, in the order of the anchors.
    pub fn anchor_hashes(&self) -> Vec<Digest> {
        let anchors = self.anchors.iter();
        anchors.map(|cert| Digest::of(cert.der())).collect()
    }
}

fn add(certs: &mut Vec<Cert>, cert: &Cert) {
    if certs.iter().all(|held| held.der() != cert.der()) {
        certs.push(cert.clone());
    }
}
