//! Operators to tasks: walks a graph with concrete input facts and lets every operator say what it computes.
//!
//! The walk knows every shape and propagates small constants, so that shape arithmetic disappears. It stops in front of a
//! node that needs the contents of a value computed at run time, whose result shape depends on data, or that calls a graph;
//! the caller runs what was lowered so far and continues from there with what it learnt.

use std::collections::HashMap;
use std::sync::Arc;

use smallvec::SmallVec;

use crate::bounds::{self, Exceeded};
use crate::graph::{Arg, Def, Graph, GraphId, Layer, Model, Node, NodeKind, ValueId};
use crate::op::{ArgValue, Args, Const, Effect, OpDef, Operand, ParamKind, Watch};
use crate::task::{
    Binary, Cell, Copy, Gather, Gemm, Host, Map, Matrix, Norm, NormKind, Part, Program, Recurrent, Reduce, ReduceKind,
    Scan, ScanKind, Scatter, ScatterKind, Softmax, Source, Task, TaskGraph, TaskNode, Unary, V,
};
use crate::{DType, Fact, OpError, Shape, Strides, Tensor, broadcast, broadcast_strides, count, dense_strides, shape};

/// Results with at most this many elements are computed while lowering when all operands are known.
const FOLD_LIMIT: usize = 4096;

/// Builds a [`TaskGraph`]; what operators lower into.
#[derive(Debug, Default)]
pub struct Lowering {
    graph: TaskGraph,
    path: Arc<str>,
    op: Arc<str>,
    /// Notes who reads a shape while dimensions are open.
    watch: Option<Watch>,
}

impl Lowering {
    /// Element type and shape of `v`.
    pub fn fact(&self, v: V) -> &Fact {
        if let Some(watch) = &self.watch {
            watch.note();
        }
        self.graph.fact(v)
    }

    /// From here on shapes mean nothing, and `watch` notes who reads one; `None` ends that.
    pub(crate) fn open(&mut self, watch: Option<Watch>) {
        self.watch = watch;
    }

    /// The contents of `v`, if known before the run.
    pub fn known(&self, v: V) -> Option<Tensor> {
        self.graph.known(v)
    }

    /// Where `v` comes from.
    pub(crate) fn source(&self, v: V) -> &Source {
        &self.graph.values[v.0 as usize].source
    }

    /// The value whose storage `v` shares.
    pub(crate) fn root(&self, v: V) -> V {
        self.graph.root(v)
    }

    /// The tasks from number `first` on.
    pub(crate) fn tasks_from(&self, first: usize) -> &[TaskNode] {
        self.graph.nodes.get(first..).unwrap_or_default()
    }

    /// A constant.
    pub fn constant(&mut self, tensor: Tensor) -> V {
        self.graph.value(tensor.fact(), Source::Const(tensor))
    }

    /// A constant of rank 0.
    pub fn scalar(&mut self, dtype: DType, value: f64) -> Result<V, OpError> {
        Ok(self.constant(Tensor::from_f64s(dtype, &[], &[value])?))
    }

    /// A task; returns its results, one for each fact.
    pub fn task(&mut self, task: Task, ins: &[V], outs: Vec<Fact>) -> Vec<V> {
        let outs: Vec<V> = outs.into_iter().map(|f| self.graph.value(f, Source::Task)).collect();
        let node =
            TaskNode { task, ins: ins.to_vec(), outs: outs.clone(), path: self.path.clone(), ops: self.op.clone() };
        self.graph.nodes.push(node);
        outs
    }

    fn task1(&mut self, task: Task, ins: &[V], out: Fact) -> V {
        self.task(task, ins, vec![out])[0]
    }

    /// The same elements with other dimensions.
    ///
    /// # Errors
    /// [`OpError::Invalid`] if the number of elements differs.
    pub fn reshape(&mut self, v: V, dims: &[usize]) -> Result<V, OpError> {
        let fact = self.fact(v).clone();
        if fact.shape.as_slice() == dims {
            return Ok(v);
        }
        crate::ensure!(crate::checked_count(dims) == Some(fact.count()), "cannot reshape {fact} to {dims:?}");
        let root = self.graph.root(v);
        Ok(self.graph.value(Fact::new(fact.dtype, dims), Source::Alias(root)))
    }

    /// An element-wise program over values that broadcast to `dims`. Input `i` of the program is `ins[i]`.
    pub fn map(&mut self, program: Program, ins: &[V], dims: &[usize]) -> V {
        let dtype = program.dtype().unwrap_or(DType::F32);
        self.task1(Task::Map(Map { shape: shape(dims), program }), ins, Fact::new(dtype, dims))
    }

    /// An element-wise program over `ins`, with the dimensions that all of `like` broadcast to.
    ///
    /// # Errors
    /// [`OpError::Invalid`] if the shapes do not broadcast.
    pub fn elementwise(&mut self, program: Program, ins: &[V], like: &[V]) -> Result<V, OpError> {
        let mut dims = Shape::new();
        for &v in like {
            let own = &self.graph.fact(v).shape;
            dims = broadcast(&dims, own)
                .ok_or_else(|| OpError::Invalid(format!("shape {own:?} does not broadcast with {dims:?}")))?;
        }
        Ok(self.map(program, ins, &dims))
    }

