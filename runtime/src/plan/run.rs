//! Running a plan.

use std::sync::Arc;

use mindir_graph::{Buffer, Tensor, aligned_copy, bounds};
use mindir_kernels::device::{DeviceError, DeviceMemory, DeviceTensor, Input, Output, Run};
use smallvec::SmallVec;

use super::{BuiltStage, Compiled, Feed, OnDevice, Returned, Target};
use crate::Error;
use crate::held::SpareBuffers;

/// One thread's memory for a [`Compiled`].
pub(crate) struct Workspace {
    runs: Vec<Box<dyn Run>>,
    host: Vec<Buffer>,
    pub(super) resident: Vec<Resident>,
}

/// A tensor in a device's memory.
pub(crate) struct Resident {
    pub tensor: Arc<dyn DeviceTensor>,
    /// Whether it holds an input already, so that nothing is copied to it.
    pub given: bool,
    /// Whether it is not copied to host memory.
    pub kept: bool,
}

/// What each of the model's parameters holds.
pub(crate) type Params<'p> = &'p dyn Fn(usize) -> Option<&'p [u8]>;

/// What a run is given.
#[derive(Clone, Copy)]
struct Given<'a, 'p> {
    inputs: &'a [&'a [u8]],
    params: Params<'p>,
}

impl Compiled {
    /// Memory for one run at a time.
    pub(crate) fn workspace(&self) -> Result<Workspace, Error> {
        Ok(Workspace {
            runs: self.stages.iter().map(|s| s.executable.clone().session()).collect(),
            host: self.host.iter().map(|&n| Buffer::new(n)).collect::<Result<_, _>>()?,
            resident: self.device.iter().map(Resident::new).collect::<Result<_, _>>()?,
        })
    }

    /// A buffer for every result.
    pub(crate) fn buffers(&self) -> Result<Vec<Buffer>, Error> {
        Ok(self.results.iter().map(|r| Buffer::new(r.fact.bytes())).collect::<Result<_, _>>()?)
    }

    /// Runs the plan for values, which go with it unless somebody shares them or they are results. With `nanos`, adds the time
    /// of every step.
    pub(crate) fn tensors(
        &self,
        workspace: &mut Workspace,
        entries: Vec<Tensor>,
        params: &mut [Tensor],
        spare: &mut SpareBuffers,
        nanos: Option<&mut [u64]>,
    ) -> Result<Vec<Tensor>, Error> {
        let mut entries: Vec<Option<Tensor>> = entries.into_iter().map(Some).collect();
        let buffers = self.results.iter().map(|r| r.buffer(&mut entries, spare));
        let mut buffers: Vec<Buffer> = buffers.collect::<Result<_, _>>()?;
        {
            let mut inputs: SmallVec<[&[u8]; 32]> = SmallVec::with_capacity(entries.len());
            for entry in &entries {
                inputs.push(entry.as_ref().map_or(Ok(&[][..]), |t| t.aligned().map(AsRef::as_ref))?);
            }
            let params = &*params;
            let held = |p: usize| params.get(p).map(|t: &Tensor| t.bytes().as_ref());
            self.run(workspace, &inputs, &held, &mut buffers, nanos)?;
        }
        let mut tensors: Vec<Tensor> = Vec::with_capacity(buffers.len());
        for (r, buffer) in self.results.iter().zip(buffers) {
            let same = match &r.copy_of {
                None => None,
                Some(Feed::Input(i)) => entries.get(*i).and_then(Option::as_ref),
                Some(Feed::Param(p)) => params.get(*p),
                Some(Feed::Const(t)) => Some(t),
                Some(Feed::Buffer(Target::Result(i))) => tensors.get(*i),
                Some(Feed::Buffer(Target::Device(_))) => return Err(absent()),
                Some(Feed::Buffer(Target::Host(i))) => {
                    let buffer = workspace.host.get(*i).ok_or_else(absent)?;
                    let bytes = aligned_copy(buffer.bytes())?;
                    tensors.push(Tensor::from_bytes(r.fact.dtype, &r.fact.shape, bytes)?);
                    continue;
                }
            };
            tensors.push(match same {
                Some(t) if t.shape() == r.fact.shape.as_slice() => t.clone(),
                Some(t) => t.reshape(&r.fact.shape)?,
                None => Tensor::from_buffer(r.fact.dtype, &r.fact.shape, buffer)?,
            });
        }
        for (p, i) in &self.writes {
            let (param, tensor) = params.get_mut(*p).zip(tensors.get(*i)).ok_or_else(absent)?;
            *param = tensor.clone();
        }
        tensors.truncate(self.outputs.len());
        spare.keep(entries.into_iter().flatten());
        Ok(tensors)
    }

