use crate::bounds::Pulse;
use crate::onnx::{Edge, Emit, Forms, NoForm, Size, machine, no_form, to_i64};
use crate::op::{Case, Ints, Lowers, Operand, Operator, Rule};
use crate::ops::conv::grouped::check_groups;
use crate::ops::kit::broadcasting::spread;
use crate::ops::kit::indices::{column, only, size, sizes};
use crate::ops::kit::sample::{Sample, sample};
use crate::ops::linear::product::reshaped;
use crate::task::{Binary, Lowering, NormKind, Program, Unary, V};
use crate::{DType, Fact, OpError, Shape, Tensor, broadcast, count, ensure, op};

/// What normalisation operators return for each row besides the result.
#[derive(Clone, Copy, PartialEq)]
enum Spread {
    Variance,
    InverseDeviation,
}

/// Normalisation of rows: the dimensions from `axis` on.
struct Rows<'a> {
    kind: NormKind,
    x: &'a Operand,
    axis: usize,
    gamma: Option<&'a Operand>,
    beta: Option<&'a Operand>,
    eps: f64,
    spread: Spread,
}

impl Rows<'_> {
    /// `y`; mean and spread of each row.
    fn form(&self, e: &mut Emit) -> Result<[Edge; 3], NoForm> {
        let (dtype, axis) = (self.x.dtype(), self.axis);
        let row = self.x.dims().into_iter().skip(axis).collect::<Vec<_>>();
        let fits = |p: Option<&Operand>| {
            p.is_none_or(|p| p.dims() == row && row.iter().all(Option::is_some) && p.dtype() == dtype)
        };
        if self.kind == NormKind::Layer
            && self.gamma.is_some()
            && fits(self.gamma)
            && fits(self.beta)
            && dtype != DType::BF16
        {
            let (x, gamma) = (e.edge(self.x)?, self.gamma.map(|p| e.edge(p)).transpose()?);
            let beta = self.beta.map(|p| e.edge(p)).transpose()?;
            let attrs = vec![("axis", (axis as i64).into()), ("epsilon", (self.eps as f32).into())];
            let [y, mean, inverse] = e.results("LayerNormalization", &[Some(x), gamma, beta], attrs);
            // The statistics are f32, or as precise as the operand.
            let stats = if dtype == DType::F64 { dtype } else { DType::F32 };
            let [mean, inverse] = [mean, inverse].map(|s| e.cast(s, stats, DType::F32));
            return Ok([y, mean, self.spread(e, inverse)?]);
        }
        self.composed(e)
    }

    /// The variance from the inverse deviation, or that itself.
    fn spread(&self, e: &mut Emit, inverse: Edge) -> Result<Edge, NoForm> {
        if self.spread == Spread::InverseDeviation {
            return Ok(inverse);
        }
        let square = e.op("Mul", &[inverse, inverse]);
        let (sum, eps) = (e.op("Reciprocal", &[square]), e.number(DType::F32, self.eps)?);
        let var = e.op("Sub", &[sum, eps]);
        Ok(e.op("Relu", &[var]))
    }

    /// As [`Rows::form`], step by step.
    fn composed(&self, e: &mut Emit) -> Result<[Edge; 3], NoForm> {
        let (dtype, wide) = (self.x.dtype(), DType::promote(self.x.dtype(), DType::F32));
        let axes: Vec<usize> = (self.axis..self.x.rank()).collect();
        let x = e.as_type(self.x, wide)?;
        let mean = e.reduce("ReduceMean", x, &axes, true);
        let centred = if self.kind == NormKind::Layer { e.op("Sub", &[x, mean]) } else { x };
        let squares = e.op("Mul", &[centred, centred]);
        let (var, eps) = (e.reduce("ReduceMean", squares, &axes, true), e.number(wide, self.eps)?);
        let sum = e.op("Add", &[var, eps]);
        let root = e.op("Sqrt", &[sum]);
        let mut y = e.op("Div", &[centred, root]);
        for (op, p) in [("Mul", self.gamma), ("Add", self.beta)] {
            if let Some(p) = p {
                let p = e.as_type(p, wide)?;
                y = e.op(op, &[y, p]);
            }
        }
        let stat = if self.spread == Spread::Variance { var } else { e.op("Reciprocal", &[root]) };
        Ok([e.cast(y, wide, dtype), e.cast(mean, wide, DType::F32), e.cast(stat, wide, DType::F32)])
    }

    /// Facts of `y`, and of one statistic.
    fn facts(&self) -> Result<[Fact; 2], OpError> {
        let x = &self.x.fact;
        ensure!(x.dtype.is_float(), "expected floats, found {x}");
        ensure!(self.eps.is_finite() && self.eps >= 0.0, "expected a positive epsilon, found {}", self.eps);
        for p in [self.gamma, self.beta].into_iter().flatten() {
            ensure!(p.dtype().is_float(), "expected floats, found {}", p.fact);
            let fits = broadcast(p.shape(), &x.shape).is_some_and(|s| s == x.shape);
            ensure!(fits, "parameters {} do not broadcast to {x}", p.fact);
        }
        let row = x.shape.iter().enumerate().map(|(d, &len)| if d < self.axis { len } else { 1 }).collect();
        Ok([Fact::clone(x), Fact { dtype: DType::F32, shape: row }])
    }

    /// Dimensions of a row.
    fn row(&self) -> &[usize] {
        self.x.shape().get(self.axis..).unwrap_or_default()
    }

    /// The parameter's value for every element of `x`.
    fn spread_out(&self, p: Option<&Operand>, otherwise: f64) -> Result<Vec<f64>, OpError> {
        let Some(p) = p else { return Ok(vec![otherwise; self.x.count()]) };
        spread(&p.f64s()?, p.shape(), self.x.shape())
    }

    /// The normalised elements, before the parameters; mean and spread of each row.
    fn normalised(&self) -> Result<[Vec<f64>; 3], OpError> {
        let (x, [_, row]) = (self.x.f64s()?, self.facts()?);
        let (cols, mut pulse) = (count(self.row()), Pulse::default());
        let (mut normal, mut means, mut spreads) = (Vec::with_capacity(x.len()), Vec::new(), Vec::new());
        for values in x.chunks(cols.max(1)) {
            pulse.turns(values.len())?;
            let n = values.len() as f64;
            let mean = if self.kind == NormKind::Layer { values.iter().sum::<f64>() / n } else { 0.0 };
            let var = values.iter().map(|v| (v - mean).powi(2)).sum::<f64>() / n;
            let inverse = 1.0 / (var + self.eps).sqrt();
            normal.extend(values.iter().map(|v| (v - mean) * inverse));
            means.push(mean);
            spreads.push(if self.spread == Spread::Variance { var } else { inverse });
        }
        means.resize(row.count(), f64::NAN);
        spreads.resize(row.count(), f64::NAN);
        Ok([normal, means, spreads])
    }

    /// `y` from normalised elements.
    fn scaled(&self, normal: &[f64]) -> Result<Tensor, OpError> {
        let (gamma, beta) = (self.spread_out(self.gamma, 1.0)?, self.spread_out(self.beta, 0.0)?);
        let y: Vec<f64> = normal.iter().zip(&gamma).zip(&beta).map(|((v, g), b)| v * g + b).collect();
        Ok(Tensor::from_f64s(self.x.dtype(), self.x.shape(), &y)?)
    }

    /// The parameter as a row of the operand's type, if it has one value for each element of a row.
    fn row_parameter(&self, b: &mut Lowering, p: Option<&Operand>) -> Option<V> {
        p.filter(|p| p.shape() == self.row()).map(|p| b.cast(p.v, self.x.dtype()))
    }

    fn lower_y(&self, b: &mut Lowering) -> Result<V, OpError> {
        let (gamma, beta) = (self.row_parameter(b, self.gamma), self.row_parameter(b, self.beta));
        let inside = gamma.is_some() == self.gamma.is_some() && beta.is_some() == self.beta.is_some();
        if inside {
            return only(b.norm(self.kind, self.x.v, self.axis, gamma, beta, self.eps, false));
        }
        let mut y = only(b.norm(self.kind, self.x.v, self.axis, None, None, self.eps, false))?;
        for (f, p) in [(Binary::Mul, self.gamma), (Binary::Add, self.beta)] {
            if let Some(p) = p {
                let p = b.cast(p.v, self.x.dtype());
                y = b.binary(f, y, p)?;
            }
        }
        Ok(y)
    }

    /// Mean (layer only) and spread of each row.
    fn lower_stats(&self, b: &mut Lowering) -> Vec<V> {
        let mut stats = b.norm(self.kind, self.x.v, self.axis, None, None, self.eps, true).split_off(1);
        if let (Spread::Variance, Some(last)) = (self.spread, stats.last_mut()) {
            let dims = b.fact(*last).shape.clone();
            let mut p = Program::new();
            let inverse = p.input(0, DType::F32);
            let square = p.unary(Unary::Square, inverse);
            let sum = p.unary(Unary::Reciprocal, square);
            let eps = p.constant(self.eps, DType::F32);
            let var = p.binary(Binary::Sub, sum, eps);
            p.unary(Unary::Relu, var);
            *last = b.map(p, &[*last], &dims);
        }
        stats
    }

    /// `y` and the statistics that the operators return: root mean squares come without a mean.
    fn returned<T>(&self, [y, mean, spread]: [T; 3]) -> Vec<T> {
        if self.kind == NormKind::Rms { vec![y, spread] } else { vec![y, mean, spread] }
    }
}

