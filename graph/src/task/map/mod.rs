//! Element-wise programs.

mod functions;
mod scalar;

pub use functions::{Binary, Unary};
pub use scalar::Scalar;

use std::collections::BTreeSet;

use crate::{DType, Shape};
use Scalar::{Float, Int};

/// An element-wise program over broadcast operands.
///
/// Inputs: tensors whose shapes broadcast to `shape` (right-aligned). Output: one tensor of as many elements as `shape`, in
/// its order.
#[derive(Clone, Debug)]
pub struct Map {
    /// Dimensions that are walked.
    pub shape: Shape,
    /// What to compute for each element.
    pub program: Program,
}

/// Index of an instruction's result in a [`Program`].
pub type Reg = usize;

/// Something for each register of a program, in order.
///
/// Instructions read registers that were written before; one that reads another panics.
#[derive(Debug)]
pub(crate) struct Registers<T>(Vec<T>);

impl<T> Registers<T> {
    pub(crate) fn new(program: &Program) -> Registers<T> {
        Registers(Vec::with_capacity(program.instrs.len()))
    }

    pub(crate) fn push(&mut self, value: T) {
        self.0.push(value);
    }

    /// What the last register holds.
    pub(crate) fn last(self) -> Option<T> {
        self.0.into_iter().next_back()
    }
}

impl<T> std::ops::Index<Reg> for Registers<T> {
    type Output = T;

    #[expect(clippy::indexing_slicing, reason = "instructions read registers that were written before")]
    fn index(&self, reg: Reg) -> &T {
        &self.0[reg]
    }
}

/// A straight-line scalar program. Instruction `i` writes register `i`; the last register is the result.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Program {
    /// Instructions with the element type of their results.
    pub instrs: Vec<(Instr, DType)>,
}

/// One scalar instruction. Arithmetic takes operands of the result's type; comparisons take operands of one type and give
/// `bool`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Instr {
    /// The task's input with this index.
    Input(usize),
    /// A number, converted to the instruction's type.
    Const(f64),
    /// An integer, converted to the instruction's type.
    Int(i64),
    /// A function of one operand.
    Unary(Unary, Reg),
    /// A function of two operands.
    Binary(Binary, Reg, Reg),
    /// The second operand where the first (`bool`) is true, else the third.
    Select(Reg, Reg, Reg),
    /// Conversion to the instruction's type, as [`crate::Tensor::cast`] does it.
    Cast(Reg),
}

impl Instr {
    /// The instruction with other registers to read.
    pub(crate) fn reading(self, reg: impl Fn(Reg) -> Reg) -> Instr {
        match self {
            Instr::Input(_) | Instr::Const(_) | Instr::Int(_) => self,
            Instr::Unary(f, x) => Instr::Unary(f, reg(x)),
            Instr::Binary(f, a, b) => Instr::Binary(f, reg(a), reg(b)),
            Instr::Select(c, a, b) => Instr::Select(reg(c), reg(a), reg(b)),
            Instr::Cast(x) => Instr::Cast(reg(x)),
        }
    }

    /// The registers that it reads.
    pub fn operands(self) -> impl Iterator<Item = Reg> {
        let regs = match self {
            Instr::Input(_) | Instr::Const(_) | Instr::Int(_) => [None; 3],
            Instr::Unary(_, x) | Instr::Cast(x) => [Some(x), None, None],
            Instr::Binary(_, a, b) => [Some(a), Some(b), None],
            Instr::Select(c, a, b) => [Some(c), Some(a), Some(b)],
        };
        regs.into_iter().flatten()
    }
}

impl Program {
    /// A program without instructions.
    pub fn new() -> Program {
        Program::default()
    }

    /// Element type of a register that [`push`](Self::push) gave.
    #[expect(clippy::indexing_slicing, reason = "registers are numbers of instructions that were pushed")]
    pub fn type_of(&self, reg: Reg) -> DType {
        self.instrs[reg].1
    }

    /// Appends an instruction and returns its register.
    pub fn push(&mut self, instr: Instr, dtype: DType) -> Reg {
        self.instrs.push((instr, dtype));
        self.instrs.len() - 1
    }

    /// Appends a read of input `index`.
    pub fn input(&mut self, index: usize, dtype: DType) -> Reg {
        self.push(Instr::Input(index), dtype)
    }

    /// Appends a constant of `dtype`.
    pub fn constant(&mut self, value: f64, dtype: DType) -> Reg {
        self.push(Instr::Const(value), dtype)
    }

    /// Appends a function of one operand. Tests give `bool`, the rest the operand's type.
    pub fn unary(&mut self, f: Unary, x: Reg) -> Reg {
        let dtype = if f.is_test() { DType::Bool } else { self.type_of(x) };
        self.push(Instr::Unary(f, x), dtype)
    }

    /// Appends a function of two operands of one type. Comparisons give `bool`, the rest the operands' type.
    pub fn binary(&mut self, f: Binary, a: Reg, b: Reg) -> Reg {
        let dtype = if f.is_comparison() { DType::Bool } else { self.type_of(a) };
        self.push(Instr::Binary(f, a, b), dtype)
    }

    /// Appends a choice.
    pub fn select(&mut self, cond: Reg, a: Reg, b: Reg) -> Reg {
        let dtype = self.type_of(a);
        self.push(Instr::Select(cond, a, b), dtype)
    }

    /// Appends a conversion; none if `x` has the type already.
    pub fn cast(&mut self, x: Reg, dtype: DType) -> Reg {
        if self.type_of(x) == dtype { x } else { self.push(Instr::Cast(x), dtype) }
    }

