//! Keys in SoftHSM2, the token that anyone can have.
//!
//! The library reads where its tokens lie from the environment when it is loaded, and it is loaded
//! once a process: each test makes its own token and runs itself again as a child.

use std::fs;
use std::future::poll_fn;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::sync::mpsc;
use std::task::Poll;

use cryptoki::context::Pkcs11;
use tempfile::TempDir;
use tenure_x509::ocsp::{CertStatus, HashKind, OcspRequest, OcspResponse};
use tenure_x509::{
    CaConstraint, Cert, CertificateSpec, Extensions, KeyKind, KeyPair, KeyUsage, Name,
    NameAttribute, Serial, Time, Validity, pem_encode,
};

use tenure_engine::signer::{
    Custody, Doors, Key, Keyring, KeyringError, NewKey, OpenedBy, Passphrase, PinSource, Rewrap,
    SignError, TokenError, TokenKey,
};

use tenure_engine::ceremony::{self, FoundingKeys};

use crate::house::{House, issued, pair};
use crate::suite;

const TOKEN: &str = "tenure test";
const PIN: &str = "4711";
const NOW: Time = Time::from_unix(1_795_392_000);

const MODULES: [&str; 6] = [
    "/usr/lib/softhsm/libsofthsm2.so",
    "/usr/lib/x86_64-linux-gnu/softhsm/libsofthsm2.so",
    "/usr/lib64/pkcs11/libsofthsm2.so",
    "/usr/lib/pkcs11/libsofthsm2.so",
    "/usr/local/lib/softhsm/libsofthsm2.so",
    "/opt/homebrew/lib/softhsm/libsofthsm2.so",
];

/// Whether an external program is there; where it must be, its absence is a failure.
fn available(program: &str, probe: &str) -> bool {
    let found = Command::new(program)
        .arg(probe)
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .status()
        .is_ok();
    found || absent(program)
}

/// Says that something is not there, and fails where it must be.
fn absent(what: &str) -> bool {
    let required = std::env::var("TENURE_REQUIRE_INTEROP").is_ok_and(|value| value == "1");
    assert!(!required, "{what} not found, and TENURE_REQUIRE_INTEROP=1");
    eprintln!("skipped: {what} not found");
    false
}

/// A directory with a token, as the child sees it.
struct Bench {
    directory: PathBuf,
    module: PathBuf,
}

/// Runs `body` in a child process that has a token of its own.
fn with_token(test: &str, body: impl FnOnce(&Bench)) {
    let Some(module) = MODULES.iter().map(Path::new).find(|module| module.exists()) else {
        absent("the SoftHSM2 library");
        return;
    };
    if let Some(conf) = std::env::var_os("SOFTHSM2_CONF").filter(|_| is_child()) {
        let directory = Path::new(&conf).parent().unwrap().to_owned();
        return body(&Bench {
            directory,
            module: module.to_owned(),
        });
    }
    if !available("softhsm2-util", "--version") {
        return;
    }
    let place = TempDir::new().unwrap();
    let tokens = place.path().join("tokens");
    fs::create_dir(&tokens).unwrap();
    let conf = place.path().join("softhsm2.conf");
    let text = format!(
        "directories.tokendir = {}\nobjectstore.backend = file\n",
        tokens.display()
    );
    fs::write(&conf, text).unwrap();
    fs::write(place.path().join("pin"), format!("{PIN}\n")).unwrap();
    let made = Command::new("softhsm2-util")
        .args([
            "--init-token",
            "--free",
            "--label",
            TOKEN,
            "--pin",
            PIN,
            "--so-pin",
            "081500",
        ])
        .env("SOFTHSM2_CONF", &conf)
        .output()
        .unwrap();
    assert!(made.status.success(), "{made:?}");

    let (_, path) = module_path!().split_once("::").unwrap();
    let child = Command::new(std::env::current_exe().unwrap())
        .args([
            "--exact",
            &format!("{path}::{test}"),
            "--nocapture",
            "--test-threads=1",
        ])
        .env("SOFTHSM2_CONF", &conf)
        .env("TENURE_SOFTHSM_CHILD", "1")
        .env("TENURE_TEST_PIN", PIN)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&child.stdout).into_owned()
        + &String::from_utf8_lossy(&child.stderr);
    assert!(child.status.success(), "{said}");
    assert!(said.contains("1 passed"), "the child ran no test: {said}");
}

fn is_child() -> bool {
    std::env::var_os("TENURE_SOFTHSM_CHILD").is_some()
}

