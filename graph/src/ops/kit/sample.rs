//! Arguments for the operators' test cases.

use super::complex::{Complex64, complex_tensor};
#[cfg(test)]
use crate::op::Signature;
use crate::op::{ArgValue, Args, Case, CaseArg, Const, Operand};
use crate::task::V;
use crate::{DType, OpError, Tensor, count};

/// Arguments of a [`Case`], in signature order.
#[derive(Clone, Default)]
pub(in crate::ops) struct Sample {
    args: Vec<Option<CaseArg>>,
    seed: u64,
}

/// No arguments yet.
pub(in crate::ops) fn sample() -> Sample {
    Sample::default()
}

impl Sample {
    /// This argument.
    pub fn arg(mut self, arg: CaseArg) -> Sample {
        self.args.push(Some(arg));
        self
    }

    /// These arguments.
    pub fn args(self, args: impl IntoIterator<Item = CaseArg>) -> Sample {
        args.into_iter().fold(self, Sample::arg)
    }

    /// A tensor of small numbers of both signs: about −1 to 1 for floats, −4 to 4 for integers.
    pub fn tensor(mut self, dtype: DType, dims: &[usize]) -> Sample {
        self.seed += 1;
        let data = scattered(dtype, dims, self.seed);
        self.data(data)
    }

    /// A tensor of numbers from 0.5 to 1.5.
    pub fn positive(mut self, dtype: DType, dims: &[usize]) -> Sample {
        self.seed += 1;
        let data: Vec<f64> = uniform(count(dims), self.seed).iter().map(|u| 0.5 + u).collect();
        self.data(Tensor::from_f64s(dtype, dims, &data).unwrap_or_else(|_| Tensor::vector::<f32>(&[])))
    }

    /// This tensor.
    pub fn data(self, tensor: Tensor) -> Sample {
        self.arg(CaseArg::Tensor(tensor))
    }

    /// Integers as a tensor.
    pub fn index(self, dtype: DType, dims: &[usize], values: &[i64]) -> Sample {
        self.data(Tensor::from_i64s(dtype, dims, values).unwrap_or_else(|_| Tensor::vector::<i64>(&[])))
    }

    /// A tuple of tensors with these shapes.
    pub fn tensors(mut self, dtype: DType, shapes: &[&[usize]]) -> Sample {
        let tensors = shapes.iter().zip(self.seed + 1..).map(|(dims, seed)| scattered(dtype, dims, seed)).collect();
        self.seed += shapes.len() as u64;
        self.arg(CaseArg::Tensors(tensors))
    }

    pub fn int(self, value: i64) -> Sample {
        self.arg(CaseArg::from(value))
    }

    pub fn ints(self, values: &[i64]) -> Sample {
        self.arg(CaseArg::from(values))
    }

    pub fn real(self, value: f32) -> Sample {
        self.arg(CaseArg::from(value))
    }

    pub fn reals(self, values: &[f32]) -> Sample {
        self.arg(CaseArg::Const(Const::Tuple(values.iter().map(|&v| Const::Float(v)).collect())))
    }

    pub fn flag(self, value: bool) -> Sample {
        self.arg(CaseArg::from(value))
    }

    pub fn text(self, value: &str) -> Sample {
        self.arg(CaseArg::from(value))
    }

    /// An element type.
    pub fn dtype(self, dtype: DType) -> Sample {
        self.int(dtype.type_id())
    }

    /// Python's `None`.
    pub fn none(self) -> Sample {
        self.arg(CaseArg::from(Const::None))
    }

    /// An argument that is left out.
    pub fn skip(mut self) -> Sample {
        self.args.push(None);
        self
    }

    /// The operator of these arguments, whose contents are known.
    #[cfg(test)]
    pub fn operator<T: Signature>(self) -> Result<T, OpError> {
        facts(&self.case(T::NAME), T::parse)
    }

    /// The case with these arguments.
    pub fn case(self, name: &'static str) -> Case {
        Case { name, args: self.args, exact: false }
    }

    /// The case with these arguments, whose results are equal whoever computes them.
    pub fn exact(self, name: &'static str) -> Case {
        Case { name, args: self.args, exact: true }
    }
}

