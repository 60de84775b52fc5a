//! Where the time of a run goes.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use mindir_graph::graph::{GraphId, Model, Node};
use mindir_graph::{Fact, Tensor};

use crate::plan::{StageReport, StepReport};
use crate::plans::Ready;

/// Most runs of plans whose times are kept one by one.
const MOST_EVENTS: usize = 1 << 14;

/// The time of every step of one run.
pub struct Profile {
    model: Arc<Model>,
    total: Duration,
    parts: Vec<Part>,
    events: Vec<Event>,
}

/// The steps of a plan, or a node that ran by its reference, with the time of all its runs.
struct Part {
    graph: GraphId,
    steps: Steps,
    runs: u64,
    nanos: Vec<u64>,
}

enum Steps {
    Plan(Arc<Ready>),
    Node(Box<StageReport>),
}

impl Part {
    fn stages(&self) -> &[StageReport] {
        match &self.steps {
            Steps::Plan(ready) => ready.compiled.plan.stages(),
            Steps::Node(stage) => std::slice::from_ref(stage),
        }
    }

    /// The steps with their devices.
    fn steps(&self) -> impl Iterator<Item = (&str, &StepReport)> {
        self.stages().iter().flat_map(|stage| stage.steps.iter().map(|step| (stage.device.as_str(), step)))
    }
}

/// One run of a part.
struct Event {
    part: usize,
    start: Duration,
    nanos: Vec<u64>,
}

/// A step with its time.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct TimedStep<'a> {
    /// Name of the graph whose nodes it computes first.
    pub graph: &'a str,
    /// Name of the device.
    pub device: &'a str,
    /// The step.
    pub step: &'a StepReport,
    /// When it began after the run did: the first time, if it ran several times.
    pub start: Duration,
    /// How long it ran: all times together.
    pub time: Duration,
    /// How often it ran.
    pub runs: u64,
}

impl Profile {
    /// How long the run took with all that is between the steps.
    pub fn total(&self) -> Duration {
        self.total
    }

    /// Every step once, in the order in which they ran first.
    pub fn steps(&self) -> impl Iterator<Item = TimedStep<'_>> {
        self.parts.iter().enumerate().flat_map(|(at, part)| {
            let first = self.events.iter().find(|event| event.part == at).map_or(Duration::ZERO, |event| event.start);
            self.timed(part, first, &part.nanos, part.runs)
        })
    }

    /// Every run of a step in order. Of very long runs these are the first ones.
    pub fn events(&self) -> impl Iterator<Item = TimedStep<'_>> {
        let timed = |event: &'_ Event| Some((self.parts.get(event.part)?, event.start));
        self.events
            .iter()
            .filter_map(move |event| Some((timed(event)?, event)))
            .flat_map(|((part, start), event)| self.timed(part, start, &event.nanos, 1))
    }

    fn timed<'a>(
        &'a self,
        part: &'a Part,
        start: Duration,
        nanos: &'a [u64],
        runs: u64,
    ) -> impl Iterator<Item = TimedStep<'a>> {
        let graph = &*self.model.graph(part.graph).name;
        part.steps().zip(nanos).scan(start, move |next, ((device, step), &nanos)| {
            let (start, time) = (*next, Duration::from_nanos(nanos));
            *next += time;
            Some(TimedStep { graph, device, step, start, time, runs })
        })
    }
}

/// What tells the parts of a run apart: the plan, or the node.
#[derive(PartialEq, Eq, Hash)]
enum Key {
    Plan(usize),
    Node(GraphId, usize),
}

/// Takes the times while a run goes on.
pub(crate) struct Recorder {
    begin: Instant,
    found: HashMap<Key, usize>,
    parts: Vec<Part>,
    events: Vec<Event>,
}

impl Recorder {
    /// Begins now.
    pub fn new() -> Recorder {
        Recorder { begin: Instant::now(), found: HashMap::new(), parts: Vec::new(), events: Vec::new() }
    }

    /// Runs a plan that starts in `graph`; `run` adds the nanoseconds of its steps.
    pub fn plan<T, E>(
        &mut self,
        graph: GraphId,
        ready: &Arc<Ready>,
        run: impl FnOnce(&mut [u64]) -> Result<T, E>,
    ) -> Result<T, E> {
        let start = self.begin.elapsed();
        let mut nanos = vec![0; ready.compiled.plan.stages().iter().map(|s| s.steps.len()).sum()];
        let done = run(&mut nanos)?;
        // The part holds the plan, so that no other one comes to lie there.
        let key = Key::Plan(Arc::as_ptr(ready).addr());
        self.add(key, start, nanos, || Part { graph, steps: Steps::Plan(ready.clone()), runs: 0, nanos: Vec::new() });
        Ok(done)
    }

