//! Tasks as ONNX nodes: what operators without a mapping of their own become.
//!
//! Every dimension of a task is a number, so these nodes hold for fixed sizes only, except for element-wise programs.

use std::collections::HashMap;

use super::emit::to_i64;
use super::{Attr, Edge, Emit, NoForm, OPEN, missing, no_form, program};
use crate::task::{
    Conv, Copy, Gather, Gemm, Layout, Lowering, Matrix, Norm, NormKind, Part, Pool, PoolKind, Reduce, ReduceKind, Scan,
    ScanKind, Scatter, ScatterKind, Softmax, Source, Task, TaskNode, V,
};
use crate::{DType, Shape, Tensor, count, dense_strides};

/// Elements that a copy may place one by one.
const MOST_PLACED: usize = 1 << 20;

/// The edges of `outs`, which the tasks `nodes` compute.
pub(super) fn tasks(e: &mut Emit, b: &Lowering, nodes: &[TaskNode], outs: &[V]) -> Result<Vec<Edge>, NoForm> {
    let roots = e.edges.iter().map(|(&v, &edge)| (b.root(v), edge)).collect();
    let mut walk = Walk { b, edges: e.edges.clone(), roots };
    for node in nodes {
        let ins = node.ins.iter().map(|&v| walk.edge(e, v)).collect::<Result<Vec<_>, _>>()?;
        let results = walk.task(e, node, &ins)?;
        walk.edges.extend(node.outs.iter().copied().zip(results));
    }
    outs.iter().map(|&v| walk.edge(e, v)).collect()
}

struct Walk<'a> {
    b: &'a Lowering,
    edges: HashMap<V, Edge>,
    /// An edge with the same elements, by the value whose storage is shared.
    roots: HashMap<V, Edge>,
}

/// The first operands of a task.
fn operands<const N: usize>(ins: &[Edge]) -> Result<[Edge; N], NoForm> {
    ins.first_chunk().copied().ok_or_else(missing)
}

fn dims(shape: &[usize]) -> Vec<i64> {
    to_i64(shape)
}

