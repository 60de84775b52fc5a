//! From tasks to steps on devices: placement, memory, stages.

mod expand;
mod fold;
mod memory;
mod place;
mod report;
mod resident;
mod run;

use std::collections::{BTreeSet, HashMap};
use std::sync::Arc;

use mindir_graph::bounds::{self, Exceeded};
use mindir_graph::graph::{GraphId, ValueId};
use mindir_graph::lower::{Lowered, Stop};
use mindir_graph::passes::{Aims, Note, PASSES, Preferences, optimize};
use mindir_graph::task::{Source, Task, TaskGraph, TaskNode, V};
use mindir_graph::{Fact, Table, Tensor};
use mindir_kernels::device::{Device, DeviceError, Executable, MemoryModel, Offer, Place, Slot, Stage, Step, Weights};

pub(crate) use fold::NAME as CONSTANTS;
use fold::{Contents, Folded};
use place::{Part, Placed};
pub use report::{Decline, Life, StageReport, StepReport};
pub(crate) use run::Workspace;

use crate::{Error, Fallback, Options};

/// What a run of nodes does, for one set of input facts: stages of steps on devices, with all memory planned.
#[derive(Clone, Debug)]
pub struct Plan {
    stages: Vec<StageReport>,
    results: Vec<Fact>,
    /// Bytes of buffers in host memory that stages hand to each other.
    host: usize,
    notes: Vec<Note>,
    visits: u64,
    /// Why it ends, and the number of the node where it does.
    pub(crate) stop: Stop,
    pub(crate) next: usize,
}

impl Plan {
    /// Plans lowered tasks without making what follows from large constants.
    pub(crate) fn new(
        lowered: Lowered,
        devices: &[Arc<dyn Device>],
        weights: &Weights,
        options: &Options,
    ) -> Result<Plan, Error> {
        Ok(Draft::new(lowered, Contents::Small, devices, weights, options)?.plan)
    }

    /// The stages with their steps, kernels, buffers and declined devices.
    pub fn stages(&self) -> &[StageReport] {
        &self.stages
    }

    /// What the passes did and why.
    pub fn notes(&self) -> &[Note] {
        &self.notes
    }

    /// How often passes looked at a task.
    pub fn visits(&self) -> u64 {
        self.visits
    }

    /// How many of the entry graph's nodes the plan covers, and why not more; `None` if it covers all.
    pub fn stops(&self) -> Option<(usize, &'static str)> {
        (self.stop != Stop::End).then(|| (self.next, why(&self.stop)))
    }

    /// Facts of the results.
    pub fn results(&self) -> impl Iterator<Item = &Fact> {
        self.results.iter()
    }

    /// Floating-point operations of one run.
    pub fn flops(&self) -> u64 {
        self.stages.iter().flat_map(|s| &s.steps).map(|s| s.flops).fold(0, u64::saturating_add)
    }

    /// Bytes of working memory that each session needs besides inputs and results.
    pub fn scratch_bytes(&self) -> usize {
        self.stages.iter().map(|s| s.memory + s.scratch).sum::<usize>() + self.host
    }
}

/// A plan whose stages are not built yet.
struct Draft {
    plan: Plan,
    stages: Vec<DraftStage>,
    host: Vec<usize>,
    device: Vec<OnDevice>,
    results: Vec<Returned>,
    writes: Vec<(usize, usize)>,
    outputs: Vec<ValueId>,
    jumps: Vec<GraphId>,
    constants: Vec<Tensor>,
    folded: Vec<Folded>,
}

/// A stage with what its device offers for the steps, and what it reads and writes.
struct DraftStage {
    device: Arc<dyn Device>,
    stage: Stage,
    offers: Vec<Offer>,
    ports: StagePorts,
}

/// What a stage reads and writes, and what is copied before and after it, where its device has memory of its own.
#[derive(Clone, Debug, Default)]
pub(crate) struct StagePorts {
    pub ins: Vec<Feed>,
    pub outs: Vec<Target>,
    /// What goes to a tensor in the device's memory before the steps.
    pub uploads: Vec<(Feed, usize)>,
    /// What comes from such a tensor after them.
    pub downloads: Vec<(usize, Target)>,
}

