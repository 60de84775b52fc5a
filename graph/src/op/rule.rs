//! What every operator says.

use std::fmt;

use super::{Args, Const, Param};
use crate::graph::Nest;
use crate::onnx::{Emit, Forms};
use crate::task::{Lowering, V};
use crate::{Fact, OpError, Tensor};

/// Whether running an operator has consequences besides its results.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effect {
    /// None: may be folded, merged or dropped.
    Pure,
    /// Writes variables.
    Writes(Writes),
    /// As [`Effect::Writes`] if the constant argument of this index is true, else none; see [`crate::graph::Node::effect`].
    WritesIf(usize, Writes),
    /// Draws random numbers.
    Random,
    /// Talks to the outside, such as `Print`.
    Io,
    /// Ends the run with an error.
    Raises,
}

/// Which variables an operator writes: some of the values that its [`Rule`] gives are their new contents.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Writes {
    /// The arguments that are these variables.
    pub args: &'static [usize],
    /// The value that the first of them takes; the others take those after it.
    pub from: usize,
    /// How many values, the last ones, are written only: they are no results.
    pub hidden: usize,
}

impl Writes {
    /// `args` take the results, one each.
    pub const fn results(args: &'static [usize]) -> Writes {
        Writes { args, from: 0, hidden: 0 }
    }

    /// Each argument, and the index of the value that it takes.
    pub fn pairs(self) -> impl Iterator<Item = (usize, usize)> {
        self.args.iter().copied().zip(self.from..)
    }
}

/// How to compute what an operator writes to its first argument. The result has that argument's shape; its element type may be
/// another one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pure {
    /// By this operator of the same arguments.
    As(&'static str),
    /// By this operator, whose arguments are those with these numbers.
    Of(&'static str, &'static [usize]),
    /// The second argument, repeated to the shape of the first.
    Copy,
    /// By this operator of the same arguments, but that the second, the indices, gets a last dimension of 1.
    Rows(&'static str),
}

/// What MindSpore 2 has under a name, which decides how files hold the arguments.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A function, which takes all arguments as inputs.
    Function,
    /// A function that gives a view. On CPUs, MindSpore has the operator under no other name.
    View,
    /// An object, which takes all arguments as inputs.
    Object,
    /// An object that is made with the arguments after the tensors, which are its attributes.
    Classic,
}

impl Kind {
    /// Whether it is declared as a function.
    pub fn is_function(self) -> bool {
        matches!(self, Kind::Function | Kind::View)
    }
}

/// Another name of an operator.
#[derive(Clone, Copy, Debug)]
pub struct Alias {
    /// The name.
    pub name: &'static str,
    /// What has it.
    pub kind: Kind,
}

/// What a file has as the result of an operator.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Results {
    /// A tensor, or a tuple unless it is exactly one.
    Plain,
    /// A Python number.
    Number,
    /// A tuple of Python numbers, which one tensor stands for.
    Numbers,
    /// A tuple, even of one tensor.
    Tuple,
}

/// How elements get back from a view to where they are in the first argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Undo {
    /// By a reshape to the first argument's shape.
    Reshape,
    /// By the inverse of the permutation that is the second argument.
    Permute,
}

/// The generated half of an operator: its name and typed signature.
pub trait Signature: Sized + 'static {
    /// MindSpore's name of the primitive.
    const NAME: &'static str;
    /// What has that name.
    const KIND: Kind = Kind::Function;
    /// Other primitives with the same signature and meaning.
    const ALIASES: &'static [Alias] = &[];
    /// Arguments in MindSpore's order.
    const PARAMS: &'static [Param];
    /// Attributes that repeat an argument, and that argument.
    const COPIES: &'static [(&'static str, &'static str)] = &[];
    /// What a file has as the result.
    const RESULTS: Results = Results::Plain;
    /// What it computes, in Markdown.
    const DOC: &'static str;

    /// The arguments as typed fields.
    ///
    /// # Errors
    /// As [`Args::get`].
    fn parse(args: &Args) -> Result<Self, OpError>;
}

/// Values of the task graph; `None` asks for the reference on the host.
pub type Lowers = Result<Option<Vec<V>>, OpError>;

/// The written half of an operator: what its arguments mean. One that is a [`Rule`] is its own and has no effect; of one with an
/// effect, a reference may be the rule.
pub trait Operator: Signature {
    /// What running it changes.
    const EFFECT: Effect = Effect::Pure;
    /// How to compute what it writes to its first argument.
    const PURE: Option<Pure> = None;
    /// How to write through the view that it gives.
    const UNDO: Option<Undo> = None;

