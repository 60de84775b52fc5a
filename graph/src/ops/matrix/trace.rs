//! Sums of diagonals.

use std::num::Wrapping;

use crate::op::{Case, Operand, Operator, Rule};
use crate::ops::kit::broadcasting::offsets;
use crate::ops::kit::complex::{complex_tensor, complexes, part_of};
use crate::ops::kit::defined::Defined;
use crate::ops::kit::indices::around;
use crate::ops::kit::sample::{complex, flags, sample, wave};
use crate::{DType, Fact, OpError, Shape, Strides, Tensor, dense_strides, ensure, op};

/// The sums of the diagonals of `x` of which `places` has the first elements, each of `len` elements in steps of `step`, as `dtype`;
/// integers wrap.
fn sums(
    x: &Tensor,
    dtype: DType,
    dims: &[usize],
    places: &[usize],
    len: usize,
    step: usize,
) -> Result<Tensor, OpError> {
    fn each<T: Copy + std::iter::Sum>(x: &[T], places: &[usize], len: usize, step: usize) -> Vec<T> {
        places.iter().map(|first| x.iter().skip(*first).step_by(step).take(len).copied().sum()).collect()
    }
    if dtype.is_float() || dtype.is_complex() {
        let data = if x.dtype().is_complex() { complexes(x)? } else { complexes(&x.cast(part_of(dtype))?)? };
        return complex_tensor(dtype, dims, &each(&data, places, len, step));
    }
    let data: Vec<Wrapping<i64>> = x.cast(dtype)?.to_i64s()?.into_iter().map(Wrapping).collect();
    let sums: Vec<i64> = each(&data, places, len, step).into_iter().map(|sum| sum.0).collect();
    Ok(Tensor::from_i64s(dtype, dims, &sums)?)
}

/// The rule of the sums of the diagonals `offset` above the main ones of dimensions `a` and `b`.
fn rule(
    x: &Operand,
    dtype: DType,
    offset: i64,
    [a, b]: [usize; 2],
) -> Result<Defined<impl Fn() -> Result<Vec<Tensor>, OpError>>, OpError> {
    ensure!(a != b, "expected two dimensions, found {a} twice");
    ensure!(dtype.is_complex() || !x.dtype().is_complex(), "expected a complex result, found {dtype}");
    let dims = x.shape();
    let ([_, rows, down], [_, cols, right]) = (around(dims, a)?, around(dims, b)?);
    let skip = usize::try_from(offset.unsigned_abs()).unwrap_or(usize::MAX);
    let (len, side) = if offset < 0 {
        (rows.saturating_sub(skip).min(cols), down)
    } else {
        (rows.min(cols.saturating_sub(skip)), right)
    };
    let first = if len == 0 { 0 } else { skip * side };
    let all = dims.iter().copied().zip(dense_strides(dims)).enumerate();
    let kept = all.filter(|(d, _)| *d != a && *d != b).map(|(_, side)| side);
    let (out, strides): (Shape, Strides) = kept.unzip();
    let fact = Fact { dtype, shape: out.clone() };
    let results = move || {
        let places: Vec<usize> = offsets(&out, &strides).into_iter().map(|at| at + first).collect();
        Ok(vec![sums(x.tensor()?, dtype, &out, &places, len, (down + right).max(1))?])
    };
    Ok(Defined { facts: vec![fact], results })
}

op! {
    /// Sum of the diagonal of a matrix, of any type and in this type; integers wrap.
    Trace { input: Operand }
}

impl Operator for Trace {
    fn rule(&self) -> Result<impl Rule, OpError> {
        ensure!(self.input.rank() == 2, "expected a matrix, found {}", self.input.fact);
        rule(&self.input, self.input.dtype(), 0, [0, 1])
    }

    fn cases() -> Vec<Case> {
        vec![
            sample().arg(wave(DType::F32, &[3, 4])).case("f32"),
            sample().index(DType::I8, &[2, 2], &[100, 0, 0, 100]).exact("i8"),
            sample().arg(complex(DType::C64, &[2, 2])).case("c64"),
        ]
    }
}

op! {
    /// Sums of the diagonals of dimensions `axis1` and `axis2`, `offset` above the main ones, as `dtype`. Without it, floats, complex
    /// numbers, `bool` and `u64` keep their type, and other integers give `i64`.
    TraceV2 { input: Operand, offset: i64 = 0, axis1: i64 = 1, axis2: i64 = 0, dtype: Option<DType> = None }
}

impl Operator for TraceV2 {
    fn rule(&self) -> Result<impl Rule, OpError> {
        let natural = match self.input.dtype() {
            DType::U64 => DType::U64,
            d if d.is_int() => DType::I64,
            d => d,
        };
        let axes = [self.input.axis(self.axis1)?, self.input.axis(self.axis2)?];
        rule(&self.input, self.dtype.unwrap_or(natural), self.offset, axes)
    }

    fn cases() -> Vec<Case> {
        let x = |d, dims: &[usize]| sample().arg(wave(d, dims));
        vec![
            x(DType::F32, &[2, 3, 4]).int(0).int(0).int(1).case("first dimensions"),
            x(DType::F32, &[2, 3, 4]).int(1).int(1).int(2).case("above"),
            x(DType::F64, &[3, 4]).int(-2).int(0).int(1).case("below"),
            x(DType::F32, &[3, 4]).int(i64::MIN).int(0).int(1).case("beyond"),
            x(DType::I8, &[3, 3]).exact("i8"),
            x(DType::F32, &[3, 3]).int(0).int(0).int(1).dtype(DType::I32).exact("as i32"),
            sample().arg(flags(&[3, 3])).exact("bool"),
        ]
    }
}
