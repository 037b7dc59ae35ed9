//! Who saw a certificate in use, and when first.

use tenure_domain::event::{Entry, Event};
use tenure_domain::{Actor, CertificateNo, CertificateRow};
use tenure_x509::Time;

use crate::error::StoreError;
use crate::tx::{ReadTx, Tx};

/// Records that a certificate was seen in use. Its first use settles the renewal chain up to it:
/// keys that changed before it are forgotten.
pub fn first_used(
    tx: &mut Tx<'_>,
    row: &CertificateRow,
    service: &str,
    actor: &Actor,
    at: Time,
) -> Result<(), StoreError> {
    tx.run(
        "INSERT INTO sighting(cert, service, first) VALUES($1, $2, $3) ON CONFLICT DO NOTHING",
        &[&row.no.0, &service, &at.unix()],
    )?;
    tx.run(
        "UPDATE cert SET first_used = $2 WHERE no = $1 AND first_used = 0",
        &[&row.no.0, &at.unix().max(1)],
    )?;
    tx.run(
        "UPDATE device SET version = version + 1,
           forgiven = CASE WHEN head = $2 THEN 0 ELSE forgiven END WHERE no = $1",
        &[&row.device.0, &row.no.0],
    )?;
    let event = Event::CertificateFirstUsed {
        serial: row.serial.clone(),
        service: service.to_owned(),
    };
    let entry = Entry {
        tenant: row.tenant,
        ..Entry::new(actor.clone(), at, event)
    };
    tx.log(&entry.about(row.device, &row.device_id).on(row.no))?;
    Ok(())
}

/// The services that saw a certificate, each with its first time.
pub fn of_certificate(
    tx: &ReadTx<'_>,
    no: CertificateNo,
) -> Result<Vec<(String, Time)>, StoreError> {
    tx.all(
        "SELECT service, first FROM sighting WHERE cert = $1 ORDER BY first, service",
        &[&no.0],
        |row| Ok((row.get(0)?, row.time(1)?)),
    )
}
