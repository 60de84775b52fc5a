//! Rows of several lengths: the elements one after another, and where each row begins.

use super::coo::{indices, lengths};
use crate::bounds;
use crate::op::{ArgValue, Case, CaseArg, Const, FromArg, Operand, Operator, ParamKind, Rule};
use crate::ops::kit::broadcasting::real;
use crate::ops::kit::host::ByData;
use crate::ops::kit::indices::{around, item, item_mut, rearrange_many, result, size};
use crate::ops::kit::sample::{filled, sample};
use crate::{DType, OpError, Tensor, count, ensure, op};

/// The largest number of elements that ranges have together.
const LIMIT: f64 = (1u64 << 28) as f64;

op! {
    /// Rows of numbers: row `i` has `starts[i]`, `starts[i] + deltas[i]`, … before `limits[i]`. One of a kind stands for all
    /// rows. Results: where the rows begin and the last ends, in type `Tsplits`, and all numbers, in the type of `starts`.
    classic RaggedRange, copies [Tsplits = splits] {
        starts: Operand,
        limits: Operand,
        deltas: Operand,
        splits ["Tsplits"]: DType = DType::I64,
    }
}

impl RaggedRange {
    fn results(&self) -> Result<Vec<Tensor>, OpError> {
        let d = self.starts.dtype();
        let operands = [&self.starts, &self.limits, &self.deltas];
        let rows = operands.iter().map(|x| x.count()).max().unwrap_or(0);
        let mut lists = operands.iter().map(|x| x.f64s()).collect::<Result<Vec<_>, _>>()?;
        for list in &mut lists {
            if let [one] = list.as_slice() {
                *list = vec![*one; rows];
            }
        }
        let (mut y, mut ends) = (Vec::new(), vec![0i64]);
        for row in 0..rows {
            let [start, limit, delta] =
                [*item(item(&lists, 0)?, row)?, *item(item(&lists, 1)?, row)?, *item(item(&lists, 2)?, row)?];
            ensure!(delta != 0.0, "expected a delta other than 0");
            let n = ((limit - start) / delta).ceil().max(0.0);
            ensure!((0.0..=LIMIT).contains(&(n + y.len() as f64)), "rows of {n} numbers are too long");
            let _room = bounds::room((n as usize).saturating_mul(bounds::NUMBERS))?;
            y.extend((0..n as usize).map(|i| start + i as f64 * delta));
            ends.push(y.len() as i64);
        }
        Ok(vec![Tensor::from_i64s(self.splits, &[ends.len()], &ends)?, Tensor::from_f64s(d, &[y.len()], &y)?])
    }
}

impl Operator for RaggedRange {
    fn rule(&self) -> Result<impl Rule, OpError> {
        let operands = vec![&self.starts, &self.limits, &self.deltas];
        let d = real(&self.starts)?;
        let rows = operands.iter().map(|x| x.count()).max();
        for x in &operands {
            let fits = x.dtype() == d && x.rank() <= 1 && (x.count() == 1 || Some(x.count()) == rows);
            ensure!(fits, "expected one {d} for each row, found {}", x.fact);
        }
        ensure!(self.splits.is_int(), "expected a type of integers, found {}", self.splits);
        Ok(ByData { operands, results: || self.results() })
    }

    fn cases() -> Vec<Case> {
        let three = |v: [[i64; 3]; 3]| v.into_iter().fold(sample(), |s, v| s.index(DType::I32, &[3], &v));
        vec![
            three([[2, 5, 8], [3, 5, 12], [1, 1, 1]]).exact("integers"),
            sample().real(2.0).real(0.5).real(-0.5).dtype(DType::I32).exact("one row down"),
        ]
    }
}

/// Where rows begin and the last ends.
fn ends(splits: &[i64]) -> Result<Vec<usize>, OpError> {
    let ends = splits.iter().map(|end| size(*end, "a row's end")).collect::<Result<Vec<_>, _>>()?;
    ensure!(ends.first() == Some(&0) && ends.is_sorted(), "expected ends of rows from 0 on, found {ends:?}");
    Ok(ends)
}

