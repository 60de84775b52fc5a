//! Means and maxima of samples in the cells of boxes.

use mindir_graph::{DType, Tensor};

use super::Row;
use super::element::as_type;
use super::shape::{dims_of, join, length, lengths, places, reshaped, times};
use crate::onnx::read::import::{Call, Import, Step, Steps, Val};

pub(super) static OPS: &[Row] = &[("RoiAlign", |m, c| roi_align(m, c))];

/// MindSpore has the number of the image in front of each box, and no boxes smaller than an element.
fn roi_align(m: &mut Import, c: &Call) -> Steps {
    let standard = if c.opset < 16 { "output_half_pixel" } else { "half_pixel" };
    let half = match c.text("coordinate_transformation_mode", standard).as_str() {
        "half_pixel" => true,
        "output_half_pixel" => false,
        other => return Err(format!("coordinates {other} are not supported")),
    };
    let largest = match c.text("mode", "avg").as_str() {
        "avg" => false,
        "max" => true,
        other => return Err(format!("mode {other} is not supported")),
    };
    let (x, boxes, images) = (c.input(0)?, c.input(1)?, c.input(2)?);
    let sizes = ["output_height", "output_width"].map(|name| c.int(name, 1));
    let (scale, samples) = (c.float("spatial_scale", 1.0), c.int("sampling_ratio", 0));
    if half || largest {
        return Ok(vec![Align { half, largest, scale, samples }.align(m, &x, &boxes, &images, sizes)?]);
    }
    let images = as_type(m, images, boxes.dtype())?;
    let images = m.op("ExpandDims", vec![images.into(), 1i64.into()])?;
    let rois = join(m, vec![images, boxes], 1)?;
    let args = vec![x.into(), rois.into(), sizes[0].into(), sizes[1].into(), scale.into(), samples.into(), 0i64.into()];
    Ok(vec![m.op("ROIAlign", args)?])
}

/// How boxes are sampled.
struct Align {
    /// Whether coordinates count from the outer edges.
    half: bool,
    /// Whether cells have the largest of their samples, else the mean.
    largest: bool,
    scale: f64,
    /// Samples of a cell in each direction; 0 for as many as a cell has elements.
    samples: i64,
}

/// The samples of all boxes along one dimension, `[boxes, cells · samples]`.
struct Line {
    /// The elements before and behind each, and what they count.
    low: [Val; 2],
    high: [Val; 2],
    /// Whether the sample is in the image or next to it.
    inside: Val,
    /// Whether the box has so many samples.
    counted: Val,
    /// Samples of a cell: of each box as floats, and the most that any box has.
    own: Val,
    most: Val,
}

impl Align {
    fn align(&self, m: &mut Import, x: &Val, boxes: &Val, images: &Val, cells: [i64; 2]) -> Step {
        let [n, channels, h, w] = lengths(m, x)?;
        let rows = self.line(m, boxes, 1, cells[0], &h)?;
        let cols = self.line(m, boxes, 0, cells[1], &w)?;
        let last = m.transposed(x, &[0, 2, 3, 1])?;
        let size = times(m, &h, &w)?;
        let all = times(m, &n, &size)?;
        let pixels = reshaped(m, last, vec![all, channels.clone()])?;
        let images = as_type(m, images.clone(), DType::I64)?;
        let start = times(m, &images, &size)?;
        let start = m.with_ones(&start, &[1, 2])?;
        let row = |m: &mut Import, v: &Val| m.with_ones(v, &[2]);
        let col = |m: &mut Import, v: &Val| m.with_ones(v, &[1]);
        let mut y: Option<Val> = None;
        for [row_at, row_weight] in [&rows.low, &rows.high] {
            for [col_at, col_weight] in [&cols.low, &cols.high] {
                let (at, by) = (row(m, row_at)?, col(m, col_at)?);
                let index = times(m, &at, &w)?;
                let index = m.two("Add", &index, &by)?;
                let index = m.two("Add", &index, &start)?;
                let value = m.gathered(&pixels, &index, 0)?;
                let (a, b) = (row(m, row_weight)?, col(m, col_weight)?);
                let weight = m.two("Mul", &a, &b)?;
                let weight = m.with_ones(&weight, &[3])?;
                let value = m.two("Mul", &value, &weight)?;
                y = Some(match y {
                    Some(sum) => m.two(if self.largest { "Maximum" } else { "Add" }, &sum, &value)?,
                    None => value,
                });
            }
        }
        let y = y.ok_or("there are no samples")?;
        let both = |m: &mut Import, a: &Val, b: &Val| {
            let (a, b) = (row(m, a)?, col(m, b)?);
            let both = m.two("LogicalAnd", &a, &b)?;
            m.with_ones(&both, &[3])
        };
        let inside = both(m, &rows.inside, &cols.inside)?;
        let y = m.select_or(&inside, &y, 0.0)?;
        let counted = both(m, &rows.counted, &cols.counted)?;
        let y = m.select_or(&counted, &y, if self.largest { f64::NEG_INFINITY } else { 0.0 })?;
        let (count, cells) = (length(m, boxes, 0)?, cells.map(|n| m.vector(&[n])));
        let [high, wide] = cells;
        let y = reshaped(m, y, vec![count, high, rows.most.clone(), wide, cols.most.clone(), channels])?;
        let y = self.together(m, &y, &rows, &cols)?;
        m.transposed(&y, &[0, 3, 1, 2])
    }

