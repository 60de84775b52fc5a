use std::collections::HashMap;

use super::strided_products::through;
use super::{Aims, Notes, View, join};
use crate::task::{Copy, EpilogueInput, Gemm, Matrix, Part, Source, Task, TaskGraph, TaskNode, V};
use crate::{DType, Fact, Shape, Strides, Table, shape};

/// Makes products of one operand with constants, such as the queries, keys and values of attention, one product with the columns
/// of all. Whoever reads them views a part of its rows, so it must be a product or attention. Copies join the constants.
pub(super) fn run(graph: &mut TaskGraph, notes: &mut Notes, _: &Aims) {
    notes.visits += graph.nodes.len() as u64;
    let (reads, groups) = (Reads::of(graph), groups(graph));
    let nodes = std::mem::take(&mut graph.nodes).into_iter().map(Some).collect();
    let mut joiner = Joiner { graph, nodes, reads, copies: HashMap::new() };
    groups.iter().for_each(|group| joiner.group(group, notes));
    let Joiner { nodes, mut copies, .. } = joiner;
    for (at, node) in nodes.into_iter().enumerate() {
        graph.nodes.extend(copies.remove(&at).into_iter().flatten());
        graph.nodes.extend(node);
    }
}

/// Positions of products that read one operand alike and end alike; two at least.
fn groups(graph: &TaskGraph) -> Vec<Vec<usize>> {
    let (mut groups, mut known): (Vec<Vec<usize>>, HashMap<_, usize>) = (Vec::new(), HashMap::new());
    for (at, node) in graph.nodes.iter().enumerate() {
        let Some(kind) = kind(graph, node) else { continue };
        let group = *known.entry(kind).or_insert(groups.len());
        match groups.get_mut(group) {
            Some(group) => group.push(at),
            None => groups.push(vec![at]),
        }
    }
    groups.retain(|group| group.len() > 1);
    groups
}

/// What a product that can be joined reads first, and all in which those must agree that are joined with it.
fn kind(graph: &TaskGraph, node: &TaskNode) -> Option<(V, String)> {
    let (Task::Gemm(g), [a, constants @ ..], [out]) = (&node.task, node.ins.as_slice(), node.outs.as_slice()) else {
        return None;
    };
    let Gemm { m, k, a: matrix, dtype, out: sums, epilogue, .. } = g;
    let along = along(g);
    let columns = epilogue.iter().flat_map(|e| &e.inputs).all(|input| *input == EpilogueInput::Column);
    let known = constants.iter().all(|v| graph.is_constant(*v)) && !graph.is_constant(*a);
    let whole = g.batch.is_empty() && g.is_dense() && ![*m, *k, g.n].contains(&0);
    let types: Vec<DType> = constants.iter().chain([out]).map(|v| graph.fact(*v).dtype).collect();
    let program = epilogue.as_ref().map(|e| &e.program);
    let text = || format!("{:?}", (matrix, m, k, along, dtype, sums, types, program));
    (columns && known && whole).then(|| (graph.root(*a), text()))
}

/// Who reads the storage of each root, by position and operand, and what else needs it.
struct Reads {
    operands: Table<V, Vec<(usize, usize)>>,
    results: Table<V, bool>,
}

impl Reads {
    fn of(graph: &TaskGraph) -> Reads {
        let mut reads = Reads { operands: graph.values.filled(Vec::new()), results: graph.values.filled(false) };
        for (at, node) in graph.nodes.iter().enumerate() {
            node.ins.iter().enumerate().for_each(|(i, v)| reads.operands[graph.root(*v)].push((at, i)));
        }
        for v in graph.outputs.iter().chain(graph.writes.iter().map(|(_, v)| v)) {
            reads.results[graph.root(*v)] = true;
        }
        reads
    }
}

/// A product that is joined, and where its columns start.
struct Member {
    node: TaskNode,
    gemm: Gemm,
    out: V,
    at: usize,
    first: usize,
}

