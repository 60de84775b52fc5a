//! Losses of sequences whose labels are not aligned with their steps: the probability of all alignments.

use super::distance::Reduced;
use crate::bounds::Pulse;
use crate::onnx::{Emit, Forms, no_form};
use crate::op::{Case, CaseArg, Operand, Rule};
use crate::ops::kit::indices::{item, item_mut};
use crate::ops::kit::sample::{Sample, filled, sample};
use crate::{DType, Fact, OpError, Tensor, ensure, op};

const NOTHING: f64 = f64::NEG_INFINITY;
const NO_FORM: &str = "ONNX has no loss of alignments";

/// The logarithm of the sum of what these are logarithms of.
fn log_sum(xs: &[f64]) -> f64 {
    let most = xs.iter().copied().fold(NOTHING, f64::max);
    if most == NOTHING { NOTHING } else { most + xs.iter().map(|x| (x - most).exp()).sum::<f64>().ln() }
}

/// Logarithms of probabilities of classes at the steps of one sequence, and its labels with blanks around each.
struct Lattice<'a> {
    logs: Vec<&'a [f64]>,
    states: Vec<usize>,
    blank: usize,
    /// Whether equal labels one after the other are one, unless there is a blank between them.
    merges: bool,
}

impl<'a> Lattice<'a> {
    fn new(logs: Vec<&'a [f64]>, labels: &[usize], blank: usize, merges: bool) -> Lattice<'a> {
        let states = std::iter::once(blank).chain(labels.iter().flat_map(|&label| [label, blank])).collect();
        Lattice { logs, states, blank, merges }
    }

    fn state(&self, s: usize) -> usize {
        self.states.get(s).copied().unwrap_or(self.blank)
    }

    /// Whether state `to` may follow `from` at the next step.
    fn leaps(&self, from: usize, to: usize) -> bool {
        let (a, b) = (self.state(from), self.state(to));
        match to - from {
            0 => self.merges || b == self.blank,
            1 => true,
            _ => b != self.blank && !(self.merges && a == b),
        }
    }

    fn log(&self, step: usize, s: usize) -> Result<f64, OpError> {
        Ok(*item(item(&self.logs, step)?, self.state(s))?)
    }

    /// For every step and state the logarithm of the probability of all ways to it, or, `back`, from it to the end.
    fn ways(&self, back: bool, pulse: &mut Pulse) -> Result<Vec<Vec<f64>>, OpError> {
        let (steps, count) = (self.logs.len(), self.states.len());
        let mut all: Vec<Vec<f64>> = Vec::with_capacity(steps);
        for turn in 0..steps {
            let step = if back { steps - 1 - turn } else { turn };
            let mut row = Vec::with_capacity(count);
            for s in 0..count {
                pulse.beat()?;
                let ends = if back { s + 2 >= count } else { s < 2 };
                let before = match all.last() {
                    None => {
                        if ends {
                            0.0
                        } else {
                            NOTHING
                        }
                    }
                    Some(last) => {
                        let near = (0..3).filter_map(|leap| {
                            let other = if back { s + leap } else { s.checked_sub(leap)? };
                            let (from, to) = if back { (s, other) } else { (other, s) };
                            last.get(other).copied().filter(|_| self.leaps(from, to))
                        });
                        log_sum(&near.collect::<Vec<_>>())
                    }
                };
                row.push(before + self.log(step, s)?);
            }
            all.push(row);
        }
        if back {
            all.reverse();
        }
        Ok(all)
    }

    /// The logarithm of the probability of all alignments, given the ways to the last step.
    fn total(&self, ahead: &[Vec<f64>]) -> f64 {
        match ahead.last() {
            Some(last) => log_sum(last.get(last.len().saturating_sub(2)..).unwrap_or_default()),
            None => {
                if self.states.len() == 1 {
                    0.0
                } else {
                    NOTHING
                }
            }
        }
    }

    /// The gradient of `loss` by the logits of one step: probabilities of the classes minus their share of alignments.
    fn slopes(&self, step: usize, ways: [&[Vec<f64>]; 2], loss: f64) -> Result<Vec<f64>, OpError> {
        let [ahead, back] = [item(ways[0], step)?, item(ways[1], step)?];
        let logs = *item(&self.logs, step)?;
        let mut through = vec![Vec::new(); logs.len()];
        for ((s, a), b) in self.states.iter().zip(ahead).zip(back) {
            item_mut(&mut through, *s)?.push(a + b);
        }
        let one = |(log, through): (&f64, Vec<f64>)| match log_sum(&through) {
            NOTHING => log.exp(),
            sum => log.exp() - (sum + loss - log).exp(),
        };
        Ok(logs.iter().zip(through).map(one).collect())
    }
}

/// The rows of classes that sequence `n` of `count` has in its first `len` steps.
fn steps(x: &[f64], n: usize, [count, classes]: [usize; 2], len: usize) -> Vec<&[f64]> {
    x.chunks(classes.max(1)).skip(n).step_by(count.max(1)).take(len).collect()
}

fn class(label: i64, classes: usize) -> Result<usize, OpError> {
    let found = usize::try_from(label).ok().filter(|label| *label < classes);
    found.ok_or_else(|| {
        OpError::Invalid(format!("expected labels from 0 to {}, found {label}", classes.saturating_sub(1)))
    })
}

fn length(len: i64, most: usize) -> Result<usize, OpError> {
    let found = usize::try_from(len).ok().filter(|len| *len <= most);
    found.ok_or_else(|| OpError::Invalid(format!("expected lengths from 0 to {most}, found {len}")))
}

fn ints(x: &Operand, dims: &[usize]) -> Result<(), OpError> {
    ensure!(x.dtype().is_int() && x.shape() == dims, "expected integers of shape {dims:?}, found {}", x.fact);
    Ok(())
}

op! {
    /// Minus the logarithm of the probability that sequences have their labels: `log_probs` holds logarithms for steps, sequences
    /// and classes, `targets` a row of labels for each sequence, of which the first `target_lengths` count, as do the first
    /// `input_lengths` steps. Also gives the logarithms of the probabilities of all ways to each step and state, labels with
    /// blanks around each; −∞ for steps and states that do not count. Infinite losses become 0 if `zero_infinity`. Floats.
    classic CTCLossV2 {
        log_probs: Operand,
        targets: Operand,
        input_lengths: Operand,
        target_lengths: Operand,
        blank: i64 = 0,
        reduction: Reduced as Small = Reduced::Each,
        zero_infinity: bool = false,
    }
}

/// What [`CTCLossV2`] and its gradient have in common.
struct Sequences<'a> {
    log_probs: &'a Operand,
    targets: &'a Operand,
    lengths: [&'a Operand; 2],
    blank: i64,
}

impl Sequences<'_> {
    /// Numbers of steps, sequences, classes and labels.
    fn sizes(&self) -> Result<[usize; 4], OpError> {
        let [t, n, c] = self.log_probs.fact.ranked()?;
        let [rows, s] = self.targets.fact.ranked()?;
        ensure!(self.log_probs.dtype().is_float(), "expected floats, found {}", self.log_probs.fact);
        ensure!(
            rows == n && self.targets.dtype().is_int(),
            "expected labels of {n} sequences, found {}",
            self.targets.fact
        );
        for lengths in self.lengths {
            ints(lengths, &[n])?;
        }
        class(self.blank, c)?;
        Ok([t, n, c, s])
    }

