//! Choices between tensors by a mask.

use crate::op::{Case, Lowers, Operand, Operator, Rule};
use crate::ops::kit::elementwise::Elementwise;
use crate::ops::kit::sample::{cycle, flags, sample, wave};
use crate::task::{Lowering, Scalar};
use crate::{DType, OpError, op};

op! {
    /// `input` where `condition` is true, else `other`; all three broadcast. The result has the common type of `input` and
    /// `other`.
    Select, aliases ["SelectV2"] { condition ["cond"]: Operand, input ["x"]: Operand, other ["y"]: Operand }
}

impl Operator for Select {
    fn rule(&self) -> Result<impl Rule, OpError> {
        let out = DType::promote(self.input.dtype(), self.other.dtype());
        Ok(choice(&self.condition, &self.input, &self.other, out))
    }

    fn cases() -> Vec<Case> {
        let x = |d: DType, dims: &[usize]| wave(d, dims);
        vec![
            sample().arg(flags(&[3, 5])).arg(x(DType::F32, &[3, 5])).arg(x(DType::F32, &[3, 5])).exact("f32"),
            sample().arg(flags(&[2, 1, 5])).arg(x(DType::F32, &[3, 1])).arg(x(DType::F32, &[])).exact("broadcast"),
            sample().arg(flags(&[3, 5])).arg(x(DType::F16, &[5])).real(0.5).case("f16"),
            sample().arg(flags(&[5])).arg(x(DType::I64, &[5])).int(-1).exact("i64"),
            sample().arg(flags(&[5])).arg(x(DType::I32, &[5])).arg(x(DType::F32, &[5])).case("int and float"),
            sample().arg(flags(&[5])).arg(flags(&[5])).arg(flags(&[1])).exact("bool"),
            sample()
                .arg(flags(&[4]))
                .arg(cycle(DType::F32, &[4], &[f64::NAN, f64::INFINITY]))
                .real(0.0)
                .exact("special"),
        ]
    }
}

op! {
    /// `value` where `mask` is true, else `input_x`, in the type of `input_x`; all three broadcast.
    MaskedFill, aliases ["MaskedFillScalar"] { input_x ["input"]: Operand, mask: Operand, value: Operand }
}

impl Operator for MaskedFill {
    fn rule(&self) -> Result<impl Rule, OpError> {
        Ok(choice(&self.mask, &self.value, &self.input_x, self.input_x.dtype()))
    }

    fn cases() -> Vec<Case> {
        vec![
            sample().arg(wave(DType::F32, &[2, 3, 5])).arg(flags(&[3, 5])).real(-1e9).exact("f32"),
            sample().arg(wave(DType::F32, &[5])).arg(flags(&[3, 5])).real(f32::NEG_INFINITY).exact("wider mask"),
            sample().arg(wave(DType::F32, &[3, 5])).arg(flags(&[5])).arg(wave(DType::F32, &[])).exact("tensor value"),
            sample().arg(wave(DType::F16, &[3, 5])).arg(flags(&[3, 1])).real(0.5).exact("f16"),
            sample().arg(wave(DType::I64, &[3, 5])).arg(flags(&[3, 5])).int(7).exact("i64"),
            sample().arg(wave(DType::I32, &[3, 5])).arg(flags(&[3, 5])).real(7.5).exact("float value"),
        ]
    }
}

/// `yes` where `mask` is true, else `no`.
fn choice<'a>(mask: &'a Operand, yes: &'a Operand, no: &'a Operand, out: DType) -> impl Rule {
    let definition = |[mask, yes, no]: [Scalar; 3]| if mask.truth() { yes } else { no };
    let ins = [(mask, DType::Bool), (yes, out), (no, out)];
    Elementwise::new(ins, out, definition, |p, [mask, yes, no]| p.select(mask, yes, no))
}

/// `yes` where `mask` is true, else `no`, as a task.
pub(in crate::ops) fn lower_choice(
    mask: &Operand,
    yes: &Operand,
    no: &Operand,
    out: DType,
    b: &mut Lowering,
) -> Lowers {
    choice(mask, yes, no, out).lower(b)
}
