use mindir_graph::DType;
use mindir_graph::task::{Layout, Pool, PoolKind};
use mindir_shaders::pool::{self, Params};

use super::parts::{Share, parts};
use super::spread::spread;
use super::walk::Piece;
use super::{Bound, Declined, GpuKernel, Target, counted, declined, operand, result, small};
use crate::device::TaskView;

pub(super) fn kernel(task: &Pool, view: TaskView<'_>, on: &Target) -> Result<GpuKernel, Declined> {
    if task.kind != PoolKind::Max && matches!(task.dtype, DType::I64 | DType::U64) {
        return declined(format!("sums of {} may not fit before they are divided", task.dtype));
    }
    operand(view, 0, task.dtype, &[task.n, task.c, task.h, task.w])?;
    result(view, 0, task.dtype, &[task.n, task.c, task.out_h, task.out_w])?;
    let channels_last = task.layout == Layout::Nhwc;
    let (planes, size) = (counted(&[task.n, task.c])?, counted(&[task.out_h, task.out_w])?);
    counted(&[planes, size])?;
    counted(&[planes, task.h, task.w])?;
    // Images, or planes of them.
    let (steps, c) = if channels_last { (task.n, task.c) } else { (planes, 1) };
    let tensors = [(Bound::In(0), Share::Each(task.h * task.w * c)), (Bound::Out(0), Share::Each(size * c))];
    let pieces = if counted(&[planes, size])? == 0 { Vec::new() } else { parts(steps, &tensors, view, on)? };
    let launches = pieces.into_iter().map(|piece| {
        let steps = piece.dims[0];
        let (rows, cols) = if channels_last { (steps * size, c) } else { (steps, size) };
        let (width, grid) = spread(rows, cols, on);
        let shader = pool::Pool { kind: task.kind, dtype: task.dtype, channels_last, width };
        on.launch(&shader, &params(task, c, [rows, cols], &piece)?, piece.views, grid)
    });
    let kind = if task.kind == PoolKind::Max { "max" } else { "avg" };
    let launches = launches.collect::<Result<_, Declined>>()?;
    Ok(GpuKernel { name: format!("{}-{kind}pool", task.dtype), launches })
}

/// Parameters for `rows × cols` windows of images or planes with `c` channels.
fn params(task: &Pool, c: usize, [rows, cols]: [usize; 2], piece: &Piece) -> Result<Params, Declined> {
    let pair = |[a, b]: [usize; 2]| Ok::<_, Declined>([small(a)?, small(b)?]);
    Ok(Params {
        rows: small(rows)?,
        cols: small(cols)?,
        h: small(task.h)?,
        w: small(task.w)?,
        out_h: small(task.out_h)?,
        out_w: small(task.out_w)?,
        kernel: pair(task.kernel)?,
        stride: pair(task.stride)?,
        dilation: pair(task.dilation)?,
        pad: pair([task.pads[0], task.pads[2]])?,
        end: [end(task, 0, [task.h, task.out_h])?, end(task, 1, [task.w, task.out_w])?],
        x_image: small(task.h * task.w * c)?,
        x_row: small(task.w * c)?,
        x_col: small(c)?,
        x_first: piece.firsts[0],
        y_first: piece.firsts[1],
    })
}

/// Where the padding ends in dimension `d`, which has `size` elements and `out` windows.
fn end(task: &Pool, d: usize, [size, out]: [usize; 2]) -> Result<u32, Declined> {
    let last = out.checked_mul(task.stride[d]).zip(task.kernel[d].checked_mul(task.dilation[d]));
    if last.and_then(|(a, b)| a.checked_add(b)).is_none_or(|n| n >= 1 << 30) {
        return declined("windows reach beyond 30 bits");
    }
    let [before, after] = [task.pads[2 * d], task.pads[2 * d + 1]];
    size.checked_add(before)
        .and_then(|n| n.checked_add(after))
        .map_or_else(|| declined("the padding is too large"), small)
}
