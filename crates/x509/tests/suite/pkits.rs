//! NIST's Public Key Interoperability Test Suite, whole: each of its end entity certificates is
//! judged, and each answer that is not the suite's has its reason here. An answer that has become
//! right fails as well, until its exception is taken out.
//!
//! The certificates come from the Python package `cryptography-vectors`, or from the folder that
//! `TENURE_PKITS` names.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Command;

use tenure_x509::path::{PathFault, Purpose, validate};
use tenure_x509::{Cert, Time};

/// Invalid because of revocation, which is not this crate's path validation to look at.
const REVOCATION: &[&str] = &[
    "InvalidBadCRLIssuerNameTest5",
    "InvalidBadCRLSignatureTest4",
    "InvalidBasicSelfIssuedCRLSigningKeyTest7",
    "InvalidBasicSelfIssuedNewWithOldTest5",
    "InvalidBasicSelfIssuedOldWithNewTest2",
    "InvalidIDPwithindirectCRLTest23",
    "InvalidIDPwithindirectCRLTest26",
    "InvalidLongSerialNumberTest18",
    "InvalidMissingCRLTest1",
    "InvalidNegativeSerialNumberTest15",
    "InvalidOldCRLnextUpdateTest11",
    "InvalidRevokedCATest2",
    "InvalidRevokedEETest3",
    "InvalidSeparateCertificateandCRLKeysTest20",
    "InvalidSeparateCertificateandCRLKeysTest21",
    "InvalidUnknownCRLEntryExtensionTest8",
    "InvalidUnknownCRLExtensionTest10",
    "InvalidUnknownCRLExtensionTest9",
    "InvalidWrongCRLTest6",
    "InvalidcRLIssuerTest27",
    "InvalidcRLIssuerTest31",
    "InvalidcRLIssuerTest32",
    "InvalidcRLIssuerTest34",
    "InvalidcRLIssuerTest35",
    "InvaliddeltaCRLIndicatorNoBaseTest1",
    "InvaliddeltaCRLTest10",
    "InvaliddeltaCRLTest3",
    "InvaliddeltaCRLTest4",
    "InvaliddeltaCRLTest6",
    "InvaliddeltaCRLTest9",
    "InvaliddistributionPointTest2",
    "InvaliddistributionPointTest3",
    "InvaliddistributionPointTest6",
    "InvaliddistributionPointTest8",
    "InvaliddistributionPointTest9",
    "InvalidkeyUsageCriticalcRLSignFalseTest4",
    "InvalidkeyUsageNotCriticalcRLSignFalseTest5",
    "InvalidonlyContainsAttributeCertsTest14",
    "InvalidonlyContainsCACertsTest12",
    "InvalidonlyContainsUserCertsTest11",
    "InvalidonlySomeReasonsTest15",
    "InvalidonlySomeReasonsTest16",
    "InvalidonlySomeReasonsTest17",
    "InvalidonlySomeReasonsTest20",
    "InvalidonlySomeReasonsTest21",
    "Invalidpre2000CRLnextUpdateTest12",
];

/// Valid under a required policy; we refuse all paths that require one.
const POLICY: &[&str] = &[
    "AllCertificatesSamePoliciesTest10",
    "AllCertificatesSamePoliciesTest13",
    "AllCertificatesanyPolicyTest11",
    "AnyPolicyTest14",
    "DifferentPoliciesTest12",
    "DifferentPoliciesTest4",
    "DifferentPoliciesTest5",
    "DifferentPoliciesTest7",
    "DifferentPoliciesTest8",
    "DifferentPoliciesTest9",
    "OverlappingPoliciesTest6",
    "UserNoticeQualifierTest18",
    "ValidPolicyMappingTest11",
    "ValidPolicyMappingTest12",
    "ValidPolicyMappingTest13",
    "ValidPolicyMappingTest14",
    "ValidPolicyMappingTest1",
    "ValidPolicyMappingTest3",
    "ValidPolicyMappingTest5",
    "ValidPolicyMappingTest6",
    "ValidPolicyMappingTest9",
    "ValidSelfIssuedinhibitAnyPolicyTest7",
    "ValidSelfIssuedinhibitAnyPolicyTest9",
    "ValidSelfIssuedinhibitPolicyMappingTest7",
    "ValidSelfIssuedrequireExplicitPolicyTest6",
    "ValidinhibitAnyPolicyTest2",
    "ValidinhibitPolicyMappingTest2",
    "ValidinhibitPolicyMappingTest4",
    "ValidrequireExplicitPolicyTest1",
    "ValidrequireExplicitPolicyTest2",
    "ValidrequireExplicitPolicyTest4",
    "inhibitAnyPolicyTest3",
];

