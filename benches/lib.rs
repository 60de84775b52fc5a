//! What the benchmarks run on.

use std::path::PathBuf;

use mindir_tests::golden;
use mindir_tests::suite::{Case, goldens};

/// Committed goldens that stand for their kind.
const NETWORKS: &[&str] =
    &["lenet5", "mlp_small", "resnet_bottleneck_small", "mobilenet_small", "vit_small", "bert_small", "yolo_small"];

/// The goldens in the folder that `MINDIR_GOLDENS` names, or some committed networks.
pub fn networks() -> Vec<Case> {
    let named = |case: &Case| NETWORKS.iter().any(|name| case.name == format!("golden/{name}"));
    match std::env::var_os("MINDIR_GOLDENS") {
        Some(folder) => goldens(&PathBuf::from(folder)).collect(),
        None => goldens(&golden::folder()).filter(named).collect(),
    }
}
