//! Eigenvalues and singular values.

use std::cmp::Ordering;

use crate::bounds::Pulse;
use crate::ops::kit::complex::Complex64;
use crate::{OpError, ensure};

use super::algebra::{Matrix, ONE, ZERO};
use super::factor::reflected;

/// As often as rotations go through a matrix at most; a few times are enough.
const SWEEPS: usize = 60;

/// A rotation of two columns into `c·p − s·d·q` and `s·p + c·d·q`.
struct Rotation {
    c: f64,
    s: f64,
    d: Complex64,
}

impl Rotation {
    /// What makes the off-diagonal element `pq` of a Hermitian matrix 0, between `pp` and `qq` on its diagonal.
    fn of(pp: f64, qq: f64, pq: Complex64) -> Rotation {
        let size = pq.norm();
        let theta = (qq - pp) / (2.0 * size);
        let t = 1f64.copysign(theta) / (theta.abs() + theta.hypot(1.0));
        let c = 1.0 / t.hypot(1.0);
        Rotation { c, s: t * c, d: pq.conj() / size }
    }

    fn columns(&self, a: &mut Matrix, p: usize, q: usize) {
        for i in 0..a.rows {
            let (x, y) = (a[(i, p)], a[(i, q)] * self.d);
            a[(i, p)] = x * self.c - y * self.s;
            a[(i, q)] = x * self.s + y * self.c;
        }
    }

    fn rows(&self, a: &mut Matrix, p: usize, q: usize) {
        for j in 0..a.cols {
            let (x, y) = (a[(p, j)], a[(q, j)] * self.d.conj());
            a[(p, j)] = x * self.c - y * self.s;
            a[(q, j)] = x * self.s + y * self.c;
        }
    }
}

/// Rotates pairs of columns with `turn`, which says whether it did, until none is left to be.
fn sweep(n: usize, mut turn: impl FnMut(usize, usize) -> bool) -> Result<(), OpError> {
    let mut pulse = Pulse::default();
    for _ in 0..SWEEPS {
        let mut still = true;
        for p in 0..n {
            for q in p + 1..n {
                pulse.turns(n)?;
                still &= !turn(p, q);
            }
        }
        if still {
            return Ok(());
        }
    }
    Err(OpError::Invalid(format!("expected an end of the iteration within {SWEEPS} turns, found none")))
}

fn finite(a: &Matrix) -> Result<(), OpError> {
    ensure!(a.is_finite(), "expected finite numbers, found infinite ones or NaN");
    Ok(())
}

/// Eigenvalues, smallest first, and eigenvectors as columns of a Hermitian matrix, of which only the lower triangle is read.
pub(super) fn hermitian(a: &Matrix) -> Result<(Vec<f64>, Matrix), OpError> {
    let n = a.rows;
    let mut a = Matrix::new(n, n, |i, j| match i.cmp(&j) {
        Ordering::Less => a[(j, i)].conj(),
        Ordering::Equal => a[(i, i)].re.into(),
        Ordering::Greater => a[(i, j)],
    });
    finite(&a)?;
    let tiny = a.largest() * f64::EPSILON / 8.0;
    let mut v = Matrix::identity(n, n);
    sweep(n, |p, q| {
        let (pp, qq, pq) = (a[(p, p)].re, a[(q, q)].re, a[(p, q)]);
        if pq.norm() <= tiny {
            return false;
        }
        let rotation = Rotation::of(pp, qq, pq);
        rotation.columns(&mut a, p, q);
        rotation.rows(&mut a, p, q);
        (a[(p, q)], a[(q, p)]) = (ZERO, ZERO);
        rotation.columns(&mut v, p, q);
        true
    })?;
    let values: Vec<f64> = (0..n).map(|i| a[(i, i)].re).collect();
    let order = sorted(&values, |a, b| a.total_cmp(b));
    Ok((picked(&values, &order), columns(&v, &order)))
}

/// The places of the values in their order.
fn sorted<T: Copy>(values: &[T], compare: impl Fn(&T, &T) -> Ordering) -> Vec<usize> {
    let mut order: Vec<(usize, T)> = values.iter().copied().enumerate().collect();
    order.sort_by(|a, b| compare(&a.1, &b.1));
    order.into_iter().map(|(i, _)| i).collect()
}

