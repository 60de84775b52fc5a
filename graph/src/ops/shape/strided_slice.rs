use super::cut::{Cut, Span};
use crate::onnx::{Edge, Emit, Forms, NoForm, no_form};
use crate::op::{Case, Ints, Late, Operand, Operator, Rule, ints};
use crate::ops::kit::sample::sample;
use crate::{DType, OpError, Shape, Tensor, ensure, op};

op! {
    /// Python's `input_x[begin:end:strides, …]`. Any type.
    ///
    /// Item `i` of the three tuples describes one dimension, unless bit `i` of a mask says otherwise: `begin_mask` and
    /// `end_mask` drop a bound, `ellipsis_mask` stands for all dimensions that no other item describes, `new_axis_mask`
    /// inserts a dimension of 1, `shrink_axis_mask` takes element `begin` and drops the dimension. Negative bounds count
    /// from the end, bounds outside are moved to the edge; dimensions after the last item are taken whole.
    StridedSlice {
        input_x ["x"]: Operand,
        begin: Late<Ints>,
        end: Late<Ints>,
        strides: Ints = Ints::new(),
        begin_mask: i64 = 0,
        end_mask: i64 = 0,
        ellipsis_mask: i64 = 0,
        new_axis_mask: i64 = 0,
        shrink_axis_mask: i64 = 0,
    }
}

fn bit(mask: i64, i: usize) -> bool {
    i < 63 && mask >> i & 1 == 1
}

impl StridedSlice {
    /// `Slice`, then `Squeeze` and `Unsqueeze`.
    fn form(&self, e: &mut Emit) -> Result<Edge, NoForm> {
        let (mut items, mut gone, mut new) = (Vec::new(), Vec::new(), Vec::new());
        let inserts = |i: usize| bit(self.new_axis_mask, i) && !bit(self.ellipsis_mask, i);
        let (begin, end) =
            (e.ints(1, self.begin.known().map(|b| &b[..]))?, e.ints(2, self.end.known().map(|b| &b[..]))?);
        let Some(count) = e.length(begin) else { return no_form("the rank of its result depends on data") };
        if e.length(end) != Some(count) {
            return no_form("begins and ends of different numbers");
        }
        let described = (0..count).filter(|&i| !inserts(i) && !bit(self.ellipsis_mask, i)).count();
        let spare = self.input_x.rank().checked_sub(described);
        let Some(spare) = spare else { return no_form(format!("{described} ranges for {}", self.input_x.fact)) };
        let (mut d, mut out) = (0, 0);
        for i in 0..count {
            if bit(self.ellipsis_mask, i) {
                d += spare;
                out += spare;
            } else if inserts(i) {
                new.push(out);
                out += 1;
            } else {
                items.push((i, d));
                if bit(self.shrink_axis_mask, i) {
                    gone.push(d)
                } else {
                    out += 1
                };
                d += 1;
            }
        }
        let x = self.ranges(e, &items, [begin, end])?;
        let x = e.squeeze(x, &crate::onnx::to_i64(&gone));
        Ok(e.unsqueeze(x, &crate::onnx::to_i64(&new)))
    }

    /// `Slice` of the dimensions that the items describe.
    fn ranges(&self, e: &mut Emit, items: &[(usize, usize)], bounds: [Edge; 2]) -> Result<Edge, NoForm> {
        let x = e.edge(&self.input_x)?;
        let step = |i: usize| self.strides.get(i).copied().unwrap_or(1);
        let whole = |&(i, _): &(usize, usize)| {
            bit(self.begin_mask, i) && bit(self.end_mask, i) && step(i) == 1 && !bit(self.shrink_axis_mask, i)
        };
        let items: Vec<(usize, usize)> = items.iter().copied().filter(|item| !whole(item)).collect();
        if items.is_empty() {
            return Ok(x);
        }
        let list = |f: &dyn Fn(usize) -> i64| items.iter().map(|&(i, _)| f(i)).collect::<Vec<_>>();
        let shrinks = |i: usize| bit(self.shrink_axis_mask, i);
        let steps = e.vector(&list(&|i| if shrinks(i) { 1 } else { step(i) }));
        let axes = e.vector(&items.iter().map(|item| item.1 as i64).collect::<Vec<_>>());
        let (begin, end) = match (&self.begin, &self.end) {
            (Late::Known(begin), Late::Known(end)) => {
                let bounds = |&(i, _): &(usize, usize)| Some(self.bounds(i, step(i), *begin.get(i)?, *end.get(i)?));
                let all: Option<(Vec<i64>, Vec<i64>)> = items.iter().map(bounds).collect();
                let Some((begin, end)) = all else { return no_form("begins and ends of different numbers") };
                (e.vector(&begin), e.vector(&end))
            }
            _ => self.computed(e, &items, &shrinks, bounds)?,
        };
        Ok(e.op("Slice", &[x, begin, end, axes, steps]))
    }

