//! `/relying-parties/{name}/trust-store` and `/anchors`: whom relying parties trust, as it was
//! observed, beside whom they are meant to trust.

use axum::extract::State;
use axum::response::Response;
use serde::{Deserialize, Serialize};
use tenure_domain::Slug;
use tenure_domain::change::Change;
use tenure_domain::operator::Permission::{
    ChangeFleet, ChangePolicy, ReadFleet, ReadRecord, Report,
};
use tenure_domain::rollover::cross_certificates;
use tenure_domain::trust_store::{Fingerprint, HeldAnchor, Legacy, Meant, TrustStoreChange};
use tenure_engine::store::relying_party::Known;
use tenure_engine::store::{StoreError, trust_store as stored};
use tenure_engine::trust_store::{self, BundleKind, why_not_needed};
use tenure_x509::{Cert, Time};
use utoipa::{IntoParams, ToSchema};

use super::body::{Json, Path, Query, answer};
use super::page::{Page, Paging};
use super::{Caller, Desk, Route, relying_party};
use crate::problem::Problem;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get(
            "/relying-parties/{name}/trust-store",
            ReadFleet,
            "Show what a relying party is meant to trust and what it was observed to trust",
            show,
        )
        .answers::<TrustStoreItem>(),
        Route::post(
            "/relying-parties/{name}/trust-store",
            Report,
            "Report all that a relying party trusts now",
            report,
        )
        .takes::<Reported>()
        .answers::<TrustStoreItem>(),
        Route::patch(
            "/relying-parties/{name}/trust-store",
            ChangeFleet,
            "Say how many anchors a relying party may hold",
            budget,
        )
        .takes::<BudgetBody>()
        .answers::<TrustStoreItem>(),
        Route::get(
            "/relying-parties/{name}/trust-store/bundle",
            ReadFleet,
            "The issuing CAs that a relying party is meant to trust, PEM",
            bundle,
        )
        .asks::<WhichBundle>()
        .answers_text("application/x-pem-file"),
        Route::post(
            "/relying-parties/{name}/trust-store/prune",
            ChangePolicy,
            "Take an anchor that nothing needs out of what a relying party is meant to hold",
            prune,
        )
        .takes::<AnchorBody>()
        .answers::<TrustStoreItem>(),
        Route::post(
            "/relying-parties/{name}/trust-store/restore",
            ChangePolicy,
            "Put an anchor back that was taken out",
            restore,
        )
        .takes::<AnchorBody>()
        .answers::<TrustStoreItem>(),
        Route::get(
            "/trust-stores/audit",
            ReadRecord,
            "What every relying party is meant to trust and was observed to trust, signed by the log's key",
            audit,
        )
        .answers_text("text/plain; charset=utf-8"),
        Route::get(
            "/anchors",
            ReadFleet,
            "List anchors that were observed or registered",
            list,
        )
        .asks::<Paging>()
        .lists::<AnchorItem>(),
        Route::post(
            "/anchors",
            ChangePolicy,
            "Register an anchor that is not ours, with who may hold it and until when",
            legacy,
        )
        .takes::<LegacyBody>()
        .answers::<AnchorReport>(),
        Route::get(
            "/anchors/{fingerprint}",
            ReadFleet,
            "Show an anchor: where it was observed, what is under it, its rollover and revocation",
            anchor,
        )
        .answers::<AnchorReport>(),
    ]
}

/// A trust store: what is meant beside what was observed.
#[derive(Serialize, ToSchema)]
pub(crate) struct TrustStoreItem {
    /// The relying party.
    pub(crate) relying_party: String,
    /// When its trust store was last reported (RFC 3339).
    pub(crate) reported: Option<String>,
    /// By when the next report was promised (RFC 3339); none if nobody promised one.
    pub(crate) again: Option<String>,
    /// How many anchors it may hold.
    pub(crate) anchors_max: u32,
    /// The issuing CAs it is meant to trust.
    pub(crate) intended: Vec<IntendedItem>,
    /// What it was observed to trust.
    pub(crate) held: Vec<HeldItem>,
    /// The issuing CAs that it is meant to trust and does not.
    pub(crate) missing: Vec<String>,
    /// Anchors that were taken out here, SHA-256.
    pub(crate) pruned: Vec<String>,
}

