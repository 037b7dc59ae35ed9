//! What surrounds devices: owners, sites, classes, services and manufacturers.
//!
//! `put` adds a row or changes it, and records which; a row that is already so is left alone and
//! records nothing. Rows are never deleted: the past refers to them.

use std::fmt;
use std::sync::Arc;

use tenure_domain::device::Criticality;
use tenure_domain::event::Event;
use tenure_domain::registry::{
    Class, HOUSE, Manufacturer, Owner, SITE_DEPTH_MAX, Service, Site, SiteTree,
};
use tenure_domain::text::hex;
use tenure_domain::{
    Actor, ClassNo, DeviceId, ManufacturerNo, OwnerNo, ServiceNo, SiteNo, Slug, TenantId, Title,
};
use tenure_x509::{Time, sha256};

use crate::cache::Noun;
use crate::chance;
use crate::error::StoreError;
use crate::stamp::Stamp;
use crate::tx::{ReadTx, Row, Tx};

/// What a `put` did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Put {
    /// The row is new.
    Added,
    /// The row was different.
    Changed,
    /// The row was already so; nothing was recorded.
    Unchanged,
}

/// Why something of the registry was not put.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RegistryError {
    /// A device of this id is registered.
    Taken(DeviceId),
    /// There is no device of this id.
    UnknownDevice(DeviceId),
    /// This is one of the house's own subjects, or would become one.
    House(DeviceId),
    /// A name that the registry does not know.
    Unknown {
        /// The column: `owner`, `site`, `class` or `services`.
        column: &'static str,
        /// The name.
        name: String,
    },
    /// A manufacturer's roots cannot be read.
    BadRoots(String),
    /// The site named as parent does not exist.
    UnknownParent(String),
    /// The site would stand inside itself.
    Circle(String),
    /// The database failed.
    Store(StoreError),
}

