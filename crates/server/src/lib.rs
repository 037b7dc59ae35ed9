//! The server and the command line of Tenure: every protocol, page and verb turns bytes into one of
//! the engine's four verbs, and its answer back into bytes.
//!
//! **Absences.** No SQL text, no signing key of an issuer, no policy: nothing here can make a
//! certificate without the engine's consent.
//!
//! Read first: [`listen::Bound`] (a listener, from accept to graceful stop) and [`peer::Peer`] (what
//! a handler knows about the other side).

/// Requests allocate in one thread and free in another, which the C library's allocator pays for
/// with a tenth of all processor time.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

pub mod adapter;
pub mod api;
pub mod cli;
pub mod config;
pub mod decision;
pub mod demo;
pub mod drill;
pub mod enroll;
mod file_body;
pub mod hook;
pub mod hostile;
pub mod init;
pub mod limits;
pub mod listen;
pub mod log;
pub mod metrics;
pub mod passphrase;
pub mod peer;
pub mod prober;
pub mod problem;
pub mod run_file;
pub mod serve;
pub mod start;
pub mod status;
pub mod stream;
mod sums;
pub mod tls;
pub mod ui;
