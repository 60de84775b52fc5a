//! Windows of signals and Fourier transforms.

use mindir_graph::{DType, Tensor};

use super::{
    Row,
    element::as_type,
    shape::{dims_of, element_type, join, length, number, part, places},
};
use crate::onnx::read::import::{Call, Import, In, Step, Steps, Val};

pub(super) static OPS: &[Row] = &[
    ("BlackmanWindow", |m, c| window(m, c, &[0.42, -0.5, 0.08])),
    ("DFT", |m, c| dft(m, c)),
    ("HammingWindow", |m, c| window(m, c, &[25.0 / 46.0, -21.0 / 46.0])),
    ("HannWindow", |m, c| window(m, c, &[0.5, -0.5])),
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

/// A sum over all elements for each frequency. Real and imaginary parts stand along the last dimension.
fn dft(m: &mut Import, c: &Call) -> Steps {
    let x = c.input(0)?;
    let rank = x.rank()?;
    let last = rank.checked_sub(1).ok_or("expected parts of complex numbers")?;
    let (inverse, half) = (c.int("inverse", 0) == 1, c.int("onesided", 0) == 1);
    if inverse && half {
        return Err("the inverse of one side is not supported".into());
    }
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
        Some(len) => {
            let len = as_type(m, len, DType::I64)?;
            m.op("Reshape", vec![len.into(), vec![1].into()])?
        }
        None => own.clone(),
    };
    // The axis comes last, as far as elements go into the sums.
    let mut perm: Vec<i64> = (0..last as i64).filter(|d| *d != axis as i64).collect();
    perm.splice(0..0, [last as i64]);
    perm.push(axis as i64);
    let rows = m.transposed(&x, &perm)?;
    let used = m.two("Minimum", &own, &len)?;
    let taken = places(m, used)?;
    let rows = m.gathered(&rows, &taken, last as i64)?;
    let outs = if half {
        let two = m.vector(&[2]);
        let outs = m.two("FloorDiv", &len, &two)?;
        m.with("Add", &outs, 1.0)?
    } else {
        len.clone()
    };
    let waves = Waves::of(m, &taken, outs, &len, inverse, x.dtype())?;
    let (re, im) = waves.sums(m, &rows, x.length(last))?;
    let parts = [&re, &im].map(|v| m.op("ExpandDims", vec![v.into(), (-1i64).into()]));
    let [re, im] = parts;
    let y = join(m, vec![re?, im?], last as i64)?;
    // From the other dimensions, the axis and the parts to the places of the operand.
    let mut back: Vec<i64> = (0..last as i64 - 1).collect();
    back.insert(axis, last as i64 - 1);
    back.push(last as i64);
    Ok(vec![m.transposed(&y, &back)?])
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
        match parts {
            Some(1) => Ok((a, b)),
            Some(2) => {
                let im = one(m, 1)?;
                let (minus, plus) = (product(m, &im, &self.sin)?, product(m, &im, &self.cos)?);
                Ok((m.two("Sub", &a, &minus)?, m.two("Add", &b, &plus)?))
            }
            Some(n) => Err(format!("{n} parts of a complex number")),
            None => Err("whether numbers are complex is not known".into()),
        }
    }
}
