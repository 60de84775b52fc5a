use crate::onnx::{Edge, Emit, Forms, NoForm, no_form};
use crate::op::{Case, Lowers, Operand, Operator, Rule};
use crate::ops::kit::indices::{
    around, dim, each_index, flat, only, parted, rearrange, replaced, result, slices_at, taken,
};
use crate::ops::kit::sample::sample;
use crate::ops::linear::product::reshaped;
use crate::task::{Binary, Gather as Pick, Instr, Lowering, Program, ReduceKind, Task, V};
use crate::{DType, Fact, OpError, Shape, Tensor, count, dense_strides, ensure, op, shape};

fn check_index(index: &Operand) -> Result<(), OpError> {
    ensure!(index.dtype().is_int(), "expected integer indices, found {}", index.fact);
    Ok(())
}

/// An index of an element is counted as an axis is.
pub(in crate::ops) use crate::normalize_axis as position;

/// How an index names one of as many elements.
pub(super) type Place = fn(i64, usize) -> Result<usize, OpError>;

/// An index that names none of `len` elements.
pub(in crate::ops) fn outside(index: i64, len: usize) -> OpError {
    OpError::Invalid(format!("index {index} is out of range for {len} elements"))
}

/// The one of `len` elements that an index names.
pub(in crate::ops) fn place(index: i64, len: usize) -> Result<usize, OpError> {
    position(index, len).ok_or_else(|| outside(index, len))
}

/// The one of `len` elements that an index names, which does not count from the end.
pub(in crate::ops) fn strict_place(index: i64, len: usize) -> Result<usize, OpError> {
    usize::try_from(index).ok().filter(|at| *at < len).ok_or_else(|| outside(index, len))
}

/// Those of `len` elements that the indices name.
pub(super) fn all_places(picks: &[i64], len: usize) -> Result<Vec<usize>, OpError> {
    picks.iter().map(|&i| place(i, len)).collect()
}

/// The numbers of the slices that rows of coordinates name, in a tensor whose first dimensions are `lead`.
pub(super) fn slices(picks: &[i64], lead: &[usize], place: Place) -> Result<Vec<usize>, OpError> {
    let one = |row: &[i64]| row.iter().zip(lead).try_fold(0, |at, (&i, &len)| Ok(at * len + place(i, len)?));
    picks.chunks(lead.len().max(1)).map(one).collect()
}

/// The result where no task picks anything: if it has no elements. There is nothing to pick from a tensor without elements.
fn nothing(b: &mut Lowering, x: &Operand, y: &Fact) -> Result<Option<V>, OpError> {
    if y.count() == 0 {
        return Ok(Some(b.constant(Tensor::zeros(y.dtype, &y.shape)?)));
    }
    ensure!(x.count() > 0, "every index is out of range for {}", x.fact);
    Ok(None)
}

/// The indices as `i32` or `i64`.
pub(in crate::ops) fn index_value(b: &mut Lowering, index: V) -> V {
    match b.fact(index).dtype {
        DType::I32 | DType::I64 => index,
        _ => b.cast(index, DType::I64),
    }
}

/// Indices as `i32` or `i64`, the types that ONNX picks by.
fn index_edge(e: &mut Emit, index: &Operand) -> Result<Edge, NoForm> {
    match index.dtype() {
        DType::I32 | DType::I64 => e.edge(index),
        _ => e.as_type(index, DType::I64),
    }
}

/// Slices of `x` along `axis`, whose place the dimensions of the index take; the first `batch` dimensions of both are walked
/// together.
struct Picked<'a> {
    x: &'a Operand,
    index: Operand,
    axis: usize,
    batch: usize,
}

