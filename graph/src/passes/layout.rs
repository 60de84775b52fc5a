use std::collections::HashMap;
use std::sync::Arc;

use super::{Aims, Notes};
use crate::task::{Conv, Copy, EpilogueInput, Layout, Part, Source, Task, TaskGraph, TaskNode, V};
use crate::{Fact, Strides, Table, shape};

/// An image of so few channels is read as well plane by plane.
const FEW: usize = 4;

/// To rearrange an image of fewer pixels costs nothing beside the rest of a run.
const MANY: usize = 1024;

/// The dimensions `[n, c, h, w]` that the elements of a storage are seen in.
type Image = [usize; 4];

/// Rewrites convolutions to channels-last, unless the device prefers channels first. What lies between them follows, so that transposes remain only at the borders of
/// such regions. A convolution of few channels that no other follows is left alone: there is no region.
///
/// Which dimensions of a value are those of an image is said by the task that reads or writes it, never by its own shape.
/// Results keep their bits, but for the order in which a device sums what it finds in another order.
pub(super) fn run(graph: &mut TaskGraph, notes: &mut Notes, aims: &Aims) {
    let is_plane = |n: &&TaskNode| matches!(&n.task, Task::Conv(c) if c.layout == Layout::Nchw);
    if aims.preferences.convolutions == Layout::Nchw {
        let planes = graph.nodes.iter().filter(is_plane);
        planes.for_each(|n| notes.refused(&n.path, "the device prefers channels first"));
        return;
    }
    if !graph.nodes.iter().any(|n| is_plane(&n)) {
        return;
    }
    let nodes = std::mem::take(&mut graph.nodes);
    notes.visits += nodes.len() as u64;
    let leads = leads(graph, &nodes);
    let mut rewrite = Rewrite { graph, notes, leads, twins: HashMap::new(), only: HashMap::new() };
    for node in nodes {
        rewrite.node(node);
    }
    let results: Vec<V> =
        rewrite.graph.outputs.iter().chain(rewrite.graph.writes.iter().map(|(_, v)| v)).copied().collect();
    for v in results {
        rewrite.first(v);
    }
}

/// For each root, whether it is an image of a convolution, or what leads there takes its order from it.
fn leads(graph: &TaskGraph, nodes: &[TaskNode]) -> Table<V, bool> {
    let mut leads = graph.values.filled(false);
    for node in nodes.iter().rev() {
        let after = node.outs.iter().any(|v| leads[graph.root(*v)]);
        let follows = match &node.task {
            Task::Conv(c) => !is_alone(c, after),
            Task::Pool(_) | Task::Resize(_) | Task::Map(_) | Task::Copy(_) => after,
            _ => false,
        };
        if follows {
            node.ins.iter().for_each(|v| leads[graph.root(*v)] = true);
        }
    }
    leads
}

/// Whether a convolution, whose result leads to others or not, has no use of the order of channels.
fn is_alone(c: &Conv, leads: bool) -> bool {
    c.c_in <= FEW && c.h * c.w >= MANY && c.groups == 1 && !leads
}

struct Rewrite<'a> {
    graph: &'a mut TaskGraph,
    notes: &'a mut Notes,
    /// For each value that there was, whether it is a root that leads to a convolution.
    leads: Table<V, bool>,
    /// The elements of a root, seen as an image, channels-last.
    twins: HashMap<(V, Image), V>,
    /// Roots that exist channels-last only, so far.
    only: HashMap<V, Only>,
}

/// How a value exists that was not needed in its own order yet.
struct Only {
    twin: V,
    image: Image,
    path: Arc<str>,
    ops: Arc<str>,
}

/// A task in its channels-last form.
struct Form {
    task: Task,
    ins: Vec<V>,
    /// What the result is an image of; `None` if it has the order of the first form.
    image: Option<Image>,
}

