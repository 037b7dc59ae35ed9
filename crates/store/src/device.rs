//! Devices: what is registered of them, and where they are in their lives.

use rusqlite::types::Value;
use tenure_domain::canary::ID_PREFIX;
use tenure_domain::device::{Criticality, Device, DeviceSpec, Standing};
use tenure_domain::event::{DeviceFields, Entry, Event};
use tenure_domain::registry::HOUSE;
use tenure_domain::{
    Actor, ClassNo, DeviceId, DeviceNo, EventSeq, OwnerNo, ServiceNo, SiteNo, TenantId, Title,
};
use tenure_x509::Time;

use crate::cache::Noun;
use crate::counter::{Counter, Property};
use crate::error::StoreError;
use crate::event::Prepared;
use crate::probe::is_of_canaries;
use crate::registry::{self, RegistryError, name};
use crate::tx::{ReadTx, Row, Touched, Tx};

macro_rules! select_device {
    ($rest:literal) => {
        concat!(
            "SELECT device.no, tenant, version, standing, class, site, owner, criticality, created, \
             updated, id, manufacturer, model, serial, services FROM device ",
            $rest
        )
    };
}

pub(crate) use select_device;

/// A device as its row has it, the registry's names still numbers.
pub(crate) struct Raw {
    pub(crate) device: Device,
    pub(crate) class: i64,
    pub(crate) site: i64,
    pub(crate) owner: i64,
}

fn placeholder() -> Result<Title, StoreError> {
    Title::try_from("-".to_owned()).map_err(|_| StoreError::Unreadable { what: "a name" })
}

pub(crate) fn raw(row: &Row<'_>) -> Result<Raw, StoreError> {
    let nameless = placeholder()?;
    let services = row.text(14)?;
    Ok(Raw {
        class: row.get(4)?,
        site: row.get(5)?,
        owner: row.get(6)?,
        device: Device {
            no: DeviceNo(row.get(0)?),
            tenant: TenantId(row.get(1)?),
            version: row.get(2)?,
            standing: standing(row.get(3)?)?,
            class: nameless.clone(),
            site: nameless.clone(),
            owner: nameless,
            criticality: Criticality::from_code(row.get(7)?).ok_or(StoreError::Unreadable {
                what: "device.criticality",
            })?,
            created: row.time(8)?,
            updated: row.time(9)?,
            id: device_id(row, 10)?,
            manufacturer: row.get(11)?,
            model: row.get(12)?,
            serial: row.get(13)?,
            services: services
                .split(';')
                .filter(|name| !name.is_empty())
                .map(|name| Title::try_from(name.to_owned()))
                .collect::<Result<_, _>>()
                .map_err(|_| StoreError::Unreadable {
                    what: "device.services",
                })?,
        },
    })
}

pub(crate) fn device_id(row: &Row<'_>, column: usize) -> Result<DeviceId, StoreError> {
    DeviceId::try_from(row.get::<String>(column)?)
        .map_err(|_| StoreError::Unreadable { what: "device.id" })
}

pub(crate) fn standing(code: i64) -> Result<Standing, StoreError> {
    Standing::from_code(code).ok_or(StoreError::Unreadable {
        what: "device.standing",
    })
}

impl Raw {
    pub(crate) fn named(self, tx: &ReadTx<'_>) -> Result<Device, StoreError> {
        Ok(Device {
            class: name(tx, Noun::Class, self.class)?,
            site: name(tx, Noun::Site, self.site)?,
            owner: name(tx, Noun::Owner, self.owner)?,
            ..self.device
        })
    }
}

fn named(tx: &ReadTx<'_>, found: Option<Raw>) -> Result<Option<Device>, StoreError> {
    found.map(|raw| raw.named(tx)).transpose()
}

/// A device by its registered name.
pub fn by_id(
    tx: &ReadTx<'_>,
    tenant: TenantId,
    id: &DeviceId,
) -> Result<Option<Device>, StoreError> {
    let found = tx.one(
        select_device!("WHERE tenant = $1 AND id = $2"),
        &[&tenant.0, &id.as_str()],
        raw,
    )?;
    named(tx, found)
}

