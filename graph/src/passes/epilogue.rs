use super::{Aims, Editor, MAX_INPUTS, MAX_INSTRS, Notes, join, merge_inputs, walk};
use crate::task::{Epilogue, EpilogueInput, Instr, Layout, Map, Program, Task, TaskGraph, TaskNode, V};
use crate::{DType, Strides, broadcast_strides, dense_strides};

/// Moves a map that alone reads the result of a product or convolution into its epilogue. Results keep their bits: the
/// epilogue's program rounds the sum, and every step, to the types that they had as tasks.
pub(super) fn run(graph: &mut TaskGraph, notes: &mut Notes, _: &Aims) {
    // The joined task takes the map's place, so that its own reader is tried when the walk comes there.
    walk(graph, notes, fuse);
}

/// Moves the map that alone reads the result of the product at `at` into its epilogue.
pub(super) fn fuse(editor: &mut Editor<'_>, at: usize, notes: &mut Notes) {
    let Some(node) = editor.node(at).filter(|n| matches!(n.task, Task::Gemm(_) | Task::Conv(_))) else { return };
    let &[out] = node.outs.as_slice() else { return };
    let Some(at_reader) = editor.only_reader(out) else {
        if editor.uses(out) > 1 {
            notes.refused(&node.path, format!("its result is read {} times", editor.uses(out)));
        }
        return;
    };
    let Some(reader) = editor.node(at_reader) else { return };
    let Task::Map(map) = &reader.task else { return };
    match fused(editor.graph(), node, out, map, &reader.ins) {
        Ok((task, ins)) => {
            notes.applied(&node.path, format!("took over {} {}", reader.ops, reader.path));
            let ops = join(&node.ops, &reader.ops);
            let joined = TaskNode { task, ins, outs: reader.outs.clone(), path: node.path.clone(), ops };
            editor.remove(at);
            editor.replace(at_reader, joined);
        }
        Err(why) => notes.refused(&node.path, why),
    }
}

/// The product `out` with the map in its epilogue, and its operands.
fn fused(graph: &TaskGraph, node: &TaskNode, out: V, map: &Map, ins: &[V]) -> Result<(Task, Vec<V>), String> {
    let fact = graph.fact(out);
    let fits = |dtype: DType| dtype == fact.dtype || is_narrow_float(dtype) && is_narrow_float(fact.dtype);
    let plain = ins.iter().all(|v| fits(graph.fact(*v).dtype))
        && map.program.dtype().is_some_and(fits)
        && map.program.instrs.iter().all(|(_, d)| fits(*d) || *d == DType::Bool);
    if !plain {
        return Err("the map works on other element types".into());
    }
    if map.shape.iter().product::<usize>() != fact.count() {
        return Err("its result is broadcast".into());
    }
    let (map_program, map_ins) = merge_inputs(graph, &map.program, ins);
    let product = map_ins.iter().position(|v| graph.root(*v) == out).ok_or("the map does not read it")?;
    let old = match &node.task {
        Task::Gemm(g) => g.epilogue.as_ref(),
        Task::Conv(c) => c.epilogue.as_ref(),
        _ => None,
    };
    let mut inputs = old.map_or(Vec::new(), |e| e.inputs.clone());
    let before = old.map_or_else(|| identity(fact.dtype), |e| e.program.clone());
    // Program inputs: 0 is the product, then the old operands, then the map's others.
    let renumber: Vec<usize> = (0..=inputs.len()).collect();
    let mut keep = Vec::with_capacity(map_ins.len());
    let mut extra = Vec::new();
    for (i, v) in map_ins.iter().enumerate() {
        if i != product {
            inputs.push(operand(&node.task, &map.shape, &graph.fact(*v).shape)?);
            extra.push(*v);
        }
        keep.push(inputs.len());
    }
    let program = map_program.compose(product, &before, &renumber, &keep);
    if program.instrs.len() > MAX_INSTRS || inputs.len() > MAX_INPUTS {
        return Err(format!("{} instructions over {} operands are too many", program.instrs.len(), inputs.len()));
    }
    let epilogue = Some(Epilogue { program, inputs });
    let mut task = node.task.clone();
    match &mut task {
        Task::Gemm(g) => g.epilogue = epilogue,
        Task::Conv(c) => c.epilogue = epilogue,
        _ => return Err("not a product".into()),
    }
    Ok((task, node.ins.iter().copied().chain(extra).collect()))
}

/// Whether epilogues compute in a type next to the others of this kind.
fn is_narrow_float(dtype: DType) -> bool {
    matches!(dtype, DType::F16 | DType::BF16 | DType::F32)
}

fn identity(dtype: DType) -> Program {
    Program { instrs: vec![(Instr::Input(0), dtype)] }
}

/// How the product's epilogue reads an operand of shape `from` of a map that walks the product's elements as `shape`.
fn operand(task: &Task, shape: &[usize], from: &[usize]) -> Result<EpilogueInput, String> {
    if from.iter().product::<usize>() == 1 {
        return Ok(EpilogueInput::Scalar);
    }
    let strides = broadcast_strides(from, shape);
    let found = strides.and_then(|s| kinds(task).into_iter().find(|(_, walk)| walk.describes(shape, &s)));
    found
        .map(|(kind, _)| kind)
        .ok_or_else(|| format!("operand {from:?} is neither a row, a column nor full in {shape:?}"))
}

/// The elements that an epilogue reads for the elements of a product in the order in which they are stored.
struct Walk {
    /// The dimensions of the product.
    dims: Vec<usize>,
    /// The step that a step along each of them makes in the operand.
    steps: Vec<isize>,
}

