//! Sequences of symbols: decoded, compared, kept from repeating.

use crate::bounds;
use crate::op::{Case, Operand, Operator, Rule};
use crate::ops::kit::broadcasting::{real, scalars};
use crate::ops::kit::grid::Grid;
use crate::ops::kit::host::{ByData, host};
use crate::ops::kit::indices::{item, item_mut, only, result, size};
use crate::ops::kit::sample::{cycle, sample, wave};
use crate::ops::sparse::coo::{Coo, check_coo, check_shape};
use crate::task::Scalar;
use crate::{DType, Fact, OpError, Tensor, ensure, op};

use std::collections::BTreeMap;

op! {
    /// The likeliest class of each step of `inputs` (`[steps, n, classes]`), without the last class, which is blank, and with
    /// `merge_repeated` one for several in a row: indices, values (`i64`) and shape of a sparse tensor, and for each of `n` the
    /// negative sum of the scores, `[n, 1]`. `sequence_length` has the number of steps of each.
    classic CTCGreedyDecoder { inputs: Operand, sequence_length: Operand, merge_repeated: bool = true }
}

impl CTCGreedyDecoder {
    fn results(&self) -> Result<Vec<Tensor>, OpError> {
        let (x, lengths) = (Grid::<3>::read(&self.inputs)?, self.sequence_length.i64s()?);
        let [steps, n, classes] = x.dims;
        let (mut index, mut values, mut sums, mut most) = (Vec::new(), Vec::new(), Vec::with_capacity(n), 0);
        for row in 0..n {
            bounds::check()?;
            let length = size(*item(&lengths, row)?, "sequence_length")?;
            ensure!(length <= steps, "expected at most {steps} steps, found {length}");
            let (mut sum, mut before, mut place) = (0.0, None, 0);
            for step in 0..length {
                let mut best = (0, f64::NEG_INFINITY);
                for class in 0..classes {
                    let score = x.at([step, row, class])?;
                    if score > best.1 {
                        best = (class, score);
                    }
                }
                sum -= best.1;
                let repeated = self.merge_repeated && before == Some(best.0);
                if best.0 + 1 != classes && !repeated {
                    index.extend([row as i64, place]);
                    values.push(best.0 as i64);
                    place += 1;
                }
                before = Some(best.0);
            }
            most = most.max(place);
            sums.push(sum);
        }
        Ok(vec![
            Tensor::from_i64s(DType::I64, &[values.len(), 2], &index)?,
            Tensor::from_i64s(DType::I64, &[values.len()], &values)?,
            Tensor::vector(&[n as i64, most]),
            Tensor::from_f64s(self.inputs.dtype(), &[n, 1], &sums)?,
        ])
    }
}

impl Operator for CTCGreedyDecoder {
    fn rule(&self) -> Result<impl Rule, OpError> {
        let (x, lengths) = (&self.inputs, &self.sequence_length);
        let [_, n, classes] = x.fact.ranked()?;
        let fits = x.dtype().is_float() && classes > 0 && lengths.dtype().is_int() && lengths.shape() == [n];
        ensure!(fits, "expected floats [steps, n, classes] and n lengths, found {} and {}", x.fact, lengths.fact);
        Ok(ByData { operands: vec![x, lengths], results: || self.results() })
    }

    fn cases() -> Vec<Case> {
        let scores = [0.6, 0.4, 0.2, 0.8, 0.6, 0.3, 0.0, 0.6, 0.0, 0.5, 0.4, 0.75, 0.9, 0.1, 0.2, 0.7, 0.4, 0.5];
        let s = sample().arg(cycle(DType::F32, &[3, 2, 3], &scores));
        vec![
            s.clone().index(DType::I32, &[2], &[3, 2]).case("merged"),
            s.index(DType::I32, &[2], &[2, 3]).flag(false).case("all"),
        ]
    }
}

op! {
    /// How many symbols of a hypothesis must be put in, taken out or replaced to give the truth, for each sequence along the last
    /// dimension of two sparse tensors, as `f32`; with `normalize` by the length of the truth.
    classic EditDistance {
        hypothesis_indices: Operand,
        hypothesis_values: Operand,
        hypothesis_shape: Operand,
        truth_indices: Operand,
        truth_values: Operand,
        truth_shape: Operand,
        normalize: bool = true,
    }
}

/// Sequences by the coordinates before the last dimension.
type Sequences = BTreeMap<Vec<i64>, Vec<Scalar>>;

/// The fewest changes that make `b` of `a`.
fn distance(a: &[Scalar], b: &[Scalar]) -> Result<f64, OpError> {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.iter().enumerate() {
        bounds::check()?;
        let mut diagonal = i;
        let mut left = i + 1;
        if let Some(first) = row.first_mut() {
            *first = left;
        }
        for (above, y) in row.iter_mut().skip(1).zip(b) {
            let best = (diagonal + usize::from(x != y)).min(*above + 1).min(left + 1);
            diagonal = *above;
            left = best;
            *above = best;
        }
    }
    Ok(row.last().copied().unwrap_or(0) as f64)
}

impl EditDistance {
    /// The sequences along the last dimension of a sparse tensor, by the coordinates before it.
    fn sequences(&self, [index, values, shape]: [&Operand; 3]) -> Result<(Vec<usize>, Sequences), OpError> {
        let dims = Coo::read(index, shape)?.dims;
        let (rows, rank) = (index.i64s()?, dims.len());
        let mut sequences = Sequences::new();
        for (row, value) in rows.chunks_exact(rank.max(1)).zip(scalars(values.tensor()?, values.dtype())?) {
            let lead = row.split_last().map_or(Vec::new(), |(_, lead)| lead.to_vec());
            sequences.entry(lead).or_default().push(value);
        }
        Ok((dims.split_last().map_or(Vec::new(), |(_, lead)| lead.to_vec()), sequences))
    }

