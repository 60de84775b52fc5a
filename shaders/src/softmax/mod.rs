//! Softmax and its logarithm along an axis.

use bytemuck::{Pod, Zeroable};
use mindir_graph::DType;

use crate::cuda::{self, layout};
use crate::module::BLOCK;
use crate::program::{fitting, library};
use crate::{Access, Lines, Module, Shader, Unsupported, word};

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
    /// First element of the operand.
    pub x: u32,
    /// First element of the result.
    pub y: u32,
}

/// A variant of the shader; binds the operand, then the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Softmax {
    /// Who works on a line.
    pub lines: Lines,
    /// Whether the result is the logarithm.
    pub log: bool,
    /// Element type.
    pub dtype: DType,
}

impl Shader for Softmax {
    type Params = Params;

    fn wgsl(&self) -> Result<Module, Unsupported> {
        let (source, invocations, shared) = match self.lines {
            Lines::Group => (format!("{BLOCK}\n{}", include_str!("group.wgsl")), 256, 1024),
            Lines::Single => (include_str!("single.wgsl").to_string(), 64, 0),
        };
        let (declared, fit) = (word::element(self.dtype)?, fitting(self.dtype));
        Ok(Module {
            source: format!("{declared}{source}\n{fit}\n{}", library(&format!("{source}{fit}"))),
            bindings: vec![Access::Read, Access::Write],
            constants: vec![("logarithm", f64::from(u8::from(self.log)))],
            invocations,
            shared,
        })
    }
    fn cuda(&self) -> Result<Module, Unsupported> {
        let (source, invocations, shared) = match self.lines {
            Lines::Group => (include_str!("group.cu"), 256, 64),
            Lines::Single => (include_str!("single.cu"), 64, 0),
        };
        let declared = format!("{}const bool LOG = {};\n", cuda::types(self.dtype, self.dtype)?, self.log);
        let params = layout!(Params: lines, len, inner, x, y);
        let parts = [include_str!("params.cu"), &params, cuda::LIBRARY, cuda::BLOCK, &declared, source];
        let bindings = [("x".to_string(), "Element", Access::Read), ("y".to_string(), "Element", Access::Write)];
        Ok(cuda::module(&parts, &bindings, invocations, shared, "    softmax(params, x, y);\n"))
    }
}
