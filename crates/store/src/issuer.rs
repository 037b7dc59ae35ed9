//! Issuers: certificates that sign others, and where their status is published.

use std::sync::Arc;

use tenure_domain::certificate::{CertificateRow, Status};
use tenure_domain::event::{Entry, Event};
use tenure_domain::issuer::{CrossCertificate, Issuer, IssuerKind, IssuerState};
use tenure_domain::text::hex;
use tenure_domain::{Actor, IssuerNo, Slug, TenantId};
use tenure_x509::{Cert, SignatureAlgorithm, Time, pem_certificates, sha256};

use crate::error::StoreError;
use crate::registry::slug;
use crate::tx::{ReadTx, Row, Tx};

/// An issuer to be added.
#[derive(Debug, Clone)]
pub struct NewIssuer {
    /// The row it shall have; see [`next_no`].
    pub no: IssuerNo,
    /// Its short name, for good.
    pub name: Slug,
    /// What it may sign.
    pub kind: IssuerKind,
    /// Whose work it is to take over: it is prepared then, and active otherwise.
    pub replaces: Option<IssuerNo>,
    /// Its own certificate.
    pub certificate: Cert,
    /// The certificates above it, nearest first; empty for a root.
    pub chain: Vec<Cert>,
    /// The name of its key in the key directory.
    pub key: String,
    /// The algorithm it signs with.
    pub algorithm: SignatureAlgorithm,
    /// How many shards its revocation list has.
    pub shards: u16,
    /// Where its status is published, without a trailing slash.
    pub base_url: String,
}

/// The profile of cross-certificates.
pub const CROSS_PROFILE: &str = "tenure-cross-ca";

/// The algorithms an issuer may sign with, by the word that is stored.
const ALGORITHMS: &[(&str, SignatureAlgorithm)] = &[
    ("ecdsa-sha256", SignatureAlgorithm::EcdsaSha256),
    ("ecdsa-sha384", SignatureAlgorithm::EcdsaSha384),
    ("ecdsa-sha512", SignatureAlgorithm::EcdsaSha512),
    ("ed25519", SignatureAlgorithm::Ed25519),
    ("rsa-sha256", SignatureAlgorithm::RsaSha256),
    ("rsa-sha384", SignatureAlgorithm::RsaSha384),
    ("rsa-sha512", SignatureAlgorithm::RsaSha512),
];

/// The number the next issuer will have.
pub fn next_no(tx: &ReadTx<'_>) -> Result<IssuerNo, StoreError> {
    Ok(IssuerNo(tx.number("SELECT max(no) FROM issuer", &[])? + 1))
}

/// Adds an issuer to the default tenant, with an empty revocation set for each shard.
///
/// Errors: [`StoreError::Taken`] if the name or the row is.
pub fn add(
    tx: &mut Tx<'_>,
    new: &NewIssuer,
    actor: &Actor,
    now: Time,
) -> Result<IssuerNo, StoreError> {
    let (word, _) = ALGORITHMS
        .iter()
        .find(|(_, algorithm)| *algorithm == new.algorithm)
        .ok_or(StoreError::Unreadable {
            what: "the issuer's algorithm",
        })?;
    let chain: String = new.chain.iter().map(Cert::pem).collect();
    let no = new.no.0;
    let state = match new.replaces {
        Some(_) => IssuerState::Prepared,
        None => IssuerState::Active,
    };
    tx.run(
        "INSERT INTO issuer(no, tenant, name, kind, certificate, chain, key, algorithm, shards,
           created, state, since, replaces)
         VALUES($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $10, $12)",
        &[
            &no,
            &TenantId::DEFAULT.0,
            &new.name.as_str(),
            &new.kind.code(),
            &new.certificate.der(),
            &chain,
            &new.key,
            word,
            &new.shards,
            &now.unix(),
            &state.code(),
            &new.replaces.map_or(0, |no| no.0),
        ],
    )?;
    tx.run(
        "INSERT INTO issuer_url(issuer, position, url) VALUES($1, 1, $2)",
        &[&no, &new.base_url],
    )?;
    for shard in 0..new.shards.max(1) {
        tx.run(
            "INSERT INTO shard(issuer, shard, epoch, published, published_at)
             VALUES($1, $2, $3, 0, 0)",
            &[&no, &shard, &now.unix()],
        )?;
    }
    changed(tx)?;
    let event = Event::IssuerCreated {
        algorithm: (*word).to_owned(),
        certificate_hash: hex(&sha256(new.certificate.der())),
        issuer: new.name.to_string(),
        shards: new.shards,
    };
    tx.log(&Entry::new(actor.clone(), now, event))?;
    if let Some(replaced) = new.replaces {
        let event = Event::RolloverBegun {
            issuer: new.name.to_string(),
            replaces: name_of(tx, TenantId::DEFAULT, replaced)?.to_string(),
        };
        tx.log(&Entry::new(actor.clone(), now, event))?;
    }
    Ok(new.no)
}

