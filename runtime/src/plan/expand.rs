//! Composite tasks that the preferred device does not compute as a whole become their parts.

use std::collections::HashMap;
use std::sync::Arc;

use mindir_graph::Fact;
use mindir_graph::passes::Note;
use mindir_graph::task::{Source, TaskGraph, TaskNode, V};
use mindir_kernels::device::Device;

use super::place;

/// The name under which notes stand.
const NAME: &str = "expand";

/// Puts the parts of composite tasks in their place, where the first of the devices declines the whole.
pub(crate) fn expand(tasks: &mut TaskGraph, devices: &[Arc<dyn Device>], notes: &mut Vec<Note>) {
    let Some(preferred) = devices.first() else { return };
    let nodes = std::mem::take(&mut tasks.nodes);
    for node in nodes {
        let facts = |vs: &[V]| vs.iter().map(|v| tasks.fact(*v).clone()).collect::<Vec<Fact>>();
        let parts = node.task.expand(&facts(&node.ins), &facts(&node.outs));
        let declined = parts.zip(place::offer(tasks, &node, preferred.as_ref()).err());
        let Some((parts, reason)) = declined else {
            tasks.nodes.push(node);
            continue;
        };
        let why = format!("{} declines the whole: {reason}", preferred.name());
        notes.push(Note { pass: NAME, path: node.path.clone(), applied: true, why });
        splice(tasks, &node, parts);
    }
}

/// Appends the nodes of `parts` for `node`.
fn splice(tasks: &mut TaskGraph, node: &TaskNode, parts: TaskGraph) {
    let mut values: HashMap<V, V> = HashMap::new();
    values.extend(parts.inputs.iter().copied().zip(node.ins.iter().copied()));
    values.extend(parts.outputs.iter().copied().zip(node.outs.iter().copied()));
    for part in parts.nodes {
        let mut place = |v: &V| match values.get(v) {
            Some(known) => *known,
            None => {
                let new = tasks.value(parts.values[*v].fact.clone(), Source::Task);
                values.insert(*v, new);
                new
            }
        };
        let (ins, outs) = (part.ins.iter().map(&mut place).collect(), part.outs.iter().map(&mut place).collect());
        tasks.nodes.push(TaskNode { task: part.task, ins, outs, path: node.path.clone(), ops: node.ops.clone() });
    }
}
