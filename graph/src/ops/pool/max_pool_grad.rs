use super::statistic::Pooling;
use super::windowed::maxima;
use crate::onnx::{Emit, Forms, no_form};
use crate::op::{Case, Ints, Operand, Rule, ints};
use crate::ops::kit::grid::Grid;
use crate::ops::kit::sample::sample;
use crate::ops::kit::window::{Format, PadMode};
use crate::{DType, Fact, OpError, Tensor, ensure, op};

op! {
    /// The gradient of `MaxPool`: every element of `grad` is added to the place of the first maximum of its window.
    ///
    /// `x`: `[n, c, h, w]`. `y`: what `MaxPool` with the same arguments makes of it, which only tells the shape. `grad`: as
    /// `y`. One float type, format `NCHW`. The result has the shape of `x`.
    classic MaxPoolGrad {
        x ["x_origin"]: Operand,
        y ["out_origin"]: Operand,
        grad: Operand,
        kernel_size ["ksize"]: Ints as Whole(2) = ints(&[1]),
        strides ["stride"]: Ints as Whole(2) = ints(&[1]),
        pad_mode ["padding"]: PadMode = PadMode::Valid,
        format ["data_format"]: Format = Format::Nchw,
    }
}

impl MaxPoolGrad {
    fn forward(&self) -> Result<Pooling<2>, OpError> {
        maxima(&self.x, &self.kernel_size, &self.strides, self.pad_mode, self.format)
    }
}

impl Rule for MaxPoolGrad {
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        ensure!(self.format == Format::Nchw, "expected format NCHW, found {:?}", self.format);
        let y = self.forward()?.fact()?;
        ensure!(self.y.fact == y && self.grad.fact == y, "expected {y}, found {} and {}", self.y.fact, self.grad.fact);
        Ok(vec![self.x.fact.clone()])
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        let places = self.forward()?.values()?.1;
        let [n, c, h, w] = self.x.fact.ranked()?;
        let windows = places.len().checked_div(n * c).unwrap_or(0);
        let mut dx = Grid::zeros([n * c, h * w])?;
        for (i, (place, grad)) in places.into_iter().zip(self.grad.f64s()?).enumerate() {
            *dx.at_mut([i / windows, place])? += grad;
        }
        Ok(vec![dx.tensor(self.x.dtype())?.reshape(self.x.shape())?])
    }

    fn onnx(&self, _: &mut Emit) -> Forms {
        no_form("ONNX has no gradients")
    }

    fn cases() -> Vec<Case> {
        let one = |x: &[usize], y: &[usize], kernel: &[i64], strides: &[i64], mode, name| {
            let s = sample().tensor(DType::F32, x).tensor(DType::F32, y).tensor(DType::F32, y);
            s.ints(kernel).ints(strides).text(mode).case(name)
        };
        vec![
            one(&[2, 3, 4, 6], &[2, 3, 2, 3], &[1, 1, 2, 2], &[1, 1, 2, 2], "VALID", "no overlap"),
            one(&[1, 2, 5, 5], &[1, 2, 3, 3], &[1, 1, 3, 3], &[1, 1, 1, 1], "VALID", "overlap"),
            one(&[1, 1, 4, 5], &[1, 1, 2, 3], &[1, 1, 3, 3], &[1, 1, 2, 2], "SAME", "same"),
        ]
    }
}
