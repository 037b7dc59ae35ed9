//! `/feed`: what a relying party should hold, for itself; and `/feeds`, for operators to see who
//! applied what.

use std::time::Duration;

use axum::extract::State;
use axum::http::HeaderMap;
use axum::response::{IntoResponse, Response};
use hyper::StatusCode;
use hyper::header::{ETAG, HeaderValue, IF_NONE_MATCH};
use serde::{Deserialize, Serialize};
use tenure_domain::Slug;
use tenure_domain::feed::{Digest, Way};
use tenure_domain::operator::Permission::{ChangeFleet, Feed as MayFollow, ReadFleet, Report};
use tenure_domain::operator::Role;
use tenure_engine::feed::{PackTerms, item_path, names_item};
use tenure_engine::store::feed::{self, Applied, Feed, Offer};
use tenure_engine::store::relying_party::Known;
use tenure_engine::{Observation, Observed};
use tokio::sync::broadcast::error::RecvError;
use tokio::time::Instant;
use utoipa::{IntoParams, ToSchema};

use super::body::{Json, Path, Query, Text, answer, time, word};
use super::page::{Page, Paging};
use super::relying_party::known;
use super::{Caller, Desk, Needs, Route};
use crate::limits::FEED_WAIT_S_MAX;
use crate::problem::Problem;

const BYTES: &str = "application/octet-stream";
const TEXT: &str = "text/plain; charset=utf-8";

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get(
            "/feeds",
            ReadFleet,
            "List what relying parties should hold and what they applied, by name",
            list,
        )
        .asks::<Paging>()
        .lists::<FeedItem>(),
        Route::get(
            "/feeds/{name}",
            ReadFleet,
            "Show what a relying party should hold and what it applied",
            show,
        )
        .answers::<FeedItem>(),
        Route::get(
            "/feed-key",
            Needs::AnyToken,
            "The key that manifests are signed with, to be pinned (C2SP signed-note)",
            key,
        )
        .answers_text("text/plain"),
        Route::get(
            "/feed/{party}",
            MayFollow,
            "The newest manifest of a relying party, signed (C2SP signed-note); 204 if there is none \
             above `after`",
            manifest,
        )
        .asks::<Newer>()
        .answers_text("text/plain"),
        Route::get(
            "/feed/{party}/items/{hash}",
            MayFollow,
            "An item of a manifest, by its SHA-256",
            item,
        )
        .answers_text(BYTES),
        Route::post(
            "/feed/{party}/ack",
            MayFollow,
            "Say that a manifest is applied; refused if it was not offered, or if a newer one was \
             applied before",
            acknowledge,
        )
        .takes::<Ack>()
        .answers::<AckTaken>(),
        Route::post(
            "/feeds/{name}/packs",
            ChangeFleet,
            "Make a pack: what a relying party should hold, in one file to be carried there",
            pack,
        )
        .takes::<Terms>()
        .answers_text(BYTES)
        // Too large to be kept: asked for again, another one is made.
        .shows_a_secret(),
        Route::post(
            "/sites/{name}/packs",
            ChangeFleet,
            "Make one pack for all relying parties at a site and at the sites inside it",
            site_pack,
        )
        .takes::<SiteTerms>()
        .answers_text(BYTES)
        .shows_a_secret(),
        Route::post(
            "/pack-receipts",
            Report,
            "Take a receipt that was carried back from a relying party",
            receipt,
        )
        .takes_text("text/plain")
        .answers::<ReceiptTaken>(),
    ]
}

/// What a relying party should hold and what it said it applied.
#[derive(Serialize, ToSchema)]
pub(crate) struct FeedItem {
    /// The relying party.
    name: String,
    /// How it is reached: pull or pack.
    pub(crate) way: String,
    /// The number of the newest manifest.
    pub(crate) offered: i64,
    /// The number of the one it applied last; 0 if none.
    pub(crate) applied: i64,
    /// Whether that is the newest.
    current: bool,
    /// Since when there has been something that it has not applied (RFC 3339).
    pub(crate) behind_since: Option<String>,
    /// How long that may take, in seconds.
    pub(crate) within_s: i64,
    /// When it applied what it holds, by its own clock (RFC 3339).
    applied_at: Option<String>,
    /// When we heard of it (RFC 3339).
    pub(crate) acknowledged: Option<String>,
    /// The SHA-256 of the manifest that it holds.
    manifest: Option<String>,
    /// The SHA-256 of each trust anchor that it holds.
    anchors: Vec<String>,
}

impl FeedItem {
    fn of(feed: Feed, held: Option<Offer>, enforce_within_s: i64) -> FeedItem {
        let anchors = held.iter().flat_map(|held| &held.anchors);
        FeedItem {
            way: feed.way().to_string(),
            name: feed.party.to_string(),
            offered: feed.sequence,
            applied: feed.applied,
            current: feed.behind.is_none(),
            behind_since: feed.behind.map(|at| at.to_string()),
            within_s: feed.within_s.unwrap_or(enforce_within_s),
            applied_at: feed.said.map(|at| at.to_string()),
            acknowledged: feed.heard.map(|at| at.to_string()),
            anchors: anchors.map(Digest::to_string).collect(),
            manifest: held.map(|held| held.hash.to_string()),
        }
    }
}

