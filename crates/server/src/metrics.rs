//! The Prometheus registry. Figures of the listeners are counted here; figures of the fleet are
//! asked for at each scrape by collectors that are registered with [`Metrics::register`].

use std::sync::Arc;
use std::time::Duration;

use hyper::StatusCode;
use parking_lot::Mutex;
use prometheus_client::collector::Collector;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::encode;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

use crate::listen::Listener;

/// The media type of [`Metrics::text`].
pub const CONTENT_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// All figures of one server.
#[derive(Clone, Debug)]
pub struct Metrics {
    registry: Arc<Mutex<Registry>>,
    requests: Family<Answer, Counter>,
    seconds: Family<Door, Histogram>,
    open: Family<Door, Gauge>,
    turned_away: Family<Turned, Counter>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Door {
    listener: &'static str,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Answer {
    listener: &'static str,
    status: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Turned {
    listener: &'static str,
    reason: &'static str,
}

impl Default for Metrics {
    fn default() -> Self {
        Metrics::new()
    }
}

impl Metrics {
    /// An empty registry with the listeners' figures in it.
    pub fn new() -> Metrics {
        let mut registry = Registry::with_prefix("tenure");
        let requests = Family::default();
        let seconds = Family::new_with_constructor(latencies as fn() -> Histogram);
        let open = Family::default();
        let turned_away = Family::default();
        registry.register("http_requests", "Requests answered", requests.clone());
        let help = "Time from the request's head to its answer";
        registry.register_with_unit("http_request", help, Unit::Seconds, seconds.clone());
        registry.register("connections", "Connections open now", open.clone());
        let help = "Connections and requests turned away by a limit or a failed handshake";
        registry.register("turned_away", help, turned_away.clone());
        Metrics {
            registry: Arc::new(Mutex::new(registry)),
            requests,
            seconds,
            open,
            turned_away,
        }
    }

    /// Adds figures that are asked for at each scrape.
    pub fn register(&self, collector: Box<dyn Collector>) {
        self.registry.lock().register_collector(collector);
    }

    /// All figures, as OpenMetrics text.
    pub fn text(&self) -> String {
        let mut text = String::new();
        let registry = self.registry.lock();
        // Writing to a String cannot fail; a collector that fails leaves what was written.
        if encode(&mut text, &registry).is_err() {
            tracing::warn!("a metrics collector failed");
        }
        text
    }

    /// The part of one listener.
    pub fn edge(&self, listener: Listener) -> EdgeMetrics {
        let door = Door {
            listener: listener.name(),
        };
        EdgeMetrics {
            listener: listener.name(),
            requests: self.requests.clone(),
            seconds: self.seconds.get_or_create(&door).clone(),
            open: self.open.get_or_create(&door).clone(),
            turned_away: self.turned_away.clone(),
        }
    }
}

/// Half a millisecond to four seconds.
fn latencies() -> Histogram {
    Histogram::new(exponential_buckets(0.0005, 2.0, 14))
}

/// What one listener counts.
#[derive(Clone, Debug)]
pub struct EdgeMetrics {
    listener: &'static str,
    requests: Family<Answer, Counter>,
    seconds: Histogram,
    open: Gauge,
    turned_away: Family<Turned, Counter>,
}

impl EdgeMetrics {
    /// A connection was accepted.
    pub fn opened(&self) {
        self.open.inc();
    }

    /// A connection ended.
    pub fn closed(&self) {
        self.open.dec();
    }

    /// A request was answered.
    pub fn answered(&self, status: StatusCode, took: Duration) {
        let answer = Answer {
            listener: self.listener,
            status: status.as_u16(),
        };
        self.requests.get_or_create(&answer).inc();
        self.seconds.observe(took.as_secs_f64());
    }

    /// Somebody was turned away.
    pub fn turned_away(&self, reason: &'static str) {
        self.turned_away
            .get_or_create(&Turned {
                listener: self.listener,
                reason,
            })
            .inc();
    }
}
