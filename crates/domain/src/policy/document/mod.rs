//! The policy document: one TOML text of `[[rule]]`, `[[profile]]`, `[[test]]`,
//! `[[decision]]`, `[[boundary]]` and `[[fail-operational]]` tables. It is
//! read whole or refused whole; every fault is named by line, table and field.

mod canonical;
mod check;
mod decision;
mod fit;
mod table;

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use tenure_x509::KeyKind;
use toml::Spanned;
use toml::de::{DeTable, DeValue};

pub use table::Mistake;
use table::{Lines, TableReader};

use crate::ask::Operation;
use crate::decision::{Boundary, FailOperational};
use crate::device::{Criticality, Standing};
use crate::duration;
use crate::ids::{Slug, Title};
use crate::issuer::Issuer;
use crate::policy::{Action, Example, Holds, Policy, Rule, TestOutcome, builtin};
use crate::profile::{Profile, ProfileKind, SanTemplate, SubjectAttribute, Template};
use crate::words::UnknownWord;

/// The document that a new house starts with.
pub const DEFAULT_DOCUMENT: &str = include_str!("../default.toml");

/// The most octets of a document.
pub const DOCUMENT_BYTES_MAX: usize = 256 * 1024;

/// The most faults that are listed.
const ERRORS_MAX: usize = 50;

const TABLES: [&str; 6] = [
    "rule",
    "profile",
    "test",
    "decision",
    "boundary",
    "fail-operational",
];
const RULE_FIELDS: [&str; 11] = [
    "name",
    "operations",
    "evidence",
    "protocols",
    "classes",
    "sites",
    "owners",
    "criticality",
    "profiles",
    "action",
    "reason",
];
const PROFILE_FIELDS: [&str; 11] = [
    "name",
    "kind",
    "issuer",
    "life",
    "backdate",
    "renew-at",
    "keys",
    "usage",
    "subject",
    "san",
    "revocation",
];
const TEST_FIELDS: [&str; 15] = [
    "name",
    "operation",
    "evidence",
    "protocol",
    "label",
    "profile",
    "class",
    "site",
    "owner",
    "criticality",
    "services",
    "standing",
    "holds",
    "expect",
    "rule",
];

/// Everything that is wrong with a document, in the order of its lines; at most 50.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DocumentError(pub Vec<Mistake>);

impl fmt::Display for DocumentError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (position, error) in self.0.iter().enumerate() {
            if position > 0 {
                f.write_str("\n")?;
            }
            error.fmt(f)?;
        }
        Ok(())
    }
}

impl std::error::Error for DocumentError {}

/// Why a document may not be put in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Rejected {
    /// It cannot be read, or contradicts itself.
    Document(DocumentError),
    /// Some of its examples did not come out as they say; these.
    Tests(Vec<TestOutcome>),
}

impl fmt::Display for Rejected {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Rejected::Document(errors) => errors.fmt(f),
            Rejected::Tests(failed) => {
                f.write_str("the policy does not do what its tests say:")?;
                failed
                    .iter()
                    .try_for_each(|outcome| write!(f, "\n{outcome}"))
            }
        }
    }
}

impl std::error::Error for Rejected {}

/// Something read, and the line where it begins.
struct Found<T> {
    line: usize,
    value: T,
}

/// The tables of a document as written, before they are held against each other.
struct Written {
    rules: Vec<Found<Rule>>,
    profiles: Vec<Found<Profile>>,
    tests: Vec<Found<Example>>,
    decisions: Vec<Found<decision::Settings>>,
    boundaries: Vec<Found<Boundary>>,
    fail_operational: Vec<Found<FailOperational>>,
}

/// Reads a document that is in force, or was, as the `version`th policy of its tenant. Its tests are
/// read, not run.
///
/// # Errors
/// Everything that is wrong with it.
pub fn parse(text: &str, version: i64) -> Result<Policy, DocumentError> {
    let written = read(text).map_err(sorted)?;
    policy(written, version, Vec::new())
}

