//! Tasks whose operands are all known run once, when planning.
//!
//! What they make of large constants is a form of these ([`Tensor::form`]): plans for other shapes find the same result, and
//! with it the forms that kernels have made of it.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use mindir_graph::bounds;
use mindir_graph::passes::Note;
use mindir_graph::task::{Source, Task, TaskGraph, TaskNode, V};
use mindir_graph::{Buffer, Fact, Table, Tensor};
use mindir_kernels::device::{Device, DeviceError, Place, Stage, Step, TaskView, Weights};

use super::memory::{self, Block, BlockId};
use crate::Error;

/// Name of the pass.
pub(crate) const NAME: &str = "constants";

/// As many tasks make a result that is kept, if only as a step on the way to others.
const LONGEST: usize = 64;

/// Results of a task that follow from constants.
pub(crate) type Folded = Arc<Vec<Tensor>>;

/// What is computed of what follows from constants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Contents {
    /// Everything.
    All,
    /// Results of tasks that read few bytes; the others are [`Source::Later`].
    Small,
}

/// Bytes that tasks read whose results [`Contents::Small`] includes.
const SMALL: usize = 1 << 16;

/// Replaces the results of tasks with known operands by constants, computed by the last device, which is the host. Returns
/// the constants, to be held as long as others shall find them.
pub(crate) fn constants(
    tasks: &mut TaskGraph,
    contents: Contents,
    devices: &[Arc<dyn Device>],
    weights: &Weights,
    notes: &mut Vec<Note>,
) -> Result<Vec<Folded>, Error> {
    let Some(host) = devices.last() else { return Ok(Vec::new()) };
    let fixed = fixed(tasks);
    let kept = kept(tasks, &fixed);
    let mut recipes: HashMap<V, Recipe> = HashMap::new();
    let mut folded = Vec::new();
    let (nodes, mut rest) = (std::mem::take(&mut tasks.nodes), Vec::new());
    for (node, fixed) in nodes.into_iter().zip(fixed) {
        if !fixed {
            rest.push(node);
            continue;
        }
        bounds::check()?;
        let why = format!("{} computed when planning", node.ops);
        notes.push(Note { pass: NAME, path: node.path.clone(), applied: true, why });
        if contents == Contents::Small && !is_small(tasks, &node) {
            node.outs.iter().for_each(|v| tasks.values[*v].source = Source::Later);
            continue;
        }
        let outs = node.outs.clone();
        let recipe = Recipe::of(tasks, node, host, &mut recipes);
        if let [out] = outs.as_slice()
            && !kept[*out]
            && recipe.steps.len() < LONGEST
        {
            recipes.insert(*out, recipe);
            continue;
        }
        let results = recipe.results(tasks, host, weights)?;
        for (v, t) in outs.into_iter().zip(results.iter()) {
            tasks.values[v].source = Source::Const(t.clone());
        }
        folded.push(results);
    }
    tasks.nodes = rest;
    Ok(folded)
}

/// Whether a node whose operands follow from constants can be computed now, for little.
fn is_small(tasks: &TaskGraph, node: &TaskNode) -> bool {
    let read = node.ins.iter().map(|v| tasks.fact(*v).bytes()).fold(0, usize::saturating_add);
    let later = |v: &V| matches!(tasks.values[tasks.root(*v)].source, Source::Later);
    read <= SMALL && !node.ins.iter().any(later)
}

/// For every node, whether its results follow from constants.
fn fixed(tasks: &TaskGraph) -> Vec<bool> {
    let mut known = tasks.values.map(|value| matches!(value.source, Source::Const(_) | Source::Later));
    let mut fixed = Vec::with_capacity(tasks.nodes.len());
    for node in &tasks.nodes {
        let source = matches!(node.task, Task::Host(_)) && node.ins.is_empty();
        let follows = !source && node.ins.iter().all(|v| known[tasks.root(*v)]);
        node.outs.iter().for_each(|v| known[*v] = follows);
        fixed.push(follows);
    }
    fixed
}

/// Results of nodes with one result that are kept: those that are a result, or read by another node than one that follows
/// from constants, or read more than once. Others are steps on the way to their only reader.
fn kept(tasks: &TaskGraph, fixed: &[bool]) -> Table<V, bool> {
    let mut reads = tasks.values.filled(0);
    for (node, &fixed) in tasks.nodes.iter().zip(fixed) {
        node.ins.iter().for_each(|v| reads[tasks.root(*v)] += if fixed { 1 } else { 2 });
    }
    let results = tasks.outputs.iter().chain(tasks.writes.iter().map(|(_, v)| v));
    results.for_each(|v| reads[tasks.root(*v)] += 2);
    reads.map(|n| *n > 1)
}

/// How the results of a node come from constants: a tree of tasks.
struct Recipe {
    /// The tasks and what they read, operands first: two trees of the same text do the same with the same constants.
    how: String,
    /// The constants, as often as they are read.
    of: Vec<Tensor>,
    /// The nodes, operands first.
    steps: Vec<TaskNode>,
    /// Whether `how` says all: the function of a host task has no text.
    told: bool,
}

