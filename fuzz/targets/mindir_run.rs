//! One `.mindir` file that is loaded, planned and run within bounds.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mindir::Source;

fuzz_target!(|input: &[u8]| mindir_fuzz::bounded(input, read));

fn read(bytes: &[u8]) {
    if let Ok(loaded) = mindir_loader::load_source(Source::from_bytes("fuzz", bytes.to_vec()), &mindir_fuzz::limits()) {
        mindir_fuzz::run(loaded.model);
    }
}
