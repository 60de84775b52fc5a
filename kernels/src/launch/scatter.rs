use bytemuck::Zeroable;
use mindir_graph::DType;
use mindir_graph::task::{Scatter, ScatterKind};
use mindir_shaders::copy::{Fill, FillParams};
use mindir_shaders::scatter::{AXES, Apply, Link, LinkParams, Params, Sort, SortParams};

use super::parts::{Share, parts};
use super::spread::spread;
use super::walk::Piece;
use super::{Bound, Declined, GpuKernel, Launch, Target, View, counted, declined, fold, operand, result, small};
use crate::device::TaskView;

pub(super) fn kernel(task: &Scatter, view: TaskView<'_>, on: &Target) -> Result<GpuKernel, Declined> {
    if !matches!(task.index, DType::I32 | DType::I64) {
        return declined(format!("indices of {}", task.index));
    }
    if !matches!(task.kind, ScatterKind::Replace | ScatterKind::Add) {
        return declined("shaders take updates that replace or are added only");
    }
    if task.axes.len() > AXES {
        return declined(format!("shaders take updates of {AXES} coordinates, not {}", task.axes.len()));
    }
    let slices = counted(&task.axes)?;
    operand(view, 0, task.dtype, &[slices, task.inner])?;
    operand(view, 1, task.index, &[task.count, task.axes.len()])?;
    operand(view, 2, task.dtype, &[task.count, task.inner])?;
    result(view, 0, task.dtype, &[slices, task.inner])?;
    let of = Of { task, slices, on };
    let mut launches = Vec::new();
    if task.inner > 0 {
        if slices > 0 {
            launches.push(of.clear()?);
        }
        if task.count > 0 {
            launches.push(of.link()?);
        }
        if task.count > 1 && slices > 0 && task.kind == ScatterKind::Add {
            launches.push(of.sort()?);
        }
        launches.extend(of.apply(view)?);
    }
    let kind = if task.kind == ScatterKind::Add { "add" } else { "replace" };
    Ok(GpuKernel { name: format!("{}_{}-scatter-{kind}", task.dtype, task.index), launches })
}

struct Of<'a> {
    task: &'a Scatter,
    slices: usize,
    on: &'a Target,
}

impl Of<'_> {
    /// A word for each slice.
    fn lists(&self) -> View {
        View::from(Bound::Scratch(0, (self.slices as u64).saturating_mul(4)))
    }

    /// A word for each update.
    fn nexts(&self) -> View {
        View::from(Bound::Scratch(1, (self.task.count as u64).saturating_mul(4)))
    }

    fn clear(&self) -> Result<Launch, Declined> {
        let params = FillParams { count: small(self.slices)?, ..FillParams::zeroed() };
        self.on.launch(
            &Fill { dtype: DType::U32 },
            &params,
            vec![self.lists()],
            fold(self.slices.div_ceil(256), self.on),
        )
    }

    fn link(&self) -> Result<Launch, Declined> {
        let Scatter { kind, axes, count, index, .. } = self.task;
        let (width, grid) = spread(1, *count, self.on);
        let rank = small(axes.len())?;
        let mut params = LinkParams { rows: 1, cols: small(*count)?, rank, ..LinkParams::zeroed() };
        for (to, &len) in params.axes.iter_mut().zip(axes) {
            *to = small(len)?;
        }
        let views = vec![View::from(Bound::In(1)), self.lists(), self.nexts(), View::from(Bound::Status)];
        self.on.launch(&Link { kind: *kind, index: *index, width }, &params, views, grid)
    }

    fn sort(&self) -> Result<Launch, Declined> {
        let (width, grid) = spread(1, self.slices, self.on);
        let params = SortParams { rows: 1, cols: small(self.slices)? };
        self.on.launch(&Sort { width }, &params, vec![self.lists(), self.nexts()], grid)
    }

    fn apply(&self, view: TaskView<'_>) -> Result<Vec<Launch>, Declined> {
        let &Scatter { kind, inner, dtype, .. } = self.task;
        let tensors =
            [(Bound::In(0), Share::Each(inner)), (Bound::In(2), Share::All), (Bound::Out(0), Share::Each(inner))];
        let launch = |piece: Piece| {
            let rows = piece.dims[0];
            let (width, grid) = spread(rows, inner, self.on);
            let params = Params {
                rows: small(rows)?,
                cols: small(inner)?,
                x_first: piece.firsts[0],
                y_first: piece.firsts[2],
                first: small(piece.origin[0])?,
            };
            let mut views = piece.views;
            views.push(self.lists());
            if kind == ScatterKind::Add {
                views.push(self.nexts());
            }
            self.on.launch(&Apply { kind, dtype, width }, &params, views, grid)
        };
        parts(self.slices, &tensors, view, self.on)?.into_iter().map(launch).collect()
    }
}
