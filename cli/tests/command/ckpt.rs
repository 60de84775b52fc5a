//! `mindir ckpt`.

use std::fs;
use std::path::Path;

use mindir::{DType, Tensor, npy};

use super::mindir;

/// A checkpoint of the loader's tests, as MindSpore or PyTorch wrote it.
fn sample(name: &str) -> String {
    format!("{}/../loader/tests/data/ckpt/{name}", env!("CARGO_MANIFEST_DIR"))
}

/// A copy in a folder of its own.
fn copied(name: &str) -> (tempfile::TempDir, String) {
    let dir = tempfile::tempdir().unwrap();
    let path = at(&dir, name);
    fs::copy(sample(name), &path).unwrap();
    (dir, path)
}

fn at(dir: &tempfile::TempDir, name: &str) -> String {
    dir.path().join(name).to_str().unwrap().to_string()
}

fn names(path: &str) -> Vec<String> {
    let listing = mindir(["ckpt", "ls", path, "--json"]).with(0).json();
    listing["entries"].as_array().unwrap().iter().map(|e| e["name"].as_str().unwrap().to_string()).collect()
}

#[test]
fn entries_are_listed_and_shown() {
    let file = &sample("append.ckpt");
    mindir(["ckpt", "ls", file]).with(0).says(&["weight", "f32", "[2, 2]", "epoch_num", "10 entries", "ckpt"]);
    mindir(["ckpt", "ls", file, "*_num"]).with(0).says(&["epoch_num", "step_num", "2 entries"]);
    let listing = mindir(["ckpt", "ls", &sample("dtypes_crc.ckpt"), "--json"]).with(0).json();
    assert_eq!((&listing["format"], &listing["has_crc"]), (&"ckpt".into(), &true.into()));
    mindir(["ckpt", "show", file, "weight", "s"]).with(0).says(&["min ", "mean ", "hello é 你好"]);
    let shown = mindir(["ckpt", "show", file, "*_num", "--json"]).with(0).json();
    assert_eq!(shown[1]["value"], "120");
    mindir(["ckpt", "show", file, "num"]).with(2).complains(&["no entry is called num", "epoch_num"]);
}

#[test]
fn values_are_taken_out_and_put_in() {
    let (dir, file) = copied("append.ckpt");
    assert_eq!(mindir(["ckpt", "get", &file, "step_num"]).with(0).stdout, "120\n");
    assert_eq!(mindir(["ckpt", "get", &file, "s"]).with(0).stdout, "hello é 你好\n");
    mindir(["ckpt", "get", &file, "weight"]).with(2).complains(&["-o FILE.npy"]);
    let npy = at(&dir, "w.npy");
    mindir(["ckpt", "get", &file, "weight", "-o", &npy]).with(0);
    mindir(["ckpt", "set", &file, "copy", &format!("@{npy}")]).with(0).says(&["added copy", "11 entries"]);
    mindir(["ckpt", "set", &file, "step_num", "-5"]).with(0).says(&["set step_num"]);
    mindir(["ckpt", "set", &file, "lr", "2"]).with(0);
    let before = fs::metadata(&file).unwrap().modified().unwrap();
    assert_eq!(mindir(["ckpt", "set", &file, "lr", "2"]).with(0).stdout, "unchanged lr\n");
    assert_eq!(fs::metadata(&file).unwrap().modified().unwrap(), before);
    mindir(["ckpt", "set", &file, "lr", "2", "--force"]).with(0).says(&["set lr", "wrote"]);
    mindir(["ckpt", "set", &file, "lr", "2", "-o", &at(&dir, "copy.ckpt")]).with(0).says(&["set lr", "wrote"]);
    fs::remove_file(at(&dir, "copy.ckpt")).unwrap();
    mindir(["ckpt", "set", &file, "note", "12", "--text"]).with(0);
    mindir(["ckpt", "set", &file, "half", "0.5", "--dtype", "f16"]).with(0);
    let shown = mindir(["ckpt", "show", &file, "copy", "weight", "step_num", "lr", "note", "half", "--json"]).json();
    assert_eq!(shown[0]["numbers"], shown[1]["numbers"]);
    let of = |i: usize| (shown[i]["dtype"].as_str().unwrap(), shown[i]["value"].as_str().unwrap());
    assert_eq!([of(2), of(3), of(4), of(5)], [("i64", "-5"), ("f32", "2"), ("text", "12"), ("f16", "0.5")]);
    mindir(["ckpt", "set", &file, "x", "ten"]).with(2).complains(&["ten is no number", "--text"]);
    mindir(["ckpt", "set", &file, "step_num", "1.5"]).with(2).complains(&["1.5 is no i64"]);
    assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 2);
}

