use super::{Notes, Reading, join, merge_inputs, reading};
use crate::task::{Epilogue, EpilogueInput, Instr, Layout, Map, Program, Task, TaskGraph, V};

/// Moves a map that alone reads the result of a product or convolution into its epilogue.
pub(super) fn run(graph: &mut TaskGraph, notes: &mut Notes) {
    let mut at = 0;
    while at < graph.nodes.len() {
        // The joined task takes the map's place, so the same position may hold the next product.
        if !fuse_at(graph, at, notes) {
            at += 1;
        }
    }
}

fn fuse_at(graph: &mut TaskGraph, at: usize, notes: &mut Notes) -> bool {
    if !matches!(graph.nodes[at].task, Task::Gemm(_) | Task::Conv(_)) {
        return false;
    }
    let out = graph.nodes[at].outs[0];
    let uses = graph.uses()[out.0 as usize];
    let reader = graph.nodes.iter().skip(at + 1).position(|n| n.ins.iter().any(|v| graph.root(*v) == out));
    let Some(reader) = reader.map(|r| r + at + 1) else { return false };
    let path = graph.nodes[at].path.clone();
    let Task::Map(map) = graph.nodes[reader].task.clone() else { return false };
    if uses != 1 {
        notes.refused(&path, format!("its result is read {uses} times"));
        return false;
    }
    match fused(graph, at, reader, &map) {
        Ok((task, ins)) => {
            notes.applied(&path, format!("took over {} {}", graph.nodes[reader].ops, graph.nodes[reader].path));
            let ops = join(&graph.nodes[at].ops, &graph.nodes[reader].ops);
            let node = &mut graph.nodes[reader];
            (node.task, node.ins, node.ops, node.path) = (task, ins, ops, path);
            graph.nodes.remove(at);
            true
        }
        Err(why) => {
            notes.refused(&path, why);
            false
        }
    }
}

/// The product with the map in its epilogue, and its operands.
fn fused(graph: &TaskGraph, at: usize, reader: usize, map: &Map) -> Result<(Task, Vec<V>), String> {
    let node = &graph.nodes[at];
    let out = node.outs[0];
    let fact = graph.fact(out);
    let plain = graph.nodes[reader].ins.iter().all(|v| graph.fact(*v).dtype == fact.dtype)
        && map.program.dtype() == Some(fact.dtype)
        && map.program.instrs.iter().all(|(_, d)| *d == fact.dtype || *d == crate::DType::Bool);
    if !plain {
        return Err("the map works on other element types".into());
    }
    if map.shape.iter().product::<usize>() != fact.count() {
        return Err("its result is broadcast".into());
    }
    let (map_program, map_ins) = merge_inputs(&map.program, &graph.nodes[reader].ins);
    let product = map_ins.iter().position(|v| graph.root(*v) == out).ok_or("the map does not read it")?;
    let old = match &node.task {
        Task::Gemm(g) => g.epilogue.clone(),
        Task::Conv(c) => c.epilogue.clone(),
        _ => None,
    };
    let mut inputs = old.as_ref().map_or(Vec::new(), |e| e.inputs.clone());
    let before = old.map_or_else(|| identity(fact.dtype), |e| e.program);
    // Program inputs: 0 is the product, then the old operands, then the map's others.
    let renumber: Vec<usize> = (0..=inputs.len()).collect();
    let mut keep = vec![0; map_ins.len()];
    let mut extra = Vec::new();
    for (i, v) in map_ins.iter().enumerate() {
        if i != product {
            inputs.push(operand(graph, &node.task, &map.shape, *v)?);
            keep[i] = inputs.len();
            extra.push(*v);
        }
    }
    let program = map_program.compose(product, &before, &renumber, &keep);
    let epilogue = Some(Epilogue { program, inputs });
    let mut task = node.task.clone();
    match &mut task {
        Task::Gemm(g) => g.epilogue = epilogue,
        Task::Conv(c) => c.epilogue = epilogue,
        _ => return Err("not a product".into()),
    }
    Ok((task, node.ins.iter().copied().chain(extra).collect()))
}

fn identity(dtype: crate::DType) -> Program {
    Program { instrs: vec![(Instr::Input(0), dtype)] }
}

/// How the product's epilogue reads an operand of the map.
fn operand(graph: &TaskGraph, task: &Task, shape: &[usize], v: V) -> Result<EpilogueInput, String> {
    let from = &graph.fact(v).shape;
    let found = match task {
        Task::Gemm(g) => {
            let dense = g.c.row == g.n;
            reading(from, shape, g.n).filter(|r| dense || *r != Reading::Full)
        }
        Task::Conv(c) if c.layout == Layout::Nhwc => reading(from, shape, c.c_out),
        // Channels are not the last dimension: `[c, 1, 1]` seen from `[n, c, h, w]` is one element per column.
        Task::Conv(c) => match (from.as_slice(), shape.len()) {
            (s, _) if s.iter().product::<usize>() == shape.iter().product() => Some(Reading::Full),
            (s, _) if s.iter().product::<usize>() == 1 => Some(Reading::Scalar),
            ([1, n, 1, 1] | [n, 1, 1], 4) if *n == c.c_out && shape[1] == c.c_out => Some(Reading::Column),
            _ => None,
        },
        _ => None,
    };
    match found {
        Some(Reading::Scalar) => Ok(EpilogueInput::Scalar),
        Some(Reading::Column) => Ok(EpilogueInput::Column),
        Some(Reading::Row) => Ok(EpilogueInput::Row),
        Some(Reading::Full) => Ok(EpilogueInput::Full),
        None => Err(format!("operand {:?} is neither a row, a column nor full in {shape:?}", from.as_slice())),
    }
}
