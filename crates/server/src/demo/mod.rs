//! `tenure demo`: the whole story on one machine. A house is founded, a plant's devices enroll over
//! EST, use a service, stay connected to a broker, renew; one is stolen, one retired, one cloned; three
//! relying parties are put to the proof, one of which is careless; the record is verified from outside.
//! Nothing is played: the devices run the device client, service and broker are relying parties with
//! mutual TLS, and operators' acts go through the public API. While it goes on, all of it can be
//! repeated by hand.

mod aftermath;
mod broker;
mod crowd;
mod door;
mod fleet;
mod plant;
mod proof;
mod record;
mod service;
mod show;
mod summary;
mod switch;

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use clap::Args;
use serde_json::{Value, json};
use tenure_domain::text::hex;
use tenure_field::http::{Identity, Trust, Url};
use tenure_x509::{Cert, KeyKind};

use crate::cli::api::Api;
use crate::cli::exit::Failure;
use crate::cli::output::{Form, Output};
use crate::config::{Config, FILE_NAME};
use crate::init::{self, Init, ROOT_FILE};
use crate::run_file::RunFile;
use crate::serve::{Running, Serve, stop_asked};
use crate::start::StartError;
use crowd::{CROWD, Crowd};
use door::{Door, Plan, Speech};
use fleet::Fleet;
use plant::{BROKER_DEVICE, RENEWED, SERVICE, SERVICE_DEVICE};
use proof::{BROKER, CAREFUL, CARELESS, Proof};
use show::Show;
use summary::Afterwards;
use switch::{Checks, Switches};

/// The keys' passphrase of the demo's house, in its data directory.
const PASSPHRASE_FILE: &str = "passphrase";
/// Where the devices of the demo keep their identities, in the data directory.
const DEVICES: &str = "devices";

/// How often relying parties are probed while the demo goes on, in seconds: a person waits for it.
const CYCLE_S: u64 = 15;

/// `tenure demo`
#[derive(Clone, Debug, Args)]
pub struct Demo {
    /// End after the summary, with code 0 if everything came out as it should.
    #[arg(long)]
    pub once: bool,
    /// How many devices.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u32).range(10..=100_000))]
    pub devices: u32,
}

/// How a demo ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ended {
    /// Everything came out as it should.
    Well,
    /// Some steps did not.
    Badly {
        /// How many.
        steps: usize,
    },
}

/// `tenure demo [--data DIR]`
///
/// # Errors
/// As [`demo`], or steps that did not come out as they should.
pub async fn command(asked: &Demo, data: Option<&Path>, output: &Output) -> Result<(), Failure> {
    match demo(asked, data, output.form()).await? {
        Ended::Well => Ok(()),
        Ended::Badly { steps } => Err(Failure::failed(format!(
            "{steps} step(s) did not come out as they should"
        ))),
    }
}

/// Tells the story in `data`, a new directory that is kept, or else in a temporary one.
///
/// # Errors
/// It could not even begin, or a step failed on which all others rest.
pub async fn demo(demo: &Demo, data: Option<&Path>, form: Form) -> Result<Ended, StartError> {
    let asked = stop_asked()?;
    let temporary = match data {
        Some(_) => None,
        None => Some(
            tempfile::Builder::new()
                .prefix("tenure-demo-")
                .tempdir()
                .map_err(|error| StartError::file("write into", &std::env::temp_dir(), &error))?,
        ),
    };
    let data = match (&temporary, data) {
        (Some(temporary), _) => temporary.path().join("house"),
        (None, Some(data)) => data.to_owned(),
        (None, None) => PathBuf::from("house"),
    };
    let mut show = Show::new();
    let house = House::found(&data, &mut show).await?;
    let mut told = house.tell(demo, &mut show).await;
    let ended = match &told {
        Ok(_) if show.wrong() == 0 => Ended::Well,
        _ => Ended::Badly {
            steps: show.wrong().max(1),
        },
    };
    if let Ok(tale) = &mut told {
        let after = match temporary {
            Some(_) => Afterwards::Gone,
            None => Afterwards::Kept,
        };
        summary::print(&house, tale, &show, demo, after, form);
        if !demo.once {
            let Tale { crowd, proofs, .. } = tale;
            tokio::select! {
                _signal = asked => {}
                never = aftermath::narrate(&tale.looking, crowd, proofs) => match never {},
            }
            eprintln!("\n  stopping");
        }
    }
    house.running.stop().await;
    told.map(|_| ended).map_err(StartError::Other)
}

