//! `/certificates`: credentials we issued.

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use axum::extract::State;
use serde::{Deserialize, Serialize};
use tenure_domain::attention::{Attention, Care};
use tenure_domain::certificate::{CertificateRow, StatusChange};
use tenure_domain::operator::Permission::{ReadFleet, Withdraw};
use tenure_domain::{Device, DeviceNo, Status};
use tenure_engine::store::{self, ReadTx, StoreError, certificate, sighting, view};
use tenure_engine::{RevokeAsk, Snapshot, Target};
use tenure_x509::{Reason, Serial, Time};
use utoipa::{IntoParams, ToSchema};

use super::body::{Json, Path, Query, some_word, time};
use super::page::{Page, Paging};
use super::{Caller, Desk, Route, device};
use crate::problem::Problem;

/// Most certificates and devices named in a preview; the counts are whole.
const NAMED_MAX: usize = 100;

/// Most certificates of one device looked at.
const PER_DEVICE_MAX: usize = 10_000;

pub(super) fn routes() -> Vec<Route> {
    let mut routes = vec![
        Route::get("/certificates", ReadFleet, "List certificates", list)
            .asks::<Filter>()
            .asks::<Paging>()
            .lists::<CertificateItem>(),
        Route::get(
            "/devices/{id}/blast-radius",
            ReadFleet,
            "What revoking all of a device's certificates would touch",
            device_radius,
        )
        .answers::<Radius>(),
        Route::post(
            "/devices/{id}/revoke",
            Withdraw,
            "Revoke all of a device's certificates",
            revoke_device,
        )
        .takes::<Revoke>()
        .answers::<Withdrawn>(),
    ];
    // The second form says whose serial is meant, where two issuers used the same.
    routes.extend([
        Route::get(
            "/certificates/{serial}",
            ReadFleet,
            "Show a certificate",
            show,
        )
        .answers::<CertificateDetail>(),
        Route::get(
            "/certificates/{serial}/blast-radius",
            ReadFleet,
            "What revoking a certificate would touch",
            radius,
        )
        .answers::<Radius>(),
        Route::post(
            "/certificates/{serial}/revoke",
            Withdraw,
            "Revoke a certificate for good",
            revoke,
        )
        .takes::<Revoke>()
        .answers::<CertificateItem>(),
        Route::post(
            "/certificates/{serial}/hold",
            Withdraw,
            "Suspend a certificate",
            hold,
        )
        .answers::<CertificateItem>(),
        Route::post(
            "/certificates/{serial}/release",
            Withdraw,
            "End a suspension",
            release,
        )
        .answers::<CertificateItem>(),
        Route::get(
            "/issuers/{issuer}/certificates/{serial}",
            ReadFleet,
            "Show an issuer's certificate",
            show,
        )
        .answers::<CertificateDetail>(),
        Route::get(
            "/issuers/{issuer}/certificates/{serial}/blast-radius",
            ReadFleet,
            "What revoking an issuer's certificate would touch",
            radius,
        )
        .answers::<Radius>(),
        Route::post(
            "/issuers/{issuer}/certificates/{serial}/revoke",
            Withdraw,
            "Revoke an issuer's certificate for good",
            revoke,
        )
        .takes::<Revoke>()
        .answers::<CertificateItem>(),
        Route::post(
            "/issuers/{issuer}/certificates/{serial}/hold",
            Withdraw,
            "Suspend an issuer's certificate",
            hold,
        )
        .answers::<CertificateItem>(),
        Route::post(
            "/issuers/{issuer}/certificates/{serial}/release",
            Withdraw,
            "End a suspension of an issuer's certificate",
            release,
        )
        .answers::<CertificateItem>(),
    ]);
    routes
}

