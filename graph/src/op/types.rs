//! The types that arguments have in signatures.

use smallvec::SmallVec;

use super::{ArgValue, Const, FromArg, Operand, ParamKind};
use crate::task::V;
use crate::{DType, OpError};

/// A short list of integers.
pub type Ints = SmallVec<[i64; 6]>;

/// The list of these integers.
pub fn ints(values: &[i64]) -> Ints {
    Ints::from_slice(values)
}

/// A Python number: keeps whether it was an integer, which decides the element type of some results.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Number {
    /// `int` or `bool`.
    Int(i64),
    /// `float`.
    Float(f64),
}

impl Number {
    /// The number as `f64`.
    pub fn as_f64(self) -> f64 {
        match self {
            Number::Int(i) => i as f64,
            Number::Float(x) => x,
        }
    }
}

impl FromArg for Number {
    fn from_arg(arg: &ArgValue) -> Result<Option<Self>, OpError> {
        let is_int = match arg {
            ArgValue::Const(Const::Int(_) | Const::Bool(_)) => true,
            ArgValue::Const(Const::Tensor(t)) => !t.dtype().is_float(),
            ArgValue::Operand(o) => !o.dtype().is_float(),
            _ => false,
        };
        if is_int { Ok(i64::from_arg(arg)?.map(Number::Int)) } else { Ok(f64::from_arg(arg)?.map(Number::Float)) }
    }

    fn into_const(self) -> Option<Const> {
        match self {
            Number::Int(i) => Some(Const::Int(i)),
            Number::Float(x) => f64::into_const(x),
        }
    }

    fn exported(self) -> Self {
        match self {
            Number::Int(i) => Number::Int(i),
            Number::Float(x) => Number::Float(x.exported()),
        }
    }
}

/// An argument whose contents an operator's ONNX form takes whether they are known or computed by the model.
#[derive(Clone, Debug, PartialEq)]
pub enum Late<T> {
    /// What it is.
    Known(T),
    /// A value with these contents.
    Computed(V),
}

impl<T> Late<T> {
    /// What it is.
    ///
    /// # Errors
    /// [`OpError::NeedsValue`] if that is not known yet.
    pub fn get(&self) -> Result<&T, OpError> {
        match self {
            Late::Known(value) => Ok(value),
            Late::Computed(v) => Err(OpError::NeedsValue(*v)),
        }
    }

    /// What it is, if that is known.
    pub fn known(&self) -> Option<&T> {
        self.get().ok()
    }
}

impl<T: FromArg> FromArg for Late<T> {
    const KIND: ParamKind = T::KIND;
    const TEXTS: &'static [(i64, &'static str)] = T::TEXTS;
    fn from_arg(arg: &ArgValue) -> Result<Option<Self>, OpError> {
        match T::from_arg(arg) {
            Err(OpError::NeedsValue(v)) => Ok(Some(Late::Computed(v))),
            known => Ok(known?.map(Late::Known)),
        }
    }

    fn into_const(self) -> Option<Const> {
        match self {
            Late::Known(value) => value.into_const(),
            Late::Computed(_) => None,
        }
    }

    fn exported(self) -> Self {
        match self {
            Late::Known(value) => Late::Known(value.exported()),
            computed => computed,
        }
    }
}

fn wrong(expected: &str, arg: &ArgValue) -> OpError {
    let found = match arg {
        ArgValue::Operand(o) => format!("a tensor {}", o.fact),
        ArgValue::Const(c) => format!("{c}"),
        ArgValue::List(items) => format!("a tuple of {}", items.len()),
    };
    OpError::Invalid(format!("expected {expected}, found {found}"))
}

impl FromArg for Operand {
    const KIND: ParamKind = ParamKind::Tensor;
    fn from_arg(arg: &ArgValue) -> Result<Option<Self>, OpError> {
        match arg {
            ArgValue::Operand(o) => Ok(Some(o.clone())),
            other => Err(wrong("a tensor", other)),
        }
    }

    fn into_const(self) -> Option<Const> {
        None
    }
}

