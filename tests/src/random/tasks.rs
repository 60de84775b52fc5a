//! Random task graphs: views in chains, dimensions of 1 in every place, products and convolutions whose operands come from
//! anywhere, maps of every kind of broadcasting, values that are read again later, returned, or both.

use std::collections::HashMap;
use std::sync::Arc;

use mindir_graph::task::{
    Binary, Conv, Coordinates, Copy, Gather, Gemm, Instr, Layout, Map, Matrix, Part, Pool, PoolKind, Program, Reduce,
    ReduceKind, Reg, Resize, ResizeMode, Softmax, Sort, Source, Task, TaskGraph, TaskNode, Ties, Unary, V,
};
use mindir_graph::{DType, Fact, Shape, Strides, Tensor, broadcast_strides, count, dense_strides, shape};

use super::Random;

/// Most elements of a value.
const MOST: usize = 400;

/// What a graph computes with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Style {
    /// Every function.
    Any,
    /// Sums, products and choices of whole numbers only, which every order of summation leaves exact.
    Whole,
}

/// The task graph of a seed.
pub fn graph(seed: u64, style: Style) -> TaskGraph {
    let mut random = Random::new(seed);
    let types: &[DType] = match style {
        Style::Any => &[DType::F32, DType::F32, DType::F32, DType::F16, DType::BF16, DType::F64, DType::I32],
        Style::Whole => &[DType::F32, DType::F32, DType::F16, DType::BF16],
    };
    let dtype = random.pick(types);
    let mut maker =
        Maker { random, style, dtype, graph: TaskGraph::default(), values: Vec::new(), largest: HashMap::new() };
    let steps = maker.random.between(2, 9);
    for _ in 0..steps {
        maker.step();
    }
    maker.finish()
}

struct Maker {
    random: Random,
    style: Style,
    dtype: DType,
    graph: TaskGraph,
    /// Values that later tasks can read.
    values: Vec<V>,
    /// For whole numbers, what the elements of a root do not exceed.
    largest: HashMap<V, f64>,
}

impl Maker {
    // What there is.

    fn dims(&self, v: V) -> Shape {
        self.graph.fact(v).shape.clone()
    }

    fn dtype(&self, v: V) -> DType {
        self.graph.fact(v).dtype
    }

    fn bound(&self, v: V) -> f64 {
        self.largest.get(&self.graph.root(v)).copied().unwrap_or(3.0)
    }

    /// A few dimensions, of which many are 1.
    fn some_dims(&mut self) -> Shape {
        let rank = self.random.pick(&[1, 2, 3, 3, 4, 4, 4, 5]);
        let dims: Shape = (0..rank).map(|_| self.random.pick(&[1, 1, 2, 2, 3, 4, 5])).collect();
        if count(&dims) > MOST { shape(&[2, 3]) } else { dims }
    }

    /// A value of the graph's type: one that was made before, mostly a late one, or a new one.
    fn any(&mut self) -> V {
        let known: Vec<V> = self.values.iter().copied().filter(|v| self.dtype(*v) == self.dtype).collect();
        if known.is_empty() || self.random.one_in(8) {
            let dims = self.some_dims();
            return self.fresh(&dims);
        }
        let late = if self.random.one_in(3) { known.len() } else { known.len().min(2) };
        let v = known[known.len() - 1 - self.random.below(late)];
        if self.dims(v).is_empty() { self.seen(v, &[1]) } else { v }
    }

    // Values out of nothing.

    fn input(&mut self, dtype: DType, dims: &[usize]) -> V {
        let v = self.graph.value(Fact::new(dtype, dims), Source::Input(self.graph.inputs.len()));
        self.graph.inputs.push(v);
        v
    }

    fn constant(&mut self, dtype: DType, dims: &[usize]) -> V {
        let data: Vec<f64> = (0..count(dims)).map(|_| self.random.below(7) as f64 - 3.0).collect();
        let t = Tensor::from_f64s(dtype, dims, &data).unwrap_or_else(|_| Tensor::scalar(0.0f32));
        self.graph.value(t.fact(), Source::Const(t))
    }

    fn fresh(&mut self, dims: &[usize]) -> V {
        if self.random.one_in(3) { self.constant(self.dtype, dims) } else { self.input(self.dtype, dims) }
    }

