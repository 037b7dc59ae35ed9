//! From a signature to a certificate: everything that hung on the decision is looked at once more,
//! in the transaction that releases.

use std::sync::Arc;

use rusqlite::types::Value;
use tenure_domain::certificate::{CertificateRow, Revocation, Standstill, Status};
use tenure_domain::device::Standing;
use tenure_domain::event::{Event, IssuedFields};
use tenure_domain::policy::GrantIssuer;
use tenure_domain::text::hex;
use tenure_domain::{Actor, CertificateNo, EventSeq};
use tenure_x509::{Reason, Time, sha256};

use super::find::{CLASS_OF, other_holder};
use super::reserve::{OpenReservation, Signed, entry, void};
use super::{Certificate, day, find, key_prefix, serial_hash};
use crate::counter::{Counter, DayColumn};
use crate::error::StoreError;
use crate::event::Prepared;
use crate::lookup::Known;
use crate::probe::is_of_canaries;
use crate::tx::{Touched, Tx};
use crate::{blocked_key, device, identity, issuer, pending, withdrawal};

/// A signed certificate that is to be released, and what the record will say of it.
#[derive(Debug)]
pub struct Completion {
    signed: Signed,
    /// As it will be once it is released.
    certificate: Arc<Certificate>,
    issued: Prepared,
    /// The device's first certificate makes it an enrolled one.
    enrolled: Option<Prepared>,
    facts: String,
    actor: Actor,
    now: Time,
}

impl Completion {
    /// A certificate for `actor`, who asked through the protocol `via`, to be released at `now`.
    /// `facts` is what was known when it was granted, as JSON; the record holds its hash.
    pub fn new(
        signed: Signed,
        actor: Actor,
        via: &str,
        facts: String,
        now: Time,
    ) -> Result<Completion, StoreError> {
        let device = signed.draft().grant().device();
        let told = |event| {
            let entry = entry(&actor, device.tenant, now, event);
            Prepared::new(&entry.about(device.no, &device.id))
        };
        let issued = issued_fields(&signed, via, &facts);
        let enrolled = match device.standing {
            Standing::Expected => Some(told(Event::DeviceStandingChanged {
                from: Standing::Expected,
                to: Standing::Enrolled,
                why: "its first certificate was issued".to_owned(),
            })?),
            _ => None,
        };
        Ok(Completion {
            certificate: Arc::new(Certificate {
                row: released_row(&signed, now),
                cert: signed.cert.clone(),
            }),
            issued: told(Event::CertificateIssued(Box::new(issued)))?,
            enrolled,
            signed,
            facts,
            actor,
            now,
        })
    }
}

/// What became of a signed certificate.
#[derive(Debug)]
pub enum Completed {
    /// It is the device's.
    Released(Arc<Certificate>),
    /// Something changed while it was being signed. It is listed as revoked and never handed out.
    Voided {
        /// What changed.
        why: &'static str,
    },
}

/// The part of a device's row that changes with every certificate.
struct Hot {
    version: i64,
    standing: Standing,
    last_cert: i64,
    last_event: i64,
    forgiven: i64,
    place: device::Assignment,
}

const INSERT: &str =
    "INSERT INTO cert(no, tenant, device, issuer, status, nb, na, issued, replaced,
     rev_at, reason, invalidity, shard, class, predecessor, prev, first_used, standstill,
     reserved_event, serial_h, key_h, serial, predecessor_serial, key, replay, profile)
     VALUES($1, $2, $3, $4, $5, $6, $7, $8, 0, 0, 0, 0, $9, $10, $11, $12, 0, 0, $13, $14, $15,
     $16, $17, $18, $19, $20)";

const RENEWED: &str = "UPDATE device SET version = $2, head = $3, last_cert = $3, last_event = $4,
     forgiven = $5 WHERE no = $1";
const NOW_ENROLLED: &str = "UPDATE device SET version = $2, head = $3, last_cert = $3,
     last_event = $4, forgiven = $5, standing = $6 WHERE no = $1";

