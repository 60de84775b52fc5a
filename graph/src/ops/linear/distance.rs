//! Distances of rows.

use crate::bounds::Pulse;
use crate::op::{Case, Operand, Operator, Rule};
use crate::ops::kit::broadcasting::size;
use crate::ops::kit::defined::Defined;
use crate::ops::kit::indices::result;
use crate::ops::kit::sample::{Sample, sample, wave};
use crate::{DType, OpError, Shape, Tensor, ensure, op};

/// The norm of order `p` of the difference of two rows: of order 0 the number of places where they differ.
fn distance(a: &[f64], b: &[f64], p: f64) -> f64 {
    let off = a.iter().zip(b).map(|(a, b)| (a - b).abs());
    if p == 0.0 {
        off.filter(|d| *d != 0.0).count() as f64
    } else if p == 2.0 {
        off.map(|d| d * d).sum::<f64>().sqrt()
    } else if p.is_infinite() {
        off.fold(0.0, |most, d| if d > most || d.is_nan() { d } else { most })
    } else {
        off.map(|d| d.powf(p)).sum::<f64>().powf(1.0 / p)
    }
}

/// Refuses orders of no norm.
fn order(p: f64) -> Result<f64, OpError> {
    ensure!(p >= 0.0 && !p.is_nan(), "expected an order of at least 0, found {p}");
    Ok(p)
}

/// The rows of matrices, `width` numbers each.
fn rows(data: &[f64], first: usize, count: usize, width: usize) -> impl Iterator<Item = &[f64]> {
    (first..first + count).filter_map(move |row| data.get(row * width..(row + 1) * width))
}

fn several(p: f64, make: fn() -> Sample) -> Vec<Case> {
    [(0.0, "order 0"), (1.0, "order 1"), (2.0, "order 2"), (3.5, "order 3.5"), (f64::INFINITY, "largest")]
        .into_iter()
        .filter(|(order, _)| *order != p)
        .map(|(order, name)| make().real(order as f32).case(name))
        .collect()
}

op! {
    /// Distances of all rows of the matrices `x1` from all rows of `x2`, which has as many matrices with rows as long: norms of order
    /// `p` of their differences, of order 0 the number of places where they differ. Floats, both of one type.
    Cdist { x1: Operand, x2: Operand, p: f64 = 2.0 }
}

impl Operator for Cdist {
    fn rule(&self) -> Result<impl Rule, OpError> {
        let (a, b, d, p) = (&self.x1, &self.x2, self.x1.dtype(), order(self.p)?);
        let ([batch @ .., n, width], [other @ .., m, also]) = (a.shape(), b.shape()) else {
            return Err(OpError::Invalid(format!("expected matrices, found {} and {}", a.fact, b.fact)));
        };
        let fits = batch == other && width == also && d.is_float() && b.dtype() == d;
        ensure!(fits, "expected as many matrices of one type with rows as long, found {} and {}", a.fact, b.fact);
        let (n, m, width, count) = (*n, *m, *width, size(batch)?);
        let dims: Shape = batch.iter().copied().chain([n, m]).collect();
        let facts = vec![result(d, &dims)?];
        let results = move || {
            let (x, y, mut out, mut pulse) = (a.f64s()?, b.f64s()?, Vec::new(), Pulse::default());
            for item in 0..count {
                for row in rows(&x, item * n, n, width) {
                    for other in rows(&y, item * m, m, width) {
                        pulse.turns(width + 1)?;
                        out.push(distance(row, other, p));
                    }
                }
            }
            Ok(vec![Tensor::from_f64s(d, &dims, &out)?])
        };
        Ok(Defined { facts, results })
    }

    fn cases() -> Vec<Case> {
        let mut out = several(-1.0, || sample().arg(wave(DType::F32, &[3, 4])).tensor(DType::F32, &[2, 4]));
        out.push(sample().arg(wave(DType::F64, &[2, 3, 2])).tensor(DType::F64, &[2, 1, 2]).case("batch"));
        out
    }
}

op! {
    /// Distances of each two rows of the matrix `x`, the first from all others, then the second from those behind it, and so on: norms
    /// of order `p` of their differences, as in `Cdist`.
    classic Pdist { x: Operand, p: f64 = 2.0 }
}

impl Operator for Pdist {
    fn rule(&self) -> Result<impl Rule, OpError> {
        let (x, d, p) = (&self.x, self.x.dtype(), order(self.p)?);
        let &[n, width] = x.shape() else {
            return Err(OpError::Invalid(format!("expected a matrix, found {}", x.fact)));
        };
        ensure!(d.is_float(), "expected floats, found {}", x.fact);
        let pairs = n.checked_mul(n.saturating_sub(1)).map(|twice| twice / 2);
        let pairs = pairs.ok_or_else(|| OpError::Invalid(format!("{n} rows have too many pairs")))?;
        let facts = vec![result(d, &[pairs])?];
        let results = move || {
            let (data, mut out, mut pulse) = (x.f64s()?, Vec::new(), Pulse::default());
            for (i, row) in rows(&data, 0, n, width).enumerate() {
                for other in rows(&data, i + 1, n - i - 1, width) {
                    pulse.turns(width + 1)?;
                    out.push(distance(row, other, p));
                }
            }
            Ok(vec![Tensor::from_f64s(d, &[pairs], &out)?])
        };
        Ok(Defined { facts, results })
    }

    fn cases() -> Vec<Case> {
        let mut out = several(-1.0, || sample().arg(wave(DType::F32, &[4, 3])));
        out.push(sample().arg(wave(DType::F64, &[1, 3])).case("no pairs"));
        out
    }
}
