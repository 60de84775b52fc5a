//! Preprocessing that MindSpore records in a model: what its dataset operators do to a picture before it is an input.
//!
//! A [`Preprocess`] is a list of [`Transform`]s; [`Preprocess::run`] does them to a decoded picture. Pixels of 8 bits follow
//! OpenCV's arithmetic, which MindSpore uses, bit for bit. Decoding files is not done here.

mod edges;
mod resize;

use std::fmt;
use std::sync::Arc;

use crate::{DType, OpError, Tensor, ensure};

pub use edges::Border;
pub use resize::Interpolation;

/// Most numbers that a picture may have after a transform.
const MOST: usize = 1 << 28;

/// What is done to one column of a dataset before it is an input of the model.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Preprocess {
    /// Name of the column. `image` is the one that fills the model's first input.
    pub column: Arc<str>,
    /// The transforms in order.
    pub transforms: Vec<Transform>,
}

/// One of MindSpore's vision transforms.
#[derive(Clone, Debug, PartialEq)]
pub enum Transform {
    /// A picture file to pixels of 8 bits, red first.
    Decode,
    /// To these numbers of rows and columns. One number alone is that of the shorter edge; the other follows.
    Resize(Vec<usize>, Interpolation),
    /// Cuts rows and columns from the middle; what is too small is surrounded by zeros first.
    CenterCrop([usize; 2]),
    /// Cuts rows and columns from a corner on.
    Crop {
        /// First row and column.
        corner: [usize; 2],
        /// Rows and columns.
        size: [usize; 2],
    },
    /// Adds a frame.
    Pad {
        /// Pixels at the left, top, right and bottom.
        frame: [usize; 4],
        /// What the frame holds.
        border: Border,
    },
    /// `(x − mean) / std` per channel, as `f32`.
    Normalize {
        /// One number per channel, or one for all.
        mean: Vec<f32>,
        /// One number per channel, or one for all.
        std: Vec<f32>,
        /// Whether the channels are expected last, which changes nothing here.
        channels_last: bool,
    },
    /// `x · factor + shift`, as `f32`.
    Rescale {
        /// What multiplies.
        factor: f32,
        /// What is added.
        shift: f32,
    },
    /// Left becomes right.
    HorizontalFlip,
    /// Top becomes bottom.
    VerticalFlip,
    /// Red and blue change places.
    SwapRedBlue,
    /// Channels first.
    HwcToChw,
    /// Channels first, divided by 255, of this type.
    ToTensor(DType),
    /// Another element type.
    TypeCast(DType),
    /// Something that is not known or cannot be repeated, by its name in the file.
    Other(Arc<str>),
}

/// A decoded picture.
#[derive(Clone, Debug, PartialEq)]
pub struct Picture {
    /// Rows.
    pub h: usize,
    /// Columns.
    pub w: usize,
    /// Channels.
    pub c: usize,
    /// Rows of pixels, each with its channels side by side.
    pub pixels: Pixels,
}

/// The numbers of a picture.
#[derive(Clone, Debug, PartialEq)]
pub enum Pixels {
    /// As they were decoded.
    Bytes(Vec<u8>),
    /// After a computation.
    Floats(Vec<f32>),
}

impl Preprocess {
    /// The picture as an input: a batch of one, with the dimensions and the element type that the transforms leave.
    ///
    /// # Errors
    /// [`OpError::Unsupported`] naming every transform that is not known; [`OpError::Invalid`] for one that does not fit the
    /// picture.
    pub fn run(&self, mut picture: Picture) -> Result<Tensor, OpError> {
        let unknown: Vec<&str> = self.transforms.iter().filter_map(Transform::unknown).collect();
        if !unknown.is_empty() {
            return Err(OpError::Unsupported(format!("the preprocessing has {}", unknown.join(", "))));
        }
        let (mut channels_first, mut dtype) = (false, None);
        for transform in &self.transforms {
            let spatial =
                !matches!(transform, Transform::Normalize { .. } | Transform::Rescale { .. } | Transform::TypeCast(_));
            let misplaced = spatial && channels_first;
            let failed = |e: OpError| match e {
                OpError::Invalid(what) => OpError::Invalid(format!("preprocessing with {transform}: {what}")),
                other => other,
            };
            ensure!(!misplaced, "preprocessing with {transform} after the channels came first");
            picture = transform.run(picture).map_err(failed)?;
            match transform {
                Transform::HwcToChw => channels_first = true,
                Transform::ToTensor(to) => (channels_first, dtype) = (true, Some(*to)),
                Transform::TypeCast(to) => dtype = Some(*to),
                _ => {}
            }
        }
        picture.tensor(channels_first, dtype)
    }
}

