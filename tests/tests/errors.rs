//! Whose fault an operator's complaint is: the model's, or that of the inputs.

use mindir::graph::{Arg, Model};
use mindir::{DType, Dim, Error, ErrorKind, Fact, GraphCell, Options, Spec, Tensor};
use mindir_graph::OpError;
use mindir_graph::builder::Builder;
use mindir_graph::lower::NodeError;
use mindir_graph::op::Const;
use mindir_tests::golden;

/// The sum of an input of these dimensions and a tensor of three elements.
fn sum(dims: &[Dim]) -> Model {
    let mut b = Builder::new("sum");
    let spec = Spec { dtype: Some(DType::F32), dims: Some(dims.iter().cloned().collect()) };
    let x = b.input("x", spec);
    let three = b.constant(Tensor::zeros(DType::F32, &[3]).unwrap());
    let y = b.op("Add", [x.into(), three.into()]).unwrap();
    b.finish(&[y])
}

fn error(model: Model, len: usize) -> Error {
    let cell = GraphCell::new(model, Options::default()).unwrap();
    cell.run(&[Tensor::zeros(DType::F32, &[len]).unwrap()]).unwrap_err()
}

#[test]
fn a_model_that_refuses_what_it_declares_is_not_supported() {
    let e = error(sum(&[Dim::Known(4)]), 4);
    assert!(matches!(&e, Error::Refused(all) if all.len() == 1), "{e:?}");
    assert_eq!(e.kind(), ErrorKind::Unsupported);
    assert!(e.node_path().is_some());
}

#[test]
fn all_operators_that_refuse_what_the_model_declares_are_named() {
    let mut b = Builder::new("refused");
    let x = b.input("x", Spec::fixed(DType::C64, &[3]));
    let [low, exp, high] = ["Floor", "Exp", "Ceil"].map(|op| b.op(op, [x.into()]).unwrap());
    let y = b.op("Sign", [exp.into()]).unwrap();
    let cell = GraphCell::new(b.finish(&[low, high, y]), Options::default()).unwrap();
    let e = cell.run(&[Tensor::zeros(DType::C64, &[3]).unwrap()]).unwrap_err();
    let Error::Refused(all) = &e else { panic!("{e:?}") };
    assert_eq!(all.iter().map(|e| e.op.as_str()).collect::<Vec<_>>(), ["Floor", "Ceil"]);
    assert_eq!(e.kind(), ErrorKind::Unsupported);
    assert!(matches!(cell.plan(&[Fact::new(DType::C64, &[3])]), Err(Error::Refused(all)) if all.len() == 2));
}

#[test]
fn other_shapes_than_declared_are_wrong_usage() {
    let e = error(sum(&[Dim::Known(3)]), 4);
    assert!(matches!(e, Error::Shapes { .. }), "{e:?}");
    assert_eq!(e.kind(), ErrorKind::Usage);
}

#[test]
fn shapes_that_the_model_leaves_open_are_wrong_usage() {
    let e = error(sum(&[Dim::Unknown]), 4);
    assert!(matches!(e, Error::Node(_)), "{e:?}");
    assert_eq!(e.kind(), ErrorKind::Usage);
}

/// What a golden's model answers to ones of these dimensions times `value`.
fn answer(name: &str, dims: &[usize], value: f64) -> Result<Vec<Tensor>, Error> {
    let model = mindir::load(golden::folder().join(name).join("model.mindir")).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let written = folder.path().join("model.mindir");
    mindir::export(&model, &written, &Default::default()).unwrap();
    let again = mindir::load(written).unwrap();
    let x = Tensor::from_f64s(DType::F32, dims, &vec![value; dims.iter().product()]).unwrap();
    let [first, again] = [model, again].map(|model| {
        let cell = GraphCell::new(model, Options::default()).unwrap();
        cell.run(std::slice::from_ref(&x))
    });
    assert_eq!(first.as_ref().map_err(message), again.as_ref().map_err(message));
    first
}

/// What the exception says that a model ended with.
fn message(e: &Error) -> String {
    let Error::Node(NodeError { path, error: raised @ OpError::Raised { .. }, .. }) = e else { panic!("{e:?}") };
    assert_eq!(e.node_path(), Some(&**path));
    assert_eq!(e.kind(), ErrorKind::Usage);
    raised.to_string()
}

