use super::cut::Cut;
use crate::onnx::{Emit, Forms, no_form, to_i64};
use crate::op::{Case, Ints, Lowers, Operand, Operator, Rule};
use crate::ops::kit::indices::{dim, size, sizes};
use crate::ops::kit::sample::sample;
use crate::task::Lowering;
use crate::{DType, Fact, OpError, Tensor, ensure, op};

/// Lengths of parts of `part` elements, the last one shorter.
fn parts_of(len: usize, part: usize) -> Vec<usize> {
    if len == 0 {
        return vec![0];
    }
    (0..len.div_ceil(part)).map(|i| part.min(len - i * part)).collect()
}

/// Consecutive parts of `x` along dimension `axis`, of the lengths that `lengths` gives for its length.
struct Parts<'a, F> {
    x: &'a Operand,
    axis: usize,
    /// The number of parts, if they are equally long.
    equal: Option<i64>,
    lengths: F,
}

impl<'a, F: Fn(usize) -> Result<Vec<usize>, OpError>> Parts<'a, F> {
    fn new(x: &'a Operand, axis: i64, equal: Option<i64>, lengths: F) -> Result<Self, OpError> {
        Ok(Parts { x, axis: x.axis(axis)?, equal, lengths })
    }

    fn cuts(&self) -> Result<Vec<Cut<'a>>, OpError> {
        let Parts { x, axis, .. } = *self;
        let whole = dim(x.shape(), axis)?;
        let lengths = (self.lengths)(whole)?;
        let mut at = 0usize;
        let mut out = Vec::with_capacity(lengths.len());
        for &len in &lengths {
            out.push(Cut::range(x, axis, at, len)?);
            at += len;
        }
        ensure!(at == whole, "parts of {lengths:?} elements do not add up to dimension {axis} of {}", x.fact);
        Ok(out)
    }
}

impl<F: Fn(usize) -> Result<Vec<usize>, OpError>> Rule for Parts<'_, F> {
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        self.cuts()?.infer()
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        self.cuts()?.reference()
    }

    fn lower(&self, b: &mut Lowering) -> Lowers {
        self.cuts()?.lower(b)
    }

    /// `Split`; equal parts need no lengths.
    fn onnx(&self, e: &mut Emit) -> Forms {
        let (edge, axis) = (e.edge(self.x)?, self.axis);
        match (self.x.dims().get(axis).copied().flatten(), self.equal) {
            (Some(len), _) => Ok(Some(e.split(edge, axis, &to_i64(&(self.lengths)(len)?)))),
            (None, Some(n)) => {
                let mut attrs = vec![("axis", (axis as i64).into())];
                if e.opset() >= 18 {
                    attrs.push(("num_outputs", n.into()));
                }
                Ok(Some(e.op_n("Split", &[Some(edge)], attrs, size(n, "output_num")?)))
            }
            (None, None) => no_form("it splits a dimension that is open"),
        }
    }
}

op! {
    /// `output_num` equal parts along dimension `axis`. Any type.
    Split { input_x ["x"]: Operand, axis: i64 = 0, output_num: i64 = 1 } -> Tuple
}

impl Operator for Split {
    fn rule(&self) -> Result<impl Rule, OpError> {
        Parts::new(&self.input_x, self.axis, Some(self.output_num), |len| {
            let n = size(self.output_num, "output_num")?;
            ensure!(n > 0 && len.is_multiple_of(n), "cannot split {len} elements into {n} equal parts");
            Ok(vec![len / n; n])
        })
    }

    fn cases() -> Vec<Case> {
        vec![
            sample().tensor(DType::F32, &[2, 6]).int(1).int(3).exact("columns"),
            sample().tensor(DType::I32, &[4, 3, 2]).int(-3).int(2).exact("rows"),
            sample().tensor(DType::F32, &[3]).exact("one part"),
        ]
    }
}

