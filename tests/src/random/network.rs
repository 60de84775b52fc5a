//! Networks as steps with known contents: built into models, computed by the plain definitions, made smaller.

use std::collections::HashMap;

use mindir_graph::builder::{Builder, single};
use mindir_graph::graph::{Arg, Closure, GraphId, Model, ValueId};
use mindir_graph::lower::run_node;
use mindir_graph::op::{Case, CaseArg, Const};
use mindir_graph::{DType, Dim, OpError, Spec, Tensor, ops};

/// What defines a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Origin {
    /// An input of the network.
    Input,
    /// A constant.
    Constant,
    /// A parameter.
    Parameter,
    /// The result of a step.
    Step,
}

/// A value and what it holds.
#[derive(Clone, Debug)]
pub struct Value {
    /// Its contents by the plain definitions of the operators.
    pub tensor: Tensor,
    /// What defines it.
    pub origin: Origin,
    /// Whether every way to compute it gives these bits: whole numbers so small that no sum of them is rounded.
    pub exact: bool,
}

/// An argument of a step.
#[derive(Clone, Debug)]
pub enum Operand {
    /// A value, by index.
    Value(usize),
    /// A tuple of values.
    List(Vec<usize>),
    /// A constant that is no tensor.
    Const(Const),
}

/// What a step does.
#[derive(Clone, Debug)]
pub enum Kind {
    /// An operator by name.
    Op(&'static str),
    /// Argument 0 says which of two networks gets the others as inputs.
    If(Box<[Network; 2]>),
    /// The network computes the arguments anew from themselves, so many times.
    Loop(Box<Network>, usize),
}

/// One step.
#[derive(Clone, Debug)]
pub struct Step {
    /// What it does.
    pub kind: Kind,
    /// Its arguments; missing ones take the default.
    pub args: Vec<Option<Operand>>,
    /// Its results, by index.
    pub results: Vec<usize>,
}

/// Values and the steps that compute them.
#[derive(Clone, Debug, Default)]
pub struct Network {
    /// All values.
    pub values: Vec<Value>,
    /// Steps in order.
    pub steps: Vec<Step>,
    /// Results, by index.
    pub outputs: Vec<usize>,
    /// Whether the model leaves the dimensions of its inputs open.
    pub open: bool,
}

/// The results of an operator by its plain definition.
///
/// # Errors
/// What the operator says about its arguments.
pub fn reference(name: &str, args: &[Option<CaseArg>]) -> Result<Vec<Tensor>, OpError> {
    let def = ops::find(name).ok_or_else(|| OpError::Unsupported(name.to_string()))?;
    let case = Case { name: "", args: args.to_vec(), exact: false };
    let (model, inputs) = single(def, &case, 1);
    let graph = model.entry();
    let tensors: HashMap<ValueId, Tensor> = graph.inputs.iter().copied().zip(inputs).collect();
    run_node(&model, graph, &graph.nodes[0], &tensors).map_err(|e| e.error)
}

impl Operand {
    /// Calls `f` with every value in it.
    pub fn each(&self, mut f: impl FnMut(usize)) {
        match self {
            Operand::Value(v) => f(*v),
            Operand::List(all) => all.iter().copied().for_each(f),
            Operand::Const(_) => {}
        }
    }

    /// With the contents that `tensor` gives for values.
    pub fn contents(&self, tensor: impl Fn(usize) -> Tensor) -> CaseArg {
        match self {
            Operand::Value(v) => CaseArg::Tensor(tensor(*v)),
            Operand::List(all) => CaseArg::Tensors(all.iter().map(|v| tensor(*v)).collect()),
            Operand::Const(c) => CaseArg::Const(c.clone()),
        }
    }
}

impl Network {
    /// Adds a value.
    pub fn add(&mut self, tensor: Tensor, origin: Origin, exact: bool) -> usize {
        self.values.push(Value { tensor, origin, exact });
        self.values.len() - 1
    }

    /// What a value holds.
    pub fn tensor(&self, v: usize) -> &Tensor {
        &self.values[v].tensor
    }

    /// The inputs, by index.
    pub fn inputs(&self) -> Vec<usize> {
        (0..self.values.len()).filter(|v| self.values[*v].origin == Origin::Input).collect()
    }

    /// What the inputs hold.
    pub fn contents(&self) -> Vec<Tensor> {
        self.inputs().into_iter().map(|v| self.tensor(v).clone()).collect()
    }

    /// The results for other inputs, by the plain definitions.
    ///
    /// # Errors
    /// What an operator says about its arguments.
    pub fn compute(&self, inputs: &[Tensor]) -> Result<Vec<Tensor>, OpError> {
        let mut held: Vec<Tensor> = self.values.iter().map(|v| v.tensor.clone()).collect();
        self.inputs().into_iter().zip(inputs).for_each(|(v, t)| held[v] = t.clone());
        for step in &self.steps {
            let results = step.compute(|v| held[v].clone())?;
            step.results.iter().zip(results).for_each(|(v, t)| held[*v] = t);
        }
        Ok(self.outputs.iter().map(|v| held[*v].clone()).collect())
    }