/// A certificate as lists show it.
#[derive(Serialize, ToSchema)]
pub(super) struct CertificateItem {
    /// The serial in lower-case hex, as it stands in the DER.
    serial: String,
    /// issued, replaced, held, revoked (or, before its release, reserved and voided).
    status: String,
    /// Whether its time is over.
    expired: bool,
    /// The device that holds it.
    device: String,
    /// Its issuer's short name.
    issuer: String,
    /// The profile it was made by.
    profile: String,
    /// From when it may be used (RFC 3339).
    not_before: String,
    /// Until when it may be used (RFC 3339).
    not_after: String,
    /// The serial of the certificate it replaced.
    predecessor: Option<String>,
    /// The RFC 5280 reason, if it is revoked or held.
    reason: Option<String>,
    /// When it was revoked or held (RFC 3339).
    revoked: Option<String>,
    /// Since when its key must be thought bad, if that is earlier (RFC 3339).
    invalid_since: Option<String>,
    /// When it was released (RFC 3339).
    issued: String,
    /// When it was first seen in use (RFC 3339).
    first_used: Option<String>,
    /// Who answers for its device.
    owner: String,
    /// durable (people watch over it) or ephemeral (it lives at most 7 days and renews alone).
    durability: String,
    /// When its renewal should begin (RFC 3339); the year 9999 for one that never ends.
    renew_from: String,
    /// What is next: renew, review, enroll, decide, end or unlist.
    next_action: String,
    /// When that is due (RFC 3339).
    next_action_at: String,
}

impl CertificateItem {
    fn of(row: CertificateRow, owner: String, attention: &Attention, now: Time) -> CertificateItem {
        let withdrawn = row.revocation.as_ref();
        CertificateItem {
            serial: row.serial.to_string(),
            status: row.status.to_string(),
            expired: row.validity.not_after < now,
            device: row.device_id.to_string(),
            issuer: row.issuer_name.to_string(),
            profile: row.profile.to_string(),
            not_before: row.validity.not_before.to_string(),
            not_after: row.validity.not_after.to_string(),
            predecessor: row.predecessor_serial.as_ref().map(ToString::to_string),
            reason: withdrawn.map(|how| how.reason.to_string()),
            revoked: withdrawn.map(|how| how.at.to_string()),
            invalid_since: withdrawn
                .and_then(|how| how.invalidity)
                .map(|at| at.to_string()),
            issued: row.issued.to_string(),
            first_used: row.first_used.map(|at| at.to_string()),
            owner,
            durability: attention.durability.to_string(),
            renew_from: attention.renew_from.to_string(),
            next_action: attention.next.to_string(),
            next_action_at: attention.next_at.to_string(),
        }
    }
}

/// Certificates with their devices' owners and what is to be done about them, in the same order.
pub(super) async fn items(
    desk: &Desk,
    rows: Vec<CertificateRow>,
) -> Result<Vec<CertificateItem>, Problem> {
    desk.read(described(desk, rows)).await
}

/// How they are read.
fn described(
    desk: &Desk,
    rows: Vec<CertificateRow>,
) -> impl FnOnce(&ReadTx<'_>) -> Result<Vec<CertificateItem>, StoreError> + Send + use<> {
    let (snapshot, now) = (desk.engine().snapshot(), desk.now());
    move |tx| {
        let mut devices: HashMap<DeviceNo, Device> = HashMap::new();
        rows.into_iter()
            .map(|row| {
                let device = match devices.entry(row.device) {
                    Entry::Occupied(known) => known.into_mut(),
                    Entry::Vacant(unknown) => {
                        let found = store::device::by_no(tx, row.device)?;
                        unknown.insert(found.ok_or(StoreError::Unreadable {
                            what: "cert.device",
                        })?)
                    }
                };
                let attention = attention(&snapshot, &row, device, now);
                let owner = device.owner.to_string();
                Ok(CertificateItem::of(row, owner, &attention, now))
            })
            .collect()
    }
}

/// When a certificate wants attention.
fn attention(snapshot: &Snapshot, row: &CertificateRow, device: &Device, now: Time) -> Attention {
    let class = snapshot.classes.get(&device.class);
    let renewability = class.map_or_else(Default::default, |class| class.renewability);
    let profile = snapshot.policy.profile(&row.profile);
    Attention::of(row, Care::of(profile.map(AsRef::as_ref), renewability), now)
}

/// A certificate with everything known of it.
#[derive(Serialize, ToSchema)]
struct CertificateDetail {
    #[serde(flatten)]
    certificate: CertificateItem,
    /// Whom it names (RFC 4514).
    subject: String,
    /// Its other names.
    names: Vec<String>,
    /// Its key's algorithm.
    key_algorithm: String,
    /// SHA-256 of its key (SubjectPublicKeyInfo), in hex.
    key: String,
    /// SHA-256 of the certificate, in hex.
    fingerprint: String,
    /// Where its revocation list is.
    crl_urls: Vec<String>,
    /// Where its status can be asked for.
    ocsp_urls: Vec<String>,
    /// Which services have seen it in use.
    seen_by: Vec<String>,
    /// The services that its device talks to.
    services: Vec<String>,
    /// When someone is told that its renewal is overdue (RFC 3339), from early to late.
    alerts: Vec<String>,
    /// When a person looks at it again (RFC 3339); null if only its profile is looked at.
    review_at: Option<String>,
    /// The certificate, PEM.
    pem: String,
}