    /// A value with these dimensions, come about in one of many ways.
    fn made(&mut self, dims: &[usize]) -> V {
        let same = |m: &Maker, v: &V| m.dtype(*v) == m.dtype && m.graph.fact(*v).count() == count(dims);
        let known: Vec<V> = self.values.iter().copied().filter(|v| same(self, v)).collect();
        match self.random.below(8) {
            0 | 1 if !known.is_empty() => {
                let v = self.random.pick(&known);
                self.seen(v, dims)
            }
            2 | 3 => {
                let perm = self.permutation(dims.len());
                let mut from = shape(dims);
                perm.iter().zip(dims).for_each(|(&p, &n)| from[p] = n);
                let v = self.fresh(&from);
                self.transposed(v, &perm)
            }
            4 => {
                let from: Shape = dims.iter().map(|&n| n * self.random.between(1, 2)).collect();
                let v = self.fresh(&from);
                self.sliced(v, Some(dims))
            }
            5 => {
                let from: Shape = dims.iter().map(|&n| if self.random.one_in(3) { 1 } else { n }).collect();
                let v = self.fresh(&from);
                self.expanded(v, dims)
            }
            6 => {
                let v = self.fresh(&[count(dims)]);
                self.seen(v, dims)
            }
            _ => self.fresh(dims),
        }
    }

    // Tasks.

    fn task(&mut self, task: Task, ins: &[V], out: Fact, largest: f64) -> V {
        let out = self.graph.value(out, Source::Task);
        let n = self.graph.nodes.len();
        let (path, ops): (Arc<str>, Arc<str>) = (format!("{n}").into(), task.family().into());
        self.graph.nodes.push(TaskNode { task, ins: ins.to_vec(), outs: vec![out], path, ops });
        self.largest.insert(out, largest);
        self.values.push(out);
        self.limited(out)
    }

    /// `v`, or for whole numbers that may have become too large for exact sums, a smaller form.
    fn limited(&mut self, v: V) -> V {
        if self.style == Style::Any || self.bound(v) < 1e4 || !self.dtype(v).is_float() {
            return v;
        }
        self.values.pop();
        let dtype = self.dtype(v);
        let mut p = Program::new();
        let x = p.input(0, dtype);
        let (low, high) = (p.constant(-4.0, dtype), p.constant(4.0, dtype));
        let x = p.binary(Binary::Max, x, low);
        p.binary(Binary::Min, x, high);
        let fact = self.graph.fact(v).clone();
        self.task(Task::Map(Map { shape: fact.shape.clone(), program: p }), &[v], fact, 4.0)
    }

    fn seen(&mut self, v: V, dims: &[usize]) -> V {
        let (root, dtype) = (self.graph.root(v), self.dtype(v));
        let v = self.graph.value(Fact::new(dtype, dims), Source::Alias(root));
        self.values.push(v);
        v
    }

    fn strided(&mut self, v: V, src_offset: usize, src: Strides, dims: &[usize]) -> V {
        let part = Part { input: 0, shape: shape(dims), src_offset, src, dst_offset: 0, dst: dense_strides(dims) };
        let dtype = self.dtype(v);
        let largest = self.bound(v);
        self.task(Task::Copy(Copy { dtype, fill: None, parts: vec![part] }), &[v], Fact::new(dtype, dims), largest)
    }

    fn permutation(&mut self, rank: usize) -> Vec<usize> {
        let mut perm: Vec<usize> = (0..rank).collect();
        for i in (1..rank).rev() {
            perm.swap(i, self.random.below(i + 1));
        }
        perm
    }

    fn transposed(&mut self, v: V, perm: &[usize]) -> V {
        let from = self.dims(v);
        let dense = dense_strides(&from);
        let dims: Shape = perm.iter().map(|&p| from[p]).collect();
        let strides: Strides = perm.iter().map(|&p| dense[p]).collect();
        self.strided(v, 0, strides, &dims)
    }

