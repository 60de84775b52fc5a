//! Tuples of integers that a model computes at run time: tensors of rank 1.

// Some primitives have lower-case names, and the struct is named after the primitive.
#![allow(non_camel_case_types)]

use super::concat::Joined;
use super::cut::{Cut, Span};
use crate::onnx::{Emit, Forms};
use crate::op::{Case, CaseArg, Operand, Operator, Rule};
use crate::ops::kit::broadcasting::fact;
use crate::ops::kit::indices::dim;
use crate::ops::kit::sample::{filled, sample};
use crate::{DType, Fact, OpError, Tensor, ensure, normalize_axis, op};

op! {
    /// Element `index` of a tuple of numbers, as a tensor of rank 0; negative indices count from the end.
    object TupleGetItem, aliases ["RealTupleGetItem", "list_getitem"] { x: Operand, index: i64 } -> Number
}

impl TupleGetItem {
    fn position(&self) -> Result<usize, OpError> {
        ensure!(self.x.rank() == 1, "expected a tuple of numbers, found {}", self.x.fact);
        let n = self.x.count();
        normalize_axis(self.index, n)
            .ok_or_else(|| OpError::Invalid(format!("index {} is out of range for a tuple of {n}", self.index)))
    }
}

impl Operator for TupleGetItem {
    fn rule(&self) -> Result<impl Rule, OpError> {
        Cut::single(&self.x, 0, self.position()?)
    }

    fn onnx(&self, e: &mut Emit) -> Forms {
        let (x, index) = (e.edge(&self.x)?, e.number(DType::I64, self.position()? as f64)?);
        Ok(Some(vec![e.op_with("Gather", &[x, index], vec![("axis", 0.into())])]))
    }

    fn cases() -> Vec<Case> {
        let x = || filled(DType::I64, &[4], |i| i as f64 * 3.0 - 1.0);
        vec![
            sample().arg(x()).int(0).exact("first"),
            sample().arg(x()).int(-1).exact("last"),
            sample().arg(filled(DType::F32, &[1], |_| 2.5)).int(0).exact("only"),
        ]
    }
}

op! {
    /// Number of elements of a tuple, as `i64`; of a tensor the length of its first dimension.
    object sequence_len, aliases ["array_len"] { x: Operand } -> Number
}

impl Operator for sequence_len {
    fn rule(&self) -> Result<impl Rule, OpError> {
        ensure!(self.x.rank() > 0, "expected a tuple, found {}", self.x.fact);
        Ok(Tensor::scalar(dim(self.x.shape(), 0)? as i64))
    }

    fn onnx(&self, e: &mut Emit) -> Forms {
        let n = e.dim(&self.x, 0)?;
        Ok(Some(vec![e.squeeze(n, &[0])]))
    }

    fn cases() -> Vec<Case> {
        vec![sample().arg(filled(DType::I64, &[3], |i| i as f64)).exact("three")]
    }
}

op! {
    /// Product of a tuple of integers, as `i64`; 1 of an empty one.
    object shape_mul { shape: Operand } -> Number
}

impl Rule for shape_mul {
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        ensure!(self.shape.rank() == 1, "expected a tuple of integers, found {}", self.shape.fact);
        fact(&[&self.shape], DType::I64)?;
        Ok(vec![Fact::new(DType::I64, &[])])
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        Ok(vec![Tensor::scalar(self.shape.i64s()?.into_iter().fold(1i64, i64::wrapping_mul))])
    }

    fn onnx(&self, e: &mut Emit) -> Forms {
        let x = e.as_type(&self.shape, DType::I64)?;
        Ok(Some(vec![e.reduce("ReduceProd", x, &[0], false)]))
    }

    fn cases() -> Vec<Case> {
        vec![sample().arg(filled(DType::I64, &[3], |i| i as f64 + 2.0)).exact("three")]
    }
}

op! {
    /// Elements `start`, `start + step` and so on before `stop` of a tuple of numbers, as Python slices it.
    SequenceSlice { seq: Operand, start: i64, stop: i64, step: i64 = 1 }
}

impl Operator for SequenceSlice {
    fn rule(&self) -> Result<impl Rule, OpError> {
        ensure!(self.seq.rank() == 1, "expected a tuple of numbers, found {}", self.seq.fact);
        ensure!(self.step != 0, "a slice with step 0");
        let size = self.seq.count() as i64;
        let (low, high) = if self.step > 0 { (0, size) } else { (-1, size - 1) };
        let place = |at: i64| (if at < 0 { at.saturating_add(size) } else { at }).clamp(low, high);
        let (start, stop) = (place(self.start), place(self.stop));
        let length = if self.step > 0 { stop - start } else { start - stop };
        let count = (length.max(0) as u64).div_ceil(self.step.unsigned_abs()) as usize;
        Ok(Cut::along(&self.seq, 0, Span::steps(start.max(0) as usize, count, self.step)))
    }

