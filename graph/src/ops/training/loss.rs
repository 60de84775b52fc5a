//! Losses of classifiers.

use super::distance::Reduced;
use crate::onnx::{Emit, Forms, no_form};
use crate::op::{Case, Lowers, Operand, Rule};
use crate::ops::kit::broadcasting::{Groups, fact};
use crate::ops::kit::indices::{item, only};
use crate::ops::kit::sample::{cycle, filled, sample, wave};
use crate::ops::reduce::reduction::operand;
use crate::task::{Binary, Lowering, ReduceKind, Unary, V};
use crate::{DType, Fact, OpError, Tensor, ensure, op};

/// The logarithm of the softmax of every row.
fn log_softmax(rows: &[f64], cols: usize) -> Result<Vec<f64>, OpError> {
    let count = rows.len().checked_div(cols).unwrap_or(0);
    Groups::new(&[count, cols], &[1]).replace(rows, 0.0, |row| {
        let max = row.iter().copied().fold(f64::NEG_INFINITY, f64::max);
        let sum: f64 = row.iter().map(|x| (x - max).exp()).sum();
        row.iter().map(|x| x - max - sum.ln()).collect()
    })
}

op! {
    /// Mean over the rows of `features` of `−ln softmax` at the row's label; with `is_grad` its gradient times `sens`, in the
    /// shape of `features`. Labels that name no class have NaN.
    classic SparseSoftmaxCrossEntropyWithLogits { features: Operand, labels: Operand, is_grad: bool = false, sens: f64 = 1.0 }
}

/// Rows and classes of scores with one label each.
fn sizes(x: &Operand, l: &Operand) -> Result<(usize, usize), OpError> {
    let [n, cols] = x.fact.ranked()?;
    ensure!(x.count() > 0, "expected rows of scores, found {}", x.fact);
    ensure!(x.dtype().is_float(), "expected a float type, found {}", x.dtype());
    let fits = matches!(l.dtype(), DType::I32 | DType::I64) && l.shape() == [n];
    ensure!(fits, "expected an i32 or i64 label for each row of {}, found {}", x.fact, l.fact);
    Ok((n, cols))
}

/// NaN where a label names none of `cols` classes, else 0.
fn unless_class(b: &mut Lowering, label: V, cols: usize, d: DType) -> Result<Option<V>, OpError> {
    let dtype = b.fact(label).dtype;
    let (first, end) = (b.scalar(dtype, 0.0)?, b.scalar(dtype, cols as f64)?);
    let (low, high) = (b.binary(Binary::Ge, label, first)?, b.binary(Binary::Lt, label, end)?);
    let inside = b.binary(Binary::And, low, high)?;
    let (zero, nan) = (b.scalar(d, 0.0)?, b.scalar(d, f64::NAN)?);
    let (inside, zero, nan) = (operand(b, inside), operand(b, zero), operand(b, nan));
    crate::ops::elementwise::select::lower_choice(&inside, &zero, &nan, d, b)?.map(only).transpose()
}

impl SparseSoftmaxCrossEntropyWithLogits {
    fn sizes(&self) -> Result<(usize, usize), OpError> {
        sizes(&self.features, &self.labels)
    }
}

