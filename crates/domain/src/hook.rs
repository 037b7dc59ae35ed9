//! A hook: somebody who is told of trust changes, or has sessions ended by us.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::device::Criticality;
use crate::ids::{BadName, Slug, Title};
use crate::trust_change::{Direction, TrustChange, TrustChangeKind};
use crate::words::words;

words! {
    /// What a hook does.
    HookKind ("hook kind") {
        /// Posts each change, signed as Standard Webhooks are.
        Webhook = "webhook" = 1,
        /// Pushes each change as a Security Event Token (RFC 8417, RFC 8935) with a CAEP event.
        Caep = "caep" = 2,
        /// Publishes each change at an MQTT broker.
        Mqtt = "mqtt" = 3,
        /// Ends the sessions of a device at a mosquitto, through its dynamic security plugin.
        Mosquitto = "mosquitto" = 4,
        /// Ends the session of a device at an EMQX, through its API.
        Emqx = "emqx" = 5,
    }
    /// Whether a hook may speak in the clear.
    Wire ("wire") {
        /// Never, but to this machine itself.
        Encrypted = "encrypted" = 1,
        /// It may: somebody else protects the way.
        Clear = "clear" = 2,
    }
}

/// How long after a withdrawal sessions are ended once more if nothing is said, in seconds. By then
/// a relying party must refuse the certificate at the door, so that nobody comes back.
pub const AGAIN_AFTER_DEFAULT_S: i64 = 300;
/// The least and the most.
pub const AGAIN_AFTER_S: std::ops::RangeInclusive<i64> = 1..=86_400;
/// The topic of a publishing hook if none is said.
pub const TOPIC_DEFAULT: &str = "tenure/trust";

/// One hook.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hook {
    /// Its short name, which never changes.
    pub name: Slug,
    /// What it does.
    pub kind: HookKind,
    /// Where: an URL, `https://…` or `mqtts://HOST[:PORT]`.
    pub address: String,
    /// What the other side's certificate must lead to, PEM; our own roots if empty.
    pub anchors_pem: String,
    /// Whether it may speak in the clear.
    pub wire: Wire,
    /// Of which changes; all trust changes if empty. One that ends sessions does so for what takes
    /// trust away.
    pub changes: Vec<TrustChangeKind>,
    /// Where to publish, for an MQTT hook.
    pub topic: String,
    /// For whom the token is, for a CAEP hook.
    pub audience: String,
    /// When sessions are ended once more, in seconds after the withdrawal.
    pub again_after_s: i64,
    /// Who answers for it.
    pub owner: Title,
    /// What its failing would mean.
    pub criticality: Criticality,
}

impl Hook {
    /// One with the defaults for everything but what it is and whose; its address is to be given.
    pub fn new(name: Slug, kind: HookKind, owner: Title) -> Hook {
        Hook {
            name,
            kind,
            address: String::new(),
            anchors_pem: String::new(),
            wire: Wire::Encrypted,
            changes: Vec::new(),
            topic: String::new(),
            audience: String::new(),
            again_after_s: AGAIN_AFTER_DEFAULT_S,
            owner,
            criticality: Criticality::default(),
        }
    }
}

/// What a hook needs of a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SecretNeed {
    /// We make it, and show it once: the other side checks our signature with it.
    Made,
    /// The other side's, without which nothing works.
    Required(&'static str),
    /// The other side's, if it has one.
    Optional(&'static str),
}

impl HookKind {
    /// What it needs of a secret.
    pub fn secret(self) -> SecretNeed {
        match self {
            HookKind::Webhook => SecretNeed::Made,
            HookKind::Caep => SecretNeed::Optional("the bearer token of the receiver"),
            HookKind::Mqtt => SecretNeed::Optional("USER:PASSWORD at the broker"),
            HookKind::Mosquitto => {
                SecretNeed::Required("USER:PASSWORD of an administrator of dynamic security")
            }
            HookKind::Emqx => SecretNeed::Required("KEY:SECRET of an API key"),
        }
    }

    /// Whether it tells, or ends sessions.
    pub fn purpose(self) -> Purpose {
        match self {
            HookKind::Webhook | HookKind::Caep | HookKind::Mqtt => Purpose::Tell,
            HookKind::Mosquitto | HookKind::Emqx => Purpose::EndSessions,
        }
    }

    /// The schemes of its address: the encrypted one, and the one in the clear.
    pub fn schemes(self) -> (&'static str, &'static str) {
        match self {
            HookKind::Webhook | HookKind::Caep | HookKind::Emqx => ("https", "http"),
            HookKind::Mqtt | HookKind::Mosquitto => ("mqtts", "mqtt"),
        }
    }
}

/// What a hook is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Purpose {
    /// To tell of changes.
    Tell,
    /// To end sessions.
    EndSessions,
}

