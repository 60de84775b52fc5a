//! Every golden goes out to a file and comes back, and gives the same bits: as one file, split, and encrypted.
//!
//! `MINDIR_ROUNDTRIP` names a folder that keeps the files, one folder for each golden, for MindSpore to read.

use std::path::{Path, PathBuf};

use mindir::crypto::{Encryption, Key};
use mindir::graph::Model;
use mindir::{Access, ExportOptions, GraphCell, Options, Source, Tensor};
use mindir_tests::golden::{self, Golden};

fn goldens() -> Vec<Golden> {
    let folder = std::env::var_os("MINDIR_GOLDENS").map_or_else(golden::folder, PathBuf::from);
    let only = std::env::var("MINDIR_GOLDEN").unwrap_or_default();
    golden::all(&folder).into_iter().filter(|g| g.name.contains(&only)).collect()
}

/// Everything that a golden's runs give, and the parameters after them.
fn results(golden: &Golden, load: &dyn Fn() -> Result<Model, String>) -> Result<Vec<Tensor>, String> {
    let cell = || {
        GraphCell::new(load()?, Options { threads: Some(1), ..Options::default() }).map_err(|e| format!("cell: {e}"))
    };
    let mut running = cell()?;
    let mut out = Vec::new();
    for (i, set) in golden.runs.iter().enumerate() {
        if i > 0 && !golden.steps {
            running = cell()?;
        }
        out.extend(running.run(&set.inputs(running.inputs().len())).map_err(|e| format!("{}: {e}", set.name))?);
    }
    out.extend(golden.after.iter().filter_map(|(name, _)| running.param(name)));
    Ok(out)
}

fn same_bits(a: &[Tensor], b: &[Tensor]) -> bool {
    let bits = |t: &Tensor| (t.dtype(), t.shape().to_vec(), t.bytes().to_vec());
    a.len() == b.len() && a.iter().zip(b).all(|(a, b)| bits(a) == bits(b))
}

fn load(path: &Path, options: &ExportOptions) -> Result<Model, String> {
    let source = Source::open(path, Access::Map).map_err(|e| e.to_string())?;
    let source = source.with_decryption(options.encryption.as_ref().map(Encryption::decryption));
    Ok(mindir::load_source(source).map_err(|e| format!("load: {e}"))?.model)
}

/// What a model says besides what it computes.
fn interface(model: &Model) -> String {
    let entry = model.entry();
    let inputs: Vec<_> = entry.inputs.iter().map(|v| (&entry.value(*v).name, &entry.value(*v).spec)).collect();
    let params: Vec<_> = model.params.iter().map(|p| (&p.name, p.mutable, p.tensor.fact())).collect();
    format!("{inputs:?} {:?} {:?} {params:?} {:?}", entry.arguments, entry.nest, model.origin.user_info)
}

/// How often each operator occurs.
fn census(model: &Model) -> std::collections::BTreeMap<String, usize> {
    let mut count = std::collections::BTreeMap::new();
    for node in model.graphs.iter().flat_map(|g| &g.nodes) {
        *count.entry(node.op_name().to_string()).or_default() += 1;
    }
    count
}

fn check(golden: &Golden, folder: &Path, options: &ExportOptions) -> Result<(), String> {
    let original = mindir::load(&golden.graph).map_err(|e| e.to_string())?;
    let written =
        mindir::export(&original, folder.join("model.mindir"), options).map_err(|e| format!("export: {e}"))?;
    let back = load(&written.path, options)?;
    if interface(&original) != interface(&back) {
        return Err(format!("the interface is\n{}\nand was\n{}", interface(&back), interface(&original)));
    }
    if census(&original) != census(&back) {
        return Err(format!("the operators are\n{:?}\nand were\n{:?}", census(&back), census(&original)));
    }
    let want = results(golden, &|| Ok(original.clone()))?;
    let got = results(golden, &|| load(&written.path, options))?;
    if same_bits(&got, &want) { Ok(()) } else { Err("other bits".into()) }
}

fn check_all(options: &ExportOptions, keep: Option<PathBuf>) {
    let list = goldens();
    let temporary = tempfile::tempdir().unwrap();
    let mut failures = Vec::new();
    for golden in &list {
        let folder = keep.as_deref().unwrap_or(temporary.path()).join(&golden.name);
        std::fs::create_dir_all(&folder).unwrap();
        if let Err(e) = check(golden, &folder, options) {
            failures.push(format!("{}: {e}", golden.name));
        }
    }
    println!("{} of {} goldens come back", list.len() - failures.len(), list.len());
    assert!(failures.is_empty(), "{} goldens do not come back:\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn single() {
    check_all(&ExportOptions::default(), std::env::var_os("MINDIR_ROUNDTRIP").map(PathBuf::from));
}

#[test]
fn split() {
    check_all(&ExportOptions { split_above: 0, data_file_size: 4096, ..ExportOptions::default() }, None);
}

#[test]
fn encrypted() {
    for (cipher, split_above) in [("AES-GCM", u64::MAX), ("AES-CBC", 0), ("SM4-CBC", 0)] {
        let key = Key::new(*b"0123456789ABCDEF").unwrap();
        let encryption = Encryption::new(cipher.parse().unwrap(), key).unwrap();
        check_all(&ExportOptions { split_above, encryption: Some(encryption), ..ExportOptions::default() }, None);
    }
}
