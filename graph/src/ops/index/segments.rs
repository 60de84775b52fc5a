//! Slices combined by the segment that they belong to.

use super::combine::{Combine, Combined, check_operands};
use super::gather::outside;
use super::scatter_nd::{lower_nd, scatter_nd};
use crate::onnx::{Emit, Forms, Size, machine, no_form};
use crate::op::{Case, Lowers, Operand, Operator, Rule};
use crate::ops::kit::arithmetic::{Arithmetic, with_arithmetic};
use crate::ops::kit::indices::{around, only, result, size};
use crate::ops::kit::sample::{Sample, sample};
use crate::task::{Binary, Instr, Lowering, Program};
use crate::{DType, Fact, OpError, Shape, Tensor, op};

/// Slices of `x` combined by the segment that `ids` names.
struct Segments<'a> {
    x: &'a Operand,
    ids: &'a Operand,
    n: i64,
    how: Combine,
}

impl Segments<'_> {
    fn fact(&self) -> Result<Fact, OpError> {
        check_operands(self.x, self.ids, self.x, self.how)?;
        let n = size(self.n, "num_segments")?;
        let rest = self.x.shape().strip_prefix(self.ids.shape()).filter(|_| self.ids.rank() > 0);
        let wrong =
            || OpError::Invalid(format!("{} does not start with the dimensions of {}", self.x.fact, self.ids.fact));
        let shape: Shape = std::iter::once(n).chain(rest.ok_or_else(wrong)?.iter().copied()).collect();
        result(self.x.dtype(), &shape)
    }

    fn combined<N: Combined>(&self, fact: &Fact) -> Result<Vec<N>, OpError> {
        let limits = match self.how {
            Combine::Max => Tensor::from_f64s(fact.dtype, &[], &[f64::MIN])?,
            Combine::Min => Tensor::from_f64s(fact.dtype, &[], &[f64::MAX])?,
            Combine::Mul => Tensor::from_f64s(fact.dtype, &[], &[1.0])?,
            _ => Tensor::zeros(fact.dtype, &[])?,
        };
        let start = finite_limit(fact.dtype, only(N::read(&limits)?)?, self.how);
        let [_, _, inner] = around(&fact.shape, 0)?;
        let (x, ids) = (N::read(self.x.tensor()?)?, self.ids.i64s()?);
        let mut y = vec![start; fact.count()];
        let count = size(self.n, "num_segments")?;
        if let Some(id) = ids.iter().find(|id| usize::try_from(**id).is_ok_and(|id| id >= count)) {
            return Err(outside(*id, count));
        }
        for (row, &id) in x.chunks_exact(inner.max(1)).zip(&ids) {
            let segment = usize::try_from(id).ok().and_then(|id| y.chunks_exact_mut(inner.max(1)).nth(id));
            for (y, &x) in segment.into_iter().flatten().zip(row) {
                *y = y.combine(x, self.how);
            }
        }
        Ok(y)
    }
}

