//! Buffers and bind groups of one run at a time.

use std::sync::Arc;
use std::sync::mpsc;
use std::time::{Duration, Instant};

use mindir_graph::Fact;
use wgpu::{
    BindGroup, BindGroupDescriptor, BindGroupEntry, BindingResource, Buffer, BufferBinding, BufferSize, BufferUsages,
    CommandEncoder, ComputePassDescriptor, ComputePassTimestampWrites, MapMode, PollType, QuerySet, QuerySetDescriptor,
    QueryType, SubmissionIndex,
};

use super::dispatch::{Dispatch, Storage};
use super::executable::GpuExecutable;
use super::failed;
use crate::device::{DeviceError, Run};
use crate::launch::words;

/// How long a callback may take after the work is done.
const PATIENCE: Duration = Duration::from_secs(30);

/// Most dispatches that one query set can time.
const TIMED: usize = 2048;

pub(super) struct Session {
    executable: Arc<GpuExecutable>,
    /// Made by the first run.
    memory: Option<Memory>,
}

struct Memory {
    inputs: Vec<Buffer>,
    outputs: Vec<Buffer>,
    groups: Vec<BindGroup>,
    /// All outputs one after the other, for the host to read.
    staging: Buffer,
}

impl Session {
    pub(super) fn new(executable: Arc<GpuExecutable>) -> Session {
        Session { executable, memory: None }
    }

    fn memory(&mut self) -> Result<(&GpuExecutable, &Memory), DeviceError> {
        if self.memory.is_none() {
            let made = self.executable.gpu.guarded(|| Memory::new(&self.executable)).map_err(failed)?;
            self.memory = Some(made?);
        }
        let memory = self.memory.as_ref().ok_or_else(|| failed("no memory"))?;
        Ok((&self.executable, memory))
    }
}

impl Run for Session {
    fn run(&mut self, ins: &[&[u8]], outs: &mut [&mut [u8]]) -> Result<(), DeviceError> {
        let (executable, memory) = self.memory()?;
        check("input", &executable.inputs, ins.iter().map(|b| b.len()))?;
        check("output", &executable.outputs, outs.iter().map(|b| b.len()))?;
        let submitted = submit(executable, memory, ins, |encoder| {
            let mut pass = encoder.begin_compute_pass(&ComputePassDescriptor::default());
            for (dispatch, group) in executable.dispatches.iter().zip(&memory.groups) {
                record(&mut pass, dispatch, group);
            }
        })?;
        receive(executable, memory, submitted, outs)
    }

    fn profile(&mut self, ins: &[&[u8]], outs: &mut [&mut [u8]], nanos: &mut [u64]) -> Result<(), DeviceError> {
        let start = Instant::now();
        let (executable, memory) = self.memory()?;
        let steps = executable.dispatches.last().map_or(0, |d| d.step + 1);
        let Some(tick) = executable.gpu.tick.filter(|_| steps <= nanos.len()) else {
            self.run(ins, outs)?;
            if let Some(last) = nanos.last_mut() {
                *last += u64::try_from(start.elapsed().as_nanos()).unwrap_or(u64::MAX);
            }
            return Ok(());
        };
        check("input", &executable.inputs, ins.iter().map(|b| b.len()))?;
        check("output", &executable.outputs, outs.iter().map(|b| b.len()))?;
        let clock = executable.gpu.guarded(|| Clock::new(executable)).map_err(failed)?;
        let submitted = submit(executable, memory, ins, |encoder| {
            for (i, (dispatch, group)) in executable.dispatches.iter().zip(&memory.groups).enumerate() {
                let timestamps = Some(clock.around(i));
                let mut pass =
                    encoder.begin_compute_pass(&ComputePassDescriptor { label: None, timestamp_writes: timestamps });
                record(&mut pass, dispatch, group);
            }
            clock.resolve(encoder);
        })?;
        receive(executable, memory, submitted.clone(), outs)?;
        clock.read(executable, submitted, tick, nanos)
    }
}

fn check(what: &str, facts: &[Fact], lengths: impl ExactSizeIterator<Item = usize>) -> Result<(), DeviceError> {
    if facts.len() != lengths.len() {
        return Err(failed(format!("{} {what}s, expected {}", lengths.len(), facts.len())));
    }
    for (i, (fact, found)) in facts.iter().zip(lengths).enumerate() {
        if fact.bytes() != found {
            return Err(failed(format!("{what} {i} has {found} bytes, {fact} needs {}", fact.bytes())));
        }
    }
    Ok(())
}

/// Uploads the inputs, records `work` and the copies to the staging buffer, and hands everything to the device.
fn submit(
    executable: &GpuExecutable,
    memory: &Memory,
    ins: &[&[u8]],
    work: impl FnOnce(&mut CommandEncoder),
) -> Result<SubmissionIndex, DeviceError> {
    let gpu = &executable.gpu;
    let submitted = gpu.guarded(|| {
        for ((bytes, fact), buffer) in ins.iter().zip(&executable.inputs).zip(&memory.inputs) {
            if !bytes.is_empty() {
                gpu.queue.write_buffer(buffer, 0, &words::widen(fact.dtype, bytes));
            }
        }
        let mut encoder = gpu.device.create_command_encoder(&Default::default());
        work(&mut encoder);
        let mut start = 0;
        for (fact, buffer) in executable.outputs.iter().zip(&memory.outputs) {
            let size = words::size(fact);
            if size > 0 {
                encoder.copy_buffer_to_buffer(buffer, 0, &memory.staging, start, size);
            }
            start += size;
        }
        gpu.queue.submit([encoder.finish()])
    });
    submitted.map_err(failed)
}

