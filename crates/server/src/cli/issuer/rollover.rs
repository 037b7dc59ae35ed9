//! `tenure issuer rollover …`: one issuer takes over from another.

use clap::{Args, Subcommand};
use serde_json::{Value, json};
use tenure_domain::rollover::or_more;

use super::add::Begin;
use super::path;
use crate::cli::api;
use crate::cli::exit::Failure;
use crate::cli::output::Output;
use crate::cli::session::Session;

#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Make the successor of an issuer. Needs the root's key; the server must be stopped meanwhile.
    Begin(Begin),
    /// Show how far a rollover has come, and what stands in the way.
    Status {
        /// An issuer of it.
        name: String,
        /// Show each relying party too.
        #[arg(long)]
        relying_parties: bool,
    },
    /// Let trust bundles carry a prepared issuer.
    Distribute(Step),
    /// Let a distributed issuer sign. Refused until relying parties were observed to accept it.
    Activate(Step),
    /// Take one step back: active to distributed, distributed to prepared, tainted to active.
    Back(Step),
    /// Let the former issuer sign nothing new.
    Taint(Taint),
    /// Take a tainted issuer out of all trust bundles. Refused while anything needs it.
    Remove(Step),
}

#[derive(Debug, Args)]
pub struct Step {
    /// The issuer.
    name: String,
    /// Relying parties that need not be ready; separated by commas.
    #[arg(long, value_delimiter = ',')]
    except: Vec<String>,
    /// Why, for the record.
    #[arg(long, default_value = "")]
    why: String,
}

#[derive(Debug, Args)]
pub struct Taint {
    #[command(flatten)]
    step: Step,
    /// Stop it though nobody signs in its place, because its key is not to be trusted.
    #[arg(long)]
    without_successor: bool,
}

pub async fn run(verb: Verb, session: &Session, output: &Output) -> Result<(), Failure> {
    let api = session.api();
    let mut without_successor = false;
    let (word, step) = match verb {
        // Done before a session was looked for.
        Verb::Begin(_) => return Ok(()),
        Verb::Status {
            name,
            relying_parties,
        } => {
            let progress = api.get(&format!("{}/rollover", path(&name))).await?;
            return output.done(&told(&progress, relying_parties), &progress);
        }
        Verb::Distribute(step) => ("distribute", step),
        Verb::Activate(step) => ("activate", step),
        Verb::Back(step) => ("back", step),
        Verb::Taint(taint) => {
            without_successor = taint.without_successor;
            ("taint", taint.step)
        }
        Verb::Remove(step) => ("remove", step),
    };
    let body = json!({
        "except": step.except,
        "why": step.why,
        "without_successor": without_successor,
    });
    let progress = api
        .post(
            &format!("{}/rollover/{}", path(&step.name), api::segment(word)),
            &body,
        )
        .await?;
    let state = stages(&progress)
        .find(|stage| stage["name"] == step.name.as_str())
        .map(|stage| word_of(stage, "state"));
    let said = format!("issuer {} is {}", step.name, state.unwrap_or_default());
    output.done(&said, &progress)
}

fn stages(progress: &Value) -> impl Iterator<Item = &Value> {
    progress["issuers"].as_array().into_iter().flatten()
}

fn word_of(item: &Value, name: &str) -> String {
    item[name].as_str().unwrap_or_default().to_owned()
}

/// The progress in words: where each issuer is and what comes next.
fn told(progress: &Value, parties: bool) -> String {
    let mut lines = Vec::new();
    for stage in stages(progress) {
        let of = |name: &str| word_of(stage, name);
        let accepted = &stage["accepted_by"];
        lines.push(format!(
            "{}: {} since {}; accepted by {} of {} relying parties ({} of {} critical); {}{} \
             certificates in force",
            of("name"),
            of("state"),
            of("since"),
            accepted["ready"],
            accepted["of"],
            accepted["critical_ready"],
            accepted["critical"],
            stage["certificates"],
            or_more(stage["certificates"].as_u64().unwrap_or_default()),
        ));
        if let Some(used) = stage["last_used"].as_str() {
            lines.push(format!("  last reported in use at {used}"));
        }
        for step in stage["steps"].as_array().into_iter().flatten() {
            lines.push(match step["blocked"].as_str() {
                None => format!("  may go on with {}", word_of(step, "step")),
                Some(why) => format!("  {} must wait: {why}", word_of(step, "step")),
            });
        }
        if parties {
            for party in stage["relying_parties"].as_array().into_iter().flatten() {
                let seen = party["observed"].as_str().unwrap_or("not tried");
                let how = party["how"].as_str().unwrap_or_default();
                let name = word_of(party, "name");
                lines.push(format!("  {name}: {seen} {how}").trim_end().to_owned());
            }
        }
    }
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_count_that_ended_at_its_limit_is_told_as_one() {
        let said = |certificates: u64| {
            let stage = json!({ "name": "issuing-1", "certificates": certificates });
            told(&json!({ "issuers": [stage] }), false)
        };
        assert!(said(9_999).ends_with("; 9999 certificates in force"));
        assert!(said(10_000).ends_with("; 10000 or more certificates in force"));
    }
}
