//! Elements and slices at coordinates that broadcast.

use super::combine::{Combine, apply, check_updates};
use super::gather::place;
use crate::onnx::{Emit, Forms, no_form};
use crate::op::{Case, CaseArg, Effect, Lowers, Operand, Operator, Pure, Rule, Writes};
use crate::ops::kit::broadcasting::{broadcast_index, common_shape, spread};
use crate::ops::kit::indices::{only, result, slices_at, taken};
use crate::ops::kit::sample::sample;
use crate::task::Lowering;
use crate::{DType, Fact, OpError, Shape, Tensor, count, dense_strides, ensure, op};

/// Slices of `x` at the coordinates that `indices` give along its first dimensions: integers, which broadcast, or `bool`
/// tensors, which stand for the coordinates of their true elements.
struct Places<'a> {
    x: &'a Operand,
    indices: &'a [Operand],
}

impl Places<'_> {
    /// One list of coordinates for each dimension that is looked up, of the shape that they broadcast to.
    fn coordinates(&self) -> Result<(Shape, Vec<Vec<i64>>), OpError> {
        let mut lists = Vec::new();
        for index in self.indices {
            if index.dtype() == DType::Bool {
                let x = index.tensor()?.to_i64s()?;
                let hits: Vec<usize> = x.iter().enumerate().filter(|(_, x)| **x != 0).map(|(i, _)| i).collect();
                for (len, step) in index.shape().iter().zip(dense_strides(index.shape())) {
                    let along = hits.iter().map(|i| (i / step.unsigned_abs() % len) as i64).collect();
                    lists.push((Shape::from_slice(&[hits.len()]), along));
                }
            } else {
                lists.push((index.fact.shape.clone(), index.i64s()?));
            }
        }
        let mut shape = Shape::new();
        for (dims, _) in &lists {
            let both = crate::broadcast(&shape, dims);
            shape =
                both.ok_or_else(|| OpError::Invalid(format!("indices {dims:?} do not broadcast with {shape:?}")))?;
        }
        let lists = lists.iter().map(|(dims, list)| spread(list, dims, &shape)).collect::<Result<_, _>>()?;
        Ok((shape, lists))
    }

    /// Number of dimensions that are looked up.
    fn depth(&self) -> Result<usize, OpError> {
        let mut depth = 0;
        for index in self.indices {
            let fits = match index.dtype() {
                DType::Bool => self.x.shape().get(depth..).is_some_and(|x| x.starts_with(index.shape())),
                d => d.is_int(),
            };
            ensure!(fits, "expected integers or bool of the dimensions of {}, found {}", self.x.fact, index.fact);
            depth += if index.dtype() == DType::Bool { index.rank() } else { 1 };
        }
        ensure!((1..=self.x.rank()).contains(&depth), "expected indices for {}, found {depth}", self.x.fact);
        Ok(depth)
    }

    /// The dimensions of all slices together.
    fn shape(&self) -> Result<Shape, OpError> {
        let depth = self.depth()?;
        let lead = match self.indices.iter().find(|index| index.dtype() == DType::Bool) {
            Some(mask) if mask.known.is_none() => return Err(OpError::Dynamic),
            Some(_) => self.coordinates()?.0,
            None => common_shape(&self.indices.iter().collect::<Vec<_>>())?,
        };
        let shape: Shape = lead.iter().chain(self.x.shape().iter().skip(depth)).copied().collect();
        Ok(result(self.x.dtype(), &shape)?.shape)
    }

    /// The positions of their elements.
    fn elements(&self) -> Result<Vec<usize>, OpError> {
        let (lead, slice) = self.x.shape().split_at_checked(self.depth()?).unwrap_or_default();
        let (shape, lists) = self.coordinates()?;
        let mut slices = vec![0; count(&shape)];
        for (list, &len) in lists.iter().zip(lead) {
            for (at, &i) in slices.iter_mut().zip(list) {
                *at = *at * len + place(i, len)?;
            }
        }
        Ok(slices_at([1, count(lead), count(slice)], &slices).collect())
    }
}

op! {
    /// The slices of `input` at the coordinates that `indices` give along its first dimensions: integers, which broadcast, or
    /// `bool` tensors, which stand for the coordinates of their true elements. Any type; an index out of range is an error.
    Index { input: Operand, indices: Vec<Operand> }
}

impl Index {
    fn places(&self) -> Places<'_> {
        Places { x: &self.input, indices: &self.indices }
    }
}

