//! Holds the tables of a document against each other and against what may be issued at all.

use std::collections::BTreeSet;

use tenure_x509::Time;

use crate::ask::{Operation, Protocol};
use crate::device::{Criticality, Device, Standing};
use crate::duration::YEAR_S;
use crate::ids::{DeviceNo, Slug, TenantId};
use crate::policy::builtin::{self, RESERVED_PREFIX};
use crate::policy::document::{Found, Mistake, Written};
use crate::policy::{EvidenceKind, Example, Rule};
use crate::profile::{
    BACKDATE_S_MAX, Life, Profile, ProfileKind, RevocationPath, SHORT_LIFE_S_MAX, SanTemplate,
    SubjectAttribute, TemplateError,
};
use crate::words::nearest;

/// The shortest life of a certificate: renewal has to fit into it.
const LIFE_S_MIN: i64 = 600;

/// The longest life of a certificate that is not for life.
const LIFE_S_MAX: i64 = 10 * YEAR_S;

/// Everything that is wrong.
pub(super) fn check(written: &Written) -> Vec<Mistake> {
    let mut faults = Faults(Vec::new());
    let own: Vec<&str> = written
        .profiles
        .iter()
        .map(|p| p.value.name.as_str())
        .collect();
    if written.rules.is_empty() {
        faults.0.push(super::outside(
            1,
            "there is no [[rule]], so that nothing could ever be issued; write one with action \
             \"refuse\" if that is meant",
        ));
    }
    let rules = written
        .rules
        .iter()
        .map(|rule| (rule.line, rule.value.name.as_str()));
    unique("rule", rules, &mut faults);
    let profiles = written
        .profiles
        .iter()
        .map(|profile| (profile.line, profile.value.name.as_str()));
    unique("profile", profiles, &mut faults);
    let tests = written
        .tests
        .iter()
        .map(|test| (test.line, test.value.name.as_str()));
    unique("test", tests, &mut faults);
    let boundaries = written
        .boundaries
        .iter()
        .map(|boundary| (boundary.line, boundary.value.name.as_str()));
    unique("boundary", boundaries, &mut faults);
    let listed = written
        .fail_operational
        .iter()
        .map(|listed| (listed.line, listed.value.name.as_str()));
    unique("fail-operational", listed, &mut faults);
    for more in written.decisions.iter().skip(1) {
        let what = "there is a [[decision]] above; write one, since it speaks of all decisions";
        faults.add(more.line, "[[decision]]".to_owned(), "valid-for", what);
    }
    for profile in &written.profiles {
        check_profile(profile, &mut faults);
    }
    for (position, rule) in written.rules.iter().enumerate() {
        // `position` comes from the same list.
        let above = written.rules.get(..position).unwrap_or_default();
        check_rule(rule, above, &own, &mut faults);
    }
    for test in &written.tests {
        check_test(test, &written.rules, &own, &mut faults);
    }
    faults.0
}

struct Faults(Vec<Mistake>);

impl Faults {
    fn add(&mut self, line: usize, table: String, field: &str, what: impl Into<String>) {
        let field = Some(field.to_owned());
        self.0.push(Mistake {
            line,
            table,
            field,
            what: what.into(),
        });
    }
}

fn unique<'a>(kind: &str, names: impl Iterator<Item = (usize, &'a str)>, faults: &mut Faults) {
    let mut seen = BTreeSet::new();
    for (line, name) in names {
        if !seen.insert(name) {
            let what = format!("there is a {kind} of this name above; names are unique");
            faults.add(line, format!("[[{kind}]] {name}"), "name", what);
        }
    }
}

/// A profile that is named must be there and be for devices.
fn known_profile(name: &Slug, own: &[&str]) -> Result<(), String> {
    if own.contains(&name.as_str()) {
        return Ok(());
    }
    if builtin::profiles().any(|(built_in, _)| built_in == *name) {
        return Err(format!("profile {name} is built in and not for devices"));
    }
    let guess = nearest(name.as_str(), own)
        .map(|word| format!("; did you mean {word:?}?"))
        .unwrap_or_default();
    Err(format!(
        "there is no profile {name:?} in this document{guess}",
        name = name.as_str()
    ))
}