/// `None` is a value of its own.
impl<T: FromArg> FromArg for Option<T> {
    const KIND: ParamKind = if let ParamKind::Tensor = T::KIND { ParamKind::OptionalTensor } else { T::KIND };
    fn from_arg(arg: &ArgValue) -> Result<Option<Self>, OpError> {
        if is_none(arg) { Ok(Some(None)) } else { T::from_arg(arg).map(Some) }
    }

    fn into_const(self) -> Option<Const> {
        self.map_or(Some(Const::None), T::into_const)
    }

    fn exported(self) -> Self {
        self.map(T::exported)
    }
}

impl FromArg for Vec<Operand> {
    const KIND: ParamKind = ParamKind::Tensors;
    fn from_arg(arg: &ArgValue) -> Result<Option<Self>, OpError> {
        match arg {
            ArgValue::Operand(o) => Ok(Some(vec![o.clone()])),
            ArgValue::List(items) => {
                let one = |a: &ArgValue| Operand::from_arg(a).map(|o| o.into_iter());
                Ok(Some(items.iter().map(one).collect::<Result<Vec<_>, _>>()?.into_iter().flatten().collect()))
            }
            other => Err(wrong("a tuple of tensors", other)),
        }
    }

    fn into_const(self) -> Option<Const> {
        None
    }
}

fn number_list(arg: &ArgValue) -> Result<Vec<f64>, OpError> {
    match arg {
        ArgValue::Operand(o) => o.f64s(),
        ArgValue::List(items) => Ok(items.iter().map(number_list).collect::<Result<Vec<_>, _>>()?.concat()),
        ArgValue::Const(Const::Int(i)) => Ok(vec![*i as f64]),
        ArgValue::Const(Const::Bool(b)) => Ok(vec![f64::from(u8::from(*b))]),
        ArgValue::Const(Const::Float(x)) => Ok(vec![f64::from(*x)]),
        ArgValue::Const(Const::Double(x)) => Ok(vec![*x]),
        ArgValue::Const(Const::Tensor(t)) => Ok(t.to_f64s()?),
        ArgValue::Const(Const::Tuple(items)) => {
            let one = |c: &Const| number_list(&ArgValue::Const(c.clone()));
            Ok(items.iter().map(one).collect::<Result<Vec<_>, _>>()?.concat())
        }
        other => Err(wrong("a number", other)),
    }
}

fn joined(lists: Vec<Ints>) -> Ints {
    lists.into_iter().flatten().collect()
}

fn int_list(arg: &ArgValue) -> Result<Ints, OpError> {
    match arg {
        ArgValue::Operand(o) if o.dtype().is_int() || o.dtype() == DType::Bool => Ok(Ints::from_vec(o.i64s()?)),
        ArgValue::List(items) => items.iter().map(int_list).collect::<Result<Vec<_>, _>>().map(joined),
        ArgValue::Const(Const::Int(i)) => Ok(ints(&[*i])),
        ArgValue::Const(Const::Bool(b)) => Ok(ints(&[i64::from(*b)])),
        ArgValue::Const(Const::Tensor(t)) if t.dtype().is_int() || t.dtype() == DType::Bool => {
            Ok(Ints::from_vec(t.to_i64s()?))
        }
        ArgValue::Const(Const::Tuple(items)) => {
            let one = |c: &Const| int_list(&ArgValue::Const(c.clone()));
            items.iter().map(one).collect::<Result<Vec<_>, _>>().map(joined)
        }
        other => Err(wrong("integers", other)),
    }
}

fn is_none(arg: &ArgValue) -> bool {
    matches!(arg, ArgValue::Const(Const::None))
}

impl FromArg for Ints {
    fn from_arg(arg: &ArgValue) -> Result<Option<Self>, OpError> {
        if is_none(arg) { Ok(None) } else { int_list(arg).map(Some) }
    }

    fn into_const(self) -> Option<Const> {
        Some(Const::Tuple(self.iter().map(|i| Const::Int(*i)).collect()))
    }
}

impl FromArg for i64 {
    fn from_arg(arg: &ArgValue) -> Result<Option<Self>, OpError> {
        if is_none(arg) {
            return Ok(None);
        }
        match int_list(arg)?.as_slice() {
            [one] => Ok(Some(*one)),
            _ => Err(wrong("an integer", arg)),
        }
    }

