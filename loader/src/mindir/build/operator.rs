//! Operators: inputs and attributes become arguments in the order of the operator's signature.

use std::sync::Arc;

use mindir_graph::graph::{Arg, Nest, NodeKind, Opaque, Primitive, ValueId};
use mindir_graph::op::{Const, Effect, OpDef, Param, ParamKind, Pure, Results};
use mindir_graph::{DType, Dim, Spec};
use mindir_proto::mindir::AttributeProto;

use super::fault::GraphFault;
use super::form::{self, Form};
use super::literal::Literal;
use super::program::{Operator, WireNode};
use super::sym::Sym;
use super::walk::{Walk, weight};

/// Characters of a name that names of parts take over.
const LONGEST: usize = 500;

/// Attributes that mark operators with consequences besides their results.
const EFFECTS: [&str; 3] = ["side_effect_mem", "side_effect_io", "side_effect_hidden"];

/// An argument before it is an argument of a node.
#[derive(Clone, Debug)]
enum Bound {
    Input(Sym),
    /// More inputs than parameters, collected for the last one.
    Rest(Vec<Sym>),
    Attribute(Const),
}

/// The attributes of an operator: the primitive's, or in old files the node's.
pub(super) struct Attributes<'a>(Vec<&'a AttributeProto>);

impl<'a> Attributes<'a> {
    pub(super) fn of(operator: Operator<'a>, node: &WireNode<'a>) -> Attributes<'a> {
        let own = node.proto.attribute.iter().filter(|attribute| !form::is_description(attribute));
        Attributes(operator.primitive.into_iter().flat_map(|p| &p.attribute).chain(own).collect())
    }

    fn get(&self, name: &str) -> Option<&'a AttributeProto> {
        self.0.iter().find(|attribute| attribute.name.as_deref() == Some(name)).copied()
    }

    /// The attribute that holds a parameter of the signature.
    pub(super) fn of_param(&self, param: &Param) -> Option<&'a AttributeProto> {
        std::iter::once(param.name).chain(param.aliases.iter().copied()).find_map(|name| self.get(name))
    }

    /// The attributes that hold no parameter of `def`, without traces of earlier loading.
    fn besides(&self, def: &OpDef) -> Vec<&'a AttributeProto> {
        let held: Vec<_> = def.params.iter().filter_map(|param| self.of_param(param)).collect();
        let rest =
            self.0.iter().copied().filter(|attribute| !held.iter().any(|other| std::ptr::eq(*other, *attribute)));
        rest.filter(|attribute| !matches!(attribute.name.as_deref(), Some("is_load" | "primitive_function"))).collect()
    }

    pub(super) fn flag(&self, name: &str) -> bool {
        self.get(name).is_some_and(|attribute| matches!(Literal::of(attribute), Ok(Literal::Const(Const::Bool(true)))))
    }

    fn has_effect(&self) -> bool {
        EFFECTS.iter().any(|name| self.flag(name))
    }
}

