//! Relying parties: where devices are let in or turned away.
//!
//! One that is taken away keeps its row, because the past refers to it, and shows in no list; put
//! again under the same name, it is the same one.

use tenure_domain::event::{Event, RelyingPartyFields};
use tenure_domain::finding::{Subject, SubjectKind};
use tenure_domain::relying_party::RelyingParty;
use tenure_domain::text::hex;
use tenure_domain::{Actor, RelyingPartyNo, TenantId};
use tenure_x509::{Time, sha256};

use crate::error::StoreError;
use crate::finding;
use crate::registry::{Put, RegistryError, owner, service, site};
use crate::stamp::Stamp;
use crate::token;
use crate::tx::{ReadTx, Row, Tx};

/// A relying party with its row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// Its row.
    pub no: RelyingPartyNo,
    /// What is registered of it.
    pub party: RelyingParty,
}

/// Registers a relying party in the default tenant, or changes it. Its owner, site and services must
/// be registered.
pub fn put(
    tx: &mut Tx<'_>,
    party: &RelyingParty,
    actor: &Actor,
    now: Time,
) -> Result<Put, RegistryError> {
    let stamp = Stamp::new(actor, now);
    let tenant = stamp.tenant;
    let unknown = |column, name: &str| RegistryError::Unknown {
        column,
        name: name.to_owned(),
    };
    if owner::no(tx, tenant, party.owner.as_str())?.is_none() {
        return Err(unknown("owner", party.owner.as_str()));
    }
    if site::no(tx, tenant, party.site.as_str())?.is_none() {
        return Err(unknown("site", party.site.as_str()));
    }
    for name in &party.services {
        if service::no(tx, tenant, name.as_str())?.is_none() {
            return Err(unknown("services", name.as_str()));
        }
    }
    let document = serde_json::to_string(party).unwrap_or_default();
    let found = tx.one(
        "SELECT no, removed, document FROM relying_party WHERE tenant = $1 AND name = $2",
        &[&tenant.0, &party.name.as_str()],
        |row| {
            let is_same = row.get::<i64>(1)? == 0 && row.text(2)? == document;
            Ok((row.get::<i64>(0)?, row.get::<i64>(1)?, is_same))
        },
    )?;
    let put = match found {
        Some((_, _, true)) => return Ok(Put::Unchanged),
        Some((no, removed, false)) => {
            tx.run(
                "UPDATE relying_party SET removed = 0, document = $2 WHERE no = $1",
                &[&no, &document],
            )?;
            if removed == 0 {
                Put::Changed
            } else {
                Put::Added
            }
        }
        None => {
            tx.insert(
                "INSERT INTO relying_party(tenant, removed, name, document)
                 VALUES($1, 0, $2, $3) RETURNING no",
                &[&tenant.0, &party.name.as_str(), &document],
            )?;
            Put::Added
        }
    };
    let fields = Box::new(fields(party));
    tx.log(&stamp.entry(match put {
        Put::Added => Event::RelyingPartyAdded(fields),
        Put::Changed | Put::Unchanged => Event::RelyingPartyChanged(fields),
    }))?;
    Ok(put)
}

fn fields(party: &RelyingParty) -> RelyingPartyFields {
    RelyingPartyFields {
        address: party.address.to_string(),
        anchors_hash: hex(&sha256(party.anchors_pem.as_bytes())),
        checks: party.checks,
        criticality: party.criticality,
        enforce_within_s: party.enforce_within_s,
        issuers: party.issuers.iter().map(ToString::to_string).collect(),
        name: party.name.to_string(),
        owner: party.owner.to_string(),
        protocol: party.protocol,
        server_name: party.expected_name().to_owned(),
        services: party.services.iter().map(ToString::to_string).collect(),
        session: party.session,
        site: party.site.to_string(),
    }
}

/// Takes a relying party away, withdraws its tokens and clears what was found about it; whether there
/// was one.
pub fn remove(
    tx: &mut Tx<'_>,
    name: &str,
    actor: &Actor,
    now: Time,
) -> Result<Option<Known>, StoreError> {
    let stamp = Stamp::new(actor, now);
    let Some(known) = by_name(tx, stamp.tenant, name)? else {
        return Ok(None);
    };
    tx.run(
        "UPDATE relying_party SET removed = $2 WHERE no = $1",
        &[&known.no.0, &now.unix()],
    )?;
    tx.log(&stamp.entry(Event::RelyingPartyRemoved {
        name: name.to_owned(),
    }))?;
    for (token, _) in token::of_party(tx, known.no, now)? {
        token::revoke(tx, token, actor, now)?;
    }
    let subject = Subject::new(SubjectKind::RelyingParty, name);
    for found in finding::about(tx, stamp.tenant, &subject)? {
        let why = "the relying party was taken away";
        finding::clear(tx, &found.matter, why, actor, now)?;
    }
    Ok(Some(known))
}

macro_rules! select {
    ($rest:literal) => {
        concat!("SELECT no, document FROM relying_party ", $rest)
    };
}

fn read(row: &Row<'_>) -> Result<Known, StoreError> {
    let party = serde_json::from_str(row.text(1)?).map_err(|_| StoreError::Unreadable {
        what: "relying_party.document",
    })?;
    Ok(Known {
        no: RelyingPartyNo(row.get(0)?),
        party,
    })
}

/// One relying party that was not taken away.
pub fn by_name(tx: &ReadTx<'_>, tenant: TenantId, name: &str) -> Result<Option<Known>, StoreError> {
    tx.one(
        select!("WHERE tenant = $1 AND name = $2 AND removed = 0"),
        &[&tenant.0, &name],
        read,
    )
}

/// The relying party in this row, if it was not taken away.
pub fn by_no(tx: &ReadTx<'_>, no: RelyingPartyNo) -> Result<Option<Known>, StoreError> {
    tx.one(select!("WHERE no = $1 AND removed = 0"), &[&no.0], read)
}

/// At most `limit` relying parties in the order of their names, after the name `after`.
pub fn list(
    tx: &ReadTx<'_>,
    tenant: TenantId,
    after: &str,
    limit: u32,
) -> Result<Vec<Known>, StoreError> {
    tx.all(
        select!("WHERE tenant = $1 AND name > $2 AND removed = 0 ORDER BY name LIMIT $3"),
        &[&tenant.0, &after, &limit],
        read,
    )
}
