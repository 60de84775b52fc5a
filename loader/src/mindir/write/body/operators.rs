//! Operators by their signatures.

use mindir_graph::graph::{Arg, Nest, Node, NodeKind};
use mindir_graph::op::{Const, Effect, Held, Kind, OpDef, Param};

use super::super::super::framework::Framework;
use super::super::attributes::{self, Attributes};
use super::super::needs::Effects;
use super::{Body, Failed};

impl<'m> Body<'_, 'm> {
    pub(super) fn operator(&mut self, node: &'m Node, def: &'static OpDef) -> Result<(), Failed> {
        let op = node.primitive.as_ref().map_or(def.written(), |primitive| &primitive.name);
        let kind = def.kind_of(op);
        let mut attributes = node.primitive.as_ref().map(|primitive| primitive.attrs.clone()).unwrap_or_default();
        let written: &[usize] = if let Effect::Writes(writes) = node.effect() { writes.args } else { &[] };
        let mut inputs = Vec::with_capacity(def.params.len());
        for (place, param) in def.params.iter().enumerate() {
            let arg = node.args.get(place).and_then(Option::as_ref);
            if param.is_attribute(kind) {
                let value = attribute(param, arg)?;
                value.into_iter().for_each(|value| attributes::complete(&mut attributes, param.name, value));
                continue;
            }
            match arg {
                Some(Arg::Value(value)) if written.contains(&place) => inputs.push(self.variable(*value)?),
                Some(arg) if param.held == Held::Items => self.items(arg, &mut inputs)?,
                Some(Arg::Value(value)) if param.held == Held::Number => inputs.push(self.number(*value)?),
                Some(Arg::Const(value @ (Const::Int(_) | Const::Tuple(_)))) => {
                    let value = attributes::argument(param, value.clone());
                    inputs.push(self.constant(&value.unwrap_or(Const::None)));
                }
                Some(arg) => inputs.push(self.arg(arg, Some(param))?),
                None if kind == Kind::Classic => {}
                None => {
                    let default = (param.default)().ok_or_else(|| format!("argument {} is missing", param.name))?;
                    let value = attributes::argument(param, default);
                    inputs.push(self.constant(&value.unwrap_or(Const::None)));
                }
            }
        }
        if kind == Kind::Classic {
            attributes::derive(def, &mut attributes, |name| self.dims(node, def, name));
        }
        let nest = node.primitive.as_ref().map_or_else(|| def.nest(node.outputs.len()), |p| p.nest.clone());
        self.with_effects(node, op, kind.is_function(), attributes, inputs, &nest);
        Ok(())
    }

    /// The dimensions of argument `name`, or those that it states, if they are known.
    fn dims(&self, node: &Node, def: &OpDef, name: &str) -> Option<Vec<i64>> {
        let place = def.params.iter().position(|param| param.name == name)?;
        match node.args.get(place)?.as_ref()? {
            Arg::Value(value) => self.spec(*value).shape()?.iter().map(|dim| i64::try_from(*dim).ok()).collect(),
            Arg::Const(value) => attributes::integers(value),
            Arg::List(_) => None,
        }
    }

    /// A primitive that is not in the list.
    pub(super) fn unknown(&mut self, node: &'m Node) -> Result<(), Failed> {
        let NodeKind::Opaque(opaque) = &node.kind else { return Ok(()) };
        let memory = Effects::of(node).memory;
        let mut inputs = Vec::with_capacity(node.args.len());
        for arg in node.args.iter().flatten() {
            inputs.push(match arg {
                Arg::Value(value) if memory => self.variable(*value)?,
                arg => self.arg(arg, None)?,
            });
        }
        let usual = || Nest::results(node.outputs.len());
        let nest = node.primitive.as_ref().map_or_else(usual, |primitive| primitive.nest.clone());
        let function = node.primitive.as_ref().is_some_and(|primitive| primitive.function);
        self.with_effects(node, &opaque.op_type, function, opaque.attrs.clone(), inputs, &nest);
        Ok(())
    }

    /// A node with the tokens that its effects take.
    fn with_effects(
        &mut self,
        node: &Node,
        op: &str,
        function: bool,
        mut attributes: Attributes,
        mut inputs: Vec<String>,
        nest: &Nest,
    ) {
        let effects = Effects::of(node);
        let kinds = [(false, effects.memory, "side_effect_mem"), (true, effects.io, "side_effect_io")];
        for (io, has, mark) in kinds {
            if has {
                attributes::complete(&mut attributes, mark, Const::Bool(true));
                inputs.push(self.flush(io));
            }
        }
        let op_type = self.file.primitives.reference(&mut self.file.names, op, function, &attributes);
        let name = self.emit(node, op_type, inputs, nest);
        for (io, has, _) in kinds {
            if has {
                self.update(io, vec![name.clone()]);
            }
        }
    }

    /// An argument of an operator's input.
    pub(super) fn arg(&mut self, arg: &Arg, param: Option<&Param>) -> Result<String, Failed> {
        match arg {
            Arg::Value(value) => self.value(*value),
            Arg::Const(text @ Const::Str(_)) => {
                let number = param.and_then(|param| (param.canonical)(text));
                Ok(self.constant(number.as_ref().unwrap_or(text)))
            }
            Arg::Const(value) => Ok(self.constant(value)),
            Arg::List(items) => {
                let names: Result<Vec<_>, _> = items.iter().map(|item| self.arg(item, None)).collect();
                Ok(self.framework(Framework::MakeTuple, &Vec::new(), "tuple", names?, None))
            }
        }
    }

    /// The items of a tuple as inputs of their own.
    fn items(&mut self, arg: &Arg, inputs: &mut Vec<String>) -> Result<(), Failed> {
        match arg {
            Arg::List(items) => items.iter().try_for_each(|item| self.items(item, inputs)),
            Arg::Const(Const::Tuple(items)) => {
                items.iter().try_for_each(|item| self.items(&Arg::Const(item.clone()), inputs))
            }
            arg => {
                inputs.push(self.arg(arg, None)?);
                Ok(())
            }
        }
    }
}

/// The value of an attribute; `None` leaves it out.
fn attribute(param: &Param, arg: Option<&Arg>) -> Result<Option<Const>, Failed> {
    let value = match arg {
        Some(Arg::Const(value)) => Some(value.clone()),
        Some(_) => return Err(format!("argument {} must be constant, because it is an attribute", param.name)),
        None => (param.default)().filter(|value| *value != Const::None),
    };
    Ok(value.and_then(|value| attributes::attribute(param, value)))
}
