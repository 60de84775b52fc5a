use super::{Aims, Editor, MAX_INPUTS, MAX_INSTRS, Notes, join, merge_inputs, walk};
use crate::broadcast;
use crate::task::{Instr, Map, Program, Task, TaskGraph, TaskNode, V};

/// Joins a map with the map that alone reads its result. Results keep their bits: the joined program rounds every step to the
/// type that it had as a task.
pub(super) fn run(graph: &mut TaskGraph, notes: &mut Notes, _: &Aims) {
    let mut nodes = std::mem::take(&mut graph.nodes);
    for node in &mut nodes {
        let Task::Map(map) = &mut node.task else { continue };
        (map.program, node.ins) = merge_inputs(graph, &map.program, &node.ins);
    }
    graph.nodes = nodes;
    walk(graph, notes, |editor, at, notes| while fuse(editor, at, notes) {});
}

/// Joins the map at `at` with one of its producers, which is removed.
pub(super) fn fuse(editor: &mut Editor<'_>, at: usize, notes: &mut Notes) -> bool {
    let Some(node) = editor.node(at).filter(|n| matches!(n.task, Task::Map(_))).cloned() else { return false };
    let mut refused = Vec::new();
    for (input, v) in node.ins.iter().enumerate() {
        let Some(from) = editor.producer(*v) else { continue };
        let Some(first) = editor.node(from).filter(|n| matches!(n.task, Task::Map(_))).cloned() else { continue };
        let joined = match editor.uses(*v) {
            1 => joined(editor, &first, &node, input),
            n => Err(format!("{} is read {n} times", first.ops)),
        };
        match joined {
            Ok((map, ins)) => {
                notes.applied(&node.path, format!("joined with {} {}", first.ops, first.path));
                let ops = join(&first.ops, &node.ops);
                editor.remove(from);
                editor.replace(at, TaskNode { task: Task::Map(map), ins, ops, ..node });
                return true;
            }
            Err(why) => refused.push((first.path, why)),
        }
    }
    refused.into_iter().for_each(|(path, why)| notes.refused(&path, why));
    false
}

/// The map that computes both, and its operands.
fn joined(editor: &mut Editor<'_>, from: &TaskNode, at: &TaskNode, input: usize) -> Result<(Map, Vec<V>), String> {
    let (Task::Map(first), Task::Map(second)) = (&from.task, &at.task) else { return Err("not two maps".into()) };
    let total: usize = second.shape.iter().product();
    if first.shape.iter().product::<usize>() != total {
        return Err("its result is broadcast".into());
    }
    let shape = if first.shape == second.shape || flat(editor, &from.ins, total) {
        &second.shape
    } else if flat(editor, &at.ins, total) {
        &first.shape
    } else {
        return Err(format!(
            "shapes {:?} and {:?} with broadcast operands",
            first.shape.as_slice(),
            second.shape.as_slice()
        ));
    };
    // Operands of the first map keep their numbers, those of the second follow.
    let n = from.ins.len();
    let renumber: Vec<usize> = (0..n).collect();
    let keep: Vec<usize> = (n..n + at.ins.len()).collect();
    let program = second.program.compose(input, &first.program, &renumber, &keep);
    let ins: Vec<V> = from.ins.iter().chain(&at.ins).map(|v| fit(editor, *v, shape)).collect();
    let (program, ins) = merge_inputs(editor.graph(), &program, &ins);
    let (program, ins) = drop_unread(program, ins);
    if program.instrs.len() > MAX_INSTRS || ins.len() > MAX_INPUTS {
        return Err(format!("{} instructions over {} operands are too many", program.instrs.len(), ins.len()));
    }
    Ok((Map { shape: shape.clone(), program }, ins))
}

/// Whether every operand has either one element or all of them, so that only the order of elements matters.
fn flat(editor: &Editor<'_>, ins: &[V], total: usize) -> bool {
    ins.iter().all(|v| matches!(editor.fact(*v).count(), n if n == 1 || n == total))
}

/// `v` with a shape that broadcasts to `shape`: a full operand takes the shape itself, a single element none.
fn fit(editor: &mut Editor<'_>, v: V, shape: &[usize]) -> V {
    let fact = editor.fact(v);
    if broadcast(&fact.shape, shape).as_deref() == Some(shape) {
        return v;
    }
    let dims: &[usize] = if fact.count() == 1 { &[] } else { shape };
    editor.alias(v, dims)
}

/// Removes operands that the program no longer reads.
pub(super) fn drop_unread(mut program: Program, ins: Vec<V>) -> (Program, Vec<V>) {
    let mut read: Vec<usize> = Vec::new();
    for (instr, _) in &mut program.instrs {
        if let Instr::Input(i) = instr {
            *i = read.iter().position(|r| r == i).unwrap_or_else(|| {
                read.push(*i);
                read.len() - 1
            });
        }
    }
    let kept = read.iter().filter_map(|i| ins.get(*i).copied()).collect();
    (program, kept)
}
