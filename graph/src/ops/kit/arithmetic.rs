//! Arithmetic of references: `f64` for floats, wrapping `i64` for integers, pairs of `f64` for complex numbers.

use super::complex::{Complex64, complex_tensor, complexes};
use crate::{DType, OpError, Tensor};

/// A number that references compute with.
pub(in crate::ops) trait Arithmetic: Copy + 'static {
    const ZERO: Self;
    fn add(self, other: Self) -> Self;
    fn mul(self, other: Self) -> Self;
    fn read(x: &Tensor) -> Result<Vec<Self>, OpError>;
    fn write(dtype: DType, dims: &[usize], data: &[Self]) -> Result<Tensor, OpError>;
}

impl Arithmetic for f64 {
    const ZERO: f64 = 0.0;
    fn add(self, other: f64) -> f64 {
        self + other
    }
    fn mul(self, other: f64) -> f64 {
        self * other
    }
    fn read(x: &Tensor) -> Result<Vec<f64>, OpError> {
        Ok(x.to_f64s()?)
    }
    fn write(dtype: DType, dims: &[usize], data: &[f64]) -> Result<Tensor, OpError> {
        Ok(Tensor::from_f64s(dtype, dims, data)?)
    }
}

impl Arithmetic for i64 {
    const ZERO: i64 = 0;
    fn add(self, other: i64) -> i64 {
        self.wrapping_add(other)
    }
    fn mul(self, other: i64) -> i64 {
        self.wrapping_mul(other)
    }
    fn read(x: &Tensor) -> Result<Vec<i64>, OpError> {
        Ok(x.to_i64s()?)
    }
    fn write(dtype: DType, dims: &[usize], data: &[i64]) -> Result<Tensor, OpError> {
        Ok(Tensor::from_i64s(dtype, dims, data)?)
    }
}

impl Arithmetic for Complex64 {
    const ZERO: Complex64 = Complex64::ZERO;
    fn add(self, other: Complex64) -> Complex64 {
        self + other
    }
    fn mul(self, other: Complex64) -> Complex64 {
        self * other
    }
    fn read(x: &Tensor) -> Result<Vec<Complex64>, OpError> {
        complexes(x)
    }
    fn write(dtype: DType, dims: &[usize], data: &[Complex64]) -> Result<Tensor, OpError> {
        complex_tensor(dtype, dims, data)
    }
}

/// Evaluates `$body` with `$N` as the number type that computes on `$dtype`.
macro_rules! with_arithmetic {
    ($dtype:expr, $N:ident => $body:expr) => {
        if $dtype.is_float() {
            type $N = f64;
            $body
        } else {
            type $N = i64;
            $body
        }
    };
}
pub(in crate::ops) use with_arithmetic;
