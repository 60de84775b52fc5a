use std::sync::Arc;

use super::{Aims, Editor, Notes, join, walk};
use crate::DType;
use crate::task::{Attention, EpilogueInput, Gemm, Map, Softmax, Task, TaskGraph, TaskNode, V};

/// Joins the product of queries and keys, what is done to the scores, their softmax and its product with the values.
pub(super) fn run(graph: &mut TaskGraph, notes: &mut Notes, _: &Aims) {
    walk(graph, notes, |editor, at, notes| {
        let Some((last, softmax)) = weighted(editor, at) else { return };
        match Scores::before(editor, softmax).and_then(|scores| Ok((scores.with(&last)?, scores))) {
            Ok((attention, scores)) => scores.join(editor, at, last, attention, notes),
            Err(why) => notes.refused(&last.path, why),
        }
    });
}

/// A product whose first operand is a softmax that nobody else reads, and the position of that.
fn weighted(editor: &Editor<'_>, at: usize) -> Option<(TaskNode, usize)> {
    let node = editor.node(at)?;
    let (Task::Gemm(_), [weights, _]) = (&node.task, node.ins.as_slice()) else { return None };
    let softmax = editor.producer(*weights)?;
    let Task::Softmax(Softmax { log: false, inner: 1, .. }) = editor.node(softmax)?.task else { return None };
    (editor.only_reader(*weights) == Some(at)).then(|| (node.clone(), softmax))
}

/// How the scores of a softmax come about.
struct Scores {
    product: Gemm,
    map: Option<Map>,
    softmax: Softmax,
    /// Queries and keys.
    ins: [V; 2],
    /// What the product's epilogue reads, and what the map reads besides the scores.
    added: Vec<V>,
    others: Vec<V>,
    /// The tasks that take part, the last first.
    positions: Vec<usize>,
    ops: Vec<Arc<str>>,
}

impl Scores {
    /// What leads to the softmax at `at`.
    fn before(editor: &Editor<'_>, at: usize) -> Result<Scores, &'static str> {
        let node = editor.node(at).ok_or("it has no softmax")?;
        let (Task::Softmax(softmax), &[x]) = (&node.task, node.ins.as_slice()) else { return Err("it has no softmax") };
        let (mut positions, mut ops) = (vec![at], vec![node.ops.clone()]);
        let only = (editor.only_reader(x) == Some(at)).then(|| editor.producer(x)).flatten();
        let mut product = only.ok_or("its scores are an input, or read elsewhere too")?;
        let (mut map, mut others) = (None, Vec::new());
        if let Some(TaskNode { task: Task::Map(found), ins, ops: names, .. }) = editor.node(product) {
            positions.push(product);
            ops.push(names.clone());
            let (first, before) = scores(editor, found, ins, product).ok_or("what its softmax reads is no product")?;
            map = Some(numbered(found, first, ins.len()));
            others.extend(ins.iter().enumerate().filter(|(i, _)| *i != first).map(|(_, v)| *v));
            product = before;
        }
        let node = editor.node(product).ok_or("it has no scores")?;
        let (Task::Gemm(gemm), [q, k, added @ ..]) = (&node.task, node.ins.as_slice()) else {
            return Err("what its softmax reads is no product");
        };
        positions.push(product);
        ops.push(node.ops.clone());
        let (product, softmax, added) = (gemm.clone(), softmax.clone(), added.to_vec());
        Ok(Scores { product, map, softmax, ins: [*q, *k], added, others, positions, ops })
    }

    /// The task that ends with the product `last`.
    fn with(&self, last: &TaskNode) -> Result<Attention, &'static str> {
        let Task::Gemm(values) = &last.task else { return Err("it is no product") };
        let (scores, batch) = (&self.product, &self.product.batch);
        let floats = [scores.dtype, scores.out, values.dtype, values.out, self.softmax.dtype];
        let map = self.map();
        let computed = map.as_ref().is_none_or(|map| map.program.dtype() == Some(DType::F32));
        if floats.iter().any(|dtype| *dtype != DType::F32) || !computed {
            return Err("it is not of f32 throughout");
        }
        if !scores.is_dense() {
            return Err("its scores are not dense");
        }
        if values.epilogue.is_some() || !values.a.is_dense(&values.batch, values.m, values.k) {
            return Err("the product with the values has an epilogue, or does not read the softmax in order");
        }
        let rows = batch.iter().product::<usize>().checked_mul(scores.m);
        let same = (values.m, values.k, values.batch_count()) == (scores.m, scores.n, scores.batch_count());
        let shaped = map.as_ref().is_none_or(|map| map.shape.ends_with(&[scores.m, scores.n]));
        let empty = rows == Some(0) || scores.n * scores.k * values.n == 0;
        if empty || !same || !shaped || rows != Some(self.softmax.outer) || self.softmax.len != scores.n {
            return Err("rows and columns of its products do not match, or there are none");
        }
        let epilogue = scores.epilogue.clone().filter(|_| self.added.is_empty());
        Ok(Attention { scores: Gemm { epilogue, ..scores.clone() }, map, values: values.clone() })
    }

