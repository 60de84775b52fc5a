//! Tuples of numbers that a model computes: tensors of rank 1.

// Some primitives have lower-case names, and the struct is named after the primitive.
#![allow(non_camel_case_types)]

use crate::bounds;
use crate::op::{Case, CaseArg, Number, Operand, Operator, Rule};
use crate::ops::create::numbers::LIMIT;
use crate::ops::index::gather::place;
use crate::ops::kit::broadcasting::{real, scalars, single, tensor_of};
use crate::ops::kit::host::host;
use crate::ops::kit::indices::{only, result, size};
use crate::ops::kit::sample::{filled, sample};
use crate::ops::reduce::order::compare;
use crate::task::Scalar;
use crate::{DType, Fact, OpError, Tensor, ensure, op};

/// The number of elements of a tuple of real numbers.
fn tuple(x: &Operand) -> Result<usize, OpError> {
    real(x)?;
    ensure!(x.rank() == 1, "expected a tuple of numbers, found {}", x.fact);
    Ok(x.count())
}

fn elements(x: &Operand) -> Result<Vec<Scalar>, OpError> {
    scalars(x.tensor()?, x.dtype())
}

/// A number of the type of the elements of `x`.
fn element(x: &Operand, number: &Operand) -> Result<Scalar, OpError> {
    only(scalars(number.tensor()?, x.dtype())?)
}

fn five() -> CaseArg {
    filled(DType::I64, &[5], |i| (i * 7 % 5) as f64)
}

