use crate::onnx::{Emit, Forms};
use crate::op::{Case, CaseArg, Operand, Rule};
use crate::ops::kit::indices::{flat, rearrange_many};
use crate::ops::kit::sample::sample;
use crate::task::{Lowering, V};
use crate::{DType, Fact, OpError, Shape, Tensor, ensure, normalize_axis, op};

/// The type that tensors of several types become.
fn common_dtype(xs: &[Operand]) -> Result<DType, OpError> {
    let dtype = xs.iter().map(Operand::dtype).reduce(DType::promote);
    dtype.ok_or_else(|| OpError::Invalid("expected one tensor or more, found none".into()))
}

fn one_dtype(xs: &[Operand]) -> Result<DType, OpError> {
    let Some(first) = xs.first() else {
        return Err(OpError::Invalid("expected one tensor or more, found none".into()));
    };
    for x in xs {
        ensure!(x.dtype() == first.dtype(), "expected tensors of one type, found {} and {}", first.fact, x.fact);
    }
    Ok(first.dtype())
}

/// Vectors of several types.
fn mixed(name: &'static str, dtypes: &[DType]) -> Case {
    let one = |d: &DType| Tensor::from_f64s(*d, &[2], &[1.0, 0.0]).ok();
    sample().arg(CaseArg::Tensors(dtypes.iter().filter_map(one).collect())).exact(name)
}

fn contents(xs: &[Operand]) -> Result<Vec<&Tensor>, OpError> {
    xs.iter().map(Operand::tensor).collect()
}

/// `axis` of the first tensor with `more` dimensions, from the front.
fn first_axis(xs: &[Operand], axis: i64, more: usize) -> Result<i64, OpError> {
    let rank = xs.first().map_or(0, Operand::rank) + more;
    let axis = normalize_axis(axis, rank);
    axis.map(|a| a as i64).ok_or_else(|| OpError::Invalid(format!("the axis is out of range for rank {rank}")))
}

op! {
    /// Tensors joined along dimension `axis`; the other dimensions agree. Tensors of several types become their common type.
    Concat { tensors ["input_x", "inputs"]: Vec<Operand>, axis ["dim"]: i64 = 0 }
}

impl Concat {
    fn plan(&self) -> Result<(Fact, usize), OpError> {
        let dtype = common_dtype(&self.tensors)?;
        let first = &self.tensors[0];
        let axis = first.axis(self.axis)?;
        let mut shape = first.fact.shape.clone();
        shape[axis] = 0;
        for x in &self.tensors {
            let fits = x.rank() == shape.len() && (0..x.rank()).all(|d| d == axis || x.shape()[d] == shape[d]);
            ensure!(fits, "cannot join {} and {} along dimension {axis}", first.fact, x.fact);
            shape[axis] = shape[axis]
                .checked_add(x.shape()[axis])
                .ok_or_else(|| OpError::Invalid("the result is too large".into()))?;
        }
        Ok((Fact { dtype, shape }, axis))
    }
}

impl Rule for Concat {
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        Ok(vec![self.plan()?.0])
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        let (fact, axis) = self.plan()?;
        let parts =
            self.tensors.iter().map(|x| Ok(x.tensor()?.cast(fact.dtype)?)).collect::<Result<Vec<_>, OpError>>()?;
        let y = rearrange_many(&parts.iter().collect::<Vec<_>>(), &fact.shape, &vec![0; fact.dtype.size()], |index| {
            let mut from = Shape::from_slice(index);
            let mut part = 0;
            while from[axis] >= self.tensors[part].shape()[axis] {
                from[axis] -= self.tensors[part].shape()[axis];
                part += 1;
            }
            Some((part, flat(self.tensors[part].shape(), &from)))
        })?;
        Ok(vec![y])
    }

    fn lower(&self, b: &mut Lowering) -> Result<Option<Vec<V>>, OpError> {
        let (fact, axis) = self.plan()?;
        if fact.count() == 0 {
            return Ok(Some(vec![b.constant(Tensor::zeros(fact.dtype, &fact.shape)?)]));
        }
        let filled: Vec<V> = self.tensors.iter().filter(|x| x.count() > 0).map(|x| b.cast(x.v, fact.dtype)).collect();
        Ok(Some(vec![b.concat(&filled, axis)?]))
    }

    fn onnx(&self, e: &mut Emit) -> Forms {
        let dtype = common_dtype(&self.tensors)?;
        let xs = self.tensors.iter().map(|x| e.as_type(x, dtype)).collect::<Result<Vec<_>, _>>()?;
        Ok(Some(vec![e.concat(&xs, first_axis(&self.tensors, self.axis, 0)?)]))
    }

    fn cases() -> Vec<Case> {
        use DType::*;
        vec![
            sample().tensors(F32, &[&[2, 3], &[2, 1], &[2, 4]]).int(1).exact("columns"),
            sample().tensors(I8, &[&[2, 3, 2], &[1, 3, 2]]).int(-3).exact("rows"),
            sample().tensors(F16, &[&[2, 3]]).int(0).exact("one"),
            mixed("several types", &[I64, F16, Bool]),
            mixed("two short floats", &[F16, BF16]),
            mixed("two signs", &[U8, I8]),
            sample().tensors(F32, &[&[0, 3], &[2, 3], &[0, 3]]).int(0).exact("empty parts"),
        ]
    }
}

