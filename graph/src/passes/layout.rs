use std::collections::HashMap;

use super::Notes;
use crate::task::{Copy, EpilogueInput, Layout, Part, Reduce, Source, Task, TaskGraph, TaskNode, V};
use crate::{Fact, Shape, Strides, dense_strides, shape};

/// Order of `[n, h, w, c]` in `[n, c, h, w]` and back.
const TO_NHWC: [usize; 4] = [0, 2, 3, 1];
const TO_NCHW: [usize; 4] = [0, 3, 1, 2];

/// Rewrites convolutions to channels-last. What lies between them follows, so that transposes remain only at the borders of
/// such regions.
pub(super) fn run(graph: &mut TaskGraph, notes: &mut Notes) {
    if !graph.nodes.iter().any(|n| matches!(&n.task, Task::Conv(c) if c.layout == Layout::Nchw)) {
        return;
    }
    let nodes = std::mem::take(&mut graph.nodes);
    let mut rewrite = Rewrite { graph, notes, last: HashMap::new(), first: HashMap::new() };
    for node in nodes {
        rewrite.node(node);
    }
    let results: Vec<V> =
        rewrite.graph.outputs.iter().chain(rewrite.graph.writes.iter().map(|(_, v)| v)).copied().collect();
    for v in results {
        rewrite.first(v);
    }
}

struct Rewrite<'a> {
    graph: &'a mut TaskGraph,
    notes: &'a mut Notes,
    /// The channels-last twin of a value, by root.
    last: HashMap<V, V>,
    /// Values that exist channels-last only, so far, with the node that made them.
    first: HashMap<V, (std::sync::Arc<str>, std::sync::Arc<str>)>,
}

