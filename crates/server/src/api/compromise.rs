//! `/compromises` and `/key-lists`: keys and issuers in other hands, and keys that others know.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use tenure_domain::compromise::{Compromise, CompromiseKind, Wave};
use tenure_domain::ids::{CompromiseNo, Slug};
use tenure_domain::operator::Permission::{ReadFleet, Withdraw};
use tenure_domain::text::{hex, hex32};
use tenure_engine::store::{blocked_key, compromise};
use tenure_engine::{CompromiseStanding, KeyCompromise, Of};
use tenure_x509::{KeyHash, PublicKey};
use utoipa::{IntoParams, ToSchema};

use super::blast::{CertificatesItem, TallyItem};
use super::body::{Json, Path, Query, Text, some_word, time, word};
use super::page::{Page, Paging};
use super::{Caller, Desk, Route, device};
use crate::problem::Problem;

/// Most keys of a list taken in one call: each is one row, and all are one transaction.
const KEYS_MAX: usize = 10_000;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get("/compromises", ReadFleet, "List compromises, newest first", list)
            .asks::<Paging>()
            .lists::<CompromiseItem>(),
        Route::post(
            "/compromises",
            Withdraw,
            "Say that a key or an issuer is in other hands: a key's certificates are revoked and it \
             is blocked for ever",
            add,
        )
        .takes::<NewCompromise>()
        .answers::<StandingItem>(),
        Route::get(
            "/compromises/{no}",
            ReadFleet,
            "Show a compromise, and how far it is mended",
            show,
        )
        .answers::<StandingItem>(),
        Route::post(
            "/compromises/{no}/withdraw",
            Withdraw,
            "Revoke what devices of one criticality still hold of a compromised issuer, a batch of \
             them at a time",
            withdraw,
        )
        .takes::<NewWaveStep>()
        .answers::<WaveStepItem>(),
        Route::get("/key-lists", ReadFleet, "List lists of known keys, by name", lists)
            .asks::<Paging>()
            .lists::<KeyListItem>(),
        Route::post(
            "/key-lists",
            Withdraw,
            "Add keys that others know to a list: one SHA-256 of a SubjectPublicKeyInfo a line",
            list_keys,
        )
        .asks::<Named>()
        .takes_text("text/plain")
        .answers::<ListedItem>(),
    ]
}

/// A key or an issuer in other hands.
#[derive(Serialize, ToSchema)]
pub(crate) struct CompromiseItem {
    /// Its number.
    pub(crate) no: i64,
    /// key or issuer.
    pub(crate) kind: String,
    /// The SHA-256 of the key's SubjectPublicKeyInfo, or the issuer's name.
    pub(crate) name: String,
    /// When it was told (RFC 3339).
    pub(crate) at: String,
    /// Since when it must be thought bad, if earlier (RFC 3339).
    pub(crate) since: Option<String>,
    /// Why.
    pub(crate) why: String,
    /// said, or proved with the key itself.
    pub(crate) how: String,
    /// Who told.
    pub(crate) by: String,
    /// How many devices it concerned then.
    pub(crate) devices: u64,
    /// How many certificates.
    pub(crate) certificates: u64,
}

impl From<Compromise> for CompromiseItem {
    fn from(compromise: Compromise) -> CompromiseItem {
        CompromiseItem {
            no: compromise.no.0,
            kind: compromise.kind.to_string(),
            name: compromise.name,
            at: compromise.at.to_string(),
            since: compromise.since.map(|at| at.to_string()),
            why: compromise.why,
            how: compromise.how.to_string(),
            by: compromise.by,
            devices: compromise.devices,
            certificates: compromise.certificates,
        }
    }
}

/// The devices of one criticality, which get new keys together.
#[derive(Serialize, ToSchema)]
pub(crate) struct WaveItem {
    /// From 1 in the order in which they are taken.
    pub(crate) wave: u8,
    /// low, medium, high or safety.
    pub(crate) criticality: String,
    /// done, now or later.
    pub(crate) state: String,
    /// Its devices.
    pub(crate) devices: TallyItem,
}

impl From<&Wave> for WaveItem {
    fn from(wave: &Wave) -> WaveItem {
        WaveItem {
            wave: wave.no,
            criticality: wave.criticality.to_string(),
            state: wave.state.to_string(),
            devices: (&wave.devices).into(),
        }
    }
}

/// A compromise, and how far it is mended.
#[derive(Serialize, ToSchema)]
pub(crate) struct StandingItem {
    /// What was recorded.
    pub(crate) compromise: CompromiseItem,
    /// Whom it concerns, before and now.
    pub(crate) devices: TallyItem,
    /// The certificates.
    pub(crate) certificates: CertificatesItem,
    /// In which order devices get new keys, and how far that is.
    pub(crate) waves: Vec<WaveItem>,
}

impl From<CompromiseStanding> for StandingItem {
    fn from(standing: CompromiseStanding) -> StandingItem {
        StandingItem {
            compromise: standing.compromise.into(),
            devices: (&standing.radius.devices).into(),
            certificates: (&standing.radius.certificates).into(),
            waves: standing.waves.iter().map(WaveItem::from).collect(),
        }
    }
}

