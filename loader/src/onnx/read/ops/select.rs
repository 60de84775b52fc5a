//! Elements picked, placed and compared by position.

use mindir_graph::{DType, Tensor};

use super::{
    Row,
    element::as_type,
    shape::{join, part},
};
use crate::onnx::read::import::{Call, Import, Step, Steps, Val};

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
    ("Trilu", |m, c| trilu(m, c)),
];

fn gather(m: &mut Import, c: &Call) -> Steps {
    let (x, index) = (c.input(0)?, c.input(1)?);
    let axis = x.axis(c.int("axis", 0))?;
    let index = from_front(m, index, &x, axis)?;
    Ok(vec![m.op("Gather", vec![x.into(), index.into(), (axis as i64).into(), 0i64.into()])?])
}

/// Constant indices counted from the front: MindSpore's own kernels do not count from the end.
fn from_front(m: &mut Import, index: Val, x: &Val, axis: usize) -> Step {
    let (Some(t), Some(len)) = (index.constant(), x.dims().get(axis).copied().flatten()) else { return Ok(index) };
    let Ok(values) = t.to_i64s() else { return Ok(index) };
    if values.iter().all(|&i| i >= 0) {
        return Ok(index);
    }
    let values: Vec<i64> = values.into_iter().map(|i| if i < 0 { i + len } else { i }).collect();
    let t = Tensor::from_i64s(t.dtype(), t.shape(), &values).map_err(|e| e.to_string())?;
    Ok(m.constant(t))
}

fn gather_elements(m: &mut Import, c: &Call) -> Steps {
    let (x, index) = (c.input(0)?, c.input(1)?);
    let axis = x.axis(c.int("axis", 0))? as i64;
    Ok(vec![m.op("GatherD", vec![x.into(), axis.into(), index.into()])?])
}

fn gather_nd(m: &mut Import, c: &Call) -> Steps {
    if c.int("batch_dims", 0) != 0 {
        return Err("batch_dims are not supported".into());
    }
    Ok(vec![m.op("GatherNd", vec![c.input(0)?.into(), c.input(1)?.into()])?])
}

/// MindSpore has one row for each element, ONNX one for each dimension.
fn non_zero(m: &mut Import, c: &Call) -> Steps {
    let y = m.op("NonZero", vec![c.input(0)?.into()])?;
    Ok(vec![m.op("Transpose", vec![y.into(), vec![1, 0].into()])?])
}

fn one_hot(m: &mut Import, c: &Call) -> Steps {
    let (index, depth, values) = (c.input(0)?, c.input(1)?.number()? as i64, c.input(2)?);
    let dtype = values.dtype();
    let pair = values.numbers()?;
    let [off, on] = pair.as_slice() else { return Err("expected two values".into()) };
    let (off, on) = (m.scalar(dtype, *off)?, m.scalar(dtype, *on)?);
    // Negative indices count from the end.
    let index = as_type(m, index, DType::I64)?;
    let len = m.scalar(DType::I64, depth as f64)?;
    let zero = m.scalar(DType::I64, 0.0)?;
    let behind = m.op("Add", vec![(&index).into(), len.into()])?;
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
    let axis = x.axis(c.int("axis", 0))? as i64;
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

/// Bounds of a slice: numbers, or a vector that the model computes.
enum Bounds {
    Known(Vec<i64>),
    Computed(Val),
}

impl Bounds {
    fn of(v: Val) -> Bounds {
        v.ints().map_or(Bounds::Computed(v), Bounds::Known)
    }

    /// For every one of `rank` dimensions the bound that `axes` give it, else `otherwise`.
    fn spread(self, m: &mut Import, axes: &[usize], rank: usize, otherwise: i64) -> Result<In, String> {
        let of = |d: usize| axes.iter().position(|&a| a == d);
        match self {
            Bounds::Known(values) => {
                let bound = |d: usize| of(d).and_then(|i| values.get(i).copied()).unwrap_or(otherwise);
                Ok((0..rank).map(bound).collect::<Vec<i64>>().into())
            }
            Bounds::Computed(v) => {
                let v = as_type(m, v, DType::I64)?;
                let mut parts = Vec::new();
                for d in 0..rank {
                    parts.push(match of(d) {
                        Some(i) => part(m, &v, i as i64, i as i64 + 1)?,
                        None => m.vector(&[otherwise]),
                    });
                }
                Ok(join(m, parts, 0)?.into())
            }
        }
    }
}

use crate::onnx::read::import::In;

fn slice(m: &mut Import, c: &Call) -> Steps {
    let x = c.input(0)?;
    let rank = x.rank();
    let (starts, ends, axes, steps) = if c.opset < 10 {
        let list = |name| c.ints(name).ok_or_else(|| format!("{name} are missing"));
        (Bounds::Known(list("starts")?), Bounds::Known(list("ends")?), c.ints("axes"), None)
    } else {
        let axes = c.option(3).map(|v| v.ints()).transpose()?;
        let steps = c.option(4).map(|v| v.ints()).transpose()?;
        (Bounds::of(c.input(1)?), Bounds::of(c.input(2)?), axes, steps)
    };
    let count = match &starts {
        Bounds::Known(values) => values.len(),
        Bounds::Computed(v) => v.dim(0)? as usize,
    };
    let axes = axes.unwrap_or_else(|| (0..count as i64).collect());
    let axes = axes.into_iter().map(|a| x.axis(a)).collect::<Result<Vec<_>, _>>()?;
    let all = |d: usize| axes.iter().position(|&a| a == d);
    let step = |d: usize| all(d).and_then(|i| steps.as_ref()?.get(i).copied()).unwrap_or(1);
    let strides: Vec<i64> = (0..rank).map(step).collect();
    // A bound beyond the dimension is the dimension; going backwards, the end before the first element is no index.
    let mut end_mask = (0..rank).filter(|&d| all(d).is_none()).map(|d| 1i64 << d).sum::<i64>();
    let begin_mask = end_mask;
    if let Bounds::Known(ends) = &ends {
        for (i, &d) in axes.iter().enumerate() {
            let len = x.dims().get(d).copied().flatten();
            let before = ends.get(i).is_some_and(|&e| e < 0 && (e < -(1 << 31) || len.is_some_and(|n| e < -n)));
            if before && strides.get(d).is_some_and(|&s| s < 0) {
                end_mask |= 1 << d;
            }
        }
    }
    let begin = starts.spread(m, &axes, rank, 0)?;
    let end = ends.spread(m, &axes, rank, 0)?;
    let args = vec![x.into(), begin, end, strides.into(), begin_mask.into(), end_mask.into()];
    Ok(vec![m.op("StridedSlice", args)?])
}

fn trilu(m: &mut Import, c: &Call) -> Steps {
    let k = c.option(1).map_or(Ok(0.0), |v| v.number())? as i64;
    let name = if c.int("upper", 1) == 1 { "Triu" } else { "Tril" };
    Ok(vec![m.op(name, vec![c.input(0)?.into(), k.into()])?])
}
