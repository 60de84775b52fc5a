//! The devices of a cell.

use std::sync::Arc;

use mindir_kernels::cpu::{CpuDevice, Isa, Threads};
use mindir_kernels::device::Device;

use crate::memory::Memory;
use crate::{DeviceKind, Error, OptionError, Options};

/// The chosen device, and the CPU last.
pub(crate) fn devices(options: &Options, memory: Option<&Memory>) -> Result<Vec<Arc<dyn Device>>, Error> {
    let isa = match options.isa {
        Some(isa) => isa,
        None => Isa::detect().map_err(OptionError::Variable)?,
    };
    let threads = match options.threads {
        Some(n) => Threads::new(n),
        None => Threads::available().map_err(OptionError::Variable)?,
    };
    let cpu = CpuDevice::new(isa, threads).keeping(options.plan_memory);
    if let Some(memory) = memory {
        memory.account.ask(cpu.spare());
    }
    let cpu: Arc<dyn Device> = Arc::new(cpu);
    match options.device {
        DeviceKind::Cpu => Ok(vec![cpu]),
        DeviceKind::Wgpu => Ok(vec![wgpu()?, cpu]),
    }
}

#[cfg(feature = "wgpu")]
fn wgpu() -> Result<Arc<dyn Device>, Error> {
    let options = mindir_kernels::wgpu::Options::default();
    match mindir_kernels::wgpu::WgpuDevice::new(&options) {
        Ok(device) => Ok(Arc::new(device)),
        Err(e) => Err(Error::NoDevice { device: "wgpu".into(), reason: e.to_string() }),
    }
}

#[cfg(not(feature = "wgpu"))]
fn wgpu() -> Result<Arc<dyn Device>, Error> {
    Err(Error::NoDevice {
        device: "wgpu".into(),
        reason: "this build lacks it; build with the cargo feature `wgpu`".into(),
    })
}
