//! Which device computes which task, and why the others do not.

use std::ops::Range;
use std::sync::Arc;

use mindir_graph::Fact;
use mindir_graph::bounds;
use mindir_graph::task::{TaskGraph, TaskNode};
use mindir_kernels::device::{Device, MemoryModel, Offer, TaskView};

use crate::error::{DeclinedNode, Error};

/// A task's device and what it offers.
#[derive(Debug)]
pub(crate) struct Placed {
    pub device: usize,
    pub offer: Offer,
    /// Devices preferred to it, with their reasons.
    pub declined: Vec<(usize, String)>,
}

/// The first device in order that takes each task.
pub(crate) fn place(tasks: &TaskGraph, devices: &[Arc<dyn Device>]) -> Result<Vec<Placed>, Error> {
    let on_host = devices.iter().all(|d| d.memory() == MemoryModel::Arena);
    let mut nobody = Vec::new();
    let mut out = Vec::with_capacity(tasks.nodes.len());
    for node in &tasks.nodes {
        // Before a kernel makes anything of sizes that nobody could hold.
        if on_host {
            bounds::could_hold(node.outs.iter().map(|v| tasks.fact(*v).bytes()).fold(0, usize::saturating_add))?;
        }
        match place_one(tasks, node, devices) {
            Ok(p) => out.push(p),
            Err(declined) => nobody.push(declined_node(node, &declined, devices)),
        }
    }
    if nobody.is_empty() { Ok(out) } else { Err(Error::Declined(nobody)) }
}

fn place_one(tasks: &TaskGraph, node: &TaskNode, devices: &[Arc<dyn Device>]) -> Result<Placed, Vec<(usize, String)>> {
    let ins: Vec<Fact> = node.ins.iter().map(|v| tasks.fact(*v).clone()).collect();
    let known: Vec<bool> = node.ins.iter().map(|v| tasks.is_constant(*v)).collect();
    let outs: Vec<Fact> = node.outs.iter().map(|v| tasks.fact(*v).clone()).collect();
    let view = TaskView { task: &node.task, ins: &ins, known: &known, outs: &outs };
    let mut declined = Vec::new();
    for (device, d) in devices.iter().enumerate() {
        match d.offer(view) {
            Ok(offer) => return Ok(Placed { device, offer, declined }),
            Err(reason) => declined.push((device, reason.to_string())),
        }
    }
    Err(declined)
}

fn declined_node(node: &TaskNode, declined: &[(usize, String)], devices: &[Arc<dyn Device>]) -> DeclinedNode {
    let reasons = declined.iter().map(|(d, why)| format!("{}: {why}", devices[*d].name())).collect();
    DeclinedNode { path: node.path.clone(), ops: node.ops.clone(), reasons }
}

/// An error that names every task that the first device does not compute, if there is one.
pub(crate) fn deny_fallback(tasks: &TaskGraph, placed: &[Placed], devices: &[Arc<dyn Device>]) -> Result<(), Error> {
    let fallen: Vec<DeclinedNode> = placed
        .iter()
        .zip(&tasks.nodes)
        .filter(|(p, _)| p.device != 0)
        .map(|(p, node)| declined_node(node, &p.declined, devices))
        .collect();
    if fallen.is_empty() { Ok(()) } else { Err(Error::Declined(fallen)) }
}

/// Maximal runs of tasks on one device.
pub(crate) fn stages(placed: &[Placed]) -> Vec<Range<usize>> {
    let mut out = Vec::new();
    let mut start = 0;
    for i in 1..=placed.len() {
        if i == placed.len() || placed[i].device != placed[start].device {
            out.push(start..i);
            start = i;
        }
    }
    out
}
