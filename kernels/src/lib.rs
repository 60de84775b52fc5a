//! Devices and kernels.

pub mod cpu;
#[cfg(feature = "cuda")]
pub mod cuda;
pub mod device;
pub mod knobs;
#[cfg(feature = "gpu")]
#[cfg_attr(not(feature = "wgpu"), expect(dead_code, reason = "plans are made, and nothing is launched"))]
pub mod launch;
pub mod plain;
#[cfg(feature = "wgpu")]
pub mod wgpu;
