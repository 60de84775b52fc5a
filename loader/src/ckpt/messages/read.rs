//! Reading `.ckpt` files.

use bytes::{Buf, Bytes};
use mindir_proto::checkpoint::{TensorProto, Value as Message};
use mindir_proto::prost::encoding::{DecodeContext, WireType, decode_key, decode_varint, skip_field};
use mindir_proto::prost::{DecodeError, Message as _};
use smallvec::SmallVec;

use super::schema::CHECKPOINT;
use super::{crc, types};
use crate::ckpt::{Array, Checkpoint, CheckpointError, EntryFault, ReadOptions, Value, text};
use crate::error::{LoadError, TensorFault, WireFault, WireProblem};
use crate::foreign::Foreign;
use crate::limits::Limits;
use crate::mindir::scan::{ScanError, scan};
use crate::report::Census;

/// Number of the only field of a file.
const VALUE: u32 = 1;

/// Reads the contents of a file, which the tensors will share. Also says whether there is a checksum.
pub(in crate::ckpt) fn read(
    file: &str,
    bytes: &Bytes,
    options: &ReadOptions,
) -> Result<(Checkpoint, bool), CheckpointError> {
    let (messages, sum) = crc::split(bytes);
    let messages = bytes.slice_ref(messages);
    if options.verify_crc {
        crc::verify(&messages, sum).map_err(|fault| CheckpointError::Crc { file: file.to_string(), fault })?;
    }
    let budget = options.limits.decoded_budget(bytes.len() as u64);
    scan(&messages, &CHECKPOINT, &options.limits, budget, &mut Census::default())
        .map_err(|error| explain(file, bytes, error))?;
    let entries = Entries { file, limits: &options.limits, found: Checkpoint::new(), last_at: 0 };
    let found = entries.read(messages)?;
    if found.is_empty() { Err(no_entries(file, bytes)) } else { Ok((found, sum.is_some())) }
}

/// The error for bytes that are not a message: what they look like if that is known, else what is wrong with them.
fn explain(file: &str, bytes: &[u8], error: ScanError) -> CheckpointError {
    let fault = match error {
        ScanError::Excess(excess) => return LoadError::Limit { file: file.to_string(), excess }.into(),
        ScanError::Fault(fault) => fault,
    };
    let other = Foreign::model(bytes).or_else(|| Foreign::of(bytes)).filter(|kind| *kind != Foreign::Checkpoint);
    other.map_or_else(|| LoadError::Wire { file: file.to_string(), fault }.into(), |kind| foreign(file, kind))
}

fn foreign(file: &str, looks_like: Foreign) -> CheckpointError {
    CheckpointError::Foreign { file: file.to_string(), expected: "a checkpoint", looks_like }
}

fn no_entries(file: &str, bytes: &[u8]) -> CheckpointError {
    let what = "there are no entries".to_string();
    Foreign::of(bytes).map_or_else(
        || CheckpointError::Format { file: file.to_string(), offset: None, what },
        |kind| foreign(file, kind),
    )
}

struct Entries<'a> {
    file: &'a str,
    limits: &'a Limits,
    found: Checkpoint,
    /// Where the entry that was added last begins.
    last_at: usize,
}

