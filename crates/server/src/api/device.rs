//! `/devices`: things that hold keys.

use axum::extract::State;
use serde::{Deserialize, Serialize};
use tenure_domain::change::{Change, Edit};
use tenure_domain::device::{Device, DeviceSpec, Standing};
use tenure_domain::ids::DeviceId;
use tenure_domain::operator::Permission::{Approve, ChangeFleet, ReadFleet, Withdraw};
use tenure_engine::Changed;
use tenure_engine::ceremony::HOUSE;
use tenure_engine::store::{StoreError, attestation, certificate, device, secret, view};
use utoipa::{IntoParams, ToSchema};

use super::attestation::AttestationItem;
use super::body::{Json, Path, Query, label, new_name, some_word, word};
use super::certificate::CertificateItem;
use super::page::{Page, Paging};
use super::{Caller, Desk, Route};
use crate::problem::Problem;

/// Certificates shown with a device.
const CERTIFICATES_SHOWN: usize = 100;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::get("/devices", ReadFleet, "List devices", list)
            .asks::<Filter>()
            .asks::<Paging>()
            .lists::<DeviceItem>(),
        Route::post("/devices", ChangeFleet, "Register a device", add)
            .takes::<NewDevice>()
            .answers::<DeviceItem>(),
        Route::get(
            "/devices/{id}",
            ReadFleet,
            "Show a device with its certificates",
            show,
        )
        .answers::<DeviceDetail>(),
        Route::patch(
            "/devices/{id}",
            ChangeFleet,
            "Change a device; what is left out stays",
            edit,
        )
        .takes::<DeviceEdit>()
        .answers::<DeviceItem>(),
        Route::post(
            "/devices/{id}/secret",
            Approve,
            "Make a one-time enrollment secret",
            new_secret,
        )
        .takes::<NewSecret>()
        .answers::<Secret>()
        .shows_a_secret(),
        Route::post(
            "/devices/{id}/repair",
            Approve,
            "Let a device have another identity for life, once, after a repair",
            repair,
        )
        .takes::<Why>()
        .answers::<DeviceItem>(),
        Route::post(
            "/devices/{id}/suspend",
            Withdraw,
            "Put a device and its certificates on hold",
            suspend,
        )
        .takes::<Why>()
        .answers::<DeviceItem>(),
        Route::post(
            "/devices/{id}/resume",
            Withdraw,
            "Let a suspended or quarantined device go on",
            resume,
        )
        .takes::<Why>()
        .answers::<DeviceItem>(),
        Route::post(
            "/devices/{id}/retire",
            Withdraw,
            "End a device's life and revoke its certificates",
            retire,
        )
        .takes::<Why>()
        .answers::<DeviceItem>(),
    ]
}

/// A device as lists show it.
#[derive(Serialize, ToSchema)]
pub(crate) struct DeviceItem {
    /// Its registered name.
    id: String,
    /// expected, enrolled, suspended, quarantined, in-transfer, retired or destroyed.
    standing: String,
    /// Its class, which picks the profile.
    class: String,
    /// Where it stands.
    site: String,
    /// Who answers for it.
    owner: String,
    /// The services it talks to.
    services: Vec<String>,
    /// low, medium, high or safety.
    criticality: String,
    /// Who made it.
    manufacturer: String,
    /// The maker's model name.
    model: String,
    /// The maker's serial number.
    serial: String,
    /// When it was registered (RFC 3339).
    created: String,
    /// When its record last changed (RFC 3339).
    updated: String,
}

impl From<Device> for DeviceItem {
    fn from(device: Device) -> DeviceItem {
        DeviceItem {
            id: device.id.to_string(),
            standing: device.standing.to_string(),
            class: device.class.to_string(),
            site: device.site.to_string(),
            owner: device.owner.to_string(),
            services: device.services.iter().map(ToString::to_string).collect(),
            criticality: device.criticality.to_string(),
            manufacturer: device.manufacturer,
            model: device.model,
            serial: device.serial,
            created: device.created.to_string(),
            updated: device.updated.to_string(),
        }
    }
}

