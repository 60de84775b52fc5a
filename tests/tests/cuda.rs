//! Whole networks on the CUDA device, by default on an emulated driver.
//!
//! Without g++ the tests print why and pass, unless `MINDIR_REQUIRE` names `cuda`.
#![cfg(feature = "cuda")]

use mindir::builder::Builder;
use mindir::graph::{Arg, Model, ValueId};
use mindir::op::Const;
use mindir::{DType, Error, Fact, Fallback, GraphCell, Options, Spec, Tensor};
use mindir_tests::compare::difference;
use mindir_tests::golden;
use mindir_tests::models::numbers;
use mindir_tests::suite::on_cuda;

/// Options that run on CUDA and nowhere else; `None` if it is missing and not required.
fn options() -> Option<Options> {
    match on_cuda() {
        Ok(options) => Some(Options { fallback: Fallback::Deny, ..options }),
        Err(e) => {
            let required = std::env::var("MINDIR_REQUIRE").unwrap_or_default();
            assert!(!required.split(',').any(|r| r == "cuda"), "{e}");
            println!("skipped: {e}");
            None
        }
    }
}

/// The model on CUDA and on the CPU.
fn cells(model: Model) -> Option<[GraphCell; 2]> {
    let options = options()?;
    Some([options, Options::default()].map(|options| GraphCell::new(model.clone(), options).expect("a cell")))
}

fn near(name: &str, got: &[Tensor], want: &[Tensor]) {
    assert_eq!(got.len(), want.len(), "{name}");
    for (i, (got, want)) in got.iter().zip(want).enumerate() {
        let difference = difference(got, want).unwrap_or_else(|e| panic!("{name}, result {i}: {e}"));
        assert!(difference.relative() <= 1e-4, "{name}, result {i}: {difference:?}");
    }
}

#[test]
fn networks_agree_with_the_cpu_in_one_stage() {
    let names = [
        "lenet5",
        "mobilenet_small",
        "resnet_basic_small",
        "resnet_bottleneck_small",
        "bert_small",
        "vit_small",
        "gpt2_kv_small",
        "llama_kv_small",
    ];
    for name in names {
        let golden = golden::read(&golden::folder().join(name));
        let inputs = &golden.runs[0].inputs;
        let Some([cuda, cpu]) = cells(mindir::load(&golden.graph).expect("the golden loads")) else { return };
        let facts: Vec<Fact> = inputs.iter().map(Tensor::fact).collect();
        let plan = cuda.plan(&facts).unwrap_or_else(|e| panic!("{name}: {e}"));
        let [stage] = plan.stages() else { panic!("{name} has {} stages", plan.stages().len()) };
        assert!(!stage.on_host, "{name}");
        let taken: usize = facts.iter().map(Fact::bytes).sum();
        let given: usize = plan.results().map(Fact::bytes).sum();
        assert!(stage.upload <= taken && stage.download == given, "{name}: {} {}", stage.upload, stage.download);
        near(name, &cuda.run(inputs).expect("a run"), &cpu.run(inputs).expect("a run"));
    }
}

/// One step of a decoder with one layer and `heads` heads, over a cache `[heads, room, width]` of keys and one of values that it
/// gives back with the rows at `at` written. Inputs: x, at, mask, keys, values. Results: y, keys, values.
fn decoder(heads: usize, room: usize, width: usize) -> Model {
    let mut b = Builder::new("decoder");
    let model = heads * width;
    let x = b.input("x", Spec::fixed(DType::F32, &[1, model]));
    let at = b.input("at", Spec::fixed(DType::I32, &[heads, 2]));
    let mask = b.input("mask", Spec::fixed(DType::F32, &[1, 1, room]));
    let cache = Spec::fixed(DType::F32, &[heads, room, width]);
    let caches = [b.input("keys", cache.clone()), b.input("values", cache)];
    let ints = |dims: &[i64]| Arg::Const(Const::Tuple(dims.iter().map(|d| Const::Int(*d)).collect()));
    let (heads, width) = (heads as i64, width as i64);
    let project = |b: &mut Builder, name: &str, x: ValueId, seed| {
        let w = b.param(name, numbers(&[model, model], seed));
        b.op("MatMul", [Arg::from(x), w.into()]).expect("a product")
    };
    let q = project(&mut b, "wq", x, 1);
    let rows = [project(&mut b, "wk", x, 2), project(&mut b, "wv", x, 3)];
    let q = b.op("Reshape", [q.into(), ints(&[heads, 1, width])]).expect("heads");
    let [keys, values] = [0, 1].map(|i| {
        let row = b.op("Reshape", [rows[i].into(), ints(&[heads, width])]).expect("heads");
        b.op("TensorScatterUpdate", [caches[i].into(), at.into(), row.into()]).expect("a cache")
    });
    let turned = b.op("Transpose", [keys.into(), ints(&[0, 2, 1])]).expect("keys");
    let scores = b.op("BatchMatMul", [q.into(), turned.into()]).expect("scores");
    let masked = b.op("Add", [scores.into(), mask.into()]).expect("scores");
    let weights = b.op("Softmax", [masked.into(), Arg::Const(Const::Int(-1))]).expect("weights");
    let seen = b.op("BatchMatMul", [weights.into(), values.into()]).expect("values");
    let seen = b.op("Reshape", [seen.into(), ints(&[1, model as i64])]).expect("a row");
    let out = project(&mut b, "wo", seen, 4);
    let y = b.op("Add", [out.into(), x.into()]).expect("a sum");
    b.finish(&[y, keys, values])
}

