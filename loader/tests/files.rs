//! Model files that are changed and moved: what does not change stays as it is, byte for byte.

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use common::data;
use mindir_graph::builder::Builder;
use mindir_graph::graph::Model;
use mindir_graph::{DType, Spec, Tensor};
use mindir_loader::crypto::{Encryption, Key};
use mindir_loader::mindir::{ExportError, ExportOptions, ModelFile, NameFault, Source, export};
use mindir_loader::{Access, Cipher, Limits, LoadError, load};
use mindir_proto::mindir::ModelProto;
use mindir_proto::prost::Message;

fn open(path: &Path) -> ModelFile {
    ModelFile::read(Source::open(path, Access::Map).unwrap(), &Limits::default()).unwrap()
}

/// Graph files of the goldens.
fn goldens() -> Vec<PathBuf> {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/goldens");
    let mut paths: Vec<PathBuf> =
        fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path().join("model.mindir")).collect();
    paths.retain(|path| path.exists());
    assert!(paths.len() > 50);
    paths
}

fn split() -> ExportOptions {
    ExportOptions { split_above: 0, data_file_size: 4096, ..ExportOptions::default() }
}

fn params(model: &Model) -> BTreeMap<String, Tensor> {
    model.params.iter().map(|p| (p.name.to_string(), p.tensor.clone())).collect()
}

#[test]
fn unchanged_files_are_the_same_bytes_and_come_back_from_being_split() {
    let folder = tempfile::tempdir().unwrap();
    let (same, apart, back) = (folder.path().join("same"), folder.path().join("apart"), folder.path().join("back"));
    for path in goldens() {
        let bytes = fs::read(&path).unwrap();
        let written = open(&path).write(&same, &ExportOptions::default()).unwrap();
        assert_eq!(written.path, same.with_extension("mindir"));
        assert!(fs::read(&written.path).unwrap() == bytes, "{}", path.display());
        let split = open(&path).write(&apart, &split()).unwrap();
        let joined = open(&split.path).write(&back, &ExportOptions::default()).unwrap();
        let plain = |bytes: &[u8]| {
            let mut model = ModelProto::decode(bytes).unwrap();
            // Spaces that bring weights to multiples of 64.
            model.graph.iter_mut().flat_map(|g| &mut g.parameter).for_each(|p| p.doc_string = None);
            model.encode_to_vec()
        };
        let joined = fs::read(&joined.path).unwrap();
        assert!(plain(&joined) == plain(&bytes), "{} after being split", path.display());
    }
}

#[test]
fn data_files_are_laid_out_as_mindspore_does() {
    let folder = tempfile::tempdir().unwrap();
    let options = ExportOptions { split_above: 0, ..ExportOptions::default() };
    let original = data("split_one/net_graph.mindir");
    let written = open(&original).write(folder.path().join("net"), &options).unwrap();
    assert_eq!(written.data_files, ["net_variables/data_0"]);
    assert!(fs::read(&written.path).unwrap() == fs::read(&original).unwrap());
    let contents = |path: &Path| fs::read(path.with_file_name("net_variables").join("data_0")).unwrap();
    assert_eq!(contents(&written.path), contents(&original));
}

#[test]
fn the_layout_of_the_first_releases_is_written_as_the_current_one() {
    let folder = tempfile::tempdir().unwrap();
    let original = data("split_graphs/net_graph.mindir");
    for options in [ExportOptions::default(), split()] {
        let written = open(&original).write(folder.path().join("net"), &options).unwrap();
        assert_eq!(params(&load(&written.path).unwrap().model).len(), params(&load(&original).unwrap().model).len());
        assert_eq!(written.data_files.is_empty(), options.split_above > 0);
    }
}

#[test]
fn unknown_fields_survive_every_change() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("net.mindir");
    // Fields 99 of the model: a text and a number.
    let unknown = b"\x9a\x06\x05hello\x98\x06\x2a";
    let bytes = [fs::read(data("io_multi_in.mindir")).unwrap(), unknown.to_vec()].concat();
    fs::write(&path, &bytes).unwrap();
    let mut file = open(&path);
    file.set_user_info("license", Some("Apache-2.0"));
    let out = file.write(folder.path().join("out"), &split()).unwrap();
    let changed = fs::read(&out.path).unwrap();
    assert!(changed.windows(unknown.len()).any(|part| part == unknown));
    let model = ModelProto::decode(&changed[..]).unwrap();
    assert_eq!(model.user_info, BTreeMap::from([("license".to_string(), "Apache-2.0".to_string())]));
    let mut file = open(&out.path);
    file.set_user_info("license", None);
    let out = file.write(folder.path().join("again"), &ExportOptions::default()).unwrap();
    assert!(fs::read(&out.path).unwrap() == bytes);
}