    /// Takes the time since `start` for node number `at` of `graph`, which ran by its reference.
    pub fn node(&mut self, graph: GraphId, at: usize, node: &Node, start: Instant, ins: &[Fact], outs: &[Tensor]) {
        let nanos = vec![start.elapsed().as_nanos() as u64];
        let start = start.saturating_duration_since(self.begin);
        self.add(Key::Node(graph, at), start, nanos, || {
            let stage = reference(node, ins.to_vec(), outs.iter().map(Tensor::fact).collect());
            Part { graph, steps: Steps::Node(Box::new(stage)), runs: 0, nanos: Vec::new() }
        });
    }

    fn add(&mut self, key: Key, start: Duration, nanos: Vec<u64>, make: impl FnOnce() -> Part) {
        let part = *self.found.entry(key).or_insert(self.parts.len());
        if part == self.parts.len() {
            self.parts.push(make());
        }
        let Some(sum) = self.parts.get_mut(part) else { return };
        sum.runs += 1;
        sum.nanos.resize(nanos.len(), 0);
        sum.nanos.iter_mut().zip(&nanos).for_each(|(sum, n)| *sum += n);
        if self.events.len() < MOST_EVENTS {
            self.events.push(Event { part, start, nanos });
        }
    }

    /// The times of the run, which has ended now.
    pub fn finish(self, model: Arc<Model>) -> Profile {
        Profile { model, total: self.begin.elapsed(), parts: self.parts, events: self.events }
    }
}

/// A node that the host computes by its reference, as a stage.
fn reference(node: &Node, ins: Vec<Fact>, outs: Vec<Fact>) -> StageReport {
    let step = StepReport {
        path: node.path.clone(),
        ops: node.op_name().into(),
        family: "host",
        kernel: "reference".into(),
        bytes: ins.iter().chain(&outs).map(Fact::bytes).sum(),
        reads: Vec::new(),
        ins,
        outs,
        place: "result".into(),
        flops: 0,
        declined: Vec::new(),
    };
    StageReport {
        device: "cpu".into(),
        on_host: true,
        steps: vec![step],
        upload: 0,
        download: 0,
        memory: 0,
        scratch: 0,
        lives: Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use mindir_graph::DType;

    use super::*;
    use crate::{GraphCell, Options};

    #[test]
    fn loops_and_branches_have_their_steps_and_results() {
        let path = concat!(env!("CARGO_MANIFEST_DIR"), "/../tests/goldens/cf_while/model.mindir");
        let options = Options { threads: Some(1), ..Options::default() };
        let cell = GraphCell::new(crate::load(path).unwrap(), options).unwrap();
        let threes = |fact: &Fact| Tensor::from_f64s(fact.dtype, &fact.shape, &vec![3.0; fact.shape.iter().product()]);
        let inputs: Vec<Tensor> = cell.exported_facts().unwrap().iter().map(|f| threes(f).unwrap()).collect();
        let (results, profile) = cell.profile(&inputs).unwrap();
        assert_eq!(results, cell.run(&inputs).unwrap());
        let steps: Vec<TimedStep<'_>> = profile.steps().collect();
        assert!(steps.iter().any(|s| s.runs > 1), "{steps:?}");
        let sum: Duration = steps.iter().map(|s| s.time).sum();
        assert!(sum > Duration::ZERO && sum <= profile.total(), "{sum:?} of {:?}", profile.total());
        // Every run of every step, one after another.
        let events: Vec<TimedStep<'_>> = profile.events().collect();
        assert_eq!(events.len() as u64, steps.iter().map(|s| s.runs).sum::<u64>());
        assert!(events.windows(2).all(|w| w[0].start + w[0].time <= w[1].start), "{events:?}");
        assert_eq!(events.iter().map(|e| e.time).sum::<Duration>(), sum);
    }

    #[test]
    fn a_node_whose_result_depends_on_data_is_a_step() {
        let mut b = mindir_graph::builder::Builder::new("found");
        let x = b.input("x", mindir_graph::Spec::fixed(DType::F32, &[4]));
        let found = b.op("NonZero", [x.into()]).unwrap();
        let cell = GraphCell::new(b.finish(&[found]), Options::default()).unwrap();
        let (results, profile) = cell.profile(&[Tensor::vector(&[0f32, 1.0, 0.0, 2.0])]).unwrap();
        assert_eq!(results[0].shape(), [2, 1]);
        let kernels: Vec<&str> = profile.steps().map(|s| s.step.kernel.as_str()).collect();
        assert!(kernels.contains(&"reference"), "{kernels:?}");
    }
}
