//! What devices compute: some families of dense work with every shape known.
//!
//! Operators *lower* to tasks (see [`crate::lower`]); devices implement tasks and know nothing of operators. A task reads
//! and writes dense row-major tensors unless its own fields give strides. This module holds no code that computes; the
//! kernels do.

mod attention;
mod conv;
mod copy;
mod gather;
mod gemm;
mod host;
mod lowering;
mod map;
mod norm;
mod pool;
mod recurrent;
mod reduce;
mod resize;
mod scan;
mod scatter;
mod sort;

use std::fmt;
use std::sync::Arc;

pub use attention::Attention;
pub use conv::{Conv, Layout};
pub use copy::{Copy, Part};
pub use gather::Gather;
pub use gemm::{Epilogue, EpilogueInput, Gemm, Matrix};
pub use host::Host;
pub use lowering::Lowering;
pub(crate) use map::Registers;
pub use map::{Binary, Instr, Map, Program, Reg, Scalar, Unary};
pub use norm::{Norm, NormKind, Softmax};
pub use pool::{Pool, PoolKind};
pub use recurrent::{Cell, Recurrent, Squash};
pub use reduce::{Reduce, ReduceKind};
pub use resize::{Coordinates, Resize, ResizeMode};
pub use scan::{Scan, ScanKind};
pub use scatter::{Scatter, ScatterKind};
pub use sort::{Sort, Ties};

use crate::{Fact, Id, Table, Tensor};

/// One unit of work for a device.
#[derive(Clone, Debug)]
pub enum Task {
    /// Batched matrix product with an epilogue.
    Gemm(Gemm),
    /// Two-dimensional convolution with an epilogue.
    Conv(Conv),
    /// Two-dimensional maximum or average pooling.
    Pool(Pool),
    /// Element-wise program with broadcasting.
    Map(Map),
    /// Strided copies: transpose, slice, concatenate, pad, repeat.
    Copy(Copy),
    /// Reduction of one axis.
    Reduce(Reduce),
    /// Softmax or its logarithm along one axis.
    Softmax(Softmax),
    /// Layer or RMS normalisation of rows.
    Norm(Norm),
    /// Rows picked by an index tensor.
    Gather(Gather),
    /// Image resizing.
    Resize(Resize),
    /// Cumulative sum or product.
    Scan(Scan),
    /// Slices replaced or added to by an index tensor.
    Scatter(Scatter),
    /// The first elements along one axis, in order.
    Sort(Sort),
    /// The steps of a recurrent layer.
    Recurrent(Recurrent),
    /// Scores, their softmax, and its product with the values.
    Attention(Box<Attention>),
    /// An operator's own reference, run on the host.
    Host(Host),
}

impl Task {
    /// Name of the family, lower case.
    pub fn family(&self) -> &'static str {
        match self {
            Task::Gemm(_) => "gemm",
            Task::Conv(_) => "conv",
            Task::Pool(_) => "pool",
            Task::Map(_) => "map",
            Task::Copy(_) => "copy",
            Task::Reduce(_) => "reduce",
            Task::Softmax(_) => "softmax",
            Task::Norm(_) => "norm",
            Task::Gather(_) => "gather",
            Task::Resize(_) => "resize",
            Task::Scan(_) => "scan",
            Task::Scatter(_) => "scatter",
            Task::Sort(_) => "sort",
            Task::Recurrent(_) => "recurrent",
            Task::Attention(_) => "attention",
            Task::Host(_) => "host",
        }
    }

    /// Floating-point operations of one run: a multiply-add counts two, every other arithmetic step of a map, pool,
    /// reduction, softmax or norm one per element, and so does sorting. The largest number stands for more.
    pub fn flops(&self, outs: &[Fact]) -> u64 {
        let out = outs.first().map_or(0, Fact::count) as u64;
        match self {
            Task::Gemm(g) => times([2, g.batch_count(), g.m, g.n, g.k]).saturating_add(g.epilogue_flops(out)),
            Task::Conv(c) => c.flops().saturating_add(c.epilogue_flops(out)),
            Task::Pool(p) => times(p.kernel).saturating_mul(out),
            Task::Map(m) => m.program.flops().saturating_mul(out),
            Task::Reduce(r) => times([r.outer, r.len, r.inner]),
            Task::Sort(s) => times([s.outer, s.len, s.inner]),
            Task::Softmax(_) => out.saturating_mul(4),
            Task::Norm(_) => out.saturating_mul(6),
            Task::Resize(_) => out.saturating_mul(8),
            Task::Scan(_) => out,
            Task::Recurrent(r) => times([2, r.hidden + 2, r.cell.gates()]).saturating_mul(out),
            Task::Attention(a) => a.flops(),
            Task::Scatter(s) if s.kind != ScatterKind::Replace => times([s.count, s.inner]),
            Task::Copy(_) | Task::Gather(_) | Task::Scatter(_) | Task::Host(_) => 0,
        }
    }

    /// Bytes that the task reads and writes if no cache holds any: operands and results, each once, of an operand of a product
    /// only its matrices, and of the table of a gather only as much as goes into the result.
    pub fn bytes(&self, ins: &[Fact], outs: &[Fact]) -> usize {
        let sum = |facts: &[Fact]| facts.iter().map(Fact::bytes).fold(0, usize::saturating_add);
        let read = match (self, ins) {
            (Task::Gather(_), [table, indices @ ..]) => table.bytes().min(sum(outs)).saturating_add(sum(indices)),
            (Task::Gemm(g), [a, b, others @ ..]) => {
                g.left_bytes(a).saturating_add(g.right_bytes(b)).saturating_add(sum(others))
            }
            (Task::Attention(a), [q, k, others @ .., v]) => {
                [a.scores.left_bytes(q), a.scores.right_bytes(k), sum(others)]
                    .into_iter()
                    .fold(a.values.right_bytes(v), usize::saturating_add)
            }
            _ => sum(ins),
        };
        read.saturating_add(sum(outs))
    }
}

