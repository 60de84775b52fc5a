//! Files made to harm: each kind ends with an error that names it.

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;

use bytes::Bytes;
use common::*;
use mindir_loader::mindir::{Source, WireModel};
use mindir_loader::{
    Cipher, ErrorKind, ExternalFault, FileFault, Foreign, Limits, LoadError, TensorFault, Warning, WireProblem,
};
use mindir_proto::mindir::*;
use mindir_proto::prost::Message;

/// A parameter of two numbers.
fn weight() -> TensorProto {
    tensor("net:w", &[2], vec![0; 8])
}

#[track_caller]
fn tensor_fault(tensor: TensorProto) -> TensorFault {
    match read_model(&model(vec![tensor])) {
        Err(LoadError::Tensor { fault, .. }) => fault,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn wire_problem(bytes: Vec<u8>) -> WireProblem {
    match read_bytes(bytes) {
        Err(LoadError::Wire { fault, .. }) => fault.problem,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn external_fault(tensors: Vec<TensorProto>, data_0: Vec<u8>) -> ExternalFault {
    match read_with(&model(tensors), data_0) {
        Err(LoadError::External { fault, .. }) => fault,
        other => panic!("{other:?}"),
    }
}

#[track_caller]
fn exceeded(outcome: Result<WireModel, LoadError>) -> &'static str {
    match outcome {
        Err(LoadError::Limit { excess, .. }) => excess.what,
        other => panic!("{other:?}"),
    }
}

// Files of other kinds.

#[test]
fn files_of_other_kinds_are_named() {
    let cases: &[(&[u8], Foreign)] = &[
        (b"", Foreign::Empty),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", Foreign::GitLfsPointer),
        (b"\x1f\x8b\x08\0\0\0\0\0\0\x03", Foreign::Gzip),
        (b"PK\x03\x04\x14\0\0\0\x08\0", Foreign::Zip),
        (b"\x08\x04\x12\x09MindSpore\x1a\x031.0", Foreign::Onnx),
        (b"\x0a\x13\x0a\x01w\x12\x0e\x08\x02\x12\x07Float32\x1a\x01\0", Foreign::Checkpoint),
        (b"\x1c\0\0\0MSL2\0\0\0\0", Foreign::MindSporeLite),
        (b"\x10\0\0\0\0\0\0\0{\"w\":{\"dtype\":\"F32\"}}", Foreign::Safetensors),
        (b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR", Foreign::Png),
        (b"<!DOCTYPE html>\n<html><body>not found</body></html>", Foreign::Html),
        (b"just some words\n", Foreign::Text),
        (b"\x80\x04\x95\0\0\0", Foreign::Pickle),
    ];
    for (bytes, expected) in cases {
        let error = read_bytes(bytes.to_vec()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Foreign, "{error}");
        assert!(matches!(error, LoadError::Foreign { looks_like, .. } if looks_like == *expected), "{error}");
    }
}

#[test]
fn encrypted_files_name_their_cipher() {
    for (first, expected) in [(0xd8, Cipher::AesGcm), (0xd9, Cipher::AesCbc), (0xda, Cipher::Sm4Cbc)] {
        let bytes = [&[first, 0x5e, 0x3a, 0x7f][..], &[0x5a; 60]].concat();
        let error = read_bytes(bytes).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Encrypted);
        assert!(matches!(error, LoadError::Encrypted { cipher, .. } if cipher == expected));
    }
}

#[test]
fn a_model_without_graph_is_refused() {
    let error = read_model(&ModelProto { graph: None, ..model(vec![]) }).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
}

#[test]
fn garbage_is_refused() {
    let noise: Vec<u8> = (0..4096u32).map(|i| (i.wrapping_mul(2654435761) >> 13) as u8).collect();
    assert_eq!(read_bytes(noise).unwrap_err().kind(), ErrorKind::Corrupt);
}

// Headers.

#[test]
fn future_versions_are_not_supported() {
    let error = read_model(&ModelProto { mind_ir_version: Some(4), ..model(vec![]) }).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
    assert!(error.to_string().contains("mind_ir_version 4"), "{error}");
}

#[test]
fn negative_versions_are_refused() {
    let error = read_model(&ModelProto { mind_ir_version: Some(-1), ..model(vec![]) }).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Corrupt);
}

#[test]
fn big_endian_models_are_not_supported() {
    let error = read_model(&ModelProto { little_endian: Some(false), ..model(vec![]) }).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
}

#[test]
fn a_missing_producer_is_a_warning() {
    let read = read_model(&ModelProto { producer_name: None, ..model(vec![]) }).unwrap();
    assert_eq!(read.report.warnings, [Warning::NoProducer]);
}

// Tensors.

#[test]
fn huge_dimensions_are_refused() {
    assert_eq!(tensor_fault(TensorProto { dims: vec![1 << 40, 1 << 40], ..weight() }), TensorFault::Overflow);
    assert!(matches!(
        tensor_fault(TensorProto { dims: vec![1 << 40], ..weight() }),
        TensorFault::Length { found: 8, .. }
    ));
}

#[test]
fn negative_dimensions_are_refused() {
    for value in [-1, -2, -3, i64::MIN] {
        let fault = tensor_fault(TensorProto { dims: vec![2, value], ..weight() });
        assert_eq!(fault, TensorFault::Dimension { axis: 1, value });
    }
}

#[test]
fn rank_33_is_refused() {
    assert_eq!(tensor_fault(tensor("net:w", &[1; 33], vec![0; 4])), TensorFault::Rank { rank: 33, limit: 32 });
}

#[test]
fn zero_dimensions_need_no_contents() {
    let read = read_model(&model(vec![TensorProto { raw_data: None, ..tensor("net:w", &[0, 7], vec![]) }])).unwrap();
    assert_eq!(read.report.parameter_bytes, 0);
}

#[test]
fn short_and_long_contents_are_refused() {
    for len in [0, 7, 9, 16] {
        let fault = tensor_fault(tensor("net:w", &[2], vec![0; len]));
        assert!(matches!(fault, TensorFault::Length { expected: 8, found, .. } if found == len as u64), "{fault}");
    }
}

#[test]
fn contents_in_two_places_are_refused() {
    let mut both = external("net:w", &[2], "net_variables/data_0", 64, 8);
    both.raw_data = weight().raw_data;
    assert_eq!(tensor_fault(both), TensorFault::TwoSources("raw_data", "external_data"));
    let both = TensorProto { float_data: vec![1.0, 2.0], ..weight() };
    assert_eq!(tensor_fault(both), TensorFault::TwoSources("raw_data", "float_data"));
}

#[test]
fn contents_in_typed_lists_are_not_supported() {
    let typed = TensorProto { raw_data: None, int64_data: vec![1], ..weight() };
    let error = read_model(&model(vec![typed])).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
}

#[test]
fn missing_contents_are_refused() {
    assert_eq!(tensor_fault(TensorProto { raw_data: None, ..weight() }), TensorFault::NoData);
}

#[test]
fn unknown_element_types_are_refused() {
    for code in [0, -1, 19, i32::MAX] {
        assert_eq!(tensor_fault(TensorProto { data_type: Some(code), ..weight() }), TensorFault::ElementType(code));
    }
}

#[test]
fn truth_values_are_0_or_1() {
    let truth = |bytes: &[u8]| TensorProto { data_type: Some(9), ..tensor("net:w", &[2], bytes.to_vec()) };
    assert!(read_model(&model(vec![truth(&[0, 1])])).is_ok());
    assert_eq!(tensor_fault(truth(&[1, 255])), TensorFault::Truth { index: 1, value: 255 });
}

#[test]
fn compressed_weights_are_not_supported() {
    let error = read_model(&model(vec![TensorProto { compression_type: Some(1), ..weight() }])).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
}

#[test]
fn constants_are_checked_like_weights() {
    let attribute = AttributeProto { tensors: vec![tensor("value0", &[3], vec![0; 8])], ..Default::default() };
    let nested = AttributeProto { values: vec![attribute], ..Default::default() };
    let error = read_model(&model_with_attribute(nested)).unwrap_err();
    assert!(matches!(&error, LoadError::Tensor { tensor, .. } if tensor == "node"), "{error}");
}

#[test]
fn descriptions_with_impossible_shapes_are_refused() {
    let shape = TensorProto { raw_data: None, ..tensor("", &[-7], vec![]) };
    let attribute = AttributeProto { tensors: vec![shape], ..Default::default() };
    assert_eq!(read_model(&model_with_attribute(attribute)).unwrap_err().kind(), ErrorKind::Corrupt);
}

#[test]
fn parameters_have_distinct_names() {
    let error = read_model(&model(vec![weight(), weight()])).unwrap_err();
    assert!(error.to_string().contains("net:w"), "{error}");
    assert_eq!(tensor_fault(TensorProto { name: None, ..weight() }), TensorFault::NoName);
}

#[test]
fn only_the_entry_graph_has_parameters() {
    let mut functions = model(vec![]);
    functions.functions.push(GraphProto { parameter: vec![weight()], ..Default::default() });
    assert_eq!(read_model(&functions).unwrap_err().kind(), ErrorKind::Corrupt);
    let graph = GraphProto { parameter: vec![weight()], ..Default::default() };
    let hidden = model_with_attribute(AttributeProto { graphs: vec![graph], ..Default::default() });
    assert_eq!(read_model(&hidden).unwrap_err().kind(), ErrorKind::Corrupt);
}

// Size and shape of the message.

#[test]
fn nesting_has_a_limit() {
    let nested = |depth: usize| {
        let mut attribute = AttributeProto::default();
        for _ in 1..depth {
            attribute = AttributeProto { values: vec![attribute], ..Default::default() };
        }
        model_with_attribute(attribute)
    };
    // The model, its graph and the node are the three outermost messages.
    assert!(read_model(&nested(61)).is_ok());
    assert_eq!(exceeded(read_model(&nested(62))), "nesting");
    assert_eq!(exceeded(read_model(&nested(500))), "nesting");
}

#[test]
fn graphs_in_attributes_count_as_nesting() {
    let mut graph = GraphProto::default();
    for _ in 0..30 {
        let attribute = AttributeProto { g: Some(Box::new(graph)), ..Default::default() };
        graph = GraphProto { attribute: vec![attribute], ..Default::default() };
    }
    let mut deep = model(vec![]);
    deep.functions.push(graph);
    assert!(read_model(&deep).is_ok());
    deep = model_with_attribute(AttributeProto { graphs: vec![deep.functions.remove(0)], ..Default::default() });
    assert_eq!(exceeded(read_model(&deep)), "nesting");
}

#[test]
fn a_million_empty_nodes_are_refused() {
    let bytes = [model(vec![]).encode_to_vec(), field(8, &field(1, &[]).repeat(1_000_000))].concat();
    assert_eq!(exceeded(read_bytes(bytes)), "memory for structure (bytes)");
}

#[test]
fn counts_have_limits() {
    let mut many = model(vec![]);
    many.graph.as_mut().unwrap().node = vec![NodeProto::default(); 11];
    let read = |limits| WireModel::read(Source::from_bytes("net", many.encode_to_vec()), &limits);
    assert!(read(Limits::default()).is_ok());
    assert_eq!(exceeded(read(Limits { max_nodes: 10, ..Limits::default() })), "structure (nodes)");
    assert_eq!(exceeded(read(Limits { max_messages: 12, ..Limits::default() })), "structure (messages)");
    assert_eq!(exceeded(read(Limits { max_decoded_bytes: 1000, ..Limits::default() })), "memory for structure (bytes)");
}

#[test]
fn long_names_are_refused() {
    let mut long = model(vec![]);
    long.graph.as_mut().unwrap().name = Some("x".repeat(100 << 20));
    assert_eq!(exceeded(read_model(&long)), "name (bytes)");
}

#[test]
fn names_may_hold_anything_but_are_escaped_in_errors() {
    let name = "net:\0\n\u{202e}✓é";
    let read = read_model(&model(vec![tensor(name, &[2], vec![0; 8])])).unwrap();
    assert_eq!(read.model.graph.unwrap().parameter[0].name(), name);
    let error = read_model(&model(vec![tensor(name, &[3], vec![0; 8])])).unwrap_err().to_string();
    assert!(error.contains(r"net:\0\n\u{202e}✓é"), "{error}");
}

#[test]
fn names_that_are_not_utf8_are_refused() {
    let bytes = field(7, &field(2, b"net\xff"));
    assert_eq!(wire_problem(bytes), WireProblem::Text(3));
}

#[test]
fn lengths_beyond_their_message_are_refused() {
    let inner = [&varint(2 << 3 | 2)[..], &varint(100), b"abc"].concat();
    let bytes = [field(7, &inner), vec![0; 1000]].concat();
    assert_eq!(wire_problem(bytes), WireProblem::Overrun { needed: 100, available: 3 });
}

#[test]
fn lengths_beyond_the_file_are_refused() {
    for len in [1000, u32::MAX.into(), u64::MAX] {
        let bytes = [varint(7 << 3 | 2), varint(len), vec![0; 10]].concat();
        assert_eq!(wire_problem(bytes), WireProblem::Truncated { needed: len, available: 10 });
    }
}

#[test]
fn long_numbers_are_refused() {
    let long = |last: u8| [&varint(13 << 3)[..], &[0xff; 9], &[last]].concat();
    assert_eq!(wire_problem(long(2)), WireProblem::Varint);
    assert_eq!(wire_problem([long(0xff), vec![1]].concat()), WireProblem::Varint);
    assert_eq!(read_bytes([long(1), model(vec![]).encode_to_vec()].concat()).unwrap_err().kind(), ErrorKind::Corrupt);
}

#[test]
fn wrong_wire_types_are_refused() {
    assert_eq!(wire_problem(number(7, 5)), WireProblem::WireType(0));
    assert_eq!(wire_problem(field(13, b"x")), WireProblem::WireType(2));
    for group in [3, 4, 6, 7] {
        assert_eq!(wire_problem(varint(100 << 3 | u64::from(group))), WireProblem::WireType(group));
    }
}

#[test]
fn field_zero_is_refused() {
    assert_eq!(wire_problem(vec![0x02, 0x00]), WireProblem::FieldNumber);
}

#[test]
fn fields_given_twice_are_refused() {
    let bytes = model(vec![]).encode_to_vec();
    assert_eq!(wire_problem(bytes.repeat(2)), WireProblem::Twice);
}

#[test]
fn packed_lists_hold_whole_elements() {
    let graph = |contents: Vec<u8>| field(8, &field(8, &contents));
    let attribute = |contents| [model(vec![]).encode_to_vec(), graph(contents), number(1000, 1)].concat();
    assert!(read_bytes(attribute(field(8, &[0; 8]))).is_ok());
    assert_eq!(wire_problem(attribute(field(8, &[0; 7]))), WireProblem::Fraction(7));
    assert!(read_bytes(attribute(field(10, &[1, 0x80, 0x01]))).is_ok());
    assert!(matches!(wire_problem(attribute(field(10, &[1, 0x80]))), WireProblem::Overrun { .. }));
}

#[test]
fn unknown_fields_are_skipped_and_counted() {
    let bytes = [model(vec![]).encode_to_vec(), field(99, b"future"), number(1000, 7)].concat();
    assert_eq!(read_bytes(bytes).unwrap().report.census.unknown_fields, 2);
}

// Forms of old releases.

#[test]
fn old_attribute_types_are_skipped() {
    let attribute = [field(1, b"a"), number(18, 3), number(3, 7)].concat();
    let bytes = [model(vec![]).encode_to_vec(), field(8, &field(8, &attribute))].concat();
    let read = read_bytes(bytes).unwrap();
    let attribute = &read.model.functions[0].attribute[0];
    assert_eq!((attribute.name(), attribute.i(), attribute.seq_info.is_none()), ("a", 7, true));
    assert_eq!(read.report.warnings, [Warning::OldFieldsSkipped { count: 1 }]);
}

#[test]
fn old_preprocessors_are_skipped() {
    let bytes = [model(vec![weight()]).encode_to_vec(), field(9, b"some old text")].concat();
    let read = read_bytes(bytes).unwrap();
    assert_eq!(read.model.preprocessor, None);
    assert_eq!(read.report.warnings, [Warning::OldFieldsSkipped { count: 1 }]);
}

#[test]
fn old_checksums_are_skipped() {
    let mut parameter = external("net:w", &[2], "net_variables/data_0", 64, 8);
    let location = parameter.external_data.take().unwrap().encode_to_vec();
    let with_checksum = [parameter.encode_to_vec(), field(12, &[location, field(4, b"d41d8c")].concat())].concat();
    let bytes = [field(2, b"MindSpore"), field(7, &field(3, &with_checksum))].concat();
    let files = BTreeMap::from([("net_variables/data_0".to_string(), Bytes::from(data_file(8)))]);
    let read = WireModel::read(Source::from_bytes("net", bytes).with_files(files), &Limits::default()).unwrap();
    assert_eq!(read.report.parameters, 1);
}

// Data files.

const DATA_0: &str = "net_variables/data_0";

#[test]
fn names_that_leave_the_folder_are_refused() {
    for name in [
        "../net_variables/data_0",
        "net_variables/../../data_0",
        "/net_variables/data_0",
        "C:/data_0",
        "C:data_0",
        "..\\data_0",
        "net_variables\\data_0",
        "net_variables/data_0\0",
        "net_variables//data_0",
        "./data_0",
        "",
        "net_variables/\u{202e}0_atad",
    ] {
        let fault = external_fault(vec![external("net:w", &[2], name, 64, 8)], data_file(8));
        assert!(matches!(fault, ExternalFault::File(FileFault::Name(_))), "{name:?}: {fault}");
    }
}

#[test]
fn ranges_outside_of_the_file_are_refused() {
    for (offset, length) in [(72, 8), (65, 8), (i64::MAX, 8), (1 << 40, 8)] {
        let fault = external_fault(vec![external("net:w", &[2], DATA_0, offset, length)], data_file(8));
        assert!(matches!(fault, ExternalFault::Outside { file_len: 72, .. }), "{fault}");
    }
    for (offset, length, what) in [(-1, 8, "offset"), (i64::MIN, 8, "offset"), (64, -8, "length")] {
        let fault = external_fault(vec![external("net:w", &[2], DATA_0, offset, length)], data_file(8));
        assert!(matches!(fault, ExternalFault::Number(name) if name == what), "{fault}");
    }
}

#[test]
fn ranges_in_the_header_are_refused() {
    let fault = external_fault(vec![external("net:w", &[2], DATA_0, 0, 8)], data_file(8));
    assert!(matches!(fault, ExternalFault::InHeader(0)));
}

#[test]
fn ranges_of_the_wrong_length_are_refused() {
    for length in [4, 12] {
        let error = read_with(&model(vec![external("net:w", &[2], DATA_0, 64, length)]), data_file(64)).unwrap_err();
        assert!(matches!(error, LoadError::Tensor { fault: TensorFault::Length { .. }, .. }), "{error}");
    }
}

#[test]
fn overlapping_ranges_are_refused() {
    let tensors = |second| vec![external("net:b", &[2], DATA_0, second, 8), external("net:a", &[2], DATA_0, 64, 8)];
    for second in [64, 68] {
        let fault = external_fault(tensors(second), data_file(16));
        assert!(matches!(fault, ExternalFault::Overlap { offset, .. } if offset == second as u64), "{fault}");
    }
    assert!(read_with(&model(tensors(72)), data_file(16)).is_ok());
}

#[test]
fn data_files_start_with_their_byte_order() {
    let parameter = || vec![external("net:w", &[2], DATA_0, 64, 8)];
    let starting = |byte| [vec![byte], vec![0; 71]].concat();
    assert!(matches!(external_fault(parameter(), starting(0)), ExternalFault::BigEndian));
    assert!(matches!(external_fault(parameter(), starting(255)), ExternalFault::Header { found: 255 }));
    assert!(matches!(external_fault(parameter(), vec![]), ExternalFault::TooShort(0)));
    assert!(matches!(external_fault(parameter(), vec![1; 63]), ExternalFault::TooShort(63)));
}

#[test]
fn the_model_is_no_data_file_of_itself() {
    let model = model(vec![external("net:w", &[2], "net.mindir", 64, 8)]);
    let folder = tempfile::tempdir().unwrap();
    fs::write(folder.path().join("net.mindir"), model.encode_to_vec()).unwrap();
    let error = read_path(&folder.path().join("net.mindir")).unwrap_err();
    assert!(matches!(error, LoadError::External { fault: ExternalFault::Header { found: 10 }, .. }), "{error}");
}

#[test]
fn encrypted_data_files_are_named() {
    let encrypted = [&[0xd8, 0x5e, 0x3a, 0x7f][..], &[0; 100]].concat();
    let error = read_with(&model(vec![external("net:w", &[2], DATA_0, 64, 8)]), encrypted).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Encrypted);
    assert_eq!(error.file(), DATA_0);
}

#[test]
fn the_number_of_data_files_has_a_limit() {
    let parameters = (0..3).map(|i| external(&format!("net:{i}"), &[2], &format!("v/data_{i}"), 64, 8)).collect();
    let files: BTreeMap<_, _> = (0..3).map(|i| (format!("v/data_{i}"), Bytes::from(data_file(8)))).collect();
    let source = Source::from_bytes("net", model(parameters).encode_to_vec()).with_files(files);
    let error = WireModel::read(source, &Limits { max_data_files: 2, ..Limits::default() }).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Limit);
}

