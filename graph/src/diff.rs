//! How two models differ.

use std::collections::{BTreeMap, HashMap};
use std::fmt;
use std::sync::Arc;

use crate::Tensor;
use crate::graph::{Arg, Def, Graph, Model, Node, NodeKind, Param, ValueId};

/// The differences of a model from another one.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Diff {
    /// Inputs, results, nodes and texts, in the order of the graphs.
    pub graph: Vec<Change>,
    /// Parameters in the first model's order, then those that only the second one has.
    pub params: Vec<Change>,
}

impl Diff {
    /// Whether the models are the same.
    pub fn is_empty(&self) -> bool {
        self.graph.is_empty() && self.params.is_empty()
    }
}

/// One difference.
#[derive(Clone, Debug, PartialEq)]
pub struct Change {
    /// What differs, by its name.
    pub what: String,
    /// The difference.
    pub kind: ChangeKind,
}

/// A kind of difference.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum ChangeKind {
    /// Only the first model has it.
    Removed(String),
    /// Only the second model has it.
    Added(String),
    /// It is described differently.
    Changed {
        /// In the first model.
        from: String,
        /// In the second model.
        to: String,
    },
    /// The contents of a tensor differ.
    Contents {
        /// Elements whose bits differ.
        elements: usize,
        /// All elements.
        of: usize,
        /// Largest difference of two elements; not a number where one of them is none, `None` for types without numbers.
        largest: Option<f64>,
    },
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = self.what.escape_debug();
        match &self.kind {
            ChangeKind::Removed(text) => write!(f, "- {what} {}", text.escape_debug()),
            ChangeKind::Added(text) => write!(f, "+ {what} {}", text.escape_debug()),
            ChangeKind::Changed { from, to } => write!(f, "~ {what} {} -> {}", from.escape_debug(), to.escape_debug()),
            ChangeKind::Contents { elements, of, largest } => {
                write!(f, "~ {what} {elements} of {of} elements differ")?;
                largest.map_or(Ok(()), |largest| write!(f, ", by up to {largest:.3e}"))
            }
        }
    }
}

/// How `b` differs from `a`. Nodes are matched by the names of their results, and those that only have a number by their
/// operator and its order; parameters and texts by name, graphs and the inputs of all but the first by order.
pub fn diff(a: &Model, b: &Model) -> Diff {
    let mut graph = described(&header(a), &header(b));
    graph.extend(described(&graphs(a), &graphs(b)));
    Diff { graph, params: params(&a.params, &b.params) }
}

/// Names with descriptions, in order.
type Listing = Vec<(String, String)>;

fn header(model: &Model) -> Listing {
    model.origin.user_info.iter().map(|(key, text)| (format!("text {key}"), text.clone())).collect()
}

fn graphs(model: &Model) -> Listing {
    let one = |(place, graph): (usize, &Graph)| {
        // Graphs have numbers of the process that made them in their names.
        let at = if place == 0 { String::new() } else { format!("graph {place}: ") };
        let named = Named::new(model, graph, place == 0);
        named.listing().into_iter().map(|(name, text)| (format!("{at}{name}"), text)).collect::<Vec<_>>()
    };
    model.graphs.iter().enumerate().flat_map(one).collect()
}

/// A graph with names of its values that do not depend on who wrote the file.
struct Named<'a> {
    graph: &'a Graph,
    /// Values whose own names are numbers.
    names: HashMap<ValueId, String>,
}

impl<'a> Named<'a> {
    fn new(model: &Model, graph: &'a Graph, inputs_are_named: bool) -> Self {
        let mut names = HashMap::new();
        if !inputs_are_named {
            names.extend(graph.inputs.iter().enumerate().map(|(i, v)| (*v, i.to_string())));
        }
        let mut counts: HashMap<&str, usize> = HashMap::new();
        for node in &graph.nodes {
            let op = node.op_name();
            let numbered = |v: &&ValueId| model.is_numbered(&graph.value(**v).name, op);
            if node.outputs.first().filter(numbered).is_none() {
                continue;
            }
            let count = counts.entry(op).or_default();
            for (i, v) in node.outputs.iter().enumerate() {
                let item = if i == 0 { String::new() } else { format!(".{i}") };
                names.insert(*v, format!("{op} {count}{item}"));
            }
            *count += 1;
        }
        Named { graph, names }
    }