    /// The map, behind an epilogue that reads more than the sums.
    fn map(&self) -> Option<Map> {
        let Some(epilogue) = self.product.epilogue.as_ref().filter(|e| !e.inputs.is_empty()) else {
            return self.map.clone();
        };
        let Some(map) = &self.map else {
            let mut shape = self.product.batch.clone();
            shape.extend([self.product.m, self.product.n]);
            return Some(Map { shape, program: epilogue.program.clone() });
        };
        let keep: Vec<usize> = (0..=self.others.len()).map(|i| i + epilogue.inputs.len()).collect();
        Some(Map { shape: map.shape.clone(), program: map.program.compose(0, &epilogue.program, &[], &keep) })
    }

    /// What the epilogue reads, with dimensions in which it broadcasts to those of the map.
    fn shaped(&self, editor: &mut Editor<'_>, shape: &[usize]) -> Vec<V> {
        let kinds = self.product.epilogue.iter().flat_map(|e| &e.inputs);
        let dims = |kind: &EpilogueInput| match (kind, shape) {
            (EpilogueInput::Column, [.., n]) => vec![*n],
            (EpilogueInput::Row, [lead @ .., _]) => [lead, &[1]].concat(),
            (EpilogueInput::Full, _) => shape.to_vec(),
            _ => Vec::new(),
        };
        self.added.iter().zip(kinds).map(|(v, kind)| editor.alias(*v, &dims(kind))).collect()
    }

    /// Puts the task in the place of `last`.
    fn join(self, editor: &mut Editor<'_>, at: usize, last: TaskNode, attention: Attention, notes: &mut Notes) {
        let (m, n) = (attention.scores.m, attention.scores.n);
        notes.applied(&last.path, format!("{m} queries with {n} keys are one task"));
        let ops = self.ops.iter().rev().chain([&last.ops]).cloned().reduce(|a, b| join(&a, &b)).unwrap_or_default();
        let added = attention.map.as_ref().map_or_else(Vec::new, |map| self.shaped(editor, &map.shape));
        let ins = self.ins.into_iter().chain(added).chain(self.others).chain(last.ins.get(1).copied()).collect();
        self.positions.into_iter().for_each(|position| editor.remove(position));
        editor.replace(at, TaskNode { task: Task::Attention(attention.into()), ins, ops, ..last });
    }
}

/// Which operand of a map is a product that nobody else reads, in the map's own shape, and the position of that product.
fn scores(editor: &Editor<'_>, map: &Map, ins: &[V], at: usize) -> Option<(usize, usize)> {
    let product = |v: V| {
        let from = editor.producer(v).filter(|_| editor.only_reader(v) == Some(at))?;
        let fits = matches!(editor.node(from)?.task, Task::Gemm(_)) && editor.fact(v).shape == map.shape;
        fits.then_some(from)
    };
    ins.iter().enumerate().find_map(|(i, v)| Some((i, product(*v)?)))
}

/// The map with its input `first` as input 0, and those before it one further.
fn numbered(map: &Map, first: usize, inputs: usize) -> Map {
    let number = |i: usize| if i == first { 0 } else { i + usize::from(i < first) };
    let mut map = map.clone();
    map.program.renumber(&(0..inputs).map(number).collect::<Vec<_>>());
    map
}
