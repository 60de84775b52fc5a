//! Buffers and bind groups of one run at a time.

use std::sync::Arc;
use std::time::Instant;

use mindir_graph::bounds::{self, Reservation};
use wgpu::{
    BindGroup, BindGroupDescriptor, BindGroupEntry, BindingResource, Buffer, BufferBinding, BufferSize, BufferUsages,
    CommandEncoder, ComputePassDescriptor, ComputePassTimestampWrites, PollType, QuerySet, QuerySetDescriptor,
    QueryType, SubmissionIndex,
};

use super::dispatch::{Dispatch, Storage};
use super::executable::GpuExecutable;
use super::{NAME, failed};
use crate::device::{self, DeviceError, Input, Output, Run};
use crate::launch::{self, STATUS};

/// Most dispatches that one query set can time.
const TIMED: usize = 2048;

pub(super) struct Session {
    executable: Arc<GpuExecutable>,
    /// Made by the first run.
    memory: Option<Memory>,
    /// What the last runs bound, the last used last.
    bindings: Vec<Bindings>,
    /// The last run, until it is waited for; statuses hold what went wrong in it and those before it.
    submitted: Option<SubmissionIndex>,
}

struct Memory {
    /// Buffers of the slots.
    slots: Vec<Buffer>,
    /// The statuses of all steps that have one, for the host to read.
    statuses: Buffer,
    _held: Reservation,
}

/// Bind groups of all dispatches for the buffers of the inputs and outputs.
struct Bindings {
    ports: Vec<Buffer>,
    groups: Vec<BindGroup>,
}

/// Most bindings that a session keeps: two for values that change places between runs, and some more.
const BINDINGS: usize = 4;

impl Session {
    pub(super) fn new(executable: Arc<GpuExecutable>) -> Session {
        Session { executable, memory: None, bindings: Vec::new(), submitted: None }
    }

    /// Brings the bindings for `ports` to the end of the list.
    fn bind(&mut self, ports: Vec<Buffer>) -> Result<(&Memory, &Bindings), DeviceError> {
        let found = self.bindings.iter().position(|b| b.ports == ports);
        let bindings = match found {
            Some(at) => self.bindings.remove(at),
            None => self.make(ports)?,
        };
        if self.bindings.len() == BINDINGS {
            self.bindings.remove(0);
        }
        self.bindings.push(bindings);
        self.memory.as_ref().zip(self.bindings.last()).ok_or_else(|| failed("nothing is bound"))
    }

    fn make(&mut self, ports: Vec<Buffer>) -> Result<Bindings, DeviceError> {
        let executable = &self.executable;
        let memory = match &self.memory {
            Some(memory) => memory,
            None => self.memory.insert(Memory::new(executable)?),
        };
        let groups = executable.gpu.guarded(|| groups(executable, &memory.slots, &ports)).map_err(failed)??;
        Ok(Bindings { ports, groups })
    }

    /// The buffers of inputs and outputs, in order.
    fn ports(&self, ins: &[Input<'_>], outs: &[Output<'_>]) -> Result<Vec<Buffer>, DeviceError> {
        let GpuExecutable { gpu, inputs, outputs, .. } = &*self.executable;
        let tensors = device::ports(NAME, (inputs, outputs), ins, outs)?;
        tensors.into_iter().map(|tensor| Ok(gpu.own(tensor)?.buffer().clone())).collect()
    }
}

impl Memory {
    fn new(executable: &GpuExecutable) -> Result<Memory, DeviceError> {
        let gpu = &executable.gpu;
        let statuses = STATUS * executable.watched.len() as u64;
        let bytes = executable.slots.iter().sum::<u64>() + statuses;
        let held = bounds::reserve(usize::try_from(bytes).unwrap_or(usize::MAX))?;
        let made = gpu.guarded(|| {
            let usage = BufferUsages::STORAGE | BufferUsages::COPY_SRC | BufferUsages::COPY_DST;
            Memory {
                slots: executable.slots.iter().map(|&bytes| gpu.buffer(bytes, usage)).collect(),
                statuses: gpu.buffer(statuses, BufferUsages::MAP_READ | BufferUsages::COPY_DST),
                _held: held,
            }
        });
        made.map_err(|message| DeviceError::Memory { device: NAME.into(), bytes, message })
    }

    /// The buffers of statuses, in order.
    fn watched<'a>(&'a self, executable: &'a GpuExecutable) -> impl Iterator<Item = &'a Buffer> {
        executable.watched.iter().filter_map(|watched| self.slots.get(watched.slot))
    }
}