impl Recipe {
    /// The recipe of a node, which takes over those of its operands.
    fn of(tasks: &TaskGraph, node: TaskNode, host: &Arc<dyn Device>, recipes: &mut HashMap<V, Recipe>) -> Recipe {
        let told = !matches!(node.task, Task::Host(_));
        let mut recipe = Recipe { how: String::new(), of: Vec::new(), steps: Vec::new(), told };
        for &v in &node.ins {
            let root = tasks.root(v);
            match (&tasks.values[root].source, recipes.remove(&root)) {
                (Source::Const(t), _) => recipe.of.push(t.clone()),
                (_, Some(operand)) => recipe.append(operand),
                _ => recipe.told = false,
            }
            recipe.how.push_str(&format!("{}\n", tasks.fact(v)));
        }
        recipe.how.push_str(&format!("{} of {}\n", task_text(tasks, &node, host), node.ins.len()));
        recipe.steps.push(node);
        recipe
    }

    fn append(&mut self, operand: Recipe) {
        if self.how.is_empty() {
            self.how = operand.how;
        } else {
            self.how.push_str(&operand.how);
        }
        self.of.extend(operand.of);
        self.steps.extend(operand.steps);
        self.told &= operand.told;
    }

    /// What the recipe makes: found with its first large constant if it was made before, and is still in use.
    fn results(&self, tasks: &TaskGraph, host: &Arc<dyn Device>, weights: &Weights) -> Result<Folded, Error> {
        let make = || run(tasks, &self.steps, host, weights);
        let mut others: Vec<&Tensor> = self.of.iter().collect();
        match others.iter().position(|t| !t.is_small()).filter(|_| self.told) {
            None => Ok(Arc::new(make()?)),
            Some(at) => {
                let large = others.remove(at);
                weights.get(large, &self.how, &others, make)
            }
        }
    }
}

/// A task with its results and its kernel, which may round as others do not.
fn task_text(tasks: &TaskGraph, node: &TaskNode, host: &Arc<dyn Device>) -> String {
    let facts = |vs: &[V]| vs.iter().map(|v| tasks.fact(*v).clone()).collect::<Vec<_>>();
    let (ins, outs) = (facts(&node.ins), facts(&node.outs));
    let known = vec![false; ins.len()];
    let view = TaskView { task: &node.task, ins: &ins, known: &known, outs: &outs };
    let kernel = host.offer(view).map(|offer| offer.kernel).unwrap_or_default();
    format!("{:?} to {outs:?} by {kernel}", node.task)
}

/// Runs nodes as one stage and returns the results of the last.
fn run(tasks: &TaskGraph, nodes: &[TaskNode], host: &Arc<dyn Device>, weights: &Weights) -> Result<Vec<Tensor>, Error> {
    let (stage, inputs) = stage(tasks, nodes)?;
    let facts = stage.outputs.clone();
    let mut session = stage.build(host.as_ref(), weights)?.session();
    let mut buffers: Vec<Buffer> = facts.iter().map(|f| Buffer::new(f.bytes())).collect::<Result<_, _>>()?;
    let sources: Vec<&[u8]> = inputs.iter().map(|t| t.bytes().as_ref()).collect();
    let mut targets: Vec<&mut [u8]> = buffers.iter_mut().map(Buffer::bytes_mut).collect();
    session.run_bytes(&sources, &mut targets)?;
    let tensor = |(b, f): (Buffer, &Fact)| Tensor::from_bytes(f.dtype, &f.shape, b.into_bytes());
    Ok(buffers.into_iter().zip(&facts).map(tensor).collect::<Result<_, _>>()?)
}

/// The stage of nodes that follow from constants, operands first, with the constants that it reads. Its outputs are the results
/// of the last node.
fn stage(tasks: &TaskGraph, nodes: &[TaskNode]) -> Result<(Stage, Vec<Tensor>), Error> {
    let (mut stage, mut inputs) = (Stage::default(), Vec::new());
    let mut places: HashMap<V, Place> = HashMap::new();
    let mut blocks: Table<BlockId, Block> = Table::default();
    for (i, node) in nodes.iter().enumerate() {
        let mut ins = Vec::with_capacity(node.ins.len());
        for root in node.ins.iter().map(|v| tasks.root(*v)) {
            let place = match places.entry(root) {
                Entry::Occupied(place) => place.into_mut(),
                Entry::Vacant(place) => {
                    let t = tasks.known(root).ok_or_else(|| DeviceError::Step {
                        path: node.path.clone(),
                        message: "an operand is not known".into(),
                    })?;
                    stage.inputs.push(t.fact());
                    // Constants may lie misaligned in their file.
                    inputs.push(Tensor::from_bytes(t.dtype(), t.shape(), t.bytes().clone())?);
                    place.insert(Place::Input(inputs.len() - 1))
                }
            };
            if let Place::Slot(block) = place {
                blocks[BlockId(*block)].last = i;
            }
            ins.push(place.clone());
        }
        let facts = |vs: &[V]| vs.iter().map(|v| tasks.fact(*v).clone()).collect::<Vec<_>>();
        let mut outs = Vec::with_capacity(node.outs.len());
        for (nth, &v) in node.outs.iter().enumerate() {
            let place = if i + 1 == nodes.len() {
                Place::Output(nth)
            } else {
                Place::Slot(blocks.add(Block { first: i, last: i, bytes: tasks.fact(v).bytes() }).0)
            };
            places.insert(v, place.clone());
            outs.push(place);
        }
        stage.outputs = facts(&node.outs);
        let (in_facts, out_facts) = (facts(&node.ins), facts(&node.outs));
        stage.steps.push(Step { task: node.task.clone(), ins, in_facts, outs, out_facts, path: node.path.clone() });
    }
    (stage.slots, stage.arena) = memory::arena(&blocks);
    Ok((stage, inputs))
}
