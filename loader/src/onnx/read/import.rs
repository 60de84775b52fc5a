//! The walk over an ONNX graph's nodes.
//!
//! Values carry what is known of them: element type and shape, and small contents, so that arithmetic on shapes disappears.
//! A model with open dimensions is walked with two sizes for each; what differs between both is not known.

use std::collections::{BTreeMap, HashMap, HashSet};

use mindir_graph::{
    DType, Dim, Fact, OpError, Spec, Tensor,
    builder::Builder,
    graph::{Arg, Model, ValueId},
    lower::constant_tensor,
    onnx::{SIZES, from_data_type},
    op::{ArgValue, Args, Const, Effect, OpDef, Operand, ParamKind},
    ops::find,
    task::V,
};
use mindir_proto::onnx::{AttributeProto, GraphProto, ModelProto, NodeProto, ValueInfoProto};

use super::{ops, weights};
use crate::{error::LoadError, limits::Limits, printable::Printable};

/// Results with at most this many elements are computed while reading when all operands are known.
const FOLD_LIMIT: usize = 4096;
/// Constants with more elements are parameters of the model.
const MOST_INLINE: usize = 16;

/// What went wrong with a node.
pub(super) type Step = Result<Val, String>;
/// The results of a node, or what went wrong.
pub(super) type Steps = Result<Vec<Val>, String>;

/// A value.
#[derive(Clone, Debug)]
pub(super) struct Val {
    source: Source,
    /// Element type and shape for each set of sizes.
    facts: Vec<Fact>,
    /// Contents for each set of sizes.
    known: Vec<Option<Tensor>>,
}

#[derive(Clone, Copy, Debug)]
enum Source {
    Value(ValueId),
    Constant(usize),
}

impl Val {
    pub fn dtype(&self) -> DType {
        self.facts.first().map_or(DType::F32, |f| f.dtype)
    }

    pub fn rank(&self) -> usize {
        self.facts.first().map_or(0, Fact::rank)
    }

    /// The contents, if they are the same for all sizes.
    pub fn constant(&self) -> Option<&Tensor> {
        let first = self.known.first()?.as_ref()?;
        self.known.iter().all(|t| t.as_ref() == Some(first)).then_some(first)
    }

    /// The dimensions; those that are open are `None`.
    pub fn dims(&self) -> Vec<Option<i64>> {
        let Some((first, rest)) = self.facts.split_first() else { return Vec::new() };
        let same = |(d, &n): (usize, &usize)| {
            let all = rest.iter().all(|f| f.shape.get(d) == Some(&n));
            all.then_some(n as i64)
        };
        first.shape.iter().enumerate().map(same).collect()
    }

    /// Dimension `d`, which must be fixed.
    pub fn dim(&self, d: usize) -> Result<i64, String> {
        let found = self.dims().get(d).copied().flatten();
        found.ok_or_else(|| format!("dimension {d} of an operand is open or missing"))
    }

    /// All dimensions, which must be fixed.
    pub fn fixed(&self) -> Result<Vec<i64>, String> {
        (0..self.rank()).map(|d| self.dim(d)).collect()
    }

    /// The contents as integers, which must be known.
    pub fn ints(&self) -> Result<Vec<i64>, String> {
        let t = self.constant().ok_or("an operand that must be constant is computed")?;
        t.to_i64s().map_err(|e| e.to_string())
    }

    /// The contents as numbers, which must be known.
    pub fn numbers(&self) -> Result<Vec<f64>, String> {
        let t = self.constant().ok_or("an operand that must be constant is computed")?;
        t.to_f64s().map_err(|e| e.to_string())
    }

    /// The only number.
    pub fn number(&self) -> Result<f64, String> {
        match self.numbers()?.as_slice() {
            [one] => Ok(*one),
            many => Err(format!("expected one number, found {}", many.len())),
        }
    }

    /// `axis` counted from the front.
    pub fn axis(&self, axis: i64) -> Result<usize, String> {
        axis_of(axis, self.rank())
    }
}

