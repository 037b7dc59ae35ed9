//! `tenure serve`: opens what there is, answers until it is told to stop, closes.
//!
//! The order matters. The directory's lock comes first, so that a second server touches nothing.
//! Then the keys, so that a wrong passphrase is found before anyone is kept waiting. Then the
//! sockets. `run.json` comes last: who finds it finds a server that answers.

use std::future::Future;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use clap::Args;
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use rustls::sign::SigningKey;
use tenure_engine::duty::Duties;
use tenure_engine::feed::FEED_KEY;
use tenure_engine::signer::{Custody, Doors, Keyring, NewKey, OpenedBy, Passphrase};
use tenure_engine::store::{Options, Store};
use tenure_engine::{Clock, Engine, MESSAGES, Settings};
use tenure_x509::KeyKind;
use tokio::signal::unix::{SignalKind, signal};
use tokio::task::JoinSet;

use crate::adapter;
use crate::api;
use crate::cli::exit::Failure;
use crate::config::Config;
use crate::enroll::est;
use crate::listen::{Answers, Bound, Listener, Stop, StopSwitch, Transport};
use crate::metrics::Metrics;
use crate::passphrase::{Prompt, VARIABLE, Wanted};
use crate::run_file::RunFile;
use crate::start::StartError;
use crate::status::{self, ocsp::Ocsp};
use crate::tls::{ServerCertificate, access_config, device_config, handshake_key, operator_config};

/// `tenure serve`
#[derive(Clone, Debug, Default, Args)]
pub struct Serve {
    /// A file whose first line is the passphrase of the keys. Otherwise `passphrase_file` under
    /// `[keys]` in tenure.toml, TENURE_PASSPHRASE or a prompt.
    #[arg(long, value_name = "FILE")]
    pub passphrase_file: Option<PathBuf>,
}

/// A server that answers.
pub struct Running {
    engine: Engine,
    duties: Duties,
    listeners: JoinSet<()>,
    stop: StopSwitch,
    at: RunFile,
    data: PathBuf,
}

/// `tenure serve --data DIR`
///
/// # Errors
/// As [`serve`].
pub async fn command(asked: &Serve, data: Option<&Path>) -> Result<(), Failure> {
    let data = data.ok_or_else(|| Failure::Usage("say what to serve: --data DIR".to_owned()))?;
    Ok(serve(asked, data).await?)
}

/// Serves `data` until SIGTERM or SIGINT.
///
/// # Errors
/// It could not be started; nothing was changed, and the message says why.
pub async fn serve(serve: &Serve, data: &Path) -> Result<(), StartError> {
    let config = Config::load(data, |name| std::env::var(name).ok())?;
    crate::log::start(&config.log).map_err(StartError::Configuration)?;
    // Taken before anything is opened: a stop asked for during the start is not lost.
    let asked = stop_asked()?;
    allow_open_files();
    let running = Running::start(config, serve, data).await?;
    let RunFile {
        device,
        public,
        operator,
        ..
    } = running.at;
    tracing::info!(%device, %public, %operator, "serving");
    let why = asked.await;
    tracing::info!(why, "stopping");
    running.stop().await;
    tracing::info!("stopped");
    Ok(())
}

/// Allows this process as many open files as its administrator does. Shells and systemd hand out
/// 1,024 at first, for programs that know no more, and each connection takes one.
fn allow_open_files() {
    let limit = getrlimit(Resource::Nofile);
    let all = Rlimit {
        current: limit.maximum,
        ..limit
    };
    if let Err(error) = setrlimit(Resource::Nofile, all) {
        tracing::warn!(%error, "the limit of open files stays as it is");
    }
}

/// Resolves with the name of the first signal that asks for an end.
pub fn stop_asked() -> Result<impl Future<Output = &'static str>, StartError> {
    let listen = |kind| {
        signal(kind).map_err(|error| StartError::Other(format!("cannot wait for signals: {error}")))
    };
    let (mut term, mut int) = (
        listen(SignalKind::terminate())?,
        listen(SignalKind::interrupt())?,
    );
    Ok(async move {
        tokio::select! {
            _ = term.recv() => "SIGTERM",
            _ = int.recv() => "SIGINT",
        }
    })
}

