//! Memory of one run at a time, and the launches of a stage as graphs.

use std::sync::Arc;

use cudarc::driver::sys::{CUdeviceptr, CUevent_flags, CUgraphInstantiate_flags, CUstreamCaptureMode};
use cudarc::driver::{CudaEvent, CudaGraph, CudaStream, DriverError, result};

use super::executable::{CudaExecutable, Room, Storage, What, Work, lacking};
use super::gpu::{Memory, lock, said};
use super::tensor::driver;
use super::{NAME, failed, failed_at};
use crate::device::{self, DeviceError, DeviceTensor, Input, Output, Run};
use crate::launch::{self, STATUS};

pub(super) struct Session {
    executable: Arc<CudaExecutable>,
    /// Made by the first run.
    memory: Option<Places>,
    /// What the last runs launched, the last used last.
    recorded: Vec<Recorded>,
    /// Whether runs were not waited for.
    running: bool,
}

struct Places {
    slots: Vec<Memory>,
    scratch: Vec<Memory>,
    /// What went wrong in each step that is watched.
    statuses: Memory,
}

/// All launches of a stage, for inputs and outputs at these addresses.
struct Recorded {
    ports: Vec<CUdeviceptr>,
    /// Nothing, if there is nothing to launch.
    graph: Option<CudaGraph>,
}

// SAFETY: the driver takes a graph from any thread, if not from two at a time; a session has it for itself.
unsafe impl Send for Recorded {}

/// Most graphs that a session keeps: two for values that change places between runs, and some more.
const GRAPHS: usize = 4;

impl Session {
    pub(super) fn new(executable: Arc<CudaExecutable>) -> Session {
        Session { executable, memory: None, recorded: Vec::new(), running: false }
    }

    /// The addresses of inputs and outputs, in order.
    fn ports(&self, ins: &[Input<'_>], outs: &[Output<'_>]) -> Result<Vec<CUdeviceptr>, DeviceError> {
        let CudaExecutable { gpu, inputs, outputs, .. } = &*self.executable;
        let tensors = device::ports(NAME, (inputs, outputs), ins, outs)?;
        let address = |tensor: &dyn DeviceTensor| Ok(gpu.own(tensor)?.address());
        let ports: Vec<CUdeviceptr> = tensors.into_iter().map(address).collect::<Result<_, DeviceError>>()?;
        let (read, written) = ports.split_at(inputs.len());
        // Kernels count on it that what they write is not what they read.
        let shared = |(i, port): (usize, &CUdeviceptr)| read.contains(port) || written[..i].contains(port);
        if written.iter().enumerate().any(shared) {
            return Err(failed("an output shares its tensor"));
        }
        Ok(ports)
    }

    /// Memory, if there is none yet, with statuses of 0.
    fn fill(&mut self) -> Result<(), DeviceError> {
        let executable = &self.executable;
        let memory = match self.memory.take() {
            Some(memory) => memory,
            None => Places::new(executable)?,
        };
        let memory = self.memory.insert(memory);
        // Statuses hold what went wrong in all runs that were not waited for.
        if !executable.watched.is_empty() && !self.running {
            executable.gpu.stream.memset_zeros(&mut memory.statuses.slice).map_err(driver)?;
        }
        Ok(())
    }

    /// What went wrong in the steps that are watched.
    fn trouble(&self) -> Result<(), DeviceError> {
        let watched = &self.executable.watched;
        let Some(memory) = self.memory.as_ref().filter(|_| !watched.is_empty()) else { return Ok(()) };
        let bytes = self.executable.gpu.stream.clone_dtoh(&memory.statuses.slice).map_err(driver);
        self.executable.gpu.stream.synchronize().map_err(driver)?;
        let bytes = bytes?;
        let mut steps = watched.iter().zip(bytes.chunks_exact(STATUS as usize));
        let found = steps.find_map(|(step, status)| {
            let message = launch::trouble(&step.task, status)?;
            Some(DeviceError::Step { path: step.path.clone(), message })
        });
        found.map_or(Ok(()), Err)
    }

    /// Brings the graph for `ports` to the end of the list.
    fn record(&mut self, ports: Vec<CUdeviceptr>) -> Result<(), DeviceError> {
        let found = self.recorded.iter().position(|r| r.ports == ports);
        let recorded = match found {
            Some(at) => self.recorded.remove(at),
            None => Recorded { graph: self.capture(&ports)?, ports },
        };
        if self.recorded.len() == GRAPHS {
            // It may still be at work.
            self.executable.gpu.stream.synchronize().map_err(driver)?;
            self.recorded.remove(0);
        }
        self.recorded.push(recorded);
        Ok(())
    }

