use super::grid_sampler2d::{Beyond, Interpolation, Sampling, sampled};
use crate::onnx::{Emit, Forms, no_form};
use crate::op::{Case, Ints, Operand, Rule, ints};
use crate::ops::kit::grid::{Grid, each};
use crate::ops::kit::sample::sample;
use crate::{DType, Fact, OpError, Tensor, ensure, op};

op! {
    /// The gradient of `GridSampler2D`: those of `input_x` and of `grid`.
    ///
    /// `grad`: that of its result, `[n, c, oh, ow]`. Places that are held at an edge, and those whose element is the nearest, have a
    /// gradient of 0. Both gradients are computed, whatever `output_mask` says. One float type.
    GridSampler2DGrad {
        grad: Operand,
        input_x ["x"]: Operand,
        grid: Operand,
        interpolation_mode: Interpolation = Interpolation::Bilinear,
        padding_mode: Beyond = Beyond::Zeros,
        align_corners: bool = false,
        output_mask: Ints = ints(&[1, 1]),
    }
}

impl Rule for GridSampler2DGrad {
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        let y = Fact::new(self.input_x.dtype(), &sampled(&self.input_x, &self.grid)?);
        ensure!(self.grad.fact == y, "expected a gradient {y}, found {}", self.grad.fact);
        Ok(vec![Fact::clone(&self.input_x.fact), Fact::clone(&self.grid.fact)])
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        self.infer()?;
        let (dy, x, grid) = (Grid::read(&self.grad)?, Grid::read(&self.input_x)?, Grid::read(&self.grid)?);
        let (mut dx, mut dgrid) = (Grid::zeros(x.dims)?, Grid::zeros(grid.dims)?);
        let ([_, _, h, w], corners) = (x.dims, self.align_corners);
        let sampling = Sampling { interpolation: self.interpolation_mode, beyond: self.padding_mode, corners };
        each(dy.dims, |[n, c, oy, ox]| {
            let (place, dy) = (|i| grid.at([n, oy, ox, i]), dy.at([n, c, oy, ox])?);
            let (cols, rows) = (sampling.taps(place(0)?, w), sampling.taps(place(1)?, h));
            for (row, col) in rows.iter().flat_map(|row| cols.iter().map(move |col| (row, col))) {
                let at = [n, c, row.at, col.at];
                let scaled = dy * x.at(at)?;
                *dx.at_mut(at)? += dy * row.weight * col.weight;
                *dgrid.at_mut([n, oy, ox, 0])? += scaled * row.weight * col.slope;
                *dgrid.at_mut([n, oy, ox, 1])? += scaled * row.slope * col.weight;
            }
            Ok(())
        })?;
        Ok(vec![dx.tensor(self.input_x.dtype())?, dgrid.tensor(self.grid.dtype())?])
    }

    fn onnx(&self, _: &mut Emit) -> Forms {
        no_form("ONNX has no gradients")
    }

    fn cases() -> Vec<Case> {
        let s = sample().tensor(DType::F32, &[2, 3, 3, 2]).tensor(DType::F32, &[2, 3, 4, 5]);
        let s = s.tensor(DType::F32, &[2, 3, 2, 2]);
        vec![
            s.clone().int(0).int(0).flag(true).case("bilinear"),
            s.clone().int(0).int(2).flag(false).case("reflection"),
            s.int(1).int(1).flag(false).case("nearest"),
        ]
    }
}
