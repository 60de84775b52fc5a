//! Powers and logarithms of matrices.

use crate::op::{Case, Operand, Operator, Rule};
use crate::ops::kit::arithmetic::{Arithmetic, with_arithmetic};
use crate::ops::kit::broadcasting::real;
use crate::ops::kit::complex::Complex64;
use crate::ops::kit::defined::Defined;
use crate::ops::kit::indices::only;
use crate::ops::kit::sample::{complex, filled, sample};
use crate::{DType, Fact, OpError, Tensor, bounds, ensure, op, shape};

use super::algebra::{Matrix, ZERO};
use super::each::{Each, squares};
use super::factor::solve;
use super::samples::general;
use super::spectrum::{Schur, schur};

op! {
    /// The `n`-th power of the square matrices in the last two dimensions, of any real type; integers wrap. A negative power, of
    /// floats only, is that of the inverse; singular matrices have none and are refused.
    classic MatrixPower { x: Operand, n: i64 }
}

/// The product of square matrices of `n` rows.
fn product<N: Arithmetic>(a: &[N], b: &[N], n: usize) -> Result<Vec<N>, OpError> {
    let (mut y, mut pulse) = (Vec::with_capacity(n * n), bounds::Pulse::default());
    for row in a.chunks(n.max(1)) {
        for col in 0..n {
            pulse.turns(n)?;
            let terms = row.iter().zip(b.iter().skip(col).step_by(n)).map(|(a, b)| a.mul(*b));
            y.push(terms.fold(N::ZERO, N::add));
        }
    }
    Ok(y)
}

/// `x · x · …`, `exponent` times, from `one`.
fn power<N: Arithmetic>(x: &[N], exponent: u64, one: &[N], n: usize) -> Result<Vec<N>, OpError> {
    let (mut square, mut rest, mut y) = (x.to_vec(), exponent, one.to_vec());
    while rest > 0 {
        if rest % 2 == 1 {
            y = product(&y, &square, n)?;
        }
        rest /= 2;
        if rest > 0 {
            square = product(&square, &square, n)?;
        }
    }
    Ok(y)
}

/// The powers of all matrices of `x`, as `dtype`.
fn powers<N: Arithmetic>(x: &Tensor, exponent: u64, dtype: DType, n: usize) -> Result<Tensor, OpError> {
    let one = Tensor::from_i64s(DType::I64, &[n, n], &identity(n))?.cast(x.dtype())?;
    let (data, one) = (N::read(x)?, N::read(&one)?);
    let mut y = Vec::with_capacity(data.len());
    for a in data.chunks((n * n).max(1)) {
        y.extend(power(a, exponent, &one, n)?);
    }
    N::write(dtype, x.shape(), &y)
}

fn identity(n: usize) -> Vec<i64> {
    (0..n * n).map(|i| i64::from(i % (n + 1) == 0)).collect()
}

impl Operator for MatrixPower {
    fn rule(&self) -> Result<impl Rule, OpError> {
        let (x, d) = (&self.x, real(&self.x)?);
        let [.., n, cols] = *x.shape() else {
            return Err(OpError::Invalid(format!("expected matrices, found {}", x.fact)));
        };
        ensure!(n == cols, "expected square matrices, found {}", x.fact);
        ensure!(self.n >= 0 || d.is_float(), "expected floats for power {}, found {}", self.n, x.fact);
        let exponent = self.n.unsigned_abs();
        let results = move || {
            let a = if self.n < 0 { inverses(x)? } else { x.tensor()?.clone() };
            Ok(vec![with_arithmetic!(d, N => powers::<N>(&a, exponent, d, n))?])
        };
        Ok(Defined { facts: vec![Fact::new(d, x.shape())], results })
    }

    fn cases() -> Vec<Case> {
        vec![
            sample().arg(general(DType::F32, &[2, 3, 3])).int(3).case("f32"),
            sample().arg(general(DType::F64, &[3, 3])).int(-2).case("negative"),
            sample().arg(filled(DType::I8, &[2, 2], |i| i as f64 + 1.0)).int(5).exact("i8"),
            sample().arg(general(DType::F32, &[2, 2])).int(0).exact("none"),
        ]
    }
}

