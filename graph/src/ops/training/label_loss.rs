//! Losses of rows of scores with a label each, and what goes with them.

use super::distance::Reduced;
use crate::op::{Case, Operand, Operator, Rule};
use crate::ops::kit::composite::{At, composite};
use crate::ops::kit::formula::{Num, Term};
use crate::ops::kit::sample::{Sample, cycle, filled, sample, wave};
use crate::task::{Binary, Unary};
use crate::{DType, Fact, OpError, Tensor, ensure, op};

/// The numbers of rows and columns; refuses labels that are no integers, or known to name no column.
fn rows(x: &Operand, labels: &Operand, others: &[i64]) -> Result<[usize; 2], OpError> {
    let [n, cols] = x.fact.ranked()?;
    ensure!(x.dtype().is_float(), "expected rows of floats, found {}", x.fact);
    ensure!(labels.dtype().is_int() && labels.shape() == [n], "expected a label for each row, found {}", labels.fact);
    let known = labels.i64s().unwrap_or_default();
    let wrong = known.iter().find(|l| !(0..cols as i64).contains(l) && !others.contains(l));
    ensure!(wrong.is_none(), "expected labels from 0 to {}, found {wrong:?}", cols.saturating_sub(1));
    Ok([n, cols])
}

fn weighs(w: Option<&Operand>, cols: usize) -> Result<(), OpError> {
    let fits = w.is_none_or(|w| w.dtype().is_float() && w.shape() == [cols]);
    ensure!(fits, "expected a weight for each of {cols} columns");
    Ok(())
}

/// The labels as a column, the numbers of the columns, and their weights or 1.
fn marks(at: &mut At, labels: &Operand, w: Option<&Operand>, d: DType, cols: usize) -> Result<[Operand; 3], OpError> {
    let column = at.reshape(labels, &[labels.count(), 1])?;
    let numbers: Vec<f64> = (0..cols).map(|k| k as f64).collect();
    let numbers = at.constant(labels, Tensor::from_f64s(DType::F64, &[cols], &numbers)?);
    let weights = match w {
        Some(w) => w.clone(),
        None => at.constant(labels, Tensor::scalar(1.0f32)),
    };
    Ok([at.wide(&column, d)?, at.wide(&numbers, d)?, at.wide(&weights, d)?])
}

/// Whether a label names one of `cols` columns.
fn names<'p>(label: Num<'p>, cols: usize) -> Num<'p> {
    label.ge(0.0).and(label.lt(cols as f64))
}

/// A gradient of every row, or of all rows, as a column.
fn sloped(at: &mut At, g: &Operand, how: Reduced, n: usize, d: DType) -> Result<Operand, OpError> {
    let g = at.wide(g, d)?;
    if how == Reduced::Each { at.reshape(&g, &[n, 1]) } else { at.reshape(&g, &[]) }
}

fn slopes(g: &Operand, how: Reduced, n: usize) -> Result<(), OpError> {
    let fits = if how == Reduced::Each { g.shape() == [n] } else { g.count() == 1 };
    ensure!(fits && g.dtype().is_float(), "expected a gradient for each loss, found {}", g.fact);
    ensure!(how != Reduced::BatchMean, "expected none, mean or sum, found batchmean");
    Ok(())
}

op! {
    /// The gradient of `NLLLoss` for `logits`: `−weight · loss_grad` at the rows' labels, divided by `total_weight` for a mean, else 0.
    /// Labels equal to `ignore_index` have none; others that name no column have NaN. Floats.
    NLLLossGrad {
        logits: Operand,
        loss_grad: Operand,
        labels: Operand,
        weight: Option<Operand>,
        total_weight: Operand,
        reduction: Reduced = Reduced::Mean,
        ignore_index: i64 = -100,
    }
}

impl Operator for NLLLossGrad {
    fn rule(&self) -> Result<impl Rule, OpError> {
        let (x, d, how) = (&self.logits, self.logits.dtype(), self.reduction);
        let [n, cols] = rows(x, &self.labels, &[self.ignore_index])?;
        weighs(self.weight.as_ref(), cols)?;
        slopes(&self.loss_grad, how, n)?;
        ensure!(self.total_weight.count() == 1, "expected a sum of weights, found {}", self.total_weight.fact);
        Ok(composite(vec![x.fact.clone()], move |at| {
            let [label, number, w] = marks(at, &self.labels, self.weight.as_ref(), d, cols)?;
            let g = sloped(at, &self.loss_grad, how, n, d)?;
            let total = at.wide(&self.total_weight, d)?;
            let total = at.reshape(&total, &[])?;
            let ignored = self.ignore_index as f64;
            Ok(vec![at.formula([&label, &number, &w, &g, &total], |[label, number, w, g, total]| {
                let each = if how == Reduced::Mean { -(w * g) / total } else { -(w * g) };
                let each = each.only_if(label.by(Binary::Eq, number).and(label.by(Binary::Ne, ignored)));
                names(label, cols).by(Binary::Or, label.by(Binary::Eq, ignored)).choose(each, f64::NAN)
            })?])
        }))
    }

