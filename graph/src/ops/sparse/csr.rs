//! Matrices, perhaps several of one size, whose elements are held row after row.

use super::coo::{Coo, check_coo, check_shape, indices, lengths};
use super::dense::multiply;
use super::edit::softmax;
use crate::bounds;
use crate::op::{Case, Operand, Operator, Rule};
use crate::ops::index::combine::{Combine, apply};
use crate::ops::kit::arithmetic::{Arithmetic, with_arithmetic};
use crate::ops::kit::broadcasting::{real, single};
use crate::ops::kit::host::ByData;
use crate::ops::kit::indices::{item, item_mut, only, result, size, sizes, taken};
use crate::ops::kit::sample::{Sample, sample};
use crate::{DType, OpError, Tensor, ensure, op};

use std::collections::BTreeMap;

/// The operands of a matrix: its dimensions, where the elements of each matrix begin, where those of each row begin in these,
/// the columns and the values.
type Parts<'a> = [&'a Operand; 5];

fn check(parts: Parts) -> Result<(), OpError> {
    let [shape, batches, rows, cols, values] = parts;
    for x in [shape, batches, rows, cols] {
        ensure!(
            x.rank() == 1 && x.dtype() == shape.dtype() && x.dtype().is_int(),
            "expected a vector of integers, found {}",
            x.fact
        );
    }
    ensure!(matches!(shape.count(), 2 | 3), "expected two or three dimensions, found {}", shape.fact);
    ensure!(
        values.shape() == cols.shape(),
        "expected a column for each value, found {} and {}",
        cols.fact,
        values.fact
    );
    Ok(())
}

/// The elements of `parts` as a sparse tensor of the dimensions that it has.
fn read(parts: Parts) -> Result<Coo, OpError> {
    let [shape, batches, rows, cols, values] = parts;
    let dims = sizes(&shape.i64s()?, "the dense shape")?;
    let [count, height, _] = planes(&dims)?;
    let (batches, rows, cols) = (batches.i64s()?, rows.i64s()?, cols.i64s()?);
    let whole = batches.len() == count + 1 && Some(rows.len()) == (height + 1).checked_mul(count);
    ensure!(whole, "expected the rows of {dims:?}, found {} and {} pointers", batches.len(), rows.len());
    let (mut list, mut next) = (Vec::new(), 0);
    for (batch, ends) in rows.chunks_exact(height + 1).enumerate() {
        ensure!(
            batches.get(batch) == Some(&(next as i64)) && ends.first() == Some(&0),
            "expected matrix {batch} to begin at {next}"
        );
        for (row, pair) in ends.windows(2).enumerate() {
            let n = pair.last().zip(pair.first()).and_then(|(to, from)| to.checked_sub(*from));
            for _ in 0..size(n.unwrap_or(-1), "the length of a row")? {
                let col = *item(&cols, next)?;
                list.extend((dims.len() == 3).then_some(batch as i64).into_iter().chain([row as i64, col]));
                next += 1;
            }
        }
    }
    ensure!(next == values.count(), "expected {next} values, found {}", values.fact);
    Coo::new(&dims.iter().map(|d| *d as i64).collect::<Vec<_>>(), &list)
}

/// How many matrices, rows and columns there are.
fn planes(dims: &[usize]) -> Result<[usize; 3], OpError> {
    match *dims {
        [rows, cols] => Ok([1, rows, cols]),
        [count, rows, cols] => Ok([count, rows, cols]),
        _ => Err(OpError::Invalid(format!("expected two or three dimensions, found {dims:?}"))),
    }
}

