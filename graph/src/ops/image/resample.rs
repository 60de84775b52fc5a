//! Images of another size, whose elements are weighted sums along rows and then along columns.

use super::resize::cubic;
use crate::bounds::Pulse;
use crate::op::{Case, Ints, Lowers, Operand, Operator, Rule};
use crate::ops::kit::broadcasting::real;
use crate::ops::kit::grid::{Grid, each};
use crate::ops::kit::host::host;
use crate::ops::kit::indices::{around, item, only, replaced, result, size, sizes};
use crate::ops::kit::sample::{cycle, sample, wave};
use crate::ops::kit::taps::weigh;
use crate::task::Lowering;
use crate::{DType, Fact, OpError, Tensor, ensure, op, op_enum};

/// Elements along one dimension and their weights.
type Taps = Vec<(usize, f64)>;

/// `x` with other elements along two dimensions: element `i` is the sum of those that `taps` names.
struct Separable<'a, F> {
    x: &'a Operand,
    axes: [usize; 2],
    sizes: [usize; 2],
    dtype: DType,
    taps: F,
}

impl<F: Fn(usize) -> Result<Vec<Taps>, OpError>> Rule for Separable<'_, F> {
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        let fits = real(self.x).is_ok() && self.x.rank() == 4 && self.x.count() > 0;
        ensure!(fits, "expected images of four dimensions, found {}", self.x.fact);
        ensure!(self.sizes.iter().all(|n| *n > 0), "expected positive sizes, found {:?}", self.sizes);
        let [rows, cols] = self.axes;
        let shape = replaced(&replaced(self.x.shape(), rows, self.sizes[0]), cols, self.sizes[1]);
        Ok(vec![result(self.dtype, &shape)?])
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        let fact = only(self.infer()?)?;
        let (mut y, mut shape, mut pulse) = (self.x.f64s()?, self.x.fact.shape.clone(), Pulse::default());
        for (which, axis) in self.axes.into_iter().enumerate() {
            let taps = (self.taps)(which)?;
            let [outer, len, inner] = around(&shape, axis)?;
            let mut next = Vec::with_capacity(outer * taps.len() * inner);
            for (o, taps) in (0..outer).flat_map(|o| taps.iter().map(move |taps| (o, taps))) {
                pulse.turns(inner)?;
                for i in 0..inner {
                    let one = |(at, weight): &(usize, f64)| Ok(weight * item(&y, (o * len + at) * inner + i)?);
                    next.push(taps.iter().map(one).sum::<Result<f64, OpError>>()?);
                }
            }
            shape = replaced(&shape, axis, taps.len());
            y = next;
        }
        Ok(vec![Tensor::from_f64s(fact.dtype, &fact.shape, &y)?])
    }

    fn lower(&self, b: &mut Lowering) -> Lowers {
        let taps = [(self.taps)(0)?, (self.taps)(1)?];
        if taps.iter().flatten().any(Vec::is_empty) || !self.dtype.is_float() {
            return Ok(None);
        }
        let mut y = b.cast(self.x.v, self.dtype);
        for (axis, taps) in self.axes.into_iter().zip(&taps) {
            y = weigh(b, y, axis, taps)?;
        }
        Ok(Some(vec![y]))
    }
}

/// The two numbers of a size.
fn two(sizes: &[usize]) -> Result<[usize; 2], OpError> {
    sizes.try_into().map_err(|_| OpError::Invalid(format!("expected two sizes, found {sizes:?}")))
}

fn length(x: &Operand, axis: usize) -> Result<usize, OpError> {
    item(x.shape(), axis).copied()
}

op! {
    /// Images `[n, h, w, c]` of size `size`, each element the mean of the area that it covers, as `f32`. With `align_corners`
    /// areas begin so that the last elements are of one place.
    classic ResizeArea { images: Operand, size: Ints as Input, align_corners: bool = false }
}

impl ResizeArea {
    /// Elements of `len` that each of `n` covers, with their shares.
    fn taps(&self, len: usize, n: usize) -> Vec<Taps> {
        let step = if self.align_corners && n > 1 { (len - 1) as f64 / (n - 1) as f64 } else { len as f64 / n as f64 };
        let area = |i: usize| {
            let (from, to) = (i as f64 * step, (i + 1) as f64 * step);
            let covered = |at: usize| (to.min(at as f64 + 1.0) - from.max(at as f64)) / step;
            let all = from.floor() as usize..to.ceil() as usize;
            let taps: Taps = all.map(|at| (at.min(len - 1), covered(at))).filter(|(_, share)| *share > 0.0).collect();
            if taps.is_empty() { vec![((from as usize).min(len - 1), 1.0)] } else { taps }
        };
        (0..n).map(area).collect()
    }
}

