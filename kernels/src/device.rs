//! What a device is: it says which tasks it takes and why not, and turns a stage of tasks into an executable.

use std::any::Any;
use std::fmt;
use std::sync::Arc;

use bytes::Bytes;
use mindir_graph::bounds::{self, Exceeded};
pub use mindir_graph::passes::Preferences;
use mindir_graph::task::Task;
use mindir_graph::{Fact, Tensor, TensorError};

/// A task as a device sees it when it chooses a kernel.
#[derive(Clone, Copy, Debug)]
pub struct TaskView<'a> {
    /// What to compute.
    pub task: &'a Task,
    /// Facts of the operands.
    pub ins: &'a [Fact],
    /// For each operand, whether its contents are known before the run.
    pub known: &'a [bool],
    /// Facts of the results.
    pub outs: &'a [Fact],
}

/// Why a device does not take a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Declined(pub String);

impl fmt::Display for Declined {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A device's answer to a task that it takes: all that it finds out from the facts alone.
pub struct Offer {
    /// Name of the kernel: `{isa}-{dtypes}-{variant}`.
    pub kernel: String,
    /// Operands whose storage the first result may take over.
    pub in_place: Vec<usize>,
    /// Bytes of memory that a run of the kernel needs besides operands and results, until it is over.
    pub scratch: usize,
    /// What the device makes the step of. Nobody else looks at it.
    pub prepared: Box<dyn Any + Send>,
}

impl fmt::Debug for Offer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Offer { kernel, in_place, scratch, .. } = self;
        write!(f, "{kernel}, in place of {in_place:?}, {scratch} bytes of scratch")
    }
}

/// How a device lays out the values of a stage.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MemoryModel {
    /// One block of host memory; values are byte ranges that may overlap when their lives do not.
    Arena,
    /// Separate buffers; values that do not live at the same time may share one.
    Buffers,
}

/// Where an operand or result of a step lies.
#[derive(Clone, Debug)]
pub enum Place {
    /// In `Stage::slots[i]`.
    Slot(usize),
    /// The caller's input `i` of the stage.
    Input(usize),
    /// The caller's output `i` of the stage. In [`MemoryModel::Arena`] a step may read it before another writes it: it is what
    /// the caller left there.
    Output(usize),
    /// Known before the run.
    Const(Tensor),
}

/// Memory for one value at a time. In [`MemoryModel::Arena`] slots may overlap, in [`MemoryModel::Buffers`] they do not.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Slot {
    /// First byte in the arena, a multiple of 64; 0 for buffers.
    pub offset: usize,
    /// Length in bytes.
    pub bytes: usize,
}

/// A task with the places of its operands and results.
#[derive(Clone, Debug)]
pub struct Step {
    /// What to compute.
    pub task: Task,
    /// Places of the operands.
    pub ins: Vec<Place>,
    /// Facts of the operands.
    pub in_facts: Vec<Fact>,
    /// Places of the results. A result may lie in the same slot as an operand that the step's [`Offer`] names.
    pub outs: Vec<Place>,
    /// Facts of the results.
    pub out_facts: Vec<Fact>,
    /// Path of the graph node, for messages.
    pub path: Arc<str>,
}

impl Step {
    /// The step as a device sees it when it chooses a kernel; `known` has an element for each operand.
    fn view<'a>(&'a self, known: &'a [bool]) -> TaskView<'a> {
        TaskView { task: &self.task, ins: &self.in_facts, known, outs: &self.out_facts }
    }

    /// For each operand, its contents if they are known before the run.
    pub fn known(&self) -> Vec<Option<Tensor>> {
        let contents = |place: &Place| if let Place::Const(t) = place { Some(t.clone()) } else { None };
        self.ins.iter().map(contents).collect()
    }
}

/// Consecutive steps for one device.
#[derive(Clone, Debug, Default)]
pub struct Stage {
    /// Steps in order.
    pub steps: Vec<Step>,
    /// Memory for values inside the stage.
    pub slots: Vec<Slot>,
    /// Bytes of the arena; 0 for buffers.
    pub arena: usize,
    /// Facts of the stage's inputs.
    pub inputs: Vec<Fact>,
    /// Facts of the stage's outputs.
    pub outputs: Vec<Fact>,
}

impl Stage {
    /// The executable that `device` makes of the stage with what it offers for each step.
    ///
    /// # Errors
    /// [`DeviceError`] naming the step.
    pub fn build(self, device: &dyn Device, weights: &Weights) -> Result<Arc<dyn Executable>, DeviceError> {
        let offer = |step: &Step| {
            let known: Vec<bool> = step.ins.iter().map(|place| matches!(place, Place::Const(_))).collect();
            let declined = |reason| DeviceError::Declined { path: step.path.clone(), reason };
            device.offer(step.view(&known)).map_err(declined)
        };
        let offers = self.steps.iter().map(offer).collect::<Result<_, _>>()?;
        device.build(self, offers, weights)
    }
}