/// The house of the demo, founded and serving.
struct House {
    running: Running,
    data: PathBuf,
    anchors: Vec<Cert>,
    admin: Api,
    public: Url,
}

/// What there is to say at the end.
struct Tale {
    _doors: [Arc<Door>; 3],
    switches: Switches,
    crowd: Crowd,
    proofs: Vec<Proof>,
    looking: Api,
    reader: String,
    certificates: usize,
    events: u64,
    renewed: usize,
    stolen: String,
    retired: String,
    cloned: String,
}

impl House {
    async fn found(data: &Path, show: &mut Show) -> Result<House, StartError> {
        let step = show.begin("founding a house: root, issuing CA, keys, log", 1);
        // It stands in the certificates, so it must be known before there are any.
        let public = std::env::var("TENURE_LISTEN_PUBLIC").ok();
        let public = public.and_then(|address| address.parse().ok());
        let public = public.unwrap_or_else(|| address_for(8080));
        let secret = passphrase_file()?;
        let founding = Init {
            name: "Acme Plant".to_owned(),
            hosts: Vec::new(),
            public_url: Some(format!("http://{public}")),
            root_out: None,
            root_passphrase_file: None,
            key_algorithm: KeyKind::P256,
            passphrase_file: Some(secret.path().to_owned()),
            hsm: None,
            hsm_token: None,
            hsm_pin: tenure_engine::signer::PinSource::Passphrase,
        };
        let made = init::init(&founding, data).await?;
        let kept = settle(data, secret.path(), public)
            .map_err(|error| StartError::file("write into", data, &error))?;
        let fingerprint = made.fingerprint();
        let short = fingerprint.get(..16).unwrap_or_default();
        show.done(
            step,
            format!("a house is founded; its root has the fingerprint {short}…"),
        );

        let step = show.begin("starting the server", 1);
        let mut config = Config::load(data, |name| std::env::var(name).ok())?;
        config.listen.public = public;
        config.listen.device = free_or_any(config.listen.device);
        config.listen.operator = free_or_any(config.listen.operator);
        // All devices of the demo share this machine's address.
        config.limits.device_requests_per_source_s = 0;
        config.limits.operator_requests_per_source_s = 0;
        config.limits.nonce_requests_per_source_s = 0;
        config.probe.every_s = CYCLE_S;
        let serve = Serve {
            passphrase_file: Some(kept),
        };
        let running = Running::start(config, &serve, data).await?;
        let RunFile {
            device,
            operator,
            public,
            ..
        } = *running.at();
        show.done(
            step,
            format!("the server listens: devices {device}, operators {operator}"),
        );
        let other = |error: &dyn std::fmt::Display| StartError::Other(error.to_string());
        let pem = std::fs::read_to_string(data.join(ROOT_FILE))
            .map_err(|error| StartError::file("read", &data.join(ROOT_FILE), &error))?;
        let trust = Trust::from_pem(&pem).map_err(|error| other(&error))?;
        let admin = Api::new(&format!("https://{operator}"), trust, &made.admin_token)
            .map_err(|error| other(&error))?;
        let public = Url::parse(&format!("http://{public}")).map_err(|error| other(&error))?;
        let data = data.to_owned();
        Ok(House {
            running,
            data,
            anchors: vec![made.root],
            admin,
            public,
        })
    }

