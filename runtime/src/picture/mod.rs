//! Pictures as inputs.
//!
//! [`tensor`] and [`batch`] make an input of pictures by [`Options`]. A model that was exported with a dataset says what its
//! operators do to a picture; [`input`] and [`prepare`] do the same.

mod jpeg;
mod options;
mod orientation;
mod target;

use std::io::{self, Cursor};
use std::path::Path;

use ::image::metadata::Orientation;
use ::image::{DynamicImage, ImageDecoder, ImageError, ImageFormat, ImageReader, Limits, RgbImage};
use mindir_graph::graph::Model;
use mindir_graph::preprocess::{Picture, Preprocess};
use mindir_graph::{Dim, Fact, OpError, Spec, Tensor, TensorError, aligned_copy};

pub use options::{Channels, Layout, Options};
use target::Target;

/// Largest picture that is decoded, in bytes of pixels.
const MOST: u64 = 1 << 29;

/// Formats that are decoded. Of several frames the first is taken.
const FORMATS: [ImageFormat; 6] =
    [ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::Bmp, ImageFormat::Gif, ImageFormat::WebP, ImageFormat::Tiff];

/// Endings of the names of files that [`read`] decodes. The contents decide on the format.
pub const ENDINGS: [&str; 8] = ["png", "jpg", "jpeg", "bmp", "gif", "webp", "tif", "tiff"];