impl Operator for ResizeArea {
    fn rule(&self) -> Result<impl Rule, OpError> {
        let x = &self.images;
        let sizes = two(&sizes(&self.size, "size")?)?;
        let taps = move |which: usize| Ok(self.taps(length(x, which + 1)?, *item(&sizes, which)?));
        Ok(Separable { x, axes: [1, 2], sizes, dtype: DType::F32, taps })
    }

    fn cases() -> Vec<Case> {
        let s = || sample().arg(wave(DType::F32, &[2, 4, 5, 2]));
        vec![
            s().ints(&[2, 3]).case("smaller"),
            s().ints(&[2, 3]).flag(true).case("corners"),
            s().ints(&[7, 5]).case("larger"),
            sample().tensor(DType::I32, &[1, 3, 3, 1]).ints(&[2, 1]).case("integers"),
        ]
    }
}

op_enum! {
    /// How elements between others are found.
    Between {
        /// The one where an element begins.
        Nearest = 0, "nearest";
        /// Linearly.
        Linear = 1, "linear";
        /// By cubic convolution with the coefficient −0.75.
        Cubic = 2, "cubic";
    }
}

op_enum! {
    /// What corresponds in both images.
    Corresponding {
        /// The centres of the corner elements.
        Corners = 0, "align_corners";
        /// The outer edges.
        Edges = 1, "half_pixel";
    }
}

op! {
    /// Images `[n, c, h, w]` of the dimensions `sizes`, whose first two are those of `x`, by the element where each begins
    /// (`nearest`), linearly or by cubic convolution; beyond the edges are the edge elements. `roi` and `scales` have no effect.
    classic ResizeV2 {
        x: Operand,
        roi: Operand,
        scales: Operand,
        sizes: Ints as Input,
        coordinate_transformation_mode: Corresponding as Small = Corresponding::Edges,
        mode: Between as Small = Between::Nearest,
    }
}

impl ResizeV2 {
    fn taps(&self, len: usize, n: usize) -> Vec<Taps> {
        let last = len as f64 - 1.0;
        let place = |i: usize| match self.coordinate_transformation_mode {
            Corresponding::Corners => {
                if n > 1 {
                    i as f64 * last / (n - 1) as f64
                } else {
                    0.0
                }
            }
            Corresponding::Edges => (i as f64 + 0.5) * len as f64 / n as f64 - 0.5,
        };
        let one = |i: usize| match self.mode {
            Between::Nearest => vec![(i * len / n, 1.0)],
            Between::Linear => {
                let x = place(i).clamp(0.0, last);
                let (at, rest) = (x.floor() as usize, x - x.floor());
                if rest == 0.0 { vec![(at, 1.0)] } else { vec![(at, 1.0 - rest), (at + 1, rest)] }
            }
            Between::Cubic => cubic(place(i), len as i64 - 1, -0.75, false, false),
        };
        (0..n).map(one).collect()
    }
}

impl Operator for ResizeV2 {
    fn rule(&self) -> Result<impl Rule, OpError> {
        let (x, all) = (&self.x, sizes(&self.sizes, "sizes")?);
        let fits = all.len() == 4 && x.rank() == 4 && x.shape().get(..2) == all.get(..2);
        ensure!(fits, "expected four sizes, the first two of {}, found {all:?}", x.fact);
        let float = self.mode == Between::Nearest || x.dtype().is_float();
        ensure!(float, "expected floats, found {}", x.fact);
        let sizes = two(all.get(2..).unwrap_or_default())?;
        let taps = move |which: usize| Ok(self.taps(length(x, which + 2)?, *item(&sizes, which)?));
        Ok(Separable { x, axes: [2, 3], sizes, dtype: x.dtype(), taps })
    }