/// `axis` counted from the front, for `rank` dimensions.
pub(super) fn axis_of(axis: i64, rank: usize) -> Result<usize, String> {
    mindir_graph::normalize_axis(axis, rank).ok_or_else(|| format!("axis {axis} is out of range for rank {rank}"))
}

/// An argument of an operator.
#[derive(Clone, Debug)]
pub(super) enum In {
    Val(Val),
    Const(Const),
    List(Vec<In>),
}

impl From<Val> for In {
    fn from(v: Val) -> In {
        In::Val(v)
    }
}

impl From<&Val> for In {
    fn from(v: &Val) -> In {
        In::Val(v.clone())
    }
}

impl From<Option<Val>> for In {
    fn from(v: Option<Val>) -> In {
        v.map_or(In::Const(Const::None), In::Val)
    }
}

impl From<i64> for In {
    fn from(i: i64) -> In {
        In::Const(Const::Int(i))
    }
}

impl From<bool> for In {
    fn from(b: bool) -> In {
        In::Const(Const::Bool(b))
    }
}

impl From<f64> for In {
    fn from(x: f64) -> In {
        In::Const(Const::Float(x as f32))
    }
}

impl From<&str> for In {
    fn from(s: &str) -> In {
        In::Const(Const::Str(s.into()))
    }
}

impl From<DType> for In {
    fn from(d: DType) -> In {
        In::Const(Const::DType(d))
    }
}

impl From<Vec<i64>> for In {
    fn from(values: Vec<i64>) -> In {
        In::Const(Const::Tuple(values.into_iter().map(Const::Int).collect()))
    }
}

impl From<&[i64]> for In {
    fn from(values: &[i64]) -> In {
        values.to_vec().into()
    }
}

impl From<Vec<Val>> for In {
    fn from(values: Vec<Val>) -> In {
        In::List(values.into_iter().map(In::Val).collect())
    }
}

/// A node with its operands.
pub(super) struct Call<'a> {
    pub node: &'a NodeProto,
    pub inputs: Vec<Option<Val>>,
    pub opset: i64,
    pub max_rank: usize,
}

impl Call<'_> {
    pub fn input(&self, i: usize) -> Step {
        self.option(i).ok_or_else(|| format!("operand {i} is missing"))
    }

    pub fn option(&self, i: usize) -> Option<Val> {
        self.inputs.get(i).cloned().flatten()
    }

    fn attr(&self, name: &str) -> Option<&AttributeProto> {
        self.node.attribute.iter().find(|a| a.name.as_deref() == Some(name))
    }

    pub fn has(&self, name: &str) -> bool {
        self.attr(name).is_some()
    }

    pub fn int(&self, name: &str, otherwise: i64) -> i64 {
        self.attr(name).and_then(|a| a.i).unwrap_or(otherwise)
    }

    pub fn float(&self, name: &str, otherwise: f32) -> f64 {
        f64::from(self.attr(name).and_then(|a| a.f).unwrap_or(otherwise))
    }

    pub fn ints(&self, name: &str) -> Option<Vec<i64>> {
        self.attr(name).map(|a| a.ints.clone())
    }

    pub fn floats(&self, name: &str) -> Option<Vec<f32>> {
        self.attr(name).map(|a| a.floats.clone())
    }

    pub fn text(&self, name: &str, otherwise: &str) -> String {
        let text = self.attr(name).and_then(|a| a.s.as_ref());
        text.map_or_else(|| otherwise.to_string(), |s| String::from_utf8_lossy(s).into_owned())
    }

    pub fn tensor(&self, name: &str) -> Result<Option<Tensor>, String> {
        let Some(t) = self.attr(name).and_then(|a| a.t.as_ref()) else { return Ok(None) };
        weights::contents(t, self.max_rank).map(Some).map_err(|e| format!("attribute {name}: {e}"))
    }

    /// Number of results that have a name.
    pub fn results(&self) -> usize {
        self.node.output.len()
    }

    /// Whether result `i` has a name, so that somebody may read it.
    pub fn wants(&self, i: usize) -> bool {
        self.node.output.get(i).is_some_and(|o| !o.is_empty())
    }

    /// Axes as an attribute, or from `since` on as operand 1.
    pub fn axes(&self, since: i64) -> Result<Option<Vec<i64>>, String> {
        if self.opset < since {
            return Ok(self.ints("axes"));
        }
        self.option(1).map(|v| v.ints()).transpose()
    }
}