impl<'a> Picked<'a> {
    fn new(x: &'a Operand, index: Operand, axis: i64, batch_dims: i64) -> Result<Self, OpError> {
        check_index(&index)?;
        let axis = x.axis(axis)?;
        let back = if batch_dims < 0 { index.rank() as i64 } else { 0 };
        let batch = batch_dims.saturating_add(back);
        let fits = batch >= 0 && batch as usize <= axis && batch as usize <= index.rank();
        ensure!(fits, "batch_dims {batch_dims} with axis {axis} and indices {}", index.fact);
        let batch = batch as usize;
        let same = batch == 0 || x.shape().get(..batch) == index.shape().get(..batch);
        ensure!(same, "the first {batch} dimensions of {} and {} differ", x.fact, index.fact);
        Ok(Picked { x, index, axis, batch })
    }
}

impl Rule for Picked<'_> {
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        let (before, _, behind) = parted(self.x.shape(), self.axis)?;
        let index = self.index.shape().iter().skip(self.batch);
        Ok(vec![result(self.x.dtype(), &before.iter().chain(index).chain(behind).copied().collect::<Shape>())?])
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        let (x, fact) = (self.x, only(self.infer()?)?);
        let (before, len, behind) = parted(x.shape(), self.axis)?;
        let (one, inner) = (before.iter().skip(self.batch).product::<usize>(), count(behind));
        let own: usize = self.index.shape().iter().skip(self.batch).product();
        let rows = all_places(&self.index.i64s()?, len)?;
        let places = rows
            .chunks_exact(own.max(1))
            .enumerate()
            .flat_map(|(batch, rows)| slices_at([one, len, inner], rows).map(move |at| batch * one * len * inner + at));
        Ok(vec![taken(x.tensor()?, &fact.shape, places)?])
    }

    fn lower(&self, b: &mut Lowering) -> Lowers {
        let (axis, batch) = (self.axis, self.batch);
        if batch > 0 && batch != axis {
            return Ok(None);
        }
        let fact = only(self.infer()?)?;
        if let Some(y) = nothing(b, self.x, &fact)? {
            return Ok(Some(vec![y]));
        }
        let index = b.reshape(self.index.v, self.index.shape())?;
        let index = index_value(b, index);
        if batch == 0 {
            return Ok(Some(vec![b.gather(self.x.v, index, axis)?]));
        }
        let [outer, axis, inner] = around(self.x.shape(), axis)?;
        let count = self.index.shape().iter().skip(batch).product();
        let (dtype, index_type) = (fact.dtype, b.fact(index).dtype);
        let task = Pick { outer, axis, inner, count, batch: true, zeros: false, dtype, index: index_type };
        Ok(Some(b.task(Task::Gather(task), &[self.x.v, index], vec![fact])))
    }

    fn onnx(&self, e: &mut Emit) -> Forms {
        let (axis, batch) = (self.axis, self.batch);
        if batch > 0 {
            return if batch == axis && e.is_fixed() {
                Ok(None)
            } else {
                no_form("it walks batch dimensions together")
            };
        }
        let (x, index) = (e.edge(self.x)?, index_edge(e, &self.index)?);
        Ok(Some(vec![e.op_with("Gather", &[x, index], vec![("axis", (axis as i64).into())])]))
    }
}

op! {
    /// Slices of `input_params` along dimension `axis`, picked by `input_indices`, whose dimensions replace the axis.
    ///
    /// Any type; indices of any integer type. Negative indices count from the end; one out of range is an error. The first `batch_dims` dimensions of both operands agree and are walked together.
    Gather, aliases ["GatherV2", "SparseGatherV2"] {
        input_params ["params", "x"]: Operand,
        input_indices ["indices"]: Operand,
        axis: i64 = 0,
        batch_dims: i64 = 0,
    }
}

impl Operator for Gather {
    fn rule(&self) -> Result<impl Rule, OpError> {
        Picked::new(&self.input_params, self.input_indices.clone(), self.axis, self.batch_dims)
    }

