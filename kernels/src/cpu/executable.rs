//! A stage on the CPU: steps bound to memory, and sessions that run them.

use std::ops::Range;
use std::sync::Arc;
use std::time::Instant;

use bytes::Bytes;
use mindir_graph::Fact;
use mindir_graph::bounds::{self, Exceeded, Reservation};
use smallvec::SmallVec;

use super::arena::Arenas;
use super::gang::{Gang, Threads};
use super::kernel::{CpuKernel, Failed, Io, Operand, Target};
use super::memory::ALIGN;
use super::packed::Constants;
use super::{CpuDevice, Isa, NAME};
use crate::device::{
    Declined, DeviceError, Executable, Input, Offer, Output, Place, Refused, Run, Stage, Step, Weights,
};

/// Where an operand or result lies, checked against its memory.
#[derive(Clone, Debug)]
struct Spot {
    place: Where,
    fact: Fact,
}

#[derive(Clone, Debug)]
enum Where {
    /// From this byte of the arena.
    Arena(usize),
    Input(usize),
    Output(usize),
    Const(Bytes),
    /// A constant that the kernel does not read.
    Packed,
}

impl Spot {
    /// The memory it belongs to and the bytes in it; `None` for constants.
    fn region(&self) -> Option<(u8, usize, Range<usize>)> {
        let bytes = self.fact.bytes();
        match self.place {
            Where::Arena(at) => Some((0, 0, at..at + bytes)),
            Where::Input(i) => Some((1, i, 0..bytes)),
            Where::Output(i) => Some((2, i, 0..bytes)),
            Where::Const(_) | Where::Packed => None,
        }
    }

    fn overlaps(&self, other: &Spot) -> bool {
        match (self.region(), other.region()) {
            (Some((a, i, x)), Some((b, j, y))) => (a, i) == (b, j) && x.start < y.end && y.start < x.end,
            _ => false,
        }
    }
}

struct Bound {
    kernel: Box<dyn CpuKernel>,
    ins: Vec<Spot>,
    outs: Vec<Spot>,
    /// For each operand, whether it is result 0's memory.
    shared: Vec<bool>,
    path: Arc<str>,
}

/// Kernels with checked places.
pub(super) struct CpuExecutable {
    steps: Vec<Bound>,
    arena: usize,
    scratch: usize,
    inputs: Vec<Fact>,
    outputs: Vec<usize>,
    threads: Threads,
    arenas: Arc<Arenas>,
}

impl CpuExecutable {
    pub(super) fn build(
        device: &CpuDevice,
        stage: Stage,
        offers: Vec<Offer>,
        weights: &Weights,
    ) -> Result<CpuExecutable, DeviceError> {
        let mut gang = device.threads().gang();
        let mut steps = Vec::with_capacity(stage.steps.len());
        let mut offers = offers.into_iter();
        for step in &stage.steps {
            let bound = bind(&stage, step, offers.next(), weights, device.isa(), &mut gang);
            steps.push(bound.map_err(|refused| refused.at(&step.path))?);
        }
        let bytes = |facts: &[Fact]| facts.iter().map(Fact::bytes).collect();
        Ok(CpuExecutable {
            scratch: steps.iter().map(|s| s.kernel.scratch()).max().unwrap_or(0),
            steps,
            arena: stage.arena,
            inputs: stage.inputs,
            outputs: bytes(&stage.outputs),
            threads: device.threads().clone(),
            arenas: device.arenas.clone(),
        })
    }

    /// Bytes of memory that a run takes.
    fn bytes(&self) -> usize {
        self.arena.next_multiple_of(ALIGN) + self.scratch
    }
}

fn bind(
    stage: &Stage,
    step: &Step,
    offer: Option<Offer>,
    weights: &Weights,
    isa: Isa,
    gang: &mut Gang,
) -> Result<Bound, Refused> {
    let spots = |places: &[Place], facts: &[Fact]| -> Result<Vec<Spot>, Declined> {
        if places.len() != facts.len() {
            return Err(Declined(format!("{} places for {} values", places.len(), facts.len())));
        }
        places.iter().zip(facts).map(|(p, f)| locate(stage, p, f)).collect()
    };
    let mut ins = spots(&step.ins, &step.in_facts)?;
    let outs = spots(&step.outs, &step.out_facts)?;
    let offer = offer.ok_or_else(|| Declined("nothing was offered".into()))?;
    let shared = check_overlaps(&ins, &outs, &offer.in_place)?;
    let kernel = offer.prepared.downcast::<Box<dyn CpuKernel>>();
    let mut kernel = *kernel.map_err(|_| Declined("another device offered it".into()))?;
    let known = step.known();
    kernel.pack(&mut Constants { known: &known, weights, isa, gang })?;
    for (i, t) in known.iter().enumerate().filter(|(i, _)| kernel.reads(*i)) {
        if let Some(t) = t {
            ins[i].place = Where::Const(weights.aligned(t)?.clone());
        }
    }
    Ok(Bound { kernel, ins, outs, shared, path: step.path.clone() })
}

