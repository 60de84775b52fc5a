//! Loads all tensors of a checkpoint and keeps them, as `benches/peers/checkpoint.py` times it.
//!
//! `load_checkpoint FILE`

use mindir::Tensor;
use mindir::ckpt::{self, Array, ReadOptions, Value};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let path = std::env::args().nth(1).ok_or("usage: load_checkpoint FILE")?;
    let checkpoint = ckpt::read(path, &ReadOptions::default())?;
    let arrays = checkpoint.iter().filter_map(|(_, value)| Value::array(value));
    let tensors = arrays.map(Array::tensor).collect::<Result<Vec<Tensor>, _>>()?;
    // Tensors that lie aligned in the file are not in memory before they are looked at.
    let sum =
        tensors.iter().flat_map(|t| t.bytes().iter().step_by(4096)).fold(0u64, |sum, byte| sum + u64::from(*byte));
    println!("{} tensors, page sum {sum}", tensors.len());
    Ok(())
}
