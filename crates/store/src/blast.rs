//! Blast radius: the devices and certificates that rest on one thing, counted and listed.
//!
//! Nothing is kept for it. What concerns few devices is followed along their chains; what concerns
//! many is one walk over the certificates that have not expired and one over the devices, both in the
//! order in which they lie. A device costs a byte of memory.

use std::collections::{BTreeMap, HashMap};
use std::ops::ControlFlow;

use tenure_domain::blast::{Affected, CertificateTally, Exposure, Radius, Seen, Side, Tally};
use tenure_domain::device::Criticality;
use tenure_domain::{
    ClassNo, DeviceNo, Event, IssuerNo, OperatorNo, OwnerNo, ServiceNo, SiteNo, Standing, Status,
    TenantId, Title,
};
use tenure_x509::{KeyHash, Time};

use crate::cache::Noun;
use crate::certificate::key_prefix;
use crate::device::{self, Raw, raw, select_device};
use crate::error::StoreError;
use crate::issuer;
use crate::lookup::{By, candidates};
use crate::probe::is_of_canaries;
use crate::registry::{class, name};
use crate::tx::{ReadTx, Row};
use crate::view::{ListError, Page};

/// What a radius is of, by the store's numbers.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Centre {
    /// Everything that these issuers signed.
    Issuers(Vec<IssuerNo>),
    /// Every certificate with this key, expired or not.
    Key(KeyHash),
    /// One device.
    Device(DeviceNo),
    /// The devices that the holders of these tokens touched.
    Operators(Vec<OperatorNo>),
    /// The devices registered as this maker's.
    Manufacturer(String),
    /// An owner's devices.
    Owner(OwnerNo),
    /// The devices at these sites.
    Sites(Vec<SiteNo>),
    /// The devices that talk to a service.
    Service(ServiceNo),
}

/// Up to so many devices are looked at one by one; more are found by walking over all.
const FEW: usize = 20_000;
/// How many devices a page looks at before it stops.
const LOOKED_AT: usize = 10_000;

mod sql {
    //! The statements, so that a test can ask the database how it would run each.
    macro_rules! statements {
        ($($name:ident = $text:expr;)+) => {
            $(pub(super) const $name: &str = $text;)+
            #[cfg(test)]
            pub(super) const ALL: &[(&str, &str)] = &[$((stringify!($name), $text)),+];
        };
    }
    use crate::device::select_device;
    statements! {
        LAST = "SELECT coalesce(max(no), 0) FROM device";
        OF_OWNER = "SELECT no FROM device WHERE tenant = $1 AND owner = $2";
        OF_SITE = "SELECT no FROM device WHERE tenant = $1 AND site = $2";
        OF_SERVICE = "SELECT device FROM device_service WHERE service = $1";
        OF_OPERATOR = "SELECT event.device, event.kind FROM operator_event
             CROSS JOIN event ON event.seq = operator_event.event
             WHERE operator_event.operator = $1";
        CHAIN = "SELECT cert.issuer, cert.key, cert.status, cert.na, cert.prev, cert.class
             FROM cert WHERE no = $1";
        NEWEST = "SELECT last_cert FROM device WHERE no = $1";
        HOLDER = "SELECT device FROM cert WHERE no = $1 AND key = $2 AND class >= 0 AND status <> 2";
        UNEXPIRED = "SELECT device, issuer, status FROM cert
             WHERE na >= $1 AND +tenant = $2 AND class >= 0";
        ENDING = "SELECT count(*) FROM cert WHERE status = 3 AND class = $1 AND na >= $2
             AND na <= $3";
        ONE = "SELECT no, class, site, owner, criticality, services, standing FROM device
             WHERE no = $1";
        // Every row is wanted, in the order in which they lie: these two are meant to be walks.
        EVERY = "SELECT no, class, site, owner, criticality, services, standing FROM device
             WHERE no > 0 AND +tenant = $1 ORDER BY no";
        OF_MAKER = "SELECT no FROM device WHERE no > 0 AND +tenant = $1 AND manufacturer = $2";
        NEXT = select_device!("WHERE no > $1 AND +tenant = $2 ORDER BY no");
    }
}