    /// The samples of each cell as one value, `[boxes, rows, columns, channels]`.
    fn together(&self, m: &mut Import, y: &Val, rows: &Line, cols: &Line) -> Step {
        let own = m.two("Mul", &rows.own, &cols.own)?;
        let own = m.with_ones(&own, &[2, 3])?;
        if self.largest {
            let y = m.reduce("ReduceMax", y, &[2, 4], false)?;
            let none = m.with("LessEqual", &own, 0.0)?;
            let zero = m.scalar(y.dtype(), 0.0)?;
            return m.select(&none, &zero, &y);
        }
        let y = m.reduce("ReduceSum", y, &[2, 4], false)?;
        let own = m.with("Maximum", &own, 1.0)?;
        m.two("Div", &y, &own)
    }

    /// The samples along a dimension of `len` elements; the boxes have its ends in columns `at` and `at + 2`.
    fn line(&self, m: &mut Import, boxes: &Val, at: i64, cells: i64, len: &Val) -> Result<Line, String> {
        let d = boxes.dtype();
        let end = |m: &mut Import, at: i64| {
            let at = m.constant(Tensor::vector(&[at]));
            let v = m.gathered(boxes, &at, 1)?;
            let v = m.with("Mul", &v, self.scale)?;
            if self.half { m.with("Sub", &v, 0.5) } else { Ok(v) }
        };
        let (start, stop) = (end(m, at)?, end(m, at + 2)?);
        let mut extent = m.two("Sub", &stop, &start)?;
        if !self.half {
            extent = m.with("Maximum", &extent, 1.0)?;
        }
        let size = m.with("Div", &extent, cells as f64)?;
        let own = if self.samples > 0 {
            let none = m.with("Mul", &size, 0.0)?;
            m.with("Add", &none, self.samples as f64)?
        } else {
            m.one("Ceil", &size)?
        };
        let most = if self.samples > 0 {
            m.vector(&[self.samples])
        } else {
            // There is at least one, also where there is no box.
            let one = m.constant(Tensor::from_f64s(d, &[1, 1], &[1.0]).map_err(|e| e.to_string())?);
            let all = join(m, vec![own.clone(), one], 0)?;
            let most = m.reduce("ReduceMax", &all, &[0], false)?;
            as_type(m, most, DType::I64)?
        };
        let (cell, sample) = (m.vector(&(0..cells.clamp(0, 1 << 16)).collect::<Vec<_>>()), places(m, most.clone())?);
        let (cell, sample) = (as_type(m, cell, d)?, as_type(m, sample, d)?);
        let (cell, sample) = (m.with_ones(&cell, &[0, 2])?, m.with_ones(&sample, &[0, 1])?);
        let (start, size, each) = (m.with_ones(&start, &[2])?, m.with_ones(&size, &[2])?, m.with_ones(&own, &[2])?);
        // `start + (cell + (sample + ½) / samples) · size`
        let part = m.with("Add", &sample, 0.5)?;
        let part = m.two("Mul", &part, &size)?;
        let divisor = m.with("Maximum", &each, 1.0)?;
        let part = m.two("Div", &part, &divisor)?;
        let whole = m.two("Mul", &cell, &size)?;
        let x = m.two("Add", &start, &whole)?;
        let x = m.two("Add", &x, &part)?;
        let counted = m.two("Less", &sample, &each)?;
        let all = dims_of(m, &x)?;
        let counted = m.two("BroadcastTo", &counted, &all)?;
        let count = m.vector(&[cells]);
        let width = times(m, &most, &count)?;
        let first = length(m, boxes, 0)?;
        let flat = |m: &mut Import, v: Val| reshaped(m, v, vec![first.clone(), width.clone()]);
        let (x, counted) = (flat(m, x)?, flat(m, counted)?);
        self.around(m, &x, counted, own, most, len)
    }

    /// The elements around places `x`.
    fn around(&self, m: &mut Import, x: &Val, counted: Val, own: Val, most: Val, len: &Val) -> Result<Line, String> {
        let d = x.dtype();
        let len = as_type(m, len.clone(), d)?;
        let last = m.with("Sub", &len, 1.0)?;
        let (low, high) = (m.with("GreaterEqual", x, -1.0)?, m.two("LessEqual", x, &len)?);
        let inside = m.two("LogicalAnd", &low, &high)?;
        let x = m.with("Maximum", x, 0.0)?;
        let x = m.two("Minimum", &x, &last)?;
        let before = m.one("Floor", &x)?;
        let behind = m.with("Add", &before, 1.0)?;
        let behind = m.two("Minimum", &behind, &last)?;
        let far = m.two("Sub", &x, &before)?;
        let near = m.one("Neg", &far)?;
        let near = m.with("Add", &near, 1.0)?;
        let (before, behind) = (as_type(m, before, DType::I64)?, as_type(m, behind, DType::I64)?);
        Ok(Line { low: [before, near], high: [behind, far], inside, counted, own, most })
    }
}