    /// What it computes of its arguments: a rule that it shares with operators that differ in their arguments only.
    /// Wrong arguments are refused here or by [`Rule::infer`].
    ///
    /// # Errors
    /// What is wrong with the arguments.
    fn rule(&self) -> Result<impl Rule, OpError>;

    /// As [`Rule::onnx`].
    ///
    /// # Errors
    /// As [`Rule::onnx`].
    fn onnx(&self, e: &mut Emit) -> Forms {
        self.rule()?.onnx(e)
    }

    /// Inputs to test it with.
    fn cases() -> Vec<Case> {
        Vec::new()
    }
}

/// What operators compute. The values are the results and, after them, what is written only; see [`Writes`].
pub trait Rule {
    /// Element types and shapes. Validates the arguments: after it, `reference` and `lower` may rely on them.
    ///
    /// # Errors
    /// What is wrong with the arguments; [`OpError::Dynamic`] if only the data tells the shape.
    fn infer(&self) -> Result<Vec<Fact>, OpError>;

    /// The values by the plain definition, with `f64` accumulation. Every operand's contents are known.
    ///
    /// # Errors
    /// What is wrong with the data.
    fn reference(&self) -> Result<Vec<Tensor>, OpError>;

    /// The values as tasks; `None` runs the reference on the host.
    ///
    /// # Errors
    /// As `infer`.
    fn lower(&self, _b: &mut Lowering) -> Lowers {
        Ok(None)
    }

    /// Whether an element of the one result follows from the elements at its place of operands that broadcast.
    fn is_elementwise(&self) -> bool {
        false
    }

    /// The results in ONNX; `None` writes the tasks that it lowers to.
    ///
    /// # Errors
    /// Why these arguments have no ONNX form.
    fn onnx(&self, _e: &mut Emit) -> Forms {
        Ok(None)
    }

    /// As [`Operator::cases`], of an operator that is its own rule.
    fn cases() -> Vec<Case>
    where
        Self: Sized,
    {
        Vec::new()
    }
}

impl<T: Signature + Rule> Operator for T {
    fn rule(&self) -> Result<impl Rule, OpError> {
        Ok(self)
    }

    fn cases() -> Vec<Case> {
        <T as Rule>::cases()
    }
}

impl<R: Rule> Rule for &R {
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        (**self).infer()
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        (**self).reference()
    }

    fn lower(&self, b: &mut Lowering) -> Lowers {
        (**self).lower(b)
    }

    fn is_elementwise(&self) -> bool {
        (**self).is_elementwise()
    }

    fn onnx(&self, e: &mut Emit) -> Forms {
        (**self).onnx(e)
    }
}

/// What is known before the model runs.
impl Rule for Tensor {
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        Ok(vec![self.fact()])
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        Ok(vec![self.clone()])
    }

    fn lower(&self, b: &mut Lowering) -> Lowers {
        Ok(Some(vec![b.constant(self.clone())]))
    }

    fn onnx(&self, e: &mut Emit) -> Forms {
        Ok(Some(vec![e.constant(self.clone())]))
    }
}

/// The values of one rule after the other.
impl<R: Rule> Rule for Vec<R> {
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        joined(self.iter().map(R::infer))
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        joined(self.iter().map(R::reference))
    }

    fn lower(&self, b: &mut Lowering) -> Lowers {
        let values: Option<Vec<_>> = self.iter().map(|rule| rule.lower(b)).collect::<Result<_, _>>()?;
        Ok(values.map(|values| values.concat()))
    }
}

fn joined<T>(parts: impl Iterator<Item = Result<Vec<T>, OpError>>) -> Result<Vec<T>, OpError> {
    Ok(parts.collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect())
}

