//! Encrypted models: as MindSpore writes them, and damaged.

mod common;

use std::fs;
use std::path::Path;

use common::data;
use mindir_loader::crypto::{CryptoFault, Decryption, Key};
use mindir_loader::mindir::{Source, WireModel};
use mindir_loader::{Access, Cipher, ErrorKind, Limits, LoadError};

fn key(len: usize) -> Key {
    Key::new(&b"0123456789ABCDEF0123456789ABCDEF"[..len]).unwrap()
}

fn read(path: &Path, key: Option<Key>) -> Result<WireModel, LoadError> {
    let source = Source::open(path, Access::Map)?.with_decryption(key.map(Decryption::new));
    WireModel::read(source, &Limits::default())
}

fn sample(name: &str, key_len: usize) -> WireModel {
    read(&data("encrypted").join(name), Some(key(key_len))).unwrap_or_else(|error| panic!("{name}: {error}"))
}

#[test]
fn every_mode_and_key_length_is_read() {
    let plain = read(&data("encrypted/plain.mindir"), None).unwrap();
    let weights = |model: &WireModel| model.model.graph.as_ref().unwrap().parameter.clone();
    for (name, key_len, cipher) in [
        ("aes_gcm.mindir", 16, Cipher::AesGcm),
        ("aes_gcm_key24.mindir", 24, Cipher::AesGcm),
        ("aes_gcm_key32.mindir", 32, Cipher::AesGcm),
        ("aes_cbc.mindir", 16, Cipher::AesCbc),
        ("sm4_cbc.mindir", 16, Cipher::Sm4Cbc),
        ("split_gcm_graph.mindir", 16, Cipher::AesGcm),
    ] {
        let model = sample(name, key_len);
        assert_eq!(model.report.encrypted, Some(cipher), "{name}");
        let raw = |list: Vec<mindir_proto::mindir::TensorProto>| {
            list.into_iter().map(|t| (t.dims, t.raw_data)).collect::<Vec<_>>()
        };
        assert_eq!(raw(weights(&model)), raw(weights(&plain)), "{name}");
    }
}

#[test]
fn a_wrong_or_missing_key_is_called_that() {
    let other = || Key::new(*b"0123456789ABCDEX").unwrap();
    for name in ["aes_gcm.mindir", "aes_cbc.mindir", "sm4_cbc.mindir", "split_gcm_graph.mindir"] {
        let path = data("encrypted").join(name);
        let error = read(&path, Some(other())).unwrap_err();
        assert!(matches!(error, LoadError::Decrypt { .. }), "{name}: {error}");
        assert_eq!(error.kind(), ErrorKind::Encrypted, "{name}: {error}");
        assert!(matches!(read(&path, None), Err(LoadError::Encrypted { .. })));
    }
    let error = read(&data("encrypted/plain.mindir"), Some(key(16))).unwrap_err();
    assert!(matches!(error, LoadError::Decrypt { fault: CryptoFault::Plain, .. }), "{error}");
}

#[test]
fn a_damaged_data_file_is_not_blamed_on_the_key() {
    let folder = tempfile::tempdir().unwrap();
    let graph = folder.path().join("split_gcm_graph.mindir");
    fs::copy(data("encrypted/split_gcm_graph.mindir"), &graph).unwrap();
    let mut bytes = fs::read(data("encrypted/split_gcm_variables/data_0")).unwrap();
    fs::create_dir(folder.path().join("split_gcm_variables")).unwrap();
    let weights = folder.path().join("split_gcm_variables/data_0");
    for at in [60, bytes.len() - 1] {
        bytes[at] ^= 1;
        fs::write(&weights, &bytes).unwrap();
        let error = read(&graph, Some(key(16))).unwrap_err();
        assert!(
            matches!(&error, LoadError::Decrypt { file, fault: CryptoFault::Damaged { .. } } if file.ends_with("data_0")),
            "{error}"
        );
        assert_eq!(error.kind(), ErrorKind::Corrupt);
        bytes[at] ^= 1;
    }
    bytes.truncate(bytes.len() - 3);
    fs::write(&weights, &bytes).unwrap();
    let error = read(&graph, Some(key(16))).unwrap_err();
    assert!(error.to_string().contains("truncated"), "{error}");
    fs::write(&weights, [1; 64]).unwrap();
    let error = read(&graph, Some(key(16))).unwrap_err();
    assert!(matches!(error, LoadError::Decrypt { fault: CryptoFault::Plain, .. }), "{error}");
}
