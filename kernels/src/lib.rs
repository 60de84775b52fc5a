//! Devices and kernels.

pub mod cpu;
#[cfg(feature = "cuda")]
pub mod cuda;
pub mod device;
pub mod knobs;
#[cfg(feature = "gpu")]
#[cfg_attr(not(any(feature = "wgpu", feature = "cuda")), expect(dead_code, reason = "plans alone launch nothing"))]
pub mod launch;
pub mod plain;
#[cfg(feature = "wgpu")]
pub mod wgpu;
