//! Goldens written as ONNX and read again give MindSpore's numbers, and random control flow its own; `tests/oracle/onnx_out.py` asks ONNX Runtime.

use mindir::onnx::{self, OPSETS, Options};
use mindir::{GraphCell, Tensor};
use mindir_tests::compare::difference;
use mindir_tests::flows;
use mindir_tests::golden::{self, Golden};
use mindir_tests::shapes::Sample;

/// Networks that have to survive.
const NAMED: [&str; 14] = [
    "mlp_small",
    "mlp_dynamic",
    "lenet5",
    "lenet5_dynamic",
    "resnet_basic_small",
    "resnet_bottleneck_small",
    "mobilenet_small",
    "vit_small",
    "vit_dynamic_batch",
    "bert_small",
    "bert_dynamic",
    "gpt2_kv_small",
    "gpt2_kv_dynamic",
    "yolo_small",
];

fn check(golden: &Golden, opset: i64) -> Result<(), String> {
    let folder = std::env::temp_dir().join(format!("mindir-onnx-{}-{}-{opset}", std::process::id(), golden.name));
    std::fs::create_dir_all(&folder).map_err(|e| e.to_string())?;
    let outcome = through(golden, opset, &folder.join("model.onnx"));
    let _ = std::fs::remove_dir_all(&folder);
    outcome
}

fn through(golden: &Golden, opset: i64, path: &std::path::Path) -> Result<(), String> {
    let model = mindir::load(&golden.graph).map_err(|e| format!("load: {e}"))?;
    let fixed: Vec<_> = model.entry().inputs.iter().map(|v| model.entry().value(*v).spec.shape()).collect();
    onnx::export(&model, path, &Options { opset, ..Options::default() }).map_err(|e| format!("export: {e}"))?;
    let model = mindir::load(path).map_err(|e| format!("import: {e}"))?;
    let cell = GraphCell::new(model, Default::default()).map_err(|e| format!("cell: {e}"))?;
    for set in &golden.runs {
        let inputs: Vec<Tensor> = set.inputs(fixed.len());
        // ONNX files hold for the shapes that they state.
        if inputs.iter().zip(&fixed).any(|(t, f)| f.as_ref().is_some_and(|f| f.as_slice() != t.shape())) {
            continue;
        }
        let got = cell.run(&inputs).map_err(|e| format!("{}: {e}", set.name))?;
        for (i, (got, want)) in got.iter().zip(&set.outputs).enumerate() {
            let Some(want) = want else { continue };
            let d = difference(got, want).map_err(|e| format!("{} output {i}: {e}", set.name))?;
            if d.relative() > golden.tolerance {
                return Err(format!("{} output {i}: differs by {:.1e}", set.name, d.relative()));
            }
        }
    }
    Ok(())
}

#[test]
fn networks_survive_onnx() {
    let goldens = golden::all(&golden::folder());
    let mut failures = Vec::new();
    for name in NAMED {
        let golden = goldens.iter().find(|g| g.name == name);
        for opset in [*OPSETS.start(), *OPSETS.end()] {
            let outcome = golden.map_or_else(|| Err("there is no such golden".into()), |g| check(g, opset));
            failures.extend(outcome.err().map(|e| format!("{name}, set {opset}: {e}")));
        }
    }
    assert!(failures.is_empty(), "{}", failures.join("\n"));
}

/// Random control flow; most of it comes back to where it was from inside of conditions and other loops.
#[test]
fn flows_survive_onnx() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("model.onnx");
    let (mut failures, mut count) = (Vec::new(), 0);
    for seed in 0..120 {
        let Some(sample) = flows::sample(seed) else { continue };
        count += 1;
        // What may never end has no form.
        let outcome = flow(&sample, &path).err().filter(|e| !e.contains("nothing ends the loop"));
        failures.extend(outcome.map(|e| format!("seed {seed}: {e}")));
    }
    assert!(count > 30, "only {count} models end");
    assert!(failures.is_empty(), "{} of {count}:\n{}", failures.len(), failures.join("\n"));
}

fn flow(sample: &Sample, path: &std::path::Path) -> Result<(), String> {
    onnx::export(&sample.model, path, &Options::default()).map_err(|e| e.to_string())?;
    let model = mindir::load(path).map_err(|e| format!("import: {e}"))?;
    let cell = GraphCell::new(model, Default::default()).map_err(|e| format!("cell: {e}"))?;
    for (inputs, want) in &sample.runs {
        let got = cell.run(inputs).map_err(|e| e.to_string())?;
        for (got, want) in got.iter().zip(want) {
            if got.shape() != want.shape() || got.bytes() != want.bytes() {
                return Err(format!("expected {want:?}, found {got:?}"));
            }
        }
    }
    Ok(())
}
