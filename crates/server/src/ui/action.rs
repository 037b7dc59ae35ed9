//! What can be done to a device or a certificate. Each act has a page of its own that says first what
//! it touches and does nothing; the form on it does it.

use axum::extract::State;
use axum::response::{IntoResponse, Redirect, Response};
use maud::{Markup, html};
use serde::Deserialize;
use tenure_domain::Standing;
use tenure_domain::certificate::StatusChange;
use tenure_domain::change::Change;
use tenure_domain::device::Device;
use tenure_domain::operator::Permission;
use tenure_domain::operator::Permission::{Approve, Withdraw};
use tenure_engine::{Changed, RevokeAsk, Target};
use tenure_x509::Reason;

use super::asked::Path;
use super::fault::Fault;
use super::page::{Part, Shown, at, csrf, page};
use super::posted::{Posted, why};
use super::session::SignedIn;
use crate::api::certificate::Named;
use crate::api::device::WHY_MAX;
use crate::api::{Desk, device};
use crate::problem::Problem;

/// How long a secret made here is good, in seconds: 7 days.
const SECRET_LIFE_S: i64 = 7 * 86_400;
/// Certificates and devices named one by one.
const NAMED_MAX: usize = 20;

/// The reasons that a person gives; the others are given by what happens.
const REASONS: [(Reason, &str); 5] = [
    (Reason::KeyCompromise, "The key may be in other hands"),
    (Reason::CessationOfOperation, "It is no longer in use"),
    (
        Reason::Superseded,
        "Another certificate has taken its place",
    ),
    (Reason::AffiliationChanged, "It belongs to someone else now"),
    (Reason::Unspecified, "None of these"),
];

/// An act.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Act {
    Suspend,
    Resume,
    Retire,
    Secret,
    Revoke,
    Hold,
    Release,
}

impl Act {
    const OF_DEVICES: [Act; 5] = [
        Act::Secret,
        Act::Suspend,
        Act::Resume,
        Act::Revoke,
        Act::Retire,
    ];
    const OF_CERTIFICATES: [Act; 3] = [Act::Hold, Act::Release, Act::Revoke];

    /// As it stands in the address, there and in the API.
    fn verb(self) -> &'static str {
        match self {
            Act::Suspend => "suspend",
            Act::Resume => "resume",
            Act::Retire => "retire",
            Act::Secret => "secret",
            Act::Revoke => "revoke",
            Act::Hold => "hold",
            Act::Release => "release",
        }
    }

    fn read(verb: &str, among: &[Act]) -> Result<Act, Problem> {
        let found = among.iter().find(|act| act.verb() == verb);
        found
            .copied()
            .ok_or_else(|| Problem::not_found(format!("The action {verb}")))
    }

    fn label(self) -> &'static str {
        match self {
            Act::Suspend => "Suspend",
            Act::Resume => "Resume",
            Act::Retire => "Retire",
            Act::Secret => "New secret",
            Act::Revoke => "Revoke",
            Act::Hold => "Put on hold",
            Act::Release => "Release",
        }
    }

    fn needs(self) -> Permission {
        match self {
            Act::Secret => Approve,
            Act::Suspend | Act::Resume | Act::Retire | Act::Revoke | Act::Hold | Act::Release => {
                Withdraw
            }
        }
    }

    /// What it means, for whoever is about to do it.
    fn effect(self) -> &'static str {
        match self {
            Act::Suspend => {
                "Its certificates are put on hold: services refuse it until it is resumed."
            }
            Act::Resume => "Its certificates that are on hold are in force again.",
            Act::Retire => {
                "Its certificates are revoked for good, and it can never enroll again. This cannot \
                 be undone."
            }
            Act::Secret => {
                "It gets a one-time secret for its first enrollment, good for 7 days. A secret made \
                 earlier stops working."
            }
            Act::Revoke => "Services refuse it from then on. This cannot be undone.",
            Act::Hold => "Services refuse it until it is released.",
            Act::Release => "It is in force again.",
        }
    }

    fn fits(self, device: &Device) -> bool {
        let standing = device.standing;
        match self {
            Act::Suspend => standing.next().contains(&Standing::Suspended),
            Act::Resume => {
                standing.next().contains(&Standing::Enrolled) && standing.may_enroll().is_err()
            }
            Act::Retire => standing.next().contains(&Standing::Retired),
            Act::Secret => standing.may_enroll().is_ok(),
            Act::Revoke => true,
            Act::Hold | Act::Release => false,
        }
    }
}

