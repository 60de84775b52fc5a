//! Tensors in NumPy's files: `.npy` holds one array, `.npz` several by name.
//!
//! Arrays are written row-major with the lowest byte first, and read in either order of dimensions and of bytes. bfloat16 has
//! no NumPy type: it is written as `f32`.

mod header;

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek, Write};
use std::path::Path;

use mindir_graph::{DType, Tensor};

use crate::{Printable, archive};

pub(crate) use header::Header;

/// Bytes of the longest name of an array in a `.npz` file. Archives hold names, with all that belongs to them, in 64 KiB.
pub const LONGEST_NAME: usize = 65_000;

/// Data is read in pieces of this many bytes, so that a header cannot ask for memory that the file does not fill.
const PIECE: u64 = 1 << 24;

fn bad(text: String) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text)
}

fn unsupported(text: String) -> io::Error {
    io::Error::new(io::ErrorKind::Unsupported, text)
}

/// Reads the array in a `.npy` file.
///
/// # Errors
/// The file system's; [`io::ErrorKind::InvalidData`] if the file holds something else, [`io::ErrorKind::Unsupported`] if it
/// holds elements that tensors have not.
pub fn read(path: impl AsRef<Path>) -> io::Result<Tensor> {
    read_from(BufReader::new(File::open(path)?))
}

/// Reads one array in `.npy` form.
///
/// # Errors
/// As [`read`].
pub fn read_from(mut reader: impl Read) -> io::Result<Tensor> {
    let header = Header::read(&mut reader)?;
    read_contents(&header, reader)
}

/// Reads the array that belongs to a header.
pub(crate) fn read_contents(header: &Header, mut reader: impl Read) -> io::Result<Tensor> {
    let (Element { dtype, swapped }, dims) = (Element::of(&header.kind)?, header.shape.as_slice());
    let len = mindir_graph::checked_count(dims).and_then(|n| n.checked_mul(dtype.size()));
    let len = len.ok_or_else(|| bad(format!("shape {dims:?} has too many elements")))? as u64;
    let mut data = Vec::new();
    while (data.len() as u64) < len {
        let piece = PIECE.min(len - data.len() as u64);
        if reader.by_ref().take(piece).read_to_end(&mut data)? as u64 != piece {
            return Err(bad(format!("{dtype} {dims:?} needs {len} bytes, found {}", data.len())));
        }
    }
    if let Some(number) = swapped {
        data.chunks_exact_mut(number).for_each(<[u8]>::reverse);
    }
    if header.column_major {
        data = row_major(&data, dims, dtype.size());
    }
    let data = mindir_graph::aligned_copy(&data).map_err(|e| bad(e.to_string()))?;
    Tensor::from_bytes(dtype, dims, data).map_err(|e| bad(e.to_string()))
}

/// A column-major array with its elements in row-major order.
fn row_major(data: &[u8], dims: &[usize], size: usize) -> Vec<u8> {
    let mut out = Vec::with_capacity(data.len());
    let mut index = vec![0; dims.len()];
    for _ in 0..data.len() / size {
        let at = index.iter().zip(dims).rev().fold(0, |at, (i, d)| at * d + i) * size;
        out.extend_from_slice(data.get(at..at + size).unwrap_or_default());
        for (i, d) in index.iter_mut().zip(dims).rev() {
            *i += 1;
            if *i < *d {
                break;
            }
            *i = 0;
        }
    }
    out
}

/// How the elements of an array are stored.
struct Element {
    dtype: DType,
    /// Bytes of the numbers that have their highest byte first, if they do: a complex number is two.
    swapped: Option<usize>,
}

impl Element {
    /// What NumPy's name of a type says.
    fn of(text: &str) -> io::Result<Element> {
        let (order, kind) = text.split_at_checked(1).unwrap_or_default();
        let name = match kind {
            "b1" => "bool",
            "i1" => "i8",
            "i2" => "i16",
            "i4" => "i32",
            "i8" => "i64",
            "u1" => "u8",
            "u2" => "u16",
            "u4" => "u32",
            "u8" => "u64",
            "f2" => "f16",
            "f4" => "f32",
            "f8" => "f64",
            "c8" => "c64",
            "c16" => "c128",
            _ => "",
        };
        let other = || unsupported(format!("expected numbers or truth values, found NumPy's type {}", Printable(text)));
        let dtype = DType::from_name(name).ok_or_else(other)?;
        let number = if dtype.is_complex() { dtype.size() / 2 } else { dtype.size() };
        Ok(Element { dtype, swapped: (order == ">").then_some(number) })
    }
}

