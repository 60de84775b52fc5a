//! Programs at the end of products and convolutions, on rows of accumulated elements.

use mindir_graph::DType;
use mindir_graph::task::{Binary, Epilogue, EpilogueInput, Instr, Program, Reg, Unary};

use super::code::{BLOCK, Code, Kind};
use super::exec;
use crate::cpu::Isa;
use crate::cpu::simd::{Kernel, Simd, math};

/// Consecutive elements of a result.
#[derive(Clone, Copy, Debug)]
pub struct Values {
    /// Row of the first element, as [`Epilogue`] numbers them.
    pub row: usize,
    /// Column of the first element.
    pub col: usize,
    /// Where the first element lies in the result.
    pub at: usize,
    /// Whether the elements are those of one column and consecutive rows, instead of one row and consecutive columns.
    pub down: bool,
}

/// An epilogue compiled for accumulators of `f32`.
#[derive(Clone, Debug)]
pub struct Finish {
    isa: Isa,
    code: Code,
    inputs: Vec<EpilogueInput>,
    fused: Option<Fused>,
}

/// Sums of the accumulator with operands, then a function.
#[derive(Clone, Copy, Debug, PartialEq)]
struct Fused {
    /// Operand with one element per column.
    column: Option<usize>,
    /// Operand laid out like the result.
    full: Option<usize>,
    last: Option<Unary>,
}

impl Finish {
    /// The code of `epilogue` with operands of the types `operands`. Its result is `f32` if the program's is `f16`, `bf16` or
    /// `f32`, to be rounded where it is stored; `None` for other programs, and for types without a kernel.
    pub fn new(isa: Isa, epilogue: &Epilogue, operands: &[DType]) -> Option<Finish> {
        if operands.len() != epilogue.inputs.len() {
            return None;
        }
        let program = on_f32(&epilogue.program)?;
        let types: Vec<DType> = [DType::F32].into_iter().chain(operands.iter().copied()).collect();
        let code = Code::new(&program, &types)?;
        let fused = Fused::find(&program, &epilogue.inputs, operands);
        Some(Finish { isa, code, inputs: epilogue.inputs.clone(), fused })
    }

    /// Bytes of scratch that [`Finish::run`] needs.
    pub fn scratch(&self) -> usize {
        if self.fused.is_some() { 0 } else { self.code.scratch() }
    }

    /// Replaces the accumulated elements `acc`, which lie in the result as `values` says, by what the program makes of them.
    /// `operands` are the bytes of the epilogue's operands; `scratch` is aligned to 8 bytes.
    ///
    /// # Panics
    /// If an operand or scratch is too short or misaligned.
    pub fn run(&self, acc: &mut [f32], values: Values, operands: &[&[u8]], scratch: &mut [u8]) {
        match self.fused {
            Some(fused) => {
                let piece = |i: Option<usize>, at: usize, n: usize| {
                    i.map(|i| bytemuck::cast_slice::<u8, f32>(&operands[i][at * 4..(at + n) * 4]))
                };
                let columns = piece(fused.column, values.col, if values.down { 1 } else { acc.len() });
                let full = piece(fused.full, values.at, acc.len());
                self.isa.run(Sum { acc, columns, down: values.down, full, last: fused.last });
            }
            None => self.blocks(acc, values, operands, scratch),
        }
    }

    fn blocks(&self, acc: &mut [f32], values: Values, operands: &[&[u8]], scratch: &mut [u8]) {
        let code = &self.code;
        assert!(scratch.len() >= code.scratch() && scratch.as_ptr().addr().is_multiple_of(8), "scratch of an epilogue");
        let (rows, spread) = scratch.split_at_mut(code.rows * code.row_bytes);
        // SAFETY: `rows` are that many bytes, aligned as asserted.
        unsafe { code.prepare(rows.as_mut_ptr()) };
        for (b, acc) in acc.chunks_mut(BLOCK).enumerate() {
            let (n, first) = (acc.len(), b * BLOCK);
            let out = acc.as_mut_ptr().cast::<u8>();
            let mut inputs = smallvec::SmallVec::<[*const u8; 8]>::from_slice(&[out.cast_const()]);
            for (i, spread) in spread.chunks_exact_mut(code.row_bytes).take(operands.len()).enumerate() {
                inputs.push(self.operand(i, values, first, n, operands[i], spread));
            }
            let block = exec::Block { n, inputs: &inputs, out, rows: rows.as_mut_ptr() };
            // SAFETY: `operand` gives `n` aligned elements, the accumulator is operand 0 and the result, and `rows` is prepared.
            unsafe { code.run(self.isa, block) };
        }
    }

    /// `n` elements of operand `i` from element `first` of `values`.
    fn operand(&self, i: usize, v: Values, first: usize, n: usize, bytes: &[u8], spread: &mut [u8]) -> *const u8 {
        let dtype = self.code.inputs[i + 1];
        let size = dtype.size();
        let (at, consecutive) = match self.inputs[i] {
            EpilogueInput::Scalar => (0, false),
            EpilogueInput::Column => (v.col + if v.down { 0 } else { first }, !v.down),
            EpilogueInput::Row => (v.row + if v.down { first } else { 0 }, v.down),
            EpilogueInput::Full => (v.at + first, true),
        };
        let bytes = &bytes[at * size..(at + if consecutive { n } else { 1 }) * size];
        assert!(bytes.as_ptr().addr().is_multiple_of(dtype.align()), "a misaligned operand");
        if consecutive {
            return bytes.as_ptr();
        }
        for element in spread[..n * size].chunks_exact_mut(size) {
            element.copy_from_slice(bytes);
        }
        spread.as_ptr()
    }
}