/// A tensor in a device's memory that stages hand to each other, or that is copied to or from host memory.
#[derive(Clone, Debug)]
pub(crate) struct OnDevice {
    pub device: Arc<dyn Device>,
    pub fact: Fact,
}

impl Draft {
    fn new(
        lowered: Lowered,
        contents: Contents,
        devices: &[Arc<dyn Device>],
        weights: &Weights,
        options: &Options,
    ) -> Result<Draft, Error> {
        let mut tasks = lowered.tasks;
        sizes(&tasks)?;
        let (mut notes, visits, folded) = rewrite(&mut tasks, contents, devices, weights, options)?;
        expand::expand(&mut tasks, devices, &mut notes);
        let placed = place::place(&tasks, devices)?;
        if options.fallback == Fallback::Deny {
            place::deny_fallback(&tasks, &placed)?;
        }
        let mut builder = Builder::new(&tasks, &placed);
        builder.results();
        builder.takeovers();
        let (mut stages, mut report) = (Vec::new(), Vec::new());
        for part in place::stages(&tasks, &placed) {
            bounds::check()?;
            let (stage, ports) = builder.stage(part)?;
            let copied = builder.copied(&ports);
            report.push(report::stage(&tasks, part, &stage, copied, &builder.producer));
            stages.push(DraftStage { device: part.device.clone(), stage, offers: Vec::new(), ports });
        }
        builder.fits(&report)?;
        let Builder { host, device, returned: results, .. } = builder;
        let mut offers = placed.into_iter().map(|p| p.offer);
        stages.iter_mut().for_each(|s| s.offers = offers.by_ref().take(s.stage.steps.len()).collect());
        Ok(Draft {
            writes: tasks.writes.iter().enumerate().map(|(i, (p, _))| (*p, tasks.outputs.len() + i)).collect(),
            plan: Plan {
                stages: report,
                results: results.iter().map(|r| r.fact.clone()).collect(),
                host: host.iter().sum(),
                notes,
                visits,
                stop: lowered.stop,
                next: lowered.next,
            },
            stages,
            host,
            device,
            results,
            outputs: lowered.outputs,
            jumps: lowered.jumps,
            constants: constants(&tasks),
            folded,
        })
    }
}

/// A plan that runs.
pub(crate) struct Compiled {
    pub plan: Plan,
    pub stages: Vec<BuiltStage>,
    /// Sizes of buffers in host memory that stages hand to each other.
    pub host: Vec<usize>,
    pub device: Vec<OnDevice>,
    pub results: Vec<Returned>,
    /// Parameters to write, with the index of the result that holds their new contents.
    pub writes: Vec<(usize, usize)>,
    /// The graph's values that the first results are.
    pub outputs: Vec<ValueId>,
    /// The graphs that it jumps to; where the plan ends is about the last.
    pub jumps: Vec<GraphId>,
    /// Constants that steps and results read.
    constants: Vec<Tensor>,
    /// What was computed from constants.
    folded: Vec<Folded>,
}

/// An executable with what it reads and writes.
pub(crate) struct BuiltStage {
    pub device: Arc<dyn Device>,
    pub executable: Arc<dyn Executable>,
    pub ports: StagePorts,
}

/// Where bytes come from that a stage or result reads.
#[derive(Clone, Debug)]
pub(crate) enum Feed {
    Input(usize),
    Param(usize),
    Const(Tensor),
    Buffer(Target),
}

/// Memory that a stage writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) enum Target {
    Host(usize),
    Result(usize),
    Device(usize),
}

impl Target {
    /// The number of the result, if it is one.
    fn result(self) -> Option<usize> {
        if let Target::Result(i) = self { Some(i) } else { None }
    }
}

/// A result and how it comes about.
#[derive(Clone, Debug)]
pub(crate) struct Returned {
    pub fact: Fact,
    /// What it is the same as; `None` if a stage writes it.
    pub copy_of: Option<Feed>,
    /// The input that it starts as: the stage replaces parts of it.
    pub over: Option<usize>,
}

