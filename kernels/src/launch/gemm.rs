use mindir_graph::dense_strides;
use mindir_graph::task::{EpilogueInput, Gemm};
use mindir_shaders::epilogue::OPERANDS;
use mindir_shaders::gemm::{self, BATCH, COLUMNS, End, Params, Tile};

use super::block::Block;
use super::epilogue::epilogue;
use super::walk::{Piece, Walk, Walked};
use super::{Bound, Declined, GpuKernel, Launch, Target, copy, counted, declined, operand, result, small, stride};
use crate::device::TaskView;

/// Most elements of a sum of floats in one launch: sums of such sums are rounded fewer times than one long sum.
const SUM: usize = 2048;

pub(super) fn kernel(task: &Gemm, view: TaskView<'_>, on: &Target) -> Result<GpuKernel, Declined> {
    if task.c.col != 1 {
        return declined("the columns of the product are not neighbours");
    }
    let Some(out) = view.outs.first() else { return declined("result 0 is missing") };
    let dtype = task.epilogue.as_ref().map_or(Some(task.out), |e| e.program.dtype()).unwrap_or(task.out);
    result(view, 0, dtype, &out.shape)?;
    for i in [0, 1] {
        operand(view, i, task.dtype, view.ins.get(i).map_or(&[], |f| &f.shape))?;
    }
    let elements = counted(&[counted(&task.batch)?, task.m, task.n])?;
    let tile = if task.m <= 32 { Tile::Rows8 } else { Tile::Rows64 };
    let end = match &task.epilogue {
        None => End::Product,
        Some(e) => End::Epilogue(epilogue(e, view, 2, [counted(&[task.batch_count(), task.m])?, task.n])?),
    };
    let factors = [0, 1].map(|i| on.constant(view, i));
    let shader = gemm::Gemm { packed: factors.map(|of| matches!(of, Bound::Packed(_))), ..shader(task, tile, end) };
    let product = Product { task, view, on, shader, factors, batches: batches(task)? };
    let mut launches = Vec::new();
    if elements < out.count() {
        launches.extend(copy::fill(view, 0, &vec![0; dtype.size()], on)?);
    }
    if elements > 0 {
        launches.extend(product.launches()?);
    }
    let tiled = product.shader.is_tiled(on.language)?;
    let variant = if tiled { format!("{}x{COLUMNS}x16", tile.rows()) } else { "each".into() };
    let factors = if product.shader.is_tf32(on.language) { "tf32" } else { task.dtype.name() };
    Ok(GpuKernel { name: format!("{factors}-gemm{variant}"), launches })
}

fn shader(task: &Gemm, tile: Tile, end: End) -> gemm::Gemm {
    gemm::Gemm {
        tile,
        a_along_k: task.a.col == 1,
        b_along_k: task.b.row == 1 && task.b.col != 1,
        dtype: task.dtype,
        out: task.out,
        tf32: task.tf32,
        end,
        packed: [false; 2],
        adds: false,
    }
}

/// Batch dimensions with the strides of `a`, `b`, `c` and of the numbers of rows.
fn batches(task: &Gemm) -> Result<Block, Declined> {
    let rows: Vec<isize> = dense_strides(&task.batch).iter().map(|s| s * task.m as isize).collect();
    counted(&[counted(&task.batch)?, task.m])?;
    Ok(Block::new(&task.batch, &[&task.a.batch, &task.b.batch, &task.c.batch, &rows]))
}

struct Product<'a> {
    task: &'a Gemm,
    view: TaskView<'a>,
    on: &'a Target,
    shader: gemm::Gemm,
    factors: [Bound; 2],
    batches: Block,
}

