//! Values by name: constants, parameters and what parameters hold.

use mindir_graph::graph::{Arg, Def, Nest, Node, ValueId};
use mindir_graph::op::Const;
use mindir_graph::{DType, Spec, Tensor};
use mindir_proto::mindir::{AttributeProto, NodeProto};
use mindir_proto::prost::Message;

use super::super::super::framework::Framework;
use super::super::value;
use super::{Body, Failed};

impl<'m> Body<'_, 'm> {
    /// The name of a value, as it is at this point.
    pub(super) fn value(&mut self, value: ValueId) -> Result<String, Failed> {
        let graph = self.graph;
        let Some(held) = graph.values.find(value) else { return Err("a value does not exist".to_string()) };
        match &held.def {
            Def::Param(param) if self.is_mutable(*param) => self.load(*param, &held.name),
            Def::Param(param) => self.place(*param),
            Def::Const(tensor) => Ok(self.tensor(&held.name, tensor)),
            Def::Input(_) | Def::Node => {
                let known = self.values.get(value.0 as usize).cloned().flatten();
                known.ok_or_else(|| format!("the value {} has no name", held.name))
            }
        }
    }

    /// A value that must be a Python number.
    pub(super) fn number(&mut self, value: ValueId) -> Result<String, Failed> {
        match self.graph.values.find(value).map(|value| &value.def) {
            Some(Def::Const(tensor)) => match python(tensor) {
                Some(number) => Ok(self.constant(&number)),
                None => self.value(value),
            },
            _ => self.value(value),
        }
    }

    /// A value that an operator writes.
    pub(super) fn variable(&mut self, value: ValueId) -> Result<String, Failed> {
        match self.graph.values.find(value).map(|value| &value.def) {
            Some(Def::Param(param)) => self.place(*param),
            _ => self.value(value),
        }
    }

    fn is_mutable(&self, param: usize) -> bool {
        self.file.model.params.get(param).is_some_and(|param| param.mutable)
    }

    /// A parameter itself.
    pub(super) fn place(&self, param: usize) -> Result<String, Failed> {
        self.params.get(&param).cloned().ok_or_else(|| format!("parameter {param} is not known here"))
    }

    /// What a parameter holds at this point.
    fn load(&mut self, param: usize, wanted: &str) -> Result<String, Failed> {
        let Some(token) = &self.memory else { return self.place(param) };
        if let Some(name) = token.loads.get(&param) {
            return Ok(name.clone());
        }
        let inputs = vec![self.place(param)?, token.current.clone()];
        let held = self.file.model.params.get(param);
        let spec = held.map(|held| Spec::fixed(held.tensor.dtype(), held.tensor.shape()));
        let description = value::description(&Nest::Leaf, &mut spec.into_iter());
        let name = self.framework(Framework::Load, &Vec::new(), wanted, inputs, description);
        if let Some(token) = &mut self.memory {
            token.note_load(param, &name);
        }
        Ok(name)
    }

    pub(super) fn load_node(&mut self, node: &Node) -> Result<(), Failed> {
        let (Some(Some(Arg::Value(from))), Some(to)) = (node.args.first(), node.outputs.first()) else {
            return Err("a read has no parameter".to_string());
        };
        let name = match self.graph.values.find(*from).map(|value| &value.def) {
            Some(Def::Param(param)) => self.load(*param, &self.value_name(*to))?,
            _ => self.value(*from)?,
        };
        self.name(*to, name);
        Ok(())
    }

    fn tensor(&mut self, wanted: &str, tensor: &Tensor) -> String {
        let key = format!("{:?}", (tensor.bytes().as_ptr(), tensor.dtype(), tensor.shape())).into_bytes();
        if let Some(name) = self.constants.get(&key) {
            return name.clone();
        }
        let name = self.file.names.unique(wanted.to_string());
        self.constant_node(&name, value::attribute("value", &Const::Tensor(tensor.clone())));
        self.constants.insert(key, name.clone());
        name
    }

    /// A constant that is no tensor, once in every graph.
    pub(super) fn constant(&mut self, value: &Const) -> String {
        if let Const::Tensor(tensor) = value {
            return self.tensor("tensor", tensor);
        }
        let attribute = value::attribute("value", value);
        let key = attribute.encode_to_vec();
        if let Some(name) = self.constants.get(&key) {
            return name.clone();
        }
        let name = self.file.names.unique("constant".to_string());
        self.constant_node(&name, attribute);
        self.constants.insert(key, name.clone());
        name
    }

    pub(super) fn constant_node(&mut self, name: &str, value: AttributeProto) {
        self.nodes.push(NodeProto {
            output: vec![name.to_string()],
            name: Some(name.to_string()),
            op_type: Some("Constant".to_string()),
            attribute: vec![value],
            ..Default::default()
        });
    }
}

/// The Python number that a tensor without dimensions stands for.
fn python(tensor: &Tensor) -> Option<Const> {
    if !tensor.shape().is_empty() {
        return None;
    }
    let dtype = tensor.dtype();
    if dtype == DType::Bool {
        tensor.to_i64s().ok()?.first().map(|flag| Const::Bool(*flag != 0))
    } else if dtype.is_int() {
        tensor.to_i64s().ok()?.first().map(|number| Const::Int(*number))
    } else if dtype.is_float() {
        tensor.to_f64s().ok()?.first().map(|number| Const::Float(*number as f32))
    } else {
        None
    }
}
