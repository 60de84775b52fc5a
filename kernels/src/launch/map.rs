use bytemuck::Zeroable;
use mindir_graph::task::Map;
use mindir_graph::{DType, Strides, broadcast_strides};
use mindir_shaders::Word;
use mindir_shaders::map::{self, OPERANDS, Params, RANK, Read};

use super::block::Block;
use super::{Bound, Declined, GpuKernel, Target, counted, declined, fold, result, small, stride};
use crate::device::TaskView;

pub(super) fn kernel(task: &Map, view: TaskView<'_>, on: &Target) -> Result<GpuKernel, Declined> {
    let count = counted(&task.shape)?;
    let dtype = task.program.dtype().unwrap_or(DType::F32);
    result(view, 0, dtype, &[count])?;
    let operands = task.program.input_count();
    if operands > OPERANDS {
        return declined(format!("shaders take maps of {OPERANDS} operands, not {operands}"));
    }
    let strides = (0..operands).map(|i| broadcast(task, view, i)).collect::<Result<Vec<_>, Declined>>()?;
    let block = Block::new(&task.shape, &strides.iter().map(|s| &s[..]).collect::<Vec<_>>());
    if block.rank() > RANK {
        return declined(format!("shaders take maps of {RANK} dimensions, not {}", block.rank()));
    }
    let reads: Vec<(DType, Read)> = (0..operands).map(|i| (view.ins[i].dtype, read(&block, i))).collect();
    let strided = reads.iter().any(|r| r.1 == Read::Strided);
    let rank = if strided { block.rank() } else { 1 };
    let shader = map::Map { program: task.program.clone(), operands: reads, rank };
    let bound = (0..operands).map(Bound::In).chain([Bound::Out(0)]).collect();
    let launch = on.launch(&shader, &params(&block, count)?, bound, fold(count.div_ceil(256), on))?;
    let variant = if strided { format!("map{rank}") } else { "map".into() };
    Ok(GpuKernel { name: format!("{dtype}-{variant}"), launches: if count == 0 { Vec::new() } else { vec![launch] } })
}

fn broadcast(task: &Map, view: TaskView<'_>, index: usize) -> Result<Strides, Declined> {
    let Some(fact) = view.ins.get(index) else { return declined(format!("operand {index} is missing")) };
    Word::of(fact.dtype)?;
    let strides = broadcast_strides(&fact.shape, &task.shape);
    strides.map_or_else(|| declined(format!("operand {fact} does not broadcast to {:?}", task.shape)), Ok)
}

fn read(block: &Block, operand: usize) -> Read {
    let strides = &block.strides[operand];
    if strides.iter().all(|&s| s == 0) {
        Read::One
    } else if block.rank() == 1 || *strides == *mindir_graph::dense_strides(&block.dims) {
        Read::Dense
    } else {
        Read::Strided
    }
}

fn params(block: &Block, count: usize) -> Result<Params, Declined> {
    let mut params = Params { count: small(count)?, ..Params::zeroed() };
    for d in 0..block.rank() {
        params.dims[d] = small(block.dims[d])?;
        for (to, from) in params.strides.iter_mut().zip(&block.strides) {
            to[d] = stride(from[d])? as u32;
        }
    }
    Ok(params)
}
