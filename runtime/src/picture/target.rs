//! What an input wants of pictures.

use mindir_graph::preprocess::{Picture, Pixels};
use mindir_graph::{DType, Dim, Fact, OpError, Spec, Tensor, checked_count};

use super::{Channels, Layout, Options, PictureError};

/// Most numbers that an input of pictures may have.
const MOST: usize = 1 << 28;

/// An input with all that pictures take to fill it.
pub(super) struct Target<'a> {
    options: &'a Options,
    dtype: DType,
    layout: Layout,
    batched: bool,
    channels: usize,
    /// Rows and columns.
    size: [usize; 2],
}

impl<'a> Target<'a> {
    /// What `spec` wants of pictures. Where it leaves a size open, it is that of the first.
    pub(super) fn of(spec: &Spec, options: &'a Options, pictures: &[Picture]) -> Result<Target<'a>, PictureError> {
        let spec_of = || Box::new(spec.clone());
        let dims = spec.dims.as_ref().ok_or_else(|| PictureError::NoShape(spec_of()))?;
        let sizes: Vec<Option<usize>> = dims.iter().map(Dim::size).collect();
        let (first, rest) = match sizes.as_slice() {
            [first, rest @ ..] if rest.len() == 3 => (Some(*first), rest),
            rest => (None, rest),
        };
        let &[a, b, c] = rest else { return Err(PictureError::Dims(spec_of())) };
        count(spec, first, pictures.len())?;
        let layout = options.layout.unwrap_or_else(|| suggested(a, c));
        let [c, h, w] = if layout == Layout::Nchw { [a, b, c] } else { [c, a, b] };
        let channels = channels(spec, options, c)?;
        let [rows, columns] = pictures.first().map_or([0, 0], |p| [p.h, p.w]);
        let size = [h.unwrap_or(rows), w.unwrap_or(columns)];
        let dtype = spec.dtype.unwrap_or(DType::F32);
        Ok(Target { options, dtype, layout, batched: first.is_some(), channels, size })
    }

    /// The pictures as the input.
    pub(super) fn tensor(&self, pictures: &[Picture]) -> Result<Tensor, PictureError> {
        let fact = self.fact(pictures.len())?;
        let mut numbers = Vec::with_capacity(fact.shape.iter().product());
        let normal = Normal::of(self)?;
        for (i, picture) in pictures.iter().enumerate() {
            let mut pixels = self.pixels(i, picture)?;
            pixels.iter_mut().enumerate().for_each(|(at, x)| *x = normal.of_pixel(*x, at % self.channels));
            match self.layout {
                Layout::Nhwc => numbers.extend(pixels),
                Layout::Nchw => (0..self.channels)
                    .for_each(|k| numbers.extend(pixels.iter().skip(k).step_by(self.channels).copied())),
            }
        }
        if !self.dtype.is_float() {
            numbers.iter_mut().for_each(|x| *x = x.round());
        }
        Ok(Tensor::from_vec(&fact.shape, numbers)?.cast(self.dtype)?)
    }

    /// The input that so many pictures are.
    pub(super) fn fact(&self, count: usize) -> Result<Fact, PictureError> {
        let ([h, w], c) = (self.size, self.channels);
        let one = if self.layout == Layout::Nchw { [c, h, w] } else { [h, w, c] };
        let dims: Vec<usize> = self.batched.then_some(count).into_iter().chain(one).collect();
        let fits = checked_count(&dims).is_some_and(|n| n <= MOST);
        if fits { Ok(Fact::new(self.dtype, &dims)) } else { Err(PictureError::TooLarge { dims }) }
    }

    /// The numbers of picture `i`, channels side by side, in the input's size.
    fn pixels(&self, i: usize, picture: &Picture) -> Result<Vec<f32>, PictureError> {
        let found = [picture.h, picture.w];
        let pixels = self.channels_of(picture)?;
        if found == self.size {
            return Ok(pixels);
        }
        if !self.options.resize {
            return Err(PictureError::Size { picture: i, expected: self.size, found });
        }
        Ok(bilinear(&pixels, found, self.size, self.channels))
    }

    /// The channels of a picture that the input has.
    fn channels_of(&self, picture: &Picture) -> Result<Vec<f32>, PictureError> {
        let Picture { h, w, c, pixels } = picture;
        let mut pixels: Vec<f32> = match pixels {
            Pixels::Bytes(p) => p.iter().copied().map(f32::from).collect(),
            Pixels::Floats(p) => p.clone(),
        };
        let whole = h.checked_mul(*w).and_then(|n| n.checked_mul(*c)) == Some(pixels.len()) && !pixels.is_empty();
        if !whole || !matches!(c, 1 | 3) {
            let what = format!("{} numbers are no picture of {w}×{h} pixels with {c} channels", pixels.len());
            return Err(OpError::Invalid(what).into());
        }
        match (*c, self.channels) {
            (3, 1) => pixels = pixels.chunks_exact(3).map(luminance).collect(),
            (1, 3) => pixels = pixels.into_iter().flat_map(|x| [x; 3]).collect(),
            (3, 3) if self.options.channels == Some(Channels::Bgr) => {
                pixels.chunks_exact_mut(3).for_each(|p| p.reverse());
            }
            _ => {}
        }
        Ok(pixels)
    }
}

/// Checks the number of pictures against the first dimension, if there is one.
pub(super) fn count(spec: &Spec, first: Option<Option<usize>>, found: usize) -> Result<(), PictureError> {
    let expected = match first {
        None => 1,
        Some(Some(n)) => n,
        Some(None) => found.max(1),
    };
    if found == expected { Ok(()) } else { Err(PictureError::Count { spec: Box::new(spec.clone()), expected, found }) }
}

/// The layout that the dimensions around height and width suggest.
fn suggested(first: Option<usize>, last: Option<usize>) -> Layout {
    let few = |d: Option<usize>| matches!(d, Some(1 | 3));
    if !few(first) && few(last) { Layout::Nhwc } else { Layout::Nchw }
}

fn channels(spec: &Spec, options: &Options, input: Option<usize>) -> Result<usize, PictureError> {
    let spec_of = || Box::new(spec.clone());
    match (input, options.channels.map(Channels::count)) {
        (Some(expected), Some(found)) if expected != found => {
            Err(PictureError::Channels { spec: spec_of(), expected, found })
        }
        (None, None) => Err(PictureError::NoChannels(spec_of())),
        (Some(n), _) if n != 1 && n != 3 => Err(PictureError::Dims(spec_of())),
        (n, m) => Ok(n.or(m).unwrap_or(3)),
    }
}

/// `(pixel · scale − mean) / std` for every channel.
struct Normal {
    scale: f32,
    mean: Vec<f32>,
    std: Vec<f32>,
}

impl Normal {
    fn of(target: &Target<'_>) -> Result<Normal, PictureError> {
        let Target { options, dtype, channels, .. } = target;
        let each = |what, given: &[f32], default: f32| match given {
            [] => Ok(vec![default; *channels]),
            [one] => Ok(vec![*one; *channels]),
            many if many.len() == *channels => Ok(many.to_vec()),
            many => Err(PictureError::Numbers { what, found: many.len(), channels: *channels }),
        };
        let scale = options.scale.unwrap_or(if dtype.is_float() { 1.0 / 255.0 } else { 1.0 });
        Ok(Normal { scale, mean: each("mean", &options.mean, 0.0)?, std: each("std", &options.std, 1.0)? })
    }

