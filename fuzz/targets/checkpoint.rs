//! One checkpoint in any format. Good seeds are the files in `loader/tests/data/ckpt`.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mindir_loader::ckpt::{Array, ReadOptions, read_bytes};

fuzz_target!(|input: &[u8]| mindir_fuzz::bounded(input, read));

fn read(bytes: &[u8]) {
    match read_bytes("fuzz", bytes.to_vec(), &ReadOptions::default()) {
        Ok(checkpoint) => checkpoint.iter().for_each(|(_, value)| drop(value.array().map(Array::tensor))),
        Err(error) => drop(error.to_string()),
    }
}
