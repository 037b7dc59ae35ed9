//! The command line: noun, then verb. It speaks the public API like everyone else; only what must
//! work without a running server (`init`, `serve`, keys, restoring a backup) touches the data
//! directory itself.

use std::path::PathBuf;
use std::pin::Pin;
use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};

pub mod api;
pub mod exit;
pub mod output;
pub mod session;

mod ask;
mod attest;
mod backup;
mod blast;
mod cert;
mod compromise;
mod decide;
mod device;
mod drill;
mod exception;
mod feed;
mod finding;
mod hook;
mod import;
mod incident;
mod issuer;
mod key;
mod log;
mod pack;
mod permit;
mod policy;
mod probe;
mod record;
mod registry;
mod relying_party;
mod stream;
#[cfg(test)]
mod tests;
mod token;
mod trust_store;

use exit::Failure;
use output::Output;
use session::Session;

use crate::limits::PAGE_MAX;

/// Identity control plane for device fleets.
#[derive(Debug, Parser)]
#[command(
    name = "tenure",
    version,
    max_term_width = 100,
    arg_required_else_help = true
)]
pub struct Cli {
    #[command(flatten)]
    reach: Reach,
    /// Print JSON instead of text.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    noun: Noun,
}

/// Where the server is. On the server's own machine `--data` is enough; elsewhere give the URL, the
/// token and the root certificate, or `tenure login` once.
#[derive(Clone, Debug, Default, Args)]
pub struct Reach {
    /// The server's data directory.
    #[arg(long, global = true, env = "TENURE_DATA", value_name = "DIR")]
    pub data: Option<PathBuf>,
    /// The operator listener, for example <https://pki.example:9443>.
    #[arg(long, global = true, env = "TENURE_URL", value_name = "URL")]
    pub url: Option<String>,
    /// The token that says who you are. Prefer the environment or `tenure login`: other users can
    /// see a command line.
    #[arg(
        long,
        global = true,
        env = "TENURE_TOKEN",
        hide_env_values = true,
        value_name = "TOKEN"
    )]
    pub token: Option<String>,
    /// The root certificate (PEM) the server's certificate must come from.
    #[arg(long, global = true, env = "TENURE_CA", value_name = "FILE")]
    pub ca: Option<PathBuf>,
}

