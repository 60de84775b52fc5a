//! Borders around tensors: what the padding operators have in common.

use super::indices::{flat, rearrange_many, result, sizes};
use crate::onnx::{Emit, Forms, machine, no_form};
use crate::op::{Lowers, Number, Operand, Rule};
use crate::op_enum;
use crate::task::{Lowering, Part, V};
use crate::{DType, Fact, OpError, Shape, Strides, Tensor, dense_strides, ensure};

op_enum! {
    /// What a border holds.
    Border {
        /// One value.
        Constant = 0, "constant";
        /// The tensor mirrored at its edge elements, which are not repeated.
        Reflect = 1, "reflect";
        /// The edge element.
        Edge = 2, "edge";
        /// The tensor again, from the other side.
        Circular = 3, "circular";
        /// The tensor mirrored at its edges, edge elements repeated.
        Symmetric = 4, "symmetric";
    }
}

/// `x` with a border of `pads[d]` elements before and after dimension `d`; negative numbers remove elements.
pub(in crate::ops) struct Padded<'a> {
    pub x: &'a Operand,
    pub border: Border,
    pub pads: Vec<[i64; 2]>,
    /// Bytes of one element, for a constant border.
    pub fill: Vec<u8>,
}

/// `len` elements from `src` in steps of `step`, written from `dst` on.
struct Segment {
    dst: usize,
    src: usize,
    step: isize,
    len: usize,
}

impl Padded<'_> {
    pub fn fact(&self) -> Result<Fact, OpError> {
        let x = self.x;
        ensure!(self.pads.len() == x.rank(), "expected {} pairs of paddings, found {}", x.rank(), self.pads.len());
        let mut shape = Shape::new();
        for (d, (&len, &[before, after])) in x.shape().iter().zip(&self.pads).enumerate() {
            let most = match self.border {
                Border::Constant => i64::from(i32::MAX),
                Border::Reflect => len as i64 - 1,
                Border::Edge => i64::from(if len > 0 { i32::MAX } else { 0 }),
                Border::Circular | Border::Symmetric => len as i64,
            };
            let least = if self.border == Border::Constant { -(len as i64) } else { 0 };
            for p in [before, after] {
                let fits = (least..=most.max(0)).contains(&p);
                ensure!(fits, "padding {p} of dimension {d} of {} is not between {least} and {most}", x.fact);
            }
            let padded = len as i64 + before + after;
            ensure!(padded >= 0, "paddings {before} and {after} remove more than dimension {d} of {}", x.fact);
            shape.push(padded as usize);
        }
        result(x.dtype(), &shape)
    }

    /// The element that coordinate `i` of a padded dimension of `len` elements holds.
    pub fn source(&self, i: usize, before: i64, len: usize) -> Option<usize> {
        let (i, len) = (i as i64 - before, len as i64);
        let p = match self.border {
            _ if (0..len).contains(&i) => i,
            Border::Constant => return None,
            Border::Edge => i.clamp(0, len - 1),
            Border::Circular => i.rem_euclid(len),
            Border::Reflect => {
                if i < 0 {
                    -i
                } else {
                    2 * (len - 1) - i
                }
            }
            Border::Symmetric => {
                if i < 0 {
                    -i - 1
                } else {
                    2 * len - 1 - i
                }
            }
        };
        Some(p as usize)
    }

    /// The pieces that make up one padded dimension.
    fn segments(&self, len: usize, [before, after]: [i64; 2]) -> Vec<Segment> {
        let skip = (-before).max(0) as usize;
        let kept = len.saturating_sub(skip).saturating_sub((-after).max(0) as usize);
        let (before, after) = (before.max(0) as usize, after.max(0) as usize);
        let mut out = vec![Segment { dst: before, src: skip, step: 1, len: kept }];
        let last = len.saturating_sub(1);
        let (front, back, step) = match self.border {
            Border::Constant => return out,
            Border::Edge => (0, last, 0),
            Border::Circular => (len.saturating_sub(before), 0, 1),
            Border::Reflect => (before, last.saturating_sub(1), -1),
            Border::Symmetric => (before.saturating_sub(1), last, -1),
        };
        out.push(Segment { dst: 0, src: front, step, len: before });
        out.push(Segment { dst: before + len, src: back, step, len: after });
        out.retain(|s| s.len > 0);
        out
    }

    /// The tensor with its border, as a value.
    pub fn value(&self, b: &mut Lowering) -> Result<V, OpError> {
        let (x, fact) = (self.x, self.fact()?);
        if self.pads.iter().all(|p| *p == [0, 0]) {
            return Ok(x.v);
        }
        if fact.count() == 0 {
            return Ok(b.constant(Tensor::zeros(fact.dtype, &fact.shape)?));
        }
        let (src, dst) = (dense_strides(x.shape()), dense_strides(&fact.shape));
        let whole =
            Part { input: 0, shape: Shape::new(), src_offset: 0, src: Strides::new(), dst_offset: 0, dst: dst.clone() };
        let mut parts = vec![whole];
        for ((&len, &pads), (src, dst)) in x.shape().iter().zip(&self.pads).zip(src.into_iter().zip(dst)) {
            let segments = self.segments(len, pads);
            let extend = |p: &Part, s: &Segment| {
                let mut p = p.clone();
                p.shape.push(s.len);
                p.src.push(src * s.step);
                p.src_offset += s.src * src as usize;
                p.dst_offset += s.dst * dst as usize;
                p
            };
            parts = parts.iter().flat_map(|p| segments.iter().map(move |s| extend(p, s))).collect();
        }
        parts.retain(|p| !p.shape.contains(&0));
        let fill = (self.border == Border::Constant).then(|| self.fill.clone());
        Ok(b.copy(&[x.v], parts, fill, fact))
    }
}

