//! Checkpoints as MindSpore and PyTorch write them, and files that pretend to be some.

mod common;

use std::fs;
use std::path::Path;

use bytes::Bytes;
use common::{data, field, number};
use mindir_graph::random::SplitMix;
use mindir_graph::{DType, Tensor};
use mindir_loader::ckpt::{
    Array, Checkpoint, CheckpointError, Format, ReadOptions, Value, WriteOptions, read, read_bytes, write,
};
use mindir_loader::crypto::{Decryption, Encryption, Key};
use mindir_loader::{Cipher, ElementType, ErrorKind};

fn sample(name: &str) -> Vec<u8> {
    fs::read(data(&format!("ckpt/{name}"))).unwrap()
}

fn load(bytes: impl Into<Bytes>) -> Result<Checkpoint, CheckpointError> {
    read_bytes("f", bytes, &ReadOptions::default())
}

fn load_checked(bytes: impl Into<Bytes>) -> Result<Checkpoint, CheckpointError> {
    read_bytes("f", bytes, &ReadOptions { verify_crc: true, ..ReadOptions::default() })
}

fn floats(checkpoint: &Checkpoint, name: &str) -> Vec<f64> {
    let array = checkpoint.get(name).and_then(Value::array).unwrap_or_else(|| panic!("no tensor {name}"));
    array.tensor().unwrap().to_f64s().unwrap()
}

/// One entry of each kind that every format holds.
fn everything() -> Checkpoint {
    let mut checkpoint = Checkpoint::new();
    for element in DType::ALL.into_iter().filter(|d| *d != DType::C128).map(ElementType::Of) {
        let bytes: Vec<u8> = (0..6 * element.size()).map(|i| (i % 2) as u8).collect();
        checkpoint.insert(format!("net.{element}"), Array::new(element, &[2, 3], bytes.into()).unwrap());
    }
    checkpoint.insert("scalar", 1.5f32);
    checkpoint.insert("empty", Tensor::from_vec::<i32>(&[0, 4], vec![]).unwrap());
    checkpoint
}

fn written(checkpoint: &Checkpoint, options: &WriteOptions) -> Vec<u8> {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("f");
    write(&path, checkpoint, options).unwrap();
    fs::read(path).unwrap()
}

fn as_format(format: Format) -> WriteOptions {
    WriteOptions { format: Some(format), ..WriteOptions::default() }
}

#[test]
fn values_of_mindspore_are_read() {
    let append = load(sample("append.ckpt")).unwrap();
    let names: Vec<&str> = append.names().collect();
    assert_eq!(names, ["weight", "bias", "epoch_num", "step_num", "lr", "flag", "s", "empty", "big", "t"]);
    assert_eq!(append.get("s"), Some(&"hello é 你好".into()));
    assert_eq!(append.get("empty"), Some(&"".into()));
    assert_eq!(append.get("epoch_num"), Some(&3i64.into()));
    assert_eq!(append.get("big"), Some(&(1i64 << 40).into()));
    assert_eq!(append.get("lr"), Some(&0.01f32.into()));
    assert_eq!(append.get("flag"), Some(&true.into()));
    assert_eq!(floats(&append, "t"), [1.5]);

    let dtypes = load(sample("dtypes.ckpt")).unwrap();
    assert_eq!(dtypes.len(), 14);
    for (name, value) in dtypes.iter().filter(|(name, _)| *name != "scalar0d") {
        assert_eq!(value.array().unwrap().dims(), [1, 3], "{name}");
        let expected = if name == "Bool" { [1.0, 1.0, 1.0] } else { [1.0, 2.0, 3.0] };
        assert_eq!(floats(&dtypes, name), expected, "{name}");
    }
    assert_eq!(dtypes.get("scalar0d"), Some(&1.5f32.into()));
    assert_eq!(load_checked(sample("dtypes_crc.ckpt")).unwrap(), dtypes);

    let same = load(sample("dtypes.safetensors")).unwrap();
    assert_eq!(same.len(), dtypes.len());
    dtypes.iter().for_each(|(name, value)| assert_eq!(same.get(name), Some(value), "{name}"));

    let odd = load(sample("odd.ckpt")).unwrap();
    assert_eq!(odd.iter().next().unwrap().1.array().unwrap().element(), ElementType::Of(DType::C64));
    assert!(load(sample("net-2_5.ckpt")).unwrap().get("global_step").is_some());
}

