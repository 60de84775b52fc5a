//! Convolutions and their transposes.

use super::Row;
use super::layer::add_channels;
use super::shape::{join, length, number, quotient, times};
use super::sums::{bordered, explicit};
use super::windows::{Same, Windows, expanded, flipped, full, squeezed};
use crate::onnx::read::import::{Call, Import, In, Step, Steps, Val};

pub(super) static OPS: &[Row] = &[("Conv", |m, c| conv(m, c)), ("ConvTranspose", |m, c| conv_transpose(m, c))];

/// The extents of the windows: those that the node states, else those of the weights.
pub(super) fn kernel(c: &Call, w: &Val) -> Result<Vec<i64>, String> {
    match c.ints("kernel_shape") {
        Some(kernel) => Ok(kernel),
        None => (2..w.rank()?).map(|d| w.dim(d)).collect(),
    }
}

fn conv(m: &mut Import, c: &Call) -> Steps {
    Ok(vec![convolved(m, c, c.input(0)?, c.input(1)?, c.option(2))?])
}

/// The convolution of `x` that the node describes.
pub(super) fn convolved(m: &mut Import, c: &Call, mut x: Val, mut w: Val, bias: Option<Val>) -> Step {
    let kernel = kernel(c, &w)?;
    x = m.of_rank(x, kernel.len() + 2);
    let mut win = Windows::of(c, &x, kernel)?;
    if win.same == Some(Same::Lower) && win.leave_gaps() {
        let pads = explicit(m, &x, &win, false)?;
        x = bordered(m, &x, &pads, 0.0)?;
        win.same = None;
    }
    let out: In = match w.length(0) {
        Some(n) => n.into(),
        None => {
            let out = length(m, &w, 0)?;
            number(m, out)?.into()
        }
    };
    (x, w) = (flipped(m, x, win.same)?, flipped(m, w, win.same)?);
    let line = win.kernel.len() == 1;
    if line {
        (x, w) = (expanded(m, x, 2)?, expanded(m, w, 2)?);
        win.widen();
    }
    let name = match win.kernel.len() {
        2 => "Conv2D",
        3 => "Conv3D",
        n => return Err(format!("{n} spatial dimensions are not supported")),
    };
    let pads = win.flat_pads();
    let mode = match win.same {
        Some(_) => "same",
        None if win.padded() => "pad",
        None => "valid",
    };
    let pad: In = pads.clone().into();
    let args = vec![
        x.into(),
        w.into(),
        out,
        win.kernel.clone().into(),
        1i64.into(),
        mode.into(),
        pad,
        pads.into(),
        full(&win.stride),
        full(&win.dilation),
        c.int("group", 1).into(),
        (if name == "Conv2D" { "NCHW" } else { "NCDHW" }).into(),
    ];
    let mut y = m.op(name, args)?;
    if let Some(bias) = bias {
        y = add_channels(m, y, bias)?;
    }
    if line {
        y = squeezed(m, y, 2)?;
    }
    flipped(m, y, win.same)
}

/// The spatial dimensions of a transposed convolution.
struct Spread {
    /// What is cut off before and after each.
    pads: Vec<[Val; 2]>,
    sizes: Vec<Val>,
}

impl Spread {
    /// As ONNX defines them: an element more to be cut goes to the start, unless `auto_pad` is `SAME_UPPER`.
    fn of(m: &mut Import, c: &Call, x: &Val, win: &Windows) -> Result<Spread, String> {
        let side = c.text("auto_pad", "NOTSET");
        let same = matches!(side.as_str(), "SAME_UPPER" | "SAME_LOWER");
        let (zero, one, two) = (m.vector(&[0]), m.vector(&[1]), m.vector(&[2]));
        let wanted = c.ints("output_shape");
        let (mut pads, mut sizes) = (Vec::new(), Vec::new());
        for d in 0..win.kernel.len() {
            let stride = m.vector(&[win.stride.get(d).copied().unwrap_or(1)]);
            let extra = c.ints("output_padding").and_then(|e| e.get(d).copied()).unwrap_or(0);
            let reach = m.vector(&[win.reach(d).saturating_add(extra)]);
            let len = length(m, x, d + 2)?;
            let steps = m.op("Sub", vec![(&len).into(), (&one).into()])?;
            let steps = times(m, &steps, &stride)?;
            let full = m.op("Add", vec![steps.into(), reach.into()])?;
            let size = match &wanted {
                Some(wanted) => {
                    let at = (wanted.len() + d).checked_sub(win.kernel.len());
                    let size = at.and_then(|at| wanted.get(at).copied()).ok_or("the result's shape is too short")?;
                    Some(m.vector(&[size]))
                }
                None if same => Some(times(m, &len, &stride)?),
                None => None,
            };
            let pair = match &size {
                Some(size) => {
                    let total = m.op("Sub", vec![(&full).into(), size.into()])?;
                    let total = m.op("Maximum", vec![total.into(), (&zero).into()])?;
                    let small = quotient(m, &total, &two)?;
                    let large = m.op("Sub", vec![total.into(), (&small).into()])?;
                    if side == "SAME_UPPER" { [small, large] } else { [large, small] }
                }
                None => win.pads.get(d).copied().unwrap_or_default().map(|p| m.vector(&[p])),
            };
            sizes.push(match size {
                Some(size) => size,
                None => {
                    let both = m.op("Add", pair.iter().map(Into::into).collect())?;
                    m.op("Sub", vec![full.into(), both.into()])?
                }
            });
            pads.push(pair);
        }
        Ok(Spread { pads, sizes })
    }
}

fn conv_transpose(m: &mut Import, c: &Call) -> Steps {
    let (mut x, mut w) = (c.input(0)?, c.input(1)?);
    let kernel = kernel(c, &w)?;
    x = m.of_rank(x, kernel.len() + 2);
    let mut win = Windows::over(c, &x, kernel)?;
    let group = c.int("group", 1);
    let spread = Spread::of(m, c, &x, &win)?;
    let (n, channels, groups) = (length(m, &x, 0)?, length(m, &w, 1)?, m.vector(&[group]));
    let mut sizes = vec![n, times(m, &channels, &groups)?];
    let mut pads: Vec<Val> = spread.pads.into_iter().flatten().collect();
    let line = win.kernel.len() == 1;
    if line {
        (x, w) = (expanded(m, x, 2)?, expanded(m, w, 2)?);
        win.widen();
        pads.splice(0..0, [0, 0].map(|p| m.vector(&[p])));
        sizes.push(m.vector(&[1]));
    }
    sizes.extend(spread.sizes);
    let (sizes, pads) = (join(m, sizes, 0)?, join(m, pads, 0)?);
    let none = || In::Const(mindir_graph::op::Const::None);
    let volume = win.kernel.len() == 3;
    let mut args = vec![x.into(), w.into()];
    args.extend(if volume { vec![none(), none()] } else { vec![sizes.into(), none()] });
    args.extend([
        win.kernel.clone().into(),
        1i64.into(),
        "pad".into(),
        (&pads).into(),
        (&pads).into(),
        full(&win.stride),
        full(&win.dilation),
        group.into(),
    ]);
    let name = match win.kernel.len() {
        2 => "Conv2DBackpropInput",
        3 => "Conv3DTranspose",
        n => return Err(format!("{n} spatial dimensions are not supported")),
    };
    if volume {
        args.push(c.ints("output_padding").unwrap_or_else(|| vec![0; 3]).into());
    }
    let mut y = m.op(name, args)?;
    if let Some(bias) = c.option(2) {
        y = add_channels(m, y, bias)?;
    }
    Ok(vec![if line { squeezed(m, y, 2)? } else { y }])
}
