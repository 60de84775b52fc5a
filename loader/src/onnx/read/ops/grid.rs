//! Images read at places between their elements.

use mindir_graph::DType;

use super::Row;
use super::element::as_type;
use super::shape::{join, length, lengths, part, places, product, reshaped, times};
use crate::onnx::read::import::{Call, Import, Step, Steps, Val};

pub(super) static OPS: &[Row] = &[("AffineGrid", |m, c| affine_grid(m, c)), ("GridSample", |m, c| grid_sample(m, c))];

/// Places from −1 to 1 moved by matrices, for [`grid_sample`].
fn affine_grid(m: &mut Import, c: &Call) -> Steps {
    let (theta, size) = (m.of_rank(c.input(0)?, 3), as_type(m, c.input(1)?, DType::I64)?);
    let spatial = size.length(0).map_or_else(|| theta.dim(1), |n| Ok(n.saturating_sub(2)))?;
    if !(2..=3).contains(&spatial) {
        return Err(format!("{spatial} spatial dimensions are not supported"));
    }
    let corners = c.int("align_corners", 0) == 1;
    let d = theta.dtype();
    let dims = part(m, &size, 2, 2 + spatial)?;
    let one = m.vector(&[1]);
    let whole = join(m, vec![dims.clone(), one.clone()], 0)?;
    // The last dimension comes first, and a 1 last.
    let mut columns = Vec::new();
    for axis in (0..spatial).rev() {
        let len = part(m, &dims, axis, axis + 1)?;
        let at = places(m, len.clone())?;
        let (at, len) = (as_type(m, at, d)?, as_type(m, len, d)?);
        let line = if corners {
            let last = m.with("Sub", &len, 1.0)?;
            let last = m.with("Maximum", &last, 1.0)?;
            let at = m.with("Mul", &at, 2.0)?;
            let at = m.two("Div", &at, &last)?;
            m.with("Sub", &at, 1.0)?
        } else {
            let at = m.with("Mul", &at, 2.0)?;
            let at = m.with("Add", &at, 1.0)?;
            let at = m.two("Div", &at, &len)?;
            m.with("Sub", &at, 1.0)?
        };
        let line = m.with_ones(&line, &(1..=spatial - axis).collect::<Vec<_>>())?;
        columns.push(m.two("BroadcastTo", &line, &whole)?);
    }
    let last = m.scalar(d, 1.0)?;
    columns.push(m.two("FillV2", &whole, &last)?);
    let all = join(m, columns, spatial)?;
    let (count, width) = (product(m, &dims)?, m.vector(&[spatial + 1]));
    let rows = reshaped(m, all, vec![count, width])?;
    let turned = m.transposed(&theta, &[0, 2, 1])?;
    let y = m.two("MatMulExt", &rows, &turned)?;
    let (images, width) = (length(m, &theta, 0)?, m.vector(&[spatial]));
    Ok(vec![reshaped(m, y, vec![images, dims, width])?])
}

fn grid_sample(m: &mut Import, c: &Call) -> Steps {
    let (x, mut grid) = (c.input(0)?, c.input(1)?);
    let corners = c.int("align_corners", 0) == 1;
    let (mode, beyond) = (c.text("mode", "linear"), c.text("padding_mode", "zeros"));
    let mode = match mode.as_str() {
        "bilinear" | "linear" => Mode::Linear,
        "nearest" => Mode::Nearest,
        "bicubic" | "cubic" => Mode::Cubic,
        other => return Err(format!("mode {other} is not supported")),
    };
    if x.rank()? != 4 || mode == Mode::Cubic {
        let beyond = match beyond.as_str() {
            "zeros" => Beyond::Zeros,
            "border" => Beyond::Border,
            "reflection" => Beyond::Reflection,
            other => return Err(format!("padding_mode {other} is not supported")),
        };
        return Ok(vec![Sampler { mode, beyond, corners }.sample(m, &x, &grid)?]);
    }
    if mode == Mode::Nearest {
        grid = on_elements(m, &x, grid, corners)?;
    }
    let mode = if mode == Mode::Nearest { "nearest" } else { "bilinear" };
    let args = vec![x.into(), grid.into(), mode.into(), beyond.as_str().into(), corners.into()];
    Ok(vec![m.op("GridSampler2D", args)?])
}

