//! Where a passphrase comes from: a file, the environment, or a person at a terminal. Never the
//! command line, which other users can see.

use std::io::{IsTerminal, stdin};
use std::path::Path;

use tenure_engine::signer::Passphrase;
use zeroize::Zeroizing;

use crate::start::StartError;

/// How often a person is asked, and so whether a passphrase has to be a good one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Prompt {
    /// To open what is there.
    Once,
    /// To lock something new: a slip would lock it for good.
    Twice,
}

/// The passphrase of what, and where to look for it.
#[derive(Clone, Copy, Debug)]
pub struct Wanted<'a> {
    /// What it opens, for the prompt.
    pub what: &'a str,
    /// A file whose first line it is, if one was named.
    pub file: Option<&'a Path>,
    /// The environment variable that may hold it.
    pub variable: &'static str,
    /// How often a person is asked if it is in neither.
    pub prompt: Prompt,
}

/// The variable of the keyring's passphrase.
pub const VARIABLE: &str = "TENURE_PASSPHRASE";
/// The variable of the passphrase of a root key that is kept elsewhere.
pub const ROOT_VARIABLE: &str = "TENURE_ROOT_PASSPHRASE";

impl Wanted<'_> {
    /// Finds it.
    ///
    /// # Errors
    /// It is nowhere, or not one to protect new keys with.
    pub fn find(&self) -> Result<Passphrase, StartError> {
        let text = match (self.file, std::env::var(self.variable)) {
            (Some(path), _) => {
                let whole = std::fs::read_to_string(path)
                    .map(Zeroizing::new)
                    .map_err(|error| StartError::file("read", path, &error))?;
                whole.lines().next().unwrap_or_default().to_owned()
            }
            (None, Ok(text)) => text,
            (None, Err(_)) => self.ask()?,
        };
        let taken = match self.prompt {
            Prompt::Once => Passphrase::known(text),
            Prompt::Twice => Passphrase::new(text),
        };
        taken.map_err(|error| {
            StartError::Key(format!(
                "the passphrase of {} is refused: {error}",
                self.what
            ))
        })
    }

    fn ask(&self) -> Result<String, StartError> {
        let Wanted { what, variable, .. } = self;
        if !stdin().is_terminal() {
            return Err(StartError::Key(format!(
                "the passphrase of {what} is missing: put it into a file and name that, or set \
                 {variable}"
            )));
        }
        let prompt = |text: String| {
            rpassword::prompt_password(text)
                .map_err(|error| StartError::Key(format!("cannot read the passphrase: {error}")))
        };
        let first = prompt(format!("Passphrase of {what}: "))?;
        if self.prompt == Prompt::Twice {
            let second = Zeroizing::new(prompt("The same again: ".to_owned())?);
            if *second != first {
                return Err(StartError::Key(
                    "the two passphrases differ; nothing was done".into(),
                ));
            }
        }
        Ok(first)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from_file(content: &str, prompt: Prompt) -> Result<Passphrase, StartError> {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("passphrase");
        std::fs::write(&path, content).unwrap();
        let what = "the keys";
        let variable = "TENURE_NO_SUCH_VARIABLE";
        Wanted {
            what,
            file: Some(&path),
            variable,
            prompt,
        }
        .find()
    }

    #[test]
    fn the_first_line_of_a_file_is_the_passphrase() {
        for prompt in [Prompt::Once, Prompt::Twice] {
            from_file("kettle-orbit-lantern\nnot this\n", prompt).unwrap();
            let error = from_file("\n", prompt).unwrap_err().to_string();
            assert!(error.contains("empty"), "{error}");
        }
    }

    #[test]
    fn what_is_refused_for_new_keys_opens_those_that_are_there() {
        from_file("P@ssw0rd!\n", Prompt::Once).unwrap();
        let error = from_file("P@ssw0rd!\n", Prompt::Twice).unwrap_err();
        assert_eq!(error.code(), 13);
        assert!(error.to_string().contains("placeholder"), "{error}");
    }

    #[test]
    fn a_missing_file_is_named() {
        let path = Path::new("/nonexistent/passphrase");
        let wanted = Wanted {
            what: "x",
            file: Some(path),
            variable: "NONE",
            prompt: Prompt::Once,
        };
        let error = wanted.find().unwrap_err().to_string();
        assert!(error.contains("/nonexistent/passphrase"), "{error}");
    }
}
