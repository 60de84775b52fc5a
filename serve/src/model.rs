//! A version of a model that answers requests.

use std::collections::BTreeSet;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use mindir::graph::Model;
use mindir::{DType, Dim, Error, Fact, GraphCell, Limit, Options, Port, Spec, Tensor};
use rayon::ThreadPool;
use tokio::sync::oneshot;

use crate::batch::{self, Client, Done, Job, LeavesOnDrop, Outcome, Policy, Queue, Refused, Times};
use crate::cache::Answers;
use crate::config::ModelConfig;
use crate::infer::{InferRequest, Results};
use crate::metrics::ModelMetrics;
use crate::sequence::Sequences;
use crate::{RequestError, datatype};

/// How long a run with made-up inputs may take before a model is ready.
const TRIAL: Duration = Duration::from_secs(20);

/// A version of a model that answers requests. It ends when the last who holds it lets it go, and what waits then is still done.
pub(crate) struct Served {
    pub name: String,
    pub version: u64,
    pub inputs: Vec<Port>,
    pub outputs: Vec<Port>,
    pub config: ModelConfig,
    /// Names of the classes.
    pub labels: Vec<String>,
    /// Why requests are not joined, if they are not.
    pub alone: Option<String>,
    pub metrics: Arc<ModelMetrics>,
    answers: Option<Answers>,
    work: Arc<Work>,
}

/// What the threads of a model share.
struct Work {
    name: String,
    cell: GraphCell,
    queue: Queue,
    sequences: Sequences,
    metrics: Arc<ModelMetrics>,
}

impl Served {
    /// Prepares a model, finds out whether requests may be joined, and starts its threads.
    pub fn start(
        (name, version): (&str, u64),
        model: Model,
        config: ModelConfig,
        labels: Vec<String>,
        pool: Arc<ThreadPool>,
        metrics: Arc<ModelMetrics>,
    ) -> Result<Served, Error> {
        let options = Options {
            threads: config.threads,
            max_memory: config.max_memory,
            packed_weights: config.packed_weights.clone(),
            batch_invariant: config.max_batch > 1,
            ..Options::default()
        };
        let options = match &config.device {
            Some(device) => options.on(device)?,
            None => options,
        };
        let cell = GraphCell::new(model, options.with_pool(pool))?;
        let inputs = named(cell.inputs(), "input");
        let outputs = described(&cell.clone().with_deadline(TRIAL), named(cell.outputs(), "output"));
        let tried = cell.clone().with_deadline(TRIAL);
        if config.warm_up {
            warm_up(&tried)?;
        }
        let alone = (config.max_batch > 1).then(|| alone(&tried, config.max_batch)).flatten();
        let writes = cell.model().params.iter().any(|param| param.mutable);
        let answers = config.cache.filter(|_| !writes).map(|cache| Answers::new(cache.bytes));
        let max_batch = if alone.is_none() { config.max_batch } else { 1 };
        let delay = Duration::from_millis(config.batch_delay_ms.into());
        let queue = Queue::new(Policy { max_batch, delay, most: config.queue });
        let sequences =
            Sequences::new(cell.new_state(), config.sequences, Duration::from_millis(config.sequence_idle_ms.into()));
        let work = Arc::new(Work { name: name.into(), cell, queue, sequences, metrics: metrics.clone() });
        let served =
            Served { name: name.into(), version, inputs, outputs, config, labels, alone, metrics, answers, work };
        // Threads that were started end with what they serve, also if another cannot be.
        for i in 0..served.config.instances {
            let work = served.work.clone();
            let thread = thread::Builder::new().name(format!("{name} {version} {i}"));
            thread.spawn(move || work.run()).map_err(|e| no_thread(&e))?;
        }
        Ok(served)
    }

    /// The model.
    pub fn model(&self) -> &Model {
        self.work.cell.model()
    }

    /// Requests that wait.
    pub fn waiting(&self) -> usize {
        self.work.queue.len()
    }

    /// Most rows of one run.
    pub fn max_batch(&self) -> usize {
        self.work.queue.policy().max_batch
    }

