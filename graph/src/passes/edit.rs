use std::cell::Cell;

use super::Notes;
use crate::task::{Source, TaskGraph, TaskNode, V};
use crate::{Fact, Table};

/// Calls `rewrite` for every node's position, in order.
pub(super) fn walk(
    graph: &mut TaskGraph,
    notes: &mut Notes,
    mut rewrite: impl FnMut(&mut Editor<'_>, usize, &mut Notes),
) {
    let mut editor = Editor::new(graph);
    for at in 0..editor.nodes.len() {
        rewrite(&mut editor, at, notes);
    }
    notes.visits += editor.visits.get();
}

/// A task graph under change, with an index of who writes and who reads each storage.
///
/// Nodes keep their positions while others are replaced or removed; every change takes constant time. The graph has its
/// nodes back, without gaps, when the editor is dropped.
pub(super) struct Editor<'a> {
    graph: &'a mut TaskGraph,
    nodes: Vec<Option<TaskNode>>,
    /// For each root, the node that writes it.
    producer: Table<V, Option<usize>>,
    /// For each root, who reads it.
    reads: Table<V, Reads>,
    /// How many nodes were looked at.
    visits: Cell<u64>,
}

/// The reads of one storage.
#[derive(Clone, Copy, Default)]
struct Reads {
    /// Operands of nodes.
    operands: usize,
    /// The positions of the nodes of those operands, added up: with one operand, the position of its node.
    positions: usize,
    /// Results of the graph and new contents of variables.
    results: usize,
}

impl Editor<'_> {
    fn new(graph: &mut TaskGraph) -> Editor<'_> {
        let nodes = std::mem::take(&mut graph.nodes);
        let mut editor = Editor {
            nodes: vec![None; nodes.len()],
            producer: graph.values.filled(None),
            reads: graph.values.filled(Reads::default()),
            visits: Cell::new(0),
            graph,
        };
        let results: Vec<V> =
            editor.graph.outputs.iter().chain(editor.graph.writes.iter().map(|(_, v)| v)).copied().collect();
        for v in results {
            let root = editor.root(v);
            editor.reads[root].results += 1;
        }
        for (at, node) in nodes.into_iter().enumerate() {
            editor.insert(at, node);
        }
        editor
    }

    /// The node at a position, if it was not removed.
    pub(super) fn node(&self, at: usize) -> Option<&TaskNode> {
        self.visits.set(self.visits.get() + 1);
        self.nodes.get(at)?.as_ref()
    }

    /// The values; the graph's nodes are the editor's.
    pub(super) fn graph(&self) -> &TaskGraph {
        self.graph
    }

    pub(super) fn fact(&self, v: V) -> &Fact {
        self.graph.fact(v)
    }

    pub(super) fn root(&self, v: V) -> V {
        self.graph.root(v)
    }

    /// Position of the node that writes the storage of `v`.
    pub(super) fn producer(&self, v: V) -> Option<usize> {
        self.producer[self.root(v)]
    }

    /// How often the storage of `v` is read: by operands, as a result, or to be written to a variable.
    pub(super) fn uses(&self, v: V) -> usize {
        let reads = self.reads[self.root(v)];
        reads.operands + reads.results
    }

    /// Position of the node of which one operand is all that reads the storage of `v`.
    pub(super) fn only_reader(&self, v: V) -> Option<usize> {
        let reads = self.reads[self.root(v)];
        (reads.operands == 1 && reads.results == 0).then_some(reads.positions)
    }

    /// Adds a value that no node writes.
    pub(super) fn alias(&mut self, of: V, dims: &[usize]) -> V {
        let root = self.root(of);
        let fact = Fact::new(self.fact(of).dtype, dims);
        self.producer.add(None);
        self.reads.add(Reads::default());
        self.graph.value(fact, Source::Alias(root))
    }

    /// Puts a node in the place of the one at `at`.
    pub(super) fn replace(&mut self, at: usize, node: TaskNode) {
        self.remove(at);
        self.insert(at, node);
    }

    /// Removes the node at `at`.
    pub(super) fn remove(&mut self, at: usize) {
        let Some(node) = self.nodes.get_mut(at).and_then(Option::take) else { return };
        for v in &node.ins {
            let root = self.root(*v);
            let reads = &mut self.reads[root];
            (reads.operands, reads.positions) = (reads.operands - 1, reads.positions - at);
        }
        for &o in &node.outs {
            self.producer[o].take_if(|producer| *producer == at);
        }
    }

    /// Makes `v`, which no node writes any more, the elements of `of`.
    pub(super) fn redirect(&mut self, v: V, of: V) {
        let root = self.root(of);
        self.graph.values[v].source = Source::Alias(root);
        let Reads { operands, positions, results } = std::mem::take(&mut self.reads[v]);
        let reads = &mut self.reads[root];
        reads.operands += operands;
        reads.positions += positions;
        reads.results += results;
    }

    fn insert(&mut self, at: usize, node: TaskNode) {
        for v in &node.ins {
            let root = self.root(*v);
            let reads = &mut self.reads[root];
            (reads.operands, reads.positions) = (reads.operands + 1, reads.positions + at);
        }
        for &o in &node.outs {
            self.producer[o] = Some(at);
        }
        if let Some(place) = self.nodes.get_mut(at) {
            *place = Some(node);
        }
    }
}

impl Drop for Editor<'_> {
    fn drop(&mut self) {
        self.graph.nodes = self.nodes.drain(..).flatten().collect();
    }
}
