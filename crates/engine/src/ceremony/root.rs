//! Another root for a founded house: of a trust domain of its own, or one that is to follow another, with
//! the cross-certificates that lead from the one to the other (RFC 9810 section 4.4). Keys of roots are
//! there for this one act, so it is done without a server.

use std::sync::Arc;

use tenure_domain::Refusal;
use tenure_domain::ids::Slug;
use tenure_domain::issuer::{Issuer, IssuerKind, IssuerState};
use tenure_domain::operator::Actor;
use tenure_domain::rollover::below;
use tenure_store::{device, issuer};

use super::addition::may_be_followed;
use super::{CROSS_PROFILE, Installed, ROOT, ROOT_PROFILE};
use crate::Engine;
use crate::fault::{FaultCause, Rejection};
use crate::signer::Key;

/// Which roots stand for each other while one follows the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cross {
    /// Each for the other: who trusts either reaches both.
    Both,
    /// Only the former for the new one. Nobody who trusts the new one ever comes to trust the former,
    /// whose key may be in other hands.
    NewWithOld,
}

impl Engine {
    /// Makes a root that signs itself, with a name of its own. Without a former one it is another trust
    /// domain and active at once. Cut off anywhere, the same call finishes it.
    ///
    /// # Errors
    /// A conflict if the name is taken, or the former root cannot be followed now.
    pub async fn add_root(
        &self,
        key: &Key,
        follows: Option<&Slug>,
    ) -> Result<Arc<Issuer>, Rejection> {
        let known = self.snapshot();
        let found = known.issuers.iter().find(|issuer| issuer.key == key.name());
        if let Some(found) = found {
            let former = known
                .issuers
                .iter()
                .find(|known| Some(known.no) == found.replaces);
            let is_same = found.kind == IssuerKind::Root
                && found.state == IssuerState::Prepared
                && former.map(|former| &former.name) == follows
                && found.public_key().hash() == key.public().hash();
            return match is_same {
                true => Ok(Arc::clone(found)),
                false => {
                    let what = format!("there is an issuer {} already", found.name);
                    Err(Refusal::Conflict { what }.into())
                }
            };
        }
        let former = match follows {
            Some(name) => {
                let former = may_be_followed(&known.issuers, name)?;
                nothing_under_way(&known.issuers, former)?;
                Some(Arc::clone(former))
            }
            None => None,
        };
        let first = known.issuers.iter().find(|issuer| issuer.key == ROOT);
        let model = former.as_ref().or(first);
        let base_url = model
            .ok_or(FaultCause::Corrupt("first root"))?
            .base_url
            .clone();
        let subject = self.issuer_subject(key.name(), "Root CA")?;
        let us = Actor::system("root ceremony");
        let (actor, tenant, now) = (us.clone(), self.tenant(), self.now_for_signing()?);
        self.record(move |tx| {
            // An interrupted ceremony may have left it.
            match device::by_id(tx, tenant, &subject.id)? {
                Some(_) => tx.excuse("our subject is registered"),
                None => {
                    device::add(tx, &subject, &actor, now)?;
                }
            }
            Ok(())
        })
        .await?;
        self.add_key(key.clone());
        let made = self
            .certify(key.name(), ROOT_PROFILE, Vec::new(), None, "root ceremony")
            .await?;
        let installed = Installed {
            kind: IssuerKind::Root,
            replaces: former.map(|former| former.no),
            shards: 1,
            base_url,
        };
        self.install(&made, key, &[], installed, &us).await?;
        self.sign_root_lists(key).await
    }

    /// Lets a root and the one that follows it stand for each other. What is there already is not made
    /// again.
    ///
    /// # Errors
    /// A key is not that of one of these roots.
    pub async fn cross_certify(
        &self,
        former: &Key,
        new: &Key,
        cross: Cross,
    ) -> Result<(), Rejection> {
        self.add_key(former.clone());
        self.add_key(new.clone());
        self.cross_certify_one(new, former).await?;
        match cross {
            Cross::Both => self.cross_certify_one(former, new).await,
            Cross::NewWithOld => Ok(()),
        }
    }

    /// Certifies the key of `subject` in the name of `by`.
    async fn cross_certify_one(&self, subject: &Key, by: &Key) -> Result<(), Rejection> {
        let known = self.snapshot();
        let of = |key: &Key| {
            super::addition::with_key(&known.issuers, key)
                .cloned()
                .ok_or_else(|| FaultCause::NoKey(key.name().to_owned()))
        };
        let (root, signer) = (of(subject)?, of(by)?);
        if root.cross.iter().any(|cross| cross.by == signer.no) {
            return Ok(());
        }
        let made = self
            .certify(
                subject.name(),
                CROSS_PROFILE,
                Vec::new(),
                Some(signer.name.clone()),
                "root ceremony",
            )
            .await?;
        let (us, now) = (Actor::system("root ceremony"), self.clock().now());
        let row = made.row.clone();
        self.record(move |tx| Ok(issuer::add_cross(tx, &root, &row, &us, now)?))
            .await?;
        self.reload().await
    }

    /// The issuers below a root that go on and nobody follows yet, oldest first.
    pub fn to_be_followed(&self, root: &Slug) -> Vec<Arc<Issuer>> {
        let known = self.snapshot();
        let Some(root) = known.issuers.iter().find(|issuer| issuer.name == *root) else {
            return Vec::new();
        };
        let goes_on = |issuer: &&Arc<Issuer>| may_be_followed(&known.issuers, &issuer.name).is_ok();
        below(&known.issuers, root)
            .filter(goes_on)
            .cloned()
            .collect()
    }
}

/// One rollover at a time: what follows an issuer below a root has to sign before that root is followed,
/// or be given up.
fn nothing_under_way(issuers: &[Arc<Issuer>], root: &Issuer) -> Result<(), Rejection> {
    let is_coming = |issuer: &&Arc<Issuer>| {
        matches!(
            issuer.state,
            IssuerState::Prepared | IssuerState::Distributed
        )
    };
    match below(issuers, root).find(is_coming) {
        None => Ok(()),
        Some(coming) => {
            let what = format!(
                "root {} cannot be rolled over: {} below it is {}; activate it first, or give it up \
                 (`tenure issuer rollover remove {}`)",
                root.name, coming.name, coming.state, coming.name
            );
            Err(Refusal::Conflict { what }.into())
        }
    }
}
