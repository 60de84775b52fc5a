//! Arguments in the form that an operator's signature says files have.

use std::sync::Arc;

use mindir_graph::op::{Const, Held, OpDef, Param};

/// Attributes by name.
pub(super) type Attributes = Vec<(Arc<str>, Const)>;

/// `value` as the attribute `param`; `None` leaves it out.
pub(super) fn attribute(param: &Param, value: Const) -> Option<Const> {
    let found = param.texts.iter().find(|(number, text)| match &value {
        Const::Int(held) => held == number,
        Const::Str(held) => held.eq_ignore_ascii_case(text),
        _ => false,
    });
    match found {
        Some((_, text)) if param.held == Held::Small => Some(Const::Str((*text).into())),
        Some((_, text)) => Some(Const::Str(text.to_uppercase().into())),
        None => argument(param, value),
    }
}

/// `value` as the argument `param`; `None` leaves it out.
pub(super) fn argument(param: &Param, value: Const) -> Option<Const> {
    match (param.held, integers(&value)) {
        (Held::KernelOf(_), Some(numbers)) if numbers.is_empty() => None,
        (Held::Pairs, Some(numbers)) => {
            Some(Const::Tuple(numbers.chunks(2).map(|pair| tuple(pair.iter().copied())).collect()))
        }
        (held, Some(numbers)) => match spread(&numbers, held) {
            Some(numbers) if numbers.is_empty() => None,
            Some(numbers) => Some(tuple(numbers)),
            None => Some(value),
        },
        (_, None) => Some(value),
    }
}

/// Sets an attribute unless it is there.
pub(super) fn complete(attributes: &mut Attributes, name: &str, value: Const) {
    if !attributes.iter().any(|(key, _)| &**key == name) {
        attributes.push((name.into(), value));
    }
}

/// Adds what follows from other attributes and from the dimensions of arguments, which `dims` gives by name.
pub(super) fn derive(def: &OpDef, attributes: &mut Attributes, dims: impl Fn(&str) -> Option<Vec<i64>>) {
    for (name, from) in def.copies {
        let value = attributes.iter().find(|(held, _)| &**held == *from).map(|(_, value)| value.clone());
        value.into_iter().for_each(|value| complete(attributes, name, value));
    }
    for param in def.params {
        let value = match param.held {
            Held::DimOf(of, dim) => dims(of).and_then(|dims| dims.get(dim).copied()).map(Const::Int),
            Held::KernelOf(of) => dims(of).and_then(|dims| Some(tuple(dims.get(2..)?.iter().copied()))),
            _ => None,
        };
        value.into_iter().for_each(|value| complete(attributes, param.name, value));
    }
}

/// A number, or a tuple of numbers.
pub(super) fn integers(value: &Const) -> Option<Vec<i64>> {
    match value {
        Const::Int(number) => Some(vec![*number]),
        Const::Tuple(items) => {
            items.iter().map(|item| if let Const::Int(number) = item { Some(*number) } else { None }).collect()
        }
        _ => None,
    }
}

fn tuple(numbers: impl IntoIterator<Item = i64>) -> Const {
    Const::Tuple(numbers.into_iter().map(Const::Int).collect())
}

/// The numbers in a list's form; `None` if it is no list, or if there are too many or too few.
fn spread(numbers: &[i64], held: Held) -> Option<Vec<i64>> {
    let n = match held {
        Held::Spatial(n) | Held::Whole(n) | Held::Middle(n) | Held::Sides(n) => n,
        Held::List => return Some(numbers.to_vec()),
        _ => return None,
    };
    let one = match *numbers {
        [all] => Some(vec![all; n]),
        _ => (numbers.len() == n).then(|| numbers.to_vec()),
    };
    match held {
        _ if numbers.is_empty() => Some(Vec::new()),
        // Ending in 1 they may be those of images with channels last.
        Held::Spatial(_) if numbers.len() == n + 2 && numbers.last() != Some(&1) => {
            numbers.get(2..).map(<[i64]>::to_vec)
        }
        Held::Whole(_) | Held::Middle(_) if numbers.len() == n + 2 => Some(numbers.to_vec()),
        Held::Sides(_) if numbers.len() == 2 * n => Some(numbers.to_vec()),
        Held::Whole(_) => Some([vec![1, 1], one?].concat()),
        Held::Middle(_) => Some([vec![1], one?, vec![1]].concat()),
        Held::Sides(_) => Some(one?.into_iter().flat_map(|side| [side, side]).collect()),
        _ => one,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn def(op: &str) -> &'static OpDef {
        mindir_graph::ops::find(op).unwrap_or_else(|| panic!("no operator {op}"))
    }

    fn param(op: &str, name: &str) -> &'static Param {
        let found = def(op).params.iter().find(|param| param.name == name);
        found.unwrap_or_else(|| panic!("{op} has no argument {name}"))
    }

    #[test]
    fn lists_have_their_length() {
        let written = |op, name, numbers: &[i64]| {
            argument(param(op, name), tuple(numbers.to_vec())).and_then(|value| integers(&value))
        };
        assert_eq!(written("Conv2D", "stride", &[2]), Some(vec![1, 1, 2, 2]));
        assert_eq!(written("Conv2D", "pad", &[1, 2]), Some(vec![1, 1, 2, 2]));
        assert_eq!(written("Conv2D", "pad_list", &[]), None);
        assert_eq!(written("MaxPoolWithArgmax", "strides", &[2, 3]), Some(vec![1, 2, 3, 1]));
        assert_eq!(written("AvgPool", "kernel_size", &[1, 1, 3, 2]), Some(vec![3, 2]));
        assert_eq!(written("AvgPool", "kernel_size", &[1, 3, 2, 1]), Some(vec![1, 3, 2, 1]));
        assert_eq!(written("Transpose", "dims", &[1, 0]), Some(vec![1, 0]));
    }

    #[test]
    fn texts_are_in_the_operators_letters() {
        let written = |op, name, value: Const| attribute(param(op, name), value);
        assert_eq!(written("MaxPool", "pad_mode", Const::Str("same".into())), Some(Const::Str("SAME".into())));
        assert_eq!(written("Conv3D", "pad_mode", Const::Int(2)), Some(Const::Str("valid".into())));
        assert_eq!(written("AvgPool3D", "format", Const::Int(14)), Some(Const::Str("NCDHW".into())));
        assert_eq!(written("PadV3", "mode", Const::Int(0)), Some(Const::Str("constant".into())));
    }

    #[test]
    fn filters_say_channels_and_kernel() {
        let derived = |op, filters: &str, dims: [i64; 4]| {
            let mut attributes = Attributes::new();
            derive(def(op), &mut attributes, |name| (name == filters).then(|| dims.to_vec()));
            attributes
        };
        let has = |attributes: &Attributes, name: &str, value| attributes.contains(&(name.into(), value));
        let conv = derived("Conv2D", "weight", [8, 3, 5, 4]);
        assert!(has(&conv, "out_channel", Const::Int(8)) && has(&conv, "kernel_size", tuple([5, 4])), "{conv:?}");
        let gradient = derived("Conv2DBackpropFilter", "filter_size", [8, 3, 5, 4]);
        assert!(has(&gradient, "kernel_size", tuple([5, 4])), "{gradient:?}");
    }
}
