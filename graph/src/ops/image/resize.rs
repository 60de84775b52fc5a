use crate::onnx::{Emit, Forms, Size, to_i64};
use crate::op::{Case, Ints, Late, Lowers, Operand, Operator, Rule, ints};
use crate::ops::conv::grouped::planes;
use crate::ops::kit::grid::Grid as Numbers;
use crate::ops::kit::indices::{flat, rearrange, result, size};
use crate::ops::kit::sample::sample;
use crate::ops::kit::taps::weigh;
use crate::task::{Coordinates, Layout, Lowering, Resize as ResizeTask, ResizeMode, Task, V};
use crate::{DType, Fact, OpError, Shape, Tensor, count, ensure, op};

/// How the elements of a resized dimension weigh source elements.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Kernel {
    /// The element at the source coordinate rounded down, or to the nearest for aligned corners.
    Nearest,
    /// Between the elements at the source coordinate rounded down and up, which may be the same one.
    Linear,
    /// Cubic convolution of four neighbours with this parameter; the edge element stands for neighbours beyond the edge, whose
    /// weight is 0 if `renormal`. `table` rounds distances to 1/1024.
    Cubic { a: f64, renormal: bool, table: bool },
}

/// How an element of a resized dimension of `out` elements maps to a source coordinate among `size`.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Grid {
    /// `i · size / out`.
    Asymmetric,
    /// `i · (size − 1) / (out − 1)`.
    Corners,
    /// `(i + 0.5) · size / out − 0.5`.
    Centres,
    /// `i / scale`.
    Scaled(f64),
    /// `(i + 0.5) / scale − 0.5`.
    ScaledCentres(f64),
}

/// One resized dimension.
#[derive(Clone, Copy, Debug)]
pub(super) struct Axis {
    pub size: usize,
    pub out: usize,
    grid: Grid,
    kernel: Kernel,
}

impl Axis {
    fn coordinate(&self, i: usize) -> f64 {
        let (i, size, out) = (i as f64, self.size as f64, self.out as f64);
        match self.grid {
            Grid::Asymmetric => i * size / out,
            Grid::Corners if self.out > 1 => i * (size - 1.0) / (out - 1.0),
            Grid::Corners => 0.0,
            Grid::Centres => (i + 0.5) * size / out - 0.5,
            Grid::Scaled(s) => i / s,
            Grid::ScaledCentres(s) => (i + 0.5) / s - 0.5,
        }
    }

    /// The element at a source coordinate, or the edge element.
    fn edge(&self, x: f64) -> usize {
        (x as i64).clamp(0, (self.size as i64 - 1).max(0)) as usize
    }

    /// The source element that is nearest to element `i`.
    fn nearest(&self, i: usize) -> usize {
        let x = self.coordinate(i);
        self.edge(match self.grid {
            Grid::Corners => x.round(),
            Grid::Centres | Grid::ScaledCentres(_) => (x + 0.5).floor(),
            Grid::Asymmetric | Grid::Scaled(_) => x.floor(),
        })
    }

    /// Source elements and their weights for element `i`.
    pub fn taps(&self, i: usize) -> Vec<(usize, f64)> {
        let x = self.coordinate(i);
        match self.kernel {
            Kernel::Nearest => vec![(self.nearest(i), 1.0)],
            Kernel::Linear => {
                let x = x.max(0.0);
                let (first, t) = (self.edge(x.floor()), x - x.floor());
                if t == 0.0 { vec![(first, 1.0)] } else { vec![(first, 1.0 - t), (self.edge(x.ceil()), t)] }
            }
            Kernel::Cubic { a, renormal, table } => cubic(x, self.size as i64 - 1, a, renormal, table),
        }
    }
}