/// Which certificates.
#[derive(Default, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub(crate) struct Filter {
    /// Only those of this device.
    pub(crate) device: Option<String>,
    /// issued, replaced, held or revoked.
    pub(crate) status: Option<String>,
    /// Only those of this issuer.
    pub(crate) issuer: Option<String>,
    /// Only those of devices that talk to this service.
    pub(crate) service: Option<String>,
    /// Only those that end within so many days from now.
    pub(crate) expires_within_days: Option<u32>,
    /// Only those that end at or after this time (RFC 3339).
    pub(crate) expires_after: Option<String>,
    /// Only those that end before this time (RFC 3339).
    pub(crate) expires_before: Option<String>,
}

impl Filter {
    /// The span in which they end, if one is asked for.
    fn ends(&self, now: Time) -> Result<Option<(Time, Time)>, Problem> {
        match (
            self.expires_within_days,
            &self.expires_after,
            &self.expires_before,
        ) {
            (None, None, None) => Ok(None),
            (Some(days), None, None) => Ok(Some((now, now.plus(i64::from(days) * 86_400)))),
            (None, after, before) => {
                let read = |field, text: &Option<String>, otherwise| match text {
                    Some(text) => time(field, text),
                    None => Ok(otherwise),
                };
                let from = read("expires_after", after, Time::from_unix(0))?;
                // The span includes its end; a certificate that ends at `before` is not wanted.
                let until = read("expires_before", before, Time::NEVER)?;
                Ok(Some((
                    from,
                    if before.is_some() {
                        until.plus(-1)
                    } else {
                        until
                    },
                )))
            }
            (Some(_), _, _) => Err(Problem::bad_request(
                "expires_within_days: give either this or expires_after and expires_before",
            )),
        }
    }
}

async fn list(
    State(desk): State<Desk>,
    Query(filter): Query<Filter>,
    Query(paging): Query<Paging>,
) -> Result<Json<Page<CertificateItem>>, Problem> {
    let now = desk.now();
    let page = rows(&desk, &filter, paging, now).await?;
    Ok(Json(Page {
        items: items(&desk, page.items).await?,
        next: page.next,
    }))
}

/// One page of certificates.
pub(crate) async fn rows(
    desk: &Desk,
    filter: &Filter,
    paging: Paging,
    now: Time,
) -> Result<Page<CertificateRow>, Problem> {
    let tenant = desk.engine().tenant();
    let status: Option<Status> = some_word("status", filter.status.as_deref())?;
    let issuer = filter.issuer.clone().filter(|name| !name.is_empty());
    if let Some(name) = &issuer {
        super::issuer::known(desk, name)?;
    }
    let ends = filter.ends(now)?;
    if let Some(id) = filter.device.as_deref().filter(|id| !id.is_empty()) {
        let device = device::known(desk, id)?.no;
        let before = paging.number()?.unwrap_or(i64::MAX);
        let mut items = desk
            .read(move |tx| certificate::of_device(tx, device, PER_DEVICE_MAX))
            .await?;
        items.retain(|row| {
            row.no.0 < before
                && status.is_none_or(|status| status == row.status)
                && issuer
                    .as_deref()
                    .is_none_or(|issuer| issuer == row.issuer_name.as_str())
                && ends.is_none_or(|(from, until)| (from..=until).contains(&row.validity.not_after))
        });
        let more = items.len() > paging.items();
        items.truncate(paging.items());
        let next = items.last().filter(|_| more).map(|row| row.no.to_string());
        return Ok(Page { items, next });
    }
    let cursor = paging.cursor.clone();
    if let Some(service) = filter.service.clone().filter(|name| !name.is_empty()) {
        if ends.is_some() {
            return Err(Problem::bad_request(
                "service: the list of what ends is of the whole fleet; leave one of them out",
            ));
        }
        let wanted = view::CertificateFilter {
            status,
            issuer,
            ended: None,
        };
        let limit = paging.items();
        let found = desk
            .read(move |tx| {
                view::of_service(tx, tenant, &service, &wanted, cursor.as_deref(), limit)
            })
            .await?;
        return Ok(Page {
            items: found.items,
            next: found.next,
        });
    }
    if let Some((from, until)) = ends {
        if status.is_some_and(|status| status != Status::Issued) {
            return Err(Problem::bad_request(
                "status: the list of what ends holds only certificates in force; leave this out",
            ));
        }
        let limit = paging.items();
        let mut found = desk
            .read(move |tx| view::ending(tx, tenant, from, until, cursor.as_deref(), limit))
            .await?;
        found.items.retain(|row| {
            issuer
                .as_deref()
                .is_none_or(|i| i == row.issuer_name.as_str())
        });
        return Ok(Page {
            items: found.items,
            next: found.next,
        });
    }
    let wanted = view::CertificateFilter {
        status,
        issuer,
        ended: None,
    };
    let limit = paging.items();
    let found = desk
        .read(move |tx| view::certificates(tx, tenant, &wanted, cursor.as_deref(), limit))
        .await?;
    Ok(Page {
        items: found.items,
        next: found.next,
    })
}

