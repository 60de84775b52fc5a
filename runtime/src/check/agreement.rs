//! How far tensors are apart.

use mindir_graph::{DType, Tensor};

/// How far `got` is from `want`, relative to the largest finite magnitude in `want`; `None` if all bits are the same, NaN
/// apart. With a `bound` of 0 only the same bits will do; elements that are no floats must be equal in any case, and so must
/// those that are not finite.
///
/// # Errors
/// What differs: element type, shape, or the first element that is further away than `bound`.
pub fn agreement(got: &Tensor, want: &Tensor, bound: f64) -> Result<Option<f64>, String> {
    if got.fact() != want.fact() {
        return Err(format!("found {}, expected {}", got.fact(), want.fact()));
    }
    if got.bytes() == want.bytes() {
        return Ok(None);
    }
    let (Some(g), Some(w)) = (numbers(got), numbers(want)) else { return Err("the bytes differ".into()) };
    let dtype = want.dtype();
    let apart = |(i, g, w): (usize, f64, f64), why: &str| {
        Err(format!("element {i} of {} is {g:e}, expected {w:e}{why}", want.fact()))
    };
    let size = (want.bytes().len() / w.len().max(1)).max(1);
    let bits = got.bytes().chunks_exact(size).zip(want.bytes().chunks_exact(size)).map(|(g, w)| g == w);
    let pairs = g.iter().zip(&w).enumerate().map(|(i, (g, w))| (i, *g, *w)).zip(bits);
    let others = pairs.filter(|((_, g, w), same)| !(*same || g.is_nan() && w.is_nan()));
    let mut others = others.map(|(pair, _)| pair).peekable();
    let Some(&first) = others.peek() else { return Ok(None) };
    if bound == 0.0 || !(dtype.is_float() || dtype.is_complex()) {
        return apart(first, "");
    }
    let scale = w.iter().filter(|x| x.is_finite()).fold(0.0, |a: f64, x| a.max(x.abs()));
    let mut worst: f64 = 0.0;
    for (i, g, w) in others {
        let delta = if g == w { 0.0 } else { (g - w).abs() };
        // An infinite or missing number is no approximation of another one.
        if !(w.is_finite() && g.is_finite()) && delta != 0.0 || delta > bound * scale {
            return apart((i, g, w), &format!(", and the largest magnitude is {scale:e}"));
        }
        worst = worst.max(if delta == 0.0 { 0.0 } else { delta / scale });
    }
    Ok(Some(worst))
}

/// Elements as `f64`, complex ones as two.
fn numbers(t: &Tensor) -> Option<Vec<f64>> {
    let part = match t.dtype() {
        DType::C64 => DType::F32,
        DType::C128 => DType::F64,
        // Not every one of these is an `f64`, but those that differ are told apart by their bytes.
        _ => return t.to_f64s().ok(),
    };
    Tensor::from_bytes(part, &[2 * t.count()], t.bytes().clone()).ok()?.to_f64s().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_overlooked() {
        let t = |x: &[f32]| Tensor::vector(x);
        let nan = f32::from_bits(0xffc0_0001);
        assert_eq!(agreement(&t(&[1.0, nan]), &t(&[1.0, f32::NAN]), 0.0), Ok(None));
        assert!(agreement(&t(&[0.0]), &t(&[-0.0]), 0.0).unwrap_err().starts_with("element 0"));
        assert_eq!(agreement(&t(&[0.0]), &t(&[-0.0]), 1e-4), Ok(Some(0.0)));
        assert!(agreement(&t(&[f32::INFINITY]), &t(&[f32::MAX]), 1.0).is_err());
        assert!(agreement(&t(&[1.0, f32::NAN]), &t(&[1.0, 0.0]), 1.0).unwrap_err().contains("element 1"));
        assert!(agreement(&t(&[f32::NEG_INFINITY]), &t(&[f32::INFINITY]), 1.0).is_err());
    }

    #[test]
    fn the_largest_magnitude_is_the_measure() {
        let t = |x: &[f32]| Tensor::vector(x);
        assert!(agreement(&t(&[100.0, 0.005]), &t(&[100.0, 0.0]), 1e-4).is_ok());
        assert!(agreement(&t(&[1e-12]), &t(&[2e-12]), 1e-4).is_err());
        assert!(agreement(&Tensor::vector(&[3i32]), &Tensor::vector(&[2i32]), 1.0).is_err());
        assert!(agreement(&Tensor::vector(&[3i32]), &t(&[3.0]), 1.0).unwrap_err().contains("found i32 [1]"));
    }
}
