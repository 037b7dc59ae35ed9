//! Certificates by the SHA-256 of their DER, for an index that is kept elsewhere: nothing is written
//! for it when a certificate is issued.

use tenure_domain::{CertificateNo, EventSeq};
use tenure_x509::sha256;

use crate::error::StoreError;
use crate::tx::ReadTx;

/// A certificate and the SHA-256 of its DER.
pub type Printed = (CertificateNo, [u8; 32]);

/// The certificates after one, by their numbers; at most `limit`.
pub fn printed_after(
    tx: &ReadTx<'_>,
    after: CertificateNo,
    limit: u32,
) -> Result<Vec<Printed>, StoreError> {
    tx.all(
        "SELECT no, der FROM cert_der WHERE no > $1 ORDER BY no LIMIT $2",
        &[&after.0, &limit],
        |row| Ok((CertificateNo(row.get(0)?), sha256(row.blob(1)?))),
    )
}

/// What was issued after an event, and the last event that was looked at; at most `limit` events are.
pub fn issued_after(
    tx: &ReadTx<'_>,
    seq: EventSeq,
    limit: u32,
) -> Result<(Vec<Printed>, EventSeq), StoreError> {
    let (mut printed, mut through) = (Vec::new(), seq);
    // The event's own DER: whatever else is recorded of a certificate, its DER never changes.
    tx.each::<StoreError>(
        "SELECT event.seq, event.cert, cert_der.der FROM event
         LEFT JOIN cert_der ON cert_der.no = event.cert AND event.kind = 23
         WHERE event.seq > $1 ORDER BY event.seq LIMIT $2",
        &[&seq.0, &limit],
        |row| {
            through = EventSeq(row.get(0)?);
            if let Some(der) = row.get::<Option<Vec<u8>>>(2)? {
                printed.push((CertificateNo(row.get(1)?), sha256(&der)));
            }
            Ok(())
        },
    )?;
    Ok((printed, through))
}