impl<'a> Walk<'_, 'a> {
    /// Appends an operator and returns what its node stands for.
    pub(super) fn operator(
        &mut self,
        operator: Operator<'a>,
        node: &WireNode<'a>,
        args: Vec<Sym>,
    ) -> Result<Sym, GraphFault> {
        let attributes = Attributes::of(operator, node);
        self.shared.spend(attributes.0.len())?;
        let given = args.len();
        let mut args: Vec<Sym> = args.into_iter().filter(|arg| !matches!(arg, Sym::Token)).collect();
        let token = args.len() < given;
        if !token {
            self.write_through(operator, node, &mut args)?;
        }
        let args = if token { args.iter().map(|arg| self.current(arg)).collect::<Result<_, _>>()? } else { args };
        match operator.def {
            Some(def) => self.known(operator, def, &attributes, node, args, token),
            None => self.unknown(operator, &attributes, node, args, token),
        }
    }

    /// An operator that MindSpore does not know to write still writes the parameter itself that it is given by `Load`.
    fn write_through(
        &mut self,
        operator: Operator<'a>,
        node: &WireNode<'a>,
        args: &mut [Sym],
    ) -> Result<(), GraphFault> {
        let Some(Effect::Writes(writes)) = operator.def.map(|def| def.effect) else { return Ok(()) };
        for place in writes.args {
            if let (Some(arg), Some(from)) = (args.get_mut(*place), node.inputs.get(*place))
                && let Some(param) = self.program.loaded(*from)
            {
                *arg = self.sym(param)?;
            }
        }
        Ok(())
    }

    fn known(
        &mut self,
        operator: Operator<'a>,
        def: &'static OpDef,
        attributes: &Attributes<'a>,
        node: &WireNode<'a>,
        args: Vec<Sym>,
        token: bool,
    ) -> Result<Sym, GraphFault> {
        let mut bound = self.bind(def, attributes, args)?;
        let writes = written(def, &bound);
        let view = token && operator.name.ends_with("View");
        let viewed = match bound.first_mut() {
            Some(Some(Bound::Input(sym @ Sym::Param(_)))) if view => {
                let param = sym.clone();
                *sym = self.load(param.clone(), "viewed", None)?;
                Some(param)
            }
            _ => None,
        };
        if let [place] = writes
            && let Some(Some(Bound::Input(target @ (Sym::Value(_) | Sym::Tensor(_))))) = bound.get(*place)
        {
            let target = self.value(target)?;
            return self.in_place(def, node, bound, target);
        }
        let mut changed = Vec::new();
        for place in writes {
            if let Some(Some(Bound::Input(Sym::Param(param) | Sym::Written { param, .. }))) = bound.get(*place) {
                self.shared.found.insert(*param);
                changed.push(*param);
            }
        }
        let arguments = self.arguments(bound, writes)?;
        let mut outputs = Vec::new();
        let sym = self.results(Some(def), node, &mut outputs)?;
        let sym = match sym {
            Sym::Value(value) => self.alias(value, &changed, node),
            other => other,
        };
        let effect = matches!(def.effect, Effect::Random | Effect::Io | Effect::Raises) || !writes.is_empty();
        let primitive = self.primitive_of(operator, def, attributes, node)?;
        self.emit(node, NodeKind::Op(def), arguments, outputs, effect)?;
        self.describe(primitive);
        if view {
            self.views(def, viewed);
        }
        Ok(sym)
    }

    /// An operator that writes a value that the graph computed: its result is what is there from then on.
    fn in_place(
        &mut self,
        def: &'static OpDef,
        node: &WireNode<'a>,
        bound: Vec<Option<Bound>>,
        target: ValueId,
    ) -> Result<Sym, GraphFault> {
        let arguments = self.arguments(bound, &[])?;
        let spec = self.graph.value(target).spec.clone();
        let name = node.short;
        let (kind, arguments, cast) = match def.pure.zip(spec.dtype) {
            Some((pure, dtype)) => {
                let cast = !self.keeps_type(pure, &arguments, dtype);
                let (kind, arguments) = self.without_write(pure, target, arguments)?;
                (kind, arguments, cast.then_some(dtype))
            }
            None => (NodeKind::Op(def), arguments, None),
        };
        let mut value = self.result(name, if cast.is_some() { Spec::default() } else { spec.clone() });
        self.emit(node, kind, arguments, vec![value], false)?;
        if let Some(dtype) = cast {
            let computed = std::mem::replace(&mut value, self.result(name, spec));
            let arguments = vec![Some(Arg::Value(computed)), Some(Arg::Const(Const::DType(dtype)))];
            let kind = self.primitive("Cast");
            self.emit(node, kind, arguments, vec![value], false)?;
        }
        self.write(target, value)?;
        Ok(Sym::Value(value))
    }

    /// The operator that computes what another one of these arguments writes to `target`, and its arguments.
    fn without_write(
        &mut self,
        pure: Pure,
        target: ValueId,
        mut arguments: Vec<Option<Arg>>,
    ) -> Result<(NodeKind, Vec<Option<Arg>>), GraphFault> {
        match pure {
            Pure::As(name) => Ok((self.primitive(name), arguments)),
            Pure::Of(name, numbers) => {
                let picked = numbers.iter().map(|i| arguments.get_mut(*i).and_then(Option::take)).collect();
                Ok((self.primitive(name), picked))
            }
            Pure::Copy => {
                let source = arguments.get_mut(1).and_then(Option::take);
                let dims = self
                    .graph
                    .value(target)
                    .spec
                    .dims
                    .as_ref()
                    .map(|dims| [Dim::Known(dims.len())].into_iter().collect());
                let spec = Spec { dtype: Some(DType::I64), dims };
                let shape = self.computed("shape", "Shape", vec![Some(Arg::Value(target))], spec)?;
                Ok((self.primitive("BroadcastTo"), vec![source, Some(shape)]))
            }
            Pure::Rows(name) => {
                if let Some(slot) = arguments.get_mut(1) {
                    let last = Some(Arg::Const(Const::Int(-1)));
                    *slot = Some(self.computed("index", "ExpandDims", vec![slot.take(), last], Spec::default())?);
                }
                Ok((self.primitive(name), arguments))
            }
        }
    }

    /// The result of an operator that the file does not name.
    fn computed(
        &mut self,
        name: &str,
        operator: &str,
        arguments: Vec<Option<Arg>>,
        spec: Spec,
    ) -> Result<Arg, GraphFault> {
        let value = self.result(name, spec);
        let kind = self.primitive(operator);
        self.emit_named(name, None, kind, arguments, vec![value], false)?;
        Ok(Arg::Value(value))
    }

    /// Whether what is computed from these arguments certainly has this type.
    fn keeps_type(&self, pure: Pure, arguments: &[Option<Arg>], dtype: DType) -> bool {
        let (mut same, read) = match pure {
            Pure::Copy => (true, arguments.get(1..2).unwrap_or_default()),
            _ => (dtype.is_float(), arguments),
        };
        let mut values = 0;
        let mut look = |value| {
            values += 1;
            same &= self.graph.value(value).spec.dtype == Some(dtype);
        };
        read.iter().flatten().for_each(|argument| argument.each_value(&mut look));
        same && values > 0
    }

    fn arguments(&mut self, bound: Vec<Option<Bound>>, writes: &[usize]) -> Result<Vec<Option<Arg>>, GraphFault> {
        let mut arguments = Vec::with_capacity(bound.len());
        for (place, bound) in bound.into_iter().enumerate() {
            arguments.push(match bound {
                None => None,
                Some(bound) => Some(self.argument(bound, writes.contains(&place))?),
            });
        }
        Ok(arguments)
    }

    /// A primitive that is not in the list keeps its arguments and attributes as they are.
    fn unknown(
        &mut self,
        operator: Operator<'a>,
        attributes: &Attributes<'a>,
        node: &WireNode<'a>,
        args: Vec<Sym>,
        token: bool,
    ) -> Result<Sym, GraphFault> {
        let writes = token && attributes.flag("side_effect_mem");
        let mut arguments = Vec::with_capacity(args.len());
        for arg in args {
            if let (true, Sym::Param(param) | Sym::Written { param, .. }) = (writes, &arg) {
                self.shared.found.insert(*param);
            }
            arguments.push(Some(self.argument(Bound::Input(arg), writes)?));
        }
        let attrs = self.constants(&attributes.0)?;
        let mut outputs = Vec::new();
        let sym = self.results(None, node, &mut outputs)?;
        let kind = NodeKind::Opaque(Opaque { op_type: operator.shared_name(), attrs });
        let nest = nest(&Form::of_node(node.proto), node.picked);
        let function = operator.is_function();
        let primitive = Primitive { name: operator.name.into(), function, attrs: Vec::new(), nest };
        self.emit(node, kind, arguments, outputs, token || attributes.has_effect())?;
        self.describe(Some(primitive));
        Ok(sym)
    }

    /// The values of attributes; those that cannot be read are left out.
    fn constants(&mut self, list: &[&'a AttributeProto]) -> Result<Vec<(Arc<str>, Const)>, GraphFault> {
        let mut constants = Vec::with_capacity(list.len());
        for attribute in list {
            if let Ok(value) = Literal::of(attribute) {
                let value = value.into_const();
                self.shared.spend(weight(&value))?;
                constants.push((attribute.name.as_deref().unwrap_or_default().into(), value));
            }
        }
        Ok(constants)
    }

    /// What the file says about an operator besides its arguments; `None` if the operator says it all.
    fn primitive_of(
        &mut self,
        operator: Operator<'a>,
        def: &'static OpDef,
        attributes: &Attributes<'a>,
        node: &WireNode<'a>,
    ) -> Result<Option<Primitive>, GraphFault> {
        let rest = attributes.besides(def);
        let nest = nest(&Form::of_node(node.proto), node.picked);
        let usual = match &nest {
            Nest::Tuple(items) => items.len() != 1 && items.iter().all(|item| item.leaves() == 1),
            other => other.leaves() == 1,
        };
        if operator.name == def.name && rest.is_empty() && usual {
            return Ok(None);
        }
        let (name, function) = (operator.name.into(), operator.is_function());
        Ok(Some(Primitive { name, function, attrs: self.constants(&rest)?, nest }))
    }

    /// Adds what else the file says to the last node.
    fn describe(&mut self, primitive: Option<Primitive>) {
        if let Some(node) = self.graph.nodes.last_mut() {
            node.primitive = primitive.map(Arc::new);
        }
    }

    /// Inputs fill the signature in order; attributes fill what no input gives.
    fn bind(
        &mut self,
        def: &'static OpDef,
        attributes: &Attributes<'a>,
        args: Vec<Sym>,
    ) -> Result<Vec<Option<Bound>>, GraphFault> {
        let named: Vec<_> = def.params.iter().map(|param| attributes.of_param(param)).collect();
        // Old files keep arguments in front of tensors as attributes: inputs fill the places that no attribute fills.
        let free = named.iter().filter(|attribute| attribute.is_none()).count();
        let around = args.len() <= free;
        let found = args.len();
        let mut args = args.into_iter();
        let mut bound: Vec<Option<Bound>> = Vec::with_capacity(named.len());
        for (param, attribute) in def.params.iter().zip(&named) {
            let last = bound.len() + 1 == def.params.len();
            bound.push(match attribute {
                Some(attribute) if around => Some(self.attribute(attribute)?),
                _ if last && param.kind == ParamKind::Tensors && args.len() > 1 => {
                    Some(Bound::Rest(args.by_ref().collect()))
                }
                attribute => match (args.next(), attribute) {
                    (Some(arg), _) => Some(Bound::Input(arg)),
                    (None, Some(attribute)) => Some(self.attribute(attribute)?),
                    (None, None) => None,
                },
            });
        }
        let none = |arg: Sym| matches!(arg, Sym::Const(value) if *value == Const::None);
        if args.all(none) {
            return Ok(bound);
        }
        Err(GraphFault::Arity { name: def.name.to_string(), expected: def.params.len(), found })
    }

    fn attribute(&mut self, attribute: &AttributeProto) -> Result<Bound, GraphFault> {
        let value = Literal::of(attribute)?.into_const();
        self.shared.spend(weight(&value))?;
        Ok(Bound::Attribute(value))
    }

    fn argument(&mut self, bound: Bound, written: bool) -> Result<Arg, GraphFault> {
        match bound {
            Bound::Input(Sym::Written { param, .. }) if written => Ok(Arg::Value(self.param(param))),
            Bound::Input(sym) => self.arg(&sym),
            Bound::Rest(syms) => {
                let tuple = Sym::tuple(syms)?;
                self.arg(&tuple)
            }
            Bound::Attribute(value) => Ok(Arg::Const(value)),
        }
    }

    /// What an operator's node stands for; its results go to `outputs`.
    fn results(
        &mut self,
        def: Option<&OpDef>,
        node: &WireNode<'a>,
        outputs: &mut Vec<ValueId>,
    ) -> Result<Sym, GraphFault> {
        let mut form = Form::of_node(node.proto);
        let vector = form.vector();
        if vector.is_some() || def.is_some_and(|def| def.results == Results::Numbers) {
            form = Form::Tensor(vector.unwrap_or_default());
        } else if form == Form::Unknown && node.picked > 0 {
            form = Form::Tuple(vec![Form::Unknown; node.picked]);
        }
        self.allocate(&form, node.short, outputs)
    }

    /// Values for something of this form.
    pub(super) fn allocate(&mut self, form: &Form, name: &str, outputs: &mut Vec<ValueId>) -> Result<Sym, GraphFault> {
        self.shared.spend(1 + name.len() / 8)?;
        match form {
            Form::Tuple(items) => {
                let mut syms = Vec::with_capacity(items.len());
                for (place, item) in items.iter().enumerate() {
                    syms.push(self.allocate(item, &part_name(name, place), outputs)?);
                }
                Sym::tuple(syms)
            }
            Form::None => Ok(Sym::constant(Const::None)),
            Form::Token => Ok(Sym::Token),
            Form::Text => Err(GraphFault::Unsupported("text computed at run time".to_string())),
            Form::Function => Err(GraphFault::Unsupported("functions as results".to_string())),
            Form::Unknown | Form::Tensor(_) | Form::Scalar(_) | Form::Any(_) | Form::Never => {
                let value = self.result(name, form.spec());
                outputs.push(value);
                Ok(Sym::Value(value))
            }
        }
    }

    /// The result of an operator that wrote parameters, if the file says that it is one of them.
    fn alias(&self, value: ValueId, written: &[usize], node: &WireNode<'a>) -> Sym {
        let Some(key) = form::parameter_of(node.proto) else { return Sym::Value(value) };
        let named = |param: &usize| self.program.params.get(*param).is_some_and(|p| &*p.name == key);
        let param = match written {
            [one] => Some(*one),
            several => several.iter().copied().find(named),
        };
        param.map_or(Sym::Value(value), |param| Sym::Written { param, value })
    }
}