async fn list(
    State(desk): State<Desk>,
    Query(paging): Query<Paging>,
) -> Result<Json<Page<CompromiseItem>>, Problem> {
    Ok(Json(page(&desk, &paging).await?.map(CompromiseItem::from)))
}

/// One page of compromises, newest first.
pub(crate) async fn page(desk: &Desk, paging: &Paging) -> Result<Page<Compromise>, Problem> {
    let (tenant, before, limit) = (desk.engine().tenant(), paging.number()?, paging.limit());
    let items = desk
        .read(move |tx| compromise::list(tx, tenant, before.map(CompromiseNo), limit))
        .await?;
    Ok(Page::up_to(limit, items, |compromise| compromise.no.0))
}

/// What is in other hands.
#[derive(Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
struct NewCompromise {
    /// key or issuer.
    kind: String,
    /// The SHA-256 of the key's SubjectPublicKeyInfo in hex, or the issuer's name.
    name: String,
    /// Why, for the record.
    why: String,
    /// Since when it must be thought bad (RFC 3339); from now on if left out.
    since: Option<String>,
    /// That whoever says so holds the key.
    proof: Option<KeyProof>,
}

/// A proof of holding a key.
#[derive(Serialize, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct KeyProof {
    /// The key, PEM (`PUBLIC KEY`).
    public_key: String,
    /// Its signature over `tenure: this key is compromised`, a line feed, the SHA-256 of its
    /// SubjectPublicKeyInfo in lower-case hex and another line feed, with the algorithm that is usual
    /// for the key; hex.
    signature: String,
}

impl KeyProof {
    fn read(self) -> Result<(PublicKey, Vec<u8>), Problem> {
        let key = PublicKey::from_pem(&self.public_key)
            .map_err(|error| Problem::bad_request(format!("proof.public_key: {error}")))?;
        let signature = bytes(&self.signature)
            .ok_or_else(|| Problem::bad_request("proof.signature: it is not hex"))?;
        Ok((key, signature))
    }
}

fn bytes(text: &str) -> Option<Vec<u8>> {
    let is_hex = text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if !is_hex || !text.len().is_multiple_of(2) {
        return None;
    }
    let pairs = (0..text.len()).step_by(2);
    pairs
        .map(|at| u8::from_str_radix(text.get(at..at + 2)?, 16).ok())
        .collect()
}

fn key_hash(field: &str, text: &str) -> Result<KeyHash, Problem> {
    let hash = hex32(&text.to_ascii_lowercase());
    hash.map(KeyHash).ok_or_else(|| {
        Problem::bad_request(format!(
            "{field}: write the SHA-256 of the key's SubjectPublicKeyInfo, 64 hex digits"
        ))
    })
}

async fn add(
    State(desk): State<Desk>,
    caller: Caller,
    Json(new): Json<NewCompromise>,
) -> Result<Json<StandingItem>, Problem> {
    let why = device::Why { why: new.why }.text()?;
    let since = new
        .since
        .as_deref()
        .map(|at| time("since", at))
        .transpose()?;
    let (engine, actor) = (desk.engine(), caller.actor());
    let no = match word("kind", &new.kind)? {
        CompromiseKind::Key => {
            let told = KeyCompromise {
                key: key_hash("name", &new.name)?,
                since,
                why,
                proof: new.proof.map(KeyProof::read).transpose()?,
            };
            engine.compromise_key(&actor, told).await?
        }
        CompromiseKind::Issuer => {
            if new.proof.is_some() {
                return Err(Problem::bad_request(
                    "proof: an issuer is named, and nothing is proved of it",
                ));
            }
            let issuer: Slug = word("name", &new.name)?;
            engine
                .compromise_issuer(&actor, &issuer, since, &why)
                .await?
        }
    };
    Ok(Json(desk.engine().compromise(no).await?.into()))
}

/// One compromise, and how far it is mended.
pub(crate) async fn standing(desk: &Desk, no: i64) -> Result<StandingItem, Problem> {
    Ok(desk.engine().compromise(CompromiseNo(no)).await?.into())
}

async fn show(
    State(desk): State<Desk>,
    Path(no): Path<i64>,
) -> Result<Json<StandingItem>, Problem> {
    standing(&desk, no).await.map(Json)
}

/// Which devices of a compromised issuer lose what they hold of it.
#[derive(Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
struct NewWaveStep {
    /// low, medium, high or safety.
    criticality: String,
    /// moved (those with another certificate in force; if left out) or all.
    of: Option<String>,
    /// The `next` of the step before.
    cursor: Option<String>,
}

/// What one step did.
#[derive(Serialize, ToSchema)]
struct WaveStepItem {
    /// Devices that lost something.
    devices: u64,
    /// Certificates that were revoked.
    certificates: u64,
    /// Where the next step begins; none after the last.
    next: Option<String>,
}

