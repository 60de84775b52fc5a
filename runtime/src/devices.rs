//! The devices of a cell.

use std::fmt;
use std::sync::Arc;

use mindir_kernels::cpu::{CpuDevice, Isa, Threads};
use mindir_kernels::device::Device;

use crate::memory::Memory;
use crate::{Error, OptionError, Options};

/// The device, if it is another than the CPU, or what is missing.
type Opened = Result<Option<Arc<dyn Device>>, String>;

/// A device that [`Options::on`] takes by name.
#[derive(Clone, Copy)]
pub struct DeviceEntry {
    /// Name.
    pub name: &'static str,
    open: fn() -> Opened,
    #[cfg(feature = "gpu")]
    plan_only: fn() -> Option<mindir_kernels::launch::PlanOnly>,
}

/// The devices that this crate knows. Others are given as they are, see [`Options::with_device`].
pub static DEVICES: [DeviceEntry; 3] = [
    DeviceEntry {
        name: "cpu",
        open: || Ok(None),
        #[cfg(feature = "gpu")]
        plan_only: || None,
    },
    DeviceEntry {
        name: "wgpu",
        open: wgpu,
        #[cfg(feature = "gpu")]
        plan_only: || Some(mindir_kernels::launch::PlanOnly::wgpu()),
    },
    DeviceEntry {
        name: "cuda",
        open: cuda,
        #[cfg(feature = "gpu")]
        plan_only: || Some(mindir_kernels::launch::PlanOnly::cuda()),
    },
];

impl DeviceEntry {
    /// The device, which any number of cells may share; `None` is the CPU, which every cell has anyway.
    ///
    /// # Errors
    /// [`Error::NoDevice`] with what is missing.
    pub fn open(&self) -> Result<Option<Arc<dyn Device>>, Error> {
        (self.open)().map_err(|reason| Error::NoDevice { device: self.name.into(), reason })
    }

    /// A device that offers what a GPU of this kind would, with the least limits, so that plans can be made for it where there is
    /// none; `None` for the CPU.
    #[cfg(feature = "gpu")]
    pub fn plan_only(&self) -> Option<Arc<dyn Device>> {
        (self.plan_only)().map(|device| Arc::new(device) as Arc<dyn Device>)
    }
}

impl fmt::Debug for DeviceEntry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name)
    }
}

#[cfg(feature = "wgpu")]
fn wgpu() -> Opened {
    let device = mindir_kernels::wgpu::WgpuDevice::new(&mindir_kernels::wgpu::Options::default());
    Ok(Some(Arc::new(device.map_err(|e| e.to_string())?)))
}

#[cfg(not(feature = "wgpu"))]
fn wgpu() -> Opened {
    Err("this build lacks it; build with the cargo feature `wgpu`".into())
}

#[cfg(feature = "cuda")]
fn cuda() -> Opened {
    let device = mindir_kernels::cuda::CudaDevice::new(&mindir_kernels::cuda::Options::default());
    Ok(Some(Arc::new(device.map_err(|e| e.to_string())?)))
}

#[cfg(not(feature = "cuda"))]
fn cuda() -> Opened {
    Err("this build lacks it; build with the cargo feature `cuda`".into())
}

/// The device of the options, if there is one, and the CPU last.
pub(crate) fn devices(options: &Options, memory: Option<&Memory>) -> Result<Vec<Arc<dyn Device>>, Error> {
    let isa = match options.isa {
        Some(isa) => isa,
        None => Isa::detect().map_err(OptionError::Variable)?,
    };
    let cpu =
        CpuDevice::new(isa, threads(options)?).keeping(options.plan_memory).batch_invariant(options.batch_invariant);
    if let Some(memory) = memory {
        memory.account.ask(cpu.spare());
    }
    Ok(options.device.iter().cloned().chain([Arc::new(cpu) as Arc<dyn Device>]).collect())
}

fn threads(options: &Options) -> Result<Threads, OptionError> {
    match (&options.pool, options.threads) {
        (Some(pool), most) => Ok(Threads::from_pool(pool.clone(), most)),
        (None, Some(n)) => Ok(Threads::new(n)),
        (None, None) => Ok(Threads::available()?),
    }
}
