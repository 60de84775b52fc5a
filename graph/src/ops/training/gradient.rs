//! Gradients that exported training steps need.

use crate::op::{Case, CaseArg, Operand, Operator, Rule};
use crate::ops::kit::broadcasting::{alike, float_of, number_of, real};
use crate::ops::kit::formula::{Formula, Num, Term};
use crate::ops::kit::sample::{cycle, filled, sample, wave};
use crate::ops::reduce::reduction::Reduction;
use crate::task::{ReduceKind, Unary};
use crate::{DType, OpError, ensure, op, op_enum};

op_enum! {
    /// Order of an image's dimensions.
    DataFormat {
        /// Channels before rows and columns.
        Nchw = 0, "nchw";
        /// Channels last.
        Nhwc = 1, "nhwc";
        /// Channels before depth, rows and columns.
        Ncdhw = 14, "ncdhw";
    }
}

op! {
    /// Sum of `dout` over every dimension but the channel: dimension 1, or the last for `NHWC`.
    BiasAddGrad { dout: Operand, data_format ["format"]: DataFormat = DataFormat::Nchw }
}

impl Operator for BiasAddGrad {
    fn rule(&self) -> Result<impl Rule, OpError> {
        let (x, rank, out) = (&self.dout, self.dout.rank(), self.dout.dtype());
        ensure!(rank >= 2, "expected at least two dimensions, found {}", x.fact);
        let channel = if self.data_format == DataFormat::Nhwc { rank - 1 } else { 1 };
        let axes = (0..rank).filter(|d| *d != channel).collect();
        Ok(Reduction { x, axes, keep: false, compute: out, out }.by(ReduceKind::Sum))
    }

    fn cases() -> Vec<Case> {
        vec![
            sample().arg(wave(DType::F32, &[5, 3])).case("matrix"),
            sample().arg(wave(DType::F32, &[2, 3, 4, 5])).int(0).case("image"),
            sample().arg(wave(DType::F32, &[2, 3, 4, 5])).text("NHWC").case("channels last"),
        ]
    }
}

/// Which types a gradient takes and gives.
#[derive(Clone, Copy, PartialEq)]
enum Types {
    /// Any number; the result has the operands' common type.
    Number,
    /// Floats; integers and `bool` are computed and returned as `f32`.
    Float,
}

/// A function of operands of one shape, in their common type.
fn of_alike<'a, const N: usize>(
    types: Types,
    ins: [&'a Operand; N],
    formula: impl for<'p> Fn([Num<'p>; N]) -> Num<'p> + 'a,
) -> Result<impl Rule + 'a, OpError> {
    let first = ins.first().copied();
    for x in ins {
        let fits = first.is_none_or(|first| alike(first, x));
        ensure!(fits, "expected operands of one shape, found {}", x.fact);
        real(x)?;
    }
    let d = ins.iter().map(|x| x.dtype()).reduce(DType::promote).unwrap_or(DType::F32);
    let d = if types == Types::Number { number_of(d) } else { float_of(d) };
    Ok(Formula::one(ins, d, formula))
}

/// Numbers on which gradients are defined and of moderate size.
type Domain = (f64, f64);
const ANY: Domain = (-3.0, 3.0);
const UNIT: Domain = (-0.95, 0.95);
const SHARE: Domain = (0.05, 0.95);
const POSITIVE: Domain = (0.25, 4.0);

/// Numbers at which functions of several pieces change.
const EDGES: [f64; 11] = [-3.0, 3.0, 0.0, -0.0, 0.5, -0.5, 6.0, -6.0, 7.0, 1.0, -1.0];

fn cases(operands: usize, types: Types, (low, high): Domain, given: &[CaseArg]) -> Vec<Case> {
    let all = |x: CaseArg| sample().args(vec![x; operands]);
    let turned = |dtype: DType, dims: &[usize]| {
        let one =
            |k: usize| filled(dtype, dims, move |i| low + ((i * 37 + k * 29) % 101) as f64 * (high - low) / 100.0);
        sample().args((0..operands).map(one))
    };
    let mut cases = vec![turned(DType::F32, &[3, 7]).case("f32"), turned(DType::F16, &[2, 7]).case("f16")];
    if (low, high) == ANY {
        cases.push(all(cycle(DType::F32, &[11], &EDGES)).case("edges"));
    }
    if types == Types::Number {
        cases.push(turned(DType::I32, &[3, 5]).exact("i32"));
    }
    if !given.is_empty() {
        cases.push(turned(DType::F32, &[3, 7]).args(given.iter().cloned()).case("given parameters"));
    }
    cases
}