    /// Results for a request. Dropping the future cancels it.
    pub async fn infer(&self, request: InferRequest) -> Result<Results, RequestError> {
        let start = Instant::now();
        let answered = self.answer(request).await;
        match &answered {
            Ok((_, times)) => self.metrics.succeeded(start.elapsed(), times),
            Err(e) => self.metrics.failed(e.reason(), start.elapsed()),
        }
        answered.map(|(results, _)| results)
    }

    async fn answer(&self, mut request: InferRequest) -> Result<(Results, Times), RequestError> {
        let chosen = self.chosen(&request.outputs)?;
        let inputs = self.ordered(std::mem::take(&mut request.inputs))?;
        let Done { results, times } = self.done(inputs, request).await?;
        let pick = |i: &usize| Some((self.outputs.get(*i)?.name.clone(), results.get(*i)?.clone()));
        Ok((chosen.iter().filter_map(pick).collect(), times))
    }

    /// The results for inputs, which are kept or else computed.
    async fn done(&self, inputs: Vec<Tensor>, request: InferRequest) -> Result<Done, RequestError> {
        let Some(answers) = self.answers.as_ref().filter(|_| request.sequence.is_none()) else {
            return self.computed(inputs, request).await;
        };
        let start = Instant::now();
        if let Some(results) = answers.get(&inputs) {
            self.metrics.hit(start.elapsed());
            return Ok(Done { results, times: Times::default() });
        }
        let done = self.computed(inputs.clone(), request).await?;
        let start = Instant::now();
        answers.put(&inputs, &done.results);
        self.metrics.missed(start.elapsed());
        Ok(done)
    }

    async fn computed(&self, inputs: Vec<Tensor>, request: InferRequest) -> Result<Done, RequestError> {
        let own = self.config.timeout_ms.map(|ms| Duration::from_millis(ms.into()));
        let time = request.timeout.into_iter().chain(own).min();
        let (answer, answered) = oneshot::channel();
        let client = Client::default();
        let _leaves = LeavesOnDrop(client.clone());
        let (priority, sequence) = (request.priority, request.sequence);
        let job = Job { inputs, priority, sequence, arrived: Instant::now(), answer, client };
        self.work.queue.push(job).map_err(|refused| match refused {
            Refused::Full => RequestError::Busy { model: self.name.clone(), waiting: self.config.queue },
            Refused::Closed => RequestError::NotReady(format!("{}: it is being unloaded", self.name)),
        })?;
        let lost = |_| Err(RequestError::Internal(format!("{}: the run ended without a result", self.name)));
        match time {
            None => answered.await.unwrap_or_else(lost),
            Some(time) => match tokio::time::timeout(time, answered).await {
                Ok(outcome) => outcome.unwrap_or_else(lost),
                Err(_) => Err(RequestError::Late { model: self.name.clone(), time }),
            },
        }
    }

    /// The numbers of the results that a request names; all if it names none.
    fn chosen(&self, names: &[String]) -> Result<Vec<usize>, RequestError> {
        if names.is_empty() {
            return Ok((0..self.outputs.len()).collect());
        }
        let known = || list(&self.outputs);
        if let Some((i, twice)) = names.iter().enumerate().find(|(i, name)| names[..*i].contains(name)) {
            return Err(RequestError::Invalid(format!("outputs: {twice:?} stands twice, at last as number {i}")));
        }
        let position = |name: &String| {
            let unknown = || RequestError::Invalid(format!("outputs: expected of {}, found {name:?}", known()));
            self.outputs.iter().position(|port| port.name == *name).ok_or_else(unknown)
        };
        names.iter().map(position).collect()
    }

