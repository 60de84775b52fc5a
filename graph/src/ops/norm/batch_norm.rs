use crate::onnx::{Edge, Emit, Forms, NoForm};
use crate::op::{Case, Effect, Lowers, Operand, Operator, Rule, Writes};
use crate::ops::kit::broadcasting::{Groups, spread};
use crate::ops::kit::indices::{around, column, dim};
use crate::ops::kit::sample::sample;
use crate::ops::kit::window::Format;
use crate::task::{Binary, Lowering, Program, ReduceKind, Unary, V};
use crate::{DType, Fact, OpError, Shape, Tensor, ensure, op};

/// Normalisation of each channel of `x` by one mean and variance, and what the operators return besides.
struct Channels<'a> {
    x: &'a Operand,
    /// Scale, shift, running mean and running variance; vectors as long as the channel dimension.
    params: [&'a Operand; 4],
    channel: usize,
    training: bool,
    eps: f64,
    momentum: f64,
}

impl Channels<'_> {
    /// `BatchNormalization`; `None` if the channels are elsewhere, or the types differ.
    fn onnx(&self, e: &mut Emit) -> Result<Option<Edge>, NoForm> {
        let dtype = self.x.dtype();
        if self.training || self.channel != 1 || self.stats() != dtype || dtype == DType::BF16 {
            return Ok(None);
        }
        let mut inputs = vec![e.edge(self.x)?];
        for p in self.params {
            inputs.push(e.edge(p)?);
        }
        Ok(Some(e.op_with("BatchNormalization", &inputs, vec![("epsilon", (self.eps as f32).into())])))
    }

    /// The number of channels.
    fn c(&self) -> Result<usize, OpError> {
        dim(self.x.shape(), self.channel)
    }

    /// Element type of the statistics.
    fn stats(&self) -> DType {
        self.params[0].dtype()
    }

    /// Facts of `y`, and of one statistic.
    fn infer(&self) -> Result<(Fact, Fact), OpError> {
        let x = &self.x.fact;
        ensure!(x.rank() >= 2 && x.dtype.is_float(), "expected floats of rank 2 or more, found {x}");
        let c = self.c()?;
        let stats = Fact::new(self.stats(), &[c]);
        for p in self.params {
            let fits = p.fact == stats && p.dtype().is_float();
            ensure!(fits, "expected 4 vectors of {c} floats of one type for {x}, found {}", p.fact);
        }
        ensure!(self.eps.is_finite() && self.eps >= 0.0, "expected a positive epsilon, found {}", self.eps);
        Ok((Fact::clone(x), stats))
    }

    /// All dimensions but that of channels.
    fn axes(&self) -> Vec<usize> {
        (0..self.x.rank()).filter(|&d| d != self.channel).collect()
    }

    /// Mean and biased variance of each channel.
    fn moments(&self, x: &[f64]) -> Result<(Vec<f64>, Vec<f64>), OpError> {
        let moments = Groups::new(self.x.shape(), &self.axes()).map(x, |x| {
            let n = x.len() as f64;
            let mean = x.iter().fold(0.0, |sum, v| sum + v / n);
            (mean, x.iter().fold(0.0, |sum, v| sum + (v - mean).powi(2) / n))
        })?;
        Ok(moments.into_iter().unzip())
    }

    /// `n / (n − 1)` for `n` elements of a channel, which turns a biased variance into an unbiased one.
    fn bessel(&self) -> Result<f64, OpError> {
        let [outer, _, inner] = around(self.x.shape(), self.channel)?;
        let n = (outer * inner) as f64;
        Ok(if n > 1.0 { n / (n - 1.0) } else { 1.0 })
    }

    /// `y`; mean and variance used; new running mean and variance.
    fn reference(&self) -> Result<[Tensor; 5], OpError> {
        let x = self.x.f64s()?;
        let [gamma, beta, run_mean, run_var] = self.params.map(Operand::f64s);
        let (gamma, beta, run_mean, run_var) = (gamma?, beta?, run_mean?, run_var?);
        let (mean, var) = if self.training { self.moments(&x)? } else { (run_mean.clone(), run_var.clone()) };
        let dims = self.on_channel()?;
        let each = |values: &[f64]| spread(values, &dims, self.x.shape());
        let scaled = each(&mean)?.into_iter().zip(each(&var)?).zip(each(&gamma)?).zip(each(&beta)?);
        let normal = x
            .iter()
            .zip(scaled)
            .map(|(v, (((mean, var), gamma), beta))| (v - mean) / (var + self.eps).sqrt() * gamma + beta);
        let y: Vec<f64> = normal.collect();
        let bessel = self.bessel()?;
        let keep = |old: &f64, new: f64| (1.0 - self.momentum) * old + self.momentum * new;
        let new_mean: Vec<f64> = run_mean.iter().zip(&mean).map(|(o, n)| keep(o, *n)).collect();
        let new_var: Vec<f64> = run_var.iter().zip(&var).map(|(o, n)| keep(o, n * bessel)).collect();
        let vector = |v: &[f64]| Tensor::from_f64s(self.stats(), &[v.len()], v);
        let y = Tensor::from_f64s(self.x.dtype(), self.x.shape(), &y)?;
        Ok([y, vector(&mean)?, vector(&var)?, vector(&new_mean)?, vector(&new_var)?])
    }

    /// Element type to compute in.
    fn wide(&self) -> DType {
        DType::promote(self.x.dtype(), self.stats())
    }

    /// Dimensions with which a vector of channels broadcasts to `x`.
    fn on_channel(&self) -> Result<Shape, OpError> {
        Ok(column(self.c()?, self.x.rank() - self.channel - 1))
    }

    /// `x · scale + shift`.
    fn affine(&self, b: &mut Lowering, scale: V, shift: V) -> Result<V, OpError> {
        let dims = self.on_channel()?;
        let (scale, shift) = (b.reshape(scale, &dims)?, b.reshape(shift, &dims)?);
        let mut p = Program::new();
        let x = p.input(0, self.x.dtype());
        let x = p.cast(x, self.wide());
        let s = p.input(1, self.wide());
        let y = p.binary(Binary::Mul, x, s);
        let t = p.input(2, self.wide());
        let y = p.binary(Binary::Add, y, t);
        p.cast(y, self.x.dtype());
        Ok(b.map(p, &[self.x.v, scale, shift], self.x.shape()))
    }

    /// The factor and the summand of each channel for these statistics.
    fn factors(&self, b: &mut Lowering, mean: V, var: V) -> Result<(V, V), OpError> {
        let c = self.c()?;
        let [gamma, beta] = [self.params[0].v, self.params[1].v].map(|v| b.cast(v, self.wide()));
        let (mean, var) = (b.cast(mean, self.wide()), b.cast(var, self.wide()));
        let scale_of = |p: &mut Program, var: usize, gamma: usize| {
            let var = p.input(var, self.wide());
            let eps = p.constant(self.eps, self.wide());
            let var = p.binary(Binary::Add, var, eps);
            let r = p.unary(Unary::Rsqrt, var);
            let gamma = p.input(gamma, self.wide());
            p.binary(Binary::Mul, gamma, r)
        };
        let mut p = Program::new();
        scale_of(&mut p, 0, 1);
        let scale = b.map(p, &[var, gamma], &[c]);
        let mut p = Program::new();
        let s = scale_of(&mut p, 0, 1);
        let m = p.input(2, self.wide());
        let ms = p.binary(Binary::Mul, m, s);
        let beta_r = p.input(3, self.wide());
        p.binary(Binary::Sub, beta_r, ms);
        let shift = b.map(p, &[var, gamma, mean, beta], &[c]);
        Ok((scale, shift))
    }

    /// As [`Channels::factors`] for the running statistics, computed now.
    fn constants(&self, b: &mut Lowering) -> Result<Option<(V, V)>, OpError> {
        if self.params.iter().any(|p| p.known.is_none()) {
            return Ok(None);
        }
        let [gamma, beta, mean, var] = self.params.map(Operand::f64s);
        let scale: Vec<f64> = gamma?.iter().zip(&var?).map(|(g, v)| g / (v + self.eps).sqrt()).collect();
        let shift: Vec<f64> = beta?.iter().zip(&mean?).zip(&scale).map(|((b, m), s)| b - m * s).collect();
        let [scale, shift] = [scale, shift].map(|v| Tensor::from_f64s(self.wide(), &[v.len()], &v));
        Ok(Some((b.constant(scale?), b.constant(shift?))))
    }

    fn lower_inference(&self, b: &mut Lowering) -> Result<V, OpError> {
        let (scale, shift) = match self.constants(b)? {
            Some(pair) => pair,
            None => self.factors(b, self.params[2].v, self.params[3].v)?,
        };
        self.affine(b, scale, shift)
    }

    /// As [`Channels::reference`], with the statistics of this batch.
    fn lower_training(&self, b: &mut Lowering) -> Result<[V; 5], OpError> {
        let axes = self.axes();
        let x = b.cast(self.x.v, self.wide());
        let mean = b.reduce(ReduceKind::Mean, x, &axes, false, self.wide())?;
        let centre = b.reshape(mean, &self.on_channel()?)?;
        let centred = b.binary(Binary::Sub, x, centre)?;
        let squares = b.unary(Unary::Square, centred);
        let var = b.reduce(ReduceKind::Mean, squares, &axes, false, self.wide())?;
        let (scale, shift) = self.factors(b, mean, var)?;
        let y = self.affine(b, scale, shift)?;
        let (mean, var) = (b.cast(mean, self.stats()), b.cast(var, self.stats()));
        let new_mean = self.keep(b, self.params[2].v, mean, self.momentum)?;
        let new_var = self.keep(b, self.params[3].v, var, self.momentum * self.bessel()?)?;
        Ok([y, mean, var, new_mean, new_var])
    }

    /// `(1 − momentum) · old + weight · new`.
    fn keep(&self, b: &mut Lowering, old: V, new: V, weight: f64) -> Result<V, OpError> {
        let mut p = Program::new();
        let (o, n) = (p.input(0, self.stats()), p.input(1, self.stats()));
        let (k, w) = (p.constant(1.0 - self.momentum, self.stats()), p.constant(weight, self.stats()));
        let (o, n) = (p.binary(Binary::Mul, o, k), p.binary(Binary::Mul, n, w));
        p.binary(Binary::Add, o, n);
        Ok(b.map(p, &[old, new], &[self.c()?]))
    }
}