impl Entries<'_> {
    fn read(mut self, messages: Bytes) -> Result<Checkpoint, CheckpointError> {
        let mut rest = messages.clone();
        while rest.has_remaining() {
            let at = messages.len() - rest.len();
            if let Some(message) = next(&mut rest).map_err(|error| self.undecoded(at, &error))? {
                let message = Message::decode(message).map_err(|error| self.undecoded(at, &error))?;
                self.add(message, at)?;
            }
        }
        self.complete()?;
        Ok(self.found)
    }

    /// The walk before has found what does not decode.
    fn undecoded(&self, at: usize, error: &DecodeError) -> CheckpointError {
        let problem = WireProblem::Decode(error.to_string());
        let fault = WireFault { offset: at as u64, message: CHECKPOINT.name, field: None, problem };
        LoadError::Wire { file: self.file.to_string(), fault }.into()
    }

    fn fault(&self, name: &str, at: usize, fault: impl Into<EntryFault>) -> CheckpointError {
        let (file, name) = (self.file.to_string(), name.to_string());
        CheckpointError::Entry { file, name, offset: at as u64, fault: fault.into() }
    }

    /// Adds an entry, or the next part of the last one.
    fn add(&mut self, message: Message, at: usize) -> Result<(), CheckpointError> {
        let tag = message.tag.unwrap_or_default();
        let name = str::from_utf8(&tag).unwrap_or_default();
        if name.is_empty() {
            return Err(self.fault("", at, EntryFault::NoName));
        }
        if message.maptensor.is_some() {
            return Err(self.fault(name, at, EntryFault::HashTable));
        }
        let tensor = message.tensor.ok_or_else(|| self.fault(name, at, EntryFault::NoTensor))?;
        let value = value(tensor, self.limits).map_err(|fault| self.fault(name, at, fault))?;
        if self.found.last_mut().is_some_and(|(last, _)| last == name) {
            return self.extend(name, value, at);
        }
        self.complete()?;
        self.last_at = at;
        self.found.add(name.to_string(), value).map_err(|name| self.fault(&name, at, EntryFault::SameName))
    }

    /// Adds a part to the last entry, which has the same name.
    fn extend(&mut self, name: &str, value: Value, at: usize) -> Result<(), CheckpointError> {
        let outcome = match (self.found.last_mut(), value) {
            (Some((_, Value::Array(whole))), Value::Array(part)) => whole.append(part),
            _ => Err(EntryFault::SameName),
        };
        outcome.map_err(|fault| self.fault(name, at, fault))
    }

    /// Checks the last entry, of which no more parts follow.
    fn complete(&mut self) -> Result<(), CheckpointError> {
        let (name, fault) = match self.found.last_mut() {
            Some((name, Value::Array(array))) => match array.check() {
                Ok(()) => return Ok(()),
                Err(fault) => (name.to_string(), fault),
            },
            _ => return Ok(()),
        };
        Err(self.fault(&name, self.last_at, fault))
    }
}

/// The bytes of the next entry; `None` for a field that is something else.
fn next(rest: &mut Bytes) -> Result<Option<Bytes>, DecodeError> {
    let (number, wire_type) = decode_key(rest)?;
    if (number, wire_type) != (VALUE, WireType::LengthDelimited) {
        skip_field(wire_type, number, rest, DecodeContext::default())?;
        return Ok(None);
    }
    let len = decode_varint(rest)?;
    // A length beyond the end is cut, and then the message does not decode.
    let len = usize::try_from(len).unwrap_or(usize::MAX).min(rest.len());
    Ok(Some(rest.split_to(len)))
}

/// The value in a message, or its first part.
fn value(tensor: TensorProto, limits: &Limits) -> Result<Value, EntryFault> {
    let content = tensor.tensor_content.unwrap_or_default();
    let kind = tensor.tensor_type.unwrap_or_default();
    let kind = str::from_utf8(&kind).unwrap_or_default();
    if kind == types::TEXT {
        return Ok(Value::Text(text::decode(&content)?));
    }
    let element = types::element(kind).ok_or_else(|| EntryFault::Type(kind.to_string()))?;
    let mut dims = dims(&tensor.dims, limits)?;
    // Scalars of old files.
    if dims.as_slice() == [0] && content.len() == element.size() {
        dims.clear();
    }
    Ok(Value::Array(Array::part(element, dims, content)))
}

fn dims(dims: &[i64], limits: &Limits) -> Result<SmallVec<[usize; 4]>, TensorFault> {
    if dims.len() > limits.max_rank {
        return Err(TensorFault::Rank { rank: dims.len(), limit: limits.max_rank });
    }
    let dim = |(axis, &value): (usize, &i64)| match usize::try_from(value) {
        Ok(dim) => Ok(dim),
        Err(_) if value < 0 => Err(TensorFault::Dimension { axis, value }),
        Err(_) => Err(TensorFault::Overflow),
    };
    dims.iter().enumerate().map(dim).collect()
}
