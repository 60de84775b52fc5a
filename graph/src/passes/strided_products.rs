use super::{Notes, join};
use crate::task::{Matrix, Part, Source, Task, TaskGraph, V};
use crate::{Strides, dense_strides};

/// Lets matrix products read through transposes of their operands and write through a transpose of their result.
pub(super) fn run(graph: &mut TaskGraph, notes: &mut Notes) {
    let mut at = 0;
    while at < graph.nodes.len() {
        if matches!(graph.nodes[at].task, Task::Gemm(_)) {
            for operand in 0..2 {
                read_through(graph, at, operand, notes);
            }
            write_through(graph, at, notes);
        }
        at += 1;
    }
}

/// The only block of a copy whose output is dense and complete.
fn block(graph: &TaskGraph, at: usize) -> Option<Part> {
    let Task::Copy(copy) = &graph.nodes[at].task else { return None };
    let [part] = copy.parts.as_slice() else { return None };
    let dense = part.dst == dense_strides(&part.shape) && part.dst_offset == 0 && copy.fill.is_none();
    let positive = part.src.iter().all(|&s| s >= 0);
    (dense && positive).then(|| part.clone())
}

fn read_through(graph: &mut TaskGraph, at: usize, operand: usize, notes: &mut Notes) {
    let v = graph.nodes[at].ins[operand];
    let root = graph.root(v);
    let Some(from) = graph.nodes[..at].iter().position(|n| n.outs.contains(&root)) else { return };
    let Some(part) = block(graph, from) else { return };
    let Task::Gemm(gemm) = &graph.nodes[at].task else { return };
    let matrix = if operand == 0 { &gemm.a } else { &gemm.b };
    let path = graph.nodes[at].path.clone();
    let Some(strided) = through(matrix, &part, &graph.fact(v).shape) else {
        notes.refused(
            &path,
            format!("operand {operand} has no rows or columns without gaps before {}", graph.nodes[from].ops),
        );
        return;
    };
    notes.applied(
        &path,
        format!("operand {operand} reads through {} {}", graph.nodes[from].ops, graph.nodes[from].path),
    );
    let input = graph.nodes[from].ins[part.input];
    graph.nodes[at].ins[operand] = input;
    if let Task::Gemm(gemm) = &mut graph.nodes[at].task {
        *(if operand == 0 { &mut gemm.a } else { &mut gemm.b }) = strided;
    }
}

/// The layout of a matrix operand of shape `dims`, seen in the tensor that the copy reads.
fn through(matrix: &Matrix, part: &Part, dims: &[usize]) -> Option<Matrix> {
    if part.shape.as_slice() != dims || matrix.offset != 0 || dims.len() < 2 {
        return None;
    }
    let (last, batch_rank) = (dims.len() - 1, dims.len() - 2);
    let (r, c) = if matrix.col == 1 { (last - 1, last) } else { (last, last - 1) };
    let stride = |d: usize| usize::try_from(part.src[d]).ok();
    let (row, col) = (stride(r)?, stride(c)?);
    // A dimension of one element has no stride of its own.
    let (row, col) = match (dims[r], dims[c]) {
        (1, _) if row == 0 => (col.max(1) * dims[c], col.max(1)),
        (_, 1) if col == 0 => (row, 1),
        _ => (row, col),
    };
    let lead = matrix.batch.len().checked_sub(batch_rank)?;
    let dense = dense_strides(dims);
    let mut batch = Strides::new();
    for (i, &s) in matrix.batch.iter().enumerate() {
        let repeated = i < lead || s == 0;
        if !repeated && s != dense[i - lead] {
            return None;
        }
        batch.push(if repeated { 0 } else { part.src[i - lead] });
    }
    (row == 1 || col == 1).then_some(Matrix { batch, row, col, offset: part.src_offset })
}

fn write_through(graph: &mut TaskGraph, at: usize, notes: &mut Notes) {
    let out = graph.nodes[at].outs[0];
    let reads: usize = graph.uses()[out.0 as usize];
    let reader = graph.nodes.iter().skip(at + 1).position(|n| n.ins.iter().any(|v| graph.root(*v) == out));
    let Some(reader) = reader.map(|r| r + at + 1) else { return };
    let Some(part) = block(graph, reader) else { return };
    let path = graph.nodes[at].path.clone();
    if reads != 1 {
        notes.refused(&path, format!("its result is read {reads} times"));
        return;
    }
    let Some(c) = written(graph, at, reader, &part) else {
        notes.refused(&path, format!("{} breaks up its rows", graph.nodes[reader].ops));
        return;
    };
    notes.applied(&path, format!("writes through {} {}", graph.nodes[reader].ops, graph.nodes[reader].path));
    let target = graph.nodes[reader].outs[0];
    let ops = join(&graph.nodes[at].ops, &graph.nodes[reader].ops);
    if let Task::Gemm(gemm) = &mut graph.nodes[at].task {
        gemm.c = c;
    }
    let node = &mut graph.nodes[at];
    (node.outs, node.ops) = (vec![target], ops);
    graph.nodes.remove(reader);
}

/// The layout of the product in the copy's result.
fn written(graph: &TaskGraph, at: usize, reader: usize, part: &Part) -> Option<Matrix> {
    let Task::Gemm(gemm) = &graph.nodes[at].task else { return None };
    let v: V = graph.nodes[reader].ins[part.input];
    let dims = &graph.fact(v).shape;
    let full = |i: &crate::task::EpilogueInput| *i == crate::task::EpilogueInput::Full;
    if gemm.epilogue.as_ref().is_some_and(|e| e.inputs.iter().any(full)) || gemm.c.col != 1 || gemm.c.row != gemm.n {
        return None;
    }
    let mut want = gemm.batch.clone();
    want.extend([gemm.m, gemm.n]);
    let same_size = part.shape.iter().product::<usize>() == dims.iter().product::<usize>();
    if *dims != want || part.src_offset != 0 || !same_size || !matches!(graph.values[v.0 as usize].source, Source::Task)
    {
        return None;
    }
    // Where a step along each dimension of the product leads in the copy's result.
    let dense = dense_strides(dims);
    let to = |d: usize| match dims[d] {
        1 => Some(0),
        _ => (0..part.shape.len()).find(|&p| part.shape[p] == dims[d] && part.src[p] == dense[d]).map(|p| part.dst[p]),
    };
    let rank = dims.len();
    let batch: Strides = (0..rank - 2).map(to).collect::<Option<_>>()?;
    let row = usize::try_from(to(rank - 2)?).ok()?;
    let col = usize::try_from(to(rank - 1)?).ok()?;
    (col == 1 || gemm.n == 1).then_some(Matrix { batch, row, col: 1, offset: 0 })
}
