//! Elements as numbers of other types.

use std::fmt;

use super::memory::{PIECE, list};
use super::{Tensor, TensorError};
use crate::bounds;
use crate::dtype::{DType, Element};

/// `f` of every element.
pub(super) fn converted<T: Copy, U>(from: &[T], f: impl Fn(T) -> U) -> Result<Vec<U>, TensorError> {
    let mut out = list(from.len())?;
    for piece in from.chunks(PIECE / 8) {
        bounds::check()?;
        out.extend(piece.iter().map(|&x| f(x)));
    }
    Ok(out)
}

impl Tensor {
    /// Every element as `f64`; `bool` gives 0 and 1.
    ///
    /// # Errors
    /// [`TensorError::DType`] for complex types.
    pub fn to_f64s(&self) -> Result<Vec<f64>, TensorError> {
        with_element!(self.dtype, T => converted(&self.elements::<T>()?, Element::to_f64),
            complex => Err(TensorError::DType { expected: DType::F64, found: self.dtype }))
    }

    /// Whether no element is infinite or NaN; false for complex types.
    pub fn is_finite(&self) -> bool {
        with_element!(self.dtype, T => self.elements::<T>().is_ok_and(|v| v.iter().all(|&x| Element::to_f64(x).is_finite())),
            complex => false)
    }

    /// Every element as `i64`: floats truncate, `bool` gives 0 and 1.
    ///
    /// # Errors
    /// [`TensorError::DType`] for complex types.
    pub fn to_i64s(&self) -> Result<Vec<i64>, TensorError> {
        with_element!(self.dtype, T => converted(&self.elements::<T>()?, Element::to_i64),
            complex => Err(TensorError::DType { expected: DType::I64, found: self.dtype }))
    }

    /// Every element as a whole number; `bool` gives 0 and 1.
    ///
    /// # Errors
    /// [`TensorError::DType`] for types that are neither integers nor `bool`.
    pub fn to_i128s(&self) -> Result<Vec<i128>, TensorError> {
        if self.dtype == DType::U64 {
            return Ok(self.elements::<u64>()?.iter().map(|&x| x.into()).collect());
        }
        if !self.dtype.is_int() && self.dtype != DType::Bool {
            return Err(TensorError::DType { expected: DType::I64, found: self.dtype });
        }
        Ok(self.to_i64s()?.into_iter().map(i128::from).collect())
    }

    /// The elements converted to `dtype`. From floats to integers truncates toward zero and saturates; between integers
    /// wraps; to `bool` is `x != 0`.
    ///
    /// # Errors
    /// [`TensorError::DType`] for complex types.
    pub fn cast(&self, dtype: DType) -> Result<Tensor, TensorError> {
        if dtype == self.dtype {
            return Ok(self.clone());
        }
        let _room = bounds::reserve(self.count().saturating_mul(size_of::<f64>()))?;
        let through_f64 =
            !self.dtype.is_int() && self.dtype != DType::Bool || self.dtype == DType::U64 && dtype.is_float();
        if through_f64 {
            Tensor::from_f64s(dtype, &self.shape, &self.to_f64s()?)
        } else {
            Tensor::from_i64s(dtype, &self.shape, &self.to_i64s()?)
        }
    }

    /// The elements converted to `dtype`, if it holds all of them: floats are rounded to other floats, but to no infinity;
    /// every other conversion leaves the number as it is.
    ///
    /// # Errors
    /// [`TensorError::Range`] naming the first element that `dtype` does not hold; [`TensorError::DType`] for complex types.
    pub fn convert(&self, dtype: DType) -> Result<Tensor, TensorError> {
        let converted = self.cast(dtype)?;
        if dtype == self.dtype {
            return Ok(converted);
        }
        let misfit = if self.dtype.is_float() && dtype.is_float() {
            let pairs = self.to_f64s()?.into_iter().zip(converted.to_f64s()?);
            pairs
                .enumerate()
                .find(|(_, (old, new))| old.is_finite() && !new.is_finite())
                .map(|(i, (x, _))| (i, Number::Float(x).to_string()))
        } else {
            let mut pairs = self.numbers()?.into_iter().zip(converted.numbers()?).enumerate();
            pairs.find(|(_, (old, new))| !old.equals(*new)).map(|(i, (x, _))| (i, x.to_string()))
        };
        match misfit {
            Some((index, value)) => Err(TensorError::Range { index, value, dtype }),
            None => Ok(converted),
        }
    }

