//! Puts a new head on trained layers: the checkpoint's head is dropped, the rest goes into a training step with a fresh head,
//! which then learns faster than a network that starts from nothing.
//!
//! `cargo run --release -p mindir --features npy --example transfer_learning`

mod digits;

use mindir::ckpt::{Checkpoint, Filter, LoadOptions};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let (scratch, mut tuned) = (digits::cell("train_step.mindir")?, digits::cell("train_step.mindir")?);

    let mut body: Checkpoint = digits::cell("lenet5.mindir")?.checkpoint();
    body.select(&Filter { filter_prefix: Some(vec!["fc3.".into()]), ..Filter::default() })?;
    let loaded = tuned.load_param_into_net(&body, LoadOptions::default())?;
    println!("loaded   {}", body.names().collect::<Vec<_>>().join(", "));
    println!("as it is {}", loaded.param_not_load.join(", "));

    for (step, inputs) in (1..).zip(digits::batches()?) {
        let (slow, fast) = (scratch.run(&inputs)?[0].to_f64s()?[0], tuned.run(&inputs)?[0].to_f64s()?[0]);
        if step % 10 == 0 {
            println!("step {step}  loss from nothing {slow:.3}, on trained layers {fast:.3}");
        }
    }
    Ok(())
}
