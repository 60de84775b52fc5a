//! The operators: one file and one line each.

mod activation;
mod add_n;
mod addmm;
mod arg_extreme;
mod arithmetic;
mod batch_mat_mul;
mod bias_add;
mod binary;
mod broadcast_to;
mod cast;
mod concat;
mod cut;
mod dense;
mod elements;
mod elementwise;
mod expand_dims;
mod flatten;
mod gather;
mod lerp;
mod load;
mod mat_mul_ext;
mod matmul;
mod number;
mod pad;
mod padding;
mod product;
mod reduce;
mod reshape;
mod reshaping;
mod sample;
mod samples;
mod select;
mod shape_of;
mod slice;
mod softmax;
mod split;
mod squeeze;
mod strided_slice;
mod tile;
mod transpose;
mod unary;
mod window;

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
    addmm::Addmm,
    arg_extreme::Argmax,
    arg_extreme::ArgMaxExt,
    arg_extreme::ArgMaxWithValue,
    arg_extreme::Argmin,
    arg_extreme::ArgMinExt,
    arg_extreme::ArgMinWithValue,
    arg_extreme::MaxDim,
    arg_extreme::MinDim,
    arithmetic::Addcdiv,
    arithmetic::Addcmul,
    arithmetic::AddExt,
    arithmetic::AddScalar,
    arithmetic::DivMod,
    arithmetic::DivMods,
    arithmetic::SubExt,
    arithmetic::SubScalar,
    batch_mat_mul::BatchMatMul,
    bias_add::BiasAdd,
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
    broadcast_to::BroadcastTo,
    broadcast_to::ExpandAs,
    cast::Cast,
    concat::Concat,
    concat::Stack,
    concat::StackExt,
    dense::Dense,
    expand_dims::ExpandDims,
    flatten::Flatten,
    flatten::FlattenExt,
    gather::Embedding,
    gather::EmbeddingLookup,
    gather::Gather,
    gather::GatherD,
    gather::GatherNd,
    gather::IndexSelect,
    lerp::Lerp,
    load::Load,
    mat_mul_ext::MatMulExt,
    matmul::MatMul,
    pad::ConstantPadND,
    pad::MirrorPad,
    pad::Pad,
    pad::PadV3,
    pad::ReflectionPad1D,
    pad::ReplicationPad1D,
    reduce::All,
    reduce::Any,
    reduce::AnyExt,
    reduce::LogSumExp,
    reduce::Max,
    reduce::MeanExt,
    reduce::Min,
    reduce::ProdExt,
    reduce::ReduceAll,
    reduce::ReduceAny,
    reduce::ReduceMax,
    reduce::ReduceMean,
    reduce::ReduceMin,
    reduce::ReduceProd,
    reduce::ReduceSum,
    reduce::SumExt,
    reshape::Reshape,
    select::MaskedFill,
    select::Select,
    shape_of::Rank,
    shape_of::Shape,
    shape_of::Size,
    slice::Narrow,
    slice::ReverseV2,
    slice::SelectExtView,
    slice::Slice,
    slice::SliceExt,
    softmax::Softmax,
    split::Chunk,
    split::Split,
    split::SplitTensor,
    split::SplitWithSize,
    split::Unstack,
    squeeze::Squeeze,
    strided_slice::StridedSlice,
    tile::RepeatInterleaveInt,
    tile::RepeatInterleaveTensor,
    tile::Tile,
    transpose::Transpose,
    transpose::TransposeExtView,
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
