//! Colours of images, whose last dimension holds red, green and blue, or hue, saturation and value.

use crate::op::{Case, Operand, Operator, Rule};
use crate::ops::kit::broadcasting::single;
use crate::ops::kit::host::host;
use crate::ops::kit::indices::only;
use crate::ops::kit::sample::{between, cycle, filled, sample};
use crate::{DType, Fact, OpError, Tensor, ensure, op};

/// A colour as hue from 0 to below 1, least and largest part.
fn hue([r, g, b]: [f64; 3]) -> (f64, f64, f64) {
    let (low, high) = (r.min(g).min(b), r.max(g).max(b));
    let range = high - low;
    let sixths = if range == 0.0 {
        0.0
    } else if high == r {
        (g - b) / range
    } else if high == g {
        (b - r) / range + 2.0
    } else {
        (r - g) / range + 4.0
    };
    let hue = sixths / 6.0;
    (if hue < 0.0 { hue + 1.0 } else { hue }, low, high)
}

/// How much of the range between its least and largest part each part of a colour has.
fn shares(hue: f64) -> [f64; 3] {
    let h = 6.0 * hue;
    [(h - 3.0).abs() - 1.0, 2.0 - (h - 2.0).abs(), 2.0 - (h - 4.0).abs()].map(|share| share.clamp(0.0, 1.0))
}

fn to_hsv(rgb: [f64; 3]) -> [f64; 3] {
    let (hue, low, high) = hue(rgb);
    [hue, if high > 0.0 { (high - low) / high } else { 0.0 }, high]
}

fn to_rgb([h, s, v]: [f64; 3]) -> [f64; 3] {
    shares(h).map(|share| ((share - 1.0) * s + 1.0) * v)
}

fn turned(rgb: [f64; 3], by: f64) -> [f64; 3] {
    let (hue, low, high) = hue(rgb);
    shares((hue + by).rem_euclid(1.0)).map(|share| low + share * (high - low))
}

fn saturated(rgb: [f64; 3], by: f64) -> [f64; 3] {
    let [h, s, v] = to_hsv(rgb);
    to_rgb([h, (s * by).clamp(0.0, 1.0), v])
}

/// `x`, floats with a last dimension of 3.
fn colors(x: &Operand) -> Result<Vec<Fact>, OpError> {
    let fits = x.dtype().is_float() && x.shape().last() == Some(&3);
    ensure!(fits, "expected floats with a last dimension of 3, found {}", x.fact);
    Ok(vec![x.fact.clone()])
}

/// Every colour of `x` as `f` makes it.
fn each(x: &Operand, f: impl Fn([f64; 3]) -> [f64; 3]) -> Result<Vec<Tensor>, OpError> {
    let values = x.f64s()?;
    let y: Vec<f64> = values.as_chunks().0.iter().flat_map(|color| f(*color)).collect();
    Ok(vec![Tensor::from_f64s(x.dtype(), x.shape(), &y)?])
}

macro_rules! conversion {
    ($(#[doc = $doc:literal])+ $name:ident($x:ident) = $f:expr) => {
        op! {
            $(#[doc = $doc])+
            object $name { $x: Operand }
        }

        impl Operator for $name {
            fn rule(&self) -> Result<impl Rule, OpError> {
                Ok(host(|| colors(&self.$x), |_| each(&self.$x, $f)))
            }

            fn cases() -> Vec<Case> {
                let edges = [0.25, 0.5, 0.125, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0, 0.5, 0.5, 0.25, 0.125, 0.25, 0.75];
                vec![
                    sample().arg(cycle(DType::F32, &[1, 1, 5, 3], &edges)).case("edges"),
                    sample().arg(between(DType::F32, &[2, 3, 2, 3], 0.0, 1.0)).case("images"),
                ]
            }
        }
    };
}

conversion! {
    /// Hue (0 to below 1), saturation and value of colours with red, green and blue. Floats.
    RGBToHSV(images) = to_hsv
}
conversion! {
    /// Red, green and blue of colours with hue, saturation and value. Hues below 0 or above 1 are red. Floats.
    HSVToRGB(x) = to_rgb
}

macro_rules! adjustment {
    ($(#[doc = $doc:literal])+ $name:ident($x:ident $([$old:literal])?, $by:ident) = $f:expr) => {
        op! {
            $(#[doc = $doc])+
            object $name { $x $([$old])?: Operand, $by: Operand }
        }

        impl Operator for $name {
            fn rule(&self) -> Result<impl Rule, OpError> {
                let (x, by) = (&self.$x, &self.$by);
                let facts = move || {
                    single(by)?;
                    ensure!(x.rank() >= 3, "expected images, found {}", x.fact);
                    colors(x)
                };
                let results = move |_| {
                    let adjust: fn(&Operand, f64) -> Result<Vec<Tensor>, OpError> = $f;
                    adjust(x, only(by.f64s()?)?)
                };
                Ok(host(facts, results))
            }

            fn cases() -> Vec<Case> {
                let by = |x: f64| filled(DType::F32, &[], move |_| x);
                let images = || sample().arg(between(DType::F32, &[2, 3, 2, 3], 0.0, 1.0));
                vec![images().arg(by(0.75)).case("less"), images().arg(by(-2.5)).case("below zero")]
            }
        }
    };
}

adjustment! {
    /// Images whose hues are moved on by `delta`; 1 is once around. Floats, the last dimension is red, green and blue.
    AdjustHue(images ["image"], delta) = |x, delta| each(x, |color| turned(color, delta))
}
adjustment! {
    /// Images whose saturations are multiplied by `scale`, and at most 1. Floats, the last dimension is red, green and blue.
    AdjustSaturation(images ["image"], scale) = |x, scale| each(x, |color| saturated(color, scale))
}
adjustment! {
    /// Images whose distances to the mean of each channel are multiplied by `contrast_factor`. Floats `[…, h, w, 3]`.
    AdjustContrastv2(images, contrast_factor) = contrast
}

fn contrast(x: &Operand, by: f64) -> Result<Vec<Tensor>, OpError> {
    let image: usize = x.shape().iter().rev().take(3).product();
    let mut values = x.f64s()?;
    for image in values.chunks_exact_mut(image.max(1)) {
        let (colors, _) = image.as_chunks_mut::<3>();
        let n = colors.len() as f64;
        let means: [f64; 3] = colors.iter().fold([0.0; 3], |sum, c| [sum[0] + c[0], sum[1] + c[1], sum[2] + c[2]]);
        for color in colors {
            color.iter_mut().zip(means).for_each(|(x, sum)| *x = (*x - sum / n) * by + sum / n);
        }
    }
    Ok(vec![Tensor::from_f64s(x.dtype(), x.shape(), &values)?])
}