/// An issuing CA that a relying party is meant to trust.
#[derive(Serialize, ToSchema)]
pub(crate) struct IntendedItem {
    /// Its short name.
    pub(crate) issuer: String,
    /// SHA-256 of its certificate, in hex.
    pub(crate) fingerprint: String,
    /// distributed, active or tainted.
    pub(crate) state: String,
    /// How many of its certificates are in force, counted up to 10000.
    pub(crate) certificates: u64,
    /// When a service behind this relying party last reported one in use (RFC 3339).
    pub(crate) seen_here: Option<String>,
    /// When any service did (RFC 3339).
    pub(crate) seen: Option<String>,
    /// Whether something live needs it.
    pub(crate) needed: bool,
    /// Whether it is part of the minimal bundle: seen in use here not long ago, or to come.
    pub(crate) minimal: bool,
}

impl IntendedItem {
    fn of(meant: &Meant, now: Time) -> IntendedItem {
        IntendedItem {
            issuer: meant.issuer.to_string(),
            fingerprint: meant.fingerprint.to_string(),
            state: meant.state.to_string(),
            certificates: meant.leaves,
            seen_here: meant.seen_here.map(|at| at.to_string()),
            seen: meant.seen.map(|at| at.to_string()),
            needed: meant.is_needed(now),
            minimal: meant.is_used_here(now),
        }
    }
}

/// An anchor that a relying party was observed to trust.
#[derive(Serialize, ToSchema)]
pub(crate) struct HeldItem {
    /// SHA-256 of the certificate, in hex.
    pub(crate) fingerprint: String,
    /// Whom it names (RFC 4514).
    pub(crate) subject: String,
    /// When it ends (RFC 3339).
    pub(crate) not_after: String,
    /// When it was first observed there (RFC 3339).
    pub(crate) first: String,
    /// When last (RFC 3339).
    pub(crate) last: String,
    /// The issuer of ours that it is.
    pub(crate) issuer: Option<String>,
    /// meant, stale, not-meant, legacy, out-of-scope or unknown.
    pub(crate) standing: String,
    /// Why it can be taken out; none if something live needs it, or it is legacy.
    pub(crate) prune: Option<String>,
}

/// What a relying party is meant to trust beside what it was observed to trust.
pub(crate) async fn item(desk: &Desk, known: &Known) -> Result<TrustStoreItem, Problem> {
    let (tenant, now) = (desk.engine().tenant(), desk.now());
    let of = known.clone();
    let (comparison, budget) = desk
        .read(move |tx| {
            let comparison = trust_store::compare(tx, tenant, &of, now)?;
            Ok::<_, StoreError>((comparison, stored::budget(tx, of.no)?))
        })
        .await?;
    let name = &known.party.name;
    let held = |anchor: &HeldAnchor| {
        let standing = comparison.standing(name, anchor, now);
        let is_in_order = matches!(
            standing,
            tenure_domain::trust_store::AnchorStanding::Meant
                | tenure_domain::trust_store::AnchorStanding::Legacy
        );
        HeldItem {
            fingerprint: anchor.fingerprint.to_string(),
            subject: anchor.subject.clone(),
            not_after: anchor.not_after.to_string(),
            first: anchor.first.to_string(),
            last: anchor.last.to_string(),
            issuer: anchor.ours.as_ref().map(ToString::to_string),
            standing: standing.to_string(),
            prune: why_not_needed(&comparison, anchor.fingerprint, now)
                .ok()
                .filter(|_| !is_in_order),
        }
    };
    Ok(TrustStoreItem {
        relying_party: name.to_string(),
        reported: budget.reported.map(|at| at.to_string()),
        again: budget.again.map(|at| at.to_string()),
        anchors_max: budget.anchors_max,
        intended: comparison
            .meant
            .iter()
            .map(|meant| IntendedItem::of(meant, now))
            .collect(),
        held: comparison.held.iter().map(held).collect(),
        missing: match budget.reported {
            // Nothing was observed, so nothing is known to be missing.
            None => Vec::new(),
            Some(_) => comparison
                .missing()
                .map(|meant| meant.issuer.to_string())
                .collect(),
        },
        pruned: comparison.pruned.iter().map(ToString::to_string).collect(),
    })
}

async fn show(
    State(desk): State<Desk>,
    Path(name): Path<String>,
) -> Result<Json<TrustStoreItem>, Problem> {
    let known = relying_party::known(&desk, &name)?;
    item(&desk, &known).await.map(Json)
}

async fn changed(
    desk: &Desk,
    caller: &Caller,
    name: &str,
    change: impl FnOnce(Slug) -> TrustStoreChange,
) -> Result<Json<TrustStoreItem>, Problem> {
    let known = relying_party::known(desk, name)?;
    let change = Change::TrustStore(Box::new(change(known.party.name.clone())));
    desk.engine().change(&caller.actor(), change).await?;
    item(desk, &known).await.map(Json)
}

