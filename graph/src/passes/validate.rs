//! Translation validation: a task graph is run before and after every pass, and whatever differs is named.
//!
//! The tasks are computed by a function that the caller gives: the plain reference of the kernels says what they mean, a
//! device how they come out there.

use std::sync::Arc;

use super::{Aims, Notes, PASSES, Pass, check};
use crate::random::SplitMix;
use crate::task::{Source, Task, TaskGraph, TaskNode, V};
use crate::{DType, Fact, OpError, Table, Tensor, TensorError};

/// Computes a task: its operands, and the facts of its results.
pub type Evaluate<'a> = dyn Fn(&Task, &[Tensor], &[Fact]) -> Result<Vec<Tensor>, OpError> + 'a;

/// What a task graph reads from outside.
#[derive(Clone, Debug, Default)]
pub struct Contents {
    /// The inputs, by index.
    pub inputs: Vec<Tensor>,
    /// What variables hold, with their indices.
    pub variables: Vec<(usize, Tensor)>,
}

/// How a pass or a task graph failed.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
pub enum Fault {
    /// A task of the graph as it was before any pass cannot be computed: nothing can be said of the passes.
    #[error("{path}: {ops}: {error}")]
    Unfit {
        /// Path of the task's node.
        path: Arc<str>,
        /// Its operators.
        ops: Arc<str>,
        /// What stands against it.
        error: OpError,
    },
    /// A pass left a task graph that is not well formed.
    #[error("pass {pass}: {why}")]
    Broken {
        /// The pass.
        pass: &'static str,
        /// What is wrong with the graph.
        why: String,
    },
    /// A pass made a task that cannot be computed.
    #[error("pass {pass}: {path}: {ops}: {error}")]
    Fails {
        /// The pass.
        pass: &'static str,
        /// Path of the task's node.
        path: Arc<str>,
        /// Its operators.
        ops: Arc<str>,
        /// What stands against it.
        error: OpError,
    },
    /// A pass changed what is computed.
    #[error("pass {pass}: {site}: element {element} is {after}, was {before}")]
    Differs {
        /// The pass.
        pass: &'static str,
        /// Where the difference is.
        site: Site,
        /// Index of the first element that differs, in row-major order.
        element: usize,
        /// The element before the pass.
        before: f64,
        /// The element after the pass.
        after: f64,
    },
}

/// A place where values are compared.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Site {
    /// A result of a task.
    Task {
        /// Path of the task's node.
        path: Arc<str>,
        /// Its operators.
        ops: Arc<str>,
        /// Which of its results.
        result: usize,
    },
    /// A result of the graph, by index.
    Result(usize),
    /// New contents of a variable, by the variable's index.
    Write(usize),
}

impl std::fmt::Display for Site {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Site::Task { path, ops, result } => write!(f, "{path}: {ops}: result {result}"),
            Site::Result(i) => write!(f, "result {i} of the graph"),
            Site::Write(i) => write!(f, "new contents of variable {i}"),
        }
    }
}

/// What a pass may change with the plain reference as evaluation: nothing if it is exact, else 10⁻⁴.
pub fn plain_tolerance(pass: &Pass) -> f64 {
    if pass.exact { 0.0 } else { 1e-4 }
}

/// Runs every pass over `graph` with the default [`Aims`] and computes the tasks before and after each of them. Returns the graph after all passes.
///
/// Every task of the rewritten graph is given what the graph computed before the pass, so that a difference is found in the
/// task that makes it, and is compared with the value that it stands for. Results must have the same bits, NaN apart; a
/// positive `tolerance` of a pass allows them to differ by so much of the largest finite magnitude in the tensor.
///
/// # Errors
/// The first [`Fault`].
pub fn validate(
    graph: &TaskGraph,
    contents: &Contents,
    evaluate: &Evaluate<'_>,
    tolerance: impl Fn(&Pass) -> f64,
) -> Result<TaskGraph, Fault> {
    let mut before = graph.clone();
    let mut values = Values::start(&before, contents);
    values.run(&before, None, evaluate, |_, _| Ok(())).map_err(|e| match e {
        Stop::Task { path, ops, error } => Fault::Unfit { path, ops, error },
        Stop::Fault(fault) => fault,
    })?;
    for pass in PASSES {
        let mut after = before.clone();
        (pass.run)(&mut after, &mut Notes { pass: pass.name, ..Notes::default() }, &Aims::default());
        check::task_graph(&after).map_err(|why| Fault::Broken { pass: pass.name, why })?;
        let compare = Compare { pass: pass.name, tolerance: tolerance(pass) };
        let mut found = Values::start(&after, contents);
        let fails = |e| match e {
            Stop::Task { path, ops, error } => Fault::Fails { pass: pass.name, path, ops, error },
            Stop::Fault(fault) => fault,
        };
        let tasks = |node: &TaskNode, outs: &[Tensor]| compare.task(node, outs, &values);
        found.run(&after, Some(&values), evaluate, tasks).map_err(fails)?;
        compare.results(&before, &values, &after, &found)?;
        if compare.tolerance > 0.0 {
            // Tasks were given what the graph computed before: what it computes now is another thing.
            found = Values::start(&after, contents);
            found.run(&after, None, evaluate, |_, _| Ok(())).map_err(fails)?;
        }
        (before, values) = (after, found);
    }
    Ok(before)
}

