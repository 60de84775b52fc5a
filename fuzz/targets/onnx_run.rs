//! One `.onnx` file that is loaded, planned and run within bounds.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mindir::{Limits, Source};
use mindir_loader::onnx;

fuzz_target!(|bytes: &[u8]| {
    if let Ok((model, _)) = onnx::load(Source::from_bytes("fuzz.onnx", bytes.to_vec()), &Limits::default()) {
        mindir_fuzz::run(model);
    }
});
