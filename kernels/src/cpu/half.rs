//! Tasks of `f16` and `bf16`: operands converted to `f32`, computed there, rounded once. Products and convolutions may have such
//! operands or results among others of `f32`.

use std::sync::Arc;

use mindir_graph::task::{Conv, Epilogue, Gemm, Instr, Task};
use mindir_graph::{DType, Element, Fact, Tensor, bf16, f16};
use smallvec::SmallVec;

use super::gang::Gang;
use super::kernel::{CpuKernel, Failed, Io, Operand, Target, scratch_bytes};
use super::packed::Constants;
use super::simd::{Kernel, Simd};
use super::{Isa, Request, own};
use crate::device::{Refused, TaskView};

/// Elements that a thread converts at a time.
const PIECE: usize = 16 << 10;

/// The task in `f32`.
struct Wide {
    task: Task,
    ins: Vec<Fact>,
    outs: Vec<Fact>,
    dtype: DType,
}

fn is_half(d: DType) -> bool {
    matches!(d, DType::F16 | DType::BF16)
}

fn is_float(d: DType) -> bool {
    is_half(d) || d == DType::F32
}

fn widen(facts: &[Fact]) -> Vec<Fact> {
    let wide = |f: &Fact| Fact { dtype: if is_half(f.dtype) { DType::F32 } else { f.dtype }, shape: f.shape.clone() };
    facts.iter().map(wide).collect()
}

/// The epilogue with 16-bit operands and result as `f32`, which is rounded where it is stored. The sum and what is between
/// keep their types, to which the program rounds them.
fn widen_epilogue(e: &mut Epilogue) {
    let last = e.program.instrs.len().saturating_sub(1);
    for (i, (instr, dtype)) in e.program.instrs.iter_mut().enumerate() {
        if is_half(*dtype) && (i == last || matches!(instr, Instr::Input(1..))) {
            *dtype = DType::F32;
        }
    }
}

impl Wide {
    /// The task, if it is one of 16-bit floats.
    fn new(view: &TaskView<'_>) -> Option<Wide> {
        let mut task = view.task.clone();
        let some_half = view.ins.iter().chain(view.outs).any(|f| is_half(f.dtype));
        let (dtype, epilogue) = match &mut task {
            Task::Gemm(Gemm { dtype, out, epilogue, .. }) | Task::Conv(Conv { dtype, out, epilogue, .. })
                if some_half && is_float(*dtype) && is_float(*out) =>
            {
                *out = DType::F32;
                (dtype, Some(epilogue))
            }
            Task::Pool(t) => (&mut t.dtype, None),
            Task::Softmax(t) => (&mut t.dtype, None),
            Task::Norm(t) => (&mut t.dtype, None),
            Task::Resize(t) => (&mut t.dtype, None),
            Task::Scan(t) => (&mut t.dtype, None),
            Task::Scatter(t) => (&mut t.dtype, None),
            Task::Recurrent(t) => (&mut t.dtype, None),
            Task::Reduce(t) => {
                t.out = if t.out == t.dtype { DType::F32 } else { t.out };
                (&mut t.dtype, None)
            }
            _ => return None,
        };
        let dtype = std::mem::replace(dtype, DType::F32);
        let whole = |d: DType| matches!(d, DType::I32 | DType::I64);
        if !(is_half(dtype) || epilogue.is_some()) || !view.outs.iter().all(|f| is_float(f.dtype) || whole(f.dtype)) {
            return None;
        }
        epilogue.into_iter().flatten().for_each(widen_epilogue);
        let (ins, outs) = (widen(view.ins), widen(view.outs));
        Some(Wide { task, ins, outs, dtype })
    }
}

/// The kernel for a task of 16-bit floats whose family has one for `f32`.
pub fn offer(request: &Request<'_>) -> Option<Box<dyn CpuKernel>> {
    let &Request { isa, view, .. } = request;
    let wide = Wide::new(&view)?;
    let inner_view = TaskView { task: &wide.task, ins: &wide.ins, known: view.known, outs: &wide.outs };
    let inner = own(&Request { view: inner_view, ..*request })?;
    Some(Box::new(Half {
        name: inner.name().replacen("-f32-", &format!("-{}-", wide.dtype), 1),
        isa,
        inner,
        ins: view.ins.to_vec(),
        known: view.known.to_vec(),
        wide: vec![None; view.ins.len()],
        casts: Vec::new(),
        outs: view.outs.to_vec(),
    }))
}

