//! Arithmetic on lists of indices, sizes and offsets.

use crate::bounds;
use crate::op::{Case, CaseArg, Ints, Operand, Operator, Rule};
use crate::ops::index::gather::outside;
use crate::ops::kit::broadcasting::{scalars, tensor_of};
use crate::ops::kit::host::{ByData, host};
use crate::ops::kit::indices::{item, item_mut, only, rearrange_many, result, size};
use crate::ops::kit::sample::{Sample, cycle, sample};
use crate::ops::reduce::order::compare;
use crate::task::Scalar;
use crate::{DType, Fact, OpError, Tensor, count, ensure, normalize_axis, op};

fn vector(x: &Operand) -> Result<(), OpError> {
    ensure!(x.rank() == 1, "expected a vector, found {}", x.fact);
    Ok(())
}

fn integers(x: &Operand) -> Result<DType, OpError> {
    ensure!(x.dtype().is_int(), "expected integers, found {}", x.fact);
    Ok(x.dtype())
}

/// Where each of several parts begins in what they are when joined along `axis`: a row of coordinates for each.
fn offsets(shapes: &[Vec<i64>], axis: i64) -> Result<Vec<Vec<i64>>, OpError> {
    let rank = shapes.first().map_or(0, Vec::len);
    let place = normalize_axis(axis, rank);
    let axis = place.ok_or_else(|| OpError::Invalid(format!("axis {axis} is out of range for rank {rank}")))?;
    let (mut rows, mut begin) = (Vec::with_capacity(shapes.len()), 0i64);
    for shape in shapes {
        let others = |(d, pair): (usize, (&i64, &i64))| d == axis || pair.0 == pair.1;
        let first = shapes.first().unwrap_or(shape);
        let fits = shape.len() == rank && shape.iter().zip(first).enumerate().all(others);
        ensure!(fits, "cannot join {first:?} and {shape:?} along dimension {axis}");
        rows.push((0..rank).map(|d| if d == axis { begin } else { 0 }).collect());
        begin = begin.saturating_add(*item(shape, axis)?);
    }
    Ok(rows)
}

op! {
    /// Where each tensor begins in what they are when joined along `axis`: one row of coordinates for each, in `i64`.
    classic ConcatOffset { input_x: Vec<Operand>, axis: i64 = 0 }
}

impl Operator for ConcatOffset {
    fn rule(&self) -> Result<impl Rule, OpError> {
        let shapes: Vec<Vec<i64>> =
            self.input_x.iter().map(|x| x.shape().iter().map(|d| *d as i64).collect()).collect();
        let rows = offsets(&shapes, self.axis)?;
        let dims = [rows.len(), rows.first().map_or(0, Vec::len)];
        Ok(Tensor::from_i64s(DType::I64, &dims, &rows.concat())?)
    }

    fn cases() -> Vec<Case> {
        vec![sample().tensors(DType::F32, &[&[2, 3], &[2, 5], &[2, 1]]).int(-1).exact("columns")]
    }
}

op! {
    /// Where tensors of the shapes `x` begin when they are joined along `axis`: a vector of coordinates for each, in their type.
    object ConcatOffsetV1 { axis: i64, x: Vec<Operand> } -> Tuple
}

impl Operator for ConcatOffsetV1 {
    fn rule(&self) -> Result<impl Rule, OpError> {
        let facts = || {
            self.x.iter().try_for_each(|x| integers(x).map(drop).and_then(|()| vector(x)))?;
            Ok(self.x.iter().map(|x| x.fact.clone()).collect())
        };
        let results = |facts: Vec<Fact>| {
            let shapes = self.x.iter().map(Operand::i64s).collect::<Result<Vec<_>, _>>()?;
            let rows = offsets(&shapes, self.axis)?;
            let one = |(fact, row): (&Fact, Vec<i64>)| Ok(Tensor::from_i64s(fact.dtype, &fact.shape, &row)?);
            facts.iter().zip(rows).map(one).collect()
        };
        Ok(host(facts, results))
    }

