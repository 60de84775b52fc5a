//! How good a model is: what MindSpore's `model.eval` counts.
//!
//! ```
//! use mindir::Tensor;
//! use mindir::metrics::Classification;
//!
//! let mut counts = Classification::new(2);
//! let scores = Tensor::from_vec(&[3, 3], vec![0.1f32, 0.7, 0.2, 0.6, 0.3, 0.1, 0.2, 0.5, 0.3])?;
//! counts.update(&scores, &[1, 0, 2])?;
//! assert_eq!((counts.right(), counts.samples()), (2, 3));
//! assert_eq!(counts.top(), Some(1.0)); // the third label has the second best score
//! assert_eq!(counts.recall(2), Some(0.0));
//! # Ok::<(), mindir::metrics::MetricError>(())
//! ```

use std::collections::BTreeMap;

use mindir_graph::{Fact, Tensor, TensorError};

/// Why answers were not counted.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum MetricError {
    /// The answers are no scores of classes.
    #[error("expected scores [N,CLASSES] of at least {rows} samples and 2 classes, found {found}")]
    Scores {
        /// Labels that there are.
        rows: usize,
        /// The answers.
        found: Fact,
    },
    /// The number of classes is not that of the answers before.
    #[error("expected scores of {expected} classes, found {found}")]
    Classes {
        /// Classes so far.
        expected: usize,
        /// Classes now.
        found: usize,
    },
    /// A label is none of the classes.
    #[error("sample {sample}: expected a class from 0 to {}, found {label}", .classes - 1)]
    Label {
        /// The sample, counted from 0 over all calls.
        sample: u64,
        /// Its label.
        label: usize,
        /// Number of classes.
        classes: usize,
    },
    /// Answers and targets are not as many.
    #[error("expected {expected} numbers for the targets, found {found}")]
    Count {
        /// Numbers of the targets.
        expected: usize,
        /// Numbers of the answers.
        found: usize,
    },
    /// The elements cannot be read as numbers.
    #[error(transparent)]
    Tensor(#[from] TensorError),
}

/// The answers of a classifier, counted: MindSpore's `Accuracy`, `TopKCategoricalAccuracy`, `Precision`, `Recall`, `F1` and
/// `ConfusionMatrix`.
///
/// An answer is the class of the highest score, the first of equal ones, as NumPy's `argmax` finds it. Scores that are NaN are below all others; a
/// sample whose scores are all NaN has no answer and is wrong.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Classification {
    k: usize,
    classes: usize,
    samples: u64,
    right: u64,
    within: u64,
    unanswered: u64,
    /// Labels and answers, with how often they came.
    pairs: BTreeMap<(usize, usize), u64>,
}

impl Classification {
    /// Nothing counted yet; [`top`](Self::top) looks at the `k` best scores.
    pub fn new(k: usize) -> Self {
        Self { k, ..Self::default() }
    }

    /// Counts the answers to samples with these labels. `scores` is `[N, CLASSES]` of any type of real numbers; rows behind the last
    /// label, which fill up a batch, do not count.
    ///
    /// # Errors
    /// [`MetricError::Scores`], [`MetricError::Classes`], [`MetricError::Label`]; nothing is counted then.
    pub fn update(&mut self, scores: &Tensor, labels: &[usize]) -> Result<(), MetricError> {
        let wrong = || MetricError::Scores { rows: labels.len(), found: scores.fact() };
        let &[rows, classes] = scores.shape() else { return Err(wrong()) };
        if rows < labels.len() || classes < 2 {
            return Err(wrong());
        }
        if self.classes != 0 && self.classes != classes {
            return Err(MetricError::Classes { expected: self.classes, found: classes });
        }
        if let Some((i, label)) = labels.iter().enumerate().find(|(_, label)| **label >= classes) {
            return Err(MetricError::Label { sample: self.samples + i as u64, label: *label, classes });
        }
        let values = scores.to_f64s()?;
        self.classes = classes;
        values.chunks_exact(classes).zip(labels).for_each(|(row, label)| self.count(row, *label));
        Ok(())
    }

    fn count(&mut self, scores: &[f64], label: usize) {
        self.samples += 1;
        let best = argmax(scores);
        let Some(answer) = best else {
            self.unanswered += 1;
            return;
        };
        *self.pairs.entry((label, answer)).or_default() += 1;
        self.right += u64::from(answer == label);
        self.within += u64::from(rank(scores, label) < self.k);
    }

