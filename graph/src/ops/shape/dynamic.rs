//! Operators whose results are as long as the data says.

use crate::onnx::{Emit, Forms, no_form};
use crate::op::{Case, Operand, Operator, Rule};
use crate::ops::kit::broadcasting::{Groups, common_shape, fact, real, scalars, spread, tensor_of};
use crate::ops::kit::host::{BY_DATA, ByData};
use crate::ops::kit::indices::{item, item_mut, only, replaced};
use crate::ops::kit::sample::{cycle, filled, flags, sample, wave};
use crate::ops::reduce::order::compare;
use crate::order::sort;
use crate::task::Scalar;
use crate::{DType, Fact, OpError, Shape, Tensor, count, dense_strides, ensure, op};

use std::cmp::Ordering;

use smallvec::SmallVec;

/// Positions of the elements other than 0.
fn hits(x: &Operand) -> Result<Vec<usize>, OpError> {
    let x = scalars(x.tensor()?, x.dtype())?;
    Ok(x.iter().enumerate().filter(|(_, x)| x.truth()).map(|(i, _)| i).collect())
}

op! {
    /// Indices of the elements other than 0, as an `i64` matrix of one row each, in order.
    NonZero { input: Operand }
}

impl NonZero {
    fn results(&self) -> Result<Vec<Tensor>, OpError> {
        let (hits, dims) = (hits(&self.input)?, self.input.shape());
        let strides = dense_strides(dims);
        let along = dims.iter().zip(&strides);
        let coordinates = |i: usize| along.clone().map(move |(len, step)| (i / *step as usize % len) as i64);
        let y: Vec<i64> = hits.iter().copied().flat_map(coordinates).collect();
        Ok(vec![Tensor::from_i64s(DType::I64, &[hits.len(), dims.len()], &y)?])
    }
}

impl Operator for NonZero {
    fn rule(&self) -> Result<impl Rule, OpError> {
        Ok(ByData { operands: vec![&self.input], results: || self.results() })
    }

    fn cases() -> Vec<Case> {
        vec![
            sample().arg(flags(&[3, 4])).exact("bool"),
            sample().arg(cycle(DType::F32, &[7], &[0.0, 1.0, -0.0, f64::NAN])).exact("f32"),
            sample().arg(cycle(DType::I32, &[2, 2], &[0.0])).exact("none"),
        ]
    }
}

op! {
    /// Indices of the elements other than 0, as one `i64` vector for each dimension.
    NonZeroExt { input: Operand }
}

impl NonZeroExt {
    fn results(&self) -> Result<Vec<Tensor>, OpError> {
        let (hits, dims) = (hits(&self.input)?, self.input.shape());
        let strides = dense_strides(dims);
        let column = |(len, step): (&usize, &isize)| {
            let y: Vec<i64> = hits.iter().map(|i| (i / *step as usize % len) as i64).collect();
            Ok(Tensor::from_i64s(DType::I64, &[y.len()], &y)?)
        };
        dims.iter().zip(&strides).map(column).collect()
    }
}

impl Operator for NonZeroExt {
    fn rule(&self) -> Result<impl Rule, OpError> {
        ensure!(self.input.rank() > 0, "expected at least one dimension, found {}", self.input.fact);
        Ok(ByData { operands: vec![&self.input], results: || self.results() })
    }

    fn cases() -> Vec<Case> {
        vec![sample().arg(flags(&[3, 4])).exact("bool")]
    }
}

op! {
    /// The elements of `input` where `mask` is true, as a vector; both broadcast.
    MaskedSelect { input: Operand, mask: Operand }
}

impl MaskedSelect {
    fn results(&self) -> Result<Vec<Tensor>, OpError> {
        let dims = common_shape(&[&self.input, &self.mask])?;
        let d = self.input.dtype();
        let (x, mask) = (scalars(self.input.tensor()?, d)?, scalars(self.mask.tensor()?, DType::Bool)?);
        let x = spread(&x, self.input.shape(), &dims)?.into_iter();
        let masked = x.zip(spread(&mask, self.mask.shape(), &dims)?).filter(|(_, mask)| mask.truth());
        let y: Vec<Scalar> = masked.map(|(x, _)| x).collect();
        Ok(vec![tensor_of(d, &[y.len()], &y)?])
    }
}