/// Checks that a value fits its place.
fn locate(stage: &Stage, place: &Place, fact: &Fact) -> Result<Spot, Declined> {
    let (space, room) = match place {
        Place::Slot(i) => {
            let slot = stage.slots.get(*i).ok_or_else(|| Declined(format!("no slot {i}")))?;
            let inside = slot.offset.checked_add(slot.bytes).is_some_and(|end| end <= stage.arena);
            if !inside || !slot.offset.is_multiple_of(ALIGN) {
                return Err(Declined(format!("slot {i} does not fit the arena")));
            }
            (Where::Arena(slot.offset), slot.bytes)
        }
        Place::Input(i) => (Where::Input(*i), stage.inputs.get(*i).map_or(0, Fact::bytes)),
        Place::Output(i) => (Where::Output(*i), stage.outputs.get(*i).map_or(0, Fact::bytes)),
        Place::Const(t) if t.dtype() != fact.dtype => {
            return Err(Declined(format!("a constant of {} stands for {fact}", t.dtype())));
        }
        Place::Const(t) => (Where::Packed, t.bytes().len()),
    };
    let exists = match place {
        Place::Input(i) => *i < stage.inputs.len(),
        Place::Output(i) => *i < stage.outputs.len(),
        _ => true,
    };
    if !exists || fact.bytes() > room {
        return Err(Declined(format!("{fact} does not fit {room} bytes")));
    }
    Ok(Spot { place: space, fact: fact.clone() })
}

/// Checks that results overlap nothing but the operands that the kernel may overwrite, and says which those are.
fn check_overlaps(ins: &[Spot], outs: &[Spot], in_place: &[usize]) -> Result<Vec<bool>, Declined> {
    for (i, out) in outs.iter().enumerate() {
        if matches!(out.place, Where::Input(_) | Where::Const(_) | Where::Packed) {
            return Err(Declined(format!("result {i} lies in memory that is read only")));
        }
        if outs[..i].iter().any(|o| o.overlaps(out)) {
            return Err(Declined(format!("result {i} overlaps another")));
        }
    }
    let mut shared = vec![false; ins.len()];
    for (i, operand) in ins.iter().enumerate() {
        for (o, out) in outs.iter().enumerate().filter(|(_, out)| out.overlaps(operand)) {
            if o != 0 || !in_place.contains(&i) || out.region() != operand.region() {
                return Err(Declined(format!("result {o} overlaps operand {i}")));
            }
            shared[i] = true;
        }
    }
    Ok(shared)
}

impl Executable for CpuExecutable {
    fn session(self: Arc<Self>) -> Box<dyn Run> {
        Box::new(Session::new(self))
    }

    fn session_bytes(&self) -> usize {
        let tables = self.steps.iter().map(|s| s.ins.len() * size_of::<Operand>() + s.outs.len() * size_of::<Target>());
        tables.sum()
    }

    fn kernels(&self) -> Vec<String> {
        self.steps.iter().map(|s| s.kernel.name().to_string()).collect()
    }
}

/// One run at a time. Its memory is borrowed while it runs: the stage's arena, then scratch.
struct Session {
    executable: Arc<CpuExecutable>,
    operands: Vec<Vec<Operand>>,
    results: Vec<Vec<Target>>,
    /// First byte of each of the caller's outputs.
    outputs: Vec<*mut u8>,
    gang: Gang,
}

// SAFETY: the pointers in `operands`, `results` and `outputs` lead to constants that the executable keeps, or are replaced before
// every run.
unsafe impl Send for Session {}

impl Session {
    fn new(executable: Arc<CpuExecutable>) -> Session {
        let operand = |(spot, &shared): (&Spot, &bool)| {
            let ptr = if let Where::Const(bytes) = &spot.place { bytes.as_ptr() } else { std::ptr::null() };
            let read = !matches!(spot.place, Where::Packed);
            Operand { ptr, len: spot.fact.bytes(), dtype: spot.fact.dtype, shared, read }
        };
        let target = |spot: &Spot| Target {
            ptr: std::ptr::null_mut(),
            len: spot.fact.bytes(),
            dtype: spot.fact.dtype,
            taken: false,
        };
        Session {
            operands: executable.steps.iter().map(|s| s.ins.iter().zip(&s.shared).map(operand).collect()).collect(),
            results: executable.steps.iter().map(|s| s.outs.iter().map(target).collect()).collect(),
            outputs: Vec::with_capacity(executable.outputs.len()),
            gang: executable.threads.gang(),
            executable,
        }
    }

