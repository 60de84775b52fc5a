//! Whether a model computes the same in whichever way it runs.
//!
//! [`check`] runs a model without passes and on one thread, and compares with that all passes, every instruction set of the
//! machine, several threads, a device, and what comes back from a MindIR and an ONNX file of it.

mod agreement;
mod inputs;

use std::fmt;
use std::sync::Arc;

use mindir_graph::graph::{Def, Model, Node, NodeKind};
use mindir_graph::lower::{Entry, Stop, lower};
use mindir_graph::op::Const;
use mindir_graph::passes::validate::{Contents, plain_tolerance, validate};
use mindir_graph::task::Source as TaskSource;
use mindir_graph::{DType, Fact, Tensor};
use mindir_kernels::device::Device;

use crate::graph::Arg;
use crate::machine::Isa;
use crate::{DEVICES, Error, GraphCell, Precision, Source};

pub use agreement::agreement;
pub use inputs::{Set, inputs};

/// Passes that do not change how products and sums are computed: after them, results have the same bits.
const EXACT: [&str; 4] = ["dead-code", "merge-copies", "fuse-maps", "sweep"];

/// How to [`check`].
#[derive(Clone, Debug)]
pub struct Options {
    /// Threads of the runs with several.
    pub threads: usize,
    /// How far results may be apart where sums are taken in another order, relative to the largest magnitude in a tensor;
    /// `None` is 10⁻⁴, or 16 units in the last place of the shortest float type in the model or of the precision that cells have
    /// where that is more.
    pub tolerance: Option<f64>,
    /// Options of the cells that run. Threads, instruction set and passes are as each run has them; a device makes runs of its
    /// own.
    pub cell: crate::Options,
}

impl Default for Options {
    /// As many threads as a cell uses by default, and at least two.
    fn default() -> Options {
        let threads = crate::machine::processor().map_or(2, |p| p.threads.max(2));
        Options { threads, tolerance: None, cell: crate::Options::default() }
    }
}

/// A way to run a model.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Run {
    /// On the CPU.
    Cpu {
        /// Instruction set.
        isa: &'static str,
        /// Whether all passes run, or none.
        passes: bool,
        /// Threads.
        threads: usize,
    },
    /// On the device of the options.
    Device {
        /// Its name.
        name: &'static str,
        /// Whether all passes run, or none.
        passes: bool,
    },
    /// Without passes, written as MindIR and read again.
    MindIr,
    /// Without passes, written as ONNX and read again.
    Onnx,
}

impl fmt::Display for Run {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Run::Cpu { isa, passes, threads } => {
                let (passes, s) = (if *passes { "all" } else { "no" }, if *threads == 1 { "" } else { "s" });
                write!(f, "{isa}, {passes} passes, {threads} thread{s}")
            }
            Run::Device { name, passes } => write!(f, "{name}, {} passes", if *passes { "all" } else { "no" }),
            Run::MindIr => f.write_str("through MindIR"),
            Run::Onnx => f.write_str("through ONNX"),
        }
    }
}

/// How a run compares with the one that it is held against.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// The run that all others are held against.
    Reference,
    /// The same bits, NaN apart.
    Same,
    /// Apart by this much of the largest magnitude, which the tolerance allows.
    Close(f64),
    /// The model has no form of this kind; why.
    NoForm(String),
    /// Something else.
    Differs(Fault),
}

/// What a run did differently.
#[derive(Clone, Debug, PartialEq)]
pub struct Fault {
    /// The result with its first element that differs, or the error that the run ended with.
    pub what: String,
    /// The pass that makes the difference: with those before it there is none.
    pub pass: Option<&'static str>,
    /// The first node whose result differs, where every node can be looked at; for a pass, the task that it gives other
    /// results.
    pub node: Option<String>,
}

impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.what)?;
        self.pass.iter().try_for_each(|pass| write!(f, "; first in pass {pass}"))?;
        self.node.iter().try_for_each(|node| write!(f, "; first at {node}"))
    }
}

/// All runs of a [`check`].
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// Runs in order, the reference first.
    pub runs: Vec<(Run, Outcome)>,
    /// The tolerance that was applied.
    pub tolerance: f64,
}

impl Report {
    /// Every run that differs.
    pub fn faults(&self) -> impl Iterator<Item = (&Run, &Fault)> {
        self.runs.iter().filter_map(|(run, outcome)| match outcome {
            Outcome::Differs(fault) => Some((run, fault)),
            _ => None,
        })
    }

    /// Whether nothing differs.
    pub fn is_equal(&self) -> bool {
        self.faults().next().is_none()
    }
}

