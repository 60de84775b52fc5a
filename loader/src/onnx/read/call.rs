//! Nodes of the file with their operands and attributes.

use mindir_graph::Tensor;
use mindir_proto::onnx::{AttributeProto, NodeProto};

use super::val::{Step, Val};
use super::weights;

/// A node with its operands.
pub(super) struct Call<'a> {
    pub node: &'a NodeProto,
    pub inputs: Vec<Option<Val>>,
    pub opset: i64,
    pub max_rank: usize,
}

impl Call<'_> {
    pub fn input(&self, i: usize) -> Step {
        self.option(i).ok_or_else(|| format!("operand {i} is missing"))
    }

    pub fn option(&self, i: usize) -> Option<Val> {
        self.inputs.get(i).cloned().flatten()
    }

    pub fn attr(&self, name: &str) -> Option<&AttributeProto> {
        self.node.attribute.iter().find(|a| a.name.as_deref() == Some(name))
    }

    pub fn has(&self, name: &str) -> bool {
        self.attr(name).is_some()
    }

    pub fn int(&self, name: &str, otherwise: i64) -> i64 {
        self.attr(name).and_then(|a| a.i).unwrap_or(otherwise)
    }

    pub fn float(&self, name: &str, otherwise: f32) -> f64 {
        f64::from(self.attr(name).and_then(|a| a.f).unwrap_or(otherwise))
    }

    pub fn ints(&self, name: &str) -> Option<Vec<i64>> {
        self.attr(name).map(|a| a.ints.clone())
    }

    pub fn floats(&self, name: &str) -> Option<Vec<f32>> {
        self.attr(name).map(|a| a.floats.clone())
    }

    pub fn text(&self, name: &str, otherwise: &str) -> String {
        let text = self.attr(name).and_then(|a| a.s.as_ref());
        text.map_or_else(|| otherwise.to_string(), |s| String::from_utf8_lossy(s).into_owned())
    }

    pub fn texts(&self, name: &str) -> Option<Vec<String>> {
        self.attr(name).map(|a| a.strings.iter().map(|s| String::from_utf8_lossy(s).into_owned()).collect())
    }

    pub fn tensor(&self, name: &str) -> Result<Option<Tensor>, String> {
        let Some(t) = self.attr(name).and_then(|a| a.t.as_ref()) else { return Ok(None) };
        weights::contents(t, self.max_rank).map(Some).map_err(|e| format!("attribute {name}: {e}"))
    }

    /// Number of results that have a name.
    pub fn results(&self) -> usize {
        self.node.output.len()
    }

    /// Whether result `i` has a name, so that somebody may read it.
    pub fn wants(&self, i: usize) -> bool {
        self.node.output.get(i).is_some_and(|o| !o.is_empty())
    }

    /// Axes as an attribute, or from `since` on as operand 1; those may be computed.
    pub fn axes(&self, since: i64) -> Option<Axes> {
        if self.opset < since {
            return self.ints("axes").map(Axes::Known);
        }
        let axes = self.option(1)?;
        if axes.length(0) == Some(0) {
            return Some(Axes::Known(Vec::new()));
        }
        Some(axes.ints().map_or(Axes::Computed(axes), Axes::Known))
    }
}

/// Axes of a node.
pub(super) enum Axes {
    Known(Vec<i64>),
    Computed(Val),
}
