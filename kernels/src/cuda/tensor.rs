//! Tensors in the device's memory, and the way to them and back.

use std::any::Any;
use std::sync::Arc;

use cudarc::driver::sys::CUdeviceptr;
use cudarc::driver::{CudaSlice, DevicePtr, DriverError, result};
use mindir_graph::Fact;

use super::failed;
use super::gpu::{Gpu, said};
use crate::device::{DeviceError, DeviceMemory, DeviceTensor};

/// A tensor in the memory of a [`super::CudaDevice`]: dense little-endian elements, as on the host.
#[derive(Debug)]
pub struct CudaTensor {
    fact: Fact,
    memory: CudaSlice<u8>,
    /// The device it belongs to.
    device: u64,
}

impl CudaTensor {
    /// Where it lies.
    pub fn address(&self) -> CUdeviceptr {
        self.memory.device_ptr(self.memory.stream()).0
    }
}

impl DeviceTensor for CudaTensor {
    fn fact(&self) -> &Fact {
        &self.fact
    }
}

impl Gpu {
    /// The tensor as one of this device.
    pub(super) fn own<'a>(&self, tensor: &'a dyn DeviceTensor) -> Result<&'a CudaTensor, DeviceError> {
        let found = (tensor as &dyn Any).downcast_ref::<CudaTensor>().filter(|t| t.device == self.id);
        found.ok_or_else(|| failed(format!("a tensor ({}) of another device", tensor.fact())))
    }

    /// The tensor as one of this device, if it holds `bytes` of host memory.
    fn sized<'a>(&self, tensor: &'a dyn DeviceTensor, bytes: usize) -> Result<&'a CudaTensor, DeviceError> {
        let own = self.own(tensor)?;
        if own.fact.bytes() == bytes {
            return Ok(own);
        }
        Err(failed(format!("{bytes} bytes for a tensor of {}, which has {}", own.fact, own.fact.bytes())))
    }
}

impl DeviceMemory for Gpu {
    fn alloc(&self, fact: &Fact) -> Result<Arc<dyn DeviceTensor>, DeviceError> {
        Ok(Arc::new(CudaTensor { fact: fact.clone(), memory: self.memory(fact.bytes())?, device: self.id }))
    }

    fn upload(&self, transfers: &[(&[u8], &dyn DeviceTensor)]) -> Result<(), DeviceError> {
        self.context.bind_to_thread().map_err(driver)?;
        let put = transfers.iter().try_for_each(|(bytes, tensor)| {
            let to = self.sized(*tensor, bytes.len())?.address();
            if bytes.is_empty() {
                return Ok(());
            }
            // SAFETY: the tensor has as many bytes, and the host's are read before this function returns.
            unsafe { result::memcpy_htod_async(to, bytes, self.stream.cu_stream()) }.map_err(driver)
        });
        // Whatever was put on the stream may read the caller's memory until it is done.
        put.and(self.stream.synchronize().map_err(driver))
    }

    fn download(&self, transfers: &mut [(&dyn DeviceTensor, &mut [u8])]) -> Result<(), DeviceError> {
        self.context.bind_to_thread().map_err(driver)?;
        let put = transfers.iter_mut().try_for_each(|(tensor, bytes)| {
            let from = self.sized(*tensor, bytes.len())?.address();
            if bytes.is_empty() {
                return Ok(());
            }
            // SAFETY: the tensor has as many bytes, and the host's are written before this function returns.
            unsafe { result::memcpy_dtoh_async(bytes, from, self.stream.cu_stream()) }.map_err(driver)
        });
        // Whatever was put on the stream writes to the caller's memory until it is done.
        put.and(self.stream.synchronize().map_err(driver))
    }
}

/// A failure that the driver reports.
pub(super) fn driver(e: DriverError) -> DeviceError {
    failed(said(e))
}
