//! A model that runs.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use mindir_graph::bounds::{self, CancelToken, Halt};
use mindir_graph::graph::{Def, Graph, Model, Nest, ValueId};
use mindir_graph::lower::{self, Entry, NodeError, Stop};
use mindir_graph::{Fact, Spec, Tensor};
use mindir_loader::ckpt::{self, Checkpoint};

use crate::devices::devices;
use crate::error::UnsupportedNode;
use crate::interpret::Interpreter;
use crate::memory::Memory;
use crate::plan::{self, Plan};
use crate::plans::Ready;
use crate::{Error, InputError, Options, PackedWeights, Profile, Session, State};

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
/// parameters run one call at a time, unless each has a [`State`] of its own.
#[derive(Clone)]
pub struct GraphCell {
    inner: Arc<Interpreter>,
    cancel: Option<CancelToken>,
    deadline: Option<Duration>,
}

impl GraphCell {
    /// Prepares a model to run.
    ///
    /// ```
    /// use mindir::builder::Builder;
    /// use mindir::{DType, GraphCell, Options, Spec, Tensor};
    ///
    /// let mut b = Builder::new("net");
    /// let x = b.input("x", Spec::fixed(DType::F32, &[3]));
    /// let y = b.op("ReLU", [x.into()])?;
    /// let cell = GraphCell::new(b.finish(&[y]), Options { threads: Some(1), ..Options::default() })?;
    /// assert_eq!(cell.inputs()[0].spec.to_string(), "f32 [3]");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Unsupported`] naming every node of an unknown operator, [`Error::Options`], [`Error::NoDevice`],
    /// [`Error::Param`]; [`Error::Limit`] if the weights alone take more than [`Options::max_memory`].
    pub fn new(model: impl Into<Arc<Model>>, options: Options) -> Result<GraphCell, Error> {
        let mut model = model.into();
        let unsupported: Vec<UnsupportedNode> = model
            .opaque_nodes()
            .map(|(_, n)| UnsupportedNode { path: n.path.clone(), op: n.op_name().into() })
            .collect();
        if !unsupported.is_empty() {
            return Err(Error::Unsupported(unsupported));
        }
        options.check(&model)?;
        if !options.params_init.is_empty() {
            init_params(Arc::make_mut(&mut model), &options.params_init)?;
        }
        let memory = options.max_memory.map(Memory::new);
        let devices = devices(&options, memory.as_ref())?;
        let deadline = options.deadline;
        let inner = Arc::new(Interpreter::new(model, options, devices, memory)?);
        Ok(GraphCell { inner, cancel: None, deadline })
    }