    fn cases() -> Vec<Case> {
        let one = |dims: &[usize], sizes: &[i64], edges, mode, name| {
            let s = sample().arg(wave(DType::F32, dims)).tensor(DType::F32, &[0]).tensor(DType::F32, &[0]);
            s.ints(sizes).text(edges).text(mode).case(name)
        };
        vec![
            one(&[1, 2, 1, 4], &[1, 2, 1, 6], "half_pixel", "nearest", "nearest"),
            one(&[1, 2, 1, 4], &[1, 2, 1, 6], "half_pixel", "linear", "linear"),
            one(&[1, 2, 1, 4], &[1, 2, 1, 3], "align_corners", "linear", "linear corners"),
            one(&[2, 1, 4, 5], &[2, 1, 3, 7], "half_pixel", "cubic", "cubic"),
            one(&[2, 1, 4, 5], &[2, 1, 3, 7], "align_corners", "cubic", "cubic corners"),
        ]
    }
}

op_enum! {
    /// The weight of an element by its distance.
    Filter {
        /// A sine, windowed by its first hump.
        Lanczos1 = 0, "lanczos1";
        /// A sine, windowed over three elements.
        Lanczos3 = 1, "lanczos3";
        /// A sine, windowed over five elements.
        Lanczos5 = 2, "lanczos5";
        /// A bell of deviation 0.5, over 1.5 elements.
        Gaussian = 3, "gaussian";
        /// 1 up to half an element.
        Box = 4, "box";
        /// Linearly down to 0 at one element.
        Triangle = 5, "triangle";
        /// Cubic convolution with the coefficient −0.5.
        KeysCubic = 6, "keyscubic";
        /// Mitchell's and Netravali's cubic.
        MitchellCubic = 7, "mitchellcubic";
    }
}

impl Filter {
    fn radius(self) -> f64 {
        match self {
            Filter::Lanczos1 | Filter::Box | Filter::Triangle => 1.0,
            Filter::Lanczos3 => 3.0,
            Filter::Lanczos5 => 5.0,
            Filter::Gaussian => 1.5,
            Filter::KeysCubic | Filter::MitchellCubic => 2.0,
        }
    }

    fn weight(self, away: f64) -> f64 {
        use std::f64::consts::PI;
        let (x, radius) = (away.abs(), self.radius());
        match self {
            Filter::Box if x < 0.5 => 1.0,
            Filter::Box if x == 0.5 => 0.5,
            Filter::Box => 0.0,
            _ if x >= radius => 0.0,
            Filter::Lanczos1 | Filter::Lanczos3 | Filter::Lanczos5 if x <= 1e-3 => 1.0,
            Filter::Lanczos1 | Filter::Lanczos3 | Filter::Lanczos5 => {
                radius * (PI * x).sin() * (PI * x / radius).sin() / (PI * PI * x * x)
            }
            Filter::Gaussian => (-x * x / 0.5).exp(),
            Filter::Triangle => 1.0 - x,
            Filter::KeysCubic if x >= 1.0 => ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0,
            Filter::KeysCubic => (1.5 * x - 2.5) * x * x + 1.0,
            Filter::MitchellCubic if x >= 1.0 => ((-7.0 / 18.0 * x + 2.0) * x - 10.0 / 3.0) * x + 16.0 / 9.0,
            Filter::MitchellCubic => (7.0 / 6.0 * x - 2.0) * x * x + 8.0 / 9.0,
        }
    }
}

op! {
    /// Images `[n, h, w, c]` multiplied in size by `scale` (rows, columns) and moved by `translation`, of size `size`, as `f32`.
    /// Elements are weighted by `kernel_type`, which `antialias` widens where images become smaller; 0 outside of the image.
    classic ScaleAndTranslate {
        images: Operand,
        size: Ints as Input,
        scale: Operand,
        translation: Operand,
        kernel_type: Filter as Small = Filter::Lanczos3,
        antialias: bool = true,
    }
}

