//! How many kernels a layer of a transformer takes on GPUs, which need not be there.
#![cfg(any(feature = "wgpu", feature = "cuda"))]

use std::collections::BTreeMap;
use std::sync::Arc;

use mindir::device::Device;
use mindir::{Fact, Fallback, GraphCell, Options, Tensor};
use mindir_kernels::launch::PlanOnly;
use mindir_tests::golden;

/// The kernels of each layer of a golden.
fn layers(name: &str, device: Arc<dyn Device>) -> BTreeMap<String, Vec<String>> {
    let golden = golden::read(&golden::folder().join(name));
    let facts: Vec<Fact> = golden.runs[0].inputs.iter().map(Tensor::fact).collect();
    let model = mindir::load(&golden.graph).expect("the golden loads");
    let options = Options { fallback: Fallback::Deny, ..Options::default() }.with_device(device);
    let plan = GraphCell::new(model, options).expect("supported").plan(&facts).expect("a plan");
    let mut layers: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for step in plan.stages().iter().flat_map(|stage| &stage.steps) {
        if let Some((_, rest)) = step.path.split_once("layers-CellList/") {
            let layer = rest.split('/').next().expect("a part");
            layers.entry(layer.to_string()).or_default().push(step.kernel.clone());
        }
    }
    layers
}

#[test]
fn a_layer_takes_seven_kernels() {
    for device in [PlanOnly::wgpu(), PlanOnly::cuda()] {
        // The second has one mask for all scores.
        for name in ["bert_small", "bert_dynamic", "vit_small", "vit_dynamic_batch"] {
            let found = layers(name, Arc::new(device));
            assert!(!found.is_empty(), "{name} has no layers");
            for (layer, kernels) in found {
                assert_eq!(kernels.len(), 7, "{name} {layer}: {kernels:#?}");
                assert_eq!(kernels.iter().filter(|kernel| kernel.contains("attention")).count(), 1, "{kernels:#?}");
            }
        }
    }
}
