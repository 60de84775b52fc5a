//! Matrices of complex numbers.

use std::ops::{Index, IndexMut};

use crate::OpError;
use crate::bounds::Pulse;
use crate::ops::kit::complex::Complex64;

pub(super) const ZERO: Complex64 = Complex64::new(0.0, 0.0);
pub(super) const ONE: Complex64 = Complex64::new(1.0, 0.0);

/// A matrix, row by row.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Matrix {
    pub rows: usize,
    pub cols: usize,
    pub data: Vec<Complex64>,
}

impl Index<(usize, usize)> for Matrix {
    type Output = Complex64;

    #[expect(clippy::indexing_slicing, reason = "rows and columns are those of the matrix")]
    fn index(&self, (row, col): (usize, usize)) -> &Complex64 {
        &self.data[row * self.cols + col]
    }
}

impl IndexMut<(usize, usize)> for Matrix {
    #[expect(clippy::indexing_slicing, reason = "rows and columns are those of the matrix")]
    fn index_mut(&mut self, (row, col): (usize, usize)) -> &mut Complex64 {
        &mut self.data[row * self.cols + col]
    }
}

impl Matrix {
    /// Element (`row`, `col`) is `f(row, col)`.
    pub fn new(rows: usize, cols: usize, f: impl Fn(usize, usize) -> Complex64) -> Matrix {
        let data = (0..rows).flat_map(|i| (0..cols).map(move |j| (i, j))).map(|(i, j)| f(i, j)).collect();
        Matrix { rows, cols, data }
    }

    pub fn identity(rows: usize, cols: usize) -> Matrix {
        Matrix::new(rows, cols, |i, j| if i == j { ONE } else { ZERO })
    }

    /// One row of real numbers.
    pub fn row(numbers: impl IntoIterator<Item = f64>) -> Matrix {
        let data: Vec<_> = numbers.into_iter().map(Complex64::from).collect();
        Matrix { rows: 1, cols: data.len(), data }
    }

    pub fn transposed(&self) -> Matrix {
        Matrix::new(self.cols, self.rows, |i, j| self[(j, i)])
    }

    pub fn adjoint(&self) -> Matrix {
        Matrix::new(self.cols, self.rows, |i, j| self[(j, i)].conj())
    }

    /// Elements that `keep` of row and column takes, 0 elsewhere.
    pub fn masked(&self, keep: impl Fn(usize, usize) -> bool) -> Matrix {
        Matrix::new(self.rows, self.cols, |i, j| if keep(i, j) { self[(i, j)] } else { ZERO })
    }

    /// The first `rows` rows and `cols` columns.
    pub fn part(&self, rows: usize, cols: usize) -> Matrix {
        Matrix::new(rows, cols, |i, j| self[(i, j)])
    }

    pub fn add(&self, other: &Matrix) -> Matrix {
        Matrix::new(self.rows, self.cols, |i, j| self[(i, j)] + other[(i, j)])
    }

    pub fn scaled(&self, factor: f64) -> Matrix {
        Matrix { data: self.data.iter().map(|z| z * factor).collect(), ..*self }
    }

    pub fn times(&self, other: &Matrix) -> Result<Matrix, OpError> {
        let (mut y, mut pulse) = (Matrix::new(self.rows, other.cols, |_, _| ZERO), Pulse::default());
        for i in 0..self.rows {
            for k in 0..self.cols {
                pulse.turns(other.cols)?;
                for j in 0..other.cols {
                    y[(i, j)] += self[(i, k)] * other[(k, j)];
                }
            }
        }
        Ok(y)
    }

    pub fn swap_rows(&mut self, a: usize, b: usize) {
        for j in 0..self.cols {
            self.data.swap(a * self.cols + j, b * self.cols + j);
        }
    }

    /// The elements below the diagonal of a column.
    pub fn below(&self, col: usize) -> Vec<Complex64> {
        (col + 1..self.rows).map(|i| self[(i, col)]).collect()
    }

    /// Sum of the squared magnitudes of a column.
    pub fn square_of(&self, col: usize) -> f64 {
        (0..self.rows).map(|i| self[(i, col)].norm_sqr()).sum()
    }

    /// Largest magnitude of an element.
    pub fn largest(&self) -> f64 {
        self.data.iter().map(|z| z.norm()).fold(0.0, f64::max)
    }

    pub fn is_finite(&self) -> bool {
        self.data.iter().all(|z| z.is_finite())
    }
}
