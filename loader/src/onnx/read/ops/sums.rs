//! Sums over windows, as convolutions with ones, and what is made of them.

use super::Row;
use super::pool::rounded_up;
use super::shape::{dims_of, join, length, part, product, quotient, reshaped};
use super::windows::{Same, Windows};
use crate::onnx::read::import::{Call, Import, Step, Steps, Val};

pub(super) static OPS: &[Row] =
    &[("GlobalLpPool", |m, c| global_lp(m, c)), ("LRN", |m, c| lrn(m, c)), ("LpPool", |m, c| lp_pool(m, c))];

/// The padding before and after each dimension, as vectors of one number, for all windows that there are.
pub(super) fn explicit(m: &mut Import, x: &Val, win: &Windows, ceil: bool) -> Result<Vec<[Val; 2]>, String> {
    let mut out = Vec::with_capacity(win.kernel.len());
    for d in 0..win.kernel.len() {
        let [before, after] = win.pads.get(d).copied().unwrap_or_default();
        out.push(match win.same {
            Some(side) => same(m, x, win, d, side)?,
            None if ceil => [m.vector(&[before]), rounded_up(m, x, win, d)?],
            None => [m.vector(&[before]), m.vector(&[after])],
        });
    }
    Ok(out)
}

/// The padding of a dimension for `⌈size / stride⌉` windows.
fn same(m: &mut Import, x: &Val, win: &Windows, d: usize, side: Same) -> Result<[Val; 2], String> {
    let stride = m.vector(&[win.stride.get(d).copied().unwrap_or(1)]);
    let len = length(m, x, d + 2)?;
    let last = m.with("Sub", &len, 1.0)?;
    let last = m.two("FloorDiv", &last, &stride)?;
    let last = m.two("Mul", &last, &stride)?;
    let end = m.with("Add", &last, win.reach(d) as f64)?;
    let missing = m.two("Sub", &end, &len)?;
    let missing = m.with("Maximum", &missing, 0.0)?;
    let two = m.vector(&[2]);
    let small = quotient(m, &missing, &two)?;
    let large = m.two("Sub", &missing, &small)?;
    Ok(if side == Same::Lower { [large, small] } else { [small, large] })
}

/// `x` with `value` before and after each dimension behind the channels.
pub(super) fn bordered(m: &mut Import, x: &Val, pads: &[[Val; 2]], value: f64) -> Step {
    let zero = |v: &Val| v.ints().is_ok_and(|p| p == [0]);
    if pads.iter().flatten().all(zero) {
        return Ok(x.clone());
    }
    let pads = join(m, pads.iter().rev().flatten().cloned().collect(), 0)?;
    m.op("PadV3", vec![x.into(), pads.into(), value.into(), "constant".into()])
}

/// The sum of each window, all of which lie inside of `x`.
fn sums(m: &mut Import, x: &Val, win: &Windows) -> Step {
    let rank = x.rank()? as i64;
    let dims = dims_of(m, x)?;
    let (lead, spatial) = (part(m, &dims, 0, 2)?, part(m, &dims, 2, rank)?);
    let (images, one) = (product(m, &lead)?, m.vector(&[1]));
    let line = win.kernel.len() == 1;
    let mut parts = vec![images, one.clone()];
    parts.extend(line.then_some(one));
    let single = reshaped(m, x.clone(), [parts, vec![spatial]].concat())?;
    let wide = |v: &[i64]| if line { [&[1], v].concat() } else { v.to_vec() };
    let full = |v: &[i64]| [vec![1, 1], wide(v)].concat();
    let (name, format) = match win.kernel.len() {
        1 | 2 => ("Conv2D", "NCHW"),
        3 => ("Conv3D", "NCDHW"),
        n => return Err(format!("{n} spatial dimensions are not supported")),
    };
    let shape = m.vector(&full(&win.kernel));
    let one = m.scalar(x.dtype(), 1.0)?;
    let ones = m.op("FillV2", vec![shape.into(), one.into()])?;
    let none = vec![0; 2 * wide(&win.kernel).len()];
    let args = vec![
        single.into(),
        ones.into(),
        1i64.into(),
        wide(&win.kernel).into(),
        1i64.into(),
        "valid".into(),
        none.clone().into(),
        none.into(),
        full(&win.stride).into(),
        full(&win.dilation).into(),
        1i64.into(),
        format.into(),
    ];
    let y = m.op(name, args)?;
    let first = 2 + i64::from(line);
    let dims = dims_of(m, &y)?;
    let spatial = part(m, &dims, first, y.rank()? as i64)?;
    reshaped(m, y, vec![lead, spatial])
}

