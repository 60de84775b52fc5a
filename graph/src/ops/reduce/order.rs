//! Sorting: positions and values in order. NaN counts as larger than every number. Equal elements keep their order, but for
//! `TopK`, whose description says which it has.

use super::reduction::{axes_of, dimension};
use crate::bounds;
use crate::onnx::{Emit, Forms, machine, no_form};
use crate::op::{Case, Lowers, Operand, Operator, Rule};
use crate::ops::kit::broadcasting::{Groups, fact, scalars, tensor_of};
use crate::ops::kit::indices::{dim, item_mut, replaced};
use crate::ops::kit::sample::{cycle, sample, wave};
use crate::order::first;
use crate::task::{Lowering, Scalar, Sort as Order, Task, Ties};
use crate::{DType, Fact, OpError, Shape, Tensor, around, ensure, op};

use std::cmp::Ordering;

/// The order of two numbers of one type.
pub(in crate::ops) fn compare(a: Scalar, b: Scalar, dtype: DType) -> Ordering {
    match (a, b) {
        (Scalar::Int(a), Scalar::Int(b)) if dtype == DType::U64 => (a as u64).cmp(&(b as u64)),
        (Scalar::Int(a), Scalar::Int(b)) => a.cmp(&b),
        (a, b) => {
            let (a, b) = (a.as_f64(), b.as_f64());
            a.partial_cmp(&b).unwrap_or(a.is_nan().cmp(&b.is_nan()))
        }
    }
}

/// The first `k` elements along an axis in order.
struct Sorting<'a> {
    x: &'a Operand,
    axis: i64,
    descending: bool,
    /// How many; all if `None`.
    k: Option<i64>,
    ties: Ties,
    index: DType,
    /// Whether the elements are a result, beside their positions.
    values: bool,
}

impl<'a> Sorting<'a> {
    /// All elements, and positions of type `index`. Equal elements keep their order.
    fn new(x: &'a Operand, axis: i64, descending: bool, index: DType) -> Sorting<'a> {
        Sorting { x, axis, descending, k: None, ties: Ties::Stable, index, values: true }
    }

    fn shape(&self) -> Result<Shape, OpError> {
        let (x, axis) = (self.x.shape(), dimension(self.x, self.axis)?);
        let Some(k) = self.k else { return Ok(Shape::from_slice(x)) };
        let len = axis.map_or(Ok(1), |axis| dim(x, axis))?;
        let least = i64::from(axis.is_none());
        ensure!((least..=len as i64).contains(&k), "expected {least} to {len} elements, found k = {k}");
        Ok(axis.map_or_else(Shape::new, |axis| replaced(x, axis, k as usize)))
    }

    fn task(&self) -> Result<Order, OpError> {
        let around = dimension(self.x, self.axis)?.and_then(|axis| around(self.x.shape(), axis));
        let [outer, len, inner] = around.unwrap_or([1; 3]);
        let &Sorting { descending, ties, values, index, .. } = self;
        let k = self.k.map_or(len, |k| k as usize);
        Ok(Order { outer, len, inner, k, descending, ties, values, dtype: self.x.dtype(), index })
    }

    fn results<T>(&self, value: T, index: T) -> Vec<T> {
        if self.values { vec![value, index] } else { vec![index] }
    }
}

impl Rule for Sorting<'_> {
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        fact(&[self.x], self.x.dtype())?;
        let [value, index] = [self.x.dtype(), self.index];
        let shape = self.shape()?;
        Ok(self.results(Fact { dtype: value, shape: shape.clone() }, Fact { dtype: index, shape }))
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        let (shape, d, task) = (self.shape()?, self.x.dtype(), self.task()?);
        let axes = axes_of(self.x, self.axis)?;
        let order = |a, b| if task.descending { compare(b, a, d) } else { compare(a, b, d) };
        let data = scalars(self.x.tensor()?, d)?;
        let rows = Groups::new(self.x.shape(), &axes)
            .map(&data, |row| first(row.iter().copied(), task.k, task.selects(), order))?;
        let mut value = vec![Scalar::Int(0); crate::count(&shape)];
        let mut index = vec![0; value.len()];
        let out = Groups::new(&shape, &axes);
        for (start, row) in out.starts.iter().zip(rows) {
            for (step, (i, x)) in out.steps.iter().zip(row?) {
                *item_mut(&mut value, start + step)? = x;
                *item_mut(&mut index, start + step)? = i as i64;
            }
        }
        Ok(self.results(tensor_of(d, &shape, &value)?, Tensor::from_i64s(self.index, &shape, &index)?))
    }

    fn lower(&self, b: &mut Lowering) -> Lowers {
        let outs = self.infer()?;
        Ok(Some(b.task(Task::Sort(self.task()?), &[self.x.v], outs)))
    }

    /// `TopK`, which keeps the order of equal elements; NaN has no place of its own there.
    fn onnx(&self, e: &mut Emit) -> Forms {
        let d = self.x.dtype();
        let wide = if d == DType::Bool { DType::I32 } else { machine(d) };
        let mut x = e.as_type(self.x, wide)?;
        let axis = dimension(self.x, self.axis)?;
        if axis.is_none() {
            x = e.unsqueeze(x, &[0]);
        }
        let k = match (self.k, axis) {
            (Some(k), _) => e.vector(&[k]),
            (None, Some(axis)) => e.dim(self.x, axis)?,
            (None, None) => e.vector(&[1]),
        };
        let largest = i64::from(self.descending);
        let attrs = vec![("axis", (axis.unwrap_or(0) as i64).into()), ("largest", largest.into())];
        let [mut value, mut index] = e.results("TopK", &[Some(x), Some(k)], attrs);
        if axis.is_none() {
            (value, index) = (e.squeeze(value, &[0]), e.squeeze(index, &[0]));
        }
        Ok(Some(self.results(e.cast(value, wide, d), e.cast(index, DType::I64, self.index))))
    }
}

