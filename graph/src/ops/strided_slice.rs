use super::cut::Cut;
use super::sample::sample;
use crate::lower::Lowering;
use crate::op::{Case, Ints, Operand, Rule, ints};
use crate::task::V;
use crate::{DType, Fact, OpError, Shape, Tensor, ensure, op};

op! {
    /// Python's `input_x[begin:end:strides, …]`. Any type.
    ///
    /// Item `i` of the three tuples describes one dimension, unless bit `i` of a mask says otherwise: `begin_mask` and
    /// `end_mask` drop a bound, `ellipsis_mask` stands for all dimensions that no other item describes, `new_axis_mask`
    /// inserts a dimension of 1, `shrink_axis_mask` takes element `begin` and drops the dimension. Negative bounds count
    /// from the end, bounds outside are moved to the edge; dimensions after the last item are taken whole.
    StridedSlice {
        input_x ["x"]: Operand,
        begin: Ints,
        end: Ints,
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
    /// What is selected, and the dimensions of the result.
    fn plan(&self) -> Result<(Cut, Shape), OpError> {
        let (x, items) = (&self.input_x, self.begin.len());
        let same = self.end.len() == items && (self.strides.is_empty() || self.strides.len() == items);
        ensure!(same, "expected {items} ends and strides, found {} and {}", self.end.len(), self.strides.len());
        let ellipses = (0..items).filter(|&i| bit(self.ellipsis_mask, i)).count();
        ensure!(ellipses <= 1, "expected one ellipsis, found {ellipses}");
        let inserts = |i: usize| bit(self.new_axis_mask, i) && !bit(self.ellipsis_mask, i);
        let described = (0..items).filter(|&i| !inserts(i) && !bit(self.ellipsis_mask, i)).count();
        let spare = x.rank().checked_sub(described);
        let spare = spare.ok_or_else(|| OpError::Invalid(format!("{described} ranges for {}", x.fact)))?;
        let (mut cut, mut dims, mut d) = (Cut::whole(x), Shape::new(), 0);
        for i in 0..items {
            if bit(self.ellipsis_mask, i) {
                dims.extend_from_slice(&x.shape()[d..d + spare]);
                d += spare;
            } else if inserts(i) {
                dims.push(1);
            } else {
                self.range(i, d, &mut cut)?;
                if !bit(self.shrink_axis_mask, i) {
                    dims.push(cut.size[d]);
                }
                d += 1;
            }
        }
        dims.extend_from_slice(&x.shape()[d..]);
        Ok((cut, dims))
    }

    /// Applies item `i` to dimension `d`.
    fn range(&self, i: usize, d: usize, cut: &mut Cut) -> Result<(), OpError> {
        let len = self.input_x.shape()[d] as i64;
        let step = self.strides.get(i).copied().unwrap_or(1);
        ensure!(step != 0, "expected strides other than 0, found {:?}", self.strides.as_slice());
        let from_end = |v: i64| if v < 0 { v.saturating_add(len) } else { v };
        if bit(self.shrink_axis_mask, i) {
            let at = if bit(self.begin_mask, i) { 0 } else { from_end(self.begin[i]) };
            ensure!(
                (0..len).contains(&at),
                "index {} is out of range for dimension {d} of {}",
                self.begin[i],
                self.input_x.fact
            );
            (cut.begin[d], cut.size[d]) = (at as usize, 1);
            return Ok(());
        }
        let (low, high) = if step > 0 { (0, len) } else { (-1, len - 1) };
        let bound = |v: i64| from_end(v).clamp(low, high);
        let first = if step > 0 { low } else { high };
        let last = if step > 0 { high } else { low };
        let begin = if bit(self.begin_mask, i) { first } else { bound(self.begin[i]) };
        let end = if bit(self.end_mask, i) { last } else { bound(self.end[i]) };
        let span = if step > 0 { end - begin } else { begin - end };
        let taken = span.max(0).unsigned_abs().div_ceil(step.unsigned_abs()) as usize;
        (cut.begin[d], cut.size[d]) = (begin.max(0) as usize, taken);
        cut.step[d] = if taken > 1 { step as isize } else { 1 };
        Ok(())
    }
}

impl Rule for StridedSlice {
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        Ok(vec![Fact { dtype: self.input_x.dtype(), shape: self.plan()?.1 }])
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        let (cut, dims) = self.plan()?;
        Ok(vec![cut.reference(&self.input_x)?.reshape(&dims)?])
    }

    fn lower(&self, b: &mut Lowering) -> Result<Option<Vec<V>>, OpError> {
        let (cut, dims) = self.plan()?;
        let y = cut.lower(b, &self.input_x)?;
        Ok(Some(vec![b.reshape(y, &dims)?]))
    }

    fn cases() -> Vec<Case> {
        let one = |begin: &[i64], end: &[i64], strides: &[i64], name| {
            sample().tensor(DType::F32, &[5, 4, 3]).ints(begin).ints(end).ints(strides).case(name, 0.0)
        };
        let masked = |items: [&[i64]; 2], masks: [i64; 5], name| {
            let s =
                sample()
                    .tensor(DType::I32, &[2, 3, 4])
                    .ints(items[0])
                    .ints(items[1])
                    .ints(&ints(&vec![1; items[0].len()]));
            masks.iter().fold(s, |s, &m| s.int(m)).case(name, 0.0)
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