/// The ways to the acts that fit a device, for those who may.
pub(super) fn of_device(who: &SignedIn, device: &Device) -> Markup {
    let fitting = Act::OF_DEVICES.into_iter().filter(|act| act.fits(device));
    links(who, &format!("/devices/{}", device.id), fitting)
}

/// The same for a certificate.
pub(super) fn of_certificate(who: &SignedIn, path: &str, status: tenure_domain::Status) -> Markup {
    use tenure_domain::Status;
    let fitting = Act::OF_CERTIFICATES.into_iter().filter(|act| match act {
        Act::Hold => matches!(status, Status::Issued | Status::Replaced),
        Act::Release => status == Status::Held,
        _ => matches!(status, Status::Issued | Status::Replaced | Status::Held),
    });
    links(who, path, fitting)
}

fn links(who: &SignedIn, path: &str, acts: impl Iterator<Item = Act>) -> Markup {
    let allowed: Vec<Act> = acts.filter(|act| who.may(act.needs()).is_ok()).collect();
    html! {
        @if !allowed.is_empty() {
            nav.tabs aria-label="What can be done" {
                @for act in allowed { a href={ (path) "/" (act.verb()) } { (act.label()) "…" } }
            }
        }
    }
}

/// What comes with a form.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Said {
    why: String,
    reason: String,
}

impl Said {
    fn change(&self, act: Act) -> Result<StatusChange, Problem> {
        Ok(match act {
            Act::Hold => StatusChange::Hold,
            Act::Release => StatusChange::Release,
            _ => StatusChange::Revoke {
                reason: self
                    .reason
                    .parse()
                    .map_err(|_| Problem::bad_request("Choose a reason. Nothing was changed."))?,
                invalidity: None,
            },
        })
    }
}

pub(super) async fn ask_device(
    State(desk): State<Desk>,
    who: SignedIn,
    Path((id, verb)): Path<(String, String)>,
) -> Result<Shown, Fault> {
    let act = Act::read(&verb, &Act::OF_DEVICES)?;
    who.may(act.needs())?;
    let device = device::known(&desk, &id)?;
    let path = format!("/devices/{}", device.id);
    let target = Target::Device(device.id.clone());
    let title = format!("{} {}", act.label(), device.id);
    Ok(confirm(
        &desk,
        &who,
        act,
        Part::Devices,
        &path,
        &title,
        &target,
    )?)
}

pub(super) async fn do_device(
    State(desk): State<Desk>,
    Path((id, verb)): Path<(String, String)>,
    posted: Posted<Said>,
) -> Result<Response, Fault> {
    let act = Act::read(&verb, &Act::OF_DEVICES)?;
    posted.who.may(act.needs())?;
    let device = device::known(&desk, &id)?.id;
    let back = format!("/devices/{device}");
    let actor = posted.who.caller.actor();
    let to = match act {
        Act::Suspend => Standing::Suspended,
        Act::Resume => Standing::Enrolled,
        Act::Retire => Standing::Retired,
        Act::Secret => {
            let change = Change::NewSecret {
                device,
                life_s: SECRET_LIFE_S,
            };
            return match desk.engine().change(&actor, change).await? {
                Changed::Secret(made) => Ok(secret(&posted.who, &back, &made).into_response()),
                _ => Err(Problem::internal().into()),
            };
        }
        Act::Revoke | Act::Hold | Act::Release => {
            let ask = RevokeAsk {
                actor,
                target: Target::Device(device),
                change: posted.form.change(act)?,
            };
            desk.engine().revoke(ask).await?;
            return Ok(Redirect::to(&back).into_response());
        }
    };
    let why = why(&posted.form.why)?;
    let change = Change::SetStanding { device, to, why };
    desk.engine().change(&actor, change).await?;
    Ok(Redirect::to(&back).into_response())
}

/// Which certificate, and what to do with it.
#[derive(Deserialize)]
pub(super) struct NamedAct {
    #[serde(default)]
    issuer: Option<String>,
    serial: String,
    verb: String,
}

