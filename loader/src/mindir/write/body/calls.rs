//! Nodes that call graphs: closures and choices put back.

use mindir_graph::graph::{Arg, Closure, GraphId, Nest, Node, NodeKind};
use mindir_graph::op::Const;

use super::super::super::framework::Framework;
use super::super::needs::Needs;
use super::{Body, Failed};

impl<'m> Body<'_, 'm> {
    pub(super) fn node(&mut self, node: &'m Node) -> Result<(), Failed> {
        match &node.kind {
            NodeKind::Op(def) if def.name == Framework::Load.name() => self.load_node(node),
            NodeKind::Op(def) => self.operator(node, def),
            NodeKind::Opaque(_) => self.unknown(node),
            NodeKind::Call(graph) => {
                let args: Vec<Arg> = node.args.iter().flatten().cloned().collect();
                let inputs = self.call_inputs(*graph, &args)?;
                let target = self.file.graph_name(*graph);
                self.call(node, &[*graph], format!("REF::{target}"), inputs)
            }
            NodeKind::If { then, otherwise } => {
                let condition = self.condition(node)?;
                let branches = [self.function(then)?, self.function(otherwise)?];
                let inputs = [condition].into_iter().chain(branches).collect();
                let chosen = self.framework(Framework::Switch, &Vec::new(), "switch", inputs, None);
                self.call(node, &[then.graph, otherwise.graph], format!("REF::{chosen}"), Vec::new())
            }
            NodeKind::Select(branches) => self.select(node, branches),
        }
    }

    fn condition(&mut self, node: &Node) -> Result<String, Failed> {
        match node.args.first() {
            Some(Some(Arg::Value(value))) => self.value(*value),
            _ => Err("the condition is no tensor".to_string()),
        }
    }

    fn select(&mut self, node: &'m Node, branches: &'m [Closure]) -> Result<(), Failed> {
        let index = self.condition(node)?;
        let graphs: Vec<GraphId> = branches.iter().map(|branch| branch.graph).collect();
        let inputs: Result<Vec<Vec<String>>, _> =
            branches.iter().map(|branch| self.call_inputs(branch.graph, &branch.args)).collect();
        let inputs = inputs?;
        let same = inputs.windows(2).all(|pair| pair.first() == pair.last());
        let (functions, rest) = if same {
            let names = graphs.iter().map(|graph| self.file.graph_name(*graph)).collect();
            (names, inputs.into_iter().next().unwrap_or_default())
        } else {
            let pairs = graphs.iter().zip(inputs);
            (pairs.map(|(graph, inputs)| self.partial(*graph, inputs)).collect(), Vec::new())
        };
        let tuple = self.framework(Framework::MakeTuple, &Vec::new(), "branches", functions, None);
        let chosen = self.framework(Framework::SwitchLayer, &Vec::new(), "switch_layer", vec![index, tuple], None);
        self.call(node, &graphs, format!("REF::{chosen}"), rest)
    }

    /// A closure as a function value.
    fn function(&mut self, closure: &Closure) -> Result<String, Failed> {
        let inputs = self.call_inputs(closure.graph, &closure.args)?;
        Ok(self.partial(closure.graph, inputs))
    }

    fn partial(&mut self, graph: GraphId, inputs: Vec<String>) -> String {
        let target = self.file.graph_name(graph);
        if inputs.is_empty() {
            return target;
        }
        let inputs = [target].into_iter().chain(inputs).collect();
        let attributes = vec![("side_effect_propagate".into(), Const::Int(1))];
        self.framework(Framework::Partial, &attributes, "partial", inputs, None)
    }

    /// Everything that a graph takes: parameters, arguments and tokens.
    fn call_inputs(&mut self, graph: GraphId, args: &[Arg]) -> Result<Vec<String>, Failed> {
        let Needs { params, memory, io } = self.file.needs(graph);
        let mut inputs = Vec::new();
        for param in &params {
            inputs.push(self.place(*param)?);
        }
        for arg in args {
            inputs.push(self.arg(arg, None)?);
        }
        for (io, needed) in [(false, memory), (true, io)] {
            if needed {
                inputs.push(self.flush(io));
            }
        }
        Ok(inputs)
    }

    fn call(&mut self, node: &Node, graphs: &[GraphId], op_type: String, inputs: Vec<String>) -> Result<(), Failed> {
        let nest = graphs.first().and_then(|graph| self.file.graph(*graph)).map(|(graph, _)| graph.nest.clone());
        let nest = nest.unwrap_or(Nest::None);
        let needs: Vec<Needs> = graphs.iter().map(|graph| self.file.needs(*graph)).collect();
        let name = self.emit(node, op_type, inputs, &nest);
        for (io, needed) in [(false, needs.iter().any(|n| n.memory)), (true, needs.iter().any(|n| n.io))] {
            if needed {
                self.update(io, vec![name.clone()]);
            }
        }
        Ok(())
    }
}
