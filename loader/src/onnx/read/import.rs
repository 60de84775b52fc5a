//! Values of the model under construction, and the nodes that make them.
//!
//! Values carry what is known of them: element type and shape, and small contents, so that arithmetic on shapes disappears.

use std::collections::{HashMap, HashSet};

use mindir_graph::{
    DType, Dim, Fact, OpError, Spec, Tensor,
    builder::Builder,
    graph::{Arg, Closure, GraphId, ValueId},
    lower::constant_tensor,
    op::{ArgValue, Args, Const, Effect, OpDef, Operand, ParamKind},
    ops::find,
    task::V,
};
use mindir_proto::onnx::{AttributeProto, NodeProto};

use super::weights;

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
    pub facts: Vec<Fact>,
    /// Contents for each set of sizes.
    pub known: Vec<Option<Tensor>>,
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

    pub fn attr(&self, name: &str) -> Option<&AttributeProto> {
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

    pub fn texts(&self, name: &str) -> Option<Vec<String>> {
        self.attr(name).map(|a| a.strings.iter().map(|s| String::from_utf8_lossy(s).into_owned()).collect())
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

/// A tensor that the file holds or that was computed while reading.
struct Constant {
    tensor: Tensor,
    name: Option<String>,
    /// Its number among the model's parameters, once something reads it there.
    param: Option<usize>,
    /// Its value in each graph that reads it.
    values: HashMap<GraphId, ValueId>,
}

/// The model under construction.
pub(super) struct Import {
    pub builder: Builder,
    constants: Vec<Constant>,
    /// Names that constants of the file have.
    taken: HashSet<String>,
    /// Number of inputs that got a name here.
    inputs: usize,
    /// Number of sets of sizes.
    pub walks: usize,
}

impl Import {
    pub fn new(builder: Builder, walks: usize) -> Import {
        Import { builder, constants: Vec::new(), taken: HashSet::new(), inputs: 0, walks }
    }

    /// A constant.
    pub fn constant(&mut self, tensor: Tensor) -> Val {
        self.named(tensor, None)
    }

    /// A constant that becomes a parameter of this name if it is large.
    pub fn named(&mut self, tensor: Tensor, name: Option<String>) -> Val {
        let (facts, known) = (vec![tensor.fact(); self.walks], vec![Some(tensor.clone()); self.walks]);
        self.taken.extend(name.clone());
        self.constants.push(Constant { tensor, name, param: None, values: HashMap::new() });
        Val { source: Source::Constant(self.constants.len() - 1), facts, known }
    }

    /// A number of rank 0.
    pub fn scalar(&mut self, dtype: DType, value: f64) -> Step {
        Ok(self.constant(Tensor::from_f64s(dtype, &[], &[value]).map_err(|e| e.to_string())?))
    }

    /// A truth value of rank 0.
    pub fn truth(&mut self, value: bool) -> Step {
        self.scalar(DType::Bool, f64::from(u8::from(value)))
    }

    /// A vector of `i64`.
    pub fn vector(&mut self, values: &[i64]) -> Val {
        self.constant(Tensor::vector(values))
    }

    /// An input of the current graph.
    pub fn input(&mut self, name: &str, facts: Vec<Fact>) -> Val {
        let val = Val { source: Source::Value(ValueId(0)), known: vec![None; facts.len()], facts };
        let dims = val.dims().into_iter().map(|d| d.map_or(Dim::Unknown, |n| Dim::Known(n as usize))).collect();
        let id = self.builder.input(name, Spec { dtype: Some(val.dtype()), dims: Some(dims) });
        Val { source: Source::Value(id), ..val }
    }

    /// A value that a graph inside of the model is called with.
    pub fn parameter(&mut self, facts: Vec<Fact>) -> Val {
        self.inputs += 1;
        self.input(&format!("input_{}", self.inputs), facts)
    }

    /// Values of the graph around the current one, which become its inputs; constants are the same everywhere.
    pub fn enter(&mut self, vals: &[Val]) -> Vec<Val> {
        vals.iter().map(|v| self.enter_one(v)).collect()
    }

    /// As [`enter`](Self::enter).
    pub fn enter_one(&mut self, val: &Val) -> Val {
        match val.source {
            Source::Constant(_) => val.clone(),
            Source::Value(_) => Val { known: val.known.clone(), ..self.parameter(val.facts.clone()) },
        }
    }

    /// What a graph that [`enter`](Self::enter)s `vals` is called with.
    pub fn passed(&mut self, vals: &[Val]) -> Vec<Arg> {
        let inputs: Vec<&Val> = vals.iter().filter(|v| matches!(v.source, Source::Value(_))).collect();
        inputs.into_iter().map(|v| self.value(v).into()).collect()
    }

    /// The values as arguments.
    pub fn args(&mut self, vals: &[Val]) -> Vec<Arg> {
        vals.iter().map(|v| self.value(v).into()).collect()
    }

    /// Ends the current graph with these results.
    pub fn end(&mut self, results: &[Val]) {
        let ids: Vec<ValueId> = results.iter().map(|v| self.value(v)).collect();
        self.builder.end(&ids);
    }

    /// What graph `id` gives for these arguments; `facts` has those of each result.
    pub fn call(&mut self, id: GraphId, args: Vec<Arg>, facts: &[Vec<Fact>]) -> Vec<Val> {
        let ids = self.builder.call(id, args, facts.len());
        results(ids, facts)
    }

    /// What one of two graphs gives; `facts` has those of each result.
    pub fn choose(&mut self, cond: &Val, then: Closure, otherwise: Closure, facts: &[Vec<Fact>]) -> Vec<Val> {
        let cond = self.value(cond);
        let ids = self.builder.choose(cond, then, otherwise, facts.len());
        results(ids, facts)
    }

    /// The current graph's value for `v`.
    pub fn value(&mut self, v: &Val) -> ValueId {
        let at = match v.source {
            Source::Value(id) => return id,
            Source::Constant(at) => at,
        };
        let here = self.builder.current();
        let Some(constant) = self.constants.get_mut(at) else { return ValueId(0) };
        if let Some(&known) = constant.values.get(&here) {
            return known;
        }
        let id = if constant.tensor.count() > MOST_INLINE {
            let param = match constant.param {
                Some(param) => param,
                None => {
                    let fresh = || (at..).map(|i| format!("constant_{i}")).find(|n| !self.taken.contains(n));
                    let name = constant.name.clone().or_else(fresh).unwrap_or_default();
                    self.taken.insert(name.clone());
                    self.builder.add_param(&name, constant.tensor.clone())
                }
            };
            constant.param = Some(param);
            self.builder.read_param(param)
        } else {
            self.builder.constant(constant.tensor.clone())
        };
        constant.values.insert(here, id);
        id
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
            found.iter().try_for_each(fits)?;
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

fn results(ids: Vec<ValueId>, facts: &[Vec<Fact>]) -> Vec<Val> {
    let one = |(id, facts): (ValueId, &Vec<Fact>)| Val {
        source: Source::Value(id),
        facts: facts.clone(),
        known: vec![None; facts.len()],
    };
    ids.into_iter().zip(facts).map(one).collect()
}

/// Checks that a tensor could be addressed.
pub(super) fn fits(fact: &Fact) -> Result<(), String> {
    let bytes = mindir_graph::checked_count(&fact.shape).and_then(|n| n.checked_mul(fact.dtype.size()));
    let fits = bytes.is_some_and(|n| isize::try_from(n).is_ok());
    if fits { Ok(()) } else { Err(format!("{fact} is too large")) }
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
        ArgValue::Operand(Operand { v: V(*next), fact: fact.into(), known })
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