    /// Begin and end of item `i` as `Slice` has them.
    fn bounds(&self, i: usize, step: i64, begin: i64, end: i64) -> (i64, i64) {
        let free = |mask: i64| bit(mask, i);
        if free(self.shrink_axis_mask) {
            let at = if free(self.begin_mask) { 0 } else { begin };
            return (at, if at == -1 { i64::MAX } else { at.saturating_add(1) });
        }
        let (first, last) = if step > 0 { (0, i64::MAX) } else { (i64::MAX, i64::MIN) };
        (if free(self.begin_mask) { first } else { begin }, if free(self.end_mask) { last } else { end })
    }

    /// Begins and ends that the model computes.
    fn computed(
        &self,
        e: &mut Emit,
        items: &[(usize, usize)],
        shrinks: &dyn Fn(usize) -> bool,
        bounds: [Edge; 2],
    ) -> Result<(Edge, Edge), NoForm> {
        let at = e.vector(&items.iter().map(|item| item.0 as i64).collect::<Vec<_>>());
        let [begin, end] = bounds.map(|v| e.op_with("Gather", &[v, at], vec![("axis", 0.into())]));
        let up = |i: usize| self.strides.get(i).copied().unwrap_or(1) > 0;
        let mask = |e: &mut Emit, f: &dyn Fn(usize) -> bool| -> Result<Edge, NoForm> {
            let bits: Vec<bool> = items.iter().map(|&(i, _)| f(i)).collect();
            Ok(e.constant(Tensor::from_bools(&[bits.len()], &bits)?))
        };
        let each = |f: &dyn Fn(usize) -> i64| items.iter().map(|&(i, _)| f(i)).collect::<Vec<_>>();
        let free = mask(e, &|i| bit(self.begin_mask, i))?;
        let first = e.vector(&each(&|i| if shrinks(i) || up(i) { 0 } else { i64::MAX }));
        let begin = e.op("Where", &[free, first, begin]);
        let free = mask(e, &|i| bit(self.end_mask, i))?;
        let last = e.vector(&each(&|i| if up(i) { i64::MAX } else { i64::MIN }));
        let end = e.op("Where", &[free, last, end]);
        let (one, minus, most) = (e.vector(&[1]), e.vector(&[-1]), e.vector(&[i64::MAX]));
        let (next, is_last) = (e.op("Add", &[begin, one]), e.op("Equal", &[begin, minus]));
        let next = e.op("Where", &[is_last, most, next]);
        let single = mask(e, shrinks)?;
        Ok((begin, e.op("Where", &[single, next, end])))
    }

    /// What item `i` with its bounds takes of dimension `d`, which has `len` elements.
    fn span(&self, (i, begin, end): (usize, i64, i64), d: usize, len: usize) -> Result<Span, OpError> {
        let len = len as i64;
        let step = self.strides.get(i).copied().unwrap_or(1);
        ensure!(step != 0, "expected strides other than 0, found {:?}", self.strides.as_slice());
        let from_end = |v: i64| if v < 0 { v.saturating_add(len) } else { v };
        if bit(self.shrink_axis_mask, i) {
            let at = if bit(self.begin_mask, i) { 0 } else { from_end(begin) };
            ensure!((0..len).contains(&at), "index {begin} is out of range for dimension {d} of {}", self.input_x.fact);
            return Ok(Span { begin: at as usize, size: 1, step: 1 });
        }
        let (low, high) = if step > 0 { (0, len) } else { (-1, len - 1) };
        let bound = |v: i64| from_end(v).clamp(low, high);
        let first = if step > 0 { low } else { high };
        let last = if step > 0 { high } else { low };
        let begin = if bit(self.begin_mask, i) { first } else { bound(begin) };
        let end = if bit(self.end_mask, i) { last } else { bound(end) };
        let span = if step > 0 { end - begin } else { begin - end };
        let taken = span.max(0).unsigned_abs().div_ceil(step.unsigned_abs()) as usize;
        Ok(Span::steps(begin.max(0) as usize, taken, step))
    }
}

