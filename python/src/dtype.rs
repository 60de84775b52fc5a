//! Element types under MindSpore's names.

use pyo3::exceptions::PyTypeError;
use pyo3::prelude::*;

/// An element type, such as `mindir.float32`.
///
/// >>> import mindir
/// >>> mindir.load("examples/digits/lenet5.mindir").inputs[0].dtype == mindir.float32
/// True
#[pyclass(frozen, eq, hash, module = "mindir", skip_from_py_object)]
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct DType(pub mindir::DType);

#[pymethods]
impl DType {
    /// NumPy's name of the type.
    #[getter]
    pub fn name(&self) -> &'static str {
        match self.0 {
            mindir::DType::Bool => "bool",
            mindir::DType::I8 => "int8",
            mindir::DType::I16 => "int16",
            mindir::DType::I32 => "int32",
            mindir::DType::I64 => "int64",
            mindir::DType::U8 => "uint8",
            mindir::DType::U16 => "uint16",
            mindir::DType::U32 => "uint32",
            mindir::DType::U64 => "uint64",
            mindir::DType::F16 => "float16",
            mindir::DType::BF16 => "bfloat16",
            mindir::DType::F32 => "float32",
            mindir::DType::F64 => "float64",
            mindir::DType::C64 => "complex64",
            mindir::DType::C128 => "complex128",
        }
    }

    /// Bytes of an element.
    #[getter]
    fn itemsize(&self) -> usize {
        self.0.size()
    }

    fn __reduce__<'py>(&self, py: Python<'py>) -> PyResult<(Bound<'py, PyAny>, (&'static str,))> {
        Ok((py.import("mindir._mindir")?.getattr("restored_dtype")?, (self.name(),)))
    }

    fn __str__(&self) -> String {
        let capital = |text: &str| text.get(..1).unwrap_or_default().to_uppercase() + text.get(1..).unwrap_or_default();
        match self.name() {
            "bfloat16" => "BFloat16".into(),
            name => name.strip_prefix('u').map_or_else(|| capital(name), |signed| format!("U{}", capital(signed))),
        }
    }

    fn __repr__(&self) -> String {
        let name = self.name();
        if self.0 == mindir::DType::Bool { "mindir.bool_".into() } else { format!("mindir.{name}") }
    }
}

/// The element type of a pickle.
#[pyfunction]
pub fn restored_dtype(name: &Bound<'_, PyAny>) -> PyResult<DType> {
    from_python(name).map(DType)
}

/// The element type that a [`DType`], a name, or a type of NumPy's stands for.
pub fn from_python(given: &Bound<'_, PyAny>) -> PyResult<mindir::DType> {
    if let Ok(dtype) = given.cast::<DType>() {
        return Ok(dtype.get().0);
    }
    let named = match given.extract::<String>() {
        Ok(name) => Some(name),
        Err(_) => given.getattr("name").or_else(|_| given.getattr("__name__")).and_then(|name| name.extract()).ok(),
    };
    let known = |name: &String| mindir::DType::from_mindspore(name).or_else(|| mindir::DType::from_name(name));
    let wrong = || PyTypeError::new_err(format!("expected an element type such as mindir.float32, found {given}"));
    named.as_ref().and_then(known).ok_or_else(wrong)
}
