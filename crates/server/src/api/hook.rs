//! `/hooks`: who is told of trust changes, or has sessions ended by us.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use tenure_domain::change::{Change, Edit, HookSecret};
use tenure_domain::hook::{Hidden, Hook, HookKind};
use tenure_domain::ids::EventSeq;
use tenure_domain::operator::Permission::{ChangePolicy, ReadFleet};
use tenure_engine::Changed;
use tenure_engine::store::hook::{self, Known, Place};
use tenure_engine::store::{StoreError, trust_change};
use utoipa::ToSchema;

use super::body::{Json, Path, Query, same_name, some_word, some_words, word};
use super::page::{Page, Paging};
use super::{Caller, Desk, Needs, Route};
use crate::hook::caep;
use crate::problem::Problem;

/// Most events shown that a receiver would not have.
const REFUSED_SHOWN_MAX: u32 = 100;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get("/hooks", ReadFleet, "List hooks, by name", list)
            .asks::<Paging>()
            .lists::<HookItem>(),
        Route::post(
            "/hooks",
            ChangePolicy,
            "Add a hook, or change it; a webhook's fresh secret is shown this once",
            put,
        )
        .takes::<HookPut>()
        .answers::<HookItem>()
        .shows_a_secret(),
        Route::get("/hooks/{name}", ReadFleet, "Show a hook", show).answers::<HookItem>(),
        Route::patch(
            "/hooks/{name}",
            ChangePolicy,
            "Change a hook; what is left out stays, and so does its secret",
            edit,
        )
        .takes::<HookPut>()
        .answers::<HookItem>()
        .shows_a_secret(),
        Route::delete(
            "/hooks/{name}",
            ChangePolicy,
            "Take a hook away, with its secret",
            remove,
        )
        .answers::<HookItem>(),
        Route::post(
            "/hooks/{name}/redeliver",
            ChangePolicy,
            "Have a hook told again of everything after an event",
            redeliver,
        )
        .takes::<Redeliver>()
        .answers::<HookItem>(),
        Route::get(
            "/jwks",
            Needs::Nothing,
            "The key that Security Event Tokens are signed with, as a JWK set",
            keys,
        )
        .answers_text("application/json"),
    ]
}

/// A hook.
#[derive(Debug, Serialize, ToSchema)]
pub(crate) struct HookItem {
    /// Its short name.
    pub(crate) name: String,
    /// webhook, caep, mqtt, mosquitto or emqx.
    pub(crate) kind: String,
    /// Where.
    pub(crate) address: String,
    /// What the other side's certificate must lead to, PEM; our own roots if empty.
    anchors_pem: String,
    /// encrypted, or clear.
    wire: String,
    /// Of which changes; all if empty.
    changes: Vec<String>,
    /// Where an MQTT hook publishes.
    topic: String,
    /// For whom the tokens of a CAEP hook are.
    audience: String,
    /// When sessions are ended once more, in seconds after the withdrawal.
    again_after_s: i64,
    /// Who answers for it.
    pub(crate) owner: String,
    /// low, medium, high or safety.
    criticality: String,
    /// Whether there is a secret: the receiver's, or ours that was shown once.
    has_secret: bool,
    /// The fresh secret of a webhook; shown this once.
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<String>,
    /// new, delivering, failing or waiting.
    pub(crate) state: String,
    /// The last event it was told of, or that was not for it.
    pub(crate) told: i64,
    /// How many trust changes wait for it; 256 stands for that many or more.
    pub(crate) waiting: u64,
    /// When something was delivered the last time (RFC 3339).
    pub(crate) delivered: Option<String>,
    /// Since when nothing gets through (RFC 3339).
    failing_since: Option<String>,
    /// How often in a row it failed.
    failures: i64,
    /// What went wrong the last time.
    pub(crate) error: String,
    /// What the receiver would not have, newest first.
    refused: Vec<RefusedItem>,
}

/// An event that a receiver would not have.
#[derive(Debug, Serialize, ToSchema)]
struct RefusedItem {
    /// Which.
    event: i64,
    /// When it was given up (RFC 3339).
    at: String,
    /// What the receiver said.
    why: String,
}