/// Writes a model with one parameter in `net_variables/data_0` and returns its path.
fn split_model(folder: &Path) -> std::path::PathBuf {
    let path = folder.join("net_graph.mindir");
    fs::write(&path, model(vec![external("net:w", &[2], DATA_0, 64, 8)]).encode_to_vec()).unwrap();
    path
}

#[test]
fn missing_data_files_are_named() {
    let folder = tempfile::tempdir().unwrap();
    let error = read_path(&split_model(folder.path())).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.to_string().contains(DATA_0), "{error}");
}

#[test]
fn folders_are_no_data_files() {
    let folder = tempfile::tempdir().unwrap();
    fs::create_dir_all(folder.path().join(DATA_0)).unwrap();
    let error = read_path(&split_model(folder.path())).unwrap_err();
    assert!(error.to_string().contains("not a regular file"), "{error}");
}

#[cfg(unix)]
#[test]
fn symbolic_links_are_not_followed() {
    use std::os::unix::fs::symlink;
    let folder = tempfile::tempdir().unwrap();
    let path = split_model(folder.path());
    let elsewhere = folder.path().join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    fs::write(elsewhere.join("data_0"), data_file(8)).unwrap();
    symlink(&elsewhere, folder.path().join("net_variables")).unwrap();
    let error = read_path(&path).unwrap_err();
    assert!(error.to_string().contains("symbolic links"), "{error}");
    fs::remove_file(folder.path().join("net_variables")).unwrap();
    fs::create_dir(folder.path().join("net_variables")).unwrap();
    symlink(elsewhere.join("data_0"), folder.path().join(DATA_0)).unwrap();
    let error = read_path(&path).unwrap_err();
    assert!(error.to_string().contains("symbolic links"), "{error}");
}