impl fmt::Display for RegistryError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            RegistryError::Taken(id) => write!(f, "device {id} is already registered"),
            RegistryError::UnknownDevice(id) => write!(f, "there is no device {id}"),
            RegistryError::House(id) => write!(
                f,
                "{id} is, or would be, one of the house's own subjects (class {HOUSE}), and only \
                 `tenure issuer` and `tenure key` change those"
            ),
            RegistryError::Unknown { column, name } => {
                let noun = if *column == "services" {
                    "service"
                } else {
                    column
                };
                write!(
                    f,
                    "there is no {noun} {name:?}; add it first with `tenure {noun} add`"
                )
            }
            RegistryError::BadRoots(why) => {
                write!(
                    f,
                    "the manufacturer's roots are not certificates in PEM: {why}"
                )
            }
            RegistryError::UnknownParent(name) => {
                write!(f, "there is no site {name:?}; add the outer site first")
            }
            RegistryError::Circle(name) => {
                write!(f, "site {name:?} cannot stand inside itself")
            }
            RegistryError::Store(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for RegistryError {}

impl From<StoreError> for RegistryError {
    fn from(error: StoreError) -> Self {
        RegistryError::Store(error)
    }
}

pub(crate) fn title(row: &Row<'_>, column: usize) -> Result<Title, StoreError> {
    Title::try_from(row.get::<String>(column)?)
        .map_err(|_| StoreError::Unreadable { what: "a name" })
}

pub(crate) fn slug(row: &Row<'_>, column: usize) -> Result<Slug, StoreError> {
    Slug::try_from(row.get::<String>(column)?).map_err(|_| StoreError::Unreadable {
        what: "a short name",
    })
}

/// The name behind a number of the registry.
pub(crate) fn name(tx: &ReadTx<'_>, noun: Noun, no: i64) -> Result<Title, StoreError> {
    if let Some(name) = tx.cache().state().names.get(&(noun, no)) {
        return Ok(name.clone());
    }
    let sql = match noun {
        Noun::Owner => "SELECT name FROM owner WHERE no = $1",
        Noun::Site => "SELECT name FROM site WHERE no = $1",
        Noun::Class => "SELECT name FROM class WHERE no = $1",
    };
    let name = tx
        .one(sql, &[&no], |row| title(row, 0))?
        .ok_or(StoreError::Unreadable {
            what: "a reference into the registry",
        })?;
    if tx.may_remember() {
        tx.cache().state().names.insert((noun, no), name.clone());
    }
    Ok(name)
}

/// A list page's cursor is the number of its last row; the next page begins after it.
macro_rules! numbered {
    ($module:ident, $no:ident, $noun:ident, $table:literal, $columns:literal, $read:path) => {
        /// The row's number, if the name is known.
        pub fn no(
            tx: &ReadTx<'_>,
            tenant: TenantId,
            name: &str,
        ) -> Result<Option<$no>, StoreError> {
            tx.one(
                concat!(
                    "SELECT no FROM ",
                    $table,
                    " WHERE tenant = $1 AND name = $2"
                ),
                &[&tenant.0, &name],
                |row| row.get(0).map($no),
            )
        }

        /// One of them, by name.
        pub fn by_name(
            tx: &ReadTx<'_>,
            tenant: TenantId,
            name: &str,
        ) -> Result<Option<$noun>, StoreError> {
            tx.one(
                concat!(
                    "SELECT no, ",
                    $columns,
                    " FROM ",
                    $table,
                    " WHERE tenant = $1 AND name = $2"
                ),
                &[&tenant.0, &name],
                $read,
            )
        }

        /// At most `limit` of them in the order they were added, after row `after`.
        pub fn list(
            tx: &ReadTx<'_>,
            tenant: TenantId,
            after: $no,
            limit: u32,
        ) -> Result<Vec<($no, $noun)>, StoreError> {
            tx.all(
                concat!(
                    "SELECT no, ",
                    $columns,
                    " FROM ",
                    $table,
                    " WHERE tenant = $1 AND no > $2 ORDER BY no LIMIT $3"
                ),
                &[&tenant.0, &after.0, &limit],
                |row| Ok(($no(row.get(0)?), $read(row)?)),
            )
        }
    };
}

/// Adds an owner of the default tenant or changes how to reach it.
pub fn put_owner(
    tx: &mut Tx<'_>,
    owner: &Owner,
    actor: &Actor,
    now: Time,
) -> Result<Put, StoreError> {
    owner::put(tx, Stamp::new(actor, now), owner).map(|(_, put)| put)
}

/// Adds a site of the default tenant or moves it in the tree.
pub fn put_site(
    tx: &mut Tx<'_>,
    site: &Site,
    actor: &Actor,
    now: Time,
) -> Result<Put, RegistryError> {
    site::put(tx, Stamp::new(actor, now), site).map(|(_, put)| put)
}

/// Adds a class of the default tenant or changes it.
pub fn put_class(
    tx: &mut Tx<'_>,
    class: &Class,
    actor: &Actor,
    now: Time,
) -> Result<Put, StoreError> {
    class::put(tx, Stamp::new(actor, now), class).map(|(_, put)| put)
}

/// Adds a service of the default tenant or changes its address.
pub fn put_service(
    tx: &mut Tx<'_>,
    service: &Service,
    actor: &Actor,
    now: Time,
) -> Result<Put, StoreError> {
    service::put(tx, Stamp::new(actor, now), service).map(|(_, put)| put)
}

/// Registers a manufacturer of the default tenant or replaces its roots. A root that cannot be read
/// is an error.
pub fn put_manufacturer(
    tx: &mut Tx<'_>,
    manufacturer: &Manufacturer,
    actor: &Actor,
    now: Time,
) -> Result<Put, RegistryError> {
    let roots = tenure_x509::pem_certificates(&manufacturer.roots_pem)
        .map_err(|error| RegistryError::BadRoots(error.to_string()))?;
    if roots.is_empty() {
        return Err(RegistryError::BadRoots("there is none".to_owned()));
    }
    let roots: Vec<_> = roots.iter().map(|root| hex(&root.fingerprint())).collect();
    manufacturer::put(tx, Stamp::new(actor, now), manufacturer, &roots)
        .map(|(_, put)| put)
        .map_err(RegistryError::from)
}

/// How many rows of a small table are read when all are wanted.
const ALL: u32 = 100_000;

/// Every owner, in the order they were added.
pub fn owners(tx: &ReadTx<'_>, tenant: TenantId) -> Result<Vec<Owner>, StoreError> {
    owner::list(tx, tenant, OwnerNo(0), ALL).map(without_numbers)
}

/// Every site, in the order they were added.
pub fn sites(tx: &ReadTx<'_>, tenant: TenantId) -> Result<Vec<Site>, StoreError> {
    site::list(tx, tenant, SiteNo(0), ALL).map(without_numbers)
}

/// Every class, in the order they were added.
pub fn classes(tx: &ReadTx<'_>, tenant: TenantId) -> Result<Vec<Class>, StoreError> {
    class::list(tx, tenant, ClassNo(0), ALL).map(without_numbers)
}

/// Every service, in the order they were added.
pub fn services(tx: &ReadTx<'_>, tenant: TenantId) -> Result<Vec<Service>, StoreError> {
    service::list(tx, tenant, ServiceNo(0), ALL).map(without_numbers)
}

/// Every manufacturer, in the order they were added.
pub fn manufacturers(tx: &ReadTx<'_>, tenant: TenantId) -> Result<Vec<Manufacturer>, StoreError> {
    manufacturer::list(tx, tenant, ManufacturerNo(0), ALL).map(without_numbers)
}

fn without_numbers<N, T>(rows: Vec<(N, T)>) -> Vec<T> {
    rows.into_iter().map(|(_, row)| row).collect()
}

/// Who answers for devices.
pub mod owner {
    use super::*;

    fn read(row: &Row<'_>) -> Result<Owner, StoreError> {
        Ok(Owner {
            name: title(row, 1)?,
            contact: row.get(2)?,
        })
    }

    numbered!(owner, OwnerNo, Owner, "owner", "name, contact", read);

    /// Adds an owner or changes how to reach it. The record holds a salted hash of the contact.
    pub(super) fn put(
        tx: &mut Tx<'_>,
        stamp: Stamp<'_>,
        owner: &Owner,
    ) -> Result<(OwnerNo, Put), StoreError> {
        let found = tx.one(
            "SELECT no, contact FROM owner WHERE tenant = $1 AND name = $2",
            &[&stamp.tenant.0, &owner.name.as_str()],
            |row| Ok((row.get::<i64>(0)?, row.text(1)? == owner.contact)),
        )?;
        if let Some((no, true)) = found {
            return Ok((OwnerNo(no), Put::Unchanged));
        }
        let salt = chance::salt()?;
        let contact_hash = hex(&sha256(&[&salt, owner.contact.as_bytes()].concat()));
        let name = owner.name.as_str().to_owned();
        let (no, put, event) = match found {
            Some((no, _)) => {
                tx.run(
                    "UPDATE owner SET contact = $2, salt = $3 WHERE no = $1",
                    &[&no, &owner.contact, &salt.as_slice()],
                )?;
                (no, Put::Changed, Event::OwnerChanged { contact_hash, name })
            }
            None => {
                let no = tx.insert(
                    "INSERT INTO owner(tenant, name, contact, salt) VALUES($1, $2, $3, $4)
                     RETURNING no",
                    &[&stamp.tenant.0, &name, &owner.contact, &salt.as_slice()],
                )?;
                (no, Put::Added, Event::OwnerAdded { contact_hash, name })
            }
        };
        tx.log(&stamp.entry(event))?;
        Ok((OwnerNo(no), put))
    }
}

/// Places, in a tree.
pub mod site {
    use super::*;

    fn read(row: &Row<'_>) -> Result<Site, StoreError> {
        let parent = match row.get::<Option<String>>(2)? {
            Some(_) => Some(title(row, 2)?),
            None => None,
        };
        Ok(Site {
            name: title(row, 1)?,
            parent,
        })
    }

    numbered!(
        site,
        SiteNo,
        Site,
        "site",
        "name, (SELECT outer.name FROM site AS outer WHERE outer.no = site.parent)",
        read
    );

    /// Adds a site or moves it in the tree.
    pub(super) fn put(
        tx: &mut Tx<'_>,
        stamp: Stamp<'_>,
        site: &Site,
    ) -> Result<(SiteNo, Put), RegistryError> {
        let parent = match &site.parent {
            None => 0,
            Some(parent) => {
                no(tx, stamp.tenant, parent.as_str())?
                    .ok_or_else(|| RegistryError::UnknownParent(parent.to_string()))?
                    .0
            }
        };
        let found = tx.one(
            "SELECT no, parent FROM site WHERE tenant = $1 AND name = $2",
            &[&stamp.tenant.0, &site.name.as_str()],
            |row| Ok((row.get::<i64>(0)?, row.get::<i64>(1)?)),
        )?;
        let name = site.name.to_string();
        let outer = site.parent.as_ref().map(ToString::to_string);
        let (number, put, event) = match found {
            Some((number, was)) if was == parent => return Ok((SiteNo(number), Put::Unchanged)),
            Some((number, _)) => {
                if parent != 0 && inside(tx, SiteNo(number))?.contains(&SiteNo(parent)) {
                    return Err(RegistryError::Circle(name));
                }
                tx.run(
                    "UPDATE site SET parent = $2 WHERE no = $1",
                    &[&number, &parent],
                )?;
                (
                    number,
                    Put::Changed,
                    Event::SiteChanged {
                        name,
                        parent: outer,
                    },
                )
            }
            None => {
                let number = tx.insert(
                    "INSERT INTO site(tenant, name, parent) VALUES($1, $2, $3) RETURNING no",
                    &[&stamp.tenant.0, &name, &parent],
                )?;
                (
                    number,
                    Put::Added,
                    Event::SiteAdded {
                        name,
                        parent: outer,
                    },
                )
            }
        };
        tx.log(&stamp.entry(event))?;
        Ok((SiteNo(number), put))
    }

    /// The whole tree.
    pub fn tree(tx: &ReadTx<'_>, tenant: TenantId) -> Result<SiteTree, StoreError> {
        let all = list(tx, tenant, SiteNo(0), u32::MAX)?;
        Ok(all.into_iter().map(|(_, site)| site).collect())
    }

    /// The sites around one, nearest first.
    pub fn around(
        tx: &ReadTx<'_>,
        tenant: TenantId,
        site: &Title,
    ) -> Result<Vec<Title>, StoreError> {
        let deepest = i64::try_from(SITE_DEPTH_MAX).unwrap_or(i64::MAX);
        tx.all(
            "WITH RECURSIVE up(no, depth) AS (
               SELECT parent, 1 FROM site WHERE tenant = $1 AND name = $2
               UNION SELECT site.parent, depth + 1 FROM site JOIN up ON site.no = up.no
                 WHERE depth < $3)
             SELECT site.name FROM up JOIN site ON site.no = up.no ORDER BY depth",
            &[&tenant.0, &site.as_str(), &deepest],
            |row| title(row, 0),
        )
    }

    /// A site and every site inside it, in the order of their numbers.
    pub fn inside(tx: &ReadTx<'_>, site: SiteNo) -> Result<Vec<SiteNo>, StoreError> {
        tx.all(
            "WITH RECURSIVE tree(no) AS (
               SELECT $1 UNION SELECT site.no FROM site JOIN tree ON site.parent = tree.no)
             SELECT no FROM tree ORDER BY no",
            &[&site.0],
            |row| row.get(0).map(SiteNo),
        )
    }
}

