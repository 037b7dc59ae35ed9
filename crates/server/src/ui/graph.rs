//! Who trusts whom, as a picture: roots, the issuers below them, and the relying parties that let in
//! their devices; and the same in a table, for screen readers and small screens.

use std::collections::BTreeMap;
use std::sync::Arc;

use axum::extract::State;
use maud::{Markup, html};
use tenure_domain::blast::BlastKind;
use tenure_domain::canary::ProbeVerdict;
use tenure_domain::ids::{IssuerNo, Slug};
use tenure_domain::issuer::{Issuer, IssuerKind};
use tenure_engine::store::blast::in_force;
use tenure_engine::store::relying_party::{self as stored, Known};
use tenure_engine::store::{StoreError, probe};

use super::blast;
use super::fault::Fault;
use super::page::{Part, Shown, number, page, tag};
use super::relying_party;
use super::session::SignedIn;
use crate::api::Desk;

/// Most relying parties in the picture; the table says how many there are.
const PARTIES_MAX: u32 = 200;
/// Of these, most that are drawn.
const DRAWN_MAX: usize = 40;
const WIDTH: usize = 960;
/// From where one column begins to where the next does.
const COLUMN: usize = 340;
const BOX: (usize, usize) = (280, 44);
const STEP: usize = 56;

/// A relying party with what is known of it.
struct Party {
    known: Known,
    verdict: ProbeVerdict,
}

impl Party {
    /// Whether it is to let in devices of this issuer.
    fn trusts(&self, issuer: &Issuer) -> bool {
        let named = &self.known.party.issuers;
        issuer.kind == IssuerKind::Issuing && (named.is_empty() || named.contains(&issuer.name))
    }
}

pub(super) async fn show(State(desk): State<Desk>, who: SignedIn) -> Result<Shown, Fault> {
    let tenant = desk.engine().tenant();
    let (live, parties) = desk
        .read(move |tx| {
            let live: BTreeMap<IssuerNo, u64> = in_force(tx, tenant)?.into_iter().collect();
            let parties = stored::list(tx, tenant, "", PARTIES_MAX)?.into_iter();
            let parties = parties.map(|known| {
                let last = probe::last_verdict(tx, known.no)?;
                Ok(Party {
                    verdict: last.map_or(ProbeVerdict::Unverified, |(verdict, _)| verdict),
                    known,
                })
            });
            let parties = parties.collect::<Result<Vec<_>, StoreError>>()?;
            Ok::<_, StoreError>((live, parties))
        })
        .await?;
    let snapshot = desk.engine().snapshot();
    let issuers = &snapshot.issuers;
    let content = html! {
        h1 { "Who trusts whom" }
        p { "From roots over issuers to the relying parties that let in their devices. A relying party is green if it was proven to refuse what it must, red if it was seen to let something in." }
        (picture(issuers, &live, &parties))
        (tables(issuers, &live, &parties))
    };
    Ok(page(&who, Part::Issuers, "Who trusts whom", content))
}

/// The root above an issuer.
fn root_of<'i>(issuers: &'i [Arc<Issuer>], issuer: &Issuer) -> Option<&'i Arc<Issuer>> {
    let top = issuer.chain.last()?.public_key().hash();
    let mut roots = issuers.iter().filter(|it| it.kind == IssuerKind::Root);
    roots.find(|root| root.public_key().hash() == top)
}

fn tone(verdict: ProbeVerdict) -> &'static str {
    match verdict {
        ProbeVerdict::Proven => "good",
        ProbeVerdict::Failing => "bad",
        ProbeVerdict::Unverified => "wait",
    }
}

