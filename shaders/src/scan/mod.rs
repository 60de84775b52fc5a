//! Running sums and products along an axis.

mod cuda;

use bytemuck::{Pod, Zeroable};
use mindir_graph::DType;
use mindir_graph::task::ScanKind;

use crate::number::{arithmetic, number};
use crate::program::library;
use crate::{Access, Lines, Module, Shader, Unsupported, Word};

/// Parameters.
#[repr(C)]
#[derive(Clone, Copy, Debug, PartialEq, Pod, Zeroable)]
pub struct Params {
    /// Number of lines.
    pub lines: u32,
    /// Elements of a line, at least 1.
    pub len: u32,
    /// Elements between two of a line.
    pub inner: u32,
    /// First element of the operand.
    pub x_first: u32,
    /// First element of the result.
    pub y_first: u32,
}

/// A variant of the shader; binds the operand, then the result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Scan {
    /// Who works on a line.
    pub lines: Lines,
    /// Sum or product.
    pub kind: ScanKind,
    /// Whether an element leaves out itself.
    pub exclusive: bool,
    /// Whether lines go from the end to the front.
    pub reverse: bool,
    /// Element type.
    pub dtype: DType,
}

impl Shader for Scan {
    type Params = Params;

    fn wgsl(&self) -> Result<Module, Unsupported> {
        let number = number(self.dtype)?;
        let (source, invocations, shared) = match self.lines {
            Lines::Group => (include_str!("group.wgsl"), 256, 256 * Word::of(number)?.size() as u32),
            Lines::Single => (include_str!("single.wgsl"), 64, 0),
        };
        let (start, combine) = match self.kind {
            ScanKind::Sum => ("zero", "plus"),
            ScanKind::Prod => ("one", "times"),
        };
        let mut text = format!(
            "const EXCLUSIVE: bool = {};\nconst REVERSE: bool = {};\n\n{}{}\n{source}\n\
             fn start() -> Number {{\n    return {start}();\n}}\n\n\
             fn combine(a: Number, b: Number) -> Number {{\n    return {combine}(a, b);\n}}\n\n",
            self.exclusive,
            self.reverse,
            arithmetic(self.dtype, number)?,
            include_str!("params.wgsl"),
        );
        text += &library(&text);
        let bindings = vec![Access::Read, Access::Write];
        Ok(Module { source: text, bindings, constants: Vec::new(), invocations, shared })
    }

    fn cuda(&self) -> Result<Module, Unsupported> {
        cuda::module(self)
    }
}
