use super::l2_normalize::near_means;
use crate::onnx::{Emit, Forms, no_form};
use crate::op::{Case, Lowers, Operand, Rule};
use crate::ops::kit::grid::{Grid, each};
use crate::ops::kit::indices::size;
use crate::ops::kit::sample::sample;
use crate::task::{Binary, Lowering, Program, Unary};
use crate::{DType, Fact, OpError, Tensor, ensure, op};

op! {
    /// The gradient of `LRN`: with `s = bias + alpha · Σ x²` over `depth_radius` channels on both sides of each,
    /// `grads · s^−beta − 2 · alpha · beta · x · Σ grads · x · s^(−beta − 1)`.
    ///
    /// `grads`, `x`, `y`: floats `[n, c, h, w]` of one type; `y`, what `LRN` makes of `x`, has no influence.
    classic LRNGrad {
        grads: Operand,
        x: Operand,
        y: Operand,
        depth_radius: i64 = 5,
        bias: f64 = 1.0,
        alpha: f64 = 1.0,
        beta: f64 = 0.5,
    }
}

impl LRNGrad {
    fn radius(&self) -> Result<usize, OpError> {
        let (x, grads) = (&self.x.fact, &self.grads.fact);
        let [_, c, _, _] = x.ranked()?;
        ensure!(x.dtype.is_float() && **grads == **x, "expected floats [n, c, h, w] twice, found {grads} and {x}");
        Ok(size(self.depth_radius, "depth_radius")?.min(c))
    }
}

impl Rule for LRNGrad {
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        self.radius()?;
        Ok(vec![Fact::clone(&self.x.fact)])
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        let (radius, dy, x) = (self.radius()?, Grid::read(&self.grads)?, Grid::read(&self.x)?);
        let (mut sums, mut dx) = (Grid::zeros(x.dims)?, Grid::zeros(x.dims)?);
        let near = |channel: usize| channel.saturating_sub(radius)..(channel + radius + 1).min(x.dims[1]);
        each(x.dims, |[n, c, h, w]| {
            let squares = near(c).map(|near| Ok(x.at([n, near, h, w])?.powi(2))).sum::<Result<f64, OpError>>();
            *sums.at_mut([n, c, h, w])? = self.bias + self.alpha * squares?;
            Ok(())
        })?;
        each(x.dims, |[n, c, h, w]| {
            let term = |near| {
                let at = [n, near, h, w];
                Ok(dy.at(at)? * x.at(at)? * sums.at(at)?.powf(-self.beta - 1.0))
            };
            let (at, sum) = ([n, c, h, w], near(c).map(term).sum::<Result<f64, OpError>>()?);
            let own = dy.at(at)? * sums.at(at)?.powf(-self.beta);
            *dx.at_mut(at)? = own - 2.0 * self.alpha * self.beta * x.at(at)? * sum;
            Ok(())
        })?;
        Ok(vec![dx.tensor(self.x.dtype())?])
    }

    fn lower(&self, b: &mut Lowering) -> Lowers {
        let (radius, dims) = (self.radius()?, self.x.shape());
        if self.x.count() == 0 {
            return Ok(Some(vec![self.x.v]));
        }
        let wide = DType::promote(self.x.dtype(), DType::F32);
        let (x, dy, near) = (b.cast(self.x.v, wide), b.cast(self.grads.v, wide), (2 * radius + 1) as f64);
        let squares = b.unary(Unary::Square, x);
        let means = near_means(b, squares, radius)?;
        let mut p = Program::new();
        let (mean, scale, bias) = (p.input(0, wide), p.constant(self.alpha * near, wide), p.constant(self.bias, wide));
        let sum = p.binary(Binary::Mul, mean, scale);
        p.binary(Binary::Add, sum, bias);
        let sums = b.map(p, &[means], dims);
        let mut p = Program::new();
        let [dy_r, x_r, sum] = [0, 1, 2].map(|i| p.input(i, wide));
        let (power, product) = (p.constant(-self.beta - 1.0, wide), p.binary(Binary::Mul, dy_r, x_r));
        let factor = p.binary(Binary::Pow, sum, power);
        p.binary(Binary::Mul, product, factor);
        let terms = b.map(p, &[dy, x, sums], dims);
        let terms = near_means(b, terms, radius)?;
        let mut p = Program::new();
        let [dy_r, x_r, sum, mean] = [0, 1, 2, 3].map(|i| p.input(i, wide));
        let (power, scale) = (p.constant(-self.beta, wide), p.constant(2.0 * self.alpha * self.beta * near, wide));
        let factor = p.binary(Binary::Pow, sum, power);
        let own = p.binary(Binary::Mul, dy_r, factor);
        let (x_r, mean) = (p.binary(Binary::Mul, x_r, scale), mean);
        let others = p.binary(Binary::Mul, x_r, mean);
        let dx = p.binary(Binary::Sub, own, others);
        p.cast(dx, self.x.dtype());
        Ok(Some(vec![b.map(p, &[dy, x, sums, terms], dims)]))
    }

    fn onnx(&self, _: &mut Emit) -> Forms {
        no_form("ONNX has no gradients")
    }

    fn cases() -> Vec<Case> {
        let three = |dims: &[usize]| {
            let s = sample().tensor(DType::F32, dims).tensor(DType::F32, dims);
            s.tensor(DType::F32, dims)
        };
        vec![
            three(&[2, 7, 2, 3]).int(2).real(1.0).real(0.5).real(0.75).case("near"),
            three(&[1, 3, 2, 2]).case("all channels"),
        ]
    }
}
