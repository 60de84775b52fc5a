//! Test inputs for operators.

use crate::op::{Case, CaseArg, Const};
use crate::{DType, Tensor, count};

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
    fn push(mut self, arg: CaseArg) -> Sample {
        self.args.push(Some(arg));
        self
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
        self.push(CaseArg::Tensor(tensor))
    }

    /// Integers as a tensor.
    pub fn index(self, dtype: DType, dims: &[usize], values: &[i64]) -> Sample {
        self.data(Tensor::from_i64s(dtype, dims, values).unwrap_or_else(|_| Tensor::vector::<i64>(&[])))
    }

    /// A tuple of tensors with these shapes.
    pub fn tensors(mut self, dtype: DType, shapes: &[&[usize]]) -> Sample {
        let tensors = shapes.iter().zip(self.seed + 1..).map(|(dims, seed)| scattered(dtype, dims, seed)).collect();
        self.seed += shapes.len() as u64;
        self.push(CaseArg::Tensors(tensors))
    }

    pub fn int(self, value: i64) -> Sample {
        self.push(CaseArg::Const(Const::Int(value)))
    }

    pub fn ints(self, values: &[i64]) -> Sample {
        self.push(CaseArg::Const(Const::Tuple(values.iter().map(|&v| Const::Int(v)).collect())))
    }

    pub fn real(self, value: f32) -> Sample {
        self.push(CaseArg::Const(Const::Float(value)))
    }

    pub fn reals(self, values: &[f32]) -> Sample {
        self.push(CaseArg::Const(Const::Tuple(values.iter().map(|&v| Const::Float(v)).collect())))
    }

    pub fn flag(self, value: bool) -> Sample {
        self.push(CaseArg::Const(Const::Bool(value)))
    }

    pub fn text(self, value: &str) -> Sample {
        self.push(CaseArg::Const(Const::Str(value.into())))
    }

    /// Python's `None`.
    pub fn none(self) -> Sample {
        self.push(CaseArg::Const(Const::None))
    }

    /// An argument that is left out.
    pub fn skip(mut self) -> Sample {
        self.args.push(None);
        self
    }

    /// The case with these arguments.
    pub fn case(self, name: &'static str, tolerance: f64) -> Case {
        Case { name, args: self.args, tolerance }
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