impl Rule for Rows<'_> {
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        let [y, row] = self.facts()?;
        Ok(self.returned([y, row.clone(), row]))
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        let ([normal, means, spreads], [_, row]) = (self.normalised()?, self.facts()?);
        let [means, spreads] = [means, spreads].map(|v| Tensor::from_f64s(row.dtype, &row.shape, &v));
        Ok(self.returned([self.scaled(&normal)?, means?, spreads?]))
    }

    fn lower(&self, b: &mut Lowering) -> Lowers {
        self.facts()?;
        if self.x.count() == 0 {
            return Ok(None);
        }
        let mut out = vec![self.lower_y(b)?];
        out.extend(self.lower_stats(b));
        Ok(Some(out))
    }

    fn onnx(&self, e: &mut Emit) -> Forms {
        Ok(Some(self.returned(self.form(e)?)))
    }
}

/// Checks that parameters have the dimensions of `x` from `axis` on.
fn exactly(x: &Operand, axis: usize, params: [Option<&Operand>; 2]) -> Result<(), OpError> {
    for p in params.into_iter().flatten() {
        let fits = p.rank() == x.rank() - axis && ends_with(x, &p.dims());
        ensure!(fits, "expected parameters with the dimensions of {} from {axis} on, found {}", x.fact, p.fact);
    }
    Ok(())
}

