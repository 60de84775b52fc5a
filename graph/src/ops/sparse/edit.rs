//! Sparse tensors made of sparse ones.

use super::coo::{Coo, check_coo, check_shape, coordinates, indices, lengths};
use crate::bounds;
use crate::op::{Case, CaseArg, Operand, Operator, Rule};
use crate::ops::index::combine::{Combine, Combined};
use crate::ops::kit::arithmetic::{Arithmetic, with_arithmetic};
use crate::ops::kit::broadcasting::{real, single};
use crate::ops::kit::host::{ByData, host};
use crate::ops::kit::indices::{item, item_mut, only, rearrange_many, size, sizes, taken};
use crate::ops::kit::sample::{Sample, sample};
use crate::{DType, Fact, OpError, Tensor, ensure, normalize_axis, op};

use std::collections::BTreeMap;

/// The numbers of the elements in row-major order; equal ones keep theirs.
fn in_order(places: &[usize]) -> Vec<usize> {
    let mut order: Vec<usize> = (0..places.len()).collect();
    order.sort_by_key(|i| places.get(*i));
    order
}

/// The elements `order` of a sparse tensor.
fn reordered(coo: &Coo, index: DType, values: &Tensor, order: &[usize]) -> Result<[Tensor; 2], OpError> {
    let places = order.iter().map(|i| item(&coo.places, *i).copied()).collect::<Result<Vec<_>, _>>()?;
    Ok([indices(index, &coo.dims, &places)?, taken(values, &[order.len()], order.iter().copied())?])
}

op! {
    /// The elements of a sparse tensor in row-major order; several at one place keep theirs. Results: indices and values.
    object SparseReorder { indices: Operand, values: Operand, shape: Operand }
}

impl Operator for SparseReorder {
    fn rule(&self) -> Result<impl Rule, OpError> {
        let (index, values, shape) = (&self.indices, &self.values, &self.shape);
        let facts = move || {
            check_coo(index, values)?;
            check_shape(index, shape)?;
            Ok(vec![index.fact.clone(), values.fact.clone()])
        };
        let results = move |_| {
            let coo = Coo::read(index, shape)?;
            Ok(reordered(&coo, index.dtype(), values.tensor()?, &in_order(&coo.places))?.to_vec())
        };
        Ok(host(facts, results))
    }

    fn cases() -> Vec<Case> {
        let s = sample().index(DType::I64, &[4, 2], &[2, 1, 0, 1, 0, 0, 0, 1]).tensor(DType::F32, &[4]);
        vec![s.index(DType::I64, &[2], &[3, 3]).exact("four")]
    }
}

op! {
    /// Where the elements of a sparse tensor of `shape` are when it is reshaped to `new_shape`, of which one may be −1 and is
    /// what remains. Results: the indices and the new shape.
    object SparseReshape { indices: Operand, shape: Operand, new_shape: Operand }
}

impl SparseReshape {
    fn facts(&self) -> Result<Vec<Fact>, OpError> {
        check_shape(&self.indices, &self.shape)?;
        let (index, new) = (&self.indices, &self.new_shape);
        let fits = index.dtype().is_int() && new.rank() == 1 && new.dtype().is_int();
        ensure!(fits, "expected integers, a vector for the shape, found {} and {}", index.fact, new.fact);
        let n = index.shape().first().copied().unwrap_or(0);
        Ok(vec![Fact::new(index.dtype(), &[n, new.count()]), Fact::clone(&new.fact)])
    }

    fn results(&self) -> Result<Vec<Tensor>, OpError> {
        let (Coo { dims, places }, mut new) = (Coo::read(&self.indices, &self.shape)?, self.new_shape.i64s()?);
        let count: usize = dims.iter().product();
        if let Some(open) = new.iter().position(|d| *d == -1) {
            let rest = new.iter().filter(|d| **d != -1).try_fold(1i64, |n, d| n.checked_mul(*d)).unwrap_or(0);
            ensure!(rest > 0, "cannot give {dims:?} the dimensions {new:?}");
            *item_mut(&mut new, open)? = count as i64 / rest;
        }
        let to = sizes(&new, "new_shape")?;
        let same = to.iter().try_fold(1usize, |n, d| n.checked_mul(*d)) == Some(count);
        ensure!(same, "cannot give {dims:?} the dimensions {to:?}");
        Ok(vec![indices(self.indices.dtype(), &to, &places)?, lengths(self.new_shape.dtype(), &to)?])
    }
}

