//! The body of a request to the server. The first byte is how many bytes of it are JSON: 0 is all, 255 a form.
#![no_main]

use libfuzzer_sys::fuzz_target;

fuzz_target!(|input: &[u8]| mindir_fuzz::bounded(input, mindir_serve::fuzzing::request));