#[test]
fn slices_are_joined() {
    let [by_bytes, by_rows] = ["sliced_bytes.ckpt", "sliced_rows.ckpt"].map(|name| load(sample(name)).unwrap());
    let array = by_bytes.get("weight").unwrap().array().unwrap();
    assert!(array.parts().len() > 1);
    assert_eq!(by_bytes, by_rows);
    // The numbers stand after the header of the other file.
    let npy = sample("sliced_weight.npy");
    assert!(npy.ends_with(&array.bytes()) && !array.is_empty());
    assert_eq!(array.tensor().unwrap().bytes(), &array.bytes());
}

#[test]
fn mindspore_would_have_written_the_same() {
    for (name, crc) in
        [("dtypes.ckpt", false), ("dtypes_crc.ckpt", true), ("append.ckpt", false), ("net-2_5.ckpt", false)]
    {
        let bytes = sample(name);
        let again = written(&load(bytes.clone()).unwrap(), &WriteOptions { crc, ..WriteOptions::default() });
        assert!(again == bytes, "{name}");
    }
    let bytes = sample("dtypes.safetensors");
    assert!(written(&load(bytes.clone()).unwrap(), &as_format(Format::Safetensors)) == bytes);
}

#[test]
fn every_format_keeps_every_type() {
    for format in [Format::Ckpt, Format::Safetensors] {
        for crc in [false, true] {
            let bytes = written(&everything(), &WriteOptions { crc, ..as_format(format) });
            let again = if crc { load_checked(bytes) } else { load(bytes) }.unwrap();
            assert_eq!(again.len(), everything().len());
            everything().iter().for_each(|(name, value)| assert_eq!(again.get(name), Some(value), "{format}: {name}"));
        }
    }
    let mut rare = Checkpoint::new();
    for element in [ElementType::Qint4x2, ElementType::F8E4M3, ElementType::F8E5M2] {
        rare.insert(element.name(), Array::new(element, &[3], Bytes::from_static(&[1, 2, 3])).unwrap());
    }
    assert_eq!(load(written(&rare, &as_format(Format::Safetensors))).unwrap().len(), 3);
    for element in [ElementType::HiF8, ElementType::Of(DType::C128)] {
        let bytes = vec![7; element.size()];
        rare.insert(element.name(), Array::new(element, &[], bytes.into()).unwrap());
    }
    assert_eq!(load(written(&rare, &as_format(Format::Ckpt))).unwrap(), rare);
}

