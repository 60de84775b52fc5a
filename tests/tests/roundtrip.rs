//! Every golden goes out to a file and comes back, and gives the same bits: as one file, split, and encrypted. So does every
//! case of every operator, as a model of one node.
//!
//! Networks made with the builder do, too.
//!
//! `MINDIR_ROUNDTRIP` names a folder that keeps the files for MindSpore to read: in `one_file`, `split`, `AES-GCM`, `AES-CBC`
//! and `SM4-CBC` a folder for each golden, in `operators` one for each case, in `built` one for each network.

use std::path::{Path, PathBuf};

use mindir::crypto::{Encryption, Key};
use mindir::graph::{Model, NodeKind};
use mindir::{Access, DType, ExportOptions, GraphCell, Options, Source, Spec, Tensor};
use mindir_graph::OpError;
use mindir_graph::builder::{Builder, single};
use mindir_graph::graph::{Arg, Closure, Def, Param, ValueId};
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

/// How often each operator occurs. Calls do not count: the first turn of a loop may be a graph of its own, which is read as part
/// of its caller.
fn census(model: &Model) -> std::collections::BTreeMap<String, usize> {
    let mut count = std::collections::BTreeMap::new();
    let nodes = model.graphs.iter().flat_map(|g| &g.nodes).filter(|n| !matches!(n.kind, NodeKind::Call(_)));
    for node in nodes {
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

/// Stores inputs and results beside a model, as a golden has them: bfloat16 as `f32`.
fn keep(folder: &Path, inputs: &[Tensor], results: &[Tensor]) -> Result<(), String> {
    for (kind, list) in [("in", inputs), ("out", results)] {
        for (i, tensor) in list.iter().enumerate() {
            mindir::npy::write(folder.join(format!("{kind}_{i}.npy")), tensor).map_err(|e| e.to_string())?;
        }
    }
    Ok(())
}

/// Makes the inputs that the only node writes parameters with the same contents, and gives their names.
fn written(model: &mut Model, inputs: &mut Vec<Tensor>) -> Vec<String> {
    let graph = &mut model.graphs[0];
    let Effect::Writes(args) = graph.nodes[0].effect() else { return Vec::new() };
    let mut names = Vec::new();
    for arg in args {
        let Some(Some(Arg::Value(id))) = graph.nodes[0].args.get(*arg) else { continue };
        let Some(place) = graph.inputs.iter().position(|input| input == id) else { continue };
        graph.inputs.remove(place);
        let value = &mut graph.values[id.0 as usize];
        value.def = Def::Param(model.params.len());
        names.push(value.name.to_string());
        model.params.push(Param { name: value.name.clone(), tensor: inputs.remove(place), mutable: true });
        for (place, input) in graph.inputs.iter().enumerate() {
            graph.values[input.0 as usize].def = Def::Input(place);
        }
    }
    names
}

/// What a model gives, and what its parameters hold afterwards.
fn running(model: &Model, inputs: &[Tensor], names: &[String]) -> Result<Vec<Tensor>, String> {
    let cell = GraphCell::new(model.clone(), Options::default()).map_err(|e| e.to_string())?;
    let mut results = cell.run(inputs).map_err(|e| e.to_string())?;
    results.extend(names.iter().filter_map(|name| cell.param(name)));
    Ok(results)
}

fn check_case(def: &'static OpDef, case: &Case, folder: &Path) -> Result<(), String> {
    let (model, inputs) = single(def, case, 1);
    let mut want = reference(&model, &inputs)?;
    let writes = if let Effect::Writes(args) = model.entry().nodes[0].effect() { args.len() } else { 0 };
    let after = want.split_off(want.len() - writes);
    let (mut model, mut inputs) = single(def, case, want.len());
    let names = written(&mut model, &mut inputs);
    let options = ExportOptions::default();
    let path = folder.join("model.mindir");
    mindir::export(&model, &path, &options).map_err(|e| format!("export: {e}"))?;
    keep(folder, &inputs, &want)?;
    for (name, tensor) in names.iter().zip(&after) {
        mindir::npy::write(folder.join(format!("after_{name}.npy")), tensor).map_err(|e| e.to_string())?;
    }
    let back = load(&path, &options)?;
    if back.entry().nodes.iter().any(|node| node.op_name() != def.name) {
        return Err(format!("other operators: {:?}", census(&back)));
    }
    if writes > 0 {
        let same = same_bits(&running(&back, &inputs, &names)?, &running(&model, &inputs, &names)?);
        return if same { Ok(()) } else { Err("other numbers".into()) };
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
    for def in OPS
        .iter()
        .filter(|def| !matches!(def.effect, Effect::Random | Effect::Io | Effect::Raises) && def.name != "Load")
    {
        for (number, case) in (def.cases)().into_iter().enumerate() {
            count += 1;
            let folder = keep.as_ref().map(|keep| keep.join(format!("{}_{number}", def.name)));
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

/// Numbers between -1 and 1 that do not repeat soon.
fn numbers(dims: &[usize]) -> Tensor {
    let count = dims.iter().product::<usize>();
    let values: Vec<f64> = (0..count).map(|i| (i as f64 * 0.7 + count as f64).sin()).collect();
    Tensor::from_f64s(DType::F32, dims, &values).unwrap()
}

fn floats(dims: &[usize]) -> Spec {
    Spec::fixed(DType::F32, dims)
}

/// An operator with the arguments that are given, by name; the others take their defaults.
fn op(b: &mut Builder, name: &str, tensors: &[ValueId], named: &[(&str, Arg)]) -> Result<ValueId, OpError> {
    let def = mindir_graph::ops::find(name).ok_or_else(|| OpError::Unsupported(name.into()))?;
    let last = named.iter().map(|(name, _)| def.params.iter().position(|p| p.name == *name).unwrap() + 1).max();
    let args = (0..last.unwrap_or(0).max(tensors.len())).map(|i| {
        let given = named.iter().find(|(name, _)| def.params[i].name == *name).map(|(_, arg)| arg.clone());
        let default = || Arg::Const((def.params[i].default)().unwrap());
        tensors.get(i).map(|v| Arg::Value(*v)).or(given).unwrap_or_else(default)
    });
    b.op(name, args.collect::<Vec<_>>())
}

/// Convolution, normalisation, pooling and a layer with softmax.
fn convolutional() -> Result<Model, OpError> {
    let mut b = Builder::new("convolutional");
    let param = |b: &mut Builder, name: &str, dims: &[usize]| b.param(name, numbers(dims));
    let mut x = b.input("x", floats(&[2, 3, 12, 12]));
    for (layer, (from, to, mode)) in [(3, 4, "same"), (4, 6, "valid")].into_iter().enumerate() {
        let weight = param(&mut b, &format!("conv{layer}.weight"), &[to, from, 3, 3]);
        x = op(&mut b, "Conv2D", &[x, weight], &[("pad_mode", mode.into())])?;
        let bias = param(&mut b, &format!("conv{layer}.bias"), &[to]);
        x = op(&mut b, "BiasAdd", &[x, bias], &[])?;
        x = op(&mut b, "ReLU", &[x], &[])?;
        let two = || Arg::from(&[2i64][..]);
        x = op(&mut b, "MaxPool", &[x], &[("kernel_size", two()), ("strides", two())])?;
    }
    x = op(&mut b, "Flatten", &[x], &[])?;
    let weight = param(&mut b, "fc.weight", &[10, 24]);
    x = op(&mut b, "MatMul", &[x, weight], &[("transpose_b", true.into())])?;
    x = op(&mut b, "Softmax", &[x], &[])?;
    Ok(b.finish(&[x]))
}

/// One head of attention with its projections, a residual and layer normalisation.
fn attention() -> Result<Model, OpError> {
    let mut b = Builder::new("attention");
    let x = b.input("x", floats(&[2, 5, 8]));
    let project = |b: &mut Builder, name: &str| {
        let weight = b.param(name, numbers(&[8, 8]));
        op(b, "MatMulExt", &[x, weight], &[])
    };
    let (q, k, v) = (project(&mut b, "q")?, project(&mut b, "k")?, project(&mut b, "v")?);
    let scores = op(&mut b, "BatchMatMul", &[q, k], &[("transpose_b", true.into())])?;
    let scores = b.op("Mul", [scores.into(), 0.353_553_4f32.into()])?;
    let weights = op(&mut b, "Softmax", &[scores], &[])?;
    let y = op(&mut b, "BatchMatMul", &[weights, v], &[])?;
    let y = b.op("Add", [y.into(), x.into()])?;
    let (gamma, beta) = (b.param("gamma", numbers(&[8])), b.param("beta", numbers(&[8])));
    let args = [y.into(), gamma.into(), beta.into(), (-1i64).into(), (-1i64).into(), 1e-5f32.into()];
    let y = b.op_n("LayerNorm", args, 3)?;
    Ok(b.finish(&y[..1]))
}

/// Another computation for positive sums.
fn conditional() -> Result<Model, OpError> {
    let mut b = Builder::new("conditional");
    let [then, otherwise] = ["positive", "negative"].map(|name| b.declare(name));
    for (function, name) in [(then, "Exp"), (otherwise, "Neg")] {
        b.define(function, |b| {
            let x = b.input("x", floats(&[4]));
            Ok(vec![b.op(name, [x.into()])?])
        })?;
    }
    let x = b.input("x", floats(&[4]));
    let sum = op(&mut b, "ReduceSum", &[x], &[])?;
    let positive = b.op("Greater", [sum.into(), 0.0f32.into()])?;
    let [then, otherwise] = [then, otherwise].map(|graph| Closure { graph, args: vec![x.into()] });
    let y = b.choose(positive, then, otherwise, 1);
    Ok(b.finish(&y))
}

/// Doubles until the sum is large, and counts how often.
fn repeated() -> Result<Model, OpError> {
    let mut b = Builder::new("repeated");
    let [test, again, leave] = ["test", "again", "leave"].map(|name| b.declare(name));
    let state = |b: &mut Builder| [b.input("x", floats(&[4])), b.input("n", Spec::fixed(DType::I32, &[]))];
    let closures = |graphs: [_; 2], values: [ValueId; 2]| {
        graphs.map(|graph| Closure { graph, args: values.map(Arg::Value).to_vec() })
    };
    b.define(test, |b| {
        let [x, n] = state(b);
        let sum = op(b, "ReduceSum", &[x], &[])?;
        let small = b.op("Less", [sum.into(), 1000.0f32.into()])?;
        let [again, leave] = closures([again, leave], [x, n]);
        Ok(b.choose(small, again, leave, 2))
    })?;
    b.define(again, |b| {
        let [x, n] = state(b);
        let twice = b.op("Add", [x.into(), x.into()])?;
        let one = b.constant(Tensor::scalar(1i32));
        let next = b.op("Add", [n.into(), one.into()])?;
        Ok(b.call(test, [twice.into(), next.into()], 2))
    })?;
    b.define(leave, |b| Ok(state(b).to_vec()))?;
    let x = b.input("x", floats(&[4]));
    let zero = b.constant(Tensor::scalar(0i32));
    let y = b.call(test, [x.into(), zero.into()], 2);
    Ok(b.finish(&y))
}

#[test]
fn built() {
    let temporary = tempfile::tempdir().unwrap();
    let kept = std::env::var_os("MINDIR_ROUNDTRIP").map(|folder| PathBuf::from(folder).join("built"));
    let positive = Tensor::from_f64s(DType::F32, &[4], &[0.5, 1.0, -0.25, 2.0]).unwrap();
    let negative = Tensor::from_f64s(DType::F32, &[4], &[0.5, -1.0, -0.25, 0.0]).unwrap();
    for (name, model, input) in [
        ("convolutional", convolutional(), numbers(&[2, 3, 12, 12])),
        ("attention", attention(), numbers(&[2, 5, 8])),
        ("if_then", conditional(), positive.clone()),
        ("if_else", conditional(), negative),
        ("while", repeated(), positive),
    ] {
        let model = model.unwrap_or_else(|e| panic!("{name}: {e}"));
        let run = |model| GraphCell::new(model, Options::default()).unwrap().run(std::slice::from_ref(&input)).unwrap();
        let folder = kept.as_deref().unwrap_or(temporary.path()).join(name);
        std::fs::create_dir_all(&folder).unwrap();
        let path = folder.join("model.mindir");
        mindir::export(&model, &path, &ExportOptions::default()).unwrap_or_else(|e| panic!("{name}: {e}"));
        let want = run(model);
        keep(&folder, std::slice::from_ref(&input), &want).unwrap();
        let back = run(load(&path, &ExportOptions::default()).unwrap());
        assert!(same_bits(&back, &want), "{name}");
    }
}