    /// Some elements along each dimension, forwards or backwards; as many as `want` says.
    fn sliced(&mut self, v: V, want: Option<&[usize]>) -> V {
        let from = self.dims(v);
        let dense = dense_strides(&from);
        let (mut offset, mut strides, mut dims) = (0, Strides::new(), Shape::new());
        for d in 0..from.len() {
            let size = want.map_or_else(|| self.random.between(1, from[d]), |w| w[d]);
            let most = if size > 1 { (from[d] - 1) / (size - 1) } else { 1 };
            let step = self.random.between(1, most.clamp(1, 2));
            let reach = (size - 1) * step;
            let begin = self.random.below(from[d] - reach);
            let back = self.random.one_in(3);
            offset += (if back { begin + reach } else { begin }) * dense[d] as usize;
            strides.push(dense[d] * step as isize * if back { -1 } else { 1 });
            dims.push(size);
        }
        self.strided(v, offset, strides, &dims)
    }

    fn expanded(&mut self, v: V, dims: &[usize]) -> V {
        match broadcast_strides(&self.dims(v), dims) {
            Some(strides) => self.strided(v, 0, strides, dims),
            None => v,
        }
    }

    fn step(&mut self) -> V {
        match self.random.below(21) {
            0..4 => self.view(),
            4..10 => self.map(),
            10..13 => self.product(),
            13..17 => self.convolution(),
            17 => self.image(),
            18 => self.reduction(),
            19 => self.attention(),
            _ => self.other(),
        }
    }

    fn view(&mut self) -> V {
        let v = self.any();
        let dims = self.dims(v);
        match self.random.below(7) {
            0 => {
                let dims = self.factors(count(&dims));
                self.seen(v, &dims)
            }
            1 | 2 => {
                let perm = self.permutation(dims.len());
                self.transposed(v, &perm)
            }
            3 => self.sliced(v, None),
            4 => {
                let wide: Shape = dims.iter().map(|&n| if n == 1 { self.random.between(1, 3) } else { n }).collect();
                if count(&wide) <= MOST { self.expanded(v, &wide) } else { v }
            }
            5 => self.padded(v),
            _ => self.joined(v),
        }
    }

    /// Dimensions with that many elements.
    fn factors(&mut self, n: usize) -> Shape {
        let rank = self.random.between(1, 5);
        let mut dims: Shape = shape(&vec![1; rank]);
        let mut rest = n;
        for p in [2, 3, 5, 7, 11, 13] {
            while rest.is_multiple_of(p) {
                rest /= p;
                let d = self.random.below(rank);
                dims[d] *= p;
            }
        }
        let d = self.random.below(rank);
        dims[d] *= rest;
        dims
    }

    fn padded(&mut self, v: V) -> V {
        let from = self.dims(v);
        let (low, high): (Vec<usize>, Vec<usize>) =
            from.iter().map(|_| (self.random.below(2), self.random.below(2))).unzip();
        let dims: Shape = (0..from.len()).map(|d| from[d] + low[d] + high[d]).collect();
        if count(&dims) > MOST {
            return v;
        }
        let dst = dense_strides(&dims);
        let dst_offset = (0..from.len()).map(|d| low[d] * dst[d] as usize).sum();
        let part = Part { input: 0, shape: from.clone(), src_offset: 0, src: dense_strides(&from), dst_offset, dst };
        let dtype = self.dtype(v);
        let fill = Some(vec![0; dtype.size()]);
        let largest = self.bound(v);
        self.task(Task::Copy(Copy { dtype, fill, parts: vec![part] }), &[v], Fact::new(dtype, &dims), largest)
    }

    fn joined(&mut self, v: V) -> V {
        let from = self.dims(v);
        let axis = self.random.below(from.len());
        let other = if self.random.one_in(3) { v } else { self.made(&from) };
        let mut dims = from.clone();
        dims[axis] *= 2;
        if count(&dims) > MOST {
            return v;
        }
        let dst = dense_strides(&dims);
        let part = |input: usize| Part {
            input,
            shape: from.clone(),
            src_offset: 0,
            src: dense_strides(&from),
            dst_offset: input * from[axis] * dst[axis] as usize,
            dst: dst.clone(),
        };
        let dtype = self.dtype(v);
        let copy = Copy { dtype, fill: None, parts: vec![part(0), part(1)] };
        let largest = self.bound(v).max(self.bound(other));
        self.task(Task::Copy(copy), &[v, other], Fact::new(dtype, &dims), largest)
    }

    // Maps.

    fn map(&mut self) -> V {
        let v = self.any();
        match self.random.below(8) {
            0 | 1 => self.unary(v),
            2 => self.cast(v),
            _ => {
                let other = self.operand(v);
                self.binary(v, other)
            }
        }
    }

