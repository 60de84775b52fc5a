//! A model that runs.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use mindir_graph::graph::{Arg, Def, Graph, GraphId, Model, Nest, NodeKind, ValueId};
use mindir_graph::lower::{self, Entry, Lowered, Stop};
use mindir_graph::{Dim, Fact, Spec, Tensor};
use mindir_kernels::cpu::{CpuDevice, Isa, Threads};
use mindir_kernels::device::{Device, Weights};
use mindir_loader::ckpt::{self, Checkpoint};

use crate::error::UnsupportedNode;
use crate::plan::{self, Plan, State};
use crate::{DeviceKind, Error, InputError, Options, Session};

/// Plans kept per cell; the oldest goes first.
const MAX_PLANS: usize = 64;

/// An input or result of a model, as its file declares it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Port {
    /// Name.
    pub name: String,
    /// Element type and dimensions. Known dimensions are those of the export; a run may use others where the model's own
    /// constants allow it.
    pub spec: Spec,
}

impl Port {
    /// The port of a graph's input or result.
    pub fn of(graph: &Graph, v: ValueId) -> Port {
        let value = graph.value(v);
        let spec = match &value.def {
            Def::Const(t) => Spec::fixed(t.dtype(), t.shape()),
            _ => value.spec.clone(),
        };
        Port { name: value.name.to_string(), spec }
    }
}

/// A model with devices, weights and plans: MindSpore's `nn.GraphCell`.
///
/// `run` takes `&self` and may be called from many threads at once. Cloning shares everything. Models that write their own
/// parameters run one call at a time.
#[derive(Clone)]
pub struct GraphCell {
    pub(crate) inner: Arc<Inner>,
}

pub(crate) struct Inner {
    pub model: Arc<Model>,
    options: Options,
    devices: Vec<Arc<dyn Device>>,
    weights: Weights,
    plans: Mutex<Plans>,
    params: Mutex<Vec<Tensor>>,
    stateful: bool,
}

#[derive(Default)]
struct Plans {
    ready: HashMap<Key, Arc<Ready>>,
    order: Vec<Key>,
    sites: HashMap<(GraphId, usize), Arc<Site>>,
}

/// Where a plan starts, what enters it, and what of that must be known.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Key {
    graph: GraphId,
    start: usize,
    keep_all: bool,
    facts: Vec<Fact>,
    known: Vec<(usize, Bytes)>,
}

/// A place in a graph where a plan starts.
#[derive(Clone, Debug)]
struct Site {
    /// Values that exist there and are read later.
    live: Vec<ValueId>,
    /// Indices into `live` of values whose contents planning needs.
    forced: Vec<usize>,
}

/// A plan with the memory of sessions that are not running.
pub(crate) struct Ready {
    pub plan: Plan,
    idle: Mutex<Vec<State>>,
}

fn lock<T>(m: &Mutex<T>) -> MutexGuard<'_, T> {
    m.lock().unwrap_or_else(PoisonError::into_inner)
}

impl GraphCell {
    /// Prepares a model to run.
    ///
    /// # Errors
    /// [`Error::Unsupported`] naming every node of an unknown operator, [`Error::NoDevice`], [`Error::Param`].
    pub fn new(model: impl Into<Arc<Model>>, options: Options) -> Result<GraphCell, Error> {
        let mut model = model.into();
        let unsupported: Vec<UnsupportedNode> = model
            .opaque_nodes()
            .map(|(_, n)| UnsupportedNode { path: n.path.clone(), op: n.op_name().into() })
            .collect();
        if !unsupported.is_empty() {
            return Err(Error::Unsupported(unsupported));
        }
        if !options.params_init.is_empty() {
            init_params(Arc::make_mut(&mut model), &options.params_init)?;
        }
        let devices = devices(&options)?;
        Ok(GraphCell { inner: Arc::new(Inner::new(model, options, devices)) })
    }

    /// The model.
    pub fn model(&self) -> &Model {
        &self.inner.model
    }

    /// Inputs in call order; tuples are flattened.
    pub fn inputs(&self) -> Vec<Port> {
        let g = self.inner.model.entry();
        g.inputs.iter().map(|v| Port::of(g, *v)).collect()
    }