    async fn token(&self, name: &str, role: &str) -> Result<String, String> {
        let body = json!({ "name": name, "role": role });
        let answer = self
            .admin
            .post("/tokens", &body)
            .await
            .map_err(|e| e.to_string())?;
        text_of(&answer, "token").map(str::to_owned)
    }

    fn api(&self, token: &str) -> Result<Api, String> {
        let operator = self.running.at().operator;
        let anchors = self
            .anchors
            .iter()
            .map(|anchor| anchor.der().to_vec())
            .collect();
        Api::new(
            &format!("https://{operator}"),
            Trust::Anchors(anchors),
            token,
        )
        .map_err(|error| error.to_string())
    }

    /// The story. An error is a step without which the next ones make no sense.
    async fn tell(&self, demo: &Demo, show: &mut Show) -> Result<Tale, String> {
        let operator = self.api(&self.token("operator of the demo", "operator").await?)?;
        let units = plant::units(usize::try_from(demo.devices).unwrap_or(usize::MAX));
        self.furnish(&units, show).await?;

        let device = self.running.at().device;
        let root = self.data.join(DEVICES);
        let step = show.begin("devices make their keys and enroll over EST", units.len());
        let fleet = Fleet::enroll(&operator, device, &root, &self.anchors, &units, &step).await?;
        show.done(
            step,
            format!(
                "{} devices made their keys and enrolled over EST",
                units.len()
            ),
        );

        let mut switches = Switches::new(&self.data).map_err(|error| error.to_string())?;
        let step = show.begin(
            "a service and a broker start, with identities of their own",
            2,
        );
        let telemetry = self
            .server(&operator, SERVICE_DEVICE, Speech::Text, &step)
            .await?;
        let at_broker = self
            .server(&operator, BROKER_DEVICE, Speech::Mqtt, &step)
            .await?;
        let service = telemetry.open(&mut switches, CAREFUL, Checks::On).await?;
        let broker = at_broker.open(&mut switches, BROKER, Checks::On).await?;
        let what = format!(
            "the service {SERVICE} listens on {}, an MQTT broker on {}; both check status",
            service.address, broker.address
        );
        show.done(step, what);

        let step = show.begin("devices connect to the service", units.len());
        let outcome = fleet.visit_all(&service, |_| true, &step).await;
        show.check(
            step,
            format!("all {} devices are welcome at the service", units.len()),
            outcome,
        );

        let stays = fleet.who_stays(CROWD);
        let step = show.begin("devices connect to the broker", 1);
        let crowd = Crowd::gather(stays, &broker, fleet.anchors()).await?;
        let what = format!(
            "{} devices hold live MQTT sessions and report",
            crowd.devices.len()
        );
        show.done(step, what);

        let renewed = units.iter().filter(|unit| unit.class == RENEWED).count();
        let step = show.begin("one class replaces its keys", renewed);
        let outcome = fleet.renew_all(|unit| unit.class == RENEWED, &step).await;
        show.check(
            step,
            format!("{renewed} devices of class {RENEWED} have new keys"),
            outcome,
        );
        let step = show.begin("they connect with their new certificates", renewed);
        let outcome = fleet
            .visit_all(&service, |unit| unit.class == RENEWED, &step)
            .await;
        show.check(
            step,
            "they are welcome with their new certificates",
            outcome,
        );

        let [stolen, retired, cloned] = fleet.three()?;
        let step = show.begin("a device is stolen", 1);
        let outcome = fleet.steal(&stolen, &operator, &service, &broker).await;
        let outcome = outcome.and_then(|ended| crowd.is_whole().map(|()| ended));
        let what = match &outcome {
            Ok(ended) => format!(
                "{stolen} was stolen and revoked: its live MQTT session ended after {} ms (TLS: {} ms), \
                 and it does not come back",
                ended.mqtt.as_millis(),
                ended.tls.as_millis()
            ),
            Err(_) => format!("{stolen} was stolen: revoked, and its live sessions ended"),
        };
        show.check(step, what, outcome.map(|_| ()));

        let step = show.begin("a device is retired", 1);
        let outcome = fleet.retire(&retired, &operator, &service).await;
        let what = format!("{retired} is retired: refused by the service, and no way back in");
        show.check(step, what, outcome);

        let step = show.begin("a device is cloned", 1);
        let outcome = fleet
            .clone_device(&cloned, &root, &operator, &service)
            .await;
        let what = format!("{cloned} was cloned: the copy gave itself away when it renewed");
        show.check(step, what, outcome);

        let step = show.begin(
            "three relying parties are put to the proof with canaries",
            1,
        );
        let careless = telemetry.open(&mut switches, CARELESS, Checks::Off).await?;
        let proved = proof::prove(&operator, &broker, &service, &careless).await;
        let what = match &proved {
            Ok(_) => format!(
                "{BROKER} and {CAREFUL} turn green: proven with canaries; {CARELESS} is caught: red"
            ),
            Err(_) => "three relying parties are put to the proof with canaries".to_owned(),
        };
        let (proofs, outcome) = match proved {
            Ok(proofs) => (proofs, Ok(())),
            Err(why) => (Vec::new(), Err(why)),
        };
        show.check(step, what, outcome);

        let step = show.begin("the record is verified from outside", 1);
        let auditor = self.api(&self.token("auditor of the demo", "auditor").await?)?;
        let certificates = units.len() + 2 + renewed + 1; // two servers, the clone's victim's renewal
        let (events, outcome) = self.audit(&auditor, &cloned, certificates).await;
        let what = format!("the record of {events} events is whole, seen from outside");
        show.check(step, what, outcome);

        let reader = self.token("reader of the demo", "reader").await?;
        Ok(Tale {
            _doors: [broker, service, careless],
            switches,
            crowd,
            proofs,
            looking: self.api(&reader)?,
            reader,
            certificates,
            events,
            renewed,
            stolen,
            retired,
            cloned,
        })
    }

