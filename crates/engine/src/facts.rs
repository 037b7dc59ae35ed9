//! Facts: what we know when an ask arrives, and what of that which was presented proves anything.

use std::sync::Arc;

use tenure_domain::ask::{Ask, Operation, PresentedSecret};
use tenure_domain::device::Device;
use tenure_domain::evidence::{CurrentProof, Evidence, ManufacturerProof, Unproved};
use tenure_domain::facts::{Earlier, Facts, ReplayKey, Subject};
use tenure_domain::ids::DeviceId;
use tenure_domain::issuer::Issuer;
use tenure_domain::profile::{Profile, ProfileKind};
use tenure_domain::registry::ChainTime;
use tenure_store::{ReadTx, StoreError, certificate, device, identity, pending, registry, secret};
use tenure_x509::path::{self, PathError, PathFault, Purpose};
use tenure_x509::{Cert, Time};

use crate::snapshot::{Maker, Snapshot};

/// Reads everything a decision about `ask` may look at, in one snapshot of the store.
///
/// What was presented is judged here: system evidence, then the client certificate, then the
/// one-time secret. The first that proves something decides who is asking.
pub fn about(
    tx: &ReadTx<'_>,
    ask: &Ask,
    snapshot: &Snapshot,
    now: Time,
) -> Result<Facts, StoreError> {
    let mut facts = Facts {
        issuers: Arc::clone(&snapshot.issuers),
        ..Facts::default()
    };
    let device = match prove(tx, ask, snapshot, now, &mut facts)? {
        Some(device) => device,
        None => {
            if let Some(identity) = ask.stranger() {
                facts.ruling = pending::ruling(tx, ReplayKey::of(ask, &identity))?;
            }
            return Ok(facts);
        }
    };
    // A class that an import has just made is not in the snapshot yet.
    let class = match snapshot.classes.get(&device.class) {
        Some(class) => Some(Arc::clone(class)),
        None => registry::class::by_name(tx, ask.tenant, device.class.as_str())?.map(Arc::new),
    };
    let key = ask.csr.public_key().hash();
    let replay = ReplayKey::of(ask, device.id.as_str());
    facts.key_use = certificate::key_use(tx, key, device.no)?;
    facts.ruling = pending::ruling(tx, replay)?;
    let head = certificate::head(tx, device.no)?;
    facts.earlier = head
        .as_ref()
        .filter(|head| head.replay == replay)
        .map(|head| Earlier {
            certificate: head.row.no,
            row: head.row.clone(),
        });
    let name = ask
        .via
        .label
        .as_ref()
        .or(class.as_ref().map(|class| &class.profile));
    if let Some(profile) = name.and_then(|name| snapshot.policy.profile(name)) {
        if profile.kind == ProfileKind::IDevId {
            facts.identity = identity::of(tx, &device)?;
        }
        facts.namesake = namesake(tx, &device, profile, ask.operation)?;
    }
    if let Some(class) = class {
        let (head, forgiven) = head.map_or((None, 0), |head| (Some(head.row), head.forgiven));
        let around = match snapshot.policy.speaks_of_sites() {
            true => registry::site::around(tx, ask.tenant, &device.site)?,
            false => Vec::new(),
        };
        facts.subject = Some(Subject {
            class,
            around,
            device,
            head,
            forgiven,
        });
    }
    Ok(facts)
}

/// Another device that would bear the same name. Asked only where the profile could bring it about, and
/// not of whoever renews, who bears its name already.
pub fn namesake(
    tx: &ReadTx<'_>,
    device: &Device,
    profile: &Profile,
    operation: Operation,
) -> Result<Option<DeviceId>, StoreError> {
    if operation == Operation::Renew {
        return Ok(None);
    }
    let folded = match profile.folds_ids() {
        true => device::same_but_for_case(tx, device)?,
        false => None,
    };
    match folded {
        None if profile.names_by_serial() => device::same_serial(tx, device),
        found => Ok(found),
    }
}

fn prove(
    tx: &ReadTx<'_>,
    ask: &Ask,
    snapshot: &Snapshot,
    now: Time,
    facts: &mut Facts,
) -> Result<Option<Device>, StoreError> {
    if let Some(ceremony) = &ask.presented.system {
        let found = device::by_id(tx, ask.tenant, ceremony.device())?;
        facts.evidence.push(Evidence::System(ceremony.clone()));
        return Ok(found);
    }
    if let Some(leaf) = ask.presented.chain.first() {
        let proved = match snapshot.issuer_named(leaf.issuer()) {
            Some(issuer) => ours(tx, leaf, issuer)?,
            None => makers(tx, ask, leaf, snapshot, now)?,
        };
        match proved {
            Ok((evidence, device)) => {
                facts.evidence.push(evidence);
                return Ok(Some(device));
            }
            Err(unproved) => facts.unproved.push(unproved),
        }
    }
    if let Some(presented) = &ask.presented.secret {
        match by_secret(tx, ask, presented, now)? {
            Ok((evidence, device)) => {
                facts.evidence.push(evidence);
                return Ok(Some(device));
            }
            // A wrong secret must be counted even if an unknown certificate came with it.
            Err(unproved) => facts.unproved.insert(0, unproved),
        }
    }
    Ok(None)
}

