//! From a draft to a signature: the serial and the exact bytes are durable before a key is used.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use rusqlite::types::Value;
use tenure_domain::certificate::Status;
use tenure_domain::draft::Draft;
use tenure_domain::event::{Entry, Event};
use tenure_domain::text::hex;
use tenure_domain::{Actor, CertificateNo, DeviceNo, EventSeq, IssuerNo, SecretNo, Slug, TenantId};
use tenure_x509::{Cert, KeyHash, PublicKey, Serial, Tbs, Time, Validity, sha256};

use super::{key_prefix, serial_hash};
use crate::counter::Counter;
use crate::device::device_id;
use crate::error::StoreError;
use crate::event::Prepared;
use crate::lookup::{By, Known, candidates};
use crate::probe::is_of_canaries;
use crate::registry::slug;
use crate::tx::{ReadTx, Touched, Tx};
use crate::{covered, issuer, policy, revocation};

/// Why a draft was not reserved.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ReserveError {
    /// The device, its secret or the policy changed since the decision; decide again.
    Stale,
    /// The serial is taken; draw another.
    SerialTaken,
    /// The database failed.
    Store(StoreError),
}

impl fmt::Display for ReserveError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ReserveError::Stale => f.write_str("the facts changed since the decision"),
            ReserveError::SerialTaken => f.write_str("the serial is taken"),
            ReserveError::Store(error) => error.fmt(f),
        }
    }
}

impl std::error::Error for ReserveError {}

impl From<StoreError> for ReserveError {
    fn from(error: StoreError) -> Self {
        ReserveError::Store(error)
    }
}

/// A draft whose serial and exact bytes are durable: what a key may sign. Only [`reserve`] makes one.
#[derive(Debug)]
pub struct Reserved {
    pub(super) no: CertificateNo,
    pub(super) event: EventSeq,
    pub(super) draft: Arc<Draft>,
}

/// How thoroughly a fresh signature is checked.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Check {
    /// Every one: keys behind a device or a network, and RSA.
    Every,
    /// One in 64: keys in our own memory.
    Sample,
}

/// A signature that does not verify. The reservation stays and is given up later.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BadSignature;

impl fmt::Display for BadSignature {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the key made a signature that does not verify; nothing was released")
    }
}

impl std::error::Error for BadSignature {}

/// A signed certificate that is not released yet. Only [`Reserved::signed`] makes one.
#[derive(Debug)]
pub struct Signed {
    pub(super) reserved: Reserved,
    pub(super) cert: Cert,
}

impl Reserved {
    /// The bytes to be signed.
    pub fn tbs(&self) -> &Tbs {
        self.draft.tbs()
    }

    /// The serial.
    pub fn serial(&self) -> &Serial {
        self.draft.serial()
    }

    /// The draft.
    pub fn draft(&self) -> &Draft {
        &self.draft
    }

    /// Takes the signature, and checks it against the issuer's key as `check` says.
    pub fn signed(
        self,
        signature: Vec<u8>,
        issuer_key: &PublicKey,
        check: Check,
    ) -> Result<Signed, BadSignature> {
        static TURN: AtomicU32 = AtomicU32::new(0);
        let is_checked = match check {
            Check::Every => true,
            Check::Sample => TURN.fetch_add(1, Ordering::Relaxed).is_multiple_of(64),
        };
        if is_checked {
            let tbs = self.tbs();
            issuer_key
                .verify(tbs.signature_algorithm(), tbs.as_der(), &signature)
                .map_err(|_| BadSignature)?;
        }
        let cert = self
            .draft
            .with_signature(&signature)
            .map_err(|_| BadSignature)?;
        Ok(Signed {
            reserved: self,
            cert,
        })
    }
}

impl Signed {
    /// The draft that was signed.
    pub fn draft(&self) -> &Draft {
        &self.reserved.draft
    }
}

const INSERT: &str = "INSERT INTO reservation(no, tenant, at, event, device, issuer, shard, nb, na,
     serial, key, profile, tbs) VALUES($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12, $13)";

/// A draft that is to be reserved, and what the record will say of it.
#[derive(Debug)]
pub struct Reservation {
    draft: Arc<Draft>,
    told: Prepared,
}

