//! A relying party: one address where devices are let in or turned away.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::device::Criticality;
use crate::ids::{BadName, Slug, Title};
use crate::words::words;

words! {
    /// What a relying party speaks once TLS stands.
    PeerProtocol ("protocol") {
        /// Anything: only TLS and what is said first are looked at.
        Tls = "tls" = 1,
        /// HTTP/1.1.
        Https = "https" = 2,
        /// MQTT 3.1.1.
        Mqtt = "mqtt" = 3,
    }
    /// How a relying party says that it learns of withdrawals.
    RevocationCheck ("revocation check") {
        /// It does not.
        None = "none" = 1,
        /// From the issuers' revocation lists.
        Crl = "crl" = 2,
        /// From the OCSP responder.
        Ocsp = "ocsp" = 3,
        /// From the issuers' compact filters.
        Filter = "filter" = 4,
        /// It asks us about each connection.
        Decision = "decision" = 5,
    }
    /// When a relying party says that it checks.
    SessionCheck ("session check") {
        /// When a connection is made, and then no more.
        Handshake = "handshake" = 1,
        /// As long as the connection lasts.
        Continuous = "continuous" = 2,
    }
}

/// `HOST:PORT`; an IPv6 address stands in brackets.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct PeerAddress {
    text: String,
}

impl PeerAddress {
    /// As written.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The host, without brackets.
    pub fn host(&self) -> &str {
        let host = self.text.rsplit_once(':').map_or("", |(host, _)| host);
        host.strip_prefix('[')
            .and_then(|inner| inner.strip_suffix(']'))
            .unwrap_or(host)
    }
}

impl FromStr for PeerAddress {
    type Err = BadName;

    fn from_str(text: &str) -> Result<PeerAddress, BadName> {
        let bad = || BadName {
            what: "address",
            rule: "write HOST:PORT, an IPv6 address in brackets",
            given: text.chars().take(80).collect(),
        };
        let (host, port) = text.rsplit_once(':').ok_or_else(bad)?;
        let is_port = port.parse::<u16>().is_ok_and(|port| port > 0);
        let is_host = match host.strip_prefix('[').and_then(|h| h.strip_suffix(']')) {
            Some(inner) => inner.parse::<std::net::Ipv6Addr>().is_ok(),
            None => {
                let is_letter =
                    |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'-' | b'_');
                (1..=253).contains(&host.len()) && host.bytes().all(is_letter)
            }
        };
        if is_port && is_host {
            Ok(PeerAddress {
                text: text.to_owned(),
            })
        } else {
            Err(bad())
        }
    }
}

impl TryFrom<String> for PeerAddress {
    type Error = BadName;

    fn try_from(text: String) -> Result<PeerAddress, BadName> {
        text.parse()
    }
}

impl From<PeerAddress> for String {
    fn from(address: PeerAddress) -> String {
        address.text
    }
}

impl fmt::Display for PeerAddress {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.text.fmt(f)
    }
}

/// The shortest and longest time a relying party may be given to enforce a withdrawal, in seconds.
pub const ENFORCE_WITHIN_S: std::ops::RangeInclusive<i64> = 1..=7 * 86_400;

/// How long a relying party has to enforce a withdrawal if nothing is said: 5 minutes.
pub const ENFORCE_WITHIN_DEFAULT_S: i64 = 300;

/// One relying party.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RelyingParty {
    /// Its short name, which never changes.
    pub name: Slug,
    /// Where it listens.
    pub address: PeerAddress,
    /// What it speaks.
    pub protocol: PeerProtocol,
    /// The name its certificate must carry; the host of the address if not said.
    pub server_name: Option<String>,
    /// What its certificate must lead to, PEM; our own roots if empty.
    pub anchors_pem: String,
    /// The issuers whose devices it is to let in; every issuing CA if empty.
    pub issuers: Vec<Slug>,
    /// The services that devices reach through it.
    pub services: Vec<Title>,
    /// What its letting in the wrong device would mean.
    pub criticality: Criticality,
    /// Who answers for it.
    pub owner: Title,
    /// Where it stands.
    pub site: Title,
    /// How it says that it learns of withdrawals.
    pub checks: RevocationCheck,
    /// When it says that it checks.
    pub session: SessionCheck,
    /// How long after a withdrawal it may still let the device in, in seconds.
    pub enforce_within_s: i64,
}

impl RelyingParty {
    /// One with the defaults for everything but where it is and whose.
    pub fn new(name: Slug, address: PeerAddress, owner: Title, site: Title) -> RelyingParty {
        RelyingParty {
            name,
            address,
            protocol: PeerProtocol::Tls,
            server_name: None,
            anchors_pem: String::new(),
            issuers: Vec::new(),
            services: Vec::new(),
            criticality: Criticality::default(),
            owner,
            site,
            checks: RevocationCheck::Crl,
            session: SessionCheck::Handshake,
            enforce_within_s: ENFORCE_WITHIN_DEFAULT_S,
        }
    }

    /// The name its certificate must carry.
    pub fn expected_name(&self) -> &str {
        self.server_name
            .as_deref()
            .unwrap_or_else(|| self.address.host())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_address_is_a_host_and_a_port() {
        for good in [
            "broker-3.plant.example:8883",
            "10.0.0.7:443",
            "[fd00::7]:8443",
        ] {
            let address: PeerAddress = good.parse().unwrap();
            assert_eq!(address.to_string(), good);
            assert!(!address.host().contains('['));
        }
        let bads = [
            "",
            "broker",
            "broker:",
            "broker:0",
            "broker:70000",
            ":443",
            "fd00::7:443",
        ];
        for bad in bads.into_iter().chain(["a b:1", "[x]:1", "http://a:1"]) {
            assert!(bad.parse::<PeerAddress>().is_err(), "{bad:?} was taken");
        }
    }
}