impl Bench {
    fn place(&self, label: &str) -> TokenKey {
        TokenKey {
            module: self.module.clone(),
            token: TOKEN.to_owned(),
            label: label.to_owned(),
            pin: PinSource::File(self.directory.join("pin")),
        }
    }

    fn new_key(&self, name: &str, doors: Doors, kind: KeyKind, place: TokenKey) -> NewKey {
        NewKey {
            name: name.to_owned(),
            doors,
            kind,
            opened_by: OpenedBy::Serve,
            custody: Custody::Pkcs11(place),
            created: NOW,
        }
    }

    fn keyring(&self) -> (PathBuf, Keyring) {
        let directory = self.directory.join("keys");
        let ring = Keyring::create(&directory).unwrap();
        (directory, ring)
    }
}

fn passphrase() -> Passphrase {
    Passphrase::new("right horse, right staple".to_owned()).unwrap()
}

#[test]
fn keys_in_a_token_pass_the_suite() {
    with_token("keys_in_a_token_pass_the_suite", |bench| {
        let (directory, ring) = bench.keyring();
        for kind in [
            KeyKind::P256,
            KeyKind::P384,
            KeyKind::Rsa2048,
            KeyKind::Ed25519,
        ] {
            let name = |name: &str| format!("{name}-{kind}");
            let make = |named: &str, doors| {
                let new = bench.new_key(named, doors, kind, bench.place(&name(named)));
                ring.make(new, &passphrase()).unwrap()
            };
            suite::check(&make);
            let kept = Keyring::open(&directory, &passphrase()).unwrap();
            for record in ring.records() {
                let (before, after) = (ring.key(&record.name), kept.key(&record.name));
                assert_eq!(before.unwrap().public(), after.unwrap().public());
                ring.remove(&record.name).unwrap();
            }
        }
    });
}

#[test]
fn openssl_accepts_certificates_that_a_token_signed() {
    with_token(
        "openssl_accepts_certificates_that_a_token_signed",
        |bench| {
            if !available("openssl", "version") {
                return;
            }
            let (_, ring) = bench.keyring();
            for kind in [
                KeyKind::P256,
                KeyKind::P384,
                KeyKind::Rsa2048,
                KeyKind::Ed25519,
            ] {
                let name = format!("issuing-{kind}");
                let new = bench.new_key(&name, Doors::ISSUER, kind, bench.place(&name));
                let key = ring.make(new, &passphrase()).unwrap();
                let issuer = certificate(
                    &key,
                    &key,
                    "The Issuer",
                    CaConstraint::Ca { path_len: None },
                );
                let leaf = KeyPair::generate(KeyKind::P256).unwrap();
                let leaf = Key::in_memory("leaf", Doors::TLS, leaf);
                let leaf = certificate(&leaf, &key, "A Device", CaConstraint::NotCa);
                let (ca, file) = (
                    bench.directory.join("ca.pem"),
                    bench.directory.join("leaf.pem"),
                );
                fs::write(&ca, pem_encode("CERTIFICATE", issuer.der())).unwrap();
                fs::write(&file, pem_encode("CERTIFICATE", leaf.der())).unwrap();
                let verified = Command::new("openssl")
                    .args([
                        "verify",
                        "-x509_strict",
                        "-check_ss_sig",
                        "-attime",
                        "1795392001",
                    ])
                    .arg("-CAfile")
                    .args([&ca, &file])
                    .output()
                    .unwrap();
                assert!(verified.status.success(), "{kind}: {verified:?}");
            }
        },
    );
}

/// A certificate for one key by another, signed as a revocation list would be: the certificate
/// door wants a store.
fn certificate(of: &Key, by: &Key, name: &str, ca: CaConstraint) -> Cert {
    let named = |name| Name::build(&[(NameAttribute::CommonName, name)]).unwrap();
    let key_usage = match ca {
        CaConstraint::Ca { .. } => KeyUsage::KEY_CERT_SIGN | KeyUsage::CRL_SIGN,
        _ => KeyUsage::DIGITAL_SIGNATURE,
    };
    let spec = CertificateSpec {
        serial: Serial::from_random([7; 20]),
        signature: by.algorithm(),
        issuer: named("The Issuer"),
        validity: Validity {
            not_before: NOW,
            not_after: NOW.plus(86_400),
        },
        subject: named(name),
        public_key: of.public().clone(),
        extensions: Extensions {
            ca,
            key_usage,
            subject_key_id: Some(of.public().key_id().to_vec()),
            authority_key_id: Some(by.public().key_id().to_vec()),
            ..Extensions::default()
        },
    };
    let tbs = spec.tbs().unwrap();
    let signature = by.sign_crl(tbs.as_der()).unwrap();
    Cert::from_der(&tbs.with_signature(&signature)).unwrap()
}

