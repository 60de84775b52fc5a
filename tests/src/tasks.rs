//! Task graphs in tests: models lowered for given inputs, and tasks run on the CPU one at a time.

use mindir_graph::graph::Model;
use mindir_graph::lower::{Entry, lower};
use mindir_graph::passes::validate::Contents;
use mindir_graph::task::{Source, Task, TaskGraph};
use mindir_graph::{Buffer, Fact, OpError, Tensor};
use mindir_kernels::cpu::CpuDevice;
use mindir_kernels::device::{Place, Stage, Step, Weights};

/// The tasks of as many nodes of a model as can be lowered for these inputs at once.
///
/// # Errors
/// What the lowering says.
pub fn lowered(model: &Model, inputs: &[Tensor]) -> Result<TaskGraph, String> {
    let entry = |(v, t): (&_, &Tensor)| Entry { value: *v, fact: t.fact(), known: None };
    let entries: Vec<Entry> = model.entry().inputs.iter().zip(inputs).map(entry).collect();
    Ok(lower(model, model.entry(), 0, &entries, false).map_err(|e| e.to_string())?.tasks)
}

/// What a model's task graph reads: these inputs, and the model's parameters.
pub fn contents(model: &Model, graph: &TaskGraph, inputs: &[Tensor]) -> Contents {
    let variables = graph.values.iter().filter_map(|value| match value.source {
        Source::Variable(p) => Some((p, model.params[p].tensor.clone())),
        _ => None,
    });
    Contents { inputs: inputs.to_vec(), variables: variables.collect() }
}

/// Computes a task on the CPU.
///
/// # Errors
/// What the device says.
pub fn on_cpu(device: &CpuDevice, task: &Task, ins: &[Tensor], outs: &[Fact]) -> Result<Vec<Tensor>, OpError> {
    let failed = |e: &dyn std::fmt::Display| OpError::Invalid(e.to_string());
    let facts: Vec<Fact> = ins.iter().map(Tensor::fact).collect();
    let step = Step {
        task: task.clone(),
        ins: (0..ins.len()).map(Place::Input).collect(),
        in_facts: facts.clone(),
        outs: (0..outs.len()).map(Place::Output).collect(),
        out_facts: outs.to_vec(),
        path: "task".into(),
    };
    let stage = Stage { steps: vec![step], inputs: facts, outputs: outs.to_vec(), ..Stage::default() };
    let mut session = stage.build(device, &Weights::default()).map_err(|e| failed(&e))?.session();
    let mut buffers: Vec<Buffer> = outs.iter().map(|f| Buffer::new(f.bytes())).collect::<Result<_, _>>()?;
    let sources: Vec<&[u8]> = ins.iter().map(|t| t.bytes().as_ref()).collect();
    let mut targets: Vec<&mut [u8]> = buffers.iter_mut().map(Buffer::bytes_mut).collect();
    session.run(&sources, &mut targets).map_err(|e| failed(&e))?;
    let tensor = |(b, f): (Buffer, &Fact)| Ok(Tensor::from_bytes(f.dtype, &f.shape, b.into_bytes())?);
    buffers.into_iter().zip(outs).map(tensor).collect()
}
