//! Examples inside the document: what the policy must say to a described ask about an imagined
//! device. A document whose examples do not come out is not put in force.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use tenure_x509::{KeyHash, Reason, Serial, Time, Validity};

use crate::ask::{Operation, Protocol};
use crate::certificate::{CertificateRow, Revocation, Standstill, Status};
use crate::device::{Criticality, Device, Standing};
use crate::duration::DAY_S;
use crate::facts::{Facts, Subject};
use crate::ids::{CertificateNo, DeviceNo, IssuerNo, Slug, TenantId, Title};
use crate::policy::decide::permit;
use crate::policy::explain::Said;
use crate::policy::{Action, DescribedAsk, EvidenceKind, Policy};
use crate::registry::{Class, ServerKeygen};
use crate::words::words;

words! {
    /// The newest certificate that an imagined device holds.
    Holds ("kind of certificate held") {
        /// It never had one.
        None = "none" = 1,
        /// One in force.
        Live = "live" = 2,
        /// One that has ended.
        Expired = "expired" = 3,
        /// One on hold.
        Held = "held" = 4,
        /// One withdrawn for good.
        Revoked = "revoked" = 5,
    }
}

/// One `[[test]]`. The fields stand in alphabetical order, as the document's hash wants them.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Example {
    /// The device's class.
    pub class: Title,
    /// Its criticality.
    pub criticality: Criticality,
    /// What it proves.
    pub evidence: EvidenceKind,
    /// What the policy must say.
    pub expect: Action,
    /// The newest certificate it holds.
    pub holds: Holds,
    /// The label it asks at.
    pub label: Option<Slug>,
    /// What this example shows, in words.
    pub name: Title,
    /// What it asks for.
    pub operation: Operation,
    /// Its owner.
    pub owner: Title,
    /// The profile its class picks; `device` if not said.
    pub profile: Option<Slug>,
    /// How it asks.
    pub protocol: Protocol,
    /// Which rule must say it.
    pub rule: Option<Slug>,
    /// The services it is bound to.
    pub services: Vec<Title>,
    /// Its site.
    pub site: Title,
    /// Where it is in its life.
    pub standing: Standing,
}

/// How one example came out.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TestOutcome {
    /// The example.
    pub name: Title,
    /// Whether it came out as it says.
    pub passed: bool,
    /// What it says.
    pub expected: Action,
    /// Which rule it wants, if it says.
    pub expected_rule: Option<Slug>,
    /// What the policy says.
    pub decision: Action,
    /// Which rule says so.
    pub rule: String,
    /// In words.
    pub why: String,
}

impl TestOutcome {
    /// What went wrong, in one sentence; none if it came out as it says.
    pub fn failure(&self) -> Option<String> {
        (!self.passed).then(|| self.to_string())
    }
}

impl fmt::Display for TestOutcome {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            name,
            expected,
            decision,
            rule,
            why,
            ..
        } = self;
        if self.passed {
            return write!(f, "ok: {name}: {decision}, rule {rule}");
        }
        write!(f, "failed: {name}: expected {expected}")?;
        if let Some(wanted) = &self.expected_rule {
            write!(f, " by rule {wanted}")?;
        }
        write!(f, ", got {decision} by rule {rule}: {why}")
    }
}

/// When the examples take place; nothing in them depends on it.
const NOW: Time = Time::from_unix(1_767_225_600);

impl Policy {
    /// Runs the document's examples. They are about rules, so they need no issuer and no key.
    pub fn run_tests(&self) -> Vec<TestOutcome> {
        self.tests
            .iter()
            .filter_map(|example| example.run(self))
            .collect()
    }
}

impl Example {
    /// Names of checks that may stand where a rule is expected, because no rule of the document
    /// gets to speak.
    pub(super) const BUILT_IN_RULES: [&str; 9] = [
        "none",
        "built-in",
        "re-enrollment",
        "one-identity-for-life",
        "standing",
        "incomplete",
        "bad-request",
        "bad-credential",
        "unknown-label",
    ];

