//! The operators: one file and one line each.

mod activation;
mod adaptive_pool;
mod add_n;
mod addmm;
mod arg_extreme;
mod arithmetic;
mod as_strided;
mod assign;
mod batch_mat_mul;
mod batch_norm;
mod bias_add;
mod binary;
mod blocks;
mod boxes;
mod broadcast_to;
mod cast;
mod clamp;
mod classic_convolution;
mod close;
mod columns;
mod concat;
mod conv2d;
mod conv2d_backprop_filter;
mod conv2d_transpose;
mod conv3d;
mod conv_ext;
mod convolving;
mod create;
mod cumulate;
mod cut;
mod dense;
mod diagonal;
mod distance;
mod dropout;
mod dynamic;
mod elements;
mod elementwise;
mod expand_dims;
mod flatten;
mod gather;
mod gradient;
mod grid_sampler2d;
mod identity;
mod index_fill;
mod l2_normalize;
mod layer_norm;
mod lerp;
mod load;
mod log_softmax;
mod loss;
mod lstm;
mod mat_mul_ext;
mod matmul;
mod max_pool_grad;
mod meshgrid;
mod moment;
mod nan_to_num;
mod number;
mod one_hot;
mod optimizer;
mod order;
mod outer;
mod pad;
mod padding;
mod patches;
mod pool;
mod pooling;
mod prelu;
mod print;
mod product;
mod raise;
mod reduce;
mod reshape;
mod reshaping;
mod resize;
mod reverse_sequence;
mod roll;
mod round;
mod sample;
mod samples;
mod scalar;
mod scatter;
mod select;
mod selection;
mod set_item;
mod shape_of;
mod slice;
mod softmax;
mod special;
mod split;
mod squeeze;
mod strided_slice;
mod taps;
mod tile;
mod transpose;
mod triangle;
mod tuple;
mod unary;
mod vector_norm;
mod window;

