//! `.safetensors` files: eight bytes with the length of a header, the header as JSON, and the contents of all tensors.
//!
//! What MindSpore adds is metadata: `format` is `ms`, `crc_num` the checksum, and the name of a tensor of 4-bit integers has
//! the value `Int4`.

use std::fmt;
use std::io::{self, Write};

use bytes::Bytes;
use mindir_graph::DType;
use serde::Deserialize;
use serde::de::{Deserializer, Error as _, MapAccess, Visitor};
use serde_json::{Map, Value as Json};

use super::{Array, Checkpoint, CheckpointError, CrcFault, EntryFault, ReadOptions, Value};
use crate::element::ElementType;
use crate::error::{Excess, LoadError, TensorFault};
use crate::map::release;

/// Bytes of the header's length.
const LENGTH: usize = 8;

/// Bytes of the largest header that readers accept.
const MOST: u64 = 100_000_000;

const METADATA: &str = "__metadata__";
const CRC: &str = "crc_num";
const INT4: &str = "Int4";

/// Names of element types in the order in which tensors are written, so that each is aligned.
const TYPES: [(&str, ElementType); 16] = [
    ("U64", ElementType::Of(DType::U64)),
    ("I64", ElementType::Of(DType::I64)),
    ("F64", ElementType::Of(DType::F64)),
    ("C64", ElementType::Of(DType::C64)),
    ("F32", ElementType::Of(DType::F32)),
    ("U32", ElementType::Of(DType::U32)),
    ("I32", ElementType::Of(DType::I32)),
    ("BF16", ElementType::Of(DType::BF16)),
    ("F16", ElementType::Of(DType::F16)),
    ("U16", ElementType::Of(DType::U16)),
    ("I16", ElementType::Of(DType::I16)),
    ("F8_E4M3", ElementType::F8E4M3),
    ("F8_E5M2", ElementType::F8E5M2),
    ("I8", ElementType::Of(DType::I8)),
    ("U8", ElementType::Of(DType::U8)),
    ("BOOL", ElementType::Of(DType::Bool)),
];

/// Rank and name of the type that a tensor is written as.
fn type_of(element: ElementType) -> Option<(usize, &'static str)> {
    let stored = if element == ElementType::Qint4x2 { ElementType::Of(DType::I8) } else { element };
    TYPES.iter().enumerate().find(|(_, (_, known))| *known == stored).map(|(rank, (name, _))| (rank, *name))
}

/// The header, in the order of the file.
struct Header {
    tensors: Vec<(String, Info)>,
    metadata: Map<String, Json>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Info {
    dtype: String,
    shape: Vec<usize>,
    data_offsets: [u64; 2],
}

impl<'de> Deserialize<'de> for Header {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(HeaderVisitor)
    }
}

struct HeaderVisitor;

impl<'de> Visitor<'de> for HeaderVisitor {
    type Value = Header;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("tensors by name")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Header, A::Error> {
        let mut header = Header { tensors: Vec::new(), metadata: Map::new() };
        let mut seen = false;
        while let Some(name) = map.next_key::<String>()? {
            if name != METADATA {
                header.tensors.push((name, map.next_value()?));
            } else if std::mem::replace(&mut seen, true) {
                return Err(A::Error::custom("metadata is given twice"));
            } else {
                header.metadata = map.next_value()?;
            }
        }
        Ok(header)
    }
}

/// Reads the contents of a file, which the tensors will share. Also says whether there is a checksum.
pub(super) fn read(file: &str, bytes: &Bytes, options: &ReadOptions) -> Result<(Checkpoint, bool), CheckpointError> {
    let damaged = |what: String| CheckpointError::Format { file: file.to_string(), offset: None, what };
    let (len, rest) = bytes.split_first_chunk::<LENGTH>().ok_or_else(|| damaged("the file is cut".to_string()))?;
    let len = u64::from_le_bytes(*len);
    if len > MOST {
        let excess = Excess { what: "header (bytes)", limit: MOST, found: len, offset: Some(0) };
        return Err(LoadError::Limit { file: file.to_string(), excess }.into());
    }
    let split = usize::try_from(len).ok().and_then(|len| rest.split_at_checked(len));
    let (text, data) = split.ok_or_else(|| damaged(format!("the header of {len} bytes is cut")))?;
    let header: Header = serde_json::from_slice(text).map_err(|error| damaged(format!("the header: {error}")))?;
    let data = bytes.slice_ref(data);
    let data_at = (LENGTH + text.len()) as u64;
    check_cover(&header.tensors, data.len() as u64).map_err(|what| damaged(what.to_string()))?;
    let mut found = Checkpoint::new();
    for (name, info) in header.tensors {
        let [start, end] = info.data_offsets;
        let fault = |name, fault: EntryFault| {
            let file = file.to_string();
            CheckpointError::Entry { file, name, offset: data_at.saturating_add(start), fault }
        };
        let is_int4 = header.metadata.get(&name).and_then(Json::as_str) == Some(INT4);
        let part = data.slice(start as usize..end as usize);
        let array = array(&info, is_int4, part, options.limits.max_rank).map_err(|f| fault(name.clone(), f))?;
        found.add(name, array.into()).map_err(|name| fault(name, EntryFault::SameName))?;
    }
    let stored = header.metadata.get(CRC).and_then(|sum| sum.as_str()?.parse().ok());
    if options.verify_crc {
        verify(&found, stored).map_err(|fault| CheckpointError::Crc { file: file.to_string(), fault })?;
    }
    Ok((found, stored.is_some()))
}

