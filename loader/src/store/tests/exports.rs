//! Writing models and checkpoints: whatever fails, the old file stays.

use std::collections::BTreeMap;

use mindir_graph::builder::Builder;
use mindir_graph::graph::Model;
use mindir_graph::{DType, Spec, Tensor};

use super::memory::{Fault, Memory};
use super::{StoreError, options};
use crate::ckpt::{self, Checkpoint, CheckpointError, WriteOptions};
use crate::mindir::{self, ExportError, ExportOptions};
use crate::{air, onnx};

/// A layer whose weights depend on `seed`.
fn model(seed: f64) -> Model {
    let mut b = Builder::new("layer");
    let x = b.input("x", Spec::fixed(DType::F32, &[2, 3]));
    let weight: Vec<f64> = (0..300).map(|i| seed + f64::from(i)).collect();
    let weight = b.param("weight", Tensor::from_f64s(DType::F32, &[3, 100], &weight).unwrap());
    let y = b.op("MatMul", [x.into(), weight.into()]).unwrap();
    let y = b.op("ReLU", [y.into()]).unwrap();
    b.finish(&[y])
}

type Write = fn(&Model, &Memory) -> Result<(), StoreError>;

fn mindir(model: &Model, memory: &Memory, split_above: u64) -> Result<(), StoreError> {
    let options = ExportOptions { split_above, store: options(memory), ..ExportOptions::default() };
    mindir::export(model, "/d/net.mindir", &options).map(drop).map_err(|error| match error {
        ExportError::Store(error) => error,
        other => panic!("{other}"),
    })
}

fn onnx(model: &Model, memory: &Memory, split_above: u64) -> Result<(), StoreError> {
    let options = onnx::Options { split_above, store: options(memory), ..onnx::Options::default() };
    onnx::export(model, "/d/net.onnx", &options).map(drop).map_err(|error| match error {
        onnx::WriteError::Store(error) => error,
        other => panic!("{other}"),
    })
}

fn air(model: &Model, memory: &Memory) -> Result<(), StoreError> {
    air::export(model, "/d/net.air", &options(memory)).map(drop).map_err(|error| match error {
        air::AirError::Store(error) => error,
        other => panic!("{other}"),
    })
}

fn checkpoint(model: &Model, memory: &Memory, path: &str) -> Result<(), StoreError> {
    let checkpoint: Checkpoint = model.params.iter().collect();
    let options = WriteOptions { store: options(memory), ..WriteOptions::default() };
    ckpt::write(path, &checkpoint, &options).map_err(|error| match error {
        CheckpointError::Store(error) => error,
        other => panic!("{other}"),
    })
}

const WAYS: [(&str, Write); 7] = [
    ("one file", |model, memory| mindir(model, memory, u64::MAX)),
    ("split", |model, memory| mindir(model, memory, 0)),
    ("ONNX", |model, memory| onnx(model, memory, u64::MAX)),
    ("ONNX with data", |model, memory| onnx(model, memory, 0)),
    ("AIR", air),
    ("checkpoint", |model, memory| checkpoint(model, memory, "/d/net.ckpt")),
    ("safetensors", |model, memory| checkpoint(model, memory, "/d/net.safetensors")),
];

/// Every file with its contents.
fn files(memory: &Memory) -> BTreeMap<String, Vec<u8>> {
    let names = memory.names().into_iter();
    names.filter_map(|name| memory.read(&format!("/d/{name}")).map(|bytes| (name, bytes))).collect()
}

#[test]
fn what_fails_leaves_the_old_model() {
    for (way, write) in WAYS {
        let start = Memory::new();
        write(&model(0.0), &start).unwrap();
        let complete = start.healed();
        write(&model(100.0), &complete).unwrap();
        let (old, new) = (files(&start), files(&complete));
        assert_ne!(old, new, "{way}");
        for at in 0.. {
            let memory = start.with(Fault::Error(at));
            let outcome = write(&model(100.0), &memory);
            if !memory.failed() {
                assert!(outcome.is_ok() && at > 10, "{way}: {outcome:?} after {at} operations");
                break;
            }
            let replaced = outcome.as_ref().map_or_else(StoreError::is_replaced, |()| true);
            let found = files(&memory);
            let stays = if replaced { &new } else { &old };
            for (name, bytes) in stays {
                assert_eq!(found.get(name), Some(bytes), "{way}, operation {at}: {name} after {outcome:?}");
            }
        }
    }
}
