//! What the wgpu device declines. That it computes the right thing is the suite's business.
//!
//! Without an adapter the tests print why and pass, unless `MINDIR_REQUIRE` names `wgpu`.
#![cfg(feature = "wgpu")]

use std::sync::Arc;

use mindir::builder::Builder;
use mindir::{DType, Error, Fact, Fallback, GraphCell, Options, Spec, check};
use mindir_tests::golden::{self, Golden};

/// A cell on wgpu; `None` if there is no adapter and none is required.
fn cell(golden: &Golden, fallback: Fallback) -> Option<GraphCell> {
    let model = mindir::load(&golden.graph).expect("the golden loads");
    let options = Options { fallback, ..Options::default() }.on("wgpu");
    match options.and_then(|options| GraphCell::new(model, options)) {
        Ok(cell) => Some(cell),
        Err(e @ Error::NoDevice { .. }) => {
            let required = std::env::var("MINDIR_REQUIRE").unwrap_or_default();
            assert!(!required.split(',').any(|r| r == "wgpu"), "{e}");
            println!("skipped: {e}");
            None
        }
        Err(e) => panic!("{e}"),
    }
}

fn golden(name: &str) -> Golden {
    golden::read(&golden::folder().join(name))
}

fn facts(golden: &Golden) -> Vec<Fact> {
    golden.runs[0].inputs.iter().map(mindir::Tensor::fact).collect()
}

#[test]
fn networks_run_in_one_stage() {
    for name in
        ["lenet5", "mobilenet_small", "resnet_basic_small", "yolo_small", "unet_small", "vit_small", "bert_small"]
    {
        let g = golden(name);
        let Some(cell) = cell(&g, Fallback::Deny) else { return };
        let plan = cell.plan(&facts(&g)).unwrap_or_else(|e| panic!("{name}: {e}"));
        let [stage] = plan.stages() else { panic!("{name} has {} stages", plan.stages().len()) };
        let inputs: usize = facts(&g).iter().map(Fact::bytes).sum();
        let results: usize = plan.results().map(Fact::bytes).sum();
        assert!(
            stage.upload <= inputs && stage.download == results,
            "{name}: {} up, {} down",
            stage.upload,
            stage.download
        );
    }
}

#[test]
fn a_device_is_checked_like_every_other_way() {
    let g = golden("lenet5");
    let Some(_) = cell(&g, Fallback::Allow) else { return };
    let model = Arc::new(mindir::load(&g.graph).expect("the golden loads"));
    let cell = Options::default().on("wgpu").expect("a device");
    let options = check::Options { cell, ..check::Options::default() };
    let report = check(model, &g.runs[0].inputs, &options).expect("a report");
    let runs: Vec<String> = report.runs.iter().map(|(run, _)| run.to_string()).collect();
    assert!(runs.iter().any(|run| run == "wgpu, no passes") && runs.iter().any(|run| run == "wgpu, all passes"));
    assert!(report.is_equal(), "{report:?}");
}

#[test]
fn copies_and_refusals_are_visible() {
    let g = golden("roi_align");
    let Some(cell) = cell(&g, Fallback::Allow) else { return };
    let plan = cell.plan(&facts(&g)).expect("regions plan");
    let host = plan.stages().iter().flat_map(|s| &s.steps).filter(|s| s.family == "host");
    for step in host {
        let reason = &step.declined.first().expect("wgpu was asked first").reason;
        assert_eq!(reason, "runs on the host only");
    }
    assert!(plan.stages().iter().any(|s| s.on_host));
}

#[test]
fn deny_names_every_declined_node() {
    let g = golden("roi_align");
    let Some(cell) = cell(&g, Fallback::Deny) else { return };
    let text = cell.run(&g.runs[0].inputs).expect_err("nobody aligns regions there").to_string();
    assert!(text.contains("ROIAlign") && text.contains("wgpu: runs on the host only"), "{text}");
}

#[test]
fn state_is_carried_in_the_adapter_s_memory() {
    let mut b = Builder::new("recurrent");
    let spec = Spec::fixed(DType::F32, &[64]);
    let (x, h) = (b.input("x", spec.clone()), b.input("h", spec));
    let sum = b.op("Add", [h.into(), x.into()]).unwrap();
    let h = b.op("Tanh", [sum.into()]).unwrap();
    let y = b.op("Add", [h.into(), h.into()]).unwrap();
    let model = b.finish(&[y, h]);
    let Ok(options) = Options::default().on("wgpu") else { return };
    let cell = GraphCell::new(model, options).unwrap();
    let mut session = cell.session(&cell.exported_facts().unwrap()).unwrap();
    session.carry(1, 1).unwrap();
    let mut h = 0.0f32;
    for step in 0..6 {
        session.input_mut::<f32>(0).unwrap().fill(step as f32 / 4.0);
        session.run_filled().unwrap();
        h = (h + step as f32 / 4.0).tanh();
        assert!(session.output::<f32>(0).unwrap().iter().all(|y| (y - 2.0 * h).abs() < 1e-5), "{step}");
    }
    assert!(session.output::<f32>(1).is_err(), "it stays there");
    assert!((session.fetch(1).unwrap().to_f64s().unwrap()[63] - f64::from(h)).abs() < 1e-5);
}

