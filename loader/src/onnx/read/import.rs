//! The model under construction: values, and the nodes that make them.
//!
//! Values carry what is known of them whatever the model is given: see `types`. Results of constants are computed while
//! reading; all other arithmetic stays in the graph, that on shapes too.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::ops::Range;
use std::rc::Rc;
use std::sync::Arc;

use mindir_graph::builder::{Builder, Mark};
use mindir_graph::graph::{Arg, Closure, GraphId, ValueId};
use mindir_graph::op::{ArgValue, Args, Const, Effect, OpDef, Operand, ParamKind};
use mindir_graph::ops::find;
use mindir_graph::task::V;
use mindir_graph::{DType, Dim, Fact, OpError, Tensor};

pub(super) use super::call::{Axes, Call};
use super::results;
use super::types::{Dims, Length, Type};
use super::val::{FOLD_LIMIT, Source};
pub(super) use super::val::{In, Step, Steps, Val, axis_of};

/// Constants with more elements are parameters of the model, weights whatever their size.
const MOST_INLINE: usize = 16;

/// Operators whose results do not depend on what their operand holds.
const ABOUT_SHAPE: &[&str] = &["OnesLike", "Rank", "Shape", "Size", "ZerosLike"];

/// A tensor that the file holds or that was computed while reading.
struct Constant {
    tensor: Tensor,
    origin: Origin,
    /// Its number among the model's parameters, once something reads it there.
    param: Option<usize>,
    /// Its value in each graph that reads it.
    values: HashMap<GraphId, ValueId>,
}

impl Constant {
    /// Whether other weights may take the place of those that it is or was computed from.
    fn may_change(&self) -> bool {
        matches!(self.origin, Origin::Weight(_) | Origin::Derived(_))
    }
}

/// Where a constant comes from.
enum Origin {
    /// A parameter of the model of this name.
    Weight(String),
    /// A parameter of the model if it is large, of this name if it has one.
    Plain(Option<String>),
    /// What an operator makes of weights. Its contents are known to who asks for them; who computes with it reads the node.
    Derived(Rc<Derivation>),
}

/// An operator of constants, some of them weights.
struct Derivation {
    def: &'static OpDef,
    name: &'static str,
    args: Vec<In>,
    /// The constants that are its results.
    results: Range<usize>,
}

/// An open dimension that may have a name.
fn called(name: Option<Arc<str>>) -> Dim {
    name.map_or(Dim::Unknown, Dim::Named)
}

/// The model under construction.
pub(super) struct Import {
    pub builder: Builder,
    constants: Vec<Constant>,
    /// Names that constants of the file have.
    taken: HashSet<String>,
    /// Number of inputs that got a name here.
    inputs: usize,
    /// Number of lengths that got a name.
    lengths: usize,
    /// What the file calls some of them.
    called: HashMap<usize, Arc<str>>,
}

impl Import {
    pub fn new(builder: Builder) -> Import {
        Import { builder, constants: Vec::new(), taken: HashSet::new(), inputs: 0, lengths: 0, called: HashMap::new() }
    }

    /// A constant.
    pub fn constant(&mut self, tensor: Tensor) -> Val {
        self.add(tensor, Origin::Plain(None))
    }

    /// A tensor that the file names. Floats with dimensions are weights and become a parameter of this name; so does what
    /// is large.
    pub fn named(&mut self, tensor: Tensor, name: &str) -> Val {
        let is_weight = tensor.dtype().is_float() && !tensor.shape().is_empty() && tensor.count() > 0;
        self.called(tensor, name, is_weight)
    }

    /// What an input holds that callers may leave out: a parameter of this name, whatever its type.
    pub fn default(&mut self, tensor: Tensor, name: &str) -> Val {
        self.called(tensor, name, true)
    }

    fn called(&mut self, tensor: Tensor, name: &str, is_weight: bool) -> Val {
        if name.is_empty() {
            return self.constant(tensor);
        }
        let more = (2u64..).map(|i| format!("{name}_{i}"));
        let name = std::iter::once(name.to_string()).chain(more).find(|n| !self.taken.contains(n)).unwrap_or_default();
        self.taken.insert(name.clone());
        let origin = if is_weight { Origin::Weight(name) } else { Origin::Plain(Some(name)) };
        self.add(tensor, origin)
    }