#[test]
fn int4_is_marked_in_safetensors() {
    let mut int4 = Checkpoint::new();
    int4.insert("w", Array::new(ElementType::Qint4x2, &[2], Bytes::from_static(&[1, 2])).unwrap());
    let bytes = written(&int4, &as_format(Format::Safetensors));
    assert!(String::from_utf8_lossy(&bytes).contains(r#""w":"Int4""#));
    assert_eq!(load(bytes).unwrap(), int4);
}

#[test]
fn what_a_format_cannot_hold_is_refused_and_the_old_file_stays() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("net.safetensors");
    write(&path, &everything(), &WriteOptions::default()).unwrap();
    let before = fs::read(&path).unwrap();
    let mut text = everything();
    text.insert("note", "a text");
    let mut float8 = everything();
    float8.insert("w", Array::new(ElementType::HiF8, &[1], Bytes::from_static(&[1])).unwrap());
    let named = |name: &str| [(name, 1i32)].into_iter().collect::<Checkpoint>();
    let (nameless, reserved) = (named(""), named("__metadata__"));
    let cases = [(&text, "note"), (&float8, "w"), (&Checkpoint::new(), "no entries"), (&nameless, "needs a name")];
    for (bad, name) in cases.into_iter().chain([(&reserved, "__metadata__")]) {
        let error = write(&path, bad, &WriteOptions::default()).unwrap_err();
        assert!(error.to_string().contains(name), "{error}");
    }
    assert!(write(folder.path().join("net.pth"), &everything(), &WriteOptions::default()).is_err());
    assert!(write(folder.path().join("net.ckpt"), &nameless, &WriteOptions::default()).is_err());
    for ending in ["ckpt", "safetensors", "npz"] {
        let path = folder.path().join("long").with_extension(ending);
        let long: Checkpoint = [("x".repeat(70_000), 1.0f32)].into_iter().collect();
        let refused = write(&path, &long, &WriteOptions::default());
        assert!(matches!(refused, Err(CheckpointError::Name { .. })), "{refused:?}");
        assert!(!path.exists());
        let longest: Checkpoint = [("x".repeat(65_000), 1.0f32)].into_iter().collect();
        write(&path, &longest, &WriteOptions::default()).unwrap();
        assert_eq!(read(&path, &ReadOptions::default()).unwrap(), longest);
        fs::remove_file(path).unwrap();
    }
    assert!(fs::read(&path).unwrap() == before);
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}

#[test]
fn checksums_are_checked_when_asked_for() {
    let bytes = sample("dtypes_crc.ckpt");
    for at in 0..bytes.len() {
        let mut bad = bytes.clone();
        bad[at] ^= 1;
        let error = load_checked(bad).unwrap_err();
        assert!(error.to_string().contains("checksum"), "byte {at}: {error}");
    }
    let error = load_checked(sample("dtypes.ckpt")).unwrap_err();
    assert_eq!((error.kind(), error.to_string().as_str()), (ErrorKind::Corrupt, "f: there is no checksum"));
    let mut bytes = written(&everything(), &WriteOptions { crc: true, ..as_format(Format::Safetensors) });
    *bytes.last_mut().unwrap() ^= 1;
    assert!(load_checked(bytes).unwrap_err().to_string().contains("checksum"));
}

#[test]
fn encrypted_files_need_their_key() {
    let key = || Key::new(*b"0123456789ABCDEF").unwrap();
    let with = |key| ReadOptions { decryption: Some(Decryption::new(key)), ..ReadOptions::default() };
    let wrong = || Key::new(*b"0123456789ABCDEX").unwrap();
    for (name, cipher) in
        [("aes_gcm.ckpt", Cipher::AesGcm), ("aes_cbc.ckpt", Cipher::AesCbc), ("sm4_cbc.ckpt", Cipher::Sm4Cbc)]
    {
        let bytes = sample(name);
        let found = read_bytes("f", bytes.clone(), &with(key())).unwrap();
        assert_eq!(found.names().collect::<Vec<_>>(), ["weight", "bias"], "{name}");
        assert_eq!(load(bytes.clone()).unwrap_err().kind(), ErrorKind::Encrypted, "{name}");
        assert_eq!(read_bytes("f", bytes, &with(wrong())).unwrap_err().kind(), ErrorKind::Encrypted, "{name}");
        let encryption = Some(Encryption::new(cipher, key()).unwrap());
        for format in [Format::Ckpt, Format::Safetensors] {
            let again =
                written(&found, &WriteOptions { encryption: encryption.clone(), crc: true, ..as_format(format) });
            assert_eq!(Cipher::of(&again), Some(cipher));
            let options = ReadOptions { verify_crc: true, ..with(key()) };
            assert_eq!(read_bytes("f", again, &options).unwrap().len(), 2);
        }
    }
    let mut bytes = sample("aes_gcm.ckpt");
    bytes[5] ^= 1;
    assert_eq!(read_bytes("f", bytes, &with(key())).unwrap_err().kind(), ErrorKind::Encrypted);
}

/// A file of the entries in these messages.
fn file(entries: &[Vec<u8>]) -> Vec<u8> {
    entries.iter().flat_map(|entry| field(1, entry)).collect()
}

/// An entry; dimensions are numbers of a file.
fn entry(tag: &str, dims: &[u64], kind: &str, content: &[u8]) -> Vec<u8> {
    let dims = dims.iter().flat_map(|dim| number(1, *dim));
    let tensor: Vec<u8> = dims.chain(field(2, kind.as_bytes())).chain(field(3, content)).collect();
    [field(1, tag.as_bytes()), field(2, &tensor)].concat()
}

#[test]
fn invalid_entries_are_named() {
    let f32s = |tag: &str, dims: &[u64], len: usize| entry(tag, dims, "Float32", &vec![0; len]);
    let good = f32s("a", &[2], 8);
    let rank = vec![1; 33];
    let cases: Vec<(Vec<Vec<u8>>, &str)> = vec![
        (
            vec![good.clone(), f32s("b", &[2], 7)],
            "entry b, at byte 28: 7 bytes of contents where 2 elements of float32 need 8",
        ),
        (vec![f32s("b", &[2], 9)], "entry b, at byte 0: 9 bytes"),
        (vec![f32s("b", &[], 0)], "entry b, at byte 0: 0 bytes"),
        (vec![f32s("b", &[4], 8), f32s("b", &[4], 4)], "12 bytes of contents where 4 elements"),
        (
            vec![f32s("b", &[4], 8), f32s("b", &[2, 2], 8)],
            "at byte 28: the entry continues the one before, which has another shape",
        ),
        (vec![f32s("b", &[2], 8), entry("b", &[2], "Int32", &[0; 8])], "has another element type"),
        (vec![good.clone(), f32s("b", &[], 4), good.clone()], "entry a, at byte 50: another entry has this name"),
        (vec![good.clone(), good.clone()], "16 bytes"),
        (vec![entry("a", &[0], "str", &[0; 4]), entry("a", &[0], "str", &[0; 4])], "another entry has this name"),
        (vec![entry("", &[], "Float32", &[0; 4])], "the entry has no name"),
        (vec![field(2, &[])], "the entry has no name"),
        (vec![field(1, b"a")], "entry a, at byte 0: the entry has no tensor"),
        (vec![[field(1, b"a"), field(3, &[])].concat()], "hash tables are not supported"),
        (vec![entry("a", &[], "Float33", &[0; 4])], "unknown element type Float33"),
        (vec![entry("a", &[], "", &[0; 4])], "unknown element type"),
        (vec![entry("a", &[0], "str", &[0; 5])], "the text has a fraction of a character"),
        (vec![entry("a", &[0], "str", &[0, 0xd8, 0, 0])], "the text has a number that is no character"),
        (vec![f32s("a", &[u64::MAX], 4)], "dimension 0 is -1"),
        (vec![f32s("a", &[1 << 40, 1 << 40], 4)], "overflow"),
        (vec![f32s("a", &[1 << 62, 4, 0], 0)], "overflow"),
        (vec![f32s("a", &[0], 8)], "8 bytes"),
        (vec![f32s("a", &rank, 4)], "33 dimensions where the limit is 32"),
    ];
    for (entries, expected) in cases {
        let error = load(file(&entries)).expect_err(expected).to_string();
        assert!(error.contains(expected), "{error:?} is not {expected:?}");
    }
    let scalar = load(file(&[f32s("a", &[0], 4)])).unwrap();
    assert_eq!(scalar.get("a"), Some(&0f32.into()));
    assert!(load(file(&[f32s("a", &[0], 0)])).unwrap().get("a").unwrap().array().unwrap().is_empty());
    let truths = load(file(&[entry("a", &[2], "Bool", &[1, 2])])).unwrap();
    let fault = truths.get("a").unwrap().array().unwrap().tensor().unwrap_err();
    assert_eq!(fault.to_string(), "truth value 1 is 2, neither 0 nor 1");
}

#[test]
fn odd_names_are_escaped_and_texts_checked() {
    let bad = entry("w\n\u{202e}", &[2], "Float32", &[0; 4]);
    let error = load(file(&[bad])).unwrap_err().to_string();
    assert!(error.contains("entry w\\n\\u{202e}, at"), "{error}");
    let not_utf8 = [field(1, &[0xff]), field(2, &[])].concat();
    assert!(load(file(&[not_utf8])).unwrap_err().to_string().contains("UTF-8"));
}

#[test]
fn other_files_are_told_apart() {
    let lfs = b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 1\n";
    let cases: [(&[u8], &str); 9] = [
        (b"", "an empty file"),
        (&[0; 64], "zero bytes"),
        (lfs, "a git-lfs pointer"),
        (b"\x1f\x8b\x08\0\0\0", "a gzip archive"),
        (b"PK\x03\x04\0\0\0\0\0\0", "a zip archive"),
        (b"\x80\x02}q\0.", "a Python pickle"),
        (b"<!DOCTYPE html><html>", "an HTML"),
        (b"\x0a\x031.1\x12\x09MindSpore\x2a\x062.10.0\x3a\x02\x12\x00", "a MindIR model"),
        (b"once upon a time", "plain text"),
    ];
    for (bytes, expected) in cases {
        let error = load(bytes.to_vec()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Foreign, "{error}");
        assert!(error.to_string().contains(expected), "{error}");
    }
    let model = fs::read(data("cf_while.mindir")).unwrap();
    assert!(load(model).unwrap_err().to_string().contains("a MindIR model"));
    assert_eq!(read("/nowhere/f.ckpt", &ReadOptions::default()).unwrap_err().kind(), ErrorKind::NotFound);
    assert!(read(Path::new("/"), &ReadOptions::default()).is_err());
}

#[test]
fn damaged_headers_of_safetensors_are_refused() {
    let file =
        |header: &str, len: usize| [&(header.len() as u64).to_le_bytes(), header.as_bytes(), &vec![0; len]].concat();
    let tensor = |name: &str, from: u64, to: u64| {
        format!(r#""{name}":{{"dtype":"U8","shape":[{}],"data_offsets":[{from},{to}]}}"#, to - from)
    };
    let (a, b) = (tensor("a", 0, 2), tensor("b", 2, 4));
    assert_eq!(load(file(&format!("{{{a},{b}}}"), 4)).unwrap().len(), 2);
    let cases = [
        (file(&format!("{{{a},{b}}}"), 3), "do not end where"),
        (file(&format!("{{{a},{b}}}"), 5), "do not end where"),
        (file(&format!("{{{a},{}}}", tensor("b", 3, 4)), 4), "leave bytes"),
        (file(&format!("{{{a},{}}}", tensor("b", 1, 4)), 4), "overlap"),
        (file(&format!("{{{a},{}}}", tensor("a", 2, 4)), 4), "another entry has this name"),
        (file(r#"{"a":{"dtype":"U8","shape":[3],"data_offsets":[0,2]}}"#, 2), "entry a"),
        (file(r#"{"a":{"dtype":"U8","shape":[2],"data_offsets":[2,0]}}"#, 2), "overlap"),
        (file(r#"{"a":{"dtype":"U7","shape":[2],"data_offsets":[0,2]}}"#, 2), "unknown element type U7"),
        (file(r#"{"a":{"dtype":"U8","shape":[18446744073709551615,8],"data_offsets":[0,2]}}"#, 2), "overflow"),
        (file(r#"{"a":{"dtype":"U8","shape":[-1],"data_offsets":[0,2]}}"#, 2), "the header"),
        (file(r#"{"a":1}"#, 0), "the header"),
        (file(&format!(r#"{{"__metadata__":{{}},"__metadata__":{{}},{a}}}"#), 2), "metadata is given twice"),
        ([&90u64.to_le_bytes()[..], b"{\"a\""].concat(), "is cut"),
        (file(&format!("{{\"a\":{}", "[".repeat(5000)), 0), "the header"),
    ];
    for (bytes, expected) in cases {
        let error = load(bytes).expect_err(expected).to_string();
        assert!(error.contains(expected), "{error:?} is not {expected:?}");
    }
}

/// An index names files beside it; whatever else it names is refused.
#[test]
fn an_index_joins_its_files() {
    let folder = tempfile::tempdir().unwrap();
    let at = |name: &str| folder.path().join(name);
    for (name, value) in [("a", 1.0f32), ("b", 2.0)] {
        let part: Checkpoint = [(format!("net.{name}"), value)].into_iter().collect();
        write(at(&format!("{name}.safetensors")), &part, &as_format(Format::Safetensors)).unwrap();
    }
    let index = at("model.safetensors.index.json");
    let read_index = |map: &str| {
        fs::write(&index, format!("{{\"metadata\": {{\"total_size\": 8}}, \"weight_map\": {map}}}\n")).unwrap();
        read(&index, &ReadOptions::default())
    };
    let found = read_index(r#"{"net.a": "a.safetensors", "net.b": "b.safetensors"}"#).unwrap();
    assert_eq!(found.names().collect::<Vec<_>>(), ["net.a", "net.b"]);
    for (map, why) in [
        (r#"{"net.a": "b.safetensors"}"#, "no file holds tensor net.a"),
        (r#"{"net.a": "../a.safetensors"}"#, "expected files beside the index"),
        (r#"{"net.a": "/a.safetensors"}"#, "expected files beside the index"),
        (r#"{"net.a": ".."}"#, "expected files beside the index"),
        (r#"{"net.a": "model.safetensors.index.json"}"#, "JSON text"),
        ("{}", "names no files"),
        ("[]", "the index"),
    ] {
        let error = read_index(map).expect_err(why).to_string();
        assert!(error.contains(why), "{error:?} is not {why:?}");
    }
}

/// Files of every format, changed at random: whatever happens, nothing panics.
#[test]
fn damaged_files_do_no_harm() {
    let files = [
        sample("append.ckpt"),
        sample("sliced_rows.ckpt"),
        sample("dtypes.safetensors"),
        #[cfg(feature = "npy")]
        written(&everything(), &as_format(Format::Npz)),
        #[cfg(feature = "torch")]
        sample("net.pth"),
        #[cfg(feature = "torch")]
        sample("legacy.pth"),
    ];
    let mut bits = SplitMix(1);
    let mut random = |below: usize| bits.below(below as u64) as usize;
    let use_all = |bytes: Vec<u8>| {
        if let Ok(found) = load(bytes) {
            found.iter().for_each(|(_, value)| drop(value.array().map(Array::tensor)));
        }
    };
    for bytes in files {
        (0..bytes.len()).step_by(1 + bytes.len() / 1000).for_each(|len| use_all(bytes[..len].to_vec()));
        for _ in 0..2000 {
            let mut bad = bytes.clone();
            for _ in 0..=random(3) {
                let at = random(bad.len());
                bad[at] = match random(3) {
                    0 => bad[at] ^ 1 << random(8),
                    1 => 0xff,
                    _ => random(256) as u8,
                };
            }
            use_all(bad);
        }
    }
}

#[test]
fn cut_files_are_refused() {
    let bytes = sample("append.ckpt");
    let whole = load(bytes.clone()).unwrap();
    let mut prefixes = 0;
    for len in 1..bytes.len() {
        match load(bytes[..len].to_vec()) {
            // Between two entries nothing tells that some are missing, but for the checksum.
            Ok(part) => {
                assert!(part.iter().zip(whole.iter()).all(|(a, b)| a == b));
                prefixes += 1;
            }
            Err(error) => assert!(matches!(error.kind(), ErrorKind::Corrupt | ErrorKind::Foreign), "{len}: {error}"),
        }
    }
    assert_eq!(prefixes, whole.len() - 1);
}

#[cfg(feature = "npy")]
#[test]
fn arrays_of_numpy_survive() {
    let mut checkpoint = everything();
    checkpoint.insert("note", "hé 🦀");
    let again = load(written(&checkpoint, &as_format(Format::Npz))).unwrap();
    assert_eq!(again.names().collect::<Vec<_>>(), checkpoint.names().collect::<Vec<_>>());
    for (name, value) in checkpoint.iter() {
        match value.array().map(Array::element) {
            Some(ElementType::Of(DType::BF16)) => {
                let (wide, narrow) = (floats(&again, name), floats(&checkpoint, name));
                assert_eq!(
                    (wide, again.get(name).unwrap().array().unwrap().element()),
                    (narrow, ElementType::Of(DType::F32))
                );
            }
            _ => assert_eq!(again.get(name), Some(value), "{name}"),
        }
    }
}

#[cfg(feature = "torch")]
mod torch {
    use std::io::{Cursor, Write as _};

    use super::*;

    /// An archive as `torch.save` makes it.
    fn archive(pickle: &[u8], storages: &[(&str, &[u8])]) -> Vec<u8> {
        let mut zip = zip::ZipWriter::new(Cursor::new(Vec::new()));
        let stored = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
        let files = storages.iter().map(|(key, bytes)| (format!("a/data/{key}"), *bytes));
        for (name, bytes) in std::iter::once(("a/data.pkl".to_string(), pickle)).chain(files) {
            zip.start_file(name, stored).unwrap();
            zip.write_all(bytes).unwrap();
        }
        zip.finish().unwrap().into_inner()
    }

    /// `{"w": tensor}` of a storage with `len` numbers.
    fn tensor(kind: &str, len: u8, offset: u8, shape: &[u8], strides: &[u8]) -> Vec<u8> {
        let text = |text: &str| [b"X", &(text.len() as u32).to_le_bytes()[..], text.as_bytes()].concat();
        let tuple =
            |items: &[u8]| [b"(".to_vec(), items.iter().flat_map(|i| [b'K', *i]).collect(), b"t".to_vec()].concat();
        let storage = [
            b"(".to_vec(),
            text("storage"),
            format!("ctorch\n{kind}\n").into(),
            text("0"),
            text("cpu"),
            vec![b'K', len],
            b"tQ".to_vec(),
        ]
        .concat();
        let arguments = [storage, vec![b'K', offset], tuple(shape), tuple(strides), vec![0x89]].concat();
        let call = [b"ctorch._utils\n_rebuild_tensor_v2\n(".to_vec(), arguments, b"tR".to_vec()].concat();
        [b"\x80\x02}(".to_vec(), text("w"), call, b"u.".to_vec()].concat()
    }

    #[test]
    fn checkpoints_of_pytorch_are_read() {
        let found = load(sample("net.pth")).unwrap();
        let names = [
            "state_dict.fc.weight",
            "state_dict.fc.weight_t",
            "state_dict.fc.tail",
            "state_dict.bn.num_batches_tracked",
            "state_dict.bn.weight",
            "state_dict.bn.running_mean",
            "epoch",
            "best",
            "arch",
            "lrs.0",
            "lrs.1",
            "lrs.2",
            "lrs.3",
        ];
        assert_eq!(found.names().collect::<Vec<_>>(), names);
        let weight = found.get(names[0]).unwrap().array().unwrap();
        assert_eq!((weight.dims(), weight.element()), (&[2, 3][..], ElementType::Of(DType::F32)));
        assert_eq!(floats(&found, names[0]), [0.0, 1.0, 2.0, 3.0, 4.0, 5.0]);
        assert_eq!(floats(&found, names[1]), [0.0, 3.0, 1.0, 4.0, 2.0, 5.0]);
        assert_eq!(floats(&found, names[2]), [4.0, 5.0]);
        assert_eq!(found.get(names[3]), Some(&7i64.into()));
        assert_eq!(floats(&found, names[4]), [1.0, 2.0]);
        assert_eq!(floats(&found, names[5]), [3.0, 4.0]);
        assert_eq!(found.get("epoch"), Some(&12i64.into()));
        assert_eq!(found.get("best"), Some(&0.5f64.into()));
        assert_eq!(found.get("arch"), Some(&"net".into()));
        assert_eq!(
            ["lrs.0", "lrs.1", "lrs.2", "lrs.3"].map(|name| floats(&found, name)[0]),
            [1.0, 300.0, 70000.0, -5.0]
        );
    }

    #[test]
    fn checkpoints_of_old_pytorch_are_read() {
        let found = load(sample("legacy.pth")).unwrap();
        assert_eq!(found.get("epoch"), Some(&3i64.into()));
        assert_eq!(found.get("arch"), Some(&"net".into()));
        assert_eq!(floats(&found, "state_dict.fc.weight"), [1.0, 2.0, 3.0, 4.0, 5.0, 6.0]);
        assert_eq!(floats(&found, "state_dict.fc.turned"), [1.0, 4.0, 2.0, 5.0, 3.0, 6.0]);
        assert_eq!(floats(&found, "state_dict.fc.last"), [5.0, 6.0]);
        assert_eq!(found.get("state_dict.bn.num_batches_tracked"), Some(&7i64.into()));
        assert_eq!(floats(&found, "state_dict.scale"), [0.5, -1.5]);
        assert_eq!(found.len(), 7);
    }

    #[test]
    fn old_files_that_are_cut_or_big_endian_are_refused() {
        let good = sample("legacy.pth");
        let fails = |bytes: Vec<u8>, why: &str| {
            let error = load(bytes).expect_err(why).to_string();
            assert!(error.contains(why), "{error:?} is not {why:?}");
        };
        fails(good[..good.len() - 1].to_vec(), "storage 95003 is cut");
        let at = good.windows(13).position(|part| part == b"little_endian").unwrap() + 13 + 2;
        let mut big = good.clone();
        big[at] = 0x89;
        fails(big, "the numbers are not little-endian");
        let mut version = good.clone();
        version[18] = 0;
        fails(version, "expected version 1001");
        let count = good.len() - 4 - 8;
        let mut huge = good;
        huge[count..count + 8].fill(0xff);
        fails(huge, "storage 95003 is cut");
    }

    #[test]
    fn archives_have_one_file_of_a_name() {
        let pickle = tensor("FloatStorage", 2, 0, &[2], &[1]);
        let mut bytes = archive(&pickle, &[("0", &[0; 8]), ("1", &[1; 8])]);
        for at in 0..bytes.len() - 8 {
            if &bytes[at..at + 8] == b"a/data/1" {
                bytes[at + 7] = b'0';
            }
        }
        let error = load(bytes).unwrap_err().to_string();
        assert!(error.contains("several files of one name"), "{error}");
    }

    #[test]
    fn views_stay_inside_of_their_storage() {
        let numbers: Vec<u8> = (0..6).flat_map(|x| (x as f32).to_le_bytes()).collect();
        let load = |offset, shape: &[u8], strides: &[u8]| {
            load(archive(&tensor("FloatStorage", 6, offset, shape, strides), &[("0", &numbers)]))
        };
        assert_eq!(floats(&load(1, &[2, 2], &[2, 1]).unwrap(), "w"), [1.0, 2.0, 3.0, 4.0]);
        assert_eq!(floats(&load(0, &[2, 3], &[0, 2]).unwrap(), "w"), [0.0, 2.0, 4.0, 0.0, 2.0, 4.0]);
        assert_eq!(floats(&load(5, &[], &[]).unwrap(), "w"), [5.0]);
        assert!(load(200, &[0, 3], &[3, 1]).unwrap().get("w").unwrap().array().unwrap().is_empty());
        for (offset, shape, strides) in [
            (5, &[2][..], &[1][..]),
            (0, &[7], &[1]),
            (0, &[2, 2], &[5, 1]),
            (6, &[], &[]),
            (0, &[2], &[]),
            (0, &[], &[1]),
        ] {
            let error = load(offset, shape, strides).unwrap_err();
            assert!(error.to_string().contains("entry w"), "{error}");
        }
        // A storage with fewer bytes than it says, and one that is not there.
        let short = super::load(archive(&tensor("FloatStorage", 7, 0, &[1], &[1]), &[("0", &numbers)]));
        assert!(short.unwrap_err().to_string().contains("24 bytes"));
        let absent = super::load(archive(&tensor("FloatStorage", 6, 0, &[1], &[1]), &[]));
        assert!(absent.unwrap_err().to_string().contains("no storage 0"));
    }

    #[test]
    fn repeated_elements_do_not_fill_the_memory() {
        let shape = [255; 5];
        let bomb = archive(&tensor("FloatStorage", 1, 0, &shape, &[0; 5]), &[("0", &[0; 4])]);
        let error = load(bomb).unwrap_err();
        assert!(error.to_string().contains("not enough memory"), "{error}");
    }

    #[test]
    fn nothing_is_executed() {
        let cases: [(&[u8], &str); 14] = [
            (b"cposix\nsystem\n(X\x04\0\0\0truetR.", "posix.system is not allowed"),
            (b"\x80\x04\x8c\x08builtins\x8c\x04eval\x93.", "builtins.eval is not allowed"),
            (b"ctorch\nload\n.", "torch.load is not allowed"),
            (b"(iposix\nsystem\n.", "instruction 0x69 is not allowed"),
            (b"\x82\x01.", "instruction 0x82 is not allowed"),
            (b"ccollections\nOrderedDict\n)\x81.", "instruction 0x81 is not allowed"),
            (b"}K\x01K\x02.", "holds one value without a name"),
            (b"K\x01b.", "nothing to work on"),
            (b"K\x01K\x02b.", "wrong kind"),
            (b".", "nothing to work on"),
            (b"}(K\x01u.", "nothing to work on"),
            (b"h\x07.", "used before it is made"),
            (b"X\xff\xff\xff\xffab", "ends too early"),
            (b"K\x01)R.", "wrong kind"),
        ];
        for (pickle, expected) in cases {
            let error = load(archive(pickle, &[])).expect_err(expected).to_string();
            assert!(error.contains(expected), "{error:?} is not {expected:?}");
        }
    }

    #[test]
    fn bombs_are_bounded() {
        // Lists that hold the one before twice, 40 deep, and a list that holds itself.
        let mut laughs = b"]q\0".to_vec();
        laughs.extend((0..40u8).flat_map(|i| [b']', b'(', b'h', i, b'h', i, b'e', b'q', i + 1]));
        laughs.push(b'.');
        let endless = b"]q\0h\0a.".to_vec();
        let many = [vec![b'N'; 1 << 20], b".".to_vec()].concat();
        for (pickle, expected) in
            [(laughs, "too many values"), (endless, "nested more than"), (many, "too much memory")]
        {
            let error = load(archive(&pickle, &[])).expect_err(expected).to_string();
            assert!(error.contains(expected), "{error:?} is not {expected:?}");
        }
    }
}