fn check_rule(rule: &Found<Rule>, above: &[Found<Rule>], own: &[&str], faults: &mut Faults) {
    let table = || format!("[[rule]] {}", rule.value.name);
    for profile in &rule.value.profiles {
        if let Err(what) = known_profile(profile, own) {
            faults.add(rule.line, table(), "profiles", what);
        }
    }
    if rule.value.protocols.contains(&Protocol::System) {
        let what = "asks of the system are decided by built-in rules and never come here";
        faults.add(rule.line, table(), "protocols", what);
    }
    let renews = rule.value.operations == [Operation::Renew];
    let is_current = |kind: &EvidenceKind| *kind == EvidenceKind::CurrentCertificate;
    if renews && !rule.value.evidence.is_empty() && !rule.value.evidence.iter().any(is_current) {
        let what = "a renewal is always proved by current-certificate, so this rule would never \
                    match";
        faults.add(rule.line, table(), "evidence", what);
    }
    if let Some(wider) = above
        .iter()
        .find(|earlier| earlier.value.covers(&rule.value))
    {
        let what = format!(
            "this rule never decides: {} on line {} matches everything that it matches; move it up",
            wider.value.name, wider.line
        );
        faults.add(rule.line, table(), "name", what);
    }
}

fn check_test(test: &Found<Example>, rules: &[Found<Rule>], own: &[&str], faults: &mut Faults) {
    let table = || format!("[[test]] {}", test.value.name);
    for (field, name) in [
        ("label", &test.value.label),
        ("profile", &test.value.profile),
    ] {
        if let Some(Err(what)) = name.as_ref().map(|name| known_profile(name, own)) {
            faults.add(test.line, table(), field, what);
        }
    }
    if test.value.label.is_none() && test.value.profile.is_none() && !own.contains(&"device") {
        let what = "is missing; say which profile the class picks, or ask for one by label";
        faults.add(test.line, table(), "profile", what);
    }
    if let Some(wanted) = &test.value.rule {
        let names: Vec<_> = rules.iter().map(|rule| rule.value.name.as_str()).collect();
        let is_built_in = Example::BUILT_IN_RULES.contains(&wanted.as_str());
        if !names.contains(&wanted.as_str()) && !is_built_in {
            let guess = nearest(wanted.as_str(), &names)
                .map(|word| format!("; did you mean {word:?}?"))
                .unwrap_or_default();
            let what = format!(
                "there is no rule {:?} in this document{guess}",
                wanted.as_str()
            );
            faults.add(test.line, table(), "rule", what);
        }
    }
}

fn check_profile(found: &Found<Profile>, faults: &mut Faults) {
    let profile = &found.value;
    let mut wrong = |field: &str, what: String| {
        faults.add(
            found.line,
            format!("[[profile]] {}", profile.name),
            field,
            what,
        );
    };
    if profile.name.as_str().starts_with(RESERVED_PREFIX) {
        let what =
            format!("names that begin with {RESERVED_PREFIX} are kept for built-in profiles");
        wrong("name", what);
    }
    if profile.keys.is_empty() {
        wrong(
            "keys",
            "is missing; list the kinds of key that are taken, such as p256".to_owned(),
        );
    }
    if profile.backdate_s > BACKDATE_S_MAX {
        wrong(
            "backdate",
            "a certificate may begin at most 1d before it is made".to_owned(),
        );
    }
    match profile.life {
        Life::Seconds(seconds) if seconds < LIFE_S_MIN => {
            wrong("life", "is too short to renew in; at least 10m".to_owned());
        }
        Life::Seconds(seconds) if seconds > LIFE_S_MAX && profile.kind != ProfileKind::IDevId => {
            wrong(
                "life",
                "is over 10 years; only an idevid may live longer".to_owned(),
            );
        }
        Life::Forever if profile.kind != ProfileKind::IDevId => {
            wrong(
                "life",
                "\"never\" ends is for an idevid only; give a length of time".to_owned(),
            );
        }
        Life::Seconds(_) | Life::Forever => {}
    }
    if profile.revocation.is_empty() {
        let what = "is missing; every certificate needs a way to be withdrawn: \"crl\", \"ocsp\" \
                    or both";
        wrong("revocation", what.to_owned());
    }
    if profile.revocation.contains(&RevocationPath::NoneShortLived) {
        check_short_lived(profile, &mut wrong);
    }
    match profile.kind {
        ProfileKind::IDevId => {
            if !profile.usage.is_empty() {
                let what = "an idevid has no extended usage (IEEE 802.1AR section 8); leave it out";
                wrong("usage", what.to_owned());
            }
            let serial = profile
                .subject
                .iter()
                .find(|(a, _)| *a == SubjectAttribute::SerialNumber);
            if !serial.is_some_and(|(_, template)| template.identifies()) {
                let what = "an idevid carries serial-number:{device.serial} (IEEE 802.1AR)";
                wrong("subject", what.to_owned());
            }
            if !profile.revocation.is_empty() && !profile.revocation.contains(&RevocationPath::Crl)
            {
                wrong("revocation", "an idevid needs \"crl\" at least".to_owned());
            }
        }
        _ => {
            if profile.usage.is_empty() {
                let what = "is missing; say what the certificate may be used for: \"client\", \
                            \"server\" or both";
                wrong("usage", what.to_owned());
            }
        }
    }
    check_names(profile, &mut wrong);
}

