//! Running sums, products and extremes.

use super::reduction::{axes_of, dimension};
use crate::onnx::{Emit, Forms, machine, no_form};
use crate::op::{Case, Lowers, Operand, Operator, Rule};
use crate::ops::kit::broadcasting::{Groups, fact, number_of, scalars, tensor_of};
use crate::ops::kit::sample::{cycle, sample, wave};
use crate::task::{Binary, Lowering, Scalar, ScanKind};
use crate::{DType, Fact, OpError, Tensor, ensure, op};

/// `f` of every element, called in their order or in the reverse.
fn walked<T: Copy>(row: &[T], reverse: bool, f: impl FnMut(T) -> T) -> Vec<T> {
    if !reverse {
        return row.iter().copied().map(f).collect();
    }
    let mut out: Vec<T> = row.iter().rev().copied().map(f).collect();
    out.reverse();
    out
}

/// A running sum or product.
struct Running<'a> {
    x: &'a Operand,
    axis: i64,
    kind: ScanKind,
    exclusive: bool,
    reverse: bool,
    out: DType,
}

impl Running<'_> {
    fn row(&self, row: &[Scalar], d: DType) -> Vec<Scalar> {
        let (f, first) = match self.kind {
            ScanKind::Sum => (Binary::Add, 0.0),
            ScanKind::Prod => (Binary::Mul, 1.0),
        };
        let mut sum = if d.is_float() { Scalar::Float(first) } else { Scalar::Int(first as i64) };
        walked(row, self.reverse, |x| {
            let next = f.eval(sum, x, d);
            let before = std::mem::replace(&mut sum, next);
            if self.exclusive { before } else { next }
        })
    }
}

impl Rule for Running<'_> {
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        dimension(self.x, self.axis)?;
        fact(&[self.x], self.out)
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        let axes = axes_of(self.x, self.axis)?;
        let d = number_of(self.out);
        let data = scalars(self.x.tensor()?, d)?;
        let y = Groups::new(self.x.shape(), &axes).replace(&data, Scalar::Int(0), |g| self.row(g, d))?;
        Ok(vec![tensor_of(self.out, self.x.shape(), &y)?])
    }

    fn lower(&self, b: &mut Lowering) -> Lowers {
        let x = b.cast(self.x.v, number_of(self.out));
        let Some(axis) = dimension(self.x, self.axis)? else { return Ok(None) };
        let y = b.scan(self.kind, x, axis, self.exclusive, self.reverse)?;
        Ok(Some(vec![b.cast(y, self.out)]))
    }

    fn onnx(&self, e: &mut Emit) -> Forms {
        if self.kind == ScanKind::Prod {
            return no_form("ONNX has no running product");
        }
        let d = number_of(self.out);
        let (x, wide) = (e.as_type(self.x, d)?, machine(d));
        let mut x = e.cast(x, d, wide);
        let axis = dimension(self.x, self.axis)?;
        if axis.is_none() {
            x = e.unsqueeze(x, &[0]);
        }
        let at = e.number(DType::I64, axis.unwrap_or(0) as f64)?;
        let attrs = vec![("exclusive", i64::from(self.exclusive).into()), ("reverse", i64::from(self.reverse).into())];
        let mut y = e.op_with("CumSum", &[x, at], attrs);
        if axis.is_none() {
            y = e.squeeze(y, &[0]);
        }
        Ok(Some(vec![e.cast(y, wide, self.out)]))
    }
}

fn cases(mild: bool) -> Vec<Case> {
    let x = |d: DType, dims: &[usize]| if mild { cycle(d, dims, &[1.0, -1.5, 0.5, 2.0]) } else { wave(d, dims) };
    vec![
        sample().arg(x(DType::F32, &[3, 17])).int(-1).case("last"),
        sample().arg(x(DType::F32, &[5, 3])).int(0).case("first"),
        sample().arg(x(DType::I32, &[3, 5])).int(1).exact("i32"),
        sample().arg(x(DType::F32, &[])).int(0).exact("scalar"),
    ]
}

