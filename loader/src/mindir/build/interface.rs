//! What callers of a model see: which of its arguments and results are Python numbers, tuples and lists.

use mindir_graph::graph::{Argument, Nest};
use mindir_proto::mindir::{AttributeProto, AttributeType, GraphProto, ValueInfoProto};

use super::form::Form;
use super::program::WireGraph;

/// The arguments that the inputs of the entry graph stand for.
pub(super) fn arguments(wire: &WireGraph<'_>) -> Vec<Argument> {
    let argument = |(input, info): (&super::program::WireInput<'_>, &ValueInfoProto)| {
        let mut nest = shape(&input.form);
        describe(&mut nest, info.attr_info.as_deref());
        Argument { name: wire.short(input.name).into(), nest }
    };
    wire.inputs.iter().zip(&wire.proto.input).map(argument).collect()
}

/// Says of the results which the file declares as numbers and lists.
pub(super) fn refine(nest: &mut Nest, proto: &GraphProto) {
    match (nest, proto.output.as_slice()) {
        (nest, [one]) => describe(nest, one.attr_info.as_deref()),
        (Nest::Tuple(items), several) if items.len() == several.len() => {
            items.iter_mut().zip(several).for_each(|(item, info)| describe(item, info.attr_info.as_deref()));
        }
        _ => {}
    }
}

/// The tuples of a form, and the tensors in them.
fn shape(form: &Form) -> Nest {
    match form {
        Form::Tuple(items) => Nest::Tuple(items.iter().map(shape).collect()),
        Form::Any(_) => Nest::Numbers,
        Form::None | Form::Token => Nest::None,
        _ => Nest::Leaf,
    }
}

fn describe(nest: &mut Nest, declared: Option<&AttributeProto>) {
    use AttributeType as T;
    let Some(declared) = declared else { return };
    match (&mut *nest, declared.attribute_type()) {
        (Nest::Leaf, Some(T::Scalar)) => *nest = Nest::Number,
        (Nest::Leaf, Some(T::Tuple | T::List)) => *nest = Nest::Numbers,
        (Nest::Tuple(items), Some(kind @ (T::Tuple | T::List))) if items.len() == declared.values.len() => {
            items.iter_mut().zip(&declared.values).for_each(|(item, value)| describe(item, Some(value)));
            if kind == T::List {
                *nest = Nest::List(std::mem::take(items));
            }
        }
        _ => {}
    }
}
