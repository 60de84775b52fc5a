//! Gradients that exported training steps need.

use crate::op::{Case, Operand, Operator, Rule};
use crate::ops::kit::broadcasting::{alike, float_of, floats};
use crate::ops::kit::elementwise::Elementwise;
use crate::ops::kit::sample::{sample, wave};
use crate::ops::reduce::reduction::Reduction;
use crate::task::{Binary, Program, ReduceKind, Reg, Unary};
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

/// A function of two operands of one shape, in their common float type.
fn of_two<'a>(
    a: &'a Operand,
    b: &'a Operand,
    f: fn(f64, f64) -> f64,
    program: fn(&mut Program, Reg, Reg) -> Reg,
) -> Result<impl Rule, OpError> {
    ensure!(alike(a, b), "expected operands of one shape, found {} and {}", a.fact, b.fact);
    let d = float_of(DType::promote(a.dtype(), b.dtype()));
    let f = floats(move |[a, b]| f(a, b));
    Ok(Elementwise::widened([(a, d), (b, d)], d, f, move |p, [a, b]| program(p, a, b)))
}

macro_rules! gradient {
    ($($(#[doc = $doc:literal])+ $name:ident($a:ident, $b:ident) = $f:expr, $program:expr;)*) => {$(
        op! {
            $(#[doc = $doc])+
            $name { $a: Operand, $b: Operand }
        }

        impl Operator for $name {
            fn rule(&self) -> Result<impl Rule, OpError> {
                of_two(&self.$a, &self.$b, $f, $program)
            }

            fn cases() -> Vec<Case> {
                let x = |d: DType, n: usize| wave(d, &[n, 7]);
                vec![
                    sample().arg(x(DType::F32, 3)).arg(x(DType::F32, 3)).case("f32"),
                    sample().arg(x(DType::F16, 2)).arg(x(DType::F16, 2)).case("f16"),
                ]
            }
        }
    )*};
}

/// `scale · (1 − y)`.
fn times_rest(p: &mut Program, scale: Reg, y: Reg) -> Reg {
    let dtype = p.type_of(y);
    let one = p.constant(1.0, dtype);
    let rest = p.binary(Binary::Sub, one, y);
    p.binary(Binary::Mul, scale, rest)
}

gradient! {
    /// `y_backprop` where `x` is above 0, else 0.
    ReluGrad(y_backprop, x) = |g, x| if x > 0.0 { g } else { 0.0 }, |p, g, x| {
        let dtype = p.type_of(x);
        let zero = p.constant(0.0, dtype);
        let above = p.binary(Binary::Gt, x, zero);
        p.select(above, g, zero)
    };
    /// `dy · y · (1 − y)`: the gradient of the sigmoid whose result is `y`.
    SigmoidGrad(y, dy) = |y, g| g * y * (1.0 - y), |p, y, g| {
        let scale = p.binary(Binary::Mul, g, y);
        times_rest(p, scale, y)
    };
    /// `dy · (1 − y²)`: the gradient of the hyperbolic tangent whose result is `y`.
    TanhGrad(y, dy) = |y, g| g * (1.0 - y * y), |p, y, g| {
        let square = p.unary(Unary::Square, y);
        times_rest(p, g, square)
    };
}
