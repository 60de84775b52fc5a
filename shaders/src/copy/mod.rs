//! Strided copies of elements, and filling with one element.

use bytemuck::{Pod, Zeroable};
use mindir_graph::DType;

use crate::cuda::{self, layout};
use crate::{Access, Module, Shader, Unsupported, Word};

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
    /// What to write: one word, or two, the lower one first. An `f16` is an `f32` in WGSL.
    pub words: [u32; 2],
}

/// A variant of the copy; binds the operand, then the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Copy {
    /// Dimensions in use, at least 1.
    pub rank: usize,
    /// Element type.
    pub dtype: DType,
}

impl Shader for Copy {
    type Params = Params;

    fn wgsl(&self) -> Result<Module, Unsupported> {
        Ok(Module {
            source: format!("{}{}", element(self.dtype)?, include_str!("copy.wgsl")),
            bindings: vec![Access::Read, Access::Write],
            constants: vec![("rank", self.rank as f64)],
            invocations: 256,
            shared: 0,
        })
    }
    fn cuda(&self) -> Result<Module, Unsupported> {
        let declared = format!("{}const int RANK = {};\n", cuda_element(self.dtype)?, self.rank);
        let params = layout!(Params: count, first_read, first_written, dims, read, written);
        let bindings = [("x".to_string(), "Element", Access::Read), ("y".to_string(), "Element", Access::Write)];
        Ok(cuda::module(&[&declared, include_str!("copy.cu"), &params], &bindings, 256, 0, "    copy(params, x, y);\n"))
    }
}

/// One element everywhere; binds the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Fill {
    /// Element type.
    pub dtype: DType,
}

impl Shader for Fill {
    type Params = FillParams;

    fn wgsl(&self) -> Result<Module, Unsupported> {
        let value = match moved(self.dtype)? {
            "Half" => "Half(bitcast<f32>(params.words.x))",
            "u32" => "params.words.x",
            _ => "params.words",
        };
        let function = format!("fn element() -> Element {{\n    return {value};\n}}\n\n");
        Ok(Module {
            source: format!("{}{function}{}", element(self.dtype)?, include_str!("fill.wgsl")),
            bindings: vec![Access::Write],
            constants: Vec::new(),
            invocations: 256,
            shared: 0,
        })
    }
    fn cuda(&self) -> Result<Module, Unsupported> {
        let params = layout!(FillParams: count, first, words);
        let parts = [&cuda_element(self.dtype)?, include_str!("fill.cu"), &params];
        let bindings = [("y".to_string(), "Element", Access::Write)];
        Ok(cuda::module(&parts, &bindings, 256, 0, "    fill(params, y);\n"))
    }
}

/// Declares the type of elements that are only moved.
pub(crate) fn element(dtype: DType) -> Result<String, Unsupported> {
    Ok(format!("alias Element = {};\n\n", moved(dtype)?))
}

/// Type of the elements of `dtype` in a buffer, where they are only moved.
pub(crate) fn moved(dtype: DType) -> Result<&'static str, Unsupported> {
    Ok(match Word::of(dtype)? {
        _ if dtype == DType::F16 => "Half",
        word if word.is_wide() => "vec2<u32>",
        _ => "u32",
    })
}

/// The same in CUDA, by the size.
pub(crate) fn cuda_element(dtype: DType) -> Result<String, Unsupported> {
    let element = match dtype.size() {
        1 => "u8",
        2 => "u16",
        4 => "u32",
        8 => "u64",
        _ => return Err(Unsupported(format!("there is no copy of {dtype}"))),
    };
    Ok(format!("typedef {element} Element;\n"))
}