    /// Results in order; tuples are flattened, see [`GraphCell::nest`].
    pub fn outputs(&self) -> Vec<Port> {
        let g = self.inner.model.entry();
        g.outputs.iter().map(|v| Port::of(g, *v)).collect()
    }

    /// How the results nest in MindSpore's answer.
    pub fn nest(&self) -> &Nest {
        &self.inner.model.entry().nest
    }

    /// What a parameter holds now.
    pub fn param(&self, name: &str) -> Option<Tensor> {
        let at = self.inner.model.params.iter().position(|p| &*p.name == name)?;
        lock(&self.inner.params).get(at).cloned()
    }

    /// What all parameters hold now, in the model's order.
    pub fn checkpoint(&self) -> Checkpoint {
        let params = lock(&self.inner.params);
        self.inner.model.params.iter().zip(params.iter()).map(|(p, t)| (&*p.name, t.clone())).collect()
    }

    /// Gives parameters the values of a checkpoint, by MindSpore's rules; see [`ckpt::load_param_into_net`]. Clones of the
    /// cell and sessions keep what they have.
    ///
    /// # Errors
    /// [`Error::Misfits`] naming every value that does not fit; nothing is changed then.
    pub fn load_param_into_net(
        &mut self,
        checkpoint: &Checkpoint,
        options: ckpt::LoadOptions,
    ) -> Result<ckpt::Loaded, Error> {
        let mut model = Model::clone(&self.inner.model);
        for (param, tensor) in model.params.iter_mut().zip(lock(&self.inner.params).iter()) {
            param.tensor = tensor.clone();
        }
        let loaded = ckpt::load_param_into_net(&mut model.params, checkpoint, options)?;
        let inner = Inner::new(Arc::new(model), self.inner.options.clone(), self.inner.devices.clone());
        self.inner = Arc::new(inner);
        Ok(loaded)
    }