/// Whether the last dimensions of `x` are `dims`, or may be where one is open.
fn ends_with(x: &Operand, dims: &[Option<usize>]) -> bool {
    let own = x.dims();
    let start = own.len().checked_sub(dims.len());
    let fits = |(a, b): (&Option<usize>, &Option<usize>)| a.zip(*b).is_none_or(|(a, b)| a == b);
    start.is_some_and(|start| own.iter().skip(start).zip(dims).all(fits))
}

macro_rules! layer_norm_op {
    ($(#[doc = $doc:literal])+ $name:ident $spread:expr) => {
        op! {
            $(#[doc = $doc])+
            $name {
                input_x ["x"]: Operand,
                gamma: Operand,
                beta: Operand,
                begin_norm_axis: i64 = 1,
                begin_params_axis: i64 = 1,
                epsilon: f64 = 1e-7,
            }
        }

        impl Operator for $name {
            fn rule(&self) -> Result<impl Rule, OpError> {
                let (x, gamma, beta) = (&self.input_x, Some(&self.gamma), Some(&self.beta));
                let (axis, params) = (x.axis(self.begin_norm_axis)?, x.axis(self.begin_params_axis)?);
                exactly(x, params, [gamma, beta])?;
                Ok(Rows { kind: NormKind::Layer, x, axis, gamma, beta, eps: self.epsilon, spread: $spread })
            }

            fn cases() -> Vec<Case> {
                let one = |dtype, x: &[usize], p: &[usize]| sample().tensor(dtype, x).tensor(dtype, p).tensor(dtype, p);
                vec![
                    one(DType::F32, &[2, 3, 7], &[7]).int(-1).int(-1).real(1e-5).case("last"),
                    one(DType::F32, &[2, 3, 4], &[3, 4]).int(1).int(1).real(1e-5).case("two dimensions"),
                    one(DType::F32, &[2, 3, 4], &[4]).int(1).int(2).real(1e-3).case("shorter parameters"),
                    one(DType::F16, &[3, 8], &[8]).int(1).int(1).real(1e-3).case("f16"),
                ]
            }
        }
    };
}

layer_norm_op! {
    /// Normalises the dimensions from `begin_norm_axis` on: `(x − mean) / √(variance + epsilon) · gamma + beta`.
    ///
    /// `input_x`: a float type. `gamma` and `beta`: the dimensions of `input_x` from `begin_params_axis` on. Results: `y`, and
    /// as `f32` with the normalised dimensions as 1 the mean and the biased variance.
    LayerNorm Spread::Variance
}

layer_norm_op! {
    /// As `LayerNorm`; the third result is `1 / √(variance + epsilon)`.
    LayerNormV3 Spread::InverseDeviation
}

op! {
    /// Normalises the last dimensions, which are `normalized_shape`: `(x − mean) / √(variance + eps) · weight + bias`.
    ///
    /// `input`: a float type. `weight`, `bias`: of shape `normalized_shape`, or `None`. Results: `y`, and as `f32` with the
    /// normalised dimensions as 1 the mean and `1 / √(variance + eps)`.
    LayerNormExt {
        input: Operand,
        normalized_shape: Ints,
        weight: Option<Operand> = None,
        bias: Option<Operand> = None,
        eps: f64 = 1e-5,
    }
}

impl Operator for LayerNormExt {
    fn rule(&self) -> Result<impl Rule, OpError> {
        let dims = sizes(&self.normalized_shape, "normalized_shape")?;
        let known: Vec<Option<usize>> = dims.iter().copied().map(Some).collect();
        let (x, gamma, beta) = (&self.input, self.weight.as_ref(), self.bias.as_ref());
        ensure!(!dims.is_empty() && ends_with(x, &known), "{} does not end with {dims:?}", x.fact);
        let axis = x.rank() - dims.len();
        exactly(x, axis, [gamma, beta])?;
        let spread = Spread::InverseDeviation;
        Ok(Rows { kind: NormKind::Layer, x, axis, gamma, beta, eps: self.eps, spread })
    }

    fn cases() -> Vec<Case> {
        let x = sample().tensor(DType::F32, &[2, 3, 5]).ints(&[5]);
        vec![
            x.clone().tensor(DType::F32, &[5]).tensor(DType::F32, &[5]).real(1e-5).case("parameters"),
            x.none().none().case("without parameters"),
        ]
    }
}

op! {
    /// `x / √(mean(x²) + epsilon) · gamma` over the last dimensions, as many as `gamma` has.
    ///
    /// `x`: a float type. Results: `y`, and as `f32` with the normalised dimensions as 1 the inverse root.
    RmsNorm { x: Operand, gamma: Operand, epsilon ["eps"]: f64 = 1e-6 }
}

impl Operator for RmsNorm {
    fn rule(&self) -> Result<impl Rule, OpError> {
        let (x, gamma) = (&self.x, &self.gamma);
        let fits = gamma.rank() > 0 && ends_with(x, &gamma.dims());
        ensure!(fits, "{} does not end with the dimensions of {}", x.fact, gamma.fact);
        let (axis, gamma, spread) = (x.rank() - gamma.rank(), Some(gamma), Spread::InverseDeviation);
        Ok(Rows { kind: NormKind::Rms, x, axis, gamma, beta: None, eps: self.epsilon, spread })
    }

    fn cases() -> Vec<Case> {
        vec![
            sample().tensor(DType::F32, &[2, 3, 5]).tensor(DType::F32, &[5]).real(1e-5).case("last"),
            sample().tensor(DType::F32, &[2, 3, 4]).tensor(DType::F32, &[3, 4]).case("two dimensions"),
        ]
    }
}

/// Normalisation of groups of neighbouring channels (dimension 1) of each sample of `x`, with a weight and a bias for each
/// channel.
struct ChannelGroups<'a> {
    x: &'a Operand,
    groups: usize,
    weight: Option<&'a Operand>,
    bias: Option<&'a Operand>,
    eps: f64,
    spread: Spread,
    /// Type of the statistics.
    stats: DType,
    /// Whether the statistics are a vector and no matrix.
    flat: bool,
}

impl ChannelGroups<'_> {
    /// Batch, groups, and elements of a group.
    fn dims(&self) -> Result<[usize; 3], OpError> {
        let (x, groups) = (self.x, self.groups);
        let (&[n, c, ref inner @ ..], true) = (x.shape(), x.dtype().is_float()) else {
            return Err(OpError::Invalid(format!("expected floats of rank 2 or more, found {}", x.fact)));
        };
        check_groups(groups, c, c)?;
        for p in [self.weight, self.bias].into_iter().flatten() {
            let fits = p.shape() == [c] && p.dtype().is_float();
            ensure!(fits, "expected a float for each channel of {}, found {}", x.fact, p.fact);
        }
        ensure!(self.eps.is_finite() && self.eps >= 0.0, "expected a positive eps, found {}", self.eps);
        Ok([n, groups, c / groups * count(inner)])
    }

    /// The operand with the groups as rows.
    fn rows(&self) -> Result<Operand, OpError> {
        reshaped(self.x, self.x.v, &self.dims()?)
    }

    /// The rows' normalisation without parameters.
    fn plain<'a>(&self, x: &'a Operand) -> Rows<'a> {
        Rows { kind: NormKind::Layer, x, axis: 2, gamma: None, beta: None, eps: self.eps, spread: self.spread }
    }

    /// Dimensions of the statistics.
    fn stat_dims(&self) -> Result<Shape, OpError> {
        let [n, groups, _] = self.dims()?;
        Ok(if self.flat { Shape::from_slice(&[n * groups]) } else { Shape::from_slice(&[n, groups]) })
    }

    /// Dimensions that put parameter `p` on the channels.
    fn channel(&self, p: &Operand) -> Shape {
        column(p.count(), self.x.rank() - 2)
    }
}