    fn cases() -> Vec<Case> {
        let shapes = [[2, 3], [2, 5]].map(|dims| Tensor::vector::<i32>(&dims));
        vec![sample().int(1).arg(CaseArg::Tensors(shapes.to_vec())).exact("columns")]
    }
}

op! {
    /// As many elements as the last of `cum_sum_arr` says: the first of `input_x` from place `cum_sum_arr[shift_idx]` to
    /// before `cum_sum_arr[shift_idx + 1]`, −1 elsewhere.
    object PadAndShift { input_x: Operand, cum_sum_arr: Operand, shift_idx: i64 }
}

impl PadAndShift {
    fn results(&self) -> Result<Vec<Tensor>, OpError> {
        let (x, d, ends) = (self.input_x.tensor()?, self.input_x.dtype(), self.cum_sum_arr.i64s()?);
        let at = size(self.shift_idx, "shift_idx")?;
        let [start, end, len] = [item(&ends, at)?, item(&ends, at + 1)?, item(&ends, ends.len() - 1)?];
        let [start, end, len] = [size(*start, "a sum")?, size(*end, "a sum")?, size(*len, "a sum")?];
        let fits = start <= end && end <= len && end - start <= x.count();
        ensure!(fits, "cannot put {} elements from {start} to {end} of {len}", x.count());
        result(d, &[len])?;
        let fill = tensor_of(d, &[1], &[Scalar::Int(-1)])?;
        let source = |i: usize| if (start..end).contains(&i) { (0, i - start) } else { (1, 0) };
        let zero = vec![0; d.size()];
        let place = |index: &[usize]| index.first().map(|i| source(*i));
        Ok(vec![rearrange_many(&[x, &fill], &[len], &zero, place)?])
    }
}

impl Operator for PadAndShift {
    fn rule(&self) -> Result<impl Rule, OpError> {
        vector(&self.cum_sum_arr)?;
        ensure!(self.cum_sum_arr.count() > 1, "expected two sums or more, found {}", self.cum_sum_arr.fact);
        integers(&self.cum_sum_arr)?;
        Ok(ByData { operands: vec![&self.input_x, &self.cum_sum_arr], results: || self.results() })
    }

    fn cases() -> Vec<Case> {
        let s = sample().index(DType::I32, &[6], &[9, 8, 7, 6, 5, 4]);
        vec![s.index(DType::I32, &[4], &[0, 1, 3, 6]).int(1).exact("middle")]
    }
}

op! {
    /// The elements of `input_x` less `offset` that are from 0 to below `max_num`, and their positions, both in the type of
    /// `input_x`.
    object SubAndFilter { input_x: Operand, max_num: i64, offset: i64 }
}

impl SubAndFilter {
    fn results(&self) -> Result<Vec<Tensor>, OpError> {
        let d = self.input_x.dtype();
        let moved = self.input_x.i64s()?.into_iter().map(|x| x.wrapping_sub(self.offset)).enumerate();
        let (at, kept): (Vec<i64>, Vec<i64>) =
            moved.filter(|(_, x)| (0..self.max_num).contains(x)).map(|(i, x)| (i as i64, x)).unzip();
        Ok(vec![Tensor::from_i64s(d, &[kept.len()], &kept)?, Tensor::from_i64s(d, &[at.len()], &at)?])
    }
}

impl Operator for SubAndFilter {
    fn rule(&self) -> Result<impl Rule, OpError> {
        integers(&self.input_x)?;
        Ok(ByData { operands: vec![&self.input_x], results: || self.results() })
    }

    fn cases() -> Vec<Case> {
        vec![sample().index(DType::I32, &[4], &[1, 3, 5, 8]).int(5).int(2).exact("two")]
    }
}

op! {
    /// The elements of vector `x` that do not occur in `y`, in order, and their positions in type `out_idx`. NaN never occurs.
    classic ListDiff { x: Operand, y: Operand, out_idx: DType = DType::I32 }
}

