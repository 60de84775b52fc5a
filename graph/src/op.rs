//! What an operator is: a signature, a shape rule, a reference and a lowering to tasks.

use std::fmt;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use smallvec::SmallVec;

use crate::lower::Lowering;
use crate::onnx::{Emit, Forms};
use crate::task::V;
use crate::{DType, Dim, Fact, OpError, Spec, Tensor};

/// A short list of integers.
pub type Ints = SmallVec<[i64; 6]>;

/// The list of these integers.
pub fn ints(values: &[i64]) -> Ints {
    Ints::from_slice(values)
}

/// A constant argument that is no tensor.
#[derive(Clone, Debug, PartialEq)]
pub enum Const {
    /// Python's `None`.
    None,
    /// A truth value.
    Bool(bool),
    /// An integer of any width.
    Int(i64),
    /// A single-precision number, as Python floats are exported.
    Float(f32),
    /// A double-precision number.
    Double(f64),
    /// Text.
    Str(Arc<str>),
    /// A tuple or list.
    Tuple(Vec<Const>),
    /// An element type.
    DType(DType),
    /// A tensor.
    Tensor(Tensor),
}

impl fmt::Display for Const {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Const::None => f.write_str("None"),
            Const::Bool(b) => write!(f, "{b}"),
            Const::Int(i) => write!(f, "{i}"),
            Const::Float(x) => write!(f, "{x:?}"),
            Const::Double(x) => write!(f, "{x:?}"),
            Const::Str(s) => write!(f, "{s:?}"),
            Const::DType(d) => write!(f, "{d}"),
            Const::Tensor(t) => write!(f, "{t:?}"),
            Const::Tuple(items) => {
                f.write_str("(")?;
                for (i, item) in items.iter().enumerate() {
                    write!(f, "{}{item}", if i == 0 { "" } else { "," })?;
                }
                f.write_str(")")
            }
        }
    }
}

/// Notes that somebody asked for a length that is open.
#[derive(Clone, Debug, Default)]
pub struct Watch(Arc<AtomicBool>);

