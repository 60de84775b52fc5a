//! Resizing: MindSpore's operators where they say the same, else arithmetic on coordinates along each dimension.

use mindir_graph::DType;

use super::Row;
use super::element::as_type;
use super::shape::{join, length, number, part, places};
use crate::onnx::read::import::{Call, Import, Step, Steps, Val};
use crate::onnx::read::types::Length;

pub(super) static OPS: &[Row] = &[("Resize", |m, c| resize(m, c)), ("Upsample", |m, c| resize(m, c))];

/// What the node says about every dimension.
struct Resize {
    mode: String,
    coordinates: String,
    /// How coordinates are rounded; `outward` is what the first operator sets did: up where there are fewer elements than before,
    /// else down.
    nearest: String,
    /// The parameter of cubic convolution.
    cubic: f64,
    /// Whether elements beyond the edges count nothing, instead of what the edges count.
    exclude: bool,
    /// Whether windows grow when there are fewer elements than before.
    antialias: bool,
    /// The value beyond the region of interest.
    beyond: f64,
}

/// One dimension that is resized.
struct Axis {
    at: usize,
    /// Elements before and after, as `i64` vectors of one number.
    len: Val,
    out: Val,
    /// The factor that coordinates are divided by, an `f32` vector of one number.
    scale: Val,
    /// The factor, if the file states one.
    factor: Option<f64>,
    /// Start and end of the region of interest.
    region: Option<[Val; 2]>,
}

impl Axis {
    /// Whether the sizes before and after have exactly the ratio of the factor, whatever they are.
    fn exact(&self) -> bool {
        self.factor.is_none_or(|f| f >= 1.0 && f.fract() == 0.0)
    }

    /// Whether each element becomes the same number of elements.
    fn whole(&self) -> bool {
        match (self.factor, self.len.ints().as_deref(), self.out.ints().as_deref()) {
            (Some(f), _, _) => f >= 1.0 && f.fract() == 0.0,
            (None, Ok([len]), Ok([out])) => *len > 0 && out % len == 0,
            _ => false,
        }
    }
}

fn resize(m: &mut Import, c: &Call) -> Steps {
    let x = c.input(0)?;
    let old = c.opset < 11;
    let text = |name: &str, before: &str, since: &str| if old { before.into() } else { c.text(name, since) };
    let how = Resize {
        mode: c.text("mode", "nearest"),
        coordinates: text("coordinate_transformation_mode", "asymmetric", "half_pixel"),
        nearest: text("nearest_mode", "outward", "round_prefer_floor"),
        cubic: c.float("cubic_coeff_a", -0.75),
        exclude: c.int("exclude_outside", 0) == 1,
        antialias: c.int("antialias", 0) == 1,
        beyond: c.float("extrapolation_value", 0.0),
    };
    let axes = axes(m, c, &x, &how)?;
    if axes.is_empty() {
        return Ok(vec![x]);
    }
    if let Some(name) = how.operator(&x, &axes) {
        let sizes = axes.iter().map(|a| a.out.clone()).collect();
        let sizes = join(m, sizes, 0)?;
        let (corners, centres) = (how.coordinates == "align_corners", how.coordinates.ends_with("half_pixel"));
        return Ok(vec![m.op(name, vec![x.into(), sizes.into(), corners.into(), centres.into()])?]);
    }
    let d = x.dtype();
    let mut y = if how.mode == "nearest" { x } else { as_type(m, x, DType::F32)? };
    for axis in &axes {
        y = how.along(m, y, axis)?;
    }
    Ok(vec![as_type(m, y, d)?])
}