    fn function(&mut self, dtype: DType) -> Unary {
        use Unary::*;
        match (self.style, dtype.is_float()) {
            (Style::Whole, _) | (_, false) => self.random.pick(&[Relu, Neg, Abs, Relu6, Sign]),
            _ => {
                self.random.pick(&[Relu, Neg, Sigmoid, Tanh, Exp, Relu6, HSwish, Gelu, Sqrt, Floor, Square, Reciprocal])
            }
        }
    }

    fn unary(&mut self, v: V) -> V {
        let fact = self.graph.fact(v).clone();
        let f = self.function(fact.dtype);
        let mut p = Program::new();
        let x = p.input(0, fact.dtype);
        p.unary(f, x);
        let largest = self.bound(v).max(6.0);
        self.task(Task::Map(Map { shape: fact.shape.clone(), program: p }), &[v], fact, largest)
    }

    /// To another type and back, so that the graph's type goes on.
    fn cast(&mut self, v: V) -> V {
        let fact = self.graph.fact(v).clone();
        let to = self.random.pick(&[DType::F32, DType::F16, DType::BF16, DType::I32, DType::Bool]);
        let convert = |from: DType, to: DType| {
            let mut p = Program::new();
            let x = p.input(0, from);
            if from == to {
                p.push(Instr::Cast(x), to)
            } else {
                p.cast(x, to)
            };
            Task::Map(Map { shape: fact.shape.clone(), program: p })
        };
        let largest = self.bound(v);
        let there = self.graph.value(Fact::new(to, &fact.shape), Source::Task);
        let n = self.graph.nodes.len();
        self.graph.nodes.push(TaskNode {
            task: convert(fact.dtype, to),
            ins: vec![v],
            outs: vec![there],
            path: format!("{n}").into(),
            ops: "map".into(),
        });
        self.largest.insert(there, largest);
        self.values.push(there);
        self.task(convert(to, fact.dtype), &[there], fact.clone(), largest)
    }

    /// Something that broadcasts with `v`.
    fn operand(&mut self, v: V) -> V {
        let dims = self.dims(v);
        let kept: Shape = match self.random.below(6) {
            0 => return v,
            1 => dims.clone(),
            2 => shape(&[]),
            // One element for each place along one dimension.
            3 | 4 => {
                let d = self.random.below(dims.len());
                (0..dims.len()).map(|i| if i == d { dims[i] } else { 1 }).collect()
            }
            _ => dims.iter().map(|&n| if self.random.one_in(2) { 1 } else { n }).collect(),
        };
        let lead = kept.iter().take_while(|n| **n == 1).count();
        let kept = &kept[self.random.below(lead + 1)..];
        if self.random.one_in(2) { self.made(kept) } else { self.constant(self.dtype, kept) }
    }

    fn binary(&mut self, v: V, other: V) -> V {
        use Binary::*;
        let (a, b) = if self.random.one_in(4) { (other, v) } else { (v, other) };
        let Some(dims) = mindir_graph::broadcast(&self.dims(a), &self.dims(b)).filter(|d| count(d) <= MOST) else {
            return v;
        };
        let dtype = self.dtype;
        let f = match (self.style, dtype.is_float()) {
            (Style::Whole, _) | (_, false) => self.random.pick(&[Add, Add, Mul, Sub, Max, Min]),
            _ => self.random.pick(&[Add, Add, Mul, Mul, Sub, Div, Max, Min]),
        };
        let mut p = Program::new();
        let (x, y) = (p.input(0, dtype), p.input(1, dtype));
        let r = p.binary(f, x, y);
        self.more(&mut p, r, x, y);
        let (a_bound, b_bound) = (self.bound(a), self.bound(b));
        let largest = (a_bound * b_bound).max(a_bound + b_bound).max(6.0) * 2.0;
        self.task(Task::Map(Map { shape: dims.clone(), program: p }), &[a, b], Fact::new(dtype, &dims), largest)
    }

    /// Sometimes a second step.
    fn more(&mut self, p: &mut Program, r: Reg, x: Reg, y: Reg) {
        match self.random.below(6) {
            0 => {
                let f = self.function(self.dtype);
                p.unary(f, r);
            }
            1 => {
                let c = p.binary(Binary::Gt, x, y);
                p.select(c, r, x);
            }
            2 => {
                p.binary(Binary::Add, r, x);
            }
            _ => {}
        }
    }