/// What was seen of each device, by its number.
struct Marks {
    seen: Vec<Seen>,
}

impl Marks {
    fn new(tx: &ReadTx<'_>) -> Result<Marks, StoreError> {
        let last = usize::try_from(tx.number(sql::LAST, &[])?).unwrap_or(0);
        Ok(Marks {
            seen: vec![Seen::default(); last + 1],
        })
    }

    fn of(&mut self, device: i64) -> Option<&mut Seen> {
        usize::try_from(device)
            .ok()
            .and_then(|no| self.seen.get_mut(no))
    }

    fn belongs(&mut self, device: i64) {
        if device > 0
            && let Some(seen) = self.of(device)
        {
            seen.belongs();
        }
    }

    fn get(&self, device: i64) -> Seen {
        let seen = usize::try_from(device)
            .ok()
            .and_then(|no| self.seen.get(no));
        seen.copied().unwrap_or_default()
    }

    /// The numbers of those that belong to the radius.
    fn members(&self) -> impl Iterator<Item = i64> {
        (0_i64..)
            .zip(&self.seen)
            .filter(|(_, seen)| seen.is_member())
            .map(|(no, _)| no)
    }
}

/// What of a certificate a radius looks at.
struct Link {
    issuer: IssuerNo,
    key: KeyHash,
    status: Status,
    end: Time,
    prev: i64,
    class: i64,
}

fn link(row: &Row<'_>) -> Result<Link, StoreError> {
    Ok(Link {
        issuer: IssuerNo(row.get(0)?),
        key: KeyHash(row.get(1)?),
        status: status(row.get(2)?)?,
        end: row.time(3)?,
        prev: row.get(4)?,
        class: row.get(5)?,
    })
}

fn status(code: i64) -> Result<Status, StoreError> {
    Status::from_code(code).ok_or(StoreError::Unreadable {
        what: "cert.status",
    })
}

/// Certificates inside, by issuer.
type ByIssuer = BTreeMap<IssuerNo, CertificateTally>;

/// Reads one centre's surroundings.
struct Survey<'t, 'c> {
    tx: &'t ReadTx<'c>,
    tenant: TenantId,
    centre: &'t Centre,
    now: Time,
    /// See [`FEW`].
    few: usize,
    acts: BTreeMap<&'static str, u64>,
}

impl Survey<'_, '_> {
    /// Marks the devices that belong to the centre whatever they hold.
    fn members(&mut self, marks: &mut Marks) -> Result<(), StoreError> {
        let tenant = self.tenant.0;
        match self.centre {
            Centre::Issuers(_) => Ok(()),
            Centre::Key(key) => {
                for no in candidates(self.tx, By::Key, key_prefix(&key.0))? {
                    let holder = self.tx.number(sql::HOLDER, &[&no, &key.0.as_slice()])?;
                    marks.belongs(holder);
                }
                Ok(())
            }
            Centre::Device(no) => {
                marks.belongs(no.0);
                Ok(())
            }
            Centre::Operators(tokens) => {
                for token in tokens {
                    self.touched(*token, marks)?;
                }
                Ok(())
            }
            Centre::Manufacturer(maker) => self.tx.each(sql::OF_MAKER, &[&tenant, maker], |row| {
                marks.belongs(row.get(0)?);
                Ok(())
            }),
            Centre::Owner(owner) => self.tx.each(sql::OF_OWNER, &[&tenant, &owner.0], |row| {
                marks.belongs(row.get(0)?);
                Ok(())
            }),
            Centre::Sites(sites) => {
                for site in sites {
                    self.tx
                        .each::<StoreError>(sql::OF_SITE, &[&tenant, &site.0], |row| {
                            marks.belongs(row.get(0)?);
                            Ok(())
                        })?;
                }
                Ok(())
            }
            Centre::Service(service) => self.tx.each(sql::OF_SERVICE, &[&service.0], |row| {
                marks.belongs(row.get(0)?);
                Ok(())
            }),
        }
    }

