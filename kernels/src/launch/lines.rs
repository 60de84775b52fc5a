//! Softmax, normalisation and reduction: families that work on lines.

use mindir_graph::task::{Norm, NormKind, Reduce, ReduceKind, Scalar, Softmax};
use mindir_graph::{DType, Tensor, TensorError};
use mindir_shaders::{Lines, norm, reduce, softmax};

use super::walk::{Walk, Walked};
use super::{Bound, Declined, GpuKernel, Launch, Target, copy, counted, declined, fold, operand, result, small};
use crate::device::TaskView;

pub(super) fn softmax(task: &Softmax, view: TaskView<'_>, on: &Target) -> Result<GpuKernel, Declined> {
    only_floats("softmax", task.dtype)?;
    let &Softmax { outer, len, inner, .. } = task;
    let count = counted(&[outer, len, inner])?;
    operand(view, 0, task.dtype, &[count])?;
    result(view, 0, task.dtype, &[count])?;
    let lines = Lines::for_axis(len, inner);
    let shader = softmax::Softmax { lines, log: task.log, dtype: task.dtype };
    let slabs = Slabs { dims: [outer, len, inner], view, on };
    let walk = slabs.walk(&[Bound::In(0), Bound::Out(0)], &[])?;
    let launches = walk.pieces(on)?.into_iter().map(|piece| {
        let count = counted(&[piece.dims[0], inner])?;
        let [x, y] = [piece.firsts[0], piece.firsts[1]];
        let params = softmax::Params { lines: small(count)?, len: small(len)?, inner: small(inner)?, x, y };
        on.launch(&shader, &params, piece.views, grid(count, lines, on))
    });
    let launches = launches.collect::<Result<Vec<_>, Declined>>()?;
    Ok(GpuKernel { name: format!("{}-softmax-{}", task.dtype, suffix(lines)), launches })
}

pub(super) fn norm(task: &Norm, view: TaskView<'_>, on: &Target) -> Result<GpuKernel, Declined> {
    only_floats("norm", task.dtype)?;
    let &Norm { rows, cols, gamma, beta, stats, .. } = task;
    let count = counted(&[rows, cols])?;
    operand(view, 0, task.dtype, &[count])?;
    result(view, 0, task.dtype, &[count])?;
    let centred = task.kind == NormKind::Layer;
    let mut bounds = vec![(Bound::In(0), [cols, 1]), (Bound::Out(0), [cols, 1])];
    for i in 1..=usize::from(gamma) + usize::from(beta) {
        operand(view, i, task.dtype, &[cols])?;
        bounds.push((Bound::In(i), [0, 1]));
    }
    for i in 1..=if stats { 1 + usize::from(centred) } else { 0 } {
        result(view, i, DType::F32, &[rows])?;
        bounds.push((Bound::Out(i), [1, 0]));
    }
    let tensors =
        bounds.into_iter().map(|(bound, strides)| Walked::of(view, on, bound, strides.map(|s| s as isize).into()));
    let tensors = tensors.collect::<Result<Vec<_>, Declined>>()?;
    let walk = Walk { dims: vec![rows, cols], tensors, most: vec![usize::MAX, 0], rank: (2, 2) };
    let shader = norm::Norm { centred, gamma, beta, stats, dtype: task.dtype };
    let launches = walk.pieces(on)?.into_iter().map(|piece| {
        let (rows, eps) = (piece.dims[0], task.eps as f32);
        let mut firsts = [0; 8];
        firsts.iter_mut().zip(&piece.firsts).for_each(|(to, &first)| *to = first);
        let params = norm::Params {
            rows: small(rows)?,
            cols: small(cols)?,
            eps,
            rest: (task.eps - f64::from(eps)) as f32,
            firsts,
        };
        on.launch(&shader, &params, piece.views, fold(rows, on))
    });
    let mut launches = launches.collect::<Result<Vec<_>, Declined>>()?;
    if cols == 0 {
        // The statistics of empty rows.
        for i in 1..view.outs.len() {
            launches.extend(copy::fill(view, i, &f32::NAN.to_le_bytes(), on)?);
        }
    }
    let name = format!("{}-{}norm", task.dtype, if centred { "layer" } else { "rms" });
    Ok(GpuKernel { name, launches })
}

