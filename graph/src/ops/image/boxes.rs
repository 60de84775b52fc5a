use crate::bounds::{self, Exceeded};
use crate::onnx::{Emit, Forms, no_form};
use crate::op::{Case, Ints, Operand, Rule};
use crate::ops::kit::grid::{Grid, each};
use crate::ops::kit::indices::{item, result, size, sizes};
use crate::ops::kit::sample::sample;
use crate::{DType, Fact, OpError, Tensor, ensure, op, op_enum};

op_enum! {
    /// What the common area is divided by.
    Overlap {
        /// The area of both boxes together.
        Iou = 0, "iou";
        /// The area of the second box.
        Iof = 1, "iof";
    }
}

op! {
    /// Common area of every pair of boxes, divided by the area that both cover, or for mode `iof` by that of `gt_boxes`.
    ///
    /// `anchor_boxes`: `[n, 4]`, `gt_boxes`: `[m, 4]`, as left, top, right, bottom elements, both included. Result: `[m, n]`.
    classic IOU { anchor_boxes ["bboxes"]: Operand, gt_boxes: Operand, mode: Overlap as Small = Overlap::Iou }
}

/// Extent common to two ranges that include both ends.
fn common(a: [f64; 2], b: [f64; 2]) -> f64 {
    (a[1].min(b[1]) - a[0].max(b[0]) + 1.0).max(0.0)
}

fn area([left, top, right, bottom]: [f64; 4]) -> f64 {
    (right - left + 1.0) * (bottom - top + 1.0)
}

impl Rule for IOU {
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        let (a, g) = (&self.anchor_boxes.fact, &self.gt_boxes.fact);
        let ([n, 4], [m, 4]) = (a.shape.as_slice(), g.shape.as_slice()) else {
            return Err(OpError::Invalid(format!("expected boxes [n, 4] and [m, 4], found {a} and {g}")));
        };
        ensure!(a.dtype == g.dtype && a.dtype.is_float(), "expected floats of one type, found {a} and {g}");
        Ok(vec![Fact::new(a.dtype, &[*m, *n])])
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        let fact = self.infer()?.remove(0);
        let (anchors, boxes) = (self.anchor_boxes.f64s()?, self.gt_boxes.f64s()?);
        let mut y = Vec::with_capacity(fact.count());
        for &g in boxes.as_chunks().0 {
            bounds::check()?;
            for &a in anchors.as_chunks().0 {
                let both = common([a[0], a[2]], [g[0], g[2]]) * common([a[1], a[3]], [g[1], g[3]]);
                let whole = if self.mode == Overlap::Iof { area(g) } else { area(a) + area(g) - both };
                y.push(both / whole);
            }
        }
        Ok(vec![Tensor::from_f64s(fact.dtype, &fact.shape, &y)?])
    }

    fn onnx(&self, _: &mut Emit) -> Forms {
        no_form("ONNX has no operator for the overlap of boxes")
    }

    fn cases() -> Vec<Case> {
        let boxes = |values: &[f32]| Tensor::from_slice(&[values.len() / 4, 4], values).unwrap_or(Tensor::scalar(0f32));
        let a = boxes(&[0.0, 0.0, 10.0, 10.0, 1.0, 1.0, 4.0, 4.0]);
        let g = boxes(&[0.0, 0.0, 5.0, 5.0, 3.0, 3.0, 12.0, 8.0, 20.0, 20.0, 22.0, 21.0]);
        let s = sample().data(a).data(g);
        vec![s.clone().text("iou").case("both"), s.text("iof").case("second")]
    }
}

op! {
    /// Sorts boxes by falling score and keeps each that overlaps no better box that is kept.
    ///
    /// `bboxes`: `[n, 5]` of left, top, right, bottom and score. Two boxes overlap if their common area is more than
    /// `iou_threshold` of the area that both cover. Results: the sorted boxes, their positions 0 to n − 1 as `i32`, and as `bool`
    /// whether each is kept. Equal scores stand in the order in which MindSpore's sorting
    /// network leaves them.
    classic NMSWithMask { bboxes: Operand, iou_threshold: f64 = 0.5 }
}

