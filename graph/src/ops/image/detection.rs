//! Boxes that a network proposes: their forms, and the best of them.

use crate::bounds;
use crate::op::{Case, Ints, Operand, Operator, Rule};
use crate::ops::kit::broadcasting::single;
use crate::ops::kit::host::{ByData, host};
use crate::ops::kit::indices::{item, item_mut, only, result, size};
use crate::ops::kit::sample::{between, cycle, filled, sample};
use crate::{DType, Fact, OpError, Tensor, ensure, op};

/// Refuses what are not as many boxes of floats of one type.
fn check_boxes(a: &Operand, b: &Operand) -> Result<(), OpError> {
    let boxes = matches!(a.shape(), [_, 4]) && a.shape() == b.shape();
    ensure!(
        boxes && a.dtype().is_float() && a.dtype() == b.dtype(),
        "expected boxes [n, 4], found {} and {}",
        a.fact,
        b.fact
    );
    Ok(())
}

fn four(values: &[f64], what: &str) -> Result<[f64; 4], OpError> {
    values.try_into().map_err(|_| OpError::Invalid(format!("expected four {what}, found {values:?}")))
}

/// Centre, width and height of a box that includes its right and bottom.
fn centred([left, top, right, bottom]: [f64; 4]) -> [f64; 4] {
    [(left + right) / 2.0, (top + bottom) / 2.0, right - left + 1.0, bottom - top + 1.0]
}

op! {
    /// How `groundtruth_box` differs from `anchor_box`, both left, top, right, bottom: the move of the centre in widths and
    /// heights, and the logarithms of the ratios of widths and heights; less `means`, divided by `stds`. Floats `[n, 4]`.
    classic BoundingBoxEncode {
        anchor_box: Operand,
        groundtruth_box: Operand,
        means: Vec<f64> = vec![0.0; 4],
        stds: Vec<f64> = vec![1.0; 4],
    }
}

impl BoundingBoxEncode {
    fn results(&self) -> Result<Vec<Tensor>, OpError> {
        let (means, stds) = (four(&self.means, "means")?, four(&self.stds, "deviations")?);
        let (anchors, boxes) = (self.anchor_box.f64s()?, self.groundtruth_box.f64s()?);
        let mut y = Vec::with_capacity(anchors.len());
        for (anchor, other) in anchors.as_chunks().0.iter().zip(boxes.as_chunks().0) {
            let ([x, y0, w, h], [gx, gy, gw, gh]) = (centred(*anchor), centred(*other));
            let deltas = [(gx - x) / w, (gy - y0) / h, (gw / w).ln(), (gh / h).ln()];
            y.extend(deltas.iter().zip(means).zip(stds).map(|((delta, mean), std)| (delta - mean) / std));
        }
        Ok(vec![Tensor::from_f64s(self.anchor_box.dtype(), self.anchor_box.shape(), &y)?])
    }
}

impl Operator for BoundingBoxEncode {
    fn rule(&self) -> Result<impl Rule, OpError> {
        let facts = || {
            check_boxes(&self.anchor_box, &self.groundtruth_box)?;
            four(&self.means, "means")?;
            four(&self.stds, "deviations")?;
            Ok(vec![self.anchor_box.fact.clone()])
        };
        Ok(host(facts, |_| self.results()))
    }

    fn cases() -> Vec<Case> {
        let boxes = |values: [f64; 8]| cycle(DType::F32, &[2, 4], &values);
        let s = sample().arg(boxes([2.0, 2.0, 2.0, 3.0, 2.0, 2.0, 5.0, 6.0]));
        let s = s.arg(boxes([1.0, 2.0, 1.0, 4.0, 1.0, 2.0, 4.0, 8.0]));
        vec![s.clone().case("plain"), s.reals(&[0.1, 0.2, 0.3, 0.4]).reals(&[1.0, 2.0, 3.0, 4.0]).case("scaled")]
    }
}