#[derive(Debug, Subcommand)]
enum Noun {
    /// Make a new data directory: root, issuing CA, keys, configuration, first token.
    Init(crate::init::Init),
    /// Serve a data directory until SIGTERM.
    Serve(crate::serve::Serve),
    /// Show the whole story on this machine, then keep serving it.
    Demo(crate::demo::Demo),
    /// Remember a server, its root and a token for later commands.
    Login(session::Login),
    /// Things that hold keys.
    #[command(subcommand)]
    Device(device::Verb),
    /// Certificates, ours and found.
    #[command(subcommand)]
    Cert(cert::Verb),
    /// Certification authorities.
    #[command(subcommand)]
    Issuer(issuer::Verb),
    /// Who may have which certificate.
    #[command(subcommand)]
    Policy(policy::Verb),
    /// The tamper-evident record.
    #[command(subcommand)]
    Log(log::Verb),
    /// Which certificates were active, expired, held or revoked at a time.
    AsOf(record::AsOf),
    /// Events of the record, oldest first, or with --newest newest first; or the newest of one device,
    /// newest last.
    Events(record::Events),
    /// Follow trust changes as they happen: withdrawals, suspensions and their end.
    Stream(stream::Stream),
    /// Who answers for devices.
    #[command(subcommand)]
    Owner(registry::OwnerVerb),
    /// Places, as a tree.
    #[command(subcommand)]
    Site(registry::SiteVerb),
    /// Kinds of device.
    #[command(subcommand)]
    Class(registry::ClassVerb),
    /// What devices talk to, by the name its users give it.
    #[command(subcommand)]
    Service(registry::ServiceVerb),
    /// Where devices are let in or turned away.
    #[command(subcommand)]
    RelyingParty(relying_party::Verb),
    /// What relying parties should hold, and what they said they applied.
    #[command(subcommand)]
    Feed(feed::Verb),
    /// What a relying party should hold, in a file for those that no network leads to.
    #[command(subcommand)]
    Pack(pack::Verb),
    /// What relying parties do with canaries: identities made to be tried.
    #[command(subcommand)]
    Probe(probe::Verb),
    /// Show whom it concerns that something is no longer to be trusted.
    Blast(blast::Asked),
    /// Whether a device may be let in, and why.
    #[command(subcommand)]
    Decide(decide::Decide),
    /// What is known of a device.
    #[command(subcommand)]
    Trust(decide::Trust),
    /// What does not count against a device, a class or a site, for a time.
    #[command(subcommand)]
    Exception(exception::Verb),
    /// Let another operator withdraw more than one may alone.
    #[command(subcommand)]
    Permit(permit::Verb),
    /// Keys and issuers in other hands.
    #[command(subcommand)]
    Compromise(compromise::Verb),
    /// Rehearse what must work on the day it is needed.
    #[command(subcommand)]
    Drill(drill::Verb),
    /// Whom relying parties trust, as observed and as meant.
    #[command(subcommand)]
    TrustStore(trust_store::Verb),
    /// Trust anchors: where each was observed, and what rests on it.
    #[command(subcommand)]
    Anchor(trust_store::AnchorVerb),
    /// Makers whose factory identities are accepted.
    #[command(subcommand)]
    Manufacturer(registry::ManufacturerVerb),
    /// Requests that wait for a decision, and strangers in quarantine.
    #[command(subcommand)]
    Ask(ask::Verb),
    /// What must not happen and did.
    #[command(subcommand)]
    Incident(incident::Verb),
    /// What is not as it should be, in one list.
    #[command(subcommand)]
    Finding(finding::Verb),
    /// Who is told of trust changes, or has sessions ended by us.
    #[command(subcommand)]
    Hook(hook::Verb),
    /// Who may use this API.
    #[command(subcommand)]
    Token(token::Verb),
    /// The keys in the data directory, and their passphrase.
    #[command(subcommand)]
    Key(key::Verb),
    /// Copies of everything that a restored server needs.
    #[command(subcommand)]
    Backup(backup::Verb),
    /// Check that everything is as it should be, and say what to do where it is not.
    Doctor,
}

/// Runs the command line of this process.
pub fn main() -> ExitCode {
    let cli = Cli::parse();
    let output = Output::new(if cli.json {
        output::Form::Json
    } else {
        output::Form::Text
    });
    match run(cli, &output) {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            output.failure(&failure);
            ExitCode::from(failure.code())
        }
    }
}

fn run(cli: Cli, output: &Output) -> Result<(), Failure> {
    let data = cli.reach.data.as_deref();
    match &cli.noun {
        Noun::Init(init) => return here(crate::init::command(init, data, output)),
        Noun::Serve(serve) => return here(crate::serve::command(serve, data)),
        Noun::Demo(demo) => return here(crate::demo::command(demo, data, output)),
        _ => {}
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::failed(format!("cannot start: {error}")))?;
    runtime.block_on(remote(cli.noun, &cli.reach, output))
}

/// What works in a data directory itself, on all processors.
fn here(work: impl Future<Output = Result<(), Failure>>) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::failed(format!("cannot start: {error}")))?;
    runtime.block_on(work)
}

/// Everything that asks a server. Boxed, so that the commands are compiled once, and not with each way
/// to wait for them.
fn remote<'a>(
    noun: Noun,
    reach: &'a Reach,
    output: &'a Output,
) -> Pin<Box<dyn Future<Output = Result<(), Failure>> + 'a>> {
    Box::pin(carry_out(noun, reach, output))
}

