//! Every pass on random task graphs, on the goldens and on the operators' cases: what is computed before and after it.
//!
//! `MINDIR_RANDOM_SECONDS` runs the random graphs for that long from a fresh seed, which is printed; `MINDIR_RANDOM_SEED` says
//! where to start.

use std::panic::{AssertUnwindSafe, catch_unwind};

use mindir_graph::builder::single;
use mindir_graph::ops::OPS;
use mindir_graph::passes::validate::{Contents, Fault, plain_tolerance, validate};
use mindir_graph::passes::{Aims, PASSES, Pass, Precision, optimize};
use mindir_graph::task::{Conv, Gemm, Task, TaskGraph};
use mindir_graph::{DType, Fact, Tensor};
use mindir_kernels::cpu::{CpuDevice, Isa, Threads};
use mindir_kernels::plain;
use mindir_tests::compare::difference;
use mindir_tests::golden;
use mindir_tests::random::seeds;
use mindir_tests::random::tasks::{Style, graph};
use mindir_tests::tasks::{contents, lowered, on, run};

/// Collects what is wrong and says it all at the end.
#[derive(Default)]
struct Failures {
    list: Vec<String>,
    graphs: usize,
}

impl Failures {
    fn check(&mut self, name: impl std::fmt::Display, run: impl FnOnce() -> Result<(), String>) {
        self.graphs += 1;
        let failed = match catch_unwind(AssertUnwindSafe(run)) {
            Ok(Ok(())) => return,
            Ok(Err(e)) => e,
            Err(_) => "panic".to_string(),
        };
        println!("{name}: {failed}");
        self.list.push(format!("{name}: {failed}"));
    }

    #[track_caller]
    fn finish(self, least: usize) {
        println!("{} graphs, {} failures", self.graphs, self.list.len());
        let shown = &self.list[..self.list.len().min(20)];
        assert!(self.list.is_empty(), "{} of {} failed:\n{}", self.list.len(), self.graphs, shown.join("\n"));
        assert!(self.graphs >= least, "only {} graphs", self.graphs);
    }
}

fn plainly(graph: &TaskGraph, contents: &Contents) -> Result<TaskGraph, Fault> {
    validate(graph, contents, &plain::run, plain_tolerance)
}

/// What a pass changes in a graph. Where a pass may round otherwise, a number at the edge of a jump can fall to the other side of
/// it: it is a fault if that happens whatever the contents are.
fn fault(graph: &TaskGraph, seed: u64) -> Option<Fault> {
    let find = |seed| plainly(graph, &Contents::random(graph, seed)).err();
    let found = find(seed)?;
    let rounds = |name: &str| PASSES.iter().any(|pass| pass.name == name && !pass.exact);
    let by_rounding = matches!(&found, Fault::Differs { pass, .. } if rounds(pass));
    let elsewhere = by_rounding && (1..32).any(|i| find(seed.wrapping_add(i)).is_none());
    (!elsewhere).then_some(found)
}

#[test]
fn random_graphs_keep_their_results() {
    let mut failures = Failures::default();
    for seed in seeds(1500) {
        failures.check(seed, || fault(&graph(seed, Style::Any), seed).map_or(Ok(()), |e| Err(e.to_string())));
    }
    failures.finish(1);
}

/// On whole numbers every order of summation gives the same, so that the CPU must give the bits of the plain reference.
#[test]
fn random_graphs_are_the_same_on_the_cpu() {
    let device = CpuDevice::new(Isa::detect().unwrap(), Threads::new(1));
    let cpu = |task: &Task, ins: &[Tensor], outs: &[Fact]| on(&device, task, ins, outs);
    // The sign of zeros is left to the order of sums.
    let tolerance = |pass: &Pass| match pass.name {
        "strided-products" | "activations" | "fold-scale" | "layout" => f64::MIN_POSITIVE,
        _ => 0.0,
    };
    let mut failures = Failures::default();
    for seed in seeds(400) {
        failures.check(seed, || {
            let graph = graph(seed, Style::Whole);
            let contents = Contents::whole(&graph, seed);
            let after = plainly(&graph, &contents).map_err(|e| e.to_string())?;
            validate(&graph, &contents, &cpu, tolerance).map_err(|e| format!("cpu: {e}"))?;
            let (want, got) = (run(&graph, &contents, &plain::run)?.0, run(&after, &contents, &cpu)?.0);
            for (i, (got, want)) in got.iter().zip(&want).enumerate() {
                let d = difference(got, want).map_err(|e| format!("cpu: result {i}: {e}"))?;
                if d.max_abs > 0.0 {
                    return Err(format!("cpu: result {i} differs by {}", d.max_abs));
                }
            }
            Ok(())
        });
    }
    failures.finish(1);
}

