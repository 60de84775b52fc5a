//! Programs at the end of products and convolutions, on rows of accumulated elements.

use std::mem::MaybeUninit;

use mindir_graph::DType;
use mindir_graph::task::{Binary, Instr, Program, Reg, Unary};

use super::code::{BLOCK, Code, Kind};
use super::exec;
use crate::cpu::Isa;
use crate::cpu::epilogue::{MAX_OPERANDS, RowOperand, RowProgram};
use crate::cpu::simd::{Kernel, Simd, math};

/// Words of scratch on the stack.
const SCRATCH: usize = 4096;

/// An epilogue's program, compiled for accumulators and operands of `f32`.
#[derive(Clone, Debug)]
pub struct Finish {
    isa: Isa,
    code: Code,
    fused: Option<Fused>,
}

/// The sum of the accumulator and all operands, and a function of it.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Fused(Option<Unary>);

impl Finish {
    /// The code of `program`, which reads the accumulator as input 0 and `operands` operands as the inputs after it. Its
    /// result is `f32` if the program's is `f16`, `bf16` or `f32`, to be rounded where it is stored; the accumulator is
    /// rounded to the type that the program reads it in. `None` for other programs.
    pub fn new(isa: Isa, program: &Program, operands: usize) -> Option<Finish> {
        let program = on_f32(program)?;
        let code = Code::new(&program, &vec![DType::F32; operands + 1])?;
        let fits = operands <= MAX_OPERANDS && code.scratch() <= SCRATCH * 8;
        fits.then(|| Finish { isa, fused: Fused::find(&program, operands), code })
    }

    fn blocks(&self, acc: &mut [f32], operands: &[RowOperand<'_>]) {
        let code = &self.code;
        let mut scratch = [const { MaybeUninit::<u64>::uninit() }; SCRATCH];
        let rows = scratch.as_mut_ptr().cast::<u8>();
        // SAFETY: `new` checked that the rows fit.
        unsafe { code.prepare(rows) };
        for (b, acc) in acc.chunks_mut(BLOCK).enumerate() {
            let n = acc.len();
            let out = acc.as_mut_ptr().cast::<u8>();
            let mut inputs = [out.cast_const(); MAX_OPERANDS + 1];
            for (i, operand) in operands.iter().enumerate() {
                let spread = rows.wrapping_add((code.rows + i) * code.row_bytes);
                inputs[i + 1] = match operand {
                    RowOperand::Each(x) => x[b * BLOCK..][..n].as_ptr().cast(),
                    RowOperand::Same(x) => {
                        // SAFETY: `new` checked that a row for every operand fits.
                        unsafe { std::slice::from_raw_parts_mut(spread.cast::<MaybeUninit<f32>>(), n) }
                            .fill(MaybeUninit::new(*x));
                        spread
                    }
                };
            }
            let block = exec::Block { n, inputs: &inputs[..operands.len() + 1], out, rows };
            // SAFETY: operands have `n` elements, the accumulator is operand 0 and the result, and `rows` is prepared.
            unsafe { code.run(self.isa, block) };
        }
    }
}

impl RowProgram for Finish {
    /// # Panics
    /// If there are other operands than the program was compiled for, or one is too short.
    fn run(&self, acc: &mut [f32], operands: &[RowOperand<'_>]) {
        assert_eq!(operands.len() + 1, self.code.inputs.len(), "operands of an epilogue");
        match self.fused {
            Some(Fused(last)) => self.isa.run(Sum { acc, operands, last }),
            None => self.blocks(acc, operands),
        }
    }
}

/// `program` with every float of at most 32 bits as `f32` where it reads an operand and where it ends; `None` if it ends in,
/// or reads, anything else.
fn on_f32(program: &Program) -> Option<Program> {
    let mut program = program.clone();
    let last = program.instrs.len().checked_sub(1)?;
    for (i, (instr, dtype)) in program.instrs.iter_mut().enumerate() {
        if i == last || matches!(instr, Instr::Input(_)) {
            if Kind::of(*dtype) != Some(Kind::F32) {
                return None;
            }
            if i == last || *instr != Instr::Input(0) {
                *dtype = DType::F32;
            }
        }
    }
    Some(program)
}

impl Fused {
    fn find(program: &Program, operands: usize) -> Option<Fused> {
        use Unary::*;
        if program.instrs.iter().any(|(_, dtype)| *dtype != DType::F32) {
            return None;
        }
        let mut top = program.instrs.len().checked_sub(1)?;
        let mut last = None;
        if let Instr::Unary(f, x) = program.instrs[top].0 {
            let known = [Relu, Relu6, Gelu, GeluTanh, Silu, HSwish, Sigmoid, Tanh, Mish];
            last = Some(*known.iter().find(|k| **k == f)?);
            top = x;
        }
        (operands <= 2 && is_sum(program, top, operands)).then_some(Fused(last))
    }
}

/// Whether `reg` is the sum of the inputs up to `last`, added one after the other.
fn is_sum(program: &Program, reg: Reg, last: usize) -> bool {
    let is_input = |reg: Reg, i| program.instrs[reg].0 == Instr::Input(i);
    match program.instrs[reg].0 {
        Instr::Input(0) => last == 0,
        Instr::Binary(Binary::Add, a, b) if last > 0 => {
            is_input(b, last) && is_sum(program, a, last - 1) || is_input(a, last) && is_sum(program, b, last - 1)
        }
        _ => false,
    }
}

/// Calls `vectors` with a closure that is compiled with the instructions of the token.
macro_rules! last {
    ($sum:ident, $s:ident, $x:ident => $e:expr) => {
        $sum.vectors(
            $s,
            #[inline(always)]
            |$x| $e,
        )
    };
}

/// A [`Fused`] program on one row.
struct Sum<'a> {
    acc: &'a mut [f32],
    operands: &'a [RowOperand<'a>],
    last: Option<Unary>,
}

