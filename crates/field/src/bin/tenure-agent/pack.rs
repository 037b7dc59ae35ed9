//! `tenure-agent pack …`: what came on a stick, and the receipt that goes back.

use std::path::Path;
use std::process::ExitCode;

use tenure_field::feed::{Applied, Connection, Hook, Opened, receipt};

use crate::args::{Import, Pack};
use crate::feed::open;
use crate::report::{Failure, Report};
use crate::run::now;

/// Does what was asked about packs.
pub fn act(asked: &Pack, report: &Report) -> Result<ExitCode, Failure> {
    match asked {
        Pack::Import(import) => import_pack(import, report),
        Pack::Receipt { kept, out } => {
            let connection = Connection::read(&kept.connection)?;
            let applied = open(kept, &connection)?.applied();
            let applied = applied.ok_or_else(|| Failure::failed("nothing is in use here yet"))?;
            write_receipt(&connection, &applied, out)?;
            report.applied(&applied, &kept.into);
            Ok(ExitCode::SUCCESS)
        }
    }
}

/// Takes a pack, has the hook take it into use, and writes the receipt. The same pack may be imported
/// again: what was left undone is done then.
fn import_pack(import: &Import, report: &Report) -> Result<ExitCode, Failure> {
    let connection = Connection::read(&import.kept.connection)?;
    let opened = Opened::read(&import.file, &connection)?;
    let mut holding = open(&import.kept, &connection)?;
    opened.take_into(&mut holding, now())?;
    let hook = import.hook.as_deref().map(Hook::new);
    let applied = holding.apply(hook.as_ref(), now())?;
    let applied = applied.ok_or_else(|| Failure::failed("nothing was taken"))?;
    if let Some(out) = &import.receipt {
        write_receipt(&connection, &applied, out)?;
    }
    report.applied(&applied, &import.kept.into);
    Ok(ExitCode::SUCCESS)
}

fn write_receipt(connection: &Connection, applied: &Applied, out: &Path) -> Result<(), Failure> {
    std::fs::write(out, receipt(connection, applied))
        .map_err(|error| Failure::failed(format!("cannot write {}: {error}", out.display())))
}