    fn listing(&self) -> Listing {
        let inputs = self.graph.inputs.iter().map(|v| (format!("input {}", self.name(*v)), self.spec(*v)));
        let outputs = self.graph.outputs.iter().map(|v| self.value(*v)).collect::<Vec<_>>().join(", ");
        let results = ("results".to_string(), format!("{outputs} as {:?}", self.graph.nest));
        let nodes = self.graph.nodes.iter().map(|node| (format!("node {}", self.title(node)), self.line(node)));
        inputs.chain([results]).chain(nodes).collect()
    }

    fn spec(&self, v: ValueId) -> String {
        self.graph.value(v).spec.to_string()
    }

    fn name(&self, v: ValueId) -> &str {
        self.names.get(&v).map_or(&*self.graph.value(v).name, String::as_str)
    }

    /// A value by name: constants by their contents where these are short, else by what is known of them.
    fn value(&self, v: ValueId) -> String {
        match &self.graph.value(v).def {
            Def::Const(_) => self.graph.show(v),
            _ => self.name(v).to_string(),
        }
    }

    fn arg(&self, arg: &Arg) -> String {
        match arg {
            Arg::Value(v) => self.value(*v),
            Arg::Const(c) => c.to_string(),
            Arg::List(items) => format!("({})", self.args(items)),
        }
    }

    fn args(&self, args: &[Arg]) -> String {
        args.iter().map(|arg| self.arg(arg)).collect::<Vec<_>>().join(", ")
    }

    fn title(&self, node: &Node) -> String {
        node.outputs.first().map_or_else(|| node.name.to_string(), |v| self.name(*v).to_string())
    }

    /// What a node computes from what.
    fn line(&self, node: &Node) -> String {
        let mut args: Vec<String> =
            node.args.iter().map(|arg| arg.as_ref().map_or("_".into(), |arg| self.arg(arg))).collect();
        args.extend(node.closures().iter().map(|c| format!("graph {}({})", c.graph.0, self.args(&c.args))));
        let target = if let NodeKind::Call(g) = node.kind { format!(" graph {}", g.0) } else { String::new() };
        format!("{}{target}({})", node.op_name(), args.join(", "))
    }
}

/// Differences of two lists in which every name occurs once, or in the same order.
fn described(a: &[(String, String)], b: &[(String, String)]) -> Vec<Change> {
    let numbered = |list: &[(String, String)]| {
        let mut seen = BTreeMap::new();
        let key = |name: &String| {
            let count = seen.entry(name.clone()).and_modify(|n| *n += 1).or_insert(0);
            (name.clone(), *count)
        };
        list.iter().map(|(name, _)| name).map(key).collect::<Vec<_>>()
    };
    let (keys_a, keys_b) = (numbered(a), numbered(b));
    let in_b: BTreeMap<_, _> = keys_b.iter().zip(b).collect();
    let in_a: BTreeMap<_, _> = keys_a.iter().zip(a).collect();
    let mut changes = Vec::new();
    for (key, (name, from)) in keys_a.iter().zip(a) {
        let kind = match in_b.get(key) {
            None => ChangeKind::Removed(from.clone()),
            Some((_, to)) if to != from => ChangeKind::Changed { from: from.clone(), to: to.clone() },
            Some(_) => continue,
        };
        changes.push(Change { what: name.clone(), kind });
    }
    let added = keys_b.iter().zip(b).filter(|(key, _)| !in_a.contains_key(key));
    changes.extend(added.map(|(_, (name, to))| Change { what: name.clone(), kind: ChangeKind::Added(to.clone()) }));
    changes
}

fn params(a: &[Param], b: &[Param]) -> Vec<Change> {
    let in_b: BTreeMap<&Arc<str>, &Param> = b.iter().map(|p| (&p.name, p)).collect();
    let in_a: BTreeMap<&Arc<str>, &Param> = a.iter().map(|p| (&p.name, p)).collect();
    let of_a = a.iter().filter_map(|p| {
        let kind = match in_b.get(&p.name) {
            None => ChangeKind::Removed(p.tensor.fact().to_string()),
            Some(other) => contents(&p.tensor, &other.tensor)?,
        };
        Some(Change { what: p.name.to_string(), kind })
    });
    let added = b.iter().filter(|p| !in_a.contains_key(&p.name));
    let added =
        added.map(|p| Change { what: p.name.to_string(), kind: ChangeKind::Added(p.tensor.fact().to_string()) });
    of_a.chain(added).collect()
}

