//! The training data of `examples/digits`.

use std::path::PathBuf;

use mindir::{DType, Error, GraphCell, Options, Tensor, npy};

/// Images of a batch.
pub const BATCH: usize = 32;

/// A file of `examples/digits`.
pub fn path(name: &str) -> PathBuf {
    [env!("CARGO_MANIFEST_DIR"), "..", "examples", "digits", name].iter().collect()
}

/// A model of `examples/digits`.
pub fn cell(name: &str) -> Result<GraphCell, Error> {
    GraphCell::new(mindir::load(path(name))?, Options::default())
}

/// Inputs of the training step: images `[32, 1, 32, 32]` in 0 to 1 and labels `[32]`, batch by batch.
pub fn batches() -> Result<Vec<[Tensor; 2]>, Box<dyn std::error::Error>> {
    let images = npy::read(path("train_images.npy"))?;
    let labels = npy::read(path("train_labels.npy"))?.cast(DType::I32)?;
    let pairs = images.view::<u8>()?.chunks_exact(64 * BATCH).zip(labels.view::<i32>()?.chunks_exact(BATCH));
    let batch = |(small, labels): (&[u8], &[i32])| {
        Ok([Tensor::from_vec(&[BATCH, 1, 32, 32], enlarged(small))?, Tensor::from_slice(&[BATCH], labels)?])
    };
    pairs.map(batch).collect()
}

/// Images of 32 × 32 in 0 to 1 from images of 8 × 8 in 0 to 16.
fn enlarged(small: &[u8]) -> Vec<f32> {
    let pixel = |image: &[u8], at: usize| f32::from(image[at / 128 * 8 + at % 32 / 4]) / 16.0;
    small.chunks_exact(64).flat_map(|image| (0..1024).map(move |at| pixel(image, at))).collect()
}