/// Valid by DSA, with which nothing here checks.
const DSA: &[&str] = &[
    "ValidDSAParameterInheritanceTest5",
    "ValidDSASignaturesTest4",
];

/// How many end entity certificates we can read; one more has a signature of odd bits.
const JUDGED: usize = 222;

fn folder() -> Option<PathBuf> {
    if let Ok(folder) = std::env::var("TENURE_PKITS") {
        return Some(folder.into());
    }
    let script = "import cryptography_vectors as c, os; print(os.path.dirname(c.__file__))";
    let output = Command::new("python3").args(["-c", script]).output().ok()?;
    let package = String::from_utf8(output.stdout).ok()?;
    output
        .status
        .success()
        .then(|| PathBuf::from(package.trim()).join("x509/PKITS_data/certs"))
}

fn read_all(folder: &PathBuf) -> BTreeMap<String, Cert> {
    std::fs::read_dir(folder)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter_map(|path| {
            let name = path.file_stem()?.to_str()?.to_owned();
            // two have broken signatures that are not whole octets
            Some((name, Cert::from_der(&std::fs::read(&path).unwrap()).ok()?))
        })
        .collect()
}

/// Every CA certificate that could stand above this one.
fn above(leaf: &Cert, anchor: &Cert, all: &BTreeMap<String, Cert>) -> Vec<Cert> {
    let mut found: Vec<Cert> = Vec::new();
    let mut todo = vec![leaf.clone()];
    while let Some(next) = todo.pop() {
        let issuers = all
            .iter()
            .filter(|(name, _)| !name.ends_with("EE"))
            .filter(|(_, cert)| cert.subject().is_same(next.issuer()) && *cert != anchor);
        for (_, issuer) in issuers {
            if !found.contains(issuer) {
                found.push(issuer.clone());
                todo.push(issuer.clone());
            }
        }
    }
    found
}

#[test]
fn nist_pkits() {
    let Some(folder) = folder() else {
        let required = std::env::var("TENURE_REQUIRE_INTEROP").is_ok_and(|value| value == "1");
        assert!(
            !required,
            "cryptography-vectors not found, and TENURE_REQUIRE_INTEROP=1"
        );
        eprintln!("skipped: cryptography-vectors not found");
        return;
    };
    let all = read_all(&folder);
    let anchor = &all["TrustAnchorRootCertificate"];
    let at = Time::parse_rfc3339("2020-01-01T00:00:00Z").unwrap();
    let mut judged = 0;
    for (name, leaf) in &all {
        let Some(name) = name.strip_suffix("EE") else {
            continue;
        };
        judged += 1;
        let anchors = std::slice::from_ref(anchor);
        let found = validate(leaf, &above(leaf, anchor, &all), anchors, at, Purpose::Any);
        let found = found.map(|_| ()).map_err(|error| error.fault);
        if REVOCATION.contains(&name) {
            assert_eq!(found, Ok(()), "{name}");
        } else if POLICY.contains(&name) {
            assert_eq!(found, Err(PathFault::PolicyRequired), "{name}");
        } else if DSA.contains(&name) {
            assert_eq!(found, Err(PathFault::WeakOrUnknownAlgorithm), "{name}");
        } else {
            assert_eq!(
                found.is_ok(),
                !name.starts_with("Invalid"),
                "{name}: {found:?}"
            );
        }
    }
    assert_eq!(judged, JUDGED);
}
