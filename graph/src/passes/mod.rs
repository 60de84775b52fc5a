//! Rewrites of a [`TaskGraph`] that keep its results and make it cheaper.
//!
//! Passes leave the bits of every result as they are, NaN apart, with exceptions that their docs bound: `activations`
//! rounds once instead of at every step, `fold-scale` rounds weights instead of sums, `precision` rounds what it is told to, and a device may sum in another order where
//! `strided-products` and `layout` change how operands lie. A pass relies on nothing but what the tasks say: dimensions, strides and offsets, never on shapes
//! that happen to match. [`validate`] checks all of this by running task graphs before and after each pass.
//!
//! Every pass is one file and one line in [`PASSES`], can be switched off by name, and notes why it did or did not apply.
//! Passes know no device; a device that has no kernel for what they make declines it, and the planner says so.

mod activations;
mod attention;
pub mod check;
mod dead_code;
mod edit;
mod epilogue;
mod fold_scale;
mod fuse_maps;
mod join_products;
mod layout;
mod merge_copies;
mod precision;
mod strided_products;
pub mod validate;
mod view;

use std::sync::Arc;

use edit::{Editor, walk};
pub use precision::Precision;
use view::View;

use crate::task::{Layout, Program, TaskGraph, V};

/// Longest program and most operands that passes make.
const MAX_INSTRS: usize = 40;
const MAX_INPUTS: usize = 8;

/// A rewrite of a task graph.
#[derive(Clone, Copy)]
pub struct Pass {
    /// Name, as options spell it.
    pub name: &'static str,
    /// What it does, in one line.
    pub doc: &'static str,
    /// Whether results keep their bits as long as sums are taken in the order in which tasks define them.
    pub exact: bool,
    /// Whether it only makes tasks fewer, which pays where each is a launch on a device with memory of its own.
    pub launches: bool,
    run: fn(&mut TaskGraph, &mut Notes, &Aims),
}

/// What passes go by besides the task graph.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Aims {
    /// How exactly products and convolutions are computed.
    pub precision: Precision,
    /// What the device that comes first computes fastest.
    pub preferences: Preferences,
}

/// What a device computes fastest, where a task may have several forms.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Preferences {
    /// The order of an image's dimensions in convolutions. With channels last, convolutions and what lies between them are
    /// rewritten so; with channels first, they keep the order that the model has.
    pub convolutions: Layout,
}

impl Default for Preferences {
    /// Convolutions with channels last.
    fn default() -> Preferences {
        Preferences { convolutions: Layout::Nhwc }
    }
}

/// All passes, in the order in which they run.
pub static PASSES: &[Pass] = &[
    exact("dead-code", "drops tasks whose results nobody reads", dead_code::run),
    exact("merge-copies", "joins transposes and slices that follow each other", merge_copies::run),
    exact("strided-products", "lets products read and write through transposes", strided_products::run),
    exact("fuse-maps", "joins element-wise programs that follow each other", fuse_maps::run),
    Pass {
        name: "activations",
        doc: "computes activations that are written out in several steps as one function",
        exact: false,
        launches: false,
        run: activations::run,
    },
    exact("epilogues", "moves bias, activation and residual into the product before them", epilogue::run),
    exact("attention", "joins scores, their softmax and its product with the values", attention::run),
    Pass {
        name: "fold-scale",
        doc: "folds a per-channel scale (batch normalisation) into convolution weights",
        exact: false,
        launches: false,
        run: fold_scale::run,
    },
    exact("layout", "runs convolutions and their neighbours channels-last", layout::run),
    exact("sweep", "drops what the passes before left unread", dead_code::run),
    Pass {
        name: "join-products",
        doc: "makes products of one operand with constants one product, on devices with memory of their own",
        exact: true,
        launches: true,
        run: join_products::run,
    },
    Pass {
        name: "precision",
        doc: "rounds the operands of products and convolutions where options ask for it",
        exact: false,
        launches: false,
        run: precision::run,
    },
];

const fn exact(name: &'static str, doc: &'static str, run: fn(&mut TaskGraph, &mut Notes, &Aims)) -> Pass {
    Pass { name, doc, exact: true, launches: false, run }
}

/// Why a pass did or did not rewrite a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// Name of the pass.
    pub pass: &'static str,
    /// Path of the node that the task came from.
    pub path: Arc<str>,
    /// Whether the graph was changed.
    pub applied: bool,
    /// What was done, or what stood against it.
    pub why: String,
}

/// The notes of all passes.
#[derive(Clone, Debug, Default)]
pub struct Notes {
    pass: &'static str,
    /// Notes in the order they were made.
    pub list: Vec<Note>,
    /// How often a task was looked at, for all passes together.
    pub visits: u64,
}

impl Notes {
    fn applied(&mut self, path: &Arc<str>, why: impl Into<String>) {
        self.list.push(Note { pass: self.pass, path: path.clone(), applied: true, why: why.into() });
    }

    fn refused(&mut self, path: &Arc<str>, why: impl Into<String>) {
        self.list.push(Note { pass: self.pass, path: path.clone(), applied: false, why: why.into() });
    }
}

/// Runs every pass that `enabled` accepts.
pub fn optimize(graph: &mut TaskGraph, aims: &Aims, enabled: impl Fn(&str) -> bool) -> Notes {
    let mut notes = Notes::default();
    for pass in PASSES.iter().filter(|p| enabled(p.name)) {
        notes.pass = pass.name;
        (pass.run)(graph, &mut notes, aims);
        debug_assert_eq!(check::task_graph(graph), Ok(()), "pass {} broke the task graph", pass.name);
    }
    notes
}

/// `program` with inputs that read the same elements in the same dimensions merged; the distinct values follow.
fn merge_inputs(graph: &TaskGraph, program: &Program, ins: &[V]) -> (Program, Vec<V>) {
    let mut distinct: Vec<V> = Vec::new();
    let mut out = program.clone();
    let same = |a: V, b: V| a == b || graph.root(a) == graph.root(b) && graph.fact(a).shape == graph.fact(b).shape;
    let index: Vec<usize> = ins
        .iter()
        .map(|v| {
            distinct.iter().position(|d| same(*d, *v)).unwrap_or_else(|| {
                distinct.push(*v);
                distinct.len() - 1
            })
        })
        .collect();
    out.renumber(&index);
    (out, distinct)
}

/// Bytes beyond which the operators of a task are not all named.
const LONGEST: usize = 240;

/// The operators of two joined tasks.
fn join(a: &Arc<str>, b: &Arc<str>) -> Arc<str> {
    match a.len() + b.len() <= LONGEST {
        true => format!("{a}+{b}").into(),
        false if a.ends_with("+…") => a.clone(),
        false => format!("{a}+…").into(),
    }
}