/// Kinds of device.
pub mod class {
    use super::*;

    fn read(row: &Row<'_>) -> Result<Class, StoreError> {
        document(row.text(1)?)
    }

    fn document(text: &str) -> Result<Class, StoreError> {
        serde_json::from_str(text).map_err(|_| StoreError::Unreadable {
            what: "class.document",
        })
    }

    numbered!(class, ClassNo, Class, "class", "document", read);

    /// A class with its present document.
    pub fn by_no(tx: &ReadTx<'_>, no: ClassNo) -> Result<Arc<Class>, StoreError> {
        let missing = StoreError::Unreadable {
            what: "device.class",
        };
        let version = tx
            .one("SELECT version FROM class WHERE no = $1", &[&no.0], |row| {
                row.get::<i64>(0)
            })?
            .ok_or(missing.clone())?;
        if let Some((at, class)) = tx.cache().state().classes.get(&no.0)
            && *at == version
        {
            return Ok(Arc::clone(class));
        }
        let class = tx
            .one(
                "SELECT document FROM class WHERE no = $1",
                &[&no.0],
                |row| document(row.text(0)?),
            )?
            .ok_or(missing)?;
        let class = Arc::new(class);
        if tx.may_remember() {
            tx.cache()
                .state()
                .classes
                .insert(no.0, (version, Arc::clone(&class)));
        }
        Ok(class)
    }