/// Why a picture did not become an input.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum PictureError {
    /// The bytes are no picture, or one that is too large.
    #[error(transparent)]
    Decode(#[from] io::Error),
    /// The model says nothing about pictures.
    #[error("the model records no preprocessing of pictures")]
    NotRecorded,
    /// A recorded transform is not known, or does not fit the picture.
    #[error(transparent)]
    Transform(#[from] OpError),
    /// The shape of the input is not known.
    #[error("an input {0}: its shape is not known")]
    NoShape(Box<Spec>),
    /// The input has not the dimensions of a picture.
    #[error("an input {0}: a picture fills [N,C,H,W], [N,H,W,C] or one of these without N, where C is 1 or 3")]
    Dims(Box<Spec>),
    /// Neither the input nor the options say how many channels there are.
    #[error("an input {0}: the number of channels is not known")]
    NoChannels(Box<Spec>),
    /// The input takes another number of pictures at once.
    #[error("an input {spec} takes {expected} at once, found {found}")]
    Count {
        /// The input.
        spec: Box<Spec>,
        /// Pictures that it takes.
        expected: usize,
        /// Pictures that there are.
        found: usize,
    },
    /// The input has another number of channels.
    #[error("an input {spec}: it has {expected} channels, {found} were asked for")]
    Channels {
        /// The input.
        spec: Box<Spec>,
        /// Its channels.
        expected: usize,
        /// Those of the options.
        found: usize,
    },
    /// A list of the options has neither one number nor one for each channel.
    #[error("{what} has {found} numbers for {channels} channels")]
    Numbers {
        /// The field of [`Options`].
        what: &'static str,
        /// Its length.
        found: usize,
        /// Channels of the input.
        channels: usize,
    },
    /// A picture is of another size, and is not to be resized.
    #[error("expected a picture of {}×{} pixels, found {}×{}", .expected[1], .expected[0], .found[1], .found[0])]
    Size {
        /// The number of the picture.
        picture: usize,
        /// Rows and columns of the input, or of the first picture.
        expected: [usize; 2],
        /// Rows and columns of the picture.
        found: [usize; 2],
    },
    /// Pictures of one batch came out unlike each other.
    #[error("expected a picture that becomes {expected} as the first does, found {found}")]
    Unlike {
        /// The number of the picture.
        picture: usize,
        /// What the first picture became.
        expected: Fact,
        /// What this one became.
        found: Fact,
    },
    /// The input would have too many numbers.
    #[error("an input of {} numbers is too large", .dims.iter().map(usize::to_string).collect::<Vec<_>>().join(" × "))]
    TooLarge {
        /// Its dimensions.
        dims: Vec<usize>,
    },
    /// The input cannot be made.
    #[error(transparent)]
    Tensor(#[from] TensorError),
}

/// Whether the contents of a file begin as a picture that [`decode`] knows.
pub fn is_picture(bytes: &[u8]) -> bool {
    ::image::guess_format(bytes).is_ok_and(|format| FORMATS.contains(&format))
}

/// Pixels of a picture file in one of the formats of [`ENDINGS`] as they are stored: 8 bits, red first. Transparency is
/// dropped, so that pixels have the colour below it, and of several frames the first is taken. MindSpore reads a file so too; what
/// people see is [`read_upright`].
///
/// # Errors
/// The file system's; [`io::ErrorKind::InvalidData`] if the file is no such picture, [`io::ErrorKind::Unsupported`] if it is one of
/// another format or too large. What the decoder said is the source.
pub fn read(path: impl AsRef<Path>) -> io::Result<Picture> {
    decode(&std::fs::read(path)?)
}

/// As [`read`], turned and mirrored as the file's EXIF orientation says.
///
/// # Errors
/// As [`read`].
pub fn read_upright(path: impl AsRef<Path>) -> io::Result<Picture> {
    decode_upright(&std::fs::read(path)?)
}

/// As [`read`], of the contents of a file.
///
/// # Errors
/// As [`read`].
pub fn decode(bytes: &[u8]) -> io::Result<Picture> {
    decoded(bytes, false)
}

/// As [`read_upright`], of the contents of a file.
///
/// # Errors
/// As [`read`].
pub fn decode_upright(bytes: &[u8]) -> io::Result<Picture> {
    decoded(bytes, true)
}

/// Bytes of the pixels of a picture file while they are decoded, as the head of the file says.
///
/// # Errors
/// As [`read`].
pub fn memory(bytes: &[u8]) -> io::Result<u64> {
    let format = format(bytes)?;
    Ok(decoder(bytes, format)?.total_bytes())
}

fn decoded(bytes: &[u8], upright: bool) -> io::Result<Picture> {
    let format = format(bytes)?;
    let decoder = decoder(bytes, format)?;
    let pixels = pixels(bytes, format, decoder, upright).map_err(|e| undecoded(format, e))?;
    let (w, h) = (pixels.width() as usize, pixels.height() as usize);
    let wrong = |e: OpError| io::Error::new(io::ErrorKind::InvalidData, e);
    Picture::new(h, w, 3, pixels.into_raw()).map_err(wrong)
}

fn undecoded(format: ImageFormat, source: ImageError) -> io::Error {
    let kind = match source {
        ImageError::Unsupported(_) | ImageError::Limits(_) => io::ErrorKind::Unsupported,
        _ => io::ErrorKind::InvalidData,
    };
    io::Error::new(kind, Undecoded { format: ending(format), source })
}

/// The format of a picture that can be decoded.
fn format(bytes: &[u8]) -> io::Result<ImageFormat> {
    let refused = |kind, found: &str| {
        let text = format!("expected a picture ({}), found {found}", ENDINGS.join(", "));
        Err(io::Error::new(kind, text))
    };
    match ::image::guess_format(bytes) {
        Ok(format) if FORMATS.contains(&format) => Ok(format),
        Ok(other) => refused(io::ErrorKind::Unsupported, &format!("one in the format {}", ending(other))),
        Err(_) => refused(io::ErrorKind::InvalidData, "something else"),
    }
}

/// How files of a format end.
fn ending(format: ImageFormat) -> &'static str {
    format.extensions_str().first().copied().unwrap_or_default()
}

/// What decodes a picture that is not too large.
fn decoder(bytes: &[u8], format: ImageFormat) -> io::Result<impl ImageDecoder> {
    let limited = || {
        let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
        let mut limits = Limits::default();
        limits.max_alloc = Some(MOST);
        reader.limits(limits.clone());
        let mut decoder = reader.into_decoder()?;
        limits.reserve(decoder.total_bytes())?;
        decoder.set_limits(limits)?;
        Ok(decoder)
    };
    let decoder = limited().map_err(|e| undecoded(format, e))?;
    let (w, h) = decoder.dimensions();
    let kind = if w == 0 || h == 0 { io::ErrorKind::InvalidData } else { io::ErrorKind::Unsupported };
    Picture::fits(h as usize, w as usize, 3).map_err(|e| io::Error::new(kind, e))?;
    Ok(decoder)
}

fn pixels(
    bytes: &[u8],
    format: ImageFormat,
    mut decoder: impl ImageDecoder,
    upright: bool,
) -> Result<RgbImage, ImageError> {
    if format == ImageFormat::Jpeg && !jpeg::is_whole(bytes) {
        // The decoder would make up what is missing.
        return Err(ImageError::IoError(io::ErrorKind::UnexpectedEof.into()));
    }
    let stated = match format {
        _ if !upright => None,
        ImageFormat::Tiff => decoder.orientation().ok(),
        _ => orientation::of(bytes, format),
    };
    let mut picture = DynamicImage::from_decoder(decoder)?;
    picture.apply_orientation(stated.unwrap_or(Orientation::NoTransforms));
    Ok(picture.into_rgb8())
}

/// Why a picture was not decoded.
#[derive(Debug, thiserror::Error)]
#[error("expected a picture of at most {} MiB in the format {format}, found {}", MOST >> 20, found(source))]
struct Undecoded {
    format: &'static str,
    source: ImageError,
}

fn found(error: &ImageError) -> &'static str {
    match error {
        ImageError::Unsupported(_) => "a variant of it that is not supported",
        ImageError::Limits(_) => "a larger one",
        ImageError::IoError(_) => "one that ends early",
        _ => "damaged contents",
    }
}

