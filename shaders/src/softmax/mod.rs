//! Softmax and its logarithm along an axis.

use bytemuck::{Pod, Zeroable};

use crate::program::library;
use crate::{Access, Lines, Module, Shader, Unsupported};

/// Parameters.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable)]
pub struct Params {
    /// Number of lines.
    pub lines: u32,
    /// Elements of a line.
    pub len: u32,
    /// Elements between two of a line.
    pub inner: u32,
}

/// A variant of the shader; binds the operand, then the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Softmax {
    /// Who works on a line.
    pub lines: Lines,
    /// Whether the result is the logarithm.
    pub log: bool,
}

impl Shader for Softmax {
    type Params = Params;

    fn wgsl(&self) -> Result<Module, Unsupported> {
        let (source, invocations, shared) = match self.lines {
            Lines::Group => (include_str!("group.wgsl"), 256, 1024),
            Lines::Single => (include_str!("single.wgsl"), 64, 0),
        };
        Ok(Module {
            source: format!("{source}\n{}", library(source)),
            bindings: vec![Access::Read, Access::Write],
            constants: vec![("logarithm", f64::from(u8::from(self.log)))],
            invocations,
            shared,
        })
    }
}