impl Rule for ChannelGroups<'_> {
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        let stats = Fact { dtype: self.stats, shape: self.stat_dims()? };
        Ok(vec![self.x.fact.clone(), stats.clone(), stats])
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        let (rows, dims) = (self.rows()?, self.stat_dims()?);
        let [normal, means, spreads] = self.plain(&rows).normalised()?;
        let on_channels = |p: Option<&Operand>| p.map(|p| reshaped(p, p.v, &self.channel(p))).transpose();
        let (gamma, beta) = (on_channels(self.weight)?, on_channels(self.bias)?);
        let y = Rows { gamma: gamma.as_ref(), beta: beta.as_ref(), ..self.plain(self.x) }.scaled(&normal)?;
        let stat = |v: &[f64]| Ok::<_, OpError>(Tensor::from_f64s(DType::F32, &dims, v)?.cast(self.stats)?);
        Ok(vec![y, stat(&means)?, stat(&spreads)?])
    }

    fn lower(&self, b: &mut Lowering) -> Lowers {
        let (mut rows, dims) = (self.rows()?, self.stat_dims()?);
        if self.x.count() == 0 {
            return Ok(None);
        }
        rows.v = b.reshape(self.x.v, rows.shape())?;
        let y = self.plain(&rows).lower_y(b)?;
        let stats = self.plain(&rows).lower_stats(b);
        let y = b.reshape(y, self.x.shape())?;
        let mut p = Program::new();
        let mut ins = vec![y];
        let mut r = p.input(0, self.x.dtype());
        for (f, q) in [(Binary::Mul, self.weight), (Binary::Add, self.bias)] {
            let Some(q) = q else { continue };
            let value = p.input(ins.len(), q.dtype());
            let value = p.cast(value, self.x.dtype());
            r = p.binary(f, r, value);
            ins.push(b.reshape(q.v, &self.channel(q))?);
        }
        let y = if ins.len() > 1 { b.map(p, &ins, self.x.shape()) } else { y };
        let stat = |v: V| {
            let v = b.cast(v, self.stats);
            b.reshape(v, &dims)
        };
        let stats = stats.into_iter().map(stat).collect::<Result<Vec<_>, _>>()?;
        Ok(Some([vec![y], stats].concat()))
    }

    fn onnx(&self, e: &mut Emit) -> Forms {
        let (x, groups) = (self.x, self.groups);
        let (dtype, wide) = (x.dtype(), DType::promote(machine(x.dtype()), DType::F32));
        let Some(Some(channels)) = x.dims().get(1).copied() else { return no_form("groups of channels that are open") };
        check_groups(groups, channels, channels)?;
        let edge = e.as_type(x, wide)?;
        let mut sizes = e.sizes_of(x);
        sizes.splice(1..2, [Size::Fixed(groups as i64), Size::Fixed((channels / groups) as i64)]);
        let shape = e.sizes(&sizes)?;
        let rows = e.op("Reshape", &[edge, shape]);
        // The dimensions within a group, where channels are two dimensions.
        let inside: Vec<usize> = (2..x.rank() + 1).collect();
        let mean = e.reduce("ReduceMean", rows, &inside, true);
        let centred = e.op("Sub", &[rows, mean]);
        let squares = e.op("Mul", &[centred, centred]);
        let (var, eps) = (e.reduce("ReduceMean", squares, &inside, true), e.number(wide, self.eps)?);
        let sum = e.op("Add", &[var, eps]);
        let root = e.op("Sqrt", &[sum]);
        let y = e.op("Div", &[centred, root]);
        let sizes = e.sizes_of(x);
        let shape = e.sizes(&sizes)?;
        let mut y = e.op("Reshape", &[y, shape]);
        let axes: Vec<i64> = to_i64(&(1..x.rank() - 1).collect::<Vec<_>>());
        for (op, p) in [("Mul", self.weight), ("Add", self.bias)] {
            if let Some(p) = p {
                let p = e.as_type(p, wide)?;
                let p = e.unsqueeze(p, &axes);
                y = e.op(op, &[y, p]);
            }
        }
        let spread = if self.spread == Spread::Variance { var } else { e.op("Reciprocal", &[root]) };
        let stat = |e: &mut Emit, s| {
            let s = if self.flat { e.reshape(s, &[-1]) } else { e.squeeze(s, &to_i64(&inside)) };
            e.cast(s, wide, self.stats)
        };
        Ok(Some(vec![e.cast(y, wide, dtype), stat(e, mean), stat(e, spread)]))
    }
}