/// What the pass `precision` makes of a graph is the graph whose products and convolutions read rounded operands, plainly and on
/// the CPU. Attention, whose products are not rounded, is left out.
#[test]
fn random_graphs_round_the_operands_of_products() {
    let device = CpuDevice::new(Isa::detect().unwrap(), Threads::new(1));
    let cpu = |task: &Task, ins: &[Tensor], outs: &[Fact]| on(&device, task, ins, outs);
    let (mut failures, mut changed) = (Failures::default(), 0);
    for (precision, dtype) in
        [(Precision::F16, DType::F16), (Precision::Bf16, DType::BF16), (Precision::Tf32, DType::F32)]
    {
        let rounded = |task: &Task, ins: &[Tensor], outs: &[Fact]| {
            let product =
                matches!(task, Task::Gemm(Gemm { dtype: DType::F32, .. }) | Task::Conv(Conv { dtype: DType::F32, .. }));
            let mut ins = ins.to_vec();
            for t in ins.iter_mut().take(if product { 2 } else { 0 }) {
                *t = t.cast(dtype).and_then(|t| t.cast(DType::F32))?;
            }
            plain::run(task, &ins, outs)
        };
        for seed in seeds(150) {
            failures.check(format!("{seed} in {}", precision.name()), || {
                let graph = graph(seed, Style::Whole);
                let contents = Contents::whole(&graph, seed);
                let mut after = graph.clone();
                let aims = Aims { precision, ..Aims::default() };
                let notes = optimize(&mut after, &aims, |pass| pass != "attention");
                changed += usize::from(notes.list.iter().any(|note| note.pass == "precision" && note.applied));
                let want = run(&graph, &contents, &rounded)?.0;
                for (name, got) in
                    [("plain", run(&after, &contents, &plain::run)?.0), ("cpu", run(&after, &contents, &cpu)?.0)]
                {
                    for (i, (got, want)) in got.iter().zip(&want).enumerate() {
                        let d = difference(got, want).map_err(|e| format!("{name}: result {i}: {e}"))?;
                        if d.max_abs > 0.0 {
                            return Err(format!("{name}: result {i} differs by {}", d.max_abs));
                        }
                    }
                }
                Ok(())
            });
        }
    }
    assert!(changed > failures.graphs / 4, "{changed} of {} graphs have products", failures.graphs);
    failures.finish(1);
}

/// As on the CPU, but for tasks that the device declines: with the adapter's limits, and with bindings so small that tensors are
/// taken in parts.
#[cfg(feature = "wgpu")]
#[test]
fn random_graphs_are_the_same_on_wgpu() {
    use mindir_graph::passes::optimize;
    use mindir_kernels::device::{Device, TaskView};
    use mindir_kernels::wgpu::{Limits, Options, WgpuDevice};

    let mut failures = Failures::default();
    for within in [None, Some(Limits { binding: 512, ..Limits::default() })] {
        let device = match WgpuDevice::new(&Options { software: true, within, ..Options::default() }) {
            Ok(device) => device,
            Err(e) => {
                let required = std::env::var("MINDIR_REQUIRE").unwrap_or_default();
                assert!(!required.split(',').any(|r| r == "wgpu"), "{e}");
                println!("wgpu: no graph is run: {e}");
                return;
            }
        };
        let wgpu = |task: &Task, ins: &[Tensor], outs: &[Fact]| {
            let (facts, known) = (ins.iter().map(Tensor::fact).collect::<Vec<_>>(), vec![false; ins.len()]);
            match device.offer(TaskView { task, ins: &facts, known: &known, outs }) {
                Ok(_) => on(&device, task, ins, outs),
                Err(_) => plain::run(task, ins, outs),
            }
        };
        for seed in seeds(100) {
            failures.check(format!("{seed} {within:?}"), || {
                let graph = graph(seed, Style::Whole);
                let contents = Contents::whole(&graph, seed);
                let want = run(&graph, &contents, &plain::run)?.0;
                let mut optimized = graph.clone();
                optimize(&mut optimized, &Aims::default(), |_| true);
                for graph in [graph, optimized] {
                    let got = run(&graph, &contents, &wgpu)?.0;
                    for (i, (got, want)) in got.iter().zip(&want).enumerate() {
                        let d = difference(got, want).map_err(|e| format!("result {i}: {e}"))?;
                        if d.max_abs > 0.0 {
                            return Err(format!("result {i} differs by {}", d.max_abs));
                        }
                    }
                }
                Ok(())
            });
        }
    }
    failures.finish(2);
}

#[test]
fn goldens_keep_their_results() {
    let mut failures = Failures::default();
    for golden in golden::all(&golden::folder()) {
        let Ok(model) = mindir::load(&golden.graph) else { continue };
        for set in golden.runs.iter().take(1) {
            let inputs = set.inputs(model.entry().inputs.len());
            let Ok(graph) = lowered(&model, &inputs) else { continue };
            failures.check(&golden.name, || {
                let given = contents(&model, &graph, &inputs);
                plainly(&graph, &given).map(drop).map_err(|e| e.to_string())
            });
        }
    }
    failures.finish(20);
}

#[test]
fn operators_keep_their_results() {
    let mut failures = Failures::default();
    for def in OPS {
        for case in (def.cases)() {
            let (model, inputs) = single(def, &case, 1);
            let Ok(graph) = lowered(&model, &inputs) else { continue };
            failures.check(format!("{} ({})", def.name, case.name), || {
                let given = contents(&model, &graph, &inputs);
                plainly(&graph, &given).map(drop).map_err(|e| e.to_string())
            });
        }
    }
    failures.finish(200);
}
