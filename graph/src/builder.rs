//! Models built in Rust.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use crate::graph::{
    Arg, Closure, Def, Graph, GraphId, Layer, Model, Nest, Node, NodeKind, Origin, Param, Primitive, ValueId,
};
use crate::op::{Case, CaseArg, Const, Effect, OpDef, ParamKind};
use crate::{OpError, Spec, Table, Tensor, ensure, ops};

/// Builds a [`Model`]: its entry, and functions that it calls.
///
/// ```
/// use mindir_graph::builder::Builder;
/// use mindir_graph::{DType, Spec, Tensor};
///
/// let mut b = Builder::new("scores");
/// let x = b.input("x", Spec::fixed(DType::F32, &[2, 3]));
/// let y = b.op("Softmax", [x.into(), (-1i64).into()])?;
/// let model = b.finish(&[y]);
/// assert_eq!(model.entry().nodes.len(), 1);
/// # Ok::<(), mindir_graph::OpError>(())
/// ```
///
/// A loop is a function that calls itself:
///
/// ```
/// use mindir_graph::builder::Builder;
/// use mindir_graph::graph::Closure;
/// use mindir_graph::{DType, Spec};
///
/// let mut b = Builder::new("double until it is large");
/// let scalar = Spec::fixed(DType::F32, &[]);
/// let [test, again, leave] = ["test", "again", "leave"].map(|name| b.declare(name));
/// b.define(test, |b| {
///     let x = b.input("x", scalar.clone());
///     let small = b.op("Less", [x.into(), 100.0f32.into()])?;
///     let [again, leave] = [again, leave].map(|graph| Closure { graph, args: vec![x.into()] });
///     Ok(b.choose(small, again, leave, 1))
/// })?;
/// b.define(again, |b| {
///     let x = b.input("x", scalar.clone());
///     let twice = b.op("Add", [x.into(), x.into()])?;
///     Ok(b.call(test, [twice.into()], 1))
/// })?;
/// b.define(leave, |b| Ok(vec![b.input("x", scalar.clone())]))?;
/// let x = b.input("x", scalar);
/// let y = b.call(test, [x.into()], 1);
/// let model = b.finish(&y);
/// assert_eq!(model.graphs.len(), 4);
/// # Ok::<(), mindir_graph::OpError>(())
/// ```
#[derive(Debug)]
pub struct Builder {
    /// The graph that is being built, and its number.
    graph: Graph,
    id: GraphId,
    /// Graphs that wait for an inner one to end.
    waiting: Vec<(GraphId, Graph)>,
    /// Graphs by number, the entry first; those that are not complete are empty.
    graphs: Table<GraphId, Graph>,
    params: Vec<Param>,
    scope: String,
}

/// Which functions and parameters a builder had at some time.
#[derive(Clone, Copy, Debug)]
pub struct Mark {
    graphs: usize,
    params: usize,
}

impl Mark {
    /// Whether the function existed.
    pub fn has_graph(self, graph: GraphId) -> bool {
        (graph.0 as usize) < self.graphs
    }

    /// Whether the parameter existed.
    pub fn has_param(self, param: usize) -> bool {
        param < self.params
    }
}

impl Builder {
    /// A model without inputs, nodes or results.
    pub fn new(name: &str) -> Builder {
        Builder {
            graph: Graph::new(name),
            id: GraphId(0),
            waiting: Vec::new(),
            graphs: vec![Graph::new(name)].into(),
            params: Vec::new(),
            scope: String::new(),
        }
    }

    /// What the paths of the nodes that follow start with.
    pub fn scope(&mut self, path: &str) {
        self.scope = path.to_string();
    }

    /// Adds an input.
    pub fn input(&mut self, name: &str, spec: Spec) -> ValueId {
        let v = self.graph.add_value(name, spec, Def::Input(self.graph.inputs.len()));
        self.graph.inputs.push(v);
        v
    }

    /// Adds a parameter.
    pub fn param(&mut self, name: &str, tensor: Tensor) -> ValueId {
        let param = self.add_param(name, tensor);
        self.read_param(param)
    }