    /// Points every operand and result to its memory, in the arena or the caller's.
    fn point(&mut self, base: *mut u8, ins: &[&[u8]], outs: &mut [&mut [u8]]) {
        self.outputs.clear();
        self.outputs.extend(outs.iter_mut().map(|o| o.as_mut_ptr()));
        // Nothing is read or written through the pointer of an empty value, but slices want it aligned.
        let nowhere = std::ptr::without_provenance_mut::<u8>(ALIGN);
        for (s, step) in self.executable.steps.iter().enumerate() {
            for (operand, spot) in self.operands[s].iter_mut().zip(&step.ins) {
                match spot.place {
                    Where::Arena(at) => operand.ptr = base.wrapping_add(at),
                    Where::Input(i) => operand.ptr = ins[i].as_ptr(),
                    Where::Output(i) => operand.ptr = self.outputs[i],
                    Where::Const(_) | Where::Packed => {}
                }
                if operand.len == 0 {
                    operand.ptr = nowhere;
                }
            }
            for (target, spot) in self.results[s].iter_mut().zip(&step.outs) {
                target.taken = false;
                target.ptr = match spot.place {
                    Where::Arena(at) => base.wrapping_add(at),
                    Where::Output(i) => self.outputs[i],
                    Where::Input(_) | Where::Const(_) | Where::Packed => nowhere,
                };
                if target.len == 0 {
                    target.ptr = nowhere;
                }
            }
        }
    }

    fn check(&self, ins: &[&[u8]], outs: &[&mut [u8]]) -> Result<(), DeviceError> {
        let good = |found: usize, bytes: usize, at: *const u8, align: usize| {
            found == bytes && (bytes == 0 || at.addr().is_multiple_of(align))
        };
        let inputs = ins.len() == self.executable.inputs.len()
            && ins
                .iter()
                .zip(&self.executable.inputs)
                .all(|(x, f)| good(x.len(), f.bytes(), x.as_ptr(), f.dtype.align()));
        let outputs = outs.len() == self.executable.outputs.len()
            && outs.iter().zip(&self.executable.outputs).all(|(x, &n)| good(x.len(), n, x.as_ptr(), ALIGN));
        if inputs && outputs {
            return Ok(());
        }
        let message = "inputs and outputs do not have the number, length or alignment of the stage's".into();
        Err(DeviceError::Device { device: NAME.into(), message })
    }

    fn steps(&mut self, ins: &[&[u8]], outs: &mut [&mut [u8]], done: impl FnMut(usize)) -> Result<(), DeviceError> {
        self.check(ins, outs)?;
        let bytes = self.executable.bytes();
        let mut arena = self.executable.arenas.take(bytes)?;
        let base = arena.memory.as_mut_ptr();
        self.point(base, ins, outs);
        let scratch = (base.wrapping_add(bytes - self.executable.scratch), self.executable.scratch);
        let done = self.all(scratch, done);
        self.executable.arenas.give(arena, bytes);
        done
    }

    fn all(&mut self, scratch: (*mut u8, usize), mut done: impl FnMut(usize)) -> Result<(), DeviceError> {
        for (s, step) in self.executable.steps.iter().enumerate() {
            // SAFETY: `bind` checked that every value lies inside its memory and that results overlap nothing but the
            // operands marked shared; `check` that the caller's memory has the lengths that `bind` assumed and is aligned,
            // as are slots and tensors. `steps` borrows `ins`, `outs` and the arena mutably, which are used through these
            // pointers only. Scratch follows the arena. `bool`s come from checked tensors or kernels.
            let mut io = unsafe { Io::new(&self.operands[s], &mut self.results[s], scratch) };
            bounds::check()?;
            let _heap = heap(step.kernel.as_ref())?;
            let ran = step.kernel.run(&mut io, &mut self.gang);
            bounds::check()?;
            ran.map_err(|e| match e {
                Failed::Limit(e) => e.into(),
                Failed::Data(message) => DeviceError::Step { path: step.path.clone(), message },
            })?;
            done(s);
        }
        Ok(())
    }
}

/// Room for what a kernel allocates.
fn heap(kernel: &dyn CpuKernel) -> Result<Reservation, Exceeded> {
    match kernel.heap() {
        0 => Ok(Reservation::default()),
        bytes => bounds::room(bytes),
    }
}

impl Run for Session {
    fn run(
        &mut self,
        ins: &[Input<'_>],
        outs: &mut [Output<'_>],
        nanos: Option<&mut [u64]>,
    ) -> Result<(), DeviceError> {
        let mut inputs: SmallVec<[&[u8]; 32]> = SmallVec::with_capacity(ins.len());
        for input in ins {
            inputs.push(input.host(NAME)?);
        }
        let mut outputs: SmallVec<[&mut [u8]; 32]> = SmallVec::with_capacity(outs.len());
        for output in outs {
            outputs.push(output.host(NAME)?);
        }
        let Some(nanos) = nanos else { return self.steps(&inputs, &mut outputs, |_| {}) };
        let mut start = Instant::now();
        self.steps(&inputs, &mut outputs, |step| {
            let end = Instant::now();
            if let Some(n) = nanos.get_mut(step) {
                *n += u64::try_from((end - start).as_nanos()).unwrap_or(u64::MAX);
            }
            start = end;
        })
    }
}
