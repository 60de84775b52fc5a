//! Arguments in the form that MindSpore's inference and kernels take.
//!
//! An operator here accepts one number for all spatial dimensions, one for each, or those of batch and channels too;
//! MindSpore's constructors bring them into one form before a file is written, and what reads files relies on it.

use mindir_graph::{Spec, op::Const};

use super::primitive::{Attributes, complete};

/// How many numbers a list must have.
#[derive(Clone, Copy)]
enum List {
    /// One for each of so many spatial dimensions.
    Spatial(usize),
    /// One for each dimension; those of batch and channels come first and are 1.
    Whole(usize),
    /// As before, but with one 1 before and one behind the spatial dimensions, whatever the format.
    Middle(usize),
    /// Two for each spatial dimension.
    Sides(usize),
    /// Pairs of two.
    Pairs,
    /// Any number.
    Any,
}

use List::{Any, Middle, Pairs, Sides, Spatial, Whole};

/// Forms of an operator's lists by argument.
type Lists = &'static [(&'static str, List)];

/// Lists by operator and argument.
const LISTS: &[(&[&str], Lists)] = &[
    (&["AdaptiveAvgPool3D"], &[("output_size", Spatial(3))]),
    (&["BatchToSpaceND"], &[("crops", Pairs)]),
    (&["LpNorm"], &[("axis", Any)]),
    (&["Pad", "SpaceToBatchND"], &[("paddings", Pairs)]),
    (&["AvgPool"], &[("kernel_size", Spatial(2)), ("strides", Spatial(2))]),
    (&["MaxPool", "MaxPoolGrad"], &[("kernel_size", Whole(2)), ("strides", Whole(2))]),
    (&["MaxPoolWithArgmax"], &[("kernel_size", Middle(2)), ("strides", Middle(2))]),
    (&["AvgPool3D", "MaxPool3D"], &[("kernel_size", Whole(3)), ("strides", Whole(3)), ("pad_list", Sides(3))]),
    (
        &["MaxPool3DWithArgmax"],
        &[("ksize", Spatial(3)), ("strides", Spatial(3)), ("pads", Spatial(3)), ("dilation", Spatial(3))],
    ),
    (
        &["Conv2D", "Conv2DBackpropInput", "Conv2DBackpropFilter", "DepthwiseConv2dNative"],
        &[("pad", Sides(2)), ("pad_list", Sides(2)), ("stride", Whole(2)), ("dilation", Whole(2))],
    ),
    (
        &["Conv3D", "Conv3DTranspose"],
        &[
            ("pad", Sides(3)),
            ("pad_list", Sides(3)),
            ("stride", Whole(3)),
            ("dilation", Whole(3)),
            ("output_padding", Whole(3)),
        ],
    ),
    (&["Im2Col"], &[("ksizes", Spatial(2)), ("strides", Spatial(2)), ("dilations", Spatial(2)), ("pads", Spatial(2))]),
];

/// Attributes that repeat an argument under another name: operator, attribute, argument.
const COPIES: &[(&str, &str, &str)] = &[
    ("Conv2D", "groups", "group"),
    ("Conv2DBackpropFilter", "groups", "group"),
    ("Conv2DBackpropFilter", "pad_list", "pad"),
    ("Conv2DBackpropInput", "groups", "group"),
    ("Conv2DBackpropInput", "pad_list", "pad"),
    ("Conv3D", "dilations", "dilation"),
    ("Conv3D", "groups", "group"),
    ("Conv3D", "strides", "stride"),
    ("Conv3DTranspose", "dilations", "dilation"),
    ("Conv3DTranspose", "groups", "group"),
    ("Conv3DTranspose", "pad_list", "pad"),
    ("Conv3DTranspose", "strides", "stride"),
];

