//! Operators from outside of the crate: those of the example, in a file that MindSpore exported.

// Its `main` is not called here.
#[allow(dead_code)]
#[path = "../../runtime/examples/custom_operator.rs"]
mod example;

use std::path::Path;

use example::OPERATORS;
use mindir::builder::Builder;
use mindir::graph::Model;
use mindir::{Access, DType, Error, ExportOptions, GraphCell, Options, Source, Spec, Tensor, onnx};

const FILE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../runtime/examples/custom/scale.mindir");

fn source(path: impl AsRef<Path>) -> Source {
    Source::open(path, Access::Map).unwrap()
}

fn read(path: impl AsRef<Path>) -> Model {
    mindir::load_source(source(path).with_operators(&OPERATORS)).unwrap().model
}

/// What the file's network gives for 1 to 6, twice: `relu(x · y · 2.5) + 1`.
fn run(model: Model, options: Options) -> Vec<f32> {
    let x = Tensor::from_vec(&[2, 3], vec![1.0f32, -2.0, 3.0, -4.0, 5.0, -6.0]).unwrap();
    let y = GraphCell::new(model, options).unwrap().run(&[x.clone(), x]).unwrap();
    y[0].view::<f32>().unwrap().to_vec()
}

const WANT: [f32; 6] = [3.5, 11.0, 23.5, 41.0, 63.5, 91.0];

#[test]
fn without_the_operator_the_node_is_named() {
    let model = mindir::load_source(source(FILE)).unwrap().model;
    let error = GraphCell::new(model, Options::default()).err().unwrap();
    let Error::Unsupported(nodes) = &error else { panic!("{error:?}") };
    assert_eq!((nodes.len(), &*nodes[0].op), (1, "Custom"));
}

#[test]
fn a_custom_primitive_is_the_operator_of_its_function() {
    assert_eq!(run(read(FILE), Options::default()), WANT);
    let plain = Options { disabled_passes: vec!["all".into()], ..Options::default() };
    assert_eq!(run(read(FILE), plain), WANT);
}

#[test]
fn it_is_written_as_it_was_read() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("again.mindir");
    mindir::export(&read(FILE), &path, &ExportOptions::default()).unwrap();
    assert_eq!(run(read(&path), Options::default()), WANT);
    let unknown = mindir::load_source(source(&path)).unwrap().model;
    assert_eq!(unknown.opaque_nodes().count(), 1, "for others it is MindSpore's Custom");
    let path = folder.path().join("again.onnx");
    onnx::export(&read(FILE), &path, &onnx::Options::default()).unwrap();
    assert_eq!(run(mindir::load(&path).unwrap(), Options::default()), WANT);
}

#[test]
fn it_is_built_like_others() {
    let mut b = Builder::new("built");
    let x = b.input("x", Spec::fixed(DType::F32, &[2, 3]));
    let y = b.input("y", Spec::fixed(DType::F32, &[2, 3]));
    let scaled = b.op_of(&OPERATORS[0], [x.into(), y.into(), 2.5f32.into()], 1)[0];
    let positive = b.op("ReLU", [scaled.into()]).unwrap();
    let z = b.op("Add", [positive.into(), 1.0f32.into()]).unwrap();
    let model = b.finish(&[z]);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("built.mindir");
    mindir::export(&model, &path, &ExportOptions::default()).unwrap();
    assert_eq!(run(model, Options::default()), WANT);
    assert_eq!(run(read(&path), Options::default()), WANT);
}

#[test]
fn its_complaints_name_the_node() {
    let cell = GraphCell::new(read(FILE), Options::default()).unwrap();
    let wrong = Tensor::from_vec(&[1, 3], vec![1.0f32, 2.0, 3.0]).unwrap();
    let right = Tensor::from_vec(&[2, 3], vec![1.0f32; 6]).unwrap();
    let error = cell.run(&[wrong, right]).unwrap_err();
    assert_eq!(error.node_path(), Some("Default/Custom-op0"));
    assert!(error.to_string().contains("expected two f32 tensors of one shape"), "{error}");
}
