//! What this crate promises, seen from outside: values, requests, certificates, lint and paths,
//! against other implementations where there are any.

mod certificate;
mod csr;
mod keys;
mod lint;
mod mutation;
mod path;
mod pkits;
mod support;
mod values;
mod vectors;