/// Which manifest is news to the relying party.
#[derive(Debug, Default, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
struct Newer {
    /// The number it holds; what is not above it is not sent.
    after: Option<i64>,
    /// How long to wait for a newer one, in seconds; at most 60.
    wait: Option<u64>,
}

/// That a manifest is applied.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Ack {
    /// Its number.
    sequence: i64,
    /// The SHA-256 of its text.
    sha256: String,
    /// When, by the relying party's clock (RFC 3339).
    applied_at: String,
}

/// What became of an acknowledgement.
#[derive(Serialize, ToSchema)]
struct AckTaken {
    /// first (news, recorded) or known (nothing new).
    seen: &'static str,
}

async fn list(
    State(desk): State<Desk>,
    Query(paging): Query<Paging>,
) -> Result<Json<Page<FeedItem>>, Problem> {
    let (tenant, limit) = (desk.engine().tenant(), paging.limit());
    let after = paging.cursor.clone().unwrap_or_default();
    let items = desk
        .read(move |tx| feed::list(tx, tenant, &after, limit))
        .await?;
    let page = Page::up_to(limit, items, |feed| feed.party.clone());
    let mut shown = Vec::new();
    for feed in page.items {
        let party = known(&desk, feed.party.as_str())?;
        shown.extend(state(&desk, &party)?);
    }
    Ok(Json(Page {
        items: shown,
        next: page.next,
    }))
}

/// Where a relying party's feed is; `None` if nothing was ever offered to it.
pub(crate) fn state(desk: &Desk, party: &Known) -> Result<Option<FeedItem>, Problem> {
    let no = party.no;
    let found = desk.glance(|tx| Ok((feed::of(tx, no)?, feed::held(tx, no)?)))?;
    let (feed, held) = found;
    Ok(feed.map(|feed| FeedItem::of(feed, held, party.party.enforce_within_s)))
}

async fn show(
    State(desk): State<Desk>,
    Path(name): Path<String>,
) -> Result<Json<FeedItem>, Problem> {
    let party = known(&desk, &name)?;
    Ok(Json(state(&desk, &party)?.ok_or_else(|| nothing(&name))?))
}

fn nothing(name: &str) -> Problem {
    Problem::not_found(format!(
        "A feed of {name}: no token is bound to it (`tenure feed connect {name}`), so its feed"
    ))
}

async fn key(State(desk): State<Desk>) -> Result<Response, Problem> {
    let key = desk.engine().feed_verifier()?;
    let key = key.ok_or_else(|| Problem::unavailable("This server holds no key named feed."))?;
    Ok(answer(TEXT, format!("{key}\n")))
}

/// The relying party of the path, if the caller may follow its feed: one of role relying-party may
/// follow the one its token is bound to and sees of no other whether it exists.
fn followed(desk: &Desk, caller: &Caller, name: &str) -> Result<Known, Problem> {
    match (&caller.party, caller.role) {
        (Some(own), _) if own.as_str() != name => Err(Problem::forbidden(
            "This token opens the feed of another relying party.",
        )),
        (None, Role::RelyingParty) => Err(Problem::forbidden(
            "This token is bound to no relying party: it opens no feed.",
        )),
        (Some(_) | None, _) => known(desk, name),
    }
}

async fn manifest(
    State(desk): State<Desk>,
    caller: Caller,
    Path(name): Path<String>,
    Query(newer): Query<Newer>,
    headers: HeaderMap,
) -> Result<Response, Problem> {
    let party = followed(&desk, &caller, &name)?;
    let wait = Duration::from_secs(newer.wait.unwrap_or(0).min(FEED_WAIT_S_MAX));
    let deadline = Instant::now() + wait;
    // Before the first look: what comes in between is heard.
    let mut signals = desk.engine().feed_signals();
    loop {
        let newest = desk.glance(|tx| feed::newest(tx, party.no))?;
        let is_over = Instant::now() >= deadline;
        match newest {
            Some(offer) if offer.sequence > newer.after.unwrap_or(0) => {
                return Ok(sent(&offer, &headers));
            }
            None if is_over && newer.after.is_none() => return Err(nothing(&name)),
            Some(_) | None if is_over => return Ok(StatusCode::NO_CONTENT.into_response()),
            Some(_) | None => {}
        }
        let own: &Slug = &party.party.name;
        let heard = async {
            loop {
                match signals.recv().await {
                    Ok(signal) if signal.party != *own => {}
                    // One that was missed may have been ours.
                    Ok(_) | Err(RecvError::Lagged(_)) => return,
                    // The engine is going; there will be no more.
                    Err(RecvError::Closed) => std::future::pending::<()>().await,
                }
            }
        };
        // Either way there is a look to be taken.
        let _ = tokio::time::timeout_at(deadline, heard).await;
    }
}