/// The mean of each window. Padding is 0, and counts if `counted` says so; what rounding up adds never counts.
pub(super) fn window_means(m: &mut Import, x: &Val, win: &Windows, ceil: bool, counted: bool) -> Step {
    let pads = explicit(m, x, win, ceil)?;
    let padded = bordered(m, x, &pads, 0.0)?;
    let total = sums(m, &padded, win)?;
    if !ceil && (counted || win.same.is_none() && !win.padded()) {
        let count = win.kernel.iter().map(|&k| k as f64).product();
        return m.with("Div", &total, count);
    }
    let dims = dims_of(m, x)?;
    let (two, spatial) = (m.vector(&[1, 1]), part(m, &dims, 2, x.rank()? as i64)?);
    let (shape, one) = (join(m, vec![two, spatial], 0)?, m.scalar(x.dtype(), 1.0)?);
    let mut ones = m.op("FillV2", vec![shape.into(), one.into()])?;
    let mut rest = pads;
    if counted {
        let own: Vec<[Val; 2]> = win.pads.iter().map(|pair| pair.map(|p| m.vector(&[p]))).collect();
        ones = bordered(m, &ones, &own, 1.0)?;
        for (pair, own) in rest.iter_mut().zip(&own) {
            for (p, own) in pair.iter_mut().zip(own) {
                *p = m.two("Sub", p, own)?;
            }
        }
    }
    let ones = bordered(m, &ones, &rest, 0.0)?;
    let count = sums(m, &ones, win)?;
    // What reads padding only is 0.
    let count = m.with("Maximum", &count, 1.0)?;
    m.two("Div", &total, &count)
}

/// `|x|` to the power `p`, and what takes that back.
fn powers(m: &mut Import, x: &Val, p: i64) -> Step {
    match p {
        1 => m.one("Abs", x),
        2 => m.one("Square", x),
        _ => {
            let x = m.one("Abs", x)?;
            m.with("Pow", &x, p as f64)
        }
    }
}

fn root(m: &mut Import, x: &Val, p: i64) -> Step {
    match p {
        1 => Ok(x.clone()),
        2 => m.one("Sqrt", x),
        _ => m.with("Pow", x, 1.0 / p as f64),
    }
}

fn lp_pool(m: &mut Import, c: &Call) -> Steps {
    let kernel = c.ints("kernel_shape").unwrap_or_default();
    let x = m.of_rank(c.input(0)?, kernel.len() + 2);
    let win = Windows::of(c, &x, kernel)?;
    let p = c.int("p", 2);
    let y = powers(m, &x, p)?;
    let pads = explicit(m, &x, &win, c.int("ceil_mode", 0) == 1)?;
    let y = bordered(m, &y, &pads, 0.0)?;
    let y = sums(m, &y, &win)?;
    Ok(vec![root(m, &y, p)?])
}

fn global_lp(m: &mut Import, c: &Call) -> Steps {
    let (x, p) = (c.input(0)?, c.int("p", 2));
    let axes: Vec<i64> = (2..x.rank()? as i64).collect();
    let y = powers(m, &x, p)?;
    let y = m.reduce("ReduceSum", &y, &axes, true)?;
    Ok(vec![root(m, &y, p)?])
}

/// Every element divided by a power of the squares around it along the channels.
fn lrn(m: &mut Import, c: &Call) -> Steps {
    let (x, size) = (c.input(0)?, c.int("size", 1));
    let (bias, alpha, beta) = (c.float("bias", 1.0), c.float("alpha", 1e-4) / size as f64, c.float("beta", 0.75));
    if size % 2 == 1 && x.rank() == Ok(4) {
        let args = vec![x.into(), (size / 2).into(), bias.into(), alpha.into(), beta.into()];
        return Ok(vec![m.op("LRN", args)?]);
    }
    if size < 1 {
        return Err(format!("a size of {size}"));
    }
    let dims = dims_of(m, &x)?;
    let spatial = part(m, &dims, 2, x.rank()? as i64)?;
    let (n, channels, places, one) = (length(m, &x, 0)?, length(m, &x, 1)?, product(m, &spatial)?, m.vector(&[1]));
    let squares = m.one("Square", &x)?;
    let columns = reshaped(m, squares, vec![n, one, channels, places])?;
    let pads = vec![[(size - 1) / 2, size / 2], [0; 2]];
    let win = Windows { kernel: vec![size, 1], stride: vec![1; 2], dilation: vec![1; 2], pads, same: None };
    let pads = explicit(m, &columns, &win, false)?;
    let columns = bordered(m, &columns, &pads, 0.0)?;
    let total = sums(m, &columns, &win)?;
    let total = m.op("Reshape", vec![total.into(), dims.into()])?;
    let scale = m.with("Mul", &total, alpha)?;
    let scale = m.with("Add", &scale, bias)?;
    let scale = m.with("Pow", &scale, beta)?;
    Ok(vec![m.two("Div", &x, &scale)?])
}