/// Nobody can ask about it (RFC 9608): it ends before that matters, and points nowhere.
fn check_short_lived(profile: &Profile, wrong: &mut impl FnMut(&str, String)) {
    if profile.revocation.len() > 1 {
        let what =
            "\"none-short-lived\" stands alone: the certificate says that there is nothing to ask";
        wrong("revocation", what.to_owned());
    }
    let is_short = match profile.life {
        Life::Seconds(seconds) => seconds.saturating_add(profile.backdate_s) <= SHORT_LIFE_S_MAX,
        Life::Forever => false,
    };
    if !is_short {
        let what = "is too long for revocation \"none-short-lived\": with backdate at most 7d";
        wrong("life", what.to_owned());
    }
}

/// A certificate names one device: the subject or an alternative name says which, and no
/// alternative name could stand for more.
fn check_names(profile: &Profile, wrong: &mut impl FnMut(&str, String)) {
    if profile.subject.is_empty() && profile.san.is_empty() {
        wrong(
            "subject",
            "a certificate needs a subject or an alternative name".to_owned(),
        );
        return;
    }
    let names_device = profile
        .subject
        .iter()
        .any(|(_, template)| template.identifies())
        || !profile.san.is_empty();
    if !names_device {
        let what = "names no single device; use {device.id} or {device.serial} in it";
        wrong("subject", what.to_owned());
    }
    let mut seen = BTreeSet::new();
    for (attribute, template) in &profile.subject {
        let is_unit = *attribute == SubjectAttribute::OrganizationalUnit;
        if !seen.insert(*attribute) && !is_unit {
            wrong("subject", format!("{attribute} is given twice"));
        }
        if template.has_char('*') {
            wrong(
                "subject",
                format!("{attribute}: a wildcard would stand for more than one device"),
            );
        }
    }
    for san in &profile.san {
        if let Err(what) = names_one_device(san) {
            wrong("san", format!("{san}: {what}"));
        }
    }
}

fn names_one_device(san: &SanTemplate) -> Result<(), String> {
    if san.template().has_char('*') {
        return Err("a wildcard would stand for more than one device".to_owned());
    }
    if !san.template().identifies() {
        let what = "would be the same for every device; use {device.id} or {device.serial}";
        return Err(what.to_owned());
    }
    match (san, sample().map(|device| san.fill(&device))) {
        // What fills an address can only be known device by device.
        (SanTemplate::Ip(_), _) => Ok(()),
        (_, Some(Err(error @ TemplateError::NotValid { .. }))) => Err(error.to_string()),
        _ => Ok(()),
    }
}

/// A device whose fields fit everywhere, so that whatever does not fit is the template's fault.
fn sample() -> Option<Device> {
    Some(Device {
        no: DeviceNo(0),
        tenant: TenantId::DEFAULT,
        id: "d1".parse().ok()?,
        manufacturer: "m1".to_owned(),
        model: "m2".to_owned(),
        serial: "s1".to_owned(),
        class: "c1".parse().ok()?,
        site: "s2".parse().ok()?,
        owner: "o1".parse().ok()?,
        services: Vec::new(),
        criticality: Criticality::Medium,
        standing: Standing::Expected,
        version: 0,
        created: Time::from_unix(0),
        updated: Time::from_unix(0),
    })
}
