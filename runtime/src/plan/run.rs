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
    device: Vec<Arc<dyn DeviceTensor>>,
}

/// What each of the model's parameters holds.
pub(crate) type Params<'p> = &'p dyn Fn(usize) -> Option<&'p [u8]>;

impl Compiled {
    /// Memory for one run at a time.
    pub(crate) fn workspace(&self) -> Result<Workspace, Error> {
        Ok(Workspace {
            runs: self.stages.iter().map(|s| s.executable.clone().session()).collect(),
            host: self.host.iter().map(|&n| Buffer::new(n)).collect::<Result<_, _>>()?,
            device: self.device.iter().map(OnDevice::alloc).collect::<Result<_, _>>()?,
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
        for (i, planned) in self.results.iter().enumerate() {
            let Some(feed) = &planned.copy_of else { continue };
            // The target is taken out, so that the others can be read meanwhile.
            let mut target = std::mem::take(results.get_mut(i).ok_or_else(absent)?);
            let source = bytes(feed, inputs, params, &workspace.host, results);
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
        for (i, (stage, report)) in self.stages.iter().zip(&self.plan.stages).enumerate() {
            bounds::check()?;
            let nanos = nanos.as_mut().and_then(|nanos| nanos.split_off_mut(..report.steps.len()));
            match stage.device.own_memory() {
                None => workspace.on_host(i, stage, inputs, params, results, nanos)?,
                Some(memory) => workspace.on_device(i, stage, memory, inputs, params, results, nanos)?,
            }
        }
        Ok(workspace.runs.iter_mut().try_for_each(|run| run.wait())?)
    }
}

impl OnDevice {
    fn alloc(&self) -> Result<Arc<dyn DeviceTensor>, DeviceError> {
        let memory = self.device.own_memory().ok_or_else(absent_on_device)?;
        memory.alloc(&self.fact)
    }
}

impl Workspace {
    /// Runs stage `i` on a device that works in host memory.
    fn on_host(
        &mut self,
        i: usize,
        stage: &BuiltStage,
        inputs: &[&[u8]],
        params: Params<'_>,
        results: &mut [Buffer],
        nanos: Option<&mut [u64]>,
    ) -> Result<(), Error> {
        let Workspace { runs, host, .. } = self;
        let run = runs.get_mut(i).ok_or_else(absent)?;
        let mut written = taken(stage.ports.outs.iter().copied(), host, results);
        let ins = stage.ports.ins.iter().map(|f| Ok(Input::Host(bytes(f, inputs, params, host, results)?)));
        let done = ins.collect::<Result<SmallVec<[Input<'_>; 32]>, Error>>().and_then(|ins| {
            let outs = written.iter_mut().map(|buffer| Output::Host(buffer.bytes_mut()));
            Ok(run.run(&ins, &mut outs.collect::<SmallVec<[Output<'_>; 32]>>(), nanos)?)
        });
        put_back(stage.ports.outs.iter().copied(), written, host, results)?;
        done
    }

    /// Runs stage `i` on a device with memory of its own, and copies what goes there and what comes from there.
    #[expect(clippy::too_many_arguments, reason = "what a run has")]
    fn on_device(
        &mut self,
        i: usize,
        stage: &BuiltStage,
        memory: &dyn DeviceMemory,
        inputs: &[&[u8]],
        params: Params<'_>,
        results: &mut [Buffer],
        nanos: Option<&mut [u64]>,
    ) -> Result<(), Error> {
        let Workspace { runs, host, device } = self;
        let run = runs.get_mut(i).ok_or_else(absent)?;
        let tensor = |at: usize| device.get(at).map(AsRef::as_ref).ok_or_else(absent);
        let port = |target: &Target| if let Target::Device(at) = target { tensor(*at) } else { Err(absent()) };
        let uploads = stage.ports.uploads.iter();
        let uploads = uploads.map(|(feed, at)| Ok((bytes(feed, inputs, params, host, results)?, tensor(*at)?)));
        memory.upload(&uploads.collect::<Result<SmallVec<[_; 8]>, Error>>()?)?;
        let ins = stage.ports.ins.iter().map(|feed| match feed {
            Feed::Buffer(target) => Ok(Input::Device(port(target)?)),
            _ => Err(absent()),
        });
        let ins = ins.collect::<Result<SmallVec<[Input<'_>; 32]>, Error>>()?;
        let outs = stage.ports.outs.iter().map(|target| Ok(Output::Device(port(target)?)));
        run.run(&ins, &mut outs.collect::<Result<SmallVec<[Output<'_>; 32]>, Error>>()?, nanos)?;
        let downloads = &stage.ports.downloads;
        if downloads.is_empty() {
            return Ok(());
        }
        let targets = || downloads.iter().map(|(_, target)| *target);
        let mut written = taken(targets(), host, results);
        let pairs = downloads.iter().zip(&mut written).map(|((at, _), b)| Ok((tensor(*at)?, b.bytes_mut())));
        let done = pairs.collect::<Result<SmallVec<[_; 8]>, Error>>();
        let done = done.and_then(|mut pairs| Ok(memory.download(&mut pairs)?));
        put_back(targets(), written, host, results)?;
        done
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

fn absent_on_device() -> DeviceError {
    DeviceError::Step { path: "".into(), message: "an operand does not exist".into() }
}

fn bytes<'a, 'p: 'a>(
    feed: &'a Feed,
    inputs: &[&'a [u8]],
    params: Params<'p>,
    host: &'a [Buffer],
    results: &'a [Buffer],
) -> Result<&'a [u8], Error> {
    let found = match feed {
        Feed::Input(i) => inputs.get(*i).copied(),
        Feed::Param(p) => params(*p),
        Feed::Const(t) => Some(t.bytes().as_ref()),
        Feed::Buffer(Target::Host(i)) => host.get(*i).map(Buffer::bytes),
        Feed::Buffer(Target::Result(i)) => results.get(*i).map(Buffer::bytes),
        Feed::Buffer(Target::Device(_)) => None,
    };
    found.ok_or_else(absent)
}
