//! Checks that a task graph is well formed.

use crate::Table;
use crate::task::{Source, Task, TaskGraph, V};

/// What is wrong with a task graph, for the developer of a pass.
///
/// # Errors
/// The first violation: a value read before it is written, written twice, or an alias or operand of another size.
pub fn task_graph(graph: &TaskGraph) -> Result<(), String> {
    let mut written = graph.values.filled(false);
    for i in graph.values.ids() {
        let value = &graph.values[i];
        match &value.source {
            Source::Alias(of) if graph.fact(*of).bytes() != value.fact.bytes() => {
                return Err(format!("{i} {} is an alias of {} {}", value.fact, of, graph.fact(*of)));
            }
            Source::Const(t) if t.fact() != value.fact => {
                return Err(format!("{i} {} holds {}", value.fact, t.fact()));
            }
            _ => {}
        }
        written[i] = !matches!(value.source, Source::Task | Source::Alias(_));
    }
    let check = |written: &Table<V, bool>, v: V, by: &str| {
        if written[graph.root(v)] { Ok(()) } else { Err(format!("{v} is read by {by} before it is written")) }
    };
    for node in &graph.nodes {
        node.ins.iter().try_for_each(|v| check(&written, *v, &node.path))?;
        operands(graph, node).map_err(|e| format!("{} at {}: {e}", node.task.family(), node.path))?;
        for &o in &node.outs {
            if std::mem::replace(&mut written[o], true) {
                return Err(format!("{o} is written twice, again by {}", node.path));
            }
        }
    }
    let results = graph.outputs.iter().chain(graph.writes.iter().map(|(_, v)| v));
    results.into_iter().try_for_each(|v| check(&written, *v, "the results"))
}

fn operands(graph: &TaskGraph, node: &crate::task::TaskNode) -> Result<(), String> {
    let first = |vs: &[V], what: &str| vs.first().copied().ok_or(format!("{what} expected, found none"));
    let out = first(&node.outs, "a result")?;
    let want = |n: usize| {
        if node.ins.len() == n { Ok(()) } else { Err(format!("{n} operands expected, found {}", node.ins.len())) }
    };
    let count = |v: V, n: usize| {
        if graph.fact(v).count() == n { Ok(()) } else { Err(format!("{n} elements expected, found {}", graph.fact(v))) }
    };
    match &node.task {
        Task::Map(m) => {
            want(m.program.input_count().max(node.ins.len()))?;
            if m.shape.iter().product::<usize>() != graph.fact(out).count() {
                return Err(format!("map over {:?} writes {}", m.shape, graph.fact(out)));
            }
            for v in &node.ins {
                if crate::broadcast_strides(&graph.fact(*v).shape, &m.shape).is_none() {
                    return Err(format!("{} does not broadcast to {:?}", graph.fact(*v), m.shape));
                }
            }
            Ok(())
        }
        Task::Gemm(g) => {
            want(2 + g.epilogue.as_ref().map_or(0, |e| e.inputs.len()))?;
            count(out, g.batch_count() * g.m * g.n)
        }
        Task::Conv(c) => {
            want(2 + usize::from(c.scaled) + c.epilogue.as_ref().map_or(0, |e| e.inputs.len()))?;
            count(first(&node.ins, "an operand")?, c.n * c.c_in * c.h * c.w)?;
            count(out, c.n * c.c_out * c.out_h * c.out_w)
        }
        Task::Pool(p) => {
            count(first(&node.ins, "an operand")?, p.n * p.c * p.h * p.w)?;
            count(out, p.n * p.c * p.out_h * p.out_w)
        }
        Task::Reduce(r) => {
            count(first(&node.ins, "an operand")?, r.outer * r.len * r.inner)?;
            count(out, r.outer * r.inner)
        }
        _ => Ok(()),
    }
}
