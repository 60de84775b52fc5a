//! A tensor in a line.

use mindir::Tensor;
use serde::Serialize;

use crate::print::{name, number};

/// Values shown of each tensor.
const SHOWN: usize = 6;

/// What there is to say about a tensor. Numbers that JSON lacks (NaN, infinities) are null there; all are null for complex
/// tensors, and for tensors without elements.
#[derive(Serialize)]
pub struct Stats {
    pub name: String,
    pub dtype: &'static str,
    pub shape: Vec<usize>,
    pub min: Option<f64>,
    pub max: Option<f64>,
    pub mean: Option<f64>,
    /// NaN elements.
    pub nans: usize,
    /// The first values.
    pub first: Vec<f64>,
}

impl Stats {
    pub fn of(name: &str, tensor: &Tensor) -> Stats {
        let values = tensor.to_f64s().unwrap_or_default();
        let numbers = || values.iter().copied().filter(|x| !x.is_nan());
        let count = numbers().count();
        let some = |x: f64| (count > 0).then_some(x);
        Stats {
            name: name.into(),
            dtype: tensor.dtype().name(),
            shape: tensor.shape().to_vec(),
            min: some(numbers().fold(f64::INFINITY, f64::min)),
            max: some(numbers().fold(f64::NEG_INFINITY, f64::max)),
            mean: some(numbers().sum::<f64>() / count as f64),
            nans: values.len() - count,
            first: values.iter().copied().take(SHOWN).collect(),
        }
    }

    pub fn fact(&self) -> String {
        format!("{} {:?}", self.dtype, self.shape)
    }

    pub fn line(&self, title: &str) -> String {
        let mut text = format!("{title}  {}  {}", name(&self.name), self.fact());
        if let (Some(min), Some(max), Some(mean)) = (self.min, self.max, self.mean) {
            text += &format!("  min {} max {} mean {}", number(min), number(max), number(mean));
        }
        if self.nans > 0 {
            text += &format!("  {} NaN", self.nans);
        }
        let first: Vec<String> = self.first.iter().map(|x| number(*x)).collect();
        let more = if self.shape.iter().product::<usize>() > first.len() { ", …" } else { "" };
        if first.is_empty() { text + "\n" } else { text + &format!("\n  [{}{more}]\n", first.join(", ")) }
    }
}