/// Releases a signed certificate, or gives it up if its device, its predecessor, its secret or its
/// reservation is not as it was.
pub fn complete(tx: &mut Tx<'_>, completion: &Completion) -> Result<Completed, StoreError> {
    let signed = &completion.signed;
    let no = signed.reserved.no;
    let open = tx.peek(
        Touched::Reservation(no.0),
        "SELECT no FROM reservation WHERE no = $1",
        &[&no.0],
        |row| row.get::<i64>(0),
    )?;
    if open.is_none() {
        return settled_before(tx, no);
    }
    let device = signed.draft().grant().device();
    let hot = tx
        .peek(
            Touched::Device(device.no.0),
            "SELECT version, standing, last_cert, last_event, forgiven, site, owner, class
             FROM device WHERE no = $1",
            &[&device.no.0],
            |row| {
                Ok(Hot {
                    version: row.get(0)?,
                    standing: device::standing(row.get(1)?)?,
                    last_cert: row.get(2)?,
                    last_event: row.get(3)?,
                    forgiven: row.get(4)?,
                    place: device::Assignment::of(row, 5)?,
                })
            },
        )?
        .ok_or(StoreError::Unreadable {
            what: "reservation.device",
        })?;
    match obstacle(tx, signed, &hot)? {
        Some(why) => {
            void(
                tx,
                &open_reservation(signed),
                why,
                &completion.actor,
                completion.now,
            )?;
            Ok(Completed::Voided { why })
        }
        None => release(tx, &hot, completion).map(Completed::Released),
    }
}

/// The reservation is gone: this very certificate was released before and its answer lost, or it was
/// given up.
fn settled_before(tx: &mut Tx<'_>, no: CertificateNo) -> Result<Completed, StoreError> {
    tx.excuse("the reservation was settled before");
    Ok(match find::by_no(tx, no)? {
        Some(found) if found.row.status == Status::Issued => Completed::Released(Arc::new(found)),
        _ => Completed::Voided {
            why: "the reservation was given up",
        },
    })
}