/// All that a relying party trusts.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Reported {
    /// Its trust anchors, PEM; empty if it trusts nobody.
    pem: String,
    /// Within how many seconds the next report is promised: if none comes, that is a finding.
    #[serde(default)]
    again_within_s: Option<u32>,
}

async fn report(
    State(desk): State<Desk>,
    caller: Caller,
    Path(name): Path<String>,
    Json(body): Json<Reported>,
) -> Result<Json<TrustStoreItem>, Problem> {
    if caller
        .party
        .as_ref()
        .is_some_and(|own| own.as_str() != name)
    {
        return Err(Problem::forbidden(
            "this token is bound to another relying party; it reports for that one only",
        ));
    }
    let change = |party| TrustStoreChange::Report {
        party,
        pem: body.pem,
        again_within_s: body.again_within_s,
    };
    changed(&desk, &caller, &name, change).await
}

/// How many anchors a relying party may hold.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct BudgetBody {
    /// 1 to 2000.
    anchors_max: u32,
}

async fn budget(
    State(desk): State<Desk>,
    caller: Caller,
    Path(name): Path<String>,
    Json(body): Json<BudgetBody>,
) -> Result<Json<TrustStoreItem>, Problem> {
    let change = |party| TrustStoreChange::Budget {
        party,
        anchors_max: body.anchors_max,
    };
    changed(&desk, &caller, &name, change).await
}

/// Which bundle.
#[derive(Default, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
struct WhichBundle {
    /// intended (all that it is meant to trust) or minimal (of that, what was seen in use there in
    /// 30 days, and what is to come), or roots (what stands above all that it is meant to trust, with
    /// the cross-certificates of it); intended if left out.
    kind: Option<String>,
}

async fn bundle(
    State(desk): State<Desk>,
    Path(name): Path<String>,
    Query(which): Query<WhichBundle>,
) -> Result<Response, Problem> {
    let kind = match which.kind.as_deref() {
        None | Some("" | "intended" | "roots") => BundleKind::Intended,
        Some("minimal") => BundleKind::Minimal,
        Some(_) => {
            return Err(Problem::bad_request("kind: use intended, minimal or roots"));
        }
    };
    let known = relying_party::known(&desk, &name)?;
    let (tenant, now) = (desk.engine().tenant(), desk.now());
    let issuers = desk
        .read(move |tx| trust_store::bundle(tx, tenant, &known, kind, now))
        .await?;
    let is_roots = which.kind.as_deref() == Some("roots");
    let snapshot = desk.engine().snapshot();
    let mut certs: Vec<&Cert> = Vec::new();
    for issuer in &issuers {
        let above = issuer.chain.last().filter(|_| is_roots);
        let cross = cross_certificates(&snapshot.issuers, issuer).filter(|_| is_roots);
        let own = Some(&issuer.certificate).filter(|_| !is_roots);
        for cert in own.into_iter().chain(above).chain(cross) {
            if certs.iter().all(|held| held.der() != cert.der()) {
                certs.push(cert);
            }
        }
    }
    let pem: String = certs.into_iter().map(Cert::pem).collect();
    Ok(answer("application/x-pem-file", pem))
}

/// An anchor and why.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct AnchorBody {
    /// SHA-256 of its certificate, in hex.
    anchor: String,
    /// Why, for the record.
    why: String,
}

fn print(text: &str) -> Result<Fingerprint, Problem> {
    text.parse()
        .map_err(|error| Problem::bad_request(format!("anchor: {error}")))
}

async fn moved(
    desk: &Desk,
    caller: &Caller,
    name: &str,
    body: AnchorBody,
    change: fn(Slug, Fingerprint, String) -> TrustStoreChange,
) -> Result<Json<TrustStoreItem>, Problem> {
    let anchor = print(&body.anchor)?;
    changed(desk, caller, name, |party| change(party, anchor, body.why)).await
}

async fn prune(
    State(desk): State<Desk>,
    caller: Caller,
    Path(name): Path<String>,
    Json(body): Json<AnchorBody>,
) -> Result<Json<TrustStoreItem>, Problem> {
    let change = |party, anchor, why| TrustStoreChange::Prune { party, anchor, why };
    moved(&desk, &caller, &name, body, change).await
}