op! {
    /// Normalises every channel: `(input_x − mean) / √(variance + epsilon) · scale + bias`.
    ///
    /// `input_x`: a float type, rank 2 or more; channels in dimension 1, or last for a channels-last `data_format`. The other
    /// operands: a float for each channel. In training, mean and biased variance are those of the batch, and `mean` and
    /// `variance` become `(1 − momentum) · old + momentum · new`, with the unbiased variance; otherwise they are `mean` and
    /// `variance`. Results: `y`, then twice the mean and variance used.
    BatchNorm, aliases ["FusedBatchNorm", "FusedBatchNormEx"] {
        input_x ["x"]: Operand,
        scale ["gamma"]: Operand,
        bias ["beta", "offset"]: Operand,
        mean: Operand,
        variance: Operand,
        is_training: bool = false,
        epsilon ["eps"]: f64 = 1e-5,
        momentum: f64 = 0.1,
        data_format ["format"]: Format = Format::Nchw,
    }
}

impl BatchNorm {
    fn channels(&self) -> Result<Channels<'_>, OpError> {
        ensure!(self.input_x.rank() >= 2, "expected rank 2 or more, found {}", self.input_x.fact);
        Ok(Channels {
            x: &self.input_x,
            params: [&self.scale, &self.bias, &self.mean, &self.variance],
            channel: self.data_format.channel(self.input_x.rank()),
            training: self.is_training,
            eps: self.epsilon,
            momentum: self.momentum,
        })
    }
}