impl Operator for MaskedSelect {
    fn rule(&self) -> Result<impl Rule, OpError> {
        fact(&[&self.input, &self.mask], self.input.dtype())?;
        Ok(ByData { operands: vec![&self.input, &self.mask], results: || self.results() })
    }

    fn onnx(&self, _: &mut Emit) -> Forms {
        no_form(BY_DATA)
    }

    fn cases() -> Vec<Case> {
        vec![
            sample().arg(wave(DType::F32, &[3, 5])).arg(flags(&[3, 5])).exact("f32"),
            sample().arg(wave(DType::I64, &[3, 5])).arg(flags(&[5])).exact("broadcast"),
        ]
    }
}

op! {
    /// The distinct elements of `x` in the order of their first occurrence, each NaN by itself, and for every element the position of
    /// its equal among them: `i64` for `i64` elements, else `i32`.
    object Unique { x: Operand }
}

/// The distinct elements in the order of their first occurrence, and for every element the number of its equal among them.
fn distinct(x: &[Scalar], d: DType) -> Result<(Vec<Scalar>, Vec<i64>), OpError> {
    let mut order: Vec<(usize, Scalar)> = x.iter().copied().enumerate().collect();
    sort(&mut order, |a, b| compare(a.1, b.1, d))?;
    // The first occurrence of every element, then those in order.
    let mut first = vec![0; x.len()];
    for equals in order.chunk_by(|a, b| equal(a.1, b.1, d)) {
        let (place, _) = item(equals, 0)?;
        for (i, _) in equals {
            *item_mut(&mut first, *i)? = *place;
        }
    }
    let firsts = x.iter().copied().enumerate().zip(&first).filter(|((i, _), first)| i == *first);
    let (kept, y): (Vec<usize>, Vec<Scalar>) = firsts.map(|(x, _)| x).unzip();
    let index = first.iter().map(|f| kept.partition_point(|k| k < f) as i64).collect();
    Ok((y, index))
}

/// Whether two elements are one; NaN is no other.
fn equal(a: Scalar, b: Scalar, d: DType) -> bool {
    compare(a, b, d) == Ordering::Equal && !a.as_f64().is_nan()
}

/// The type of positions among distinct elements of type `d`.
fn position_type(d: DType) -> DType {
    if d == DType::I64 { DType::I64 } else { DType::I32 }
}

impl Unique {
    fn results(&self) -> Result<Vec<Tensor>, OpError> {
        let d = self.x.dtype();
        let x = scalars(self.x.tensor()?, d)?;
        let (y, index) = distinct(&x, d)?;
        Ok(vec![tensor_of(d, &[y.len()], &y)?, Tensor::from_i64s(position_type(d), self.x.shape(), &index)?])
    }
}

impl Operator for Unique {
    fn rule(&self) -> Result<impl Rule, OpError> {
        Ok(ByData { operands: vec![&self.x], results: || self.results() })
    }

    fn cases() -> Vec<Case> {
        vec![
            sample().arg(cycle(DType::I32, &[5], &[3.0, 1.0, 3.0, 2.0, 1.0])).exact("i32"),
            sample().arg(cycle(DType::I64, &[4], &[3.0, 1.0])).exact("i64"),
            sample().arg(cycle(DType::F32, &[6], &[0.5, -1.0, 0.5, 7.0])).exact("f32"),
            sample().arg(cycle(DType::F32, &[5], &[1.0, f64::NAN, 2.0, f64::NAN])).exact("edge values"),
            sample().arg(wave(DType::F32, &[0])).exact("empty"),
        ]
    }
}

op! {
    /// As [`Unique`] of a vector, but as long as `x`: the rest is `pad_num`.
    object UniqueWithPad { x: Operand, pad_num: Operand }
}