impl ScaleAndTranslate {
    fn taps(&self, len: usize, n: usize, scale: f64, translation: f64) -> Vec<Taps> {
        let step = 1.0 / scale;
        let width = if self.antialias { step.max(1.0) } else { 1.0 };
        let one = |i: usize| {
            let centre = (i as f64 + 0.5 - translation) * step;
            if !(0.0..=len as f64).contains(&centre) {
                return Vec::new();
            }
            let reach = self.kernel_type.radius() * width;
            let from = (centre - reach - 0.5).ceil().clamp(0.0, len as f64 - 1.0) as usize;
            let to = (centre + reach - 0.5).floor().clamp(0.0, len as f64 - 1.0) as usize;
            let weight = |at: usize| self.kernel_type.weight((at as f64 + 0.5 - centre) / width);
            let sum: f64 = (from..=to).map(weight).sum();
            let whole = if sum.abs() < 1000.0 * f64::from(f32::MIN_POSITIVE) { 1.0 } else { sum };
            (from..=to).map(|at| (at, weight(at) / whole)).collect()
        };
        (0..n).map(one).collect()
    }
}

impl Operator for ScaleAndTranslate {
    fn rule(&self) -> Result<impl Rule, OpError> {
        let x = &self.images;
        let sizes = two(&sizes(&self.size, "size")?)?;
        let pairs = self.scale.count() == 2 && self.translation.count() == 2;
        ensure!(pairs, "expected two scales and moves, found {} and {}", self.scale.fact, self.translation.fact);
        let taps = move |which: usize| {
            let (scale, by) = (*item(&self.scale.f64s()?, which)?, *item(&self.translation.f64s()?, which)?);
            let fits = scale.is_finite() && scale > 1e-6 && by.is_finite();
            ensure!(fits, "expected a positive scale, found {scale} with a translation of {by}");
            Ok(self.taps(length(x, which + 1)?, *item(&sizes, which)?, scale, by))
        };
        Ok(Separable { x, axes: [1, 2], sizes, dtype: DType::F32, taps })
    }

    fn cases() -> Vec<Case> {
        let pair = |a: f64, b: f64| cycle(DType::F32, &[2], &[a, b]);
        let one = |kernel, antialias: bool, name| {
            let s =
                sample().arg(wave(DType::F32, &[1, 4, 4, 2])).ints(&[2, 3]).arg(pair(0.5, 1.5)).arg(pair(0.5, -0.5));
            s.text(kernel).flag(antialias).case(name)
        };
        let kernels = ["lanczos1", "lanczos3", "lanczos5", "gaussian", "box", "triangle", "keyscubic", "mitchellcubic"];
        let outside =
            sample().arg(wave(DType::F32, &[1, 3, 3, 1])).ints(&[4, 4]).arg(pair(1.0, 1.0)).arg(pair(2.0, -2.0));
        let mut cases: Vec<Case> = kernels.into_iter().map(|kernel| one(kernel, true, kernel)).collect();
        cases.extend([one("triangle", false, "not widened"), outside.text("triangle").case("outside")]);
        cases
    }
}

op_enum! {
    /// How an element of a crop is found.
    Sampling {
        /// Linearly from four elements.
        Bilinear = 0, "bilinear";
        /// The nearest.
        Nearest = 1, "nearest";
        /// Linearly from four elements of the whole elements that the box touches, where an output element is as wide as its share.
        BilinearV2 = 2, "bilinear_v2";
    }
}

op! {
    /// The parts `boxes` (`[boxes, 4]`: first row and column, last row and column, from 0 to 1) of the images `x` (`[n, h, w,
    /// c]`) that `box_index` names, each resized to `crop_size` (rows, columns), as `f32`. Elements outside of the image are
    /// `extrapolation_value`, and with method `bilinear_v2` those at its border. Method `bilinear`, `nearest` or `bilinear_v2`.
    classic CropAndResize {
        x: Operand,
        boxes: Operand,
        box_index: Operand,
        crop_size: Ints as Input,
        method: Sampling as Small = Sampling::Bilinear,
        extrapolation_value: f64 = 0.0,
    }
}

/// Elements of `len` and weights for element `i` of `n`, among which the elements that the box touches are shared out.
fn shared_taps(ends: [f64; 2], len: usize, i: usize, n: usize) -> Taps {
    // MindSpore cuts ends off as `f32`.
    let [first, last] = ends.map(|end| (end as f32 * len as f32) as i32).map(i64::from);
    let count = (last - first + 1).max(1);
    let x = (i as f64 + 0.5) * count as f64 / n as f64 - 0.5;
    let place = |x: f64| (first + (x as i64).clamp(0, count - 1)).clamp(0, len as i64 - 1) as usize;
    let rest = x - x.floor();
    vec![(place(x.floor()), 1.0 - rest), (place(x.ceil()), rest)]
}

