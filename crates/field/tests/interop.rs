//! What we write as EST, read by clients we did not write. A client that is not installed is
//! skipped, unless TENURE_REQUIRE_INTEROP=1.

mod pki;
mod rude;

use std::path::Path;
use std::process::{Command, Output};

use rude::plant::{Plant, certs, issue};
use rude::{Heard, Said, Server};
use tenure_wire::est::{Wrapping, encode_body};
use tenure_x509::{Cert, Csr, pem_certificates};

/// Whether a program is there; says so if it is not.
fn is_there(program: &str) -> bool {
    let there = Command::new(program).arg("--help").output().is_ok();
    if !there {
        let required = std::env::var("TENURE_REQUIRE_INTEROP").is_ok_and(|value| value == "1");
        assert!(!required, "{program} not found");
        eprintln!("skipped: {program} not found");
    }
    there
}

async fn run(dir: &Path, program: &'static str, args: Vec<String>) -> Output {
    let dir = dir.to_owned();
    let run = move || {
        Command::new(program)
            .args(args)
            .current_dir(dir)
            .output()
            .unwrap()
    };
    tokio::task::spawn_blocking(run).await.unwrap()
}

fn words(line: &str) -> Vec<String> {
    line.split_whitespace().map(str::to_owned).collect()
}

#[track_caller]
fn well(output: &Output) {
    let err = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{err}");
}

/// A plant whose server asks strangers who they are, as strongSwan expects.
async fn plant() -> (Plant, Server, tempfile::TempDir) {
    let plant = Plant::start().await;
    let (root, issuing) = (plant.root.clone(), plant.issuing.clone());
    let answer = move |heard: &Heard| {
        if heard.path.ends_with("/cacerts") {
            return certs(&[&issuing.cert, &root.cert]);
        }
        match (&heard.authorization, &heard.client) {
            (None, None) => Said::new(401, "").with("www-authenticate", "Basic realm=\"est\""),
            _ => certs(&[&issue(&issuing, heard, pki::days(30))]),
        }
    };
    let identity = plant.issuing.server(&plant.root);
    let server = Server::start(identity, &[plant.root.cert.der()], answer).await;
    let dir = tempfile::tempdir().unwrap();
    let write = |name: &str, octets: &[u8]| std::fs::write(dir.path().join(name), octets).unwrap();
    write("root.pem", plant.root.cert.pem().as_bytes());
    for name in ["first", "second"] {
        let key = pki::key();
        let csr = Csr::build(&key, &pki::name("from the registry"), &[]).unwrap();
        write(&format!("{name}.key"), &key.to_pkcs8().unwrap());
        write(&format!("{name}.p10"), &csr);
        write(
            &format!("{name}.b64"),
            encode_body(&csr, Wrapping::Lines).as_bytes(),
        );
    }
    (plant, server, dir)
}

#[tokio::test(flavor = "multi_thread")]
async fn strongswan_fetches_enrolls_and_renews() {
    if !is_there("pki") {
        return;
    }
    let (plant, server, dir) = plant().await;
    let url = server.url.server();
    let at = |name: &str| dir.path().join(name);

    let line = format!("--estca --url {url} --cacert root.pem --caout ca.pem --outform pem");
    well(&run(dir.path(), "pki", words(&line)).await);
    let fetched: Vec<Cert> = std::fs::read_dir(dir.path())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| {
            path.file_name()
                .unwrap()
                .to_str()
                .unwrap()
                .starts_with("ca")
        })
        .flat_map(|path| pem_certificates(&std::fs::read_to_string(path).unwrap()).unwrap())
        .collect();
    for ca in [&plant.root, &plant.issuing] {
        assert!(fetched.iter().any(|cert| cert.der() == ca.cert.der()));
    }
    std::fs::write(at("issuing.pem"), plant.issuing.cert.pem()).unwrap();

    let cas = "--cacert root.pem --cacert issuing.pem";
    let line = format!("--est --url {url} --in first.p10 {cas} --userpass pump-7:one-time");
    let first = run(dir.path(), "pki", words(&line)).await;
    well(&first);
    let first_cert = Cert::from_der(&first.stdout).unwrap();
    assert_eq!(first_cert.issuer(), plant.issuing.cert.subject());
    std::fs::write(at("first.der"), &first.stdout).unwrap();

    let line = format!("--est --url {url} --in second.p10 {cas} --cert first.der --key first.key");
    let second = run(dir.path(), "pki", words(&line)).await;
    well(&second);
    assert_ne!(
        Cert::from_der(&second.stdout).unwrap().serial(),
        first_cert.serial()
    );
    let heard = server.heard();
    let last = heard.last().unwrap();
    assert!(last.path.ends_with("/simplereenroll"));
    assert_eq!(last.client.as_deref(), Some(first_cert.der()));
}

#[tokio::test(flavor = "multi_thread")]
async fn curl_and_openssl_enroll() {
    if !is_there("curl") || !is_there("openssl") {
        return;
    }
    let (plant, server, dir) = plant().await;
    let url = server
        .url
        .with_path("/.well-known/est/simpleenroll")
        .unwrap();
    let mut args =
        words("-sS --fail --cacert root.pem -u pump-7:secret -o answer --data-binary @first.b64");
    args.extend([
        "-H".into(),
        "Content-Type: application/pkcs10".into(),
        url.to_string(),
    ]);
    well(&run(dir.path(), "curl", args).await);
    let line = "base64 -d -A -in answer -out answer.p7";
    well(&run(dir.path(), "openssl", words(line)).await);
    let line = "pkcs7 -inform DER -in answer.p7 -print_certs -out own.pem";
    well(&run(dir.path(), "openssl", words(line)).await);
    std::fs::write(dir.path().join("issuing.pem"), plant.issuing.cert.pem()).unwrap();
    let line = "verify -x509_strict -CAfile root.pem -untrusted issuing.pem own.pem";
    well(&run(dir.path(), "openssl", words(line)).await);
    let own = std::fs::read_to_string(dir.path().join("own.pem")).unwrap();
    assert_eq!(pem_certificates(&own).unwrap().len(), 1);
    let cacerts = server.url.with_path("/.well-known/est/cacerts").unwrap();
    let args = words(&format!(
        "-sS --fail --cacert root.pem -o cas --http1.0 {cacerts}"
    ));
    well(&run(dir.path(), "curl", args).await);
    well(
        &run(
            dir.path(),
            "openssl",
            words("base64 -d -A -in cas -out cas.p7"),
        )
        .await,
    );
    let line = "pkcs7 -inform DER -in cas.p7 -print_certs -out cas.pem";
    well(&run(dir.path(), "openssl", words(line)).await);
    let cas = std::fs::read_to_string(dir.path().join("cas.pem")).unwrap();
    assert_eq!(pem_certificates(&cas).unwrap().len(), 2);
}