    fn results(&self) -> Result<Vec<Tensor>, OpError> {
        let (left, hypotheses) =
            self.sequences([&self.hypothesis_indices, &self.hypothesis_values, &self.hypothesis_shape])?;
        let (right, truths) = self.sequences([&self.truth_indices, &self.truth_values, &self.truth_shape])?;
        ensure!(left.len() == right.len(), "expected shapes of one rank, found {left:?} and {right:?}");
        let dims: Vec<usize> = left.iter().zip(&right).map(|(a, b)| *a.max(b)).collect();
        let fact = result(DType::F32, &dims)?;
        let _room = bounds::room(fact.count().saturating_mul(bounds::NUMBERS))?;
        let mut y = vec![0.0; fact.count()];
        for key in hypotheses.keys().chain(truths.keys()) {
            let (a, b) = (hypotheses.get(key).map_or(&[][..], |a| a), truths.get(key).map_or(&[][..], |b| b));
            let place = key.iter().zip(&dims).fold(0, |at, (i, len)| at * len + *i as usize);
            let changes = distance(a, b)?;
            *item_mut(&mut y, place)? = if self.normalize { changes / b.len() as f64 } else { changes };
        }
        Ok(vec![Tensor::from_f64s(fact.dtype, &fact.shape, &y)?])
    }
}

impl Operator for EditDistance {
    fn rule(&self) -> Result<impl Rule, OpError> {
        let one = [&self.hypothesis_indices, &self.hypothesis_values, &self.hypothesis_shape];
        let two = [&self.truth_indices, &self.truth_values, &self.truth_shape];
        for [index, values, shape] in [one, two] {
            check_coo(index, values)?;
            check_shape(index, shape)?;
            real(values)?;
        }
        Ok(ByData { operands: one.into_iter().chain(two).collect(), results: || self.results() })
    }

    fn cases() -> Vec<Case> {
        let s = sample().index(DType::I64, &[4, 2], &[0, 0, 0, 1, 0, 2, 1, 0]).index(DType::I64, &[4], &[1, 2, 3, 9]);
        let s = s.index(DType::I64, &[2], &[3, 3]).index(DType::I64, &[4, 2], &[0, 0, 0, 1, 2, 0, 2, 1]);
        let s = s.index(DType::I64, &[4], &[1, 3, 4, 4]).index(DType::I64, &[2], &[3, 2]);
        vec![s.clone().flag(false).exact("counts"), s.case("by length")]
    }
}

op! {
    /// `log_probs` (`[n, beams, words]`) with the lowest number of the type for each word that would repeat `ngram_size` words in
    /// a row that its beam of `state_seq` (`[n, beams, steps]`) has already.
    classic NoRepeatNGram { state_seq: Operand, log_probs: Operand, ngram_size: i64 = 1 }
}

impl NoRepeatNGram {
    fn results(&self, facts: Vec<Fact>) -> Result<Vec<Tensor>, OpError> {
        let (fact, states, mut y) = (only(facts)?, self.state_seq.i64s()?, self.log_probs.f64s()?);
        let ([_, _, words], [_, _, steps]) = (fact.ranked()?, self.state_seq.fact.ranked()?);
        let last = size(self.ngram_size, "ngram_size")?.saturating_sub(1);
        let lowest = if fact.dtype == DType::F64 { f64::MIN } else { f64::from(f32::MIN) };
        for (states, y) in states.chunks_exact(steps.max(1)).zip(y.chunks_exact_mut(words.max(1))) {
            bounds::check()?;
            let Some(recent) = states.len().checked_sub(last).and_then(|from| states.get(from..)) else { continue };
            for ngram in states.windows(last + 1) {
                let Some((next, before)) = ngram.split_last().filter(|(_, before)| *before == recent) else { continue };
                let _ = before;
                let word = usize::try_from(*next).ok().and_then(|word| y.get_mut(word));
                *word.ok_or_else(|| OpError::Invalid(format!("word {next} is not below {words}")))? = lowest;
            }
        }
        Ok(vec![Tensor::from_f64s(fact.dtype, &fact.shape, &y)?])
    }
}

impl Operator for NoRepeatNGram {
    fn rule(&self) -> Result<impl Rule, OpError> {
        let facts = || {
            let (states, x) = (&self.state_seq, &self.log_probs);
            let ([n, beams, _], [m, others, _]) = (states.fact.ranked()?, x.fact.ranked()?);
            let fits = n == m && beams == others && states.dtype().is_int();
            ensure!(
                fits && matches!(x.dtype(), DType::F32 | DType::F64),
                "expected integers and f32 or f64 of as many beams, found {} and {}",
                states.fact,
                x.fact
            );
            ensure!(self.ngram_size > 0, "expected a positive ngram_size, found {}", self.ngram_size);
            Ok(vec![x.fact.clone()])
        };
        Ok(host(facts, |facts| self.results(facts)))
    }

    fn cases() -> Vec<Case> {
        let states = [1, 2, 3, 1, 2, 3, 3, 3, 3, 0];
        let s = sample().index(DType::I32, &[1, 2, 5], &states).arg(wave(DType::F32, &[1, 2, 4]));
        vec![s.clone().int(3).exact("three"), s.clone().int(1).exact("one"), s.int(9).exact("too long")]
    }
}
