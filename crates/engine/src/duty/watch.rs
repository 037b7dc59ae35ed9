//! The watch duty: what devices and services do that is not as it should be. It says the same in each
//! round; findings are opened once, and cleared when it is gone. A fleet that forgets to renew is one
//! finding for each class, site and owner, not one for each device.

use std::collections::{BTreeMap, HashSet};

use tenure_domain::device::Criticality;
use tenure_domain::duration::DAY_S;
use tenure_domain::finding::{FindingKind, Matter, NewFinding, Subject, SubjectKind};
use tenure_domain::ids::Title;
use tenure_domain::profile::Life;
use tenure_domain::registry::Class;
use tenure_domain::{CertificateRow, Durability, Status};
use tenure_store::watch::{self, Late};
use tenure_store::{StoreError, finding};
use tenure_x509::Time;

use crate::Engine;
use crate::fault::Rejection;

/// How long a certificate that ended without a successor is told of, in seconds: after that its device
/// is thought to be gone.
const GONE_S: i64 = 30 * DAY_S;
/// Most certificates of one class looked at in a round.
const LOOKED_AT: u32 = 200_000;
/// More sites and owners of one class than this are told of together.
const APART_MAX: usize = 50;
/// Most open findings of a kind that are looked through.
const OPEN_MAX: u32 = 10_000;
/// How long after the last use that should not have been its finding stands, in seconds.
const QUIET_S: i64 = DAY_S;
/// How long after a revocation a use is no surprise yet, in seconds.
const ENFORCED_S: i64 = 300;
/// How often at most the last use at a service is noted, in seconds.
const NOTED_EVERY_S: i64 = 600;
/// Who does what is done here.
const DUTY: &str = "watch";

/// Certificates that should have been renewed, of one class and perhaps one site and owner.
struct Overdue {
    count: u64,
    first: Time,
    criticality: Criticality,
    owner: Option<Title>,
}

impl Overdue {
    fn none() -> Overdue {
        Overdue {
            count: 0,
            first: Time::NEVER,
            criticality: Criticality::Low,
            owner: None,
        }
    }

    fn add(&mut self, late: &Late) {
        self.count += 1;
        self.first = self.first.min(late.end);
        self.criticality = self.criticality.max(late.criticality);
    }
}

impl Engine {
    /// Everything that is watched here, once.
    pub async fn watch_fleet(&self) -> Result<(), Rejection> {
        self.watch_renewals().await?;
        self.watch_uses().await?;
        self.watch_compromises().await
    }

    /// Opens a finding for each class, site and owner whose certificates should have been renewed, and
    /// clears those that were.
    pub async fn watch_renewals(&self) -> Result<(), Rejection> {
        let (snapshot, now) = (self.snapshot(), self.clock().now());
        let mut seen = HashSet::new();
        let mut is_whole = true;
        for class in snapshot.classes.values() {
            let profile = snapshot.policy.profile(&class.profile);
            let Some(Life::Seconds(life_s)) = profile.map(|profile| profile.life) else {
                continue;
            };
            let durability = Durability::of_life(life_s, class.renewability);
            let percent = durability.alert_percents().first().copied().unwrap_or(0);
            let until = now.plus(life_s / 100 * i64::from(percent));
            let (tenant, name) = (self.tenant(), class.name.clone());
            let late = self
                .store()
                .read(move |tx| {
                    let ends = (now.plus(-GONE_S), until);
                    watch::late(tx, tenant, &name, ends, (now, percent), LOOKED_AT)
                })
                .await?;
            is_whole &= late.is_whole;
            for (matter, overdue) in grouped(class, &late.rows) {
                let new = overdue_finding(matter.clone(), class, &overdue);
                self.raise_finding(DUTY, new).await?;
                seen.insert(matter);
            }
        }
        if is_whole {
            let why = "its certificates are renewed, or gone";
            self.clear_unseen(SubjectKind::Class, FindingKind::RenewalOverdue, &seen, why)
                .await?;
        }
        Ok(())
    }

    /// Clears the findings of uses that have stopped.
    async fn watch_uses(&self) -> Result<(), Rejection> {
        let since = self.clock().now().plus(-QUIET_S);
        let recent: Vec<(String, FindingKind)> =
            self.store().glance(|tx| watch::uses_since(tx, since))?;
        for kind in [FindingKind::ExpiredInUse, FindingKind::RevokedInUse] {
            let of_it = recent.iter().filter(|(_, it)| *it == kind);
            let seen: HashSet<_> = of_it
                .map(|(service, kind)| use_matter(service, *kind))
                .collect();
            let why = "no such use was reported for a day";
            self.clear_unseen(SubjectKind::Service, kind, &seen, why)
                .await?;
        }
        Ok(())
    }