op! {
    /// The boxes that differ from `anchor_box` as `deltas` says (see `BoundingBoxEncode`), inside of an image of `max_shape`
    /// (height, width). Ratios of sizes are at most `1 / wh_ratio_clip` and at least `wh_ratio_clip`. Floats `[n, 4]`.
    classic BoundingBoxDecode {
        anchor_box: Operand,
        deltas: Operand,
        max_shape: Option<Ints>,
        means: Vec<f64> = vec![0.0; 4],
        stds: Vec<f64> = vec![1.0; 4],
        wh_ratio_clip: f64 = 0.016,
    }
}

impl BoundingBoxDecode {
    /// The bottom and right, if they are limited.
    fn last(&self) -> Result<Option<[f64; 2]>, OpError> {
        match self.max_shape.as_deref() {
            None => Ok(None),
            Some([h, w]) => Ok(Some([*h as f64, *w as f64])),
            Some(other) => Err(OpError::Invalid(format!("expected height and width, found {other:?}"))),
        }
    }

    fn results(&self) -> Result<Vec<Tensor>, OpError> {
        let (means, stds, last) = (four(&self.means, "means")?, four(&self.stds, "deviations")?, self.last()?);
        let (anchors, deltas) = (self.anchor_box.f64s()?, self.deltas.f64s()?);
        let most = self.wh_ratio_clip.ln().abs();
        let mut y = Vec::with_capacity(anchors.len());
        for (anchor, deltas) in anchors.as_chunks().0.iter().zip(deltas.as_chunks::<4>().0) {
            let mut own = [0.0; 4];
            let scaled = deltas.iter().zip(means).zip(stds).map(|((delta, mean), std)| delta * std + mean);
            own.iter_mut().zip(scaled).for_each(|(own, delta)| *own = delta);
            let ([x, y0, w, h], [dx, dy, dw, dh]) = (centred(*anchor), own);
            let (gx, gy) = (x + w * dx, y0 + h * dy);
            let (gw, gh) = (w * dw.clamp(-most, most).exp(), h * dh.clamp(-most, most).exp());
            let mut corners = [gx - gw / 2.0 + 0.5, gy - gh / 2.0 + 0.5, gx + gw / 2.0 - 0.5, gy + gh / 2.0 - 0.5];
            if let Some([bottom, right]) = last {
                let limits = [right, bottom, right, bottom];
                corners.iter_mut().zip(limits).for_each(|(corner, most)| *corner = corner.min(most).max(0.0));
            }
            y.extend(corners);
        }
        Ok(vec![Tensor::from_f64s(self.anchor_box.dtype(), self.anchor_box.shape(), &y)?])
    }
}

impl Operator for BoundingBoxDecode {
    fn rule(&self) -> Result<impl Rule, OpError> {
        let facts = || {
            check_boxes(&self.anchor_box, &self.deltas)?;
            four(&self.means, "means")?;
            four(&self.stds, "deviations")?;
            self.last()?;
            ensure!(
                (f64::MIN_POSITIVE..=f64::MAX).contains(&self.wh_ratio_clip),
                "expected a positive wh_ratio_clip, found {}",
                self.wh_ratio_clip
            );
            Ok(vec![self.anchor_box.fact.clone()])
        };
        Ok(host(facts, |_| self.results()))
    }

    fn cases() -> Vec<Case> {
        let boxes = |values: [f64; 8]| cycle(DType::F32, &[2, 4], &values);
        let s = sample().arg(boxes([4.0, 1.0, 2.0, 1.0, 2.0, 2.0, 2.0, 3.0]));
        let s = s.arg(boxes([3.0, 1.0, 2.0, 2.0, 1.0, 2.0, 1.0, 4.0])).ints(&[768, 1280]);
        vec![s.clone().case("plain"), s.reals(&[0.1, 0.2, 0.3, 0.4]).reals(&[1.0, 2.0, 3.0, 0.5]).case("scaled")]
    }
}

op! {
    /// Whether each box of `bboxes` (`[n, 4]`: left, top, right, bottom) lies in the image that `img_metas` (height, width,
    /// ratio) tells: from 0 to `width · ratio − 1` and `height · ratio − 1`. NaN does not.
    object CheckValid { bboxes: Operand, img_metas: Operand }
}