fn picture(issuers: &[Arc<Issuer>], live: &BTreeMap<IssuerNo, u64>, parties: &[Party]) -> Markup {
    let roots: Vec<_> = issuers
        .iter()
        .filter(|it| it.kind == IssuerKind::Root)
        .collect();
    let below: Vec<_> = issuers
        .iter()
        .filter(|it| it.kind != IssuerKind::Root)
        .collect();
    let drawn = parties
        .get(..parties.len().min(DRAWN_MAX))
        .unwrap_or(parties);
    let rows = roots.len().max(below.len()).max(drawn.len()).max(1);
    let height = rows * STEP + 16;
    let y = |row: usize, of: usize| 8 + (rows - of.min(rows)) * STEP / 2 + row * STEP;
    let edge = |column: usize, from: usize, to: usize| {
        let (x1, x2) = (column * COLUMN + BOX.0, (column + 1) * COLUMN);
        let (y1, y2, middle) = (from + BOX.1 / 2, to + BOX.1 / 2, (x1 + x2) / 2);
        format!("M{x1} {y1} C{middle} {y1} {middle} {y2} {x2} {y2}")
    };
    let said = format!(
        "{} roots, {} issuers and {} relying parties; the tables below say the same.",
        roots.len(),
        below.len(),
        parties.len()
    );
    html! {
        svg.chart.graph viewBox={ "0 0 " (WIDTH) " " (height) } role="img" aria-labelledby="graph-title graph-said" {
            title #graph-title { "Who trusts whom" }
            desc #graph-said { (said) }
            @for (i, issuer) in below.iter().enumerate() {
                @let at = y(i, below.len());
                @if let Some(root) = root_of(issuers, issuer) {
                    @for (j, each) in roots.iter().enumerate() {
                        @if each.no == root.no { path.edge d=(edge(0, y(j, roots.len()), at)) {} }
                    }
                }
                @for (j, party) in drawn.iter().enumerate() {
                    @if party.trusts(issuer) { path class={ "edge " (tone(party.verdict)) } d=(edge(1, at, y(j, drawn.len()))) {} }
                }
            }
            @for (i, root) in roots.iter().enumerate() {
                (node(0, y(i, roots.len()), "plain", &root.name, "root", &blast::path(BlastKind::Anchor, root.name.as_str())))
            }
            @for (i, issuer) in below.iter().enumerate() {
                @let count = live.get(&issuer.no).copied().unwrap_or(0);
                @let said = format!("{}, {} certificates in force", issuer.state, number(count));
                (node(1, y(i, below.len()), "plain", &issuer.name, &said, &blast::path(BlastKind::Issuer, issuer.name.as_str())))
            }
            @for (i, party) in drawn.iter().enumerate() {
                @let said = format!("{}, {}", party.verdict, party.known.party.criticality);
                (node(2, y(i, drawn.len()), tone(party.verdict), &party.known.party.name, &said, &format!("/relying-parties/{}", party.known.party.name)))
            }
        }
        @if drawn.len() < parties.len() { p.hint { "Only the first " (drawn.len()) " relying parties are drawn." } }
    }
}

fn node(column: usize, y: usize, tone: &str, name: &Slug, said: &str, way: &str) -> Markup {
    let x = column * COLUMN;
    html! {
        a href=(way) {
            rect class={ "node " (tone) } x=(x + 1) y=(y) width=(BOX.0 - 2) height=(BOX.1) rx="6" {}
            text.label x=(x + 12) y=(y + 19) { (shortened(name.as_str())) }
            text.mark x=(x + 12) y=(y + 35) { (said) }
        }
    }
}

/// As much of a name as fits into its box.
fn shortened(name: &str) -> String {
    const FITS: usize = 34;
    if name.chars().count() <= FITS {
        return name.to_owned();
    }
    let mut out: String = name.chars().take(FITS - 1).collect();
    out.push('…');
    out
}

fn tables(issuers: &[Arc<Issuer>], live: &BTreeMap<IssuerNo, u64>, parties: &[Party]) -> Markup {
    html! {
        div.wide {
            table {
                caption { "Issuers" }
                thead { tr {
                    th scope="col" { "Issuer" } th scope="col" { "Kind" } th scope="col" { "State" } th scope="col" { "Below" }
                    th.n scope="col" { "Certificates in force" } th.n scope="col" { "Relying parties" } th scope="col" { "Blast radius" }
                } }
                tbody {
                    @for issuer in issuers {
                        tr {
                            th scope="row" { (issuer.name) }
                            td { (issuer.kind) } td { (issuer.state) }
                            td { @if let Some(root) = root_of(issuers, issuer) { (root.name) } @else { "nothing" } }
                            td.n { (number(live.get(&issuer.no).copied().unwrap_or(0))) }
                            td.n { (parties.iter().filter(|party| party.trusts(issuer)).count()) }
                            td { a href=(blast::path(BlastKind::Issuer, issuer.name.as_str())) { "of " (issuer.name) } }
                        }
                    }
                }
            }
        }
        @if !parties.is_empty() {
            div.wide {
                table {
                    caption { "Relying parties" }
                    thead { tr {
                        th scope="col" { "Relying party" } th scope="col" { "Lets in devices of" } th scope="col" { "Services" }
                        th scope="col" { "Criticality" } th scope="col" { "Refuses what it must" }
                    } }
                    tbody {
                        @for party in parties {
                            @let known = &party.known.party;
                            tr {
                                th scope="row" { (relying_party::link(known.name.as_str())) }
                                td { @if known.issuers.is_empty() { "every issuing CA" } @else { (known.issuers.iter().map(|it| it.as_str()).collect::<Vec<_>>().join(", ")) } }
                                td { (known.services.iter().map(|it| it.as_str()).collect::<Vec<_>>().join(", ")) }
                                td { (known.criticality) }
                                td { (tag(party.verdict.word())) }
                            }
                        }
                    }
                }
            }
        }
    }
}
