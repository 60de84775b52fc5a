//! What element-wise operators share: broadcasting, types of computation, references and programs.

use super::complex::{Complex64, complex_tensor, complexes};
use super::indices::{item, item_mut};
use crate::bounds::{self, Pulse};
use crate::op::Operand;
use crate::task::{Instr, Lowering, Program, Reg, Scalar, V};
use crate::{
    DType, Fact, OpError, Shape, Strides, Tensor, broadcast, broadcast_strides, checked_count, dense_strides, ensure,
};

/// An operand and the element type that it is converted to before anything is computed.
pub(in crate::ops) type In<'a> = (&'a Operand, DType);

/// The shape that all operands broadcast to.
pub(in crate::ops) fn common_shape(xs: &[&Operand]) -> Result<Shape, OpError> {
    let mut dims = Shape::new();
    for x in xs {
        dims = broadcast(&dims, x.shape())
            .ok_or_else(|| OpError::Invalid(format!("shape {:?} does not broadcast with {dims:?}", x.shape())))?;
    }
    Ok(dims)
}

/// Number of elements of a shape.
pub(in crate::ops) fn size(dims: &[usize]) -> Result<usize, OpError> {
    checked_count(dims).ok_or_else(|| OpError::Invalid(format!("shape {dims:?} has too many elements")))
}

/// Refuses more than one element and none, as far as lengths are known.
pub(in crate::ops) fn single(x: &Operand) -> Result<(), OpError> {
    ensure!(x.dims().iter().flatten().all(|&d| d == 1), "expected a single number, found {}", x.fact);
    Ok(())
}

/// Whether both have one shape, as far as lengths are known.
pub(in crate::ops) fn alike(a: &Operand, b: &Operand) -> bool {
    let agree = |(a, b): (Option<usize>, Option<usize>)| a.is_none() || b.is_none() || a == b;
    a.rank() == b.rank() && a.dims().into_iter().zip(b.dims()).all(agree)
}

/// Refuses complex numbers.
pub(in crate::ops) fn real(x: &Operand) -> Result<DType, OpError> {
    if x.dtype().is_complex() {
        return Err(OpError::Unsupported(format!("expected a real type, found {}", x.dtype())));
    }
    Ok(x.dtype())
}

/// The type of a function that only floats and complex numbers are closed under: `f32` for integers and `bool`.
pub(in crate::ops) fn float_of(dtype: DType) -> DType {
    if dtype.is_float() || dtype.is_complex() { dtype } else { DType::F32 }
}

/// The type in which several float operations in a row are computed: `f32` for 16-bit floats.
pub(in crate::ops) fn wide(dtype: DType) -> DType {
    if matches!(dtype, DType::F16 | DType::BF16) { DType::F32 } else { dtype }
}

/// The type in which `dtype` does arithmetic: `i32` for `bool`.
pub(in crate::ops) fn number_of(dtype: DType) -> DType {
    if dtype == DType::Bool { DType::I32 } else { dtype }
}

/// Offset of every element of a strided block, row-major.
pub(in crate::ops) fn offsets(dims: &[usize], strides: &[isize]) -> Vec<usize> {
    let mut out = vec![0usize];
    if dims.contains(&0) {
        return Vec::new();
    }
    for (&d, &s) in dims.iter().zip(strides) {
        out = out.iter().flat_map(|&o| (0..d).map(move |i| o.wrapping_add_signed(i as isize * s))).collect();
    }
    out
}

/// `values`, of shape `from`, repeated to shape `to`.
pub(in crate::ops) fn spread<T: Copy>(values: &[T], from: &[usize], to: &[usize]) -> Result<Vec<T>, OpError> {
    let spread = broadcast_index(from, to)?.into_iter().map(|i| values.get(i).copied()).collect::<Option<_>>();
    spread.ok_or_else(|| OpError::Invalid(format!("expected elements of shape {from:?}, found {}", values.len())))
}

/// For every element of `to`, the index of the element of `from` that broadcasting repeats there.
pub(in crate::ops) fn broadcast_index(from: &[usize], to: &[usize]) -> Result<Vec<usize>, OpError> {
    let strides: Strides = broadcast_strides(from, to)
        .ok_or_else(|| OpError::Invalid(format!("shape {from:?} does not broadcast to {to:?}")))?;
    Ok(offsets(to, &strides))
}

/// The elements as numbers of `dtype`.
pub(in crate::ops) fn scalars(t: &Tensor, dtype: DType) -> Result<Vec<Scalar>, OpError> {
    let t = t.cast(dtype)?;
    Ok(if dtype.is_float() {
        t.to_f64s()?.into_iter().map(Scalar::Float).collect()
    } else {
        t.to_i64s()?.into_iter().map(Scalar::Int).collect()
    })
}

