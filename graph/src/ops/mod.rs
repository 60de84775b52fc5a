//! The operators: one file and one line each.

mod activation;
mod add_n;
mod arithmetic;
mod binary;
mod cast;
mod elementwise;
mod lerp;
mod samples;
mod select;
mod softmax;
mod unary;

use crate::op::OpDef;

macro_rules! ops {
    ($($module:ident::$name:ident),* $(,)?) => {
        /// Every operator, in alphabetical order of the files.
        pub static OPS: &[OpDef] = &[$(OpDef::of::<$module::$name>()),*];
    };
}

ops! {
    activation::CeLU,
    activation::Elu,
    activation::Exp2,
    activation::FastGeLU,
    activation::Frac,
    activation::GeluExt,
    activation::Hardtanh,
    activation::HShrink,
    activation::LeakyReLUExt,
    activation::LogSigmoid,
    activation::SeLU,
    activation::Sinc,
    activation::SoftplusExt,
    activation::SoftShrink,
    activation::Softsign,
    add_n::AddN,
    arithmetic::Addcdiv,
    arithmetic::Addcmul,
    arithmetic::AddExt,
    arithmetic::AddScalar,
    arithmetic::DivMod,
    arithmetic::DivMods,
    arithmetic::SubExt,
    arithmetic::SubScalar,
    binary::Add,
    binary::Atan2,
    binary::BitwiseAnd,
    binary::BitwiseAndScalar,
    binary::BitwiseOr,
    binary::BitwiseOrScalar,
    binary::BitwiseXor,
    binary::BitwiseXorScalar,
    binary::Div,
    binary::DivNoNan,
    binary::Divs,
    binary::EqScalar,
    binary::Equal,
    binary::FloorDiv,
    binary::FloorDivScalar,
    binary::FloorMod,
    binary::FmodScalar,
    binary::Greater,
    binary::GreaterEqual,
    binary::GreaterEqualScalar,
    binary::Hypot,
    binary::Less,
    binary::LessEqual,
    binary::LessScalar,
    binary::LogAddExp,
    binary::LogicalAnd,
    binary::LogicalOr,
    binary::LogicalXor,
    binary::Maximum,
    binary::Minimum,
    binary::Mod,
    binary::Mul,
    binary::MulNoNan,
    binary::Muls,
    binary::NotEqual,
    binary::Pow,
    binary::PowScalarTensor,
    binary::PowTensorScalar,
    binary::RealDiv,
    binary::RemainderScalarTensor,
    binary::RemainderTensorScalar,
    binary::SquaredDifference,
    binary::Sub,
    binary::TruncateDiv,
    binary::Xdivy,
    binary::Xlogy,
    binary::XLogYScalarOther,
    binary::XLogYScalarSelf,
    cast::Cast,
    lerp::Lerp,
    select::MaskedFill,
    select::Select,
    softmax::Softmax,
    unary::Abs,
    unary::ACos,
    unary::Acosh,
    unary::Asin,
    unary::Asinh,
    unary::Atan,
    unary::Atanh,
    unary::BitwiseNot,
    unary::Ceil,
    unary::Cos,
    unary::Cosh,
    unary::Erf,
    unary::Erfc,
    unary::Exp,
    unary::Expm1,
    unary::Floor,
    unary::GeLU,
    unary::HSigmoid,
    unary::HSwish,
    unary::IsFinite,
    unary::IsInf,
    unary::IsNan,
    unary::Log,
    unary::Log10,
    unary::Log1p,
    unary::Log2,
    unary::LogicalNot,
    unary::Mish,
    unary::Neg,
    unary::Reciprocal,
    unary::ReLU,
    unary::ReLU6,
    unary::Rint,
    unary::Rsqrt,
    unary::Sigmoid,
    unary::Sign,
    unary::SiLU,
    unary::Sin,
    unary::Sinh,
    unary::Softplus,
    unary::Sqrt,
    unary::Square,
    unary::Tan,
    unary::Tanh,
    unary::Trunc,
}

/// The operator that MindSpore calls `name`; aliases count.
pub fn find(name: &str) -> Option<&'static OpDef> {
    OPS.iter().find(|d| d.name == name || d.aliases.contains(&name))
}
