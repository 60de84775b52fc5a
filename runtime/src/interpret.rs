//! Running the graphs of a model: frames, calls, and the plans between them.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mindir_graph::bounds::{self, Bounds, Exceeded, Halt, Limit, Reservation, Share, Spare};
use mindir_graph::graph::{Arg, Def, Graph, GraphId, Model, NodeKind, ValueId};
use mindir_graph::lower::{self, Entry, Lowered, Stop};
use mindir_graph::{Fact, Tensor};
use mindir_kernels::device::{Device, Weights};

use crate::memory::{self, Memory};
use crate::plan::Plan;
use crate::plans::{Key, Plans, Ready};
use crate::{Error, Options};

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
    weights: Weights,
    plans: Arc<Plans>,
    sites: Mutex<HashMap<(GraphId, usize), Arc<Site>>>,
    params: Mutex<Vec<Tensor>>,
    /// What the weights take.
    _weights: Reservation,
}

/// A place in a graph where a plan starts.
#[derive(Clone, Debug)]
struct Site {
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
    values: HashMap<ValueId, Tensor>,
}

impl Interpreter {
    pub fn new(
        model: Arc<Model>,
        options: Options,
        devices: Vec<Arc<dyn Device>>,
        memory: Option<Memory>,
    ) -> Result<Interpreter, Error> {
        let params = Mutex::new(model.params.iter().map(|p| p.tensor.clone()).collect());
        let stateful = model.params.iter().any(|p| p.mutable);
        let weights = Weights::new(mindir_loader::release);
        let plans = Arc::new(Plans::new(&model, options.plan_memory));
        let mut own = Reservation::default();
        if let Some(memory) = &memory {
            let spare: Arc<dyn Spare> = plans.clone();
            memory.account.ask(Arc::downgrade(&spare));
            own = memory.lasting(Halt::default()).enter(|| bounds::reserve(memory::weights(&model)))?;
        }
        let sites = Mutex::default();
        Ok(Interpreter { model, options, devices, stateful, memory, weights, plans, sites, params, _weights: own })
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
        let mut now = bounds::lock(&self.params)?;
        let mut params = now.clone();
        if !self.stateful {
            drop(now);
            return self.interpret(inputs, &mut params);
        }
        let results = self.interpret(inputs, &mut params)?;
        *now = params;
        Ok(results)
    }

    /// What the parameters hold now, in the model's order.
    pub fn params(&self) -> Vec<Tensor> {
        lock(&self.params).clone()
    }

    /// Runs frames until the first one returns. Calls push frames on the heap; a call in tail position replaces its frame.
    fn interpret(&self, inputs: &[Tensor], params: &mut [Tensor]) -> Result<Vec<Tensor>, Error> {
        let mut frames = vec![self.enter(GraphId(0), inputs.to_vec())];
        let mut calls = 0u64;
        loop {
            bounds::check()?;
            let depth = frames.len();
            let Some(frame) = frames.last_mut() else { return Ok(Vec::new()) };
            let graph = self.model.graph(frame.graph);
            if frame.next == graph.nodes.len() {
                let results = self.results(frame, params)?;
                frames.pop();
                match frames.last_mut() {
                    None => return Ok(results),
                    Some(caller) => self.give(caller, results),
                }
                continue;
            }
            let node = &graph.nodes[frame.next];
            if matches!(node.kind, NodeKind::Op(_)) {
                self.segment(frame, params)?;
                continue;
            }
            calls += 1;
            if calls > self.options.max_calls {
                return Err(Exceeded { what: Limit::Calls, limit: self.options.max_calls, needed: calls }.into());
            }
            let callee = self.call(frame, params)?;
            if frame.next + 1 == graph.nodes.len() && node.outputs == graph.outputs {
                *frame = callee;
            } else if depth < self.options.max_depth {
                frames.push(callee);
            } else {
                let (limit, needed) = (self.options.max_depth as u64, depth as u64 + 1);
                return Err(Exceeded { what: Limit::Depth, limit, needed }.into());
            }
        }
    }

    fn enter(&self, graph: GraphId, inputs: Vec<Tensor>) -> Frame {
        let values = self.model.graph(graph).inputs.iter().copied().zip(inputs).collect();
        Frame { graph, next: 0, values }
    }

