//! Which kinds of thing a key may sign.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

macro_rules! doors {
    ($($(#[$doc:meta])* $door:ident = $word:literal = $bit:literal),+ $(,)?) => {
        /// A kind of thing that a key may sign.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Door { $($(#[$doc])* $door),+ }

        impl Door {
            const ALL: &[Door] = &[$(Door::$door),+];

            fn word(self) -> &'static str {
                match self { $(Door::$door => $word),+ }
            }

            fn bit(self) -> u8 {
                match self { $(Door::$door => $bit),+ }
            }
        }
    };
}

doors! {
    /// A reserved certificate.
    Certificate = "certificate" = 1,
    /// A revocation list or filter.
    Crl = "crl" = 2,
    /// An OCSP answer.
    Ocsp = "ocsp" = 4,
    /// A checkpoint of the log.
    Checkpoint = "checkpoint" = 8,
    /// A TLS handshake.
    Handshake = "handshake" = 16,
    /// A message to those who are told of trust changes.
    Message = "message" = 32,
    /// A manifest of what a relying party should hold.
    Manifest = "manifest" = 64,
}

impl fmt::Display for Door {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.word())
    }
}

/// The set of doors a key opens, written as words joined by `+`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Doors(u8);

impl Doors {
    /// What an issuer's key opens.
    pub const ISSUER: Doors = Doors(1 | 2);
    /// What a responder's key opens.
    pub const RESPONDER: Doors = Doors(4);
    /// What the log's key opens.
    pub const LOG: Doors = Doors(8);
    /// What a TLS server's key opens.
    pub const TLS: Doors = Doors(16);
    /// What the key of messages opens.
    pub const MESSAGES: Doors = Doors(32);
    /// What the key of the feeds opens.
    pub const FEED: Doors = Doors(64);

    /// Whether the set includes a door.
    pub fn opens(self, door: Door) -> bool {
        self.0 & door.bit() != 0
    }
}

impl fmt::Display for Doors {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let open: Vec<_> = Door::ALL
            .iter()
            .filter(|door| self.opens(**door))
            .map(|door| door.word())
            .collect();
        f.write_str(&open.join("+"))
    }
}

impl From<Doors> for String {
    fn from(doors: Doors) -> String {
        doors.to_string()
    }
}

impl FromStr for Doors {
    type Err = String;

    fn from_str(text: &str) -> Result<Doors, String> {
        text.split('+').try_fold(Doors(0), |doors, word| {
            let door = Door::ALL.iter().find(|door| door.word() == word);
            door.map(|door| Doors(doors.0 | door.bit()))
                .ok_or_else(|| format!("{word:?} is not something a key signs"))
        })
    }
}

impl TryFrom<String> for Doors {
    type Error = String;

    fn try_from(text: String) -> Result<Doors, String> {
        text.parse()
    }
}