    /// Samples so far.
    pub fn samples(&self) -> u64 {
        self.samples
    }

    /// Classes that the scores have; 0 before the first.
    pub fn classes(&self) -> usize {
        self.classes
    }

    /// Samples whose answer is the label.
    pub fn right(&self) -> u64 {
        self.right
    }

    /// Samples whose label is among the `k` best.
    pub fn within(&self) -> u64 {
        self.within
    }

    /// Samples that have no answer, for no score is a number.
    pub fn unanswered(&self) -> u64 {
        self.unanswered
    }

    /// Share of the samples whose answer is the label; `None` without samples.
    pub fn accuracy(&self) -> Option<f64> {
        share(self.right, self.samples)
    }

    /// Share of the samples whose label is among the `k` best; `None` without samples.
    pub fn top(&self) -> Option<f64> {
        share(self.within, self.samples)
    }

    /// How many samples with a label got an answer: an element of the confusion matrix.
    pub fn confused(&self, label: usize, answer: usize) -> u64 {
        self.pairs.get(&(label, answer)).copied().unwrap_or(0)
    }

    /// Labels and answers that occurred, with their numbers.
    pub fn pairs(&self) -> impl Iterator<Item = (usize, usize, u64)> {
        self.pairs.iter().map(|((label, answer), count)| (*label, *answer, *count))
    }

    /// Counts for each class.
    pub fn by_class(&self) -> Vec<Class> {
        let mut all = vec![Class::default(); self.classes];
        for (label, answer, count) in self.pairs() {
            if let Some(class) = all.get_mut(label) {
                class.labels += count;
                class.right += if label == answer { count } else { 0 };
            }
            if let Some(class) = all.get_mut(answer) {
                class.answers += count;
            }
        }
        all
    }

    /// See [`Class::recall`].
    pub fn recall(&self, class: usize) -> Option<f64> {
        self.by_class().get(class).and_then(Class::recall)
    }

    /// See [`Class::precision`].
    pub fn precision(&self, class: usize) -> Option<f64> {
        self.by_class().get(class).and_then(Class::precision)
    }
}

/// What is counted of one class, of the samples that have an answer.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Class {
    /// Samples with this label.
    pub labels: u64,
    /// Samples with this answer.
    pub answers: u64,
    /// Samples with both.
    pub right: u64,
}

impl Class {
    /// Share of the answers that are right; `None` if there is no such answer.
    pub fn precision(&self) -> Option<f64> {
        share(self.right, self.answers)
    }

    /// Share of the labels that were answered; `None` if there is no such label.
    pub fn recall(&self) -> Option<f64> {
        share(self.right, self.labels)
    }

    /// The harmonic mean of both; `None` if the class neither occurs nor is answered.
    pub fn f1(&self) -> Option<f64> {
        share(2 * self.right, self.labels + self.answers)
    }
}

fn share(part: u64, all: u64) -> Option<f64> {
    (all > 0).then(|| part as f64 / all as f64)
}

/// The place of the highest number, the first of equal ones.
fn argmax(scores: &[f64]) -> Option<usize> {
    let better = |best: Option<(usize, f64)>, (i, x): (usize, f64)| match best {
        Some((_, most)) if x <= most => best,
        _ => Some((i, x)),
    };
    scores.iter().copied().enumerate().filter(|(_, x)| !x.is_nan()).fold(None, better).map(|(i, _)| i)
}

/// How many classes are better than this one, which is last if its score is no number.
fn rank(scores: &[f64], class: usize) -> usize {
    let Some(own) = scores.get(class).copied().filter(|x| !x.is_nan()) else { return scores.len() };
    scores.iter().enumerate().filter(|(i, x)| **x > own || **x == own && *i < class).count()
}

/// Numbers against targets: MindSpore's `MAE`, `MSE` and their kin.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Regression {
    count: u64,
    absolute: f64,
    square: f64,
    mean: f64,
    spread: f64,
}

impl Regression {
    /// Nothing counted yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// Counts answers to targets, number by number. Answers behind the last target, which fill up a batch, do not count.
    ///
    /// # Errors
    /// [`MetricError::Count`] if there are fewer answers than targets; [`MetricError::Tensor`].
    pub fn update(&mut self, answers: &Tensor, targets: &Tensor) -> Result<(), MetricError> {
        if answers.count() < targets.count() {
            return Err(MetricError::Count { expected: targets.count(), found: answers.count() });
        }
        let (answers, targets) = (answers.to_f64s()?, targets.to_f64s()?);
        answers.iter().zip(&targets).for_each(|(answer, target)| self.count(*answer, *target));
        Ok(())
    }