    fn run(&self, policy: &Policy) -> Option<TestOutcome> {
        let subject = self.subject()?;
        let described = DescribedAsk {
            operation: self.operation,
            evidence: self.evidence,
            protocol: self.protocol,
            label: self.label.clone(),
            key: None,
        };
        let question = described.question(&subject);
        let said = Said::of(&permit(policy, &question, &Facts::default(), &subject, NOW));
        let wanted = self
            .rule
            .as_ref()
            .is_none_or(|rule| rule.as_str() == said.rule);
        Some(TestOutcome {
            name: self.name.clone(),
            passed: said.action == self.expect && wanted,
            expected: self.expect,
            expected_rule: self.rule.clone(),
            decision: said.action,
            rule: said.rule,
            why: said.why,
        })
    }

    /// The imagined device; its texts fit every template. `None` cannot happen, since the fixed
    /// names in it are names.
    fn subject(&self) -> Option<Subject> {
        let profile = self.profile.clone().or_else(|| "device".parse().ok())?;
        let device = Device {
            no: DeviceNo(1),
            tenant: TenantId::DEFAULT,
            // An address is a device id, a DNS label and an address.
            id: "192.0.2.1".parse().ok()?,
            manufacturer: "example".to_owned(),
            model: "example".to_owned(),
            serial: "1".to_owned(),
            class: self.class.clone(),
            site: self.site.clone(),
            owner: self.owner.clone(),
            services: self.services.clone(),
            criticality: self.criticality,
            standing: self.standing,
            version: 1,
            created: NOW,
            updated: NOW,
        };
        let mut class = Class::new(self.class.clone(), profile);
        class.server_keygen = ServerKeygen::Allowed;
        let head = self.holds.row(&device, &class.profile);
        Some(Subject {
            device,
            class: Arc::new(class),
            // An example has no site tree: it stands at the very site it names.
            around: Vec::new(),
            head,
            forgiven: 0,
        })
    }
}

impl Holds {
    /// The row of the certificate that a device is imagined to hold at [`NOW`].
    fn row(self, device: &Device, profile: &Slug) -> Option<CertificateRow> {
        let (status, until) = match self {
            Holds::None => return None,
            Holds::Live => (Status::Issued, DAY_S),
            Holds::Expired => (Status::Issued, -DAY_S),
            Holds::Held => (Status::Held, DAY_S),
            Holds::Revoked => (Status::Revoked, DAY_S),
        };
        let validity = Validity {
            not_before: NOW.plus(-30 * DAY_S),
            not_after: NOW.plus(until),
        };
        imagined_row(device, profile, status, validity)
    }
}

/// The row of a certificate that nobody issued, for asks that are only described.
pub(super) fn imagined_row(
    device: &Device,
    profile: &Slug,
    status: Status,
    validity: Validity,
) -> Option<CertificateRow> {
    let at = validity.not_before;
    let revocation = match status {
        Status::Held => Some(Reason::CertificateHold),
        Status::Revoked => Some(Reason::Unspecified),
        Status::Reserved | Status::Voided | Status::Issued | Status::Replaced => None,
    };
    Some(CertificateRow {
        no: CertificateNo(0),
        tenant: device.tenant,
        serial: Serial::from_der_value(&[1]),
        issuer: IssuerNo(0),
        issuer_name: "example".parse().ok()?,
        device: device.no,
        device_id: device.id.clone(),
        profile: profile.clone(),
        validity,
        key: KeyHash([0; 32]),
        status,
        revocation: revocation.map(|reason| Revocation {
            reason,
            at,
            invalidity: None,
        }),
        predecessor: None,
        predecessor_serial: None,
        shard: 0,
        first_used: Some(at),
        standstill: Standstill::None,
        issued: at,
    })
}