impl Watch {
    /// Whether somebody asked.
    pub fn asked(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    pub(crate) fn note(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Element type and shape of an operand, which reads as a [`Fact`].
///
/// Where a dimension is open, as it may be while a model is written as ONNX, the lengths of the fact mean nothing. Reading
/// them is noted, and what was derived from them is thrown away. Element type, rank and [`dims`](Self::dims) are free.
#[derive(Debug)]
pub struct Watched {
    /// Element type.
    pub dtype: DType,
    fact: Fact,
    open: Option<(Vec<Option<usize>>, Watch)>,
}

impl Watched {
    /// Number of dimensions.
    pub fn rank(&self) -> usize {
        self.fact.rank()
    }

    /// The dimensions, `None` for those that are open.
    pub fn dims(&self) -> Vec<Option<usize>> {
        match &self.open {
            Some((dims, _)) => dims.clone(),
            None => self.fact.shape.iter().copied().map(Some).collect(),
        }
    }

    fn again(&self) -> Watched {
        Watched { dtype: self.dtype, fact: self.fact.clone(), open: self.open.clone() }
    }
}

impl From<Fact> for Watched {
    fn from(fact: Fact) -> Watched {
        Watched { dtype: fact.dtype, fact, open: None }
    }
}

impl Deref for Watched {
    type Target = Fact;

    fn deref(&self) -> &Fact {
        if let Some((_, watch)) = &self.open {
            watch.note();
        }
        &self.fact
    }
}

impl PartialEq<Fact> for Watched {
    fn eq(&self, other: &Fact) -> bool {
        **self == *other
    }
}

impl fmt::Display for Watched {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.open {
            None => self.fact.fmt(f),
            Some((dims, _)) => {
                let dims = dims.iter().map(|d| d.map_or(Dim::Unknown, Dim::Known)).collect();
                Spec { dtype: Some(self.dtype), dims: Some(dims) }.fmt(f)
            }
        }
    }
}

/// A tensor argument during planning or reference evaluation.
#[derive(Debug)]
pub struct Operand {
    /// The value in the task graph under construction.
    pub v: V,
    /// Element type and shape.
    pub fact: Watched,
    /// Contents, where known.
    pub known: Option<Tensor>,
}

impl Clone for Operand {
    fn clone(&self) -> Operand {
        Operand { v: self.v, fact: self.fact.again(), known: self.known.clone() }
    }
}

impl Operand {
    /// The dimensions, `None` for those that are open; see [`Watched`].
    pub fn dims(&self) -> Vec<Option<usize>> {
        self.fact.dims()
    }

    /// Whether a dimension is open.
    pub fn is_open(&self) -> bool {
        self.fact.open.is_some()
    }

    /// From here on only these dimensions are known; `watch` notes who asks for another.
    pub(crate) fn open(&mut self, dims: Vec<Option<usize>>, watch: &Watch) {
        self.fact.open = Some((dims, watch.clone()));
    }

    /// Element type.
    pub fn dtype(&self) -> DType {
        self.fact.dtype
    }

    /// Dimensions.
    pub fn shape(&self) -> &[usize] {
        &self.fact.shape
    }

    /// Number of dimensions.
    pub fn rank(&self) -> usize {
        self.fact.rank()
    }

    /// Number of elements.
    pub fn count(&self) -> usize {
        self.fact.count()
    }

    /// The contents.
    ///
    /// # Errors
    /// [`OpError::NeedsValue`] if they are not known yet.
    pub fn tensor(&self) -> Result<&Tensor, OpError> {
        self.known.as_ref().ok_or(OpError::NeedsValue(self.v))
    }

    /// The contents as `f64`.
    ///
    /// # Errors
    /// [`OpError::NeedsValue`]; [`OpError::Invalid`] for complex types.
    pub fn f64s(&self) -> Result<Vec<f64>, OpError> {
        Ok(self.tensor()?.to_f64s()?)
    }

    /// The contents as `i64`.
    ///
    /// # Errors
    /// [`OpError::NeedsValue`]; [`OpError::Invalid`] for complex types.
    pub fn i64s(&self) -> Result<Vec<i64>, OpError> {
        Ok(self.tensor()?.to_i64s()?)
    }

    /// `axis` counted from the front.
    ///
    /// # Errors
    /// [`OpError::Invalid`] if it is out of range.
    pub fn axis(&self, axis: i64) -> Result<usize, OpError> {
        crate::normalize_axis(axis, self.rank())
            .ok_or_else(|| OpError::Invalid(format!("axis {axis} is out of range for rank {}", self.rank())))
    }

    /// `axes` counted from the front, sorted and checked for repetition; an empty list means all axes.
    ///
    /// # Errors
    /// [`OpError::Invalid`] if one is out of range or appears twice.
    pub fn axes(&self, axes: &[i64]) -> Result<Vec<usize>, OpError> {
        if axes.is_empty() {
            return Ok((0..self.rank()).collect());
        }
        let mut out = axes.iter().map(|&a| self.axis(a)).collect::<Result<Vec<_>, _>>()?;
        out.sort_unstable();
        crate::ensure!(out.windows(2).all(|w| w[0] != w[1]), "axes {axes:?} name a dimension twice");
        Ok(out)
    }
}

/// An argument as an operator's rules see it.
#[derive(Clone, Debug)]
pub enum ArgValue {
    /// A tensor.
    Operand(Operand),
    /// A constant that is no tensor.
    Const(Const),
    /// A tuple whose elements are not all constant.
    List(Vec<ArgValue>),
}

/// What an argument may be; decides how constants are handed to the rules.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ParamKind {
    /// A tensor; a constant number becomes one of rank 0.
    Tensor,
    /// A tensor or `None`.
    OptionalTensor,
    /// A tuple of tensors.
    Tensors,
    /// A number, list, text, element type or truth value that must be known when planning.
    Value,
}

/// One argument in an operator's signature.
#[derive(Clone, Copy, Debug)]
pub struct Param {
    /// MindSpore's name of the argument; files of version 1 hold former constructor arguments under it.
    pub name: &'static str,
    /// Other names under which old files hold it.
    pub aliases: &'static [&'static str],
    /// What it may be.
    pub kind: ParamKind,
    /// Whether the signature has a default.
    pub optional: bool,
    /// The default as a constant; `None` where there is none or it is no constant.
    pub default: fn() -> Option<Const>,
    /// A constant as the argument's type has it: enumerations as numbers. `None` where it is something else.
    pub canonical: fn(&Const) -> Option<Const>,
}

