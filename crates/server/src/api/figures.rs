//! The fleet's figures for `/metrics`, read from the store at each scrape.

use std::collections::BTreeMap;
use std::fmt;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;
use prometheus_client::registry::Unit;
use tenure_domain::ask::AskState;
use tenure_domain::drill::DrillKind;
use tenure_domain::finding::FindingState;
use tenure_domain::incident::IncidentState;
use tenure_domain::issuer::IssuerKind;
use tenure_domain::{Slug, Status, Title};
use tenure_engine::duty::publish::List;
use tenure_engine::feed::{BOUNDS_S, Times};
use tenure_engine::store::{
    StoreError, drill, event, feed, finding, incident, pending, probe, view, withdrawal,
};
use tenure_engine::{Engine, Rejection};
use tenure_x509::Time;

use super::doctor;
use super::probe::Distribution;

/// Most open incidents and waiting asks counted one by one.
const COUNTED_MAX: u32 = 1_000;
/// Most measurements that a spread is made of, and withdrawals looked at for one.
const SPANS_MAX: u32 = 10_000;
/// Most findings counted in each state.
const FINDINGS_MAX: u32 = 10_000;

/// Reads the engine's counters and the store's counts.
pub(super) struct Figures {
    engine: Engine,
}

impl Figures {
    pub(super) fn new(engine: Engine) -> Figures {
        Figures { engine }
    }
}

impl fmt::Debug for Figures {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Figures")
    }
}

type Labels = Vec<(&'static str, String)>;

/// One name with its values.
struct Family {
    name: &'static str,
    help: &'static str,
    unit: Option<Unit>,
    values: Vec<(Labels, f64)>,
}

fn gauge(name: &'static str, help: &'static str, values: Vec<(Labels, f64)>) -> Family {
    Family {
        name,
        help,
        unit: None,
        values,
    }
}

/// The middle, the nineteenth of twenty and the last of milliseconds, as seconds.
fn spread(name: &'static str, help: &'static str, ms: Vec<i64>) -> Family {
    let spread = Distribution::of(ms);
    let values = [
        ("0.5", spread.p50_ms),
        ("0.95", spread.p95_ms),
        ("1", spread.max_ms),
    ];
    let values = values.into_iter().filter_map(|(quantile, ms)| {
        let labels = vec![("quantile", quantile.to_owned())];
        ms.map(|ms| (labels, ms as f64 / 1_000.0))
    });
    gauge(name, help, values.collect()).seconds()
}

impl Family {
    fn seconds(mut self) -> Family {
        self.unit = Some(Unit::Seconds);
        self
    }

    fn encode(&self, encoder: &mut DescriptorEncoder<'_>) -> fmt::Result {
        let unit = self.unit.as_ref();
        let mut family =
            encoder.encode_descriptor(self.name, self.help, unit, MetricType::Gauge)?;
        if let [(labels, value)] = self.values.as_slice()
            && labels.is_empty()
        {
            return ConstGauge::new(*value).encode(family);
        }
        for (labels, value) in &self.values {
            ConstGauge::new(*value).encode(family.encode_family(labels)?)?;
        }
        Ok(())
    }
}

/// A distribution, in seconds.
fn histogram(
    encoder: &mut DescriptorEncoder<'_>,
    name: &'static str,
    help: &'static str,
    times: &Times,
) -> fmt::Result {
    let ends = BOUNDS_S.iter().copied().chain([f64::MAX]);
    let buckets: Vec<(f64, u64)> = ends.zip(times.counts).collect();
    let count = times.counts.iter().sum();
    let unit = Some(&Unit::Seconds);
    let mut one = encoder.encode_descriptor(name, help, unit, MetricType::Histogram)?;
    one.encode_histogram::<Labels>(times.sum_s, count, &buckets, None)
}

impl Collector for Figures {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let counted = self.engine.counters();
        let counters = [
            (
                "certificates_issued",
                "Certificates released since the start",
                counted.issued.get(),
            ),
            (
                "answers_replayed",
                "Answers given again since the start",
                counted.replayed.get(),
            ),
            (
                "ocsp_signed",
                "OCSP answers signed since the start",
                counted.ocsp.get(),
            ),
            (
                "verdicts_given",
                "Decisions asked for since the start",
                counted.decided.get(),
            ),
        ];
        let revoked = self.revoked().map(|revoked| {
            let help = "Certificates revoked, as the record has it";
            ("certificates_withdrawn", help, revoked)
        });
        // What failed is in the log.
        for (name, help, value) in counters.into_iter().chain(revoked.ok()) {
            let counter = ConstCounter::new(value);
            let one = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            counter.encode(one)?;
        }
        let help = "Asks refused since the start";
        let mut refusals =
            encoder.encode_descriptor("asks_refused", help, None, MetricType::Counter)?;
        for (reason, count) in counted.refusals() {
            let counter = ConstCounter::new(count);
            counter.encode(refusals.encode_family(&[("reason", reason)])?)?;
        }
        let applied = self.engine.feed_times();
        let help = "Time from a revocation on record to a relying party's word that it applied it";
        histogram(&mut encoder, "revoked_until_applied", help, &applied)?;
        match self.gauges() {
            Ok(gauges) => gauges
                .iter()
                .try_for_each(|family| family.encode(&mut encoder)),
            // What failed is in the log; the counters are still worth sending.
            Err(_) => Ok(()),
        }
    }
}