macro_rules! running {
    ($($(#[doc = $doc:literal])+ $name:ident($x:ident) = $kind:ident;)*) => {$(
        op! {
            $(#[doc = $doc])+
            $name { $x: Operand, axis: i64, exclusive: bool = false, reverse: bool = false }
        }

        impl Operator for $name {
            fn rule(&self) -> Result<impl Rule, OpError> {
                let (kind, exclusive, reverse) = (ScanKind::$kind, self.exclusive, self.reverse);
                Ok(Running { x: &self.$x, axis: self.axis, kind, exclusive, reverse, out: self.$x.dtype() })
            }

            fn cases() -> Vec<Case> {
                let mut out = cases(ScanKind::$kind == ScanKind::Prod);
                let x = || cycle(DType::F32, &[2, 3, 4], &[1.0, -1.5, 0.5, 2.0]);
                out.push(sample().arg(x()).int(1).flag(true).case("exclusive"));
                out.push(sample().arg(x()).int(-2).flag(false).flag(true).case("backwards"));
                out.push(sample().arg(x()).int(2).flag(true).flag(true).case("exclusive backwards"));
                out
            }
        }
    )*};
}

running! {
    /// Running sums along `axis`, in the type of the operand. `exclusive`: without the element itself. `reverse`: from the end.
    CumSum(input) = Sum;
    /// Running products along `axis`, in the type of the operand. `exclusive`: without the element itself. `reverse`: from the
    /// end.
    CumProd(x) = Prod;
}

op! {
    /// Running sums along `dim`, in `dtype`; without it integers and `bool` give `i64`, floats keep their type.
    CumsumExt { input: Operand, dim: i64, dtype: Option<DType> = None }
}

impl Operator for CumsumExt {
    fn rule(&self) -> Result<impl Rule, OpError> {
        let d = self.input.dtype();
        let out = self.dtype.unwrap_or(if d.is_float() { d } else { DType::I64 });
        Ok(Running { x: &self.input, axis: self.dim, kind: ScanKind::Sum, exclusive: false, reverse: false, out })
    }

    fn cases() -> Vec<Case> {
        let mut out = cases(false);
        out.push(sample().arg(wave(DType::I32, &[3, 5])).int(1).dtype(DType::F32).case("converted"));
        out
    }
}

op! {
    /// Logarithms of running sums of exponentials along `axis`. `exclusive`: without the element itself, which leaves the lowest
    /// finite number at the start. `reverse`: from the end. Floats.
    classic CumulativeLogsumexp { x: Operand, axis: i64 as Input, exclusive: bool = false, reverse: bool = false }
}

impl Rule for CumulativeLogsumexp {
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        ensure!(self.x.dtype().is_float(), "expected floats, found {}", self.x.fact);
        dimension(&self.x, self.axis)?;
        fact(&[&self.x], self.x.dtype())
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        let axes = axes_of(&self.x, self.axis)?;
        let (d, dims) = (self.x.dtype(), self.x.shape());
        let lowest = match d {
            DType::F16 => f64::from(half::f16::MIN),
            DType::BF16 => f64::from(half::bf16::MIN),
            DType::F32 => f64::from(f32::MIN),
            _ => f64::MIN,
        };
        let row = |row: &[f64]| {
            let (mut max, mut sum) = (f64::NEG_INFINITY, 0.0);
            walked(row, self.reverse, |x| {
                let before = if sum == 0.0 { lowest } else { max + f64::ln(sum) };
                let next = f64::max(max, x);
                let kept = if max == next { sum } else { sum * (max - next).exp() };
                sum = kept + if x == next { 1.0 } else { (x - next).exp() };
                max = next;
                if self.exclusive { before } else { max + sum.ln() }
            })
        };
        let y = Groups::new(dims, &axes).replace(&self.x.f64s()?, 0.0, row)?;
        Ok(vec![Tensor::from_f64s(d, dims, &y)?])
    }

    fn onnx(&self, _: &mut Emit) -> Forms {
        no_form("ONNX has no running logarithm of sums")
    }

    fn cases() -> Vec<Case> {
        let x = || wave(DType::F32, &[2, 3, 4]);
        vec![
            sample().arg(x()).int(-1).case("last"),
            sample().arg(x()).int(1).flag(true).case("exclusive"),
            sample().arg(x()).int(0).flag(false).flag(true).case("backwards"),
            sample().arg(cycle(DType::F32, &[5], &[f64::NEG_INFINITY, 1.0, f64::INFINITY])).int(0).case("infinite"),
        ]
    }
}

/// The last largest (or smallest) elements so far and their positions; a NaN stays.
struct Extremes<'a> {
    x: &'a Operand,
    axis: i64,
    smallest: bool,
    index: DType,
}

