//! Windows of signals and Fourier transforms.

use mindir_graph::{DType, Tensor};

use super::Row;
use super::element::as_type;
use super::shape::{element_type, join, length, number, places};
use crate::onnx::read::import::{Call, Import, Step, Steps, Val};

pub(super) static OPS: &[Row] = &[
    ("BlackmanWindow", |m, c| window(m, c, &[0.42, -0.5, 0.08])),
    ("DFT", |m, c| dft(m, c)),
    ("HammingWindow", |m, c| window(m, c, &[25.0 / 46.0, -21.0 / 46.0])),
    ("HannWindow", |m, c| window(m, c, &[0.5, -0.5])),
    ("MelWeightMatrix", |m, c| mel_weights(m, c)),
    ("STFT", |m, c| stft(m, c)),
];

/// `Σ factors[i] · cos(2π · i · n / size)` for the places `n` below the size.
fn window(m: &mut Import, c: &Call, factors: &[f64]) -> Steps {
    let dtype = element_type(c.int("output_datatype", 1))?;
    let size = as_type(m, c.input(0)?, DType::I64)?;
    let size = m.op("Reshape", vec![size.into(), vec![1].into()])?;
    let n = places(m, size.clone())?;
    let n = as_type(m, n, DType::F64)?;
    let period = if c.int("periodic", 1) == 1 { size } else { m.with("Sub", &size, 1.0)? };
    let period = as_type(m, period, DType::F64)?;
    let turns = m.two("Div", &n, &period)?;
    let mut y: Option<Val> = None;
    for (i, &factor) in factors.iter().enumerate() {
        let angle = m.with("Mul", &turns, i as f64 * std::f64::consts::TAU)?;
        let wave = m.one("Cos", &angle)?;
        let wave = m.with("Mul", &wave, factor)?;
        y = Some(match y {
            Some(sum) => m.two("Add", &sum, &wave)?,
            None => wave,
        });
    }
    let y = y.ok_or("there are no factors")?;
    Ok(vec![as_type(m, y, dtype)?])
}

/// Shares of each frequency in triangles that are equally wide in mel, `[frequencies, triangles]`.
fn mel_weights(m: &mut Import, c: &Call) -> Steps {
    let dtype = element_type(c.int("output_datatype", 1))?;
    let bins = vector_of_one(m, c.input(0)?)?;
    let [len, rate, low, high] = [1, 2, 3, 4].map(|i| c.input(i));
    let real = |m: &mut Import, v: Val| {
        let v = as_type(m, v, DType::F64)?;
        m.op("Reshape", vec![v.into(), vec![1].into()])
    };
    let mel = |m: &mut Import, v: Val| {
        let v = real(m, v)?;
        let v = m.with("Div", &v, 700.0)?;
        let v = m.one("Log1p", &v)?;
        m.with("Mul", &v, 2595.0 / std::f64::consts::LN_10)
    };
    let len = vector_of_one(m, len?)?;
    let (low, high) = (mel(m, low?)?, mel(m, high?)?);
    let span = m.two("Sub", &high, &low)?;
    let corners = m.with("Add", &bins, 2.0)?;
    let count = real(m, corners.clone())?;
    let step = m.two("Div", &span, &count)?;
    let corners = places(m, corners)?;
    let corners = as_type(m, corners, DType::F64)?;
    let corners = m.two("Mul", &corners, &step)?;
    let corners = m.two("Add", &corners, &low)?;
    let hertz = m.with("Mul", &corners, std::f64::consts::LN_10 / 2595.0)?;
    let hertz = m.one("Expm1", &hertz)?;
    let hertz = m.with("Mul", &hertz, 700.0)?;
    let (more, rate) = (m.with("Add", &len, 1.0)?, real(m, rate?)?);
    let more = real(m, more)?;
    let corners = m.two("Mul", &hertz, &more)?;
    let corners = m.two("FloorDiv", &corners, &rate)?;
    let own = places(m, bins)?;
    let corner = |m: &mut Import, i: f64| {
        let at = m.with("Add", &own, i)?;
        m.gathered(&corners, &at, 0)
    };
    let (left, centre, right) = (corner(m, 0.0)?, corner(m, 1.0)?, corner(m, 2.0)?);
    let frequencies = one_side(m, &len)?;
    let frequencies = places(m, frequencies)?;
    let frequencies = as_type(m, frequencies, DType::F64)?;
    let frequencies = m.with_ones(&frequencies, &[1])?;
    let side = |m: &mut Import, from: &Val, to: &Val, low: &Val, high: &Val| {
        let (way, width) = (m.two("Sub", to, from)?, m.two("Sub", high, low)?);
        let width = m.with("Maximum", &width, 1.0)?;
        let share = m.two("Div", &way, &width)?;
        m.with("Maximum", &share, 0.0)
    };
    let up = side(m, &left, &frequencies, &left, &centre)?;
    let down = side(m, &frequencies, &right, &centre, &right)?;
    let (below, at) = (m.two("Less", &frequencies, &centre)?, m.two("Equal", &frequencies, &centre)?);
    let y = m.select(&below, &up, &down)?;
    let one = m.scalar(DType::F64, 1.0)?;
    let y = m.select(&at, &one, &y)?;
    Ok(vec![as_type(m, y, dtype)?])
}