/// Whether running an operator has consequences besides its results.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// None: may be folded, merged or dropped.
    Pure,
    /// Writes the variables given as these arguments. After its own results, the operator's rules return the new contents
    /// of each, in this order.
    Writes(&'static [usize]),
    /// As [`Effect::Writes`] with `args` if the constant argument `flag` is true, else none; see [`crate::graph::Node::effect`].
    WritesIf {
        /// Index of the argument that decides.
        flag: usize,
        /// The arguments written.
        args: &'static [usize],
    },
    /// Draws random numbers.
    Random,
    /// Talks to the outside, such as `Print`.
    Io,
    /// Ends the run with an error.
    Raises,
}

/// How to compute what an operator writes to its first argument. The result has that argument's shape; its element type may be
/// another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pure {
    /// By this operator of the same arguments.
    As(&'static str),
    /// The second argument, repeated to the shape of the first.
    Copy,
    /// By this operator of the same arguments, but that the second, the indices, gets a last dimension of 1.
    Rows(&'static str),
}

/// The arguments of one node, in signature order.
#[derive(Clone, Debug)]
pub struct Args {
    /// Name of the operator, for messages.
    pub op: &'static str,
    /// Arguments; missing ones take the signature's default, as a file would hold it.
    pub items: Vec<Option<ArgValue>>,
}

impl Args {
    /// Argument `index` as the type that the signature states; `None` if it is missing.
    ///
    /// # Errors
    /// [`OpError::Invalid`] if it is something else; [`OpError::NeedsValue`] if its contents are not known yet.
    pub fn get<T: FromArg>(&self, index: usize, name: &str) -> Result<Option<T>, OpError> {
        match self.items.get(index) {
            None | Some(None) => Ok(None),
            Some(Some(arg)) => match T::from_arg(arg) {
                Ok(value) => Ok(value),
                Err(OpError::Invalid(m)) => Err(OpError::Invalid(format!("argument `{name}`: {m}"))),
                Err(other) => Err(other),
            },
        }
    }

    /// Argument `index`, which has no default.
    ///
    /// # Errors
    /// As [`Args::get`]; also if it is missing.
    pub fn need<T: FromArg>(&self, index: usize, name: &str) -> Result<T, OpError> {
        self.get(index, name)?.ok_or_else(|| OpError::Invalid(format!("argument `{name}` is missing")))
    }
}

/// A type that an argument can have in an operator's signature.
pub trait FromArg: Sized {
    /// What the argument may be.
    const KIND: ParamKind;

    /// The argument as this type; `None` asks for the default.
    ///
    /// # Errors
    /// [`OpError::Invalid`] if the argument is something else; [`OpError::NeedsValue`] if its contents are not known yet.
    fn from_arg(arg: &ArgValue) -> Result<Option<Self>, OpError>;

    /// The constant that [`from_arg`](Self::from_arg) reads as this; `None` for tensors.
    fn into_const(self) -> Option<Const>;

    /// This as a file holds it, which has Python's floats in single precision.
    #[must_use]
    fn exported(self) -> Self {
        self
    }
}

/// An argument whose contents an operator's ONNX form takes whether they are known or computed by the model.
#[derive(Clone, Debug, PartialEq)]
pub enum Late<T> {
    /// What it is.
    Known(T),
    /// A value with these contents.
    Computed(V),
}

impl<T> Late<T> {
    /// What it is.
    ///
    /// # Errors
    /// [`OpError::NeedsValue`] if that is not known yet.
    pub fn get(&self) -> Result<&T, OpError> {
        match self {
            Late::Known(value) => Ok(value),
            Late::Computed(v) => Err(OpError::NeedsValue(*v)),
        }
    }

    /// What it is, if that is known.
    pub fn known(&self) -> Option<&T> {
        self.get().ok()
    }
}

impl<T: FromArg> FromArg for Late<T> {
    const KIND: ParamKind = T::KIND;
    fn from_arg(arg: &ArgValue) -> Result<Option<Self>, OpError> {
        match T::from_arg(arg) {
            Err(OpError::NeedsValue(v)) => Ok(Some(Late::Computed(v))),
            known => Ok(known?.map(Late::Known)),
        }
    }

    fn into_const(self) -> Option<Const> {
        match self {
            Late::Known(value) => value.into_const(),
            Late::Computed(_) => None,
        }
    }

    fn exported(self) -> Self {
        match self {
            Late::Known(value) => Late::Known(value.exported()),
            computed => computed,
        }
    }
}

/// `constant` as type `T` has it; see [`Param::canonical`].
pub fn canonical<T: FromArg>(constant: &Const) -> Option<Const> {
    T::from_arg(&ArgValue::Const(constant.clone())).ok()??.into_const()
}

fn wrong(expected: &str, arg: &ArgValue) -> OpError {
    let found = match arg {
        ArgValue::Operand(o) => format!("a tensor {}", o.fact),
        ArgValue::Const(c) => format!("{c}"),
        ArgValue::List(items) => format!("a tuple of {}", items.len()),
    };
    OpError::Invalid(format!("expected {expected}, found {found}"))
}

impl FromArg for Operand {
    const KIND: ParamKind = ParamKind::Tensor;
    fn from_arg(arg: &ArgValue) -> Result<Option<Self>, OpError> {
        match arg {
            ArgValue::Operand(o) => Ok(Some(o.clone())),
            other => Err(wrong("a tensor", other)),
        }
    }

    fn into_const(self) -> Option<Const> {
        None
    }
}

impl FromArg for Option<Operand> {
    const KIND: ParamKind = ParamKind::OptionalTensor;
    fn from_arg(arg: &ArgValue) -> Result<Option<Self>, OpError> {
        match arg {
            ArgValue::Operand(o) => Ok(Some(Some(o.clone()))),
            ArgValue::Const(Const::None) => Ok(Some(None)),
            other => Err(wrong("a tensor or None", other)),
        }
    }

    fn into_const(self) -> Option<Const> {
        if self.is_none() { Some(Const::None) } else { None }
    }
}

impl FromArg for Vec<Operand> {
    const KIND: ParamKind = ParamKind::Tensors;
    fn from_arg(arg: &ArgValue) -> Result<Option<Self>, OpError> {
        match arg {
            ArgValue::Operand(o) => Ok(Some(vec![o.clone()])),
            ArgValue::List(items) => {
                let one = |a: &ArgValue| Operand::from_arg(a).map(|o| o.into_iter());
                Ok(Some(items.iter().map(one).collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect()))
            }
            other => Err(wrong("a tuple of tensors", other)),
        }
    }

    fn into_const(self) -> Option<Const> {
        None
    }
}

fn number_list(arg: &ArgValue) -> Result<Vec<f64>, OpError> {
    match arg {
        ArgValue::Operand(o) => o.f64s(),
        ArgValue::List(items) => Ok(items.iter().map(number_list).collect::<Result<Vec<_>, _>>()?.concat()),
        ArgValue::Const(Const::Int(i)) => Ok(vec![*i as f64]),
        ArgValue::Const(Const::Bool(b)) => Ok(vec![f64::from(u8::from(*b))]),
        ArgValue::Const(Const::Float(x)) => Ok(vec![f64::from(*x)]),
        ArgValue::Const(Const::Double(x)) => Ok(vec![*x]),
        ArgValue::Const(Const::Tensor(t)) => Ok(t.to_f64s()?),
        ArgValue::Const(Const::Tuple(items)) => {
            let one = |c: &Const| number_list(&ArgValue::Const(c.clone()));
            Ok(items.iter().map(one).collect::<Result<Vec<_>, _>>()?.concat())
        }
        other => Err(wrong("a number", other)),
    }
}

fn int_list(arg: &ArgValue) -> Result<Ints, OpError> {
    match arg {
        ArgValue::Operand(o) if o.dtype().is_int() || o.dtype() == DType::Bool => Ok(Ints::from_vec(o.i64s()?)),
        ArgValue::List(items) => {
            let mut out = Ints::new();
            for item in items {
                out.extend(int_list(item)?);
            }
            Ok(out)
        }
        ArgValue::Const(Const::Int(i)) => Ok(ints(&[*i])),
        ArgValue::Const(Const::Bool(b)) => Ok(ints(&[i64::from(*b)])),
        ArgValue::Const(Const::Tensor(t)) if t.dtype().is_int() || t.dtype() == DType::Bool => {
            Ok(Ints::from_vec(t.to_i64s()?))
        }
        ArgValue::Const(Const::Tuple(items)) => {
            let mut out = Ints::new();
            for item in items {
                out.extend(int_list(&ArgValue::Const(item.clone()))?);
            }
            Ok(out)
        }
        other => Err(wrong("integers", other)),
    }
}

fn is_none(arg: &ArgValue) -> bool {
    matches!(arg, ArgValue::Const(Const::None))
}

impl FromArg for Ints {
    const KIND: ParamKind = ParamKind::Value;
    fn from_arg(arg: &ArgValue) -> Result<Option<Self>, OpError> {
        if is_none(arg) { Ok(None) } else { int_list(arg).map(Some) }
    }

    fn into_const(self) -> Option<Const> {
        Some(Const::Tuple(self.iter().map(|i| Const::Int(*i)).collect()))
    }
}

impl FromArg for Option<Ints> {
    const KIND: ParamKind = ParamKind::Value;
    fn from_arg(arg: &ArgValue) -> Result<Option<Self>, OpError> {
        if is_none(arg) { Ok(Some(None)) } else { int_list(arg).map(|v| Some(Some(v))) }
    }

    fn into_const(self) -> Option<Const> {
        self.map_or(Some(Const::None), Ints::into_const)
    }
}

impl FromArg for i64 {
    const KIND: ParamKind = ParamKind::Value;
    fn from_arg(arg: &ArgValue) -> Result<Option<Self>, OpError> {
        if is_none(arg) {
            return Ok(None);
        }
        match int_list(arg)?.as_slice() {
            [one] => Ok(Some(*one)),
            _ => Err(wrong("an integer", arg)),
        }
    }

    fn into_const(self) -> Option<Const> {
        Some(Const::Int(self))
    }
}

impl FromArg for Option<i64> {
    const KIND: ParamKind = ParamKind::Value;
    fn from_arg(arg: &ArgValue) -> Result<Option<Self>, OpError> {
        if is_none(arg) { Ok(Some(None)) } else { i64::from_arg(arg).map(Some) }
    }

    fn into_const(self) -> Option<Const> {
        Some(self.map_or(Const::None, Const::Int))
    }
}

impl FromArg for f64 {
    const KIND: ParamKind = ParamKind::Value;
    fn from_arg(arg: &ArgValue) -> Result<Option<Self>, OpError> {
        if is_none(arg) {
            return Ok(None);
        }
        match number_list(arg)?.as_slice() {
            [one] => Ok(Some(*one)),
            _ => Err(wrong("a number", arg)),
        }
    }

    fn into_const(self) -> Option<Const> {
        Some(Const::Float(self as f32))
    }

    fn exported(self) -> Self {
        f64::from(self as f32)
    }
}

impl FromArg for Vec<f64> {
    const KIND: ParamKind = ParamKind::Value;
    fn from_arg(arg: &ArgValue) -> Result<Option<Self>, OpError> {
        if is_none(arg) { Ok(None) } else { number_list(arg).map(Some) }
    }

    fn into_const(self) -> Option<Const> {
        Some(Const::Tuple(self.iter().map(|x| Const::Float(*x as f32)).collect()))
    }

    fn exported(self) -> Self {
        self.into_iter().map(f64::exported).collect()
    }
}

impl FromArg for bool {
    const KIND: ParamKind = ParamKind::Value;
    fn from_arg(arg: &ArgValue) -> Result<Option<Self>, OpError> {
        Ok(i64::from_arg(arg)?.map(|i| i != 0))
    }

    fn into_const(self) -> Option<Const> {
        Some(Const::Bool(self))
    }
}

impl FromArg for DType {
    const KIND: ParamKind = ParamKind::Value;
    fn from_arg(arg: &ArgValue) -> Result<Option<Self>, OpError> {
        match arg {
            ArgValue::Const(Const::None) => Ok(None),
            ArgValue::Const(Const::DType(d)) => Ok(Some(*d)),
            ArgValue::Const(Const::Str(s)) => DType::from_mindspore(s)
                .map(Some)
                .ok_or_else(|| OpError::Invalid(format!("unknown element type {s:?}"))),
            other => match i64::from_arg(other)? {
                Some(id) => DType::from_type_id(id)
                    .map(Some)
                    .ok_or_else(|| OpError::Invalid(format!("unknown element type id {id}"))),
                None => Ok(None),
            },
        }
    }

    fn into_const(self) -> Option<Const> {
        Some(Const::DType(self))
    }
}

impl FromArg for Option<DType> {
    const KIND: ParamKind = ParamKind::Value;
    fn from_arg(arg: &ArgValue) -> Result<Option<Self>, OpError> {
        if is_none(arg) { Ok(Some(None)) } else { DType::from_arg(arg).map(Some) }
    }

    fn into_const(self) -> Option<Const> {
        Some(self.map_or(Const::None, Const::DType))
    }
}

impl FromArg for String {
    const KIND: ParamKind = ParamKind::Value;
    fn from_arg(arg: &ArgValue) -> Result<Option<Self>, OpError> {
        match arg {
            ArgValue::Const(Const::None) => Ok(None),
            ArgValue::Const(Const::Str(s)) => Ok(Some(s.to_string())),
            other => Err(wrong("text", other)),
        }
    }

    fn into_const(self) -> Option<Const> {
        Some(Const::Str(self.into()))
    }
}

/// A Python number: keeps whether it was an integer, which decides the element type of some results.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Number {
    /// `int` or `bool`.
    Int(i64),
    /// `float`.
    Float(f64),
}

