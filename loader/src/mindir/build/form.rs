//! Descriptions of values: what the file says about inputs and results.

use mindir_graph::{DType, Dim, Spec};
use mindir_proto::mindir::{AttributeProto, AttributeType, GraphProto, NodeProto, TensorProto, ValueInfoProto};

use super::literal::{self, Layout};

/// What the file says about a value.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Form {
    /// Nothing.
    Unknown,
    Tensor(Spec),
    /// A Python number.
    Scalar(Spec),
    Tuple(Vec<Form>),
    /// A tuple of any length with elements of one form.
    Any(Box<Form>),
    None,
    /// An effect token.
    Token,
    Text,
    Function,
    /// Nothing: what should return it ends the run with an exception.
    Never,
}

impl Form {
    /// The description in an attribute.
    pub(super) fn of(attribute: &AttributeProto) -> Form {
        use AttributeType as T;
        if let Some(form) = attribute.ref_attr_name.as_deref() {
            return of_old(attribute, form);
        }
        match attribute.attribute_type() {
            Some(T::Tensors | T::Tensor) => attribute.tensors.first().map_or(Form::Unknown, |t| Form::Tensor(spec(t))),
            Some(T::Scalar) => Form::Scalar(scalar(attribute.tensors.first().and_then(|t| t.data_type))),
            Some(T::Tuple | T::List) => match &attribute.seq_info {
                Some(info) if info.is_dyn_len == Some(true) => {
                    let element = info.tuple_elem_item.as_deref().or(attribute.values.first());
                    match element.map_or(Form::Unknown, Form::of) {
                        // Tensors that are listed are all there are.
                        Form::Tensor(_) if !attribute.values.is_empty() => {
                            Form::Tuple(attribute.values.iter().map(Form::of).collect())
                        }
                        element => Form::Any(Box::new(element)),
                    }
                }
                _ => Form::Tuple(attribute.values.iter().map(Form::of).collect()),
            },
            Some(T::Dict) => {
                let value = |entry: &AttributeProto| entry.values.first().map_or(Form::Unknown, Form::of);
                Form::Tuple(attribute.values.iter().map(value).collect())
            }
            Some(T::String) => Form::Text,
            Some(T::None) => Form::None,
            Some(T::Umonad | T::Iomonad) => Form::Token,
            Some(T::PrimitiveClosure | T::FuncGraphClosure | T::PartialClosure | T::UnionFuncClosure) => Form::Function,
            _ => Form::Unknown,
        }
    }

    /// The description of an input or result of a graph.
    pub(super) fn of_info(info: &ValueInfoProto) -> Form {
        if let Some(attribute) = &info.attr_info {
            return Form::of(attribute);
        }
        match (info.tensor.as_slice(), info.denotation.as_deref()) {
            ([one], _) => Form::Tensor(spec(one)),
            ([], Some("TypeNone")) => Form::None,
            ([], Some("UMonadType" | "IOMonadType")) => Form::Token,
            ([], _) => Form::Unknown,
            (several, _) => Form::Tuple(several.iter().map(|t| Form::Tensor(spec(t))).collect()),
        }
    }

    /// The description of a node's result.
    pub(super) fn of_node(node: &NodeProto) -> Form {
        node.attribute.iter().find(|a| is_description(a)).map_or(Form::Unknown, Form::of)
    }

    /// The description of what a graph returns.
    pub(super) fn of_graph(graph: &GraphProto) -> Form {
        match graph.output.as_slice() {
            [one] => Form::of_info(one),
            several => Form::Tuple(several.iter().map(Form::of_info).collect()),
        }
    }

    /// The tensor of one dimension that stands for a tuple of numbers.
    pub(super) fn vector(&self) -> Option<Spec> {
        let (first, dim) = match self {
            Form::Tuple(items) if items.iter().all(|item| matches!(item, Form::Scalar(_))) => {
                (items.first()?, Dim::Known(items.len()))
            }
            Form::Any(element) => (&**element, Dim::Unknown),
            _ => return None,
        };
        let Form::Scalar(spec) = first else { return None };
        Some(Spec { dtype: spec.dtype, dims: Some([dim].into_iter().collect()) })
    }

