//! One file: walk, then decode.

use bytes::Bytes;
use mindir_proto::prost::Message;

use super::scan::{self, ScanError};
use super::schema::Schema;
use crate::error::{LoadError, WireFault, WireProblem};
use crate::foreign::Foreign;
use crate::limits::Limits;
use crate::report::{FileRead, LoadReport, Warning};

/// Decodes the file `name` as one message, which shares `bytes`. The report gains the file and its counts.
pub(super) fn decode<M: Message + Default>(
    name: &str,
    bytes: &Bytes,
    schema: &'static Schema,
    limits: &Limits,
    report: &mut LoadReport,
) -> Result<M, LoadError> {
    report.files.push(FileRead { name: name.to_string(), bytes: bytes.len() as u64 });
    let read: u64 = report.files.iter().map(|file| file.bytes).sum();
    let old = scan::scan(bytes, schema, limits, limits.decoded_budget(read), &mut report.census)
        .map_err(|error| explain(name, bytes, error))?;
    let bytes = if old.is_empty() { bytes.clone() } else { scan::mask(bytes, &old) };
    if !old.is_empty() {
        report.warnings.push(Warning::OldFieldsSkipped { count: old.len() as u64 });
    }
    M::decode(bytes).map_err(|error| {
        let problem = WireProblem::Decode(error.to_string());
        wire_error(name, WireFault { offset: 0, message: schema.name, field: None, problem })
    })
}

/// The error for bytes that are not a message: what they look like if that is known, else what is wrong with them.
fn explain(name: &str, bytes: &[u8], error: ScanError) -> LoadError {
    match error {
        ScanError::Excess(excess) => LoadError::Limit { file: name.to_string(), excess },
        ScanError::Fault(fault) => foreign(name, bytes).unwrap_or_else(|| wire_error(name, fault)),
    }
}

fn wire_error(name: &str, fault: WireFault) -> LoadError {
    LoadError::Wire { file: name.to_string(), fault }
}

/// The error for bytes that look like another kind of file.
pub(super) fn foreign(name: &str, bytes: &[u8]) -> Option<LoadError> {
    let error = |looks_like| LoadError::Foreign { file: name.to_string(), expected: "a MindIR file", looks_like };
    Foreign::of(bytes).map(error)
}
