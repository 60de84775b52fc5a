//! From a task to the launches that compute it on a GPU: which shaders, with which parameters, bindings and grids. Pure arithmetic, no
//! driver.

mod attention;
mod block;
mod conv;
mod copy;
mod epilogue;
mod gather;
mod gemm;
mod lines;
mod map;
mod parts;
mod plan_only;
mod pool;
#[cfg(feature = "cuda")]
mod product;
mod recurrent;
mod resize;
mod scan;
mod scatter;
mod sort;
mod spread;
mod turns;
mod walk;
pub(crate) mod words;

use std::borrow::Cow;
use std::sync::Arc;

use bytemuck::bytes_of;
use mindir_graph::passes::Preferences;
use mindir_graph::task::{Layout, Task};
use mindir_graph::{DType, Fact, checked_count};
use mindir_shaders::{Language, Module, Shader, Unsupported, Word};

use crate::device::{Declined, Offer, TaskView};
pub use plan_only::PlanOnly;
#[cfg(feature = "cuda")]
pub(crate) use product::{Columns, Form, Product, product};

/// What a device can bind and launch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Most bytes of one storage binding.
    pub binding: u64,
    /// What the first byte of a binding is a multiple of.
    pub alignment: u64,
    /// Most storage buffers of one shader.
    pub buffers: u32,
    /// Most workgroups along each dimension of a grid.
    pub groups: u32,
    /// Most invocations of a workgroup.
    pub invocations: u32,
    /// Most bytes of workgroup memory.
    pub shared: u32,
    /// Most turns of all loops of an invocation together. Software adapters end loops silently after 65535.
    pub turns: u64,
    /// Whether shaders may read and write `f16` in buffers; else elements of `f16` are `f32` there.
    pub halves: bool,
}

impl Default for Limits {
    /// What WebGPU promises of every adapter.
    fn default() -> Limits {
        Limits {
            binding: 128 << 20,
            alignment: 256,
            buffers: 8,
            groups: 65535,
            invocations: 256,
            shared: 16384,
            turns: u64::MAX,
            halves: false,
        }
    }
}

impl Limits {
    /// What CUDA has on every GPU. Parameters and addresses have 4096 bytes of room.
    pub(crate) const CUDA: Limits = Limits {
        binding: u64::MAX,
        alignment: 256,
        buffers: 64,
        groups: 65535,
        invocations: 1024,
        shared: 49152,
        turns: u64::MAX,
        halves: true,
    };

    /// Most elements of a sum that an invocation goes through in one launch.
    pub(crate) fn longest(&self) -> usize {
        usize::try_from(self.turns / 4).unwrap_or(usize::MAX)
    }

    /// What keeps within both.
    pub fn and(self, other: Limits) -> Limits {
        Limits {
            binding: self.binding.min(other.binding),
            alignment: self.alignment.max(other.alignment),
            buffers: self.buffers.min(other.buffers),
            groups: self.groups.min(other.groups),
            invocations: self.invocations.min(other.invocations),
            shared: self.shared.min(other.shared),
            turns: self.turns.min(other.turns),
            halves: self.halves && other.halves,
        }
    }
}

/// What the kernels read fastest: planes. Invocations that are neighbours read neighbouring pixels under one tap and, as terms of a
/// sum go along the taps of a channel, neighbouring weights; with channels last, terms go along channels, whose weights lie a whole
/// kernel apart. Models have planes as well, and nothing is rearranged.
pub(crate) const PREFERENCES: Preferences = Preferences { convolutions: Layout::Nchw };

/// What a launch binds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Bound {
    /// Operand with this index.
    In(usize),
    /// Operand with this index, a constant of which words hold two elements of 16 bits each.
    Packed(usize),
    /// Result with this index.
    Out(usize),
    /// Memory of the kernel's own with this index, of so many bytes, until the step is over.
    Scratch(usize, u64),
    /// Words that say what went wrong in the step, all 0 at the start of a run (see [`trouble`]).
    Status,
}

impl Bound {
    fn fact<'a>(self, view: TaskView<'a>) -> Option<&'a Fact> {
        match self {
            Bound::In(i) | Bound::Packed(i) => view.ins.get(i),
            Bound::Out(i) => view.outs.get(i),
            Bound::Scratch(..) | Bound::Status => None,
        }
    }

    /// Whether it is only read.
    pub(crate) fn is_operand(self) -> bool {
        matches!(self, Bound::In(_) | Bound::Packed(_))
    }
}

/// An operand or result as a launch binds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct View {
    pub(crate) of: Bound,
    /// First byte and number of bytes; `None` for all of it.
    pub(crate) window: Option<(u64, u64)>,
}

impl View {
    /// Bytes that are bound.
    fn bytes(self, view: TaskView<'_>, on: &Target) -> Option<u64> {
        match (self.window, self.of) {
            (Some((_, bytes)), _) | (None, Bound::Scratch(_, bytes)) => Some(bytes),
            (None, Bound::Status) => Some(STATUS),
            (None, of) => of.fact(view).map(|fact| on.size(of, fact)),
        }
    }
}

