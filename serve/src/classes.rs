//! Results as classes.

use mindir::Tensor;
use serde::Serialize;

use crate::RequestError;

/// A class that a row of a result speaks for.
#[derive(Debug, Serialize)]
pub(crate) struct Class {
    pub output: String,
    pub row: usize,
    pub index: usize,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub label: Option<String>,
    pub probability: f64,
}

/// The numbers of a row with their places, the largest first; NaN are last.
fn ranked(row: &[f64], most: usize) -> Vec<(usize, f64)> {
    let mut ranked: Vec<(usize, f64)> = row.iter().copied().enumerate().collect();
    let key = |v: f64| if v.is_nan() { f64::NEG_INFINITY } else { v };
    ranked.sort_by(|a, b| key(b.1).total_cmp(&key(a.1)).then(a.0.cmp(&b.0)));
    ranked.truncate(most);
    ranked
}

fn numbers(name: &str, tensor: &Tensor) -> Result<Vec<f64>, RequestError> {
    tensor.to_f64s().map_err(|e| RequestError::Invalid(format!("outputs: {name}: {e}")))
}

/// Texts of the protocol's element type `BYTES`, row by row.
pub(crate) struct Texts {
    pub shape: Vec<usize>,
    pub texts: Vec<String>,
}

impl Texts {
    /// The best classes of every row of the result called `name` along its last dimension, as `number:place:label`.
    pub fn of(name: &str, tensor: &Tensor, most: usize, labels: &[String]) -> Result<Texts, RequestError> {
        let numbers = numbers(name, tensor)?;
        let (mut shape, len) = match tensor.shape().split_last() {
            Some((len, before)) => (before.to_vec(), *len),
            None => (Vec::new(), 1),
        };
        let most = most.min(len);
        let text = |(at, v): (usize, f64)| match labels.get(at) {
            Some(label) => format!("{v:.6}:{at}:{label}"),
            None => format!("{v:.6}:{at}"),
        };
        let texts = numbers.chunks(len.max(1)).flat_map(|row| ranked(row, most)).map(text).collect();
        shape.push(most);
        Ok(Texts { shape, texts })
    }

    /// The texts as they are sent without JSON: the length of each, and it.
    pub fn bytes(&self) -> Vec<u8> {
        let length = |text: &String| u32::try_from(text.len()).unwrap_or(u32::MAX).to_le_bytes();
        self.texts.iter().flat_map(|text| length(text).into_iter().chain(text.bytes())).collect()
    }
}

/// The best classes of every row of every float result that has rows, with their probabilities: the softmax of the row.
pub(crate) fn best(results: &[(String, Tensor)], top: usize, labels: &[String]) -> Result<Vec<Class>, RequestError> {
    let mut classes = Vec::new();
    let has_rows = |t: &Tensor| t.dtype().is_float() && (1..3).contains(&t.shape().len());
    for (name, tensor) in results.iter().filter(|(_, t)| has_rows(t)) {
        let len = tensor.shape().last().copied().unwrap_or_default();
        for (row, numbers) in numbers(name, tensor)?.chunks(len.max(1)).enumerate() {
            let most = numbers.iter().copied().fold(f64::NEG_INFINITY, f64::max);
            let sum: f64 = numbers.iter().map(|v| (v - most).exp()).sum();
            let class = |(index, v): (usize, f64)| {
                let label = labels.get(index).cloned();
                Class { output: name.clone(), row, index, label, probability: (v - most).exp() / sum }
            };
            classes.extend(ranked(numbers, top).into_iter().map(class));
        }
    }
    Ok(classes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn classes_are_ranked() {
        assert_eq!(ranked(&[0.5, f64::NAN, 2.0, 2.0], 3), [(2, 2.0), (3, 2.0), (0, 0.5)]);
        let scores = Tensor::from_vec(&[2, 3], vec![1.0f32, 3.0, 2.0, 9.0, 8.0, 7.0]).unwrap();
        let labels = ["a", "b", "c"].map(String::from);
        let Texts { shape, texts } = Texts::of("y", &scores, 2, &labels).unwrap();
        assert_eq!(shape, [2, 2]);
        assert_eq!(texts, ["3.000000:1:b", "2.000000:2:c", "9.000000:0:a", "8.000000:1:b"]);
        let best = best(&[("y".into(), scores)], 1, &labels).unwrap();
        assert_eq!(best.iter().map(|c| c.index).collect::<Vec<_>>(), [1, 0]);
    }
}
