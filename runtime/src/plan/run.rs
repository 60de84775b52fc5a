//! Running a plan.

use mindir_graph::{Buffer, Tensor, aligned_copy, bounds};
use mindir_kernels::device::{DeviceError, Run};
use smallvec::SmallVec;

use super::{Compiled, Feed, Returned, Target};
use crate::Error;
use crate::held::SpareBuffers;

/// One thread's memory for a [`Compiled`].
pub(crate) struct Workspace {
    runs: Vec<Box<dyn Run>>,
    host: Vec<Buffer>,
}

/// What each of the model's parameters holds.
pub(crate) type Params<'p> = &'p dyn Fn(usize) -> Option<&'p [u8]>;

impl Compiled {
    /// Memory for one run at a time.
    pub(crate) fn workspace(&self) -> Result<Workspace, Error> {
        Ok(Workspace {
            runs: self.stages.iter().map(|s| s.executable.clone().session()).collect(),
            host: self.host.iter().map(|&n| Buffer::new(n)).collect::<Result<_, _>>()?,
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
        for ((stage, report), run) in self.stages.iter().zip(&self.plan.stages).zip(&mut workspace.runs) {
            bounds::check()?;
            // What the stage writes is taken out, so that the rest can be read meanwhile.
            let mut written: SmallVec<[Buffer; 8]> =
                stage.outs.iter().filter_map(|t| at(*t, &mut workspace.host, results).map(std::mem::take)).collect();
            let ins = stage.ins.iter().map(|f| bytes(f, inputs, params, &workspace.host, results));
            let done = ins.collect::<Result<SmallVec<[&[u8]; 32]>, Error>>().and_then(|ins| {
                let mut outs: SmallVec<[&mut [u8]; 32]> = written.iter_mut().map(Buffer::bytes_mut).collect();
                match nanos.as_mut().and_then(|nanos| nanos.split_off_mut(..report.steps.len())) {
                    Some(nanos) => Ok(run.profile(&ins, &mut outs, nanos)?),
                    None => Ok(run.run(&ins, &mut outs)?),
                }
            });
            for (t, b) in stage.outs.iter().zip(written.drain(..)) {
                *at(*t, &mut workspace.host, results).ok_or_else(absent)? = b;
            }
            done?;
        }
        Ok(())
    }
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
    }
}

/// A plan reads something else than the run has.
fn absent() -> Error {
    DeviceError::Step { path: "".into(), message: "an operand does not exist".into() }.into()
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
    };
    found.ok_or_else(absent)
}