/// How the results of a node of this form nest.
fn nest(form: &Form, picked: usize) -> Nest {
    match form {
        Form::Unknown if picked > 0 => Nest::Tuple(vec![Nest::Leaf; picked]),
        Form::Tuple(_) if form.vector().is_some() => Nest::Leaf,
        Form::Tuple(items) => Nest::Tuple(items.iter().map(|item| nest(item, 0)).collect()),
        Form::None | Form::Token => Nest::None,
        _ => Nest::Leaf,
    }
}

/// Name of a part of something that may have a long name.
pub(super) fn part_name(name: &str, place: usize) -> String {
    let end = name.char_indices().nth(LONGEST).map_or(name.len(), |(end, _)| end);
    format!("{}.{place}", name.get(..end).unwrap_or_default())
}

/// The places of arguments that an operator writes.
fn written(def: &OpDef, bound: &[Option<Bound>]) -> &'static [usize] {
    let (flag, args) = match def.effect {
        Effect::Writes(writes) => return writes.args,
        Effect::WritesIf(flag, writes) => (flag, writes.args),
        _ => return &[],
    };
    match bound.get(flag) {
        Some(Some(Bound::Attribute(Const::Bool(true)))) => args,
        Some(Some(Bound::Input(Sym::Const(value)))) if **value == Const::Bool(true) => args,
        _ => &[],
    }
}
