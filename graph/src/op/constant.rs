//! Constant arguments.

use std::fmt;
use std::sync::Arc;

use crate::{DType, Tensor};

/// A constant argument that is no tensor.
#[derive(Clone, Debug, PartialEq)]
pub enum Const {
    /// Python's `None`.
    None,
    /// A truth value.
    Bool(bool),
    /// An integer of any width.
    Int(i64),
    /// A single-precision number, as Python floats are exported.
    Float(f32),
    /// A double-precision number.
    Double(f64),
    /// Text.
    Str(Arc<str>),
    /// A tuple or list.
    Tuple(Vec<Const>),
    /// An element type.
    DType(DType),
    /// A tensor.
    Tensor(Tensor),
}

macro_rules! from {
    ($($t:ty => $variant:ident),*) => {$(
        impl From<$t> for Const {
            fn from(x: $t) -> Const {
                Const::$variant(x)
            }
        }
    )*};
}
from!(bool => Bool, i64 => Int, f32 => Float, DType => DType);

impl From<&str> for Const {
    fn from(s: &str) -> Const {
        Const::Str(s.into())
    }
}

impl From<&[i64]> for Const {
    fn from(items: &[i64]) -> Const {
        Const::Tuple(items.iter().map(|&i| Const::Int(i)).collect())
    }
}

impl fmt::Display for Const {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Const::None => f.write_str("None"),
            Const::Bool(b) => write!(f, "{b}"),
            Const::Int(i) => write!(f, "{i}"),
            Const::Float(x) => write!(f, "{x:?}"),
            Const::Double(x) => write!(f, "{x:?}"),
            Const::Str(s) => write!(f, "{s:?}"),
            Const::DType(d) => write!(f, "{d}"),
            Const::Tensor(t) => write!(f, "{t:?}"),
            Const::Tuple(items) => {
                f.write_str("(")?;
                for (i, item) in items.iter().enumerate() {
                    write!(f, "{}{item}", if i == 0 { "" } else { "," })?;
                }
                f.write_str(")")
            }
        }
    }
}

impl Const {
    /// A number as a tensor of rank 0, and a tensor as it is; `None` for anything else.
    pub fn tensor(&self) -> Option<Tensor> {
        match self {
            Const::Bool(b) => Tensor::from_bools(&[], &[*b]).ok(),
            Const::Int(i) => Some(Tensor::scalar(*i)),
            Const::Float(x) => Some(Tensor::scalar(*x)),
            Const::Double(x) => Some(Tensor::scalar(*x)),
            Const::Tensor(t) => Some(t.clone()),
            _ => None,
        }
    }
}