    fn cases() -> Vec<Case> {
        use DType::*;
        vec![
            sample().tensor(F32, &[4, 3]).index(I32, &[3], &[2, 0, -1]).int(0).exact("rows"),
            sample().tensor(F16, &[2, 4, 3]).index(I64, &[2, 2], &[3, 0, 1, 1]).int(1).exact("middle"),
            sample().tensor(I8, &[3, 2]).index(I64, &[], &[1]).int(-1).exact("scalar index"),
            sample().tensor(F32, &[2, 3, 2]).index(I32, &[2, 2], &[0, 2, 1, 1]).int(1).int(1).exact("batch"),
            sample().tensor(F32, &[2, 2, 3]).index(I32, &[2, 2], &[0, 2, 1, 1]).int(2).int(1).exact("inner batch"),
            sample().tensor(F32, &[3]).index(U8, &[2], &[0, 2]).exact("u8 indices"),
        ]
    }
}

op! {
    /// Rows of a table: `weight[input]`. Negative indices count from the end; one out of range is an error.
    ///
    /// `weight`: a matrix of any type. `max_norm`, which would change the table, must be `None`.
    Embedding {
        input: Operand,
        weight: Operand,
        padding_idx: Option<i64> = None,
        max_norm: Option<i64> = None,
        norm_type: f64 = 2.0,
        scale_grad_by_freq: bool = false,
    }
}

impl Operator for Embedding {
    fn rule(&self) -> Result<impl Rule, OpError> {
        ensure!(self.weight.rank() == 2, "expected a matrix of weights, found {}", self.weight.fact);
        if self.max_norm.is_some() {
            return Err(OpError::Unsupported("max_norm".into()));
        }
        Picked::new(&self.weight, self.input.clone(), 0, 0)
    }

    fn cases() -> Vec<Case> {
        vec![sample().index(DType::I64, &[2, 2], &[3, 0, 1, 1]).tensor(DType::F32, &[4, 3]).int(0).exact("rows")]
    }
}

op! {
    /// Slices `input_params[input_indices − offset]` along the first dimension; zeros where that is negative or too large.
    object EmbeddingLookup { input_params ["params"]: Operand, input_indices ["indices"]: Operand, offset: i64 = 0 }
}

impl Rule for EmbeddingLookup {
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        let (x, index) = (&self.input_params, &self.input_indices);
        check_index(index)?;
        ensure!(x.rank() > 0, "expected rank 1 or more, found {}", x.fact);
        let shape: Shape = index.shape().iter().chain(x.shape().iter().skip(1)).copied().collect();
        Ok(vec![result(x.dtype(), &shape)?])
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        let (x, fact, picks) = (&self.input_params, only(self.infer()?)?, self.input_indices.i64s()?);
        let [_, rows, inner] = around(x.shape(), 0)?;
        let row = |pick: i64| usize::try_from(pick.checked_sub(self.offset)?).ok().filter(|&row| row < rows);
        let mut places = picks.into_iter().flat_map(|pick| (0..inner).map(move |i| Some(row(pick)? * inner + i)));
        Ok(vec![rearrange(x.tensor()?, &fact.shape, |_| places.next()?)?])
    }

    fn lower(&self, b: &mut Lowering) -> Lowers {
        let fact = only(self.infer()?)?;
        if fact.count() == 0 || self.input_params.count() == 0 {
            return Ok(Some(vec![b.constant(Tensor::zeros(fact.dtype, &fact.shape)?)]));
        }
        let (dtype, dims) = (self.input_indices.dtype(), self.input_indices.shape());
        let mut p = Program::new();
        let i = p.input(0, dtype);
        let i = p.cast(i, DType::I64);
        let offset = p.push(Instr::Int(self.offset), DType::I64);
        let row = p.binary(Binary::Sub, i, offset);
        let (zero, far) = (p.push(Instr::Int(0), DType::I64), p.push(Instr::Int(i64::MIN / 2), DType::I64));
        let below = p.binary(Binary::Lt, row, zero);
        p.select(below, far, row);
        let index = b.map(p, &[self.input_indices.v], dims);
        Ok(Some(vec![b.gather_or_zeros(self.input_params.v, index, 0)?]))
    }

    fn onnx(&self, e: &mut Emit) -> Forms {
        if e.is_fixed() && self.input_params.count() == 0 {
            let fact = self.infer()?.remove(0);
            return Ok(Some(vec![e.constant(Tensor::zeros(fact.dtype, &fact.shape)?)]));
        }
        let (x, mut index) = (e.edge(&self.input_params)?, e.as_type(&self.input_indices, DType::I64)?);
        if self.offset != 0 {
            let offset = e.number(DType::I64, self.offset as f64)?;
            index = e.op("Sub", &[index, offset]);
        }
        let (rows, zero) = (e.dim(&self.input_params, 0)?, e.number(DType::I64, 0.0)?);
        let rows = e.squeeze(rows, &[0]);
        let (low, high) = (e.op("GreaterOrEqual", &[index, zero]), e.op("Less", &[index, rows]));
        let inside = e.op("And", &[low, high]);
        let index = e.op("Where", &[inside, index, zero]);
        let y = e.op_with("Gather", &[x, index], vec![("axis", 0.into())]);
        let (i, dtype) = (self.input_indices.rank() as i64, self.input_params.dtype());
        let slices: Vec<i64> = (i..i + self.input_params.rank() as i64 - 1).collect();
        let inside = if slices.is_empty() { inside } else { e.unsqueeze(inside, &slices) };
        let none = e.number(dtype, 0.0)?;
        Ok(Some(vec![e.select(inside, y, none, dtype)]))
    }

    fn cases() -> Vec<Case> {
        vec![sample().tensor(DType::F32, &[4, 2]).index(DType::I32, &[5], &[5, 2, 0, 7, -1]).int(1).exact("offset")]
    }
}

