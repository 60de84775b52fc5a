//! Checks that a model is well formed.

use std::sync::Arc;

use crate::Table;
use crate::graph::{Arg, Closure, Def, Graph, GraphId, Model, Node, NodeKind, ValueId};

/// What is wrong with a graph.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum VerifyFault {
    /// A model without graphs.
    #[error("there is no graph")]
    Empty,
    /// A value, parameter or graph that does not exist.
    #[error("{what} {index} does not exist")]
    Dangling {
        /// Which kind of thing.
        what: &'static str,
        /// Its number.
        index: usize,
    },
    /// A value is read before the node that computes it.
    #[error("value {0} is read before it is computed")]
    Early(u32),
    /// A value has two definitions, or one that is not what it says.
    #[error("value {0} is not defined once and as it says")]
    Definition(u32),
    /// The numbers of arguments or results of a node do not fit.
    #[error("{found} {what} where {expected} are expected")]
    Count {
        /// Which kind of thing.
        what: &'static str,
        /// How many there should be.
        expected: usize,
        /// How many there are.
        found: usize,
    },
    /// An argument of a called graph is no tensor.
    #[error("an argument of a called graph is no tensor")]
    NoTensor,
}

/// A fault with the graph and node that have it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("graph {}, node {}: {fault}", .graph.escape_debug(), .node.escape_debug())]
pub struct VerifyError {
    /// Name of the graph.
    pub graph: Arc<str>,
    /// Path of the node; empty for inputs and results.
    pub node: Arc<str>,
    /// What is wrong.
    pub fault: VerifyFault,
}

/// Checks that every value is defined once and before it is read, that nothing dangles, and that calls fit what they call.
///
/// # Errors
/// The first fault.
pub fn verify(model: &Model) -> Result<(), VerifyError> {
    if model.graphs.is_empty() {
        return Err(VerifyError { graph: "".into(), node: "".into(), fault: VerifyFault::Empty });
    }
    model.graphs.iter().try_for_each(|graph| Check::new(model, graph).run())
}

struct Check<'a> {
    model: &'a Model,
    graph: &'a Graph,
    /// Which values are defined, as far as the graph was walked.
    ready: Table<ValueId, bool>,
}

