//! Equal elements or parts found once.

use mindir_graph::DType;

use super::Row;
use super::element::as_type;
use super::shape::{dims_of, join, length, part, places, product, put, reshaped};
use crate::onnx::read::import::{Call, Import, Step, Steps, Val};

pub(super) static OPS: &[Row] = &[("Compress", |m, c| compress(m, c)), ("Unique", |m, c| unique(m, c))];

/// The positions at which a vector is true.
fn positions(m: &mut Import, cond: &Val) -> Step {
    let at = m.one("NonZero", cond)?;
    m.op("Reshape", vec![at.into(), vec![-1].into()])
}

/// `x` as a vector.
fn flat(m: &mut Import, x: &Val) -> Step {
    m.op("Reshape", vec![x.into(), vec![-1].into()])
}

fn compress(m: &mut Import, c: &Call) -> Steps {
    let (x, cond) = (c.input(0)?, c.input(1)?);
    let at = positions(m, &cond)?;
    if !c.has("axis") {
        let x = flat(m, &x)?;
        return Ok(vec![m.gathered(&x, &at, 0)?]);
    }
    let axis = x.place(c.int("axis", 0))?;
    Ok(vec![m.gathered(&x, &at, axis)?])
}

/// The parts of `x` along an axis, or its elements, each once; where each was first, which each part is, and how often it is there.
fn unique(m: &mut Import, c: &Call) -> Steps {
    let x = c.input(0)?;
    let axis = if c.has("axis") { Some(x.axis(c.int("axis", 0))?) } else { None };
    let parts = match axis {
        Some(0) => x.clone(),
        Some(axis) => {
            let rest = (0..x.rank()?).filter(|d| *d != axis);
            m.transposed(&x, &[axis].into_iter().chain(rest).map(|d| d as i64).collect::<Vec<_>>())?
        }
        None => flat(m, &x)?,
    };
    let order = if parts.rank()? == 1 { sorted(m, &parts)? } else { ranked(m, &parts)? };
    let groups = Groups::of(m, &parts, order)?;
    let groups = if c.int("sorted", 1) == 1 { groups } else { groups.by_first(m)? };
    let mut y = m.gathered(&parts, &groups.first, 0)?;
    if let Some(axis) = axis.filter(|a| *a > 0) {
        let perm: Vec<i64> = (1..=axis as i64).chain([0]).chain(axis as i64 + 1..x.rank()? as i64).collect();
        y = m.transposed(&y, &perm)?;
    }
    Ok(vec![y, groups.first, groups.of_part, groups.count])
}

/// The positions of the elements of a vector in rising order; of equal ones, the first comes first.
fn sorted(m: &mut Import, x: &Val) -> Step {
    let x = if x.dtype() == DType::Bool { as_type(m, x.clone(), DType::U8)? } else { x.clone() };
    let len = length(m, &x, 0)?;
    let len = super::shape::number(m, len)?;
    let args = vec![x.into(), len.into(), 0i64.into(), false.into(), true.into()];
    m.op_n("TopkExt", args, 2)?.pop().ok_or_else(|| "there are no positions".into())
}

