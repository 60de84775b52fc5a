use crate::onnx::{Edge, Emit, Forms, NoForm, no_form};
use crate::op::{Case, Lowers, Operand, Plan, Planned, Rule};
use crate::ops::kit::indices::{each_index, flat, rearrange, result};
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

/// An index that names none of `len` elements.
pub(in crate::ops) fn outside(index: i64, len: usize) -> OpError {
    OpError::Invalid(format!("index {index} is out of range for {len} elements"))
}

/// The one of `len` elements that an index names.
pub(in crate::ops) fn place(index: i64, len: usize) -> Result<usize, OpError> {
    position(index, len).ok_or_else(|| outside(index, len))
}

/// Checks that every index names one of `len` elements.
fn check_range(picks: &[i64], len: usize) -> Result<(), OpError> {
    picks.iter().try_for_each(|&i| place(i, len).map(drop))
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
        let same = batch == 0 || x.shape()[..batch] == index.shape()[..batch];
        ensure!(same, "the first {batch} dimensions of {} and {} differ", x.fact, index.fact);
        Ok(Picked { x, index, axis, batch })
    }
}

impl Plan for Picked<'_> {
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        let (axis, batch, x, index) = (self.axis, self.batch, self.x.shape(), self.index.shape());
        let shape: Shape = x[..axis].iter().chain(&index[batch..]).chain(&x[axis + 1..]).copied().collect();
        Ok(vec![result(self.x.dtype(), &shape)?])
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        let (axis, batch, x, index) = (self.axis, self.batch, self.x, &self.index);
        let (dims, picks, own) = (&self.infer()?[0].shape, index.i64s()?, index.rank() - batch);
        check_range(&picks, x.shape()[axis])?;
        let y = rearrange(x.tensor()?, dims, |at| {
            let which: Shape = at[..batch].iter().chain(&at[axis..axis + own]).copied().collect();
            let pick = position(picks[flat(index.shape(), &which)], x.shape()[axis])?;
            let from: Shape = at[..axis].iter().chain([&pick]).chain(&at[axis + own..]).copied().collect();
            Some(flat(x.shape(), &from))
        })?;
        Ok(vec![y])
    }

    fn lower(&self, b: &mut Lowering) -> Lowers {
        let (axis, batch) = (self.axis, self.batch);
        if batch > 0 && batch != axis {
            return Ok(None);
        }
        let fact = self.infer()?.remove(0);
        if let Some(y) = nothing(b, self.x, &fact)? {
            return Ok(Some(vec![y]));
        }
        let index = b.reshape(self.index.v, self.index.shape())?;
        let index = index_value(b, index);
        if batch == 0 {
            return Ok(Some(vec![b.gather(self.x.v, index, axis)?]));
        }
        let x = self.x.shape();
        let task = Pick {
            outer: count(&x[..axis]),
            axis: x[axis],
            inner: count(&x[axis + 1..]),
            count: count(&self.index.shape()[batch..]),
            batch: true,
            zeros: false,
            dtype: fact.dtype,
            index: b.fact(index).dtype,
        };
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

impl Planned for Gather {
    fn plan(&self) -> Result<impl Plan, OpError> {
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

impl Planned for Embedding {
    fn plan(&self) -> Result<impl Plan, OpError> {
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
        let shape: Shape = index.shape().iter().chain(&x.shape()[1..]).copied().collect();
        Ok(vec![result(x.dtype(), &shape)?])
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        let (x, index) = (&self.input_params, &self.input_indices);
        let (dims, picks) = (&self.infer()?[0].shape, index.i64s()?);
        let y = rearrange(x.tensor()?, dims, |at| {
            let (which, rest) = at.split_at(index.rank());
            let row = picks[flat(index.shape(), which)].checked_sub(self.offset)?;
            let row = usize::try_from(row).ok().filter(|&r| r < x.shape()[0])?;
            Some(flat(x.shape(), &[&[row], rest].concat()))
        })?;
        Ok(vec![y])
    }

    fn lower(&self, b: &mut Lowering) -> Lowers {
        let fact = self.infer()?.remove(0);
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
        let (x, mut index) = (e.edge(&self.input_params)?, e.as_type(&self.input_indices, DType::I64)?);
        if self.offset != 0 {
            let offset = e.number(DType::I64, self.offset as f64)?;
            index = e.op("Sub", &[index, offset]);
        }
        Ok(Some(vec![e.op_with("Gather", &[x, index], vec![("axis", 0.into())])]))
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
        let (axis, picks) = (self.axis()?, self.index.i64s()?);
        check_range(&picks, self.x.shape()[axis])?;
        let y = rearrange(self.x.tensor()?, self.index.shape(), |at| {
            let mut from = Shape::from_slice(at);
            from[axis] = position(picks[flat(self.index.shape(), at)], self.x.shape()[axis])?;
            Some(flat(self.x.shape(), &from))
        })?;
        Ok(vec![y])
    }

    fn lower(&self, b: &mut Lowering) -> Lowers {
        let axis = self.axis()?;
        let (x, dims) = (self.x.shape(), self.index.fact.shape.clone());
        if let Some(y) = nothing(b, &self.x, &Fact::new(self.x.dtype(), &dims))? {
            return Ok(Some(vec![y]));
        }
        let strides = dense_strides(x);
        let mut places = Vec::with_capacity(count(&dims));
        each_index(&dims, |at| {
            places.push((0..at.len()).filter(|&d| d != axis).map(|d| at[d] as i64 * strides[d] as i64).sum());
        })?;
        let places = b.constant(Tensor::from_vec::<i64>(&dims, places)?);
        let step = b.constant(Tensor::scalar(strides[axis] as i64));
        let len = b.constant(Tensor::scalar(x[axis] as i64));
        let offset = scaled_index(b, self.index.v, len, step, &dims);
        let index = b.binary(Binary::Add, offset, places)?;
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

/// `index · step` as `i64`, where indices from `−len` to `−1` count from the end; far below [`Pick::OUTSIDE`] where an index
/// is out of range.
fn scaled_index(b: &mut Lowering, index: V, len: V, step: V, dims: &[usize]) -> V {
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
    p.select(above, far, scaled);
    b.map(p, &[index, len, step], dims)
}

op! {
    /// Slices picked by coordinates: the last dimension of `indices` holds the first coordinates of a slice of `input_x`.
    ///
    /// Any type. Negative coordinates count from the end; one out of range is an error.
    GatherNd, aliases ["GatherNdExt"] { input_x ["input", "x"]: Operand, indices: Operand }
}

impl GatherNd {
    /// Number of coordinates.
    fn depth(&self) -> Result<usize, OpError> {
        let (x, index) = (&self.input_x, &self.indices);
        check_index(index)?;
        let depth = index.shape().last().copied();
        let depth =
            depth.ok_or_else(|| OpError::Invalid("expected indices of rank 1 or more, found a scalar".into()))?;
        ensure!(depth > 0 && depth <= x.rank(), "expected 1 to {} coordinates, found {}", x.rank(), index.fact);
        Ok(depth)
    }
}

impl Rule for GatherNd {
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        let depth = self.depth()?;
        let (x, index) = (self.input_x.shape(), self.indices.shape());
        let shape: Shape = index[..index.len() - 1].iter().chain(&x[depth..]).copied().collect();
        Ok(vec![result(self.input_x.dtype(), &shape)?])
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        let (depth, dims, picks) = (self.depth()?, &self.infer()?[0].shape, self.indices.i64s()?);
        let x = self.input_x.shape();
        for (d, &len) in x.iter().take(depth).enumerate() {
            let column: Vec<i64> = picks.iter().skip(d).step_by(depth).copied().collect();
            check_range(&column, len)?;
        }
        let lead = self.indices.rank() - 1;
        let y = rearrange(self.input_x.tensor()?, dims, |at| {
            let row = flat(&self.indices.shape()[..lead], &at[..lead]) * depth;
            let coordinate = |d: usize| position(picks[row + d], x[d]);
            let from: Option<Shape> = (0..depth).map(coordinate).chain(at[lead..].iter().map(|&i| Some(i))).collect();
            Some(flat(x, &from?))
        })?;
        Ok(vec![y])
    }

    fn lower(&self, b: &mut Lowering) -> Lowers {
        let (depth, fact) = (self.depth()?, self.infer()?.remove(0));
        if let Some(y) = nothing(b, &self.input_x, &fact)? {
            return Ok(Some(vec![y]));
        }
        let (lead, rest) = self.input_x.shape().split_at(depth);
        let lens: Vec<i64> = lead.iter().map(|&d| d as i64).collect();
        let steps: Vec<i64> = dense_strides(lead).iter().map(|&s| s as i64).collect();
        let (len, step) = (b.constant(Tensor::vector(&lens)), b.constant(Tensor::vector(&steps)));
        let dims = shape(self.indices.shape());
        let parts = scaled_index(b, self.indices.v, len, step, &dims);
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

impl Planned for IndexSelect {
    fn plan(&self) -> Result<impl Plan, OpError> {
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