    /// Tensors by name in the order of the model's inputs.
    fn ordered(&self, mut given: Vec<(String, Tensor)>) -> Result<Vec<Tensor>, RequestError> {
        let invalid = |text: String| Err(RequestError::Invalid(format!("inputs: {text}")));
        let mut ordered = Vec::with_capacity(self.inputs.len());
        for port in &self.inputs {
            let Some(at) = given.iter().position(|(name, _)| *name == port.name) else {
                return invalid(format!("expected {}; {} is missing", list(&self.inputs), port.name));
            };
            let (name, tensor) = given.swap_remove(at);
            if given.iter().any(|(other, _)| *other == name) {
                return invalid(format!("{name} stands twice"));
            }
            if let Some(expected) = port.spec.dtype.filter(|dtype| *dtype != tensor.dtype()) {
                let names = [expected, tensor.dtype()].map(|dtype| datatype::name(dtype).unwrap_or(dtype.name()));
                return invalid(format!("{name}: expected {}, found {}", names[0], names[1]));
            }
            ordered.push(tensor);
        }
        match given.first() {
            Some((name, _)) => invalid(format!("expected {}, found {name:?} besides", list(&self.inputs))),
            None => Ok(ordered),
        }
    }
}

impl Drop for Served {
    fn drop(&mut self) {
        self.work.queue.close();
    }
}

impl Work {
    fn run(&self) {
        while let Some(jobs) = self.queue.take() {
            self.answer(jobs);
        }
    }

    /// Runs jobs together; if that fails, each alone, so that none suffers from another.
    fn answer(&self, jobs: Vec<Job>) {
        let start = Instant::now();
        let rows: Vec<usize> = jobs.iter().map(|job| job.rows().unwrap_or(1).max(1)).collect();
        let ran = catch_unwind(AssertUnwindSafe(|| self.results(&jobs, &rows)));
        let panicked = |_| Err(RequestError::Internal(format!("{}: the run failed; the server goes on", self.name)));
        let ran = ran.unwrap_or_else(panicked);
        let took = start.elapsed();
        self.metrics.executed(rows.iter().sum(), took);
        match ran {
            Ok(results) => jobs.into_iter().zip(results).for_each(|(job, results)| {
                let times = Times { waited: start.duration_since(job.arrived), ran: took };
                send(job, Ok(Done { results, times }));
            }),
            Err(_) if jobs.len() > 1 => jobs.into_iter().for_each(|job| self.answer(vec![job])),
            Err(e) => jobs.into_iter().for_each(|job| send(job, Err(e.clone()))),
        }
    }

    /// The results of each job.
    fn results(&self, jobs: &[Job], rows: &[usize]) -> Result<Vec<Vec<Tensor>>, RequestError> {
        let cell = self.cell.clone().with_cancel(batch::token(jobs.iter().map(|job| &job.client)));
        let failed = |e: Error| RequestError::of_run(&self.name, &e);
        if let [job] = jobs {
            let results = match &job.sequence {
                None => cell.run(&job.inputs).map_err(failed)?,
                Some(s) => self.sequences.run(s, |state| cell.run_in(state, &job.inputs).map_err(failed))?,
            };
            return Ok(vec![results]);
        }
        let parts = |i: usize| jobs.iter().filter_map(move |job| job.inputs.get(i));
        let count = jobs.first().map_or(0, |job| job.inputs.len());
        let joined: Result<Vec<Tensor>, _> = (0..count).map(|i| batch::joined(parts(i))).collect();
        let whole = cell.run(&joined.map_err(|e| failed(e.into()))?).map_err(failed)?;
        let mut results: Vec<Vec<Tensor>> = jobs.iter().map(|_| Vec::with_capacity(whole.len())).collect();
        for tensor in &whole {
            let parts = batch::parted(tensor, rows).ok_or_else(|| {
                RequestError::Internal(format!("{}: a result has not a row for each input's", self.name))
            })?;
            let parts = parts.map_err(|e| failed(e.into()))?;
            results.iter_mut().zip(parts).for_each(|(results, part)| results.push(part));
        }
        Ok(results)
    }
}

/// Tells the client; nobody is there if it is gone.
fn send(job: Job, outcome: Outcome) {
    drop(job.answer.send(outcome));
}

