//! Images put together of windows, and convolutions over moved taps.

use mindir_proto::onnx::{AttributeProto, NodeProto};

use super::Row;
use super::convolution::{convolved, kernel};
use super::layer::add_channels;
use super::shape::{dims_of, join, length, part, reshaped};
use super::windows::Windows;
use crate::onnx::read::import::{Call, Import, Steps, Val};

pub(super) static OPS: &[Row] = &[
    ("CausalConvWithState", |m, c| causal(m, c)),
    ("Col2Im", |m, c| image_of_columns(m, c)),
    ("DeformConv", |m, c| deformed(m, c)),
];

/// Windows along one dimension.
struct Line {
    image: i64,
    kernel: i64,
    stride: i64,
    dilation: i64,
    pads: [i64; 2],
}

impl Line {
    fn windows(&self) -> Result<i64, String> {
        let reach = self.kernel.checked_sub(1).and_then(|k| k.checked_mul(self.dilation)?.checked_add(1));
        let padded = self.pads.iter().try_fold(self.image, |all, p| all.checked_add(*p));
        let room = padded.zip(reach).and_then(|(all, reach)| all.checked_sub(reach)).filter(|_| self.stride > 0);
        room.map(|room| room.div_euclid(self.stride) + 1).ok_or_else(|| "the windows are too large".into())
    }
}

/// The sum of what windows hold of each element, one dimension after the other, the last first.
fn image_of_columns(m: &mut Import, c: &Call) -> Steps {
    let (x, image, block) = (c.input(0)?, c.input(1)?.ints()?, c.input(2)?.ints()?);
    let n = block.len();
    if image.len() != n || n == 0 || block.iter().chain(&image).any(|&d| d < 1) {
        return Err(format!("windows {block:?} of images {image:?}"));
    }
    let list = |name: &str, len: usize, otherwise: i64| {
        c.ints(name).filter(|v| v.len() == len).unwrap_or(vec![otherwise; len])
    };
    let (stride, dilation, pads) = (list("strides", n, 1), list("dilations", n, 1), list("pads", 2 * n, 0));
    let (before, after) = pads.split_at(n);
    let lines: Vec<Line> = image
        .iter()
        .zip(&block)
        .zip(stride.iter().zip(&dilation))
        .zip(before.iter().zip(after))
        .map(|(((&image, &kernel), (&stride, &dilation)), (&before, &after))| Line {
            image,
            kernel,
            stride,
            dilation,
            pads: [before, after],
        })
        .collect();
    let windows = lines.iter().map(Line::windows).collect::<Result<Vec<_>, _>>()?;
    let product =
        |dims: &[i64]| dims.iter().try_fold(1i64, |all, d| all.checked_mul(*d)).ok_or("the windows are too large");
    let batch = length(m, &x, 0)?;
    let fixed = |m: &mut Import, dims: &[i64]| m.vector(dims);
    let (taps, places) = (fixed(m, &block), fixed(m, &windows));
    let open = m.vector(&[-1]);
    let mut y = reshaped(m, x, vec![batch.clone(), open.clone(), taps, places])?;
    // [batch, channels, taps of each dimension left, places of each, elements of the dimensions done]
    let mut rest = 1i64;
    for (i, line) in lines.iter().enumerate().rev() {
        let (taps, places) = (block.get(..i).unwrap_or_default(), windows.get(..i).unwrap_or_default());
        let count = windows.get(i).copied().unwrap_or(1);
        let (outer, inner) = (product(taps)?, product(places)?);
        let parts = fixed(m, &[outer, line.kernel, inner, count, rest]);
        y = reshaped(m, y, vec![batch.clone(), open.clone(), parts])?;
        y = m.transposed(&y, &[0, 1, 2, 4, 3, 5, 6])?;
        let flat = fixed(m, &[line.kernel, count.checked_mul(rest).ok_or("the windows are too large")?]);
        y = reshaped(m, y, vec![batch.clone(), open.clone(), flat])?;
        let args = vec![
            y.into(),
            vec![line.image, rest].into(),
            vec![line.kernel, 1].into(),
            vec![line.dilation, 1].into(),
            vec![line.pads[0], line.pads[1], 0, 0].into(),
            vec![line.stride, 1].into(),
        ];
        y = m.op("Col2Im", args)?;
        rest = rest.checked_mul(line.image).ok_or("the image is too large")?;
        let back = fixed(m, &[outer, inner, rest]);
        y = reshaped(m, y, vec![batch.clone(), open.clone(), back])?;
    }
    let dims = fixed(m, &image);
    Ok(vec![reshaped(m, y, vec![batch, open, dims])?])
}

