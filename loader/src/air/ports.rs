//! Arguments of operators as inputs and attributes of the graph engine.

use mindir_graph::graph::Arg;
use mindir_graph::op::{Const, Param};
use mindir_graph::ops::same_padding;
use mindir_graph::{DType, Spec, Tensor};
use mindir_proto::ge::{AttrValue, ListValue, data_type, list_type};

/// What becomes of an argument.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Port {
    /// A tensor as an input.
    In(&'static str),
    /// A tensor of two or more dimensions as an input.
    Matrices(&'static str),
    /// A tensor of one dimension as an input.
    Vector(&'static str),
    /// A number as an input of the element type that the first one has.
    Like(&'static str),
    /// A tuple of tensors as inputs `name0`, `name1`, …, whose number is the attribute `N`.
    Many(&'static str),
    /// Integers as an input.
    Numbers(&'static str),
    /// An integer as an input of 32 bits.
    Word(&'static str),
    /// Dimensions of the first input as an input; none stand for all.
    Axes(&'static str),
    /// An integer as an attribute.
    Int(&'static str),
    /// Integers as an attribute.
    Ints(&'static str),
    /// A number as an attribute.
    Float(&'static str),
    /// A truth value as an attribute.
    Flag(&'static str),
    /// An element type as an attribute.
    Type(&'static str),
    /// The number of an element type as an attribute.
    Code(&'static str),
    /// The order of dimensions, such as `NCHW`, as an attribute.
    Layout(&'static str),
    /// One of these names as an attribute.
    Named(&'static str, &'static [&'static str]),
    /// `SAME` or `VALID` as an attribute.
    Mode(&'static str),
    /// Kernel or strides of rows and columns as an attribute of four numbers.
    Window(&'static str),
    /// A number for depth, rows and columns each as an attribute.
    Volume(&'static str),
    /// Padding as top, bottom, left and right, which follows from the mode.
    Pads(&'static str),
    /// Nothing: the graph engine has no such argument.
    Skip,
    /// Nothing, as [`Port::Skip`], but the argument must be the number 1.
    One,
}

impl Port {
    /// Whether a parameter of this kind can become that.
    #[cfg(test)]
    pub(super) fn fits(self, param: &Param) -> bool {
        use mindir_graph::op::ParamKind;
        match self {
            Port::In(_) | Port::Matrices(_) | Port::Vector(_) | Port::Like(_) => {
                matches!(param.kind, ParamKind::Tensor | ParamKind::OptionalTensor)
            }
            Port::Many(_) => param.kind == ParamKind::Tensors,
            Port::Skip => true,
            Port::Float(_) => matches!(param.kind, ParamKind::Value | ParamKind::Tensor),
            _ => param.kind == ParamKind::Value,
        }
    }
}

/// The constant that an argument is: given, or the default.
pub(super) fn constant(param: &Param, arg: Option<&Arg>) -> Result<Const, String> {
    match arg {
        Some(Arg::Const(value)) => Ok(value.clone()),
        Some(_) => Err(format!("argument {} must be constant", param.name)),
        None => (param.default)().ok_or_else(|| format!("argument {} has no default", param.name)),
    }
}

/// All integers in a constant.
pub(super) fn ints(value: &Const) -> Result<Vec<i64>, String> {
    match value {
        Const::None => Ok(Vec::new()),
        Const::Int(i) => Ok(vec![*i]),
        Const::Bool(b) => Ok(vec![i64::from(*b)]),
        Const::Tuple(items) => Ok(items.iter().map(ints).collect::<Result<Vec<_>, _>>()?.concat()),
        Const::Tensor(t) if t.dtype().is_int() => t.to_i64s().map_err(|e| e.to_string()),
        other => Err(format!("expected integers, found {other}")),
    }
}

pub(super) fn int(value: &Const) -> Result<AttrValue, String> {
    match ints(value)?.as_slice() {
        [one] => Ok(AttrValue::I(*one)),
        _ => Err(format!("expected an integer, found {value}")),
    }
}

pub(super) fn list(values: Vec<i64>) -> AttrValue {
    AttrValue::List(ListValue { i: values, val_type: list_type::INT, ..Default::default() })
}

pub(super) fn texts(values: impl IntoIterator<Item = String>) -> AttrValue {
    let s = values.into_iter().map(Into::into).collect();
    AttrValue::List(ListValue { s, val_type: list_type::STRING, ..Default::default() })
}

pub(super) fn text(value: &'static str) -> AttrValue {
    AttrValue::S(value.into())
}

pub(super) fn float(value: &Const) -> Result<AttrValue, String> {
    match value {
        Const::Float(x) => Ok(AttrValue::F(*x)),
        Const::Double(x) => Ok(AttrValue::F(*x as f32)),
        Const::Int(i) => Ok(AttrValue::F(*i as f32)),
        other => Err(format!("expected a number, found {other}")),
    }
}

/// A number as a tensor of one element.
pub(super) fn number_tensor(value: &Const) -> Result<Tensor, String> {
    value.tensor().ok_or_else(|| format!("{value} is no tensor"))
}

/// A number in the element type of the tensor that it meets, if their result has that type too.
pub(super) fn number_like(value: &Const, dtype: DType) -> Result<Tensor, String> {
    let number = number_tensor(value)?;
    let found = number.dtype();
    if (found.is_float() && !dtype.is_float()) || (dtype == DType::Bool && found != DType::Bool) {
        return Err(format!("{value} with elements of {dtype}"));
    }
    number.cast(dtype).map_err(|e| e.to_string())
}

/// Checks that a number is 1.
pub(super) fn one(param: &Param, value: &Const) -> Result<(), String> {
    match value {
        Const::Int(1) | Const::Float(1.0) | Const::Double(1.0) => Ok(()),
        other => Err(format!("argument {} must be 1, found {other}", param.name)),
    }
}

pub(super) fn flag(value: &Const) -> Result<AttrValue, String> {
    match ints(value)?.as_slice() {
        [one] => Ok(AttrValue::B(*one != 0)),
        _ => Err(format!("expected a truth value, found {value}")),
    }
}

pub(super) fn element(value: &Const) -> Result<DType, String> {
    let dtype = match value {
        Const::DType(dtype) => Some(*dtype),
        Const::Int(id) => DType::from_type_id(*id),
        Const::Str(name) => DType::from_mindspore(name),
        _ => None,
    };
    dtype.ok_or_else(|| format!("expected an element type, found {value}"))
}

/// The order of dimensions that an argument states.
pub(super) fn layout(param: &Param, arg: Option<&Arg>) -> Result<&'static str, String> {
    match choice(param, arg)? {
        0 => Ok("NCHW"),
        1 => Ok("NHWC"),
        14 => Ok("NCDHW"),
        17 => Ok("NDHWC"),
        other => Err(format!("expected an order of dimensions, found {other}")),
    }
}

/// An argument of a few named values as its number.
fn choice(param: &Param, arg: Option<&Arg>) -> Result<i64, String> {
    let value = constant(param, arg)?;
    match (param.canonical)(&value) {
        Some(Const::Int(number)) => Ok(number),
        _ => Err(format!("argument {} cannot be {value}", param.name)),
    }
}

/// The name in `names` that an argument states.
pub(super) fn named(param: &Param, arg: Option<&Arg>, names: &[&'static str]) -> Result<&'static str, String> {
    let number = choice(param, arg)?;
    let name = usize::try_from(number).ok().and_then(|number| names.get(number));
    name.copied().ok_or_else(|| format!("argument {} cannot be {number}", param.name))
}

/// Kernel or strides of rows and columns as those of all four dimensions.
pub(super) fn window(numbers: Vec<i64>) -> Vec<i64> {
    match *numbers.as_slice() {
        [all] => vec![1, 1, all, all],
        [rows, columns] => vec![1, 1, rows, columns],
        _ => numbers,
    }
}

/// Numbers of depth, rows and columns, which may be one for all or stand behind those of batch and channels.
pub(super) fn volume(numbers: &[i64]) -> Result<Vec<i64>, String> {
    match *numbers {
        [all] => Ok(vec![all; 3]),
        [depth, rows, columns] | [_, _, depth, rows, columns] => Ok(vec![depth, rows, columns]),
        _ => Err(format!("expected 1, 3 or 5 numbers, found {}", numbers.len())),
    }
}

/// The number of an element type as an attribute has it, which is not that of descriptions.
pub(super) fn code(dtype: DType) -> i32 {
    match dtype {
        DType::F32 => 0,
        DType::F16 => 1,
        DType::I8 => 2,
        DType::I32 => 3,
        DType::U8 => 4,
        DType::I16 => 6,
        DType::U16 => 7,
        DType::U32 => 8,
        DType::I64 => 9,
        DType::U64 => 10,
        DType::F64 => 11,
        DType::Bool => 12,
        DType::C64 => 16,
        DType::C128 => 17,
        DType::BF16 => 27,
    }
}

/// The number of an element type in the description of a tensor.
pub(super) fn number(dtype: DType) -> i32 {
    match dtype {
        DType::F32 => data_type::FLOAT,
        DType::F16 => data_type::FLOAT16,
        DType::BF16 => data_type::BF16,
        DType::F64 => data_type::DOUBLE,
        DType::I8 => data_type::INT8,
        DType::U8 => data_type::UINT8,
        DType::I16 => data_type::INT16,
        DType::U16 => data_type::UINT16,
        DType::I32 => data_type::INT32,
        DType::I64 => data_type::INT64,
        DType::U32 => data_type::UINT32,
        DType::U64 => data_type::UINT64,
        DType::Bool => data_type::BOOL,
        DType::C64 => data_type::COMPLEX64,
        DType::C128 => data_type::COMPLEX128,
    }
}

/// How an operator pads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Padding {
    Given,
    Same,
    Valid,
}

pub(super) fn padding(param: &Param, arg: Option<&Arg>) -> Result<Padding, String> {
    match choice(param, arg)? {
        0 | 3 => Ok(Padding::Given),
        1 => Ok(Padding::Same),
        2 => Ok(Padding::Valid),
        other => Err(format!("expected a padding mode, found {other}")),
    }
}

/// What decides about the padding of a convolution.
pub(super) struct Convolution<'a> {
    pub mode: Padding,
    pub given: Vec<i64>,
    pub image: &'a Spec,
    pub filter: &'a Spec,
    pub strides: Vec<i64>,
    pub dilations: Vec<i64>,
    pub channels_last: bool,
}

impl Convolution<'_> {
    /// Top, bottom, left and right.
    pub(super) fn pads(&self) -> Result<Vec<i64>, String> {
        match (self.mode, self.given.as_slice()) {
            (Padding::Valid, _) => Ok(vec![0; 4]),
            (Padding::Given, &[all]) => Ok(vec![all; 4]),
            (Padding::Given, given) if given.len() == 4 => Ok(given.to_vec()),
            (Padding::Given, given) => Err(format!("expected 1 or 4 numbers as padding, found {}", given.len())),
            (Padding::Same, _) => self.same().ok_or_else(|| "padding `same` needs known rows and columns".to_string()),
        }
    }

    /// What mode `same` pads; `None` where that is not known.
    fn same(&self) -> Option<Vec<i64>> {
        let first = if self.channels_last { 1 } else { 2 };
        let known = |spec: &Spec, axis: usize| spec.dims.as_ref()?.get(axis)?.size();
        let step = |list: &[i64], axis: usize| {
            let step = match list {
                [all] => *all,
                [rows, columns] => {
                    if axis == 0 {
                        *rows
                    } else {
                        *columns
                    }
                }
                four => *four.get(first + axis)?,
            };
            usize::try_from(step).ok()
        };
        let mut pads = Vec::new();
        for axis in [0, 1] {
            let (size, kernel) = (known(self.image, first + axis)?, known(self.filter, first + axis)?);
            let (stride, dilation) = (step(&self.strides, axis)?, step(&self.dilations, axis)?);
            pads.extend(same_padding(size, kernel, stride, dilation).ok()?.map(|pad| pad as i64));
        }
        Some(pads)
    }
}
