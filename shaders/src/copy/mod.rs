//! Strided copies of elements, and filling with one element.

use bytemuck::{Pod, Zeroable};

use crate::{Access, Module, Shader, Unsupported};

/// Most dimensions, after merging.
pub const RANK: usize = 8;

/// Parameters of a copy.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable)]
pub struct Params {
    /// Elements of the block.
    pub count: u32,
    /// First element read.
    pub first_read: u32,
    /// First element written.
    pub first_written: u32,
    /// Unused.
    pub gap: u32,
    /// Extents of the block, outermost first.
    pub dims: [u32; RANK],
    /// Strides of the operand.
    pub read: [i32; RANK],
    /// Strides of the result.
    pub written: [i32; RANK],
}

/// Parameters of a fill.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable)]
pub struct FillParams {
    /// Elements to write.
    pub count: u32,
    /// First element to write.
    pub first: u32,
    /// What to write: one word, or two, the lower one first.
    pub words: [u32; 2],
}

/// A variant of the copy; binds the operand, then the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Copy {
    /// Dimensions in use, at least 1.
    pub rank: usize,
    /// Whether an element is two words.
    pub wide: bool,
}

impl Shader for Copy {
    type Params = Params;

    fn wgsl(&self) -> Result<Module, Unsupported> {
        Ok(Module {
            source: format!("{}{}", element(self.wide), include_str!("copy.wgsl")),
            bindings: vec![Access::Read, Access::Write],
            constants: vec![("rank", self.rank as f64)],
            invocations: 256,
            shared: 0,
        })
    }
}

/// One element everywhere; binds the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fill {
    /// Whether an element is two words.
    pub wide: bool,
}

impl Shader for Fill {
    type Params = FillParams;

    fn wgsl(&self) -> Result<Module, Unsupported> {
        let value = if self.wide { "params.words" } else { "params.words.x" };
        let function = format!("fn element() -> Element {{\n    return {value};\n}}\n\n");
        Ok(Module {
            source: format!("{}{function}{}", element(self.wide), include_str!("fill.wgsl")),
            bindings: vec![Access::Write],
            constants: Vec::new(),
            invocations: 256,
            shared: 0,
        })
    }
}

/// Declares the type of elements that are only moved.
pub(crate) fn element(wide: bool) -> String {
    format!("alias Element = {};\n\n", if wide { "vec2<u32>" } else { "u32" })
}