impl Product<'_> {
    fn launches(&self) -> Result<Vec<Launch>, Declined> {
        let walk = self.walk()?;
        walk.pieces(self.on)?.into_iter().map(|piece| self.launch(piece)).collect()
    }

    /// Batches, rows, columns and the elements of a sum, with `a`, `b`, the epilogue's operands and `c`.
    fn walk(&self) -> Result<Walk, Declined> {
        let &Gemm { m, n, k, ref a, ref b, ref c, ref epilogue, .. } = self.task;
        let [by_a, by_b, by_c, by_row] = [0, 1, 2, 3].map(|i| &self.batches.strides[i]);
        let mut tensors = vec![
            self.walked(self.factors[0], by_a, [a.row, 0, a.col])?.from(a.offset),
            self.walked(self.factors[1], by_b, [0, b.col, b.row])?.from(b.offset),
        ];
        let fixed = vec![0; self.batches.rank()];
        for (i, input) in epilogue.iter().flat_map(|e| &e.inputs).enumerate() {
            let bound = Bound::In(i + 2);
            tensors.push(match input {
                EpilogueInput::Scalar => self.walked(bound, &fixed, [0, 0, 0])?,
                EpilogueInput::Column => self.walked(bound, &fixed, [0, 1, 0])?,
                EpilogueInput::Row => self.walked(bound, by_row, [1, 0, 0])?,
                EpilogueInput::Full => self.walked(bound, by_c, [c.row, 1, 0])?.from(c.offset),
            });
        }
        tensors.push(self.walked(Bound::Out(0), by_c, [c.row, 1, 0])?.from(c.offset));
        if k == 0 {
            // Nothing of the factors is read.
            tensors.iter_mut().take(2).for_each(|t| (t.first, t.count, t.strides) = (0, 1, vec![0; t.strides.len()]));
        }
        let outer = self.batches.rank();
        let groups = self.on.limits.groups as usize;
        let longest = self.on.limits.longest();
        let most = if self.task.dtype.is_float() { longest.min(SUM) } else { longest };
        let sums = if self.shader.adds_up(self.on.language)? { most } else { 0 };
        if sums == 0 && k > longest {
            return declined(format!("its sums have {k} elements, and the adapter ends loops after {longest}"));
        }
        let mut most = vec![usize::MAX; outer];
        most.extend([groups.saturating_mul(self.shader.rows(self.on.language)?), groups.saturating_mul(COLUMNS), sums]);
        let dims = self.batches.dims.iter().copied().chain([m, n, k.max(1)]).collect();
        Ok(Walk { dims, tensors, most, rank: (BATCH, outer) })
    }

    fn walked(&self, bound: Bound, batch: &[isize], steps: [usize; 3]) -> Result<Walked, Declined> {
        let mut strides = batch.to_vec();
        for step in steps {
            strides.push(small(step)? as isize);
        }
        Walked::of(self.view, self.on, bound, strides)
    }

    fn launch(&self, piece: Piece) -> Result<Launch, Declined> {
        let outer = self.batches.rank();
        let [m, n] = [piece.dims[outer], piece.dims[outer + 1]];
        let (start, k) = (piece.origin[outer + 2], piece.dims[outer + 2].min(self.task.k));
        let mut shader = gemm::Gemm { adds: start > 0, ..self.shader.clone() };
        let mut views = piece.views.clone();
        if start + k < self.task.k {
            shader.end = End::Partial;
            views.drain(2..views.len() - 1);
        }
        let batches = piece.dims[..outer].iter().product();
        let [x, y, z] = [
            n.div_ceil(COLUMNS),
            m.div_ceil(shader.rows(self.on.language)?),
            self.on.limits.groups.min(small(batches)?) as usize,
        ];
        self.on.launch(&shader, &self.params(&piece, [m, n, k], batches)?, views, [small(x)?, small(y)?, small(z)?])
    }

    fn params(&self, piece: &Piece, [m, n, k]: [usize; 3], batches: usize) -> Result<Params, Declined> {
        let Gemm { a, b, c, .. } = self.task;
        let (firsts, last) = (&piece.firsts, piece.firsts.len() - 1);
        let mut params = Params {
            m: small(m)?,
            n: small(n)?,
            k: small(k)?,
            batches: small(batches)?,
            a_row: small(a.row)?,
            a_col: small(a.col)?,
            b_row: small(b.row)?,
            b_col: small(b.col)?,
            c_row: small(c.row)?,
            a_first: firsts[0],
            b_first: firsts[1],
            c_first: firsts[last],
            batch: [1; BATCH],
            a_batch: [0; BATCH],
            b_batch: [0; BATCH],
            c_batch: [0; BATCH],
            row_batch: [0; BATCH],
            firsts: [0; OPERANDS],
        };
        params.firsts.iter_mut().zip(&firsts[2..last]).for_each(|(to, &first)| *to = first);
        let long = (0..self.batches.rank()).filter(|&d| piece.dims[d] > 1);
        for (to, d) in long.enumerate() {
            params.batch[to] = small(piece.dims[d])?;
            let strides = [&mut params.a_batch, &mut params.b_batch, &mut params.c_batch, &mut params.row_batch];
            for (by, from) in strides.into_iter().zip(&self.batches.strides) {
                by[to] = stride(from[d])?;
            }
        }
        Ok(params)
    }
}