/// Reads a document that is to be put in force in a house with these issuers, after the policy that is,
/// if any. What [`parse`] takes may be refused here: a document in force stays readable when its issuer
/// goes.
///
/// # Errors
/// Everything that is wrong with it.
pub fn parse_new(
    text: &str,
    issuers: &[Arc<Issuer>],
    in_force: Option<&Policy>,
) -> Result<Policy, DocumentError> {
    let written = read(text).map_err(sorted)?;
    let misfits = fit::check(&written, issuers, in_force);
    policy(written, 0, misfits)
}

/// The policy that was written, if nothing is wrong with it beside what was found before.
fn policy(
    written: Written,
    version: i64,
    mut errors: Vec<Mistake>,
) -> Result<Policy, DocumentError> {
    errors.extend(check::check(&written));
    if !errors.is_empty() {
        return Err(sorted(errors));
    }
    let hash = canonical::hash(&written);
    let decisions = decision::rules(&written);
    let own = written
        .profiles
        .into_iter()
        .map(|p| (p.value.name.clone(), Arc::new(p.value)));
    Ok(Policy {
        version,
        hash,
        rules: written.rules.into_iter().map(|rule| rule.value).collect(),
        profiles: own.chain(builtin::profiles()).collect(),
        tests: written.tests.into_iter().map(|test| test.value).collect(),
        decisions,
    })
}

/// Reads a document and runs its tests: what has to happen before a policy is put in force.
///
/// # Errors
/// If it cannot be read, or a test fails.
pub fn parse_tested(text: &str, version: i64) -> Result<Policy, Rejected> {
    let policy = parse(text, version).map_err(Rejected::Document)?;
    let failed: Vec<_> = policy
        .run_tests()
        .into_iter()
        .filter(|outcome| !outcome.passed)
        .collect();
    if failed.is_empty() {
        Ok(policy)
    } else {
        Err(Rejected::Tests(failed))
    }
}

fn sorted(mut errors: Vec<Mistake>) -> DocumentError {
    errors.sort_by_key(|error| error.line);
    errors.truncate(ERRORS_MAX);
    DocumentError(errors)
}

fn outside(line: usize, what: impl Into<String>) -> Mistake {
    Mistake {
        line,
        table: String::new(),
        field: None,
        what: what.into(),
    }
}

fn read(text: &str) -> Result<Written, Vec<Mistake>> {
    if text.len() > DOCUMENT_BYTES_MAX {
        let what = format!(
            "the document is longer than {} KiB",
            DOCUMENT_BYTES_MAX / 1024
        );
        return Err(vec![outside(1, what)]);
    }
    let lines = Lines::of(text);
    let document = DeTable::parse(text).map_err(|error| {
        let line = error.span().map_or(1, |span| lines.at(span.start));
        vec![outside(
            line,
            format!("this is not TOML: {}", error.message().trim()),
        )]
    })?;
    let mut errors = Vec::new();
    for key in document.get_ref().keys() {
        let name = key.get_ref().as_ref();
        if !TABLES.contains(&name) {
            let shown: String = name.chars().take(80).collect();
            let known: Vec<_> = TABLES.iter().map(|name| format!("[[{name}]]")).collect();
            let what = format!("unknown table {shown:?}; known are {}", known.join(", "));
            errors.push(outside(lines.at(key.span().start), what));
        }
    }
    let document = document.get_ref();
    let written = Written {
        rules: tables(document, "rule", &RULE_FIELDS, &lines, &mut errors, rule),
        profiles: tables(
            document,
            "profile",
            &PROFILE_FIELDS,
            &lines,
            &mut errors,
            profile,
        ),
        tests: tables(document, "test", &TEST_FIELDS, &lines, &mut errors, example),
        decisions: tables(
            document,
            "decision",
            &decision::SETTINGS_FIELDS,
            &lines,
            &mut errors,
            decision::settings,
        ),
        boundaries: tables(
            document,
            "boundary",
            &decision::BOUNDARY_FIELDS,
            &lines,
            &mut errors,
            decision::boundary,
        ),
        fail_operational: tables(
            document,
            "fail-operational",
            &decision::FAIL_OPERATIONAL_FIELDS,
            &lines,
            &mut errors,
            decision::fail_operational,
        ),
    };
    if errors.is_empty() {
        Ok(written)
    } else {
        Err(errors)
    }
}

