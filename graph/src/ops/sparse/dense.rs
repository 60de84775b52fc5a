//! Sparse tensors that meet dense ones.

use super::coo::{Coo, check_coo, check_shape};
use crate::bounds;
use crate::op::{Case, Ints, Operand, Operator, Rule};
use crate::ops::index::combine::{Combine, apply};
use crate::ops::kit::arithmetic::{Arithmetic, with_arithmetic};
use crate::ops::kit::broadcasting::{broadcast_index, real, single};
use crate::ops::kit::host::host;
use crate::ops::kit::indices::{item, item_mut, only, result, sizes, taken};
use crate::ops::kit::sample::sample;
use crate::{DType, Fact, OpError, Tensor, ensure, op};

/// The sparse tensor of the shape `dims`.
fn sparse(indices: &Operand, dims: &[i64]) -> Result<Coo, OpError> {
    Coo::new(dims, &indices.i64s()?)
}

fn check_rank(indices: &Operand, dims: &[i64]) -> Result<(), OpError> {
    let fits = indices.shape().last() == Some(&dims.len());
    ensure!(fits, "expected a length for each coordinate of {}, found {dims:?}", indices.fact);
    Ok(())
}

op! {
    /// A dense tensor of shape `dense_shape`: `values` at the coordinates that the rows of `indices` give, 0 elsewhere. The last
    /// of several values for one place counts. Any type.
    object SparseToDense { indices: Operand, values: Operand, dense_shape ["sparse_shape"]: Ints }
}

impl Operator for SparseToDense {
    fn rule(&self) -> Result<impl Rule, OpError> {
        let facts = || {
            check_coo(&self.indices, &self.values)?;
            check_rank(&self.indices, &self.dense_shape)?;
            Ok(vec![result(self.values.dtype(), &sizes(&self.dense_shape, "dense_shape")?)?])
        };
        let results = |facts| {
            let Fact { dtype, shape } = only(facts)?;
            let places = sparse(&self.indices, &self.dense_shape)?.places;
            Ok(vec![apply(&Tensor::zeros(dtype, &shape)?, &places, self.values.tensor()?, Combine::Replace)?])
        };
        Ok(host(facts, results))
    }

    fn cases() -> Vec<Case> {
        let s = sample().index(DType::I32, &[3, 2], &[0, 1, 2, 3, 0, 1]);
        vec![
            s.tensor(DType::F32, &[3]).ints(&[3, 4]).exact("matrix"),
            sample().index(DType::I64, &[0, 1], &[]).tensor(DType::I32, &[0]).ints(&[3]).exact("no values"),
        ]
    }
}

op! {
    /// A dense tensor of shape `output_shape`: `values` at the places that `indices` names, `default_value` elsewhere. `indices`
    /// is a matrix with a row of coordinates for each value, a vector of places or one place; `values` are as many or one for
    /// all. With `validate_indices` the places must be in order and none may be named twice; else the last value counts.
    classic SparseToDenseV2 {
        indices: Operand,
        output_shape: Ints as Input,
        values: Operand,
        default_value: Operand,
        validate_indices: bool = true,
    }
}

impl SparseToDenseV2 {
    fn facts(&self) -> Result<Vec<Fact>, OpError> {
        let (index, values, default) = (&self.indices, &self.values, &self.default_value);
        let dims = sizes(&self.output_shape, "output_shape")?;
        ensure!(index.dtype().is_int(), "expected integer indices, found {}", index.fact);
        ensure!(default.dtype() == values.dtype(), "expected a default of {}, found {}", values.dtype(), default.fact);
        single(default)?;
        let (n, depth) = match index.shape() {
            [] => (1, 1),
            [n] => (*n, 1),
            [n, depth] => (*n, *depth),
            _ => return Err(OpError::Invalid(format!("expected a matrix of indices, found {}", index.fact))),
        };
        ensure!(depth == dims.len(), "expected {} coordinates, found {}", dims.len(), index.fact);
        ensure!(
            matches!(values.shape(), [] | [1]) || values.shape() == [n],
            "expected {n} values, found {}",
            values.fact
        );
        Ok(vec![result(values.dtype(), &dims)?])
    }

    fn results(&self, facts: Vec<Fact>) -> Result<Vec<Tensor>, OpError> {
        let Fact { dtype, shape } = only(facts)?;
        let places = sparse(&self.indices, &self.output_shape)?.places;
        let ordered = !self.validate_indices || places.is_sorted_by(|a, b| a < b);
        ensure!(ordered, "expected indices in order, each once");
        let base = Tensor::filled(dtype, &shape, self.default_value.tensor()?.bytes())?;
        let each = if self.values.count() == 1 { 0 } else { 1 };
        let values = taken(self.values.tensor()?, &[places.len()], (0..).map(|i| i * each))?;
        Ok(vec![apply(&base, &places, &values, Combine::Replace)?])
    }
}

