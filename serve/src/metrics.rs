//! Figures for Prometheus, and for the protocol's statistics.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

use crate::batch::Times;
use crate::lock;

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    model: String,
    version: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Failures {
    model: String,
    version: u64,
    reason: &'static str,
}

/// Figures of all models.
pub(crate) struct Metrics {
    registry: Registry,
    requests: Family<Labels, Counter>,
    failures: Family<Failures, Counter>,
    rows: Family<Labels, Counter>,
    runs: Family<Labels, Counter>,
    waiting: Family<Labels, Gauge>,
    request: Family<Labels, Histogram>,
    queue: Family<Labels, Histogram>,
    run: Family<Labels, Histogram>,
}

/// From 50 µs to 26 s.
fn seconds() -> Histogram {
    Histogram::new(exponential_buckets(5e-5, 2.0, 20))
}

impl Default for Metrics {
    fn default() -> Metrics {
        let mut metrics = Metrics {
            registry: Registry::with_prefix("mindir"),
            requests: Family::default(),
            failures: Family::default(),
            rows: Family::default(),
            runs: Family::default(),
            waiting: Family::default(),
            request: Family::new_with_constructor(seconds),
            queue: Family::new_with_constructor(seconds),
            run: Family::new_with_constructor(seconds),
        };
        let r = &mut metrics.registry;
        r.register("requests", "Requests that were answered with results", metrics.requests.clone());
        r.register("failures", "Requests that were not, by reason", metrics.failures.clone());
        r.register("rows", "Rows of inputs that were computed", metrics.rows.clone());
        r.register("runs", "Runs of the model; rows by runs is the mean batch", metrics.runs.clone());
        r.register("waiting", "Requests that wait", metrics.waiting.clone());
        let unit = || Unit::Seconds;
        r.register_with_unit("request", "From a request's arrival to its results", unit(), metrics.request.clone());
        r.register_with_unit("queue", "From a request's arrival to its run", unit(), metrics.queue.clone());
        r.register_with_unit("run", "Runs of the model", unit(), metrics.run.clone());
        metrics
    }
}

impl Metrics {
    /// Figures of one version of a model, which go on from those that it had.
    pub fn of(&self, model: &str, version: u64) -> Arc<ModelMetrics> {
        let labels = Labels { model: model.into(), version };
        Arc::new(ModelMetrics {
            requests: self.requests.get_or_create_owned(&labels),
            failures: self.failures.clone(),
            rows: self.rows.get_or_create_owned(&labels),
            runs: self.runs.get_or_create_owned(&labels),
            waiting: self.waiting.get_or_create_owned(&labels),
            request: self.request.get_or_create_owned(&labels),
            queue: self.queue.get_or_create_owned(&labels),
            run: self.run.get_or_create_owned(&labels),
            labels,
            statistics: Mutex::default(),
            last: AtomicU64::new(0),
        })
    }

    /// Everything as OpenMetrics text.
    pub fn text(&self) -> String {
        let mut out = String::new();
        match text::encode(&mut out, &self.registry) {
            Ok(()) => out,
            Err(_) => String::new(),
        }
    }
}

/// Figures of one version of a model.
pub(crate) struct ModelMetrics {
    labels: Labels,
    requests: Counter,
    failures: Family<Failures, Counter>,
    rows: Counter,
    runs: Counter,
    waiting: Gauge,
    request: Histogram,
    queue: Histogram,
    run: Histogram,
    statistics: Mutex<Statistics>,
    /// Milliseconds since 1970.
    last: AtomicU64,
}

/// A number of things and the time that they took.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Sum {
    pub count: u64,
    pub time: Duration,
}

impl Sum {
    fn add(&mut self, time: Duration) {
        self.count += 1;
        self.time += time;
    }
}

/// How many numbers of rows have statistics of their own.
const BATCHES: usize = 256;

/// What the protocol's statistics are made of.
#[derive(Clone, Debug, Default)]
pub(crate) struct Statistics {
    pub success: Sum,
    pub fail: Sum,
    pub queue: Sum,
    pub run: Sum,
    pub rows: u64,
    pub runs: u64,
    /// Runs by the number of their rows.
    pub batches: BTreeMap<usize, Sum>,
}

impl ModelMetrics {
    /// A request was answered with results.
    pub fn succeeded(&self, took: Duration, times: &Times) {
        self.requests.inc();
        self.request.observe(took.as_secs_f64());
        self.queue.observe(times.waited.as_secs_f64());
        let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        self.last.store(u64::try_from(now.as_millis()).unwrap_or(u64::MAX), Ordering::Relaxed);
        let mut statistics = lock(&self.statistics);
        statistics.success.add(took);
        statistics.queue.add(times.waited);
        statistics.run.add(times.ran);
    }

    /// A request was not answered with results.
    pub fn failed(&self, reason: &'static str, took: Duration) {
        let Labels { model, version } = self.labels.clone();
        self.failures.get_or_create(&Failures { model, version, reason }).inc();
        lock(&self.statistics).fail.add(took);
    }

    /// The model ran.
    pub fn executed(&self, rows: usize, took: Duration) {
        self.rows.inc_by(rows as u64);
        self.runs.inc();
        self.run.observe(took.as_secs_f64());
        let mut statistics = lock(&self.statistics);
        statistics.rows += rows as u64;
        statistics.runs += 1;
        if statistics.batches.len() < BATCHES || statistics.batches.contains_key(&rows) {
            statistics.batches.entry(rows).or_default().add(took);
        }
    }

    /// So many requests wait.
    pub fn wait(&self, waiting: usize) {
        self.waiting.set(i64::try_from(waiting).unwrap_or(i64::MAX));
    }

    /// The figures so far.
    pub fn statistics(&self) -> Statistics {
        lock(&self.statistics).clone()
    }

    /// When results were last given, in milliseconds since 1970; 0 if never.
    pub fn last(&self) -> u64 {
        self.last.load(Ordering::Relaxed)
    }
}