    // Products.

    fn product(&mut self) -> V {
        let batch: Shape = match self.random.below(4) {
            0 | 1 => Shape::new(),
            2 => shape(&[self.random.between(1, 3)]),
            _ => shape(&[self.random.between(1, 2), self.random.between(1, 3)]),
        };
        let size = |r: &mut Random| r.pick(&[1, 1, 2, 3, 4, 6]);
        let (m, n, k) = (size(&mut self.random), size(&mut self.random), size(&mut self.random));
        let operand = |maker: &mut Maker, rows: usize, cols: usize| {
            let swapped = maker.random.one_in(2);
            let mut dims: Shape = match maker.random.below(3) {
                0 => Shape::new(),
                1 => batch.iter().map(|&n| if maker.random.one_in(3) { 1 } else { n }).collect(),
                _ => batch.clone(),
            };
            let strides = broadcast_strides(&dims, &batch).unwrap_or_default();
            let batch: Strides = strides.iter().map(|s| s * (rows * cols) as isize).collect();
            dims.extend(if swapped { [cols, rows] } else { [rows, cols] });
            let v = maker.made(&dims);
            let (row, col) = if swapped { (1, rows) } else { (cols, 1) };
            (v, Matrix { batch, row, col, offset: 0 })
        };
        let (a, la) = operand(self, m, k);
        let (b, lb) = if m == n && self.random.one_in(4) {
            (a, Matrix { row: la.col, col: la.row, ..la.clone() })
        } else {
            operand(self, k, n)
        };
        let y = self.multiplied(&batch, [m, n, k], (a, la), (b, lb));
        self.finished(y)
    }

    /// The product of two matrices in each batch.
    fn multiplied(&mut self, batch: &[usize], [m, n, k]: [usize; 3], (a, la): (V, Matrix), (b, lb): (V, Matrix)) -> V {
        let steps: Strides = dense_strides(batch).iter().map(|s| s * (m * n) as isize).collect();
        let c = Matrix { batch: steps, row: n, col: 1, offset: 0 };
        let mut dims = shape(batch);
        dims.extend([m, n]);
        let dtype = self.dtype;
        let task =
            Gemm { batch: shape(batch), m, n, k, a: la, b: lb, c, dtype, out: dtype, tf32: false, epilogue: None };
        let largest = self.bound(a) * self.bound(b) * k as f64;
        self.task(Task::Gemm(task), &[a, b], Fact::new(dtype, &dims), largest)
    }

    /// Heads of attention over products of one value with constants. Whole numbers have no softmax.
    fn attention(&mut self) -> V {
        let size = |r: &mut Random| r.pick(&[1, 2, 3, 4]);
        let (rows, k, heads, d) =
            (size(&mut self.random), size(&mut self.random), size(&mut self.random), size(&mut self.random));
        let x = self.made(&[rows, k]);
        let (swapped, biased) = (self.random.one_in(2), self.random.one_in(2));
        let parts = [0, 1, 2].map(|_| self.projection(x, [rows, heads * d, k], swapped, biased));
        let [q, keys, v] = parts.map(|part| {
            let part = self.seen(part, &[rows, heads, d]);
            self.transposed(part, &[1, 0, 2])
        });
        let matrix = |cols: usize| Matrix {
            batch: Strides::from_slice(&[(rows * cols) as isize]),
            row: cols,
            col: 1,
            offset: 0,
        };
        let turned = Matrix { row: 1, col: d, ..matrix(d) };
        let mut scores = self.multiplied(&[heads], [rows, rows, d], (q, matrix(d)), (keys, turned));
        if self.random.one_in(2) {
            let mask = self.operand(scores);
            scores = self.binary(scores, mask);
        }
        let dims = self.dims(scores);
        if self.style == Style::Any && self.dtype.is_float() && *dims == [heads, rows, rows] {
            let task = Softmax { outer: heads * rows, len: rows, inner: 1, log: false, dtype: self.dtype };
            scores = self.task(Task::Softmax(task), &[scores], Fact::new(self.dtype, &dims), 1.0);
        }
        if *dims != [heads, rows, rows] {
            return scores;
        }
        let y = self.multiplied(&[heads], [rows, d, rows], (scores, matrix(rows)), (v, matrix(d)));
        let y = self.transposed(y, &[1, 0, 2]);
        self.seen(y, &[rows, heads * d])
    }

