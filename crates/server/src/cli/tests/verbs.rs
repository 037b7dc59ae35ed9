//! D9, the command line: every verb is an operation of the API, or an act on files that no server
//! takes part in.

use std::collections::BTreeSet;

use clap::CommandFactory;
use serde_json::Value;

use super::Cli;

/// Each verb with the operations it is made of. `-` stands for none: it works on a data directory,
/// or is the server itself.
const VERBS: &[(&str, &[&str])] = &[
    ("init", &["-"]),
    ("serve", &["-"]),
    ("demo", &["-"]),
    ("login", &["GET /me"]),
    ("device add", &["POST /devices"]),
    ("device edit", &["PATCH /devices/{id}"]),
    ("device list", &["GET /devices"]),
    ("device show", &["GET /devices/{id}"]),
    ("device history", &["GET /devices/{id}/history"]),
    (
        "device import",
        &[
            "POST /import-plan",
            "POST /imports",
            "POST /imports/{id}/apply",
            "GET /imports/{id}",
        ],
    ),
    ("device export", &["GET /export/devices"]),
    ("device secret", &["POST /devices/{id}/secret"]),
    ("device repair", &["POST /devices/{id}/repair"]),
    ("device attest", &["POST /devices/{id}/attestation"]),
    (
        "device suspend",
        &[
            "GET /devices/{id}/blast-radius",
            "POST /devices/{id}/suspend",
        ],
    ),
    (
        "device resume",
        &[
            "GET /devices/{id}/blast-radius",
            "POST /devices/{id}/resume",
        ],
    ),
    (
        "device retire",
        &[
            "GET /devices/{id}/blast-radius",
            "POST /devices/{id}/retire",
        ],
    ),
    ("decide ask", &["POST /decide"]),
    ("decide replay", &["GET /decisions/{verdict}"]),
    ("trust show", &["GET /trust/{device}"]),
    ("trust said", &["GET /decisions"]),
    ("exception add", &["POST /exceptions"]),
    ("exception approve", &["POST /exceptions/{no}/approve"]),
    ("exception list", &["GET /exceptions"]),
    ("exception show", &["GET /exceptions/{no}"]),
    ("exception end", &["POST /exceptions/{no}/end"]),
    ("permit grant", &["POST /permits"]),
    ("permit list", &["GET /permits"]),
    ("cert list", &["GET /certificates"]),
    (
        "cert show",
        &[
            "GET /certificates/{serial}",
            "GET /issuers/{issuer}/certificates/{serial}",
        ],
    ),
    (
        "cert revoke",
        &[
            "GET /certificates/{serial}/blast-radius",
            "POST /certificates/{serial}/revoke",
            "POST /issuers/{issuer}/certificates/{serial}/revoke",
            "POST /devices/{id}/revoke",
        ],
    ),
    ("cert hold", &["POST /certificates/{serial}/hold"]),
    (
        "cert release",
        &[
            "GET /certificates/{serial}",
            "POST /certificates/{serial}/release",
        ],
    ),
    ("issuer list", &["GET /issuers"]),
    ("issuer show", &["GET /issuers/{issuer}"]),
    ("issuer export", &["GET /issuers/{issuer}"]),
    ("issuer edit", &["PATCH /issuers/{issuer}"]),
    ("issuer add", &["-"]),
    ("issuer crl-refresh", &["-"]),
    (
        "trust-store show",
        &["GET /relying-parties/{name}/trust-store"],
    ),
    (
        "trust-store report",
        &["POST /relying-parties/{name}/trust-store"],
    ),
    (
        "trust-store bundle",
        &["GET /relying-parties/{name}/trust-store/bundle"],
    ),
    (
        "trust-store budget",
        &["PATCH /relying-parties/{name}/trust-store"],
    ),
    (
        "trust-store prune",
        &["POST /relying-parties/{name}/trust-store/prune"],
    ),
    (
        "trust-store restore",
        &["POST /relying-parties/{name}/trust-store/restore"],
    ),
    ("trust-store audit", &["GET /trust-stores/audit"]),
    ("trust-store verify", &["GET /log/key"]),
    ("anchor list", &["GET /anchors"]),
    ("anchor show", &["GET /anchors/{fingerprint}"]),
    ("anchor legacy", &["POST /anchors"]),
    ("issuer rollover begin", &["-"]),
    (
        "issuer rollover status",
        &["GET /issuers/{issuer}/rollover"],
    ),
    (
        "issuer rollover distribute",
        &["POST /issuers/{issuer}/rollover/{step}"],
    ),
    (
        "issuer rollover activate",
        &["POST /issuers/{issuer}/rollover/{step}"],
    ),
    (
        "issuer rollover back",
        &["POST /issuers/{issuer}/rollover/{step}"],
    ),
    (
        "issuer rollover taint",
        &["POST /issuers/{issuer}/rollover/{step}"],
    ),
    (
        "issuer rollover remove",
        &["POST /issuers/{issuer}/rollover/{step}"],
    ),
    ("policy apply", &["POST /policy/plan", "PUT /policy"]),
    ("policy show", &["GET /policy"]),
    ("policy explain", &["POST /policy/explain"]),
    ("policy test", &["POST /policy/test"]),
    ("policy plan", &["POST /policy/plan"]),
    ("log checkpoint", &["GET /log/checkpoint"]),
    ("log prove", &["GET /log/prove/{event}"]),
    (
        "log verify",
        &[
            "GET /log/checkpoint",
            "GET /log/key",
            "GET /log/tile/{path}",
            "GET /log/tile/entries/{path}",
        ],
    ),
    ("as-of", &["GET /as-of"]),
    ("events", &["GET /events"]),
    ("stream", &["GET /stream"]),
    ("owner add", &["POST /owners"]),
    ("owner list", &["GET /owners"]),
    ("owner show", &["GET /owners/{name}"]),
    ("site add", &["POST /sites"]),
    ("site list", &["GET /sites"]),
    ("site show", &["GET /sites/{name}"]),
    ("class add", &["POST /classes"]),
    ("class list", &["GET /classes"]),
    ("class show", &["GET /classes/{name}"]),
    ("service add", &["POST /services"]),
    ("service list", &["GET /services"]),
    ("service show", &["GET /services/{name}"]),
    ("relying-party add", &["POST /relying-parties"]),
    ("relying-party edit", &["PATCH /relying-parties/{name}"]),
    ("relying-party import", &["POST /relying-parties"]),
    ("relying-party list", &["GET /relying-parties"]),
    ("relying-party show", &["GET /relying-parties/{name}"]),
    ("relying-party remove", &["DELETE /relying-parties/{name}"]),
    ("probe run", &["POST /probes", "GET /probes"]),
    ("probe matrix", &["GET /enforcement"]),
    ("probe list", &["GET /probes"]),
    ("probe show", &["GET /probes/{no}"]),
    ("probe times", &["GET /enforcement/times"]),
    ("blast", &["GET /blast-radius", "GET /blast-radius/devices"]),
    ("drill revoke", &["POST /probes", "GET /probes"]),
    ("feed connect", &["GET /feed-key", "POST /tokens"]),
    ("feed list", &["GET /feeds"]),
    ("feed show", &["GET /feeds/{name}"]),
    ("feed key", &["GET /feed-key"]),
    (
        "pack export",
        &["POST /feeds/{name}/packs", "POST /sites/{name}/packs"],
    ),
    ("pack receipt", &["POST /pack-receipts"]),
    ("hook add", &["POST /hooks"]),
    ("hook edit", &["PATCH /hooks/{name}"]),
    ("hook list", &["GET /hooks"]),
    ("hook show", &["GET /hooks/{name}"]),
    ("hook redeliver", &["POST /hooks/{name}/redeliver"]),
    ("hook remove", &["DELETE /hooks/{name}"]),
    (
        "compromise key",
        &["GET /blast-radius", "POST /compromises"],
    ),
    (
        "compromise issuer",
        &["GET /blast-radius", "POST /compromises"],
    ),
    ("compromise list", &["GET /compromises"]),
    ("compromise show", &["GET /compromises/{no}"]),
    ("compromise withdraw", &["POST /compromises/{no}/withdraw"]),
    ("compromise block", &["POST /key-lists"]),
    ("compromise lists", &["GET /key-lists"]),
    ("drill revoke", &["POST /drills", "GET /drills/{no}"]),
    ("drill expiry", &["POST /drills", "GET /drills/{no}"]),
    ("drill ca-down", &["POST /drills", "GET /drills/{no}"]),
    ("drill compromise", &["POST /drills", "GET /drills/{no}"]),
    ("drill list", &["GET /drills"]),
    ("drill show", &["GET /drills/{no}"]),
    ("manufacturer add", &["POST /manufacturers"]),
    ("manufacturer list", &["GET /manufacturers"]),
    ("manufacturer show", &["GET /manufacturers/{name}"]),
    ("ask list", &["GET /asks"]),
    ("ask show", &["GET /asks/{no}"]),
    ("ask approve", &["POST /asks/{no}/approve"]),
    ("ask refuse", &["POST /asks/{no}/refuse"]),
    ("incident list", &["GET /incidents"]),
    ("incident show", &["GET /incidents/{no}"]),
    (
        "incident resolve",
        &[
            "GET /incidents/{no}",
            "GET /devices/{id}/blast-radius",
            "POST /incidents/{no}/resolve",
        ],
    ),
    ("finding list", &["GET /findings"]),
    ("finding show", &["GET /findings/{no}"]),
    ("finding acknowledge", &["POST /findings/{no}/acknowledge"]),
    ("token create", &["POST /tokens"]),
    ("token list", &["GET /tokens"]),
    ("token revoke", &["DELETE /tokens/{no}"]),
    ("token rotate", &["POST /tokens/rotate"]),
    ("key list", &["-"]),
    ("key rewrap", &["-"]),
    ("backup create", &["POST /backups"]),
    ("backup verify", &["-"]),
    ("backup restore", &["-"]),
    ("doctor", &["GET /doctor"]),
];

