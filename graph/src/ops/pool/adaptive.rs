use crate::bounds;
use crate::onnx::{Emit, Forms, machine, no_form};
use crate::op::{Case, Ints, Lowers, Operand, Operator, Rule};
use crate::ops::conv::grouped::last_dims;
use crate::ops::kit::grid::{Grid, each};
use crate::ops::kit::indices::{result, size};
use crate::ops::kit::sample::{cycle, sample};
use crate::ops::kit::taps::weigh;
use crate::task::{Lowering, ReduceKind, V};
use crate::{DType, Fact, OpError, Tensor, count, ensure, op};

/// Means of windows that share the last dimensions of `x` evenly: window `i` of `out` covers `⌊i·size/out⌋` to
/// `⌈(i+1)·size/out⌉`.
pub(super) struct Shares<'a, const N: usize> {
    x: &'a Operand,
    /// Dimensions before the last ones.
    lead: &'a [usize],
    pub size: [usize; N],
    pub out: [usize; N],
}

pub(super) fn share(i: usize, size: usize, out: usize) -> std::ops::Range<usize> {
    i * size / out..((i + 1) * size).div_ceil(out)
}

/// `ReduceMean` for one window, `AveragePool` for windows of one size; else what it lowers to.
fn onnx_mean<const N: usize>(x: &Operand, output: &[i64], e: &mut Emit) -> Forms {
    let (rank, extents, output) = (x.rank(), last_dims::<N>(x)?, windows::<N>(x, output)?);
    let (dtype, wide) = (x.dtype(), machine(x.dtype()));
    if output == [1; N] {
        let x = e.as_type(x, wide)?;
        let y = e.reduce("ReduceMean", x, &(rank - N..rank).collect::<Vec<_>>(), true);
        return Ok(Some(vec![e.cast(y, wide, dtype)]));
    }
    let share = |(size, out): (Option<usize>, i64)| {
        let size = size? as i64;
        let out = if out == -1 { size } else { out };
        Some((out > 0 && size % out == 0).then(|| size / out))
    };
    let Some(sizes) = extents.into_iter().zip(output).map(share).collect::<Option<Vec<_>>>() else {
        return no_form("windows that share a dimension that is open");
    };
    let sizes = sizes.into_iter().collect::<Option<Vec<i64>>>();
    let Some(sizes) = sizes.filter(|_| rank - N >= 2) else { return Ok(None) };
    let x = e.as_type(x, wide)?;
    let y = e.op_with("AveragePool", &[x], vec![("kernel_shape", sizes.clone().into()), ("strides", sizes.into())]);
    Ok(Some(vec![e.cast(y, wide, dtype)]))
}

/// The numbers of windows along each of `N` dimensions, from one for all or one for each.
fn windows<const N: usize>(x: &Operand, output: &[i64]) -> Result<[i64; N], OpError> {
    ensure!(x.dtype().is_float(), "expected floats, found {}", x.fact);
    match output {
        [all] => Ok([*all; N]),
        each => each
            .try_into()
            .map_err(|_| OpError::Invalid(format!("output_size: expected 1 or {N} numbers, found {}", output.len()))),
    }
}