impl Transform {
    fn unknown(&self) -> Option<&str> {
        if let Transform::Other(name) = self { Some(name) } else { None }
    }

    fn run(&self, picture: Picture) -> Result<Picture, OpError> {
        let Picture { h, w, c, .. } = picture;
        match self {
            Transform::Resize(size, how) => {
                let [rows, columns] = resize::target(size, h, w)?;
                Picture::fits(rows, columns, c)?;
                resize::resize(&picture, rows, columns, *how)
            }
            Transform::CenterCrop([rows, columns]) => edges::center(picture, *rows, *columns),
            Transform::Crop { corner, size } => picture.cut(*corner, *size),
            Transform::Pad { frame, border } => edges::pad(&picture, *frame, border),
            Transform::Normalize { mean, std, .. } => {
                let each = |list: &[f32], k: usize| list.get(if list.len() == 1 { 0 } else { k }).copied();
                let complete = (0..c).all(|k| each(mean, k).is_some() && each(std, k).is_some());
                ensure!(complete, "{} and {} numbers for {c} channels", mean.len(), std.len());
                Ok(picture.map(|x, k| (x - each(mean, k).unwrap_or(0.0)) / each(std, k).unwrap_or(1.0)))
            }
            Transform::Rescale { factor, shift } => Ok(picture.map(|x, _| x * factor + shift)),
            Transform::ToTensor(_) => Ok(picture.map(|x, _| x / 255.0)),
            Transform::HorizontalFlip => Ok(picture.pick(h, w, |y, x, k| (y, w - 1 - x, k))),
            Transform::VerticalFlip => Ok(picture.pick(h, w, |y, x, k| (h - 1 - y, x, k))),
            Transform::SwapRedBlue => {
                ensure!(c == 3, "expected 3 channels, found {c}");
                Ok(picture.pick(h, w, |y, x, k| (y, x, 2 - k)))
            }
            Transform::Decode | Transform::HwcToChw | Transform::TypeCast(_) | Transform::Other(_) => Ok(picture),
        }
    }
}

impl Picture {
    /// Checks that there can be a picture of this size.
    ///
    /// # Errors
    /// [`OpError::Invalid`] if it is too large, or empty.
    pub fn fits(h: usize, w: usize, c: usize) -> Result<(), OpError> {
        let count = h.checked_mul(w).and_then(|n| n.checked_mul(c));
        ensure!(count.is_some_and(|n| n <= MOST), "a picture of {h} × {w} with {c} channels is too large");
        ensure!(h > 0 && w > 0 && c > 0, "a picture of {h} × {w} with {c} channels is empty");
        Ok(())
    }

    /// A picture of bytes.
    ///
    /// # Errors
    /// [`OpError::Invalid`] if their number is not `h · w · c`.
    pub fn new(h: usize, w: usize, c: usize, bytes: Vec<u8>) -> Result<Picture, OpError> {
        Picture::fits(h, w, c)?;
        ensure!(bytes.len() == h * w * c, "expected {} bytes, found {}", h * w * c, bytes.len());
        Ok(Picture { h, w, c, pixels: Pixels::Bytes(bytes) })
    }

