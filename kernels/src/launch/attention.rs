use std::collections::BTreeSet;

use bytemuck::Zeroable;
use mindir_graph::task::{Attention, Gemm, Instr, Matrix, Program};
use mindir_graph::{DType, Fact, broadcast_strides, checked_count};
use mindir_shaders::attention::{self, BATCH, Columns, OTHERS, Params, Rows};

use super::block::Block;
use super::walk::{Piece, Walk, Walked};
use super::{Bound, Declined, GpuKernel, Launch, Target, counted, declined, operand, result, small, stride};
use crate::device::TaskView;

pub(super) fn kernel(task: &Attention, view: TaskView<'_>, on: &Target) -> Result<GpuKernel, Declined> {
    checked(task, view)?;
    let whole = Whole::new(task, view, on)?;
    let launches = whole.walk()?.pieces(on)?.into_iter().map(|piece| whole.launch(piece));
    let launches = launches.collect::<Result<Vec<_>, Declined>>()?;
    let rows = whole.shader.rows;
    Ok(GpuKernel { name: format!("f32-attention{}x{}", rows.count(), rows.keys()), launches })
}

/// Declines what is not of `f32`, has nothing to compute, or products that do not fit each other.
fn checked(task: &Attention, view: TaskView<'_>) -> Result<(), Declined> {
    let Attention { scores, map, values } = task;
    let ([q, k, .., v], [y]) = (view.ins, view.outs) else { return declined("operands or results are missing") };
    let computed = map.as_ref().map_or(Some(DType::F32), |map| map.program.dtype());
    let types = [scores.dtype, scores.out, values.dtype, values.out, computed.unwrap_or(DType::Bool)];
    if let Some(other) = types.iter().find(|dtype| **dtype != DType::F32) {
        return declined(format!("shaders compute attention of f32, not {other}"));
    }
    for (i, fact) in [(0, q), (1, k), (view.ins.len() - 1, v)] {
        operand(view, i, DType::F32, &fact.shape)?;
    }
    result(view, 0, DType::F32, &y.shape)?;
    if scores.epilogue.as_ref().is_some_and(|e| !e.inputs.is_empty()) || values.epilogue.is_some() {
        return declined("its products have epilogues");
    }
    let batches = [checked_count(&scores.batch), checked_count(&values.batch)];
    let same = batches[0].is_some() && batches[0] == batches[1] && (scores.m, scores.n) == (values.m, values.k);
    let sizes = [scores.m, scores.n, scores.k, values.n, batches[0].unwrap_or(0)];
    if !same || sizes.contains(&0) {
        return declined("rows and columns of its products do not match, or there are none");
    }
    if values.c.col != 1 || checked_count(&[sizes[4], values.m, values.n]) != checked_count(&y.shape) {
        return declined("its result has gaps");
    }
    Ok(())
}

/// What becomes of a sum before the softmax; its input 0 is the sum.
fn program(task: &Attention) -> Program {
    let same = || Program { instrs: vec![(Instr::Input(0), DType::F32)] };
    let before = task.scores.epilogue.as_ref().map_or_else(same, |e| e.program.clone());
    match &task.map {
        Some(map) => map.program.compose(0, &before, &[], &[]),
        None => before,
    }
}

/// An operand that the program reads besides the scores.
struct Other {
    lead: Vec<isize>,
    row: isize,
    col: isize,
}

fn others(task: &Attention, facts: &[Fact]) -> Result<Vec<Other>, Declined> {
    let Some(map) = &task.map else {
        return if facts.is_empty() { Ok(Vec::new()) } else { declined("it has operands that nothing reads") };
    };
    let lead = map.shape.len().saturating_sub(2);
    if map.shape[lead..] != [task.scores.m, task.scores.n] {
        return declined(format!("its map over {:?} does not end with rows and columns", map.shape));
    }
    if facts.len() > OTHERS {
        return declined(format!("shaders take attention with {OTHERS} more operands, not {}", facts.len()));
    }
    let other = |fact: &Fact| match broadcast_strides(&fact.shape, &map.shape).as_deref() {
        Some([lead @ .., row, col]) => Ok(Other { lead: lead.to_vec(), row: *row, col: *col }),
        _ => declined(format!("operand {fact} does not broadcast to {:?}", map.shape)),
    };
    facts.iter().map(other).collect()
}

