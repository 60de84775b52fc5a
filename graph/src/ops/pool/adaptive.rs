use crate::onnx::{Emit, Forms, machine, no_form};
use crate::op::{Case, Ints, Lowers, Operand, Plan, Planned};
use crate::ops::kit::indices::{each_index, each_tap, flat, result, size};
use crate::ops::kit::sample::{cycle, sample};
use crate::ops::kit::taps::weigh;
use crate::task::{Lowering, ReduceKind, V};
use crate::{DType, Fact, OpError, Shape, Tensor, count, ensure, op};

/// Means of windows that share the last dimensions of `x` evenly: window `i` of `out` covers `⌊i·size/out⌋` to
/// `⌈(i+1)·size/out⌉`.
struct Shares<'a> {
    x: &'a Operand,
    out: Vec<usize>,
}

fn share(i: usize, size: usize, out: usize) -> std::ops::Range<usize> {
    i * size / out..((i + 1) * size).div_ceil(out)
}

/// `ReduceMean` for one window, `AveragePool` for windows of one size; else what it lowers to.
fn onnx_mean(x: &Operand, output: &[i64], n: usize, e: &mut Emit) -> Forms {
    let (rank, dims) = (x.rank(), x.dims());
    ensure_ranks(x, output, n)?;
    let extents = &dims[rank - n..];
    let (dtype, wide) = (x.dtype(), machine(x.dtype()));
    if output.iter().all(|&n| n == 1) {
        let x = e.as_type(x, wide)?;
        let y = e.reduce("ReduceMean", x, &(rank - n..rank).collect::<Vec<_>>(), true);
        return Ok(Some(vec![e.cast(y, wide, dtype)]));
    }
    let share = |(d, size): (usize, &Option<usize>)| {
        let size = (*size)? as i64;
        let out = output[d.min(output.len() - 1)];
        let out = if out == -1 { size } else { out };
        Some((out > 0 && size % out == 0).then(|| size / out))
    };
    let Some(sizes) = extents.iter().enumerate().map(share).collect::<Option<Vec<_>>>() else {
        return no_form("windows that share a dimension that is open");
    };
    let sizes = sizes.into_iter().collect::<Option<Vec<i64>>>();
    let Some(sizes) = sizes.filter(|_| rank - n >= 2) else { return Ok(None) };
    let x = e.as_type(x, wide)?;
    let y = e.op_with("AveragePool", &[x], vec![("kernel_shape", sizes.clone().into()), ("strides", sizes.into())]);
    Ok(Some(vec![e.cast(y, wide, dtype)]))
}

/// Checks the ranks that `n` shared dimensions need.
fn ensure_ranks(x: &Operand, output: &[i64], n: usize) -> Result<(), OpError> {
    ensure!(x.dtype().is_float(), "expected floats, found {}", x.fact);
    ensure!(x.rank() == n + 1 || x.rank() == n + 2, "expected rank {} or {}, found {}", n + 1, n + 2, x.fact);
    ensure!(output.len() == 1 || output.len() == n, "output_size: expected 1 or {n} numbers, found {}", output.len());
    Ok(())
}

impl Shares<'_> {
    /// `output` gives the windows of each of the last `n` dimensions, or one number for all; −1 keeps the extent.
    fn new<'a>(x: &'a Operand, output: &[i64], n: usize) -> Result<Shares<'a>, OpError> {
        ensure_ranks(x, output, n)?;
        let dims = &x.shape()[x.rank() - n..];
        let pick = |d: usize| match output[d.min(output.len() - 1)] {
            -1 => Ok(dims[d]),
            v => size(v, "output_size"),
        };
        let out = (0..n).map(pick).collect::<Result<Vec<_>, OpError>>()?;
        ensure!(
            !dims.contains(&0) || x.count() > 0 || x.shape()[0] == 0,
            "expected elements to share, found {}",
            x.fact
        );
        Ok(Shares { x, out })
    }

    fn fact(&self) -> Result<Fact, OpError> {
        let mut shape = self.x.fact.shape.clone();
        let first = shape.len() - self.out.len();
        shape[first..].copy_from_slice(&self.out);
        result(self.x.dtype(), &shape)
    }

    /// Calls `f` with the elements of each window and their positions within the last dimensions.
    fn each(&self, mut f: impl FnMut(&[(f64, usize)])) -> Result<(), OpError> {
        let (x, dims) = (self.x.f64s()?, self.fact()?.shape);
        let first = dims.len() - self.out.len();
        let extents = &self.x.shape()[first..];
        each_index(&dims, |out| {
            let ranges: Vec<_> = (0..extents.len()).map(|d| share(out[first + d], extents[d], self.out[d])).collect();
            let counts: Shape = ranges.iter().map(|r| r.len()).collect();
            let mut window = Vec::with_capacity(count(&counts));
            each_tap(&counts, |tap| {
                let at: Shape = ranges.iter().zip(tap).map(|(r, &t)| r.start + t).collect();
                let from: Shape = out[..first].iter().chain(&at).copied().collect();
                window.push((x[flat(self.x.shape(), &from)], flat(extents, &at)));
            });
            f(&window);
        })?;
        Ok(())
    }

    /// Means along one dimension after the other.
    fn lower_mean(&self, b: &mut Lowering) -> Result<V, OpError> {
        let fact = self.fact()?;
        if fact.count() == 0 {
            return Ok(b.constant(Tensor::zeros(fact.dtype, &fact.shape)?));
        }
        let first = fact.rank() - self.out.len();
        let mut dims = self.x.fact.shape.clone();
        let mut y = self.x.v;
        for d in (first..fact.rank()).rev() {
            let (size, out) = (dims[d], self.out[d - first]);
            dims[d] = out;
            if size == out {
                continue;
            }
            if size % out == 0 {
                let windows = b.reshape(y, &[count(&dims[..d]), out, size / out, count(&dims[d + 1..])])?;
                y = b.reduce(ReduceKind::Mean, windows, &[2], false, fact.dtype)?;
                y = b.reshape(y, &dims)?;
                continue;
            }
            let mean = |i| share(i, size, out).map(|j| (j, 1.0 / share(i, size, out).len() as f64)).collect();
            y = weigh(b, y, d, &(0..out).map(mean).collect::<Vec<_>>())?;
        }
        Ok(y)
    }
}

impl Plan for Shares<'_> {
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
struct Maxima<'a> {
    shares: Shares<'a>,
    place: DType,
}

impl Plan for Maxima<'_> {
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

        impl Planned for $name {
            fn plan(&self) -> Result<impl Plan, OpError> {
                Shares::new(&self.input, &self.output_size, $n)
            }

            fn onnx(&self, e: &mut Emit) -> Forms {
                onnx_mean(&self.input, &self.output_size, $n, e)
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

        impl Planned for $name {
            fn plan(&self) -> Result<impl Plan, OpError> {
                Ok(Maxima { shares: Shares::new(&self.input, &self.output_size, $n)?, place: DType::$place })
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
