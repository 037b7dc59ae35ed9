//! Lists of things that have a state: which of them is asked for.

use serde::Deserialize;

use crate::problem::Problem;

/// What is asked of such a list.
#[derive(Default, Deserialize)]
#[serde(default)]
pub(super) struct Asked {
    state: String,
    pub(super) cursor: Option<String>,
}

impl Asked {
    /// The state that is asked for, with its word; the first of them if none is named.
    ///
    /// # Errors
    /// 400 if it is none of them.
    pub(super) fn state<S: Copy>(
        &self,
        states: &[(&'static str, S)],
    ) -> Result<(&'static str, S), Problem> {
        let asked = self.state.as_str();
        let mut named = states
            .iter()
            .filter(|(word, _)| asked.is_empty() || *word == asked);
        named.next().copied().ok_or_else(|| {
            let words: Vec<_> = states.iter().map(|(word, _)| *word).collect();
            Problem::bad_request(format!("state: use one of {}", words.join(", ")))
        })
    }
}
