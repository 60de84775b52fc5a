use bytemuck::Pod;

use crate::Unsupported;

/// WGSL: `group_max` and `group_sum` of the numbers of 256 invocations.
pub(crate) const BLOCK: &str = include_str!("block.wgsl");

/// What shaders are written in.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Language {
    /// WGSL without extensions: elements of `f16` are `f32` in buffers.
    #[default]
    Wgsl,
    /// WGSL with the extension `f16`: elements of `f16` lie in buffers as they are.
    WgslF16,
    /// CUDA C++, without any header.
    Cuda,
}

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

/// A complete module with one entry point `main`.
#[derive(Clone, Debug, PartialEq)]
pub struct Module {
    /// The text.
    pub source: String,
    /// Storage buffers from binding 1 on.
    pub bindings: Vec<Access>,
    /// Values of pipeline-overridable constants.
    pub constants: Vec<(&'static str, f64)>,
    /// Invocations of a workgroup.
    pub invocations: u32,
    /// Bytes of workgroup memory.
    pub shared: u32,
}

impl Module {
    /// With `declaration` in front, if it needs the type `Half`.
    fn headed(mut self, declaration: &str) -> Module {
        if self.source.contains("Half") {
            self.source.insert_str(0, declaration);
        }
        self
    }
}

/// One variant of a family's shader.
pub trait Shader {
    /// What it reads at binding 0.
    type Params: Pod;

    /// Its text and interface in WGSL, without the declaration of `Half` that [`Shader::module`] puts in front.
    ///
    /// # Errors
    /// [`Unsupported`] if an element type or function has no WGSL.
    fn wgsl(&self) -> Result<Module, Unsupported>;

    /// Its text and interface in CUDA C++.
    ///
    /// # Errors
    /// [`Unsupported`] if there is none.
    fn cuda(&self) -> Result<Module, Unsupported> {
        Err(Unsupported("there is no CUDA kernel".into()))
    }

    /// Its text and interface in `language`.
    ///
    /// # Errors
    /// [`Unsupported`].
    fn module(&self, language: Language) -> Result<Module, Unsupported> {
        match language {
            Language::Wgsl => Ok(self.wgsl()?.headed("alias Half = f32;\n\n")),
            Language::WgslF16 => Ok(self.wgsl()?.headed("enable f16;\n\nalias Half = f16;\n\n")),
            Language::Cuda => self.cuda(),
        }
    }
}

/// Declaration of the storage buffer `name` of `element`s at `binding`.
pub(crate) fn storage(binding: usize, name: &str, element: &str, access: Access) -> String {
    let mode = if access == Access::Read { "read" } else { "read_write" };
    format!("@group(0) @binding({binding}) var<storage, {mode}> {name}: array<{element}>;\n")
}
