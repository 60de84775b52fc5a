//! How far a tensor is from the expected one.

use mindir::{DType, Tensor};

/// The difference between two tensors of one fact.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Difference {
    /// Largest `|got − want|`; infinite where only one is finite or NaN.
    pub max_abs: f64,
    /// Largest finite `|want|`.
    pub scale: f64,
}

impl Difference {
    /// `max_abs` relative to the largest magnitude expected; infinite if anything differs from a tensor of zeros.
    pub fn relative(self) -> f64 {
        if self.max_abs == 0.0 { 0.0 } else { self.max_abs / self.scale }
    }
}

/// The difference of `got` from `want`. NaN is equal to NaN.
///
/// # Errors
/// What differs besides floats: element type or shape, or elements of other types.
pub fn difference(got: &Tensor, want: &Tensor) -> Result<Difference, String> {
    let widened = want.dtype() == DType::F32 && got.dtype() == DType::BF16;
    if got.shape() != want.shape() || (got.dtype() != want.dtype() && !widened) {
        return Err(format!("expected {}, found {}", want.fact(), got.fact()));
    }
    if !want.dtype().is_float() {
        return if got == want { Ok(Difference::default()) } else { Err(format!("expected {want:?}, found {got:?}")) };
    }
    let (g, w) = (got.to_f64s().map_err(|e| e.to_string())?, want.to_f64s().map_err(|e| e.to_string())?);
    let mut d = Difference::default();
    for (&g, &w) in g.iter().zip(&w) {
        let same = g == w || (g.is_nan() && w.is_nan());
        let delta = if same { 0.0 } else { (g - w).abs() };
        d.max_abs = d.max_abs.max(if delta.is_nan() { f64::INFINITY } else { delta });
        if w.is_finite() {
            d.scale = d.scale.max(w.abs());
        }
    }
    Ok(d)
}

/// The unit in the last place of 1 in a float type.
pub fn unit(dtype: DType) -> f64 {
    2f64.powi(match dtype {
        DType::F16 => -10,
        DType::BF16 => -7,
        DType::F32 => -23,
        _ => -52,
    })
}

/// The difference of `got` from `want` in units in the last place of the largest magnitude in `want`.
///
/// # Errors
/// As [`difference`].
pub fn units(got: &Tensor, want: &Tensor) -> Result<f64, String> {
    Ok(difference(got, want)?.relative() / unit(got.dtype()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn differences_are_relative_to_what_is_expected_however_small() {
        let relative =
            |got: &[f32], want: &[f32]| difference(&Tensor::vector(got), &Tensor::vector(want)).unwrap().relative();
        assert_eq!(relative(&[1e-15, 0.0], &[2e-15, 0.0]), 0.5);
        assert_eq!(relative(&[0.0, 0.0], &[0.0, -0.0]), 0.0);
        assert_eq!(relative(&[1e-30, 0.0], &[0.0, 0.0]), f64::INFINITY);
    }

    #[test]
    fn units_are_those_of_the_largest_magnitude() {
        assert_eq!(units(&Tensor::vector(&[1.0f32 + f32::EPSILON, 0.0]), &Tensor::vector(&[1.0f32, 0.0])), Ok(1.0));
        assert_eq!(units(&Tensor::vector(&[4.0f64, f64::EPSILON]), &Tensor::vector(&[4.0f64, 0.0])), Ok(0.25));
    }

    #[test]
    fn integers_are_equal_or_not() {
        let (got, want) = (Tensor::vector(&[(1i64 << 53) + 1]), Tensor::vector(&[1i64 << 53]));
        assert!(difference(&got, &want).is_err());
        assert_eq!(difference(&want, &want), Ok(Difference::default()));
    }
}
