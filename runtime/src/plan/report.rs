//! What a plan does, for people.

use std::ops::Range;
use std::sync::Arc;

use mindir_graph::Fact;
use mindir_graph::task::TaskGraph;
use mindir_kernels::device::{Device, MemoryModel, Place, Stage};

use super::place::Placed;

/// Consecutive steps on one device.
#[derive(Clone, Debug)]
pub struct StageReport {
    /// Name of the device.
    pub device: String,
    /// Whether its values lie in host memory.
    pub on_host: bool,
    /// Steps in order.
    pub steps: Vec<StepReport>,
    /// Bytes copied from host memory to the device before the steps; 0 where they are the same.
    pub upload: usize,
    /// Bytes copied back after them; 0 where they are the same.
    pub download: usize,
    /// Bytes of memory for values inside the stage.
    pub memory: usize,
    /// Bytes that its kernels need besides, of which one runs at a time.
    pub scratch: usize,
    /// What lies in the memory for values, and when.
    pub lives: Vec<Life>,
}

/// A part of a stage's memory while it holds values.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Life {
    /// The step of the stage that writes it first.
    pub first: usize,
    /// The step of the stage that reads it last.
    pub last: usize,
    /// Where it begins; 0 where values have buffers of their own.
    pub offset: usize,
    /// Its length.
    pub bytes: usize,
}

/// One task with its kernel.
#[derive(Clone, Debug)]
pub struct StepReport {
    /// Path of the graph node.
    pub path: Arc<str>,
    /// Operators that the step computes, joined by `+`.
    pub ops: Arc<str>,
    /// Task family.
    pub family: &'static str,
    /// Name of the kernel.
    pub kernel: String,
    /// The steps of the plan whose results it reads.
    pub reads: Vec<usize>,
    /// Facts of the operands.
    pub ins: Vec<Fact>,
    /// Facts of the results.
    pub outs: Vec<Fact>,
    /// Where the first result lies: a range of the arena, or `result`.
    pub place: String,
    /// Floating-point operations.
    pub flops: u64,
    /// Bytes of operands and results.
    pub bytes: usize,
    /// Devices preferred to the chosen one, with their reasons.
    pub declined: Vec<Decline>,
}

/// A device's refusal.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Decline {
    /// Name of the device.
    pub device: String,
    /// Why it does not take the task.
    pub reason: String,
}

pub(crate) fn stage(
    tasks: &TaskGraph,
    placed: &[Placed],
    range: Range<usize>,
    stage: &Stage,
    devices: &[Arc<dyn Device>],
    producers: &[Option<usize>],
) -> StageReport {
    let device = &devices[placed[range.start].device];
    let total = |facts: &[Fact]| facts.iter().map(Fact::bytes).sum();
    let on_host = device.memory() == MemoryModel::Arena;
    StageReport {
        device: device.name().to_string(),
        on_host,
        steps: range
            .clone()
            .map(|i| step(tasks, &placed[i], i, &stage.steps[i - range.start].outs[0], stage, devices, producers))
            .collect(),
        upload: if on_host { 0 } else { total(&stage.inputs) },
        download: if on_host { 0 } else { total(&stage.outputs) },
        memory: super::slot_bytes(&stage.slots, stage.arena),
        scratch: placed[range].iter().map(|p| p.offer.scratch).max().unwrap_or(0),
        lives: lives(stage),
    }
}

/// The steps whose results a step reads.
fn reads(tasks: &TaskGraph, i: usize, producers: &[Option<usize>]) -> Vec<usize> {
    let producer = |v| producers.get(tasks.root(v).0 as usize).copied().flatten();
    let mut reads: Vec<usize> = tasks.nodes[i].ins.iter().filter_map(|v| producer(*v)).collect();
    reads.sort_unstable();
    reads.dedup();
    reads
}

/// When the slots of a stage are in use.
fn lives(stage: &Stage) -> Vec<Life> {
    let mut lives: Vec<Option<Life>> = vec![None; stage.slots.len()];
    for (i, step) in stage.steps.iter().enumerate() {
        for place in step.ins.iter().chain(&step.outs) {
            let Place::Slot(at) = place else { continue };
            let (Some(life), Some(slot)) = (lives.get_mut(*at), stage.slots.get(*at)) else { continue };
            let begun = life.get_or_insert(Life { first: i, last: i, offset: slot.offset, bytes: slot.bytes });
            begun.last = i;
        }
    }
    lives.into_iter().flatten().collect()
}

fn step(
    tasks: &TaskGraph,
    placed: &Placed,
    i: usize,
    place: &Place,
    stage: &Stage,
    devices: &[Arc<dyn Device>],
    producers: &[Option<usize>],
) -> StepReport {
    let node = &tasks.nodes[i];
    let facts = |vs: &[mindir_graph::task::V]| vs.iter().map(|v| tasks.fact(*v).clone()).collect::<Vec<_>>();
    let (ins, outs) = (facts(&node.ins), facts(&node.outs));
    let place = match place {
        Place::Slot(s) if stage.arena > 0 => {
            let slot = stage.slots[*s];
            format!("{}..{}", slot.offset, slot.offset + slot.bytes)
        }
        Place::Slot(s) => format!("buffer {s}"),
        _ => "result".to_string(),
    };
    let decline =
        |(d, reason): &(usize, String)| Decline { device: devices[*d].name().to_string(), reason: reason.clone() };
    StepReport {
        path: node.path.clone(),
        ops: node.ops.clone(),
        family: node.task.family(),
        kernel: placed.offer.kernel.clone(),
        bytes: ins.iter().chain(&outs).map(Fact::bytes).sum(),
        flops: node.task.flops(&outs),
        reads: reads(tasks, i, producers),
        ins,
        outs,
        place,
        declined: placed.declined.iter().map(decline).collect(),
    }
}