impl Number {
    /// The number as `f64`.
    pub fn as_f64(self) -> f64 {
        match self {
            Number::Int(i) => i as f64,
            Number::Float(x) => x,
        }
    }
}

impl FromArg for Number {
    const KIND: ParamKind = ParamKind::Value;
    fn from_arg(arg: &ArgValue) -> Result<Option<Self>, OpError> {
        let is_int = match arg {
            ArgValue::Const(Const::Int(_) | Const::Bool(_)) => true,
            ArgValue::Const(Const::Tensor(t)) => !t.dtype().is_float(),
            ArgValue::Operand(o) => !o.dtype().is_float(),
            _ => false,
        };
        if is_int { Ok(i64::from_arg(arg)?.map(Number::Int)) } else { Ok(f64::from_arg(arg)?.map(Number::Float)) }
    }

    fn into_const(self) -> Option<Const> {
        match self {
            Number::Int(i) => Some(Const::Int(i)),
            Number::Float(x) => f64::into_const(x),
        }
    }

    fn exported(self) -> Self {
        match self {
            Number::Int(i) => Number::Int(i),
            Number::Float(x) => Number::Float(x.exported()),
        }
    }
}

/// An enumeration that files hold as text in old versions and as a number in new ones.
#[macro_export]
macro_rules! op_enum {
    ($(#[$doc:meta])* $name:ident { $($(#[$row:meta])* $variant:ident = $number:literal, $text:literal;)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name { $($(#[$row])* $variant),* }

        impl $crate::op::FromArg for $name {
            const KIND: $crate::op::ParamKind = $crate::op::ParamKind::Value;
            fn from_arg(arg: &$crate::op::ArgValue) -> Result<Option<Self>, $crate::OpError> {
                use $crate::op::{ArgValue, Const};
                match arg {
                    ArgValue::Const(Const::None) => Ok(None),
                    ArgValue::Const(Const::Str(s)) => match s.to_ascii_lowercase().as_str() {
                        $($text => Ok(Some($name::$variant)),)*
                        _ => Err($crate::OpError::Invalid(format!("unknown {} {s:?}", stringify!($name)))),
                    },
                    other => match <i64 as $crate::op::FromArg>::from_arg(other)? {
                        $(Some($number) => Ok(Some($name::$variant)),)*
                        Some(n) => Err($crate::OpError::Invalid(format!("unknown {} {n}", stringify!($name)))),
                        None => Ok(None),
                    },
                }
            }

            fn into_const(self) -> Option<$crate::op::Const> {
                match self { $($name::$variant => Some($crate::op::Const::Int($number)),)* }
            }
        }
    };
}

/// The generated half of an operator: its name and typed signature.
pub trait Signature: Sized + 'static {
    /// MindSpore's name of the primitive.
    const NAME: &'static str;
    /// Other primitives with the same signature and meaning.
    const ALIASES: &'static [&'static str];
    /// Arguments in MindSpore's order.
    const PARAMS: &'static [Param];
    /// Whether MindSpore 2 still keeps the arguments after the tensors as attributes of the primitive.
    const CLASSIC: bool;
    /// What it computes, in Markdown.
    const DOC: &'static str;

    /// The arguments as typed fields.
    ///
    /// # Errors
    /// As [`Args::get`].
    fn parse(args: &Args) -> Result<Self, OpError>;
}