impl Reservation {
    /// A draft that was granted to `actor` at `now`.
    pub fn new(draft: Arc<Draft>, actor: &Actor, now: Time) -> Result<Reservation, StoreError> {
        let grant = draft.grant();
        let device = grant.device();
        let event = Event::CertificateReserved {
            issuer: grant.issuer().name().to_string(),
            key: grant.key(),
            serial: draft.serial().clone(),
            tbs_hash: hex(&sha256(draft.tbs().as_der())),
        };
        let entry = entry(actor, device.tenant, now, event).about(device.no, &device.id);
        Ok(Reservation {
            told: Prepared::new(&entry)?,
            draft,
        })
    }
}

/// Makes a draft's serial and bytes durable, if the device and the policy are still as they were when
/// it was granted. Binds the one-time secret the grant rests on to the draft's key.
pub fn reserve(tx: &mut Tx<'_>, reservation: &Reservation) -> Result<Reserved, ReserveError> {
    let draft = Arc::clone(&reservation.draft);
    let grant = draft.grant();
    let device = grant.device();
    let version = tx.peek(
        Touched::Device(device.no.0),
        "SELECT version FROM device WHERE no = $1",
        &[&device.no.0],
        |row| row.get::<i64>(0),
    )?;
    if version != Some(device.version)
        || policy::version(tx, device.tenant)? != grant.rule().version
    {
        return Err(ReserveError::Stale);
    }
    // Somewhere this draft waited so long that it may begin where nothing begins any more.
    if covered::is_closed(grant.validity().not_before, tx.sequence.recorded) {
        return Err(ReserveError::Stale);
    }
    let serial = draft.serial();
    if !candidates(tx, By::Serial, serial_hash(serial))?.is_empty() {
        return Err(ReserveError::SerialTaken);
    }
    if let Some(secret) = grant.spends() {
        bind(tx, secret, grant.asker())?;
    }
    tx.sequence.certificate += 1;
    let no = CertificateNo(tx.sequence.certificate);
    // Not in the device's chain: the certificate's row leads to it, and the device's row is left
    // alone until the certificate is complete.
    let event = tx.append(&reservation.told, Some(no), EventSeq(0))?;
    let validity = grant.validity();
    tx.defer(
        INSERT,
        vec![
            Value::Integer(no.0),
            Value::Integer(device.tenant.0),
            Value::Integer(reservation.told.valid().unix()),
            Value::Integer(event.0),
            Value::Integer(device.no.0),
            Value::Integer(grant.issuer().no().0),
            Value::Integer(i64::from(draft.shard())),
            Value::Integer(validity.not_before.unix()),
            Value::Integer(validity.not_after.unix()),
            Value::Blob(serial.as_bytes().to_vec()),
            Value::Blob(grant.key().0.to_vec()),
            Value::Text(grant.profile().name.to_string()),
            Value::Blob(draft.tbs().as_der().to_vec()),
        ],
    );
    tx.touch(Touched::Reservation(no.0));
    tx.index(Known::serial(serial, no.0));
    Ok(Reserved { no, event, draft })
}

pub(super) fn entry(actor: &Actor, tenant: TenantId, now: Time, event: Event) -> Entry {
    Entry {
        tenant,
        ..Entry::new(actor.clone(), now, event)
    }
}

/// Binds a secret to the first key it is presented with.
fn bind(tx: &mut Tx<'_>, secret: SecretNo, key: KeyHash) -> Result<(), ReserveError> {
    let bound = tx.peek(
        Touched::Secret(secret.0),
        "SELECT bound_to FROM secret WHERE no = $1",
        &[&secret.0],
        |row| row.get::<Option<Vec<u8>>>(0),
    )?;
    match bound {
        // The secret was withdrawn.
        None => Err(ReserveError::Stale),
        Some(Some(bound)) if bound == key.0 => Ok(()),
        Some(Some(_)) => Err(ReserveError::Stale),
        Some(None) => {
            tx.defer(
                "UPDATE secret SET bound_to = $2 WHERE no = $1",
                vec![Value::Integer(secret.0), Value::Blob(key.0.to_vec())],
            );
            tx.touch(Touched::Secret(secret.0));
            Ok(())
        }
    }
}