async fn withdraw(
    State(desk): State<Desk>,
    caller: Caller,
    Path(no): Path<i64>,
    Json(step): Json<NewWaveStep>,
) -> Result<Json<WaveStepItem>, Problem> {
    let of = match step.of.as_deref() {
        None | Some("" | "moved") => Of::TheMoved,
        Some("all") => Of::All,
        Some(_) => return Err(Problem::bad_request("of: use moved or all")),
    };
    let criticality = word("criticality", &step.criticality)?;
    let cursor = step.cursor.filter(|cursor| !cursor.is_empty());
    let done = desk
        .engine()
        .withdraw_wave(&caller.actor(), CompromiseNo(no), criticality, of, cursor)
        .await?;
    Ok(Json(WaveStepItem {
        devices: done.devices,
        certificates: done.certificates,
        next: done.next,
    }))
}

/// A list of keys that others know.
#[derive(Serialize, ToSchema)]
pub(crate) struct KeyListItem {
    /// Its name.
    pub(crate) name: String,
    /// How many of its keys are blocked for it.
    pub(crate) keys: u64,
    /// How many of our certificates held one when it came.
    pub(crate) held: u64,
    /// When its first keys came (RFC 3339).
    pub(crate) first: String,
    /// When its last keys came (RFC 3339).
    pub(crate) last: String,
}

async fn lists(
    State(desk): State<Desk>,
    Query(paging): Query<Paging>,
) -> Result<Json<Page<KeyListItem>>, Problem> {
    key_lists(&desk, paging).await.map(Json)
}

/// One page of lists of known keys, by name.
pub(crate) async fn key_lists(desk: &Desk, paging: Paging) -> Result<Page<KeyListItem>, Problem> {
    let (tenant, limit) = (desk.engine().tenant(), paging.limit());
    let after = paging.cursor.unwrap_or_default();
    let found = desk
        .read(move |tx| blocked_key::lists(tx, tenant, &after, limit))
        .await?;
    let page = Page::up_to(limit, found, |list| list.name.clone());
    Ok(page.map(|list| KeyListItem {
        name: list.name.to_string(),
        keys: list.keys,
        held: list.held,
        first: list.first.to_string(),
        last: list.last.to_string(),
    }))
}

/// Which list.
#[derive(Default, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
struct Named {
    /// Its name.
    list: Option<String>,
}

/// What adding keys did.
#[derive(Serialize, ToSchema)]
struct ListedItem {
    /// The list.
    list: String,
    /// Keys that were not blocked before.
    added: u64,
    /// Keys that were.
    known: u64,
    /// Certificates of ours with a key that is news; each is a finding.
    held: Vec<HeldItem>,
}

/// A certificate of ours with a key that others know.
#[derive(Serialize, ToSchema)]
struct HeldItem {
    /// Its serial.
    serial: String,
    /// Its device.
    device: String,
    /// The key.
    key: String,
    /// Where it is in its life.
    status: String,
}

/// The hashes of a list: one a line; what follows a blank is a remark, and so is a line with `#`.
fn hashes(text: &str) -> Result<Vec<KeyHash>, Problem> {
    let mut keys = Vec::new();
    for (i, line) in text.lines().enumerate() {
        let word = line.split_whitespace().next().unwrap_or_default();
        if word.is_empty() || word.starts_with('#') {
            continue;
        }
        keys.push(key_hash(&format!("line {}", i + 1), word)?);
    }
    match keys.len() {
        0 => Err(Problem::bad_request("the list holds no key")),
        1..=KEYS_MAX => Ok(keys),
        more => Err(Problem::bad_request(format!(
            "{more} keys in one call; send {KEYS_MAX} at most, and the rest in further calls"
        ))),
    }
}

async fn list_keys(
    State(desk): State<Desk>,
    caller: Caller,
    Query(named): Query<Named>,
    Text(text): Text,
) -> Result<Json<ListedItem>, Problem> {
    let list: Slug = some_word("list", named.list.as_deref())?
        .ok_or_else(|| Problem::bad_request("list: give the list a name"))?;
    let keys = hashes(&text)?;
    let whole = keys.len() as u64;
    let hash = hex(&tenure_x509::sha256(text.as_bytes()));
    let listed = desk
        .engine()
        .list_keys(&caller.actor(), &list, keys, hash)
        .await?;
    Ok(Json(ListedItem {
        list: list.to_string(),
        added: listed.added,
        known: whole.saturating_sub(listed.added),
        held: listed
            .held
            .iter()
            .map(|row| HeldItem {
                serial: row.serial.to_string(),
                device: row.device_id.to_string(),
                key: row.key.to_string(),
                status: row.status.to_string(),
            })
            .collect(),
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_of_keys_is_read_line_by_line() {
        let one = "ab".repeat(32);
        let two = "CD".repeat(32);
        let text = format!("# weak\n\n{one} debian\n{two}\n");
        assert_eq!(
            hashes(&text).unwrap(),
            [KeyHash([0xab; 32]), KeyHash([0xcd; 32])]
        );
        let problem = hashes(&format!("{one}\nnonsense\n")).unwrap_err();
        assert!(problem.to_string().contains("line 2"), "{problem}");
        assert!(hashes("# nothing\n").is_err());
        assert_eq!(bytes("0aFF"), Some(vec![10, 255]));
        assert_eq!(bytes("0a0"), None);
        assert_eq!(bytes("zz"), None);
    }
}
