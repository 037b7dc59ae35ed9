//! `/policy`: who may have which certificate.

use std::sync::Arc;

use axum::extract::State;
use serde::{Deserialize, Serialize};
use tenure_domain::change::Change;
use tenure_domain::facts::{Facts, Subject};
use tenure_domain::operator::Permission::{ChangePolicy, ReadFleet};
use tenure_domain::policy::{self, DescribedAsk, Policy, document};
use tenure_engine::Changed;
use tenure_engine::store::view::{self, ListError};
use tenure_engine::store::{certificate, registry};
use utoipa::ToSchema;

use super::body::{Json, Text, some_word, word};
use super::{Caller, Desk, Route, device};
use crate::problem::Problem;

const TOML: &str = "application/toml";
/// Devices read at a time for a plan.
const PLAN_PAGE: usize = 10_000;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get("/policy", ReadFleet, "The policy in force", show).answers::<PolicyShown>(),
        Route::put(
            "/policy",
            ChangePolicy,
            "Put a document in force, if its own examples hold",
            apply,
        )
        .takes_text(TOML)
        .answers::<PolicyShown>(),
        Route::post(
            "/policy/test",
            ReadFleet,
            "Check a document and its examples",
            test,
        )
        .takes_text(TOML)
        .answers::<Tested>(),
        Route::post(
            "/policy/plan",
            ReadFleet,
            "Which devices a document would treat differently",
            plan,
        )
        .takes_text(TOML)
        .answers::<Planned>(),
        Route::post(
            "/policy/explain",
            ReadFleet,
            "What the policy would answer, and by which rule",
            explain,
        )
        .takes::<Question>()
        .answers::<Explained>(),
    ]
}

/// A policy in force.
#[derive(Serialize, ToSchema)]
struct PolicyShown {
    /// Counts the policies, from 1.
    version: i64,
    /// SHA-256 of the document's canonical form, in hex.
    hash: String,
    /// The TOML document.
    document: String,
}

fn shown(desk: &Desk) -> Result<Json<PolicyShown>, Problem> {
    let tenant = desk.engine().tenant();
    let found = desk.glance(|tx| tenure_engine::store::policy::current(tx, tenant))?;
    let (version, document) = found.ok_or_else(Problem::internal)?;
    let hash = desk.engine().snapshot().policy.hash.to_string();
    Ok(Json(PolicyShown {
        version,
        hash,
        document,
    }))
}

async fn show(State(desk): State<Desk>) -> Result<Json<PolicyShown>, Problem> {
    shown(&desk)
}

async fn apply(
    State(desk): State<Desk>,
    caller: Caller,
    Text(document): Text,
) -> Result<Json<PolicyShown>, Problem> {
    read(&desk, &document)?;
    match desk
        .engine()
        .change(&caller.actor(), Change::ApplyPolicy { document })
        .await?
    {
        Changed::Policy(_) => shown(&desk),
        _ => Err(Problem::internal()),
    }
}

fn read(desk: &Desk, text: &str) -> Result<Policy, Problem> {
    let known = desk.engine().snapshot();
    document::parse_new(text, &known.issuers, Some(&known.policy)).map_err(|error| {
        let lines = error.0.iter().map(ToString::to_string).collect();
        Problem::bad_request("The document is no policy.").errors(lines)
    })
}

/// How a document's own examples came out.
#[derive(Serialize, ToSchema)]
struct Tested {
    /// Whether all came out as expected.
    ok: bool,
    /// SHA-256 of the document's canonical form, in hex.
    hash: String,
    /// Each example.
    examples: Vec<ExampleItem>,
}

/// How one example came out.
#[derive(Serialize, ToSchema)]
struct ExampleItem {
    /// Its name.
    name: String,
    /// Whether it came out as expected.
    ok: bool,
    /// What was expected: allow, hold or refuse.
    expected: String,
    /// What the policy says.
    got: String,
    /// Which rule says so.
    rule: String,
    /// In words.
    why: String,
}