impl Task {
    /// What a composite task is made of, for a device that computes the parts but not the whole; `None` for all other tasks, and if
    /// operands or results are missing. The graph's inputs are the operands, its outputs the results.
    pub fn expand(&self, ins: &[Fact], outs: &[Fact]) -> Option<TaskGraph> {
        match self {
            Task::Attention(a) => a.expand(ins, outs),
            _ => None,
        }
    }
}

/// A product, or the largest number instead of more.
fn times<const N: usize>(factors: [usize; N]) -> u64 {
    factors.iter().fold(1, |n: u64, &factor| n.saturating_mul(factor as u64))
}

/// A value of a [`TaskGraph`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct V(pub u32);

impl Id for V {
    fn new(at: usize) -> V {
        V(at as u32)
    }

    fn at(self) -> usize {
        self.0 as usize
    }
}

impl fmt::Display for V {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "%{}", self.0)
    }
}

/// Where a value of a [`TaskGraph`] comes from.
#[derive(Clone, Debug)]
pub enum Source {
    /// The caller's input with this index.
    Input(usize),
    /// Known before the run.
    Const(Tensor),
    /// What follows from constants and is not made, as the graph will not run.
    Later,
    /// What the model's variable with this index holds when the task graph starts.
    Variable(usize),
    /// An output of a node.
    Task,
    /// The same elements as another value, with other dimensions.
    Alias(V),
}

/// A tensor of a [`TaskGraph`].
#[derive(Clone, Debug)]
pub struct TaskValue {
    /// Element type and shape.
    pub fact: Fact,
    /// Where it comes from.
    pub source: Source,
}

/// A task with its operands.
#[derive(Clone, Debug)]
pub struct TaskNode {
    /// What to compute.
    pub task: Task,
    /// Operands, in the order that the family documents.
    pub ins: Vec<V>,
    /// Results.
    pub outs: Vec<V>,
    /// Path of the graph node that this task came from.
    pub path: Arc<str>,
    /// Operators that this task computes, joined by `+`.
    pub ops: Arc<str>,
}

/// A straight line of tasks over values, in an order that respects data.
///
/// Every value is written once. Variables are read as they were at the start; `writes` take effect at the end.
#[derive(Clone, Debug, Default)]
pub struct TaskGraph {
    /// All values.
    pub values: Table<V, TaskValue>,
    /// Tasks in execution order.
    pub nodes: Vec<TaskNode>,
    /// The values with [`Source::Input`], by input index.
    pub inputs: Vec<V>,
    /// Results, in order.
    pub outputs: Vec<V>,
    /// New contents of variables.
    pub writes: Vec<(usize, V)>,
}

impl TaskGraph {
    /// Adds a value.
    pub fn value(&mut self, fact: Fact, source: Source) -> V {
        self.values.add(TaskValue { fact, source })
    }

    /// Element type and shape of `v`.
    pub fn fact(&self, v: V) -> &Fact {
        &self.values[v].fact
    }

    /// The value whose storage `v` shares, following aliases.
    pub fn root(&self, v: V) -> V {
        let mut v = v;
        while let Source::Alias(of) = self.values[v].source {
            v = of;
        }
        v
    }

    /// The contents of `v` with its own shape, if known before the run.
    pub fn known(&self, v: V) -> Option<Tensor> {
        match &self.values[self.root(v)].source {
            Source::Const(t) => t.reshape(&self.fact(v).shape).ok(),
            _ => None,
        }
    }

    /// Whether the contents of `v` follow from the model alone, known or not.
    pub fn is_constant(&self, v: V) -> bool {
        matches!(self.values[self.root(v)].source, Source::Const(_) | Source::Later)
    }

    /// For every value, the index of the node that writes its storage.
    pub fn producers(&self) -> Table<V, Option<usize>> {
        let mut by_root = self.values.filled(None);
        for (i, node) in self.nodes.iter().enumerate() {
            for &o in &node.outs {
                by_root[o] = Some(i);
            }
        }
        self.values.ids().map(|v| by_root[self.root(v)]).collect()
    }

    /// For every value, how often its storage is read: by nodes, as an output, or to be written to a variable. Indexed by
    /// root; aliases have 0.
    pub fn uses(&self) -> Table<V, usize> {
        let mut uses = self.values.filled(0);
        let reads =
            self.nodes.iter().flat_map(|n| &n.ins).chain(&self.outputs).chain(self.writes.iter().map(|(_, v)| v));
        for &v in reads {
            uses[self.root(v)] += 1;
        }
        uses
    }
}

impl fmt::Display for TaskGraph {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for node in &self.nodes {
            for (i, o) in node.outs.iter().enumerate() {
                write!(f, "{}{o}: {}", if i == 0 { "" } else { ", " }, self.fact(*o))?;
            }
            write!(f, " = {}(", node.task.family())?;
            for (i, &v) in node.ins.iter().enumerate() {
                let root = self.root(v);
                let kind = match self.values[root].source {
                    Source::Const(_) | Source::Later => "const ",
                    Source::Input(_) => "input ",
                    Source::Variable(_) => "variable ",
                    _ => "",
                };
                write!(f, "{}{kind}{root}", if i == 0 { "" } else { ", " })?;
            }
            writeln!(f, ")  {} {}", node.ops, node.path)?;
        }
        Ok(())
    }
}
