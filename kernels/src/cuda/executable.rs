//! A stage as kernels, parameters and constants, shared by its sessions.

use std::sync::Arc;

use mindir_graph::bounds::{self, Exceeded};
use mindir_graph::task::Task;
use mindir_graph::{Fact, Tensor};

use super::gpu::{Gpu, Kernel, Memory};
use super::session::Session;
use super::{NAME, failed, failed_at, lt};
use crate::device::{Declined, DeviceError, Executable, Offer, Place, Run, Stage, Step, TaskView, Weights};
use crate::launch::{self, Bound, GpuKernel, Launch, Product, STATUS, Target, View};

/// What a launch binds.
#[derive(Clone, Debug)]
pub(super) enum Storage {
    Slot(usize),
    Input(usize),
    Output(usize),
    Const(Arc<Memory>),
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
    pub(super) what: What,
    /// What it binds, each from this byte on.
    pub(super) bound: Vec<(Storage, u64)>,
}

/// What is launched.
pub(super) enum What {
    /// A kernel, with the bytes of its parameters, padded to whole words.
    Kernel { kernel: Arc<Kernel>, params: Vec<u64>, grid: [u32; 3] },
    /// A product of cuBLASLt.
    Product(Arc<lt::Plan>),
}

/// What a step is made of that cuBLASLt begins.
struct Begun {
    plan: Arc<lt::Plan>,
    bound: Vec<View>,
    kernel: GpuKernel,
}

/// The offer of cuBLASLt for a task, if it is there and takes it.
pub(super) fn by_library(gpu: &Gpu, view: TaskView<'_>, on: &Target) -> Option<Offer> {
    let (lt, Task::Gemm(task)) = (gpu.lt.as_ref()?, view.task) else { return None };
    let Product { form, bound, after } = launch::product(task, view, on).ok()?;
    gpu.context.bind_to_thread().ok()?;
    let plan = lt.plan(&form)?;
    let scratch = bound.iter().map(|view| if let Bound::Scratch(_, bytes) = view.of { bytes } else { 0 }).sum::<u64>();
    let kernel = GpuKernel { name: format!("{}-cublaslt", task.dtype), launches: after };
    Some(Offer {
        kernel: format!("{NAME}-{}", kernel.name),
        in_place: Vec::new(),
        scratch: usize::try_from(scratch).unwrap_or(usize::MAX),
        prepared: Box::new(Begun { plan, bound, kernel }),
    })
}

/// A stage ready to run.
pub(super) struct CudaExecutable {
    pub(super) gpu: Arc<Gpu>,
    pub(super) work: Vec<Work>,
    /// Path of each step.
    pub(super) paths: Vec<Arc<str>>,
    /// Memory for each slot.
    pub(super) slots: Vec<Room>,
    /// Scratch, which all steps share.
    pub(super) scratch: Vec<Room>,
    /// Steps that may find out in a run that something is wrong, in the order of their statuses.
    pub(super) watched: Vec<Watched>,
    pub(super) inputs: Vec<Fact>,
    pub(super) outputs: Vec<Fact>,
    kernels: Vec<String>,
}

/// Memory that a session needs.
#[derive(Clone, Debug)]
pub(super) struct Room {
    pub(super) bytes: usize,
    /// Path of the first step that needs as much.
    pub(super) path: Arc<str>,
}