impl From<Bound> for View {
    fn from(of: Bound) -> View {
        View { of, window: None }
    }
}

/// One dispatch.
#[derive(Clone, Debug)]
pub(crate) struct Launch {
    pub(crate) module: Arc<Module>,
    pub(crate) params: Vec<u8>,
    /// Storage buffers in the order of the module's bindings.
    pub(crate) bound: Vec<View>,
    pub(crate) grid: [u32; 3],
}

/// What launches are planned for.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Target {
    /// Language of the shaders.
    pub(crate) language: Language,
    /// What can be bound and launched.
    pub(crate) limits: Limits,
}

impl Target {
    /// Shaders in WGSL within these limits.
    pub(crate) fn wgsl(limits: Limits) -> Target {
        Target { language: if limits.halves { Language::WgslF16 } else { Language::Wgsl }, limits }
    }

    /// Refuses element types that the language cannot hold.
    fn holds(&self, dtype: DType) -> Result<(), Declined> {
        match self.language {
            Language::Wgsl | Language::WgslF16 => Word::of(dtype).map(drop)?,
            // Elements that are only moved may be of any type; texts refuse what they cannot compute.
            Language::Cuda => {}
        }
        Ok(())
    }

    /// Bytes of an element in a buffer.
    fn element(&self, of: Bound, dtype: DType) -> u64 {
        if matches!(of, Bound::Packed(_)) { dtype.size() as u64 } else { words::element(self.language, dtype) }
    }

    /// Bytes of a buffer, of which there are whole words.
    pub(crate) fn size(&self, of: Bound, fact: &Fact) -> u64 {
        self.element(of, fact.dtype).saturating_mul(fact.count() as u64).next_multiple_of(4)
    }

    /// Operand `index` of a kernel that takes it packed, if it is a constant and that is smaller.
    fn constant(&self, view: TaskView<'_>, index: usize) -> Bound {
        let halves = |fact: &&Fact| matches!(fact.dtype, DType::F16 | DType::BF16);
        let half = view.ins.get(index).filter(halves).filter(|_| view.known.get(index) == Some(&true));
        match half.filter(|fact| words::element(self.language, fact.dtype) > fact.dtype.size() as u64) {
            Some(_) => Bound::Packed(index),
            None => Bound::In(index),
        }
    }

    /// An element of the host as shaders take it in their parameters: in WGSL as words.
    fn lay<'a>(&self, dtype: DType, host: &'a [u8]) -> Cow<'a, [u8]> {
        if self.language == Language::Cuda { Cow::Borrowed(host) } else { words::widen(Language::Wgsl, dtype, host) }
    }

    /// Most bytes of a binding of elements of `size` bytes, which 31 bits count.
    fn limit(&self, size: u64) -> u64 {
        self.limits.binding.min(size.saturating_mul(i32::MAX as u64))
    }

    fn launch<S: Shader>(
        &self,
        shader: &S,
        params: &S::Params,
        bound: Vec<impl Into<View>>,
        grid: [u32; 3],
    ) -> Result<Launch, Declined> {
        let bound = bound.into_iter().map(Into::into).collect();
        let module = Arc::new(shader.module(self.language)?);
        Ok(Launch { module, params: bytes_of(params).to_vec(), bound, grid })
    }
}

/// What computes a task: its name, and launches in order.
#[derive(Clone, Debug)]
pub(crate) struct GpuKernel {
    pub(crate) name: String,
    pub(crate) launches: Vec<Launch>,
}

impl GpuKernel {
    /// What the GPU called `device` offers with it.
    pub(crate) fn offer(self, device: &str) -> Offer {
        Offer {
            kernel: format!("{device}-{}", self.name),
            in_place: Vec::new(),
            scratch: usize::try_from(self.scratch().iter().sum::<u64>()).unwrap_or(usize::MAX),
            prepared: Box::new(self),
        }
    }

    /// Bytes of each memory of its own.
    pub(crate) fn scratch(&self) -> Vec<u64> {
        let mut sizes = Vec::new();
        for view in self.launches.iter().flat_map(|launch| &launch.bound) {
            let Bound::Scratch(i, bytes) = view.of else { continue };
            sizes.resize(sizes.len().max(i + 1), 0);
            sizes[i] = bytes.max(sizes[i]);
        }
        sizes
    }
}

impl From<Unsupported> for Declined {
    fn from(e: Unsupported) -> Declined {
        Declined(e.0)
    }
}

fn declined<T>(reason: impl Into<String>) -> Result<T, Declined> {
    Err(Declined(reason.into()))
}