impl Operator for BatchNorm {
    const EFFECT: Effect = Effect::WritesIf(5, Writes { args: &[3, 4], from: 5, hidden: 2 });

    fn rule(&self) -> Result<impl Rule, OpError> {
        Ok(self)
    }

    fn cases() -> Vec<Case> {
        use DType::*;
        let one = |dtype, x: &[usize], c: usize| {
            let s = sample().tensor(dtype, x).tensor(F32, &[c]).tensor(F32, &[c]).tensor(F32, &[c]);
            s.positive(F32, &[c])
        };
        vec![
            one(F32, &[2, 3, 4, 5], 3).flag(false).real(1e-5).real(0.1).case("inference"),
            one(F32, &[2, 3], 3).flag(false).real(1e-3).case("matrix"),
            one(F32, &[2, 4, 5, 3], 3).flag(false).real(1e-5).real(0.1).text("NHWC").case("channels last"),
            one(F16, &[2, 3, 4], 3).case("f16"),
            one(F32, &[4, 3, 2, 3], 3).flag(true).real(1e-5).real(0.1).case("training"),
            one(F32, &[1, 3], 3).flag(true).real(1e-5).real(0.1).case("training, one element"),
        ]
    }
}

impl Rule for &BatchNorm {
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        let (y, stats) = self.channels()?.infer()?;
        let extra = if self.is_training { 6 } else { 4 };
        Ok(std::iter::once(y).chain(std::iter::repeat_n(stats, extra)).collect())
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        let [y, mean, var, new_mean, new_var] = self.channels()?.reference()?;
        let mut out = vec![y, mean.clone(), var.clone(), mean, var];
        if self.is_training {
            out.extend([new_mean, new_var]);
        }
        Ok(out)
    }

    fn lower(&self, b: &mut Lowering) -> Lowers {
        let channels = self.channels()?;
        if self.input_x.count() == 0 {
            return Ok(None);
        }
        if !self.is_training {
            let (mean, var) = (self.mean.v, self.variance.v);
            return Ok(Some(vec![channels.lower_inference(b)?, mean, var, mean, var]));
        }
        let [y, mean, var, new_mean, new_var] = channels.lower_training(b)?;
        Ok(Some(vec![y, mean, var, mean, var, new_mean, new_var]))
    }

    fn onnx(&self, e: &mut Emit) -> Forms {
        let Some(y) = self.channels()?.onnx(e)? else { return Ok(None) };
        let (mean, var) = (e.edge(&self.mean)?, e.edge(&self.variance)?);
        Ok(Some(vec![y, mean, var, mean, var]))
    }
}

