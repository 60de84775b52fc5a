//! A stage as pipelines, parameters and constants, shared by its sessions.

use std::sync::Arc;

use mindir_graph::bounds::{self, Exceeded, Reservation};
use mindir_graph::task::Task;
use mindir_graph::{Fact, Tensor};
use mindir_shaders::Language;
use wgpu::{Buffer, BufferUsages};

use super::dispatch::{Dispatch, Storage};
use super::failed;
use super::gpu::Gpu;
use super::session::Session;
use crate::device::{Declined, DeviceError, Executable, Offer, Place, Run, Stage, Step, Weights};
use crate::launch::{Bound, GpuKernel, Launch, STATUS, View, words};

/// A stage ready to run.
pub(super) struct GpuExecutable {
    pub(super) gpu: Arc<Gpu>,
    pub(super) dispatches: Vec<Dispatch>,
    /// Parameters of all dispatches.
    pub(super) params: Buffer,
    /// Bytes of each slot's buffer: the stage's, then scratch and statuses of steps.
    pub(super) slots: Vec<u64>,
    /// Steps that may find out in a run that something is wrong.
    pub(super) watched: Vec<Watched>,
    pub(super) inputs: Vec<Fact>,
    pub(super) outputs: Vec<Fact>,
    kernels: Vec<String>,
    /// Constants on the device, held so that other executables find them.
    _constants: Vec<Arc<Constant>>,
}

/// A step with a status.
pub(super) struct Watched {
    /// Slot of the status.
    pub(super) slot: usize,
    pub(super) task: Task,
    pub(super) path: Arc<str>,
}

impl GpuExecutable {
    pub(super) fn new(
        gpu: Arc<Gpu>,
        stage: Stage,
        offers: Vec<Offer>,
        weights: &Weights,
    ) -> Result<GpuExecutable, DeviceError> {
        let mut builder = Builder {
            gpu: &gpu,
            weights,
            slots: slot_sizes(&stage, gpu.on.language),
            scratch: Vec::new(),
            watched: Vec::new(),
            params: Vec::new(),
            dispatches: Vec::new(),
            constants: Vec::new(),
        };
        let kernels = offers.iter().map(|offer| offer.kernel.clone()).collect();
        let mut offers = offers.into_iter();
        for (index, step) in stage.steps.iter().enumerate() {
            bounds::check()?;
            builder.step(index, step, offers.next())?;
        }
        let Builder { params, dispatches, constants, slots, watched, .. } = builder;
        let params = gpu.guarded(|| gpu.filled(&params, BufferUsages::UNIFORM)).map_err(failed)?;
        let Stage { inputs, outputs, .. } = stage;
        Ok(GpuExecutable { dispatches, params, slots, watched, inputs, outputs, kernels, _constants: constants, gpu })
    }
}

impl Executable for GpuExecutable {
    fn session(self: Arc<Self>) -> Box<dyn Run> {
        Box::new(Session::new(self))
    }

    fn session_bytes(&self) -> usize {
        usize::try_from(self.slots.iter().sum::<u64>()).unwrap_or(usize::MAX)
    }

    fn kernels(&self) -> Vec<String> {
        self.kernels.clone()
    }
}

/// Bytes of each slot: words may be wider than the elements that the stage counted.
fn slot_sizes(stage: &Stage, language: Language) -> Vec<u64> {
    let mut sizes: Vec<u64> = stage.slots.iter().map(|s| s.bytes as u64).collect();
    for step in &stage.steps {
        let ins = step.ins.iter().zip(&step.in_facts);
        for (place, fact) in ins.chain(step.outs.iter().zip(&step.out_facts)) {
            if let Place::Slot(i) = place
                && let Some(size) = sizes.get_mut(*i)
            {
                *size = words::size(language, fact).max(*size);
            }
        }
    }
    sizes
}

struct Builder<'a> {
    gpu: &'a Gpu,
    weights: &'a Weights,
    slots: Vec<u64>,
    /// Slots of scratch, which all steps share.
    scratch: Vec<usize>,
    watched: Vec<Watched>,
    params: Vec<u8>,
    dispatches: Vec<Dispatch>,
    constants: Vec<Arc<Constant>>,
}