/// The dimensions that may change; those that keep their length and factor are left out.
fn axes(m: &mut Import, c: &Call, x: &Val, how: &Resize) -> Result<Vec<Axis>, String> {
    let rank = x.rank()?;
    let mut given = |i: usize| c.option(i).filter(|v| v.length(0) != Some(0)).map(|v| m.setting(v));
    let roi = given(1).filter(|_| how.coordinates == "tf_crop_and_resize");
    let (scales, sizes) = match c.floats("scales") {
        Some(scales) => {
            let n = scales.len();
            let scales = mindir_graph::Tensor::from_vec(&[n], scales).map_err(|e| e.to_string())?;
            (Some(m.constant(scales)), None)
        }
        None => (given(if c.opset < 11 { 1 } else { 2 }), given(3)),
    };
    let named = c.ints("axes").unwrap_or_else(|| (0..rank as i64).collect());
    let named = named.into_iter().map(|a| x.axis(a)).collect::<Result<Vec<_>, _>>()?;
    let keeps_ratio = match c.text("keep_aspect_ratio_policy", "stretch").as_str() {
        "stretch" => None,
        "not_larger" => Some("ReduceMin"),
        "not_smaller" => Some("ReduceMax"),
        other => return Err(format!("policy {other} is not supported")),
    };
    let mut all = Vec::new();
    for (i, &at) in named.iter().enumerate() {
        let (len, i) = (length(m, x, at)?, i as i64);
        let from = as_type(m, len.clone(), DType::F32)?;
        let (out, scale, factor) = match (&scales, &sizes) {
            (_, Some(sizes)) => {
                let sizes = as_type(m, sizes.clone(), DType::I64)?;
                let out = part(m, &sizes, i, i + 1)?;
                let to = as_type(m, out.clone(), DType::F32)?;
                let scale = m.op("Div", vec![to.into(), (&from).into()])?;
                (out, scale, None)
            }
            (Some(scales), None) => {
                let scale = part(m, scales, i, i + 1)?;
                let to = m.op("Mul", vec![(&from).into(), (&scale).into()])?;
                let to = m.op("Floor", vec![to.into()])?;
                let factor = scale.number().ok();
                if let Some(wrong) = factor.filter(|f| !(f.is_finite() && *f > 0.0)) {
                    return Err(format!("expected scales above 0, found {wrong}"));
                }
                let out = match factor.filter(|f| f.fract() == 0.0) {
                    Some(whole) => {
                        let whole = m.vector(&[whole as i64]);
                        m.op("Mul", vec![(&len).into(), whole.into()])?
                    }
                    None => as_type(m, to, DType::I64)?,
                };
                (out, scale, Some(factor.unwrap_or(f64::NAN)))
            }
            (None, None) => return Err("neither scales nor sizes are given".into()),
        };
        let region = match &roi {
            Some(roi) => {
                let n = named.len() as i64;
                let roi = as_type(m, roi.clone(), DType::F32)?;
                Some([part(m, &roi, i, i + 1)?, part(m, &roi, i + n, i + n + 1)?])
            }
            None => None,
        };
        all.push(Axis { at, len, out, scale, factor, region });
    }
    if let (Some(chosen), true) = (keeps_ratio, sizes.is_some()) {
        same_ratio(m, &mut all, chosen)?;
    }
    let kept = |a: &Axis| {
        let same = a.out.elements() == a.len.elements() && a.out.elements().is_some_and(|e| e != [Length::Open]);
        a.region.is_none() && (a.factor == Some(1.0) || a.factor.is_none() && same)
    };
    all.retain(|a| !kept(a));
    Ok(all)
}

/// One factor for all dimensions, the smallest or the largest.
fn same_ratio(m: &mut Import, axes: &mut [Axis], chosen: &'static str) -> Result<(), String> {
    let scales = axes.iter().map(|a| a.scale.clone()).collect();
    let scales = join(m, scales, 0)?;
    let scale = m.op(chosen, vec![scales.into(), vec![0].into(), true.into()])?;
    for axis in axes {
        let len = as_type(m, axis.len.clone(), DType::F32)?;
        let out = m.op("Mul", vec![len.into(), (&scale).into()])?;
        let half = m.scalar(DType::F32, 0.5)?;
        let out = m.op("Add", vec![out.into(), half.into()])?;
        let out = m.op("Floor", vec![out.into()])?;
        (axis.out, axis.scale) = (as_type(m, out, DType::I64)?, scale.clone());
        axis.factor = Some(f64::NAN);
    }
    Ok(())
}