    /// Adds a class or changes it.
    pub(super) fn put(
        tx: &mut Tx<'_>,
        stamp: Stamp<'_>,
        class: &Class,
    ) -> Result<(ClassNo, Put), StoreError> {
        let text = serde_json::to_string(class)
            .map_err(|error| StoreError::Database(error.to_string()))?;
        let found = tx.one(
            "SELECT no, document FROM class WHERE tenant = $1 AND name = $2",
            &[&stamp.tenant.0, &class.name.as_str()],
            |row| Ok((row.get::<i64>(0)?, row.text(1)? == text)),
        )?;
        let (name, hash) = (class.name.to_string(), hex(&sha256(text.as_bytes())));
        let (no, put, event) = match found {
            Some((no, true)) => return Ok((ClassNo(no), Put::Unchanged)),
            Some((no, false)) => {
                tx.run(
                    "UPDATE class SET document = $2, version = version + 1 WHERE no = $1",
                    &[&no, &text],
                )?;
                (no, Put::Changed, Event::ClassChanged { class: name, hash })
            }
            None => {
                // Above zero: what is below is built in.
                let no = tx.insert(
                    "INSERT INTO class(no, tenant, name, version, document)
                     SELECT CASE WHEN max(no) > 0 THEN max(no) + 1 ELSE 1 END, $1, $2, 1, $3
                     FROM class RETURNING no",
                    &[&stamp.tenant.0, &name, &text],
                )?;
                (no, Put::Added, Event::ClassAdded { class: name, hash })
            }
        };
        tx.log(&stamp.entry(event))?;
        Ok((ClassNo(no), put))
    }