struct Joiner<'a> {
    graph: &'a mut TaskGraph,
    nodes: Vec<Option<TaskNode>>,
    reads: Reads,
    /// What stands in front of the node at a position.
    copies: HashMap<usize, Vec<TaskNode>>,
}

impl Joiner<'_> {
    fn group(&mut self, group: &[usize], notes: &mut Notes) {
        let (mut members, mut first) = (Vec::new(), 0);
        for &at in group {
            let Some(member) = self.member(at, first) else { continue };
            match self.refusal(&member) {
                Some(why) => notes.refused(&member.node.path, why),
                None => {
                    first += member.gemm.n;
                    members.push(member);
                }
            }
        }
        let [head, others @ ..] = members.as_slice() else { return };
        if others.is_empty() {
            return;
        }
        let Some(readers) = self.readers(&members, first) else { return };
        notes
            .applied(&head.node.path, format!("{} products of one operand are one, of {first} columns", members.len()));
        let y = self.product(head, &members, first);
        for (at, mut node, operands) in readers {
            operands.iter().for_each(|i| node.ins.iter_mut().skip(*i).take(1).for_each(|v| *v = y));
            self.put(at, Some(node));
        }
    }

    fn member(&self, at: usize, first: usize) -> Option<Member> {
        let node = self.nodes.get(at)?.clone()?;
        let (Task::Gemm(gemm), &[out]) = (&node.task, node.outs.as_slice()) else { return None };
        Some(Member { gemm: gemm.clone(), out, node, at, first })
    }

    /// Why a product stays as it is.
    fn refusal(&self, member: &Member) -> Option<String> {
        let weights = member.node.ins.get(1).map(|v| self.graph.root(*v))?;
        if self.reads.operands[weights].len() > 1 || self.reads.results[weights] {
            return Some("its weights are read elsewhere too".into());
        }
        if self.reads.results[member.out] {
            return Some("its result is returned".into());
        }
        let reads = &self.reads.operands[member.out];
        let deaf = reads.iter().find(|(at, i)| {
            let node = self.nodes.get(*at).and_then(Option::as_ref);
            !node.is_some_and(|node| views(&mut node.clone(), *i, member, 2 * member.gemm.n))
        });
        let deaf = deaf.and_then(|(at, _)| self.nodes.get(*at)?.as_ref());
        deaf.map(|node| format!("{} {} reads no part of a row", node.ops, node.path))
    }

    /// All that read the members, as they view a product of `cols` columns, with the operands that are this product.
    fn readers(&self, members: &[Member], cols: usize) -> Option<Vec<(usize, TaskNode, Vec<usize>)>> {
        let mut readers: Vec<(usize, TaskNode, Vec<usize>)> = Vec::new();
        let mut known: HashMap<usize, usize> = HashMap::new();
        for member in members {
            for &(at, i) in &self.reads.operands[member.out] {
                let place = *known.entry(at).or_insert(readers.len());
                if place == readers.len() {
                    readers.push((at, self.nodes.get(at)?.clone()?, Vec::new()));
                }
                let (_, node, operands) = readers.get_mut(place)?;
                if !views(node, i, member, cols) {
                    return None;
                }
                operands.push(i);
            }
        }
        Some(readers)
    }

    /// Puts the joined product in the place of `head`, the first of the members, and returns its result.
    fn product(&mut self, head: &Member, members: &[Member], cols: usize) -> V {
        let Member { node, gemm, out, at, .. } = head;
        let along = along(gemm);
        let b = if along { Matrix { row: 1, col: gemm.k, ..dense(cols) } } else { dense(cols) };
        let (mut ins, mut copies) = (node.ins.iter().take(1).copied().collect::<Vec<V>>(), Vec::new());
        for i in 1..node.ins.len() {
            let weights = (i == 1).then_some((gemm.k, along));
            let (v, copy) = self.constant(members, i, cols, weights);
            ins.push(v);
            copies.push(copy);
        }
        let y = self.graph.value(Fact::new(self.graph.fact(*out).dtype, &[gemm.m, cols]), Source::Task);
        let task = Task::Gemm(Gemm { n: cols, b, c: dense(cols), ..gemm.clone() });
        let ops = members.iter().skip(1).fold(node.ops.clone(), |ops, other| join(&ops, &other.node.ops));
        members.iter().for_each(|member| self.put(member.at, None));
        self.put(*at, Some(TaskNode { task, ins, outs: vec![y], path: node.path.clone(), ops }));
        self.copies.insert(*at, copies);
        y
    }

    /// Operand `i` of all members, one after the other: their weights of so many rows, which may lie along the columns of the
    /// product, or one element for each column.
    fn constant(&mut self, members: &[Member], i: usize, cols: usize, weights: Option<(usize, bool)>) -> (V, TaskNode) {
        let rows = weights.map_or(1, |(rows, _)| rows);
        let along = weights.is_some_and(|(_, along)| along);
        let part = |(input, member): (usize, &Member)| {
            let Gemm { n, b, .. } = &member.gemm;
            let (offset, [row, col]) = if weights.is_some() { (b.offset, [b.row, b.col]) } else { (0, [0, 1]) };
            let [src, dst] = [[row, col], if along { [1, rows] } else { [cols, 1] }];
            let (dims, dst_offset) = ([rows, *n], member.first * if along { rows } else { 1 });
            let turned = |of: [usize; 2]| if along { [of[1], of[0]] } else { of };
            Part {
                input,
                shape: shape(&turned(dims)),
                src_offset: offset,
                src: turned(src).iter().map(|&s| s as isize).collect(),
                dst_offset,
                dst: turned(dst).iter().map(|&s| s as isize).collect(),
            }
        };
        let parts = members.iter().enumerate().map(part).collect();
        let ins: Vec<V> = members.iter().filter_map(|member| member.node.ins.get(i).copied()).collect();
        let dtype = ins.first().map_or(DType::F32, |v| self.graph.fact(*v).dtype);
        let dims: Shape =
            if weights.is_none() { shape(&[cols]) } else { shape(&if along { [cols, rows] } else { [rows, cols] }) };
        let v = self.graph.value(Fact::new(dtype, &dims), Source::Task);
        let path = members.first().map_or_else(|| "".into(), |member| member.node.path.clone());
        let task = Task::Copy(Copy { dtype, fill: None, parts });
        (v, TaskNode { task, ins, outs: vec![v], path, ops: "Concat".into() })
    }

    fn put(&mut self, at: usize, node: Option<TaskNode>) {
        self.nodes.iter_mut().skip(at).take(1).for_each(|place| *place = node.clone());
    }
}

