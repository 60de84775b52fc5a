//! A model computed node by node, by its operators' references.

use std::collections::HashMap;

use mindir_graph::Tensor;
use mindir_graph::graph::{Arg, Def, Graph, Model, Node, NodeKind, ValueId};
use mindir_graph::lower::run_node;
use mindir_graph::op::{Effect, Writes};

/// The results of a straight-line model. `params` are its parameters in order, of which those that it writes change.
///
/// # Errors
/// The first operator's complaint; control flow.
pub fn run(model: &Model, inputs: &[Tensor], params: &mut [Tensor]) -> Result<Vec<Tensor>, String> {
    let mut model = model.clone();
    for (param, held) in model.params.iter_mut().zip(&*params) {
        // References know the contents of what no one writes.
        param.mutable = false;
        param.tensor = held.clone();
    }
    let given = model.entry().inputs.iter().copied().zip(inputs.iter().cloned());
    let mut values: HashMap<ValueId, Tensor> = given.collect();
    for i in 0..model.entry().nodes.len() {
        for (param, new) in step(&model, &model.entry().nodes[i], &mut values)? {
            model.params[param].tensor = new.clone();
            params[param] = new;
        }
    }
    let graph = model.entry();
    graph.outputs.iter().map(|v| read(graph, &values, params, *v)).collect()
}

/// Adds the results of a node to `values`, and gives the new contents of parameters.
fn step(model: &Model, node: &Node, values: &mut HashMap<ValueId, Tensor>) -> Result<Vec<(usize, Tensor)>, String> {
    if !matches!(node.kind, NodeKind::Op(_)) {
        return Err(format!("{} is control flow", node.path));
    }
    let mut reads = HashMap::new();
    node.each_input(&mut |v| reads.extend(values.get(&v).map(|t| (v, t.clone()))));
    let results = run_node(model, model.entry(), node, &reads).map_err(|e| e.to_string())?;
    let news = written(model.entry(), node).filter_map(|(p, i)| Some((p, results.get(i)?.clone()))).collect();
    values.extend(node.outputs.iter().copied().zip(results));
    Ok(news)
}

/// The parameters that a node writes, and which of its values they take.
fn written<'a>(graph: &'a Graph, node: &'a Node) -> impl Iterator<Item = (usize, usize)> + 'a {
    let writes = if let Effect::Writes(writes) = node.effect() { writes } else { Writes::results(&[]) };
    writes.pairs().filter_map(|(arg, value)| match node.args.get(arg) {
        Some(Some(Arg::Value(v))) => match graph.value(*v).def {
            Def::Param(p) => Some((p, value)),
            _ => None,
        },
        _ => None,
    })
}

/// What a value of a graph holds after a run: `values` has what was given and computed.
pub(crate) fn read(
    graph: &Graph,
    values: &HashMap<ValueId, Tensor>,
    params: &[Tensor],
    v: ValueId,
) -> Result<Tensor, String> {
    match &graph.value(v).def {
        Def::Const(t) => Ok(t.clone()),
        Def::Param(p) => Ok(params[*p].clone()),
        _ => values.get(&v).cloned().ok_or_else(|| format!("{} was not computed", graph.value(v).name)),
    }
}