    fn touched(&mut self, token: OperatorNo, marks: &mut Marks) -> Result<(), StoreError> {
        let acts = &mut self.acts;
        self.tx.each(sql::OF_OPERATOR, &[&token.0], |row| {
            marks.belongs(row.get(0)?);
            let word = Event::word_of(row.get(1)?);
            *acts.entry(word.unwrap_or("unknown")).or_default() += 1;
            Ok(())
        })
    }

    /// On which side a certificate of a member is.
    fn side(&self, link: &Link) -> Side {
        let is_inside = match self.centre {
            Centre::Issuers(issuers) => issuers.contains(&link.issuer),
            Centre::Key(key) => *key == link.key,
            Centre::Device(_)
            | Centre::Operators(_)
            | Centre::Manufacturer(_)
            | Centre::Owner(_)
            | Centre::Sites(_)
            | Centre::Service(_) => true,
        };
        if is_inside {
            Side::Inside
        } else {
            Side::Outside
        }
    }

    /// Whether a certificate counts: released, of no canary, and not expired. With a key it counts
    /// even then, because the key is known to others for ever.
    fn counts(&self, link: &Link) -> bool {
        let is_of_key = matches!(self.centre, Centre::Key(key) if *key == link.key);
        !is_of_canaries(link.class)
            && !matches!(link.status, Status::Reserved | Status::Voided)
            && (link.end >= self.now || is_of_key)
    }

    /// Everything one device holds.
    fn follow(
        &self,
        device: i64,
        seen: &mut Seen,
        by_issuer: &mut ByIssuer,
    ) -> Result<(), StoreError> {
        let mut next = self.tx.number(sql::NEWEST, &[&device])?;
        while next != 0 {
            let Some(link) = self.tx.first(sql::CHAIN, &[&next], link)? else {
                break;
            };
            next = link.prev;
            if !self.counts(&link) {
                continue;
            }
            let side = self.side(&link);
            seen.note(side, link.status);
            if side == Side::Inside {
                by_issuer.entry(link.issuer).or_default().add(link.status);
            }
        }
        Ok(())
    }

    /// Everything that has not expired, in one walk.
    fn sweep(&self, marks: &mut Marks, by_issuer: &mut ByIssuer) -> Result<(), StoreError> {
        let issuers = match self.centre {
            Centre::Issuers(issuers) => Some(issuers),
            Centre::Key(_)
            | Centre::Device(_)
            | Centre::Operators(_)
            | Centre::Manufacturer(_)
            | Centre::Owner(_)
            | Centre::Sites(_)
            | Centre::Service(_) => None,
        };
        let args: [&dyn rusqlite::ToSql; 2] = [&self.now.unix(), &self.tenant.0];
        self.tx.each(sql::UNEXPIRED, &args, |row| {
            let status = status(row.get(2)?)?;
            let issuer = IssuerNo(row.get(1)?);
            let Some(seen) = marks.of(row.get(0)?) else {
                return Ok(());
            };
            let side = match issuers {
                Some(issuers) if issuers.contains(&issuer) => Side::Inside,
                Some(_) => Side::Outside,
                None if seen.is_member() => Side::Inside,
                None => return Ok(()),
            };
            seen.note(side, status);
            if side == Side::Inside {
                by_issuer.entry(issuer).or_default().add(status);
            }
            Ok(())
        })
    }

    /// Marks every member and what it holds.
    fn marks(&mut self) -> Result<(Marks, ByIssuer), StoreError> {
        let mut marks = Marks::new(self.tx)?;
        let mut by_issuer = ByIssuer::new();
        self.members(&mut marks)?;
        // A key is in few certificates, and the expired ones count too.
        let most = match self.centre {
            Centre::Issuers(_) => 0,
            Centre::Key(_) => usize::MAX,
            Centre::Device(_)
            | Centre::Operators(_)
            | Centre::Manufacturer(_)
            | Centre::Owner(_)
            | Centre::Sites(_)
            | Centre::Service(_) => self.few,
        };
        let few: Vec<i64> = marks.members().take(most.saturating_add(1)).collect();
        if matches!(self.centre, Centre::Issuers(_)) || few.len() > most {
            self.sweep(&mut marks, &mut by_issuer)?;
        } else {
            for device in few {
                let mut seen = marks.get(device);
                self.follow(device, &mut seen, &mut by_issuer)?;
                if let Some(mark) = marks.of(device) {
                    *mark = seen;
                }
            }
        }
        Ok((marks, by_issuer))
    }
}

