//! Models built in Rust.

use crate::graph::{Arg, Closure, Def, Graph, GraphId, Model, Nest, Node, NodeKind, Origin, Param, Primitive, ValueId};
use crate::op::{Case, CaseArg, Const, Effect, OpDef, ParamKind};
use crate::{OpError, Spec, Tensor, ops};

/// Builds a [`Model`]: its entry, and other graphs inside of [`begin`](Builder::begin) and [`end`](Builder::end).
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
#[derive(Debug)]
pub struct Builder {
    graph: Graph,
    id: GraphId,
    /// Graphs that wait for an inner one to end.
    waiting: Vec<(GraphId, Graph)>,
    /// Graphs by number; those that are not complete are empty.
    graphs: Vec<Graph>,
    params: Vec<Param>,
    scope: String,
}

impl Builder {
    /// A model without inputs, nodes or results.
    pub fn new(name: &str) -> Builder {
        Builder {
            graph: Graph::new(name),
            id: GraphId(0),
            waiting: Vec::new(),
            graphs: vec![Graph::new(name)],
            params: Vec::new(),
            scope: String::new(),
        }
    }

    /// Begins another graph, which everything belongs to until [`end`](Self::end). Values of other graphs are no values of
    /// it: what it reads are its inputs, constants and parameters.
    pub fn begin(&mut self, name: &str) -> GraphId {
        let id = GraphId(self.graphs.len() as u32);
        self.graphs.push(Graph::new(name));
        let outer = std::mem::replace(&mut self.graph, Graph::new(name));
        self.waiting.push((std::mem::replace(&mut self.id, id), outer));
        id
    }

    /// Ends the graph that was begun last, with these results.
    pub fn end(&mut self, outputs: &[ValueId]) {
        let Some((id, outer)) = self.waiting.pop() else { return };
        let done = std::mem::replace(&mut self.graph, outer);
        let at = std::mem::replace(&mut self.id, id);
        self.graphs[at.0 as usize] = with_results(done, outputs);
    }

    /// The graph that is being built.
    pub fn current(&self) -> GraphId {
        self.id
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

    /// What parameter `param` holds, as a value of the current graph.
    pub fn read_param(&mut self, param: usize) -> ValueId {
        let Param { name, tensor, .. } = &self.params[param];
        let spec = Spec::fixed(tensor.dtype(), tensor.shape());
        self.graph.add_value(name.clone(), spec, Def::Param(param))
    }

    /// Adds a constant.
    pub fn constant(&mut self, tensor: Tensor) -> ValueId {
        let name = format!("constant_{}", self.graph.values.len());
        let spec = Spec::fixed(tensor.dtype(), tensor.shape());
        self.graph.add_value(name, spec, Def::Const(tensor))
    }

    /// Adds an operator with one result. Arguments are in signature order; missing ones take the default.
    ///
    /// # Errors
    /// [`OpError::Unsupported`] if there is no operator of this name.
    pub fn op(&mut self, name: &str, args: impl IntoIterator<Item = Arg>) -> Result<ValueId, OpError> {
        Ok(self.op_n(name, args, 1)?[0])
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
            let nest = if results == 1 { Nest::Leaf } else { Nest::Tuple(vec![Nest::Leaf; results]) };
            node.primitive =
                Some(Primitive { name: name.into(), function: !def.classic, attrs: Vec::new(), nest }.into());
        }
        Ok(outputs)
    }

    /// Adds a call of another graph with `results` results.
    pub fn call(&mut self, graph: GraphId, args: Vec<Arg>, results: usize) -> Vec<ValueId> {
        self.add(NodeKind::Call(graph), "Call", args.into_iter().map(Some).collect(), results)
    }

    /// Adds a choice between two graphs with `results` results.
    pub fn branch(&mut self, cond: ValueId, then: Closure, otherwise: Closure, results: usize) -> Vec<ValueId> {
        self.add(NodeKind::If { then, otherwise }, "If", vec![Some(cond.into())], results)
    }

    fn node(&mut self, def: &'static OpDef, args: Vec<Option<Arg>>, results: usize) -> Vec<ValueId> {
        self.add(NodeKind::Op(def), def.name, args, results)
    }

    fn add(&mut self, kind: NodeKind, what: &str, args: Vec<Option<Arg>>, results: usize) -> Vec<ValueId> {
        let name = format!("{what}_{}", self.graph.nodes.len());
        let outputs: Vec<ValueId> =
            (0..results).map(|i| self.graph.add_value(format!("{name}.{i}"), Spec::default(), Def::Node)).collect();
        let node = Node {
            name: name.as_str().into(),
            path: if self.scope.is_empty() { name.into() } else { format!("{}/{name}", self.scope).into() },
            kind,
            args,
            outputs: outputs.clone(),
            primitive: None,
        };
        if let Effect::Writes(written) = node.effect() {
            for arg in written.iter().filter_map(|&i| node.args.get(i)) {
                if let Some(Arg::Value(v)) = arg
                    && let Def::Param(p) = self.graph.value(*v).def
                {
                    self.params[p].mutable = true;
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
        self.graphs[0] = with_results(self.graph, outputs);
        Model {
            origin: Origin { producer: "mindir".into(), ..Origin::default() },
            graphs: self.graphs,
            params: self.params,
            preprocess: Vec::new(),
        }
    }
}

fn with_results(mut graph: Graph, outputs: &[ValueId]) -> Graph {
    graph.outputs = outputs.to_vec();
    graph.nest = match outputs {
        [_] => Nest::Leaf,
        many => Nest::Tuple(vec![Nest::Leaf; many.len()]),
    };
    graph
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

impl From<i64> for Arg {
    fn from(i: i64) -> Arg {
        Arg::Const(Const::Int(i))
    }
}

impl From<f32> for Arg {
    fn from(x: f32) -> Arg {
        Arg::Const(Const::Float(x))
    }
}

impl From<bool> for Arg {
    fn from(b: bool) -> Arg {
        Arg::Const(Const::Bool(b))
    }
}

impl From<&str> for Arg {
    fn from(s: &str) -> Arg {
        Arg::Const(Const::Str(s.into()))
    }
}

impl From<&[i64]> for Arg {
    fn from(items: &[i64]) -> Arg {
        Arg::Const(Const::Tuple(items.iter().map(|i| Const::Int(*i)).collect()))
    }
}

impl From<&[ValueId]> for Arg {
    fn from(items: &[ValueId]) -> Arg {
        Arg::List(items.iter().map(|v| Arg::Value(*v)).collect())
    }
}