    /// `f(x)` element by element.
    pub fn unary(&mut self, f: Unary, x: V) -> V {
        let fact = self.graph.fact(x).clone();
        let mut p = Program::new();
        let r = p.input(0, fact.dtype);
        p.unary(f, r);
        self.map(p, &[x], &fact.shape)
    }

    /// `f(a, b)` element by element with broadcasting; both operands are converted to their common type first.
    ///
    /// # Errors
    /// [`OpError::Invalid`] if the shapes do not broadcast.
    pub fn binary(&mut self, f: Binary, a: V, b: V) -> Result<V, OpError> {
        let (fa, fb) = (self.graph.fact(a).clone(), self.graph.fact(b).clone());
        let dims = broadcast(&fa.shape, &fb.shape)
            .ok_or_else(|| OpError::Invalid(format!("shapes {:?} and {:?} do not broadcast", fa.shape, fb.shape)))?;
        let dtype = DType::promote(fa.dtype, fb.dtype);
        let mut p = Program::new();
        let ra = p.input(0, fa.dtype);
        let ra = p.cast(ra, dtype);
        let rb = p.input(1, fb.dtype);
        let rb = p.cast(rb, dtype);
        p.binary(f, ra, rb);
        Ok(self.map(p, &[a, b], &dims))
    }

    /// `x` converted to `dtype`.
    pub fn cast(&mut self, x: V, dtype: DType) -> V {
        let fact = self.graph.fact(x).clone();
        if fact.dtype == dtype {
            return x;
        }
        let mut p = Program::new();
        let r = p.input(0, fact.dtype);
        p.cast(r, dtype);
        self.map(p, &[x], &fact.shape)
    }

    /// Strided copies into a tensor of `dims`; every input of the parts has the element type of `ins[0]`.
    pub fn copy(&mut self, ins: &[V], parts: Vec<Part>, fill: Option<Vec<u8>>, dims: &[usize]) -> V {
        let dtype = self.fact(ins[0]).dtype;
        self.task1(Task::Copy(Copy { dtype, fill, parts }), ins, Fact::new(dtype, dims))
    }

    /// One strided read of `x`: element `i` of the result is at `offset + Σ i·strides`.
    pub fn strided(&mut self, x: V, offset: usize, strides: Strides, dims: &[usize]) -> V {
        let part = Part {
            input: 0,
            shape: shape(dims),
            src_offset: offset,
            src: strides,
            dst_offset: 0,
            dst: dense_strides(dims),
        };
        self.copy(&[x], vec![part], None, dims)
    }

    /// Dimension `i` of the result is dimension `perm[i]` of `x`.
    ///
    /// # Errors
    /// [`OpError::Invalid`] if `perm` is no permutation of the dimensions.
    pub fn transpose(&mut self, x: V, perm: &[usize]) -> Result<V, OpError> {
        let dims = self.fact(x).shape.clone();
        let mut seen = perm.to_vec();
        seen.sort_unstable();
        crate::ensure!(
            seen.iter().copied().eq(0..dims.len()),
            "{perm:?} is no permutation of {} dimensions",
            dims.len()
        );
        let out: Shape = perm.iter().map(|&p| dims[p]).collect();
        let moved: Vec<usize> = perm.iter().copied().filter(|&p| dims[p] != 1).collect();
        if moved.is_sorted() {
            return self.reshape(x, &out);
        }
        let strides = dense_strides(&dims);
        let strides: Strides = perm.iter().map(|&p| strides[p]).collect();
        Ok(self.strided(x, 0, strides, &out))
    }

    /// `x` repeated to `dims` (right-aligned, as in NumPy).
    ///
    /// # Errors
    /// [`OpError::Invalid`] if the shapes do not broadcast.
    pub fn broadcast_to(&mut self, x: V, dims: &[usize]) -> Result<V, OpError> {
        let from = self.fact(x).shape.clone();
        if count(&from) == count(dims) && from.len() <= dims.len() {
            return self.reshape(x, dims);
        }
        let strides = broadcast_strides(&from, dims)
            .ok_or_else(|| OpError::Invalid(format!("shape {from:?} does not broadcast to {dims:?}")))?;
        Ok(self.strided(x, 0, strides, dims))
    }

    /// Elements `begin[d] + i·step[d]`, `size[d]` of them along each dimension.
    ///
    /// # Errors
    /// [`OpError::Invalid`] if an element lies outside `x`.
    pub fn slice(&mut self, x: V, begin: &[usize], size: &[usize], step: &[isize]) -> Result<V, OpError> {
        let dims = self.fact(x).shape.clone();
        crate::ensure!(
            begin.len() == dims.len() && size.len() == dims.len() && step.len() == dims.len(),
            "slice of {} dimensions applied to {dims:?}",
            begin.len()
        );
        if size == dims.as_slice() && step.iter().all(|&s| s == 1) {
            return Ok(x);
        }
        if size.contains(&0) {
            return Ok(self.constant(Tensor::zeros(self.fact(x).dtype, size)?));
        }
        let dense = dense_strides(&dims);
        let mut offset = 0;
        let mut strides = Strides::new();
        for d in 0..dims.len() {
            let last = begin[d] as isize + (size[d] as isize - 1) * step[d];
            crate::ensure!(
                begin[d] < dims[d] && last >= 0 && last < dims[d] as isize,
                "slice reaches beyond dimension {d} of {dims:?}"
            );
            offset += begin[d] * dense[d] as usize;
            strides.push(dense[d] * step[d]);
        }
        Ok(self.strided(x, offset, strides, size))
    }

