//! What a decision says.

use serde::{Deserialize, Serialize};
use tenure_x509::Time;

use crate::words::words;

words! {
    /// What is known of an identity.
    Trust ("verdict") {
        /// It is who it says, and may be.
        Trusted = "trusted" = 1,
        /// Something speaks against it.
        Untrusted = "untrusted" = 2,
        /// Nothing speaks against it, and too little for it.
        Unknown = "unknown" = 3,
    }
    /// How far an identity is trusted; a later one is more.
    Tier ("tier") {
        /// Not at all: it is let in nowhere.
        Quarantine = "quarantine" = 1,
        /// Wherever no boundary wants more.
        Limited = "limited" = 2,
        /// Everywhere within its boundaries.
        Full = "full" = 3,
    }
    /// What a relying party is to do.
    Access ("access") {
        /// Let it in.
        Allow = "allow" = 1,
        /// Turn it away.
        Deny = "deny" = 2,
    }
    /// Whether somebody has to be told.
    Alarm ("alarm") {
        /// Nobody.
        Quiet = "quiet" = 1,
        /// It was let in although it is not known to be trusted: somebody must look.
        Raised = "raised" = 2,
    }
    /// A reason of a verdict. The order is that of the manual: against it, unknown, outside, less than
    /// full, and what is stated besides.
    Ground ("reason") {
        /// The certificate names our issuer, and we did not issue it.
        NotOurs = "not-ours" = 1,
        /// The certificate is withdrawn for good.
        CertificateRevoked = "certificate-revoked" = 2,
        /// The certificate is suspended.
        CertificateHeld = "certificate-held" = 3,
        /// The certificate was never released.
        CertificateVoided = "certificate-voided" = 4,
        /// The device had given the certificate up unused.
        CertificateAbandoned = "certificate-abandoned" = 5,
        /// The certificate's time has not come.
        NotYetValid = "not-yet-valid" = 6,
        /// The certificate may not be used by a client.
        WrongUsage = "wrong-usage" = 7,
        /// The certificate is another device's than the one that was named.
        OtherDevice = "other-device" = 8,
        /// An operator stopped the device.
        DeviceSuspended = "device-suspended" = 9,
        /// The device is quarantined.
        DeviceQuarantined = "device-quarantined" = 10,
        /// The device is between two owners.
        DeviceInTransfer = "device-in-transfer" = 11,
        /// The device is at the end of its life.
        DeviceRetired = "device-retired" = 12,
        /// An incident about the device waits for a decision.
        IncidentOpen = "incident-open" = 13,
        /// The certificate's issuer was removed.
        IssuerRemoved = "issuer-removed" = 14,
        /// A verifier says that the device runs what it must not run.
        AttestationContraindicated = "attestation-contraindicated" = 15,

        /// Nothing was shown and no device was named.
        NoIdentity = "no-identity" = 20,
        /// No certificate of this serial or fingerprint was ever issued.
        UnknownCertificate = "unknown-certificate" = 21,
        /// The certificate is of an issuer that is none of ours.
        UnknownIssuer = "unknown-issuer" = 22,
        /// No device of this name is registered.
        UnknownDevice = "unknown-device" = 23,
        /// The device holds no certificate.
        NoCertificate = "no-certificate" = 24,
        /// The certificate's time is over.
        CertificateExpired = "certificate-expired" = 25,
        /// What is known of withdrawals is not kept up to date.
        StateStale = "state-stale" = 26,
        /// Our own clock is behind what is recorded.
        ClockUncertain = "clock-uncertain" = 27,

        /// No service was named, so that there is nothing to be let into.
        NoService = "no-service" = 40,
        /// The device is not bound to this service.
        OtherService = "other-service" = 41,
        /// The device does not stand at this site.
        OtherSite = "other-site" = 42,
        /// The policy's boundary of the service does not hold the device's site or owner.
        OutsideBoundary = "outside-boundary" = 43,
        /// The policy wants the device to come from another network.
        OtherNetwork = "other-network" = 44,
        /// The policy wants a higher tier for this service.
        TierTooLow = "tier-too-low" = 45,
        /// The relying party is for devices of other issuers.
        OtherIssuer = "other-issuer" = 46,

        /// The certificate has a successor.
        CertificateReplaced = "certificate-replaced" = 60,
        /// The certificate was not yet seen in use.
        NotSeenInUse = "not-seen-in-use" = 61,
        /// The certificate was seen in use too short a time ago.
        TooNew = "too-new" = 62,
        /// A finding about the device or its certificate is open.
        FindingOpen = "finding-open" = 63,
        /// The certificate's issuer is being replaced.
        IssuerTainted = "issuer-tainted" = 65,
        /// No verifier says anything of what the device runs.
        NotAttested = "not-attested" = 64,
        /// What verifiers affirm rests on evidence that is too old.
        AttestationStale = "attestation-stale" = 66,
        /// A verifier wants somebody to look at the device.
        AttestationWarning = "attestation-warning" = 67,

        /// Let in although it is not known to be trusted: the policy lists it as fail-operational.
        FailOperational = "fail-operational" = 80,
        /// The device is one of our own canaries, to which boundaries do not apply.
        Canary = "canary" = 81,
        /// The certificate is ours, in force, and its device may hold it.
        CertificateGood = "certificate-good" = 82,
        /// A verifier affirms what the device runs, on evidence that is new enough.
        Attested = "attested" = 83,
        /// A reviewed exception lifts what is named after it.
        Excepted = "excepted" = 84,
    }
}

