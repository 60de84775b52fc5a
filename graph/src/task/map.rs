use half::{bf16, f16};

use crate::{DType, Shape};

/// An element-wise program over broadcast operands.
///
/// Inputs: tensors whose shapes broadcast to `shape` (right-aligned). Output: one tensor of as many elements as `shape`, in
/// its order.
#[derive(Clone, Debug)]
pub struct Map {
    /// Dimensions that are walked.
    pub shape: Shape,
    /// What to compute for each element.
    pub program: Program,
}

/// Index of an instruction's result in a [`Program`].
pub type Reg = usize;

/// A straight-line scalar program. Instruction `i` writes register `i`; the last register is the result.
#[derive(Clone, Debug, PartialEq, Default)]
pub struct Program {
    /// Instructions with the element type of their results.
    pub instrs: Vec<(Instr, DType)>,
}

/// One scalar instruction. Arithmetic takes operands of the result's type; comparisons take operands of one type and give
/// `bool`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Instr {
    /// The task's input with this index.
    Input(usize),
    /// A number, converted to the instruction's type.
    Const(f64),
    /// An integer, converted to the instruction's type.
    Int(i64),
    /// A function of one operand.
    Unary(Unary, Reg),
    /// A function of two operands.
    Binary(Binary, Reg, Reg),
    /// The second operand where the first (`bool`) is true, else the third.
    Select(Reg, Reg, Reg),
    /// Conversion to the instruction's type, as [`crate::Tensor::cast`] does it.
    Cast(Reg),
}

impl Instr {
    /// The registers that it reads.
    pub fn operands(self) -> impl Iterator<Item = Reg> {
        let regs = match self {
            Instr::Input(_) | Instr::Const(_) | Instr::Int(_) => [None; 3],
            Instr::Unary(_, x) | Instr::Cast(x) => [Some(x), None, None],
            Instr::Binary(_, a, b) => [Some(a), Some(b), None],
            Instr::Select(c, a, b) => [Some(c), Some(a), Some(b)],
        };
        regs.into_iter().flatten()
    }
}

impl Program {
    /// A program without instructions.
    pub fn new() -> Program {
        Program::default()
    }

    /// Appends an instruction and returns its register.
    pub fn push(&mut self, instr: Instr, dtype: DType) -> Reg {
        self.instrs.push((instr, dtype));
        self.instrs.len() - 1
    }

    /// Appends a read of input `index`.
    pub fn input(&mut self, index: usize, dtype: DType) -> Reg {
        self.push(Instr::Input(index), dtype)
    }

    /// Appends a constant of `dtype`.
    pub fn constant(&mut self, value: f64, dtype: DType) -> Reg {
        self.push(Instr::Const(value), dtype)
    }

    /// Appends a function of one operand. Tests give `bool`, the rest the operand's type.
    pub fn unary(&mut self, f: Unary, x: Reg) -> Reg {
        let dtype = if f.is_test() { DType::Bool } else { self.instrs[x].1 };
        self.push(Instr::Unary(f, x), dtype)
    }

    /// Appends a function of two operands of one type. Comparisons give `bool`, the rest the operands' type.
    pub fn binary(&mut self, f: Binary, a: Reg, b: Reg) -> Reg {
        let dtype = if f.is_comparison() { DType::Bool } else { self.instrs[a].1 };
        self.push(Instr::Binary(f, a, b), dtype)
    }

    /// Appends a choice.
    pub fn select(&mut self, cond: Reg, a: Reg, b: Reg) -> Reg {
        let dtype = self.instrs[a].1;
        self.push(Instr::Select(cond, a, b), dtype)
    }

    /// Appends a conversion; none if `x` has the type already.
    pub fn cast(&mut self, x: Reg, dtype: DType) -> Reg {
        if self.instrs[x].1 == dtype { x } else { self.push(Instr::Cast(x), dtype) }
    }

    /// Element type of the result; `None` for an empty program.
    pub fn dtype(&self) -> Option<DType> {
        self.instrs.last().map(|i| i.1)
    }

    /// Number of inputs: one more than the largest index read.
    pub fn input_count(&self) -> usize {
        self.instrs
            .iter()
            .filter_map(|(i, _)| if let Instr::Input(n) = i { Some(n + 1) } else { None })
            .max()
            .unwrap_or(0)
    }

    /// Arithmetic instructions.
    pub fn flops(&self) -> u64 {
        self.instrs
            .iter()
            .filter(|(i, _)| matches!(i, Instr::Unary(..) | Instr::Binary(..) | Instr::Select(..)))
            .count() as u64
    }

