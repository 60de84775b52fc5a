//! Losses that are a function of a result and what it should be, element by element, and their sums and means.

use crate::op::{Case, Lowers, Operand, Plan, Planned};
use crate::ops::kit::broadcasting::{common_shape, emit_all, evaluate_all_f64, wide};
use crate::ops::kit::sample::sample;
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

struct Loss<'a> {
    /// The first is the result of the network, whose type and shape count.
    parts: Vec<Part<'a>>,
    how: Reduced,
    /// The loss of an element, by definition and as a program.
    f: fn(&[f64]) -> f64,
    program: fn(&mut Program, &[Reg]) -> Reg,
}

impl Loss<'_> {
    fn tensors(&self) -> Vec<&Operand> {
        self.parts.iter().filter_map(|part| if let Part::Tensor(x) = part { Some(*x) } else { None }).collect()
    }
}

impl Plan for Loss<'_> {
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        let xs = self.tensors();
        ensure!(xs.iter().all(|x| x.dtype().is_float()), "expected floats, found {}", xs[0].fact);
        let shape = common_shape(&xs)?;
        ensure!(shape.as_slice() == xs[0].shape(), "expected operands that fit {}, found {shape:?}", xs[0].fact);
        ensure!(self.how != Reduced::BatchMean || !shape.is_empty(), "expected a dimension to divide by, found none");
        let dims = if self.how == Reduced::Each { xs[0].shape() } else { &[] };
        Ok(vec![Fact::new(xs[0].dtype(), dims)])
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        let (fact, xs) = (&self.infer()?[0], self.tensors());
        let ins: Vec<_> = xs.iter().map(|x| (*x, DType::F64)).collect();
        let each = evaluate_all_f64(&ins, DType::F64, |values| {
            let mut values = values.iter();
            let value = |part: &Part<'_>| match part {
                Part::Tensor(_) => values.next().copied().unwrap_or(f64::NAN),
                Part::Number(number) => *number,
            };
            (self.f)(&self.parts.iter().map(value).collect::<Vec<_>>())
        })?;
        let each = each[0].to_f64s()?;
        let sum: f64 = each.iter().sum();
        let y = match self.how {
            Reduced::Each => each,
            Reduced::Sum => vec![sum],
            Reduced::Mean => vec![sum / each.len() as f64],
            Reduced::BatchMean => vec![sum / xs[0].shape()[0] as f64],
        };
        Ok(vec![Tensor::from_f64s(fact.dtype, &fact.shape, &y)?])
    }

    fn lower(&self, b: &mut Lowering) -> Lowers {
        let (d, xs) = (self.infer()?[0].dtype, self.tensors());
        let w = wide(d);
        let ins: Vec<_> = xs.iter().map(|x| (*x, w)).collect();
        let y = emit_all(b, &ins, w, |p, regs| {
            let mut regs = regs.iter();
            let value = |part: &Part<'_>| match part {
                Part::Tensor(_) => regs.next().copied().unwrap_or_else(|| p.constant(f64::NAN, w)),
                Part::Number(number) => p.constant(*number, w),
            };
            let values: Vec<Reg> = self.parts.iter().map(value).collect();
            (self.program)(p, &values)
        })?;
        let axes: Vec<usize> = (0..xs[0].rank()).collect();
        let y = match self.how {
            Reduced::Each => y,
            Reduced::Mean => b.reduce(ReduceKind::Mean, y, &axes, false, w)?,
            Reduced::Sum => b.reduce(ReduceKind::Sum, y, &axes, false, w)?,
            Reduced::BatchMean => {
                let sum = b.reduce(ReduceKind::Sum, y, &axes, false, w)?;
                let share = b.scalar(w, 1.0 / xs[0].shape()[0] as f64)?;
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

impl Planned for SmoothL1Loss {
    fn plan(&self) -> Result<impl Plan, OpError> {
        Ok(Loss {
            parts: vec![Part::Tensor(&self.prediction), Part::Tensor(&self.target), Part::Number(self.beta)],
            how: self.reduction,
            f: |x| {
                let (d, beta) = ((x[0] - x[1]).abs(), x[2]);
                if d < beta { 0.5 * d * d / beta } else { d - 0.5 * beta }
            },
            program: |p, r| {
                let half = p.constant(0.5, p.instrs[r[0]].1);
                let d = p.binary(Binary::Sub, r[0], r[1]);
                let d = p.unary(Unary::Abs, d);
                let square = p.unary(Unary::Square, d);
                let square = p.binary(Binary::Mul, square, half);
                let near = p.binary(Binary::Div, square, r[2]);
                let half = p.binary(Binary::Mul, r[2], half);
                let far = p.binary(Binary::Sub, d, half);
                let below = p.binary(Binary::Lt, d, r[2]);
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

/// Keeps logarithms finite.
const LEAST: f64 = 1e-12;

impl Planned for BinaryCrossEntropy {
    fn plan(&self) -> Result<impl Plan, OpError> {
        Ok(Loss {
            parts: vec![Part::Tensor(&self.logits), Part::Tensor(&self.labels), or_one(&self.weight)],
            how: self.reduction,
            f: |x| -x[2] * (x[1] * (x[0] + LEAST).ln() + (1.0 - x[1]) * (1.0 - x[0] + LEAST).ln()),
            program: |p, r| {
                let d = p.instrs[r[0]].1;
                let (one, least) = (p.constant(1.0, d), p.constant(LEAST, d));
                let [yes, no] = [false, true].map(|other| {
                    let [x, y] = [r[0], r[1]].map(|x| if other { p.binary(Binary::Sub, one, x) } else { x });
                    let x = p.binary(Binary::Add, x, least);
                    let log = p.unary(Unary::Log, x);
                    p.binary(Binary::Mul, y, log)
                });
                let sum = p.binary(Binary::Add, yes, no);
                let sum = p.binary(Binary::Mul, sum, r[2]);
                p.unary(Unary::Neg, sum)
            },
        })
    }

    fn cases() -> Vec<Case> {
        let half = |dims: &[usize]| {
            let values: Vec<f64> = (0..dims.iter().product()).map(|i: usize| 0.1 + (i % 8) as f64 / 10.0).collect();
            Tensor::from_f64s(DType::F32, dims, &values).unwrap_or_else(|_| Tensor::vector::<f32>(&[]))
        };
        let edges = || sample().data(Tensor::vector(&[0.0f32, 0.25])).data(Tensor::vector(&[1.0f32, 0.0]));
        let x = || sample().data(half(&[3, 5])).data(half(&[3, 5]));
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

impl Planned for BCEWithLogitsLoss {
    fn plan(&self) -> Result<impl Plan, OpError> {
        Ok(Loss {
            parts: vec![
                Part::Tensor(&self.input),
                Part::Tensor(&self.target),
                or_one(&self.weight),
                or_one(&self.pos_weight),
            ],
            how: self.reduction,
            f: |x| {
                // −ln σ(x)
                let soft = (-x[0].abs()).exp().ln_1p() + (-x[0]).max(0.0);
                x[2] * ((1.0 - x[1]) * x[0] + ((x[3] - 1.0) * x[1] + 1.0) * soft)
            },
            program: |p, r| {
                let d = p.instrs[r[0]].1;
                let (one, zero) = (p.constant(1.0, d), p.constant(0.0, d));
                let size = p.unary(Unary::Abs, r[0]);
                let size = p.unary(Unary::Neg, size);
                let soft = p.unary(Unary::Exp, size);
                let soft = p.unary(Unary::Log1p, soft);
                let below = p.unary(Unary::Neg, r[0]);
                let below = p.binary(Binary::Max, below, zero);
                let soft = p.binary(Binary::Add, soft, below);
                let more = p.binary(Binary::Sub, r[3], one);
                let more = p.binary(Binary::Mul, more, r[1]);
                let more = p.binary(Binary::Add, more, one);
                let soft = p.binary(Binary::Mul, soft, more);
                let rest = p.binary(Binary::Sub, one, r[1]);
                let rest = p.binary(Binary::Mul, rest, r[0]);
                let sum = p.binary(Binary::Add, rest, soft);
                p.binary(Binary::Mul, sum, r[2])
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

impl Planned for KLDivLoss {
    fn plan(&self) -> Result<impl Plan, OpError> {
        Ok(Loss {
            parts: vec![Part::Tensor(&self.logits), Part::Tensor(&self.labels)],
            how: self.reduction,
            f: |x| if x[1] > 0.0 { x[1] * (x[1].ln() - x[0]) } else { 0.0 },
            program: |p, r| {
                let zero = p.constant(0.0, p.instrs[r[0]].1);
                let log = p.unary(Unary::Log, r[1]);
                let off = p.binary(Binary::Sub, log, r[0]);
                let y = p.binary(Binary::Mul, r[1], off);
                let some = p.binary(Binary::Gt, r[1], zero);
                p.select(some, y, zero)
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
