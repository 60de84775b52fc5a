//! Gradients of normalisations.

use crate::onnx::{Emit, Forms, no_form};
use crate::op::{Case, Ints, Lowers, Operand, Operator, Rule, ints};
use crate::ops::conv::grouped::check_groups;
use crate::ops::kit::broadcasting::{Groups, spread};
use crate::ops::kit::indices::{size, sizes};
use crate::ops::kit::sample::{Sample, sample};
use crate::ops::kit::window::Format;
use crate::task::{Binary, Lowering, Program, ReduceKind, Unary, V};
use crate::{DType, Fact, OpError, Shape, Tensor, checked_count, ensure, op};

/// What is known of how far elements are spread around their mean.
#[derive(Clone, Copy)]
enum Deviation<'a> {
    /// The variance, and a number that is added to it.
    Variance(&'a Operand, f64),
    /// `1 / √(variance + ε)`.
    Inverse(&'a Operand),
}

impl<'a> Deviation<'a> {
    fn operand(self) -> &'a Operand {
        match self {
            Deviation::Variance(x, _) | Deviation::Inverse(x) => x,
        }
    }
}

/// The gradient of `y = (x − mean) · r · gamma + beta`, where `r` is the inverse deviation, from that of `y`: with
/// `n = (x − mean) · r`, those of `beta` and `gamma` are `Σ dy` and `Σ dy · n` over the elements that share a parameter, and
/// that of `x` is `r · (dy·gamma − M(dy·gamma) − n · M(dy·gamma · n))` with means `M` over the elements that share statistics.
struct NormGrad<'a> {
    dy: &'a Operand,
    x: &'a Operand,
    /// The dimensions in which `x` and `dy` are seen here.
    dims: Shape,
    /// None where nothing is subtracted, and `M(dy·gamma)` neither.
    mean: Option<&'a Operand>,
    deviation: Deviation<'a>,
    gamma: Option<&'a Operand>,
    /// The dimensions whose elements share statistics.
    axes: Vec<usize>,
    /// The dimensions whose elements share parameters.
    shared: Vec<usize>,
    /// Whether the statistics are those of `x`; else they are constants, and the means are left out.
    own: bool,
    /// The gradients of the parameters.
    params: Fact,
    /// Whether there is a `beta`.
    beta: bool,
}