    /// `self` with the reads of `input` replaced by the result of `first`. Input `i` of `first` becomes input `renumber[i]`;
    /// input `i ≠ input` of `self` becomes `keep[i]`.
    pub fn compose(&self, input: usize, first: &Program, renumber: &[usize], keep: &[usize]) -> Program {
        let mut out = Program::new();
        for &(instr, dtype) in &first.instrs {
            let instr = if let Instr::Input(i) = instr { Instr::Input(renumber[i]) } else { instr };
            out.push(instr, dtype);
        }
        let result = out.instrs.len().saturating_sub(1);
        let mut regs: Vec<Reg> = Vec::with_capacity(self.instrs.len());
        for &(instr, dtype) in &self.instrs {
            let reg = match instr {
                Instr::Input(i) if i == input => result,
                Instr::Input(i) => out.push(Instr::Input(keep[i]), dtype),
                Instr::Const(_) | Instr::Int(_) => out.push(instr, dtype),
                Instr::Unary(f, x) => out.push(Instr::Unary(f, regs[x]), dtype),
                Instr::Binary(f, a, b) => out.push(Instr::Binary(f, regs[a], regs[b]), dtype),
                Instr::Select(c, a, b) => out.push(Instr::Select(regs[c], regs[a], regs[b]), dtype),
                Instr::Cast(x) => out.push(Instr::Cast(regs[x]), dtype),
            };
            regs.push(reg);
        }
        if let Some(&last) = regs.last()
            && last + 1 != out.instrs.len()
        {
            let dtype = out.instrs[last].1;
            out.push(Instr::Cast(last), dtype);
        }
        out
    }

    /// The result for one element, in `f64` (floats) or `i64` (integers and `bool`), rounded to each instruction's type.
    /// The plain meaning of a program, for references.
    pub fn eval(&self, inputs: &[Scalar]) -> Scalar {
        let mut regs: Vec<Scalar> = Vec::with_capacity(self.instrs.len());
        for &(instr, dtype) in &self.instrs {
            let value = match instr {
                Instr::Input(i) => inputs[i],
                Instr::Const(x) => Float(x),
                Instr::Int(x) => Int(x),
                Instr::Unary(f, x) => f.eval(regs[x], dtype),
                Instr::Binary(f, a, b) => f.eval(regs[a], regs[b], self.instrs[a].1),
                Instr::Select(c, a, b) => {
                    if regs[c].truth() {
                        regs[a]
                    } else {
                        regs[b]
                    }
                }
                Instr::Cast(x) => match regs[x] {
                    Int(bits) if self.instrs[x].1 == DType::U64 && dtype.is_float() => Float(bits as u64 as f64),
                    other => other,
                },
            };
            regs.push(value.round_to(dtype));
        }
        regs.pop().unwrap_or(Float(0.0))
    }
}

/// A number during reference evaluation.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Scalar {
    /// A float of any width.
    Float(f64),
    /// An integer of any width, or a `bool` as 0 and 1; `u64` as its bits.
    Int(i64),
}

use Scalar::{Float, Int};

impl Scalar {
    /// The number as `f64`.
    pub fn as_f64(self) -> f64 {
        match self {
            Float(x) => x,
            Int(x) => x as f64,
        }
    }

    /// The number as `i64`; floats truncate and saturate.
    pub fn as_i64(self) -> i64 {
        match self {
            Float(x) => x as i64,
            Int(x) => x,
        }
    }

    /// Whether the number is not 0.
    pub fn truth(self) -> bool {
        match self {
            Float(x) => x != 0.0,
            Int(x) => x != 0,
        }
    }

    /// The number as `dtype` holds it: floats are rounded, integers wrap, floats to integers truncate and saturate.
    pub fn round_to(self, dtype: DType) -> Scalar {
        match dtype {
            DType::Bool => Int(i64::from(self.truth())),
            DType::F16 => Float(f16::from_f64(self.as_f64()).to_f64()),
            DType::BF16 => Float(bf16::from_f64(self.as_f64()).to_f64()),
            DType::F32 => Float(self.as_f64() as f32 as f64),
            DType::F64 => Float(self.as_f64()),
            DType::I8 => self.to_int(|x| x as i8 as i64, |x| x as i8 as i64),
            DType::I16 => self.to_int(|x| x as i16 as i64, |x| x as i16 as i64),
            DType::I32 => self.to_int(|x| x as i32 as i64, |x| x as i32 as i64),
            DType::U8 => self.to_int(|x| x as u8 as i64, |x| x as u8 as i64),
            DType::U16 => self.to_int(|x| x as u16 as i64, |x| x as u16 as i64),
            DType::U32 => self.to_int(|x| x as u32 as i64, |x| x as u32 as i64),
            DType::U64 => self.to_int(|x| x, |x| x as u64 as i64),
            _ => self.to_int(|x| x, |x| x as i64),
        }
    }

    fn to_int(self, wrap: fn(i64) -> i64, saturate: fn(f64) -> i64) -> Scalar {
        Int(match self {
            Int(x) => wrap(x),
            Float(x) => saturate(x),
        })
    }
}

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
    fn programs_compose() {
        let mut add = Program::new();
        let (a, b) = (add.input(0, DType::F32), add.input(1, DType::F32));
        add.binary(Binary::Add, a, b);
        let mut relu = Program::new();
        let x = relu.input(0, DType::F32);
        relu.unary(Unary::Relu, x);
        let both = relu.compose(0, &add, &[0, 1], &[0]);
        assert_eq!(both.eval(&[Float(1.0), Float(-3.0)]), Float(0.0));
        assert_eq!(both.eval(&[Float(1.0), Float(2.0)]), Float(3.0));
        assert_eq!(both.input_count(), 2);
    }

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
