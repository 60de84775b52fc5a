//! What optimizers have in common: a formula gives new contents of variables.

use crate::bounds::Pulse;
use crate::onnx::{Emit, Forms, no_form};
use crate::op::{CaseArg, Late, Lowers, Operand, Rule};
use crate::ops::index::gather::strict_place;
use crate::ops::index::scatter_nd::ScatterNd;
use crate::ops::kit::broadcasting::{real, wide};
use crate::ops::kit::formula::{Formula, Num, Term, programs};
use crate::ops::kit::indices::{column, dim, item, item_mut, only};
use crate::ops::kit::sample::{Sample, filled, sample, wave};
use crate::ops::linear::product::{computed as known, reshaped};
use crate::ops::reduce::reduction::operand;
use crate::task::{Lowering, Program, Scalar};
use crate::{DType, Fact, OpError, Shape, Tensor, broadcast_strides, ensure};

/// What variables become, given the gradient and numbers.
pub(super) trait Update<const M: usize, const K: usize>:
    for<'p> Fn([Num<'p>; M], Num<'p>, [Num<'p>; K]) -> [Num<'p>; M]
{
}

impl<const M: usize, const K: usize, F> Update<M, K> for F where
    F: for<'p> Fn([Num<'p>; M], Num<'p>, [Num<'p>; K]) -> [Num<'p>; M]
{
}

/// A step over variables and a gradient of one shape, and single numbers.
pub(super) struct Step<'a, const M: usize, const K: usize, F> {
    variables: [&'a Operand; M],
    gradient: &'a Operand,
    numbers: [&'a Operand; K],
    update: F,
}

/// A step that gives `variables` the contents that `update` says.
pub(super) fn step<'a, const M: usize, const K: usize, F: Update<M, K>>(
    variables: [&'a Operand; M],
    gradient: &'a Operand,
    numbers: [&'a Operand; K],
    update: F,
) -> Step<'a, M, K, F> {
    Step { variables, gradient, numbers, update }
}

/// The type in which new contents of variables are computed.
fn compute_type(variables: &[&Operand]) -> DType {
    wide(variables.iter().map(|x| x.dtype()).reduce(DType::promote).unwrap_or(DType::F32))
}

fn same_shape(xs: &[&Operand], shape: &[usize]) -> Result<(), OpError> {
    for x in xs {
        ensure!(x.shape() == shape, "expected tensors of shape {shape:?}, found {}", x.fact);
        real(x)?;
    }
    Ok(())
}

fn single_numbers(numbers: &[&Operand], shape: &[usize]) -> Result<(), OpError> {
    for x in numbers {
        let fits = x.count() == 1 && broadcast_strides(x.shape(), shape).is_some();
        ensure!(fits, "expected a single number, found {}", x.fact);
        real(x)?;
    }
    Ok(())
}

/// The new contents of variables, given a gradient of a row for each of `indices`.
fn sparse_facts(
    variables: &[&Operand],
    [gradient, indices]: [&Operand; 2],
    numbers: &[&Operand],
) -> Result<Vec<Fact>, OpError> {
    let shape = shape_of(variables);
    same_shape(variables, shape)?;
    single_numbers(numbers, shape)?;
    ensure!(indices.dtype().is_int() && indices.rank() == 1, "expected a list of integers, found {}", indices.fact);
    let rows: Vec<usize> = indices.shape().iter().chain(shape.iter().skip(1)).copied().collect();
    let fits = !shape.is_empty() && gradient.shape() == rows;
    ensure!(fits, "expected a gradient of shape {rows:?}, found {}", gradient.fact);
    real(gradient)?;
    Ok(variables.iter().map(|x| Fact::clone(&x.fact)).collect())
}

fn shape_of<'a>(variables: &[&'a Operand]) -> &'a [usize] {
    variables.first().map_or(&[], |x| x.shape())
}

/// A program for each variable, over variables, gradient and numbers.
fn step_programs<const M: usize, const K: usize>(update: &impl Update<M, K>, dtype: DType) -> Vec<Program> {
    programs(dtype, |next| {
        let (variables, gradient) = (std::array::from_fn(|_| next()), next());
        update(variables, gradient, std::array::from_fn(|_| next()))
    })
}

impl<const M: usize, const K: usize, F: Update<M, K>> Step<'_, M, K, F> {
    fn formula(&self) -> Formula<'_> {
        let ins = self.variables.iter().chain([&self.gradient]).chain(&self.numbers).copied().collect();
        let outs = self.variables.iter().map(|x| x.dtype()).collect();
        Formula::new(ins, compute_type(&self.variables), outs, |d| step_programs(&self.update, d))
    }
}

