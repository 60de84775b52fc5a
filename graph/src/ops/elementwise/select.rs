//! Choices between tensors by a mask.

use crate::op::{Case, Lowers, Operand, Rule};
use crate::ops::kit::broadcasting::{emit, evaluate, fact};
use crate::ops::kit::samples::{case, cycle, flags, float, int, wave};
use crate::task::Lowering;
use crate::{DType, Fact, OpError, Tensor, op};

op! {
    /// `input` where `condition` is true, else `other`; all three broadcast. The result has the common type of `input` and
    /// `other`.
    Select, aliases ["SelectV2"] { condition ["cond"]: Operand, input ["x"]: Operand, other ["y"]: Operand }
}

impl Select {
    fn dtype(&self) -> DType {
        DType::promote(self.input.dtype(), self.other.dtype())
    }
}

impl Rule for Select {
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        fact(&[&self.condition, &self.input, &self.other], self.dtype())
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        choose(&self.condition, &self.input, &self.other, self.dtype())
    }

    fn lower(&self, b: &mut Lowering) -> Lowers {
        lower_choice(&self.condition, &self.input, &self.other, self.dtype(), b)
    }

    fn cases() -> Vec<Case> {
        let x = |d: DType, dims: &[usize]| wave(d, dims);
        vec![
            case("f32", [flags(&[3, 5]), x(DType::F32, &[3, 5]), x(DType::F32, &[3, 5])], 0.0),
            case("broadcast", [flags(&[2, 1, 5]), x(DType::F32, &[3, 1]), x(DType::F32, &[])], 0.0),
            case("f16", [flags(&[3, 5]), x(DType::F16, &[5]), float(0.5)], 1e-3),
            case("i64", [flags(&[5]), x(DType::I64, &[5]), int(-1)], 0.0),
            case("int and float", [flags(&[5]), x(DType::I32, &[5]), x(DType::F32, &[5])], 1e-6),
            case("bool", [flags(&[5]), flags(&[5]), flags(&[1])], 0.0),
            case("special", [flags(&[4]), cycle(DType::F32, &[4], &[f64::NAN, f64::INFINITY]), float(0.0)], 0.0),
        ]
    }
}

op! {
    /// `value` where `mask` is true, else `input_x`, in the type of `input_x`; all three broadcast.
    MaskedFill, aliases ["MaskedFillScalar"] { input_x ["input"]: Operand, mask: Operand, value: Operand }
}

impl Rule for MaskedFill {
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        fact(&[&self.input_x, &self.mask, &self.value], self.input_x.dtype())
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        choose(&self.mask, &self.value, &self.input_x, self.input_x.dtype())
    }

    fn lower(&self, b: &mut Lowering) -> Lowers {
        lower_choice(&self.mask, &self.value, &self.input_x, self.input_x.dtype(), b)
    }

    fn cases() -> Vec<Case> {
        vec![
            case("f32", [wave(DType::F32, &[2, 3, 5]), flags(&[3, 5]), float(-1e9)], 0.0),
            case("wider mask", [wave(DType::F32, &[5]), flags(&[3, 5]), float(f32::NEG_INFINITY)], 0.0),
            case("tensor value", [wave(DType::F32, &[3, 5]), flags(&[5]), wave(DType::F32, &[])], 0.0),
            case("f16", [wave(DType::F16, &[3, 5]), flags(&[3, 1]), float(0.5)], 0.0),
            case("i64", [wave(DType::I64, &[3, 5]), flags(&[3, 5]), int(7)], 0.0),
            case("float value", [wave(DType::I32, &[3, 5]), flags(&[3, 5]), float(7.5)], 0.0),
        ]
    }
}

/// `yes` where `mask` is true, else `no`.
pub(in crate::ops) fn choose(mask: &Operand, yes: &Operand, no: &Operand, out: DType) -> Result<Vec<Tensor>, OpError> {
    evaluate(&[(mask, DType::Bool), (yes, out), (no, out)], out, |x| if x[0].truth() { x[1] } else { x[2] })
}

/// [`choose`] as a task.
pub(in crate::ops) fn lower_choice(
    mask: &Operand,
    yes: &Operand,
    no: &Operand,
    out: DType,
    b: &mut Lowering,
) -> Lowers {
    let y = emit(b, &[(mask, DType::Bool), (yes, out), (no, out)], out, |p, r| p.select(r[0], r[1], r[2]))?;
    Ok(Some(vec![y]))
}