pub use window::same_padding;

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
    adaptive_pool::AdaptiveAvgPool1D,
    adaptive_pool::AdaptiveAvgPool2D,
    adaptive_pool::AdaptiveAvgPool2DExt,
    adaptive_pool::AdaptiveAvgPool3D,
    adaptive_pool::AdaptiveAvgPool3DExt,
    adaptive_pool::AdaptiveMaxPool1D,
    adaptive_pool::AdaptiveMaxPool2D,
    adaptive_pool::AdaptiveMaxPool3D,
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
    as_strided::AsStrided,
    assign::Assign,
    assign::AssignAdd,
    assign::AssignSub,
    assign::InplaceAddExt,
    assign::InplaceAddsExt,
    assign::InplaceClampScalar,
    assign::InplaceClampTensor,
    assign::InplaceCopy,
    assign::InplaceDiv,
    assign::InplaceDivMod,
    assign::InplaceDivMods,
    assign::InplaceDivs,
    assign::InplaceElu,
    assign::InplaceExp,
    assign::InplaceFloor,
    assign::InplaceFloorDivide,
    assign::InplaceFloorDivides,
    assign::InplaceHardtanh,
    assign::InplaceLog,
    assign::InplaceMaskedFillScalar,
    assign::InplaceMaskedFillTensor,
    assign::InplaceMul,
    assign::InplaceMuls,
    assign::InplaceReLU,
    assign::InplaceRemainderTensorScalar,
    assign::InplaceRemainderTensorTensor,
    assign::InplaceSigmoid,
    assign::InplaceSign,
    assign::InplaceSiLU,
    assign::InplaceSubExt,
    assign::InplaceSubScalar,
    assign::InplaceTanh,
    assign::InplaceThreshold,
    batch_mat_mul::BatchMatMul,
    batch_norm::BatchNorm,
    batch_norm::BatchNormExt,
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
    binary::Fmax,
    binary::Fmin,
    binary::FmodScalar,
    binary::Greater,
    binary::GreaterEqual,
    binary::GreaterEqualScalar,
    binary::Heaviside,
    binary::Hypot,
    binary::LeftShift,
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
    binary::RightShift,
    binary::SquaredDifference,
    binary::Sub,
    binary::TruncateDiv,
    binary::Xdivy,
    binary::Xlogy,
    binary::XLogYScalarOther,
    binary::XLogYScalarSelf,
    blocks::BatchToSpaceND,
    blocks::ChannelShuffle,
    blocks::DepthToSpace,
    blocks::SpaceToBatchND,
    blocks::SpaceToDepth,
    boxes::IOU,
    boxes::NMSWithMask,
    boxes::ROIAlign,
    broadcast_to::BroadcastTo,
    broadcast_to::ExpandAs,
    cast::Cast,
    clamp::ClampScalar,
    clamp::ClampTensor,
    clamp::Threshold,
    close::ApproximateEqual,
    close::IsClose,
    columns::Col2Im,
    concat::Concat,
    concat::Stack,
    concat::StackExt,
    conv2d::Conv2D,
    conv2d::DepthwiseConv2dNative,
    conv2d_backprop_filter::Conv2DBackpropFilter,
    conv2d_transpose::Conv2DBackpropInput,
    conv2d_transpose::Conv3DTranspose,
    conv2d_transpose::ConvTranspose2D,
    conv3d::Conv3D,
    conv_ext::Conv1DExt,
    conv_ext::Conv1DPadding,
    conv_ext::Conv2DExt,
    conv_ext::Conv2DPadding,
    conv_ext::Conv3DExt,
    conv_ext::Conv3DPadding,
    create::Arange,
    create::Eye,
    create::Fill,
    create::FillScalar,
    create::FillTensor,
    create::FillV2,
    create::FullLike,
    create::LinSpace,
    create::LinSpaceExt,
    create::NewFull,
    create::NewOnes,
    create::NewZeros,
    create::Ones,
    create::OnesLike,
    create::OnesLikeExt,
    create::Range,
    create::Zeros,
    create::ZerosLike,
    create::ZerosLikeExt,
    cumulate::Cummax,
    cumulate::Cummin,
    cumulate::CumminExt,
    cumulate::CumProd,
    cumulate::CumSum,
    cumulate::CumsumExt,
    cumulate::CumulativeLogsumexp,
    dense::Dense,
    diagonal::Diag,
    diagonal::Diagonal,
    diagonal::DiagPart,
    distance::BCEWithLogitsLoss,
    distance::BinaryCrossEntropy,
    distance::KLDivLoss,
    distance::SmoothL1Loss,
    dropout::Dropout,
    dynamic::Bincount,
    dynamic::BincountExt,
    dynamic::MaskedSelect,
    dynamic::NonZero,
    dynamic::NonZeroExt,
    dynamic::Unique,
    dynamic::UniqueConsecutive,
    dynamic::UniqueWithPad,
    expand_dims::ExpandDims,
    flatten::Flatten,
    flatten::FlattenExt,
    gather::Embedding,
    gather::EmbeddingLookup,
    gather::Gather,
    gather::GatherD,
    gather::GatherNd,
    gather::IndexSelect,
    gradient::BiasAddGrad,
    gradient::ReluGrad,
    gradient::SigmoidGrad,
    gradient::TanhGrad,
    grid_sampler2d::GridSampler2D,
    identity::Clone,
    identity::Contiguous,
    identity::Identity,
    identity::StopGradient,
    identity::TensorMove,
    identity::TensorToScalar,
    identity::TensorToTuple,
    index_fill::IndexFill,
    index_fill::TensorCopySlices,
    l2_normalize::L2Normalize,
    l2_normalize::LRN,
    layer_norm::GroupNorm,
    layer_norm::InstanceNorm,
    layer_norm::LayerNorm,
    layer_norm::LayerNormExt,
    layer_norm::LayerNormV3,
    layer_norm::RmsNorm,
    lerp::Lerp,
    load::Load,
    log_softmax::LogSoftmax,
    log_softmax::LogSoftmaxExt,
    loss::NLLLoss,
    loss::SoftmaxCrossEntropyWithLogits,
    loss::SparseSoftmaxCrossEntropyWithLogits,
    lstm::LSTM,
    mat_mul_ext::MatMulExt,
    matmul::MatMul,
    max_pool_grad::MaxPoolGrad,
    meshgrid::Meshgrid,
    moment::ReduceStd,
    moment::Std,
    moment::StdMean,
    moment::Var,
    moment::VarMean,
    nan_to_num::NanToNum,
    one_hot::OneHot,
    optimizer::Adam,
    optimizer::AdamWeightDecay,
    optimizer::ApplyMomentum,
    optimizer::SGD,
    order::ArgSort,
    order::SearchSorted,
    order::Sort,
    order::SortExt,
    order::TopK,
    order::TopkExt,
    outer::Outer,
    pad::ConstantPadND,
    pad::MirrorPad,
    pad::Pad,
    pad::PadV3,
    pad::ReflectionPad1D,
    pad::ReplicationPad1D,
    patches::ExtractImagePatches,
    patches::Im2Col,
    patches::Im2ColExt,
    pool::AvgPool,
    pool::AvgPool1D,
    pool::AvgPool2D,
    pool::AvgPool3D,
    pool::AvgPool3DExt,
    pool::MaxPool,
    pool::MaxPool3D,
    pool::MaxPool3DWithArgmax,
    pool::MaxPoolWithArgmax,
    pool::MaxPoolWithIndices,
    prelu::PReLU,
    print::Print,
    raise::JoinedStr,
    raise::raise,
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
    resize::ResizeBicubic,
    resize::ResizeBilinearV2,
    resize::ResizeLinear1D,
    resize::ResizeNearestNeighbor,
    resize::ResizeNearestNeighborV2,
    resize::UpsampleBicubic2D,
    resize::UpsampleBilinear2D,
    resize::UpsampleLinear1D,
    resize::UpsampleNearest1D,
    resize::UpsampleNearest2D,
    resize::UpsampleNearest3D,
    resize::UpsampleTrilinear3D,
    reverse_sequence::ReverseSequence,
    roll::Roll,
    round::Round,
    scalar::bit_and,
    scalar::bit_or,
    scalar::bool_and,
    scalar::bool_eq,
    scalar::bool_not,
    scalar::bool_or,
    scalar::ScalarAdd,
    scalar::ScalarBool,
    scalar::ScalarDiv,
    scalar::ScalarEq,
    scalar::ScalarFloorDiv,
    scalar::ScalarGe,
    scalar::ScalarGt,
    scalar::ScalarLe,
    scalar::ScalarLog,
    scalar::ScalarLt,
    scalar::ScalarMax,
    scalar::ScalarMin,
    scalar::ScalarMod,
    scalar::ScalarMul,
    scalar::ScalarPow,
    scalar::ScalarSub,
    scalar::ScalarUadd,
    scalar::ScalarUsub,
    scatter::IndexAddExt,
    scatter::Scatter,
    scatter::ScatterAdd,
    scatter::ScatterAddExt,
    scatter::ScatterDiv,
    scatter::ScatterMax,
    scatter::ScatterMin,
    scatter::ScatterMul,
    scatter::ScatterNd,
    scatter::ScatterNdAdd,
    scatter::ScatterNdDiv,
    scatter::ScatterNdMax,
    scatter::ScatterNdMin,
    scatter::ScatterNdMul,
    scatter::ScatterNdSub,
    scatter::ScatterNdUpdate,
    scatter::ScatterSub,
    scatter::ScatterUpdate,
    scatter::TensorScatterAdd,
    scatter::TensorScatterDiv,
    scatter::TensorScatterElements,
    scatter::TensorScatterMax,
    scatter::TensorScatterMin,
    scatter::TensorScatterMul,
    scatter::TensorScatterSub,
    scatter::TensorScatterUpdate,
    scatter::UnsortedSegmentMax,
    scatter::UnsortedSegmentMin,
    scatter::UnsortedSegmentProd,
    scatter::UnsortedSegmentSum,
    select::MaskedFill,
    select::Select,
    set_item::GetTupleIndexInfo,
    set_item::NormalizeTupleIndex,
    set_item::RemoveExpandedDims,
    set_item::SliceToIndices,
    shape_of::Rank,
    shape_of::Shape,
    shape_of::Size,
    slice::Narrow,
    slice::ReverseV2,
    slice::SelectExtView,
    slice::Slice,
    slice::SliceExt,
    softmax::Softmax,
    special::BesselI0,
    special::BesselI1,
    special::Digamma,
    special::Erfinv,
    special::Lgamma,
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
    triangle::MatrixBandPart,
    triangle::Tril,
    triangle::TrilExt,
    triangle::Triu,
    tuple::InSequence,
    tuple::list_equal,
    tuple::sequence_len,
    tuple::SequenceAdd,
    tuple::SequenceSlice,
    tuple::shape_mul,
    tuple::tuple_equal,
    tuple::TupleGetItem,
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
    vector_norm::LinalgVectorNorm,
    vector_norm::LpNorm,
}

/// The operator that MindSpore calls `name`; aliases count.
pub fn find(name: &str) -> Option<&'static OpDef> {
    OPS.iter().find(|d| d.name == name || d.aliases.contains(&name))
}