impl<const M: usize, const K: usize, F: Update<M, K>> Rule for Step<'_, M, K, F> {
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        let shape = self.gradient.shape();
        same_shape(&self.variables, shape)?;
        real(self.gradient)?;
        single_numbers(&self.numbers, shape)?;
        Ok(self.variables.iter().map(|x| Fact::clone(&x.fact)).collect())
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        self.formula().reference()
    }

    fn lower(&self, b: &mut Lowering) -> Lowers {
        self.formula().lower(b)
    }
}

/// A step whose gradient is 0 but for the rows `indices`; several for one row are added up. The update is told whether a row
/// has a gradient.
pub(super) struct SparseStep<'a, const M: usize, const K: usize, F> {
    variables: [&'a Operand; M],
    gradient: &'a Operand,
    indices: &'a Operand,
    numbers: [&'a Operand; K],
    update: F,
}

/// As [`step`], with a gradient for some rows.
pub(super) fn sparse<'a, const M: usize, const K: usize, F: SparseUpdate<M, K>>(
    variables: [&'a Operand; M],
    [gradient, indices]: [&'a Operand; 2],
    numbers: [&'a Operand; K],
    update: F,
) -> SparseStep<'a, M, K, F> {
    SparseStep { variables, gradient, indices, numbers, update }
}

/// As [`sparse`]; rows without a gradient stay as they are.
pub(super) fn lazy<'a, const M: usize, const K: usize>(
    variables: [&'a Operand; M],
    gradient: [&'a Operand; 2],
    numbers: [&'a Operand; K],
    update: impl Update<M, K>,
) -> SparseStep<'a, M, K, impl SparseUpdate<M, K>> {
    sparse(variables, gradient, numbers, move |old, g, some, numbers| {
        let mut new = update(old, g, numbers);
        for (new, old) in new.iter_mut().zip(old) {
            *new = some.choose(*new, old);
        }
        new
    })
}

/// What variables become, given the gradient, whether there is one, and numbers.
pub(super) trait SparseUpdate<const M: usize, const K: usize>:
    for<'p> Fn([Num<'p>; M], Num<'p>, Num<'p>, [Num<'p>; K]) -> [Num<'p>; M]
{
}

impl<const M: usize, const K: usize, F> SparseUpdate<M, K> for F where
    F: for<'p> Fn([Num<'p>; M], Num<'p>, Num<'p>, [Num<'p>; K]) -> [Num<'p>; M]
{
}

impl<const M: usize, const K: usize, F: SparseUpdate<M, K>> SparseStep<'_, M, K, F> {
    fn shape(&self) -> &[usize] {
        shape_of(&self.variables)
    }

    /// Gradients, and how many there are for a row, which `rows` adds up, given the indices and ones.
    fn scattered(&self, indices: Operand, ones: Operand) -> Result<[ScatterNd; 2], OpError> {
        let dims = |dims: &[usize]| Late::Known(dims.iter().map(|&d| d as i64).collect());
        let (shape, rows) = (dims(self.shape()), dims(&[dim(self.shape(), 0)?]));
        Ok([
            ScatterNd { indices: indices.clone(), updates: self.gradient.clone(), shape },
            ScatterNd { indices, updates: ones, shape: rows },
        ])
    }

    fn ones(&self) -> Result<Tensor, OpError> {
        Ok(Tensor::from_f64s(DType::F32, self.indices.shape(), &vec![1.0; self.indices.count()])?)
    }

    /// The rows' counts beside rows of the variables.
    fn beside(&self) -> Result<Shape, OpError> {
        Ok(column(dim(self.shape(), 0)?, self.shape().len().saturating_sub(1)))
    }

    fn formula<'b>(&'b self, gradient: &'b Operand, counts: &'b Operand) -> Formula<'b> {
        let ins = self.variables.iter().chain([&gradient, &counts]).chain(&self.numbers).copied().collect();
        let outs = self.variables.iter().map(|x| x.dtype()).collect();
        Formula::new(ins, compute_type(&self.variables), outs, |d| {
            programs(d, |next| {
                let (variables, gradient, count) = (std::array::from_fn(|_| next()), next(), next());
                (self.update)(variables, gradient, count.gt(0.0), std::array::from_fn(|_| next()))
            })
        })
    }
}