/// Runs `model` in every way with the same inputs, twice each, in cells of their own, and compares results and parameters.
///
/// For each instruction set, one thread and several must give the same bits with all passes, and without. All passes must
/// agree with none, with the same bits if only such passes applied as leave products and sums alone. Instruction sets agree
/// with the first of them within the tolerance, as do a device and a model that was written as ONNX; one that was written as MindIR has
/// the same bits if one plan covers each of the two. Between plans the order of nodes, which files may change, decides what is known of
/// the operands and computed by the definitions.
///
/// # Errors
/// The error of the reference: without passes, on one thread, with the plainest instruction set.
pub fn check(model: impl Into<Arc<Model>>, inputs: &[Tensor], options: &Options) -> Result<Report, Error> {
    let model = model.into();
    let tolerance = options.tolerance.unwrap_or_else(|| tolerance(&model, inputs, options.cell.precision));
    let cpu = crate::Options { device: None, ..options.cell.clone() };
    let mut checker = Checker { model, inputs, options: &cpu, tolerance, runs: Vec::new() };
    let all = Isa::all();
    let mut plainest = None;
    for isa in all {
        let found = checker.instruction_set(isa, options.threads, plainest.as_ref())?;
        plainest = plainest.or(Some((isa, found)));
    }
    if let Some((isa, reference)) = plainest {
        if let Some(device) = &options.cell.device {
            checker.device(device, isa, &reference);
        }
        checker.files(isa, &reference);
    }
    Ok(Report { runs: checker.runs, tolerance })
}

/// Results by what they are called.
type Results = Vec<(String, Tensor)>;

struct Checker<'a> {
    options: &'a crate::Options,
    model: Arc<Model>,
    inputs: &'a [Tensor],
    tolerance: f64,
    runs: Vec<(Run, Outcome)>,
}