    /// Hands a callee's results to the node that called it.
    fn give(&self, caller: &mut Frame, results: Vec<Tensor>) {
        let node = &self.model.graph(caller.graph).nodes[caller.next];
        caller.values.extend(node.outputs.iter().copied().zip(results));
        caller.next += 1;
    }

    fn results(&self, frame: &Frame, params: &[Tensor]) -> Result<Vec<Tensor>, Error> {
        self.model.graph(frame.graph).outputs.iter().map(|v| self.value(frame, *v, params)).collect()
    }

    fn value(&self, frame: &Frame, id: ValueId, params: &[Tensor]) -> Result<Tensor, Error> {
        let value = self.model.graph(frame.graph).value(id);
        match &value.def {
            Def::Const(t) => Ok(t.clone()),
            Def::Param(p) => Ok(params[*p].clone()),
            _ => frame
                .values
                .get(&id)
                .cloned()
                .ok_or_else(|| Error::NotStraight(format!("value {} does not exist", value.name))),
        }
    }

    /// The frame that the node at `frame.next` calls.
    fn call(&self, frame: &Frame, params: &[Tensor]) -> Result<Frame, Error> {
        let node = &self.model.graph(frame.graph).nodes[frame.next];
        let mut rest: Vec<&Arg> = node.args.iter().flatten().collect();
        let closure = match &node.kind {
            NodeKind::Call(g) => return Ok(self.enter(*g, self.tensors(frame, &rest, params)?)),
            NodeKind::If { then, otherwise } => {
                let condition = self.integer(frame, rest.remove(0), params)?;
                if condition != 0 { then } else { otherwise }
            }
            NodeKind::Select(branches) => {
                let index = self.integer(frame, rest.remove(0), params)?;
                let at = mindir_graph::normalize_axis(index, branches.len());
                let out_of_range =
                    || Error::NotStraight(format!("{}: no branch {index} of {}", node.path, branches.len()));
                &branches[at.ok_or_else(out_of_range)?]
            }
            _ => return Err(Error::NotStraight(format!("{} calls no graph", node.path))),
        };
        let args: Vec<&Arg> = closure.args.iter().chain(rest).collect();
        Ok(self.enter(closure.graph, self.tensors(frame, &args, params)?))
    }

    fn integer(&self, frame: &Frame, arg: &Arg, params: &[Tensor]) -> Result<i64, Error> {
        let t = self.tensors(frame, &[arg], params)?;
        let first = t.first().map(|t| t.to_i64s()).transpose()?.and_then(|v| v.first().copied());
        first.ok_or_else(|| Error::NotStraight("a condition without elements".into()))
    }

    fn tensors(&self, frame: &Frame, args: &[&Arg], params: &[Tensor]) -> Result<Vec<Tensor>, Error> {
        let mut out = Vec::with_capacity(args.len());
        for arg in args {
            match arg {
                Arg::Value(v) => out.push(self.value(frame, *v, params)?),
                Arg::List(items) => out.extend(self.tensors(frame, &items.iter().collect::<Vec<_>>(), params)?),
                Arg::Const(c) => out.extend(lower::constant_tensor(c)),
            }
        }
        Ok(out)
    }

    /// Plans and runs nodes from `frame.next` on, as far as one plan reaches.
    fn segment(&self, frame: &mut Frame, params: &mut [Tensor]) -> Result<(), Error> {
        let site = self.site(frame.graph, frame.next);
        let entries: Vec<Tensor> = site.live.iter().map(|v| self.value(frame, *v, params)).collect::<Result<_, _>>()?;
        let ready = self.ready(frame.graph, frame.next, &entries, &site, false)?;
        let values = self.run_plan(&ready, &entries, params)?;
        let plan = &ready.plan;
        let start = std::mem::replace(&mut frame.next, plan.next);
        frame.values.extend(plan.outputs.iter().copied().zip(values));
        match &plan.stop {
            Stop::Dynamic => self.dynamic(frame, params),
            Stop::Value(id) if plan.next == start => self.force(frame.graph, start, &site, *id),
            _ => Ok(()),
        }
    }

