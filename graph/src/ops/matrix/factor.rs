//! Triangular factors, reflections, and systems that they solve.

use std::cmp::Ordering;

use crate::bounds::Pulse;
use crate::ops::kit::complex::Complex64;
use crate::{OpError, ensure};

use super::algebra::{Matrix, ONE, ZERO};

/// The lower triangle whose product with its adjoint is `a`, of which the upper triangle is not read.
pub(super) fn cholesky(a: &Matrix) -> Result<Matrix, OpError> {
    let (n, mut pulse) = (a.rows, Pulse::default());
    let mut l = Matrix::new(n, n, |_, _| ZERO);
    for i in 0..n {
        for j in 0..=i {
            pulse.turns(j + 1)?;
            let rest = a[(i, j)] - (0..j).map(|k| l[(i, k)] * l[(j, k)].conj()).sum::<Complex64>();
            if i == j {
                let positive = rest.re > 0.0;
                ensure!(positive, "expected a positive definite matrix, found {} behind {i} rows", rest.re);
                l[(i, i)] = rest.re.sqrt().into();
            } else {
                l[(i, j)] = rest / l[(j, j)];
            }
        }
    }
    Ok(l)
}

/// The factors of a matrix whose rows were swapped: below the diagonal the left one, whose diagonal is 1, else the right one.
pub(super) struct Lu {
    pub packed: Matrix,
    /// The row that each row was swapped with, one after the other.
    pub pivots: Vec<usize>,
}

/// With the largest number of a column as its pivot. A column of zeros is left as it is.
pub(super) fn lu(a: Matrix) -> Result<Lu, OpError> {
    let (mut a, mut pivots, mut pulse) = (a, Vec::new(), Pulse::default());
    for k in 0..a.rows.min(a.cols) {
        let largest = (k..a.rows).fold(k, |best, i| if a[(i, k)].norm() > a[(best, k)].norm() { i } else { best });
        pivots.push(largest);
        a.swap_rows(k, largest);
        let pivot = a[(k, k)];
        if pivot == ZERO {
            continue;
        }
        for i in k + 1..a.rows {
            pulse.turns(a.cols)?;
            let factor = a[(i, k)] / pivot;
            a[(i, k)] = factor;
            for j in k + 1..a.cols {
                let product = factor * a[(k, j)];
                a[(i, j)] -= product;
            }
        }
    }
    Ok(Lu { packed: a, pivots })
}

impl Lu {
    /// The left factor.
    pub fn lower(&self) -> Matrix {
        let packed = &self.packed;
        Matrix::new(packed.rows, self.pivots.len(), |i, j| match i.cmp(&j) {
            Ordering::Less => ZERO,
            Ordering::Equal => ONE,
            Ordering::Greater => packed[(i, j)],
        })
    }

    /// The right factor.
    pub fn upper(&self) -> Matrix {
        self.packed.part(self.pivots.len(), self.packed.cols).masked(|i, j| i <= j)
    }

    /// The matrix by which the product of the factors is multiplied from the left.
    pub fn permutation(&self) -> Matrix {
        let mut p = Matrix::identity(self.packed.rows, self.packed.rows);
        for (k, &pivot) in self.pivots.iter().enumerate() {
            p.swap_rows(k, pivot);
        }
        p.transposed()
    }

    pub fn is_singular(&self) -> bool {
        (0..self.pivots.len()).any(|i| self.packed[(i, i)] == ZERO)
    }

    /// −1 if an odd number of rows was swapped, else 1.
    pub fn parity(&self) -> Complex64 {
        let swaps = self.pivots.iter().enumerate().filter(|(k, pivot)| k != *pivot).count();
        if swaps.is_multiple_of(2) { ONE } else { -ONE }
    }

    /// The determinant of the square matrix.
    pub fn determinant(&self) -> Complex64 {
        (0..self.packed.rows).map(|i| self.packed[(i, i)]).fold(self.parity(), |d, z| d * z)
    }

    /// The solution of the square system.
    pub fn solve(&self, b: Matrix) -> Result<Matrix, OpError> {
        let mut b = b;
        for (k, &pivot) in self.pivots.iter().enumerate() {
            b.swap_rows(k, pivot);
        }
        let y = substitute(&self.packed, b, Triangle { lower: true, unit: true })?;
        substitute(&self.packed, y, Triangle { lower: false, unit: false })
    }
}

/// The solution of `a · y = b`.
pub(super) fn solve(a: Matrix, b: Matrix) -> Result<Matrix, OpError> {
    let lu = lu(a)?;
    ensure!(!lu.is_singular(), "expected an invertible matrix, found a singular one");
    lu.solve(b)
}

/// Which elements of a matrix count.
#[derive(Clone, Copy)]
pub(super) struct Triangle {
    pub lower: bool,
    /// Whether those on the diagonal are 1, whatever stands there.
    pub unit: bool,
}