/// A convolution whose taps are moved, and weighed, by operands: the elements side by side, and a convolution over these.
fn deformed(m: &mut Import, c: &Call) -> Steps {
    let (x, w, offsets) = (c.input(0)?, c.input(1)?, c.input(2)?);
    let win = Windows::over(c, &x, kernel(c, &w)?)?;
    let [rows, cols] = *win.kernel.as_slice() else {
        return Err(format!("{} spatial dimensions are not supported", win.kernel.len()));
    };
    let groups = c.int("offset_group", 1);
    let taps = rows.checked_mul(cols).and_then(|taps| taps.checked_mul(groups)).ok_or("the windows are too large")?;
    let dims = dims_of(m, &offsets)?;
    let (batch, size) = (part(m, &dims, 0, 1)?, part(m, &dims, 2, 4)?);
    let pairs = m.vector(&[taps, 2]);
    let pairs = reshaped(m, offsets, vec![batch, pairs, size])?;
    let along = |m: &mut Import, i: i64| {
        let at = m.constant(mindir_graph::Tensor::scalar(i));
        m.gathered(&pairs, &at, 2)
    };
    let (down, right) = (along(m, 0)?, along(m, 1)?);
    let factors = c.option(4).map_or_else(|| m.one("OnesLike", &down), Ok)?;
    let moves = join(m, vec![right, down, factors], 1)?;
    let args = vec![
        x.into(),
        moves.into(),
        [&[1, 1], win.stride.as_slice()].concat().into(),
        win.flat_pads().into(),
        win.kernel.clone().into(),
        [&[1, 1], win.dilation.as_slice()].concat().into(),
        "NCHW".into(),
        groups.into(),
    ];
    let elements = m.op("DeformableOffsets", args)?;
    let node = node(&[("group", &[c.int("group", 1)]), ("strides", &win.kernel)]);
    Ok(vec![convolved(m, &of_node(c, &node), elements, w, c.option(3))?])
}

/// A node with these attributes.
fn node(attributes: &[(&str, &[i64])]) -> NodeProto {
    let attribute = |(name, ints): &(&str, &[i64])| AttributeProto {
        name: Some((*name).into()),
        i: ints.first().copied(),
        ints: ints.to_vec(),
        ..AttributeProto::default()
    };
    NodeProto { attribute: attributes.iter().map(attribute).collect(), ..NodeProto::default() }
}

fn of_node<'a>(c: &Call, node: &'a NodeProto) -> Call<'a> {
    Call { node, inputs: Vec::new(), opset: c.opset, max_rank: c.max_rank }
}

/// A convolution of every channel with what came before it; the last elements are the state.
fn causal(m: &mut Import, c: &Call) -> Steps {
    let (x, w) = (c.input(0)?, c.input(1)?);
    let channels = w.dim(0)?;
    let before = w.dim(2)? - 1;
    let whole = match c.option(3) {
        Some(past) => join(m, vec![past, x], 2)?,
        None => m.op("PadV3", vec![x.into(), vec![before, 0].into(), 0.0.into(), "constant".into()])?,
    };
    let node = node(&[("group", &[channels])]);
    let mut y = convolved(m, &of_node(c, &node), whole.clone(), w, None)?;
    if let Some(bias) = c.option(2) {
        y = add_channels(m, y, bias)?;
    }
    match c.text("activation", "none").as_str() {
        "none" => {}
        "silu" | "swish" => y = m.one("SiLU", &y)?,
        other => return Err(format!("activation {other} is not supported")),
    }
    let all = length(m, &whole, 2)?;
    let first = m.with("Sub", &all, before as f64)?;
    let state = sliced(m, &whole, first, all)?;
    Ok(vec![y, state])
}

/// Elements `from` to `to` of the last of three dimensions.
fn sliced(m: &mut Import, x: &Val, from: Val, to: Val) -> Result<Val, String> {
    let count = m.two("Sub", &to, &from)?;
    let at = super::shape::places(m, count)?;
    let at = m.two("Add", &at, &from)?;
    m.gathered(x, &at, 2)
}