fn picked<T: Copy>(values: &[T], order: &[usize]) -> Vec<T> {
    order.iter().filter_map(|&i| values.get(i).copied()).collect()
}

fn columns(a: &Matrix, order: &[usize]) -> Matrix {
    let by_column = a.transposed();
    let data = order.iter().flat_map(|&i| by_column.data.iter().skip(i * a.rows).take(a.rows)).copied().collect();
    Matrix { rows: order.len(), cols: a.rows, data }.transposed()
}

/// `a = u · diag(values) · vᴴ`, with as many columns of `u` and `v` as values, the largest first.
pub(super) struct Svd {
    pub u: Matrix,
    pub values: Vec<f64>,
    pub v: Matrix,
}

/// Columns are rotated until they are orthogonal.
pub(super) fn svd(a: &Matrix) -> Result<Svd, OpError> {
    finite(a)?;
    if a.rows < a.cols {
        let Svd { u, values, v } = svd(&a.adjoint())?;
        return Ok(Svd { u: v, values, v: u });
    }
    let (mut a, mut v) = (a.clone(), Matrix::identity(a.cols, a.cols));
    let scale = a.largest();
    if scale > 0.0 {
        a = a.scaled(1.0 / scale);
    }
    sweep(a.cols, |p, q| {
        let (pp, qq) = (a.square_of(p), a.square_of(q));
        let pq: Complex64 = (0..a.rows).map(|i| a[(i, p)].conj() * a[(i, q)]).sum();
        if pq.norm() <= f64::EPSILON * (pp * qq).sqrt().max(f64::EPSILON * f64::EPSILON) {
            return false;
        }
        let rotation = Rotation::of(pp, qq, pq);
        rotation.columns(&mut a, p, q);
        rotation.columns(&mut v, p, q);
        true
    })?;
    let values: Vec<f64> = (0..a.cols).map(|j| a.square_of(j).sqrt()).collect();
    let order = sorted(&values, |a, b| b.total_cmp(a));
    let (u, v, values) = (columns(&a, &order), columns(&v, &order), picked(&values, &order));
    Ok(Svd { u: normalised(u, &values)?, values: values.iter().map(|s| s * scale).collect(), v })
}

/// The columns of `a`, orthogonal and of these lengths, each of length 1; others of that kind in place of columns of length 0.
fn normalised(a: Matrix, lengths: &[f64]) -> Result<Matrix, OpError> {
    let least = lengths.first().copied().unwrap_or(0.0) * f64::EPSILON * a.rows as f64;
    let rank = lengths.iter().take_while(|s| **s > least).count();
    let mut u = a.part(a.rows, rank);
    for (j, length) in lengths.iter().take(rank).enumerate() {
        (0..u.rows).for_each(|i| u[(i, j)] /= length);
    }
    completed(&u, a.cols)
}

/// The orthonormal columns of `u`, and further ones up to `cols`.
pub(super) fn completed(u: &Matrix, cols: usize) -> Result<Matrix, OpError> {
    let q = reflected(u.clone())?.orthogonal(cols)?;
    Ok(Matrix::new(u.rows, cols, |i, j| if j < u.cols { u[(i, j)] } else { q[(i, j)] }))
}

/// `a = z · t · zᴴ` with an upper triangle `t`, on whose diagonal the eigenvalues are.
pub(super) struct Schur {
    pub t: Matrix,
    pub z: Matrix,
}

/// What makes `b` below `a` 0.
struct Givens {
    a: Complex64,
    b: Complex64,
}

impl Givens {
    fn of(a: Complex64, b: Complex64) -> Givens {
        let norm = a.norm().hypot(b.norm());
        if norm == 0.0 { Givens { a: ONE, b: ZERO } } else { Givens { a: a / norm, b: b / norm } }
    }