impl Figures {
    /// Whoever writes a revocation counts it with its row, and a revoked certificate stays so.
    fn revoked(&self) -> Result<u64, Rejection> {
        let tenant = self.engine.tenant();
        let counts = self
            .engine
            .store()
            .glance(|tx| view::certificate_counts(tx, tenant))?;
        Ok(counts.get(&Status::Revoked).copied().unwrap_or(0))
    }

    fn gauges(&self) -> Result<Vec<Family>, Rejection> {
        let tenant = self.engine.tenant();
        let now = self.engine.clock().now();
        let seconds_to = |at: Time| at.unix().saturating_sub(now.unix()) as f64;
        let seconds_since = |at: Time| now.unix().saturating_sub(at.unix()) as f64;
        let month = now.plus(-30 * 86_400);
        let snapshot = self.engine.snapshot();
        let found = self.engine.store().glance(|tx| {
            Ok::<_, StoreError>(Found {
                certificates: view::certificate_counts(tx, tenant)?,
                devices: view::device_counts(tx, tenant)?,
                next_ends: view::next_ends(tx, tenant, now)?,
                behind: feed::list(tx, tenant, "", COUNTED_MAX)?
                    .into_iter()
                    .map(|feed| (feed.party, feed.behind))
                    .collect(),
                last: event::last(tx)?.map_or(0, |(seq, _)| seq.0),
                asks: pending::list(tx, tenant, Some(AskState::Waiting), None, COUNTED_MAX)?.len(),
                incidents: incident::list(
                    tx,
                    tenant,
                    Some(IncidentState::Open),
                    None,
                    COUNTED_MAX,
                )?
                .len(),
                enforced: probe::times(tx, tenant, month, SPANS_MAX)?
                    .into_iter()
                    .map(|(_, ms)| ms)
                    .collect(),
                late: withdrawal::lags(tx, tenant, month, SPANS_MAX)?,
                findings: FindingState::ALL
                    .iter()
                    .map(|state| Ok((*state, finding::count(tx, tenant, *state, FINDINGS_MAX)?)))
                    .collect::<Result<_, StoreError>>()?,
            })
        })?;
        let mut crl_age = Vec::new();
        let mut crl_left = Vec::new();
        for issuer in snapshot.issuers.iter() {
            if let Some(list) = self.engine.published_list(&issuer.name, List::Full) {
                let labels = vec![("issuer", issuer.name.to_string())];
                crl_age.push((labels.clone(), seconds_since(list.this_update)));
                crl_left.push((labels, seconds_to(list.next_update)));
            }
        }
        let roots: Vec<_> = snapshot
            .issuers
            .iter()
            .filter(|issuer| issuer.kind == IssuerKind::Root)
            .filter_map(|issuer| {
                let list = self.engine.published_list(&issuer.name, List::Full)?;
                let labels = vec![("issuer", issuer.name.to_string())];
                Some((labels, (seconds_to(list.next_update) / 86_400.0).floor()))
            })
            .collect();
        let root_keys = doctor::root_keys_in(self.engine.directory(), &snapshot.issuers);
        let covers = snapshot.issuers.iter().filter_map(|issuer| {
            let filter = self.engine.published_filter(issuer)?;
            let labels = vec![("issuer", issuer.name.to_string())];
            Some((labels, seconds_since(filter.full().body().coverage().to)))
        });
        let lags = self.engine.publication_lag()?.into_iter();
        let lags = lags.map(|lag| {
            let rendering = ("rendering", lag.rendering.to_string());
            let labels = vec![("issuer", lag.issuer.to_string()), rendering];
            (labels, lag.seconds as f64)
        });
        let mut drilled = Vec::new();
        for issuer in snapshot.issuers.iter() {
            for kind in DrillKind::ALL {
                let last = self
                    .engine
                    .store()
                    .glance(|tx| drill::last(tx, &issuer.name, *kind))?;
                if let Some(passed) = last.passed {
                    let labels = vec![
                        ("issuer", issuer.name.to_string()),
                        ("kind", kind.to_string()),
                    ];
                    drilled.push((labels, seconds_since(passed)));
                }
            }
        }
        let one = |value: f64| vec![(Vec::new(), value)];
        let newest = super::log::newest(self.engine.directory()).ok().flatten();
        let sealed = newest.map_or(0, |(_, checkpoint)| checkpoint.size());
        let lag = u64::try_from(found.last)
            .unwrap_or(0)
            .saturating_sub(sealed);
        Ok(vec![
            gauge(
                "certificates",
                "Certificates by status; expiry is no status",
                found
                    .certificates
                    .into_iter()
                    .map(|(status, n)| (vec![("status", status.to_string())], n as f64))
                    .collect(),
            ),
            gauge(
                "devices",
                "Devices by standing",
                found
                    .devices
                    .by_standing
                    .into_iter()
                    .map(|(standing, n)| (vec![("standing", standing.to_string())], n as f64))
                    .collect(),
            ),
            gauge(
                "next_expiry",
                "Time to the next end of a certificate in force, by class",
                found
                    .next_ends
                    .into_iter()
                    .map(|(class, at)| (vec![("class", class.to_string())], seconds_to(at)))
                    .collect(),
            )
            .seconds(),
            spread(
                "publication",
                "From a withdrawal on record to the lists that hold it, since the start",
                self.engine.counters().published.all(),
            ),
            spread(
                "enforcement",
                "From a revocation to its refusal by relying parties, as probes of 30 days measured",
                found.enforced,
            ),
            spread(
                "revocation_delay",
                "From when a key must be thought bad to its revocation, in 30 days",
                found
                    .late
                    .into_iter()
                    .map(|s| s.saturating_mul(1_000))
                    .collect(),
            ),
            gauge("crl_age", "Time since an issuer's list was signed", crl_age).seconds(),
            gauge(
                "crl_remaining",
                "Time until an issuer's list may not be used any more",
                crl_left,
            )
            .seconds(),
            gauge(
                "filter_covers_age",
                "How old a certificate must be for its issuer's filter to speak of it",
                covers.collect(),
            )
            .seconds(),
            gauge(
                "publication_lag",
                "How long a rendering of an issuer's revocations has been behind the record",
                lags.collect(),
            )
            .seconds(),
            gauge(
                "drill_passed_age",
                "Time since a drill was last passed with an issuer",
                drilled,
            )
            .seconds(),
            gauge(
                "feed_behind",
                "How long a relying party has had something to apply",
                found
                    .behind
                    .into_iter()
                    .map(|(party, since)| {
                        let labels = vec![("relying_party", party.to_string())];
                        (labels, since.map_or(0.0, seconds_since))
                    })
                    .collect(),
            )
            .seconds(),
            gauge(
                "root_crl_remaining_days",
                "Days until the root's list ends",
                roots,
            ),
            gauge(
                "root_key_in_data_directory",
                "1 while a root's key lies in the data directory",
                one(if root_keys.is_empty() { 0.0 } else { 1.0 }),
            ),
            gauge(
                "log_lag_events",
                "Events recorded and not sealed yet",
                one(lag as f64),
            ),
            gauge("log_size_events", "Events sealed", one(sealed as f64)),
            gauge(
                "asks_waiting",
                "Requests that wait for a decision",
                one(found.asks as f64),
            ),
            gauge(
                "incidents_open",
                "Incidents that wait for a decision",
                one(found.incidents as f64),
            ),
            gauge(
                "findings",
                "Findings by state",
                found
                    .findings
                    .into_iter()
                    .map(|(state, n)| (vec![("state", state.to_string())], n as f64))
                    .collect(),
            ),
        ])
    }
}

struct Found {
    certificates: BTreeMap<Status, u64>,
    devices: view::DeviceCounts,
    next_ends: Vec<(Title, Time)>,
    behind: Vec<(Slug, Option<Time>)>,
    last: i64,
    asks: usize,
    incidents: usize,
    findings: Vec<(FindingState, u64)>,
    /// In milliseconds.
    enforced: Vec<i64>,
    /// In seconds.
    late: Vec<i64>,
}
