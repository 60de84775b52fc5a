use mindir_graph::DType;
use mindir_graph::task::Gather;
use mindir_shaders::gather::{self, Params};

use super::spread::spread;
use super::walk::{Piece, Walk, Walked};
use super::{Bound, Declined, GpuKernel, Launch, Target, View, counted, declined, operand, result, small};
use crate::device::TaskView;

pub(super) fn kernel(task: &Gather, view: TaskView<'_>, on: &Target) -> Result<GpuKernel, Declined> {
    if !matches!(task.index, DType::I32 | DType::I64) {
        return declined(format!("indices of {}", task.index));
    }
    operand(view, 0, task.dtype, &[task.outer, task.axis, task.inner])?;
    operand(view, 1, task.index, &[if task.batch { task.outer } else { 1 }, task.count])?;
    result(view, 0, task.dtype, &[task.outer, task.count, task.inner])?;
    let pieces = walk(task, view, on)?.pieces(on)?;
    let launches = pieces.into_iter().map(|piece| launch(task, piece, on)).collect::<Result<_, Declined>>()?;
    Ok(GpuKernel { name: format!("{}_{}-gather", task.dtype, task.index), launches })
}

/// Outer positions, slices picked, slices to pick from and the elements of a slice.
fn walk(task: &Gather, view: TaskView<'_>, on: &Target) -> Result<Walk, Declined> {
    let &Gather { outer, axis, inner, count, batch, .. } = task;
    let strides = |steps: [Result<usize, Declined>; 4]| {
        steps.into_iter().map(|s| Ok(small(s?)? as isize)).collect::<Result<Vec<_>, Declined>>()
    };
    let x = strides([counted(&[axis, inner]), Ok(0), Ok(inner), Ok(1)])?;
    let index = strides([Ok(if batch { count } else { 0 }), Ok(1), Ok(0), Ok(0)])?;
    let y = strides([counted(&[count, inner]), Ok(inner), Ok(0), Ok(1)])?;
    let mut tensors = vec![
        Walked::of(view, on, on.constant(view, 0), x)?,
        Walked::of(view, on, Bound::In(1), index)?,
        Walked::of(view, on, Bound::Out(0), y)?,
    ];
    for t in tensors.iter_mut().filter(|t| t.count == 0) {
        // Nothing of it is touched.
        (t.count, t.strides) = (1, vec![0; 4]);
    }
    let most = vec![usize::MAX, usize::MAX, usize::MAX, 0];
    Ok(Walk { dims: vec![outer, count, axis.max(1), inner.max(1)], tensors, most, rank: (4, 4) })
}

fn launch(task: &Gather, piece: Piece, on: &Target) -> Result<Launch, Declined> {
    let &Gather { axis, inner, .. } = task;
    let [outer, count, picks, cols] = [0, 1, 2, 3].map(|d| piece.dims[d]);
    let rows = counted(&[outer, count])?;
    let start = piece.origin[2];
    let params = Params {
        rows: small(rows)?,
        cols: small(cols)?,
        inner: small(inner)?,
        count: small(count)?,
        axis: small(axis)?,
        start: small(start)?,
        end: small(start + picks)?,
        x_outer: small(axis * inner)?,
        index_outer: if task.batch { small(task.count)? } else { 0 },
        y_outer: small(task.count * inner)?,
        x_first: piece.firsts[0],
        index_first: piece.firsts[1],
        y_first: piece.firsts[2],
    };
    let (width, grid) = spread(rows, cols, on);
    let packed = matches!(piece.views[0].of, Bound::Packed(_));
    let shader = gather::Gather { dtype: task.dtype, index: task.index, packed, zeros: task.zeros, width };
    let mut views = piece.views;
    if !task.zeros {
        views.push(View::from(Bound::Status));
    }
    on.launch(&shader, &params, views, grid)
}