impl Resize {
    /// MindSpore's operator that does the same. It computes the factor from the sizes, so a factor that is given must be
    /// their ratio: ONNX says that the given one decides.
    fn operator(&self, x: &Val, axes: &[Axis]) -> Option<&'static str> {
        let image = x.rank() == Ok(4) && axes.iter().map(|a| a.at).eq([2, 3]);
        if !image || self.antialias || !axes.iter().all(Axis::exact) {
            return None;
        }
        let whole = axes.iter().all(Axis::whole);
        let doubled = axes.iter().all(|a| a.factor == Some(2.0));
        match (self.mode.as_str(), self.coordinates.as_str(), self.nearest.as_str()) {
            ("linear", "asymmetric" | "align_corners" | "half_pixel", _) if x.dtype().is_float() => {
                Some("ResizeBilinearV2")
            }
            ("nearest", "asymmetric", "floor" | "outward") if whole => Some("ResizeNearestNeighbor"),
            ("nearest", "asymmetric", "round_prefer_floor") if doubled => Some("ResizeNearestNeighbor"),
            ("nearest", "half_pixel", "round_prefer_floor" | "round_prefer_ceil") if whole => {
                Some("ResizeNearestNeighborV2")
            }
            _ => None,
        }
    }

    /// `x` resized along one dimension.
    fn along(&self, m: &mut Import, x: Val, axis: &Axis) -> Step {
        let at = self.coordinates(m, axis)?;
        let one = m.scalar(DType::F32, 1.0)?;
        let len = as_type(m, axis.len.clone(), DType::F32)?;
        let last = m.op("Sub", vec![len.into(), one.into()])?;
        let y = match self.mode.as_str() {
            "nearest" => {
                let near = self.rounded(m, &at, axis)?;
                self.gathered(m, &x, &near, &last, axis)?
            }
            "linear" | "cubic" if self.antialias => self.wide(m, &x, &at, &last, axis)?,
            "linear" => {
                let at = clamped(m, &at, &last)?;
                self.between(m, &x, &at, &last, axis)?
            }
            "cubic" => {
                let first = m.op("Floor", vec![(&at).into()])?;
                let t = m.op("Sub", vec![(&at).into(), (&first).into()])?;
                let weights = (-1..=2).map(|k| self.bell(m, &t, f64::from(k))).collect::<Result<Vec<_>, _>>()?;
                self.weighted(m, &x, &first, &last, axis, weights)?
            }
            other => return Err(format!("mode {other} is not supported")),
        };
        if axis.region.is_none() {
            return Ok(y);
        }
        let zero = m.scalar(DType::F32, 0.0)?;
        let below = m.op("Less", vec![(&at).into(), zero.into()])?;
        let above = m.op("Greater", vec![at.into(), last.into()])?;
        let outside = m.op("LogicalOr", vec![below.into(), above.into()])?;
        let outside = column(m, outside, x.rank()?, axis.at)?;
        let beyond = m.scalar(y.dtype(), self.beyond)?;
        m.op("Select", vec![outside.into(), beyond.into(), y.into()])
    }

    /// Where each element of the result is among those of the operand.
    fn coordinates(&self, m: &mut Import, axis: &Axis) -> Step {
        let i = places(m, axis.out.clone())?;
        let i = as_type(m, i, DType::F32)?;
        let (len, out) = (as_type(m, axis.len.clone(), DType::F32)?, as_type(m, axis.out.clone(), DType::F32)?);
        let [half, one, zero] = [m.scalar(DType::F32, 0.5)?, m.scalar(DType::F32, 1.0)?, m.scalar(DType::F32, 0.0)?];
        let mut op = |name, a: &Val, b: &Val| m.op(name, vec![a.into(), b.into()]);
        let centre = op("Add", &i, &half)?;
        let centre = op("Div", &centre, &axis.scale)?;
        match self.coordinates.as_str() {
            "asymmetric" => op("Div", &i, &axis.scale),
            "tf_half_pixel_for_nn" => Ok(centre),
            "half_pixel" => op("Sub", &centre, &half),
            "pytorch_half_pixel" => {
                let (at, many) = (op("Sub", &centre, &half)?, op("Greater", &out, &one)?);
                m.op("Select", vec![many.into(), at.into(), zero.into()])
            }
            "half_pixel_symmetric" => {
                let full = op("Mul", &axis.scale, &len)?;
                let share = op("Div", &out, &full)?;
                let missing = op("Sub", &one, &share)?;
                let middle = op("Mul", &len, &half)?;
                let offset = op("Mul", &middle, &missing)?;
                let at = op("Sub", &centre, &half)?;
                op("Add", &offset, &at)
            }
            // The last element lies on the last of the resized tensor, whatever the factor is.
            "align_corners" => {
                let (from, to) = (op("Sub", &len, &one)?, op("Sub", &out, &one)?);
                let (at, to) = (op("Mul", &i, &from)?, op("Maximum", &to, &one)?);
                op("Div", &at, &to)
            }
            "tf_crop_and_resize" => {
                let [start, end] = axis.region.as_ref().ok_or("the region of interest is missing")?;
                let (from, to) = (op("Sub", &len, &one)?, op("Sub", &out, &one)?);
                let (first, to) = (op("Mul", start, &from)?, op("Maximum", &to, &one)?);
                let span = op("Sub", end, start)?;
                let span = op("Mul", &span, &from)?;
                let step = op("Div", &span, &to)?;
                let at = op("Mul", &i, &step)?;
                let at = op("Add", &first, &at)?;
                let both = op("Add", start, end)?;
                let middle = op("Mul", &both, &half)?;
                let middle = op("Mul", &middle, &from)?;
                let many = op("Greater", &out, &one)?;
                m.op("Select", vec![many.into(), at.into(), middle.into()])
            }
            other => Err(format!("coordinates {other} are not supported")),
        }
    }

    /// Coordinates rounded to those of elements.
    fn rounded(&self, m: &mut Import, at: &Val, axis: &Axis) -> Step {
        let half = m.scalar(DType::F32, 0.5)?;
        let (shift, name) = match self.nearest.as_str() {
            "outward" => {
                let one = m.scalar(DType::F32, 1.0)?;
                let fewer = m.op("Less", vec![(&axis.scale).into(), one.into()])?;
                let (up, down) = (m.op("Ceil", vec![at.into()])?, m.op("Floor", vec![at.into()])?);
                return m.op("Select", vec![fewer.into(), up.into(), down.into()]);
            }
            "floor" => (None, "Floor"),
            "ceil" => (None, "Ceil"),
            "round_prefer_floor" => (Some("Sub"), "Ceil"),
            "round_prefer_ceil" => (Some("Add"), "Floor"),
            other => return Err(format!("rounding {other} is not supported")),
        };
        let at = match shift {
            Some(shift) => m.op(shift, vec![at.into(), half.into()])?,
            None => at.clone(),
        };
        m.op(name, vec![at.into()])
    }

    /// The elements at coordinates, those of the edges beyond them.
    fn gathered(&self, m: &mut Import, x: &Val, at: &Val, last: &Val, axis: &Axis) -> Step {
        let at = clamped(m, at, last)?;
        let at = as_type(m, at, DType::I64)?;
        m.op("Gather", vec![x.into(), at.into(), (axis.at as i64).into(), 0i64.into()])
    }

    /// Linear interpolation at coordinates among the elements. At one of them it takes that twice, with half the weight, and no
    /// neighbour: even nothing of infinity would be NaN.
    fn between(&self, m: &mut Import, x: &Val, at: &Val, last: &Val, axis: &Axis) -> Step {
        let (before, after) = (m.op("Floor", vec![at.into()])?, m.op("Ceil", vec![at.into()])?);
        let [zero, half, one] = [0.0, 0.5, 1.0].map(|v| m.scalar(DType::F32, v));
        let t = m.op("Sub", vec![at.into(), (&before).into()])?;
        let exact = m.op("Equal", vec![(&t).into(), zero?.into()])?;
        let t = m.op("Select", vec![exact.into(), half?.into(), t.into()])?;
        let rest = m.op("Sub", vec![one?.into(), (&t).into()])?;
        let mut share = |at: &Val, weight: Val| {
            let y = self.gathered(m, x, at, last, axis)?;
            let weight = column(m, weight, x.rank()?, axis.at)?;
            m.op("Mul", vec![y.into(), weight.into()])
        };
        let (y, z) = (share(&before, rest)?, share(&after, t)?);
        m.op("Add", vec![y.into(), z.into()])
    }

    /// The sum of elements from the one before `first` on, times `weights`.
    fn weighted(&self, m: &mut Import, x: &Val, first: &Val, last: &Val, axis: &Axis, weights: Vec<Val>) -> Step {
        let zero = m.scalar(DType::F32, 0.0)?;
        let (mut taps, mut total) = (Vec::new(), None);
        for (k, mut weight) in weights.into_iter().enumerate() {
            let shift = m.scalar(DType::F32, k as f64 - 1.0)?;
            let at = m.op("Add", vec![first.into(), shift.into()])?;
            if self.exclude {
                let below = m.op("Less", vec![(&at).into(), (&zero).into()])?;
                let above = m.op("Greater", vec![(&at).into(), last.into()])?;
                let outside = m.op("LogicalOr", vec![below.into(), above.into()])?;
                weight = m.op("Select", vec![outside.into(), (&zero).into(), weight.into()])?;
                total = Some(match total {
                    Some(total) => m.op("Add", vec![Val::into(total), (&weight).into()])?,
                    None => weight.clone(),
                });
            }
            taps.push((at, weight));
        }
        let mut sum: Option<Val> = None;
        for (at, mut weight) in taps {
            if let Some(total) = &total {
                weight = m.op("Div", vec![weight.into(), total.into()])?;
            }
            let y = self.gathered(m, x, &at, last, axis)?;
            let weight = column(m, weight, x.rank()?, axis.at)?;
            let y = m.op("Mul", vec![y.into(), weight.into()])?;
            sum = Some(match sum {
                Some(sum) => m.op("Add", vec![sum.into(), y.into()])?,
                None => y,
            });
        }
        sum.ok_or_else(|| "there are no elements to weigh".into())
    }

    /// Windows that grow as the image shrinks: a matrix of weights for each pair of an element before, those that the edges
    /// stand for beyond them included, and one after.
    fn wide(&self, m: &mut Import, x: &Val, at: &Val, last: &Val, axis: &Axis) -> Step {
        let (one, zero) = (m.scalar(DType::F32, 1.0)?, m.vector(&[0]));
        let shrunk = m.op("Minimum", vec![(&axis.scale).into(), (&one).into()])?;
        let beyond = if self.exclude {
            zero.clone()
        } else {
            let support = m.scalar(DType::F32, if self.mode == "linear" { 1.0 } else { 2.0 })?;
            let reach = m.op("Div", vec![support.into(), (&shrunk).into()])?;
            let reach = m.op("Ceil", vec![reach.into()])?;
            as_type(m, reach, DType::I64)?
        };
        let end = m.op("Add", vec![(&axis.len).into(), (&beyond).into()])?;
        let start = m.op("Sub", vec![zero.into(), beyond.into()])?;
        let (start, end, step) = (number(m, start)?, number(m, end)?, m.scalar(DType::I64, 1.0)?);
        let from = m.op("Range", vec![start.into(), end.into(), step.into()])?;
        let from = as_type(m, from, DType::F32)?;
        let x = self.gathered(m, x, &from, last, axis)?;
        let at = m.op("ExpandDims", vec![at.into(), 1i64.into()])?;
        let away = m.op("Sub", vec![from.into(), at.into()])?;
        let away = m.op("Mul", vec![away.into(), shrunk.into()])?;
        let weights = if self.mode == "linear" { self.hat(m, &away)? } else { self.bell(m, &away, 0.0)? };
        let sums = m.op("ReduceSum", vec![(&weights).into(), vec![1].into(), true.into()])?;
        let weights = m.op("Div", vec![weights.into(), sums.into()])?;
        let rank = x.rank()?;
        let mut perm: Vec<i64> = (0..rank as i64).collect();
        perm.swap(axis.at, rank - 1);
        let turn = |m: &mut Import, v: Val| m.op("Transpose", vec![v.into(), perm.clone().into()]);
        let x = turn(m, x)?;
        let weights = m.op("Transpose", vec![weights.into(), vec![1, 0].into()])?;
        let y = m.op("MatMulExt", vec![x.into(), weights.into()])?;
        turn(m, y)
    }

    /// The weight of linear interpolation at distance `|t|`: one less the distance, at least 0.
    fn hat(&self, m: &mut Import, t: &Val) -> Step {
        let distance = m.op("Abs", vec![t.into()])?;
        let (one, zero) = (m.scalar(DType::F32, 1.0)?, m.scalar(DType::F32, 0.0)?);
        let y = m.op("Sub", vec![one.into(), distance.into()])?;
        m.op("Maximum", vec![y.into(), zero.into()])
    }

    /// The weight of cubic convolution at distance `d = |t − k|`: `((a + 2)·d − (a + 3))·d² + 1` up to 1,
    /// `((a·d − 5a)·d + 8a)·d − 4a` up to 2, then 0.
    fn bell(&self, m: &mut Import, t: &Val, k: f64) -> Step {
        let (d, a) = (distance(m, t, k)?, self.cubic);
        let near = polynomial(m, &d, &[a + 2.0, -(a + 3.0), 0.0, 1.0])?;
        let far = polynomial(m, &d, &[a, -5.0 * a, 8.0 * a, -4.0 * a])?;
        let [one, two, zero] = [m.scalar(DType::F32, 1.0)?, m.scalar(DType::F32, 2.0)?, m.scalar(DType::F32, 0.0)?];
        let beyond = m.op("Less", vec![(&d).into(), two.into()])?;
        let far = m.op("Select", vec![beyond.into(), far.into(), zero.into()])?;
        let close = m.op("LessEqual", vec![d.into(), one.into()])?;
        m.op("Select", vec![close.into(), near.into(), far.into()])
    }
}

