//! What a session encodes: pipelines with the buffers that they bind.

use std::sync::Arc;

use wgpu::Buffer;

use super::gpu::Pipeline;

/// A buffer that a dispatch binds.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Storage {
    Slot(usize),
    Input(usize),
    Output(usize),
    Const(Buffer),
}

/// One dispatch, with the buffers that it binds, and the first byte and number of bytes bound of each.
pub(super) struct Dispatch {
    pub(super) step: usize,
    pub(super) pipeline: Arc<Pipeline>,
    pub(super) bound: Vec<(Storage, (u64, u64))>,
    /// Offset and size of the parameters.
    pub(super) params: (u64, u64),
    pub(super) grid: [u32; 3],
}