/// The kinds of operands that the epilogue of a product can have, with what they read.
fn kinds(task: &Task) -> Vec<(EpilogueInput, Walk)> {
    use EpilogueInput::{Column, Full, Row};
    let walk = |dims: &[usize], steps: &[usize]| Walk {
        dims: dims.to_vec(),
        steps: steps.iter().map(|&s| s as isize).collect(),
    };
    match task {
        Task::Gemm(g) if g.is_dense() => {
            let dims = [g.batch_count() * g.m, g.n];
            vec![(Column, walk(&dims, &[0, 1])), (Row, walk(&dims, &[1, 0])), (Full, walk(&dims, &[g.n, 1]))]
        }
        Task::Conv(c) => {
            let pixels = c.out_h * c.out_w;
            let (dims, column, full) = match c.layout {
                Layout::Nchw => ([c.n, c.c_out, pixels], [0, 1, 0], [c.c_out * pixels, pixels, 1]),
                Layout::Nhwc => ([c.n, pixels, c.c_out], [0, 0, 1], [pixels * c.c_out, c.c_out, 1]),
            };
            vec![(Column, walk(&dims, &column)), (Full, walk(&dims, &full))]
        }
        _ => Vec::new(),
    }
}

impl Walk {
    /// Whether an operand with `strides` over a map of `shape` reads, for every element, what this walk reads: each
    /// dimension of the map lies inside one of the product and makes as large a step.
    fn describes(&self, shape: &[usize], strides: &Strides) -> bool {
        let (places, dense) = (dense_strides(shape), dense_strides(&self.dims));
        let places = shape.iter().zip(strides).zip(&places).filter(|((len, _), _)| **len != 1);
        places.into_iter().all(|((&len, &stride), &step)| {
            let end = step * len as isize;
            let own = self.dims.iter().zip(&dense).zip(&self.steps);
            own.map(|((dim, dense), by)| (*dim, *dense, *by))
                .find(|&(dim, dense, _)| dim != 1 && step >= dense && end <= dense * dim as isize && step % dense == 0)
                .is_some_and(|(_, dense, by)| stride == step / dense * by)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::shape;
    use crate::task::{Conv, Gemm, Matrix};

    fn gemm(m: usize, n: usize) -> Task {
        let matrix = |row| Matrix { batch: Strides::new(), row, col: 1, offset: 0 };
        let (a, b, c) = (matrix(1), matrix(n), matrix(n));
        Task::Gemm(Gemm {
            batch: shape(&[]),
            m,
            n,
            k: 1,
            a,
            b,
            c,
            dtype: DType::F32,
            out: DType::F32,
            tf32: false,
            epilogue: None,
        })
    }

    fn conv(n: usize, c_out: usize, out_h: usize, out_w: usize, layout: Layout) -> Task {
        let (kernel, stride, dilation) = ([1; 2], [1; 2], [1; 2]);
        let (c_in, h, w, pads, groups, scaled) = (1, out_h, out_w, [0; 4], 1, false);
        let dtype = DType::F32;
        let epilogue = None;
        Task::Conv(Conv {
            n,
            c_in,
            h,
            w,
            c_out,
            out_h,
            out_w,
            kernel,
            stride,
            dilation,
            pads,
            groups,
            layout,
            dtype,
            out: dtype,
            tf32: false,
            scaled,
            epilogue,
        })
    }

    #[test]
    fn operands_are_read_by_the_dimensions_of_the_product() {
        use EpilogueInput::{Column, Full, Row, Scalar};
        let conv = |layout| conv(2, 4, 2, 2, layout);
        for (task, shape, from, want) in [
            (gemm(6, 5), &[2, 3, 5][..], &[5][..], Some(Column)),
            (gemm(2, 15), &[2, 3, 5], &[1, 3, 5], Some(Column)),
            (gemm(6, 5), &[2, 3, 5], &[2, 3, 1], Some(Row)),
            (gemm(6, 5), &[2, 3, 5], &[2, 1, 1], None),
            (gemm(6, 5), &[2, 3, 5], &[3, 1], None),
            (gemm(6, 5), &[2, 3, 5], &[1], Some(Scalar)),
            (gemm(6, 5), &[2, 3, 5], &[2, 3, 5], Some(Full)),
            (gemm(10, 3), &[2, 3, 5], &[5], None),
            (gemm(4, 6), &[4, 2, 3], &[3], None),
            (gemm(5, 5), &[5, 5], &[5, 1], Some(Row)),
            (conv(Layout::Nchw), &[2, 4, 2, 2], &[4, 1, 1], Some(Column)),
            (conv(Layout::Nchw), &[2, 4, 4], &[4, 1], Some(Column)),
            (conv(Layout::Nchw), &[2, 4, 4], &[1, 4], None),
            (conv(Layout::Nchw), &[4, 4, 2], &[4, 1, 1], None),
            (conv(Layout::Nchw), &[4, 4, 2], &[4, 2], None),
            (conv(Layout::Nchw), &[2, 2, 2, 4], &[2, 2, 1], Some(Column)),
            (conv(Layout::Nchw), &[2, 4, 2, 2], &[2, 4, 2, 2], Some(Full)),
            (conv(Layout::Nhwc), &[2, 2, 2, 4], &[4], Some(Column)),
            (conv(Layout::Nhwc), &[2, 4, 4], &[4, 1], None),
        ] {
            assert_eq!(operand(&task, shape, from).ok(), want, "{from:?} in {shape:?}");
        }
    }
}