/// The first four parts of a matrix whose elements are at `places`, in order.
fn write(dtype: DType, dims: &[usize], places: &[usize]) -> Result<Vec<Tensor>, OpError> {
    let [count, rows, width] = planes(dims)?;
    let pointers = (rows + 1).checked_mul(count).ok_or_else(|| OpError::Invalid(format!("{dims:?} is too large")))?;
    let _room = bounds::room(pointers.saturating_mul(bounds::NUMBERS))?;
    ensure!(places.is_sorted(), "expected elements row after row");
    let mut ends = vec![0usize; pointers];
    let mut batches = vec![0usize; count + 1];
    for place in places {
        let row = place / width.max(1);
        *item_mut(&mut ends, row / rows.max(1) * (rows + 1) + row % rows.max(1) + 1)? += 1;
        *item_mut(&mut batches, row / rows.max(1) + 1)? += 1;
    }
    let add_up = |list: &mut [usize]| {
        let mut sum = 0;
        list.iter_mut().for_each(|end| {
            sum += *end;
            *end = sum;
        });
    };
    ends.chunks_mut(rows + 1).for_each(add_up);
    add_up(&mut batches);
    let cols: Vec<usize> = places.iter().map(|place| place % width.max(1)).collect();
    [dims, &batches, &ends, &cols].into_iter().map(|list| lengths(dtype, list)).collect()
}

/// A matrix of 2 by 3, and two of 2 by 2.
fn samples() -> [Sample; 2] {
    let vector = |s: Sample, values: &[i64]| s.index(DType::I32, &[values.len()], values);
    let make = |parts: [&[i64]; 4]| parts.into_iter().fold(sample(), vector);
    [
        make([&[2, 3], &[0, 3], &[0, 2, 3], &[0, 2, 2]]).tensor(DType::F32, &[3]),
        make([&[2, 2, 2], &[0, 2, 4], &[0, 1, 2, 0, 0, 2], &[0, 1, 0, 1]]).tensor(DType::F32, &[4]),
    ]
}

fn sample_cases() -> Vec<Case> {
    let [one, two] = samples();
    vec![one.exact("one"), two.exact("two")]
}

