//! Convolution, pooling, resizing.

use super::{Row, layer::add_bias};
use crate::onnx::read::import::{Call, Import, In, Step, Steps, Val};

pub(super) static OPS: &[Row] = &[
    ("AveragePool", |m, c| average_pool(m, c)),
    ("Conv", |m, c| conv(m, c)),
    ("ConvTranspose", |m, c| conv_transpose(m, c)),
    ("GlobalAveragePool", |m, c| global(m, c, "ReduceMean")),
    ("GlobalMaxPool", |m, c| global(m, c, "ReduceMax")),
    ("GridSample", |m, c| grid_sample(m, c)),
    ("LRN", |m, c| lrn(m, c)),
    ("MaxPool", |m, c| max_pool(m, c)),
    ("Resize", |m, c| resize(m, c)),
    ("Upsample", |m, c| resize(m, c)),
];

/// Windows over the dimensions behind the channels.
struct Windows {
    kernel: Vec<i64>,
    stride: Vec<i64>,
    dilation: Vec<i64>,
    /// Elements added before and after each dimension.
    pads: Vec<[i64; 2]>,
    /// Dimensions are open, and each is padded for `⌈size / stride⌉` windows.
    same: Option<Same>,
}

/// Which side an odd element is added to.
#[derive(Clone, Copy, PartialEq)]
enum Same {
    Upper,
    Lower,
}

impl Windows {
    fn of(c: &Call, x: &Val, kernel: Vec<i64>) -> Result<Windows, String> {
        let n = x.rank().checked_sub(2).ok_or("expected rank 3 or more")?;
        if kernel.len() != n || n == 0 {
            return Err(format!("{} kernel dimensions for rank {}", kernel.len(), x.rank()));
        }
        let list = |name: &str| c.ints(name).filter(|v| v.len() == n).unwrap_or_else(|| vec![1; n]);
        let (stride, dilation) = (list("strides"), list("dilations"));
        let none = vec![[0; 2]; n];
        let side = match c.text("auto_pad", "NOTSET").as_str() {
            "NOTSET" => {
                let pads = pairs(&c.ints("pads").unwrap_or_else(|| vec![0; 2 * n]), n)?;
                return Ok(Windows { kernel, stride, dilation, pads, same: None });
            }
            "VALID" => return Ok(Windows { kernel, stride, dilation, pads: none, same: None }),
            "SAME_UPPER" => Same::Upper,
            "SAME_LOWER" => Same::Lower,
            other => return Err(format!("auto_pad {other} is not supported")),
        };
        if let Some(pads) = same(x, &kernel, &stride, &dilation, side)? {
            return Ok(Windows { kernel, stride, dilation, pads, same: None });
        }
        let win = Windows { kernel, stride, dilation, pads: none, same: Some(side) };
        if side == Same::Lower && (0..n).any(|d| win.reach(d) < win.stride.get(d).copied().unwrap_or(1)) {
            return Err("SAME_LOWER of open sizes needs windows as long as their strides".into());
        }
        Ok(win)
    }

    /// Elements from the first to the last of a window.
    fn reach(&self, d: usize) -> i64 {
        let get = |v: &[i64]| v.get(d).copied().unwrap_or(1);
        get(&self.kernel).saturating_sub(1).saturating_mul(get(&self.dilation)).saturating_add(1)
    }

    /// For MindSpore, images have two spatial dimensions or three: what `line` adds for sequences.
    fn widen(&mut self) {
        self.kernel.insert(0, 1);
        self.stride.insert(0, 1);
        self.dilation.insert(0, 1);
        self.pads.insert(0, [0; 2]);
    }

    fn flat_pads(&self) -> Vec<i64> {
        self.pads.iter().flatten().copied().collect()
    }

    fn padded(&self) -> bool {
        self.flat_pads().iter().any(|&p| p != 0)
    }
}

fn pairs(pads: &[i64], n: usize) -> Result<Vec<[i64; 2]>, String> {
    let pair = |d: usize| Some([*pads.get(d)?, *pads.get(d + n)?]);
    (0..n).map(pair).collect::<Option<Vec<_>>>().ok_or_else(|| format!("{} paddings for {n} dimensions", pads.len()))
}

