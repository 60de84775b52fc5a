//! Positions of the largest and smallest elements.

use super::reduction::{position, reduced};
use crate::onnx::{Edge, Emit, Forms, NoForm};
use crate::op::{Case, Lowers, Operand, Rule};
use crate::ops::kit::broadcasting::{Groups, fact, number_of, scalars, tensor_of};
use crate::ops::kit::sample::{sample, wave};
use crate::task::{Lowering, ReduceKind};
use crate::{DType, Fact, OpError, Tensor, ensure, op};

/// The dimension that `axis` names, which must not be empty; a scalar has axis 0.
fn dimension(x: &Operand, axis: i64) -> Result<Option<usize>, OpError> {
    if x.rank() == 0 && matches!(axis, 0 | -1) {
        return Ok(None);
    }
    let d = x.axis(axis)?;
    ensure!(x.dims()[d] != Some(0), "expected at least one element along axis {axis}, found {}", x.fact);
    Ok(Some(d))
}

/// Which extreme, along which axis, and the type of its position.
struct Extreme<'a> {
    x: &'a Operand,
    axis: i64,
    keep: bool,
    smallest: bool,
    index: DType,
}

impl Extreme<'_> {
    /// The position and the element of `x`.
    fn onnx(&self, e: &mut Emit, x: Edge) -> Result<[Edge; 2], NoForm> {
        let (d, axes) = (self.x.dtype(), self.axes()?);
        let kinds = [[ReduceKind::ArgMax, ReduceKind::Max], [ReduceKind::ArgMin, ReduceKind::Min]];
        let kinds = kinds[usize::from(self.smallest)];
        if axes.is_empty() {
            return Ok([e.constant(Tensor::from_i64s(self.index, &[], &[0])?), x]);
        }
        let at = crate::onnx::reduce(e, kinds[0], x, &axes, self.keep, d, self.index);
        let of = crate::onnx::reduce(e, kinds[1], x, &axes, self.keep, d, d);
        Ok([at, of])
    }

    fn axes(&self) -> Result<Vec<usize>, OpError> {
        Ok(dimension(self.x, self.axis)?.into_iter().collect())
    }

    /// Facts of the position and of the element.
    fn infer(&self) -> Result<[Fact; 2], OpError> {
        fact(&[self.x], self.index)?;
        ensure!(matches!(self.index, DType::I32 | DType::I64), "expected i32 or i64 positions, found {}", self.index);
        let shape = reduced(self.x.shape(), &self.axes()?, self.keep);
        Ok([Fact { dtype: self.index, shape: shape.clone() }, Fact { dtype: self.x.dtype(), shape }])
    }

    /// The position and the element.
    fn reference(&self) -> Result<[Tensor; 2], OpError> {
        let [at, of] = self.infer()?;
        let data = scalars(self.x.tensor()?, self.x.dtype())?;
        let groups = Groups::new(self.x.shape(), &self.axes()?);
        let index = groups.map(&data, |g| position(g, self.smallest) as i64)?;
        let value = groups.map(&data, |g| g[position(g, self.smallest)])?;
        Ok([Tensor::from_i64s(at.dtype, &at.shape, &index)?, tensor_of(of.dtype, &of.shape, &value)?])
    }

    fn lower(&self, element: bool, b: &mut Lowering) -> Result<[crate::task::V; 2], OpError> {
        let axes = self.axes()?;
        let kinds = [[ReduceKind::ArgMax, ReduceKind::Max], [ReduceKind::ArgMin, ReduceKind::Min]];
        let [at, of] = kinds[usize::from(self.smallest)];
        let x = b.cast(self.x.v, number_of(self.x.dtype()));
        let index = b.reduce(at, x, &axes, self.keep, self.index)?;
        if !element {
            return Ok([index, index]);
        }
        let value = b.reduce(of, x, &axes, self.keep, self.index)?;
        Ok([index, b.cast(value, self.x.dtype())])
    }
}

