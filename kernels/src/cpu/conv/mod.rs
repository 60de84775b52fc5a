//! Convolutions.
//!
//! Most kernels work on images stored pixel by pixel ([`Layout::Nhwc`]); other images are rearranged on the way in and out.

mod depthwise;
mod igemm;
mod planes;
mod transpose;
mod winograd;

use mindir_graph::task::{Conv, EpilogueInput, Layout, Task};
use mindir_graph::{DType, Tensor};
use smallvec::SmallVec;

use super::Request;
use super::epilogue::{BoundTail, Tail};
use super::gang::{Gang, Shared};
use super::kernel::{CpuKernel, Failed, Io, scratch_bytes};
use super::packed::{Constants, Packed};
use crate::device::Refused;

/// The kernel of a convolution of `f32`.
pub fn offer(request: &Request<'_>) -> Option<Box<dyn CpuKernel>> {
    let (c, tail) = checked(request)?;
    if planes::accepts(c) {
        return Some(Kernel::boxed(request, c, tail, planes::Planes::new(request, c)));
    }
    if depthwise::accepts(request.isa, c) {
        return Some(Kernel::boxed(request, c, tail, depthwise::Depthwise::new(request, c)));
    }
    if winograd::accepts(request, c) {
        return Some(Kernel::boxed(request, c, tail, winograd::Winograd::new(request, c)));
    }
    Some(Kernel::boxed(request, c, tail, igemm::Igemm::new(request, c)))
}

/// A convolution over images stored pixel by pixel, unless it says otherwise.
trait Body: Send + Sync {
    /// Whether it takes and gives images as planes.
    const PLANES: bool = false;
    /// Whether it reads known weights as they are, beside what was made of them.
    const KEEPS: bool = false;

    fn name(&self) -> &str;

    /// What tells the layout of packed weights from others.
    fn layout(&self) -> String;

    /// Number of packed weights.
    fn packed_len(&self) -> usize;

    /// Packs the weights, and multiplies them by the factors of their channels.
    fn pack(&self, w: &[f32], scale: Option<&[f32]>, out: &mut [f32], gang: &mut Gang);

    /// Floats and pointers of scratch.
    fn scratch(&self) -> (usize, usize);

    fn run(&self, run: Operands<'_>, floats: &mut [f32], tables: &mut [usize], gang: &mut Gang);
}

/// Operands and result of a run.
#[derive(Clone, Copy)]
struct Operands<'a> {
    /// Images.
    x: &'a [f32],
    /// Packed weights.
    weights: &'a [f32],
    /// Result, `n · out_h · out_w` pixels of `c_out` channels or `n · c_out` planes.
    y: Shared<f32>,
    /// Epilogue.
    tail: BoundTail<'a>,
    /// What the packed weights were made of, if the body [keeps](Body::KEEPS) it.
    plain: Plain<'a>,
}

/// Weights as they are, and the factors of their channels.
#[derive(Clone, Copy, Default)]
struct Plain<'a> {
    weights: &'a [f32],
    scale: Option<&'a [f32]>,
}

/// The task with its epilogue, if it is one over `f32` that fits its operands.
fn checked<'a>(request: &Request<'a>) -> Option<(&'a Conv, Tail)> {
    let view = &request.view;
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
        && moderate(c);
    let pixels = c.n * c.out_h * c.out_w;
    let size = [pixels, c.c_out, pixels * c.c_out];
    let tail = if fits { Tail::compile(request.isa, c.epilogue.as_ref(), view.ins, first, size).ok() } else { None };
    tail.map(|tail| (c, tail))
}

/// Whether coordinates can be computed without overflow.
fn moderate(c: &Conv) -> bool {
    let sizes = [c.h, c.w, c.out_h, c.out_w, c.kernel[0], c.kernel[1]];
    let steps = [c.stride[0], c.stride[1], c.dilation[0], c.dilation[1]];
    sizes.iter().chain(&steps).chain(&c.pads).all(|&v| v < 1 << 24)
}

/// A body with its way in and out.
struct Kernel<B> {
    body: B,
    tail: Tail,
    weights: Packed,
    /// Images, channels and pixels, if the input must be rearranged.
    x: Option<[usize; 3]>,
    /// The same for the output.
    y: Option<[usize; 3]>,
    /// Operands of the epilogue that are laid out as the output.
    full: usize,
    groups: usize,
    scaled: bool,
}

