//! The renewal chain of one device, and how a clone gives itself away: two holders of one key
//! cannot both extend one line.

use tenure_x509::KeyHash;

use crate::certificate::{CertificateRow, Standstill};
use crate::ids::CertificateNo;

/// What a renewal from certificate C means for the chain.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// C is the head: the chain grows.
    Extend,
    /// C was replaced by a head nobody has used, for this same key: the answer was lost.
    Replay(CertificateNo),
    /// C was replaced by a head nobody has used, for another key: the device may have lost its new
    /// key. The head is given up and the chain grows from C.
    Displace(CertificateNo),
    /// Two holders: freeze both branches.
    Fork {
        /// The head of the other branch.
        head: CertificateNo,
    },
}

/// Judges a renewal authenticated with `current` while `head` is the newest certificate of the
/// device. `forgiven` counts the displacements since the head was last seen in use.
pub fn judge(
    current: &CertificateRow,
    head: &CertificateRow,
    key: KeyHash,
    forgiven: u8,
    allowance: u8,
) -> Step {
    if current.no == head.no {
        return Step::Extend;
    }
    let is_unused_successor = head.predecessor == Some(current.no) && head.first_used.is_none();
    if !is_unused_successor || current.standstill == Standstill::Abandoned {
        return Step::Fork { head: head.no };
    }
    if head.key == key {
        return Step::Replay(head.no);
    }
    if forgiven < allowance {
        return Step::Displace(head.no);
    }
    Step::Fork { head: head.no }
}