impl Rewrite<'_> {
    fn node(&mut self, node: TaskNode) {
        match self.form(&node) {
            Some(form) => self.push(node, form),
            None => {
                for v in &node.ins {
                    self.first(*v);
                }
                self.graph.nodes.push(node);
            }
        }
    }

    /// The node's channels-last form, with all that it reads in place; `None` if it has none or should not take it.
    fn form(&mut self, node: &TaskNode) -> Option<Form> {
        let x = *node.ins.first()?;
        match &node.task {
            Task::Conv(c) if c.layout == Layout::Nchw => {
                let leads = self.leads[self.graph.root(*node.outs.first()?)];
                if is_alone(c, leads) && self.twin(x, [c.n, c.c_in, c.h, c.w]).is_none() {
                    self.notes.refused(&node.path, "few channels, and no convolution follows");
                    return None;
                }
                self.notes.applied(&node.path, "channels last");
                let image = [c.n, c.c_out, c.out_h, c.out_w];
                let lead = node.ins.len() - c.epilogue.as_ref().map_or(0, |e| e.inputs.len());
                let kinds = c.epilogue.iter().flat_map(|e| &e.inputs);
                let kinds = std::iter::repeat_n(&EpilogueInput::Column, lead).chain(kinds);
                let mut ins = Vec::new();
                for (i, (kind, &v)) in kinds.zip(&node.ins).enumerate() {
                    ins.push(match kind {
                        _ if i == 0 => self.last(v, [c.n, c.c_in, c.h, c.w], node),
                        EpilogueInput::Full => self.last(v, image, node),
                        _ => self.first(v),
                    });
                }
                let task = Task::Conv(Conv { layout: Layout::Nhwc, ..c.clone() });
                Some(Form { task, ins, image: Some(image) })
            }
            Task::Pool(p) if p.layout == Layout::Nchw => {
                let twin = self.twin(x, [p.n, p.c, p.h, p.w])?;
                let task = Task::Pool(crate::task::Pool { layout: Layout::Nhwc, ..p.clone() });
                Some(Form { task, ins: vec![twin], image: Some([p.n, p.c, p.out_h, p.out_w]) })
            }
            Task::Resize(r) if r.layout == Layout::Nchw => {
                let twin = self.twin(x, [r.n, r.c, r.h, r.w])?;
                let task = Task::Resize(crate::task::Resize { layout: Layout::Nhwc, ..r.clone() });
                Some(Form { task, ins: vec![twin], image: Some([r.n, r.c, r.out_h, r.out_w]) })
            }
            Task::Map(m) => self.map(node, m),
            Task::Reduce(r) => self.reduce(x, r),
            Task::Copy(c) => self.copy(node, c),
            _ => None,
        }
    }

    /// A map over images, one of which exists channels-last. Every operand broadcasts as it did: seen with as many dimensions
    /// as the map has, and these permuted.
    fn map(&mut self, node: &TaskNode, m: &crate::task::Map) -> Option<Form> {
        let image = Image::try_from(m.shape.as_slice()).ok()?;
        let whole = |v: &V| self.graph.fact(*v).shape == m.shape && self.twin(*v, image).is_some();
        if !node.ins.iter().any(whole) {
            return None;
        }
        let seen = |v: &V| padded(&self.graph.fact(*v).shape);
        let images: Vec<Image> = node.ins.iter().map(seen).collect::<Option<_>>()?;
        let ins = node.ins.iter().zip(images).map(|(v, image)| self.last(*v, image, node)).collect();
        let task = Task::Map(crate::task::Map { shape: shape(&nhwc(image)), program: m.program.clone() });
        Some(Form { task, ins, image: Some(image) })
    }

    /// A reduction of the rows and columns of an image that exists channels-last only; its result has the same order either
    /// way.
    fn reduce(&mut self, x: V, r: &crate::task::Reduce) -> Option<Form> {
        let only = self.only.get(&self.graph.root(x))?;
        let [n, c, h, w] = only.image;
        if r.outer != n * c || r.len != h * w || r.inner != 1 {
            return None;
        }
        let task = Task::Reduce(crate::task::Reduce { outer: n, inner: c, ..r.clone() });
        Some(Form { task, ins: vec![only.twin], image: None })
    }

    /// A copy between images that exist channels-last, whose blocks walk along whole dimensions: concatenation, slices,
    /// padding.
    fn copy(&mut self, node: &TaskNode, copy: &Copy) -> Option<Form> {
        let dims = |v: V| Image::try_from(self.graph.fact(v).shape.as_slice()).ok();
        let image = dims(*node.outs.first()?)?;
        let images: Vec<Image> = node.ins.iter().map(|v| dims(*v)).collect::<Option<_>>()?;
        let ins = node.ins.iter().zip(&images).map(|(v, image)| self.twin(*v, *image)).collect::<Option<_>>()?;
        let relaid = |part: &Part| {
            let block = Image::try_from(part.shape.as_slice()).ok()?;
            let (src_offset, src) = relaid(part.src_offset, &part.src, block, *images.get(part.input)?)?;
            let (dst_offset, dst) = relaid(part.dst_offset, &part.dst, block, image)?;
            Some(Part { input: part.input, shape: shape(&nhwc(block)), src_offset, src, dst_offset, dst })
        };
        let parts = copy.parts.iter().map(relaid).collect::<Option<_>>()?;
        Some(Form { task: Task::Copy(Copy { parts, ..copy.clone() }), ins, image: Some(image) })
    }

    /// Appends the form of a node.
    fn push(&mut self, node: TaskNode, form: Form) {
        let Form { task, ins, image } = form;
        let (Some(image), &[out]) = (image, node.outs.as_slice()) else {
            self.graph.nodes.push(TaskNode { task, ins, ..node });
            return;
        };
        let fact = Fact { dtype: self.graph.fact(out).dtype, shape: shape(&nhwc(image)) };
        let twin = self.graph.value(fact, Source::Task);
        self.graph.nodes.push(TaskNode { task, ins, outs: vec![twin], path: node.path.clone(), ops: node.ops.clone() });
        if stays(image) {
            self.graph.values[out].source = Source::Alias(twin);
            self.twins.insert((twin, image), twin);
        } else {
            self.twins.insert((out, image), twin);
            self.only.insert(out, Only { twin, image, path: node.path, ops: node.ops });
        }
    }

    /// What exists of `v`, seen as an image, channels-last.
    fn twin(&self, v: V, image: Image) -> Option<V> {
        self.twins.get(&(self.graph.root(v), image)).copied()
    }

    /// `v`, seen as an image, channels-last.
    fn last(&mut self, v: V, image: Image, node: &TaskNode) -> V {
        if let Some(twin) = self.twin(v, image) {
            return twin;
        }
        let root = self.first(v);
        let fact = Fact { dtype: self.graph.fact(v).dtype, shape: shape(&nhwc(image)) };
        let twin = if stays(image) {
            self.graph.value(fact, Source::Alias(self.graph.root(root)))
        } else {
            let twin = self.graph.value(fact, Source::Task);
            self.transpose(v, nhwc(image), nhwc(dense(image)), twin, &node.path, &node.ops);
            twin
        };
        self.twins.insert((self.graph.root(v), image), twin);
        twin
    }

    /// `v`, whose elements exist in its own order now.
    fn first(&mut self, v: V) -> V {
        let root = self.graph.root(v);
        if let Some(Only { twin, image, path, ops }) = self.only.remove(&root) {
            self.transpose(twin, image, nchw(dense(nhwc(image))), root, &path, &ops);
        }
        v
    }

    /// Appends a copy of `v`, read as `dims` with these strides, to `out`.
    fn transpose(&mut self, v: V, dims: Image, strides: [isize; 4], out: V, path: &Arc<str>, ops: &Arc<str>) {
        let (shape, src, dst) = (shape(&dims), Strides::from_slice(&strides), Strides::from_slice(&dense(dims)));
        let part = Part { input: 0, shape, src_offset: 0, src, dst_offset: 0, dst };
        let task = Task::Copy(Copy { dtype: self.graph.fact(out).dtype, fill: None, parts: vec![part] });
        let ops = format!("{ops} layout").into();
        self.graph.nodes.push(TaskNode { task, ins: vec![v], outs: vec![out], path: path.clone(), ops });
    }
}