/// Names of numbers by attribute.
const NAMES: &[(&str, &[(i64, &str)])] = &[
    ("format", &[(0, "NCHW"), (1, "NHWC"), (14, "NCDHW"), (17, "NDHWC")]),
    ("pad_mode", &[(0, "PAD"), (1, "SAME"), (2, "VALID"), (3, "CALCULATED")]),
    ("reduction", &[(0, "sum"), (1, "mean"), (2, "none"), (3, "batchmean")]),
    ("padding_mode", &[(0, "PAD"), (1, "SAME"), (2, "VALID"), (3, "CALCULATED")]),
];

/// Operators that have the names of padding modes in small letters.
const SMALL: &[&str] = &["Conv2D", "Conv3D", "Conv3DTranspose"];

/// Convolutions, whose second argument are filters: the attributes that their first and second dimension are.
const FILTERS: &[(&str, [Option<&str>; 2])] = &[
    ("Conv2D", [Some("out_channel"), None]),
    ("Conv2DBackpropFilter", [None, None]),
    ("Conv2DBackpropInput", [Some("out_channel"), None]),
    ("Conv3D", [Some("out_channel"), None]),
    ("Conv3DTranspose", [Some("in_channel"), Some("out_channel")]),
];

/// `value` as attribute `name` of `op` must be written; `None` leaves it out.
pub(super) fn attribute(op: &str, name: &str, value: Const) -> Option<Const> {
    let names = NAMES.iter().find(|(attribute, _)| *attribute == name).map_or(&[][..], |(_, names)| *names);
    let found = names.iter().find(|(number, text)| match &value {
        Const::Int(held) => held == number,
        Const::Str(held) => held.eq_ignore_ascii_case(text),
        _ => false,
    });
    match found {
        Some((_, text)) if name != "format" && SMALL.contains(&op) => Some(Const::Str(text.to_lowercase().into())),
        Some((_, text)) => Some(Const::Str((*text).into())),
        None => argument(op, name, value),
    }
}

/// `value` as argument `name` of `op` must be written; `None` leaves it out.
pub(super) fn argument(op: &str, name: &str, value: Const) -> Option<Const> {
    let lists = LISTS.iter().find(|(ops, _)| ops.contains(&op)).map_or(&[][..], |(_, lists)| *lists);
    let Some((_, list)) = lists.iter().find(|(list, _)| *list == name) else { return Some(value) };
    let Some(numbers) = integers(&value) else { return Some(value) };
    if matches!(list, Pairs) {
        return Some(Const::Tuple(numbers.chunks(2).map(|pair| tuple(pair.iter().copied())).collect()));
    }
    match spread(&numbers, *list) {
        Some(numbers) if numbers.is_empty() => None,
        Some(numbers) => Some(tuple(numbers)),
        None => Some(value),
    }
}

/// Adds what follows from other attributes and from the filters of a convolution, called `filters` here.
pub(super) fn derive(op: &str, attributes: &mut Attributes, filters: Option<&Spec>) {
    for (_, name, from) in COPIES.iter().filter(|(copied, ..)| *copied == op) {
        let value = attributes.iter().find(|(held, _)| &**held == *from).map(|(_, value)| value.clone());
        value.into_iter().for_each(|value| complete(attributes, name, value));
    }
    let Some((_, channels)) = FILTERS.iter().find(|(known, _)| *known == op) else { return };
    let Some(dims) = filters.and_then(Spec::shape) else { return };
    let dims: Vec<i64> = dims.iter().filter_map(|dim| i64::try_from(*dim).ok()).collect();
    for (name, dim) in channels.iter().zip(&dims) {
        name.iter().for_each(|name| complete(attributes, name, Const::Int(*dim)));
    }
    attributes.retain(|(name, value)| &**name != "kernel_size" || *value != Const::Tuple(Vec::new()));
    complete(attributes, "kernel_size", tuple(dims.into_iter().skip(2)));
}

