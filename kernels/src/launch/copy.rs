use bytemuck::Zeroable;
use mindir_graph::task::{Copy, Part};
use mindir_graph::{DType, Fact};
use mindir_shaders::Word;
use mindir_shaders::copy::{self, FillParams, Params, RANK};

use super::block::Block;
use super::words;
use super::{Bound, Declined, GpuKernel, Launch, Target, counted, declined, fold, operand, result, small, stride};
use crate::device::TaskView;

pub(super) fn kernel(task: &Copy, view: TaskView<'_>, on: &Target) -> Result<GpuKernel, Declined> {
    let Some(out) = view.outs.first() else { return declined("result 0 is missing") };
    result(view, 0, task.dtype, &out.shape)?;
    let mut launches = Vec::new();
    if let Some(element) = &task.fill
        && out.count() > 0
    {
        launches.push(fill(out, task.dtype, element, on)?);
    }
    let mut rank = 1;
    for p in task.parts.iter().filter(|p| !p.shape.contains(&0)) {
        let shape = view.ins.get(p.input).map_or(&[][..], |f| &f.shape);
        operand(view, p.input, task.dtype, shape)?;
        counted(&p.shape)?;
        let block = Block::new(&p.shape, &[&p.src, &p.dst]);
        rank = rank.max(block.rank());
        launches.push(part(p, task.dtype, &block, on)?);
    }
    Ok(GpuKernel { name: format!("{}-copy{rank}", task.dtype), launches })
}

/// Fills result 0 with an element given by its bytes.
pub(super) fn fill(out: &Fact, dtype: DType, element: &[u8], on: &Target) -> Result<Launch, Declined> {
    let wide = Word::of(dtype)?.is_wide();
    if element.len() != dtype.size() {
        return declined(format!("fill of {} bytes for {dtype}", element.len()));
    }
    let mut params = FillParams { count: small(out.count())?, gap: 0, words: [0; 2] };
    for (to, from) in params.words.iter_mut().zip(words::widen(dtype, element).chunks_exact(4)) {
        *to = u32::from_le_bytes([from[0], from[1], from[2], from[3]]);
    }
    on.launch(&copy::Fill { wide }, &params, vec![Bound::Out(0)], fold(out.count().div_ceil(256), on))
}

fn part(p: &Part, dtype: DType, block: &Block, on: &Target) -> Result<Launch, Declined> {
    if block.rank() > RANK {
        return declined(format!("shaders take copies of {RANK} dimensions, not {}", block.rank()));
    }
    let mut params = Params {
        count: small(block.count())?,
        first_read: small(p.src_offset)?,
        first_written: small(p.dst_offset)?,
        ..Params::zeroed()
    };
    for d in 0..block.rank() {
        params.dims[d] = small(block.dims[d])?;
        params.read[d] = stride(block.strides[0][d])?;
        params.written[d] = stride(block.strides[1][d])?;
    }
    let shader = copy::Copy { rank: block.rank(), wide: Word::of(dtype)?.is_wide() };
    let grid = fold(block.count().div_ceil(256), on);
    on.launch(&shader, &params, vec![Bound::In(p.input), Bound::Out(0)], grid)
}