    /// Element type of the result; `None` for an empty program.
    pub fn dtype(&self) -> Option<DType> {
        self.instrs.last().map(|i| i.1)
    }

    /// Number of inputs: one more than the largest index read.
    pub fn input_count(&self) -> usize {
        self.instrs
            .iter()
            .filter_map(|(i, _)| if let Instr::Input(n) = i { Some(n + 1) } else { None })
            .max()
            .unwrap_or(0)
    }

    /// Arithmetic instructions.
    pub fn flops(&self) -> u64 {
        self.instrs
            .iter()
            .filter(|(i, _)| matches!(i, Instr::Unary(..) | Instr::Binary(..) | Instr::Select(..)))
            .count() as u64
    }

    /// `self` with the reads of `input` replaced by the result of `first`. Input `i` of `first` becomes input `renumber[i]`;
    /// input `i ≠ input` of `self` becomes `keep[i]`. Inputs without a number keep theirs.
    pub fn compose(&self, input: usize, first: &Program, renumber: &[usize], keep: &[usize]) -> Program {
        let mut out = first.clone();
        out.renumber(renumber);
        let result = out.instrs.len().saturating_sub(1);
        let mut regs = Registers::new(self);
        for &(instr, dtype) in &self.instrs {
            regs.push(match instr {
                Instr::Input(i) if i == input => result,
                Instr::Input(i) => out.push(Instr::Input(keep.get(i).copied().unwrap_or(i)), dtype),
                _ => out.push(instr.reading(|r| regs[r]), dtype),
            });
        }
        if let Some(last) = regs.last()
            && last + 1 != out.instrs.len()
        {
            out.push(Instr::Cast(last), out.type_of(last));
        }
        out
    }

    /// The inputs that it reads.
    pub(crate) fn inputs(&self) -> BTreeSet<usize> {
        self.instrs.iter().filter_map(|(i, _)| if let Instr::Input(n) = i { Some(*n) } else { None }).collect()
    }

    /// The instructions that the result of `last` follows from.
    pub(crate) fn leading_to(&self, last: Reg) -> Program {
        let mut needed = BTreeSet::from([last]);
        for (reg, (instr, _)) in self.instrs.iter().enumerate().rev() {
            if needed.contains(&reg) {
                needed.extend(instr.operands());
            }
        }
        let (mut out, mut regs) = (Program::new(), Registers::new(self));
        for (reg, &(instr, dtype)) in self.instrs.iter().enumerate() {
            regs.push(if needed.contains(&reg) { out.push(instr.reading(|r| regs[r]), dtype) } else { reg });
        }
        out
    }

    /// Appends what `other` computes; its input `inputs[i]` is register `regs[i]`, of the type that it reads.
    pub(crate) fn splice(&mut self, other: &Program, inputs: &[usize], regs: &[Reg]) -> Reg {
        let mut own = Registers::new(other);
        for &(instr, dtype) in &other.instrs {
            let given = inputs.iter().zip(regs).find(|(i, _)| instr == Instr::Input(**i));
            own.push(match given {
                Some((_, reg)) => *reg,
                None => self.push(instr.reading(|r| own[r]), dtype),
            });
        }
        own.last().unwrap_or(0)
    }

    /// Input `i` becomes input `numbers[i]`; those without a number keep theirs.
    pub(crate) fn renumber(&mut self, numbers: &[usize]) {
        for (instr, _) in &mut self.instrs {
            if let Instr::Input(i) = instr {
                *i = numbers.get(*i).copied().unwrap_or(*i);
            }
        }
    }

    /// The result for one element, in `f64` (floats) or `i64` (integers and `bool`), rounded to each instruction's type.
    /// The plain meaning of a program, for references.
    ///
    /// `inputs` holds an element of each input that it reads.
    #[expect(clippy::indexing_slicing, reason = "callers give as many inputs as the program reads")]
    pub fn eval(&self, inputs: &[Scalar]) -> Scalar {
        let mut regs = Registers::new(self);
        for &(instr, dtype) in &self.instrs {
            let value = match instr {
                Instr::Input(i) => inputs[i],
                Instr::Const(x) => Float(x),
                Instr::Int(x) => Int(x),
                Instr::Unary(f, x) => f.eval(regs[x], dtype),
                Instr::Binary(f, a, b) => f.eval(regs[a], regs[b], self.type_of(a)),
                Instr::Select(c, a, b) => {
                    if regs[c].truth() {
                        regs[a]
                    } else {
                        regs[b]
                    }
                }
                Instr::Cast(x) => match regs[x] {
                    Int(bits) if self.type_of(x) == DType::U64 && dtype.is_float() => Float(bits as u64 as f64),
                    other => other,
                },
            };
            regs.push(value.round_to(dtype));
        }
        regs.last().unwrap_or(Float(0.0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_compose() {
        let mut add = Program::new();
        let (a, b) = (add.input(0, DType::F32), add.input(1, DType::F32));
        add.binary(Binary::Add, a, b);
        let mut relu = Program::new();
        let x = relu.input(0, DType::F32);
        relu.unary(Unary::Relu, x);
        let both = relu.compose(0, &add, &[0, 1], &[0]);
        assert_eq!(both.eval(&[Float(1.0), Float(-3.0)]), Float(0.0));
        assert_eq!(both.eval(&[Float(1.0), Float(2.0)]), Float(3.0));
        assert_eq!(both.input_count(), 2);
    }
}
