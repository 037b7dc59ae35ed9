//! `tenure issuer add` and `tenure issuer rollover begin`: the ceremony that gives a founded house
//! another issuer, without a server.

use std::path::Path;

use clap::{Args, ValueEnum};
use serde_json::{Value, json};
use tenure_domain::ids::Slug;
use tenure_domain::issuer::{Issuer, IssuerKind, IssuerState};
use tenure_domain::rollover::below;
use tenure_engine::ceremony::{Cross, Purpose};

use super::ground::{Access, Ground, Out};
use crate::cli::exit::Failure;
use crate::cli::output::Output;

#[derive(Debug, Args)]
pub struct Add {
    /// Its short name, for good: lower-case letters, digits and hyphens.
    #[arg(default_value = "idevid-1")]
    name: String,
    /// What it shall sign.
    #[arg(long, value_enum)]
    kind: Kind,
    /// The root that signs it, if it is not the house's first or the one that follows that.
    #[arg(long, value_name = "ROOT")]
    under: Option<String>,
    #[command(flatten)]
    access: Access,
    #[command(flatten)]
    out: Out,
}

#[derive(Debug, Args)]
pub struct Begin {
    /// The issuer that is to be followed. A root is followed by a root, and each issuer below it by one
    /// below the new root.
    name: String,
    /// The successor's short name, for good; the next number if not given.
    #[arg(long = "as", value_name = "NAME")]
    successor: Option<String>,
    /// The root's key is in other hands: the new root must not stand for it.
    #[arg(long)]
    stolen: bool,
    /// The root's key is lost: neither root can stand for the other.
    #[arg(long, conflicts_with = "stolen")]
    lost: bool,
    #[command(flatten)]
    access: Access,
    #[command(flatten)]
    out: Out,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
enum Kind {
    /// Identities for life (IEEE 802.1AR); it never ends.
    Idevid,
    /// Devices of a trust domain of their own; it signs for the profiles that name it.
    Issuing,
    /// Issuers of trust domains that have nothing above them in common with the others.
    Root,
}

/// Makes the keys, has the root sign the certificate and publishes the lists. Cut off anywhere, the
/// same command finishes it.
pub async fn run(add: &Add, data: Option<&Path>, output: &Output) -> Result<(), Failure> {
    let ground = Ground::open(&add.access, data)?;
    let issuer = match add.kind {
        Kind::Root if add.under.is_some() => {
            return Err(Failure::Usage(
                "a root signs itself: leave out --under".to_owned(),
            ));
        }
        Kind::Root => {
            let key = ground.new_root_key(&add.name, &add.out)?;
            let made = ground.engine.add_root(&key, None).await;
            made.map_err(Failure::failed)?
        }
        Kind::Idevid | Kind::Issuing => {
            let purpose = match add.kind {
                Kind::Idevid => Purpose::Lives,
                Kind::Issuing | Kind::Root => Purpose::Domain,
            };
            let root = ground.signing_root(add.under.as_deref())?;
            let root = ground.root_key(&root)?;
            ground.make(&add.name, purpose, &root).await?
        }
    };
    ground.close();
    let said = match issuer.kind {
        IssuerKind::IDevId => format!(
            "issuer {} is made and never ends; it signs profiles of kind idevid from the next start \
             of the server on",
            issuer.name
        ),
        IssuerKind::Issuing => format!(
            "issuer {} is made; from the next start of the server on it signs the profiles that name \
             it (issuer = \"{}\")",
            issuer.name, issuer.name
        ),
        IssuerKind::Root => format!(
            "root {} is made; nothing above it is shared with the others. Give it an issuing CA: \
             tenure issuer add NAME --kind issuing --under {}. {}",
            issuer.name,
            issuer.name,
            fingerprint_said(&issuer)
        ),
    };
    output.done(&said, &shown(&issuer))
}

/// Makes the successor of an issuer. It is prepared: nobody but canaries shows it yet.
pub async fn begin(begin: &Begin, data: Option<&Path>, output: &Output) -> Result<(), Failure> {
    let followed: Slug = begin
        .name
        .parse()
        .map_err(|error| Failure::Usage(format!("{error}")))?;
    let ground = Ground::open(&begin.access, data)?;
    if ground.known(&begin.name)?.kind == IssuerKind::Root {
        return begin_root(begin, &followed, &ground, output).await;
    }
    let name = match &begin.successor {
        Some(name) => name.clone(),
        None => ground.next_name(&begin.name),
    };
    let root = ground.engine.root_above(&followed);
    let root = ground.root_key(&*root.map_err(Failure::failed)?)?;
    let issuer = ground.make(&name, Purpose::Follow(followed), &root).await?;
    ground.close();
    output.done(
        &format!(
            "issuer {} is prepared to follow {}. Start the server, then let trust bundles carry it: \
             tenure issuer rollover distribute {}",
            issuer.name, begin.name, issuer.name
        ),
        &shown(&issuer),
    )
}

/// A root, the cross-certificates, and a successor for each issuer below the former root: what relying
/// parties are tried with.
async fn begin_root(
    begin: &Begin,
    followed: &Slug,
    ground: &Ground<'_>,
    output: &Output,
) -> Result<(), Failure> {
    let former = ground.known(&begin.name)?;
    let former_key = match begin.lost {
        true => None,
        false => Some(ground.root_key(&former)?),
    };
    let snapshot = ground.engine.snapshot();
    let begun = snapshot
        .issuers
        .iter()
        .find(|issuer| issuer.replaces == Some(former.no) && issuer.state == IssuerState::Prepared);
    let name = match (&begin.successor, begun) {
        (Some(name), _) => name.clone(),
        // One that was cut off is taken up.
        (None, Some(begun)) => begun.name.to_string(),
        (None, None) => ground.next_name(&begin.name),
    };
    let key = ground.new_root_key(&name, &begin.out)?;
    let engine = &ground.engine;
    let root = engine.add_root(&key, Some(followed)).await;
    let root = root.map_err(Failure::failed)?;
    let cross = match begin.stolen {
        true => Cross::NewWithOld,
        false => Cross::Both,
    };
    if let Some(former_key) = &former_key {
        let certified = engine.cross_certify(former_key, &key, cross).await;
        certified.map_err(Failure::failed)?;
    }
    for under in engine.to_be_followed(followed) {
        let name = ground.next_name(under.name.as_str());
        let follow = Purpose::Follow(under.name.clone());
        ground.make(&name, follow, &key).await?;
    }
    ground.trust_too(&root)?;
    let snapshot = engine.snapshot();
    ground.close();
    let named: Vec<_> = below(&snapshot.issuers, &root)
        .map(|issuer| issuer.name.as_str())
        .collect();
    let mut detail = shown(&root);
    if let Some(detail) = detail.as_object_mut() {
        detail.insert("below".to_owned(), json!(named));
    }
    output.done(
        &format!(
            "root {} is prepared to follow {}, with {} below it. Start the server, then let trust \
             bundles carry them: tenure issuer rollover distribute {}. {}",
            root.name,
            begin.name,
            named.join(", "),
            root.name,
            fingerprint_said(&root)
        ),
        &detail,
    )
}

fn fingerprint_said(root: &Issuer) -> String {
    let print = tenure_domain::text::hex(&root.certificate.fingerprint());
    format!("SHA-256 of its certificate: {print}")
}

fn shown(issuer: &Issuer) -> Value {
    json!({
        "name": issuer.name,
        "kind": issuer.kind.to_string(),
        "state": issuer.state.to_string(),
        "subject": issuer.subject().to_string(),
        "not_after": issuer.certificate.validity().not_after.to_string(),
        "shards": issuer.shards,
        "base_url": issuer.base_url,
        "fingerprint": tenure_domain::text::hex(&issuer.certificate.fingerprint()),
    })
}
