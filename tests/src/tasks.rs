//! Task graphs in tests: models lowered for given inputs, task graphs run task by task, and tasks run on a device one at a time.

use std::collections::HashMap;

use mindir_graph::graph::Model;
use mindir_graph::lower::{Entry, Lowered, Stop, lower};
use mindir_graph::passes::validate::{Contents, Evaluate};
use mindir_graph::task::{Source, Task, TaskGraph, V};
use mindir_graph::{Buffer, Fact, OpError, Tensor};
use mindir_kernels::device::{Device, Place, Stage, Step, Weights};

use crate::reference::read;

/// The tasks of as many nodes of a model as can be lowered for these inputs at once.
///
/// # Errors
/// What the lowering says.
pub fn lowered(model: &Model, inputs: &[Tensor]) -> Result<TaskGraph, String> {
    Ok(stretch(model, inputs)?.tasks)
}

fn stretch(model: &Model, inputs: &[Tensor]) -> Result<Lowered, String> {
    let entry = |(v, t): (&_, &Tensor)| Entry { value: *v, fact: t.fact(), known: None };
    let entries: Vec<Entry> = model.entry().inputs.iter().zip(inputs).map(entry).collect();
    lower(model, model.entry(), 0, &entries, false).map_err(|e| e.to_string())
}

/// Lowers a whole model and computes its tasks one after the other. `params` are its parameters in order, of which those that
/// it writes change.
///
/// # Errors
/// What a task says; why lowering stops.
pub fn run_whole(
    model: &Model,
    inputs: &[Tensor],
    params: &mut [Tensor],
    evaluate: &Evaluate<'_>,
) -> Result<Vec<Tensor>, String> {
    let found = stretch(model, inputs)?;
    match found.stop {
        Stop::End => {}
        Stop::Value(_) | Stop::Dynamic => return Err("lowering stops at what depends on contents".into()),
        Stop::Call => return Err("lowering stops at a call".into()),
    }
    let variables = params.iter().cloned().enumerate().collect();
    let (results, writes) = run(&found.tasks, &Contents { inputs: inputs.to_vec(), variables }, evaluate)?;
    let graph = model.entry();
    let mut values: HashMap<_, _> = graph.inputs.iter().copied().zip(inputs.iter().cloned()).collect();
    values.extend(found.outputs.iter().copied().zip(results));
    for (param, new) in writes {
        params[param] = new;
    }
    graph.outputs.iter().map(|v| read(graph, &values, params, *v)).collect()
}

/// New contents of variables, with their indices.
pub type Writes = Vec<(usize, Tensor)>;

/// Computes the tasks of a graph one after the other. Gives its results and the new contents of variables.
///
/// # Errors
/// What a task says.
pub fn run(graph: &TaskGraph, contents: &Contents, evaluate: &Evaluate<'_>) -> Result<(Vec<Tensor>, Writes), String> {
    let mut values: HashMap<V, Tensor> = graph.inputs.iter().copied().zip(contents.inputs.iter().cloned()).collect();
    let read = |values: &HashMap<V, Tensor>, v: V| {
        let root = graph.root(v);
        let found = match &graph.values[root].source {
            Source::Const(t) => Some(t),
            Source::Variable(p) => contents.variables.iter().find(|(q, _)| p == q).map(|(_, t)| t),
            _ => values.get(&root),
        };
        let t = found.ok_or_else(|| format!("{v} was not computed"))?;
        t.reshape(&graph.fact(v).shape).map_err(|e| e.to_string())
    };
    for node in &graph.nodes {
        let ins = node.ins.iter().map(|v| read(&values, *v)).collect::<Result<Vec<_>, _>>()?;
        let facts: Vec<Fact> = node.outs.iter().map(|v| graph.fact(*v).clone()).collect();
        let outs = evaluate(&node.task, &ins, &facts).map_err(|e| format!("{}: {e}", node.path))?;
        values.extend(node.outs.iter().copied().zip(outs));
    }
    let results = graph.outputs.iter().map(|v| read(&values, *v)).collect::<Result<_, _>>()?;
    let writes = graph.writes.iter().map(|(p, v)| Ok((*p, read(&values, *v)?)));
    Ok((results, writes.collect::<Result<_, String>>()?))
}

/// What a model's task graph reads: these inputs, and the model's parameters.
pub fn contents(model: &Model, graph: &TaskGraph, inputs: &[Tensor]) -> Contents {
    let variables = graph.values.iter().filter_map(|value| match value.source {
        Source::Variable(p) => Some((p, model.params[p].tensor.clone())),
        _ => None,
    });
    Contents { inputs: inputs.to_vec(), variables: variables.collect() }
}

/// Computes a task on a device.
///
/// # Errors
/// What the device says.
pub fn on(device: &dyn Device, task: &Task, ins: &[Tensor], outs: &[Fact]) -> Result<Vec<Tensor>, OpError> {
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
    let program = stage.clone().build(device, &Weights::default()).map_err(|e| failed(&e))?;
    let mut session = program.session();
    let mut buffers: Vec<Buffer> = outs.iter().map(|f| Buffer::new(f.bytes())).collect::<Result<_, _>>()?;
    let sources: Vec<&[u8]> = ins.iter().map(|t| t.bytes().as_ref()).collect();
    let mut targets: Vec<&mut [u8]> = buffers.iter_mut().map(Buffer::bytes_mut).collect();
    let done = match device.own_memory() {
        None => session.run_bytes(&sources, &mut targets),
        Some(memory) => memory.run_bytes(session.as_mut(), (&stage.inputs, &stage.outputs), &sources, &mut targets),
    };
    done.map_err(|e| failed(&e))?;
    let tensor = |(b, f): (Buffer, &Fact)| Ok(Tensor::from_bytes(f.dtype, &f.shape, b.into_bytes())?);
    buffers.into_iter().zip(outs).map(tensor).collect()
}
