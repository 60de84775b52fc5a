//! Slices picked by index.

use bytemuck::{Pod, Zeroable};
use mindir_graph::DType;

use crate::copy::{cuda_element, element};
use crate::cuda::{self, layout};
use crate::index::{indices, status};
use crate::module::storage;
use crate::program::library;
use crate::word::{packed, store};
use crate::{Access, Module, Shader, Unsupported, spread};

/// Parameters.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable)]
pub struct Params {
    /// Slices of the result.
    pub rows: u32,
    /// Elements of a slice, or 1 if it has none.
    pub cols: u32,
    /// Elements of a slice.
    pub inner: u32,
    /// Slices picked for each outer position.
    pub count: u32,
    /// Slices to pick from.
    pub axis: u32,
    /// First slice that is bound.
    pub start: u32,
    /// The slice after the last one that is bound.
    pub end: u32,
    /// Elements of the operand between outer positions.
    pub x_outer: u32,
    /// Indices between outer positions.
    pub index_outer: u32,
    /// Elements of the result between outer positions.
    pub y_outer: u32,
    /// First element of the operand.
    pub x_first: u32,
    /// First index.
    pub index_first: u32,
    /// First element of the result.
    pub y_first: u32,
}

/// A variant of the shader; binds the operand, the indices, the result, and the status unless slices out of range are zeros.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Gather {
    /// Element type.
    pub dtype: DType,
    /// Element type of the indices.
    pub index: DType,
    /// Whether words of the operand hold two elements each, which are floats of 16 bits; in WGSL only.
    pub packed: bool,
    /// Whether slices whose index is out of range are zeros.
    pub zeros: bool,
    /// Columns of a workgroup.
    pub width: u32,
}

impl Shader for Gather {
    type Params = Params;

    fn wgsl(&self) -> Result<Module, Unsupported> {
        let mut bindings = vec![Access::Read, Access::Read, Access::Write];
        let mut text = format!("const ZEROS: bool = {};\n{}{}", self.zeros, element(self.dtype)?, self.operand());
        text += include_str!("gather.wgsl");
        text += &format!("\n{}", indices(self.index, 2)?);
        if self.zeros {
            text += "fn refuse(index: vec2<u32>, len: u32) {\n}\n\n";
        } else {
            bindings.push(Access::Write);
            text += &status(bindings.len());
        }
        text += &spread::wgsl(self.width);
        text += &library(&text);
        Ok(Module { source: text, bindings, constants: Vec::new(), invocations: spread::INVOCATIONS, shared: 0 })
    }

    fn cuda(&self) -> Result<Module, Unsupported> {
        let (element, index) = (cuda_element(self.dtype)?, cuda::stored(self.index)?);
        let declared = format!("const bool ZEROS = {};\n{element}typedef {index} Index;\n", self.zeros);
        let params = layout!(Params: rows, cols, inner, count, axis, start, end, x_outer, index_outer, y_outer, x_first,
            index_first, y_first);
        let mut bindings = vec![
            ("x".to_string(), "Element", Access::Read),
            ("indices".to_string(), index, Access::Read),
            ("y".to_string(), "Element", Access::Write),
        ];
        if !self.zeros {
            bindings.push(("status".to_string(), "Status", Access::Write));
        }
        let call = if self.zeros { "x, indices, y, nullptr" } else { "x, indices, y, status" };
        let parts = [cuda::INDEX, &declared, include_str!("gather.cu"), &params];
        Ok(cuda::spread(&parts, &bindings, self.width, "", call))
    }
}

impl Gather {
    /// The operand, with the function that gives its elements.
    fn operand(&self) -> String {
        let (stored, element) = match (self.packed, self.dtype) {
            (true, DType::F16) => ("u32", store(DType::F16, &packed(self.dtype, "x", "at"))),
            (true, _) => ("u32", format!("bitcast<u32>({})", packed(self.dtype, "x", "at"))),
            (false, _) => ("Element", "x[at]".to_string()),
        };
        let declared = storage(1, "x", stored, Access::Read);
        format!("{declared}\nfn x_at(at: u32) -> Element {{\n    return {element};\n}}\n\n")
    }
}
