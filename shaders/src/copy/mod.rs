//! Strided copies of words, and filling with one word.

use bytemuck::{Pod, Zeroable};

use crate::{Access, Module};

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
    /// Words to write.
    pub count: u32,
    /// What to write.
    pub word: u32,
}

/// A variant of the copy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Copy {
    /// Dimensions in use, at least 1.
    pub rank: usize,
}

impl Copy {
    /// The shader; binds the operand, then the result.
    pub fn module(&self) -> Module {
        Module {
            source: include_str!("copy.wgsl").into(),
            bindings: vec![Access::Read, Access::Write],
            constants: vec![("rank", self.rank as f64)],
            params: size_of::<Params>(),
            invocations: 256,
            shared: 0,
        }
    }
}

/// The shader that fills; binds the result.
pub fn fill() -> Module {
    Module {
        source: include_str!("fill.wgsl").into(),
        bindings: vec![Access::Write],
        constants: Vec::new(),
        params: size_of::<FillParams>(),
        invocations: 256,
        shared: 0,
    }
}