fn distance(m: &mut Import, t: &Val, k: f64) -> Step {
    let k = m.scalar(DType::F32, k)?;
    let d = m.op("Sub", vec![t.into(), k.into()])?;
    m.op("Abs", vec![d.into()])
}

/// The polynomial with these coefficients, that of the highest power first.
fn polynomial(m: &mut Import, x: &Val, coefficients: &[f64]) -> Step {
    let (first, rest) = coefficients.split_first().ok_or("a polynomial without coefficients")?;
    let mut y = m.scalar(DType::F32, *first)?;
    for c in rest {
        let c = m.scalar(DType::F32, *c)?;
        y = m.op("Mul", vec![y.into(), x.into()])?;
        y = m.op("Add", vec![y.into(), c.into()])?;
    }
    Ok(y)
}

/// From 0 to `last`.
fn clamped(m: &mut Import, at: &Val, last: &Val) -> Step {
    let zero = m.scalar(DType::F32, 0.0)?;
    let at = m.op("Minimum", vec![at.into(), last.into()])?;
    m.op("Maximum", vec![at.into(), zero.into()])
}

/// A vector along dimension `at` of `rank`.
fn column(m: &mut Import, v: Val, rank: usize, at: usize) -> Step {
    (at + 1..rank).try_fold(v, |v, _| m.op("ExpandDims", vec![v.into(), (-1i64).into()]))
}
