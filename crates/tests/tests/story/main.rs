//! Stories: the product as its users meet it, from outside.

mod agent;
mod attest;
mod blast;
mod broken;
mod decide;
mod demo;
mod drill;
mod enforce;
mod enroll;
mod exception;
mod factory;
mod feed;
mod hsm;
mod kill;
mod operate;
mod push;
mod redteam;
mod registry;
mod require;
mod restore;
mod retire;
mod rollover;
mod root;
mod run;
mod sessions;
mod status;
mod strongswan;
mod trust_store;
mod upgrade;
mod walk;

/// The program under test.
const TENURE: &str = env!("CARGO_BIN_EXE_tenure-under-test");