    /// A server of the plant gets an identity, and a token to report with.
    async fn server(
        &self,
        operator: &Api,
        id: &str,
        speech: Speech,
        step: &show::Step,
    ) -> Result<Server<'_>, String> {
        let (device, root) = (self.running.at().device, self.data.join(DEVICES));
        let identity = fleet::enroll_server(operator, id, device, &root, &self.anchors).await?;
        let token = self.token(id, "relying-party").await?;
        step.one_more();
        Ok(Server {
            id: id.to_owned(),
            identity,
            api: self.api(&token)?,
            anchors: &self.anchors,
            speech,
        })
    }

    async fn furnish(&self, units: &[plant::Unit], show: &mut Show) -> Result<(), String> {
        let step = show.begin(
            "registering owners, sites, classes and devices",
            units.len(),
        );
        for (path, body) in plant::furniture() {
            self.admin
                .post(path, &body)
                .await
                .map_err(|error| format!("{path}: {error}"))?;
        }
        for server in plant::servers() {
            self.admin
                .post("/devices", &server)
                .await
                .map_err(|e| e.to_string())?;
        }
        fleet::each(units.iter().cloned(), &step, |unit| {
            let admin = self.admin.clone();
            async move {
                let made = admin.post("/devices", &unit.spec()).await;
                made.map(|_| ())
                    .map_err(|error| format!("{}: {error}", unit.id))
            }
        })
        .await?;
        let (owners, sites, classes) = plant::counts();
        show.done(
            step,
            format!(
                "{sites} sites, {owners} owners, {classes} classes, {} devices",
                units.len()
            ),
        );
        Ok(())
    }

    /// Every certificate that a device got must be in the record.
    async fn audit(
        &self,
        auditor: &Api,
        last: &str,
        certificates: usize,
    ) -> (u64, Result<(), String>) {
        // What happened to that device came last: the record must have come as far as that.
        let path = format!("/events?limit=1&device={}", crate::cli::api::segment(last));
        let newest = match self.admin.get(&path).await {
            Ok(page) => page.pointer("/items/0/seq").and_then(Value::as_u64),
            Err(_) => None,
        };
        let Some(newest) = newest else {
            return (0, Err("no event is shown".to_owned()));
        };
        match record::verify(&self.public, auditor, newest).await {
            // The house's own certificates are in it as well.
            Ok(found) if found.issued > certificates => (found.events, Ok(())),
            Ok(found) => {
                let why = format!("it shows {} certificates of {certificates}", found.issued);
                (found.events, Err(why))
            }
            Err(why) => (0, Err(why)),
        }
    }
}

