//! The devices of the demo: each has a directory, makes its own key, and asks for itself.

use std::collections::HashMap;
use std::future::Future;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tenure_field::device::{Keeper, Place, Progress, Proof};
use tenure_field::http::Identity;
use tenure_field::mqtt::Error;
use tenure_wire::est::Credentials;
use tenure_x509::{Cert, KeyKind};
use tokio::sync::Semaphore;
use tokio::task::JoinSet;

use super::broker;
use super::door::Door;
use super::plant::Unit;
use super::service::{self, visit};
use super::show::Step;
use super::text_of;
use crate::cli::api::Api;

/// How soon a session must end after its certificate was revoked.
const SESSION_ENDS: Duration = Duration::from_secs(5);
/// So many devices act at once.
const AT_ONCE: usize = 16;

/// Does the same for each, several at once, and stops at the first error.
pub(super) async fn each<T, W>(
    items: impl Iterator<Item = T>,
    step: &Step,
    work: impl Fn(T) -> W,
) -> Result<(), String>
where
    W: Future<Output = Result<(), String>> + Send + 'static,
{
    let room = Arc::new(Semaphore::new(AT_ONCE));
    let mut running = JoinSet::new();
    for item in items {
        let work = work(item);
        let room = Arc::clone(&room);
        running.spawn(async move {
            // The semaphore is never closed.
            let _place = room.acquire_owned().await;
            work.await
        });
        while let Some(done) = running.try_join_next() {
            finished(done, step)?;
        }
    }
    while let Some(done) = running.join_next().await {
        finished(done, step)?;
    }
    Ok(())
}

fn finished(
    done: Result<Result<(), String>, tokio::task::JoinError>,
    step: &Step,
) -> Result<(), String> {
    step.one_more();
    done.map_err(|error| error.to_string())?
}

/// All devices by id.
pub(super) struct Fleet {
    members: HashMap<String, Member>,
    order: Vec<String>,
    anchors: Arc<Vec<Cert>>,
}

/// One device.
#[derive(Clone)]
pub(super) struct Member {
    pub(super) unit: Unit,
    pub(super) keeper: Arc<Keeper>,
}

/// How long the sessions of a stolen device went on after its revocation was asked for.
pub(super) struct Stolen {
    /// With the broker.
    pub(super) mqtt: Duration,
    /// With the service.
    pub(super) tls: Duration,
}

/// The identity that a device presents.
pub(super) async fn identity(keeper: &Keeper) -> Result<Identity, String> {
    let identity = keeper.identity().await.map_err(|error| error.to_string())?;
    identity.ok_or_else(|| "it holds no certificate".to_owned())
}

fn anchors_pem(anchors: &[Cert]) -> String {
    anchors.iter().map(Cert::pem).collect()
}

fn keeper(
    root: &Path,
    id: &str,
    label: Option<&str>,
    device: SocketAddr,
    anchors: &[Cert],
) -> Result<Keeper, String> {
    let place = Place {
        url: format!("https://{device}"),
        label: label.map(str::to_owned),
        device: id.to_owned(),
    };
    Keeper::create(&root.join(id), place, &anchors_pem(anchors)).map_err(|e| e.to_string())
}

/// What an operator does for a new device: hand it a one-time secret.
async fn secret(operator: &Api, id: &str) -> Result<Credentials, String> {
    let path = format!("{}/secret", path(id));
    let answer = operator.post(&path, &json!({ "life_s": 3600 })).await;
    let answer = answer.map_err(|error| error.to_string())?;
    Credentials::new(id, text_of(&answer, "secret")?).map_err(|error| error.to_string())
}

fn path(id: &str) -> String {
    format!("/devices/{}", crate::cli::api::segment(id))
}

async fn enroll(keeper: &Keeper, credentials: Credentials) -> Result<(), String> {
    match keeper
        .enroll_once(&Proof::Secret(credentials), KeyKind::P256)
        .await
    {
        Ok(Progress::Issued(_)) => Ok(()),
        Ok(Progress::Pending { .. }) => Err("it has to wait for a decision".to_owned()),
        Err(error) => Err(crate::cli::api::chain(&error)),
    }
}

/// A server gets its identity as a device does, under a label for devices that are servers.
pub(super) async fn enroll_server(
    operator: &Api,
    id: &str,
    device: SocketAddr,
    root: &Path,
    anchors: &[Cert],
) -> Result<Identity, String> {
    let keeper = keeper(root, id, Some("device-server"), device, anchors)?;
    enroll(&keeper, secret(operator, id).await?).await?;
    identity(&keeper).await
}

