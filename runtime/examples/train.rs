//! Trains LeNet-5 with the training step that MindSpore exported and keeps checkpoints. Given one of them, it goes on there.
//!
//! `cargo run --release -p mindir --features npy --example train -- FOLDER [CHECKPOINT]`

mod digits;

use std::path::PathBuf;

use mindir::ckpt::{self, CheckpointConfig, CheckpointManager, LoadOptions, Progress, ReadOptions};

const EPOCHS: u64 = 3;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut args = std::env::args_os().skip(1).map(PathBuf::from);
    let folder = args.next().ok_or("usage: train FOLDER [CHECKPOINT]")?;
    let mut cell = digits::cell("train_step.mindir")?;
    if let Some(path) = args.next() {
        let saved = ckpt::read(path, &ReadOptions::default())?;
        cell.load_param_into_net(&saved, LoadOptions { strict: true })?;
    }
    let done = cell.param("global_step").ok_or("the model counts no steps")?.to_i64s()?[0] as u64;

    // A loop that is left early leaves a file of its last step.
    let config = CheckpointConfig {
        save_checkpoint_steps: 44,
        keep_checkpoint_max: 2,
        exception_save: true,
        ..CheckpointConfig::default()
    };
    let mut manager = CheckpointManager::new("lenet5", folder, config)?;
    let batches = digits::batches()?;
    let epoch = batches.len() as u64;
    let mut run = manager.run(|| cell.checkpoint());
    for step in done + 1..=done + EPOCHS * epoch {
        let inputs = &batches[((step - 1) % epoch) as usize];
        let loss = cell.run(inputs)?[0].to_f64s()?[0];
        if let Some(path) = run.step_end(Progress::new(step, epoch))? {
            println!("step {step}  loss {loss:.4}  saved {}", path.display());
        }
    }
    run.finish()?;
    Ok(())
}