    async fn clear_unseen(
        &self,
        subject: SubjectKind,
        kind: FindingKind,
        seen: &HashSet<Matter>,
        why: &str,
    ) -> Result<(), Rejection> {
        let tenant = self.tenant();
        let open = self
            .store()
            .glance(|tx| finding::standing(tx, tenant, subject, OPEN_MAX))?;
        for found in open {
            if found.matter.kind == kind && !seen.contains(&found.matter) {
                self.clear_finding(DUTY, found.matter, why).await?;
            }
        }
        Ok(())
    }

    /// Opens a finding if a certificate was used at a service when it should not have been let in.
    pub(crate) async fn note_use(
        &self,
        row: &CertificateRow,
        service: &Title,
        at: Time,
    ) -> Result<(), Rejection> {
        let withdrawn = row
            .revocation
            .as_ref()
            .filter(|how| row.status == Status::Revoked && at > how.at.plus(ENFORCED_S));
        let (kind, since) = match withdrawn {
            Some(how) => (FindingKind::RevokedInUse, how.at),
            None if at > row.validity.not_after => {
                (FindingKind::ExpiredInUse, row.validity.not_after)
            }
            None => return Ok(()),
        };
        let name = service.to_string();
        let last = self.store().glance(|tx| watch::last_use(tx, &name, kind))?;
        if last.is_none_or(|last| at >= last.plus(NOTED_EVERY_S)) {
            self.store()
                .scratch::<_, StoreError, _>(move |tx| watch::note_use(tx, &name, kind, at))
                .await?;
        }
        let what = match kind {
            FindingKind::RevokedInUse => "was revoked",
            _ => "ended",
        };
        let new = NewFinding {
            matter: use_matter(service.as_str(), kind),
            summary: format!(
                "{service} reports the use of certificate {} of {}, which {what} at {since}: it lets in \
                 what it must refuse. See that it checks, with `tenure probe run`.",
                row.serial, row.device_id
            ),
            evidence: vec![format!("certificate {}", row.serial)],
            owner: None,
            criticality: Criticality::High,
        };
        self.raise_finding(DUTY, new).await?;
        Ok(())
    }

    /// Opens and clears the findings of `doctor`: the checks that are not good, each with what is wrong
    /// and what to do. A check that is not among them is good, or there no more.
    pub async fn watch_house(
        &self,
        wrong: Vec<(String, String, Criticality)>,
    ) -> Result<(), Rejection> {
        let mut seen = HashSet::new();
        for (check, summary, criticality) in wrong {
            let matter = Matter {
                kind: FindingKind::Doctor,
                subject: Subject::new(SubjectKind::House, "server"),
                cause: check,
            };
            seen.insert(matter.clone());
            let new = NewFinding {
                matter,
                summary,
                evidence: Vec::new(),
                owner: None,
                criticality,
            };
            self.raise_finding("doctor", new).await?;
        }
        self.clear_unseen(
            SubjectKind::House,
            FindingKind::Doctor,
            &seen,
            "it is good again",
        )
        .await
    }
}

fn use_matter(service: &str, kind: FindingKind) -> Matter {
    Matter {
        kind,
        subject: Subject::new(SubjectKind::Service, service),
        cause: "reported".to_owned(),
    }
}

/// By site and owner; all together if there are too many.
fn grouped(class: &Class, rows: &[Late]) -> Vec<(Matter, Overdue)> {
    let mut apart: BTreeMap<(&Title, &Title), Overdue> = BTreeMap::new();
    let mut all = Overdue::none();
    for late in rows {
        let of_it = apart.entry((&late.site, &late.owner));
        of_it.or_insert_with(Overdue::none).add(late);
        all.add(late);
    }
    let matter = |cause: String| Matter {
        kind: FindingKind::RenewalOverdue,
        subject: Subject::new(SubjectKind::Class, class.name.as_str()),
        cause,
    };
    if apart.len() > APART_MAX {
        return vec![(matter("everywhere".to_owned()), all)];
    }
    let named = apart.into_iter().map(|((site, owner), mut overdue)| {
        overdue.owner = Some(owner.clone());
        (matter(format!("{site}, {owner}")), overdue)
    });
    named.collect()
}

fn overdue_finding(matter: Matter, class: &Class, overdue: &Overdue) -> NewFinding {
    let place = match matter.cause.as_str() {
        "everywhere" => "at many sites".to_owned(),
        cause => format!("({cause})"),
    };
    NewFinding {
        summary: format!(
            "{} certificates of class {} {place} should have been renewed; the first ends at {}. See why \
             their devices do not ask: `tenure cert list --expires-within-days 30`.",
            overdue.count, class.name, overdue.first
        ),
        matter,
        evidence: Vec::new(),
        owner: overdue.owner.clone(),
        criticality: overdue.criticality,
    }
}
