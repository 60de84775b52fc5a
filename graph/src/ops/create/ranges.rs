//! Counted numbers and positions in triangles.

use super::numbers::{LIMIT, room, shape_of};
use crate::op::{Case, Operand, Operator, Rule};
use crate::ops::kit::broadcasting::real;
use crate::ops::kit::host::host;
use crate::ops::kit::indices::{only, size};
use crate::ops::kit::sample::{filled, sample};
use crate::{DType, Fact, OpError, Tensor, ensure, op};

/// Rows and columns of the elements of a triangle, row after row.
fn triangle(
    sides: [i64; 2],
    dtype: DType,
    columns: impl Fn(usize, usize) -> (usize, usize),
) -> Result<Tensor, OpError> {
    let [rows, cols] = [size(sides[0], "row")?, size(sides[1], "col")?];
    ensure!(matches!(dtype, DType::I32 | DType::I64), "expected i32 or i64, found {dtype}");
    ensure!(rows.saturating_mul(cols.max(1)) <= LIMIT, "a matrix of {rows} by {cols} is too large");
    let ranges = (0..rows).map(|row| columns(row, cols));
    let n: usize = ranges.clone().map(|(from, to)| to.saturating_sub(from)).sum();
    let _room = room(n.saturating_mul(2))?;
    let mut y = Vec::with_capacity(2 * n);
    for (row, (from, to)) in ranges.clone().enumerate() {
        y.extend(std::iter::repeat_n(row as i64, to.saturating_sub(from)));
    }
    y.extend(ranges.flat_map(|(from, to)| from as i64..to as i64));
    Ok(Tensor::from_i64s(dtype, &[2, n], &y)?)
}

/// The first column from diagonal `offset` on.
fn diagonal(row: usize, cols: usize, offset: i64) -> usize {
    (row as i64).saturating_add(offset).clamp(0, cols as i64) as usize
}

