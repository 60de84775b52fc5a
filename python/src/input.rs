//! Inputs of every kind that Python has.

use mindir::DType;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::PyDict;

use crate::array::{self, Shared};
use crate::dlpack;
use crate::error::{raised, usage};
use crate::tensor::Tensor;

/// NumPy, which is needed for what its arrays alone can do.
pub fn numpy(py: Python<'_>) -> PyResult<Bound<'_, PyModule>> {
    py.import("numpy")
}

/// The elements of `given`, where they lie if they are dense. Numbers and lists, which have no element type, take `expected`.
pub fn shared(given: &Bound<'_, PyAny>, expected: Option<DType>) -> PyResult<Shared> {
    if let Ok(tensor) = given.cast::<Tensor>() {
        let tensor = tensor.get();
        return Ok(Shared { tensor: tensor.inner.clone(), writable: tensor.writable });
    }
    if let Some(shared) = array::read(given)? {
        return Ok(shared);
    }
    let is_array = given.hasattr(intern!(given.py(), "__array_struct__"))?;
    if let Some(shared) = if is_array { None } else { dlpack::read(given)? } {
        return Ok(shared);
    }
    let Shared { tensor, writable } = through_numpy(given)?;
    let is_plain = !given.hasattr("dtype")? && !given.hasattr("__array__")?;
    let usual = if tensor.dtype() == DType::F64 { DType::F32 } else { tensor.dtype() };
    let wanted = expected.unwrap_or(usual);
    if !is_plain || wanted == tensor.dtype() {
        return Ok(Shared { tensor, writable });
    }
    Ok(Shared { tensor: tensor.convert(wanted).map_err(raised)?, writable: false })
}

/// The elements as NumPy lays them out in memory.
fn through_numpy(given: &Bound<'_, PyAny>) -> PyResult<Shared> {
    let numpy = numpy(given.py())?;
    let array = numpy.call_method1("asarray", (given,))?;
    let native = array.getattr("dtype")?.call_method1("newbyteorder", ("=",))?;
    let dense = PyDict::new(given.py());
    dense.set_item("dtype", native)?;
    dense.set_item("requirements", ["C", "A"])?;
    let array = numpy.call_method("require", (array,), Some(&dense))?;
    array::read(&array)?.ok_or_else(|| usage(format!("expected an array, found {}", given.get_type())))
}

/// A shape as a tuple of numbers, or the shape of an array.
pub fn fact(given: &Bound<'_, PyAny>, expected: Option<DType>) -> PyResult<mindir::Fact> {
    match given.extract::<Vec<usize>>() {
        Ok(dims) if given.is_instance_of::<pyo3::types::PyTuple>() => {
            let dtype =
                expected.ok_or_else(|| usage("the model does not say the input's element type; give an array"))?;
            Ok(mindir::Fact::new(dtype, &dims))
        }
        _ => Ok(shared(given, expected)?.tensor.fact()),
    }
}