#[test]
fn entries_are_removed_renamed_and_filtered() {
    let (dir, file) = copied("append.ckpt");
    mindir(["ckpt", "rm", &file, "s", "e*"]).with(0).says(&["removed s", "removed epoch_num", "removed empty"]);
    assert_eq!(names(&file), ["weight", "bias", "step_num", "lr", "flag", "big", "t"]);
    mindir(["ckpt", "rm", &file, "nothing"]).with(2).complains(&["nothing"]);
    mindir(["ckpt", "rename", &file, "weight", "fc.weight"]).with(0).says(&["- weight", "+ fc.weight"]);
    mindir(["ckpt", "rename", &file, "bias", "lr"]).with(2).complains(&["two entries would be called lr"]);
    let rules = at(&dir, "rules");
    fs::write(&rules, "fc.* = head.*\nflag =\n").unwrap();
    mindir(["ckpt", "rename", &file, "--names", &rules]).with(0).says(&["+ head.weight", "- flag"]);
    assert_eq!(names(&file), ["head.weight", "bias", "step_num", "lr", "big", "t"]);
    let out = at(&dir, "out.ckpt");
    mindir(["ckpt", "filter", &file, "--keep", "*i*", "--drop", "big", "-o", &out]).with(0);
    assert_eq!(names(&out), ["head.weight", "bias"]);
    assert_eq!(names(&file).len(), 6);
    mindir(["ckpt", "filter", &file, "--keep", "z*"]).with(2).complains(&["no entry would be left"]);
    fs::write(&rules, "a b\n").unwrap();
    mindir(["ckpt", "rename", &file, "--names", &rules]).with(2).complains(&["line 1"]);
}

#[test]
fn dry_runs_write_nothing() {
    let (dir, file) = copied("append.ckpt");
    let before = fs::read(&file).unwrap();
    let out = at(&dir, "out.npz");
    mindir(["ckpt", "rm", &file, "s", "--dry-run"]).with(0).says(&["removed s", "would write"]);
    mindir(["ckpt", "convert", &file, &out, "--dry-run"]).with(0).says(&["would write"]);
    assert!(fs::read(&file).unwrap() == before && !Path::new(&out).exists());
}

