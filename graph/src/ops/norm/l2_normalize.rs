use crate::onnx::{Emit, Forms};
use crate::op::{Case, Ints, Lowers, Operand, Rule, ints};
use crate::ops::kit::broadcasting::Groups;
use crate::ops::kit::indices::size;
use crate::ops::kit::sample::sample;
use crate::task::{Binary, Layout, Lowering, Pool, PoolKind, Program, ReduceKind, Task, Unary, V};
use crate::{DType, Fact, OpError, Tensor, ensure, op};

op! {
    /// `x / √max(Σ x², epsilon)`, with the sum along dimension `axis`. Floats.
    classic L2Normalize { input_x ["x"]: Operand, axis: Ints = ints(&[0]), epsilon: f64 = 1e-4 }
}

impl L2Normalize {
    fn axis(&self) -> Result<usize, OpError> {
        ensure!(self.input_x.dtype().is_float(), "expected floats, found {}", self.input_x.fact);
        match *self.axis {
            [axis] => self.input_x.axis(axis),
            _ => Err(OpError::Invalid(format!("expected one axis, found {:?}", self.axis.as_slice()))),
        }
    }
}

impl Rule for L2Normalize {
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        self.axis()?;
        Ok(vec![self.input_x.fact.clone()])
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        let (axis, x, dims) = (self.axis()?, self.input_x.f64s()?, self.input_x.shape());
        let y = Groups::new(dims, &[axis]).replace(&x, 0.0, |x| {
            let sum: f64 = x.iter().map(|x| x * x).sum();
            let sum = if sum < self.epsilon { self.epsilon } else { sum };
            x.iter().map(|x| x / sum.sqrt()).collect()
        })?;
        Ok(vec![Tensor::from_f64s(self.input_x.dtype(), dims, &y)?])
    }

    fn lower(&self, b: &mut Lowering) -> Lowers {
        let (axis, dtype) = (self.axis()?, self.input_x.dtype());
        if self.input_x.count() == 0 {
            return Ok(Some(vec![self.input_x.v]));
        }
        let wide = DType::promote(dtype, DType::F32);
        let x = b.cast(self.input_x.v, wide);
        let squares = b.unary(Unary::Square, x);
        let sums = b.reduce(ReduceKind::Sum, squares, &[axis], true, wide)?;
        let mut p = Program::new();
        let (x, sum) = (p.input(0, dtype), p.input(1, wide));
        let x = p.cast(x, wide);
        let eps = p.constant(self.epsilon, wide);
        let sum = p.binary(Binary::Max, sum, eps);
        let scale = p.unary(Unary::Rsqrt, sum);
        let y = p.binary(Binary::Mul, x, scale);
        p.cast(y, dtype);
        Ok(Some(vec![b.map(p, &[self.input_x.v, sums], self.input_x.shape())]))
    }

    fn onnx(&self, e: &mut Emit) -> Forms {
        let (dtype, wide) = (self.input_x.dtype(), DType::promote(self.input_x.dtype(), DType::F32));
        let x = e.as_type(&self.input_x, wide)?;
        let squares = e.op("Mul", &[x, x]);
        let (sum, eps) = (e.reduce("ReduceSum", squares, &[self.axis()?], true), e.number(wide, self.epsilon)?);
        let sum = e.op("Max", &[sum, eps]);
        let root = e.op("Sqrt", &[sum]);
        let y = e.op("Div", &[x, root]);
        Ok(Some(vec![e.cast(y, wide, dtype)]))
    }

    fn cases() -> Vec<Case> {
        vec![
            sample().tensor(DType::F32, &[2, 3, 5]).ints(&[-1]).real(1e-12).case("last"),
            sample().tensor(DType::F32, &[4, 3]).int(0).real(2.0).case("epsilon"),
            sample().tensor(DType::F16, &[2, 3, 2]).ints(&[1]).real(1e-4).case("f16"),
        ]
    }
}

