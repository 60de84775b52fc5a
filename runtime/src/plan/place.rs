//! Which device computes which task, and why the others do not.

use std::ops::Range;
use std::sync::Arc;

use mindir_graph::Fact;
use mindir_graph::bounds;
use mindir_graph::task::{TaskGraph, TaskNode};
use mindir_kernels::device::{Declined, Device, Offer, TaskView};

use super::report::Decline;
use crate::error::{DeclinedNode, Error};

/// A task's device and what it offers.
pub(crate) struct Placed {
    pub device: Arc<dyn Device>,
    pub offer: Offer,
    /// Devices preferred to it, with their reasons; as many come before it.
    pub declined: Vec<Decline>,
}

/// Consecutive tasks on one device.
#[derive(Clone, Copy)]
pub(crate) struct Part<'a> {
    first: usize,
    nodes: &'a [TaskNode],
    placed: &'a [Placed],
    pub device: &'a Arc<dyn Device>,
}

impl<'a> Part<'a> {
    /// The numbers of the tasks.
    pub fn range(self) -> Range<usize> {
        self.first..self.first + self.nodes.len()
    }

    /// How many devices are preferred to that of the tasks.
    pub fn rank(self) -> usize {
        self.placed.first().map_or(0, |placed| placed.declined.len())
    }

    /// The tasks with their numbers.
    pub fn tasks(self) -> impl Iterator<Item = (usize, &'a TaskNode, &'a Placed)> {
        let tasks = self.nodes.iter().zip(self.placed).enumerate();
        tasks.map(move |(i, (node, placed))| (self.first + i, node, placed))
    }
}

/// The first device in order that takes each task.
pub(crate) fn place(tasks: &TaskGraph, devices: &[Arc<dyn Device>]) -> Result<Vec<Placed>, Error> {
    let on_host = devices.iter().all(|d| d.own_memory().is_none());
    let mut nobody = Vec::new();
    let mut out = Vec::with_capacity(tasks.nodes.len());
    for node in &tasks.nodes {
        // Before a kernel makes anything of sizes that nobody could hold.
        if on_host {
            bounds::could_hold(node.outs.iter().map(|v| tasks.fact(*v).bytes()).fold(0, usize::saturating_add))?;
        }
        match place_one(tasks, node, devices) {
            Ok(p) => out.push(p),
            Err(declined) => nobody.push(declined_node(node, &declined)),
        }
    }
    if nobody.is_empty() { Ok(out) } else { Err(Error::Declined(nobody)) }
}

/// What a device offers for a task.
pub(crate) fn offer(tasks: &TaskGraph, node: &TaskNode, device: &dyn Device) -> Result<Offer, Declined> {
    let ins: Vec<Fact> = node.ins.iter().map(|v| tasks.fact(*v).clone()).collect();
    let known: Vec<bool> = node.ins.iter().map(|v| tasks.is_constant(*v)).collect();
    let outs: Vec<Fact> = node.outs.iter().map(|v| tasks.fact(*v).clone()).collect();
    device.offer(TaskView { task: &node.task, ins: &ins, known: &known, outs: &outs })
}

fn place_one(tasks: &TaskGraph, node: &TaskNode, devices: &[Arc<dyn Device>]) -> Result<Placed, Vec<Decline>> {
    let mut declined = Vec::new();
    for device in devices {
        match offer(tasks, node, device.as_ref()) {
            Ok(offer) => return Ok(Placed { device: device.clone(), offer, declined }),
            Err(reason) => declined.push(Decline { device: device.name().to_string(), reason: reason.to_string() }),
        }
    }
    Err(declined)
}

fn declined_node(node: &TaskNode, declined: &[Decline]) -> DeclinedNode {
    let reasons = declined.iter().map(|Decline { device, reason }| format!("{device}: {reason}")).collect();
    DeclinedNode { path: node.path.clone(), ops: node.ops.clone(), reasons }
}

/// An error that names every task that the first device does not compute, if there is one.
pub(crate) fn deny_fallback(tasks: &TaskGraph, placed: &[Placed]) -> Result<(), Error> {
    let fallen: Vec<DeclinedNode> = placed
        .iter()
        .zip(&tasks.nodes)
        .filter(|(p, _)| !p.declined.is_empty())
        .map(|(p, node)| declined_node(node, &p.declined))
        .collect();
    if fallen.is_empty() { Ok(()) } else { Err(Error::Declined(fallen)) }
}

/// Whether two tasks are on the same device.
pub(crate) fn together(a: &Placed, b: &Placed) -> bool {
    a.declined.len() == b.declined.len()
}

/// Maximal runs of tasks on one device.
pub(crate) fn stages<'a>(tasks: &'a TaskGraph, placed: &'a [Placed]) -> impl Iterator<Item = Part<'a>> {
    let (mut first, mut rest) = (0, tasks.nodes.as_slice());
    placed.chunk_by(together).filter_map(move |placed| {
        let (nodes, after) = rest.split_at_checked(placed.len())?;
        let part = Part { first, nodes, placed, device: &placed.first()?.device };
        (first, rest) = (first + placed.len(), after);
        Some(part)
    })
}
