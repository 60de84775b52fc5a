//! Norms of vectors.

use crate::onnx::{Emit, Forms, no_form};
use crate::op::{Case, Lowers, Operand, Operator, Rule};
use crate::ops::kit::broadcasting::{fact, float_of, wide};
use crate::ops::kit::sample::{cycle, sample, wave};
use crate::ops::reduce::reduction::{Axes, Reduction};
use crate::task::{Binary, Lowering, ReduceKind, Scalar, Unary};
use crate::{DType, Fact, OpError, Tensor, ensure, op};

/// `(Σ |x|ᵖ)^(1/p)` of groups of `x`; the largest or smallest `|x|` for infinite `p`, the number of elements other than 0 for
/// `p` = 0.
struct PowerNorm<'a> {
    x: &'a Operand,
    axes: Vec<usize>,
    keep: bool,
    p: f64,
    /// The least result.
    floor: f64,
    out: DType,
}

impl PowerNorm<'_> {
    fn reduction(&self) -> Reduction<'_> {
        Reduction { x: self.x, axes: self.axes.clone(), keep: self.keep, compute: self.out, out: self.out }
    }

    fn of(&self, xs: &[Scalar]) -> f64 {
        let xs = || xs.iter().map(|x| x.as_f64().abs());
        let y = if self.p == f64::INFINITY {
            xs().fold(0.0, |a, x| Binary::Max.eval_f64(a, x))
        } else if self.p == f64::NEG_INFINITY {
            xs().fold(f64::INFINITY, |a, x| Binary::Min.eval_f64(a, x))
        } else if self.p == 0.0 {
            xs().filter(|x| *x != 0.0).count() as f64
        } else {
            xs().map(|x| x.powf(self.p)).sum::<f64>().powf(1.0 / self.p)
        };
        Binary::Max.eval_f64(y, self.floor)
    }
}

impl Rule for PowerNorm<'_> {
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        ensure!(!self.p.is_nan(), "expected a number as the order, found NaN");
        ensure!(self.out.is_float(), "expected a float type, found {}", self.out);
        fact(&[self.x], self.out)?;
        self.reduction().infer()
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        self.infer()?;
        self.reduction().groups(|xs| Scalar::Float(self.of(xs)))
    }

    fn lower(&self, b: &mut Lowering) -> Lowers {
        if self.p == 0.0 || self.x.count() == 0 {
            return Ok(None);
        }
        let d = wide(self.out);
        let x = b.cast(self.x.v, d);
        let p = b.scalar(d, self.p)?;
        let inverse = b.scalar(d, 1.0 / self.p)?;
        let prepared = if self.p == 2.0 { b.unary(Unary::Square, x) } else { b.unary(Unary::Abs, x) };
        let prepared = if [1.0, 2.0].contains(&self.p) || self.p.is_infinite() {
            prepared
        } else {
            b.binary(Binary::Pow, prepared, p)?
        };
        let kind = match self.p {
            f64::INFINITY => ReduceKind::Max,
            f64::NEG_INFINITY => ReduceKind::Min,
            _ => ReduceKind::Sum,
        };
        let y = b.reduce(kind, prepared, &self.axes, self.keep, d)?;
        let y = match self.p {
            2.0 => b.unary(Unary::Sqrt, y),
            p if p == 1.0 || p.is_infinite() => y,
            _ => b.binary(Binary::Pow, y, inverse)?,
        };
        let y = if self.floor > 0.0 {
            let floor = b.scalar(d, self.floor)?;
            b.binary(Binary::Max, y, floor)?
        } else {
            y
        };
        Ok(Some(vec![b.cast(y, self.out)]))
    }

    fn onnx(&self, _: &mut Emit) -> Forms {
        if self.p == 0.0 { no_form("a norm of order 0") } else { Ok(None) }
    }
}

op! {
    /// `max((Σ |x|ᵖ)^(1/p), epsilon)` along `axis`. Integers give `f32`.
    classic LpNorm {
        input: Operand,
        axis: Axes as List,
        p: i64 = 2,
        keep_dims: bool = false,
        epsilon: f64 = 1e-12,
    }
}

impl Operator for LpNorm {
    fn rule(&self) -> Result<impl Rule, OpError> {
        let (axes, out) = (self.axis.of(&self.input)?, float_of(self.input.dtype()));
        Ok(PowerNorm { x: &self.input, axes, keep: self.keep_dims, p: self.p as f64, floor: self.epsilon, out })
    }

    fn cases() -> Vec<Case> {
        vec![
            sample().arg(wave(DType::F32, &[3, 17])).int(-1).case("two"),
            sample().arg(wave(DType::F32, &[3, 4, 5])).ints(&[0, 2]).int(1).flag(true).case("one"),
            sample().arg(wave(DType::F32, &[3, 5])).ints(&[0, 1]).int(3).case("three"),
            sample().arg(cycle(DType::F32, &[3, 5], &[0.0, 1.0, -2.0])).int(1).int(0).exact("zero"),
            sample().arg(cycle(DType::F32, &[3], &[0.0])).int(0).int(2).flag(false).real(0.5).exact("floor"),
        ]
    }
}

op! {
    /// `(Σ |x|^ord)^(1/ord)` along `dim`, in `dtype`; `None` means all, infinities the largest and smallest `|x|`, 0 the number
    /// of elements other than 0. Integers give `f32`.
    LinalgVectorNorm, aliases ["Norm"] {
        x: Operand,
        ord ["p"]: f64 = 2.0,
        dim: Axes = Axes::default(),
        keepdim: bool = false,
        dtype: Option<DType> = None,
    }
}

impl Operator for LinalgVectorNorm {
    fn rule(&self) -> Result<impl Rule, OpError> {
        let (axes, out) = (self.dim.of(&self.x)?, self.dtype.unwrap_or(float_of(self.x.dtype())));
        Ok(PowerNorm { x: &self.x, axes, keep: self.keepdim, p: self.ord, floor: 0.0, out })
    }

    fn cases() -> Vec<Case> {
        let x = || wave(DType::F32, &[3, 7]);
        vec![
            sample().arg(x()).real(2.0).ints(&[-1]).flag(true).none().case("two"),
            sample().arg(x()).case("all"),
            sample().arg(x()).real(1.5).int(0).case("one and a half"),
            sample().arg(x()).real(f32::INFINITY).int(1).exact("infinite"),
            sample().arg(x()).real(f32::NEG_INFINITY).int(1).exact("minus infinite"),
            sample().arg(x()).real(2.0).int(1).flag(false).dtype(DType::F64).case("in f64"),
        ]
    }
}