impl Walk<'_> {
    fn edge(&mut self, e: &mut Emit, v: V) -> Result<Edge, NoForm> {
        if let Some(&edge) = self.edges.get(&v) {
            return Ok(edge);
        }
        let edge = match self.b.source(v) {
            _ if self.b.known(v).is_some() => match self.b.known(v) {
                Some(t) => e.constant(t),
                None => return Err(NoForm::Unstated),
            },
            Source::Alias(_) if !e.is_fixed() => return no_form(OPEN),
            Source::Alias(root) => {
                let x = match self.roots.get(root) {
                    Some(&x) => x,
                    None => self.edge(e, *root)?,
                };
                e.reshape(x, &dims(&self.b.fact(v).shape))
            }
            Source::Variable(_) => {
                return no_form("it reads a parameter that the model writes; ONNX models keep no state");
            }
            _ => return no_form("it reads a value that has no edge"),
        };
        self.edges.insert(v, edge);
        Ok(edge)
    }

    fn task(&self, e: &mut Emit, node: &TaskNode, ins: &[Edge]) -> Result<Vec<Edge>, NoForm> {
        if !e.is_fixed() && !matches!(node.task, Task::Map(_)) {
            return no_form(OPEN);
        }
        let out = &self.b.fact(*node.outs.first().ok_or_else(missing)?).shape;
        let first = || operands(ins).map(|[x]| x);
        let y = match &node.task {
            Task::Map(map) => {
                let y = program::program(e, &map.program, ins)?;
                self.ranked(e, y, &node.ins, map.shape.len())
            }
            Task::Copy(copy) => self.copy(e, copy, &node.ins, ins, out)?,
            Task::Gemm(gemm) => product(e, gemm, operands(ins)?, out)?,
            Task::Conv(conv) => convolution(e, conv, operands(ins)?, out)?,
            Task::Pool(pool) => pooling(e, pool, first()?, out)?,
            Task::Reduce(r) => reduction(e, r, first()?, out),
            Task::Softmax(s) => softmax(e, s, first()?, out),
            Task::Norm(norm) => return self.norm(e, norm, &node.outs, ins),
            Task::Gather(g) => gather(e, g, operands(ins)?, out)?,
            Task::Scan(s) => scan(e, s, first()?, out)?,
            Task::Scatter(s) => scatter(e, s, operands(ins)?, out),
            Task::Resize(_) => return no_form("images of this kind are resized by operators with a mapping only"),
            Task::Sort(_) => return no_form("elements are sorted by operators with a mapping only"),
            Task::Recurrent(_) => return no_form("a recurrent layer of this kind has none"),
            Task::Attention(_) => return no_form("attention has none, but its parts"),
            Task::Host(_) => return Err(NoForm::Unstated),
        };
        Ok(vec![y])
    }

    /// `y`, which a program computes of the operands `vs`, with `rank` dimensions: single elements that became numbers of the
    /// program have lost theirs.
    fn ranked(&self, e: &mut Emit, y: Edge, vs: &[V], rank: usize) -> Edge {
        let found = vs.iter().map(|&v| self.b.fact(v).rank()).max().unwrap_or(0);
        e.unsqueeze(y, &(0..rank.saturating_sub(found) as i64).collect::<Vec<_>>())
    }

    /// Every element picked by its position among all elements of the operands.
    fn copy(&self, e: &mut Emit, copy: &Copy, vs: &[V], ins: &[Edge], out: &Shape) -> Result<Edge, NoForm> {
        if let Some(y) = self.transposed(e, copy, vs, ins, out) {
            return Ok(y);
        }
        let total = count(out);
        if total > MOST_PLACED {
            return no_form(format!("{total} elements would have to be placed one by one"));
        }
        let mut offsets = Vec::with_capacity(vs.len());
        let mut at = 0usize;
        for &v in vs {
            offsets.push(at);
            at += self.b.fact(v).count();
        }
        let mut places = vec![at as i64; total];
        for part in &copy.parts {
            place(part, *offsets.get(part.input).ok_or_else(missing)?, &mut places);
        }
        let mut parts: Vec<Edge> = ins.iter().map(|&x| e.reshape(x, &[-1])).collect();
        if let Some(fill) = &copy.fill {
            let fill = Tensor::from_bytes(copy.dtype, &[1], fill.clone().into())?;
            parts.push(e.constant(fill));
        }
        let all = e.concat(&parts, 0);
        let places = e.constant(Tensor::from_vec(out, places)?);
        Ok(e.op_with("Gather", &[all, places], vec![("axis", 0.into())]))
    }

    /// The copy as a transpose, if it is one.
    fn transposed(&self, e: &mut Emit, copy: &Copy, vs: &[V], ins: &[Edge], out: &Shape) -> Option<Edge> {
        let [part] = copy.parts.as_slice() else { return None };
        let from = &self.b.fact(*vs.get(part.input)?).shape;
        let whole = part.shape == *out && part.dst_offset == 0 && part.dst == dense_strides(out);
        if !whole || part.src_offset != 0 || from.len() != out.len() || count(from) != count(out) {
            return None;
        }
        let dense = dense_strides(from);
        let mut perm = Vec::new();
        for walk in out.iter().zip(&part.src) {
            let mut walks = from.iter().zip(&dense).enumerate();
            let (p, _) = walks.find(|(p, found)| *found == walk && !perm.contains(p))?;
            perm.push(p);
        }
        Some(e.transpose(*ins.get(part.input)?, &perm))
    }

    fn norm(&self, e: &mut Emit, norm: &Norm, outs: &[V], ins: &[Edge]) -> Result<Vec<Edge>, NoForm> {
        let [x, rest @ ..] = ins else { return Err(missing()) };
        let x = e.reshape(*x, &[norm.rows as i64, norm.cols as i64]);
        let x = e.cast(x, norm.dtype, DType::F32);
        let (mut y, stats) = normal(e, norm.kind, x, norm.eps)?;
        y = e.cast(y, DType::F32, norm.dtype);
        let mut rest = rest.iter();
        if norm.gamma
            && let Some(&gamma) = rest.next()
        {
            let gamma = e.reshape(gamma, &[-1]);
            y = e.op("Mul", &[y, gamma]);
        }
        if norm.beta
            && let Some(&beta) = rest.next()
        {
            let beta = e.reshape(beta, &[-1]);
            y = e.op("Add", &[y, beta]);
        }
        let skip = if norm.kind == NormKind::Layer { 0 } else { 1 };
        let results = std::iter::once(y).chain(stats.into_iter().skip(skip)).zip(outs);
        Ok(results.map(|(y, v)| e.reshape(y, &dims(&self.b.fact(*v).shape))).collect())
    }
}