async fn restore(
    State(desk): State<Desk>,
    caller: Caller,
    Path(name): Path<String>,
    Json(body): Json<AnchorBody>,
) -> Result<Json<TrustStoreItem>, Problem> {
    let change = |party, anchor, why| TrustStoreChange::Restore { party, anchor, why };
    moved(&desk, &caller, &name, body, change).await
}

/// An anchor as lists show it.
#[derive(Serialize, ToSchema)]
struct AnchorItem {
    /// SHA-256 of its certificate, in hex.
    fingerprint: String,
    /// Whom it names (RFC 4514).
    subject: String,
    /// When it ends (RFC 3339).
    not_after: String,
    /// When it was first observed or registered (RFC 3339).
    first: String,
    /// The issuer of ours that it is.
    issuer: Option<String>,
    /// Until when it may be held though it is not ours (RFC 3339).
    legacy_until: Option<String>,
}

fn anchor_item(desk: &Desk, anchor: &stored::Anchor) -> AnchorItem {
    let snapshot = desk.engine().snapshot();
    let mut issuers = snapshot.issuers.iter();
    let ours = issuers.find(|issuer| issuer.certificate.fingerprint() == anchor.fingerprint.0);
    AnchorItem {
        fingerprint: anchor.fingerprint.to_string(),
        subject: anchor.subject.clone(),
        not_after: anchor.not_after.to_string(),
        first: anchor.first.to_string(),
        issuer: ours.map(|issuer| issuer.name.to_string()),
        legacy_until: anchor
            .legacy
            .as_ref()
            .map(|legacy| legacy.until.to_string()),
    }
}

async fn list(
    State(desk): State<Desk>,
    Query(paging): Query<Paging>,
) -> Result<Json<Page<AnchorItem>>, Problem> {
    let (tenant, limit) = (desk.engine().tenant(), paging.limit());
    let after = paging.number()?.unwrap_or(0);
    let found = desk
        .read(move |tx| stored::anchors(tx, tenant, after, limit))
        .await?;
    let page = Page::up_to(limit, found, |anchor| anchor.no);
    Ok(Json(page.map(|anchor| anchor_item(&desk, &anchor))))
}

/// What is known of an anchor.
#[derive(Serialize, ToSchema)]
struct AnchorReport {
    #[serde(flatten)]
    anchor: AnchorItem,
    /// Who was observed to hold it.
    relying_parties: Vec<HolderItem>,
    /// What it may be held for, if it is not ours.
    legacy: Option<LegacyItem>,
    /// The issuers of ours under it, itself included.
    issuers: Vec<UnderItem>,
    /// Its certificate, PEM.
    pem: String,
}

/// A relying party that was observed to hold an anchor.
#[derive(Serialize, ToSchema)]
struct HolderItem {
    /// Its short name.
    name: String,
    /// When it was first observed there (RFC 3339).
    first: String,
    /// When last (RFC 3339).
    last: String,
    /// Since when it was seen no more (RFC 3339).
    gone: Option<String>,
}

/// Why an anchor may be held though it is not ours.
#[derive(Serialize, ToSchema)]
struct LegacyItem {
    /// Until when (RFC 3339).
    until: String,
    /// By whom.
    relying_parties: Vec<String>,
    /// Who answers for it.
    owner: String,
    /// Why.
    why: String,
}

/// An issuer of ours under an anchor.
#[derive(Serialize, ToSchema)]
struct UnderItem {
    /// Its short name.
    issuer: String,
    /// prepared, distributed, active, tainted or removed.
    state: String,
    /// The issuer made to follow it.
    successor: Option<String>,
    /// How many of its certificates are in force, counted up to 10000.
    certificates: u64,
    /// When a service last reported one in use (RFC 3339).
    last_used: Option<String>,
    /// Where its revocation list is published.
    revocation_list: String,
    /// Where its responder answers.
    ocsp: String,
    /// When its list was last signed (RFC 3339).
    list_signed: Option<String>,
    /// When it was last probed anywhere with a good certificate of it (RFC 3339).
    last_verified: Option<String>,
}