impl Extremes<'_> {
    fn row(&self, row: &[Scalar], d: DType) -> Vec<(Scalar, i64)> {
        let beats = if self.smallest { Binary::Lt } else { Binary::Gt };
        let keeps =
            |best: Scalar, x: Scalar| best.as_f64().is_nan() || !x.as_f64().is_nan() && beats.eval(best, x, d).truth();
        let mut out: Vec<(Scalar, i64)> = Vec::with_capacity(row.len());
        for (i, &x) in row.iter().enumerate() {
            out.push(match out.last() {
                Some(&best) if keeps(best.0, x) => best,
                _ => (x, i as i64),
            });
        }
        out
    }
}

impl Rule for Extremes<'_> {
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        dimension(self.x, self.axis)?;
        fact(&[self.x], self.x.dtype())?;
        Ok(vec![self.x.fact.clone(), Fact::new(self.index, self.x.shape())])
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        let axes = axes_of(self.x, self.axis)?;
        let (d, dims) = (self.x.dtype(), self.x.shape());
        let data = scalars(self.x.tensor()?, d)?;
        let y = Groups::new(dims, &axes).replace(&data, (Scalar::Int(0), 0), |g| self.row(g, d))?;
        let (value, index): (Vec<Scalar>, Vec<i64>) = y.into_iter().unzip();
        Ok(vec![tensor_of(d, dims, &value)?, Tensor::from_i64s(self.index, dims, &index)?])
    }

    fn onnx(&self, _: &mut Emit) -> Forms {
        no_form("ONNX has no running extreme")
    }
}

macro_rules! extremes {
    ($($(#[doc = $doc:literal])+ $name:ident $([$alias:literal])? ($axis:ident [$old:literal]) = $smallest:literal, $index:ident;)*) => {$(
        op! {
            $(#[doc = $doc])+
            $name $(, aliases [$alias])? { input: Operand, $axis [$old]: i64 }
        }

        impl Operator for $name {
            fn rule(&self) -> Result<impl Rule, OpError> {
                Ok(Extremes { x: &self.input, axis: self.$axis, smallest: $smallest, index: DType::$index })
            }

            fn cases() -> Vec<Case> {
                vec![
                    sample().arg(wave(DType::F32, &[3, 17])).int(-1).exact("last"),
                    sample().arg(wave(DType::I32, &[5, 3])).int(0).exact("first"),
                    sample().arg(cycle(DType::F32, &[7], &[1.0, 5.0, 5.0, -2.0, -2.0])).int(0).exact("ties"),
                    sample().arg(cycle(DType::F32, &[4], &[3.0, f64::NAN, 9.0])).int(0).exact("NaN"),
                ]
            }
        }
    )*};
}

extremes! {
    /// Running maxima along `axis` and the positions (`i64`) of the last elements that equal them. A NaN stays.
    Cummax(axis ["dim"]) = false, I64;
    /// Running minima along `axis` and the positions (`i32`) of the last elements that equal them. A NaN stays.
    Cummin(axis ["dim"]) = true, I32;
    /// Running minima along `dim` and the positions (`i64`) of the last elements that equal them. A NaN stays.
    CumminExt(dim ["axis"]) = true, I64;
}