/// Which certificate a path means.
#[derive(Deserialize)]
pub(crate) struct Named {
    #[serde(default)]
    issuer: Option<String>,
    serial: String,
}

impl Named {
    /// A serial as text, perhaps of one issuer's.
    pub(crate) fn new(issuer: Option<String>, serial: String) -> Named {
        Named { issuer, serial }
    }

    /// What is to be revoked, held or released.
    ///
    /// # Errors
    /// 400 if it is no serial.
    pub(crate) fn target(&self) -> Result<Target, Problem> {
        let serial = Serial::parse_number(&self.serial)
            .map_err(|_| Problem::bad_request(format!("serial: {:?} is not hex", self.serial)))?;
        let issuer = some_word("issuer", self.issuer.as_deref())?;
        Ok(Target::Certificate { issuer, serial })
    }

    /// The certificate that is meant.
    pub(crate) fn row(&self, desk: &Desk) -> Result<CertificateRow, Problem> {
        let mut found = desk.engine().blast_radius(&self.target()?)?;
        found.certificates.pop().ok_or_else(Problem::internal)
    }
}

async fn show(
    State(desk): State<Desk>,
    Path(named): Path<Named>,
) -> Result<Json<CertificateDetail>, Problem> {
    let no = named.row(&desk)?.no;
    let (found, seen) = desk
        .read(move |tx| {
            Ok::<_, StoreError>((
                certificate::by_no(tx, no)?,
                sighting::of_certificate(tx, no)?,
            ))
        })
        .await?;
    let found = found.ok_or_else(|| {
        Problem::not_found(format!(
            "Certificate {} was never released; it",
            named.serial
        ))
    })?;
    let (cert, row, now) = (found.cert, found.row, desk.now());
    let device = desk.glance(|tx| store::device::by_no(tx, row.device))?;
    let device = device.ok_or_else(Problem::internal)?;
    let attention = attention(&desk.engine().snapshot(), &row, &device, now);
    Ok(Json(CertificateDetail {
        subject: cert.subject().to_string(),
        names: cert.san().iter().map(ToString::to_string).collect(),
        key_algorithm: cert.public_key().algorithm().name().to_string(),
        key: row.key.to_string(),
        fingerprint: tenure_domain::text::hex(&cert.fingerprint()),
        crl_urls: cert.crl_urls().to_vec(),
        ocsp_urls: cert.ocsp_urls().to_vec(),
        seen_by: seen.into_iter().map(|(service, _)| service).collect(),
        services: device.services.iter().map(ToString::to_string).collect(),
        alerts: attention.alerts.iter().map(ToString::to_string).collect(),
        review_at: attention.review_at.map(|at| at.to_string()),
        pem: cert.pem(),
        certificate: CertificateItem::of(row, device.owner.to_string(), &attention, now),
    }))
}

/// What a withdrawal would touch.
#[derive(Serialize, ToSchema)]
pub(super) struct Radius {
    /// How many certificates would change.
    certificate_count: usize,
    /// The first 100 of them, by serial.
    certificates: Vec<String>,
    /// How many devices would lose their identity.
    device_count: usize,
    /// The first 100 of them.
    devices: Vec<String>,
    /// The services that would refuse them.
    services: Vec<String>,
    /// The highest criticality among the devices.
    criticality: Option<String>,
}