    /// The product of a matrix with a constant, and sometimes another constant for each column.
    fn projection(&mut self, x: V, [m, n, k]: [usize; 3], swapped: bool, biased: bool) -> V {
        let w = self.constant(self.dtype, &if swapped { [n, k] } else { [k, n] });
        let (row, col) = if swapped { (1, k) } else { (n, 1) };
        let matrix = |row, col| Matrix { batch: Strides::new(), row, col, offset: 0 };
        let y = self.multiplied(&[], [m, n, k], (x, matrix(k, 1)), (w, matrix(row, col)));
        if !biased {
            return y;
        }
        let bias = self.constant(self.dtype, &[n]);
        let mut p = Program::new();
        let (sum, by) = (p.input(0, self.dtype), p.input(1, self.dtype));
        p.binary(Binary::Add, sum, by);
        let largest = self.bound(y) + 3.0;
        let map = Task::Map(Map { shape: shape(&[m, n]), program: p });
        self.task(map, &[y, bias], Fact::new(self.dtype, &[m, n]), largest)
    }

    /// What often follows a product, sometimes.
    fn finished(&mut self, y: V) -> V {
        match self.random.below(5) {
            0 => {
                let perm = self.permutation(self.dims(y).len());
                self.transposed(y, &perm)
            }
            1 => {
                let dims = self.factors(self.graph.fact(y).count());
                let y = self.seen(y, &dims);
                let other = self.operand(y);
                self.binary(y, other)
            }
            2 | 3 => {
                let other = self.operand(y);
                let y = self.binary(y, other);
                if self.random.one_in(2) { self.unary(y) } else { y }
            }
            _ => y,
        }
    }

    // Images.

    /// A value as an image.
    fn as_image(&mut self) -> (V, [usize; 4]) {
        let v = self.any();
        let dims = self.dims(v);
        let image: Shape = match dims.len() {
            4 => dims,
            3 if self.random.one_in(2) => shape(&[dims[0], dims[1], 1, dims[2]]),
            _ => {
                let dims: Shape = (0..4).map(|_| self.random.pick(&[1, 2, 3, 4])).collect();
                let v = self.made(&dims);
                return (v, [dims[0], dims[1], dims[2], dims[3]]);
            }
        };
        let v = if self.dims(v) == image { v } else { self.seen(v, &image) };
        (v, [image[0], image[1], image[2], image[3]])
    }

    fn convolution(&mut self) -> V {
        let (x, [n, c_in, h, w]) = self.as_image();
        let groups = if c_in > 1 && self.random.one_in(4) { c_in } else { 1 };
        let c_out = groups * self.random.pick(if groups > 1 { &[1, 1, 2] } else { &[1, 2, 3, 4] });
        let kernel = [self.random.between(1, h.min(3)), self.random.between(1, w.min(3))];
        let pads =
            if self.random.one_in(2) { [0; 4] } else { [kernel[0] / 2, kernel[0] / 2, kernel[1] / 2, kernel[1] / 2] };
        let stride = [self.random.pick(&[1, 1, 2]), self.random.pick(&[1, 1, 2])];
        let out_h = (h + pads[0] + pads[1] - kernel[0]) / stride[0] + 1;
        let out_w = (w + pads[2] + pads[3] - kernel[1]) / stride[1] + 1;
        if n * c_out * out_h * out_w > MOST {
            return x;
        }
        let taps = [c_out, c_in / groups, kernel[0], kernel[1]];
        let weights = if self.random.one_in(2) { self.constant(self.dtype, &taps) } else { self.made(&taps) };
        let dtype = self.dtype;
        let conv = Conv {
            n,
            c_in,
            h,
            w,
            c_out,
            out_h,
            out_w,
            kernel,
            stride,
            dilation: [1; 2],
            pads,
            groups,
            layout: Layout::Nchw,
            dtype,
            out: dtype,
            tf32: false,
            scaled: false,
            epilogue: None,
        };
        let flat = out_h == 1 && self.random.one_in(2);
        let dims = if flat { shape(&[n, c_out, out_w]) } else { shape(&[n, c_out, out_h, out_w]) };
        let largest = self.bound(x) * self.bound(weights) * (c_in / groups * kernel[0] * kernel[1]) as f64;
        let y = self.task(Task::Conv(conv), &[x, weights], Fact::new(dtype, &dims), largest);
        match self.random.below(6) {
            0 => self.gated(y),
            1 => self.normalised(y),
            _ => self.finished(y),
        }
    }