    /// The lattice of every sequence.
    fn lattices<'x>(&self, x: &'x [f64]) -> Result<Vec<Lattice<'x>>, OpError> {
        let [t, n, c, s] = self.sizes()?;
        let (targets, [inputs, labels]) = (self.targets.i64s()?, self.lengths);
        let (inputs, labels) = (inputs.i64s()?, labels.i64s()?);
        let blank = class(self.blank, c)?;
        let one = |(k, (input, label)): (usize, (i64, i64))| {
            let own = targets.iter().skip(k * s).take(length(label, s)?).map(|&label| class(label, c));
            Ok(Lattice::new(steps(x, k, [n, c], length(input, t)?), &own.collect::<Result<Vec<_>, _>>()?, blank, true))
        };
        inputs.into_iter().zip(labels).enumerate().map(one).collect()
    }
}

impl CTCLossV2 {
    fn sequences(&self) -> Sequences<'_> {
        let lengths = [&self.input_lengths, &self.target_lengths];
        Sequences { log_probs: &self.log_probs, targets: &self.targets, lengths, blank: self.blank }
    }
}

impl Rule for CTCLossV2 {
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        let [t, n, _, s] = self.sequences().sizes()?;
        ensure!(self.reduction == Reduced::Each, "expected reduction none, found {:?}", self.reduction);
        let d = self.log_probs.dtype();
        Ok(vec![Fact::new(d, &[n]), Fact::new(d, &[n, t, 2 * s + 1])])
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        let (facts, x) = (self.infer()?, self.log_probs.f64s()?);
        let [t, _, _, s] = self.sequences().sizes()?;
        let (mut losses, mut all, mut pulse) = (Vec::new(), Vec::new(), Pulse::default());
        for lattice in self.sequences().lattices(&x)? {
            let ahead = lattice.ways(false, &mut pulse)?;
            let loss = -lattice.total(&ahead);
            losses.push(if self.zero_infinity && loss.is_infinite() { 0.0 } else { loss });
            let rows = (0..t).map(|step| ahead.get(step).map_or(&[][..], Vec::as_slice));
            all.extend(rows.flat_map(|row| (0..2 * s + 1).map(|s| row.get(s).copied().unwrap_or(NOTHING))));
        }
        facts.iter().zip([losses, all]).map(|(f, x)| Ok(Tensor::from_f64s(f.dtype, &f.shape, &x)?)).collect()
    }

    fn onnx(&self, _: &mut Emit) -> Forms {
        no_form(NO_FORM)
    }

    fn cases() -> Vec<Case> {
        let short = || sequences(sample(), &[[1, 1], [2, 2]], [&[2, 0], &[2, 1]]).int(0).text("none");
        vec![
            sequences(sample(), &[[1, 2], [3, 3]], [&[5, 4], &[2, 1]]).case("two sequences"),
            sequences(sample(), &[[1, 1], [0, 2]], [&[5, 3], &[2, 0]]).int(3).text("none").case("last blank"),
            short().flag(true).case("impossible"),
            short().flag(false).case("infinite"),
        ]
    }
}