/// The solution of `a · y = b`, where a triangle of `a` counts.
pub(super) fn substitute(a: &Matrix, b: Matrix, triangle: Triangle) -> Result<Matrix, OpError> {
    let (n, mut y, mut pulse) = (a.rows, b, Pulse::default());
    for step in 0..n {
        let i = if triangle.lower { step } else { n - 1 - step };
        let known = if triangle.lower { 0..i } else { i + 1..n };
        for j in 0..y.cols {
            pulse.turns(n)?;
            let rest = y[(i, j)] - known.clone().map(|k| a[(i, k)] * y[(k, j)]).sum::<Complex64>();
            y[(i, j)] = if triangle.unit { rest } else { rest / a[(i, i)] };
        }
    }
    Ok(y)
}

/// A matrix as a product of reflections `1 − τ v vᴴ` and an upper triangle, packed as LAPACK does: each `v` is 1 on the
/// diagonal, where the triangle lies, and stands below it.
pub(super) struct Reflected {
    pub packed: Matrix,
    pub taus: Vec<Complex64>,
}

/// Diagonal elements of the triangle are real, with the other sign than the elements from which they come; where nothing is
/// below these, they stay.
pub(super) fn reflected(a: Matrix) -> Result<Reflected, OpError> {
    let (mut a, mut taus) = (a, Vec::new());
    for k in 0..a.rows.min(a.cols) {
        let alpha = a[(k, k)];
        let below: f64 = (k + 1..a.rows).map(|i| a[(i, k)].norm_sqr()).sum();
        if below == 0.0 && alpha.im == 0.0 {
            taus.push(ZERO);
            continue;
        }
        let norm = (alpha.norm_sqr() + below).sqrt();
        let beta = if alpha.re < 0.0 { norm } else { -norm };
        let tau = (beta - alpha) / beta;
        for i in k + 1..a.rows {
            a[(i, k)] /= alpha - beta;
        }
        a[(k, k)] = beta.into();
        taus.push(tau);
        let below = a.below(k);
        reflect(&mut a, k, &below, tau.conj(), k + 1)?;
    }
    Ok(Reflected { packed: a, taus })
}

/// `(1 − τ v vᴴ) · y` in place of `y`, in its columns behind `from`; `v` begins with a 1 in row `k` and goes on with `below`.
fn reflect(y: &mut Matrix, k: usize, below: &[Complex64], tau: Complex64, from: usize) -> Result<(), OpError> {
    let mut pulse = Pulse::default();
    for j in from..y.cols {
        pulse.turns(2 * below.len() + 1)?;
        let dot = y[(k, j)] + below.iter().zip(k + 1..).map(|(v, i)| v.conj() * y[(i, j)]).sum::<Complex64>();
        y[(k, j)] -= tau * dot;
        for (v, i) in below.iter().zip(k + 1..) {
            y[(i, j)] -= tau * dot * v;
        }
    }
    Ok(())
}

impl Reflected {
    /// The first columns of the product of the reflections.
    pub fn orthogonal(&self, cols: usize) -> Result<Matrix, OpError> {
        let mut q = Matrix::identity(self.packed.rows, cols);
        for (k, &tau) in self.taus.iter().enumerate().rev() {
            reflect(&mut q, k, &self.packed.below(k), tau, 0)?;
        }
        Ok(q)
    }

    /// The first rows of the triangle.
    pub fn triangle(&self, rows: usize) -> Matrix {
        self.packed.part(rows, self.packed.cols).masked(|i, j| i <= j)
    }
}

#[cfg(test)]
mod tests {
    use super::super::samples::complex;
    use super::*;

    fn close(a: &Matrix, b: &Matrix) {
        assert_eq!((a.rows, a.cols), (b.rows, b.cols));
        let off = a.add(&b.scaled(-1.0)).largest();
        assert!(off < 1e-12, "{off}");
    }

    #[test]
    fn products_of_factors_are_the_matrix() {
        for (rows, cols) in [(4, 4), (5, 3), (3, 5), (1, 1), (0, 0)] {
            let a = complex(rows, cols);
            let f = lu(a.clone()).unwrap();
            let product = f.permutation().times(&f.lower()).unwrap().times(&f.upper()).unwrap();
            close(&product, &a);
            let f = reflected(a.clone()).unwrap();
            let q = f.orthogonal(rows).unwrap();
            close(&q.times(&f.triangle(rows)).unwrap(), &a);
            close(&q.adjoint().times(&q).unwrap(), &Matrix::identity(rows, rows));
        }
        let a = complex(4, 4);
        let a = a.times(&a.adjoint()).unwrap();
        let l = cholesky(&a).unwrap();
        close(&l.times(&l.adjoint()).unwrap(), &a);
        assert!(cholesky(&a.scaled(-1.0)).is_err() && cholesky(&a.scaled(f64::NAN)).is_err());
    }

    #[test]
    fn systems_are_solved() {
        let (a, y) = (complex(5, 5), complex(5, 2));
        close(&solve(a.clone(), a.times(&y).unwrap()).unwrap(), &y);
        let singular = Matrix::new(2, 2, |i, _| Complex64::from(i as f64));
        assert!(solve(singular, complex(2, 1)).is_err());
    }
}