async fn carry_out(noun: Noun, reach: &Reach, output: &Output) -> Result<(), Failure> {
    if let Noun::Login(login) = &noun {
        return session::login(login, reach, output).await;
    }
    let noun = match noun {
        Noun::Key(verb) => return key::run(verb, reach.data.as_deref(), output).await,
        Noun::Issuer(issuer::Verb::Add(add)) => {
            return issuer::add::run(&add, reach.data.as_deref(), output).await;
        }
        Noun::Issuer(issuer::Verb::Rollover(issuer::rollover::Verb::Begin(begin))) => {
            return issuer::add::begin(&begin, reach.data.as_deref(), output).await;
        }
        Noun::Issuer(issuer::Verb::CrlRefresh(refresh)) => {
            return issuer::crl_refresh(&refresh, reach.data.as_deref(), output).await;
        }
        Noun::Backup(verb) => match backup::offline(verb, reach.data.as_deref(), output).await? {
            Some(verb) => Noun::Backup(verb),
            None => return Ok(()),
        },
        noun => noun,
    };
    let session = Session::find(reach)?;
    match noun {
        // Done before a session was looked for.
        Noun::Login(_)
        | Noun::Init(_)
        | Noun::Serve(_)
        | Noun::Demo(_)
        | Noun::Key(_)
        | Noun::Backup(backup::Verb::Verify { .. } | backup::Verb::Restore { .. }) => Ok(()),
        Noun::Device(verb) => device::run(verb, &session, output).await,
        Noun::Cert(verb) => cert::run(verb, &session, output).await,
        Noun::Issuer(verb) => issuer::run(verb, &session, output).await,
        Noun::Policy(verb) => policy::run(verb, &session, output).await,
        Noun::Log(verb) => log::run(verb, &session, output).await,
        Noun::AsOf(asked) => record::as_of(asked, &session, output).await,
        Noun::Events(asked) => record::events(asked, &session, output).await,
        Noun::Stream(asked) => stream::run(asked, &session, output).await,
        Noun::Owner(verb) => registry::owner(verb, &session, output).await,
        Noun::Site(verb) => registry::site(verb, &session, output).await,
        Noun::Class(verb) => registry::class(verb, &session, output).await,
        Noun::Service(verb) => registry::service(verb, &session, output).await,
        Noun::RelyingParty(verb) => relying_party::run(verb, &session, output).await,
        Noun::Feed(verb) => feed::run(verb, &session, output).await,
        Noun::Pack(verb) => pack::run(verb, &session, output).await,
        Noun::Probe(verb) => probe::run(verb, &session, output).await,
        Noun::Blast(asked) => blast::run(asked, &session, output).await,
        Noun::Decide(verb) => decide::decide(verb, &session, output).await,
        Noun::Trust(verb) => decide::trust(verb, &session, output).await,
        Noun::Exception(verb) => exception::run(verb, &session, output).await,
        Noun::Permit(verb) => permit::run(verb, &session, output).await,
        Noun::TrustStore(verb) => trust_store::run(verb, &session, output).await,
        Noun::Anchor(verb) => trust_store::anchor(verb, &session, output).await,
        Noun::Compromise(verb) => compromise::run(verb, &session, output).await,
        Noun::Drill(verb) => drill::run(verb, &session, output).await,
        Noun::Manufacturer(verb) => registry::manufacturer(verb, &session, output).await,
        Noun::Ask(verb) => ask::run(verb, &session, output).await,
        Noun::Incident(verb) => incident::run(verb, &session, output).await,
        Noun::Finding(verb) => finding::run(verb, &session, output).await,
        Noun::Hook(verb) => hook::run(verb, &session, output).await,
        Noun::Token(verb) => token::run(verb, &session, output).await,
        Noun::Backup(backup::Verb::Create { to }) => {
            backup::create(to.as_deref(), &session, output).await
        }
        Noun::Doctor => record::doctor(&session, output).await,
    }
}

/// Which part of a list to print.
#[derive(Clone, Debug, Args)]
pub struct Page {
    #[command(flatten)]
    limit: Limit,
    /// Go on where an earlier list ended: what it said on standard error.
    #[arg(long, value_name = "TEXT", allow_hyphen_values = true)]
    cursor: Option<String>,
}

/// How many items a list shows at most.
#[derive(Clone, Copy, Debug, Args)]
pub struct Limit {
    /// Most items to print; 0 prints all.
    #[arg(long, default_value_t = 1_000)]
    limit: u64,
}

impl Limit {
    /// How many to ask for where so many are known; none once that is enough.
    fn left(self, known: usize) -> Option<u32> {
        let left = match self.limit {
            0 => u64::from(PAGE_MAX),
            limit => limit.saturating_sub(known as u64).min(PAGE_MAX.into()),
        };
        u32::try_from(left).ok().filter(|left| *left > 0)
    }
}

/// Agreement given beforehand.
#[derive(Clone, Copy, Debug, Args)]
pub struct Agreed {
    /// Do it without asking.
    #[arg(long)]
    yes: bool,
}
