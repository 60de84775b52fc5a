//! A walk over the wire bytes of a message before anything is decoded.
//!
//! The walk allocates nothing but a note for each field of an old form. It ensures that every length stays within its
//! message, that texts are UTF-8, that messages nest no deeper than allowed, and that the memory which decoding will take
//! stays within a budget. Bytes that passed decode without error.

use std::ops::Range;

use bytes::Bytes;

use super::schema::{Field, Kind, MOST_FIELDS, OldForm, Role, Schema};
use crate::error::{Excess, WireFault, WireProblem};
use crate::limits::Limits;
use crate::report::Census;

/// Why a walk stopped.
#[derive(Debug)]
pub(crate) enum ScanError {
    Fault(WireFault),
    Excess(Excess),
}

/// Walks `bytes` as one message of `schema`, adding to `census`, which holds the counts of files read before.
///
/// `decoded_budget` bounds `census.decoded_bytes`. Returned are the fields of old forms, which [`mask`] hides.
pub(crate) fn scan(
    bytes: &[u8],
    schema: &'static Schema,
    limits: &Limits,
    decoded_budget: u64,
    census: &mut Census,
) -> Result<Vec<OldField>, ScanError> {
    let mut walk = Walk { bytes, limits, decoded_budget, census: *census, old: Vec::new() };
    walk.message(schema, 0..bytes.len(), 1)?;
    *census = walk.census;
    Ok(walk.old)
}

/// A field in a form that the current schema does not have: where its key is, and which form.
#[derive(Clone, Copy, Debug)]
pub(crate) struct OldField {
    at: usize,
    bits: u8,
}

/// A copy of `bytes` in which the keys of old fields have numbers that no schema knows, so that decoding skips them.
pub(super) fn mask(bytes: &[u8], old: &[OldField]) -> Bytes {
    let mut copy = bytes.to_vec();
    for field in old {
        if let Some(byte) = copy.get_mut(field.at) {
            *byte |= field.bits;
        }
    }
    copy.into()
}

impl OldForm {
    /// Where to change the key that starts at `key_at`, and the bits that make its number unknown.
    fn masked(self, key_at: usize) -> OldField {
        match self {
            // Field 18 takes two bytes; the second one becomes 0x7f (2034) or 0xff.
            Self::Varint => OldField { at: key_at.saturating_add(1), bits: 0x7e },
            // Field 9 takes one byte, 0x4a, and becomes 15.
            Self::Text => OldField { at: key_at, bits: 0x30 },
        }
    }
}

struct Walk<'a> {
    bytes: &'a [u8],
    limits: &'a Limits,
    decoded_budget: u64,
    census: Census,
    old: Vec<OldField>,
}

/// A value on the wire: its type and the bytes of its contents.
struct Value {
    wire_type: u8,
    contents: Range<usize>,
}

/// Where in the schema the walk is, for errors.
#[derive(Clone, Copy)]
struct Place {
    message: &'static str,
    field: Option<&'static str>,
    offset: usize,
}

impl Place {
    fn fault(self, problem: WireProblem) -> ScanError {
        let Self { message, field, offset } = self;
        ScanError::Fault(WireFault { offset: offset as u64, message, field, problem })
    }
}

const VARINT: u8 = 0;
const FIXED64: u8 = 1;
const DELIMITED: u8 = 2;
const FIXED32: u8 = 5;

