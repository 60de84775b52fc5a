//! How people see a picture: the orientation in the EXIF block of its file.

use ::image::ImageFormat;
use ::image::metadata::Orientation;

use super::jpeg;

/// What an EXIF block may have in front of it.
const MARK: &[u8] = b"Exif\0\0";

/// Code of the segments of a JPEG file that may hold EXIF.
const APP1: u8 = 0xe1;

/// The tag of the orientation.
const TAG: u32 = 0x112;

/// The orientation that a JPEG, PNG or WebP file states, wherever in it.
pub(super) fn of(bytes: &[u8], format: ImageFormat) -> Option<Orientation> {
    let exif = match format {
        ImageFormat::Jpeg => {
            let mut segments = jpeg::segments(bytes).filter(|(code, _)| *code == APP1);
            segments.find_map(|(_, contents)| contents.strip_prefix(MARK))
        }
        ImageFormat::Png => chunk(bytes, Chunks::Png),
        ImageFormat::WebP => chunk(bytes, Chunks::WebP),
        _ => None,
    }?;
    stated(exif.strip_prefix(MARK).unwrap_or(exif))
}

/// A format of files that are chunks.
#[derive(Clone, Copy)]
enum Chunks {
    Png,
    WebP,
}

/// The chunk with EXIF.
fn chunk(bytes: &[u8], kind: Chunks) -> Option<&[u8]> {
    let mut rest = bytes.get(if matches!(kind, Chunks::Png) { 8 } else { 12 }..)?;
    loop {
        let (a, after) = rest.split_first_chunk::<4>()?;
        let (b, contents) = after.split_first_chunk::<4>()?;
        let (name, wanted, len) = match kind {
            Chunks::Png => (b, b"eXIf", u32::from_be_bytes(*a)),
            Chunks::WebP => (a, b"EXIF", u32::from_le_bytes(*b)),
        };
        if name == wanted {
            return contents.get(..len as usize);
        }
        // A checksum follows, or what makes the length even.
        let more = if matches!(kind, Chunks::Png) { 4 } else { len as usize % 2 };
        rest = contents.get((len as usize).checked_add(more)?..)?;
    }
}

/// The orientation that an EXIF block states, as a number of two bytes or of four.
fn stated(exif: &[u8]) -> Option<Orientation> {
    let is_little = match exif.get(..4)? {
        b"II*\0" => true,
        b"MM\0*" => false,
        _ => return None,
    };
    let number = |at: usize, len: usize| {
        let bytes = exif.get(at..at.checked_add(len)?)?;
        let digit = |n: u32, byte: &u8| n << 8 | u32::from(*byte);
        Some(if is_little { bytes.iter().rev().fold(0, digit) } else { bytes.iter().fold(0, digit) })
    };
    let directory = number(4, 4)? as usize;
    let mut entries = (0..number(directory, 2)? as usize).map(|i| directory.saturating_add(2 + 12 * i));
    let entry = entries.find(|at| number(*at, 2) == Some(TAG))?;
    let len = match (number(entry + 2, 2)?, number(entry + 4, 4)?) {
        (3, 1) => 2,
        (4, 1) => 4,
        _ => return None,
    };
    Orientation::from_exif(u8::try_from(number(entry + 8, len)?).ok()?)
}