/// A device by its row.
pub fn by_no(tx: &ReadTx<'_>, no: DeviceNo) -> Result<Option<Device>, StoreError> {
    let found = tx.one(select_device!("WHERE no = $1"), &[&no.0], raw)?;
    named(tx, found)
}

/// The device that a manufacturer's proof names: maker and serial number, octet for octet. `None`
/// also when two devices are registered so: neither is meant then.
pub fn by_maker(
    tx: &ReadTx<'_>,
    tenant: TenantId,
    manufacturer: &str,
    serial: &str,
) -> Result<Option<Device>, StoreError> {
    let mut found = tx.all(
        select_device!("WHERE tenant = $1 AND serial = $2 AND manufacturer = $3 LIMIT 2"),
        &[&tenant.0, &serial, &manufacturer],
        raw,
    )?;
    let only = found.pop();
    if found.is_empty() {
        named(tx, only)
    } else {
        Ok(None)
    }
}

/// Where a device is, whose, and of which class.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Assignment {
    pub(crate) site: SiteNo,
    pub(crate) owner: OwnerNo,
    pub(crate) class: ClassNo,
}

impl Assignment {
    /// Out of the columns site, owner and class, which follow each other from `first` on.
    pub(crate) fn of(row: &Row<'_>, first: usize) -> Result<Assignment, StoreError> {
        Ok(Assignment {
            site: SiteNo(row.get(first)?),
            owner: OwnerNo(row.get(first + 1)?),
            class: ClassNo(row.get(first + 2)?),
        })
    }
}

/// The numbers behind a specification's names.
pub(crate) struct Numbers {
    place: Assignment,
    services: Vec<ServiceNo>,
}

impl Numbers {
    pub(crate) fn of(
        tx: &ReadTx<'_>,
        tenant: TenantId,
        spec: &DeviceSpec,
    ) -> Result<Numbers, RegistryError> {
        let unknown = |column, name: &Title| RegistryError::Unknown {
            column,
            name: name.to_string(),
        };
        let class = registry::class::no(tx, tenant, spec.class.as_str())?;
        // Under any other name it would be a way to stand in no count.
        let is_misnamed = !spec.id.as_str().starts_with(ID_PREFIX);
        let class = class.filter(|no| !(is_of_canaries(no.0) && is_misnamed));
        let site = registry::site::no(tx, tenant, spec.site.as_str())?;
        let owner = registry::owner::no(tx, tenant, spec.owner.as_str())?;
        let mut services = Vec::with_capacity(spec.services.len());
        for service in &spec.services {
            let no = registry::service::no(tx, tenant, service.as_str())?;
            services.push(no.ok_or_else(|| unknown("services", service))?);
        }
        Ok(Numbers {
            place: Assignment {
                class: class.ok_or_else(|| unknown("class", &spec.class))?,
                site: site.ok_or_else(|| unknown("site", &spec.site))?,
                owner: owner.ok_or_else(|| unknown("owner", &spec.owner))?,
            },
            services,
        })
    }
}

fn joined(services: &[Title]) -> String {
    services
        .iter()
        .map(Title::as_str)
        .collect::<Vec<_>>()
        .join(";")
}

fn fields(spec: &DeviceSpec) -> DeviceFields {
    DeviceFields {
        class: spec.class.to_string(),
        criticality: spec.criticality,
        id: spec.id.clone(),
        manufacturer: spec.manufacturer.clone(),
        model: spec.model.clone(),
        owner: spec.owner.to_string(),
        serial: spec.serial.clone(),
        services: spec.services.iter().map(ToString::to_string).collect(),
        site: spec.site.to_string(),
    }
}

/// What an operator registered of a device.
pub fn spec(device: &Device) -> DeviceSpec {
    DeviceSpec {
        id: device.id.clone(),
        manufacturer: device.manufacturer.clone(),
        model: device.model.clone(),
        serial: device.serial.clone(),
        class: device.class.clone(),
        site: device.site.clone(),
        owner: device.owner.clone(),
        services: device.services.clone(),
        criticality: device.criticality,
    }
}

/// Another device that is not gone, whose id is the same but for capital letters.
pub fn same_but_for_case(tx: &ReadTx<'_>, device: &Device) -> Result<Option<DeviceId>, StoreError> {
    tx.one(
        "SELECT id FROM device WHERE tenant = $1 AND lower(id) = lower($2) AND id <> $2
           AND standing < $3 LIMIT 1",
        &[
            &device.tenant.0,
            &device.id.as_str(),
            &Standing::Retired.code(),
        ],
        |row| device_id(row, 0),
    )
}