fn sent(offer: &Offer, headers: &HeaderMap) -> Response {
    let tag = format!("\"{}-{}\"", offer.sequence, offer.hash);
    let is_held = headers
        .get_all(IF_NONE_MATCH)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|held| held.trim() == tag);
    let mut response = match is_held {
        true => StatusCode::NOT_MODIFIED.into_response(),
        false => answer(TEXT, offer.note.clone()),
    };
    if let Ok(tag) = HeaderValue::from_str(&tag) {
        response.headers_mut().insert(ETAG, tag);
    }
    response
}

async fn item(
    State(desk): State<Desk>,
    caller: Caller,
    Path((name, hash)): Path<(String, String)>,
) -> Result<Response, Problem> {
    let party = followed(&desk, &caller, &name)?;
    let absent = || {
        Problem::not_found(format!(
            "An item {hash} in a manifest of {name} (fetch the newest manifest again)"
        ))
    };
    let digest: Digest = hash.parse().map_err(|_| absent())?;
    let offers = desk.read(move |tx| feed::offers(tx, party.no)).await?;
    if !offers.iter().any(|offer| names_item(&offer.note, digest)) {
        return Err(absent());
    }
    let path = item_path(desk.engine().directory(), digest);
    match tokio::fs::read(path).await {
        Ok(octets) => Ok(answer(BYTES, octets)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Err(absent()),
        Err(_) => Err(Problem::internal()),
    }
}

async fn acknowledge(
    State(desk): State<Desk>,
    caller: Caller,
    Path(name): Path<String>,
    Json(ack): Json<Ack>,
) -> Result<Json<AckTaken>, Problem> {
    let party = followed(&desk, &caller, &name)?;
    let applied = Applied {
        sequence: ack.sequence,
        hash: word("sha256", &ack.sha256)?,
        at: time("applied_at", &ack.applied_at)?,
        way: Way::Pull,
    };
    let seen = Observation::FeedApplied {
        actor: caller.actor(),
        party: party.party.name,
        applied,
    };
    Ok(Json(AckTaken {
        seen: said(desk.engine().observe(seen).await?),
    }))
}

/// What a pack is made for; what is left out takes its default.
#[derive(Debug, Serialize, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
struct Terms {
    /// From this age on somebody there is to be told, in seconds; 7 days if left out.
    warn_s: i64,
    /// From this age on nobody new is to be let in, in seconds; 14 days if left out.
    restrict_s: i64,
    /// From this age on nobody is to be let in, in seconds; 30 days if left out.
    close_s: i64,
    /// How long the receipt may take to come back, in seconds; 7 days if left out.
    receipt_within_s: i64,
}

impl Default for Terms {
    fn default() -> Terms {
        Terms {
            warn_s: 7 * 86_400,
            restrict_s: 14 * 86_400,
            close_s: 30 * 86_400,
            receipt_within_s: 7 * 86_400,
        }
    }
}

impl From<Terms> for PackTerms {
    fn from(terms: Terms) -> PackTerms {
        let Terms {
            warn_s,
            restrict_s,
            close_s,
            receipt_within_s,
        } = terms;
        PackTerms {
            warn_s,
            restrict_s,
            close_s,
            receipt_within_s,
        }
    }
}

/// What a site's pack is made for.
#[derive(Debug, Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
struct SiteTerms {
    /// Relying parties at the site that are to be left out, by name.
    except: Vec<String>,
    /// How old it may grow, for each of them.
    terms: Terms,
}

/// What a receipt said.
#[derive(Serialize, ToSchema)]
struct ReceiptTaken {
    /// The relying party.
    name: String,
    /// The number of the manifest that it uses.
    sequence: i64,
    /// first (news, recorded) or known (nothing new).
    seen: &'static str,
}

async fn pack(
    State(desk): State<Desk>,
    caller: Caller,
    Path(name): Path<String>,
    Json(terms): Json<Terms>,
) -> Result<Response, Problem> {
    let party = known(&desk, &name)?.party.name;
    let made = desk
        .engine()
        .export_pack(&caller.actor(), &party, terms.into())
        .await?;
    Ok(answer(BYTES, made.octets))
}

async fn site_pack(
    State(desk): State<Desk>,
    caller: Caller,
    Path(name): Path<String>,
    Json(SiteTerms { except, terms }): Json<SiteTerms>,
) -> Result<Response, Problem> {
    let site = word("site", &name)?;
    let except = except.iter().map(|name| word("except", name));
    let except = except.collect::<Result<Vec<Slug>, _>>()?;
    let made = desk
        .engine()
        .export_site_pack(&caller.actor(), &site, &except, terms.into())
        .await?;
    Ok(answer(BYTES, made.octets))
}

async fn receipt(
    State(desk): State<Desk>,
    caller: Caller,
    Text(file): Text,
) -> Result<Json<ReceiptTaken>, Problem> {
    let actor = caller.actor();
    let taken = desk.engine().take_receipt(&actor, file.as_bytes());
    let (receipt, observed) = taken.await?;
    Ok(Json(ReceiptTaken {
        name: receipt.party.to_string(),
        sequence: receipt.sequence,
        seen: said(observed),
    }))
}

fn said(observed: Observed) -> &'static str {
    match observed {
        Observed::First => "first",
        Observed::Older | Observed::Known | Observed::Alarm => "known",
    }
}
