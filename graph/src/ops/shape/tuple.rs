//! Tuples of integers that a model computes at run time: tensors of rank 1.

// Some primitives have lower-case names, and the struct is named after the primitive.
#![allow(non_camel_case_types)]

use crate::onnx::{Emit, Forms};
use crate::op::{Case, CaseArg, Lowers, Operand, Plan, Planned, Rule};
use crate::ops::kit::broadcasting::fact;
use crate::ops::kit::indices::rearrange;
use crate::ops::kit::sample::{filled, sample};
use crate::task::{Lowering, V};
use crate::{DType, Fact, OpError, Tensor, ensure, op};

op! {
    /// Element `index` of a tuple of numbers, as a tensor of rank 0; negative indices count from the end.
    object TupleGetItem, aliases ["RealTupleGetItem", "list_getitem"] { x: Operand, index: i64 } -> Number
}

impl TupleGetItem {
    fn position(&self) -> Result<usize, OpError> {
        ensure!(self.x.rank() == 1, "expected a tuple of numbers, found {}", self.x.fact);
        self.x_axis()
    }

    fn x_axis(&self) -> Result<usize, OpError> {
        let n = self.x.count();
        crate::normalize_axis(self.index, n)
            .ok_or_else(|| OpError::Invalid(format!("index {} is out of range for a tuple of {n}", self.index)))
    }
}

impl Rule for TupleGetItem {
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        self.position()?;
        Ok(vec![Fact::new(self.x.dtype(), &[])])
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        let (i, t) = (self.position()?, self.x.tensor()?);
        let size = t.dtype().size();
        Ok(vec![Tensor::from_bytes(t.dtype(), &[], t.bytes().slice(i * size..(i + 1) * size))?])
    }

    fn lower(&self, b: &mut Lowering) -> Lowers {
        let v = b.slice(self.x.v, &[self.position()?], &[1], &[1])?;
        Ok(Some(vec![b.reshape(v, &[])?]))
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

impl Rule for sequence_len {
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        ensure!(self.x.rank() > 0, "expected a tuple, found {}", self.x.fact);
        Ok(vec![Fact::new(DType::I64, &[])])
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        self.infer()?;
        Ok(vec![Tensor::scalar(self.x.shape()[0] as i64)])
    }

    fn lower(&self, b: &mut Lowering) -> Lowers {
        Ok(Some(vec![b.constant(Tensor::scalar(self.x.shape()[0] as i64))]))
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

impl SequenceSlice {
    /// The first element and the number of elements.
    fn range(&self) -> Result<(usize, usize), OpError> {
        ensure!(self.seq.rank() == 1, "expected a tuple of numbers, found {}", self.seq.fact);
        ensure!(self.step != 0, "a slice with step 0");
        let size = self.seq.count() as i64;
        let (low, high) = if self.step > 0 { (0, size) } else { (-1, size - 1) };
        let place = |at: i64| (if at < 0 { at.saturating_add(size) } else { at }).clamp(low, high);
        let (start, stop) = (place(self.start), place(self.stop));
        let length = if self.step > 0 { stop - start } else { start - stop };
        Ok((start.max(0) as usize, (length.max(0) as u64).div_ceil(self.step.unsigned_abs()) as usize))
    }
}

impl Rule for SequenceSlice {
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        Ok(vec![Fact::new(self.seq.dtype(), &[self.range()?.1])])
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        let (start, count) = self.range()?;
        let (step, out) = (self.step, [count]);
        Ok(vec![rearrange(self.seq.tensor()?, &out, |i| Some((start as i64 + i[0] as i64 * step) as usize))?])
    }

    fn lower(&self, b: &mut Lowering) -> Lowers {
        let (start, count) = self.range()?;
        if count == 0 {
            return Ok(Some(vec![b.constant(Tensor::zeros(self.seq.dtype(), &[0])?)]));
        }
        let step = if count == 1 { 1 } else { self.step as isize };
        Ok(Some(vec![b.slice(self.seq.v, &[start], &[count], &[step])?]))
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

impl Rule for SequenceAdd {
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        let (a, b) = (&self.input_0, &self.input_1);
        let tuples = a.rank() == 1 && b.rank() == 1 && a.dtype() == b.dtype();
        ensure!(tuples, "expected tuples of one type of numbers, found {} and {}", a.fact, b.fact);
        Ok(vec![Fact::new(a.dtype(), &[a.count() + b.count()])])
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        let fact = self.infer()?.remove(0);
        let bytes = [self.input_0.tensor()?.bytes().as_ref(), self.input_1.tensor()?.bytes().as_ref()].concat();
        Ok(vec![Tensor::from_bytes(fact.dtype, &fact.shape, bytes.into())?])
    }

    fn lower(&self, b: &mut Lowering) -> Lowers {
        let filled: Vec<V> = [&self.input_0, &self.input_1].iter().filter(|x| x.count() > 0).map(|x| x.v).collect();
        Ok(Some(vec![if filled.is_empty() { self.input_0.v } else { b.concat(&filled, 0)? }]))
    }

    fn cases() -> Vec<Case> {
        let of = |n: usize| filled(DType::I64, &[n], |i| i as f64);
        vec![sample().arg(of(2)).arg(of(3)).exact("both"), sample().arg(of(0)).arg(of(3)).exact("one empty")]
    }
}

macro_rules! tuple_test {
    ($($(#[doc = $doc:literal])+ $name:ident($a:ident, $b:ident) = $f:expr, [$($case:expr),*];)*) => {$(
        op! {
            $(#[doc = $doc])+
            object $name { $a: Vec<f64>, $b: Vec<f64> }
        }

        impl Planned for $name {
            fn plan(&self) -> Result<impl Plan, OpError> {
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
    /// Whether a number is an element of a tuple of numbers, as `bool`.
    InSequence(element, sequence) = |a, b| a.first().is_some_and(|x| b.contains(x)),
        [sample().int(2).ints(&[1, 2]).exact("inside"), sample().int(5).ints(&[1, 2]).exact("outside")];
}