impl NormGrad<'_> {
    /// The dimensions, those of `axes` as 1.
    fn without(&self, axes: &[usize]) -> Shape {
        self.dims.iter().enumerate().map(|(d, &len)| if axes.contains(&d) { 1 } else { len }).collect()
    }

    fn rows(&self) -> Shape {
        self.without(&self.axes)
    }

    fn columns(&self) -> Shape {
        self.without(&self.shared)
    }

    /// How many elements share statistics.
    fn len(&self) -> f64 {
        self.axes.iter().filter_map(|&d| self.dims.get(d)).map(|&len| len as f64).product()
    }

    fn wide(&self) -> DType {
        DType::promote(self.x.dtype(), DType::F32)
    }

    /// Parts of the gradient of `x` that go with its statistics.
    fn parts<T>(&self, [first, second]: [T; 2]) -> [Option<T>; 2] {
        [Some(first).filter(|_| self.own && self.mean.is_some()), Some(second).filter(|_| self.own)]
    }

    /// `dy · gamma`, the normalised `x`, and `r`.
    fn normalised(&self) -> Result<[Vec<f64>; 3], OpError> {
        let (rows, columns) = (self.rows(), self.columns());
        let all = |values: &[f64], from: &[usize]| spread(values, from, &self.dims);
        let r: Vec<f64> = match self.deviation {
            Deviation::Variance(var, eps) => var.f64s()?.iter().map(|v| 1.0 / (v + eps).sqrt()).collect(),
            Deviation::Inverse(r) => r.f64s()?,
        };
        let r = all(&r, &rows)?;
        let mean = self.mean.map_or(Ok(vec![0.0; r.len()]), |mean| all(&mean.f64s()?, &rows))?;
        let gamma = self.gamma.map_or(Ok(vec![1.0; r.len()]), |gamma| all(&gamma.f64s()?, &columns))?;
        let n = self.x.f64s()?.iter().zip(&mean).zip(&r).map(|((x, mean), r)| (x - mean) * r).collect();
        Ok([products(&self.dy.f64s()?, &gamma), n, r])
    }

    /// The gradients of `gamma` and `beta`, for the normalised `x`.
    fn of_params(&self, n: &[f64]) -> Result<[Vec<f64>; 2], OpError> {
        let (dy, shared) = (self.dy.f64s()?, Groups::new(&self.dims, &self.shared));
        let sum = |values: &[f64]| shared.map(values, |v| v.iter().sum::<f64>());
        Ok([sum(&products(&dy, n))?, sum(&dy)?])
    }

    /// The sum over `axes`, which stay as 1: over one run of neighbouring dimensions after the other, from the last on.
    fn sum(b: &mut Lowering, mut x: V, axes: &[usize]) -> Result<V, OpError> {
        for run in axes.chunk_by(|a, b| a + 1 == *b).rev() {
            let dtype = b.fact(x).dtype;
            x = b.reduce(ReduceKind::Sum, x, run, true, dtype)?;
        }
        Ok(x)
    }

    /// The inverse deviation of each row.
    fn lower_inverse(&self, b: &mut Lowering) -> Result<V, OpError> {
        let spread = b.reshape(self.deviation.operand().v, &self.rows())?;
        let spread = b.cast(spread, self.wide());
        let Deviation::Variance(_, eps) = self.deviation else { return Ok(spread) };
        let eps = b.scalar(self.wide(), eps)?;
        let sum = b.binary(Binary::Add, spread, eps)?;
        Ok(b.unary(Unary::Rsqrt, sum))
    }

    /// The means that go with the statistics, of `dy · gamma` and of that times the normalised `x`; `sums` are those over `shared`.
    fn lower_means(&self, b: &mut Lowering, dy: V, n: V, gamma: Option<V>, sums: [V; 2]) -> Result<Vec<V>, OpError> {
        let scale = b.scalar(self.wide(), 1.0 / self.len())?;
        let weighed = |b: &mut Lowering, x: V| gamma.map_or(Ok(x), |gamma| b.binary(Binary::Mul, x, gamma));
        let sums = if self.axes == self.shared {
            // Statistics go with parameters: their gradients are the sums.
            let [first, second] = self.parts(sums);
            [first.map(|s| weighed(b, s)).transpose()?, second.map(|s| weighed(b, s)).transpose()?]
        } else {
            let g = weighed(b, dy)?;
            let gn = b.binary(Binary::Mul, g, n)?;
            let [first, second] = self.parts([g, gn]);
            let mut sum = |x: Option<V>| x.map(|x| Self::sum(b, x, &self.axes)).transpose();
            [sum(first)?, sum(second)?]
        };
        sums.into_iter().flatten().map(|s| b.binary(Binary::Mul, s, scale)).collect()
    }

    /// The gradient of `x` element by element.
    fn lower_dx(&self, b: &mut Lowering, [dy, n, r]: [V; 3], gamma: Option<V>, means: &[V]) -> Result<V, OpError> {
        let mut p = Program::new();
        let mut ins = vec![dy, n, r];
        let wide = self.wide();
        let [mut sum, n, r] = [0, 1, 2].map(|i| p.input(i, wide));
        if let Some(gamma) = gamma {
            let gamma_r = p.input(ins.len(), wide);
            ins.push(gamma);
            sum = p.binary(Binary::Mul, sum, gamma_r);
        }
        // The mean of the product comes last.
        for (left, &mean) in (0..means.len()).rev().zip(means) {
            let mut part = p.input(ins.len(), wide);
            ins.push(mean);
            if left == 0 {
                part = p.binary(Binary::Mul, n, part);
            }
            sum = p.binary(Binary::Sub, sum, part);
        }
        let dx = p.binary(Binary::Mul, sum, r);
        p.cast(dx, self.x.dtype());
        let dx = b.map(p, &ins, &self.dims);
        b.reshape(dx, self.x.shape())
    }
}

