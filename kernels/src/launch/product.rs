//! A product as libraries of matrices take it, and the launches that follow it.
//!
//! Libraries walk columns, tasks rows: a library is given `cᵀ = bᵀ · aᵀ`.

use mindir_graph::task::{Binary, Epilogue, EpilogueInput, Gemm, Instr, Map, Matrix, Task};
use mindir_graph::{DType, Fact, shape};

use super::block::Block;
use super::{Bound, Declined, Launch, Target, View, declined, kernel};
use crate::device::TaskView;

/// A matrix as a library sees it: `rows` are neighbours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Columns {
    pub(crate) rows: u64,
    pub(crate) cols: u64,
    /// Elements from one column to the next.
    pub(crate) ld: i64,
    /// Whether it is to be transposed.
    pub(crate) transposed: bool,
    /// Elements from one product to the next.
    pub(crate) stride: i64,
    /// Power of two that its first byte is a multiple of.
    pub(crate) alignment: u32,
}

/// A product as a library sees it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Form {
    /// Element type of the factors.
    pub(crate) dtype: DType,
    /// Element type of the result.
    pub(crate) out: DType,
    pub(crate) left: Columns,
    pub(crate) right: Columns,
    pub(crate) result: Columns,
    pub(crate) batches: i32,
    /// Whether factors of f32 may be rounded to tf32.
    pub(crate) tf32: bool,
    /// Whether a number is added for each row of the result.
    pub(crate) bias: bool,
}

/// What computes a task by way of a library.
#[derive(Debug)]
pub(crate) struct Product {
    pub(crate) form: Form,
    /// Left and right factor, result, and bias if there is one.
    pub(crate) bound: Vec<View>,
    /// What is done with the result.
    pub(crate) after: Vec<Launch>,
}

/// The task by way of a library, if one can take it.
///
/// # Errors
/// Why no library takes it.
pub(crate) fn product(task: &Gemm, view: TaskView<'_>, on: &Target) -> Result<Product, Declined> {
    let form = form(task, view)?;
    let starts =
        |bound, m: &Matrix, dtype: DType| View { of: bound, window: Some(((m.offset * dtype.size()) as u64, 0)) };
    let mut bound = vec![starts(Bound::In(1), &task.b, task.dtype), starts(Bound::In(0), &task.a, task.dtype)];
    let mut after = Vec::new();
    match &task.epilogue {
        Some(epilogue) if !form.bias => {
            let bytes = (task.batch_count() * task.m * task.n * task.out.size()) as u64;
            bound.push(Bound::Scratch(0, bytes).into());
            after = finish(task, epilogue, view, on, bytes)?;
        }
        _ => bound.push(starts(Bound::Out(0), &task.c, task.out)),
    }
    bound.extend(form.bias.then_some(View::from(Bound::In(2))));
    Ok(Product { form, bound, after })
}

fn form(task: &Gemm, view: TaskView<'_>) -> Result<Form, Declined> {
    let is_float = matches!(task.dtype, DType::F32 | DType::F16 | DType::BF16);
    if !is_float || !(task.out == task.dtype || task.out == DType::F32) {
        return declined("no library product of these types");
    }
    let bias = task.epilogue.as_ref().is_some_and(|e| adds_columns(e, task, view));
    if task.epilogue.is_some() && !bias && (task.out != DType::F32 || !task.is_dense()) {
        return declined("its epilogue needs sums of f32 in a dense result");
    }
    let elements = [task.m, task.n, task.batch_count()].iter().try_fold(1usize, |n, d| n.checked_mul(*d));
    if task.k == 0 || elements.is_none_or(|n| n == 0 || view.outs.first().is_none_or(|out| out.count() != n)) {
        return declined("it is empty, or does not write all of its result");
    }
    let block = Block::new(&task.batch, &[&task.a.batch, &task.b.batch, &task.c.batch]);
    let (&[batches], [Some(a), Some(b), Some(c)]) = (&block.dims[..], [0, 1, 2].map(|i| block.strides[i].first()))
    else {
        return declined("its products do not follow at even distances");
    };
    let columns = |m: &Matrix, rows, cols, stride: &isize, dtype: DType| {
        let found = columns(m, [rows, cols], *stride, dtype.size());
        found.map_or_else(|| declined("rows overlap, or are too long"), Ok)
    };
    let Ok(batches) = i32::try_from(batches) else { return declined("too many products") };
    let &Gemm { m, n, k, dtype, out, .. } = task;
    let tf32 = task.tf32 && dtype == DType::F32;
    let (left, right) = (columns(&task.b, k, n, b, dtype)?, columns(&task.a, m, k, a, dtype)?);
    Ok(Form { dtype, out, left, right, result: columns(&task.c, m, n, c, out)?, batches, tf32, bias })
}

