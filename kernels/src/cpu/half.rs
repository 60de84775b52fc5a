//! Products and convolutions of `f16` and `bf16`: converted to `f32`, computed there, rounded once.

use half::slice::HalfFloatSliceExt;
use mindir_graph::task::{Epilogue, Instr, Task};
use mindir_graph::{DType, Element, Fact, Tensor, bf16, f16};

use super::gang::Gang;
use super::kernel::{CpuKernel, Failed, Io, Operand, Target, scratch_bytes};
use super::{Build, Candidate, Isa, candidates};
use crate::device::{Declined, TaskView};

/// The kernel for products and convolutions of 16-bit floats.
pub const CANDIDATE: Candidate = Candidate {
    accepts: |isa, view| Wide::new(view).is_some_and(|wide| wide.kernel(isa).is_some()),
    name: |isa, view| Wide::new(view).map_or_else(String::new, |wide| wide.name(isa)),
    in_place: |_| Vec::new(),
    build,
};

/// Elements that a thread converts at a time.
const PIECE: usize = 16 << 10;

/// The task in `f32`.
struct Wide {
    task: Task,
    ins: Vec<Fact>,
    known: Vec<Option<Tensor>>,
    outs: Vec<Fact>,
    dtype: DType,
}

fn is_half(d: DType) -> bool {
    matches!(d, DType::F16 | DType::BF16)
}

fn widen(facts: &[Fact]) -> Vec<Fact> {
    let wide = |f: &Fact| Fact { dtype: if is_half(f.dtype) { DType::F32 } else { f.dtype }, shape: f.shape.clone() };
    facts.iter().map(wide).collect()
}

/// The epilogue with 16-bit operands and result as `f32`; what is between keeps its types.
fn widen_epilogue(e: &mut Epilogue) {
    let last = e.program.instrs.len().saturating_sub(1);
    for (i, (instr, dtype)) in e.program.instrs.iter_mut().enumerate() {
        if is_half(*dtype) && (i == last || matches!(instr, Instr::Input(_))) {
            *dtype = DType::F32;
        }
    }
}

impl Wide {
    /// The task without the contents of its operands, if it is one of 16-bit floats.
    fn new(view: &TaskView<'_>) -> Option<Wide> {
        let mut task = view.task.clone();
        let (dtype, epilogue) = match &mut task {
            Task::Gemm(g) if g.out == g.dtype => {
                let dtype = g.dtype;
                (g.dtype, g.out) = (DType::F32, DType::F32);
                (dtype, &mut g.epilogue)
            }
            Task::Conv(c) => (std::mem::replace(&mut c.dtype, DType::F32), &mut c.epilogue),
            _ => return None,
        };
        let [out] = view.outs else { return None };
        if !is_half(dtype) || !(is_half(out.dtype) || out.dtype == DType::F32) {
            return None;
        }
        epilogue.iter_mut().for_each(widen_epilogue);
        let (ins, outs) = (widen(view.ins), widen(view.outs));
        Some(Wide { task, known: vec![None; ins.len()], ins, outs, dtype })
    }

    fn view(&self) -> TaskView<'_> {
        TaskView { task: &self.task, ins: &self.ins, known: &self.known, outs: &self.outs }
    }

    fn kernel(&self, isa: Isa) -> Option<&'static Candidate> {
        candidates(&self.task).iter().find(|c| (c.accepts)(isa, &self.view()))
    }

    fn name(&self, isa: Isa) -> String {
        let name = self.kernel(isa).map_or_else(String::new, |c| (c.name)(isa, &self.view()));
        name.replacen("-f32-", &format!("-{}-", self.dtype), 1)
    }
}

