//! The hook: the command that makes a relying party use what is in place now.

use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use super::{Error, Held};

/// A command for `/bin/sh`.
#[derive(Debug, Clone)]
pub struct Hook {
    /// The command.
    pub command: String,
    /// How long it may take.
    pub within: Duration,
}

/// How often a running hook is looked at.
const LOOK_EVERY: Duration = Duration::from_millis(10);

impl Hook {
    /// A hook with the usual patience: a minute.
    pub fn new(command: &str) -> Hook {
        Hook {
            command: command.to_owned(),
            within: Duration::from_secs(60),
        }
    }

    /// Runs it to its end. It finds the set's directory in `TENURE_FEED_DIR` and the number in
    /// `TENURE_FEED_SEQUENCE`. Blocks.
    ///
    /// # Errors
    /// It could not be started, failed, or took too long and was killed.
    pub fn run(&self, directory: &Path, held: &Held) -> Result<(), Error> {
        let failed = |how: String| Error::Hook { how };
        let mut child = Command::new("/bin/sh")
            .arg("-c")
            .arg(&self.command)
            .env("TENURE_FEED_DIR", directory)
            .env("TENURE_FEED_SEQUENCE", held.sequence.to_string())
            .stdin(Stdio::null())
            .spawn()
            .map_err(|error| failed(format!("could not be started: {error}")))?;
        let deadline = Instant::now() + self.within;
        loop {
            match child.try_wait() {
                Ok(Some(status)) if status.success() => return Ok(()),
                Ok(Some(status)) => return Err(failed(format!("failed ({status})"))),
                Ok(None) if Instant::now() < deadline => std::thread::sleep(LOOK_EVERY),
                Ok(None) => {
                    // It may have ended just now; either way it is waited for.
                    let _ = child.kill();
                    let _ = child.wait();
                    let after = self.within.as_secs();
                    return Err(failed(format!("took more than {after} s and was killed")));
                }
                Err(error) => return Err(failed(format!("was lost sight of: {error}"))),
            }
        }
    }
}