/// Whether two boxes overlap by more than `threshold`.
fn overlaps(a: &[f64; 5], b: &[f64; 5], threshold: f64) -> bool {
    let side = |a: [f64; 2], b: [f64; 2]| (a[1].min(b[1]) - a[0].max(b[0])).max(0.0);
    let area = |b: &[f64; 5]| (b[2] - b[0]) * (b[3] - b[1]);
    let both = side([a[0], a[2]], [b[0], b[2]]) * side([a[1], a[3]], [b[1], b[3]]);
    both / (area(a) + area(b) - both) > threshold
}

/// Positions from the highest score on. Equal scores stand as the bitonic network leaves them with which MindSpore sorts.
fn ranked(scores: &[f64]) -> Result<Vec<usize>, Exceeded> {
    let size = scores.len().next_power_of_two();
    let mut items: Vec<(f64, usize)> =
        (0..size).map(|i| (scores.get(i).copied().unwrap_or(f64::INFINITY), i)).collect();
    let above = |a: f64, b: f64| a > b || a.is_nan() && !b.is_nan();
    let halves = |n: usize| std::iter::successors(Some(n / 2), |n| Some(n / 2)).take_while(|n| *n > 0);
    let blocks = std::iter::successors(Some(2), |n: &usize| n.checked_mul(2)).take_while(|n| *n <= size);
    for (block, step) in blocks.flat_map(|block| halves(block).map(move |step| (block, step))) {
        bounds::check()?;
        for (i, pairs) in items.chunks_exact_mut(2 * step).enumerate() {
            let rising = (i * 2 * step) & block == 0;
            let (low, high) = pairs.split_at_mut(step);
            for (low, high) in low.iter_mut().zip(high) {
                if if rising { above(low.0, high.0) } else { above(high.0, low.0) } {
                    std::mem::swap(low, high);
                }
            }
        }
    }
    Ok(items.into_iter().rev().map(|item| item.1).filter(|i| *i < scores.len()).collect())
}

impl Rule for NMSWithMask {
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        let b = &self.bboxes.fact;
        let (&[n, 5], true) = (b.shape.as_slice(), b.dtype.is_float()) else {
            return Err(OpError::Invalid(format!("expected floats [n, 5], found {b}")));
        };
        Ok(vec![Fact::clone(b), Fact::new(DType::I32, &[n]), Fact::new(DType::Bool, &[n])])
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        self.infer()?;
        let values = self.bboxes.f64s()?;
        let (boxes, _) = values.as_chunks();
        let scores: Vec<f64> = boxes.iter().map(|[.., score]: &[f64; 5]| *score).collect();
        let boxes = ranked(&scores)?.into_iter().map(|i| item(boxes, i).copied()).collect::<Result<Vec<_>, _>>()?;
        let mut kept: Vec<bool> = Vec::with_capacity(boxes.len());
        for b in &boxes {
            bounds::check()?;
            let beaten = kept.iter().zip(&boxes).any(|(kept, better)| *kept && overlaps(better, b, self.iou_threshold));
            kept.push(!beaten);
        }
        let n = boxes.len();
        let order: Vec<i64> = (0..n as i64).collect();
        let sorted = Tensor::from_f64s(self.bboxes.dtype(), &[n, 5], boxes.as_flattened())?;
        Ok(vec![sorted, Tensor::from_i64s(DType::I32, &[n], &order)?, Tensor::from_bools(&[n], &kept)?])
    }

    fn onnx(&self, _: &mut Emit) -> Forms {
        no_form("ONNX selects boxes by score, but does not return all of them sorted with a mask")
    }

    fn cases() -> Vec<Case> {
        let values = [0.0, 0.0, 10.0, 10.0, 0.5, 1.0, 1.0, 10.0, 10.0, 0.8, 20.0, 20.0, 30.0, 30.0, 0.65f32];
        let boxes = Tensor::from_slice(&[3, 5], &values).unwrap_or(Tensor::scalar(0f32));
        let same: Vec<f32> = (0..35).map(|i| if i % 5 == 4 { 1.0 } else { (i * 7 % 40) as f32 }).collect();
        let equal = Tensor::from_slice(&[7, 5], &same).unwrap_or(Tensor::scalar(0f32));
        vec![sample().data(boxes).real(0.3).exact("one overlap"), sample().data(equal).exact("equal scores")]
    }
}

