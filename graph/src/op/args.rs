//! The arguments of a node, and their signature.

use smallvec::SmallVec;

use super::{Const, Kind, Operand};
use crate::{OpError, Tensor};

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
    /// The texts of an enumeration's numbers.
    pub texts: &'static [(i64, &'static str)],
    /// How files hold it.
    pub held: Held,
}

/// How files hold an argument. `Plain` is an input of functions and objects; of classic primitives a tensor is an input and
/// everything else an attribute, an enumeration as text in capital letters.
///
/// MindSpore's constructors bring lists of numbers into the form that they have in files, whatever they were given: one number
/// for all, one for each spatial dimension, or those of batch and channels too.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Held {
    /// As the primitive's kind and the argument's type say.
    Plain,
    /// As an input, even of a classic primitive.
    Input,
    /// As an attribute, even of a function.
    Attribute,
    /// Each item of the tuple as an input of its own.
    Items,
    /// As a Python number, not as a tensor.
    Number,
    /// As text in small letters.
    Small,
    /// As a tuple, even of one number.
    List,
    /// As a tuple of pairs.
    Pairs,
    /// As one number for each of so many spatial dimensions.
    Spatial(usize),
    /// As one number for each dimension; those of batch and channels come first and are 1.
    Whole(usize),
    /// As one number for each dimension, with one 1 before and one behind the spatial ones, whatever the format.
    Middle(usize),
    /// As two numbers for each of so many spatial dimensions.
    Sides(usize),
    /// Plainly; where nothing states it, it is this dimension of that argument, the filters of a convolution.
    DimOf(&'static str, usize),
    /// Plainly; where nothing states it, it is all dimensions but the first two of that argument, the filters of a convolution.
    KernelOf(&'static str),
}

impl Param {
    /// Whether a primitive of this kind has it as an attribute.
    pub fn is_attribute(&self, kind: Kind) -> bool {
        match self.held {
            Held::Input => false,
            Held::Attribute => true,
            _ => kind == Kind::Classic && self.kind == ParamKind::Value,
        }
    }
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

    /// The tensors among the arguments, in order.
    pub(crate) fn operands(&self) -> SmallVec<[&Operand; 8]> {
        fn collect<'a>(arg: &'a ArgValue, out: &mut SmallVec<[&'a Operand; 8]>) {
            match arg {
                ArgValue::Operand(o) => out.push(o),
                ArgValue::List(items) => items.iter().for_each(|a| collect(a, out)),
                ArgValue::Const(_) => {}
            }
        }
        let mut out = SmallVec::new();
        self.items.iter().flatten().for_each(|a| collect(a, &mut out));
        out
    }

    /// Gives the tensors among the arguments their contents, in order.
    pub(crate) fn fill<'a>(&mut self, tensors: &mut impl Iterator<Item = &'a Tensor>) {
        fn fill<'a>(arg: &mut ArgValue, tensors: &mut impl Iterator<Item = &'a Tensor>) {
            match arg {
                ArgValue::Operand(o) => o.known = tensors.next().cloned(),
                ArgValue::List(items) => items.iter_mut().for_each(|a| fill(a, tensors)),
                ArgValue::Const(_) => {}
            }
        }
        self.items.iter_mut().flatten().for_each(|a| fill(a, tensors));
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
    const KIND: ParamKind = ParamKind::Value;
    /// The texts of an enumeration's numbers.
    const TEXTS: &'static [(i64, &'static str)] = &[];

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

/// `constant` as type `T` has it; see [`Param::canonical`].
pub fn canonical<T: FromArg>(constant: &Const) -> Option<Const> {
    T::from_arg(&ArgValue::Const(constant.clone())).ok()??.into_const()
}