/// A device with what it holds.
#[derive(Serialize, ToSchema)]
struct DeviceDetail {
    #[serde(flatten)]
    device: DeviceItem,
    /// Its certificates, newest first, 100 at most.
    certificates: Vec<CertificateItem>,
    /// Its one-time secret, if it has one; the secret itself is known to nobody here.
    secret: Option<SecretState>,
    /// What verifiers say of it, each with its newest.
    attestations: Vec<AttestationItem>,
}

/// The state of a one-time secret.
#[derive(Serialize, ToSchema)]
struct SecretState {
    /// waiting, used, spent, expired or locked.
    state: &'static str,
    /// Until when it is accepted (RFC 3339).
    expires: String,
}

/// A device to be registered.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct NewDevice {
    /// 1 to 64 of A-Z a-z 0-9 . _ -
    id: String,
    class: String,
    site: String,
    owner: String,
    #[serde(default)]
    services: Vec<String>,
    /// low, medium, high or safety; medium if left out.
    #[serde(default)]
    criticality: Option<String>,
    #[serde(default)]
    manufacturer: String,
    #[serde(default)]
    model: String,
    #[serde(default)]
    serial: String,
}

impl NewDevice {
    fn spec(self) -> Result<DeviceSpec, Problem> {
        Ok(DeviceSpec {
            id: new_name("id", &self.id)?,
            class: word("class", &self.class)?,
            site: word("site", &self.site)?,
            owner: word("owner", &self.owner)?,
            services: titles("services", &self.services)?,
            criticality: some_word("criticality", self.criticality.as_deref())?.unwrap_or_default(),
            manufacturer: label("manufacturer", self.manufacturer)?,
            model: label("model", self.model)?,
            serial: label("serial", self.serial)?,
        })
    }
}

/// The names in their order, each once.
fn titles(field: &str, names: &[String]) -> Result<Vec<tenure_domain::Title>, Problem> {
    let mut titles = Vec::with_capacity(names.len());
    for name in names {
        let title = word(field, name)?;
        if !titles.contains(&title) {
            titles.push(title);
        }
    }
    Ok(titles)
}

/// What is to change of a device; what is left out stays.
#[derive(Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
struct DeviceEdit {
    class: Option<String>,
    site: Option<String>,
    owner: Option<String>,
    /// All services it talks to.
    services: Option<Vec<String>>,
    criticality: Option<String>,
    manufacturer: Option<String>,
    model: Option<String>,
    serial: Option<String>,
}

impl DeviceEdit {
    fn over(self, device: &Device) -> Result<Edit<DeviceSpec>, Problem> {
        let services = self
            .services
            .as_deref()
            .map(|names| titles("services", names))
            .transpose()?;
        let said = |field, text: Option<String>, kept: String| match text {
            Some(text) if text != kept => label(field, text),
            _ => Ok(kept),
        };
        let was = device::spec(device);
        let from = Some(was.clone());
        let to = DeviceSpec {
            class: some_word("class", self.class.as_deref())?.unwrap_or(was.class),
            site: some_word("site", self.site.as_deref())?.unwrap_or(was.site),
            owner: some_word("owner", self.owner.as_deref())?.unwrap_or(was.owner),
            services: services.unwrap_or(was.services),
            criticality: some_word("criticality", self.criticality.as_deref())?
                .unwrap_or(was.criticality),
            manufacturer: said("manufacturer", self.manufacturer, was.manufacturer)?,
            model: said("model", self.model, was.model)?,
            serial: said("serial", self.serial, was.serial)?,
            id: was.id,
        };
        Ok(Edit { from, to })
    }
}

/// Which devices.
#[derive(Default, Deserialize, IntoParams)]
#[serde(default)]
#[into_params(parameter_in = Query)]
pub(crate) struct Filter {
    /// The beginning of an id, a serial number or a model.
    pub(crate) search: Option<String>,
    /// Only those of this standing.
    #[serde(alias = "state")]
    pub(crate) standing: Option<String>,
    /// Only those at this site and the sites in it.
    pub(crate) site: Option<String>,
    /// Only those of this class.
    pub(crate) class: Option<String>,
    /// Only those of this owner.
    pub(crate) owner: Option<String>,
    /// Only those that talk to this service.
    pub(crate) service: Option<String>,
    /// Whether the house's own subjects (class `tenure`: servers, responders, authorities) are listed
    /// too: `all` lists them; they are left out otherwise, unless their class is asked for.
    pub(crate) show: Option<String>,
}

