//! What every operator says.

use std::fmt;

use super::{Args, Const, Param};
use crate::onnx::{Emit, Forms};
use crate::task::{Lowering, V};
use crate::{Fact, OpError, Tensor};

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

impl OpDef {
    /// Whether files call it `name`.
    pub fn is_called(&self, name: &str) -> bool {
        self.name == name || self.aliases.contains(&name)
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
