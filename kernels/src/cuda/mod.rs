//! NVIDIA's GPUs through CUDA's driver.
//!
//! Kernels are compiled when a plan is built, for the architecture at hand, by NVRTC, and kept on the disk; or they are found in a
//! bundle that was made ahead ([`Kernels`]). Neither the driver nor NVRTC is needed to build this crate: both are looked for when
//! the device is opened.

mod bundle;
mod compile;
mod executable;
mod gpu;
mod lt;
mod session;
mod tensor;

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;

use cudarc::driver::{CudaSlice, CudaStream};
use mindir_graph::Fact;
use mindir_shaders::Language;

use crate::device::{
    Declined, Device, DeviceError, DeviceMemory, Executable, MemoryModel, Offer, Preferences, Stage, TaskView, Weights,
};
use crate::knobs::KnobError;
pub use crate::launch::Limits;
use crate::launch::{self, Target};
pub use bundle::{BundleError, Kernels};
use gpu::Gpu;
pub use tensor::CudaTensor;

/// Which GPU to open.
#[derive(Clone, Debug, Default)]
pub struct Options {
    /// Number of the GPU, as the driver counts.
    pub ordinal: usize,
    /// Folder of compiled kernels; by default that of the variable `MINDIR_CUDA_CACHE`, or `mindir/cuda` in the user's cache.
    pub cache: Option<PathBuf>,
    /// A bundle of kernels, with which NVRTC may be missing; by default that of the variable `MINDIR_CUDA_BUNDLE`, if it is set.
    /// A kernel that it lacks is compiled by NVRTC, where there is one.
    pub bundle: Option<PathBuf>,
    /// Whether products are computed by kernels of this crate only, even if cuBLASLt is there; also if the variable
    /// `MINDIR_CUDA_OWN_PRODUCTS` is 1.
    pub own_products: bool,
    /// Launches stay within these limits, too.
    pub within: Option<Limits>,
}

/// Why there is no CUDA device.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unavailable {
    /// No driver.
    #[error("no driver: libcuda.so.1 is not found; NVIDIA's driver brings it")]
    NoDriver,
    /// No compiler.
    #[error(
        "no compiler: libnvrtc.so of CUDA 12 or 13 is not found; the toolkit or the wheel nvidia-cuda-nvrtc brings it, \
        and a bundle of kernels makes up for it"
    )]
    NoCompiler,
    /// The driver is too old.
    #[error("the driver knows CUDA {found}, expected at least {needed}")]
    OldDriver {
        /// Version that it has.
        found: String,
        /// Version that is needed.
        needed: String,
    },
    /// There is no such GPU.
    #[error("no GPU with number {ordinal}, found {found} GPUs")]
    NoGpu {
        /// Number that was asked for.
        ordinal: usize,
        /// How many there are.
        found: usize,
    },
    /// The bundle of kernels is of no use.
    #[error("the bundle {path}: {reason}", path = path.display())]
    Bundle {
        /// Where it is.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// An environment variable is set to what it may not be.
    #[error(transparent)]
    Variable(#[from] KnobError),
    /// The driver fails.
    #[error("the driver fails: {0}")]
    Driver(String),
}

/// A GPU through CUDA.
pub struct CudaDevice {
    gpu: Arc<Gpu>,
}

impl CudaDevice {
    /// Opens a GPU.
    ///
    /// # Errors
    /// [`Unavailable`] with what is missing.
    pub fn new(options: &Options) -> Result<CudaDevice, Unavailable> {
        Ok(CudaDevice { gpu: Arc::new(Gpu::open(options)?) })
    }

    /// The stream that everything happens on, in its order.
    pub fn stream(&self) -> &Arc<CudaStream> {
        &self.gpu.stream
    }

    /// The tensor that lies in `slice`, as dense little-endian elements. The slice is one of [`CudaDevice::stream`]: so it is freed
    /// after what the device does with it. Memory of another stream becomes one of it by `CudaSlice::leak` and
    /// `CudaStream::upgrade_device_ptr`, when the other stream is done with it. [`CudaTensor::into_slice`] gives it back.
    ///
    /// # Errors
    /// [`DeviceError::Device`] if the slice is too short, not at a multiple of 256 bytes, or of another stream.
    pub fn tensor(&self, fact: Fact, slice: CudaSlice<u8>) -> Result<CudaTensor, DeviceError> {
        self.gpu.tensor(fact, slice)
    }

    /// Name of the GPU and its architecture.
    pub fn adapter(&self) -> String {
        self.gpu.describe()
    }
}

impl fmt::Debug for CudaDevice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "CudaDevice({})", self.adapter())
    }
}

impl Device for CudaDevice {
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
        let on = Target { language: Language::Cuda, limits: self.gpu.limits };
        let kernel = launch::kernel(task, &on)?;
        Ok(executable::by_library(&self.gpu, task, &on).unwrap_or_else(|| kernel.offer(NAME)))
    }

    fn build(&self, stage: Stage, offers: Vec<Offer>, weights: &Weights) -> Result<Arc<dyn Executable>, DeviceError> {
        Ok(Arc::new(executable::CudaExecutable::new(self.gpu.clone(), stage, offers, weights)?))
    }
}

const NAME: &str = "cuda";

/// A failure of the device itself.
fn failed(message: impl Into<String>) -> DeviceError {
    DeviceError::Device { device: NAME.into(), message: message.into() }
}

/// A failure of the device at the step with this path.
fn failed_at(path: &str, message: &str) -> DeviceError {
    failed(format!("{path}: {message}"))
}