impl Builder<'_> {
    /// Appends the dispatches of a step.
    fn step(&mut self, index: usize, step: &Step, offer: Option<Offer>) -> Result<(), DeviceError> {
        let kernel = offer.and_then(|offer| offer.prepared.downcast::<GpuKernel>().ok());
        let kernel = kernel.ok_or_else(|| DeviceError::Declined {
            path: step.path.clone(),
            reason: Declined("this device has offered nothing".into()),
        })?;
        self.reserve(step, &kernel);
        for launch in &kernel.launches {
            let made = self.launch(index, step, launch);
            let dispatch = made.map_err(|trouble| trouble.at(&step.path))?;
            self.dispatches.push(dispatch);
        }
        Ok(())
    }

    /// Slots for the scratch and the status of a step.
    fn reserve(&mut self, step: &Step, kernel: &GpuKernel) {
        for (i, bytes) in kernel.scratch().into_iter().enumerate() {
            if i == self.scratch.len() {
                self.scratch.push(self.slots.len());
                self.slots.push(0);
            }
            let slot = self.scratch[i];
            self.slots[slot] = self.slots[slot].max(bytes);
        }
        let mut bound = kernel.launches.iter().flat_map(|launch| &launch.bound);
        if bound.any(|b| b.of == Bound::Status) {
            let slot = self.slots.len();
            self.slots.push(STATUS);
            self.watched.push(Watched { slot, task: step.task.clone(), path: step.path.clone() });
        }
    }

    fn launch(&mut self, step: usize, of: &Step, launch: &Launch) -> Result<Dispatch, Trouble> {
        let mut bound = Vec::new();
        for &b in &launch.bound {
            bound.push(self.storage(of, b)?);
        }
        for (i, b) in launch.bound.iter().enumerate() {
            let shared = bound.iter().enumerate().any(|(j, other)| i != j && other.0 == bound[i].0);
            if !b.of.is_operand() && shared {
                return Err("an operand and a result share a buffer".into());
            }
        }
        let size = (launch.params.len() as u64).next_multiple_of(16);
        let start = (self.params.len() as u64).next_multiple_of(self.gpu.alignment.max(16));
        self.params.resize(start as usize, 0);
        self.params.extend(&launch.params);
        self.params.resize((start + size) as usize, 0);
        let pipeline = self.gpu.pipeline(&launch.module)?;
        Ok(Dispatch { step, pipeline, bound, params: (start, size), grid: launch.grid })
    }

    fn storage(&mut self, step: &Step, view: View) -> Result<(Storage, (u64, u64)), Trouble> {
        let (place, fact) = match view.of {
            Bound::In(i) | Bound::Packed(i) => (step.ins.get(i), step.in_facts.get(i)),
            Bound::Out(i) => (step.outs.get(i), step.out_facts.get(i)),
            Bound::Scratch(i, bytes) => return self.slot(self.scratch.get(i).copied(), bytes),
            Bound::Status => return self.slot(self.watched.last().map(|w| w.slot), STATUS),
        };
        let (Some(place), Some(fact)) = (place, fact) else { return Err(format!("{:?} has no place", view.of).into()) };
        let packed = matches!(view.of, Bound::Packed(_));
        let storage = match place {
            Place::Const(t) => Storage::Const(self.constant(t, packed)?),
            _ if packed => return Err(format!("{:?} is no constant", view.of).into()),
            Place::Slot(i) => Storage::Slot(*i),
            Place::Input(i) => Storage::Input(*i),
            Place::Output(i) => Storage::Output(*i),
        };
        Ok((storage, view.window.unwrap_or((0, self.gpu.on.size(view.of, fact).max(8)))))
    }

    /// The first `bytes` of a slot.
    fn slot(&self, slot: Option<usize>, bytes: u64) -> Result<(Storage, (u64, u64)), Trouble> {
        let slot = slot.ok_or("a kernel binds memory that it has not asked for")?;
        Ok((Storage::Slot(slot), (0, bytes.max(8))))
    }

    fn constant(&mut self, t: &Tensor, packed: bool) -> Result<Buffer, Trouble> {
        let upload = || {
            let words = match packed {
                true => words::padded(t.bytes()),
                false => words::widen(self.gpu.on.language, t.dtype(), t.bytes()),
            };
            let held = bounds::reserve(words.len())?;
            let buffer = self.gpu.guarded(|| self.gpu.filled(&words, BufferUsages::STORAGE))?;
            Ok::<_, Trouble>(Constant { buffer, _held: held })
        };
        let made = self.weights.get(
            t,
            &format!("wgpu-{}{}", self.gpu.id, if packed { "-packed" } else { "" }),
            &[],
            upload,
        )?;
        self.constants.push(made.clone());
        Ok(made.buffer.clone())
    }
}

/// A constant on the device.
struct Constant {
    buffer: Buffer,
    _held: Reservation,
}

/// Why a step cannot be launched.
enum Trouble {
    Message(String),
    Limit(Exceeded),
}

impl Trouble {
    fn at(self, path: &str) -> DeviceError {
        match self {
            Trouble::Message(message) => failed(format!("{path}: {message}")),
            Trouble::Limit(e) => DeviceError::Limit(e),
        }
    }
}

impl From<String> for Trouble {
    fn from(message: String) -> Trouble {
        Trouble::Message(message)
    }
}

impl From<&str> for Trouble {
    fn from(message: &str) -> Trouble {
        Trouble::Message(message.into())
    }
}

impl From<Exceeded> for Trouble {
    fn from(e: Exceeded) -> Trouble {
        Trouble::Limit(e)
    }
}