    fn cases() -> Vec<Case> {
        let labels = || cycle(DType::I32, &[5], &[0.0, 2.0, 1.0]);
        let weight = || filled(DType::F32, &[3], |i| i as f64 + 0.5);
        let x = || sample().arg(wave(DType::F32, &[5, 3]));
        vec![
            x().real(2.0).arg(labels()).arg(weight()).real(7.5).case("mean"),
            x().arg(wave(DType::F32, &[5])).arg(labels()).arg(weight()).real(7.5).int(2).case("each"),
            x().real(2.0).arg(labels()).none().real(5.0).int(0).int(2).case("sum"),
        ]
    }
}

/// What a column adds to the loss of its row, and what that grows by with the column's score: `max(margin − at + x, 0)ᵖ`.
fn excess<'p>(x: Num<'p>, at: Num<'p>, margin: f64, power: i64) -> [Num<'p>; 2] {
    let over = (margin - at + x).max(0.0);
    match power {
        1 => [over, over.gt(0.0).choose(1.0.like(x), 0.0)],
        _ => [over.square(), over * 2.0],
    }
}

/// Labels, numbers and weights as [`marks`], scores, and the score at the label of each row, with its weight.
struct Margins {
    hits: [Operand; 2],
    x: Operand,
    at: Operand,
    weight: Operand,
}

fn margins(at: &mut At, x: &Operand, labels: &Operand, w: Option<&Operand>) -> Result<Margins, OpError> {
    let (d, [_, cols]) = (x.dtype(), x.fact.ranked()?);
    let [label, number, w] = marks(at, labels, w, d, cols)?;
    let x = at.wide(x, d)?;
    let picked = at.formula([&x, &label, &number], |[x, label, number]| x.only_if(label.by(Binary::Eq, number)))?;
    let weight = at.formula([&w, &label, &number], |[w, label, number]| {
        names(label, cols).choose(w.only_if(label.by(Binary::Eq, number)), f64::NAN)
    })?;
    let (picked, weight) = (at.sum(&picked, &[1])?, at.sum(&weight, &[1])?);
    Ok(Margins { hits: [label, number], x, at: picked, weight })
}

op! {
    /// For every row the mean over columns `j` other than the label's of `weight · max(margin − xₗ + xⱼ, 0)ᵖ`, with score `xₗ` and
    /// weight of the label; and their sum or mean. `p` is 1 or 2. Labels that name no column have NaN. Floats.
    classic MultiMarginLoss {
        x: Operand,
        target: Operand,
        weight: Option<Operand> = None,
        p: i64 = 1,
        margin: f64 = 1.0,
        reduction: Reduced as Small = Reduced::Mean,
    }
}

fn power(p: i64) -> Result<(), OpError> {
    ensure!(matches!(p, 1 | 2), "expected a power of 1 or 2, found {p}");
    Ok(())
}

impl Operator for MultiMarginLoss {
    fn rule(&self) -> Result<impl Rule, OpError> {
        let (x, how) = (&self.x, self.reduction);
        let [n, cols] = rows(x, &self.target, &[])?;
        weighs(self.weight.as_ref(), cols)?;
        power(self.p)?;
        ensure!(how != Reduced::BatchMean, "expected none, mean or sum, found batchmean");
        let dims = if how == Reduced::Each { vec![n] } else { Vec::new() };
        Ok(composite(vec![Fact::new(x.dtype(), &dims)], move |at| {
            let Margins { hits: [label, number], x, at: picked, weight } =
                margins(at, x, &self.target, self.weight.as_ref())?;
            let share = 1.0 / (cols * if how == Reduced::Mean { n } else { 1 }) as f64;
            let each = at.formula([&x, &picked, &weight, &label, &number], |[x, picked, w, label, number]| {
                let [over, _] = excess(x, picked, self.margin, self.p);
                (over * w * share).only_if(label.by(Binary::Ne, number))
            })?;
            let axes: &[usize] = if how == Reduced::Each { &[1] } else { &[0, 1] };
            let sum = at.sum(&each, axes)?;
            Ok(vec![at.reshape(&sum, &dims)?])
        }))
    }

    fn cases() -> Vec<Case> {
        margin_cases(|_| sample())
    }
}