impl Rule for NormGrad<'_> {
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        let (x, dy, spread) = (&self.x.fact, &self.dy.fact, self.deviation.operand());
        ensure!(x.dtype.is_float(), "expected floats, found {x}");
        ensure!(*dy == **x, "expected a gradient {x}, found {dy}");
        let [rows, columns] = [self.rows(), self.columns()].map(|dims| checked_count(&dims));
        for stat in self.mean.into_iter().chain([spread]) {
            let fits = stat.dtype().is_float() && rows == Some(stat.count());
            ensure!(fits, "expected statistics for {:?} of {x}, found {}", self.rows(), stat.fact);
        }
        if let Some(p) = self.gamma {
            let fits = p.dtype().is_float() && columns == Some(p.count());
            ensure!(fits, "expected parameters for {:?} of {x}, found {}", self.columns(), p.fact);
        }
        let params = std::iter::repeat_n(self.params.clone(), if self.beta { 2 } else { 1 });
        Ok(std::iter::once(Fact::clone(x)).chain(params).collect())
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        let [g, n, r] = self.normalised()?;
        let ([dgamma, dbeta], gn) = (self.of_params(&n)?, products(&g, &n));
        let groups = Groups::new(&self.dims, &self.axes);
        let mean = |values: &[f64]| {
            let means = groups.map(values, |v| v.iter().sum::<f64>() / v.len() as f64)?;
            spread(&means, &self.rows(), &self.dims)
        };
        let [first, second] = self.parts([&g, &gn]).map(|part| part.map_or(Ok(vec![0.0; g.len()]), |v| mean(v)));
        let (first, second) = (first?, second?);
        let dx = g.iter().zip(&n).zip(&r).zip(first.iter().zip(&second));
        let dx: Vec<f64> = dx.map(|(((g, n), r), (first, second))| r * (g - first - n * second)).collect();
        let param = |v: &[f64]| Tensor::from_f64s(self.params.dtype, &self.params.shape, v);
        let mut out = vec![Tensor::from_f64s(self.x.dtype(), self.x.shape(), &dx)?, param(&dgamma)?];
        if self.beta {
            out.push(param(&dbeta)?);
        }
        Ok(out)
    }

    fn lower(&self, b: &mut Lowering) -> Lowers {
        self.infer()?;
        if self.x.count() == 0 {
            return Ok(None);
        }
        let wide = self.wide();
        let [x, dy] = [self.x, self.dy].map(|x| b.cast(x.v, wide));
        let (x, dy) = (b.reshape(x, &self.dims)?, b.reshape(dy, &self.dims)?);
        let r = self.lower_inverse(b)?;
        let mut n = x;
        if let Some(mean) = self.mean {
            let mean = b.reshape(mean.v, &self.rows())?;
            let mean = b.cast(mean, wide);
            n = b.binary(Binary::Sub, n, mean)?;
        }
        let n = b.binary(Binary::Mul, n, r)?;
        let gamma = match self.gamma {
            Some(gamma) => {
                let gamma = b.reshape(gamma.v, &self.columns())?;
                Some(b.cast(gamma, wide))
            }
            None => None,
        };
        let weighted = b.binary(Binary::Mul, dy, n)?;
        let (dbeta, dgamma) = (Self::sum(b, dy, &self.shared)?, Self::sum(b, weighted, &self.shared)?);
        let means = if self.own { self.lower_means(b, dy, n, gamma, [dbeta, dgamma])? } else { Vec::new() };
        let mut out = vec![self.lower_dx(b, [dy, n, r], gamma, &means)?];
        for sum in [dgamma].into_iter().chain(self.beta.then_some(dbeta)) {
            let sum = b.cast(sum, self.params.dtype);
            out.push(b.reshape(sum, &self.params.shape)?);
        }
        Ok(Some(out))
    }

    fn onnx(&self, _: &mut Emit) -> Forms {
        no_form("ONNX has no gradients")
    }
}