op! {
    /// Tensors of one shape joined along a new dimension, which is dimension `axis` of the result. Any type.
    classic Stack { input_x ["x"]: Vec<Operand>, axis: i64 = 0 }
}

op! {
    /// As [`Stack`], with `dim` as an argument in MindSpore 2.
    StackExt { tensors: Vec<Operand>, dim ["axis"]: i64 = 0 }
}

struct Pile<'a> {
    xs: &'a [Operand],
    axis: i64,
}

impl Pile<'_> {
    fn plan(&self) -> Result<(Fact, usize), OpError> {
        let dtype = one_dtype(self.xs)?;
        let first = &self.xs[0];
        for x in self.xs {
            ensure!(x.shape() == first.shape(), "expected tensors of one shape, found {} and {}", first.fact, x.fact);
        }
        let rank = first.rank() + 1;
        let axis = normalize_axis(self.axis, rank)
            .ok_or_else(|| OpError::Invalid(format!("axis {} is out of range for rank {rank}", self.axis)))?;
        let mut shape = first.fact.shape.clone();
        shape.insert(axis, self.xs.len());
        Ok((Fact { dtype, shape }, axis))
    }

    fn reference(&self) -> Result<Tensor, OpError> {
        let (fact, axis) = self.plan()?;
        rearrange_many(&contents(self.xs)?, &fact.shape, &vec![0; fact.dtype.size()], |index| {
            let mut from = Shape::from_slice(index);
            let part = from.remove(axis);
            Some((part, flat(self.xs[part].shape(), &from)))
        })
    }

    fn lower(&self, b: &mut Lowering) -> Result<V, OpError> {
        let (fact, axis) = self.plan()?;
        if fact.count() == 0 {
            return Ok(b.constant(Tensor::zeros(fact.dtype, &fact.shape)?));
        }
        let mut dims = fact.shape.clone();
        dims[axis] = 1;
        let slices = self.xs.iter().map(|x| b.reshape(x.v, &dims)).collect::<Result<Vec<_>, _>>()?;
        b.concat(&slices, axis)
    }
}

macro_rules! piling {
    ($name:ident, $xs:ident, $axis:ident) => {
        impl Rule for $name {
            fn infer(&self) -> Result<Vec<Fact>, OpError> {
                Ok(vec![Pile { xs: &self.$xs, axis: self.$axis }.plan()?.0])
            }

            fn reference(&self) -> Result<Vec<Tensor>, OpError> {
                Ok(vec![Pile { xs: &self.$xs, axis: self.$axis }.reference()?])
            }

            fn lower(&self, b: &mut Lowering) -> Result<Option<Vec<V>>, OpError> {
                Ok(Some(vec![Pile { xs: &self.$xs, axis: self.$axis }.lower(b)?]))
            }

            fn onnx(&self, e: &mut Emit) -> Forms {
                let axis = first_axis(&self.$xs, self.$axis, 1)?;
                let xs = e.all(&self.$xs)?;
                let xs: Vec<_> = xs.into_iter().map(|x| e.unsqueeze(x, &[axis])).collect();
                Ok(Some(vec![e.concat(&xs, axis)]))
            }

            fn cases() -> Vec<Case> {
                vec![
                    sample().tensors(DType::F32, &[&[2, 3], &[2, 3]]).int(1).exact("middle"),
                    sample().tensors(DType::I64, &[&[2], &[2], &[2]]).int(-1).exact("last"),
                    sample().tensors(DType::F32, &[&[], &[]]).int(0).exact("scalars"),
                ]
            }
        }
    };
}

piling!(Stack, input_x, axis);
piling!(StackExt, tensors, dim);
