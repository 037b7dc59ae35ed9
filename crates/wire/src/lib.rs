//! The messages of the protocols that devices and relying parties speak with us: bytes to values and
//! values to bytes. One folder per protocol.
//!
//! **Absences.** No I/O, no clock, no randomness, no devices, no policy: a wire message says what
//! was said, never who may say it. Anything that varies (time, a multipart boundary) is an
//! argument.
//!
//! Read first: [`est::EstPath`] (what was asked) and [`est::parse_enroll`] (with which bytes).

pub mod est;
pub mod ext_authz;
pub mod limits;
pub mod mqtt;
pub mod sse;