op! {
    /// `y[i, j, …] = x[…, index[i, j, …], …]` with the index in place of coordinate `dim`.
    ///
    /// `index` has the rank of `x` and is no longer than `x` in other dimensions. Any type. Negative indices count from the
    /// end; one out of range is an error.
    GatherD, aliases ["GatherDExt"] { x ["input"]: Operand, dim: i64, index: Operand }
}

impl GatherD {
    fn axis(&self) -> Result<usize, OpError> {
        let (x, index) = (&self.x, &self.index);
        check_index(index)?;
        let axis = x.axis(self.dim)?;
        let within = |(i, n): (&Option<usize>, &Option<usize>)| i.zip(*n).is_none_or(|(i, n)| i <= n);
        let pairs = index.dims().iter().zip(&x.dims()).enumerate().all(|(d, pair)| d == axis || within(pair));
        let fits = x.rank() == index.rank() && pairs;
        ensure!(fits, "indices {} do not fit {} along dimension {axis}", index.fact, x.fact);
        Ok(axis)
    }
}

impl Rule for GatherD {
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        self.axis()?;
        Ok(vec![Fact { dtype: self.x.dtype(), shape: self.index.fact.shape.clone() }])
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        let (axis, x) = (self.axis()?, self.x.shape());
        let mut rows = all_places(&self.index.i64s()?, dim(x, axis)?)?.into_iter();
        let y = rearrange(self.x.tensor()?, self.index.shape(), |at| Some(flat(x, &replaced(at, axis, rows.next()?))))?;
        Ok(vec![y])
    }

    fn lower(&self, b: &mut Lowering) -> Lowers {
        let axis = self.axis()?;
        let (x, dims) = (self.x.shape(), self.index.fact.shape.clone());
        if let Some(y) = nothing(b, &self.x, &Fact::new(self.x.dtype(), &dims))? {
            return Ok(Some(vec![y]));
        }
        let (before, len, behind) = parted(x, axis)?;
        if behind.is_empty() && dims.starts_with(before) {
            let (outer, count) = (count(before), dims.last().copied().unwrap_or(1));
            let index = index_value(b, self.index.v);
            let (dtype, index_type) = (self.x.dtype(), b.fact(index).dtype);
            let task = Pick { outer, axis: len, inner: 1, count, batch: true, zeros: false, dtype, index: index_type };
            return Ok(Some(b.task(Task::Gather(task), &[self.x.v, index], vec![Fact::new(dtype, &dims)])));
        }
        let index = flat_index(b, &self.index, x, axis)?;
        let flat = b.reshape(self.x.v, &[self.x.count()])?;
        Ok(Some(vec![b.gather(flat, index, 0)?]))
    }

    fn onnx(&self, e: &mut Emit) -> Forms {
        let (x, index) = (e.edge(&self.x)?, index_edge(e, &self.index)?);
        Ok(Some(vec![e.op_with("GatherElements", &[x, index], vec![("axis", (self.axis()? as i64).into())])]))
    }

    fn cases() -> Vec<Case> {
        use DType::*;
        vec![
            sample().tensor(F32, &[2, 3]).int(1).index(I32, &[2, 2], &[0, -1, 2, -3]).exact("columns"),
            sample().tensor(F64, &[3, 2, 2]).int(0).index(I64, &[2, 1, 2], &[2, 0, 1, 1]).exact("shorter index"),
        ]
    }
}

