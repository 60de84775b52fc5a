//! Tensors as Python sees them.

use mindir::{DType as Element, TensorError};
use pyo3::IntoPyObjectExt;
use pyo3::basic::CompareOp;
use pyo3::exceptions::{PyAttributeError, PyImportError, PyTypeError};
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyRange, PyTuple};

use crate::array;
use crate::dlpack;
use crate::dtype::{self, DType};
use crate::error::{raised, usage};
use crate::input::{self, numpy};

/// A dense tensor in host memory, as models take and give them.
///
/// It is made of anything that NumPy makes an array of; `dtype` converts it. NumPy and other frameworks see its elements
/// where they lie: `asnumpy()`, `numpy.asarray(tensor)`, `torch.from_dlpack(tensor)`. Arithmetic is theirs; `==` and `!=` compare
/// element by element.
///
/// >>> import mindir
/// >>> t = mindir.Tensor([[1, 2, 3], [4, 5, 6]], mindir.float32)
/// >>> t.shape, t.dtype
/// ((2, 3), mindir.float32)
/// >>> t.asnumpy().sum(axis=0).tolist()
/// [5.0, 7.0, 9.0]
#[pyclass(frozen, subclass, module = "mindir", skip_from_py_object)]
pub struct Tensor {
    pub inner: mindir::Tensor,
    /// Whether the elements may be written: they are no model's.
    pub writable: bool,
}

impl Tensor {
    /// Elements that a model or file may share.
    pub fn shared(inner: mindir::Tensor) -> Tensor {
        Tensor { inner, writable: false }
    }

    /// A result, which may be written if nobody else has its elements.
    pub fn result(tensor: mindir::Tensor) -> PyResult<Tensor> {
        let fact = tensor.fact();
        match tensor.into_buffer() {
            Ok(buffer) => {
                let inner = mindir::Tensor::from_buffer(fact.dtype, &fact.shape, buffer).map_err(raised)?;
                Ok(Tensor { inner, writable: true })
            }
            Err(inner) => Ok(Tensor::shared(inner)),
        }
    }

    /// The same elements under their bits' unsigned type.
    fn bits(&self) -> PyResult<Tensor> {
        let bytes = self.inner.aligned().map_err(raised)?.clone();
        let inner = mindir::Tensor::from_bytes(Element::U16, self.inner.shape(), bytes).map_err(raised)?;
        Ok(Tensor { inner, writable: self.writable })
    }
}

#[pymethods]
impl Tensor {
    #[new]
    #[pyo3(signature = (input_data, dtype=None))]
    fn new(input_data: &Bound<'_, PyAny>, dtype: Option<&Bound<'_, PyAny>>) -> PyResult<Tensor> {
        let given = input::shared(input_data, None)?;
        let dtype = dtype.map(dtype::from_python).transpose()?.filter(|d| *d != given.tensor.dtype());
        let is_tensor = input_data.is_instance_of::<Tensor>();
        match dtype {
            Some(dtype) => converted(input_data.py(), &given.tensor, dtype),
            None if is_tensor => Ok(Tensor { inner: given.tensor, writable: given.writable }),
            None => Tensor::result(copy(&given.tensor).map_err(raised)?),
        }
    }

    /// A tensor that shares the elements of an array, which must be dense.
    ///
    /// >>> import numpy, mindir
    /// >>> a = numpy.zeros(2, numpy.float32)
    /// >>> t = mindir.Tensor.from_numpy(a)
    /// >>> a[0] = 7
    /// >>> t.tolist()
    /// [7.0, 0.0]
    #[staticmethod]
    fn from_numpy(array: &Bound<'_, PyAny>) -> PyResult<Tensor> {
        let dense = || usage("expected a contiguous, aligned array in native byte order");
        let given = array::read(array)?.ok_or_else(dense)?;
        Ok(Tensor { inner: given.tensor, writable: given.writable })
    }