/// As [`sorted`], for parts of several elements, which are compared element by element: every part with every other.
fn ranked(m: &mut Import, parts: &Val) -> Step {
    let parts = if parts.dtype() == DType::Bool { as_type(m, parts.clone(), DType::U8)? } else { parts.clone() };
    let dims = dims_of(m, &parts)?;
    let (count, rest) = (part(m, &dims, 0, 1)?, part(m, &dims, 1, parts.rank()? as i64)?);
    let size = product(m, &rest)?;
    let rows = reshaped(m, parts, vec![count.clone(), size])?;
    let (own, other) = (m.with_ones(&rows, &[1])?, m.with_ones(&rows, &[0])?);
    let (above, below) = (m.two("Greater", &own, &other)?, m.two("Less", &own, &other)?);
    let differs = m.two("LogicalOr", &above, &below)?;
    // The first place that differs decides; of equal parts, which stands first.
    let differs = as_type(m, differs, DType::F32)?;
    let first = m.op("Argmax", vec![differs.into(), 2i64.into(), DType::I64.into()])?;
    let first = m.with_ones(&first, &[2])?;
    let decided = |m: &mut Import, side: Val| -> Step {
        let side = as_type(m, side, DType::I32)?;
        let side = m.op("GatherD", vec![side.into(), 2i64.into(), (&first).into()])?;
        m.op("Squeeze", vec![side.into(), vec![2].into()])
    };
    let (above, below) = (decided(m, above)?, decided(m, below)?);
    let (above, below) = (m.with("Greater", &above, 0.0)?, m.with("Greater", &below, 0.0)?);
    let at = places(m, count)?;
    let (own, other) = (m.with_ones(&at, &[1])?, m.with_ones(&at, &[0])?);
    let later = m.two("Greater", &own, &other)?;
    let undecided = m.one("LogicalNot", &below)?;
    let later = m.two("LogicalAnd", &later, &undecided)?;
    let before = m.two("LogicalOr", &above, &later)?;
    let before = as_type(m, before, DType::F32)?;
    let rank = m.reduce("ReduceSum", &before, &[1], false)?;
    let rank = as_type(m, rank, DType::I64)?;
    let zeros = m.one("ZerosLike", &at)?;
    put(m, zeros, rank, at)
}

/// Parts that are equal.
struct Groups {
    /// The first part of each.
    first: Val,
    /// The group of each part.
    of_part: Val,
    /// Parts in each.
    count: Val,
}

impl Groups {
    /// The groups of parts whose positions in order are `order`.
    fn of(m: &mut Import, parts: &Val, order: Val) -> Result<Groups, String> {
        let in_order = m.gathered(parts, &order, 0)?;
        let count = length(m, parts, 0)?;
        let starts = Self::starts(m, &in_order)?;
        let flags = as_type(m, starts.clone(), DType::I64)?;
        let group = m.op("CumSum", vec![(&flags).into(), 0i64.into(), false.into(), false.into()])?;
        let group = m.with("Sub", &group, 1.0)?;
        let zeros = m.one("ZerosLike", &order)?;
        let of_part = put(m, zeros, order.clone(), group)?;
        let begin = positions(m, &starts)?;
        let first = m.gathered(&order, &begin, 0)?;
        let ends = join(m, vec![begin.clone(), count], 0)?;
        let end = m.op("StridedSlice", vec![ends.into(), vec![1].into(), vec![i64::MAX].into(), vec![1].into()])?;
        let count = m.two("Sub", &end, &begin)?;
        Ok(Groups { first, of_part, count })
    }

    /// Whether each part differs from the one before it.
    fn starts(m: &mut Import, in_order: &Val) -> Step {
        let count = length(m, in_order, 0)?;
        let at = places(m, count)?;
        let before = m.with("Sub", &at, 1.0)?;
        let before = m.with("Maximum", &before, 0.0)?;
        let previous = m.gathered(in_order, &before, 0)?;
        let mut differs = m.two("NotEqual", in_order, &previous)?;
        let rest: Vec<i64> = (1..in_order.rank()? as i64).collect();
        if !rest.is_empty() {
            differs = as_type(m, differs, DType::F32)?;
            differs = m.reduce("ReduceMax", &differs, &rest, false)?;
            differs = m.with("Greater", &differs, 0.0)?;
        }
        let is_first = m.with("Equal", &at, 0.0)?;
        m.two("LogicalOr", &differs, &is_first)
    }

    /// The groups in the order of their first parts.
    fn by_first(self, m: &mut Import) -> Result<Groups, String> {
        let order = sorted(m, &self.first)?;
        let count = length(m, &order, 0)?;
        let at = places(m, count)?;
        let zeros = m.one("ZerosLike", &order)?;
        let place = put(m, zeros, order.clone(), at)?;
        Ok(Groups {
            first: m.gathered(&self.first, &order, 0)?,
            of_part: m.gathered(&place, &self.of_part, 0)?,
            count: m.gathered(&self.count, &order, 0)?,
        })
    }
}
