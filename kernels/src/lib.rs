//! Devices and kernels.

pub mod device;
