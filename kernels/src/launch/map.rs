use bytemuck::Zeroable;
use mindir_graph::task::Map;
use mindir_graph::{DType, Strides, broadcast_strides, dense_strides};
use mindir_shaders::map::{self, Params, RANK, Read, TENSORS};

use super::block::Block;
use super::walk::{Piece, Walk, Walked};
use super::{Bound, Declined, GpuKernel, Launch, Target, counted, declined, fold, result, small, stride};
use crate::device::TaskView;

pub(super) fn kernel(task: &Map, view: TaskView<'_>, on: &Target) -> Result<GpuKernel, Declined> {
    let count = counted(&task.shape)?;
    let dtype = task.program.dtype().unwrap_or(DType::F32);
    result(view, 0, dtype, &[count])?;
    let operands = task.program.input_count();
    if operands >= TENSORS {
        return declined(format!("shaders take maps of {} operands, not {operands}", TENSORS - 1));
    }
    let mut strides = (0..operands).map(|i| broadcast(task, view, i)).collect::<Result<Vec<_>, Declined>>()?;
    strides.push(dense_strides(&task.shape));
    let block = Block::new(&task.shape, &strides.iter().map(|s| &s[..]).collect::<Vec<_>>());
    let bounds = (0..operands).map(Bound::In).chain([Bound::Out(0)]);
    let tensors = bounds.zip(&block.strides).map(|(bound, strides)| Walked::of(view, on, bound, strides.clone()));
    let tensors = tensors.collect::<Result<Vec<_>, Declined>>()?;
    let rank = block.rank();
    let walk = Walk { dims: block.dims, tensors, most: vec![usize::MAX; rank], rank: (RANK, rank) };
    let pieces = if count == 0 { Vec::new() } else { walk.pieces(on)? };
    let launches = pieces.into_iter().map(|piece| launch(task, view, &walk, piece, on));
    let launches = launches.collect::<Result<Vec<_>, Declined>>()?;
    let whole = walk.tensors.iter().take(operands).all(|t| read(&walk.dims, &t.strides) != Read::Strided);
    let variant = if whole { "map".into() } else { format!("map{rank}") };
    Ok(GpuKernel { name: format!("{dtype}-{variant}"), launches })
}

fn broadcast(task: &Map, view: TaskView<'_>, index: usize) -> Result<Strides, Declined> {
    let Some(fact) = view.ins.get(index) else { return declined(format!("operand {index} is missing")) };
    let strides = broadcast_strides(&fact.shape, &task.shape);
    strides.map_or_else(|| declined(format!("operand {fact} does not broadcast to {:?}", task.shape)), Ok)
}

fn launch(task: &Map, view: TaskView<'_>, walk: &Walk, piece: Piece, on: &Target) -> Result<Launch, Declined> {
    let long = piece.long();
    let dims: Vec<usize> = long.iter().map(|&d| piece.dims[d]).collect();
    let count = counted(&dims)?;
    let mut params = Params { count: small(count)?, ..Params::zeroed() };
    for (to, &n) in params.dims.iter_mut().zip(&dims) {
        *to = small(n)?;
    }
    let mut reads = Vec::new();
    for (i, t) in walk.tensors.iter().enumerate() {
        let strides: Vec<isize> = long.iter().map(|&d| t.strides[d]).collect();
        params.firsts[i] = piece.firsts[i];
        for (to, &s) in params.strides[i].iter_mut().zip(&strides) {
            *to = stride(s)? as u32;
        }
        reads.push(read(&dims, &strides));
    }
    let write = reads.pop().unwrap_or(Read::Dense);
    let strided = reads.iter().chain([&write]).any(|r| *r == Read::Strided);
    let rank = if strided { dims.len() } else { 1 };
    let operands = view.ins.iter().map(|f| f.dtype).zip(reads).collect();
    let shader = map::Map { program: task.program.clone(), operands, write, rank };
    on.launch(&shader, &params, piece.views, fold(count.div_ceil(256), on))
}

fn read(dims: &[usize], strides: &[isize]) -> Read {
    if strides.iter().all(|&s| s == 0) && !dims.is_empty() {
        Read::One
    } else if *strides == *dense_strides(dims) {
        Read::Dense
    } else {
        Read::Strided
    }
}