op! {
    /// As `BatchNorm` without effects: normalises every channel (dimension 1), with the batch's own statistics in training.
    /// Results: `y`, the mean used, and `1 / √(variance + epsilon)`. `None` stands for a weight of 1, a bias of 0, a mean of
    /// 0 and a variance of 1.
    BatchNormExt {
        input: Operand,
        weight: Option<Operand> = None,
        bias: Option<Operand> = None,
        running_mean: Option<Operand> = None,
        running_var ["runnning_var"]: Option<Operand> = None,
        training: bool = false,
        momentum: f64 = 0.1,
        epsilon: f64 = 1e-5,
    }
}

impl BatchNormExt {
    /// The four parameters, constants in place of missing ones; `constant` makes them.
    fn params(&self, mut constant: impl FnMut(Tensor) -> V) -> Result<[Operand; 4], OpError> {
        ensure!(self.input.rank() >= 2, "expected rank 2 or more, found {}", self.input.fact);
        let given = [&self.weight, &self.bias, &self.running_mean, &self.running_var];
        let dtype = given.iter().find_map(|p| p.as_ref().map(Operand::dtype)).unwrap_or(self.input.dtype());
        ensure!(dtype.is_float(), "expected floats, found {dtype}");
        let c = dim(self.input.shape(), 1)?;
        let mut fill = |p: &Option<Operand>, value: f64| match p {
            Some(p) => Ok(p.clone()),
            None => {
                let t = Tensor::from_f64s(dtype, &[c], &vec![value; c])?;
                Ok::<_, OpError>(Operand { v: constant(t.clone()), fact: t.fact().into(), known: Some(t) })
            }
        };
        Ok([fill(given[0], 1.0)?, fill(given[1], 0.0)?, fill(given[2], 0.0)?, fill(given[3], 1.0)?])
    }

    fn channels<'a>(&'a self, params: &'a [Operand; 4]) -> Channels<'a> {
        let (training, eps, momentum) = (self.training, self.epsilon, self.momentum);
        Channels { x: &self.input, params: params.each_ref(), channel: 1, training, eps, momentum }
    }
}

impl Rule for BatchNormExt {
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        let params = self.params(|_| self.input.v)?;
        let (y, stats) = self.channels(&params).infer()?;
        Ok(vec![y, stats.clone(), stats])
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        let params = self.params(|_| self.input.v)?;
        let [y, mean, var, ..] = self.channels(&params).reference()?;
        let scale: Vec<f64> = var.to_f64s()?.iter().map(|v| 1.0 / (v + self.epsilon).sqrt()).collect();
        Ok(vec![y, mean, Tensor::from_f64s(var.dtype(), var.shape(), &scale)?])
    }

    fn lower(&self, b: &mut Lowering) -> Lowers {
        if self.input.count() == 0 {
            return Ok(None);
        }
        let params = self.params(|t| b.constant(t))?;
        let channels = self.channels(&params);
        let [y, mean, var] = if self.training {
            let [y, mean, var, ..] = channels.lower_training(b)?;
            [y, mean, var]
        } else {
            [channels.lower_inference(b)?, params[2].v, params[3].v]
        };
        let mut p = Program::new();
        let (v, eps) = (p.input(0, channels.stats()), p.constant(self.epsilon, channels.stats()));
        let sum = p.binary(Binary::Add, v, eps);
        p.unary(Unary::Rsqrt, sum);
        let scale = b.map(p, &[var], &[channels.c()?]);
        Ok(Some(vec![y, mean, scale]))
    }

    fn cases() -> Vec<Case> {
        use DType::F32;
        let s = sample().tensor(F32, &[2, 3, 4]);
        let full = s.clone().tensor(F32, &[3]).tensor(F32, &[3]).tensor(F32, &[3]).positive(F32, &[3]);
        vec![
            full.clone().flag(false).case("inference"),
            full.flag(true).real(0.1).real(1e-3).case("training"),
            s.none().none().none().none().flag(true).case("without parameters"),
        ]
    }
}
