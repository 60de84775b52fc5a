//! The best classes of a classifier.

use std::path::Path;

use mindir::Tensor;
use serde::Serialize;

use crate::failure::Failure;
use crate::print::number;
use crate::save;

/// One class.
#[derive(Serialize)]
pub struct Class {
    pub index: usize,
    pub label: Option<String>,
    /// What the model says.
    pub score: f64,
    /// The softmax of the scores; the score itself where the scores are probabilities already.
    pub probability: f64,
}

/// The best classes of one row of an output.
#[derive(Serialize)]
pub struct Row {
    pub output: usize,
    pub row: usize,
    pub classes: Vec<Class>,
}

/// The number of classes that --top shows.
pub fn count(text: &str) -> Result<usize, String> {
    let n = text.parse().ok().filter(|n| *n > 0);
    n.ok_or_else(|| "expected a number of classes from 1 on".into())
}

/// One name a line, behind the mark that some editors put in front of UTF-8.
pub fn labels(path: &Path) -> Result<Vec<String>, Failure> {
    let text = std::fs::read_to_string(path).map_err(Failure::file(path))?;
    save::reads(path);
    let text = text.strip_prefix('\u{feff}').unwrap_or(&text);
    Ok(text.lines().map(|l| l.trim_end().to_string()).collect())
}

/// The `k` best classes of every row of every float output with more than one column.
pub fn rows(outputs: &[Tensor], k: usize, labels: Option<&[String]>) -> Result<Vec<Row>, Failure> {
    let mut out = Vec::new();
    for (output, t) in outputs.iter().enumerate() {
        let columns = t.shape().last().copied().unwrap_or(0);
        if !t.dtype().is_float() || columns < 2 || labels.is_some_and(|l| l.len() != columns) {
            continue;
        }
        let values = t.to_f64s()?;
        let row = |(row, scores): (usize, &[f64])| Row { output, row, classes: best(scores, k, labels) };
        out.extend(values.chunks_exact(columns).enumerate().map(row));
    }
    if out.is_empty() {
        let facts: Vec<String> = outputs.iter().map(|t| t.fact().to_string()).collect();
        let labels = labels.map_or(String::new(), |l| format!(" with {} columns, one for each label", l.len()));
        let facts = facts.join(", ");
        return Err(Failure::Usage(format!("--top needs a float output{labels}; the outputs are {facts}")));
    }
    Ok(out)
}

fn best(scores: &[f64], k: usize, labels: Option<&[String]>) -> Vec<Class> {
    let mut order: Vec<usize> = (0..scores.len()).collect();
    order.sort_by(|&a, &b| scores[b].total_cmp(&scores[a]));
    let probabilities = probabilities(scores);
    let class = |&index: &usize| Class {
        index,
        label: labels.and_then(|l| l.get(index).cloned()),
        score: scores[index],
        probability: probabilities[index],
    };
    order.iter().take(k).map(class).collect()
}

fn probabilities(scores: &[f64]) -> Vec<f64> {
    let sum: f64 = scores.iter().sum();
    if scores.iter().all(|s| (0.0..=1.0).contains(s)) && (sum - 1.0).abs() < 1e-3 {
        return scores.to_vec();
    }
    let max = scores.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let exp: Vec<f64> = scores.iter().map(|s| (s - max).exp()).collect();
    let sum: f64 = exp.iter().sum();
    exp.iter().map(|e| e / sum).collect()
}

impl Row {
    pub fn lines(&self, title: bool) -> String {
        let mut text = if title { format!("output {} row {}\n", self.output, self.row) } else { String::new() };
        for c in &self.classes {
            let label = c.label.as_deref().map_or(c.index.to_string(), |l| mindir::Printable(l).to_string());
            text += &format!("{label}  probability {:.4}  score {}\n", c.probability, number(c.score));
        }
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn scores_become_probabilities_once() {
        let logits = probabilities(&[0.0, 3f64.ln()]);
        assert!((logits[1] - 0.75).abs() < 1e-12);
        assert_eq!(probabilities(&[0.25, 0.75]), [0.25, 0.75]);
    }

    #[test]
    fn the_best_come_first() {
        let t = Tensor::from_vec(&[2, 3], vec![1f32, 3.0, 2.0, 9.0, 8.0, 7.0]).unwrap();
        let rows = rows(&[t], 2, None).unwrap();
        let order: Vec<Vec<usize>> = rows.iter().map(|r| r.classes.iter().map(|c| c.index).collect()).collect();
        assert_eq!(order, [[1, 2], [0, 1]]);
    }
}