    /// Dimensions.
    #[getter]
    fn shape<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        PyTuple::new(py, self.inner.shape())
    }

    /// Element type.
    #[getter]
    fn dtype(&self) -> DType {
        DType(self.inner.dtype())
    }

    /// Number of elements.
    #[getter]
    fn size(&self) -> usize {
        self.inner.count()
    }

    /// Number of dimensions.
    #[getter]
    fn ndim(&self) -> usize {
        self.inner.shape().len()
    }

    /// Bytes of an element.
    #[getter]
    fn itemsize(&self) -> usize {
        self.inner.dtype().size()
    }

    /// Bytes of all elements.
    #[getter]
    fn nbytes(&self) -> usize {
        self.inner.bytes().len()
    }

    /// The tensor itself, as a parameter's `data` is.
    #[getter]
    fn data(slf: Bound<'_, Self>) -> Tensor {
        let this = slf.get();
        Tensor { inner: this.inner.clone(), writable: this.writable }
    }

    /// The elements as a NumPy array, without a copy. It can be written if nobody else has them, as with results. bfloat16 needs the
    /// package ml_dtypes.
    fn asnumpy<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let (py, this) = (slf.py(), slf.get());
        if this.inner.dtype() != Element::BF16 {
            return numpy(py)?.call_method1("asarray", (slf,));
        }
        let missing =
            |_| PyImportError::new_err("arrays of bfloat16 need the package ml_dtypes; or astype(mindir.float32)");
        let bfloat16 = py.import("ml_dtypes").map_err(missing)?.getattr("bfloat16")?;
        let bits = Bound::new(py, this.bits()?)?;
        numpy(py)?.call_method1("asarray", (bits,))?.call_method1("view", (bfloat16,))
    }

    #[pyo3(signature = (dtype=None, copy=None))]
    fn __array__<'py>(
        slf: &Bound<'py, Self>,
        dtype: Option<&Bound<'py, PyAny>>,
        copy: Option<bool>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let array = Tensor::asnumpy(slf)?;
        let given = PyDict::new(slf.py());
        given.set_item("dtype", dtype)?;
        let make = if copy == Some(true) { "array" } else { "asarray" };
        numpy(slf.py())?.call_method(make, (array,), Some(&given))
    }

    #[getter]
    fn __array_struct__(&self, py: Python<'_>) -> PyResult<Py<PyAny>> {
        let missing = || PyAttributeError::new_err("__array_struct__");
        array::lend(py, &self.inner, self.writable)?.ok_or_else(missing)
    }

    #[pyo3(signature = (*, stream=None, max_version=None, dl_device=None, copy=None))]
    fn __dlpack__(
        &self,
        py: Python<'_>,
        stream: Option<&Bound<'_, PyAny>>,
        max_version: Option<(u32, u32)>,
        dl_device: Option<(i32, i32)>,
        copy: Option<bool>,
    ) -> PyResult<Py<PyAny>> {
        let _ = stream;
        dlpack::check_device(dl_device)?;
        let versioned = max_version.is_some_and(|(major, _)| major >= 1);
        dlpack::lend(py, &self.inner, self.writable, versioned, copy)
    }

    fn __dlpack_device__(&self) -> (i32, i32) {
        (dlpack::CPU, 0)
    }

    /// The elements as numbers in nested lists.
    fn tolist<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        wide(slf)?.call_method0("tolist")
    }

    /// The only element, as a number.
    ///
    /// >>> import mindir
    /// >>> mindir.Tensor(3).item()
    /// 3
    fn item<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        wide(slf)?.call_method0("item")
    }

    /// The elements in another type, converted as NumPy does.
    fn astype(&self, py: Python<'_>, dtype: &Bound<'_, PyAny>) -> PyResult<Tensor> {
        let dtype = dtype::from_python(dtype)?;
        if dtype == self.inner.dtype() { self.copy() } else { converted(py, &self.inner, dtype) }
    }

    /// A tensor with elements of its own.
    fn copy(&self) -> PyResult<Tensor> {
        Tensor::result(copy(&self.inner).map_err(raised)?)
    }

    fn __getitem__<'py>(slf: &Bound<'py, Self>, key: &Bound<'py, PyAny>) -> PyResult<Tensor> {
        let part = Tensor::asnumpy(slf)?.get_item(key)?;
        Tensor::result(copy(&input::shared(&part, None)?.tensor).map_err(raised)?)
    }

    /// The parts along the first dimension.
    fn __iter__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        let py = slf.py();
        let len = slf.get().inner.shape().first().copied();
        let len = len.ok_or_else(|| PyTypeError::new_err("iteration over a tensor without dimensions"))?;
        let parts = PyRange::new(py, 0, isize::try_from(len)?)?;
        py.import("builtins")?.call_method1("map", (slf.getattr("__getitem__")?, parts))
    }

    /// `==` and `!=` element by element, as a tensor.
    fn __richcmp__<'py>(slf: &Bound<'py, Self>, other: &Bound<'py, PyAny>, op: CompareOp) -> PyResult<Py<PyAny>> {
        let py = slf.py();
        if !matches!(op, CompareOp::Eq | CompareOp::Ne) {
            return Ok(py.NotImplemented());
        }
        let other = match other.cast::<Tensor>() {
            Ok(tensor) => wide(tensor)?,
            Err(_) => other.clone(),
        };
        let same = wide(slf)?.rich_compare(other, op)?;
        Tensor::result(copy(&input::shared(&same, None)?.tensor).map_err(raised)?)?.into_py_any(py)
    }

    fn __hash__(slf: &Bound<'_, Self>) -> u64 {
        slf.as_ptr().addr() as u64
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyTuple>> {
        pickled(slf, None)
    }

    fn __len__(&self) -> PyResult<usize> {
        self.inner.shape().first().copied().ok_or_else(|| PyTypeError::new_err("len() of a tensor without dimensions"))
    }

    fn __float__(slf: &Bound<'_, Self>) -> PyResult<f64> {
        wide(slf)?.call_method0("__float__")?.extract()
    }

    fn __int__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        wide(slf)?.call_method0("__int__")
    }

    fn __bool__(slf: &Bound<'_, Self>) -> PyResult<bool> {
        wide(slf)?.is_truthy()
    }

    fn __str__(slf: &Bound<'_, Self>) -> PyResult<String> {
        Ok(wide(slf)?.str()?.to_string())
    }

    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<String> {
        let this = slf.get();
        let dtype = Bound::new(slf.py(), this.dtype())?;
        let gap = if this.inner.shape().is_empty() { ' ' } else { '\n' };
        Ok(format!("Tensor(shape={:?}, dtype={dtype}, value={gap}{})", this.inner.shape(), Tensor::__str__(slf)?))
    }
}

