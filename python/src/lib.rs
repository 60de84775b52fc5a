//! The extension module of the Python package `mindir`: models, cells and tensors as Python sees them.
//!
//! Whatever may take long runs without the interpreter's lock, and no lock of this crate is held while waiting for that one.

mod array;
mod cell;
mod checkpoint;
mod dlpack;
mod dtype;
mod error;
mod input;
mod interrupt;
mod model;
mod session;
mod tensor;

use pyo3::prelude::*;

#[pymodule]
fn _mindir(module: &Bound<'_, PyModule>) -> PyResult<()> {
    module.add("__version__", env!("CARGO_PKG_VERSION"))?;
    module.add_class::<dtype::DType>()?;
    module.add_class::<tensor::Tensor>()?;
    module.add_class::<tensor::Parameter>()?;
    module.add_class::<model::Graph>()?;
    module.add_class::<model::Port>()?;
    module.add_class::<cell::GraphCell>()?;
    module.add_class::<cell::State>()?;
    module.add_class::<session::Session>()?;
    module.add_class::<interrupt::Cancel>()?;
    module.add_function(wrap_pyfunction!(model::load, module)?)?;
    module.add_function(wrap_pyfunction!(model::loads, module)?)?;
    module.add_function(wrap_pyfunction!(model::write, module)?)?;
    module.add_function(wrap_pyfunction!(model::convert, module)?)?;
    module.add_function(wrap_pyfunction!(checkpoint::read, module)?)?;
    module.add_function(wrap_pyfunction!(checkpoint::write, module)?)?;
    module.add_function(wrap_pyfunction!(tensor::from_dlpack, module)?)?;
    module.add_function(wrap_pyfunction!(tensor::restored, module)?)?;
    module.add_function(wrap_pyfunction!(dtype::restored_dtype, module)?)?;
    module.add("DTYPES", mindir::DType::ALL.map(dtype::DType))
}