/// The padding for `⌈size / stride⌉` windows; `None` if it depends on a size that is open.
fn same(
    x: &Val,
    kernel: &[i64],
    stride: &[i64],
    dilation: &[i64],
    side: Same,
) -> Result<Option<Vec<[i64; 2]>>, String> {
    let mut out = Vec::new();
    for (d, ((&k, &s), &l)) in kernel.iter().zip(stride).zip(dilation).enumerate() {
        if s < 1 {
            return Err(format!("a stride of {s}"));
        }
        let reach = k.checked_sub(1).and_then(|k| k.checked_mul(l)).and_then(|r| r.checked_add(1));
        let reach = reach.ok_or("the windows are too large")?;
        // How far windows go beyond their strides is the same for every size if the stride is 1.
        let behind = match x.dim(d + 2) {
            Ok(size) => (size - 1).rem_euclid(s) + 1,
            Err(_) if s == 1 => 1,
            Err(_) => return Ok(None),
        };
        let missing = reach.saturating_sub(behind).max(0);
        let (small, large) = (missing / 2, missing - missing / 2);
        out.push(if side == Same::Lower { [large, small] } else { [small, large] });
    }
    Ok(Some(out))
}

/// `x` from back to front along every dimension behind the channels: padding at the start becomes padding at the end.
fn flipped(m: &mut Import, x: Val, same: Option<Same>) -> Step {
    if same != Some(Same::Lower) {
        return Ok(x);
    }
    let axes: Vec<i64> = (2..x.rank() as i64).collect();
    m.op("ReverseV2", vec![x.into(), axes.into()])
}

/// `x` with a dimension of 1 in place `at`.
fn expanded(m: &mut Import, x: Val, at: i64) -> Step {
    m.op("ExpandDims", vec![x.into(), at.into()])
}

fn squeezed(m: &mut Import, x: Val, at: i64) -> Step {
    m.op("Squeeze", vec![x.into(), vec![at].into()])
}

/// One for each of the four or five dimensions.
fn full(values: &[i64]) -> In {
    [1, 1].iter().chain(values).copied().collect::<Vec<i64>>().into()
}

fn conv(m: &mut Import, c: &Call) -> Steps {
    let (mut x, mut w) = (c.input(0)?, c.input(1)?);
    let kernel = w.fixed()?.split_off(2.min(w.rank()));
    let mut win = Windows::of(c, &x, kernel)?;
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
    let out = w.dim(0)?;
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
        out.into(),
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
    if let Some(bias) = c.option(2) {
        y = add_bias(m, y, bias, 1)?;
    }
    if line {
        y = squeezed(m, y, 2)?;
    }
    Ok(vec![flipped(m, y, win.same)?])
}

fn conv_transpose(m: &mut Import, c: &Call) -> Steps {
    let (x, w) = (c.input(0)?, c.input(1)?);
    let kernel = w.fixed()?.split_off(2.min(w.rank()));
    if kernel.len() != 2 {
        return Err(format!("{} spatial dimensions are not supported", kernel.len()));
    }
    if c.text("auto_pad", "NOTSET") != "NOTSET" && c.text("auto_pad", "NOTSET") != "VALID" {
        return Err("auto_pad is not supported".into());
    }
    let win = Windows::of(c, &x, kernel)?;
    let group = c.int("group", 1);
    let extra = c.ints("output_padding").unwrap_or_else(|| vec![0; 2]);
    let mut sizes = vec![x.dim(0)?, w.dim(1)?.saturating_mul(group)];
    let mut pads = win.pads.clone();
    let wanted = c.ints("output_shape");
    for d in 0..2 {
        let get = |v: &[i64]| v.get(d).copied().unwrap_or(1);
        let reach = (x.dim(d + 2)? - 1) * get(&win.stride) + (get(&win.kernel) - 1) * get(&win.dilation) + 1;
        let open = reach + extra.get(d).copied().unwrap_or(0);
        let pair = pads.get_mut(d).ok_or("paddings are missing")?;
        if let Some(size) = wanted.as_ref().and_then(|w| w.get(w.len().saturating_sub(2) + d)) {
            let total = open - size;
            *pair = [total / 2, total - total / 2];
        }
        sizes.push(open - pair.iter().sum::<i64>());
    }
    let flat: Vec<i64> = pads.iter().flatten().copied().collect();
    let mode = if flat.iter().any(|&p| p != 0) || extra.iter().any(|&e| e != 0) { "pad" } else { "valid" };
    let args = vec![
        x.into(),
        w.into(),
        sizes.into(),
        In::Const(mindir_graph::op::Const::None),
        win.kernel.clone().into(),
        1i64.into(),
        mode.into(),
        flat.clone().into(),
        flat.into(),
        full(&win.stride),
        full(&win.dilation),
        group.into(),
    ];
    let mut y = m.op("Conv2DBackpropInput", args)?;
    if let Some(bias) = c.option(2) {
        y = add_bias(m, y, bias, 1)?;
    }
    Ok(vec![y])
}

fn global(m: &mut Import, c: &Call, name: &'static str) -> Steps {
    let x = c.input(0)?;
    let axes: Vec<i64> = (2..x.rank() as i64).collect();
    Ok(vec![m.op(name, vec![x.into(), axes.into(), true.into()])?])
}