fn shown(desk: &Desk, target: &Target) -> Result<Json<Radius>, Problem> {
    let radius = desk.engine().blast_radius(target)?;
    let serials = radius.certificates.iter().map(|row| row.serial.to_string());
    Ok(Json(Radius {
        certificate_count: radius.certificates.len(),
        certificates: serials.take(NAMED_MAX).collect(),
        device_count: radius.devices.len(),
        devices: radius
            .devices
            .iter()
            .take(NAMED_MAX)
            .map(ToString::to_string)
            .collect(),
        services: radius.services.iter().map(ToString::to_string).collect(),
        criticality: radius
            .criticality
            .map(|criticality| criticality.to_string()),
    }))
}

async fn radius(
    State(desk): State<Desk>,
    Path(named): Path<Named>,
) -> Result<Json<Radius>, Problem> {
    shown(&desk, &named.target()?)
}

async fn device_radius(
    State(desk): State<Desk>,
    Path(id): Path<String>,
) -> Result<Json<Radius>, Problem> {
    shown(&desk, &Target::Device(device::known(&desk, &id)?.id))
}

/// How to revoke.
#[derive(Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Revoke {
    /// An RFC 5280 reason; unspecified if left out.
    reason: Option<String>,
    /// Since when the key must be thought bad (RFC 3339).
    #[serde(alias = "invalidity")]
    invalid_since: Option<String>,
}

impl Revoke {
    fn change(&self, now: Time) -> Result<StatusChange, Problem> {
        let reason = self.reason.as_deref().unwrap_or("unspecified");
        let reason = reason.parse().map_err(|_| {
            let names: Vec<_> = Reason::for_good().map(Reason::name).collect();
            let names = names.join(", ");
            Problem::bad_request(format!("reason: {reason:?} is none; use one of {names}"))
        })?;
        let invalidity = self.invalid_since.as_deref();
        let invalidity = invalidity
            .map(|text| time("invalid_since", text))
            .transpose()?;
        if invalidity.is_some_and(|since| since > now) {
            return Err(Problem::bad_request("invalid_since: this is in the future"));
        }
        Ok(StatusChange::Revoke { reason, invalidity })
    }
}

/// What a withdrawal of several certificates did.
#[derive(Serialize, ToSchema)]
struct Withdrawn {
    /// How many were changed by this call; the others already were as wanted.
    changed: usize,
    /// The certificates as they are now.
    certificates: Vec<CertificateItem>,
}

async fn withdrawn(
    desk: &Desk,
    caller: &Caller,
    target: Target,
    change: StatusChange,
) -> Result<Withdrawn, Problem> {
    let ask = RevokeAsk {
        actor: caller.actor(),
        target,
        change,
    };
    let done = desk.engine().revoke(ask).await?;
    Ok(Withdrawn {
        changed: done.changed,
        // Whoever has just withdrawn one waits for no one who only looks.
        certificates: desk
            .engine()
            .store()
            .read_first(described(desk, done.certificates))
            .await?,
    })
}

async fn one(
    desk: &Desk,
    caller: &Caller,
    named: &Named,
    change: StatusChange,
) -> Result<Json<CertificateItem>, Problem> {
    let mut done = withdrawn(desk, caller, named.target()?, change).await?;
    done.certificates
        .pop()
        .map(Json)
        .ok_or_else(Problem::internal)
}

async fn revoke(
    State(desk): State<Desk>,
    caller: Caller,
    Path(named): Path<Named>,
    Json(how): Json<Revoke>,
) -> Result<Json<CertificateItem>, Problem> {
    one(&desk, &caller, &named, how.change(desk.now())?).await
}

async fn revoke_device(
    State(desk): State<Desk>,
    caller: Caller,
    Path(id): Path<String>,
    Json(how): Json<Revoke>,
) -> Result<Json<Withdrawn>, Problem> {
    let target = Target::Device(device::known(&desk, &id)?.id);
    withdrawn(&desk, &caller, target, how.change(desk.now())?)
        .await
        .map(Json)
}

async fn hold(
    State(desk): State<Desk>,
    caller: Caller,
    Path(named): Path<Named>,
) -> Result<Json<CertificateItem>, Problem> {
    one(&desk, &caller, &named, StatusChange::Hold).await
}

async fn release(
    State(desk): State<Desk>,
    caller: Caller,
    Path(named): Path<Named>,
) -> Result<Json<CertificateItem>, Problem> {
    one(&desk, &caller, &named, StatusChange::Release).await
}
