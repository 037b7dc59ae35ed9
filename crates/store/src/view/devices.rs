//! The list of devices: by property, or by the beginning of id, serial number or model.

use std::ops::ControlFlow;

use tenure_domain::device::{Device, Standing};
use tenure_domain::{SiteNo, TenantId};

use super::{LOOKED_AT, ListError, Page};
use crate::counter::Property;
use crate::device::{Raw, raw, select_device};
use crate::error::StoreError;
use crate::registry;
use crate::tx::ReadTx;

/// Which devices; an empty filter means all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DeviceFilter {
    /// The beginning of the id, the serial number or the model; case-sensitive.
    pub text: Option<String>,
    /// The site, with those inside it.
    pub site: Option<String>,
    /// The class.
    pub class: Option<String>,
    /// The owner.
    pub owner: Option<String>,
    /// The standing.
    pub standing: Option<Standing>,
    /// A service they talk to.
    pub service: Option<String>,
    /// A class that is left out, if there is one of this name.
    pub without_class: Option<String>,
}

/// The filter with the registry's numbers in place of names.
struct Wanted {
    tenant: i64,
    /// The site and those inside it, in the order they were added.
    sites: Option<Vec<i64>>,
    class: Option<i64>,
    without_class: Option<i64>,
    owner: Option<i64>,
    standing: Option<Standing>,
    service: Option<(i64, String)>,
}

impl Wanted {
    fn of(tx: &ReadTx<'_>, tenant: TenantId, filter: &DeviceFilter) -> Result<Wanted, ListError> {
        let known = |noun, name: &str, no: Option<i64>| {
            no.ok_or(ListError::Unknown {
                noun,
                name: name.to_owned(),
            })
        };
        let mut wanted = Wanted {
            tenant: tenant.0,
            sites: None,
            class: None,
            without_class: None,
            owner: None,
            standing: filter.standing,
            service: None,
        };
        if let Some(name) = &filter.site {
            let no = registry::site::no(tx, tenant, name)?;
            let site = SiteNo(known("site", name, no.map(|SiteNo(no)| no))?);
            let sites = registry::site::inside(tx, site)?.into_iter();
            wanted.sites = Some(sites.map(|SiteNo(no)| no).collect());
        }
        if let Some(name) = &filter.without_class {
            wanted.without_class = registry::class::no(tx, tenant, name)?.map(|no| no.0);
        }
        if let Some(name) = &filter.class {
            let no = registry::class::no(tx, tenant, name)?;
            wanted.class = Some(known("class", name, no.map(|no| no.0))?);
        }
        if let Some(name) = &filter.owner {
            let no = registry::owner::no(tx, tenant, name)?;
            wanted.owner = Some(known("owner", name, no.map(|no| no.0))?);
        }
        if let Some(name) = &filter.service {
            let no = registry::service::no(tx, tenant, name)?;
            let no = known("service", name, no.map(|no| no.0))?;
            wanted.service = Some((no, name.clone()));
        }
        Ok(wanted)
    }

    fn takes(&self, raw: &Raw) -> bool {
        self.sites
            .as_ref()
            .is_none_or(|sites| sites.binary_search(&raw.site).is_ok())
            && self.class.is_none_or(|class| class == raw.class)
            && self.without_class.is_none_or(|class| class != raw.class)
            && self.owner.is_none_or(|owner| owner == raw.owner)
            && self
                .standing
                .is_none_or(|standing| standing == raw.device.standing)
            && self.service.as_ref().is_none_or(|(_, name)| {
                raw.device
                    .services
                    .iter()
                    .any(|service| service.as_str() == name)
            })
    }

    /// The index that leaves the fewest rows to look at, by the counters. A later page goes on as its
    /// cursor was made: site by site if it names a site, in the order of registration if not.
    fn way(&self, tx: &ReadTx<'_>, begun: Option<Option<i64>>) -> Result<Way, StoreError> {
        if let (Some(Some(_)), Some(_)) = (begun, &self.sites) {
            return Ok(Way::Sites);
        }
        if let Some((service, _)) = self.service {
            return Ok(Way::Service(service));
        }
        let counted = |property: Property, value: i64| {
            tx.number(
                "SELECT sum(n) FROM device_count
                 WHERE tenant = $1 AND property = $2 AND value = $3",
                &[&self.tenant, &(property as i64), &value],
            )
        };
        let mut ways = Vec::new();
        if let (Some(sites), None) = (&self.sites, begun) {
            let mut n = 0;
            for site in sites {
                n += counted(Property::Site, *site)?;
            }
            ways.push((n, Way::Sites));
        }
        if let Some(class) = self.class {
            ways.push((counted(Property::Class, class)?, Way::Class(class)));
        }
        if let Some(owner) = self.owner {
            ways.push((counted(Property::Owner, owner)?, Way::Owner(owner)));
        }
        if let Some(standing) = self.standing {
            let n = tx.number(
                "SELECT sum(n) FROM device_count
                 WHERE tenant = $1 AND property = 1 AND standing = $2",
                &[&self.tenant, &standing.code()],
            )?;
            ways.push((n, Way::Standing(standing.code())));
        }
        let best = ways.into_iter().min_by_key(|(n, _)| *n);
        Ok(best.map_or(Way::All, |(_, way)| way))
    }
}