pub(super) fn reduce(task: &Reduce, view: TaskView<'_>, on: &Target) -> Result<GpuKernel, Declined> {
    let &Reduce { kind, outer, len, inner, dtype, out } = task;
    operand(view, 0, dtype, &[outer, len, inner])?;
    let count = counted(&[outer, inner])?;
    result(view, 0, out, &[count])?;
    let lines = Lines::for_axis(len, inner);
    let name = format!("{dtype}-{}-{}", format!("{kind:?}").to_lowercase(), suffix(lines));
    if len == 0 {
        return Ok(GpuKernel { name, launches: if count == 0 { Vec::new() } else { nothing(task, view, on)? } });
    }
    let shader = reduce::Reduce { lines, kind, dtype, out, adds: false, partial: false };
    let mut walk = Slabs { dims: [outer, len, inner], view, on }.walk(&[Bound::In(0)], &[Bound::Out(0)])?;
    if shader.adds_up(on.language)? {
        walk.most[1] = usize::MAX;
    }
    let launches = walk.pieces(on)?.into_iter().map(|piece| {
        let (start, part) = (piece.origin[1], piece.dims[1]);
        let count = counted(&[piece.dims[0], inner])?;
        let params = reduce::Params {
            lines: small(count)?,
            len: small(part)?,
            inner: small(inner)?,
            pitch: small(if piece.dims[0] == 1 { 0 } else { counted(&[len, inner])? })?,
            whole: small(len)?,
            x: piece.firsts[0],
            y: piece.firsts[1],
        };
        let shader = reduce::Reduce { adds: start > 0, partial: start + part < len, ..shader };
        on.launch(&shader, &params, piece.views, grid(count, lines, on))
    });
    let launches = launches.collect::<Result<Vec<_>, Declined>>()?;
    Ok(GpuKernel { name, launches })
}

/// Tensors of `[outer, len, inner]`.
struct Slabs<'a> {
    dims: [usize; 3],
    view: TaskView<'a>,
    on: &'a Target,
}

impl Slabs<'_> {
    /// The walk over whole tensors and tensors without `len`, to be parted along `outer`.
    fn walk(&self, whole: &[Bound], without: &[Bound]) -> Result<Walk, Declined> {
        let [_, len, inner] = self.dims;
        let whole = whole.iter().map(|&b| (b, [counted(&[len, inner]), Ok(inner), Ok(1)]));
        let without = without.iter().map(|&b| (b, [Ok(inner), Ok(0), Ok(1)]));
        let mut tensors = Vec::new();
        for (bound, strides) in whole.chain(without) {
            let strides = strides.into_iter().map(|s| s.map(|s| s as isize)).collect::<Result<Vec<_>, Declined>>()?;
            tensors.push(Walked::of(self.view, self.on, bound, strides)?);
        }
        Ok(Walk { dims: self.dims.into(), tensors, most: vec![usize::MAX, 0, 0], rank: (3, 3) })
    }
}

/// Reduction of an axis without elements.
fn nothing(task: &Reduce, view: TaskView<'_>, on: &Target) -> Result<Vec<Launch>, Declined> {
    let value = match task.kind {
        ReduceKind::Sum | ReduceKind::Any => Scalar::Int(0),
        ReduceKind::Prod | ReduceKind::All => Scalar::Int(1),
        ReduceKind::Mean if task.dtype.is_float() => Scalar::Float(f64::NAN),
        ReduceKind::Mean => Scalar::Int(0),
        kind => return declined(format!("{kind:?} of an empty axis")),
    };
    let element = bytes(value, task.out).map_err(|e| Declined(e.to_string()))?;
    copy::fill(view, 0, &element, on)
}

/// The number as an element of `dtype`.
fn bytes(value: Scalar, dtype: DType) -> Result<Vec<u8>, TensorError> {
    let tensor = if dtype.is_float() {
        Tensor::from_f64s(dtype, &[1], &[value.as_f64()])
    } else {
        Tensor::from_i64s(dtype, &[1], &[value.as_i64()])
    };
    tensor.map(|t| t.bytes().to_vec())
}

pub(super) fn grid(lines: usize, by: Lines, on: &Target) -> [u32; 3] {
    match by {
        Lines::Group => fold(lines, on),
        Lines::Single => fold(lines.div_ceil(64), on),
    }
}

pub(super) fn suffix(lines: Lines) -> &'static str {
    match lines {
        Lines::Group => "group",
        Lines::Single => "single",
    }
}

fn only_floats(family: &str, dtype: DType) -> Result<(), Declined> {
    if dtype.is_float() { Ok(()) } else { declined(format!("there is no {family} of {dtype}")) }
}