fn products(a: &[f64], b: &[f64]) -> Vec<f64> {
    a.iter().zip(b).map(|(a, b)| a * b).collect()
}

/// All dimensions but `channel`.
fn beside(rank: usize, channel: usize) -> Vec<usize> {
    (0..rank).filter(|&d| d != channel).collect()
}

op! {
    /// The gradient of `BatchNorm`: those of `x`, `scale` and the bias.
    ///
    /// `dout`, `x`: one float type and shape of rank 2 or more; channels in dimension 1, or last for a channels-last
    /// `data_format`. `scale`, `saved_mean`, `saved_variance`: a float for each channel, the latter two as `BatchNorm` gives
    /// them. With `is_training` they depend on `x`, else they are constants. `reserve` has no influence.
    BatchNormGrad {
        dout: Operand,
        x: Operand,
        scale: Operand,
        saved_mean: Operand,
        saved_variance: Operand,
        reserve: Operand,
        is_training: bool = false,
        epsilon: f64 = 1e-5,
        data_format: Format = Format::Nchw,
    }
}

impl Operator for BatchNormGrad {
    fn rule(&self) -> Result<impl Rule, OpError> {
        let (x, rank) = (&self.x, self.x.rank());
        ensure!(rank >= 2, "expected rank 2 or more, found {}", x.fact);
        let shared = beside(rank, self.data_format.channel(rank));
        Ok(NormGrad {
            dy: &self.dout,
            x,
            dims: Shape::from_slice(x.shape()),
            mean: Some(&self.saved_mean),
            deviation: Deviation::Variance(&self.saved_variance, self.epsilon),
            gamma: Some(&self.scale),
            axes: shared.clone(),
            shared,
            own: self.is_training,
            params: self.scale.fact.clone(),
            beta: true,
        })
    }

    fn cases() -> Vec<Case> {
        let one = |x: &[usize], training| {
            let s = sample().tensor(DType::F32, x).tensor(DType::F32, x).tensor(DType::F32, &[3]);
            let s = s.tensor(DType::F32, &[3]).positive(DType::F32, &[3]).tensor(DType::F32, &[3]);
            s.flag(training).real(1e-3)
        };
        vec![
            one(&[4, 3, 2, 5], true).case("training"),
            one(&[4, 3, 2, 5], false).case("inference"),
            one(&[6, 3], true).case("matrix"),
            one(&[2, 4, 2, 3], true).text("NHWC").case("channels last"),
        ]
    }
}

op! {
    /// The gradient of `BatchNormExt`: those of `input`, `weight` and the bias.
    ///
    /// `dout`, `input`: one float type and shape, channels in dimension 1. In `training` the statistics are `saved_mean` and
    /// `saved_rstd`, the inverse deviation, else `running_mean` and `running_var`, whose influence is constant. `weight` `None`
    /// stands for 1. All three gradients are computed, whatever `output_mask` says.
    BatchNormGradExt {
        dout: Operand,
        input: Operand,
        weight: Option<Operand> = None,
        running_mean: Option<Operand> = None,
        running_var: Option<Operand> = None,
        saved_mean: Option<Operand> = None,
        saved_rstd: Option<Operand> = None,
        training: bool = false,
        eps: f64 = 1e-5,
        output_mask: Ints = ints(&[1, 1, 1]),
    }
}

