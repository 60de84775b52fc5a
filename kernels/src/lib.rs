//! Devices and kernels.

pub mod device;
pub mod plain;