/// Keeps that a certificate which was just released certifies the key of a root, in the name of another.
pub fn add_cross(
    tx: &mut Tx<'_>,
    subject: &Issuer,
    certificate: &CertificateRow,
    actor: &Actor,
    now: Time,
) -> Result<(), StoreError> {
    tx.run(
        "INSERT INTO cross_certificate(cert, subject, signer) VALUES($1, $2, $3)",
        &[&certificate.no.0, &subject.no.0, &certificate.issuer.0],
    )?;
    changed(tx)?;
    let event = Event::RootCrossCertified {
        by: certificate.issuer_name.to_string(),
        issuer: subject.name.to_string(),
        serial: certificate.serial.clone(),
    };
    tx.log(&Entry::new(actor.clone(), now, event))?;
    Ok(())
}

/// The cross-certificates of a root that were not withdrawn, oldest first.
fn cross(tx: &ReadTx<'_>, root: IssuerNo) -> Result<Vec<CrossCertificate>, StoreError> {
    let what = "cross_certificate.cert";
    let [issued, replaced] = [Status::Issued, Status::Replaced].map(Status::code);
    tx.all(
        "SELECT cross_certificate.signer, cert_der.der FROM cross_certificate
           JOIN cert ON cert.no = cross_certificate.cert
           JOIN cert_der ON cert_der.no = cert.no
         WHERE cross_certificate.subject = $1 AND cert.status IN ($2, $3)
         ORDER BY cross_certificate.cert",
        &[&root.0, &issued, &replaced],
        |row| {
            Ok(CrossCertificate {
                by: IssuerNo(row.get(0)?),
                certificate: Cert::from_der(row.blob(1)?)
                    .map_err(|_| StoreError::Unreadable { what })?,
            })
        },
    )
}

pub(crate) fn changed(tx: &Tx<'_>) -> Result<(), StoreError> {
    tx.run("UPDATE version SET n = n + 1 WHERE name = 'issuer'", &[])?;
    Ok(())
}

/// Changes where new certificates say that status is published. Those already issued name the old
/// place, which stays listed in every shard.
pub fn set_base_url(
    tx: &mut Tx<'_>,
    issuer: &Issuer,
    base_url: &str,
    actor: &Actor,
    now: Time,
) -> Result<(), StoreError> {
    if issuer.base_url == base_url {
        tx.excuse("the issuer already has that base URL");
        return Ok(());
    }
    // An old URL taken up again moves to the end, where the current one stands.
    tx.run(
        "DELETE FROM issuer_url WHERE issuer = $1 AND url = $2",
        &[&issuer.no.0, &base_url],
    )?;
    tx.run(
        "INSERT INTO issuer_url(issuer, position, url)
         SELECT $1, 1 + max(position), $2 FROM issuer_url WHERE issuer = $1",
        &[&issuer.no.0, &base_url],
    )?;
    changed(tx)?;
    let event = Event::IssuerChanged {
        base_url: base_url.to_owned(),
        issuer: issuer.name.to_string(),
    };
    tx.log(&Entry::new(actor.clone(), now, event))?;
    Ok(())
}