op! {
    /// Parts of `split_size` elements along dimension `dim`, the last one shorter. Any type.
    SplitTensor, aliases [view "SplitTensorView"] { input: Operand, split_size: i64, dim: i64 = 0 } -> Tuple
}

impl Operator for SplitTensor {
    fn rule(&self) -> Result<impl Rule, OpError> {
        Parts::new(&self.input, self.dim, None, |len| {
            let part = size(self.split_size, "split_size")?;
            ensure!(part > 0, "expected a positive split_size, found 0");
            Ok(parts_of(len, part))
        })
    }

    fn cases() -> Vec<Case> {
        vec![
            sample().tensor(DType::F32, &[5, 2]).int(2).int(0).exact("shorter last part"),
            sample().tensor(DType::U8, &[2, 4]).int(2).int(-1).exact("even"),
        ]
    }
}

op! {
    /// Parts of the given lengths along dimension `dim`; they add up to it. Any type.
    SplitWithSize, aliases ["SplitWithSizeView"] {
        input: Operand,
        split_size ["split_sections"]: Ints,
        dim: i64 = 0,
    } -> Tuple
}

impl Operator for SplitWithSize {
    fn rule(&self) -> Result<impl Rule, OpError> {
        Parts::new(&self.input, self.dim, None, |_| sizes(&self.split_size, "split_size"))
    }

    fn cases() -> Vec<Case> {
        vec![
            sample().tensor(DType::F32, &[2, 7]).ints(&[4, 1, 2]).int(1).exact("different"),
            sample().tensor(DType::F16, &[3, 2]).ints(&[3, 0]).int(0).exact("an empty part"),
        ]
    }
}

op! {
    /// At most `chunks` parts of `⌈length / chunks⌉` elements along dimension `dim`, the last one shorter. Any type.
    Chunk, aliases [view "ChunkView"] { input: Operand, chunks: i64, dim: i64 = 0 } -> Tuple
}

impl Operator for Chunk {
    fn rule(&self) -> Result<impl Rule, OpError> {
        Parts::new(&self.input, self.dim, None, |len| {
            let n = size(self.chunks, "chunks")?;
            ensure!(n > 0, "expected a positive number of chunks, found 0");
            Ok(if len == 0 { vec![0; n] } else { parts_of(len, len.div_ceil(n)) })
        })
    }

    fn cases() -> Vec<Case> {
        vec![
            sample().tensor(DType::F32, &[2, 7]).int(3).int(-1).exact("uneven"),
            sample().tensor(DType::F32, &[5, 1]).int(4).int(0).exact("fewer than asked"),
        ]
    }
}

op! {
    /// The slices along dimension `axis`, which disappears. Any type.
    classic Unstack, aliases ["UnstackExtView", classic "SequenceUnstack"] {
        input_x ["x", "input"]: Operand,
        axis ["dim"]: i64 = 0,
        num: Option<i64> = None,
    } -> Tuple
}

impl Operator for Unstack {
    fn rule(&self) -> Result<impl Rule, OpError> {
        let axis = self.input_x.axis(self.axis)?;
        let slices = (0..dim(self.input_x.shape(), axis)?).map(|at| Cut::single(&self.input_x, axis, at));
        slices.collect::<Result<Vec<_>, _>>()
    }

    fn onnx(&self, e: &mut Emit) -> Forms {
        let axis = self.input_x.axis(self.axis)?;
        let slices = Parts::new(&self.input_x, self.axis, None, |len| Ok(vec![1; len]))?.onnx(e)?.unwrap_or_default();
        Ok(Some(slices.into_iter().map(|x| e.squeeze(x, &[axis as i64])).collect()))
    }

    fn cases() -> Vec<Case> {
        vec![
            sample().tensor(DType::F32, &[3, 2]).int(0).exact("rows"),
            sample().tensor(DType::I32, &[2, 3, 4]).int(-1).exact("last"),
        ]
    }
}
