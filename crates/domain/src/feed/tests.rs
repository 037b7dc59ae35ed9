use super::*;

const MADE: Time = Time::from_unix(1_790_000_000);

fn item(kind: ItemKind, name: &str) -> Item {
    Item {
        epoch: 7,
        kind,
        length: 3,
        name: name.parse().unwrap(),
        sha256: Digest::of(b"abc"),
    }
}

fn manifest() -> Manifest {
    Manifest {
        items: vec![
            item(ItemKind::Bundle, "trust"),
            item(ItemKind::Crl, "issuing-1"),
        ],
        ladder: Ladder::new(60, 120, 180, Criticality::High),
        made: MADE,
        party: "broker-3".parse().unwrap(),
        sequence: 1_790_000_000,
        valid_until: MADE.plus(180),
        version: VERSION,
    }
}

#[test]
fn a_manifest_reads_back_and_has_one_form() {
    let manifest = manifest();
    let text = manifest.text();
    assert_eq!(Manifest::parse(&text), Ok(manifest));
    let value: serde_json::Value = serde_json::from_str(&text).unwrap();
    assert_eq!(serde_json::to_string(&value).unwrap() + "\n", text);
    for other in [
        text.replace("\"version\":1", "\"version\": 1"),
        text.trim_end().to_owned(),
        text.replace("\"party\"", "\"extra\":1,\"party\""),
        text.replace("\"version\":1", "\"version\":2"),
        text.replace("issuing-1", "../../etc/passwd"),
        text.replace("issuing-1", ".."),
        text.replace("\"sequence\":1790000000", "\"sequence\":0"),
    ] {
        assert!(Manifest::parse(&other).is_err(), "{other}");
    }
    let mut twice = self::manifest();
    twice.items.push(item(ItemKind::Bundle, "other"));
    assert!(Manifest::parse(&twice.text()).is_err());
}

#[test]
fn contents_change_with_the_items_and_not_with_the_time() {
    let (one, mut later) = (manifest(), manifest());
    later.made = MADE.plus(9);
    later.sequence += 1;
    assert_eq!(one.contents(), later.contents());
    assert_ne!(one.digest(), later.digest());
    later.items.pop();
    assert_ne!(one.contents(), later.contents());
}

#[test]
fn g11_the_ladder_is_climbed_with_time_and_safety_never_closes() {
    let guarded = Ladder::new(60, 120, 180, Criticality::High);
    let rungs = |ladder: &Ladder| {
        [-5, 0, 59, 60, 119, 120, 179, 180, 1 << 40].map(|age| ladder.rung(MADE, MADE.plus(age)))
    };
    use Rung::*;
    assert_eq!(
        rungs(&guarded),
        [
            Fresh, Fresh, Fresh, Warn, Warn, Restrict, Restrict, Closed, Closed
        ]
    );
    let safety = Ladder::new(60, 120, 180, Criticality::Safety);
    assert_eq!(
        rungs(&safety),
        [Fresh, Fresh, Fresh, Warn, Warn, Warn, Warn, Alarm, Alarm]
    );
    assert!(!Ladder::new(60, 50, 180, Criticality::High).is_sound());
}

#[test]
fn i4_a_number_never_goes_back() {
    assert_eq!(next_sequence(0, MADE), MADE.unix());
    assert_eq!(next_sequence(MADE.unix(), MADE), MADE.unix() + 1);
    assert_eq!(next_sequence(MADE.unix() + 50, MADE), MADE.unix() + 51);
}

#[test]
fn o4_a_sites_pack_has_a_part_for_each_and_every_item_once() {
    let (mut one, mut two) = (manifest(), manifest());
    one.items.truncate(1);
    one.items[0].length = 3;
    one.items[0].sha256 = Digest::of(b"abc");
    two.items = one.items.clone();
    two.party = "gateway-8".parse().unwrap();
    let notes = [&one, &two].map(|of| format!("{}\n\u{2014} tenure-feed AAAA\n", of.text()));
    let all = [&one, &two];
    assert_eq!(site::items_of(all).len(), 1);
    let whole = site::write(&notes, &[b"abc"]);
    assert!(site::SitePack::is_one(&whole));
    let split = site::SitePack::split(&whole).unwrap();
    assert_eq!(split.notes(), [notes[0].as_bytes(), notes[1].as_bytes()]);
    let items = split.items(all).unwrap();
    assert_eq!(items[&Digest::of(b"abc")], b"abc");
    assert!(split.items([&one, &one]).is_err(), "twice for one");
    for cut in 0..whole.len() {
        let cut = site::SitePack::split(&whole[..cut]);
        assert!(cut.is_err() || cut.unwrap().items(all).is_err());
    }
    let more = [whole.as_slice(), b"x"].concat();
    assert!(site::SitePack::split(&more).unwrap().items(all).is_err());
    for bad in [
        "tenure-site-pack-1 ",
        "tenure-site-pack-1 03\nabc",
        "tenure-site-pack-1  3\nabc",
    ] {
        assert!(site::SitePack::split(bad.as_bytes()).is_err(), "{bad}");
    }
}

#[test]
fn o4_a_pack_is_split_as_it_was_written_and_nothing_may_follow() {
    let manifest = manifest();
    let note = format!("{}\n\u{2014} tenure-feed AAAA\n", manifest.text());
    let items = [b"abc".to_vec(), b"abc".to_vec()];
    let whole = pack::write(&note, &items);
    let split = pack::Pack::split(&whole).unwrap();
    assert_eq!(split.note(), note.as_bytes());
    assert_eq!(split.items(&manifest).unwrap(), [b"abc", b"abc"]);
    for cut in 0..whole.len() {
        let cut = pack::Pack::split(&whole[..cut]);
        assert!(cut.is_err() || cut.unwrap().items(&manifest).is_err());
    }
    let more = [whole.as_slice(), b"x"].concat();
    assert!(pack::Pack::split(&more).unwrap().items(&manifest).is_err());
    for bad in [
        "tenure-pack-1 +3\nabc",
        "tenure-pack-1 03\nabc",
        "tenure-pack-2 3\nabc",
        "",
    ] {
        assert!(pack::Pack::split(bad.as_bytes()).is_err(), "{bad}");
    }
}
