//! What all pages have in common.

use axum::response::{Html, IntoResponse, Response};
use maud::{DOCTYPE, Markup, html};
use tenure_x509::Time;

use super::session::SignedIn;
use crate::problem::Problem;

/// Which part of the dashboard a page belongs to.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    Fleet,
    Devices,
    Certificates,
    Asks,
    Incidents,
    Findings,
    RelyingParties,
    Enforcement,
    Hooks,
    Blast,
    Compromises,
    Drills,
    Decisions,
    Exceptions,
    Issuers,
}

const PARTS: [(Part, &str, &str); 15] = [
    (Part::Fleet, "/", "Fleet"),
    (Part::Devices, "/devices", "Devices"),
    (Part::Certificates, "/certificates", "Certificates"),
    (Part::Asks, "/asks", "Requests"),
    (Part::Incidents, "/incidents", "Incidents"),
    (Part::Findings, "/findings", "Findings"),
    (Part::RelyingParties, "/relying-parties", "Relying parties"),
    (Part::Enforcement, "/enforcement", "Enforcement"),
    (Part::Hooks, "/hooks", "Hooks"),
    (Part::Blast, "/blast-radius", "Blast radius"),
    (Part::Compromises, "/compromises", "Compromises"),
    (Part::Drills, "/drills", "Drills"),
    (Part::Decisions, "/decisions", "Decisions"),
    (Part::Exceptions, "/exceptions", "Exceptions"),
    (Part::Issuers, "/issuers", "Issuers"),
];

/// A whole page.
pub(super) struct Shown(Markup);

impl IntoResponse for Shown {
    fn into_response(self) -> Response {
        Html(self.0.into_string()).into_response()
    }
}

fn document(title: &str, top: Markup, content: Markup) -> Shown {
    let style = concat!("/style.css?v=", env!("CARGO_PKG_VERSION"));
    Shown(html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { (title) " · Tenure" }
                link rel="stylesheet" href=(style);
                link rel="icon" href="data:,";
            }
            body {
                a.skip href="#content" { "Skip to the content" }
                (top)
                main #content tabindex="-1" { (content) }
            }
        }
    })
}

/// A page for someone who may have no session.
pub(super) fn bare(title: &str, content: Markup) -> Shown {
    let top = html! { header.top { a.name href="/" { "Tenure" } } };
    document(title, top, content)
}

/// A page.
pub(super) fn page(who: &SignedIn, part: Part, title: &str, content: Markup) -> Shown {
    let top = html! {
        header.top {
            a.name href="/" { "Tenure" }
            nav aria-label="Parts" {
                ul {
                    @for (each, path, name) in PARTS {
                        li { a href=(path) aria-current=[(each == part).then_some("page")] { (name) } }
                    }
                }
            }
            form.who method="post" action="/logout" {
                (csrf(who))
                span { (who.caller.name) " (" (who.caller.role) ")" }
                button.quiet type="submit" { "Sign out" }
            }
        }
    };
    document(title, top, content)
}

/// What each form of a session sends along.
pub(super) fn csrf(who: &SignedIn) -> Markup {
    html! { input type="hidden" name="csrf" value=(who.csrf); }
}

/// A time, to the minute.
pub(super) fn at(time: Time) -> Markup {
    if time == Time::NEVER {
        return html! { "never" };
    }
    stamp(&time.to_string())
}

/// The same of a time that is text already (RFC 3339).
pub(super) fn stamp(text: &str) -> Markup {
    let minute = match (text.get(..10), text.get(11..16)) {
        (Some(day), Some(minute)) => format!("{day} {minute}"),
        _ => text.to_owned(),
    };
    html! { time datetime=(text) { (minute) } }
}

/// How long until, or since, in the largest unit that makes sense.
pub(super) fn distance(from: Time, to: Time) -> String {
    let seconds = to.unix().saturating_sub(from.unix());
    let size = seconds.unsigned_abs();
    let (n, unit) = match size {
        0..120 => (size, "second"),
        120..7_200 => (size / 60, "minute"),
        7_200..172_800 => (size / 3_600, "hour"),
        _ => (size / 86_400, "day"),
    };
    let s = if n == 1 { "" } else { "s" };
    if seconds < 0 {
        format!("{n} {unit}{s} ago")
    } else {
        format!("in {n} {unit}{s}")
    }
}

