//! A model computed in `f64`: parameters, constants and inputs widened, every operator by its reference.

use std::collections::HashMap;

use mindir::graph::{Arg, Def, Model, NodeKind, ValueId};
use mindir::{DType, Tensor};
use mindir_graph::lower::run_node;
use mindir_graph::op::Const;

fn widen(t: &Tensor) -> Tensor {
    let narrow = matches!(t.dtype(), DType::F16 | DType::BF16 | DType::F32);
    if narrow { t.cast(DType::F64).unwrap_or_else(|_| t.clone()) } else { t.clone() }
}

fn widen_arg(arg: &mut Arg) {
    match arg {
        Arg::Const(Const::Int(id)) if *id == DType::F32.type_id() => *id = DType::F64.type_id(),
        Arg::Const(Const::DType(d)) if *d == DType::F32 => *d = DType::F64,
        _ => {}
    }
}

/// The model with every 32-bit float as `f64`.
pub fn twin(model: &Model) -> Model {
    let mut model = model.clone();
    for p in &mut model.params {
        p.tensor = widen(&p.tensor);
    }
    for graph in &mut model.graphs {
        for value in &mut graph.values {
            if let Def::Const(t) = &mut value.def {
                *t = widen(t);
            }
        }
        for node in graph.nodes.iter_mut().filter(|n| n.is("Cast")) {
            node.args.iter_mut().flatten().skip(1).for_each(widen_arg);
        }
    }
    model
}

/// Results of a straight-line model by its operators' references, in `f64`.
///
/// # Errors
/// The first operator's complaint; control flow.
pub fn run(model: &Model, inputs: &[Tensor]) -> Result<Vec<Tensor>, String> {
    let model = twin(model);
    let graph = model.entry();
    let mut values: HashMap<ValueId, Tensor> = graph.inputs.iter().copied().zip(inputs.iter().map(widen)).collect();
    for node in &graph.nodes {
        if !matches!(node.kind, NodeKind::Op(_)) {
            return Err(format!("{} is control flow", node.path));
        }
        let mut reads = HashMap::new();
        node.each_input(&mut |v| {
            if let Some(t) = values.get(&v) {
                reads.insert(v, t.clone());
            }
        });
        let results = run_node(&model, graph, node, &reads).map_err(|e| e.to_string())?;
        values.extend(node.outputs.iter().copied().zip(results));
    }
    let result = |v: &ValueId| match &graph.value(*v).def {
        Def::Const(t) => Ok(t.clone()),
        Def::Param(p) => Ok(model.params[*p].tensor.clone()),
        _ => values.get(v).cloned().ok_or_else(|| format!("{} was not computed", graph.value(*v).name)),
    };
    graph.outputs.iter().map(result).collect()
}
