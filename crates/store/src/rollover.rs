//! The rollover of an issuer: the step it is at, and what was observed of relying parties and of its
//! certificates that decides whether the next may be taken.

use std::sync::Arc;

use tenure_domain::canary::{Canary, Reception};
use tenure_domain::certificate::Status;
use tenure_domain::event::Event;
use tenure_domain::issuer::{Issuer, IssuerKind, IssuerState};
use tenure_domain::rollover::{LEAVES_MAX, Observed, PartyStanding, is_of_lines};
use tenure_domain::{Actor, DeviceId, IssuerNo, ProbeNo, RelyingPartyNo, TenantId};
use tenure_x509::Time;

use crate::device::device_id;
use crate::error::StoreError;
use crate::stamp::Stamp;
use crate::tx::{ReadTx, Tx};
use crate::{feed, relying_party};

/// How many relying parties are read at a time.
const PARTIES: u32 = 500;
/// How much later a use must be to be written again, in seconds.
const USE_EVERY_S: i64 = 3_600;

/// Moves an issuer to another state.
pub fn move_to(
    tx: &mut Tx<'_>,
    issuer: &Issuer,
    to: IssuerState,
    exceptions: &[String],
    why: &str,
    actor: &Actor,
    now: Time,
) -> Result<(), StoreError> {
    tx.run(
        "UPDATE issuer SET state = $2, since = $3 WHERE no = $1",
        &[&issuer.no.0, &to.code(), &now.unix()],
    )?;
    crate::issuer::changed(tx)?;
    tx.log(&Stamp::new(actor, now).entry(Event::IssuerMoved {
        exceptions: exceptions.to_vec(),
        from: issuer.state,
        issuer: issuer.name.to_string(),
        to,
        why: why.to_owned(),
    }))
    .map(drop)
}

/// Where each relying party that is for the issuer's line stands towards it, by name. Nobody stands
/// anywhere towards an issuer of identities for life, which are shown to enrollment alone.
pub fn standings(
    tx: &ReadTx<'_>,
    tenant: TenantId,
    issuers: &[Arc<Issuer>],
    issuer: &Issuer,
) -> Result<Vec<PartyStanding>, StoreError> {
    let mut standings = Vec::new();
    if issuer.kind != IssuerKind::Issuing {
        return Ok(standings);
    }
    let mut after = String::new();
    loop {
        let page = relying_party::list(tx, tenant, &after, PARTIES)?;
        let Some(last) = page.last() else {
            return Ok(standings);
        };
        after = last.party.name.to_string();
        for known in page {
            if is_of_lines(issuers, &known.party.issuers, issuer) {
                standings.push(PartyStanding {
                    observed: observed(tx, known.no, issuer)?,
                    acknowledged: acknowledged(tx, known.no, issuer)?,
                    name: known.party.name,
                    criticality: known.party.criticality,
                });
            }
        }
    }
}

/// What the newest probe with a good certificate of the issuer showed.
fn observed(
    tx: &ReadTx<'_>,
    party: RelyingPartyNo,
    issuer: &Issuer,
) -> Result<Option<Observed>, StoreError> {
    let unreadable = |what| StoreError::Unreadable { what };
    let [valid, incoming, outgoing, superseded] = [
        Canary::Valid,
        Canary::Incoming,
        Canary::Outgoing,
        Canary::Superseded,
    ]
    .map(Canary::code);
    tx.one(
        "SELECT canary, reception, how, at, probe FROM enforcement
         WHERE party = $1 AND issuer = $2 AND canary IN ($3, $4, $5, $6)
         ORDER BY probe DESC LIMIT 1",
        &[
            &party.0,
            &issuer.name.as_str(),
            &valid,
            &incoming,
            &outgoing,
            &superseded,
        ],
        |row| {
            Ok(Observed {
                canary: Canary::from_code(row.get(0)?).ok_or(unreadable("enforcement.canary"))?,
                reception: Reception::from_code(row.get(1)?)
                    .ok_or(unreadable("enforcement.reception"))?,
                how: row.get(2)?,
                at: row.time(3)?,
                probe: ProbeNo(row.get(4)?),
            })
        },
    )
}

/// When a good certificate of an issuer was last shown to any relying party that answered.
pub fn last_verified(tx: &ReadTx<'_>, issuer: &Issuer) -> Result<Option<Time>, StoreError> {
    let last = tx.number(
        "SELECT coalesce(max(at), 0) FROM enforcement WHERE issuer = $1 AND reception <> $2",
        &[&issuer.name.as_str(), &Reception::Unreachable.code()],
    )?;
    Ok((last > 0).then(|| Time::from_unix(last)))
}