/// Another device that is not gone, perhaps of another maker, with the same serial number.
pub fn same_serial(tx: &ReadTx<'_>, device: &Device) -> Result<Option<DeviceId>, StoreError> {
    tx.one(
        "SELECT id FROM device WHERE tenant = $1 AND serial = $2 AND id <> $3 AND standing < $4
         LIMIT 1",
        &[
            &device.tenant.0,
            &device.serial,
            &device.id.as_str(),
            &Standing::Retired.code(),
        ],
        |row| device_id(row, 0),
    )
}

/// Registers a device in the default tenant.
pub fn add(
    tx: &mut Tx<'_>,
    spec: &DeviceSpec,
    actor: &Actor,
    now: Time,
) -> Result<Device, RegistryError> {
    let tenant = TenantId::DEFAULT;
    if exists(tx, tenant, &spec.id)?.is_some() {
        return Err(RegistryError::Taken(spec.id.clone()));
    }
    not_of_the_house(actor, &spec.id, [&spec.class])?;
    let numbers = Numbers::of(tx, tenant, spec)?;
    Ok(insert(tx, tenant, spec, &numbers, actor, now)?)
}

/// Keeps the house's own subjects out of everybody's hands but the house's.
pub fn not_of_the_house<'a>(
    actor: &Actor,
    id: &DeviceId,
    classes: impl IntoIterator<Item = &'a Title>,
) -> Result<(), RegistryError> {
    let is_house = |class: &Title| class.as_str() == HOUSE;
    match actor {
        Actor::System { .. } => Ok(()),
        _ if classes.into_iter().any(is_house) => Err(RegistryError::House(id.clone())),
        _ => Ok(()),
    }
}

fn exists(
    tx: &ReadTx<'_>,
    tenant: TenantId,
    id: &DeviceId,
) -> Result<Option<DeviceNo>, StoreError> {
    tx.one(
        "SELECT no FROM device WHERE tenant = $1 AND id = $2",
        &[&tenant.0, &id.as_str()],
        |row| row.get(0).map(DeviceNo),
    )
}

/// Writes a device that is known to be new.
pub(crate) fn insert(
    tx: &mut Tx<'_>,
    tenant: TenantId,
    spec: &DeviceSpec,
    numbers: &Numbers,
    actor: &Actor,
    now: Time,
) -> Result<Device, StoreError> {
    tx.sequence.device += 1;
    let no = DeviceNo(tx.sequence.device);
    let mut entry = Entry::new(actor.clone(), now, Event::DeviceRegistered(fields(spec)));
    entry.tenant = tenant;
    let prepared = Prepared::new(&entry.about(no, &spec.id))?;
    let event = tx.append(&prepared, None, EventSeq(0))?;
    let place = numbers.place;
    let standing = Standing::Expected;
    tx.run(
        "INSERT INTO device(no, tenant, version, standing, head, last_cert, last_event, forgiven,
           class, site, owner, criticality, created, updated, id, manufacturer, model, serial,
           services)
         VALUES($1, $2, 1, $3, 0, 0, $4, 0, $5, $6, $7, $8, $9, $9, $10, $11, $12, $13, $14)",
        &[
            &no.0,
            &tenant.0,
            &standing.code(),
            &event.0,
            &place.class.0,
            &place.site.0,
            &place.owner.0,
            &spec.criticality.code(),
            &now.unix(),
            &spec.id.as_str(),
            &spec.manufacturer,
            &spec.model,
            &spec.serial,
            &joined(&spec.services),
        ],
    )?;
    bind_services(tx, no, &numbers.services)?;
    assigned(tx, no, now, place)?;
    count(tx, tenant.0, place, standing, 1);
    Ok(Device {
        no,
        tenant,
        id: spec.id.clone(),
        manufacturer: spec.manufacturer.clone(),
        model: spec.model.clone(),
        serial: spec.serial.clone(),
        class: spec.class.clone(),
        site: spec.site.clone(),
        owner: spec.owner.clone(),
        services: spec.services.clone(),
        criticality: spec.criticality,
        standing,
        version: 1,
        created: now,
        updated: now,
    })
}