/// The model under construction.
pub(super) struct Import {
    builder: Builder,
    constants: Vec<(Tensor, Option<String>, Option<ValueId>)>,
    walks: usize,
}

impl Import {
    /// A constant.
    pub fn constant(&mut self, tensor: Tensor) -> Val {
        self.named(tensor, None)
    }

    fn named(&mut self, tensor: Tensor, name: Option<String>) -> Val {
        let (facts, known) = (vec![tensor.fact(); self.walks], vec![Some(tensor.clone()); self.walks]);
        self.constants.push((tensor, name, None));
        Val { source: Source::Constant(self.constants.len() - 1), facts, known }
    }

    /// A number of rank 0.
    pub fn scalar(&mut self, dtype: DType, value: f64) -> Step {
        Ok(self.constant(Tensor::from_f64s(dtype, &[], &[value]).map_err(|e| e.to_string())?))
    }

    /// A vector of `i64`.
    pub fn vector(&mut self, values: &[i64]) -> Val {
        self.constant(Tensor::vector(values))
    }

    /// The graph's value for `v`.
    fn value(&mut self, v: &Val) -> ValueId {
        let at = match v.source {
            Source::Value(id) => return id,
            Source::Constant(at) => at,
        };
        let made = match self.constants.get(at) {
            Some((_, _, Some(id))) => return *id,
            Some((t, name, None)) if t.count() > MOST_INLINE => {
                let name = name.clone().unwrap_or_else(|| format!("constant_{at}"));
                self.builder.param(&name, t.clone())
            }
            Some((t, _, None)) => self.builder.constant(t.clone()),
            None => return ValueId(0),
        };
        if let Some(entry) = self.constants.get_mut(at) {
            entry.2 = Some(made);
        }
        made
    }

    /// A node with one result.
    pub fn op(&mut self, name: &'static str, args: Vec<In>) -> Step {
        let mut all = self.op_n(name, args, 1)?;
        all.pop().ok_or_else(|| format!("{name} has no result"))
    }

    /// A node with `results` results.
    pub fn op_n(&mut self, name: &'static str, args: Vec<In>, results: usize) -> Steps {
        let def = find(name).ok_or_else(|| format!("there is no operator {name}"))?;
        let (mut facts, mut known) = (Vec::new(), Vec::new());
        for walk in 0..self.walks {
            let args = arguments(def, &args, walk);
            let found = (def.infer)(&args).map_err(|e| explain(def, e))?;
            known.push(fold(def, &args, &found)?);
            facts.push(found);
        }
        let mut out = Vec::with_capacity(results);
        for i in 0..results {
            let fact = |f: &Vec<Fact>| f.get(i).cloned().ok_or_else(|| format!("{name} has no result {i}"));
            let facts: Vec<Fact> = facts.iter().map(fact).collect::<Result<_, _>>()?;
            let known = known.iter().map(|k| k.as_ref().and_then(|k| k.get(i)).cloned()).collect();
            out.push(Val { source: Source::Value(ValueId(0)), facts, known });
        }
        if let Some(tensors) = out.iter().map(|v| v.constant().cloned()).collect::<Option<Vec<_>>>() {
            return Ok(tensors.into_iter().map(|t| self.constant(t)).collect());
        }
        let args: Vec<Arg> = args.iter().enumerate().map(|(i, a)| self.arg(def, i, a)).collect();
        let ids = self.builder.op_n(name, args, results).map_err(|e| e.to_string())?;
        out.iter_mut().zip(ids).for_each(|(v, id)| v.source = Source::Value(id));
        Ok(out)
    }

