//! Running the graphs of a model: frames, calls, and the plans between them.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use mindir_graph::bounds::{self, Bounds, Exceeded, Halt, Limit, Reservation, Share, Spare};
use mindir_graph::graph::{Arg, Def, Graph, GraphId, Model, Node, NodeKind, Param, ValueId};
use mindir_graph::lower::{self, Entry, Lowered, Stop};
use mindir_graph::{Fact, Tensor, TensorError};
use mindir_kernels::device::{Device, Shelf, Weights};

use crate::held::{Held, SpareBuffers};
use crate::memory::{self, Memory};
use crate::plan::{Compiled, Plan};
use crate::plans::{Key, Plans, Ready};
use crate::profile::{Profile, Recorder};
use crate::shelf::Folder;
use crate::{Error, Options, State};

/// Bytes that a reference takes for an element of an operand, besides copies.
const NUMBERS: usize = 32;

/// A model with what it takes to run it.
pub(crate) struct Interpreter {
    pub model: Arc<Model>,
    pub options: Options,
    pub devices: Vec<Arc<dyn Device>>,
    /// Whether the model writes its own parameters.
    pub stateful: bool,
    pub memory: Option<Memory>,
    pub shelf: Option<Arc<Folder>>,
    weights: Weights,
    plans: Arc<Plans>,
    sites: Mutex<HashMap<(GraphId, usize), Arc<Site>>>,
    params: Mutex<Vec<Tensor>>,
    /// What the weights take.
    _weights: Reservation,
}

/// A place in a graph where a plan starts.
#[derive(Clone, Debug)]
pub(crate) struct Site {
    /// Values that exist there and are read later.
    live: Vec<ValueId>,
    /// Indices into `live` of values whose contents planning needs.
    forced: Vec<usize>,
}

fn lock<T>(m: &Mutex<T>) -> MutexGuard<'_, T> {
    m.lock().unwrap_or_else(PoisonError::into_inner)
}

/// A graph that is running.
struct Frame {
    graph: GraphId,
    next: usize,
    /// The values that exist and may be read, by number.
    values: Vec<Option<Tensor>>,
}

impl Frame {
    fn get(&self, id: ValueId) -> Option<&Tensor> {
        self.values.get(id.0 as usize)?.as_ref()
    }

    fn take(&mut self, id: ValueId) -> Option<Tensor> {
        self.values.get_mut(id.0 as usize)?.take()
    }

    fn set(&mut self, ids: &[ValueId], tensors: impl IntoIterator<Item = Tensor>) {
        for (id, t) in ids.iter().zip(tensors) {
            if let Some(value) = self.values.get_mut(id.0 as usize) {
                *value = Some(t);
            }
        }
    }
}

/// What a parameter holds at first. One that the model writes is a value as any other.
fn start(param: &Param) -> Result<Tensor, TensorError> {
    let t = &param.tensor;
    if param.mutable { Tensor::from_bytes(t.dtype(), t.shape(), t.bytes().clone()) } else { Ok(t.clone()) }
}

impl Interpreter {
    pub fn new(
        model: Arc<Model>,
        options: Options,
        devices: Vec<Arc<dyn Device>>,
        memory: Option<Memory>,
    ) -> Result<Interpreter, Error> {
        let params = model.params.iter().map(start).collect::<Result<_, _>>()?;
        let params = Mutex::new(params);
        let stateful = model.params.iter().any(|p| p.mutable);
        let shelf = options.packed_weights.clone().map(|folder| Arc::new(Folder::new(folder)));
        let kept = shelf.clone().map(|folder| folder as Arc<dyn Shelf>);
        let weights = Weights::new(mindir_loader::release).kept_on(kept);
        let plans = Arc::new(Plans::new(&model, options.plan_memory));
        let mut own = Reservation::default();
        if let Some(memory) = &memory {
            let spare: Arc<dyn Spare> = plans.clone();
            memory.account.ask(Arc::downgrade(&spare));
            own = memory.lasting(Halt::default()).enter(|| bounds::reserve(memory::weights(&model)))?;
        }
        let sites = Mutex::default();
        Ok(Interpreter {
            model,
            options,
            devices,
            stateful,
            memory,
            shelf,
            weights,
            plans,
            sites,
            params,
            _weights: own,
        })
    }

