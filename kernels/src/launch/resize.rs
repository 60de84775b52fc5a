use mindir_graph::task::{Coordinates, Layout, Resize, ResizeMode};
use mindir_shaders::resize::{self, Axis, Params};

use super::parts::{Share, parts};
use super::spread::spread;
use super::{Bound, Declined, GpuKernel, Target, counted, declined, operand, result, small};
use crate::device::TaskView;

pub(super) fn kernel(task: &Resize, view: TaskView<'_>, on: &Target) -> Result<GpuKernel, Declined> {
    operand(view, 0, task.dtype, &[task.n, task.c, task.h, task.w])?;
    result(view, 0, task.dtype, &[task.n, task.c, task.out_h, task.out_w])?;
    let (planes, size) = (counted(&[task.n, task.c])?, counted(&[task.out_h, task.out_w])?);
    let (count, all) = (counted(&[planes, size])?, counted(&[planes, task.h, task.w])?);
    if count > 0 && all == 0 {
        return declined("an empty image");
    }
    let channels_last = task.layout == Layout::Nhwc;
    // Images, or planes of them.
    let (steps, c) = if channels_last { (task.n, task.c) } else { (planes, 1) };
    let tensors = [(Bound::In(0), Share::Each(task.h * task.w * c)), (Bound::Out(0), Share::Each(size * c))];
    let pieces = if count == 0 { Vec::new() } else { parts(steps, &tensors, view, on)? };
    let launches = pieces.into_iter().map(|piece| {
        let steps = piece.dims[0];
        let (rows, cols) = if channels_last { (steps * size, c) } else { (steps, size) };
        let (width, grid) = spread(rows, cols, on);
        let params = Params {
            rows: small(rows)?,
            cols: small(cols)?,
            x_first: piece.firsts[0],
            y_first: piece.firsts[1],
            x_image: small(task.h * task.w * c)?,
            x_row: small(task.w * c)?,
            x_col: small(c)?,
            gap: 0,
            down: axis(task.coordinates, task.h, task.out_h)?,
            along: axis(task.coordinates, task.w, task.out_w)?,
        };
        let &Resize { mode, coordinates, dtype, .. } = task;
        let shader = resize::Resize { mode, coordinates, dtype, channels_last, width };
        on.launch(&shader, &params, piece.views, grid)
    });
    let mode = if task.mode == ResizeMode::Nearest { "nearest" } else { "bilinear" };
    let launches = launches.collect::<Result<_, Declined>>()?;
    Ok(GpuKernel { name: format!("{}-{mode}", task.dtype), launches })
}

fn axis(coordinates: Coordinates, size: usize, out: usize) -> Result<Axis, Declined> {
    let (step, start, times, parts, shift) = match coordinates {
        Coordinates::Asymmetric => (1, 0, size, out, 0),
        Coordinates::HalfPixel => (2, 1, size, 2 * out, out),
        Coordinates::AlignCorners if out > 1 => (1, 0, size - 1, out - 1, 0),
        Coordinates::AlignCorners => (1, 0, 0, 1, 0),
    };
    let (size_f32, out_f32) = (size as f32, out as f32);
    let scale = match coordinates {
        Coordinates::AlignCorners if out > 1 => (size_f32 - 1.0) / (out_f32 - 1.0),
        Coordinates::AlignCorners => 0.0,
        _ => size_f32 / out_f32,
    };
    Ok(Axis {
        size: small(size)?,
        out: small(out)?,
        step,
        start,
        times: small(times)?,
        parts: small(parts)?,
        shift: small(shift)?,
        scale,
        offset: if coordinates == Coordinates::HalfPixel { 0.5 } else { 0.0 },
        gap: [0; 3],
    })
}
