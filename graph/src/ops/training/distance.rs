//! Losses that are a function of a result and what it should be, element by element, and their sums and means.

use crate::op::{Case, CaseArg, Lowers, Operand, Operator, Rule};
use crate::ops::kit::broadcasting::{common_shape, emit_all, evaluate_all_f64, wide};
use crate::ops::kit::indices::{dim, only};
use crate::ops::kit::sample::{filled, sample};
use crate::task::{Binary, Lowering, Program, ReduceKind, Reg, Unary};
use crate::{DType, Fact, OpError, Tensor, ensure, op};

crate::op_enum! {
    /// What becomes of the losses of the elements.
    Reduced {
        /// Their sum.
        Sum = 0, "sum";
        /// Their mean.
        Mean = 1, "mean";
        /// They are the result.
        Each = 2, "none";
        /// Their sum, divided by the length of the first dimension.
        BatchMean = 3, "batchmean";
    }
}

/// What a loss is computed from.
enum Part<'a> {
    Tensor(&'a Operand),
    Number(f64),
}

/// A tensor that may be left out, which then counts as ones.
fn or_one(x: &Option<Operand>) -> Part<'_> {
    x.as_ref().map_or(Part::Number(1.0), Part::Tensor)
}

struct Loss<'a, const N: usize> {
    /// The result of the network, whose type and shape count. It is the first part.
    x: &'a Operand,
    parts: [Part<'a>; N],
    how: Reduced,
    /// The loss of an element, by definition and as a program.
    f: fn([f64; N]) -> f64,
    program: fn(&mut Program, [Reg; N]) -> Reg,
}

impl<const N: usize> Loss<'_, N> {
    fn tensors(&self) -> Vec<&Operand> {
        self.parts.iter().filter_map(|part| if let Part::Tensor(x) = part { Some(*x) } else { None }).collect()
    }
}

impl<const N: usize> Rule for Loss<'_, N> {
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        let (x, xs) = (self.x, self.tensors());
        ensure!(xs.iter().all(|x| x.dtype().is_float()), "expected floats, found {}", x.fact);
        let shape = common_shape(&xs)?;
        ensure!(shape.as_slice() == x.shape(), "expected operands that fit {}, found {shape:?}", x.fact);
        ensure!(self.how != Reduced::BatchMean || !shape.is_empty(), "expected a dimension to divide by, found none");
        let dims = if self.how == Reduced::Each { x.shape() } else { &[] };
        Ok(vec![Fact::new(x.dtype(), dims)])
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        let fact = only(self.infer()?)?;
        let ins: Vec<_> = self.tensors().into_iter().map(|x| (x, DType::F64)).collect();
        let each = evaluate_all_f64(&ins, DType::F64, |values| {
            let mut values = values.iter();
            let value = |part: &Part<'_>| match part {
                Part::Tensor(_) => values.next().copied().unwrap_or(f64::NAN),
                Part::Number(number) => *number,
            };
            (self.f)(self.parts.each_ref().map(value))
        })?;
        let each = only(each)?.to_f64s()?;
        let sum: f64 = each.iter().sum();
        let y = match self.how {
            Reduced::Each => each,
            Reduced::Sum => vec![sum],
            Reduced::Mean => vec![sum / each.len() as f64],
            Reduced::BatchMean => vec![sum / dim(self.x.shape(), 0)? as f64],
        };
        Ok(vec![Tensor::from_f64s(fact.dtype, &fact.shape, &y)?])
    }

    fn lower(&self, b: &mut Lowering) -> Lowers {
        let d = only(self.infer()?)?.dtype;
        let w = wide(d);
        let ins: Vec<_> = self.tensors().into_iter().map(|x| (x, w)).collect();
        let y = emit_all(b, &ins, w, |p, regs| {
            let mut regs = regs.iter();
            let value = |part: &Part<'_>| match part {
                Part::Tensor(_) => regs.next().copied().unwrap_or_else(|| p.constant(f64::NAN, w)),
                Part::Number(number) => p.constant(*number, w),
            };
            let values = self.parts.each_ref().map(value);
            (self.program)(p, values)
        })?;
        let axes: Vec<usize> = (0..self.x.rank()).collect();
        let y = match self.how {
            Reduced::Each => y,
            Reduced::Mean => b.reduce(ReduceKind::Mean, y, &axes, false, w)?,
            Reduced::Sum => b.reduce(ReduceKind::Sum, y, &axes, false, w)?,
            Reduced::BatchMean => {
                let sum = b.reduce(ReduceKind::Sum, y, &axes, false, w)?;
                let share = b.scalar(w, 1.0 / dim(self.x.shape(), 0)? as f64)?;
                b.binary(Binary::Mul, sum, share)?
            }
        };
        Ok(Some(vec![b.cast(y, d)]))
    }
}

