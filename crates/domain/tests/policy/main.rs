//! What the policy decides, with real keys, requests and certificates.

mod decide;
mod explain;
mod facts;
mod fit;
mod fixture;
mod manual;
mod manufacturer;
mod plan;
mod properties;
mod renewal;
mod secret;
