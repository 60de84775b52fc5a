//! Every case of every operator: the lowered tasks, run plainly, against the operator's reference.

use std::collections::HashMap;

use mindir_graph::builder::{Builder, single};
use mindir_graph::graph::{Arg, ValueId};
use mindir_graph::lower::{Entry, Stop, lower, run_node};
use mindir_graph::op::{Case, OpDef};
use mindir_graph::ops::OPS;
use mindir_graph::passes::optimize;
use mindir_graph::task::{Source, TaskGraph, V};
use mindir_graph::{DType, Spec, Tensor};
use mindir_kernels::plain;
use mindir_tests::compare::difference;

fn reference(def: &'static OpDef, case: &Case) -> Result<Vec<Tensor>, String> {
    let (model, inputs) = single(def, case, 1);
    let tensors: HashMap<ValueId, Tensor> = model.entry().inputs.iter().copied().zip(inputs).collect();
    run_node(&model, model.entry(), &model.entry().nodes[0], &tensors).map_err(|e| e.to_string())
}

/// The contents of `v`, with its own shape.
fn read(tasks: &TaskGraph, values: &HashMap<V, Tensor>, v: V) -> Result<Tensor, String> {
    let root = tasks.root(v);
    let t = match &tasks.values[root.0 as usize].source {
        Source::Const(t) => t.clone(),
        _ => values.get(&root).cloned().ok_or_else(|| format!("{v} was not computed"))?,
    };
    t.reshape(&tasks.fact(v).shape).map_err(|e| e.to_string())
}

fn run(tasks: &TaskGraph, inputs: &[Tensor]) -> Result<Vec<Tensor>, String> {
    let mut values: HashMap<V, Tensor> = tasks.inputs.iter().copied().zip(inputs.iter().cloned()).collect();
    for node in &tasks.nodes {
        let ins = node.ins.iter().map(|v| read(tasks, &values, *v)).collect::<Result<Vec<_>, _>>()?;
        let outs: Vec<_> = node.outs.iter().map(|v| tasks.fact(*v).clone()).collect();
        let results = plain::run(&node.task, &ins, &outs).map_err(|e| e.to_string())?;
        values.extend(node.outs.iter().copied().zip(results));
    }
    tasks.outputs.iter().map(|v| read(tasks, &values, *v)).collect()
}

fn check(def: &'static OpDef, case: &Case) -> Result<(), String> {
    let want = reference(def, case)?;
    let (model, inputs) = single(def, case, want.len());
    let entry = |(v, t): (&ValueId, &Tensor)| Entry { value: *v, fact: t.fact(), known: None };
    let entries: Vec<Entry> = model.entry().inputs.iter().zip(&inputs).map(entry).collect();
    let lowered = lower(&model, model.entry(), 0, &entries, false).map_err(|e| e.to_string())?;
    if lowered.stop != Stop::End {
        return Ok(());
    }
    let got = run(&lowered.tasks, &inputs)?;
    for (i, (got, want)) in got.iter().zip(&want).enumerate() {
        let d = difference(got, want).map_err(|e| format!("result {i}: {e}"))?;
        if d.relative() > case.tolerance {
            return Err(format!("result {i} differs by {:.2e}, allowed {:.1e}", d.relative(), case.tolerance));
        }
    }
    Ok(())
}

#[test]
fn lowered_tasks_agree_with_references() {
    let mut failures = Vec::new();
    for def in OPS {
        for case in (def.cases)() {
            if let Err(e) = check(def, &case) {
                failures.push(format!("{} ({}): {e}", def.name, case.name));
            }
        }
    }
    assert!(failures.is_empty(), "{} failures:\n{}", failures.len(), failures.join("\n"));
}

/// A map that reads through a reshape is joined with its producer, whose dimensions it takes over; its result keeps its own.
#[test]
fn maps_are_joined_across_a_reshape() {
    let mut b = Builder::new("scaled");
    let x = b.input("x", Spec::fixed(DType::F16, &[2, 1, 1, 8]));
    let scale = b.input("scale", Spec::fixed(DType::F16, &[2, 1, 1, 1]));
    let y = b.op("Mul", [x.into(), scale.into()]).unwrap();
    let y = b.op("Reshape", [y.into(), Arg::from(&[2i64, 8][..])]).unwrap();
    let y = b.op("Neg", [y.into()]).unwrap();
    let model = b.finish(&[y]);
    let data: Vec<f64> = (0..16).map(f64::from).collect();
    let x = Tensor::from_f64s(DType::F16, &[2, 1, 1, 8], &data).unwrap();
    let scale = Tensor::from_f64s(DType::F16, &[2, 1, 1, 1], &[2.0, -1.0]).unwrap();
    let inputs = [x, scale];
    let entry = |(v, t): (&ValueId, &Tensor)| Entry { value: *v, fact: t.fact(), known: None };
    let entries: Vec<Entry> = model.entry().inputs.iter().zip(&inputs).map(entry).collect();
    let mut tasks = lower(&model, model.entry(), 0, &entries, false).unwrap().tasks;
    optimize(&mut tasks, |_| true);
    assert_eq!(tasks.nodes.len(), 1);
    let got = run(&tasks, &inputs).unwrap();
    let want: Vec<f64> = (0..16).map(|i| f64::from(i) * if i < 8 { -2.0 } else { 1.0 }).collect();
    assert_eq!((got[0].shape(), got[0].to_f64s().unwrap()), (&[2, 8][..], want));
}
