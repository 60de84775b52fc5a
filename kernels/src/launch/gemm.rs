use mindir_graph::DType;
use mindir_graph::task::{Epilogue, EpilogueInput, Gemm};
use mindir_shaders::gemm::{self, BATCH, COLUMNS, Params, Tile};

use super::block::Block;
use super::{Bound, Declined, GpuKernel, Target, copy, counted, declined, operand, result, small, stride};
use crate::device::TaskView;

pub(super) fn kernel(task: &Gemm, view: TaskView<'_>, on: &Target) -> Result<GpuKernel, Declined> {
    if task.dtype != DType::F32 || task.out != DType::F32 {
        return declined(format!("shaders multiply matrices of f32, not of {}", task.dtype));
    }
    if task.c.col != 1 {
        return declined("the columns of the product are not neighbours");
    }
    let Some(out) = view.outs.first() else { return declined("result 0 is missing") };
    let dtype = task.epilogue.as_ref().and_then(|e| e.program.dtype()).unwrap_or(DType::F32);
    result(view, 0, dtype, &out.shape)?;
    let elements = counted(&[counted(&task.batch)?, task.m, task.n])?;
    let tile = if task.m <= 32 { Tile::Rows8 } else { Tile::Rows64 };
    let name = format!("f32-gemm{}x{COLUMNS}x16", tile.rows());
    let shader = gemm::Gemm {
        tile,
        a_along_k: task.a.col == 1,
        b_along_k: task.b.row == 1 && task.b.col != 1,
        epilogue: task.epilogue.as_ref().map(|e| epilogue(task, e, view)).transpose()?,
    };
    let extra = task.epilogue.as_ref().map_or(0, |e| e.inputs.len());
    let bound = (0..2 + extra).map(Bound::In).chain([Bound::Out(0)]).collect();
    let product = on.launch(&shader, &params(task)?, bound, grid(task, tile, on))?;
    let mut launches = Vec::new();
    if elements < out.count() {
        launches.push(copy::fill(out, dtype, &vec![0; dtype.size()], on)?);
    }
    if elements > 0 {
        launches.push(product);
    }
    Ok(GpuKernel { name, launches })
}

/// One workgroup per tile; batches beyond the limit are taken up by the same workgroups in turn.
fn grid(task: &Gemm, tile: Tile, on: &Target) -> [u32; 3] {
    let small = |n: usize| u32::try_from(n).unwrap_or(u32::MAX);
    let rows = small(task.m.div_ceil(tile.rows()));
    [small(task.n.div_ceil(COLUMNS)), rows, small(task.batch_count()).min(on.limits.groups)]
}

fn epilogue(task: &Gemm, e: &Epilogue, view: TaskView<'_>) -> Result<gemm::Epilogue, Declined> {
    let mut operands = Vec::new();
    for (i, &input) in e.inputs.iter().enumerate() {
        let dims = match input {
            EpilogueInput::Scalar => vec![1],
            EpilogueInput::Column => vec![task.n],
            EpilogueInput::Row => vec![task.batch_count(), task.m],
            EpilogueInput::Full => view.outs.first().map_or(Vec::new(), |f| f.shape.to_vec()),
        };
        let dtype = view.ins.get(i + 2).map_or(DType::F32, |f| f.dtype);
        operand(view, i + 2, dtype, &dims)?;
        operands.push((dtype, input));
    }
    Ok(gemm::Epilogue { program: e.program.clone(), operands })
}

fn params(task: &Gemm) -> Result<Params, Declined> {
    let block = Block::new(&task.batch, &[&task.a.batch, &task.b.batch, &task.c.batch]);
    if block.rank() > BATCH {
        return declined(format!("shaders take {BATCH} batch dimensions, not {}", block.rank()));
    }
    let mut params = Params {
        m: small(task.m)?,
        n: small(task.n)?,
        k: small(task.k)?,
        batches: small(task.batch_count())?,
        a_row: small(task.a.row)?,
        a_col: small(task.a.col)?,
        b_row: small(task.b.row)?,
        b_col: small(task.b.col)?,
        c_row: small(task.c.row)?,
        a_first: small(task.a.offset)?,
        b_first: small(task.b.offset)?,
        c_first: small(task.c.offset)?,
        batch: [1; BATCH],
        a_batch: [0; BATCH],
        b_batch: [0; BATCH],
        c_batch: [0; BATCH],
    };
    for d in 0..block.rank() {
        params.batch[d] = small(block.dims[d])?;
        params.a_batch[d] = stride(block.strides[0][d])?;
        params.b_batch[d] = stride(block.strides[1][d])?;
        params.c_batch[d] = stride(block.strides[2][d])?;
    }
    Ok(params)
}