impl Compiled {
    /// Plans lowered tasks and builds the executables.
    pub(crate) fn new(
        lowered: Lowered,
        devices: &[Arc<dyn Device>],
        weights: &Weights,
        options: &Options,
    ) -> Result<Compiled, Error> {
        let draft = Draft::new(lowered, Contents::All, devices, weights, options)?;
        let mut stages = Vec::with_capacity(draft.stages.len());
        for DraftStage { device, stage, offers, ports } in draft.stages {
            stages.push(BuiltStage { executable: device.build(stage, offers, weights)?, device, ports });
        }
        let Draft { plan, host, device, results, writes, outputs, jumps, constants, folded, .. } = draft;
        Ok(Compiled { plan, stages, host, device, results, writes, outputs, jumps, constants, folded })
    }

    /// The constants that the plan holds, the model's own and those that were made when planning.
    pub(crate) fn constants(&self) -> impl Iterator<Item = &Tensor> {
        self.constants.iter().chain(self.folded.iter().flat_map(|f| f.iter()))
    }

    /// Bytes that a [`Workspace`] keeps between runs.
    pub(crate) fn workspace_bytes(&self) -> usize {
        self.stages.iter().map(|s| s.executable.session_bytes()).sum::<usize>() + self.host.iter().sum::<usize>()
    }
}

/// Says whether the bytes of all values together are a number; all that is planned from here on is less.
fn sizes(tasks: &TaskGraph) -> Result<(), Exceeded> {
    let sum = tasks.values.iter().try_fold(0usize, |sum, v| sum.checked_add(v.fact.checked_bytes()?.checked_add(64)?));
    let fits = sum.is_some_and(|sum| sum <= isize::MAX as usize);
    if fits { Ok(()) } else { Err(Exceeded::system(sum.unwrap_or(usize::MAX))) }
}

/// The constants that nodes and results read.
fn constants(tasks: &TaskGraph) -> Vec<Tensor> {
    let reads =
        tasks.nodes.iter().flat_map(|n| &n.ins).chain(&tasks.outputs).chain(tasks.writes.iter().map(|(_, v)| v));
    let roots: BTreeSet<V> = reads.map(|v| tasks.root(*v)).collect();
    let constant = |v: V| match &tasks.values[v].source {
        Source::Const(t) => Some(t.clone()),
        _ => None,
    };
    roots.into_iter().filter_map(constant).collect()
}

/// Why a plan ends where it does.
pub(crate) fn why(stop: &Stop) -> &'static str {
    match stop {
        Stop::End => "the end",
        Stop::Value(_) => "needs a value that is computed at run time before it can be planned",
        Stop::Dynamic => "has a result whose shape depends on data",
        Stop::Call => "calls a graph",
    }
}

/// Runs the passes, and computes what follows from constants before and after them.
fn rewrite(
    tasks: &mut TaskGraph,
    contents: Contents,
    devices: &[Arc<dyn Device>],
    weights: &Weights,
    options: &Options,
) -> Result<(Vec<Note>, u64, Vec<Folded>), Error> {
    let (mut notes, mut folded) = (Vec::new(), Vec::new());
    let fold = options.pass_enabled(fold::NAME);
    if fold {
        folded.extend(fold::constants(tasks, contents, devices, weights, &mut notes)?);
    }
    let launches = devices.first().is_some_and(|device| device.own_memory().is_some());
    let pays = |name: &str| launches || !PASSES.iter().any(|pass| pass.name == name && pass.launches);
    let preferences = devices.first().map_or_else(Preferences::default, |device| device.preferences());
    let aims = Aims { precision: options.precision, preferences };
    let runs = |pass: &str| options.pass_enabled(pass) && pays(pass) && bounds::check().is_ok();
    let optimized = optimize(tasks, &aims, runs);
    notes.extend(optimized.list);
    bounds::check()?;
    if fold {
        folded.extend(fold::constants(tasks, contents, devices, weights, &mut notes)?);
    }
    Ok((notes, optimized.visits, folded))
}

/// Builds stages: decides for every value where it lies.
struct Builder<'a> {
    tasks: &'a TaskGraph,
    placed: &'a [Placed],
    /// For every root: the node that writes it, and the last that reads it; results are read at the end.
    producer: Table<V, Option<usize>>,
    last_use: Table<V, usize>,
    /// Buffers of roots that leave their stage.
    target: HashMap<V, Target>,
    /// Results that lie where a root lies until they are written.
    over: HashMap<V, V>,
    /// Roots that are read on another device than the one that writes them.
    elsewhere: Table<V, bool>,
    host: Vec<usize>,
    device: Vec<OnDevice>,
    /// The tensor that a root is in the memory of the device with this rank.
    resident: HashMap<(usize, V), usize>,
    returned: Vec<Returned>,
}

