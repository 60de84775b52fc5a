//! What has to be the same of a model that went out to a file and came back.

use std::collections::BTreeMap;

use mindir_graph::graph::{Model, NodeKind, ValueId};
use mindir_graph::{Dim, Spec};

/// Whether a model that was read again says what it said.
///
/// # Errors
/// What it says and said.
pub fn same_interface(model: &Model, back: &Model) -> Result<(), String> {
    let stated = !model.entry().arguments.is_empty();
    let (was, is) = (interface(model, stated), interface(back, stated));
    if was == is { Ok(()) } else { Err(format!("the interface is\n{is}\nand was\n{was}")) }
}

/// Whether a model that was read again has the operators that it had. One that was ONNX need not: nodes that no result needs are
/// not written, and the first turn of a loop is read as part of its caller.
///
/// # Errors
/// Both lists.
pub fn same_operators(model: &Model, back: &Model) -> Result<(), String> {
    let (was, is) = (census(model), census(back));
    if was == is { Ok(()) } else { Err(format!("the operators are\n{is:?}\nand were\n{was:?}")) }
}

/// What a model says besides what it computes; with its arguments where it states them.
fn interface(model: &Model, stated: bool) -> String {
    let entry = model.entry();
    // MindIR has no names for dimensions.
    let dims = |spec: &Spec| spec.dims.as_ref().map(|dims| dims.iter().map(Dim::size).collect::<Vec<_>>());
    let input = |v: &ValueId| (&entry.value(*v).name, entry.value(*v).spec.dtype, dims(&entry.value(*v).spec));
    let inputs: Vec<_> = entry.inputs.iter().map(input).collect();
    let params: Vec<_> = model.params.iter().map(|p| (&p.name, p.mutable, p.tensor.fact())).collect();
    let arguments = stated.then_some(&entry.arguments);
    format!("{inputs:?} {arguments:?} {:?} {params:?} {:?}", entry.nest, model.origin.user_info)
}

/// How often each operator occurs. Calls do not count: the first turn of a loop may be a graph of its own, which is read as part
/// of its caller.
fn census(model: &Model) -> BTreeMap<String, usize> {
    let mut count = BTreeMap::new();
    let nodes = model.graphs.iter().flat_map(|g| &g.nodes).filter(|n| !matches!(n.kind, NodeKind::Call(_)));
    for node in nodes {
        *count.entry(node.op_name().to_string()).or_default() += 1;
    }
    count
}