    /// Bounds of a run, whose values are its own.
    pub fn bounds(&self, halt: Halt) -> Bounds {
        let run = self.memory.as_ref().map(|m| Arc::new(Share::new(m.account.clone())));
        Bounds { run, ..self.lasting(halt) }
    }

    /// Bounds under which all that is made is the cell's.
    pub fn lasting(&self, halt: Halt) -> Bounds {
        let bounds = self.memory.as_ref().map_or_else(Bounds::default, |m| m.lasting(halt.clone()));
        Bounds { halt, nodes: Some(self.options.max_plan_nodes), ..bounds }
    }

    /// Runs the entry graph. Parameters are written when the run has succeeded, all at once.
    pub fn run(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, Error> {
        self.run_recorded(inputs, None)
    }

    /// As [`Interpreter::run`], and takes the times of the steps.
    pub fn profile(&self, inputs: &[Tensor]) -> Result<(Vec<Tensor>, Profile), Error> {
        let mut recorder = Recorder::new();
        let results = self.run_recorded(inputs, Some(&mut recorder))?;
        Ok((results, recorder.finish(self.model.clone())))
    }

    fn run_recorded(&self, inputs: &[Tensor], recorder: Option<&mut Recorder>) -> Result<Vec<Tensor>, Error> {
        let mut now = bounds::lock(&self.params)?;
        let mut params = now.clone();
        if !self.stateful {
            drop(now);
            return self.interpret(inputs, &mut params, recorder);
        }
        let results = self.interpret(inputs, &mut params, recorder)?;
        *now = params;
        Ok(results)
    }

    /// As [`Interpreter::run`] with other parameters.
    pub fn run_in(&self, state: &mut State, inputs: &[Tensor]) -> Result<Vec<Tensor>, Error> {
        let mut params = state.params.clone();
        let results = self.interpret(inputs, &mut params, None)?;
        state.params = params;
        Ok(results)
    }

    /// What the parameters hold now, in the model's order.
    pub fn params(&self) -> Vec<Tensor> {
        lock(&self.params).clone()
    }

    /// Runs frames until the first one returns. Calls push frames on the heap; a call in tail position replaces its frame.
    fn interpret(
        &self,
        inputs: &[Tensor],
        params: &mut [Tensor],
        recorder: Option<&mut Recorder>,
    ) -> Result<Vec<Tensor>, Error> {
        let mut held = Held::new(&self.plans, recorder);
        let mut frames = vec![self.enter(GraphId(0), inputs.iter().cloned(), &mut held)];
        let mut calls = 0u64;
        loop {
            bounds::check()?;
            let depth = frames.len();
            let Some(frame) = frames.last_mut() else { return Ok(Vec::new()) };
            let graph = self.model.graph(frame.graph);
            let Some(node) = graph.nodes.get(frame.next) else {
                let results = self.results(frame, params)?;
                frames.pop();
                match frames.last_mut() {
                    None => return Ok(results),
                    Some(caller) => self.give(caller, results)?,
                }
                continue;
            };
            if lower::is_lowered(&self.model, node) {
                let start = frame.next;
                let jumps = self.segment(frame, params, &mut held)?;
                self.count(&mut calls, jumps)?;
                if jumps > 0 || frame.next > start || matches!(node.kind, NodeKind::Op(_)) {
                    continue;
                }
            }
            self.count(&mut calls, 1)?;
            let callee = self.call(frame, params, &mut held)?;
            if frame.next + 1 == graph.nodes.len() && node.outputs == graph.outputs {
                let left = std::mem::replace(frame, callee);
                held.leave_values(left.values);
            } else if depth < self.options.max_depth {
                self.prune(frame, &mut held);
                frames.push(callee);
            } else {
                let (limit, needed) = (self.options.max_depth as u64, depth as u64 + 1);
                return Err(Exceeded { what: Limit::Depth, limit, needed }.into());
            }
        }
    }

    /// Counts calls of a run.
    fn count(&self, calls: &mut u64, more: usize) -> Result<(), Error> {
        *calls = calls.saturating_add(more as u64);
        if *calls > self.options.max_calls {
            return Err(Exceeded { what: Limit::Calls, limit: self.options.max_calls, needed: *calls }.into());
        }
        Ok(())
    }

    /// Lets the values go that nothing reads after the call at `frame.next`, so that the callee may take them over.
    fn prune(&self, frame: &mut Frame, held: &mut Held<'_>) {
        let after = self.site(frame.graph, frame.next + 1);
        let mut values = held.values(frame.values.len());
        for v in &after.live {
            if let Some(value) = values.get_mut(v.0 as usize) {
                *value = frame.take(*v);
            }
        }
        held.leave_values(std::mem::replace(&mut frame.values, values));
    }

    fn enter(&self, graph: GraphId, inputs: impl IntoIterator<Item = Tensor>, held: &mut Held<'_>) -> Frame {
        let g = self.model.graph(graph);
        let mut frame = Frame { graph, next: 0, values: held.values(g.values.len()) };
        frame.set(&g.inputs, inputs);
        frame
    }

    /// The node that comes next.
    fn node(&self, frame: &Frame) -> Result<&Node, Error> {
        let Graph { name, nodes, .. } = self.model.graph(frame.graph);
        let missing = || Error::NotStraight(format!("graph {name} has no node {}", frame.next));
        nodes.get(frame.next).ok_or_else(missing)
    }

    /// Hands a callee's results to the node that called it.
    fn give(&self, caller: &mut Frame, results: Vec<Tensor>) -> Result<(), Error> {
        let node = self.node(caller)?;
        caller.set(&node.outputs, results);
        caller.next += 1;
        Ok(())
    }

    fn results(&self, frame: &Frame, params: &[Tensor]) -> Result<Vec<Tensor>, Error> {
        self.model.graph(frame.graph).outputs.iter().map(|v| self.value(frame, *v, params)).collect()
    }

    fn value(&self, frame: &Frame, id: ValueId, params: &[Tensor]) -> Result<Tensor, Error> {
        let value = self.model.graph(frame.graph).value(id);
        match &value.def {
            Def::Const(t) => Ok(t.clone()),
            Def::Param(p) => params.get(*p).cloned().ok_or_else(|| missing(&value.name)),
            _ => frame.get(id).cloned().ok_or_else(|| missing(&value.name)),
        }
    }

    /// The frame that the node at `frame.next` calls.
    fn call(&self, frame: &Frame, params: &[Tensor], held: &mut Held<'_>) -> Result<Frame, Error> {
        let node = self.node(frame)?;
        let mut rest = node.args.iter().flatten();
        let (graph, args) = match &node.kind {
            NodeKind::Call(graph) => (*graph, &[][..]),
            NodeKind::If { then, otherwise } => {
                let branch = if self.integer(frame, rest.next(), params)? != 0 { then } else { otherwise };
                (branch.graph, &branch.args[..])
            }
            NodeKind::Select(branches) => {
                let index = self.integer(frame, rest.next(), params)?;
                let at = mindir_graph::normalize_axis(index, branches.len());
                let out_of_range =
                    || Error::NotStraight(format!("{}: no branch {index} of {}", node.path, branches.len()));
                let branch = at.and_then(|at| branches.get(at)).ok_or_else(out_of_range)?;
                (branch.graph, &branch.args[..])
            }
            _ => return Err(Error::NotStraight(format!("{} calls no graph", node.path))),
        };
        let mut inputs = Vec::with_capacity(self.model.graph(graph).inputs.len());
        args.iter().chain(rest).try_for_each(|arg| self.tensors(frame, arg, params, &mut inputs))?;
        Ok(self.enter(graph, inputs, held))
    }

    /// The number that a condition or the choice of a branch is.
    fn integer(&self, frame: &Frame, arg: Option<&Arg>, params: &[Tensor]) -> Result<i64, Error> {
        let mut tensors = Vec::new();
        arg.into_iter().try_for_each(|arg| self.tensors(frame, arg, params, &mut tensors))?;
        let first = tensors.first().map(Tensor::to_i64s).transpose()?.and_then(|v| v.first().copied());
        first.ok_or_else(|| Error::NotStraight("a condition without elements".into()))
    }

    /// Adds the tensors of an argument to `out`.
    fn tensors(&self, frame: &Frame, arg: &Arg, params: &[Tensor], out: &mut Vec<Tensor>) -> Result<(), Error> {
        match arg {
            Arg::Value(v) => out.push(self.value(frame, *v, params)?),
            Arg::List(items) => items.iter().try_for_each(|item| self.tensors(frame, item, params, out))?,
            Arg::Const(c) => out.extend(c.tensor()),
        }
        Ok(())
    }

    /// Plans and runs nodes from `frame.next` on, as far as one plan reaches. Only the values that it hands on exist afterwards.
    /// Gives the number of jumps.
    fn segment(&self, frame: &mut Frame, params: &mut [Tensor], held: &mut Held<'_>) -> Result<usize, Error> {
        let (graph, start) = (frame.graph, frame.next);
        let at = (graph, start);
        let site = held.point(at).map_or_else(|| self.site(graph, start), |p| p.site.clone());
        let missing = |v: &ValueId| missing(&self.model.graph(graph).value(*v).name);
        let entries: Vec<Tensor> =
            site.live.iter().map(|v| frame.take(*v).ok_or_else(|| missing(v))).collect::<Result<_, _>>()?;
        let find = |entries: &[Tensor]| self.ready(graph, start, entries, &site);
        let (ready, values) = held.run(at, &site, entries, params, find)?;
        let compiled = &ready.compiled;
        if let Some(last) = compiled.jumps.last() {
            let there = held.values(self.model.graph(*last).values.len());
            held.leave_values(std::mem::replace(&mut frame.values, there));
            frame.graph = *last;
        }
        frame.next = compiled.plan.next;
        frame.set(&compiled.outputs, values);
        match &compiled.plan.stop {
            Stop::Dynamic => self.dynamic(frame, params, held)?,
            Stop::Value(id) if compiled.jumps.is_empty() && compiled.plan.next == start => {
                held.leave(at);
                self.force(graph, start, &site, *id)?;
            }
            _ => {}
        }
        Ok(compiled.jumps.len())
    }

    /// Runs the node at `frame.next` by its reference, because only the data tells the shape of its results.
    fn dynamic(&self, frame: &mut Frame, params: &[Tensor], held: &mut Held<'_>) -> Result<(), Error> {
        let graph = self.model.graph(frame.graph);
        let node = self.node(frame)?;
        let mut ids = Vec::new();
        node.each_input(&mut |v| ids.push(v));
        let tensors: HashMap<ValueId, Tensor> =
            ids.into_iter().map(|v| Ok((v, self.value(frame, v, params)?))).collect::<Result<_, Error>>()?;
        let count: usize = tensors.values().map(Tensor::count).sum();
        let _room = bounds::room(count.saturating_mul(NUMBERS))?;
        let start = held.recorder.is_some().then(Instant::now);
        let results = lower::run_node(&self.model, graph, node, &tensors)?;
        if let (Some(recorder), Some(start)) = (&mut held.recorder, start) {
            let ins: Vec<Fact> = tensors.values().map(Tensor::fact).collect();
            recorder.node(frame.graph, frame.next, node, start, &ins, &results);
        }
        self.give(frame, results)
    }

    /// Marks a value whose contents plans that start at `start` must know from now on; `planned` is what they knew so far.
    fn force(&self, graph: GraphId, start: usize, planned: &Site, id: ValueId) -> Result<(), Error> {
        let g = self.model.graph(graph);
        let path = g.nodes.get(start).map_or("", |node| &node.path);
        let unknown = || Error::NotStraight(format!("{path}: needs the contents of {}", g.value(id).name));
        let at = planned.live.iter().position(|v| *v == id).ok_or_else(unknown)?;
        if planned.forced.contains(&at) {
            return Err(unknown());
        }
        let mut sites = lock(&self.sites);
        if let Some(site) = sites.get_mut(&(graph, start)).filter(|site| !site.forced.contains(&at)) {
            Arc::make_mut(site).forced.push(at);
        }
        Ok(())
    }

    fn site(&self, graph: GraphId, start: usize) -> Arc<Site> {
        let mut sites = lock(&self.sites);
        let make = || Arc::new(Site { live: live(self.model.graph(graph), start), forced: Vec::new() });
        sites.entry((graph, start)).or_insert_with(make).clone()
    }

    /// The plan that starts at the entry graph's first node.
    pub fn first_plan(&self, facts: &[Fact], keep_all: bool) -> Result<Arc<Ready>, Error> {
        self.planned(&self.first_key(facts, keep_all), &self.site(GraphId(0), 0), &[])
    }

    /// Whether the plan that starts there is the whole run and knows no input's contents.
    pub fn is_straight(&self, facts: &[Fact]) -> Result<bool, Error> {
        let knows_none = self.site(GraphId(0), 0).forced.is_empty();
        Ok(knows_none && matches!(self.first_plan(facts, false)?.compiled.plan.stop, Stop::End))
    }

    fn first_key(&self, facts: &[Fact], keep_all: bool) -> Key {
        Key { graph: GraphId(0), start: 0, keep_all, facts: self.entries(facts), known: Vec::new() }
    }

    /// What enters a plan of the whole model, in its order, out of something for every input: inputs that nothing reads do
    /// not, and the others enter in the order of their first use.
    pub fn entries<T: Clone>(&self, inputs: &[T]) -> Vec<T> {
        let g = self.model.entry();
        let at = |v: &ValueId| g.inputs.iter().position(|i| i == v);
        self.site(GraphId(0), 0).live.iter().filter_map(|v| inputs.get(at(v)?).cloned()).collect()
    }

    fn ready(&self, graph: GraphId, start: usize, entries: &[Tensor], site: &Site) -> Result<(Key, Arc<Ready>), Error> {
        let facts = entries.iter().map(Tensor::fact).collect();
        let known = site.forced.iter().filter_map(|&i| Some((i, entries.get(i)?.bytes().clone()))).collect();
        let key = Key { graph, start, keep_all: false, facts, known };
        let ready = self.planned(&key, site, entries)?;
        Ok((key, ready))
    }

    /// What a plan would do that starts at the entry graph's first node.
    pub fn outline(&self, facts: &[Fact]) -> Result<Plan, Error> {
        let lowered = self.lowered(&self.first_key(facts, false), &self.site(GraphId(0), 0), &[])?;
        Plan::new(lowered, &self.devices, &self.weights, &self.options)
    }

    fn planned(&self, key: &Key, site: &Site, entries: &[Tensor]) -> Result<Arc<Ready>, Error> {
        self.plans.get(key, || {
            bounds::kept(|| {
                let lowered = self.lowered(key, site, entries)?;
                Compiled::new(lowered, &self.devices, &self.weights, &self.options)
            })
        })
    }

    fn lowered(&self, key: &Key, site: &Site, entries: &[Tensor]) -> Result<Lowered, Error> {
        let known = |i: usize| key.known.iter().any(|(k, _)| *k == i).then(|| entries.get(i).cloned()).flatten();
        let live = site.live.iter().zip(&key.facts).enumerate();
        let entry =
            |(i, (v, fact)): (usize, (&ValueId, &Fact))| Entry { value: *v, fact: fact.clone(), known: known(i) };
        let entries: Vec<Entry> = live.map(entry).collect();
        // What is told of a plan of the entry graph is about its nodes only.
        if key.graph == GraphId(0) {
            return Ok(lower::lower(&self.model, self.model.entry(), key.start, &entries, key.keep_all)?);
        }
        Ok(lower::follow(&self.model, key.graph, key.start, &entries)?)
    }

    /// Runs a plan whose inputs are the site's live values; returns its outputs and writes parameters.
    pub fn run_plan(
        &self,
        ready: &Arc<Ready>,
        entries: Vec<Tensor>,
        params: &mut [Tensor],
    ) -> Result<Vec<Tensor>, Error> {
        let mut workspace = self.plans.take(ready)?;
        let done = ready.compiled.tensors(&mut workspace, entries, params, &mut SpareBuffers::default(), None);
        self.plans.give(ready, workspace);
        done
    }
}

fn missing(name: &str) -> Error {
    Error::NotStraight(format!("value {name} does not exist"))
}

/// Values that exist before node `start` and are read from there on.
pub(crate) fn live(graph: &Graph, start: usize) -> Vec<ValueId> {
    let mut made: HashSet<ValueId> = HashSet::new();
    let mut out = Vec::new();
    let mut read = |v: ValueId, made: &HashSet<ValueId>| {
        let carried = matches!(graph.value(v).def, Def::Node | Def::Input(_));
        if carried && !made.contains(&v) && !out.contains(&v) {
            out.push(v);
        }
    };
    for node in graph.nodes.iter().skip(start) {
        node.each_input(&mut |v| read(v, &made));
        made.extend(node.outputs.iter().copied());
    }
    graph.outputs.iter().for_each(|v| read(*v, &made));
    out
}

#[cfg(test)]
mod tests {
    use mindir_graph::{Buffer, DType, Spec, builder::Builder};