    /// Tensors joined along `axis`.
    ///
    /// # Errors
    /// [`OpError::Invalid`] if they differ in another dimension or in the element type.
    pub fn concat(&mut self, xs: &[V], axis: usize) -> Result<V, OpError> {
        crate::ensure!(!xs.is_empty(), "nothing to concatenate");
        if xs.len() == 1 {
            return Ok(xs[0]);
        }
        let mut out = self.fact(xs[0]).clone();
        out.shape[axis] = xs.iter().map(|&x| self.fact(x).shape.get(axis).copied().unwrap_or(0)).sum();
        let dst = dense_strides(&out.shape);
        let mut parts = Vec::new();
        let mut at = 0;
        for (input, &x) in xs.iter().enumerate() {
            let f = self.fact(x).clone();
            let same = f.rank() == out.rank() && (0..f.rank()).all(|d| d == axis || f.shape[d] == out.shape[d]);
            crate::ensure!(
                same && f.dtype == out.dtype,
                "cannot concatenate {} and {f} along axis {axis}",
                self.fact(xs[0])
            );
            if f.count() > 0 {
                let src = dense_strides(&f.shape);
                parts.push(Part {
                    input,
                    shape: f.shape.clone(),
                    src_offset: 0,
                    src,
                    dst_offset: at * dst[axis] as usize,
                    dst: dst.clone(),
                });
            }
            at += f.shape[axis];
        }
        Ok(self.copy(xs, parts, None, &out.shape))
    }

    /// `op(a) · op(b)` over the last two dimensions, where `op` swaps them if asked; batch dimensions broadcast.
    ///
    /// # Errors
    /// [`OpError::Invalid`] if the dimensions do not fit.
    pub fn matmul(&mut self, a: V, b: V, trans_a: bool, trans_b: bool) -> Result<V, OpError> {
        let (fa, fb) = (self.fact(a).clone(), self.fact(b).clone());
        crate::ensure!(fa.rank() >= 2 && fb.rank() >= 2, "matrix product of {fa} and {fb}");
        crate::ensure!(fa.dtype == fb.dtype, "matrix product of {} and {}", fa.dtype, fb.dtype);
        let ends = |f: &Fact, t: bool| {
            let (r, c) = (f.shape[f.rank() - 2], f.shape[f.rank() - 1]);
            if t { (c, r) } else { (r, c) }
        };
        let ((m, k), (kb, n)) = (ends(&fa, trans_a), ends(&fb, trans_b));
        crate::ensure!(k == kb, "inner dimensions differ in the matrix product of {fa} and {fb}: {k} and {kb}");
        let (ba, bb) = (&fa.shape[..fa.rank() - 2], &fb.shape[..fb.rank() - 2]);
        let batch = broadcast(ba, bb)
            .ok_or_else(|| OpError::Invalid(format!("batch dimensions of {fa} and {fb} do not broadcast")))?;
        let layout = |dims: &[usize], t: bool, rows: usize, cols: usize| {
            let batch = broadcast_strides(dims, &batch).unwrap_or_default();
            let batch: Strides = batch.iter().map(|s| s * (rows * cols) as isize).collect();
            if t {
                Matrix { batch, row: 1, col: rows, offset: 0 }
            } else {
                Matrix { batch, row: cols, col: 1, offset: 0 }
            }
        };
        let mut out = batch.clone();
        out.extend([m, n]);
        // Rows of all batches form one product when every batch shares `b`.
        let shared = count(bb) == 1 && !trans_a && ba.len() == batch.len();
        let (gb, gm) = if shared { (Shape::new(), count(&batch) * m) } else { (batch.clone(), m) };
        let (la, lb) = if shared {
            let flat = |rows: usize, cols: usize, t: bool| Matrix {
                batch: Strides::new(),
                row: if t { 1 } else { cols },
                col: if t { rows } else { 1 },
                offset: 0,
            };
            (flat(gm, k, false), flat(k, n, trans_b))
        } else {
            (layout(ba, trans_a, m, k), layout(bb, trans_b, k, n))
        };
        let lc = Matrix {
            batch: dense_strides(&gb).iter().map(|s| s * (gm * n) as isize).collect(),
            row: n,
            col: 1,
            offset: 0,
        };
        let task = Gemm { batch: gb, m: gm, n, k, a: la, b: lb, c: lc, dtype: fa.dtype, out: fa.dtype, epilogue: None };
        Ok(self.task1(Task::Gemm(task), &[a, b], Fact::new(fa.dtype, &out)))
    }

