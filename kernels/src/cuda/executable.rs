//! A stage as kernels, parameters and constants, shared by its sessions.

use std::sync::Arc;

use cudarc::driver::CudaSlice;
use mindir_graph::bounds::{self, Exceeded};
use mindir_graph::task::Task;
use mindir_graph::{Fact, Tensor};

use super::failed;
use super::gpu::{Gpu, Kernel};
use super::session::Session;
use crate::device::{Declined, DeviceError, Executable, Offer, Place, Run, Stage, Step, Weights};
use crate::launch::{Bound, GpuKernel, Launch, STATUS, View};

/// What a launch binds.
#[derive(Clone, Debug)]
pub(super) enum Storage {
    Slot(usize),
    Input(usize),
    Output(usize),
    Const(Arc<CudaSlice<u8>>),
    Scratch(usize),
    /// The statuses of all steps.
    Statuses,
}

impl Storage {
    fn is(&self, other: &Storage) -> bool {
        match (self, other) {
            (Storage::Slot(a), Storage::Slot(b))
            | (Storage::Input(a), Storage::Input(b))
            | (Storage::Output(a), Storage::Output(b))
            | (Storage::Scratch(a), Storage::Scratch(b)) => a == b,
            (Storage::Const(a), Storage::Const(b)) => Arc::ptr_eq(a, b),
            _ => false,
        }
    }
}

/// One launch of a step.
pub(super) struct Work {
    pub(super) step: usize,
    pub(super) kernel: Arc<Kernel>,
    /// What it binds, each from this byte on.
    pub(super) bound: Vec<(Storage, u64)>,
    /// The parameters' bytes, padded to whole words.
    pub(super) params: Vec<u64>,
    pub(super) grid: [u32; 3],
}

/// A stage ready to run.
pub(super) struct CudaExecutable {
    pub(super) gpu: Arc<Gpu>,
    pub(super) work: Vec<Work>,
    /// Path of each step.
    pub(super) paths: Vec<Arc<str>>,
    /// Bytes of each slot.
    pub(super) slots: Vec<usize>,
    /// Bytes of scratch, which all steps share.
    pub(super) scratch: Vec<usize>,
    /// Steps that may find out in a run that something is wrong, in the order of their statuses.
    pub(super) watched: Vec<Watched>,
    pub(super) inputs: Vec<Fact>,
    pub(super) outputs: Vec<Fact>,
    kernels: Vec<String>,
}

/// A step with a status.
pub(super) struct Watched {
    pub(super) task: Task,
    pub(super) path: Arc<str>,
}

impl CudaExecutable {
    pub(super) fn new(
        gpu: Arc<Gpu>,
        stage: Stage,
        offers: Vec<Offer>,
        weights: &Weights,
    ) -> Result<CudaExecutable, DeviceError> {
        let kernels = offers.iter().map(|offer| offer.kernel.clone()).collect();
        let mut builder = Builder { gpu: &gpu, weights, stage: &stage, scratch: Vec::new(), watched: Vec::new() };
        let mut work = Vec::new();
        let mut offers = offers.into_iter();
        for (index, step) in stage.steps.iter().enumerate() {
            bounds::check()?;
            let kernel = offers.next().and_then(|offer| offer.prepared.downcast::<GpuKernel>().ok());
            let kernel = kernel.ok_or_else(|| DeviceError::Declined {
                path: step.path.clone(),
                reason: Declined("this device has offered nothing".into()),
            })?;
            builder.reserve(step, &kernel);
            for launch in &kernel.launches {
                work.push(builder.launch(index, step, launch)?);
            }
        }
        let Builder { scratch, watched, .. } = builder;
        let slots = stage.slots.iter().map(|slot| slot.bytes).collect();
        let paths = stage.steps.iter().map(|step| step.path.clone()).collect();
        Ok(CudaExecutable {
            gpu,
            work,
            paths,
            slots,
            scratch,
            watched,
            inputs: stage.inputs,
            outputs: stage.outputs,
            kernels,
        })
    }
}

impl Executable for CudaExecutable {
    fn session(self: Arc<Self>) -> Box<dyn Run> {
        Box::new(Session::new(self))
    }

    fn session_bytes(&self) -> usize {
        self.slots.iter().chain(&self.scratch).fold(0, |sum, &bytes| sum.saturating_add(bytes))
    }

