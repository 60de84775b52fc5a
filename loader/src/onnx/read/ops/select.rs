//! Elements picked, placed and compared by position.

use mindir_graph::{DType, Tensor};

use super::Row;
use super::element::as_type;
use super::shape::{dims_of, from_front, join, length, number, part, places, product, put, reshaped};
use crate::onnx::read::import::{Call, Import, In, Step, Steps, Val};
use crate::onnx::read::types::Length;

pub(super) static OPS: &[Row] = &[
    ("Gather", |m, c| gather(m, c)),
    ("GatherElements", |m, c| gather_elements(m, c)),
    ("GatherND", |m, c| gather_nd(m, c)),
    ("NonZero", |m, c| non_zero(m, c)),
    ("OneHot", |m, c| one_hot(m, c)),
    ("ReverseSequence", |m, c| reverse_sequence(m, c)),
    ("Scatter", |m, c| scatter_elements(m, c)),
    ("ScatterElements", |m, c| scatter_elements(m, c)),
    ("ScatterND", |m, c| scatter_nd(m, c)),
    ("Slice", |m, c| slice(m, c)),
    ("TensorScatter", |m, c| tensor_scatter(m, c)),
    ("Trilu", |m, c| trilu(m, c)),
];

fn gather(m: &mut Import, c: &Call) -> Steps {
    let (x, index) = (c.input(0)?, c.input(1)?);
    let axis = x.place(c.int("axis", 0))?;
    let index = index_from_front(m, index, &x, axis)?;
    Ok(vec![m.op("Gather", vec![x.into(), index.into(), axis.into(), 0i64.into()])?])
}

/// Constant indices counted from the front: MindSpore's own kernels do not count from the end.
fn index_from_front(m: &mut Import, index: Val, x: &Val, axis: i64) -> Step {
    let len = usize::try_from(axis).ok().and_then(|axis| x.length(axis));
    let (Some(t), Some(len)) = (index.constant(), len) else { return Ok(index) };
    let Ok(values) = t.to_i64s() else { return Ok(index) };
    if values.iter().all(|&i| i >= 0) {
        return Ok(index);
    }
    let values: Vec<i64> = values.into_iter().map(|i| if i < 0 { i.saturating_add(len) } else { i }).collect();
    let t = Tensor::from_i64s(t.dtype(), t.shape(), &values).map_err(|e| e.to_string())?;
    Ok(m.constant(t))
}

fn gather_elements(m: &mut Import, c: &Call) -> Steps {
    let (x, index) = (c.input(0)?, c.input(1)?);
    let axis = x.place(c.int("axis", 0))?;
    Ok(vec![m.op("GatherD", vec![x.into(), axis.into(), index.into()])?])
}

/// Dimensions that both operands share become an index more.
fn gather_nd(m: &mut Import, c: &Call) -> Steps {
    let (x, index) = (c.input(0)?, c.input(1)?);
    let shared = c.int("batch_dims", 0);
    if shared == 0 {
        return Ok(vec![m.two("GatherNd", &x, &index)?]);
    }
    let (rank, index_rank) = (x.rank()? as i64, index.rank()? as i64);
    if shared < 0 || shared >= rank.min(index_rank) {
        return Err(format!("batch_dims {shared} for ranks {rank} and {index_rank}"));
    }
    let (own, named) = (dims_of(m, &x)?, dims_of(m, &index)?);
    let batch = part(m, &own, 0, shared)?;
    let count = product(m, &batch)?;
    let rest = part(m, &own, shared, rank)?;
    let flat = reshaped(m, x, vec![count.clone(), rest])?;
    let kept = part(m, &named, shared, index_rank)?;
    let index = as_type(m, index, DType::I64)?;
    let index = reshaped(m, index, vec![count.clone(), kept])?;
    let each = part(m, &named, shared, index_rank - 1)?;
    let one = m.vector(&[1]);
    let shape = join(m, vec![count.clone(), each, one], 0)?;
    let image = places(m, count)?;
    let image = m.with_ones(&image, &(1..=index_rank - shared).collect::<Vec<_>>())?;
    let image = m.two("BroadcastTo", &image, &shape)?;
    let all = join(m, vec![image, index], index_rank - shared)?;
    let y = m.two("GatherNd", &flat, &all)?;
    let dims = dims_of(m, &y)?;
    let behind = part(m, &dims, 1, i64::MAX)?;
    Ok(vec![reshaped(m, y, vec![batch, behind])?])
}

/// MindSpore has one row for each element, ONNX one for each dimension.
fn non_zero(m: &mut Import, c: &Call) -> Steps {
    let y = m.op("NonZero", vec![c.input(0)?.into()])?;
    Ok(vec![m.op("Transpose", vec![y.into(), vec![1, 0].into()])?])
}

