//! Programs at the end of products and convolutions, on rows of accumulated elements.

use std::mem::MaybeUninit;

use mindir_graph::DType;
use mindir_graph::task::{Binary, Instr, Program, Reg, Unary};

use super::code::{BLOCK, Code, Kind};
use super::exec::{self, Given};
use crate::cpu::Isa;
use crate::cpu::epilogue::{MAX_OPERANDS, RowOperand, RowProgram};
use crate::cpu::simd::{Kernel, Simd, math};

/// Words of scratch on the stack.
const SCRATCH: usize = 4096;

/// Most operands of a [`Fused`] program.
const FUSED: usize = 2;

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

    /// All rows; those that are short go through a block together.
    fn blocks(&self, acc: &mut [f32], width: usize, operands: &[RowOperand<'_>]) {
        if !along_rows(operands) {
            self.rows(acc, BLOCK, acc.len(), operands);
        } else if width <= BLOCK / 2 {
            self.rows(acc, BLOCK / width * width, width, operands);
        } else {
            for (row, acc) in acc.chunks_mut(width).enumerate() {
                let mut of_row = [RowOperand::Same(0.0); MAX_OPERANDS];
                of_row.iter_mut().zip(operands).for_each(|(to, operand)| *to = operand.of_row(row, width));
                self.rows(acc, BLOCK, width, &of_row[..operands.len()]);
            }
        }
    }

    /// Rows of `width` elements, `block` elements at a time. Unless all operands are [`RowOperand::Same`] or
    /// [`RowOperand::Each`], blocks hold whole rows.
    fn rows(&self, acc: &mut [f32], block: usize, width: usize, operands: &[RowOperand<'_>]) {
        let code = &self.code;
        let mut scratch = [const { MaybeUninit::<u64>::uninit() }; SCRATCH];
        let rows = scratch.as_mut_ptr().cast::<u8>();
        // SAFETY: `new` checked that the rows fit.
        unsafe { code.prepare(rows, block.min(acc.len())) };
        for (b, acc) in acc.chunks_mut(block).enumerate() {
            let (n, at) = (acc.len(), b * block);
            let out = acc.as_mut_ptr().cast::<u8>();
            let given = |first: *const u8| Given { first, same: false };
            let mut inputs = [given(out); MAX_OPERANDS + 1];
            for (i, operand) in operands.iter().enumerate() {
                let spread = rows.wrapping_add((code.rows + i) * code.row_bytes);
                // SAFETY: `new` checked that a row for every operand fits.
                let to = unsafe { std::slice::from_raw_parts_mut(spread.cast::<MaybeUninit<f32>>(), n) };
                match operand {
                    // The first block is the longest.
                    RowOperand::Same(_) | RowOperand::Column(_) if b > 0 => {}
                    RowOperand::Same(x) => repeat(to, *x),
                    RowOperand::Column(x) => to.chunks_exact_mut(width).for_each(|to| copy(to, x)),
                    RowOperand::Row(x) => {
                        to.chunks_exact_mut(width).zip(&x[at / width..]).for_each(|(to, x)| repeat(to, *x));
                    }
                    RowOperand::Each(_) => {}
                }
                inputs[i + 1] = match operand {
                    RowOperand::Each(x) => given(x[at..][..n].as_ptr().cast()),
                    _ => given(spread),
                };
            }
            let block = exec::Block { n, inputs: &inputs[..operands.len() + 1], out, rows };
            // SAFETY: operands have `n` elements, the accumulator is operand 0 and the result, and `rows` is prepared.
            unsafe { code.run(self.isa, block) };
        }
    }
}

fn repeat(to: &mut [MaybeUninit<f32>], x: f32) {
    to.fill(MaybeUninit::new(x));
}

fn copy(to: &mut [MaybeUninit<f32>], from: &[f32]) {
    to.iter_mut().zip(from).for_each(|(to, x)| *to = MaybeUninit::new(*x));
}

/// Whether an operand says where rows start and end.
fn along_rows(operands: &[RowOperand<'_>]) -> bool {
    operands.iter().any(|o| matches!(o, RowOperand::Column(_) | RowOperand::Row(_)))
}

impl<'a> RowOperand<'a> {
    /// The operand along row `row` of rows of `width` elements.
    fn of_row(self, row: usize, width: usize) -> RowOperand<'a> {
        match self {
            RowOperand::Same(x) => RowOperand::Same(x),
            RowOperand::Column(x) => RowOperand::Each(&x[..width]),
            RowOperand::Row(x) => RowOperand::Same(x[row]),
            RowOperand::Each(x) => RowOperand::Each(&x[row * width..][..width]),
        }
    }
}

impl RowProgram for Finish {
    /// # Panics
    /// If there are other operands than the program was compiled for, or one is too short.
    fn run(&self, acc: &mut [f32], width: usize, operands: &[RowOperand<'_>]) {
        assert_eq!(operands.len() + 1, self.code.inputs.len(), "operands of an epilogue");
        let Some(Fused(last)) = self.fused else { return self.blocks(acc, width, operands) };
        let width = if along_rows(operands) { width } else { acc.len() };
        self.isa.run(Sum { acc, width, operands, last });
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
        (operands <= FUSED && is_sum(program, top, operands)).then_some(Fused(last))
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

/// A [`Fused`] program on rows.
struct Sum<'a> {
    acc: &'a mut [f32],
    width: usize,
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
        for (row, acc) in self.acc.chunks_mut(self.width.max(1)).enumerate() {
            let mut operands = [RowOperand::Same(0.0); FUSED];
            operands.iter_mut().zip(self.operands).for_each(|(to, operand)| *to = operand.of_row(row, acc.len()));
            let operands = &operands[..self.operands.len()];
            let whole = acc.len() - acc.len() % S::LANES;
            for i in (0..whole).step_by(S::LANES) {
                let mut v = s.get(acc, i);
                for operand in operands {
                    v = s.add(v, if let RowOperand::Each(x) = operand { s.get(x, i) } else { same(s, operand) });
                }
                s.put(acc, i, f(v));
            }
            if whole < acc.len() {
                let mut v = s.get_tail(acc, whole);
                for operand in operands {
                    v = s.add(
                        v,
                        if let RowOperand::Each(x) = operand { s.get_tail(x, whole) } else { same(s, operand) },
                    );
                }
                s.put_tail(acc, whole, f(v));
            }
        }
    }
}

#[inline(always)]
fn same<S: Simd>(s: S, operand: &RowOperand<'_>) -> S::F {
    s.splat(if let RowOperand::Same(x) = operand { *x } else { 0.0 })
}
