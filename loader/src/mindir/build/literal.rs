//! Values of attributes and constants, in the current encoding and in that of the first releases.

use mindir_graph::op::Const;
use mindir_graph::{DType, Tensor};
use mindir_proto::mindir::{AttributeProto, AttributeType, TensorProto};

use super::fault::GraphFault;
use crate::ElementType;
use crate::error::TensorFault;
use crate::mindir::TensorData;

/// Tuples in tuples that the text form of the first releases may have.
const DEEPEST: usize = 64;

/// A value that is written in the file.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Literal {
    /// No tensor, and a tuple only if there is no tensor in it.
    Const(Const),
    Tensor(Tensor),
    /// A tuple with tensors in it.
    Tuple(Vec<Literal>),
    /// An effect token.
    Token,
}

impl Literal {
    /// The value of an attribute.
    pub(super) fn of(attribute: &AttributeProto) -> Result<Literal, GraphFault> {
        match attribute.ref_attr_name.as_deref() {
            Some(form) if !form.is_empty() => of_old(attribute, form),
            _ => of_current(attribute),
        }
    }

    /// The value as a constant; tensors stay tensors, tokens are `None`.
    pub(super) fn into_const(self) -> Const {
        match self {
            Literal::Const(value) => value,
            Literal::Tensor(tensor) => Const::Tensor(tensor),
            Literal::Tuple(items) => Const::Tuple(items.into_iter().map(Literal::into_const).collect()),
            Literal::Token => Const::None,
        }
    }

    fn tuple(items: Vec<Literal>) -> Literal {
        if !items.iter().all(|item| matches!(item, Literal::Const(_))) {
            return Literal::Tuple(items);
        }
        Literal::Const(Const::Tuple(items.into_iter().map(Literal::into_const).collect()))
    }
}

/// The element type with a number of the file.
pub(super) fn dtype(code: i32) -> Option<DType> {
    ElementType::from_code(code).and_then(ElementType::dtype)
}

/// The contents of a weight or constant called `name`.
pub(super) fn tensor(proto: &TensorProto, name: &str) -> Result<Tensor, GraphFault> {
    let data =
        TensorData::of(proto, usize::MAX).map_err(|fault| GraphFault::Tensor { name: name.to_string(), fault })?;
    let dtype = data
        .element
        .dtype()
        .ok_or_else(|| GraphFault::Unsupported(format!("tensor {} of {}", crate::Printable(name), data.element)))?;
    Tensor::over(dtype, &data.dims, data.bytes)
        .map_err(|_| GraphFault::Tensor { name: name.to_string(), fault: TensorFault::Overflow })
}

fn of_current(attribute: &AttributeProto) -> Result<Literal, GraphFault> {
    use AttributeType as T;
    let tuple = |items: Result<Vec<_>, _>| items.map(Literal::tuple);
    match attribute.attribute_type() {
        Some(T::Tensor | T::Tensors) => {
            let tensor = attribute.tensors.first().or(attribute.t.as_deref());
            of_tensor(tensor.ok_or_else(|| invalid(attribute))?, attribute)
        }
        Some(T::Tuple | T::List) => tuple(attribute.values.iter().map(Literal::of).collect()),
        Some(T::Dict) => {
            let value = |entry: &AttributeProto| Literal::of(entry.values.first().ok_or_else(|| invalid(attribute))?);
            tuple(attribute.values.iter().map(value).collect())
        }
        Some(T::Umonad | T::Iomonad) => Ok(Literal::Token),
        _ => element(attribute, None).map(Literal::Const),
    }
}

/// A tensor with contents, or without them an element type.
fn of_tensor(proto: &TensorProto, attribute: &AttributeProto) -> Result<Literal, GraphFault> {
    let name = attribute.name.as_deref().unwrap_or_default();
    if proto.raw_data.is_some() || proto.dims.contains(&0) {
        return tensor(proto, name).map(Literal::Tensor);
    }
    of_dtype(proto, attribute)
}

fn of_dtype(proto: &TensorProto, attribute: &AttributeProto) -> Result<Literal, GraphFault> {
    let dtype = dtype(proto.data_type.unwrap_or_default()).ok_or_else(|| invalid(attribute))?;
    Ok(Literal::Const(Const::DType(dtype)))
}

/// A value without parts: the single one, the first of the list, or with `place` another one of the list.
fn element(attribute: &AttributeProto, place: Option<usize>) -> Result<Const, GraphFault> {
    use AttributeType as T;
    fn pick<V: Clone>(single: &Option<V>, list: &[V], place: Option<usize>) -> Option<V> {
        match place {
            Some(place) => list.get(place).cloned(),
            None => single.clone().or_else(|| list.first().cloned()),
        }
    }
    let missing = || invalid(attribute);
    let int = || pick(&attribute.i, &attribute.ints, place).ok_or_else(missing);
    Ok(match attribute.attribute_type() {
        Some(T::Bool) => Const::Bool(int()? != 0),
        Some(T::Int8 | T::Int16 | T::Int32 | T::Int64 | T::Uint8 | T::Uint16 | T::Uint32 | T::Uint64) => {
            Const::Int(int()?)
        }
        Some(T::Float) => Const::Float(pick(&attribute.f, &attribute.floats, place).ok_or_else(missing)?),
        Some(T::Double) => Const::Double(pick(&attribute.d, &attribute.doubles, place).ok_or_else(missing)?),
        Some(T::String) => {
            let bytes = pick(&attribute.s, &attribute.strings, place).ok_or_else(missing)?;
            Const::Str(std::str::from_utf8(&bytes).map_err(|_| missing())?.into())
        }
        Some(T::None | T::TypeNull) => Const::None,
        _ => {
            return Err(GraphFault::Unsupported(format!(
                "attributes of type {}",
                attribute.r#type.unwrap_or_default()
            )));
        }
    })
}

