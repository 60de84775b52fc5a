//! Models built in Rust.

use crate::graph::{Arg, Def, Graph, Model, Nest, Node, NodeKind, Origin, Param, Primitive, ValueId};
use crate::op::{Case, CaseArg, Const, Effect, OpDef, ParamKind};
use crate::{OpError, Spec, Tensor, ops};

/// Builds a [`Model`] of one graph.
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
    params: Vec<Param>,
    scope: String,
}

impl Builder {
    /// A model without inputs, nodes or results.
    pub fn new(name: &str) -> Builder {
        Builder { graph: Graph::new(name), params: Vec::new(), scope: String::new() }
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
        let spec = Spec::fixed(tensor.dtype(), tensor.shape());
        self.params.push(Param { name: name.into(), tensor, mutable: false });
        self.graph.add_value(name, spec, Def::Param(self.params.len() - 1))
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

    fn node(&mut self, def: &'static OpDef, args: Vec<Option<Arg>>, results: usize) -> Vec<ValueId> {
        let name = format!("{}_{}", def.name, self.graph.nodes.len());
        let outputs: Vec<ValueId> =
            (0..results).map(|i| self.graph.add_value(format!("{name}.{i}"), Spec::default(), Def::Node)).collect();
        let node = Node {
            name: name.as_str().into(),
            path: if self.scope.is_empty() { name.into() } else { format!("{}/{name}", self.scope).into() },
            kind: NodeKind::Op(def),
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

    /// The model with these results.
    pub fn finish(mut self, outputs: &[ValueId]) -> Model {
        self.graph.outputs = outputs.to_vec();
        self.graph.nest = match outputs {
            [_] => Nest::Leaf,
            many => Nest::Tuple(many.iter().map(|_| Nest::Leaf).collect()),
        };
        Model {
            origin: Origin { producer: "mindir".into(), ..Origin::default() },
            graphs: vec![self.graph],
            params: self.params,
            preprocess: Vec::new(),
        }
    }
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