/// NumPy's name of a type; bfloat16 has none and is written as `f32`.
pub(crate) fn type_of(dtype: DType) -> &'static str {
    match dtype {
        DType::Bool => "|b1",
        DType::I8 => "|i1",
        DType::I16 => "<i2",
        DType::I32 => "<i4",
        DType::I64 => "<i8",
        DType::U8 => "|u1",
        DType::U16 => "<u2",
        DType::U32 => "<u4",
        DType::U64 => "<u8",
        DType::F16 => "<f2",
        DType::F32 | DType::BF16 => "<f4",
        DType::F64 => "<f8",
        DType::C64 => "<c8",
        DType::C128 => "<c16",
    }
}

/// Writes a `.npy` file.
///
/// # Errors
/// The file system's.
pub fn write(path: impl AsRef<Path>, tensor: &Tensor) -> io::Result<()> {
    let mut file = BufWriter::new(File::create(path)?);
    write_to(&mut file, tensor)?;
    file.flush()
}

/// Writes one array in `.npy` form.
///
/// # Errors
/// The writer's.
pub fn write_to(mut writer: impl Write, tensor: &Tensor) -> io::Result<()> {
    let wide;
    let tensor = if tensor.dtype() == DType::BF16 {
        wide = tensor.cast(DType::F32).map_err(|e| bad(e.to_string()))?;
        &wide
    } else {
        tensor
    };
    write_header(&mut writer, type_of(tensor.dtype()), tensor.shape())?;
    writer.write_all(tensor.bytes())
}

/// Writes what stands before the elements of an array.
pub(crate) fn write_header(writer: &mut impl Write, kind: &str, shape: &[usize]) -> io::Result<()> {
    Header { kind: kind.into(), column_major: false, shape: shape.into() }.write(writer)
}

/// Reads every array of a `.npz` file, in the file's order, with its name.
///
/// # Errors
/// As [`read`].
pub fn read_npz(path: impl AsRef<Path>) -> io::Result<Vec<(String, Tensor)>> {
    read_npz_from(File::open(path)?)
}

/// As [`read_npz`], from a reader.
///
/// # Errors
/// As [`read`].
pub fn read_npz_from(file: impl Read + Seek) -> io::Result<Vec<(String, Tensor)>> {
    let mut zip = archive::open(file)?;
    let mut names = HashSet::new();
    let mut arrays = Vec::with_capacity(zip.len());
    for i in 0..zip.len() {
        let entry = zip.by_index(i)?;
        let name = entry.name()?.into_owned();
        let name = name.strip_suffix(".npy").unwrap_or(&name).to_string();
        if !names.insert(name.clone()) {
            return Err(bad(format!("there are several arrays {}", Printable(&name))));
        }
        let array =
            read_from(entry).map_err(|e| io::Error::new(e.kind(), format!("array {}: {e}", Printable(&name))))?;
        arrays.push((name, array));
    }
    Ok(arrays)
}

/// Writes arrays with their names to a `.npz` file, not compressed.
///
/// # Errors
/// The file system's; as [`write_npz_to`].
pub fn write_npz(path: impl AsRef<Path>, tensors: &[(String, Tensor)]) -> io::Result<()> {
    write_npz_to(BufWriter::new(File::create(path)?), tensors)
}

/// Writes named arrays in `.npz` form.
///
/// # Errors
/// The writer's; [`io::ErrorKind::InvalidInput`] if a name is longer than [`LONGEST_NAME`].
pub fn write_npz_to(writer: impl Write + Seek, tensors: &[(String, Tensor)]) -> io::Result<()> {
    if let Some((name, _)) = tensors.iter().find(|(name, _)| name.len() > LONGEST_NAME) {
        let text = format!("the name {} has more bytes than the {LONGEST_NAME} that an archive holds", Printable(name));
        return Err(io::Error::new(io::ErrorKind::InvalidInput, text));
    }
    let mut zip = zip::ZipWriter::new(Quiet { file: writer, failed: false });
    let stored = zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    for (name, tensor) in tensors {
        zip.start_file(format!("{name}.npy"), stored.large_file(tensor.bytes().len() > u32::MAX as usize))?;
        write_to(&mut zip, tensor)?;
    }
    zip.finish()?.flush()
}

/// A file that fails once: the archive writer prints what it cannot write when it is dropped.
struct Quiet<W> {
    file: W,
    failed: bool,
}

impl<W> Quiet<W> {
    fn once<T>(&mut self, otherwise: T, act: impl FnOnce(&mut W) -> io::Result<T>) -> io::Result<T> {
        if self.failed {
            return Ok(otherwise);
        }
        let result = act(&mut self.file);
        self.failed = result.is_err();
        result
    }
}

impl<W: Write> Write for Quiet<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.once(bytes.len(), |file| file.write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.once((), Write::flush)
    }
}

