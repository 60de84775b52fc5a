//! Operators with one result for every position that their operands broadcast to.

use super::broadcasting::{In, emit, evaluate, fact, wide};
use crate::op::{Lowers, Plan};
use crate::task::{Lowering, Program, Reg, Scalar};
use crate::{DType, Fact, OpError, Tensor};

/// A function of numbers, by definition and as a program.
pub(in crate::ops) struct Elementwise<'a, F, P> {
    ins: Vec<In<'a>>,
    out: DType,
    f: F,
    program: P,
    widened: bool,
}

impl<'a, F: Fn(&[Scalar]) -> Scalar, P: Fn(&mut Program, &[Reg]) -> Reg> Elementwise<'a, F, P> {
    /// `f` of operands that are read as the types beside them, as `out`; `program` computes it in these types.
    pub fn new(ins: impl Into<Vec<In<'a>>>, out: DType, f: F, program: P) -> Self {
        Elementwise { ins: ins.into(), out, f, program, widened: false }
    }

    /// As [`Elementwise::new`], but that the program has `f32` in place of 16-bit floats.
    pub fn widened(ins: impl Into<Vec<In<'a>>>, out: DType, f: F, program: P) -> Self {
        Elementwise { widened: true, ..Elementwise::new(ins, out, f, program) }
    }
}

impl<F: Fn(&[Scalar]) -> Scalar, P: Fn(&mut Program, &[Reg]) -> Reg> Plan for Elementwise<'_, F, P> {
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        fact(&self.ins.iter().map(|x| x.0).collect::<Vec<_>>(), self.out)
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        evaluate(&self.ins, self.out, &self.f)
    }

    fn lower(&self, b: &mut Lowering) -> Lowers {
        let compute = |d| if self.widened { wide(d) } else { d };
        let ins: Vec<_> = self.ins.iter().map(|&(x, d)| (x, compute(d))).collect();
        Ok(Some(vec![emit(b, &ins, self.out, &self.program)?]))
    }
}
