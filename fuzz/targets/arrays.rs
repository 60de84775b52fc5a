//! An array file: `.npy`, and `.npz`.
#![no_main]

use std::io::Cursor;

use libfuzzer_sys::fuzz_target;
use mindir::npy;

fuzz_target!(|input: &[u8]| mindir_fuzz::bounded(input, read));

fn read(bytes: &[u8]) {
    if let Ok(array) = npy::read_from(bytes) {
        let mut written = Vec::new();
        npy::write_to(&mut written, &array).expect("a vector takes everything");
        let again = npy::read_from(written.as_slice()).expect("what was written can be read");
        assert_eq!(again.bytes(), array.bytes());
    }
    let _ = npy::read_npz_from(Cursor::new(bytes)).map_err(|e| e.to_string());
}
