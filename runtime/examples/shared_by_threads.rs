//! One cell, many threads: `run` takes `&self`, weights are shared.
//!
//! `cargo run --release -p mindir --features npy --example shared_by_threads`

use mindir::{DType, GraphCell, Options, Tensor};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let model = mindir::load(concat!(env!("CARGO_MANIFEST_DIR"), "/../examples/digits/lenet5.mindir"))?;
    let cell = GraphCell::new(model, Options { threads: Some(1), ..Options::default() })?;
    let x = Tensor::from_f64s(DType::F32, &[1, 1, 32, 32], &[0.5; 1024])?;
    let want = cell.run(std::slice::from_ref(&x))?;

    let runs = std::thread::scope(|s| {
        let workers: Vec<_> = (0..8)
            .map(|_| {
                s.spawn(|| (0..100).filter(|_| cell.run(std::slice::from_ref(&x)).is_ok_and(|y| y == want)).count())
            })
            .collect();
        workers.into_iter().map(|w| w.join().unwrap_or(0)).sum::<usize>()
    });
    println!("{runs} of 800 runs on 8 threads gave the same bits");
    if runs == 800 { Ok(()) } else { Err("results differ".into()) }
}