fn max_pool(m: &mut Import, c: &Call) -> Steps {
    if c.wants(1) {
        return Err("positions of maxima are not supported".into());
    }
    let mut x = c.input(0)?;
    let mut win = Windows::of(c, &x, c.ints("kernel_shape").unwrap_or_default())?;
    if win.same.is_some() {
        return Ok(vec![same_pool(m, "MaxPool", x, win)?]);
    }
    let (ceil, rank) = (c.int("ceil_mode", 0) == 1, x.rank());
    let plain = !win.padded() && !ceil && win.dilation.iter().all(|&d| d == 1);
    if rank == 4 && plain {
        return Ok(vec![pool(m, "MaxPool", x, &win, "VALID")?]);
    }
    let added = 5usize.checked_sub(rank).ok_or("more than three spatial dimensions are not supported")?;
    for _ in 0..added {
        x = expanded(m, x, 2)?;
        win.widen();
    }
    // MindSpore pads both sides alike; the rest is added as the lowest number.
    let (even, odd): (Vec<i64>, Vec<[i64; 2]>) = win
        .pads
        .iter()
        .map(|&[before, after]| {
            let both = before.min(after);
            (both, [before - both, after - both])
        })
        .unzip();
    if odd.iter().flatten().any(|&p| p != 0) {
        let flat: Vec<i64> = odd.iter().rev().flatten().copied().collect();
        let lowest = -3.402_823_4e38;
        x = m.op("PadV3", vec![x.into(), flat.into(), lowest.into(), "constant".into()])?;
    }
    let args = vec![
        x.into(),
        win.kernel.clone().into(),
        win.stride.clone().into(),
        even.into(),
        win.dilation.clone().into(),
        ceil.into(),
        "NCDHW".into(),
        "int64".into(),
    ];
    let mut y = m.op_n("MaxPool3DWithArgmax", args, 2)?.into_iter().next().ok_or("no result")?;
    for _ in 0..added {
        y = squeezed(m, y, 2)?;
    }
    Ok(vec![y])
}

/// `MaxPool` or `AvgPool` of images. The one takes sizes of all four dimensions, the other of the two behind the channels.
fn pool(m: &mut Import, name: &'static str, x: Val, win: &Windows, mode: &str) -> Step {
    let sizes = |v: &Vec<i64>| if name == "MaxPool" { full(v) } else { v.clone().into() };
    m.op(name, vec![x.into(), sizes(&win.kernel), sizes(&win.stride), mode.into()])
}

/// Windows over open sizes; padding is neither the largest element nor counted.
fn same_pool(m: &mut Import, name: &'static str, x: Val, mut win: Windows) -> Step {
    if win.dilation.iter().any(|&d| d != 1) {
        return Err("dilation of open sizes is not supported".into());
    }
    let mut x = flipped(m, x, win.same)?;
    let line = win.kernel.len() == 1;
    if line {
        x = expanded(m, x, 2)?;
        win.widen();
    }
    let mut y = pool(m, name, x, &win, "SAME")?;
    if line {
        y = squeezed(m, y, 2)?;
    }
    flipped(m, y, win.same)
}

fn average_pool(m: &mut Import, c: &Call) -> Steps {
    let mut x = c.input(0)?;
    let mut win = Windows::of(c, &x, c.ints("kernel_shape").unwrap_or_default())?;
    if win.dilation.iter().any(|&d| d != 1) {
        return Err("dilation is not supported".into());
    }
    if win.same.is_some() {
        if c.int("count_include_pad", 0) == 1 {
            return Err("padding that is counted depends on a size that is open".into());
        }
        return Ok(vec![same_pool(m, "AvgPool", x, win)?]);
    }
    let (ceil, rank) = (c.int("ceil_mode", 0) == 1, x.rank());
    if rank == 4 && !win.padded() && !ceil {
        return Ok(vec![pool(m, "AvgPool", x, &win, "VALID")?]);
    }
    let added = 5usize.checked_sub(rank).ok_or("more than three spatial dimensions are not supported")?;
    for _ in 0..added {
        x = expanded(m, x, 2)?;
        win.widen();
    }
    let args = vec![
        x.into(),
        win.kernel.clone().into(),
        win.stride.clone().into(),
        "PAD".into(),
        win.flat_pads().into(),
        ceil.into(),
        (c.int("count_include_pad", 0) == 1).into(),
        0i64.into(),
    ];
    let mut y = m.op("AvgPool3D", args)?;
    for _ in 0..added {
        y = squeezed(m, y, 2)?;
    }
    Ok(vec![y])
}