fn build(b: &mut Build<'_>) -> Result<Box<dyn CpuKernel>, Declined> {
    let declined = || Declined("not a product of 16-bit floats".into());
    let mut wide = Wide::new(&b.view).ok_or_else(declined)?;
    let (kernel, name) = (wide.kernel(b.isa).ok_or_else(declined)?, wide.name(b.isa));
    for (known, narrow) in wide.known.iter_mut().zip(b.view.known) {
        let Some(t) = narrow else { continue };
        // Kept with the weights, because packed weights are found by the address of what they were made of.
        let cast = b.weights.get(t, "f32", || t.cast(if is_half(t.dtype()) { DType::F32 } else { t.dtype() }));
        *known = Some(cast.as_ref().clone().map_err(|e| Declined(e.to_string()))?);
    }
    let inner = (kernel.build)(&mut Build { isa: b.isa, view: wide.view(), weights: b.weights, gang: b.gang })?;
    Ok(Box::new(Half { name, inner, ins: b.view.ins.to_vec(), known: wide.known, out: b.view.outs[0].clone() }))
}

struct Half {
    name: String,
    inner: Box<dyn CpuKernel>,
    ins: Vec<Fact>,
    /// Constants as `f32`.
    known: Vec<Option<Tensor>>,
    out: Fact,
}

impl Half {
    /// Elements to convert in every run: of each operand, and of the result.
    fn lengths(&self) -> Vec<usize> {
        let operand = |(f, k): (&Fact, &Option<Tensor>)| if is_half(f.dtype) && k.is_none() { f.count() } else { 0 };
        let mut lengths: Vec<usize> = self.ins.iter().zip(&self.known).map(operand).collect();
        lengths.push(if is_half(self.out.dtype) { self.out.count() } else { 0 });
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

    fn run(&self, io: &mut Io<'_>, gang: &mut Gang) -> Result<(), Failed> {
        let mut operands = Vec::with_capacity(self.ins.len());
        for (i, fact) in self.ins.iter().enumerate() {
            let (ptr, dtype) = match &self.known[i] {
                Some(t) => (t.bytes().as_ptr(), t.dtype()),
                None if is_half(fact.dtype) => {
                    let wide = io.scratch::<f32>(fact.count())?;
                    if fact.dtype == DType::F16 {
                        convert(io.operand::<f16>(i)?, wide, gang, |x, y| x.convert_to_f32_slice(y));
                    } else {
                        convert(io.operand::<bf16>(i)?, wide, gang, |x, y| x.convert_to_f32_slice(y));
                    }
                    (wide.as_ptr().cast(), DType::F32)
                }
                None => (io.operand_bytes(i)?.as_ptr(), fact.dtype),
            };
            operands.push(Operand { ptr, len: fact.count() * dtype.size(), dtype, shared: false });
        }
        let count = self.out.count();
        let (ptr, wide) = if is_half(self.out.dtype) {
            let wide = io.scratch::<f32>(count)?.as_mut_ptr();
            (wide, true)
        } else {
            (io.result::<f32>(0)?.as_mut_ptr(), false)
        };
        let mut results = [Target { ptr: ptr.cast(), len: count * 4, dtype: DType::F32, taken: false }];
        let scratch = io.scratch::<u8>(self.inner.scratch())?;
        // SAFETY: operands and result are constants, operands and the result of this run, or distinct pieces of its scratch;
        // none is used otherwise while the inner kernel runs.
        let mut inner = unsafe { Io::new(&operands, &mut results, (scratch.as_mut_ptr(), scratch.len())) };
        self.inner.run(&mut inner, gang)?;
        if !wide {
            return Ok(());
        }
        // SAFETY: `count` elements of scratch, which the inner kernel has written and nobody else holds.
        let wide = unsafe { std::slice::from_raw_parts(ptr.cast_const(), count) };
        if self.out.dtype == DType::F16 {
            convert(wide, io.result::<f16>(0)?, gang, |x, y| y.convert_from_f32_slice(x));
        } else {
            convert(wide, io.result::<bf16>(0)?, gang, |x, y| y.convert_from_f32_slice(x));
        }
        Ok(())
    }
}

fn convert<T: Element, U: Element>(from: &[T], to: &mut [U], gang: &mut Gang, f: impl Fn(&[T], &mut [U]) + Sync) {
    gang.parallel_pieces(to, PIECE, |chunk, to| f(&from[chunk * PIECE..][..to.len()], to));
}
