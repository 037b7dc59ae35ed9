use proptest::prelude::*;

use super::*;

#[test]
fn a_path_names_one_thing_or_nothing() {
    let slug = |name: &str| name.parse::<Slug>().unwrap();
    let crl = |path| Wanted::parse(path);
    assert_eq!(
        crl("/crl/issuing-1/7.crl"),
        Some(Wanted::Crl(slug("issuing-1"), List::Shard(7)))
    );
    assert_eq!(
        crl("/crl/root/full.crl"),
        Some(Wanted::Crl(slug("root"), List::Full))
    );
    assert_eq!(
        crl("/crl/issuing-1/7/delta.crl"),
        Some(Wanted::DeltaCrl(slug("issuing-1"), 7))
    );
    let filter = |part| Some(Wanted::Filter(slug("issuing-1"), part));
    assert_eq!(
        crl("/filter/issuing-1/full.filter"),
        filter(FilterPart::Full)
    );
    assert_eq!(
        crl("/filter/issuing-1/1790000000.delta"),
        filter(FilterPart::Delta(1_790_000_000))
    );
    assert_eq!(crl("/ca/root.cer"), Some(Wanted::Certificate(slug("root"))));
    assert_eq!(crl("/log/checkpoint"), Some(Wanted::Checkpoint));
    assert!(matches!(
        crl("/log/tile/0/x001/234.p/5"),
        Some(Wanted::Tile(_))
    ));
    for nothing in [
        "/",
        "",
        "/crl",
        "/crl/",
        "/crl/issuing-1",
        "/crl/issuing-1/07.crl",
        "/crl/issuing-1/+7.crl",
        "/crl/issuing-1/65536.crl",
        "/crl/issuing-1/07/delta.crl",
        "/crl/issuing-1/full/delta.crl",
        "/crl/issuing-1//delta.crl",
        "/crl/issuing-1/../7/delta.crl",
        "/filter/issuing-1/07.delta",
        "/filter/issuing-1/.delta",
        "/filter/issuing-1/full.filter.new",
        "/filter/../full.filter",
        "/crl/issuing-1/full.crl/",
        "/crl//7.crl",
        "//crl/issuing-1/7.crl",
        "/crl/../7.crl",
        "/crl/issuing-1/..%2F7.crl",
        "/crl/issuing%2D1/7.crl",
        "/ca/root.pem",
        "/ca/..cer",
        "/log/",
        "/log/tile/entries/000",
        "/log/tile/entries/000.p/9",
        "/log/tile/0/../checkpoint",
        "/log/%63heckpoint",
    ] {
        assert_eq!(Wanted::parse(nothing), None, "{nothing}");
    }
}

#[test]
fn what_the_asker_has_is_recognised_by_its_tag_or_else_by_its_time() {
    let at = |seconds| http_date(Time::from_unix(seconds));
    let mut ours = HeaderMap::new();
    put(&mut ours, ETAG, "\"a\"");
    ours.insert(LAST_MODIFIED, at(100));
    let asks = |name, value| HeaderMap::from_iter([(name, value)]);
    let tag = |tag: &'static str| asks(IF_NONE_MATCH, HeaderValue::from_static(tag));
    assert!(is_known(&tag("\"a\""), &ours));
    assert!(is_known(&tag("\"b\", W/\"a\""), &ours));
    assert!(is_known(&tag("*"), &ours));
    assert!(!is_known(&tag("\"b\""), &ours));
    assert!(is_known(&asks(IF_MODIFIED_SINCE, at(100)), &ours));
    assert!(!is_known(&asks(IF_MODIFIED_SINCE, at(99)), &ours));
    let mut both = tag("\"b\"");
    both.insert(IF_MODIFIED_SINCE, at(200));
    assert!(!is_known(&both, &ours));
    assert!(!is_known(&HeaderMap::new(), &ours));
}

proptest! {
    #[test]
    fn no_path_leads_out_of_the_published_files(
        path in "/(crl|filter|ca|log|log/tile)/[a-z0-9./%\\\\-]{0,40}"
    ) {
        match Wanted::parse(&path) {
            Some(Wanted::Crl(issuer, list)) => {
                let file = crl_path(Path::new("/d"), issuer.as_str(), list);
                prop_assert!(file.starts_with("/d/crl") && file.components().count() == 5);
            }
            Some(Wanted::DeltaCrl(issuer, shard)) => {
                let file = delta_path(Path::new("/d"), issuer.as_str(), shard);
                prop_assert!(file.starts_with("/d/crl") && file.components().count() == 6);
            }
            Some(Wanted::Filter(issuer, part)) => {
                let file = filter_path(Path::new("/d"), issuer.as_str(), part);
                prop_assert!(file.starts_with("/d/filter") && file.components().count() == 5);
            }
            Some(Wanted::Tile(tile)) => prop_assert_eq!(format!("/log/{tile}"), path),
            Some(Wanted::Certificate(_) | Wanted::Checkpoint) | None => {}
        }
    }
}
