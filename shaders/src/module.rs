use crate::{Unsupported, copy, gemm, map, norm, reduce, softmax};

/// What a shader does with a storage buffer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Access {
    /// Only reads.
    Read,
    /// Writes.
    Write,
}

/// How the work on lines (rows of a matrix, or any axis) is shared out.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Lines {
    /// One workgroup per line.
    Group,
    /// One invocation per line.
    Single,
}

impl Lines {
    /// The better way for lines of `len` elements that lie `inner` elements apart.
    pub fn for_axis(len: usize, inner: usize) -> Lines {
        if inner > 1 || len <= 32 { Lines::Single } else { Lines::Group }
    }
}

/// A complete WGSL module with one entry point `main`.
#[derive(Clone, Debug, PartialEq)]
pub struct Module {
    /// The text.
    pub source: String,
    /// Storage buffers from binding 1 on.
    pub bindings: Vec<Access>,
    /// Values of pipeline-overridable constants.
    pub constants: Vec<(&'static str, f64)>,
    /// Size in bytes of the parameters at binding 0.
    pub params: usize,
    /// Invocations of a workgroup.
    pub invocations: u32,
    /// Bytes of workgroup memory.
    pub shared: u32,
}

/// One variant of one family's shader.
#[derive(Clone, Debug, PartialEq)]
pub enum Shader {
    /// Element-wise program.
    Map(map::Map),
    /// One value everywhere.
    Fill,
    /// Strided copy of a block.
    Copy(copy::Copy),
    /// Matrix product.
    Gemm(gemm::Gemm),
    /// Softmax.
    Softmax(softmax::Softmax),
    /// Normalisation of rows.
    Norm(norm::Norm),
    /// Reduction of an axis.
    Reduce(reduce::Reduce),
}

impl Shader {
    /// The shader's text and interface.
    ///
    /// # Errors
    /// [`Unsupported`] if an element type or function has no WGSL.
    pub fn module(&self) -> Result<Module, Unsupported> {
        match self {
            Shader::Map(s) => s.module(),
            Shader::Fill => Ok(copy::fill()),
            Shader::Copy(s) => Ok(s.module()),
            Shader::Gemm(s) => s.module(),
            Shader::Softmax(s) => Ok(s.module()),
            Shader::Norm(s) => Ok(s.module()),
            Shader::Reduce(s) => s.module(),
        }
    }
}

/// Declaration of the storage buffer `name` of `element`s at `binding`.
pub(crate) fn storage(binding: usize, name: &str, element: &str, access: Access) -> String {
    let mode = if access == Access::Read { "read" } else { "read_write" };
    format!("@group(0) @binding({binding}) var<storage, {mode}> {name}: array<{element}>;\n")
}