    fn capture(&self, ports: &[CUdeviceptr]) -> Result<Option<CudaGraph>, DeviceError> {
        if self.executable.work.is_empty() {
            return Ok(None);
        }
        let stream = lock(&self.executable.gpu.recorder);
        stream.begin_capture(CUstreamCaptureMode::CU_STREAM_CAPTURE_MODE_THREAD_LOCAL).map_err(driver)?;
        let launched = self.executable.work.iter().try_for_each(|work| self.launch(work, ports, &stream));
        let graph = stream.end_capture(CUgraphInstantiate_flags(0)).map_err(driver);
        launched.and(graph)
    }

    fn launch(&self, work: &Work, ports: &[CUdeviceptr], stream: &CudaStream) -> Result<(), DeviceError> {
        let memory = self.memory.as_ref().ok_or_else(|| failed("no memory"))?;
        let inputs = self.executable.inputs.len();
        let address = |(storage, first): &(Storage, u64)| {
            let start = match storage {
                Storage::Slot(i) => memory.slots.get(*i)?.address(),
                Storage::Scratch(i) => memory.scratch.get(*i)?.address(),
                Storage::Statuses => memory.statuses.address(),
                Storage::Input(i) => *ports.get(*i)?,
                Storage::Output(i) => *ports.get(inputs + *i)?,
                Storage::Const(constant) => constant.address(),
            };
            Some(start + first)
        };
        let addresses: Option<Vec<CUdeviceptr>> = work.bound.iter().map(address).collect();
        let mut addresses = addresses.ok_or_else(|| failed("a step names a place that the stage lacks"))?;
        // SAFETY: the launch was planned for its step: it stays within operands and results of the step's facts, and their
        // places have room for them, as was checked when the executable was made. Memory goes in the stream's order, and so do
        // products.
        let launched = unsafe {
            match (&work.what, &self.executable.gpu.lt) {
                (What::Kernel { kernel, params, grid }, _) => {
                    kernel.launch(stream, *grid, params, &mut addresses).map_err(said)
                }
                (What::Product(plan), Some(lt)) => lt.multiply(plan, &addresses, stream),
                (What::Product(_), None) => Err("cuBLASLt is missing".into()),
            }
        };
        launched.map_err(|message| failed_at(self.executable.paths.get(work.step).map_or("", |path| path), &message))
    }

    /// Puts the launches on the stream one by one, and waits for them, with the time of each.
    fn timed(&self, ports: &[CUdeviceptr], nanos: &mut [u64]) -> Result<(), DeviceError> {
        let stream = &self.executable.gpu.stream;
        let mut stamps = Vec::new();
        for work in &self.executable.work {
            let start = stamp(stream).map_err(driver)?;
            self.launch(work, ports, stream)?;
            stamps.push((work.step, start, stamp(stream).map_err(driver)?));
        }
        for (step, start, end) in stamps {
            let millis = start.elapsed_ms(&end).map_err(driver)?;
            if let Some(nanos) = nanos.get_mut(step) {
                *nanos += (f64::from(millis) * 1e6) as u64;
            }
        }
        Ok(())
    }
}

impl Places {
    fn new(executable: &CudaExecutable) -> Result<Places, DeviceError> {
        let room = |room: &Room| executable.gpu.memory(room.bytes).map_err(|e| lacking(e, &room.path));
        let make = |rooms: &[Room]| rooms.iter().map(room).collect::<Result<_, _>>();
        Ok(Places {
            slots: make(&executable.slots)?,
            scratch: make(&executable.scratch)?,
            statuses: executable.gpu.memory(STATUS as usize * executable.watched.len())?,
        })
    }
}

impl Run for Session {
    fn run(
        &mut self,
        ins: &[Input<'_>],
        outs: &mut [Output<'_>],
        nanos: Option<&mut [u64]>,
    ) -> Result<(), DeviceError> {
        let ports = self.ports(ins, outs)?;
        self.fill()?;
        self.running = true;
        if let Some(nanos) = nanos {
            return self.timed(&ports, nanos);
        }
        self.record(ports)?;
        let Some(graph) = self.recorded.last().and_then(|r| r.graph.as_ref()) else { return Ok(()) };
        self.executable.gpu.context.bind_to_thread().map_err(driver)?;
        // SAFETY: the graph was recorded for the slots and for what lies at these addresses, which has the size it was
        // recorded for. Memory goes in the stream's order, and the graph not before it is done.
        unsafe { result::graph::launch(graph.cu_graph_exec(), self.executable.gpu.stream.cu_stream()) }.map_err(driver)
    }

    fn wait(&mut self) -> Result<(), DeviceError> {
        self.executable.gpu.stream.synchronize().map_err(driver)?;
        if std::mem::take(&mut self.running) { self.trouble() } else { Ok(()) }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        // Graphs must not go while they are at work. A failure was or will be told to who waits.
        let _ = self.executable.gpu.stream.synchronize();
    }
}

fn stamp(stream: &CudaStream) -> Result<CudaEvent, DriverError> {
    let event = stream.context().new_event(Some(CUevent_flags::CU_EVENT_DEFAULT))?;
    event.record(stream)?;
    Ok(event)
}