    /// Whether two descriptions have tuples at the same places.
    pub(super) fn same_nest(&self, other: &Form) -> bool {
        match (self, other) {
            (Form::Tuple(a), Form::Tuple(b)) => a.len() == b.len() && a.iter().zip(b).all(|(x, y)| x.same_nest(y)),
            (a, b) => a.leaf() == b.leaf(),
        }
    }

    /// Numbers that are the same for descriptions with tuples at the same places, and for no others.
    pub(super) fn nest(&self, key: &mut Vec<u64>) {
        key.push(self.leaf().into());
        if let Form::Tuple(items) = self {
            key.push(items.len() as u64);
            items.iter().for_each(|item| item.nest(key));
        }
    }

    fn leaf(&self) -> u8 {
        match self {
            Form::Unknown | Form::Tensor(_) | Form::Scalar(_) | Form::Any(_) => 0,
            Form::Tuple(_) => 1,
            Form::None | Form::Token => 2,
            Form::Text => 3,
            Form::Function => 4,
            Form::Never => 5,
        }
    }

    /// What is known of the tensor.
    pub(super) fn spec(&self) -> Spec {
        match self {
            Form::Tensor(spec) | Form::Scalar(spec) => spec.clone(),
            other => other.vector().unwrap_or_default(),
        }
    }
}

/// Whether an attribute of a node describes its result.
pub(super) fn is_description(attribute: &AttributeProto) -> bool {
    match attribute.ref_attr_name.as_deref() {
        Some(form) => form.starts_with("shape:"),
        None => attribute.name.as_deref() == Some("shape"),
    }
}

/// The parameter whose new contents a result is.
pub(super) fn parameter_of(node: &NodeProto) -> Option<&str> {
    node.attribute.iter().find(|a| is_description(a))?.tensors.first()?.ref_key.as_deref()
}

/// Element type and dimensions that a tensor declares.
fn spec(tensor: &TensorProto) -> Spec {
    let dtype = literal::dtype(tensor.data_type.unwrap_or_default());
    if tensor.dims == [-2] {
        return Spec { dtype, dims: None };
    }
    let dim = |&d: &i64| Dim::from(usize::try_from(d).ok());
    Spec { dtype, dims: Some(tensor.dims.iter().map(dim).collect()) }
}

fn scalar(code: Option<i32>) -> Spec {
    let dtype: Option<DType> = code.and_then(literal::dtype);
    Spec { dtype, dims: Some(Default::default()) }
}

/// The encoding of the first releases.
fn of_old(attribute: &AttributeProto, form: &str) -> Form {
    let Some(layout) = form.strip_prefix("shape:") else { return Form::Unknown };
    if layout.contains("Monad") {
        return Form::Token;
    }
    Layout::parse(layout).map_or(Form::Unknown, |layout| of_layout(attribute, &layout))
}

fn of_layout(attribute: &AttributeProto, layout: &Layout) -> Form {
    match layout {
        Layout::Tuple(items) => Form::Tuple(items.iter().map(|item| of_layout(attribute, item)).collect()),
        Layout::Place(place) => {
            let tensor = attribute.tensors.get(place.saturating_sub(1));
            tensor.map_or(Form::Unknown, |t| Form::Tensor(spec(t)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn unknown_dimensions_and_ranks() {
        let tensor = |dims: &[i64]| TensorProto { dims: dims.to_vec(), data_type: Some(1), ..Default::default() };
        assert_eq!(spec(&tensor(&[-1, 3])).to_string(), "f32 [?,3]");
        assert_eq!(spec(&tensor(&[-2])).to_string(), "f32 [..]");
        assert_eq!(spec(&tensor(&[])).to_string(), "f32 []");
    }

    #[test]
    fn tuples_of_numbers_are_vectors() {
        let number = Form::Scalar(scalar(Some(7)));
        let vector = |form: Form| form.vector().map(|spec| spec.to_string());
        assert_eq!(vector(Form::Tuple(vec![number.clone(), number.clone()])).as_deref(), Some("i64 [2]"));
        assert_eq!(vector(Form::Any(Box::new(number.clone()))).as_deref(), Some("i64 [?]"));
        assert_eq!(vector(Form::Tuple(Vec::new())), None);
        assert_eq!(vector(Form::Tuple(vec![number, Form::None])), None);
    }
}