/// Cases of a loss with each power and reduction, behind what `before` makes of the reduction.
fn margin_cases(before: impl Fn(&str) -> Sample) -> Vec<Case> {
    let x = |how: &str| {
        let labels = cycle(DType::I64, &[5], &[0.0, 2.0, 1.0]);
        before(how).arg(wave(DType::F32, &[5, 3])).arg(labels)
    };
    let weight = || filled(DType::F32, &[3], |i| i as f64 + 0.5);
    vec![
        x("none").arg(weight()).int(1).real(0.7).text("none").case("each"),
        x("mean").none().int(2).real(1.0).text("mean").case("mean"),
        x("sum").arg(weight()).int(2).real(0.5).text("sum").case("sum"),
    ]
}

op! {
    /// The gradient of `MultiMarginLoss` for `x`. Floats.
    classic MultiMarginLossGrad {
        y_grad: Operand,
        x: Operand,
        target: Operand,
        weight: Option<Operand> = None,
        p: i64 = 1,
        margin: f64 = 1.0,
        reduction: Reduced as Small = Reduced::Mean,
    }
}

impl Operator for MultiMarginLossGrad {
    fn rule(&self) -> Result<impl Rule, OpError> {
        let (x, d, how) = (&self.x, self.x.dtype(), self.reduction);
        let [n, cols] = rows(x, &self.target, &[])?;
        weighs(self.weight.as_ref(), cols)?;
        power(self.p)?;
        slopes(&self.y_grad, how, n)?;
        Ok(composite(vec![x.fact.clone()], move |at| {
            let Margins { hits: [label, number], x, at: picked, weight } =
                margins(at, x, &self.target, self.weight.as_ref())?;
            let g = sloped(at, &self.y_grad, how, n, d)?;
            let share = 1.0 / (cols * if how == Reduced::Mean { n } else { 1 }) as f64;
            let each =
                at.formula([&x, &picked, &weight, &g, &label, &number], |[x, picked, w, g, label, number]| {
                    let [_, slope] = excess(x, picked, self.margin, self.p);
                    (slope * w * g * share).only_if(label.by(Binary::Ne, number))
                })?;
            let sum = at.sum(&each, &[1])?;
            Ok(vec![at.formula([&each, &sum, &label, &number], |[each, sum, label, number]| {
                label.by(Binary::Eq, number).choose(-sum, each)
            })?])
        }))
    }

    fn cases() -> Vec<Case> {
        margin_cases(|how| if how == "none" { sample().arg(wave(DType::F32, &[5])) } else { sample().real(2.0) })
    }
}

op! {
    /// Whether fewer than `k` scores of a row of `x1` are above the one at the label in `x2`; false for rows with a score that is not
    /// finite and for labels that name no column. `bool`.
    classic InTopK { x1: Operand, x2: Operand, k: i64 }
}

impl Operator for InTopK {
    fn rule(&self) -> Result<impl Rule, OpError> {
        let (x, labels, d) = (&self.x1, &self.x2, self.x1.dtype());
        let [n, cols] = x.fact.ranked()?;
        ensure!(d.is_float(), "expected rows of floats, found {}", x.fact);
        ensure!(
            labels.dtype().is_int() && labels.shape() == [n],
            "expected a label for each row, found {}",
            labels.fact
        );
        Ok(composite(vec![Fact::new(DType::Bool, &[n])], move |at| {
            let Margins { hits: [label, number], x, at: picked, .. } = margins(at, x, labels, None)?;
            let above = at.formula([&x, &picked], |[x, picked]| {
                let above = x.gt(picked).choose(1.0.like(x), 0.0);
                x.map(Unary::IsFinite).choose(above, cols as f64)
            })?;
            let named = at.formula([&label, &number], |[label, number]| {
                label.by(Binary::Eq, number).choose(0.0.like(label), 1.0)
            })?;
            let (above, others) = (at.sum(&above, &[1])?, at.sum(&named, &[1])?);
            let most = self.k.min(cols as i64) as f64;
            let y = at.formula([&above, &others], |[above, others]| {
                let hit = above.lt(most).and(others.lt(cols as f64));
                hit.choose(1.0.like(above), 0.0)
            })?;
            Ok(vec![at.reshape(&y, &[n])?])
        }))
    }

    fn cases() -> Vec<Case> {
        let scores = [1.0, 2.0, 2.0, 3.0, 5.0, 4.0, f64::NAN, 1.0, 1.0, 1.0, 1.0, 1.0, f64::INFINITY, 1.0, 2.0, 3.0];
        let x = || sample().arg(cycle(DType::F32, &[4, 4], &scores));
        vec![
            x().index(DType::I32, &[4], &[1, 1, 3, 0]).int(2).exact("ties and others"),
            x().index(DType::I32, &[4], &[0, 0, -1, 4]).int(9).exact("no columns"),
        ]
    }
}