/// Whether the weights of a column are neighbours.
fn along(g: &Gemm) -> bool {
    g.b.row == 1 && g.b.col != 1
}

/// One matrix of so many columns without gaps.
fn dense(cols: usize) -> Matrix {
    Matrix { batch: Strides::new(), row: cols, col: 1, offset: 0 }
}

/// Lets operand `i`, the result of `member`, be a part of a product of `cols` columns. Whether it can be.
fn views(node: &mut TaskNode, i: usize, member: &Member, cols: usize) -> bool {
    let last = node.ins.len().saturating_sub(1);
    let (g, second) = match &mut node.task {
        Task::Gemm(g) if i < 2 => (g, i == 1),
        Task::Attention(a) if i < 2 => (&mut a.scores, i == 1),
        Task::Attention(a) if i == last => (&mut a.values, true),
        _ => return false,
    };
    let (matrix, sizes) = if second { (&mut g.b, [g.k, g.n]) } else { (&mut g.a, [g.m, g.k]) };
    let (strides, dims) = ([cols as isize, 1], [member.gemm.m, member.gemm.n]);
    let view = View { offset: member.first, dims: shape(&dims), strides: Strides::from_slice(&strides) };
    through(&g.batch, matrix, sizes, &view).map(|found| *matrix = found).is_some()
}