pub(super) fn cubic(x: f64, last: i64, a: f64, renormal: bool, table: bool) -> Vec<(usize, f64)> {
    let (p, t) = (x.floor() as i64, x - x.floor());
    let t = if table { (t * 1024.0).round_ties_even() / 1024.0 } else { t };
    let near = |d: f64| ((a + 2.0) * d - (a + 3.0)) * d * d + 1.0;
    let far = |d: f64| ((a * d - 5.0 * a) * d + 8.0 * a) * d - 4.0 * a;
    let weights = [far(1.0 + t), near(t), near(1.0 - t), far(2.0 - t)];
    let inside = |q: i64| !renormal || (0..=last).contains(&q);
    let taps = || (p - 1..=p + 2).zip(weights);
    let sum: f64 = if renormal { taps().filter(|t| inside(t.0)).map(|t| t.1).sum() } else { 1.0 };
    taps().map(|(q, w)| (q.clamp(0, last.max(0)) as usize, if inside(q) { w / sum } else { 0.0 })).collect()
}

/// Resizing of the last dimensions of `x`, which has two more.
pub(super) struct Resizing<'a, const N: usize> {
    x: &'a Operand,
    outer: [usize; 2],
    pub axes: [Axis; N],
    kernel: Kernel,
}

impl<const N: usize> Resizing<'_, N> {
    pub fn infer(&self) -> Result<Fact, OpError> {
        for a in &self.axes {
            ensure!(a.out > 0 && a.size > 0, "cannot resize {} elements to {}", a.size, a.out);
        }
        let (dtype, nearest) = (self.x.dtype(), self.kernel == Kernel::Nearest);
        ensure!(dtype.is_float() || nearest && !dtype.is_complex(), "expected floats, found {}", self.x.fact);
        let dims: Shape = self.outer.into_iter().chain(self.axes.map(|a| a.out)).collect();
        result(dtype, &dims)
    }

    fn reference(&self) -> Result<Tensor, OpError> {
        let fact = self.infer()?;
        if self.kernel == Kernel::Nearest {
            return rearrange(self.x.tensor()?, &fact.shape, |out| {
                let (outer, inner) = out.split_first_chunk::<2>()?;
                let from = self.axes.iter().zip(inner).map(|(axis, &i)| axis.nearest(i));
                let from: Shape = outer.iter().copied().chain(from).collect();
                Some(flat(self.x.shape(), &from))
            });
        }
        let (mut y, mut outer) = (self.x.f64s()?, count(&self.outer));
        for (d, axis) in self.axes.iter().enumerate() {
            let inner = self.axes.iter().skip(d + 1).map(|a| a.size).product();
            let (x, mut next) = (Numbers::new([outer, axis.size, inner], y)?, Vec::new());
            for (o, taps) in (0..outer).flat_map(|o| (0..axis.out).map(move |i| (o, axis.taps(i)))) {
                for j in 0..inner {
                    next.push(taps.iter().map(|(p, w)| Ok(w * x.at([o, *p, j])?)).sum::<Result<f64, OpError>>()?);
                }
            }
            (y, outer) = (next, outer * axis.out);
        }
        Ok(Tensor::from_f64s(fact.dtype, &fact.shape, &y)?)
    }

    /// The task's coordinates, if it knows the grid of every axis.
    fn coordinates(&self) -> Option<Coordinates> {
        let first = self.axes.first()?;
        let same = self.axes.iter().all(|a| a.grid == first.grid);
        match first.grid {
            Grid::Asymmetric if same => Some(Coordinates::Asymmetric),
            Grid::Corners if same => Some(Coordinates::AlignCorners),
            Grid::Centres if same => Some(Coordinates::HalfPixel),
            _ => None,
        }
    }

    fn lower(&self, b: &mut Lowering) -> Result<Option<V>, OpError> {
        let fact = self.infer()?;
        if fact.count() == 0 {
            return Ok(None);
        }
        if self
            .axes
            .iter()
            .all(|a| a.size == a.out && a.coordinate(0) == 0.0 && a.coordinate(a.out - 1) == a.size as f64 - 1.0)
        {
            return Ok(Some(self.x.v));
        }
        let mode = match self.kernel {
            Kernel::Nearest => ResizeMode::Nearest,
            Kernel::Linear => ResizeMode::Bilinear,
            Kernel::Cubic { .. } => return self.by_taps(b).map(Some),
        };
        let one = Axis { size: 1, out: 1, grid: Grid::Asymmetric, kernel: Kernel::Nearest };
        let plane = match *self.axes.as_slice() {
            [w] => Some([one, w]),
            [h, w] => Some([h, w]),
            _ => None,
        };
        match self.coordinates().zip(plane) {
            Some((coordinates, plane)) if fact.dtype.is_float() => self.task(b, mode, coordinates, plane).map(Some),
            _ if mode == ResizeMode::Nearest => self.by_indices(b).map(Some),
            _ => self.by_taps(b).map(Some),
        }
    }

    fn task(
        &self,
        b: &mut Lowering,
        mode: ResizeMode,
        coordinates: Coordinates,
        [h, w]: [Axis; 2],
    ) -> Result<V, OpError> {
        let (fact, [n, c]) = (self.infer()?, self.outer);
        let x = b.reshape(self.x.v, &[n, c, h.size, w.size])?;
        let task = ResizeTask {
            mode,
            coordinates,
            n,
            c,
            h: h.size,
            w: w.size,
            out_h: h.out,
            out_w: w.out,
            layout: Layout::Nchw,
            dtype: fact.dtype,
        };
        let out = Fact::new(fact.dtype, &[n, c, h.out, w.out]);
        let y = b.task1(Task::Resize(task), &[x], out);
        b.reshape(y, &fact.shape)
    }

    /// Nearest elements picked along one dimension after the other.
    fn by_indices(&self, b: &mut Lowering) -> Result<V, OpError> {
        let mut y = self.x.v;
        for (d, axis) in self.axes.iter().enumerate() {
            let picks: Vec<i64> = (0..axis.out).map(|i| axis.nearest(i) as i64).collect();
            let picks = b.constant(Tensor::vector(&picks));
            y = b.gather(y, picks, d + 2)?;
        }
        Ok(y)
    }

    /// Sums of weighted neighbours along one dimension after the other.
    fn by_taps(&self, b: &mut Lowering) -> Result<V, OpError> {
        let mut y = self.x.v;
        for (d, axis) in self.axes.iter().enumerate() {
            let taps: Vec<_> = (0..axis.out).map(|i| axis.taps(i)).collect();
            y = weigh(b, y, d + 2, &taps)?;
        }
        Ok(y)
    }
}

