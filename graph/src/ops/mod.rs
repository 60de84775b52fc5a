//! The operators, by family and file.

mod complex;
mod conv;
mod create;
mod elementwise;
mod fourier;
mod image;
mod index;
mod kit;
mod linear;
mod matrix;
mod norm;
mod optimizer;
mod pool;
mod quant;
mod random;
mod recurrent;
mod reduce;
mod shape;
mod sparse;
mod state;
mod text;
mod training;

pub use kit::window::same_padding;

use crate::op::OpDef;

macro_rules! ops {
    ($($family:ident::$file:ident: $($name:ident),*;)*) => {
        /// Every operator, in alphabetical order of their files.
        pub static OPS: &[OpDef] = &[$($(OpDef::of::<$family::$file::$name>()),*),*];
    };
}

ops! {
    complex::made: Complex, Polar;
    complex::parts: Angle, ComplexAbs, Conj, ConjugateTranspose, Imag, Real;
    conv::backprop_filter: Conv2DBackpropFilter, Conv3DBackpropFilter;
    conv::columns: Col2Im;
    conv::conv2d: Conv2D, DepthwiseConv2dNative;
    conv::conv2d_transpose: Conv2DBackpropInput, Conv3DBackpropInput, Conv3DTranspose, ConvTranspose2D;
    conv::conv3d: Conv3D;
    conv::conv_ext: Conv1DExt, Conv1DPadding, Conv2DExt, Conv2DPadding, Conv3DExt, Conv3DPadding;
    conv::deformable: DeformableOffsets, DeformableOffsetsGrad;
    conv::dilation2d: Dilation2D, Dilation2DBackpropFilter, Dilation2DBackpropInput;
    conv::patches: ExtractImagePatches, Im2Col, Im2ColExt;
    create::meshgrid: Meshgrid;
    create::numbers: Arange, Empty, EmptyLike, Eps, Eye, Fill, FillScalar, FillTensor, FillV2, FullLike, LinSpace,
        LinSpaceExt, NewEmpty, NewFull, NewOnes, NewZeros, Ones, OnesLike, OnesLikeExt, Range, Zeros, ZerosLike,
        ZerosLikeExt;
    create::ranges: LogSpace, RangeV2, TrilIndices, TriuIndices;
    elementwise::activation: CeLU, Elu, Exp2, FastGeLU, Frac, GeluExt, Hardtanh, HShrink, LeakyReLUExt, Logit,
        LogSigmoid, SeLU, Sinc, SoftplusExt, SoftShrink, Softsign;
    elementwise::add_n: AddN;
    elementwise::arithmetic: Addcdiv, Addcmul, AddExt, AddScalar, DivMod, DivMods, SubExt, SubScalar;
    elementwise::binary: Add, Atan2, BitwiseAnd, BitwiseAndScalar, BitwiseOr, BitwiseOrScalar, BitwiseXor,
        BitwiseXorScalar, Div, DivNoNan, Divs, EqScalar, Equal, FloorDiv, FloorDivScalar, FloorMod, Fmax, Fmin,
        FmodScalar, Greater, GreaterEqual, GreaterEqualScalar, Heaviside, Hypot, LeftShift, Less, LessEqual, LessScalar,
        LogAddExp, LogicalAnd, LogicalOr, LogicalXor, Maximum, Minimum, Mod, Mul, MulNoNan, Muls, NotEqual, Pow,
        PowScalarTensor, PowTensorScalar, RealDiv, RemainderScalarTensor, RemainderTensorScalar, RightShift,
        SquaredDifference, Sub, TruncateDiv, Xdivy, Xlogy, XLogYScalarOther, XLogYScalarSelf;
    elementwise::bits: CheckNumerics, CompareAndBitpack;
    elementwise::cast: Cast;
    elementwise::clamp: ClampScalar, ClampTensor, Threshold;
    elementwise::close: ApproximateEqual, IsClose;
    elementwise::glu: GLU;
    elementwise::identity: Clone, Contiguous, Identity, IdentityN, StopGradient, TensorMove, TensorToScalar,
        TensorToTuple;
    elementwise::integers: Gcd, Lcm, PopulationCount;
    elementwise::lerp: Lerp;
    elementwise::nan_to_num: NanToNum;
    elementwise::prelu: PReLU;
    elementwise::round: Round;
    elementwise::scalar: bit_and, bit_or, bool_and, bool_eq, bool_not, bool_or, ScalarAdd, ScalarBool, ScalarDiv,
        ScalarEq, ScalarFloorDiv, ScalarGe, ScalarGt, ScalarLe, ScalarLog, ScalarLt, ScalarMax, ScalarMin, ScalarMod,
        ScalarMul, ScalarPow, ScalarSub, ScalarUadd, ScalarUsub;
    elementwise::select: MaskedFill, Select;
    elementwise::special: BesselI0, BesselI0e, BesselI1, BesselI1e, BesselJ0, BesselJ1, BesselK0, BesselK0e, BesselK1,
        BesselK1e, BesselY0, BesselY1, Betainc, Digamma, Erfinv, Igamma, Igammac, Lgamma, Mvlgamma, NextAfter,
        Polygamma, Zeta;
    elementwise::unary: Abs, ACos, Acosh, Asin, Asinh, Atan, Atanh, BitwiseNot, Ceil, Cos, Cosh, Erf, Erfc, Exp, Expm1,
        Floor, GeLU, HSigmoid, HSwish, IsFinite, IsInf, IsNan, Log, Log10, Log1p, Log2, LogicalNot, Mish, Neg,
        Reciprocal, ReLU, ReLU6, Rint, Rsqrt, Sigmoid, Sign, SiLU, Sin, Sinh, Softplus, Sqrt, Square, Tan, Tanh, Trunc;
    fourier::cosine: DCT, DCTN, IDCT, IDCTN;
    fourier::frequencies: FFTFreq, FFTShapeCopy, FFTShift, IFFTShift, IRFFTDouble, RFFTFreq;
    fourier::short_time: STFT;
    fourier::transforms: FFT, FFT2, FFTN, FFTWithSize, HFFT, HFFT2, HFFTN, IFFT, IFFT2, IFFTN, IHFFT, IHFFT2, IHFFTN,
        IRFFT, IRFFT2, IRFFTN, RFFT, RFFT2, RFFTN;
    fourier::windows: BartlettWindow, BlackmanWindow, HammingWindow;
    image::boxes: IOU, NMSWithMask, ROIAlign, ROIAlignGrad;
    image::colors: AdjustContrastv2, AdjustHue, AdjustSaturation, HSVToRGB, RGBToHSV;
    image::detection: BoundingBoxDecode, BoundingBoxEncode, CheckValid, CombinedNonMaxSuppression,
        NonMaxSuppressionWithOverlaps;
    image::glimpse: AffineGrid, ExtractGlimpse;
    image::grid_sampler2d: GridSampler2D, GridSampler3D;
    image::grid_sampler2d_grad: GridSampler2DGrad;
    image::resample: CropAndResize, ResizeArea, ResizeV2, ScaleAndTranslate;
    image::resize: ResizeBicubic, ResizeBilinearV2, ResizeLinear1D, ResizeNearestNeighbor, ResizeNearestNeighborV2,
        UpsampleBicubic2D, UpsampleBilinear2D, UpsampleLinear1D, UpsampleNearest1D, UpsampleNearest2D,
        UpsampleNearest3D, UpsampleTrilinear3D;
    image::resize_grad: ResizeBicubicGrad, ResizeBilinearGrad, ResizeLinear1DGrad, ResizeNearestNeighborGrad,
        ResizeNearestNeighborV2Grad, UpsampleBicubic2DGrad, UpsampleBilinear2DGrad, UpsampleLinear1DGrad,
        UpsampleNearest1DGrad, UpsampleNearest2DGrad, UpsampleNearest3DGrad, UpsampleTrilinear3DGrad;
    index::gather: Embedding, EmbeddingLookup, Gather, GatherD, GatherNd, IndexSelect;
    index::index_add: IndexAddExt;
    index::index_fill: IndexFill, TensorCopySlices;
    index::masked: MaskedScatter;
    index::one_hot: OneHot;
    index::pick_grad: GatherDGradV2, MaskedSelectGrad;
    index::put: Index, IndexPut, InplaceIndexPut;
    index::rows: IndexAdd, InplaceAdd, InplaceIndexAdd, InplaceSub, InplaceUpdate, InplaceUpdateV2;
    index::scatter_elements: InplaceScatterAdd, InplaceScatterSrc, InplaceScatterSrcReduce, InplaceScatterValue,
        InplaceScatterValueReduce, Scatter, ScatterAddExt, ScatterAddWithAxis, ScatterValue, TensorScatterElements;
    index::scatter_nd: ScatterAdd, ScatterDiv, ScatterMax, ScatterMin, ScatterMul, ScatterNd, ScatterNdAdd,
        ScatterNdDiv, ScatterNdMax, ScatterNdMin, ScatterNdMul, ScatterNdSub, ScatterNdUpdate, ScatterSub,
        ScatterUpdate, TensorScatterAdd, TensorScatterDiv, TensorScatterMax, TensorScatterMin, TensorScatterMul,
        TensorScatterSub, TensorScatterUpdate;
    index::segments: UnsortedSegmentMax, UnsortedSegmentMin, UnsortedSegmentProd, UnsortedSegmentSum;
    index::set_item: GetTupleIndexInfo, NormalizeTupleIndex, RemoveExpandedDims, SliceToIndices;
    index::sorted_segments: SegmentMax, SegmentMean, SegmentMin, SegmentProd, SegmentSum;
    linear::addmm: Addmm;
    linear::batch_mat_mul: BatchMatMul;
    linear::bias_add: BiasAdd;
    linear::correlate: Correlate;
    linear::cross: Cross;
    linear::dense: Dense;
    linear::distance: Cdist, Pdist;
    linear::mat_mul_ext: MatMulExt;
    linear::matmul: MatMul;
    linear::outer: Outer;
    matrix::assignment: LinearSumAssignment;
    matrix::cholesky: Cholesky, CholeskyInverse, CholeskySolve;
    matrix::determinant: LogMatrixDeterminant, MatrixDeterminant;
    matrix::diagonals: MatrixDiagPartV3, MatrixDiagV3, MatrixSetDiagV3;
    matrix::eigen: Eig, SelfAdjointEig;
    matrix::least_squares: Lstsq, LstsqV2, MatrixSolveLs;
    matrix::lu: LU, LuSolve, LuUnpack;
    matrix::power: MatrixLogarithm, MatrixPower;
    matrix::qr: Geqrf, Orgqr, Qr;
    matrix::solve: MatrixInverse, MatrixSolve, MatrixTriangularSolve, SolveTriangular;
    matrix::svd: NuclearNorm, Svd;
    matrix::trace: Trace, TraceV2;
    matrix::tridiagonal: TridiagonalMatMul, TridiagonalSolve;
    norm::batch_norm: BatchNorm, BatchNormExt;
    norm::gradient: BatchNormGrad, BatchNormGradExt, GroupNormGrad, InstanceNormV2Grad, LayerNormGrad, LayerNormGradExt,
        RmsNormGrad;
    norm::l2_normalize: L2Normalize, LRN;
    norm::layer_norm: GroupNorm, InstanceNorm, LayerNorm, LayerNormExt, LayerNormV3, RmsNorm;
    norm::lrn_grad: LRNGrad;
    norm::moment: ReduceStd, Std, StdMean, Var, VarMean;
    norm::renorm: Renorm;
    norm::vector_norm: LinalgVectorNorm, LpNorm;
    optimizer::adagrad: ApplyAdagrad, ApplyAdagradDA, ApplyAdagradV2, ApplyProximalAdagrad, FusedSparseProximalAdagrad,
        SparseApplyAdagrad, SparseApplyAdagradDA, SparseApplyAdagradV2;
    optimizer::adam: Adam, AdamNoUpdateParam, AdamWeightDecay, ApplyAdaMax, ApplyAdamWithAmsgrad,
        ApplyAdamWithAmsgradV2, FusedCastAdamWeightDecay, FusedSparseAdam, FusedSparseLazyAdam;
    optimizer::ftrl: ApplyFtrl, FusedSparseFtrl, SparseApplyFtrl;
    optimizer::momentum: ApplyGradientDescent, ApplyMomentum, ApplyProximalGradientDescent, SGD, SparseApplyMomentum,
        SparseApplyProximalGradientDescent;
    optimizer::rms_prop: ApplyAdadelta, ApplyCenteredRMSProp, ApplyRMSProp, SparseApplyCenteredRMSProp,
        SparseApplyRMSProp;
    optimizer::sign: ApplyAddSign, ApplyPowerSign;
    pool::adaptive: AdaptiveAvgPool1D, AdaptiveAvgPool2D, AdaptiveAvgPool2DExt, AdaptiveAvgPool3D, AdaptiveAvgPool3DExt,
        AdaptiveMaxPool1D, AdaptiveMaxPool2D, AdaptiveMaxPool3D;
    pool::fractional: FractionalMaxPool3DWithFixedKsize, FractionalMaxPoolWithFixedKsize;
    pool::max_pool_grad: MaxPool3DGrad, MaxPoolGrad;
    pool::mean_grad: AdaptiveAvgPool2DGrad, AdaptiveAvgPool2DGradExt, AdaptiveAvgPool3DGrad, AdaptiveAvgPool3DGradExt,
        AvgPool2DGrad, AvgPool3DGrad, AvgPool3DGradExt, AvgPoolGrad;
    pool::places: AdaptiveMaxPool2DGrad, AdaptiveMaxPool3DGrad, MaxPoolGradWithArgmax, MaxPoolGradWithArgmaxV2,
        MaxUnpool2D, MaxUnpool2DGrad, MaxUnpool3D, MaxUnpool3DGrad;
    pool::windowed: AvgPool, AvgPool1D, AvgPool2D, AvgPool3D, AvgPool3DExt, MaxPool, MaxPool3D, MaxPool3DWithArgmax,
        MaxPoolWithArgmax, MaxPoolWithIndices;
    quant::fake: FakeQuantParam, FakeQuantPerChannel, FakeQuantPerLayer, FakeQuantWithMinMaxVars,
        FakeQuantWithMinMaxVarsPerChannel;
    quant::levels: AntiQuant, DynamicQuantExt, Quant, QuantV2;
    quant::product: QuantBatchMatmul, WeightQuantBatchMatmul;
    random::choice: Multinomial, MultinomialWithReplacement, RandomCategorical, RandomChoiceWithMask, RandomShuffle,
        RandpermV2;
    random::distributions: Bernoulli, Cauchy, LogNormalReverse, NonDeterministicInts, ParameterizedTruncatedNormal,
        RandomGamma, RandomPoisson, StandardLaplace, StandardNormal, TruncatedNormal, Uniform, UniformInt, UniformReal;
    recurrent::gru: GRUV2, GRUV2Grad;
    recurrent::lstm: LSTM;
    recurrent::lstm_grad: LSTMGrad;
    reduce::arg_extreme: Argmax, ArgMaxExt, ArgMaxWithValue, Argmin, ArgMinExt, ArgMinWithValue, MaxDim, MinDim;
    reduce::cumulate: Cummax, Cummin, CumminExt, CumProd, CumSum, CumsumExt, CumulativeLogsumexp;
    reduce::log_softmax: LogSoftmax, LogSoftmaxExt;
    reduce::median: Median, MedianGrad;
    reduce::order: ArgSort, SearchSorted, Sort, SortExt, TopK, TopkExt;
    reduce::reduction: All, Any, AnyExt, LogSumExp, Max, MeanExt, Min, ProdExt, ReduceAll, ReduceAny, ReduceMax,
        ReduceMean, ReduceMin, ReduceProd, ReduceSum, SumExt;
    reduce::search: Bucketize, EqualCount, Histogram, LowerBound, NthElement, UpperBound;
    reduce::softmax: Softmax;
    shape::as_strided: AsStrided;
    shape::blocks: BatchToSpaceND, ChannelShuffle, DepthToSpace, SpaceToBatchND, SpaceToDepth;
    shape::broadcast_args: DynamicBroadcastGradientArgs;
    shape::broadcast_to: BroadcastTo, ExpandAs;
    shape::concat: Concat, ParallelConcat, Stack, StackExt;
    shape::data_format: DataFormatDimMap, DataFormatVecPermute;
    shape::diagonal: Diag, Diagonal, DiagPart;
    shape::dynamic: Bincount, BincountExt, MaskedSelect, NonZero, NonZeroExt, Unique, UniqueConsecutive, UniqueWithPad;
    shape::expand_dims: ExpandDims;
    shape::flatten: Flatten, FlattenExt;
    shape::lists: ConcatOffset, ConcatOffsetV1, DynamicStitch, ListDiff, PadAndShift, SubAndFilter, TileSize,
        UnravelIndex;
    shape::on_diagonal: FillDiagonal, TraceGrad, TraceV2Grad;
    shape::pad: ConstantPadND, MirrorPad, Pad, Padding, PadV3, ReflectionPad1D, ReplicationPad1D;
    shape::pad_grad: MirrorPadGrad, PadV3Grad, ReflectionPad1DGrad, ReplicationPad1DGrad;
    shape::reshape: Reshape, ViewAs;
    shape::reverse_sequence: ReverseSequence;
    shape::roll: Roll;
    shape::sequences: ListAppend, ListInsert, make_range, SequenceCount, SequenceIndex, SequenceMax, SequenceMin,
        SequenceMul, SequenceZerosLike, tuple_setitem;
    shape::shape_of: Rank, Shape, Size;
    shape::slice: Narrow, ReverseV2, SelectExtView, Slice, SliceExt;
    shape::slice_grad: SliceGrad, StridedSliceGrad;
    shape::split: Chunk, Split, SplitTensor, SplitWithSize, Unstack;
    shape::squeeze: Squeeze;
    shape::strided_slice: StridedSlice;
    shape::tile: RepeatInterleaveInt, RepeatInterleaveTensor, Tile;
    shape::transpose: Transpose, TransposeExtView;
    shape::triangle: MatrixBandPart, Tril, TrilExt, Triu;
    shape::tuple: InSequence, list_equal, sequence_len, SequenceAdd, SequenceSlice, shape_mul, tuple_equal,
        tuple_greater_equal, tuple_greater_than, tuple_le, tuple_lt, TupleGetItem;
    sparse::csr: CSRSparseMatrixToDense, CSRSparseMatrixToSparseTensor, DenseToCSRSparseMatrix, SparseMatrixAdd,
        SparseMatrixMatMul, SparseMatrixNNZ, SparseMatrixSoftmax, SparseMatrixTranspose, SparseTensorToCSRSparseMatrix;
    sparse::dense: SparseAddmm, SparseDenseCwiseAdd, SparseDenseCwiseMul, SparseTensorDenseAdd, SparseTensorDenseMatmul,
        SparseToDense, SparseToDenseV2, Sspaddmm;
    sparse::edit: Coalesce, SparseAdd, SparseConcat, SparseFillEmptyRows, SparseReorder, SparseReshape, SparseSlice,
        SparseSoftmax, SparseSparseMaximum, SparseSparseMinimum;
    sparse::ragged: RaggedRange, RaggedTensorToSparse, RaggedTensorToTensor;
    sparse::segments: SparseSegmentMean, SparseSegmentMeanWithNumSegments, SparseSegmentSqrtN,
        SparseSegmentSqrtNWithNumSegments, SparseSegmentSum, SparseSegmentSumWithNumSegments;
    sparse::sets: DenseToDenseSetOperation, DenseToSparseSetOperation, SetSize, SparseCountSparseOutput;
    state::assign: Assign, AssignAdd, AssignSub, InplaceAddExt, InplaceAddsExt, InplaceClampScalar, InplaceClampTensor,
        InplaceCopy, InplaceDiv, InplaceDivMod, InplaceDivMods, InplaceDivs, InplaceElu, InplaceExp, InplaceFloor,
        InplaceFloorDivide, InplaceFloorDivides, InplaceHardtanh, InplaceIndexAddExt, InplaceLog,
        InplaceMaskedFillScalar, InplaceMaskedFillTensor, InplaceMaskedScatter, InplaceMul, InplaceMuls, InplaceReLU,
        InplaceRemainderTensorScalar, InplaceRemainderTensorTensor, InplaceSigmoid, InplaceSign, InplaceSiLU,
        InplaceSubExt, InplaceSubScalar, InplaceTanh, InplaceThreshold;
    state::cache: UpdateCache;
    state::load: Load;
    state::print: Print;
    state::raise: JoinedStr, raise;
    text::decoding: CTCGreedyDecoder, EditDistance, NoRepeatNGram;
    training::ctc: CTCLoss, CTCLossV2, CTCLossV2Grad;
    training::distance: BCEWithLogitsLoss, BinaryCrossEntropy, KLDivLoss, SmoothL1Loss;
    training::distance_grad: BinaryCrossEntropyGrad, BinaryCrossEntropyWithLogitsBackward, KLDivLossGrad,
        SmoothL1LossGrad;
    training::dropout: Dropout, Dropout2D;
    training::extreme_grad: MaximumGrad, MaximumGradGrad, MinimumGrad, MinimumGradGrad;
    training::gradient: AbsGrad, ACosGrad, AcoshGrad, AsinGrad, AsinhGrad, AtanGrad, BiasAddGrad, DropoutGrad, EluGrad,
        FastGeLUGrad, GeLUGrad, HShrinkGrad, HSigmoidGrad, HSwishGrad, LogitGrad, ReciprocalGrad, ReLU6Grad, ReluGrad,
        RsqrtGrad, SigmoidCrossEntropyWithLogits, SigmoidCrossEntropyWithLogitsGrad, SigmoidGrad, SiLUGrad,
        SoftplusGrad, SqrtGrad, TanhGrad;
    training::label_loss: InTopK, MultiMarginLoss, MultiMarginLossGrad, NLLLossGrad;
    training::loss: NLLLoss, SoftmaxCrossEntropyWithLogits, SparseSoftmaxCrossEntropyWithLogits,
        SparseSoftmaxCrossEntropyWithLogitsV2;
    training::norm_loss: CdistGrad, ClipByNorm, L2Loss, SquareSumAll;
    training::row_grad: GluGrad, L2NormalizeGrad, LogSoftmaxGrad, PReLUGrad, SoftmaxBackward;
}

/// The operator that MindSpore calls `name`; aliases count.
pub fn find(name: &str) -> Option<&'static OpDef> {
    OPS.iter().find(|d| d.is_called(name))
}

/// MindSpore's CPU primitives that are no operators, and why.
pub fn missing() -> impl Iterator<Item = (&'static str, &'static str)> {
    include_str!("missing.txt").lines().filter_map(|line| line.split_once(": "))
}
