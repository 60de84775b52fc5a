use super::cut::Cut;
use crate::onnx::{Edge, Emit, Forms, NoForm, no_form, to_i64};
use crate::op::{Case, Ints, Operand, Rule};
use crate::ops::kit::indices::{size, sizes};
use crate::ops::kit::sample::sample;
use crate::task::{Lowering, V};
use crate::{DType, Fact, OpError, Tensor, ensure, op};

/// One range after the other along a dimension.
fn cuts(x: &Operand, axis: usize, lengths: &[usize]) -> Result<Vec<Cut>, OpError> {
    let mut at = 0usize;
    let mut out = Vec::with_capacity(lengths.len());
    for &len in lengths {
        out.push(Cut::range(x, axis, at, len)?);
        at += len;
    }
    let whole = at == x.shape()[axis];
    ensure!(whole, "parts of {lengths:?} elements do not add up to dimension {axis} of {}", x.fact);
    Ok(out)
}

/// Lengths of parts of `part` elements, the last one shorter.
fn parts_of(len: usize, part: usize) -> Vec<usize> {
    if len == 0 {
        return vec![0];
    }
    (0..len.div_ceil(part)).map(|i| part.min(len - i * part)).collect()
}

/// Parts of `x` as `Split`; equal ones need no lengths.
fn parts(
    e: &mut Emit,
    x: &Operand,
    axis: usize,
    equal: Option<i64>,
    lengths: impl FnOnce(usize) -> Result<Vec<usize>, OpError>,
) -> Result<Vec<Edge>, NoForm> {
    let edge = e.edge(x)?;
    match (x.dims()[axis], equal) {
        (Some(len), _) => Ok(e.split(edge, axis, &to_i64(&lengths(len)?))),
        (None, Some(n)) => {
            let mut attrs = vec![("axis", (axis as i64).into())];
            if e.opset() >= 18 {
                attrs.push(("num_outputs", n.into()));
            }
            Ok(e.op_n("Split", &[Some(edge)], attrs, size(n, "output_num")?))
        }
        (None, None) => no_form("it splits a dimension that is open"),
    }
}

/// Implements [`Rule`] for an operator whose `lengths()` gives the parts of its operand along a dimension.
macro_rules! splitting {
    ($name:ident, $x:ident, $axis:ident, $cases:expr) => {
        impl $name {
            fn cuts(&self) -> Result<Vec<Cut>, OpError> {
                let axis = self.$x.axis(self.$axis)?;
                cuts(&self.$x, axis, &self.lengths(self.$x.shape()[axis])?)
            }
        }

        impl Rule for $name {
            fn infer(&self) -> Result<Vec<Fact>, OpError> {
                let dtype = self.$x.dtype();
                Ok(self.cuts()?.into_iter().map(|c| Fact { dtype, shape: c.size }).collect())
            }

            fn reference(&self) -> Result<Vec<Tensor>, OpError> {
                self.cuts()?.iter().map(|c| c.reference(&self.$x)).collect()
            }

            fn lower(&self, b: &mut Lowering) -> Result<Option<Vec<V>>, OpError> {
                Ok(Some(self.cuts()?.iter().map(|c| c.lower(b, &self.$x)).collect::<Result<_, _>>()?))
            }

            fn onnx(&self, e: &mut Emit) -> Forms {
                let axis = self.$x.axis(self.$axis)?;
                parts(e, &self.$x, axis, self.equal(), |len| self.lengths(len)).map(Some)
            }

            fn cases() -> Vec<Case> {
                $cases
            }
        }
    };
}

op! {
    /// `output_num` equal parts along dimension `axis`. Any type.
    Split { input_x ["x"]: Operand, axis: i64 = 0, output_num: i64 = 1 } -> Tuple
}

impl Split {
    /// The number of parts, if they are equally long.
    fn equal(&self) -> Option<i64> {
        Some(self.output_num)
    }

    fn lengths(&self, len: usize) -> Result<Vec<usize>, OpError> {
        let n = size(self.output_num, "output_num")?;
        ensure!(n > 0 && len.is_multiple_of(n), "cannot split {len} elements into {n} equal parts");
        Ok(vec![len / n; n])
    }
}

splitting!(Split, input_x, axis, {
    vec![
        sample().tensor(DType::F32, &[2, 6]).int(1).int(3).exact("columns"),
        sample().tensor(DType::I32, &[4, 3, 2]).int(-3).int(2).exact("rows"),
        sample().tensor(DType::F32, &[3]).exact("one part"),
    ]
});

op! {
    /// Parts of `split_size` elements along dimension `dim`, the last one shorter. Any type.
    SplitTensor, aliases [view "SplitTensorView"] { input: Operand, split_size: i64, dim: i64 = 0 } -> Tuple
}

