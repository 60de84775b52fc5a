//! Every golden goes out to a file and comes back, and gives the same bits: split, and encrypted. As one file it does in the
//! suite, like every case of every operator. Networks made with the builder do, too.
//!
//! `MINDIR_ROUNDTRIP` names a folder that keeps these networks for MindSpore to read.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use mindir::crypto::{Encryption, Key};
use mindir::graph::Model;
use mindir::{Access, DType, ExportOptions, GraphCell, Options, Source, Spec, Tensor};
use mindir_graph::OpError;
use mindir_graph::builder::Builder;
use mindir_graph::graph::{Arg, Closure, ValueId};
use mindir_tests::{golden, suite};

fn read_again(model: &Model, folder: &Path, options: &ExportOptions) -> Result<Model, String> {
    let written = mindir::export(model, folder.join("model.mindir"), options).map_err(|e| format!("export: {e}"))?;
    let source = Source::open(&written.path, Access::Map).map_err(|e| e.to_string())?;
    let source = source.with_decryption(options.encryption.as_ref().map(Encryption::decryption));
    Ok(mindir::load_source(source).map_err(|e| format!("load: {e}"))?.model)
}

/// Every golden goes out as `options` say and comes back, and gives the same bits.
fn check_all(options: &ExportOptions) {
    let folder = tempfile::tempdir().unwrap();
    let one_thread = Options { threads: Some(1), ..Options::default() };
    let mut failures = Vec::new();
    for case in suite::goldens(&golden::folder()) {
        let check = || {
            let content = case.content()?;
            let back = read_again(&content.model, folder.path(), options)?;
            suite::same_interface(&content.model, &back)?;
            suite::same_operators(&content.model, &back)?;
            content.run(&Arc::new(back), &one_thread)?.same_bits(&content.run(&content.model, &one_thread)?)
        };
        failures.extend(check().err().map(|e: String| format!("{}: {e}", case.name)));
    }
    assert!(failures.is_empty(), "{} goldens do not come back:\n{}", failures.len(), failures.join("\n"));
}

#[test]
fn split() {
    check_all(&ExportOptions { split_above: 0, data_file_size: 4096, ..ExportOptions::default() });
}

#[test]
fn encrypted() {
    for (cipher, split_above) in [("AES-GCM", u64::MAX), ("AES-CBC", 0), ("SM4-CBC", 0)] {
        let key = Key::new(*b"0123456789ABCDEF").unwrap();
        let encryption = Encryption::new(cipher.parse().unwrap(), key).unwrap();
        check_all(&ExportOptions { split_above, encryption: Some(encryption), ..ExportOptions::default() });
    }
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
    let kept = std::env::var_os("MINDIR_ROUNDTRIP").map(PathBuf::from);
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
        let back = run(mindir::load(&path).unwrap());
        let bits = |results: &[Tensor]| results.iter().map(|t| (t.fact(), t.bytes().to_vec())).collect::<Vec<_>>();
        assert_eq!(bits(&back), bits(&want), "{name}");
    }
}