#[test]
fn checkpoints_are_merged_and_compared() {
    let (dir, file) = copied("append.ckpt");
    let (other, out) = (at(&dir, "b.ckpt"), at(&dir, "out.ckpt"));
    mindir(["ckpt", "diff", &file, &sample("append.ckpt")]).with(0).says(&["= 10 equal"]);
    mindir(["ckpt", "filter", &file, "--keep", "weight", "-o", &other]).with(0);
    mindir(["ckpt", "set", &other, "extra", "1"]).with(0);
    mindir(["ckpt", "merge", &file, &other, "-o", &out]).with(2).complains(&["weight", "--same"]);
    mindir(["ckpt", "merge", &file, &other, "-o", &out, "--same", "first"]).with(0).says(&["11 entries"]);
    mindir(["ckpt", "set", &out, "lr", "0.010001"]).with(0);
    mindir(["ckpt", "set", &out, "step_num", "1", "--dtype", "i32"]).with(0);
    mindir(["ckpt", "set", &out, "s", "bye", "--text"]).with(0);
    let said =
        ["~ lr  f32 []  1 of 1 differ", "~ step_num  i64 [] → i32 []", "→ \"bye\"", "+ extra  only in b", "= 7 equal"];
    mindir(["ckpt", "diff", &file, &out]).with(1).says(&said);
    let report = mindir(["ckpt", "diff", &out, &file, "--atol", "1e-3", "--json"]).with(1).json();
    assert_eq!((&report["equal"], &report["only_in_a"][0]), (&8.into(), &"extra".into()));
    mindir(["ckpt", "rm", &out, "extra", "s", "step_num"]).with(0);
    mindir(["ckpt", "rm", &file, "s", "step_num"]).with(0);
    mindir(["ckpt", "diff", &file, &out, "--tolerance", "1e-3"]).with(0);
}

#[test]
fn checkpoints_of_devices_are_joined() {
    let (dir, file) = copied("append.ckpt");
    let out = at(&dir, "out.ckpt");
    let join = |concat: &str| mindir(["ckpt", "merge", &file, &sample("append.ckpt"), "-o", &out, "--concat", concat]);
    join("w*=1").with(0).says(&["10 entries"]);
    mindir(["ckpt", "ls", &out]).with(0).says(&["[2, 4]"]);
    join("w*=2").with(2).complains(&["entry weight", "axis 2"]);
    join("w*").with(2);
    mindir(["ckpt", "set", &file, "lr", "3"]).with(0);
    join("w*=1").with(2).complains(&["entry lr", "another value"]);
}

#[test]
fn files_are_verified() {
    mindir(["ckpt", "verify", &sample("dtypes_crc.ckpt")]).with(0).says(&["14 entries", "the checksum is right"]);
    mindir(["ckpt", "verify", &sample("dtypes.ckpt")]).with(0).says(&["there is no checksum"]);
    mindir(["ckpt", "verify", &sample("dtypes.ckpt"), "--crc"]).with(4).complains(&["there is no checksum"]);
    let (_dir, file) = copied("dtypes_crc.ckpt");
    let mut bytes = fs::read(&file).unwrap();
    // The last byte before the checksum.
    let at = bytes.len() - 18;
    bytes[at] ^= 1;
    fs::write(&file, &bytes).unwrap();
    mindir(["ckpt", "verify", &file]).with(4).complains(&["checksum"]);
    fs::write(&file, &bytes[..100]).unwrap();
    mindir(["ckpt", "verify", &file]).with(4).complains(&["truncated at byte"]);
    mindir(["ckpt", "ls", "/nowhere/x.ckpt"]).with(5).complains(&["x.ckpt"]);
    mindir(["ckpt", "ls", &sample("../cf_while.mindir")]).with(4).complains(&["a MindIR model"]);
}

#[test]
fn formats_are_converted() {
    let (dir, file) = copied("dtypes.ckpt");
    for ending in ["safetensors", "npz", "ckpt"] {
        let out = at(&dir, &format!("out.{ending}"));
        mindir(["ckpt", "convert", &file, &out]).with(0).says(&["wrote", "14 entries"]);
        let expected = if ending == "npz" { 1 } else { 0 };
        // NumPy has no bf16.
        let diff = mindir(["ckpt", "diff", &file, &out]).with(expected);
        assert_eq!(expected == 1, diff.stdout.contains("~ BFloat16  bf16 [1, 3] → f32 [1, 3]"));
    }
    let out = at(&dir, "text.safetensors");
    mindir(["ckpt", "convert", &sample("append.ckpt"), &out]).with(3).complains(&["entry s: a text"]);
    assert!(!Path::new(&out).exists());
}