/// A tensor of these numbers, each converted to `dtype`.
pub(in crate::ops) fn tensor_of(dtype: DType, dims: &[usize], data: &[Scalar]) -> Result<Tensor, OpError> {
    Ok(if dtype.is_float() {
        Tensor::from_f64s(dtype, dims, &data.iter().map(|s| s.as_f64()).collect::<Vec<_>>())?
    } else {
        Tensor::from_i64s(dtype, dims, &data.iter().map(|s| s.round_to(dtype).as_i64()).collect::<Vec<_>>())?
    })
}

/// Reference: `f` of the operands' elements at every position of their common shape.
pub(in crate::ops) fn evaluate<const N: usize>(
    xs: &[In; N],
    out: DType,
    f: impl Fn([Scalar; N]) -> Scalar,
) -> Result<Vec<Tensor>, OpError> {
    evaluate_into([Scalar::Int(0); N], xs, out, |args| f(*args))
}

/// [`evaluate`] of any number of operands, which `args` is as long as.
pub(in crate::ops) fn evaluate_into<A: AsMut<[Scalar]>>(
    mut args: A,
    xs: &[In],
    out: DType,
    f: impl Fn(&A) -> Scalar,
) -> Result<Vec<Tensor>, OpError> {
    let dims = common_shape(&xs.iter().map(|x| x.0).collect::<Vec<_>>())?;
    let n = size(&dims)?;
    let mut data = Vec::with_capacity(xs.len());
    for (x, dtype) in xs {
        data.push(spread(&scalars(x.tensor()?, *dtype)?, x.shape(), &dims)?.into_iter());
    }
    let (mut y, mut pulse) = (Vec::with_capacity(n), Pulse::default());
    for _ in 0..n {
        pulse.beat()?;
        for (arg, x) in args.as_mut().iter_mut().zip(data.iter_mut().filter_map(Iterator::next)) {
            *arg = x;
        }
        y.push(f(&args));
    }
    Ok(vec![tensor_of(out, &dims, &y)?])
}

/// [`evaluate`] for functions of complex numbers; of the results, a real type takes the real parts.
pub(in crate::ops) fn evaluate_complex<const N: usize>(
    xs: [&Operand; N],
    out: DType,
    f: impl Fn([Complex64; N]) -> Complex64,
) -> Result<Vec<Tensor>, OpError> {
    let dims = common_shape(&xs)?;
    let n = size(&dims)?;
    let mut data = Vec::with_capacity(N);
    for x in xs {
        data.push(spread(&complexes(x.tensor()?)?, x.shape(), &dims)?.into_iter());
    }
    let (mut y, mut pulse) = (Vec::with_capacity(n), Pulse::default());
    for _ in 0..n {
        pulse.beat()?;
        let mut args = [Complex64::default(); N];
        for (arg, x) in args.iter_mut().zip(data.iter_mut().filter_map(Iterator::next)) {
            *arg = x;
        }
        y.push(f(args));
    }
    Ok(vec![complex_tensor(out, &dims, &y)?])
}

/// A function of floats as one of numbers.
pub(in crate::ops) fn floats<const N: usize>(f: impl Fn([f64; N]) -> f64) -> impl Fn([Scalar; N]) -> Scalar {
    move |args| Scalar::Float(f(args.map(Scalar::as_f64)))
}

/// [`evaluate`] for functions of floats.
pub(in crate::ops) fn evaluate_f64<const N: usize>(
    xs: &[In; N],
    out: DType,
    f: impl Fn([f64; N]) -> f64,
) -> Result<Vec<Tensor>, OpError> {
    evaluate(xs, out, floats(f))
}

/// [`evaluate_f64`] of any number of operands.
pub(in crate::ops) fn evaluate_all_f64(
    xs: &[In],
    out: DType,
    f: impl Fn(&[f64]) -> f64,
) -> Result<Vec<Tensor>, OpError> {
    let floats = |args: &Vec<Scalar>| args.iter().map(|a| a.as_f64()).collect::<Vec<_>>();
    evaluate_into(vec![Scalar::Int(0); xs.len()], xs, out, |args| Scalar::Float(f(&floats(args))))
}

/// Lowering: the program that `f` writes, given the registers of the operands. Known single elements become constants of
/// the program.
pub(in crate::ops) fn emit<const N: usize>(
    b: &mut Lowering,
    xs: &[In; N],
    out: DType,
    f: impl FnOnce(&mut Program, [Reg; N]) -> Reg,
) -> Result<V, OpError> {
    emit_into([0; N], b, xs, out, |p, regs| f(p, *regs))
}

