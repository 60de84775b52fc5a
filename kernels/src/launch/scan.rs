use mindir_graph::task::{Scan, ScanKind};
use mindir_shaders::Lines;
use mindir_shaders::scan::{self, Params};

use super::lines::{grid, suffix};
use super::parts::{Share, parts};
use super::{Bound, Declined, GpuKernel, Target, counted, operand, result, small};
use crate::device::TaskView;

pub(super) fn kernel(task: &Scan, view: TaskView<'_>, on: &Target) -> Result<GpuKernel, Declined> {
    let &Scan { kind, outer, len, inner, exclusive, reverse, dtype } = task;
    let count = counted(&[outer, len, inner])?;
    operand(view, 0, dtype, &[count])?;
    result(view, 0, dtype, &[count])?;
    let lines = Lines::for_axis(len, inner);
    let each = Share::Each(len * inner);
    let pieces =
        if count == 0 { Vec::new() } else { parts(outer, &[(Bound::In(0), each), (Bound::Out(0), each)], view, on)? };
    let shader = scan::Scan { lines, kind, exclusive, reverse, dtype };
    let launches = pieces.into_iter().map(|piece| {
        let count = counted(&[piece.dims[0], inner])?;
        let [x_first, y_first] = [piece.firsts[0], piece.firsts[1]];
        let params = Params { lines: small(count)?, len: small(len)?, inner: small(inner)?, x_first, y_first };
        on.launch(&shader, &params, piece.views, grid(count, lines, on))
    });
    let launches = launches.collect::<Result<_, Declined>>()?;
    let name = if kind == ScanKind::Sum { "cumsum" } else { "cumprod" };
    Ok(GpuKernel { name: format!("{dtype}-{name}-{}", suffix(lines)), launches })
}