/// The last dimensions of `x`, resized to the sizes or by the factors that are argument 1 or 2.
pub(super) struct Scheme<'a, const N: usize> {
    x: &'a Operand,
    output: &'a Late<Option<Ints>>,
    scales: Option<&'a [f64]>,
    grid: fn(Option<f64>) -> Grid,
    kernel: Kernel,
}

impl<'a, const N: usize> Scheme<'a, N> {
    pub fn resizing(&self) -> Result<Resizing<'a, N>, OpError> {
        let (outer, sizes) = planes("images", self.x, self.x.shape())?;
        let kernel = self.kernel;
        let mut axes: [Axis; N] = sizes.map(|size| Axis { size, out: size, grid: (self.grid)(None), kernel });
        match (self.output.get()?.as_ref().filter(|o| !o.is_empty()), self.scales) {
            (Some(o), None) if o.len() == N => {
                for (axis, &out) in axes.iter_mut().zip(o) {
                    axis.out = size(out, "size")?;
                }
            }
            (None, Some(s)) if s.len() == N && s.iter().all(|s| s.is_finite() && *s > 0.0) => {
                for (axis, &scale) in axes.iter_mut().zip(s) {
                    axis.out = size((axis.size as f64 * scale).floor() as i64, "scales")?;
                    axis.grid = (self.grid)(Some(scale));
                }
            }
            (output, scales) => {
                let found = format!("{:?} and {scales:?}", output.map(|o| o.as_slice()));
                return Err(OpError::Invalid(format!("expected {N} sizes or {N} positive scales, found {found}")));
            }
        }
        Ok(Resizing { x: self.x, outer, axes, kernel })
    }
}