    /// Scaled and shifted by channel.
    fn normalised(&mut self, y: V) -> V {
        let dims = self.dims(y);
        let mut channel: Shape = dims.iter().map(|_| 1).collect();
        channel[1] = dims[1];
        for f in [Binary::Mul, Binary::Add] {
            let from = usize::from(self.random.one_in(2));
            let by = self.constant(self.dtype, &channel[from..]);
            let mut p = Program::new();
            let (x, r) = (p.input(0, self.dtype), p.input(1, self.dtype));
            p.binary(f, x, r);
            let last = self.values.last().copied().unwrap_or(y);
            let largest = self.bound(last) * 3.0 + 3.0;
            let map = Task::Map(Map { shape: dims.clone(), program: p });
            self.task(map, &[last, by], Fact::new(self.dtype, &dims), largest);
        }
        let last = self.values.last().copied().unwrap_or(y);
        if self.random.one_in(2) { self.unary(last) } else { last }
    }

    /// Multiplied by a convolution of the means of its channels.
    fn gated(&mut self, y: V) -> V {
        let dims = self.dims(y);
        if dims.len() != 4 || !self.dtype.is_float() {
            return y;
        }
        let means = self.reduced(y, 2, 2);
        let means = self.seen(means, &[dims[0], dims[1], 1, 1]);
        let weights = self.constant(self.dtype, &[dims[1], dims[1], 1, 1]);
        let conv = Conv {
            n: dims[0],
            c_in: dims[1],
            h: 1,
            w: 1,
            c_out: dims[1],
            out_h: 1,
            out_w: 1,
            kernel: [1; 2],
            stride: [1; 2],
            dilation: [1; 2],
            pads: [0; 4],
            groups: 1,
            layout: Layout::Nchw,
            dtype: self.dtype,
            out: self.dtype,
            tf32: false,
            scaled: false,
            epilogue: None,
        };
        let largest = self.bound(means) * 3.0 * dims[1] as f64;
        let fact = Fact::new(self.dtype, &[dims[0], dims[1], 1, 1]);
        let gate = self.task(Task::Conv(conv), &[means, weights], fact, largest);
        let gate = self.unary(gate);
        self.binary(y, gate)
    }

    fn image(&mut self) -> V {
        let (x, [n, c, h, w]) = self.as_image();
        let (dtype, layout) = (self.dtype, Layout::Nchw);
        let largest = self.bound(x);
        if self.random.one_in(2) {
            let kernel = [self.random.between(1, h.min(2)), self.random.between(1, w.min(2))];
            let (out_h, out_w) = ((h - kernel[0]) / kernel[0] + 1, (w - kernel[1]) / kernel[1] + 1);
            let average = self.style == Style::Any && dtype.is_float() && self.random.one_in(2);
            let kind = if average { PoolKind::Avg { count_pads: true } } else { PoolKind::Max };
            let (stride, dilation, pads) = (kernel, [1; 2], [0; 4]);
            let pool = Pool { kind, n, c, h, w, out_h, out_w, kernel, stride, dilation, pads, layout, dtype };
            return self.task(Task::Pool(pool), &[x], Fact::new(dtype, &[n, c, out_h, out_w]), largest);
        }
        let (out_h, out_w) = (self.random.between(1, 4), self.random.between(1, 4));
        if n * c * out_h * out_w > MOST || !dtype.is_float() {
            return x;
        }
        let linear = self.style == Style::Any && self.random.one_in(2);
        let mode = if linear { ResizeMode::Bilinear } else { ResizeMode::Nearest };
        let coordinates =
            self.random.pick(&[Coordinates::Asymmetric, Coordinates::AlignCorners, Coordinates::HalfPixel]);
        let resize = Resize { mode, coordinates, n, c, h, w, out_h, out_w, layout, dtype };
        self.task(Task::Resize(resize), &[x], Fact::new(dtype, &[n, c, out_h, out_w]), largest)
    }