/// A hook to be added or changed; what is left out stays, and takes its default in a new one.
#[derive(Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
struct HookPut {
    /// Its short name.
    name: String,
    /// webhook, caep, mqtt, mosquitto or emqx.
    kind: Option<String>,
    /// Where: `https://HOST[:PORT]/PATH`, or `mqtts://HOST[:PORT]`.
    address: Option<String>,
    /// What the other side's certificate must lead to, PEM; our own roots if empty.
    anchors_pem: Option<String>,
    /// encrypted, or clear where somebody else protects the way; encrypted for a new one.
    wire: Option<String>,
    /// Of which changes: certificate-revoked, certificate-held, certificate-released,
    /// device-standing-changed; all of these if empty. Where they are named, a webhook and an MQTT
    /// hook are also told of publication (a list or filter is out) and feed (a relying party's feed has
    /// a new number).
    changes: Option<Vec<String>>,
    /// Where an MQTT hook publishes; tenure/trust if empty.
    topic: Option<String>,
    /// For whom the tokens of a CAEP hook are; the address if empty.
    audience: Option<String>,
    /// When sessions are ended once more, in seconds after the withdrawal; 300 for a new one.
    again_after_s: Option<i64>,
    /// Who answers for it.
    owner: Option<String>,
    /// low, medium, high or safety; medium for a new one.
    criticality: Option<String>,
    /// The receiver's secret: USER:PASSWORD, KEY:SECRET or a bearer token, by kind.
    secret: Option<String>,
    /// Make a webhook a fresh secret.
    fresh_secret: bool,
}

impl HookPut {
    fn over(self, known: Option<Hook>) -> Result<(Edit<Hook>, HookSecret), Problem> {
        let secret = match (self.secret, self.fresh_secret) {
            (Some(secret), false) => HookSecret::Given(Hidden(secret)),
            (None, true) => HookSecret::Fresh,
            (None, false) => HookSecret::Keep,
            (Some(_), true) => {
                return Err(Problem::bad_request(
                    "secret and fresh_secret: give one, or have one made",
                ));
            }
        };
        let was = match &known {
            Some(known) => known.clone(),
            None => Hook::new(
                word("name", &self.name)?,
                word("kind", &self.kind.clone().unwrap_or_default())?,
                word("owner", &self.owner.clone().unwrap_or_default())?,
            ),
        };
        let address = self.address.unwrap_or_else(|| was.address.clone());
        let kind = some_word("kind", self.kind.as_deref())?.unwrap_or(was.kind);
        // What was left to the address follows it.
        let kept = Some(was.audience).filter(|audience| *audience != was.address);
        let audience = self.audience.or(kept).filter(|text| !text.is_empty());
        let audience = match kind {
            HookKind::Caep => audience.unwrap_or_else(|| address.clone()),
            _ => audience.unwrap_or_default(),
        };
        let to = Hook {
            kind,
            address,
            anchors_pem: self.anchors_pem.unwrap_or(was.anchors_pem),
            wire: some_word("wire", self.wire.as_deref())?.unwrap_or(was.wire),
            changes: some_words("changes", self.changes)?.unwrap_or(was.changes),
            topic: self.topic.unwrap_or(was.topic),
            audience,
            again_after_s: self.again_after_s.unwrap_or(was.again_after_s),
            owner: some_word("owner", self.owner.as_deref())?.unwrap_or(was.owner),
            criticality: some_word("criticality", self.criticality.as_deref())?
                .unwrap_or(was.criticality),
            name: was.name,
        };
        Ok((Edit { from: known, to }, secret))
    }
}

/// From where to tell again.
#[derive(Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
struct Redeliver {
    /// After the event of this number; 0 for all there ever were.
    after: i64,
}

/// A hook with how far it has come.
struct Looked {
    known: Known,
    place: Place,
    waiting: u64,
}

fn look(tx: &tenure_engine::store::ReadTx<'_>, known: Known) -> Result<Looked, StoreError> {
    let place = hook::place(tx, &known)?;
    let tenant = tenure_domain::TenantId::DEFAULT;
    let page = trust_change::after(
        tx,
        tenant,
        EventSeq(place.told),
        crate::limits::STREAM_BATCH,
    )?;
    let wanted = page
        .changes
        .iter()
        .filter(|change| known.hook.wants(change));
    Ok(Looked {
        waiting: wanted.count() as u64,
        known,
        place,
    })
}

impl From<Looked> for HookItem {
    fn from(looked: Looked) -> HookItem {
        let Looked {
            known,
            place,
            waiting,
        } = looked;
        let state = match (&place.failing, waiting, &place.delivered) {
            (Some(_), _, _) => "failing",
            (None, 1.., _) => "waiting",
            (None, 0, Some(_)) => "delivering",
            (None, 0, None) => "new",
        };
        let hook = known.hook;
        HookItem {
            name: hook.name.to_string(),
            kind: hook.kind.to_string(),
            address: hook.address,
            anchors_pem: hook.anchors_pem,
            wire: hook.wire.to_string(),
            changes: hook.changes.iter().map(ToString::to_string).collect(),
            topic: hook.topic,
            audience: hook.audience,
            again_after_s: hook.again_after_s,
            owner: hook.owner.to_string(),
            criticality: hook.criticality.to_string(),
            has_secret: !known.sealed.is_empty(),
            secret: None,
            state: state.to_owned(),
            told: place.told,
            waiting,
            delivered: place.delivered.map(|at| at.to_string()),
            failing_since: place.failing.map(|at| at.to_string()),
            failures: place.failures,
            error: place.error,
            refused: Vec::new(),
        }
    }
}