    fn arg(&mut self, def: &OpDef, i: usize, arg: &In) -> Arg {
        let kind = def.params.get(i).map_or(ParamKind::Tensor, |p| p.kind);
        match arg {
            In::Const(c) => Arg::Const(c.clone()),
            In::List(items) => Arg::List(items.iter().map(|a| self.arg(def, i, a)).collect()),
            In::Val(v) => match v.constant().filter(|_| kind == ParamKind::Value).and_then(as_const) {
                Some(c) => Arg::Const(c),
                None if kind == ParamKind::Value => self.python(v),
                None => Arg::Value(self.value(v)),
            },
        }
    }
}

impl Import {
    /// A computed tensor as what MindSpore takes in the place of a number or tuple.
    fn python(&mut self, v: &Val) -> Arg {
        let value = self.value(v);
        let convert = match v.rank() {
            0 => "TensorToScalar",
            1 => "TensorToTuple",
            _ => return Arg::Value(value),
        };
        Arg::Value(self.builder.op(convert, [Arg::Value(value)]).unwrap_or(value))
    }
}

/// A small constant as an argument that is no tensor.
fn as_const(t: &Tensor) -> Option<Const> {
    let one = |x: f64, i: i64| if t.dtype().is_float() { Const::Float(x as f32) } else { Const::Int(i) };
    let (floats, ints) = (t.to_f64s().ok()?, t.to_i64s().ok()?);
    let mut items: Vec<Const> = floats.into_iter().zip(ints).map(|(x, i)| one(x, i)).collect();
    match t.shape() {
        [] => items.pop(),
        [_] => Some(Const::Tuple(items)),
        _ => None,
    }
}

/// Arguments for an operator's rules, for one set of sizes.
fn arguments(def: &OpDef, args: &[In], walk: usize) -> Args {
    let mut next = 0;
    let mut items = Vec::with_capacity(args.len());
    for (i, arg) in args.iter().enumerate() {
        let kind = def.params.get(i).map_or(ParamKind::Tensor, |p| p.kind);
        items.push(Some(argument(arg, kind, walk, &mut next)));
    }
    Args { op: def.name, items }
}

fn argument(arg: &In, kind: ParamKind, walk: usize, next: &mut u32) -> ArgValue {
    let mut operand = |fact: Fact, known: Option<Tensor>| {
        *next += 1;
        ArgValue::Operand(Operand { v: V(*next), fact, known })
    };
    match arg {
        In::Val(v) => match (v.facts.get(walk), v.known.get(walk)) {
            (Some(fact), Some(known)) => operand(fact.clone(), known.clone()),
            _ => ArgValue::Const(Const::None),
        },
        In::Const(c) => match constant_tensor(c) {
            Some(t) if kind != ParamKind::Value => operand(t.fact(), Some(t)),
            _ => ArgValue::Const(c.clone()),
        },
        In::List(items) => ArgValue::List(items.iter().map(|a| argument(a, kind, walk, next)).collect()),
    }
}

/// The results, if all operands are known and all are small.
fn fold(def: &OpDef, args: &Args, facts: &[Fact]) -> Result<Option<Vec<Tensor>>, String> {
    fn known(arg: &ArgValue) -> bool {
        match arg {
            ArgValue::Operand(o) => o.known.is_some() && o.count() <= FOLD_LIMIT,
            ArgValue::List(items) => items.iter().all(known),
            ArgValue::Const(_) => true,
        }
    }
    // The dimensions are known whatever the contents are.
    let about_shape = matches!(def.name, "Shape" | "Size" | "Rank");
    let all = about_shape || args.items.iter().flatten().all(known);
    if def.effect != Effect::Pure || !all || facts.iter().any(|f| f.count() > FOLD_LIMIT) {
        return Ok(None);
    }
    (def.reference)(args).map(Some).map_err(|e| explain(def, e))
}

fn explain(def: &OpDef, error: OpError) -> String {
    match error {
        OpError::NeedsValue(_) => "the shape of its result depends on contents that are known at run time only".into(),
        OpError::Dynamic => "the shape of its result depends on data".into(),
        other => format!("{}: {other}", def.name),
    }
}

