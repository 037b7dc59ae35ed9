//! strongSwan's `pki` as a device.

use tenure_tests::{House, have, text, tool};
use tenure_x509::pem_certificates;

use super::TENURE;

#[test]
fn strongswan_enrolls_and_renews() {
    if !have("pki") || !have("openssl") {
        return;
    }
    let house = House::serve(TENURE);
    let secret = house.device("pump-1");
    let here = house.directory();
    let url = format!("https://localhost:{}", house.ports().device);
    let root = house.root();
    let root = root.to_str().unwrap();
    let output = tenure_tests::try_tool(
        here,
        "pki",
        &[
            "--estca",
            "--url",
            &url,
            "--cacert",
            root,
            "--caout",
            "ca",
            "--outform",
            "pem",
        ],
        b"",
    );
    assert!(output.status.success(), "{}", text(&output.stderr));
    let request = |key: &str, csr: &str| {
        tool(
            here,
            "openssl",
            &[
                "ecparam",
                "-name",
                "prime256v1",
                "-genkey",
                "-noout",
                "-out",
                key,
            ],
            b"",
        );
        let arguments = [
            "req",
            "-new",
            "-key",
            key,
            "-subj",
            "/CN=pump-1",
            "-outform",
            "DER",
            "-out",
            csr,
        ];
        tool(here, "openssl", &arguments, b"");
    };
    request("first.key", "first.der");
    let user = format!("pump-1:{secret}");
    let first = tool(
        here,
        "pki",
        &[
            "--est",
            "--url",
            &url,
            "--in",
            "first.der",
            "--cacert",
            root,
            "--userpass",
            &user,
            "--outform",
            "pem",
        ],
        b"",
    );
    std::fs::write(here.join("first.pem"), &first).unwrap();
    request("next.key", "next.der");
    let next = tool(
        here,
        "pki",
        &[
            "--est",
            "--url",
            &url,
            "--in",
            "next.der",
            "--cacert",
            root,
            "--cert",
            "first.pem",
            "--key",
            "first.key",
            "--outform",
            "pem",
        ],
        b"",
    );
    let first = pem_certificates(&text(&first)).unwrap();
    let next = pem_certificates(&text(&next)).unwrap();
    assert_eq!(first[0].subject(), next[0].subject());
    assert_ne!(first[0].public_key().hash(), next[0].public_key().hash());
    let listed = house.ask(&["cert", "list", "--device", "pump-1"]);
    assert_eq!(listed.as_array().unwrap().len(), 2, "{listed:#}");
}
