use super::{Aims, Editor, Notes, View, join, walk};
use crate::dense_strides;
use crate::task::{Copy, Task, TaskNode, V};

/// Joins a copy that is a strided view of its operand with the copy of that kind that it reads, and turns copies that move
/// nothing into aliases. Results keep their bits.
pub(super) fn run(graph: &mut crate::task::TaskGraph, notes: &mut Notes, _: &Aims) {
    walk(graph, notes, |editor, at, notes| {
        merge(editor, at, notes);
        drop_identity(editor, at, notes);
    });
}

/// The copy at `at`, what it reads, and the view of that which it is, if it is no more than that.
fn view<'a>(editor: &'a Editor<'_>, at: usize) -> Option<(&'a TaskNode, V, View)> {
    let node = editor.node(at)?;
    let (operand, view) = View::of_copy(editor.graph(), node)?;
    Some((node, operand, view))
}

fn merge(editor: &mut Editor<'_>, at: usize, notes: &mut Notes) {
    let Some((node, operand, second)) = view(editor, at) else { return };
    let Some((producer, storage, first)) = editor.producer(operand).and_then(|from| view(editor, from)) else { return };
    let Some(joined) = second.through(&first) else {
        notes.refused(&node.path, format!("no single stride describes it after {}", producer.ops));
        return;
    };
    notes.applied(&node.path, format!("reads through {} {}", producer.ops, producer.path));
    let mut node = TaskNode { ins: vec![storage], ops: join(&producer.ops, &node.ops), ..node.clone() };
    if let Task::Copy(Copy { parts, .. }) = &mut node.task
        && let [part] = parts.as_mut_slice()
    {
        (part.input, part.src_offset, part.src) = (0, joined.offset, joined.strides);
    }
    editor.replace(at, node);
}

/// Replaces a copy that reads its operand in order by an alias.
fn drop_identity(editor: &mut Editor<'_>, at: usize, notes: &mut Notes) {
    let Some((node, operand, view)) = view(editor, at) else { return };
    let &[out] = node.outs.as_slice() else { return };
    let dense = dense_strides(&view.dims);
    let in_order = view.dims.iter().zip(&view.strides).zip(&dense).all(|((n, stride), step)| *n == 1 || stride == step);
    if view.offset != 0 || !in_order || editor.fact(operand).count() != editor.fact(out).count() {
        return;
    }
    notes.applied(&node.path, "moves nothing");
    editor.remove(at);
    editor.redirect(out, operand);
}
