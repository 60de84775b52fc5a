//! Nodes with what their results nest in, taken apart and put together.

use mindir_graph::Spec;
use mindir_graph::graph::{Nest, Node, ValueId};
use mindir_graph::op::Const;
use mindir_proto::mindir::{AttributeProto, NodeProto};

use super::super::super::framework::Framework;
use super::super::attributes::Attributes;
use super::super::value;
use super::{Body, Failed};

impl<'m> Body<'_, 'm> {
    /// A node of the graph: its results get names.
    pub(super) fn emit(&mut self, node: &Node, op_type: String, inputs: Vec<String>, nest: &Nest) -> String {
        let single = matches!(nest, Nest::Leaf | Nest::Number | Nest::Numbers);
        let wanted = match (single, node.outputs.first()) {
            (true, Some(value)) => self.value_name(*value),
            _ => node.name.clone(),
        };
        let specs: Vec<Spec> = node.outputs.iter().map(|value| self.spec(*value)).collect();
        let description = value::description(nest, &mut specs.into_iter());
        let domain = node.path.contains('/').then(|| node.path.to_string());
        let name = self.push(op_type, &wanted, inputs, description, domain);
        self.take_apart(&name, nest, &mut node.outputs.iter().copied());
        name
    }

    pub(super) fn push(
        &mut self,
        op_type: String,
        wanted: &str,
        inputs: Vec<String>,
        description: Option<AttributeProto>,
        domain: Option<String>,
    ) -> String {
        let name = self.local(wanted);
        if let Some(token) = &mut self.memory {
            token.note_use(&inputs, &name);
        }
        let attribute = description.map(|d| AttributeProto { name: Some("shape".to_string()), ..d });
        self.nodes.push(NodeProto {
            input: inputs,
            output: vec![name.clone()],
            name: Some(name.clone()),
            op_type: Some(op_type),
            attribute: attribute.into_iter().collect(),
            domain,
            ..Default::default()
        });
        name
    }

    /// A node of a primitive that only says how values hang together.
    pub(super) fn framework(
        &mut self,
        what: Framework,
        attributes: &Attributes,
        wanted: &str,
        inputs: Vec<String>,
        description: Option<AttributeProto>,
    ) -> String {
        let op_type = self.file.primitives.reference(&mut self.file.names, what.name(), false, attributes);
        self.push(op_type, wanted, inputs, description, None)
    }

    /// Names the tensors in something that nests.
    pub(super) fn take_apart(&mut self, name: &str, nest: &Nest, values: &mut impl Iterator<Item = ValueId>) {
        let (items, op) = match nest {
            Nest::Leaf | Nest::Number | Nest::Numbers => {
                if let Some(value) = values.next() {
                    self.name(value, name.to_string());
                }
                return;
            }
            Nest::None | Nest::Text(_) => return,
            Nest::Tuple(items) => (items, Framework::GetItem),
            Nest::List(items) => (items, Framework::GetListItem),
        };
        for (place, item) in items.iter().enumerate() {
            let inside: Vec<ValueId> = values.take(item.leaves()).collect();
            let used = inside.iter().any(|value| self.file.is_used(self.id, *value));
            if !used {
                continue;
            }
            let index = self.constant(&Const::Int(place as i64));
            let wanted = match inside.as_slice() {
                [one] => self.value_name(*one),
                _ => format!("item{place}").into(),
            };
            let specs: Vec<Spec> = inside.iter().map(|value| self.spec(*value)).collect();
            let description = value::description(item, &mut specs.into_iter());
            let element = self.framework(op, &Vec::new(), &wanted, vec![name.to_string(), index], description);
            self.take_apart(&element, item, &mut inside.into_iter());
        }
    }

    /// The name of something that nests.
    pub(super) fn put_together(
        &mut self,
        nest: &Nest,
        values: &mut dyn Iterator<Item = ValueId>,
    ) -> Result<String, Failed> {
        let (items, op) = match nest {
            Nest::Leaf | Nest::Numbers => return values.next().map_or(Err(missing()), |value| self.value(value)),
            Nest::Number => return values.next().map_or(Err(missing()), |value| self.number(value)),
            Nest::None => return Ok(self.constant(&Const::None)),
            Nest::Text(text) => return Ok(self.constant(&Const::Str(text.clone()))),
            Nest::Tuple(items) if items.is_empty() => return Ok(self.constant(&Const::Tuple(Vec::new()))),
            Nest::Tuple(items) => (items, Framework::MakeTuple),
            Nest::List(items) => (items, Framework::MakeList),
        };
        let mut names = Vec::with_capacity(items.len());
        let mut specs = Vec::new();
        for item in items {
            let inside: Vec<ValueId> = values.take(item.leaves()).collect();
            specs.extend(inside.iter().map(|value| self.spec(*value)));
            names.push(self.put_together(item, &mut inside.into_iter())?);
        }
        let description = value::description(nest, &mut specs.into_iter());
        Ok(self.framework(op, &Vec::new(), "tuple", names, description))
    }
}

fn missing() -> Failed {
    "a result is missing".to_string()
}