impl<'a> Check<'a> {
    fn new(model: &'a Model, graph: &'a Graph) -> Check<'a> {
        Check { model, graph, ready: graph.values.filled(false) }
    }

    fn run(mut self) -> Result<(), VerifyError> {
        let at = |node: &Arc<str>| {
            let (graph, node) = (self.graph.name.clone(), node.clone());
            move |fault| VerifyError { graph, node, fault }
        };
        self.leaves().map_err(at(&"".into()))?;
        for node in &self.graph.nodes {
            self.node(node).map_err(at(&node.path))?;
        }
        self.results().map_err(at(&"".into()))
    }

    /// Inputs, constants and parameters.
    fn leaves(&mut self) -> Result<(), VerifyFault> {
        for (place, id) in self.graph.inputs.iter().enumerate() {
            match self.def(*id)? {
                Def::Input(index) if *index == place => self.define(*id)?,
                _ => return Err(VerifyFault::Definition(id.0)),
            }
        }
        for id in self.graph.values.ids() {
            match self.graph.value(id).def {
                Def::Const(_) => self.define(id)?,
                Def::Param(param) if param < self.model.params.len() => self.define(id)?,
                Def::Param(index) => return Err(VerifyFault::Dangling { what: "parameter", index }),
                Def::Input(_) if !self.ready[id] => return Err(VerifyFault::Definition(id.0)),
                Def::Input(_) | Def::Node => {}
            }
        }
        Ok(())
    }

    fn node(&mut self, node: &Node) -> Result<(), VerifyFault> {
        let mut fault = Ok(());
        node.each_input(&mut |id| fault = std::mem::replace(&mut fault, Ok(())).and_then(|()| self.read(id)));
        fault?;
        match &node.kind {
            NodeKind::Op(def) if node.args.len() > def.params.len() => {
                return Err(VerifyFault::Count {
                    what: "arguments",
                    expected: def.params.len(),
                    found: node.args.len(),
                });
            }
            NodeKind::Op(_) | NodeKind::Opaque(_) => {}
            NodeKind::Call(graph) => self.call(*graph, node.args.iter().map(Option::as_ref), node.outputs.len())?,
            NodeKind::If { .. } | NodeKind::Select(_) => self.branches(node)?,
        }
        for id in &node.outputs {
            match self.def(*id)? {
                Def::Node => self.define(*id)?,
                _ => return Err(VerifyFault::Definition(id.0)),
            }
        }
        Ok(())
    }

    fn branches(&self, node: &Node) -> Result<(), VerifyFault> {
        if !matches!(node.args.as_slice(), [Some(Arg::Value(_))]) {
            return Err(VerifyFault::Count { what: "arguments", expected: 1, found: node.args.len() });
        }
        for Closure { graph, args } in node.closures() {
            self.call(*graph, args.iter().map(Some), node.outputs.len())?;
        }
        Ok(())
    }

    fn call<'b>(
        &self,
        graph: GraphId,
        args: impl ExactSizeIterator<Item = Option<&'b Arg>>,
        outputs: usize,
    ) -> Result<(), VerifyFault> {
        let index = graph.0 as usize;
        let target = self.model.graphs.get(index).ok_or(VerifyFault::Dangling { what: "graph", index })?;
        if target.inputs.len() != args.len() {
            return Err(VerifyFault::Count { what: "arguments", expected: target.inputs.len(), found: args.len() });
        }
        if target.outputs.len() != outputs {
            return Err(VerifyFault::Count { what: "results", expected: target.outputs.len(), found: outputs });
        }
        for arg in args {
            if !matches!(arg, Some(Arg::Value(_))) {
                return Err(VerifyFault::NoTensor);
            }
        }
        Ok(())
    }

    fn results(&self) -> Result<(), VerifyFault> {
        self.graph.outputs.iter().try_for_each(|id| self.read(*id))?;
        let (expected, found) = (self.graph.nest.leaves(), self.graph.outputs.len());
        if expected == found { Ok(()) } else { Err(VerifyFault::Count { what: "results", expected, found }) }
    }

    fn def(&self, id: ValueId) -> Result<&'a Def, VerifyFault> {
        let index = id.0 as usize;
        self.graph.values.find(id).map(|v| &v.def).ok_or(VerifyFault::Dangling { what: "value", index })
    }

    fn read(&self, id: ValueId) -> Result<(), VerifyFault> {
        self.def(id)?;
        if self.ready[id] { Ok(()) } else { Err(VerifyFault::Early(id.0)) }
    }

    fn define(&mut self, id: ValueId) -> Result<(), VerifyFault> {
        let twice = std::mem::replace(&mut self.ready[id], true);
        if twice { Err(VerifyFault::Definition(id.0)) } else { Ok(()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::graph::{Nest, Origin};
    use crate::{Spec, ops};

    fn model() -> Model {
        let mut graph = Graph::new("g");
        let x = graph.add_value("x", Spec::default(), Def::Input(0));
        let y = graph.add_value("y", Spec::default(), Def::Node);
        let op = NodeKind::Op(ops::find("ReLU").expect("ReLU is listed"));
        let args = vec![Some(Arg::Value(x))];
        graph.nodes.push(Node {
            name: "y".into(),
            path: "y".into(),
            kind: op,
            args,
            outputs: vec![y],
            primitive: None,
        });
        graph.inputs = vec![x];
        graph.outputs = vec![y];
        graph.nest = Nest::Leaf;
        Model { origin: Origin::default(), graphs: vec![graph], params: Vec::new(), preprocess: Vec::new() }
    }

    fn fault(change: impl FnOnce(&mut Graph)) -> VerifyFault {
        let mut model = model();
        change(&mut model.graphs[0]);
        verify(&model).expect_err("the change breaks the model").fault
    }

    #[test]
    fn faults_are_found() {
        assert_eq!(verify(&model()), Ok(()));
        assert_eq!(fault(|g| g.outputs[0] = ValueId(9)), VerifyFault::Dangling { what: "value", index: 9 });
        assert_eq!(fault(|g| g.nodes[0].args[0] = Some(Arg::Value(ValueId(1)))), VerifyFault::Early(1));
        assert_eq!(fault(|g| g.nodes.push(g.nodes[0].clone())), VerifyFault::Definition(1));
        assert_eq!(fault(|g| g.inputs.clear()), VerifyFault::Definition(0));
        let two = VerifyFault::Count { what: "results", expected: 2, found: 1 };
        assert_eq!(fault(|g| g.nest = Nest::Tuple(vec![Nest::Leaf; 2])), two);
        let call = |id| move |g: &mut Graph| g.nodes[0].kind = NodeKind::Call(GraphId(id));
        assert_eq!(fault(call(1)), VerifyFault::Dangling { what: "graph", index: 1 });
        assert_eq!(
            fault(|g| (call(0)(g), g.nodes[0].args.clear()).1),
            VerifyFault::Count { what: "arguments", expected: 1, found: 0 }
        );
        assert_eq!(
            fault(|g| g.values[ValueId(1)].def = Def::Param(0)),
            VerifyFault::Dangling { what: "parameter", index: 0 }
        );
    }
}