impl Run for Session {
    fn run(
        &mut self,
        ins: &[Input<'_>],
        outs: &mut [Output<'_>],
        nanos: Option<&mut [u64]>,
    ) -> Result<(), DeviceError> {
        let start = Instant::now();
        let executable = self.executable.clone();
        let ports = self.ports(ins, outs)?;
        let first = self.submitted.is_none();
        let (memory, bound) = self.bind(ports)?;
        let groups = &bound.groups;
        let steps = executable.dispatches.last().map_or(0, |d| d.step + 1);
        let timed = nanos.as_ref().is_some_and(|nanos| steps <= nanos.len());
        let submitted = match executable.gpu.tick.filter(|_| timed) {
            Some(tick) => {
                let clock = executable.gpu.guarded(|| Clock::new(&executable)).map_err(failed)?;
                let submitted =
                    submit(&executable, memory, first, |encoder| clock.record(encoder, &executable, groups))?;
                clock.read(&executable, submitted.clone(), tick, nanos.unwrap_or_default())?;
                submitted
            }
            None => {
                let submitted = submit(&executable, memory, first, |encoder| all(encoder, &executable, groups))?;
                if let Some(last) = nanos.and_then(|nanos| nanos.last_mut()) {
                    let wait = PollType::Wait { submission_index: Some(submitted.clone()), timeout: None };
                    executable.gpu.device.poll(wait).map_err(|e| failed(e.to_string()))?;
                    *last += u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX);
                }
                submitted
            }
        };
        self.submitted = Some(submitted);
        Ok(())
    }

    fn wait(&mut self) -> Result<(), DeviceError> {
        let (Some(submitted), Some(memory)) = (self.submitted.take(), &self.memory) else { return Ok(()) };
        let watched = &self.executable.watched;
        if watched.is_empty() {
            return Ok(());
        }
        let mut found = None;
        self.executable.gpu.mapped(&memory.statuses, STATUS * watched.len() as u64, submitted, |bytes| {
            let mut steps = watched.iter().zip(bytes.chunks_exact(STATUS as usize));
            found = steps.find_map(|(step, status)| {
                let message = launch::trouble(&step.task, status)?;
                Some(DeviceError::Step { path: step.path.clone(), message })
            });
        })?;
        found.map_or(Ok(()), Err)
    }
}

/// Records `work` and hands it to the device. Statuses start as 0 in the first run that will be waited for.
fn submit(
    executable: &GpuExecutable,
    memory: &Memory,
    first: bool,
    work: impl FnOnce(&mut CommandEncoder),
) -> Result<SubmissionIndex, DeviceError> {
    let gpu = &executable.gpu;
    let submitted = gpu.guarded(|| {
        let mut encoder = gpu.device.create_command_encoder(&Default::default());
        memory.watched(executable).filter(|_| first).for_each(|status| encoder.clear_buffer(status, 0, None));
        work(&mut encoder);
        for (i, status) in (0..).zip(memory.watched(executable)) {
            encoder.copy_buffer_to_buffer(status, 0, &memory.statuses, STATUS * i, STATUS);
        }
        gpu.queue.submit([encoder.finish()])
    });
    submitted.map_err(failed)
}

/// All dispatches in one pass.
fn all(encoder: &mut CommandEncoder, executable: &GpuExecutable, groups: &[BindGroup]) {
    let mut pass = encoder.begin_compute_pass(&ComputePassDescriptor::default());
    for (dispatch, group) in executable.dispatches.iter().zip(groups) {
        record(&mut pass, dispatch, group);
    }
}

fn record(pass: &mut wgpu::ComputePass<'_>, dispatch: &Dispatch, group: &BindGroup) {
    let [x, y, z] = dispatch.grid;
    pass.set_pipeline(&dispatch.pipeline.pipeline);
    pass.set_bind_group(0, group, &[]);
    pass.dispatch_workgroups(x, y, z);
}

/// The bind groups of all dispatches for these buffers of slots, and of inputs and outputs.
fn groups(executable: &GpuExecutable, slots: &[Buffer], ports: &[Buffer]) -> Result<Vec<BindGroup>, DeviceError> {
    let found = |s: &Storage| match s {
        Storage::Slot(i) => slots.get(*i).cloned(),
        Storage::Input(i) => ports.get(*i).filter(|_| *i < executable.inputs.len()).cloned(),
        Storage::Output(i) => ports.get(executable.inputs.len() + *i).cloned(),
        Storage::Const(b) => Some(b.clone()),
    };
    let made = |dispatch: &Dispatch| {
        let buffers: Option<Vec<(Buffer, (u64, u64))>> =
            dispatch.bound.iter().map(|(s, window)| Some((found(s)?, *window))).collect();
        let buffers = buffers.ok_or_else(|| failed("a step names a place that the stage lacks"))?;
        Ok(group(executable, dispatch, &buffers))
    };
    executable.dispatches.iter().map(made).collect()
}

fn group(executable: &GpuExecutable, dispatch: &Dispatch, buffers: &[(Buffer, (u64, u64))]) -> BindGroup {
    let (offset, size) = dispatch.params;
    let resource =
        |buffer, offset, size| BindingResource::Buffer(BufferBinding { buffer, offset, size: BufferSize::new(size) });
    let params = BindGroupEntry { binding: 0, resource: resource(&executable.params, offset, size) };
    let storage = buffers.iter().enumerate().map(|(i, (buffer, (start, bytes)))| BindGroupEntry {
        binding: i as u32 + 1,
        resource: resource(buffer, *start, *bytes),
    });
    let entries: Vec<BindGroupEntry<'_>> = std::iter::once(params).chain(storage).collect();
    let layout = &dispatch.pipeline.layout;
    executable.gpu.device.create_bind_group(&BindGroupDescriptor { label: None, layout, entries: &entries })
}

/// Time stamps before and after each dispatch.
struct Clock {
    sets: Vec<QuerySet>,
    stamps: Buffer,
    staging: Buffer,
    dispatches: usize,
}

impl Clock {
    fn new(executable: &GpuExecutable) -> Clock {
        let gpu = &executable.gpu;
        let dispatches = executable.dispatches.len();
        let sets = (0..dispatches).step_by(TIMED).map(|first| {
            let count = 2 * TIMED.min(dispatches - first) as u32;
            gpu.device.create_query_set(&QuerySetDescriptor { label: None, ty: QueryType::Timestamp, count })
        });
        let bytes = 16 * dispatches as u64;
        Clock {
            sets: sets.collect(),
            stamps: gpu.buffer(bytes, BufferUsages::QUERY_RESOLVE | BufferUsages::COPY_SRC),
            staging: gpu.buffer(bytes, BufferUsages::MAP_READ | BufferUsages::COPY_DST),
            dispatches,
        }
    }