    fn of_pixel(&self, x: f32, channel: usize) -> f32 {
        let at = |list: &[f32], otherwise| list.get(channel).copied().unwrap_or(otherwise);
        (x * self.scale - at(&self.mean, 0.0)) / at(&self.std, 1.0)
    }
}

/// What ITU-R BT.709 says of red, green and blue, as a whole number.
fn luminance(p: &[f32]) -> f32 {
    p.iter().zip([0.2126, 0.7152, 0.0722]).map(|(x, weight)| weight * x).sum::<f32>().round()
}

/// Position and weight of the two pixels between which position `i` of `to` falls when `from` pixels are stretched over it.
fn between(i: usize, from: usize, to: usize) -> (usize, usize, f32) {
    let at = ((i as f32 + 0.5) * from as f32 / to as f32 - 0.5).clamp(0.0, (from - 1) as f32);
    let low = at as usize;
    (low, (low + 1).min(from - 1), at - low as f32)
}

fn bilinear(pixels: &[f32], [h, w]: [usize; 2], [height, width]: [usize; 2], c: usize) -> Vec<f32> {
    let pixel = |y: usize, x: usize| pixels.iter().skip((y * w + x) * c).take(c);
    let mut out = Vec::with_capacity(height * width * c);
    for y in 0..height {
        let (y0, y1, fy) = between(y, h, height);
        for x in 0..width {
            let (x0, x1, fx) = between(x, w, width);
            let corners = pixel(y0, x0).zip(pixel(y0, x1)).zip(pixel(y1, x0).zip(pixel(y1, x1)));
            out.extend(corners.map(|((a, b), (c, d))| {
                let (top, bottom) = (a + (b - a) * fx, c + (d - c) * fx);
                top + (bottom - top) * fy
            }));
        }
    }
    out
}

#[cfg(test)]
mod tests {
    use super::super::{batch, tensor};
    use super::*;