    /// A reduction over `axes` (sorted, distinct); `out` is the element type of positions.
    ///
    /// # Errors
    /// [`OpError::Invalid`] if positions are asked for along several axes.
    pub fn reduce(&mut self, kind: ReduceKind, x: V, axes: &[usize], keep: bool, out: DType) -> Result<V, OpError> {
        let fact = self.fact(x).clone();
        let dtype = if matches!(kind, ReduceKind::ArgMax | ReduceKind::ArgMin) { out } else { fact.dtype };
        let kept: Vec<usize> = (0..fact.rank()).filter(|d| !axes.contains(d)).collect();
        let dims: Shape = (0..fact.rank())
            .filter_map(|d| if !axes.contains(&d) { Some(fact.shape[d]) } else { keep.then_some(1) })
            .collect();
        let contiguous = axes.windows(2).all(|w| w[1] == w[0] + 1);
        let (x, first) = if contiguous {
            (x, axes.first().copied().unwrap_or(fact.rank()))
        } else {
            let perm: Vec<usize> = kept.iter().chain(axes).copied().collect();
            (self.transpose(x, &perm)?, kept.len())
        };
        let shape = self.fact(x).shape.clone();
        let last = first + axes.len();
        let task = Reduce {
            kind,
            outer: count(&shape[..first]),
            len: count(&shape[first..last]),
            inner: count(&shape[last..]),
            dtype: fact.dtype,
            out: dtype,
        };
        Ok(self.task1(Task::Reduce(task), &[x], Fact::new(dtype, &dims)))
    }

    /// Softmax along `axis`, or its logarithm.
    pub fn softmax(&mut self, x: V, axis: usize, log: bool) -> V {
        let fact = self.fact(x).clone();
        let (outer, inner) = (count(&fact.shape[..axis]), count(&fact.shape[axis + 1..]));
        let task = Softmax { outer, len: fact.shape[axis], inner, log, dtype: fact.dtype };
        self.task1(Task::Softmax(task), &[x], fact)
    }

    /// Running sums or products along `axis`.
    pub fn scan(&mut self, kind: ScanKind, x: V, axis: usize, exclusive: bool, reverse: bool) -> V {
        let fact = self.fact(x).clone();
        let (outer, inner) = (count(&fact.shape[..axis]), count(&fact.shape[axis + 1..]));
        let task = Scan { kind, outer, len: fact.shape[axis], inner, exclusive, reverse, dtype: fact.dtype };
        self.task1(Task::Scan(task), &[x], fact)
    }

    /// The steps of a recurrent layer; operands and results are those of [`Recurrent`].
    pub fn recurrent(&mut self, task: Recurrent, ins: &[V]) -> Vec<V> {
        let fact = |dims: &[usize]| Fact::new(task.dtype, dims);
        let state = fact(&[task.batch, task.hidden]);
        let mut outs = vec![fact(&[task.seq, task.batch, task.hidden]), state.clone()];
        if matches!(task.cell, Cell::Lstm { .. }) {
            outs.push(state);
        }
        self.task(Task::Recurrent(task), ins, outs)
    }

    /// Normalisation over the dimensions from `axis` on. `gamma` and `beta` have as many elements as a row.
    /// Returns `y`, and with `stats` the mean (layer only) and the inverse deviation of each row as `f32`, with the
    /// normalised dimensions kept as 1.
    pub fn norm(
        &mut self,
        kind: NormKind,
        x: V,
        axis: usize,
        gamma: Option<V>,
        beta: Option<V>,
        eps: f64,
        stats: bool,
    ) -> Vec<V> {
        let fact = self.fact(x).clone();
        let (rows, cols) = (count(&fact.shape[..axis]), count(&fact.shape[axis..]));
        let task =
            Norm { kind, rows, cols, eps, gamma: gamma.is_some(), beta: beta.is_some(), stats, dtype: fact.dtype };
        let ins: Vec<V> = [Some(x), gamma, beta].into_iter().flatten().collect();
        let mut row: Shape = fact.shape.clone();
        row[axis..].fill(1);
        let row = Fact { dtype: DType::F32, shape: row };
        let extra = if !stats {
            0
        } else if kind == NormKind::Layer {
            2
        } else {
            1
        };
        let outs = std::iter::once(fact).chain(std::iter::repeat_n(row, extra)).collect();
        self.task(Task::Norm(task), &ins, outs)
    }

    /// Slices of `x` along `axis` picked by `index`, whose dimensions replace the axis; an index out of range is an error.
    pub fn gather(&mut self, x: V, index: V, axis: usize) -> V {
        self.gather_or(x, index, axis, false)
    }

    /// As [`gather`](Self::gather), with zeros for indices out of range.
    pub fn gather_or_zeros(&mut self, x: V, index: V, axis: usize) -> V {
        self.gather_or(x, index, axis, true)
    }

    fn gather_or(&mut self, x: V, index: V, axis: usize, zeros: bool) -> V {
        let (fx, fi) = (self.fact(x).clone(), self.fact(index).clone());
        let (outer, inner) = (count(&fx.shape[..axis]), count(&fx.shape[axis + 1..]));
        let task = Gather {
            outer,
            axis: fx.shape[axis],
            inner,
            count: fi.count(),
            batch: false,
            zeros,
            dtype: fx.dtype,
            index: fi.dtype,
        };
        let dims: Shape = fx.shape[..axis].iter().chain(&fi.shape).chain(&fx.shape[axis + 1..]).copied().collect();
        self.task1(Task::Gather(task), &[x, index], Fact { dtype: fx.dtype, shape: dims })
    }