/// A sum over all elements for each frequency. Real and imaginary parts stand along the last dimension.
fn dft(m: &mut Import, c: &Call) -> Steps {
    let x = c.input(0)?;
    let rank = x.rank()?;
    let last = rank.checked_sub(1).ok_or("expected parts of complex numbers")?;
    let (inverse, half) = (c.int("inverse", 0) == 1, c.int("onesided", 0) == 1);
    let axis = match (c.opset, c.option(2)) {
        (..20, _) => c.int("axis", 1),
        (_, Some(axis)) => axis.number()? as i64,
        (_, None) => -2,
    };
    let axis = x.axis(axis)?;
    if axis == last {
        return Err("the parts of complex numbers are no axis".into());
    }
    let own = length(m, &x, axis)?;
    let len = match c.option(1) {
        Some(len) => vector_of_one(m, len)?,
        None if inverse && half => {
            let all = m.with("Sub", &own, 1.0)?;
            m.with("Mul", &all, 2.0)?
        }
        None => own.clone(),
    };
    // The axis comes last, as far as elements go into the sums.
    let mut perm: Vec<i64> = (0..last as i64).filter(|d| *d != axis as i64).collect();
    perm.splice(0..0, [last as i64]);
    perm.push(axis as i64);
    let rows = m.transposed(&x, &perm)?;
    let bins = one_side(m, &len)?;
    let used = m.two("Minimum", &own, if inverse && half { &bins } else { &len })?;
    let taken = places(m, used)?;
    let mut rows = m.gathered(&rows, &taken, last as i64)?;
    if inverse && half {
        rows = both_sides(m, &rows, &taken, &len)?;
    }
    let outs = if half && !inverse { bins } else { len.clone() };
    let waves = Waves::of(m, &taken, outs, &len, inverse, x.dtype())?;
    let (re, im) = waves.sums(m, &rows, x.length(last))?;
    let mut parts = vec![m.op("ExpandDims", vec![re.into(), (-1i64).into()])?];
    if !(inverse && half) {
        parts.push(m.op("ExpandDims", vec![im.into(), (-1i64).into()])?);
    }
    let y = join(m, parts, last as i64)?;
    // From the other dimensions, the axis and the parts to the places of the operand.
    let mut back: Vec<i64> = (0..last as i64 - 1).collect();
    back.insert(axis, last as i64 - 1);
    back.push(last as i64);
    Ok(vec![m.transposed(&y, &back)?])
}

/// The one number in `v` as a vector of `i64`.
fn vector_of_one(m: &mut Import, v: Val) -> Step {
    let v = as_type(m, v, DType::I64)?;
    m.op("Reshape", vec![v.into(), vec![1].into()])
}

/// Number of the frequencies from which those of real numbers follow.
fn one_side(m: &mut Import, len: &Val) -> Step {
    let half = m.with("FloorDiv", len, 2.0)?;
    m.with("Add", &half, 1.0)
}

/// Frequencies that count for another one too, twice.
fn both_sides(m: &mut Import, rows: &Val, taken: &Val, len: &Val) -> Step {
    let twice = m.with("Mul", taken, 2.0)?;
    let (first, middle) = (m.with("Equal", taken, 0.0)?, m.two("Equal", &twice, len)?);
    let single = m.two("LogicalOr", &first, &middle)?;
    let one = m.scalar(rows.dtype(), 1.0)?;
    let weight = m.select_or(&single, &one, 2.0)?;
    m.two("Mul", rows, &weight)
}