impl Kernel for Sum<'_> {
    type Out = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, s: S) {
        let zero = s.zero();
        match self.last {
            None => last!(self, s, x => x),
            Some(Unary::Relu) => last!(self, s, x => s.max(zero, x)),
            Some(Unary::Relu6) => last!(self, s, x => s.min(s.splat(6.0), s.max(zero, x))),
            Some(Unary::Gelu) => last!(self, s, x => math::gelu(s, x)),
            Some(Unary::GeluTanh) => last!(self, s, x => math::gelu_tanh(s, x)),
            Some(Unary::Silu) => last!(self, s, x => math::silu(s, x)),
            Some(Unary::HSwish) => last!(self, s, x => math::hswish(s, x)),
            Some(Unary::Sigmoid) => last!(self, s, x => math::sigmoid(s, x)),
            Some(Unary::Tanh) => last!(self, s, x => math::tanh(s, x)),
            Some(_) => last!(self, s, x => math::mish(s, x)),
        }
    }
}

impl Sum<'_> {
    #[inline(always)]
    fn vectors<S: Simd>(&mut self, s: S, f: impl Fn(S::F) -> S::F) {
        let operands = self.operands;
        let whole = self.acc.len() - self.acc.len() % S::LANES;
        for i in (0..whole).step_by(S::LANES) {
            let mut v = s.get(self.acc, i);
            for operand in operands {
                v = s.add(v, if let RowOperand::Each(x) = operand { s.get(x, i) } else { same(s, operand) });
            }
            s.put(self.acc, i, f(v));
        }
        if whole < self.acc.len() {
            let mut v = s.get_tail(self.acc, whole);
            for operand in operands {
                v = s.add(v, if let RowOperand::Each(x) = operand { s.get_tail(x, whole) } else { same(s, operand) });
            }
            s.put_tail(self.acc, whole, f(v));
        }
    }
}

#[inline(always)]
fn same<S: Simd>(s: S, operand: &RowOperand<'_>) -> S::F {
    s.splat(if let RowOperand::Same(x) = operand { *x } else { 0.0 })
}