/// A picture as an input of this element type and these dimensions: `[N, C, H, W]`, `[N, H, W, C]`, or one of them without
/// `N`.
///
/// # Errors
/// What the input does not take.
pub fn tensor(picture: &Picture, options: &Options, spec: &Spec) -> Result<Tensor, PictureError> {
    batch(std::slice::from_ref(picture), options, spec)
}

/// As [`tensor`], of several pictures, which are one batch: the first dimension is their number.
///
/// # Errors
/// What the input does not take; a picture that is of another size than the first, unless they are resized.
pub fn batch(pictures: &[Picture], options: &Options, spec: &Spec) -> Result<Tensor, PictureError> {
    Target::of(spec, options, pictures)?.tensor(pictures)
}

/// What [`batch`] makes of pictures.
///
/// # Errors
/// What the input does not take; [`PictureError::TooLarge`].
pub fn fact(pictures: &[Picture], options: &Options, spec: &Spec) -> Result<Fact, PictureError> {
    Target::of(spec, options, pictures)?.fact(pictures.len())
}

/// The first input of `model` from a picture, prepared as the model records it.
///
/// # Errors
/// [`PictureError::NotRecorded`]; [`PictureError::Transform`] naming every transform that is not known.
pub fn input(model: &Model, picture: Picture) -> Result<Tensor, PictureError> {
    Ok(model.picture().ok_or(PictureError::NotRecorded)?.run(picture)?)
}

/// Pictures as one batch, each prepared as a model records it; see [`Model::picture`].
///
/// # Errors
/// [`PictureError::Transform`] naming every transform that is not known; [`PictureError::Unlike`] if the pictures have other
/// sizes in the end; [`PictureError::Count`] if `spec`, which is the input's, has another length than there are pictures.
pub fn prepare(
    recorded: &Preprocess,
    pictures: impl IntoIterator<Item = Picture>,
    spec: &Spec,
) -> Result<Tensor, PictureError> {
    let tensors = pictures.into_iter().map(|picture| recorded.run(picture)).collect::<Result<Vec<_>, _>>()?;
    // A model may be run with another length than it was exported with, so that of one picture is no question.
    if tensors.len() != 1 {
        target::count(spec, spec.dims.as_ref().and_then(|d| d.first()).map(Dim::size), tensors.len())?;
    }
    stack(tensors)
}

