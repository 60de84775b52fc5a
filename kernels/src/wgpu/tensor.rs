//! Tensors in the device's buffers, and the way to them and back.

use std::any::Any;
use std::sync::{Arc, mpsc};
use std::time::Duration;

use mindir_graph::Fact;
use mindir_graph::bounds::{self, Reservation};
use wgpu::{Buffer, BufferUsages, MapMode, PollType, SubmissionIndex};

use super::gpu::Gpu;
use super::{NAME, failed};
use crate::device::{DeviceError, DeviceMemory, DeviceTensor};
use crate::launch::words;

/// What tensors' buffers are for.
pub(super) const USAGE: BufferUsages =
    BufferUsages::STORAGE.union(BufferUsages::COPY_SRC).union(BufferUsages::COPY_DST);

/// How long a callback may take after the work is done.
const PATIENCE: Duration = Duration::from_secs(30);

/// A tensor in a buffer of a [`super::WgpuDevice`].
///
/// Elements lie in words of 32 bits: `f32`, `i32` and `u32` as they are, narrower integers widened with their sign, `bool` as 0
/// and 1, floats of 16 bits as `f32`. Those of `f16` lie as they are if the device's [`super::Limits::halves`] is true.
#[derive(Clone, Debug)]
pub struct WgpuTensor {
    fact: Fact,
    buffer: Buffer,
    /// The device it belongs to.
    device: u64,
    /// What it takes of an account, if a cell made it.
    _held: Arc<Reservation>,
}

impl WgpuTensor {
    /// The tensor that lies in `buffer`, which belongs to the device with this number.
    pub(super) fn new(fact: Fact, buffer: Buffer, device: u64, held: Reservation) -> WgpuTensor {
        WgpuTensor { fact, buffer, device, _held: Arc::new(held) }
    }

    /// The buffer it lies in.
    pub fn buffer(&self) -> &Buffer {
        &self.buffer
    }
}

impl DeviceTensor for WgpuTensor {
    fn fact(&self) -> &Fact {
        &self.fact
    }
}

impl Gpu {
    /// The tensor as one of this device.
    pub(super) fn own<'a>(&self, tensor: &'a dyn DeviceTensor) -> Result<&'a WgpuTensor, DeviceError> {
        let found = (tensor as &dyn Any).downcast_ref::<WgpuTensor>().filter(|t| t.device == self.id);
        found.ok_or_else(|| failed(format!("a tensor ({}) of another device", tensor.fact())))
    }

    /// Waits for the submission and shows `read` the first bytes of `buffer`.
    pub(super) fn mapped(
        &self,
        buffer: &Buffer,
        bytes: u64,
        submitted: SubmissionIndex,
        read: impl FnOnce(&[u8]),
    ) -> Result<(), DeviceError> {
        let wait = PollType::Wait { submission_index: Some(submitted), timeout: None };
        if bytes == 0 {
            return self.device.poll(wait).map(|_| ()).map_err(|e| failed(e.to_string()));
        }
        let (sender, receiver) = mpsc::channel();
        let done = move |result| {
            // The receiver is gone only if polling failed, which is reported already.
            let _ = sender.send(result);
        };
        self.guarded(|| buffer.map_async(MapMode::Read, 0..bytes, done)).map_err(failed)?;
        self.guarded(|| self.device.poll(wait)).map_err(failed)?.map_err(|e| failed(e.to_string()))?;
        // Another thread that polls may have taken over the callback and be about to call it.
        let result = receiver.recv_timeout(PATIENCE).map_err(|_| failed("the outputs were not mapped"))?;
        result.map_err(|e| failed(e.to_string()))?;
        let outcome = buffer.get_mapped_range(0..bytes).map(|view| read(&view)).map_err(|e| failed(e.to_string()));
        buffer.unmap();
        outcome
    }
}

impl DeviceMemory for Gpu {
    fn alloc(&self, fact: &Fact) -> Result<Arc<dyn DeviceTensor>, DeviceError> {
        let bytes = words::size(self.on.language, fact);
        let held = bounds::reserve(usize::try_from(bytes).unwrap_or(usize::MAX))?;
        let buffer = self.guarded(|| self.buffer(bytes, USAGE));
        let buffer = buffer.map_err(|message| DeviceError::Memory { device: NAME.into(), bytes, message })?;
        Ok(Arc::new(WgpuTensor::new(fact.clone(), buffer, self.id, held)))
    }

    fn upload(&self, transfers: &[(&[u8], &dyn DeviceTensor)]) -> Result<(), DeviceError> {
        let mut writes = Vec::with_capacity(transfers.len());
        for (bytes, tensor) in transfers {
            writes.push((*bytes, self.sized(*tensor, bytes.len())?));
        }
        let write = || {
            for (bytes, tensor) in writes.iter().filter(|(bytes, _)| !bytes.is_empty()) {
                self.queue.write_buffer(&tensor.buffer, 0, &words::widen(self.on.language, tensor.fact.dtype, bytes));
            }
        };
        self.guarded(write).map_err(failed)
    }

    fn download(&self, transfers: &mut [(&dyn DeviceTensor, &mut [u8])]) -> Result<(), DeviceError> {
        let mut reads = Vec::with_capacity(transfers.len());
        for (tensor, bytes) in transfers.iter() {
            reads.push(self.sized(*tensor, bytes.len())?);
        }
        let total = reads.iter().map(|t| words::size(self.on.language, &t.fact)).sum();
        let staging = self.staging(total)?;
        let submitted = self.guarded(|| {
            let mut encoder = self.device.create_command_encoder(&Default::default());
            let mut start = 0;
            for tensor in &reads {
                let size = words::size(self.on.language, &tensor.fact);
                if size > 0 {
                    encoder.copy_buffer_to_buffer(&tensor.buffer, 0, &staging, start, size);
                }
                start += size;
            }
            self.queue.submit([encoder.finish()])
        });
        let done = self.mapped(&staging, total, submitted.map_err(failed)?, |bytes| {
            let mut rest = bytes;
            for (tensor, (_, out)) in reads.iter().zip(transfers) {
                let (words, others) = rest.split_at(words::size(self.on.language, &tensor.fact) as usize);
                words::narrow(self.on.language, tensor.fact.dtype, words, out);
                rest = others;
            }
        });
        self.keep_staging(staging);
        done
    }
}

impl Gpu {
    /// The tensor as one of this device, if it holds `bytes` of host memory.
    fn sized<'a>(&self, tensor: &'a dyn DeviceTensor, bytes: usize) -> Result<&'a WgpuTensor, DeviceError> {
        let own = self.own(tensor)?;
        if own.fact.bytes() == bytes {
            return Ok(own);
        }
        Err(failed(format!("{bytes} bytes for a tensor of {}, which has {}", own.fact, own.fact.bytes())))
    }
}