#[test]
fn encryption_and_checksums_stay_when_a_file_is_replaced() {
    let (dir, file) = copied("aes_gcm.ckpt");
    let key = at(&dir, "key");
    fs::write(&key, "0123456789ABCDEF\n").unwrap();
    mindir(["ckpt", "ls", &file]).with(3).complains(&["encrypted with AES-GCM"]);
    mindir(["ckpt", "rm", &file, "bias", "--key-file", &key]).with(0);
    mindir(["ckpt", "ls", &file]).with(3);
    mindir(["ckpt", "ls", &file, "--key-file", &key]).with(0).says(&["weight", "encrypted with AES-GCM"]);
    let out = at(&dir, "out.ckpt");
    mindir(["ckpt", "convert", &sample("append.ckpt"), &out, "--encrypt", "sm4-cbc"])
        .with(2)
        .complains(&["--key-file"]);
    let args = ["ckpt", "convert", &file, &out, "--encrypt", "sm4-cbc", "--crc", "--key-file", &key];
    mindir(args).with(0);
    mindir(["ckpt", "verify", &out, "--key-file", &key]).with(0).says(&["the checksum is right"]);
    fs::write(&key, "0123456789ABCDE").unwrap();
    mindir(["ckpt", "ls", &file, "--key-file", &key]).with(2).complains(&["16, 24 or 32"]);
    let (_dir, crc) = copied("dtypes_crc.ckpt");
    mindir(["ckpt", "rm", &crc, "Bool"]).with(0);
    mindir(["ckpt", "verify", &crc, "--crc"]).with(0);
}

#[test]
fn pytorch_files_become_checkpoints() {
    let dir = tempfile::tempdir().unwrap();
    let (out, rules) = (at(&dir, "net.ckpt"), at(&dir, "rules"));
    fs::write(&rules, "*_t =\nfc.tail = tail\n").unwrap();
    let args = ["ckpt", "from-torch", &sample("net.pth"), &out, "--root", "state_dict", "--names", &rules];
    mindir(args).with(0).says(&["+ bn.gamma", "+ tail", "wrote"]);
    assert_eq!(names(&out), ["fc.weight", "tail", "bn.gamma", "bn.moving_mean"]);
    mindir(["ckpt", "from-torch", &sample("net.pth"), &out]).with(0);
    assert_eq!(names(&out).len(), 12);
    mindir(["ckpt", "from-torch", &sample("legacy.pth"), &out, "--root", "state_dict"]).with(0);
    assert_eq!(names(&out), ["fc.weight", "fc.turned", "fc.last", "bn.num_batches_tracked", "scale"]);
    mindir(["ckpt", "from-torch", &out, &out]).with(4).complains(&["expected a checkpoint of PyTorch"]);
    mindir(["ckpt", "from-torch", &sample("net.pth"), &out, "--root", "x"]).with(2).complains(&["nothing is below x"]);
}

#[cfg(unix)]
#[test]
fn files_can_be_made_read_only() {
    use std::os::unix::fs::PermissionsExt;
    let (dir, file) = copied("append.ckpt");
    let out = at(&dir, "out.ckpt");
    mindir(["ckpt", "convert", &file, &out, "--read-only"]).with(0);
    assert_eq!(fs::metadata(&out).unwrap().permissions().mode() & 0o777, 0o400);
    mindir(["ckpt", "set", &out, "x", "1"]).with(0);
    assert_eq!(fs::metadata(&out).unwrap().permissions().mode() & 0o777, 0o400);
}