    fn rows(&self, m: &mut Matrix, p: usize, q: usize) {
        for j in 0..m.cols {
            let (x, y) = (m[(p, j)], m[(q, j)]);
            m[(p, j)] = self.a.conj() * x + self.b.conj() * y;
            m[(q, j)] = self.a * y - self.b * x;
        }
    }

    fn columns(&self, m: &mut Matrix, p: usize, q: usize) {
        for i in 0..m.rows {
            let (x, y) = (m[(i, p)], m[(i, q)]);
            m[(i, p)] = self.a * x + self.b * y;
            m[(i, q)] = self.a.conj() * y - self.b.conj() * x;
        }
    }
}

/// By steps with shifts from the last two rows.
pub(super) fn schur(a: &Matrix) -> Result<Schur, OpError> {
    finite(a)?;
    let (n, mut pulse) = (a.rows, Pulse::default());
    let (mut t, mut z) = hessenberg(a)?;
    let (mut end, mut turns, scale) = (n, 0, 0.1 * a.largest());
    while end > 1 {
        let small = |t: &Matrix, i: usize| {
            t[(i, i - 1)].norm() <= f64::EPSILON * (t[(i - 1, i - 1)].norm() + t[(i, i)].norm() + scale)
        };
        let start = (1..end).rev().find(|&i| small(&t, i)).unwrap_or(0);
        if start > 0 {
            t[(start, start - 1)] = ZERO;
        }
        if start + 1 == end {
            (end, turns) = (end - 1, 0);
            continue;
        }
        turns += 1;
        ensure!(turns <= SWEEPS, "expected an end of the iteration within {SWEEPS} turns, found none");
        let shift = if turns % 10 == 0 { t[(end - 1, end - 1)] + t[(end - 1, end - 2)].norm() } else { shift(&t, end) };
        (start..end).for_each(|i| t[(i, i)] -= shift);
        let mut turned = Vec::new();
        for k in start..end - 1 {
            pulse.turns(3 * n)?;
            let givens = Givens::of(t[(k, k)], t[(k + 1, k)]);
            givens.rows(&mut t, k, k + 1);
            turned.push(givens);
        }
        for (givens, k) in turned.iter().zip(start..) {
            givens.columns(&mut t, k, k + 1);
            givens.columns(&mut z, k, k + 1);
        }
        (start..end).for_each(|i| t[(i, i)] += shift);
    }
    Ok(Schur { t: t.masked(|i, j| i <= j), z })
}

/// A matrix like `a` that is 0 below the elements under the diagonal, and the unitary matrix between them.
fn hessenberg(a: &Matrix) -> Result<(Matrix, Matrix), OpError> {
    let (n, mut t, mut z, mut pulse) = (a.rows, a.clone(), Matrix::identity(a.rows, a.rows), Pulse::default());
    for col in 0..n.saturating_sub(2) {
        for row in col + 2..n {
            pulse.turns(3 * n)?;
            let givens = Givens::of(t[(col + 1, col)], t[(row, col)]);
            givens.rows(&mut t, col + 1, row);
            givens.columns(&mut t, col + 1, row);
            givens.columns(&mut z, col + 1, row);
            t[(row, col)] = ZERO;
        }
    }
    Ok((t, z))
}

/// The eigenvalue of the two rows before `end` that is nearer to the last element.
fn shift(t: &Matrix, end: usize) -> Complex64 {
    let (p, q) = (end - 2, end - 1);
    let (a, b, c, d) = (t[(p, p)], t[(p, q)], t[(q, p)], t[(q, q)]);
    let half = (a - d) * 0.5;
    let root = (half * half + b * c).sqrt();
    let (near, far) = if (half + root).norm() < (half - root).norm() {
        (half + root, half - root)
    } else {
        (half - root, half + root)
    };
    if far == ZERO { d + near } else { d - b * c / far }
}