    /// Gives results that are the same as something else its contents, after [`Compiled::run`].
    pub(crate) fn copy(
        &self,
        workspace: &Workspace,
        inputs: &[&[u8]],
        params: Params<'_>,
        results: &mut [Buffer],
    ) -> Result<(), Error> {
        let given = Given { inputs, params };
        for (i, planned) in self.results.iter().enumerate() {
            let Some(feed) = &planned.copy_of else { continue };
            // The target is taken out, so that the others can be read meanwhile.
            let mut target = std::mem::take(results.get_mut(i).ok_or_else(absent)?);
            let source = bytes(feed, given, &workspace.host, results);
            let copied = source.and_then(|source| Ok(target.copy_from(source)?));
            *results.get_mut(i).ok_or_else(absent)? = target;
            copied?;
        }
        Ok(())
    }

    /// Runs all stages. `results` are as [`Compiled::buffers`] makes them; those that are the same as something else are left alone.
    /// A result that takes over an input starts with what that holds, and must hold it already if the input is empty. With
    /// `nanos`, adds the time of every step.
    pub(crate) fn run(
        &self,
        workspace: &mut Workspace,
        inputs: &[&[u8]],
        params: Params<'_>,
        results: &mut [Buffer],
        mut nanos: Option<&mut [u64]>,
    ) -> Result<(), Error> {
        for (r, result) in self.results.iter().zip(&mut *results) {
            let Some(over) = r.over else { continue };
            let input = inputs.get(over).ok_or_else(absent)?;
            if !input.is_empty() {
                result.copy_from(input)?;
            }
        }
        let given = Given { inputs, params };
        for (i, (stage, report)) in self.stages.iter().zip(&self.plan.stages).enumerate() {
            bounds::check()?;
            let nanos = nanos.as_mut().and_then(|nanos| nanos.split_off_mut(..report.steps.len()));
            match stage.device.own_memory() {
                None => workspace.on_host(i, stage, given, results, nanos)?,
                Some(memory) => {
                    workspace.upload(stage, memory, given, results)?;
                    workspace.on_device(i, stage, nanos)?;
                    workspace.download(stage, memory, results)?;
                }
            }
        }
        Ok(workspace.runs.iter_mut().try_for_each(|run| run.wait())?)
    }
}

impl Resident {
    fn new(planned: &OnDevice) -> Result<Resident, DeviceError> {
        Ok(Resident { tensor: planned.alloc()?, given: false, kept: false })
    }
}

impl OnDevice {
    pub(super) fn alloc(&self) -> Result<Arc<dyn DeviceTensor>, DeviceError> {
        let memory = self.device.own_memory().ok_or_else(absent_on_device)?;
        memory.alloc(&self.fact)
    }
}

impl Workspace {
    /// Tensor `at` in a device's memory.
    pub(crate) fn resident(&mut self, at: usize) -> Option<&mut Resident> {
        self.resident.get_mut(at)
    }

    /// Whether tensor `at` is not copied to host memory.
    pub(crate) fn is_kept(&self, at: usize) -> bool {
        self.resident.get(at).is_some_and(|resident| resident.kept)
    }

    /// Lets two tensors change places.
    pub(crate) fn exchange(&mut self, a: usize, b: usize) {
        if let Ok([a, b]) = self.resident.get_disjoint_mut([a, b]) {
            std::mem::swap(&mut a.tensor, &mut b.tensor);
        }
    }

