//! One `.onnx` file that is loaded, planned and run within bounds.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mindir::Source;
use mindir_loader::onnx;

fuzz_target!(|input: &[u8]| mindir_fuzz::bounded(input, read));

fn read(bytes: &[u8]) {
    if let Ok((model, _)) = onnx::load(Source::from_bytes("fuzz.onnx", bytes.to_vec()), &mindir_fuzz::limits()) {
        mindir_fuzz::run(model);
    }
}