fn invalid(attribute: &AttributeProto) -> GraphFault {
    GraphFault::Value(attribute.name.clone().unwrap_or_default())
}

/// The encoding of the first releases: `form` says with placeholders how the flat lists nest.
fn of_old(attribute: &AttributeProto, form: &str) -> Result<Literal, GraphFault> {
    let (kind, layout) = form.split_once(':').ok_or_else(|| invalid(attribute))?;
    match kind {
        "none" => Ok(Literal::Const(Const::None)),
        "Monad" => Ok(Literal::Token),
        "type" => of_dtype(attribute.tensors.first().ok_or_else(|| invalid(attribute))?, attribute),
        "scalar" | "tensor" => of_layout(attribute, &Layout::parse(layout).ok_or_else(|| invalid(attribute))?),
        _ => Err(GraphFault::Unsupported(format!("attributes of the form {}", crate::Printable(form)))),
    }
}

fn of_layout(attribute: &AttributeProto, layout: &Layout) -> Result<Literal, GraphFault> {
    let place = match layout {
        Layout::Tuple(items) => {
            let items: Result<Vec<_>, _> = items.iter().map(|item| of_layout(attribute, item)).collect();
            return items.map(Literal::tuple);
        }
        Layout::Place(place) => place.checked_sub(1),
    };
    match attribute.attribute_type() {
        Some(AttributeType::Tensor | AttributeType::Tensors) => {
            let proto = attribute.tensors.get(place.unwrap_or(0)).ok_or_else(|| invalid(attribute))?;
            of_tensor(proto, attribute)
        }
        _ => element(attribute, place).map(Literal::Const),
    }
}

/// How flat lists nest: a text such as `Tuple[value1,List[value2,],]`.
#[derive(Debug, PartialEq)]
pub(super) enum Layout {
    /// The element with this number, from 1 on; 0 is the single value.
    Place(usize),
    Tuple(Vec<Layout>),
}

impl Layout {
    /// Reads one layout, which a comma may follow. `None` if the text is something else.
    pub(super) fn parse(text: &str) -> Option<Layout> {
        let mut open: Vec<Vec<Layout>> = vec![Vec::new()];
        for word in text.split_inclusive([',', '[', ']']) {
            let stem = word.trim_end_matches([',', '[', ']']);
            if word.ends_with('[') {
                let known = stem.ends_with("Tuple") || stem.ends_with("List");
                if !known || open.len() > DEEPEST {
                    return None;
                }
                open.push(Vec::new());
                continue;
            }
            if !stem.is_empty() {
                let digits = stem.trim_start_matches(|c: char| !c.is_ascii_digit());
                open.last_mut()?.push(Layout::Place(digits.parse().ok()?));
            }
            if word.ends_with(']') {
                let items = open.pop()?;
                open.last_mut()?.push(Layout::Tuple(items));
            }
        }
        let mut items = open.pop().filter(|_| open.is_empty())?;
        let one = items.pop();
        one.filter(|_| items.is_empty())
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn attribute(kind: AttributeType) -> AttributeProto {
        AttributeProto { r#type: Some(kind as i32), ..Default::default() }
    }

    #[test]
    fn layouts_nest() {
        let place = Layout::Place;
        assert_eq!(Layout::parse("value0"), Some(place(0)));
        assert_eq!(Layout::parse("shape1,"), Some(place(1)));
        assert_eq!(Layout::parse("Tuple[]"), Some(Layout::Tuple(Vec::new())));
        let nested = Layout::Tuple(vec![place(1), Layout::Tuple(vec![place(2)]), place(3)]);
        assert_eq!(Layout::parse("Tuple[value1,List[value2,],value3,],"), Some(nested));
        for broken in ["", "Tuple[", "Tuple[value1,]]", "value1,value2,", "value", "Set[value1,]"] {
            assert_eq!(Layout::parse(broken), None, "{broken}");
        }
        assert_eq!(Layout::parse(&"Tuple[".repeat(100_000)), None);
    }

    #[test]
    fn scalars_are_in_the_single_or_the_repeated_field() {
        let single = AttributeProto { i: Some(3), ..attribute(AttributeType::Int64) };
        let listed = AttributeProto { ints: vec![3], ..attribute(AttributeType::Int64) };
        for attribute in [single, listed] {
            assert_eq!(Literal::of(&attribute).unwrap(), Literal::Const(Const::Int(3)));
        }
        assert!(matches!(Literal::of(&attribute(AttributeType::Int64)), Err(GraphFault::Value(_))));
    }

    #[test]
    fn old_lists_are_read_by_their_layout() {
        let old = AttributeProto {
            strings: vec![Bytes::from_static(b"x"), Bytes::from_static(b"y")],
            ref_attr_name: Some("scalar:List[value1,value2,],".to_string()),
            ..attribute(AttributeType::String)
        };
        let want = Const::Tuple(vec![Const::Str("x".into()), Const::Str("y".into())]);
        assert_eq!(Literal::of(&old).unwrap(), Literal::Const(want));
    }

    #[test]
    fn tensors_without_contents_are_element_types() {
        let proto = TensorProto { data_type: Some(10), ..Default::default() };
        let value = AttributeProto { tensors: vec![proto], ..attribute(AttributeType::Tensors) };
        assert_eq!(Literal::of(&value).unwrap(), Literal::Const(Const::DType(DType::F16)));
    }
}
