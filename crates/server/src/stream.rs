//! The stream of trust changes: who follows it hears of each withdrawal as soon as it is on record.
//!
//! Each follower has a place in the record and reads on from there: when the engine says that trust
//! may have changed, and every second anyway. Nothing is kept for anyone, so a follower that comes
//! back after a year loses nothing, and one that reads slowly costs a place and no memory.

use std::collections::HashMap;
use std::pin::Pin;
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};
use std::time::{Duration, Instant};

use hyper::body::{Body, Bytes, Frame};
use parking_lot::Mutex;
use serde::Serialize;
use tenure_domain::ids::{EventSeq, OperatorNo};
use tenure_domain::operator::Role;
use tenure_domain::trust_change::{Changed, TrustChange};
use tenure_engine::Engine;
use tenure_engine::store::trust_change::{self, More};
use tenure_engine::store::{ReadTx, StoreError};
use tenure_wire::sse;
use tokio::sync::mpsc;

use crate::limits::{STREAM_BATCH, STREAM_FRAMES, STREAMS_MAX, STREAMS_PER_TOKEN_MAX};
use crate::listen::Stop;

pub mod news;
use news::{About, Feeds, Heard, NewsMessage};

/// How often a silent stream says that it is alive.
pub const HEARTBEAT: Duration = Duration::from_secs(15);
/// How long a follower may leave what was sent to it unread.
pub const SLOW: Duration = Duration::from_secs(20);
/// How often the record is looked at though nobody said that anything changed.
const LOOK: Duration = Duration::from_secs(1);
/// How long a follower should wait before it comes again, in milliseconds.
const RETRY_MS: u32 = 2_000;

/// How much of a trust change a follower may see.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Sight {
    /// Everything: who reads the fleet.
    Fleet,
    /// What revocation lists tell anyone: issuer, serial, reason and time. No device, and nothing
    /// that names only a device.
    Published,
}

impl Sight {
    /// What the holder of a token may see.
    pub fn of(role: Role) -> Sight {
        match role {
            Role::Admin | Role::Operator | Role::Auditor | Role::Reader => Sight::Fleet,
            Role::RelyingParty | Role::Verifier => Sight::Published,
        }
    }
}

/// What a follower wants to hear, and may.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Wish {
    /// Of what.
    pub about: About,
    /// How much of a trust change.
    pub sight: Sight,
    /// Whose feeds.
    pub feeds: Feeds,
}

/// A trust change as it is told.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, utoipa::ToSchema)]
pub struct Message {
    /// When it was recorded (RFC 3339).
    pub at: String,
    /// The device.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub device: Option<String>,
    /// Where the device was in its life.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub from: Option<String>,
    /// Since when the certificate must not be believed, if that is known (RFC 3339).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub invalid_since: Option<String>,
    /// The certificate's issuer.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub issuer: Option<String>,
    /// Why it was revoked, by its name in RFC 5280.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// The event's number in the record.
    pub seq: i64,
    /// The certificate's serial, lower-case hex.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub serial: Option<String>,
    /// Where the device is in its life.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub to: Option<String>,
    /// certificate-revoked, certificate-held, certificate-released or device-standing-changed.
    pub what: String,
}

impl Message {
    /// A trust change as this follower may see it; none if there is nothing left of it.
    pub fn of(change: &TrustChange, sight: Sight) -> Option<Message> {
        let mut message = Message {
            at: change.at.to_string(),
            device: change.device.as_ref().map(ToString::to_string),
            from: None,
            invalid_since: None,
            issuer: None,
            reason: None,
            seq: change.seq.0,
            serial: None,
            to: None,
            what: change.kind().to_string(),
        };
        if let Some(certificate) = change.certificate() {
            message.issuer = Some(certificate.issuer.to_string());
            message.serial = Some(certificate.serial.to_string());
        }
        match &change.what {
            Changed::Revoked {
                reason, invalidity, ..
            } => {
                message.reason = Some(reason.to_string());
                message.invalid_since = invalidity.map(|time| time.to_string());
            }
            Changed::Standing { .. } if sight == Sight::Published => return None,
            Changed::Standing { from, to } => {
                message.from = Some(from.to_string());
                message.to = Some(to.to_string());
            }
            Changed::Held { .. } | Changed::Released { .. } => {}
        }
        if sight == Sight::Published {
            message.device = None;
        }
        Some(message)
    }

