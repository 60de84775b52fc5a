//! Every operator's tasks against its reference, on the operator's own cases.

use mindir_graph::graph::{Arg, Def, Graph, Model, Nest, Node, NodeKind, Origin, ValueId};
use mindir_graph::lower::{Entry, Stop, lower};
use mindir_graph::op::{Case, CaseArg, OpDef};
use mindir_graph::ops::OPS;
use mindir_graph::task::{Source, TaskGraph, V};
use mindir_graph::{Spec, Tensor};
use mindir_kernels::plain;

struct Build {
    graph: Graph,
    tensors: Vec<Tensor>,
}

impl Build {
    fn input(&mut self, t: &Tensor) -> Arg {
        let spec = Spec::fixed(t.dtype(), t.shape());
        let id = self.graph.add_value("x", spec, Def::Input(self.tensors.len()));
        self.graph.inputs.push(id);
        self.tensors.push(t.clone());
        Arg::Value(id)
    }

    fn arg(&mut self, arg: &CaseArg) -> Arg {
        match arg {
            CaseArg::Tensor(t) => self.input(t),
            CaseArg::Tensors(ts) => Arg::List(ts.iter().map(|t| self.input(t)).collect()),
            CaseArg::Const(c) => Arg::Const(c.clone()),
        }
    }
}

/// A model of one node, and its inputs.
fn model(def: &'static OpDef, case: &Case, outputs: usize) -> (Model, Vec<Tensor>) {
    let mut b = Build { graph: Graph::new("case"), tensors: Vec::new() };
    let args = case.args.iter().map(|a| a.as_ref().map(|a| b.arg(a))).collect();
    let results: Vec<ValueId> = (0..outputs).map(|_| b.graph.add_value("y", Spec::default(), Def::Node)).collect();
    let kind = NodeKind::Op(def);
    b.graph.nodes.push(Node { name: "node".into(), path: "node".into(), kind, args, outputs: results.clone() });
    b.graph.outputs = results;
    b.graph.nest = Nest::Tuple(vec![Nest::Leaf; outputs]);
    (Model { origin: Origin::default(), graphs: vec![b.graph], params: Vec::new() }, b.tensors)
}

fn run(tasks: &TaskGraph, inputs: &[Tensor]) -> Result<Vec<Tensor>, String> {
    let mut values: Vec<Option<Tensor>> = vec![None; tasks.values.len()];
    let get = |values: &[Option<Tensor>], v: V| -> Result<Tensor, String> {
        let root = tasks.root(v);
        let t = match &tasks.values[root.0 as usize].source {
            Source::Const(t) => t.clone(),
            Source::Input(i) => inputs[*i].clone(),
            _ => values[root.0 as usize].clone().ok_or("value is read before it is written")?,
        };
        t.reshape(&tasks.fact(v).shape).map_err(|e| e.to_string())
    };
    for node in &tasks.nodes {
        let ins = node.ins.iter().map(|&v| get(&values, v)).collect::<Result<Vec<_>, _>>()?;
        let outs: Vec<_> = node.outs.iter().map(|&v| tasks.fact(v).clone()).collect();
        let results = plain::run(&node.task, &ins, &outs).map_err(|e| format!("{}: {e}", node.task.family()))?;
        for (&v, t) in node.outs.iter().zip(results) {
            values[v.0 as usize] = Some(t);
        }
    }
    tasks.outputs.iter().map(|&v| get(&values, v)).collect()
}

fn error(got: &Tensor, want: &Tensor) -> f64 {
    if got.fact() != want.fact() {
        return f64::INFINITY;
    }
    let (Ok(a), Ok(b)) = (got.to_f64s(), want.to_f64s()) else {
        return if got == want { 0.0 } else { f64::INFINITY };
    };
    let scale = b.iter().filter(|x| x.is_finite()).fold(1.0f64, |m, x| m.max(x.abs()));
    a.iter()
        .zip(&b)
        .map(|(x, y)| if x == y || x.is_nan() && y.is_nan() { 0.0 } else { (x - y).abs() / scale })
        .fold(0.0, f64::max)
}

/// The tasks' results and the reference's, with every input unknown, or known where the operator needs it.
fn check(def: &'static OpDef, case: &Case) -> Result<usize, String> {
    let (probe, tensors) = model(def, case, 0);
    let node = &probe.entry().nodes[0];
    let known = probe.entry().inputs.iter().copied().zip(tensors.iter().cloned()).collect();
    let want = mindir_graph::lower::run_node(&probe, probe.entry(), node, &known).map_err(|e| e.to_string())?;
    let (m, _) = model(def, case, want.len());
    let graph = m.entry();
    let mut reveal = vec![false; tensors.len()];
    let lowered = loop {
        let entry = |(i, id): (usize, &ValueId)| Entry {
            value: *id,
            fact: tensors[i].fact(),
            known: reveal[i].then(|| tensors[i].clone()),
        };
        let entries: Vec<Entry> = graph.inputs.iter().enumerate().map(entry).collect();
        let lowered = lower(&m, graph, 0, &entries, false).map_err(|e| e.to_string())?;
        match lowered.stop {
            Stop::End => break lowered,
            Stop::Value(id) => {
                let i = graph.inputs.iter().position(|x| *x == id).ok_or("needs a strange value")?;
                reveal[i] = true;
            }
            Stop::Dynamic => return Ok(0),
            Stop::Call => return Err("stopped at a call".into()),
        }
    };
    let got = run(&lowered.tasks, &tensors)?;
    if got.len() != want.len() {
        return Err(format!("{} results, expected {}", got.len(), want.len()));
    }
    for (i, (g, w)) in got.iter().zip(&want).enumerate() {
        let e = error(g, w);
        if e > case.tolerance {
            return Err(format!("result {i}: error {e:e} over {:e}: got {g:?}, want {w:?}", case.tolerance));
        }
    }
    Ok(lowered.tasks.nodes.iter().filter(|n| n.task.family() == "host").count())
}

#[test]
fn tasks_compute_what_references_do() {
    let mut failures = Vec::new();
    let mut host = std::collections::BTreeSet::new();
    for def in OPS {
        for case in (def.cases)() {
            match check(def, &case) {
                Ok(0) => {}
                Ok(_) => {
                    host.insert(def.name);
                }
                Err(e) => failures.push(format!("{}, {}: {e}", def.name, case.name)),
            }
        }
    }
    println!("on the host: {host:?}");
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}