impl Ground {
    /// The reason in a sentence: what is the case, and what to do if something has to be done.
    pub fn sentence(self) -> &'static str {
        match self {
            Ground::NotOurs => {
                "The certificate names one of our issuers, but we did not issue it: somebody made it \
                 up. Look at the incidents."
            }
            Ground::CertificateRevoked => {
                "The certificate is revoked. The device needs a new identity."
            }
            Ground::CertificateHeld => {
                "The certificate is on hold. Release it when the reason for the hold is settled."
            }
            Ground::CertificateVoided => "The certificate was given up before it was released.",
            Ground::CertificateAbandoned => {
                "The device had given this certificate up unused, so that whoever shows it may be a \
                 copy. Look at the incidents."
            }
            Ground::NotYetValid => {
                "The certificate's time has not come. See whether the clocks agree."
            }
            Ground::WrongUsage => {
                "The certificate may not be used by a client. Give the device's class a profile with \
                 usage \"client\"."
            }
            Ground::OtherDevice => "The certificate belongs to another device than the one named.",
            Ground::DeviceSuspended => "An operator suspended the device. Resume it to let it in.",
            Ground::DeviceQuarantined => {
                "The device is in quarantine. Decide its incident to let it in."
            }
            Ground::DeviceInTransfer => {
                "The device is being handed to another owner. It comes back when it is enrolled there."
            }
            Ground::DeviceRetired => {
                "The device is at the end of its life. There is no way back in."
            }
            Ground::IncidentOpen => {
                "An incident about the device is open. Resolve it to let the device in."
            }
            Ground::IssuerRemoved => {
                "The certificate's issuer was removed: nothing that it signed counts any more. The \
                 device has to enroll again."
            }
            Ground::AttestationContraindicated => {
                "A verifier says that the device runs what it must not run. Bring it back to what it \
                 should run and have it attested again."
            }
            Ground::NoIdentity => {
                "Nothing was shown that says who this is. See that the relying party asks for a client \
                 certificate and passes it on."
            }
            Ground::UnknownCertificate => "None of our issuers ever issued this certificate.",
            Ground::UnknownIssuer => "The certificate comes from an issuer that is none of ours.",
            Ground::UnknownDevice => "No device of this name is registered.",
            Ground::NoCertificate => {
                "The device holds no certificate of ours. It has to enroll first."
            }
            Ground::CertificateExpired => {
                "The certificate's time is over, so that nothing vouches for the device. It has to \
                 enroll again."
            }
            Ground::StateStale => {
                "What we know of withdrawals is not kept up to date, so that a revoked device might \
                 pass. Look in the log for `publish`."
            }
            Ground::ClockUncertain => {
                "Our own clock is behind what is recorded, so that we cannot say what is valid. Set \
                 the clock."
            }
            Ground::NoService => "No service was named, so that there is nothing to be let into.",
            Ground::OtherService => {
                "The device is not bound to this service. Edit the device if it should be."
            }
            Ground::OtherSite => "The device is registered at another site.",
            Ground::OutsideBoundary => {
                "The policy's boundary of this service does not hold the device's site or owner."
            }
            Ground::OtherNetwork => {
                "The policy wants devices of this service to come from another network."
            }
            Ground::TierTooLow => {
                "The policy wants a higher tier for this service than the device has."
            }
            Ground::OtherIssuer => {
                "The relying party is registered for devices of other issuers. Edit it if it should let \
                 this one in."
            }
            Ground::IssuerTainted => {
                "The certificate's issuer is being replaced. The device's next renewal is signed by its \
                 successor."
            }
            Ground::CertificateReplaced => {
                "The certificate has a successor already. It is still good, but not for everything."
            }
            Ground::NotSeenInUse => "No relying party has seen the certificate in use yet.",
            Ground::TooNew => {
                "The certificate was seen in use too short a time ago for the full tier."
            }
            Ground::FindingOpen => {
                "A finding about the device or its certificate is open. Settle or acknowledge it."
            }
            Ground::NotAttested => "No verifier says anything of what the device runs.",
            Ground::AttestationStale => {
                "What a verifier affirmed of the device is too old. Have the device attested again."
            }
            Ground::AttestationWarning => {
                "A verifier warns of what the device runs. Ask the verifier what it saw."
            }
            Ground::Excepted => {
                "An exception that two people answer for lifts what is named after it, until it lapses."
            }
            Ground::Attested => "A verifier affirms what the device runs.",
            Ground::FailOperational => {
                "The policy lets this device go on while its state is not known, because stopping it \
                 would be worse. Somebody has to look at it."
            }
            Ground::Canary => "This is one of our own canaries, made to see who is let in.",
            Ground::CertificateGood => {
                "The certificate is ours and in force, and its device may hold it."
            }
        }
    }
}