impl Operator for BatchNormGradExt {
    fn rule(&self) -> Result<impl Rule, OpError> {
        let (x, rank) = (&self.input, self.input.rank());
        ensure!(rank >= 2, "expected rank 2 or more, found {}", x.fact);
        let (mean, spread) =
            if self.training { (&self.saved_mean, &self.saved_rstd) } else { (&self.running_mean, &self.running_var) };
        let (Some(mean), Some(spread)) = (mean, spread) else {
            return Err(OpError::Invalid("expected statistics of the channels, found None".into()));
        };
        let deviation = if self.training { Deviation::Inverse(spread) } else { Deviation::Variance(spread, self.eps) };
        let shared = beside(rank, 1);
        let dtype = self.weight.as_ref().map_or(x.dtype(), Operand::dtype);
        Ok(NormGrad {
            dy: &self.dout,
            x,
            dims: Shape::from_slice(x.shape()),
            mean: Some(mean),
            deviation,
            gamma: self.weight.as_ref(),
            axes: shared.clone(),
            shared,
            own: self.training,
            params: Fact::new(dtype, x.shape().get(1..2).unwrap_or_default()),
            beta: true,
        })
    }

    fn cases() -> Vec<Case> {
        let x = sample().tensor(DType::F32, &[2, 3, 4]).tensor(DType::F32, &[2, 3, 4]);
        let vector = |s: Sample| s.tensor(DType::F32, &[3]).positive(DType::F32, &[3]);
        vec![
            vector(vector(x.clone().tensor(DType::F32, &[3]))).flag(true).real(1e-5).case("training"),
            vector(x.none()).none().none().flag(false).real(1e-5).case("inference, no weight"),
        ]
    }
}

op! {
    /// The gradient of `LayerNorm`: those of `x`, `gamma` and `beta`.
    ///
    /// `x`, `dy`: one float type and shape. `variance`, `mean`: floats, one for each row of the dimensions from
    /// `begin_norm_axis` on. `gamma`: the dimensions of `x` from `begin_params_axis` on. `epsilon` is added to the variance.
    LayerNormGrad {
        x: Operand,
        dy: Operand,
        variance: Operand,
        mean: Operand,
        gamma: Operand,
        begin_norm_axis: i64 = 1,
        begin_params_axis: i64 = 1,
        epsilon: f64 as Attribute = 1e-7,
    }
}

impl Operator for LayerNormGrad {
    fn rule(&self) -> Result<impl Rule, OpError> {
        let x = &self.x;
        let (axis, params) = (x.axis(self.begin_norm_axis)?, x.axis(self.begin_params_axis)?);
        Ok(NormGrad {
            dy: &self.dy,
            x,
            dims: Shape::from_slice(x.shape()),
            mean: Some(&self.mean),
            deviation: Deviation::Variance(&self.variance, self.epsilon),
            gamma: Some(&self.gamma),
            axes: (axis..x.rank()).collect(),
            shared: (0..params).collect(),
            own: true,
            params: self.gamma.fact.clone(),
            beta: true,
        })
    }

    fn cases() -> Vec<Case> {
        let one = |dtype, x: &[usize], rows: &[usize], gamma: &[usize]| {
            let s = sample().tensor(dtype, x).tensor(dtype, x).positive(DType::F32, rows);
            s.tensor(DType::F32, rows).tensor(dtype, gamma)
        };
        vec![
            one(DType::F32, &[2, 3, 5], &[2, 3, 1], &[5]).int(-1).int(-1).case("last"),
            one(DType::F32, &[2, 3, 4], &[2, 1, 1], &[3, 4]).int(1).int(1).case("two dimensions"),
            one(DType::F32, &[2, 3, 4], &[2, 1, 1], &[4]).int(1).int(2).case("shorter parameters"),
            one(DType::F16, &[3, 8], &[3, 1], &[8]).int(1).int(1).case("f16"),
        ]
    }
}

