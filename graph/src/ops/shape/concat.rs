use crate::onnx::{Emit, Forms};
use crate::op::{Case, CaseArg, Lowers, Operand, Operator, Rule};
use crate::ops::kit::indices::{around, dim, item, rearrange_many, replaced};
use crate::ops::kit::sample::sample;
use crate::task::{Lowering, V};
use crate::{DType, Fact, OpError, Tensor, ensure, normalize_axis, op};

/// The type that tensors of several types become.
fn common_dtype<'a>(xs: impl IntoIterator<Item = &'a Operand>) -> Result<DType, OpError> {
    let dtype = xs.into_iter().map(Operand::dtype).reduce(DType::promote);
    dtype.ok_or_else(|| OpError::Invalid("expected one tensor or more, found none".into()))
}

fn first(xs: &[Operand]) -> Result<&Operand, OpError> {
    xs.first().ok_or_else(|| OpError::Invalid("expected one tensor or more, found none".into()))
}

/// Where the elements come from where tensors are joined: each in turn gives as many in a row as `blocks` says, `rows` times.
fn joined(rows: usize, blocks: &[usize]) -> impl Iterator<Item = (usize, usize)> {
    let block = move |row: usize, (part, n): (usize, &usize)| (row * n..(row + 1) * n).map(move |at| (part, at));
    (0..rows).flat_map(move |row| blocks.iter().enumerate().flat_map(move |each| block(row, each)))
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

/// Tensors joined along a dimension, in their common type.
pub(in crate::ops) struct Joined<'a> {
    xs: Vec<&'a Operand>,
    axis: usize,
    fact: Fact,
}

impl<'a> Joined<'a> {
    pub fn new(xs: Vec<&'a Operand>, axis: i64) -> Result<Self, OpError> {
        let dtype = common_dtype(xs.iter().copied())?;
        let first = *item(&xs, 0)?;
        let axis = first.axis(axis)?;
        let mut len = 0usize;
        for x in &xs {
            let own = dim(x.shape(), axis).ok().filter(|own| *x.shape() == *replaced(first.shape(), axis, *own));
            let wrong =
                || OpError::Invalid(format!("cannot join {} and {} along dimension {axis}", first.fact, x.fact));
            len = len
                .checked_add(own.ok_or_else(wrong)?)
                .ok_or_else(|| OpError::Invalid("the result is too large".into()))?;
        }
        Ok(Joined { xs, axis, fact: Fact { dtype, shape: replaced(first.shape(), axis, len) } })
    }
}

impl Rule for Joined<'_> {
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        Ok(vec![self.fact.clone()])
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        let (Fact { dtype, shape }, axis) = (&self.fact, self.axis);
        let parts = self.xs.iter().map(|x| Ok(x.tensor()?.cast(*dtype)?)).collect::<Result<Vec<_>, OpError>>()?;
        let block = |x: &&Operand| around(x.shape(), axis).map(|[_, len, inner]| len * inner);
        let blocks = self.xs.iter().map(block).collect::<Result<Vec<_>, _>>()?;
        let [rows, ..] = around(shape, axis)?;
        let (parts, mut places) = (parts.iter().collect::<Vec<_>>(), joined(rows, &blocks));
        Ok(vec![rearrange_many(&parts, shape, &vec![0; dtype.size()], |_| places.next())?])
    }

    fn lower(&self, b: &mut Lowering) -> Lowers {
        let Fact { dtype, shape } = &self.fact;
        if self.fact.count() == 0 {
            return Ok(Some(vec![b.constant(Tensor::zeros(*dtype, shape)?)]));
        }
        let filled: Vec<V> = self.xs.iter().filter(|x| x.count() > 0).map(|x| b.cast(x.v, *dtype)).collect();
        Ok(Some(vec![b.concat(&filled, self.axis)?]))
    }
}

op! {
    /// Tensors joined along dimension `axis`; the other dimensions agree. Tensors of several types become their common type.
    Concat { tensors ["input_x", "inputs"]: Vec<Operand>, axis ["dim"]: i64 = 0 }
}