macro_rules! gradient {
    ($($(#[doc = $doc:literal])+ $(($kind:ident))? $name:ident $([$($alias:tt)*])?
        ($($x:ident),* $(; $p:ident : f64 = $default:literal)?) $types:ident $domain:ident [$($given:expr)?]
        = |$op:pat_param, $args:pat_param| $formula:expr;)*) => {$(
        op! {
            $(#[doc = $doc])+
            $($kind)? $name $(, aliases [$($alias)*])? { $($x: Operand,)* $($p: f64 = $default)? }
        }

        impl Operator for $name {
            fn rule(&self) -> Result<impl Rule, OpError> {
                let $op = self;
                of_alike(Types::$types, [$(&self.$x),*], move |$args| $formula)
            }

            fn cases() -> Vec<Case> {
                let given: &[CaseArg] = &[$(CaseArg::from($given))?];
                cases([$(stringify!($x)),*].len(), Types::$types, $domain, given)
            }
        }
    )*};
}

/// The derivative of the Gaussian unit in its form with the hyperbolic tangent.
fn gelu(x: Num<'_>) -> Num<'_> {
    let (root, cubic) = ((2.0 / std::f64::consts::PI).sqrt(), 0.044715);
    let s = (2.0 * root * (x + cubic * x * x * x)).map(Unary::Sigmoid);
    s + 2.0 * root * x * s * (1.0 - s) * (1.0 + 3.0 * cubic * x * x)
}

/// `1 − x²`, exact to the last digits also near ±1.
fn beside_square(x: Num<'_>) -> Num<'_> {
    (1.0 - x) * (1.0 + x)
}

/// `sigmoid(x) − y`, exact to the last digits also where `x` is large and `y` is 1.
fn sigmoid_less<'p>(x: Num<'p>, y: Num<'p>) -> Num<'p> {
    x.gt(0.0).choose((1.0 - y) - (-x).map(Unary::Sigmoid), x.map(Unary::Sigmoid) - y)
}

/// `ln(1 + eˣ) − x · y`, exact to the last digits also where `x` is large and `y` is 1.
fn softplus_less<'p>(x: Num<'p>, y: Num<'p>) -> Num<'p> {
    (-x.abs()).map(Unary::Softplus) + x.gt(0.0).choose(x * (1.0 - y), -(x * y))
}

gradient! {
    /// `y_backprop` where `x` is above 0, else 0.
    ReluGrad(y_backprop, x) Float ANY [] = |_, [g, x]| g.only_if(x.gt(0.0));
    /// `y_backprop` where `x` is above 0 and at most 6, else 0.
    ReLU6Grad(y_backprop, x) Float ANY [] = |_, [g, x]| g.only_if(x.gt(0.0).and(x.le(6.0)));
    /// `dy · y · (1 − y)`: the gradient of the sigmoid whose result is `y`.
    SigmoidGrad(y, dy) Float ANY [] = |_, [y, g]| g * y * (1.0 - y);
    /// `dy · (1 − y²)`: the gradient of the hyperbolic tangent whose result is `y`.
    TanhGrad(y, dy) Float ANY [] = |_, [y, g]| g * beside_square(y);
    /// `dout · sign(x)`, which is NaN where `x` is.
    AbsGrad(x, dout) Number ANY [] = |_, [x, g]| g * x.sign();
    /// `−dout / √(1 − x²)`: the gradient of the inverse cosine.
    ACosGrad(x, dout) Float UNIT [] = |_, [x, g]| -(g / beside_square(x).sqrt());
    /// `dout / √(1 − x²)`: the gradient of the inverse sine.
    AsinGrad(x, dout) Float UNIT [] = |_, [x, g]| g / beside_square(x).sqrt();
    /// `dout / (1 + x²)`: the gradient of the inverse tangent.
    AtanGrad(x, dout) Float ANY [] = |_, [x, g]| g / (1.0 + x.square());
    /// `dout / sinh(out)`: the gradient of the inverse hyperbolic cosine whose result is `out`.
    AcoshGrad(out, dout) Float POSITIVE [] = |_, [y, g]| g / y.map(Unary::Sinh);
    /// `dout / cosh(out)`: the gradient of the inverse hyperbolic sine whose result is `out`.
    AsinhGrad(out, dout) Float ANY [] = |_, [y, g]| g / y.map(Unary::Cosh);
    /// `−dy · y²`: the gradient of `1 / x` whose result is `y`.
    ReciprocalGrad[object "InvGrad"](y, dy) Float ANY [] = |_, [y, g]| -(g * y.square());
    /// `dy / (2 · y)`: the gradient of the root; its result is the first operand.
    SqrtGrad(dy, y) Float POSITIVE [] = |_, [y, g]| g * 0.5 / y;
    /// `−dy / 2 · y³`: the gradient of `1 / √x`; its result is the first operand.
    RsqrtGrad(y_backprop, x) Float ANY [] = |_, [y, g]| g * -0.5 * (y * y * y);
    /// `dout` where `out` is above 0, else `dout · (out + 1)`: the gradient of `Elu` with `alpha` 1, whose result is `out`.
    EluGrad(dout, out) Float ANY [] = |_, [g, y]| y.gt(0.0).choose(g, g * (y + 1.0));
    /// The gradient of `x · sigmoid(1.702·x)`.
    FastGeLUGrad(dy, x) Float ANY [] = |_, [g, x]| {
        let s = (x * 1.702).map(Unary::Sigmoid);
        g * (s + 1.702 * x * s * (1.0 - s))
    };
    /// The gradient of `GeLU`, whose result `y` is not looked at.
    GeLUGrad(dy, x, y) Float ANY [] = |_, [g, x, _]| g * gelu(x);
    /// The gradient of `x · sigmoid(x)`.
    SiLUGrad(dout, x) Float ANY [] = |_, [g, x]| {
        let s = x.map(Unary::Sigmoid);
        g * (s * (1.0 + x * (1.0 - s)))
    };
    /// 0 where the absolute value of `features` is at most `lambd`, else `gradients`.
    HShrinkGrad["SoftShrinkGrad"](gradients, features; lambd: f64 = 0.5) Float ANY [1.5f32]
        = |op, [g, x]| x.abs().le(op.lambd).choose(0.0.like(g), g);
    /// `grads / 6` where `input_x` is between −3 and 3, else 0.
    HSigmoidGrad(grads, input_x) Float ANY [] = |_, [g, x]| x.abs().ge(3.0).choose(0.0.like(g), g / 6.0);
    /// 0 where `x` is below −3, `y_grad` where it is above 3, else `y_grad · (2·x + 3) / 6`.
    HSwishGrad(y_grad, x) Float ANY [] = |_, [g, x]| {
        let inner = x.gt(3.0).choose(g, g * (x * 2.0 + 3.0) / 6.0);
        x.lt(-3.0).choose(0.0.like(g), inner)
    };
    /// `gradients · sigmoid(features)`: the gradient of `ln(1 + eˣ)`.
    (object) SoftplusGrad(gradients, features) Float ANY [] = |_, [g, x]| g * x.map(Unary::Sigmoid);
    /// `grad / (input · (1 − input))` where `input` is from `eps` to `1 − eps`, else 0; with `eps` below 0 from 0 to 1, else NaN.
    LogitGrad(grad, input; eps: f64 = -1.0) Float SHARE [0.25f32] = |op, [g, x]| {
        let (least, outside) = if op.eps < 0.0 { (0.0, f64::NAN) } else { (op.eps, 0.0) };
        x.lt(least).or(x.gt(1.0 - least)).choose(outside.like(g), g / (x * (1.0 - x)))
    };
    /// `dy · mask / keep_prob`.
    (classic) DropoutGrad(dy, mask; keep_prob: f64 = 0.5) Float ANY [0.75f32] = |op, [g, mask]| g * mask / op.keep_prob;
    /// `ln(1 + e^predict) − predict · target`: the cross-entropy of `sigmoid(predict)`.
    (object) SigmoidCrossEntropyWithLogits(predict, target) Float ANY [] = |_, [x, y]| softplus_less(x, y);
    /// `(sigmoid(x) − y) · dout`: the gradient of the cross-entropy.
    (object) SigmoidCrossEntropyWithLogitsGrad(x, y, dout) Float ANY []
        = |_, [x, y, g]| sigmoid_less(x, y) * g;
}
