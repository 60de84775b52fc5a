//! Models to `.mindir` files that MindSpore loads.
//!
//! `model` makes the messages, with `body` for one graph: it puts back what reading has resolved. A graph's parameters and
//! effect tokens become arguments of the functions that need them (`needs`, `tokens`), results of operators become tuples
//! that are taken apart, arguments of closures are bound with `Partial`. Which arguments are attributes and the form that
//! MindSpore takes them in is in the operator's signature; `attributes` brings them into it. `primitive` is the table of a file,
//! `value` writes constants and descriptions.
//!
//! `image` is a file as pieces of bytes that share the weights' memory, `layout` writes it: as one file or split,
//! encrypted or not, and always through [`store`](crate::store). `file` makes the pieces from a file as it is.

mod attributes;
mod body;
mod fault;
mod file;
mod image;
mod layout;
mod model;
mod names;
mod needs;
mod preprocess;
mod primitive;
mod tokens;
mod value;

use std::path::Path;

use mindir_graph::graph::Model;

pub use fault::{ExportError, NameFault, NodeFault};
pub use file::ModelFile;
pub use layout::{ExportOptions, Written};

/// Writes `model` as a MindIR file that MindSpore 2.10 loads.
///
/// That is the portable graph, operator for operator: what a file said, or a builder made. The passes that make it fast work
/// on the tasks of a plan and leave no trace in it. Shapes and element types that nothing states are inferred where they
/// follow from those of the inputs, for MindSpore runs no operator whose result it does not know.
///
/// `path` is that of the graph file; a missing `.mindir` is added unless a file of that name is there already. A split model is `NAME_graph.mindir` with data files in
/// `NAME_variables/`. What is there before is replaced all at once when everything else is done; see
/// [`store`](crate::store).
///
/// # Errors
/// [`ExportError::Graph`] names every node that has no form in a file; the others say what could not be written.
pub fn export(model: &Model, path: impl AsRef<Path>, options: &ExportOptions) -> Result<Written, ExportError> {
    let mut proto = model::encode(model)?;
    proto.user_info.extend(options.user_info.iter().cloned());
    layout::write(image::Image::of(proto), None, path.as_ref(), options)
}

/// The bytes of `model` as one MindIR file with all weights in it, otherwise as [`export`] writes it.
///
/// # Errors
/// [`ExportError::Graph`] as `export`; [`ExportError::TooLarge`].
pub fn to_bytes(model: &Model) -> Result<Vec<u8>, ExportError> {
    layout::whole(&image::Image::of(model::encode(model)?))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    /// Every text in the code of a folder but for tests and for `preprocess`, whose names are those of transforms.
    fn texts(folder: &Path) -> Vec<String> {
        let mut all = Vec::new();
        for path in folder.read_dir().unwrap().map(|entry| entry.unwrap().path()) {
            if path.is_dir() {
                all.extend(texts(&path));
            } else if !path.ends_with("preprocess.rs") {
                let text = std::fs::read_to_string(&path).unwrap();
                let code = text.split("#[cfg(test)]").next().unwrap_or_default();
                all.extend(code.split('"').skip(1).step_by(2).map(str::to_string));
            }
        }
        all
    }

    /// What only some operators do is in their signatures.
    #[test]
    fn no_operator_is_named() {
        let texts = texts(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src/mindir/write"));
        assert!(texts.len() > 50, "{texts:?}");
        let named: Vec<_> = texts.iter().filter(|text| mindir_graph::ops::find(text).is_some()).collect();
        assert!(named.is_empty(), "{named:?}");
    }
}
