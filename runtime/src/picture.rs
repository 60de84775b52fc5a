//! Pictures as inputs.
//!
//! A model that was exported with a dataset says what its operators do to a picture; [`input`] does the same.

use std::io::{self, Cursor};
use std::path::Path;

use ::image::{ImageReader, Limits};
use mindir_graph::graph::Model;
use mindir_graph::preprocess::Picture;
use mindir_graph::{OpError, Tensor};

/// Largest picture that is decoded, in bytes of pixels.
const MOST: u64 = 1 << 29;

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
}

/// Pixels of a PNG or JPEG file: 8 bits, red first. Transparency is dropped.
///
/// # Errors
/// The file system's; [`io::ErrorKind::InvalidData`] if the file is no such picture.
pub fn read(path: impl AsRef<Path>) -> io::Result<Picture> {
    decode(&std::fs::read(path)?)
}

/// As [`read`], of the contents of a file.
///
/// # Errors
/// [`io::ErrorKind::InvalidData`] if they are no such picture.
pub fn decode(bytes: &[u8]) -> io::Result<Picture> {
    let bad = |what: String| io::Error::new(io::ErrorKind::InvalidData, what);
    let mut reader = ImageReader::new(Cursor::new(bytes)).with_guessed_format()?;
    let mut limits = Limits::default();
    limits.max_alloc = Some(MOST);
    reader.limits(limits);
    let pixels = reader.decode().map_err(|e| bad(e.to_string()))?.to_rgb8();
    let (w, h) = (pixels.width() as usize, pixels.height() as usize);
    Picture::new(h, w, 3, pixels.into_raw()).map_err(|e| bad(e.to_string()))
}

/// The first input of `model` from a picture, prepared as the model records it.
///
/// # Errors
/// [`PictureError::NotRecorded`]; [`PictureError::Transform`] naming every transform that is not known.
pub fn input(model: &Model, picture: Picture) -> Result<Tensor, PictureError> {
    let recorded = model.picture().ok_or(PictureError::NotRecorded)?;
    Ok(recorded.run(picture)?)
}
