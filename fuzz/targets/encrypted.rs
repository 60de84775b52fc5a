//! An encrypted model: bytes that claim to be one, and what follows when the rest of the input is really encrypted.
#![no_main]

use libfuzzer_sys::fuzz_target;
use mindir::crypto::{Decryption, Encryption, Encryptor, Key};
use mindir::{Cipher, Source};
use std::io::Write;

fuzz_target!(|input: &[u8]| mindir_fuzz::bounded(input, read));

fn read(input: &[u8]) {
    let Some((mode, bytes)) = input.split_first() else { return };
    let Ok(key) = Key::new(*b"0123456789ABCDEF") else { return };
    let cipher = [Cipher::AesGcm, Cipher::AesCbc, Cipher::Sm4Cbc][usize::from(mode % 3)];
    load(bytes.to_vec(), Decryption::new(key.clone()).with_mode(cipher));
    if mode & 64 == 0 {
        return;
    }
    let Ok(encryption) = Encryption::new(cipher, key) else { return };
    let decryption = encryption.decryption();
    let mut encryptor = Encryptor::new(encryption, Vec::new());
    encryptor.write_all(bytes).expect("a vector takes everything");
    load(encryptor.finish().expect("a vector takes everything"), decryption);
}

fn load(bytes: Vec<u8>, decryption: Decryption) {
    let source = Source::from_bytes("fuzz", bytes).with_decryption(decryption);
    let _ = mindir::load_source(source).map_err(|e| e.to_string());
}