impl Operator for SparseToDenseV2 {
    fn rule(&self) -> Result<impl Rule, OpError> {
        Ok(host(|| self.facts(), |facts| self.results(facts)))
    }

    fn cases() -> Vec<Case> {
        let matrix = sample().index(DType::I64, &[2, 2], &[0, 1, 2, 3]).ints(&[3, 4]).tensor(DType::F32, &[2]);
        let vector = sample().index(DType::I32, &[3], &[3, 0, 3]).ints(&[4]).tensor(DType::I32, &[3]);
        vec![
            matrix.tensor(DType::F32, &[]).exact("matrix"),
            vector.index(DType::I32, &[], &[7]).flag(false).exact("vector"),
            sample()
                .index(DType::I32, &[], &[2])
                .ints(&[4])
                .tensor(DType::F32, &[])
                .tensor(DType::F32, &[])
                .exact("number"),
        ]
    }
}

/// `x` with the values of a sparse tensor added at their places.
fn added(x: &Operand, indices: &Operand, values: &Operand) -> Result<Tensor, OpError> {
    let dims: Vec<i64> = x.shape().iter().map(|d| *d as i64).collect();
    apply(x.tensor()?, &sparse(indices, &dims)?.places, values.tensor()?, Combine::Add)
}

op! {
    /// The dense tensor `x2` plus the sparse one of shape `x1_shape` with `x1_values` at the coordinates that the rows of
    /// `x1_indices` give. Numbers of one type.
    object SparseTensorDenseAdd { x1_indices: Operand, x1_values: Operand, x1_shape: Operand, x2: Operand }
}

impl Operator for SparseTensorDenseAdd {
    fn rule(&self) -> Result<impl Rule, OpError> {
        let facts = || {
            check_coo(&self.x1_indices, &self.x1_values)?;
            check_shape(&self.x1_indices, &self.x1_shape)?;
            let (x, values) = (&self.x2, &self.x1_values);
            let fits = x.shape().len() == self.x1_shape.count() && x.dtype() == real(values)?;
            ensure!(fits, "expected {} of rank {}, found {}", values.dtype(), self.x1_shape.count(), x.fact);
            Ok(vec![x.fact.clone()])
        };
        let results = |_| {
            let shape = sizes(&self.x1_shape.i64s()?, "x1_shape")?;
            ensure!(shape == self.x2.shape(), "expected a dense tensor of {shape:?}, found {}", self.x2.fact);
            Ok(vec![added(&self.x2, &self.x1_indices, &self.x1_values)?])
        };
        Ok(host(facts, results))
    }

    fn cases() -> Vec<Case> {
        let s = sample().index(DType::I64, &[3, 2], &[0, 1, 1, 2, 0, 1]).tensor(DType::F32, &[3]);
        vec![s.index(DType::I64, &[2], &[2, 3]).tensor(DType::F32, &[2, 3]).case("matrix")]
    }
}