impl<B: Body + 'static> Kernel<B> {
    fn boxed(request: &Request<'_>, c: &Conv, tail: Tail, body: B) -> Box<dyn CpuKernel> {
        let planes = c.layout == Layout::Nchw && !B::PLANES;
        let full = |e: &mindir_graph::task::Epilogue| e.inputs.iter().filter(|i| **i == EpilogueInput::Full).count();
        let known = request.view.known;
        Box::new(Kernel {
            body,
            tail,
            weights: Packed::of(known[1] && (!c.scaled || known[2])),
            x: (planes && c.c_in > 1 && c.h * c.w > 1).then_some([c.n, c.c_in, c.h * c.w]),
            y: (planes && c.c_out > 1 && c.out_h * c.out_w > 1).then_some([c.n, c.c_out, c.out_h * c.out_w]),
            full: c.epilogue.as_ref().map_or(0, full),
            groups: c.groups,
            scaled: c.scaled,
        })
    }
}

impl<B: Body> Kernel<B> {
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
        let weights = self.weights.scratch(self.body.packed_len());
        scratch_bytes::<f32>(&[x, y, full, weights, floats]) + scratch_bytes::<usize>(&[words])
    }

    fn pack(&mut self, constants: &mut Constants<'_>) -> Result<(), Refused> {
        let (Packed::Awaited, Some(w)) = (&self.weights, &constants.known[1]) else { return Ok(()) };
        // Scaled weights belong to the scale as well.
        let scale: SmallVec<[&Tensor; 1]> =
            constants.known[2..].iter().take(usize::from(self.scaled)).flatten().collect();
        let (len, body) = (self.body.packed_len(), &self.body);
        let layout = format!("{} of {:?}", body.layout(), self.groups);
        self.weights = Packed::Made(constants.pack(w, &layout, &scale, len, |w, scale, out, gang| {
            body.pack(w, scale.first().copied(), out, gang);
        })?);
        Ok(())
    }

    fn reads(&self, i: usize) -> bool {
        let weights = 1..if self.scaled { 3 } else { 2 };
        B::KEEPS || !weights.contains(&i) || matches!(self.weights, Packed::Each)
    }

    fn run(&self, io: &mut Io<'_>, gang: &mut Gang) -> Result<(), Failed> {
        let [x_len, y_len, full_len] = self.copies();
        let (x_copy, y_copy) = (io.scratch::<f32>(x_len)?, io.scratch::<f32>(y_len)?);
        let full_copy = io.scratch::<f32>(full_len)?;
        let packed = io.scratch::<f32>(self.weights.scratch(self.body.packed_len()))?;
        let (floats, words) = self.body.scratch();
        let (floats, tables) = (io.scratch::<f32>(floats)?, io.scratch::<usize>(words)?);
        let mut x = io.operand::<f32>(0)?;
        let mut tail = self.tail.bind(io)?;
        let y = io.result::<f32>(0)?;
        if y.is_empty() {
            return Ok(());
        }
        let plain = if self.reads(1) {
            let scale = if self.scaled { Some(io.operand::<f32>(2)?) } else { None };
            Plain { weights: io.operand::<f32>(1)?, scale }
        } else {
            Plain::default()
        };
        let weights: &[f32] = match self.weights.made()? {
            Some(made) => made,
            None => {
                self.body.pack(plain.weights, plain.scale, packed, gang);
                packed
            }
        };
        if let Some([n, c, p]) = self.x {
            transpose::to_pixels(x, x_copy, [n, c, p], gang);
            x = x_copy;
        }
        let Some([n, c, p]) = self.y else {
            let y = Shared::new(y.as_mut_ptr());
            self.body.run(Operands { x, weights, y, tail, plain }, floats, tables, gang);
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
        let run = Operands { x, weights, y: Shared::new(y_copy.as_mut_ptr()), tail, plain };
        self.body.run(run, floats, tables, gang);
        transpose::to_planes(y_copy, y, [n, c, p], gang);
        Ok(())
    }
}

#[cfg(test)]
mod tests;
