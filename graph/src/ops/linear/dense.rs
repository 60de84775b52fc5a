use super::product::{Product, add_bias, check_bias, lower_bias};
use crate::onnx::{Emit, Forms, machine};
use crate::op::{Case, Operand, Rule};
use crate::ops::kit::sample::sample;
use crate::task::{Lowering, V};
use crate::{DType, Fact, OpError, Shape, Tensor, ensure, op};

op! {
    /// `input · weightᵀ + bias` over the last dimension.
    ///
    /// `input`: `[…, k]`. `weight`: `[n, k]`, or `[k]` for a result without its last dimension. `bias`: `[n]`, one number,
    /// or `None`. All of one number type.
    Dense, aliases ["LinearExt"] { input ["x"]: Operand, weight ["w"]: Operand, bias ["b"]: Option<Operand> = None }
}

impl Dense {
    fn flat(&self, x: V, w: V) -> Result<(Operand, Operand), OpError> {
        let ([.., k], 1 | 2) = (self.input.shape(), self.weight.rank()) else {
            return Err(OpError::Invalid(format!(
                "expected […, k] and [n, k], found {} and {}",
                self.input.fact, self.weight.fact
            )));
        };
        let n = if self.weight.rank() == 1 { 1 } else { self.weight.shape()[0] };
        ensure!(
            self.weight.shape().last() == Some(k),
            "inner dimensions differ: {} and {}",
            self.input.fact,
            self.weight.fact
        );
        let rows = self.input.shape()[..self.input.rank() - 1].iter().product();
        let x = super::product::reshaped(&self.input, x, &[rows, *k])?;
        Ok((x, super::product::reshaped(&self.weight, w, &[n, *k])?))
    }

    fn dims(&self) -> Shape {
        let mut dims: Shape = self.input.shape().iter().copied().take(self.input.rank().saturating_sub(1)).collect();
        if self.weight.rank() == 2 {
            dims.push(self.weight.shape()[0]);
        }
        dims
    }
}

fn product<'a>(a: &'a Operand, b: &'a Operand) -> Product<'a> {
    Product { a, b, trans_a: false, trans_b: true }
}

impl Rule for Dense {
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        let (x, w) = self.flat(self.input.v, self.weight.v)?;
        let fact = Fact { dtype: product(&x, &w).infer()?.dtype, shape: self.dims() };
        check_bias(&fact, self.bias.as_ref())?;
        Ok(vec![fact])
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        let (x, w) = self.flat(self.input.v, self.weight.v)?;
        let y = product(&x, &w).reference()?.reshape(&self.dims())?;
        Ok(vec![add_bias(y, self.bias.as_ref())?])
    }

    fn lower(&self, b: &mut Lowering) -> Result<Option<Vec<V>>, OpError> {
        let (x, w) = self.flat(self.input.v, self.weight.v)?;
        let (vx, vw) = (b.reshape(x.v, x.shape())?, b.reshape(w.v, w.shape())?);
        let (x, w) = self.flat(vx, vw)?;
        let y = product(&x, &w).lower(b)?;
        let y = b.reshape(y, &self.dims())?;
        Ok(Some(vec![lower_bias(b, y, self.bias.as_ref())?]))
    }

    fn onnx(&self, e: &mut Emit) -> Forms {
        let bias = e.option(&self.bias)?;
        if self.weight.rank() == 2 && self.input.rank() >= 2 {
            return Ok(Some(vec![product(&self.input, &self.weight).onnx(e, bias)?]));
        }
        let (dtype, wide) = (self.input.dtype(), machine(self.input.dtype()));
        let (x, mut w) = (e.as_type(&self.input, wide)?, e.as_type(&self.weight, wide)?);
        if self.weight.rank() == 2 {
            w = e.transpose(w, &[1, 0]);
        }
        let mut y = e.op("MatMul", &[x, w]);
        if let Some(bias) = bias {
            let bias = e.cast(bias, dtype, wide);
            y = e.op("Add", &[y, bias]);
        }
        Ok(Some(vec![e.cast(y, wide, dtype)]))
    }

    fn cases() -> Vec<Case> {
        use DType::*;
        vec![
            sample().tensor(F32, &[3, 5]).tensor(F32, &[7, 5]).tensor(F32, &[7]).case("rows"),
            sample().tensor(F32, &[2, 3, 5]).tensor(F32, &[4, 5]).none().case("rank 3, no bias"),
            sample().tensor(F32, &[5]).tensor(F32, &[4, 5]).tensor(F32, &[4]).case("vector"),
            sample().tensor(F32, &[2, 5]).tensor(F32, &[5]).tensor(F32, &[]).case("weight vector"),
            sample().tensor(F16, &[2, 2, 2, 3]).tensor(F16, &[4, 3]).tensor(F16, &[4]).case("f16"),
        ]
    }
}