fn contents(a: &Tensor, b: &Tensor) -> Option<ChangeKind> {
    if a.fact() != b.fact() {
        return Some(ChangeKind::Changed { from: a.fact().to_string(), to: b.fact().to_string() });
    }
    if a.bytes() == b.bytes() {
        return None;
    }
    let size = a.dtype().size();
    let pairs = a.bytes().chunks(size).zip(b.bytes().chunks(size));
    let elements = pairs.filter(|(x, y)| x != y).count();
    let numbers = a.to_f64s().ok().zip(b.to_f64s().ok());
    // A difference that is no number is larger than any.
    let larger = |most: f64, d: f64| if most.is_nan() || d.is_nan() { f64::NAN } else { most.max(d) };
    let largest = numbers.map(|(a, b)| {
        let same = |x: &f64, y: &f64| x == y || (x.is_nan() && y.is_nan());
        a.iter().zip(&b).filter(|(x, y)| !same(x, y)).map(|(x, y)| (x - y).abs()).fold(0.0, larger)
    });
    Some(ChangeKind::Contents { elements, of: a.count(), largest })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::builder::Builder;
    use crate::{DType, Spec};

    fn model(weight: &[f32], op: &str) -> Model {
        let mut b = Builder::new("net");
        let x = b.input("x", Spec::fixed(DType::F32, &[3]));
        let w = b.param("w", Tensor::vector(weight));
        let y = b.op(op, [x.into(), w.into()]).unwrap();
        b.finish(&[y])
    }

    #[test]
    fn equal_models_have_no_differences() {
        assert!(diff(&model(&[1.0, 2.0, 3.0], "Add"), &model(&[1.0, 2.0, 3.0], "Add")).is_empty());
    }

    #[test]
    fn weights_differ_in_elements() {
        let found = diff(&model(&[1.0, 2.0, 3.0], "Add"), &model(&[1.0, 2.5, f32::NAN], "Add"));
        assert!(found.graph.is_empty());
        let [Change { what, kind: ChangeKind::Contents { elements: 2, of: 3, largest: Some(d) } }] = &found.params[..]
        else {
            panic!("{found:?}")
        };
        assert!(what == "w" && d.is_nan());
        let shorter = diff(&model(&[1.0, 2.0, 3.0], "Add"), &model(&[1.0], "Add"));
        assert_eq!(shorter.params[0].to_string(), "~ w f32 [3] -> f32 [1]");
    }

    /// What files call by numbers that depend on who wrote them is the same, and what is given a name counts by it.
    #[test]
    fn numbers_are_no_names() {
        let made = |numbers: [&str; 2], ops: [&str; 2]| {
            let mut b = Builder::new("net");
            let x = b.input("x", Spec::fixed(DType::F32, &[3]));
            let y = b.op(ops[0], [x.into()]).unwrap();
            let z = b.op(ops[1], [y.into()]).unwrap();
            b.rename(&[(y, numbers[0]), (z, numbers[1])]);
            b.finish(&[z])
        };
        let one = made(["x:3", "x:4"], ["Exp", "Exp"]);
        assert_eq!(diff(&one, &made(["CNode_1:71", "x:9"], ["Exp", "Exp"])), Diff::default());
        let lines: Vec<String> =
            diff(&one, &made(["x:7", "x:9"], ["Exp", "Neg"])).graph.iter().map(Change::to_string).collect();
        assert_eq!(
            lines,
            ["~ results Exp 1 as Leaf -> Neg 0 as Leaf", "- node Exp 1 Exp(Exp 0)", "+ node Neg 0 Neg(Exp 0)"]
        );
        assert!(!diff(&one, &made(["hidden", "x:4"], ["Exp", "Exp"])).is_empty());
    }

    #[test]
    fn nodes_differ_in_operator() {
        let found = diff(&model(&[1.0], "Add"), &model(&[1.0], "Mul"));
        assert_eq!(found.params, []);
        let text: Vec<String> = found.graph.iter().map(Change::to_string).collect();
        assert!(
            text.iter().any(|line| line.contains("Add(")) && text.iter().any(|line| line.contains("Mul(")),
            "{text:?}"
        );
    }
}
