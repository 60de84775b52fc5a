//! A GPU that is not there: it says what one would compute, and how.

use std::sync::Arc;

use mindir_graph::Fact;
use mindir_shaders::Language;

use super::{Limits, PREFERENCES, Target, kernel};
use crate::device::{
    Declined, Device, DeviceError, DeviceMemory, DeviceTensor, Executable, MemoryModel, Offer, Preferences, Stage,
    TaskView, Weights,
};

/// A device that offers what a GPU with these limits would, so that plans can be made for it where there is none. It has no memory
/// and runs nothing.
#[derive(Clone, Copy, Debug)]
pub struct PlanOnly {
    name: &'static str,
    on: Target,
}

impl PlanOnly {
    /// The device `wgpu` on an adapter that has what WebGPU promises of every one.
    pub fn wgpu() -> PlanOnly {
        PlanOnly { name: "wgpu", on: Target::wgsl(Limits::default()) }
    }

    /// The device `cuda` on a GPU that has what every one of them has.
    pub fn cuda() -> PlanOnly {
        PlanOnly { name: "cuda", on: Target { language: Language::Cuda, limits: Limits::CUDA } }
    }

    fn absent(&self) -> DeviceError {
        let message = "plans are made for it, but it is not there".into();
        DeviceError::Device { device: self.name.into(), message }
    }
}

impl Device for PlanOnly {
    fn name(&self) -> &str {
        self.name
    }

    fn memory(&self) -> MemoryModel {
        MemoryModel::Buffers
    }

    fn preferences(&self) -> Preferences {
        PREFERENCES
    }

    fn own_memory(&self) -> Option<&dyn DeviceMemory> {
        Some(self)
    }

    fn offer(&self, task: TaskView<'_>) -> Result<Offer, Declined> {
        Ok(kernel(task, &self.on)?.offer(self.name))
    }

    fn build(&self, _: Stage, _: Vec<Offer>, _: &Weights) -> Result<Arc<dyn Executable>, DeviceError> {
        Err(self.absent())
    }
}

impl DeviceMemory for PlanOnly {
    fn alloc(&self, _: &Fact) -> Result<Arc<dyn DeviceTensor>, DeviceError> {
        Err(self.absent())
    }

    fn upload(&self, _: &[(&[u8], &dyn DeviceTensor)]) -> Result<(), DeviceError> {
        Err(self.absent())
    }

    fn download(&self, _: &mut [(&dyn DeviceTensor, &mut [u8])]) -> Result<(), DeviceError> {
        Err(self.absent())
    }
}
