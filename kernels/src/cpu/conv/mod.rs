//! Convolutions.
//!
//! Most kernels work on images stored pixel by pixel ([`Layout::Nhwc`]); other images are rearranged on the way in and out.

mod depthwise;
mod igemm;
mod planes;
mod transpose;

use mindir_graph::bounds::Exceeded;
use mindir_graph::task::{Conv, EpilogueInput, Layout, Task};
use mindir_graph::{DType, Tensor};
use smallvec::SmallVec;

use super::epilogue::{BoundTail, Tail};
use super::gang::{Gang, Shared};
use super::kernel::{CpuKernel, Failed, Io};
use super::memory::Block;
use super::{Build, Candidate, Isa};
use crate::device::{Declined, Refused, TaskView};

/// Kernels of the conv family.
pub const CANDIDATES: &[Candidate] = &[
    Candidate {
        accepts: |isa, view| checked(isa, view).is_some_and(planes::accepts),
        name: |isa, _| planes::name(isa),
        in_place: |_| Vec::new(),
        build: |b| build(b, planes::Planes::build),
    },
    Candidate {
        accepts: |isa, view| checked(isa, view).is_some_and(depthwise::accepts),
        name: |isa, _| depthwise::name(isa),
        in_place: |_| Vec::new(),
        build: |b| build(b, depthwise::Depthwise::build),
    },
    Candidate {
        accepts: |isa, view| checked(isa, view).is_some(),
        name: |isa, view| checked(isa, view).map_or_else(String::new, |c| igemm::name(isa, c)),
        in_place: |_| Vec::new(),
        build: |b| build(b, igemm::Igemm::build),
    },
    super::half::CANDIDATE,
];

/// A convolution over images stored pixel by pixel, unless it says otherwise.
trait Body: Send + Sync {
    /// Whether it takes and gives images as planes.
    const PLANES: bool = false;

    fn name(&self) -> &str;

    /// Floats and pointers of scratch.
    fn scratch(&self) -> (usize, usize);

    fn run(&self, run: Operands<'_>, floats: &mut [f32], tables: &mut [usize], gang: &mut Gang);
}

/// Operands and result of a run.
#[derive(Clone, Copy)]
struct Operands<'a> {
    /// Images.
    x: &'a [f32],
    /// Weights as the task has them.
    w: &'a [f32],
    /// Factors of the output channels, if the task has them.
    scale: Option<&'a [f32]>,
    /// Result, `n · out_h · out_w` pixels of `c_out` channels or `n · c_out` planes.
    y: Shared<f32>,
    /// Epilogue.
    tail: BoundTail<'a>,
}

/// The task, if it is one over `f32` that fits its operands.
fn checked<'a>(isa: Isa, view: &TaskView<'a>) -> Option<&'a Conv> {
    let Task::Conv(c) = view.task else { return None };
    let (first, [y]) = (if c.scaled { 3 } else { 2 }, view.outs) else { return None };
    let positive = [c.kernel, c.stride, c.dilation].as_flattened().iter().all(|&v| v > 0) && c.groups > 0;
    if !positive || view.ins.len() < first || c.c_in % c.groups != 0 || c.c_out % c.groups != 0 {
        return None;
    }
    let holds = |i: usize, dims: &[usize]| {
        let counts = mindir_graph::checked_count(dims) == Some(view.ins[i].count());
        counts && view.ins[i].dtype == DType::F32
    };
    let fits = c.dtype == DType::F32
        && y.dtype == DType::F32
        && mindir_graph::checked_count(&[c.n, c.out_h, c.out_w, c.c_out]) == Some(y.count())
        && holds(0, &[c.n, c.c_in, c.h, c.w])
        && holds(1, &[c.c_out, c.c_in / c.groups, c.kernel[0], c.kernel[1]])
        && (!c.scaled || holds(2, &[c.c_out]))
        && moderate(c)
        && tail(isa, c, view).is_ok();
    fits.then_some(c)
}

/// Whether coordinates can be computed without overflow.
fn moderate(c: &Conv) -> bool {
    let sizes = [c.h, c.w, c.out_h, c.out_w, c.kernel[0], c.kernel[1]];
    let steps = [c.stride[0], c.stride[1], c.dilation[0], c.dilation[1]];
    sizes.iter().chain(&steps).chain(&c.pads).all(|&v| v < 1 << 24)
}

fn tail(isa: Isa, c: &Conv, view: &TaskView<'_>) -> Result<Tail, Declined> {
    let pixels = c.n * c.out_h * c.out_w;
    let first = if c.scaled { 3 } else { 2 };
    Tail::compile(isa, c.epilogue.as_ref(), view.ins, first, [pixels, c.c_out, pixels * c.c_out])
}

/// Weights in a kernel's own layout.
enum Packed {
    /// Made before the run.
    Known(std::sync::Arc<Block<f32>>),
    /// Made in every run.
    Each,
}

