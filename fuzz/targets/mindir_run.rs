//! One `.mindir` file that is loaded, planned and run within bounds.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mindir::Source;

fuzz_target!(|bytes: &[u8]| {
    if let Ok(loaded) = mindir::load_source(Source::from_bytes("fuzz", bytes.to_vec())) {
        mindir_fuzz::run(loaded.model);
    }
});