const TIES: [f64; 5] = [2.0, -1.0, 2.0, f64::NAN, 0.5];

op! {
    /// The `k` largest (`largest`) or smallest elements along `dim`, in order, and their positions (`i64`). Equal elements keep
    /// their order, and the first of them are taken.
    TopkExt { input: Operand, k: i64, dim: i64 = -1, largest: bool = true, sorted: bool = true }
}

impl Operator for TopkExt {
    fn rule(&self) -> Result<impl Rule, OpError> {
        Ok(Sorting { k: Some(self.k), ..Sorting::new(&self.input, self.dim, self.largest, DType::I64) })
    }

    fn cases() -> Vec<Case> {
        let bytes = cycle(DType::U8, &[6], &[3.0, 0.0, 200.0]);
        vec![
            sample().arg(wave(DType::F32, &[3, 17])).int(4).exact("last"),
            sample().arg(wave(DType::F32, &[5, 3])).int(2).int(0).flag(false).exact("smallest"),
            sample().arg(bytes).int(3).int(0).flag(false).exact("smallest of bytes"),
        ]
    }
}

op! {
    /// The elements along `dim` in order, and their positions (`i64`). Equal elements keep their order.
    SortExt { input: Operand, dim: i64 = -1, descending: bool = false, stable: bool = false }
}

impl Operator for SortExt {
    fn rule(&self) -> Result<impl Rule, OpError> {
        Ok(Sorting::new(&self.input, self.dim, self.descending, DType::I64))
    }

    fn cases() -> Vec<Case> {
        vec![
            sample().arg(wave(DType::F32, &[3, 17])).exact("last"),
            sample().arg(cycle(DType::F32, &[2, 5], &TIES)).int(1).flag(true).exact("descending ties"),
        ]
    }
}

op! {
    /// Positions (`i64`) of the elements along `dim` in order.
    ArgSort { input: Operand, dim: i64 = -1, descending: bool = false, stable: bool = false }
}

impl Operator for ArgSort {
    fn rule(&self) -> Result<impl Rule, OpError> {
        Ok(Sorting { values: false, ..Sorting::new(&self.input, self.dim, self.descending, DType::I64) })
    }

    fn cases() -> Vec<Case> {
        vec![
            sample().arg(wave(DType::I32, &[5, 3])).int(0).exact("first"),
            sample().arg(cycle(DType::F32, &[2, 5], &TIES)).int(1).exact("ties"),
        ]
    }
}

op! {
    /// The elements along `axis` in order, and their positions (`i32`). Equal elements keep their order.
    classic Sort { x: Operand, axis: i64 = -1, descending: bool = false }
}

impl Operator for Sort {
    fn rule(&self) -> Result<impl Rule, OpError> {
        Ok(Sorting::new(&self.x, self.axis, self.descending, DType::I32))
    }

    fn cases() -> Vec<Case> {
        vec![
            sample().arg(wave(DType::F32, &[3, 17])).exact("last"),
            sample().arg(wave(DType::F16, &[5, 3])).int(0).flag(true).exact("descending"),
            sample().arg(cycle(DType::F32, &[2, 5], &TIES)).int(1).flag(true).exact("ties"),
            sample().arg(wave(DType::F32, &[0, 3])).int(0).exact("empty"),
        ]
    }
}