struct Half {
    name: String,
    isa: Isa,
    inner: Box<dyn CpuKernel>,
    ins: Vec<Fact>,
    /// For each operand, whether it is a constant.
    known: Vec<bool>,
    /// Constants as `f32`.
    wide: Vec<Option<Tensor>>,
    /// Those of them that are forms of 16-bit constants, held so that other plans find them.
    casts: Vec<Arc<Tensor>>,
    outs: Vec<Fact>,
}

impl Half {
    /// Elements to convert in every run, of each operand and of each result.
    fn lengths(&self) -> Vec<usize> {
        let operand = |(f, known): (&Fact, &bool)| if is_half(f.dtype) && !known { f.count() } else { 0 };
        let mut lengths: Vec<usize> = self.ins.iter().zip(&self.known).map(operand).collect();
        lengths.extend(self.outs.iter().map(|f| if is_half(f.dtype) { f.count() } else { 0 }));
        lengths
    }
}

impl CpuKernel for Half {
    fn name(&self) -> &str {
        &self.name
    }

    fn scratch(&self) -> usize {
        scratch_bytes::<f32>(&self.lengths()) + self.inner.scratch().next_multiple_of(64)
    }

    fn heap(&self) -> usize {
        self.inner.heap()
    }

    fn pack(&mut self, constants: &mut Constants<'_>) -> Result<(), Refused> {
        for (wide, narrow) in self.wide.iter_mut().zip(constants.known) {
            *wide = narrow.clone();
            let Some(t) = narrow.as_ref().filter(|t| is_half(t.dtype())) else { continue };
            let cast = constants.weights.get(t, "f32", &[], || t.cast(DType::F32).map_err(Refused::from))?;
            *wide = Some(cast.as_ref().clone());
            self.casts.push(cast);
        }
        let Constants { weights, isa, gang, .. } = constants;
        self.inner.pack(&mut Constants { known: &self.wide, weights, isa: *isa, gang })
    }

    fn reads(&self, i: usize) -> bool {
        !self.known[i]
    }

    fn run(&self, io: &mut Io<'_>, gang: &mut Gang) -> Result<(), Failed> {
        let mut operands = SmallVec::<[Operand; 8]>::new();
        for (i, fact) in self.ins.iter().enumerate() {
            let (ptr, dtype) = match &self.wide[i] {
                // What the kernel does not read may be misaligned.
                Some(t) if !self.inner.reads(i) => (t.bytes().as_ptr(), t.dtype()),
                Some(t) => (t.aligned()?.as_ptr(), t.dtype()),
                None if is_half(fact.dtype) => {
                    let wide = io.scratch::<f32>(fact.count())?;
                    if fact.dtype == DType::F16 {
                        convert(io.operand::<f16>(i)?, wide, gang, |x, y| self.isa.run(Widen(x, y)));
                    } else {
                        convert(io.operand::<bf16>(i)?, wide, gang, widen_bf16);
                    }
                    (wide.as_ptr().cast(), DType::F32)
                }
                None => (io.operand_bytes(i)?.as_ptr(), fact.dtype),
            };
            let read = self.inner.reads(i);
            operands.push(Operand { ptr, len: fact.count() * dtype.size(), dtype, shared: false, read });
        }
        let mut results = SmallVec::<[Target; 3]>::new();
        for (i, fact) in self.outs.iter().enumerate() {
            let (ptr, dtype) = if is_half(fact.dtype) {
                (io.scratch::<f32>(fact.count())?.as_mut_ptr().cast(), DType::F32)
            } else {
                (io.result_bytes(i)?.as_mut_ptr(), fact.dtype)
            };
            results.push(Target { ptr, len: fact.count() * dtype.size(), dtype, taken: false });
        }
        let scratch = io.scratch::<u8>(self.inner.scratch())?;
        // SAFETY: operands and results are constants, operands and results of this run, or distinct pieces of its scratch;
        // none is used otherwise while the inner kernel runs.
        let mut inner = unsafe { Io::new(&operands, &mut results, (scratch.as_mut_ptr(), scratch.len())) };
        self.inner.run(&mut inner, gang)?;
        for (i, fact) in self.outs.iter().enumerate().filter(|(_, f)| is_half(f.dtype)) {
            // SAFETY: that many elements of scratch, which the inner kernel has written and nobody else holds.
            let wide = unsafe { std::slice::from_raw_parts(results[i].ptr.cast::<f32>().cast_const(), fact.count()) };
            if fact.dtype == DType::F16 {
                convert(wide, io.result::<f16>(i)?, gang, |x, y| self.isa.run(Narrow(x, y)));
            } else {
                convert(wide, io.result::<bf16>(i)?, gang, narrow_bf16);
            }
        }
        Ok(())
    }
}