/// `x` (`f32`) normalised along its last dimension; mean and inverse deviation of each row.
fn normal(e: &mut Emit, kind: NormKind, x: Edge, eps: f64) -> Result<(Edge, [Edge; 2]), NoForm> {
    let mean = e.reduce("ReduceMean", x, &[1], true);
    let centred = if kind == NormKind::Layer { e.op("Sub", &[x, mean]) } else { x };
    let squares = e.op("Mul", &[centred, centred]);
    let var = e.reduce("ReduceMean", squares, &[1], true);
    let eps = e.number(DType::F32, eps)?;
    let var = e.op("Add", &[var, eps]);
    let root = e.op("Sqrt", &[var]);
    let inverse = e.op("Reciprocal", &[root]);
    Ok((e.op("Mul", &[centred, inverse]), [mean, inverse]))
}

fn place(part: &Part, offset: usize, places: &mut [i64]) {
    let mut index = vec![0usize; part.shape.len()];
    for _ in 0..count(&part.shape) {
        let along = |strides: &[isize]| index.iter().zip(strides).map(|(&i, &s)| i as isize * s).sum::<isize>();
        let to = part.dst_offset as isize + along(&part.dst);
        let from = (offset + part.src_offset) as isize + along(&part.src);
        if let Some(p) = places.get_mut(to as usize) {
            *p = from as i64;
        }
        for (i, &d) in index.iter_mut().zip(&part.shape).rev() {
            *i += 1;
            if *i < d {
                break;
            }
            *i = 0;
        }
    }
}

/// The operand of a product as matrices over the batch dimensions.
fn matrix(e: &mut Emit, x: Edge, m: &Matrix, batch: &[usize], rows: usize, cols: usize) -> Result<Edge, NoForm> {
    let lens: Vec<usize> = batch.iter().zip(&m.batch).map(|(&n, &s)| if s == 0 { 1 } else { n }).collect();
    let dense: Vec<isize> = dense_strides(&lens).iter().map(|s| s * (rows * cols) as isize).collect();
    let fits = lens.iter().zip(dense.iter().zip(&m.batch)).all(|(&n, (d, s))| n == 1 || d == s);
    let (plain, swapped) = (m.col == 1 && (m.row == cols || rows == 1), m.row == 1 && (m.col == rows || cols == 1));
    if m.offset != 0 || !fits || !(plain || swapped) {
        return no_form("a matrix product over parts of an operand");
    }
    let mut shape = dims(&lens);
    let ends = if plain { [rows, cols] } else { [cols, rows] };
    shape.extend(dims(&ends));
    let x = e.reshape(x, &shape);
    let mut perm: Vec<usize> = (0..shape.len()).collect();
    if !plain {
        perm.swap(lens.len(), lens.len() + 1);
    }
    Ok(e.transpose(x, &perm))
}

fn product(e: &mut Emit, g: &Gemm, [a, b]: [Edge; 2], out: &Shape) -> Result<Edge, NoForm> {
    if g.epilogue.is_some() || g.out != g.dtype {
        return no_form("a matrix product with an epilogue");
    }
    let a = matrix(e, a, &g.a, &g.batch, g.m, g.k)?;
    let b = matrix(e, b, &g.b, &g.batch, g.k, g.n)?;
    let m = program::machine(g.dtype);
    let (a, b) = (e.cast(a, g.dtype, m), e.cast(b, g.dtype, m));
    let y = e.op("MatMul", &[a, b]);
    let y = e.cast(y, m, g.dtype);
    Ok(e.reshape(y, &dims(out)))
}

/// `x` of `[n, c, h, w]` in `layout` with channels first, as `f32` if the type is bfloat16.
fn images(e: &mut Emit, x: Edge, layout: Layout, shape: [usize; 4], dtype: DType) -> Edge {
    let x = e.reshape(x, &dims(&layout.dims(shape)));
    let x = e.cast(x, dtype, program::machine(dtype));
    if layout == Layout::Nhwc { e.transpose(x, &[0, 3, 1, 2]) } else { x }
}