    fn frame(&self) -> Bytes {
        // A struct of texts and numbers can always be written.
        let data = serde_json::to_string(self).unwrap_or_default();
        event(Some(self.seq), &self.what, data)
    }
}

/// News have no place in the record, and so no id.
fn frame(news: &NewsMessage) -> Bytes {
    // A struct of texts and numbers can always be written.
    let data = serde_json::to_string(news).unwrap_or_default();
    event(None, &news.what, data)
}

fn event(id: Option<i64>, kind: &str, data: String) -> Bytes {
    let event = sse::Event {
        id: id.map(|id| id.to_string()),
        kind: kind.to_owned(),
        data,
    };
    event.write().into()
}

/// Who follows, counted.
#[derive(Clone, Default)]
pub struct Followers {
    inside: Arc<Inside>,
}

#[derive(Default)]
struct Inside {
    open: Mutex<HashMap<OperatorNo, usize>>,
    stop: OnceLock<Stop>,
}

/// A follower's place; given back when it is dropped.
pub struct Place {
    followers: Followers,
    token: OperatorNo,
}

impl Followers {
    /// Has all streams end when the server stops. Without that a stream ends once everything on
    /// record has been told.
    pub fn end_with(&self, stop: Stop) {
        // Only the first counts: a server stops once.
        let _ = self.inside.stop.set(stop);
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        self.inside.open.lock().values().sum()
    }

    /// A place for one more of this token; none if there are too many.
    pub fn place(&self, token: OperatorNo) -> Option<Place> {
        let mut open = self.inside.open.lock();
        let mine = open.get(&token).copied().unwrap_or(0);
        if open.values().sum::<usize>() >= STREAMS_MAX || mine >= STREAMS_PER_TOKEN_MAX {
            return None;
        }
        open.insert(token, mine + 1);
        drop(open);
        Some(Place {
            followers: self.clone(),
            token,
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut open = self.followers.inside.open.lock();
        match open.get_mut(&self.token) {
            Some(count) if *count > 1 => *count -= 1,
            _ => {
                open.remove(&self.token);
            }
        }
    }
}

/// Why a stream ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ended {
    Gone,
    Slow,
    Stopping,
    TokenOver,
    Failed,
}

impl Ended {
    fn word(self) -> &'static str {
        match self {
            Ended::Gone => "you are gone",
            Ended::Slow => "too slow: what was sent stayed unread",
            Ended::Stopping => "the server stops",
            Ended::TokenOver => "the token is expired or withdrawn",
            Ended::Failed => "the record could not be read",
        }
    }
}

/// Whether the token of a follower still works.
pub type StillMay = Box<dyn Fn() -> Result<(), ()> + Send + Sync>;

/// Opens a stream of what comes after `after`, for someone who leaves nothing unread for longer than
/// `slow`.
pub fn open(
    engine: Engine,
    place: Place,
    after: EventSeq,
    wish: Wish,
    still_may: StillMay,
    slow: Duration,
) -> impl Body<Data = Bytes, Error = std::convert::Infallible> + Send + 'static {
    let (frames, queue) = mpsc::channel(STREAM_FRAMES);
    let last = Arc::new(OnceLock::new());
    let told = Arc::clone(&last);
    tokio::spawn(async move {
        let follower = Follower {
            engine,
            wish,
            still_may,
            slow,
            frames,
            place,
        };
        let why = follower.tell(after).await;
        tracing::debug!(why = why.word(), "a stream of trust changes ended");
        let data = serde_json::json!({ "why": why.word() }).to_string();
        // Set once, here.
        let _ = told.set(event(None, "end", data));
    });
    Frames {
        queue,
        last: Some(last),
    }
}

struct Follower {
    engine: Engine,
    wish: Wish,
    still_may: StillMay,
    slow: Duration,
    frames: mpsc::Sender<Bytes>,
    place: Place,
}

