//! The command line.

use std::path::PathBuf;

use clap::{Parser, Subcommand};
use tenure_x509::KeyKind;

use crate::feed::Rounds;
use crate::report::Output;

/// Gives this device its identity and keeps it fresh.
#[derive(Parser)]
#[command(name = "tenure-agent", version, max_term_width = 100)]
pub struct Args {
    /// Where the identity is kept: DIR/current holds key.pem, certificate.pem and chain.pem
    #[arg(
        long,
        global = true,
        env = "TENURE_AGENT_DIR",
        default_value = "/var/lib/tenure-agent"
    )]
    pub dir: PathBuf,
    /// Print one JSON value instead of text
    #[arg(long, global = true)]
    json: bool,
    /// What to do
    #[command(subcommand)]
    pub command: Command,
}

/// What to do.
#[derive(Subcommand)]
pub enum Command {
    /// Get a first identity, with a one-time secret or the manufacturer's certificate
    Enroll(Enroll),
    /// Get a successor of the identity now, with a new key
    Renew(Renew),
    /// Show the identity and when it will be renewed
    Status,
    /// Stay, and renew in time
    Run(Renew),
    /// Keep what a relying party trusts and refuses up to date
    #[command(subcommand)]
    Feed(Feed),
    /// The same where no network leads: from files that are carried
    #[command(subcommand)]
    Pack(Pack),
    /// Say whom a relying party really trusts
    #[command(subcommand)]
    TrustStore(TrustStore),
}

/// What to do about a trust store.
#[derive(Subcommand)]
pub enum TrustStore {
    /// Read the files of a trust store and report every anchor in them
    Report(Observe),
}

/// Looking at a trust store.
#[derive(clap::Args)]
pub struct Observe {
    /// The file that `tenure feed connect` wrote
    #[arg(long, value_name = "FILE")]
    pub connection: PathBuf,
    /// A file of the trust store (PEM or DER), or a directory of such files; may be repeated
    #[arg(long, value_name = "PATH", required = true)]
    pub file: Vec<PathBuf>,
    /// Stay, look again every so many seconds, and report what has changed; everything once an hour
    #[arg(long, value_name = "SECONDS", value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub every: Option<u64>,
}

/// What to do about packs.
#[derive(Subcommand)]
pub enum Pack {
    /// Take a pack, have the hook take it into use, and write the receipt
    Import(Import),
    /// Write the receipt of what is in use once more
    Receipt {
        #[command(flatten)]
        kept: Kept,
        /// Where to write it
        #[arg(long, value_name = "FILE")]
        out: PathBuf,
    },
}

/// Taking a pack.
#[derive(clap::Args)]
pub struct Import {
    /// The pack
    pub file: PathBuf,
    #[command(flatten)]
    pub kept: Kept,
    /// The command that makes the relying party use what is in place
    #[arg(long, value_name = "COMMAND")]
    pub hook: Option<String>,
    /// Where to write the receipt
    #[arg(long, value_name = "FILE")]
    pub receipt: Option<PathBuf>,
}

/// What to do about a feed.
#[derive(Subcommand)]
pub enum Feed {
    /// Fetch what is new, have the hook take it into use, say so; and wait for more
    Follow(Box<Follow>),
    /// Show what is held and how old it may be called: exit code 0 if fresh or warn, 10 if restrict,
    /// 11 if closed, 12 if alarm
    Status(Kept),
}

/// Where a feed comes from and where it is kept.
#[derive(clap::Args)]
pub struct Kept {
    /// The file that `tenure feed connect` wrote
    #[arg(long, value_name = "FILE")]
    pub connection: PathBuf,
    /// Where to keep it: DIR/current holds bundle.pem and crl.pem
    #[arg(long, value_name = "DIR")]
    pub into: PathBuf,
}

/// Following a feed.
#[derive(clap::Args)]
pub struct Follow {
    #[command(flatten)]
    pub kept: Kept,
    /// The command that makes the relying party use what is in place, for example
    /// 'nginx -s reload'; nothing is acknowledged before it succeeds
    #[arg(long, value_name = "COMMAND")]
    pub hook: Option<String>,
    /// How many seconds the server may hold each question until there is news, at most 60
    #[arg(long, default_value_t = 30)]
    pub wait: u64,
    /// Also report the trust store that the relying party really reads: a file, or a directory; may be
    /// repeated
    #[arg(long, value_name = "PATH")]
    pub trust_store: Vec<PathBuf>,
    /// How often to look at it, in seconds
    #[arg(long, default_value_t = 60, value_name = "SECONDS",
          value_parser = clap::value_parser!(u64).range(1..=86_400))]
    pub look_every: u64,
    /// Look once and end
    #[arg(long)]
    once: bool,
    #[command(flatten)]
    pub told: Told,
}