    /// `x` with slices replaced or added to: the last dimension of `index` holds the first coordinates of a slice, `updates`
    /// one slice for each; see [`Scatter`].
    pub fn scatter(&mut self, kind: ScatterKind, x: V, index: V, updates: V) -> V {
        let (fx, fi) = (self.fact(x).clone(), self.fact(index).clone());
        let (depth, lead) = fi.shape.split_last().map_or((0, &[][..]), |(depth, lead)| (*depth, lead));
        let task = Scatter {
            kind,
            axes: fx.shape[..depth].iter().copied().collect(),
            inner: count(&fx.shape[depth..]),
            count: count(lead),
            dtype: fx.dtype,
            index: fi.dtype,
        };
        self.task1(Task::Scatter(task), &[x, index, updates], fx)
    }
}

/// What is known of a value that enters a lowering.
#[derive(Clone, Debug)]
pub struct Entry {
    /// The value.
    pub value: ValueId,
    /// Its element type and shape.
    pub fact: Fact,
    /// Its contents, if they may be relied upon.
    pub known: Option<Tensor>,
}

/// Why a lowering ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stop {
    /// All nodes are lowered.
    End,
    /// The next node needs the contents of this value.
    Value(ValueId),
    /// The shape of the next node's result depends on data.
    Dynamic,
    /// The next node calls a graph.
    Call,
}

/// A run of nodes as tasks.
#[derive(Clone, Debug)]
pub struct Lowered {
    /// The tasks; inputs are the entries in order, outputs the values of `outputs` in order.
    pub tasks: TaskGraph,
    /// Values that later nodes or the graph's results read.
    pub outputs: Vec<ValueId>,
    /// The graphs that were jumped to, one after the other; the run ends in the last.
    pub jumps: Vec<GraphId>,
    /// Index of the first node that is not lowered, in the graph where the run ends.
    pub next: usize,
    /// Why the run ends there.
    pub stop: Stop,
}

/// An operator's complaint with its node.
#[derive(Clone, Debug, PartialEq, thiserror::Error)]
#[error("{path}: {op}: {error}")]
pub struct NodeError {
    /// Path of the node.
    pub path: Arc<str>,
    /// Name of the operator.
    pub op: String,
    /// Facts of its tensor arguments.
    pub args: Vec<Fact>,
    /// What is wrong.
    pub error: OpError,
}

/// Whether [`lower`] may get past a node: an operator, or a call that is one task.
pub fn is_lowered(model: &Model, node: &Node) -> bool {
    match &node.kind {
        NodeKind::Op(_) => true,
        NodeKind::Call(callee) => model.graph(*callee).layer.is_some(),
        _ => false,
    }
}

/// Lowers nodes of `graph` from index `start` on, until the end or a [`Stop`].
///
/// `entries` are the values that exist: the graph's inputs and the results of nodes before `start` that are still needed.
/// With `keep_all`, the outputs are the results of all nodes, in order, if there is no [`Stop`].
///
/// # Errors
/// [`NodeError`] of the first node whose arguments are wrong.
pub fn lower(
    model: &Model,
    graph: &Graph,
    start: usize,
    entries: &[Entry],
    keep_all: bool,
) -> Result<Lowered, NodeError> {
    let mut walk = Walk::new(model, graph);
    entries.iter().for_each(|e| walk.enter(e));
    let (next, stop) = walk.nodes(start)?;
    Ok(walk.finish(start, next, stop, keep_all))
}

/// As [`lower`], and goes on in the graphs that are jumped to, until a jump leads back.
///
/// # Errors
/// As [`lower`].
pub fn follow(model: &Model, graph: GraphId, start: usize, entries: &[Entry]) -> Result<Lowered, NodeError> {
    let mut walk = Walk::new(model, model.graph(graph));
    entries.iter().for_each(|e| walk.enter(e));
    let (mut next, mut stop) = walk.nodes(start)?;
    let mut seen = vec![graph];
    while let Some(target) = walk.jump(next, &seen) {
        seen.push(target);
        (next, stop) = walk.nodes(0)?;
    }
    walk.jumps = seen.split_off(1);
    Ok(walk.finish(start, next, stop, false))
}

pub(crate) struct Walk<'a> {
    model: &'a Model,
    graph: &'a Graph,
    pub b: Lowering,
    pub values: HashMap<ValueId, V>,
    params: HashMap<usize, V>,
    written: Vec<usize>,
    jumps: Vec<GraphId>,
}