    /// Adds a parameter that no graph reads yet, and gives its number.
    pub fn add_param(&mut self, name: &str, tensor: Tensor) -> usize {
        self.params.push(Param { name: name.into(), tensor, mutable: false });
        self.params.len() - 1
    }

    /// What parameter `param` holds, as a value of the current graph. Of a parameter that there is not, nothing is known.
    pub fn read_param(&mut self, param: usize) -> ValueId {
        let (name, spec) = match self.params.get(param) {
            Some(Param { name, tensor, .. }) => (name.clone(), Spec::fixed(tensor.dtype(), tensor.shape())),
            None => ("".into(), Spec::default()),
        };
        self.graph.add_value(name, spec, Def::Param(param))
    }

    /// Adds a constant.
    pub fn constant(&mut self, tensor: Tensor) -> ValueId {
        let name = format!("constant_{}", self.graph.values.len());
        let spec = Spec::fixed(tensor.dtype(), tensor.shape());
        self.graph.add_value(name, spec, Def::Const(tensor))
    }

    /// Says what is known of a node's result in the current graph.
    pub fn specify(&mut self, v: ValueId, spec: Spec) {
        let value = self.graph.values.find_mut(v).filter(|value| matches!(value.def, Def::Node));
        if let Some(value) = value {
            value.spec = spec;
        }
    }

    /// The name of a value of the current graph.
    pub fn name(&self, v: ValueId) -> &str {
        &self.graph.value(v).name
    }

    /// The values of the current graph that get along with another name, in files too: constants, and what is all that a node
    /// gives.
    pub fn nameable(&self) -> HashSet<ValueId> {
        let only = |node: &Node| if let [only] = node.outputs.as_slice() { Some(*only) } else { None };
        let is_constant = |id: &ValueId| matches!(self.graph.value(*id).def, Def::Const(_));
        let constants = self.graph.values.ids().filter(is_constant);
        self.graph.nodes.iter().filter_map(only).chain(constants).collect()
    }

    /// Gives results of nodes and constants of the current graph other names. A value that has the name already gets the old
    /// one instead. Values that are named already, inputs and parameters among them, keep their names.
    pub fn rename(&mut self, names: &[(ValueId, &str)]) {
        let values = &mut self.graph.values;
        let mut holders: HashMap<Arc<str>, ValueId> = values.iter().map(|v| v.name.clone()).zip(values.ids()).collect();
        let mut named: HashSet<ValueId> = HashSet::new();
        for &(at, name) in names {
            let free = |at: ValueId| !named.contains(&at) && matches!(values[at].def, Def::Node | Def::Const(_));
            let holder = holders.get(name).copied();
            if name.is_empty() || !free(at) || holder.is_some_and(|h| h != at && !free(h)) {
                continue;
            }
            let old = std::mem::replace(&mut values[at].name, name.into());
            if let Some(holder) = holder.filter(|h| *h != at) {
                values[holder].name = old.clone();
                holders.insert(old, holder);
            }
            holders.insert(name.into(), at);
            named.insert(at);
        }
    }

    /// Adds an operator with one result. Arguments are in signature order; missing ones take the default.
    ///
    /// # Errors
    /// [`OpError::Unsupported`] if there is no operator of this name.
    pub fn op(&mut self, name: &str, args: impl IntoIterator<Item = Arg>) -> Result<ValueId, OpError> {
        let results = self.op_n(name, args, 1)?;
        results.first().copied().ok_or_else(|| OpError::Invalid(format!("expected a result of {name}, found none")))
    }

