mod verbs;

use clap::CommandFactory;

use super::*;

fn parse(line: &str) -> Result<Cli, clap::Error> {
    Cli::try_parse_from(line.split_whitespace())
}

#[test]
fn the_tree_is_well_formed() {
    Cli::command().debug_assert();
}

#[test]
fn every_documented_verb_is_understood() {
    let lines = [
        "tenure login --url https://h:9443 --fingerprint 00",
        "tenure device add pump-1 --class c --site s --owner o --service a --service b",
        "tenure device edit pump-1 --site s",
        "tenure device list --site s --json --limit 0",
        "tenure device show pump-1",
        "tenure device secret pump-1",
        "tenure device suspend pump-1",
        "tenure device resume pump-1",
        "tenure device retire pump-1 pump-2 --yes",
        "tenure device suspend --from ids.txt --yes",
        "tenure cert list --device pump-1 --json",
        "tenure cert show 01ab --pem",
        "tenure cert revoke 01ab --reason keyCompromise --yes",
        "tenure cert hold issuing/01ab",
        "tenure cert release 01ab",
        "tenure issuer list",
        "tenure issuer show issuing",
        "tenure issuer export issuing",
        "tenure issuer edit issuing --public-url http://pki.example",
        "tenure policy apply p.toml --yes",
        "tenure policy show",
        "tenure policy explain --device pump-1 --evidence secret",
        "tenure policy test p.toml",
        "tenure policy plan p.toml",
        "tenure log checkpoint",
        "tenure log prove 7",
        "tenure log verify --seen f",
        "tenure as-of 2026-01-01T00:00:00Z --device pump-1",
        "tenure events --after 3",
        "tenure events --newest --limit 5 --cursor 9",
        "tenure owner add ops --contact x",
        "tenure site add hall --parent plant",
        "tenure class add sensor --profile device",
        "tenure service list",
        "tenure manufacturer add acme --roots r.pem",
        "tenure ask list",
        "tenure ask approve 3",
        "tenure ask refuse 3",
        "tenure incident list",
        "tenure incident resolve 3 --keep 01ab",
        "tenure token create --name ci --role reader",
        "tenure token list",
        "tenure token revoke 3",
        "tenure token rotate",
        "tenure device import d.csv --dry-run --create-missing",
        "tenure device import --resume x",
        "tenure device export --format jsonl --site s",
        "tenure cert revoke --device pump-1 --reason superseded --yes",
        "tenure as-of 2026-01-01T00:00:00Z --site s",
        "tenure log verify --forget",
        "tenure key list --data /d",
        "tenure key rewrap root --data /d --new-passphrase-file f",
        "tenure issuer crl-refresh --data /d --root /r/root.key",
        "tenure issuer crl-refresh root-2 --data /d",
        "tenure issuer add valves --kind root --root-out /r/valves.key --data /d",
        "tenure issuer add valves-1 --kind issuing --under valves --root /r/valves.key --data /d",
        "tenure issuer rollover begin root --root /r/root.key --root-out /r/2.key --data /d",
        "tenure issuer rollover begin root --stolen --data /d",
        "tenure issuer export root-2 --cross",
        "tenure trust-store bundle broker-3 --roots",
        "tenure backup create",
        "tenure backup verify /b",
        "tenure backup restore /b --data /d",
        "tenure doctor --data /d",
    ];
    for line in lines {
        parse(line).unwrap_or_else(|error| panic!("{line}: {error}"));
    }
}

#[test]
fn a_wrong_line_ends_with_the_usage_code() {
    let error = parse("tenure device shwo pump-1").unwrap_err();
    assert_eq!(error.exit_code(), 2);
    assert!(error.to_string().contains("show"), "{error}");
}

#[test]
fn who_names_no_device_is_told_both_ways() {
    let error = parse("tenure device retire --yes").unwrap_err();
    assert_eq!(error.exit_code(), 2);
    assert!(error.to_string().contains("<IDS|--from <FILE>>"), "{error}");
}

#[test]
fn without_a_server_the_message_says_how_to_name_one() {
    let directory = tempfile::tempdir().unwrap();
    let reach = Reach {
        data: Some(directory.path().to_path_buf()),
        ..Reach::default()
    };
    let failure = Session::find(&reach).err().unwrap();
    assert_eq!(failure.code(), 4);
    assert!(
        failure.to_string().contains("tenure serve --data"),
        "{failure}"
    );
}

#[test]
fn a_token_goes_nowhere_in_clear() {
    for url in ["http://h:9443", "HTTP://h:9443", "ftp://h", "h:9443"] {
        let reach = Reach {
            url: Some(url.to_owned()),
            token: Some("t".to_owned()),
            ..Reach::default()
        };
        let failure = Session::find(&reach).err().unwrap();
        let said = failure.to_string();
        assert_eq!(failure.code(), 2, "{said}");
        assert!(
            said.contains("--url or TENURE_URL") && said.contains("https://"),
            "{said}"
        );
    }
}

#[test]
fn a_wrong_value_is_answered_with_its_flag_and_what_to_use() {
    let said = |line: &str| parse(line).unwrap_err().to_string();
    let reason = said("tenure cert revoke 01ab --reason keycompromised --yes");
    for word in [
        "--reason",
        "unspecified, keyCompromise, cACompromise",
        "aACompromise",
    ] {
        assert!(reason.contains(word), "{reason}");
    }
    let hours = said("tenure device secret pump-1 --hours 0");
    assert!(
        hours.contains("--hours") && hours.contains("1..=2160"),
        "{hours}"
    );
    let limit = said("tenure device export --limit 5");
    assert!(limit.contains("--limit"), "{limit}");
}

#[test]
fn every_list_goes_on_with_a_cursor() {
    fn lists(command: &clap::Command, found: &mut usize) {
        for verb in command.get_subcommands() {
            lists(verb, found);
            let has = |name: &str| verb.get_arguments().any(|of| of.get_id() == name);
            let is_list = verb.get_name() == "list" && command.get_name() != "key";
            if is_list || has("limit") {
                assert!(has("limit") && has("cursor"), "{}", verb.get_name());
                *found += 1;
            }
        }
    }
    let mut found = 0;
    lists(&Cli::command(), &mut found);
    assert!(found > 25, "{found}");
    parse("tenure device list --limit 5 --cursor -1").unwrap();
}