impl CropAndResize {
    fn facts(&self) -> Result<Vec<Fact>, OpError> {
        let (x, boxes, index) = (&self.x, &self.boxes, &self.box_index);
        let ([_, h, w, c], [count, four]) = (x.fact.ranked()?, boxes.fact.ranked()?);
        let fits = four == 4 && boxes.dtype().is_float() && index.dtype().is_int() && index.shape() == [count];
        ensure!(fits, "expected floats [boxes, 4] and as many images, found {} and {}", boxes.fact, index.fact);
        ensure!(real(x).is_ok() && h > 0 && w > 0, "expected images with elements, found {}", x.fact);
        let [rows, cols] = two(&sizes(&self.crop_size, "crop_size")?)?;
        ensure!(rows > 0 && cols > 0, "expected a positive crop_size, found {:?}", self.crop_size);
        Ok(vec![result(DType::F32, &[count, rows, cols, c])?])
    }

    /// Elements of `len` and weights for element `i` of `n`; `None` outside.
    fn taps(&self, [from, to]: [f64; 2], len: usize, i: usize, n: usize) -> Option<Taps> {
        if self.method == Sampling::BilinearV2 {
            return Some(shared_taps([from, to], len, i, n));
        }
        let last = len as f64 - 1.0;
        let step = if n > 1 { (to - from) * last / (n - 1) as f64 } else { 0.0 };
        let x = if n > 1 { from * last + i as f64 * step } else { (from + to) / 2.0 * last };
        if !(0.0..=last).contains(&x) {
            return None;
        }
        Some(match self.method {
            Sampling::Nearest => vec![(x.round() as usize, 1.0)],
            _ => {
                let rest = x - x.floor();
                vec![(x.floor() as usize, 1.0 - rest), (x.ceil() as usize, rest)]
            }
        })
    }

    fn results(&self, facts: Vec<Fact>) -> Result<Vec<Tensor>, OpError> {
        let (fact, x) = (only(facts)?, Grid::read(&self.x)?);
        let (boxes, index) = (Grid::<2>::read(&self.boxes)?, self.box_index.i64s()?);
        let ([n, h, w, _], mut y) = (x.dims, Grid::zeros(fact.ranked()?)?);
        let images = index.iter().map(|i| size(*i, "box_index").ok().filter(|i| *i < n));
        let images = images
            .collect::<Option<Vec<_>>>()
            .ok_or_else(|| OpError::Invalid(format!("an image of {index:?} is not below {n}")))?;
        let [_, rows, cols, _] = y.dims;
        each(y.dims, |[k, i, j, c]| {
            let corner = |at| boxes.at([k, at]);
            let rows = self.taps([corner(0)?, corner(2)?], h, i, rows);
            let value = match (rows, self.taps([corner(1)?, corner(3)?], w, j, cols)) {
                (Some(rows), Some(cols)) => {
                    let mut sum = 0.0;
                    for (row, col) in rows.iter().flat_map(|row| cols.iter().map(move |col| (row, col))) {
                        sum += row.1 * col.1 * x.at([*item(&images, k)?, row.0, col.0, c])?;
                    }
                    sum
                }
                _ => self.extrapolation_value,
            };
            *y.at_mut([k, i, j, c])? = value;
            Ok(())
        })?;
        Ok(vec![y.tensor(fact.dtype)?])
    }
}

impl Operator for CropAndResize {
    fn rule(&self) -> Result<impl Rule, OpError> {
        Ok(host(|| self.facts(), |facts| self.results(facts)))
    }

    fn cases() -> Vec<Case> {
        let boxes = cycle(DType::F32, &[3, 4], &[0.0, 0.0, 1.0, 1.0, 0.2, 0.3, 1.2, 0.8, 1.0, 1.0, 0.0, 0.0]);
        let s = sample().arg(wave(DType::F32, &[2, 4, 5, 2])).arg(boxes).index(DType::I32, &[3], &[0, 1, 0]);
        vec![
            s.clone().ints(&[2, 3]).case("bilinear"),
            s.clone().ints(&[2, 3]).text("nearest").real(5.0).exact("nearest"),
            s.clone().ints(&[1, 1]).case("centres"),
            s.ints(&[2, 3]).text("bilinear_v2").case("bilinear_v2"),
        ]
    }
}
