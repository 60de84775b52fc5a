//! What follows a product or convolution: recognised forms in registers, everything else row by row while it is in cache.

use std::ops::Range;
use std::sync::Arc;

use mindir_graph::task::{Binary, Epilogue, EpilogueInput, Instr, Program, Unary};
use mindir_graph::{DType, Fact};

use super::gang::Shared;
use super::gemm::tile::Finish;
use super::kernel::{Failed, Io};
use super::simd::{Kernel, Simd};
use super::{Isa, map};
use crate::device::Declined;

/// An epilogue over `f32`, ready to run.
#[derive(Clone)]
pub struct Tail {
    bias: Option<usize>,
    residual: Option<usize>,
    clamp: Option<(f32, f32)>,
    rows: Option<Arc<dyn RowProgram>>,
    operands: Vec<(usize, EpilogueInput)>,
}

/// An element-wise program over rows of `f32`, for epilogues that have no form of their own.
pub trait RowProgram: Send + Sync {
    /// Replaces every element of `acc`, which holds rows of `width` elements, by the program's result, with `acc` as input 0
    /// and `operands` as the inputs after it.
    fn run(&self, acc: &mut [f32], width: usize, operands: &[RowOperand<'_>]);
}

/// An operand of a [`RowProgram`] along rows.
#[derive(Clone, Copy, Debug)]
pub enum RowOperand<'a> {
    /// One number for all elements.
    Same(f32),
    /// One number per element of a row, the same ones for all rows.
    Column(&'a [f32]),
    /// One number per row.
    Row(&'a [f32]),
    /// One number per element of all rows.
    Each(&'a [f32]),
}

/// Most operands that a [`RowProgram`] takes.
pub const MAX_OPERANDS: usize = 8;

impl Tail {
    /// No epilogue.
    pub fn none() -> Tail {
        Tail { bias: None, residual: None, clamp: None, rows: None, operands: Vec::new() }
    }

    /// Compiles `epilogue`, whose operands start at `first` of `ins`, for a result of `rows × cols`, `count` elements in all.
    ///
    /// # Errors
    /// If it computes in other types than `f32`, or its operands do not have the expected lengths.
    pub fn compile(
        isa: Isa,
        epilogue: Option<&Epilogue>,
        ins: &[Fact],
        first: usize,
        [rows, cols, count]: [usize; 3],
    ) -> Result<Tail, Declined> {
        let Some(e) = epilogue else { return Ok(Tail::none()) };
        let other = |m: &str| Err(Declined(format!("epilogue {m}")));
        if e.inputs.len() > MAX_OPERANDS || e.program.dtype() != Some(DType::F32) {
            return other("does not end in f32 or has too many operands");
        }
        let mut operands = Vec::new();
        for (t, &input) in e.inputs.iter().enumerate() {
            let expected = match input {
                EpilogueInput::Scalar => 1,
                EpilogueInput::Column => cols,
                EpilogueInput::Row => rows,
                EpilogueInput::Full => count,
            };
            if ins.get(first + t).is_none_or(|f| f.dtype != DType::F32 || f.count() != expected) {
                return other("has an operand of another type or length");
            }
            operands.push((first + t, input));
        }
        Ok(match recognise(&e.program, &e.inputs) {
            Some(Form { bias, residual, clamp }) => {
                let operand = |i: Option<usize>| i.map(|i| first + i);
                Tail { bias: operand(bias), residual: operand(residual), clamp, rows: None, operands }
            }
            None => match map::Finish::new(isa, &e.program, operands.len()) {
                Some(rows) => Tail { rows: Some(Arc::new(rows)), operands, ..Tail::none() },
                None => return other("is not a program over f32"),
            },
        })
    }

    /// Operands of this run.
    ///
    /// # Errors
    /// [`Failed`] if they are not what was compiled for.
    pub fn bind<'a>(&'a self, io: &Io<'a>) -> Result<BoundTail<'a>, Failed> {
        let get = |i: Option<usize>| i.map(|i| io.operand::<f32>(i)).transpose();
        let mut operands = [(&[][..], EpilogueInput::Scalar); MAX_OPERANDS];
        if self.rows.is_some() {
            for (slot, &(i, input)) in operands.iter_mut().zip(&self.operands) {
                *slot = (io.operand::<f32>(i)?, input);
            }
        }
        Ok(BoundTail { tail: self, bias: get(self.bias)?, residual: get(self.residual)?, operands })
    }
}

/// A [`Tail`] with its operands.
#[derive(Clone, Copy)]
pub struct BoundTail<'a> {
    tail: &'a Tail,
    bias: Option<&'a [f32]>,
    residual: Option<&'a [f32]>,
    operands: [(&'a [f32], EpilogueInput); MAX_OPERANDS],
}

impl<'a> BoundTail<'a> {
    /// Replaces every operand that is laid out as the result.
    pub fn replace_full(&mut self, mut other: impl FnMut(&'a [f32]) -> &'a [f32]) {
        if let Some(residual) = &mut self.residual {
            *residual = other(residual);
        }
        for (x, _) in self.operands.iter_mut().filter(|(x, input)| !x.is_empty() && *input == EpilogueInput::Full) {
            *x = other(x);
        }
    }

    /// The part that runs in registers, for the column `col` and the element `at` of the result.
    pub fn finish(&self, col: usize, at: usize) -> Finish {
        let from = |x: Option<&[f32]>, by: usize| x.map_or(std::ptr::null(), |x| x.as_ptr().wrapping_add(by));
        Finish {
            bias: from(self.bias, col),
            row_bias: std::ptr::null(),
            residual: from(self.residual, at),
            clamp: self.tail.clamp,
        }
    }

    /// Whether finished rows need [`BoundTail::rows`].
    pub fn has_rows(&self) -> bool {
        self.tail.rows.is_some()
    }

    /// The part that runs on finished pieces, `width` elements each from column `col` on, of the rows from `row` on. The
    /// pieces lie one after the other, from element `at` of the result on.
    pub fn rows(&self, acc: &mut [f32], width: usize, row: usize, col: usize, at: usize) {
        let len = acc.len();
        self.program(acc, width, |x, input| match input {
            EpilogueInput::Scalar => RowOperand::Same(x[0]),
            EpilogueInput::Row => RowOperand::Row(&x[row..row + len / width]),
            EpilogueInput::Column => RowOperand::Column(&x[col..col + width]),
            EpilogueInput::Full => RowOperand::Each(&x[at..at + len]),
        });
    }

    /// [`BoundTail::rows`] on a block of a result: on the columns `cols` of `rows` rows from `row` on, which are `stride`
    /// elements apart, the first of them from element `at` on.
    ///
    /// # Safety
    /// The block lies inside `y`, and nobody else touches it.
    pub unsafe fn block(&self, y: Shared<f32>, [rows, stride]: [usize; 2], cols: Range<usize>, row: usize, at: usize) {
        if !self.has_rows() {
            return;
        }
        let width = cols.len();
        let together = if stride == width { rows } else { 1 };
        for first in (0..rows).step_by(together.max(1)) {
            let at = at + first * stride + cols.start;
            // SAFETY: the caller's; rows taken together have nothing between them.
            let acc = unsafe { y.slice(at, together * width) };
            self.rows(acc, width, row + first, cols.start, at);
        }
    }

    fn program(&self, acc: &mut [f32], width: usize, operand: impl Fn(&'a [f32], EpilogueInput) -> RowOperand<'a>) {
        let Some(program) = &self.tail.rows else { return };
        let mut operands = [RowOperand::Same(0.0); MAX_OPERANDS];
        let count = self.tail.operands.len();
        for (slot, &(x, input)) in operands.iter_mut().zip(&self.operands[..count]) {
            *slot = operand(x, input);
        }
        program.run(acc, width, &operands[..count]);
    }

    /// As [`BoundTail::finish`], for a result stored channel by channel: `channel` is what the epilogue calls a column.
    pub fn finish_plane(&self, channel: usize, at: usize) -> Finish {
        let Finish { bias, residual, clamp, .. } = self.finish(channel, at);
        Finish { bias: std::ptr::null(), row_bias: bias, residual, clamp }
    }

    /// As [`BoundTail::rows`], for a piece of the plane of `channel` from `pixel` on.
    pub fn plane(&self, acc: &mut [f32], channel: usize, pixel: usize, at: usize) {
        let len = acc.len();
        self.program(acc, len, |x, input| match input {
            EpilogueInput::Scalar => RowOperand::Same(x[0]),
            EpilogueInput::Column => RowOperand::Same(x[channel]),
            EpilogueInput::Row => RowOperand::Each(&x[pixel..pixel + len]),
            EpilogueInput::Full => RowOperand::Each(&x[at..at + len]),
        });
    }

    /// The part that else runs in registers, on plain sums: a piece of a row from column `col` and element `at` on.
    pub fn finish_row(&self, isa: Isa, acc: &mut [f32], col: usize, at: usize) {
        let piece = |x: Option<&'_ [f32]>, from: usize| x.map(|x| x[from..from + acc.len()].as_ptr());
        let (bias, residual) = (piece(self.bias, col), piece(self.residual, at));
        if bias.is_some() || residual.is_some() || self.tail.clamp.is_some() {
            let null = std::ptr::null();
            let finish = Finish {
                bias: bias.unwrap_or(null),
                row_bias: null,
                residual: residual.unwrap_or(null),
                clamp: self.tail.clamp,
            };
            isa.run(FinishRow { acc, finish });
        }
    }

    /// The whole epilogue on plain sums: on a piece of row `row` from column `col` on.
    pub fn whole_row(&self, isa: Isa, acc: &mut [f32], row: usize, col: usize, at: usize) {
        self.finish_row(isa, acc, col, at);
        let width = acc.len();
        self.rows(acc, width, row, col, at);
    }
}

/// [`Finish`] on a row in memory; its pointers are valid for the length of the row.
struct FinishRow<'a> {
    acc: &'a mut [f32],
    finish: Finish,
}

impl Kernel for FinishRow<'_> {
    type Out = ();

    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        let FinishRow { acc, finish } = self;
        for i in (0..acc.len()).step_by(S::LANES) {
            let x = s.get_tail(acc, i);
            // SAFETY: valid for the length of the row, of which `i` elements are behind.
            let x = unsafe { finish.apply::<S, false>(s, x, i, i, acc.len() - i) };
            s.put_tail(acc, i, x);
        }
    }
}

/// `clamp(sum + bias + residual)`, with the indices of the epilogue's operands.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
struct Form {
    bias: Option<usize>,
    residual: Option<usize>,
    clamp: Option<(f32, f32)>,
}

/// The form of a program, if it has one.
fn recognise(program: &Program, inputs: &[EpilogueInput]) -> Option<Form> {
    enum Value {
        Sum(Form),
        Operand(usize),
        Number(f32),
    }
    use Value::{Number, Operand, Sum};
    let mut regs: Vec<Value> = Vec::new();
    for &(instr, dtype) in &program.instrs {
        if dtype != DType::F32 {
            return None;
        }
        let value = match instr {
            Instr::Input(0) => Sum(Form::default()),
            Instr::Input(i) if i <= inputs.len() => Operand(i - 1),
            Instr::Const(x) => Number(x as f32),
            Instr::Int(x) => Number(x as f32),
            Instr::Binary(f, a, b) => {
                match (f, regs.get(a)?, regs.get(b)?) {
                    (Binary::Add, Sum(form), Operand(i)) | (Binary::Add, Operand(i), Sum(form)) => {
                        Sum(form.add(*i, inputs[*i])?)
                    }
                    // Of two zeros both give the first, which must be the sum.
                    (Binary::Max, Sum(form), Number(x)) => Sum(form.clamp(*x, f32::INFINITY)?),
                    (Binary::Min, Sum(form), Number(x)) => Sum(form.clamp(f32::NEG_INFINITY, *x)?),
                    _ => return None,
                }
            }
            Instr::Unary(Unary::Relu, x) | Instr::Unary(Unary::Relu6, x) => {
                let Sum(form) = *regs.get(x)? else { return None };
                let high = if matches!(instr, Instr::Unary(Unary::Relu6, _)) { 6.0 } else { f32::INFINITY };
                Sum(form.clamp(0.0, high)?)
            }
            Instr::Cast(x) => {
                let Sum(form) = *regs.get(x)? else { return None };
                Sum(form)
            }
            _ => return None,
        };
        regs.push(value);
    }
    if let Some(Sum(form)) = regs.last() { Some(*form) } else { None }
}

impl Form {
    fn add(mut self, operand: usize, input: EpilogueInput) -> Option<Form> {
        // The bias is added first.
        let place = match input {
            EpilogueInput::Column if self.residual.is_none() => &mut self.bias,
            EpilogueInput::Full => &mut self.residual,
            _ => return None,
        };
        if place.is_some() || self.clamp.is_some() {
            return None;
        }
        *place = Some(operand);
        Some(self)
    }

    fn clamp(mut self, low: f32, high: f32) -> Option<Form> {
        let (l, h) = self.clamp.unwrap_or((f32::NEG_INFINITY, f32::INFINITY));
        if low.is_nan() || high.is_nan() {
            return None;
        }
        let (low, high) = (if low > l { low } else { l }, if high < h { high } else { h });
        // Clamping twice is clamping once only while the bounds do not meet.
        self.clamp = Some((low, high));
        (low < high).then_some(self)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn common_programs_are_recognised() {
        let mut p = Program::new();
        let x = p.input(0, DType::F32);
        let b = p.input(1, DType::F32);
        let r = p.input(2, DType::F32);
        let x = p.binary(Binary::Add, x, b);
        let x = p.binary(Binary::Add, r, x);
        p.unary(Unary::Relu6, x);
        let inputs = [EpilogueInput::Column, EpilogueInput::Full];
        let form = Form { bias: Some(0), residual: Some(1), clamp: Some((0.0, 6.0)) };
        assert_eq!(recognise(&p, &inputs), Some(form));
        assert_eq!(recognise(&p, &[EpilogueInput::Column, EpilogueInput::Column]), None);
        assert_eq!(recognise(&p, &[EpilogueInput::Full, EpilogueInput::Column]), None, "sums keep their order");
        p.unary(Unary::Sigmoid, 5);
        assert_eq!(recognise(&p, &inputs), None);
    }
}