impl Operator for CheckValid {
    fn rule(&self) -> Result<impl Rule, OpError> {
        let (boxes, metas) = (&self.bboxes, &self.img_metas);
        let facts = move || {
            let fits = boxes.dtype().is_float() && metas.dtype().is_float() && metas.count() == 3;
            match boxes.shape() {
                [n, 4] if fits => Ok(vec![Fact::new(DType::Bool, &[*n])]),
                _ => Err(OpError::Invalid(format!(
                    "expected floats [n, 4] and [3], found {} and {}",
                    boxes.fact, metas.fact
                ))),
            }
        };
        let results = move |_| {
            let (values, metas) = (boxes.f64s()?, metas.f64s()?);
            let [h, w, ratio] = [*item(&metas, 0)?, *item(&metas, 1)?, *item(&metas, 2)?];
            let inside = |[left, top, right, bottom]: &[f64; 4]| {
                *left >= 0.0
                    && *top >= 0.0
                    && *right < w * ratio
                    && *bottom < h * ratio
                    && *right <= w * ratio - 1.0
                    && *bottom <= h * ratio - 1.0
            };
            let y: Vec<bool> = values.as_chunks().0.iter().map(inside).collect();
            Ok(vec![Tensor::from_bools(&[y.len()], &y)?])
        };
        Ok(host(facts, results))
    }

    fn cases() -> Vec<Case> {
        let boxes = [0.0, 0.0, 11.0, 4.0, 0.0, 0.0, 11.5, 4.0, 0.0, 0.0, 4.0, 11.0, -0.5, 0.0, 1.0, 1.0];
        vec![
            sample()
                .arg(cycle(DType::F32, &[4, 4], &boxes))
                .arg(cycle(DType::F32, &[3], &[3.0, 6.0, 2.0]))
                .exact("four"),
        ]
    }
}

/// The numbers of scores above `least`, the largest first; equal ones keep their order.
fn ranked(scores: &[f64], least: f64) -> Vec<usize> {
    let mut order: Vec<usize> = (0..scores.len()).filter(|i| scores.get(*i).is_some_and(|s| *s > least)).collect();
    order.sort_by(|a, b| scores.get(*b).zip(scores.get(*a)).map_or(std::cmp::Ordering::Equal, |(b, a)| b.total_cmp(a)));
    order
}

/// At most `most` of these, each of which `overlaps` none that is kept before it.
fn kept(order: Vec<usize>, most: usize, overlaps: impl Fn(usize, usize) -> bool) -> Result<Vec<usize>, OpError> {
    let mut kept: Vec<usize> = Vec::new();
    for i in order {
        bounds::check()?;
        if kept.len() < most && !kept.iter().any(|better| overlaps(*better, i)) {
            kept.push(i);
        }
    }
    Ok(kept)
}

op! {
    /// The boxes that are kept when those with higher scores come first: scores are above `score_threshold`, and `overlaps`
    /// (`[n, n]`) with none that is kept are above `overlap_threshold`; at most `max_output_size`. Their numbers, as `i32`.
    object NonMaxSuppressionWithOverlaps {
        overlaps: Operand,
        scores: Operand,
        max_output_size: i64,
        overlap_threshold: Operand,
        score_threshold: Operand,
    }
}

impl NonMaxSuppressionWithOverlaps {
    fn results(&self) -> Result<Vec<Tensor>, OpError> {
        let (overlaps, scores) = (self.overlaps.f64s()?, self.scores.f64s()?);
        let (limit, least) = (only(self.overlap_threshold.f64s()?)?, only(self.score_threshold.f64s()?)?);
        let most = size(self.max_output_size, "max_output_size")?;
        let n = scores.len();
        let beaten = |better: usize, i: usize| overlaps.get(better * n + i).is_some_and(|x| *x > limit);
        let y: Vec<i64> = kept(ranked(&scores, least), most, beaten)?.into_iter().map(|i| i as i64).collect();
        Ok(vec![Tensor::from_i64s(DType::I32, &[y.len()], &y)?])
    }
}

