//! Diagonals written: by one number, and as gradients of their sums.

use crate::op::{Case, Ints, Operand, Operator, Rule};
use crate::ops::kit::broadcasting::number_of;
use crate::ops::kit::composite::composite;
use crate::ops::kit::formula::Num;
use crate::ops::kit::indices::{each_index, result, sizes};
use crate::ops::kit::sample::sample;
use crate::{DType, OpError, Tensor, ensure, normalize_axis, op};

/// Ones of `dims` where `on` says so, else zeros.
fn mask(dims: &[usize], on: impl Fn(&[usize]) -> bool) -> Result<Tensor, OpError> {
    let mut marks = Vec::new();
    each_index(dims, |index| marks.push(u8::from(on(index))))?;
    Ok(Tensor::from_bytes(DType::Bool, dims, marks.into())?)
}

/// Where the diagonal of the dimensions `rows` and `cols` of a tensor of `dims` is, which have dimensions of 1 beside them.
fn diagonal(dims: &[usize], [rows, cols]: [usize; 2], offset: i64) -> Result<Tensor, OpError> {
    let own = |(d, &len): (usize, &usize)| if d == rows || d == cols { len } else { 1 };
    let own: Vec<usize> = dims.iter().enumerate().map(own).collect();
    let place = |index: &[usize], d: usize| index.get(d).map_or(0, |&i| i as i64);
    mask(&own, |index| place(index, cols) - place(index, rows) == offset)
}

/// `x` where `mask` is not 0, else 0.
fn masked<'p>([mask, x]: [Num<'p>; 2]) -> Num<'p> {
    x.only_if(mask.gt(0.0))
}

/// Zeros of `dims` but for a diagonal, which holds `g`, an element for each position of the other dimensions.
fn placed<'a>(g: &'a Operand, dims: Vec<usize>, axes: [usize; 2], offset: i64) -> Result<impl Rule + 'a, OpError> {
    let others = dims.iter().enumerate().filter(|(d, _)| !axes.contains(d)).map(|(_, &len)| len);
    let fits = g.shape().iter().copied().eq(others) && !g.dtype().is_complex();
    ensure!(fits, "expected a number for each diagonal of {dims:?}, found {}", g.fact);
    let beside: Vec<usize> = dims.iter().enumerate().map(|(d, &len)| if axes.contains(&d) { 1 } else { len }).collect();
    let d = number_of(g.dtype());
    Ok(composite(vec![result(g.dtype(), &dims)?], move |at| {
        let mask = at.constant(g, diagonal(&dims, axes, offset)?);
        let (mask, g) = (at.wide(&mask, d)?, at.wide(g, d)?);
        let g = at.reshape(&g, &beside)?;
        Ok(vec![at.formula([&mask, &g], masked)?])
    }))
}

op! {
    /// The gradient of the trace of a matrix with dimensions `x_shape`: `y_grad` on its diagonal, else 0. Numbers.
    object TraceGrad { y_grad: Operand, x_shape: Ints }
}

impl Operator for TraceGrad {
    fn rule(&self) -> Result<impl Rule, OpError> {
        let dims = sizes(&self.x_shape, "x_shape")?;
        ensure!(dims.len() == 2, "expected the dimensions of a matrix, found {dims:?}");
        placed(&self.y_grad, dims, [0, 1], 0)
    }

    fn cases() -> Vec<Case> {
        vec![
            sample().tensor(DType::F32, &[]).index(DType::I64, &[2], &[2, 3]).exact("f32"),
            sample().tensor(DType::I32, &[]).index(DType::I64, &[2], &[3, 3]).exact("i32"),
        ]
    }
}

op! {
    /// The gradient of the sums of diagonals `offset` beside the main one of the dimensions `axis1` and `axis2` of a tensor with
    /// dimensions `shape`: an element of `dout` for each position of the other dimensions. Numbers.
    TraceV2Grad { dout: Operand, shape: Ints, offset: i64, axis1: i64, axis2: i64 }
}

impl Operator for TraceV2Grad {
    fn rule(&self) -> Result<impl Rule, OpError> {
        let dims = sizes(&self.shape, "shape")?;
        let axis = |axis| {
            let found = normalize_axis(axis, dims.len());
            found.ok_or_else(|| OpError::Invalid(format!("axis {axis} is out of range for {dims:?}")))
        };
        let axes @ [rows, cols] = [axis(self.axis1)?, axis(self.axis2)?];
        ensure!(rows != cols, "expected two dimensions, found {axes:?}");
        placed(&self.dout, dims, axes, self.offset)
    }

    fn cases() -> Vec<Case> {
        let case = |g: &[usize], offset, a, b| {
            sample().tensor(DType::F32, g).index(DType::I64, &[3], &[2, 3, 4]).int(offset).int(a).int(b)
        };
        vec![
            case(&[2], 0, 1, 2).exact("last"),
            case(&[4], 1, 1, 0).exact("above, turned"),
            case(&[4], -1, 0, 1).exact("below"),
        ]
    }
}

op! {
    /// `input_x` with `fill_value` on its diagonal, where all coordinates are equal; a matrix that is higher than wide starts another
    /// one below each if `wrap`. Of more than two dimensions, all have one length. Numbers; integers truncate the value.
    classic FillDiagonal { input_x: Operand, fill_value: f64, wrap: bool = false }
}

impl Operator for FillDiagonal {
    fn rule(&self) -> Result<impl Rule, OpError> {
        let (x, d) = (&self.input_x, number_of(self.input_x.dtype()));
        let dims = x.shape();
        let cube = dims.iter().zip(dims.iter().skip(1)).all(|(a, b)| a == b);
        ensure!(
            dims.len() == 2 || dims.len() > 2 && cube,
            "expected a matrix or dimensions of one length, found {}",
            x.fact
        );
        ensure!(!d.is_complex(), "expected numbers, found {}", x.fact);
        let value = if d.is_float() { self.fill_value } else { self.fill_value.trunc() };
        Ok(composite(vec![x.fact.clone()], move |at| {
            let wraps = self.wrap && dims.len() == 2;
            let mask = mask(dims, |index| match index {
                [i, j] if wraps => i % (dims.last().map_or(0, |cols| cols + 1)) == *j,
                _ => index.iter().all(|i| Some(i) == index.first()),
            })?;
            let mask = at.constant(x, mask);
            let (mask, x) = (at.wide(&mask, d)?, at.wide(x, d)?);
            Ok(vec![at.formula([&x, &mask], |[x, mask]| mask.le(0.0).choose(x, value))?])
        }))
    }

    fn cases() -> Vec<Case> {
        let on = |d: DType, dims: &[usize]| sample().tensor(d, dims).real(2.5);
        vec![
            on(DType::F32, &[3, 4]).exact("wide"),
            on(DType::F32, &[7, 3]).flag(false).exact("high"),
            on(DType::F32, &[7, 3]).flag(true).exact("high, again"),
            on(DType::I32, &[2, 2, 2]).exact("cube"),
        ]
    }
}