impl ListDiff {
    fn results(&self) -> Result<Vec<Tensor>, OpError> {
        let d = self.x.dtype();
        let (x, mut y) = (scalars(self.x.tensor()?, d)?, scalars(self.y.tensor()?, d)?);
        y.retain(|y| !y.as_f64().is_nan());
        y.sort_by(|a, b| compare(*a, *b, d));
        let occurs = |x: Scalar| y.binary_search_by(|y| compare(*y, x, d)).is_ok();
        let (at, kept): (Vec<i64>, Vec<Scalar>) =
            x.into_iter().enumerate().filter(|(_, x)| !occurs(*x)).map(|(i, x)| (i as i64, x)).unzip();
        Ok(vec![tensor_of(d, &[kept.len()], &kept)?, Tensor::from_i64s(self.out_idx, &[at.len()], &at)?])
    }
}

impl Operator for ListDiff {
    fn rule(&self) -> Result<impl Rule, OpError> {
        vector(&self.x)?;
        vector(&self.y)?;
        ensure!(self.x.dtype() == self.y.dtype(), "expected one type, found {} and {}", self.x.fact, self.y.fact);
        ensure!(self.out_idx.is_int(), "expected a type of integers, found {}", self.out_idx);
        Ok(ByData { operands: vec![&self.x, &self.y], results: || self.results() })
    }

    fn cases() -> Vec<Case> {
        let x = cycle(DType::F32, &[5], &[1.5, 2.0, f64::NAN, 4.0, 3.0]);
        let i = sample().index(DType::I32, &[5], &[1, 2, 3, 4, 3]).index(DType::I32, &[2], &[3, 2]);
        vec![
            sample().arg(x).arg(cycle(DType::F32, &[3], &[3.0, 2.0, f64::NAN])).exact("floats"),
            i.dtype(DType::I64).exact("integers"),
        ]
    }
}

op! {
    /// Rows of the tensors `data` where the tensors `indices`, one for each, say; the last of several for one place counts, rows
    /// for none are 0.
    object DynamicStitch { indices: Vec<Operand>, data: Vec<Operand> }
}

impl DynamicStitch {
    /// The dimensions of one row.
    fn row(&self) -> Result<&[usize], OpError> {
        ensure!(
            self.indices.len() == self.data.len() && !self.data.is_empty(),
            "expected data for {} indices, found {}",
            self.indices.len(),
            self.data.len()
        );
        let (first, rank) = (item(&self.data, 0)?, item(&self.indices, 0)?.rank());
        let row = first.shape().get(rank..).unwrap_or_default();
        for (index, data) in self.indices.iter().zip(&self.data) {
            integers(index)?;
            let fits = data.dtype() == first.dtype() && data.shape().strip_prefix(index.shape()) == Some(row);
            ensure!(fits, "{} does not fit indices {} and {}", data.fact, index.fact, first.fact);
        }
        Ok(row)
    }

    fn results(&self) -> Result<Vec<Tensor>, OpError> {
        let row = self.row()?;
        let mut sources: Vec<Option<(usize, usize)>> = Vec::new();
        for (part, index) in self.indices.iter().enumerate() {
            for (from, place) in index.i64s()?.into_iter().enumerate() {
                let place = size(place, "indices")?;
                if place >= sources.len() {
                    let _room = bounds::room(place.saturating_mul(bounds::NUMBERS))?;
                    sources.resize(place + 1, None);
                }
                *item_mut(&mut sources, place)? = Some((part, from));
            }
        }
        let parts = self.data.iter().map(Operand::tensor).collect::<Result<Vec<_>, _>>()?;
        let dims: Vec<usize> = std::iter::once(sources.len()).chain(row.iter().copied()).collect();
        let d = item(&parts, 0)?.dtype();
        result(d, &dims)?;
        let (inner, mut at) = (count(row), 0..);
        let y = rearrange_many(&parts, &dims, &vec![0; d.size()], |_| {
            let at = at.next()?;
            let (part, from) = (*sources.get(at / inner)?)?;
            Some((part, from * inner + at % inner))
        })?;
        Ok(vec![y])
    }
}

