use super::Program;
use crate::{DType, Fact, Shape, Strides, dense_strides};

/// Where the elements of one operand of a [`Gemm`] lie: element `(i, j)` of batch `b` is at
/// `offset + Σ b[d]·batch[d] + i·row + j·col`, counted in elements of the operand's storage.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Matrix {
    /// One stride per batch dimension of the task; 0 repeats the matrix.
    pub batch: Strides,
    /// Elements from one row to the next.
    pub row: usize,
    /// Elements from one column to the next.
    pub col: usize,
    /// First element.
    pub offset: usize,
}

impl Matrix {
    /// Whether the elements of so many `rows × cols` matrices lie in the order of batches, rows and columns without gaps.
    pub fn is_dense(&self, batch: &[usize], rows: usize, cols: usize) -> bool {
        let steps = dense_strides(batch);
        let mut strides = batch.iter().zip(&self.batch).zip(&steps);
        self.offset == 0
            && (rows == 1 || self.row == cols)
            && (cols == 1 || self.col == 1)
            && strides.all(|((&n, &s), &step)| n == 1 || s == step * (rows * cols) as isize)
    }
}

/// Matrix products `c[b] = epilogue(a[b] · b[b])`, with `a` of `m × k`, `b` of `k × n`, `c` of `m × n` in each batch.
///
/// Inputs: `a`, `b`, then the epilogue's. Output: `c`. Sums are at least as precise as `f32` (`f64` for `f64`); integers
/// wrap. Transposes of the operands are strides.
#[derive(Clone, Debug)]
pub struct Gemm {
    /// Batch dimensions; empty for one product.
    pub batch: Shape,
    /// Rows of `a` and `c`.
    pub m: usize,
    /// Columns of `b` and `c`.
    pub n: usize,
    /// Columns of `a`, rows of `b`.
    pub k: usize,
    /// Layout of `a`; one of `row` and `col` is 1, neither is 0.
    pub a: Matrix,
    /// Layout of `b`; one of `row` and `col` is 1, neither is 0.
    pub b: Matrix,
    /// Layout of `c`; `col` is 1 and no element is written twice.
    pub c: Matrix,
    /// Element type of `a` and `b`.
    pub dtype: DType,
    /// Element type of `c` before the epilogue: `dtype`, `f32` for `f16` and `bf16` too, or `i32` for `i8`.
    pub out: DType,
    /// Whether a device may round `a` and `b` of `f32` to the 10 bits of mantissa that its units for products take.
    pub tf32: bool,
    /// Applied to every element of `c`.
    pub epilogue: Option<Epilogue>,
}

impl Gemm {
    /// Number of products.
    pub fn batch_count(&self) -> usize {
        self.batch.iter().product()
    }

    /// Whether the elements of `c` lie in the order of batches, rows and columns without gaps.
    pub fn is_dense(&self) -> bool {
        self.c.is_dense(&self.batch, self.m, self.n)
    }

    /// Bytes of the matrices `a` in an operand.
    pub(super) fn left_bytes(&self, operand: &Fact) -> usize {
        self.matrix_bytes(operand, [self.m, self.k])
    }

    /// Bytes of the matrices `b` in an operand.
    pub(super) fn right_bytes(&self, operand: &Fact) -> usize {
        self.matrix_bytes(operand, [self.k, self.n])
    }

    fn matrix_bytes(&self, operand: &Fact, [rows, cols]: [usize; 2]) -> usize {
        let sizes = self.batch.iter().copied().chain([rows, cols, operand.dtype.size()]);
        operand.bytes().min(sizes.fold(1, usize::saturating_mul))
    }

    pub(super) fn epilogue_flops(&self, elements: u64) -> u64 {
        self.epilogue.as_ref().map_or(0, |e| e.program.flops().saturating_mul(elements))
    }
}

/// An element-wise program fused behind a matrix product or convolution.
///
/// Input 0 of the program is the accumulated element `(i, j)`; input `t + 1` is operand `inputs[t]`, which follows the
/// task's other operands. For a [`Gemm`], rows are numbered over all batches (`batch index · m + i`); for a
/// [`super::Conv`], rows are pixels (`(image · out_h + y) · out_w + x`) and columns output channels, whatever the layout.
#[derive(Clone, Debug)]
pub struct Epilogue {
    /// What to compute.
    pub program: Program,
    /// How to read each further operand.
    pub inputs: Vec<EpilogueInput>,
}

/// How an [`Epilogue`] reads an operand for element `(i, j)` of the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum EpilogueInput {
    /// One element for everything.
    Scalar,
    /// One element per column `j`: bias.
    Column,
    /// One element per row `i`.
    Row,
    /// A tensor laid out exactly like the result: residual.
    Full,
}