#[test]
fn parameters_are_renamed_everywhere_and_back() {
    let folder = tempfile::tempdir().unwrap();
    let original = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/goldens/cf_if/model.mindir");
    let mut file = open(&original);
    file.rename_parameters([("w", "head.weight")]).unwrap();
    let out = file.write(folder.path().join("renamed"), &ExportOptions::default()).unwrap();
    let model = load(&out.path).unwrap().model;
    assert_eq!(params(&model).keys().collect::<Vec<_>>(), ["head.weight"]);
    let proto = ModelProto::decode(&fs::read(&out.path).unwrap()[..]).unwrap();
    assert!(!format!("{proto:?}").contains(r#"ref_key: Some("w")"#));
    let mut file = open(&out.path);
    file.rename_parameters([("head.weight", "w")]).unwrap();
    let back = file.write(folder.path().join("back"), &ExportOptions::default()).unwrap();
    assert!(fs::read(back.path).unwrap() == fs::read(original).unwrap());
}

#[test]
fn names_must_be_free() {
    let mut file = open(&data("split_one/net_graph.mindir"));
    assert!(matches!(file.rename_parameters([("none", "x")]), Err(ExportError::Unknown { .. })));
    let input = file.wire().model.graph.as_ref().unwrap().input[0].name.clone().unwrap();
    let (graph, input) = input.split_once(':').unwrap();
    let long = "x".repeat(Limits::default().max_name_len);
    for (name, fault) in [
        ("", NameFault::Empty),
        (&*long, NameFault::TooLong(graph.len() + 1 + long.len())),
        ("b.bias", NameFault::SameName),
        (input, NameFault::Taken),
    ] {
        match file.rename_parameters([("a.bias", name)]) {
            Err(ExportError::Name { why, .. }) => assert_eq!(why, fault),
            other => panic!("{other:?}"),
        }
    }
    file.rename_parameters([("a.bias", "free")]).unwrap();
    let twice = file.rename_parameters([("b.bias", "free")]);
    assert!(matches!(twice, Err(ExportError::Name { why: NameFault::SameName, .. })));
}

#[test]
fn names_are_swapped() {
    let folder = tempfile::tempdir().unwrap();
    let mut file = open(&data("split_one/net_graph.mindir"));
    let before = params(&load(data("split_one/net_graph.mindir")).unwrap().model);
    file.rename_parameters([("a.bias", "b.bias"), ("b.bias", "a.bias")]).unwrap();
    let out = file.write(folder.path().join("swapped"), &ExportOptions::default()).unwrap();
    let after = params(&load(&out.path).unwrap().model);
    assert_eq!((&before["a.bias"], &before["b.bias"]), (&after["b.bias"], &after["a.bias"]));
}

#[test]
fn names_that_readers_refuse_are_not_written() {
    let mut b = Builder::new("net");
    let x = b.input(&"x".repeat(70_000), Spec::fixed(DType::F32, &[2]));
    let y = b.op("Neg", [x.into()]).unwrap();
    let model = b.finish(&[y]);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("long.mindir");
    let refused = export(&model, &path, &ExportOptions::default());
    assert!(matches!(refused, Err(ExportError::Name { why: NameFault::TooLong(70_000..), .. })), "{refused:?}");
    assert!(!path.exists());
}

#[test]
fn contents_are_replaced_by_contents_of_the_same_form() {
    let folder = tempfile::tempdir().unwrap();
    let original = data("split_one/net_graph.mindir");
    let mut file = open(&original);
    let new = Tensor::vector(&[1f32, 2.0, 3.0, 4.0, 5.0]);
    file.set_parameter("a.bias", &new).unwrap();
    for options in [ExportOptions::default(), split()] {
        let out = file.write(folder.path().join("out"), &options).unwrap();
        let (found, was) = (params(&load(&out.path).unwrap().model), params(&load(&original).unwrap().model));
        for (name, tensor) in &found {
            let want = if name == "a.bias" { &new } else { &was[name] };
            assert_eq!(tensor.bytes(), want.bytes(), "{name}");
        }
    }
    for wrong in [Tensor::vector(&[1f32]), Tensor::vector(&[1i32, 2, 3, 4, 5])] {
        assert!(matches!(file.set_parameter("a.bias", &wrong), Err(ExportError::Contents { .. })));
    }
}

#[test]
fn encrypted_files_can_be_read_with_the_key_only() {
    let folder = tempfile::tempdir().unwrap();
    let original = data("split_multi/net_graph.mindir");
    let want = params(&load(&original).unwrap().model);
    for cipher in [Cipher::AesGcm, Cipher::AesCbc, Cipher::Sm4Cbc] {
        let encryption = Encryption::new(cipher, Key::new(*b"0123456789ABCDEF").unwrap()).unwrap();
        for layout in [ExportOptions::default(), split()] {
            let options = ExportOptions { encryption: Some(encryption.clone()), ..layout };
            let out = open(&original).write(folder.path().join("secret"), &options).unwrap();
            assert!(matches!(load(&out.path), Err(LoadError::Encrypted { .. })));
            let source = Source::open(&out.path, Access::Map).unwrap().with_decryption(encryption.decryption());
            let file = ModelFile::read(source, &Limits::default()).unwrap();
            // Encrypted again, unless told otherwise.
            for again in [ExportOptions::default(), split()] {
                let again = file.write(folder.path().join("again"), &again).unwrap();
                assert_eq!(Cipher::of(&fs::read(&again.path).unwrap()), Some(cipher));
                let source = Source::open(&again.path, Access::Map).unwrap().with_decryption(encryption.decryption());
                ModelFile::read(source, &Limits::default()).unwrap();
            }
            let plain = file.decrypted().write(folder.path().join("plain"), &ExportOptions::default()).unwrap();
            let got = params(&load(&plain.path).unwrap().model);
            assert!(want.iter().all(|(name, tensor)| tensor.bytes() == got[name].bytes()), "{cipher}");
        }
    }
}

#[test]
fn writing_a_split_model_again_leaves_no_old_data_file() {
    let folder = tempfile::tempdir().unwrap();
    let first = open(&data("split_multi/net_graph.mindir")).write(folder.path().join("net"), &split()).unwrap();
    // The model that is being read is the one that is replaced.
    let second = open(&first.path).write(&first.path, &split()).unwrap();
    assert_eq!(second.path, first.path);
    assert!(first.data_files.iter().all(|old| !second.data_files.contains(old) && !folder.path().join(old).exists()));
    load(&second.path).unwrap();
}

#[test]
fn what_is_there_stays_when_writing_fails() {
    let folder = tempfile::tempdir().unwrap();
    let model = load(data("io_multi_in.mindir")).unwrap().model;
    let taken = folder.path().join("taken.mindir");
    fs::create_dir(&taken).unwrap();
    assert!(matches!(export(&model, &taken, &ExportOptions::default()), Err(ExportError::Store(_))));
    let missing = folder.path().join("none/net.mindir");
    assert!(matches!(export(&model, missing, &ExportOptions::default()), Err(ExportError::Store(_))));
    for name in ["a\nb.mindir", ".mindir", "a\u{202e}b"] {
        let error = export(&model, folder.path().join(name), &ExportOptions::default()).unwrap_err();
        assert!(matches!(error, ExportError::Path { .. }), "{name:?}: {error}");
    }
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[cfg(unix)]
#[test]
fn links_are_not_followed() {
    let folder = tempfile::tempdir().unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink(elsewhere.path(), folder.path().join("net_variables")).unwrap();
    let error = open(&data("split_one/net_graph.mindir")).write(folder.path().join("net"), &split()).unwrap_err();
    assert!(matches!(error, ExportError::Store(_)), "{error}");
    assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 0);
    fs::write(elsewhere.path().join("model"), b"precious").unwrap();
    std::os::unix::fs::symlink(elsewhere.path().join("model"), folder.path().join("net.mindir")).unwrap();
    let file = open(&data("split_one/net_graph.mindir"));
    assert!(file.write(folder.path().join("net.mindir"), &ExportOptions::default()).is_err());
    assert_eq!(fs::read(elsewhere.path().join("model")).unwrap(), b"precious");
}
