//! Devices and kernels.

pub mod cpu;
pub mod device;
pub mod knobs;
#[cfg(feature = "gpu")]
mod launch;
pub mod plain;
#[cfg(feature = "wgpu")]
pub mod wgpu;