impl<const N: usize> Rule for Scheme<'_, N> {
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        Ok(vec![self.resizing()?.infer()?])
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        Ok(vec![self.resizing()?.reference()?])
    }

    fn lower(&self, b: &mut Lowering) -> Lowers {
        Ok(self.resizing()?.lower(b)?.map(|y| vec![y]))
    }

    /// `Resize`; `None` where ONNX weighs elements otherwise.
    fn onnx(&self, e: &mut Emit) -> Forms {
        let wide = matches!(self.x.dtype(), DType::F32 | DType::F16 | DType::I32 | DType::U8 | DType::I8);
        let grid = (self.grid)(self.scales.and_then(|s| s.first().copied()));
        let (coordinates, nearest) = match grid {
            Grid::Asymmetric | Grid::Scaled(_) => ("asymmetric", "floor"),
            Grid::Corners => ("align_corners", "round_prefer_ceil"),
            Grid::Centres | Grid::ScaledCentres(_) => ("half_pixel", "round_prefer_ceil"),
        };
        let mut attrs = vec![("coordinate_transformation_mode", coordinates.into())];
        match self.kernel {
            _ if !wide => return Ok(None),
            Kernel::Nearest => attrs.extend([("mode", "nearest".into()), ("nearest_mode", nearest.into())]),
            Kernel::Linear => attrs.push(("mode", "linear".into())),
            Kernel::Cubic { a, renormal, table: false } => attrs.extend([
                ("mode", "cubic".into()),
                ("cubic_coeff_a", (a as f32).into()),
                ("exclude_outside", i64::from(renormal).into()),
            ]),
            Kernel::Cubic { .. } => return Ok(None),
        }
        let x = e.edge(self.x)?;
        if let (Some(scales), Grid::Scaled(_) | Grid::ScaledCentres(_)) = (self.scales, grid) {
            let scales: Vec<f32> = [1.0, 1.0].into_iter().chain(scales.iter().map(|&s| s as f32)).collect();
            let scales = e.constant(Tensor::vector(&scales));
            return Ok(Some(e.op_n("Resize", &[Some(x), None, Some(scales)], attrs, 1)));
        }
        let outer = e.sizes(&[Size::Of(self.x.clone(), 0), Size::Of(self.x.clone(), 1)])?;
        let inner = match (self.output, self.scales) {
            (Late::Computed(_), None) => e.ints(1, None)?,
            (Late::Known(Some(sizes)), None) => e.vector(sizes),
            _ => e.vector(&to_i64(&self.resizing()?.axes.map(|a| a.out))),
        };
        let sizes = e.concat(&[outer, inner], 0);
        Ok(Some(e.op_n("Resize", &[Some(x), None, None, Some(sizes)], attrs, 1)))
    }
}

/// Images resized to `output` with TensorFlow's two switches.
pub(super) fn switched<'a>(
    x: &'a Operand,
    output: &'a Late<Option<Ints>>,
    corners: bool,
    centres: bool,
    kernel: Kernel,
) -> Result<Scheme<'a, 2>, OpError> {
    ensure!(!(corners && centres), "align_corners and half_pixel_centers exclude each other");
    let grid: fn(Option<f64>) -> Grid = if corners {
        |_| Grid::Corners
    } else if centres {
        |_| Grid::Centres
    } else {
        |_| Grid::Asymmetric
    };
    Ok(Scheme { x, output, scales: None, grid, kernel })
}