impl Operator for SparseReshape {
    fn rule(&self) -> Result<impl Rule, OpError> {
        Ok(host(|| self.facts(), |_| self.results()))
    }

    fn cases() -> Vec<Case> {
        let s = sample().index(DType::I64, &[3, 3], &[0, 0, 1, 1, 0, 0, 1, 1, 2]).index(DType::I64, &[3], &[2, 3, 6]);
        vec![s.index(DType::I64, &[2], &[9, -1]).exact("to a matrix")]
    }
}

op! {
    /// The elements of a sparse tensor inside of the box of `size` from `start` on, in their order. Results: indices in the box,
    /// values, and the shape of the box inside of the tensor.
    object SparseSlice { indices: Operand, values: Operand, shape: Operand, start: Operand, size: Operand }
}

impl SparseSlice {
    fn results(&self) -> Result<Vec<Tensor>, OpError> {
        let Coo { dims, places } = Coo::read(&self.indices, &self.shape)?;
        let (start, len) = (sizes(&self.start.i64s()?, "start")?, sizes(&self.size.i64s()?, "size")?);
        let cut: Vec<usize> = dims
            .iter()
            .zip(&start)
            .zip(&len)
            .map(|((dim, start), len)| (*len).min(dim.saturating_sub(*start)))
            .collect();
        let inside = |place: usize| {
            let row = coordinates(&dims, place);
            let one = |((i, start), len): ((&i64, &usize), &usize)| {
                i.checked_sub(*start as i64).filter(|i| (0..*len as i64).contains(i))
            };
            row.iter().zip(&start).zip(&cut).map(one).collect::<Option<Vec<i64>>>()
        };
        let kept = places.iter().enumerate().filter_map(|(i, place)| Some((i, inside(*place)?)));
        let (order, rows): (Vec<usize>, Vec<Vec<i64>>) = kept.unzip();
        let index = Tensor::from_i64s(self.indices.dtype(), &[rows.len(), dims.len()], &rows.concat())?;
        let values = taken(self.values.tensor()?, &[order.len()], order.into_iter())?;
        Ok(vec![index, values, lengths(self.shape.dtype(), &cut)?])
    }
}

impl Operator for SparseSlice {
    fn rule(&self) -> Result<impl Rule, OpError> {
        check_coo(&self.indices, &self.values)?;
        for x in [&self.shape, &self.start, &self.size] {
            check_shape(&self.indices, x)?;
        }
        let operands = vec![&self.indices, &self.values, &self.shape, &self.start, &self.size];
        Ok(ByData { operands, results: || self.results() })
    }

    fn cases() -> Vec<Case> {
        let vector = |s: Sample, values: [i64; 2]| s.index(DType::I64, &[2], &values);
        let s = sample().index(DType::I64, &[4, 2], &[0, 1, 1, 2, 1, 3, 2, 2]).tensor(DType::F32, &[4]);
        let s = vector(s, [3, 4]);
        vec![
            vector(vector(s.clone(), [0, 1]), [2, 3]).exact("inside"),
            vector(vector(s, [1, 2]), [5, 5]).exact("beyond"),
        ]
    }
}

op! {
    /// Sparse tensors joined along dimension `concat_dim`, in row-major order. Results: indices, values, shape.
    classic SparseConcat {
        sp_input_indices: Vec<Operand>,
        sp_input_values: Vec<Operand>,
        sp_input_shapes: Vec<Operand>,
        concat_dim: i64 = 0,
    }
}