/// A tensor with the name that a model or checkpoint has for it.
///
/// >>> import mindir
/// >>> mindir.Parameter([1.0, 2.0], name="bias")
/// Parameter (name=bias, shape=(2,), dtype=Float32)
#[pyclass(frozen, extends = Tensor, module = "mindir")]
pub struct Parameter {
    /// Its name.
    #[pyo3(get)]
    name: String,
}

impl Parameter {
    /// A parameter whose elements a model or file may share.
    pub fn shared<'py>(py: Python<'py>, name: &str, tensor: mindir::Tensor) -> PyResult<Bound<'py, Parameter>> {
        Bound::new(py, Parameter::of(name.to_string(), Tensor::shared(tensor)))
    }

    fn of(name: String, tensor: Tensor) -> PyClassInitializer<Parameter> {
        PyClassInitializer::from(tensor).add_subclass(Parameter { name })
    }
}

#[pymethods]
impl Parameter {
    #[new]
    #[pyo3(signature = (default_input, name="Parameter".to_string()))]
    fn new(default_input: &Bound<'_, PyAny>, name: String) -> PyResult<PyClassInitializer<Parameter>> {
        Ok(Parameter::of(name, Tensor::new(default_input, None)?))
    }

    fn __reduce__<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyTuple>> {
        pickled(slf.as_super(), Some(&slf.get().name))
    }

    fn __str__(slf: &Bound<'_, Self>) -> PyResult<String> {
        Parameter::__repr__(slf)
    }

    fn __repr__(slf: &Bound<'_, Self>) -> PyResult<String> {
        let tensor = slf.as_super().get();
        let (shape, dtype) = (tensor.shape(slf.py())?, Bound::new(slf.py(), tensor.dtype())?);
        Ok(format!("Parameter (name={}, shape={shape}, dtype={dtype})", slf.get().name))
    }
}

