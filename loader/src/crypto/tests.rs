use std::io::Write;

use aes_gcm::aes::Aes128;
use aes_gcm::aes::cipher::consts::U16;
use aes_gcm::{AeadInOut, AesGcm, KeyInit};

use super::*;
use crate::foreign::Cipher;

const MODES: [Cipher; 3] = [Cipher::AesGcm, Cipher::AesCbc, Cipher::Sm4Cbc];

fn key(len: usize) -> Key {
    let text = b"0123456789ABCDEF0123456789ABCDEF";
    Key::new(&text[..len]).unwrap()
}

fn seal(cipher: Cipher, key_len: usize, pieces: &[&[u8]]) -> Vec<u8> {
    let mut stream = Encryptor::new(Encryption::new(cipher, key(key_len)).unwrap(), Vec::new());
    for piece in pieces {
        stream.write_all(piece).unwrap();
        stream.end_piece().unwrap();
    }
    stream.finish().unwrap()
}

fn open(bytes: &[u8], key_len: usize) -> Result<bytes::Bytes, CryptoFault> {
    Decryption::new(key(key_len)).decrypt(bytes)
}

#[test]
fn what_is_written_can_be_read_in_every_mode_and_length() {
    let data: Vec<u8> = (0..1000u32).map(|i| (i * 7) as u8).collect();
    for cipher in MODES {
        for key_len in [16, 24, 32] {
            if Encryption::new(cipher, key(key_len)).is_err() {
                assert_eq!((cipher, key_len == 16), (Cipher::Sm4Cbc, false));
                continue;
            }
            for len in [1, 15, 16, 17, 64, 1000] {
                let sealed = seal(cipher, key_len, &[&data[..len]]);
                let padding = if cipher == Cipher::AesGcm { UNIT } else { UNIT - len % UNIT };
                assert_eq!(sealed.len(), len + 32 + padding, "{cipher} {len}");
                assert_eq!(open(&sealed, key_len).unwrap(), data[..len], "{cipher} {key_len} {len}");
            }
        }
    }
}

#[test]
fn pieces_are_read_as_one() {
    for cipher in MODES {
        let sealed = seal(cipher, 16, &[&[1; 64], &[2; 100], b"", &[3; 5]]);
        let expected = [&[1; 64][..], &[2; 100], &[3; 5]].concat();
        assert_eq!(open(&sealed, 16).unwrap(), expected);
    }
}

#[test]
fn contents_are_cut_into_blocks() {
    let data = vec![7u8; BLOCK + 3];
    let sealed = seal(Cipher::AesGcm, 16, &[&data]);
    assert_eq!(sealed.len(), data.len() + 2 * 48);
    assert_eq!(sealed[48 + BLOCK..][..4], Cipher::AesGcm.magic());
    assert_eq!(open(&sealed, 16).unwrap(), data);
}

#[test]
fn wrong_keys_are_refused() {
    let other = Decryption::new(Key::new(*b"0123456789ABCDEX").unwrap());
    let mut chained = 0;
    for _ in 0..20 {
        for cipher in MODES {
            let sealed = seal(cipher, 16, &[b"contents of a file"]);
            match other.decrypt(&sealed) {
                Err(CryptoFault::KeyOrDamage) => chained += usize::from(cipher != Cipher::AesGcm),
                // Padding fits by chance once in 256 times.
                Ok(contents) => assert!(cipher != Cipher::AesGcm && contents != "contents of a file"),
                Err(fault) => panic!("{fault}"),
            }
        }
    }
    assert!(chained > 30, "{chained}");
    let sealed = seal(Cipher::Sm4Cbc, 16, &[b"x"]);
    assert!(matches!(open(&sealed, 32), Err(CryptoFault::Key(KeyFault::CipherLength { found: 32, .. }))));
}

#[test]
fn damage_after_a_good_block_is_called_damage() {
    let mut sealed = seal(Cipher::AesGcm, 16, &[b"one", b"two"]);
    *sealed.last_mut().unwrap() ^= 1;
    assert!(matches!(open(&sealed, 16), Err(CryptoFault::Damaged { block: 1, offset: 51 })));
}

#[test]
fn every_flipped_bit_of_an_authenticated_block_is_noticed() {
    let sealed = seal(Cipher::AesGcm, 16, &[b"contents"]);
    for at in 0..sealed.len() * 8 {
        let mut damaged = sealed.clone();
        damaged[at / 8] ^= 1 << (at % 8);
        // The last four bytes of the vector are not part of the nonce.
        let ignored = (40..44).contains(&(at / 8));
        assert_eq!(open(&damaged, 16).is_ok(), ignored, "bit {at}");
    }
}