/// Places moved onto the nearest element of `x`. Half way between two ONNX takes the even one, MindSpore does not.
fn on_elements(m: &mut Import, x: &Val, grid: Val, corners: bool) -> Step {
    let [_, _, h, w] = lengths(m, x)?;
    let d = grid.dtype();
    let sizes = join(m, vec![w, h], 0)?;
    let sizes = as_type(m, sizes, d)?;
    let [one, two] = [m.scalar(d, 1.0)?, m.scalar(d, 2.0)?];
    // From −1 to 1 there are as many halves of elements, less one element where both are centres.
    let (halves, first) = if corners {
        let between = m.op("Sub", vec![sizes.into(), (&one).into()])?;
        (m.op("Maximum", vec![between.into(), (&one).into()])?, m.scalar(d, 0.0)?)
    } else {
        (sizes, one.clone())
    };
    let place = m.op("Add", vec![grid.into(), (&one).into()])?;
    let place = times(m, &place, &halves)?;
    let place = m.op("Sub", vec![place.into(), (&first).into()])?;
    let place = m.op("Div", vec![place.into(), (&two).into()])?;
    let place = m.op("Rint", vec![place.into()])?;
    let place = times(m, &place, &two)?;
    let place = m.op("Add", vec![place.into(), first.into()])?;
    let place = m.op("Div", vec![place.into(), halves.into()])?;
    m.op("Sub", vec![place.into(), one.into()])
}

/// How elements around a place make a value.
#[derive(Clone, Copy, PartialEq)]
enum Mode {
    Nearest,
    Linear,
    Cubic,
}

/// What is beyond the edges.
#[derive(Clone, Copy, PartialEq)]
enum Beyond {
    Zeros,
    Border,
    Reflection,
}

/// Sampling in any number of dimensions, as sums over the elements around each place.
struct Sampler {
    mode: Mode,
    beyond: Beyond,
    corners: bool,
}

/// An element along one dimension that a place reads.
struct Tap {
    index: Val,
    /// How much it counts; `None` for all.
    weight: Option<Val>,
    /// Whether it is there; `None` if it always is.
    there: Option<Val>,
}

impl Sampler {
    fn sample(&self, m: &mut Import, x: &Val, grid: &Val) -> Step {
        let spatial = x.rank()?.checked_sub(2).filter(|n| *n > 0).ok_or("expected rank 3 or more")?;
        if grid.rank()? != spatial + 2 {
            return Err(format!("expected a grid of rank {}, found {}", spatial + 2, grid.rank()?));
        }
        let wide = if grid.dtype() == DType::F64 { DType::F64 } else { DType::F32 };
        let grid = m.cast(grid, wide)?;
        let mut taps = Vec::with_capacity(spatial);
        let mut sizes = Vec::with_capacity(spatial);
        for d in 0..spatial {
            let at = m.constant(mindir_graph::Tensor::scalar((spatial - 1 - d) as i64));
            let places = m.gathered(&grid, &at, spatial as i64 + 1)?;
            let len = length(m, x, d + 2)?;
            taps.push(self.taps(m, &places, &len)?);
            sizes.push(len);
        }
        let pixels = Pixels::of(m, x, sizes, spatial as i64 + 1)?;
        let mut total: Option<Val> = None;
        let count: usize = taps.iter().map(Vec::len).product();
        for i in 0..count {
            let mut rest = i;
            let mut chosen = Vec::with_capacity(spatial);
            for of in &taps {
                chosen.extend(of.get(rest % of.len()));
                rest /= of.len();
            }
            let part = pixels.read(m, &chosen)?;
            total = Some(match total {
                Some(sum) => m.two("Add", &sum, &part)?,
                None => part,
            });
        }
        let y = total.ok_or("there is nothing around a place")?;
        // Channels stand last.
        let perm: Vec<i64> = [0, spatial as i64 + 1].into_iter().chain(1..=spatial as i64).collect();
        let y = m.transposed(&y, &perm)?;
        as_type(m, y, x.dtype())
    }

    /// The elements that places from −1 to 1 read along a dimension of `len` elements.
    fn taps(&self, m: &mut Import, places: &Val, len: &Val) -> Result<Vec<Tap>, String> {
        let d = places.dtype();
        let len = as_type(m, len.clone(), d)?;
        let last = m.with("Sub", &len, 1.0)?;
        let from_start = m.with("Add", places, 1.0)?;
        let x = if self.corners {
            m.two("Mul", &from_start, &last)?
        } else {
            let x = m.two("Mul", &from_start, &len)?;
            m.with("Sub", &x, 1.0)?
        };
        let x = m.with("Mul", &x, 0.5)?;
        let x = match self.beyond {
            // The elements that a cubic reads, and the nearest one, are brought inside by themselves.
            _ if self.mode != Mode::Linear => x,
            Beyond::Zeros => x,
            Beyond::Border => within(m, &x, &last)?,
            Beyond::Reflection => self.reflected(m, &x, &last)?,
        };
        if self.mode == Mode::Nearest {
            let x = m.one("Rint", &x)?;
            return Ok(vec![self.tap(m, &x, None, &last)?]);
        }
        let first = m.one("Floor", &x)?;
        let t = m.two("Sub", &x, &first)?;
        let offsets: &[f64] = if self.mode == Mode::Linear { &[0.0, 1.0] } else { &[-1.0, 0.0, 1.0, 2.0] };
        let mut taps = Vec::with_capacity(offsets.len());
        for &offset in offsets {
            let at = m.with("Add", &first, offset)?;
            let distance = m.with("Sub", &t, offset)?;
            let distance = m.one("Abs", &distance)?;
            let weight = if self.mode == Mode::Linear {
                let near = m.one("Neg", &distance)?;
                m.with("Add", &near, 1.0)?
            } else {
                cubic(m, &distance, matches!(offset, 0.0 | 1.0))?
            };
            taps.push(self.tap(m, &at, Some(weight), &last)?);
        }
        Ok(taps)
    }

