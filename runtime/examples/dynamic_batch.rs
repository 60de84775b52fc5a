//! A model exported with an unknown batch dimension runs any batch; plans are cached by shape. A session runs one shape
//! without allocating.
//!
//! `cargo run --release -p mindir --features npy --example dynamic_batch`

use mindir::{DType, Fact, GraphCell, Options, Tensor};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let model = mindir::load(concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/digits/lenet5_dynamic_batch.mindir"))?;
    let cell = GraphCell::new(model, Options::default())?;
    println!("input {}", cell.inputs()[0].spec);
    for batch in [1, 3, 32] {
        let x = Tensor::from_f64s(DType::F32, &[batch, 1, 32, 32], &vec![0.5; batch * 1024])?;
        println!("batch {batch:2} gives {}", cell.run(&[x])?[0].fact());
    }

    let mut session = cell.session(&[Fact::new(DType::F32, &[8, 1, 32, 32])])?;
    let x = vec![0.25f32; 8 * 1024];
    for _ in 0..3 {
        session.run(&[&x[..]])?;
    }
    println!("session gives {} and {:?}", session.output_fact(0).ok_or("no result")?, &session.output::<f32>(0)?[..3]);
    Ok(())
}
