//! What reads bytes from anyone, one function each: the fuzz targets call them, and so does an
//! ordinary test with every seed and thousands of changed copies. None may panic, whatever comes; where
//! something is understood, it must come back as it was.

#![allow(clippy::unwrap_used)]

/// A reader by the name of its target and of the directory of its seeds.
pub type Reader = (&'static str, fn(&[u8]));

/// All of them.
pub const READERS: &[Reader] = &[
    ("asked_certificate", asked_certificate),
    ("cert", cert),
    ("check_request", check_request),
    ("checkpoint", checkpoint),
    ("cms", cms),
    ("crl", crl),
    ("csr", csr),
    ("entry_bundle", entry_bundle),
    ("est_answer", est_answer),
    ("est_parse", est_parse),
    ("feed_manifest", feed_manifest),
    ("feed_pack", feed_pack),
    ("feed_receipt", feed_receipt),
    ("feed_site_pack", feed_site_pack),
    ("filter", filter),
    ("import_table", import_table),
    ("mqtt", mqtt),
    ("name", name),
    ("note", note),
    ("ocsp_path", ocsp_path),
    ("ocsp_request", ocsp_request),
    ("ocsp_response", ocsp_response),
    ("path", path),
    ("pem", pem),
    ("policy_document", policy_document),
    ("probe_answer", probe_answer),
    ("public_path", public_path),
    ("sse", sse),
    ("text", text),
    ("tile_path", tile_path),
    ("traceparent", traceparent),
];

/// Certificates from anyone: no octets may panic, whatever one asks of the result.
pub fn cert(octets: &[u8]) {
    use tenure_x509::{Cert, Tbs};
    if let Ok(cert) = Cert::from_der(octets) {
        assert_eq!(cert.der(), octets);
        let _ = format!("{cert:?} {:?}", cert.flaws());
        let _ = cert.verify_signed_by(cert.public_key());
        let _ = (cert.validity().not_after.to_string(), cert.key_usage());
        for extension in cert.extensions() {
            let _ = extension.oid.to_string();
        }
        for name in cert.san() {
            let _ = name.to_string();
        }
        if let Ok(tbs) = Tbs::from_der(cert.tbs()) {
            assert_eq!(tbs.as_der(), cert.tbs());
        }
    }
}

/// What nginx, Envoy and brokers hand on as a certificate: what is read has the bytes that were sent.
pub fn asked_certificate(octets: &[u8]) {
    use tenure_server::decision::certificate;
    let Ok(text) = std::str::from_utf8(octets) else {
        return;
    };
    if let Ok(cert) = certificate(text) {
        assert!(certificate(&cert.pem()).is_ok_and(|again| again.der() == cert.der()));
    }
    let _ = text.parse::<tenure_domain::decision::Network>();
    if let Ok(id) = text.parse::<tenure_domain::decision::VerdictId>() {
        assert_eq!(id.to_string().parse(), Ok(id));
    }
}

/// A call of Envoy's external authorization.
pub fn check_request(octets: &[u8]) {
    use tenure_wire::ext_authz::{CheckRequest, framed, unframed};
    if let Ok(message) = unframed(octets) {
        assert_eq!(framed(message), octets);
        let _ = CheckRequest::parse(message);
    }
    let _ = CheckRequest::parse(octets);
}

/// A checkpoint that parses is written again octet for octet.
pub fn checkpoint(octets: &[u8]) {
    use tenure_tlog::Checkpoint;
    let Ok(text) = std::str::from_utf8(octets) else {
        return;
    };
    if let Ok(checkpoint) = text.parse::<Checkpoint>() {
        assert_eq!(checkpoint.to_string(), text);
    }
}

/// No message makes the parser panic, and what is read can be wrapped and read again.
pub fn cms(octets: &[u8]) {
    use tenure_x509::cms::{certs_only, parse_certs_only};
    let bytes = octets;
    if let Ok(found) = parse_certs_only(bytes) {
        let ders: Vec<&[u8]> = found.iter().map(|cert| cert.der()).collect();
        assert!(parse_certs_only(&certs_only(&ders)).is_ok_and(|again| again.len() == ders.len()));
    }
}

/// No list makes the parser panic, and an entry that is read is found by its serial.
pub fn crl(octets: &[u8]) {
    use tenure_x509::crl::Crl;
    let bytes = octets;
    let Ok(crl) = Crl::from_der(bytes) else {
        return;
    };
    let _ = (crl.scope(), crl.unusual(), crl.number());
    for entry in crl.entries() {
        let Ok(entry) = entry else { break };
        assert!(crl.find(&entry.serial).is_ok_and(|found| found.is_some()));
    }
}

/// Certification requests from anyone: no octets may panic, and what is accepted is what came.
pub fn csr(octets: &[u8]) {
    use tenure_x509::Csr;
    if let Ok(csr) = Csr::from_der(octets) {
        assert_eq!(csr.der(), octets);
        let _ = (csr.subject().to_string(), csr.public_key().hash());
        for name in csr.san() {
            let _ = name.to_string();
        }
    }
}

/// A bundle that parses is rebuilt octet for octet from its entries.
pub fn entry_bundle(octets: &[u8]) {
    use tenure_tlog::EntryBundle;
    let bytes = octets;
    if let Ok(bundle) = EntryBundle::parse(bytes) {
        let mut again = EntryBundle::new();
        for entry in bundle.entries() {
            assert_eq!(again.push(entry), Ok(()));
        }
        assert_eq!(again.as_bytes(), bytes);
    }
}

/// What a device reads from an EST server and from an HTTP header: nothing may panic.
pub fn est_answer(octets: &[u8]) {
    use tenure_field::est::parse_certs;
    use tenure_field::http::{Trust, Url};
    use tenure_wire::est::{CsrAttrs, MediaType, decode_answer, parse_generated_key};
    let _ = parse_certs(octets);
    if let Ok(der) = decode_answer(octets)
        && let Ok(attrs) = CsrAttrs::from_der(&der)
    {
        let _ = attrs.wanted_key();
    }
    // The first line is the media type, the rest the body.
    let end = octets
        .iter()
        .position(|octet| *octet == b'\n')
        .unwrap_or(octets.len());
    let (line, body) = octets.split_at(end);
    let Ok(line) = std::str::from_utf8(line) else {
        return;
    };
    let _ = parse_generated_key(body, line);
    let _ = MediaType::parse(line);
    let _ = Trust::from_pem(line);
    if let Ok(url) = Url::parse(line) {
        assert_eq!(Url::parse(&url.to_string()).ok(), Some(url));
    }
}

/// Everything EST reads from the other side: bodies, paths, headers. Nothing may panic, and what
/// is understood must come back the same.
pub fn est_parse(octets: &[u8]) {
    use tenure_wire::est::{
        Credentials, CsrAttrs, EstPath, MediaType, PKCS10, Wrapping, encode_body, parse_enroll,
        parse_generated_key, parse_retry_after,
    };
    if let Ok(der) = parse_enroll(octets, Some(PKCS10)) {
        let sent = encode_body(&der, Wrapping::Lines);
        // Wrapping makes a body of the largest size a little larger than is read.
        if let Ok(again) = parse_enroll(sent.as_bytes(), Some(PKCS10)) {
            assert_eq!(again, der);
        }
    }
    if let Ok(attrs) = CsrAttrs::from_der(octets)
        && let Some(der) = attrs.to_der()
    {
        assert!(CsrAttrs::from_der(&der).is_ok());
    }
    let _ = parse_generated_key(octets, "multipart/mixed; boundary=a");
    let Ok(text) = std::str::from_utf8(octets) else {
        return;
    };
    if let Ok(path) = EstPath::parse(text) {
        assert_eq!(EstPath::parse(&path.to_string()), Ok(path));
    }
    if let Ok(credentials) = Credentials::parse(text) {
        assert_eq!(Credentials::parse(&credentials.header()), Ok(credentials));
    }
    let _ = MediaType::parse(text);
    let _ = parse_retry_after(text, 0);
}

/// A manifest that parses is written again octet for octet, and no item of it leads out of its
/// directory.
pub fn feed_manifest(octets: &[u8]) {
    use tenure_domain::feed::{Manifest, Rung};
    let Ok(text) = std::str::from_utf8(octets) else {
        return;
    };
    if let Ok(manifest) = Manifest::parse(text) {
        assert_eq!(manifest.text(), text);
        for item in &manifest.items {
            let path = item.path();
            let mut steps = path.split('/');
            assert!(steps.all(|step| !step.is_empty() && step.bytes().any(|b| b != b'.')));
        }
        let rung = manifest.ladder.rung(manifest.made, manifest.made);
        assert_eq!(rung, Rung::Fresh);
    }
}

/// A pack from anyone: what is split off is what was there, and no more.
pub fn feed_pack(octets: &[u8]) {
    use tenure_domain::feed::Manifest;
    use tenure_domain::feed::pack::Pack;
    let Ok(pack) = Pack::split(octets) else {
        return;
    };
    let note = String::from_utf8_lossy(pack.note());
    let text = note.split_inclusive('\n').next().unwrap_or_default();
    if let Ok(manifest) = Manifest::parse(text)
        && let Ok(items) = pack.items(&manifest)
    {
        let items = items.into_iter().map(<[u8]>::to_vec).collect::<Vec<_>>();
        if let Ok(note) = std::str::from_utf8(pack.note()) {
            assert_eq!(tenure_domain::feed::pack::write(note, &items), octets);
        }
    }
}

/// A site's pack from anyone: what is split off is what was there, and no more.
pub fn feed_site_pack(octets: &[u8]) {
    use tenure_domain::feed::Manifest;
    use tenure_domain::feed::site::{self, SitePack};
    let Ok(pack) = SitePack::split(octets) else {
        return;
    };
    assert!(SitePack::is_one(octets));
    let notes = pack.notes().iter().map(|note| std::str::from_utf8(note));
    let Ok(notes) = notes.collect::<Result<Vec<_>, _>>() else {
        return;
    };
    let text = |note: &&str| {
        note.split_inclusive('\n')
            .next()
            .unwrap_or_default()
            .to_owned()
    };
    let manifests = notes.iter().map(|note| Manifest::parse(&text(note)));
    let Ok(manifests) = manifests.collect::<Result<Vec<_>, _>>() else {
        return;
    };
    if let Ok(items) = pack.items(&manifests) {
        let items = site::items_of(&manifests)
            .into_iter()
            .map(|item| items[&item.sha256])
            .collect::<Vec<_>>();
        assert_eq!(site::write(&notes, &items), octets);
    }
}

/// A receipt from anyone: one that was sealed with another key is not ours.
pub fn feed_receipt(octets: &[u8]) {
    use tenure_domain::feed::receipt::Sealed;
    if let Ok(sealed) = Sealed::parse(octets) {
        assert!(!sealed.is_of(&[0x5a; 32]));
        assert!(Sealed::parse(sealed.receipt.seal(&[0x5a; 32]).as_bytes()).is_ok());
    }
}

/// No octets make the readers of filters and deltas panic, and whatever is read can be asked.
pub fn filter(octets: &[u8]) {
    use tenure_x509::filter::{Answer, Delta, Full};
    use tenure_x509::{Serial, Validity};
    let bytes = octets;
    let _ = Delta::from_der(bytes).map(|delta| (delta.len(), delta.base()));
    let Ok(full) = Full::from_der(bytes) else {
        return;
    };
    let coverage = full.body().coverage();
    let within = Validity {
        not_before: coverage.from,
        not_after: coverage.at,
    };
    let answer = full.body().answer(&Serial::from_der_value(bytes), within);
    assert!(answer != Answer::NotCovered || coverage.to < coverage.from);
}

/// Names from anyone: no octets may panic, and a name matches itself.
pub fn name(octets: &[u8]) {
    use tenure_x509::Name;
    if let Ok(name) = Name::from_der(octets) {
        assert_eq!(name.as_der(), octets);
        assert!(name.matches(&name.clone()));
        let _ = (name.to_string(), name.common_name(), name.serial_number());
    }
}

/// A note that parses is written again octet for octet.
pub fn note(octets: &[u8]) {
    use tenure_tlog::{Note, VerifierKey};
    let bytes = octets;
    if let Ok(note) = Note::parse(bytes) {
        assert_eq!(note.to_string().as_bytes(), bytes);
    }
    if let Ok(text) = str::from_utf8(bytes)
        && let Ok(key) = text.parse::<VerifierKey>()
    {
        assert_eq!(key.to_string(), text);
    }
}

/// No request and no path of a GET makes the parser panic; a nonce that is accepted has a length
/// that RFC 9654 allows.
pub fn ocsp_request(octets: &[u8]) {
    use tenure_x509::ocsp::{NONCE_OCTETS_MAX, OcspRequest, decode_get_path};
    let bytes = octets;
    let decoded = str::from_utf8(bytes)
        .ok()
        .and_then(|path| decode_get_path(path).ok());
    for der in [Some(bytes), decoded.as_deref()].into_iter().flatten() {
        let Ok(request) = OcspRequest::from_der(der) else {
            continue;
        };
        assert!(!request.asked().is_empty());
        assert!(
            request
                .nonce()
                .is_none_or(|n| (1..=NONCE_OCTETS_MAX).contains(&n.len()))
        );
        for id in request.asked() {
            let _ = (id.hash_kind(), id.serial());
        }
    }
}

/// No response makes the parser panic.
pub fn ocsp_response(octets: &[u8]) {
    use tenure_x509::ocsp::OcspResponse;
    let bytes = octets;
    if let Ok(OcspResponse::Basic(basic)) = OcspResponse::from_der(bytes) {
        let _ = (
            basic.responses().len(),
            basic.nonce(),
            basic.certificates().len(),
        );
    }
}

/// Paths of hostile certificates. The input is a list of certificates, each after its length in
/// two octets: the leaf, the anchor, and intermediates. Signatures rarely hold, so the leaf is
/// also tried as its own issuer, and lint is asked what it thinks.
pub fn path(octets: &[u8]) {
    use tenure_x509::lint::{LintProfile, check};
    use tenure_x509::path::{Purpose, validate};
    use tenure_x509::{Cert, Tbs};
    let mut certs = Vec::new();
    let mut rest = octets;
    while let [high, low, after @ ..] = rest {
        let len = usize::from(u16::from_be_bytes([*high, *low])).min(after.len());
        let (one, after) = after.split_at(len);
        if let Ok(cert) = Cert::from_der(one) {
            certs.push(cert);
        }
        rest = after;
    }
    let [leaf, anchor, intermediates @ ..] = certs.as_slice() else {
        return;
    };
    let at = leaf.validity().not_before;
    for purpose in [Purpose::ClientAuth, Purpose::Issuing, Purpose::Any] {
        let anchors = [anchor.clone(), leaf.clone()];
        if let Ok(chain) = validate(leaf, intermediates, &anchors, at, purpose) {
            assert_eq!(chain.leaf(), leaf);
            assert!(anchors.contains(chain.anchor()));
        }
    }
    if let Ok(tbs) = Tbs::from_der(leaf.tbs()) {
        let _ = check(tbs, LintProfile::LDevId, Some(anchor));
    }
}

/// A policy document as an operator may send it. Nothing may panic; what is understood runs its
/// own tests, and is understood the same the second time.
pub fn policy_document(octets: &[u8]) {
    use tenure_domain::policy::document::parse;
    let Ok(text) = std::str::from_utf8(octets) else {
        return;
    };
    match parse(text, 1) {
        Ok(policy) => {
            assert_eq!(policy.run_tests().len(), policy.tests.len());
            assert_eq!(
                parse(text, 1).as_ref().map(|again| again.hash),
                Ok(policy.hash)
            );
        }
        Err(error) => assert!(!error.to_string().is_empty()),
    }
}

/// A tile path that parses is written again octet for octet, and climbs out of no directory.
pub fn tile_path(octets: &[u8]) {
    use tenure_tlog::TilePath;
    let Ok(text) = std::str::from_utf8(octets) else {
        return;
    };
    if let Ok(path) = text.parse::<TilePath>() {
        assert_eq!(path.to_string(), text);
        assert!(!text.contains(".."));
        let _ = path.tree_size_min();
    }
}

/// A table of devices as an operator uploads it, as CSV and as JSON lines.
pub fn import_table(octets: &[u8]) {
    let Ok(text) = std::str::from_utf8(octets) else {
        return;
    };
    let _ = tenure_server::hostile::import_lines(text);
    let Some(devices) = tenure_server::hostile::import_table(text) else {
        return;
    };
    let lines: Vec<String> = devices
        .iter()
        .map(|device| serde_json::to_string(device).unwrap())
        .collect();
    let again = tenure_server::hostile::import_lines(&lines.join("\n"));
    assert_eq!(again, Some(devices));
}

/// The request in the path of an OCSP GET.
pub fn ocsp_path(octets: &[u8]) {
    let Ok(path) = std::str::from_utf8(octets) else {
        return;
    };
    if let Some(der) = tenure_server::hostile::ocsp_path(path) {
        ocsp_request(&der);
    }
}

/// Any path of the public listener: lists, CA certificates, the log. What is named lies below the
/// published files.
pub fn public_path(octets: &[u8]) {
    let Ok(path) = std::str::from_utf8(octets) else {
        return;
    };
    let here = std::path::Path::new("/d");
    if let Some(file) = tenure_server::hostile::public_path(here, path) {
        let published = ["/d/crl", "/d/filter", "/d/log"];
        assert!(
            published.iter().any(|place| file.starts_with(place)),
            "{file:?}"
        );
        let plain = |part| matches!(part, std::path::Component::Normal(_));
        assert!(file.components().skip(1).all(plain), "{file:?}");
    }
}

/// Certificates in PEM, as a manufacturer's roots are uploaded.
pub fn pem(octets: &[u8]) {
    let Ok(text) = std::str::from_utf8(octets) else {
        return;
    };
    if let Ok(certs) = tenure_x509::pem_certificates(text) {
        for cert in certs {
            let again = tenure_x509::pem_certificates(&cert.pem()).unwrap();
            assert_eq!(again, [cert]);
        }
    }
    if let Ok(key) = tenure_x509::PublicKey::from_pem(text) {
        let pem = tenure_x509::pem_encode("PUBLIC KEY", key.spki_der());
        let again = tenure_x509::PublicKey::from_pem(&pem);
        // A key of a certificate may be one that is not read by itself.
        assert!(again.is_err() || again.is_ok_and(|again| again == key));
    }
}

/// Serials, times, lengths of time and names, as they come in addresses and bodies.
pub fn text(octets: &[u8]) {
    use tenure_domain::{DeviceId, Slug, Title};
    use tenure_x509::{Reason, Serial, Time};
    let Ok(text) = std::str::from_utf8(octets) else {
        return;
    };
    if let Ok(serial) = Serial::parse_number(text) {
        assert_eq!(Serial::parse_number(&serial.to_string()), Ok(serial));
    }
    if let Ok(serial) = Serial::parse_hex(text) {
        assert_eq!(Serial::parse_hex(&serial.to_string()), Ok(serial));
    }
    if let Ok(time) = Time::parse_rfc3339(text) {
        assert_eq!(Time::parse_rfc3339(&time.to_string()), Ok(time));
    }
    let _ = tenure_domain::duration::parse(text);
    let _ = (
        text.parse::<DeviceId>(),
        text.parse::<Slug>(),
        text.parse::<Title>(),
    );
    let _ = text.parse::<Reason>();
}

/// What a relying party says to the prober: only an answer of the protocol has a status.
pub fn probe_answer(octets: &[u8]) {
    use tenure_field::probe::http_status;
    if let Some(status) = http_status(octets) {
        assert!((100..=599).contains(&status) && octets.starts_with(b"HTTP/1."));
    }
}

/// A stream of events from anyone: it reads the same in one piece and octet by octet, and what was
/// read is written and read again.
pub fn sse(octets: &[u8]) {
    use tenure_wire::sse::{Event, Parser};
    let Ok(events) = Parser::new().feed(octets) else {
        return;
    };
    let mut parser = Parser::new();
    let pieces = octets.iter().map(|octet| parser.feed(&[*octet]).unwrap());
    let piecewise: Vec<Event> = pieces.flatten().collect();
    assert_eq!(piecewise, events);
    let text: String = events.iter().map(Event::write).collect();
    assert_eq!(Parser::new().feed(text.as_bytes()), Ok(events));
}

/// Packets from a broker: what is read is written octet for octet, but for lengths that take more room
/// than they need and flags that say nothing.
pub fn mqtt(octets: &[u8]) {
    use tenure_wire::mqtt::Packet;
    if let Ok(Some((packet, taken))) = Packet::read(octets) {
        assert!(taken <= octets.len());
        let again = packet.write().unwrap();
        assert_eq!(Packet::read(&again), Ok(Some((packet, again.len()))));
    }
}

/// What anyone says about the trace of a request: what is taken of it stands in the log.
pub fn traceparent(octets: &[u8]) {
    let said = std::str::from_utf8(octets).ok();
    if let Some(trace) = said.and_then(tenure_server::hostile::traceparent) {
        assert_eq!(trace.len(), 32, "{trace:?}");
        assert!(trace.bytes().all(|c| c.is_ascii_hexdigit()), "{trace:?}");
    }
}