op! {
    /// `d² / (2 · beta)` where the distance `d` of `prediction` and `target` is below `beta`, else `d − beta / 2`. Floats.
    SmoothL1Loss {
        prediction ["logits"]: Operand,
        target ["labels"]: Operand,
        beta: f64 = 1.0,
        reduction: Reduced = Reduced::Each,
    }
}

impl Operator for SmoothL1Loss {
    fn rule(&self) -> Result<impl Rule, OpError> {
        Ok(Loss {
            x: &self.prediction,
            parts: [Part::Tensor(&self.prediction), Part::Tensor(&self.target), Part::Number(self.beta)],
            how: self.reduction,
            f: |[x, y, beta]| {
                let d = (x - y).abs();
                if d < beta { 0.5 * d * d / beta } else { d - 0.5 * beta }
            },
            program: |p, [x, y, beta]| {
                let half = p.constant(0.5, p.type_of(x));
                let d = p.binary(Binary::Sub, x, y);
                let d = p.unary(Unary::Abs, d);
                let square = p.unary(Unary::Square, d);
                let square = p.binary(Binary::Mul, square, half);
                let near = p.binary(Binary::Div, square, beta);
                let half = p.binary(Binary::Mul, beta, half);
                let far = p.binary(Binary::Sub, d, half);
                let below = p.binary(Binary::Lt, d, beta);
                p.select(below, near, far)
            },
        })
    }

    fn cases() -> Vec<Case> {
        let x = || sample().tensor(DType::F32, &[3, 5]).tensor(DType::F32, &[3, 5]);
        vec![
            x().real(0.5).int(2).case("each"),
            x().real(0.7).int(1).case("mean"),
            x().real(1.0).text("sum").case("sum"),
            sample().tensor(DType::F16, &[7]).tensor(DType::F16, &[7]).real(0.0).int(1).case("f16"),
        ]
    }
}

op! {
    /// `−weight · (labels · ln logits + (1 − labels) · ln(1 − logits))`, where 10⁻¹² is added to what the logarithms are taken
    /// of. Floats.
    BinaryCrossEntropy {
        logits: Operand,
        labels: Operand,
        weight: Option<Operand> = None,
        reduction: Reduced = Reduced::Mean,
    }
}

/// Numbers between 0 and 1.
pub(super) fn halves(dims: &[usize]) -> CaseArg {
    filled(DType::F32, dims, |i| 0.1 + (i % 8) as f64 / 10.0)
}

/// Keeps logarithms and their gradients finite.
pub(super) const LEAST: f64 = 1e-12;

impl Operator for BinaryCrossEntropy {
    fn rule(&self) -> Result<impl Rule, OpError> {
        Ok(Loss {
            x: &self.logits,
            parts: [Part::Tensor(&self.logits), Part::Tensor(&self.labels), or_one(&self.weight)],
            how: self.reduction,
            f: |[x, y, w]| -w * (y * (x + LEAST).ln() + (1.0 - y) * (1.0 - x + LEAST).ln()),
            program: |p, [x, y, w]| {
                let d = p.type_of(x);
                let (one, least) = (p.constant(1.0, d), p.constant(LEAST, d));
                let [yes, no] = [false, true].map(|other| {
                    let [x, y] = [x, y].map(|x| if other { p.binary(Binary::Sub, one, x) } else { x });
                    let x = p.binary(Binary::Add, x, least);
                    let log = p.unary(Unary::Log, x);
                    p.binary(Binary::Mul, y, log)
                });
                let sum = p.binary(Binary::Add, yes, no);
                let sum = p.binary(Binary::Mul, sum, w);
                p.unary(Unary::Neg, sum)
            },
        })
    }

