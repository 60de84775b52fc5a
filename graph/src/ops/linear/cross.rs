use crate::op::{Case, Operand, Operator, Rule};
use crate::ops::kit::complex::{Complex64, complex_tensor, complexes};
use crate::ops::kit::defined::Defined;
use crate::ops::kit::indices::{around, item};
use crate::ops::kit::sample::{complex, sample, wave};
use crate::{DType, Fact, OpError, Tensor, ensure, op};

op! {
    /// Cross products of vectors of three numbers along dimension `dim`, by default the first one of length 3. Both operands have one
    /// type, any but `bool`, and one shape; integers wrap.
    Cross { input: Operand, other: Operand, dim: i64 = -65530 }
}

impl Cross {
    fn axis(&self) -> Result<usize, OpError> {
        /// What MindSpore has in place of a dimension.
        const FIRST: i64 = -65530;
        let x = &self.input;
        let axis = match self.dim {
            FIRST => x.shape().iter().position(|len| *len == 3),
            given => Some(x.axis(given)?),
        };
        axis.filter(|&axis| x.shape().get(axis) == Some(&3))
            .ok_or_else(|| OpError::Invalid(format!("expected a dimension of length 3, found {}", x.fact)))
    }
}

/// `f` of the two pairs of factors of each element, which are one and two places further on.
fn products<T: Copy>(
    a: &[T],
    b: &[T],
    [outer, len, inner]: [usize; 3],
    f: impl Fn([T; 2], [T; 2]) -> T,
) -> Result<Vec<T>, OpError> {
    let mut y = Vec::with_capacity(a.len());
    for (o, k, i) in (0..outer).flat_map(|o| (0..len).flat_map(move |k| (0..inner).map(move |i| (o, k, i)))) {
        let [next, last] = [1, 2].map(|by| (o * len + (k + by) % len) * inner + i);
        y.push(f([*item(a, next)?, *item(b, last)?], [*item(a, last)?, *item(b, next)?]));
    }
    Ok(y)
}

impl Operator for Cross {
    fn rule(&self) -> Result<impl Rule, OpError> {
        let (a, b, d) = (&self.input, &self.other, self.input.dtype());
        let fits = a.shape() == b.shape() && d == b.dtype() && d != DType::Bool;
        ensure!(fits, "expected numbers of one type and shape, found {} and {}", a.fact, b.fact);
        let sides = around(a.shape(), self.axis()?)?;
        let results = move || {
            let (x, y) = (a.tensor()?, b.tensor()?);
            if d.is_int() {
                let f = |[p, q]: [i64; 2], [r, s]: [i64; 2]| p.wrapping_mul(q).wrapping_sub(r.wrapping_mul(s));
                return Ok(vec![Tensor::from_i64s(d, a.shape(), &products(&x.to_i64s()?, &y.to_i64s()?, sides, f)?)?]);
            }
            let f = |[p, q]: [Complex64; 2], [r, s]: [Complex64; 2]| p * q - r * s;
            Ok(vec![complex_tensor(d, a.shape(), &products(&complexes(x)?, &complexes(y)?, sides, f)?)?])
        };
        Ok(Defined { facts: vec![Fact::new(d, a.shape())], results })
    }

    fn cases() -> Vec<Case> {
        let of = |d, dims: &[usize]| sample().arg(wave(d, dims)).tensor(d, dims);
        vec![
            of(DType::F32, &[2, 3, 4]).case("f32"),
            of(DType::F64, &[3, 2, 3]).int(-1).case("last"),
            of(DType::I8, &[3]).exact("i8"),
            sample().arg(complex(DType::C64, &[3, 2])).arg(complex(DType::C64, &[3, 2])).case("c64"),
        ]
    }
}
