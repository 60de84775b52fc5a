//! What stands before the elements of an array: six bytes, a version, a length, and a dictionary as Python writes it.

use std::io::{self, Read, Write};

use super::{bad, unsupported};

const MAGIC: &[u8; 6] = b"\x93NUMPY";
/// Elements begin at a multiple of this many bytes.
const ALIGN: usize = 64;
/// Bytes before the dictionary, with a length of two bytes.
const START: usize = MAGIC.len() + 4;

/// How the elements of an array are stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    /// Byte order and type, such as `<f4`.
    pub kind: String,
    /// Whether the first dimension varies fastest.
    pub column_major: bool,
    /// Dimensions.
    pub shape: Vec<usize>,
}

impl Header {
    /// Reads up to the first element.
    ///
    /// # Errors
    /// The reader's; [`io::ErrorKind::InvalidData`] if this is no array, [`io::ErrorKind::Unsupported`] if it has no plain elements.
    pub(crate) fn read(reader: &mut impl Read) -> io::Result<Header> {
        let mut start = [0; MAGIC.len() + 2];
        fill(reader, &mut start)?;
        let [magic @ .., major, _] = &start;
        if magic != MAGIC {
            return Err(bad("expected an array of NumPy, found something else".into()));
        }
        let len = match major {
            1 => u64::from(u16::from_le_bytes(bytes(reader)?)),
            2 | 3 => u64::from(u32::from_le_bytes(bytes(reader)?)),
            other => return Err(unsupported(format!("version {other} of NumPy's arrays is not known"))),
        };
        let mut text = Vec::new();
        reader.take(len).read_to_end(&mut text)?;
        let text = std::str::from_utf8(&text).map_err(|_| bad("the array's header is no text".into()))?;
        if text.len() as u64 != len {
            return Err(bad("the array's header is cut".into()));
        }
        Text(text).dictionary()
    }

    /// Writes everything up to the first element.
    ///
    /// # Errors
    /// The writer's.
    pub(crate) fn write(&self, writer: &mut impl Write) -> io::Result<()> {
        let dims: String = self.shape.iter().map(|d| format!("{d}, ")).collect();
        let dims = if self.shape.len() == 1 { dims.trim_end() } else { dims.trim_end_matches(", ") };
        let order = if self.column_major { "True" } else { "False" };
        let text = format!("{{'descr': '{}', 'fortran_order': {order}, 'shape': ({dims}), }}", self.kind);
        let len = (START + text.len() + 1).next_multiple_of(ALIGN) - START;
        let short = u16::try_from(len).map_err(|_| bad(format!("{} dimensions are too many", self.shape.len())))?;
        writer.write_all(MAGIC)?;
        writer.write_all(&[1, 0])?;
        writer.write_all(&short.to_le_bytes())?;
        writeln!(writer, "{text:<0$}", len - 1)
    }
}

fn bytes<const N: usize>(reader: &mut impl Read) -> io::Result<[u8; N]> {
    let mut bytes = [0; N];
    fill(reader, &mut bytes)?;
    Ok(bytes)
}

/// Reads exactly `bytes`; a file that ends before is no array.
fn fill(reader: &mut impl Read, bytes: &mut [u8]) -> io::Result<()> {
    reader.read_exact(bytes).map_err(|e| match e.kind() {
        io::ErrorKind::UnexpectedEof => {
            bad("expected an array of NumPy, found a file that ends inside of its header".into())
        }
        _ => e,
    })
}

/// The rest of a header's text.
struct Text<'a>(&'a str);

impl<'a> Text<'a> {
    fn dictionary(mut self) -> io::Result<Header> {
        let (mut kind, mut column_major, mut shape) = (None, None, None);
        self.expect('{')?;
        while !self.take('}') {
            let key = self.quoted()?;
            self.expect(':')?;
            let again = match key {
                "descr" => kind.replace(self.kind()?).is_some(),
                "fortran_order" => column_major.replace(self.truth()?).is_some(),
                "shape" => shape.replace(self.shape()?).is_some(),
                _ => return Err(self.wrong("descr, fortran_order or shape")),
            };
            if again {
                return Err(bad(format!("the array's header has {key} twice")));
            }
            if !self.take(',') {
                self.expect('}')?;
                break;
            }
        }
        if !self.rest().is_empty() {
            return Err(self.wrong("its end"));
        }
        match (kind, column_major, shape) {
            (Some(kind), Some(column_major), Some(shape)) => Ok(Header { kind, column_major, shape }),
            _ => Err(bad("the array's header lacks descr, fortran_order or shape".into())),
        }
    }

