use bytemuck::Zeroable;
use mindir_graph::DType;
use mindir_graph::task::{Copy, Part};
use mindir_shaders::copy::{self, FillParams, Params, RANK};

use super::block::Block;
use super::walk::{Piece, Walk, Walked};
use super::{Bound, Declined, GpuKernel, Launch, Target, counted, declined, fold, operand, result, small, stride};
use crate::device::TaskView;

pub(super) fn kernel(task: &Copy, view: TaskView<'_>, on: &Target) -> Result<GpuKernel, Declined> {
    let Some(out) = view.outs.first() else { return declined("result 0 is missing") };
    result(view, 0, task.dtype, &out.shape)?;
    let mut launches = Vec::new();
    if let Some(element) = &task.fill {
        launches.extend(fill(view, 0, element, on)?);
    }
    let mut rank = 1;
    for p in task.parts.iter().filter(|p| !p.shape.contains(&0)) {
        let walk = walk(p, task.dtype, view, on)?;
        rank = rank.max(walk.dims.len());
        for piece in walk.pieces(on)? {
            launches.push(part(task.dtype, &walk, piece, on)?);
        }
    }
    Ok(GpuKernel { name: format!("{}-copy{rank}", task.dtype), launches })
}

/// Fills a result with an element given by its bytes.
pub(super) fn fill(view: TaskView<'_>, index: usize, element: &[u8], on: &Target) -> Result<Vec<Launch>, Declined> {
    let Some(out) = view.outs.get(index) else { return declined(format!("result {index} is missing")) };
    if element.len() != out.dtype.size() {
        return declined(format!("fill of {} bytes for {}", element.len(), out.dtype));
    }
    let mut params = FillParams::zeroed();
    let laid = on.lay(out.dtype, element);
    match bytemuck::cast_slice_mut::<u32, u8>(&mut params.words).get_mut(..laid.len()) {
        Some(room) => room.copy_from_slice(&laid),
        None => return declined(format!("there is no fill of {}", out.dtype)),
    }
    let count = counted(&out.shape)?;
    let all = Walked::of(view, on, Bound::Out(index), vec![1])?;
    let walk = Walk { dims: vec![count], tensors: vec![all], most: vec![usize::MAX], rank: (1, 1) };
    let launch = |piece: Piece| {
        let count = piece.dims[0];
        let params = FillParams { count: small(count)?, first: piece.firsts[0], ..params };
        on.launch(&copy::Fill { dtype: out.dtype }, &params, piece.views, fold(count.div_ceil(256), on))
    };
    walk.pieces(on)?.into_iter().map(launch).collect()
}

fn walk(p: &Part, dtype: DType, view: TaskView<'_>, on: &Target) -> Result<Walk, Declined> {
    let shape = view.ins.get(p.input).map_or(&[][..], |f| &f.shape);
    operand(view, p.input, dtype, shape)?;
    counted(&p.shape)?;
    let Block { dims, mut strides } = Block::new(&p.shape, &[&p.src, &p.dst]);
    let written = Walked::of(view, on, Bound::Out(0), strides.pop().unwrap_or_default())?.from(p.dst_offset);
    let read = Walked::of(view, on, Bound::In(p.input), strides.pop().unwrap_or_default())?.from(p.src_offset);
    let rank = dims.len();
    Ok(Walk { dims, tensors: vec![read, written], most: vec![usize::MAX; rank], rank: (RANK, rank) })
}

fn part(dtype: DType, walk: &Walk, piece: Piece, on: &Target) -> Result<Launch, Declined> {
    let long = piece.long();
    let count = counted(&piece.dims)?;
    let mut params = Params {
        count: small(count)?,
        first_read: piece.firsts[0],
        first_written: piece.firsts[1],
        ..Params::zeroed()
    };
    for (to, &d) in long.iter().enumerate() {
        params.dims[to] = small(piece.dims[d])?;
        params.read[to] = stride(walk.tensors[0].strides[d])?;
        params.written[to] = stride(walk.tensors[1].strides[d])?;
    }
    let shader = copy::Copy { rank: long.len(), dtype };
    on.launch(&shader, &params, piece.views, fold(count.div_ceil(256), on))
}
