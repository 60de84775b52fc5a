use crate::op::{Case, Lowers, Operand, Rule};
use crate::ops::kit::grid::Grid;
use crate::ops::kit::indices::{around, dim, only, replaced};
use crate::ops::kit::sample::{sample, wave};
use crate::task::{Binary, Lowering, Unary};
use crate::{DType, Fact, OpError, Tensor, ensure, op};

op! {
    /// The first half of `x` along `axis` times the sigmoid of the second. Floats.
    GLU { x: Operand, axis: i64 = -1 }
}

impl GLU {
    /// The axis and the length of a half.
    fn half(&self) -> Result<(usize, usize), OpError> {
        ensure!(self.x.dtype().is_float(), "expected floats, found {}", self.x.fact);
        let axis = self.x.axis(self.axis)?;
        let len = dim(self.x.shape(), axis)?;
        ensure!(len % 2 == 0, "expected an even dimension {axis}, found {}", self.x.fact);
        Ok((axis, len / 2))
    }
}

impl Rule for GLU {
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        let (axis, half) = self.half()?;
        Ok(vec![Fact { dtype: self.x.dtype(), shape: replaced(self.x.shape(), axis, half) }])
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        let (fact, (axis, half)) = (only(self.infer()?)?, self.half()?);
        let [outer, len, inner] = around(self.x.shape(), axis)?;
        let x = Grid::new([outer, len, inner], self.x.f64s()?)?;
        let mut y = Vec::with_capacity(fact.count());
        for at in 0..outer * half * inner {
            let (o, k, i) = (at / (half * inner), at / inner % half, at % inner);
            y.push(x.at([o, k, i])? / (1.0 + (-x.at([o, k + half, i])?).exp()));
        }
        Ok(vec![Tensor::from_f64s(fact.dtype, &fact.shape, &y)?])
    }

    fn lower(&self, b: &mut Lowering) -> Lowers {
        let (fact, (axis, half)) = (only(self.infer()?)?, self.half()?);
        let (start, step) = (vec![0; fact.rank()], vec![1; fact.rank()]);
        let first = b.slice(self.x.v, &start, &fact.shape, &step)?;
        let second = b.slice(self.x.v, &replaced(&start, axis, half), &fact.shape, &step)?;
        let gate = b.unary(Unary::Sigmoid, second);
        Ok(Some(vec![b.binary(Binary::Mul, first, gate)?]))
    }

    fn cases() -> Vec<Case> {
        vec![
            sample().arg(wave(DType::F32, &[3, 4])).case("last"),
            sample().arg(wave(DType::F32, &[2, 6, 3])).int(1).case("middle"),
            sample().arg(wave(DType::F16, &[4, 3])).int(0).case("f16"),
        ]
    }
}
