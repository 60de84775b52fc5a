//! How task graphs are built.

use std::sync::Arc;

use super::{
    Binary, Cell, Copy, Gather, Gemm, Map, Matrix, Norm, NormKind, Part, Program, Recurrent, Reduce, ReduceKind, Scan,
    ScanKind, Scatter, ScatterKind, Softmax, Source, Task, TaskGraph, TaskNode, Unary, V,
};
use crate::op::Watch;
use crate::{
    DType, Fact, OpError, Shape, Strides, Tensor, around, broadcast, broadcast_strides, checked_count, count,
    dense_strides, shape,
};

/// Builds a [`TaskGraph`]; what operators lower into.
#[derive(Debug, Default)]
pub struct Lowering {
    pub(crate) graph: TaskGraph,
    /// Path of the node whose tasks are built.
    pub(crate) path: Arc<str>,
    /// Its operator.
    pub(crate) op: Arc<str>,
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
        &self.graph.values[v].source
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
        self.node(task, ins, outs.clone());
        outs
    }

    /// A task with one result.
    pub fn task1(&mut self, task: Task, ins: &[V], out: Fact) -> V {
        let out = self.graph.value(out, Source::Task);
        self.node(task, ins, vec![out]);
        out
    }

    fn node(&mut self, task: Task, ins: &[V], outs: Vec<V>) {
        let (path, ops) = (self.path.clone(), self.op.clone());
        self.graph.nodes.push(TaskNode { task, ins: ins.to_vec(), outs, path, ops });
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
        crate::ensure!(checked_count(dims) == Some(fact.count()), "cannot reshape {fact} to {dims:?}");
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
        sized(&dims)?;
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
        sized(&dims)?;
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

    /// Strided copies into a tensor `out`, from tensors of its element type.
    pub fn copy(&mut self, ins: &[V], parts: Vec<Part>, fill: Option<Vec<u8>>, out: Fact) -> V {
        self.task1(Task::Copy(Copy { dtype: out.dtype, fill, parts }), ins, out)
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
        let out = Fact::new(self.fact(x).dtype, dims);
        self.copy(&[x], vec![part], None, out)
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
        let out: Shape = permuted(&dims, perm).collect();
        let moved = perm.iter().zip(&out).filter(|(_, len)| **len != 1).map(|(p, _)| p);
        if moved.is_sorted() {
            return self.reshape(x, &out);
        }
        let strides = permuted(&dense_strides(&dims), perm).collect();
        Ok(self.strided(x, 0, strides, &out))
    }

    /// `x` repeated to `dims` (right-aligned, as in NumPy).
    ///
    /// # Errors
    /// [`OpError::Invalid`] if the shapes do not broadcast.
    pub fn broadcast_to(&mut self, x: V, dims: &[usize]) -> Result<V, OpError> {
        sized(dims)?;
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
        sized(size)?;
        let dense = dense_strides(&dims);
        let mut offset = 0;
        let mut strides = Strides::new();
        let blocks = begin.iter().zip(size).zip(step).zip(dims.iter().zip(&dense));
        for (d, (((&begin, &size), &step), (&len, &dense))) in blocks.enumerate() {
            let reach = isize::try_from(size).ok().and_then(|size| (size - 1).checked_mul(step));
            let last = reach.and_then(|reach| begin.checked_add_signed(reach));
            crate::ensure!(
                begin < len && last.is_some_and(|last| last < len),
                "slice reaches beyond dimension {d} of {dims:?}"
            );
            offset += begin * dense.unsigned_abs();
            strides.push(if size == 1 { dense } else { dense * step });
        }
        Ok(self.strided(x, offset, strides, size))
    }

    /// Tensors joined along `axis`.
    ///
    /// # Errors
    /// [`OpError::Invalid`] if they differ in another dimension or in the element type.
    pub fn concat(&mut self, xs: &[V], axis: usize) -> Result<V, OpError> {
        let first = match xs {
            [] => return Err(OpError::Invalid("nothing to concatenate".into())),
            [x] => return Ok(*x),
            [x, ..] => self.fact(*x).clone(),
        };
        let mut lens = Vec::with_capacity(xs.len());
        for &x in xs {
            let f = self.fact(x);
            let fits = |(d, (a, b)): (usize, (&usize, &usize))| d == axis || a == b;
            let same = f.rank() == first.rank() && f.shape.iter().zip(&first.shape).enumerate().all(fits);
            let len = f.shape.get(axis).filter(|_| same && f.dtype == first.dtype);
            lens.push(
                *len.ok_or_else(|| OpError::Invalid(format!("cannot concatenate {first} and {f} along axis {axis}")))?,
            );
        }
        let mut out = first;
        if let Some(total) = out.shape.get_mut(axis) {
            *total = lens.iter().fold(0, |sum: usize, len| sum.saturating_add(*len));
        }
        sized(&out.shape)?;
        let dst = dense_strides(&out.shape);
        let step = dst.get(axis).map_or(0, |step| step.unsigned_abs());
        let mut parts = Vec::new();
        let mut at = 0;
        for ((input, &x), len) in xs.iter().enumerate().zip(lens) {
            let shape = self.fact(x).shape.clone();
            if count(&shape) > 0 {
                let src = dense_strides(&shape);
                parts.push(Part { input, shape, src_offset: 0, src, dst_offset: at * step, dst: dst.clone() });
            }
            at += len;
        }
        Ok(self.copy(xs, parts, None, out))
    }

    /// `op(a) · op(b)` over the last two dimensions, where `op` swaps them if asked; batch dimensions broadcast.
    ///
    /// # Errors
    /// [`OpError::Invalid`] if the dimensions do not fit.
    pub fn matmul(&mut self, a: V, b: V, trans_a: bool, trans_b: bool) -> Result<V, OpError> {
        let (fa, fb) = (self.fact(a).clone(), self.fact(b).clone());
        crate::ensure!(fa.dtype == fb.dtype, "matrix product of {} and {}", fa.dtype, fb.dtype);
        let ([ba @ .., ra, ca], [bb @ .., rb, cb]) = (fa.shape.as_slice(), fb.shape.as_slice()) else {
            return Err(OpError::Invalid(format!("matrix product of {fa} and {fb}")));
        };
        let (m, k) = if trans_a { (*ca, *ra) } else { (*ra, *ca) };
        let (kb, n) = if trans_b { (*cb, *rb) } else { (*rb, *cb) };
        crate::ensure!(k == kb, "inner dimensions differ in the matrix product of {fa} and {fb}: {k} and {kb}");
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
        sized(&out)?;
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
        let task = Gemm {
            batch: gb,
            m: gm,
            n,
            k,
            a: la,
            b: lb,
            c: lc,
            dtype: fa.dtype,
            out: fa.dtype,
            tf32: false,
            epilogue: None,
        };
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
        let one = |(d, len): (usize, &usize)| if axes.contains(&d) { keep.then_some(1) } else { Some(*len) };
        let dims: Shape = fact.shape.iter().enumerate().filter_map(one).collect();
        let contiguous = axes.iter().zip(axes.iter().skip(1)).all(|(a, b)| *b == a + 1);
        let (x, first) = if contiguous {
            (x, axes.first().copied().unwrap_or(fact.rank()))
        } else {
            let perm: Vec<usize> = kept.iter().chain(axes).copied().collect();
            (self.transpose(x, &perm)?, kept.len())
        };
        let shape = &self.fact(x).shape;
        let parts = shape.split_at_checked(first).and_then(|(outer, rest)| {
            let (reduced, inner) = rest.split_at_checked(axes.len())?;
            Some([outer, reduced, inner].map(count))
        });
        let [outer, len, inner] =
            parts.ok_or_else(|| OpError::Invalid(format!("expected axes of {fact}, found {axes:?}")))?;
        let task = Reduce { kind, outer, len, inner, dtype: fact.dtype, out: dtype };
        Ok(self.task1(Task::Reduce(task), &[x], Fact::new(dtype, &dims)))
    }

    /// Softmax along `axis`, or its logarithm.
    ///
    /// # Errors
    /// [`OpError::Invalid`] if `x` has no such axis.
    pub fn softmax(&mut self, x: V, axis: usize, log: bool) -> Result<V, OpError> {
        let fact = self.fact(x).clone();
        let [outer, len, inner] = along(&fact, axis)?;
        let task = Softmax { outer, len, inner, log, dtype: fact.dtype };
        Ok(self.task1(Task::Softmax(task), &[x], fact))
    }

    /// Running sums or products along `axis`.
    ///
    /// # Errors
    /// [`OpError::Invalid`] if `x` has no such axis.
    pub fn scan(&mut self, kind: ScanKind, x: V, axis: usize, exclusive: bool, reverse: bool) -> Result<V, OpError> {
        let fact = self.fact(x).clone();
        let [outer, len, inner] = along(&fact, axis)?;
        let task = Scan { kind, outer, len, inner, exclusive, reverse, dtype: fact.dtype };
        Ok(self.task1(Task::Scan(task), &[x], fact))
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
        let (rows, cols) = (fact.shape.iter().take(axis).product(), fact.shape.iter().skip(axis).product());
        let task =
            Norm { kind, rows, cols, eps, gamma: gamma.is_some(), beta: beta.is_some(), stats, dtype: fact.dtype };
        let ins: Vec<V> = [Some(x), gamma, beta].into_iter().flatten().collect();
        let kept = fact.shape.iter().take(axis).copied();
        let shape = kept.chain(fact.shape.iter().skip(axis).map(|_| 1)).collect();
        let row = Fact { dtype: DType::F32, shape };
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
    ///
    /// # Errors
    /// [`OpError::Invalid`] if `x` has no such axis, or the result too many elements.
    pub fn gather(&mut self, x: V, index: V, axis: usize) -> Result<V, OpError> {
        self.gather_or(x, index, axis, false)
    }

    /// As [`gather`](Self::gather), with zeros for indices out of range.
    ///
    /// # Errors
    /// As [`gather`](Self::gather).
    pub fn gather_or_zeros(&mut self, x: V, index: V, axis: usize) -> Result<V, OpError> {
        self.gather_or(x, index, axis, true)
    }

    fn gather_or(&mut self, x: V, index: V, axis: usize, zeros: bool) -> Result<V, OpError> {
        let (fx, fi) = (self.fact(x).clone(), self.fact(index).clone());
        let [outer, len, inner] = along(&fx, axis)?;
        let (count, dtype) = (fi.count(), fx.dtype);
        let task = Gather { outer, axis: len, inner, count, batch: false, zeros, dtype, index: fi.dtype };
        let (front, back) = (fx.shape.iter().take(axis), fx.shape.iter().skip(axis + 1));
        let shape: Shape = front.chain(&fi.shape).chain(back).copied().collect();
        sized(&shape)?;
        Ok(self.task1(Task::Gather(task), &[x, index], Fact { dtype, shape }))
    }

    /// `x` with slices replaced or added to: the last dimension of `index` holds the first coordinates of a slice, `updates`
    /// one slice for each; see [`Scatter`].
    ///
    /// # Errors
    /// [`OpError::Invalid`] if these are more coordinates than `x` has.
    pub fn scatter(&mut self, kind: ScatterKind, x: V, index: V, updates: V) -> Result<V, OpError> {
        let (fx, fi) = (self.fact(x).clone(), self.fact(index).clone());
        let (depth, lead) = fi.shape.split_last().map_or((0, &[][..]), |(depth, lead)| (*depth, lead));
        let (axes, slice) = fx.shape.split_at_checked(depth).ok_or_else(|| {
            OpError::Invalid(format!("expected at most {} coordinates of a slice of {fx}, found {depth}", fx.rank()))
        })?;
        let task = Scatter {
            kind,
            axes: axes.iter().copied().collect(),
            inner: count(slice),
            count: count(lead),
            dtype: fx.dtype,
            index: fi.dtype,
        };
        Ok(self.task1(Task::Scatter(task), &[x, index, updates], fx))
    }
}

/// What `items` has at each place of a permutation.
fn permuted<T: std::marker::Copy>(items: &[T], perm: &[usize]) -> impl Iterator<Item = T> {
    perm.iter().filter_map(|&p| items.get(p).copied())
}

/// A tensor around an axis that it must have.
fn along(fact: &Fact, axis: usize) -> Result<[usize; 3], OpError> {
    around(&fact.shape, axis).ok_or_else(|| OpError::Invalid(format!("expected an axis of {fact}, found {axis}")))
}

/// Refuses dimensions whose strides do not fit.
fn sized(dims: &[usize]) -> Result<(), OpError> {
    crate::ensure!(checked_count(dims).is_some(), "expected a number of elements that fits, found dimensions {dims:?}");
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn input(b: &mut Lowering, dims: &[usize]) -> V {
        b.graph.value(Fact::new(DType::F32, dims), Source::Input(0))
    }

    #[test]
    fn strides_that_do_not_fit_are_refused() {
        let mut b = Lowering::default();
        let x = input(&mut b, &[4, 1024]);
        assert!(b.slice(x, &[0, 0], &[1, 8], &[isize::MAX, 1]).is_ok(), "one element needs no step");
        assert!(b.slice(x, &[1, 0], &[3, 8], &[isize::MAX, 1]).is_err());
        assert!(b.slice(x, &[0, 0], &[usize::MAX, 8], &[-1, 1]).is_err());
        let long = input(&mut b, &[1 << 40, 1]);
        let wide = input(&mut b, &[1, 1 << 40]);
        assert!(b.matmul(long, wide, false, false).is_err());
        assert!(b.binary(Binary::Add, long, wide).is_err());
        let index = input(&mut b, &[1 << 40]);
        assert!(b.gather(wide, index, 0).is_err());
        let tall = input(&mut b, &[1 << 61]);
        assert!(b.concat(&[tall; 8], 0).is_err());
    }
}