impl NamedAct {
    fn split(self) -> Result<(Act, Named, String), Problem> {
        let act = Act::read(&self.verb, &Act::OF_CERTIFICATES)?;
        let path = match &self.issuer {
            Some(issuer) => format!("/issuers/{issuer}/certificates/{}", self.serial),
            None => format!("/certificates/{}", self.serial),
        };
        Ok((act, Named::new(self.issuer, self.serial), path))
    }
}

pub(super) async fn ask_certificate(
    State(desk): State<Desk>,
    who: SignedIn,
    Path(named): Path<NamedAct>,
) -> Result<Shown, Fault> {
    let (act, named, path) = named.split()?;
    who.may(act.needs())?;
    let target = named.target()?;
    let title = format!("{} certificate {}", act.label(), named.row(&desk)?.serial);
    Ok(confirm(
        &desk,
        &who,
        act,
        Part::Certificates,
        &path,
        &title,
        &target,
    )?)
}

pub(super) async fn do_certificate(
    State(desk): State<Desk>,
    Path(named): Path<NamedAct>,
    posted: Posted<Said>,
) -> Result<Redirect, Fault> {
    let (act, named, path) = named.split()?;
    posted.who.may(act.needs())?;
    let ask = RevokeAsk {
        actor: posted.who.caller.actor(),
        target: named.target()?,
        change: posted.form.change(act)?,
    };
    desk.engine().revoke(ask).await?;
    Ok(Redirect::to(&path))
}

/// The page that says what an act touches, with the form that does it.
fn confirm(
    desk: &Desk,
    who: &SignedIn,
    act: Act,
    part: Part,
    path: &str,
    title: &str,
    target: &Target,
) -> Result<Shown, Problem> {
    let radius = desk.engine().blast_radius(target)?;
    let services: Vec<_> = radius.services.iter().map(ToString::to_string).collect();
    let count = radius.certificates.len();
    let content = html! {
        p.way { a href=(path) { "Back" } }
        h1 { (title) "?" }
        p.lead { (act.effect()) }
        @if act != Act::Secret {
            dl.fields {
                div { dt { "Certificates concerned" } dd { (count) } }
                div { dt { "Services that let it in or refuse it" } dd { @if services.is_empty() { "none" } @else { (services.join(", ")) } } }
                @if let Some(criticality) = radius.criticality { div { dt { "Criticality" } dd { (criticality) } } }
                @if count > 0 {
                    div.whole { dt { "By serial" } dd {
                        @for row in radius.certificates.iter().take(NAMED_MAX) { span.serial { (row.serial) } " " }
                        @if count > NAMED_MAX { "and " (count - NAMED_MAX) " more" }
                    } }
                }
            }
        }
        section.card {
            form.stack method="post" action={ (path) "/" (act.verb()) } {
                (csrf(who))
                @match act {
                    Act::Suspend | Act::Resume | Act::Retire => {
                        div.field {
                            label for="why" { "Why, for the record" }
                            input #why name="why" maxlength=(WHY_MAX) autocomplete="off";
                        }
                    }
                    Act::Revoke => {
                        fieldset {
                            legend { "Why" }
                            @for (reason, words) in REASONS {
                                label.pick { input type="radio" name="reason" value=(reason) required; span { (words) " (" (reason) ")" } }
                            }
                        }
                    }
                    Act::Secret | Act::Hold | Act::Release => {}
                }
                button.danger[matches!(act, Act::Retire | Act::Revoke)] type="submit" { (act.label()) }
            }
        }
    };
    Ok(page(who, part, title, content))
}

fn secret(who: &SignedIn, back: &str, made: &tenure_engine::NewSecretText) -> Shown {
    let content = html! {
        p.way { a href=(back) { "Back" } }
        h1 { "The one-time secret of " (made.device) }
        p.lead { "It is shown this once and known to nobody else. The device sends it as the password of EST's HTTP Basic; the user name is its id." }
        dl.fields {
            div.whole { dt { "Secret" } dd.serial { (made.secret) } }
            div { dt { "Good until (UTC)" } dd { (at(made.expires)) } }
        }
    };
    page(who, Part::Devices, "One-time secret", content)
}