/// Where no other thread may wait for the token, it is not asked.
fn answered_aside(house: &House, issuer: &Cert, serial: &Serial) {
    let (name, key) = (issuer.subject(), issuer.public_key());
    let request = OcspRequest::build(name, key, serial, HashKind::Sha256, None).unwrap();
    let runtime = tokio::runtime::Builder::new_current_thread()
        .max_blocking_threads(1)
        .build()
        .unwrap();
    let answer = runtime.block_on(async {
        let (release, held) = mpsc::channel::<()>();
        tokio::task::spawn_blocking(move || held.recv());
        let mut answer = std::pin::pin!(house.engine.ocsp(&request));
        let begun = poll_fn(|cx| Poll::Ready(answer.as_mut().poll(cx))).await;
        assert!(begun.is_pending());
        drop(release);
        answer.await
    });
    let response = OcspResponse::from_der(&answer.der).unwrap();
    let said = response.verify(issuer, serial, None, house.clock.now());
    assert_eq!(said.unwrap().status(), CertStatus::Good);
}

/// The whole story: root, issuing and responder key in the token, the others in files of the same
/// keyring. A thread that serves waits for the token neither to issue nor to answer.
#[test]
fn a_device_enrolls_in_a_house_whose_ca_keys_are_in_a_token() {
    with_token(
        "a_device_enrolls_in_a_house_whose_ca_keys_are_in_a_token",
        |bench| {
            let (_, ring) = bench.keyring();
            let in_token = |name: &str, doors| {
                let new = bench.new_key(name, doors, KeyKind::P256, bench.place(name));
                ring.make(new, &passphrase()).unwrap()
            };
            let in_file = |name: &str, doors, kind| {
                let new = bench.new_key(name, doors, kind, bench.place(name));
                let new = NewKey {
                    custody: Custody::File,
                    ..new
                };
                ring.make(new, &passphrase()).unwrap()
            };
            let keys = FoundingKeys {
                root: in_token(ceremony::ROOT, Doors::ISSUER),
                issuing: in_token(ceremony::ISSUING, Doors::ISSUER),
                responder: in_token("ocsp-issuing-1", Doors::RESPONDER),
                log: in_file("log", Doors::LOG, KeyKind::Ed25519),
                server: in_file(ceremony::SERVER, Doors::TLS, KeyKind::P256),
            };
            let runtime = tokio::runtime::Runtime::new().unwrap();
            let (house, issuing, leaf) = runtime.block_on(async {
                let house = House::found_on(keys).await;
                let first = house.enrolled("pump-17").await;
                house.pass(86_400);
                let renewed = issued(house.renew(&first.cert, &pair()).await);
                let issuers = house.engine.snapshot();
                let issuing = issuers.issuers.last().unwrap().certificate.clone();
                (house, issuing, renewed)
            });
            answered_aside(&house, &issuing, &leaf.row.serial);
            let (root, leaf) = (&house.root, &leaf.cert);
            assert_eq!(
                issuing.public_key(),
                ring.key(ceremony::ISSUING).unwrap().public()
            );
            if !available("openssl", "version") {
                return;
            }
            let file = |name: &str, cert: &Cert| {
                let path = bench.directory.join(name);
                fs::write(&path, cert.pem()).unwrap();
                path
            };
            let verified = Command::new("openssl")
                .args(["verify", "-x509_strict", "-purpose", "sslclient"])
                .args([
                    "-attime",
                    &leaf.validity().not_before.plus(60).unix().to_string(),
                ])
                .arg("-CAfile")
                .arg(file("root.pem", root))
                .arg("-untrusted")
                .args([file("issuing.pem", &issuing), file("leaf.pem", leaf)])
                .output()
                .unwrap();
            assert!(verified.status.success(), "{verified:?}");
        },
    );
}