macro_rules! csr_op {
    ($(#[doc = $doc:literal])+ $kind:ident $name:ident { $($field:ident: $t:ty = $default:expr),* } |$op:ident, $parts:ident, $coo:ident| $body:expr, $cases:expr) => {
        op! {
            $(#[doc = $doc])+
            $kind $name {
                x_dense_shape: Operand,
                x_batch_pointers: Operand,
                x_row_pointers: Operand,
                x_col_indices: Operand,
                x_values: Operand,
                $($field: $t = $default),*
            }
        }

        impl Operator for $name {
            fn rule(&self) -> Result<impl Rule, OpError> {
                let $op = self;
                let $parts: Parts = [
                    &self.x_dense_shape,
                    &self.x_batch_pointers,
                    &self.x_row_pointers,
                    &self.x_col_indices,
                    &self.x_values,
                ];
                check($parts)?;
                let results = move || {
                    let $coo = read($parts)?;
                    $body
                };
                Ok(ByData { operands: $parts.to_vec(), results })
            }

            fn cases() -> Vec<Case> {
                $cases
            }
        }
    };
}

csr_op! {
    /// The dense tensor of a matrix in rows (dimensions, where each matrix begins, where each row begins, columns, values).
    object CSRSparseMatrixToDense {} |op, _parts, coo| {
        let zeros = Tensor::zeros(op.x_values.dtype(), &result(op.x_values.dtype(), &coo.dims)?.shape)?;
        Ok(vec![apply(&zeros, &coo.places, op.x_values.tensor()?, Combine::Replace)?])
    }, sample_cases()
}

csr_op! {
    /// The elements of a matrix in rows by coordinates: indices, values and shape of a sparse tensor.
    object CSRSparseMatrixToSparseTensor {} |_op, parts, coo| {
        let [shape, _, _, _, values] = parts;
        let index = indices(shape.dtype(), &coo.dims, &coo.places)?;
        Ok(vec![index, values.tensor()?.clone(), shape.tensor()?.clone()])
    }, sample_cases()
}

csr_op! {
    /// How many elements each matrix in rows holds, as `i32`.
    object SparseMatrixNNZ {} |_op, parts, coo| {
        let [count, rows, cols] = planes(&coo.dims)?;
        let mut held = vec![0i64; count];
        for place in &coo.places {
            *item_mut(&mut held, place / (rows * cols).max(1))? += 1;
        }
        let _ = parts;
        Ok(vec![Tensor::from_i64s(DType::I32, &[count], &held)?])
    }, sample_cases()
}

csr_op! {
    /// The transposes of matrices in rows, in the same form.
    classic SparseMatrixTranspose { conjugate: bool = false } |op, parts, coo| {
        let [_, rows, cols] = planes(&coo.dims)?;
        let turn = |place: &usize| {
            let (plane, at) = (place / (rows * cols).max(1), place % (rows * cols).max(1));
            plane * rows * cols + at % cols.max(1) * rows + at / cols.max(1)
        };
        let turned: Vec<usize> = coo.places.iter().map(turn).collect();
        let mut order: Vec<usize> = (0..turned.len()).collect();
        order.sort_by_key(|i| turned.get(*i));
        let places = order.iter().map(|i| item(&turned, *i).copied()).collect::<Result<Vec<_>, _>>()?;
        let mut dims = coo.dims.clone();
        dims.iter_mut().rev().zip([rows, cols]).for_each(|(d, len)| *d = len);
        ensure!(!op.conjugate || real(&op.x_values).is_ok(), "expected real values, found {}", op.x_values.fact);
        let mut y = write(parts[0].dtype(), &dims, &places)?;
        y.push(taken(op.x_values.tensor()?, &[order.len()], order.into_iter())?);
        Ok(y)
    }, sample_cases()
}

csr_op! {
    /// The softmax of each row of matrices in rows, in which only elements that they hold take part. MindSpore's CPU back end
    /// computes the first matrix only.
    classic SparseMatrixSoftmax { dtype: DType = DType::F32 } |op, parts, coo| {
        let [_, _, cols] = planes(&coo.dims)?;
        let rows: Vec<usize> = coo.places.iter().map(|place| place / cols.max(1)).collect();
        ensure!(op.x_values.dtype().is_float(), "expected floats, found {}", op.x_values.fact);
        let y = softmax(&op.x_values.f64s()?, &rows)?;
        let mut out = parts[..4].iter().map(|x| x.tensor().cloned()).collect::<Result<Vec<_>, _>>()?;
        out.push(Tensor::from_f64s(op.x_values.dtype(), &[y.len()], &y)?);
        Ok(out)
    }, {
        let [one, two] = samples();
        vec![one.case("one"), two.case("two")]
    }
}

op! {
    /// The elements of the matrices `dense_input` at the coordinates `indices`, in order, as matrices in rows: dimensions, where
    /// each matrix begins, where each row begins, columns, values.
    object DenseToCSRSparseMatrix { dense_input: Operand, indices: Operand }
}

impl Operator for DenseToCSRSparseMatrix {
    fn rule(&self) -> Result<impl Rule, OpError> {
        let (x, index) = (&self.dense_input, &self.indices);
        let fits = index.dtype().is_int() && matches!(index.shape(), [_, rank] if *rank == x.rank());
        ensure!(fits, "expected rows of coordinates for {}, found {}", x.fact, index.fact);
        planes(x.shape())?;
        let results = || {
            let dims: Vec<i64> = x.shape().iter().map(|d| *d as i64).collect();
            let Coo { dims, places } = Coo::new(&dims, &index.i64s()?)?;
            let mut y = write(index.dtype(), &dims, &places)?;
            y.push(taken(x.tensor()?, &[places.len()], places.into_iter())?);
            Ok(y)
        };
        Ok(ByData { operands: vec![x, index], results })
    }

    fn cases() -> Vec<Case> {
        vec![
            sample().tensor(DType::F32, &[2, 3]).index(DType::I32, &[3, 2], &[0, 0, 0, 2, 1, 2]).exact("one"),
            sample().tensor(DType::F32, &[2, 2, 2]).index(DType::I64, &[2, 3], &[0, 1, 1, 1, 1, 0]).exact("two"),
        ]
    }
}

op! {
    /// A sparse tensor of two or three dimensions, whose elements are in order, as matrices in rows: dimensions, where each matrix
    /// begins, where each row begins, columns, values.
    object SparseTensorToCSRSparseMatrix { x_indices: Operand, x_values: Operand, x_dense_shape: Operand }
}

impl Operator for SparseTensorToCSRSparseMatrix {
    fn rule(&self) -> Result<impl Rule, OpError> {
        let (index, values, shape) = (&self.x_indices, &self.x_values, &self.x_dense_shape);
        check_coo(index, values)?;
        check_shape(index, shape)?;
        let results = || {
            let Coo { dims, places } = Coo::read(index, shape)?;
            let mut y = write(index.dtype(), &dims, &places)?;
            y.push(values.tensor()?.clone());
            Ok(y)
        };
        Ok(ByData { operands: vec![index, values, shape], results })
    }

    fn cases() -> Vec<Case> {
        let s = sample().index(DType::I32, &[3, 2], &[0, 0, 0, 2, 1, 2]).tensor(DType::F32, &[3]);
        vec![s.index(DType::I32, &[2], &[2, 3]).exact("one")]
    }
}

op! {
    /// The product of matrices in rows and as many dense ones, as dense matrices; either, and the result, may be transposed.
    /// Numbers.
    classic SparseMatrixMatMul {
        x1_dense_shape: Operand,
        x1_batch_pointers: Operand,
        x1_row_pointers: Operand,
        x1_col_indices: Operand,
        x1_values: Operand,
        x2_dense: Operand,
        transpose_x1: bool = false,
        transpose_x2: bool = false,
        adjoint_x1: bool = false,
        adjoint_x2: bool = false,
        transpose_output: bool = false,
        conjugate_output: bool = false,
    }
}

impl SparseMatrixMatMul {
    fn parts(&self) -> Parts<'_> {
        [&self.x1_dense_shape, &self.x1_batch_pointers, &self.x1_row_pointers, &self.x1_col_indices, &self.x1_values]
    }

    fn results(&self) -> Result<Vec<Tensor>, OpError> {
        let (coo, x, d) = (read(self.parts())?, &self.x2_dense, self.x1_values.dtype());
        let ([count, rows, cols], [other, a, b]) = (planes(&coo.dims)?, planes(x.shape())?);
        let (turn, turn_x) = (self.transpose_x1 || self.adjoint_x1, self.transpose_x2 || self.adjoint_x2);
        let ([m, k], [have, n]) =
            (if turn { [cols, rows] } else { [rows, cols] }, if turn_x { [b, a] } else { [a, b] });
        let fits = count == other && k == have && coo.dims.len() == x.rank();
        ensure!(fits, "cannot multiply {:?} by {}", coo.dims, x.fact);
        let tail = if self.transpose_output { [n, m] } else { [m, n] };
        let dims: Vec<usize> = coo.dims.iter().take(coo.dims.len() - 2).copied().chain(tail).collect();
        let fact = result(d, &dims)?;
        let _room = bounds::room(fact.count().saturating_mul(2 * bounds::NUMBERS))?;
        with_arithmetic!(d, N => {
            let (values, dense) = (N::read(self.x1_values.tensor()?)?, N::read(x.tensor()?)?);
            let mut y = vec![N::ZERO; fact.count()];
            let entries = coo.places.iter().zip(values).map(|(place, value)| {
                let (plane, at) = (place / (rows * cols).max(1), place % (rows * cols).max(1));
                let (row, col) = (at / cols.max(1), at % cols.max(1));
                let (row, col) = if turn { (col, row) } else { (row, col) };
                (plane * m + row, plane * k + col, value)
            });
            let at = |row: usize, col: usize| {
                let (plane, row) = (row / k.max(1), row % k.max(1));
                let at = if turn_x { col * k + row } else { row * n + col };
                dense.get(plane * k * n + at).copied()
            };
            multiply(&mut y, n, entries, at)?;
            if self.transpose_output {
                let from = |i: usize| i / (m * n) * m * n + i % m * n + i % (m * n) / m;
                y = (0..y.len()).map(|i| item(&y, from(i)).copied()).collect::<Result<_, _>>()?;
            }
            Ok(vec![N::write(d, &dims, &y)?])
        })
    }
}

impl Operator for SparseMatrixMatMul {
    fn rule(&self) -> Result<impl Rule, OpError> {
        check(self.parts())?;
        let (x, values) = (&self.x2_dense, &self.x1_values);
        ensure!(real(x)? == values.dtype(), "expected {}, found {}", values.dtype(), x.fact);
        let operands = self.parts().into_iter().chain([x]).collect();
        Ok(ByData { operands, results: || self.results() })
    }

    fn cases() -> Vec<Case> {
        let [one, two] = samples();
        vec![
            one.clone().tensor(DType::F32, &[3, 4]).case("plain"),
            one.tensor(DType::F32, &[4, 2]).flag(true).flag(true).flag(false).flag(false).flag(true).case("transposed"),
            two.tensor(DType::F32, &[2, 2, 3]).case("two"),
        ]
    }
}

op! {
    /// `alpha · x1 + beta · x2` of matrices in rows, in the same form. Numbers.
    object SparseMatrixAdd {
        x1_dense_shape: Operand,
        x1_batch_pointers: Operand,
        x1_row_pointers: Operand,
        x1_col_indices: Operand,
        x1_values: Operand,
        x2_dense_shape: Operand,
        x2_batch_pointers: Operand,
        x2_row_pointers: Operand,
        x2_col_indices: Operand,
        x2_values: Operand,
        alpha: Operand,
        beta: Operand,
    }
}

impl SparseMatrixAdd {
    fn parts(&self) -> [Parts<'_>; 2] {
        [
            [
                &self.x1_dense_shape,
                &self.x1_batch_pointers,
                &self.x1_row_pointers,
                &self.x1_col_indices,
                &self.x1_values,
            ],
            [
                &self.x2_dense_shape,
                &self.x2_batch_pointers,
                &self.x2_row_pointers,
                &self.x2_col_indices,
                &self.x2_values,
            ],
        ]
    }

    fn results(&self) -> Result<Vec<Tensor>, OpError> {
        let ([one, two], d) = (self.parts(), self.x1_values.dtype());
        let (a, b) = (read(one)?, read(two)?);
        ensure!(a.dims == b.dims, "expected matrices alike, found {:?} and {:?}", a.dims, b.dims);
        with_arithmetic!(d, N => {
            let mut sums: BTreeMap<usize, N> = BTreeMap::new();
            for (coo, values, scale) in [(&a, &self.x1_values, &self.alpha), (&b, &self.x2_values, &self.beta)] {
                let scale = only(N::read(scale.tensor()?)?)?;
                for (place, value) in coo.places.iter().zip(N::read(values.tensor()?)?) {
                    let sum = sums.entry(*place).or_insert(N::ZERO);
                    *sum = sum.add(value.mul(scale));
                }
            }
            let values: Vec<N> = sums.values().copied().collect();
            let places: Vec<usize> = sums.into_keys().collect();
            let mut y = write(self.x1_dense_shape.dtype(), &a.dims, &places)?;
            y.push(N::write(d, &[values.len()], &values)?);
            Ok(y)
        })
    }
}

impl Operator for SparseMatrixAdd {
    fn rule(&self) -> Result<impl Rule, OpError> {
        let [one, two] = self.parts();
        check(one)?;
        check(two)?;
        let d = real(&self.x1_values)?;
        ensure!(d == self.x2_values.dtype(), "expected {d}, found {}", self.x2_values.fact);
        for x in [&self.alpha, &self.beta] {
            real(x)?;
            single(x)?;
        }
        let operands = one.into_iter().chain(two).chain([&self.alpha, &self.beta]).collect();
        Ok(ByData { operands, results: || self.results() })
    }

    fn cases() -> Vec<Case> {
        let [one, _] = samples();
        let vector = |s: Sample, values: &[i64]| s.index(DType::I32, &[values.len()], values);
        let parts: [&[i64]; 4] = [&[2, 3], &[0, 2], &[0, 1, 2], &[1, 2]];
        let s = parts.into_iter().fold(one, vector).tensor(DType::F32, &[2]);
        vec![s.positive(DType::F32, &[]).positive(DType::F32, &[]).case("one")]
    }
}