impl<'a> Walk<'a> {
    pub fn new(model: &'a Model, graph: &'a Graph) -> Walk<'a> {
        let (values, params) = (HashMap::new(), HashMap::new());
        Walk { model, graph, b: Lowering::default(), values, params, written: Vec::new(), jumps: Vec::new() }
    }

    /// Adds a value that exists before the walk.
    pub fn enter(&mut self, e: &Entry) {
        let input = self.b.graph.value(e.fact.clone(), Source::Input(self.b.graph.inputs.len()));
        self.b.graph.inputs.push(input);
        let v = match &e.known {
            Some(t) => self.b.constant(t.clone()),
            None => input,
        };
        self.values.insert(e.value, v);
    }

    /// Says whether so many nodes, and the tasks so far, are not too many for a plan.
    fn bounded(&self, nodes: usize) -> Result<(), Exceeded> {
        bounds::plan_nodes(nodes.max(self.b.graph.nodes.len()))
    }

    /// Lowers nodes from `start` on; gives the first that is not lowered, and why.
    fn nodes(&mut self, start: usize) -> Result<(usize, Stop), NodeError> {
        let (graph, mut next) = (self.graph, start);
        while let Some(node) = graph.nodes.get(next) {
            let bounded = bounds::check().and_then(|()| self.bounded(next - start + 1));
            bounded.map_err(|e| self.error(node, e.into()))?;
            match self.node(node)? {
                None => next += 1,
                Some(stop) => return Ok((next, stop)),
            }
        }
        Ok((next, Stop::End))
    }

    /// Goes on in the graph that node `at` jumps to, if it is a jump to one that was not seen.
    fn jump(&mut self, at: usize, seen: &[GraphId]) -> Option<GraphId> {
        let node = self.graph.nodes.get(at)?;
        let NodeKind::Call(target) = node.kind else { return None };
        let callee = self.model.graphs.get(target.0 as usize)?;
        let leaves = at + 1 == self.graph.nodes.len() && node.outputs == self.graph.outputs;
        if !leaves || seen.contains(&target) || node.args.len() != callee.inputs.len() {
            return None;
        }
        let mut values = HashMap::new();
        for (input, arg) in callee.inputs.iter().zip(&node.args) {
            let Some(Arg::Value(v)) = arg else { return None };
            values.insert(*input, self.lookup(*v).ok()?);
        }
        (self.graph, self.values) = (callee, values);
        Some(target)
    }

    /// Lowers one node, or says why the walk must stop in front of it.
    fn node(&mut self, node: &Node) -> Result<Option<Stop>, NodeError> {
        let def = match &node.kind {
            NodeKind::Op(def) => *def,
            NodeKind::Opaque(o) => {
                return Err(self.error(node, OpError::Unsupported(format!("unknown primitive {}", o.op_type))));
            }
            NodeKind::Call(callee) if self.layer(node, *callee).is_some() => return Ok(None),
            NodeKind::Call(_) | NodeKind::If { .. } | NodeKind::Select(_) => return Ok(Some(Stop::Call)),
        };
        self.b.path = node.path.clone();
        self.b.op = def.name.into();
        match self.op(node, def) {
            Ok(()) => Ok(None),
            Err(OpError::Dynamic) => Ok(Some(Stop::Dynamic)),
            Err(OpError::NeedsValue(v)) => match self.value_of(v) {
                Some(id) => Ok(Some(Stop::Value(id))),
                None => Err(self.error(node, OpError::NeedsValue(v))),
            },
            Err(e) => Err(self.error(node, e)),
        }
    }

    /// Lowers a call of a recurrent layer, if it is one and the arguments have its shapes.
    fn layer(&mut self, node: &Node, callee: GraphId) -> Option<()> {
        let graph = self.model.graphs.get(callee.0 as usize)?;
        let Layer { cell, reverse, operands } = graph.layer.as_ref()?;
        let mut ins = Vec::with_capacity(operands.len());
        for id in operands {
            ins.push(match &graph.value(*id).def {
                Def::Input(i) => match node.args.get(*i)? {
                    Some(Arg::Value(v)) => self.lookup(*v).ok()?,
                    _ => return None,
                },
                Def::Const(t) => self.b.constant(t.clone()),
                Def::Param(p) => self.param(*p),
                Def::Node => return None,
            });
        }
        let facts: Vec<&Fact> = ins.iter().map(|v| self.b.graph.fact(*v)).collect();
        let task = Recurrent::new(*cell, *reverse, &facts)?;
        self.b.path = node.path.clone();
        self.b.op = cell.name().into();
        let outs = self.b.recurrent(task, &ins);
        self.bind(node, &outs);
        Some(())
    }

    /// Lowers one node with an operator.
    pub fn op(&mut self, node: &Node, def: &'static OpDef) -> Result<(), OpError> {
        let args = self.args(node, def)?;
        let facts = (def.infer)(&args)?;
        for f in &facts {
            let bytes = crate::checked_count(&f.shape).and_then(|n| n.checked_mul(f.dtype.size()));
            bytes.ok_or_else(|| Exceeded::system(usize::MAX))?;
        }
        let outs = match self.fold(&args, def, node.effect(), &facts)? {
            Some(outs) => outs,
            None => match (def.lower)(&args, &mut self.b)? {
                Some(outs) => outs,
                None => self.host(&args, def, facts.clone()),
            },
        };
        for (o, f) in outs.iter().zip(&facts) {
            debug_assert_eq!(self.b.fact(*o), f, "{} lowers to another shape than it infers", def.name);
        }
        self.bind(node, &outs);
        Ok(())
    }

    /// Records results, and new contents of written parameters.
    fn bind(&mut self, node: &Node, outs: &[V]) {
        for (id, v) in node.outputs.iter().zip(outs) {
            self.values.insert(*id, *v);
        }
        let Effect::Writes(args) = node.effect() else { return };
        let first = outs.len().saturating_sub(args.len());
        for (&arg, &v) in args.iter().zip(&outs[first..]) {
            let Some(Some(Arg::Value(id))) = node.args.get(arg) else { continue };
            if let Def::Param(p) = self.graph.value(*id).def {
                self.params.insert(p, v);
                if !self.written.contains(&p) {
                    self.written.push(p);
                }
            }
        }
    }

    /// The results as constants, if all operands are known and the results small.
    fn fold(&mut self, args: &Args, def: &OpDef, effect: Effect, facts: &[Fact]) -> Result<Option<Vec<V>>, OpError> {
        let small = facts.iter().all(|f| f.count() <= FOLD_LIMIT);
        if effect != Effect::Pure
            || !small
            || !operands(args).iter().all(|o| o.known.is_some() && o.count() <= FOLD_LIMIT)
        {
            return Ok(None);
        }
        let outs = (def.reference)(args)?;
        Ok(Some(outs.into_iter().map(|t| self.b.constant(t)).collect()))
    }

    /// The operator's reference as a task.
    fn host(&mut self, args: &Args, def: &'static OpDef, facts: Vec<Fact>) -> Vec<V> {
        let ins: Vec<V> = operands(args).iter().map(|o| o.v).collect();
        let template = args.clone();
        let run = move |tensors: &[Tensor]| {
            let mut args = template.clone();
            let mut tensors = tensors.iter();
            args.items.iter_mut().flatten().for_each(|a| fill(a, &mut tensors));
            (def.reference)(&args)
        };
        self.b.task(Task::Host(Host::new(def.name, facts.clone(), run)), &ins, facts)
    }

    /// The node's arguments in signature order.
    pub fn args(&mut self, node: &Node, def: &'static OpDef) -> Result<Args, OpError> {
        let mut items = Vec::with_capacity(def.params.len());
        for (i, param) in def.params.iter().enumerate() {
            items.push(match node.args.get(i) {
                Some(Some(arg)) => Some(self.arg(arg, param.kind)?),
                _ => None,
            });
        }
        Ok(Args { op: def.name, items })
    }

    pub fn arg(&mut self, arg: &Arg, kind: ParamKind) -> Result<ArgValue, OpError> {
        let tensor = kind != ParamKind::Value;
        Ok(match arg {
            Arg::Value(id) => ArgValue::Operand(self.operand(*id)?),
            Arg::List(items) => ArgValue::List(items.iter().map(|a| self.arg(a, kind)).collect::<Result<_, _>>()?),
            Arg::Const(Const::Tuple(items)) if tensor => {
                let items = items.iter().map(|c| self.arg(&Arg::Const(c.clone()), kind));
                ArgValue::List(items.collect::<Result<_, _>>()?)
            }
            Arg::Const(c) => match constant_tensor(c) {
                Some(t) if tensor => {
                    let v = self.b.constant(t.clone());
                    ArgValue::Operand(Operand { v, fact: t.fact().into(), known: Some(t) })
                }
                _ => ArgValue::Const(c.clone()),
            },
        })
    }

    pub fn operand(&mut self, id: ValueId) -> Result<Operand, OpError> {
        let v = self.lookup(id)?;
        Ok(Operand { v, fact: self.b.fact(v).clone().into(), known: self.b.known(v) })
    }

    fn lookup(&mut self, id: ValueId) -> Result<V, OpError> {
        let value = self.graph.value(id);
        if let Def::Param(p) = value.def {
            return Ok(self.param(p));
        }
        if let Some(&v) = self.values.get(&id) {
            return Ok(v);
        }
        match &value.def {
            Def::Const(t) => {
                let v = self.b.constant(t.clone());
                self.values.insert(id, v);
                Ok(v)
            }
            _ => Err(OpError::Invalid(format!("value {} is read before it exists", value.name.escape_debug()))),
        }
    }

    fn param(&mut self, p: usize) -> V {
        if let Some(&v) = self.params.get(&p) {
            return v;
        }
        let param = &self.model.params[p];
        let source = if param.mutable { Source::Variable(p) } else { Source::Const(param.tensor.clone()) };
        let v = self.b.graph.value(param.tensor.fact(), source);
        self.params.insert(p, v);
        v
    }

    /// The graph value that stands for a task value.
    fn value_of(&self, v: V) -> Option<ValueId> {
        let direct = self.values.iter().filter(|(_, x)| **x == v).map(|(id, _)| *id).min();
        let param = || {
            let p = self.params.iter().find(|(_, x)| **x == v)?.0;
            let is = |value: &crate::graph::Value| matches!(value.def, Def::Param(q) if q == *p);
            self.graph.values.iter().position(is).map(|i| ValueId(i as u32))
        };
        direct.or_else(param)
    }

    fn error(&self, node: &Node, error: OpError) -> NodeError {
        let mut args = Vec::new();
        node.each_input(&mut |id| {
            if let Some(&v) = self.values.get(&id) {
                args.push(self.b.fact(v).clone());
            }
        });
        NodeError { path: node.path.clone(), op: node.op_name().to_string(), args, error }
    }

    fn finish(mut self, start: usize, next: usize, stop: Stop, keep_all: bool) -> Lowered {
        let outputs = if keep_all && stop == Stop::End { self.all(start, next) } else { self.live(next) };
        for id in &outputs {
            if let Ok(v) = self.lookup(*id) {
                self.b.graph.outputs.push(v);
            }
        }
        self.b.graph.writes = self.written.iter().map(|p| (*p, self.params[p])).collect();
        Lowered { tasks: self.b.graph, outputs, jumps: self.jumps, next, stop }
    }

    /// Values that nodes from `next` on, or the graph's results, read. Parameters and constants need no hand-over, except
    /// as results.
    fn live(&self, next: usize) -> Vec<ValueId> {
        let mut seen = vec![false; self.graph.values.len()];
        let mut out = Vec::new();
        let mut want = |id: ValueId, result: bool| {
            let carried = matches!(self.graph.value(id).def, Def::Node | Def::Input(_)) || result;
            let exists =
                self.values.contains_key(&id) || !matches!(self.graph.value(id).def, Def::Node | Def::Input(_));
            if carried && exists && !std::mem::replace(&mut seen[id.0 as usize], true) {
                out.push(id);
            }
        };
        if next == self.graph.nodes.len() {
            self.graph.outputs.iter().for_each(|v| want(*v, true));
        } else {
            self.graph.nodes[next..].iter().for_each(|n| n.each_input(&mut |v| want(v, false)));
            self.graph.outputs.iter().for_each(|v| want(*v, false));
        }
        out
    }

    /// Results of the nodes from `start` to `next`, in order.
    fn all(&self, start: usize, next: usize) -> Vec<ValueId> {
        let results = self.graph.nodes[start..next].iter().flat_map(|n| &n.outputs);
        results.filter(|o| self.values.contains_key(o)).copied().collect()
    }
}

