//! `mindir ckpt ls`, `show` and `get`.

use std::fmt::{Display, LowerExp};
use std::path::PathBuf;

use clap::Args;
use mindir::ckpt::{Array, Checkpoint, Value};
use mindir::{Cipher, DType, Element, Tensor, bf16, f16, npy};
use serde::Serialize;

use super::files::{absent, entry, fits};
use crate::args::KeyArgs;
use crate::failure::{Failure, Outcome};
use crate::print;
use crate::save;

/// List the entries of a checkpoint.
#[derive(Args, Debug)]
pub struct Ls {
    /// The checkpoint
    file: PathBuf,
    /// Only names that fit one of these patterns, in which * stands for any text
    names: Vec<String>,
    #[command(flatten)]
    key: KeyArgs,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// A checkpoint and its entries.
#[derive(Serialize)]
struct Listing {
    format: String,
    encryption: Option<String>,
    has_crc: bool,
    entries: Vec<Row>,
    bytes: u64,
}

#[derive(Serialize)]
struct Row {
    name: String,
    /// Element type; `text` for a text.
    dtype: String,
    shape: Option<Vec<usize>>,
    bytes: u64,
    /// The value of a scalar or text.
    #[serde(skip_serializing_if = "Option::is_none")]
    value: Option<String>,
}

impl Ls {
    pub fn execute(self) -> Result<Outcome, Failure> {
        let (checkpoint, kind) = self.key.read(&self.file)?;
        let wanted = |name: &str| self.names.is_empty() || self.names.iter().any(|p| fits(p, name));
        let entries: Vec<Row> = checkpoint.iter().filter(|(name, _)| wanted(name)).map(row).collect();
        let bytes = entries.iter().map(|r| r.bytes).sum();
        let encryption = kind.cipher.map(|c: Cipher| c.to_string());
        let listing = Listing { format: kind.format.to_string(), encryption, has_crc: kind.has_crc, entries, bytes };
        Ok(Outcome::ok(if self.json { print::json(&listing) } else { listing.text() }))
    }
}

fn row((name, value): (&str, &Value)) -> Row {
    match value {
        Value::Text(text) => {
            Row { name: name.into(), dtype: "text".into(), shape: None, bytes: 0, value: Some(text.clone()) }
        }
        Value::Array(array) => Row {
            name: name.into(),
            dtype: dtype(array),
            shape: Some(array.dims().to_vec()),
            bytes: array.len() as u64,
            value: (array.count() == 1).then(|| scalar(array)).flatten(),
        },
    }
}

/// The short name of the element type, or MindSpore's where there is none.
pub fn dtype(array: &Array) -> String {
    array.element().dtype().map_or(array.element().name(), |d| d.name()).to_string()
}

/// The only element, with all its digits; `None` for types without numbers.
fn scalar(array: &Array) -> Option<String> {
    let tensor = array.tensor().ok()?;
    match tensor.dtype() {
        DType::F16 => decimal(*tensor.view::<f16>().ok()?.first()?),
        DType::BF16 => decimal(*tensor.view::<bf16>().ok()?.first()?),
        DType::F32 => decimal(*tensor.view::<f32>().ok()?.first()?),
        DType::F64 => decimal(*tensor.view::<f64>().ok()?.first()?),
        _ => tensor.to_i128s().ok()?.first().map(i128::to_string),
    }
}

/// The shortest text that stands for a number among those of its type.
fn decimal<T: Element + Display + LowerExp>(x: T) -> Option<String> {
    let size = x.to_f64().abs();
    let is_plain = size == 0.0 || !size.is_finite() || (1e-5..1e16).contains(&size);
    Some(if is_plain { x.to_string() } else { format!("{x:e}") })
}

impl Listing {
    fn text(&self) -> String {
        let cells = |r: &Row| {
            let shape = r.shape.as_ref().map_or(String::new(), |s| format!("{s:?}"));
            let value = r.value.as_deref().map_or(String::new(), print::name);
            vec![print::name(&r.name), r.dtype.clone(), shape, print::bytes(r.bytes), value]
        };
        let table = print::table(&["name", "dtype", "shape", "size", "value"], &[3], self.entries.iter().map(cells));
        let encryption = self.encryption.as_ref().map_or(String::new(), |c| format!(", encrypted with {c}"));
        let crc = if self.has_crc { ", with checksum" } else { "" };
        let (entries, bytes) = (print::entries(self.entries.len()), print::bytes(self.bytes));
        format!("{table}{entries}, {bytes}, {}{encryption}{crc}\n", self.format)
    }
}

/// Show values of entries: what they are, and how their numbers are spread.
#[derive(Args, Debug)]
pub struct Show {
    /// The checkpoint
    file: PathBuf,
    /// Names, or patterns in which * stands for any text
    #[arg(required = true)]
    names: Vec<String>,
    #[command(flatten)]
    key: KeyArgs,
    /// Print JSON
    #[arg(long)]
    json: bool,
}

/// An entry with its numbers.
#[derive(Serialize)]
struct Shown {
    #[serde(flatten)]
    row: Row,
    #[serde(skip_serializing_if = "Option::is_none")]
    numbers: Option<Numbers>,
}

/// How the numbers of a tensor are spread; those that are not finite are only counted.
#[derive(Serialize)]
struct Numbers {
    first: Vec<f64>,
    min: f64,
    max: f64,
    mean: f64,
    not_finite: usize,
}

const FIRST: usize = 8;

impl Show {
    pub fn execute(self) -> Result<Outcome, Failure> {
        let (checkpoint, _) = self.key.read(&self.file)?;
        let mut shown = Vec::new();
        for pattern in &self.names {
            let found: Vec<_> = matching(&checkpoint, pattern);
            if found.is_empty() {
                return Err(absent(&checkpoint, pattern));
            }
            for (name, value) in found {
                shown.push(Shown {
                    row: row((name, value)),
                    numbers: value.array().map(numbers).transpose()?.flatten(),
                });
            }
        }
        if self.json {
            return Ok(Outcome::ok(print::json(&shown)));
        }
        Ok(Outcome::ok(shown.iter().map(Shown::text).collect()))
    }
}

fn matching<'a>(checkpoint: &'a Checkpoint, pattern: &str) -> Vec<(&'a str, &'a Value)> {
    checkpoint.iter().filter(|(name, _)| *name == pattern || fits(pattern, name)).collect()
}