/// Results as values of the task graph; `None` asks for the reference on the host.
pub type Lowers = Result<Option<Vec<V>>, OpError>;

/// The written half of an operator.
pub trait Rule: Signature {
    /// What running it changes.
    const EFFECT: Effect = Effect::Pure;
    /// How to compute what it writes to its first argument.
    const PURE: Option<Pure> = None;

    /// Element types and shapes of the results. Validates the arguments: after it, `reference` and `lower` may rely on them.
    ///
    /// # Errors
    /// What is wrong with the arguments; [`OpError::Dynamic`] if only the data tells the shape.
    fn infer(&self) -> Result<Vec<Fact>, OpError>;

    /// The results by the plain definition, with `f64` accumulation. Every operand's contents are known.
    ///
    /// # Errors
    /// What is wrong with the data.
    fn reference(&self) -> Result<Vec<Tensor>, OpError>;

    /// The results as tasks; `None` runs the reference on the host.
    ///
    /// # Errors
    /// As `infer`.
    fn lower(&self, _b: &mut Lowering) -> Lowers {
        Ok(None)
    }

    /// The results in ONNX; `None` writes the tasks that it lowers to.
    ///
    /// # Errors
    /// Why these arguments have no ONNX form.
    fn onnx(&self, _e: &mut Emit) -> Forms {
        Ok(None)
    }