impl Rule for Segments<'_> {
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        Ok(vec![self.fact()?])
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        let fact = self.fact()?;
        with_arithmetic!(fact.dtype, N => Ok(vec![N::write(fact.dtype, &fact.shape, &self.combined::<N>(&fact)?)?]))
    }

    /// Sums are updates of one segment more, which takes what belongs to none; what is too large names none behind it.
    fn lower(&self, b: &mut Lowering) -> Lowers {
        if self.how != Combine::Add {
            return Ok(None);
        }
        let fact = self.fact()?;
        let mut p = Program::new();
        let id = p.input(0, self.ids.dtype());
        let id = p.cast(id, DType::I64);
        let (zero, n) = (p.push(Instr::Int(0), DType::I64), p.push(Instr::Int(self.n), DType::I64));
        let one = p.push(Instr::Int(1), DType::I64);
        let (below, above) = (p.binary(Binary::Lt, id, zero), p.binary(Binary::Ge, id, n));
        let behind = p.binary(Binary::Add, id, one);
        let id = p.select(above, behind, id);
        p.select(below, n, id);
        let lead: Shape = self.ids.shape().iter().copied().chain([1]).collect();
        let ids = b.map(p, &[self.ids.v], self.ids.shape());
        let ids = b.reshape(ids, &lead)?;
        let mut dims = fact.shape.clone();
        dims.iter_mut().take(1).for_each(|n| *n += 1);
        let base = b.scalar(fact.dtype, 0.0)?;
        let base = b.broadcast_to(base, &dims)?;
        let Some(sums) = lower_nd(b, base, ids, self.x.v, self.how) else { return Ok(None) };
        let (begin, step) = (vec![0; dims.len()], vec![1; dims.len()]);
        Ok(Some(vec![b.slice(sums, &begin, &fact.shape, &step)?]))
    }

    /// `ScatterND` into one segment more, which takes what belongs to none.
    fn onnx(&self, e: &mut Emit) -> Forms {
        let (dtype, lead) = (self.x.dtype(), self.ids.rank());
        let wide = machine(dtype);
        let n = e.number(DType::I64, self.n as f64)?;
        let ids = e.as_type(self.ids, DType::I64)?;
        let zero = e.number(DType::I64, 0.0)?;
        let (below, above) = (e.op("Less", &[ids, zero]), e.op("Greater", &[ids, n]));
        let outside = e.op("Or", &[below, above]);
        let ids = e.op("Where", &[outside, n, ids]);
        let ids = e.unsqueeze(ids, &[lead as i64]);
        let start = match self.how {
            Combine::Mul => 1.0,
            Combine::Max | Combine::Min => return no_form("ONNX has no extreme of segments that may be empty"),
            _ => 0.0,
        };
        let rest = (lead..self.x.rank()).map(|d| Size::Of(self.x.clone(), d));
        let sizes: Vec<Size> = std::iter::once(Size::Fixed(self.n + 1)).chain(rest).collect();
        let start = e.number(wide, start)?;
        let base = e.expand(start, &sizes)?;
        let x = e.as_type(self.x, wide)?;
        let y = scatter_nd(e, base, ids, x, self.how, wide)?;
        let y = e.slice(y, 0, 0, self.n);
        Ok(Some(vec![e.cast(y, wide, dtype)]))
    }
}

/// The start value of a segment: for maxima and minima the extreme finite number of the type.
fn finite_limit<N: Combined>(dtype: DType, start: N, how: Combine) -> N {
    let extreme = match (dtype, how) {
        (DType::F16, Combine::Max) => Some(-65504.0),
        (DType::F16, Combine::Min) => Some(65504.0),
        (DType::BF16 | DType::F32, Combine::Max) => Some(f64::from(f32::MIN)),
        (DType::BF16 | DType::F32, Combine::Min) => Some(f64::from(f32::MAX)),
        _ => None,
    };
    match extreme.and_then(|x| N::read(&Tensor::scalar(x)).ok()) {
        Some(v) => v.first().copied().unwrap_or(start),
        None => start,
    }
}

macro_rules! segment_op {
    ($(#[doc = $doc:literal])+ ($($kind:ident)?) $name:ident $how:expr) => {
        op! {
            $(#[doc = $doc])+
            $($kind)? $name { input_x ["x"]: Operand, segment_ids: Operand, num_segments: i64 }
        }

        impl Operator for $name {
            fn rule(&self) -> Result<impl Rule, OpError> {
                Ok(Segments { x: &self.input_x, ids: &self.segment_ids, n: self.num_segments, how: $how })
            }

            fn cases() -> Vec<Case> {
                let ids = |s: Sample| s.index(DType::I32, &[4], &[0, 2, 0, -1]).int(4);
                vec![
                    ids(sample().tensor(DType::F32, &[4, 2])).case("rows"),
                    ids(sample().tensor(DType::I32, &[4])).exact("elements"),
                    sample().tensor(DType::I16, &[4]).index(DType::I64, &[4], &[-4, -9, 0, -1]).int(4).exact("beyond"),
                ]
            }
        }
    };
}

segment_op! {
    /// Sums of the slices of `input_x` whose `segment_ids` agree: result slice `s` adds those with id `s`, ids below 0
    /// are left out, and one of no slice is an error. `segment_ids`: integers with the first dimensions of `input_x`. Numbers.
    () UnsortedSegmentSum Combine::Add
}
segment_op! {
    /// As `UnsortedSegmentSum`, with the largest element; the lowest number of the type where there is none.
    (object) UnsortedSegmentMax Combine::Max
}
segment_op! {
    /// As `UnsortedSegmentSum`, with the smallest element; the highest number of the type where there is none.
    (object) UnsortedSegmentMin Combine::Min
}
segment_op! {
    /// As `UnsortedSegmentSum`, with products; 1 where there is no element.
    (object) UnsortedSegmentProd Combine::Mul
}
