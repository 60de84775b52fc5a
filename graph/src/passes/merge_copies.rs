use super::{Editor, Notes, View, join, walk};
use crate::dense_strides;
use crate::task::Task;

/// Joins a copy that is a strided view of its operand with the copy of that kind that it reads, and turns copies that move
/// nothing into aliases. Results keep their bits.
pub(super) fn run(graph: &mut crate::task::TaskGraph, notes: &mut Notes) {
    walk(graph, notes, |editor, at, notes| {
        merge(editor, at, notes);
        drop_identity(editor, at, notes);
    });
}

/// The operand and the view that the copy at `at` is, if it is no more than that.
fn view(editor: &Editor<'_>, at: usize) -> Option<(usize, View)> {
    let node = editor.node(at)?;
    let Task::Copy(copy) = &node.task else { return None };
    View::of_copy(copy, editor.fact(node.outs[0]).count())
}

fn merge(editor: &mut Editor<'_>, at: usize, notes: &mut Notes) {
    let Some((input, second)) = view(editor, at) else { return };
    let Some(mut node) = editor.node(at).cloned() else { return };
    let Some(from) = editor.producer(node.ins[input]) else { return };
    let Some((first_input, first)) = view(editor, from) else { return };
    let Some(producer) = editor.node(from) else { return };
    let Some(joined) = second.through(&first) else {
        notes.refused(&node.path, format!("no single stride describes it after {}", producer.ops));
        return;
    };
    notes.applied(&node.path, format!("reads through {} {}", producer.ops, producer.path));
    if let Task::Copy(copy) = &mut node.task {
        let part = &mut copy.parts[0];
        (part.input, part.src_offset, part.src) = (0, joined.offset, joined.strides);
    }
    (node.ins, node.ops) = (vec![producer.ins[first_input]], join(&producer.ops, &node.ops));
    editor.replace(at, node);
}

/// Replaces a copy that reads its operand in order by an alias.
fn drop_identity(editor: &mut Editor<'_>, at: usize, notes: &mut Notes) {
    let Some((input, view)) = view(editor, at) else { return };
    let Some(node) = editor.node(at) else { return };
    let dense = dense_strides(&view.dims);
    let in_order = (0..view.dims.len()).all(|d| view.dims[d] == 1 || view.strides[d] == dense[d]);
    let (operand, out) = (node.ins[input], node.outs[0]);
    if view.offset != 0 || !in_order || editor.fact(operand).count() != editor.fact(out).count() {
        return;
    }
    notes.applied(&node.path, "moves nothing");
    editor.remove(at);
    editor.redirect(out, operand);
}