/// Waits for the submission and reads the outputs.
fn receive(
    executable: &GpuExecutable,
    memory: &Memory,
    submitted: SubmissionIndex,
    outs: &mut [&mut [u8]],
) -> Result<(), DeviceError> {
    let total: u64 = executable.outputs.iter().map(words::size).sum();
    mapped(executable, &memory.staging, total, submitted, |bytes| {
        let mut rest = bytes;
        for (fact, out) in executable.outputs.iter().zip(outs) {
            let (words, others) = rest.split_at(words::size(fact) as usize);
            words::narrow(fact.dtype, words, out);
            rest = others;
        }
    })
}

/// Waits for the submission and shows `read` the first bytes of `buffer`.
fn mapped(
    executable: &GpuExecutable,
    buffer: &Buffer,
    bytes: u64,
    submitted: SubmissionIndex,
    read: impl FnOnce(&[u8]),
) -> Result<(), DeviceError> {
    let gpu = &executable.gpu;
    let wait = PollType::Wait { submission_index: Some(submitted), timeout: None };
    if bytes == 0 {
        return gpu.device.poll(wait).map(|_| ()).map_err(|e| failed(e.to_string()));
    }
    let (sender, receiver) = mpsc::channel();
    let done = move |result| {
        // The receiver is gone only if polling failed, which is reported already.
        let _ = sender.send(result);
    };
    gpu.guarded(|| buffer.map_async(MapMode::Read, 0..bytes, done)).map_err(failed)?;
    gpu.guarded(|| gpu.device.poll(wait)).map_err(failed)?.map_err(|e| failed(e.to_string()))?;
    // Another thread that polls may have taken over the callback and be about to call it.
    let result = receiver.recv_timeout(PATIENCE).map_err(|_| failed("the outputs were not mapped"))?;
    result.map_err(|e| failed(e.to_string()))?;
    let outcome = buffer.get_mapped_range(0..bytes).map(|view| read(&view)).map_err(|e| failed(e.to_string()));
    buffer.unmap();
    outcome
}

fn record(pass: &mut wgpu::ComputePass<'_>, dispatch: &Dispatch, group: &BindGroup) {
    let [x, y, z] = dispatch.grid;
    pass.set_pipeline(&dispatch.pipeline.pipeline);
    pass.set_bind_group(0, group, &[]);
    pass.dispatch_workgroups(x, y, z);
}

impl Memory {
    fn new(executable: &GpuExecutable) -> Result<Memory, DeviceError> {
        let gpu = &executable.gpu;
        let storage = BufferUsages::STORAGE;
        let make = |facts: &[Fact], usage| facts.iter().map(|f| gpu.buffer(words::size(f), usage)).collect::<Vec<_>>();
        let slots: Vec<Buffer> = executable.slots.iter().map(|&bytes| gpu.buffer(bytes, storage)).collect();
        let inputs = make(&executable.inputs, storage | BufferUsages::COPY_DST);
        let outputs = make(&executable.outputs, storage | BufferUsages::COPY_SRC);
        let total = executable.outputs.iter().map(words::size).sum();
        let staging = gpu.buffer(total, BufferUsages::MAP_READ | BufferUsages::COPY_DST);
        let mut groups = Vec::new();
        for dispatch in &executable.dispatches {
            let found = |s: &Storage| match s {
                Storage::Slot(i) => slots.get(*i).cloned(),
                Storage::Input(i) => inputs.get(*i).cloned(),
                Storage::Output(i) => outputs.get(*i).cloned(),
                Storage::Const(b) => Some(b.clone()),
            };
            let buffers: Option<Vec<(Buffer, u64)>> =
                dispatch.bound.iter().map(|(s, bytes)| Some((found(s)?, *bytes))).collect();
            let buffers = buffers.ok_or_else(|| failed("a step names a place that the stage lacks"))?;
            groups.push(group(executable, dispatch, &buffers));
        }
        Ok(Memory { inputs, outputs, groups, staging })
    }
}

fn group(executable: &GpuExecutable, dispatch: &Dispatch, buffers: &[(Buffer, u64)]) -> BindGroup {
    let (offset, size) = dispatch.params;
    let resource =
        |buffer, offset, size| BindingResource::Buffer(BufferBinding { buffer, offset, size: BufferSize::new(size) });
    let params = BindGroupEntry { binding: 0, resource: resource(&executable.params, offset, size) };
    let storage = buffers
        .iter()
        .enumerate()
        .map(|(i, (buffer, size))| BindGroupEntry { binding: i as u32 + 1, resource: resource(buffer, 0, *size) });
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
        mapped(executable, &self.staging, 16 * self.dispatches as u64, submitted, |bytes| {
            let stamps: Vec<u64> = bytes.chunks_exact(8).map(bytemuck::pod_read_unaligned).collect();
            for (dispatch, pair) in executable.dispatches.iter().zip(stamps.chunks_exact(2)) {
                nanos[dispatch.step] += (pair[1].saturating_sub(pair[0]) as f64 * f64::from(tick)) as u64;
            }
        })
    }
}
