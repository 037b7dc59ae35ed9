//! What every decision reads and few changes touch, kept in memory: policy, issuers, manufacturers,
//! classes and exceptions. A copy of the store, made again after each change to any of them.

use std::collections::HashMap;
use std::sync::Arc;

use tenure_domain::exception::{Exception, ExceptionState};
use tenure_domain::ids::{EventSeq, TenantId, Title};
use tenure_domain::issuer::Issuer;
use tenure_domain::policy::{Policy, document};
use tenure_domain::registry::{ChainTime, Class};
use tenure_store::{ReadTx, event};
use tenure_x509::Cert;

use crate::fault::{FaultCause, Rejection};

/// A registered manufacturer, its roots parsed.
#[derive(Debug, Clone)]
pub struct Maker {
    /// Its name.
    pub name: Title,
    /// Its roots.
    pub roots: Vec<Cert>,
    /// When its chains are judged.
    pub chain_time: ChainTime,
}

/// The copy.
#[derive(Debug)]
pub struct Snapshot {
    /// The newest event when it was read; of two copies the one with the later event is newer.
    pub as_of: EventSeq,
    /// The policy in force.
    pub policy: Policy,
    /// The issuers, oldest first.
    pub issuers: Arc<Vec<Arc<Issuer>>>,
    /// The manufacturers.
    pub makers: Vec<Maker>,
    /// The classes by name.
    pub classes: HashMap<Title, Arc<Class>>,
    /// The exceptions that were active.
    pub exceptions: Vec<Exception>,
}

impl Snapshot {
    /// Reads it from the store.
    pub fn load(tx: &ReadTx<'_>, tenant: TenantId) -> Result<Snapshot, Rejection> {
        let (version, text) = tenure_store::policy::current(tx, tenant)?
            .ok_or(FaultCause::Corrupt("policy: there is none"))?;
        let policy =
            document::parse(&text, version).map_err(|_| FaultCause::Corrupt("policy document"))?;
        let issuers = tenure_store::issuer::all(tx, tenant)?;
        let makers = tenure_store::registry::manufacturers(tx, tenant)?
            .into_iter()
            .map(|maker| {
                let roots = tenure_x509::pem_certificates(&maker.roots_pem)
                    .map_err(|_| FaultCause::Corrupt("manufacturer's roots"))?;
                Ok(Maker {
                    name: maker.name,
                    roots,
                    chain_time: maker.chain_time,
                })
            })
            .collect::<Result<_, FaultCause>>()?;
        let classes = tenure_store::registry::classes(tx, tenant)?
            .into_iter()
            .map(|class| (class.name.clone(), Arc::new(class)))
            .collect();
        let mut exceptions = tenure_store::exception::open(tx, tenant)?;
        exceptions.retain(|one| one.kept == ExceptionState::Active);
        Ok(Snapshot {
            as_of: event::last(tx)?.map_or(EventSeq(0), |(seq, _)| seq),
            policy,
            issuers: Arc::new(issuers.into_iter().map(Arc::new).collect()),
            makers,
            classes,
            exceptions,
        })
    }

    /// The issuer with this subject, if it is one of ours.
    pub fn issuer_named(&self, name: &tenure_x509::Name) -> Option<&Arc<Issuer>> {
        self.issuers.iter().find(|issuer| issuer.subject() == name)
    }
}
