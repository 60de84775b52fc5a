//! Devices and kernels.

pub mod cpu;
pub mod device;
pub mod knobs;
mod pages;
pub mod plain;
#[cfg(feature = "wgpu")]
pub mod wgpu;