impl<const M: usize, const K: usize, F: SparseUpdate<M, K>> Rule for SparseStep<'_, M, K, F> {
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        sparse_facts(&self.variables, [self.gradient, self.indices], &self.numbers)
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        let known = |t: Tensor| known(self.indices, t);
        let indices = reshaped(self.indices, self.indices.v, &[self.indices.count(), 1])?;
        let [gradient, counts] = self.scattered(indices, known(self.ones()?))?;
        let (gradient, counts) = (only(gradient.reference()?)?, only(counts.reference()?)?);
        self.formula(&known(gradient), &known(counts.reshape(&self.beside()?)?)).reference()
    }

    fn lower(&self, b: &mut Lowering) -> Lowers {
        let n = self.indices.count();
        let v = b.reshape(self.indices.v, &[n, 1])?;
        let indices = reshaped(self.indices, v, &[n, 1])?;
        let ones = b.constant(self.ones()?);
        let [gradient, counts] = self.scattered(indices, operand(b, ones))?;
        let (Some(gradient), Some(counts)) = (gradient.lower(b)?, counts.lower(b)?) else { return Ok(None) };
        let counts = b.reshape(only(counts)?, &self.beside()?)?;
        let (gradient, counts) = (operand(b, only(gradient)?), operand(b, counts));
        self.formula(&gradient, &counts).lower(b)
    }
}

/// A step for the rows `indices` one after the other, in their order.
pub(super) struct InTurn<'a, const M: usize, const K: usize, F> {
    variables: [&'a Operand; M],
    gradient: &'a Operand,
    indices: &'a Operand,
    numbers: [&'a Operand; K],
    update: F,
}

/// A step of `variables` for the rows that have a gradient, one after the other.
pub(super) fn in_turn<'a, const M: usize, const K: usize, F: Update<M, K>>(
    variables: [&'a Operand; M],
    [gradient, indices]: [&'a Operand; 2],
    numbers: [&'a Operand; K],
    update: F,
) -> InTurn<'a, M, K, F> {
    InTurn { variables, gradient, indices, numbers, update }
}

impl<const M: usize, const K: usize, F: Update<M, K>> Rule for InTurn<'_, M, K, F> {
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        sparse_facts(&self.variables, [self.gradient, self.indices], &self.numbers)
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        let facts = self.infer()?;
        let programs = step_programs(&self.update, DType::F64);
        let mut values = self.variables.iter().map(|x| x.f64s()).collect::<Result<Vec<_>, _>>()?;
        let numbers = self.numbers.iter().map(|x| x.f64s()).collect::<Result<Vec<_>, _>>()?.concat();
        let (rows, gradient) = (dim(self.gradient.shape(), 0)?, self.gradient.f64s()?);
        let (len, inner) = (dim(shape_of(&self.variables), 0)?, gradient.len().checked_div(rows).unwrap_or(0));
        let mut pulse = Pulse::default();
        for (index, slopes) in self.indices.i64s()?.into_iter().zip(gradient.chunks(inner.max(1))) {
            let first = strict_place(index, len)? * inner;
            for (at, slope) in (first..).zip(slopes) {
                pulse.beat()?;
                let old = values.iter().map(|x| item(x, at).copied()).collect::<Result<Vec<_>, _>>()?;
                let args: Vec<Scalar> =
                    old.into_iter().chain([*slope]).chain(numbers.iter().copied()).map(Scalar::Float).collect();
                for (x, program) in values.iter_mut().zip(&programs) {
                    *item_mut(x, at)? = program.eval(&args).as_f64();
                }
            }
        }
        facts.iter().zip(values).map(|(f, x)| Ok(Tensor::from_f64s(f.dtype, &f.shape, &x)?)).collect()
    }

    fn onnx(&self, _: &mut Emit) -> Forms {
        no_form("rows are updated one after the other")
    }
}

/// `rate · old + (1 − rate) · new`.
pub(super) fn blend<'p>(rate: impl Term<'p>, old: Num<'p>, new: Num<'p>) -> Num<'p> {
    let rate = rate.like(old);
    rate * old + (1.0 - rate) * new
}

/// What is left of `x` when its size loses `by`, at most all of it.
pub(super) fn toward_zero<'p>(x: Num<'p>, by: Num<'p>) -> Num<'p> {
    x.sign() * (x.abs() - by).max(0.0)
}

/// A parameter of a case.
pub(super) fn parameter() -> CaseArg {
    wave(DType::F32, &[3, 5])
}

/// Positive numbers, such as sums of squares.
pub(super) fn positive() -> CaseArg {
    filled(DType::F32, &[3, 5], |i| 0.01 + (i % 7) as f64 * 0.1)
}

/// A parameter, `sums` positive tensors, and `numbers`.
pub(super) fn state(sums: usize, numbers: &[f32]) -> Sample {
    let numbers = numbers.iter().map(|&x| CaseArg::from(x));
    sample().arg(parameter()).args((0..sums).map(|_| positive())).args(numbers)
}

/// A gradient for the rows 2, 0 and again 2, and these.
pub(super) fn rows(sample: Sample) -> Sample {
    sample.arg(wave(DType::F32, &[3, 5])).index(DType::I32, &[3], &[2, 0, 2])
}