/// For each index, the number of the element of a tensor of `dims` at the coordinates of the index, with coordinate `axis` replaced
/// by the index; far below [`Pick::OUTSIDE`] where that is out of range.
pub(super) fn flat_index(b: &mut Lowering, index: &Operand, dims: &[usize], axis: usize) -> Result<V, OpError> {
    let [_, len, step] = around(dims, axis)?;
    let places = [0..axis, axis + 1..dims.len()].map(|coordinates| {
        // The coordinates that are no part of these are 0.
        let part = |(d, &n): (usize, &usize)| if coordinates.contains(&d) { n } else { 1 };
        let shape: Shape = index.shape().iter().enumerate().map(part).collect();
        let mut places = Vec::with_capacity(count(&shape));
        each_index(&shape, |at| places.push(flat(dims, at) as i64))?;
        Ok::<_, OpError>(Tensor::from_vec::<i64>(&shape, places)?)
    });
    let [before, behind] = places;
    let places = [b.constant(before?), b.constant(behind?)];
    let [len, step] = [len, step].map(|n| b.constant(Tensor::scalar(n as i64)));
    Ok(scaled_index(b, index.v, len, step, &places, index.shape()))
}

/// `index · step` as `i64`, where indices from `−len` to `−1` count from the end, and `more` added to it; far below
/// [`Pick::OUTSIDE`] where an index is out of range.
fn scaled_index(b: &mut Lowering, index: V, len: V, step: V, more: &[V], dims: &[usize]) -> V {
    let mut p = Program::new();
    let i = p.input(0, b.fact(index).dtype);
    let i = p.cast(i, DType::I64);
    let (len_r, step_r) = (p.input(1, DType::I64), p.input(2, DType::I64));
    let zero = p.push(Instr::Int(0), DType::I64);
    let from_end = p.binary(Binary::Add, i, len_r);
    let negative = p.binary(Binary::Lt, i, zero);
    let place = p.select(negative, from_end, i);
    let scaled = p.binary(Binary::Mul, place, step_r);
    let far = p.push(Instr::Int(2 * Pick::OUTSIDE), DType::I64);
    let below = p.binary(Binary::Lt, place, zero);
    let above = p.binary(Binary::Ge, place, len_r);
    let scaled = p.select(below, far, scaled);
    let mut scaled = p.select(above, far, scaled);
    for i in 0..more.len() {
        let more = p.input(3 + i, DType::I64);
        scaled = p.binary(Binary::Add, scaled, more);
    }
    b.map(p, &[&[index, len, step], more].concat(), dims)
}

op! {
    /// Slices picked by coordinates: the last dimension of `indices` holds the first coordinates of a slice of `input_x`.
    ///
    /// Any type. Negative coordinates count from the end; one out of range is an error.
    GatherNd, aliases ["GatherNdExt"] { input_x ["input", "x"]: Operand, indices: Operand }
}

