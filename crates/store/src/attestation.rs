//! Attestation results: the newest of each verifier for each device. All of them are in the record.

use tenure_domain::attestation::{Attestation, AttestationResult, VERIFIERS_MAX};
use tenure_domain::event::Event;
use tenure_domain::{Actor, Device, DeviceNo};
use tenure_x509::Time;

use crate::error::StoreError;
use crate::stamp::Stamp;
use crate::tx::{ReadTx, Tx};

/// What is known of a device from one verifier.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attested {
    /// What it says.
    pub said: Attestation,
    /// When that was reported.
    pub reported: Time,
}

/// What became of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Taken {
    /// It is what counts now.
    Newest,
    /// It is on record, and what the verifier said before goes on to count.
    Recorded,
    /// It was on record already; nothing was written.
    Known,
    /// Too many verifiers speak of the device; nothing was written.
    TooMany,
}

/// Records what a verifier says of a device.
pub fn report(
    tx: &mut Tx<'_>,
    device: &Device,
    said: &Attestation,
    actor: &Actor,
    now: Time,
) -> Result<Taken, StoreError> {
    let known = of_device(tx, device.no)?;
    let before = known.iter().find(|it| it.said.verifier == said.verifier);
    if before.is_some_and(|before| before.said == *said) {
        tx.excuse("this attestation result is on record");
        return Ok(Taken::Known);
    }
    if before.is_none() && known.len() >= VERIFIERS_MAX {
        tx.excuse("too many verifiers speak of the device");
        return Ok(Taken::TooMany);
    }
    let is_newest = before.is_none_or(|before| said.supersedes(&before.said));
    if is_newest {
        tx.run(
            "INSERT INTO attestation(device, verifier, result, made, reported, evidence)
             VALUES($1, $2, $3, $4, $5, $6)
             ON CONFLICT(device, verifier) DO UPDATE SET result = $3, made = $4, reported = $5,
               evidence = $6",
            &[
                &device.no.0,
                &said.verifier.as_str(),
                &said.result.code(),
                &said.made.unix(),
                &now.unix(),
                &said.evidence,
            ],
        )?;
    }
    let event = Event::DeviceAttested {
        evidence_hash: said.evidence.clone(),
        made: said.made,
        result: said.result,
        verifier: said.verifier.to_string(),
    };
    let entry = Stamp::new(actor, now).entry(event);
    tx.log(&entry.about(device.no, &device.id))?;
    Ok(match is_newest {
        true => Taken::Newest,
        false => Taken::Recorded,
    })
}

/// What verifiers say of a device, by their names.
pub fn of_device(tx: &ReadTx<'_>, device: DeviceNo) -> Result<Vec<Attested>, StoreError> {
    let unreadable = |what| StoreError::Unreadable { what };
    tx.all(
        "SELECT verifier, result, made, reported, evidence FROM attestation WHERE device = $1
         ORDER BY verifier",
        &[&device.0],
        |row| {
            let said = Attestation {
                verifier: row
                    .text(0)?
                    .parse()
                    .map_err(|_| unreadable("attestation.verifier"))?,
                result: AttestationResult::from_code(row.get(1)?)
                    .ok_or(unreadable("attestation.result"))?,
                made: row.time(2)?,
                evidence: row.get(4)?,
            };
            Ok(Attested {
                said,
                reported: row.time(3)?,
            })
        },
    )
}