/// Cases of an operator with the two switches.
fn switched_cases(dtype: DType, both: bool) -> Vec<Case> {
    let one = |x: &[usize], out: &[i64], corners, centres, name| {
        sample().tensor(dtype, x).ints(out).flag(corners).flag(centres).case(name)
    };
    let mut cases = vec![
        one(&[2, 3, 2, 3], &[3, 5], false, false, "larger"),
        one(&[1, 2, 5, 7], &[2, 3], false, false, "smaller"),
        one(&[1, 2, 2, 3], &[3, 5], true, false, "aligned corners"),
        one(&[1, 2, 5, 7], &[1, 3], true, false, "aligned corners, one row"),
    ];
    if both {
        cases.push(one(&[1, 2, 2, 3], &[3, 5], false, true, "centres, larger"));
        cases.push(one(&[1, 2, 5, 7], &[2, 3], false, true, "centres, smaller"));
    }
    cases
}

op! {
    /// Resizes images `[n, c, h, w]` to `size` by the element at `⌊i · in / out⌋`, or with `align_corners` the one nearest
    /// to `i · (in − 1) / (out − 1)`, halves rounded up. `half_pixel_centers` has no influence. Any real type.
    ResizeNearestNeighbor {
        input_x ["x", "image"]: Operand,
        size: Late<Option<Ints>>,
        align_corners: bool = false,
        half_pixel_centers: bool = false,
    }
}

impl Operator for ResizeNearestNeighbor {
    fn rule(&self) -> Result<impl Rule, OpError> {
        ensure!(
            !(self.align_corners && self.half_pixel_centers),
            "align_corners and half_pixel_centers exclude each other"
        );
        switched(&self.input_x, &self.size, self.align_corners, false, Kernel::Nearest)
    }

    fn cases() -> Vec<Case> {
        let mut cases = switched_cases(DType::F32, false);
        cases.push(sample().tensor(DType::I32, &[1, 1, 2, 2]).ints(&[4, 3]).exact("i32"));
        cases
    }
}

op! {
    /// Resizes images `[n, c, h, w]` to `size` by the element at `⌊i · in / out⌋`; with `half_pixel_centers` at
    /// `⌊(i + 0.5) · in / out⌋`; with `align_corners` by the one nearest to `i · (in − 1) / (out − 1)`, halves rounded up. Any
    /// real type.
    ResizeNearestNeighborV2 {
        image ["x"]: Operand,
        size: Late<Option<Ints>>,
        align_corners: bool = false,
        half_pixel_centers: bool = false,
    }
}

impl Operator for ResizeNearestNeighborV2 {
    fn rule(&self) -> Result<impl Rule, OpError> {
        switched(&self.image, &self.size, self.align_corners, self.half_pixel_centers, Kernel::Nearest)
    }

    fn cases() -> Vec<Case> {
        switched_cases(DType::F32, true)
    }
}

op! {
    /// Resizes images `[n, c, h, w]` to `size` by linear interpolation between the neighbours of coordinate `i · in / out`;
    /// with `half_pixel_centers` of `(i + 0.5) · in / out − 0.5`, not below 0; with `align_corners` of
    /// `i · (in − 1) / (out − 1)`. Floats.
    ResizeBilinearV2, aliases ["ResizeBilinear"] {
        image ["x"]: Operand,
        size: Late<Option<Ints>>,
        align_corners: bool = false,
        half_pixel_centers: bool = false,
    }
}

impl Operator for ResizeBilinearV2 {
    fn rule(&self) -> Result<impl Rule, OpError> {
        switched(&self.image, &self.size, self.align_corners, self.half_pixel_centers, Kernel::Linear)
    }

    fn cases() -> Vec<Case> {
        switched_cases(DType::F32, true)
    }
}

/// What `ResizeBicubic` weighs elements by.
pub(super) fn bicubic(centres: bool) -> Kernel {
    Kernel::Cubic { a: if centres { -0.5 } else { -0.75 }, renormal: centres, table: true }
}