impl Rewrite<'_> {
    fn node(&mut self, node: TaskNode) {
        let follows = match &node.task {
            Task::Conv(c) => c.layout == Layout::Nchw,
            Task::Pool(p) => p.layout == Layout::Nchw && self.is_last(node.ins[0]),
            Task::Resize(r) => r.layout == Layout::Nchw && self.is_last(node.ins[0]),
            Task::Map(m) => m.shape.len() == 4 && node.ins.iter().any(|v| self.is_last(*v) && self.image(*v, &m.shape)),
            Task::Reduce(_) | Task::Copy(_) => node.ins.iter().all(|v| self.is_last(*v)),
            _ => false,
        };
        if !follows || !self.rewritten(&node) {
            for v in &node.ins {
                self.first(*v);
            }
            self.graph.nodes.push(node);
        }
    }

    /// Whether `v` is an image that exists channels-last and has not been needed otherwise.
    fn is_last(&self, v: V) -> bool {
        self.last.contains_key(&self.graph.root(v))
            && self.graph.fact(v).shape == self.graph.fact(self.graph.root(v)).shape
    }

    fn image(&self, v: V, dims: &[usize]) -> bool {
        self.graph.fact(v).shape.as_slice() == dims
    }

    /// Appends the channels-last form of the node; false if it has none.
    fn rewritten(&mut self, node: &TaskNode) -> bool {
        let mut new = node.clone();
        match &mut new.task {
            Task::Conv(c) => {
                c.layout = Layout::Nhwc;
                new.ins[0] = self.last(node.ins[0], node);
                let full: Vec<EpilogueInput> = c.epilogue.as_ref().map_or(Vec::new(), |e| e.inputs.clone());
                let lead = 2 + usize::from(c.scaled);
                let dims = shape(&Layout::Nchw.dims([c.n, c.c_out, c.out_h, c.out_w]));
                for (i, kind) in full.into_iter().enumerate().filter(|(_, k)| *k == EpilogueInput::Full) {
                    debug_assert_eq!(kind, EpilogueInput::Full);
                    let v = self.shaped(node.ins[lead + i], &dims);
                    new.ins[lead + i] = self.last(v, node);
                }
                self.notes.applied(&node.path, "channels last");
            }
            Task::Pool(p) => {
                p.layout = Layout::Nhwc;
                new.ins[0] = self.last(node.ins[0], node);
            }
            Task::Resize(r) => {
                r.layout = Layout::Nhwc;
                new.ins[0] = self.last(node.ins[0], node);
            }
            Task::Map(m) => {
                let dims = m.shape.clone();
                m.shape = permute(&dims, TO_NHWC);
                for (i, v) in node.ins.iter().enumerate() {
                    new.ins[i] = self.broadcast_last(*v, node);
                }
            }
            Task::Reduce(r) => match self.reduce_last(node, r) {
                Some(v) => {
                    new.ins[0] = v;
                    self.graph.nodes.push(new);
                    return true;
                }
                None => return false,
            },
            Task::Copy(c) => match self.copy_last(node, c) {
                Some(ins) => new.ins = ins,
                None => return false,
            },
            _ => return false,
        }
        let out = node.outs[0];
        let fact = self.graph.fact(out).clone();
        let images = self.shaped_dims(&node.task, &fact);
        let twin = self.graph.value(Fact { dtype: fact.dtype, shape: permute(&images, TO_NHWC) }, Source::Task);
        new.outs = vec![twin];
        self.graph.nodes.push(new);
        self.last.insert(out, twin);
        self.first.insert(out, (node.path.clone(), node.ops.clone()));
        true
    }

    /// Dimensions of a task's result as an image.
    fn shaped_dims(&self, task: &Task, fact: &Fact) -> Shape {
        match task {
            Task::Conv(c) => shape(&[c.n, c.c_out, c.out_h, c.out_w]),
            _ => fact.shape.clone(),
        }
    }

    fn shaped(&mut self, v: V, dims: &[usize]) -> V {
        if self.graph.fact(v).shape.as_slice() == dims {
            return v;
        }
        let dtype = self.graph.fact(v).dtype;
        let root = self.graph.root(v);
        if self.graph.fact(root).shape.as_slice() == dims {
            root
        } else {
            self.graph.value(Fact::new(dtype, dims), Source::Alias(root))
        }
    }

    /// `v`, an image `[n, c, h, w]`, channels-last.
    fn last(&mut self, v: V, node: &TaskNode) -> V {
        let root = self.graph.root(v);
        let same = self.graph.fact(v).shape == self.graph.fact(root).shape;
        if let Some(twin) = self.last.get(&root).filter(|_| same) {
            return *twin;
        }
        self.first(v);
        let twin = self.transposed(v, TO_NHWC, None, node.path.clone(), node.ops.clone());
        if same {
            self.last.insert(root, twin);
        }
        twin
    }

    /// An operand of a map over images, channels-last: full images by their twin, others with permuted dimensions.
    fn broadcast_last(&mut self, v: V, node: &TaskNode) -> V {
        let fact = self.graph.fact(v).clone();
        if fact.rank() == 4 {
            return self.last(v, node);
        }
        let mut dims: Shape = std::iter::repeat_n(1, 4 - fact.rank()).collect();
        dims.extend(fact.shape.iter().copied());
        let image = self.shaped(v, &dims);
        self.last(image, node)
    }

    /// Makes sure that `v` exists in its own order.
    fn first(&mut self, v: V) {
        let root = self.graph.root(v);
        if let Some((path, ops)) = self.first.remove(&root) {
            let twin = self.last[&root];
            self.transposed(twin, TO_NCHW, Some(root), path, ops);
        }
    }

    /// `v` with permuted dimensions, as the existing value `out` if given.
    fn transposed(
        &mut self,
        v: V,
        perm: [usize; 4],
        out: Option<V>,
        path: std::sync::Arc<str>,
        ops: std::sync::Arc<str>,
    ) -> V {
        let fact = self.graph.fact(v).clone();
        let dims = permute(&fact.shape, perm);
        let moved: Vec<usize> = perm.into_iter().filter(|&p| fact.shape[p] != 1).collect();
        if moved.is_sorted() {
            let root = self.graph.root(v);
            return match out {
                Some(o) => {
                    self.graph.values[o.0 as usize].source = Source::Alias(root);
                    o
                }
                None => self.graph.value(Fact { dtype: fact.dtype, shape: dims }, Source::Alias(root)),
            };
        }
        let strides = dense_strides(&fact.shape);
        let src: Strides = perm.iter().map(|&p| strides[p]).collect();
        let part = Part { input: 0, shape: dims.clone(), src_offset: 0, src, dst_offset: 0, dst: dense_strides(&dims) };
        let task = Task::Copy(Copy { dtype: fact.dtype, fill: None, parts: vec![part] });
        let out = out.unwrap_or_else(|| self.graph.value(Fact { dtype: fact.dtype, shape: dims }, Source::Task));
        self.graph.nodes.push(TaskNode {
            task,
            ins: vec![v],
            outs: vec![out],
            path,
            ops: format!("{ops} layout").into(),
        });
        out
    }

    /// A reduction of rows and columns, whose result has the same order either way.
    fn reduce_last(&mut self, node: &TaskNode, r: &mut Reduce) -> Option<V> {
        let dims = self.graph.fact(self.graph.root(node.ins[0])).shape.clone();
        let &[n, c, h, w] = dims.as_slice() else { return None };
        if r.outer != n * c || r.len != h * w || r.inner != 1 {
            return None;
        }
        (r.outer, r.inner) = (n, c);
        Some(self.last(node.ins[0], node))
    }

    /// A copy between images whose blocks walk along whole dimensions: concatenation, slices, padding.
    fn copy_last(&mut self, node: &TaskNode, copy: &mut Copy) -> Option<Vec<V>> {
        let out = self.graph.fact(node.outs[0]).shape.clone();
        if out.len() != 4 {
            return None;
        }
        for part in &mut copy.parts {
            let from = self.graph.fact(node.ins[part.input]).shape.clone();
            if part.shape.len() != 4 || from.len() != 4 {
                return None;
            }
            let (src_offset, src) = relaid(part.src_offset, &part.src, &part.shape, &from)?;
            let (dst_offset, dst) = relaid(part.dst_offset, &part.dst, &part.shape, &out)?;
            *part = Part { input: part.input, shape: permute(&part.shape, TO_NHWC), src_offset, src, dst_offset, dst };
        }
        Some(node.ins.iter().map(|v| self.last(*v, node)).collect())
    }
}