/// `len` floats that `pack` makes of the weights and their scale, once if they are known.
fn packed(
    build: &mut Build<'_>,
    c: &Conv,
    layout: &str,
    len: usize,
    pack: impl FnOnce(&[f32], Option<&[f32]>, &mut [f32], &mut Gang),
) -> Result<Packed, Exceeded> {
    let (w, scale) = (&build.view.known[1], if c.scaled { build.view.known[2].as_ref() } else { None });
    let (Some(w), true) = (w, scale.is_some() == c.scaled) else { return Ok(Packed::Each) };
    let (Ok(data), Ok(factors)) = (w.view::<f32>(), scale.map(|s| s.view::<f32>()).transpose()) else {
        return Ok(Packed::Each);
    };
    // Scaled weights belong to the scale as well.
    let with: SmallVec<[&Tensor; 1]> = scale.into_iter().collect();
    let made = build.weights.get(w, &format!("{layout} of {:?}", c.groups), &with, || {
        let mut out = Block::zeroed(len)?;
        pack(data, factors, &mut out, build.gang);
        Ok::<_, Exceeded>(out)
    })?;
    Ok(Packed::Known(made))
}

fn build<B: Body + 'static>(
    build: &mut Build<'_>,
    body: impl FnOnce(&mut Build<'_>, &Conv) -> Result<B, Exceeded>,
) -> Result<Box<dyn CpuKernel>, Refused> {
    let c = checked(build.isa, &build.view).ok_or_else(|| Declined("not an f32 convolution".into()))?;
    let body = body(build, c)?;
    let planes = c.layout == Layout::Nchw && !B::PLANES;
    let full = |e: &mindir_graph::task::Epilogue| e.inputs.iter().filter(|i| **i == EpilogueInput::Full).count();
    Ok(Box::new(Kernel {
        body,
        tail: tail(build.isa, c, &build.view)?,
        x: (planes && c.c_in > 1 && c.h * c.w > 1).then_some([c.n, c.c_in, c.h * c.w]),
        y: (planes && c.c_out > 1 && c.out_h * c.out_w > 1).then_some([c.n, c.c_out, c.out_h * c.out_w]),
        full: c.epilogue.as_ref().map_or(0, full),
        scaled: c.scaled,
    }))
}

/// A body with its way in and out.
struct Kernel<B> {
    body: B,
    tail: Tail,
    /// Images, channels and pixels, if the input must be rearranged.
    x: Option<[usize; 3]>,
    /// The same for the output.
    y: Option<[usize; 3]>,
    /// Operands of the epilogue that are laid out as the output.
    full: usize,
    scaled: bool,
}

impl<B> Kernel<B> {
    /// Floats of the rearranged input, output and operands.
    fn copies(&self) -> [usize; 3] {
        let len = |dims: Option<[usize; 3]>| dims.map_or(0, |d| d.iter().product::<usize>());
        [len(self.x), len(self.y), len(self.y) * self.full]
    }
}

impl<B: Body> CpuKernel for Kernel<B> {
    fn name(&self) -> &str {
        self.body.name()
    }

    fn scratch(&self) -> usize {
        let (floats, words) = self.body.scratch();
        let [x, y, full] = self.copies();
        super::kernel::scratch_bytes::<f32>(&[x, y, full, floats]) + super::kernel::scratch_bytes::<usize>(&[words])
    }

    fn run(&self, io: &mut Io<'_>, gang: &mut Gang) -> Result<(), Failed> {
        let [x_len, y_len, full_len] = self.copies();
        let (x_copy, y_copy) = (io.scratch::<f32>(x_len)?, io.scratch::<f32>(y_len)?);
        let full_copy = io.scratch::<f32>(full_len)?;
        let (floats, words) = self.body.scratch();
        let (floats, tables) = (io.scratch::<f32>(floats)?, io.scratch::<usize>(words)?);
        let (mut x, w) = (io.operand::<f32>(0)?, io.operand::<f32>(1)?);
        let scale = if self.scaled { Some(io.operand::<f32>(2)?) } else { None };
        let mut tail = self.tail.bind(io)?;
        let y = io.result::<f32>(0)?;
        if y.is_empty() {
            return Ok(());
        }
        if let Some([n, c, p]) = self.x {
            transpose::to_pixels(x, x_copy, [n, c, p], gang);
            x = x_copy;
        }
        let Some([n, c, p]) = self.y else {
            let y = Shared::new(y.as_mut_ptr());
            self.body.run(Operands { x, w, scale, y, tail }, floats, tables, gang);
            return Ok(());
        };
        let mut copies = full_copy.chunks_exact_mut(y_len.max(1));
        tail.replace_full(|from| match copies.next() {
            Some(copy) => {
                transpose::to_pixels(from, copy, [n, c, p], gang);
                copy
            }
            None => from,
        });
        let run = Operands { x, w, scale, y: Shared::new(y_copy.as_mut_ptr()), tail };
        self.body.run(run, floats, tables, gang);
        transpose::to_planes(y_copy, y, [n, c, p], gang);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