macro_rules! cwise {
    ($(#[doc = $doc:literal])+ $name:ident $how:expr) => {
        op! {
            $(#[doc = $doc])+
            object $name { x1_indices: Operand, x1_values: Operand, x1_shape: Operand, x2: Operand }
        }

        impl Operator for $name {
            fn rule(&self) -> Result<impl Rule, OpError> {
                let (index, values, shape, x) = (&self.x1_indices, &self.x1_values, &self.x1_shape, &self.x2);
                let facts = move || {
                    check_coo(index, values)?;
                    check_shape(index, shape)?;
                    ensure!(x.dtype() == real(values)?, "expected {}, found {}", values.dtype(), x.fact);
                    Ok(vec![values.fact.clone()])
                };
                let results = move |_| {
                    let Coo { dims, places } = Coo::read(index, shape)?;
                    result(x.dtype(), &dims)?;
                    let at = broadcast_index(x.shape(), &dims)?;
                    let from = places.iter().map(|place| item(&at, *place).copied()).collect::<Result<Vec<_>, _>>()?;
                    let dense = taken(x.tensor()?, &[from.len()], from.into_iter())?;
                    let own: Vec<usize> = (0..places.len()).collect();
                    Ok(vec![apply(values.tensor()?, &own, &dense, $how)?])
                };
                Ok(host(facts, results))
            }

            fn cases() -> Vec<Case> {
                let s = sample().index(DType::I64, &[3, 2], &[0, 1, 1, 2, 1, 0]).tensor(DType::F32, &[3]);
                let s = s.index(DType::I64, &[2], &[2, 3]);
                vec![s.clone().tensor(DType::F32, &[2, 3]).case("matrix"), s.tensor(DType::F32, &[3]).case("repeated")]
            }
        }
    };
}

cwise! {
    /// The values `x1_values` of a sparse tensor plus those of `x2`, which broadcasts to its shape, at their places. Numbers.
    SparseDenseCwiseAdd Combine::Add
}
cwise! {
    /// The values `x1_values` of a sparse tensor times those of `x2`, which broadcasts to its shape, at their places. Numbers.
    SparseDenseCwiseMul Combine::Mul
}

/// Rows and columns of a matrix, or of its transpose.
fn sides(x: &[usize], turned: bool) -> Result<[usize; 2], OpError> {
    match *x {
        [rows, cols] => Ok(if turned { [cols, rows] } else { [rows, cols] }),
        _ => Err(OpError::Invalid(format!("expected a matrix, found {x:?}"))),
    }
}

/// `y`, of `n` columns, plus for each of `entries` (row, column, value) the row `column` of `x` times the value, at that row.
pub(super) fn multiply<N: Arithmetic>(
    y: &mut [N],
    n: usize,
    entries: impl Iterator<Item = (usize, usize, N)>,
    x: impl Fn(usize, usize) -> Option<N>,
) -> Result<(), OpError> {
    for (row, column, value) in entries {
        bounds::check()?;
        for j in 0..n {
            let right = x(column, j).ok_or_else(|| OpError::Invalid(format!("no row {column} in the dense matrix")))?;
            let y = item_mut(y, row * n + j)?;
            *y = y.add(value.mul(right));
        }
    }
    Ok(())
}

op! {
    /// The product of a sparse matrix of shape `sparse_shape`, with `values` at the coordinates that the rows of `indices` give,
    /// and the matrix `dense`; either may be transposed first. Numbers of one type.
    classic SparseTensorDenseMatmul, copies [adjoint_a = adjoint_st, adjoint_b = adjoint_dt] {
        indices: Operand,
        values: Operand,
        sparse_shape: Ints as Input,
        dense: Operand,
        adjoint_st: bool = false,
        adjoint_dt: bool = false,
    }
}

impl SparseTensorDenseMatmul {
    /// Rows, columns and the length of the sums.
    fn mnk(&self) -> Result<[usize; 3], OpError> {
        check_coo(&self.indices, &self.values)?;
        check_rank(&self.indices, &self.sparse_shape)?;
        let same = real(&self.values)? == self.dense.dtype();
        ensure!(same, "expected {}, found {}", self.values.dtype(), self.dense.fact);
        let [m, k] = sides(&sizes(&self.sparse_shape, "sparse_shape")?, self.adjoint_st)?;
        let [have, n] = sides(self.dense.shape(), self.adjoint_dt)?;
        ensure!(have == k, "expected {k} rows, found {}", self.dense.fact);
        Ok([m, n, k])
    }

    fn results(&self, facts: Vec<Fact>) -> Result<Vec<Tensor>, OpError> {
        let ([m, n, k], fact) = (self.mnk()?, only(facts)?);
        let places = sparse(&self.indices, &self.sparse_shape)?.places;
        let width = if self.adjoint_st { m } else { k }.max(1);
        let turn = |place: usize| {
            let (row, col) = (place / width, place % width);
            if self.adjoint_st { (col, row) } else { (row, col) }
        };
        let _room = bounds::room(fact.count().saturating_mul(bounds::NUMBERS))?;
        with_arithmetic!(fact.dtype, N => {
            let (values, dense) = (N::read(self.values.tensor()?)?, N::read(self.dense.tensor()?)?);
            let mut y = vec![N::ZERO; fact.count()];
            let entries = places.iter().zip(values).map(|(place, value)| (turn(*place).0, turn(*place).1, value));
            let at = |row, col| dense.get(if self.adjoint_dt { col * k + row } else { row * n + col }).copied();
            multiply(&mut y, n, entries, at)?;
            Ok(vec![N::write(fact.dtype, &fact.shape, &y)?])
        })
    }
}

impl Operator for SparseTensorDenseMatmul {
    fn rule(&self) -> Result<impl Rule, OpError> {
        let facts = || {
            let [m, n, _] = self.mnk()?;
            Ok(vec![result(self.values.dtype(), &[m, n])?])
        };
        Ok(host(facts, |facts| self.results(facts)))
    }

    fn cases() -> Vec<Case> {
        let s = sample().index(DType::I64, &[3, 2], &[0, 1, 1, 2, 0, 0]).tensor(DType::F32, &[3]).ints(&[2, 3]);
        vec![
            s.clone().tensor(DType::F32, &[3, 4]).case("plain"),
            s.tensor(DType::F32, &[4, 2]).flag(true).flag(true).case("both transposed"),
        ]
    }
}

op! {
    /// `alpha` times the product of a sparse matrix of shape `sparse_shape`, with `values` at the coordinates that the rows of
    /// `indices` give, and `x2_dense`, plus `beta · x3_dense`. Numbers of one type.
    object SparseAddmm {
        indices: Operand,
        values: Operand,
        sparse_shape: Ints,
        x2_dense: Operand,
        x3_dense: Operand,
        alpha: Operand,
        beta: Operand,
    }
}

impl SparseAddmm {
    fn facts(&self) -> Result<Vec<Fact>, OpError> {
        check_coo(&self.indices, &self.values)?;
        check_rank(&self.indices, &self.sparse_shape)?;
        let d = real(&self.values)?;
        for x in [&self.x2_dense, &self.x3_dense, &self.alpha, &self.beta] {
            ensure!(x.dtype() == d, "expected {d}, found {}", x.fact);
        }
        single(&self.alpha)?;
        single(&self.beta)?;
        let [m, k] = sides(&sizes(&self.sparse_shape, "sparse_shape")?, false)?;
        let [have, n] = sides(self.x2_dense.shape(), false)?;
        let fits = have == k && self.x3_dense.shape() == [m, n];
        ensure!(fits, "expected [{k}, n] and [{m}, n], found {} and {}", self.x2_dense.fact, self.x3_dense.fact);
        Ok(vec![Fact::new(d, &[m, n])])
    }

    fn results(&self, facts: Vec<Fact>) -> Result<Vec<Tensor>, OpError> {
        let fact = only(facts)?;
        let Coo { dims, places } = sparse(&self.indices, &self.sparse_shape)?;
        let ([_, k], [_, n]) = (sides(&dims, false)?, sides(&fact.shape, false)?);
        with_arithmetic!(fact.dtype, N => {
            let [alpha, beta] = [only(N::read(self.alpha.tensor()?)?)?, only(N::read(self.beta.tensor()?)?)?];
            let (values, x2) = (N::read(self.values.tensor()?)?, N::read(self.x2_dense.tensor()?)?);
            let mut y: Vec<N> = N::read(self.x3_dense.tensor()?)?.into_iter().map(|x| x.mul(beta)).collect();
            let k = k.max(1);
            let entries = places.iter().zip(values).map(|(at, value)| (at / k, at % k, value.mul(alpha)));
            multiply(&mut y, n, entries, |row, col| x2.get(row * n + col).copied())?;
            Ok(vec![N::write(fact.dtype, &fact.shape, &y)?])
        })
    }
}

impl Operator for SparseAddmm {
    fn rule(&self) -> Result<impl Rule, OpError> {
        Ok(host(|| self.facts(), |facts| self.results(facts)))
    }

    fn cases() -> Vec<Case> {
        let s = sample().index(DType::I64, &[3, 2], &[0, 1, 1, 2, 0, 0]).tensor(DType::F32, &[3]).ints(&[2, 3]);
        let s = s.tensor(DType::F32, &[3, 4]).tensor(DType::F32, &[2, 4]);
        vec![s.positive(DType::F32, &[1]).positive(DType::F32, &[1]).case("floats")]
    }
}

op! {
    /// `beta` times the sparse matrix `x1` plus `alpha` times the product of the sparse `x2` and the matrix `x3_dense`, as a
    /// sparse matrix: the elements of the first, and for each element of `x2` a whole row. Indices have a row for each of the
    /// two coordinates. Results: indices, values, shape.
    object Sspaddmm {
        x1_indices: Operand,
        x1_values: Operand,
        x1_shape: Operand,
        x2_indices: Operand,
        x2_values: Operand,
        x2_shape: Operand,
        x3_dense: Operand,
        alpha: Operand,
        beta: Operand,
    }
}

impl Sspaddmm {
    fn facts(&self) -> Result<Vec<Fact>, OpError> {
        let d = real(&self.x1_values)?;
        for (index, values, shape) in
            [(&self.x1_indices, &self.x1_values, &self.x1_shape), (&self.x2_indices, &self.x2_values, &self.x2_shape)]
        {
            let fits = index.dtype().is_int() && index.shape() == [2, values.count()] && values.rank() == 1;
            ensure!(fits, "expected two rows of indices for {}, found {}", values.fact, index.fact);
            ensure!(values.dtype() == d, "expected {d}, found {}", values.fact);
            ensure!(shape.dtype().is_int() && shape.shape() == [2], "expected two lengths, found {}", shape.fact);
        }
        ensure!(self.x3_dense.dtype() == d, "expected {d}, found {}", self.x3_dense.fact);
        for x in [&self.alpha, &self.beta] {
            real(x)?;
            single(x)?;
        }
        let [_, width] = sides(self.x3_dense.shape(), false)?;
        let count = self.x2_values.count().checked_mul(width).and_then(|n| n.checked_add(self.x1_values.count()));
        let n = count.ok_or_else(|| OpError::Invalid("the result is too large".into()))?;
        let index = self.x1_indices.dtype();
        Ok(vec![result(index, &[2, n])?, result(d, &[n])?, Fact::new(self.x1_shape.dtype(), &[2])])
    }

    fn results(&self, facts: Vec<Fact>) -> Result<Vec<Tensor>, OpError> {
        let (one, two) = (sizes(&self.x1_shape.i64s()?, "x1_shape")?, sizes(&self.x2_shape.i64s()?, "x2_shape")?);
        let ([m, n], [rows, k]) = (sides(&one, false)?, sides(&two, false)?);
        let fits = rows == m && self.x3_dense.shape() == [k, n];
        ensure!(fits, "cannot add {one:?} to {two:?} times {}", self.x3_dense.fact);
        let [index, values, shape] = [item(&facts, 0)?, item(&facts, 1)?, item(&facts, 2)?];
        let (own, other) = (self.x1_indices.i64s()?, self.x2_indices.i64s()?);
        let within = |list: &[i64], dims: [usize; 2]| {
            let (rows, cols) = list.split_at(list.len() / 2);
            let below = |i: &i64, len: usize| usize::try_from(*i).is_ok_and(|i| i < len);
            rows.iter().all(|i| below(i, dims[0])) && cols.iter().all(|i| below(i, dims[1]))
        };
        ensure!(within(&own, [m, n]) && within(&other, [m, k]), "an index is out of range for {one:?} or {two:?}");
        let _room = bounds::room(values.count().saturating_mul(bounds::NUMBERS))?;
        let ((own_rows, own_cols), (rows, cols)) = (own.split_at(own.len() / 2), other.split_at(other.len() / 2));
        let mut y: Vec<i64> = own_rows.to_vec();
        y.extend(rows.iter().flat_map(|row| std::iter::repeat_n(*row, n)));
        y.extend(own_cols);
        y.extend(rows.iter().flat_map(|_| 0..n as i64));
        let y = Tensor::from_i64s(index.dtype, &index.shape, &y)?;
        let x = with_arithmetic!(values.dtype, N => {
            let [alpha, beta] = [only(N::read(self.alpha.tensor()?)?)?, only(N::read(self.beta.tensor()?)?)?];
            let dense = N::read(self.x3_dense.tensor()?)?;
            let mut x: Vec<N> = N::read(self.x1_values.tensor()?)?.into_iter().map(|x| x.mul(beta)).collect();
            for (col, value) in cols.iter().zip(N::read(self.x2_values.tensor()?)?) {
                let row = dense.chunks_exact(n.max(1)).nth(*col as usize).unwrap_or_default();
                x.extend(row.iter().map(|x| x.mul(value).mul(alpha)));
            }
            N::write(values.dtype, &values.shape, &x)?
        });
        Ok(vec![y, x, Tensor::from_i64s(shape.dtype, &[2], &[m as i64, n as i64])?])
    }
}

impl Operator for Sspaddmm {
    fn rule(&self) -> Result<impl Rule, OpError> {
        Ok(host(|| self.facts(), |facts| self.results(facts)))
    }

    fn cases() -> Vec<Case> {
        let s = sample().index(DType::I64, &[2, 2], &[0, 1, 0, 1]).index(DType::I32, &[2], &[1, 2]);
        let s = s.index(DType::I64, &[2], &[3, 3]).index(DType::I64, &[2, 2], &[0, 1, 2, 1]);
        let s = s.index(DType::I32, &[2], &[3, 4]).index(DType::I64, &[2], &[3, 4]);
        let s = s.tensor(DType::I32, &[4, 3]).index(DType::I32, &[], &[2]).index(DType::I32, &[], &[3]);
        vec![s.exact("integers")]
    }
}