/// An empty field of a form is one that was left out.
fn given(text: &Option<String>) -> Option<String> {
    text.clone().filter(|text| !text.is_empty())
}

impl Filter {
    /// The filter as the store knows it.
    pub(crate) fn read(&self) -> Result<view::DeviceFilter, Problem> {
        let without_class = match given(&self.show).as_deref() {
            None => given(&self.class).is_none_or(|class| class != HOUSE),
            Some("all") => false,
            Some(_) => return Err(Problem::bad_request("show: use all, or leave it out")),
        };
        Ok(view::DeviceFilter {
            text: given(&self.search),
            standing: some_word("standing", self.standing.as_deref())?,
            site: given(&self.site),
            class: given(&self.class),
            owner: given(&self.owner),
            service: given(&self.service),
            without_class: without_class.then(|| HOUSE.to_owned()),
        })
    }
}

async fn list(
    State(desk): State<Desk>,
    Query(filter): Query<Filter>,
    Query(paging): Query<Paging>,
) -> Result<Json<Page<DeviceItem>>, Problem> {
    let page = page(&desk, filter.read()?, paging).await?;
    Ok(Json(page.map(DeviceItem::from)))
}

/// One page of devices.
pub(crate) async fn page(
    desk: &Desk,
    filter: view::DeviceFilter,
    paging: Paging,
) -> Result<Page<Device>, Problem> {
    let tenant = desk.engine().tenant();
    let found = desk
        .read(move |tx| {
            view::devices(
                tx,
                tenant,
                &filter,
                paging.cursor.as_deref(),
                paging.items(),
            )
        })
        .await?;
    Ok(Page {
        items: found.items,
        next: found.next,
    })
}

async fn add(
    State(desk): State<Desk>,
    caller: Caller,
    Json(device): Json<NewDevice>,
) -> Result<Json<DeviceItem>, Problem> {
    let change = Change::AddDevice(device.spec()?);
    changed(desk.engine().change(&caller.actor(), change).await?)
}

fn changed(changed: Changed) -> Result<Json<DeviceItem>, Problem> {
    match changed {
        Changed::Device(device) => Ok(Json(DeviceItem::from(*device))),
        _ => Err(Problem::internal()),
    }
}

/// The device of a path.
///
/// # Errors
/// 404 if there is none, also when the name could not be one.
pub(crate) fn known(desk: &Desk, id: &str) -> Result<Device, Problem> {
    let absent = || Problem::not_found(format!("Device {id}"));
    let parsed: DeviceId = id.parse().map_err(|_| absent())?;
    let tenant = desk.engine().tenant();
    desk.glance(|tx| device::by_id(tx, tenant, &parsed))?
        .ok_or_else(absent)
}

async fn show(
    State(desk): State<Desk>,
    Path(id): Path<String>,
) -> Result<Json<DeviceDetail>, Problem> {
    let device = known(&desk, &id)?;
    let now = desk.now();
    let no = device.no;
    let (certificates, secret, attested) = desk
        .read(move |tx| {
            Ok::<_, StoreError>((
                certificate::of_device(tx, no, CERTIFICATES_SHOWN)?,
                secret::of_device(tx, no)?,
                attestation::of_device(tx, no)?,
            ))
        })
        .await?;
    Ok(Json(DeviceDetail {
        device: device.into(),
        certificates: super::certificate::items(&desk, certificates).await?,
        secret: secret.map(|row| SecretState {
            state: match (row.spent, row.locked_until, row.bound_to) {
                (Some(_), _, _) => "spent",
                (None, _, _) if row.expires < now => "expired",
                (None, Some(until), _) if now < until => "locked",
                (None, _, Some(_)) => "used",
                (None, _, None) => "waiting",
            },
            expires: row.expires.to_string(),
        }),
        attestations: attested.into_iter().map(AttestationItem::from).collect(),
    }))
}