    use super::*;

    /// `rows` with row `at` replaced, and replaced again.
    fn placing() -> Interpreter {
        let mut b = Builder::new("placing");
        let rows = b.input("rows", Spec::fixed(DType::F32, &[4, 2]));
        let at = b.input("at", Spec::fixed(DType::I64, &[1, 1]));
        let row = b.input("row", Spec::fixed(DType::F32, &[1, 2]));
        let first = b.op("TensorScatterUpdate", [rows.into(), at.into(), row.into()]).unwrap();
        let twice = b.op("Add", [row.into(), row.into()]).unwrap();
        let second = b.op("TensorScatterUpdate", [first.into(), at.into(), twice.into()]).unwrap();
        let model = b.finish(&[second]);
        let options = Options { threads: Some(1), ..Options::default() };
        let devices = crate::devices::devices(&options, None).unwrap();
        Interpreter::new(Arc::new(model), options, devices, None).unwrap()
    }

    fn entries() -> Vec<Tensor> {
        let rows = Tensor::from_buffer(DType::F32, &[4, 2], Buffer::new(32).unwrap()).unwrap();
        let at = Tensor::from_vec(&[1, 1], vec![2i64]).unwrap();
        vec![rows, at, Tensor::from_vec(&[1, 2], vec![1f32, 3.0]).unwrap()]
    }

    #[test]
    fn a_value_that_nobody_else_reads_is_written_where_it_is() {
        let interpreter = placing();
        let facts: Vec<Fact> = entries().iter().map(Tensor::fact).collect();
        let ready = interpreter.first_plan(&facts, false).unwrap();
        let want = [0.0, 0.0, 0.0, 0.0, 2.0, 6.0, 0.0, 0.0f32];
        for shared in [false, true] {
            let entries = entries();
            let (at, kept) = (entries[0].bytes().as_ptr(), shared.then(|| entries[0].clone()));
            let results = interpreter.run_plan(&ready, entries, &mut []).unwrap();
            assert_eq!(results[0].view::<f32>().unwrap(), want);
            assert_eq!(results[0].bytes().as_ptr() == at, !shared);
            assert!(kept.is_none_or(|t| t.view::<f32>().unwrap() == [0.0; 8]));
        }
    }
}