/// What forbids the release, if anything. The version of a device grows with every change of its
/// record, its standing, its certificates and its secret, so one number stands for all of them.
fn obstacle(tx: &Tx<'_>, signed: &Signed, hot: &Hot) -> Result<Option<&'static str>, StoreError> {
    let grant = signed.draft().grant();
    let device = grant.device();
    if (hot.version, hot.standing) != (device.version, device.standing)
        || hot.standing.may_enroll().is_err()
    {
        return Ok(Some(
            "the device changed while the certificate was being signed",
        ));
    }
    if other_holder(tx, grant.key(), grant.device().no)?.is_some() {
        return Ok(Some(
            "another device took the key while the certificate was being signed",
        ));
    }
    if let GrantIssuer::Ours(issuer) = grant.issuer()
        && issuer::state(tx, issuer.no)? != issuer.state
    {
        return Ok(Some(
            "its issuer moved on while the certificate was being signed",
        ));
    }
    if blocked_key::why(tx, grant.key())?.is_some() {
        return Ok(Some(
            "the key was blocked while the certificate was being signed",
        ));
    }
    identity::obstacle(tx, grant)
}

fn open_reservation(signed: &Signed) -> OpenReservation {
    let draft = signed.draft();
    let grant = draft.grant();
    OpenReservation {
        no: signed.reserved.no,
        tenant: grant.device().tenant,
        at: Time::from_unix(0),
        event: signed.reserved.event,
        device: grant.device().no,
        issuer: grant.issuer().no(),
        shard: draft.shard(),
        validity: grant.validity(),
        serial: draft.serial().clone(),
        key: grant.key(),
        profile: grant.profile().name.clone(),
    }
}

fn release(
    tx: &mut Tx<'_>,
    hot: &Hot,
    completion: &Completion,
) -> Result<Arc<Certificate>, StoreError> {
    let (row, now) = (&completion.certificate.row, completion.now);
    let grant = completion.signed.draft().grant();
    let device = grant.device();
    let mut last_event = EventSeq(hot.last_event);
    if let Some(told) = &completion.enrolled {
        last_event = tx.append(told, None, last_event)?;
        device::recount(
            tx,
            device.tenant,
            hot.place,
            hot.standing,
            Standing::Enrolled,
        );
    }
    last_event = tx.append(&completion.issued, Some(row.no), last_event)?;
    write_certificate(tx, hot, completion);
    if let Some(predecessor) = &row.predecessor {
        replace(tx, *predecessor, now, Standstill::None)?;
    }
    let mut forgiven = hot.forgiven;
    if let Some(displaced) = grant.displaced() {
        replace(tx, displaced, now, Standstill::Abandoned)?;
        forgiven += 1;
    }
    let mut args = vec![
        Value::Integer(device.no.0),
        Value::Integer(hot.version + 1),
        Value::Integer(row.no.0),
        Value::Integer(last_event.0),
        Value::Integer(forgiven),
    ];
    let mut sql = RENEWED;
    if completion.enrolled.is_some() {
        sql = NOW_ENROLLED;
        args.push(Value::Integer(Standing::Enrolled.code()));
    }
    tx.defer(sql, args);
    tx.touch(Touched::Device(device.no.0));
    if let Some(secret) = grant.spends() {
        tx.defer(
            "UPDATE secret SET spent = $2, failures = 0 WHERE no = $1 AND spent = 0",
            vec![Value::Integer(secret.0), Value::Integer(now.unix())],
        );
        tx.touch(Touched::Secret(secret.0));
    }
    pending::answered(tx, grant.replay())?;
    if let Some(stranger) = grant.as_stranger() {
        pending::answered(tx, stranger)?;
    }
    if let Some(former) = identity::given(tx, grant, row.no)? {
        let how = Revocation::new(Reason::Superseded, now);
        withdrawal::revoke(tx, former, how, &completion.actor)?;
    }
    Ok(Arc::clone(&completion.certificate))
}

fn issued_fields(signed: &Signed, via: &str, facts: &str) -> IssuedFields {
    let draft = signed.draft();
    let grant = draft.grant();
    IssuedFields {
        certificate_hash: hex(&sha256(signed.cert.der())),
        evidence: grant.evidence().to_owned(),
        facts_hash: hex(&sha256(facts.as_bytes())),
        issuer: grant.issuer().name().to_string(),
        key: grant.key(),
        not_after: grant.validity().not_after,
        not_before: grant.validity().not_before,
        policy: grant.rule().policy.to_string(),
        predecessor: grant.predecessor().map(|row| row.serial.clone()),
        profile: grant.profile().name.to_string(),
        rule: grant.rule().rule.clone(),
        serial: draft.serial().clone(),
        shard: draft.shard(),
        via: via.to_owned(),
    }
}

fn released_row(signed: &Signed, now: Time) -> CertificateRow {
    let draft = signed.draft();
    let grant = draft.grant();
    CertificateRow {
        no: signed.reserved.no,
        tenant: grant.device().tenant,
        serial: draft.serial().clone(),
        issuer: grant.issuer().no(),
        issuer_name: grant.issuer().name().clone(),
        device: grant.device().no,
        device_id: grant.device().id.clone(),
        profile: grant.profile().name.clone(),
        validity: grant.validity(),
        key: grant.key(),
        status: Status::Issued,
        revocation: None,
        predecessor: grant.predecessor().map(|row| row.no),
        predecessor_serial: grant.predecessor().map(|row| row.serial.clone()),
        shard: draft.shard(),
        first_used: None,
        standstill: Standstill::None,
        issued: now,
    }
}

fn write_certificate(tx: &Tx<'_>, hot: &Hot, completion: &Completion) {
    let (signed, row) = (&completion.signed, &completion.certificate.row);
    let serial = |serial: &tenure_x509::Serial| Value::Blob(serial.as_bytes().to_vec());
    let (na, issued) = (row.validity.not_after.unix(), row.issued.unix());
    tx.defer(
        INSERT,
        vec![
            Value::Integer(row.no.0),
            Value::Integer(row.tenant.0),
            Value::Integer(row.device.0),
            Value::Integer(row.issuer.0),
            Value::Integer(row.status.code()),
            Value::Integer(row.validity.not_before.unix()),
            Value::Integer(na),
            Value::Integer(issued),
            Value::Integer(i64::from(row.shard)),
            Value::Integer(hot.place.class.0),
            Value::Integer(row.predecessor.map_or(0, |no| no.0)),
            Value::Integer(hot.last_cert),
            Value::Integer(signed.reserved.event.0),
            Value::Integer(serial_hash(&row.serial)),
            Value::Integer(key_prefix(&row.key.0)),
            serial(&row.serial),
            row.predecessor_serial.as_ref().map_or(Value::Null, serial),
            Value::Blob(row.key.0.to_vec()),
            Value::Blob(signed.draft().grant().replay().0.to_vec()),
            Value::Text(row.profile.to_string()),
        ],
    );
    tx.defer(
        "INSERT INTO cert_der(no, der) VALUES($1, $2)",
        vec![
            Value::Integer(row.no.0),
            Value::Blob(signed.cert.der().to_vec()),
        ],
    );
    tx.defer(
        "INSERT INTO fact(cert, body) VALUES($1, $2)",
        vec![
            Value::Integer(row.no.0),
            Value::Blob(completion.facts.clone().into_bytes()),
        ],
    );
    tx.defer(
        "DELETE FROM reservation WHERE no = $1",
        vec![Value::Integer(row.no.0)],
    );
    tx.touch(Touched::Reservation(row.no.0));
    tx.touch(Touched::Certificate(row.no.0));
    tx.index(Known::key(&row.key.0, row.no.0));
    let (tenant, class) = (row.tenant.0, hot.place.class.0);
    if is_of_canaries(class) {
        return;
    }
    let (issuer, status) = (row.issuer.0, row.status.code());
    tx.count(
        Counter::Certificates {
            tenant,
            issuer,
            status,
        },
        1,
    );
    for (day, column) in [
        (day(issued), DayColumn::Issued),
        (day(na), DayColumn::Ending),
        (day(na), DayColumn::Current),
    ] {
        tx.count(
            Counter::Day {
                tenant,
                class,
                day,
                column,
            },
            1,
        );
    }
}

/// Marks a certificate as replaced, if it is in force. One that is held or revoked stays so.
fn replace(
    tx: &Tx<'_>,
    no: CertificateNo,
    now: Time,
    standstill: Standstill,
) -> Result<(), StoreError> {
    let found = tx.peek(Touched::Certificate(no.0), CLASS_OF, &[&no.0], |row| {
        let status: i64 = row.get(1)?;
        Ok((row.get(0)?, status, row.get(2)?, row.get(3)?, row.get(4)?))
    })?;
    let Some((class, status, na, issuer, tenant)) = found else {
        return Ok(());
    };
    if standstill == Standstill::Abandoned {
        tx.defer(
            "UPDATE cert SET standstill = $2 WHERE no = $1",
            vec![Value::Integer(no.0), Value::Integer(standstill.code())],
        );
    }
    if status == Status::Issued.code() {
        let replaced = Status::Replaced.code();
        tx.defer(
            "UPDATE cert SET status = $2, replaced = $3 WHERE no = $1",
            vec![
                Value::Integer(no.0),
                Value::Integer(replaced),
                Value::Integer(now.unix()),
            ],
        );
        if is_of_canaries(class) {
            return Ok(());
        }
        tx.count(
            Counter::Certificates {
                tenant,
                issuer,
                status,
            },
            -1,
        );
        tx.count(
            Counter::Certificates {
                tenant,
                issuer,
                status: replaced,
            },
            1,
        );
        let column = DayColumn::Current;
        tx.count(
            Counter::Day {
                tenant,
                class,
                day: day(na),
                column,
            },
            -1,
        );
    }
    tx.touch(Touched::Certificate(no.0));
    Ok(())
}