fn list(ports: &[Port]) -> String {
    let text = |port: &Port| {
        let dtype = port.spec.dtype.and_then(datatype::name).unwrap_or("any type");
        let dims = port.spec.dims.as_ref().map(|dims| {
            let dims: Vec<String> = dims.iter().map(|d| d.size().map_or("-1".into(), |n| n.to_string())).collect();
            format!(" [{}]", dims.join(","))
        });
        format!("{} {dtype}{}", port.name, dims.unwrap_or_default())
    };
    ports.iter().map(text).collect::<Vec<_>>().join(", ")
}

/// Ports with a name each: one that has none, or that of another, is called by its number.
fn named(mut ports: Vec<Port>, what: &str) -> Vec<Port> {
    for i in 0..ports.len() {
        let (before, rest) = ports.split_at_mut(i);
        let Some(port) = rest.first_mut() else { break };
        if port.name.is_empty() || before.iter().any(|other| other.name == port.name) {
            port.name = format!("{what}_{i}");
        }
    }
    ports
}

/// Results with the types and dimensions that the model has for one row and for two, where its file does not say them.
fn described(cell: &GraphCell, outputs: Vec<Port>) -> Vec<Port> {
    if outputs.iter().all(|port| port.spec.dtype.is_some() && port.spec.dims.is_some()) {
        return outputs;
    }
    let found = |facts: Option<Vec<Fact>>| {
        let inputs = facts?.iter().map(|fact| filled(fact, 0)).collect::<Result<Vec<_>, _>>().ok()?;
        let results = cell.run_in(&mut cell.new_state(), &inputs).ok()?;
        Some(results.iter().map(Tensor::fact).collect::<Vec<Fact>>())
    };
    let Some(one) = found(cell.exported_facts().or_else(|| facts(cell, 1))) else { return outputs };
    // A model that takes no second row has as many as its file says.
    let two = if cell.exported_facts().is_some() { None } else { found(facts(cell, 2)) };
    let spec = |(i, port): (usize, Port)| {
        let Some(fact) = one.get(i) else { return port };
        let other = two.as_ref().and_then(|two| two.get(i)).unwrap_or(fact);
        let dim = |(a, b): (&usize, &usize)| if a == b { Dim::Known(*a) } else { Dim::Unknown };
        let dims = fact.shape.iter().zip(&other.shape).map(dim).collect();
        Port { spec: Spec { dtype: Some(fact.dtype), dims: Some(dims) }, ..port }
    };
    outputs.into_iter().enumerate().map(spec).collect()
}

fn no_thread(e: &std::io::Error) -> Error {
    Error::NoDevice { device: "cpu".into(), reason: format!("no thread: {e}") }
}

/// Facts of the inputs for so many rows, where the model leaves that open or has one row.
fn facts(cell: &GraphCell, rows: usize) -> Option<Vec<Fact>> {
    let fact = |port: Port| {
        let dims = port.spec.dims?;
        let (_, rest) = dims.split_first()?;
        let rest = rest.iter().map(|d| d.size()).collect::<Option<Vec<usize>>>()?;
        let shape: Vec<usize> = [rows].into_iter().chain(rest).collect();
        Some(Fact::new(port.spec.dtype?, &shape))
    };
    cell.inputs().into_iter().map(fact).collect()
}

/// Runs the model once, where its file says all dimensions or all but the first.
fn warm_up(cell: &GraphCell) -> Result<(), Error> {
    let Some(facts) = cell.exported_facts().or_else(|| facts(cell, 1)) else { return Ok(()) };
    let inputs = facts.iter().map(|fact| filled(fact, 0)).collect::<Result<Vec<_>, _>>()?;
    let mut state = cell.new_state();
    // Numbers that nobody sent may be no inputs for the model, or such that it goes on for long.
    let matters = |e: &Error| match e {
        Error::Limit { what, .. } => matches!(what, Limit::Memory | Limit::System),
        e => matches!(e, Error::Unsupported(_) | Error::Declined(_) | Error::NoDevice { .. }),
    };
    cell.run_in(&mut state, &inputs).map_or_else(|e| if matters(&e) { Err(e) } else { Ok(()) }, |_| Ok(()))
}

