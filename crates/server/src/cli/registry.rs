//! `tenure owner|site|class|service|manufacturer …`: what surrounds a device.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::exit::Failure;
use super::output::{Column, Output, note};
use super::session::Session;
use super::{Page, api, device};

#[derive(Debug, Subcommand)]
pub enum OwnerVerb {
    /// Add an owner, or change how to reach it; what is not named stays.
    Add {
        /// Its name.
        name: String,
        /// How to reach the team.
        #[arg(long)]
        contact: Option<String>,
    },
    /// List owners.
    List(Page),
    /// Show one owner.
    Show {
        /// Its name.
        name: String,
    },
}

#[derive(Debug, Subcommand)]
pub enum SiteVerb {
    /// Add a site, or move it in the tree; what is not named stays.
    Add {
        /// Its name.
        name: String,
        /// The site around it; an empty name takes it out of any.
        #[arg(long)]
        parent: Option<String>,
    },
    /// List sites.
    List(Page),
    /// Show one site.
    Show {
        /// Its name.
        name: String,
    },
}

#[derive(Debug, Subcommand)]
pub enum ClassVerb {
    /// Add a class, or change it; what is not named stays.
    Add(Class),
    /// List classes.
    List(Page),
    /// Show one class.
    Show {
        /// Its name.
        name: String,
    },
}

#[derive(Debug, Args)]
pub struct Class {
    /// Its name.
    name: String,
    /// The profile its devices get when they do not name one; `device` for a new class.
    #[arg(long)]
    profile: Option<String>,
    /// always, intermittent or offline.
    #[arg(long)]
    connectivity: Option<String>,
    /// isolated, internal or internet.
    #[arg(long)]
    exposure: Option<String>,
    /// low, medium, high or safety.
    #[arg(long)]
    impact: Option<String>,
    /// autonomous, assisted, manual or none.
    #[arg(long)]
    renewability: Option<String>,
    /// Whether the server may make keys for its devices: forbidden or allowed.
    #[arg(long)]
    server_keygen: Option<String>,
    /// What becomes of replaced certificates: keep-until-expiry or revoke-when-confirmed.
    #[arg(long)]
    replaced: Option<String>,
    /// Renewals with a changed key forgiven before it counts as a clone, 1 to 3.
    #[arg(long)]
    fork_allowance: Option<u8>,
}

#[derive(Debug, Subcommand)]
pub enum ServiceVerb {
    /// Add a service, or change its address; what is not named stays.
    Add {
        /// Its name.
        name: String,
        /// Where it is, for people.
        #[arg(long)]
        address: Option<String>,
    },
    /// List services.
    List(Page),
    /// Show one service.
    Show {
        /// Its name.
        name: String,
    },
}

#[derive(Debug, Subcommand)]
pub enum ManufacturerVerb {
    /// Accept a maker's factory identities, or replace its roots.
    Add {
        /// Its short name.
        name: String,
        /// Its root certificates, PEM.
        #[arg(long, value_name = "FILE")]
        roots: PathBuf,
        /// When its chains must have been valid: now or at-not-before.
        #[arg(long)]
        chain_time: Option<String>,
    },
    /// List manufacturers.
    List(Page),
    /// Show one manufacturer.
    Show {
        /// Its short name.
        name: String,
    },
}

pub async fn owner(verb: OwnerVerb, session: &Session, output: &Output) -> Result<(), Failure> {
    const KIND: Kind = Kind {
        one: "owner",
        path: "/owners",
        columns: &[("NAME", "name"), ("CONTACT", "contact")],
    };
    match verb {
        OwnerVerb::Add { name, contact } => {
            let named = json!({ "name": name, "contact": contact });
            KIND.put(named, session, output).await.map(drop)
        }
        OwnerVerb::List(page) => KIND.list(page, session, output).await,
        OwnerVerb::Show { name } => KIND.show(&name, session, output).await,
    }
}

pub async fn site(verb: SiteVerb, session: &Session, output: &Output) -> Result<(), Failure> {
    const KIND: Kind = Kind {
        one: "site",
        path: "/sites",
        columns: &[("NAME", "name"), ("PARENT", "parent")],
    };
    match verb {
        SiteVerb::Add { name, parent } => {
            let named = json!({ "name": name, "parent": parent });
            KIND.put(named, session, output).await.map(drop)
        }
        SiteVerb::List(page) => KIND.list(page, session, output).await,
        SiteVerb::Show { name } => KIND.show(&name, session, output).await,
    }
}