/// The tensor arguments, in order.
pub(crate) fn operands(args: &Args) -> SmallVec<[&Operand; 8]> {
    fn collect<'a>(arg: &'a ArgValue, out: &mut SmallVec<[&'a Operand; 8]>) {
        match arg {
            ArgValue::Operand(o) => out.push(o),
            ArgValue::List(items) => items.iter().for_each(|a| collect(a, out)),
            ArgValue::Const(_) => {}
        }
    }
    let mut out = SmallVec::new();
    args.items.iter().flatten().for_each(|a| collect(a, &mut out));
    out
}

fn fill<'a>(arg: &mut ArgValue, tensors: &mut impl Iterator<Item = &'a Tensor>) {
    match arg {
        ArgValue::Operand(o) => o.known = tensors.next().cloned(),
        ArgValue::List(items) => items.iter_mut().for_each(|a| fill(a, tensors)),
        ArgValue::Const(_) => {}
    }
}

/// A constant number as a tensor of rank 0; `None` for anything else.
pub fn constant_tensor(c: &Const) -> Option<Tensor> {
    match c {
        Const::Bool(b) => Tensor::from_bools(&[], &[*b]).ok(),
        Const::Int(i) => Some(Tensor::scalar(*i)),
        Const::Float(x) => Some(Tensor::scalar(*x)),
        Const::Double(x) => Some(Tensor::scalar(*x)),
        Const::Tensor(t) => Some(t.clone()),
        _ => None,
    }
}