impl Operator for NonMaxSuppressionWithOverlaps {
    fn rule(&self) -> Result<impl Rule, OpError> {
        let (x, scores) = (&self.overlaps, &self.scores);
        let n = scores.count();
        ensure!(
            scores.rank() == 1 && x.shape() == [n, n],
            "expected scores [n] and overlaps [n, n], found {} and {}",
            scores.fact,
            x.fact
        );
        single(&self.overlap_threshold)?;
        single(&self.score_threshold)?;
        let operands = vec![x, scores, &self.overlap_threshold, &self.score_threshold];
        Ok(ByData { operands, results: || self.results() })
    }

    fn cases() -> Vec<Case> {
        let s = sample().arg(cycle(DType::F32, &[3, 3], &[1.0, 0.9, 0.1, 0.9, 1.0, 0.2, 0.1, 0.2, 1.0]));
        let s = s.arg(cycle(DType::F32, &[3], &[0.5, 0.9, 0.3]));
        vec![s.clone().int(3).real(0.5).real(0.1).exact("two"), s.int(1).real(0.5).real(0.1).exact("one")]
    }
}

op! {
    /// The best boxes of each image over all classes. `boxes`: `[n, boxes, q, 4]` (two corners, rows first), one for all classes
    /// (`q` is 1) or one for each; `scores`: `[n, boxes, classes]`. In each class at most `max_output_size_per_class` boxes are
    /// kept whose scores are above `score_threshold` and whose areas in common with better ones are at most `iou_threshold` of
    /// both; of all, the `max_total_size` best (with `pad_per_class` at most as many as all classes may have). Results: boxes,
    /// which `clip_boxes` limits to 0 to 1, scores, classes, all filled up with 0, and how many there are, as `i32`.
    classic CombinedNonMaxSuppression {
        boxes: Operand,
        scores: Operand,
        max_output_size_per_class: i64 as Input,
        max_total_size: i64 as Input,
        iou_threshold: Operand,
        score_threshold: Operand,
        pad_per_class: bool = false,
        clip_boxes: bool = true,
    }
}

/// The area that two boxes have in common, by that of both.
fn iou(a: [f64; 4], b: [f64; 4]) -> f64 {
    let sides = |[y0, x0, y1, x1]: [f64; 4]| [y0.min(y1), x0.min(x1), y0.max(y1), x0.max(x1)];
    let (a, b) = (sides(a), sides(b));
    let area = |[y0, x0, y1, x1]: [f64; 4]| (y1 - y0) * (x1 - x0);
    let common = (a[2].min(b[2]) - a[0].max(b[0])).max(0.0) * (a[3].min(b[3]) - a[1].max(b[1])).max(0.0);
    if area(a) <= 0.0 || area(b) <= 0.0 { 0.0 } else { common / (area(a) + area(b) - common) }
}

impl CombinedNonMaxSuppression {
    /// Images, boxes, boxes for each, classes and how many are kept of all.
    fn sizes(&self) -> Result<[usize; 5], OpError> {
        let (x, scores) = (&self.boxes, &self.scores);
        let ([n, count, q, four], [images, each, classes]) = (x.fact.ranked()?, scores.fact.ranked()?);
        let fits = four == 4 && n == images && count == each && (q == 1 || q == classes);
        ensure!(fits, "expected boxes for the scores {}, found {}", scores.fact, x.fact);
        ensure!(
            x.dtype().is_float() && x.dtype() == scores.dtype(),
            "expected floats of one type, found {} and {}",
            x.fact,
            scores.fact
        );
        single(&self.iou_threshold)?;
        single(&self.score_threshold)?;
        let per_class = size(self.max_output_size_per_class, "max_output_size_per_class")?;
        let total = size(self.max_total_size, "max_total_size")?;
        let all = if self.pad_per_class { total.min(per_class.saturating_mul(classes)) } else { total };
        Ok([n, count, q, classes, all])
    }

