//! Models: reading, writing and converting them.

use std::path::PathBuf;
use std::sync::Arc;

use mindir::ckpt::Checkpoint;
use mindir::crypto::{Cipher, Decryption, Encryption, Key};
use mindir::graph::Model;
use mindir::{Access, Dim, Error, ExportOptions, Limits, ModelFile, Source, air, onnx};
use pyo3::IntoPyObjectExt;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyTuple};

use crate::checkpoint;
use crate::dtype::DType;
use crate::error::{raised, usage};

/// A model as a file holds it, which a `GraphCell` runs.
#[pyclass(frozen, module = "mindir")]
pub struct Graph {
    pub model: Arc<Model>,
}

/// An input or result: `name`, `dtype` and `shape`. A dimension that the model leaves open is None or its name.
#[pyclass(frozen, module = "mindir", skip_from_py_object)]
pub struct Port(pub mindir::Port);

#[pymethods]
impl Graph {
    /// Inputs in call order.
    #[getter]
    fn inputs(&self) -> Vec<Port> {
        let graph = self.model.entry();
        graph.inputs.iter().map(|v| Port(mindir::Port::of(graph, *v))).collect()
    }

    /// Results in order, tuples taken apart.
    #[getter]
    fn outputs(&self) -> Vec<Port> {
        let graph = self.model.entry();
        graph.outputs.iter().map(|v| Port(mindir::Port::of(graph, *v))).collect()
    }

    /// What parameters hold in the file, by name in the model's order.
    fn parameters_dict<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        checkpoint::dictionary(py, &self.model.params.iter().collect())
    }

    fn __repr__(&self) -> String {
        let count = |n: usize, what: &str| format!("{n} {what}{}", if n == 1 { "" } else { "s" });
        format!("<mindir.Graph of {}, {}>", count(self.inputs().len(), "input"), count(self.outputs().len(), "output"))
    }
}

#[pymethods]
impl Port {
    /// Name.
    #[getter]
    fn name(&self) -> &str {
        &self.0.name
    }

    /// Element type; None if the file does not say it.
    #[getter]
    fn dtype(&self) -> Option<DType> {
        self.0.spec.dtype.map(DType)
    }

    /// Dimensions; None if not even their number is known.
    #[getter]
    fn shape(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let Some(dims) = &self.0.spec.dims else { return Ok(py.None()) };
        let dims = dims.iter().map(|dim| match dim {
            Dim::Known(n) => n.into_py_any(py),
            Dim::Named(name) => (&**name).into_py_any(py),
            Dim::Unknown => Ok(py.None()),
        });
        PyTuple::new(py, dims.collect::<PyResult<Vec<_>>>()?)?.into_py_any(py)
    }

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let dtype = self.dtype().into_py_any(py)?;
        let (name, dtype) = (self.0.name.as_str().into_py_any(py)?, dtype.bind(py).repr()?);
        Ok(format!("Port(name={}, dtype={dtype}, shape={})", name.bind(py).repr()?, self.shape(py)?.bind(py).repr()?))
    }
}

fn key(bytes: Vec<u8>) -> PyResult<Key> {
    Key::new(bytes).map_err(usage)
}

fn cipher(mode: &str) -> PyResult<Cipher> {
    mode.parse().map_err(usage)
}

/// How to read files encrypted with `key`, if there is one.
pub fn decryption(key: Option<Vec<u8>>, mode: &str) -> PyResult<Option<Decryption>> {
    key.map(|bytes| Ok(Decryption::new(self::key(bytes)?).with_mode(cipher(mode)?))).transpose()
}

/// How to write files encrypted with `key`, if there is one.
pub fn encryption(key: Option<Vec<u8>>, mode: &str) -> PyResult<Option<Encryption>> {
    key.map(|bytes| Encryption::new(cipher(mode)?, self::key(bytes)?).map_err(usage)).transpose()
}

/// The model in a file.
#[pyfunction]
pub fn load(py: Python<'_>, path: PathBuf, dec_key: Option<Vec<u8>>, dec_mode: &str) -> PyResult<Graph> {
    let decryption = decryption(dec_key, dec_mode)?;
    let read = || {
        let source = Source::open(path, Access::Map)?.with_decryption(decryption);
        mindir::load_source(source).map(|loaded| Graph { model: Arc::new(loaded.model) })
    };
    py.detach(read).map_err(raised)
}

/// The model in the bytes of a file.
#[pyfunction]
pub fn loads(py: Python<'_>, name: String, bytes: Vec<u8>) -> PyResult<Graph> {
    let read = || mindir::load_source(Source::from_bytes(name, bytes));
    let loaded = py.detach(read).map_err(raised)?;
    Ok(Graph { model: Arc::new(loaded.model) })
}

/// The model with the values of a checkpoint that has one for each parameter.
pub fn with_params(model: &Model, checkpoint: &Checkpoint) -> Model {
    let mut model = model.clone();
    for param in &mut model.params {
        let value = checkpoint.get(&param.name).and_then(|value| value.array()?.tensor().ok());
        param.tensor = value.unwrap_or_else(|| param.tensor.clone());
    }
    model
}

/// Writes a model: as MindIR, ONNX or AIR.
#[pyfunction]
pub fn write(
    py: Python<'_>,
    graph: &Bound<'_, Graph>,
    path: PathBuf,
    format: &str,
    enc_key: Option<Vec<u8>>,
    enc_mode: &str,
    split: bool,
    opset: Option<i64>,
) -> PyResult<()> {
    let model = graph.get().model.clone();
    let encryption = encryption(enc_key, enc_mode)?;
    if format != "MINDIR" && encryption.is_some() {
        return Err(usage(format!("{format} files cannot be encrypted")));
    }
    let written = py.detach(|| match format {
        "MINDIR" => mindir::export(&model, path, &mindir_options(encryption, split)).map(|_| ()),
        "ONNX" => onnx::export(&model, path, &onnx_options(opset, split)).map(|_| ()),
        _ => air::export(&model, path, &mindir::store::Options::default()).map(|_| ()).map_err(Error::from),
    });
    written.map_err(raised)
}

fn mindir_options(encryption: Option<Encryption>, split: bool) -> ExportOptions {
    let usual = ExportOptions::default();
    ExportOptions { split_above: if split { 0 } else { usual.split_above }, encryption, ..usual }
}

fn onnx_options(opset: Option<i64>, split: bool) -> onnx::Options {
    let usual = onnx::Options::default();
    let split_above = if split { 0 } else { usual.split_above };
    onnx::Options { opset: opset.unwrap_or(usual.opset), split_above, ..usual }
}

/// Writes the MindIR file `source` as another one; what is not changed is copied.
#[pyfunction]
pub fn convert(
    py: Python<'_>,
    source: PathBuf,
    target: PathBuf,
    dec_key: Option<Vec<u8>>,
    dec_mode: &str,
    enc_key: Option<Vec<u8>>,
    enc_mode: &str,
    split: bool,
) -> PyResult<()> {
    let decryption = decryption(dec_key, dec_mode)?;
    let options = mindir_options(encryption(enc_key, enc_mode)?, split);
    let copy = || {
        let source = Source::open(source, Access::Map)?.with_decryption(decryption);
        let file = ModelFile::read(source, &Limits::default())?.decrypted();
        file.write(target, &options).map(|_| ()).map_err(Error::from)
    };
    py.detach(copy).map_err(raised)
}