/// Notes whether a device is meant to go on at all.
fn leave(seen: &mut Seen, standing: Standing) {
    if matches!(standing, Standing::Retired | Standing::Destroyed) {
        seen.left();
    }
}

/// By what the devices of a radius are counted: class, site, owner, criticality, services, and what
/// was seen of them.
type Alike = (i64, i64, i64, i64, String, Seen);

/// Whom it concerns that a centre is no longer to be trusted, at `now`.
pub fn radius(
    tx: &ReadTx<'_>,
    tenant: TenantId,
    centre: &Centre,
    now: Time,
) -> Result<Radius, StoreError> {
    surveyed(tx, tenant, centre, now, FEW)
}

fn surveyed(
    tx: &ReadTx<'_>,
    tenant: TenantId,
    centre: &Centre,
    now: Time,
    few: usize,
) -> Result<Radius, StoreError> {
    let mut survey = Survey {
        tx,
        tenant,
        centre,
        now,
        few,
        acts: BTreeMap::new(),
    };
    let (marks, by_issuer) = survey.marks()?;
    let mut alike: HashMap<Alike, u64> = HashMap::new();
    let mut count = |row: &Row<'_>| -> Result<(), StoreError> {
        let mut seen = marks.get(row.get(0)?);
        let class = row.get(1)?;
        leave(&mut seen, device::standing(row.get(6)?)?);
        if seen.is_member() && !is_of_canaries(class) {
            let services = row.text(5)?.to_owned();
            let key = (class, row.get(2)?, row.get(3)?, row.get(4)?, services, seen);
            *alike.entry(key).or_default() += 1;
        }
        Ok(())
    };
    let members: Vec<i64> = marks.members().take(few + 1).collect();
    if members.len() > few {
        tx.each(sql::EVERY, &[&tenant.0], &mut count)?;
    } else {
        for device in members {
            tx.each(sql::ONE, &[&device], &mut count)?;
        }
    }
    let mut radius = Radius {
        acts: survey.acts,
        ..Radius::default()
    };
    for ((class, site, owner, criticality, services, seen), n) in alike {
        let criticality = Criticality::from_code(criticality).ok_or(StoreError::Unreadable {
            what: "device.criticality",
        })?;
        radius.devices.add(seen, n);
        let add = |map: &mut BTreeMap<Title, Tally>, title| {
            map.entry(title).or_default().add(seen, n);
        };
        add(&mut radius.by_class, name(tx, Noun::Class, class)?);
        add(&mut radius.by_site, name(tx, Noun::Site, site)?);
        add(&mut radius.by_owner, name(tx, Noun::Owner, owner)?);
        for service in services.split(';').filter(|name| !name.is_empty()) {
            let service =
                Title::try_from(service.to_owned()).map_err(|_| StoreError::Unreadable {
                    what: "device.services",
                })?;
            add(&mut radius.by_service, service);
        }
        let of_it = radius.by_criticality.entry(criticality).or_default();
        of_it.add(seen, n);
    }
    for (no, tally) in by_issuer {
        let whole = &mut radius.certificates;
        whole.issued += tally.issued;
        whole.replaced += tally.replaced;
        whole.held += tally.held;
        whole.revoked += tally.revoked;
        let name = issuer::name_of(tx, tenant, no)?;
        radius.by_issuer.insert(name, tally);
    }
    Ok(radius)
}

/// Which devices of a radius.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct AffectedFilter {
    /// Those that stand so.
    pub exposure: Option<Exposure>,
    /// Those whose failing would mean this.
    pub criticality: Option<Criticality>,
}