op! {
    /// The gradient of `LayerNormExt`: those of `x`, `gamma` and `beta`.
    ///
    /// `dy`, `x`: one float type and shape. `mean`, `variance`: as `LayerNormExt` gives them, the latter the inverse deviation.
    /// `gamma`: of shape `normalized_shape`. All three gradients are computed, whatever `output_mask` says.
    LayerNormGradExt {
        dy: Operand,
        x: Operand,
        normalized_shape: Ints,
        mean: Operand,
        variance: Operand,
        gamma: Operand,
        beta: Operand,
        output_mask: Ints = ints(&[1, 1, 1]),
    }
}

impl Operator for LayerNormGradExt {
    fn rule(&self) -> Result<impl Rule, OpError> {
        let (x, dims) = (&self.x, sizes(&self.normalized_shape, "normalized_shape")?);
        ensure!(!dims.is_empty() && x.shape().ends_with(&dims), "{} does not end with {dims:?}", x.fact);
        let axis = x.rank() - dims.len();
        Ok(NormGrad {
            dy: &self.dy,
            x,
            dims: Shape::from_slice(x.shape()),
            mean: Some(&self.mean),
            deviation: Deviation::Inverse(&self.variance),
            gamma: Some(&self.gamma),
            axes: (axis..x.rank()).collect(),
            shared: (0..axis).collect(),
            own: true,
            params: self.gamma.fact.clone(),
            beta: true,
        })
    }

    fn cases() -> Vec<Case> {
        let x = sample().tensor(DType::F32, &[2, 3, 5]).tensor(DType::F32, &[2, 3, 5]).ints(&[3, 5]);
        let x = x.tensor(DType::F32, &[2, 1, 1]).positive(DType::F32, &[2, 1, 1]);
        vec![x.tensor(DType::F32, &[3, 5]).tensor(DType::F32, &[3, 5]).case("two dimensions")]
    }
}

op! {
    /// The gradient of `RmsNorm`: those of `x` and `gamma`.
    ///
    /// `dy`, `x`: one float type and shape. `rstd`: the inverse root that `RmsNorm` gives for each row of the last dimensions, as
    /// many as `gamma` has.
    RmsNormGrad { dy: Operand, x: Operand, rstd: Operand, gamma: Operand }
}

impl Operator for RmsNormGrad {
    fn rule(&self) -> Result<impl Rule, OpError> {
        let (x, gamma) = (&self.x, &self.gamma);
        let fits = gamma.rank() > 0 && x.shape().ends_with(gamma.shape());
        ensure!(fits, "{} does not end with the dimensions of {}", x.fact, gamma.fact);
        let axis = x.rank() - gamma.rank();
        Ok(NormGrad {
            dy: &self.dy,
            x,
            dims: Shape::from_slice(x.shape()),
            mean: None,
            deviation: Deviation::Inverse(&self.rstd),
            gamma: Some(gamma),
            axes: (axis..x.rank()).collect(),
            shared: (0..axis).collect(),
            own: true,
            params: gamma.fact.clone(),
            beta: false,
        })
    }

    fn cases() -> Vec<Case> {
        let x = sample().tensor(DType::F32, &[2, 3, 5]).tensor(DType::F32, &[2, 3, 5]);
        vec![x.positive(DType::F32, &[2, 3, 1]).tensor(DType::F32, &[5]).case("last")]
    }
}