/// Converts all elements, `PIECE` at a time.
fn convert<T: Element, U: Element>(from: &[T], to: &mut [U], gang: &mut Gang, f: impl Fn(&[T], &mut [U]) + Sync) {
    gang.parallel_pieces(to, PIECE, |chunk, to| f(&from[chunk * PIECE..][..to.len()], to));
}

struct Widen<'a>(&'a [f16], &'a mut [f32]);
impl Kernel for Widen<'_> {
    type Out = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        s.widen_f16(self.0, self.1);
    }
}

struct Narrow<'a>(&'a [f32], &'a mut [f16]);
impl Kernel for Narrow<'_> {
    type Out = ();
    #[inline(always)]
    fn run<S: Simd>(self, s: S) {
        s.narrow_f16(self.0, self.1);
    }
}

/// Converts as many elements as both have.
#[inline(always)]
pub fn widen_bf16(from: &[bf16], to: &mut [f32]) {
    for (to, from) in to.iter_mut().zip(from) {
        *to = f32::from_bits(u32::from(from.to_bits()) << 16);
    }
}

/// Rounds as many elements as both have to nearest, halves to even.
#[inline(always)]
pub fn narrow_bf16(from: &[f32], to: &mut [bf16]) {
    for (to, &from) in to.iter_mut().zip(from) {
        let bits = from.to_bits();
        let rounded = bits.wrapping_add(0x7fff + (bits >> 16 & 1)) >> 16;
        let quiet = bits >> 16 | 0x40;
        *to = bf16::from_bits((if from.is_nan() { quiet } else { rounded }) as u16);
    }
}

#[cfg(test)]
mod tests {
    use mindir_graph::task::*;

    use super::*;
    use crate::cpu::cases::{Bound, Case, EXACT, check, tensor};

    #[test]
    fn every_family_takes_halves() {
        let mut cases = Vec::new();
        for dtype in [DType::F16, DType::BF16] {
            let (outer, len, inner) = (3, 20, 4);
            let (n, c, h, w) = (1, 5, 6, 7);
            let (pads, layout, image) = ([0; 4], Layout::Nchw, vec![n, c, h, w]);
            let kind = PoolKind::Avg { count_pads: true };
            let (kernel, stride, dilation, out_h, out_w) = ([2; 2], [2; 2], [1; 2], 3, 3);
            let pool = Pool { kind, n, c, h, w, out_h, out_w, kernel, stride, dilation, pads, layout, dtype };
            let (mode, coordinates) = (ResizeMode::Bilinear, Coordinates::HalfPixel);
            let resize = Resize { mode, coordinates, n, c, h, w, out_h: 9, out_w: 9, layout, dtype };
            let norm = Norm {
                kind: NormKind::Layer,
                rows: 12,
                cols: 20,
                eps: 1e-5,
                gamma: false,
                beta: false,
                stats: true,
                dtype,
            };
            let reduce = |kind, out| Task::Reduce(Reduce { kind, outer, len, inner, dtype, out });
            let rows = vec![outer, len, inner];
            let forms: [(&str, Task, Vec<usize>, Vec<Fact>); 7] = [
                ("pool", Task::Pool(pool), image.clone(), vec![Fact::new(dtype, &[n, c, 3, 3])]),
                ("resize", Task::Resize(resize), image, vec![Fact::new(dtype, &[n, c, 9, 9])]),
                (
                    "softmax",
                    Task::Softmax(Softmax { outer, len, inner, log: false, dtype }),
                    rows.clone(),
                    vec![Fact::new(dtype, &rows)],
                ),
                (
                    "scan",
                    Task::Scan(Scan {
                        kind: ScanKind::Sum,
                        outer,
                        len,
                        inner,
                        exclusive: false,
                        reverse: false,
                        dtype,
                    }),
                    rows.clone(),
                    vec![Fact::new(dtype, &rows)],
                ),
                (
                    "norm",
                    Task::Norm(norm),
                    vec![12, 20],
                    vec![Fact::new(dtype, &[12, 20]), Fact::new(DType::F32, &[12]), Fact::new(DType::F32, &[12])],
                ),
                ("mean", reduce(ReduceKind::Mean, dtype), rows.clone(), vec![Fact::new(dtype, &[outer, inner])]),
                ("argmax", reduce(ReduceKind::ArgMax, DType::I32), rows, vec![Fact::new(DType::I32, &[outer, inner])]),
            ];
            for (name, task, dims, outs) in forms {
                let bound = if name == "argmax" { EXACT } else { Bound { absolute: 1e-5, relative: 8e-3 } };
                cases.push(Case::new(
                    format!("{name} of {dtype}"),
                    task,
                    vec![tensor(1, dtype, &dims, 2.0)],
                    outs,
                    bound,
                ));
            }
        }
        check(&cases);
    }
}