impl Running {
    /// Starts everything. When this returns, all listeners accept.
    ///
    /// # Errors
    /// As [`serve`].
    pub async fn start(config: Config, serve: &Serve, data: &Path) -> Result<Running, StartError> {
        let hosts = config.server_names()?;
        let store = Store::open(data, Options::default())?;
        let file = serve.passphrase_file.clone().or_else(|| {
            config
                .keys
                .passphrase_file
                .as_ref()
                .map(|path| data.join(path))
        });
        let wanted = Wanted {
            what: "the keys",
            file: file.as_deref(),
            variable: VARIABLE,
            prompt: Prompt::Once,
        };
        let directory = data.join(&config.keys.directory);
        let passphrase = wanted.find()?;
        let ring = Keyring::open(&directory, &passphrase)?;
        make_messages_key(&ring, &passphrase);
        feed_key(&ring, &passphrase)?;
        drop(passphrase);
        let engine = Engine::start(
            store,
            ring.keys(),
            data,
            Clock::system(),
            Settings {
                hosts,
                revoked_alone_max: config.limits.revocations_alone_per_hour,
            },
        )?;
        // An expired certificate would lock everyone out, so it is renewed before anyone knocks.
        engine.renew_system().await?;

        let mut bound = Vec::new();
        for listener in Listener::ALL {
            if let Some(address) = config.listen.address(listener) {
                bound.push(Bound::bind(listener, address).await?);
            }
        }
        let (chain, key) = shown(&engine)?;
        let certificate = ServerCertificate::new(&chain, key).map_err(tls)?;
        let version = env!("CARGO_PKG_VERSION").to_owned();
        // Before anyone is answered: whatever is recorded next was done by this server.
        engine.record_started(&version).await?;
        let metrics = Metrics::new();
        let desk = api::Desk::new(engine.clone(), metrics.clone(), engine.directory());
        let (switch, stop) = Stop::new();
        desk.followers().end_with(stop.clone());
        let duties = engine.start_duties();
        let mut listeners = JoinSet::new();
        let mut addresses = Vec::new();
        for bound in bound {
            addresses.push((bound.listener(), bound.address()));
            let (transport, answers) = front(&bound, &engine, &config, &desk, &certificate)?;
            let (limits, edge) = (config.limits.clone(), metrics.edge(bound.listener()));
            let stop = stop.clone();
            listeners.spawn(async move {
                bound.serve(transport, answers, &limits, edge, stop).await;
            });
        }
        if config.probe.every_s > 0 {
            let every = Duration::from_secs(config.probe.every_s);
            listeners.spawn(desk.prober().clone().keep_on(every, stop.clone()));
        }
        listeners.spawn(crate::hook::keep_on(engine.clone(), stop.clone()));
        listeners.spawn(watch_house(desk.clone(), stop.clone()));
        let every = Duration::from_secs(config.drill.revoke_every_s);
        listeners.spawn(desk.driller().clone().keep_on(every, stop.clone()));
        listeners.spawn(follow_renewals(engine.clone(), certificate, stop));
        let address = |wanted: Listener| {
            let mut found = addresses.iter();
            let found = found.find(|(listener, _)| *listener == wanted);
            found.map(|(_, address)| *address)
        };
        let open = |wanted: Listener| {
            let name = wanted.name();
            address(wanted).ok_or_else(|| StartError::Other(format!("{name} is not listened on")))
        };
        let at = RunFile {
            pid: std::process::id(),
            version,
            device: open(Listener::Device)?,
            public: open(Listener::Public)?,
            operator: open(Listener::Operator)?,
            access: address(Listener::Access),
        };
        at.write(data)
            .map_err(|error| StartError::file("write into", data, &error))?;
        Ok(Running {
            engine,
            duties,
            listeners,
            stop: switch,
            at,
            data: data.to_owned(),
        })
    }

    /// Where it listens.
    pub fn at(&self) -> &RunFile {
        &self.at
    }

    /// What it serves.
    pub fn engine(&self) -> &Engine {
        &self.engine
    }

    /// Stops accepting, lets what is under way finish, seals the record and closes the store.
    pub async fn stop(mut self) {
        self.stop.stop();
        while self.listeners.join_next().await.is_some() {}
        self.duties.stop(&self.engine).await;
        RunFile::remove(&self.data);
        self.engine.store().close();
    }
}