    fn count(&mut self, answer: f64, target: f64) {
        self.count += 1;
        let error = answer - target;
        self.absolute += error.abs();
        self.square += error * error;
        let before = target - self.mean;
        self.mean += before / self.count as f64;
        self.spread += before * (target - self.mean);
    }

    /// Mean of the absolute errors; `None` without targets, as in all that follow.
    pub fn mae(&self) -> Option<f64> {
        self.of(self.absolute)
    }

    /// Mean of the squared errors.
    pub fn mse(&self) -> Option<f64> {
        self.of(self.square)
    }

    /// Root of [`mse`](Self::mse).
    pub fn rmse(&self) -> Option<f64> {
        self.mse().map(f64::sqrt)
    }

    /// Share of the targets' variance that the answers explain; `None` also where the targets are all equal.
    pub fn r2(&self) -> Option<f64> {
        (self.spread > 0.0).then(|| 1.0 - self.square / self.spread)
    }

    fn of(&self, sum: f64) -> Option<f64> {
        (self.count > 0).then(|| sum / self.count as f64)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scores(rows: usize, values: &[f32]) -> Tensor {
        Tensor::from_slice(&[rows, values.len() / rows], values).unwrap()
    }

    #[test]
    fn classes_are_counted() {
        let mut c = Classification::new(2);
        assert_eq!((c.accuracy(), c.top()), (None, None));
        c.update(&scores(4, &[3.0, 1.0, 2.0, 1.0, 1.0, 0.0, 0.0, 1.0, 2.0, 9.0, 9.0, 9.0]), &[0, 1, 1]).unwrap();
        assert_eq!((c.samples(), c.right(), c.within(), c.classes()), (3, 1, 3, 3));
        assert_eq!(c.pairs().collect::<Vec<_>>(), [(0, 0, 1), (1, 0, 1), (1, 2, 1)]);
        assert_eq!((c.precision(0), c.recall(0), c.by_class()[0].f1()), (Some(0.5), Some(1.0), Some(2.0 / 3.0)));
        assert_eq!((c.precision(1), c.recall(1), c.recall(2)), (None, Some(0.0), None));
    }

    #[test]
    fn scores_that_are_no_numbers_are_last() {
        let mut c = Classification::new(1);
        c.update(&scores(3, &[f32::NAN, 1.0, f32::NAN, f32::NAN, 1.0, f32::NAN]), &[1, 0, 0]).unwrap();
        assert_eq!((c.right(), c.within(), c.unanswered()), (2, 2, 1));
        assert_eq!([c.confused(0, 0), c.confused(1, 1), c.confused(0, 1)], [1, 1, 0]);
    }

    #[test]
    fn what_does_not_fit_is_refused_and_not_counted() {
        let mut c = Classification::new(5);
        let two = scores(1, &[1.0, 2.0]);
        assert!(matches!(c.update(&two, &[0, 1]), Err(MetricError::Scores { rows: 2, .. })));
        assert!(matches!(c.update(&two, &[2]), Err(MetricError::Label { sample: 0, label: 2, classes: 2 })));
        assert!(c.update(&Tensor::vector(&[1.0f32]), &[0]).is_err());
        assert_eq!(c, Classification::new(5));
        c.update(&two, &[1]).unwrap();
        let three = c.update(&scores(1, &[1.0, 2.0, 3.0]), &[0]);
        assert!(matches!(three, Err(MetricError::Classes { expected: 2, found: 3 })));
    }

    #[test]
    fn errors_of_numbers_are_averaged() {
        let mut r = Regression::new();
        assert_eq!((r.mae(), r.r2()), (None, None));
        r.update(&Tensor::vector(&[1.0f32, 2.0, 5.0]), &Tensor::vector(&[1.0f64, 4.0])).unwrap();
        r.update(&Tensor::vector(&[4.0f32]), &Tensor::vector(&[7i64])).unwrap();
        assert_eq!((r.mae(), r.mse()), (Some(5.0 / 3.0), Some(13.0 / 3.0)));
        assert!((r.r2().unwrap() - (1.0 - 13.0 / 18.0)).abs() < 1e-12);
        assert!(r.update(&Tensor::vector(&[1.0f32]), &Tensor::vector(&[1i64, 2])).is_err());
    }
}
