//! Operators that the file defines by nodes of their own: a node with such an operator becomes these nodes.

use std::collections::{HashMap, HashSet};

use mindir_proto::onnx::{AttributeProto, FunctionProto, GraphProto, NodeProto};
use mindir_proto::prost::Message;

use super::import::{Call, Val};
use super::problem::{Problem, Stop};
use super::walk::{Attempt, name_of};
use super::{OPSETS, own_opset};
use crate::Printable;

/// How deep functions call functions.
const MOST_NESTED: usize = 32;
/// How many nodes all calls of functions become in any file, and how many more for each node of the file.
const MOST_NODES: [usize; 2] = [1 << 12, 1 << 8];

/// The functions of a file by domain, name and overload.
pub(super) struct Functions<'a> {
    all: HashMap<[&'a str; 3], &'a FunctionProto>,
    nested: usize,
    /// How many nodes, and bytes of the file, calls of functions may still become.
    nodes: usize,
    bytes: u64,
}

fn text(name: &Option<String>) -> &str {
    name.as_deref().unwrap_or_default()
}

/// The two names of ONNX's own domain are one.
fn domain(name: &Option<String>) -> &str {
    name.as_deref().filter(|d| *d != "ai.onnx").unwrap_or_default()
}

impl<'a> Functions<'a> {
    /// All calls together may become as many bytes as the structure of the file may take.
    pub fn of(functions: &'a [FunctionProto], graph: &GraphProto, bytes: u64) -> Functions<'a> {
        let key = |f: &'a FunctionProto| [domain(&f.domain), text(&f.name), text(&f.overload)];
        let own = functions.iter().map(|f| count(&f.node)).sum::<usize>().saturating_add(count(&graph.node));
        let nodes = own.saturating_mul(MOST_NODES[1]).saturating_add(MOST_NODES[0]);
        Functions { all: functions.iter().map(|f| (key(f), f)).collect(), nested: 0, nodes, bytes }
    }

    /// Counts a call of `f`.
    fn count(&mut self, f: &FunctionProto) -> Result<(), String> {
        if self.nested >= MOST_NESTED {
            return Err(format!("functions call each other more than {MOST_NESTED} deep"));
        }
        let left = (self.nodes.checked_sub(count(&f.node)), self.bytes.checked_sub(f.encoded_len() as u64));
        let (Some(nodes), Some(bytes)) = left else { return Err("functions become too many nodes".into()) };
        (self.nodes, self.bytes) = (nodes, bytes);
        Ok(())
    }

    /// The function that is the operator of `node`.
    pub fn find(&self, node: &NodeProto) -> Option<&'a FunctionProto> {
        self.all.get(&[domain(&node.domain), text(&node.op_type), text(&node.overload)]).copied()
    }
}

/// Nodes with those of graphs inside of them. Files nest as deep as limits allow.
fn count(nodes: &[NodeProto]) -> usize {
    let inner = nodes.iter().flat_map(|n| &n.attribute).filter_map(|a| a.g.as_ref());
    nodes.len() + inner.map(|g| count(&g.node)).sum::<usize>()
}

/// Walks the nodes of function `f` in the place of the node of `c`.
pub(super) fn expand(a: &mut Attempt<'_>, c: &Call, f: &FunctionProto) -> Result<Vec<Val>, Stop> {
    a.functions.count(f)?;
    if c.inputs.len() > f.input.len() {
        return Err(format!("{} operands for a function of {}", c.inputs.len(), f.input.len()).into());
    }
    let mut values = HashMap::new();
    let mut left_out = HashSet::new();
    for (i, name) in f.input.iter().enumerate() {
        match c.option(i) {
            Some(val) => drop(values.insert(name.clone(), val)),
            None => drop(left_out.insert(name.as_str())),
        }
    }
    let binding = Binding { node: c.node, function: f, left_out };
    let graph = GraphProto { node: binding.nodes(&f.node), ..GraphProto::default() };
    let opset = own_opset(&f.opset_import).and_then(|set| set.version).unwrap_or(a.opset);
    if !OPSETS.contains(&opset) {
        let (first, last) = (OPSETS.start(), OPSETS.end());
        return Err(format!("operator set {opset} of a function; sets {first} to {last} are").into());
    }
    let outer = (std::mem::replace(&mut a.values, values), std::mem::replace(&mut a.opset, opset));
    a.functions.nested += 1;
    let outcome = a.run(&graph);
    a.functions.nested -= 1;
    let values = std::mem::replace(&mut a.values, outer.0);
    a.opset = outer.1;
    outcome.map_err(Stop::Inside)?;
    let wanted = f.output.iter().zip(&c.node.output);
    wanted
        .map(|(name, _)| {
            let missing = || format!("there is no value for result {} of the function", Printable(name));
            values.get(name).cloned().ok_or_else(|| Stop::Node(Problem::Damaged(missing())))
        })
        .collect()
}

/// What the names in a function stand for where a node calls it.
struct Binding<'a> {
    node: &'a NodeProto,
    function: &'a FunctionProto,
    /// Operands that the node leaves out.
    left_out: HashSet<&'a str>,
}

impl Binding<'_> {
    /// Nodes of the function as this call has them.
    fn nodes(&self, nodes: &[NodeProto]) -> Vec<NodeProto> {
        nodes.iter().enumerate().map(|(at, node)| self.node(at, node)).collect()
    }

    fn node(&self, at: usize, node: &NodeProto) -> NodeProto {
        let caller = [&self.node.name, &self.node.op_type].map(text).into_iter().find(|n| !n.is_empty());
        let path = format!("{}/{}", caller.unwrap_or_default(), name_of(at, node));
        let given = |name: &String| if self.left_out.contains(name.as_str()) { String::new() } else { name.clone() };
        NodeProto {
            name: Some(path),
            input: node.input.iter().map(given).collect(),
            attribute: node.attribute.iter().filter_map(|a| self.attribute(a)).collect(),
            ..node.clone()
        }
    }

    /// An attribute, in the place of one that stands for it; none if the node has none and there is no default.
    fn attribute(&self, attribute: &AttributeProto) -> Option<AttributeProto> {
        let mut found = match attribute.ref_attr_name.as_deref().filter(|n| !n.is_empty()) {
            None => attribute.clone(),
            Some(name) => {
                let called = |a: &&AttributeProto| a.name.as_deref() == Some(name);
                let own = self.node.attribute.iter().find(called);
                let value = own.or_else(|| self.function.attribute_proto.iter().find(called))?;
                return Some(AttributeProto { name: attribute.name.clone(), ..value.clone() });
            }
        };
        if let Some(graph) = &mut found.g {
            graph.node = self.nodes(&graph.node);
        }
        Some(found)
    }
}
