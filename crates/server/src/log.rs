//! Structured logs on standard error. A line never holds a header, a body, a query string, a token
//! or a secret.

use std::io::IsTerminal;

use tracing_subscriber::filter::Targets;
use tracing_subscriber::fmt;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::config::{Log, LogFormat};

/// Starts logging for this process. A second call changes nothing.
///
/// # Errors
/// The level is no filter.
pub fn start(log: &Log) -> Result<(), String> {
    let filter = log
        .level
        .parse::<Targets>()
        .map_err(|error| format!("`level` under [log] in tenure.toml: {error}"))?;
    let lines = fmt::layer()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal());
    let registry = tracing_subscriber::registry().with(filter);
    // Logging is already on, in a test or a demo: keep it.
    let _ = match log.format {
        LogFormat::Json => registry.with(lines.json().flatten_event(true)).try_init(),
        LogFormat::Text => registry.with(lines.with_target(false)).try_init(),
    };
    Ok(())
}