    /// A pass for each dispatch, with the time before and after it.
    fn record(&self, encoder: &mut CommandEncoder, executable: &GpuExecutable, groups: &[BindGroup]) {
        for (i, (dispatch, group)) in executable.dispatches.iter().zip(groups).enumerate() {
            let timestamp_writes = Some(self.around(i));
            let mut pass = encoder.begin_compute_pass(&ComputePassDescriptor { label: None, timestamp_writes });
            record(&mut pass, dispatch, group);
        }
        self.resolve(encoder);
    }

    fn around(&self, dispatch: usize) -> ComputePassTimestampWrites<'_> {
        let first = 2 * (dispatch % TIMED) as u32;
        ComputePassTimestampWrites {
            query_set: &self.sets[dispatch / TIMED],
            beginning_of_pass_write_index: Some(first),
            end_of_pass_write_index: Some(first + 1),
        }
    }

    fn resolve(&self, encoder: &mut CommandEncoder) {
        for (i, set) in self.sets.iter().enumerate() {
            let count = 2 * TIMED.min(self.dispatches - i * TIMED) as u32;
            encoder.resolve_query_set(set, 0..count, &self.stamps, (16 * TIMED * i) as u64);
        }
        if self.dispatches > 0 {
            encoder.copy_buffer_to_buffer(&self.stamps, 0, &self.staging, 0, 16 * self.dispatches as u64);
        }
    }

    /// Adds the time of each dispatch to that of its step.
    fn read(
        &self,
        executable: &GpuExecutable,
        submitted: SubmissionIndex,
        tick: f32,
        nanos: &mut [u64],
    ) -> Result<(), DeviceError> {
        executable.gpu.mapped(&self.staging, 16 * self.dispatches as u64, submitted, |bytes| {
            let stamps: Vec<u64> = bytes.chunks_exact(8).map(bytemuck::pod_read_unaligned).collect();
            for (dispatch, pair) in executable.dispatches.iter().zip(stamps.chunks_exact(2)) {
                nanos[dispatch.step] += (pair[1].saturating_sub(pair[0]) as f64 * f64::from(tick)) as u64;
            }
        })
    }
}
