//! The adapter alone; whole conversations are told in the stories.

use tenure_domain::Standing;
use tenure_domain::ids::Slug;

use super::*;

fn header<'a>(response: &'a Response, name: &str) -> Option<&'a str> {
    response
        .headers()
        .get(name)
        .map(|value| value.to_str().unwrap())
}

#[test]
fn every_refusal_has_its_status() {
    use tenure_domain::Refusal::{
        BadCredential, BadRequest, Conflict, Forbidden, Incomplete, KeyRejected, Locked,
        NotAllowed, NotAuthenticated, NotFound, TooSoon, UnknownLabel,
    };
    let word = || "x".to_owned();
    for (refusal, status) in [
        (NotAuthenticated, 401),
        (BadCredential, 401),
        (Locked { retry_after_s: 7 }, 429),
        (tenure_domain::Refusal::Standing(Standing::Retired), 403),
        (
            NotAllowed {
                rule: word(),
                why: word(),
            },
            403,
        ),
        (Incomplete { what: word() }, 403),
        (UnknownLabel, 404),
        (BadRequest { what: word() }, 400),
        (KeyRejected { what: word() }, 400),
        (Conflict { what: word() }, 409),
        (NotFound { what: word() }, 404),
        (Forbidden { needs: word() }, 403),
        (TooSoon { retry_after_s: 7 }, 503),
    ] {
        let response = refused(&refusal);
        assert_eq!(response.status().as_u16(), status, "{refusal:?}");
        assert_eq!(
            header(&response, "content-type"),
            Some("text/plain; charset=utf-8")
        );
        let challenge = header(&response, "www-authenticate");
        assert_eq!(challenge.is_some(), status == 401, "{refusal:?}");
        let wait = header(&response, "retry-after");
        assert_eq!(
            wait,
            matches!(status, 429 | 503).then_some("7"),
            "{refusal:?}"
        );
    }
}

fn shows(headers: &[(&'static str, &str)]) -> Option<PresentedSecret> {
    let mut map = HeaderMap::new();
    for (name, value) in headers {
        map.append(*name, HeaderValue::from_str(value).unwrap());
    }
    let peer = Peer {
        listener: crate::listen::Listener::Device,
        request: crate::peer::RequestId::next(),
        address: "192.0.2.1:1".parse().unwrap(),
        chain: [].into(),
        body_time: std::time::Duration::from_secs(1),
    };
    presented(&peer, &map).secret
}

#[test]
fn basic_credentials_count_only_if_they_are_whole_and_single() {
    let good = Credentials::new("pump-1", "s:e c").unwrap().header();
    let shown = shows(&[("authorization", good.as_str())]).unwrap();
    assert_eq!(
        (shown.device.as_str(), shown.secret.as_str()),
        ("pump-1", "s:e c")
    );
    assert!(shows(&[]).is_none());
    assert!(shows(&[("authorization", "Bearer abc")]).is_none());
    assert!(shows(&[("authorization", "Basic !!!")]).is_none());
    assert!(
        shows(&[
            ("authorization", good.as_str()),
            ("authorization", good.as_str())
        ])
        .is_none()
    );
    let no_id = Credentials::new("no such id", "x").unwrap().header();
    assert!(shows(&[("authorization", no_id.as_str())]).is_none());
}

#[test]
fn csr_attributes_ask_for_the_key_that_the_profile_names_first() {
    assert_eq!(
        csr_attrs(None, Wrapping::OneLine).status(),
        StatusCode::NO_CONTENT
    );
    let policy = tenure_domain::policy::document::parse(tenure_domain::policy::DEFAULT_DOCUMENT, 1);
    let policy = policy.unwrap();
    let name: Slug = "device".parse().unwrap();
    let response = csr_attrs(Some(policy.profile(&name).unwrap()), Wrapping::OneLine);
    assert_eq!(response.status(), StatusCode::OK);
    assert_eq!(header(&response, "content-type"), Some(CSR_ATTRIBUTES));
}

#[test]
fn no_new_profile_is_named_like_an_operation() {
    use tenure_domain::policy::document::{DEFAULT_DOCUMENT, parse, parse_new};
    for operation in tenure_wire::est::Operation::ALL {
        let text = DEFAULT_DOCUMENT.replace("\"device-server\"", &format!("\"{operation}\""));
        let said = parse_new(&text, &[], None).unwrap_err().to_string();
        assert!(
            said.contains(&format!("[[profile]] {operation}, name: ")),
            "{said}"
        );
        assert!(said.contains("use another name"), "{said}");
        parse(&text, 1).unwrap_or_else(|error| panic!("in force it stays readable: {error}"));
    }
}
