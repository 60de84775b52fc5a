//! Arguments for the operators' test cases.

use crate::op::{ArgValue, Args, Case, CaseArg, Const, Operand};
use crate::task::V;
use crate::{DType, OpError, Tensor};

/// A tensor of `dims` with element `i` from `f(i)`.
pub(in crate::ops) fn tensor(dtype: DType, dims: &[usize], f: impl Fn(usize) -> f64) -> CaseArg {
    let data: Vec<f64> = (0..crate::count(dims)).map(f).collect();
    CaseArg::Tensor(Tensor::from_f64s(dtype, dims, &data).unwrap_or_else(|_| Tensor::scalar(0.0f32)))
}

/// A tensor of `dims` whose elements walk through `values`.
pub(in crate::ops) fn cycle(dtype: DType, dims: &[usize], values: &[f64]) -> CaseArg {
    tensor(dtype, dims, |i| values.get(i % values.len().max(1)).copied().unwrap_or(0.0))
}

/// A tensor of `dims` with distinct-looking numbers between −3 and 3.
pub(in crate::ops) fn wave(dtype: DType, dims: &[usize]) -> CaseArg {
    tensor(dtype, dims, |i| f64::from((i * 37 % 101) as u32) * 0.06 - 3.0)
}

/// A tensor of `dims` with numbers from `low` to `high`.
pub(in crate::ops) fn between(dtype: DType, dims: &[usize], low: f64, high: f64) -> CaseArg {
    tensor(dtype, dims, |i| low + f64::from((i * 37 % 101) as u32) * (high - low) / 100.0)
}

/// A `bool` tensor of `dims`.
pub(in crate::ops) fn flags(dims: &[usize]) -> CaseArg {
    tensor(DType::Bool, dims, |i| f64::from(u8::from(i * 7 % 5 > 1)))
}

/// An integer constant.
pub(in crate::ops) fn int(x: i64) -> CaseArg {
    CaseArg::Const(Const::Int(x))
}

/// A float constant.
pub(in crate::ops) fn float(x: f32) -> CaseArg {
    CaseArg::Const(Const::Float(x))
}

/// A truth value.
pub(in crate::ops) fn truth(x: bool) -> CaseArg {
    CaseArg::Const(Const::Bool(x))
}

/// A tuple of integers.
pub(in crate::ops) fn tuple(xs: &[i64]) -> CaseArg {
    CaseArg::Const(Const::Tuple(xs.iter().map(|&x| Const::Int(x)).collect()))
}

/// Text.
pub(in crate::ops) fn text(s: &str) -> CaseArg {
    CaseArg::Const(Const::Str(s.into()))
}

/// An element type.
pub(in crate::ops) fn dtype(d: DType) -> CaseArg {
    CaseArg::Const(Const::Int(d.type_id()))
}

/// Python's `None`.
pub(in crate::ops) fn none() -> CaseArg {
    CaseArg::Const(Const::None)
}

/// A case with all arguments given.
pub(in crate::ops) fn case(name: &'static str, args: impl IntoIterator<Item = CaseArg>, tolerance: f64) -> Case {
    Case { name, args: args.into_iter().map(Some).collect(), tolerance }
}

/// The error bound of one rounding in `dtype`, with room for a few.
pub(in crate::ops) fn tolerance(dtype: DType) -> f64 {
    match dtype {
        DType::F16 => 4e-3,
        DType::BF16 => 3e-2,
        DType::F32 => 4e-6,
        DType::F64 => 1e-11,
        _ => 0.0,
    }
}

/// What `infer` says of a case's arguments with known contents.
pub(in crate::ops) fn facts<R>(case: &Case, infer: impl Fn(&Args) -> Result<R, OpError>) -> Result<R, OpError> {
    let operand = |t: &Tensor| ArgValue::Operand(Operand { v: V(0), fact: t.fact().into(), known: Some(t.clone()) });
    let arg = |arg: &CaseArg| match arg {
        CaseArg::Tensor(t) => operand(t),
        CaseArg::Tensors(ts) => ArgValue::List(ts.iter().map(operand).collect()),
        CaseArg::Const(c @ (Const::Int(_) | Const::Float(_) | Const::Bool(_))) => {
            c.tensor().map_or(ArgValue::Const(c.clone()), |t| operand(&t))
        }
        CaseArg::Const(c) => ArgValue::Const(c.clone()),
    };
    infer(&Args { op: case.name, items: case.args.iter().map(|a| a.as_ref().map(arg)).collect() })
}
