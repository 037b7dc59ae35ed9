//! What the agent says, to people and to programs.

use std::path::Path;
use std::process::ExitCode;

use serde_json::{Value, json};
use tenure_domain::feed::Rung;
use tenure_field::device::{Error, Progress, Status};
use tenure_field::feed::{self, Applied, Lost, Seen, Step};
use tenure_field::{est, http};

/// How to print.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Output {
    /// For people.
    Text,
    /// For programs: one value for each thing said.
    Json,
}

/// Prints results to standard output, and failures to standard error.
pub struct Report {
    output: Output,
}

/// Why a command did not do what was asked.
pub struct Failure {
    what: String,
    code: u8,
}

/// Refused or failed.
const FAILED: u8 = 1;
/// The command line is wrong.
const USAGE: u8 = 2;
/// The server cannot be reached, or is not the one it should be.
const UNREACHABLE: u8 = 4;
/// What is held is too old to let anybody new in.
const RESTRICT: u8 = 10;
/// What is held is too old to let anybody in.
const CLOSED: u8 = 11;
/// What is held is too old, and it goes on.
const ALARM: u8 = 12;
/// It has to be decided first: ask again later.
const PENDING: u8 = 7;

impl Failure {
    /// The command line or a file it names cannot be used.
    pub fn usage(what: impl Into<String>) -> Failure {
        Failure {
            what: what.into(),
            code: USAGE,
        }
    }

    /// It was refused, or did not work.
    pub fn failed(what: impl Into<String>) -> Failure {
        Failure {
            what: what.into(),
            code: FAILED,
        }
    }
}

impl From<feed::Error> for Failure {
    fn from(error: feed::Error) -> Failure {
        let code = match &error {
            feed::Error::Http(_) => UNREACHABLE,
            feed::Error::Damaged { .. } | feed::Error::OtherFeed { .. } => USAGE,
            _ => FAILED,
        };
        let mut what = error.to_string();
        let mut link = std::error::Error::source(&error);
        while let Some(source) = link {
            what.push_str(&format!(": {source}"));
            link = source.source();
        }
        Failure { what, code }
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Failure {
        let mut what = error.to_string();
        let mut link = std::error::Error::source(&error);
        while let Some(source) = link {
            what.push_str(&format!(": {source}"));
            link = source.source();
        }
        if let Some(hint) = hint(&error) {
            what.push_str(&format!(". {hint}"));
        }
        Failure {
            what,
            code: code(&error),
        }
    }
}

fn code(error: &Error) -> u8 {
    match error {
        Error::Http(http::Error::Url { .. } | http::Error::Credentials { .. }) => USAGE,
        Error::Http(_) | Error::Est(est::Error::Http(_)) => UNREACHABLE,
        _ => FAILED,
    }
}

/// What to do about it, where we can tell.
fn hint(error: &Error) -> Option<&'static str> {
    match error {
        Error::Est(est::Error::Refused { status, .. }) if status.as_u16() == 401 => {
            Some("Check the id and the secret; a secret is good for one device and a limited time")
        }
        Error::Est(est::Error::Refused { status, .. }) if status.as_u16() == 404 => {
            Some("Check the URL and the label")
        }
        Error::Est(est::Error::Http(source)) if source.distrust().is_some() => {
            Some("Check that --ca is the root of this server, and that the clock is right")
        }
        Error::NotEnrolled => Some("Start with `tenure-agent enroll`"),
        _ => None,
    }
}

impl Report {
    /// A report in this form.
    pub fn new(output: Output) -> Report {
        Report { output }
    }

    /// Says how far it has come; returns the exit code for it.
    pub fn progress(&self, progress: &Progress, dir: &Path) -> ExitCode {
        match progress {
            Progress::Pending { retry_after_s } => {
                self.pending(*retry_after_s);
                ExitCode::from(PENDING)
            }
            Progress::Issued(cert) => {
                let (serial, until) = (cert.serial().to_string(), cert.validity().not_after);
                let value = json!({
                    "state": "issued", "serial": serial, "not_after": until.to_string(),
                    "directory": dir.join("current"),
                });
                let text = format!(
                    "issued {serial}, good until {until}; key and certificate are in {}",
                    dir.join("current").display()
                );
                self.say(value, &text);
                ExitCode::SUCCESS
            }
        }
    }

    /// Says that it has to be decided first.
    pub fn pending(&self, retry_after_s: u64) {
        let value = json!({ "state": "pending", "retry_after_s": retry_after_s });
        self.say(
            value,
            &format!("not decided yet: ask again in {retry_after_s} s"),
        );
    }

    /// Says when the next renewal will be.
    pub fn waiting(&self, serial: &str, until: &str) {
        let value = json!({ "state": "waiting", "serial": serial, "renew_at": until });
        self.say(value, &format!("{serial} will be renewed at {until}"));
    }