/// Eigenvalues by their magnitude, smallest first, and eigenvectors of length 1 as columns, whose largest element is positive.
pub(super) fn eigen(a: &Matrix) -> Result<(Vec<Complex64>, Matrix), OpError> {
    let (n, Schur { t, z }) = (a.rows, schur(a)?);
    let tiny = (t.largest() * f64::EPSILON).max(f64::MIN_POSITIVE);
    let mut y = Matrix::identity(n, n);
    let mut pulse = Pulse::default();
    for k in 0..n {
        for i in (0..k).rev() {
            pulse.turns(k)?;
            let sum: Complex64 = (i + 1..=k).map(|j| t[(i, j)] * y[(j, k)]).sum();
            let between = t[(k, k)] - t[(i, i)];
            y[(i, k)] = sum / if between.norm() < tiny { tiny.into() } else { between };
        }
    }
    let mut vectors = z.times(&y)?;
    for j in 0..n {
        let largest =
            (0..n).map(|i| vectors[(i, j)]).fold(ZERO, |a, b| if b.norm() > a.norm() * (1.0 + 1e-9) { b } else { a });
        let factor = largest.conj() / (largest.norm() * vectors.square_of(j).sqrt());
        (0..n).for_each(|i| vectors[(i, j)] *= factor);
    }
    let values: Vec<Complex64> = (0..n).map(|i| t[(i, i)]).collect();
    let order = sorted(&values, |a, b| a.norm().total_cmp(&b.norm()));
    Ok((picked(&values, &order), columns(&vectors, &order)))
}

#[cfg(test)]
mod tests {
    use super::super::samples::complex;
    use super::*;

    fn diagonal(values: impl IntoIterator<Item = Complex64>) -> Matrix {
        let values: Vec<_> = values.into_iter().collect();
        Matrix::new(values.len(), values.len(), |i, j| if i == j { values[i] } else { ZERO })
    }

    fn close(a: &Matrix, b: &Matrix) {
        assert_eq!((a.rows, a.cols), (b.rows, b.cols));
        let off = a.add(&b.scaled(-1.0)).largest();
        assert!(off < 1e-11, "{off}");
    }

    fn orthonormal(u: &Matrix) {
        close(&u.adjoint().times(u).unwrap(), &Matrix::identity(u.cols, u.cols));
    }

    #[test]
    fn hermitian_matrices_have_orthonormal_vectors() {
        for n in [0, 1, 2, 7, 20] {
            let a = complex(n, n);
            let a = a.add(&a.adjoint());
            let (w, v) = hermitian(&a.masked(|i, j| i >= j)).unwrap();
            orthonormal(&v);
            assert!(w.is_sorted());
            let back = v.times(&diagonal(w.into_iter().map(Complex64::from))).unwrap().times(&v.adjoint()).unwrap();
            close(&back, &a);
        }
    }

    #[test]
    fn singular_values_and_vectors_are_the_matrix() {
        let low = complex(6, 2).times(&complex(2, 4)).unwrap();
        let zero = Matrix::new(3, 2, |_, _| ZERO);
        for a in [complex(5, 3), complex(3, 5), complex(8, 8), low, zero, complex(4, 0), complex(3, 2).scaled(1e-200)] {
            let Svd { u, values, v } = svd(&a).unwrap();
            orthonormal(&u);
            orthonormal(&v);
            orthonormal(&completed(&u, u.rows).unwrap());
            assert!(values.is_sorted_by(|a, b| a >= b));
            let back =
                u.times(&diagonal(values.into_iter().map(Complex64::from))).unwrap().times(&v.adjoint()).unwrap();
            close(&back, &a);
        }
        assert!(svd(&Matrix::new(1, 1, |_, _| f64::NAN.into())).is_err());
    }

    #[test]
    fn eigenvectors_are_only_stretched() {
        let companion = Matrix::new(4, 4, |i, j| if (i + 1) % 4 == j { ONE } else { ZERO });
        for a in [complex(1, 1), complex(2, 2), complex(9, 9), companion, complex(0, 0), Matrix::identity(3, 3)] {
            let (w, v) = eigen(&a).unwrap();
            assert!(w.is_sorted_by(|a, b| a.norm() <= b.norm() + 1e-12));
            close(&a.times(&v).unwrap(), &v.times(&diagonal(w)).unwrap());
            let Schur { t, z } = schur(&a).unwrap();
            orthonormal(&z);
            close(&z.times(&t).unwrap().times(&z.adjoint()).unwrap(), &a);
        }
    }
}