fn integers(value: &Const) -> Option<Vec<i64>> {
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

/// The numbers in the form of `list`; `None` if there are too many or too few.
fn spread(numbers: &[i64], list: List) -> Option<Vec<i64>> {
    let n = if let Spatial(n) | Whole(n) | Middle(n) | Sides(n) = list { n } else { 0 };
    let one = |numbers: &[i64]| match *numbers {
        [all] => Some(vec![all; n]),
        _ if numbers.len() == n => Some(numbers.to_vec()),
        _ => None,
    };
    match list {
        _ if numbers.is_empty() => Some(Vec::new()),
        Any => Some(numbers.to_vec()),
        // Ending in 1 they may be those of images with channels last.
        Spatial(_) if numbers.len() == n + 2 && numbers.last() != Some(&1) => numbers.get(2..).map(<[i64]>::to_vec),
        Spatial(_) => one(numbers),
        Whole(_) | Middle(_) if numbers.len() == n + 2 => Some(numbers.to_vec()),
        Whole(_) => Some([vec![1, 1], one(numbers)?].concat()),
        Middle(_) => Some([vec![1], one(numbers)?, vec![1]].concat()),
        Sides(_) if numbers.len() == 2 * n => Some(numbers.to_vec()),
        Sides(_) => Some(one(numbers)?.into_iter().flat_map(|side| [side, side]).collect()),
        Pairs => None,
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use mindir_graph::DType;

    use super::*;

    #[test]
    fn tables_name_arguments() {
        let has = |op: &str, name: &str| {
            let def = mindir_graph::ops::find(op).unwrap_or_else(|| panic!("no operator {op}"));
            def.params.iter().any(|param| param.name == name)
        };
        for (ops, lists) in LISTS {
            assert!(lists.iter().all(|(name, _)| ops.iter().any(|op| has(op, name))), "{ops:?}");
        }
        assert!(COPIES.iter().all(|(op, _, from)| has(op, from)));
        assert!(FILTERS.iter().all(|(op, names)| names.iter().flatten().all(|name| has(op, name))));
    }

    #[test]
    fn lists_have_their_length() {
        let written =
            |op, name, numbers: &[i64]| argument(op, name, tuple(numbers.to_vec())).and_then(|v| integers(&v));
        assert_eq!(written("Conv2D", "stride", &[2]), Some(vec![1, 1, 2, 2]));
        assert_eq!(written("Conv2D", "pad", &[1, 2]), Some(vec![1, 1, 2, 2]));
        assert_eq!(written("Conv2D", "pad_list", &[]), None);
        assert_eq!(written("MaxPoolWithArgmax", "strides", &[2, 3]), Some(vec![1, 2, 3, 1]));
        assert_eq!(written("AvgPool", "kernel_size", &[1, 1, 3, 2]), Some(vec![3, 2]));
        assert_eq!(written("AvgPool", "kernel_size", &[1, 3, 2, 1]), Some(vec![1, 3, 2, 1]));
        assert_eq!(written("Transpose", "perm", &[1, 0]), Some(vec![1, 0]));
    }

    #[test]
    fn names_are_in_the_operators_letters() {
        let written = |op, value: Const| attribute(op, "pad_mode", value);
        assert_eq!(written("MaxPool", Const::Str("same".into())), Some(Const::Str("SAME".into())));
        assert_eq!(written("Conv3D", Const::Int(2)), Some(Const::Str("valid".into())));
        assert_eq!(attribute("AvgPool3D", "format", Const::Int(14)), Some(Const::Str("NCDHW".into())));
    }

    #[test]
    fn filters_say_channels_and_kernel() {
        let mut attributes: Attributes = vec![(Arc::from("kernel_size"), Const::Tuple(Vec::new()))];
        derive("Conv2D", &mut attributes, Some(&Spec::fixed(DType::F32, &[8, 3, 5, 4])));
        let value = |name: &str| attributes.iter().find(|(held, _)| &**held == name).map(|(_, value)| value.clone());
        assert_eq!(value("out_channel"), Some(Const::Int(8)));
        assert_eq!(value("kernel_size"), Some(tuple([5, 4])));
    }
}