impl<W: Seek> Seek for Quiet<W> {
    fn seek(&mut self, to: io::SeekFrom) -> io::Result<u64> {
        self.once(0, |file| file.seek(to))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn arrays_survive() {
        let dir = std::env::temp_dir().join(format!("mindir-npy-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        let tensors = [
            Tensor::from_vec(&[2, 3], vec![1.5f32; 6]).unwrap(),
            Tensor::from_bools(&[3], &[true, false, true]).unwrap(),
            Tensor::scalar(7i64),
            Tensor::from_vec::<u8>(&[0, 4], vec![]).unwrap(),
        ];
        for t in &tensors {
            write(dir.join("t.npy"), t).unwrap();
            assert_eq!(&read(dir.join("t.npy")).unwrap(), t);
        }
        let named: Vec<_> = tensors.iter().enumerate().map(|(i, t)| (format!("t{i}"), t.clone())).collect();
        write_npz(dir.join("t.npz"), &named).unwrap();
        assert_eq!(read_npz(dir.join("t.npz")).unwrap(), named);
        std::fs::remove_dir_all(&dir).unwrap();
    }

    #[test]
    fn column_major_arrays_are_turned() {
        let columns: Vec<u8> = vec![1, 4, 2, 5, 3, 6];
        assert_eq!(row_major(&columns, &[2, 3], 1), [1, 2, 3, 4, 5, 6]);
    }

    #[test]
    fn the_order_of_bytes_makes_no_difference() {
        let array = |kind: &str, shape: &[usize], elements: &[u8]| {
            let mut bytes = Vec::new();
            write_header(&mut bytes, kind, shape).unwrap();
            bytes.extend(elements);
            read_from(bytes.as_slice()).unwrap()
        };
        let halves: Vec<u8> = [1.5f64, -2.0].into_iter().flat_map(f64::to_be_bytes).collect();
        assert_eq!(array(">f8", &[2], &halves), Tensor::vector(&[1.5f64, -2.0]));
        assert_eq!(array(">i2", &[2], &[1, 2, 0xff, 0xfe]), Tensor::vector(&[258i16, -2]));
        assert_eq!(array(">u1", &[1], &[7]), Tensor::vector(&[7u8]));
        let complex: Vec<u8> = [3f32, 4.0].into_iter().flat_map(f32::to_be_bytes).collect();
        let little: Vec<u8> = [3f32, 4.0].into_iter().flat_map(f32::to_le_bytes).collect();
        assert_eq!(array(">c8", &[1], &complex).bytes(), &little);
    }

    #[test]
    fn shapes_beyond_any_memory_are_refused() {
        for shape in [vec![1 << 40, 1 << 40, 0], vec![0, usize::MAX, 2], vec![usize::MAX, 3]] {
            let mut bytes = Vec::new();
            write_header(&mut bytes, "<f4", &shape).unwrap();
            let error = read_from(bytes.as_slice()).unwrap_err();
            assert!(error.to_string().contains("too many elements"), "{error}");
        }
    }

    #[test]
    fn archives_have_one_array_of_a_name() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("t.npz");
        let twice = [("a".to_string(), Tensor::scalar(1i64)), ("b".to_string(), Tensor::scalar(2i64))];
        write_npz(&path, &twice).unwrap();
        let bytes = std::fs::read(&path).unwrap();
        let renamed: Vec<u8> = replaced(&bytes, b"b.npy", b"a.npy");
        std::fs::write(&path, renamed).unwrap();
        let error = read_npz(&path).unwrap_err();
        assert!(error.to_string().contains("several files of one name"), "{error}");
    }

    /// `bytes` with `to` wherever `from` is.
    fn replaced(bytes: &[u8], from: &[u8; 5], to: &[u8; 5]) -> Vec<u8> {
        let mut out = bytes.to_vec();
        for at in 0..bytes.len() - from.len() {
            if &bytes[at..at + from.len()] == from {
                out[at..at + from.len()].copy_from_slice(to);
            }
        }
        out
    }

    #[test]
    fn names_that_archives_cannot_hold_are_refused() {
        let named = |len: usize| [("x".repeat(len), Tensor::scalar(1i64))];
        let mut file = io::Cursor::new(Vec::new());
        write_npz_to(&mut file, &named(LONGEST_NAME)).unwrap();
        assert_eq!(read_npz_from(file).unwrap(), named(LONGEST_NAME));
        let refused = write_npz_to(io::Cursor::new(Vec::new()), &named(LONGEST_NAME + 1)).unwrap_err();
        assert_eq!(refused.kind(), io::ErrorKind::InvalidInput);
    }

    #[test]
    fn short_files_are_refused() {
        let mut bytes = Vec::new();
        write_to(&mut bytes, &Tensor::from_vec(&[4], vec![1i32; 4]).unwrap()).unwrap();
        let error = read_from(&bytes[..bytes.len() - 1]).unwrap_err();
        assert!(error.to_string().contains("needs 16 bytes"), "{error}");
    }
}