/// The error, with the path of the step that memory is lacking for.
pub(super) fn lacking(e: DeviceError, path: &str) -> DeviceError {
    match e {
        DeviceError::Memory { device, bytes, message } => {
            DeviceError::Memory { device, bytes, message: format!("{message}, for {path}") }
        }
        e => e,
    }
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
            let prepared = offers.next().map(|offer| match offer.prepared.downcast::<Begun>() {
                Ok(begun) => Ok((Some((begun.plan, begun.bound)), begun.kernel)),
                Err(other) => other.downcast::<GpuKernel>().map(|kernel| (None, *kernel)),
            });
            let Some(Ok((begun, kernel))) = prepared else {
                let reason = Declined("this device has offered nothing".into());
                return Err(DeviceError::Declined { path: step.path.clone(), reason });
            };
            builder.reserve(step, &kernel);
            if let Some((plan, bound)) = begun {
                let bound = builder.bound(step, &bound)?;
                work.push(Work { step: index, what: What::Product(plan), bound });
            }
            for launch in &kernel.launches {
                work.push(builder.launch(index, step, launch)?);
            }
        }
        let Builder { scratch, watched, .. } = builder;
        let slots = rooms(&stage);
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
        self.slots.iter().chain(&self.scratch).fold(0, |sum, room| sum.saturating_add(room.bytes))
    }

    fn kernels(&self) -> Vec<String> {
        self.kernels.clone()
    }
}

/// Memory for the slots of a stage.
fn rooms(stage: &Stage) -> Vec<Room> {
    let writes =
        |step: &&Step, slot: usize| step.outs.iter().any(|place| matches!(place, Place::Slot(i) if *i == slot));
    let path = |slot| stage.steps.iter().find(|step| writes(step, slot)).map(|step| step.path.clone());
    let slots = stage.slots.iter().enumerate();
    slots.map(|(i, slot)| Room { bytes: slot.bytes, path: path(i).unwrap_or_else(|| "no step".into()) }).collect()
}

struct Builder<'a> {
    gpu: &'a Gpu,
    weights: &'a Weights,
    stage: &'a Stage,
    scratch: Vec<Room>,
    watched: Vec<Watched>,
}

impl Builder<'_> {
    /// Makes room for the scratch and the status of a step.
    fn reserve(&mut self, step: &Step, kernel: &GpuKernel) {
        let bound = || kernel.launches.iter().flat_map(|launch| &launch.bound);
        for view in bound() {
            let Bound::Scratch(i, bytes) = view.of else { continue };
            let nothing = Room { bytes: 0, path: step.path.clone() };
            self.scratch.resize(self.scratch.len().max(i + 1), nothing);
            let bytes = usize::try_from(bytes).unwrap_or(usize::MAX);
            if bytes > self.scratch[i].bytes {
                self.scratch[i] = Room { bytes, path: step.path.clone() };
            }
        }
        if bound().any(|view| view.of == Bound::Status) {
            self.watched.push(Watched { task: step.task.clone(), path: step.path.clone() });
        }
    }

    fn launch(&self, index: usize, step: &Step, launch: &Launch) -> Result<Work, DeviceError> {
        let bound = self.bound(step, &launch.bound)?;
        let mut params = vec![0; launch.params.len().div_ceil(8)];
        bytemuck::cast_slice_mut(&mut params)[..launch.params.len()].copy_from_slice(&launch.params);
        let kernel = self.gpu.kernel(&launch.module).map_err(|message| failed_at(&step.path, &message))?;
        Ok(Work { step: index, what: What::Kernel { kernel, params, grid: launch.grid }, bound })
    }

    /// What a launch binds; results share nothing.
    fn bound(&self, step: &Step, views: &[View]) -> Result<Vec<(Storage, u64)>, DeviceError> {
        let bound = views.iter().map(|&view| self.storage(step, view)).collect::<Result<Vec<_>, DeviceError>>()?;
        for (i, view) in views.iter().enumerate() {
            let shared = bound.iter().enumerate().any(|(j, other)| i != j && other.0.is(&bound[i].0));
            if !view.of.is_operand() && shared {
                let message = "an operand and a result share a buffer".into();
                return Err(DeviceError::Step { path: step.path.clone(), message });
            }
        }
        Ok(bound)
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

    fn constant(&self, step: &Step, t: &Tensor) -> Result<Arc<Memory>, DeviceError> {
        let upload = || self.gpu.filled(t.bytes());
        let made = self.weights.get(t, &format!("cuda-{}", self.gpu.id), &[], || upload().map_err(Upload));
        made.map_err(|Upload(e)| match e {
            DeviceError::Device { message, .. } => failed_at(&step.path, &message),
            e => lacking(e, &step.path),
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