/// `program` with input 0 and the result as `f32`; `None` if one of them is no float of at most 32 bits.
fn on_f32(program: &Program) -> Option<Program> {
    let mut program = program.clone();
    let last = program.instrs.len().checked_sub(1)?;
    for (i, (instr, dtype)) in program.instrs.iter_mut().enumerate() {
        if i == last || *instr == Instr::Input(0) {
            if Kind::of(*dtype) != Some(Kind::F32) {
                return None;
            }
            *dtype = DType::F32;
        }
    }
    Some(program)
}

impl Fused {
    fn find(program: &Program, inputs: &[EpilogueInput], operands: &[DType]) -> Option<Fused> {
        use Unary::*;
        let mut fused = Fused { column: None, full: None, last: None };
        let mut top = program.instrs.len().checked_sub(1)?;
        if let Instr::Unary(f, x) = program.instrs[top].0 {
            let known = [Relu, Relu6, Gelu, GeluTanh, Silu, HSwish, Sigmoid, Tanh, Mish];
            fused.last = Some(*known.iter().find(|k| **k == f)?);
            top = x;
        }
        let mut terms = Vec::new();
        sum_terms(program, top, &mut terms)?;
        let acc = terms.iter().position(|&i| i == 0)?;
        terms.swap_remove(acc);
        for i in terms.into_iter().map(|i| i.checked_sub(1)) {
            let i = i?;
            let place = match (inputs.get(i)?, operands.get(i)?) {
                (EpilogueInput::Column, DType::F32) => &mut fused.column,
                (EpilogueInput::Full, DType::F32) => &mut fused.full,
                _ => return None,
            };
            if place.replace(i).is_some() {
                return None;
            }
        }
        Some(fused)
    }
}

/// The inputs that `reg` is the sum of.
fn sum_terms(program: &Program, reg: Reg, terms: &mut Vec<usize>) -> Option<()> {
    match program.instrs[reg] {
        (Instr::Input(i), DType::F32) => terms.push(i),
        (Instr::Binary(Binary::Add, a, b), DType::F32) if terms.len() < 3 => {
            sum_terms(program, a, terms)?;
            sum_terms(program, b, terms)?;
        }
        _ => return None,
    }
    Some(())
}

/// A [`Fused`] epilogue on one row.
struct Sum<'a> {
    acc: &'a mut [f32],
    columns: Option<&'a [f32]>,
    down: bool,
    full: Option<&'a [f32]>,
    last: Option<Unary>,
}

impl Kernel for Sum<'_> {
    type Out = ();

    #[inline(always)]
    fn run<S: Simd>(mut self, s: S) {
        let zero = s.zero();
        match self.last {
            None => self.each(s, |x| x),
            Some(Unary::Relu) => self.each(s, |x| s.max(zero, x)),
            Some(Unary::Relu6) => self.each(s, |x| s.min(s.splat(6.0), s.max(zero, x))),
            Some(Unary::Gelu) => self.each(s, |x| math::gelu(s, x)),
            Some(Unary::GeluTanh) => self.each(s, |x| math::gelu_tanh(s, x)),
            Some(Unary::Silu) => self.each(s, |x| math::silu(s, x)),
            Some(Unary::HSwish) => self.each(s, |x| math::hswish(s, x)),
            Some(Unary::Sigmoid) => self.each(s, |x| math::sigmoid(s, x)),
            Some(Unary::Tanh) => self.each(s, |x| math::tanh(s, x)),
            Some(_) => self.each(s, |x| math::mish(s, x)),
        }
    }
}

impl Sum<'_> {
    #[inline(always)]
    fn each<S: Simd>(&mut self, s: S, f: impl Fn(S::F) -> S::F) {
        let n = self.acc.len();
        match (self.columns, self.down, self.full) {
            (None, _, None) => self.vectors(s, |x, _| f(x)),
            (None, _, Some(full)) => self.vectors(s, |x, i| f(s.add(x, get(s, full, i, n)))),
            (Some(c), false, None) => self.vectors(s, |x, i| f(s.add(x, get(s, c, i, n)))),
            (Some(c), false, Some(full)) => {
                self.vectors(s, |x, i| f(s.add(s.add(x, get(s, c, i, n)), get(s, full, i, n))));
            }
            (Some(c), true, None) => {
                let c = s.splat(c[0]);
                self.vectors(s, |x, _| f(s.add(x, c)));
            }
            (Some(c), true, Some(full)) => {
                let c = s.splat(c[0]);
                self.vectors(s, |x, i| f(s.add(s.add(x, c), get(s, full, i, n))));
            }
        }
    }

    #[inline(always)]
    fn vectors<S: Simd>(&mut self, s: S, f: impl Fn(S::F, usize) -> S::F) {
        for i in (0..self.acc.len()).step_by(S::LANES) {
            if i + S::LANES <= self.acc.len() {
                let v = f(s.get(self.acc, i), i);
                s.put(self.acc, i, v);
            } else {
                let v = f(s.get_tail(self.acc, i), i);
                s.put_tail(self.acc, i, v);
            }
        }
    }
}

/// The vector of `x` from `i`, or what is left of the `n` elements.
#[inline(always)]
fn get<S: Simd>(s: S, x: &[f32], i: usize, n: usize) -> S::F {
    if i + S::LANES <= n { s.get(x, i) } else { s.get_tail(x, i) }
}