/// The task with its batch dimensions as all of its parts walk them.
struct Whole<'a> {
    task: &'a Attention,
    view: TaskView<'a>,
    on: &'a Target,
    shader: attention::Attention,
    /// Batch dimensions with the strides of queries, keys, other operands, values and result.
    batches: Block,
    /// Elements from query to query, key to key, along a query or key, and from column to column, in the same order.
    steps: Vec<[isize; 4]>,
    firsts: Vec<usize>,
}

impl<'a> Whole<'a> {
    fn new(task: &'a Attention, view: TaskView<'a>, on: &'a Target) -> Result<Whole<'a>, Declined> {
        let (Gemm { a: q, b: k, .. }, Gemm { b: v, c: y, .. }) = (&task.scores, &task.values);
        let facts = view.ins.get(2..view.ins.len().saturating_sub(1)).unwrap_or(&[]);
        let others = others(task, facts)?;
        let [[q_row, q_col], [k_row, k_col], [v_row, v_col], [y_row, _]] = [steps(q)?, steps(k)?, steps(v)?, steps(y)?];
        let mut steps = vec![[q_row, 0, q_col, 0], [0, k_col, k_row, 0]];
        steps.extend(others.iter().map(|other| [other.row, other.col, 0, 0]));
        steps.extend([[0, v_row, 0, v_col], [y_row, 0, 0, 1]]);
        let mut firsts = vec![q.offset, k.offset];
        firsts.extend(others.iter().map(|_| 0));
        firsts.extend([v.offset, y.offset]);
        let dims = [&task.scores.batch[..], &task.values.batch[..], lead(task)];
        let mut strides = vec![(0, q.batch.to_vec()), (0, k.batch.to_vec())];
        strides.extend(others.into_iter().map(|other| (2, other.lead)));
        strides.extend([(1, v.batch.to_vec()), (1, y.batch.to_vec())]);
        let shader = attention::Attention {
            rows: Rows::covering(task.scores.m),
            columns: Columns::covering(task.values.n),
            q_along: q.col == 1,
            k_along: k.row == 1,
            v_along: v.col == 1,
            program: program(task),
            others: facts.iter().map(|fact| fact.dtype).collect(),
        };
        Ok(Whole { task, view, on, shader, batches: refined(&dims, &strides)?, steps, firsts })
    }

    /// Batches, queries, keys, their elements and columns of the values, with all operands and the result.
    fn walk(&self) -> Result<Walk, Declined> {
        let Attention { scores, values, .. } = self.task;
        let outer = self.batches.rank();
        let bounds = (0..self.view.ins.len()).map(Bound::In).chain([Bound::Out(0)]);
        let tensors = bounds.zip(&self.batches.strides).zip(&self.steps).zip(&self.firsts);
        let tensors = tensors.map(|(((bound, batch), steps), &first)| {
            let strides = batch.iter().chain(steps).copied().collect();
            Ok(Walked::of(self.view, self.on, bound, strides)?.from(first))
        });
        let groups = self.on.limits.groups as usize;
        let most = |each: usize| groups.saturating_mul(each);
        let mut limits = vec![usize::MAX; outer];
        limits.extend([most(self.shader.rows.count()), 0, 0, most(self.shader.columns.count())]);
        Ok(Walk {
            dims: self.batches.dims.iter().copied().chain([scores.m, scores.n, scores.k, values.n]).collect(),
            tensors: tensors.collect::<Result<_, Declined>>()?,
            most: limits,
            rank: (BATCH, outer),
        })
    }

    fn launch(&self, piece: Piece) -> Result<Launch, Declined> {
        let outer = self.batches.rank();
        let batches = counted(&piece.dims[..outer])?;
        let params = self.params(&piece, batches)?;
        let grid = [
            small(piece.dims[outer].div_ceil(self.shader.rows.count()))?,
            small(piece.dims[outer + 3].div_ceil(self.shader.columns.count()))?,
            self.on.limits.groups.min(small(batches)?),
        ];
        self.on.launch(&self.shader, &params, piece.views, grid)
    }

    fn params(&self, piece: &Piece, batches: usize) -> Result<Params, Declined> {
        let outer = self.batches.rank();
        let last = self.firsts.len() - 1;
        let step = |of: usize, d: usize| stride(self.steps[of][d]).map(|s| s as u32);
        let mut params = Params {
            m: small(piece.dims[outer])?,
            n: small(piece.dims[outer + 1])?,
            k: small(piece.dims[outer + 2])?,
            cols: small(piece.dims[outer + 3])?,
            batches: small(batches)?,
            q_row: step(0, 0)?,
            q_col: step(0, 2)?,
            k_row: step(1, 1)?,
            k_col: step(1, 2)?,
            v_row: step(last - 1, 1)?,
            v_col: step(last - 1, 3)?,
            y_row: step(last, 0)?,
            q_first: piece.firsts[0],
            k_first: piece.firsts[1],
            v_first: piece.firsts[last - 1],
            y_first: piece.firsts[last],
            batch: [1; BATCH],
            ..Params::zeroed()
        };
        let long: Vec<usize> = (0..outer).filter(|&d| piece.dims[d] > 1).collect();
        let batch = |of: usize| -> Result<[i32; BATCH], Declined> {
            let mut strides = [0; BATCH];
            for (to, &d) in strides.iter_mut().zip(&long) {
                *to = stride(self.batches.strides[of][d])?;
            }
            Ok(strides)
        };
        for (to, &d) in params.batch.iter_mut().zip(&long) {
            *to = small(piece.dims[d])?;
        }
        (params.q_batch, params.k_batch) = (batch(0)?, batch(1)?);
        (params.v_batch, params.y_batch) = (batch(last - 1)?, batch(last)?);
        for (i, of) in (2..last - 1).enumerate() {
            (params.firsts[i], params.rows[i], params.columns[i]) = (piece.firsts[of], step(of, 0)?, step(of, 1)?);
            params.steps[i] = batch(of)?;
        }
        Ok(params)
    }
}

/// Elements from row to row and from column to column.
fn steps(of: &Matrix) -> Result<[isize; 2], Declined> {
    Ok([small(of.row)? as isize, small(of.col)? as isize])
}

/// The dimensions of the map before rows and columns, or those of the scores.
fn lead(task: &Attention) -> &[usize] {
    match &task.map {
        Some(map) => &map.shape[..map.shape.len().saturating_sub(2)],
        None => &task.scores.batch,
    }
}

/// Dimensions that all lists of dimensions, which hold as many batches, are products of neighbours of, with strides given for the
/// dimensions of one of the lists.
fn refined(lists: &[&[usize]], strides: &[(usize, Vec<isize>)]) -> Result<Block, Declined> {
    let differ = || declined(format!("batches divide differently: {lists:?}"));
    let count = lists.first().map_or(Some(1), |dims| checked_count(dims));
    if count.is_none_or(|n| n == 0) || lists.iter().any(|dims| checked_count(dims) != count) {
        return differ();
    }
    let mut cuts = BTreeSet::from([1]);
    for dims in lists {
        let mut below = 1;
        for n in dims.iter().rev() {
            below *= n;
            cuts.insert(below);
        }
    }
    let cuts: Vec<usize> = cuts.into_iter().collect();
    if cuts.windows(2).any(|pair| pair[1] % pair[0] != 0) {
        return differ();
    }
    let dims: Vec<usize> = cuts.windows(2).rev().map(|pair| pair[1] / pair[0]).collect();
    let of = |(list, strides): &(usize, Vec<isize>)| -> Vec<isize> {
        let at = |cut: usize| {
            let mut below = 1;
            for (n, step) in lists[*list].iter().zip(strides).rev() {
                if cut < below * n {
                    return step * (cut / below) as isize;
                }
                below *= n;
            }
            0
        };
        cuts.iter().rev().skip(1).map(|&cut| at(cut)).collect()
    };
    let strides: Vec<Vec<isize>> = strides.iter().map(of).collect();
    Ok(Block::new(&dims, &strides.iter().map(Vec::as_slice).collect::<Vec<_>>()))
}
