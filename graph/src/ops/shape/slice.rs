use super::cut::{Cut, Span};
use crate::onnx::{Edge, Emit, Forms, NoForm, to_i64};
use crate::op::{Case, Ints, Late, Operand, Operator, Rule};
use crate::ops::index::gather::place;
use crate::ops::kit::indices::{dim, size};
use crate::ops::kit::sample::sample;
use crate::{DType, OpError, ensure, op};

/// Argument `index`, one number, as a vector of one element.
fn number(e: &mut Emit, index: usize, known: &Late<i64>) -> Result<Edge, NoForm> {
    e.ints(index, known.known().map(std::slice::from_ref))
}

/// `Slice` of one dimension.
fn range(e: &mut Emit, x: &Operand, axis: usize, start: Edge, end: Edge, step: i64) -> Result<Edge, NoForm> {
    let (x, axis, step) = (e.edge(x)?, e.vector(&[axis as i64]), e.vector(&[step]));
    Ok(e.op("Slice", &[x, start, end, axis, step]))
}

op! {
    /// `size[d]` elements from `begin[d]` along each dimension; a size of −1 takes the rest. Any type.
    Slice { input ["x", "input_x"]: Operand, begin: Late<Ints>, size: Late<Ints> }
}

impl Operator for Slice {
    fn rule(&self) -> Result<impl Rule, OpError> {
        let (x, begin, sizes) = (&self.input, self.begin.get()?, self.size.get()?);
        let fits = begin.len() == x.rank() && sizes.len() == x.rank();
        ensure!(fits, "expected {} begins and sizes, found {} and {}", x.rank(), begin.len(), sizes.len());
        let mut spans = Vec::with_capacity(x.rank());
        for (d, (&whole, (&begin, &len))) in x.shape().iter().zip(begin.iter().zip(sizes)).enumerate() {
            let first = size(begin, "begin")?;
            let rest = whole.saturating_sub(first);
            let len = if len == -1 { rest } else { size(len, "size")? };
            ensure!(first <= whole && len <= rest, "{len} elements from {first} of dimension {d} of {}", x.fact);
            spans.push(Span { begin: first, size: len, step: 1 });
        }
        Ok(Cut { x, spans, dims: None })
    }

    fn onnx(&self, e: &mut Emit) -> Forms {
        let x = e.edge(&self.input)?;
        let axes = e.vector(&(0..self.input.rank() as i64).collect::<Vec<_>>());
        let start = e.ints(1, self.begin.known().map(|b| &b[..]))?;
        let end = if let (Late::Known(begin), Late::Known(size)) = (&self.begin, &self.size) {
            let last = |(&b, &n): (&i64, &i64)| if n == -1 { i64::MAX } else { b.saturating_add(n) };
            e.vector(&begin.iter().zip(size).map(last).collect::<Vec<_>>())
        } else {
            let size = e.ints(2, self.size.known().map(|s| &s[..]))?;
            let (open, most) = (e.vector(&[-1]), e.vector(&[i64::MAX]));
            let (rest, sum) = (e.op("Equal", &[size, open]), e.op("Add", &[start, size]));
            e.op("Where", &[rest, most, sum])
        };
        Ok(Some(vec![e.op("Slice", &[x, start, end, axes])]))
    }

    fn cases() -> Vec<Case> {
        vec![
            sample().tensor(DType::F32, &[3, 4]).ints(&[1, 1]).ints(&[-1, 2]).exact("rest"),
            sample().tensor(DType::I16, &[2, 3, 4]).ints(&[0, 1, 2]).ints(&[1, 2, 2]).exact("rank 3"),
            sample().tensor(DType::F32, &[3, 4]).ints(&[3, 0]).ints(&[0, 4]).exact("nothing"),
        ]
    }
}

op! {
    /// Elements `start` to `end` of dimension `dim` in steps of `step`. Negative bounds count from the end; bounds outside
    /// are moved to the edge. Any type.
    SliceExt, aliases [view "SliceExtView"] {
        input: Operand,
        dim: i64 = 0,
        start: Late<i64> = Late::Known(0),
        end: Late<i64> = Late::Known(i64::MAX),
        step: i64 = 1,
    }
}

impl Operator for SliceExt {
    fn rule(&self) -> Result<impl Rule, OpError> {
        let x = &self.input;
        let axis = x.axis(self.dim)?;
        ensure!(self.step > 0, "expected a positive step, found {}", self.step);
        let len = dim(x.shape(), axis)? as i64;
        let bound = |v: i64| (if v < 0 { v.saturating_add(len) } else { v }).clamp(0, len);
        let (start, end) = (bound(*self.start.get()?), bound(*self.end.get()?));
        let taken = (end - start).max(0).unsigned_abs().div_ceil(self.step.unsigned_abs()) as usize;
        Ok(Cut::along(x, axis, Span::steps(start as usize, taken, self.step)))
    }

    fn onnx(&self, e: &mut Emit) -> Forms {
        let (start, end) = (number(e, 2, &self.start)?, number(e, 3, &self.end)?);
        Ok(Some(vec![range(e, &self.input, self.input.axis(self.dim)?, start, end, self.step)?]))
    }

