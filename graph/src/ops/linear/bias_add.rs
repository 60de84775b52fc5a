use super::product::{add_bias, check_bias, lower_bias, reshaped};
use crate::onnx::{Emit, Forms, machine};
use crate::op::{Case, Lowers, Operand, Rule};
use crate::ops::kit::indices::{column, dim};
use crate::ops::kit::sample::sample;
use crate::ops::kit::window::Format;
use crate::task::Lowering;
use crate::{DType, Fact, OpError, Shape, Tensor, ensure, op};

op! {
    /// `input_x` plus one number per channel.
    ///
    /// `input_x`: rank 2 or more. `bias`: a vector as long as the channel dimension, which is dimension 1, or the last for
    /// channels-last `data_format`. Both of one number type.
    BiasAdd { input_x ["x"]: Operand, bias ["b"]: Operand, data_format ["format"]: Format = Format::Nchw }
}

impl BiasAdd {
    /// Dimensions that put the bias on the channel dimension.
    fn dims(&self) -> Result<Shape, OpError> {
        let (x, bias) = (&self.input_x, &self.bias);
        ensure!(x.rank() >= 2 && bias.rank() == 1, "expected [n, c, …] and [c], found {} and {}", x.fact, bias.fact);
        let channel = self.data_format.channel(x.rank());
        let c = dim(x.shape(), channel)?;
        ensure!(bias.count() == c, "expected a bias of {c} elements, found {}", bias.fact);
        Ok(column(c, x.rank() - channel - 1))
    }
}

impl Rule for BiasAdd {
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        let x = &self.input_x.fact;
        ensure!(x.dtype.is_float() || x.dtype.is_int(), "expected numbers, found {x}");
        check_bias(x, Some(&reshaped(&self.bias, self.bias.v, &self.dims()?)?))?;
        Ok(vec![Fact::clone(x)])
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        let bias = reshaped(&self.bias, self.bias.v, &self.dims()?)?;
        Ok(vec![add_bias(self.input_x.tensor()?.clone(), Some(&bias))?])
    }

    fn lower(&self, b: &mut Lowering) -> Lowers {
        let dims = self.dims()?;
        let v = b.reshape(self.bias.v, &dims)?;
        let bias = reshaped(&self.bias, v, &dims)?;
        Ok(Some(vec![lower_bias(b, self.input_x.v, Some(&bias))?]))
    }

    fn onnx(&self, e: &mut Emit) -> Forms {
        let (dtype, wide) = (self.input_x.dtype(), machine(self.input_x.dtype()));
        let (x, bias) = (e.as_type(&self.input_x, wide)?, e.as_type(&self.bias, wide)?);
        let after = self.input_x.rank().saturating_sub(self.data_format.channel(self.input_x.rank().max(2)));
        let bias = e.unsqueeze(bias, &(1..after as i64).collect::<Vec<_>>());
        let y = e.op("Add", &[x, bias]);
        Ok(Some(vec![e.cast(y, wide, dtype)]))
    }

    fn cases() -> Vec<Case> {
        use DType::*;
        vec![
            sample().tensor(F32, &[3, 5]).tensor(F32, &[5]).int(0).case("matrix"),
            sample().tensor(F32, &[2, 3, 4, 5]).tensor(F32, &[3]).int(0).case("channels first"),
            sample().tensor(F32, &[2, 4, 5, 3]).tensor(F32, &[3]).text("NHWC").case("channels last"),
            sample().tensor(I32, &[2, 3, 2]).tensor(I32, &[3]).exact("i32"),
        ]
    }
}
