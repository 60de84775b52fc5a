//! Complex numbers of references.

pub(in crate::ops) use num_complex::Complex64;

use crate::{DType, OpError, Tensor};

/// The complex type whose parts hold numbers of `dtype`: `c128` for `f64`, else `c64`.
pub(in crate::ops) fn complex_of(dtype: DType) -> DType {
    match dtype {
        DType::F64 | DType::C128 => DType::C128,
        _ => DType::C64,
    }
}

/// The type of the parts of complex numbers; real types are their own.
pub(in crate::ops) fn part_of(dtype: DType) -> DType {
    match dtype {
        DType::C64 => DType::F32,
        DType::C128 => DType::F64,
        real => real,
    }
}

/// The elements, of any type.
pub(in crate::ops) fn complexes(x: &Tensor) -> Result<Vec<Complex64>, OpError> {
    if !x.dtype().is_complex() {
        return Ok(x.to_f64s()?.into_iter().map(Complex64::from).collect());
    }
    let parts = Tensor::from_bytes(part_of(x.dtype()), &[2 * x.count()], x.bytes().clone())?.to_f64s()?;
    Ok(parts.as_chunks().0.iter().map(|&[re, im]| Complex64::new(re, im)).collect())
}

/// A tensor of these numbers; a real type takes their real parts.
pub(in crate::ops) fn complex_tensor(dtype: DType, dims: &[usize], data: &[Complex64]) -> Result<Tensor, OpError> {
    if !dtype.is_complex() {
        return Ok(Tensor::from_f64s(dtype, dims, &data.iter().map(|z| z.re).collect::<Vec<_>>())?);
    }
    let parts: Vec<f64> = data.iter().flat_map(|z| [z.re, z.im]).collect();
    let parts = Tensor::from_f64s(part_of(dtype), &[parts.len()], &parts)?;
    Ok(Tensor::from_bytes(dtype, dims, parts.bytes().clone())?)
}

/// 1 for true, 0 for false.
pub(in crate::ops) fn flag(truth: bool) -> Complex64 {
    f64::from(u8::from(truth)).into()
}

/// Whether it is not 0.
pub(in crate::ops) fn truth(z: Complex64) -> bool {
    z != Complex64::default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Fact;

    #[test]
    fn elements_are_pairs() {
        let z = [Complex64::new(1.5, -2.0), Complex64::new(0.0, 0.25)];
        for dtype in [DType::C64, DType::C128] {
            let t = complex_tensor(dtype, &[2], &z).unwrap();
            assert_eq!((t.fact(), complexes(&t).unwrap()), (Fact::new(dtype, &[2]), z.to_vec()));
        }
        assert_eq!(complex_tensor(DType::F32, &[2], &z).unwrap(), Tensor::vector(&[1.5f32, 0.0]));
        assert!(complex_tensor(DType::C64, &[3], &z).is_err());
    }
}