    /// Two rows of two pixels, `step` apart in red.
    fn picture(step: u8) -> Picture {
        let pixels = (0..4).flat_map(|i| [step * i, 255, 0]).collect();
        Picture::new(2, 2, 3, pixels).unwrap()
    }

    fn raw() -> Options {
        Options { scale: Some(1.0), ..Options::default() }
    }

    fn numbers(options: &Options, dims: &[usize]) -> Vec<f64> {
        tensor(&picture(10), options, &Spec::fixed(DType::F32, dims)).unwrap().to_f64s().unwrap()
    }

    #[test]
    fn layouts_and_channels() {
        assert_eq!(numbers(&raw(), &[1, 3, 2, 2])[..5], [0.0, 10.0, 20.0, 30.0, 255.0]);
        assert_eq!(numbers(&raw(), &[2, 2, 3])[..6], [0.0, 255.0, 0.0, 10.0, 255.0, 0.0]);
        let bgr = Options { channels: Some(Channels::Bgr), ..raw() };
        assert_eq!(numbers(&bgr, &[1, 2, 2, 3])[3..6], [0.0, 255.0, 10.0]);
        assert_eq!(numbers(&raw(), &[1, 1, 2, 2])[..2], [182.0, 185.0]);
        let forced = Options { layout: Some(Layout::Nhwc), resize: true, ..raw() };
        assert_eq!(numbers(&forced, &[1, 3, 1, 3]).len(), 9);
    }

    #[test]
    fn sizes_must_agree_or_be_resized() {
        let large = Spec::fixed(DType::F32, &[1, 3, 4, 4]);
        let refused = tensor(&picture(10), &raw(), &large).unwrap_err();
        assert!(matches!(refused, PictureError::Size { expected: [4, 4], found: [2, 2], .. }), "{refused}");
        let resized = Options { resize: true, ..raw() };
        assert_eq!(numbers(&resized, &[1, 3, 4, 4])[..4], [0.0, 2.5, 7.5, 10.0]);
    }

    #[test]
    fn mean_and_deviation_are_per_channel() {
        let options = Options { mean: vec![0.0, 0.5, 0.0], std: vec![1.0, 0.25, 1.0], ..Options::default() };
        assert_eq!(numbers(&options, &[1, 2, 2, 3])[1], 2.0);
        let two = Options { mean: vec![0.0, 0.5], ..Options::default() };
        let refused = tensor(&picture(1), &two, &Spec::fixed(DType::F32, &[1, 2, 2, 3])).unwrap_err();
        assert!(matches!(refused, PictureError::Numbers { what: "mean", found: 2, channels: 3 }), "{refused}");
    }

    #[test]
    fn pictures_are_a_batch_as_long_as_the_input_says() {
        let pictures = [picture(10), picture(20)];
        let open = |dtype| Spec { dtype: Some(dtype), ..Spec::fixed(DType::F32, &[2, 3, 2, 2]) };
        let mut spec = open(DType::U8);
        spec.dims.as_mut().unwrap()[0] = Dim::Unknown;
        let t = batch(&pictures, &Options::default(), &spec).unwrap();
        assert_eq!((t.dtype(), t.shape()), (DType::U8, &[2, 3, 2, 2][..]));
        assert_eq!(t.view::<u8>().unwrap()[12..16], [0, 20, 40, 60]);
        assert!(batch(&pictures, &raw(), &open(DType::F32)).is_ok());
        for dims in [&[3, 3, 2, 2][..], &[1, 3, 2, 2], &[3, 2, 2]] {
            let refused = batch(&pictures, &raw(), &Spec::fixed(DType::F32, dims)).unwrap_err();
            assert!(matches!(refused, PictureError::Count { found: 2, .. }), "{dims:?}: {refused}");
        }
        assert!(matches!(batch(&[], &raw(), &spec), Err(PictureError::Count { .. })));
    }

    #[test]
    fn a_picture_without_its_pixels_is_refused() {
        let spec = Spec::fixed(DType::F32, &[1, 3, 2, 2]);
        for (h, w, c) in [(2, 2, 3), (0, 0, 3), (1, 1, 2)] {
            let broken = Picture { h, w, c, pixels: Pixels::Bytes(vec![0; c * w.min(1)]) };
            let resized = Options { resize: true, ..raw() };
            assert!(tensor(&broken, &resized, &spec).is_err(), "{h} {w} {c}");
        }
        let huge = Spec::fixed(DType::F32, &[1, 3, 1 << 40, 1 << 40]);
        assert!(tensor(&picture(1), &Options { resize: true, ..raw() }, &huge).is_err());
    }
}
