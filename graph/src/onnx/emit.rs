//! What operators write their ONNX form with.

use std::collections::HashMap;

use super::body::Book;
use super::types::Type;
use super::{Attr, Edge, NoForm, data_type, no_form};
use crate::op::{ArgValue, Args, FromArg, Ints, Operand};
use crate::task::V;
use crate::{DType, Tensor};

/// Attributes by name.
pub(crate) type Attrs = Vec<(&'static str, Attr)>;

/// A length along one dimension that a mapping asks for.
#[derive(Clone, Debug)]
pub enum Size {
    /// A number.
    Fixed(i64),
    /// The length of a dimension of an operand.
    Of(Operand, usize),
}

/// Records of one node of a model.
#[derive(Debug)]
pub struct Emit<'a> {
    pub(super) book: &'a mut Book,
    pub(super) args: &'a Args,
    /// Edges of the arguments' values.
    pub(super) edges: HashMap<V, Edge>,
    pub(super) opset: i64,
}

impl Emit<'_> {
    /// The operator set that is written.
    pub fn opset(&self) -> i64 {
        self.opset
    }

    /// The edge of an operand; a known one becomes a constant.
    ///
    /// # Errors
    /// [`NoForm`] for a parameter that the model writes.
    pub fn edge(&mut self, x: &Operand) -> Result<Edge, NoForm> {
        if let Some(&edge) = self.edges.get(&x.v) {
            return Ok(edge);
        }
        match &x.known {
            Some(t) => Ok(self.book.constant(t.clone())),
            None => no_form("it reads a parameter that the model writes; ONNX models keep no state"),
        }
    }

    /// The edges of several operands.
    ///
    /// # Errors
    /// As [`Emit::edge`].
    pub fn all(&mut self, xs: &[Operand]) -> Result<Vec<Edge>, NoForm> {
        xs.iter().map(|x| self.edge(x)).collect()
    }

    /// The edge of an optional operand.
    ///
    /// # Errors
    /// As [`Emit::edge`].
    pub fn option(&mut self, x: &Option<Operand>) -> Result<Option<Edge>, NoForm> {
        x.as_ref().map(|x| self.edge(x)).transpose()
    }

    /// A constant.
    pub fn constant(&mut self, tensor: Tensor) -> Edge {
        self.book.constant(tensor)
    }

    /// A constant of rank 0.
    ///
    /// # Errors
    /// [`NoForm`] for complex types.
    pub fn number(&mut self, dtype: DType, value: f64) -> Result<Edge, NoForm> {
        Ok(self.book.constant(Tensor::from_f64s(dtype, &[], &[value])?))
    }

    /// A constant vector of `i64`.
    pub fn vector(&mut self, values: &[i64]) -> Edge {
        self.book.constant(Tensor::vector(values))
    }

    /// A node with one result.
    pub fn op(&mut self, op: &'static str, inputs: &[Edge]) -> Edge {
        self.op_with(op, inputs, Vec::new())
    }

    /// A node with attributes and one result.
    pub fn op_with(&mut self, op: &'static str, inputs: &[Edge], attrs: Attrs) -> Edge {
        self.book.record_one(op, inputs.iter().copied().map(Some).collect(), attrs)
    }

    /// A node with optional operands and as many results as the type says.
    pub fn results<const N: usize>(&mut self, op: &'static str, inputs: &[Option<Edge>], attrs: Attrs) -> [Edge; N] {
        let outputs = std::array::from_fn(|_| self.book.edge());
        self.book.record_as(op, used(inputs), attrs, outputs.to_vec());
        outputs
    }

    /// A node with optional operands and several results.
    pub fn op_n(&mut self, op: &'static str, inputs: &[Option<Edge>], attrs: Attrs, results: usize) -> Vec<Edge> {
        self.book.record(op, used(inputs), attrs, results)
    }

    /// `x`, of type `from`, converted.
    pub fn cast(&mut self, x: Edge, from: DType, to: DType) -> Edge {
        if from == to { x } else { self.op_with("Cast", &[x], vec![("to", i64::from(data_type(to)).into())]) }
    }

    /// An operand converted to `dtype`.
    ///
    /// # Errors
    /// As [`Emit::edge`].
    pub fn as_type(&mut self, x: &Operand, dtype: DType) -> Result<Edge, NoForm> {
        let edge = self.edge(x)?;
        Ok(self.cast(edge, x.dtype(), dtype))
    }

    /// The same elements with these dimensions; one may be −1.
    pub fn reshape(&mut self, x: Edge, dims: &[i64]) -> Edge {
        let shape = self.vector(dims);
        let zeros = if dims.contains(&0) { vec![("allowzero", 1.into())] } else { Vec::new() };
        self.op_with("Reshape", &[x, shape], zeros)
    }

    /// Dimension `i` of the result is dimension `perm[i]` of `x`.
    pub fn transpose(&mut self, x: Edge, perm: &[usize]) -> Edge {
        if perm.iter().enumerate().all(|(i, &p)| i == p) {
            return x;
        }
        self.op_with("Transpose", &[x], vec![("perm", to_i64(perm).into())])
    }

    /// Dimensions of 1 inserted; positions count in the result.
    pub fn unsqueeze(&mut self, x: Edge, axes: &[i64]) -> Edge {
        if axes.is_empty() {
            return x;
        }
        let axes = self.vector(axes);
        self.op("Unsqueeze", &[x, axes])
    }

    /// Dimensions of 1 removed.
    pub fn squeeze(&mut self, x: Edge, axes: &[i64]) -> Edge {
        if axes.is_empty() {
            return x;
        }
        let axes = self.vector(axes);
        self.op("Squeeze", &[x, axes])
    }

    /// Elements from `start` up to `end` along `axis`.
    pub fn slice(&mut self, x: Edge, axis: i64, start: i64, end: i64) -> Edge {
        let [start, end, axis] = [start, end, axis].map(|i| self.vector(&[i]));
        self.op("Slice", &[x, start, end, axis])
    }

    /// Parts of these lengths along `axis`.
    pub fn split(&mut self, x: Edge, axis: usize, sizes: &[i64]) -> Vec<Edge> {
        let lengths = self.vector(sizes);
        self.op_n("Split", &[Some(x), Some(lengths)], vec![("axis", (axis as i64).into())], sizes.len())
    }

    /// Tensors joined along `axis`; none at all are an empty vector of `i64`.
    pub fn concat(&mut self, xs: &[Edge], axis: i64) -> Edge {
        match xs {
            [] => return self.vector(&[]),
            [one] => return *one,
            _ => {}
        }
        self.op_with("Concat", xs, vec![("axis", axis.into())])
    }

    /// A reduction such as `ReduceMean` along `axes`, all of them if there are as many as dimensions.
    pub fn reduce(&mut self, op: &'static str, x: Edge, axes: &[usize], keep: bool) -> Edge {
        if axes.is_empty() {
            return x;
        }
        let keep = ("keepdims", i64::from(keep).into());
        if op == "ReduceSum" || self.opset >= 18 {
            let axes = self.vector(&to_i64(axes));
            return self.op_with(op, &[x, axes], vec![keep]);
        }
        self.op_with(op, &[x], vec![("axes", to_i64(axes).into()), keep])
    }

    /// `if_true` where `cond` holds, else `if_false`, of type `dtype`.
    pub fn select(&mut self, cond: Edge, if_true: Edge, if_false: Edge, dtype: DType) -> Edge {
        if dtype != DType::Bool {
            return self.op("Where", &[cond, if_true, if_false]);
        }
        let not = self.op("Not", &[cond]);
        let (a, b) = (self.op("And", &[cond, if_true]), self.op("And", &[not, if_false]));
        self.op("Or", &[a, b])
    }

    /// Whether every dimension of every operand is fixed.
    pub fn is_fixed(&self) -> bool {
        !self.args.operands().iter().any(|x| x.is_open())
    }

    /// The length of dimension `d` of `x` as a vector of one `i64`.
    ///
    /// # Errors
    /// As [`Emit::edge`].
    pub fn dim(&mut self, x: &Operand, d: usize) -> Result<Edge, NoForm> {
        if let Some(Some(n)) = x.dims().get(d) {
            return Ok(self.vector(&[*n as i64]));
        }
        let x = self.edge(x)?;
        Ok(self.op_with("Shape", &[x], vec![("start", (d as i64).into()), ("end", (d as i64 + 1).into())]))
    }

    /// A vector of `i64` with these sizes.
    ///
    /// # Errors
    /// As [`Emit::edge`].
    pub fn sizes(&mut self, sizes: &[Size]) -> Result<Edge, NoForm> {
        let fixed = |s: &Size| match s {
            Size::Fixed(n) => Some(*n),
            Size::Of(x, d) => x.dims().get(*d).copied().flatten().map(|n| n as i64),
        };
        if let Some(all) = sizes.iter().map(fixed).collect::<Option<Vec<_>>>() {
            return Ok(self.vector(&all));
        }
        let mut parts = Vec::new();
        for s in sizes {
            parts.push(match s {
                Size::Fixed(n) => self.vector(&[*n]),
                Size::Of(x, d) => self.dim(x, *d)?,
            });
        }
        Ok(self.concat(&parts, 0))
    }

    /// Every size of `x`.
    pub fn sizes_of(&self, x: &Operand) -> Vec<Size> {
        (0..x.rank()).map(|d| Size::Of(x.clone(), d)).collect()
    }

    /// `x` repeated to these sizes.
    ///
    /// # Errors
    /// As [`Emit::edge`].
    pub fn expand(&mut self, x: Edge, sizes: &[Size]) -> Result<Edge, NoForm> {
        let shape = self.sizes(sizes)?;
        Ok(self.op("Expand", &[x, shape]))
    }

    /// Argument `index`, if it is a tensor.
    pub fn operand(&self, index: usize) -> Option<&Operand> {
        match self.args.items.get(index) {
            Some(Some(ArgValue::Operand(x))) => Some(x),
            _ => None,
        }
    }

    /// Whether the contents of argument `index` are known.
    pub fn is_constant(&self, index: usize) -> bool {
        self.args.items.get(index).and_then(Option::as_ref).is_none_or(is_constant)
    }

    /// Argument `index`, a number, with rank 0 and as `dtype`: a constant, or what the model computes.
    ///
    /// # Errors
    /// As [`Emit::edge`].
    pub fn scalar(&mut self, index: usize, known: Option<f64>, dtype: DType) -> Result<Edge, NoForm> {
        match (known, self.args.items.get(index)) {
            (Some(value), _) => self.number(dtype, value),
            (None, Some(Some(ArgValue::Operand(x)))) => {
                let edge = self.as_type(&x.clone(), dtype)?;
                Ok(self.reshape(edge, &[]))
            }
            _ => no_form("a number that is computed, but no tensor"),
        }
    }

    /// Argument `index`, integers, as a vector of `i64`: a constant, or what the model computes.
    ///
    /// # Errors
    /// As [`Emit::edge`].
    pub fn ints(&mut self, index: usize, known: Option<&[i64]>) -> Result<Edge, NoForm> {
        match (known, self.args.items.get(index)) {
            (Some(values), _) => Ok(self.vector(values)),
            (None, Some(Some(arg))) => self.computed(&arg.clone()),
            _ => no_form("an argument is missing"),
        }
    }

    /// The number of elements of [`Emit::ints`], if it is known.
    pub fn length(&self, edge: Edge) -> Option<usize> {
        self.book.type_of(edge).dims?.first()?.size()
    }

    /// A result of `dtype` with the dimensions of `like` that has no form, which only matters if something reads it.
    pub fn missing(&mut self, why: &'static str, like: Edge, dtype: DType) -> Edge {
        let ty = Type { dtype: Some(dtype), dims: self.book.type_of(like).dims, contents: None };
        let edge = self.book.missing(why);
        self.book.declare(edge, ty);
        edge
    }

    fn computed(&mut self, arg: &ArgValue) -> Result<Edge, NoForm> {
        match arg {
            ArgValue::Operand(x) => {
                let edge = self.as_type(x, DType::I64)?;
                Ok(if x.rank() == 0 { self.unsqueeze(edge, &[0]) } else { edge })
            }
            ArgValue::List(items) => {
                let parts = items.iter().map(|a| self.computed(a)).collect::<Result<Vec<_>, _>>()?;
                Ok(self.concat(&parts, 0))
            }
            constant => {
                let values = Ints::from_arg(constant)?.unwrap_or_default();
                Ok(self.vector(&values))
            }
        }
    }
}

/// Whether the contents of an argument are known.
fn is_constant(arg: &ArgValue) -> bool {
    match arg {
        ArgValue::Operand(x) => x.known.is_some(),
        ArgValue::Const(_) => true,
        ArgValue::List(items) => items.iter().all(is_constant),
    }
}

/// The operands without those at the end that are left out.
fn used(inputs: &[Option<Edge>]) -> Vec<Option<Edge>> {
    let last = inputs.iter().rposition(Option::is_some);
    inputs.iter().take(last.map_or(0, |last| last + 1)).copied().collect()
}

/// Dimensions or axes as attributes hold them.
pub(crate) fn to_i64(values: &[usize]) -> Vec<i64> {
    values.iter().map(|&v| v as i64).collect()
}
