//! Sets along the last dimension.

use super::coo::{Coo, check_coo, check_shape, indices, lengths};
use crate::op::{Case, Operand, Operator, Rule};
use crate::ops::kit::host::ByData;
use crate::ops::kit::indices::{item_mut, size};
use crate::ops::kit::sample::{Sample, sample};
use crate::{DType, OpError, Tensor, count, ensure, op, op_enum};

use std::collections::{BTreeMap, BTreeSet};

op_enum! {
    /// What is kept of two sets.
    SetOperation {
        /// The elements of the first that are not in the second.
        Difference = 0, "a-b";
        /// The elements of the second that are not in the first.
        Reverse = 1, "b-a";
        /// The elements of both.
        Intersection = 2, "intersection";
        /// The elements of either.
        Union = 3, "union";
    }
}

type Set = BTreeSet<i64>;

impl SetOperation {
    fn of(self, a: &Set, b: &Set) -> Set {
        match self {
            SetOperation::Difference => a - b,
            SetOperation::Reverse => b - a,
            SetOperation::Intersection => a & b,
            SetOperation::Union => a | b,
        }
    }
}

/// The sets along the last dimension of a dense tensor.
fn dense(x: &Operand) -> Result<(&[usize], Vec<Set>), OpError> {
    let (last, lead) = x.shape().split_last().ok_or_else(|| OpError::Invalid("expected a dimension".into()))?;
    let mut sets = vec![Set::new(); count(lead)];
    for (i, x) in x.i64s()?.into_iter().enumerate() {
        item_mut(&mut sets, i / last)?.insert(x);
    }
    Ok((lead, sets))
}

/// The sets along the last dimension of a sparse tensor, by the number of the row.
fn held(indices: &Operand, values: &Operand, shape: &Operand) -> Result<(Vec<usize>, BTreeMap<usize, Set>), OpError> {
    let Coo { mut dims, places } = Coo::read(indices, shape)?;
    let last = dims.pop().unwrap_or(1).max(1);
    let mut sets: BTreeMap<usize, Set> = BTreeMap::new();
    for (place, value) in places.iter().zip(values.i64s()?) {
        sets.entry(place / last).or_default().insert(value);
    }
    Ok((dims, sets))
}

/// Sets as a sparse tensor whose last dimension is as long as the largest.
fn sparse(lead: &[usize], sets: &[Set], dtype: DType) -> Result<Vec<Tensor>, OpError> {
    let most = sets.iter().map(BTreeSet::len).max().unwrap_or(0);
    let dims: Vec<usize> = lead.iter().copied().chain([most]).collect();
    let places: Vec<usize> =
        sets.iter().enumerate().flat_map(|(row, set)| (0..set.len()).map(move |i| row * most + i)).collect();
    let values: Vec<i64> = sets.iter().flatten().copied().collect();
    let values = Tensor::from_i64s(dtype, &[values.len()], &values)?;
    Ok(vec![indices(DType::I64, &dims, &places)?, values, lengths(DType::I64, &dims)?])
}

fn check_sets(a: &Operand, b: &Operand) -> Result<(), OpError> {
    ensure!(
        a.dtype().is_int() && a.dtype() == b.dtype(),
        "expected integers of one type, found {} and {}",
        a.fact,
        b.fact
    );
    ensure!(a.dtype() != DType::U64, "expected integers of at most 63 bits, found {}", a.fact);
    Ok(())
}

op! {
    /// The difference, intersection or union of the sets along the last dimensions of `x1` and `x2`, whose other dimensions
    /// agree, each in order: indices, values and shape of a sparse tensor. Integers.
    classic DenseToDenseSetOperation {
        x1: Operand,
        x2: Operand,
        set_operation: SetOperation as Small = SetOperation::Difference,
        validate_indices: bool = true,
    }
}