op! {
    /// Means of bilinear samples in the cells of boxes: `[rois, c, pooled_height, pooled_width]` from `features`
    /// (`[n, c, h, w]`) and `rois` (`[rois, 5]`: image, left, top, right, bottom).
    ///
    /// Boxes are multiplied by `spatial_scale`, after adding `roi_end_mode` to right and bottom, and are at least 1 wide and
    /// high. A cell has `sample_num` samples in each direction, or as many as its size rounded up for 0. Samples more than 1
    /// outside the image are 0, those nearer take the edge. Floats of one type.
    classic ROIAlign {
        features: Operand,
        rois: Operand,
        pooled_height: i64,
        pooled_width: i64,
        spatial_scale: f64,
        sample_num: i64 = 2,
        roi_end_mode: i64 = 1,
    }
}

/// The cells of a box along one dimension.
struct Cells {
    start: f64,
    size: f64,
    samples: usize,
}

/// The samples of boxes in images.
struct Alignment {
    pooled: [usize; 2],
    scale: f64,
    samples: usize,
    end: f64,
}

/// A box: its image, and the elements of each of its cells with their weights, along rows and columns.
struct Aligned {
    image: usize,
    rows: Vec<Vec<(usize, f64)>>,
    cols: Vec<Vec<(usize, f64)>>,
}

impl Alignment {
    fn new(height: i64, width: i64, scale: f64, samples: i64, end: i64) -> Result<Alignment, OpError> {
        let pooled = [size(height, "pooled_height")?, size(width, "pooled_width")?];
        ensure!(!pooled.contains(&0), "expected a positive pooled size, found {height} by {width}");
        ensure!((0..1024).contains(&samples), "expected a sample_num below 1024, found {samples}");
        ensure!((0..=1).contains(&end), "expected roi_end_mode 0 or 1, found {end}");
        ensure!(scale.is_finite(), "expected a number as spatial_scale, found {scale}");
        Ok(Alignment { pooled, scale, samples: size(samples, "sample_num")?, end: end as f64 })
    }

    /// The result for boxes `rois` of images of these dimensions.
    fn fact(&self, images: &Fact, rois: &Operand) -> Result<Fact, OpError> {
        let rois = &rois.fact;
        let (&[_, c, (1..), (1..)], &[count, 5]) = (images.shape.as_slice(), rois.shape.as_slice()) else {
            return Err(OpError::Invalid(format!("expected [n, c, h, w] and [rois, 5], found {images} and {rois}")));
        };
        let floats = images.dtype == rois.dtype && rois.dtype.is_float();
        ensure!(floats, "expected floats of one type, found {images} and {rois}");
        let [h, w] = self.pooled;
        result(images.dtype, &[count, c, h, w])
    }

    fn cells(&self, low: f64, high: f64, pooled: usize) -> Cells {
        let start = low * self.scale;
        let extent = ((high + self.end) * self.scale - start).max(1.0);
        let size = extent / pooled as f64;
        let samples = if self.samples > 0 { self.samples } else { size.ceil().max(1.0) as usize };
        Cells { start, size, samples }
    }

    /// The cells of a box in one of `n` images of `h` by `w` elements.
    fn aligned(&self, &[image, corners @ ..]: &[f64; 5], [n, h, w]: [usize; 3]) -> Result<Aligned, OpError> {
        ensure!((0.0..n as f64).contains(&image), "image {image} of {n}");
        ensure!(corners.iter().all(|v| v.abs() < 1e6), "box {corners:?} is too large");
        let ([left, top, right, bottom], [ph, pw]) = (corners, self.pooled);
        let (rows, cols) = (self.cells(top, bottom, ph), self.cells(left, right, pw));
        let rows = (0..ph).map(|i| rows.taps(i, h)).collect();
        Ok(Aligned { image: image as usize, rows, cols: (0..pw).map(|i| cols.taps(i, w)).collect() })
    }
}

impl ROIAlign {
    fn alignment(&self) -> Result<Alignment, OpError> {
        Alignment::new(self.pooled_height, self.pooled_width, self.spatial_scale, self.sample_num, self.roi_end_mode)
    }
}