/// What a pickle has of a tensor, which is a parameter if it has a name: how it is made again, and from what.
fn pickled<'py>(tensor: &Bound<'py, Tensor>, name: Option<&str>) -> PyResult<Bound<'py, PyTuple>> {
    let (py, this) = (tensor.py(), tensor.get());
    let elements = (this.dtype(), this.shape(py)?, PyBytes::new(py, this.inner.bytes()), name).into_pyobject(py)?;
    (py.import("mindir._mindir")?.getattr("restored")?, elements).into_pyobject(py)
}

/// The tensor of a pickle, or the parameter if it has a name.
#[pyfunction]
#[pyo3(signature = (dtype, shape, elements, name))]
pub fn restored(
    py: Python<'_>,
    dtype: &Bound<'_, PyAny>,
    shape: Vec<usize>,
    elements: &[u8],
    name: Option<String>,
) -> PyResult<Py<PyAny>> {
    let elements = bytes::Bytes::copy_from_slice(elements);
    let inner = mindir::Tensor::from_bytes(dtype::from_python(dtype)?, &shape, elements).map_err(raised)?;
    let tensor = Tensor::result(copy(&inner).map_err(raised)?)?;
    match name {
        Some(name) => Bound::new(py, Parameter::of(name, tensor))?.into_py_any(py),
        None => tensor.into_py_any(py),
    }
}

/// The elements as an array that NumPy alone can compute with.
fn wide<'py>(tensor: &Bound<'py, Tensor>) -> PyResult<Bound<'py, PyAny>> {
    match tensor.get().inner.dtype() {
        Element::BF16 => {
            let inner = tensor.get().inner.cast(Element::F32).map_err(raised)?;
            Tensor::asnumpy(&Bound::new(tensor.py(), Tensor::shared(inner))?)
        }
        _ => Tensor::asnumpy(tensor),
    }
}

/// The elements in another type, which nobody else has.
fn converted(py: Python<'_>, tensor: &mindir::Tensor, dtype: Element) -> PyResult<Tensor> {
    if dtype.is_complex() || tensor.dtype().is_complex() {
        // NumPy alone converts these.
        let array = wide(&Bound::new(py, Tensor::shared(tensor.clone()))?)?;
        let between = if dtype == Element::BF16 { Element::F32 } else { dtype };
        let array = array.call_method1("astype", (DType(between).name(),))?;
        let inner = copy(&input::shared(&array, None)?.tensor).map_err(raised)?;
        return if between == dtype { Tensor::result(inner) } else { converted(py, &inner, dtype) };
    }
    Ok(Tensor { inner: tensor.cast(dtype).map_err(raised)?, writable: true })
}

/// A tensor with elements of its own.
pub fn copy(tensor: &mindir::Tensor) -> Result<mindir::Tensor, TensorError> {
    let mut buffer = mindir::Buffer::new(tensor.bytes().len())?;
    buffer.copy_from(tensor.bytes())?;
    mindir::Tensor::from_buffer(tensor.dtype(), tensor.shape(), buffer)
}

/// The elements of a tensor as Python's numbers, in order.
pub fn numbers(py: Python<'_>, tensor: &mindir::Tensor) -> PyResult<Vec<Py<PyAny>>> {
    let dtype = tensor.dtype();
    if dtype.is_float() {
        return tensor.to_f64s().map_err(raised)?.into_iter().map(|x| x.into_py_any(py)).collect();
    }
    let all = tensor.to_i128s().map_err(raised)?;
    all.into_iter().map(|x| if dtype == Element::Bool { (x != 0).into_py_any(py) } else { x.into_py_any(py) }).collect()
}

/// A tensor that shares the elements of an object with `__dlpack__`, which must be dense and in host memory.
///
/// >>> import numpy, mindir
/// >>> mindir.from_dlpack(numpy.arange(3)).tolist()
/// [0, 1, 2]
#[pyfunction]
pub fn from_dlpack(x: &Bound<'_, PyAny>) -> PyResult<Tensor> {
    let given = dlpack::read(x)?.ok_or_else(|| usage("expected dense elements in row-major order, by DLPack"))?;
    Ok(Tensor { inner: given.tensor, writable: given.writable })
}
