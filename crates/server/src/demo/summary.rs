//! What there is to say at the end of the story, and what a person can do then.

use serde_json::json;

use super::proof::{BROKER, CARELESS, Proof};
use super::show::Show;
use super::{CYCLE_S, Demo, House, Tale};
use crate::cli::output::Form;
use crate::init::ROOT_FILE;

/// What becomes of the data directory when the demo ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Afterwards {
    /// It stays.
    Kept,
    /// It goes away.
    Gone,
}

/// Prints it.
pub(super) fn print(
    house: &House,
    tale: &Tale,
    show: &Show,
    demo: &Demo,
    after: Afterwards,
    form: Form,
) {
    let at = house.running.at();
    let wrong = show.wrong();
    if form == Form::Json {
        let summary = json!({
            "ok": wrong == 0,
            "seconds": show.took().as_secs_f64(),
            "steps": show.to_json(),
            "devices": demo.devices,
            "certificates": tale.certificates,
            "events": tale.events,
            "enforcement": tale.proofs.iter().map(Proof::to_json).collect::<Vec<_>>(),
            "connected": tale.crowd.devices,
            "checks": { "directory": tale.switches.directory(), "cycle_s": CYCLE_S },
            "dashboard": format!("https://{}/", at.operator),
            "token": tale.reader,
            "data": house.data,
        });
        println!("{summary:#}");
        return;
    }
    let outcome = match wrong {
        0 => "Everything came out as it should".to_owned(),
        1 => "One step did NOT come out as it should".to_owned(),
        wrong => format!("{wrong} steps did NOT come out as they should"),
    };
    println!("\n{outcome}, in {:.1} s.\n", show.took().as_secs_f64());
    println!(
        "  {} devices hold {} certificates; {} were renewed.",
        demo.devices,
        tale.certificates,
        tale.renewed + 1
    );
    println!(
        "  {} was stolen, {} is retired, {} was cloned and waits for a person.",
        tale.stolen, tale.retired, tale.cloned
    );
    println!(
        "  The record has {} events, and every one is proved.\n",
        tale.events
    );
    println!("Enforcement, proved with canaries:");
    for proof in &tale.proofs {
        println!("  {proof}");
    }
    println!();
    if demo.once {
        if after == Afterwards::Kept {
            println!("Look around: tenure serve --data {}", house.data.display());
        }
        return;
    }
    let data = house.data.display();
    println!("Look around, while this runs:");
    println!(
        "  Dashboard   https://{}/   (its certificate comes from {data}/{ROOT_FILE})",
        at.operator
    );
    println!("  Token       {}   (may read)", tale.reader);
    println!(
        "  Terminal    tenure device show {} --data {data}",
        tale.cloned
    );
    println!("              tenure incident list --data {data}");
    println!("              tenure probe matrix --data {data}");
    println!("              tenure log verify --data {data}");
    println!("\nDo it again by hand; what comes of it is told below:");
    if let Some(device) = tale.crowd.devices.last() {
        println!(
            "  A theft     tenure cert revoke --device {device} --reason keyCompromise --yes --data {data}"
        );
        println!("              ends its live MQTT session; it does not come back");
    }
    if let Some(device) = tale.crowd.devices.first() {
        println!("  A doubt     tenure device suspend {device} --why doubt --yes --data {data}");
        println!(
            "              tenure device resume {device} --why settled --yes --data {data}   lets it back in"
        );
    }
    let (broker, gateway) = (tale.switches.file(BROKER), tale.switches.file(CARELESS));
    println!("  Neglect     echo off > {}", broker.display());
    println!(
        "              the broker stops checking: red within {CYCLE_S} s and a round; `echo on`: green again"
    );
    println!("  Mended      echo on > {}", gateway.display());
    println!("              tenure probe run --data {data}   does not wait for the next round");
    let after = match after {
        Afterwards::Gone => "it all goes away then; --data DIR keeps it",
        Afterwards::Kept => "it stays in place",
    };
    println!("\nCtrl-C ends this ({after}).");
}