impl Fleet {
    /// Every unit gets a secret, makes its key and enrolls.
    pub(super) async fn enroll(
        operator: &Api,
        device: SocketAddr,
        root: &Path,
        anchors: &[Cert],
        units: &[Unit],
        step: &Step,
    ) -> Result<Fleet, String> {
        let mut members = HashMap::new();
        for unit in units {
            let keeper = Arc::new(keeper(root, &unit.id, None, device, anchors)?);
            members.insert(
                unit.id.clone(),
                Member {
                    unit: unit.clone(),
                    keeper,
                },
            );
        }
        let order: Vec<String> = units.iter().map(|unit| unit.id.clone()).collect();
        let fleet = Fleet {
            members,
            order,
            anchors: Arc::new(anchors.to_vec()),
        };
        each(fleet.all(), step, |member| {
            let operator = operator.clone();
            async move {
                let id = &member.unit.id;
                let credentials = secret(&operator, id).await?;
                enroll(&member.keeper, credentials)
                    .await
                    .map_err(|why| format!("{id}: {why}"))
            }
        })
        .await?;
        Ok(fleet)
    }

    fn all(&self) -> impl Iterator<Item = Member> {
        self.order
            .iter()
            .filter_map(|id| self.members.get(id))
            .cloned()
    }

    fn member(&self, id: &str) -> Result<&Member, String> {
        self.members
            .get(id)
            .ok_or_else(|| format!("there is no device {id}"))
    }

    /// Three different devices for the three mishaps, none of a class that was renewed as a whole.
    pub(super) fn three(&self) -> Result<[String; 3], String> {
        let not_renewed = self
            .all()
            .filter(|member| member.unit.class != super::plant::RENEWED);
        let ids: Vec<String> = not_renewed.take(3).map(|member| member.unit.id).collect();
        ids.try_into()
            .map_err(|_| "there are too few devices".to_owned())
    }

    /// Those that stay connected: of the devices that nothing else happens to, at most `many`.
    pub(super) fn who_stays(&self, many: usize) -> Vec<Member> {
        let not_renewed = self
            .all()
            .filter(|member| member.unit.class != super::plant::RENEWED);
        not_renewed.skip(3).take(many).collect()
    }

    /// What its devices trust.
    pub(super) fn anchors(&self) -> &Arc<Vec<Cert>> {
        &self.anchors
    }

    /// Each connects to the service and must be welcome.
    pub(super) async fn visit_all(
        &self,
        service: &Arc<Door>,
        which: impl Fn(&Unit) -> bool,
        step: &Step,
    ) -> Result<(), String> {
        each(
            self.all().filter(|member| which(&member.unit)),
            step,
            |member| {
                let (service, anchors) = (Arc::clone(service), Arc::clone(&self.anchors));
                async move { is_welcome(&member.unit.id, &member.keeper, &service, &anchors).await }
            },
        )
        .await
    }

    /// Each replaces its certificate, with a new key.
    pub(super) async fn renew_all(
        &self,
        which: impl Fn(&Unit) -> bool,
        step: &Step,
    ) -> Result<(), String> {
        each(
            self.all().filter(|member| which(&member.unit)),
            step,
            |member| async move {
                renew(&member.keeper)
                    .await
                    .map_err(|why| format!("{}: {why}", member.unit.id))
            },
        )
        .await
    }

    async fn is_refused(&self, id: &str, service: &Door, keeper: &Keeper) -> Result<(), String> {
        let presented = identity(keeper).await?;
        let said = visit(service, presented, &self.anchors).await;
        match said {
            Ok(said) if said.starts_with("refused: revoked") => Ok(()),
            Ok(said) => Err(format!("the service said {said:?} to {id}")),
            Err(error) => Err(format!("{id} was not answered: {error}")),
        }
    }