#[test]
fn a_cache_of_keys_and_values_stays_on_the_device() {
    let (heads, room, width) = (2, 6, 8);
    let model = heads * width;
    let Some([cuda, cpu]) = cells(decoder(heads, room, width)) else { return };
    let facts = cuda.exported_facts().expect("fixed shapes");
    let mut session = cuda.session(&facts).expect("a session");
    session.carry(1, 3).expect("keys");
    session.carry(2, 4).expect("values");
    let mut caches = [0, 1].map(|_| Tensor::zeros(DType::F32, &[heads, room, width]).expect("zeros"));
    for step in 0..room {
        let x = numbers(&[1, model], 100 + step as u64);
        let rows: Vec<i32> = (0..heads).flat_map(|h| [h as i32, step as i32]).collect();
        let at = Tensor::from_vec(&[heads, 2], rows).expect("rows");
        let masked = (0..room).map(|i| if i <= step { 0.0 } else { -1e9 }).collect::<Vec<f32>>();
        let mask = Tensor::from_vec(&[1, 1, room], masked).expect("a mask");
        session.input_mut::<f32>(0).expect("x").copy_from_slice(x.view().expect("numbers"));
        session.input_mut::<i32>(1).expect("at").copy_from_slice(at.view().expect("numbers"));
        session.input_mut::<f32>(2).expect("mask").copy_from_slice(mask.view().expect("numbers"));
        session.run_filled().expect("a step");
        let [keys, values] = caches;
        let want = cpu.run(&[x, at, mask, keys, values]).expect("a step");
        assert!(session.output::<f32>(1).is_err() && session.output::<f32>(2).is_err(), "they stay on the device");
        let got: Vec<Tensor> = (0..3).map(|i| session.fetch(i).expect("a result")).collect();
        near(&format!("step {step}"), &got, &want);
        let [_, keys, values] = <[Tensor; 3]>::try_from(want).expect("three results");
        caches = [keys, values];
    }
}

#[test]
fn memory_of_the_gpu_counts() {
    let mut b = Builder::new("large");
    let x = b.input("x", Spec::fixed(DType::F32, &[1 << 20]));
    let w = b.param("w", Tensor::zeros(DType::F32, &[1 << 20]).expect("zeros"));
    let y = b.op("Add", [x.into(), w.into()]).expect("a sum");
    let model = b.finish(&[y]);
    let Some(options) = options() else { return };
    let run = |max_memory: u64| {
        let cell = GraphCell::new(model.clone(), Options { max_memory: Some(max_memory), ..options.clone() });
        cell.and_then(|cell| cell.run(&[Tensor::zeros(DType::F32, &[1 << 20]).expect("zeros")]).map(drop))
    };
    // The parameter and the result in host memory; the parameter, the input and the result on the GPU.
    run(24 << 20).expect("five times four MiB");
    let error = run(14 << 20).expect_err("less");
    assert!(matches!(error, Error::Limit { what: mindir::Limit::Memory, .. }), "{error}");
}

#[test]
fn what_is_no_number_goes_through_networks() {
    let golden = golden::read(&golden::folder().join("lenet5"));
    let Some([cuda, cpu]) = cells(mindir::load(&golden.graph).expect("the golden loads")) else { return };
    for special in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let x = &golden.runs[0].inputs[0];
        let mut data = x.view::<f32>().expect("numbers").to_vec();
        data[500] = special;
        let x = Tensor::from_vec(x.shape(), data).expect("an image");
        let (got, want) = (cuda.run(std::slice::from_ref(&x)).expect("a run"), cpu.run(&[x]).expect("a run"));
        near(&special.to_string(), &got, &want);
        assert!(want[0].view::<f32>().expect("numbers").iter().any(|y| !y.is_finite()), "{special}: {want:?}");
    }
}
