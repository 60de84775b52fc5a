//! Files exported by MindSpore.

mod common;

use std::fs;

use common::{data, read_bytes, read_path};
use mindir_loader::mindir::{Layout, Source, TensorData, WireModel};
use mindir_loader::{Access, ErrorKind, Limits, LoadError};
use mindir_proto::mindir::{ModelProto, TensorProto};
use mindir_proto::prost::Message;

const SINGLE: &[&str] =
    &["io_multi_in.mindir", "cf_while.mindir", "cnn_dynamic.mindir", "io_const_dtypes.mindir", "preprocess.mindir"];
const SPLIT: &[&str] = &["split_one/net_graph.mindir", "split_multi/net_graph.mindir", "split_graphs/net_graph.mindir"];

fn parameters(model: &WireModel) -> Vec<(String, TensorData)> {
    let name = |tensor: &TensorProto| tensor.name().split_once(':').unwrap().1.to_string();
    let parameters = &model.model.graph.as_ref().unwrap().parameter;
    let mut list: Vec<_> =
        parameters.iter().map(|tensor| (name(tensor), TensorData::of(tensor, 32).unwrap())).collect();
    list.sort_by(|a, b| a.0.cmp(&b.0));
    list
}

fn floats(data: &TensorData) -> Vec<f32> {
    data.bytes.chunks_exact(4).map(|bytes| f32::from_le_bytes(bytes.try_into().unwrap())).collect()
}

#[test]
fn single_files_are_read() {
    for name in SINGLE {
        let model = read_path(&data(name)).unwrap();
        assert_eq!(model.origin.layout, Layout::Single, "{name}");
        assert_eq!(model.report.files.len(), 1);
        assert!(model.report.warnings.is_empty());
        assert!(model.report.census.nodes > 0);
        assert_eq!(model.report.census.unknown_fields, 0, "{name}");
    }
}

#[test]
fn decoding_keeps_every_byte() {
    for name in SINGLE.iter().chain(SPLIT) {
        let bytes = fs::read(data(name)).unwrap();
        let model = ModelProto::decode(bytes.as_slice()).unwrap();
        assert_eq!(model.encode_to_vec(), bytes, "{name}");
    }
}

#[test]
fn counts_agree_with_the_decoded_model() {
    for name in SINGLE {
        let WireModel { model, report, .. } = read_path(&data(name)).unwrap();
        let graphs = model.graph.as_deref().into_iter().chain(&model.functions);
        assert_eq!(report.census.nodes, graphs.map(|graph| graph.node.len() as u64).sum::<u64>(), "{name}");
    }
}

#[test]
fn the_three_split_layouts_hold_the_same_weights() {
    let models: Vec<_> = SPLIT.iter().map(|name| read_path(&data(name)).unwrap()).collect();
    let layouts: Vec<_> = models.iter().map(|model| model.origin.layout).collect();
    assert_eq!(layouts, [Layout::Split, Layout::Split, Layout::SplitGraphs]);
    let files: Vec<_> = models.iter().map(|model| model.report.files.len()).collect();
    assert_eq!(files, [2, 3, 3]);

    let weights = parameters(&models[0]);
    let names: Vec<_> = weights.iter().map(|(name, _)| name.as_str()).collect();
    assert_eq!(names, ["a.bias", "a.weight", "b.bias", "b.weight", "c", "s"]);
    assert_eq!(floats(&weights[5].1), [3.0]);
    let data_0 = fs::read(data("split_one/net_variables/data_0")).unwrap();
    assert_eq!(weights[0].1.bytes, data_0[64..84]);
    for model in &models[1..] {
        let same_shapes = parameters(model);
        assert_eq!(same_shapes.len(), 6);
        for ((name, data), (other_name, other)) in weights.iter().zip(&same_shapes) {
            assert_eq!((name, data.element, &data.dims), (other_name, other.element, &other.dims));
        }
    }
}

#[test]
fn weights_of_data_files_stay_in_place() {
    let model = read_path(&data("split_one/net_graph.mindir")).unwrap();
    assert_eq!((model.report.misaligned_tensors, model.report.in_place_tensors), (0, 6));
    assert_eq!(model.report.in_place_bytes, model.report.parameter_bytes);
}

#[test]
fn both_accesses_read_the_same_model() {
    for name in SINGLE.iter().chain(SPLIT) {
        let read = |access| WireModel::read(Source::open(data(name), access).unwrap(), &Limits::default()).unwrap();
        assert_eq!(read(Access::Map).model, read(Access::Read).model, "{name}");
    }
}

#[test]
fn split_models_are_found_by_their_short_names() {
    for name in ["split_one/net", "split_one/net.mindir", "split_one/net_graph"] {
        assert_eq!(read_path(&data(name)).unwrap().report.parameters, 6, "{name}");
    }
}

#[test]
fn a_split_model_without_its_folder_says_what_is_missing() {
    let bytes = fs::read(data("split_one/net_graph.mindir")).unwrap();
    let error = read_bytes(bytes.clone()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("net_graph.mindir"), bytes).unwrap();
    let error = read_path(&folder.path().join("net")).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.to_string().contains("net_variables/data_0"), "{error}");
}

#[test]
fn every_truncation_is_an_error_or_ends_between_fields() {
    for name in ["io_multi_in.mindir", "split_one/net_graph.mindir"] {
        let bytes = fs::read(data(name)).unwrap();
        let ends = field_ends(&bytes);
        for len in 0..bytes.len() {
            match read_bytes(bytes[..len].to_vec()) {
                Ok(_) => assert!(ends.contains(&len), "{name} cut at {len}"),
                Err(error) => assert!(truncation_is_named(&error, len), "{name} cut at {len}: {error}"),
            }
        }
    }
}

fn truncation_is_named(error: &LoadError, len: usize) -> bool {
    match error.kind() {
        ErrorKind::Foreign => len == 0,
        ErrorKind::Corrupt => len > 0,
        // The graph is whole but its data files were not given.
        ErrorKind::NotFound => true,
        _ => false,
    }
}

/// Where the fields of the outermost message end.
fn field_ends(bytes: &[u8]) -> Vec<usize> {
    let mut ends = vec![];
    let mut at = 0;
    let varint = |at: &mut usize| {
        let mut value = 0;
        for shift in (0..).step_by(7) {
            let byte = bytes[*at];
            *at += 1;
            value |= usize::from(byte & 0x7f) << shift;
            if byte < 0x80 {
                break;
            }
        }
        value
    };
    while at < bytes.len() {
        let key = varint(&mut at);
        let value = varint(&mut at);
        if key & 7 == 2 {
            at += value;
        }
        ends.push(at);
    }
    ends
}
