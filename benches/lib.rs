//! What the benchmarks run on.

use std::path::PathBuf;

use mindir_tests::golden::{self, Golden};

/// Committed goldens that stand for their kind.
const NETWORKS: &[&str] =
    &["lenet5", "mlp_small", "resnet_bottleneck_small", "mobilenet_small", "vit_small", "bert_small", "yolo_small"];

/// The goldens in the folder that `MINDIR_GOLDENS` names, or some committed networks.
pub fn networks() -> Vec<Golden> {
    match std::env::var_os("MINDIR_GOLDENS") {
        Some(folder) => golden::all(&PathBuf::from(folder)),
        None => NETWORKS.iter().map(|n| golden::read(&golden::folder().join(n))).collect(),
    }
}