#[test]
fn encrypted_entries_are_not_written_in_the_clear() {
    let dir = tempfile::tempdir().unwrap();
    let [secret, plain, out, key] = ["secret.ckpt", "plain.ckpt", "out.ckpt", "key"].map(|name| at(&dir, name));
    fs::copy(sample("aes_gcm.ckpt"), &secret).unwrap();
    fs::write(&key, "0123456789ABCDEF").unwrap();
    let with = |args: &[&str]| mindir(args.iter().chain(&["--key-file", &key]));
    let mode = || mindir::Cipher::of(&fs::read(&out).unwrap()).map(|c| c.to_string()).unwrap_or_default();
    with(&["ckpt", "convert", &secret, &plain, "--decrypt"]).with(0);
    mindir(["ckpt", "rename", &plain, "weight", "w"]).with(0);
    let commands = [
        &["convert", &secret, &out][..],
        &["merge", &secret, &plain, "-o", &out, "--same", "first"],
        &["merge", &plain, &secret, "-o", &out, "--same", "first"],
        &["rm", &secret, "bias", "-o", &out],
        &["set", &secret, "x", "1", "-o", &out],
        &["rename", &secret, "bias", "b", "-o", &out],
        &["filter", &secret, "--keep", "w*", "-o", &out],
    ];
    for command in commands {
        let args = [&["ckpt"], command].concat();
        with(&args).with(0);
        assert_eq!(mode(), "AES-GCM", "{command:?}");
        with(&[&args[..], &["--encrypt", "SM4-CBC"]].concat()).with(0);
        assert_eq!(mode(), "SM4-CBC", "{command:?}");
        with(&[&args[..], &["--decrypt"]].concat()).with(0);
        assert_eq!(mode(), "", "{command:?}");
    }
    let npy = at(&dir, "w.npy");
    with(&["ckpt", "get", &secret, "weight", "-o", &npy]).with(2).complains(&["encrypted", "--decrypt"]);
    assert!(!Path::new(&npy).exists());
    with(&["ckpt", "get", &secret, "weight", "-o", &npy, "--decrypt"]).with(0);
}

#[test]
fn values_are_what_was_given_or_refused() {
    let (dir, file) = copied("append.ckpt");
    let set = |value: &str, dtype: &str| mindir(["ckpt", "set", &file, "x", value, "--dtype", dtype]);
    for (value, dtype, stored) in [
        ("255", "u8", "255"),
        ("-128", "i8", "-128"),
        ("18446744073709551615", "u64", "18446744073709551615"),
        ("65504", "f16", "65504"),
        ("0.1", "f32", "0.1"),
        ("1e-30", "f32", "1e-30"),
        ("inf", "f32", "inf"),
        ("-inf", "f16", "-inf"),
        ("nan", "f64", "NaN"),
        ("16777216", "f32", "16777216"),
        ("true", "bool", "1"),
        ("0", "bool", "0"),
        ("3.0", "i32", "3"),
    ] {
        set(value, dtype).with(0);
        assert_eq!(mindir(["ckpt", "get", &file, "x"]).with(0).stdout, format!("{stored}\n"), "{value} {dtype}");
        mindir(["ckpt", "show", &file, "x"]).with(0).says(&[stored]);
    }
    let before = fs::read(&file).unwrap();
    for (value, dtype) in [
        ("300", "u8"),
        ("-1", "u8"),
        ("128", "i8"),
        ("-1", "u64"),
        ("18446744073709551616", "u64"),
        ("9223372036854775808", "i64"),
        ("99999999999999999999", "f64"),
        ("1.5", "i32"),
        ("nan", "i32"),
        ("70000", "f16"),
        ("70000.5", "f16"),
        ("1e39", "f32"),
        ("1e400", "f64"),
        ("16777217", "f32"),
        ("2", "bool"),
        ("0.5", "bool"),
        ("true", "f32"),
        ("1", "c64"),
    ] {
        set(value, dtype).with(2).complains(&[&format!("{value} is no {dtype}")]);
    }
    // Of the type of the entry that is replaced.
    mindir(["ckpt", "set", &file, "flag", "2"]).with(2).complains(&["2 is no bool"]);
    mindir(["ckpt", "set", &file, "lr", "true"]).with(2).complains(&["true is no f32"]);
    mindir(["ckpt", "set", &file, "new", "1e39"]).with(2).complains(&["1e39 is no f32"]);
    let array = at(&dir, "x.npy");
    npy::write(&array, &Tensor::vector(&[1i64, 300])).unwrap();
    set(&format!("@{array}"), "u8").with(2).complains(&["element 1 is 300, which is no u8"]);
    assert!(fs::read(&file).unwrap() == before);
    mindir(["ckpt", "set", &file, "", "1"]).with(3).complains(&["entry \"\"", "needs a name"]);
    mindir(["ckpt", "rename", &file, "weight", ""]).with(3).complains(&["needs a name"]);
    let long = "x".repeat(70_000);
    mindir(["ckpt", "set", &file, &long, "1"]).with(2).complains(&["the name has 70000 bytes"]);
    mindir(["ckpt", "rename", &file, "weight", &long]).with(2).complains(&["the name has 70000 bytes"]);
    mindir(["ckpt", "rename", &file, "weight", &long, "-o", &at(&dir, "long.npz")])
        .with(2)
        .complains(&["readers take 65000"]);
    assert!(fs::read(&file).unwrap() == before);
    mindir(["ckpt", "set", &file, "weight", "1"]).with(0).says(&["set weight  f32 [2, 2] → f32 []"]);
}