fn bind_services(tx: &Tx<'_>, device: DeviceNo, services: &[ServiceNo]) -> Result<(), StoreError> {
    for service in services {
        tx.run(
            "INSERT INTO device_service(service, device) VALUES($1, $2) ON CONFLICT DO NOTHING",
            &[&service.0, &device.0],
        )?;
    }
    Ok(())
}

/// Changes what is registered of a device. A specification that changes nothing records nothing.
pub fn edit(
    tx: &mut Tx<'_>,
    spec: &DeviceSpec,
    actor: &Actor,
    now: Time,
) -> Result<(Device, registry::Put), RegistryError> {
    let tenant = TenantId::DEFAULT;
    let unknown = || RegistryError::UnknownDevice(spec.id.clone());
    let before = by_id(tx, tenant, &spec.id)?.ok_or_else(unknown)?;
    if self::spec(&before) == *spec {
        return Ok((before, registry::Put::Unchanged));
    }
    not_of_the_house(actor, &spec.id, [&before.class, &spec.class])?;
    let numbers = Numbers::of(tx, tenant, spec)?;
    change(tx, &before, spec, &numbers, actor, now)?;
    let after = by_no(tx, before.no)?.ok_or_else(unknown)?;
    Ok((after, registry::Put::Changed))
}

/// Writes a specification over a device.
pub(crate) fn change(
    tx: &mut Tx<'_>,
    before: &Device,
    spec: &DeviceSpec,
    numbers: &Numbers,
    actor: &Actor,
    now: Time,
) -> Result<(), StoreError> {
    let (no, tenant) = (before.no, before.tenant);
    let mut entry = Entry::new(actor.clone(), now, Event::DeviceChanged(fields(spec)));
    entry.tenant = tenant;
    tx.log(&entry.about(no, &before.id))?;
    let left = tx
        .one(
            "SELECT site, owner, class FROM device WHERE no = $1",
            &[&no.0],
            |row| Assignment::of(row, 0),
        )?
        .ok_or(StoreError::Unreadable { what: "device" })?;
    let taken = numbers.place;
    tx.run(
        "UPDATE device SET version = version + 1, class = $2, site = $3, owner = $4,
           criticality = $5, updated = $6, manufacturer = $7, model = $8, serial = $9,
           services = $10 WHERE no = $1",
        &[
            &no.0,
            &taken.class.0,
            &taken.site.0,
            &taken.owner.0,
            &spec.criticality.code(),
            &now.unix(),
            &spec.manufacturer,
            &spec.model,
            &spec.serial,
            &joined(&spec.services),
        ],
    )?;
    if before.services != spec.services {
        tx.run("DELETE FROM device_service WHERE device = $1", &[&no.0])?;
        bind_services(tx, no, &numbers.services)?;
    }
    if taken != left {
        count(tx, tenant.0, left, before.standing, -1);
        count(tx, tenant.0, taken, before.standing, 1);
        assign(tx, no, now, taken)?;
    }
    Ok(())
}

/// Ends the present assignment and begins another.
fn assign(tx: &Tx<'_>, device: DeviceNo, now: Time, place: Assignment) -> Result<(), StoreError> {
    let since = now.unix();
    // Two moves in one second: the later one stands.
    tx.run(
        "DELETE FROM device_assign WHERE device = $1 AND since >= $2",
        &[&device.0, &since],
    )?;
    tx.run(
        "UPDATE device_assign SET until = $2 WHERE device = $1 AND until > $2",
        &[&device.0, &since],
    )?;
    assigned(tx, device, now, place)
}

/// Begins an assignment.
fn assigned(tx: &Tx<'_>, device: DeviceNo, now: Time, place: Assignment) -> Result<(), StoreError> {
    let Assignment { site, owner, class } = place;
    tx.run(
        "INSERT INTO device_assign(device, since, until, site, owner, class)
         VALUES($1, $2, $3, $4, $5, $6)",
        &[
            &device.0,
            &now.unix(),
            &i64::MAX,
            &site.0,
            &owner.0,
            &class.0,
        ],
    )?;
    Ok(())
}