impl Walk<'_> {
    fn message(&mut self, schema: &'static Schema, range: Range<usize>, depth: u32) -> Result<(), ScanError> {
        self.enter(schema, range.start, depth)?;
        let mut counts = [0u64; MOST_FIELDS];
        let mut at = range.start;
        while at < range.end {
            let key_at = at;
            let mut place = Place { message: schema.name, field: None, offset: key_at };
            let (number, wire_type) = self.key(&mut at, range.end, place)?;
            let field = schema.field(number);
            place.field = field.map(|(_, field)| field.name);
            let value = self.value(wire_type, &mut at, range.end, place)?;
            match field.and_then(|(at, field)| Some((field, counts.get_mut(at)?))) {
                Some((field, count)) => self.field(field, value, count, place, depth)?,
                None => self.census.unknown_fields += 1,
            }
        }
        Ok(())
    }

    fn enter(&mut self, schema: &Schema, offset: usize, depth: u32) -> Result<(), ScanError> {
        let census = &mut self.census;
        census.messages += 1;
        census.nesting = census.nesting.max(depth);
        match schema.role {
            Role::Node => census.nodes += 1,
            Role::Attribute => census.attributes += 1,
            Role::Tensor => census.tensors += 1,
            Role::Other => {}
        }
        let Census { messages, nodes, .. } = *census;
        self.bound("structure (messages)", messages, self.limits.max_messages, offset)?;
        self.bound("structure (nodes)", nodes, self.limits.max_nodes, offset)?;
        self.bound("nesting", depth.into(), self.limits.nesting().into(), offset)
    }

    fn bound(&self, what: &'static str, found: u64, limit: u64, offset: usize) -> Result<(), ScanError> {
        if found <= limit {
            return Ok(());
        }
        Err(ScanError::Excess(Excess { what, limit, found, offset: Some(offset as u64) }))
    }

    fn charge(&mut self, bytes: u64, offset: usize) -> Result<(), ScanError> {
        self.census.decoded_bytes = self.census.decoded_bytes.saturating_add(bytes);
        self.bound("memory for structure (bytes)", self.census.decoded_bytes, self.decoded_budget, offset)
    }

    fn field(
        &mut self,
        field: &'static Field,
        value: Value,
        count: &mut u64,
        place: Place,
        depth: u32,
    ) -> Result<(), ScanError> {
        if let Some(old) = field.old
            && self.is_old(old, field, &value, depth)?
        {
            self.old.push(old.masked(place.offset));
            return self.charge(2 * size_of::<OldField>() as u64, place.offset);
        }
        let elements = self.elements(field, &value, place)?;
        let before = *count;
        *count = before.saturating_add(elements);
        if !field.many && *count > 1 {
            return Err(place.fault(WireProblem::Twice));
        }
        let (count, size) = (*count, field.size as u64);
        let cost = if field.many { reserved(count, field) - reserved(before, field) } else { size };
        self.charge(cost, place.offset)?;
        match field.kind {
            Kind::Name => self.name(value.contents, place),
            Kind::Text => self.text(value.contents, place),
            Kind::Message(schema) => self.message(schema, value.contents, depth + 1),
            Kind::Varint | Kind::Fixed32 | Kind::Fixed64 | Kind::Blob => Ok(()),
        }
    }

    /// Whether the value has the old form of its field. A text is told from a message by not being one.
    fn is_old(&mut self, old: OldForm, field: &Field, value: &Value, depth: u32) -> Result<bool, ScanError> {
        match (old, field.kind) {
            (OldForm::Varint, _) => Ok(value.wire_type == VARINT),
            (OldForm::Text, Kind::Message(schema)) if value.wire_type == DELIMITED => {
                let before = (self.census, self.old.len());
                let outcome = self.message(schema, value.contents.clone(), depth + 1);
                self.census = before.0;
                self.old.truncate(before.1);
                match outcome {
                    Ok(()) => Ok(false),
                    Err(ScanError::Fault(_)) => Ok(true),
                    Err(excess) => Err(excess),
                }
            }
            (OldForm::Text, _) => Ok(false),
        }
    }

    /// How many elements a value adds to its field: one, or those of a packed list.
    fn elements(&self, field: &Field, value: &Value, place: Place) -> Result<u64, ScanError> {
        let own = match field.kind {
            Kind::Varint => VARINT,
            Kind::Fixed32 => FIXED32,
            Kind::Fixed64 => FIXED64,
            Kind::Name | Kind::Text | Kind::Blob | Kind::Message(_) => DELIMITED,
        };
        if value.wire_type == own {
            return Ok(1);
        }
        if value.wire_type != DELIMITED || !field.many {
            return Err(place.fault(WireProblem::WireType(value.wire_type)));
        }
        let len = value.contents.len() as u64;
        let whole = |size: u64| {
            if len.is_multiple_of(size) { Ok(len / size) } else { Err(place.fault(WireProblem::Fraction(len))) }
        };
        match field.kind {
            Kind::Fixed32 => whole(4),
            Kind::Fixed64 => whole(8),
            _ => self.packed(value.contents.clone(), place),
        }
    }

    fn packed(&self, range: Range<usize>, place: Place) -> Result<u64, ScanError> {
        let mut at = range.start;
        let mut count = 0;
        while at < range.end {
            let place = Place { offset: at, ..place };
            self.varint(&mut at, range.end, place)?;
            count += 1;
        }
        Ok(count)
    }

    fn name(&mut self, range: Range<usize>, place: Place) -> Result<(), ScanError> {
        self.bound("name (bytes)", range.len() as u64, self.limits.max_name_len as u64, place.offset)?;
        self.text(range, place)
    }

    fn text(&mut self, range: Range<usize>, place: Place) -> Result<(), ScanError> {
        let text = self.bytes.get(range).unwrap_or_default();
        if !text.is_empty() {
            self.charge(text.len().max(8) as u64, place.offset)?;
        }
        std::str::from_utf8(text).map(drop).map_err(|error| place.fault(WireProblem::Text(error.valid_up_to() as u64)))
    }

    /// Reads the key of a field: its number and wire type.
    fn key(&self, at: &mut usize, end: usize, place: Place) -> Result<(u32, u8), ScanError> {
        let key = self.varint(at, end, place)?;
        let number = u32::try_from(key >> 3).ok().filter(|number| (1..1 << 29).contains(number));
        let number = number.ok_or_else(|| place.fault(WireProblem::FieldNumber))?;
        Ok((number, (key & 7) as u8))
    }

    /// Steps over a value and returns where its contents are.
    fn value(&self, wire_type: u8, at: &mut usize, end: usize, place: Place) -> Result<Value, ScanError> {
        let start = *at;
        let len = match wire_type {
            VARINT => {
                self.varint(at, end, place)?;
                return Ok(Value { wire_type, contents: start..*at });
            }
            FIXED64 => 8,
            DELIMITED => self.varint(at, end, place)?,
            FIXED32 => 4,
            other => return Err(place.fault(WireProblem::WireType(other))),
        };
        let start = *at;
        let stop = usize::try_from(len).ok().and_then(|len| start.checked_add(len)).filter(|stop| *stop <= end);
        *at = stop.ok_or_else(|| self.too_long(start, end, len, place))?;
        Ok(Value { wire_type, contents: start..*at })
    }

    fn varint(&self, at: &mut usize, end: usize, place: Place) -> Result<u64, ScanError> {
        let start = *at;
        let mut value = 0u64;
        for (position, byte) in self.bytes.get(start..end).unwrap_or_default().iter().take(10).enumerate() {
            if position == 9 && *byte > 1 {
                break;
            }
            value |= u64::from(byte & 0x7f) << (7 * position);
            if byte & 0x80 == 0 {
                *at = start + position + 1;
                return Ok(value);
            }
        }
        let left = end.saturating_sub(start);
        if left < 10 {
            Err(self.too_long(start, end, left as u64 + 1, place))
        } else {
            Err(place.fault(WireProblem::Varint))
        }
    }

    /// The error for a value that needs `needed` bytes from `start` on, in a message that ends at `end`.
    fn too_long(&self, start: usize, end: usize, needed: u64, place: Place) -> ScanError {
        let in_file = self.bytes.len().saturating_sub(start) as u64;
        place.fault(if needed > in_file {
            WireProblem::Truncated { needed, available: in_file }
        } else {
            WireProblem::Overrun { needed, available: end.saturating_sub(start) as u64 }
        })
    }
}

/// Memory that a list of `count` values has taken at most: its capacity, and while it grows the old one too.
///
/// Lists of messages grow by half, others double and start with room for four.
fn reserved(count: u64, field: &Field) -> u64 {
    let lean = matches!(field.kind, Kind::Message(_));
    let places = match count {
        0 => 0,
        1..=4 if lean => count,
        1..=4 => 4,
        _ if lean => count.saturating_mul(5) / 2,
        _ => count.checked_next_power_of_two().unwrap_or(u64::MAX).saturating_mul(3) / 2,
    };
    places.saturating_mul(field.size as u64)
}