    fn numbers(&self) -> Result<Vec<Number>, TensorError> {
        if self.dtype.is_float() {
            return Ok(self.to_f64s()?.into_iter().map(Number::Float).collect());
        }
        Ok(self.to_i128s()?.into_iter().map(Number::Whole).collect())
    }
}

/// An element of any real type.
#[derive(Clone, Copy)]
enum Number {
    Whole(i128),
    Float(f64),
}

impl Number {
    /// Whether both are the same number.
    fn equals(self, other: Number) -> bool {
        match (self, other) {
            (Number::Whole(a), Number::Whole(b)) => a == b,
            (Number::Float(a), Number::Float(b)) => a == b,
            // Whole numbers of tensors are below 2^64, where the conversion back is exact.
            (Number::Whole(a), Number::Float(x)) | (Number::Float(x), Number::Whole(a)) => {
                x.fract() == 0.0 && x as i128 == a
            }
        }
    }
}

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Number::Whole(a) => a.fmt(f),
            // What would be a long row of zeros.
            Number::Float(x) if x.is_finite() && *x != 0.0 && !(1e-6..1e18).contains(&x.abs()) => write!(f, "{x:e}"),
            Number::Float(x) => x.fmt(f),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn casts_truncate_wrap_and_saturate() {
        let t = Tensor::vector(&[-1.7f32, 300.0, 0.0]);
        assert_eq!(t.cast(DType::I32).unwrap().view::<i32>().unwrap(), [-1, 300, 0]);
        assert_eq!(t.cast(DType::Bool).unwrap().view::<u8>().unwrap(), [1, 1, 0]);
        let i = Tensor::vector(&[300i32, -1]);
        assert_eq!(i.cast(DType::U8).unwrap().view::<u8>().unwrap(), [44, 255]);
    }

    #[test]
    fn conversions_keep_every_number() {
        let wide = Tensor::vector(&[0.1f32, 65_504.0, f32::INFINITY, f32::NAN]);
        assert_eq!(wide.convert(DType::F16).unwrap(), wide.cast(DType::F16).unwrap());
        let whole = Tensor::vector(&[0i64, 1]);
        for dtype in DType::ALL.into_iter().filter(|d| !d.is_complex()) {
            assert_eq!(whole.convert(dtype).unwrap().convert(DType::I64).unwrap(), whole, "{dtype}");
        }
        let refused = |t: Tensor, dtype, text: &str| {
            let TensorError::Range { index: 1, value, .. } = t.convert(dtype).unwrap_err() else { panic!("{t:?}") };
            assert_eq!(value, text, "{t:?} {dtype}");
        };
        refused(Tensor::vector(&[1.0f32, 70_000.0]), DType::F16, "70000");
        refused(Tensor::vector(&[1.0f64, 1e300]), DType::F32, "1e300");
        refused(Tensor::vector(&[1.0f64, -2.5e-300]), DType::I32, "-2.5e-300");
        refused(Tensor::vector(&[255i64, 300]), DType::U8, "300");
        refused(Tensor::vector(&[0u64, u64::MAX]), DType::I64, "18446744073709551615");
        refused(Tensor::vector(&[1i32, -1]), DType::U64, "-1");
        refused(Tensor::vector(&[1i32, 2]), DType::Bool, "2");
        refused(Tensor::vector(&[0.0f32, 0.5]), DType::Bool, "0.5");
        refused(Tensor::vector(&[2.0f32, 1.5]), DType::I32, "1.5");
        refused(Tensor::vector(&[2.0f64, f64::NAN]), DType::I32, "NaN");
        refused(Tensor::vector(&[0i32, 16_777_217]), DType::F32, "16777217");
        refused(Tensor::vector(&[0u64, u64::MAX]), DType::F64, "18446744073709551615");
    }
}