    /// Runs stage `i` on a device that works in host memory.
    fn on_host(
        &mut self,
        i: usize,
        stage: &BuiltStage,
        given: Given<'_, '_>,
        results: &mut [Buffer],
        nanos: Option<&mut [u64]>,
    ) -> Result<(), Error> {
        let Workspace { runs, host, .. } = self;
        let run = runs.get_mut(i).ok_or_else(absent)?;
        let mut written = taken(stage.ports.outs.iter().copied(), host, results);
        let ins = stage.ports.ins.iter().map(|f| Ok(Input::Host(bytes(f, given, host, results)?)));
        let done = ins.collect::<Result<SmallVec<[Input<'_>; 32]>, Error>>().and_then(|ins| {
            let outs = written.iter_mut().map(|buffer| Output::Host(buffer.bytes_mut()));
            Ok(run.run(&ins, &mut outs.collect::<SmallVec<[Output<'_>; 32]>>(), nanos)?)
        });
        put_back(stage.ports.outs.iter().copied(), written, host, results)?;
        done
    }

    /// Runs stage `i` on a device with memory of its own.
    fn on_device(&mut self, i: usize, stage: &BuiltStage, nanos: Option<&mut [u64]>) -> Result<(), Error> {
        let Workspace { runs, resident, .. } = self;
        let port = |target: &Target| match target {
            Target::Device(at) => resident.get(*at).map(|resident| resident.tensor.as_ref()).ok_or_else(absent),
            _ => Err(absent()),
        };
        let ins = stage.ports.ins.iter().map(|feed| match feed {
            Feed::Buffer(target) => Ok(Input::Device(port(target)?)),
            _ => Err(absent()),
        });
        let outs = stage.ports.outs.iter().map(|target| Ok(Output::Device(port(target)?)));
        let ins = ins.collect::<Result<SmallVec<[Input<'_>; 32]>, Error>>()?;
        let mut outs = outs.collect::<Result<SmallVec<[Output<'_>; 32]>, Error>>()?;
        Ok(runs.get_mut(i).ok_or_else(absent)?.run(&ins, &mut outs, nanos)?)
    }

    /// Copies to the device what a stage reads there.
    fn upload(
        &self,
        stage: &BuiltStage,
        memory: &dyn DeviceMemory,
        given: Given<'_, '_>,
        results: &[Buffer],
    ) -> Result<(), Error> {
        let mut transfers: SmallVec<[(&[u8], &dyn DeviceTensor); 8]> = SmallVec::new();
        for (feed, at) in &stage.ports.uploads {
            let resident = self.resident.get(*at).ok_or_else(absent)?;
            if !resident.given {
                transfers.push((bytes(feed, given, &self.host, results)?, resident.tensor.as_ref()));
            }
        }
        if transfers.is_empty() { Ok(()) } else { Ok(memory.upload(&transfers)?) }
    }

    /// Copies from the device what a stage has written there and somebody reads here.
    fn download(&mut self, stage: &BuiltStage, memory: &dyn DeviceMemory, results: &mut [Buffer]) -> Result<(), Error> {
        let Workspace { host, resident, .. } = self;
        let wanted = |at: &usize| resident.get(*at).filter(|resident| !resident.kept);
        let downloads = stage.ports.downloads.iter();
        let downloads: SmallVec<[(&dyn DeviceTensor, Target); 8]> =
            downloads.filter_map(|(at, target)| Some((wanted(at)?.tensor.as_ref(), *target))).collect();
        let targets = || downloads.iter().map(|(_, target)| *target);
        let mut written = taken(targets(), host, results);
        let pairs = downloads.iter().zip(&mut written).map(|((tensor, _), buffer)| (*tensor, buffer.bytes_mut()));
        let mut pairs: SmallVec<[(&dyn DeviceTensor, &mut [u8]); 8]> = pairs.collect();
        let done = if pairs.is_empty() { Ok(()) } else { memory.download(&mut pairs) };
        drop(pairs);
        put_back(targets(), written, host, results)?;
        Ok(done?)
    }
}

/// Takes buffers out, so that the rest can be read meanwhile.
fn taken(targets: impl Iterator<Item = Target>, host: &mut [Buffer], results: &mut [Buffer]) -> SmallVec<[Buffer; 8]> {
    targets.filter_map(|t| at(t, host, results).map(std::mem::take)).collect()
}

/// Puts buffers back that were taken out.
fn put_back(
    targets: impl Iterator<Item = Target>,
    buffers: SmallVec<[Buffer; 8]>,
    host: &mut [Buffer],
    results: &mut [Buffer],
) -> Result<(), Error> {
    for (target, buffer) in targets.zip(buffers) {
        *at(target, host, results).ok_or_else(absent)? = buffer;
    }
    Ok(())
}

impl Returned {
    /// The buffer to compute the result in: that of the value it takes over, if nobody shares it.
    fn buffer(&self, entries: &mut [Option<Tensor>], spare: &mut SpareBuffers) -> Result<Buffer, Error> {
        if self.copy_of.is_some() {
            return Ok(Buffer::default());
        }
        if let Some(entry) = self.over.and_then(|i| entries.get_mut(i))
            && let Some(t) = entry.take()
        {
            match t.into_buffer() {
                Ok(buffer) => return Ok(buffer),
                Err(shared) => *entry = Some(shared),
            }
        }
        spare.take(self.fact.bytes())
    }
}

fn at<'a>(t: Target, host: &'a mut [Buffer], results: &'a mut [Buffer]) -> Option<&'a mut Buffer> {
    match t {
        Target::Host(i) => host.get_mut(i),
        Target::Result(i) => results.get_mut(i),
        Target::Device(_) => None,
    }
}

/// A plan reads something else than the run has.
fn absent() -> Error {
    absent_on_device().into()
}

pub(super) fn absent_on_device() -> DeviceError {
    DeviceError::Step { path: "".into(), message: "an operand does not exist".into() }
}

fn bytes<'a, 'p: 'a>(
    feed: &'a Feed,
    given: Given<'a, 'p>,
    host: &'a [Buffer],
    results: &'a [Buffer],
) -> Result<&'a [u8], Error> {
    let found = match feed {
        Feed::Input(i) => given.inputs.get(*i).copied(),
        Feed::Param(p) => (given.params)(*p),
        Feed::Const(t) => Some(t.bytes().as_ref()),
        Feed::Buffer(Target::Host(i)) => host.get(*i).map(Buffer::bytes),
        Feed::Buffer(Target::Result(i)) => results.get(*i).map(Buffer::bytes),
        Feed::Buffer(Target::Device(_)) => None,
    };
    found.ok_or_else(absent)
}