    fn tap(&self, m: &mut Import, at: &Val, weight: Option<Val>, last: &Val) -> Result<Tap, String> {
        let at = if self.beyond == Beyond::Reflection { self.reflected(m, at, last)? } else { at.clone() };
        let kept = within(m, &at, last)?;
        let there = match self.beyond {
            Beyond::Zeros => Some(m.two("Equal", &kept, &at)?),
            _ => None,
        };
        let index = as_type(m, kept, DType::I64)?;
        Ok(Tap { index, weight, there })
    }

    /// `x` mirrored at the centres of the edge elements or at their outer edges, until it is between them.
    fn reflected(&self, m: &mut Import, x: &Val, last: &Val) -> Step {
        let (low, range) = if self.corners { (0.0, last.clone()) } else { (-0.5, m.with("Add", last, 1.0)?) };
        let range = m.with("Maximum", &range, 1.0)?;
        let period = m.with("Mul", &range, 2.0)?;
        let x = m.with("Sub", x, low)?;
        let x = m.two("FloorMod", &x, &period)?;
        let x = m.two("Sub", &x, &range)?;
        let x = m.one("Abs", &x)?;
        let x = m.two("Sub", &range, &x)?;
        m.with("Add", &x, low)
    }
}

/// `x` between 0 and `last`.
fn within(m: &mut Import, x: &Val, last: &Val) -> Step {
    let x = m.two("Minimum", x, last)?;
    m.with("Maximum", &x, 0.0)
}

/// Cubic convolution with parameter −0.75 at distance `t`, which is below 1 for the `inner` elements, else below 2.
fn cubic(m: &mut Import, t: &Val, inner: bool) -> Step {
    let a = -0.75;
    let factors = if inner { [a + 2.0, -(a + 3.0), 0.0, 1.0] } else { [a, -5.0 * a, 8.0 * a, -4.0 * a] };
    let [first, rest @ ..] = factors;
    let mut y = m.with("Mul", t, first)?;
    for (i, factor) in rest.into_iter().enumerate() {
        y = m.with("Add", &y, factor)?;
        if i < 2 {
            y = m.two("Mul", &y, t)?;
        }
    }
    Ok(y)
}

/// The elements of images as rows of channels, one image after the other.
struct Pixels {
    rows: Val,
    /// The lengths of the dimensions behind the channels.
    sizes: Vec<Val>,
    /// Where the image of each place starts.
    start: Val,
}

impl Pixels {
    /// Indices have `rank` dimensions, the first one that of the images.
    fn of(m: &mut Import, x: &Val, sizes: Vec<Val>, rank: i64) -> Result<Pixels, String> {
        let perm: Vec<i64> = [0].into_iter().chain(2..x.rank()? as i64).chain([1]).collect();
        let (n, channels) = (length(m, x, 0)?, length(m, x, 1)?);
        let all = join(m, sizes.clone(), 0)?;
        let size = product(m, &all)?;
        let count = times(m, &n, &size)?;
        let last = m.transposed(x, &perm)?;
        let rows = reshaped(m, last, vec![count, channels])?;
        let images = places(m, n)?;
        let start = times(m, &images, &size)?;
        let start = m.with_ones(&start, &(1..rank).collect::<Vec<_>>())?;
        Ok(Pixels { rows, sizes, start })
    }

    /// What is at the taps of each dimension, times their weights.
    fn read(&self, m: &mut Import, taps: &[&Tap]) -> Step {
        let mut index: Option<Val> = None;
        for (tap, size) in taps.iter().zip(&self.sizes) {
            index = Some(match index {
                Some(index) => {
                    let index = m.two("Mul", &index, size)?;
                    m.two("Add", &index, &tap.index)?
                }
                None => tap.index.clone(),
            });
        }
        let index = index.ok_or("there are no dimensions behind the channels")?;
        let index = m.two("Add", &index, &self.start)?;
        let mut y = m.gathered(&self.rows, &index, 0)?;
        for there in taps.iter().filter_map(|t| t.there.as_ref()) {
            let there = m.op("ExpandDims", vec![there.into(), (-1i64).into()])?;
            y = m.select_or(&there, &y, 0.0)?;
        }
        for weight in taps.iter().filter_map(|t| t.weight.as_ref()) {
            let weight = m.op("ExpandDims", vec![weight.into(), (-1i64).into()])?;
            let wide = as_type(m, y, weight.dtype())?;
            y = m.two("Mul", &wide, &weight)?;
        }
        Ok(y)
    }
}