/// The lengths of rows that end there.
fn spans(ends: &[usize]) -> impl Iterator<Item = usize> + Clone {
    ends.iter().zip(ends.iter().skip(1)).map(|(from, to)| to - from)
}

/// Rows of rows: the coordinates of each of `len` elements of the innermost, and how long each dimension is at most.
fn nested(levels: &[Vec<usize>], len: usize) -> Result<(Vec<Vec<usize>>, Vec<usize>), OpError> {
    let below = levels.iter().skip(1).map(|ends| ends.len().saturating_sub(1)).chain([len]);
    for (ends, below) in levels.iter().zip(below) {
        ensure!(ends.last() == Some(&below), "expected rows that end at {below}, found {:?}", ends.last());
    }
    let _room = bounds::room(len.saturating_mul(levels.len() + 1).saturating_mul(bounds::NUMBERS))?;
    let rows = levels.first().map_or(0, |ends| ends.len().saturating_sub(1));
    let mut dims = vec![rows];
    let mut paths: Vec<Vec<usize>> = (0..rows).map(|row| vec![row]).collect();
    for ends in levels {
        ensure!(ends.len() == paths.len() + 1, "expected ends of {} rows, found {}", paths.len(), ends.len());
        dims.push(spans(ends).max().unwrap_or(0));
        let step = |(path, n): (&Vec<usize>, usize)| {
            let path = path.clone();
            (0..n).map(move |i| path.iter().copied().chain([i]).collect::<Vec<_>>())
        };
        paths = paths.iter().zip(spans(ends)).flat_map(step).collect();
    }
    Ok((paths, dims))
}

/// The position of each path with `inner` elements in a tensor of `dims`.
fn places(paths: &[Vec<usize>], dims: &[usize], inner: usize) -> Vec<usize> {
    let flat = |path: &Vec<usize>| path.iter().zip(dims).fold(0, |at, (i, len)| at * len + i) * inner;
    paths.iter().map(flat).flat_map(|at| at..at + inner).collect()
}

op! {
    /// Rows of several lengths, whose ends each of `rt_nested_splits` gives for one level, as a sparse tensor: indices, values
    /// and shape. Each dimension is as long as the longest row; further dimensions of `rt_dense_values` follow.
    classic RaggedTensorToSparse, copies [Tsplits = splits] {
        rt_nested_splits: Vec<Operand>,
        rt_dense_values: Operand,
        splits ["Tsplits"]: DType = DType::I64,
    }
}

impl RaggedTensorToSparse {
    fn results(&self) -> Result<Vec<Tensor>, OpError> {
        let levels = self.rt_nested_splits.iter().map(|splits| ends(&splits.i64s()?)).collect::<Result<Vec<_>, _>>()?;
        let values = &self.rt_dense_values;
        let [_, len, inner] = around(values.shape(), 0)?;
        let (paths, mut dims) = nested(&levels, len)?;
        let outer = dims.clone();
        dims.extend(values.shape().iter().skip(1));
        let total = dims.iter().try_fold(1usize, |n, d| n.checked_mul(*d));
        ensure!(total.is_some(), "a dense tensor of {dims:?} is too large");
        let places = places(&paths, &outer, inner);
        let flat = values.tensor()?.reshape(&[places.len()])?;
        Ok(vec![indices(DType::I64, &dims, &places)?, flat, lengths(DType::I64, &dims)?])
    }
}

impl Operator for RaggedTensorToSparse {
    fn rule(&self) -> Result<impl Rule, OpError> {
        let splits = &self.rt_nested_splits;
        let vectors = !splits.is_empty() && splits.iter().all(|s| s.rank() == 1 && s.dtype().is_int());
        ensure!(vectors, "expected vectors of integers as ends of rows");
        ensure!(self.rt_dense_values.rank() > 0, "expected values, found {}", self.rt_dense_values.fact);
        let operands = splits.iter().chain([&self.rt_dense_values]).collect();
        Ok(ByData { operands, results: || self.results() })
    }

