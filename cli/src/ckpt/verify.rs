//! `mindir ckpt verify`.

use std::path::PathBuf;

use clap::Args;
use mindir::ckpt::Value;
use serde::Serialize;

use crate::args::KeyArgs;
use crate::failure::{Failure, Outcome};
use crate::print;

/// Check all of a checkpoint: its structure, its checksum if it has one, and that truth values are 0 or 1.
///
/// Numbers that are not finite are counted; they are no error.
#[derive(Args, Debug)]
pub struct Verify {
    /// The checkpoint
    file: PathBuf,
    /// Demand a checksum
    #[arg(long)]
    crc: bool,
    #[command(flatten)]
    key: KeyArgs,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

#[derive(Serialize)]
struct Report {
    entries: usize,
    bytes: u64,
    has_crc: bool,
    not_finite: Vec<Odd>,
}

/// A tensor with numbers that are not finite.
#[derive(Serialize)]
struct Odd {
    name: String,
    count: usize,
}

impl Verify {
    pub fn execute(self) -> Result<Outcome, Failure> {
        let (_, kind) = self.key.read(&self.file)?;
        let (checkpoint, _) = self.key.read_checked(&self.file, self.crc || kind.has_crc)?;
        let mut not_finite = Vec::new();
        for (name, value) in checkpoint.iter() {
            let Value::Array(array) = value else { continue };
            if array.element().dtype().is_none() {
                continue;
            }
            let count = array.not_finite().map_err(|fault| Failure::Corrupt {
                path: self.file.clone(),
                what: format!("entry {}: {fault}", print::name(name)),
            })?;
            not_finite.extend((count > 0).then(|| Odd { name: name.to_string(), count }));
        }
        let (entries, bytes) = (checkpoint.len(), checkpoint.bytes());
        let report = Report { entries, bytes, has_crc: kind.has_crc, not_finite };
        Ok(Outcome::ok(if self.json { print::json(&report) } else { report.text() }))
    }
}

impl Report {
    fn text(&self) -> String {
        let line = |odd: &Odd| format!("{}  {} numbers are not finite\n", print::name(&odd.name), odd.count);
        let odd: String = self.not_finite.iter().map(line).collect();
        let crc = if self.has_crc { "the checksum is right" } else { "there is no checksum" };
        format!("{odd}{}, {}; {crc}\n", print::entries(self.entries), print::bytes(self.bytes))
    }
}