fn scattered(dtype: DType, dims: &[usize], seed: u64) -> Tensor {
    let values = uniform(count(dims), seed);
    let made = if dtype.is_float() {
        Tensor::from_f64s(dtype, dims, &values.iter().map(|u| 2.0 * u - 1.0).collect::<Vec<_>>())
    } else if dtype.is_complex() {
        Tensor::from_bytes(dtype, dims, vec![1; count(dims) * dtype.size()].into())
    } else {
        let low =
            if matches!(dtype, DType::Bool | DType::U8 | DType::U16 | DType::U32 | DType::U64) { 0.0 } else { -4.0 };
        let high = if dtype == DType::Bool { 2.0 } else { 5.0 };
        let values: Vec<i64> = values.iter().map(|u| (low + u * (high - low)).floor() as i64).collect();
        Tensor::from_i64s(dtype, dims, &values)
    };
    made.unwrap_or_else(|_| Tensor::vector::<f32>(&[]))
}

/// Numbers from 0 to 1 that depend on `seed` only.
fn uniform(n: usize, seed: u64) -> Vec<f64> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15);
    let mut next = || {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (state >> 40) as f64 / (1u64 << 24) as f64
    };
    (0..n).map(|_| next()).collect()
}

/// A tensor of `dims` with element `i` from `f(i)`.
pub(in crate::ops) fn filled(dtype: DType, dims: &[usize], f: impl Fn(usize) -> f64) -> CaseArg {
    let data: Vec<f64> = (0..count(dims)).map(f).collect();
    CaseArg::Tensor(Tensor::from_f64s(dtype, dims, &data).unwrap_or_else(|_| Tensor::scalar(0.0f32)))
}

/// A tensor of `dims` whose elements walk through `values`.
pub(in crate::ops) fn cycle(dtype: DType, dims: &[usize], values: &[f64]) -> CaseArg {
    filled(dtype, dims, |i| values.get(i % values.len().max(1)).copied().unwrap_or(0.0))
}

/// A tensor of `dims` with distinct-looking numbers between −3 and 3.
pub(in crate::ops) fn wave(dtype: DType, dims: &[usize]) -> CaseArg {
    filled(dtype, dims, |i| f64::from((i * 37 % 101) as u32) * 0.06 - 3.0)
}

/// A tensor of `dims` with numbers from `low` to `high`.
pub(in crate::ops) fn between(dtype: DType, dims: &[usize], low: f64, high: f64) -> CaseArg {
    filled(dtype, dims, |i| low + f64::from((i * 37 % 101) as u32) * (high - low) / 100.0)
}

/// A complex tensor of `dims` with distinct-looking parts between −3 and 3.
pub(in crate::ops) fn complex(dtype: DType, dims: &[usize]) -> CaseArg {
    let part = |i: usize| f64::from((i * 37 % 101) as u32) * 0.06 - 3.0;
    let data: Vec<_> = (0..count(dims)).map(|i| Complex64::new(part(i), part(3 * i + 7))).collect();
    CaseArg::Tensor(complex_tensor(dtype, dims, &data).unwrap_or_else(|_| Tensor::scalar(0.0f32)))
}

/// A `bool` tensor of `dims`.
pub(in crate::ops) fn flags(dims: &[usize]) -> CaseArg {
    filled(DType::Bool, dims, |i| f64::from(u8::from(i * 7 % 5 > 1)))
}

impl<C: Into<Const>> From<C> for CaseArg {
    fn from(c: C) -> CaseArg {
        CaseArg::Const(c.into())
    }
}

/// What `infer` says of a case's arguments with known contents.
pub(in crate::ops) fn facts<R>(case: &Case, infer: impl Fn(&Args) -> Result<R, OpError>) -> Result<R, OpError> {
    let operand = |t: &Tensor| ArgValue::Operand(Operand { v: V(0), fact: t.fact().into(), known: Some(t.clone()) });
    let arg = |arg: &CaseArg| match arg {
        CaseArg::Tensor(t) => operand(t),
        CaseArg::Tensors(ts) => ArgValue::List(ts.iter().map(operand).collect()),
        CaseArg::Const(c @ (Const::Int(_) | Const::Float(_) | Const::Bool(_))) => {
            c.tensor().map_or(ArgValue::Const(c.clone()), |t| operand(&t))
        }
        CaseArg::Const(c) => ArgValue::Const(c.clone()),
    };
    infer(&Args { op: case.name, items: case.args.iter().map(|a| a.as_ref().map(arg)).collect() })
}