impl Cells {
    /// Elements and weights of the samples of cell `i` along a dimension of `len` elements.
    fn taps(&self, i: usize, len: usize) -> Vec<(usize, f64)> {
        let last = len.saturating_sub(1);
        let share = 1.0 / self.samples as f64;
        let mut out = Vec::new();
        for s in 0..self.samples {
            let x = self.start + (i as f64 + (s as f64 + 0.5) * share) * self.size;
            if !(-1.0..=len as f64).contains(&x) {
                continue;
            }
            let x = x.clamp(0.0, last as f64);
            let (p, t) = (x.floor() as usize, x - x.floor());
            out.extend([(p, (1.0 - t) * share), ((p + 1).min(last), t * share)]);
        }
        out
    }
}

impl Rule for ROIAlign {
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        Ok(vec![self.alignment()?.fact(&self.features.fact, &self.rois)?])
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        let (alignment, fact) = (self.alignment()?, self.infer()?.remove(0));
        let (x, rois) = (Grid::read(&self.features)?, self.rois.f64s()?);
        let [n, c, h, w] = x.dims;
        let mut y = Vec::with_capacity(fact.count());
        for roi in rois.as_chunks().0 {
            let Aligned { image, rows, cols } = alignment.aligned(roi, [n, h, w])?;
            for channel in 0..c {
                bounds::check()?;
                for (rows, cols) in rows.iter().flat_map(|rows| cols.iter().map(move |cols| (rows, cols))) {
                    let at = |r, p| x.at([image, channel, r, p]);
                    let row = |r| cols.iter().map(|(p, t)| Ok(t * at(r, *p)?)).sum::<Result<f64, OpError>>();
                    y.push(rows.iter().map(|(r, t)| Ok(t * row(*r)?)).sum::<Result<f64, OpError>>()?);
                }
            }
        }
        Ok(vec![Tensor::from_f64s(fact.dtype, &fact.shape, &y)?])
    }

    fn onnx(&self, e: &mut Emit) -> Forms {
        if self.features.dtype() != DType::F32 {
            return no_form(format!("ONNX Runtime aligns boxes in f32 only, found {}", self.features.dtype()));
        }
        let (x, rois) = (e.edge(&self.features)?, e.edge(&self.rois)?);
        let image = e.slice(rois, 1, 0, 1);
        let image = e.squeeze(image, &[1]);
        let image = e.cast(image, DType::F32, DType::I64);
        let mut corners = e.slice(rois, 1, 1, 5);
        if self.roi_end_mode == 1 {
            let end = e.constant(Tensor::from_slice(&[1, 4], &[0f32, 0.0, 1.0, 1.0])?);
            corners = e.op("Add", &[corners, end]);
        }
        let attrs = vec![
            ("coordinate_transformation_mode", "output_half_pixel".into()),
            ("output_height", self.pooled_height.into()),
            ("output_width", self.pooled_width.into()),
            ("sampling_ratio", self.sample_num.into()),
            ("spatial_scale", (self.spatial_scale as f32).into()),
        ];
        Ok(Some(vec![e.op_with("RoiAlign", &[x, corners, image], attrs)]))
    }

    fn cases() -> Vec<Case> {
        let rois = [0.0, 1.0, 1.0, 5.0, 5.0, 1.0, -3.0, 0.0, 2.0, 9.0f32];
        let rois = Tensor::from_slice(&[2, 5], &rois).unwrap_or(Tensor::scalar(0f32));
        let s = sample().tensor(DType::F32, &[2, 3, 4, 5]).data(rois).int(2).int(3).real(0.5);
        vec![s.clone().int(2).int(1).case("two samples"), s.int(0).int(0).case("samples by size")]
    }
}

op! {
    /// The gradient of `ROIAlign` with `roi_end_mode` 1, of features of the dimensions `xdiff_shape`: every element of `dy`
    /// (`[rois, c, pooled_height, pooled_width]`) is shared by the elements that its samples weigh. Floats of one type.
    classic ROIAlignGrad {
        dy: Operand,
        rois: Operand,
        xdiff_shape: Ints as Input,
        pooled_height: i64,
        pooled_width: i64,
        spatial_scale: f64,
        sample_num: i64 = 2,
    }
}

impl ROIAlignGrad {
    fn alignment(&self) -> Result<Alignment, OpError> {
        Alignment::new(self.pooled_height, self.pooled_width, self.spatial_scale, self.sample_num, 1)
    }
}