    /// Runs the node at `frame.next` by its reference, because only the data tells the shape of its results.
    fn dynamic(&self, frame: &mut Frame, params: &[Tensor]) -> Result<(), Error> {
        let graph = self.model.graph(frame.graph);
        let node = &graph.nodes[frame.next];
        let mut ids = Vec::new();
        node.each_input(&mut |v| ids.push(v));
        let tensors: HashMap<ValueId, Tensor> =
            ids.into_iter().map(|v| Ok((v, self.value(frame, v, params)?))).collect::<Result<_, Error>>()?;
        let count: usize = tensors.values().map(Tensor::count).sum();
        let _room = bounds::room(count.saturating_mul(NUMBERS))?;
        let results = lower::run_node(&self.model, graph, node, &tensors)?;
        self.give(frame, results);
        Ok(())
    }

    /// Marks a value whose contents plans that start at `start` must know from now on; `planned` is what they knew so far.
    fn force(&self, graph: GraphId, start: usize, planned: &Site, id: ValueId) -> Result<(), Error> {
        let g = self.model.graph(graph);
        let unknown =
            || Error::NotStraight(format!("{}: needs the contents of {}", g.nodes[start].path, g.value(id).name));
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
        let site = self.site(GraphId(0), 0);
        let key = Key { graph: GraphId(0), start: 0, keep_all, facts: self.entries(facts), known: Vec::new() };
        self.planned(&key, &site, &[])
    }

    /// What enters a plan of the whole model, in its order, out of something for every input: inputs that nothing reads do
    /// not, and the others enter in the order of their first use.
    pub fn entries<T: Clone>(&self, inputs: &[T]) -> Vec<T> {
        let g = self.model.entry();
        let at = |v: &ValueId| g.inputs.iter().position(|i| i == v);
        self.site(GraphId(0), 0).live.iter().filter_map(at).map(|i| inputs[i].clone()).collect()
    }

    fn ready(
        &self,
        graph: GraphId,
        start: usize,
        entries: &[Tensor],
        site: &Site,
        keep_all: bool,
    ) -> Result<Arc<Ready>, Error> {
        let facts = entries.iter().map(Tensor::fact).collect();
        let known = site.forced.iter().map(|&i| (i, entries[i].bytes().clone())).collect();
        self.planned(&Key { graph, start, keep_all, facts, known }, site, entries)
    }

    fn planned(&self, key: &Key, site: &Site, entries: &[Tensor]) -> Result<Arc<Ready>, Error> {
        self.plans.get(key, || {
            bounds::kept(|| {
                let lowered = self.lowered(key, site, entries)?;
                Plan::new(lowered, &self.devices, &self.weights, &self.options)
            })
        })
    }

    fn lowered(&self, key: &Key, site: &Site, entries: &[Tensor]) -> Result<Lowered, Error> {
        let known = |i: usize| key.known.iter().any(|(k, _)| *k == i).then(|| entries.get(i).cloned()).flatten();
        let entry = |(i, v): (usize, &ValueId)| Entry { value: *v, fact: key.facts[i].clone(), known: known(i) };
        let entries: Vec<Entry> = site.live.iter().enumerate().map(entry).collect();
        Ok(lower::lower(&self.model, self.model.graph(key.graph), key.start, &entries, key.keep_all)?)
    }

    /// Runs a plan whose inputs are the site's live values; returns its outputs and writes parameters.
    pub fn run_plan(
        &self,
        ready: &Arc<Ready>,
        entries: &[Tensor],
        params: &mut [Tensor],
    ) -> Result<Vec<Tensor>, Error> {
        let plan = &ready.plan;
        let mut buffers = plan.buffers()?;
        let mut state = self.plans.take(ready)?;
        let inputs: Vec<&[u8]> = entries.iter().map(|t| t.bytes().as_ref()).collect();
        let done = plan.run(&mut state, &inputs, params, &mut buffers, None);
        self.plans.give(ready, state);
        done?;
        let mut tensors = Vec::with_capacity(buffers.len());
        for (b, r) in buffers.into_iter().zip(&plan.results) {
            tensors.push(Tensor::from_bytes(r.fact.dtype, &r.fact.shape, b.into_bytes())?);
        }
        for (p, i) in &plan.writes {
            params[*p] = tensors[*i].clone();
        }
        tensors.truncate(plan.outputs.len());
        Ok(tensors)
    }
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
    for node in &graph.nodes[start..] {
        node.each_input(&mut |v| read(v, &made));
        made.extend(node.outputs.iter().copied());
    }
    graph.outputs.iter().for_each(|v| read(*v, &made));
    out
}