fn logs() -> CaseArg {
    filled(DType::F32, &[5, 2, 4], |i| -0.5 - (i * 7 % 11) as f64 / 5.0)
}

/// Logarithms, labels and lengths of two sequences.
fn sequences(before: Sample, labels: &[[i64; 2]; 2], [inputs, targets]: [&[i64; 2]; 2]) -> Sample {
    before.arg(logs()).index(DType::I32, &[2, 2], &labels.concat()).index(DType::I32, &[2], inputs).index(
        DType::I32,
        &[2],
        targets,
    )
}

op! {
    /// The gradient of [`CTCLossV2`] by logits whose logarithms of the softmax `log_probs` are, times `grad_out`, given the loss and
    /// the ways to each step and state. Floats.
    classic CTCLossV2Grad {
        grad_out: Operand,
        log_probs: Operand,
        targets: Operand,
        input_lengths: Operand,
        target_lengths: Operand,
        neg_log_likelihood: Operand,
        log_alpha: Operand,
        blank: i64,
        reduction: Reduced as Small = Reduced::Each,
        zero_infinity: bool = false,
    }
}

impl CTCLossV2Grad {
    fn sequences(&self) -> Sequences<'_> {
        let lengths = [&self.input_lengths, &self.target_lengths];
        Sequences { log_probs: &self.log_probs, targets: &self.targets, lengths, blank: self.blank }
    }
}

impl Rule for CTCLossV2Grad {
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        let [t, n, _, s] = self.sequences().sizes()?;
        let (loss, ways) = (&self.neg_log_likelihood, &self.log_alpha);
        let fits = loss.shape() == [n] && self.grad_out.shape() == [n] && ways.shape() == [n, t, 2 * s + 1];
        ensure!(fits, "expected losses of {n} sequences, found {} and {}", loss.fact, ways.fact);
        ensure!(self.reduction == Reduced::Each, "expected reduction none, found {:?}", self.reduction);
        Ok(vec![self.log_probs.fact.clone()])
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        let facts = self.infer()?;
        let [t, n, c, s] = self.sequences().sizes()?;
        let (x, losses, slopes) = (self.log_probs.f64s()?, self.neg_log_likelihood.f64s()?, self.grad_out.f64s()?);
        let (ways, mut y, mut pulse) = (self.log_alpha.f64s()?, vec![0.0; x.len()], Pulse::default());
        for (k, lattice) in self.sequences().lattices(&x)?.iter().enumerate() {
            let (loss, slope) = (*item(&losses, k)?, *item(&slopes, k)?);
            if self.zero_infinity && loss.is_infinite() {
                continue;
            }
            let own = ways.chunks(2 * s + 1).skip(k * t).take(lattice.logs.len());
            let ahead: Vec<Vec<f64>> = own.map(<[f64]>::to_vec).collect();
            let back = lattice.ways(true, &mut pulse)?;
            for step in 0..lattice.logs.len() {
                for (at, g) in ((step * n + k) * c..).zip(lattice.slopes(step, [&ahead, &back], loss)?) {
                    *item_mut(&mut y, at)? = g * slope;
                }
            }
        }
        facts.iter().map(|f| Ok(Tensor::from_f64s(f.dtype, &f.shape, &y)?)).collect()
    }

    fn onnx(&self, _: &mut Emit) -> Forms {
        no_form(NO_FORM)
    }

    fn cases() -> Vec<Case> {
        let grad = sample().arg(filled(DType::F32, &[2], |i| i as f64 + 1.0));
        let ways = filled(DType::F32, &[2, 5, 5], |i| -1.0 - (i % 5) as f64);
        let s = sequences(grad, &[[1, 2], [3, 3]], [&[5, 4], &[2, 1]]);
        vec![s.arg(filled(DType::F32, &[2], |i| 3.0 + i as f64)).arg(ways).int(0).case("two sequences")]
    }
}