impl Rule for ROIAlignGrad {
    fn infer(&self) -> Result<Vec<Fact>, OpError> {
        let x = result(self.dy.dtype(), &sizes(&self.xdiff_shape, "xdiff_shape")?)?;
        let y = self.alignment()?.fact(&x, &self.rois)?;
        ensure!(self.dy.fact == y, "expected a gradient {y}, found {}", self.dy.fact);
        Ok(vec![x])
    }

    fn reference(&self) -> Result<Vec<Tensor>, OpError> {
        let (alignment, fact) = (self.alignment()?, self.infer()?.remove(0));
        let (dy, rois, mut dx) = (Grid::read(&self.dy)?, self.rois.f64s()?, Grid::zeros(fact.ranked()?)?);
        let [n, c, h, w] = dx.dims;
        for (i, roi) in rois.as_chunks().0.iter().enumerate() {
            let Aligned { image, rows, cols } = alignment.aligned(roi, [n, h, w])?;
            each([c, rows.len(), cols.len()], |[channel, y, x]| {
                let grad = dy.at([i, channel, y, x])?;
                for &(r, tr) in item(&rows, y)? {
                    for &(p, tp) in item(&cols, x)? {
                        *dx.at_mut([image, channel, r, p])? += grad * tr * tp;
                    }
                }
                Ok(())
            })?;
        }
        Ok(vec![dx.tensor(fact.dtype)?])
    }

    fn onnx(&self, _: &mut Emit) -> Forms {
        no_form("ONNX has no gradients")
    }

    fn cases() -> Vec<Case> {
        let rois = [0.0, 1.0, 1.0, 5.0, 5.0, 1.0, -3.0, 0.0, 2.0, 9.0f32];
        let rois = Tensor::from_slice(&[2, 5], &rois).unwrap_or(Tensor::scalar(0f32));
        let s = sample().tensor(DType::F32, &[2, 3, 2, 3]).data(rois).ints(&[2, 3, 4, 5]).int(2).int(3).real(0.5);
        vec![s.clone().int(2).case("two samples"), s.int(0).case("samples by size")]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::op::Const;

    /// The positions are those that MindSpore 2.10 gives.
    #[test]
    fn equal_scores_stand_as_in_mindspore() {
        assert_eq!(ranked(&[1.0; 7]).unwrap(), [6, 5, 4, 3, 2, 1, 0]);
        assert_eq!(ranked(&[2.0, 1.0, 2.0, 1.0, 1.0, 2.0]).unwrap(), [0, 5, 2, 4, 3, 1]);
        let ten = [0.0, 1.0, 2.0, 1.0, 0.0, 2.0, 2.0, 1.0, 0.0, 1.0];
        assert_eq!(ranked(&ten).unwrap(), [2, 6, 5, 9, 1, 7, 3, 8, 4, 0]);
    }

    /// MindSpore 2.10 on the CPU.
    #[test]
    fn cells_are_mindspores() {
        let tensor = |dims: &[usize], data: &[f64]| Tensor::from_f64s(DType::F32, dims, data).unwrap();
        let image: Vec<f64> = (0..16).map(f64::from).collect();
        let align = |roi: &[f64], pooled, scale, samples, end| {
            let s = sample().data(tensor(&[1, 1, 4, 4], &image)).data(tensor(&[1, 5], roi)).int(pooled).int(pooled);
            let align: ROIAlign = s.arg(Const::Double(scale).into()).int(samples).int(end).operator().unwrap();
            align.reference().unwrap()[0].to_f64s().unwrap()
        };
        assert_eq!(align(&[0.0, 1.0, 1.0, 5.0, 5.0], 2, 0.5, 2, 1), [5.625, 6.875, 10.625, 11.875]);
        assert_eq!(align(&[0.0, 1.0, 1.0, 5.0, 5.0], 2, 0.5, 2, 0), [5.0, 6.0, 9.0, 10.0]);
        assert_eq!(align(&[0.0, 1.0, 1.0, 1.0, 1.0], 1, 1.0, 2, 0), [7.5]);
        assert_eq!(align(&[0.0, -3.0, -3.0, 9.0, 9.0], 2, 1.0, 2, 0), [1.875, 0.0, 0.0, 0.0]);
    }
}
