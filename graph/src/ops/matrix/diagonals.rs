//! Several diagonals of matrices at once.

use crate::op::{Case, Ints, Operand, Operator, Rule};
use crate::ops::kit::broadcasting::single;
use crate::ops::kit::defined::Defined;
use crate::ops::kit::indices::{flat, rearrange_many, result};
use crate::ops::kit::sample::{Sample, filled, sample, wave};
use crate::{DType, OpError, Shape, Tensor, ensure, op, op_enum};

op_enum! {
    /// Where diagonals that are shorter than the longest lie in their rows: those above the main one, and those below it.
    Align {
        /// Above at the front, below at the end.
        LeftRight = 0, "left_right";
        /// Above at the end, below at the front.
        RightLeft = 1, "right_left";
        /// All at the front.
        LeftLeft = 2, "left_left";
        /// All at the end.
        RightRight = 3, "right_right";
    }
}

/// Diagonals from `low` to `high` of a matrix, which are rows of another one, the highest first.
#[derive(Clone, Copy)]
struct Bands {
    rows: usize,
    cols: usize,
    low: i64,
    high: i64,
    align: Align,
}

/// The lowest and the highest diagonal.
fn range(k: &Ints) -> Result<(i64, i64), OpError> {
    match k[..] {
        [one] => Ok((one, one)),
        [low, high] if low <= high => Ok((low, high)),
        _ => Err(OpError::Invalid(format!("expected one diagonal or a lowest and a highest one, found {k:?}"))),
    }
}

impl Bands {
    fn new(x: &Operand, k: &Ints, align: Align) -> Result<Bands, OpError> {
        let [.., rows, cols] = *x.shape() else {
            return Err(OpError::Invalid(format!("expected matrices, found {}", x.fact)));
        };
        Bands { rows, cols, low: 0, high: 0, align }.between(range(k)?)
    }

    fn between(self, (low, high): (i64, i64)) -> Result<Bands, OpError> {
        let inside = -(self.rows as i64) < low && high < self.cols as i64 || low == 0 && high == 0;
        ensure!(inside, "expected diagonals of {} x {} matrices, found {low} to {high}", self.rows, self.cols);
        Ok(Bands { low, high, ..self })
    }

    /// Number of diagonals.
    fn count(&self) -> usize {
        (self.high - self.low) as usize + 1
    }

    fn len(&self, diagonal: i64) -> usize {
        let skipped = diagonal.unsigned_abs() as usize;
        let (below, right) = if diagonal < 0 { (skipped, 0) } else { (0, skipped) };
        self.rows.saturating_sub(below).min(self.cols.saturating_sub(right))
    }

    fn longest(&self) -> usize {
        (self.low..=self.high).map(|d| self.len(d)).max().unwrap_or(0)
    }

    /// Where a diagonal begins in its row.
    fn start(&self, diagonal: i64) -> usize {
        let left_above = matches!(self.align, Align::LeftRight | Align::LeftLeft);
        let left_below = matches!(self.align, Align::RightLeft | Align::LeftLeft);
        let left = diagonal >= 0 && left_above || diagonal <= 0 && left_below;
        if left { 0 } else { self.longest() - self.len(diagonal) }
    }

    /// The dimensions of the diagonals of one matrix; those of one diagonal are a vector.
    fn dims(&self) -> Shape {
        let all = [self.count(), self.longest()];
        all.into_iter().skip(usize::from(self.low == self.high)).collect()
    }

    /// The place of an element of the matrix among those of the diagonals.
    fn inward(&self, row: usize, col: usize) -> Option<usize> {
        let diagonal = col as i64 - row as i64;
        let inside = (self.low..=self.high).contains(&diagonal);
        inside.then(|| (self.high - diagonal) as usize * self.longest() + self.start(diagonal) + row.min(col))
    }

    /// The place in the matrix of element `at` of row `row` of the diagonals.
    fn outward(&self, row: usize, at: usize) -> Option<usize> {
        let diagonal = self.high - row as i64;
        let step = at.checked_sub(self.start(diagonal)).filter(|step| *step < self.len(diagonal))?;
        let skipped = diagonal.unsigned_abs() as usize;
        let (below, right) = if diagonal < 0 { (skipped, 0) } else { (0, skipped) };
        Some((step + below) * self.cols + step + right)
    }
}

