//! What updates do to the elements that they meet.

use crate::onnx::{Edge, Emit, NoForm, no_form};
use crate::op::Operand;
use crate::ops::kit::arithmetic::{Arithmetic, with_arithmetic};
use crate::ops::kit::indices::{item_mut, rearrange_many};
use crate::{DType, OpError, Tensor, ensure};

/// What happens to an element that an update meets.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(in crate::ops) enum Combine {
    Replace,
    Add,
    Sub,
    Mul,
    Div,
    Max,
    Min,
}

impl Combine {
    /// The operator that returns what others write.
    pub const fn pure(self) -> &'static str {
        match self {
            Combine::Replace => "TensorScatterUpdate",
            Combine::Add => "TensorScatterAdd",
            Combine::Sub => "TensorScatterSub",
            Combine::Mul => "TensorScatterMul",
            Combine::Div => "TensorScatterDiv",
            Combine::Max => "TensorScatterMax",
            Combine::Min => "TensorScatterMin",
        }
    }

    /// ONNX's reduction and the updates for it, of type `d`.
    pub fn onnx(self, e: &mut Emit, updates: Edge, d: DType) -> Result<(&'static str, Edge), NoForm> {
        Ok(match self {
            Combine::Replace => ("none", updates),
            Combine::Add => ("add", updates),
            Combine::Sub => ("add", e.op("Neg", &[updates])),
            Combine::Mul => ("mul", updates),
            Combine::Div if d.is_float() => ("mul", e.op("Reciprocal", &[updates])),
            Combine::Div => return no_form("updates that divide integers"),
            Combine::Max | Combine::Min if e.opset() < 18 => {
                return no_form("updates that keep an extreme need operator set 18");
            }
            Combine::Max => ("max", updates),
            Combine::Min => ("min", updates),
        })
    }
}

/// Integers and `bool` that stay exact, floats in `f64`.
pub(in crate::ops) trait Combined: Arithmetic {
    fn combine(self, other: Self, how: Combine) -> Self;
}

impl Combined for f64 {
    fn combine(self, other: f64, how: Combine) -> f64 {
        match how {
            Combine::Replace => other,
            Combine::Add => self + other,
            Combine::Sub => self - other,
            Combine::Mul => self * other,
            Combine::Div => self / other,
            Combine::Max => {
                if other > self || other.is_nan() {
                    other
                } else {
                    self
                }
            }
            Combine::Min => {
                if other < self || other.is_nan() {
                    other
                } else {
                    self
                }
            }
        }
    }
}

impl Combined for i64 {
    fn combine(self, other: i64, how: Combine) -> i64 {
        match how {
            Combine::Replace => other,
            Combine::Add => self.wrapping_add(other),
            Combine::Sub => self.wrapping_sub(other),
            Combine::Mul => self.wrapping_mul(other),
            Combine::Div => {
                if other == 0 {
                    0
                } else {
                    self.wrapping_div(other)
                }
            }
            Combine::Max => self.max(other),
            Combine::Min => self.min(other),
        }
    }
}

/// Updates `x` at `places`: element `i` of `updates` meets element `places[i]`, in order.
pub(in crate::ops) fn apply(x: &Tensor, places: &[usize], updates: &Tensor, how: Combine) -> Result<Tensor, OpError> {
    if how == Combine::Replace {
        let mut last: Vec<Option<usize>> = vec![None; x.count()];
        for (i, &place) in places.iter().enumerate() {
            *item_mut(&mut last, place)? = Some(i);
        }
        let (fill, mut last) = (vec![0; x.dtype().size()], last.into_iter().enumerate());
        return rearrange_many(&[x, updates], x.shape(), &fill, |_| {
            let (at, update) = last.next()?;
            Some(update.map_or((0, at), |i| (1, i)))
        });
    }
    with_arithmetic!(x.dtype(), N => {
        let (mut y, u) = (N::read(x)?, N::read(updates)?);
        for (&place, u) in places.iter().zip(u) {
            let y = item_mut(&mut y, place)?;
            *y = y.combine(u, how);
        }
        N::write(x.dtype(), x.shape(), &y)
    })
}

pub(super) fn check_operands(x: &Operand, index: &Operand, updates: &Operand, how: Combine) -> Result<(), OpError> {
    ensure!(index.dtype().is_int(), "expected integer indices, found {}", index.fact);
    check_updates(x, updates, how)
}

pub(super) fn check_updates(x: &Operand, updates: &Operand, how: Combine) -> Result<(), OpError> {
    ensure!(x.dtype() == updates.dtype(), "expected updates of {}, found {}", x.dtype(), updates.fact);
    let numbers = how == Combine::Replace || x.dtype().is_float() || x.dtype().is_int();
    ensure!(numbers, "expected numbers, found {}", x.fact);
    Ok(())
}
