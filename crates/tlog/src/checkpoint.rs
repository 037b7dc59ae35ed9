use std::{fmt, str::FromStr};

use crate::{Error, Hash, Note, VerifierKey};

/// The head of a tree: which log, how many leaves, what root (C2SP tlog-checkpoint). Its text form
/// is the text of a signed note.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    origin: String,
    size: u64,
    root: Hash,
    extensions: Vec<String>,
}

impl Checkpoint {
    /// The head of the log `origin`, a URL without scheme and trailing slash. It must not be empty
    /// nor hold control characters.
    pub fn new(origin: &str, size: u64, root: Hash) -> Result<Self, Error> {
        if origin.is_empty() || origin.bytes().any(|b| b < b' ') {
            return Err(Error::Malformed("checkpoint: origin"));
        }
        if size == 0 && root != Hash::empty_tree() {
            return Err(Error::Inconsistent("checkpoint: an empty tree with a root"));
        }
        Ok(Self {
            origin: origin.to_owned(),
            size,
            root,
            extensions: Vec::new(),
        })
    }

    /// Opens a signed checkpoint: the note is well-formed, `key` has signed it, and it is of the
    /// log `origin`. `check` is as for [`Note::verify`].
    pub fn open(
        note: &[u8],
        origin: &str,
        key: &VerifierKey,
        check: impl FnMut(&VerifierKey, &[u8], &[u8]) -> bool,
    ) -> Result<Self, Error> {
        let note = Note::parse(note)?;
        note.verify(std::slice::from_ref(key), check)?;
        let checkpoint: Self = note.text().parse()?;
        match checkpoint.origin == origin {
            true => Ok(checkpoint),
            false => Err(Error::Inconsistent("checkpoint: of another log")),
        }
    }

    /// The identity of the log.
    pub fn origin(&self) -> &str {
        &self.origin
    }

    /// The number of leaves.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// The root hash.
    pub fn root(&self) -> &Hash {
        &self.root
    }

    /// Lines after the root, of other logs than ours; opaque.
    pub fn extensions(&self) -> &[String] {
        &self.extensions
    }
}

impl fmt::Display for Checkpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}\n{}\n{}\n", self.origin, self.size, self.root)?;
        self.extensions
            .iter()
            .try_for_each(|line| writeln!(f, "{line}"))
    }
}

impl FromStr for Checkpoint {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let body = text
            .strip_suffix('\n')
            .ok_or(Error::Malformed("checkpoint: last newline"))?;
        let mut lines = body.split('\n');
        let mut line = || {
            lines
                .next()
                .ok_or(Error::Malformed("checkpoint: fewer than 3 lines"))
        };
        let (origin, size, root) = (line()?, line()?, line()?);
        let number: u64 = size
            .parse()
            .map_err(|_| Error::Malformed("checkpoint: size"))?;
        if number.to_string() != size {
            return Err(Error::Malformed("checkpoint: size"));
        }
        let mut checkpoint = Self::new(origin, number, Hash::from_base64(root)?)?;
        for extension in lines {
            if extension.is_empty() || extension.bytes().any(|b| b < b' ') {
                return Err(Error::Malformed("checkpoint: extension line"));
            }
            checkpoint.extensions.push(extension.to_owned());
        }
        Ok(checkpoint)
    }
}