impl SplitTensor {
    /// The number of parts, if they are equally long.
    fn equal(&self) -> Option<i64> {
        None
    }

    fn lengths(&self, len: usize) -> Result<Vec<usize>, OpError> {
        let part = size(self.split_size, "split_size")?;
        ensure!(part > 0, "expected a positive split_size, found 0");
        Ok(parts_of(len, part))
    }
}

splitting!(SplitTensor, input, dim, {
    vec![
        sample().tensor(DType::F32, &[5, 2]).int(2).int(0).exact("shorter last part"),
        sample().tensor(DType::U8, &[2, 4]).int(2).int(-1).exact("even"),
    ]
});

op! {
    /// Parts of the given lengths along dimension `dim`; they add up to it. Any type.
    SplitWithSize, aliases ["SplitWithSizeView"] {
        input: Operand,
        split_size ["split_sections"]: Ints,
        dim: i64 = 0,
    } -> Tuple
}

impl SplitWithSize {
    /// The number of parts, if they are equally long.
    fn equal(&self) -> Option<i64> {
        None
    }

    fn lengths(&self, _len: usize) -> Result<Vec<usize>, OpError> {
        sizes(&self.split_size, "split_size")
    }
}

splitting!(SplitWithSize, input, dim, {
    vec![
        sample().tensor(DType::F32, &[2, 7]).ints(&[4, 1, 2]).int(1).exact("different"),
        sample().tensor(DType::F16, &[3, 2]).ints(&[3, 0]).int(0).exact("an empty part"),
    ]
});

op! {
    /// At most `chunks` parts of `⌈length / chunks⌉` elements along dimension `dim`, the last one shorter. Any type.
    Chunk, aliases [view "ChunkView"] { input: Operand, chunks: i64, dim: i64 = 0 } -> Tuple
}

impl Chunk {
    /// The number of parts, if they are equally long.
    fn equal(&self) -> Option<i64> {
        None
    }

    fn lengths(&self, len: usize) -> Result<Vec<usize>, OpError> {
        let n = size(self.chunks, "chunks")?;
        ensure!(n > 0, "expected a positive number of chunks, found 0");
        Ok(if len == 0 { vec![0; n] } else { parts_of(len, len.div_ceil(n)) })
    }
}

splitting!(Chunk, input, dim, {
    vec![
        sample().tensor(DType::F32, &[2, 7]).int(3).int(-1).exact("uneven"),
        sample().tensor(DType::F32, &[5, 1]).int(4).int(0).exact("fewer than asked"),
    ]
});

op! {
    /// The slices along dimension `axis`, which disappears. Any type.
    classic Unstack, aliases ["UnstackExtView"] {
        input_x ["x", "input"]: Operand,
        axis ["dim"]: i64 = 0,
        num: Option<i64> = None,
    } -> Tuple
}

impl Unstack {
    fn plan(&self) -> Result<(Vec<Cut>, crate::Shape), OpError> {
        let axis = self.input_x.axis(self.axis)?;
        let mut dims = self.input_x.fact.shape.clone();
        let n = dims.remove(axis);
        Ok((cuts(&self.input_x, axis, &vec![1; n])?, dims))
    }
}

impl Rule for Unstack {
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        let (cuts, dims) = self.plan()?;
        Ok(vec![Fact { dtype: self.input_x.dtype(), shape: dims }; cuts.len()])
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        let (cuts, dims) = self.plan()?;
        cuts.iter().map(|c| Ok(c.reference(&self.input_x)?.reshape(&dims)?)).collect()
    }

    fn lower(&self, b: &mut Lowering) -> Result<Option<Vec<V>>, OpError> {
        let (cuts, dims) = self.plan()?;
        let mut slice = |c: &Cut| {
            let y = c.lower(b, &self.input_x)?;
            b.reshape(y, &dims)
        };
        Ok(Some(cuts.iter().map(&mut slice).collect::<Result<_, _>>()?))
    }

    fn onnx(&self, e: &mut Emit) -> Forms {
        let axis = self.input_x.axis(self.axis)?;
        let slices = parts(e, &self.input_x, axis, None, |len| Ok(vec![1; len]))?;
        Ok(Some(slices.into_iter().map(|x| e.squeeze(x, &[axis as i64])).collect()))
    }

    fn cases() -> Vec<Case> {
        vec![
            sample().tensor(DType::F32, &[3, 2]).int(0).exact("rows"),
            sample().tensor(DType::I32, &[2, 3, 4]).int(-1).exact("last"),
        ]
    }
}