async fn edit(
    State(desk): State<Desk>,
    caller: Caller,
    Path(id): Path<String>,
    Json(edit): Json<DeviceEdit>,
) -> Result<Json<DeviceItem>, Problem> {
    let change = Change::EditDevice(Box::new(edit.over(&known(&desk, &id)?)?));
    changed(desk.engine().change(&caller.actor(), change).await?)
}

/// How long the secret shall be good.
#[derive(Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
struct NewSecret {
    /// Seconds, one minute to 90 days; 7 days if left out.
    life_s: Option<i64>,
}

/// A one-time secret, shown this once.
#[derive(Serialize, ToSchema)]
struct Secret {
    /// The device.
    device: String,
    /// The password of EST's HTTP Basic; the user name is the device.
    secret: String,
    /// Until when it is accepted (RFC 3339).
    expires: String,
}

async fn new_secret(
    State(desk): State<Desk>,
    caller: Caller,
    Path(id): Path<String>,
    Json(asked): Json<NewSecret>,
) -> Result<Json<Secret>, Problem> {
    const WEEK_S: i64 = 7 * 86_400;
    let device = known(&desk, &id)?.id;
    let change = Change::NewSecret {
        device,
        life_s: asked.life_s.unwrap_or(WEEK_S),
    };
    match desk.engine().change(&caller.actor(), change).await? {
        Changed::Secret(made) => Ok(Json(Secret {
            device: made.device.to_string(),
            secret: made.secret,
            expires: made.expires.to_string(),
        })),
        _ => Err(Problem::internal()),
    }
}

async fn repair(
    State(desk): State<Desk>,
    caller: Caller,
    Path(id): Path<String>,
    Json(why): Json<Why>,
) -> Result<Json<DeviceItem>, Problem> {
    let device = known(&desk, &id)?.id;
    let why = why.text()?;
    if why.is_empty() {
        return Err(Problem::bad_request("why: say what was repaired"));
    }
    let change = Change::ApproveRepair { device, why };
    changed(desk.engine().change(&caller.actor(), change).await?)
}

/// Why, for the record.
#[derive(Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct Why {
    /// In a sentence; it becomes part of the record and cannot be erased.
    pub(crate) why: String,
}

/// Longest reason kept, in characters.
pub(crate) const WHY_MAX: usize = 500;

impl Why {
    /// The reason.
    ///
    /// # Errors
    /// 400 if it is too long.
    pub(crate) fn text(self) -> Result<String, Problem> {
        if self.why.chars().count() > WHY_MAX {
            return Err(Problem::bad_request(format!(
                "why: at most {WHY_MAX} characters"
            )));
        }
        Ok(self.why)
    }
}

async fn moved(
    desk: &Desk,
    caller: &Caller,
    id: &str,
    to: Standing,
    why: Why,
) -> Result<Json<DeviceItem>, Problem> {
    let device = known(desk, id)?.id;
    let change = Change::SetStanding {
        device,
        to,
        why: why.text()?,
    };
    changed(desk.engine().change(&caller.actor(), change).await?)
}

async fn suspend(
    State(desk): State<Desk>,
    caller: Caller,
    Path(id): Path<String>,
    Json(why): Json<Why>,
) -> Result<Json<DeviceItem>, Problem> {
    moved(&desk, &caller, &id, Standing::Suspended, why).await
}

async fn resume(
    State(desk): State<Desk>,
    caller: Caller,
    Path(id): Path<String>,
    Json(why): Json<Why>,
) -> Result<Json<DeviceItem>, Problem> {
    moved(&desk, &caller, &id, Standing::Enrolled, why).await
}

async fn retire(
    State(desk): State<Desk>,
    caller: Caller,
    Path(id): Path<String>,
    Json(why): Json<Why>,
) -> Result<Json<DeviceItem>, Problem> {
    moved(&desk, &caller, &id, Standing::Retired, why).await
}