impl<const N: usize> Shares<'_, N> {
    /// `output` gives the windows of each of the last dimensions, or one number for all; −1 keeps the extent.
    pub fn new<'a>(x: &'a Operand, output: &[i64]) -> Result<Shares<'a, N>, OpError> {
        let output = windows::<N>(x, output)?;
        let wrong = || OpError::Invalid(format!("expected rank {} or {}, found {}", N + 1, N + 2, x.fact));
        let (lead, extent) =
            x.shape().split_last_chunk().filter(|(lead, _)| matches!(lead.len(), 1 | 2)).ok_or_else(wrong)?;
        let mut out = *extent;
        for (out, windows) in out.iter_mut().zip(output).filter(|(_, windows)| *windows != -1) {
            *out = size(windows, "output_size")?;
        }
        let shared = !extent.contains(&0) || lead.first() == Some(&0);
        ensure!(shared, "expected elements to share, found {}", x.fact);
        Ok(Shares { x, lead, size: *extent, out })
    }

    pub fn fact(&self) -> Result<Fact, OpError> {
        result(self.x.dtype(), &[self.lead, &self.out].concat())
    }

    /// Calls `f` with the elements of each window and their positions within the last dimensions.
    fn each(&self, mut f: impl FnMut(&[(f64, usize)])) -> Result<(), OpError> {
        self.fact()?;
        let image = count(&self.size);
        let x = Grid::new([count(self.lead), image], self.x.f64s()?)?;
        for lead in 0..count(self.lead) {
            each(self.out, |window| {
                bounds::check()?;
                let mut places = vec![0];
                for (i, (&size, &out)) in window.into_iter().zip(self.size.iter().zip(&self.out)) {
                    places = places.iter().flat_map(|at| share(i, size, out).map(move |p| at * size + p)).collect();
                }
                let element = |place: usize| Ok((x.at([lead, place])?, place));
                f(&places.into_iter().map(element).collect::<Result<Vec<_>, OpError>>()?);
                Ok(())
            })?;
        }
        Ok(())
    }

    /// Means along one dimension after the other.
    fn lower_mean(&self, b: &mut Lowering) -> Result<V, OpError> {
        let fact = self.fact()?;
        if fact.count() == 0 {
            return Ok(b.constant(Tensor::zeros(fact.dtype, &fact.shape)?));
        }
        // The last dimension first: those in front of it have their sizes still.
        let (mut y, mut inner) = (self.x.v, 1);
        for (d, (&size, &out)) in self.size.iter().zip(&self.out).enumerate().rev() {
            let outer = count(self.lead) * count(self.size.get(..d).unwrap_or_default());
            if size != out && size % out == 0 {
                let windows = b.reshape(y, &[outer, out, size / out, inner])?;
                y = b.reduce(ReduceKind::Mean, windows, &[2], false, fact.dtype)?;
            } else if size != out {
                let mean = |i| share(i, size, out).map(|j| (j, 1.0 / share(i, size, out).len() as f64)).collect();
                y = b.reshape(y, &[outer, size, inner])?;
                y = weigh(b, y, 1, &(0..out).map(mean).collect::<Vec<_>>())?;
            }
            inner *= out;
        }
        b.reshape(y, &fact.shape)
    }
}

impl<const N: usize> Rule for Shares<'_, N> {
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        Ok(vec![self.fact()?])
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        let (fact, mut y) = (self.fact()?, Vec::new());
        self.each(|w| y.push(w.iter().map(|e| e.0).sum::<f64>() / w.len() as f64))?;
        Ok(vec![Tensor::from_f64s(fact.dtype, &fact.shape, &y)?])
    }

    fn lower(&self, b: &mut Lowering) -> Lowers {
        Ok(Some(vec![self.lower_mean(b)?]))
    }
}

/// Maxima of the same windows, and their positions within the last dimensions.
struct AdaptiveMaxima<'a, const N: usize> {
    shares: Shares<'a, N>,
    place: DType,
}

impl<const N: usize> Rule for AdaptiveMaxima<'_, N> {
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        let y = self.shares.fact()?;
        let place = Fact { dtype: self.place, shape: y.shape.clone() };
        Ok(vec![y, place])
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        let (fact, mut y, mut places) = (self.shares.fact()?, Vec::new(), Vec::new());
        self.shares.each(|window| {
            let above = |a: &(f64, usize), b: &(f64, usize)| b.0 > a.0 || b.0.is_nan() && !a.0.is_nan();
            let first = window.first().copied().unwrap_or((f64::NEG_INFINITY, 0));
            let best = window.iter().fold(first, |a, b| if above(&a, b) { *b } else { a });
            y.push(best.0);
            places.push(best.1 as i64);
        })?;
        let places = Tensor::from_i64s(self.place, &fact.shape, &places)?;
        Ok(vec![Tensor::from_f64s(fact.dtype, &fact.shape, &y)?, places])
    }
}