macro_rules! position {
    ($($(#[doc = $doc:literal])+ $name:ident($x:ident) = $smallest:literal;)*) => {$(
        op! {
            $(#[doc = $doc])+
            $name { $x: Operand, axis: i64 = -1, output_type: DType = DType::I32 }
        }

        impl $name {
            fn extreme(&self) -> Extreme<'_> {
                Extreme { x: &self.$x, axis: self.axis, keep: false, smallest: $smallest, index: self.output_type }
            }
        }

        impl Rule for $name {
            fn infer(&self) -> Result<Vec<Fact>, OpError> {
                let [index, _] = self.extreme().infer()?;
                Ok(vec![index])
            }

            fn reference(&self) -> Result<Vec<Tensor>, OpError> {
                let [index, _] = self.extreme().reference()?;
                Ok(vec![index])
            }

            fn lower(&self, b: &mut Lowering) -> Lowers {
                let [index, _] = self.extreme().lower(false, b)?;
                Ok(Some(vec![index]))
            }

            fn onnx(&self, e: &mut Emit) -> Forms {
                let x = e.edge(&self.$x)?;
                let [index, _] = self.extreme().onnx(e, x)?;
                Ok(Some(vec![index]))
            }

            fn cases() -> Vec<Case> {
                vec![
                    sample().arg(wave(DType::F32, &[3, 17])).exact("last"),
                    sample().arg(wave(DType::F32, &[5, 3, 2])).int(0).exact("first"),
                    sample().arg(wave(DType::F32, &[3, 5, 2])).int(1).dtype(DType::I64).exact("i64 positions"),
                    sample().arg(wave(DType::I32, &[4, 9])).int(-1).exact("ties of i32"),
                    sample().arg(wave(DType::F16, &[4, 9])).int(-1).exact("f16"),
                ]
            }
        }
    )*};
}

position! {
    /// Position of the first largest element along `axis`; the first NaN if there is one.
    Argmax(input_x) = false;
    /// Position of the first smallest element along `axis`; the first NaN if there is one.
    Argmin(x) = true;
}

macro_rules! position_of_all {
    ($($(#[doc = $doc:literal])+ $name:ident = $smallest:literal;)*) => {$(
        op! {
            $(#[doc = $doc])+
            $name { input: Operand, dim: Option<i64> = None, keepdim: bool = false }
        }

        impl $name {
            /// The operand, flattened for all dimensions.
            fn flat(&self) -> Result<Operand, OpError> {
                let mut x = self.input.clone();
                if self.dim.is_none() {
                    x.fact = Fact::new(x.dtype(), &[x.count()]).into();
                    x.known = x.known.map(|t| t.reshape(&x.fact.shape)).transpose()?;
                }
                Ok(x)
            }

            fn shape(&self, found: &Fact) -> Vec<usize> {
                if self.dim.is_none() && self.keepdim { vec![1; self.input.rank()] } else { found.shape.to_vec() }
            }

            fn extreme<'a>(&self, x: &'a Operand) -> Extreme<'a> {
                let keep = self.keepdim && self.dim.is_some();
                Extreme { x, axis: self.dim.unwrap_or(0), keep, smallest: $smallest, index: DType::I64 }
            }
        }

        impl Rule for $name {
            fn infer(&self) -> Result<Vec<Fact>, OpError> {
                let x = self.flat()?;
                let [index, _] = self.extreme(&x).infer()?;
                Ok(vec![Fact::new(DType::I64, &self.shape(&index))])
            }

            fn reference(&self) -> Result<Vec<Tensor>, OpError> {
                let x = self.flat()?;
                let [index, _] = self.extreme(&x).reference()?;
                Ok(vec![index.reshape(&self.shape(&index.fact()))?])
            }

            fn lower(&self, b: &mut Lowering) -> Lowers {
                let mut x = self.flat()?;
                x.v = b.reshape(x.v, &x.fact.shape)?;
                let [index, _] = self.extreme(&x).lower(false, b)?;
                let dims = self.shape(&b.fact(index).clone());
                Ok(Some(vec![b.reshape(index, &dims)?]))
            }

            fn onnx(&self, e: &mut Emit) -> Forms {
                let mut edge = e.edge(&self.input)?;
                if self.dim.is_none() {
                    edge = e.reshape(edge, &[-1]);
                }
                // Of a flattened operand only the element type counts.
                let [mut index, _] = self.extreme(&self.input).onnx(e, edge)?;
                if self.dim.is_none() && self.keepdim {
                    index = e.unsqueeze(index, &(0..self.input.rank() as i64).collect::<Vec<_>>());
                }
                Ok(Some(vec![index]))
            }

            fn cases() -> Vec<Case> {
                vec![
                    sample().arg(wave(DType::F32, &[3, 17])).int(-1).exact("last"),
                    sample().arg(wave(DType::F32, &[3, 5, 2])).int(1).flag(true).exact("kept"),
                    sample().arg(wave(DType::F32, &[3, 5, 2])).none().exact("all"),
                    sample().arg(wave(DType::I32, &[3, 5])).none().flag(true).exact("all kept"),
                ]
            }
        }
    )*};
}

position_of_all! {
    /// Position of the first largest element along `dim`, as `i64`; `None` means of the flattened tensor.
    ArgMaxExt = false;
    /// Position of the first smallest element along `dim`, as `i64`; `None` means of the flattened tensor.
    ArgMinExt = true;
}

macro_rules! extreme {
    ($($(#[doc = $doc:literal])+ $name:ident($axis:ident = $default:literal, $keep:ident) = $smallest:literal, $order:expr;)*) => {$(
        op! {
            $(#[doc = $doc])+
            $name { input: Operand, $axis: i64 = $default, $keep: bool = false }
        }

        impl $name {
            fn extreme(&self) -> Extreme<'_> {
                Extreme { x: &self.input, axis: self.$axis, keep: self.$keep, smallest: $smallest, index: DType::I64 }
            }
        }

        impl Rule for $name {
            fn infer(&self) -> Result<Vec<Fact>, OpError> {
                let found = self.extreme().infer()?;
                Ok($order.map(|i: usize| found[i].clone()).to_vec())
            }

            fn reference(&self) -> Result<Vec<Tensor>, OpError> {
                let found = self.extreme().reference()?;
                Ok($order.map(|i: usize| found[i].clone()).to_vec())
            }

            fn lower(&self, b: &mut Lowering) -> Lowers {
                let found = self.extreme().lower(true, b)?;
                Ok(Some($order.map(|i: usize| found[i]).to_vec()))
            }

            fn onnx(&self, e: &mut Emit) -> Forms {
                let x = e.edge(&self.input)?;
                let found = self.extreme().onnx(e, x)?;
                Ok(Some($order.map(|i: usize| found[i]).to_vec()))
            }

            fn cases() -> Vec<Case> {
                vec![
                    sample().arg(wave(DType::F32, &[3, 17])).int(-1).exact("last"),
                    sample().arg(wave(DType::F32, &[3, 5, 2])).int(1).flag(true).exact("kept"),
                    sample().arg(wave(DType::I32, &[3, 5])).int(0).exact("i32"),
                ]
            }
        }
    )*};
}

extreme! {
    /// Position (`i64`) and value of the first largest element along `axis`.
    ArgMaxWithValue(axis = 0, keep_dims) = false, [0, 1];
    /// Position (`i64`) and value of the first smallest element along `axis`.
    ArgMinWithValue(axis = 0, keep_dims) = true, [0, 1];
    /// Value and position (`i64`) of the first largest element along `dim`.
    MaxDim(dim = 0, keepdim) = false, [1, 0];
    /// Value and position (`i64`) of the first smallest element along `dim`.
    MinDim(dim = 0, keepdim) = true, [1, 0];
}