macro_rules! sequence_op {
    ($($(#[doc = $doc:literal])+ $name:ident $(, $alias:literal)? { $x:ident $(, $field:ident: $t:ty $(= $default:expr)?)* } $(-> $results:ident)?,
        |$op:ident| $fact:expr, $values:expr, $case:expr;)*) => {$(
        op! {
            $(#[doc = $doc])+
            object $name $(, aliases [object $alias])? { $x: Operand $(, $field: $t $(= $default)?)* } $(-> $results)?
        }

        impl Operator for $name {
            fn rule(&self) -> Result<impl Rule, OpError> {
                let $op = self;
                let facts = || {
                    tuple(&self.$x)?;
                    let fact: Result<Fact, OpError> = $fact;
                    Ok(vec![fact?])
                };
                let results = |facts| {
                    let fact: Fact = only(facts)?;
                    let values: Result<Vec<Scalar>, OpError> = $values;
                    Ok(vec![tensor_of(fact.dtype, &fact.shape, &values?)?])
                };
                Ok(host(facts, results))
            }

            fn cases() -> Vec<Case> {
                vec![$case]
            }
        }
    )*};
}

fn longer(x: &Operand, by: usize) -> Result<Fact, OpError> {
    result(x.dtype(), &[tuple(x)?.saturating_add(by)])
}

fn extreme(x: &Operand, largest: bool) -> Result<Vec<Scalar>, OpError> {
    let better = |a: Scalar, b: Scalar| if compare(b, a, x.dtype()).is_gt() == largest && a != b { b } else { a };
    Ok(vec![
        elements(x)?
            .into_iter()
            .reduce(better)
            .ok_or_else(|| OpError::Invalid("expected an element, found none".into()))?,
    ])
}

fn replaced(x: &Operand, index: i64, value: &Operand) -> Result<Vec<Scalar>, OpError> {
    let (at, new) = (place(index, x.count())?, element(x, value)?);
    Ok(elements(x)?.into_iter().enumerate().map(|(i, old)| if i == at { new } else { old }).collect())
}

sequence_op! {
    /// How many elements of a tuple of numbers equal `target`.
    SequenceCount { sequence, target: Operand } -> Number,
        |op| single(&op.target).map(|()| Fact::new(DType::I64, &[])),
        {
            let target = element(&op.sequence, &op.target)?;
            Ok(vec![Scalar::Int(elements(&op.sequence)?.into_iter().filter(|x| *x == target).count() as i64)])
        },
        sample().arg(five()).int(2).exact("one");
    /// The place of the first element of a tuple of numbers from `start` to before `end` that equals `target`; an error if there
    /// is none.
    SequenceIndex { sequence, target: Operand, start: i64, end: i64 } -> Number,
        |op| single(&op.target).map(|()| Fact::new(DType::I64, &[])),
        {
            let (target, n) = (element(&op.sequence, &op.target)?, op.sequence.count() as i64);
            let bound = |at: i64| if at < 0 { at.saturating_add(n).max(0) } else { at.min(n) };
            let range = bound(op.start) as usize..bound(op.end) as usize;
            let found = elements(&op.sequence)?.into_iter().enumerate().find(|(i, x)| range.contains(i) && *x == target);
            let (i, _) = found.ok_or_else(|| OpError::Invalid("the number is no element of the tuple".into()))?;
            Ok(vec![Scalar::Int(i as i64)])
        },
        sample().arg(five()).int(4).int(0).int(5).exact("inside");
    /// The largest element of a tuple of numbers.
    SequenceMax { sequence } -> Number,
        |op| Ok(Fact::new(op.sequence.dtype(), &[])), extreme(&op.sequence, true), sample().arg(five()).exact("five");
    /// The smallest element of a tuple of numbers.
    SequenceMin { sequence } -> Number,
        |op| Ok(Fact::new(op.sequence.dtype(), &[])), extreme(&op.sequence, false), sample().arg(five()).exact("five");
    /// A tuple of numbers `scalar` times in a row.
    SequenceMul { sequence, scalar: i64 },
        |op| {
            let n = tuple(&op.sequence)?.saturating_mul(size(op.scalar.max(0), "scalar")?);
            ensure!(n <= LIMIT, "a tuple of {n} numbers is too long");
            Ok(Fact::new(op.sequence.dtype(), &[n]))
        },
        {
            let _room = bounds::room(fact_room(&op.sequence, op.scalar))?;
            Ok(elements(&op.sequence)?.repeat(size(op.scalar.max(0), "scalar")?))
        },
        sample().arg(five()).int(2).exact("twice");
    /// As many zeros as a tuple of numbers has elements.
    SequenceZerosLike { sequence },
        |op| Ok(op.sequence.fact.clone()), Ok(vec![Scalar::Int(0); op.sequence.count()]), sample().arg(five()).exact("five");
    /// A list of numbers with `target` behind its own.
    ListAppend { input_data, target: Operand },
        |op| single(&op.target).and_then(|()| longer(&op.input_data, 1)),
        {
            let mut all = elements(&op.input_data)?;
            all.push(element(&op.input_data, &op.target)?);
            Ok(all)
        },
        sample().arg(five()).int(9).exact("nine");
    /// A list of numbers with `target` before the element `index`, or behind all.
    ListInsert { input_data, index: i64, target: Operand },
        |op| single(&op.target).and_then(|()| longer(&op.input_data, 1)),
        {
            let (mut all, n) = (elements(&op.input_data)?, op.input_data.count() as i64);
            let at = if op.index < 0 { op.index.saturating_add(n).max(0) } else { op.index.min(n) };
            all.insert(at as usize, element(&op.input_data, &op.target)?);
            Ok(all)
        },
        sample().arg(five()).int(-2).int(9).exact("nine");
    /// A tuple of numbers whose element `index` is `value`.
    tuple_setitem, "list_setitem" { sequence, index: i64, value: Operand },
        |op| single(&op.value).map(|()| Fact::clone(&op.sequence.fact)),
        replaced(&op.sequence, op.index, &op.value),
        sample().arg(five()).int(-1).int(9).exact("last");
}

fn fact_room(x: &Operand, times: i64) -> usize {
    x.count().saturating_mul(times.max(0) as usize).saturating_mul(bounds::NUMBERS)
}

op! {
    /// The numbers `start`, `start + delta`, … before `limit`, as Python's `range` has them: one number alone is the limit.
    object make_range { start: Number, limit: Option<Number> = None, delta: Option<Number> = None } -> Numbers
}

impl Operator for make_range {
    fn rule(&self) -> Result<impl Rule, OpError> {
        let whole = |number: Number| match number {
            Number::Int(i) => Ok(i128::from(i)),
            Number::Float(x) => Err(OpError::Invalid(format!("expected an integer, found {x}"))),
        };
        let (start, limit) = match self.limit {
            Some(limit) => (whole(self.start)?, whole(limit)?),
            None => (0, whole(self.start)?),
        };
        let delta = self.delta.map_or(Ok(1), whole)?;
        ensure!(delta != 0, "expected a delta other than 0");
        let away = if delta > 0 { limit - start } else { start - limit };
        let n = if away > 0 { (away + delta.abs() - 1) / delta.abs() } else { 0 };
        ensure!(n <= LIMIT as i128, "a tuple of {n} numbers is too long");
        let _room = bounds::room((n as usize).saturating_mul(8))?;
        Ok(Tensor::vector(&(0..n).map(|i| (start + i * delta) as i64).collect::<Vec<_>>()))
    }

    fn cases() -> Vec<Case> {
        vec![
            sample().int(2).int(9).int(3).exact("up"),
            sample().int(4).exact("to four"),
            sample().int(5).int(0).int(-2).exact("down"),
        ]
    }
}
