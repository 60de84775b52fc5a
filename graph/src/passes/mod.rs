//! Rewrites of a [`TaskGraph`] that keep its results and make it cheaper.
//!
//! Every pass is one file and one line in [`PASSES`], can be switched off by name, and notes why it did or did not apply.
//! Passes know no device; a device that has no kernel for what they make declines it, and the planner says so.

pub mod check;
mod dead_code;
mod epilogue;
mod fold_scale;
mod fuse_maps;
mod layout;
mod merge_copies;
mod strided_products;

use std::sync::Arc;

use crate::task::{Program, TaskGraph, V};
use crate::{Strides, broadcast_strides};

/// A rewrite of a task graph.
#[derive(Clone, Copy)]
pub struct Pass {
    /// Name, as options spell it.
    pub name: &'static str,
    /// What it does, in one line.
    pub doc: &'static str,
    run: fn(&mut TaskGraph, &mut Notes),
}

/// All passes, in the order in which they run.
pub static PASSES: &[Pass] = &[
    Pass { name: "dead-code", doc: "drops tasks whose results nobody reads", run: dead_code::run },
    Pass { name: "merge-copies", doc: "joins transposes and slices that follow each other", run: merge_copies::run },
    Pass {
        name: "strided-products",
        doc: "lets products read and write through transposes",
        run: strided_products::run,
    },
    Pass { name: "fuse-maps", doc: "joins element-wise programs that follow each other", run: fuse_maps::run },
    Pass {
        name: "epilogues",
        doc: "moves bias, activation and residual into the product before them",
        run: epilogue::run,
    },
    Pass {
        name: "fold-scale",
        doc: "folds a per-channel scale (batch normalisation) into convolution weights",
        run: fold_scale::run,
    },
    Pass { name: "layout", doc: "runs convolutions and their neighbours channels-last", run: layout::run },
    Pass { name: "sweep", doc: "drops what the passes before left unread", run: dead_code::run },
];

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
pub fn optimize(graph: &mut TaskGraph, enabled: impl Fn(&str) -> bool) -> Notes {
    let mut notes = Notes::default();
    for pass in PASSES.iter().filter(|p| enabled(p.name)) {
        notes.pass = pass.name;
        (pass.run)(graph, &mut notes);
        debug_assert_eq!(check::task_graph(graph), Ok(()), "pass {} broke the task graph", pass.name);
    }
    notes
}

/// How an operand of an element-wise program over a result of `rows × cols` is read.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reading {
    Scalar,
    Column,
    Row,
    Full,
}

/// How an operand of shape `from`, broadcast to `to`, is read when `to` is seen as a matrix with `cols` columns. `None` if
/// no reading fits.
fn reading(from: &[usize], to: &[usize], cols: usize) -> Option<Reading> {
    let total: usize = to.iter().product();
    let count: usize = from.iter().product();
    if count == total {
        return Some(Reading::Full);
    }
    if count == 1 {
        return Some(Reading::Scalar);
    }
    let strides: Strides = broadcast_strides(from, to)?;
    // Dimensions from the last on that together make a row.
    let mut split = to.len();
    let mut row = 1;
    while row < cols && split > 0 {
        split -= 1;
        row *= to[split];
    }
    if row != cols {
        return None;
    }
    let repeats = |range: std::ops::Range<usize>| range.clone().all(|d| to[d] == 1 || strides[d] == 0);
    let dense = |range: std::ops::Range<usize>, n: usize| {
        from.iter().product::<usize>() == n && range.clone().all(|d| to[d] == 1 || strides[d] != 0)
    };
    if repeats(0..split) && dense(split..to.len(), cols) {
        Some(Reading::Column)
    } else if repeats(split..to.len()) && dense(0..split, total / cols) {
        Some(Reading::Row)
    } else {
        None
    }
}

/// `program` with inputs that read the same value merged; `ins` becomes the distinct values.
fn merge_inputs(program: &Program, ins: &[V]) -> (Program, Vec<V>) {
    let mut distinct: Vec<V> = Vec::new();
    let mut out = program.clone();
    let index: Vec<usize> = ins
        .iter()
        .map(|v| {
            distinct.iter().position(|d| d == v).unwrap_or_else(|| {
                distinct.push(*v);
                distinct.len() - 1
            })
        })
        .collect();
    for (instr, _) in &mut out.instrs {
        if let crate::task::Instr::Input(i) = instr {
            *i = index[*i];
        }
    }
    (out, distinct)
}

/// The operators of two joined tasks.
fn join(a: &Arc<str>, b: &Arc<str>) -> Arc<str> {
    format!("{a}+{b}").into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readings() {
        for (from, to, cols, want) in [
            (&[5][..], &[2, 3, 5][..], 5, Some(Reading::Column)),
            (&[1, 3, 5], &[2, 3, 5], 15, Some(Reading::Column)),
            (&[2, 3, 1], &[2, 3, 5], 5, Some(Reading::Row)),
            (&[2, 1, 1], &[2, 3, 5], 5, None),
            (&[3, 1], &[2, 3, 5], 5, None),
            (&[1], &[2, 3, 5], 5, Some(Reading::Scalar)),
            (&[2, 3, 5], &[2, 3, 5], 5, Some(Reading::Full)),
            (&[5], &[2, 3, 5], 3, None),
        ] {
            assert_eq!(reading(from, to, cols), want, "{from:?} {to:?} {cols}");
        }
    }
}
