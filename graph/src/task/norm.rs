use crate::DType;

/// `exp(x − max) / Σ exp(x − max)` along the middle axis of `[outer, len, inner]`, or its logarithm.
///
/// Input: `x`. Output: the same shape.
#[derive(Clone, Debug)]
pub struct Softmax {
    /// Elements before the axis.
    pub outer: usize,
    /// Length of the axis.
    pub len: usize,
    /// Elements after the axis.
    pub inner: usize,
    /// Logarithm of the softmax.
    pub log: bool,
    /// Element type.
    pub dtype: DType,
}

/// What a [`Norm`] divides by.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum NormKind {
    /// `(x − mean) / sqrt(var + eps)` with the biased variance.
    Layer,
    /// `x / sqrt(mean(x²) + eps)`.
    Rms,
}

/// Normalisation of each of `rows` rows of `cols` elements: `y = norm(x) · gamma + beta`.
///
/// Inputs: `x`, then `gamma` (`[cols]`) if `gamma`, then `beta` (`[cols]`) if `beta`.
/// Outputs: `y`; with `stats` also, per row, the mean (layer only) and `1 / sqrt(… + eps)` as `f32`.
#[derive(Clone, Debug)]
pub struct Norm {
    /// Layer or RMS.
    pub kind: NormKind,
    /// Rows.
    pub rows: usize,
    /// Elements of a row.
    pub cols: usize,
    /// Added under the root.
    pub eps: f64,
    /// Whether a scale operand is given.
    pub gamma: bool,
    /// Whether a shift operand is given.
    pub beta: bool,
    /// Whether the statistics are outputs too.
    pub stats: bool,
    /// Element type of every operand and of `y`.
    pub dtype: DType,
}