/// Why a device cannot build or run a stage.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum DeviceError {
    /// The device declined a step that it was given.
    #[error("{path}: {reason}")]
    Declined {
        /// Path of the graph node.
        path: Arc<str>,
        /// The device's reason.
        reason: Declined,
    },
    /// A step failed.
    #[error("{path}: {message}")]
    Step {
        /// Path of the graph node.
        path: Arc<str>,
        /// What went wrong.
        message: String,
    },
    /// A bound of the run does not hold.
    #[error(transparent)]
    Limit(#[from] Exceeded),
    /// The device has not as much memory.
    #[error("{device}: no room for {bytes} bytes: {message}")]
    Memory {
        /// Name of the device.
        device: String,
        /// What was to be allocated.
        bytes: u64,
        /// What the driver says.
        message: String,
    },
    /// The device itself failed.
    #[error("{device}: {message}")]
    Device {
        /// Name of the device.
        device: String,
        /// What went wrong.
        message: String,
    },
}

/// Why a device does not build a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Refused {
    /// It has no kernel for it.
    Declined(Declined),
    /// A bound does not hold.
    Limit(Exceeded),
}

impl Refused {
    /// The error of the step at `path`.
    pub fn at(self, path: &Arc<str>) -> DeviceError {
        match self {
            Refused::Declined(reason) => DeviceError::Declined { path: path.clone(), reason },
            Refused::Limit(e) => DeviceError::Limit(e),
        }
    }
}

impl From<Declined> for Refused {
    fn from(reason: Declined) -> Refused {
        Refused::Declined(reason)
    }
}

impl From<TensorError> for Refused {
    fn from(e: TensorError) -> Refused {
        match e {
            TensorError::Limit(e) => Refused::Limit(e),
            e => Refused::Declined(Declined(e.to_string())),
        }
    }
}

impl From<Exceeded> for Refused {
    fn from(e: Exceeded) -> Refused {
        Refused::Limit(e)
    }
}

/// A tensor in a device's own memory.
pub trait DeviceTensor: Any + Send + Sync + fmt::Debug {
    /// Element type and shape.
    fn fact(&self) -> &Fact;
}

/// Memory that is not the host's.
pub trait DeviceMemory {
    /// Memory for a tensor. What it holds is unspecified.
    ///
    /// # Errors
    /// [`DeviceError::Memory`] if the device has not as much; [`DeviceError::Device`].
    fn alloc(&self, fact: &Fact) -> Result<Arc<dyn DeviceTensor>, DeviceError>;

    /// Copies dense little-endian elements into tensors, for work that is enqueued later.
    ///
    /// # Errors
    /// [`DeviceError::Device`]: also for a tensor of another device, and for one of another length.
    fn upload(&self, transfers: &[(&[u8], &dyn DeviceTensor)]) -> Result<(), DeviceError>;

    /// Copies tensors into host memory when the work that was enqueued before is done, and waits for it.
    ///
    /// # Errors
    /// As [`DeviceMemory::upload`].
    fn download(&self, transfers: &mut [(&dyn DeviceTensor, &mut [u8])]) -> Result<(), DeviceError>;

    /// Runs a stage with these inputs and outputs on bytes in host memory, by way of tensors that are made for it.
    ///
    /// # Errors
    /// As the other functions, and as [`Run::run`].
    fn run_bytes(
        &self,
        run: &mut dyn Run,
        (inputs, outputs): (&[Fact], &[Fact]),
        ins: &[&[u8]],
        outs: &mut [&mut [u8]],
    ) -> Result<(), DeviceError> {
        let alloc = |facts: &[Fact]| facts.iter().map(|f| self.alloc(f)).collect::<Result<Vec<_>, _>>();
        let (inputs, outputs) = (alloc(inputs)?, alloc(outputs)?);
        self.upload(&ins.iter().copied().zip(inputs.iter().map(AsRef::as_ref)).collect::<Vec<_>>())?;
        let read: Vec<Input<'_>> = inputs.iter().map(|t| Input::Device(t.as_ref())).collect();
        let mut written: Vec<Output<'_>> = outputs.iter().map(|t| Output::Device(t.as_ref())).collect();
        run.run(&read, &mut written, None)?;
        let results = outputs.iter().map(AsRef::as_ref).zip(outs.iter_mut().map(|bytes| &mut **bytes));
        self.download(&mut results.collect::<Vec<_>>())?;
        run.wait()
    }
}

/// Something that computes tasks.
pub trait Device: Send + Sync + fmt::Debug {
    /// Short name: `cpu`, `wgpu`, `cuda`.
    fn name(&self) -> &str;