/// Reads every table of a kind.
fn tables<'d, T>(
    document: &'d DeTable<'d>,
    kind: &'static str,
    fields: &[&str],
    lines: &'d Lines,
    errors: &mut Vec<Mistake>,
    read_one: fn(TableReader<'d>) -> Result<T, Vec<Mistake>>,
) -> Vec<Found<T>> {
    let Some(value) = document.get(kind) else {
        return Vec::new();
    };
    let DeValue::Array(items) = value.get_ref() else {
        let line = lines.at(value.span().start);
        errors.push(outside(
            line,
            format!("write [[{kind}]] with two brackets on each side"),
        ));
        return Vec::new();
    };
    let mut found = Vec::with_capacity(items.len());
    for item in items.iter() {
        let item: &'d Spanned<DeValue<'d>> = item;
        let read = TableReader::new(kind, item, lines, fields).map_err(|error| vec![error]);
        let read = read.and_then(|reader| {
            let line = reader.line;
            read_one(reader).map(|value| Found { line, value })
        });
        match read {
            Ok(one) => found.push(one),
            Err(more) => errors.extend(more),
        }
    }
    found
}

fn rule(mut table: TableReader<'_>) -> Result<Rule, Vec<Mistake>> {
    let name = table.required("name");
    let operations = table.condition("operations");
    let evidence = table.condition("evidence");
    let protocols = table.condition("protocols");
    let classes = table.condition("classes");
    let sites = table.condition("sites");
    let owners = table.condition("owners");
    let criticality = table.condition("criticality");
    let profiles = table.condition("profiles");
    let action = table.required("action");
    let reason: Text = table.one("reason").unwrap_or_default();
    if matches!(action, Some(Action::Hold | Action::Refuse)) && !table.has("reason") {
        table.wrong(
            "reason",
            "is missing; say in a few words why, for whoever is held or refused",
        );
    }
    let rule = name.zip(action).map(|(name, action)| Rule {
        name,
        operations,
        evidence,
        protocols,
        classes,
        sites,
        owners,
        criticality,
        profiles,
        action,
        reason: reason.0,
    });
    table.end(rule)
}

fn profile(mut table: TableReader<'_>) -> Result<Profile, Vec<Mistake>> {
    let name = table.required("name");
    let kind: Option<DeviceKind> = table.required("kind");
    let issuer = table.one("issuer");
    let life = table.required("life");
    let backdate = table
        .one::<Seconds>("backdate")
        .unwrap_or(Seconds(duration::HOUR_S));
    let renew_at = table.one::<Percent>("renew-at").unwrap_or(Percent(66));
    let keys: Vec<Key> = table.list("keys");
    let usage = table.list("usage");
    let subject: Vec<SubjectPart> = table.list("subject");
    let san: Vec<SanTemplate> = table.list("san");
    let revocation = table.list("revocation");
    let profile = name
        .zip(kind)
        .zip(life)
        .map(|((name, kind), life)| Profile {
            name,
            kind: kind.0,
            issuer,
            life,
            backdate_s: backdate.0,
            renew_percent: renew_at.0,
            keys: keys.into_iter().map(|key| key.0).collect(),
            usage,
            subject: subject.into_iter().map(|part| (part.0, part.1)).collect(),
            san,
            revocation,
        });
    table.end(profile)
}