impl StridedSlice {
    /// What it takes.
    pub(super) fn cut(&self) -> Result<Cut<'_>, OpError> {
        let (x, begin, end) = (&self.input_x, self.begin.get()?, self.end.get()?);
        let items = begin.len();
        let same = end.len() == items && (self.strides.is_empty() || self.strides.len() == items);
        ensure!(same, "expected {items} ends and strides, found {} and {}", end.len(), self.strides.len());
        let ellipses = (0..items).filter(|&i| bit(self.ellipsis_mask, i)).count();
        ensure!(ellipses <= 1, "expected one ellipsis, found {ellipses}");
        let inserts = |i: usize| bit(self.new_axis_mask, i) && !bit(self.ellipsis_mask, i);
        let described = (0..items).filter(|&i| !inserts(i) && !bit(self.ellipsis_mask, i)).count();
        let spare = x.rank().checked_sub(described);
        let spare = spare.ok_or_else(|| OpError::Invalid(format!("{described} ranges for {}", x.fact)))?;
        let (mut spans, mut dims, mut rest) = (Vec::with_capacity(x.rank()), Shape::new(), x.shape().iter().copied());
        for (i, (&begin, &end)) in begin.iter().zip(end).enumerate() {
            if bit(self.ellipsis_mask, i) {
                let hidden = rest.by_ref().take(spare);
                spans.extend(hidden.inspect(|len| dims.push(*len)).map(Span::whole));
            } else if inserts(i) {
                dims.push(1);
            } else if let Some(len) = rest.next() {
                let span = self.span((i, begin, end), spans.len(), len)?;
                spans.push(span);
                if !bit(self.shrink_axis_mask, i) {
                    dims.push(span.size);
                }
            }
        }
        spans.extend(rest.inspect(|len| dims.push(*len)).map(Span::whole));
        Ok(Cut { x, spans, dims: Some(dims) })
    }
}

impl Operator for StridedSlice {
    fn rule(&self) -> Result<impl Rule, OpError> {
        self.cut()
    }

    fn onnx(&self, e: &mut Emit) -> Forms {
        self.form(e).map(|y| Some(vec![y]))
    }

    fn cases() -> Vec<Case> {
        let one = |begin: &[i64], end: &[i64], strides: &[i64], name| {
            sample().tensor(DType::F32, &[5, 4, 3]).ints(begin).ints(end).ints(strides).exact(name)
        };
        let masked = |[begin, end]: [&[i64]; 2], masks: [i64; 5], name| {
            let s = sample().tensor(DType::I32, &[2, 3, 4]);
            let s = s.ints(begin).ints(end).ints(&ints(&vec![1; begin.len()]));
            masks.iter().fold(s, |s, &m| s.int(m)).exact(name)
        };
        vec![
            one(&[1, 0, 2], &[4, -1, 3], &[2, 1, 1], "steps"),
            one(&[-1], &[-6], &[-1], "backwards"),
            one(&[3], &[2], &[1], "nothing"),
            one(&[-10], &[10], &[2], "moved to the edge"),
            masked([&[1, 2], &[0, 0]], [3, 3, 0, 0, 0], "no bounds"),
            masked([&[0, 1], &[0, 2]], [0, 0, 1, 0, 0], "ellipsis"),
            masked([&[0, 0, 1], &[0, 0, 2]], [0, 0, 2, 1, 4], "new axis, ellipsis, shrink"),
            masked([&[-1, 1], &[0, 2]], [0, 0, 0, 0, 1], "shrink"),
        ]
    }
}
