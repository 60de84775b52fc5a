//! Checkpoints as dictionaries.

use std::path::PathBuf;

use mindir::Access;
use mindir::ckpt::{self, Checkpoint, Format, ReadOptions, Value, WriteOptions};
use mindir::store;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::error;
use crate::input;
use crate::model::{decryption, encryption};
use crate::tensor::{self, Parameter};

/// A dictionary of `Parameter`s and texts.
pub fn dictionary<'py>(py: Python<'py>, checkpoint: &Checkpoint) -> PyResult<Bound<'py, PyDict>> {
    let values = PyDict::new(py);
    for (name, value) in checkpoint.iter() {
        let unusable = |fault| error::usage(format!("entry {name}: {fault}"));
        match value {
            Value::Text(text) => values.set_item(name, text)?,
            Value::Array(array) => {
                let tensor = py.detach(|| array.tensor()).map_err(unusable)?;
                values.set_item(name, Parameter::shared(py, name, tensor)?)?;
            }
        }
    }
    Ok(values)
}

/// The checkpoint of a dictionary of tensors, arrays, numbers and texts.
pub fn of(given: &Bound<'_, PyDict>) -> PyResult<Checkpoint> {
    let entry = |(name, value): (Bound<'_, PyAny>, Bound<'_, PyAny>)| {
        let value: Value = match value.extract::<String>() {
            Ok(text) => text.into(),
            Err(_) => own(&value)?.into(),
        };
        Ok((name.extract::<String>()?, value))
    };
    given.iter().map(entry).collect()
}

/// Elements that nobody else may write.
fn own(value: &Bound<'_, PyAny>) -> PyResult<mindir::Tensor> {
    let given = input::shared(value, None)?;
    if given.writable { tensor::copy(&given.tensor).map_err(error::raised) } else { Ok(given.tensor) }
}

/// The entries of a checkpoint.
#[pyfunction(name = "read_checkpoint")]
pub fn read<'py>(
    py: Python<'py>,
    path: PathBuf,
    dec_key: Option<Vec<u8>>,
    dec_mode: &str,
    crc_check: bool,
) -> PyResult<Bound<'py, PyDict>> {
    let decryption = decryption(dec_key, dec_mode)?;
    let options = ReadOptions { access: Access::Read, decryption, verify_crc: crc_check, ..ReadOptions::default() };
    let checkpoint = py.detach(|| ckpt::read(&path, &options)).map_err(error::checkpoint)?;
    dictionary(py, &checkpoint)
}

/// Writes a checkpoint, which only its owner may read, as MindSpore does.
#[pyfunction(name = "write_checkpoint")]
pub fn write(
    py: Python<'_>,
    path: PathBuf,
    entries: &Bound<'_, PyDict>,
    enc_key: Option<Vec<u8>>,
    enc_mode: &str,
    crc_check: bool,
    format: &str,
) -> PyResult<()> {
    let format = match format {
        "ckpt" => Format::Ckpt,
        "safetensors" => Format::Safetensors,
        _ => return Err(error::usage(format!("format: expected ckpt or safetensors, found {format}"))),
    };
    let options = WriteOptions {
        format: Some(format),
        encryption: encryption(enc_key, enc_mode)?,
        crc: crc_check,
        store: store::Options { mode: Some(0o400), ..store::Options::default() },
    };
    let checkpoint = of(entries)?;
    py.detach(|| ckpt::write(&path, &checkpoint, &options)).map_err(error::checkpoint)
}