    /// Says that a try failed and when the next one is.
    pub fn retrying(&self, failure: &Failure, pause_s: u64) {
        match self.output {
            Output::Json => eprintln!(
                "{}",
                json!({ "error": failure.what, "retry_in_s": pause_s })
            ),
            Output::Text => eprintln!("{}; trying again in {pause_s} s", failure.what),
        }
    }

    /// Says that nobody tells of news: what is new is found by looking.
    pub fn lost(&self, why: &Lost) {
        match self.output {
            Output::Json => eprintln!("{}", json!({ "warning": why.to_string() })),
            Output::Text => eprintln!("{why}; looking by myself meanwhile"),
        }
    }

    /// Shows the state of the directory.
    pub fn status(&self, status: &Status) -> ExitCode {
        let value = serde_json::to_value(status).unwrap_or(Value::Null); // plain strings only
        let mut text = format!("device   {}\nserver   {}", status.device, status.url);
        match &status.current {
            None => text.push_str("\nno identity yet"),
            Some(current) => {
                let state = if current.expired {
                    "EXPIRED"
                } else {
                    "good until"
                };
                let never = "never: it has no end";
                text.push_str(&format!(
                    "\nserial   {}\nsubject  {}\nissuer   {}\nstate    {state} {}\nrenewal  {}",
                    current.serial,
                    current.subject,
                    current.issuer,
                    current.not_after,
                    current.renew_at.as_deref().unwrap_or(never),
                ));
            }
        }
        if let Some(next) = &status.next {
            let when = next.retry_at.as_deref().unwrap_or("any time");
            text.push_str(&format!(
                "\nnext     asked for, not issued yet; ask again: {when}"
            ));
        }
        self.say(value, &text);
        ExitCode::SUCCESS
    }

    /// Says why it failed; returns the exit code for it.
    pub fn failure(&self, failure: &Failure) -> ExitCode {
        match self.output {
            Output::Json => eprintln!("{}", json!({ "error": failure.what })),
            Output::Text => eprintln!("{}", failure.what),
        }
        ExitCode::from(failure.code)
    }

    /// Says what a round came to.
    pub fn step(&self, step: &Step, into: &Path) -> ExitCode {
        match step {
            Step::Nothing => self.say(json!({ "state": "unchanged" }), "there is nothing newer"),
            Step::Applied(applied) => self.applied(applied, into),
        }
        ExitCode::SUCCESS
    }

    /// Says what is in use.
    pub fn applied(&self, applied: &Applied, into: &Path) {
        let sequence = applied.held.sequence;
        let value = json!({
            "state": "applied", "sequence": sequence, "sha256": applied.held.sha256,
            "directory": into.join("current"),
        });
        let text = format!(
            "number {sequence} is in use from {}",
            into.join("current").display()
        );
        self.say(value, &text);
    }

    /// Says what a look at a trust store came to.
    pub fn seen(&self, seen: &Seen) {
        let (anchors, wrong, missing) = match seen {
            Seen::Unchanged => {
                let text = "the trust store is as it was reported";
                return self.say(json!({ "state": "unchanged" }), text);
            }
            Seen::Reported {
                anchors,
                wrong,
                missing,
            } => (anchors, wrong, missing),
        };
        let value = json!({
            "state": "reported", "anchors": anchors, "wrong": wrong, "missing": missing,
        });
        let mut text = format!("{anchors} anchors reported");
        for anchor in wrong {
            text.push_str(&format!("\nshould not be there, {anchor}"));
        }
        for issuer in missing {
            text.push_str(&format!("\nmissing: {issuer}"));
        }
        self.say(value, &text);
    }

    /// Says how a relying party stands; returns the exit code of its rung.
    pub fn rung(&self, status: &feed::Status) -> ExitCode {
        let value = serde_json::to_value(status).unwrap_or(Value::Null); // plain values only
        let held = match (status.sequence, &status.made) {
            (Some(sequence), Some(made)) => format!("number {sequence}, made {made}"),
            _ => "nothing".to_owned(),
        };
        let applied = match status.applied {
            None => "nothing".to_owned(),
            Some(applied) => format!("number {applied}"),
        };
        let text = format!(
            "feed of  {}\nholds    {held}\nuses     {applied}\nrung     {}",
            status.party, status.rung
        );
        self.say(value, &text);
        ExitCode::from(match status.rung {
            Rung::Fresh | Rung::Warn => 0,
            Rung::Restrict => RESTRICT,
            Rung::Closed => CLOSED,
            Rung::Alarm => ALARM,
        })
    }

    fn say(&self, value: Value, text: &str) {
        match self.output {
            Output::Json => println!("{value}"),
            Output::Text => println!("{text}"),
        }
    }
}