impl Rule for SparseSoftmaxCrossEntropyWithLogits {
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        self.sizes()?;
        let dims = if self.is_grad { self.features.shape() } else { &[] };
        Ok(vec![Fact::new(self.features.dtype(), dims)])
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        let (n, cols) = self.sizes()?;
        let (log, labels) = (log_softmax(&self.features.f64s()?, cols)?, self.labels.i64s()?);
        ensure!(labels.iter().all(|l| (0..cols as i64).contains(l)), "expected labels from 0 to {}", cols - 1);
        let d = self.features.dtype();
        if !self.is_grad {
            let picked = |(row, label): (&[f64], &i64)| item(row, *label as usize).copied();
            let picked = log.chunks_exact(cols).zip(&labels).map(picked).collect::<Result<Vec<_>, _>>()?;
            let loss = -picked.iter().sum::<f64>() / n as f64;
            return Ok(vec![Tensor::from_f64s(d, &[], &[loss])?]);
        }
        let mut y = Vec::with_capacity(log.len());
        for (row, label) in log.chunks_exact(cols).zip(labels) {
            let hit = |k: i64| if k == label { 1.0 } else { 0.0 };
            y.extend(row.iter().zip(0..).map(|(x, k)| (x.exp() - hit(k)) * self.sens / n as f64));
        }
        Ok(vec![Tensor::from_f64s(d, &[n, cols], &y)?])
    }

    fn lower(&self, b: &mut Lowering) -> Lowers {
        let (n, cols) = self.sizes()?;
        let d = self.features.dtype();
        let label = b.reshape(self.labels.v, &[n, 1])?;
        let classes: Vec<i64> = (0..cols as i64).collect();
        let classes = b.constant(Tensor::from_i64s(self.labels.dtype(), &[cols], &classes)?);
        let hit = b.binary(Binary::Eq, label, classes)?;
        let Some(wrong) = unless_class(b, label, cols, d)? else { return Ok(None) };
        if self.is_grad {
            let soft = b.softmax(self.features.v, 1, false)?;
            let hit = b.cast(hit, d);
            let off = b.binary(Binary::Sub, soft, hit)?;
            let off = b.binary(Binary::Add, off, wrong)?;
            let scale = b.scalar(d, self.sens / n as f64)?;
            return Ok(Some(vec![b.binary(Binary::Mul, off, scale)?]));
        }
        let log = b.softmax(self.features.v, 1, true)?;
        let zero = b.scalar(d, 0.0)?;
        let (hit, log, zero) = (operand(b, hit), operand(b, log), operand(b, zero));
        let Some(picked) = crate::ops::elementwise::select::lower_choice(&hit, &log, &zero, d, b)? else {
            return Ok(None);
        };
        let picked = b.binary(Binary::Add, only(picked)?, wrong)?;
        let sum = b.reduce(ReduceKind::Sum, picked, &[0, 1], false, d)?;
        let scale = b.scalar(d, -1.0 / n as f64)?;
        Ok(Some(vec![b.binary(Binary::Mul, sum, scale)?]))
    }

    fn cases() -> Vec<Case> {
        let x = || wave(DType::F32, &[5, 3]);
        let labels = |d: DType| cycle(d, &[5], &[0.0, 2.0, 1.0]);
        vec![
            sample().arg(x()).arg(labels(DType::I32)).case("loss"),
            sample().arg(x()).arg(labels(DType::I64)).flag(true).case("gradient"),
            sample().arg(wave(DType::F32, &[2, 1])).arg(cycle(DType::I32, &[2], &[0.0])).case("one class"),
        ]
    }
}

op! {
    /// For every row `−ln softmax(features)` at its label, and its gradient: the softmax less 1 at the label.
    object SparseSoftmaxCrossEntropyWithLogitsV2 { features ["logits"]: Operand, labels: Operand }
}

impl SparseSoftmaxCrossEntropyWithLogitsV2 {
    fn sizes(&self) -> Result<(usize, usize), OpError> {
        sizes(&self.features, &self.labels)
    }
}

impl Rule for SparseSoftmaxCrossEntropyWithLogitsV2 {
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        let (n, _) = self.sizes()?;
        Ok(vec![Fact::new(self.features.dtype(), &[n]), Fact::clone(&self.features.fact)])
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        let (n, cols) = self.sizes()?;
        let (log, labels) = (log_softmax(&self.features.f64s()?, cols)?, self.labels.i64s()?);
        ensure!(labels.iter().all(|l| (0..cols as i64).contains(l)), "expected labels from 0 to {}", cols - 1);
        let (mut loss, mut gradient) = (Vec::with_capacity(n), Vec::with_capacity(log.len()));
        for (row, label) in log.chunks_exact(cols).zip(labels) {
            loss.push(-item(row, label as usize)?);
            gradient.extend(row.iter().zip(0..).map(|(x, k)| x.exp() - if k == label { 1.0 } else { 0.0 }));
        }
        let d = self.features.dtype();
        Ok(vec![Tensor::from_f64s(d, &[n], &loss)?, Tensor::from_f64s(d, &[n, cols], &gradient)?])
    }

    fn onnx(&self, _: &mut Emit) -> Forms {
        no_form("it computes a gradient besides the loss")
    }

    fn cases() -> Vec<Case> {
        vec![sample().arg(wave(DType::F32, &[5, 3])).arg(cycle(DType::I32, &[5], &[0.0, 2.0, 1.0])).case("rows")]
    }
}

op! {
    /// For every row `−Σ labels · ln softmax(logits)`, and its gradient `softmax(logits) − labels`.
    object SoftmaxCrossEntropyWithLogits { logits: Operand, labels: Operand }
}