    /// What it is, for people: the name of the adapter and its driver, or its name again.
    fn describe(&self) -> String {
        self.name().to_string()
    }

    /// How it wants the values of a stage laid out.
    fn memory(&self) -> MemoryModel;

    /// What it computes fastest. Plans for several devices follow the one that comes first.
    fn preferences(&self) -> Preferences {
        Preferences::default()
    }

    /// Its own memory, where the inputs and outputs of its stages lie; `None` if they lie in the host's.
    fn own_memory(&self) -> Option<&dyn DeviceMemory> {
        None
    }

    /// The kernel for a task.
    ///
    /// # Errors
    /// The reason why it takes none.
    fn offer(&self, task: TaskView<'_>) -> Result<Offer, Declined>;

    /// Turns a stage into an executable, which holds the weights in other layouts that it gets from `weights`. `offers` are what
    /// this device has offered for the steps, in their order.
    ///
    /// # Errors
    /// [`DeviceError`] naming the step.
    fn build(&self, stage: Stage, offers: Vec<Offer>, weights: &Weights) -> Result<Arc<dyn Executable>, DeviceError>;
}

/// A stage ready to run, shared by all threads.
pub trait Executable: Send + Sync {
    /// Memory and scratch for one run at a time.
    fn session(self: Arc<Self>) -> Box<dyn Run>;

    /// Bytes of memory that a session keeps between runs.
    fn session_bytes(&self) -> usize;

    /// Name of the kernel of each step.
    fn kernels(&self) -> Vec<String>;
}

/// What a stage reads.
#[derive(Clone, Copy, Debug)]
pub enum Input<'a> {
    /// Dense little-endian elements, aligned for their type.
    Host(&'a [u8]),
    /// A tensor in the device's own memory.
    Device(&'a dyn DeviceTensor),
}

/// What a stage writes.
#[derive(Debug)]
pub enum Output<'a> {
    /// Dense little-endian elements, aligned to 64.
    Host(&'a mut [u8]),
    /// A tensor in the device's own memory.
    Device(&'a dyn DeviceTensor),
}

impl<'a> Input<'a> {
    /// The elements of an input in host memory.
    ///
    /// # Errors
    /// [`DeviceError::Device`] if it lies elsewhere.
    pub fn host(&self, device: &str) -> Result<&'a [u8], DeviceError> {
        match self {
            Input::Host(bytes) => Ok(bytes),
            Input::Device(t) => Err(misplaced(device, "an input", t.fact(), "host memory")),
        }
    }

    /// The tensor of an input in the device's memory.
    ///
    /// # Errors
    /// [`DeviceError::Device`] if it lies elsewhere.
    pub fn device(&self, device: &str) -> Result<&'a dyn DeviceTensor, DeviceError> {
        match self {
            Input::Device(t) => Ok(*t),
            Input::Host(bytes) => {
                Err(misplaced(device, "an input", format_args!("{} bytes", bytes.len()), "its memory"))
            }
        }
    }
}

impl Output<'_> {
    /// The elements of an output in host memory.
    ///
    /// # Errors
    /// [`DeviceError::Device`] if it lies elsewhere.
    pub fn host(&mut self, device: &str) -> Result<&mut [u8], DeviceError> {
        match self {
            Output::Host(bytes) => Ok(bytes),
            Output::Device(t) => Err(misplaced(device, "an output", t.fact(), "host memory")),
        }
    }

    /// The tensor of an output in the device's memory.
    ///
    /// # Errors
    /// [`DeviceError::Device`] if it lies elsewhere.
    pub fn device(&self, device: &str) -> Result<&dyn DeviceTensor, DeviceError> {
        match self {
            Output::Device(t) => Ok(*t),
            Output::Host(bytes) => {
                Err(misplaced(device, "an output", format_args!("{} bytes", bytes.len()), "its memory"))
            }
        }
    }
}

/// The tensors of a run's inputs and outputs, in order, which must lie in the memory of `device` and be what its stage has:
/// as many, and of these types and numbers of elements.
#[cfg(any(feature = "wgpu", feature = "cuda"))]
pub(crate) fn ports<'a>(
    device: &str,
    (inputs, outputs): (&[Fact], &[Fact]),
    ins: &'a [Input<'_>],
    outs: &'a [Output<'_>],
) -> Result<Vec<&'a dyn DeviceTensor>, DeviceError> {
    let failed = |message: String| DeviceError::Device { device: device.into(), message };
    for (what, expected, found) in [("inputs", inputs.len(), ins.len()), ("outputs", outputs.len(), outs.len())] {
        if found != expected {
            return Err(failed(format!("{found} {what}, expected {expected}")));
        }
    }
    let given = ins.iter().map(|input| input.device(device)).chain(outs.iter().map(|output| output.device(device)));
    let port = |(given, fact): (Result<&'a dyn DeviceTensor, DeviceError>, &Fact)| {
        let (given, found) = given.map(|tensor| (tensor, tensor.fact()))?;
        if found.dtype == fact.dtype && found.count() == fact.count() {
            return Ok(given);
        }
        Err(failed(format!("a tensor of {found} stands for {fact}")))
    };
    given.zip(inputs.iter().chain(outputs)).map(port).collect()
}