async fn test(State(desk): State<Desk>, Text(document): Text) -> Result<Json<Tested>, Problem> {
    let policy = read(&desk, &document)?;
    let examples: Vec<_> = policy
        .run_tests()
        .into_iter()
        .map(|outcome| ExampleItem {
            name: outcome.name.to_string(),
            ok: outcome.passed,
            expected: match &outcome.expected_rule {
                Some(rule) => format!("{} by {rule}", outcome.expected),
                None => outcome.expected.to_string(),
            },
            got: outcome.decision.to_string(),
            rule: outcome.rule,
            why: outcome.why,
        })
        .collect();
    Ok(Json(Tested {
        ok: examples.iter().all(|example| example.ok),
        hash: policy.hash.to_string(),
        examples,
    }))
}

/// What a document would change.
#[derive(Serialize, ToSchema)]
struct Planned {
    /// The hash of the policy in force.
    from: String,
    /// The hash of the document.
    to: String,
    /// How many devices were looked at.
    devices: u64,
    /// How many would be treated differently in at least one case.
    affected: u64,
    /// The same cases, decided differently; the one that touches most devices first.
    changes: Vec<ChangeItem>,
}

/// One case that would be decided differently.
#[derive(Serialize, ToSchema)]
struct ChangeItem {
    /// What is asked for.
    operation: String,
    /// What is proved.
    evidence: String,
    /// The label it is asked at; none is the plain path.
    label: Option<String>,
    /// How it is decided now: action, rule and profile.
    now: String,
    /// How it would be decided.
    then: String,
    /// What would be different about the certificate.
    certificate: Vec<String>,
    /// How many devices it touches.
    devices: u64,
    /// The first 20 of them.
    first: Vec<String>,
}

async fn plan(State(desk): State<Desk>, Text(document): Text) -> Result<Json<Planned>, Problem> {
    let new = read(&desk, &document)?;
    let snapshot = desk.engine().snapshot();
    let tenant = desk.engine().tenant();
    let plan = desk
        .survey(move |tx| {
            let sites = registry::site::tree(tx, tenant)?;
            let (mut place, mut failed) = (Some(None::<String>), None);
            let pages = std::iter::from_fn(|| {
                let (all, cursor) = (view::DeviceFilter::default(), place.take()?);
                let page = view::devices(tx, tenant, &all, cursor.as_deref(), PLAN_PAGE);
                let page = page.map_err(|error| failed = Some(error)).ok()?;
                place = page.next.map(Some);
                Some(page.items)
            });
            let population = pages.flatten().filter_map(|device| {
                let class = snapshot.classes.get(&device.class)?;
                let class = Arc::clone(class);
                Some((device, class))
            });
            let plan = policy::plan(&snapshot.policy, &new, population, &sites);
            match failed {
                Some(error) => Err::<_, ListError>(error),
                None => Ok(plan),
            }
        })
        .await?;
    let treated = |treatment: &policy::Treatment| {
        format!(
            "{} by {}, profile {}",
            treatment.action, treatment.rule, treatment.profile
        )
    };
    Ok(Json(Planned {
        from: plan.from,
        to: plan.to,
        devices: plan.devices,
        affected: plan.affected,
        changes: plan
            .changes
            .into_iter()
            .map(|change| ChangeItem {
                now: treated(&change.from),
                then: treated(&change.to),
                operation: change.operation.to_string(),
                evidence: change.evidence.to_string(),
                label: change.label.map(|label| label.to_string()),
                certificate: change.certificate,
                devices: change.devices,
                first: change.first.iter().map(ToString::to_string).collect(),
            })
            .collect(),
    }))
}

/// An ask that nobody has made yet.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct Question {
    /// The device that would ask.
    device: String,
    /// enroll, renew or server-keygen; enroll if left out.
    operation: Option<String>,
    /// manufacturer, secret or current-certificate; what suits the operation if left out.
    evidence: Option<String>,
    /// The label it would ask at, which names a profile.
    label: Option<String>,
    /// The key it would bring: p256, p384, ed25519, rsa2048, rsa3072 or rsa4096; any if left out.
    key: Option<String>,
}