    /// The model.
    ///
    /// # Errors
    /// An operator that does not exist.
    pub fn model(&self) -> Result<Model, OpError> {
        let mut b = Builder::new("random");
        let outputs = self.build(&mut b)?;
        Ok(b.finish(&outputs))
    }

    /// Adds inputs and steps to the graph that is being built.
    fn build(&self, b: &mut Builder) -> Result<Vec<ValueId>, OpError> {
        let mut ids: Vec<Option<ValueId>> = vec![None; self.values.len()];
        for (i, value) in self.values.iter().enumerate() {
            let t = &value.tensor;
            ids[i] = match value.origin {
                Origin::Input => Some(b.input(&format!("x{i}"), self.spec(t))),
                Origin::Constant => Some(b.constant(t.clone())),
                Origin::Parameter => Some(b.param(&format!("p{i}"), t.clone())),
                Origin::Step => None,
            };
        }
        let id = |ids: &[Option<ValueId>], v: usize| {
            ids[v].ok_or_else(|| OpError::Invalid(format!("value {v} is read before it is computed")))
        };
        for step in &self.steps {
            let mut args = Vec::new();
            for (i, arg) in step.args.iter().enumerate() {
                args.push(match arg {
                    // The builder has no missing arguments.
                    None => Arg::Const(step.default(i)),
                    Some(Operand::Value(v)) => Arg::Value(id(&ids, *v)?),
                    Some(Operand::Const(c)) => Arg::Const(c.clone()),
                    Some(Operand::List(all)) => {
                        Arg::List(all.iter().map(|v| Ok(Arg::Value(id(&ids, *v)?))).collect::<Result<_, OpError>>()?)
                    }
                });
            }
            let results = step.build(b, args)?;
            step.results.iter().zip(results).for_each(|(v, r)| ids[*v] = Some(r));
        }
        self.outputs.iter().map(|v| id(&ids, *v)).collect()
    }

    fn spec(&self, t: &Tensor) -> Spec {
        let mut spec = Spec::fixed(t.dtype(), t.shape());
        if self.open {
            spec.dims.iter_mut().flatten().for_each(|d| *d = Dim::Unknown);
        }
        spec
    }

    /// Without the steps and values that no output needs.
    #[must_use]
    pub fn pruned(&self) -> Network {
        let mut needed = vec![false; self.values.len()];
        self.outputs.iter().for_each(|v| needed[*v] = true);
        let mut steps = Vec::new();
        for step in self.steps.iter().rev() {
            if step.results.iter().any(|v| needed[*v]) {
                step.args.iter().flatten().for_each(|a| a.each(|v| needed[v] = true));
                step.results.iter().for_each(|v| needed[*v] = true);
                steps.push(step.clone());
            }
        }
        steps.reverse();
        let mut net = Network { steps, outputs: self.outputs.clone(), open: self.open, ..Network::default() };
        let mut renamed = vec![0; self.values.len()];
        for (v, value) in self.values.iter().enumerate().filter(|(v, _)| needed[*v]) {
            renamed[v] = net.values.len();
            net.values.push(value.clone());
        }
        net.outputs.iter_mut().for_each(|v| *v = renamed[*v]);
        for step in &mut net.steps {
            step.results.iter_mut().for_each(|v| *v = renamed[*v]);
            for arg in step.args.iter_mut().flatten() {
                match arg {
                    Operand::Value(v) => *v = renamed[*v],
                    Operand::List(all) => all.iter_mut().for_each(|v| *v = renamed[*v]),
                    Operand::Const(_) => {}
                }
            }
        }
        net
    }

    /// Without the steps that no output needs, but with all of the first `inputs` values, which are its inputs.
    #[must_use]
    pub(super) fn pruned_body(&self, inputs: usize) -> Network {
        let mut net = self.clone();
        net.outputs.extend(0..inputs);
        net = net.pruned();
        net.outputs.truncate(self.outputs.len());
        net
    }

    /// With one output.
    fn only(&self, v: usize) -> Network {
        Network { outputs: vec![v], ..self.clone() }.pruned()
    }

    /// With a value that is computed as an input that holds the same.
    fn cut(&self, v: usize) -> Network {
        let mut net = self.clone();
        net.values[v].origin = Origin::Input;
        for step in &mut net.steps {
            if let Some(at) = step.results.iter().position(|r| *r == v) {
                let (tensor, exact) = (net.values[v].tensor.clone(), net.values[v].exact);
                net.values.push(Value { tensor, origin: Origin::Step, exact });
                step.results[at] = net.values.len() - 1;
            }
        }
        net.pruned()
    }