impl Rule for Padded<'_> {
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        Ok(vec![self.fact()?])
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        let (x, fact) = (self.x, self.fact()?);
        let y = rearrange_many(&[x.tensor()?], &fact.shape, &self.fill, |index| {
            let places = index.iter().zip(&self.pads).zip(x.shape());
            let from: Option<Shape> = places.map(|((&i, &[before, _]), &len)| self.source(i, before, len)).collect();
            Some((0, flat(x.shape(), &from?)))
        })?;
        Ok(vec![y])
    }

    fn lower(&self, b: &mut Lowering) -> Lowers {
        Ok(Some(vec![self.value(b)?]))
    }

    /// `Pad`; `None` for borders that ONNX does not have.
    fn onnx(&self, e: &mut Emit) -> Forms {
        let mode = match self.border {
            Border::Constant => "constant",
            Border::Reflect => "reflect",
            Border::Edge => "edge",
            Border::Circular if e.opset() >= 19 => "wrap",
            Border::Circular | Border::Symmetric => return Ok(None),
        };
        let x = self.x;
        let (dtype, wide) = (x.dtype(), machine(x.dtype()));
        if dtype.is_complex() {
            return no_form("a border of complex numbers");
        }
        let wide = if dtype == DType::Bool { DType::I32 } else { wide };
        let edge = e.as_type(x, wide)?;
        let pads: Vec<i64> = self.pads.iter().map(|p| p[0]).chain(self.pads.iter().map(|p| p[1])).collect();
        let pads = e.vector(&pads);
        let fill = Tensor::from_bytes(dtype, &[], self.fill.clone().into())?.cast(wide)?;
        let mut operands = vec![edge, pads];
        if self.border == Border::Constant {
            operands.push(e.constant(fill));
        }
        let y = e.op_with("Pad", &operands, vec![("mode", mode.into())]);
        Ok(Some(vec![e.cast(y, wide, dtype)]))
    }
}

/// Pairs in the order of the dimensions.
pub(in crate::ops) fn in_order(values: &[i64]) -> Result<Vec<[i64; 2]>, OpError> {
    let (pairs, rest) = values.as_chunks();
    ensure!(rest.is_empty(), "expected pairs of paddings, found {} numbers", values.len());
    Ok(pairs.to_vec())
}

/// Pairs that start with the last dimension; the dimensions not named get no border.
pub(in crate::ops) fn from_last(values: &[i64], rank: usize) -> Result<Vec<[i64; 2]>, OpError> {
    let mut pairs = in_order(values)?;
    ensure!(pairs.len() <= rank, "paddings of {} dimensions for rank {rank}", pairs.len());
    pairs.resize(rank, [0, 0]);
    pairs.reverse();
    Ok(pairs)
}

/// Checks that none is negative.
pub(in crate::ops) fn only_adds(values: &[i64]) -> Result<(), OpError> {
    sizes(values, "paddings").map(|_| ())
}

/// Bytes of one element.
pub(in crate::ops) fn element(dtype: DType, value: Number) -> Result<Vec<u8>, OpError> {
    if dtype.is_complex() {
        ensure!(value.as_f64() == 0.0, "cannot fill {dtype} with {}", value.as_f64());
        return Ok(vec![0; dtype.size()]);
    }
    let element = match value {
        Number::Int(i) if dtype.is_int() => Tensor::from_i64s(dtype, &[], &[i])?,
        value => Tensor::from_f64s(dtype, &[], &[value.as_f64()])?,
    };
    Ok(element.bytes().to_vec())
}
