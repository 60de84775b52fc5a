//! Tensors in the device's memory, and the way to them and back.

use std::any::Any;
use std::sync::Arc;

use cudarc::driver::sys::CUdeviceptr;
use cudarc::driver::{CudaSlice, DevicePtr, DriverError, result};
use mindir_graph::Fact;

use super::failed;
use super::gpu::{Gpu, Memory, said};
use crate::device::{DeviceError, DeviceMemory, DeviceTensor};

/// A tensor in the memory of a [`super::CudaDevice`]: dense little-endian elements, as on the host.
#[derive(Debug)]
pub struct CudaTensor {
    fact: Fact,
    memory: Memory,
    /// The device it belongs to.
    device: u64,
}

impl CudaTensor {
    /// Where it lies.
    pub fn address(&self) -> CUdeviceptr {
        self.memory.address()
    }

    /// The slice that it lies in. What the device has enqueued may still read and write it, in the order of its stream.
    pub fn slice(&self) -> &CudaSlice<u8> {
        &self.memory.slice
    }

    /// The slice that it lies in, which the caller frees by dropping it.
    pub fn into_slice(self) -> CudaSlice<u8> {
        self.memory.slice
    }
}

impl DeviceTensor for CudaTensor {
    fn fact(&self) -> &Fact {
        &self.fact
    }
}

impl Gpu {
    /// The tensor that lies in `slice`.
    ///
    /// # Errors
    /// [`DeviceError::Device`] if the slice is too short or not aligned, or is freed in the order of another stream.
    pub(super) fn tensor(&self, fact: Fact, slice: CudaSlice<u8>) -> Result<CudaTensor, DeviceError> {
        let (found, needed) = (slice.num_bytes(), fact.bytes());
        if found < needed {
            return Err(failed(format!("a slice of {found} bytes for {fact}, which needs {needed}")));
        }
        let (place, alignment) = (slice.device_ptr(slice.stream()).0, self.limits.alignment);
        if !place.is_multiple_of(alignment) {
            return Err(failed(format!("a slice at {place:#x}, expected one at a multiple of {alignment}")));
        }
        let (of, own) = (slice.stream(), &self.stream);
        if of.context() != own.context() || of.cu_stream() != own.cu_stream() {
            return Err(failed("a slice of another stream, expected one of the device's".to_string()));
        }
        Ok(CudaTensor { fact, memory: Memory::free(slice), device: self.id })
    }

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
        let mut staging = self.staging.try_lock().ok();
        let mut staging = staging.as_mut().and_then(|staging| self.pinned(staging)).unwrap_or_default();
        let put = transfers.iter().try_for_each(|(bytes, tensor)| {
            let to = self.sized(*tensor, bytes.len())?.address();
            if bytes.is_empty() {
                return Ok(());
            }
            let staged = staging.split_off_mut(..bytes.len());
            let from = staged.map_or(*bytes, |staged| {
                staged.copy_from_slice(bytes);
                staged
            });
            // SAFETY: the tensor has as many bytes, and the host's are read before this function returns.
            unsafe { result::memcpy_htod_async(to, from, self.stream.cu_stream()) }.map_err(driver)
        });
        // Whatever was put on the stream may read the caller's memory until it is done.
        put.and(self.stream.synchronize().map_err(driver))
    }

    fn download(&self, transfers: &mut [(&dyn DeviceTensor, &mut [u8])]) -> Result<(), DeviceError> {
        self.context.bind_to_thread().map_err(driver)?;
        let mut staging = self.staging.try_lock().ok();
        let mut staging = staging.as_mut().and_then(|staging| self.pinned(staging)).unwrap_or_default();
        let mut through = Vec::new();
        let put = transfers.iter_mut().try_for_each(|(tensor, bytes)| {
            let from = self.sized(*tensor, bytes.len())?.address();
            if bytes.is_empty() {
                return Ok(());
            }
            let mut staged = staging.split_off_mut(..bytes.len());
            let to = staged.as_deref_mut().unwrap_or(bytes);
            // SAFETY: the tensor has as many bytes, and the host's are written before this function returns.
            let put = unsafe { result::memcpy_dtoh_async(to, from, self.stream.cu_stream()) };
            through.extend(staged.map(|staged| (staged, &mut **bytes)));
            put.map_err(driver)
        });
        // Whatever was put on the stream writes to the caller's memory until it is done.
        put.and(self.stream.synchronize().map_err(driver))?;
        through.into_iter().for_each(|(staged, bytes)| bytes.copy_from_slice(staged));
        Ok(())
    }
}

/// A failure that the driver reports.
pub(super) fn driver(e: DriverError) -> DeviceError {
    failed(said(e))
}