#[test]
fn a_key_that_is_there_is_taken_over_once() {
    with_token("a_key_that_is_there_is_taken_over_once", |bench| {
        let (_, ring) = bench.keyring();
        let make = |name: &str, kind, label: &str| {
            let new = bench.new_key(name, Doors::ISSUER, kind, bench.place(label));
            ring.make(new, &passphrase())
        };
        let made = make("issuing", KeyKind::P256, "shared").unwrap();
        let error = make("other", KeyKind::P256, "shared").unwrap_err();
        assert!(matches!(&error, KeyringError::SameKey { other, .. } if other == "issuing"));
        ring.remove("issuing").unwrap();
        let error = make("again", KeyKind::P384, "shared").unwrap_err();
        let other_kind = matches!(
            error,
            KeyringError::Token {
                source: TokenError::OtherKind { .. },
                ..
            }
        );
        assert!(other_kind, "{error}");
        let again = make("again", KeyKind::P256, "shared").unwrap();
        assert_eq!(again.public(), made.public());
    });
}

#[test]
fn the_private_key_never_leaves_the_token() {
    with_token("the_private_key_never_leaves_the_token", |bench| {
        let (_, ring) = bench.keyring();
        let new = bench.new_key(
            "issuing",
            Doors::ISSUER,
            KeyKind::P256,
            bench.place("issuing"),
        );
        ring.make(new, &passphrase()).unwrap();
        let text = fs::read_to_string(bench.directory.join("keys/issuing.key")).unwrap();
        assert!(!text.contains("PRIVATE KEY"), "{text}");
        let record = fs::read_to_string(bench.directory.join("keys/issuing.toml")).unwrap();
        assert!(!record.contains(PIN), "{record}");
        if !available("pkcs11-tool", "--version") {
            return;
        }
        let listed = Command::new("pkcs11-tool")
            .arg("--module")
            .arg(&bench.module)
            .args([
                "--token-label",
                TOKEN,
                "--pin",
                PIN,
                "--list-objects",
                "--type",
                "privkey",
            ])
            .output()
            .unwrap();
        let listed = String::from_utf8_lossy(&listed.stdout).into_owned();
        assert!(listed.contains("never extractable"), "{listed}");
        assert!(listed.contains("always sensitive"), "{listed}");
        // a key that may leave is not taken over
        let new = bench.new_key("loose", Doors::ISSUER, KeyKind::P256, bench.place("loose"));
        let made = Command::new("pkcs11-tool")
            .arg("--module")
            .arg(&bench.module)
            .args([
                "--token-label",
                TOKEN,
                "--pin",
                PIN,
                "--keypairgen",
                "--extractable",
            ])
            .args(["--key-type", "EC:prime256v1", "--label", "loose"])
            .output()
            .unwrap();
        assert!(made.status.success(), "{made:?}");
        let error = ring.make(new, &passphrase()).unwrap_err();
        let extractable = matches!(
            error,
            KeyringError::Token {
                source: TokenError::Extractable { .. },
                ..
            }
        );
        assert!(extractable, "{error}");
    });
}

#[test]
fn a_wrong_pin_is_tried_once() {
    with_token("a_wrong_pin_is_tried_once", |bench| {
        let (directory, ring) = bench.keyring();
        for name in ["issuing", "responder", "server"] {
            let new = bench.new_key(name, Doors::ISSUER, KeyKind::P256, bench.place(name));
            ring.make(new, &passphrase()).unwrap();
        }
        drop(ring); // closes all sessions, which logs out
        let pin = bench.directory.join("pin");
        let refused = |error: &KeyringError| match error {
            KeyringError::Token {
                source: TokenError::PinRefused { why, .. },
                ..
            } => why.clone(),
            other => panic!("{other}"),
        };
        fs::write(&pin, "0000\n").unwrap();
        let error = Keyring::open(&directory, &passphrase()).unwrap_err();
        refused(&error);
        assert!(!error.to_string().contains("0000"));
        let error = Keyring::open(&directory, &passphrase()).unwrap_err();
        assert_eq!(refused(&error), "it did so before");
        fs::write(&pin, PIN).unwrap();
        Keyring::open(&directory, &passphrase()).unwrap();
        fs::remove_file(&pin).unwrap();
        let error = Keyring::open(&directory, &passphrase()).unwrap_err();
        assert!(
            error.to_string().contains("there is no such file"),
            "{error}"
        );
    });
}