op! {
    /// Normalises groups of channels: `(x − mean) / √(variance + eps) · weight + bias`, with mean and biased variance over
    /// each of `num_groups` groups of neighbouring channels (dimension 1) of each sample.
    ///
    /// `input`: a float type, rank 2 or more. `weight`, `bias`: a float for each channel, or `None`. Results: `y`, and as
    /// `[n, num_groups]` the mean and `1 / √(variance + eps)`.
    GroupNorm {
        input ["x"]: Operand,
        num_groups: i64,
        weight ["gamma"]: Option<Operand> = None,
        bias ["beta"]: Option<Operand> = None,
        eps ["epsilon"]: f64 = 1e-5,
    }
}

impl Operator for GroupNorm {
    fn rule(&self) -> Result<impl Rule, OpError> {
        let (x, groups, spread) = (&self.input, size(self.num_groups, "num_groups")?, Spread::InverseDeviation);
        let (weight, bias) = (self.weight.as_ref(), self.bias.as_ref());
        Ok(ChannelGroups { x, groups, weight, bias, eps: self.eps, spread, stats: x.dtype(), flat: false })
    }

    fn cases() -> Vec<Case> {
        let one = |x: &[usize], groups| sample().tensor(DType::F32, x).int(groups);
        let params = |x: &[usize], c, groups| one(x, groups).tensor(DType::F32, &[c]).tensor(DType::F32, &[c]);
        vec![
            params(&[2, 6, 3, 4], 6, 3).real(1e-5).case("images"),
            params(&[2, 4, 5], 4, 1).real(1e-3).case("one group"),
            one(&[1, 4, 3], 2).none().none().case("without parameters"),
        ]
    }
}