#[derive(Debug, Clone, Copy)]
enum Way {
    All,
    Sites,
    Class(i64),
    Owner(i64),
    Standing(i64),
    Service(i64),
}

/// One page of devices, in the order of registration, or site by site where that is found sooner;
/// with a text, in the order of what matched.
pub fn devices(
    tx: &ReadTx<'_>,
    tenant: TenantId,
    filter: &DeviceFilter,
    cursor: Option<&str>,
    limit: usize,
) -> Result<Page<Device>, ListError> {
    let wanted = Wanted::of(tx, tenant, filter)?;
    let limit = limit.max(1);
    match filter.text.as_deref().filter(|text| !text.is_empty()) {
        Some(text) => by_text(tx, &wanted, text, cursor, limit),
        None => by_property(tx, &wanted, cursor, limit),
    }
}

/// Collects the rows of one walk that the filter takes, up to the limits.
struct Walk<'w> {
    wanted: &'w Wanted,
    found: Vec<Raw>,
    limit: usize,
    looked_at: usize,
    last: Option<Raw>,
    full: ControlFlow<()>,
}

impl Walk<'_> {
    fn take(&mut self, raw: Raw, is_new: bool) -> ControlFlow<()> {
        self.looked_at += 1;
        if is_new && self.wanted.takes(&raw) {
            self.found.push(Raw {
                device: raw.device.clone(),
                ..raw
            });
        }
        self.last = Some(raw);
        if self.found.len() >= self.limit || self.looked_at >= LOOKED_AT {
            self.full = ControlFlow::Break(());
        }
        self.full
    }
}

fn named(tx: &ReadTx<'_>, found: Vec<Raw>) -> Result<Vec<Device>, StoreError> {
    found.into_iter().map(|raw| raw.named(tx)).collect()
}

fn by_property(
    tx: &ReadTx<'_>,
    wanted: &Wanted,
    cursor: Option<&str>,
    limit: usize,
) -> Result<Page<Device>, ListError> {
    let (from_site, after) = match cursor {
        None => (None, 0),
        Some(cursor) => read_place(cursor)?,
    };
    let mut walk = Walk {
        wanted,
        found: Vec::new(),
        limit,
        looked_at: 0,
        last: None,
        full: ControlFlow::Continue(()),
    };
    let tenant = wanted.tenant;
    let way = wanted.way(tx, cursor.map(|_| from_site))?;
    if matches!(way, Way::Sites) {
        return site_by_site(tx, wanted, from_site.unwrap_or(0), after, walk);
    }
    let visit = |row: &crate::tx::Row<'_>| Ok(walk.take(raw(row)?, true));
    match way {
        Way::Sites => Ok(()),
        Way::All => tx.walk(
            // The sign keeps the planner from an index that begins with the tenant and would have to
            // be sorted whole.
            select_device!("WHERE +tenant = $1 AND no > $2 ORDER BY no"),
            &[&tenant, &after],
            visit,
        ),
        Way::Class(class) => tx.walk(
            select_device!("WHERE tenant = $1 AND class = $3 AND no > $2 ORDER BY no"),
            &[&tenant, &after, &class],
            visit,
        ),
        Way::Owner(owner) => tx.walk(
            select_device!("WHERE tenant = $1 AND owner = $3 AND no > $2 ORDER BY no"),
            &[&tenant, &after, &owner],
            visit,
        ),
        Way::Standing(standing) => tx.walk(
            select_device!("WHERE tenant = $1 AND standing = $3 AND no > $2 ORDER BY no"),
            &[&tenant, &after, &standing],
            visit,
        ),
        Way::Service(service) => tx.walk(
            select_device!(
                "JOIN device_service ON device_service.device = device.no
                 WHERE tenant = $1 AND device_service.service = $3 AND device_service.device > $2
                 ORDER BY device_service.device"
            ),
            &[&tenant, &after, &service],
            visit,
        ),
    }?;
    let next = match (walk.full, &walk.last) {
        (ControlFlow::Break(()), Some(last)) => Some(last.device.no.to_string()),
        _ => None,
    };
    Ok(Page {
        items: named(tx, walk.found)?,
        next,
    })
}

/// A cursor: a device, or a site and a device in it.
fn read_place(cursor: &str) -> Result<(Option<i64>, i64), ListError> {
    let number = |text: &str| text.parse().map_err(|_| ListError::BadCursor);
    match cursor.split_once('.') {
        Some((site, device)) => Ok((Some(number(site)?), number(device)?)),
        None => Ok((None, number(cursor)?)),
    }
}