/// When a relying party said that it applied a bundle that carries the issuer: one that was offered
/// after the issuer came into its state.
fn acknowledged(
    tx: &ReadTx<'_>,
    party: RelyingPartyNo,
    issuer: &Issuer,
) -> Result<Option<Time>, StoreError> {
    if !issuer.state.is_carried() {
        return Ok(None);
    }
    let (Some(feed), Some(held)) = (feed::of(tx, party)?, feed::held(tx, party)?) else {
        return Ok(None);
    };
    // Of the same second it may still be one without the issuer.
    Ok(feed.heard.filter(|_| held.made > issuer.since))
}

/// What is left of an issuer's work.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Remains {
    /// How many of its certificates are in force, held ones included, counted up to
    /// [`LEAVES_MAX`]; left out are canaries, our own responder's, and our servers' former ones.
    pub leaves: u64,
    /// Some of their devices.
    pub devices: Vec<DeviceId>,
    /// When a service last reported one in use.
    pub last_traffic: Option<Time>,
}

/// What is left of an issuer's work at a time.
pub fn remains(tx: &ReadTx<'_>, issuer: IssuerNo, now: Time) -> Result<Remains, StoreError> {
    let [issued, replaced, held] =
        [Status::Issued, Status::Replaced, Status::Held].map(Status::code);
    let devices = tx.all(
        "SELECT DISTINCT device.id FROM cert JOIN device ON device.no = cert.device
         WHERE cert.na >= $1 AND cert.issuer = $2 AND cert.status IN ($3, $4, $5)
           AND cert.class > 0 AND cert.profile <> 'tenure-ocsp'
           AND NOT (cert.status = $4 AND cert.profile = 'tenure-server') LIMIT 5",
        &[&now.unix(), &issuer.0, &issued, &replaced, &held],
        |row| device_id(row, 0),
    )?;
    Ok(Remains {
        leaves: leaves(tx, issuer, now)?,
        devices,
        last_traffic: last_traffic(tx, issuer)?,
    })
}

/// How many certificates of an issuer are in force, as [`Remains::leaves`] counts them.
pub fn leaves(tx: &ReadTx<'_>, issuer: IssuerNo, now: Time) -> Result<u64, StoreError> {
    let [issued, replaced, held] =
        [Status::Issued, Status::Replaced, Status::Held].map(Status::code);
    let leaves = tx.number(
        "SELECT count(*) FROM (SELECT 1 FROM cert WHERE na >= $1 AND issuer = $2
           AND status IN ($3, $4, $5) AND class > 0 AND profile <> 'tenure-ocsp'
           AND NOT (status = $4 AND profile = 'tenure-server') LIMIT $6)",
        &[
            &now.unix(),
            &issuer.0,
            &issued,
            &replaced,
            &held,
            &LEAVES_MAX,
        ],
    )?;
    Ok(u64::try_from(leaves).unwrap_or(0))
}

/// When a service last reported a certificate of an issuer in use.
pub fn last_traffic(tx: &ReadTx<'_>, issuer: IssuerNo) -> Result<Option<Time>, StoreError> {
    let last = tx.number(
        "SELECT coalesce(max(last), 0) FROM issuer_traffic WHERE issuer = $1",
        &[&issuer.0],
    )?;
    Ok((last > 0).then(|| Time::from_unix(last)))
}

/// Whether a use of a certificate of an issuer, seen by a service, is news: the first there, or an
/// hour after the last that was kept.
pub fn is_news(
    tx: &ReadTx<'_>,
    issuer: IssuerNo,
    service: &str,
    at: Time,
) -> Result<bool, StoreError> {
    let last = tx.first(
        "SELECT last FROM issuer_traffic WHERE issuer = $1 AND service = $2",
        &[&issuer.0, &service],
        |row| row.get::<i64>(0),
    )?;
    Ok(last.is_none_or(|last| at.unix() >= last + USE_EVERY_S))
}

/// Keeps that a service saw a certificate of an issuer in use. No event of its own: each
/// certificate's first use is one.
pub fn seen_in_use(
    tx: &Tx<'_>,
    issuer: IssuerNo,
    service: &str,
    at: Time,
) -> Result<(), StoreError> {
    tx.run(
        "INSERT INTO issuer_traffic(issuer, service, first, last) VALUES($1, $2, $3, $3)
         ON CONFLICT(issuer, service) DO UPDATE SET last = max(last, excluded.last)",
        &[&issuer.0, &service, &at.unix()],
    )?;
    Ok(())
}