    /// What follows without white space before it.
    fn rest(&mut self) -> &'a str {
        self.0 = self.0.trim_start();
        self.0
    }

    /// Goes past `c` if it follows.
    fn take(&mut self, c: char) -> bool {
        match self.rest().strip_prefix(c) {
            Some(rest) => {
                self.0 = rest;
                true
            }
            None => false,
        }
    }

    fn expect(&mut self, c: char) -> io::Result<()> {
        if self.take(c) { Ok(()) } else { Err(self.wrong(&format!("`{c}`"))) }
    }

    fn wrong(&self, expected: &str) -> io::Error {
        let found: String = self.0.chars().take(20).collect();
        bad(format!("the array's header: expected {expected}, found `{}`", found.escape_debug()))
    }

    fn quoted(&mut self) -> io::Result<&'a str> {
        let quote = if self.take('"') { '"' } else { '\'' };
        if quote == '\'' {
            self.expect('\'')?;
        }
        let (text, rest) = self.0.split_once(quote).ok_or_else(|| self.wrong("the end of a text"))?;
        self.0 = rest;
        Ok(text)
    }

    fn kind(&mut self) -> io::Result<String> {
        if self.rest().starts_with(['[', '(']) {
            return Err(unsupported("expected numbers or truth values, found a structured array".into()));
        }
        self.quoted().map(str::to_string)
    }

    fn truth(&mut self) -> io::Result<bool> {
        for (word, truth) in [("True", true), ("False", false)] {
            if let Some(rest) = self.rest().strip_prefix(word) {
                self.0 = rest;
                return Ok(truth);
            }
        }
        Err(self.wrong("True or False"))
    }

    fn shape(&mut self) -> io::Result<Vec<usize>> {
        let mut dims = Vec::new();
        self.expect('(')?;
        while !self.take(')') {
            dims.push(self.dim()?);
            if !self.take(',') {
                self.expect(')')?;
                break;
            }
        }
        Ok(dims)
    }

    /// A number; Python 2 wrote an `L` behind it.
    fn dim(&mut self) -> io::Result<usize> {
        let text = self.rest();
        let (digits, rest) = text.split_at(text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len()));
        let dim = digits.parse().map_err(|_| self.wrong("a dimension"))?;
        self.0 = rest.strip_prefix('L').unwrap_or(rest);
        Ok(dim)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(text: &str) -> Result<Header, String> {
        Text(text).dictionary().map_err(|e| e.to_string())
    }

    #[test]
    fn headers_are_read_as_python_writes_them() {
        let header = |column_major, shape: &[usize]| Header { kind: "<f4".into(), column_major, shape: shape.into() };
        for (text, expected) in [
            ("{'descr': '<f4', 'fortran_order': False, 'shape': (3, 4), }   \n", header(false, &[3, 4])),
            ("{'shape': (3L,), \"descr\": \"<f4\", 'fortran_order': True}", header(true, &[3])),
            ("{'descr': '<f4', 'fortran_order': False, 'shape': ()}", header(false, &[])),
        ] {
            assert_eq!(parsed(text), Ok(expected), "{text}");
        }
    }

    #[test]
    fn other_headers_are_refused() {
        for (text, what) in [
            ("{'descr': [('x', '<f4')], 'fortran_order': False, 'shape': (1,)}", "structured"),
            ("{'descr': '<f4', 'descr': '<f8', 'fortran_order': False, 'shape': (1,)}", "descr twice"),
            ("{'descr': '<f4', 'shape': (1,)}", "lacks"),
            ("{'descr': '<f4', 'fortran_order': 0, 'shape': (1,)}", "True or False"),
            ("{'descr': '<f4', 'fortran_order': False, 'shape': (-1,)}", "a dimension"),
            ("{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,)}", "a dimension"),
            ("{'descr': '<f4', 'fortran_order': False, 'shape': (1 2)}", "`)`"),
            ("{'descr': '<f4', 'fortran_order': False, 'shape': (1,)} {", "its end"),
            ("{'descr", "the end of a text"),
            ("", "`{`"),
        ] {
            let error = parsed(text).unwrap_err();
            assert!(error.contains(what), "{text}: {error}");
        }
    }

    #[test]
    fn what_is_written_is_read_again() {
        for shape in [vec![], vec![7], vec![0, 2], vec![1; 32]] {
            let header = Header { kind: "|b1".into(), column_major: false, shape };
            let mut bytes = Vec::new();
            header.write(&mut bytes).unwrap();
            assert_eq!(bytes.len() % ALIGN, 0);
            assert_eq!(Header::read(&mut bytes.as_slice()).unwrap(), header);
        }
    }
}