fn misplaced(device: &str, what: &str, found: impl fmt::Display, expected: &str) -> DeviceError {
    DeviceError::Device { device: device.into(), message: format!("{what} ({found}) does not lie in {expected}") }
}

/// One thread's hold on an [`Executable`].
pub trait Run: Send {
    /// Runs all steps; with `nanos`, adds the nanoseconds of each. Inputs and outputs lie where the device has its memory
    /// ([`Device::own_memory`]). Outputs in host memory are there when it returns; those in the device's own are there for work
    /// that is enqueued later.
    ///
    /// # Errors
    /// [`DeviceError`] naming the step; outputs are unspecified then.
    fn run(&mut self, ins: &[Input<'_>], outs: &mut [Output<'_>], nanos: Option<&mut [u64]>)
    -> Result<(), DeviceError>;

    /// As [`Run::run`], on bytes in host memory.
    ///
    /// # Errors
    /// As [`Run::run`].
    fn run_bytes(&mut self, ins: &[&[u8]], outs: &mut [&mut [u8]]) -> Result<(), DeviceError> {
        let ins: Vec<Input<'_>> = ins.iter().map(|bytes| Input::Host(bytes)).collect();
        let mut outs: Vec<Output<'_>> = outs.iter_mut().map(|bytes| Output::Host(bytes)).collect();
        self.run(&ins, &mut outs, None)
    }

    /// Waits for the runs since it was last called, and says what went wrong in one of them that could not be known earlier.
    ///
    /// # Errors
    /// As [`Run::run`].
    fn wait(&mut self) -> Result<(), DeviceError> {
        Ok(())
    }
}

/// Where what kernels make of weights is kept from one process to the next.
pub trait Shelf: fmt::Debug + Send + Sync {
    /// What is kept under `name`, if it has `len` bytes.
    fn find(&self, name: &str, len: usize) -> Option<Bytes>;

    /// Keeps `parts`, one after the other, under `name`. What cannot be kept will be made again.
    fn keep(&self, name: &str, parts: &[&[u8]]);
}

/// Weights in the layouts that kernels want: forms of tensors ([`Tensor::form`]) that live as long as an executable holds them,
/// and are shared by all executables that are made of the same tensors.
#[derive(Clone, Debug, Default)]
pub struct Weights {
    release: Option<fn(&[u8])>,
    shelf: Option<Arc<dyn Shelf>>,
}

impl Weights {
    /// `release` is called with the bytes of the tensors that a form is made of, as they will not be read again soon.
    pub fn new(release: fn(&[u8])) -> Weights {
        Weights { release: Some(release), shelf: None }
    }

    /// Weights that are kept on `shelf` as well, where a device can.
    pub fn kept_on(self, shelf: Option<Arc<dyn Shelf>>) -> Weights {
        Weights { shelf, ..self }
    }

    /// Where they are kept from one process to the next.
    pub fn shelf(&self) -> Option<&dyn Shelf> {
        self.shelf.as_deref()
    }

    /// The elements of `tensor`, aligned.
    ///
    /// # Errors
    /// [`TensorError::Limit`].
    pub fn aligned<'a>(&self, tensor: &'a Tensor) -> Result<&'a Bytes, TensorError> {
        let aligned = tensor.aligned()?;
        if let Some(release) = self.release.filter(|_| aligned.as_ptr() != tensor.bytes().as_ptr()) {
            release(tensor.bytes());
        }
        Ok(aligned)
    }

    /// The form of `tensor` called `layout` that `pack` makes of it and of the tensors `with`.
    ///
    /// # Errors
    /// What `pack` says; [`Exceeded`] if the thread was to stop before it was through.
    pub fn get<T: Send + Sync + 'static, E: From<Exceeded>>(
        &self,
        tensor: &Tensor,
        layout: &str,
        with: &[&Tensor],
        pack: impl FnOnce() -> Result<T, E>,
    ) -> Result<Arc<T>, E> {
        tensor.form(layout, with, || {
            let made = pack()?;
            // What a gang did not finish is no form.
            bounds::check()?;
            if let Some(release) = self.release {
                with.iter().chain([&tensor]).for_each(|tensor| release(tensor.bytes()));
            }
            Ok(made)
        })
    }
}
