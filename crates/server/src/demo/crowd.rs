//! Devices that stay connected to the broker, and what happens to them while the demo goes on.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tenure_field::mqtt::Error;
use tenure_x509::Cert;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::broker::{self, Live};
use super::door::Door;
use super::fleet::{self, Member};

/// How many devices stay connected, at most.
pub(super) const CROWD: usize = 12;
/// The first and the longest pause of a device that wants back in.
const PAUSES: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(10));

/// What happens to a device of the crowd.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum News {
    /// Its live session has ended.
    Lost {
        /// Which device.
        device: String,
    },
    /// It is not let in again.
    Refused {
        /// Which device.
        device: String,
        /// What it was told.
        why: String,
    },
    /// It is in again.
    Back {
        /// Which device.
        device: String,
    },
}

/// The devices; all leave when this is dropped.
pub(super) struct Crowd {
    inside: Arc<AtomicUsize>,
    count: usize,
    /// What happened since the last look.
    pub(super) news: mpsc::UnboundedReceiver<News>,
    /// Their ids.
    pub(super) devices: Vec<String>,
    _running: JoinSet<()>,
}

impl Crowd {
    /// Each connects, and stays.
    ///
    /// # Errors
    /// One is not let in.
    pub(super) async fn gather(
        members: Vec<Member>,
        door: &Arc<Door>,
        anchors: &Arc<Vec<Cert>>,
    ) -> Result<Crowd, String> {
        let inside = Arc::new(AtomicUsize::new(0));
        let (tell, news) = mpsc::unbounded_channel();
        let mut running = JoinSet::new();
        let (count, mut devices) = (members.len(), Vec::new());
        for member in members {
            let id = member.unit.id.clone();
            let identity = fleet::identity(&member.keeper).await?;
            let live = broker::enter(door, &id, identity, anchors)
                .await
                .map_err(|error| format!("{id} at the broker: {error}"))?;
            devices.push(id);
            inside.fetch_add(1, Ordering::Relaxed);
            let one = One {
                member,
                door: Arc::clone(door),
                anchors: Arc::clone(anchors),
                inside: Arc::clone(&inside),
                tell: tell.clone(),
            };
            running.spawn(async move { one.live(live).await });
        }
        Ok(Crowd {
            inside,
            count,
            news,
            devices,
            _running: running,
        })
    }

    /// Whether all are still inside.
    ///
    /// # Errors
    /// Some are not.
    pub(super) fn is_whole(&self) -> Result<(), String> {
        match self.inside.load(Ordering::Relaxed) {
            inside if inside == self.count => Ok(()),
            inside => Err(format!("of {} other sessions {inside} went on", self.count)),
        }
    }
}

struct One {
    member: Member,
    door: Arc<Door>,
    anchors: Arc<Vec<Cert>>,
    inside: Arc<AtomicUsize>,
    tell: mpsc::UnboundedSender<News>,
}

impl One {
    /// Stays for as long as it is let, and wants back in ever after.
    async fn live(&self, mut live: Live) {
        let device = self.member.unit.id.clone();
        loop {
            live.until_over().await;
            self.inside.fetch_sub(1, Ordering::Relaxed);
            self.say(News::Lost {
                device: device.clone(),
            });
            live = self.come_back(&device).await;
            self.inside.fetch_add(1, Ordering::Relaxed);
            self.say(News::Back {
                device: device.clone(),
            });
        }
    }

    async fn come_back(&self, device: &str) -> Live {
        let (mut pause, mut told) = (PAUSES.0, false);
        loop {
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(PAUSES.1);
            let why = match fleet::identity(&self.member.keeper).await {
                Ok(identity) => {
                    match broker::enter(&self.door, device, identity, &self.anchors).await {
                        Ok(live) => return live,
                        Err(Error::Refused { code, .. }) if code == broker::NOT_AUTHORIZED => {
                            "CONNACK 5, not authorized".to_owned()
                        }
                        Err(error) => error.to_string(),
                    }
                }
                Err(why) => why,
            };
            if !std::mem::replace(&mut told, true) {
                let device = device.to_owned();
                self.say(News::Refused { device, why });
            }
        }
    }

    fn say(&self, news: News) {
        // Nobody listens any more when the demo ends.
        let _ = self.tell.send(news);
    }
}