fn text_of<'a>(answer: &'a Value, name: &str) -> Result<&'a str, String> {
    answer
        .get(name)
        .and_then(Value::as_str)
        .ok_or_else(|| format!("the answer has no {name}"))
}

/// A port of this machine: the usual one, or any if that is taken.
fn address_for(port: u16) -> SocketAddr {
    let usual = SocketAddr::from((Ipv4Addr::LOCALHOST, port));
    if is_free(usual) {
        return usual;
    }
    // A port that was free a moment ago; if it is taken in between, the server says so.
    let any = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).and_then(|socket| socket.local_addr());
    any.unwrap_or(usual)
}

fn free_or_any(address: SocketAddr) -> SocketAddr {
    if is_free(address) {
        address
    } else {
        SocketAddr::new(address.ip(), 0)
    }
}

fn is_free(address: SocketAddr) -> bool {
    TcpListener::bind(address).is_ok()
}

/// A passphrase that nobody has to know: the demo's keys are worth nothing.
fn passphrase_file() -> Result<tempfile::NamedTempFile, StartError> {
    let mut bytes = [0; 16];
    aws_lc_rs::rand::fill(&mut bytes)
        .map_err(|_| StartError::Other("this machine gives no random bytes".to_owned()))?;
    let file = tempfile::NamedTempFile::new()
        .and_then(|mut file| {
            use std::io::Write;
            writeln!(file, "{}", hex(&bytes)).map(|()| file)
        })
        .map_err(|error| StartError::file("write into", &std::env::temp_dir(), &error))?;
    Ok(file)
}

/// Leaves a directory that `tenure serve` can serve later: with its passphrase, and at the address
/// that stands in the certificates.
fn settle(data: &Path, secret: &Path, public: SocketAddr) -> std::io::Result<PathBuf> {
    let kept = data.join(PASSPHRASE_FILE);
    std::fs::copy(secret, &kept)?; // and its mode, 0600
    let path = data.join(FILE_NAME);
    let text = std::fs::read_to_string(&path)?
        .replace(
            "\n[keys]\n",
            &format!("\n[keys]\npassphrase_file = {PASSPHRASE_FILE:?}\n"),
        )
        .replace("127.0.0.1:8080", &public.to_string());
    std::fs::write(&path, text)?;
    Ok(kept)
}

/// A server of the plant, ready to open doors.
struct Server<'a> {
    id: String,
    identity: Identity,
    api: Api,
    anchors: &'a [Cert],
    speech: Speech,
}

impl Server<'_> {
    /// Opens a door that checks or not, under the name of a relying party.
    async fn open(
        &self,
        switches: &mut Switches,
        party: &str,
        checks: Checks,
    ) -> Result<Arc<Door>, String> {
        let checks = switches
            .add(party, checks)
            .map_err(|error| error.to_string())?;
        let plan = Plan {
            identity: self.identity.clone(),
            name: format!("{}.device.internal", self.id),
            anchors: self.anchors,
            api: self.api.clone(),
            port: match self.speech {
                Speech::Text => 0,
                Speech::Mqtt => tenure_wire::mqtt::PORT,
            },
            speech: self.speech,
            checks,
        };
        Door::open(plan).await.map(Arc::new)
    }
}
