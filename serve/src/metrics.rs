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
use crate::model::Served;

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
    hits: Family<Labels, Counter>,
    misses: Family<Labels, Counter>,
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
            hits: Family::default(),
            misses: Family::default(),
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
        r.register("cache_hits", "Requests that were answered as before, without a run", metrics.hits.clone());
        r.register("cache_misses", "Requests whose answers were not kept", metrics.misses.clone());
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
            hits: self.hits.get_or_create_owned(&labels),
            misses: self.misses.get_or_create_owned(&labels),
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
    hits: Counter,
    misses: Counter,
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
    pub hit: Sum,
    pub miss: Sum,
    pub rows: u64,
    pub runs: u64,
    /// Requests without results by reason.
    pub failures: BTreeMap<&'static str, u64>,
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
        let mut statistics = lock(&self.statistics);
        statistics.fail.add(took);
        *statistics.failures.entry(reason).or_default() += 1;
    }

    /// An answer was kept, and found within this time.
    pub fn hit(&self, took: Duration) {
        self.hits.inc();
        lock(&self.statistics).hit.add(took);
    }

    /// No answer was kept; it takes this time to keep it.
    pub fn missed(&self, took: Duration) {
        self.misses.inc();
        lock(&self.statistics).miss.add(took);
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

/// Triton's names of the figures of a model.
type Figure = (&'static str, &'static str, fn(&Served, &Statistics) -> u64);

const FIGURES: [Figure; 14] = [
    ("nv_inference_request_success", "Number of successful inference requests", |_, s| s.success.count),
    ("nv_inference_count", "Number of inferences performed", |_, s| s.rows),
    ("nv_inference_exec_count", "Number of model executions performed", |_, s| s.runs),
    ("nv_inference_request_duration_us", "Cumulative inference request duration", |_, s| {
        us(s.success.time.saturating_add(s.fail.time))
    }),
    ("nv_inference_queue_duration_us", "Cumulative inference queuing duration", |_, s| us(s.queue.time)),
    ("nv_inference_compute_input_duration_us", "Cumulative compute input duration", |_, _| 0),
    ("nv_inference_compute_infer_duration_us", "Cumulative compute inference duration", |_, s| us(s.run.time)),
    ("nv_inference_compute_output_duration_us", "Cumulative compute output duration", |_, _| 0),
    ("nv_cache_num_hits_per_model", "Number of cache hits per model", |_, s| s.hit.count),
    ("nv_cache_num_misses_per_model", "Number of cache misses per model", |_, s| s.miss.count),
    ("nv_cache_hit_duration_per_model", "Cumulative cache hit lookup duration", |_, s| us(s.hit.time)),
    ("nv_cache_miss_duration_per_model", "Cumulative cache miss insertion duration", |_, s| us(s.miss.time)),
    ("nv_inference_pending_request_count", "Number of requests waiting for execution", |served, _| {
        served.waiting() as u64
    }),
    ("nv_inference_request_failure", "Number of failed inference requests", |_, s| s.fail.count),
];

/// Triton's names of the reasons why requests have no results, each with ours.
const REASONS: [(&str, &[&str]); 4] = [
    ("REJECTED", &["rejected", "late"]),
    ("CANCELED", &[]),
    ("BACKEND", &["server", "limit"]),
    ("OTHER", &["request"]),
];

fn us(time: Duration) -> u64 {
    u64::try_from(time.as_micros()).unwrap_or(u64::MAX)
}

/// The figures of these models as Triton has them, as Prometheus text.
pub(crate) fn triton(served: &[Arc<Served>]) -> String {
    let label = |text: &str| text.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n");
    let of = |served: &Arc<Served>| {
        (format!("model=\"{}\",version=\"{}\"", label(&served.name), served.version), served.metrics.statistics())
    };
    let models: Vec<_> = served.iter().map(|served| (served, of(served))).collect();
    let mut lines = Vec::new();
    for (name, help, figure) in FIGURES {
        let kind = if name.ends_with("pending_request_count") { "gauge" } else { "counter" };
        lines.push(format!("# HELP {name} {help}\n# TYPE {name} {kind}"));
        for (served, (labels, statistics)) in &models {
            if name != "nv_inference_request_failure" {
                lines.push(format!("{name}{{{labels}}} {}", figure(served, statistics)));
                continue;
            }
            for (reason, ours) in REASONS {
                let count: u64 = ours.iter().filter_map(|ours| statistics.failures.get(ours)).sum();
                lines.push(format!("{name}{{{labels},reason=\"{reason}\"}} {count}"));
            }
        }
    }
    lines.push(String::new());
    lines.join("\n")
}