    fn reduction(&mut self) -> V {
        let v = self.any();
        let rank = self.dims(v).len();
        let first = self.random.below(rank);
        let many = self.random.between(1, rank - first);
        self.reduced(v, first, many)
    }

    fn reduced(&mut self, v: V, first: usize, many: usize) -> V {
        let dims = self.dims(v);
        let dtype = self.dtype(v);
        let len = count(&dims[first..first + many]);
        let kinds: &[ReduceKind] = match self.style {
            Style::Any if dtype.is_float() => &[ReduceKind::Mean, ReduceKind::Sum, ReduceKind::Max, ReduceKind::Min],
            _ => &[ReduceKind::Sum, ReduceKind::Max],
        };
        let kind = self.random.pick(kinds);
        let (outer, inner) = (count(&dims[..first]), count(&dims[first + many..]));
        let reduce = Reduce { kind, outer, len, inner, dtype, out: dtype };
        let keep = self.random.one_in(2);
        let middle: Shape = if keep { shape(&vec![1; many]) } else { Shape::new() };
        let out: Shape = dims[..first].iter().chain(&middle).chain(&dims[first + many..]).copied().collect();
        let out = if out.is_empty() { shape(&[1]) } else { out };
        let largest = self.bound(v) * len as f64;
        self.task(Task::Reduce(reduce), &[v], Fact::new(dtype, &out), largest)
    }

    fn other(&mut self) -> V {
        let v = self.any();
        let fact = self.graph.fact(v).clone();
        let axis = self.random.below(fact.rank());
        let (outer, inner) = (count(&fact.shape[..axis]), count(&fact.shape[axis + 1..]));
        let largest = self.bound(v);
        if self.style == Style::Any && fact.dtype.is_float() && self.random.one_in(2) {
            let softmax =
                Softmax { outer, len: fact.shape[axis], inner, log: self.random.one_in(2), dtype: fact.dtype };
            return self.task(Task::Softmax(softmax), &[v], fact, largest);
        }
        if self.random.one_in(3) {
            return self.sorted(v, axis);
        }
        let many = self.random.between(1, 3);
        let index: Vec<i64> = (0..many).map(|_| self.random.below(fact.shape[axis]) as i64).collect();
        let index = Tensor::vector(&index);
        let index = self.graph.value(index.fact(), Source::Const(index));
        let mut dims = fact.shape.clone();
        dims[axis] = many;
        let (axis, dtype) = (fact.shape[axis], fact.dtype);
        let picks = DType::I64;
        let gather = Gather { outer, axis, inner, count: many, batch: false, zeros: false, dtype, index: picks };
        self.task(Task::Gather(gather), &[v, index], Fact::new(dtype, &dims), largest)
    }

    /// The first elements along an axis in order; their positions, which rounding may change, are not used.
    fn sorted(&mut self, v: V, axis: usize) -> V {
        let Fact { dtype, shape: mut dims } = self.graph.fact(v).clone();
        let (outer, len, inner) = (count(&dims[..axis]), dims[axis], count(&dims[axis + 1..]));
        let k = self.random.between(1, len);
        dims[axis] = k;
        let ties = self.random.pick(&[Ties::Stable, Ties::Selected]);
        let (descending, values, index) = (self.random.one_in(2), true, DType::I64);
        let sort = Sort { outer, len, inner, k, descending, ties, values, dtype, index };
        let largest = self.bound(v);
        let positions = self.graph.value(Fact::new(index, &dims), Source::Task);
        let sorted = self.task(Task::Sort(sort), &[v], Fact::new(dtype, &dims), largest);
        if let Some(node) = self.graph.nodes.iter_mut().rev().find(|node| matches!(node.task, Task::Sort(_))) {
            node.outs.push(positions);
        }
        sorted
    }

    /// Chooses results: the last value, and some others.
    fn finish(mut self) -> TaskGraph {
        if self.values.is_empty() {
            let v = self.any();
            self.values.push(v);
        }
        let last = self.values[self.values.len() - 1];
        self.graph.outputs.push(last);
        for _ in 0..self.random.below(4) {
            let v = self.random.pick(&self.values);
            self.graph.outputs.push(v);
        }
        if self.random.one_in(6) {
            let v = self.random.pick(&self.values);
            self.graph.writes.push((0, v));
        }
        self.graph
    }
}