op! {
    /// Resizes images `[n, c, h, w]` to `size` by cubic convolution of four by four neighbours: with parameter −0.75 and
    /// repeated edges, or for `half_pixel_centers` with −0.5 and without the neighbours beyond the edges. Coordinates as for
    /// `ResizeBilinearV2`, negative ones included; distances between elements are rounded to 1/1024. Floats.
    ResizeBicubic {
        image ["images", "x"]: Operand,
        size: Late<Option<Ints>>,
        align_corners: bool = false,
        half_pixel_centers: bool = false,
    }
}

impl Operator for ResizeBicubic {
    fn rule(&self) -> Result<impl Rule, OpError> {
        let kernel = bicubic(self.half_pixel_centers);
        switched(&self.image, &self.size, self.align_corners, self.half_pixel_centers, kernel)
    }

    fn cases() -> Vec<Case> {
        switched_cases(DType::F32, true)
    }
}

/// The last dimensions resized to `output` or, without it, by the factors `scales`.
pub(super) fn scaled<'a, const N: usize>(
    x: &'a Operand,
    output: &'a Late<Option<Ints>>,
    scales: &'a Option<Vec<f64>>,
    corners: bool,
    kernel: Kernel,
) -> Scheme<'a, N> {
    let grid: fn(Option<f64>) -> Grid = match (corners, kernel) {
        (true, _) => |_| Grid::Corners,
        (false, Kernel::Nearest) => |scale| scale.map_or(Grid::Asymmetric, Grid::Scaled),
        (false, _) => |scale| scale.map_or(Grid::Centres, Grid::ScaledCentres),
    };
    let scales = scales.as_deref().filter(|s| !s.is_empty());
    Scheme { x, output, scales, grid, kernel }
}