/// The inverses of square matrices of floats, as `f64`.
fn inverses(x: &Operand) -> Result<Tensor, OpError> {
    let (batch, n) = squares(x)?;
    let f = |[a]: [Matrix; 1]| Ok([solve(a, Matrix::identity(n, n))?]);
    only(Each { batch, ins: [(x, [n, n])], outs: [(DType::F64, shape(&[n, n]))], f }.reference()?)
}

op! {
    /// Principal logarithms of the square matrices in the last two dimensions, of complex numbers; that of a negative number has
    /// the imaginary part π. Singular matrices have none and are refused.
    object MatrixLogarithm { x: Operand }
}

/// The principal square root of an upper triangle.
fn root(t: &Matrix) -> Matrix {
    let n = t.rows;
    let mut u = Matrix::new(n, n, |_, _| ZERO);
    for j in 0..n {
        let z = t[(j, j)];
        // What rounding made of a negative number is on the same side as the number itself.
        let negative = z.re < 0.0 && z.im.abs() <= 4.0 * f64::EPSILON * z.re.abs();
        u[(j, j)] = if negative { Complex64::new(0.0, (-z.re).sqrt()) } else { z.sqrt() };
        for i in (0..j).rev() {
            let rest = t[(i, j)] - (i + 1..j).map(|k| u[(i, k)] * u[(k, j)]).sum::<Complex64>();
            u[(i, j)] = rest / (u[(i, i)] + u[(j, j)]);
        }
    }
    u
}

/// By roots, until a short series is exact.
fn logarithm(a: &Matrix) -> Result<Matrix, OpError> {
    /// Terms for matrices that differ from 1 by a tenth.
    const TERMS: u32 = 18;
    let (n, Schur { mut t, z }) = (a.rows, schur(a)?);
    let least = t.largest() * f64::EPSILON * n as f64;
    ensure!((0..n).all(|i| t[(i, i)].norm() > least), "expected an invertible matrix, found a singular one");
    let minus_one = Matrix::identity(n, n).scaled(-1.0);
    let mut roots = 0;
    while t.add(&minus_one).largest() * n as f64 > 0.1 {
        ensure!(roots < 100, "expected roots that come near to 1, found none after {roots}");
        bounds::check()?;
        t = root(&t);
        roots += 1;
    }
    let x = t.add(&minus_one);
    let term = |k: u32| if k % 2 == 1 { 1.0 / f64::from(k) } else { -1.0 / f64::from(k) };
    let mut sum = Matrix::new(n, n, |_, _| ZERO);
    for k in (1..=TERMS).rev() {
        sum = x.times(&sum.add(&Matrix::identity(n, n).scaled(term(k))))?;
    }
    z.times(&sum.scaled(2f64.powi(roots)))?.times(&z.adjoint())
}

impl Operator for MatrixLogarithm {
    fn rule(&self) -> Result<impl Rule, OpError> {
        let (x, d) = (&self.x, self.x.dtype());
        let (batch, n) = squares(x)?;
        ensure!(d.is_complex(), "expected complex numbers, found {}", x.fact);
        let f = |[a]: [Matrix; 1]| Ok([logarithm(&a)?]);
        Ok(Each { batch, ins: [(x, [n, n])], outs: [(d, shape(&[n, n]))], f })
    }

    fn cases() -> Vec<Case> {
        vec![
            sample().arg(complex(DType::C64, &[2, 2, 2])).case("c64"),
            sample().arg(complex(DType::C128, &[2, 2])).case("c128"),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logarithms_are_those_of_numbers_and_of_triangles() {
        let real = |m: [[f64; 2]; 2]| Matrix::new(2, 2, |i, j| m[i][j].into());
        let log = logarithm(&real([[-4.0, 0.0], [0.0, 0.5]])).unwrap();
        let want = Matrix::new(2, 2, |i, j| match (i, j) {
            (0, 0) => Complex64::new(4f64.ln(), std::f64::consts::PI),
            (1, 1) => 0.5f64.ln().into(),
            _ => ZERO,
        });
        assert!(log.add(&want.scaled(-1.0)).largest() < 1e-13, "{log:?}");
        let log = logarithm(&real([[1.0, 1.0], [0.0, 1.0]])).unwrap();
        assert!((log[(0, 1)] - 1.0).norm() < 1e-13 && log[(0, 0)].norm() < 1e-13, "{log:?}");
        assert!(logarithm(&real([[1.0, 2.0], [2.0, 4.0]])).is_err());
    }
}