impl Checker<'_> {
    /// All runs with an instruction set. Returns the results without passes on one thread.
    fn instruction_set(&mut self, isa: Isa, many: usize, plainest: Option<&(Isa, Results)>) -> Result<Results, Error> {
        let cell = |passes: Passes, threads| self.cell(self.model.clone(), isa, passes, threads);
        let (bare, bare_many) = (cell(Passes::First(0), 1)?, cell(Passes::First(0), many)?);
        let (full, full_many) = (cell(Passes::All, 1)?, cell(Passes::All, many)?);
        let bound = if self.sums_stay(&full) { 0.0 } else { self.tolerance };
        let run = |passes, threads| Run::Cpu { isa: isa.name(), passes, threads };
        let (reference, outcome) = match plainest {
            None => (self.results(&bare)?, Outcome::Reference),
            Some((plainest, want)) => {
                let got = self.results(&bare);
                let node = || self.first_node(&self.bare(*plainest)?, &bare, self.tolerance);
                let outcome = compare(&got, want, self.tolerance, |fault| fault.node = node());
                (got.unwrap_or_else(|_| want.clone()), outcome)
            }
        };
        let mut runs = vec![(run(false, 1), outcome)];
        let threads = |got: &Result<Results, Error>, want: &Results, one: &GraphCell, several: &GraphCell| {
            compare(got, want, 0.0, |fault| fault.node = self.first_node(one, several, 0.0))
        };
        runs.push((run(false, many), threads(&self.results(&bare_many), &reference, &bare, &bare_many)));
        let optimized = self.results(&full);
        let blame = |fault: &mut Fault| {
            fault.pass = self.first_pass(isa, &reference, bound);
            fault.node = self.first_task();
        };
        runs.push((run(true, 1), compare(&optimized, &reference, bound, blame)));
        if let Ok(optimized) = &optimized {
            runs.push((run(true, many), threads(&self.results(&full_many), optimized, &full, &full_many)));
        }
        self.runs.extend(runs);
        Ok(reference)
    }

    /// The model on a device, without passes and with all of them.
    fn device(&mut self, device: &Arc<dyn Device>, isa: Isa, reference: &Results) {
        let name = DEVICES.iter().map(|d| d.name).find(|name| *name == device.name()).unwrap_or("device");
        for (passes, of) in [(false, Passes::First(0)), (true, Passes::All)] {
            let options = crate::Options { isa: Some(isa), disabled_passes: of.disabled(), ..self.options.clone() };
            let cell = || GraphCell::new(self.model.clone(), options.clone().with_device(device.clone()));
            let got = cell().and_then(|cell| self.results(&cell));
            let node = || self.first_node(&self.bare(isa)?, &cell().ok()?, self.tolerance);
            let outcome = compare(&got, reference, self.tolerance, |fault| fault.node = node());
            self.runs.push((Run::Device { name, passes }, outcome));
        }
    }

    /// The model written and read again.
    fn files(&mut self, isa: Isa, reference: &Results) {
        let exact = self.bare(isa).is_some_and(|cell| self.is_one_plan(&cell));
        let mindir = match mindir_loader::mindir::to_bytes(&self.model) {
            Ok(bytes) => self.read_again("model.mindir", bytes, isa, reference, exact),
            Err(e) => Outcome::NoForm(e.to_string()),
        };
        self.runs.push((Run::MindIr, mindir));
        #[cfg(feature = "onnx")]
        self.onnx_file(isa, reference);
    }

    #[cfg(feature = "onnx")]
    fn onnx_file(&mut self, isa: Isa, reference: &Results) {
        let opset = crate::onnx::Options::default().opset;
        let onnx = match mindir_loader::onnx::to_bytes(&self.model, opset) {
            _ if !self.as_declared() => Outcome::NoForm("the inputs have other shapes than the model declares".into()),
            Ok(bytes) => self.read_again("model.onnx", bytes, isa, reference, false),
            Err(e) => Outcome::NoForm(e.to_string()),
        };
        self.runs.push((Run::Onnx, onnx));
    }

    /// What a model that was written gives: the same bits if `exact` and one plan covers it too.
    fn read_again(&self, name: &str, bytes: Vec<u8>, isa: Isa, reference: &Results, exact: bool) -> Outcome {
        let mut bound = self.tolerance;
        let run = || {
            let model = crate::load_source(Source::from_bytes(name, bytes))?.model;
            let cell = self.cell(model.into(), isa, Passes::First(0), 1)?;
            if exact && self.is_one_plan(&cell) {
                bound = 0.0;
            }
            self.results(&cell)
        };
        let names =
            |results: Results| results.into_iter().zip(reference).map(|((_, t), (n, _))| (n.clone(), t)).collect();
        compare(&run().map(names), reference, bound, |_| {})
    }

    /// Whether the inputs have the shapes that the model declares.
    #[cfg(feature = "onnx")]
    fn as_declared(&self) -> bool {
        let graph = self.model.entry();
        graph.inputs.iter().zip(self.inputs).all(|(v, t)| graph.value(*v).spec.takes(t.shape()))
    }

    fn cell(&self, model: Arc<Model>, isa: Isa, passes: Passes, threads: usize) -> Result<GraphCell, Error> {
        let options = crate::Options {
            threads: Some(threads),
            isa: Some(isa),
            disabled_passes: passes.disabled(),
            ..self.options.clone()
        };
        GraphCell::new(model, options)
    }

    fn bare(&self, isa: Isa) -> Option<GraphCell> {
        self.cell(self.model.clone(), isa, Passes::First(0), 1).ok()
    }

    /// The results of two calls, and what the parameters that the model writes hold after them.
    fn results(&self, cell: &GraphCell) -> Result<Results, Error> {
        let mut results = Vec::new();
        for call in ["", " of the second call"] {
            let name = |(i, port): (usize, crate::Port)| format!("output {i} {}{call}", port.name);
            let names = cell.outputs().into_iter().enumerate().map(name);
            results.extend(names.zip(cell.run(self.inputs)?));
        }
        let written = self.model.params.iter().filter(|p| p.mutable);
        let held = |p: &crate::graph::Param| Some((format!("parameter {}", p.name), cell.param(&p.name)?));
        results.extend(written.filter_map(held));
        Ok(results)
    }

    /// Whether one plan covers the model, and does what is asked.
    fn plan_is(&self, cell: &GraphCell, asked: impl Fn(&crate::Plan) -> bool) -> bool {
        let facts: Vec<Fact> = self.inputs.iter().map(Tensor::fact).collect();
        let Ok(plan) = cell.plan(&facts) else { return false };
        plan.stops().is_none() && asked(&plan)
    }

    fn is_one_plan(&self, cell: &GraphCell) -> bool {
        self.plan_is(cell, |_| true)
    }

    /// Whether only passes applied that leave products and sums as they are.
    fn sums_stay(&self, cell: &GraphCell) -> bool {
        self.plan_is(cell, |plan| plan.notes().iter().filter(|n| n.applied).all(|n| EXACT.contains(&n.pass)))
    }

    /// The first pass after which the results differ when one after the other is let run.
    fn first_pass(&self, isa: Isa, reference: &Results, bound: f64) -> Option<&'static str> {
        let differs = |count: &usize| {
            let cell = self.cell(self.model.clone(), isa, Passes::First(*count), 1);
            let got = cell.and_then(|cell| self.results(&cell));
            matches!(compare(&got, reference, bound, |_| {}), Outcome::Differs(_))
        };
        let names: Vec<&'static str> = crate::Options::passes().collect();
        let count = (1..=names.len()).find(differs)?;
        names.get(count - 1).copied()
    }

    /// The first task that a pass gives other results, computed by the plain reference; `None` for models that are no straight
    /// line, and where devices differ rather than tasks.
    fn first_task(&self) -> Option<String> {
        let graph = self.model.entry();
        let entry = |(v, t): (&_, &Tensor)| Entry { value: *v, fact: t.fact(), known: None };
        let entries: Vec<Entry> = graph.inputs.iter().zip(self.inputs).map(entry).collect();
        let lowered = lower(&self.model, graph, 0, &entries, false).ok().filter(|l| l.stop == Stop::End)?;
        let variables = lowered.tasks.values.iter().filter_map(|value| match value.source {
            TaskSource::Variable(p) => Some((p, self.model.params.get(p)?.tensor.clone())),
            _ => None,
        });
        let contents = Contents { inputs: self.inputs.to_vec(), variables: variables.collect() };
        let found = validate(&lowered.tasks, &contents, &mindir_kernels::plain::run, plain_tolerance);
        found.err().map(|fault| fault.to_string())
    }

    /// The first node that two cells do not agree about.
    fn first_node(&self, one: &GraphCell, other: &GraphCell, bound: f64) -> Option<String> {
        let (want, got) = (one.trace(self.inputs).ok()?, other.trace(self.inputs).ok()?);
        let differs = |(want, got): &(&(_, _, Tensor), &(_, _, Tensor))| agreement(&got.2, &want.2, bound).is_err();
        let pairs = want.iter().zip(&got);
        let mut pairs = pairs.map(|(w, g): (&(String, String, Tensor), &(String, String, Tensor))| (w, g));
        pairs.find(differs).map(|(want, _)| want.1.clone())
    }
}

