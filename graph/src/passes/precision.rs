use std::collections::HashMap;
use std::sync::Arc;

use super::{Aims, Editor, Notes, epilogue, fuse_maps, walk};
use crate::task::{Conv, Gemm, Instr, Map, Program, Source, Task, TaskGraph, TaskNode, V};
use crate::{DType, Fact};

/// How exactly matrix products and convolutions of `f32` are computed. Sums, bias, epilogue and results are `f32` whatever it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Precision {
    /// Operands keep their bits.
    #[default]
    F32,
    /// A device may round operands to 10 bits of mantissa where its units for products take no more.
    Tf32,
    /// Operands are rounded to `f16`: to 10 bits of mantissa. What is larger than 65504 becomes infinite, and what is smaller
    /// than 2⁻¹⁴ loses bits.
    F16,
    /// Operands are rounded to `bf16`: to 7 bits of mantissa, with the range of `f32`.
    Bf16,
}

impl Precision {
    /// All of them.
    pub const ALL: [Precision; 4] = [Precision::F32, Precision::Tf32, Precision::F16, Precision::Bf16];

    /// Name, lower case.
    pub fn name(self) -> &'static str {
        match self {
            Precision::F32 => "f32",
            Precision::Tf32 => "tf32",
            Precision::F16 => "f16",
            Precision::Bf16 => "bf16",
        }
    }
}

/// Gives products and convolutions of `f32` the precision that is asked for.
///
/// For `f16` and `bf16`, both operands are rounded once, whoever reads them, to nearest with halves to even: a sum `Σ x·w`
/// changes by at most `(2·u + u²) · Σ |x·w|`, with `u` = 2⁻¹¹ for `f16` and 2⁻⁸ for `bf16`, as long as the operands are in the
/// range of normal numbers of the type. Constants are rounded when planning, other operands by the task that makes them, if
/// nobody reads its result as `f32`. The products of an attention stay in `f32`. `tf32` only allows devices to round, also in
/// attention.
pub(super) fn run(graph: &mut TaskGraph, notes: &mut Notes, aims: &Aims) {
    match aims.precision {
        Precision::F32 => {}
        Precision::Tf32 => allow_tf32(graph, notes),
        Precision::F16 => round(graph, DType::F16, notes),
        Precision::Bf16 => round(graph, DType::BF16, notes),
    }
}

fn allow_tf32(graph: &mut TaskGraph, notes: &mut Notes) {
    for node in &mut graph.nodes {
        let allowed: &mut [&mut bool] = match &mut node.task {
            Task::Gemm(Gemm { dtype: DType::F32, tf32, .. }) | Task::Conv(Conv { dtype: DType::F32, tf32, .. }) => {
                &mut [tf32]
            }
            Task::Attention(a) => &mut [&mut a.scores.tf32, &mut a.values.tf32],
            _ => continue,
        };
        allowed.iter_mut().for_each(|tf32| **tf32 = true);
        notes.applied(&node.path, "a device may round operands to tf32");
    }
}

fn round(graph: &mut TaskGraph, dtype: DType, notes: &mut Notes) {
    let nodes = std::mem::take(&mut graph.nodes);
    notes.visits += nodes.len() as u64;
    let mut rounded = Rounded { graph, dtype, of: HashMap::new() };
    for mut node in nodes {
        match &mut node.task {
            Task::Gemm(Gemm { dtype: of, out: DType::F32, .. })
            | Task::Conv(Conv { dtype: of, out: DType::F32, .. })
                if *of == DType::F32 =>
            {
                *of = dtype;
                rounded.operands(&mut node);
                notes.applied(&node.path, format!("operands are rounded to {dtype}"));
            }
            Task::Attention(_) => notes.refused(&node.path, "the products of an attention stay in f32"),
            _ => {}
        }
        rounded.graph.nodes.push(node);
    }
    walk(graph, notes, join);
}

/// Joins a rounding with the task that makes what it rounds.
fn join(editor: &mut Editor<'_>, at: usize, notes: &mut Notes) {
    let Some(node) = editor.node(at) else { return };
    match (&node.task, node.outs.as_slice()) {
        (Task::Gemm(_) | Task::Conv(_), &[out]) => {
            let reader = editor.only_reader(out).and_then(|reader| editor.node(reader));
            if reader.is_some_and(is_rounding) {
                epilogue::fuse(editor, at, notes);
            }
        }
        (Task::Map(_), _) if is_rounding(node) => {
            fuse_maps::fuse(editor, at, notes);
        }
        _ => {}
    }
}

fn rounding(dtype: DType) -> Program {
    let mut program = Program::new();
    let x = program.input(0, DType::F32);
    program.cast(x, dtype);
    program
}

fn is_rounding(node: &TaskNode) -> bool {
    let Task::Map(map) = &node.task else { return false };
    let instrs = map.program.instrs.as_slice();
    matches!(instrs, [(Instr::Input(0), DType::F32), (Instr::Cast(0), DType::F16 | DType::BF16)])
}

struct Rounded<'a> {
    graph: &'a mut TaskGraph,
    dtype: DType,
    /// What exists of a root in this type.
    of: HashMap<V, V>,
}

impl Rounded<'_> {
    /// Makes the two factors of a product or convolution those that are rounded.
    fn operands(&mut self, node: &mut TaskNode) {
        for v in node.ins.iter_mut().take(2) {
            *v = self.operand(*v, &node.path);
        }
    }

    /// `v` rounded, for a task at `path`.
    fn operand(&mut self, v: V, path: &Arc<str>) -> V {
        let (root, shape) = (self.graph.root(v), self.graph.fact(v).shape.clone());
        let fact = Fact { dtype: self.dtype, shape: shape.clone() };
        if let Some(&of) = self.of.get(&root) {
            return if *self.graph.fact(of) == fact { of } else { self.graph.value(fact, Source::Alias(of)) };
        }
        let out = self.graph.value(fact, Source::Task);
        let task = Task::Map(Map { shape, program: rounding(self.dtype) });
        self.graph.nodes.push(TaskNode { task, ins: vec![v], outs: vec![out], path: path.clone(), ops: "Cast".into() });
        self.of.insert(root, out);
        out
    }
}