    fn cases() -> Vec<Case> {
        let edges = || sample().data(Tensor::vector(&[0.0f32, 0.25])).data(Tensor::vector(&[1.0f32, 0.0]));
        let x = || sample().arg(halves(&[3, 5])).arg(halves(&[3, 5]));
        vec![
            x().positive(DType::F32, &[3, 5]).int(2).case("each"),
            x().none().int(1).case("mean"),
            x().none().int(0).case("sum"),
            edges().none().int(2).case("certain"),
        ]
    }
}

op! {
    /// `−weight · (pos_weight · target · ln σ(input) + (1 − target) · ln(1 − σ(input)))`, with broadcasting. Floats.
    BCEWithLogitsLoss {
        input ["logits", "predict"]: Operand,
        target ["label"]: Operand,
        weight: Option<Operand> = None,
        pos_weight ["posWeight"]: Option<Operand> = None,
        reduction: Reduced = Reduced::Mean,
    }
}

impl Operator for BCEWithLogitsLoss {
    fn rule(&self) -> Result<impl Rule, OpError> {
        Ok(Loss {
            x: &self.input,
            parts: [
                Part::Tensor(&self.input),
                Part::Tensor(&self.target),
                or_one(&self.weight),
                or_one(&self.pos_weight),
            ],
            how: self.reduction,
            f: |[x, y, w, positive]| {
                // −ln σ(x)
                let soft = (-x.abs()).exp().ln_1p() + (-x).max(0.0);
                w * ((1.0 - y) * x + ((positive - 1.0) * y + 1.0) * soft)
            },
            program: |p, [x, y, w, positive]| {
                let d = p.type_of(x);
                let (one, zero) = (p.constant(1.0, d), p.constant(0.0, d));
                let size = p.unary(Unary::Abs, x);
                let size = p.unary(Unary::Neg, size);
                let soft = p.unary(Unary::Exp, size);
                let soft = p.unary(Unary::Log1p, soft);
                let below = p.unary(Unary::Neg, x);
                let below = p.binary(Binary::Max, below, zero);
                let soft = p.binary(Binary::Add, soft, below);
                let more = p.binary(Binary::Sub, positive, one);
                let more = p.binary(Binary::Mul, more, y);
                let more = p.binary(Binary::Add, more, one);
                let soft = p.binary(Binary::Mul, soft, more);
                let rest = p.binary(Binary::Sub, one, y);
                let rest = p.binary(Binary::Mul, rest, x);
                let sum = p.binary(Binary::Add, rest, soft);
                p.binary(Binary::Mul, sum, w)
            },
        })
    }

    fn cases() -> Vec<Case> {
        let x = || sample().tensor(DType::F32, &[3, 5]).positive(DType::F32, &[3, 5]);
        vec![
            x().positive(DType::F32, &[3, 5]).positive(DType::F32, &[5]).int(2).case("each"),
            x().none().none().int(1).case("mean"),
            x().none().positive(DType::F32, &[5]).int(0).case("sum"),
        ]
    }
}

op! {
    /// `labels · (ln labels − logits)`, and 0 where `labels` are 0. Floats.
    classic KLDivLoss {
        logits ["x", "input"]: Operand,
        labels ["target"]: Operand,
        reduction: Reduced as Small = Reduced::Mean,
    }
}

impl Operator for KLDivLoss {
    fn rule(&self) -> Result<impl Rule, OpError> {
        Ok(Loss {
            x: &self.logits,
            parts: [Part::Tensor(&self.logits), Part::Tensor(&self.labels)],
            how: self.reduction,
            f: |[x, y]| if y > 0.0 { y * (y.ln() - x) } else { 0.0 },
            program: |p, [x, y]| {
                let zero = p.constant(0.0, p.type_of(x));
                let log = p.unary(Unary::Log, y);
                let off = p.binary(Binary::Sub, log, x);
                let loss = p.binary(Binary::Mul, y, off);
                let some = p.binary(Binary::Gt, y, zero);
                p.select(some, loss, zero)
            },
        })
    }

    fn cases() -> Vec<Case> {
        let x = || sample().tensor(DType::F32, &[3, 5]).positive(DType::F32, &[3, 5]);
        let edges = || sample().data(Tensor::vector(&[0.5f32, -2.0])).data(Tensor::vector(&[0.0f32, 0.25]));
        vec![
            x().text("none").case("each"),
            x().text("mean").case("mean"),
            x().text("batchmean").case("mean of rows"),
            edges().text("sum").case("impossible"),
        ]
    }
}
