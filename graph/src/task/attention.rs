use super::{Gemm, Map, Softmax, Source, Task, TaskGraph, TaskNode, V, times};
use crate::{DType, Fact};

/// Attention as one task: `y = softmax(map(q · k)) · v`, with a softmax for every row of the scores `q · k`.
///
/// Inputs: `q`, `k`, what `map` reads besides the scores, `v`. Output: `y`, laid out as `values` says. A device that computes it
/// need not hold all scores at one time.
#[derive(Clone, Debug)]
pub struct Attention {
    /// `q · k`; its result is dense, and its epilogue reads nothing but the sums.
    pub scores: Gemm,
    /// What becomes of the scores before the softmax. Its input 0 is the scores; its shape ends with their rows and columns.
    pub map: Option<Map>,
    /// The softmax times `v`; its first operand is dense, and it has no epilogue.
    pub values: Gemm,
}

impl Attention {
    /// Element type of the scores.
    pub fn dtype(&self) -> DType {
        self.scores.dtype
    }

    /// The softmax.
    pub fn softmax(&self) -> Softmax {
        let Gemm { m, n, dtype, .. } = self.scores;
        Softmax { outer: self.scores.batch_count() * m, len: n, inner: 1, log: false, dtype }
    }

    pub(super) fn flops(&self) -> u64 {
        let product = |g: &Gemm| times([2, g.batch_count(), g.m, g.n, g.k]);
        let each = self.map.as_ref().map_or(0, |map| map.program.flops()).saturating_add(4);
        let scores = times([self.scores.batch_count(), self.scores.m, self.scores.n]).saturating_mul(each);
        product(&self.scores).saturating_add(scores).saturating_add(product(&self.values))
    }

    /// The tasks that it is made of.
    pub(super) fn expand(&self, ins: &[Fact], outs: &[Fact]) -> Option<TaskGraph> {
        let mut graph = TaskGraph::default();
        let inputs: Vec<V> =
            ins.iter().enumerate().map(|(i, fact)| graph.value(fact.clone(), Source::Input(i))).collect();
        let ([q, k, others @ .., v], [y]) = (inputs.as_slice(), outs) else { return None };
        let mut dims = self.scores.batch.clone();
        dims.extend([self.scores.m, self.scores.n]);
        let shape = self.map.as_ref().map_or(dims, |map| map.shape.clone());
        let scores = Fact { dtype: self.dtype(), shape };
        let mut task = |task: Task, ins: Vec<V>, fact: &Fact| {
            let out = graph.value(fact.clone(), Source::Task);
            graph.nodes.push(TaskNode { task, ins, outs: vec![out], path: "".into(), ops: "".into() });
            out
        };
        let mut last = task(Task::Gemm(self.scores.clone()), vec![*q, *k], &scores);
        if let Some(map) = &self.map {
            last = task(Task::Map(map.clone()), [&[last], others].concat(), &scores);
        }
        last = task(Task::Softmax(self.softmax()), vec![last], &scores);
        last = task(Task::Gemm(self.values.clone()), vec![last, *v], y);
        (graph.inputs, graph.outputs) = (inputs, vec![last]);
        Some(graph)
    }
}