    /// Its certificate is revoked: the sessions it has with the service and with the broker end, and
    /// neither lets it in from then on.
    pub(super) async fn steal(
        &self,
        id: &str,
        operator: &Api,
        service: &Door,
        broker: &Door,
    ) -> Result<Stolen, String> {
        let keeper = &self.member(id)?.keeper;
        let presented = identity(keeper).await?;
        let (said, session) = service::stay(service, presented.clone(), &self.anchors)
            .await
            .map_err(|error| error.to_string())?;
        if !said.starts_with("welcome") {
            return Err(format!("it was not let in: {said}"));
        }
        let live = broker::enter(broker, id, presented.clone(), &self.anchors)
            .await
            .map_err(|error| format!("it was not let in at the broker: {error}"))?;
        let certificate = keeper
            .certificate()
            .await
            .map_err(|error| error.to_string())?;
        let serial = certificate
            .ok_or("it holds no certificate")?
            .serial()
            .to_string();
        let body = json!({ "reason": "keyCompromise" });
        let revoke = format!("/certificates/{serial}/revoke");
        let asked = operator.post(&revoke, &body);
        let began = Instant::now();
        let live = async {
            let over = tokio::time::timeout(SESSION_ENDS, live.until_over()).await;
            over.map(|_| began.elapsed())
        };
        let (asked, tls, mqtt) = tokio::join!(asked, session.over(SESSION_ENDS), live);
        asked.map_err(|error| error.to_string())?;
        let went_on = |which| {
            let s = SESSION_ENDS.as_secs();
            format!("its session with the {which} went on for {s} s after it was revoked")
        };
        let tls = tls.map_err(|_| went_on("service"))?;
        let mqtt = mqtt.map_err(|_| went_on("broker"))?;
        self.is_refused(id, service, keeper).await?;
        match broker::enter(broker, id, presented, &self.anchors).await {
            Err(Error::Refused { code, .. }) if code == broker::NOT_AUTHORIZED => {}
            Err(other) => return Err(format!("the broker said {other} to {id}")),
            Ok(_) => return Err("the broker let the thief in again".to_owned()),
        }
        match renew(keeper).await {
            Ok(()) => Err("the thief could renew".to_owned()),
            Err(_) => Ok(Stolen { mqtt, tls }),
        }
    }

    /// It is retired: its certificate is revoked and it can get no other.
    pub(super) async fn retire(
        &self,
        id: &str,
        operator: &Api,
        service: &Door,
    ) -> Result<(), String> {
        let keeper = &self.member(id)?.keeper;
        let why = json!({ "why": "replaced by a newer model" });
        let retire = format!("{}/retire", path(id));
        operator
            .post(&retire, &why)
            .await
            .map_err(|error| error.to_string())?;
        self.is_refused(id, service, keeper).await?;
        if renew(keeper).await.is_ok() {
            return Err("it could renew".to_owned());
        }
        match secret(operator, id).await {
            Ok(_) => Err("it was given a new secret".to_owned()),
            Err(_) => Ok(()),
        }
    }

    /// Its directory is copied. The victim renews and uses its new certificate; then the copy
    /// renews from the old one, and is found out: both are stopped, and an incident waits.
    pub(super) async fn clone_device(
        &self,
        id: &str,
        root: &Path,
        operator: &Api,
        service: &Door,
    ) -> Result<(), String> {
        let victim = &self.member(id)?.keeper;
        let copy: PathBuf = root.join(format!("{id}-copy"));
        copy_directory(victim.root(), &copy).map_err(|error| error.to_string())?;
        let copy = Keeper::open(&copy).map_err(|error| error.to_string())?;
        renew(victim).await?;
        is_welcome(id, victim, service, &self.anchors).await?;
        if renew(&copy).await.is_ok() {
            return Err("the copy could renew".to_owned());
        }
        self.is_refused(id, service, victim).await?;
        self.is_refused(id, service, &copy).await?;
        let open = operator
            .all("/incidents", &[("state", "open".to_owned())])
            .await;
        let open = open.map_err(|error| error.to_string())?;
        let is_it = |incident: &Value| {
            incident.get("device").and_then(Value::as_str) == Some(id)
                && incident.get("kind").and_then(Value::as_str) == Some("fork")
        };
        match open.iter().any(is_it) {
            true => Ok(()),
            false => Err("no incident was opened".to_owned()),
        }
    }
}

async fn renew(keeper: &Keeper) -> Result<(), String> {
    match keeper.renew_once(KeyKind::P256).await {
        Ok(Progress::Issued(_)) => Ok(()),
        Ok(Progress::Pending { .. }) => Err("it has to wait for a decision".to_owned()),
        Err(error) => Err(crate::cli::api::chain(&error)),
    }
}

async fn is_welcome(
    id: &str,
    keeper: &Keeper,
    service: &Door,
    anchors: &[Cert],
) -> Result<(), String> {
    let presented = identity(keeper).await?;
    match visit(service, presented, anchors).await {
        Ok(said) if said == format!("welcome {id}") => Ok(()),
        Ok(said) => Err(format!("the service said {said:?} to {id}")),
        Err(error) => Err(format!("{id} was not answered: {error}")),
    }
}

/// Copies files, directories and links.
fn copy_directory(from: &Path, to: &Path) -> std::io::Result<()> {
    std::fs::create_dir(to)?;
    for entry in std::fs::read_dir(from)? {
        let entry = entry?;
        let (source, target) = (entry.path(), to.join(entry.file_name()));
        let kind = entry.file_type()?;
        if kind.is_dir() {
            copy_directory(&source, &target)?;
        } else if kind.is_symlink() {
            std::os::unix::fs::symlink(std::fs::read_link(&source)?, &target)?;
        } else {
            std::fs::copy(&source, &target)?;
        }
    }
    Ok(())
}