/// What the policy says to an ask, and why.
#[derive(Serialize, ToSchema)]
struct Explained {
    /// allow, hold or refuse.
    decision: String,
    /// The rule that says so, or the check that comes before the rules.
    rule: String,
    /// In words.
    why: String,
    /// Every rule in order, with the conditions it did not find met.
    rules: Vec<RuleItem>,
    /// The profile asked for.
    profile: Option<String>,
    /// How long the certificate would live.
    life: Option<String>,
    /// Whether it would need people's attention, as a word.
    durability: Option<String>,
    /// Who would sign it.
    issuer: Option<String>,
    /// Whom it would name (RFC 4514).
    subject: Option<String>,
    /// Its other names.
    names: Vec<String>,
    /// From when it would be good (RFC 3339).
    not_before: Option<String>,
    /// Until when it would be good (RFC 3339).
    not_after: Option<String>,
    /// The version of the policy.
    version: i64,
    /// Its hash in hex.
    policy: String,
}

/// One rule, and why it did or did not match.
#[derive(Serialize, ToSchema)]
struct RuleItem {
    /// Its name.
    rule: String,
    /// allow, hold or refuse.
    action: String,
    /// decides, matches-later or does-not-match.
    reading: String,
    /// The conditions it did not find met.
    unmet: Vec<String>,
}

async fn explain(
    State(desk): State<Desk>,
    Json(question): Json<Question>,
) -> Result<Json<Explained>, Problem> {
    use tenure_domain::ask::{Operation, Protocol};
    use tenure_domain::policy::EvidenceKind;
    let device = device::known(&desk, &question.device)?;
    let operation =
        some_word("operation", question.operation.as_deref())?.unwrap_or(Operation::Enroll);
    let usual = match operation {
        Operation::Renew => EvidenceKind::CurrentCertificate,
        Operation::Enroll | Operation::ServerKeygen => EvidenceKind::Secret,
    };
    let described = DescribedAsk {
        operation,
        evidence: some_word("evidence", question.evidence.as_deref())?.unwrap_or(usual),
        protocol: Protocol::Est,
        label: some_word("label", question.label.as_deref())?,
        key: question
            .key
            .as_deref()
            .map(|key| word("key", key))
            .transpose()?,
    };
    let snapshot = desk.engine().snapshot();
    let head = desk.glance(|tx| certificate::head(tx, device.no))?;
    let around = desk.glance(|tx| registry::site::around(tx, device.tenant, &device.site))?;
    let (head, forgiven) = head.map_or((None, 0), |head| (Some(head.row), head.forgiven));
    let class = snapshot
        .classes
        .get(&device.class)
        .ok_or_else(Problem::internal)?;
    let name = described.label.as_ref().unwrap_or(&class.profile);
    let namesake = match snapshot.policy.profile(name) {
        Some(profile) => {
            desk.glance(|tx| tenure_engine::facts::namesake(tx, &device, profile, operation))?
        }
        None => None,
    };
    let facts = Facts {
        issuers: Arc::clone(&snapshot.issuers),
        namesake,
        subject: Some(Subject {
            around,
            class: Arc::clone(class),
            device,
            head,
            forgiven,
        }),
        ..Facts::default()
    };
    let said = policy::explain(&snapshot.policy, &described, &facts, desk.now());
    Ok(Json(Explained {
        decision: said.decision.to_string(),
        rule: said.rule,
        why: said.why,
        rules: said
            .rules
            .into_iter()
            .map(|note| RuleItem {
                rule: note.rule.to_string(),
                action: note.action.to_string(),
                reading: note.reading.to_string(),
                unmet: note.unmet,
            })
            .collect(),
        profile: said.profile.map(|profile| profile.to_string()),
        life: said.life,
        durability: said.durability.map(|durability| durability.to_string()),
        issuer: said.issuer.map(|issuer| issuer.to_string()),
        subject: said.subject,
        names: said.names,
        not_before: said.not_before,
        not_after: said.not_after,
        version: said.version,
        policy: said.policy,
    }))
}