impl GatherNd {
    /// The dimensions of `input_x` that have coordinates, its others, and what is known of the result.
    fn parts(&self) -> Result<(&[usize], &[usize], Fact), OpError> {
        let (x, index) = (&self.input_x, &self.indices);
        check_index(index)?;
        let [rows @ .., depth] = index.shape() else {
            return Err(OpError::Invalid("expected indices of rank 1 or more, found a scalar".into()));
        };
        let wrong = || OpError::Invalid(format!("expected 1 to {} coordinates, found {}", x.rank(), index.fact));
        let (lead, rest) = x.shape().split_at_checked(*depth).filter(|_| *depth > 0).ok_or_else(wrong)?;
        let shape: Shape = rows.iter().chain(rest).copied().collect();
        Ok((lead, rest, result(x.dtype(), &shape)?))
    }
}

impl Rule for GatherNd {
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        Ok(vec![self.parts()?.2])
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        let (lead, rest, fact) = self.parts()?;
        let rows = slices(&self.indices.i64s()?, lead, place)?;
        let places = slices_at([1, count(lead), count(rest)], &rows);
        Ok(vec![taken(self.input_x.tensor()?, &fact.shape, places)?])
    }

    fn lower(&self, b: &mut Lowering) -> Lowers {
        let (lead, rest, fact) = self.parts()?;
        if let Some(y) = nothing(b, &self.input_x, &fact)? {
            return Ok(Some(vec![y]));
        }
        let lens: Vec<i64> = lead.iter().map(|&d| d as i64).collect();
        let steps: Vec<i64> = dense_strides(lead).iter().map(|&s| s as i64).collect();
        let (len, step) = (b.constant(Tensor::vector(&lens)), b.constant(Tensor::vector(&steps)));
        let dims = shape(self.indices.shape());
        let parts = scaled_index(b, self.indices.v, len, step, &[], &dims);
        let index = b.reduce(ReduceKind::Sum, parts, &[dims.len() - 1], false, DType::I64)?;
        let rows = b.reshape(self.input_x.v, &[count(lead), count(rest)])?;
        let y = b.gather(rows, index, 0)?;
        Ok(Some(vec![b.reshape(y, &fact.shape)?]))
    }

    fn onnx(&self, e: &mut Emit) -> Forms {
        let (x, index) = (e.edge(&self.input_x)?, e.as_type(&self.indices, DType::I64)?);
        Ok(Some(vec![e.op("GatherND", &[x, index])]))
    }

    fn cases() -> Vec<Case> {
        use DType::*;
        vec![
            sample().tensor(F32, &[3, 4]).index(I32, &[2, 2], &[0, 1, 2, 3]).exact("elements"),
            sample().tensor(F32, &[3, 4, 2]).index(I64, &[2, 1, 2], &[0, 1, -1, -4]).exact("slices"),
            sample().tensor(F16, &[3, 4]).index(I64, &[1], &[1]).exact("one row"),
        ]
    }
}

op! {
    /// Slices of `input` along `dim` picked by the vector `index`. Any type; an index out of range is an error.
    IndexSelect { input: Operand, dim: i64, index: Operand }
}

impl Operator for IndexSelect {
    fn rule(&self) -> Result<impl Rule, OpError> {
        let index = &self.index;
        ensure!(index.rank() <= 1, "expected a vector of indices, found {}", index.fact);
        Picked::new(&self.input, reshaped(index, index.v, &[index.count()])?, self.dim, 0)
    }

    fn onnx(&self, e: &mut Emit) -> Forms {
        let axis = self.input.axis(self.dim)? as i64;
        let (x, mut index) = (e.edge(&self.input)?, index_edge(e, &self.index)?);
        if self.index.rank() == 0 {
            index = e.unsqueeze(index, &[0]);
        }
        Ok(Some(vec![e.op_with("Gather", &[x, index], vec![("axis", axis.into())])]))
    }

    fn cases() -> Vec<Case> {
        vec![
            sample().tensor(DType::F32, &[2, 4]).int(1).index(DType::I32, &[3], &[3, 0, 3]).exact("columns"),
            sample().tensor(DType::F32, &[3, 2]).int(0).index(DType::I64, &[], &[1]).exact("scalar index"),
        ]
    }
}