macro_rules! triangle_op {
    ($(#[doc = $doc:literal])+ $name:ident |$op:ident, $row:ident, $cols:ident| $range:expr) => {
        op! {
            $(#[doc = $doc])+
            classic $name { row: i64, col: i64, offset: i64 = 0, dtype: DType = DType::I32 }
        }

        impl Operator for $name {
            fn rule(&self) -> Result<impl Rule, OpError> {
                let $op = self;
                triangle([self.row, self.col], self.dtype, |$row, $cols| $range)
            }

            fn cases() -> Vec<Case> {
                vec![
                    sample().int(4).int(3).int(-1).exact("below"),
                    sample().int(2).int(4).int(1).dtype(DType::I64).exact("above"),
                    sample().int(0).int(3).exact("none"),
                ]
            }
        }
    };
}

triangle_op! {
    /// Rows and columns, as a matrix of two rows in `dtype`, of the elements of a matrix of `row` by `col` that are not above
    /// diagonal `offset`, row after row.
    TrilIndices |op, row, cols| (0, diagonal(row, cols, op.offset.saturating_add(1)))
}
triangle_op! {
    /// As `TrilIndices`, of the elements that are not below the diagonal.
    TriuIndices |op, row, cols| (diagonal(row, cols, op.offset), cols)
}

op! {
    /// `steps` powers of `base`, whose exponents are evenly spaced from `start` to `end`, both included, in `dtype`.
    classic LogSpace { start: Operand, end: Operand, steps: i64 = 10, base: i64 = 10, dtype: DType = DType::F32 }
}

impl Operator for LogSpace {
    fn rule(&self) -> Result<impl Rule, OpError> {
        let facts = || {
            let (start, end) = (&self.start, &self.end);
            ensure!(start.count() == 1 && end.count() == 1, "expected numbers, found {} and {}", start.fact, end.fact);
            real(start)?;
            real(end)?;
            ensure!(self.dtype.is_float(), "expected a float type, found {}", self.dtype);
            ensure!(self.base >= 0, "expected a base of at least 0, found {}", self.base);
            Ok(vec![Fact { dtype: self.dtype, shape: shape_of(&[self.steps])? }])
        };
        let results = |facts: Vec<Fact>| {
            let (fact, start, end) = (only(facts)?, only(self.start.f64s()?)?, only(self.end.f64s()?)?);
            let n = fact.count();
            let _room = room(n)?;
            let step = (end - start) / n.saturating_sub(1).max(1) as f64;
            let y: Vec<f64> = (0..n).map(|i| (self.base as f64).powf(start + i as f64 * step)).collect();
            Ok(vec![Tensor::from_f64s(fact.dtype, &fact.shape, &y)?])
        };
        Ok(host(facts, results))
    }

    fn cases() -> Vec<Case> {
        let s = sample().arg(filled(DType::F32, &[], |_| 1.0)).arg(filled(DType::F32, &[], |_| -0.5));
        vec![s.clone().int(4).int(10).case("four"), s.clone().int(1).int(2).case("one"), s.int(0).int(2).exact("none")]
    }
}

op! {
    /// `start`, `start + delta`, … before `limit`, of tensors of one element and one type, which the result has. At most
    /// `maxlen` elements.
    classic RangeV2 { start: Operand, limit: Operand, delta: Operand, maxlen: i64 = 1_000_000 }
}

impl RangeV2 {
    /// The numbers, whose type is `f64` for floats and `i64` for integers.
    fn numbers(&self) -> Result<Tensor, OpError> {
        let d = real(&self.start)?;
        let operands = [&self.start, &self.limit, &self.delta];
        let fits = operands.iter().all(|x| x.dtype() == d && x.count() == 1);
        ensure!(
            fits,
            "expected numbers of one type, found {} to {} by {}",
            operands[0].fact,
            operands[1].fact,
            operands[2].fact
        );
        let most = size(self.maxlen, "maxlen")?.min(LIMIT) as f64;
        let counted = |n: f64| {
            ensure!((0.0..=most).contains(&n), "expected at most {most} elements, found {n}");
            Ok(n as usize)
        };
        if d.is_float() {
            let [start, limit, delta] =
                [only(operands[0].f64s()?)?, only(operands[1].f64s()?)?, only(operands[2].f64s()?)?];
            let n = counted(((limit - start) / delta).ceil().max(0.0))?;
            let _room = room(n)?;
            let y: Vec<f64> = (0..n).map(|i| start + i as f64 * delta).collect();
            return Ok(Tensor::from_f64s(d, &[n], &y)?);
        }
        let mut whole = [0i128; 3];
        for (number, x) in whole.iter_mut().zip(operands) {
            *number = only(x.tensor()?.to_i128s()?)?;
        }
        let [start, limit, delta] = whole;
        ensure!(delta != 0, "expected a delta other than 0");
        let away = if delta > 0 { limit - start } else { start - limit };
        let step = delta.abs();
        let n = counted((if away > 0 { (away + step - 1) / step } else { 0 }) as f64)?;
        let _room = room(n)?;
        let y: Vec<i64> = (0..n as i128).map(|i| (start + i * delta) as i64).collect();
        Ok(Tensor::from_i64s(d, &[n], &y)?)
    }
}

impl Operator for RangeV2 {
    fn rule(&self) -> Result<impl Rule, OpError> {
        Ok(host(|| Ok(vec![self.numbers()?.fact()]), |_| Ok(vec![self.numbers()?])))
    }

    fn cases() -> Vec<Case> {
        let three = |dtype, values: [f64; 3]| sample().args(values.map(|v| filled(dtype, &[], move |_| v)));
        vec![
            three(DType::I32, [1.0, 10.0, 4.0]).exact("integers"),
            three(DType::F32, [1.0, 2.0, 0.25]).exact("floats"),
            three(DType::I64, [5.0, 0.0, -2.0]).exact("down"),
            three(DType::I64, [5.0, 9.0, -2.0]).exact("none"),
        ]
    }
}