impl Hook {
    /// Whether a change is for this hook.
    pub fn wants(&self, change: &TrustChange) -> bool {
        match self.kind.purpose() {
            Purpose::Tell => self.changes.is_empty() || self.changes.contains(&change.kind()),
            // A device's standing comes with its certificates, which name whose sessions they opened.
            Purpose::EndSessions => {
                change.direction() == Direction::Away
                    && change.certificate().is_some()
                    && change.device.is_some()
            }
        }
    }

    /// Whether it is told of publications or feeds too: only where it says so.
    pub fn wants_news(&self, kind: TrustChangeKind) -> bool {
        match self.kind {
            HookKind::Webhook | HookKind::Mqtt => self.changes.contains(&kind),
            // There is no CAEP event for it, and no session to end.
            HookKind::Caep | HookKind::Mosquitto | HookKind::Emqx => false,
        }
    }

    /// Whether its address can be used; says what is wrong if not.
    ///
    /// # Errors
    /// It is no address of this kind, holds a password, or would speak in the clear over a network.
    pub fn check_address(&self) -> Result<(), BadName> {
        let bad = |rule| BadName {
            what: "hook's address",
            rule,
            given: self.address.chars().take(80).collect(),
        };
        let (encrypted, clear) = self.kind.schemes();
        let (scheme, rest) = self.address.split_once("://").unwrap_or_default();
        let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
        let host = match authority.strip_prefix('[') {
            Some(inner) => inner.split(']').next().unwrap_or_default(),
            None => authority.split(':').next().unwrap_or_default(),
        };
        let is_printable = self.address.bytes().all(|b| b.is_ascii_graphic());
        if host.is_empty() || !is_printable || self.address.len() > 512 {
            return Err(bad(match encrypted {
                "https" => "write https://HOST[:PORT]/PATH",
                _ => "write mqtts://HOST[:PORT]",
            }));
        }
        if authority.contains('@') {
            return Err(bad(
                "leave the password out; it is given as the hook's secret",
            ));
        }
        // Where clouds keep the credentials of a machine, for whoever asks from it.
        if host.starts_with("169.254.") || host.to_ascii_lowercase().starts_with("fe80:") {
            return Err(bad("a link-local address is no receiver"));
        }
        let is_here = host == "localhost"
            || host
                .parse::<std::net::IpAddr>()
                .is_ok_and(|address| address.is_loopback());
        match scheme {
            _ if scheme == encrypted => Ok(()),
            _ if scheme == clear && (is_here || self.wire == Wire::Clear) => Ok(()),
            _ if scheme == clear => Err(bad(
                "in the clear only this machine is told; use TLS, or say that the way is protected \
                 otherwise (wire: clear)",
            )),
            _ => Err(bad(match encrypted {
                "https" => "it must begin with https://",
                _ => "it must begin with mqtts://",
            })),
        }
    }
}

/// A secret on its way to where it is sealed; it shows in no message.
#[derive(Clone, PartialEq, Eq)]
pub struct Hidden(pub String);

impl fmt::Debug for Hidden {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Hidden")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hook(kind: HookKind, address: &str) -> Hook {
        Hook {
            name: "broker-3".parse().unwrap(),
            kind,
            address: address.to_owned(),
            anchors_pem: String::new(),
            wire: Wire::Encrypted,
            changes: Vec::new(),
            topic: String::new(),
            audience: String::new(),
            again_after_s: AGAIN_AFTER_DEFAULT_S,
            owner: "Hydraulics".parse().unwrap(),
            criticality: Criticality::High,
        }
    }

    #[test]
    fn an_address_is_encrypted_or_of_this_machine() {
        use HookKind::{Mosquitto, Webhook};
        for (kind, good) in [
            (Webhook, "https://siem.plant.example/tenure"),
            (Webhook, "https://[fd00::7]:8443/x"),
            (Webhook, "http://127.0.0.1:9000/x"),
            (Webhook, "http://[::1]/x"),
            (Mosquitto, "mqtts://broker-3"),
            (Mosquitto, "mqtt://localhost:1883"),
        ] {
            assert_eq!(hook(kind, good).check_address(), Ok(()), "{good}");
        }
        for (kind, bad) in [
            (Webhook, "http://siem.plant.example/tenure"),
            (Webhook, "http://127.0.0.1.evil.example/"),
            (Webhook, "https://user:secret@siem/"),
            (Webhook, "https://169.254.169.254/latest"),
            (Webhook, "https://[fe80::1]/x"),
            (Webhook, "mqtts://broker-3"),
            (Webhook, "https:///x"),
            (Webhook, "file:///etc/passwd"),
            (Webhook, "https://a b/"),
            (Mosquitto, "https://broker-3"),
            (Mosquitto, "mqtt://broker-3"),
        ] {
            assert!(hook(kind, bad).check_address().is_err(), "{bad}");
        }
        let mut protected = hook(Mosquitto, "mqtt://broker-3");
        protected.wire = Wire::Clear;
        assert_eq!(protected.check_address(), Ok(()));
    }

    #[test]
    fn a_secret_shows_in_no_message() {
        assert_eq!(format!("{:?}", Hidden("hunter2".to_owned())), "Hidden");
    }
}
