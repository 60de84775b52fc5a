//! An ONNX model file, as far as the graph: reading never panics, overflows the stack or takes unbounded memory.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mindir_loader::{Limits, mindir::Source, onnx};

fuzz_target!(|bytes: &[u8]| {
    let limits = Limits { max_decoded_bytes: 64 << 20, ..Limits::default() };
    let _ = onnx::load(Source::from_bytes("fuzz.onnx", bytes.to_vec()), &limits);
});
