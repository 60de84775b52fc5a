//! Loads LeNet-5 and classifies the digits of the test set.
//!
//! `cargo run --release -p mindir --features npy --example load_and_run`

use mindir::{GraphCell, Options, Tensor, npy};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/digits/");
    let cell = GraphCell::new(mindir::load(format!("{folder}lenet5.mindir"))?, Options::default())?;
    for port in cell.inputs() {
        println!("input  {} {}", port.name, port.spec);
    }
    for port in cell.outputs() {
        println!("output {} {}", port.name, port.spec);
    }

    let images = npy::read(format!("{folder}test_images.npy"))?.cast(mindir::DType::F32)?;
    let labels = npy::read(format!("{folder}test_labels.npy"))?.to_i64s()?;
    let mut right = 0;
    for (image, label) in images.view::<f32>()?.chunks_exact(32 * 32).zip(&labels) {
        let scores = cell.run(&[Tensor::from_slice(&[1, 1, 32, 32], &scaled(image))?])?;
        right += usize::from(argmax(scores[0].view::<f32>()?) as i64 == *label);
    }
    println!("{right} of {} images classified correctly", labels.len());
    Ok(())
}

/// Pixels between 0 and 1, whatever the file's range is.
fn scaled(image: &[f32]) -> Vec<f32> {
    let top = if image.iter().any(|&x| x > 1.0) { 255.0 } else { 1.0 };
    image.iter().map(|x| x / top).collect()
}

fn argmax(scores: &[f32]) -> usize {
    (0..scores.len()).max_by(|&a, &b| scores[a].total_cmp(&scores[b])).unwrap_or(0)
}
