//! The wgpu device: WGSL shaders on Vulkan.
//!
//! It computes every family but host tasks, of every element type but `f64` and complex numbers, and declines everything else
//! with the reason. Elements lie in its buffers as words of 32 bits, or pairs of them, and are converted when a stage's inputs,
//! outputs and constants are moved; those of `f16` lie there as they are, where shaders can read and write them. Other floats of 16
//! bits are packed two to a word where they are weights of products and convolutions, or tables. It never computes in place. Values live in separate buffers, made once per session;
//! pipelines are made once per device, and executables of one device share constants. A step that finds an index out of range
//! goes on, and the run fails when it is waited for.
//!
//! What each shader computes is text in `mindir-shaders`; which shader, grid and parameters a task needs is worked out in
//! `launch` without a driver. Errors of the driver become [`DeviceError`]; nothing here panics on them.

mod dispatch;
mod executable;
mod gpu;
mod session;
mod tensor;

use std::fmt;
use std::sync::Arc;

use mindir_graph::Fact;
use mindir_graph::bounds::Reservation;

pub use crate::launch::Limits;
pub use tensor::WgpuTensor;

use crate::device::{
    Declined, Device, DeviceError, DeviceMemory, Executable, MemoryModel, Offer, Preferences, Stage, TaskView, Weights,
};
use crate::knobs::KnobError;
use crate::launch::{self, words};
use gpu::Gpu;

/// Which adapter to use.
///
/// Adapters are tried in this order: discrete, integrated, virtual, others. Drivers that run on the processor come last,
/// and only if `software` is set, the knob [`crate::knobs::WGPU_CPU`] is `1`, or `adapter` names one: they are
/// slower than the `cpu` device.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Options {
    /// Part of the adapter's name, in any case.
    pub adapter: Option<String>,
    /// Whether drivers that run on the processor will do.
    pub software: bool,
    /// Limits to keep within where the adapter's are wider: [`Limits::default`] is what every adapter has.
    pub within: Option<Limits>,
}

/// Why there is no wgpu device.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unavailable {
    /// No adapter at all.
    #[error("no adapter: {reason}")]
    NoAdapter {
        /// What the driver loader says.
        reason: String,
    },
    /// An environment variable is set to what it may not be.
    #[error(transparent)]
    Variable(#[from] KnobError),
    /// Only drivers that run on the processor, and they were not asked for.
    #[error("only adapters that run on the processor ({found}); {} allows them", crate::knobs::WGPU_CPU.name)]
    OnlySoftware {
        /// Names of the adapters.
        found: String,
    },
    /// No adapter has the wanted name.
    #[error("no adapter called {wanted}, found: {found}")]
    NoMatch {
        /// Part of the name.
        wanted: String,
        /// Names of the adapters.
        found: String,
    },
    /// The adapter gives no device.
    #[error("{adapter}: {reason}")]
    NoDevice {
        /// Name of the adapter.
        adapter: String,
        /// What the driver says.
        reason: String,
    },
}

/// A GPU through wgpu.
pub struct WgpuDevice {
    gpu: Arc<Gpu>,
}

impl WgpuDevice {
    /// Opens an adapter.
    ///
    /// # Errors
    /// [`Unavailable`].
    pub fn new(options: &Options) -> Result<WgpuDevice, Unavailable> {
        Ok(WgpuDevice { gpu: Arc::new(Gpu::open(options)?) })
    }

    /// Name of the adapter, its driver and its API.
    pub fn adapter(&self) -> String {
        self.gpu.describe()
    }

    /// The device and the queue that it computes with, for buffers of the caller's.
    pub fn device_and_queue(&self) -> (&::wgpu::Device, &::wgpu::Queue) {
        (&self.gpu.device, &self.gpu.queue)
    }

    /// The tensor that lies in `buffer`, which belongs to [`WgpuDevice::device_and_queue`], in the words that [`WgpuTensor`]
    /// describes.
    ///
    /// # Errors
    /// [`DeviceError::Device`] if the buffer is too small or not for storage and for copies both ways.
    pub fn tensor(&self, fact: Fact, buffer: ::wgpu::Buffer) -> Result<WgpuTensor, DeviceError> {
        let (found, needed) = (buffer.size(), words::size(self.gpu.on.language, &fact));
        if found < needed {
            return Err(failed(format!("a buffer of {found} bytes for {fact}, which needs {needed}")));
        }
        let usage = tensor::USAGE;
        if !buffer.usage().contains(usage) {
            return Err(failed(format!("a buffer for {:?}, expected one for {usage:?}", buffer.usage())));
        }
        Ok(WgpuTensor::new(fact, buffer, self.gpu.id, Reservation::default()))
    }

    /// What the adapter can bind and launch.
    pub fn limits(&self) -> Limits {
        self.gpu.on.limits
    }
}

impl fmt::Debug for WgpuDevice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "WgpuDevice({})", self.adapter())
    }
}

impl Device for WgpuDevice {
    fn name(&self) -> &str {
        NAME
    }

    fn describe(&self) -> String {
        self.adapter()
    }

    fn memory(&self) -> MemoryModel {
        MemoryModel::Buffers
    }

    fn preferences(&self) -> Preferences {
        launch::PREFERENCES
    }

    fn own_memory(&self) -> Option<&dyn DeviceMemory> {
        Some(self.gpu.as_ref())
    }

    fn offer(&self, task: TaskView<'_>) -> Result<Offer, Declined> {
        Ok(launch::kernel(task, &self.gpu.on)?.offer(NAME))
    }

    fn build(&self, stage: Stage, offers: Vec<Offer>, weights: &Weights) -> Result<Arc<dyn Executable>, DeviceError> {
        Ok(Arc::new(executable::GpuExecutable::new(self.gpu.clone(), stage, offers, weights)?))
    }
}

const NAME: &str = "wgpu";

/// A failure of the device itself.
fn failed(message: impl Into<String>) -> DeviceError {
    DeviceError::Device { device: NAME.into(), message: message.into() }
}