op! {
    /// Minus the logarithm of the probability that sequences have their labels, and its gradient by `inputs`, logits for steps,
    /// sequences and classes, the last of which is the blank. Label `labels_values[i]` belongs to sequence `labels_indices[i][0]`;
    /// the first `sequence_length` steps count. Equal labels one after the other become one before with
    /// `preprocess_collapse_repeated`, and in alignments with `ctc_merge_repeated`. More labels than steps are an error, or with
    /// `ignore_longer_outputs_than_inputs` loss and gradient are 0, as gradients of steps that do not count are. Floats.
    classic CTCLoss {
        inputs: Operand,
        labels_indices: Operand,
        labels_values: Operand,
        sequence_length: Operand,
        preprocess_collapse_repeated: bool = false,
        ctc_merge_repeated: bool = true,
        ignore_longer_outputs_than_inputs: bool = false,
    }
}

impl CTCLoss {
    /// The labels of each of `n` sequences.
    fn labels(&self, n: usize, classes: usize) -> Result<Vec<Vec<usize>>, OpError> {
        let mut labels: Vec<Vec<usize>> = vec![Vec::new(); n];
        let indices = self.labels_indices.i64s()?;
        for (place, value) in indices.chunks(2).zip(self.labels_values.i64s()?) {
            let row = usize::try_from(*item(place, 0)?).unwrap_or(usize::MAX);
            item_mut(&mut labels, row)?.push(class(value, classes.saturating_sub(1))?);
        }
        if self.preprocess_collapse_repeated {
            labels.iter_mut().for_each(Vec::dedup);
        }
        Ok(labels)
    }
}

impl Rule for CTCLoss {
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        let (x, [_, n, c]) = (&self.inputs, self.inputs.fact.ranked()?);
        ensure!(x.dtype().is_float() && c > 0, "expected floats of one class or more, found {}", x.fact);
        ints(&self.labels_indices, &[self.labels_values.count(), 2])?;
        ints(&self.labels_values, &[self.labels_values.count()])?;
        ints(&self.sequence_length, &[n])?;
        Ok(vec![Fact::new(x.dtype(), &[n]), x.fact.clone()])
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        let (facts, x, [t, n, c]) = (self.infer()?, self.inputs.f64s()?, self.inputs.fact.ranked()?);
        let logs: Vec<f64> = x.chunks(c).flat_map(|row| row.iter().map(|x| x - log_sum(row))).collect();
        let (mut losses, mut y, mut pulse) = (vec![0.0; n], vec![0.0; x.len()], Pulse::default());
        for (k, (labels, len)) in self.labels(n, c)?.iter().zip(self.sequence_length.i64s()?).enumerate() {
            let len = length(len, t)?;
            if labels.len() > len {
                let ignored = self.ignore_longer_outputs_than_inputs;
                ensure!(ignored, "expected at most {len} labels of sequence {k}, found {}", labels.len());
                continue;
            }
            let lattice = Lattice::new(steps(&logs, k, [n, c], len), labels, c - 1, self.ctc_merge_repeated);
            let [ahead, back] = [lattice.ways(false, &mut pulse)?, lattice.ways(true, &mut pulse)?];
            let loss = -lattice.total(&ahead);
            *item_mut(&mut losses, k)? = loss;
            for step in 0..len {
                for (at, g) in ((step * n + k) * c..).zip(lattice.slopes(step, [&ahead, &back], loss)?) {
                    *item_mut(&mut y, at)? = g;
                }
            }
        }
        facts.iter().zip([losses, y]).map(|(f, x)| Ok(Tensor::from_f64s(f.dtype, &f.shape, &x)?)).collect()
    }

    fn onnx(&self, _: &mut Emit) -> Forms {
        no_form(NO_FORM)
    }

    fn cases() -> Vec<Case> {
        let places = [0, 0, 0, 1, 1, 0];
        let on = |labels: &[i64], lens: &[i64; 2]| {
            let s = sample().arg(logs()).index(DType::I64, &[3, 2], &places);
            s.index(DType::I32, &[3], labels).index(DType::I32, &[2], lens)
        };
        vec![
            on(&[1, 2, 0], &[5, 4]).case("two sequences"),
            on(&[1, 1, 0], &[5, 4]).flag(false).flag(false).case("repeated"),
            on(&[1, 1, 0], &[5, 0]).flag(true).flag(true).flag(true).case("collapsed, too long"),
        ]
    }
}