/// The gradient of a normalisation of `groups` groups of neighbouring channels of each sample.
fn of_groups<'a>(
    [dy, x]: [&'a Operand; 2],
    groups: usize,
    mean: &'a Operand,
    deviation: Deviation<'a>,
    gamma: Option<&'a Operand>,
) -> Result<NormGrad<'a>, OpError> {
    let &[n, c, ref inner @ ..] = x.shape() else {
        return Err(OpError::Invalid(format!("expected rank 2 or more, found {}", x.fact)));
    };
    check_groups(groups, c, c)?;
    let places = checked_count(inner).ok_or_else(|| OpError::Invalid(format!("{} is too large", x.fact)))?;
    let params = gamma.map_or_else(|| Fact::new(x.dtype(), &[c]), |gamma| gamma.fact.clone());
    Ok(NormGrad {
        dy,
        x,
        dims: Shape::from_slice(&[n, groups, c / groups, places]),
        mean: Some(mean),
        deviation,
        gamma,
        axes: vec![2, 3],
        shared: vec![0, 3],
        own: true,
        params,
        beta: true,
    })
}

op! {
    /// The gradient of `GroupNorm`: those of `x`, `gamma_opt` and the bias.
    ///
    /// `dy`, `x`: floats `[n, c, …]`. `mean`, `rstd`: one for each of `num_groups` groups of each sample, as `GroupNorm` gives
    /// them. `gamma_opt`: a float for each channel. All three gradients are computed, whatever is required.
    GroupNormGrad {
        dy: Operand,
        x: Operand,
        mean: Operand,
        rstd: Operand,
        gamma_opt: Option<Operand>,
        num_groups: i64,
        dx_is_require: bool = true,
        dgamma_is_require: bool = true,
        dbeta_is_require: bool = true,
    }
}

impl Operator for GroupNormGrad {
    fn rule(&self) -> Result<impl Rule, OpError> {
        let (deviation, groups) = (Deviation::Inverse(&self.rstd), size(self.num_groups, "num_groups")?);
        of_groups([&self.dy, &self.x], groups, &self.mean, deviation, self.gamma_opt.as_ref())
    }

    fn cases() -> Vec<Case> {
        let x = sample().tensor(DType::F32, &[2, 6, 3, 2]).tensor(DType::F32, &[2, 6, 3, 2]);
        let x = x.tensor(DType::F32, &[2, 3]).positive(DType::F32, &[2, 3]);
        vec![x.clone().tensor(DType::F32, &[6]).int(3).case("images"), x.none().int(3).case("without weight")]
    }
}

op! {
    /// The gradient of `InstanceNormV2`: those of `x`, `gamma` and `beta`, the latter two for each channel of each sample.
    ///
    /// `dy`, `x`: floats `[n, c, …]`. All others: a float for each channel of each sample. With `is_training` the statistics are
    /// `save_mean` and `save_variance`, the inverse deviation, else `mean` and `variance`, whose influence is constant.
    classic InstanceNormV2Grad {
        dy: Operand,
        x: Operand,
        gamma: Operand,
        mean: Operand,
        variance: Operand,
        save_mean: Operand,
        save_variance: Operand,
        is_training: bool = true,
        epsilon: f64 = 1e-5,
    }
}

impl Operator for InstanceNormV2Grad {
    fn rule(&self) -> Result<impl Rule, OpError> {
        let (mean, deviation) = if self.is_training {
            (&self.save_mean, Deviation::Inverse(&self.save_variance))
        } else {
            (&self.mean, Deviation::Variance(&self.variance, self.epsilon))
        };
        let channels = self.x.shape().get(1).copied().unwrap_or(0);
        let whole = of_groups([&self.dy, &self.x], channels, mean, deviation, Some(&self.gamma))?;
        Ok(NormGrad { shared: whole.axes.clone(), own: self.is_training, ..whole })
    }

    fn cases() -> Vec<Case> {
        let x = sample().tensor(DType::F32, &[2, 3, 4, 5]).tensor(DType::F32, &[2, 3, 4, 5]);
        let stats = |s: Sample| s.tensor(DType::F32, &[2, 3, 1, 1]).positive(DType::F32, &[2, 3, 1, 1]);
        let x = stats(stats(x.tensor(DType::F32, &[2, 3, 1, 1])));
        vec![x.clone().flag(true).case("training"), x.flag(false).real(1e-3).case("inference")]
    }
}