    /// Adds an operator with `results` results. An alias is kept as the name of the primitive.
    ///
    /// # Errors
    /// [`OpError::Unsupported`] if there is no operator of this name.
    pub fn op_n(
        &mut self,
        name: &str,
        args: impl IntoIterator<Item = Arg>,
        results: usize,
    ) -> Result<Vec<ValueId>, OpError> {
        let def = ops::find(name).ok_or_else(|| OpError::Unsupported(format!("unknown primitive {name}")))?;
        let args: Vec<Option<Arg>> = args.into_iter().map(Some).collect();
        let outputs = self.node(def, args, results);
        if let (true, Some(node)) = (name != def.name, self.graph.nodes.last_mut()) {
            let (function, nest) = (def.kind_of(name).is_function(), def.nest(results));
            node.primitive = Some(Primitive { name: name.into(), function, attrs: Vec::new(), nest }.into());
        }
        Ok(outputs)
    }

    /// Adds an operator that need not be one of [`ops::OPS`], with `results` results.
    pub fn op_of(&mut self, def: &'static OpDef, args: impl IntoIterator<Item = Arg>, results: usize) -> Vec<ValueId> {
        self.node(def, args.into_iter().map(Some).collect(), results)
    }

    /// Adds a function without contents, so that others can call it already.
    pub fn declare(&mut self, name: &str) -> GraphId {
        self.graphs.add(Graph::new(name))
    }

    /// Says what a declared function does: inputs and operators that `body` adds are the function's, and it returns the
    /// values of `body`. Values of other graphs do not exist there and have to be arguments; constants and parameters are
    /// its own.
    ///
    /// # Errors
    /// Those of `body`; [`OpError::Invalid`] if the function is not declared.
    pub fn define(
        &mut self,
        function: GraphId,
        body: impl FnOnce(&mut Builder) -> Result<Vec<ValueId>, OpError>,
    ) -> Result<(), OpError> {
        let is_declared = (1..self.graphs.len()).contains(&(function.0 as usize));
        ensure!(is_declared, "function {} is not declared", function.0);
        self.enter(function);
        let outputs = body(self);
        self.end(outputs.as_deref().unwrap_or_default());
        outputs.map(drop)
    }

    /// Begins a function, which everything belongs to until [`end`](Self::end): [`define`](Self::define) for bodies that are
    /// no closures.
    pub fn begin(&mut self, name: &str) -> GraphId {
        let function = self.declare(name);
        self.enter(function);
        function
    }

    fn enter(&mut self, function: GraphId) {
        let own = Graph::new(&self.graphs[function].name);
        let outer = std::mem::replace(&mut self.graph, own);
        self.waiting.push((std::mem::replace(&mut self.id, function), outer));
    }

    /// Ends the function that was begun last, with these results.
    pub fn end(&mut self, outputs: &[ValueId]) {
        let Some((outer_id, outer)) = self.waiting.pop() else { return };
        let mut done = std::mem::replace(&mut self.graph, outer);
        let id = std::mem::replace(&mut self.id, outer_id);
        returns(&mut done, outputs);
        self.graphs[id] = done;
    }

    /// What exists now, to [`rewind`](Self::rewind) to.
    pub fn mark(&self) -> Mark {
        Mark { graphs: self.graphs.len(), params: self.params.len() }
    }

    /// Forgets the functions and parameters that were added since, which nothing that stays may refer to. Functions that
    /// were begun since must have ended.
    pub fn rewind(&mut self, mark: Mark) {
        self.graphs.truncate(mark.graphs);
        self.params.truncate(mark.params);
    }

    /// Says that the current graph computes a recurrent layer.
    pub fn layer(&mut self, layer: Layer) {
        self.graph.layer = Some(layer);
    }

    /// The graph that is being built.
    pub fn current(&self) -> GraphId {
        self.id
    }

    /// Adds a call of a function.
    pub fn call(&mut self, function: GraphId, args: impl IntoIterator<Item = Arg>, results: usize) -> Vec<ValueId> {
        self.any_node(NodeKind::Call(function), args.into_iter().map(Some).collect(), results)
    }

    /// Adds a call of one of two functions.
    pub fn choose(&mut self, condition: ValueId, then: Closure, otherwise: Closure, results: usize) -> Vec<ValueId> {
        self.any_node(NodeKind::If { then, otherwise }, vec![Some(condition.into())], results)
    }