    /// The impact a class is registered with, for ordering work.
    pub fn impact(tx: &ReadTx<'_>, no: ClassNo) -> Result<Criticality, StoreError> {
        Ok(by_no(tx, no)?.impact)
    }
}

/// Relying parties.
pub mod service {
    use super::*;

    fn read(row: &Row<'_>) -> Result<Service, StoreError> {
        Ok(Service {
            name: title(row, 1)?,
            address: row.get(2)?,
        })
    }

    numbered!(
        service,
        ServiceNo,
        Service,
        "service",
        "name, address",
        read
    );

    /// Adds a service or changes its address.
    pub(super) fn put(
        tx: &mut Tx<'_>,
        stamp: Stamp<'_>,
        service: &Service,
    ) -> Result<(ServiceNo, Put), StoreError> {
        let found = tx.one(
            "SELECT no, address FROM service WHERE tenant = $1 AND name = $2",
            &[&stamp.tenant.0, &service.name.as_str()],
            |row| Ok((row.get::<i64>(0)?, row.text(1)? == service.address)),
        )?;
        let name = service.name.to_string();
        let (no, put, event) = match found {
            Some((no, true)) => return Ok((ServiceNo(no), Put::Unchanged)),
            Some((no, false)) => {
                tx.run(
                    "UPDATE service SET address = $2 WHERE no = $1",
                    &[&no, &service.address],
                )?;
                (no, Put::Changed, Event::ServiceChanged { name })
            }
            None => {
                let no = tx.insert(
                    "INSERT INTO service(tenant, name, address) VALUES($1, $2, $3) RETURNING no",
                    &[&stamp.tenant.0, &name, &service.address],
                )?;
                (no, Put::Added, Event::ServiceAdded { name })
            }
        };
        tx.log(&stamp.entry(event))?;
        Ok((ServiceNo(no), put))
    }
}

