//! What a document must fit before it is put in force, and need not while it is.

use std::sync::Arc;

use tenure_domain::IssuerNo;
use tenure_domain::issuer::{Issuer, IssuerKind, IssuerState};
use tenure_domain::policy::document::{DEFAULT_DOCUMENT, parse, parse_new};

use crate::fixture::{DAY, NOW, issuer, key};

fn of_kind(no: i64, name: &str, kind: IssuerKind) -> Issuer {
    Issuer {
        no: IssuerNo(no),
        kind,
        ..issuer(name, &key(), NOW.plus(DAY))
    }
}

/// The default document with this line in its profile `device`.
fn with(line: &str) -> String {
    let name = "name = \"device\"\n";
    assert!(DEFAULT_DOCUMENT.contains(name));
    DEFAULT_DOCUMENT.replacen(name, &format!("{name}{line}\n"), 1)
}

#[test]
fn a_profile_names_an_issuer_that_can_sign_it_now_or_later() {
    let gone = Issuer {
        state: IssuerState::Removed,
        ..of_kind(3, "old-1", IssuerKind::Issuing)
    };
    let followed = Issuer {
        state: IssuerState::Removed,
        ..of_kind(4, "pumps-1", IssuerKind::Issuing)
    };
    let follower = Issuer {
        replaces: Some(followed.no),
        state: IssuerState::Prepared,
        ..of_kind(5, "pumps-2", IssuerKind::Issuing)
    };
    let issuers: Vec<_> = [
        of_kind(1, "root", IssuerKind::Root),
        of_kind(2, "issuing-1", IssuerKind::Issuing),
        gone,
        followed,
        follower,
    ]
    .into_iter()
    .map(Arc::new)
    .collect();
    for fits in ["issuing-1", "pumps-1", "pumps-2"] {
        let text = with(&format!("issuer = \"{fits}\""));
        parse_new(&text, &issuers, None).unwrap_or_else(|error| panic!("{error}"));
    }
    for (misfit, why) in [
        ("isuing-1", "there is no issuer \"isuing-1\""),
        ("old-1", "issuer old-1 is removed and none follows it"),
        ("root", "issuer root is of kind root and signs nothing"),
    ] {
        let text = with(&format!("issuer = \"{misfit}\""));
        let said = parse_new(&text, &issuers, None).unwrap_err().to_string();
        assert!(said.contains("[[profile]] device, issuer: "), "{said}");
        assert!(said.contains(why), "{said}");
        let mend = "; use one of: issuing-1, pumps-2; or leave it out";
        assert!(said.ends_with(mend), "{said}");
        let in_force =
            parse(&text, 1).unwrap_or_else(|error| panic!("in force it stays readable: {error}"));
        parse_new(&text, &issuers, Some(&in_force))
            .unwrap_or_else(|error| panic!("it keeps nobody from another change: {error}"));
    }
}

#[test]
fn an_identity_for_life_names_no_responder_where_none_answers() {
    let issuers = [
        of_kind(1, "root", IssuerKind::Root),
        of_kind(2, "issuing-1", IssuerKind::Issuing),
        of_kind(3, "idevid-1", IssuerKind::IDevId),
    ]
    .map(Arc::new);
    let (crl, both) = ("revocation = [\"crl\"]", "revocation = [\"crl\", \"ocsp\"]");
    let named = |by: &str| DEFAULT_DOCUMENT.replacen(crl, &format!("{both}\n{by}"), 1);
    parse_new(DEFAULT_DOCUMENT, &issuers, None).unwrap();
    for text in [named(""), named("issuer = \"idevid-1\"")] {
        let said = parse_new(&text, &issuers, None).unwrap_err().to_string();
        assert!(said.contains("[[profile]] idevid, revocation: "), "{said}");
        assert!(said.ends_with("say [\"crl\"]"), "{said}");
        let in_force = parse(&text, 1).unwrap();
        parse_new(&text, &issuers, Some(&in_force)).unwrap();
    }
    // An issuing CA has a responder.
    parse_new(&named("issuer = \"issuing-1\""), &issuers, None).unwrap();
    parse_new(&named(""), &issuers[..2], None).unwrap();
    // What is new about a profile in force is asked again.
    let in_force = parse(DEFAULT_DOCUMENT, 1).unwrap();
    parse_new(&named(""), &issuers, Some(&in_force)).unwrap_err();
}