    /// Runs the model.
    ///
    /// # Errors
    /// [`Error::Input`] naming the input; [`Error::Node`], [`Error::Shapes`] or [`Error::Contradiction`] naming the
    /// operator that refuses its arguments; [`Error::Device`]; [`Error::Limit`].
    pub fn run(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, Error> {
        self.check(inputs)?;
        self.inner.run(inputs).map_err(|e| self.explain(e, inputs))
    }

    /// Runs the model with inputs given by name, in any order.
    ///
    /// # Errors
    /// As [`GraphCell::run`].
    pub fn run_named(&self, inputs: &[(&str, Tensor)]) -> Result<Vec<Tensor>, Error> {
        let ports = self.inputs();
        let names = || ports.iter().map(|p| p.name.as_str()).collect::<Vec<_>>().join(", ");
        if let Some((name, _)) = inputs.iter().find(|(n, _)| !ports.iter().any(|p| p.name == *n)) {
            return Err(InputError::Name { name: name.to_string(), names: names() }.into());
        }
        let find = |p: &Port| inputs.iter().find(|(n, _)| p.name == *n).map(|(_, t)| t.clone());
        let ordered: Vec<Tensor> = ports.iter().filter_map(find).collect();
        self.run(&ordered)
    }

    /// A session for inputs of these facts, which runs without allocating.
    ///
    /// # Errors
    /// As [`GraphCell::run`]; [`Error::NotStraight`] if the model has control flow, state, or shapes that depend on data.
    pub fn session(&self, inputs: &[Fact]) -> Result<Session, Error> {
        self.check_facts(inputs)?;
        let ready = self.straight(inputs, false).map_err(|e| self.explain_facts(e, inputs))?;
        Session::new(self.clone(), ready, inputs.to_vec())
    }

    /// The plan for inputs of these facts: of the whole model, or up to the first node that needs data.
    ///
    /// # Errors
    /// As [`GraphCell::run`].
    pub fn plan(&self, inputs: &[Fact]) -> Result<Arc<impl AsRef<Plan> + use<>>, Error> {
        self.check_facts(inputs)?;
        self.inner.first_plan(inputs, false).map_err(|e| self.explain_facts(e, inputs))
    }

    /// Runs the model and returns the results of all nodes in execution order, as (name of the value, path of the node,
    /// tensor).
    ///
    /// # Errors
    /// As [`GraphCell::session`].
    pub fn trace(&self, inputs: &[Tensor]) -> Result<Vec<(String, String, Tensor)>, Error> {
        self.check(inputs)?;
        let facts: Vec<Fact> = inputs.iter().map(Tensor::fact).collect();
        let ready = self.straight(&facts, true)?;
        let entries = self.inner.entries(inputs);
        let values = self.inner.run_plan(&ready, &entries, &mut lock(&self.inner.params))?;
        let g = self.inner.model.entry();
        let producers = g.producers();
        let named = ready.plan.outputs.iter().zip(values).map(|(id, t)| {
            let path = producers[id.0 as usize].map_or(String::new(), |n| g.nodes[n].path.to_string());
            (g.value(*id).name.to_string(), path, t)
        });
        Ok(named.collect())
    }

    /// Facts of the inputs as exported; `None` if a dimension is unknown.
    pub fn exported_facts(&self) -> Option<Vec<Fact>> {
        self.inputs().iter().map(|p| Some(Fact { dtype: p.spec.dtype?, shape: p.spec.shape()? })).collect()
    }

    fn straight(&self, facts: &[Fact], keep_all: bool) -> Result<Arc<Ready>, Error> {
        let ready = self.inner.first_plan(facts, keep_all)?;
        match (&ready.plan.stop, self.inner.stateful) {
            (Stop::End, false) => Ok(ready),
            (Stop::End, true) => Err(Error::NotStraight("the model writes its own parameters".into())),
            (stop, _) => {
                let node = &self.inner.model.entry().nodes[ready.plan.next];
                Err(Error::NotStraight(format!("{} {}: {}", node.op_name(), node.path, plan::why(stop))))
            }
        }
    }

    fn check(&self, inputs: &[Tensor]) -> Result<(), Error> {
        let facts: Vec<Fact> = inputs.iter().map(Tensor::fact).collect();
        self.check_facts(&facts)
    }

    fn check_facts(&self, found: &[Fact]) -> Result<(), Error> {
        let ports = self.inputs();
        if ports.len() != found.len() {
            let names = ports.iter().map(|p| p.name.as_str()).collect::<Vec<_>>().join(", ");
            return Err(InputError::Count { expected: ports.len(), names, found: found.len() }.into());
        }
        for (p, f) in ports.iter().zip(found) {
            if let Some(expected) = p.spec.dtype.filter(|d| *d != f.dtype) {
                return Err(InputError::DType { name: p.name.clone(), expected, found: f.dtype }.into());
            }
            if p.spec.dims.as_ref().is_some_and(|d| d.len() != f.rank()) {
                return Err(InputError::Rank {
                    name: p.name.clone(),
                    expected: Box::new(p.spec.clone()),
                    found: f.clone(),
                }
                .into());
            }
        }
        Ok(())
    }

    fn explain(&self, e: Error, inputs: &[Tensor]) -> Error {
        let facts: Vec<Fact> = inputs.iter().map(Tensor::fact).collect();
        self.explain_facts(e, &facts)
    }

    /// Adds declared and given shapes to an operator's complaint, if they differ; without a difference the model is to
    /// blame, unless its plan depends on dimensions it leaves open or on what the inputs hold.
    fn explain_facts(&self, e: Error, found: &[Fact]) -> Error {
        let Error::Node(error) = e else { return e };
        if self.exported_facts().is_some_and(|declared| declared == found) {
            let contradicts = matches!(self.inner.first_plan(found, false), Err(Error::Node(_)));
            return if contradicts { Error::Contradiction(error) } else { Error::Node(error) };
        }
        let ports = self.inputs();
        let differs = |(p, f): (&Port, &Fact)| {
            let dims = p.spec.dims.iter().flatten().zip(&f.shape);
            dims.clone().any(|(d, n)| *d != Dim::Unknown && *d != Dim::Known(*n))
        };
        if !ports.iter().zip(found).any(differs) {
            return Error::Node(error);
        }
        let text = |items: Vec<String>| items.join(", ");
        let expected = text(ports.iter().map(|p| format!("{} {}", p.name, p.spec)).collect());
        let found = text(ports.iter().zip(found).map(|(p, f)| format!("{} {f}", p.name)).collect());
        Error::Shapes { expected, found, error }
    }
}

fn init_params(model: &mut Model, given: &HashMap<String, Tensor>) -> Result<(), Error> {
    for p in &mut model.params {
        if let Some(t) = given.get(&*p.name) {
            if t.fact() != p.tensor.fact() {
                return Err(Error::Param { name: p.name.to_string(), expected: p.tensor.fact(), found: t.fact() });
            }
            p.tensor = t.clone();
        }
    }
    Ok(())
}

/// The chosen device, and the CPU last.
fn devices(options: &Options) -> Result<Vec<Arc<dyn Device>>, Error> {
    let threads = options.threads.map_or_else(Threads::available, Threads::new);
    let cpu: Arc<dyn Device> = Arc::new(CpuDevice::new(Isa::detect(), threads));
    match options.device {
        DeviceKind::Cpu => Ok(vec![cpu]),
        DeviceKind::Wgpu => Ok(vec![wgpu()?, cpu]),
    }
}

#[cfg(feature = "wgpu")]
fn wgpu() -> Result<Arc<dyn Device>, Error> {
    let options = mindir_kernels::wgpu::Options::default();
    match mindir_kernels::wgpu::WgpuDevice::new(&options) {
        Ok(device) => Ok(Arc::new(device)),
        Err(e) => Err(Error::NoDevice { device: "wgpu".into(), reason: e.to_string() }),
    }
}

#[cfg(not(feature = "wgpu"))]
fn wgpu() -> Result<Arc<dyn Device>, Error> {
    Err(Error::NoDevice {
        device: "wgpu".into(),
        reason: "this build lacks it; build with the cargo feature `wgpu`".into(),
    })
}

/// A graph that is running.
struct Frame {
    graph: GraphId,
    next: usize,
    values: HashMap<ValueId, Tensor>,
}

impl Inner {
    fn new(model: Arc<Model>, options: Options, devices: Vec<Arc<dyn Device>>) -> Inner {
        let params = Mutex::new(model.params.iter().map(|p| p.tensor.clone()).collect());
        let stateful = model.params.iter().any(|p| p.mutable);
        let weights = Weights::new(mindir_loader::release);
        Inner { model, options, devices, weights, plans: Mutex::default(), params, stateful }
    }

