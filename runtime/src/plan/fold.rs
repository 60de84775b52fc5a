//! Tasks whose operands are all known run once, when planning.

use std::collections::HashMap;
use std::sync::Arc;

use mindir_graph::passes::Note;
use mindir_graph::task::{Source, Task, TaskGraph, V};
use mindir_graph::{Buffer, Tensor};
use mindir_kernels::device::{Device, Place, Stage, Step, Weights};

use crate::Error;

/// Name of the pass.
pub(crate) const NAME: &str = "constants";

/// Replaces the results of tasks with known operands by constants, computed by the last device, which is the host.
pub(crate) fn constants(
    tasks: &mut TaskGraph,
    devices: &[Arc<dyn Device>],
    weights: &Weights,
    notes: &mut Vec<Note>,
) -> Result<(), Error> {
    let Some(host) = devices.last() else { return Ok(()) };
    let mut at = 0;
    while at < tasks.nodes.len() {
        let known: Option<Vec<Tensor>> = tasks.nodes[at].ins.iter().map(|v| tasks.known(*v)).collect();
        match known {
            Some(ins) if !matches!(tasks.nodes[at].task, Task::Host(_)) || !ins.is_empty() => {
                let results = run(tasks, at, &ins, host, weights)?;
                for (v, t) in tasks.nodes[at].outs.clone().into_iter().zip(results) {
                    tasks.values[v.0 as usize].source = Source::Const(t);
                }
                let node = tasks.nodes.remove(at);
                notes.push(Note {
                    pass: NAME,
                    path: node.path,
                    applied: true,
                    why: format!("{} computed when planning", node.ops),
                });
            }
            _ => at += 1,
        }
    }
    Ok(())
}

fn run(
    tasks: &TaskGraph,
    at: usize,
    ins: &[Tensor],
    host: &Arc<dyn Device>,
    weights: &Weights,
) -> Result<Vec<Tensor>, Error> {
    let node = &tasks.nodes[at];
    let out_facts: Vec<_> = node.outs.iter().map(|v| tasks.fact(*v).clone()).collect();
    let facts: Vec<_> = ins.iter().map(Tensor::fact).collect();
    // A tensor that appears twice is one input.
    let mut index: HashMap<V, usize> = HashMap::new();
    let mut distinct = Vec::new();
    let places = node.ins.iter().zip(ins).map(|(v, t)| {
        let next = distinct.len();
        let i = *index.entry(*v).or_insert_with(|| {
            distinct.push(t.clone());
            next
        });
        Place::Input(i)
    });
    let ins = places.collect();
    let step = Step {
        task: node.task.clone(),
        ins,
        in_facts: facts,
        outs: (0..node.outs.len()).map(Place::Output).collect(),
        out_facts: out_facts.clone(),
        path: node.path.clone(),
    };
    let inputs = distinct.iter().map(Tensor::fact).collect();
    let stage = Stage { steps: vec![step], inputs, outputs: out_facts.clone(), ..Stage::default() };
    let mut session = host.build(stage, weights)?.session();
    let mut buffers: Vec<Buffer> = out_facts.iter().map(|f| Buffer::new(f.bytes())).collect();
    let sources: Vec<&[u8]> = distinct.iter().map(|t| t.bytes().as_ref()).collect();
    let mut targets: Vec<&mut [u8]> = buffers.iter_mut().map(Buffer::bytes_mut).collect();
    session.run(&sources, &mut targets)?;
    let tensor = |(b, f): (Buffer, &mindir_graph::Fact)| Tensor::from_bytes(f.dtype, &f.shape, b.into_bytes());
    Ok(buffers.into_iter().zip(&out_facts).map(tensor).collect::<Result<_, _>>()?)
}