/// A shape of at most four dimensions with ones in front.
fn padded(dims: &[usize]) -> Option<Image> {
    let mut image = [1; 4];
    image.get_mut(4usize.checked_sub(dims.len())?..)?.copy_from_slice(dims);
    Some(image)
}

/// What belongs to the dimensions of an image in its own order, channels-last.
fn nhwc<T>([n, c, h, w]: [T; 4]) -> [T; 4] {
    [n, h, w, c]
}

/// And back.
fn nchw<T>([n, h, w, c]: [T; 4]) -> [T; 4] {
    [n, c, h, w]
}

/// Whether no element of an image moves when its channels come last.
fn stays([_, c, h, w]: Image) -> bool {
    c == 1 || h == 1 && w == 1
}

/// Strides of dense elements.
fn dense([_, b, c, d]: [usize; 4]) -> [isize; 4] {
    [b * c * d, c * d, d, 1].map(|step| step as isize)
}

/// Offset and strides of a block over a dense image of `dims`, for the same block channels-last. `None` if the block does not
/// walk along one dimension of the image with each of its own.
fn relaid(offset: usize, strides: &[isize], block: Image, dims: Image) -> Option<(usize, Strides)> {
    if block.contains(&0) || dims.contains(&0) {
        return None;
    }
    let strides = <[isize; 4]>::try_from(strides).ok()?;
    let (from, to) = (dense(dims), nchw(dense(nhwc(dims))));
    let (mut rest, mut new_offset) = (offset, 0);
    let mut steps = [0isize; 4];
    let along = block.into_iter().zip(dims).zip(strides).zip(from.into_iter().zip(to));
    for (new, (((size, len), stride), (from, to))) in steps.iter_mut().zip(along) {
        let at = rest / from.unsigned_abs();
        rest %= from.unsigned_abs();
        new_offset += at * to.unsigned_abs();
        if size > 1 {
            if stride % from != 0 {
                return None;
            }
            let step = stride / from;
            let last = at as isize + step * (size as isize - 1);
            if last < 0 || last >= len as isize {
                return None;
            }
            *new = step * to;
        }
    }
    Some((new_offset, Strides::from_slice(&nhwc(steps))))
}
