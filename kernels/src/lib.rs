//! Devices and kernels.