/// A state, told apart by its word; the colour only helps.
pub(super) fn tag(word: &str) -> Markup {
    let tone = match word {
        "enrolled" | "issued" | "approved" | "resolved" | "cleared" | "proven" | "at hand"
        | "withdrawn" | "passed" | "active" | "accepted" | "ready" | "meant" | "trusted"
        | "delivering" | "done" | "affirming" => "good",
        "revoked" | "refused" | "quarantined" | "destroyed" | "open" | "expired" | "failing"
        | "exposed" | "failed" | "unknown" | "not-meant" | "out-of-scope" | "untrusted"
        | "contraindicated" => "bad",
        "held" | "suspended" | "waiting" | "acknowledged" | "unverified" | "in-transfer"
        | "tainted" | "unreachable" | "stale" | "legacy" => "wait",
        _ => "plain",
    };
    html! { span class={ "tag " (tone) } { (word) } }
}

/// A number with its thousands apart.
pub(super) fn number(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            // A thin space that does not break.
            out.push('\u{202f}');
        }
        out.push(digit);
    }
    out
}

/// A query string of the pairs that have a value.
pub(super) fn query(pairs: &[(&str, &str)]) -> String {
    let mut out = String::new();
    for (name, value) in pairs.iter().filter(|(_, value)| !value.is_empty()) {
        out.push(if out.is_empty() { '?' } else { '&' });
        out.push_str(name);
        out.push('=');
        for byte in value.bytes() {
            if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
                out.push(char::from(byte));
            } else {
                out.push_str(&format!("%{byte:02X}"));
            }
        }
    }
    out
}

/// The way to the next page of a list.
pub(super) fn pager(path: &str, pairs: &[(&str, &str)], next: Option<&str>) -> Markup {
    let beginning = format!("{path}{}", query(pairs));
    let is_later = pairs.iter().any(|(name, _)| *name == "cursor");
    let without: Vec<_> = pairs
        .iter()
        .copied()
        .filter(|(name, _)| *name != "cursor")
        .collect();
    let first = format!("{path}{}", query(&without));
    html! {
        @if next.is_some() || (is_later && beginning != first) {
            nav.pager aria-label="Pages" {
                @if beginning != first { a href=(first) { "First page" } }
                @if let Some(next) = next {
                    @let pairs = without.iter().copied().chain([("cursor", next)]).collect::<Vec<_>>();
                    a rel="next" href={ (path) (query(&pairs)) } { "Next page" }
                }
            }
        }
    }
}

/// The parts of a list by state, the one that is shown marked.
pub(super) fn tabs(label: &str, path: &str, words: &[&str], chosen: &str) -> Markup {
    html! {
        nav.tabs aria-label=(label) {
            @for each in words {
                a href={ (path) "?state=" (each) } aria-current=[(*each == chosen).then_some("true")] { (each) }
            }
        }
    }
}

/// What stands in place of a form for those who may not send it.
pub(super) fn beyond(what: &str, problem: Problem) -> Markup {
    html! { p.hint { (what) " needs more than your role. " (problem.detail.unwrap_or_default()) } }
}

/// What stands where a list would be.
pub(super) fn empty(what: &str, next_step: Markup) -> Markup {
    html! { div.empty { p { strong { (what) } } p { (next_step) } } }
}

/// A list to choose from; the first choice is everything.
pub(super) fn choice<'a>(
    name: &str,
    label: &str,
    all: &str,
    words: impl IntoIterator<Item = &'a str>,
    chosen: &str,
) -> Markup {
    html! {
        div.field {
            label for=(name) { (label) }
            select id=(name) name=(name) {
                option value="" { (all) }
                @for word in words {
                    option value=(word) selected[word == chosen] { (word) }
                }
            }
        }
    }
}
