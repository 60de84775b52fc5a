//! What this machine offers: processor, threads, devices.

use mindir_kernels::cpu::Threads;

pub use mindir_kernels::cpu::Isa;
pub use mindir_kernels::knobs::{ALL as KNOBS, Knob, KnobError};

use crate::{DeviceKind, GraphCell, OptionError, Options, builder::Builder};

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

/// Whether a device can be used.
///
/// # Errors
/// [`crate::Error::NoDevice`] with the reason.
pub fn probe(device: DeviceKind) -> Result<(), crate::Error> {
    let options = Options { device, threads: Some(1), ..Options::default() };
    GraphCell::new(Builder::new("probe").finish(&[]), options).map(|_| ())
}