/// What is said of one identity at one place at one time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verdict {
    /// What is known of the identity.
    pub trust: Trust,
    /// How far it is trusted.
    pub tier: Tier,
    /// What the relying party is to do.
    pub access: Access,
    /// Whether somebody has to be told.
    pub alarm: Alarm,
    /// Why, what decides first.
    pub grounds: Vec<Ground>,
    /// What it rests on, as `certificate issuing-1/0a17`, `finding 4` or `policy 5f3a…`.
    pub evidence: Vec<String>,
    /// When it was made.
    #[serde(with = "crate::text::time")]
    pub decided: Time,
    /// Until when it may be used; it may be wrong for no longer than that.
    #[serde(with = "crate::text::time")]
    pub valid_until: Time,
    /// Until when a relying party that cannot reach us may go on using it, if the policy lists the
    /// device as fail-operational. Everyone else turns the device away after `valid_until`.
    #[serde(with = "crate::text::time::option")]
    pub unreachable_until: Option<Time>,
}

impl Verdict {
    /// What distinguishes it from another verdict on the same facts: everything but the times.
    pub fn outcome(&self) -> String {
        let grounds: Vec<_> = self.grounds.iter().map(|ground| ground.word()).collect();
        format!(
            "{} {} {} {} {}",
            self.access,
            self.trust,
            self.tier,
            self.alarm,
            grounds.join(",")
        )
    }
}