impl Rule for UniqueWithPad {
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        ensure!(self.x.rank() == 1, "expected a vector, found {}", self.x.fact);
        ensure!(self.pad_num.count() == 1, "expected one number, found {}", self.pad_num.fact);
        fact(&[&self.pad_num], self.x.dtype())?;
        Ok(vec![Fact::new(real(&self.x)?, self.x.shape()), Fact::new(position_type(self.x.dtype()), self.x.shape())])
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        self.infer()?;
        let d = self.x.dtype();
        let (x, pad) = (scalars(self.x.tensor()?, d)?, only(scalars(self.pad_num.tensor()?, d)?)?);
        let (mut y, index) = distinct(&x, d)?;
        y.resize(x.len(), pad);
        Ok(vec![tensor_of(d, self.x.shape(), &y)?, Tensor::from_i64s(position_type(d), self.x.shape(), &index)?])
    }

    fn onnx(&self, _: &mut Emit) -> Forms {
        no_form("the number of distinct elements depends on data")
    }

    fn cases() -> Vec<Case> {
        let pad = || filled(DType::I32, &[], |_| 9.0);
        vec![sample().arg(cycle(DType::I32, &[5], &[3.0, 1.0, 3.0, 2.0, 1.0])).arg(pad()).exact("i32")]
    }
}

op! {
    /// `x` without the elements, or along `axis` the slices, that equal the one before; for every element of `x` the position of
    /// its equal in the result; and how often each is repeated. Positions and counts are `i64`, and 0 unless `return_idx` and
    /// `return_counts` ask for them. Without `axis`, `x` is a vector.
    UniqueConsecutive {
        x: Operand,
        return_idx ["return_inverse"]: bool = false,
        return_counts: bool = false,
        axis ["dim"]: Option<i64> = None,
    }
}

impl UniqueConsecutive {
    fn results(&self) -> Result<Vec<Tensor>, OpError> {
        let (d, dims) = (self.x.dtype(), self.x.shape());
        let x = scalars(self.x.tensor()?, d)?;
        let axis = self.axis.map(|axis| self.x.axis(axis)).transpose()?;
        let others: Vec<usize> = axis.map_or_else(Vec::new, |axis| (0..dims.len()).filter(|d| *d != axis).collect());
        let slices = Groups::new(dims, &others).map(&x, SmallVec::<[Scalar; 1]>::from_slice)?;
        let same = |a: &[Scalar], b: &[Scalar]| a.iter().zip(b).all(|(a, b)| equal(*a, *b, d));
        let (mut kept, mut index, mut counts) = (Vec::new(), Vec::new(), Vec::new());
        for equals in slices.chunk_by(|a, b| same(a, b)) {
            index.extend(std::iter::repeat_n(kept.len() as i64, equals.len()));
            kept.extend(equals.first());
            counts.push(equals.len() as i64);
        }
        let shape = axis.map_or_else(|| Shape::from_elem(kept.len(), 1), |axis| replaced(dims, axis, kept.len()));
        let places = Groups::new(&shape, &others);
        let mut y = vec![Scalar::Int(0); count(&shape)];
        for (start, slice) in places.starts.iter().zip(&kept) {
            for (step, x) in places.steps.iter().zip(*slice) {
                *item_mut(&mut y, start + step)? = *x;
            }
        }
        let indices = if axis.is_some() { vec![index.len()] } else { dims.to_vec() };
        let told = |asked: bool, list: &[i64], dims: &[usize]| match asked {
            true => Tensor::from_i64s(DType::I64, dims, list),
            false => Ok(Tensor::scalar(0i64)),
        };
        let index = told(self.return_idx, &index, &indices)?;
        let counts = told(self.return_counts, &counts, &[kept.len()])?;
        Ok(vec![tensor_of(d, &shape, &y)?, index, counts])
    }
}

impl Operator for UniqueConsecutive {
    fn rule(&self) -> Result<impl Rule, OpError> {
        self.axis.map(|axis| self.x.axis(axis)).transpose()?;
        Ok(ByData { operands: vec![&self.x], results: || self.results() })
    }

    fn cases() -> Vec<Case> {
        let x = || cycle(DType::I32, &[2, 4], &[1.0, 1.0, 2.0, 2.0, 2.0, 1.0]);
        vec![
            sample().arg(x()).flag(true).flag(true).exact("elements"),
            sample().arg(x()).exact("alone"),
            sample()
                .arg(cycle(DType::F32, &[4, 2], &[1.0, 2.0, 1.0, 2.0, 0.5, 2.0]))
                .flag(true)
                .flag(true)
                .int(0)
                .exact("slices"),
            sample().arg(wave(DType::F32, &[0])).flag(true).flag(true).exact("empty"),
        ]
    }
}

