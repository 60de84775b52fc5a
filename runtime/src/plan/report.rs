//! What a plan does, for people.

use std::sync::Arc;

use mindir_graph::task::{TaskGraph, TaskNode, V};
use mindir_graph::{Fact, Table};
use mindir_kernels::device::{Place, Stage};

use super::place::{Part, Placed};

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
    /// Bytes that it reads and writes, if no cache holds any.
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
    part: Part<'_>,
    stage: &Stage,
    (upload, download): (usize, usize),
    producers: &Table<V, Option<usize>>,
) -> StageReport {
    let device = part.device;
    let steps = part.tasks().zip(&stage.steps);
    StageReport {
        device: device.name().to_string(),
        on_host: device.own_memory().is_none(),
        steps: steps
            .map(|((_, node, placed), built)| step(tasks, node, placed, built.outs.first(), stage, producers))
            .collect(),
        upload,
        download,
        memory: super::slot_bytes(&stage.slots, stage.arena),
        scratch: part.tasks().map(|(_, _, placed)| placed.offer.scratch).max().unwrap_or(0),
        lives: lives(stage),
    }
}

/// The steps whose results a step reads.
fn reads(tasks: &TaskGraph, node: &TaskNode, producers: &Table<V, Option<usize>>) -> Vec<usize> {
    let mut reads: Vec<usize> = node.ins.iter().filter_map(|v| producers[tasks.root(*v)]).collect();
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
    node: &TaskNode,
    placed: &Placed,
    place: Option<&Place>,
    stage: &Stage,
    producers: &Table<V, Option<usize>>,
) -> StepReport {
    let facts = |vs: &[V]| vs.iter().map(|v| tasks.fact(*v).clone()).collect::<Vec<_>>();
    let (ins, outs) = (facts(&node.ins), facts(&node.outs));
    let place = match place {
        Some(Place::Slot(s)) => match stage.slots.get(*s).filter(|_| stage.arena > 0) {
            Some(slot) => format!("{}..{}", slot.offset, slot.offset + slot.bytes),
            None => format!("buffer {s}"),
        },
        _ => "result".to_string(),
    };
    StepReport {
        path: node.path.clone(),
        ops: node.ops.clone(),
        family: node.task.family(),
        kernel: placed.offer.kernel.clone(),
        bytes: node.task.bytes(&ins, &outs),
        flops: node.task.flops(&outs),
        reads: reads(tasks, node, producers),
        ins,
        outs,
        place,
        declined: placed.declined.clone(),
    }
}