/// What a graph declares about an input: the element type and for each dimension its length, its name, or neither.
fn declared(value: &ValueInfoProto, max_rank: usize) -> Result<(DType, Vec<Result<usize, String>>), String> {
    let tensor = value.r#type.as_ref().and_then(|t| t.tensor_type.as_ref()).ok_or("it is no tensor")?;
    let code = tensor.elem_type.unwrap_or_default();
    let dtype = from_data_type(code).ok_or_else(|| format!("element type {code} is not supported"))?;
    let shape = tensor.shape.as_ref().ok_or("the file does not declare its rank")?;
    if shape.dim.len() > max_rank {
        return Err(format!("{} dimensions where the limit is {max_rank}", shape.dim.len()));
    }
    let name = value.name.as_deref().unwrap_or_default();
    let dim = |(axis, d): (usize, &mindir_proto::onnx::DimensionProto)| match (d.dim_value, d.dim_param.as_deref()) {
        (Some(n), _) if n >= 0 => usize::try_from(n).map_err(|_| name.to_string()),
        (_, Some(symbol)) if !symbol.is_empty() => Err(symbol.to_string()),
        _ => Err(format!("{name}.{axis}")),
    };
    Ok((dtype, shape.dim.iter().enumerate().map(dim).collect()))
}

/// The model of the graph `graph`.
pub(super) fn model(
    file: &str,
    proto: &ModelProto,
    graph: &GraphProto,
    opset: i64,
    initializers: BTreeMap<String, Tensor>,
    limits: &Limits,
) -> Result<Model, LoadError> {
    let mut first = None;
    for sizes in &SIZES {
        let mut attempt = Attempt::new(graph, opset, limits, sizes).map_err(|what| structure(file, what))?;
        attempt.constants(&initializers);
        match attempt.run(graph) {
            Ok(()) => {
                let mut model = attempt.finish(graph).map_err(|what| structure(file, what))?;
                model.origin.producer = proto.producer_name.clone().unwrap_or_default();
                model.origin.version = proto.producer_version.clone().unwrap_or_default();
                return Ok(model);
            }
            Err(problems) if attempt.open => first = first.or(Some(problems)),
            Err(problems) => return Err(unsupported(file, &problems)),
        }
    }
    Err(unsupported(file, &first.unwrap_or_default()))
}

fn structure(file: &str, what: String) -> LoadError {
    LoadError::Structure { file: file.to_string(), what }
}

fn unsupported(file: &str, problems: &[String]) -> LoadError {
    let list: String = problems.iter().map(|p| format!("\n  {p}")).collect();
    LoadError::Unsupported { file: file.to_string(), what: format!("{} nodes:{list}", problems.len()) }
}

/// A walk with one or two sets of sizes.
struct Attempt {
    import: Import,
    values: HashMap<String, Val>,
    opset: i64,
    max_rank: usize,
    open: bool,
}

impl Attempt {
    fn new(graph: &GraphProto, opset: i64, limits: &Limits, sizes: &[[usize; 8]; 2]) -> Result<Attempt, String> {
        let given: HashSet<&str> = graph.initializer.iter().filter_map(|t| t.name.as_deref()).collect();
        let name = |v: &ValueInfoProto| v.name.clone().unwrap_or_default();
        let inputs: Vec<&ValueInfoProto> = graph.input.iter().filter(|v| !given.contains(name(v).as_str())).collect();
        let mut specs = Vec::new();
        for value in &inputs {
            let spec =
                declared(value, limits.max_rank).map_err(|e| format!("input {}: {e}", Printable(&name(value))))?;
            specs.push(spec);
        }
        let mut symbols: Vec<&String> = Vec::new();
        for symbol in specs.iter().flat_map(|s| s.1.iter().filter_map(|d| d.as_ref().err())) {
            if !symbols.contains(&symbol) {
                symbols.push(symbol);
            }
        }
        let open = !symbols.is_empty();
        let walks = if open { 2 } else { 1 };
        let builder = Builder::new(graph.name.as_deref().unwrap_or("graph"));
        let mut import = Import { builder, constants: Vec::new(), walks };
        let mut values = HashMap::new();
        for (value, (dtype, dims)) in inputs.iter().zip(&specs) {
            let known = |d: &Result<usize, String>| d.as_ref().map_or(Dim::Unknown, |n| Dim::Known(*n));
            let spec = Spec { dtype: Some(*dtype), dims: Some(dims.iter().map(known).collect()) };
            let id = import.builder.input(&name(value), spec);
            let length = |walk: usize, d: &Result<usize, String>| match d {
                Ok(n) => *n,
                Err(symbol) => {
                    let at = symbols.iter().position(|s| *s == symbol).unwrap_or(0);
                    let base = sizes.get(walk).and_then(|s| s.get(at % 8)).copied().unwrap_or(1);
                    base + 64 * (at / 8)
                }
            };
            let fact = |walk| Fact { dtype: *dtype, shape: dims.iter().map(|d| length(walk, d)).collect() };
            let facts = (0..walks).map(fact).collect();
            let val = Val { source: Source::Value(id), facts, known: vec![None; walks] };
            if values.insert(name(value), val).is_some() {
                return Err(format!("two inputs are called {}", Printable(&name(value))));
            }
        }
        Ok(Attempt { import, values, opset, max_rank: limits.max_rank, open })
    }