fn numbers(array: &Array) -> Result<Option<Numbers>, Failure> {
    if array.element().dtype().is_none_or(|d| d.is_complex()) {
        return Ok(None);
    }
    let values = array.tensor().map_err(|e| Failure::Usage(e.to_string()))?.to_f64s()?;
    let finite = || values.iter().copied().filter(|x| x.is_finite());
    let count = finite().count();
    Ok((count > 0).then(|| Numbers {
        first: values.iter().copied().take(FIRST).collect(),
        min: finite().fold(f64::INFINITY, f64::min),
        max: finite().fold(f64::NEG_INFINITY, f64::max),
        mean: finite().sum::<f64>() / count as f64,
        not_finite: values.len() - count,
    }))
}

impl Shown {
    fn text(&self) -> String {
        let Row { name, dtype, shape, bytes, value } = &self.row;
        let shape = shape.as_ref().map_or(String::new(), |s| format!(" {s:?}"));
        let mut text = format!("{}  {dtype}{shape}  {}\n", print::name(name), print::bytes(*bytes));
        match (&self.numbers, value) {
            (_, Some(value)) => text += &format!("  {}\n", print::name(value)),
            (Some(n), None) => {
                let first: Vec<String> = n.first.iter().map(|x| print::number(*x)).collect();
                let [min, max, mean] = [n.min, n.max, n.mean].map(print::number);
                text += &format!("  {} …\n  min {min}  max {max}  mean {mean}", first.join(" "));
                let odd = if n.not_finite > 0 { format!("  {} not finite", n.not_finite) } else { String::new() };
                text += &format!("{odd}\n");
            }
            (None, None) => {}
        }
        text
    }
}

/// Take one value out of a checkpoint: print a text or scalar, or write a tensor to a .npy file.
#[derive(Args, Debug)]
pub struct Get {
    /// The checkpoint
    file: PathBuf,
    /// Name of the entry
    name: String,
    /// The .npy file to write
    #[arg(short, long, value_name = "FILE")]
    output: Option<PathBuf>,
    /// Write the file even if the checkpoint is encrypted; a .npy file is not
    #[arg(long, requires = "output")]
    decrypt: bool,
    #[command(flatten)]
    key: KeyArgs,
}

impl Get {
    pub fn execute(self) -> Result<Outcome, Failure> {
        let (checkpoint, kind) = self.key.read(&self.file)?;
        let value = entry(&checkpoint, &self.name)?;
        let Some(output) = self.output else {
            return match value {
                Value::Text(text) => Ok(Outcome::ok(format!("{text}\n"))),
                Value::Array(array) if array.count() == 1 => {
                    let refused = || Failure::Usage(format!("there is no text for a {}", dtype(array)));
                    Ok(Outcome::ok(scalar(array).ok_or_else(refused)? + "\n"))
                }
                Value::Array(_) => Err(Failure::Usage("a tensor is written to a file: give -o FILE.npy".into())),
            };
        };
        if kind.cipher.is_none() && self.decrypt {
            print::warn("--decrypt has no effect: what was read is not encrypted");
        }
        if kind.cipher.is_some() && !self.decrypt {
            return Err(Failure::Usage(
                "the checkpoint is encrypted and a .npy file is not: --decrypt allows it".into(),
            ));
        }
        let array = value.array().ok_or_else(|| Failure::Usage("a text is no tensor: leave out -o".into()))?;
        let tensor: Tensor = array.tensor().map_err(|e| Failure::Usage(e.to_string()))?;
        save::write(&output, |out| npy::write_to(out, &tensor))?;
        Ok(Outcome::ok(String::new()))
    }
}