pub async fn class(verb: ClassVerb, session: &Session, output: &Output) -> Result<(), Failure> {
    const KIND: Kind = Kind {
        one: "class",
        path: "/classes",
        columns: &[
            ("NAME", "name"),
            ("PROFILE", "profile"),
            ("CONNECTIVITY", "connectivity"),
            ("EXPOSURE", "exposure"),
            ("IMPACT", "impact"),
            ("RENEWABILITY", "renewability"),
        ],
    };
    match verb {
        ClassVerb::Add(class) => KIND.put(class.json(), session, output).await.map(drop),
        ClassVerb::List(page) => KIND.list(page, session, output).await,
        ClassVerb::Show { name } => KIND.show(&name, session, output).await,
    }
}

pub async fn service(verb: ServiceVerb, session: &Session, output: &Output) -> Result<(), Failure> {
    const KIND: Kind = Kind {
        one: "service",
        path: "/services",
        columns: &[("NAME", "name"), ("ADDRESS", "address")],
    };
    match verb {
        ServiceVerb::Add { name, address } => {
            let named = json!({ "name": name, "address": address });
            KIND.put(named, session, output).await.map(drop)
        }
        ServiceVerb::List(page) => KIND.list(page, session, output).await,
        ServiceVerb::Show { name } => KIND.show(&name, session, output).await,
    }
}

pub async fn manufacturer(
    verb: ManufacturerVerb,
    session: &Session,
    output: &Output,
) -> Result<(), Failure> {
    const KIND: Kind = Kind {
        one: "manufacturer",
        path: "/manufacturers",
        columns: &[
            ("NAME", "name"),
            ("ROOTS", "roots"),
            ("CHAIN TIME", "chain_time"),
            ("FLAWS", "flaws"),
        ],
    };
    match verb {
        ManufacturerVerb::Add {
            name,
            roots,
            chain_time,
        } => {
            let pem = String::from_utf8(device::read_input(&roots)?)
                .map_err(|_| Failure::Usage(format!("{} is not PEM", roots.display())))?;
            let named = json!({ "name": name, "roots_pem": pem, "chain_time": chain_time });
            let put = KIND.put(named, session, output).await?;
            for flaw in put["flaws"].as_array().into_iter().flatten() {
                note(&format!("warning: {}", flaw.as_str().unwrap_or_default()))?;
            }
            Ok(())
        }
        ManufacturerVerb::List(page) => KIND.list(page, session, output).await,
        ManufacturerVerb::Show { name } => KIND.show(&name, session, output).await,
    }
}

/// What the five nouns have in common.
struct Kind {
    one: &'static str,
    path: &'static str,
    columns: &'static [Column],
}

impl Kind {
    /// Adds what is named, or changes it where it is.
    async fn put(
        &self,
        named: Value,
        session: &Session,
        output: &Output,
    ) -> Result<Value, Failure> {
        let put = session.api().post(self.path, &api::given(named)).await?;
        let name = put["name"].as_str().unwrap_or_default();
        output.done(&format!("{} {name} is registered", self.one), &put)?;
        Ok(put)
    }

    async fn list(&self, page: Page, session: &Session, output: &Output) -> Result<(), Failure> {
        let listed = session.api().list(self.path, &[], &page);
        output.page(self.columns, listed).await
    }

    async fn show(&self, name: &str, session: &Session, output: &Output) -> Result<(), Failure> {
        output.record(&session.api().get(&self.at(name)).await?)
    }

    fn at(&self, name: &str) -> String {
        format!("{}/{}", self.path, api::segment(name))
    }
}

impl Class {
    fn json(&self) -> Value {
        json!({
            "name": self.name,
            "profile": self.profile,
            "connectivity": self.connectivity,
            "exposure": self.exposure,
            "impact": self.impact,
            "renewability": self.renewability,
            "server_keygen": self.server_keygen,
            "replaced": self.replaced,
            "fork_allowance": self.fork_allowance,
        })
    }
}