    /// Adds a call of one of several functions, the number of which `index` holds.
    pub fn select(&mut self, index: ValueId, branches: Vec<Closure>, results: usize) -> Vec<ValueId> {
        self.any_node(NodeKind::Select(branches), vec![Some(index.into())], results)
    }

    fn node(&mut self, def: &'static OpDef, args: Vec<Option<Arg>>, results: usize) -> Vec<ValueId> {
        self.any_node(NodeKind::Op(def), args, results)
    }

    fn any_node(&mut self, kind: NodeKind, args: Vec<Option<Arg>>, results: usize) -> Vec<ValueId> {
        let mut node = Node { name: "".into(), path: "".into(), kind, args, outputs: Vec::new(), primitive: None };
        let name = format!("{}_{}", node.op_name(), self.graph.nodes.len());
        let outputs: Vec<ValueId> =
            (0..results).map(|i| self.graph.add_value(format!("{name}.{i}"), Spec::default(), Def::Node)).collect();
        node.name = name.as_str().into();
        node.path = if self.scope.is_empty() { name.into() } else { format!("{}/{name}", self.scope).into() };
        node.outputs.clone_from(&outputs);
        if let Effect::Writes(writes) = node.effect() {
            for arg in writes.args.iter().filter_map(|&i| node.args.get(i)) {
                if let Some(Arg::Value(v)) = arg
                    && let Def::Param(p) = self.graph.value(*v).def
                    && let Some(param) = self.params.get_mut(p)
                {
                    param.mutable = true;
                }
            }
        }
        self.graph.nodes.push(node);
        outputs
    }

    /// The model whose entry has these results.
    pub fn finish(mut self, outputs: &[ValueId]) -> Model {
        while !self.waiting.is_empty() {
            self.end(&[]);
        }
        returns(&mut self.graph, outputs);
        self.graphs[GraphId::ENTRY] = self.graph;
        Model {
            origin: Origin { producer: "mindir".into(), ..Origin::default() },
            graphs: self.graphs.into(),
            params: self.params,
            preprocess: Vec::new(),
        }
    }
}

/// Sets what a graph returns.
fn returns(graph: &mut Graph, outputs: &[ValueId]) {
    graph.outputs = outputs.to_vec();
    graph.nest = match outputs {
        [_] => Nest::Leaf,
        many => Nest::Tuple(many.iter().map(|_| Nest::Leaf).collect()),
    };
}

/// A model of one node that computes a case of an operator, with the inputs of the case.
pub fn single(def: &'static OpDef, case: &Case, results: usize) -> (Model, Vec<Tensor>) {
    let mut b = Builder::new(def.name);
    let mut inputs = Vec::new();
    let mut tensor = |b: &mut Builder, t: &Tensor| {
        inputs.push(t.clone());
        Arg::Value(b.input(&format!("x{}", inputs.len() - 1), Spec::fixed(t.dtype(), t.shape())))
    };
    let mut args = Vec::new();
    for (i, arg) in case.args.iter().enumerate() {
        let value = def.params.get(i).is_some_and(|p| p.kind == ParamKind::Value);
        args.push(match arg {
            None => None,
            Some(CaseArg::Const(c)) => Some(Arg::Const(c.clone())),
            Some(CaseArg::Tensor(t)) if value => Some(Arg::Const(Const::Tensor(t.clone()))),
            Some(CaseArg::Tensor(t)) => Some(tensor(&mut b, t)),
            Some(CaseArg::Tensors(ts)) => Some(Arg::List(ts.iter().map(|t| tensor(&mut b, t)).collect())),
        });
    }
    let outputs = b.node(def, args, results);
    (b.finish(&outputs), inputs)
}

impl From<ValueId> for Arg {
    fn from(v: ValueId) -> Arg {
        Arg::Value(v)
    }
}

impl<C: Into<Const>> From<C> for Arg {
    fn from(c: C) -> Arg {
        Arg::Const(c.into())
    }
}

impl From<&[ValueId]> for Arg {
    fn from(items: &[ValueId]) -> Arg {
        Arg::List(items.iter().map(|v| Arg::Value(*v)).collect())
    }
}