impl Follower {
    async fn tell(&self, after: EventSeq) -> Ended {
        let mut bell = self.engine.trust_changes();
        let mut stop = self.place.followers.inside.stop.get().cloned();
        let (mut cursor, mut told) = (after, Instant::now());
        let begin = event(
            Some(after.0),
            "begin",
            serde_json::json!({ "after": after.0 }).to_string(),
        );
        let retry = Bytes::from(format!("retry: {RETRY_MS}\n\n"));
        for frame in [retry, begin] {
            if let Err(ended) = self.send(frame).await {
                return ended;
            }
        }
        let mut news = self.engine.news();
        let mut heard = match self.wish.about.tells_publications() {
            true => Heard::all_but_own(&news.borrow(), &self.wish.feeds),
            false => Heard::default(),
        };
        loop {
            bell.mark_unchanged();
            if (self.still_may)().is_err() {
                return Ended::TokenOver;
            }
            if self.wish.about.tells_publications() {
                let fresh = heard.news(&news.borrow_and_update(), &self.wish.feeds);
                for (topic, newest) in fresh {
                    if let Err(ended) = self.send(frame(&NewsMessage::of(&topic, &newest))).await {
                        return ended;
                    }
                    heard.told(topic, &newest);
                    told = Instant::now();
                }
            }
            if self.wish.about.tells_trust() {
                let page = match self.page(cursor).await {
                    Ok(page) => page,
                    Err(error) => {
                        tracing::error!("a follower of trust changes cannot be served: {error}");
                        return Ended::Failed;
                    }
                };
                for change in &page.changes {
                    let Some(message) = Message::of(change, self.wish.sight) else {
                        continue;
                    };
                    if let Err(ended) = self.send(message.frame()).await {
                        return ended;
                    }
                    told = Instant::now();
                }
                cursor = page.through;
                if page.more == More::Perhaps {
                    continue;
                }
            }
            let Some(stop) = &mut stop else {
                return Ended::Stopping;
            };
            if told.elapsed() >= HEARTBEAT {
                if let Err(ended) = self.send(sse::comment("awake").into()).await {
                    return ended;
                }
                told = Instant::now();
            }
            let is_news = async {
                match self.wish.about.tells_publications() {
                    true => news.changed().await,
                    false => std::future::pending().await,
                }
            };
            tokio::select! {
                () = stop.asked() => return Ended::Stopping,
                () = self.frames.closed() => return Ended::Gone,
                // An error says that the engine is gone, and with it the server.
                changed = bell.changed() => if changed.is_err() { return Ended::Stopping },
                changed = is_news => if changed.is_err() { return Ended::Stopping },
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    }

    async fn page(&self, after: EventSeq) -> Result<trust_change::Page, StoreError> {
        let tenant = self.engine.tenant();
        let read = move |tx: &ReadTx<'_>| trust_change::after(tx, tenant, after, STREAM_BATCH);
        self.engine.store().read(read).await
    }

    async fn send(&self, frame: Bytes) -> Result<(), Ended> {
        match self.frames.send_timeout(frame, self.slow).await {
            Ok(()) => Ok(()),
            Err(mpsc::error::SendTimeoutError::Timeout(_)) => Err(Ended::Slow),
            Err(mpsc::error::SendTimeoutError::Closed(_)) => Err(Ended::Gone),
        }
    }
}

/// What is sent, and at the end why it ended.
struct Frames {
    queue: mpsc::Receiver<Bytes>,
    last: Option<Arc<OnceLock<Bytes>>>,
}

impl Body for Frames {
    type Data = Bytes;
    type Error = std::convert::Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Self::Error>>> {
        let next = match self.queue.poll_recv(context) {
            Poll::Pending => return Poll::Pending,
            Poll::Ready(Some(frame)) => Some(frame),
            Poll::Ready(None) => self.last.take().and_then(|last| last.get().cloned()),
        };
        Poll::Ready(next.map(|bytes| Ok(Frame::data(bytes))))
    }
}

#[cfg(test)]
mod tests;