fn example(mut table: TableReader<'_>) -> Result<Example, Vec<Mistake>> {
    let title = |text: &str| text.parse::<Title>().ok();
    let name: Option<Title> = table.required("name");
    let operation = table.required("operation");
    let evidence = table.required("evidence");
    let protocol = table.one("protocol").unwrap_or(crate::ask::Protocol::Est);
    let label: Option<Slug> = table.one("label");
    let profile: Option<Slug> = table.one("profile");
    let class: Option<Title> = table.one("class").or_else(|| title("example-class"));
    let site: Option<Title> = table.one("site").or_else(|| title("example-site"));
    let owner: Option<Title> = table.one("owner").or_else(|| title("example-owner"));
    let criticality = table.one("criticality").unwrap_or(Criticality::Medium);
    let services = match table.has("services") {
        true => table.list("services"),
        false => title("example-service").into_iter().collect(),
    };
    let standing = table.one("standing");
    let holds = table.one("holds").unwrap_or(match operation {
        Some(Operation::Renew) => Holds::Live,
        Some(Operation::Enroll | Operation::ServerKeygen) | None => Holds::None,
    });
    let standing = standing.unwrap_or(match holds {
        Holds::None => Standing::Expected,
        Holds::Live | Holds::Expired | Holds::Held | Holds::Revoked => Standing::Enrolled,
    });
    let expect = table.required("expect");
    let rule = table.one("rule");
    let example = (|| {
        Some(Example {
            name: name?,
            operation: operation?,
            evidence: evidence?,
            protocol,
            label,
            profile,
            class: class?,
            site: site?,
            owner: owner?,
            criticality,
            services,
            standing,
            holds,
            expect: expect?,
            rule,
        })
    })();
    table.end(example)
}

/// A few words for people.
#[derive(Default)]
struct Text(String);

impl FromStr for Text {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Text, &'static str> {
        let fits = (1..=200).contains(&text.chars().count())
            && text.trim() == text
            && !text.chars().any(char::is_control);
        match fits {
            true => Ok(Text(text.to_owned())),
            false => Err("use 1 to 200 characters on one line, no space at either end"),
        }
    }
}

/// A kind of profile that a document may define.
struct DeviceKind(ProfileKind);

impl FromStr for DeviceKind {
    type Err = String;

    fn from_str(text: &str) -> Result<DeviceKind, String> {
        match text.parse::<ProfileKind>() {
            Ok(kind) if kind.is_for_devices() => Ok(DeviceKind(kind)),
            Ok(kind) => Err(format!(
                "profiles of kind {kind} are built in; a document defines idevid and ldevid only"
            )),
            Err(UnknownWord { given, .. }) => {
                let allowed = &["idevid", "ldevid"];
                Err(UnknownWord {
                    what: "profile kind",
                    given,
                    allowed,
                }
                .to_string())
            }
        }
    }
}

/// A length of time in seconds.
struct Seconds(i64);

impl FromStr for Seconds {
    type Err = duration::BadDuration;

    fn from_str(text: &str) -> Result<Seconds, duration::BadDuration> {
        duration::parse(text).map(Seconds)
    }
}

/// A part of a certificate's life.
struct Percent(u8);

impl FromStr for Percent {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Percent, &'static str> {
        let number = text
            .strip_suffix('%')
            .and_then(|digits| digits.parse().ok());
        let fits = |percent: &u8| (10..=90).contains(percent);
        number
            .filter(fits)
            .map(Percent)
            .ok_or("write a part of the life from \"10%\" to \"90%\"")
    }
}

/// A kind of key, by its word.
#[derive(PartialEq)]
struct Key(KeyKind);

impl FromStr for Key {
    type Err = UnknownWord;

    fn from_str(text: &str) -> Result<Key, UnknownWord> {
        text.parse().map(Key).map_err(|_| UnknownWord {
            what: "kind of key",
            given: text.chars().take(80).collect(),
            allowed: &["p256", "p384", "ed25519", "rsa2048", "rsa3072", "rsa4096"],
        })
    }
}

/// `common-name:{device.id}`
#[derive(PartialEq)]
struct SubjectPart(SubjectAttribute, Template);

impl FromStr for SubjectPart {
    type Err = String;

    fn from_str(text: &str) -> Result<SubjectPart, String> {
        let (attribute, template) = text.split_once(':').ok_or_else(|| {
            "write the attribute, a colon and the value, such as \"common-name:{device.id}\""
                .to_owned()
        })?;
        let attribute = attribute
            .parse()
            .map_err(|error: UnknownWord| error.to_string())?;
        if template.is_empty() {
            return Err(format!("{attribute} has no value"));
        }
        let template: Template = template.parse().map_err(|error| format!("{error}"))?;
        Ok(SubjectPart(attribute, template))
    }
}

#[cfg(test)]
mod tests;