impl DenseToDenseSetOperation {
    fn results(&self) -> Result<Vec<Tensor>, OpError> {
        let ((lead, a), (_, b)) = (dense(&self.x1)?, dense(&self.x2)?);
        let sets: Vec<Set> = a.iter().zip(&b).map(|(a, b)| self.set_operation.of(a, b)).collect();
        sparse(lead, &sets, self.x1.dtype())
    }
}

impl Operator for DenseToDenseSetOperation {
    fn rule(&self) -> Result<impl Rule, OpError> {
        check_sets(&self.x1, &self.x2)?;
        let lead = |x: &Operand| x.shape().split_last().map(|(_, lead)| lead.to_vec());
        let same = lead(&self.x1).is_some() && lead(&self.x1) == lead(&self.x2);
        ensure!(same, "expected the same leading dimensions, found {} and {}", self.x1.fact, self.x2.fact);
        Ok(ByData { operands: vec![&self.x1, &self.x2], results: || self.results() })
    }

    fn cases() -> Vec<Case> {
        let s =
            sample().index(DType::I32, &[2, 3], &[2, 2, 0, 2, 2, 1]).index(DType::I32, &[2, 3], &[2, 2, 1, 0, 2, 0]);
        ["a-b", "b-a", "intersection", "union"].map(|how| s.clone().text(how).exact(how)).to_vec()
    }
}

op! {
    /// As `DenseToDenseSetOperation`, with the second sets in a sparse tensor.
    classic DenseToSparseSetOperation {
        x1: Operand,
        x2_indices: Operand,
        x2_values: Operand,
        x2_shape: Operand,
        set_operation: SetOperation as Small,
        validate_indices: bool = true,
    }
}

impl DenseToSparseSetOperation {
    fn results(&self) -> Result<Vec<Tensor>, OpError> {
        let (lead, a) = dense(&self.x1)?;
        let (dims, mut b) = held(&self.x2_indices, &self.x2_values, &self.x2_shape)?;
        ensure!(dims == lead, "expected the leading dimensions {lead:?}, found {dims:?}");
        let sets: Vec<Set> = a
            .iter()
            .enumerate()
            .map(|(row, a)| self.set_operation.of(a, &b.remove(&row).unwrap_or_default()))
            .collect();
        sparse(lead, &sets, self.x1.dtype())
    }
}

impl Operator for DenseToSparseSetOperation {
    fn rule(&self) -> Result<impl Rule, OpError> {
        check_sets(&self.x1, &self.x2_values)?;
        check_coo(&self.x2_indices, &self.x2_values)?;
        check_shape(&self.x2_indices, &self.x2_shape)?;
        ensure!(self.x1.rank() > 0, "expected a dimension, found {}", self.x1.fact);
        let operands = vec![&self.x1, &self.x2_indices, &self.x2_values, &self.x2_shape];
        Ok(ByData { operands, results: || self.results() })
    }

    fn cases() -> Vec<Case> {
        let s = sample().index(DType::I32, &[3, 2], &[1, 2, 3, 0, 1, 5]);
        let s = s.index(DType::I64, &[3, 2], &[0, 1, 0, 2, 1, 2]).index(DType::I32, &[3], &[5, 1, 0]);
        let s = s.index(DType::I64, &[2], &[3, 3]);
        ["a-b", "union"].map(|how| s.clone().text(how).exact(how)).to_vec()
    }
}

op! {
    /// How many different values the sets along the last dimension of a sparse tensor have, as a dense `i32` tensor.
    classic SetSize { set_indices: Operand, set_values: Operand, set_shape: Operand, validate_indices: bool = true }
}

impl SetSize {
    fn results(&self) -> Result<Vec<Tensor>, OpError> {
        let (lead, sets) = held(&self.set_indices, &self.set_values, &self.set_shape)?;
        let fact = crate::ops::kit::indices::result(DType::I32, &lead)?;
        let _room = crate::bounds::room(fact.count().saturating_mul(crate::bounds::NUMBERS))?;
        let mut y = vec![0i64; fact.count()];
        for (row, set) in sets {
            *item_mut(&mut y, row)? = set.len() as i64;
        }
        Ok(vec![Tensor::from_i64s(DType::I32, &lead, &y)?])
    }
}