fn images_back(e: &mut Emit, y: Edge, layout: Layout, out: &Shape, dtype: DType) -> Edge {
    let y = if layout == Layout::Nhwc { e.transpose(y, &[0, 2, 3, 1]) } else { y };
    let y = e.cast(y, program::machine(dtype), dtype);
    e.reshape(y, &dims(out))
}

fn pads([top, bottom, left, right]: [usize; 4]) -> Attr {
    Attr::Ints(dims(&[top, left, bottom, right]))
}

fn convolution(e: &mut Emit, c: &Conv, [x, w]: [Edge; 2], out: &Shape) -> Result<Edge, NoForm> {
    if c.scaled || c.epilogue.is_some() {
        return no_form("a convolution with an epilogue");
    }
    let x = images(e, x, c.layout, [c.n, c.c_in, c.h, c.w], c.dtype);
    let w = e.reshape(w, &dims(&[c.c_out, c.c_in / c.groups, c.kernel[0], c.kernel[1]]));
    let w = e.cast(w, c.dtype, program::machine(c.dtype));
    let attrs = vec![
        ("kernel_shape", dims(&c.kernel).into()),
        ("strides", dims(&c.stride).into()),
        ("dilations", dims(&c.dilation).into()),
        ("pads", pads(c.pads)),
        ("group", (c.groups as i64).into()),
    ];
    let y = e.op_with("Conv", &[x, w], attrs);
    Ok(images_back(e, y, c.layout, out, c.dtype))
}

fn pooling(e: &mut Emit, p: &Pool, x: Edge, out: &Shape) -> Result<Edge, NoForm> {
    let beyond = |len: usize, out: usize, [kernel, stride, dilation]: [usize; 3]| {
        let steps = out.saturating_sub(1).saturating_mul(stride);
        let reach = kernel.saturating_sub(1).saturating_mul(dilation);
        steps.saturating_add(reach).saturating_add(1).saturating_sub(len)
    };
    let ([kh, kw], [sh, sw], [dh, dw], [top, bottom, left, right]) = (p.kernel, p.stride, p.dilation, p.pads);
    let rows = beyond(p.h + top + bottom, p.out_h, [kh, sh, dh]);
    let columns = beyond(p.w + left + right, p.out_w, [kw, sw, dw]);
    let mut attrs = vec![
        ("kernel_shape", dims(&p.kernel).into()),
        ("strides", dims(&p.stride).into()),
        ("pads", pads([top, bottom + rows, left, right + columns])),
    ];
    let op = match p.kind {
        PoolKind::Max => {
            attrs.push(("dilations", dims(&p.dilation).into()));
            "MaxPool"
        }
        PoolKind::Avg { count_pads } => {
            if p.dilation != [1, 1] || count_pads && (rows, columns) != (0, 0) {
                return no_form("a mean over windows that reach beyond the padding");
            }
            attrs.push(("count_include_pad", i64::from(count_pads).into()));
            "AveragePool"
        }
    };
    let x = images(e, x, p.layout, [p.n, p.c, p.h, p.w], p.dtype);
    let y = e.op_with(op, &[x], attrs);
    Ok(images_back(e, y, p.layout, out, p.dtype))
}

fn middle(outer: usize, len: usize, inner: usize) -> [i64; 3] {
    [outer as i64, len as i64, inner as i64]
}

fn reduction(e: &mut Emit, r: &Reduce, x: Edge, out: &Shape) -> Edge {
    let x = e.reshape(x, &middle(r.outer, r.len, r.inner));
    let y = reduce(e, r.kind, x, &[1], false, r.dtype, r.out);
    e.reshape(y, &dims(out))
}

