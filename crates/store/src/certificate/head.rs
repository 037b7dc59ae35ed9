//! Moving the head: an operator decided which branch of a forked chain is the device's.

use tenure_domain::{CertificateNo, DeviceNo};

use crate::error::StoreError;
use crate::tx::{Touched, Tx};

/// Makes a certificate the head of its device's chain, and forgets what was forgiven. Part of a
/// decision that is recorded by whoever calls it.
pub fn make_head(tx: &mut Tx<'_>, device: DeviceNo, head: CertificateNo) -> Result<(), StoreError> {
    tx.run(
        "UPDATE device SET version = version + 1, head = $2, forgiven = 0 WHERE no = $1",
        &[&device.0, &head.0],
    )?;
    tx.run("UPDATE cert SET standstill = 0 WHERE no = $1", &[&head.0])?;
    tx.touch(Touched::Device(device.0));
    tx.touch(Touched::Certificate(head.0));
    Ok(())
}