/// The dimensions before the last `n`, and the number of elements of these.
fn batch(dims: &[usize], n: usize) -> Shape {
    dims.iter().copied().take(dims.len().saturating_sub(n)).collect()
}

/// Refuses a padding that is no number of the type of `x`.
fn padding(x: &Operand, padding: &Operand) -> Result<(), OpError> {
    single(padding)?;
    ensure!(padding.dtype() == x.dtype(), "expected a padding of {}, found {}", x.dtype(), padding.fact);
    Ok(())
}

/// A tensor of `dims`: matrices whose element at a multi-index is that of `source` of its coordinates in the last two dimensions,
/// in matrices of `len` elements.
fn moved(
    xs: &[&Tensor],
    dims: &[usize],
    fill: &[u8],
    source: impl Fn(usize, usize) -> Option<(usize, usize, usize)>,
) -> Result<Tensor, OpError> {
    let outer: Shape = batch(dims, 2);
    rearrange_many(xs, dims, fill, |index| match index {
        [before @ .., row, col] => {
            let (x, at, len) = source(*row, *col)?;
            Some((x, flat(&outer, before) * len + at))
        }
        _ => None,
    })
}

op! {
    /// The diagonals `k` of the matrices in the last two dimensions of `x`: one, whose elements are the last dimension of the result, or
    /// those from the first to the second of two numbers, each a row of a matrix, the highest first. Rows are as long as the longest
    /// diagonal; `align` says where shorter ones lie in theirs, and `padding_value` stands beside them. Any type.
    classic MatrixDiagPartV3 {
        x: Operand,
        k: Ints as Input,
        padding_value: Operand,
        align: Align = Align::RightLeft,
        max_length: i64 = 200_000_000,
    }
}

impl Operator for MatrixDiagPartV3 {
    fn rule(&self) -> Result<impl Rule, OpError> {
        let (x, fill) = (&self.x, &self.padding_value);
        padding(x, fill)?;
        let bands = Bands::new(x, &self.k, self.align)?;
        let outer = batch(x.shape(), 2);
        let dims: Shape = outer.iter().copied().chain(bands.dims()).collect();
        let whole: Shape = outer.iter().copied().chain([bands.count(), bands.longest()]).collect();
        let facts = vec![result(x.dtype(), &dims)?];
        let results = move || {
            let len = bands.rows * bands.cols;
            let y = moved(&[x.tensor()?], &whole, fill.tensor()?.bytes(), |row, at| {
                Some((0, bands.outward(row, at)?, len))
            })?;
            Ok(vec![y.reshape(&dims)?])
        };
        Ok(Defined { facts, results })
    }

    fn cases() -> Vec<Case> {
        let x = |dims: &[usize], k: &[i64]| {
            sample().arg(wave(DType::F32, dims)).ints(k).arg(filled(DType::F32, &[], |_| 9.0))
        };
        vec![
            x(&[3, 4], &[0]).exact("main"),
            x(&[2, 3, 2], &[1]).exact("above"),
            x(&[3, 4], &[-2, 2]).int(0).exact("left and right"),
            x(&[3, 4], &[-2, 2]).exact("right and left"),
            x(&[3, 4], &[-1, 3]).int(2).exact("left"),
            x(&[2, 4, 3], &[-2, 1]).int(3).exact("right"),
        ]
    }
}

op! {
    /// Matrices with the diagonals `k`, which are the last dimension of `x`, or two in the form of `MatrixDiagPartV3`, and `padding_value`
    /// elsewhere. Of `num_rows` and `num_cols` those that are −1 are as small as may be, together a square. Any type.
    classic MatrixDiagV3 {
        x: Operand,
        k: Ints as Input,
        num_rows: i64 as Input,
        num_cols: i64 as Input,
        padding_value: Operand,
        align: Align = Align::RightLeft,
    }
}