/// A reduction of `x` of type `dtype` along `axes`; positions and truth values included.
pub(crate) fn reduce(
    e: &mut Emit,
    kind: ReduceKind,
    x: Edge,
    axes: &[usize],
    keep: bool,
    dtype: DType,
    out: DType,
) -> Edge {
    if kind == ReduceKind::Any {
        // ONNX's maximum of nothing is the smallest number, which would be taken for true; its minimum of nothing is true.
        let x = e.cast(x, dtype, DType::Bool);
        let not = e.op("Not", &[x]);
        let none = reduce(e, ReduceKind::All, not, axes, keep, DType::Bool, DType::Bool);
        let any = e.op("Not", &[none]);
        return e.cast(any, DType::Bool, out);
    }
    let m = if dtype == DType::Bool { DType::I32 } else { program::machine(dtype) };
    let x = e.cast(x, dtype, m);
    let op = match kind {
        ReduceKind::Sum => "ReduceSum",
        ReduceKind::Mean => "ReduceMean",
        ReduceKind::Prod => "ReduceProd",
        ReduceKind::Max => "ReduceMax",
        ReduceKind::Min | ReduceKind::All | ReduceKind::Any => "ReduceMin",
        ReduceKind::ArgMax | ReduceKind::ArgMin => {
            let op = if kind == ReduceKind::ArgMax { "ArgMax" } else { "ArgMin" };
            let axis = axes.first().map_or(0, |&a| a as i64);
            let y = e.op_with(op, &[x], vec![("axis", axis.into()), ("keepdims", i64::from(keep).into())]);
            return e.cast(y, DType::I64, out);
        }
    };
    let y = e.reduce(op, x, axes, keep);
    e.cast(y, m, out)
}

fn softmax(e: &mut Emit, s: &Softmax, x: Edge, out: &Shape) -> Edge {
    let x = e.reshape(x, &middle(s.outer, s.len, s.inner));
    let x = e.cast(x, s.dtype, program::machine(s.dtype));
    let y = e.op_with(if s.log { "LogSoftmax" } else { "Softmax" }, &[x], vec![("axis", 1.into())]);
    let y = e.cast(y, program::machine(s.dtype), s.dtype);
    e.reshape(y, &dims(out))
}

fn scatter(e: &mut Emit, s: &Scatter, [x, index, updates]: [Edge; 3], out: &Shape) -> Edge {
    let (count, inner) = (s.count as i64, s.inner as i64);
    let slices: Vec<i64> = dims(&s.axes).into_iter().chain([inner]).collect();
    let x = e.reshape(x, &slices);
    let index = e.cast(index, s.index, DType::I64);
    let index = e.reshape(index, &[count, s.axes.len() as i64]);
    let updates = e.reshape(updates, &[count, inner]);
    let reduction = match s.kind {
        ScatterKind::Replace => "none",
        ScatterKind::Add => "add",
        ScatterKind::Mul => "mul",
        ScatterKind::Max => "max",
        ScatterKind::Min => "min",
    };
    let y = e.op_with("ScatterND", &[x, index, updates], vec![("reduction", reduction.into())]);
    e.reshape(y, &dims(out))
}

fn gather(e: &mut Emit, g: &Gather, [x, index]: [Edge; 2], out: &Shape) -> Result<Edge, NoForm> {
    let x = e.reshape(x, &middle(g.outer, g.axis, g.inner));
    if !g.batch {
        let index = e.reshape(index, &[g.count as i64]);
        let y = e.op_with("Gather", &[x, index], vec![("axis", 1.into())]);
        return Ok(e.reshape(y, &dims(out)));
    }
    let index = e.reshape(index, &middle(g.outer, g.count, 1));
    let shape = e.vector(&middle(g.outer, g.count, g.inner));
    let index = e.op("Expand", &[index, shape]);
    let y = e.op_with("GatherElements", &[x, index], vec![("axis", 1.into())]);
    Ok(e.reshape(y, &dims(out)))
}

fn scan(e: &mut Emit, s: &Scan, x: Edge, out: &Shape) -> Result<Edge, NoForm> {
    if s.kind == ScanKind::Prod {
        return no_form("ONNX has no running product");
    }
    let m = program::machine(s.dtype);
    let x = e.reshape(x, &middle(s.outer, s.len, s.inner));
    let (x, axis) = (e.cast(x, s.dtype, m), e.number(DType::I64, 1.0)?);
    let attrs = vec![("exclusive", i64::from(s.exclusive).into()), ("reverse", i64::from(s.reverse).into())];
    let y = e.op_with("CumSum", &[x, axis], attrs);
    let y = e.cast(y, m, s.dtype);
    Ok(e.reshape(y, &dims(out)))
}
