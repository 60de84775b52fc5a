use super::{Aims, Editor, Notes, View, join, walk};
use crate::task::{EpilogueInput, Gemm, Matrix, Task, TaskGraph};
use crate::{Shape, Strides, dense_strides};

/// Lets matrix products read through transposes and slices of their operands and write through a transpose of their result.
/// Results keep their bits, but for the order in which a device sums what it reads with other strides.
pub(super) fn run(graph: &mut TaskGraph, notes: &mut Notes, _: &Aims) {
    walk(graph, notes, |editor, at, notes| {
        read_through(editor, at, 0, notes);
        read_through(editor, at, 1, notes);
        write_through(editor, at, notes);
    });
}

fn read_through(editor: &mut Editor<'_>, at: usize, operand: usize, notes: &mut Notes) {
    let Some(mut node) = editor.node(at).cloned() else { return };
    let Task::Gemm(gemm) = &mut node.task else { return };
    let Some(read) = node.ins.get_mut(operand) else { return };
    let Some(producer) = editor.producer(*read).and_then(|from| editor.node(from)) else { return };
    let Some((storage, view)) = View::of_copy(editor.graph(), producer) else { return };
    let (matrix, rows, cols) = match operand {
        0 => (&mut gemm.a, gemm.m, gemm.k),
        _ => (&mut gemm.b, gemm.k, gemm.n),
    };
    let Some(strided) = through(&gemm.batch, matrix, [rows, cols], &view) else {
        let why = format!("operand {operand} has no rows or columns without gaps before {}", producer.ops);
        notes.refused(&node.path, why);
        return;
    };
    *matrix = strided;
    *read = storage;
    notes.applied(&node.path, format!("operand {operand} reads through {} {}", producer.ops, producer.path));
    editor.replace(at, node);
}

/// A matrix of `rows × cols` in each batch of the elements of `view`, in the storage of that view.
pub(super) fn through(batch: &[usize], matrix: &Matrix, [rows, cols]: [usize; 2], view: &View) -> Option<Matrix> {
    let mut dims: Shape = batch.iter().copied().collect();
    dims.extend([rows, cols]);
    let mut strides = matrix.batch.clone();
    strides.extend([isize::try_from(matrix.row).ok()?, isize::try_from(matrix.col).ok()?]);
    let found = View { offset: matrix.offset, dims, strides }.through(view)?;
    if found.strides.iter().any(|&s| s < 0) {
        return None;
    }
    let [lead @ .., row, col] = found.strides.as_slice() else { return None };
    let (row, col) = steps([rows, cols], [row.unsigned_abs(), col.unsigned_abs()])?;
    Some(Matrix { batch: Strides::from_slice(lead), row, col, offset: found.offset })
}

/// The steps between rows and between columns of a matrix with these steps, as products take them: one of them is 1, and the
/// other steps over what it spans. A single row or column has no step of its own.
fn steps([rows, cols]: [usize; 2], [row, col]: [usize; 2]) -> Option<(usize, usize)> {
    match (rows > 1, cols > 1) {
        (false, false) => Some((1, 1)),
        (false, true) if col == 1 => Some((cols, 1)),
        (false, true) => (col > 1).then_some((1, col)),
        (true, false) => (row > 0).then_some((row, 1)),
        (true, true) => (col == 1 && row >= cols || row == 1 && col >= rows).then_some((row, col)),
    }
}

fn write_through(editor: &mut Editor<'_>, at: usize, notes: &mut Notes) {
    let Some(mut node) = editor.node(at).cloned() else { return };
    let Task::Gemm(gemm) = &mut node.task else { return };
    let &[out] = node.outs.as_slice() else { return };
    let Some(reader) = editor.only_reader(out) else {
        if editor.uses(out) > 1 {
            notes.refused(&node.path, format!("its result is read {} times", editor.uses(out)));
        }
        return;
    };
    let Some(copying) = editor.node(reader) else { return };
    let Some((_, view)) = View::of_copy(editor.graph(), copying) else { return };
    let Some(c) = written(gemm, &view) else {
        notes.refused(&node.path, format!("{} breaks up its rows", copying.ops));
        return;
    };
    gemm.c = c;
    notes.applied(&node.path, format!("writes through {} {}", copying.ops, copying.path));
    (node.outs, node.ops) = (copying.outs.clone(), join(&node.ops, &copying.ops));
    editor.remove(reader);
    editor.replace(at, node);
}

/// Where the elements of a product lie in the dense elements of `view`, which reads each of them once.
fn written(gemm: &Gemm, view: &View) -> Option<Matrix> {
    let full = gemm.epilogue.iter().flat_map(|e| &e.inputs).any(|i| *i == EpilogueInput::Full);
    if full || !gemm.is_dense() || view.offset != 0 {
        return None;
    }
    let mut dims: Shape = gemm.batch.clone();
    dims.extend([gemm.m, gemm.n]);
    let (from, to) = (dense_strides(&dims), dense_strides(&view.dims));
    // No two dimensions of the product with more than one element have the same stride, so that the dimensions of the view
    // that walk along each of them are all that it has, in another order.
    let step = |(n, from): (&usize, &isize)| match n {
        1 => Some(0),
        _ => {
            let mut walks = view.dims.iter().zip(&view.strides).zip(&to);
            walks.find(|(walk, _)| *walk == (n, from)).map(|(_, to)| *to)
        }
    };
    let strides: Strides = dims.iter().zip(&from).map(step).collect::<Option<_>>()?;
    let [batch @ .., row, col] = strides.as_slice() else { return None };
    let same = view.dims.iter().product::<usize>() == dims.iter().product::<usize>();
    let row = if gemm.m == 1 { gemm.n } else { usize::try_from(*row).ok()? };
    (same && (*col == 1 || gemm.n == 1)).then(|| Matrix { batch: Strides::from_slice(batch), row, col: 1, offset: 0 })
}