fn permute(dims: &[usize], perm: [usize; 4]) -> Shape {
    perm.iter().map(|&p| dims[p]).collect()
}

/// Offset and strides of a block over a dense image of `dims`, for the same block channels-last. `None` if a stride of the
/// block is no multiple of the image's stride along the same dimension.
fn relaid(offset: usize, strides: &[isize], block: &[usize], dims: &[usize]) -> Option<(usize, Strides)> {
    let dense = dense_strides(dims);
    let wide = dense_strides(&permute(dims, TO_NHWC));
    let mut rest = offset;
    let mut new_offset = 0;
    let mut steps = [0isize; 4];
    for d in 0..4 {
        let at = rest / dense[d].max(1) as usize;
        rest %= dense[d].max(1) as usize;
        let to = TO_NHWC.iter().position(|&p| p == d)?;
        new_offset += at * wide[to] as usize;
        if block[d] > 1 {
            if strides[d] % dense[d] != 0 {
                return None;
            }
            let step = strides[d] / dense[d];
            let last = at as isize + step * (block[d] as isize - 1);
            if last < 0 || last >= dims[d] as isize {
                return None;
            }
            steps[d] = step * wide[to];
        }
    }
    Some((new_offset, TO_NHWC.iter().map(|&d| steps[d]).collect()))
}