    /// Inputs to test it with.
    fn cases() -> Vec<Case> {
        Vec::new()
    }
}

/// One test of an operator: arguments and the error that a correct implementation stays under.
#[derive(Clone, Debug)]
pub struct Case {
    /// What is special about it.
    pub name: &'static str,
    /// Arguments in signature order; missing ones take the default.
    pub args: Vec<Option<CaseArg>>,
    /// Largest `|got − want| / max(1, max |want|)`; 0 demands equality.
    pub tolerance: f64,
}

/// An argument of a [`Case`].
#[derive(Clone, Debug)]
pub enum CaseArg {
    /// A tensor.
    Tensor(Tensor),
    /// A tuple of tensors.
    Tensors(Vec<Tensor>),
    /// A constant.
    Const(Const),
}

/// An operator: one entry of [`crate::ops::OPS`].
#[derive(Clone, Copy)]
pub struct OpDef {
    /// MindSpore's name of the primitive.
    pub name: &'static str,
    /// Other primitives with the same signature and meaning.
    pub aliases: &'static [&'static str],
    /// Arguments in MindSpore's order.
    pub params: &'static [Param],
    /// Whether MindSpore 2 keeps the arguments after the tensors as attributes.
    pub classic: bool,
    /// What it computes, in Markdown.
    pub doc: &'static str,
    /// What running it changes.
    pub effect: Effect,
    /// See [`Rule::PURE`].
    pub pure: Option<Pure>,
    /// See [`Rule::infer`].
    pub infer: fn(&Args) -> Result<Vec<Fact>, OpError>,
    /// See [`Rule::reference`].
    pub reference: fn(&Args) -> Result<Vec<Tensor>, OpError>,
    /// See [`Rule::lower`].
    pub lower: fn(&Args, &mut Lowering) -> Lowers,
    /// See [`Rule::onnx`].
    pub onnx: fn(&Args, &mut Emit) -> Forms,
    /// See [`Rule::cases`].
    pub cases: fn() -> Vec<Case>,
}