fn leaves(command: &clap::Command, before: &str, found: &mut BTreeSet<String>) {
    let verbs = command
        .get_subcommands()
        .filter(|verb| verb.get_name() != "help");
    let mut is_leaf = true;
    for verb in verbs {
        is_leaf = false;
        leaves(verb, format!("{before} {}", verb.get_name()).trim(), found);
    }
    if is_leaf {
        found.insert(before.to_owned());
    }
}

/// D9, for the command line; the dashboard's forms have a test of their own. Leaves out: that a verb
/// calls exactly these, which the stories show for most of them.
#[test]
fn d9_every_verb_is_an_operation_of_the_api_that_can_be_repeated() {
    let mut found = BTreeSet::new();
    leaves(&Cli::command(), "", &mut found);
    let known: BTreeSet<String> = VERBS.iter().map(|(verb, _)| (*verb).to_owned()).collect();
    assert_eq!(found, known, "name here what a new verb is made of");
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/openapi.json");
    let text = std::fs::read_to_string(path).unwrap();
    let document: Value = serde_json::from_str(&text).unwrap();
    for (verb, operations) in VERBS {
        for operation in operations.iter().filter(|operation| **operation != "-") {
            let (method, path) = operation.split_once(' ').unwrap();
            let path = format!("/api/v1{path}");
            let found = &document["paths"][&path][method.to_lowercase()];
            assert!(found.is_object(), "tenure {verb}: there is no {operation}");
            let mut parameters = found["parameters"].as_array().into_iter().flatten();
            let repeatable = parameters.any(|one| one["name"] == "Idempotency-Key");
            // The other methods are idempotent by themselves (RFC 9110 section 9.2.2).
            assert!(
                method != "POST" || repeatable,
                "{operation} has no Idempotency-Key"
            );
        }
    }
}