/// One test of an operator: arguments and the error that a correct implementation stays under.
#[derive(Clone, Debug)]
pub struct Case {
    /// What is special about it.
    pub name: &'static str,
    /// Arguments in signature order; missing ones take the default.
    pub args: Vec<Option<CaseArg>>,
    /// Whether results are equal whoever computes them: nothing is rounded.
    pub exact: bool,
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

/// What is asked of a rule.
type Question<'a> = &'a mut dyn FnMut(&dyn Rule) -> Result<(), OpError>;

/// An operator: one entry of [`crate::ops::OPS`].
#[derive(Clone, Copy)]
pub struct OpDef {
    /// MindSpore's name of the primitive.
    pub name: &'static str,
    /// What has that name.
    pub kind: Kind,
    /// Other primitives with the same signature and meaning.
    pub aliases: &'static [Alias],
    /// Arguments in MindSpore's order.
    pub params: &'static [Param],
    /// Attributes that repeat an argument, and that argument.
    pub copies: &'static [(&'static str, &'static str)],
    /// What a file has as the result.
    pub results: Results,
    /// What it computes, in Markdown.
    pub doc: &'static str,
    /// What running it changes.
    pub effect: Effect,
    /// See [`Operator::PURE`].
    pub pure: Option<Pure>,
    /// See [`Operator::UNDO`].
    pub undo: Option<Undo>,
    /// See [`Operator::cases`].
    pub cases: fn() -> Vec<Case>,
    /// Shows the rule of these arguments.
    rule: fn(&Args, Question<'_>) -> Result<(), OpError>,
    onnx: fn(&Args, &mut Emit) -> Forms,
}

impl OpDef {
    /// The entry of operator `T`.
    pub const fn of<T: Operator>() -> OpDef {
        OpDef {
            name: T::NAME,
            kind: T::KIND,
            aliases: T::ALIASES,
            params: T::PARAMS,
            copies: T::COPIES,
            results: T::RESULTS,
            doc: T::DOC,
            effect: T::EFFECT,
            pure: T::PURE,
            undo: T::UNDO,
            cases: T::cases,
            rule: |args, see| see(&T::parse(args)?.rule()?),
            onnx: |args, e| T::parse(args)?.onnx(e),
        }
    }

    fn ask<A>(&self, args: &Args, mut question: impl FnMut(&dyn Rule) -> Result<A, OpError>) -> Result<A, OpError> {
        let mut answer = None;
        (self.rule)(args, &mut |rule| {
            answer = Some(question(rule)?);
            Ok(())
        })?;
        answer.ok_or_else(|| OpError::Invalid("no rule".into()))
    }

    /// See [`Rule::infer`].
    ///
    /// # Errors
    /// As [`Rule::infer`].
    pub fn infer(&self, args: &Args) -> Result<Vec<Fact>, OpError> {
        self.ask(args, |rule| rule.infer())
    }

    /// See [`Rule::reference`].
    ///
    /// # Errors
    /// As [`Rule::reference`].
    pub fn reference(&self, args: &Args) -> Result<Vec<Tensor>, OpError> {
        self.ask(args, |rule| rule.reference())
    }

    /// See [`Rule::lower`].
    ///
    /// # Errors
    /// As [`Rule::lower`].
    pub fn lower(&self, args: &Args, b: &mut Lowering) -> Lowers {
        self.ask(args, |rule| rule.lower(b))
    }

    /// See [`Rule::is_elementwise`].
    ///
    /// # Errors
    /// As [`Operator::rule`].
    pub fn is_elementwise(&self, args: &Args) -> Result<bool, OpError> {
        self.ask(args, |rule| Ok(rule.is_elementwise()))
    }

    /// See [`Rule::onnx`].
    ///
    /// # Errors
    /// As [`Rule::onnx`].
    pub fn onnx(&self, args: &Args, e: &mut Emit) -> Forms {
        (self.onnx)(args, e)
    }

    /// All its names, its own first.
    pub fn names(&self) -> impl Iterator<Item = &'static str> {
        std::iter::once(self.name).chain(self.aliases.iter().map(|alias| alias.name))
    }

    /// Whether it is one of its names.
    pub fn is_called(&self, name: &str) -> bool {
        self.names().any(|own| own == name)
    }

    /// What has `name`, which is one of its names.
    pub fn kind_of(&self, name: &str) -> Kind {
        self.aliases.iter().find(|alias| alias.name == name).map_or(self.kind, |alias| alias.kind)
    }

    /// The name by which MindSpore runs it on CPUs.
    pub fn written(&self) -> &'static str {
        self.aliases.iter().find(|alias| alias.kind == Kind::View).map_or(self.name, |alias| alias.name)
    }

    /// How `count` results nest in a file that holds it under its own name.
    pub fn nest(&self, count: usize) -> Nest {
        match self.results {
            Results::Number => Nest::Number,
            Results::Numbers => Nest::Numbers,
            Results::Tuple => Nest::Tuple(vec![Nest::Leaf; count]),
            Results::Plain => Nest::results(count),
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