impl OpDef {
    /// The entry of operator `T`.
    pub const fn of<T: Rule>() -> OpDef {
        OpDef {
            name: T::NAME,
            aliases: T::ALIASES,
            params: T::PARAMS,
            classic: T::CLASSIC,
            doc: T::DOC,
            effect: T::EFFECT,
            pure: T::PURE,
            infer: |args| T::parse(args)?.infer(),
            reference: |args| T::parse(args)?.reference(),
            lower: |args, b| T::parse(args)?.lower(b),
            onnx: |args, e| T::parse(args)?.onnx(e),
            cases: T::cases,
        }
    }
}

impl fmt::Debug for OpDef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

impl PartialEq for OpDef {
    fn eq(&self, other: &OpDef) -> bool {
        self.name == other.name
    }
}

/// Declares an operator's name and signature; the struct's fields are the arguments in MindSpore's order.
///
/// ```ignore
/// op! {
///     /// `x · scale`.
///     Scaled, aliases ["OldScaled"] {
///         x: Operand,
///         scale: f64 = 1.0,
///         axes ["axis"]: Ints = ints(&[-1]),   // old files call it `axis`
///     }
/// }
/// ```
///
/// `op! { … classic Conv2D { … } }` marks a primitive whose arguments after the tensors are still attributes in MindSpore 2.
#[macro_export]
macro_rules! op {
    ($(#[doc = $doc:literal])+ classic $name:ident $($rest:tt)*) => {
        $crate::op!(@ true, [$($doc)+] $name $($rest)*);
    };
    ($(#[doc = $doc:literal])+ $name:ident $($rest:tt)*) => {
        $crate::op!(@ false, [$($doc)+] $name $($rest)*);
    };
    (@ $classic:literal, [$($doc:literal)+] $name:ident $(, aliases [$($alias:literal),*])? {
        $($field:ident $([$($old:literal),*])? : $t:ty $(= $default:expr)?),* $(,)?
    }) => {
        $(#[doc = $doc])+
        #[derive(Clone, Debug)]
        // Names and fields are MindSpore's and described in the operator's own text; some arguments have no effect here.
        #[allow(clippy::upper_case_acronyms, dead_code, missing_docs)]
        pub struct $name { $(pub $field: $t),* }

        impl $crate::op::Signature for $name {
            const NAME: &'static str = stringify!($name);
            const ALIASES: &'static [&'static str] = &[$($($alias),*)?];
            const PARAMS: &'static [$crate::op::Param] = &[$($crate::op::Param {
                name: stringify!($field),
                aliases: &[$($($old),*)?],
                kind: <$t as $crate::op::FromArg>::KIND,
                optional: $crate::op!(@has $($default)?),
                default: $crate::op!(@default $t $(, $default)?),
                canonical: $crate::op::canonical::<$t>,
            }),*];
            const CLASSIC: bool = $classic;
            const DOC: &'static str = concat!($($doc, "\n"),+);

            // The last count is not read, and operators without arguments read nothing.
            #[allow(unused_assignments, unused_mut, unused_variables)]
            fn parse(args: &$crate::op::Args) -> Result<Self, $crate::OpError> {
                let mut index = 0;
                $(
                    let $field: $t = $crate::op!(@get args, index, stringify!($field) $(, $default)?);
                    index += 1;
                )*
                Ok($name { $($field),* })
            }
        }
    };
    (@default $t:ty) => { || None };
    (@default $t:ty, $default:expr) => { || <$t as $crate::op::FromArg>::into_const($default) };
    (@has) => { false };
    (@has $default:expr) => { true };
    (@get $args:ident, $index:ident, $name:expr) => { $args.need($index, $name)? };
    (@get $args:ident, $index:ident, $name:expr, $default:expr) => {
        match $args.get($index, $name)? {
            Some(value) => value,
            None => $crate::op::FromArg::exported($default),
        }
    };
}