type Proved = Result<(Evidence, Device), Unproved>;

/// A certificate in the name of one of our issuers: ours only if it is byte for byte what we issued.
fn ours(tx: &ReadTx<'_>, leaf: &Cert, issuer: &Issuer) -> Result<Proved, StoreError> {
    let not_ours = || Unproved::NotOurs {
        serial: leaf.serial().to_string(),
    };
    let Some(row) = certificate::by_serial(tx, issuer.no, leaf.serial())? else {
        return Ok(Err(not_ours()));
    };
    let (Some(issued), Some(device)) = (
        certificate::der(tx, row.no)?,
        device::by_no(tx, row.device)?,
    ) else {
        return Ok(Err(not_ours()));
    };
    Ok(CurrentProof::new(leaf, row, &issued)
        .map(|proof| (Evidence::Current(proof), device))
        .ok_or_else(not_ours))
}

/// A foreign certificate: an IDevID if it chains to a registered manufacturer.
fn makers(
    tx: &ReadTx<'_>,
    ask: &Ask,
    leaf: &Cert,
    snapshot: &Snapshot,
    now: Time,
) -> Result<Proved, StoreError> {
    let mut bad: Option<Unproved> = None;
    for maker in &snapshot.makers {
        match chain_of(maker, &ask.presented.chain, now) {
            Ok(chain) => {
                let Some(proof) = ManufacturerProof::new(maker.name.clone(), chain) else {
                    return Ok(Err(Unproved::NoSerialNumber {
                        manufacturer: maker.name.clone(),
                    }));
                };
                let found = device::by_maker(tx, ask.tenant, maker.name.as_str(), proof.serial())?;
                return Ok(found
                    .ok_or_else(|| Unproved::UnregisteredDevice {
                        manufacturer: maker.name.clone(),
                        serial: proof.serial().to_owned(),
                    })
                    .map(|device| (Evidence::Manufacturer(proof), device)));
            }
            Err(error) if error.fault == PathFault::UnknownIssuer => {}
            Err(error) => {
                bad = Some(Unproved::BadChain {
                    manufacturer: maker.name.clone(),
                    why: error.to_string(),
                });
            }
        }
    }
    let unknown = || Unproved::UnknownManufacturer {
        subject: leaf.subject().to_string(),
    };
    Ok(Err(bad.unwrap_or_else(unknown)))
}

fn chain_of(
    maker: &Maker,
    chain: &[Cert],
    now: Time,
) -> Result<tenure_x509::VerifiedChain, PathError> {
    let (leaf, rest) = chain.split_first().ok_or(PathError {
        depth: 0,
        fault: PathFault::UnknownIssuer,
    })?;
    let at = match maker.chain_time {
        ChainTime::Now => now,
        ChainTime::AtNotBefore => leaf.validity().not_before,
    };
    path::validate(leaf, rest, &maker.roots, at, Purpose::ClientAuth)
}

fn by_secret(
    tx: &ReadTx<'_>,
    ask: &Ask,
    presented: &PresentedSecret,
    now: Time,
) -> Result<Proved, StoreError> {
    let Some(device) = device::by_id(tx, ask.tenant, &presented.device)? else {
        return Ok(Err(Unproved::NoSecret));
    };
    let Some(row) = secret::of_device(tx, device.no)? else {
        return Ok(Err(Unproved::NoSecret));
    };
    let digest = secret_digest(&row.salt, &presented.secret);
    let judged = row.judge(&digest, ask.asker(), now);
    Ok(match judged {
        Ok(proof) => Ok((Evidence::Secret(proof), device)),
        Err(why) => Err(Unproved::Secret {
            device: device.id,
            why,
        }),
    })
}

/// SHA-256 of salt and secret: what the store keeps of a one-time secret.
pub fn secret_digest(salt: &[u8; 16], secret: &str) -> [u8; 32] {
    let mut salted = Vec::with_capacity(16 + secret.len());
    salted.extend_from_slice(salt);
    salted.extend_from_slice(secret.as_bytes());
    tenure_x509::sha256(&salted)
}