async fn report_of(desk: &Desk, print: Fingerprint) -> Result<AnchorReport, Problem> {
    use tenure_engine::duty::publish::List;
    let (tenant, now) = (desk.engine().tenant(), desk.now());
    let found = desk.glance(|tx| stored::by_fingerprint(tx, tenant, print))?;
    let found = found.ok_or_else(|| Problem::not_found(format!("Anchor {print}")))?;
    let snapshot = desk.engine().snapshot();
    let is_under = |issuer: &tenure_domain::issuer::Issuer| {
        let mut chain = std::iter::once(&issuer.certificate).chain(&issuer.chain);
        chain.any(|cert| cert.fingerprint() == print.0)
    };
    let no = found.no;
    let under: Vec<_> = snapshot
        .issuers
        .iter()
        .filter(|issuer| is_under(issuer))
        .cloned()
        .collect();
    let of = under.clone();
    let (holders, remains) = desk
        .read(move |tx| {
            let remains = of.iter().map(|issuer| {
                let left = tenure_engine::store::rollover::remains(tx, issuer.no, now)?;
                let verified = tenure_engine::store::rollover::last_verified(tx, issuer)?;
                Ok((left, verified))
            });
            let remains = remains.collect::<Result<Vec<_>, StoreError>>()?;
            Ok::<_, StoreError>((stored::holders(tx, no, "")?, remains))
        })
        .await?;
    let successor = |no| {
        let mut all = snapshot.issuers.iter();
        let found = all.find(|issuer| issuer.replaces == Some(no));
        found.map(|issuer| issuer.name.to_string())
    };
    let issuers = under
        .iter()
        .zip(remains)
        .map(|(issuer, (left, verified))| UnderItem {
            issuer: issuer.name.to_string(),
            state: issuer.state.to_string(),
            successor: successor(issuer.no),
            certificates: left.leaves,
            last_used: left.last_traffic.map(|at| at.to_string()),
            revocation_list: format!("{}/crl/{}/full.crl", issuer.base_url, issuer.name),
            ocsp: issuer.ocsp_url(),
            list_signed: desk
                .engine()
                .published_list(&issuer.name, List::Full)
                .map(|list| list.this_update.to_string()),
            last_verified: verified.map(|at| at.to_string()),
        });
    Ok(AnchorReport {
        issuers: issuers.collect(),
        relying_parties: holders
            .into_iter()
            .map(|holder| HolderItem {
                name: holder.party.to_string(),
                first: holder.first.to_string(),
                last: holder.last.to_string(),
                gone: holder.gone.map(|at| at.to_string()),
            })
            .collect(),
        legacy: found.legacy.as_ref().map(|legacy| LegacyItem {
            until: legacy.until.to_string(),
            relying_parties: legacy
                .relying_parties
                .iter()
                .map(ToString::to_string)
                .collect(),
            owner: legacy.owner.to_string(),
            why: legacy.why.clone(),
        }),
        pem: tenure_x509::pem_encode("CERTIFICATE", &found.certificate),
        anchor: anchor_item(desk, &found),
    })
}

async fn anchor(
    State(desk): State<Desk>,
    Path(text): Path<String>,
) -> Result<Json<AnchorReport>, Problem> {
    report_of(&desk, print(&text)?).await.map(Json)
}

/// An anchor that is not ours.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct LegacyBody {
    /// Its certificate, PEM.
    pem: String,
    /// Until when it may be held (RFC 3339).
    until: String,
    /// By which relying parties.
    relying_parties: Vec<String>,
    /// Who answers for it.
    owner: String,
    /// Why it is needed.
    why: String,
}

async fn legacy(
    State(desk): State<Desk>,
    caller: Caller,
    Json(body): Json<LegacyBody>,
) -> Result<Json<AnchorReport>, Problem> {
    let names = body.relying_parties.iter().map(|name| name.parse());
    let names = names.collect::<Result<_, _>>();
    let bad = |what: &str, error: &dyn std::fmt::Display| {
        Problem::bad_request(format!("{what}: {error}"))
    };
    let legacy = Legacy {
        until: Time::parse_rfc3339(&body.until).map_err(|error| bad("until", &error))?,
        relying_parties: names.map_err(|error| bad("relying_parties", &error))?,
        owner: body.owner.parse().map_err(|error| bad("owner", &error))?,
        why: body.why,
    };
    let change = TrustStoreChange::Legacy {
        pem: body.pem.clone(),
        legacy,
    };
    let change = Change::TrustStore(Box::new(change));
    desk.engine().change(&caller.actor(), change).await?;
    let certs = tenure_x509::pem_certificates(&body.pem).unwrap_or_default();
    let first = certs.first().map(|cert| Fingerprint(cert.fingerprint()));
    let print = first.ok_or_else(|| Problem::bad_request("pem: there is no certificate in it"))?;
    report_of(&desk, print).await.map(Json)
}

async fn audit(State(desk): State<Desk>, caller: Caller) -> Result<Response, Problem> {
    let signed = desk.engine().audit_trust_stores(&caller.actor()).await?;
    Ok(answer("text/plain; charset=utf-8", signed))
}
