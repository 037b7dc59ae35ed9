//! `tenure-agent`: gives one device its identity and keeps it fresh.

mod args;
mod feed;
mod pack;
mod report;
mod run;
mod trust_store;

use std::io::Read;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use clap::Parser;
use tenure_field::device::{Error, Keeper, Place, Progress, Proof};
use tenure_field::http::Identity;
use tenure_wire::est::Credentials;
use tenure_x509::{KeyKind, KeyPair, pem_certificates};
use zeroize::Zeroizing;

use args::{Args, Command, Enroll, Feed, TrustStore, Waiting};
use report::{Failure, Report};

#[tokio::main]
async fn main() -> ExitCode {
    let args = Args::parse();
    let report = Report::new(args.output());
    match act(&args, &report).await {
        Ok(code) => code,
        Err(failure) => report.failure(&failure),
    }
}

async fn act(args: &Args, report: &Report) -> Result<ExitCode, Failure> {
    let dir = &args.dir;
    match &args.command {
        Command::Enroll(enroll) => {
            let (keeper, proof) = set_up(dir, enroll).await?;
            let kind = kind(&keeper, enroll.key).await?;
            loop {
                let progress = keeper.enroll_once(&proof, kind).await?;
                match (progress, enroll.waiting()) {
                    (Progress::Pending { retry_after_s }, Waiting::UntilDecided) => {
                        report.pending(retry_after_s);
                        tokio::time::sleep(Duration::from_secs(retry_after_s.max(1))).await;
                    }
                    (progress, _) => return Ok(report.progress(&progress, dir)),
                }
            }
        }
        Command::Renew(renew) => {
            let keeper = Keeper::open(dir)?;
            let kind = kind(&keeper, renew.key).await?;
            let progress = keeper.renew_once(kind).await?;
            Ok(report.progress(&progress, dir))
        }
        Command::Status => Ok(report.status(&Keeper::open(dir)?.status().await?)),
        Command::Feed(Feed::Follow(asked)) => feed::follow(asked, report).await,
        Command::Feed(Feed::Status(kept)) => feed::status(kept, report),
        Command::Pack(asked) => pack::act(asked, report),
        Command::TrustStore(TrustStore::Report(asked)) => trust_store::report(asked, report).await,
        Command::Run(renew) => run::keep(&Keeper::open(dir)?, renew.key, report).await,
    }
}

/// The kind of key to make: as told, or as the server wishes.
async fn kind(keeper: &Keeper, told: Option<KeyKind>) -> Result<KeyKind, Error> {
    match told {
        Some(kind) => Ok(kind),
        None => keeper.wished_key().await,
    }
}

/// Checks what was given before anything is written.
async fn set_up(dir: &Path, enroll: &Enroll) -> Result<(Keeper, Proof), Failure> {
    let proof = match (&enroll.idevid_cert, &enroll.idevid_key) {
        (Some(cert), Some(key)) => Proof::Certificate(identity_from(cert, key)?),
        _ => Proof::Secret(
            Credentials::new(&enroll.id, &secret(enroll)?)
                .map_err(|error| Failure::usage(format!("the id or the secret: {error}")))?,
        ),
    };
    let anchors = read(&enroll.ca)?;
    let place = Place {
        url: enroll.url.clone(),
        label: enroll.label.clone(),
        device: enroll.id.clone(),
    };
    let keeper = Keeper::create(dir, place, &anchors)?;
    let kept = keeper.status().await?.current;
    match kept.filter(|current| !current.expired && !enroll.again) {
        None => Ok((keeper, proof)),
        Some(current) => Err(Failure::failed(format!(
            "there is an identity here already, good until {}; renew it, or use --again to enroll anew",
            current.not_after
        ))),
    }
}

fn secret(enroll: &Enroll) -> Result<Zeroizing<String>, Failure> {
    let text = match (&enroll.secret_file, &enroll.secret) {
        (Some(path), _) if path == Path::new("-") => {
            let mut text = Zeroizing::new(String::new());
            std::io::stdin()
                .take(4096)
                .read_to_string(&mut text)
                .map_err(|error| Failure::usage(format!("cannot read the secret: {error}")))?;
            text
        }
        (Some(path), _) => read(path)?,
        (None, Some(secret)) => Zeroizing::new(secret.clone()),
        (None, None) => {
            return Err(Failure::usage(
                "how shall this device prove itself? Give --secret-file, TENURE_SECRET, or \
                 --idevid-cert with --idevid-key",
            ));
        }
    };
    Ok(Zeroizing::new(text.trim().to_owned()))
}

/// Who we are, from a certificate with its chain and its key.
fn identity_from(cert: &Path, key: &Path) -> Result<Identity, Failure> {
    let unusable = |path: &Path, error| Failure::usage(format!("{}: {error}", path.display()));
    let chain = pem_certificates(&read(cert)?).map_err(|error| unusable(cert, error))?;
    let key_pair = KeyPair::from_pem(&read(key)?).map_err(|error| unusable(key, error))?;
    Ok(Identity {
        chain: chain.iter().map(|cert| cert.der().to_vec()).collect(),
        key: key_pair.to_pkcs8().map_err(|error| unusable(key, error))?,
    })
}

/// A whole file of text.
fn read(path: &Path) -> Result<Zeroizing<String>, Failure> {
    std::fs::read_to_string(path)
        .map(Zeroizing::new)
        .map_err(|error| Failure::usage(format!("cannot read {}: {error}", path.display())))
}
