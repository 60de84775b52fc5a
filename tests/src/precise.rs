//! A model computed in `f64`: parameters, constants and inputs widened, every operator by its reference.

use mindir::graph::{Arg, Def, Model};
use mindir::{DType, Tensor};
use mindir_graph::op::Const;

use crate::reference;

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
        for value in graph.values.iter_mut() {
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
    let mut params: Vec<Tensor> = model.params.iter().map(|p| p.tensor.clone()).collect();
    reference::run(&model, &inputs.iter().map(widen).collect::<Vec<_>>(), &mut params)
}