fn grid_sample(m: &mut Import, c: &Call) -> Steps {
    let mode = match c.text("mode", "bilinear").as_str() {
        "bilinear" | "linear" => "bilinear",
        "nearest" => "nearest",
        other => return Err(format!("mode {other} is not supported")),
    };
    let beyond = c.text("padding_mode", "zeros");
    let corners = c.int("align_corners", 0) == 1;
    let args = vec![c.input(0)?.into(), c.input(1)?.into(), mode.into(), beyond.as_str().into(), corners.into()];
    Ok(vec![m.op("GridSampler2D", args)?])
}

fn lrn(m: &mut Import, c: &Call) -> Steps {
    let size = c.int("size", 1);
    if size % 2 == 0 {
        return Err(format!("a size of {size} is not supported, only odd ones"));
    }
    let alpha = c.float("alpha", 1e-4) / size as f64;
    let args = vec![
        c.input(0)?.into(),
        (size / 2).into(),
        c.float("bias", 1.0).into(),
        alpha.into(),
        c.float("beta", 0.75).into(),
    ];
    Ok(vec![m.op("LRN", args)?])
}

fn resize(m: &mut Import, c: &Call) -> Steps {
    let x = c.input(0)?;
    let dims = x.fixed()?;
    let [_, _, h, w] = dims.as_slice() else { return Err("only images of rank 4 are supported".into()) };
    let (scales, sizes) = scales(c)?;
    let mut out = Vec::new();
    let mut whole = true;
    for (d, size) in [(2usize, *h), (3, *w)] {
        let scale = scales.as_ref().and_then(|s| s.get(d).copied());
        let n = match (scale, sizes.as_ref().and_then(|s| s.get(d).copied())) {
            (_, Some(n)) => n,
            (Some(s), None) => (size as f64 * s).floor() as i64,
            _ => return Err("neither scales nor sizes are given".into()),
        };
        whole &= size > 0 && n % size.max(1) == 0;
        // MindSpore computes the factor from the sizes.
        if let Some(s) = scale
            && (n as f64 - size as f64 * s).abs() > 1e-4
        {
            return Err(format!("factor {s} of {size} elements is not supported"));
        }
        out.push(n);
    }
    for d in 0..2 {
        let kept = scales.as_ref().is_none_or(|s| s.get(d) == Some(&1.0));
        if !kept || sizes.as_ref().is_some_and(|s| s.get(d) != dims.get(d)) {
            return Err("batch and channels are resized".into());
        }
    }
    if c.int("antialias", 0) == 1 {
        return Err("antialias is not supported".into());
    }
    let coordinates =
        if c.opset < 11 { "asymmetric".into() } else { c.text("coordinate_transformation_mode", "half_pixel") };
    let nearest = if c.opset < 11 { "floor".into() } else { c.text("nearest_mode", "round_prefer_floor") };
    let (corners, centres) = match coordinates.as_str() {
        "asymmetric" => (false, false),
        "align_corners" => (true, false),
        "half_pixel" => (false, true),
        "pytorch_half_pixel" if out.iter().all(|&n| n > 1) => (false, true),
        other => return Err(format!("coordinates {other} are not supported")),
    };
    let flags = [corners.into(), centres.into()];
    let name = match c.text("mode", "nearest").as_str() {
        "nearest" => {
            let exact = match (coordinates.as_str(), nearest.as_str()) {
                ("asymmetric", "floor") | ("half_pixel", "round_prefer_ceil") => true,
                ("asymmetric", "round_prefer_floor") => {
                    whole && out.first() == Some(&(2 * h)) && out.get(1) == Some(&(2 * w))
                }
                (_, "round_prefer_floor") => whole && !corners,
                _ => false,
            };
            if !exact {
                return Err(format!("rounding {nearest} of coordinates {coordinates} is not supported"));
            }
            if centres { "ResizeNearestNeighborV2" } else { "ResizeNearestNeighbor" }
        }
        "linear" => "ResizeBilinearV2",
        other => return Err(format!("mode {other} is not supported")),
    };
    let [corners, centres] = flags;
    Ok(vec![m.op(name, vec![x.into(), out.into(), corners, centres])?])
}

/// Factors and sizes of all dimensions, as far as they are given.
type Sizes = (Option<Vec<f64>>, Option<Vec<i64>>);

fn scales(c: &Call) -> Result<Sizes, String> {
    if c.has("axes") {
        return Err("axes are not supported".into());
    }
    let attribute = c.floats("scales").map(|s| s.into_iter().map(f64::from).collect());
    if attribute.is_some() {
        return Ok((attribute, None));
    }
    let at = if c.opset < 11 { 1 } else { 2 };
    let given = |i: usize| c.option(i).filter(|v| v.constant().is_none_or(|t| t.count() > 0));
    let scales = given(at).map(|v| v.numbers()).transpose()?;
    let sizes = given(3).map(|v| v.ints()).transpose()?;
    Ok((scales, sizes))
}