    /// The same cell, whose runs, plans and sessions end with [`Error::Limit`] once `token` is cancelled.
    ///
    /// ```
    /// # use mindir::{CancelToken, GraphCell, Options, Tensor};
    /// # use mindir::builder::Builder;
    /// # use mindir::{DType, Spec};
    /// # let mut b = Builder::new("net");
    /// # let x = b.input("x", Spec::fixed(DType::F32, &[3]));
    /// # let y = b.op("ReLU", [x.into()])?;
    /// # let model = b.finish(&[y]);
    /// let token = CancelToken::new();
    /// let cell = GraphCell::new(model, Options::default())?.with_cancel(token.clone());
    /// token.cancel(); // from any thread
    /// assert!(matches!(cell.run(&[Tensor::vector(&[0.0f32; 3])]), Err(mindir::Error::Limit { .. })));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn with_cancel(self, token: CancelToken) -> GraphCell {
        GraphCell { cancel: Some(token), ..self }
    }

    /// The same cell with another [`Options::deadline`].
    pub fn with_deadline(self, deadline: impl Into<Option<Duration>>) -> GraphCell {
        GraphCell { deadline: deadline.into(), ..self }
    }

    /// What `f` says, which works under the cell's bounds from now on. Values that it has made are not the cell's afterwards.
    pub(crate) fn bounded<R>(&self, f: impl FnOnce() -> Result<R, Error>) -> Result<R, Error> {
        let bounds = self.inner.bounds(self.halt());
        let run = bounds.run.clone();
        let result = bounds.enter(f);
        run.inspect(|share| share.close());
        result
    }

    /// When a run that starts now must stop.
    pub(crate) fn halt(&self) -> Halt {
        Halt::new(self.cancel.clone(), self.deadline)
    }

    pub(crate) fn set_cancel(&mut self, token: Option<CancelToken>) {
        self.cancel = token;
    }

    pub(crate) fn set_deadline(&mut self, deadline: Option<Duration>) {
        self.deadline = deadline;
    }

    pub(crate) fn interpreter(&self) -> &Interpreter {
        &self.inner
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

    /// What became of the folder of [`Options::packed_weights`] since the cell was made or its parameters were loaded; `None`
    /// without one.
    pub fn packed_weights(&self) -> Option<PackedWeights> {
        self.inner.shelf.as_ref().map(|folder| folder.report())
    }

    /// What a parameter holds now.
    pub fn param(&self, name: &str) -> Option<Tensor> {
        let at = self.inner.model.params.iter().position(|p| &*p.name == name)?;
        self.inner.params().get(at).cloned()
    }

    /// What all parameters hold now, in the model's order.
    pub fn checkpoint(&self) -> Checkpoint {
        self.inner.model.params.iter().zip(self.inner.params()).map(|(p, t)| (&*p.name, t)).collect()
    }

    /// Gives parameters the values of a checkpoint, by MindSpore's rules; see [`ckpt::load_param_into_net`]. Clones of the
    /// cell and sessions keep what they have.
    ///
    /// # Errors
    /// [`Error::Misfits`] naming every value that does not fit; [`Error::Limit`]; nothing is changed then.
    pub fn load_param_into_net(
        &mut self,
        checkpoint: &Checkpoint,
        options: ckpt::LoadOptions,
    ) -> Result<ckpt::Loaded, Error> {
        let mut model = Model::clone(&self.inner.model);
        for (param, tensor) in model.params.iter_mut().zip(self.inner.params()) {
            param.tensor = tensor;
        }
        let loaded = ckpt::load_param_into_net(&mut model.params, checkpoint, options)?;
        let (options, devices, memory) =
            (self.inner.options.clone(), self.inner.devices.clone(), self.inner.memory.clone());
        self.inner = Arc::new(Interpreter::new(Arc::new(model), options, devices, memory)?);
        Ok(loaded)
    }

    /// Runs the model.
    ///
    /// ```
    /// # use mindir::{GraphCell, Options, Tensor};
    /// # use mindir::builder::Builder;
    /// # use mindir::{DType, Spec};
    /// # let mut b = Builder::new("net");
    /// # let x = b.input("x", Spec::fixed(DType::F32, &[3]));
    /// # let y = b.op("ReLU", [x.into()])?;
    /// # let model = b.finish(&[y]);
    /// let cell = GraphCell::new(model, Options::default())?;
    /// let y = cell.run(&[Tensor::vector(&[-1.0f32, 0.0, 2.0])])?;
    /// assert_eq!(y[0].view::<f32>()?, [0.0, 0.0, 2.0]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Input`] naming the input; [`Error::Node`], [`Error::Shapes`] or [`Error::Refused`] naming the
    /// operator that refuses its arguments; [`Error::Device`]; [`Error::Limit`].
    pub fn run(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, Error> {
        self.check(inputs)?;
        self.bounded(|| self.inner.run(inputs).map_err(|e| self.explain(e, inputs)))
    }

    /// As [`GraphCell::run`], and says how long every step took: also in branches, loops and calls.
    ///
    /// # Errors
    /// As [`GraphCell::run`].
    pub fn profile(&self, inputs: &[Tensor]) -> Result<(Vec<Tensor>, Profile), Error> {
        self.check(inputs)?;
        self.bounded(|| self.inner.profile(inputs).map_err(|e| self.explain(e, inputs)))
    }

    /// The parameters as they are now, for a conversation of its own.
    ///
    /// ```
    /// use mindir::builder::Builder;
    /// use mindir::{GraphCell, Options, Tensor};
    ///
    /// let mut b = Builder::new("counter");
    /// let (count, one) = (b.param("count", Tensor::scalar(0i32)), b.constant(Tensor::scalar(1i32)));
    /// let next = b.op("AssignAdd", [count.into(), one.into()])?;
    /// let cell = GraphCell::new(b.finish(&[next]), Options::default())?;
    /// let (mut one, mut other) = (cell.new_state(), cell.new_state());
    /// cell.run_in(&mut one, &[])?;
    /// assert_eq!(cell.run_in(&mut one, &[])?[0].to_i64s()?, [2]);
    /// assert_eq!(cell.run_in(&mut other, &[])?[0].to_i64s()?, [1]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn new_state(&self) -> State {
        State::new(self.inner.model.clone(), self.inner.params())
    }

    /// As [`GraphCell::run`] with the parameters of `state`, which the model writes instead of the cell's. Runs with different
    /// states go on at the same time.
    ///
    /// # Errors
    /// As [`GraphCell::run`], and the state is as it was; [`InputError::State`] if it is the state of another model.
    pub fn run_in(&self, state: &mut State, inputs: &[Tensor]) -> Result<Vec<Tensor>, Error> {
        state.check(&self.inner.model)?;
        self.check(inputs)?;
        self.bounded(|| self.inner.run_in(state, inputs).map_err(|e| self.explain(e, inputs)))
    }

    /// Runs the model with inputs given by name, in any order.
    ///
    /// ```
    /// # use mindir::{GraphCell, Options, Tensor};
    /// # use mindir::builder::Builder;
    /// # use mindir::{DType, Spec};
    /// # let mut b = Builder::new("net");
    /// # let x = b.input("x", Spec::fixed(DType::F32, &[3]));
    /// # let y = b.op("ReLU", [x.into()])?;
    /// # let model = b.finish(&[y]);
    /// let cell = GraphCell::new(model, Options::default())?;
    /// let y = cell.run_named(&[("x", Tensor::vector(&[-1.0f32, 0.0, 2.0]))])?;
    /// assert_eq!(y[0].to_f64s()?, [0.0, 0.0, 2.0]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`GraphCell::run`].
    pub fn run_named(&self, inputs: &[(&str, Tensor)]) -> Result<Vec<Tensor>, Error> {
        let ports = self.inputs();
        let names = || ports.iter().map(|p| p.name.as_str()).collect::<Vec<_>>().join(", ");
        for (i, (name, _)) in inputs.iter().enumerate() {
            if !ports.iter().any(|p| p.name == *name) {
                return Err(InputError::Name { name: name.to_string(), names: names() }.into());
            }
            if inputs.iter().take(i).any(|(n, _)| n == name) {
                return Err(InputError::Twice(name.to_string()).into());
            }
        }
        let find = |p: &Port| inputs.iter().find(|(n, _)| p.name == *n).map(|(_, t)| t.clone());
        let ordered: Vec<Tensor> = ports.iter().filter_map(find).collect();
        self.run(&ordered)
    }

    /// A session for inputs of these facts, which runs without allocating.
    ///
    /// ```
    /// # use mindir::{Fact, GraphCell, Options};
    /// # use mindir::builder::Builder;
    /// # use mindir::{DType, Spec};
    /// # let mut b = Builder::new("net");
    /// # let x = b.input("x", Spec::fixed(DType::F32, &[3]));
    /// # let y = b.op("ReLU", [x.into()])?;
    /// # let model = b.finish(&[y]);
    /// let cell = GraphCell::new(model, Options::default())?;
    /// let mut session = cell.session(&[Fact::new(DType::F32, &[3])])?;
    /// for x in [[-1.0f32, 0.0, 2.0], [1.0, -5.0, 3.0]] {
    ///     session.run(&[&x])?;
    ///     println!("{:?}", session.output::<f32>(0)?);
    /// }
    /// assert_eq!(session.output::<f32>(0)?, [1.0, 0.0, 3.0]);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`GraphCell::run`]; [`Error::NotStraight`] if the model has control flow, or shapes that depend on data.
    pub fn session(&self, inputs: &[Fact]) -> Result<Session, Error> {
        self.check_facts(inputs)?;
        self.bounded(|| {
            let ready = self.straight(inputs, false).map_err(|e| self.explain_facts(e, inputs))?;
            bounds::kept(|| Session::new(self.clone(), ready, inputs.to_vec()))
        })
    }

    /// Whether a run for inputs of these facts is a straight line of steps: no control flow, and no shape that depends on data. All
    /// that is left of its inputs then once it is over are results and parameters that share their elements.
    ///
    /// ```
    /// # use mindir::{Fact, GraphCell, Options};
    /// # use mindir::builder::Builder;
    /// # use mindir::{DType, Spec};
    /// # let mut b = Builder::new("net");
    /// # let x = b.input("x", Spec::fixed(DType::F32, &[3]));
    /// # let y = b.op("ReLU", [x.into()])?;
    /// # let model = b.finish(&[y]);
    /// let cell = GraphCell::new(model, Options::default())?;
    /// assert!(cell.is_straight(&[Fact::new(DType::F32, &[3])])?);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`GraphCell::plan`].
    pub fn is_straight(&self, inputs: &[Fact]) -> Result<bool, Error> {
        self.check_facts(inputs)?;
        self.bounded(|| self.inner.is_straight(inputs).map_err(|e| self.explain_facts(e, inputs)))
    }

    /// What a run for inputs of these facts does: the whole model, or up to the first node that needs data. Weights are
    /// neither read nor packed for it.
    ///
    /// ```
    /// # use mindir::{GraphCell, Options};
    /// # use mindir::builder::Builder;
    /// # use mindir::{DType, Spec};
    /// # let mut b = Builder::new("net");
    /// # let x = b.input("x", Spec::fixed(DType::F32, &[3]));
    /// # let y = b.op("ReLU", [x.into()])?;
    /// # let model = b.finish(&[y]);
    /// let cell = GraphCell::new(model, Options::default())?;
    /// let facts = cell.exported_facts().unwrap_or_default();
    /// for step in cell.plan(&facts)?.stages().iter().flat_map(|stage| &stage.steps) {
    ///     println!("{} by {}", step.path, step.kernel);
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    ///
    /// # Errors
    /// As [`GraphCell::run`].
    pub fn plan(&self, inputs: &[Fact]) -> Result<Plan, Error> {
        self.check_facts(inputs)?;
        self.bounded(|| self.inner.outline(inputs).map_err(|e| self.explain_facts(e, inputs)))
    }

    /// Runs the model and returns the results of all nodes in execution order, as (name of the value, path of the node,
    /// tensor).
    ///
    /// # Errors
    /// As [`GraphCell::session`].
    pub fn trace(&self, inputs: &[Tensor]) -> Result<Vec<(String, String, Tensor)>, Error> {
        self.check(inputs)?;
        let facts: Vec<Fact> = inputs.iter().map(Tensor::fact).collect();
        let (ready, values) = self.bounded(|| {
            let ready = self.straight(&facts, true)?;
            let values = self.inner.run_plan(&ready, self.inner.entries(inputs), &mut self.inner.params())?;
            Ok((ready, values))
        })?;
        let g = self.inner.model.entry();
        let producers = g.producers();
        let named = ready.compiled.outputs.iter().zip(values).map(|(id, t)| {
            let path = producers[*id].and_then(|n| g.nodes.get(n)).map_or(String::new(), |node| node.path.to_string());
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
        match &ready.compiled.plan.stop {
            Stop::End => Ok(ready),
            stop => {
                let node = self.inner.model.entry().nodes.get(ready.compiled.plan.next);
                let node = node.map_or(String::new(), |node| format!("{} {}: ", node.op_name(), node.path));
                Err(Error::NotStraight(format!("{node}{}", plan::why(stop))))
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

    /// All operators that refuse their arguments with inputs of these facts, `first` among them.
    fn refused(&self, first: NodeError, facts: &[Fact]) -> Error {
        let (model, graph) = (&self.inner.model, self.inner.model.entry());
        let entry = |(&value, fact): (&ValueId, &Fact)| Entry { value, fact: fact.clone(), known: None };
        let entries: Vec<Entry> = graph.inputs.iter().zip(facts).map(entry).collect();
        let mut all = lower::refusals(model, graph, &entries);
        if !all.iter().any(|e| e.path == first.path) {
            all.insert(0, first);
        }
        Error::Refused(all)
    }

    /// Adds declared and given shapes to an operator's complaint, if they differ; without a difference the model is to
    /// blame, unless its plan depends on dimensions it leaves open or on what the inputs hold.
    fn explain_facts(&self, e: Error, found: &[Fact]) -> Error {
        let Error::Node(error) = e else { return e };
        if self.exported_facts().is_some_and(|declared| declared == found) {
            let contradicts = matches!(self.inner.first_plan(found, false), Err(Error::Node(_)));
            return if contradicts { self.refused(error, found) } else { Error::Node(error) };
        }
        let ports = self.inputs();
        let differs = |(p, f): (&Port, &Fact)| {
            let dims = p.spec.dims.iter().flatten().zip(&f.shape);
            dims.clone().any(|(d, n)| !d.takes(*n))
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
