use super::{Notes, join, merge_inputs};
use crate::broadcast;
use crate::task::{Map, Task, TaskGraph, V};

/// Longest program and most operands that fusion makes.
const MAX_INSTRS: usize = 40;
const MAX_INPUTS: usize = 8;

/// Joins a map with the map that alone reads its result.
pub(super) fn run(graph: &mut TaskGraph, notes: &mut Notes) {
    merge_all(graph);
    let mut at = 0;
    while at < graph.nodes.len() {
        if !fuse_at(graph, at, notes) {
            at += 1;
        } else {
            at = at.saturating_sub(1);
        }
    }
}

fn merge_all(graph: &mut TaskGraph) {
    for node in &mut graph.nodes {
        if let Task::Map(map) = &mut node.task {
            (map.program, node.ins) = merge_inputs(&map.program, &node.ins);
        }
    }
}

/// Joins the map at `at` with one of its producers. The producer is removed.
fn fuse_at(graph: &mut TaskGraph, at: usize, notes: &mut Notes) -> bool {
    let Task::Map(_) = &graph.nodes[at].task else { return false };
    let uses = graph.uses();
    for input in 0..graph.nodes[at].ins.len() {
        let v = graph.nodes[at].ins[input];
        let root = graph.root(v);
        let Some(from) = graph.nodes[..at].iter().rposition(|n| n.outs.contains(&root)) else { continue };
        if !matches!(graph.nodes[from].task, Task::Map(_)) {
            continue;
        }
        if uses[root.0 as usize] != 1 {
            let path = graph.nodes[from].path.clone();
            notes.refused(&path, format!("{} is read {} times", graph.nodes[from].ops, uses[root.0 as usize]));
            continue;
        }
        match joined(graph, from, at, input) {
            Ok((map, ins)) => {
                let path = graph.nodes[at].path.clone();
                notes.applied(&path, format!("joined with {} {}", graph.nodes[from].ops, graph.nodes[from].path));
                graph.nodes[at].ops = join(&graph.nodes[from].ops, &graph.nodes[at].ops);
                graph.nodes[at].task = Task::Map(map);
                graph.nodes[at].ins = ins;
                graph.nodes.remove(from);
                return true;
            }
            Err(why) => {
                let path = graph.nodes[from].path.clone();
                notes.refused(&path, why);
            }
        }
    }
    false
}

/// The map that computes both, and its operands.
fn joined(graph: &mut TaskGraph, from: usize, at: usize, input: usize) -> Result<(Map, Vec<V>), String> {
    let (Task::Map(first), Task::Map(second)) = (graph.nodes[from].task.clone(), graph.nodes[at].task.clone()) else {
        return Err("not two maps".into());
    };
    let total: usize = second.shape.iter().product();
    if first.shape.iter().product::<usize>() != total {
        return Err("its result is broadcast".into());
    }
    let (first_ins, second_ins) = (graph.nodes[from].ins.clone(), graph.nodes[at].ins.clone());
    let shape = if first.shape == second.shape || flat(graph, &first_ins, total) {
        second.shape.clone()
    } else if flat(graph, &second_ins, total) {
        first.shape.clone()
    } else {
        return Err(format!(
            "shapes {:?} and {:?} with broadcast operands",
            first.shape.as_slice(),
            second.shape.as_slice()
        ));
    };
    // Operands of the first map keep their numbers, those of the second follow.
    let n = first_ins.len();
    let renumber: Vec<usize> = (0..n).collect();
    let keep: Vec<usize> = (n..n + second_ins.len()).collect();
    let program = second.program.compose(input, &first.program, &renumber, &keep);
    let ins: Vec<V> = first_ins.iter().chain(&second_ins).map(|v| fit(graph, *v, &shape)).collect();
    let (program, ins) = merge_inputs(&program, &ins);
    let (program, ins) = drop_unread(program, ins);
    if program.instrs.len() > MAX_INSTRS || ins.len() > MAX_INPUTS {
        return Err(format!("{} instructions over {} operands are too many", program.instrs.len(), ins.len()));
    }
    Ok((Map { shape, program }, ins))
}

/// Whether every operand has either one element or all of them, so that only the order of elements matters.
fn flat(graph: &TaskGraph, ins: &[V], total: usize) -> bool {
    ins.iter().all(|v| matches!(graph.fact(*v).count(), n if n == 1 || n == total))
}

/// `v` with a shape that broadcasts to `shape`: a full operand takes the shape itself, a single element none.
fn fit(graph: &mut TaskGraph, v: V, shape: &[usize]) -> V {
    let fact = graph.fact(v).clone();
    if broadcast(&fact.shape, shape).as_deref() == Some(shape) {
        return v;
    }
    let dims: &[usize] = if fact.count() == 1 { &[] } else { shape };
    let known = graph.values.iter().position(|x| {
        matches!(x.source, crate::task::Source::Alias(of) if of == graph.root(v)) && x.fact.shape.as_slice() == dims
    });
    match known {
        Some(i) => V(i as u32),
        None => {
            let root = graph.root(v);
            graph.value(crate::Fact::new(fact.dtype, dims), crate::task::Source::Alias(root))
        }
    }
}

/// Removes operands that the program no longer reads.
fn drop_unread(mut program: crate::task::Program, ins: Vec<V>) -> (crate::task::Program, Vec<V>) {
    use crate::task::Instr;
    let mut number = vec![None; ins.len()];
    let mut kept = Vec::new();
    for (instr, _) in &mut program.instrs {
        if let Instr::Input(i) = instr {
            let new = *number[*i].get_or_insert_with(|| {
                kept.push(ins[*i]);
                kept.len() - 1
            });
            *i = new;
        }
    }
    (program, kept)
}
