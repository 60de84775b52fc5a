//! What values are where no file says it.

use crate::graph::{GraphId, Model, Node, NodeKind, ValueId};
use crate::lower::infer_node;
use crate::{Fact, Id, Spec};

/// Gives results whose element type is not stated the shape and type that follow from what their nodes read.
///
/// Results stay unknown where they depend on contents, on a dimension that is open or on an unknown operator.
pub fn infer(model: &mut Model) {
    // Results of a call are known when those of its graph are, which may come later; each round but the last finds some.
    let graphs = (0..model.graphs.len()).map(GraphId::new);
    while graphs.clone().filter(|graph| infer_graph(model, *graph)).count() > 0 {}
}

/// Whether anything was found.
fn infer_graph(model: &mut Model, graph: GraphId) -> bool {
    let mut found = false;
    for place in 0.. {
        let held = model.graph(graph);
        let Some(node) = held.nodes.get(place) else { break };
        let open = |id: &ValueId| held.value(*id).spec.dtype.is_none();
        if !node.outputs.iter().any(open) {
            continue;
        }
        let specs = results(model, graph, node);
        let new: Vec<(ValueId, Spec)> =
            node.outputs.iter().copied().zip(specs).filter(|(id, spec)| open(id) && spec.dtype.is_some()).collect();
        found |= !new.is_empty();
        let Some(graph) = model.graphs.get_mut(graph.at()) else { break };
        for (id, spec) in new {
            graph.values[id].spec = spec;
        }
    }
    found
}

fn results(model: &Model, graph: GraphId, node: &Node) -> Vec<Spec> {
    let returned = |target: GraphId| -> Vec<Spec> {
        let target = model.graph(target);
        target.outputs.iter().map(|id| target.value(*id).spec.clone()).collect()
    };
    match &node.kind {
        NodeKind::Op(def) => {
            let fixed = |fact: &Fact| Spec::fixed(fact.dtype, &fact.shape);
            infer_node(model, model.graph(graph), node, def).iter().flatten().map(fixed).collect()
        }
        NodeKind::Call(target) => returned(*target),
        NodeKind::If { .. } | NodeKind::Select(_) => {
            let known = |specs: &Vec<Spec>| specs.iter().all(|spec| spec.dtype.is_some());
            node.closures().iter().map(|closure| returned(closure.graph)).find(known).unwrap_or_default()
        }
        NodeKind::Opaque(_) => Vec::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::DType;
    use crate::builder::Builder;
    use crate::graph::Closure;

    #[test]
    fn results_follow_from_inputs_through_calls() {
        let mut b = Builder::new("entry");
        let scalar = Spec::fixed(DType::F32, &[]);
        let [test, again, leave] = ["test", "again", "leave"].map(|name| b.declare(name));
        b.define(test, |b| {
            let x = b.input("x", scalar.clone());
            let small = b.op("Less", [x.into(), 1.0f32.into()])?;
            let [again, leave] = [again, leave].map(|graph| Closure { graph, args: vec![x.into()] });
            Ok(b.choose(small, again, leave, 1))
        })
        .unwrap();
        b.define(again, |b| {
            let x = b.input("x", scalar.clone());
            Ok(b.call(test, [x.into()], 1))
        })
        .unwrap();
        b.define(leave, |b| {
            let x = b.input("x", scalar.clone());
            Ok(vec![b.op("Exp", [x.into()])?])
        })
        .unwrap();
        let x = b.input("x", scalar.clone());
        let open = b.input("open", Spec::default());
        let y = [b.call(test, [x.into()], 1)[0], b.op("Exp", [open.into()]).unwrap()];
        let mut model = b.finish(&y);
        infer(&mut model);
        assert_eq!(model.entry().value(y[0]).spec, scalar);
        assert_eq!(model.entry().value(y[1]).spec, Spec::default());
    }

    #[test]
    fn what_follows_from_sizes_that_do_not_fit_stays_unknown() {
        let mut b = Builder::new("entry");
        let x = b.input("x", Spec::fixed(DType::F32, &[1 << 40, 1 << 40]));
        let y = [b.op("Flatten", [x.into()]).unwrap(), b.op("ReLU", [x.into()]).unwrap()];
        let mut model = b.finish(&y);
        infer(&mut model);
        y.iter().for_each(|y| assert_eq!(model.entry().value(*y).spec, Spec::default()));
    }
}
