use super::gather::place;
use crate::onnx::{Emit, Forms, machine, no_form, to_i64};
use crate::op::{Case, Ints, Number, Operand, Rule};
use crate::ops::kit::border::element;
use crate::ops::kit::indices::{around, each_tap, flat, item_mut, rearrange_many};
use crate::ops::kit::sample::sample;
use crate::{DType, Fact, OpError, Tensor, ensure, op};

op! {
    /// `x` with every element of the slices `index` along dimension `dim` replaced by `value`. Negative indices count from the
    /// end; one out of range is an error. Any real type.
    object IndexFill, aliases ["IndexFillScalar", "IndexFillTensor"] { x ["input"]: Operand, dim: i64, index: Operand, value: Number }
}

impl IndexFill {
    fn axis(&self) -> Result<usize, OpError> {
        let index = &self.index;
        ensure!(index.rank() <= 1 && index.dtype().is_int(), "expected a vector of indices, found {}", index.fact);
        ensure!(!self.x.dtype().is_complex(), "expected a real type, found {}", self.x.fact);
        self.x.axis(self.dim)
    }
}

impl Rule for IndexFill {
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        self.axis()?;
        Ok(vec![self.x.fact.clone()])
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        let (axis, picks) = (self.axis()?, self.index.i64s()?);
        let (dims, fill) = (self.x.shape(), element(self.x.dtype(), self.value)?);
        let [outer, len, inner] = around(dims, axis)?;
        let mut filled = vec![false; len];
        for i in picks {
            *item_mut(&mut filled, place(i, len)?)? = true;
        }
        let row = filled.iter().flat_map(|filled| std::iter::repeat_n(filled, inner));
        let mut filled = std::iter::repeat_n(row, outer).flatten().enumerate();
        let y = rearrange_many(&[self.x.tensor()?], dims, &fill, |_| {
            let (at, filled) = filled.next()?;
            (!filled).then_some((0, at))
        })?;
        Ok(vec![y])
    }

    fn onnx(&self, e: &mut Emit) -> Forms {
        let (axis, d) = (self.axis()?, self.x.dtype());
        let wide = if d == DType::Bool { DType::I32 } else { machine(d) };
        let (index, len) = (e.as_type(&self.index, DType::I64)?, e.dim(&self.x, axis)?);
        // One row that says which slices are filled.
        let (zero, one) = (e.number(DType::I64, 0.0)?, e.number(DType::I64, 1.0)?);
        let row = e.op("Expand", &[zero, len]);
        let index = e.reshape(index, &[-1, 1]);
        let count = e.op_with("Shape", &[index], vec![("end", 1.into())]);
        let ones = e.op("Expand", &[one, count]);
        let row = e.op("ScatterND", &[row, index, ones]);
        let hit = e.op("Equal", &[row, one]);
        let hit = e.unsqueeze(hit, &(1..(self.x.rank() - axis) as i64).collect::<Vec<_>>());
        let fill = Tensor::from_bytes(d, &[], element(d, self.value)?.into())?.cast(wide)?;
        let (fill, x) = (e.constant(fill), e.as_type(&self.x, wide)?);
        let y = e.select(hit, fill, x, wide);
        Ok(Some(vec![e.cast(y, wide, d)]))
    }

    fn cases() -> Vec<Case> {
        let s = sample().tensor(DType::F32, &[3, 4]).int(1).index(DType::I32, &[2], &[0, -1]);
        vec![s.real(-1.0).exact("columns")]
    }
}

op! {
    /// `x` with the elements `begin[d]` to `end[d]` in steps of `strides[d]` along the first dimensions replaced by those of
    /// `value`, in order. Any type; `value` has as many elements as are replaced.
    TensorCopySlices { x: Operand, value: Operand, begin: Ints, end: Ints, strides: Ints }
}

impl TensorCopySlices {
    /// First element, number and step along each dimension.
    fn ranges(&self) -> Result<Vec<[usize; 3]>, OpError> {
        let (x, n) = (&self.x, self.begin.len());
        let same = self.end.len() == n && self.strides.len() == n && n <= x.rank();
        ensure!(same, "expected equally many begins, ends and strides for {}", x.fact);
        ensure!(x.dtype() == self.value.dtype(), "expected values of {}, found {}", x.dtype(), self.value.fact);
        let mut out = Vec::with_capacity(x.rank());
        for (&len, ((&begin, &end), &stride)) in
            x.shape().iter().zip(self.begin.iter().zip(&self.end).zip(&self.strides))
        {
            ensure!(stride > 0, "expected positive strides, found {:?}", self.strides.as_slice());
            let bound = |v: i64| (if v < 0 { v.saturating_add(len as i64) } else { v }).clamp(0, len as i64);
            let (begin, end) = (bound(begin), bound(end));
            let count = (end - begin).max(0).unsigned_abs().div_ceil(stride.unsigned_abs());
            out.push([begin as usize, count as usize, stride as usize]);
        }
        out.extend(x.shape().iter().skip(n).map(|&len| [0, len, 1]));
        let replaced: usize = out.iter().map(|r| r[1]).product();
        ensure!(self.value.count() == replaced, "{} replaces {replaced} elements", self.value.fact);
        Ok(out)
    }
}

impl Rule for TensorCopySlices {
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        self.ranges()?;
        Ok(vec![self.x.fact.clone()])
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        let (ranges, dims) = (self.ranges()?, self.x.shape());
        let fill = vec![0; self.x.dtype().size()];
        let y = rearrange_many(&[self.x.tensor()?, self.value.tensor()?], dims, &fill, |index| {
            let step = |(&i, [begin, count, step]): (&usize, &[usize; 3])| {
                let away = i.checked_sub(*begin)?;
                (away % step == 0 && away / step < *count).then_some(away / step)
            };
            let inside: Option<Vec<usize>> = index.iter().zip(&ranges).map(step).collect();
            let counts: Vec<usize> = ranges.iter().map(|r| r[1]).collect();
            Some(match inside {
                Some(at) => (1, flat(&counts, &at)),
                None => (0, flat(dims, index)),
            })
        })?;
        Ok(vec![y])
    }

    fn onnx(&self, e: &mut Emit) -> Forms {
        if !e.is_fixed() || !(2..5).all(|i| e.is_constant(i)) {
            return no_form("slices are replaced, and a dimension or bound is open");
        }
        let (ranges, dims) = (self.ranges()?, self.x.shape());
        let mut places: Vec<i64> = Vec::new();
        let counts: Vec<usize> = ranges.iter().map(|r| r[1]).collect();
        each_tap(&counts, |at| {
            let to: Vec<usize> = at.iter().zip(&ranges).map(|(&i, r)| r[0] + i * r[2]).collect();
            places.push(flat(dims, &to) as i64);
        });
        let (x, value) = (e.edge(&self.x)?, e.edge(&self.value)?);
        let (x, value) = (e.reshape(x, &[-1]), e.reshape(value, &[-1]));
        let places = e.vector(&places);
        let y = e.op("ScatterElements", &[x, places, value]);
        Ok(Some(vec![e.reshape(y, &to_i64(dims))]))
    }

    fn cases() -> Vec<Case> {
        let s = sample().tensor(DType::F32, &[4, 3]);
        vec![
            s.clone().tensor(DType::F32, &[6]).ints(&[0]).ints(&[2]).ints(&[1]).exact("rows"),
            s.tensor(DType::F32, &[2, 1]).ints(&[0, 1]).ints(&[4, 2]).ints(&[2, 1]).exact("steps"),
        ]
    }
}