    /// A network with fewer outputs and steps that still `fails`.
    #[must_use]
    pub fn shrunk(&self, mut fails: impl FnMut(&Network) -> bool) -> Network {
        let mut net = self.clone();
        let results: Vec<usize> = net.steps.iter().flat_map(|s| s.results.clone()).collect();
        let candidates = results.into_iter().chain(net.outputs.clone());
        if let Some(small) = candidates.map(|v| net.only(v)).find(|small| fails(small)) {
            net = small;
        }
        let mut next = 0;
        while next < net.values.len() {
            let v = net.values.len() - 1 - next;
            if net.values[v].origin == Origin::Step && !net.outputs.contains(&v) {
                let small = net.cut(v);
                if small.steps.len() < net.steps.len() && fails(&small) {
                    net = small;
                    next = 0;
                    continue;
                }
            }
            next += 1;
        }
        net
    }
}

impl Step {
    /// The results, given what values hold.
    ///
    /// # Errors
    /// What an operator says about its arguments.
    pub fn compute(&self, tensor: impl Fn(usize) -> Tensor) -> Result<Vec<Tensor>, OpError> {
        let args: Vec<Option<CaseArg>> = self.args.iter().map(|a| a.as_ref().map(|a| a.contents(&tensor))).collect();
        let tensors = |from: usize| {
            args[from..]
                .iter()
                .flatten()
                .filter_map(|a| if let CaseArg::Tensor(t) = a { Some(t.clone()) } else { None })
        };
        match &self.kind {
            Kind::Op(name) => reference(name, &args),
            Kind::If(branches) => {
                let condition = tensors(0).next().map(|t| t.to_i64s()).transpose()?.unwrap_or_default();
                branches[usize::from(condition == [0])].compute(&tensors(1).collect::<Vec<_>>())
            }
            Kind::Loop(body, trips) => {
                let mut state: Vec<Tensor> = tensors(0).collect();
                for _ in 0..*trips {
                    state = body.compute(&state)?;
                }
                Ok(state)
            }
        }
    }

    /// The default of an argument.
    fn default(&self, index: usize) -> Const {
        let Kind::Op(name) = self.kind else { return Const::None };
        let param = ops::find(name).and_then(|def| def.params.get(index));
        param.and_then(|p| (p.default)()).unwrap_or(Const::None)
    }

    fn build(&self, b: &mut Builder, mut args: Vec<Arg>) -> Result<Vec<ValueId>, OpError> {
        let results = self.results.len();
        match &self.kind {
            Kind::Op(name) => b.op_n(name, args, results),
            Kind::If(branches) => {
                let Arg::Value(condition) = args.remove(0) else {
                    return Err(OpError::Invalid("a condition that is no value".into()));
                };
                let [then, otherwise] = ["then", "otherwise"].map(|name| b.declare(name));
                for (function, body) in [then, otherwise].into_iter().zip(branches.iter()) {
                    b.define(function, |b| body.build(b))?;
                }
                let [then, otherwise] = [then, otherwise].map(|graph| Closure { graph, args: args.clone() });
                Ok(b.choose(condition, then, otherwise, results))
            }
            Kind::Loop(body, trips) => build_loop(b, body, *trips, args),
        }
    }
}

/// A function that calls itself as long as a counter is below `trips`.
fn build_loop(b: &mut Builder, body: &Network, trips: usize, args: Vec<Arg>) -> Result<Vec<ValueId>, OpError> {
    let facts: Vec<Spec> =
        body.inputs().into_iter().map(|v| body.tensor(v)).map(|t| Spec::fixed(t.dtype(), t.shape())).collect();
    let count = facts.len();
    let state = |b: &mut Builder| -> Vec<ValueId> {
        let n = b.input("n", Spec::fixed(DType::I32, &[]));
        [n].into_iter()
            .chain(facts.iter().enumerate().map(|(i, spec)| b.input(&format!("s{i}"), spec.clone())))
            .collect()
    };
    let values = |vs: &[ValueId]| -> Vec<Arg> { vs.iter().map(|v| Arg::Value(*v)).collect() };
    let [test, again, step, leave] = ["test", "again", "body", "leave"].map(|name| b.declare(name));
    b.define(test, |b| {
        let held = state(b);
        let limit = b.constant(Tensor::scalar(trips as i32));
        let small = b.op("Less", [held[0].into(), limit.into()])?;
        let [again, leave] = [again, leave].map(|graph: GraphId| Closure { graph, args: values(&held) });
        Ok(b.choose(small, again, leave, count))
    })?;
    b.define(step, |b| body.build(b))?;
    b.define(again, |b| {
        let held = state(b);
        let one = b.constant(Tensor::scalar(1i32));
        let next = b.op("Add", [held[0].into(), one.into()])?;
        let changed = b.call(step, values(&held[1..]), count);
        let args: Vec<Arg> = values(&[next]).into_iter().chain(values(&changed)).collect();
        Ok(b.call(test, args, count))
    })?;
    b.define(leave, |b| Ok(state(b)[1..].to_vec()))?;
    let zero = b.constant(Tensor::scalar(0i32));
    Ok(b.call(test, [Arg::Value(zero)].into_iter().chain(args), count))
}