    fn run(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, Error> {
        if self.stateful {
            return self.interpret(inputs, &mut lock(&self.params));
        }
        let mut params = lock(&self.params).clone();
        self.interpret(inputs, &mut params)
    }

    /// Runs frames until the first one returns. Calls push frames on the heap; a call in tail position replaces its frame.
    fn interpret(&self, inputs: &[Tensor], params: &mut [Tensor]) -> Result<Vec<Tensor>, Error> {
        let mut frames = vec![self.enter(GraphId(0), inputs.to_vec())];
        let mut calls = 0u64;
        loop {
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
                return Err(Error::Limit { what: "the number of calls", limit: self.options.max_calls });
            }
            let callee = self.call(frame, params)?;
            if frame.next + 1 == graph.nodes.len() && node.outputs == graph.outputs {
                *frame = callee;
            } else if depth < self.options.max_depth {
                frames.push(callee);
            } else {
                return Err(Error::Limit { what: "the depth of calls", limit: self.options.max_depth as u64 });
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
            Stop::Value(id) if plan.next == start => self.force(frame.graph, start, *id),
            _ => Ok(()),
        }
    }

    /// Runs the node at `frame.next` by its reference, because only the data tells the shape of its results.
    fn dynamic(&self, frame: &mut Frame, params: &[Tensor]) -> Result<(), Error> {
        let graph = self.model.graph(frame.graph);
        let node = &graph.nodes[frame.next];
        let mut ids = Vec::new();
        node.each_input(&mut |v| ids.push(v));
        let tensors = ids.into_iter().map(|v| Ok((v, self.value(frame, v, params)?))).collect::<Result<_, Error>>()?;
        let results = lower::run_node(&self.model, graph, node, &tensors)?;
        self.give(frame, results);
        Ok(())
    }

    /// Marks a value whose contents a plan that starts here must know.
    fn force(&self, graph: GraphId, start: usize, id: ValueId) -> Result<(), Error> {
        let mut plans = lock(&self.plans);
        let g = self.model.graph(graph);
        let unknown =
            || Error::NotStraight(format!("{}: needs the contents of {}", g.nodes[start].path, g.value(id).name));
        let site = plans.sites.get_mut(&(graph, start)).ok_or_else(unknown)?;
        let at = site.live.iter().position(|v| *v == id).ok_or_else(unknown)?;
        if site.forced.contains(&at) {
            return Err(unknown());
        }
        Arc::make_mut(site).forced.push(at);
        Ok(())
    }

    fn site(&self, graph: GraphId, start: usize) -> Arc<Site> {
        let mut plans = lock(&self.plans);
        let make = || Arc::new(Site { live: live(self.model.graph(graph), start), forced: Vec::new() });
        plans.sites.entry((graph, start)).or_insert_with(make).clone()
    }

    /// The plan that starts at the entry graph's first node.
    fn first_plan(&self, facts: &[Fact], keep_all: bool) -> Result<Arc<Ready>, Error> {
        let site = self.site(GraphId(0), 0);
        let key = Key { graph: GraphId(0), start: 0, keep_all, facts: self.entries(facts), known: Vec::new() };
        self.planned(key, &site, &[])
    }

    /// What enters a plan of the whole model, in its order, out of something for every input: inputs that nothing reads do
    /// not, and the others enter in the order of their first use.
    fn entries<T: Clone>(&self, inputs: &[T]) -> Vec<T> {
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
        self.planned(Key { graph, start, keep_all, facts, known }, site, entries)
    }

    fn planned(&self, key: Key, site: &Site, entries: &[Tensor]) -> Result<Arc<Ready>, Error> {
        if let Some(found) = lock(&self.plans).ready.get(&key) {
            return Ok(found.clone());
        }
        let lowered = self.lowered(&key, site, entries)?;
        let plan = Plan::new(lowered, &self.devices, &self.weights, &self.options)?;
        let ready = Arc::new(Ready { plan, idle: Mutex::default() });
        let mut plans = lock(&self.plans);
        if plans.order.len() >= MAX_PLANS {
            let oldest = plans.order.remove(0);
            plans.ready.remove(&oldest);
        }
        plans.order.push(key.clone());
        plans.ready.insert(key, ready.clone());
        Ok(ready)
    }

    fn lowered(&self, key: &Key, site: &Site, entries: &[Tensor]) -> Result<Lowered, Error> {
        let known = |i: usize| key.known.iter().any(|(k, _)| *k == i).then(|| entries.get(i).cloned()).flatten();
        let entry = |(i, v): (usize, &ValueId)| Entry { value: *v, fact: key.facts[i].clone(), known: known(i) };
        let entries: Vec<Entry> = site.live.iter().enumerate().map(entry).collect();
        Ok(lower::lower(&self.model, self.model.graph(key.graph), key.start, &entries, key.keep_all)?)
    }

    /// Runs a plan whose inputs are the site's live values; returns its outputs and writes parameters.
    fn run_plan(&self, ready: &Ready, entries: &[Tensor], params: &mut [Tensor]) -> Result<Vec<Tensor>, Error> {
        let plan = &ready.plan;
        let mut state = lock(&ready.idle).pop().unwrap_or_else(|| plan.state());
        let mut buffers = plan.buffers();
        let inputs: Vec<&[u8]> = entries.iter().map(|t| t.bytes().as_ref()).collect();
        let done = plan.run(&mut state, &inputs, params, &mut buffers, None);
        lock(&ready.idle).push(state);
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

impl AsRef<Plan> for Ready {
    fn as_ref(&self) -> &Plan {
        &self.plan
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