/// A tensor of small numbers that differ from row to row: integers are 0 and 1.
fn filled(fact: &Fact, seed: u64) -> Result<Tensor, mindir::TensorError> {
    let mut random = mindir::random::SplitMix(seed);
    let number = |_| match fact.dtype {
        DType::F16 | DType::BF16 | DType::F32 | DType::F64 => random.even() as f64,
        _ => random.below(2) as f64,
    };
    let numbers: Vec<f64> = (0..fact.count()).map(number).collect();
    Tensor::from_f64s(fact.dtype, &fact.shape, &numbers)
}

/// Why the rows of several requests may not run together; `None` if they may: then each has, bit by bit, the results that it has
/// alone.
///
/// What the graph says is not enough: shapes, and with them kernels, depend on the number of rows. So rows are run alone and
/// beside others that are as unlike them as may be: NaN, infinite, large and small.
fn alone(cell: &GraphCell, max_batch: usize) -> Option<String> {
    let model = cell.model();
    if model.params.iter().any(|param| param.mutable) {
        return Some("it writes its parameters".into());
    }
    if model.graphs.len() > 1 || model.entry().nodes.iter().any(|node| node.op_name() == "raise") {
        return Some("it has control flow, which may go by all rows at once".into());
    }
    let Some(one) = facts(cell, 1) else {
        return Some("its inputs have no first dimension, or others that are open".into());
    };
    if one.is_empty() {
        return Some("it has no inputs".into());
    }
    let row = one.iter().map(|fact| fact.bytes() as u64).fold(0u64, u64::saturating_add);
    if row.saturating_mul(max_batch as u64) > LARGEST {
        return Some(format!("{max_batch} rows of inputs take more than {LARGEST} bytes"));
    }
    let sizes: BTreeSet<usize> = [2, 3, 5, max_batch].into_iter().filter(|rows| *rows <= max_batch).collect();
    sizes.into_iter().find_map(|rows| {
        let found = POISONS.iter().find_map(|poison| differ(cell, &one, rows, *poison).transpose());
        found.transpose().unwrap_or_else(|e| Some(format!("it does not run with several rows: {e}")))
    })
}

/// Most bytes of the inputs of a batch.
const LARGEST: u64 = 1 << 30;

/// What stands in every other row, where inputs are floats.
const POISONS: [f64; 6] = [0.5, 1e4, f64::MAX, f64::MIN, f64::INFINITY, f64::NAN];

/// Which result has other rows in a batch of `n` than alone, where every other row holds `poison`.
fn differ(cell: &GraphCell, one: &[Fact], n: usize, poison: f64) -> Result<Option<String>, Error> {
    let row = |i: usize| {
        let part = |(j, fact): (usize, &Fact)| match i % 2 == 1 && fact.dtype.is_float() {
            true => Tensor::from_f64s(fact.dtype, &fact.shape, &vec![poison; fact.count()]),
            false => filled(fact, (i * one.len() + j) as u64),
        };
        one.iter().enumerate().map(part).collect::<Result<Vec<_>, _>>()
    };
    let rows = (0..n).map(row).collect::<Result<Vec<_>, _>>()?;
    let whole: Result<Vec<Tensor>, _> =
        (0..one.len()).map(|i| batch::joined(rows.iter().filter_map(move |row| row.get(i)))).collect();
    let whole = cell.run(&whole?)?;
    let single = rows.iter().step_by(2).map(|row| cell.run(row)).collect::<Result<Vec<_>, _>>()?;
    for (i, whole) in whole.iter().enumerate() {
        let Some(parts) = batch::parted(whole, &vec![1; n]) else {
            return Ok(Some(format!("result {i} has not a row for each of its inputs'")));
        };
        let same =
            parts?.iter().step_by(2).zip(&single).all(|(part, single)| {
                single.get(i).is_some_and(|t| t.fact() == part.fact() && t.bytes() == part.bytes())
            });
        if !same {
            return Ok(Some(format!("a row of result {i} is another beside other rows than alone")));
        }
    }
    Ok(None)
}