/// Which passes run.
#[derive(Clone, Copy)]
enum Passes {
    All,
    /// The first of the list, so many.
    First(usize),
}

impl Passes {
    fn disabled(self) -> Vec<String> {
        match self {
            Passes::All => Vec::new(),
            Passes::First(0) => vec!["all".into()],
            Passes::First(count) => crate::Options::passes().skip(count).map(String::from).collect(),
        }
    }
}

/// Compares the results of a run; `blame` finds out more about a fault.
fn compare(got: &Result<Results, Error>, want: &Results, bound: f64, blame: impl FnOnce(&mut Fault)) -> Outcome {
    let differs = |what: String| {
        let mut fault = Fault { what, pass: None, node: None };
        blame(&mut fault);
        Outcome::Differs(fault)
    };
    let got = match got {
        Ok(got) if got.len() == want.len() => got,
        Ok(got) => return differs(format!("{} results, expected {}", got.len(), want.len())),
        Err(e) => return differs(format!("fails: {e}")),
    };
    let mut apart: Option<f64> = None;
    for ((name, want), (_, got)) in want.iter().zip(got) {
        match agreement(got, want, bound) {
            Ok(found) => apart = found.into_iter().chain(apart).reduce(f64::max),
            Err(why) => return differs(format!("{name}: {why}")),
        }
    }
    apart.map_or(Outcome::Same, Outcome::Close)
}

/// Element types that arguments of a node name. Files hold them as numbers too, in arguments that are called so.
fn types_asked_for(node: &Node) -> impl Iterator<Item = DType> {
    let params = if let NodeKind::Op(def) = &node.kind { def.params } else { &[] };
    params.iter().zip(&node.args).filter_map(|(param, arg)| match arg {
        Some(Arg::Const(Const::DType(dtype))) => Some(*dtype),
        Some(Arg::Const(Const::Int(id))) if param.name.ends_with("type") => DType::from_type_id(*id),
        _ => None,
    })
}

/// The tolerance for the float types in a model and for what operands are rounded to.
fn tolerance(model: &Model, inputs: &[Tensor], precision: Precision) -> f64 {
    let values = model.graphs.iter().flat_map(|g| g.values.iter());
    let stated = values.filter_map(|v| match &v.def {
        Def::Const(t) => Some(t.dtype()),
        _ => v.spec.dtype,
    });
    let asked = model.graphs.iter().flat_map(|g| &g.nodes).flat_map(types_asked_for);
    let held = model.params.iter().map(|p| p.tensor.dtype()).chain(inputs.iter().map(Tensor::dtype));
    let unit = |dtype| match dtype {
        DType::BF16 => 2f64.powi(-8),
        DType::F16 => 2f64.powi(-11),
        _ => 0.0,
    };
    let rounded = match precision {
        Precision::F32 => None,
        Precision::Tf32 | Precision::F16 => Some(DType::F16),
        Precision::Bf16 => Some(DType::BF16),
    };
    stated.chain(asked).chain(held).chain(rounded).map(|dtype| 16.0 * unit(dtype)).fold(1e-4, f64::max)
}