    fn add(&mut self, tensor: Tensor, origin: Origin) -> Val {
        let (ty, known) = (Type::from(&tensor.fact()), Some(tensor.clone()));
        self.constants.push(Constant { tensor, origin, param: None, values: HashMap::new() });
        Val { source: Source::Constant(self.constants.len() - 1), ty, known, elements: None, narrow: None }
    }

    /// `v` as a setting of an operator: its contents as the file has them, even if they look like a weight.
    pub fn setting(&mut self, v: Val) -> Val {
        match v.known {
            Some(tensor) => self.constant(tensor),
            None => v,
        }
    }

    /// Whether the contents of an argument are those of weights or follow from them.
    fn may_change(&self, arg: &In) -> bool {
        match arg {
            In::Val(Val { source: Source::Constant(at), .. }) => {
                self.constants.get(*at).is_some_and(Constant::may_change)
            }
            In::List(items) => items.iter().any(|i| self.may_change(i)),
            In::Val(_) | In::Const(_) => false,
        }
    }

    /// The results `tensors` of an operator of constants.
    pub fn computed(&mut self, name: &'static str, args: Vec<In>, tensors: Vec<Tensor>) -> Steps {
        let def = find(name).ok_or_else(|| format!("there is no operator {name}"))?;
        if ABOUT_SHAPE.contains(&name) || !args.iter().any(|a| self.may_change(a)) {
            return Ok(tensors.into_iter().map(|t| self.constant(t)).collect());
        }
        let first = self.constants.len();
        let derivation = Rc::new(Derivation { def, name, args, results: first..first + tensors.len() });
        Ok(tensors.into_iter().map(|t| self.add(t, Origin::Derived(derivation.clone()))).collect())
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

    /// The type with a name for every length that is open.
    fn name_lengths(&mut self, mut ty: Type) -> Type {
        for d in ty.dims.iter_mut().flatten().filter(|d| **d == Length::Open) {
            self.lengths = self.lengths.saturating_add(1);
            *d = Length::Named(self.lengths);
        }
        ty
    }

    fn unknown(&mut self, id: ValueId, ty: Type) -> Val {
        Val { source: Source::Value(id), ty: self.name_lengths(ty), known: None, elements: None, narrow: None }
    }

    /// An input of the current graph, whose dimensions have these names in the file.
    pub fn input(&mut self, name: &str, ty: Type, names: &[Option<Arc<str>>]) -> Val {
        let id = self.builder.input(name, ty.spec(|axis, _| called(names.get(axis).cloned().flatten())));
        let val = self.unknown(id, ty);
        for (length, name) in val.ty.dims.iter().flatten().zip(names) {
            if let (Length::Named(length), Some(name)) = (length, name) {
                self.called.insert(*length, name.clone());
            }
        }
        val
    }

    /// What is declared of result `id` of the model, whose dimensions have these names in the file if it has as many.
    pub fn specify(&mut self, id: ValueId, ty: &Type, names: &[Option<Arc<str>>]) {
        let names = if ty.dims.as_ref().is_some_and(|dims| dims.len() == names.len()) { names } else { &[] };
        let own = |length| if let Length::Named(length) = length { self.called.get(&length).cloned() } else { None };
        let spec = ty.spec(|axis, length| called(own(length).or_else(|| names.get(axis).cloned().flatten())));
        self.builder.specify(id, spec);
    }

    /// `x`, which has this many dimensions by the definition of the operator that reads it.
    pub fn of_rank(&mut self, x: Val, rank: usize) -> Val {
        if x.ty.dims.is_some() {
            return x;
        }
        let ty = self.name_lengths(Type::new(x.ty.dtype, vec![Length::Open; rank]));
        Val { ty, ..x }
    }

    /// A value that a graph inside of the model is called with.
    pub fn parameter(&mut self, ty: Type) -> Val {
        self.inputs += 1;
        self.input(&format!("input_{}", self.inputs), ty, &[])
    }

    /// Values of the graph around the current one, which become its inputs; constants are the same everywhere.
    pub fn enter(&mut self, vals: &[Val]) -> Vec<Val> {
        vals.iter().map(|v| self.enter_one(v)).collect()
    }

    /// As [`enter`](Self::enter).
    pub fn enter_one(&mut self, val: &Val) -> Val {
        match val.source {
            Source::Constant(_) => val.clone(),
            Source::Value(_) => {
                let (elements, narrow) = (val.elements.clone(), val.narrow);
                Val { elements, narrow, ..self.parameter(val.ty.clone()) }
            }
        }
    }

    /// The state that [`rewind`](Self::rewind) goes back to.
    pub fn mark(&self) -> (Mark, usize) {
        (self.builder.mark(), self.constants.len())
    }

    /// Forgets the graphs and constants that came after the mark. No graph may be open that was not open then.
    pub fn rewind(&mut self, (mark, constants): (Mark, usize)) {
        for constant in self.constants.drain(constants.min(self.constants.len())..) {
            if let Origin::Weight(name) | Origin::Plain(Some(name)) = constant.origin {
                self.taken.remove(&name);
            }
        }
        for constant in &mut self.constants {
            constant.values.retain(|graph, _| mark.has_graph(*graph));
            constant.param = constant.param.filter(|p| mark.has_param(*p));
        }
        self.builder.rewind(mark);
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

    /// What graph `id` gives for these arguments.
    pub fn call(&mut self, id: GraphId, args: Vec<Arg>, types: &[Type]) -> Vec<Val> {
        let ids = self.builder.call(id, args, types.len());
        ids.into_iter().zip(types).map(|(id, ty)| self.unknown(id, ty.clone())).collect()
    }

    /// What one of two graphs gives.
    pub fn choose(&mut self, cond: &Val, then: Closure, otherwise: Closure, types: &[Type]) -> Vec<Val> {
        let cond = self.value(cond);
        let ids = self.builder.choose(cond, then, otherwise, types.len());
        ids.into_iter().zip(types).map(|(id, ty)| self.unknown(id, ty.clone())).collect()
    }

    /// The current graph's value for `v`.
    pub fn value(&mut self, v: &Val) -> ValueId {
        match v.source {
            Source::Value(id) => id,
            Source::Constant(at) => self.placed(at),
        }
    }

    /// The current graph's value for constant `at`, after those that it is computed from.
    fn placed(&mut self, at: usize) -> ValueId {
        let (mut missing, mut open) = (BTreeSet::new(), vec![at]);
        while let Some(at) = open.pop() {
            if self.here(at).is_some() || !missing.insert(at) {
                continue;
            }
            if let Some(Origin::Derived(derivation)) = self.constants.get(at).map(|c| &c.origin) {
                constants_of(&derivation.args, &mut open);
            }
        }
        // What a constant is computed from was there before it.
        for at in missing {
            self.place(at);
        }
        self.here(at).unwrap_or(ValueId(0))
    }

    /// The value that the current graph has for constant `at`.
    fn here(&self, at: usize) -> Option<ValueId> {
        self.constants.get(at)?.values.get(&self.builder.current()).copied()
    }

    /// Gives the current graph a value for constant `at`, unless it has one.
    fn place(&mut self, at: usize) {
        let here = self.builder.current();
        let Some(constant) = self.constants.get_mut(at).filter(|c| !c.values.contains_key(&here)) else { return };
        let (derivation, name) = match &constant.origin {
            Origin::Derived(derivation) => (Some(derivation.clone()), None),
            Origin::Weight(name) => (None, Some(Some(name.clone()))),
            Origin::Plain(name) => (None, (constant.tensor.count() > MOST_INLINE).then(|| name.clone())),
        };
        if let Some(derivation) = derivation {
            return self.compute(&derivation);
        }
        let id = match (name, constant.param) {
            (None, _) => self.builder.constant(constant.tensor.clone()),
            (Some(_), Some(param)) => self.builder.read_param(param),
            (Some(name), None) => {
                let fresh = || (at..).map(|i| format!("constant_{i}")).find(|n| !self.taken.contains(n));
                let name = name.or_else(fresh).unwrap_or_default();
                let param = self.builder.add_param(&name, constant.tensor.clone());
                constant.param = Some(param);
                if let Origin::Plain(own) = &mut constant.origin {
                    *own = Some(name.clone());
                }
                self.taken.insert(name);
                self.builder.read_param(param)
            }
        };
        constant.values.insert(here, id);
    }

    /// Adds the node of a derivation to the current graph.
    fn compute(&mut self, derivation: &Derivation) {
        let Derivation { def, name, args, results } = derivation;
        let args: Vec<Arg> = args.iter().enumerate().map(|(i, a)| self.arg(def, i, a)).collect();
        let (here, ids) = (self.builder.current(), self.builder.op_n(name, args, results.len()));
        for (constant, id) in self.constants.iter_mut().skip(results.start).zip(ids.unwrap_or_default()) {
            constant.values.insert(here, id);
        }
    }

    /// A node with one result.
    pub fn op(&mut self, name: &'static str, args: Vec<In>) -> Step {
        let mut all = self.op_n(name, args, 1)?;
        all.pop().ok_or_else(|| format!("{name} has no result"))
    }

    /// A node with `results` results.
    pub fn op_n(&mut self, name: &'static str, args: Vec<In>, results: usize) -> Steps {
        let def = find(name).ok_or_else(|| format!("there is no operator {name}"))?;
        let exact = match exact(def, &args) {
            // What is wrong in a graph that is called fails when it is called.
            Err(why) if self.builder.current() == GraphId(0) => return Err(why),
            other => other.ok().flatten(),
        };
        let (types, known) = match exact {
            Some((facts, known)) => (facts.iter().map(Type::from).collect(), known),
            None => (results::results(def, &args, results)?, None),
        };
        if let Some(tensors) = known {
            return self.computed(name, args, tensors.into_iter().take(results).collect());
        }
        if types.len() < results {
            return Err(format!("{name} has no result {}", types.len()));
        }
        let elements = results::elements(def, &args);
        if let (Some(all), Some(fact), 1) = (&elements, types.first().and_then(Type::fact), results)
            && let Some(values) = all.iter().map(|e| e.fixed()).collect::<Option<Vec<i64>>>()
            && let Ok(tensor) = Tensor::from_i64s(fact.dtype, &fact.shape, &values)
        {
            return Ok(vec![self.constant(tensor)]);
        }
        self.emit(def, name, &args, types.into_iter().take(results).collect(), elements)
    }

    /// The dimensions of `x` as a vector, those of the value at hand even where the file declares them.
    pub fn own_dims(&mut self, x: &Val) -> Step {
        let def = find("TensorShape").ok_or("there is no operator TensorShape")?;
        let rank = x.ty.dims.as_ref().map_or(Length::Open, |dims| Length::Fixed(dims.len() as i64));
        let ty = Type::new(DType::I64, vec![rank]);
        let mut all = self.emit(def, "TensorShape", &[x.into()], vec![ty], None)?;
        all.pop().ok_or_else(|| "TensorShape has no result".into())
    }

    fn emit(&mut self, def: &OpDef, name: &str, args: &[In], types: Vec<Type>, elements: Option<Dims>) -> Steps {
        let args: Vec<Arg> = args.iter().enumerate().map(|(i, a)| self.arg(def, i, a)).collect();
        let ids = self.builder.op_n(name, args, types.len()).map_err(|e| e.to_string())?;
        let mut out: Vec<Val> = ids.into_iter().zip(types).map(|(id, ty)| self.unknown(id, ty)).collect();
        out.iter_mut().take(1).for_each(|v| v.elements = elements.clone());
        Ok(out)
    }

    fn arg(&mut self, def: &OpDef, i: usize, arg: &In) -> Arg {
        let kind = param_kind(def, i);
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

/// Adds the constants among arguments to `out`.
fn constants_of(args: &[In], out: &mut Vec<usize>) {
    for arg in args {
        match arg {
            In::Val(Val { source: Source::Constant(at), .. }) => out.push(*at),
            In::List(items) => constants_of(items, out),
            In::Val(_) | In::Const(_) => {}
        }
    }
}

impl Import {
    /// A computed tensor as what MindSpore takes in the place of a number or tuple.
    fn python(&mut self, v: &Val) -> Arg {
        let value = self.value(v);
        let convert = match v.rank() {
            Ok(0) => "TensorToScalar",
            Ok(1) => "TensorToTuple",
            _ => return Arg::Value(value),
        };
        Arg::Value(self.builder.op(convert, [Arg::Value(value)]).unwrap_or(value))
    }
}

/// Checks that a tensor could be addressed.
pub(super) fn fits(fact: &Fact) -> Result<(), String> {
    let bytes = mindir_graph::checked_count(&fact.shape).and_then(|n| n.checked_mul(fact.dtype.size()));
    let fits = bytes.is_some_and(|n| isize::try_from(n).is_ok());
    if fits { Ok(()) } else { Err(format!("{fact} is too large")) }
}

/// A small constant as an argument that is no tensor.
fn as_const(t: &Tensor) -> Option<Const> {
    let one = |x: f64, i: i64| match t.dtype() {
        DType::F64 => Const::Double(x),
        d if d.is_float() => Const::Float(x as f32),
        _ => Const::Int(i),
    };
    let (floats, ints) = (t.to_f64s().ok()?, t.to_i64s().ok()?);
    let mut items: Vec<Const> = floats.into_iter().zip(ints).map(|(x, i)| one(x, i)).collect();
    match t.shape() {
        [] => items.pop(),
        [_] => Some(Const::Tuple(items)),
        _ => None,
    }
}

/// What argument `i` may be.
pub(super) fn param_kind(def: &OpDef, i: usize) -> ParamKind {
    def.params.get(i).map_or(ParamKind::Tensor, |p| p.kind)
}

/// An argument for an operator's rules; a value's shape must be fixed.
pub(super) fn argument(arg: &In, kind: ParamKind, next: &mut u32) -> ArgValue {
    let mut operand = |fact: Fact, known: Option<Tensor>| {
        *next += 1;
        ArgValue::Operand(Operand { v: V(*next), fact: fact.into(), known })
    };
    match arg {
        In::Val(v) => match v.ty.fact() {
            Some(fact) => operand(fact, v.known.clone()),
            None => ArgValue::Const(Const::None),
        },
        In::Const(c) => match c.tensor() {
            Some(t) if kind != ParamKind::Value => operand(t.fact(), Some(t)),
            _ => ArgValue::Const(c.clone()),
        },
        In::List(items) => ArgValue::List(items.iter().map(|a| argument(a, kind, next)).collect()),
    }
}

/// Facts of the results, and their contents if they are constant.
pub(super) type Exact = (Vec<Fact>, Option<Vec<Tensor>>);

/// What the operator itself says of its results; nothing if a length is open or it needs contents that are computed.
pub(super) fn exact(def: &OpDef, args: &[In]) -> Result<Option<Exact>, String> {
    fn fixed(arg: &In) -> bool {
        match arg {
            In::Val(v) => v.ty.fact().is_some(),
            In::List(items) => items.iter().all(fixed),
            In::Const(_) => true,
        }
    }
    if !args.iter().all(fixed) {
        return Ok(None);
    }
    let mut next = 0;
    let item = |(i, arg): (usize, &In)| Some(argument(arg, param_kind(def, i), &mut next));
    let args = Args { op: def.name, items: args.iter().enumerate().map(item).collect() };
    let facts = match def.infer(&args) {
        Ok(facts) => facts,
        Err(OpError::NeedsValue(_) | OpError::Dynamic) => return Ok(None),
        Err(e) => return Err(format!("{}: {e}", def.name)),
    };
    facts.iter().try_for_each(fits)?;
    let known = fold(def, &args, &facts)?;
    Ok(Some((facts, known)))
}

/// The results, if all operands are constant and all are small.
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
    def.reference(args).map(Some).map_err(|e| format!("{}: {e}", def.name))
}