fn array(info: &Info, is_int4: bool, bytes: Bytes, max_rank: usize) -> Result<Array, EntryFault> {
    if info.shape.len() > max_rank {
        return Err(TensorFault::Rank { rank: info.shape.len(), limit: max_rank }.into());
    }
    let element = TYPES.iter().find(|(name, _)| *name == info.dtype).map(|(_, element)| *element);
    let element = element.ok_or_else(|| EntryFault::Type(info.dtype.clone()))?;
    let element = if is_int4 && element == ElementType::Of(DType::I8) { ElementType::Qint4x2 } else { element };
    Ok(Array::new(element, &info.shape, bytes)?)
}

/// Checks that the tensors cover all of the contents, one after the other.
fn check_cover(tensors: &[(String, Info)], len: u64) -> Result<(), &'static str> {
    let mut ranges: Vec<[u64; 2]> = tensors.iter().map(|(_, info)| info.data_offsets).collect();
    ranges.sort_unstable();
    let mut end = 0;
    for [start, stop] in ranges {
        if start != end || stop < start {
            return Err("tensors overlap or leave bytes between them");
        }
        end = stop;
    }
    if end == len { Ok(()) } else { Err("the tensors do not end where the file ends") }
}

fn verify(found: &Checkpoint, stored: Option<u128>) -> Result<(), CrcFault> {
    let stored = stored.ok_or(CrcFault::Absent)?;
    let mut arrays: Vec<(&str, &Array)> =
        found.iter().filter_map(|(name, value)| Some((name, value.array()?))).collect();
    let computed = sum(&mut arrays);
    if stored == u128::from(computed) { Ok(()) } else { Err(CrcFault::Differs { stored, computed }) }
}

/// The checksum of names and contents in the order of names.
///
/// MindSpore hands each array to Python's `bytes`, which makes as many zeros of an integer as it says. So does this, for
/// integers without dimensions that are not negative; MindSpore cannot check the others.
fn sum(arrays: &mut [(&str, &Array)]) -> u32 {
    arrays.sort_unstable_by_key(|(name, _)| *name);
    let mut sum = crc32fast::Hasher::new();
    for (name, array) in arrays {
        sum.update(name.as_bytes());
        match zeros(array) {
            Some(count) => (0..count).step_by(ZEROS.len()).for_each(|at| {
                sum.update(ZEROS.get(..(count - at) as usize).unwrap_or(&ZEROS));
            }),
            None => array.parts().iter().for_each(|part| {
                sum.update(part);
                release(part);
            }),
        }
    }
    sum.finalize()
}

static ZEROS: [u8; 4096] = [0; 4096];

/// The number of zeros that stand for an integer without dimensions.
fn zeros(array: &Array) -> Option<u64> {
    const MOST: i64 = u32::MAX as i64;
    let is_integer = array.dims().is_empty() && array.element().dtype().is_some_and(DType::is_int);
    let number = is_integer.then(|| array.tensor().ok()?.to_i64s().ok()?.first().copied()).flatten()?;
    (0..=MOST).contains(&number).then_some(number as u64)
}

/// What prevents an entry from being written.
pub(super) fn obstacle(name: &str, value: &Value) -> Option<String> {
    match value {
        _ if name == METADATA => Some("a name that .safetensors files keep for themselves".to_string()),
        Value::Text(_) => Some("a text, which .safetensors files cannot hold".to_string()),
        Value::Array(array) if type_of(array.element()).is_none() => {
            Some(format!("a tensor of {}, which .safetensors files cannot hold", array.element()))
        }
        Value::Array(_) => None,
    }
}

/// Writes what MindSpore writes for these entries; those with an [`obstacle`] are left out.
pub(super) fn write(checkpoint: &Checkpoint, crc: bool, out: &mut dyn Write) -> io::Result<()> {
    let mut arrays: Vec<(&str, &Array)> =
        checkpoint.iter().filter_map(|(name, value)| Some((name, value.array()?))).collect();
    let int4 = arrays.iter().filter(|(_, array)| array.element() == ElementType::Qint4x2);
    let mut metadata: Map<String, Json> = int4.map(|(name, _)| ((*name).into(), INT4.into())).collect();
    metadata.insert("format".into(), "ms".into());
    if crc {
        metadata.insert(CRC.into(), sum(&mut arrays).to_string().into());
    }
    let mut typed: Vec<_> =
        arrays.iter().filter_map(|(name, array)| Some((type_of(array.element())?, *name, *array))).collect();
    typed.sort_unstable_by_key(|((rank, _), name, _)| (*rank, *name));
    let mut header = format!("{{\"{METADATA}\":{}", Json::Object(metadata));
    let mut offset = 0;
    for ((_, dtype), name, array) in &typed {
        let end = offset + array.len();
        let (name, shape) = (Json::from(*name), Json::from(array.dims()));
        header += &format!(",{name}:{{\"dtype\":\"{dtype}\",\"shape\":{shape},\"data_offsets\":[{offset},{end}]}}");
        offset = end;
    }
    header.push('}');
    // Filled so that the contents begin at a multiple of eight.
    header.extend(std::iter::repeat_n(' ', header.len().next_multiple_of(LENGTH) - header.len()));
    out.write_all(&(header.len() as u64).to_le_bytes())?;
    out.write_all(header.as_bytes())?;
    for part in typed.iter().flat_map(|(_, _, array)| array.parts()) {
        out.write_all(part)?;
        release(part);
    }
    Ok(())
}