fn read(row: &Row<'_>) -> Result<Issuer, StoreError> {
    let unreadable = |what| StoreError::Unreadable { what };
    let word = row.text(6)?;
    let (_, algorithm) = ALGORITHMS
        .iter()
        .find(|(known, _)| *known == word)
        .ok_or(unreadable("issuer.algorithm"))?;
    Ok(Issuer {
        no: IssuerNo(row.get(0)?),
        tenant: TenantId::DEFAULT,
        name: slug(row, 1)?,
        kind: IssuerKind::from_code(row.get(2)?).ok_or(unreadable("issuer.kind"))?,
        state: IssuerState::from_code(row.get(8)?).ok_or(unreadable("issuer.state"))?,
        since: row.time(9)?,
        replaces: Some(IssuerNo(row.get(10)?)).filter(|no| no.0 > 0),
        certificate: Cert::from_der(row.blob(3)?).map_err(|_| unreadable("issuer.certificate"))?,
        chain: match row.text(4)? {
            // A root has nothing above it.
            "" => Vec::new(),
            chain => pem_certificates(chain).map_err(|_| unreadable("issuer.chain"))?,
        },
        cross: Vec::new(),
        key: row.get(5)?,
        algorithm: *algorithm,
        shards: row.get(7)?,
        base_url: String::new(),
        base_urls: Vec::new(),
    })
}

/// Every issuer of a tenant, oldest first.
pub fn all(tx: &ReadTx<'_>, tenant: TenantId) -> Result<Vec<Issuer>, StoreError> {
    let mut issuers = tx.all(
        "SELECT no, name, kind, certificate, chain, key, algorithm, shards, state, since,
           replaces FROM issuer WHERE tenant = $1 ORDER BY no",
        &[&tenant.0],
        read,
    )?;
    for issuer in &mut issuers {
        issuer.tenant = tenant;
        issuer.base_urls = tx.all(
            "SELECT url FROM issuer_url WHERE issuer = $1 ORDER BY position",
            &[&issuer.no.0],
            |row| row.get(0),
        )?;
        issuer.base_url = issuer.base_urls.last().cloned().unwrap_or_default();
        if issuer.kind == IssuerKind::Root {
            issuer.cross = cross(tx, issuer.no)?;
        }
    }
    Ok(issuers)
}

/// The same, kept in memory while no issuer changes.
pub fn kept(tx: &ReadTx<'_>, tenant: TenantId) -> Result<Arc<Vec<Arc<Issuer>>>, StoreError> {
    let version = tx.number("SELECT n FROM version WHERE name = 'issuer'", &[])?;
    if let Some((at, issuers)) = tx.cache().state().issuers.get(&tenant)
        && *at == version
    {
        return Ok(Arc::clone(issuers));
    }
    let issuers: Arc<Vec<_>> = Arc::new(all(tx, tenant)?.into_iter().map(Arc::new).collect());
    if tx.may_remember() {
        tx.cache()
            .state()
            .issuers
            .insert(tenant, (version, Arc::clone(&issuers)));
    }
    Ok(issuers)
}

/// One issuer, by its short name.
pub fn by_name(
    tx: &ReadTx<'_>,
    tenant: TenantId,
    name: &str,
) -> Result<Option<Arc<Issuer>>, StoreError> {
    Ok(kept(tx, tenant)?
        .iter()
        .find(|issuer| issuer.name.as_str() == name)
        .cloned())
}

/// Where an issuer is now.
pub(crate) fn state(tx: &ReadTx<'_>, no: IssuerNo) -> Result<IssuerState, StoreError> {
    // Never part of a group's deferred writes, so nothing has to reach the database first.
    let found = tx.number_once("SELECT state FROM issuer WHERE no = $1", no.0)?;
    let what = "issuer.state";
    found
        .and_then(IssuerState::from_code)
        .ok_or(StoreError::Unreadable { what })
}

/// The short name of an issuer's row.
pub(crate) fn name_of(tx: &ReadTx<'_>, tenant: TenantId, no: IssuerNo) -> Result<Slug, StoreError> {
    if let Some((_, issuers)) = tx.cache().state().issuers.get(&tenant)
        && let Some(issuer) = issuers.iter().find(|issuer| issuer.no == no)
    {
        return Ok(issuer.name.clone());
    }
    tx.first("SELECT name FROM issuer WHERE no = $1", &[&no.0], |row| {
        slug(row, 0)
    })?
    .ok_or(StoreError::Unreadable {
        what: "cert.issuer",
    })
}
