use super::product::{Flattened, Product, reshaped};
use crate::onnx::{Emit, Forms, machine};
use crate::op::{Case, Operand, Operator, Rule};
use crate::ops::kit::sample::sample;
use crate::{DType, OpError, Shape, ensure, op};

op! {
    /// `input · weightᵀ + bias` over the last dimension.
    ///
    /// `input`: `[…, k]`. `weight`: `[n, k]`, or `[k]` for a result without its last dimension. `bias`: `[n]`, one number,
    /// or `None`. All of one number type.
    Dense, aliases ["LinearExt"] { input ["x"]: Operand, weight ["w"]: Operand, bias ["b"]: Option<Operand> = None }
}

impl Operator for Dense {
    fn rule(&self) -> Result<impl Rule, OpError> {
        let (x, w) = (&self.input, &self.weight);
        let ([rows @ .., k], [n @ .., inner]) = (x.shape(), w.shape()) else {
            return Err(OpError::Invalid(format!("expected […, k] and [n, k], found {} and {}", x.fact, w.fact)));
        };
        ensure!(n.len() <= 1, "expected […, k] and [n, k], found {} and {}", x.fact, w.fact);
        ensure!(inner == k, "inner dimensions differ: {} and {}", x.fact, w.fact);
        let dims: Shape = rows.iter().chain(n).copied().collect();
        let a = reshaped(x, x.v, &[rows.iter().product(), *k])?;
        let b = reshaped(w, w.v, &[n.iter().product(), *k])?;
        Ok(Flattened { a, b, trans_b: true, dims, bias: self.bias.as_ref() })
    }

    fn onnx(&self, e: &mut Emit) -> Forms {
        let bias = e.option(&self.bias)?;
        if self.weight.rank() == 2 && self.input.rank() >= 2 {
            let product = Product { a: &self.input, b: &self.weight, trans_a: false, trans_b: true, adjoint: false };
            return Ok(Some(vec![product.form(e, bias)?]));
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