/// Makes the key of messages if there is none yet. Without it no hook can keep a secret, and
/// everything else goes on.
fn make_messages_key(ring: &Keyring, passphrase: &Passphrase) {
    if ring.records().iter().any(|record| record.name == MESSAGES) {
        return;
    }
    let made = ring.make(
        NewKey {
            name: MESSAGES.to_owned(),
            doors: Doors::MESSAGES,
            kind: KeyKind::P256,
            opened_by: OpenedBy::Serve,
            custody: Custody::File,
            created: Clock::system().now(),
        },
        passphrase,
    );
    if let Err(error) = made {
        tracing::warn!(%error, "there is no key of messages, so hooks cannot be used");
    }
}

/// Makes the key of the feeds, if there is none: a house that was founded before there were feeds
/// has none, and nothing above it has to certify it.
fn feed_key(ring: &Keyring, passphrase: &Passphrase) -> Result<(), StartError> {
    if ring.records().iter().any(|record| record.name == FEED_KEY) {
        return Ok(());
    }
    let new = NewKey {
        name: FEED_KEY.to_owned(),
        doors: Doors::FEED,
        kind: KeyKind::Ed25519,
        opened_by: OpenedBy::Serve,
        custody: Custody::File,
        created: Clock::system().now(),
    };
    ring.make(new, passphrase)?;
    Ok(())
}

/// What a listener speaks and answers with.
fn front(
    bound: &Bound,
    engine: &Engine,
    config: &Config,
    desk: &api::Desk,
    certificate: &ServerCertificate,
) -> Result<(Transport, Answers), StartError> {
    Ok(match bound.listener() {
        Listener::Device => {
            let router = est::router(engine.clone(), &config.est, &config.limits);
            (
                Transport::Tls(device_config(certificate.clone()).map_err(tls)?),
                router.into(),
            )
        }
        Listener::Public => {
            let ocsp = Ocsp::new(engine.clone(), &config.limits);
            let router = status::router(engine.clone());
            (Transport::Plain, Answers::with_ocsp(router, ocsp))
        }
        Listener::Access => {
            let router: Router = adapter::router(desk.clone());
            (
                Transport::Tls(access_config(certificate.clone()).map_err(tls)?),
                router.into(),
            )
        }
        Listener::Operator => {
            let router: Router = api::router(desk.clone());
            (
                Transport::Tls(operator_config(certificate.clone()).map_err(tls)?),
                router.into(),
            )
        }
    })
}

fn tls(error: rustls::Error) -> StartError {
    StartError::Key(format!(
        "the server's certificate cannot be used for TLS: {error}"
    ))
}

type Shown = (Vec<Vec<u8>>, Arc<dyn SigningKey>);

/// The certificate in force, with its chain, and its key.
fn shown(engine: &Engine) -> Result<Shown, StartError> {
    let identity = engine.server_identity()?.ok_or_else(|| {
        StartError::Key(
            "the server has no certificate, and its key tenure-server is not at hand".into(),
        )
    })?;
    let chain: Vec<Vec<u8>> = identity
        .chain
        .iter()
        .map(|cert| cert.der().to_vec())
        .collect();
    Ok((chain, handshake_key(identity.key).map_err(tls)?))
}

/// How often the house itself is examined, as `doctor` does.
const EXAMINE_EVERY: Duration = Duration::from_secs(300);

/// Feeds what `doctor` would say to the list of findings.
async fn watch_house(desk: api::Desk, mut stop: Stop) {
    loop {
        tokio::select! {
            () = stop.asked() => return,
            () = tokio::time::sleep(EXAMINE_EVERY) => {}
        }
        if let Err(problem) = api::doctor::watch(&desk).await {
            tracing::error!(duty = "doctor", "{problem}; it will be tried again");
        }
    }
}

/// Shows each new certificate of ours from the moment it is there.
async fn follow_renewals(engine: Engine, certificate: ServerCertificate, mut stop: Stop) {
    let mut renewals = engine.system_renewals();
    loop {
        tokio::select! {
            () = stop.asked() => return,
            changed = renewals.changed() => if changed.is_err() { return },
        }
        let next =
            shown(&engine).and_then(|(chain, key)| certificate.replace(&chain, key).map_err(tls));
        match next {
            Ok(()) => tracing::info!("the server shows its new certificate"),
            Err(error) => tracing::error!(%error, "the former server certificate stays"),
        }
    }
}