/// Batches of one as one batch.
fn stack(mut tensors: Vec<Tensor>) -> Result<Tensor, PictureError> {
    let Some(first) = tensors.first() else { return Err(OpError::Invalid("there is no picture".into()).into()) };
    if tensors.len() == 1 {
        return Ok(tensors.swap_remove(0));
    }
    let expected = first.fact();
    let unlike = tensors.iter().map(Tensor::fact).enumerate().find(|(_, found)| *found != expected);
    if let Some((picture, found)) = unlike {
        return Err(PictureError::Unlike { picture, expected, found });
    }
    let bytes: Vec<u8> = tensors.iter().flat_map(|t| t.bytes().iter().copied()).collect();
    let dims: Vec<usize> = [tensors.len()].into_iter().chain(expected.shape.iter().skip(1).copied()).collect();
    Ok(Tensor::from_bytes(expected.dtype, &dims, aligned_copy(&bytes)?)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_ending_is_that_of_a_format_that_is_decoded() {
        for ending in ENDINGS {
            let format = ImageFormat::from_extension(ending).unwrap();
            assert!(FORMATS.contains(&format) && format.reading_enabled(), "{ending}");
        }
        for format in FORMATS {
            assert!(format.extensions_str().iter().any(|e| ENDINGS.contains(e)), "{format:?}");
        }
    }

    #[test]
    fn every_format_is_decoded_by_its_contents() {
        let pixels = ::image::RgbImage::from_fn(3, 2, |x, y| ::image::Rgb([100 * x as u8, 200 * y as u8, 50]));
        for format in FORMATS.into_iter().filter(|f| f.writing_enabled()) {
            let mut bytes = Cursor::new(Vec::new());
            pixels.write_to(&mut bytes, format).unwrap();
            let picture = decode(bytes.get_ref()).unwrap();
            assert_eq!((picture.h, picture.w, picture.c), (2, 3, 3), "{format:?}");
        }
        assert!(decode(b"nothing of the kind").unwrap_err().to_string().contains("tiff"));
    }

    #[test]
    fn what_cannot_be_decoded_says_why() {
        let mut bytes = Cursor::new(Vec::new());
        ::image::RgbImage::new(9, 9).write_to(&mut bytes, ImageFormat::Png).unwrap();
        let mut bytes = bytes.into_inner();
        bytes.truncate(40);
        let error = decode(&bytes).unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
        assert!(error.to_string().contains("in the format png, found one that ends early"), "{error}");
        let said = std::error::Error::source(&error).unwrap().to_string();
        assert!(!error.to_string().contains(&said), "{said}");
        let other = decode(b"\0\0\x01\0\x01\0\0\0").unwrap_err();
        assert_eq!(other.kind(), io::ErrorKind::Unsupported);
        assert!(other.to_string().contains("found one in the format ico"), "{other}");
    }

    /// A picture of 16×8 pixels, the left half white, in a format.
    fn halves(format: ImageFormat) -> Vec<u8> {
        let mut file = Cursor::new(Vec::new());
        RgbImage::from_fn(16, 8, |x, _| ::image::Rgb([if x < 8 { 255 } else { 0 }; 3]))
            .write_to(&mut file, format)
            .unwrap();
        file.into_inner()
    }

    /// An EXIF block with the orientation 6 (the right side is the top of what people see), as a number of so many bytes.
    fn exif(bytes: u8) -> Vec<u8> {
        let kind = if bytes == 4 { 4 } else { 3 };
        [&b"II*\0\x08\0\0\0\x01\0"[..], &[0x12, 1, kind, 0, 1, 0, 0, 0, 6, 0, 0, 0], &[0; 4]].concat()
    }

    fn jpeg_with(exif: &[u8]) -> Vec<u8> {
        let jpeg = halves(ImageFormat::Jpeg);
        let (start, rest) = jpeg.split_at(2);
        let length = (exif.len() as u16 + 8).to_be_bytes();
        [start, &[0xff, 0xe1], &length, b"Exif\0\0", exif, rest].concat()
    }

    /// EXIF behind the pixels.
    fn png_with(exif: &[u8]) -> Vec<u8> {
        let png = halves(ImageFormat::Png);
        let (start, end) = png.split_at(png.len() - 12);
        [start, &(exif.len() as u32).to_be_bytes(), b"eXIf", exif, &[0; 4], end].concat()
    }

    /// An animation of one frame.
    fn webp_with(exif: &[u8]) -> Vec<u8> {
        let webp = halves(ImageFormat::WebP);
        let chunk = |name: &[u8], contents: &[u8]| {
            [name, &(contents.len() as u32).to_le_bytes(), contents, &[0; 1][..contents.len() % 2]].concat()
        };
        let frame = [&[0; 6][..], &[15, 0, 0, 7, 0, 0, 1, 0, 0, 0], &webp[12..]].concat();
        let chunks = [
            b"WEBP".to_vec(),
            chunk(b"VP8X", &[0x0a, 0, 0, 0, 15, 0, 0, 7, 0, 0]),
            chunk(b"ANIM", &[0; 6]),
            chunk(b"ANMF", &frame),
            chunk(b"EXIF", exif),
        ];
        chunk(b"RIFF", &chunks.concat())
    }

    #[test]
    fn orientation_turns_pictures_where_that_is_asked_for() {
        let first = |p: &Picture| match &p.pixels {
            mindir_graph::preprocess::Pixels::Bytes(bytes) => (bytes[0] > 250, bytes[bytes.len() - 1] > 250),
            mindir_graph::preprocess::Pixels::Floats(_) => (false, false),
        };
        for with in [jpeg_with, png_with, webp_with] {
            for file in [with(&exif(2)), with(&exif(4))] {
                let (stored, upright) = (decode(&file).unwrap(), decode_upright(&file).unwrap());
                assert_eq!((stored.h, stored.w, upright.h, upright.w), (8, 16, 16, 8));
                assert_eq!((first(&stored), first(&upright)), ((true, false), (true, false)));
                assert_eq!(memory(&file).unwrap(), 8 * 16 * stored.c as u64);
            }
            let none = with(&[]);
            assert_eq!(decode_upright(&none).unwrap(), decode(&none).unwrap());
        }
    }

    /// A progressive picture of 8×8 gray pixels, in two scans.
    fn progressive() -> Vec<u8> {
        let table = |class: u8| [&[0xff, 0xc4, 0, 20, class, 1][..], &[0; 16]].concat();
        let scan = |first: u8, last: u8| [0xff, 0xda, 0, 8, 1, 1, 0, first, last, 0, 0x7f];
        let head = [&[0xff, 0xd8, 0xff, 0xdb, 0, 67, 0][..], &[1; 64]].concat();
        let frame = [0xff, 0xc2, 0, 11, 8, 0, 8, 0, 8, 1, 1, 0x11, 0];
        [&head[..], &frame, &table(0), &scan(0, 0), &table(0x10), &scan(1, 63), &[0xff, 0xd9]].concat()
    }

    #[test]
    fn a_jpeg_file_that_is_cut_is_damaged() {
        for file in [halves(ImageFormat::Jpeg), jpeg_with(&exif(2)), progressive()] {
            decode(&file).unwrap();
            decode(&[&file[..], b"more"].concat()).unwrap();
            for end in 3..file.len() {
                assert_eq!(decode(&file[..end]).unwrap_err().kind(), io::ErrorKind::InvalidData, "{end}");
            }
        }
    }
}