fn one_hot(m: &mut Import, c: &Call) -> Steps {
    let (index, depth, values) = (c.input(0)?, c.input(1)?, m.setting(c.input(2)?));
    let value = |m: &mut Import, at: i64| {
        let at = m.constant(Tensor::scalar(at));
        m.op("Gather", vec![(&values).into(), at.into(), 0i64.into(), 0i64.into()])
    };
    let (off, on) = (value(m, 0)?, value(m, 1)?);
    // Negative indices count from the end.
    let depth = as_type(m, depth, DType::I64)?;
    let depth = number(m, depth)?;
    let index = as_type(m, index, DType::I64)?;
    let zero = m.scalar(DType::I64, 0.0)?;
    let behind = m.op("Add", vec![(&index).into(), (&depth).into()])?;
    let below = m.op("Less", vec![(&index).into(), zero.into()])?;
    let index = m.op("Select", vec![below.into(), behind.into(), index.into()])?;
    let axis = c.int("axis", -1);
    Ok(vec![m.op("OneHot", vec![index.into(), depth.into(), on.into(), off.into(), axis.into()])?])
}

fn reverse_sequence(m: &mut Import, c: &Call) -> Steps {
    let args =
        vec![c.input(0)?.into(), c.input(1)?.into(), c.int("time_axis", 0).into(), c.int("batch_axis", 1).into()];
    Ok(vec![m.op("ReverseSequence", args)?])
}

fn scatter_elements(m: &mut Import, c: &Call) -> Steps {
    let (x, index, updates) = (c.input(0)?, c.input(1)?, c.input(2)?);
    let axis = x.place(c.int("axis", 0))?;
    let how = c.text("reduction", "none");
    let args = vec![x.into(), index.into(), updates.into(), axis.into(), how.as_str().into()];
    Ok(vec![m.op("TensorScatterElements", args)?])
}

fn scatter_nd(m: &mut Import, c: &Call) -> Steps {
    let name = match c.text("reduction", "none").as_str() {
        "none" => "TensorScatterUpdate",
        "add" => "TensorScatterAdd",
        "mul" => "TensorScatterMul",
        "max" => "TensorScatterMax",
        "min" => "TensorScatterMin",
        other => return Err(format!("reduction {other} is not supported")),
    };
    Ok(vec![m.op(name, vec![c.input(0)?.into(), c.input(1)?.into(), c.input(2)?.into()])?])
}

/// A cache with updates from a place on along the axis, which each batch has for itself.
fn tensor_scatter(m: &mut Import, c: &Call) -> Steps {
    let (x, updates) = (c.input(0)?, c.input(1)?);
    let axis = x.axis(c.int("axis", -2))?;
    let count = length(m, &updates, axis)?;
    let at = places(m, count)?;
    let behind = x.rank()? - 1 - axis;
    let mut at = m.with_ones(&at, &(1..=behind as i64).collect::<Vec<_>>())?;
    if let Some(start) = c.option(2) {
        let start = as_type(m, start, DType::I64)?;
        let start = m.with_ones(&start, &(1..x.rank()? as i64).collect::<Vec<_>>())?;
        at = m.two("Add", &at, &start)?;
    }
    if c.text("mode", "linear") == "circular" {
        let len = length(m, &x, axis)?;
        at = m.two("FloorMod", &at, &len)?;
    }
    let dims = dims_of(m, &updates)?;
    let at = m.two("BroadcastTo", &at, &dims)?;
    let args = vec![x.into(), at.into(), updates.into(), (axis as i64).into(), "none".into()];
    Ok(vec![m.op("TensorScatterElements", args)?])
}

/// What a slice says of the dimensions that it names.
struct Ranges {
    /// The dimensions; `None` for the first ones.
    axes: Option<Val>,
    rank: usize,
}

impl Ranges {
    /// `bounds` for the dimensions that are named, `otherwise` for the others.
    fn spread(&self, m: &mut Import, bounds: Val, otherwise: i64) -> Step {
        let bounds = as_type(m, bounds, DType::I64)?;
        let rest = m.vector(&vec![otherwise; self.rank]);
        let Some(axes) = &self.axes else {
            let all = join(m, vec![bounds, rest], 0)?;
            return part(m, &all, 0, self.rank as i64);
        };
        let places = from_front(m, axes, self.rank)?;
        if let Ok(places) = places.ints() {
            let mut parts = Vec::with_capacity(self.rank);
            for d in 0..self.rank as i64 {
                parts.push(match (0..).zip(&places).find(|(_, p)| **p == d) {
                    Some((i, _)) => part(m, &bounds, i, i + 1)?,
                    None => m.vector(&[otherwise]),
                });
            }
            return join(m, parts, 0);
        }
        put(m, rest, places, bounds)
    }
}