/// The kernel of a task, or why there is none.
pub(crate) fn kernel(view: TaskView<'_>, on: &Target) -> Result<GpuKernel, Declined> {
    view.ins.iter().chain(view.outs).try_for_each(|fact| on.holds(fact.dtype))?;
    turns::fit(view.task, &on.limits)?;
    let kernel = match view.task {
        Task::Map(t) => map::kernel(t, view, on),
        Task::Copy(t) => copy::kernel(t, view, on),
        Task::Gemm(t) => gemm::kernel(t, view, on),
        Task::Softmax(t) => lines::softmax(t, view, on),
        Task::Norm(t) => lines::norm(t, view, on),
        Task::Reduce(t) => lines::reduce(t, view, on),
        Task::Conv(t) => conv::kernel(t, view, on),
        Task::Pool(t) => pool::kernel(t, view, on),
        Task::Gather(t) => gather::kernel(t, view, on),
        Task::Resize(t) => resize::kernel(t, view, on),
        Task::Scan(t) => scan::kernel(t, view, on),
        Task::Recurrent(t) => recurrent::kernel(t, view, on),
        Task::Scatter(t) => scatter::kernel(t, view, on),
        Task::Sort(t) => sort::kernel(t, view, on),
        Task::Attention(t) => attention::kernel(t, view, on),
        Task::Host(_) => declined("runs on the host only"),
    }?;
    kernel.launches.iter().try_for_each(|launch| fits(launch, view, on))?;
    Ok(kernel)
}

fn fits(launch: &Launch, view: TaskView<'_>, on: &Target) -> Result<(), Declined> {
    let limits = &on.limits;
    for bound in &launch.bound {
        let Some(bytes) = bound.bytes(view, on) else { return declined(format!("{:?} is missing", bound.of)) };
        let most = on.limit(bound.of.fact(view).map_or(4, |fact| on.element(bound.of, fact.dtype)));
        if bytes > most {
            return declined(format!("binding of {} exceeds the adapter's limit of {}", mib(bytes), mib(most)));
        }
    }
    let module = &launch.module;
    let bounds = [
        ("storage buffers", launch.bound.len() as u64, limits.buffers),
        ("workgroups", u64::from(launch.grid.into_iter().max().unwrap_or(0)), limits.groups),
        ("invocations of a workgroup", u64::from(module.invocations), limits.invocations),
        ("bytes of workgroup memory", u64::from(module.shared), limits.shared),
    ];
    for (what, needed, most) in bounds {
        if needed > u64::from(most) {
            return declined(format!("{needed} {what} exceed the adapter's limit of {most}"));
        }
    }
    Ok(())
}

/// Bytes of a status.
pub(crate) const STATUS: u64 = 16;

/// What went wrong in a run of `task`, if its status says so: a 1, the length of an axis, and the two words of an index that is
/// outside of it.
pub(crate) fn trouble(task: &Task, status: &[u8]) -> Option<String> {
    let word = |i: usize| status.get(4 * i..4 * i + 4).map_or(0, |b| u32::from_le_bytes([b[0], b[1], b[2], b[3]]));
    let index = (u64::from(word(3)) << 32 | u64::from(word(2))) as i64;
    (word(0) != 0).then(|| match task {
        Task::Gather(g) => g.outside(index),
        _ => format!("index {index} is out of range for {} elements", word(1)),
    })
}

fn mib(bytes: u64) -> String {
    if bytes >= 1 << 20 { format!("{} MiB", bytes >> 20) } else { format!("{bytes} bytes") }
}

/// A grid of `groups` workgroups in up to two dimensions. It may hold some more, which the shaders leave idle.
fn fold(groups: usize, on: &Target) -> [u32; 3] {
    let rows = groups.div_ceil(on.limits.groups as usize).max(1);
    let row = groups.div_ceil(rows);
    [u32::try_from(row).unwrap_or(u32::MAX), u32::try_from(rows).unwrap_or(u32::MAX), 1]
}

/// The number as a shader parameter.
fn small(n: usize) -> Result<u32, Declined> {
    match i32::try_from(n) {
        Ok(n) => Ok(n as u32),
        Err(_) => declined(format!("size {n} exceeds 31 bits")),
    }
}

/// The stride as a shader parameter.
fn stride(n: isize) -> Result<i32, Declined> {
    i32::try_from(n).or_else(|_| declined(format!("stride {n} exceeds 31 bits")))
}

/// The product of the extents.
fn counted(dims: &[usize]) -> Result<usize, Declined> {
    checked_count(dims).map_or_else(|| declined(format!("shape {dims:?} has too many elements")), Ok)
}

/// Operand `index`, which must have `dims` elements of `dtype`.
fn operand(view: TaskView<'_>, index: usize, dtype: DType, dims: &[usize]) -> Result<(), Declined> {
    check("operand", view.ins.get(index), index, dtype, counted(dims)?)
}

/// Result `index`, which must have `dims` elements of `dtype`.
fn result(view: TaskView<'_>, index: usize, dtype: DType, dims: &[usize]) -> Result<(), Declined> {
    check("result", view.outs.get(index), index, dtype, counted(dims)?)
}

fn check(what: &str, fact: Option<&Fact>, index: usize, dtype: DType, count: usize) -> Result<(), Declined> {
    let Some(fact) = fact else { return declined(format!("{what} {index} is missing")) };
    if fact.dtype == dtype && checked_count(&fact.shape) == Some(count) {
        return Ok(());
    }
    declined(format!("{what} {index} is {fact}, expected {count} elements of {dtype}"))
}

#[cfg(test)]
mod tests;
