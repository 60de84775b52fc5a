//! What files say about how a model is served: a `model.toml` behind an even byte, a `config.pbtxt` behind an odd one.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| mindir_fuzz::bounded(input, mindir_serve::fuzzing::config));