/// Manufacturers whose IDevIDs are accepted.
pub mod manufacturer {
    use super::*;
    use tenure_domain::registry::ChainTime;

    fn read(row: &Row<'_>) -> Result<Manufacturer, StoreError> {
        Ok(Manufacturer {
            name: title(row, 1)?,
            roots_pem: row.get(2)?,
            chain_time: ChainTime::from_code(row.get(3)?).ok_or(StoreError::Unreadable {
                what: "manufacturer.chain_time",
            })?,
        })
    }

    numbered!(
        manufacturer,
        ManufacturerNo,
        Manufacturer,
        "manufacturer",
        "name, roots, chain_time",
        read
    );

    /// Grows with every change of a manufacturer, so that parsed roots can be kept in memory.
    pub fn version(tx: &ReadTx<'_>) -> Result<i64, StoreError> {
        tx.number("SELECT n FROM version WHERE name = 'manufacturer'", &[])
    }

    /// Registers a manufacturer or replaces its roots. `roots` are the SHA-256 fingerprints of the
    /// roots in the PEM text, in hex, for the record.
    pub(super) fn put(
        tx: &mut Tx<'_>,
        stamp: Stamp<'_>,
        manufacturer: &Manufacturer,
        roots: &[String],
    ) -> Result<(ManufacturerNo, Put), StoreError> {
        let (pem, time) = (&manufacturer.roots_pem, manufacturer.chain_time.code());
        let found = tx.one(
            "SELECT no, roots, chain_time FROM manufacturer WHERE tenant = $1 AND name = $2",
            &[&stamp.tenant.0, &manufacturer.name.as_str()],
            |row| {
                let same = row.text(1)? == pem && row.get::<i64>(2)? == time;
                Ok((row.get::<i64>(0)?, same))
            },
        )?;
        let (name, roots) = (manufacturer.name.to_string(), roots.to_vec());
        let (no, put, event) = match found {
            Some((no, true)) => return Ok((ManufacturerNo(no), Put::Unchanged)),
            Some((no, false)) => {
                tx.run(
                    "UPDATE manufacturer SET roots = $2, chain_time = $3 WHERE no = $1",
                    &[&no, pem, &time],
                )?;
                (no, Put::Changed, Event::ManufacturerChanged { name, roots })
            }
            None => {
                let no = tx.insert(
                    "INSERT INTO manufacturer(tenant, name, roots, chain_time)
                     VALUES($1, $2, $3, $4) RETURNING no",
                    &[&stamp.tenant.0, &name, pem, &time],
                )?;
                (no, Put::Added, Event::ManufacturerAdded { name, roots })
            }
        };
        tx.run(
            "UPDATE version SET n = n + 1 WHERE name = 'manufacturer'",
            &[],
        )?;
        tx.log(&stamp.entry(event))?;
        Ok((ManufacturerNo(no), put))
    }
}