impl MatrixDiagV3 {
    fn bands(&self) -> Result<Bands, OpError> {
        let (low, high) = range(&self.k)?;
        let Some(&longest) = self.x.shape().last() else {
            return Err(OpError::Invalid(format!("expected diagonals, found {}", self.x.fact)));
        };
        let limit = -(1 << 31)..1 << 31;
        ensure!(limit.contains(&low) && limit.contains(&high), "expected 32-bit diagonals, found {low} to {high}");
        let longest = longest as i64;
        let (least_rows, least_cols) = (longest - high.min(0), longest + low.max(0));
        let (rows, cols) = match (self.num_rows, self.num_cols) {
            (-1, -1) => (least_rows.max(least_cols), least_rows.max(least_cols)),
            (-1, cols) => (least_rows, cols),
            (rows, -1) => (rows, least_cols),
            given => given,
        };
        let fits = rows >= least_rows && cols >= least_cols && (rows == least_rows || cols == least_cols);
        let square = self.num_rows == -1 && self.num_cols == -1;
        ensure!(fits || square, "expected {least_rows} rows or {least_cols} columns, found {rows} and {cols}");
        let bands = Bands { rows: rows as usize, cols: cols as usize, low: 0, high: 0, align: self.align };
        bands.between((low, high))
    }
}

impl Operator for MatrixDiagV3 {
    fn rule(&self) -> Result<impl Rule, OpError> {
        let (x, fill, bands) = (&self.x, &self.padding_value, self.bands()?);
        padding(x, fill)?;
        let own = bands.dims();
        ensure!(x.shape().ends_with(&own), "expected diagonals of dimensions {own:?}, found {}", x.fact);
        let dims: Shape = batch(x.shape(), own.len()).into_iter().chain([bands.rows, bands.cols]).collect();
        let facts = vec![result(x.dtype(), &dims)?];
        let results = move || {
            let len = own.iter().product();
            let source = |row, col| Some((0, bands.inward(row, col)?, len));
            Ok(vec![moved(&[x.tensor()?], &dims, fill.tensor()?.bytes(), source)?])
        };
        Ok(Defined { facts, results })
    }

    fn cases() -> Vec<Case> {
        let of = |dims: &[usize], k: &[i64], rows: i64, cols: i64| -> Sample {
            let x = sample().arg(wave(DType::F32, dims)).ints(k).int(rows).int(cols);
            x.arg(filled(DType::F32, &[], |_| 9.0))
        };
        vec![
            of(&[2, 3], &[0], -1, -1).exact("main"),
            of(&[3], &[1], 3, 5).exact("above"),
            of(&[3], &[-1], 5, -1).exact("below"),
            of(&[3, 3], &[-1, 1], -1, -1).exact("three"),
            of(&[2, 2, 3], &[-1, 0], -1, 3).int(3).exact("right"),
        ]
    }
}

op! {
    /// `x` with other diagonals `k` of the matrices in its last two dimensions: `diagonal`, in the form of `MatrixDiagPartV3`. Any type.
    classic MatrixSetDiagV3 {
        x: Operand,
        diagonal: Operand,
        k: Ints as Input,
        align: Align = Align::RightLeft,
        max_length: i64 = 200_000_000,
    }
}

impl Operator for MatrixSetDiagV3 {
    fn rule(&self) -> Result<impl Rule, OpError> {
        let (x, diagonal) = (&self.x, &self.diagonal);
        let bands = Bands::new(x, &self.k, self.align)?;
        let own = bands.dims();
        let wanted: Shape = batch(x.shape(), 2).into_iter().chain(own.iter().copied()).collect();
        let fits = diagonal.shape() == &wanted[..] && diagonal.dtype() == x.dtype();
        ensure!(fits, "expected diagonals {} {wanted:?}, found {}", x.dtype(), diagonal.fact);
        let facts = vec![result(x.dtype(), x.shape())?];
        let results = move || {
            let (all, len) = (bands.rows * bands.cols, own.iter().product());
            let source =
                |row, col| Some(bands.inward(row, col).map_or((0, row * bands.cols + col, all), |at| (1, at, len)));
            Ok(vec![moved(&[x.tensor()?, diagonal.tensor()?], x.shape(), &vec![0; x.dtype().size()], source)?])
        };
        Ok(Defined { facts, results })
    }

    fn cases() -> Vec<Case> {
        let of = |x: &[usize], diagonal: &[usize], k: &[i64]| {
            sample().arg(filled(DType::F32, x, |_| 9.0)).arg(wave(DType::F32, diagonal)).ints(k)
        };
        vec![
            of(&[3, 4], &[3], &[1]).exact("above"),
            of(&[3, 4], &[3, 3], &[-1, 1]).exact("three"),
            of(&[2, 3, 3], &[2, 2, 3], &[-1, 0]).int(2).exact("left"),
        ]
    }
}
