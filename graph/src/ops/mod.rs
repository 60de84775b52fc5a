//! The operators: one file and one line each.

mod adaptive_pool;
mod addmm;
mod as_strided;
mod batch_mat_mul;
mod batch_norm;
mod bias_add;
mod blocks;
mod boxes;
mod broadcast_to;
mod concat;
mod conv2d;
mod conv2d_transpose;
mod convolving;
mod cut;
mod dense;
mod dropout;
mod elements;
mod expand_dims;
mod flatten;
mod gather;
mod grid_sampler2d;
mod index_fill;
mod l2_normalize;
mod layer_norm;
mod lstm;
mod mat_mul_ext;
mod matmul;
mod number;
mod pad;
mod padding;
mod patches;
mod pool;
mod pooling;
mod product;
mod relu;
mod reshape;
mod reshaping;
mod resize;
mod reverse_sequence;
mod roll;
mod sample;
mod scatter;
mod shape_of;
mod slice;
mod softmax;
mod split;
mod squeeze;
mod strided_slice;
mod tile;
mod transpose;
mod window;

use crate::op::OpDef;

macro_rules! ops {
    ($($module:ident::$name:ident),* $(,)?) => {
        /// Every operator, in alphabetical order of the files.
        pub static OPS: &[OpDef] = &[$(OpDef::of::<$module::$name>()),*];
    };
}

ops! {
    adaptive_pool::AdaptiveAvgPool1D,
    adaptive_pool::AdaptiveAvgPool2D,
    adaptive_pool::AdaptiveAvgPool2DExt,
    adaptive_pool::AdaptiveAvgPool3DExt,
    adaptive_pool::AdaptiveMaxPool1D,
    adaptive_pool::AdaptiveMaxPool2D,
    addmm::Addmm,
    as_strided::AsStrided,
    batch_mat_mul::BatchMatMul,
    batch_norm::BatchNorm,
    batch_norm::BatchNormExt,
    bias_add::BiasAdd,
    blocks::BatchToSpaceND,
    blocks::DepthToSpace,
    blocks::SpaceToBatchND,
    blocks::SpaceToDepth,
    boxes::IOU,
    boxes::NMSWithMask,
    boxes::ROIAlign,
    broadcast_to::BroadcastTo,
    broadcast_to::ExpandAs,
    concat::Concat,
    concat::Stack,
    concat::StackExt,
    conv2d::Conv1DExt,
    conv2d::Conv1DPadding,
    conv2d::Conv2D,
    conv2d::Conv2DExt,
    conv2d::Conv2DPadding,
    conv2d::Conv3D,
    conv2d::Conv3DExt,
    conv2d::Conv3DPadding,
    conv2d::DepthwiseConv2dNative,
    conv2d_transpose::Conv2DBackpropInput,
    conv2d_transpose::Conv3DTranspose,
    conv2d_transpose::ConvTranspose2D,
    dense::Dense,
    dropout::Dropout,
    expand_dims::ExpandDims,
    flatten::Flatten,
    flatten::FlattenExt,
    gather::Embedding,
    gather::EmbeddingLookup,
    gather::Gather,
    gather::GatherD,
    gather::GatherNd,
    gather::IndexSelect,
    grid_sampler2d::GridSampler2D,
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
    lstm::LSTM,
    mat_mul_ext::MatMulExt,
    matmul::MatMul,
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
    relu::ReLU,
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
}

/// The operator that MindSpore calls `name`; aliases count.
pub fn find(name: &str) -> Option<&'static OpDef> {
    OPS.iter().find(|d| d.name == name || d.aliases.contains(&name))
}
