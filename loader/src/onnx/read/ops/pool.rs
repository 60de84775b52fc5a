//! Pooling.

use mindir_graph::DType;

use super::Row;
use super::element::as_type;
use super::shape::{join, length, lengths, places as places_below, product, put, quotient, reshaped, times};
use super::sums::{bordered, explicit, window_means};
use super::windows::{Windows, expanded, flipped, full, squeezed};
use crate::onnx::read::import::{Call, Import, Step, Steps, Val};

pub(super) static OPS: &[Row] = &[
    ("AveragePool", |m, c| average_pool(m, c, c.input(0)?).map(|y| vec![y])),
    ("GlobalAveragePool", |m, c| global(m, c, "ReduceMean")),
    ("GlobalMaxPool", |m, c| global(m, c, "ReduceMax")),
    ("MaxPool", |m, c| max_pool(m, c)),
    ("MaxUnpool", |m, c| max_unpool(m, c)),
];

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
    let kernel = c.ints("kernel_shape").unwrap_or_default();
    x = m.of_rank(x, kernel.len() + 2);
    let mut win = Windows::of(c, &x, kernel)?;
    let plain = !c.wants(1) && win.dilation.iter().all(|&d| d == 1);
    if win.same.is_some() && plain && !win.leave_gaps() {
        return Ok(vec![same_pool(m, "MaxPool", x, win)?]);
    }
    let (mut ceil, rank) = (c.int("ceil_mode", 0) == 1 && win.same.is_none(), x.rank()?);
    if rank == 4 && plain && !win.padded() && !ceil && win.same.is_none() {
        return Ok(vec![pool(m, "MaxPool", x, &win, "VALID")?]);
    }
    let added = 5usize.checked_sub(rank).ok_or("more than three spatial dimensions are not supported")?;
    for _ in 0..added {
        x = expanded(m, x, 2)?;
        win.widen();
    }
    // MindSpore pads both sides alike and by half of a window at most; any other padding is the lowest number.
    let own = win.pads.iter().zip(&win.kernel).all(|([before, after], k)| before == after && *before <= k / 2);
    let inner = x.clone();
    let mut front = None;
    if !own || win.same.is_some() {
        let pads = explicit(m, &x, &win, ceil)?;
        x = bordered(m, &x, &pads, f64::NEG_INFINITY)?;
        front = Some(pads.into_iter().map(|[before, _]| before).collect::<Vec<Val>>());
        win.pads = vec![[0; 2]; win.kernel.len()];
        ceil = false;
    }
    let even: Vec<i64> = win.pads.iter().map(|[before, _]| *before).collect();
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
        let by_columns = c.int("storage_order", 0) != 0;
        if by_columns || front.is_some() {
            let front = front.unwrap_or_else(|| vec![m.vector(&[0]); 3]);
            places = moved(m, places, &front, &win.dilation, &x, &inner, by_columns)?;
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
/// positions within the channels of `inner`; counted from the first dimension on if they are counted by columns. Windows whose taps
/// are `dilation` apart and that hold nothing but the lowest number begin in front of `inner`: their first tap inside counts.
fn moved(
    m: &mut Import,
    places: Val,
    front: &[Val],
    dilation: &[i64],
    padded: &Val,
    inner: &Val,
    by_columns: bool,
) -> Step {
    let (wide, own) = (lengths::<5>(m, padded)?, lengths::<5>(m, inner)?);
    let (mut rest, mut at) = (places, Vec::new());
    for (d, ((front, dilation), wide)) in front.iter().zip(dilation).zip(wide.iter().skip(2)).enumerate().rev() {
        let here = if d == 0 { rest.clone() } else { m.two("FloorMod", &rest, wide)? };
        let (here, step) = (m.two("Sub", &here, front)?, m.vector(&[*dilation]));
        let inside = m.two("FloorMod", &here, &step)?;
        at.push((m.two("Maximum", &here, &inside)?, own.get(d + 2)));
        rest = m.two("FloorDiv", &rest, wide)?;
    }
    if by_columns {
        at.reverse();
    }
    let (mut stride, mut sum) = (m.vector(&[1]), m.vector(&[0]));
    for (at, len) in at {
        let part = times(m, &at, &stride)?;
        sum = m.two("Add", &part, &sum)?;
        stride = times(m, &stride, len.ok_or("a dimension is missing")?)?;
    }
    Ok(sum)
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
pub(super) fn rounded_up(m: &mut Import, x: &Val, win: &Windows, d: usize) -> Step {
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

pub(super) fn average_pool(m: &mut Import, c: &Call, mut x: Val) -> Step {
    let kernel = c.ints("kernel_shape").unwrap_or_default();
    x = m.of_rank(x, kernel.len() + 2);
    let mut win = Windows::of(c, &x, kernel)?;
    let (ceil, rank) = (c.int("ceil_mode", 0) == 1, x.rank()?);
    let counted = c.int("count_include_pad", 0) == 1;
    let dilated = win.dilation.iter().any(|&d| d != 1);
    if dilated || win.same.is_some() && (counted || win.leave_gaps()) {
        return window_means(m, &x, &win, ceil && win.same.is_none(), counted);
    }
    if win.same.is_some() {
        return same_pool(m, "AvgPool", x, win);
    }
    if rank == 4 && !win.padded() && !ceil {
        return pool(m, "AvgPool", x, &win, "VALID");
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
        counted.into(),
        0i64.into(),
    ];
    let mut y = m.op("AvgPool3D", args)?;
    for _ in 0..added {
        y = squeezed(m, y, 2)?;
    }
    Ok(y)
}

/// The elements at the positions that a maximum over windows gave, all else 0.
fn max_unpool(m: &mut Import, c: &Call) -> Steps {
    let kernel = c.ints("kernel_shape").unwrap_or_default();
    let x = m.of_rank(c.input(0)?, kernel.len() + 2);
    let win = Windows::over(c, &x, kernel)?;
    let shape = match c.option(2) {
        Some(shape) => as_type(m, shape, DType::I64)?,
        None => {
            let mut sizes = vec![length(m, &x, 0)?, length(m, &x, 1)?];
            for (d, [before, after]) in win.pads.iter().enumerate() {
                let get = |v: &[i64]| v.get(d).copied().unwrap_or(1);
                let len = length(m, &x, d + 2)?;
                let len = m.with("Sub", &len, 1.0)?;
                let len = m.with("Mul", &len, get(&win.stride) as f64)?;
                sizes.push(m.with(
                    "Add",
                    &len,
                    (get(&win.kernel).saturating_sub(*before).saturating_sub(*after)) as f64,
                )?);
            }
            join(m, sizes, 0)?
        }
    };
    let flat = |m: &mut Import, v: Val| m.op("Reshape", vec![v.into(), vec![-1].into()]);
    let (values, at) = (flat(m, x.clone())?, flat(m, c.input(1)?)?);
    let (count, zero) = (product(m, &shape)?, m.scalar(x.dtype(), 0.0)?);
    let none = m.op("FillV2", vec![count.into(), zero.into()])?;
    let all = put(m, none, at, values)?;
    Ok(vec![m.op("Reshape", vec![all.into(), shape.into()])?])
}