async fn list(
    State(desk): State<Desk>,
    Query(paging): Query<Paging>,
) -> Result<Json<Page<HookItem>>, Problem> {
    Ok(Json(page(&desk, &paging).await?))
}

/// One page of hooks, by name.
pub(crate) async fn page(desk: &Desk, paging: &Paging) -> Result<Page<HookItem>, Problem> {
    let (tenant, limit) = (desk.engine().tenant(), paging.limit());
    let after = paging.cursor.clone().unwrap_or_default();
    let items = desk
        .read(move |tx| {
            let known = hook::list(tx, tenant, &after, limit)?;
            known
                .into_iter()
                .map(|known| look(tx, known))
                .collect::<Result<Vec<_>, StoreError>>()
        })
        .await?;
    let page = Page::up_to(limit, items, |looked| looked.known.hook.name.clone());
    Ok(page.map(HookItem::from))
}

fn found(desk: &Desk, name: &str) -> Result<Option<Known>, Problem> {
    let tenant = desk.engine().tenant();
    desk.glance(|tx| hook::by_name(tx, tenant, name))
}

fn known(desk: &Desk, name: &str) -> Result<Known, Problem> {
    found(desk, name)?.ok_or_else(|| Problem::not_found(format!("Hook {name}")))
}

async fn item(desk: &Desk, name: &str) -> Result<HookItem, Problem> {
    let known = known(desk, name)?;
    let (looked, refused) = desk
        .read(move |tx| {
            let refused = hook::refused(tx, known.no, REFUSED_SHOWN_MAX)?;
            Ok::<_, StoreError>((look(tx, known)?, refused))
        })
        .await?;
    let refused = refused.into_iter().map(|refused| RefusedItem {
        event: refused.event.0,
        at: refused.at.to_string(),
        why: refused.why,
    });
    Ok(HookItem {
        refused: refused.collect(),
        ..looked.into()
    })
}

async fn show(
    State(desk): State<Desk>,
    Path(name): Path<String>,
) -> Result<Json<HookItem>, Problem> {
    Ok(Json(item(&desk, &name).await?))
}

async fn put(
    State(desk): State<Desk>,
    caller: Caller,
    Json(put): Json<HookPut>,
) -> Result<Json<HookItem>, Problem> {
    let known = found(&desk, &put.name)?.map(|known| known.hook);
    carry_out(&desk, &caller, put.over(known)?).await
}

async fn edit(
    State(desk): State<Desk>,
    caller: Caller,
    Path(name): Path<String>,
    Json(put): Json<HookPut>,
) -> Result<Json<HookItem>, Problem> {
    let known = known(&desk, &name)?.hook;
    same_name(&put.name, &name)?;
    carry_out(&desk, &caller, put.over(Some(known))?).await
}

async fn carry_out(
    desk: &Desk,
    caller: &Caller,
    (edit, secret): (Edit<Hook>, HookSecret),
) -> Result<Json<HookItem>, Problem> {
    let name = edit.to.name.to_string();
    let change = Change::PutHook {
        hook: Box::new(edit),
        secret,
    };
    let fresh = match desk.engine().change(&caller.actor(), change).await? {
        Changed::Hook { fresh, .. } => fresh.map(|fresh| fresh.0),
        _ => None,
    };
    Ok(Json(HookItem {
        secret: fresh,
        ..item(desk, &name).await?
    }))
}

async fn remove(
    State(desk): State<Desk>,
    caller: Caller,
    Path(name): Path<String>,
) -> Result<Json<HookItem>, Problem> {
    let gone = item(&desk, &name).await?;
    let name = known(&desk, &name)?.hook.name;
    desk.engine()
        .change(&caller.actor(), Change::RemoveHook(name))
        .await?;
    Ok(Json(gone))
}

async fn redeliver(
    State(desk): State<Desk>,
    caller: Caller,
    Path(name): Path<String>,
    Json(from): Json<Redeliver>,
) -> Result<Json<HookItem>, Problem> {
    let hook = known(&desk, &name)?.hook.name;
    let change = Change::RedeliverHook {
        hook,
        after: EventSeq(from.after),
    };
    desk.engine().change(&caller.actor(), change).await?;
    Ok(Json(item(&desk, &name).await?))
}

async fn keys(State(desk): State<Desk>) -> Result<Json<Value>, Problem> {
    Ok(Json(caep::key_set(desk.engine())))
}