    fn cases() -> Vec<Case> {
        vec![
            sample().tensor(DType::F32, &[5, 2]).int(0).int(-3).int(10).int(1).exact("clamped"),
            sample().tensor(DType::I32, &[2, 7]).int(-1).int(1).int(-1).int(2).exact("steps"),
            sample().tensor(DType::F32, &[5]).int(0).int(4).int(2).int(1).exact("nothing"),
        ]
    }
}

op! {
    /// `length` elements from `start` of dimension `dim`. A negative `start` counts from the end. Any type.
    Narrow, aliases [view "NarrowView"] { input: Operand, dim: i64, start: Late<i64>, length: Late<i64> }
}

impl Operator for Narrow {
    fn rule(&self) -> Result<impl Rule, OpError> {
        let axis = self.input.axis(self.dim)?;
        let len = dim(self.input.shape(), axis)? as i64;
        let (start, length) = (*self.start.get()?, *self.length.get()?);
        let start = if start < 0 { start.saturating_add(len) } else { start };
        Cut::range(&self.input, axis, size(start, "start")?, size(length, "length")?)
    }

    fn onnx(&self, e: &mut Emit) -> Forms {
        let axis = self.input.axis(self.dim)?;
        let (start, length) = (number(e, 2, &self.start)?, number(e, 3, &self.length)?);
        let end = if let (Late::Known(start), Late::Known(length)) = (&self.start, &self.length) {
            let end = start.saturating_add(*length);
            e.vector(&[if *start < 0 && end == 0 { i64::MAX } else { end }])
        } else {
            let (zero, most) = (e.vector(&[0]), e.vector(&[i64::MAX]));
            let (end, below) = (e.op("Add", &[start, length]), e.op("Less", &[start, zero]));
            let ends = e.op("Equal", &[end, zero]);
            let last = e.op("And", &[below, ends]);
            e.op("Where", &[last, most, end])
        };
        Ok(Some(vec![range(e, &self.input, axis, start, end, 1)?]))
    }

    fn cases() -> Vec<Case> {
        vec![
            sample().tensor(DType::F32, &[3, 5]).int(1).int(2).int(2).exact("columns"),
            sample().tensor(DType::F32, &[3, 5]).int(0).int(-1).int(1).exact("last row"),
        ]
    }
}

op! {
    /// The elements in reverse order along the dimensions `axis`. Any type.
    ReverseV2 { input ["x", "input_x"]: Operand, axis: Ints }
}

impl ReverseV2 {
    fn axes(&self) -> Result<Vec<usize>, OpError> {
        if self.axis.is_empty() { Ok(Vec::new()) } else { self.input.axes(&self.axis) }
    }
}

impl Operator for ReverseV2 {
    fn rule(&self) -> Result<impl Rule, OpError> {
        let (x, axes) = (&self.input, self.axes()?);
        let span = |(d, &len): (usize, &usize)| match axes.contains(&d) {
            true if len > 0 => Span { begin: len - 1, size: len, step: -1 },
            _ => Span::whole(len),
        };
        Ok(Cut { x, spans: x.shape().iter().enumerate().map(span).collect(), dims: None })
    }

    fn onnx(&self, e: &mut Emit) -> Forms {
        let axes = self.axes()?;
        let x = e.edge(&self.input)?;
        if axes.is_empty() {
            return Ok(Some(vec![x]));
        }
        let all = |v: i64| vec![v; axes.len()];
        let [start, end, step] = [-1, i64::MIN, -1].map(|v| e.vector(&all(v)));
        let axes = e.vector(&to_i64(&axes));
        Ok(Some(vec![e.op("Slice", &[x, start, end, axes, step])]))
    }

    fn cases() -> Vec<Case> {
        vec![
            sample().tensor(DType::F32, &[3, 4]).ints(&[0, -1]).exact("both"),
            sample().tensor(DType::Bool, &[2, 3, 2]).ints(&[1]).exact("middle"),
            sample().tensor(DType::F32, &[0, 2]).ints(&[0]).exact("no elements"),
        ]
    }
}

op! {
    /// Slice `index` of dimension `dim`, which disappears. A negative `index` counts from the end. Any type.
    SelectExtView, aliases ["SelectExt"] { input: Operand, dim: i64, index: Late<i64> }
}

impl Operator for SelectExtView {
    fn rule(&self) -> Result<impl Rule, OpError> {
        let axis = self.input.axis(self.dim)?;
        let at = place(*self.index.get()?, dim(self.input.shape(), axis)?)?;
        Cut::single(&self.input, axis, at)
    }

    fn onnx(&self, e: &mut Emit) -> Forms {
        let axis = self.input.axis(self.dim)? as i64;
        let (x, index) = (e.edge(&self.input)?, number(e, 2, &self.index)?);
        let index = e.squeeze(index, &[0]);
        Ok(Some(vec![e.op_with("Gather", &[x, index], vec![("axis", axis.into())])]))
    }

    fn cases() -> Vec<Case> {
        vec![
            sample().tensor(DType::F32, &[3, 4]).int(0).int(-1).exact("row"),
            sample().tensor(DType::I64, &[3, 4]).int(-1).int(2).exact("column"),
        ]
    }
}