macro_rules! nearest_op {
    ($(#[doc = $doc:literal])+ $name:ident $n:literal $shape:expr, $out:expr, $scales:expr) => {
        op! {
            $(#[doc = $doc])+
            $name { x: Operand, output_size: Late<Option<Ints>> = Late::Known(None), scales: Option<Vec<f64>> = None }
        }

        impl Operator for $name {
            fn rule(&self) -> Result<impl Rule, OpError> {
                Ok(scaled::<$n>(&self.x, &self.output_size, &self.scales, false, Kernel::Nearest))
            }

            fn cases() -> Vec<Case> {
                vec![
                    sample().tensor(DType::F32, $shape).ints($out).none().exact("sizes"),
                    sample().tensor(DType::F32, $shape).none().reals($scales).exact("scales"),
                ]
            }
        }
    };
}

nearest_op! {
    /// Resizes `[n, c, l]` by the element at `⌊i · in / out⌋`, or with `scales` at `⌊i / scale⌋`. Any real type.
    UpsampleNearest1D 1 &[2, 3, 4], &[7], &[1.7]
}

nearest_op! {
    /// Resizes `[n, c, h, w]` by the element at `⌊i · in / out⌋`, or with `scales` at `⌊i / scale⌋`. Any real type.
    UpsampleNearest2D 2 &[2, 3, 2, 3], &[3, 5], &[1.7, 1.6]
}

nearest_op! {
    /// Resizes `[n, c, d, h, w]` by the element at `⌊i · in / out⌋`, or with `scales` at `⌊i / scale⌋`. Any real type.
    UpsampleNearest3D 3 &[1, 2, 2, 3, 2], &[4, 3, 3], &[2.0, 1.5, 1.6]
}

macro_rules! upsample_op {
    ($(#[doc = $doc:literal])+ $name:ident [$($alias:literal),*] $n:literal $kernel:expr, $shape:expr, $out:expr, $scales:expr) => {
        op! {
            $(#[doc = $doc])+
            $name, aliases [$($alias),*] {
                x: Operand,
                output_size: Late<Option<Ints>> = Late::Known(None),
                scales: Option<Vec<f64>> = None,
                align_corners: bool = false,
            }
        }

        impl Operator for $name {
            fn rule(&self) -> Result<impl Rule, OpError> {
                Ok(scaled::<$n>(&self.x, &self.output_size, &self.scales, self.align_corners, $kernel))
            }

            fn cases() -> Vec<Case> {
                vec![
                    sample().tensor(DType::F32, $shape).ints($out).none().flag(false).case("sizes"),
                    sample().tensor(DType::F32, $shape).ints($out).none().flag(true).case("aligned corners"),
                    sample().tensor(DType::F32, $shape).none().reals($scales).case("scales"),
                ]
            }
        }
    };
}

upsample_op! {
    /// Resizes `[n, c, l]` by linear interpolation at `(i + 0.5) · in / out − 0.5`, not below 0, or with `align_corners` at
    /// `i · (in − 1) / (out − 1)`. With `scales`, `1 / scale` takes the place of `in / out`. Floats.
    UpsampleLinear1D [] 1 Kernel::Linear, &[2, 3, 4], &[7], &[1.7]
}

upsample_op! {
    /// Resizes `[n, c, h, w]` by linear interpolation; coordinates as for `UpsampleLinear1D`. Floats.
    UpsampleBilinear2D [] 2 Kernel::Linear, &[2, 3, 2, 3], &[3, 5], &[1.7, 1.6]
}

upsample_op! {
    /// Resizes `[n, c, d, h, w]` by linear interpolation; coordinates as for `UpsampleLinear1D`. Floats.
    UpsampleTrilinear3D [] 3 Kernel::Linear, &[1, 2, 2, 3, 2], &[4, 3, 3], &[2.0, 1.5, 1.6]
}

upsample_op! {
    /// Resizes `[n, c, h, w]` by cubic convolution with parameter −0.75 and repeated edges; coordinates as for
    /// `UpsampleLinear1D`, negative ones included. Floats.
    UpsampleBicubic2D [] 2 Kernel::Cubic { a: -0.75, renormal: false, table: false }, &[1, 2, 4, 3], &[7, 5], &[1.5, 2.0]
}

crate::op_enum! {
    /// Coordinates of `ResizeLinear1D`.
    Coordinate1D {
        /// Origins on origins.
        Asymmetric = 0, "asymmetric";
        /// Corners on corners.
        AlignCorners = 1, "align_corners";
        /// Centres of elements.
        HalfPixel = 2, "half_pixel";
    }
}

/// Sequences resized to `output`.
pub(super) fn linear1d<'a>(x: &'a Operand, output: &'a Late<Option<Ints>>, mode: Coordinate1D) -> Scheme<'a, 1> {
    let grid: fn(Option<f64>) -> Grid = match mode {
        Coordinate1D::Asymmetric => |_| Grid::Asymmetric,
        Coordinate1D::AlignCorners => |_| Grid::Corners,
        Coordinate1D::HalfPixel => |_| Grid::Centres,
    };
    Scheme { x, output, scales: None, grid, kernel: Kernel::Linear }
}

op! {
    /// Resizes `[n, c, l]` to `size` by linear interpolation at `(i + 0.5) · in / out − 0.5`, not below 0, or for
    /// `align_corners` at `i · (in − 1) / (out − 1)`, for `asymmetric` at `i · in / out`. Floats.
    ResizeLinear1D {
        x: Operand,
        size: Late<Option<Ints>> = Late::Known(Some(ints(&[1]))),
        coordinate_transformation_mode: Coordinate1D = Coordinate1D::AlignCorners,
    }
}

impl Operator for ResizeLinear1D {
    fn rule(&self) -> Result<impl Rule, OpError> {
        Ok(linear1d(&self.x, &self.size, self.coordinate_transformation_mode))
    }

    fn cases() -> Vec<Case> {
        let one = |mode, name| sample().tensor(DType::F32, &[2, 3, 4]).ints(&[7]).text(mode).case(name);
        vec![one("align_corners", "corners"), one("half_pixel", "centres")]
    }
}