/// One page of the devices of a radius, in the order of registration. It may hold fewer than wanted
/// and still have a next page.
pub fn devices(
    tx: &ReadTx<'_>,
    tenant: TenantId,
    centre: &Centre,
    filter: AffectedFilter,
    (cursor, limit): (Option<&str>, usize),
    now: Time,
) -> Result<Page<Affected>, ListError> {
    let after: i64 = match cursor {
        None => 0,
        Some(cursor) => cursor.parse().map_err(|_| ListError::BadCursor)?,
    };
    let limit = limit.max(1);
    let mut survey = Survey {
        tx,
        tenant,
        centre,
        now,
        few: FEW,
        acts: BTreeMap::new(),
    };
    let mut found: Vec<(Raw, Seen)> = Vec::new();
    let (mut looked_at, mut last, mut more) = (0, after, false);
    let takes = |raw: &Raw, seen: Seen| {
        !is_of_canaries(raw.class)
            && filter.exposure.is_none_or(|it| it == seen.exposure())
            && filter
                .criticality
                .is_none_or(|it| it == raw.device.criticality)
    };
    let mut members = None;
    if !matches!(centre, Centre::Issuers(_)) {
        let mut marks = Marks::new(tx)?;
        survey.members(&mut marks)?;
        members = Some(marks);
    }
    let mut by_issuer = ByIssuer::new();
    match &members {
        Some(marks) => {
            for device in marks.members().skip_while(|no| *no <= after) {
                last = device;
                looked_at += 1;
                let raw = tx.first(select_device!("WHERE no = $1"), &[&device], raw)?;
                let mut seen = marks.get(device);
                survey.follow(device, &mut seen, &mut by_issuer)?;
                if let Some(raw) = &raw {
                    leave(&mut seen, raw.device.standing);
                }
                found.extend(raw.filter(|raw| takes(raw, seen)).map(|raw| (raw, seen)));
                if found.len() >= limit || looked_at >= LOOKED_AT {
                    more = true;
                    break;
                }
            }
        }
        None => tx.walk(sql::NEXT, &[&after, &tenant.0], |row| {
            let raw = raw(row)?;
            last = raw.device.no.0;
            looked_at += 1;
            let mut seen = Seen::default();
            survey.follow(last, &mut seen, &mut by_issuer)?;
            leave(&mut seen, raw.device.standing);
            if seen.is_member() && takes(&raw, seen) {
                found.push((raw, seen));
            }
            if found.len() >= limit || looked_at >= LOOKED_AT {
                more = true;
                return Ok(ControlFlow::Break(()));
            }
            Ok(ControlFlow::Continue(()))
        })?,
    }
    let items = found
        .into_iter()
        .map(|(raw, seen)| {
            let device = raw.named(tx)?;
            Ok(Affected { device, seen })
        })
        .collect::<Result<_, StoreError>>()?;
    Ok(Page {
        items,
        next: more.then(|| last.to_string()),
    })
}

/// Certificates in force of one class that have no successor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ending {
    /// The class.
    pub class: Title,
    /// Those that end in the time that was asked for.
    pub ending: u64,
    /// Those that ended before it.
    pub over: u64,
}

/// What ends between `from` and `until` if nothing is renewed, by class; and what has ended already.
pub fn ending(
    tx: &ReadTx<'_>,
    tenant: TenantId,
    from: Time,
    until: Time,
) -> Result<Vec<Ending>, StoreError> {
    let mut found = Vec::new();
    for (ClassNo(class), known) in class::list(tx, tenant, ClassNo(0), u32::MAX)? {
        let count = |from: i64, until: i64| -> Result<u64, StoreError> {
            let n = tx.number(sql::ENDING, &[&class, &from, &until])?;
            Ok(u64::try_from(n).unwrap_or(0))
        };
        found.push(Ending {
            class: known.name,
            ending: count(from.unix(), until.unix())?,
            over: count(0, from.unix() - 1)?,
        });
    }
    Ok(found)
}

/// How many certificates are in force, by issuer; from the counters.
pub fn in_force(tx: &ReadTx<'_>, tenant: TenantId) -> Result<Vec<(IssuerNo, u64)>, StoreError> {
    tx.all(
        "SELECT issuer, sum(n) FROM cert_count WHERE tenant = $1 AND status IN (3, 4)
         GROUP BY issuer ORDER BY issuer",
        &[&tenant.0],
        |row| {
            let n: i64 = row.get(1)?;
            Ok((IssuerNo(row.get(0)?), u64::try_from(n).unwrap_or(0)))
        },
    )
}

#[cfg(test)]
mod tests;
