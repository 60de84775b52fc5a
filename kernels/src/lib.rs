//! Devices and kernels.

pub mod cpu;
#[cfg(feature = "cuda")]
pub mod cuda;
pub mod device;
pub mod knobs;
#[cfg(feature = "gpu")]
#[cfg_attr(not(feature = "wgpu"), expect(dead_code, reason = "how elements lie is asked for by wgpu only"))]
pub mod launch;
pub mod plain;
#[cfg(feature = "wgpu")]
pub mod wgpu;