op! {
    /// Divides each element by `(bias + alpha · Σ x²)^beta`, with the sum over `depth_radius` channels on both sides of its own.
    /// Floats, `[n, c, h, w]`.
    classic LRN {
        x: Operand,
        depth_radius: i64 = 5,
        bias: f64 = 1.0,
        alpha: f64 = 1.0,
        beta: f64 = 0.5,
        norm_region: String = "ACROSS_CHANNELS".to_string(),
    }
}

/// For every element of `x` (`[n, c, h, w]`) the sum over `radius` channels on both sides of its own, divided by
/// `2 · radius + 1`: pooling over channels as rows.
pub(super) fn near_means(b: &mut Lowering, x: V, radius: usize) -> Result<V, OpError> {
    let fact = b.fact(x).clone();
    let [n, channels, h, w] = fact.ranked()?;
    let rows = [n, 1, channels, h * w];
    let pool = Pool {
        kind: PoolKind::Avg { count_pads: true },
        n,
        c: 1,
        h: channels,
        w: h * w,
        out_h: channels,
        out_w: h * w,
        kernel: [2 * radius + 1, 1],
        stride: [1, 1],
        dilation: [1, 1],
        pads: [radius, radius, 0, 0],
        layout: Layout::Nchw,
        dtype: fact.dtype,
    };
    let x = b.reshape(x, &rows)?;
    let y = b.task1(Task::Pool(pool), &[x], Fact::new(fact.dtype, &rows));
    b.reshape(y, &fact.shape)
}

impl LRN {
    fn radius(&self) -> Result<usize, OpError> {
        let x = &self.x;
        let [_, c, _, _] = x.fact.ranked()?;
        ensure!(x.dtype().is_float(), "expected floats [n, c, h, w], found {}", x.fact);
        ensure!(self.norm_region == "ACROSS_CHANNELS", "unknown norm_region {:?}", self.norm_region);
        Ok(size(self.depth_radius, "depth_radius")?.min(c))
    }
}

impl Rule for LRN {
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        self.radius()?;
        Ok(vec![self.x.fact.clone()])
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        let (radius, x, dims) = (self.radius()?, self.x.f64s()?, self.x.shape());
        let y = Groups::new(dims, &[1]).replace(&x, 0.0, |x| {
            let norm = |(channel, own): (usize, &f64)| {
                let (first, end) = (channel.saturating_sub(radius), channel + radius + 1);
                let sum: f64 = x.iter().take(end).skip(first).map(|near| near.powi(2)).sum();
                own / (self.bias + self.alpha * sum).powf(self.beta)
            };
            x.iter().enumerate().map(norm).collect()
        })?;
        Ok(vec![Tensor::from_f64s(self.x.dtype(), dims, &y)?])
    }

    fn lower(&self, b: &mut Lowering) -> Lowers {
        let (radius, dtype, dims) = (self.radius()?, self.x.dtype(), self.x.shape());
        if self.x.count() == 0 {
            return Ok(Some(vec![self.x.v]));
        }
        let wide = DType::promote(dtype, DType::F32);
        let x = b.cast(self.x.v, wide);
        let squares = b.unary(Unary::Square, x);
        let means = near_means(b, squares, radius)?;
        let near = (2 * radius + 1) as f64;
        let mut p = Program::new();
        let (x, mean) = (p.input(0, dtype), p.input(1, wide));
        let x = p.cast(x, wide);
        let (alpha, bias) = (p.constant(self.alpha * near, wide), p.constant(self.bias, wide));
        let sum = p.binary(Binary::Mul, mean, alpha);
        let sum = p.binary(Binary::Add, sum, bias);
        let power = p.constant(-self.beta, wide);
        let factor = p.binary(Binary::Pow, sum, power);
        let y = p.binary(Binary::Mul, x, factor);
        p.cast(y, dtype);
        Ok(Some(vec![b.map(p, &[self.x.v, means], dims)]))
    }

    fn cases() -> Vec<Case> {
        vec![
            sample().tensor(DType::F32, &[2, 7, 2, 3]).int(2).real(1.0).real(0.5).real(0.75).case("near"),
            sample().tensor(DType::F32, &[1, 3, 2, 2]).case("all channels"),
        ]
    }
}