op! {
    /// The `k` largest elements along the last dimension, in order, and their positions (`i32`). Of equal elements the first
    /// are taken and keep their order if `k` is more than half of the row; else it is as MindSpore's CPU back end selects them.
    classic TopK { input_x: Operand, k: i64 as Input, sorted: bool = true }
}

impl Operator for TopK {
    fn rule(&self) -> Result<impl Rule, OpError> {
        let all = Sorting::new(&self.input_x, -1, true, DType::I32);
        Ok(Sorting { k: Some(self.k), ties: Ties::Selected, ..all })
    }

    fn cases() -> Vec<Case> {
        vec![
            sample().arg(wave(DType::F32, &[3, 17])).int(4).exact("four"),
            sample().arg(wave(DType::I32, &[2, 5])).int(5).exact("all"),
            sample().arg(wave(DType::F32, &[2, 5])).int(0).exact("none"),
            sample().arg(cycle(DType::I32, &[10], &[0.0, 1.0])).int(7).exact("ties"),
        ]
    }
}

op! {
    /// Where `values` belong in the sorted rows of `sorted_sequence`: the first place, or with `right` the one after equal
    /// elements. The leading dimensions of both agree, unless the sequence is a vector. `sorter` gives the order of a sequence
    /// that is not sorted. The result has type `dtype`.
    SearchSorted {
        sorted_sequence: Operand,
        values: Operand,
        sorter: Option<Operand> = None,
        dtype: DType = DType::I64,
        right: bool = false,
    }
}

impl Rule for SearchSorted {
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        let (s, v) = (&self.sorted_sequence, &self.values);
        fact(&[s], s.dtype())?;
        fact(&[v], v.dtype())?;
        ensure!(s.rank() > 0, "expected a sequence, found {}", s.fact);
        let rows = |x: &Operand| x.shape().split_last().map(|(_, rows)| Shape::from_slice(rows));
        let fits = s.rank() == 1 || rows(s) == rows(v);
        ensure!(fits, "expected values with the rows of {}, found {}", s.fact, v.fact);
        let sorter = self.sorter.as_ref().is_none_or(|o| o.shape() == s.shape());
        ensure!(sorter, "expected a sorter of shape {:?}", s.shape());
        ensure!(matches!(self.dtype, DType::I32 | DType::I64), "expected i32 or i64 positions, found {}", self.dtype);
        Ok(vec![Fact::new(self.dtype, v.shape())])
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        self.infer()?;
        let (s, v) = (&self.sorted_sequence, &self.values);
        let d = DType::promote(s.dtype(), v.dtype());
        let (sequence, values) = (scalars(s.tensor()?, d)?, scalars(v.tensor()?, d)?);
        let len = dim(s.shape(), s.rank() - 1)?;
        let per_row = if s.rank() == 1 { v.count() } else { dim(v.shape(), v.rank() - 1)? };
        let order = self.sorter.as_ref().map(Operand::i64s).transpose()?;
        let mut out = Vec::with_capacity(values.len());
        for (i, &x) in values.iter().enumerate() {
            bounds::check()?;
            // A sequence without elements has no rows.
            let at = i / per_row.max(1);
            let row = sequence.chunks(len.max(1)).nth(at).unwrap_or_default();
            let order = order.as_ref().and_then(|order| order.chunks(len.max(1)).nth(at));
            let mut place = 0;
            for (k, &next) in row.iter().enumerate() {
                let named = order.map_or(Some(next), |order| row.get(usize::try_from(*order.get(k)?).ok()?).copied());
                let named = named.ok_or_else(|| OpError::Invalid("the sorter names an element out of range".into()))?;
                let order = compare(named, x, d);
                if order == Ordering::Less || (self.right && order == Ordering::Equal) {
                    place = k as i64 + 1;
                }
            }
            out.push(place);
        }
        Ok(vec![Tensor::from_i64s(self.dtype, v.shape(), &out)?])
    }

    fn onnx(&self, _: &mut Emit) -> Forms {
        no_form("ONNX has no search in sorted rows")
    }

    fn cases() -> Vec<Case> {
        let rows = || cycle(DType::F32, &[2, 3], &[1.0, 3.0, 5.0, 2.0, 4.0, 6.0]);
        let values = || cycle(DType::F32, &[2, 2], &[3.0, 9.0, 4.0, 0.0]);
        vec![
            sample().arg(rows()).arg(values()).exact("rows"),
            sample()
                .arg(cycle(DType::I32, &[4], &[1.0, 3.0, 3.0, 5.0]))
                .arg(cycle(DType::I32, &[3], &[3.0, 9.0, 0.0]))
                .exact("vector"),
            sample().arg(rows()).arg(values()).none().dtype(DType::I32).flag(true).exact("right"),
        ]
    }
}