#[test]
fn complex_tensors_are_not_written_for_mindspore() {
    let dir = tempfile::tempdir().unwrap();
    let [arrays, out] = ["x.npz", "out.ckpt"].map(|name| at(&dir, name));
    let zeros = |dtype| Tensor::zeros(dtype, &[2]).unwrap();
    let named = [("a", DType::C64), ("b", DType::F32), ("c", DType::C128)].map(|(n, d)| (n.to_string(), zeros(d)));
    npy::write_npz(&arrays, &named).unwrap();
    for out in [&out, &at(&dir, "out.safetensors")] {
        let said = ["2 entries", "entry a: a tensor of complex64", "entry c: a tensor of complex128", "MindSpore"];
        mindir(["ckpt", "convert", &arrays, out]).with(3).complains(&said);
        assert!(!Path::new(out).exists());
    }
    mindir(["ckpt", "convert", &arrays, &at(&dir, "y.npz")]).with(0);
    npy::write(at(&dir, "c.npy"), &zeros(DType::C64)).unwrap();
    let (_own, file) = copied("append.ckpt");
    mindir(["ckpt", "set", &file, "c", &format!("@{}", at(&dir, "c.npy"))]).with(3).complains(&["entry c"]);
}

#[test]
fn what_would_change_nothing_or_replace_what_is_read_asks_for_force() {
    let (dir, file) = copied("append.ckpt");
    let [other, model] = ["other.ckpt", "m.mindir"].map(|name| at(&dir, name));
    let before = fs::read(&file).unwrap();
    let said = ["nothing would change", "--force"];
    mindir(["ckpt", "filter", &file]).with(2).complains(&said);
    mindir(["ckpt", "filter", &file, "--keep", "*"]).with(2).complains(&said);
    mindir(["ckpt", "rename", &file, "--batch-norm"]).with(2).complains(&said);
    mindir(["ckpt", "filter", &file, "-o", &file, "--drop", "s"]).with(2).complains(&["it would be replaced"]);
    mindir(["ckpt", "convert", &file, &file]).with(2).complains(&["it would be replaced", "--force"]);
    mindir(["ckpt", "merge", &file, &file, "-o", &file, "--same", "first"]).with(2).complains(&["--force"]);
    assert_eq!(fs::read(&file).unwrap(), before);
    mindir(["ckpt", "filter", &file, "-o", &other]).with(0);
    mindir(["ckpt", "filter", &file, "--crc"]).with(0);
    mindir(["ckpt", "filter", &file, "--force"]).with(0);
    mindir(["ckpt", "filter", &file, "-o", &file, "--drop", "s", "--force"]).with(0).says(&["removed s"]);
    mindir(["ckpt", "convert", &file, &file, "--force"]).with(0);
    assert!(!Path::new(&model).exists());
}