    fn into_const(self) -> Option<Const> {
        Some(Const::Int(self))
    }
}

impl FromArg for f64 {
    fn from_arg(arg: &ArgValue) -> Result<Option<Self>, OpError> {
        if is_none(arg) {
            return Ok(None);
        }
        match number_list(arg)?.as_slice() {
            [one] => Ok(Some(*one)),
            _ => Err(wrong("a number", arg)),
        }
    }

    fn into_const(self) -> Option<Const> {
        Some(Const::Float(self as f32))
    }

    fn exported(self) -> Self {
        f64::from(self as f32)
    }
}

impl FromArg for Vec<f64> {
    fn from_arg(arg: &ArgValue) -> Result<Option<Self>, OpError> {
        if is_none(arg) { Ok(None) } else { number_list(arg).map(Some) }
    }

    fn into_const(self) -> Option<Const> {
        Some(Const::Tuple(self.iter().map(|x| Const::Float(*x as f32)).collect()))
    }

    fn exported(self) -> Self {
        self.into_iter().map(f64::exported).collect()
    }
}

impl FromArg for bool {
    fn from_arg(arg: &ArgValue) -> Result<Option<Self>, OpError> {
        Ok(i64::from_arg(arg)?.map(|i| i != 0))
    }

    fn into_const(self) -> Option<Const> {
        Some(Const::Bool(self))
    }
}

impl FromArg for DType {
    fn from_arg(arg: &ArgValue) -> Result<Option<Self>, OpError> {
        let (dtype, found) = match arg {
            ArgValue::Const(Const::DType(d)) => return Ok(Some(*d)),
            ArgValue::Const(Const::Str(s)) => (DType::from_mindspore(s), format!("{s:?}")),
            other => match i64::from_arg(other)? {
                Some(id) => (DType::from_type_id(id), format!("id {id}")),
                None => return Ok(None),
            },
        };
        dtype.map(Some).ok_or_else(|| OpError::Invalid(format!("unknown element type {found}")))
    }

    fn into_const(self) -> Option<Const> {
        Some(Const::DType(self))
    }
}

impl FromArg for String {
    fn from_arg(arg: &ArgValue) -> Result<Option<Self>, OpError> {
        match arg {
            ArgValue::Const(Const::None) => Ok(None),
            ArgValue::Const(Const::Str(s)) => Ok(Some(s.to_string())),
            other => Err(wrong("text", other)),
        }
    }

    fn into_const(self) -> Option<Const> {
        Some(Const::Str(self.into()))
    }
}

/// An enumeration that files hold as text in old versions and as a number in new ones.
#[macro_export]
macro_rules! op_enum {
    ($(#[$doc:meta])* $name:ident { $($(#[$row:meta])* $variant:ident = $number:literal, $text:literal;)* }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub enum $name { $($(#[$row])* $variant),* }

        impl $crate::op::FromArg for $name {
            const TEXTS: &'static [(i64, &'static str)] = &[$(($number, $text)),*];
            fn from_arg(arg: &$crate::op::ArgValue) -> Result<Option<Self>, $crate::OpError> {
                use $crate::op::{ArgValue, Const};
                match arg {
                    ArgValue::Const(Const::None) => Ok(None),
                    ArgValue::Const(Const::Str(s)) => match s.to_ascii_lowercase().as_str() {
                        $($text => Ok(Some($name::$variant)),)*
                        _ => Err($crate::OpError::Invalid(format!("unknown {} {s:?}", stringify!($name)))),
                    },
                    other => match <i64 as $crate::op::FromArg>::from_arg(other)? {
                        $(Some($number) => Ok(Some($name::$variant)),)*
                        Some(n) => Err($crate::OpError::Invalid(format!("unknown {} {n}", stringify!($name)))),
                        None => Ok(None),
                    },
                }
            }

            fn into_const(self) -> Option<$crate::op::Const> {
                match self { $($name::$variant => Some($crate::op::Const::Int($number)),)* }
            }
        }
    };
}