#[test]
fn exceptions_end_the_run_when_they_are_reached() {
    let raised = |name, dims: &[usize], value| message(&answer(name, dims, value).unwrap_err());
    assert_eq!(raised("raise_open", &[4, 2], 0.0), "ValueError: at most 3 rows, found 4 of (4, 2)");
    assert_eq!(raised("raise_open", &[3, 6], 0.0), "TypeError");
    assert_eq!(raised("raise_open", &[1, 2], 5.0), "RuntimeError: the sum is too large");
    assert_eq!(raised("raise_open", &[1, 2], 50.0), "ValueError: ('the largest is', 50.0)");
    assert_eq!(answer("raise_open", &[3, 5], 0.5).unwrap().len(), 3);
    assert_eq!(raised("raise_fixed", &[2, 3], 2.0), "ValueError: ('the sum is', 12.0)");
    assert_eq!(answer("raise_fixed", &[2, 3], 1.0).unwrap()[0].to_f64s().unwrap(), [2.0; 6]);
}

/// Rows of three and five columns, picked by an input of two indices.
fn picked(op: &str) -> Model {
    let mut b = Builder::new("picked");
    let x = b.param("x", Tensor::zeros(DType::F32, &[3, 5]).unwrap());
    let dims: &[usize] = if op == "Gather" { &[2] } else { &[1, 2] };
    let index = b.input("index", Spec::fixed(DType::I64, dims));
    let args: Vec<Arg> = match op {
        "Gather" => vec![x.into(), index.into(), 0.into(), 0.into()],
        "GatherD" => vec![x.into(), 1.into(), index.into()],
        _ => vec![x.into(), index.into()],
    };
    let y = b.op(op, args).unwrap();
    b.finish(&[y])
}

#[test]
fn an_index_out_of_range_is_an_error_that_names_its_node() {
    for (op, good, bad) in [
        ("Gather", [-3i64, 2], [[0, 3], [-4, 0], [i64::MAX, 0]]),
        ("GatherD", [-5, 4], [[5, 0], [0, -6], [i64::MAX, i64::MIN]]),
        ("GatherNd", [-3, 4], [[3, 0], [0, 5], [-4, -6]]),
    ] {
        for disabled_passes in [Vec::new(), vec!["all".to_string()]] {
            let cell = GraphCell::new(picked(op), Options { disabled_passes, ..Options::default() }).unwrap();
            let dims = cell.inputs()[0].spec.shape().unwrap();
            let run = |index: [i64; 2]| cell.run(&[Tensor::from_i64s(DType::I64, &dims, &index).unwrap()]);
            run(good).unwrap();
            for index in bad {
                let e = run(index).unwrap_err();
                let text = e.to_string();
                assert!(text.contains(&format!("{op}_0")) && text.contains("out of range"), "{text}");
                assert_eq!(e.kind(), ErrorKind::Usage, "{text}");
                assert!(op != "Gather" || text.contains("for 3 elements"), "{text}");
            }
        }
    }
}

#[test]
fn updates_take_no_index_that_mindspore_refuses() {
    for (op, bad) in [("ScatterNd", [-1i64, 3]), ("UnsortedSegmentSum", [3, 4]), ("UnsortedSegmentProd", [3, i64::MAX])]
    {
        let mut b = Builder::new("updated");
        let x = b.input("x", Spec::fixed(DType::F32, &[2]));
        let dims: &[usize] = if op == "ScatterNd" { &[2, 1] } else { &[2] };
        let index = b.input("index", Spec::fixed(DType::I64, dims));
        let count: Arg = Arg::Const(Const::from(&[3i64][..]));
        let args = if op == "ScatterNd" {
            vec![index.into(), x.into(), count]
        } else {
            vec![x.into(), index.into(), 3.into()]
        };
        let y = b.op(op, args).unwrap();
        let cell = GraphCell::new(b.finish(&[y]), Options::default()).unwrap();
        let x = Tensor::vector(&[5.0f32, 7.0]);
        let run = |at: i64| cell.run(&[x.clone(), Tensor::from_i64s(DType::I64, dims, &[0, at]).unwrap()]);
        let y = run(2).unwrap();
        assert_eq!(y[0].to_f64s().unwrap(), [5.0, if op.ends_with("Prod") { 1.0 } else { 0.0 }, 7.0], "{op}");
        for at in bad {
            let e = run(at).unwrap_err();
            assert!(e.to_string().contains("out of range"), "{op} {at}: {e}");
            assert_eq!(e.kind(), ErrorKind::Usage, "{op} {at}");
        }
    }
}

#[test]
fn a_lookup_gives_zeros_for_what_is_not_in_its_part_of_the_table() {
    let mut b = Builder::new("lookup");
    let x = b.param("x", Tensor::vector(&[1f32, 2.0]));
    let index = b.input("index", Spec::fixed(DType::I64, &[3]));
    let y = b.op("EmbeddingLookup", [x.into(), index.into(), 4.into()]).unwrap();
    let cell = GraphCell::new(b.finish(&[y]), Options::default()).unwrap();
    let y = cell.run(&[Tensor::vector(&[3i64, 5, 6])]).unwrap();
    assert_eq!(y[0].view::<f32>().unwrap(), [0.0, 2.0, 0.0]);
}