/// Moves a device along its life; to where it already is, records nothing and needs an excuse. What
/// becomes of its certificates is its caller's part.
pub fn set_standing(
    tx: &mut Tx<'_>,
    no: DeviceNo,
    to: Standing,
    why: &str,
    actor: &Actor,
    now: Time,
) -> Result<Device, StoreError> {
    let gone = StoreError::Unreadable { what: "device" };
    let device = by_no(tx, no)?.ok_or(gone.clone())?;
    let from = device.standing;
    if from != to {
        let said = Event::DeviceStandingChanged {
            from,
            to,
            why: why.to_owned(),
        };
        let mut entry = Entry::new(actor.clone(), now, said);
        entry.tenant = device.tenant;
        tx.log(&entry.about(no, &device.id))?;
        tx.run(
            "UPDATE device SET version = version + 1, standing = $2, updated = $3 WHERE no = $1",
            &[&no.0, &to.code(), &now.unix()],
        )?;
        let place = tx.peek(
            Touched::Device(no.0),
            "SELECT site, owner, class FROM device WHERE no = $1",
            &[&no.0],
            |row| Assignment::of(row, 0),
        )?;
        recount(tx, device.tenant, place.ok_or(gone.clone())?, from, to);
    }
    by_no(tx, no)?.ok_or(gone)
}

/// Moves a device from one standing's counters to another's, in its place.
pub(crate) fn recount(
    tx: &Tx<'_>,
    tenant: TenantId,
    place: Assignment,
    from: Standing,
    to: Standing,
) {
    count(tx, tenant.0, place, from, -1);
    count(tx, tenant.0, place, to, 1);
}

fn count(tx: &Tx<'_>, tenant: i64, place: Assignment, standing: Standing, by: i64) {
    if is_of_canaries(place.class.0) {
        return;
    }
    let standing = standing.code();
    for (property, value) in [
        (Property::Site, place.site.0),
        (Property::Class, place.class.0),
        (Property::Owner, place.owner.0),
    ] {
        tx.count(
            Counter::Devices {
                tenant,
                property,
                value,
                standing,
            },
            by,
        );
    }
}

/// Where a device was, whose and of which class, since when; oldest first.
pub fn places(tx: &ReadTx<'_>, no: DeviceNo) -> Result<Vec<Place>, StoreError> {
    let rows = tx.all(
        "SELECT since, site, owner, class FROM device_assign WHERE device = $1 ORDER BY since",
        &[&no.0],
        |row| Ok((row.time(0)?, row.get(1)?, row.get(2)?, row.get(3)?)),
    )?;
    rows.into_iter()
        .map(|(since, site, owner, class)| {
            Ok(Place {
                since,
                site: name(tx, Noun::Site, site)?,
                owner: name(tx, Noun::Owner, owner)?,
                class: name(tx, Noun::Class, class)?,
            })
        })
        .collect()
}

/// Where a device was from some time on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Since when.
    pub since: Time,
    /// The site.
    pub site: Title,
    /// The owner.
    pub owner: Title,
    /// The class.
    pub class: Title,
}

/// Remembers by which proof of its manufacturer a device was recognised; news is recorded.
pub fn recognise(
    tx: &mut Tx<'_>,
    device: &Device,
    serial: &str,
    actor: &Actor,
    now: Time,
) -> Result<(), StoreError> {
    let known = tx.number(
        "SELECT device FROM device_anchor WHERE tenant = $1 AND manufacturer = $2 AND serial = $3",
        &[&device.tenant.0, &device.manufacturer, &serial],
    )?;
    if known != 0 {
        return Ok(());
    }
    let anchor = format!("{}/{serial}", device.manufacturer);
    let entry = Entry::new(actor.clone(), now, Event::DeviceRecognised { anchor });
    tx.log(&entry.about(device.no, &device.id))?;
    tx.defer(
        "INSERT INTO device_anchor(tenant, manufacturer, serial, device) VALUES($1, $2, $3, $4)
         ON CONFLICT DO NOTHING",
        vec![
            Value::Integer(device.tenant.0),
            Value::Text(device.manufacturer.clone()),
            Value::Text(serial.to_owned()),
            Value::Integer(device.no.0),
        ],
    );
    Ok(())
}