#[test]
fn truncation_anywhere_is_refused() {
    for cipher in MODES {
        let sealed = seal(cipher, 16, &[&[5; 40], &[6; 40]]);
        let cut = sealed.len() / 2;
        for len in (0..sealed.len()).filter(|len| *len != cut) {
            let fault = open(&sealed[..len], 16).unwrap_err();
            assert!(len < 4 || matches!(fault, CryptoFault::Truncated { .. }), "{cipher} {len}: {fault}");
        }
        assert_eq!(open(&sealed[..cut], 16).unwrap(), [5; 40][..]);
    }
}

#[test]
fn hostile_numbers_take_no_memory() {
    let sealed = seal(Cipher::AesCbc, 16, &[b"contents"]);
    for (at, value) in [(4, i32::MAX), (4, -1), (8, 12), (28, i32::MAX), (28, -16), (28, 0), (28, 17)] {
        let mut damaged = sealed.clone();
        damaged[at..at + 4].copy_from_slice(&value.to_le_bytes());
        let fault = open(&damaged, 16).unwrap_err();
        assert!(matches!(fault, CryptoFault::Header { block: 0, offset: 0, .. }), "{at} {value}: {fault}");
        if at == 28 {
            damaged[4..8].copy_from_slice(&value.wrapping_add(24).to_le_bytes());
            open(&damaged, 16).unwrap_err();
        }
    }
}

#[test]
fn a_nonce_of_16_bytes_is_read_too() {
    let (mut data, iv) = (b"written by MindSpore Lite".to_vec(), [9; UNIT]);
    let cipher = AesGcm::<Aes128, U16>::new_from_slice(b"0123456789ABCDEF").unwrap();
    let tag = cipher.encrypt_inout_detached(&iv.into(), &[], data.as_mut_slice().into()).unwrap();
    let sealed = [block::head(Cipher::AesGcm, Some(&tag.into()), &iv, data.len()), data].concat();
    assert_eq!(open(&sealed, 16).unwrap(), "written by MindSpore Lite");
}

#[test]
fn the_layout_of_2021_needs_its_mode() {
    let old = |cipher| {
        let mut sealed = seal(cipher, 16, &[b"contents of an old file"]);
        sealed[..4].copy_from_slice(&Cipher::AesGcm.magic());
        if cipher == Cipher::AesGcm {
            sealed.drain(4..20);
        }
        sealed
    };
    for cipher in [Cipher::AesGcm, Cipher::AesCbc] {
        let sealed = old(cipher);
        assert!(matches!(open(&sealed, 16), Err(CryptoFault::ModeNeeded)));
        let contents = Decryption::new(key(16)).with_mode(cipher).decrypt(&sealed).unwrap();
        assert_eq!(contents, "contents of an old file");
    }
    let wrong = Decryption::new(key(16)).with_mode(Cipher::Sm4Cbc).decrypt(&old(Cipher::AesCbc));
    assert!(matches!(wrong, Err(CryptoFault::Mode { .. })));
}

#[test]
fn plain_bytes_are_called_plain() {
    for plain in [&b""[..], b"\x0a\x031.1", b"\xd8\x5e\x3a"] {
        assert!(matches!(open(plain, 16), Err(CryptoFault::Plain)));
    }
}

#[test]
fn keys_have_a_length_and_are_not_printed() {
    for len in [0, 1, 15, 17, 31, 33, 1000] {
        assert!(matches!(Key::new(vec![b'k'; len]), Err(KeyFault::Length(found)) if found == len));
    }
    assert_eq!(format!("{:?}", Decryption::new(key(16))), "Decryption { key: Key(16 bytes), mode: None }");
}

#[test]
fn key_files_may_end_in_a_line_break() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("key");
    for (text, len) in [("k".repeat(16), 16), ("k".repeat(24) + "\n", 24), ("k".repeat(32) + "\r\n", 32)] {
        std::fs::write(&path, text).unwrap();
        assert_eq!(Key::from_file(&path).unwrap().bytes(), "k".repeat(len).as_bytes());
    }
    for text in ["k".repeat(17), "k".repeat(16) + "\n\n", "k".repeat(1000), String::new()] {
        std::fs::write(&path, text).unwrap();
        assert!(matches!(Key::from_file(&path), Err(KeyFault::Length(_))));
    }
    let missing = Key::from_file(folder.path().join("none")).unwrap_err();
    assert!(missing.to_string().contains("none"), "{missing}");
    assert!(Key::from_env("MINDIR_TEST_VARIABLE_THAT_IS_NOT_SET").is_err());
}