#[test]
fn memory_of_the_adapter_counts() {
    let mut b = Builder::new("large");
    let x = b.input("x", Spec::fixed(DType::F32, &[1 << 20]));
    let w = b.param("w", mindir::Tensor::zeros(DType::F32, &[1 << 20]).unwrap());
    let y = b.op("Add", [x.into(), w.into()]).unwrap();
    let model = b.finish(&[y]);
    let Ok(options) = Options::default().on("wgpu") else { return };
    let run = |max_memory: u64| {
        let cell = GraphCell::new(model.clone(), Options { max_memory: Some(max_memory), ..options.clone() }).unwrap();
        cell.run(&[mindir::Tensor::zeros(DType::F32, &[1 << 20]).unwrap()]).map(drop)
    };
    // The parameter and the result in host memory; the parameter, the input and the result on the adapter.
    run(24 << 20).expect("five times four MiB");
    let error = run(14 << 20).expect_err("less");
    assert!(matches!(error, Error::Limit { what: mindir::Limit::Memory, .. }), "{error}");
}

/// A cell of one operator on wgpu; `None` if there is no adapter.
fn operator(name: &str, ins: &[Spec], more: Option<mindir::Tensor>, fallback: Fallback) -> Option<GraphCell> {
    let mut b = Builder::new(name);
    let inputs: Vec<_> = ins.iter().enumerate().map(|(i, spec)| b.input(&format!("x{i}"), spec.clone())).collect();
    let constant = more.map(|t| b.constant(t));
    let args: Vec<mindir::graph::Arg> = inputs.into_iter().chain(constant).map(Into::into).collect();
    let y = b.op(name, args).unwrap();
    let options = Options { fallback, ..Options::default() }.on("wgpu").ok()?;
    Some(GraphCell::new(b.finish(&[y]), options).unwrap())
}

#[test]
fn long_sums_are_whole() {
    // Software adapters end loops after 65535 turns.
    let ones = |dims: &[usize]| mindir::Tensor::from_f64s(DType::F32, dims, &vec![1.0; dims.iter().product()]).unwrap();
    for m in [1, 70] {
        let specs = [Spec::fixed(DType::F32, &[m, 70000]), Spec::fixed(DType::F32, &[70000, 3])];
        let Some(cell) = operator("MatMul", &specs, None, Fallback::Deny) else { return };
        let y = cell.run(&[ones(&[m, 70000]), ones(&[70000, 3])]).unwrap().remove(0);
        assert!(y.to_f64s().unwrap().iter().all(|y| *y == 70000.0), "{y:?}");
    }
    let specs = [Spec::fixed(DType::F32, &[140_000, 3])];
    let axis = mindir::Tensor::scalar(0i64);
    let Some(cell) = operator("ReduceSum", &specs, Some(axis), Fallback::Allow) else { return };
    let y = cell.run(&[ones(&[140_000, 3])]).unwrap().remove(0);
    assert!(y.to_f64s().unwrap().iter().all(|y| *y == 140_000.0), "{y:?}");
}

#[test]
fn what_is_no_number_survives_constants() {
    let x = mindir::Tensor::vector(&[1.0f32, -2.0, f32::NAN, f32::INFINITY, -0.0]);
    let spec = Spec::fixed(DType::F32, &[5]);
    for (name, constant) in [("Mul", 0.0f32), ("Div", 0.0), ("Add", 0.0), ("Sub", 0.0), ("Mul", -0.0)] {
        let constant = mindir::Tensor::scalar(constant);
        let Some(cell) = operator(name, std::slice::from_ref(&spec), Some(constant), Fallback::Deny) else { return };
        let got = cell.run(std::slice::from_ref(&x)).unwrap().remove(0);
        let on_cpu = GraphCell::new(cell.model().clone(), Options::default()).unwrap();
        let want = on_cpu.run(std::slice::from_ref(&x)).unwrap().remove(0);
        let bits = |t: &mindir::Tensor| -> Vec<u32> {
            let canonical = |x: &f32| if x.is_nan() { f32::NAN.to_bits() } else { x.to_bits() };
            t.view::<f32>().unwrap().iter().map(canonical).collect()
        };
        assert_eq!(bits(&got), bits(&want), "{name}: {got:?}, expected {want:?}");
    }
    let mut b = Builder::new("difference");
    let v = b.input("x", spec);
    let twice = b.op("Add", [v.into(), v.into()]).unwrap();
    let (y, z) = (b.op("Sub", [v.into(), v.into()]).unwrap(), b.op("Div", [twice.into(), twice.into()]).unwrap());
    let Ok(options) = Options::default().on("wgpu") else { return };
    let got = GraphCell::new(b.finish(&[y, z]), options).unwrap().run(&[x]).unwrap();
    for y in &got {
        let y = y.view::<f32>().unwrap();
        assert!(y[2].is_nan() && y[3].is_nan() && y[0].is_finite(), "{y:?}");
    }
}