    fn cases() -> Vec<Case> {
        let splits = |levels: &[&[i64]]| CaseArg::Tensors(levels.iter().map(|ends| Tensor::vector(ends)).collect());
        vec![
            sample().arg(splits(&[&[0, 4, 7, 7]])).tensor(DType::F32, &[7]).exact("rows"),
            sample().arg(splits(&[&[0, 2, 3], &[0, 4, 7, 7]])).tensor(DType::F32, &[7, 2]).exact("rows of rows"),
        ]
    }
}

/// Texts, such as the kinds of several operands.
#[derive(Clone, Debug, PartialEq)]
pub struct Texts(Vec<String>);

impl FromArg for Texts {
    const KIND: ParamKind = ParamKind::Value;

    fn from_arg(arg: &ArgValue) -> Result<Option<Self>, OpError> {
        let one = |c: &Const| match c {
            Const::Str(text) => Ok(text.to_string()),
            other => Err(OpError::Invalid(format!("expected text, found {other}"))),
        };
        match arg {
            ArgValue::Const(Const::Tuple(items)) => Ok(Some(Texts(items.iter().map(one).collect::<Result<_, _>>()?))),
            ArgValue::Const(Const::None) => Ok(None),
            ArgValue::Const(c) => Ok(Some(Texts(vec![one(c)?]))),
            _ => Err(OpError::Invalid("expected texts, found a tensor".into())),
        }
    }

    fn into_const(self) -> Option<Const> {
        Some(Const::Tuple(self.0.iter().map(|text| Const::from(text.as_str())).collect()))
    }
}

op! {
    /// A dense tensor of the dimensions `shape` (−1 for what is needed) of rows of several lengths, cut or filled up with
    /// `default_value`. Each of `row_partition_tensors` tells one level, in the way that `row_partition_types` says:
    /// `ROW_SPLITS` has the ends of its rows, `VALUE_ROWIDS` the row of each element, after `FIRST_DIM_SIZE`, the number of rows
    /// of the first level.
    classic RaggedTensorToTensor {
        shape: Operand,
        values: Operand,
        default_value: Operand,
        row_partition_tensors: Vec<Operand>,
        row_partition_types: Texts,
    }
}

impl RaggedTensorToTensor {
    /// The ends of the rows of each level.
    fn levels(&self) -> Result<Vec<Vec<usize>>, OpError> {
        let (mut levels, mut rows): (Vec<Vec<usize>>, Option<usize>) = (Vec::new(), None);
        for (kind, x) in self.row_partition_types.0.iter().zip(&self.row_partition_tensors) {
            let numbers = x.i64s()?;
            match kind.as_str() {
                "FIRST_DIM_SIZE" => rows = Some(size(*item(&numbers, 0)?, "the number of rows")?),
                "ROW_SPLITS" => levels.push(ends(&numbers)?),
                "VALUE_ROWIDS" => {
                    let above = levels.last().and_then(|ends| ends.last().copied());
                    let rows =
                        above.or(rows).ok_or_else(|| OpError::Invalid("expected the number of rows first".into()))?;
                    let _room = bounds::room(rows.saturating_mul(bounds::NUMBERS))?;
                    ensure!(numbers.is_sorted(), "expected rows in order, found {numbers:?}");
                    let mut ends = vec![0; rows + 1];
                    for row in numbers {
                        *item_mut(&mut ends, size(row, "a row")? + 1)? += 1;
                    }
                    let mut sum = 0;
                    for end in &mut ends {
                        sum += *end;
                        *end = sum;
                    }
                    levels.push(ends);
                }
                other => return Err(OpError::Invalid(format!("unknown kind of rows {other:?}"))),
            }
        }
        Ok(levels)
    }