impl Operator for DynamicStitch {
    fn rule(&self) -> Result<impl Rule, OpError> {
        self.row()?;
        Ok(ByData { operands: self.indices.iter().chain(&self.data).collect(), results: || self.results() })
    }

    fn cases() -> Vec<Case> {
        let indices = [Tensor::vector(&[0i32, 3]), Tensor::vector(&[1i32, 3])];
        let s = sample().arg(CaseArg::Tensors(indices.to_vec()));
        vec![s.tensors(DType::F32, &[&[2, 3], &[2, 3]]).exact("rows")]
    }
}

op! {
    /// How often a tensor of shape `shape` is repeated along each of `ndim` dimensions to have the shape `out_shape`: as often
    /// as the dimension is long where the shapes differ, else once.
    object TileSize { shape: Ints, out_shape: Ints, ndim: i64 } -> Numbers
}

impl Operator for TileSize {
    fn rule(&self) -> Result<impl Rule, OpError> {
        let n = size(self.ndim, "ndim")?;
        let fits = n <= 64 && self.shape.len() == self.out_shape.len() && self.shape.len() <= n;
        ensure!(fits, "expected shapes of {n} dimensions, found {:?} and {:?}", self.shape, self.out_shape);
        let times = self.shape.iter().zip(&self.out_shape).map(|(own, out)| if own == out { 1 } else { *out });
        let times: Vec<i64> = times.chain(std::iter::repeat(1)).take(n).collect();
        Ok(Tensor::vector(&times))
    }

    fn cases() -> Vec<Case> {
        vec![sample().ints(&[1, 3]).ints(&[4, 3]).int(3).exact("rows")]
    }
}

op! {
    /// The coordinates, in a tensor of shape `dims`, of the elements at the positions `indices`: one row for each dimension.
    /// `indices` is a vector or one number; both have one type of integers. A position outside is an error.
    object UnravelIndex { indices: Operand, dims: Operand }
}

impl UnravelIndex {
    fn facts(&self) -> Result<Vec<Fact>, OpError> {
        let (index, dims) = (&self.indices, &self.dims);
        vector(dims)?;
        ensure!(index.rank() <= 1, "expected a vector of positions, found {}", index.fact);
        ensure!(integers(index)? == dims.dtype(), "expected one type, found {} and {}", index.fact, dims.fact);
        let shape: Vec<usize> = std::iter::once(dims.count()).chain(index.shape().iter().copied()).collect();
        Ok(vec![result(index.dtype(), &shape)?])
    }

    fn results(&self, facts: Vec<Fact>) -> Result<Vec<Tensor>, OpError> {
        let (fact, index, dims) = (only(facts)?, self.indices.i64s()?, self.dims.i64s()?);
        let all = dims.iter().map(|d| size(*d, "dims")).collect::<Result<Vec<_>, _>>()?;
        let all = crate::checked_count(&all).unwrap_or(usize::MAX);
        if let Some(at) = index.iter().find(|at| usize::try_from(**at).map_or(true, |at| at >= all)) {
            return Err(outside(*at, all));
        }
        let (mut y, mut rest) = (Vec::new(), index);
        for len in dims.iter().rev() {
            y.push(rest.iter().map(|at| at % len).collect::<Vec<_>>());
            rest.iter_mut().for_each(|at| *at /= len);
        }
        y.reverse();
        Ok(vec![Tensor::from_i64s(fact.dtype, &fact.shape, &y.concat())?])
    }
}

impl Operator for UnravelIndex {
    fn rule(&self) -> Result<impl Rule, OpError> {
        Ok(host(|| self.facts(), |facts| self.results(facts)))
    }

    fn cases() -> Vec<Case> {
        let dims = |s: Sample| s.index(DType::I32, &[3], &[2, 3, 4]);
        vec![
            dims(sample().index(DType::I32, &[4], &[0, 5, 12, 23])).exact("vector"),
            dims(sample().index(DType::I32, &[], &[17])).exact("number"),
        ]
    }
}