impl SparseConcat {
    fn results(&self) -> Result<Vec<Tensor>, OpError> {
        let shapes = self.sp_input_shapes.iter().map(Operand::i64s).collect::<Result<Vec<_>, _>>()?;
        let first = item(&shapes, 0)?;
        let axis = normalize_axis(self.concat_dim, first.len());
        let axis = axis.ok_or_else(|| OpError::Invalid(format!("axis {} is out of range", self.concat_dim)))?;
        let (mut rows, mut begin) = (Vec::new(), 0i64);
        for (index, shape) in self.sp_input_indices.iter().zip(&shapes) {
            let same = shape.iter().zip(first).enumerate().all(|(d, (a, b))| d == axis || a == b);
            ensure!(same && shape.len() == first.len(), "cannot join {first:?} and {shape:?} along dimension {axis}");
            let Coo { dims, places } = Coo::new(shape, &index.i64s()?)?;
            for place in places {
                let mut row = coordinates(&dims, place);
                *item_mut(&mut row, axis)? += begin;
                rows.extend(row);
            }
            begin = begin.saturating_add(*item(shape, axis)?);
        }
        let mut dims = first.clone();
        *item_mut(&mut dims, axis)? = begin;
        let coo = Coo::new(&dims, &rows)?;
        let values = self.sp_input_values.iter().map(Operand::tensor).collect::<Result<Vec<_>, _>>()?;
        let sources: Vec<(usize, usize)> =
            values.iter().enumerate().flat_map(|(part, x)| (0..x.count()).map(move |at| (part, at))).collect();
        let zero = vec![0; item(&values, 0)?.dtype().size()];
        let mut at = sources.iter();
        let all = rearrange_many(&values, &[sources.len()], &zero, |_| at.next().copied())?;
        let index = item(&self.sp_input_indices, 0)?.dtype();
        let [index, values] = reordered(&coo, index, &all, &in_order(&coo.places))?;
        Ok(vec![index, values, lengths(item(&self.sp_input_shapes, 0)?.dtype(), &coo.dims)?])
    }
}

impl Operator for SparseConcat {
    fn rule(&self) -> Result<impl Rule, OpError> {
        let (index, values, shapes) = (&self.sp_input_indices, &self.sp_input_values, &self.sp_input_shapes);
        let n = index.len();
        let fits = n > 0 && values.len() == n && shapes.len() == n;
        ensure!(
            fits,
            "expected as many indices as values and shapes, found {n}, {} and {}",
            values.len(),
            shapes.len()
        );
        let d = item(values, 0)?.dtype();
        for ((index, values), shape) in index.iter().zip(values).zip(shapes) {
            check_coo(index, values)?;
            check_shape(index, shape)?;
            ensure!(values.dtype() == d, "expected {d}, found {}", values.fact);
        }
        Ok(ByData { operands: index.iter().chain(values).chain(shapes).collect(), results: || self.results() })
    }

    fn cases() -> Vec<Case> {
        let integers = |dims: &[usize], a: &[i64], b: &[i64]| {
            CaseArg::Tensors([a, b].iter().filter_map(|x| Tensor::from_i64s(DType::I64, dims, x).ok()).collect())
        };
        let s = sample().arg(integers(&[2, 2], &[0, 2, 1, 0], &[0, 0, 1, 1]));
        let s = s.tensors(DType::F32, &[&[2], &[2]]).arg(integers(&[2], &[2, 3], &[2, 3]));
        vec![s.clone().int(0).exact("rows"), s.int(-1).exact("columns")]
    }
}

/// The values of two sparse tensors of one shape by place: each alone, or both together.
type Union<N> = BTreeMap<usize, [Option<N>; 2]>;

/// Two sparse tensors of one shape.
struct Pair<'a> {
    one: [&'a Operand; 3],
    two: [&'a Operand; 3],
}

impl<'a> Pair<'a> {
    fn new(one: [&'a Operand; 3], two: [&'a Operand; 3]) -> Result<Pair<'a>, OpError> {
        for [index, values, shape] in [one, two] {
            check_coo(index, values)?;
            check_shape(index, shape)?;
        }
        let ([_, a, n], [_, b, m]) = (one, two);
        ensure!(
            real(a)? == b.dtype() && n.count() == m.count(),
            "expected tensors alike, found {} and {}",
            a.fact,
            b.fact
        );
        Ok(Pair { one, two })
    }

    fn operands(&self) -> Vec<&'a Operand> {
        self.one.iter().chain(&self.two).copied().collect()
    }

    fn union<N: Arithmetic>(&self) -> Result<(Vec<usize>, Union<N>), OpError> {
        let (one, two) = (Coo::read(self.one[0], self.one[2])?, Coo::read(self.two[0], self.two[2])?);
        ensure!(one.dims == two.dims, "expected tensors of one shape, found {:?} and {:?}", one.dims, two.dims);
        let _room = bounds::room((one.places.len() + two.places.len()).saturating_mul(2 * bounds::NUMBERS))?;
        let mut union = Union::new();
        for (side, (coo, values)) in [(&one, self.one[1]), (&two, self.two[1])].into_iter().enumerate() {
            for (place, value) in coo.places.iter().zip(N::read(values.tensor()?)?) {
                *item_mut(union.entry(*place).or_insert([None, None]), side)? = Some(value);
            }
        }
        Ok((one.dims, union))
    }

    fn indices<N>(&self, dims: &[usize], values: &[(usize, N)]) -> Result<Tensor, OpError> {
        indices(self.one[0].dtype(), dims, &values.iter().map(|(place, _)| *place).collect::<Vec<_>>())
    }
}