/// Shapes and element types of a node's results, where they follow from what the graph states of the values that it reads.
pub(crate) fn infer_node(model: &Model, graph: &Graph, node: &Node, def: &'static OpDef) -> Option<Vec<Fact>> {
    let mut walk = Walk::new(model, graph);
    let mut known = true;
    node.each_input(&mut |id| {
        let value = graph.value(id);
        if matches!(value.def, Def::Input(_) | Def::Node) {
            let spec = &value.spec;
            match spec.dtype.zip(spec.shape()) {
                Some((dtype, shape)) => {
                    let fact = Fact { dtype, shape: shape.into_iter().collect() };
                    walk.enter(&Entry { value: id, fact, known: None });
                }
                None => known = false,
            }
        }
    });
    let args = known.then(|| walk.args(node, def))?.ok()?;
    (def.infer)(&args).ok()
}

/// Runs one node's reference on known tensors; for nodes whose result shape depends on data.
///
/// `tensors` gives the contents of every value that the node reads.
///
/// # Errors
/// [`NodeError`] with the operator's complaint.
pub fn run_node(
    model: &Model,
    graph: &Graph,
    node: &Node,
    tensors: &HashMap<ValueId, Tensor>,
) -> Result<Vec<Tensor>, NodeError> {
    let mut walk = Walk::new(model, graph);
    let mut run = || {
        let NodeKind::Op(def) = node.kind else {
            return Err(OpError::Unsupported(format!("{} has no reference", node.op_name())));
        };
        for (id, t) in tensors {
            let v = walk.b.constant(t.clone());
            walk.values.insert(*id, v);
        }
        let args = walk.args(node, def)?;
        (def.reference)(&args)
    };
    run().map_err(|e| walk.error(node, e))
}
