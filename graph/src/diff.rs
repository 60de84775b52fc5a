//! How two models differ.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;

use crate::Tensor;
use crate::graph::{Graph, Model, Node, NodeKind, Param};

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

/// How `b` differs from `a`. Nodes are matched by the names of their results; parameters, graphs and texts by name. Values
/// count by what they are, so that other names of inner values alone are a difference where the nodes cannot be matched.
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
        interface(graph)
            .into_iter()
            .map(|(name, text)| (format!("{at}{name}"), text))
            .chain(
                graph
                    .nodes
                    .iter()
                    .map(|node| (format!("{at}node {}", title(graph, node)), line(graph, node)))
                    .collect::<Vec<_>>(),
            )
            .collect::<Vec<_>>()
    };
    model.graphs.iter().enumerate().flat_map(one).collect()
}

fn interface(graph: &Graph) -> Listing {
    let inputs =
        graph.inputs.iter().map(|v| graph.value(*v)).map(|v| (format!("input {}", v.name), v.spec.to_string()));
    let outputs = graph.outputs.iter().map(|v| graph.describe(*v)).collect::<Vec<_>>().join(", ");
    inputs.chain([("results".to_string(), format!("{outputs} as {:?}", graph.nest))]).collect()
}

fn title(graph: &Graph, node: &Node) -> String {
    node.outputs.first().map_or_else(|| node.name.to_string(), |v| graph.value(*v).name.to_string())
}

/// What a node computes from what.
fn line(graph: &Graph, node: &Node) -> String {
    let mut args: Vec<String> =
        node.args.iter().map(|arg| arg.as_ref().map_or("_".into(), |arg| graph.describe_arg(arg))).collect();
    args.extend(node.closures().iter().map(|c| {
        let bound: Vec<String> = c.args.iter().map(|arg| graph.describe_arg(arg)).collect();
        format!("graph {}({})", c.graph.0, bound.join(", "))
    }));
    let target = if let NodeKind::Call(g) = node.kind { format!(" graph {}", g.0) } else { String::new() };
    format!("{}{target}({})", node.op_name(), args.join(", "))
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