impl Contents {
    /// Seeded contents: small whole numbers and fractions; in every other tensor also −0, infinities, NaN, very large and
    /// the smallest numbers, one of them in one element of forty.
    pub fn random(graph: &TaskGraph, seed: u64) -> Contents {
        Contents::with(graph, seed, true)
    }

    /// Seeded contents of small whole numbers, so that sums of their products are exact in any order.
    pub fn whole(graph: &TaskGraph, seed: u64) -> Contents {
        Contents::with(graph, seed, false)
    }

    fn with(graph: &TaskGraph, seed: u64, special: bool) -> Contents {
        let mut numbers = Numbers(SplitMix(seed));
        let inputs = graph.inputs.iter().map(|v| numbers.tensor(graph.fact(*v), special)).collect();
        let variables = graph.values.iter().filter_map(|value| match value.source {
            Source::Variable(p) => Some((p, numbers.tensor(&value.fact, special))),
            _ => None,
        });
        Contents { inputs, variables: variables.collect() }
    }
}

/// A stream of numbers that look random.
struct Numbers(SplitMix);

impl Numbers {
    fn below(&mut self, n: u64) -> u64 {
        self.0.below(n)
    }

    fn tensor(&mut self, fact: &Fact, special: bool) -> Tensor {
        let special = special && self.below(2) == 0;
        let count = fact.count();
        let made = if fact.dtype.is_float() {
            let data: Vec<f64> = (0..count).map(|_| self.number(fact.dtype, special)).collect();
            Tensor::from_f64s(fact.dtype, &fact.shape, &data)
        } else if fact.dtype.is_complex() {
            Tensor::zeros(fact.dtype, &fact.shape)
        } else {
            let signed = matches!(fact.dtype, DType::I8 | DType::I16 | DType::I32 | DType::I64);
            let data: Vec<i64> = (0..count).map(|_| self.below(4) as i64 - i64::from(signed)).collect();
            let data = if fact.dtype == DType::Bool { data.iter().map(|x| x & 1).collect() } else { data };
            Tensor::from_i64s(fact.dtype, &fact.shape, &data)
        };
        made.unwrap_or_else(|_: TensorError| Tensor::scalar(0.0f32))
    }

    fn number(&mut self, dtype: DType, special: bool) -> f64 {
        if special && self.below(40) == 0 {
            // Large numbers leave room for sums: whether those overflow depends on where they are rounded.
            let (large, smallest) = match dtype {
                DType::F16 => (65504.0, 2f64.powi(-24)),
                DType::BF16 => (1e25, 2f64.powi(-133)),
                DType::F32 => (1e25, 2f64.powi(-149)),
                _ => (1e200, f64::from_bits(1)),
            };
            return match self.below(8) {
                0 => -0.0,
                1 => f64::INFINITY,
                2 => f64::NEG_INFINITY,
                3 => f64::NAN,
                4 => large,
                5 => smallest,
                6 => -large,
                _ => -smallest,
            };
        }
        let whole = self.below(7) as f64 - 3.0;
        if special && self.below(3) == 0 { whole / 8.0 } else { whole }
    }
}

/// The contents of values, by root, as far as they are known.
struct Values(Table<V, Option<Tensor>>);

/// Why a run ended early.
enum Stop {
    /// A task failed.
    Task {
        path: Arc<str>,
        ops: Arc<str>,
        error: OpError,
    },
    Fault(Fault),
}

impl Values {
    fn start(graph: &TaskGraph, contents: &Contents) -> Values {
        let known = |value: &crate::task::TaskValue| match &value.source {
            Source::Input(i) => contents.inputs.get(*i).cloned(),
            Source::Variable(p) => contents.variables.iter().find(|(q, _)| q == p).map(|(_, t)| t.clone()),
            Source::Const(t) => Some(t.clone()),
            Source::Later | Source::Task | Source::Alias(_) => None,
        };
        Values(graph.values.map(known))
    }

    fn get(&self, root: V) -> Option<&Tensor> {
        self.0.find(root)?.as_ref()
    }