fn slice(m: &mut Import, c: &Call) -> Steps {
    let x = c.input(0)?;
    let list = |m: &mut Import, name| c.ints(name).map(|values| m.vector(&values));
    let [starts, ends, axes, steps] = if c.opset < 10 {
        [list(m, "starts"), list(m, "ends"), list(m, "axes"), None]
    } else {
        [c.option(1), c.option(2), c.option(3), c.option(4)]
    };
    let (starts, ends) = starts.zip(ends).ok_or("bounds are missing")?;
    let named = axes.as_ref().unwrap_or(&starts).length(0);
    let fixed = axes.as_ref().and_then(|a| a.ints().ok());
    fixed.iter().flatten().try_for_each(|&a| x.place(a).map(drop))?;
    let rank = match (x.rank(), &fixed) {
        (Ok(rank), _) => rank,
        // Dimensions behind the last that is named are whole, however many there are.
        (Err(_), Some(axes)) if axes.iter().all(|a| (0..=64).contains(a)) => {
            axes.iter().max().map_or(0, |&a| a as usize + 1)
        }
        (Err(_), None) if axes.is_none() && named.is_some_and(|n| n <= 64) => named.unwrap_or(0) as usize,
        (Err(why), _) => return Err(why),
    };
    let ranges = Ranges { axes, rank };
    if named.is_some_and(|n| n > ranges.rank as i64) {
        return Err(format!("bounds of {} dimensions for rank {}", named.unwrap_or(0), ranges.rank));
    }
    let begin = ranges.spread(m, starts, 0)?;
    let end = ranges.spread(m, ends, i64::MAX)?;
    let steps = match steps {
        Some(steps) => steps,
        None => m.vector(&vec![1; named.map_or(ranges.rank, |n| n as usize)]),
    };
    let strides = ranges.spread(m, steps, 1)?;
    let begin = from_inside(m, &x, begin, &strides)?;
    // Dimensions from the first to the last are whole whatever their length.
    let whole = |e: &[Length; 3]| *e == [Length::Fixed(0), Length::Fixed(i64::MAX), Length::Fixed(1)];
    let [b, e, s] = [&begin, &end, &strides].map(|v| v.elements().unwrap_or_default());
    let items = b.iter().zip(&e).zip(&s).map(|((b, e), s)| [*b, *e, *s]);
    let mask: i64 = (0..62).zip(items).filter(|(_, item)| whole(item)).map(|(d, _)| 1i64 << d).sum();
    // Going backwards, an end this far before the first element is no index that MindSpore would count from the end.
    let far = |(_, (e, s)): &(i64, (&Length, &Length))| {
        e.fixed().is_some_and(|e| e < -(1 << 31)) && s.fixed().is_some_and(|s| s < 0)
    };
    let open: i64 = (0..62).zip(e.iter().zip(&s)).filter(far).map(|(d, _)| 1i64 << d).sum();
    let args = vec![x.into(), begin.into(), end.into(), strides.into(), mask.into(), (mask | open).into()];
    Ok(vec![m.op("StridedSlice", args)?])
}

/// Where ranges begin that go backwards: ONNX takes the first element for what lies in front of it.
fn from_inside(m: &mut Import, x: &Val, begin: Val, strides: &Val) -> Step {
    let (Some(begins), Some(steps)) = (begin.elements(), strides.elements()) else { return Ok(begin) };
    let inside = |(d, (begin, step)): (usize, (&Length, &Length))| {
        let least = x.length(d).unwrap_or(1);
        step.fixed().is_some_and(|step| step > 0) || begin.fixed().is_some_and(|begin| begin >= -least)
    };
    if begins.iter().zip(&steps).enumerate().all(inside) || x.rank() != Ok(begins.len()) {
        return Ok(begin);
    }
    let dims = dims_of(m, x)?;
    let first = m.op("Neg", vec![dims.into()])?;
    m.two("Maximum", &begin, &first)
}

fn trilu(m: &mut Import, c: &Call) -> Steps {
    let name = if c.int("upper", 1) == 1 { "Triu" } else { "Tril" };
    let k: In = match c.option(1).map(|v| (v.number(), v)) {
        None => 0i64.into(),
        Some((Ok(k), _)) => (k as i64).into(),
        Some((Err(_), k)) => number(m, k)?.into(),
    };
    Ok(vec![m.op(name, vec![c.input(0)?.into(), k])?])
}
