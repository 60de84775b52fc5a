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
    /// `max_abs` relative to the largest magnitude expected, or to 1 where that is smaller.
    pub fn relative(self) -> f64 {
        self.max_abs / self.scale.max(1.0)
    }
}

/// The difference of `got` from `want`.
///
/// # Errors
/// What differs besides numbers: element type or shape.
pub fn difference(got: &Tensor, want: &Tensor) -> Result<Difference, String> {
    let widened = want.dtype() == DType::F32 && got.dtype() == DType::BF16;
    if got.shape() != want.shape() || (got.dtype() != want.dtype() && !widened) {
        return Err(format!("expected {}, found {}", want.fact(), got.fact()));
    }
    let (Ok(g), Ok(w)) = (got.to_f64s(), want.to_f64s()) else {
        return if got == want { Ok(Difference::default()) } else { Err("the bytes differ".into()) };
    };
    let mut d = Difference::default();
    for (&g, &w) in g.iter().zip(&w) {
        let same = g == w || (g.is_nan() && w.is_nan());
        let delta = if same { 0.0 } else { (g - w).abs() };
        d.max_abs = d.max_abs.max(if delta.is_nan() { f64::INFINITY } else { delta });
        if w.is_finite() {
            d.scale = d.scale.max(w.abs());
        }
    }
    if !want.dtype().is_float() && d.max_abs != 0.0 {
        return Err(format!("integers differ by up to {}", d.max_abs));
    }
    Ok(d)
}
