//! What a name of the file stands for while a graph is built.

use std::rc::Rc;

use mindir_graph::graph::ValueId;
use mindir_graph::op::Const;

use super::fault::GraphFault;
use super::literal::Literal;

/// Tuples in tuples and functions in functions.
const DEEPEST: u32 = 64;
/// Parts of one tuple or function, parts of parts included.
const LARGEST: usize = 1 << 16;

/// What a name stands for.
#[derive(Clone, Debug)]
pub(super) enum Sym {
    /// A tensor of the graph under construction.
    Value(ValueId),
    /// A parameter itself.
    Param(usize),
    /// What an operator returned that wrote a parameter: as a value its contents then, as a place the parameter.
    Written {
        param: usize,
        value: ValueId,
    },
    /// Anything but a tensor.
    Const(Rc<Const>),
    /// The constant tensor with this number.
    Tensor(usize),
    Tuple(Rc<Tuple>),
    /// An effect token.
    Token,
    Function(Rc<Function>),
}

#[derive(Debug)]
pub(super) struct Tuple {
    pub items: Vec<Sym>,
    size: Size,
}

#[derive(Debug)]
pub(super) struct Function {
    pub kind: FunctionKind,
    size: Size,
}

#[derive(Debug)]
pub(super) enum FunctionKind {
    /// A graph with its leading arguments.
    Graph { graph: usize, bound: Vec<Sym> },
    /// One of two functions, chosen at run time.
    Switch { condition: Sym, then: Rc<Function>, otherwise: Rc<Function> },
    /// One of several functions, counted at run time.
    Select { index: Sym, branches: Vec<Rc<Function>> },
}

/// How much a tuple or function holds when everything shared is counted as often as it is reached.
#[derive(Clone, Copy, Debug, Default)]
struct Size {
    depth: u32,
    parts: usize,
}

impl Size {
    fn add(&mut self, part: Size) {
        self.depth = self.depth.max(part.depth);
        self.parts = self.parts.saturating_add(part.parts).saturating_add(1);
    }

    fn wrap(self, what: &'static str) -> Result<Size, GraphFault> {
        let size = Size { depth: self.depth + 1, parts: self.parts };
        if size.depth > DEEPEST || size.parts > LARGEST { Err(GraphFault::Excess(what)) } else { Ok(size) }
    }
}

impl Sym {
    pub(super) fn constant(value: Const) -> Sym {
        Sym::Const(Rc::new(value))
    }

    pub(super) fn tuple(items: Vec<Sym>) -> Result<Sym, GraphFault> {
        let mut size = Size::default();
        items.iter().for_each(|item| size.add(item.size()));
        Ok(Sym::Tuple(Rc::new(Tuple { items, size: size.wrap("tuples")? })))
    }

    /// A value of the file; its tensors get the next numbers.
    pub(super) fn literal(
        value: Literal,
        number: &mut impl FnMut(mindir_graph::Tensor) -> usize,
    ) -> Result<Sym, GraphFault> {
        Ok(match value {
            Literal::Const(value) => Sym::constant(value),
            Literal::Tensor(tensor) => Sym::Tensor(number(tensor)),
            Literal::Token => Sym::Token,
            Literal::Tuple(items) => {
                let items: Result<Vec<_>, _> = items.into_iter().map(|item| Sym::literal(item, number)).collect();
                Sym::tuple(items?)?
            }
        })
    }

    /// Number of parts, at least one.
    pub(super) fn parts(&self) -> usize {
        self.size().parts.max(1)
    }

    fn size(&self) -> Size {
        match self {
            Sym::Tuple(tuple) => tuple.size,
            Sym::Function(function) => function.size,
            _ => Size::default(),
        }
    }

    /// What it is, for messages.
    pub(super) fn describe(&self) -> &'static str {
        match self {
            Sym::Value(_) | Sym::Tensor(_) | Sym::Written { .. } => "a tensor",
            Sym::Param(_) => "a parameter",
            Sym::Tuple(_) => "a tuple",
            Sym::Token => "an effect token",
            Sym::Function(_) => "a function",
            Sym::Const(value) => match **value {
                Const::None => "None",
                Const::Str(_) => "text",
                Const::Tuple(_) => "a constant tuple",
                Const::DType(_) => "an element type",
                _ => "a number",
            },
        }
    }

    pub(super) fn function(self) -> Result<Rc<Function>, GraphFault> {
        match self {
            Sym::Function(function) => Ok(function),
            other => Err(GraphFault::Kind { expected: "a function", found: other.describe() }),
        }
    }
}

impl Function {
    pub(super) fn new(kind: FunctionKind) -> Result<Rc<Function>, GraphFault> {
        let mut size = Size::default();
        match &kind {
            FunctionKind::Graph { bound, .. } => bound.iter().for_each(|sym| size.add(sym.size())),
            FunctionKind::Switch { condition, then, otherwise } => {
                [condition.size(), then.size, otherwise.size].into_iter().for_each(|part| size.add(part));
            }
            FunctionKind::Select { index, branches } => {
                size.add(index.size());
                branches.iter().for_each(|branch| size.add(branch.size));
            }
        }
        Ok(Rc::new(Function { kind, size: size.wrap("function values")? }))
    }

    /// The function with more leading arguments.
    pub(super) fn bind(self: &Rc<Function>, args: &[Sym]) -> Result<Rc<Function>, GraphFault> {
        Function::new(match &self.kind {
            FunctionKind::Graph { graph, bound } => {
                FunctionKind::Graph { graph: *graph, bound: bound.iter().chain(args).cloned().collect() }
            }
            FunctionKind::Switch { condition, then, otherwise } => FunctionKind::Switch {
                condition: condition.clone(),
                then: then.bind(args)?,
                otherwise: otherwise.bind(args)?,
            },
            FunctionKind::Select { index, branches } => {
                let branches: Result<Vec<_>, _> = branches.iter().map(|branch| branch.bind(args)).collect();
                FunctionKind::Select { index: index.clone(), branches: branches? }
            }
        })
    }

    /// Number of parts, at least one.
    pub(super) fn parts(&self) -> usize {
        self.size.parts.max(1)
    }
}