op! {
    /// The sum of two sparse tensors, in row-major order, without values whose magnitude is below `thresh`. MindSpore's CPU back
    /// end looks only at values that are sums. Results: indices, values, shape.
    object SparseAdd {
        x1_indices: Operand,
        x1_values: Operand,
        x1_shape: Operand,
        x2_indices: Operand,
        x2_values: Operand,
        x2_shape: Operand,
        thresh: Operand,
    }
}

impl SparseAdd {
    fn results(&self, pair: &Pair) -> Result<Vec<Tensor>, OpError> {
        let d = self.x1_values.dtype();
        let thresh = only(self.thresh.f64s()?)?;
        with_arithmetic!(d, N => {
            let (dims, union) = pair.union::<N>()?;
            let sum = |[a, b]: [Option<N>; 2]| a.unwrap_or(N::ZERO).add(b.unwrap_or(N::ZERO));
            let all: Vec<(usize, N)> = union.into_iter().map(|(place, both)| (place, sum(both))).collect();
            let sums: Vec<N> = all.iter().map(|(_, x)| *x).collect();
            let sizes = N::write(d, &[sums.len()], &sums)?.to_f64s()?;
            let kept: Vec<(usize, N)> =
                all.into_iter().zip(sizes).filter(|(_, size)| size.is_nan() || size.abs() >= thresh).map(|(x, _)| x).collect();
            let values: Vec<N> = kept.iter().map(|(_, x)| *x).collect();
            let values = N::write(d, &[values.len()], &values)?;
            Ok(vec![pair.indices(&dims, &kept)?, values, lengths(self.x1_shape.dtype(), &dims)?])
        })
    }
}

impl Operator for SparseAdd {
    fn rule(&self) -> Result<impl Rule, OpError> {
        let one = [&self.x1_indices, &self.x1_values, &self.x1_shape];
        let pair = Pair::new(one, [&self.x2_indices, &self.x2_values, &self.x2_shape])?;
        single(&self.thresh)?;
        let mut operands = pair.operands();
        operands.push(&self.thresh);
        Ok(ByData { operands, results: move || self.results(&pair) })
    }

    fn cases() -> Vec<Case> {
        let s = pairs();
        vec![s.clone().real(0.0).case("all"), s.real(2.5).case("large ones")]
    }
}

/// Two sparse tensors of one shape.
fn pairs() -> Sample {
    let s = sample().index(DType::I64, &[3, 2], &[0, 1, 1, 2, 2, 0]);
    let s = s.data(Tensor::vector(&[1.0f32, -2.0, 3.0])).index(DType::I64, &[2], &[3, 4]);
    let s = s.index(DType::I64, &[2, 2], &[0, 1, 1, 1]);
    s.data(Tensor::vector(&[3.0f32, -4.0])).index(DType::I64, &[2], &[3, 4])
}

