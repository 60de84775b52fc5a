//! What this machine offers: processor and threads.

use mindir_kernels::cpu::Threads;

pub use mindir_kernels::cpu::Isa;
pub use mindir_kernels::knobs::{ALL as KNOBS, Knob, KnobError};

use crate::OptionError;

/// The processor as the CPU device uses it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Processor {
    /// Instruction set that kernels use, after `MINDIR_ISA`.
    pub isa: &'static str,
    /// `f32` values in one of its vectors.
    pub lanes: usize,
    /// Threads that a cell uses by default.
    pub threads: usize,
}

/// The processor.
///
/// # Errors
/// [`OptionError::Variable`] if an environment variable is set to what it may not be.
pub fn processor() -> Result<Processor, OptionError> {
    let isa = Isa::detect()?;
    Ok(Processor { isa: isa.name(), lanes: isa.lanes(), threads: Threads::available()?.count() })
}
