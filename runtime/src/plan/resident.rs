//! Inputs and results that lie in a device's memory only, so that they need not be copied.

use std::sync::Arc;

use mindir_kernels::device::{DeviceError, DeviceMemory, DeviceTensor};

use super::run::Workspace;
use super::{Compiled, Feed, StagePorts, Target};

impl Compiled {
    /// The tensor in a device's memory that input `input` is copied to, if nothing reads it in host memory.
    pub(crate) fn resident_input(&self, input: usize) -> Option<usize> {
        let is = |feed: &Feed| matches!(feed, Feed::Input(i) if *i == input);
        let results = self.results.iter().filter_map(|r| r.copy_of.as_ref());
        let mut on_host = self.ports().flat_map(|p| &p.ins).chain(results);
        if on_host.any(is) || self.results.iter().any(|r| r.over == Some(input)) {
            return None;
        }
        let mut tensors = self.ports().flat_map(|p| &p.uploads).filter(|(feed, _)| is(feed)).map(|(_, at)| *at);
        tensors.next().filter(|_| tensors.next().is_none())
    }

    /// The tensor in a device's memory that result `result` is copied from, if nothing else reads it in host memory.
    pub(crate) fn resident_result(&self, result: usize) -> Option<usize> {
        let is = |feed: &Feed| matches!(feed, Feed::Buffer(Target::Result(i)) if *i == result);
        let results = self.results.iter().filter_map(|r| r.copy_of.as_ref());
        let uploads = self.ports().flat_map(|p| &p.uploads).map(|(feed, _)| feed);
        if self.ports().flat_map(|p| &p.ins).chain(results).chain(uploads).any(is) {
            return None;
        }
        let mut downloads = self.ports().flat_map(|p| &p.downloads);
        downloads.find(|(_, target)| *target == Target::Result(result)).map(|(at, _)| *at)
    }

    fn ports(&self) -> impl Iterator<Item = &StagePorts> {
        self.stages.iter().map(|stage| &stage.ports)
    }

    /// The memory that tensor `at` lies in.
    fn memory(&self, at: usize) -> Option<&dyn DeviceMemory> {
        self.device.get(at)?.device.own_memory()
    }

    /// Whether two tensors lie on one device and are alike.
    pub(crate) fn alike(&self, a: usize, b: usize) -> bool {
        let (Some(a), Some(b)) = (self.device.get(a), self.device.get(b)) else { return false };
        Arc::ptr_eq(&a.device, &b.device) && a.fact.dtype == b.fact.dtype && a.fact.count() == b.fact.count()
    }

    /// Copies tensor `at` of a workspace to host memory.
    pub(crate) fn fetch(&self, workspace: &Workspace, at: usize, bytes: &mut [u8]) -> Result<(), DeviceError> {
        let (Some(memory), Some(tensor)) = (self.memory(at), workspace.resident.get(at)) else {
            return Err(super::run::absent_on_device());
        };
        memory.download(&mut [(tensor.tensor.as_ref(), bytes)])
    }

    /// Gives a workspace another tensor `at`: the caller's, or a new one.
    pub(crate) fn bind(
        &self,
        workspace: &mut Workspace,
        at: usize,
        tensor: Option<Arc<dyn DeviceTensor>>,
    ) -> Result<(), DeviceError> {
        let (Some(planned), Some(resident)) = (self.device.get(at), workspace.resident.get_mut(at)) else {
            return Err(super::run::absent_on_device());
        };
        resident.given = tensor.is_some();
        resident.tensor = match tensor {
            Some(tensor) => tensor,
            None => planned.alloc()?,
        };
        Ok(())
    }
}