    fn facts(&self) -> Result<Vec<Fact>, OpError> {
        let ([n, .., all], d) = (self.sizes()?, self.boxes.dtype());
        Ok(vec![result(d, &[n, all, 4])?, result(d, &[n, all])?, result(d, &[n, all])?, Fact::new(DType::I32, &[n])])
    }

    fn results(&self, facts: Vec<Fact>) -> Result<Vec<Tensor>, OpError> {
        let ([n, count, q, classes, all], d) = (self.sizes()?, self.boxes.dtype());
        let (boxes, scores) = (self.boxes.f64s()?, self.scores.f64s()?);
        let (boxes, _) = boxes.as_chunks::<4>();
        let (limit, least) = (only(self.iou_threshold.f64s()?)?, only(self.score_threshold.f64s()?)?);
        let per_class = size(self.max_output_size_per_class, "max_output_size_per_class")?;
        let _room = bounds::room(n.saturating_mul(all).saturating_mul(6 * bounds::NUMBERS))?;
        let mut lists = [vec![0.0; n * all * 4], vec![0.0; n * all], vec![0.0; n * all]];
        let mut found = Vec::with_capacity(n);
        for image in 0..n {
            let at = |i: usize, class: usize| (image * count + i) * q + class % q;
            let mut best: Vec<(f64, usize, usize)> = Vec::new();
            for class in 0..classes {
                let own: Vec<f64> =
                    (0..count).filter_map(|i| scores.get((image * count + i) * classes + class).copied()).collect();
                let beaten = |a: usize, b: usize| {
                    boxes.get(at(a, class)).zip(boxes.get(at(b, class))).is_some_and(|(a, b)| iou(*a, *b) > limit)
                };
                for i in kept(ranked(&own, least), per_class, beaten)? {
                    best.push((*item(&own, i)?, class, i));
                }
            }
            best.sort_by(|a, b| b.0.total_cmp(&a.0));
            best.truncate(all);
            for (k, (score, class, i)) in best.iter().enumerate() {
                let place = image * all + k;
                for (corner, x) in item(boxes, at(*i, *class))?.iter().enumerate() {
                    *item_mut(&mut lists[0], place * 4 + corner)? =
                        if self.clip_boxes { x.clamp(0.0, 1.0) } else { *x };
                }
                *item_mut(&mut lists[1], place)? = *score;
                *item_mut(&mut lists[2], place)? = *class as f64;
            }
            found.push(best.len() as i64);
        }
        let mut y = Vec::new();
        for (fact, list) in facts.iter().zip(&lists) {
            y.push(Tensor::from_f64s(d, &fact.shape, list)?);
        }
        y.push(Tensor::from_i64s(DType::I32, &[n], &found)?);
        Ok(y)
    }
}

impl Operator for CombinedNonMaxSuppression {
    fn rule(&self) -> Result<impl Rule, OpError> {
        Ok(host(|| self.facts(), |facts| self.results(facts)))
    }

    fn cases() -> Vec<Case> {
        let boxes = [0.4, 0.1, 0.9, 0.2, 0.4, 0.1, 0.8, 0.25, 0.0, 0.0, 1.0, 1.5];
        let s = sample().arg(cycle(DType::F32, &[1, 3, 1, 4], &boxes));
        let s = s.arg(cycle(DType::F32, &[1, 3, 2], &[0.9, 0.3, 0.8, 0.2, 0.1, 0.7])).int(2);
        let each =
            sample().arg(between(DType::F32, &[2, 4, 2, 4], -0.5, 1.5)).arg(between(DType::F32, &[2, 4, 2], 0.0, 1.0));
        vec![
            s.clone().int(3).real(0.5).real(0.25).exact("shared boxes"),
            each.int(2)
                .int(9)
                .real(0.5)
                .arg(filled(DType::F32, &[], |_| 0.25))
                .flag(true)
                .flag(false)
                .exact("own boxes"),
        ]
    }
}