impl Operator for SetSize {
    fn rule(&self) -> Result<impl Rule, OpError> {
        check_sets(&self.set_values, &self.set_values)?;
        check_coo(&self.set_indices, &self.set_values)?;
        check_shape(&self.set_indices, &self.set_shape)?;
        Ok(ByData { operands: vec![&self.set_indices, &self.set_values, &self.set_shape], results: || self.results() })
    }

    fn cases() -> Vec<Case> {
        let s = sample().index(DType::I64, &[5, 2], &[0, 1, 0, 2, 0, 3, 1, 0, 1, 1]);
        vec![s.index(DType::I32, &[5], &[1, 1, 2, 5, 5]).index(DType::I64, &[2], &[3, 4]).exact("rows")]
    }
}

op! {
    /// How often each value occurs along the last dimension of a sparse tensor, or with `binary_output` 1: indices, counts and
    /// shape of a sparse tensor with a place for each value. Counts are sums of `weights` and have their type. Values not below
    /// `maxlength` are left out; there are places for at least `minlength`. Both are −1 for no bound.
    classic SparseCountSparseOutput {
        indices: Operand,
        values: Operand,
        dense_shape: Operand,
        weights: Operand,
        binary_output: bool = false,
        minlength: i64 = -1,
        maxlength: i64 = -1,
    }
}

impl SparseCountSparseOutput {
    fn results(&self) -> Result<Vec<Tensor>, OpError> {
        let Coo { mut dims, places } = Coo::read(&self.indices, &self.dense_shape)?;
        let last = dims.pop().unwrap_or(1).max(1);
        let (values, weights) = (self.values.i64s()?, self.weights.f64s()?);
        let mut counts: BTreeMap<(usize, i64), f64> = BTreeMap::new();
        for ((place, value), weight) in places.iter().zip(values).zip(weights) {
            ensure!(value >= 0, "expected values of at least 0, found {value}");
            if self.maxlength < 0 || value < self.maxlength {
                *counts.entry((place / last, value)).or_insert(0.0) += weight;
            }
        }
        let most = counts.keys().map(|(_, value)| value.saturating_add(1)).max().unwrap_or(0);
        let most = size(most.max(self.minlength).max(0), "the number of values")?;
        dims.push(most);
        let places: Vec<usize> = counts.keys().map(|(row, value)| row * most + *value as usize).collect();
        let y: Vec<f64> = counts.values().map(|count| if self.binary_output { 1.0 } else { *count }).collect();
        let y = Tensor::from_f64s(self.weights.dtype(), &[y.len()], &y)?;
        Ok(vec![indices(self.indices.dtype(), &dims, &places)?, y, lengths(self.dense_shape.dtype(), &dims)?])
    }
}

impl Operator for SparseCountSparseOutput {
    fn rule(&self) -> Result<impl Rule, OpError> {
        check_sets(&self.values, &self.values)?;
        check_coo(&self.indices, &self.values)?;
        check_shape(&self.indices, &self.dense_shape)?;
        let weights = &self.weights;
        ensure!(
            weights.shape() == self.values.shape(),
            "expected a weight for each of {}, found {}",
            self.values.fact,
            weights.fact
        );
        Ok(ByData {
            operands: vec![&self.indices, &self.values, &self.dense_shape, weights],
            results: || self.results(),
        })
    }

    fn cases() -> Vec<Case> {
        let s =
            |s: Sample| s.index(DType::I64, &[4, 2], &[0, 0, 0, 1, 1, 0, 1, 1]).index(DType::I64, &[4], &[3, 3, 1, 4]);
        let s = s(sample()).index(DType::I64, &[2], &[2, 2]);
        vec![
            s.clone().positive(DType::F32, &[4]).case("weights"),
            s.index(DType::I32, &[4], &[1, 1, 1, 1]).flag(true).int(8).int(4).exact("bounds"),
        ]
    }
}