/// A reservation that is neither complete nor given up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct OpenReservation {
    /// The row its certificate would have.
    pub no: CertificateNo,
    /// Whose fleet.
    pub tenant: TenantId,
    /// When it was made.
    pub at: Time,
    /// The event that tells of it.
    pub event: EventSeq,
    /// The device.
    pub device: DeviceNo,
    /// The issuer.
    pub issuer: IssuerNo,
    /// The shard its revocation would be listed in.
    pub shard: u16,
    /// The validity of the bytes that may have been signed.
    pub validity: Validity,
    /// The serial.
    pub serial: Serial,
    /// The subject key.
    pub key: KeyHash,
    /// The profile.
    pub profile: Slug,
}

/// Reservations made before `older_than` that are still open, oldest first.
pub fn stale_reservations(
    tx: &ReadTx<'_>,
    older_than: Time,
    limit: u32,
) -> Result<Vec<OpenReservation>, StoreError> {
    tx.all(
        "SELECT no, tenant, at, event, device, issuer, shard, nb, na, serial, key, profile
         FROM reservation WHERE at < $1 ORDER BY no LIMIT $2",
        &[&older_than.unix(), &limit],
        |row| {
            Ok(OpenReservation {
                no: CertificateNo(row.get(0)?),
                tenant: TenantId(row.get(1)?),
                at: row.time(2)?,
                event: EventSeq(row.get(3)?),
                device: DeviceNo(row.get(4)?),
                issuer: IssuerNo(row.get(5)?),
                shard: row.get(6)?,
                validity: Validity {
                    not_before: row.time(7)?,
                    not_after: row.time(8)?,
                },
                serial: Serial::from_der_value(row.blob(9)?),
                key: KeyHash(row.get(10)?),
                profile: slug(row, 11)?,
            })
        },
    )
}

/// Gives a reservation up: its serial is listed as revoked and its certificate is never released.
/// One that is no longer open is left alone, with an excuse.
pub fn void(
    tx: &mut Tx<'_>,
    open: &OpenReservation,
    why: &str,
    actor: &Actor,
    now: Time,
) -> Result<(), StoreError> {
    if tx.run("DELETE FROM reservation WHERE no = $1", &[&open.no.0])? == 0 {
        tx.excuse("the reservation is no longer open");
        return Ok(());
    }
    let missing = StoreError::Unreadable {
        what: "reservation.device",
    };
    let (id, class, prev) = tx
        .one(
            "SELECT id, class, last_cert FROM device WHERE no = $1",
            &[&open.device.0],
            |row| Ok((device_id(row, 0)?, row.get::<i64>(1)?, row.get::<i64>(2)?)),
        )?
        .ok_or(missing)?;
    let event = Event::CertificateVoided {
        issuer: issuer::name_of(tx, open.tenant, open.issuer)?.to_string(),
        serial: open.serial.clone(),
        why: why.to_owned(),
    };
    tx.log(
        &entry(actor, open.tenant, now, event)
            .about(open.device, &id)
            .on(open.no),
    )?;
    let nowhere = [0_u8; 32];
    tx.run(
        "INSERT INTO cert(no, tenant, device, issuer, status, nb, na, issued, replaced, rev_at,
           reason, invalidity, shard, class, predecessor, prev, first_used, standstill,
           reserved_event, serial_h, key_h, serial, predecessor_serial, key, replay, profile)
         VALUES($1, $2, $3, $4, $5, $6, $7, 0, 0, $8, 0, 0, $9, $10, 0, $11, 0, 0, $12, $13, $14,
           $15, NULL, $16, $17, $18)",
        &[
            &open.no.0,
            &open.tenant.0,
            &open.device.0,
            &open.issuer.0,
            &Status::Voided.code(),
            &open.validity.not_before.unix(),
            &open.validity.not_after.unix(),
            &now.unix().max(1),
            &open.shard,
            &class,
            &prev,
            &open.event.0,
            &serial_hash(&open.serial),
            &key_prefix(&open.key.0),
            &open.serial.as_bytes(),
            &open.key.0.as_slice(),
            &nowhere.as_slice(),
            &open.profile.as_str(),
        ],
    )?;
    tx.index(Known::key(&open.key.0, open.no.0));
    tx.run(
        "UPDATE device SET last_cert = $2 WHERE no = $1",
        &[&open.device.0, &open.no.0],
    )?;
    let (tenant, issuer, status) = (open.tenant.0, open.issuer.0, Status::Voided.code());
    if !is_of_canaries(class) {
        tx.count(
            Counter::Certificates {
                tenant,
                issuer,
                status,
            },
            1,
        );
    }
    revocation::bump(tx, open.issuer, open.shard, now)
}
