//! What instructions compute.

use super::Scalar;
use super::Scalar::{Float, Int};
use crate::DType;

macro_rules! functions {
    ($(#[$doc:meta])* $name:ident { $($(#[$row:meta])* $f:ident),* $(,)? }) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
        pub enum $name { $($(#[$row])* $f),* }

        impl $name {
            /// Every function.
            pub const ALL: &'static [$name] = &[$($name::$f),*];

            /// Name of the function, as the variant is spelled.
            pub fn name(self) -> &'static str {
                match self { $($name::$f => stringify!($f)),* }
            }
        }
    };
}

functions! {
    /// Functions of one number.
    Unary {
        /// |x|.
        Abs,
        /// −x.
        Neg,
        /// −1, 0 or 1; NaN for NaN.
        Sign,
        /// x².
        Square,
        /// √x.
        Sqrt,
        /// 1 / √x.
        Rsqrt,
        /// 1 / x.
        Reciprocal,
        /// eˣ.
        Exp,
        /// eˣ − 1.
        Expm1,
        /// ln x.
        Log,
        /// log₂ x.
        Log2,
        /// log₁₀ x.
        Log10,
        /// ln(1 + x).
        Log1p,
        /// Sine.
        Sin,
        /// Cosine.
        Cos,
        /// Tangent.
        Tan,
        /// Inverse sine.
        Asin,
        /// Inverse cosine.
        Acos,
        /// Inverse tangent.
        Atan,
        /// Hyperbolic sine.
        Sinh,
        /// Hyperbolic cosine.
        Cosh,
        /// Hyperbolic tangent.
        Tanh,
        /// Inverse hyperbolic sine.
        Asinh,
        /// Inverse hyperbolic cosine.
        Acosh,
        /// Inverse hyperbolic tangent.
        Atanh,
        /// Error function.
        Erf,
        /// 1 − erf x.
        Erfc,
        /// Largest integer not above x.
        Floor,
        /// Smallest integer not below x.
        Ceil,
        /// Nearest integer, halves to even.
        Round,
        /// Toward zero.
        Trunc,
        /// max(x, 0).
        Relu,
        /// min(max(x, 0), 6).
        Relu6,
        /// 1 / (1 + e⁻ˣ).
        Sigmoid,
        /// x · sigmoid(x).
        Silu,
        /// x · Φ(x), with the error function.
        Gelu,
        /// x · Φ(x), with the hyperbolic tangent.
        GeluTanh,
        /// x · relu6(x + 3) / 6.
        HSwish,
        /// relu6(x + 3) / 6.
        HSigmoid,
        /// ln(1 + eˣ).
        Softplus,
        /// x · tanh(softplus(x)).
        Mish,
        /// Logical not of a `bool`, bitwise not of an integer.
        Not,
        /// Whether x is NaN.
        IsNan,
        /// Whether x is infinite.
        IsInf,
        /// Whether x is neither infinite nor NaN.
        IsFinite,
    }
}

functions! {
    /// Functions of two numbers.
    Binary {
        /// a + b.
        Add,
        /// a − b.
        Sub,
        /// a · b.
        Mul,
        /// a / b; integers truncate toward zero, division by zero gives 0.
        Div,
        /// ⌊a / b⌋; integers: division by zero gives 0.
        FloorDiv,
        /// a − ⌊a / b⌋ · b, with the sign of b; integers: 0 when b is 0.
        FloorMod,
        /// Remainder with the sign of a; integers: 0 when b is 0.
        Rem,
        /// aᵇ.
        Pow,
        /// Larger, the first of equal ones; NaN if either is.
        Max,
        /// Smaller, the first of equal ones; NaN if either is.
        Min,
        /// Angle of the point (b, a).
        Atan2,
        /// a = b.
        Eq,
        /// a ≠ b.
        Ne,
        /// a < b.
        Lt,
        /// a ≤ b.
        Le,
        /// a > b.
        Gt,
        /// a ≥ b.
        Ge,
        /// Logical and of `bool`s, bitwise and of integers.
        And,
        /// Logical or of `bool`s, bitwise or of integers.
        Or,
        /// Exclusive or, logical or bitwise.
        Xor,
    }
}

impl Unary {
    /// Whether the result is `bool` whatever the operand.
    pub fn is_test(self) -> bool {
        matches!(self, Unary::IsNan | Unary::IsInf | Unary::IsFinite)
    }

    /// The function in `f64`.
    pub fn eval_f64(self, x: f64) -> f64 {
        match self {
            Unary::Abs => x.abs(),
            Unary::Neg => -x,
            Unary::Sign => {
                if x.is_nan() || x == 0.0 {
                    x
                } else {
                    x.signum()
                }
            }
            Unary::Square => x * x,
            Unary::Sqrt => x.sqrt(),
            Unary::Rsqrt => 1.0 / x.sqrt(),
            Unary::Reciprocal => 1.0 / x,
            Unary::Exp => x.exp(),
            Unary::Expm1 => x.exp_m1(),
            Unary::Log => x.ln(),
            Unary::Log2 => x.log2(),
            Unary::Log10 => x.log10(),
            Unary::Log1p => x.ln_1p(),
            Unary::Sin => x.sin(),
            Unary::Cos => x.cos(),
            Unary::Tan => x.tan(),
            Unary::Asin => x.asin(),
            Unary::Acos => x.acos(),
            Unary::Atan => x.atan(),
            Unary::Sinh => x.sinh(),
            Unary::Cosh => x.cosh(),
            Unary::Tanh => x.tanh(),
            Unary::Asinh => x.asinh(),
            Unary::Acosh => x.acosh(),
            Unary::Atanh => x.atanh(),
            Unary::Erf => libm::erf(x),
            Unary::Erfc => libm::erfc(x),
            Unary::Floor => x.floor(),
            Unary::Ceil => x.ceil(),
            Unary::Round => x.round_ties_even(),
            Unary::Trunc => x.trunc(),
            Unary::Relu => {
                if x < 0.0 {
                    0.0
                } else {
                    x
                }
            }
            Unary::Relu6 => x.clamp(0.0, 6.0),
            Unary::Sigmoid => 1.0 / (1.0 + (-x).exp()),
            Unary::Silu => x / (1.0 + (-x).exp()),
            Unary::Gelu => 0.5 * x * libm::erfc(-x * std::f64::consts::FRAC_1_SQRT_2),
            Unary::GeluTanh => {
                let inner = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044715 * x * x * x);
                x / (1.0 + (-2.0 * inner).exp())
            }
            Unary::HSwish => x * (x + 3.0).clamp(0.0, 6.0) / 6.0,
            Unary::HSigmoid => (x + 3.0).clamp(0.0, 6.0) / 6.0,
            Unary::Softplus => {
                if x > 0.0 {
                    x + (-x).exp().ln_1p()
                } else {
                    x.exp().ln_1p()
                }
            }
            Unary::Mish => x * Unary::Softplus.eval_f64(x).tanh(),
            Unary::Not => f64::from(u8::from(x == 0.0)),
            Unary::IsNan => f64::from(u8::from(x.is_nan())),
            Unary::IsInf => f64::from(u8::from(x.is_infinite())),
            Unary::IsFinite => f64::from(u8::from(x.is_finite())),
        }
    }

    /// The function of an integer; transcendental functions go through `f64`.
    pub fn eval_i64(self, x: i64, dtype: DType) -> Scalar {
        if dtype == DType::U64 && x < 0 {
            return self.eval_large(x as u64);
        }
        Int(match self {
            Unary::Abs => x.wrapping_abs(),
            Unary::Neg => x.wrapping_neg(),
            Unary::Sign => x.signum(),
            Unary::Square => x.wrapping_mul(x),
            Unary::Relu => x.max(0),
            Unary::Relu6 => x.clamp(0, 6),
            Unary::Floor | Unary::Ceil | Unary::Round | Unary::Trunc => x,
            Unary::Not => {
                if dtype == DType::Bool {
                    i64::from(x == 0)
                } else {
                    !x
                }
            }
            Unary::IsNan | Unary::IsInf => 0,
            Unary::IsFinite => 1,
            f => return Float(f.eval_f64(x as f64)),
        })
    }

    /// The function of a `u64` that is no `i64`.
    fn eval_large(self, x: u64) -> Scalar {
        Int(match self {
            Unary::Neg => x.wrapping_neg() as i64,
            Unary::Sign | Unary::IsFinite => 1,
            Unary::Square => x.wrapping_mul(x) as i64,
            Unary::Relu6 => 6,
            Unary::Not => !x as i64,
            Unary::IsNan | Unary::IsInf => 0,
            Unary::Abs | Unary::Relu | Unary::Floor | Unary::Ceil | Unary::Round | Unary::Trunc => x as i64,
            f => return Float(f.eval_f64(x as f64)),
        })
    }

    /// The function of a number whose result has type `dtype`.
    pub fn eval(self, x: Scalar, dtype: DType) -> Scalar {
        match x {
            Float(x) => Float(self.eval_f64(x)),
            Int(x) => self.eval_i64(x, dtype),
        }
    }
}

impl Binary {
    /// Whether the result is `bool` whatever the operands.
    pub fn is_comparison(self) -> bool {
        matches!(self, Binary::Eq | Binary::Ne | Binary::Lt | Binary::Le | Binary::Gt | Binary::Ge)
    }

    /// The function in `f64`; comparisons give 0 and 1.
    pub fn eval_f64(self, a: f64, b: f64) -> f64 {
        let truth = |t: bool| f64::from(u8::from(t));
        match self {
            Binary::Add => a + b,
            Binary::Sub => a - b,
            Binary::Mul => a * b,
            Binary::Div => a / b,
            Binary::FloorDiv => (a / b).floor(),
            Binary::FloorMod => {
                let r = a % b;
                if r != 0.0 && (r < 0.0) != (b < 0.0) { r + b } else { r }
            }
            Binary::Rem => a % b,
            Binary::Pow => a.powf(b),
            Binary::Max => {
                if b.is_nan() || b > a {
                    b
                } else {
                    a
                }
            }
            Binary::Min => {
                if b.is_nan() || b < a {
                    b
                } else {
                    a
                }
            }
            Binary::Atan2 => a.atan2(b),
            Binary::Eq => truth(a == b),
            Binary::Ne => truth(a != b),
            Binary::Lt => truth(a < b),
            Binary::Le => truth(a <= b),
            Binary::Gt => truth(a > b),
            Binary::Ge => truth(a >= b),
            Binary::And => truth(a != 0.0 && b != 0.0),
            Binary::Or => truth(a != 0.0 || b != 0.0),
            Binary::Xor => truth((a != 0.0) != (b != 0.0)),
        }
    }

    /// The function of two integers of type `dtype` (`u64` as its bits); comparisons give 0 and 1.
    pub fn eval_i64(self, a: i64, b: i64, dtype: DType) -> i64 {
        if dtype == DType::U64 {
            return self.eval_u64(a as u64, b as u64);
        }
        match self {
            Binary::Add => a.wrapping_add(b),
            Binary::Sub => a.wrapping_sub(b),
            Binary::Mul => a.wrapping_mul(b),
            Binary::Div => {
                if b == 0 {
                    0
                } else {
                    a.wrapping_div(b)
                }
            }
            Binary::FloorDiv => {
                if b == 0 {
                    0
                } else {
                    floor_div(a, b)
                }
            }
            Binary::FloorMod => {
                if b == 0 {
                    0
                } else {
                    a.wrapping_sub(floor_div(a, b).wrapping_mul(b))
                }
            }
            Binary::Rem => {
                if b == 0 {
                    0
                } else {
                    a.wrapping_rem(b)
                }
            }
            Binary::Pow => int_pow(a, b),
            Binary::Max => a.max(b),
            Binary::Min => a.min(b),
            Binary::Atan2 => (a as f64).atan2(b as f64) as i64,
            Binary::Eq => i64::from(a == b),
            Binary::Ne => i64::from(a != b),
            Binary::Lt => i64::from(a < b),
            Binary::Le => i64::from(a <= b),
            Binary::Gt => i64::from(a > b),
            Binary::Ge => i64::from(a >= b),
            Binary::And => a & b,
            Binary::Or => a | b,
            Binary::Xor => a ^ b,
        }
    }

    fn eval_u64(self, a: u64, b: u64) -> i64 {
        (match self {
            Binary::Div | Binary::FloorDiv => a.checked_div(b).unwrap_or(0),
            Binary::Rem | Binary::FloorMod => a.checked_rem(b).unwrap_or(0),
            Binary::Pow => a.wrapping_pow(u32::try_from(b).unwrap_or(u32::MAX)),
            Binary::Max => a.max(b),
            Binary::Min => a.min(b),
            Binary::Lt => u64::from(a < b),
            Binary::Le => u64::from(a <= b),
            Binary::Gt => u64::from(a > b),
            Binary::Ge => u64::from(a >= b),
            f => return f.eval_i64(a as i64, b as i64, DType::I64),
        }) as i64
    }

    /// The function of two numbers of type `dtype`.
    pub fn eval(self, a: Scalar, b: Scalar, dtype: DType) -> Scalar {
        match (a, b) {
            (Int(a), Int(b)) => Int(self.eval_i64(a, b, dtype)),
            (a, b) => Float(self.eval_f64(a.as_f64(), b.as_f64())),
        }
    }
}

fn floor_div(a: i64, b: i64) -> i64 {
    let q = a.wrapping_div(b);
    if a.wrapping_rem(b) != 0 && (a < 0) != (b < 0) { q - 1 } else { q }
}

fn int_pow(a: i64, b: i64) -> i64 {
    match (a, b) {
        (_, b) if b >= 0 => a.wrapping_pow(u32::try_from(b).unwrap_or(u32::MAX)),
        (1, _) => 1,
        (-1, b) => {
            if b % 2 == 0 {
                1
            } else {
                -1
            }
        }
        _ => 0,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn integers_divide_as_documented() {
        assert_eq!(Binary::FloorDiv.eval_i64(-7, 2, DType::I32), -4);
        assert_eq!(Binary::FloorMod.eval_i64(-7, 2, DType::I32), 1);
        assert_eq!(Binary::Rem.eval_i64(-7, 2, DType::I32), -1);
        assert_eq!(Binary::Div.eval_i64(i64::MIN, -1, DType::I64), i64::MIN);
        assert_eq!(Binary::Div.eval_i64(1, 0, DType::I32), 0);
        assert_eq!(Binary::Lt.eval_i64(-1, 1, DType::U64), 0);
    }
}