impl Rule for SoftmaxCrossEntropyWithLogits {
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        let (x, l) = (&self.logits, &self.labels);
        let [n, _] = x.fact.ranked()?;
        ensure!(x.dtype().is_float(), "expected rows of float scores, found {}", x.fact);
        ensure!(l.shape() == x.shape(), "expected labels of shape {:?}, found {}", x.shape(), l.fact);
        fact(&[l], x.dtype())?;
        Ok(vec![Fact::new(x.dtype(), &[n]), x.fact.clone()])
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        self.infer()?;
        let [n, cols] = self.logits.fact.ranked()?;
        let (log, labels) = (log_softmax(&self.logits.f64s()?, cols)?, self.labels.f64s()?);
        let loss = |i| -labels.iter().zip(&log).skip(i * cols).take(cols).map(|(l, x)| l * x).sum::<f64>();
        let gradient: Vec<f64> = log.iter().zip(&labels).map(|(x, l)| x.exp() - l).collect();
        let d = self.logits.dtype();
        let loss: Vec<f64> = (0..n).map(loss).collect();
        Ok(vec![Tensor::from_f64s(d, &[n], &loss)?, Tensor::from_f64s(d, &[n, cols], &gradient)?])
    }

    fn lower(&self, b: &mut Lowering) -> Lowers {
        if self.logits.count() == 0 {
            return Ok(None);
        }
        let d = self.logits.dtype();
        let labels = b.cast(self.labels.v, d);
        let (soft, log) = (b.softmax(self.logits.v, 1, false)?, b.softmax(self.logits.v, 1, true)?);
        let weighted = b.binary(Binary::Mul, labels, log)?;
        let sum = b.reduce(ReduceKind::Sum, weighted, &[1], false, d)?;
        Ok(Some(vec![b.unary(Unary::Neg, sum), b.binary(Binary::Sub, soft, labels)?]))
    }

    fn cases() -> Vec<Case> {
        let labels = filled(DType::F32, &[5, 3], |i| f64::from(u8::from(i % 4 == 0)));
        vec![sample().arg(wave(DType::F32, &[5, 3])).arg(labels).case("rows")]
    }
}

op! {
    /// Minus the logarithms in the rows of `logits` at the rows' labels, times the `weight` of the label, and the sum of these
    /// weights; the mean is divided by it. Labels equal to `ignore_index` weigh nothing. Floats.
    NLLLoss {
        logits: Operand,
        labels ["target"]: Operand,
        weight: Option<Operand> = None,
        reduction: Reduced = Reduced::Mean,
        ignore_index: i64 = -100,
    }
}

impl NLLLoss {
    fn sizes(&self) -> Result<(usize, usize), OpError> {
        let (x, l) = (&self.logits, &self.labels);
        let [n, cols] = x.fact.ranked()?;
        ensure!(x.dtype().is_float(), "expected rows of floats, found {}", x.fact);
        ensure!(l.dtype().is_int() && l.shape() == [n], "expected a label for each row, found {}", l.fact);
        let fits = self.weight.as_ref().is_none_or(|w| w.dtype().is_float() && w.shape() == [cols]);
        ensure!(fits, "expected a weight for each column of {}", x.fact);
        ensure!(self.reduction != Reduced::BatchMean, "expected none, mean or sum, found batchmean");
        Ok((n, cols))
    }
}

impl Rule for NLLLoss {
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        let (n, _) = self.sizes()?;
        let d = self.logits.dtype();
        let loss = if self.reduction == Reduced::Each { Fact::new(d, &[n]) } else { Fact::new(d, &[]) };
        Ok(vec![loss, Fact::new(self.weight.as_ref().map_or(d, Operand::dtype), &[])])
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        let ((_, cols), facts) = (self.sizes()?, self.infer()?);
        let (x, weights) = (self.logits.f64s()?, self.weight.as_ref().map(Operand::f64s).transpose()?);
        let (mut losses, mut total) = (Vec::new(), 0.0);
        for (row, label) in self.labels.i64s()?.into_iter().enumerate() {
            if label == self.ignore_index {
                losses.push(0.0);
                continue;
            }
            let column = usize::try_from(label).ok().filter(|label| *label < cols);
            let column =
                column.ok_or_else(|| OpError::Invalid(format!("expected labels below {cols}, found {label}")))?;
            let weight = weights.as_ref().and_then(|w| w.get(column)).copied().unwrap_or(1.0);
            losses.push(-item(&x, row * cols + column)? * weight);
            total += weight;
        }
        let sum: f64 = losses.iter().sum();
        let loss = match self.reduction {
            Reduced::Each => losses,
            Reduced::Mean => vec![sum / total],
            _ => vec![sum],
        };
        let values = facts.iter().zip([loss, vec![total]]);
        values.map(|(fact, values)| Ok(Tensor::from_f64s(fact.dtype, &fact.shape, &values)?)).collect()
    }

    fn onnx(&self, _: &mut Emit) -> Forms {
        no_form("ONNX's loss does not give the sum of the weights")
    }

    fn cases() -> Vec<Case> {
        let labels = || cycle(DType::I32, &[5], &[0.0, 2.0, 1.0]);
        let weight = || filled(DType::F32, &[3], |i| i as f64 + 0.5);
        let x = || wave(DType::F32, &[5, 3]);
        vec![
            sample().arg(x()).arg(labels()).arg(weight()).case("mean"),
            sample().arg(x()).arg(labels()).none().int(2).case("each"),
            sample().arg(x()).arg(labels()).arg(weight()).int(0).int(2).case("sum"),
        ]
    }
}
