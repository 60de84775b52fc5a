//! How far a tensor is from the expected one.

use clap::Args;
use mindir::{DType, Tensor};
use serde::Serialize;

/// What still counts as equal.
#[derive(Args, Clone, Copy, Debug, Default)]
pub struct ToleranceArgs {
    /// Largest difference, relative to the largest magnitude expected or to 1 where that is smaller [default: what
    /// meta.json says, else 1e-4]
    #[arg(long, value_name = "X", conflicts_with_all = ["rtol", "atol"])]
    pub tolerance: Option<f64>,
    /// Judge every element instead: |got − want| ≤ atol + rtol × |want|
    #[arg(long, value_name = "X")]
    pub rtol: Option<f64>,
    /// See --rtol
    #[arg(long, value_name = "X")]
    pub atol: Option<f64>,
}

/// When a tensor agrees with the expected one.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Criterion {
    /// The largest difference is at most this, relative to the largest magnitude expected or to 1.
    Tolerance(f64),
    /// Every element: |got − want| ≤ atol + rtol × |want|.
    Elements { rtol: f64, atol: f64 },
}

impl ToleranceArgs {
    /// Whether any tolerance was given.
    pub fn is_given(self) -> bool {
        self.tolerance.or(self.rtol).or(self.atol).is_some()
    }

    pub fn criterion(self, default: Option<f64>) -> Criterion {
        match (self.rtol, self.atol) {
            (None, None) => Criterion::Tolerance(self.tolerance.or(default).unwrap_or(1e-4)),
            (rtol, atol) => Criterion::Elements { rtol: rtol.unwrap_or(0.0), atol: atol.unwrap_or(0.0) },
        }
    }
}

/// The difference between two tensors of one fact. Infinities are null in JSON.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Difference {
    /// Largest `|got − want|`; infinite where only one is finite or NaN.
    pub max_abs: f64,
    /// Largest `|got − want| / |want|` where `want` is not 0.
    pub max_rel: f64,
    /// Largest finite `|want|`.
    pub scale: f64,
    /// Elements that break the criterion.
    pub wrong: usize,
    /// Number of elements.
    pub count: usize,
}

/// The difference of `got` from `want`. Values that are no floats must be equal.
///
/// # Errors
/// What differs besides numbers: element type or shape.
pub fn difference(got: &Tensor, want: &Tensor, criterion: Criterion) -> Result<Difference, String> {
    // NumPy has no bf16, and a Python float is f64 there but f32 in a graph.
    let widened = match (got.dtype(), want.dtype()) {
        (DType::BF16, DType::F32) => true,
        (DType::F32, DType::F64) => want.shape().is_empty(),
        _ => false,
    };
    if got.shape() != want.shape() || (got.dtype() != want.dtype() && !widened) {
        return Err(format!("expected {}, found {}", want.fact(), got.fact()));
    }
    let (g, w) = match (numbers(got), numbers(want)) {
        (Some(g), Some(w)) => (g, w),
        _ => return Err("tensors of this type cannot be compared".into()),
    };
    let scale = w.iter().map(|w| w.abs()).filter(|w| w.is_finite()).fold(0.0, f64::max);
    let exact = !want.dtype().is_float() && !want.dtype().is_complex();
    let allowed = |w: f64| match criterion {
        _ if exact => 0.0,
        Criterion::Tolerance(t) => t * scale.max(1.0),
        Criterion::Elements { rtol, atol } => atol + rtol * w.abs(),
    };
    let mut d = Difference { scale, count: g.len(), ..Difference::default() };
    for (&g, &w) in g.iter().zip(&w) {
        let same = g == w || (g.is_nan() && w.is_nan());
        let delta = if same { 0.0 } else { (g - w).abs() };
        let delta = if delta.is_nan() { f64::INFINITY } else { delta };
        d.max_abs = d.max_abs.max(delta);
        if w != 0.0 && delta > 0.0 {
            d.max_rel = d.max_rel.max(if w.is_finite() { delta / w.abs() } else { f64::INFINITY });
        }
        let fits = delta <= if w.is_finite() { allowed(w) } else { 0.0 };
        d.wrong += usize::from(!fits);
    }
    Ok(d)
}

/// Elements as `f64`, complex ones as two.
fn numbers(t: &Tensor) -> Option<Vec<f64>> {
    let part = match t.dtype() {
        DType::C64 => DType::F32,
        DType::C128 => DType::F64,
        _ => return t.to_f64s().ok(),
    };
    Tensor::from_bytes(part, &[2 * t.count()], t.bytes().clone()).ok()?.to_f64s().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn vector(x: &[f32]) -> Tensor {
        Tensor::vector(x)
    }

    #[test]
    fn tolerance_is_relative_to_the_largest() {
        let (got, want) = (vector(&[100.0, 0.005]), vector(&[100.0, 0.0]));
        assert_eq!(difference(&got, &want, Criterion::Tolerance(1e-4)).unwrap().wrong, 0);
        assert_eq!(difference(&got, &want, Criterion::Tolerance(1e-5)).unwrap().wrong, 1);
        let each = Criterion::Elements { rtol: 1e-3, atol: 1e-3 };
        assert_eq!(difference(&got, &want, each).unwrap().wrong, 1);
    }

    #[test]
    fn what_is_not_finite_must_agree() {
        let want = vector(&[f32::NAN, f32::INFINITY, 1.0]);
        assert_eq!(difference(&want, &want, Criterion::Tolerance(0.0)).unwrap().wrong, 0);
        let got = vector(&[0.0, f32::NEG_INFINITY, f32::NAN]);
        assert_eq!(difference(&got, &want, Criterion::Tolerance(1.0)).unwrap().wrong, 3);
    }

    #[test]
    fn integers_are_equal_or_not() {
        let (got, want) = (Tensor::vector(&[1i32, 3]), Tensor::vector(&[1i32, 2]));
        assert_eq!(difference(&got, &want, Criterion::Tolerance(1.0)).unwrap().wrong, 1);
        assert!(difference(&got, &vector(&[1.0, 2.0]), Criterion::Tolerance(1.0)).is_err());
    }
}