    /// Every number, with its channel, through `f`.
    fn map(self, f: impl Fn(f32, usize) -> f32) -> Picture {
        let Picture { h, w, c, pixels } = self;
        let pixels = match pixels {
            Pixels::Bytes(x) => x.into_iter().enumerate().map(|(i, x)| f(f32::from(x), i % c)).collect(),
            Pixels::Floats(x) => x.into_iter().enumerate().map(|(i, x)| f(x, i % c)).collect(),
        };
        Picture { h, w, c, pixels: Pixels::Floats(pixels) }
    }

    /// A picture of `h × w` whose numbers are those at the row, column and channel that `from` says.
    #[expect(clippy::indexing_slicing, reason = "`from` gives rows, columns and channels of the picture")]
    fn pick(&self, h: usize, w: usize, from: impl Fn(usize, usize, usize) -> (usize, usize, usize)) -> Picture {
        let places = (0..h).flat_map(|y| (0..w).flat_map(move |x| (0..self.c).map(move |k| (y, x, k))));
        let at = |(y, x, k): (usize, usize, usize)| {
            let (y, x, k) = from(y, x, k);
            (y * self.w + x) * self.c + k
        };
        let pixels = match &self.pixels {
            Pixels::Bytes(p) => Pixels::Bytes(places.map(|i| p[at(i)]).collect()),
            Pixels::Floats(p) => Pixels::Floats(places.map(|i| p[at(i)]).collect()),
        };
        Picture { h, w, c: self.c, pixels }
    }

    fn cut(&self, [top, left]: [usize; 2], [h, w]: [usize; 2]) -> Result<Picture, OpError> {
        Picture::fits(h, w, self.c)?;
        let inside = |first: usize, count: usize, all: usize| first.checked_add(count).is_some_and(|end| end <= all);
        ensure!(
            inside(top, h, self.h) && inside(left, w, self.w),
            "{h} × {w} pixels from row {top}, column {left} on are not inside of {} × {}",
            self.h,
            self.w
        );
        Ok(self.pick(h, w, |y, x, k| (top + y, left + x, k)))
    }

    fn tensor(&self, channels_first: bool, dtype: Option<DType>) -> Result<Tensor, OpError> {
        let Picture { h, w, c, .. } = *self;
        let dims = if channels_first { [1, c, h, w] } else { [1, h, w, c] };
        let planes_of = if channels_first { c } else { 1 };
        let tensor = match &self.pixels {
            Pixels::Bytes(x) => Tensor::from_vec(&dims, planes(x, planes_of))?,
            Pixels::Floats(x) => Tensor::from_vec(&dims, planes(x, planes_of))?,
        };
        Ok(match dtype {
            Some(dtype) if dtype != tensor.dtype() => tensor.cast(dtype)?,
            _ => tensor,
        })
    }
}

/// Channels one after the other instead of side by side.
fn planes<T: Copy>(pixels: &[T], c: usize) -> Vec<T> {
    (0..c).flat_map(|k| pixels.iter().skip(k).step_by(c).copied()).collect()
}

impl fmt::Display for Transform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Transform::Resize(size, how) => write!(f, "Resize({size:?}, {how:?})"),
            Transform::CenterCrop(size) => write!(f, "CenterCrop({size:?})"),
            Transform::Crop { corner, size } => write!(f, "Crop({corner:?}, {size:?})"),
            Transform::Pad { frame, border } => write!(f, "Pad({frame:?}, {border:?})"),
            Transform::Normalize { mean, std, .. } => write!(f, "Normalize({mean:?}, {std:?})"),
            Transform::Rescale { factor, shift } => write!(f, "Rescale({factor}, {shift})"),
            Transform::ToTensor(dtype) => write!(f, "ToTensor({dtype})"),
            Transform::TypeCast(dtype) => write!(f, "TypeCast({dtype})"),
            Transform::Other(name) => write!(f, "{}", name.escape_debug()),
            other => write!(f, "{other:?}"),
        }
    }
}

impl fmt::Display for Preprocess {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, transform) in self.transforms.iter().enumerate() {
            write!(f, "{}{transform}", if i == 0 { "" } else { ", " })?;
        }
        Ok(())
    }
}
