//! Indices of an axis, and what is said of those that are outside.

use mindir_graph::DType;

use crate::Access;
use crate::Unsupported;
use crate::module::storage;
use crate::program::cast;
use crate::word::stored;

/// The indices of `dtype` at `binding`, with the functions `index_at` and `place`, as WGSL.
pub(crate) fn indices(dtype: DType, binding: usize) -> Result<String, Unsupported> {
    let buffer = storage(binding, "indices", stored(dtype)?, Access::Read);
    let index = cast("indices[at]", dtype, DType::I64)?;
    Ok(format!(
        "{buffer}\nfn index_at(at: u32) -> vec2<u32> {{\n    return {index};\n}}\n\n{}\n",
        include_str!("place.wgsl")
    ))
}

/// The status at `binding` with the function `refuse`, as WGSL.
pub(crate) fn status(binding: usize) -> String {
    format!(
        "@group(0) @binding({binding}) var<storage, read_write> status: Status;\n\n{}\n",
        include_str!("status.wgsl")
    )
}
