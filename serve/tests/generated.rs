//! The code for gRPC is what the protocol's description makes. `MINDIR_WRITE=1` writes it anew. Needs the feature `generate`.

use std::fs;
use std::path::{Path, PathBuf};

use prost_types::FileDescriptorSet;
use protox::prost::Message;

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("src/grpc")
}

fn compare(name: &str, made: &[u8]) {
    let file = folder().join(name);
    if std::env::var_os("MINDIR_WRITE").is_some() {
        fs::write(&file, made).unwrap();
    }
    let found = fs::read(&file).unwrap_or_default();
    assert!(found == made, "{}: MINDIR_WRITE=1 cargo test -p mindir-serve --features generate", file.display());
}

#[test]
fn code_is_that_of_the_description() {
    let mut described = protox::compile(["inference.proto"], [folder()]).unwrap();
    described.file.iter_mut().for_each(|file| file.source_code_info = None);
    compare("inference.bin", &described.encode_to_vec());
    let out = tempfile::tempdir().unwrap();
    let set = FileDescriptorSet::decode(described.encode_to_vec().as_slice()).unwrap();
    tonic_prost_build::configure().build_client(false).bytes(".").out_dir(out.path()).compile_fds(set).unwrap();
    compare("inference.rs", &fs::read(out.path().join("inference.rs")).unwrap());
}