/// Who tells of news.
#[derive(clap::Args)]
pub struct Told {
    /// Be told of news by the server's stream (server-sent events), and look every minute anyway
    #[arg(long, conflicts_with_all = ["mqtt", "once"])]
    pub stream: bool,
    /// Be told of news by an MQTT broker, and look every minute anyway: `mqtts://HOST[:PORT]`
    #[arg(
        long,
        value_name = "URL",
        requires = "mqtt_topic",
        conflicts_with = "once"
    )]
    pub mqtt: Option<String>,
    /// The topic: the server's hook publishes to TOPIC/feed/NAME
    #[arg(long, value_name = "TOPIC", requires = "mqtt")]
    pub mqtt_topic: Option<String>,
    /// What the broker's certificate must lead to (PEM)
    #[arg(long, value_name = "FILE", requires = "mqtt")]
    pub mqtt_ca: Option<PathBuf>,
    /// The certificate to present to the broker (PEM, with its chain)
    #[arg(long, value_name = "FILE", requires_all = ["mqtt", "mqtt_key"])]
    pub mqtt_cert: Option<PathBuf>,
    /// The key of that certificate (PEM)
    #[arg(long, value_name = "FILE", requires = "mqtt_cert")]
    pub mqtt_key: Option<PathBuf>,
    /// A file with USER:PASSWORD for the broker
    #[arg(long, value_name = "FILE", requires = "mqtt")]
    pub mqtt_secret_file: Option<PathBuf>,
}

impl Follow {
    /// How often to look.
    pub fn rounds(&self) -> Rounds {
        match self.once {
            true => Rounds::One,
            false => Rounds::Endless,
        }
    }
}

/// Get a first identity.
#[derive(clap::Args)]
pub struct Enroll {
    /// The EST server: https://host:port
    #[arg(long, env = "TENURE_EST_URL")]
    pub url: String,
    /// The trust anchor (PEM): root.pem of the server
    #[arg(long, env = "TENURE_CA", value_name = "FILE")]
    pub ca: PathBuf,
    /// The device id
    #[arg(long)]
    pub id: String,
    /// The EST label, if it is not to be the device class's own profile
    #[arg(long)]
    pub label: Option<String>,
    /// A file with the one-time secret; - reads it from standard input
    #[arg(long, value_name = "FILE")]
    pub secret_file: Option<PathBuf>,
    /// The one-time secret: only through the environment, where other users do not see it
    #[arg(skip = std::env::var("TENURE_SECRET").ok())]
    pub secret: Option<String>,
    /// The manufacturer's certificate of this device (PEM, with its chain)
    #[arg(
        long,
        value_name = "FILE",
        requires = "idevid_key",
        conflicts_with = "secret_file"
    )]
    pub idevid_cert: Option<PathBuf>,
    /// The key of that certificate (PEM)
    #[arg(long, value_name = "FILE", requires = "idevid_cert")]
    pub idevid_key: Option<PathBuf>,
    /// The kind of a new key: p256, p384, ed25519, rsa2048, rsa3072 or rsa4096; what the server
    /// asks for, if not given
    #[arg(long, value_name = "KIND")]
    pub key: Option<KeyKind>,
    /// If it has to be approved first, stay and ask again until it is decided
    #[arg(long)]
    wait: bool,
    /// Enroll even though there is an identity here that is still good
    #[arg(long)]
    pub again: bool,
}

/// Renewing.
#[derive(clap::Args)]
pub struct Renew {
    /// The kind of a new key; what the server asks for, if not given
    #[arg(long, value_name = "KIND")]
    pub key: Option<KeyKind>,
}

/// What to do while a server has not decided yet.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Waiting {
    /// Ask once.
    No,
    /// Ask until there is an answer.
    UntilDecided,
}

impl Args {
    /// How to print.
    pub fn output(&self) -> Output {
        match self.json {
            true => Output::Json,
            false => Output::Text,
        }
    }
}

impl Enroll {
    /// Whether to stay.
    pub fn waiting(&self) -> Waiting {
        match self.wait {
            true => Waiting::UntilDecided,
            false => Waiting::No,
        }
    }
}
