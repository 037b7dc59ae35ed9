//! A small HTTP/1.1 client with pinned trust: the way out for the agent, the command line and the
//! demo.
//!
//! It trusts what it was given and nothing else (no system store), presents at most one identity,
//! keeps connections open between requests, bounds everything it reads, and repeats nothing it
//! has sent.

mod client;
mod error;
mod flow;
mod follow;
mod tls;
mod url;

pub use client::{Client, Response, Settings, Timeouts};
pub use error::{Error, Stage};
pub use flow::{Begun, Flow, SILENCE_MAX};
pub use follow::{Followed, Following};
pub use tls::{Identity, Trust};
pub(crate) use tls::{client_config, provider, root_store};
pub use url::{Scheme, Url};

#[cfg(test)]
mod tests;
