//! What the demo shows: a bar while something happens, a line when it has, and whether it came out
//! as it should.

use std::fmt::Display;
use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use serde_json::{Value, json};

/// The story so far.
pub(super) struct Show {
    began: Instant,
    lines: Vec<Line>,
}

struct Line {
    what: String,
    went: Went,
    took: Duration,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Went {
    Right,
    Wrong,
}

/// Something that is happening now.
pub(super) struct Step {
    bar: ProgressBar,
    began: Instant,
}

impl Step {
    /// One more of many is done.
    pub(super) fn one_more(&self) {
        self.bar.inc(1);
    }
}

impl Show {
    pub(super) fn new() -> Show {
        Show {
            began: Instant::now(),
            lines: Vec::new(),
        }
    }

    /// Begins a step of `many` things; 1 for a step of no parts.
    pub(super) fn begin(&self, what: &str, many: usize) -> Step {
        let bar = ProgressBar::with_draw_target(
            Some(many as u64),
            if std::io::stderr().is_terminal() {
                ProgressDrawTarget::stderr()
            } else {
                ProgressDrawTarget::hidden()
            },
        );
        let template = match many {
            1 => "  {spinner} {msg}",
            _ => "  {spinner} {msg:<44} {bar:24} {pos}/{len}",
        };
        // The templates above are proper ones; the usual look would do otherwise.
        if let Ok(style) = ProgressStyle::with_template(template) {
            bar.set_style(style);
        }
        bar.set_message(what.to_owned());
        bar.enable_steady_tick(Duration::from_millis(100));
        Step {
            bar,
            began: Instant::now(),
        }
    }

    /// Ends a step that went right.
    pub(super) fn done(&mut self, step: Step, what: impl Display) {
        self.end(step, what, Went::Right);
    }

    /// Ends a step whose outcome is `expected`, or not.
    pub(super) fn check(&mut self, step: Step, what: impl Display, outcome: Result<(), String>) {
        match outcome {
            Ok(()) => self.end(step, what, Went::Right),
            Err(why) => self.end(step, format!("{what}: {why}"), Went::Wrong),
        }
    }

    fn end(&mut self, step: Step, what: impl Display, went: Went) {
        step.bar.finish_and_clear();
        let line = Line {
            what: what.to_string(),
            went,
            took: step.began.elapsed(),
        };
        let mark = if went == Went::Right { "✓" } else { "✗" };
        eprintln!(
            "  {mark} {:<88} {:>6.1} s",
            line.what,
            line.took.as_secs_f64()
        );
        self.lines.push(line);
    }

    /// How many steps did not come out as they should.
    pub(super) fn wrong(&self) -> usize {
        self.lines
            .iter()
            .filter(|line| line.went == Went::Wrong)
            .count()
    }

    /// Since the beginning.
    pub(super) fn took(&self) -> Duration {
        self.began.elapsed()
    }

    /// The story as JSON.
    pub(super) fn to_json(&self) -> Value {
        let steps: Vec<Value> = self
            .lines
            .iter()
            .map(|line| {
                json!({
                    "what": line.what,
                    "ok": line.went == Went::Right,
                    "seconds": (line.took.as_secs_f64() * 1000.0).round() / 1000.0,
                })
            })
            .collect();
        json!(steps)
    }
}
