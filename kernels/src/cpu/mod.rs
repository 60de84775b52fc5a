//! The CPU: kernels on host memory.

mod arena;
#[cfg(test)]
mod cases;
#[cfg(test)]
mod check;
mod conv;
mod copy;
pub mod epilogue;
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
mod pool;
mod program;
mod recurrent;
mod reduce;
mod resize;
mod scan;
mod scatter;
pub mod simd;
mod softmax;

use std::sync::{Arc, Weak};

use mindir_graph::bounds::Spare;
use mindir_graph::task::Task;

pub use gang::{Gang, Shared, Threads};
pub use isa::Isa;
pub use kernel::{CpuKernel, Failed, Io};
pub use memory::Block;

use self::arena::Arenas;
use crate::device::{Choice, Declined, Device, DeviceError, MemoryModel, Program, Refused, Stage, TaskView, Weights};

/// What a kernel is built from.
pub struct Build<'a> {
    /// Instruction set.
    pub isa: Isa,
    /// The task.
    pub view: TaskView<'a>,
    /// Weights in other layouts.
    pub weights: &'a Weights,
    /// Threads to pack weights with; the kernel runs with as many.
    pub gang: &'a mut Gang,
}

/// A kernel that a family offers. Families list theirs best first; the first that accepts is taken.
#[derive(Clone, Copy)]
pub struct Candidate {
    /// Whether it computes this task on this instruction set.
    pub accepts: fn(Isa, &TaskView<'_>) -> bool,
    /// `{isa}-{dtypes}-{variant}`.
    pub name: fn(Isa, &TaskView<'_>) -> String,
    /// Operands whose storage the first result may take over.
    pub in_place: fn(&TaskView<'_>) -> Vec<usize>,
    /// The kernel for a task that it accepts.
    pub build: fn(&mut Build<'_>) -> Result<Box<dyn CpuKernel>, Refused>,
}

/// The kernels of a task's family, best first.
fn candidates(task: &Task) -> &'static [Candidate] {
    match task {
        Task::Gemm(_) => gemm::CANDIDATES,
        Task::Conv(_) => conv::CANDIDATES,
        Task::Map(_) => map::CANDIDATES,
        Task::Resize(_) => resize::CANDIDATES,
        Task::Scan(_) => scan::CANDIDATES,
        Task::Scatter(_) => scatter::CANDIDATES,
        Task::Copy(_) => copy::CANDIDATES,
        Task::Gather(_) => gather::CANDIDATES,
        Task::Softmax(_) => softmax::CANDIDATES,
        Task::Norm(_) => norm::CANDIDATES,
        Task::Reduce(_) => reduce::CANDIDATES,
        Task::Pool(_) => pool::CANDIDATES,
        Task::Recurrent(_) => recurrent::CANDIDATES,
        _ => &[],
    }
}

/// The processor, with some threads.
#[derive(Clone, Debug)]
pub struct CpuDevice {
    isa: Isa,
    threads: Threads,
    arenas: Arc<Arenas>,
}

impl CpuDevice {
    /// The processor with this instruction set and these threads.
    pub fn new(isa: Isa, threads: Threads) -> CpuDevice {
        CpuDevice { isa, threads, arenas: Arc::new(Arenas::new(usize::MAX)) }
    }

    /// The same, keeping at most `bytes` of the memory of runs that are over; what was used last stays, whatever it takes.
    pub fn keeping(self, bytes: usize) -> CpuDevice {
        CpuDevice { arenas: Arc::new(Arenas::new(bytes)), ..self }
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

    fn candidate(&self, view: &TaskView<'_>) -> Result<&'static Candidate, Declined> {
        let all = candidates(view.task).iter().chain([fallback::CANDIDATE]);
        let found = all.into_iter().find(|c| (c.accepts)(self.isa, view));
        found.ok_or_else(|| {
            let facts: Vec<String> = view.ins.iter().map(ToString::to_string).collect();
            Declined(format!("no cpu kernel for {} of {}", view.task.family(), facts.join(", ")))
        })
    }
}

impl Device for CpuDevice {
    fn name(&self) -> &str {
        "cpu"
    }

    fn memory(&self) -> MemoryModel {
        MemoryModel::Arena
    }

    fn select(&self, task: TaskView<'_>) -> Result<Choice, Declined> {
        let candidate = self.candidate(&task)?;
        Ok(Choice { kernel: (candidate.name)(self.isa, &task), in_place: (candidate.in_place)(&task) })
    }

    fn build(&self, stage: Stage, weights: &Weights) -> Result<Arc<dyn Program>, DeviceError> {
        Ok(Arc::new(program::CpuProgram::build(self, stage, weights)?))
    }
}

#[cfg(test)]
mod tests;
