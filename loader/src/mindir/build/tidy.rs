//! The last step of a graph: what nobody needs goes, and values are numbered again.

use mindir_graph::Table;
use mindir_graph::graph::{Graph, Node, ValueId};

/// `graph` without nodes whose results nobody needs, unless they have effects, and without values that are left over.
pub(super) fn tidy(graph: Graph, effects: &[bool]) -> Graph {
    let mut needed = vec![false; graph.values.len()];
    let need = |needed: &mut Vec<bool>, value: ValueId| {
        if let Some(flag) = needed.get_mut(value.0 as usize) {
            *flag = true;
        }
    };
    graph.outputs.iter().chain(&graph.inputs).for_each(|value| need(&mut needed, *value));
    let mut kept: Vec<Node> = Vec::with_capacity(graph.nodes.len());
    for (node, effect) in graph.nodes.into_iter().zip(effects).rev() {
        let used = node.outputs.iter().any(|value| needed.get(value.0 as usize) == Some(&true));
        if used || *effect {
            node.outputs.iter().for_each(|value| need(&mut needed, *value));
            node.each_input(&mut |value| need(&mut needed, value));
            kept.push(node);
        }
    }
    kept.reverse();
    let mut numbers = vec![ValueId(0); needed.len()];
    let mut values = Table::default();
    for ((value, needed), number) in Vec::from(graph.values).into_iter().zip(needed).zip(&mut numbers) {
        if needed {
            *number = values.add(value);
        }
    }
    let number = |value: ValueId| numbers.get(value.0 as usize).copied().unwrap_or(value);
    for node in &mut kept {
        node.map_inputs(&mut |value| number(value));
        node.outputs.iter_mut().for_each(|value| *value = number(*value));
    }
    let rename = |list: Vec<ValueId>| list.into_iter().map(number).collect();
    let (inputs, outputs) = (rename(graph.inputs), rename(graph.outputs));
    Graph { values, nodes: kept, inputs, outputs, ..graph }
}
