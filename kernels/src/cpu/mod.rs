//! The CPU: kernels on host memory.

mod arena;
mod attention;
#[cfg(test)]
mod cases;
mod conv;
mod copy;
mod desk;
pub mod epilogue;
mod executable;
mod fallback;
mod gang;
mod gather;
mod gemm;
mod half;
mod isa;
pub mod kernel;
pub mod map;
mod memory;
mod norm;
mod packed;
mod pool;
mod recurrent;
mod reduce;
mod resize;
mod scan;
mod scatter;
pub mod simd;
mod softmax;
mod sort;

use std::sync::{Arc, Weak};

use mindir_graph::bounds::Spare;
use mindir_graph::task::Task;

pub use gang::{Gang, Shared, Threads};
pub use isa::Isa;
pub use kernel::{CpuKernel, Failed, Io};
pub use memory::Block;

use self::arena::Arenas;
use crate::device::{Declined, Device, DeviceError, Executable, MemoryModel, Offer, Stage, TaskView, Weights};

/// What a kernel is wanted for.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// Instruction set.
    pub isa: Isa,
    /// Threads that it runs with.
    pub threads: usize,
    /// Whether a row has the same bits however many rows there are.
    pub batch_invariant: bool,
    /// The task.
    pub view: TaskView<'a>,
}

/// The kernel that the task's family has for it. Families with a kernel for `f32` take 16-bit floats as well.
fn own(request: &Request<'_>) -> Option<Box<dyn CpuKernel>> {
    match request.view.task {
        Task::Gemm(_) => gemm::offer(request),
        Task::Conv(_) => conv::offer(request),
        Task::Map(_) => map::offer(request),
        Task::Resize(_) => resize::offer(request),
        Task::Scan(_) => scan::offer(request),
        Task::Scatter(_) => scatter::offer(request),
        Task::Sort(_) => sort::offer(request),
        Task::Copy(_) => copy::offer(request),
        Task::Gather(_) => gather::offer(request),
        Task::Softmax(_) => softmax::offer(request),
        Task::Norm(_) => norm::offer(request),
        Task::Reduce(_) => reduce::offer(request),
        Task::Pool(_) => pool::offer(request),
        Task::Recurrent(_) => recurrent::offer(request),
        Task::Attention(_) => attention::offer(request),
        _ => None,
    }
}

/// The processor, with some threads.
#[derive(Clone, Debug)]
pub struct CpuDevice {
    isa: Isa,
    threads: Threads,
    batch_invariant: bool,
    arenas: Arc<Arenas>,
}

impl CpuDevice {
    /// The processor with this instruction set and these threads.
    pub fn new(isa: Isa, threads: Threads) -> CpuDevice {
        CpuDevice { isa, threads, batch_invariant: false, arenas: Arc::new(Arenas::new(usize::MAX)) }
    }

    /// The same, keeping at most `bytes` of the memory of runs that are over; what was used last stays, whatever it takes.
    pub fn keeping(self, bytes: usize) -> CpuDevice {
        CpuDevice { arenas: Arc::new(Arenas::new(bytes)), ..self }
    }

    /// The same, with kernels that give a row the same bits however many rows there are, if `batch_invariant`.
    pub fn batch_invariant(self, batch_invariant: bool) -> CpuDevice {
        CpuDevice { batch_invariant, ..self }
    }

    /// The memory of runs that are over.
    pub fn spare(&self) -> Weak<dyn Spare> {
        let arenas: Arc<dyn Spare> = self.arenas.clone();
        Arc::downgrade(&arenas)
    }

    /// Its instruction set.
    pub fn isa(&self) -> Isa {
        self.isa
    }

    /// Its threads.
    pub fn threads(&self) -> &Threads {
        &self.threads
    }

    /// The kernel for a task, its weights not packed.
    fn kernel(&self, view: TaskView<'_>) -> Result<Box<dyn CpuKernel>, Declined> {
        let &CpuDevice { isa, batch_invariant, .. } = self;
        let request = Request { isa, threads: self.threads.count(), batch_invariant, view };
        match own(&request).or_else(|| half::offer(&request)) {
            Some(kernel) => Ok(kernel),
            None => fallback::offer(&view),
        }
    }
}

const NAME: &str = "cpu";

impl Device for CpuDevice {
    fn name(&self) -> &str {
        NAME
    }

    fn memory(&self) -> MemoryModel {
        MemoryModel::Arena
    }

    fn offer(&self, task: TaskView<'_>) -> Result<Offer, Declined> {
        let kernel = self.kernel(task)?;
        Ok(Offer {
            kernel: kernel.name().to_string(),
            in_place: kernel.in_place(),
            scratch: kernel.scratch(),
            prepared: Box::new(kernel),
        })
    }

    fn build(&self, stage: Stage, offers: Vec<Offer>, weights: &Weights) -> Result<Arc<dyn Executable>, DeviceError> {
        Ok(Arc::new(executable::CpuExecutable::build(self, stage, offers, weights)?))
    }
}

#[cfg(test)]
mod tests;