/// Numbers among which few are not finite.
const WILD: [f64; 13] = [1.0, 2.0, f64::INFINITY, 0.5, -1.0, 3.0, 0.0, -2.0, f64::NAN, 1.5, 4.0, -3.0, 2.5];

macro_rules! adaptive_op {
    ($(#[doc = $doc:literal])+ $($kind:ident)? => $name:ident [$($held:tt)*] $n:literal $shape:expr, $out:expr) => {
        op! {
            $(#[doc = $doc])+
            $($kind)? $name { input ["input_x", "x"]: Operand, output_size: Ints $($held)* }
        }

        impl Operator for $name {
            fn rule(&self) -> Result<impl Rule, OpError> {
                Shares::<$n>::new(&self.input, &self.output_size)
            }

            fn onnx(&self, e: &mut Emit) -> Forms {
                onnx_mean::<$n>(&self.input, &self.output_size, e)
            }

            fn cases() -> Vec<Case> {
                vec![
                    sample().tensor(DType::F32, $shape).ints($out).case("uneven"),
                    sample().tensor(DType::F32, $shape).ints(&[1]).case("one window"),
                    sample().tensor(DType::F32, $shape).ints(&[0]).exact("no window"),
                    sample().arg(cycle(DType::F32, $shape, &WILD)).ints($out).case("not finite"),
                ]
            }
        }
    };
}

adaptive_op! {
    /// Means of windows that share an image `[…, h, w]` evenly; −1 in `output_size` keeps an extent. Floats.
    classic => AdaptiveAvgPool2D [] 2 &[2, 3, 5, 7], &[2, 3]
}

adaptive_op! {
    /// As `AdaptiveAvgPool2D`, with `output_size` as an argument in MindSpore 2.
    => AdaptiveAvgPool2DExt [] 2 &[3, 4, 6], &[2, -1]
}

adaptive_op! {
    /// Means of windows that share a sequence `[…, l]` evenly. Floats.
    => AdaptiveAvgPool1D [] 1 &[2, 3, 7], &[3]
}

adaptive_op! {
    /// As `AdaptiveAvgPool3DExt`, with `output_size` as an attribute in MindSpore 2.
    classic => AdaptiveAvgPool3D [as Spatial(3)] 3 &[2, 3, 4, 5], &[2, 3, 2]
}

adaptive_op! {
    /// Means of windows that share a volume `[…, d, h, w]` evenly; −1 in `output_size` keeps an extent. Floats.
    => AdaptiveAvgPool3DExt [] 3 &[2, 3, 4, 5], &[2, 3, 2]
}

macro_rules! adaptive_max_op {
    ($(#[doc = $doc:literal])+ $($kind:ident)? => $name:ident $n:literal $place:ident $shape:expr, $out:expr) => {
        op! {
            $(#[doc = $doc])+
            $($kind)? $name { input ["input_x", "x"]: Operand, output_size: Ints }
        }

        impl Operator for $name {
            fn rule(&self) -> Result<impl Rule, OpError> {
                Ok(AdaptiveMaxima { shares: Shares::<$n>::new(&self.input, &self.output_size)?, place: DType::$place })
            }

            fn onnx(&self, _: &mut Emit) -> Forms {
                no_form("ONNX has no maximum over windows that share a dimension")
            }

            fn cases() -> Vec<Case> {
                vec![sample().tensor(DType::F32, $shape).ints($out).exact("uneven")]
            }
        }
    };
}

adaptive_max_op! {
    /// Maxima of windows that share an image `[…, h, w]` evenly, and as `i64` their positions `row · width + column`.
    => AdaptiveMaxPool2D 2 I64 &[2, 3, 5, 7], &[2, 3]
}

adaptive_max_op! {
    /// Maxima of windows that share a sequence `[…, l]` evenly, and as `i64` their positions.
    => AdaptiveMaxPool1D 1 I64 &[2, 3, 7], &[3]
}

adaptive_max_op! {
    /// Maxima of windows that share a volume `[…, d, h, w]` evenly, and as `i32` their positions, plane by plane and row by row.
    object => AdaptiveMaxPool3D 3 I32 &[2, 3, 4, 5], &[2, 3, 2]
}