impl<'a> Builder<'a> {
    fn new(tasks: &'a TaskGraph, placed: &'a [Placed]) -> Builder<'a> {
        let mut last_use = tasks.values.filled(0);
        for (i, node) in tasks.nodes.iter().enumerate() {
            node.ins.iter().for_each(|v| last_use[tasks.root(*v)] = i);
        }
        for v in tasks.outputs.iter().chain(tasks.writes.iter().map(|(_, v)| v)) {
            last_use[tasks.root(*v)] = tasks.nodes.len();
        }
        let producer = tasks.producers();
        let mut elsewhere = tasks.values.filled(false);
        for (node, at) in tasks.nodes.iter().zip(placed) {
            for root in node.ins.iter().map(|v| tasks.root(*v)) {
                let writer = producer[root].and_then(|p| placed.get(p));
                elsewhere[root] |= writer.is_some_and(|writer| !place::together(writer, at));
            }
        }
        Builder {
            tasks,
            placed,
            producer,
            last_use,
            target: HashMap::new(),
            over: HashMap::new(),
            elsewhere,
            host: Vec::new(),
            device: Vec::new(),
            resident: HashMap::new(),
            returned: Vec::new(),
        }
    }

    /// Gives every result a buffer, or says what it copies.
    fn results(&mut self) {
        let results = self.tasks.outputs.iter().chain(self.tasks.writes.iter().map(|(_, v)| v));
        for (i, &v) in results.enumerate() {
            let root = self.tasks.root(v);
            let copy_of = match &self.tasks.values[root].source {
                Source::Input(n) => Some(Feed::Input(*n)),
                Source::Variable(p) => Some(Feed::Param(*p)),
                Source::Const(t) => Some(Feed::Const(t.clone())),
                _ => match self.target.get(&root) {
                    Some(t) => Some(Feed::Buffer(*t)),
                    None => {
                        self.target.insert(root, Target::Result(i));
                        None
                    }
                },
            };
            self.returned.push(Returned { fact: self.tasks.fact(v).clone(), copy_of, over: None });
        }
    }

    /// Says whether a run of the stages reported may have the memory that it needs at one time: results, what lies in host
    /// memory between stages, and the largest of the stages' own.
    fn fits(&self, report: &[StageReport]) -> Result<(), Exceeded> {
        let own = report.iter().filter(|s| s.on_host).map(|s| s.memory + s.scratch).max().unwrap_or(0);
        let results = self.returned.iter().map(|r| r.fact.bytes());
        bounds::could_hold(results.chain(self.host.iter().copied()).chain([own]).fold(0, usize::saturating_add))
    }

    /// Lets results that are an input but for some parts take the input's memory over.
    fn takeovers(&mut self) {
        let targets: Vec<(V, usize)> = self.target.iter().filter_map(|(v, t)| Some((*v, t.result()?))).collect();
        for (result, at) in targets {
            if let (Some((input, roots)), Some(returned)) = (self.replaced(result), self.returned.get_mut(at)) {
                returned.over = Some(input);
                self.over.extend(roots.into_iter().map(|root| (root, result)));
            }
        }
    }

    /// The task that writes a root, with its number.
    fn writer(&self, root: V) -> Option<(usize, &TaskNode, &Placed)> {
        let at = self.producer[root]?;
        Some((at, self.tasks.nodes.get(at)?, self.placed.get(at)?))
    }

    /// The input that `result` is but for some parts, and the roots between them: each is read for the last time where the
    /// next is made of it, in one stage.
    fn replaced(&self, result: V) -> Option<(usize, Vec<V>)> {
        let (mut roots, mut made) = (Vec::new(), result);
        let (_, _, last) = self.writer(result)?;
        loop {
            let (at, node, placed) = self.writer(made)?;
            let partly = matches!(node.task, Task::Scatter(_)) && placed.offer.in_place.contains(&0);
            let arena = placed.device.memory() == MemoryModel::Arena && placed.device.own_memory().is_none();
            let root = self.tasks.root(*node.ins.first()?);
            let once = node.ins.iter().filter(|v| self.tasks.root(**v) == root).count() == 1;
            let dies = self.last_use[root] == at && !self.target.contains_key(&root);
            let same = self.tasks.fact(root).bytes() == self.tasks.fact(result).bytes();
            if !(partly && arena && once && dies && same && place::together(placed, last)) {
                return None;
            }
            roots.push(root);
            match &self.tasks.values[root].source {
                Source::Input(i) => return Some((*i, roots)),
                Source::Task if self.one_stage(root, result) => made = root,
                _ => return None,
            }
        }
    }

    /// Whether both are written in the same stage.
    fn one_stage(&self, a: V, b: V) -> bool {
        let (Some(a), Some(b)) = (self.producer[a], self.producer[b]) else { return false };
        self.placed.get(a..=b).is_some_and(|placed| placed.chunk_by(place::together).count() == 1)
    }

    /// The stage of these tasks, with what it reads from and writes to the outside.
    fn stage(&mut self, part: Part<'_>) -> Result<(Stage, StagePorts), Error> {
        let range = part.range();
        let mut blocks = memory::blocks(self.tasks, part, |v| self.leaves(v, &range), &self.last_use);
        let (slots, arena) = blocks.assign(part.device.memory());
        let mut stage = Stage { slots: slots.clone(), arena, ..Stage::default() };
        let mut ports = Ports::default();
        for (_, node, _) in part.tasks() {
            let in_places = node.ins.iter().map(|v| self.read(*v, part, &blocks, &mut ports));
            let in_places = in_places.collect::<Result<_, _>>()?;
            let out_places = node.outs.iter().map(|v| self.write(*v, part, &blocks, &mut ports));
            let out_places = out_places.collect::<Result<_, _>>()?;
            stage.steps.push(Step {
                task: node.task.clone(),
                ins: in_places,
                in_facts: node.ins.iter().map(|v| self.tasks.fact(*v).clone()).collect(),
                outs: out_places,
                out_facts: node.outs.iter().map(|v| self.tasks.fact(*v).clone()).collect(),
                path: node.path.clone(),
            });
        }
        let Ports { ins, outs, uploads, downloads } = ports;
        let facts = |roots: Vec<V>| roots.into_iter().map(|v| self.tasks.fact(v).clone()).collect();
        (stage.inputs, stage.outputs) = (facts(ins.roots), facts(outs.roots));
        Ok((stage, StagePorts { ins: ins.list, outs: outs.list, uploads, downloads }))
    }

    /// Bytes that are copied before a stage, and after it.
    fn copied(&self, ports: &StagePorts) -> (usize, usize) {
        let bytes = |at: usize| self.device.get(at).map_or(0, |d| d.fact.bytes());
        let up = ports.uploads.iter().map(|(_, at)| bytes(*at)).fold(0, usize::saturating_add);
        let down = ports.downloads.iter().map(|(at, _)| bytes(*at)).fold(0, usize::saturating_add);
        (up, down)
    }

    /// Whether a root written in the stage is read outside of it.
    fn leaves(&self, root: V, range: &std::ops::Range<usize>) -> bool {
        self.last_use[root] >= range.end || self.target.contains_key(&root) || self.over.contains_key(&root)
    }

    fn read(&mut self, v: V, part: Part<'_>, blocks: &memory::Blocks, ports: &mut Ports) -> Result<Place, Error> {
        let (root, range) = (self.tasks.root(v), part.range());
        if let Some(t) = self.tasks.known(v) {
            return Ok(Place::Const(t));
        }
        if self.tasks.is_constant(v) {
            // Its contents are not made, so that the stage is not built.
            return Ok(Place::Const(Tensor::scalar(0u8)));
        }
        let here = |v: V| self.producer[v].is_some_and(|p| range.contains(&p));
        if let Some(&result) = self.over.get(&root).filter(|result| here(**result)) {
            return Ok(Place::Output(self.output(result, &mut ports.outs)?));
        }
        if here(root) {
            let slot = blocks.of.get(&root).map(|block| Place::Slot(block.0));
            let output = || ports.outs.of.get(&root).map(|at| Place::Output(*at));
            return slot.or_else(output).ok_or_else(|| unplaced(root));
        }
        if let Some(at) = ports.ins.of.get(&root) {
            return Ok(Place::Input(*at));
        }
        let feed = match part.device.own_memory() {
            Some(_) => Feed::Buffer(Target::Device(self.uploaded(root, part, &mut ports.uploads)?)),
            None => self.feed(root)?,
        };
        Ok(Place::Input(ports.ins.push(root, feed)))
    }

    /// The tensor in the device's memory that a root is, if need be by a copy before the stage.
    fn uploaded(&mut self, root: V, part: Part<'_>, uploads: &mut Vec<(Feed, usize)>) -> Result<usize, Error> {
        if let Some(at) = self.resident.get(&(part.rank(), root)) {
            return Ok(*at);
        }
        let feed = self.feed(root)?;
        let at = self.on_device(root, part);
        uploads.push((feed, at));
        Ok(at)
    }

    /// A new tensor in the device's memory for a root.
    fn on_device(&mut self, root: V, part: Part<'_>) -> usize {
        self.device.push(OnDevice { device: part.device.clone(), fact: self.tasks.fact(root).clone() });
        self.resident.insert((part.rank(), root), self.device.len() - 1);
        self.device.len() - 1
    }

    /// The place of a root that leaves the stage among the outputs.
    fn output(&self, root: V, outs: &mut List<Target>) -> Result<usize, Error> {
        match outs.of.get(&root) {
            Some(at) => Ok(*at),
            None => Ok(outs.push(root, self.target(root)?)),
        }
    }

    /// Where a root lies in host memory that leaves its stage.
    fn target(&self, root: V) -> Result<Target, Error> {
        self.target.get(&root).copied().ok_or_else(|| unplaced(root))
    }

    fn feed(&self, root: V) -> Result<Feed, Error> {
        if let Some(target) = self.over.get(&root).and_then(|result| self.target.get(result)) {
            return Ok(Feed::Buffer(*target));
        }
        Ok(match &self.tasks.values[root].source {
            Source::Input(i) => Feed::Input(*i),
            Source::Variable(p) => Feed::Param(*p),
            Source::Const(t) => Feed::Const(t.clone()),
            _ => Feed::Buffer(self.target(root)?),
        })
    }

    fn write(&mut self, v: V, part: Part<'_>, blocks: &memory::Blocks, ports: &mut Ports) -> Result<Place, Error> {
        if let Some(block) = blocks.of.get(&v) {
            return Ok(Place::Slot(block.0));
        }
        debug_assert!(self.leaves(v, &part.range()));
        let bytes = self.tasks.fact(v).bytes();
        let root = self.over.get(&v).copied().unwrap_or(v);
        let own = part.device.own_memory().is_some();
        if !own || self.elsewhere[v] {
            self.target.entry(root).or_insert_with(|| {
                self.host.push(bytes);
                Target::Host(self.host.len() - 1)
            });
        }
        if !own {
            return Ok(Place::Output(self.output(root, &mut ports.outs)?));
        }
        let at = self.on_device(root, part);
        ports.downloads.extend(self.target.get(&root).map(|target| (at, *target)));
        Ok(Place::Output(ports.outs.push(root, Target::Device(at))))
    }
}

/// A plan that would read or write a value which it gave no place.
fn unplaced(root: V) -> Error {
    let message = format!("value {} was given no place", root.0);
    DeviceError::Step { path: "".into(), message }.into()
}

/// What a stage reads from, and writes to, the outside.
#[derive(Default)]
struct Ports {
    ins: List<Feed>,
    outs: List<Target>,
    uploads: Vec<(Feed, usize)>,
    downloads: Vec<(usize, Target)>,
}

/// Roots and where they lie.
struct List<T> {
    roots: Vec<V>,
    list: Vec<T>,
    of: HashMap<V, usize>,
}

impl<T> Default for List<T> {
    fn default() -> List<T> {
        List { roots: Vec::new(), list: Vec::new(), of: HashMap::new() }
    }
}

impl<T> List<T> {
    /// Adds a root and returns its number.
    fn push(&mut self, root: V, port: T) -> usize {
        self.roots.push(root);
        self.list.push(port);
        self.of.insert(root, self.list.len() - 1);
        self.list.len() - 1
    }
}

/// Slots of a stage, for reports.
pub(crate) fn slot_bytes(slots: &[Slot], arena: usize) -> usize {
    if arena > 0 { arena } else { slots.iter().map(|s| s.bytes).sum() }
}