op! {
    /// Normalises each channel of each sample by its own mean and biased variance:
    /// `(input_x − mean) / √(variance + epsilon) · gamma + beta`.
    ///
    /// `input_x`: floats `[n, c, …]`. `gamma`, `beta`: a float for each channel. The running statistics `mean` and `variance`
    /// have no influence and stay as they are. Results: `y`, and as `[n · c]` the mean and variance.
    classic InstanceNorm {
        input_x ["x"]: Operand,
        gamma: Operand,
        beta: Operand,
        mean: Operand,
        variance: Operand,
        epsilon: f64 = 1e-5,
        momentum: f64 = 0.1,
    }
}

impl Operator for InstanceNorm {
    fn rule(&self) -> Result<impl Rule, OpError> {
        let (x, weight, bias) = (&self.input_x, Some(&self.gamma), Some(&self.beta));
        let groups = x.dims().get(1).copied().flatten().unwrap_or(0);
        let (spread, stats) = (Spread::Variance, DType::F32);
        Ok(ChannelGroups { x, groups, weight, bias, eps: self.epsilon, spread, stats, flat: true })
    }

    fn cases() -> Vec<Case> {
        let vector = |s: Sample| s.tensor(DType::F32, &[3]);
        let s = vector(vector(vector(vector(sample().tensor(DType::F32, &[2, 3, 4, 5])))));
        vec![s.real(1e-5).case("images")]
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_default_epsilon_is_that_of_a_file() {
        let norm: LayerNormExt = sample().data(Tensor::scalar(0f32)).int(1).operator().unwrap();
        assert_eq!(norm.eps, f64::from(1e-5f32));
    }
}