impl Rule for Index {
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        Ok(vec![Fact { dtype: self.input.dtype(), shape: self.places().shape()? }])
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        let shape = self.places().shape()?;
        Ok(vec![taken(self.input.tensor()?, &shape, self.places().elements()?.into_iter())?])
    }

    fn lower(&self, b: &mut Lowering) -> Lowers {
        match self.indices.as_slice() {
            [index] if matches!(index.dtype(), DType::I32 | DType::I64) && only(self.infer()?)?.count() > 0 => {
                Ok(Some(vec![b.gather(self.input.v, index.v, 0)?]))
            }
            _ => Ok(None),
        }
    }

    fn onnx(&self, e: &mut Emit) -> Forms {
        let dims: Vec<_> = self.indices.iter().map(Operand::dims).collect();
        let same =
            dims.windows(2).all(|pair| pair.first() == pair.last()) && !dims.iter().flatten().any(Option::is_none);
        if !same || self.indices.iter().any(|index| index.dtype() == DType::Bool) {
            return no_form("indices that broadcast or are masks");
        }
        let x = e.edge(&self.input)?;
        let last = dims.first().map_or(0, Vec::len) as i64;
        let mut coordinates = Vec::new();
        for index in &self.indices {
            let index = e.as_type(index, DType::I64)?;
            coordinates.push(e.unsqueeze(index, &[last]));
        }
        let index = e.concat(&coordinates, last);
        Ok(Some(vec![e.op("GatherND", &[x, index])]))
    }

    fn cases() -> Vec<Case> {
        let x = || sample().tensor(DType::F32, &[4, 3, 2]);
        vec![
            x().arg(given(&[(&[2], &[2, -1])])).exact("rows"),
            x().arg(given(&[(&[2, 1], &[2, 0]), (&[2], &[1, 1])])).exact("broadcast"),
            x().arg(given(&[(&[2], &[2, 0]), (&[2], &[1, 1]), (&[2], &[0, 1])])).exact("elements"),
            x().arg(masks(&[true, false, true, false])).exact("mask"),
        ]
    }
}

/// A tuple of indices.
fn given(indices: &[(&[usize], &[i64])]) -> CaseArg {
    let one = |(dims, values): &(&[usize], &[i64])| Tensor::from_i64s(DType::I64, dims, values).ok();
    CaseArg::Tensors(indices.iter().filter_map(one).collect())
}

fn masks(mask: &[bool]) -> CaseArg {
    CaseArg::Tensors(Tensor::from_bools(&[mask.len()], mask).into_iter().collect())
}

/// `x` with what `values`, which broadcast, do to the slices at `indices`.
struct Put<'a> {
    places: Places<'a>,
    values: &'a Operand,
    how: Combine,
}

impl Rule for Put<'_> {
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        let x = self.places.x;
        check_updates(x, self.values, self.how)?;
        match self.places.shape() {
            Err(OpError::Dynamic) => {}
            shape => {
                let shape = shape?;
                let fits = crate::broadcast(self.values.shape(), &shape).is_some_and(|both| both == shape);
                ensure!(fits, "expected values for {:?}, found {}", shape.as_slice(), self.values.fact);
            }
        }
        Ok(vec![x.fact.clone()])
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        self.infer()?;
        let shape = self.places.shape()?;
        let spread = broadcast_index(self.values.shape(), &shape)?.into_iter();
        let updates = taken(self.values.tensor()?, &shape, spread)?;
        Ok(vec![apply(self.places.x.tensor()?, &self.places.elements()?, &updates, self.how)?])
    }

    fn onnx(&self, _: &mut Emit) -> Forms {
        no_form("updates that broadcast")
    }
}

fn how(accumulate: bool) -> Combine {
    if accumulate { Combine::Add } else { Combine::Replace }
}

op! {
    /// `x1` with the slices at the coordinates `indices` (see `Index`) replaced by `x2`, or with `accumulate` 1 with `x2` added,
    /// in order. `x2`, of the type of `x1`, broadcasts. An index out of range is an error.
    classic IndexPut { x1: Operand, x2: Operand, indices: Vec<Operand>, accumulate: i64 = 0 }
}

impl Operator for IndexPut {
    fn rule(&self) -> Result<impl Rule, OpError> {
        let places = Places { x: &self.x1, indices: &self.indices };
        Ok(Put { places, values: &self.x2, how: how(self.accumulate != 0) })
    }

    fn cases() -> Vec<Case> {
        let x = || sample().tensor(DType::F32, &[4, 3]);
        vec![
            x().tensor(DType::F32, &[3]).arg(given(&[(&[2], &[0, -1])])).exact("rows"),
            x().tensor(DType::F32, &[1]).arg(given(&[(&[2], &[0, 0]), (&[1], &[1])])).int(1).case("added"),
        ]
    }
}

op! {
    /// Writes variable `input`, with the slices at the coordinates `indices` (see `Index`) replaced by `values`, or with
    /// `accumulate` with these added, in order, and returns it. `values`, of the type of `input`, broadcast.
    InplaceIndexPut { input: Operand, indices: Vec<Operand>, values: Operand, accumulate: bool = false }
}

impl Operator for InplaceIndexPut {
    const EFFECT: Effect = Effect::Writes(Writes::results(&[0]));
    const PURE: Option<Pure> = Some(Pure::Of("IndexPut", &[0, 2, 1, 3]));

    fn rule(&self) -> Result<impl Rule, OpError> {
        let places = Places { x: &self.input, indices: &self.indices };
        Ok(Put { places, values: &self.values, how: how(self.accumulate) })
    }

    fn cases() -> Vec<Case> {
        let x = || sample().tensor(DType::F32, &[4, 3]);
        vec![
            x().arg(given(&[(&[2], &[0, -1])])).tensor(DType::F32, &[2, 3]).exact("rows"),
            x().arg(given(&[(&[2], &[0, 0]), (&[2], &[1, 1])])).tensor(DType::F32, &[2]).flag(true).case("added"),
            x().arg(masks(&[true, false, true, false])).tensor(DType::F32, &[3]).exact("mask"),
        ]
    }
}