impl Operator for Concat {
    fn rule(&self) -> Result<impl Rule, OpError> {
        Joined::new(self.tensors.iter().collect(), self.axis)
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

/// Tensors of one shape along a new dimension.
struct Pile<'a> {
    xs: &'a [Operand],
    axis: usize,
    fact: Fact,
}

impl<'a> Pile<'a> {
    fn new(xs: &'a [Operand], axis: i64) -> Result<Self, OpError> {
        let first = first(xs)?;
        let dtype = first.dtype();
        for x in xs {
            ensure!(x.dtype() == dtype, "expected tensors of one type, found {} and {}", first.fact, x.fact);
            ensure!(x.shape() == first.shape(), "expected tensors of one shape, found {} and {}", first.fact, x.fact);
        }
        let rank = first.rank() + 1;
        let place = normalize_axis(axis, rank);
        let axis = place.ok_or_else(|| OpError::Invalid(format!("axis {axis} is out of range for rank {rank}")))?;
        let mut shape = first.fact.shape.clone();
        shape.insert(axis, xs.len());
        Ok(Pile { xs, axis, fact: Fact { dtype, shape } })
    }
}

impl Rule for Pile<'_> {
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        Ok(vec![self.fact.clone()])
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        let Fact { dtype, shape } = &self.fact;
        let [rows, n, inner] = around(shape, self.axis)?;
        let blocks = vec![inner; n];
        let mut places = joined(rows, &blocks);
        Ok(vec![rearrange_many(&contents(self.xs)?, shape, &vec![0; dtype.size()], |_| places.next())?])
    }

    fn lower(&self, b: &mut Lowering) -> Lowers {
        let Fact { dtype, shape } = &self.fact;
        if self.fact.count() == 0 {
            return Ok(Some(vec![b.constant(Tensor::zeros(*dtype, shape)?)]));
        }
        let dims = replaced(shape, self.axis, 1);
        let slices = self.xs.iter().map(|x| b.reshape(x.v, &dims)).collect::<Result<Vec<_>, _>>()?;
        Ok(Some(vec![b.concat(&slices, self.axis)?]))
    }
}

/// [`Pile`] in ONNX.
fn pile(e: &mut Emit, xs: &[Operand], axis: i64) -> Forms {
    let axis = first_axis(xs, axis, 1)?;
    let xs: Vec<_> = e.all(xs)?.into_iter().map(|x| e.unsqueeze(x, &[axis])).collect();
    Ok(Some(vec![e.concat(&xs, axis)]))
}

fn piles() -> Vec<Case> {
    vec![
        sample().tensors(DType::F32, &[&[2, 3], &[2, 3]]).int(1).exact("middle"),
        sample().tensors(DType::I64, &[&[2], &[2], &[2]]).int(-1).exact("last"),
        sample().tensors(DType::F32, &[&[], &[]]).int(0).exact("scalars"),
    ]
}

op! {
    /// Tensors of one shape joined along a new dimension, which is dimension `axis` of the result. Any type.
    classic Stack { input_x ["x"]: Vec<Operand>, axis: i64 = 0 }
}

impl Operator for Stack {
    fn rule(&self) -> Result<impl Rule, OpError> {
        Pile::new(&self.input_x, self.axis)
    }

    fn onnx(&self, e: &mut Emit) -> Forms {
        pile(e, &self.input_x, self.axis)
    }

    fn cases() -> Vec<Case> {
        piles()
    }
}

op! {
    /// As [`Stack`], with `dim` as an argument in MindSpore 2.
    StackExt { tensors: Vec<Operand>, dim ["axis"]: i64 = 0 }
}

impl Operator for StackExt {
    fn rule(&self) -> Result<impl Rule, OpError> {
        Pile::new(&self.tensors, self.dim)
    }

    fn onnx(&self, e: &mut Emit) -> Forms {
        pile(e, &self.tensors, self.dim)
    }

    fn cases() -> Vec<Case> {
        piles()
    }
}