/// [`emit`] of any number of operands.
pub(in crate::ops) fn emit_all(
    b: &mut Lowering,
    xs: &[In],
    out: DType,
    f: impl FnOnce(&mut Program, &[Reg]) -> Reg,
) -> Result<V, OpError> {
    emit_into(vec![0; xs.len()], b, xs, out, |p, regs| f(p, regs))
}

/// [`emit`] with as many `regs` as operands.
fn emit_into<R: AsMut<[Reg]>>(
    mut regs: R,
    b: &mut Lowering,
    xs: &[In],
    out: DType,
    f: impl FnOnce(&mut Program, &R) -> Reg,
) -> Result<V, OpError> {
    let constant = |x: &Operand| x.known.is_some() && x.count() == 1;
    let all = xs.iter().all(|x| constant(x.0));
    let mut p = Program::new();
    let mut ins = Vec::new();
    for (reg, (x, dtype)) in regs.as_mut().iter_mut().zip(xs) {
        *reg = match &x.known {
            Some(t) if !all && constant(x) => number(&mut p, *item(&scalars(t, *dtype)?, 0)?, *dtype),
            _ => {
                let r = p.input(ins.len(), x.dtype());
                ins.push(x.v);
                p.cast(r, *dtype)
            }
        };
    }
    let r = f(&mut p, &regs);
    let r = p.cast(r, out);
    if r + 1 != p.instrs.len() {
        p.push(Instr::Cast(r), out);
    }
    b.elementwise(p, &ins, &xs.iter().map(|x| x.0.v).collect::<Vec<_>>())
}

/// Appends a constant number.
pub(in crate::ops) fn number(p: &mut Program, x: Scalar, dtype: DType) -> Reg {
    match x {
        Scalar::Float(x) => p.constant(x, dtype),
        Scalar::Int(x) => p.push(Instr::Int(x), dtype),
    }
}

/// The fact of an element-wise result.
pub(in crate::ops) fn fact(xs: &[&Operand], dtype: DType) -> Result<Vec<Fact>, OpError> {
    for x in xs {
        real(x)?;
    }
    complex_fact(xs, dtype)
}

/// [`fact`] of numbers that may be complex.
pub(in crate::ops) fn complex_fact(xs: &[&Operand], dtype: DType) -> Result<Vec<Fact>, OpError> {
    let dims = common_shape(xs)?;
    size(&dims)?;
    Ok(vec![Fact { dtype, shape: dims }])
}

/// A tensor split into the dimensions of `axes` (sorted, distinct) and the rest: for every position of the rest, row-major,
/// the offsets of its elements along the axes.
pub(in crate::ops) struct Groups {
    /// Offset of the first element of every group.
    pub starts: Vec<usize>,
    /// Offsets of a group's elements from its first.
    pub steps: Vec<usize>,
}

impl Groups {
    /// The groups of a tensor of shape `dims` along `axes`.
    pub fn new(dims: &[usize], axes: &[usize]) -> Groups {
        let strides = dense_strides(dims);
        let pick = |inside: bool| {
            let all = dims.iter().copied().zip(strides.iter().copied()).enumerate();
            let (d, s): (Vec<_>, Vec<_>) = all.filter(|(d, _)| axes.contains(d) == inside).map(|(_, x)| x).unzip();
            offsets(&d, &s)
        };
        Groups { starts: pick(false), steps: pick(true) }
    }

    /// `f` of the elements of every group.
    ///
    /// # Errors
    /// [`OpError::Limit`] if the thread has to stop.
    pub fn map<T: Copy, R>(&self, data: &[T], mut f: impl FnMut(&[T]) -> R) -> Result<Vec<R>, OpError> {
        let mut group = Vec::with_capacity(self.steps.len());
        let one = |start: &usize| {
            bounds::check()?;
            group.clear();
            for step in &self.steps {
                group.push(*item(data, start + step)?);
            }
            Ok(f(&group))
        };
        self.starts.iter().map(one).collect()
    }

    /// Replaces every group by as many elements that `f` computes from it; `zero` is any element.
    ///
    /// # Errors
    /// As [`Groups::map`].
    pub fn replace<T: Copy, R: Copy>(
        &self,
        data: &[T],
        zero: R,
        f: impl FnMut(&[T]) -> Vec<R>,
    ) -> Result<Vec<R>, OpError> {
        let mut out = vec![zero; data.len()];
        let rows = self.map(data, f)?;
        for (start, row) in self.starts.iter().zip(rows) {
            for (step, value) in self.steps.iter().zip(row) {
                *item_mut(&mut out, start + step)? = value;
            }
        }
        Ok(out)
    }
}