/// A matrix of rows and columns as a library sees its transpose.
fn columns(m: &Matrix, [rows, cols]: [usize; 2], stride: isize, size: usize) -> Option<Columns> {
    let (along, across, ld, transposed) =
        if m.col == 1 { (cols, rows, m.row, false) } else { (rows, cols, m.col, true) };
    let small = |n: usize| i32::try_from(n).ok();
    let ld = if across == 1 { ld.max(along) } else { ld };
    if ld < along || (m.col != 1 && m.row != 1) {
        return None;
    }
    let zeros = (m.offset * size).trailing_zeros().min(8);
    Some(Columns {
        rows: small(along)?.try_into().ok()?,
        cols: small(across)?.try_into().ok()?,
        ld: small(ld)?.into(),
        transposed,
        stride: i64::try_from(stride).ok().filter(|s| *s >= 0)?,
        alignment: 1 << zeros,
    })
}

/// Whether an epilogue only adds one number for each column.
fn adds_columns(epilogue: &Epilogue, task: &Gemm, view: TaskView<'_>) -> bool {
    let [(Instr::Input(x), _), (Instr::Input(y), _), (Instr::Binary(Binary::Add, a, b), _)] =
        epilogue.program.instrs[..]
    else {
        return false;
    };
    let one_type = epilogue.program.instrs.iter().all(|(_, dtype)| *dtype == task.out);
    let given = view.ins.get(2).is_some_and(|fact| fact.dtype == task.out && fact.count() == task.n);
    let both = [[x, y], [a, b]].iter().all(|pair| *pair == [0, 1] || *pair == [1, 0]);
    both && one_type && given && epilogue.inputs == [EpilogueInput::Column]
}

/// The launches of an epilogue that reads the product from scratch.
fn finish(task: &Gemm, e: &Epilogue, view: TaskView<'_>, on: &Target, bytes: u64) -> Result<Vec<Launch>, Declined> {
    let (rows, cols) = (task.batch_count() * task.m, task.n);
    let mut ins = vec![Fact::new(task.out, &[rows, cols])];
    for (i, input) in e.inputs.iter().enumerate() {
        let Some(fact) = view.ins.get(i + 2) else { return declined(format!("operand {} is missing", i + 2)) };
        let dims = match input {
            EpilogueInput::Scalar => [1, 1],
            EpilogueInput::Column => [1, cols],
            EpilogueInput::Row => [rows, 1],
            EpilogueInput::Full => [rows, cols],
        };
        if fact.count() != dims[0] * dims[1] {
            return declined(format!(
                "operand {} has {} elements, expected {}",
                i + 2,
                fact.count(),
                dims[0] * dims[1]
            ));
        }
        ins.push(Fact::new(fact.dtype, &dims));
    }
    let outs: Vec<Fact> = view.outs.iter().map(|out| Fact::new(out.dtype, &[rows, cols])).collect();
    let map = Task::Map(Map { shape: shape(&[rows, cols]), program: e.program.clone() });
    let known = vec![false; ins.len()];
    let mut after = kernel(TaskView { task: &map, ins: &ins, known: &known, outs: &outs }, on)?.launches;
    for bound in after.iter_mut().flat_map(|launch| &mut launch.bound) {
        bound.of = match bound.of {
            Bound::In(0) if bound.window.is_none_or(|(first, _)| first == 0) => Bound::Scratch(0, bytes),
            Bound::In(0) | Bound::Scratch(..) => return declined("its epilogue takes parts"),
            Bound::In(i) => Bound::In(i + 1),
            of => of,
        };
    }
    Ok(after)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matrix(row: usize, col: usize) -> Matrix {
        Matrix { offset: 0, batch: Default::default(), row, col }
    }

    #[test]
    fn rows_become_columns() {
        let seen =
            |m: &Matrix, rows, cols| columns(m, [rows, cols], 0, 4).map(|c| (c.rows, c.cols, c.ld, c.transposed));
        assert_eq!(seen(&matrix(5, 1), 3, 5), Some((5, 3, 5, false)));
        assert_eq!(seen(&matrix(9, 1), 3, 5), Some((5, 3, 9, false)));
        assert_eq!(seen(&matrix(1, 3), 3, 5), Some((3, 5, 3, true)));
        assert_eq!(seen(&matrix(1, 1), 1, 5), Some((5, 1, 5, false)));
        assert_eq!(seen(&matrix(1, 1), 5, 1), Some((1, 5, 1, false)));
        assert_eq!(seen(&matrix(2, 1), 3, 5), None, "rows overlap");
        assert_eq!(seen(&matrix(10, 2), 3, 5), None);
        let at = |offset| columns(&Matrix { offset, ..matrix(5, 1) }, [3, 5], 0, 4).map(|c| c.alignment);
        assert_eq!([at(0), at(3), at(4), at(64), at(1024)], [256, 4, 16, 256, 256].map(Some));
    }
}