/// Fourier transforms of parts of signals, which may overlap.
fn stft(m: &mut Import, c: &Call) -> Steps {
    let x = c.input(0)?;
    let x = if x.rank()? == 2 { m.with_ones(&x, &[2])? } else { x };
    if x.rank()? != 3 {
        return Err(format!("expected signals of rank 3, found {}", x.rank()?));
    }
    let step = vector_of_one(m, c.input(1)?)?;
    let window = c.option(2);
    let len = match (c.option(3), &window) {
        (Some(len), _) => vector_of_one(m, len)?,
        (None, Some(window)) => length(m, window, 0)?,
        (None, None) => return Err("neither a window nor a length of the parts is there".into()),
    };
    let all = length(m, &x, 1)?;
    let count = m.two("Sub", &all, &len)?;
    let count = m.two("FloorDiv", &count, &step)?;
    let count = m.with("Add", &count, 1.0)?;
    let (start, at) = (places(m, count)?, places(m, len.clone())?);
    let start = m.two("Mul", &start, &step)?;
    let start = m.with_ones(&start, &[1])?;
    let at_all = m.two("Add", &start, &at)?;
    let last = m.transposed(&x, &[2, 0, 1])?;
    let mut rows = m.gathered(&last, &at_all, 2)?;
    if let Some(window) = &window {
        rows = m.two("Mul", &rows, window)?;
    }
    let outs = if c.int("onesided", 1) == 1 { one_side(m, &len)? } else { len.clone() };
    let waves = Waves::of(m, &at, outs, &len, false, x.dtype())?;
    let (re, im) = waves.sums(m, &rows, x.length(2))?;
    let (re, im) = (m.with_ones(&re, &[3])?, m.with_ones(&im, &[3])?);
    Ok(vec![join(m, vec![re, im], 3)?])
}

/// Cosines and sines, `[elements, frequencies]`.
struct Waves {
    cos: Val,
    sin: Val,
}

impl Waves {
    fn of(m: &mut Import, taken: &Val, outs: Val, len: &Val, inverse: bool, dtype: DType) -> Result<Waves, String> {
        let rows = m.with_ones(taken, &[1])?;
        let cols = places(m, outs)?;
        let product = m.two("Mul", &rows, &cols)?;
        let product = m.two("FloorMod", &product, len)?;
        let (product, wide) = (as_type(m, product, DType::F64)?, as_type(m, len.clone(), DType::F64)?);
        let turn = if inverse { std::f64::consts::TAU } else { -std::f64::consts::TAU };
        let angle = m.two("Div", &product, &wide)?;
        let angle = m.with("Mul", &angle, turn)?;
        let (mut cos, mut sin) = (m.one("Cos", &angle)?, m.one("Sin", &angle)?);
        if inverse {
            (cos, sin) = (m.two("Div", &cos, &wide)?, m.two("Div", &sin, &wide)?);
        }
        Ok(Waves { cos: as_type(m, cos, dtype)?, sin: as_type(m, sin, dtype)? })
    }

    /// The real and the imaginary part of the sums; `rows` has the parts of its numbers along the first dimension.
    fn sums(&self, m: &mut Import, rows: &Val, parts: Option<i64>) -> Result<(Val, Val), String> {
        let product = |m: &mut Import, a: &Val, b: &Val| m.two("MatMulExt", a, b);
        let one = |m: &mut Import, i: i64| {
            let at = m.constant(Tensor::scalar(i));
            m.gathered(rows, &at, 0)
        };
        let re = one(m, 0)?;
        let (a, b) = (product(m, &re, &self.cos)?, product(m, &re, &self.sin)?);
        let im = match parts {
            Some(1) => return Ok((a, b)),
            Some(2) => one(m, 1)?,
            Some(n) => return Err(format!("{n} parts of a complex number")),
            None => second_or_none(m, rows)?,
        };
        let (minus, plus) = (product(m, &im, &self.sin)?, product(m, &im, &self.cos)?);
        Ok((m.two("Sub", &a, &minus)?, m.two("Add", &b, &plus)?))
    }
}

/// The second part along the first dimension, 0 if there is only one.
fn second_or_none(m: &mut Import, rows: &Val) -> Step {
    let count = length(m, rows, 0)?;
    let count = number(m, count)?;
    let last = m.with("Sub", &count, 1.0)?;
    let part = m.gathered(rows, &last, 0)?;
    let is_second = m.with("Equal", &last, 1.0)?;
    m.select_or(&is_second, &part, 0.0)
}