#[cfg(unix)]
#[test]
fn pipes_and_devices_are_refused_without_waiting() {
    let folder = tempfile::tempdir().unwrap();
    let path = split_model(folder.path());
    fs::create_dir(folder.path().join("net_variables")).unwrap();
    let pipe = folder.path().join(DATA_0);
    let made = std::process::Command::new("mkfifo").arg(&pipe).status();
    if made.is_ok_and(|status| status.success()) {
        assert!(read_path(&path).unwrap_err().to_string().contains("not a regular file"));
        assert!(matches!(read_path(&pipe).unwrap_err(), LoadError::NotAFile { .. }));
    }
    assert!(matches!(read_path(Path::new("/dev/zero")).unwrap_err(), LoadError::NotAFile { .. }));
}

// The split layout of the first releases.

/// Writes a model without parameters whose folder holds `part`, and reads it.
fn read_part(part: &[u8]) -> Result<WireModel, LoadError> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("net_graph.mindir");
    fs::write(&path, model(vec![]).encode_to_vec()).unwrap();
    fs::create_dir(folder.path().join("net_variables")).unwrap();
    fs::write(folder.path().join("net_variables/data_1"), part).unwrap();
    read_path(&path)
}

#[test]
fn parts_hold_weights_only() {
    let part = GraphProto { parameter: vec![weight()], ..Default::default() };
    assert_eq!(read_part(&part.encode_to_vec()).unwrap().report.parameters, 1);
    let more = GraphProto { node: vec![NodeProto::default()], ..part };
    let error = read_part(&more.encode_to_vec()).unwrap_err();
    assert_eq!((error.kind(), error.file()), (ErrorKind::Corrupt, "net_variables/data_1"));
}

#[test]
fn parts_are_checked_like_models() {
    assert_eq!(exceeded(read_part(&field(3, &[]).repeat(500_000))), "memory for structure (bytes)");
    assert_eq!(read_part(b"\xd8\x5e\x3a\x7f........").unwrap_err().kind(), ErrorKind::Encrypted);
    assert_eq!(read_part(&field(3, b"\xff\xff")).unwrap_err().kind(), ErrorKind::Corrupt);
}

#[cfg(unix)]
#[test]
fn parts_are_not_symbolic_links() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("net_graph.mindir");
    fs::write(&path, model(vec![]).encode_to_vec()).unwrap();
    fs::create_dir(folder.path().join("net_variables")).unwrap();
    std::os::unix::fs::symlink("/etc/hostname", folder.path().join("net_variables/data_1")).unwrap();
    let error = read_path(&path).unwrap_err();
    assert!(error.to_string().contains("symbolic links"), "{error}");
}