    fn kernels(&self) -> Vec<String> {
        self.kernels.clone()
    }
}

struct Builder<'a> {
    gpu: &'a Gpu,
    weights: &'a Weights,
    stage: &'a Stage,
    scratch: Vec<usize>,
    watched: Vec<Watched>,
}

impl Builder<'_> {
    /// Makes room for the scratch and the status of a step.
    fn reserve(&mut self, step: &Step, kernel: &GpuKernel) {
        let bound = || kernel.launches.iter().flat_map(|launch| &launch.bound);
        for view in bound() {
            let Bound::Scratch(i, bytes) = view.of else { continue };
            self.scratch.resize(self.scratch.len().max(i + 1), 0);
            self.scratch[i] = self.scratch[i].max(usize::try_from(bytes).unwrap_or(usize::MAX));
        }
        if bound().any(|view| view.of == Bound::Status) {
            self.watched.push(Watched { task: step.task.clone(), path: step.path.clone() });
        }
    }

    fn launch(&self, index: usize, step: &Step, launch: &Launch) -> Result<Work, DeviceError> {
        let failed = |message: String| DeviceError::Step { path: step.path.clone(), message };
        let bound = launch.bound.iter().map(|&b| self.storage(step, b)).collect::<Result<Vec<_>, DeviceError>>()?;
        for (i, b) in launch.bound.iter().enumerate() {
            let shared = bound.iter().enumerate().any(|(j, other)| i != j && other.0.is(&bound[i].0));
            if !b.of.is_operand() && shared {
                return Err(failed("an operand and a result share a buffer".into()));
            }
        }
        let mut params = vec![0; launch.params.len().div_ceil(8)];
        bytemuck::cast_slice_mut(&mut params)[..launch.params.len()].copy_from_slice(&launch.params);
        let kernel = self.gpu.kernel(&launch.module).map_err(failed)?;
        Ok(Work { step: index, kernel, bound, params, grid: launch.grid })
    }

    /// What a launch binds, which must have room for the operand or result.
    fn storage(&self, step: &Step, view: View) -> Result<(Storage, u64), DeviceError> {
        let (place, fact) = match view.of {
            Bound::In(i) | Bound::Packed(i) => (step.ins.get(i), step.in_facts.get(i)),
            Bound::Out(i) => (step.outs.get(i), step.out_facts.get(i)),
            Bound::Scratch(i, _) => return Ok((Storage::Scratch(i), 0)),
            Bound::Status => return Ok((Storage::Statuses, STATUS * (self.watched.len() as u64).saturating_sub(1))),
        };
        let (Some(place), Some(fact)) = (place, fact) else {
            return Err(failed(format!("{:?} has no place", view.of)));
        };
        let bytes = |facts: &[Fact], i: usize| facts.get(i).map(Fact::bytes);
        let (storage, room) = match place {
            Place::Slot(i) => (Storage::Slot(*i), self.stage.slots.get(*i).map(|slot| slot.bytes)),
            Place::Input(i) => (Storage::Input(*i), bytes(&self.stage.inputs, *i)),
            Place::Output(i) => (Storage::Output(*i), bytes(&self.stage.outputs, *i)),
            Place::Const(t) => (Storage::Const(self.constant(step, t)?), Some(t.bytes().len())),
        };
        match room {
            None => Err(failed("a step names a place that the stage lacks")),
            Some(room) if room < fact.bytes() => Err(DeviceError::Step {
                path: step.path.clone(),
                message: format!("{fact} needs {} bytes, its place has {room}", fact.bytes()),
            }),
            Some(_) => Ok((storage, view.window.map_or(0, |(first, _)| first))),
        }
    }

    fn constant(&self, step: &Step, t: &Tensor) -> Result<Arc<CudaSlice<u8>>, DeviceError> {
        let upload = || self.gpu.filled(t.bytes());
        let made = self.weights.get(t, &format!("cuda-{}", self.gpu.id), &[], || upload().map_err(Upload));
        made.map_err(|Upload(e)| match e {
            DeviceError::Device { message, .. } => DeviceError::Step { path: step.path.clone(), message },
            e => e,
        })
    }
}

/// Why a constant was not uploaded.
struct Upload(DeviceError);

impl From<Exceeded> for Upload {
    fn from(e: Exceeded) -> Upload {
        Upload(DeviceError::Limit(e))
    }
}
