//! An ONNX model file, as far as the graph: reading never panics, overflows the stack or takes unbounded memory.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mindir_loader::{Limits, mindir::Source, onnx};

fuzz_target!(|input: &[u8]| mindir_fuzz::bounded(input, read));

fn read(bytes: &[u8]) {
    let _ = onnx::load(Source::from_bytes("fuzz.onnx", bytes.to_vec()), &Limits::default()).map_err(|e| e.to_string());
}
