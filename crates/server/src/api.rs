//! The operators' API: `/api/v1`, one file per resource. Request and response types live beside
//! their handlers and are not the domain's types, so that neither can change the other by accident.
//!
//! Every call goes through `guard`: who is it, may they, was it asked before. Handlers see a
//! [`Caller`] and nothing of the token.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use axum::Router;
use axum::extract::Request;
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use hyper::Method;
use tenure_engine::Engine;
use tenure_engine::store::{ReadTx, StoreError};
use tenure_x509::Time;

use crate::drill::Driller;
use crate::metrics::Metrics;
use crate::prober::Prober;
use crate::problem::Problem;
use crate::stream::Followers;

mod as_of;
pub(crate) mod ask;
pub(crate) mod attestation;
pub mod backup;
pub(crate) mod blast;
pub(crate) mod body;
mod caller;
pub(crate) mod certificate;
mod class;
pub(crate) mod compromise;
pub(crate) mod decide;
pub(crate) mod device;
pub(crate) mod doctor;
pub(crate) mod drill;
pub(crate) mod event;
pub(crate) mod exception;
pub(crate) mod export;
pub(crate) mod feed;
mod figures;
pub(crate) mod finding;
pub(crate) mod fleet;
mod guard;
mod health;
mod history;
pub(crate) mod hook;
mod idempotency;
pub(crate) mod import;
pub(crate) mod incident;
pub(crate) mod issuer;
pub(crate) mod log;
mod manufacturer;
mod me;
mod openapi;
mod owner;
pub(crate) mod page;
mod permit;
mod policy;
pub(crate) mod probe;
mod refusal;
pub(crate) mod relying_party;
pub(crate) mod rollover;
mod route;
mod service;
mod sighting;
mod site;
mod stream;
mod table;
#[cfg(test)]
pub(crate) mod tests;
mod token;
pub(crate) mod trust_store;

pub use caller::Caller;
pub(crate) use guard::recorded;
pub use route::{Needs, Route};

/// Where the API begins on the operator listener.
pub const PREFIX: &str = "/api/v1";

/// What every handler works with: the engine, the figures, and where this process keeps its files.
/// A cheap handle.
#[derive(Clone)]
pub struct Desk {
    inside: Arc<Inside>,
}

struct Inside {
    engine: Engine,
    metrics: Metrics,
    data: PathBuf,
    under_way: idempotency::UnderWay,
    prober: Prober,
    followers: Followers,
    driller: Driller,
    tables: table::Tables,
}

impl Desk {
    /// A desk for one engine. `data` is the data directory.
    pub fn new(engine: Engine, metrics: Metrics, data: &Path) -> Desk {
        metrics.register(Box::new(figures::Figures::new(engine.clone())));
        let prober = Prober::new(engine.clone());
        Desk {
            inside: Arc::new(Inside {
                followers: Followers::default(),
                driller: Driller::new(engine.clone(), prober.clone()),
                prober,
                engine,
                metrics,
                data: data.to_owned(),
                under_way: idempotency::UnderWay::default(),
                tables: table::Tables::default(),
            }),
        }
    }

    /// The engine.
    pub fn engine(&self) -> &Engine {
        &self.inside.engine
    }

    /// Who visits relying parties.
    pub fn prober(&self) -> &Prober {
        &self.inside.prober
    }

    /// Who follows trust changes.
    pub fn followers(&self) -> &Followers {
        &self.inside.followers
    }

    /// Who runs drills.
    pub fn driller(&self) -> &Driller {
        &self.inside.driller
    }

    /// What is counted.
    pub fn metrics(&self) -> &Metrics {
        &self.inside.metrics
    }

    /// The data directory.
    pub fn data(&self) -> &Path {
        &self.inside.data
    }

    /// What time it is.
    pub fn now(&self) -> Time {
        self.engine().clock().now()
    }

    fn tables(&self) -> &table::Tables {
        &self.inside.tables
    }

    fn under_way(&self) -> &idempotency::UnderWay {
        &self.inside.under_way
    }

