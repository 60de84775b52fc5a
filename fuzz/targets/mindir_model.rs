//! One `.mindir` file. Good seeds are the files in `loader/tests/data`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mindir_loader::{Limits, load_source, mindir::Source};

fuzz_target!(|input: &[u8]| mindir_fuzz::bounded(input, read));

fn read(bytes: &[u8]) {
    let source = Source::from_bytes("fuzz", bytes.to_vec());
    let _ = load_source(source, &Limits::default()).map_err(|e| e.to_string());
}
