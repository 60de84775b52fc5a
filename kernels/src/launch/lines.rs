//! Softmax, normalisation and reduction: families that work on lines.

use mindir_graph::DType;
use mindir_graph::task::{Norm, NormKind, Reduce, ReduceKind, Softmax};
use mindir_shaders::{Lines, norm, reduce, softmax};

use super::{Bound, Declined, GpuKernel, Launch, Target, copy, counted, declined, fold, operand, result, small};
use crate::device::TaskView;

pub(super) fn softmax(task: &Softmax, view: TaskView<'_>, on: &Target) -> Result<GpuKernel, Declined> {
    only_f32("softmax", task.dtype)?;
    let count = counted(&[task.outer, task.len, task.inner])?;
    let lines = counted(&[task.outer, task.inner])?;
    operand(view, 0, task.dtype, &[count])?;
    result(view, 0, task.dtype, &[count])?;
    let by = Lines::for_axis(task.len, task.inner);
    let name = format!("f32-softmax-{}", suffix(by));
    let params = softmax::Params { lines: small(lines)?, len: small(task.len)?, inner: small(task.inner)? };
    let shader = softmax::Softmax { lines: by, log: task.log };
    let bound = vec![Bound::In(0), Bound::Out(0)];
    let launch = on.launch(&shader, &params, bound, grid(lines, by, on))?;
    Ok(GpuKernel { name, launches: if count == 0 { Vec::new() } else { vec![launch] } })
}

pub(super) fn norm(task: &Norm, view: TaskView<'_>, on: &Target) -> Result<GpuKernel, Declined> {
    only_f32("norm", task.dtype)?;
    let count = counted(&[task.rows, task.cols])?;
    operand(view, 0, task.dtype, &[count])?;
    result(view, 0, task.dtype, &[count])?;
    let centred = task.kind == NormKind::Layer;
    let mut bound = vec![Bound::In(0), Bound::Out(0)];
    for i in 0..usize::from(task.gamma) + usize::from(task.beta) {
        operand(view, i + 1, task.dtype, &[task.cols])?;
        bound.push(Bound::In(i + 1));
    }
    let stats = if task.stats { 1 + usize::from(centred) } else { 0 };
    for i in 0..stats {
        result(view, i + 1, DType::F32, &[task.rows])?;
        bound.push(Bound::Out(i + 1));
    }
    if task.cols == 0 && stats > 0 {
        return declined("statistics of empty rows");
    }
    let shader = norm::Norm { centred, gamma: task.gamma, beta: task.beta, stats: task.stats };
    let params = norm::Params { rows: small(task.rows)?, cols: small(task.cols)?, eps: task.eps as f32 };
    let launch = on.launch(&shader, &params, bound, fold(task.rows, on))?;
    let name = format!("f32-{}norm", if centred { "layer" } else { "rms" });
    Ok(GpuKernel { name, launches: if count == 0 { Vec::new() } else { vec![launch] } })
}

pub(super) fn reduce(task: &Reduce, view: TaskView<'_>, on: &Target) -> Result<GpuKernel, Declined> {
    operand(view, 0, task.dtype, &[task.outer, task.len, task.inner])?;
    let count = counted(&[task.outer, task.inner])?;
    result(view, 0, task.out, &[count])?;
    let lines = Lines::for_axis(task.len, task.inner);
    let name = format!("{:?}", task.kind).to_lowercase();
    let name = format!("{}-{name}-{}", task.dtype, suffix(lines));
    if count == 0 {
        return Ok(GpuKernel { name, launches: Vec::new() });
    }
    if task.len == 0 {
        return Ok(GpuKernel { name, launches: vec![nothing(task, view, on)?] });
    }
    let shader = reduce::Reduce { lines, kind: task.kind, dtype: task.dtype, out: task.out };
    let params = reduce::Params { lines: small(count)?, len: small(task.len)?, inner: small(task.inner)? };
    let bound = vec![Bound::In(0), Bound::Out(0)];
    let launch = on.launch(&shader, &params, bound, grid(count, lines, on))?;
    Ok(GpuKernel { name, launches: vec![launch] })
}

/// Reduction of an axis without elements.
fn nothing(task: &Reduce, view: TaskView<'_>, on: &Target) -> Result<Launch, Declined> {
    let value = match task.kind {
        ReduceKind::Sum | ReduceKind::Any => 0,
        ReduceKind::Prod | ReduceKind::All => 1,
        kind => return declined(format!("{kind:?} of an empty axis")),
    };
    let element = match task.dtype {
        DType::F32 => (value as f32).to_le_bytes().to_vec(),
        other => (value as u32).to_le_bytes()[..other.size()].to_vec(),
    };
    copy::fill(&view.outs[0], task.dtype, &element, on)
}

fn grid(lines: usize, by: Lines, on: &Target) -> [u32; 3] {
    match by {
        Lines::Group => fold(lines, on),
        Lines::Single => fold(lines.div_ceil(64), on),
    }
}

fn suffix(lines: Lines) -> &'static str {
    match lines {
        Lines::Group => "group",
        Lines::Single => "single",
    }
}

fn only_f32(family: &str, dtype: DType) -> Result<(), Declined> {
    if dtype == DType::F32 {
        return Ok(());
    }
    mindir_shaders::Word::of(dtype)?;
    declined(format!("there is no {family} of {dtype}"))
}