    /// Reads one snapshot of the store on a reading thread.
    ///
    /// # Errors
    /// What the closure answers, or a fault of the store.
    pub async fn read<T, E, F>(&self, body: F) -> Result<T, Problem>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
        Problem: From<E>,
        F: FnOnce(&ReadTx<'_>) -> Result<T, E> + Send + 'static,
    {
        Ok(self.engine().store().read(body).await?)
    }

    /// Reads what may take seconds in a large fleet; whoever asks so waits for others who do.
    ///
    /// # Errors
    /// What the closure answers, or a fault of the store.
    pub async fn survey<T, E, F>(&self, body: F) -> Result<T, Problem>
    where
        T: Send + 'static,
        E: From<StoreError> + Send + 'static,
        Problem: From<E>,
        F: FnOnce(&ReadTx<'_>) -> Result<T, E> + Send + 'static,
    {
        Ok(self.engine().store().survey(body).await?)
    }

    /// Reads a few rows by their keys, on this thread.
    ///
    /// # Errors
    /// A fault of the store.
    pub fn glance<T>(
        &self,
        body: impl FnOnce(&ReadTx<'_>) -> Result<T, StoreError>,
    ) -> Result<T, Problem> {
        Ok(self.engine().store().glance(body)?)
    }

    /// Reads what is checked anew with each request: no older than the last change that anybody made,
    /// and without waiting for the disk.
    ///
    /// # Errors
    /// A fault of the store.
    pub fn peek<T>(
        &self,
        body: impl FnOnce(&ReadTx<'_>) -> Result<T, StoreError>,
    ) -> Result<T, Problem> {
        Ok(self.engine().store().peek(body)?)
    }
}

/// Every route of `/api/v1`, in the order of the manual.
pub fn routes() -> Vec<Route> {
    [
        me::routes(),
        fleet::routes(),
        device::routes(),
        export::routes(),
        attestation::routes(),
        history::routes(),
        import::routes(),
        certificate::routes(),
        issuer::routes(),
        rollover::routes(),
        policy::routes(),
        owner::routes(),
        site::routes(),
        class::routes(),
        service::routes(),
        relying_party::routes(),
        trust_store::routes(),
        probe::routes(),
        blast::routes(),
        decide::routes(),
        exception::routes(),
        permit::routes(),
        compromise::routes(),
        drill::routes(),
        feed::routes(),
        manufacturer::routes(),
        ask::routes(),
        incident::routes(),
        finding::routes(),
        sighting::routes(),
        event::routes(),
        stream::routes(),
        hook::routes(),
        as_of::routes(),
        log::routes(),
        token::routes(),
        doctor::routes(),
        backup::routes(),
        openapi::routes(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// Everything the operator listener answers.
pub fn router(desk: Desk) -> Router {
    let mut api = Router::new();
    for route in routes() {
        api = route.mount(api, &desk);
    }
    let api = api
        .fallback(|| async { Problem::not_found("This path of the API") })
        .method_not_allowed_fallback(wrong_method);
    health::mount(Router::new(), &desk)
        .nest(PREFIX, api)
        .fallback(|| async { Problem::not_found("This path") })
        .with_state(desk.clone())
        .merge(crate::ui::router(desk))
        .layer(middleware::from_fn(to_the_end))
}

/// Carries out what changes something even if the caller hangs up: between what is recorded and what
/// is told of it there must be no gap that a caller can make.
async fn to_the_end(request: Request, next: Next) -> Response {
    if request.method().is_safe() {
        return next.run(request).await;
    }
    match tokio::spawn(next.run(request)).await {
        Ok(answer) => answer,
        Err(_) => Problem::internal().into_response(),
    }
}

async fn wrong_method(method: Method) -> Problem {
    Problem::new(
        hyper::StatusCode::METHOD_NOT_ALLOWED,
        "method-not-allowed",
        "This path does not answer this method",
    )
    .detail(format!(
        "{method} is not among the methods of this path; the Allow header lists them."
    ))
}
