//! Convolution, pooling, resizing.

use mindir_graph::DType;

use super::{
    Row,
    element::as_type,
    layer::add_channels,
    shape::{join, length, lengths, number, places as places_below, product, quotient, reshaped, times},
};
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
    ("RoiAlign", |m, c| roi_align(m, c)),
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
    /// Those that the node states, without what `auto_pad` adds.
    fn over(c: &Call, x: &Val, kernel: Vec<i64>) -> Result<Windows, String> {
        let n = x.rank()?.checked_sub(2).ok_or("expected rank 3 or more")?;
        if kernel.len() != n || n == 0 {
            return Err(format!("{} kernel dimensions for rank {}", kernel.len(), n + 2));
        }
        let list = |name: &str| c.ints(name).filter(|v| v.len() == n).unwrap_or_else(|| vec![1; n]);
        let (stride, dilation) = (list("strides"), list("dilations"));
        let pads = match (c.text("auto_pad", "NOTSET").as_str(), c.ints("pads")) {
            ("NOTSET", Some(pads)) => pairs(&pads, n)?,
            _ => vec![[0; 2]; n],
        };
        Ok(Windows { kernel, stride, dilation, pads, same: None })
    }

    fn of(c: &Call, x: &Val, kernel: Vec<i64>) -> Result<Windows, String> {
        let win = Windows::over(c, x, kernel)?;
        let side = match c.text("auto_pad", "NOTSET").as_str() {
            "NOTSET" | "VALID" => return Ok(win),
            "SAME_UPPER" => Same::Upper,
            "SAME_LOWER" => Same::Lower,
            other => return Err(format!("auto_pad {other} is not supported")),
        };
        let Windows { kernel, stride, dilation, pads: none, .. } = win;
        let n = kernel.len();
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
    let axes: Vec<i64> = (2..x.rank()? as i64).collect();
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

/// The extents of the windows: those that the node states, else those of the weights.
fn kernel(c: &Call, w: &Val) -> Result<Vec<i64>, String> {
    match c.ints("kernel_shape") {
        Some(kernel) => Ok(kernel),
        None => (2..w.rank()?).map(|d| w.dim(d)).collect(),
    }
}

fn conv(m: &mut Import, c: &Call) -> Steps {
    let (mut x, mut w) = (c.input(0)?, c.input(1)?);
    let kernel = kernel(c, &w)?;
    x = m.of_rank(x, kernel.len() + 2);
    let mut win = Windows::of(c, &x, kernel)?;
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
    if let Some(bias) = c.option(2) {
        y = add_channels(m, y, bias)?;
    }
    if line {
        y = squeezed(m, y, 2)?;
    }
    Ok(vec![flipped(m, y, win.same)?])
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

fn global(m: &mut Import, c: &Call, name: &'static str) -> Steps {
    let x = c.input(0)?;
    let axes: Vec<i64> = (2..x.rank()? as i64).collect();
    Ok(vec![m.op(name, vec![x.into(), axes.into(), true.into()])?])
}

/// MindSpore takes maxima of floats, among which all integers of 8 bits are.
fn max_pool(m: &mut Import, c: &Call) -> Steps {
    let x = c.input(0)?;
    let dtype = x.dtype();
    let is_narrow = matches!(dtype, DType::I8 | DType::U8);
    let x = if is_narrow { as_type(m, x, DType::F32)? } else { x };
    let mut results = maxima(m, c, x)?;
    for y in results.iter_mut().take(1) {
        *y = as_type(m, y.clone(), dtype)?;
    }
    Ok(results)
}

fn maxima(m: &mut Import, c: &Call, mut x: Val) -> Steps {
    if c.wants(1) && c.int("storage_order", 0) != 0 {
        return Err("positions counted by columns are not supported".into());
    }
    let kernel = c.ints("kernel_shape").unwrap_or_default();
    x = m.of_rank(x, kernel.len() + 2);
    let mut win = Windows::of(c, &x, kernel)?;
    if win.same.is_some() && !c.wants(1) {
        return Ok(vec![same_pool(m, "MaxPool", x, win)?]);
    }
    let (mut ceil, rank) = (c.int("ceil_mode", 0) == 1, x.rank()?);
    let plain = !win.padded() && !ceil && win.dilation.iter().all(|&d| d == 1);
    if rank == 4 && plain && !c.wants(1) {
        return Ok(vec![pool(m, "MaxPool", x, &win, "VALID")?]);
    }
    let added = 5usize.checked_sub(rank).ok_or("more than three spatial dimensions are not supported")?;
    for _ in 0..added {
        x = expanded(m, x, 2)?;
        win.widen();
    }
    // MindSpore pads both sides alike; the rest is added as the lowest number.
    let even: Vec<i64> = win.pads.iter().map(|[before, after]| *before.min(after)).collect();
    let uneven = win.pads.iter().any(|[before, after]| before != after);
    if c.wants(1) && win.same.is_some() {
        return Err("positions of maxima with padding for open dimensions are not supported".into());
    }
    let inner = x.clone();
    if uneven {
        let mut pads = Vec::new();
        for (d, (&[before, after], even)) in win.pads.iter().zip(&even).enumerate().rev() {
            let behind = if ceil { rounded_up(m, &x, &win, d)? } else { m.vector(&[after]) };
            let even = m.vector(&[*even]);
            for side in [m.vector(&[before]), behind] {
                pads.push(m.op("Sub", vec![side.into(), (&even).into()])?);
            }
        }
        ceil = false;
        let pads = join(m, pads, 0)?;
        x = m.op("PadV3", vec![x.into(), pads.into(), f64::NEG_INFINITY.into(), "constant".into()])?;
    }
    let args = vec![
        (&x).into(),
        win.kernel.clone().into(),
        win.stride.clone().into(),
        even.into(),
        win.dilation.clone().into(),
        ceil.into(),
        "NCDHW".into(),
        "int64".into(),
    ];
    let mut results = m.op_n("MaxPool3DWithArgmax", args, 2)?;
    if let Some(mut places) = results.pop().filter(|_| c.wants(1)) {
        if uneven {
            let front: Vec<i64> = win.pads.iter().map(|[before, after]| before - before.min(after)).collect();
            places = unpadded(m, places, &front, &x, &inner)?;
        }
        results.push(in_all_images(m, &inner, places)?);
    }
    for y in &mut results {
        for _ in 0..added {
            *y = squeezed(m, y.clone(), 2)?;
        }
    }
    Ok(results)
}

/// Positions within the channels of `padded`, which has `front` elements more in front of each dimension than `inner`, as
/// positions within the channels of `inner`.
fn unpadded(m: &mut Import, places: Val, front: &[i64], padded: &Val, inner: &Val) -> Step {
    let (wide, own) = (lengths::<5>(m, padded)?, lengths::<5>(m, inner)?);
    let (mut rest, mut stride) = (places, m.vector(&[1]));
    let mut sum = m.vector(&[0]);
    let lengths = wide.iter().zip(&own).skip(2);
    for ((d, front), (wide, own)) in front.iter().enumerate().zip(lengths).rev() {
        let at = if d == 0 { rest.clone() } else { m.op("FloorMod", vec![(&rest).into(), wide.into()])? };
        let front = m.vector(&[*front]);
        let at = m.op("Sub", vec![at.into(), front.into()])?;
        let part = m.op("Mul", vec![at.into(), (&stride).into()])?;
        sum = m.op("Add", vec![part.into(), sum.into()])?;
        rest = m.op("FloorDiv", vec![rest.into(), wide.into()])?;
        stride = times(m, &stride, own)?;
    }
    Ok(sum)
}

/// Boxes of images. MindSpore has the number of the image in front of each box.
fn roi_align(m: &mut Import, c: &Call) -> Steps {
    let standard = if c.opset < 16 { "output_half_pixel" } else { "half_pixel" };
    let mode = c.text("coordinate_transformation_mode", standard);
    if mode != "output_half_pixel" {
        return Err(format!("coordinates {mode} are not supported"));
    }
    if c.text("mode", "avg") != "avg" {
        return Err("the largest of the samples is not supported".into());
    }
    let (x, boxes, images) = (c.input(0)?, c.input(1)?, c.input(2)?);
    let images = as_type(m, images, boxes.dtype())?;
    let images = m.op("ExpandDims", vec![images.into(), 1i64.into()])?;
    let rois = join(m, vec![images, boxes], 1)?;
    let sizes = ["output_height", "output_width"].map(|name| c.int(name, 1));
    let args = vec![
        x.into(),
        rois.into(),
        sizes[0].into(),
        sizes[1].into(),
        c.float("spatial_scale", 1.0).into(),
        c.int("sampling_ratio", 0).into(),
        0i64.into(),
    ];
    Ok(vec![m.op("ROIAlign", args)?])
}

/// Positions within the channels of volumes `x` as positions in all of `x`.
fn in_all_images(m: &mut Import, x: &Val, places: Val) -> Step {
    let [n, c, d, h, w] = lengths(m, x)?;
    let sizes = join(m, vec![d, h, w], 0)?;
    let size = product(m, &sizes)?;
    let count = times(m, &n, &c)?;
    let image = places_below(m, count)?;
    let first = times(m, &image, &size)?;
    let one = m.vector(&[1, 1, 1]);
    let first = reshaped(m, first, vec![n, c, one])?;
    m.op("Add", vec![places.into(), first.into()])
}

/// The padding behind dimension `d` that gives as many windows as rounding up does: the last one may reach beyond the padding
/// but starts in front of it.
fn rounded_up(m: &mut Import, x: &Val, win: &Windows, d: usize) -> Step {
    let get = |v: &[i64]| v.get(d).copied().unwrap_or(1);
    let [before, after] = win.pads.get(d).copied().unwrap_or_default();
    let (stride, reach) = (get(&win.stride), win.reach(d));
    let number = |m: &mut Import, n: i64| m.vector(&[n]);
    let (len, step) = (length(m, x, d + 2)?, number(m, stride));
    let plus = |m: &mut Import, a: &Val, n: i64| {
        let n = m.vector(&[n]);
        m.op("Add", vec![a.into(), n.into()])
    };
    let room =
        plus(m, &len, before.saturating_add(after).saturating_sub(reach).saturating_add(stride.saturating_sub(1)))?;
    let fit = quotient(m, &room, &step)?;
    let room = plus(m, &len, before.saturating_sub(1))?;
    let start = quotient(m, &room, &step)?;
    let last = m.op("Minimum", vec![fit.into(), start.into()])?;
    let end = times(m, &last, &step)?;
    let end = plus(m, &end, reach.saturating_sub(before))?;
    let missing = m.op("Sub", vec![end.into(), len.into()])?;
    let least = number(m, before.min(after));
    m.op("Maximum", vec![missing.into(), least.into()])
}

/// `MaxPool` or `AvgPool` of images or volumes. For images the one takes sizes of all four dimensions, the other of the two
/// behind the channels.
fn pool(m: &mut Import, name: &'static str, x: Val, win: &Windows, mode: &str) -> Step {
    let sizes = |v: &Vec<i64>| if name == "MaxPool" && v.len() == 2 { full(v) } else { v.clone().into() };
    let args = vec![x.into(), sizes(&win.kernel), sizes(&win.stride), mode.into()];
    match (name, win.kernel.len()) {
        ("MaxPool", 3) => m.op("MaxPool3D", args),
        // Padding is not counted.
        ("AvgPool", 3) => m.op("AvgPool3D", [args, vec![vec![0].into(), false.into(), false.into()]].concat()),
        _ => m.op(name, args),
    }
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
    let kernel = c.ints("kernel_shape").unwrap_or_default();
    x = m.of_rank(x, kernel.len() + 2);
    let mut win = Windows::of(c, &x, kernel)?;
    if win.dilation.iter().any(|&d| d != 1) {
        return Err("dilation is not supported".into());
    }
    if win.same.is_some() {
        if c.int("count_include_pad", 0) == 1 {
            return Err("padding that is counted depends on a size that is open".into());
        }
        return Ok(vec![same_pool(m, "AvgPool", x, win)?]);
    }
    let (ceil, rank) = (c.int("ceil_mode", 0) == 1, x.rank()?);
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
    let (x, mut grid) = (c.input(0)?, c.input(1)?);
    let corners = c.int("align_corners", 0) == 1;
    let mode = match c.text("mode", "bilinear").as_str() {
        "bilinear" | "linear" => "bilinear",
        "nearest" => {
            grid = on_elements(m, &x, grid, corners)?;
            "nearest"
        }
        other => return Err(format!("mode {other} is not supported")),
    };
    let beyond = c.text("padding_mode", "zeros");
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