    fn cases() -> Vec<Case> {
        let of = |start, stop, step| {
            [filled(DType::I64, &[5], |i| i as f64), CaseArg::from(start), CaseArg::from(stop), CaseArg::from(step)]
        };
        vec![
            sample().args(of(0, -1, 1)).exact("but the last"),
            sample().args(of(1, i64::from(i32::MAX), 2)).exact("to the end"),
            sample().args(of(-1, -9, -2)).exact("backwards"),
            sample().args(of(3, 3, 1)).exact("empty"),
        ]
    }
}

op! {
    /// A tuple of numbers with the elements of another one behind its own.
    SequenceAdd { input_0: Operand, input_1: Operand }
}

impl Operator for SequenceAdd {
    fn rule(&self) -> Result<impl Rule, OpError> {
        let (a, b) = (&self.input_0, &self.input_1);
        let tuples = a.rank() == 1 && b.rank() == 1 && a.dtype() == b.dtype();
        ensure!(tuples, "expected tuples of one type of numbers, found {} and {}", a.fact, b.fact);
        Joined::new(vec![a, b], 0)
    }

    fn cases() -> Vec<Case> {
        let of = |n: usize| filled(DType::I64, &[n], |i| i as f64);
        vec![sample().arg(of(2)).arg(of(3)).exact("both"), sample().arg(of(0)).arg(of(3)).exact("one empty")]
    }
}

macro_rules! tuple_test {
    ($($(#[doc = $doc:literal])+ $name:ident $([$alias:literal])? ($a:ident, $b:ident) = $f:expr, [$($case:expr),*];)*) => {$(
        op! {
            $(#[doc = $doc])+
            object $name $(, aliases [object $alias])? { $a: Vec<f64>, $b: Vec<f64> }
        }

        impl Operator for $name {
            fn rule(&self) -> Result<impl Rule, OpError> {
                let f: fn(&[f64], &[f64]) -> bool = $f;
                Ok(Tensor::from_bools(&[], &[f(&self.$a, &self.$b)])?)
            }

            fn cases() -> Vec<Case> {
                vec![$($case),*]
            }
        }
    )*};
}

tuple_test! {
    /// Whether two tuples of numbers are equal, as `bool`.
    tuple_equal(x, y) = |a, b| a == b,
        [sample().ints(&[1, 2]).ints(&[1, 2]).exact("equal"), sample().ints(&[1]).ints(&[]).exact("empty")];
    /// Whether two lists of numbers are equal, as `bool`.
    list_equal(x, y) = |a, b| a == b,
        [sample().ints(&[1, 2]).ints(&[1, 2]).exact("equal"), sample().ints(&[1, 2]).ints(&[1, 2, 3]).exact("longer")];
    /// Whether the first of two tuples of numbers comes before the second in Python's order, as `bool`.
    tuple_lt["list_lt"](input_0, input_1) = |a, b| a < b,
        [sample().ints(&[1, 2]).ints(&[1, 3]).exact("less"), sample().ints(&[1, 2]).ints(&[1, 2]).exact("equal")];
    /// Whether the first of two tuples of numbers comes before the second in Python's order or is equal, as `bool`.
    tuple_le["list_le"](input_0, input_1) = |a, b| a <= b,
        [sample().ints(&[1, 2]).ints(&[1, 2]).exact("equal"), sample().ints(&[1, 2]).ints(&[1]).exact("longer")];
    /// Whether the first of two tuples of numbers comes behind the second in Python's order, as `bool`.
    tuple_greater_than["list_greater_than"](input_0, input_1) = |a, b| a > b,
        [sample().ints(&[2]).ints(&[1, 3]).exact("greater"), sample().ints(&[]).ints(&[1, 2]).exact("empty")];
    /// Whether the first of two tuples of numbers comes behind the second in Python's order or is equal, as `bool`.
    tuple_greater_equal["list_greater_equal"](input_0, input_1) = |a, b| a >= b,
        [sample().ints(&[2]).ints(&[2]).exact("equal"), sample().ints(&[1]).ints(&[1, 2]).exact("shorter")];
    /// Whether a number is an element of a tuple of numbers, as `bool`.
    InSequence(element, sequence) = |a, b| a.first().is_some_and(|x| b.contains(x)),
        [sample().int(2).ints(&[1, 2]).exact("inside"), sample().int(5).ints(&[1, 2]).exact("outside")];
}