macro_rules! extreme {
    ($(#[doc = $doc:literal])+ $name:ident $how:expr) => {
        op! {
            $(#[doc = $doc])+
            object $name {
                x1_indices: Operand,
                x1_values: Operand,
                x1_shape: Operand,
                x2_indices: Operand,
                x2_values: Operand,
                x2_shape: Operand,
            }
        }

        impl Operator for $name {
            fn rule(&self) -> Result<impl Rule, OpError> {
                let one = [&self.x1_indices, &self.x1_values, &self.x1_shape];
                let pair = Pair::new(one, [&self.x2_indices, &self.x2_values, &self.x2_shape])?;
                let d = self.x1_values.dtype();
                let results = move |pair: &Pair| {
                    with_arithmetic!(d, N => {
                        let (dims, union) = pair.union::<N>()?;
                        let pick = |[a, b]: [Option<N>; 2]| a.unwrap_or(N::ZERO).combine(b.unwrap_or(N::ZERO), $how);
                        let all: Vec<(usize, N)> = union.into_iter().map(|(place, both)| (place, pick(both))).collect();
                        let values: Vec<N> = all.iter().map(|(_, x)| *x).collect();
                        Ok(vec![pair.indices(&dims, &all)?, N::write(d, &[values.len()], &values)?])
                    })
                };
                Ok(ByData { operands: pair.operands(), results: move || results(&pair) })
            }

            fn cases() -> Vec<Case> {
                vec![pairs().exact("matrices")]
            }
        }
    };
}

extreme! {
    /// The larger of the elements of two sparse tensors wherever one holds an element; the other's is 0 there. Results: indices,
    /// in row-major order, and values.
    SparseSparseMaximum Combine::Max
}
extreme! {
    /// As `SparseSparseMaximum`, with the smaller of the elements.
    SparseSparseMinimum Combine::Min
}

op! {
    /// A sparse tensor with the values at each place added up, in row-major order. `x_indices` has a row for each coordinate.
    /// Results: indices, values, shape. MindSpore's CPU back end adds only values that follow each other.
    object Coalesce { x_indices: Operand, x_values: Operand, x_shape: Operand }
}

impl Coalesce {
    fn results(&self) -> Result<Vec<Tensor>, OpError> {
        let (rank, n, d) = (self.x_shape.count(), self.x_values.count(), self.x_values.dtype());
        let lists = self.x_indices.i64s()?;
        let rows: Vec<i64> =
            (0..n).flat_map(|i| (0..rank).map(move |r| r * n + i)).filter_map(|at| lists.get(at).copied()).collect();
        let Coo { dims, places } = Coo::new(&self.x_shape.i64s()?, &rows)?;
        let (places, values) = with_arithmetic!(d, N => {
            let mut sums: BTreeMap<usize, N> = BTreeMap::new();
            for (place, value) in places.iter().zip(N::read(self.x_values.tensor()?)?) {
                let sum = sums.entry(*place).or_insert(N::ZERO);
                *sum = sum.add(value);
            }
            let values: Vec<N> = sums.values().copied().collect();
            (sums.into_keys().collect::<Vec<_>>(), N::write(d, &[values.len()], &values)?)
        });
        let rows: Vec<Vec<i64>> = places.iter().map(|place| coordinates(&dims, *place)).collect();
        let turned: Vec<i64> = (0..rank).flat_map(|r| rows.iter().filter_map(move |row| row.get(r).copied())).collect();
        let index = Tensor::from_i64s(self.x_indices.dtype(), &[rank, places.len()], &turned)?;
        Ok(vec![index, values, self.x_shape.tensor()?.clone()])
    }
}

impl Operator for Coalesce {
    fn rule(&self) -> Result<impl Rule, OpError> {
        let (index, values, shape) = (&self.x_indices, &self.x_values, &self.x_shape);
        let fits = index.dtype().is_int() && values.rank() == 1 && index.shape() == [shape.count(), values.count()];
        ensure!(
            fits && shape.rank() == 1,
            "expected a row of {} for each of {}, found {}",
            values.count(),
            shape.fact,
            index.fact
        );
        Ok(ByData { operands: vec![index, values, shape], results: || self.results() })
    }

    fn cases() -> Vec<Case> {
        let s = sample().index(DType::I64, &[2, 4], &[2, 0, 2, 1, 1, 1, 1, 0]).tensor(DType::F32, &[4]);
        vec![s.index(DType::I64, &[2], &[3, 3]).case("twice one place")]
    }
}

op! {
    /// The softmax of the values of a sparse tensor along its last dimension, where only elements that it holds take part.
    object SparseSoftmax { indices: Operand, values: Operand, shape: Operand }
}

impl Operator for SparseSoftmax {
    fn rule(&self) -> Result<impl Rule, OpError> {
        let (index, values, shape) = (&self.indices, &self.values, &self.shape);
        let facts = move || {
            check_coo(index, values)?;
            check_shape(index, shape)?;
            ensure!(values.dtype().is_float() && shape.count() > 0, "expected floats, found {}", values.fact);
            Ok(vec![values.fact.clone()])
        };
        let results = move |facts| {
            let Coo { dims, places } = Coo::read(index, shape)?;
            let row = dims.last().copied().unwrap_or(1).max(1);
            let rows: Vec<usize> = places.iter().map(|place| place / row).collect();
            let y = softmax(&values.f64s()?, &rows)?;
            let fact: Fact = only(facts)?;
            Ok(vec![Tensor::from_f64s(fact.dtype, &fact.shape, &y)?])
        };
        Ok(host(facts, results))
    }

    fn cases() -> Vec<Case> {
        let s = sample().index(DType::I64, &[5, 2], &[0, 0, 0, 3, 2, 1, 3, 0, 3, 3]).tensor(DType::F32, &[5]);
        vec![s.index(DType::I64, &[2], &[4, 4]).case("rows")]
    }
}

/// The softmax of the values of each row.
pub(super) fn softmax(values: &[f64], rows: &[usize]) -> Result<Vec<f64>, OpError> {
    let mut sums: BTreeMap<usize, (f64, f64)> = BTreeMap::new();
    for (row, x) in rows.iter().zip(values) {
        let (most, _) = sums.entry(*row).or_insert((f64::NEG_INFINITY, 0.0));
        *most = most.max(*x);
    }
    let mut y = Vec::with_capacity(values.len());
    for (row, x) in rows.iter().zip(values) {
        if let Some((most, sum)) = sums.get_mut(row) {
            y.push((x - *most).exp());
            *sum += (x - *most).exp();
        }
    }
    Ok(rows.iter().zip(y).map(|(row, y)| y / sums.get(row).map_or(1.0, |(_, sum)| *sum)).collect())
}

op! {
    /// A sparse matrix with `default_value` at the start of each row that holds nothing, row by row. Results: indices, values,
    /// whether each row was empty, and where each element has gone.
    object SparseFillEmptyRows { indices: Operand, values: Operand, dense_shape: Operand, default_value: Operand }
}

impl SparseFillEmptyRows {
    fn results(&self) -> Result<Vec<Tensor>, OpError> {
        let shape = self.dense_shape.i64s()?;
        let places = Coo::new(&shape, &self.indices.i64s()?)?.places;
        let rows = size(*item(&shape, 0)?, "dense_shape")?;
        let cols = size(*item(&shape, 1)?, "dense_shape")?.max(1);
        let _room = bounds::room(rows.saturating_mul(2 * bounds::NUMBERS))?;
        let mut held: Vec<Vec<usize>> = vec![Vec::new(); rows];
        for (i, place) in places.iter().enumerate() {
            item_mut(&mut held, place / cols)?.push(i);
        }
        let mut list: Vec<(i64, i64, Option<usize>)> = Vec::new();
        let mut gone = vec![0i64; places.len()];
        for (row, elements) in held.iter().enumerate() {
            for i in elements {
                *item_mut(&mut gone, *i)? = list.len() as i64;
                list.push((row as i64, (item(&places, *i)? % cols) as i64, Some(*i)));
            }
            if elements.is_empty() {
                list.push((row as i64, 0, None));
            }
        }
        let index: Vec<i64> = list.iter().flat_map(|(row, col, _)| [*row, *col]).collect();
        let index = Tensor::from_i64s(self.indices.dtype(), &[list.len(), 2], &index)?;
        let sources = [self.values.tensor()?, self.default_value.tensor()?];
        let mut from = list.iter();
        let values = rearrange_many(&sources, &[list.len()], &vec![0; self.values.dtype().size()], |_| {
            Some(from.next()?.2.map_or((1, 0), |i| (0, i)))
        })?;
        let empty: Vec<bool> = held.iter().map(Vec::is_empty).collect();
        let gone = Tensor::from_i64s(self.indices.dtype(), &[gone.len()], &gone)?;
        Ok(vec![index, values, Tensor::from_bools(&[rows], &empty)?, gone])
    }
}

impl Operator for SparseFillEmptyRows {
    fn rule(&self) -> Result<impl Rule, OpError> {
        let (index, values, shape, default) = (&self.indices, &self.values, &self.dense_shape, &self.default_value);
        check_coo(index, values)?;
        check_shape(index, shape)?;
        ensure!(shape.count() == 2, "expected a matrix, found a shape {}", shape.fact);
        ensure!(default.dtype() == values.dtype(), "expected a default of {}, found {}", values.dtype(), default.fact);
        single(default)?;
        Ok(ByData { operands: vec![index, values, shape, default], results: || self.results() })
    }

    fn cases() -> Vec<Case> {
        let s = sample().index(DType::I64, &[3, 2], &[2, 0, 0, 1, 2, 3]).tensor(DType::F32, &[3]);
        vec![s.index(DType::I64, &[2], &[4, 6]).real(9.0).exact("two empty rows")]
    }
}
