//! Every golden goes out to a file and comes back, and gives the same bits: as one file, split, and encrypted. So does every
//! case of every operator, as a model of one node.
//!
//! `MINDIR_ROUNDTRIP` names a folder that keeps the files for MindSpore to read: in `one_file`, `split`, `AES-GCM`, `AES-CBC`
//! and `SM4-CBC` a folder for each golden, in `operators` one for each case.

use std::path::{Path, PathBuf};

use mindir::crypto::{Encryption, Key};
use mindir::graph::Model;
use mindir::{Access, ExportOptions, GraphCell, Options, Source, Tensor};
use mindir_graph::builder::single;
use mindir_graph::lower::run_node;
use mindir_graph::op::{Case, Effect, OpDef};
use mindir_graph::ops::OPS;
use mindir_tests::compare::difference;
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

fn check_all(options: &ExportOptions, form: &str) {
    let keep = std::env::var_os("MINDIR_ROUNDTRIP").map(|folder| PathBuf::from(folder).join(form));
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
fn one_file() {
    check_all(&ExportOptions::default(), "one_file");
}

#[test]
fn split() {
    check_all(&ExportOptions { split_above: 0, data_file_size: 4096, ..ExportOptions::default() }, "split");
}

#[test]
fn encrypted() {
    for (cipher, split_above) in [("AES-GCM", u64::MAX), ("AES-CBC", 0), ("SM4-CBC", 0)] {
        let key = Key::new(*b"0123456789ABCDEF").unwrap();
        let encryption = Encryption::new(cipher.parse().unwrap(), key).unwrap();
        check_all(&ExportOptions { split_above, encryption: Some(encryption), ..ExportOptions::default() }, cipher);
    }
}

/// What the only node of a model's entry graph gives for `inputs`.
fn reference(model: &Model, inputs: &[Tensor]) -> Result<Vec<Tensor>, String> {
    let entry = model.entry();
    let [node] = &entry.nodes[..] else { return Err(format!("{} nodes", entry.nodes.len())) };
    let tensors = entry.inputs.iter().copied().zip(inputs.iter().cloned()).collect();
    run_node(model, entry, node, &tensors).map_err(|e| e.to_string())
}

/// Inputs and results stay beside the model, as a golden has them.
fn check_case(def: &'static OpDef, case: &Case, folder: &Path) -> Result<(), String> {
    let (model, inputs) = single(def, case, 1);
    let want = reference(&model, &inputs)?;
    let (model, inputs) = single(def, case, want.len());
    let options = ExportOptions::default();
    let path = folder.join("model.mindir");
    mindir::export(&model, &path, &options).map_err(|e| format!("export: {e}"))?;
    for (kind, list) in [("in", &inputs), ("out", &want)] {
        for (i, tensor) in list.iter().enumerate() {
            // bfloat16 and complex numbers have no arrays.
            let _ = mindir::npy::write(folder.join(format!("{kind}_{i}.npy")), tensor);
        }
    }
    let back = load(&path, &options)?;
    if back.entry().nodes.iter().any(|node| node.op_name() != def.name) {
        return Err(format!("other operators: {:?}", census(&back)));
    }
    let got = reference(&back, &inputs)?;
    // Defaults are written as Python's floats are exported, in single precision.
    let explicit = case.args.len() == def.params.len() && case.args.iter().all(Option::is_some);
    let close = |(a, b): (&Tensor, &Tensor)| difference(a, b).is_ok_and(|d| d.relative() <= 1e-7);
    if same_bits(&got, &want) || (!explicit && got.len() == want.len() && got.iter().zip(&want).all(close)) {
        return Ok(());
    }
    Err("other numbers".into())
}

#[test]
fn operators() {
    let temporary = tempfile::tempdir().unwrap();
    let keep = std::env::var_os("MINDIR_ROUNDTRIP").map(|folder| PathBuf::from(folder).join("operators"));
    let mut failures = Vec::new();
    let mut count = 0;
    for def in OPS.iter().filter(|def| !matches!(def.effect, Effect::Random | Effect::Io) && def.name != "Load") {
        for case in (def.cases)() {
            count += 1;
            let folder = keep.as_ref().map(|keep| keep.join(format!("{}_{count}", def.name)));
            if let Some(folder) = &folder {
                std::fs::create_dir_all(folder).unwrap();
            }
            let folder = folder.as_deref().unwrap_or(temporary.path());
            if let Err(e) = check_case(def, &case, folder) {
                failures.push(format!("{} ({}): {e}", def.name, case.name));
            }
        }
    }
    println!("{} of {count} cases come back", count - failures.len());
    assert!(failures.is_empty(), "{} cases do not come back:\n{}", failures.len(), failures.join("\n"));
}