    fn constants(&mut self, initializers: &BTreeMap<String, Tensor>) {
        for (name, tensor) in initializers {
            let val = self.import.named(tensor.clone(), Some(name.clone()));
            self.values.insert(name.clone(), val);
        }
    }

    /// Walks all nodes; gives every complaint.
    fn run(&mut self, graph: &GraphProto) -> Result<(), Vec<String>> {
        let mut problems = Vec::new();
        let mut lost: HashSet<&str> = HashSet::new();
        for (at, node) in graph.node.iter().enumerate() {
            let cut_off = node.input.iter().any(|i| lost.contains(i.as_str()));
            let known = ops::find(domain(node), node.op_type.as_deref().unwrap_or_default()).is_some();
            // What follows from a node that failed is not its own fault.
            let outcome = if cut_off && known { Err(String::new()) } else { self.node(at, node) };
            if let Err(why) = outcome {
                lost.extend(node.output.iter().map(String::as_str));
                if !why.is_empty() {
                    problems.push(why);
                }
            }
        }
        if problems.is_empty() { Ok(()) } else { Err(problems) }
    }

    fn node(&mut self, at: usize, node: &NodeProto) -> Result<(), String> {
        let op = node.op_type.as_deref().unwrap_or_default();
        let label = node.name.as_deref().filter(|n| !n.is_empty()).map_or_else(|| format!("node {at}"), str::to_string);
        let fail = |why: String| format!("{}: {}: {why}", Printable(&label), Printable(op));
        let build = ops::find(domain(node), op).ok_or_else(|| fail("this operator is not supported".into()))?;
        let mut inputs = Vec::with_capacity(node.input.len());
        for name in &node.input {
            let found = self.values.get(name.as_str()).cloned();
            if found.is_none() && !name.is_empty() {
                return Err(fail(format!("value {} is read before it exists", Printable(name))));
            }
            inputs.push(found);
        }
        self.import.builder.scope(&label);
        let call = Call { node, inputs, opset: self.opset, max_rank: self.max_rank };
        let results = build(&mut self.import, &call).map_err(fail)?;
        for (i, name) in node.output.iter().enumerate().filter(|(_, n)| !n.is_empty()) {
            let val = results.get(i).cloned().ok_or_else(|| fail(format!("result {i} is not supported")))?;
            if self.values.insert(name.clone(), val).is_some() {
                return Err(fail(format!("two values are called {}", Printable(name))));
            }
        }
        Ok(())
    }

    fn finish(mut self, graph: &GraphProto) -> Result<Model, String> {
        let mut outputs = Vec::new();
        for value in &graph.output {
            let name = value.name.as_deref().unwrap_or_default();
            let val = self.values.get(name).cloned();
            let val = val.ok_or_else(|| format!("there is no value for result {}", Printable(name)))?;
            outputs.push(self.import.value(&val));
        }
        Ok(self.import.builder.finish(&outputs))
    }
}

fn domain(node: &NodeProto) -> &str {
    node.domain.as_deref().unwrap_or_default()
}