#[test]
fn the_pin_may_come_from_the_environment() {
    with_token("the_pin_may_come_from_the_environment", |bench| {
        let (_, ring) = bench.keyring();
        let make = |variable: &str| {
            let pin = PinSource::Environment(variable.to_owned());
            let place = TokenKey {
                pin,
                ..bench.place("issuing")
            };
            let new = bench.new_key("issuing", Doors::ISSUER, KeyKind::P256, place);
            ring.make(new, &passphrase())
        };
        let error = make("TENURE_NO_SUCH_VARIABLE").unwrap_err();
        assert!(
            error.to_string().contains("TENURE_NO_SUCH_VARIABLE"),
            "{error}"
        );
        make("TENURE_TEST_PIN").unwrap().sign_crl(b"list").unwrap();
    });
}

#[test]
fn a_token_that_was_reset_is_found_again() {
    with_token("a_token_that_was_reset_is_found_again", |bench| {
        let (_, ring) = bench.keyring();
        let new = bench.new_key(
            "issuing",
            Doors::ISSUER,
            KeyKind::P256,
            bench.place("issuing"),
        );
        let key = ring.make(new, &passphrase()).unwrap();
        key.sign_crl(b"before").unwrap();
        for _ in 0..3 {
            // the library forgets every session, as after a lost connection
            Pkcs11::new(&bench.module).unwrap().finalize().unwrap();
            std::thread::scope(|scope| {
                for _ in 0..8 {
                    scope.spawn(|| key.sign_crl(b"after").unwrap());
                }
            });
        }
        // the token itself goes away, and comes back
        let (tokens, away) = (bench.directory.join("tokens"), bench.directory.join("away"));
        fs::rename(&tokens, &away).unwrap();
        fs::create_dir(&tokens).unwrap();
        Pkcs11::new(&bench.module).unwrap().finalize().unwrap();
        let error = key.sign_crl(b"while it is away").unwrap_err();
        assert!(
            matches!(&error, SignError::Device { why } if why.contains(TOKEN)),
            "{error}"
        );
        fs::remove_dir_all(&tokens).unwrap();
        fs::rename(&away, &tokens).unwrap();
        Pkcs11::new(&bench.module).unwrap().finalize().unwrap();
        key.sign_crl(b"when it is back").unwrap();
    });
}

#[test]
fn what_is_not_there_is_said_plainly() {
    with_token("what_is_not_there_is_said_plainly", |bench| {
        let (directory, ring) = bench.keyring();
        let make = |place: TokenKey| {
            let new = bench.new_key("issuing", Doors::ISSUER, KeyKind::P256, place);
            ring.make(new, &passphrase()).unwrap_err().to_string()
        };
        let here = bench.place("issuing");
        let error = make(TokenKey {
            token: "another".to_owned(),
            ..here.clone()
        });
        assert!(error.contains("no token labelled \"another\""), "{error}");
        let error = make(TokenKey {
            module: "/nowhere/lib.so".into(),
            ..here.clone()
        });
        assert!(error.contains("/nowhere/lib.so"), "{error}");
        let error = make(TokenKey {
            module: "libsofthsm2.so".into(),
            ..here.clone()
        });
        assert!(error.contains("not absolute"), "{error}");
        let error = make(TokenKey {
            module: "/etc/hostname".into(),
            ..here.clone()
        });
        assert!(error.contains("cannot load"), "{error}");
        assert!(ring.records().is_empty());

        let new = bench.new_key("issuing", Doors::ISSUER, KeyKind::P256, here);
        ring.make(new, &passphrase()).unwrap();
        // a record that names another library is refused before anything is loaded
        let record = directory.join("issuing.toml");
        let text = fs::read_to_string(&record).unwrap();
        let module = bench.module.to_str().unwrap();
        fs::write(&record, text.replace(module, "/nowhere/evil.so")).unwrap();
        let error = Keyring::open(&directory, &passphrase()).unwrap_err();
        assert!(matches!(error, KeyringError::Changed { .. }), "{error}");
        fs::write(&record, text).unwrap();
        Keyring::open(&directory, &passphrase()).unwrap();
        // another passphrase for a key in a token changes the seal alone
        let new = Passphrase::new("a new horse, a new staple".to_owned()).unwrap();
        assert_eq!(
            ring.rewrap("issuing", &passphrase(), &new).unwrap(),
            Rewrap::Done
        );
        assert!(Keyring::open(&directory, &passphrase()).is_err());
        let opened = Keyring::open(&directory, &new).unwrap();
        opened.key("issuing").unwrap().sign_crl(b"list").unwrap();
        // the key is deleted from the token
        let deleted = Command::new("softhsm2-util")
            .args(["--delete-token", "--token", TOKEN])
            .output()
            .unwrap();
        assert!(deleted.status.success(), "{deleted:?}");
        drop(opened);
    });
}