    /// The contents of `v` with its own dimensions.
    fn read(&self, graph: &TaskGraph, v: V) -> Result<Tensor, OpError> {
        let found = self.get(graph.root(v)).ok_or_else(|| OpError::Invalid(format!("{v} has no contents")))?;
        Ok(found.reshape(&graph.fact(v).shape)?)
    }

    /// Computes all tasks; each reads what `first` has, and only otherwise what was computed here. `done` is told the results.
    fn run(
        &mut self,
        graph: &TaskGraph,
        first: Option<&Values>,
        evaluate: &Evaluate<'_>,
        done: impl Fn(&TaskNode, &[Tensor]) -> Result<(), Fault>,
    ) -> Result<(), Stop> {
        for node in &graph.nodes {
            let failed = |error| Stop::Task { path: node.path.clone(), ops: node.ops.clone(), error };
            let read = |v: &V| match first {
                Some(first) if first.get(graph.root(*v)).is_some() => first.read(graph, *v),
                _ => self.read(graph, *v),
            };
            let facts: Vec<Fact> = node.outs.iter().map(|o| graph.fact(*o).clone()).collect();
            let ins = node.ins.iter().map(read).collect::<Result<Vec<Tensor>, OpError>>();
            let outs = ins.and_then(|ins| evaluate(&node.task, &ins, &facts)).map_err(failed)?;
            done(node, &outs).map_err(Stop::Fault)?;
            for (o, t) in node.outs.iter().zip(outs) {
                self.0[*o] = Some(t);
            }
        }
        Ok(())
    }
}

struct Compare {
    pass: &'static str,
    tolerance: f64,
}

impl Compare {
    /// Compares the results of a task with the values that they stand for.
    fn task(&self, node: &TaskNode, outs: &[Tensor], before: &Values) -> Result<(), Fault> {
        for (result, (o, after)) in node.outs.iter().zip(outs).enumerate() {
            if let Some(before) = before.get(*o) {
                let site = || Site::Task { path: node.path.clone(), ops: node.ops.clone(), result };
                self.tensors(before, after, site)?;
            }
        }
        Ok(())
    }

    fn results(&self, before: &TaskGraph, old: &Values, after: &TaskGraph, new: &Values) -> Result<(), Fault> {
        let broken = |e: OpError| Fault::Broken { pass: self.pass, why: e.to_string() };
        let sites = (0..before.outputs.len()).map(Site::Result);
        let sites = sites.chain(before.writes.iter().map(|(p, _)| Site::Write(*p)));
        let all = |g: &TaskGraph| g.outputs.iter().chain(g.writes.iter().map(|(_, v)| v)).copied().collect::<Vec<V>>();
        let (was, is) = (all(before), all(after));
        if was.len() != is.len() {
            return Err(Fault::Broken { pass: self.pass, why: format!("{} results, were {}", is.len(), was.len()) });
        }
        for ((v, w), site) in was.into_iter().zip(is).zip(sites) {
            let (v, w) = (old.read(before, v).map_err(broken)?, new.read(after, w).map_err(broken)?);
            self.tensors(&v, &w, || site.clone())?;
        }
        Ok(())
    }

    fn tensors(&self, before: &Tensor, after: &Tensor, site: impl Fn() -> Site) -> Result<(), Fault> {
        if before.dtype() != after.dtype() || before.count() != after.count() {
            let why = format!("{}: {}, was {}", site(), after.fact(), before.fact());
            return Err(Fault::Broken { pass: self.pass, why });
        }
        if before.bytes() == after.bytes() {
            return Ok(());
        }
        let (Ok(old), Ok(new)) = (before.to_f64s(), after.to_f64s()) else {
            let why = format!("{}: the bytes differ", site());
            return Err(Fault::Broken { pass: self.pass, why });
        };
        let finite = old.iter().filter(|x| x.is_finite());
        let bound = self.tolerance * finite.fold(0.0, |a: f64, x| a.max(x.abs()));
        let size = before.dtype().size();
        let bits = before.bytes().chunks_exact(size).zip(after.bytes().chunks_exact(size));
        let same = |a: f64, b: f64| {
            let close = self.tolerance > 0.0 && (a == b || (a - b).abs() <= bound);
            a.is_nan() && b.is_nan() || close
        };
        let mut pairs = old.into_iter().zip(new).zip(bits).enumerate();
        match pairs.find(|(_, ((a, b), (old, new)))| old != new && !same(*a, *b)) {
            Some((element, ((before, after), _))) => {
                Err(Fault::Differs { pass: self.pass, site: site(), element, before, after })
            }
            None => Ok(()),
        }
    }
}