/// The devices of one site after the other; each has its own index, so none is sorted.
fn site_by_site(
    tx: &ReadTx<'_>,
    wanted: &Wanted,
    from: i64,
    mut after: i64,
    mut walk: Walk<'_>,
) -> Result<Page<Device>, ListError> {
    let sites = wanted.sites.iter().flatten();
    for site in sites.filter(|site| **site >= from) {
        if *site != from {
            after = 0;
        }
        tx.walk(
            select_device!("WHERE tenant = $1 AND site = $3 AND no > $2 ORDER BY no"),
            &[&wanted.tenant, &after, site],
            |row| Ok(walk.take(raw(row)?, true)),
        )?;
        if walk.full.is_break() {
            break;
        }
    }
    let next = match (walk.full, &walk.last) {
        (ControlFlow::Break(()), Some(last)) => Some(format!("{}.{}", last.site, last.device.no)),
        _ => None,
    };
    Ok(Page {
        items: named(tx, walk.found)?,
        next,
    })
}

/// What the text is compared with, one after the other.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Column {
    Id,
    Serial,
    Model,
}

impl Column {
    fn of(self, device: &Device) -> &str {
        match self {
            Column::Id => device.id.as_str(),
            Column::Serial => &device.serial,
            Column::Model => &device.model,
        }
    }

    fn letter(self) -> char {
        match self {
            Column::Id => 'i',
            Column::Serial => 's',
            Column::Model => 'm',
        }
    }

    fn next(self) -> Option<Column> {
        match self {
            Column::Id => Some(Column::Serial),
            Column::Serial => Some(Column::Model),
            Column::Model => None,
        }
    }
}

/// A cursor of a text search: the column, the row, and the value it was found by.
fn read_cursor(cursor: Option<&str>, text: &str) -> Result<(Column, i64, String), ListError> {
    let Some(cursor) = cursor else {
        return Ok((Column::Id, 0, text.to_owned()));
    };
    let mut parts = cursor.splitn(3, '.');
    let column = match parts.next() {
        Some("i") => Column::Id,
        Some("s") => Column::Serial,
        Some("m") => Column::Model,
        _ => return Err(ListError::BadCursor),
    };
    let no = parts
        .next()
        .and_then(|no| no.parse().ok())
        .ok_or(ListError::BadCursor)?;
    let value = parts.next().ok_or(ListError::BadCursor)?.to_owned();
    Ok((column, no, value))
}

fn by_text(
    tx: &ReadTx<'_>,
    wanted: &Wanted,
    text: &str,
    cursor: Option<&str>,
    limit: usize,
) -> Result<Page<Device>, ListError> {
    let (mut column, mut no, mut from) = read_cursor(cursor, text)?;
    let mut walk = Walk {
        wanted,
        found: Vec::new(),
        limit,
        looked_at: 0,
        last: None,
        full: ControlFlow::Continue(()),
    };
    // The first text after all that begin with this one.
    let end = format!("{text}\u{10ffff}");
    loop {
        let args: [&dyn rusqlite::ToSql; 4] = [&wanted.tenant, &from, &no, &end];
        let visit = |row: &crate::tx::Row<'_>| {
            let raw = raw(row)?;
            // Found already by an earlier column?
            let is_new = [Column::Id, Column::Serial]
                .into_iter()
                .take_while(|earlier| *earlier != column)
                .all(|earlier| !earlier.of(&raw.device).starts_with(text));
            Ok(walk.take(raw, is_new))
        };
        match column {
            Column::Id => tx.walk(
                select_device!(
                    "WHERE tenant = $1 AND (id, no) > ($2, $3) AND id >= $2 AND id < $4
                     ORDER BY id, no"
                ),
                &args,
                visit,
            ),
            Column::Serial => tx.walk(
                select_device!(
                    "WHERE tenant = $1 AND (serial, no) > ($2, $3) AND serial >= $2
                     AND serial < $4 ORDER BY serial, no"
                ),
                &args,
                visit,
            ),
            Column::Model => tx.walk(
                select_device!(
                    "WHERE tenant = $1 AND (model, no) > ($2, $3) AND model >= $2
                     AND model < $4 ORDER BY model, no"
                ),
                &args,
                visit,
            ),
        }?;
        if walk.full.is_break() {
            break;
        }
        match column.next() {
            Some(next) => (column, no, from, walk.last) = (next, 0, text.to_owned(), None),
            None => break,
        }
    }
    let next = match (walk.full, &walk.last) {
        (ControlFlow::Break(()), Some(last)) => {
            let device = &last.device;
            Some(format!(
                "{}.{}.{}",
                column.letter(),
                device.no,
                column.of(device)
            ))
        }
        _ => None,
    };
    Ok(Page {
        items: named(tx, walk.found)?,
        next,
    })
}