op! {
    /// How often each number from 0 to `size` − 1 occurs in `array`, as the sum of its `weights`, in their type. Numbers beyond
    /// `size` are left out.
    object Bincount { array: Operand, size: i64, weights: Operand }
}

impl Rule for Bincount {
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        ensure!(self.array.dtype().is_int(), "expected integers, found {}", self.array.fact);
        let fits = self.weights.count() == self.array.count() || self.weights.count() == 0;
        ensure!(fits, "expected a weight for each of {}, found {}", self.array.fact, self.weights.fact);
        let n = usize::try_from(self.size).ok().filter(|n| *n <= 1 << 28);
        let n = n.ok_or_else(|| OpError::Invalid(format!("expected a size of at least 0, found {}", self.size)))?;
        Ok(vec![Fact::new(real(&self.weights)?, &[n])])
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        let fact = only(self.infer()?)?;
        let weights = self.weights.f64s()?;
        let mut y = vec![0.0; fact.count()];
        for (k, i) in self.array.i64s()?.into_iter().enumerate() {
            ensure!(i >= 0, "expected numbers of at least 0, found {i}");
            if let Some(y) = y.get_mut(i as usize) {
                *y += weights.get(k).copied().unwrap_or(1.0);
            }
        }
        Ok(vec![Tensor::from_f64s(fact.dtype, &fact.shape, &y)?])
    }

    fn onnx(&self, _: &mut Emit) -> Forms {
        no_form("ONNX does not count values")
    }

    fn cases() -> Vec<Case> {
        let array = || cycle(DType::I32, &[4], &[1.0, 1.0, 2.0, 5.0]);
        vec![
            sample().arg(array()).int(4).arg(filled(DType::F32, &[4], |i| i as f64 + 1.0)).exact("weights"),
            sample().arg(array()).int(7).arg(wave(DType::I32, &[0])).exact("counts"),
        ]
    }
}

op! {
    /// How often each number from 0 to the largest in `input`, or to `minlength` − 1 if that is more, occurs: as `i64`, or the
    /// sum of its `weights` in their float type (`f64` for integers).
    BincountExt { input: Operand, weights: Option<Operand> = None, minlength: i64 = 0 }
}

impl BincountExt {
    fn results(&self) -> Result<Vec<Tensor>, OpError> {
        let x = self.input.i64s()?;
        let longest = x.iter().max().map_or(0, |m| m.saturating_add(1)).max(self.minlength);
        ensure!(x.iter().all(|i| *i >= 0), "expected numbers of at least 0");
        ensure!((0..=1 << 28).contains(&longest), "{longest} counts are too many");
        let weights = self.weights.as_ref().map(Operand::f64s).transpose()?;
        let mut y = vec![0.0; longest as usize];
        for (k, i) in x.into_iter().enumerate() {
            let weight = weights.as_ref().map_or(Some(1.0), |w| w.get(k).copied());
            *item_mut(&mut y, i as usize)? += weight.unwrap_or(0.0);
        }
        let out =
            self.weights.as_ref().map_or(DType::I64, |w| if w.dtype().is_float() { w.dtype() } else { DType::F64 });
        Ok(vec![Tensor::from_f64s(out, &[y.len()], &y)?])
    }
}

impl Operator for BincountExt {
    fn rule(&self) -> Result<impl Rule, OpError> {
        ensure!(self.input.dtype().is_int(), "expected integers, found {}", self.input.fact);
        let fits = self.weights.as_ref().is_none_or(|w| w.count() == self.input.count());
        ensure!(fits, "expected a weight for each of {}", self.input.fact);
        Ok(ByData { operands: std::iter::once(&self.input).chain(&self.weights).collect(), results: || self.results() })
    }

    fn onnx(&self, _: &mut Emit) -> Forms {
        no_form(BY_DATA)
    }

    fn cases() -> Vec<Case> {
        let x = || cycle(DType::I64, &[4], &[1.0, 1.0, 2.0, 5.0]);
        vec![
            sample().arg(x()).exact("counts"),
            sample().arg(x()).arg(filled(DType::F32, &[4], |i| i as f64 + 0.5)).exact("weights"),
            sample().arg(x()).none().int(9).exact("longer"),
        ]
    }
}
