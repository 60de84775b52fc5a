//! How far a tensor is from the expected one.

use clap::Args;
use mindir::{DType, Tensor, TensorError};
use serde::Serialize;

use crate::print;

/// What still counts as equal.
#[derive(Args, Clone, Copy, Debug, Default)]
pub struct ToleranceArgs {
    /// Largest difference, relative to the largest magnitude expected in the same tensor; one of zeros must be zeros
    /// [default: what meta.json says, else 1e-4]
    #[arg(long, value_name = "X", value_parser = bound, allow_negative_numbers = true, conflicts_with_all = ["rtol", "atol"])]
    pub tolerance: Option<f64>,
    /// Judge every element instead: |got − want| ≤ atol + rtol × |want|
    #[arg(long, value_name = "X", value_parser = bound, allow_negative_numbers = true)]
    pub rtol: Option<f64>,
    /// See --rtol
    #[arg(long, value_name = "X", value_parser = bound, allow_negative_numbers = true)]
    pub atol: Option<f64>,
}

fn bound(text: &str) -> Result<f64, String> {
    let number = text.parse().map_err(|_| format!("{} is no number", print::quoted(text)))?;
    if is_bound(number) { Ok(number) } else { Err("expected a finite number that is not negative".into()) }
}

/// Whether a difference can be at most this.
pub fn is_bound(x: f64) -> bool {
    x.is_finite() && x >= 0.0
}

/// When a tensor agrees with the expected one.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Criterion {
    /// The largest difference is at most this, relative to the largest magnitude expected.
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

/// The difference of `got` from `want`. Integers and truth values must be equal; so must infinities, and NaN is equal to
/// NaN only. Of complex numbers both parts count.
///
/// # Errors
/// What differs besides numbers: element type or shape.
pub fn difference(got: &Tensor, want: &Tensor, criterion: Criterion) -> Result<Difference, String> {
    let wrong = || format!("expected {}, found {}", want.fact(), got.fact());
    if got.shape() != want.shape() {
        return Err(wrong());
    }
    let narrowed;
    let want = match (got.dtype(), want.dtype()) {
        (found, expected) if found == expected => want,
        // NumPy has no bf16.
        (DType::BF16, DType::F32) => want,
        // A Python float is f64 in NumPy and f32 in a graph.
        (DType::F32, DType::F64) if want.shape().is_empty() => {
            narrowed = want.cast(DType::F32).map_err(|e| e.to_string())?;
            &narrowed
        }
        _ => return Err(wrong()),
    };
    if want.dtype().is_float() || want.dtype().is_complex() {
        return floats(got, want, criterion).ok_or_else(|| "tensors of this type cannot be compared".into());
    }
    integers(got, want).map_err(|e| e.to_string())
}

fn floats(got: &Tensor, want: &Tensor, criterion: Criterion) -> Option<Difference> {
    let (got, want) = (numbers(got)?, numbers(want)?);
    let scale = want.iter().map(|w| w.abs()).filter(|w| w.is_finite()).fold(0.0, f64::max);
    let allowed = |w: f64| match criterion {
        _ if !w.is_finite() => 0.0,
        Criterion::Tolerance(t) => t * scale,
        Criterion::Elements { rtol, atol } => atol + rtol * w.abs(),
    };
    let mut d = Difference { scale, count: want.len(), ..Difference::default() };
    for (g, w) in got.into_iter().zip(want) {
        let same = g == w || (g.is_nan() && w.is_nan());
        let delta = if same { 0.0 } else { (g - w).abs() };
        let delta = if delta.is_nan() { f64::INFINITY } else { delta };
        d.add(delta, w, delta <= allowed(w));
    }
    Some(d)
}

fn integers(got: &Tensor, want: &Tensor) -> Result<Difference, TensorError> {
    let (got, want) = (got.to_i128s()?, want.to_i128s()?);
    let scale = want.iter().map(|w| w.unsigned_abs()).max().unwrap_or_default() as f64;
    let mut d = Difference { scale, count: want.len(), ..Difference::default() };
    got.into_iter().zip(want).for_each(|(g, w)| d.add(g.abs_diff(w) as f64, w as f64, g == w));
    Ok(d)
}

impl Difference {
    /// Counts an element that is `delta` off from `want`.
    fn add(&mut self, delta: f64, want: f64, fits: bool) {
        self.max_abs = self.max_abs.max(delta);
        if want != 0.0 && delta > 0.0 {
            let relative = if want.is_finite() { delta / want.abs() } else { f64::INFINITY };
            self.max_rel = self.max_rel.max(relative);
        }
        self.wrong += usize::from(!fits);
    }
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
    fn the_scale_is_that_of_the_tensor_however_small() {
        let want = vector(&[2e-15, -1e-15]);
        let wrong = |got: &[f32], want, t| difference(&vector(got), want, Criterion::Tolerance(t)).unwrap().wrong;
        assert_eq!(wrong(&[2.00001e-15, -1e-15], &want, 1e-4), 0);
        assert_eq!(wrong(&[1e-15, 5e-15], &want, 1e-4), 2);
        let zeros = vector(&[0.0, -0.0]);
        assert_eq!(wrong(&[0.0, 0.0], &zeros, 1e-4), 0);
        assert_eq!(wrong(&[1e-30, 0.0], &zeros, 1e-4), 1);
        let each = Criterion::Elements { rtol: 0.0, atol: 2e-30 };
        assert_eq!(difference(&vector(&[1e-30, 0.0]), &zeros, each).unwrap().wrong, 0);
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
        let (got, want) = (Tensor::vector(&[(1i64 << 53) + 1]), Tensor::vector(&[1i64 << 53]));
        assert_eq!(difference(&got, &want, Criterion::Tolerance(1.0)).unwrap().wrong, 1);
        let (got, want) = (Tensor::vector(&[u64::MAX]), Tensor::vector(&[u64::MAX - 1]));
        let d = difference(&got, &want, Criterion::Tolerance(1.0)).unwrap();
        assert_eq!((d.wrong, d.max_abs), (1, 1.0));
    }
}