    fn results(&self) -> Result<Vec<Tensor>, OpError> {
        let values = &self.values;
        let (levels, d) = (self.levels()?, values.dtype());
        let [_, len, _] = around(values.shape(), 0)?;
        let (paths, mut dims) = nested(&levels, len)?;
        let outer = dims.len();
        dims.extend(values.shape().iter().skip(1));
        let asked = self.shape.i64s()?;
        ensure!(asked.len() == dims.len() || asked.is_empty(), "expected {} dimensions, found {asked:?}", dims.len());
        for (own, asked) in dims.iter_mut().zip(asked).filter(|(_, asked)| *asked != -1) {
            *own = size(asked, "shape")?;
        }
        let rest = dims.get(outer..).unwrap_or_default();
        let same = values.shape().get(1..) == Some(rest) && self.default_value.count() == 1;
        ensure!(
            same,
            "expected rows of {rest:?} and one default, found {} and {}",
            values.fact,
            self.default_value.fact
        );
        let fact = result(d, &dims)?;
        let _room = bounds::room(fact.count().saturating_mul(bounds::NUMBERS))?;
        let inner = count(rest);
        let mut sources = vec![None; fact.count()];
        let lead = dims.get(..outer).unwrap_or_default();
        for (nth, path) in paths.iter().enumerate().filter(|(_, path)| path.iter().zip(lead).all(|(i, len)| i < len)) {
            let at = path.iter().zip(lead).fold(0, |at, (i, len)| at * len + i) * inner;
            for k in 0..inner {
                *item_mut(&mut sources, at + k)? = Some(nth * inner + k);
            }
        }
        let parts = [values.tensor()?, self.default_value.tensor()?];
        let mut next = sources.iter();
        let y = rearrange_many(&parts, &dims, &vec![0; d.size()], |_| Some(next.next()?.map_or((1, 0), |at| (0, at))))?;
        Ok(vec![y])
    }
}

impl Operator for RaggedTensorToTensor {
    fn rule(&self) -> Result<impl Rule, OpError> {
        let (x, default) = (&self.values, &self.default_value);
        let parts = &self.row_partition_tensors;
        ensure!(
            x.rank() > 0 && x.dtype() == default.dtype(),
            "expected values of one type, found {} and {}",
            x.fact,
            default.fact
        );
        let fits = parts.len() == self.row_partition_types.0.len() && parts.iter().all(|x| x.dtype().is_int());
        ensure!(fits, "expected integers, one tensor for each kind of {:?}", self.row_partition_types.0);
        ensure!(self.shape.dtype().is_int() && self.shape.rank() <= 1, "expected a shape, found {}", self.shape.fact);
        let operands = [&self.shape, x, default].into_iter().chain(parts).collect();
        Ok(ByData { operands, results: || self.results() })
    }

    fn cases() -> Vec<Case> {
        let part = |parts: &[&[i64]]| CaseArg::Tensors(parts.iter().map(|part| Tensor::vector(part)).collect());
        let kinds =
            |kinds: &[&str]| CaseArg::Const(Const::Tuple(kinds.iter().map(|kind| Const::from(*kind)).collect()));
        let s = |dims: &[i64]| {
            sample().data(Tensor::vector(dims)).tensor(DType::F32, &[9]).arg(filled(DType::F32, &[], |_| 7.0))
        };
        vec![
            s(&[4, 4]).arg(part(&[&[0, 3, 3, 7, 9]])).arg(kinds(&["ROW_SPLITS"])).exact("splits"),
            s(&[-1, 2])
                .arg(part(&[&[4], &[0, 0, 0, 2, 2, 2, 2, 3, 3]]))
                .arg(kinds(&["FIRST_DIM_SIZE", "VALUE_ROWIDS"]))
                .exact("rows"),
        ]
    }
}
